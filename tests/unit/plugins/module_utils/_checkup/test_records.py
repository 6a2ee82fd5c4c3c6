"""When a task counts as done for its period, and what is kept of it."""

from __future__ import annotations

import pytest

from ansible_collections.cadence.upkeep.plugins.module_utils._checkup.records import (
    KEPT_FINDINGS,
    SETTLES_ACTING,
    SETTLES_CHECK,
    history_line,
    is_settled,
    record_of,
)
from ansible_collections.cadence.upkeep.plugins.module_utils._core.finding import Severity
from ansible_collections.cadence.upkeep.plugins.module_utils._core.outcome import count_by_severity

AT = "2026-11-22T04:13:00Z"


def task(worst="ok", **changes):
    return {
        "id": "host.memory",
        "status": "done",
        "period": "2026-11-22",
        "digest": "f00d",
        "worst": worst,
        "counts": count_by_severity([Severity.from_word(worst)]),
        "seconds": 0.25,
        "changed": False,
        "findings": [],
        "actions": [],
        "metrics": [],
        **changes,
    }


def record(worst="ok", settles=SETTLES_CHECK, **changes):
    return record_of(task(worst, **changes), "run-1", AT, settles)


def finding(severity, code="host.memory_low"):
    return {"code": code, "subject": "memory", "severity": severity, "message": "m"}


def test_what_was_put_off_is_not_done_for_its_period():
    assert is_settled(record("info", SETTLES_ACTING, deferred=True), "2026-11-22", "f00d") is False
    assert is_settled(record("info", SETTLES_ACTING, deferred=False), "2026-11-22", "f00d") is True


@pytest.mark.parametrize(
    ("worst", "check", "acting"),
    [
        ("ok", True, True),
        ("info", True, True),
        ("warning", False, True),  # to look again is cheap; to vacuum again would not mend a warning
        ("unknown", False, False),  # it failed
        ("critical", False, False),
    ],
)
def test_what_was_found_decides_whether_the_task_is_settled(worst, check, acting):
    assert is_settled(record(worst, SETTLES_CHECK), "2026-11-22", "f00d") is check
    assert is_settled(record(worst, SETTLES_ACTING), "2026-11-22", "f00d") is acting


@pytest.mark.parametrize(
    ("period", "digest"),
    [
        ("2026-11-23", "f00d"),  # the next day
        ("2026-W47", "f00d"),  # its cadence was changed
        ("2026-11-22", "beef"),  # it is told something else
        ("", "f00d"),  # it belongs to no period: it is never done
    ],
)
def test_a_record_settles_just_the_same_task_in_the_same_period(period, digest):
    assert not is_settled(record(), period, digest)


def test_a_task_without_a_period_is_never_settled_even_by_a_record_without_one():
    assert not is_settled(record(period=""), "", "f00d")


def test_a_task_without_a_record_is_not_settled():
    assert not is_settled(None, "2026-11-22", "f00d")


@pytest.mark.parametrize(
    "torn", [{}, {"period": "2026-11-22", "digest": "f00d"}, {**record(), "settled": "yes"}, {**record(), "settled": 1}]
)
def test_a_record_that_does_not_say_so_plainly_settles_nothing(torn):
    assert not is_settled(torn, "2026-11-22", "f00d")


def test_a_record_keeps_what_a_later_report_needs():
    kept = record("warning", findings=[finding("warning")], changed=True)
    assert kept == {
        "period": "2026-11-22",
        "digest": "f00d",
        "run_id": "run-1",
        "done_at": AT,
        "settled": False,
        "worst": "warning",
        "counts": {"ok": 0, "info": 0, "warning": 1, "unknown": 0, "critical": 0},
        "seconds": 0.25,
        "changed": True,
        "findings": [finding("warning")],
    }


def test_a_record_keeps_no_healthy_finding():
    kept = record("warning", findings=[finding("warning"), finding("ok"), finding("info")])
    assert [entry["severity"] for entry in kept["findings"]] == ["warning", "info"]


def test_a_record_stays_small_however_much_was_found():
    kept = record("warning", findings=[finding("warning", f"host.w{number}") for number in range(500)])
    assert [entry["code"] for entry in kept["findings"]] == [f"host.w{number}" for number in range(KEPT_FINDINGS)]


def test_a_line_of_history_says_what_ran_and_how_it_ended():
    metrics = [{"name": "m", "value": number, "unit": "count", "labels": {}} for number in range(100)]
    line = history_line("run-1", "daily", AT, [task(), task("critical", id="host.load", seconds=1.0006)], metrics)
    assert line == {
        "run_id": "run-1",
        "cadence": "daily",
        "at": AT,
        "tasks": {"host.memory": "ok", "host.load": "critical"},
        "seconds": 1.251,
        "metrics": metrics[:40],
    }
