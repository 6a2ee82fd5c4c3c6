"""What became of each table, and what is said about it."""

from __future__ import annotations

from dataclasses import replace

import pytest

from ansible_collections.cadence.upkeep.plugins.module_utils._core.errors import ConnectionFailed
from ansible_collections.cadence.upkeep.plugins.module_utils._postgres.rewrite.apply import is_rewritten
from ansible_collections.cadence.upkeep.plugins.module_utils._postgres.rewrite.evaluate import (
    evaluate,
    failure,
    judge,
    totals,
    worth_naming,
)
from ansible_collections.cadence.upkeep.plugins.module_utils._postgres.rewrite.model import (
    Applied,
    Attempt,
    Left,
    Leftovers,
    RewritePlan,
    Target,
)
from ansible_collections.cadence.upkeep.plugins.module_utils._postgres.vacuum.model import Counters, Reason
from tests.unit.plugins.module_utils._postgres.rewrite.samples import MB, OLD, estimate, facts, snapshot, table

BLOAT = (Reason("bloat", "a rewrite would free 300 MB"),)
TARGET = Target(table(), facts(), "full", BLOAT, estimate())
PLAN = RewritePlan((TARGET,))
AFTER = facts(heap=100 * MB, indexes=(25 * MB,), nodes=(555, 0, 0))


def judged(applied: Applied | None = None, plan: RewritePlan = PLAN, held: str = ""):
    (record,) = judge(snapshot(table()), plan, applied, held)
    return record


def codes(record, leftovers=None, lost=None):
    return [finding.code for finding in evaluate(snapshot(table()), [record], 60.0, leftovers, lost)]


def done(after=AFTER, **more):
    attempt = Attempt(count=1, seconds=2.0, before=facts(), after=after)
    return Applied({1: attempt}, rewritten=frozenset({1}), counters={1: Counters(live=1000)}, **more)


def test_a_plan_is_a_change_to_come() -> None:
    record = judged()
    assert (record.status, record.changed, record.sql) == ("planned", True, "VACUUM (FULL) public.orders")
    assert codes(record) == ["pg.rewrite_needed"]
    assert record.as_dict()["lock_mode"] == "ACCESS EXCLUSIVE"


def test_new_files_are_the_proof() -> None:
    record = judged(done())
    assert (record.status, record.changed, record.freed) == ("done", True, 375 * MB)
    assert codes(record) == []
    assert record.as_dict()["after"]["filenode"] == 555
    unproven = judged(Applied({1: Attempt(count=1)}))
    assert (unproven.status, unproven.why, unproven.changed) == ("skipped", "unproven", False)
    assert codes(unproven) == ["pg.vacuum_unproven"]


@pytest.mark.parametrize(
    ("before", "after", "proof"),
    [
        ((1, 0, 0), (1, 0, 0), False),
        ((1, 0, 0), (2, 0, 0), True),
        ((1, 5, 5), (2, 9, 9), True),
        ((1, 5, 5), (2, 5, 9), True),  # a catalog keeps its TOAST table and gives it another file
        ((1, 5, 5), (2, 5, 5), False),
        ((1, 5, 5), (2, 0, 0), True),  # it needs none any more
    ],
)
def test_a_rewrite_gives_heap_and_toast_new_files(before, after, proof) -> None:
    assert is_rewritten(facts(nodes=before), facts(nodes=after)) is proof


def test_a_rewrite_in_vain_is_partial_and_names_who_kept_the_rows() -> None:
    same = facts(nodes=(555, 0, 0))
    record = judged(done(same, holders=(OLD, replace(OLD, id="1", database="elsewhere"))))
    assert (record.status, record.changed) == ("partial", True)
    assert [holder.id for holder in record.holders] == ["4711"]
    (finding,) = evaluate(snapshot(table()), [record], None, None)
    assert finding.code == "pg.rewrite_no_effect"
    assert "pg_terminate_backend(4711)" in finding.remedy
    alone = judged(done(same))
    assert "pgstattuple" in evaluate(snapshot(table()), [alone], None, None)[0].remedy
    always = replace(TARGET, reasons=(Reason("always", "asked for"),))
    assert judged(done(same), RewritePlan((always,))).status == "done"


@pytest.mark.parametrize(
    ("sqlstate", "code", "severity"),
    [
        ("53100", "pg.disk_full", "critical"),
        ("XX001", "pg.corruption", "critical"),
        ("XX000", "pg.vacuum_failed", "unknown"),
        ("", "pg.vacuum_failed", "unknown"),
    ],
)
def test_a_failure_fails_the_task(sqlstate: str, code: str, severity: str) -> None:
    applied = Applied({1: Attempt(count=1, sqlstate=sqlstate, message="no {luck}")}, failed=frozenset({1}))
    record = judged(applied)
    (finding,) = evaluate(snapshot(table()), [record], None, None)
    assert (finding.code, finding.severity.word) == (code, severity)
    assert "no {luck}" in finding.message
    assert failure([record], frozenset()) == "Failed: main: shop.public.orders (no {luck})."


@pytest.mark.parametrize(
    ("why", "code"),
    [
        ("permission", "pg.not_permitted"),
        ("lock", "pg.table_locked"),
        ("timeout", "pg.vacuum_timed_out"),
        ("cancelled", "pg.vacuum_cancelled"),
        ("held", "pg.rewrite_held"),
        ("bloat_unknown", "pg.bloat_unknown"),
        ("disk_space", "pg.rewrite_no_space"),
        ("disk_unknown", "pg.disk_unknown"),
        ("autovacuum", "pg.wraparound_vacuum"),
        ("method", "pg.repack_impossible"),
        ("time_limit", "pg.out_of_time"),
        ("stopped", "pg.run_stopped"),
        ("lost", "pg.server_lost"),
        ("permission_catalog", "pg.catalogs_not_permitted"),
    ],
)
def test_every_reason_has_its_finding(why: str, code: str) -> None:
    record = judged(plan=RewritePlan(left=(Left(table(), why, reasons=BLOAT, facts=facts()),)))
    assert (record.status, record.why, record.changed) == ("skipped", why, False)
    assert codes(record, lost=ConnectionFailed("It is gone.", "Look.")) == [code]
    assert failure([record], frozenset({why})).startswith("Skipped: main: shop.public.orders")
    assert failure([record], frozenset({"other"})) == ""


@pytest.mark.parametrize("why", ["foreign", "temporary", "vanished"])
def test_nothing_is_owed_to_what_is_no_candidate(why: str) -> None:
    record = judged(plan=RewritePlan(left=(Left(table(), why),)))
    assert codes(record) == []
    assert record.sql == ""


def test_another_run_is_named() -> None:
    record = judged(held="shop is in the hands of another run: x.")
    assert (record.status, record.why) == ("skipped", "other_run")
    assert codes(record) == ["pg.other_run"]


def test_names_with_braces_stay_as_they_are() -> None:
    odd = replace(table(), sql_name='public."{sql}{0}"', name="{sql}{0}")
    plan = RewritePlan((replace(TARGET, table=odd),))
    (record,) = judge(snapshot(odd), plan, Applied({1: Attempt(count=1)}))
    (finding,) = evaluate(snapshot(odd), [record], None, None)
    assert finding.remedy.count("{sql}{0}") == 1


def test_leftovers_are_said_and_never_removed() -> None:
    left = Leftovers(files=(("base/5/77", 8192),), temporary=(("pgsql_tmp7.0", 100),), tables=("public.t",), logs=())
    found = evaluate(snapshot(table()), [], None, left)
    assert [finding.code for finding in found] == ["pg.orphaned_files", "pg.repack_leftovers"]
    assert found[0].evidence["bytes"] == 8292
    assert evaluate(snapshot(table()), [], None, Leftovers(unknown="not allowed")) == []


def test_sums() -> None:
    skipped = judged(plan=RewritePlan(left=(Left(table(), "held", reasons=BLOAT, facts=facts()),)))
    foreign = judged(plan=RewritePlan(left=(Left(table(), "foreign"),)))
    numbers = totals([judged(done()), skipped, foreign], considered=9)
    assert numbers["considered"] == 9
    assert (numbers["done"], numbers["skipped"], numbers["failed"]) == (1, 1, 0)
    assert numbers["bytes_before"] - numbers["bytes_after"] == numbers["freed"] == 375 * MB
    assert numbers["by_reason"] == {"bloat": 1, "foreign": 1, "held": 1}


def test_holders_are_named_when_they_matter() -> None:
    young = replace(OLD, id="2", seconds=1.0)
    assert worth_naming([OLD, young], [judged()]) == [OLD]
    assert worth_naming([OLD], [judged(done())]) == []
    held = judged(plan=RewritePlan(left=(Left(table(), "held", facts=facts()),)))
    assert worth_naming([OLD, replace(OLD, database="elsewhere")], [held]) == [OLD]
