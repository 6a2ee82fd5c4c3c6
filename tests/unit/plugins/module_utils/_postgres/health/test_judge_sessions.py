"""Who is at work, and what is thought of it."""

from __future__ import annotations

import pytest

from ansible_collections.cadence.upkeep.plugins.module_utils._postgres.cluster import hint_for
from ansible_collections.cadence.upkeep.plugins.module_utils._postgres.health.judge_sessions import (
    autovacuum,
    connections,
    idle_in_transaction,
    lock_waits,
    long_queries,
    prepared_xacts,
    roots_of,
    xmin_holders,
)
from ansible_collections.cadence.upkeep.plugins.module_utils._postgres.health.model import (
    Activity,
    Prepared,
    SessionRow,
    Waiter,
    Workers,
)
from ansible_collections.cadence.upkeep.plugins.module_utils._postgres.model import Holder
from tests.unit.plugins.module_utils._postgres.health.samples import (
    database,
    facts,
    messages,
    policy,
    snapshot,
    sql_of,
    told,
)


def activity(used=10, **changed):
    plain = {"active": 1, "idle": 5, "idle_in_transaction": 0, "disabled": 0, "oldest_transaction": 12.5, "roles": []}
    return Activity(used, **{**plain, **changed})


@pytest.mark.parametrize(
    ("used", "severity"),
    # 100 less 3 for superusers and 7 more: 90 are left for everybody.
    [(0, None), (71, None), (72, "warning"), (80, "warning"), (81, "critical"), (95, "critical")],
)
def test_connections_are_judged_by_what_is_left_for_everybody(used, severity):
    verdict = connections(snapshot(), policy(), activity(used))
    assert told(verdict) == ({"main: connections": ("pg.connections_high", severity)} if severity else {})
    assert verdict.value == round(used / 90, 4)


def test_a_database_or_a_role_may_be_full_long_before():
    full = snapshot(databases=(database("shop", backends=8, connection_limit=10), database("free", backends=50)))
    roles = [{"role": "we b", "used": 10, "limit": 10}, {"role": "calm", "used": 1, "limit": 10}]
    verdict = connections(full, policy(), activity(roles=roles))
    assert told(verdict) == {
        "main: database shop": ("pg.connections_high", "warning"),
        'main: role "we b"': ("pg.connections_high", "critical"),
    }
    assert sql_of(verdict) == [
        "ALTER DATABASE shop CONNECTION LIMIT 20;",
        'ALTER ROLE "we b" CONNECTION LIMIT 20;',
    ]


def test_what_the_role_cannot_see_of_connections_is_not_told():
    blind = snapshot(facts=facts(reads_all_stats=False))
    verdict = connections(blind, policy(), activity(85))
    assert "idle" not in messages(verdict)[0]
    assert verdict.items == ({"used": 85, "room": 90},)


def test_a_long_query_is_a_warning_and_maintenance_a_remark():
    sessions = (
        SessionRow(7, "shop", "web", "app", "10.0.0.1", "active", "Lock: tuple", 400.0, 500.0),
        SessionRow(8, "shop", "dba", "psql", "local", "active", None, 4000.0, 4000.0, "VACUUM"),
    )
    verdict = long_queries(snapshot(), policy(), (2, sessions))
    assert told(verdict) == {"main: pid 7": ("pg.long_query", "warning"), "main: pid 8": ("pg.long_query", "info")}
    assert messages(verdict) == [
        "The session pid 7 ('app' of web in shop) runs a query for 6m 40s, waiting (Lock: tuple) (limit 5m).",
        "The session pid 8 ('psql' of dba in shop) runs VACUUM for 1h 6m (limit 5m).",
    ]


def test_of_many_the_worst_are_told_and_the_rest_is_counted():
    sessions = tuple(SessionRow(pid, seconds=1000.0 - pid) for pid in range(1, 51))
    verdict = idle_in_transaction(snapshot(), policy(), (70, sessions))
    assert len(verdict.problems) == 21
    last = verdict.problems[-1].finding
    assert (last.subject, last.code) == ("main: idle_in_transaction", "pg.idle_in_transaction")
    assert last.message == "main: idle_in_transaction has 50 more of these; 20 are told one by one."
    assert verdict.value == 70


# --- locks ------------------------------------------------------------------------------------------------------------


def waiting(*entries):
    return {pid: Waiter(pid, seconds, blockers, "relation, AccessShareLock") for pid, seconds, *blockers in entries}


@pytest.mark.parametrize(
    ("entries", "pid", "roots"),
    [
        ([(1, 5, 9)], 1, {9}),
        ([(1, 5, 2), (2, 9, 3)], 1, {3}),
        ([(1, 5, 2, 8), (2, 9, 3)], 1, {3, 8}),
        ([(1, 5, 2), (2, 9, 1)], 1, set()),  # a deadlock that the server has yet to find
        ([(1, 5, 0)], 1, {0}),
        ([(1, 5, 2), (2, 9)], 1, {2}),  # whoever blocked 2 is gone meanwhile
    ],
)
def test_the_roots_of_waiting(entries, pid, roots):
    assert roots_of(pid, waiting(*entries)) == roots


def test_there_is_one_finding_for_each_root():
    waiters = waiting((1, 100, 9), (2, 70, 1), (3, 5, 8), (4, 61, 9, 8))
    sessions = {9: SessionRow(9, "shop", "web", "app", "local", "idle in transaction")}
    verdict = lock_waits(snapshot(), policy(), (4, tuple(waiters.values()), sessions))
    assert told(verdict) == {"main: pid 9": ("pg.lock_wait", "warning"), "main: pid 8": ("pg.lock_wait", "warning")}
    assert messages(verdict)[0] == (
        "3 sessions wait for pid 9 ('app' of web in shop), idle in transaction, the longest for 1m 40s: pid 1 wants "
        "relation, AccessShareLock (limit 1m)."
    )
    assert [entry["for"] for entry in verdict.items[0]["waiting"]] == [[9], [1], [9, 8]]
    assert verdict.value == 4


def test_a_short_wait_is_no_finding():
    waiters = waiting((1, 59.9, 9), (2, None, 9))
    verdict = lock_waits(snapshot(), policy(), (2, tuple(waiters.values()), {}))
    assert verdict.problems == ()
    assert verdict.value == 2


# --- what holds old rows ----------------------------------------------------------------------------------------------


def holder(kind, name, age=0, seconds=None, place="shop"):
    return Holder(kind, name, place, age, seconds, hint_for(kind, name))


@pytest.mark.parametrize(
    ("each", "sql"),
    [
        (holder("backend", "7", 2_000_000, 1.0), "SELECT pg_terminate_backend(7);"),
        (holder("idle_in_transaction", "7", 1, 4000.0), "SELECT pg_terminate_backend(7);"),
        (holder("prepared", "it's", 1, 4000.0), "ROLLBACK PREPARED 'it''s';"),
        (holder("slot", "old", 1_000_000, None, ""), "SELECT pg_drop_replication_slot('old');"),
        (holder("standby_feedback", "9", 1_000_000, None, ""), ""),
    ],
)
def test_what_holds_old_rows_is_named_with_its_end(each, sql):
    verdict = xmin_holders(snapshot(), policy(), (each,))
    assert told(verdict) == {f"main: {each.kind} {each.id}": ("pg.xmin_held", "warning")}
    assert sql_of(verdict) == [sql]
    assert ("in every database" in messages(verdict)[0]) == (each.database == "")


def test_a_young_holder_is_listed_alone():
    verdict = xmin_holders(snapshot(), policy(), (holder("backend", "7", 999_999, 3599.0),))
    assert verdict.problems == ()
    assert verdict.value == 999_999


def test_a_role_that_sees_no_times_is_told_so():
    verdict = xmin_holders(snapshot(facts=facts(reads_all_stats=False)), policy(), ())
    assert told(verdict) == {"main: xmin_holders": ("pg.health_not_permitted", "unknown")}
    assert sql_of(verdict) == ["GRANT pg_monitor TO upkeep;"]


def test_a_prepared_transaction_can_be_pasted_whatever_its_name():
    each = Prepared("a\n'b\\", 'my "db"', "web", 301.0)
    verdict = prepared_xacts(snapshot(), policy(), (each, Prepared("young", "shop", "web", 299.0)))
    assert list(told(verdict)) == ["main: prepared a\\n'b\\"]
    assert sql_of(verdict) == [r"ROLLBACK PREPARED E'a\x0a''b\\';"]
    assert verdict.value == 2


# --- autovacuum -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("settings", "workers", "code"),
    [
        ({}, Workers(3, 10.0, 0), None),
        ({}, Workers(3, 3600.0, 1), "pg.autovacuum_busy"),
        ({}, Workers(2, 9000.0, 0), None),
        ({}, Workers(0, None, 0), None),
        ({"autovacuum": "off"}, Workers(0, None, 0), "pg.autovacuum_off"),
    ],
)
def test_autovacuum_is_off_busy_or_fine(settings, workers, code):
    verdict = autovacuum(snapshot(facts=facts(settings)), policy(), workers)
    assert told(verdict) == ({"main: autovacuum": (code, "warning")} if code else {})
