"""A deadline comes when its seconds are over, and not before; a budget lets nothing new start."""

from __future__ import annotations

import time

import pytest

from ansible_collections.cadence.upkeep.plugins.module_utils._core.deadline import Budget, Deadline
from ansible_collections.cadence.upkeep.plugins.module_utils._core.errors import DeadlineExceeded


class Clock:
    """Seconds that pass when the test says so."""

    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


@pytest.mark.parametrize(
    ("passed", "remaining", "expired"), [(0, 10, False), (9.5, 0.5, False), (10, 0, True), (11, 0, True)]
)
def test_what_remains_goes_down_to_zero(passed, remaining, expired):
    clock = Clock()
    deadline = Deadline(10, clock)
    clock.now += passed
    assert (deadline.elapsed, deadline.remaining, deadline.expired) == (passed, remaining, expired)


def test_no_limit_never_comes():
    clock = Clock()
    deadline = Deadline(None, clock)
    clock.now += 1e9
    deadline.require("The backup")
    assert (deadline.remaining, deadline.expired, deadline.elapsed) == (None, False, 1e9)


@pytest.mark.parametrize("seconds", [0, -5])
def test_no_time_is_over_at_once(seconds):
    assert Deadline(seconds).expired


def test_what_is_late_is_named_with_its_limit():
    clock = Clock()
    deadline = Deadline(90, clock)
    deadline.require("The backup of app")
    clock.now += 90
    with pytest.raises(DeadlineExceeded, match="The backup of app was not finished within 1m 30s"):
        deadline.require("The backup of app")


def test_a_budget_is_spent_when_its_time_is_over():
    clock = Clock()
    budget = Budget(60, clock)
    assert not budget.spent
    clock.now += 60
    assert budget.spent


def test_the_clock_of_the_system_is_the_default():
    deadline = Deadline(0.02)
    assert not deadline.expired
    time.sleep(0.03)
    assert deadline.expired
    assert 0.02 <= deadline.elapsed < 5
