"""What is in one database."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ansible_collections.cadence.upkeep.plugins.module_utils._postgres.bloat.model import Estimate
from ansible_collections.cadence.upkeep.plugins.module_utils._postgres.health.judge_database import (
    autovacuum_off,
    bloat,
    duplicate_indexes,
    invalid_indexes,
    large_objects,
    last_vacuum,
    sequences,
    table_sizes,
    unused_indexes,
)
from ansible_collections.cadence.upkeep.plugins.module_utils._postgres.health.model import (
    IndexRow,
    Invalid,
    LargeObjects,
    SequenceRow,
    Sequences,
    Sized,
    TableRow,
    Tables,
    Twin,
)
from tests.unit.plugins.module_utils._postgres.health.samples import (
    DAY,
    NOW,
    PLACE,
    facts,
    messages,
    policy,
    snapshot,
    sql_of,
    told,
)

MB = 1_000_000


def estimate(
    name="t", kind="table", size=200 * MB, expected=50 * MB, confidence="high", why="", schema="public", oid=5
):
    return Estimate(oid, kind, schema, name, f"{schema}.{name}", oid, name, size, expected, "estimate", confidence, why)


@pytest.mark.parametrize(
    ("each", "found", "sql"),
    [
        (estimate(expected=101 * MB), None, None),
        (estimate(expected=100 * MB), ("pg.bloat_high", "warning"), "VACUUM (FULL, ANALYZE) public.t;"),
        (estimate(kind="index"), ("pg.bloat_high", "warning"), "REINDEX INDEX CONCURRENTLY public.t;"),
        (estimate(confidence="low"), ("pg.bloat_high", "info"), "VACUUM (FULL, ANALYZE) public.t;"),
        # The server refuses to rebuild its catalogs concurrently.
        (estimate(kind="index", schema="pg_catalog"), ("pg.bloat_high", "warning"), "REINDEX INDEX pg_catalog.t;"),
    ],
)
def test_bloat_is_judged_by_its_share(each, found, sql):
    verdict = bloat(snapshot(), policy(), PLACE, [each])
    assert told(verdict) == ({f"main: shop.{each.sql_name}": found} if found else {})
    assert sql_of(verdict) == ([sql] if sql else [])


@pytest.mark.parametrize(
    ("why", "severity", "sql"),
    [
        ("never analysed: ANALYZE first", "unknown", "ANALYZE public.t;"),
        ("the role may not read its statistics: GRANT ...", "unknown", "GRANT pg_read_all_data TO upkeep;"),
        ("the size of a gin index cannot be estimated", "info", ""),
    ],
)
def test_what_cannot_be_estimated_is_unknown_where_somebody_can_mend_it(why, severity, sql):
    verdict = bloat(snapshot(), policy(), PLACE, [estimate(confidence="none", why=why)])
    assert told(verdict) == {"main: shop bloat": ("pg.bloat_unknown", severity)}
    assert sql_of(verdict) == [sql]


def test_the_statistics_have_no_statistics_and_that_is_fine():
    unknown = estimate("pg_statistic", confidence="none", why="never analysed: ANALYZE first", oid=2619)
    assert bloat(snapshot(), policy(), PLACE, [unknown]).problems == ()


# --- indexes ----------------------------------------------------------------------------------------------------------


def index(name="i", scans=0, last=None, partitioned=False):
    return IndexRow(f"public.{name}", "public.t", 5 * MB, scans, partitioned, last)


def test_an_unused_index_takes_old_counters():
    old = unused_indexes(snapshot(), policy(), PLACE, (index(), index("p", partitioned=True)))
    assert told(old) == {
        "main: shop.public.i": ("pg.index_unused", "warning"),
        "main: shop.public.p": ("pg.index_unused", "warning"),
    }
    assert sql_of(old) == ["DROP INDEX CONCURRENTLY public.i;", "DROP INDEX public.p;"]
    young = snapshot(facts=facts(counters_since=NOW - 30 * DAY + 1))
    verdict = unused_indexes(young, policy(), PLACE, (index(),))
    assert told(verdict) == {"main: shop unused_indexes": ("pg.index_usage_unknown", "unknown")}
    assert "it takes 30d to tell" in messages(verdict)[0]
    assert unused_indexes(young, policy(), PLACE, ()).problems == ()


def test_a_known_last_read_is_enough():
    young = snapshot(facts=facts(counters_since=NOW - 60))
    verdict = unused_indexes(young, policy(), PLACE, (index(scans=4, last=NOW - 31 * DAY), index("never")))
    assert told(verdict) == {
        "main: shop.public.i": ("pg.index_unused", "warning"),
        "main: shop unused_indexes": ("pg.index_usage_unknown", "unknown"),
    }


def twin(name="i", exact=True, partitioned=False, constraint=None):
    return Twin(f"public.{name}", "public.t", MB, 3, "keeper", exact, partitioned, constraint)


@pytest.mark.parametrize(
    ("each", "found", "sql"),
    [
        (twin(), ("pg.index_duplicate", "warning"), "DROP INDEX CONCURRENTLY public.i;"),
        (twin(exact=False), ("pg.index_prefix", "info"), "DROP INDEX CONCURRENTLY public.i;"),
        (twin(partitioned=True), ("pg.index_duplicate", "warning"), "DROP INDEX public.i;"),
        (twin(constraint='"U"'), ("pg.index_duplicate", "warning"), 'ALTER TABLE public.t DROP CONSTRAINT "U";'),
    ],
)
def test_twins(each, found, sql):
    verdict = duplicate_indexes(snapshot(), PLACE, (1, (each,)))
    assert told(verdict) == {"main: shop.public.i": found}
    assert sql_of(verdict) == [sql]


def test_prefixes_do_not_push_out_twins():
    several = (*(twin(f"prefix_{number}", exact=False) for number in range(30)), twin("exact"))
    verdict = duplicate_indexes(snapshot(), PLACE, (45, several))
    assert "main: shop.public.exact" in told(verdict)
    assert "has 25 more of these" in messages(verdict)[-1]


def broken(**changed):
    plain = {
        "partitioned": False,
        "constraint": False,
        "leftover": "",
        "toast": False,
        "dying": False,
        "building": False,
    }
    return Invalid("public.i", "public.t", MB, **{**plain, **changed})


@pytest.mark.parametrize(
    ("each", "code", "sql"),
    [
        (broken(), "pg.index_invalid", "REINDEX INDEX CONCURRENTLY public.i;"),
        (broken(leftover="ccnew"), "pg.index_invalid", "DROP INDEX CONCURRENTLY public.i;"),
        (broken(leftover="ccold"), "pg.index_invalid", "DROP INDEX CONCURRENTLY public.i;"),
        (broken(leftover="ccnew", constraint=True), "pg.index_invalid", "REINDEX INDEX CONCURRENTLY public.i;"),
        (broken(leftover="ccnew", toast=True), "pg.index_invalid", "DROP INDEX public.i;"),
        (broken(dying=True), "pg.index_invalid", "DROP INDEX CONCURRENTLY public.i;"),
        (broken(partitioned=True), "pg.index_incomplete", ""),
        (broken(building=True), None, None),
    ],
)
def test_an_invalid_index_is_rebuilt_or_dropped(each, code, sql):
    verdict = invalid_indexes(snapshot(), PLACE, [each])
    assert told(verdict) == ({"main: shop.public.i": (code, "warning")} if code else {})
    assert sql_of(verdict) == ([] if sql is None else [sql])


# --- sequences --------------------------------------------------------------------------------------------------------


def sequence(last, data_type="bigint", low=1, high=2**63 - 1, rises=True, cycles=False, column_type=None):
    table, column = ("public.t", "id") if column_type else (None, None)
    return SequenceRow(last, "public.s", data_type, low, high, rises, cycles, table, column, column_type)


@pytest.mark.parametrize(
    ("each", "share"),
    [
        (sequence(100, high=100), 1.0),
        (sequence(1, high=100), 0.01),
        (sequence(2**30, column_type="int4"), 0.5),
        (sequence(0, "integer", -(2**31), 2**31 - 1), 0.5),
        (sequence(-50, low=-100, high=-1, rises=False), 0.5),
        (sequence(-(2**14), low=-(2**63), high=-1, rises=False, column_type="int2"), 0.5),
        (sequence(2**31, column_type="int4"), 1.0),  # the column is full already
        (sequence(2**62, column_type="int8"), 0.5),
        (sequence(50, high=100, column_type="numeric"), 0.5),
    ],
)
def test_which_share_of_its_numbers_is_used(each, share):
    assert each.share == pytest.approx(share, rel=1e-4)


@pytest.mark.parametrize(
    ("each", "sql"),
    [
        (
            sequence(2**31 - 9, "integer", high=2**31 - 1, column_type="int4"),
            "ALTER TABLE public.t ALTER COLUMN id TYPE bigint; ALTER SEQUENCE public.s AS bigint;",
        ),
        (sequence(2**31 - 9, column_type="int4"), "ALTER TABLE public.t ALTER COLUMN id TYPE bigint;"),
        (sequence(2**31 - 9, "integer", high=2**31 - 1), "ALTER SEQUENCE public.s AS bigint;"),
        (
            sequence(2**31 - 9, "integer", high=2**31 - 1, column_type="int8"),
            "ALTER SEQUENCE public.s AS bigint;",
        ),
        (sequence(99, high=100), "ALTER SEQUENCE public.s NO MAXVALUE NO MINVALUE;"),
    ],
)
def test_what_gives_a_sequence_room(each, sql):
    verdict = sequences(snapshot(), policy(), PLACE, Sequences(1, 0, 0, (each,)))
    assert told(verdict) == {"main: shop.public.s": ("pg.sequence_near_end", "critical")}
    assert sql_of(verdict) == [sql]


def test_one_that_begins_anew_never_ends():
    verdict = sequences(snapshot(), policy(), PLACE, Sequences(1, 0, 0, (sequence(100, high=100, cycles=True),)))
    assert (verdict.problems, verdict.value) == ((), 0.0)


def test_what_may_not_be_read_or_is_locked_is_unknown():
    verdict = sequences(snapshot(), policy(), PLACE, Sequences(5, 2, 1, ()))
    assert [(each.finding.code, each.sql) for each in verdict.problems] == [
        ("pg.health_not_permitted", "GRANT pg_read_all_data TO upkeep;"),
        ("pg.health_locked", ""),
    ]


@given(st.integers(1, 2**31 - 1), st.integers(1, 2**31 - 1))
def test_severity_rises_with_use(first, second):
    def severity(last):
        each = sequence(last, "integer", high=2**31 - 1)
        return sequences(snapshot(), policy(), PLACE, Sequences(1, 0, 0, (each,))).severity

    low, high = sorted((first, second))
    assert severity(low) <= severity(high)


# --- the rest ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("seen", "found"),
    [
        (LargeObjects(0, 0, 0), {}),
        (LargeObjects(9, 0, 2), {}),
        (LargeObjects(9, 1, 2), {"main: shop large_objects": ("pg.large_objects_orphaned", "warning")}),
        (
            LargeObjects(-1, None, 1, ("public.t",)),
            {"main: shop large_objects": ("pg.health_not_permitted", "unknown")},
        ),
        (LargeObjects(-1, None, 501), {"main: shop large_objects": ("pg.health_unreadable", "unknown")}),
    ],
)
def test_large_objects(seen, found):
    verdict = large_objects(snapshot(), PLACE, seen)
    assert told(verdict) == found
    assert not [sql for sql in sql_of(verdict) if "lo_unlink" in sql]


def test_what_autovacuum_owes():
    rows = (
        TableRow("public.a", 10, 500, 600, True, True, NOW - 3 * DAY, None),
        TableRow("public.b", 10, 0, 600, False, True, None, NOW - 2 * DAY),
    )
    verdict = last_vacuum(snapshot(), policy(), PLACE, Tables(9, 2, rows, 0, ()))
    assert messages(verdict) == [
        "The table public.a has 500 dead rows and was vacuumed 3d ago and 600 rows changed since ANALYZE and was never "
        "analysed; autovacuum should have come (limit 2d).",
        "The table public.b has 600 rows changed since ANALYZE and was analysed 2d ago; autovacuum should have come "
        "(limit 2d).",
    ]
    assert sql_of(verdict) == ["VACUUM (ANALYZE) public.a;", "ANALYZE public.b;"]


def test_tables_without_autovacuum_are_one_finding():
    off = tuple({"sql_name": f"public.t{number}", "rows": 1} for number in range(7))
    verdict = autovacuum_off(snapshot(), PLACE, Tables(9, 0, (), 7, off))
    assert told(verdict) == {"main: shop autovacuum": ("pg.autovacuum_table_off", "warning")}
    assert messages(verdict)[0].endswith("public.t4 and 2 more.")
    assert sql_of(verdict)[0].count("RESET (autovacuum_enabled)") == 5
    assert autovacuum_off(snapshot(), PLACE, Tables(9, 0, (), 0, ())).problems == ()


def test_sizes_are_records():
    (record,) = table_sizes(PLACE, [Sized("public.t", 9, 30, 10, 15, 5, True)])
    assert (record["database"], record["bytes"], record["index_bytes"]) == ("shop", 30, 15)
