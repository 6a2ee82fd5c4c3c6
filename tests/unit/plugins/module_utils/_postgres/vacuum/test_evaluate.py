"""What became of each table, and what is said about it."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from ansible_collections.cadence.upkeep.plugins.module_utils._core.finding import Finding, Severity
from ansible_collections.cadence.upkeep.plugins.module_utils._postgres.model import Holder
from ansible_collections.cadence.upkeep.plugins.module_utils._postgres.vacuum.codes import CODES
from ansible_collections.cadence.upkeep.plugins.module_utils._postgres.vacuum.evaluate import (
    evaluate,
    failure,
    judge,
    totals,
    worth_naming,
)
from ansible_collections.cadence.upkeep.plugins.module_utils._postgres.vacuum.model import (
    Applied,
    Attempt,
    Counters,
    Policy,
    Record,
    Table,
)
from ansible_collections.cadence.upkeep.plugins.module_utils._postgres.vacuum.plan import plan
from tests.unit.plugins.module_utils._postgres.vacuum.samples import EPOCH, NOW, POLICY, holder, snapshot, table

DIRTY = table(dead=10_000, modified=10_000)
STALE = table(modified=10_000)
SUBJECT = "main: shop.public.orders"


def ended(one: Table = DIRTY, policy: Policy = POLICY, **how: Any) -> Record:
    """The record of one table, proven done and clean unless *how* says otherwise."""
    after = {"dead": 0, "modified": 0, **how.pop("after", {})}
    values: dict[str, Any] = {
        "attempts": {one.oid: Attempt(count=1, seconds=0.5)},
        "proven": frozenset((one.oid,)),
        "after": {one.oid: replace(one.counters, vacuumed_at=EPOCH, analyzed_at=EPOCH, **after)},
        **how,
    }
    shot = snapshot(one)
    (record,) = judge(shot, plan(shot, policy, NOW), policy, Applied(**values))
    return record


def found(*records: Record, policy: Policy = POLICY, seconds: float | None = None) -> list[Finding]:
    return evaluate(snapshot(), records, policy, seconds)


def only(record: Record) -> Finding:
    (finding,) = found(record)
    assert finding.code in CODES
    assert finding.subject == SUBJECT
    return finding


def left(why: str, **attempt: Any) -> Record:
    return ended(proven=frozenset(), attempts={DIRTY.oid: Attempt(count=2, why=why, **attempt)})


def test_what_is_proven_and_clean_is_done() -> None:
    record = ended()
    assert (record.status, record.changed, record.why) == ("done", True, "")
    assert found(record) == []
    assert record.sql == "VACUUM (ANALYZE) public.orders"


@pytest.mark.parametrize(
    ("one", "kept", "held", "status", "changed"),
    [
        (DIRTY, 0, True, "done", True),
        (DIRTY, 999, True, "done", True),  # under the limits: nothing is left to do
        (DIRTY, 5_000, False, "done", True),  # half is gone, and who writes meanwhile is no fault
        (DIRTY, 5_000, True, "partial", True),
        (DIRTY, 9_000, False, "partial", True),  # its statistics are fresh, that is something
        (table(dead=10_000), 9_000, False, "partial", False),
        (table(dead=10_000), 8_999, True, "partial", True),
        (table(dead=10_000), 12_000, True, "partial", False),
        (STALE, 9_999, True, "done", True),  # no VACUUM, so nothing was to be removed
    ],
)
def test_dead_rows_that_stay(one: Table, kept: int, held: bool, status: str, changed: bool) -> None:
    record = ended(one, after={"dead": kept}, holders=(holder(),) if held else ())
    assert (record.status, record.changed) == (status, changed)


def test_a_toast_table_can_be_held_back_too() -> None:
    one = table(toast_live=10_000, toast_dead=10_000)
    assert ended(one, after={"toast_dead": 10_000}, holders=(holder(),)).status == "partial"


def test_what_holds_dead_rows_is_named() -> None:
    finding = only(ended(after={"dead": 10_000}, holders=(holder(), holder(id="4712", xid_age=3))))
    assert (finding.code, finding.severity) == ("pg.vacuum_blocked", Severity.WARNING)
    assert finding.message == (
        f"{SUBJECT} kept 10000 of 10000 dead rows after its VACUUM: "
        "the session with pid 4711 (5400 s, 120 transactions old) may still see them."
    )
    assert finding.evidence["holder"]["id"] == "4711"
    assert finding.evidence["dead_after"] == 10_000
    assert finding.remedy == "SELECT pg_terminate_backend(4711);"


def test_a_holder_of_another_database_is_not_to_blame() -> None:
    record = ended(after={"dead": 10_000}, holders=(holder(database="other"),))
    assert record.holders == ()
    finding = only(record)
    assert (finding.code, finding.severity) == ("pg.vacuum_no_effect", Severity.WARNING)
    everywhere = ended(after={"dead": 10_000}, holders=(holder(kind="slot", id="s", database="", seconds=None),))
    assert only(everywhere).code == "pg.vacuum_blocked"


def test_braces_in_the_name_of_a_holder_are_only_braces() -> None:
    record = ended(
        after={"dead": 10_000}, holders=(holder(kind="prepared", id="{sql}", hint="ROLLBACK PREPARED '{sql}';"),)
    )
    assert only(record).remedy == "ROLLBACK PREPARED '{sql}';"


@pytest.mark.parametrize(
    ("why", "code", "severity"),
    [
        ("lock", "pg.table_locked", Severity.WARNING),
        ("timeout", "pg.vacuum_timed_out", Severity.WARNING),
        ("cancelled", "pg.vacuum_cancelled", Severity.WARNING),
        ("unproven", "pg.vacuum_unproven", Severity.UNKNOWN),
        ("", "pg.vacuum_unproven", Severity.UNKNOWN),
    ],
)
def test_what_was_left_is_said(why: str, code: str, severity: Severity) -> None:
    record = left(why, sqlstate="55P03")
    assert (record.status, record.changed) == ("skipped", False)
    finding = only(record)
    assert (finding.code, finding.severity) == (code, severity)
    assert "10000 of 30000 rows are dead" in finding.message
    assert finding.evidence["attempts"] == 2
    assert finding.evidence["sqlstate"] == "55P03"
    assert finding.remedy


def test_a_table_that_is_gone_is_no_finding() -> None:
    record = ended(proven=frozenset(), after={}, attempts={DIRTY.oid: Attempt(why="vanished")})
    assert (record.status, record.why) == ("skipped", "vanished")
    assert found(record) == []


@pytest.mark.parametrize(
    ("sqlstate", "code", "severity"),
    [
        ("XX001", "pg.corruption", Severity.CRITICAL),
        ("XX002", "pg.corruption", Severity.CRITICAL),
        ("53100", "pg.disk_full", Severity.CRITICAL),
        ("XX000", "pg.vacuum_failed", Severity.UNKNOWN),
    ],
)
def test_what_failed_is_said(sqlstate: str, code: str, severity: Severity) -> None:
    attempt = Attempt(count=1, sqlstate=sqlstate, message="it broke")
    record = ended(failed=frozenset((DIRTY.oid,)), attempts={DIRTY.oid: attempt})
    assert (record.status, record.changed) == ("failed", False)
    finding = only(record)
    assert (finding.code, finding.severity) == (code, severity)
    assert f"it broke (SQLSTATE {sqlstate})" in finding.message


def test_a_statement_to_repeat_by_hand_is_the_one_of_that_table() -> None:
    attempt = Attempt(count=1, sqlstate="XX000", message="it broke")
    finding = only(ended(failed=frozenset((DIRTY.oid,)), attempts={DIRTY.oid: attempt}))
    assert finding.remedy.endswith("VACUUM (ANALYZE) public.orders;")


def test_before_the_work_each_table_that_needs_it_is_told() -> None:
    shot = snapshot(DIRTY, table("denied", dead=10_000, permitted=False), table("fine"))
    records = judge(shot, plan(shot, POLICY, NOW), POLICY)
    assert [(record.status, record.why, record.changed) for record in records] == [
        ("planned", "", True),
        ("skipped", "permission", False),
    ]
    findings = evaluate(shot, records, POLICY, None)
    assert [(one.code, one.severity) for one in findings] == [
        ("pg.vacuum_needed", Severity.INFO),
        ("pg.not_permitted", Severity.WARNING),
    ]
    assert "needs VACUUM and ANALYZE: 10000 of 30000" in findings[0].message


@pytest.mark.parametrize(
    ("why", "code", "severity"),
    [
        ("time_limit", "pg.out_of_time", Severity.WARNING),
        ("stopped", "pg.run_stopped", Severity.UNKNOWN),
        ("permission_catalog", "pg.catalogs_not_permitted", Severity.INFO),
        ("counters_off", "pg.counters_off", Severity.UNKNOWN),
    ],
)
def test_what_concerns_the_whole_database_is_said_once(why: str, code: str, severity: Severity) -> None:
    records = [replace(left(why), subject=f"{SUBJECT}{number}") for number in range(30)]
    (finding,) = found(*records, seconds=1800.0)
    assert (finding.code, finding.severity, finding.subject) == (code, severity, "main: shop")
    assert finding.code in CODES
    assert finding.message.startswith("30 tables")
    assert ("(1800 s)" in finding.message) == (why == "time_limit")
    assert finding.evidence["tables"] == 30
    assert len(finding.evidence["first"]) == 10


def test_another_run_is_named() -> None:
    shot = snapshot(DIRTY)
    records = judge(shot, plan(shot, POLICY, NOW), POLICY, held="pid 4711 is at work")
    assert [(record.status, record.why) for record in records] == [("skipped", "other_run")]
    (finding,) = evaluate(shot, records, POLICY, None)
    assert (finding.code, finding.severity) == ("pg.other_run", Severity.UNKNOWN)
    assert "pid 4711 is at work" in finding.message


# --- ages -------------------------------------------------------------------------------------------------------------

LIMIT = 150_000_000
AGED = table(heap_xid_age=200_000_000, frozen="700 1")
ELSEWHERE = holder(database="other", xid_age=LIMIT)


@pytest.mark.parametrize(
    ("left", "frozen", "holders", "status", "changed"),
    [
        (0, "900 1", (), "done", True),
        (LIMIT - 1, "900 1", (holder(xid_age=LIMIT),), "done", True),  # under the limit all is well
        (LIMIT, "900 1", (), "done", True),  # others use up ids while we work
        (LIMIT, "900 1", (ELSEWHERE,), "partial", True),  # an old transaction is in everybody's snapshot
        (190_000_000, "900 1", (), "partial", True),
        (200_000_000, "700 1", (), "partial", False),
        (200_000_000, "700 1", (holder(xid_age=200_000_000),), "partial", False),
    ],
)
def test_an_age_that_stays(left: int, frozen: str, holders: Any, status: str, changed: bool) -> None:
    record = ended(AGED, after={"heap_xid_age": left, "frozen": frozen}, holders=holders)
    assert (record.status, record.changed) == (status, changed)
    assert record.sql == "VACUUM (FREEZE) public.orders"
    assert record.holders == (holders if status == "partial" else ())


def test_what_keeps_a_table_from_being_frozen_is_named() -> None:
    held = ended(AGED, after={"heap_xid_age": 200_000_000, "frozen": "700 1"}, holders=(holder(xid_age=LIMIT),))
    finding = only(held)
    assert finding.code == "pg.vacuum_blocked"
    assert "is still 200000000 transactions old after its FREEZE: the session with pid 4711" in finding.message
    assert (finding.evidence["xid_age"], finding.evidence["xid_age_after"]) == (200_000_000, 200_000_000)


def test_a_logical_slot_holds_catalogs_alone() -> None:
    slot = holder(kind="slot", id="s", database="", seconds=None, xid_age=LIMIT, only_catalogs=True)
    kept = {"after": {"dead": 10_000}, "holders": (slot,)}
    assert ended(**kept).holders == ()
    assert ended(replace(DIRTY, catalog=True), **kept).holders == (slot,)


def test_what_all_databases_share_is_held_from_each() -> None:
    elsewhere = holder(database="other")
    kept = {"after": {"dead": 10_000}, "holders": (elsewhere,)}
    assert ended(**kept).holders == ()
    assert ended(replace(DIRTY, shared=True), **kept).holders == (elsewhere,)


def test_what_autovacuum_has_in_hand_is_a_remark() -> None:
    for busy, severity in (("autovacuum", Severity.INFO), ("wraparound", Severity.WARNING)):
        shot = snapshot(replace(DIRTY, busy=busy))
        (record,) = judge(shot, plan(shot, POLICY, NOW), POLICY)
        (finding,) = found(record)
        assert (record.why, finding.code, finding.severity) == ("autovacuum", "pg.autovacuum_at_work", severity)
        assert "autovacuum is at work on it" in finding.message
        assert finding.remedy.startswith("Let it end")


def test_the_server_that_was_lost_is_told_once() -> None:
    records = [replace(left("lost", message="the server was lost: gone"), subject=f"t{number}") for number in range(3)]
    (finding,) = found(*records)
    assert (finding.code, finding.severity) == ("pg.server_lost", Severity.UNKNOWN)
    assert "3 tables that need work in main: shop were left: the server was lost: gone" in finding.message


def test_a_task_may_fail_for_what_is_blocked() -> None:
    blocked = ended(after={"dead": 10_000}, holders=(holder(),))
    unexplained = ended(after={"dead": 10_000})
    assert failure([blocked, unexplained], frozenset()) == ""
    assert failure([unexplained], frozenset(), fail_on_blocked=True) == ""
    assert failure([blocked], frozenset(), fail_on_blocked=True) == (
        f"Blocked: {SUBJECT} (the session with pid 4711 (5400 s, 120 transactions old))."
    )


@pytest.mark.parametrize(
    ("one", "policy", "pages"),
    [
        (table(dead=10_000, visible=200), replace(POLICY, mode="vacuum"), 50),
        (table(dead=10_000, visible=200), POLICY, 50 + 250),
        (table(dead=10_000, heap_xid_age=LIMIT, visible=200), replace(POLICY, mode="vacuum"), 250),
        (table(modified=10_000, pages=90_000, rows=20_000.0), POLICY, 30_000),
    ],
)
def test_how_much_there_is_to_read(one: Table, policy: Policy, pages: int) -> None:
    one = replace(one, rows=float(one.counters.live + one.counters.dead))
    shot = snapshot(one)
    (record,) = judge(shot, plan(shot, policy, NOW), policy)
    assert record.bytes_to_read == pages * 8192
    assert record.as_dict()["lock_mode"] == "SHARE UPDATE EXCLUSIVE"


def test_totals() -> None:
    records = [
        ended(after={"pages": 100}),
        ended(after={"dead": 10_000}, holders=(holder(),)),
        left("lock"),
        replace(left("lock"), why="foreign"),
        ended(failed=frozenset((DIRTY.oid,))),
    ]
    numbers = totals(records, considered=80)
    assert numbers["considered"] == 80
    assert {key: numbers[key] for key in ("planned", "done", "partial", "skipped", "failed")} == {
        "planned": 0, "done": 1, "partial": 1, "skipped": 1, "failed": 1,
    }  # fmt: skip
    assert (numbers["dead_before"], numbers["dead_after"]) == (20_000, 10_000)
    assert numbers["freed"] == numbers["bytes_before"] - numbers["bytes_after"] == 150 * 8192
    assert numbers["by_reason"] == {"dead": 3, "foreign": 1, "lock": 1, "stats": 3}


def test_measured_bytes_count_before_what_the_catalog_says() -> None:
    attempt = Attempt(count=1, sizes_before=(1000, 100, 50), sizes_after=(600, 100, 50))
    numbers = totals([ended(attempts={DIRTY.oid: attempt})], considered=1)
    assert (numbers["bytes_before"], numbers["bytes_after"], numbers["freed"]) == (1100, 700, 400)


def test_the_task_fails_for_what_failed_and_for_what_it_was_told() -> None:
    failed = ended(failed=frozenset((DIRTY.oid,)), attempts={DIRTY.oid: Attempt(message="it broke")})
    denied = left("permission")
    assert failure([ended(), left("lock")], frozenset(("permission",))) == ""
    assert failure([denied], frozenset()) == ""
    assert failure([failed], frozenset()) == f"Failed: {SUBJECT} (it broke)."
    many = [replace(denied, subject=f"t{number}") for number in range(12)]
    text = failure([failed, *many], frozenset(("permission", "lock")))
    assert text.startswith("Failed: ")
    assert "Skipped: t0, t1" in text
    assert "t9 and 2 more (the role may neither vacuum nor analyse it)." in text


def test_holders_worth_naming() -> None:
    shot = snapshot(DIRTY)
    records = judge(shot, plan(shot, POLICY, NOW), POLICY)
    old, young, elsewhere = holder(), holder(id="1", seconds=59.0), holder(id="2", database="other")
    slot = holder(kind="slot", id="s", database="", seconds=None)
    assert worth_naming([old, young, elsewhere, slot], records, 60.0) == [old, slot]
    stale = snapshot(STALE)
    assert worth_naming([old], judge(stale, plan(stale, POLICY, NOW), POLICY), 60.0) == [], "no VACUUM is planned"
    assert worth_naming([], [ended(after={"dead": 10_000}, holders=(old,))], 60.0) == [old]


@pytest.mark.parametrize(
    ("one", "title"),
    [
        (holder(kind="idle_in_transaction"), "the session with pid 4711, idle in its transaction (5400 s, 120 tra"),
        (holder(kind="prepared", id="a\nb"), r"the prepared transaction 'a\nb' (5400 s, 120 transactions old)"),
        (holder(kind="slot", id="s", seconds=None), "the replication slot s (120 transactions old)"),
        (holder(kind="standby_feedback"), "the standby behind pid 4711 (5400 s"),
    ],
)
def test_a_holder_has_a_name_for_people(one: Holder, title: str) -> None:
    assert one.title.startswith(title)


def test_a_record_travels_as_plain_values() -> None:
    plain = ended(attempts={DIRTY.oid: Attempt(count=1, seconds=0.12345, sizes_before=(1, 2, 3))}).as_dict()
    assert plain["reason"] == ["dead", "stats"]
    assert plain["seconds"] == 0.123
    assert (plain["before"]["heap_bytes"], plain["before"]["toast_bytes"], plain["before"]["index_bytes"]) == (1, 2, 3)
    assert (plain["after"]["heap_bytes"], plain["after"]["index_bytes"]) == (250 * 8192, None)
    assert plain["after"]["last_vacuum"] == "2026-11-22T04:13:00Z"
    assert replace(ended(), after=None).as_dict()["after"] is None
    assert replace(ended(), table=table(vacuumed_at=None)).as_dict()["before"]["last_vacuum"] is None
    assert Counters() == Counters(live=0)
