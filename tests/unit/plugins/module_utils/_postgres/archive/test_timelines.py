"""The way of a restore over timelines, and what is missing on it."""

from __future__ import annotations

import pytest

from ansible_collections.cadence.upkeep.plugins.module_utils._postgres.archive.model import Gap
from ansible_collections.cadence.upkeep.plugins.module_utils._postgres.archive.timelines import (
    Stretch,
    follow,
    is_damaged,
    stretches,
    target_timeline,
)
from tests.unit.plugins.module_utils._postgres.archive import samples
from tests.unit.plugins.module_utils._postgres.archive.samples import SIZE, archive, backup, entry, name, segments

FORKED_AT_10 = {2: ((1, 10 * SIZE + 0x198),)}


def gaps_of(held, *starts, since=None, current=None):
    return follow(held, starts, since, current).gaps


def test_a_whole_archive_has_no_gap():
    chain = follow(archive(*segments(5, 300)), [backup(7)], None, None)
    assert (chain.gaps, chain.since, chain.until, chain.timeline) == ((), 7, 300, 1)


def test_what_is_missing_is_told_from_the_oldest_base_backup_on():
    files = [file for file in segments(1, 20) if file not in (name(3), name(9), name(12), name(13))]
    assert gaps_of(archive(*files), backup(5), backup(15)) == (Gap(1, 9, 9), Gap(1, 12, 13))
    assert [gap.count for gap in gaps_of(archive(*files), backup(5))] == [1, 2]
    assert gaps_of(archive(*files), backup(14)) == ()


def test_what_is_missing_at_the_very_beginning_is_a_gap_too():
    assert gaps_of(archive(*segments(8, 12)), backup(5)) == (Gap(1, 5, 7),)
    assert gaps_of(archive(*segments(8, 12)), since=6) == (Gap(1, 6, 7),)


def test_a_link_that_leads_nowhere_is_no_segment():
    held = archive(name(1), entry(name(2), regular=False, readable=False), entry(name(3), regular=False), name(4))
    assert gaps_of(held, backup(1)) == (Gap(1, 2, 2),)


def test_packed_segments_count():
    assert gaps_of(archive(name(1), f"{name(2)}.gz", f"{name(3)}.zst", name(4)), backup(1)) == ()


def test_the_segment_of_the_fork_is_read_from_the_new_timeline():
    held = archive(*segments(5, 9), *segments(10, 14, 2), histories=FORKED_AT_10)
    assert gaps_of(held, backup(5)) == ()
    with_partial = archive(*segments(5, 9), f"{name(10)}.partial", *segments(10, 14, 2), histories=FORKED_AT_10)
    assert gaps_of(with_partial, backup(5)) == ()
    without = archive(*segments(5, 10), *segments(11, 14, 2), histories=FORKED_AT_10)
    assert gaps_of(without, backup(5)) == (Gap(2, 10, 10),), "the old one has not what came after the fork"


def test_what_the_old_timeline_wrote_after_the_fork_does_not_stand_for_the_new_one():
    held = archive(*segments(5, 20), *segments(10, 12, 2), *segments(15, 16, 2), histories=FORKED_AT_10)
    assert gaps_of(held, backup(5)) == (Gap(2, 13, 14),)
    assert gaps_of(held, backup(5), current=1) == (), "a server that stayed on the old one reads it alone"


def test_a_fork_at_the_edge_of_a_segment():
    held = archive(*segments(5, 9), *segments(10, 12, 2), histories={2: ((1, 10 * SIZE),)})
    assert gaps_of(held, backup(5)) == ()


def test_a_new_timeline_without_a_segment_yet_changes_nothing():
    assert gaps_of(archive(*segments(5, 10), histories=FORKED_AT_10), backup(5)) == ()
    assert stretches(archive(*segments(5, 10), histories=FORKED_AT_10), 2) == (Stretch(1, 0, None),)


def test_three_timelines():
    held = archive(
        *segments(5, 9),
        *segments(10, 13, 2),
        *segments(14, 16, 3),
        histories={2: ((1, 10 * SIZE + 1),), 3: ((1, 10 * SIZE + 1), (2, 14 * SIZE + 1))},
    )
    chain = follow(held, [backup(6), backup(11, 2), backup(15, 3)], None, None)
    assert (chain.gaps, chain.off, chain.timeline, chain.until) == ((), (), 3, 16)


def test_a_base_backup_after_the_fork_leads_nowhere():
    held = archive(*segments(5, 20), *segments(10, 12, 2), histories=FORKED_AT_10)
    lost, good = backup(15), backup(6)
    chain = follow(held, [good, lost], None, None)
    assert chain.off == (lost,)
    assert chain.since == 6
    assert follow(held, [lost], None, None).until is None


def test_a_history_that_is_missing_or_unreadable_is_said():
    for histories in ({}, {2: None}):
        held = archive(*segments(5, 9), *segments(10, 14, 2), histories=histories)
        chain = follow(held, [backup(5)], None, None)
        assert chain.broken_history == 2
        assert chain.gaps == ()
        holed = archive(*segments(5, 8), *segments(10, 14, 2), histories=histories)
        assert follow(holed, [backup(5)], None, None).gaps == (Gap(2, 9, 9),)


@pytest.mark.parametrize(
    ("current", "expected"),
    [(None, 3), (2, 2), (1, 1), (3, 3), (9, 3)],
)
def test_where_a_restore_would_go(current, expected):
    held = archive(*segments(1, 3), *segments(3, 4, 2), histories={3: ((1, SIZE), (2, 4 * SIZE))})
    assert target_timeline(held, current) == expected


def test_where_a_restore_would_go_from_an_empty_archive():
    assert target_timeline(archive(), 4) == 4
    assert target_timeline(archive(), None) == 1


@pytest.mark.parametrize(
    ("file", "size", "damaged"),
    [
        (name(1), SIZE, False),
        (name(1), SIZE - 1, True),
        (name(1), 0, True),
        (f"{name(1)}.gz", 17, False),
        (f"{name(1)}.gz", 0, True),
        (f"{name(1)}.partial", 100, False),
        (f"{name(1)}.00000028.backup", 300, False),
    ],
)
def test_what_cannot_be_whole(file, size, damaged):
    assert is_damaged(entry(file, size=size), samples.archive()) is damaged
