"""The result is small, says the worst first, and says what it left out."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from ansible_collections.cadence.upkeep.plugins.module_utils._core.errors import ConnectionFailed, LockHeld
from ansible_collections.cadence.upkeep.plugins.module_utils._core.finding import Finding, Severity
from ansible_collections.cadence.upkeep.plugins.module_utils._postgres.ended import Ended
from ansible_collections.cadence.upkeep.plugins.module_utils._postgres.options import connection_of
from ansible_collections.cadence.upkeep.plugins.module_utils._postgres.vacuum.evaluate import evaluate, judge
from ansible_collections.cadence.upkeep.plugins.module_utils._postgres.vacuum.model import (
    Applied,
    Attempt,
    Policy,
    Table,
)
from ansible_collections.cadence.upkeep.plugins.module_utils._postgres.vacuum.plan import plan, worked_on
from ansible_collections.cadence.upkeep.plugins.module_utils._postgres.vacuum.report import (
    LISTED,
    Looked,
    left_standby,
    report,
)
from ansible_collections.cadence.upkeep.plugins.module_utils._postgres.vacuum.wraparound import Ages
from tests.unit.plugins.module_utils._postgres.vacuum.samples import (
    EPOCH,
    NOW,
    OPTIONS,
    POLICY,
    holder,
    params,
    snapshot,
    table,
)

CONNECTION = connection_of(params(name="main"))


def looked(*tables: Table, done: bool = True, trouble: str = "", policy: Policy = POLICY, **given: Any) -> Looked:
    """A database with those tables, worked on; those whose name *trouble* is in stayed locked."""
    shot = snapshot(*tables)
    made = plan(shot, policy, NOW)
    bad = {step.table.oid for step in made.steps if trouble and trouble in step.table.name}
    applied = Applied(
        attempts={step.table.oid: Attempt(1, why="lock" if step.table.oid in bad else "") for step in made.steps},
        proven=frozenset(step.table.oid for step in made.steps) - bad,
        after={step.table.oid: worked_on(step.table.counters, step.actions, EPOCH) for step in made.steps},
    )
    records = judge(shot, made, policy, applied if done else None)
    return Looked(
        name=shot.database,
        snapshot=shot,
        plan=made,
        records=tuple(records),
        findings=tuple(evaluate(shot, records, policy, None)),
        **given,
    )


def of(*databases: Looked, holders: Any = (), **options: Any) -> Ended:
    return report(CONNECTION, replace(OPTIONS, **options), databases, holders, NOW, 0.5)


def dirty(count: int) -> list[Table]:
    return [table(f"t{number}", 20_000 + number, dead=10_000) for number in range(count)]


def test_what_was_done_is_told() -> None:
    result = of(looked(*dirty(1), table("fine"), queries=("VACUUM (ANALYZE) public.t0",), seconds=0.25)).as_result()
    assert result["changed"]
    assert result["summary"] == {
        "worst": "ok",
        "counts": {"ok": 2, "info": 0, "warning": 0, "unknown": 0, "critical": 0},
        "seconds": 0.5,
    }
    (action,) = result["actions"]
    assert (action["id"], action["description"], action["status"]) == (
        "main: shop.public.t0",
        "VACUUM (ANALYZE) public.t0",
        "done",
    )
    assert "10000 of 30000 rows are dead" in action["reason"]
    (database,) = result["databases"]
    assert (database["name"], database["status"], database["done"], database["seconds"]) == ("shop", "done", 1, 0.25)
    assert {metric["name"]: metric["value"] for metric in result["metrics"]}["pg_vacuum_dead_rows_removed"] == 10_000
    assert result["queries"] == ["VACUUM (ANALYZE) public.t0"]
    assert "truncated" not in result


def test_what_would_be_done_is_told() -> None:
    vacuumed = of(looked(*dirty(1), done=False), holders=[holder(), holder(id="1", seconds=1.0)])
    result = vacuumed.as_result()
    assert result["changed"]
    assert result["actions"][0]["status"] == result["databases"][0]["status"] == "planned"
    assert [one["id"] for one in result["blockers"]] == ["4711"]
    assert "dead 10000" in vacuumed.before
    assert vacuumed.after == (
        "main: shop.public.t0: dead 0, changed since ANALYZE 0, "
        "last VACUUM 2026-11-22T04:13:00Z, last ANALYZE 2026-11-22T04:13:00Z\n"
    )


def test_nothing_to_do_is_nothing_said() -> None:
    vacuumed = of(looked(table("fine")))
    result = vacuumed.as_result()
    assert not result["changed"]
    assert result["findings"] == result["actions"] == result["tables"] == result["queries"] == []
    assert (vacuumed.before, vacuumed.after, vacuumed.failure) == ("", "", "")


def test_what_held_rows_back_is_no_action_that_was_done() -> None:
    one = looked(table(dead=10_000))
    kept = "kept 10000 of 10000 dead rows after its VACUUM"
    record = replace(one.records[0], status="partial", changed=False, holders=(holder(),), kept=kept)
    result = of(replace(one, records=(record,))).as_result()
    assert not result["changed"]
    assert result["actions"][0]["status"] == "skipped"
    assert f"it {kept}, because of the session with pid 4711" in result["actions"][0]["reason"]
    refreshed = of(replace(one, records=(replace(record, changed=True, holders=()),))).as_result()
    assert refreshed["changed"]
    assert "because of something that has ended meanwhile" in refreshed["actions"][0]["reason"]


@pytest.mark.parametrize(
    ("wanted", "names"),
    [("changed", ["stuck", "dead", "remote"]), ("all", ["stuck", "dead", "remote", "fine"]), ("none", [])],
)
def test_how_much_is_listed(wanted: str, names: list[str]) -> None:
    tables = (
        table("fine", 1),
        table("dead", 2, dead=10_000),
        table("remote", 3, kind="f"),
        table("stuck", 4, dead=9_000),
    )
    result = of(looked(*tables, trouble="stuck"), report=wanted).as_result()
    assert [record["table"] for record in result["tables"]] == names
    assert len(result["actions"]) == 2, "what was tried is told in any case"
    if wanted == "all":
        assert (result["tables"][3]["status"], result["tables"][3]["skipped_reason"]) == ("skipped", "not_needed")


@pytest.mark.parametrize(("good", "bad"), [(300, 0), (0, 300), (300, 300), (300, 10), (10, 300)])
def test_a_long_list_is_cut_and_neither_part_pushes_the_other_out(good: int, bad: int) -> None:
    stuck = [table(f"stuck{number}", 40_000 + number, dead=10_000) for number in range(bad)]
    vacuumed = of(looked(*dirty(good), *stuck, trouble="stuck"))
    assert len(vacuumed.outcome.extra["tables"]) == len(vacuumed.outcome.actions) == LISTED
    listed = {record["skipped_reason"] for record in vacuumed.outcome.extra["tables"]}
    assert listed == {reason for reason, count in (("", good), ("lock", bad)) if count}
    assert vacuumed.outcome.changed == bool(good)
    result = vacuumed.as_result()
    assert len(result["tables"]) + result["truncated"]["tables"] == good + bad
    assert len(result["actions"]) + result["truncated"]["actions"] == good + bad
    assert result["vacuum"]["done"] == good
    assert result["summary"]["counts"]["warning"] == bad


def test_a_database_that_was_left_says_why() -> None:
    held = LockHeld("another run")
    result = of(looked(*dirty(1)), Looked("two", "it is a template"), Looked("three", held.message, held)).as_result()
    assert [(one["name"], one["status"], one["reason"]) for one in result["databases"]] == [
        ("shop", "done", ""),
        ("two", "skipped", "it is a template"),
        ("three", "skipped", "another run"),
    ]


def test_a_database_in_which_something_failed_says_so() -> None:
    one = looked(*dirty(1))
    failed = replace(one.records[0], status="failed", changed=False, attempt=Attempt(1, message="it broke"))
    vacuumed = of(replace(one, records=(failed,)))
    assert vacuumed.as_result()["databases"][0]["status"] == "failed"
    assert vacuumed.failure == "Failed: main: shop.public.t0 (it broke)."


def test_a_server_that_was_lost_fails_the_task_and_keeps_the_records() -> None:
    error = ConnectionFailed("PostgreSQL at db1:5432 was lost: gone.", "Look into the server's log.")
    vacuumed = of(looked(*dirty(2), trouble="t1", lost=error))
    assert vacuumed.failure == "PostgreSQL at db1:5432 was lost: gone. Look into the server's log."
    result = vacuumed.as_result()
    assert {one["table"]: one["status"] for one in result["tables"]} == {"t0": "done", "t1": "skipped"}
    assert (result["databases"][0]["status"], result["databases"][0]["reason"]) == ("failed", error.message)


def test_the_ages_of_a_database_are_told() -> None:
    aged = of(looked(*dirty(1), emergency=True, ages=Ages(2_000, 3), ages_after=Ages(1, 2))).as_result()["databases"][0]
    assert (aged["emergency"], aged["before"], aged["after"]) == (
        True, {"xid_age": 2_000, "mxid_age": 3}, {"xid_age": 1, "mxid_age": 2},
    )  # fmt: skip


@pytest.mark.parametrize(
    ("given", "status", "changed"),
    [
        ({}, "planned", True),
        ({"ages_after": Ages(1, 0)}, "done", True),
        ({"ages_after": Ages(2_000, 0)}, "skipped", False),  # autovacuum was faster
        ({"lost": ConnectionFailed("gone")}, "failed", False),
        ({"held": LockHeld("another run")}, "skipped", False),
    ],
)
def test_a_database_that_only_has_to_be_told(given: dict[str, Any], status: str, changed: bool) -> None:
    one = looked(table("fine"), closing="VACUUM (ONLY_DATABASE_STATS)", ages=Ages(2_000, 0), **given)
    result = of(one).as_result()
    (action,) = result["actions"]
    assert (action["id"], action["description"], action["status"]) == (
        "main: shop", "VACUUM (ONLY_DATABASE_STATS)", status,
    )  # fmt: skip
    assert result["changed"] is changed


def test_a_standby_that_is_left_is_no_fault() -> None:
    vacuumed = left_standby(CONNECTION, NOW, 0.1)
    result = vacuumed.as_result()
    assert not result["changed"]
    assert vacuumed.failure == ""
    assert result["summary"]["worst"] == "info"
    (finding,) = result["findings"]
    assert (finding["code"], finding["subject"]) == ("pg.standby_left", "main")


def test_findings_of_the_cluster_stand_beside_those_of_tables() -> None:
    found = Finding("pg.parallel_limited", "main", Severity.INFO, "Fewer workers than asked for.")
    result = report(CONNECTION, OPTIONS, [looked(table("fine"))], (), NOW, 0.5, (found,)).as_result()
    assert [one["code"] for one in result["findings"]] == ["pg.parallel_limited"]


def test_no_database_is_unknown() -> None:
    assert of().as_result()["summary"]["worst"] == "unknown"


def test_a_database_without_tables_was_looked_at() -> None:
    result = of(looked()).as_result()
    assert (result["summary"]["worst"], result["findings"]) == ("ok", [])
    assert result["summary"]["counts"]["ok"] == 1


def test_a_choice_that_leaves_nothing_is_unknown() -> None:
    result = of(looked(filters=("no_such*",))).as_result()
    (found,) = result["findings"]
    assert (found["code"], found["severity"]) == ("pg.nothing_examined", "unknown")
    assert "no table of" in found["message"] and "is chosen by no_such*" in found["message"]


def test_what_chooses_everything_is_no_choice() -> None:
    assert replace(POLICY, schemas=("*",), tables=("*",)).filters == ()
    assert replace(POLICY, schemas=("*",), tables=("a*",), exclude_tables=("b",)).filters == ("a*",)
