"""How the time of a batch is shared, how two limits combine, and how an error is taken."""

from __future__ import annotations

import time
from dataclasses import replace

import pytest

from ansible_collections.cadence.upkeep.plugins.module_utils._core.deadline import Budget, Deadline
from ansible_collections.cadence.upkeep.plugins.module_utils._core.errors import LockHeld
from ansible_collections.cadence.upkeep.plugins.module_utils._postgres.adapter import ServerError
from ansible_collections.cadence.upkeep.plugins.module_utils._postgres.cluster import Limits, take_lock
from ansible_collections.cadence.upkeep.plugins.module_utils._postgres.vacuum.apply import Progress, class_of, shares
from ansible_collections.cadence.upkeep.plugins.module_utils._postgres.vacuum.model import VACUUM, Step
from tests.unit.plugins.module_utils._postgres.vacuum.samples import table


@pytest.mark.parametrize(
    ("seconds", "done", "parts"),
    [
        (1.0, {}, {}),
        (1.0, {1: 100.0}, {1: 1.0}),
        (1.0, {1: 100.0, 2: 100.25, 3: 100.5}, {1: 0.5, 2: 0.25, 3: 0.25}),
        (1.0, {2: 100.5, 1: 100.0}, {1: 0.5, 2: 0.5}),
        (0.1, {1: 100.0, 2: 100.5}, {1: 0.0, 2: 0.5}),  # two clocks: never below nothing
    ],
)
def test_shares(seconds: float, done: dict[int, float], parts: dict[int, float]) -> None:
    assert shares(seconds, done) == parts


def test_the_nearer_limit_counts() -> None:
    now = [0.0]

    def clock() -> float:
        return now[0]

    none = Limits(Budget(None, clock), Deadline(None, clock))
    assert (none.spent, none.remaining) == (False, None)
    both = Limits(Budget(10, clock), Deadline(20, clock))
    assert both.remaining == 10
    now[0] = 10.0
    assert both.spent
    assert Limits(Budget(None, clock), both.hard).remaining == 10
    now[0] = 20.0
    assert Limits(Budget(None, clock), both.hard).spent


@pytest.mark.parametrize(
    ("sqlstate", "kind"),
    [
        ("55P03", "lock"),
        ("40P01", "lock"),
        ("42501", "permission"),
        ("42P01", "vanished"),
        ("42704", "vanished"),
        ("3F000", "vanished"),
        ("53100", "stop"),
        ("53200", "no_room"),
        ("53300", "no_room"),
        ("25006", "stop"),
        ("XX001", "fail"),
        ("22012", "fail"),
    ],
)
def test_how_an_error_is_taken(sqlstate: str, kind: str) -> None:
    assert class_of(sqlstate, 1.0, Deadline(None), 0.0) == kind


@pytest.mark.parametrize(
    ("hard", "own", "seconds", "kind"),
    [
        (None, 0.0, 1.0, "cancelled"),
        (None, 5.0, 1.0, "cancelled"),
        (None, 5.0, 5.0, "timeout"),
        (0.0, 5.0, 5.0, "time_limit"),
        (3600.0, 5.0, 5.0, "timeout"),
    ],
)
def test_who_cancelled_a_statement(hard: float | None, own: float, seconds: float, kind: str) -> None:
    assert class_of("57014", seconds, Deadline(hard), own) == kind


def test_what_is_proven_outranks_what_was_said() -> None:
    progress = Progress(Step(table(), (VACUUM,), ()))
    progress.tried(0.25)
    progress.fail(ServerError("XX000", "it broke"))
    assert (progress.failed, progress.attempt.message) == (True, "it broke")
    progress.proven()
    assert not progress.failed
    assert progress.attempt == replace(progress.attempt, why="", sqlstate="", message="", count=1, seconds=0.25)


def test_waiting_adds_up() -> None:
    progress = Progress(Step(table(), (VACUUM,), ()))
    for _attempt in range(2):
        progress.tried(2.0, in_vain=True)
        progress.left("lock", ServerError("55P03", "canceling statement due to lock timeout"))
    assert (progress.why, progress.attempt.count, progress.attempt.waited) == ("lock", 2, 4.0)
    assert progress.attempt.seconds == 0.0
    assert progress.attempt.message == "another session holds a lock on it: canceling statement due to lock timeout"
    progress.sizes_before, progress.sizes_after = (1, 2, 3), (4, 5, 6)
    assert (progress.attempt.sizes_before, progress.attempt.sizes_after) == ((1, 2, 3), (4, 5, 6))


class Answers:
    """A session that gives prepared rows, one list for each query."""

    def __init__(self, *answers: list[tuple[object, ...]]) -> None:
        self.answers = list(answers)

    def rows(self, _sql: str, _values: object = None) -> list[tuple[object, ...]]:
        return self.answers.pop(0)


def test_the_holder_of_the_lock_may_end_before_it_is_named() -> None:
    take_lock(Answers([(True,)]), "main: shop")  # type: ignore[arg-type]  # the part of a session that it uses
    with pytest.raises(LockHeld, match="main: shop is in the hands of another run: a session that has ended meanwhile"):
        take_lock(Answers([(False,)], []), "main: shop")  # type: ignore[arg-type]  # the same
    row = (4711, "upkeep pg_vacuum r1", "upkeep", "10.0.0.7", time.time())
    with pytest.raises(LockHeld) as held:
        take_lock(Answers([(False,)], [row]), "main: shop")  # type: ignore[arg-type]  # the same
    assert held.value.evidence["holder"]["pid"] == 4711
