"""Threads that nobody has to wait for."""

from __future__ import annotations

import threading
import time

import pytest

from ansible_collections.cadence.upkeep.plugins.module_utils._cert.crew import Crew
from ansible_collections.cadence.upkeep.plugins.module_utils._core.deadline import Deadline


def test_every_item_is_worked_on_once() -> None:
    done: list[int] = []
    assert Crew(done.append, range(100), workers=4).wait(Deadline(10))
    assert sorted(done) == list(range(100))


def test_no_items_are_done_at_once() -> None:
    assert Crew(print, [], workers=4).wait(Deadline(10))


def test_one_that_hangs_is_left_behind_and_nothing_new_is_begun() -> None:
    gate, begun = threading.Event(), []

    def work(item: int) -> None:
        begun.append(item)
        gate.wait(10)

    started = time.monotonic()
    crew = Crew(work, range(10), workers=2)
    assert not crew.wait(Deadline(0.2))
    assert time.monotonic() - started < 5
    gate.set()
    assert crew.wait(Deadline(5))
    assert sorted(begun) == [0, 1]


@pytest.mark.filterwarnings("ignore::pytest.PytestUnhandledThreadExceptionWarning")
def test_a_defect_is_raised_where_one_waits() -> None:
    def work(item: int) -> None:
        if item == 3:
            raise ZeroDivisionError("a defect")

    with pytest.raises(ZeroDivisionError, match="a defect"):
        Crew(work, range(10), workers=2).wait(Deadline(10))


@pytest.mark.parametrize(("eager", "threads"), [(True, 8), (False, 1)])
def test_waiting_work_begins_with_all_threads_and_computing_work_with_one(eager: bool, threads: int) -> None:
    crew = Crew(time.sleep, [0.001] * 100, workers=8, eager=eager)
    assert len(crew._threads) == threads
    assert crew.wait(Deadline(10))


def test_one_that_hangs_gets_help() -> None:
    gate, done = threading.Event(), []

    def work(item: int) -> None:
        if item == 0:
            gate.wait(10)
        done.append(item)

    crew = Crew(work, range(5), workers=2, eager=False)
    assert not crew.wait(Deadline(1))
    assert sorted(done) == [1, 2, 3, 4]
    gate.set()
    assert crew.wait(Deadline(5))
