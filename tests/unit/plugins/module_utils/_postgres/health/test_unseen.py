"""What could not be looked at says what would mend it."""

from __future__ import annotations

import pytest

from ansible_collections.cadence.upkeep.plugins.module_utils._postgres.health.ask import NO_TIME, Failure
from ansible_collections.cadence.upkeep.plugins.module_utils._postgres.health.codes import CODES
from ansible_collections.cadence.upkeep.plugins.module_utils._postgres.health.options import run_options_of
from ansible_collections.cadence.upkeep.plugins.module_utils._postgres.health.unseen import (
    activities_off,
    counters_off,
    extension_missing,
    grant,
    on_standby,
    unseen,
)
from tests.unit.plugins.module_utils._postgres.health.samples import params

OPTIONS = run_options_of(params(lock_timeout="2s", time_limit="50s"))


@pytest.mark.parametrize(
    ("part", "state", "code", "sql"),
    [
        ("replication", "42501", "pg.health_not_permitted", "GRANT pg_monitor TO upkeep;"),
        ("sequences", "42501", "pg.health_not_permitted", "GRANT pg_read_all_data TO upkeep;"),
        ("bloat", "57014", "pg.health_timed_out", ""),
        ("bloat", "55P03", "pg.health_locked", ""),
        ("bloat", NO_TIME, "pg.health_out_of_time", ""),
        ("bloat", "XX001", "pg.health_unreadable", ""),
        ("slow_queries", "55000", "pg.statements_missing", ""),
        ("bloat", "55000", "pg.health_unreadable", ""),
    ],
)
def test_an_error_of_the_server_has_a_meaning(part, state, code, sql):
    seen = unseen(part, Failure(state, "it said so."), "upkeep", OPTIONS)
    assert (seen.code, seen.sql, seen.severity.word) == (code, sql, "unknown")
    assert seen.remedy
    assert not seen.reason.endswith(".")
    assert seen.code in CODES


def test_the_limits_are_told():
    assert "longer than 2s" in unseen("bloat", Failure("55P03", ""), "upkeep", OPTIONS).reason
    assert "50s was over" in unseen("bloat", Failure(NO_TIME, ""), "upkeep", OPTIONS).reason
    assert "it said so (SQLSTATE XX001)" in unseen("bloat", Failure("XX001", "it said so"), "upkeep", OPTIONS).reason


def test_a_role_is_quoted_in_its_grant():
    assert grant("sizes", 'my "role"') == 'GRANT pg_monitor TO "my ""role""";'


@pytest.mark.parametrize(
    ("loaded", "installed", "sql", "word"),
    [
        (True, False, "CREATE EXTENSION pg_stat_statements;", "is not in the database shop"),
        (False, False, "CREATE EXTENSION pg_stat_statements;", "is not in the database shop"),
        (False, True, "", "is not in shared_preload_libraries"),
    ],
)
def test_what_pg_stat_statements_lacks(loaded, installed, sql, word):
    seen = extension_missing("shop", loaded, installed)
    assert (seen.sql, word in seen.reason) == (sql, True)
    assert ("restart" in seen.remedy) == (not loaded)


def test_what_is_off_can_be_turned_on():
    assert counters_off().sql == "ALTER SYSTEM SET track_counts = on; SELECT pg_reload_conf();"
    assert activities_off(3).sql == "ALTER SYSTEM SET track_activities = on; SELECT pg_reload_conf();"


def test_on_a_standby_it_is_no_fault():
    assert on_standby("last_vacuum").severity.word == "info"
