"""Findings about large objects, and the result of a run."""

from __future__ import annotations

from datetime import datetime, timezone
from typing import Any

import pytest

from ansible_collections.cadence.upkeep.plugins.module_utils._postgres.large_objects.evaluate import evaluate, failure
from ansible_collections.cadence.upkeep.plugins.module_utils._postgres.large_objects.model import (
    DONE,
    PARTIAL,
    PLANNED,
    REFUSED,
    REPORTED,
    SKIPPED,
    UNKNOWN,
    Hit,
    Record,
    Unlinked,
)
from ansible_collections.cadence.upkeep.plugins.module_utils._postgres.large_objects.report import report
from tests.unit.plugins.module_utils._postgres.large_objects.samples import column, look, options, orphans

ABSENT = options(state="absent", confirm_no_text_references=True)
HIT = Hit(column("file_id", "number", "documents"), 7, False)


def severities(record: Record, asked: Any = ABSENT) -> dict[str, str]:
    return {finding.code: finding.severity.word for finding in evaluate(record, asked)}


def test_no_orphans_are_nothing_to_say() -> None:
    assert severities(Record("shop", REPORTED, look=look(orphans=orphans(0))), options()) == {}
    assert severities(Record("shop", SKIPPED, "it is a template"), options()) == {}


def test_orphans_are_a_warning_with_the_numbers() -> None:
    (finding,) = evaluate(Record("shop", REPORTED, look=look()), options())
    assert (finding.code, finding.severity.word) == ("pg.large_objects_orphaned", "warning")
    assert finding.message == "Nothing refers to 3 of 10 large objects in main: shop, 6.0 KiB."
    some = look(orphans=orphans(3, measured=2))
    assert "6.0 KiB in the first 2." in evaluate(Record("shop", REPORTED, look=some), options())[0].message
    unseen = look(orphans=orphans(3, bytes=None, measured=0))
    assert evaluate(Record("shop", REPORTED, look=unseen), options())[0].message.endswith("in main: shop.")


def test_a_look_that_is_not_whole_is_unknown() -> None:
    hidden = look(trouble="a table is locked", remedy="Run it again.", orphans=None)
    assert severities(Record("shop", REPORTED, look=hidden), options()) == {"pg.large_objects_unseen": "unknown"}
    most = look(trouble="1 columns may not be read by the role (x)", remedy="Grant it.")
    message = evaluate(Record("shop", UNKNOWN, look=most), ABSENT)[0].message
    assert message.endswith("may not be read by the role (x); at most 3 of 10 are without a reference.")


def test_values_that_may_be_references() -> None:
    record = Record("shop", REFUSED, look=look(hits=(HIT, HIT)))
    assert severities(record) == {
        "pg.large_objects_maybe_referenced": "warning",
        "pg.large_objects_orphaned": "warning",
    }
    (finding,) = (one for one in evaluate(record, ABSENT) if one.code == "pg.large_objects_maybe_referenced")
    assert finding.message == (
        "7 values of public.documents.file_id and 1 more columns equal numbers of large objects without a reference, "
        "so nothing was unlinked."
    )
    assert finding.evidence["columns"][0] == {"column": "public.documents.file_id", "count": 7, "sampled": False}


def test_who_is_left_and_why() -> None:
    some = look(orphans=orphans(10, old=8, permitted=6, unlinkable=5))
    assert severities(Record("shop", PLANNED, look=some, planned=5)) == {
        "pg.large_objects_removable": "info",
        "pg.large_objects_too_new": "info",
        "pg.large_objects_not_permitted": "warning",
    }
    (by_limit,) = (one for one in evaluate(Record("shop", PLANNED, look=some), ABSENT) if "not_permitted" in one.code)
    assert by_limit.evidence["not_permitted"] == 3


@pytest.mark.parametrize(
    ("left", "sqlstate", "code", "severity"),
    [
        ({"time_limit": 2}, "", "pg.large_objects_left", "info"),
        ({"lock": 1, "changed": 1}, "", "pg.large_objects_left", "info"),
        ({"referenced": 1}, "", "pg.large_objects_left", "info"),
        ({"writers": 3}, "", "pg.large_objects_busy", "warning"),
        ({"stopped": 2, "failed": 1}, "53100", "pg.large_objects_failed", "unknown"),
        ({"still_there": 1}, "", "pg.large_objects_failed", "unknown"),
    ],
)
def test_what_came_of_the_work(left: dict[str, int], sqlstate: str, code: str, severity: str) -> None:
    unlinked = Unlinked(removed=1, left=left, stopped="could not extend file" if sqlstate else "", sqlstate=sqlstate)
    assert severities(Record("shop", PARTIAL, look=look(), unlinked=unlinked)) == {code: severity}


def test_a_task_fails_when_what_it_should_do_was_not_done() -> None:
    assert failure([Record("shop", DONE, look=look(), unlinked=Unlinked(removed=3))]) == ""
    assert failure([Record("shop", PARTIAL, look=look(), unlinked=Unlinked(2, {"lock": 1}))]) == ""
    assert failure([Record("shop", SKIPPED, "it is a template")]) == ""
    for record, word in (
        (
            Record("shop", UNKNOWN, look=look(trouble="it is locked")),
            "Nothing was unlinked in main: shop: it is locked.",
        ),
        (Record("shop", REFUSED, look=look(hits=(HIT,))), "values of public.documents.file_id may be references"),
        (Record("shop", DONE, look=look(orphans=orphans(3, unlinkable=1))), "2 large objects in main: shop may not be"),
        (
            Record("shop", PARTIAL, look=look(), unlinked=Unlinked(1, {"failed": 2}, "disk full", "53100")),
            "Unlinking in main: shop ended early: disk full.",
        ),
        (Record("shop", PARTIAL, look=look(), unlinked=Unlinked(1, {"still_there": 1})), "are still there"),
    ):
        assert word in failure([record])


def result_of(record: Record, asked: Any = ABSENT) -> dict[str, Any]:
    made = report("main", asked, [record], [], [], datetime(2026, 11, 22, tzinfo=timezone.utc), 0.1)
    return {**made.as_result(), "before": made.before, "after": made.after}


def test_a_plan_and_its_run_say_the_same_numbers() -> None:
    planned = result_of(Record("shop", PLANNED, look=look(), planned=3))
    done = result_of(Record("shop", DONE, look=look(), unlinked=Unlinked(removed=3, batches=1)))
    assert (planned["changed"], done["changed"]) == (True, True)
    assert (planned["before"], planned["after"]) == (done["before"], done["after"])
    assert done["after"] == "main: shop: 7 large objects, 0 without a reference\n"
    assert planned["metrics"] == done["metrics"]
    assert [action["status"] for action in planned["actions"] + done["actions"]] == ["planned", "done"]
    assert done["databases"][0]["removed"] == 3


def test_a_report_changes_nothing() -> None:
    reported = result_of(Record("shop", REPORTED, look=look()), options())
    assert not reported["changed"]
    assert reported["actions"] == []
    assert reported["before"] == reported["after"]
    assert reported["summary"]["worst"] == "warning"


def test_no_database_at_all_is_unknown() -> None:
    made = report("main", ABSENT, [Record("t", SKIPPED, "it is a template")], [], [], datetime.now(timezone.utc), 0.1)
    result = made.as_result()
    assert result["summary"]["worst"] == "unknown"
    assert "t (it is a template)" in result["findings"][0]["message"]
