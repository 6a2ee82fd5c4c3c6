"""Ages, and the thresholds of autovacuum, as reasons; what autovacuum has in hand; and in which order."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from ansible_collections.cadence.upkeep.plugins.module_utils._postgres.vacuum.model import (
    ANALYZE,
    EMERGENCY,
    EMERGENCY_AGE,
    FREEZE,
    VACUUM,
    Autovacuum,
    Limit,
    Plan,
    Policy,
    Table,
)
from ansible_collections.cadence.upkeep.plugins.module_utils._postgres.vacuum.plan import plan
from ansible_collections.cadence.upkeep.plugins.module_utils._postgres.vacuum.statements import (
    closing_statement,
    statements,
)
from tests.unit.plugins.module_utils._postgres.vacuum.samples import NOW, OPTIONS, POLICY, snapshot, table

OLD, YOUNG = 150_000_000, 149_999_999
ALARM = replace(POLICY, mode=EMERGENCY)


def planned(*tables: Table, policy: Policy = POLICY, **given: Any) -> Plan:
    return plan(snapshot(*tables, **given), policy, NOW)


def actions(one: Table, policy: Policy = POLICY) -> tuple[str, ...]:
    steps = planned(one, policy=policy).steps
    return steps[0].actions if steps else ()


# --- ages -------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("counters", "codes"),
    [
        ({"heap_xid_age": YOUNG, "toast_xid_age": YOUNG}, []),
        ({"heap_xid_age": OLD}, ["xid"]),
        ({"toast_xid_age": OLD}, ["xid"]),
        ({"heap_mxid_age": 299_999_999}, []),
        ({"toast_mxid_age": 300_000_000}, ["mxid"]),
        ({"heap_xid_age": OLD, "heap_mxid_age": 300_000_000}, ["xid", "mxid"]),
    ],
)
def test_what_is_too_old_is_frozen(counters: dict[str, int], codes: list[str]) -> None:
    one = table(**counters)
    for mode in ("vacuum_analyze", "vacuum", "freeze", EMERGENCY):
        steps = planned(one, policy=replace(POLICY, mode=mode)).steps
        assert [reason.code for step in steps for reason in step.reasons] == codes
        assert actions(one, replace(POLICY, mode=mode)) == ((VACUUM, FREEZE) if codes else ())
    assert actions(one, replace(POLICY, mode="analyze")) == ()


def test_the_reason_has_the_age_and_the_limit() -> None:
    (step,) = planned(table(heap_xid_age=OLD, toast_xid_age=160_000_000)).steps
    assert step.reasons[0].text == "its oldest unfrozen transaction is 160000000 old (limit 150000000)"


def test_age_and_rows_together() -> None:
    assert actions(table(heap_xid_age=OLD, dead=10_000)) == (VACUUM, FREEZE, ANALYZE)
    assert actions(table(heap_xid_age=OLD, modified=10_000)) == (VACUUM, FREEZE, ANALYZE)
    assert actions(table(heap_xid_age=OLD, dead=10_000), replace(POLICY, mode="vacuum")) == (VACUUM, FREEZE)


@pytest.mark.parametrize("mode", ["freeze", EMERGENCY])
def test_a_mode_for_ages_has_no_eye_for_rows(mode: str) -> None:
    assert actions(table(dead=10_000, modified=10_000), replace(POLICY, mode=mode)) == ()


def test_always_freezes_in_mode_freeze_and_what_is_old_in_the_others() -> None:
    always = replace(POLICY, always=True)
    assert actions(table(), replace(always, mode="freeze")) == (VACUUM, FREEZE)
    assert actions(table(), always) == (VACUUM, ANALYZE)
    assert actions(table(heap_xid_age=OLD), always) == (VACUUM, FREEZE, ANALYZE)


def test_what_vacuum_is_told_to_leave_is_no_reason() -> None:
    no_toast = replace(POLICY, toast=False)
    assert actions(table(toast_xid_age=OLD, toast_dead=9_000), no_toast) == ()
    no_heap = replace(POLICY, heap=False, mode="vacuum")
    assert actions(table(heap_xid_age=OLD, dead=10_000, toast=30_000), no_heap) == ()
    assert actions(table(toast_xid_age=OLD, toast=30_000), no_heap) == (VACUUM, FREEZE)
    assert actions(table(), replace(no_heap, always=True)) == (), "it has no TOAST table"
    assert actions(table(toast=30_000), replace(no_heap, always=True)) == (VACUUM,)


def test_an_age_needs_no_counters() -> None:
    made = planned(table("old", 1, heap_xid_age=OLD, dead=10_000), table("dirty", 2, dead=10_000), counts=False)
    assert [(step.table.name, step.actions) for step in made.steps] == [("old", (VACUUM, FREEZE))]
    assert [(skip.table.name, skip.why) for skip in made.skipped] == [("dirty", "counters_off")]


def test_each_database_freezes_the_catalogs_that_all_share() -> None:
    shared = table("pg_authid", 1, schema="pg_catalog", catalog=True, shared=True, dead=10_000)
    assert len(planned(shared).steps) == 1
    again = planned(shared, again=True)
    assert (again.steps, again.skipped, again.healthy) == ((), (), ())
    old = replace(shared, counters=replace(shared.counters, heap_xid_age=OLD))
    (step,) = planned(old, again=True).steps
    assert (step.actions, [reason.code for reason in step.reasons]) == ((VACUUM, FREEZE), ["xid"])


# --- autovacuum -------------------------------------------------------------------------------------------------------

# Of 20000 rows: 1050 dead, 2050 changed, 2000 inserted.
LIMITS = Autovacuum(Limit(50, 0.05), Limit(50, 0.1), Limit(0, 0.1), toast_dead=Limit(50, 0.5))
LIKE_AUTOVACUUM = replace(POLICY, autovacuum=True)


@pytest.mark.parametrize(
    ("counters", "limits", "expected"),
    [
        ({"dead": 1_050}, {}, ()),
        ({"dead": 1_051}, {}, (VACUUM, ANALYZE)),
        ({"toast_dead": 50}, {}, ()),
        ({"toast_dead": 51}, {}, (VACUUM, ANALYZE)),
        ({"dead": 10**6}, {"dead": Limit(10**6, 0.0)}, ()),
        ({"dead": 10_001}, {"dead": Limit(50, 9.0, most=10_000)}, (VACUUM, ANALYZE)),
        ({"modified": 2_050}, {}, ()),
        ({"modified": 2_051}, {}, (ANALYZE,)),
        ({}, {"inserted": 2_000}, ()),
        ({}, {"inserted": 2_001}, (VACUUM,)),
        ({"modified": 2_051}, {"inserted": 2_001}, (VACUUM, ANALYZE)),
        ({}, {"inserted": 10**9, "inserts": None}, ()),
        ({}, {"toast_inserted": 10**9}, ()),
    ],
)
def test_the_thresholds_of_autovacuum(
    counters: dict[str, int], limits: dict[str, Any], expected: tuple[str, ...]
) -> None:
    one = table(**counters, autovacuum=replace(LIMITS, **limits))
    assert actions(one, LIKE_AUTOVACUUM) == expected


def test_they_count_only_where_they_are_asked_for() -> None:
    assert actions(table(dead=1_051, autovacuum=LIMITS)) == ()
    assert actions(table(dead=10_000, autovacuum=replace(LIMITS, dead=Limit(10**9, 0.0))), LIKE_AUTOVACUUM) == ()


def test_what_the_work_itself_will_show_is_done_with_it() -> None:
    """240 of 1000 rows are deleted: only ANALYZE is due, which then counts 760, and for those VACUUM is."""
    limits = Autovacuum(Limit(50, 0.2), Limit(50, 0.1))
    one = table(live=760, dead=240, modified=240, rows=1_000.0, autovacuum=limits)
    (step,) = planned(one, policy=LIKE_AUTOVACUUM).steps
    assert [reason.code for reason in step.reasons] == ["stats", "dead"]
    assert step.actions == (VACUUM, ANALYZE)


def test_a_table_without_thresholds_is_left_to_the_next_run() -> None:
    assert actions(table(dead=10_000), LIKE_AUTOVACUUM) == ()


def test_a_partitioned_table_is_measured_by_all_its_rows() -> None:
    whole = table("whole", 1, kind="p", live=0, rows=20_000.0, children=True, pages=0, autovacuum=LIMITS)
    part = table("part", 2, live=20_000, modified=2_050, parent=1, autovacuum=LIMITS)
    assert planned(whole, part, policy=LIKE_AUTOVACUUM).steps == ()
    more = replace(part, counters=replace(part.counters, modified=2_051))
    assert {step.table.name for step in planned(whole, more, policy=LIKE_AUTOVACUUM).steps} == {"whole", "part"}


@pytest.mark.parametrize(
    ("busy", "policy", "left"),
    [
        ("autovacuum", POLICY, True),
        ("autovacuum", replace(POLICY, always=True), False),
        ("autovacuum", ALARM, False),
        ("wraparound", POLICY, True),
        ("wraparound", replace(POLICY, always=True), True),
        ("wraparound", ALARM, True),
    ],
)
def test_what_autovacuum_is_doing_it_may_finish(busy: str, policy: Policy, left: bool) -> None:
    made = planned(table(dead=10_000, heap_xid_age=OLD, busy=busy), policy=policy)
    assert [skip.why for skip in made.skipped] == (["autovacuum"] if left else [])
    assert len(made.steps) == (0 if left else 1)


def test_what_needs_nothing_may_be_in_its_hands() -> None:
    assert planned(table(busy="autovacuum")).skipped == ()


# --- order and statements ---------------------------------------------------------------------------------------------


def test_the_oldest_comes_first() -> None:
    made = planned(
        table("dirty", 1, dead=10_000, pages=9_000),
        table("old", 2, heap_xid_age=OLD),
        table("older", 3, heap_xid_age=OLD + 5),
        table("alarming", 4, heap_mxid_age=EMERGENCY_AGE + 1),
    )
    assert [step.table.name for step in made.steps] == ["alarming", "older", "old", "dirty"]


def test_an_emergency_keeps_the_order_and_waits_for_locks() -> None:
    ages = {"first": OLD + 9, "second": OLD + 8, "big": OLD + 7, "third": OLD + 6, "last": OLD + 5}
    tables = [
        table(name, number, heap_xid_age=old, live=300, rows=300.0, pages=900 if name == "big" else 5)
        for number, (name, old) in enumerate(ages.items(), 1)
    ]
    shot = snapshot(*tables)
    first, then, last = statements(plan(shot, ALARM, NOW).steps, shot, replace(OPTIONS, waits=True, lock_retries=0))
    assert [statement.sql for statement in first] == [
        "VACUUM (FREEZE) public.first",
        "VACUUM (FREEZE) public.second",
        "VACUUM (FREEZE) public.big",
        "VACUUM (FREEZE) public.third",
        "VACUUM (FREEZE) public.last",
    ]
    assert then == last == []


def test_old_tables_that_are_small_still_go_together() -> None:
    tables = [table(f"t{number}", number, heap_xid_age=OLD, live=300, rows=300.0, pages=5) for number in range(1, 9)]
    shot = snapshot(*tables)
    first, _then, _last = statements(plan(shot, ALARM, NOW).steps, shot, replace(OPTIONS, waits=True))
    assert [len(statement.steps) for statement in first] == [4, 4]
    assert not any(statement.skips_locked for statement in first)


@pytest.mark.parametrize(
    ("version", "waits", "expected"),
    [
        (150018, False, ""),
        (150018, True, "VACUUM public.small"),
        (160015, False, "VACUUM (ONLY_DATABASE_STATS)"),
        (160015, True, "VACUUM (ONLY_DATABASE_STATS)"),
    ],
)
def test_the_last_statement(version: int, waits: bool, expected: str) -> None:
    shot = snapshot(
        table("big", 1, pages=90), table("small", 2, pages=2, live=20, rows=20.0), table("p", 3, kind="p", pages=0),
        table("theirs", 4, pages=0, live=0, rows=0.0, permitted=False), version=version,
    )  # fmt: skip
    assert closing_statement(shot, replace(OPTIONS, waits=waits)) == expected


def test_there_is_no_last_statement_where_nothing_is_ours() -> None:
    assert closing_statement(snapshot(table(permitted=False)), replace(OPTIONS, waits=True)) == ""
