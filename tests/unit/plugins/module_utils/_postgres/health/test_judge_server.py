"""The server as a whole."""

from __future__ import annotations

import json

import pytest

from ansible_collections.cadence.upkeep.plugins.module_utils._postgres.health.judge_server import (
    HIDDEN_TEXT,
    cache_hit,
    checksums,
    settings,
    sizes,
    slow_queries,
    temp_files,
    wraparound,
)
from ansible_collections.cadence.upkeep.plugins.module_utils._postgres.health.model import Place, Statement, Statements
from tests.unit.plugins.module_utils._postgres.health.samples import (
    DAY,
    NOW,
    database,
    facts,
    messages,
    policy,
    snapshot,
    sql_of,
    told,
)


@pytest.mark.parametrize(
    ("hits", "reads", "found"),
    [
        (995_000, 5_000, {}),
        (990_000, 10_000, {}),  # the threshold itself is fine
        (989_000, 11_000, {"main: cache_hit": ("pg.cache_hit_low", "warning")}),
        (950_000, 50_000, {"main: cache_hit": ("pg.cache_hit_low", "warning")}),
        (949_000, 51_000, {"main: cache_hit": ("pg.cache_hit_low", "critical")}),
        (0, 99_999, {"main: cache_hit": ("pg.cache_hit_unknown", "unknown")}),
        (0, 0, {"main: cache_hit": ("pg.cache_hit_unknown", "unknown")}),
    ],
)
def test_the_cache_is_judged_over_all_databases(hits, reads, found):
    rows = (database("a", hits=hits, reads=0), database("b", hits=0, reads=reads))
    assert told(cache_hit(snapshot(databases=rows), policy())) == found


HALF = 2**30


@pytest.mark.parametrize(
    ("xid", "mxid", "severity", "kind"),
    [
        (HALF - 1, 0, None, ""),
        (HALF, 0, "warning", "transactions"),
        (0, HALF, "warning", "multixacts"),
        (HALF // 2 * 3, HALF, "critical", "transactions"),
    ],
)
def test_the_older_of_the_two_counters_decides(xid, mxid, severity, kind):
    old = snapshot(databases=(database(frozen_age=xid, multixact_age=mxid), database("young")))
    verdict = wraparound(old, policy())
    assert told(verdict) == ({"main: shop": ("pg.wraparound", severity)} if severity else {})
    if severity:
        assert f" {kind} old" in messages(verdict)[0]


def test_the_oldest_tables_are_named_where_they_are_known():
    tables = (
        {"sql_name": "public.a", "xid_age": 9, "mxid_age": 0},
        {"sql_name": 'public."B"', "xid_age": 8, "mxid_age": 0},
    )
    rows = (
        database(frozen_age=2**31 - 1),
        database("other", frozen_age=2**31 - 2),
        database("template0", frozen_age=2**31 - 3, accepts_connections=False),
    )
    verdict = wraparound(snapshot(databases=rows, places=(Place("shop", {"wraparound": tables}),)), policy())
    assert sql_of(verdict)[0] == 'VACUUM (FREEZE, VERBOSE) public.a, public."B";'
    assert sql_of(verdict)[1].startswith("SELECT oid::regclass")
    assert sql_of(verdict)[2] == "ALTER DATABASE template0 ALLOW_CONNECTIONS true;"


def statement(text="SELECT $1", mean=2.0, **changed):
    plain = {
        "queryid": 4711,
        "database": "shop",
        "user": "web",
        "calls": 3,
        "total": mean * 3,
        "longest": mean,
        "rows": 1,
    }
    return Statement(text, mean=mean, **{**plain, **changed})


def test_a_slow_statement_is_told_without_its_values():
    slow = statement("SELECT 'top secret' FROM t WHERE a = 4711")
    verdict = slow_queries(
        snapshot(), policy(), Statements(None, 1, 12.0, (slow,), (slow, statement("TABLE u", 0.1, queryid=5)))
    )
    assert told(verdict) == {"main: shop.query 4711": ("pg.slow_query", "warning")}
    assert messages(verdict)[0].endswith("in 3 calls (limit 1s): SELECT ? FROM t WHERE a = ?")
    assert "secret" not in json.dumps([dict(item) for item in verdict.items])
    assert [item["queryid"] for item in verdict.items] == ["4711", "5"], "each once, as a text"
    assert verdict.items[0]["share"] == 0.5


def test_hidden_texts_are_a_matter_of_a_grant():
    hidden = statement(HIDDEN_TEXT, queryid=None)
    verdict = slow_queries(snapshot(), policy(), Statements(None, 1, 6.0, (hidden,), (hidden,)))
    assert told(verdict) == {
        "main: shop.query hidden": ("pg.slow_query", "warning"),
        "main: slow_queries": ("pg.health_not_permitted", "unknown"),
    }


@pytest.mark.parametrize(
    ("written", "since", "warned"),
    [
        (10 * 2**30, NOW - 0.5 * DAY, True),  # within the first day all of it counts
        (10 * 2**30, NOW - 2 * DAY, False),
        (20 * 2**30, NOW - 2 * DAY, True),
        (10 * 2**30 - 1, NOW - 0.5 * DAY, False),
        (0, NOW, False),
    ],
)
def test_temporary_files_are_counted_by_the_day(written, since, warned):
    row = database(temp_files=5, temp_bytes=written, stats_reset=since)
    assert bool(told(temp_files(snapshot(databases=(row,)), policy()))) == warned


def test_counters_begin_with_the_last_reset_or_crash():
    assert facts().counting_since(database(stats_reset=NOW - DAY)) == NOW - DAY
    assert facts(counters_since=NOW - 5).counting_since(database(stats_reset=NOW - DAY)) == NOW - 5
    assert facts(counters_since=None).counting_since(database()) is None
    assert facts(counters_since=NOW).counting_since(None) == NOW


def test_a_wrong_checksum_is_critical_and_none_at_all_a_remark():
    rows = (database(checksum_failures=2, checksum_last_failure=NOW), database("fine"))
    verdict = checksums(snapshot(databases=rows), {"failures": 1, "last": NOW})
    assert told(verdict) == {
        "main: shop": ("pg.checksum_failed", "critical"),
        "main: shared catalogs": ("pg.checksum_failed", "critical"),
    }
    assert verdict.value == 3
    off = checksums(snapshot(facts=facts({"data_checksums": "off"})), {})
    assert told(off) == {"main: checksums": ("pg.checksums_off", "info")}


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("track_counts", "off"),
        ("autovacuum_naptime", "3600"),
        ("autovacuum_vacuum_scale_factor", "0.5"),
        ("autovacuum_analyze_scale_factor", "1"),
        ("autovacuum_vacuum_threshold", "1000000"),
        ("autovacuum_freeze_max_age", "2000000000"),
        ("autovacuum_vacuum_cost_delay", "100"),
        ("vacuum_defer_cleanup_age", "1"),
        ("old_snapshot_threshold", "60"),
        ("fsync", "off"),
        ("full_page_writes", "off"),
        ("zero_damaged_pages", "on"),
        ("ignore_checksum_failure", "on"),
    ],
)
def test_a_setting_that_does_harm_is_named_with_the_way_back(name, value):
    verdict = settings(snapshot(facts=facts({name: value})))
    assert told(verdict) == {f"main: setting {name}": ("pg.setting_harmful", "warning")}
    assert sql_of(verdict) == [f"ALTER SYSTEM RESET {name}; SELECT pg_reload_conf();"]


@pytest.mark.parametrize(
    "harmless",
    [
        {},
        {"old_snapshot_threshold": "-1"},
        {"autovacuum_vacuum_cost_delay": "100", "autovacuum_vacuum_cost_limit": "2000"},
        {"autovacuum_vacuum_cost_delay": "20"},
        {"autovacuum_vacuum_cost_delay": "0", "autovacuum_vacuum_cost_limit": "1"},
        {"autovacuum_vacuum_cost_delay": "-1"},
    ],
)
def test_other_settings_are_the_users_own(harmless):
    assert settings(snapshot(facts=facts(harmless))).problems == ()


def test_sizes_are_told_and_hidden_ones_too():
    verdict = sizes(snapshot(), {"shop": 100, "other": None})
    assert verdict.value == 100
    assert told(verdict) == {"main: sizes": ("pg.health_not_permitted", "unknown")}
    assert [(each.name, each.labels["database"]) for each in verdict.metrics] == [("pg_database_size", "shop")]
