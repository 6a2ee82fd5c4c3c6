"""How old a large object is, by the transactions of its time."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ansible_collections.cadence.upkeep.plugins.module_utils._postgres.large_objects.marks import (
    Clock,
    Mark,
    clock_of,
    limit,
    read,
    thinned,
    write,
)

HOUR, DAY = 3600.0, 86400.0
NOW = 1_790_000_000.0


def clock(xid: int = 10_000, checkpoint: tuple[float, int] = (NOW - 60, 9_900), cluster: str = "7/1") -> Clock:
    return Clock(Mark(NOW, xid), Mark(*checkpoint), cluster, False)


def test_a_clock_is_read_from_the_server():
    read_ = clock_of(NOW, 4_294_967_396, NOW - 300, "1:42", 3, "7313", True)
    assert read_.now.xid == (1 << 32) + 100
    assert read_.checkpoint == Mark(NOW - 300, (1 << 32) + 42)
    assert (read_.cluster, read_.commit_times) == ("7313/3", True)


def test_without_a_note_that_is_old_enough_nothing_is_known():
    assert limit(clock(), [], DAY) is None
    assert limit(clock(), [Mark(NOW - DAY + 1, 500)], DAY) is None


def test_the_newest_note_that_is_old_enough_counts():
    notes = [Mark(NOW - 3 * DAY, 300), Mark(NOW - DAY, 700), Mark(NOW - HOUR, 900)]
    assert limit(clock(), notes, DAY) == "700"
    assert limit(clock(), notes, 2 * DAY) == "300"
    assert limit(clock(), notes, 30) == "9900", "the last checkpoint is a note too"


def test_what_was_made_since_the_oldest_transaction_that_runs_is_always_too_new():
    assert limit(clock(xid=400), [Mark(NOW - 2 * DAY, 700)], DAY) == "400"
    assert limit(clock(xid=400), [], 0) == "400"


def test_transactions_wrap_around():
    far = 5 << 32
    assert limit(clock(xid=far + 50, checkpoint=(NOW, far)), [Mark(NOW - DAY, far + 20)], DAY) == "20"
    assert limit(clock(xid=far + 50, checkpoint=(NOW, far)), [Mark(NOW - DAY, far + 1)], DAY) == "3", (
        "below is reserved"
    )
    assert limit(clock(xid=far, checkpoint=(NOW, far)), [Mark(NOW - DAY, far - (1 << 31))], DAY) is None, "too far back"
    assert limit(clock(xid=far, checkpoint=(NOW, far)), [Mark(NOW - DAY, far - (1 << 30))], DAY) is not None


def test_notes_come_back_and_those_of_another_timeline_do_not():
    state = {"schema": 1, "tasks": {}}
    write(state, clock(), [])
    assert read(state, clock()) == [Mark(NOW, 10_000)]
    assert read(state, clock(cluster="7/2")) == []
    assert read(state, clock(cluster="8/1")) == []
    write(state, clock(cluster="8/1"), [])
    write(state, clock(cluster="7/2"), [])
    assert sorted(state["large_objects"]) == ["7/2", "8/1"]
    assert state["schema"] == 1


@pytest.mark.parametrize("kept", [None, [], "x", {"7/1": None}, {"7/1": ["x", [1], [1, "2"], {}]}])
def test_notes_that_cannot_be_read_count_as_none(kept):
    assert read({"large_objects": kept}, clock()) == []


@given(st.lists(st.floats(0, 900 * DAY), max_size=300), st.floats(HOUR, 300 * DAY))
def test_thinning_keeps_few_and_never_far_apart(ages, wanted):
    marks = [Mark(NOW - age, 1) for age in ages]
    kept = thinned(marks, NOW)
    assert kept == sorted(kept, key=lambda mark: mark.time)
    assert len(kept) < 150
    assert set(kept) <= set(marks)
    # Where there was a note of about that age, there still is one, not much older.
    before = [mark for mark in marks if wanted <= NOW - mark.time <= 700 * DAY]
    if before:
        newest = max(mark.time for mark in before)
        still = [mark for mark in kept if mark.time <= newest]
        assert still
        assert newest - max(mark.time for mark in still) <= max(HOUR, (NOW - newest) * 0.12 + HOUR)
