"""What became of each index, and which findings that makes."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from ansible_collections.cadence.upkeep.plugins.module_utils._core.finding import Finding, Severity
from ansible_collections.cadence.upkeep.plugins.module_utils._postgres.codes import CODES
from ansible_collections.cadence.upkeep.plugins.module_utils._postgres.reindex.evaluate import (
    evaluate,
    failure,
    judge,
    totals,
    worth_naming,
)
from ansible_collections.cadence.upkeep.plugins.module_utils._postgres.reindex.model import (
    NOT_CANDIDATES,
    SKIP_REASONS,
    Applied,
    Attempt,
    Plan,
    Record,
    Skip,
    State,
    Step,
)
from tests.unit.plugins.module_utils._postgres.reindex.samples import (
    MIB,
    POLICY,
    estimate,
    holder,
    index,
    snapshot,
    step,
)

SHOP = snapshot()


def record(
    attempt: Attempt | None = None, failed: bool = False, proven: bool = False, of: Step | None = None
) -> Record:
    one = of or step()
    applied = Applied(
        {one.index.oid: attempt or Attempt(count=1)},
        failed=frozenset([one.index.oid] if failed else []),
        proven=frozenset([one.index.oid] if proven else []),
    )
    return judge(SHOP, Plan((one,)), POLICY, applied)[0]


def finding(of: Record) -> Finding:
    (found,) = evaluate(SHOP, [of], 60.0)
    return found


# --- what became of it ------------------------------------------------------------------------------------------------


def test_without_a_run_everything_is_planned() -> None:
    records = judge(SHOP, Plan((step(), step(index("other"), "drop", "leftover"))), POLICY)
    assert [(one.status, one.sql) for one in records] == [
        ("planned", "REINDEX (CONCURRENTLY) INDEX public.orders_pkey"),
        ("planned", "DROP INDEX CONCURRENTLY public.other"),
    ]
    assert all(one.changed for one in records)


def test_only_what_is_proven_is_done() -> None:
    assert record(proven=True).status == "done"
    assert (record().status, record().why) == ("skipped", "unproven")
    assert record(failed=True).status == "failed"
    assert (record(Attempt(why="lock")).status, record(Attempt(why="lock")).why) == ("skipped", "lock")


def test_a_database_in_other_hands_is_skipped_as_a_whole() -> None:
    (one,) = judge(SHOP, Plan((step(),)), POLICY, None, "shop is in the hands of another run")
    assert (one.status, one.why) == ("skipped", "other_run")
    assert "in the hands of another run" in finding(one).message


def test_bytes_are_those_that_were_measured() -> None:
    before, after = State(1, "i", 7, True, 10 * MIB), State(2, "i", 8, True, 4 * MIB)
    done = record(Attempt(count=1, before=before, after=after), proven=True)
    assert (done.bytes_before, done.bytes_after, done.freed) == (10 * MIB, 4 * MIB, 6 * MIB)
    plain = done.as_dict()
    assert plain["before"] == {"bytes": 10 * MIB, "valid": True, "filenode": 7}
    assert plain["after"] == {"bytes": 4 * MIB, "valid": True, "filenode": 8}
    dropped = record(Attempt(count=1, before=before), proven=True, of=step(action="drop", code="leftover"))
    assert (dropped.bytes_after, dropped.freed) == (0, 10 * MIB)
    assert dropped.as_dict()["after"] == {"bytes": 0, "valid": False, "filenode": 0}
    assert record(Attempt(why="lock", before=before)).as_dict()["after"] is None


def test_the_sums() -> None:
    before, after = State(1, "i", 7, True, 10 * MIB), State(2, "i", 8, True, 4 * MIB)
    records = [
        record(Attempt(count=1, before=before, after=after), proven=True),
        record(Attempt(count=1, before=before), proven=True, of=step(index("b"), "drop", "leftover")),
        record(Attempt(why="lock"), of=step(index("c"))),
        record(failed=True, of=step(index("d"))),
        record(Attempt(why="not_bloated"), of=step(index("e"))),
        judge(SHOP, Plan(skipped=(Skip(index("f"), "unmeasured"),)), POLICY)[0],
    ]
    assert totals(records, 9) == {
        "considered": 9, "planned": 0, "done": 2, "rebuilt": 1, "dropped": 1, "skipped": 1, "failed": 1,
        "bytes_before": 20 * MIB, "bytes_after": 4 * MIB, "freed": 16 * MIB,
        "by_reason": {"bloat": 2, "leftover": 1, "lock": 1, "not_bloated": 1, "unmeasured": 1},
    }  # fmt: skip


# --- findings ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("sqlstate", "code", "severity"),
    [
        ("23505", "pg.reindex_duplicates", Severity.CRITICAL),
        ("XX001", "pg.corruption", Severity.CRITICAL),
        ("XX002", "pg.corruption", Severity.CRITICAL),
        ("22012", "pg.corruption", Severity.CRITICAL),
        ("53100", "pg.disk_full", Severity.CRITICAL),
        ("XX000", "pg.reindex_failed", Severity.UNKNOWN),
    ],
)
def test_an_error_is_taken_by_its_class(sqlstate: str, code: str, severity: Severity) -> None:
    found = finding(record(Attempt(1, sqlstate=sqlstate, message="it broke"), failed=True))
    assert (found.code, found.severity) == (code, severity)
    assert f"it broke (SQLSTATE {sqlstate})" in found.message
    assert found.remedy


def test_duplicates_below_an_index_that_never_was_valid_are_no_damage() -> None:
    of = step(index(valid=False), code="invalid")
    found = finding(record(Attempt(1, sqlstate="23505", message="it broke"), failed=True, of=of))
    assert (found.code, found.severity) == ("pg.reindex_duplicates", Severity.WARNING)
    assert "DROP INDEX CONCURRENTLY public.orders_pkey" in found.remedy


@pytest.mark.parametrize(
    ("why", "code", "severity"),
    [
        ("permission", "pg.not_permitted", Severity.WARNING),
        ("lock", "pg.table_locked", Severity.WARNING),
        ("blocked", "pg.reindex_blocked", Severity.WARNING),
        ("building", "pg.reindex_being_built", Severity.INFO),
        ("not_concurrently", "pg.reindex_not_concurrent", Severity.INFO),
        ("disk_space", "pg.reindex_no_room", Severity.WARNING),
        ("timeout", "pg.reindex_timed_out", Severity.WARNING),
        ("cancelled", "pg.reindex_cancelled", Severity.WARNING),
        ("unproven", "pg.reindex_unproven", Severity.UNKNOWN),
        ("time_limit", "pg.out_of_time", Severity.WARNING),
        ("stopped", "pg.run_stopped", Severity.UNKNOWN),
        ("permission_catalog", "pg.catalogs_not_permitted", Severity.INFO),
        ("permission_toast", "pg.reindex_toast_not_permitted", Severity.INFO),
        ("unsafe_minor", "pg.reindex_unsafe_minor", Severity.UNKNOWN),
        ("disk_unknown", "pg.reindex_room_unknown", Severity.UNKNOWN),
    ],
)
def test_what_was_left_is_a_finding(why: str, code: str, severity: Severity) -> None:
    found = finding(record(Attempt(why=why)))
    assert (found.code, found.severity) == (code, severity)
    assert found.remedy
    assert "{" not in found.remedy
    assert found.message.endswith(".")


@pytest.mark.parametrize("why", ["reported", "constraint", "partitioned"])
@pytest.mark.parametrize(
    ("reason", "code"), [("invalid", "pg.reindex_index_invalid"), ("leftover", "pg.reindex_leftover")]
)
def test_an_invalid_index_that_stays_is_a_finding(why: str, reason: str, code: str) -> None:
    of = index("weird{}%s", valid=False)
    made = Plan(skipped=(Skip(of, why, step(of, code=reason).reasons),))
    found = finding(judge(SHOP, made, POLICY)[0])
    assert (found.code, found.severity) == (code, Severity.WARNING)
    assert SKIP_REASONS[why] in found.message


def test_every_reason_makes_a_finding_or_owes_nothing() -> None:
    for why in SKIP_REASONS:
        records = judge(SHOP, Plan(skipped=(Skip(index(), why, step(code="invalid").reasons),)), POLICY)
        found = evaluate(SHOP, records, None)
        assert (found == []) is (why in NOT_CANDIDATES), why
        assert {one.code for one in found} <= set(CODES)


def test_who_held_it_up_is_named_with_the_step_that_ends_it() -> None:
    who = holder(kind="prepared", id="it's {left}", hint="ROLLBACK PREPARED 'it''s {left}';")
    found = finding(record(Attempt(why="blocked", holders=(who, holder()), message="held up by it")))
    assert found.remedy == "ROLLBACK PREPARED 'it''s {left}';"
    assert found.evidence["holder"]["id"] == "it's {left}"
    assert found.evidence["holders"] == 2


def test_what_a_failed_rebuild_left_is_a_finding_of_its_own() -> None:
    records = [record(Attempt(count=1, why="lock", leftovers=("public.orders_pkey_ccnew",)))]
    found = {one.subject: one for one in evaluate(SHOP, records, None)}
    left = found["main: shop.public.orders_pkey_ccnew"]
    assert (left.code, left.severity) == ("pg.reindex_leftover", Severity.WARNING)
    assert left.evidence["left_by"] == "public.orders_pkey"


def test_a_rebuild_that_freed_nothing_says_that_the_estimate_was_wrong() -> None:
    same = State(2, "i", 8, True, 10 * MIB)
    attempt = Attempt(count=1, before=replace(same, filenode=7), after=same)
    of = index()
    found = finding(record(attempt, proven=True, of=step(of, estimate=estimate(of))))
    assert (found.code, found.severity) == ("pg.reindex_no_effect", Severity.WARNING)
    assert evaluate(SHOP, [record(attempt, proven=True, of=step(code="always"))], None) == []
    less = replace(attempt, after=replace(same, bytes=5 * MIB))
    assert evaluate(SHOP, [record(less, proven=True, of=step(of, estimate=estimate(of)))], None) == []


@pytest.mark.parametrize(
    ("code", "expected"),
    [("bloat", "pg.reindex_needed"), ("invalid", "pg.reindex_index_invalid"), ("leftover", "pg.reindex_leftover")],
)
def test_a_plan_says_what_would_be_done(code: str, expected: str) -> None:
    (one,) = judge(SHOP, Plan((step(code=code, look_again=code == "bloat"),)), POLICY)
    found = finding(one)
    assert found.code == expected
    assert ("looked at again" in found.message) is (code == "bloat")


# --- the task ---------------------------------------------------------------------------------------------------------


def test_the_task_fails_for_failures_and_for_the_skips_that_were_named() -> None:
    records: list[Record] = [record(Attempt(why="lock")), record(Attempt(why="permission"), of=step(index("b")))]
    assert failure(records, frozenset()) == ""
    assert failure(records, frozenset(["permission"])).startswith("Skipped: main: shop.public.b (the role may neither")
    failed = record(Attempt(1, message="it broke"), failed=True, of=step(index("c")))
    assert failure([failed], frozenset()) == "Failed: main: shop.public.c (it broke)."
    many = [record(Attempt(why="lock"), of=step(index(f"i{number}"))) for number in range(12)]
    assert "and 2 more" in failure(many, frozenset(["lock"]))


def test_blockers_are_those_that_held_something_up_or_are_old_enough_to() -> None:
    old, young, elsewhere = holder(), holder(id="1", seconds=3.0), holder(id="2", database="other")
    planned: list[Any] = judge(SHOP, Plan((step(),)), POLICY)
    assert worth_naming([old, young, elsewhere], planned, 300.0) == [old]
    assert worth_naming([old], [], 300.0) == []
    assert worth_naming([], [record(Attempt(why="blocked", holders=(young,)))], 300.0) == [young]
