"""What may go from an archive, and when nothing may."""

from __future__ import annotations

import dataclasses

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ansible_collections.cadence.upkeep.plugins.module_utils._postgres.archive.errors import ArchiveRefused
from ansible_collections.cadence.upkeep.plugins.module_utils._postgres.archive.model import CONSUMER, Need
from ansible_collections.cadence.upkeep.plugins.module_utils._postgres.archive.plan import (
    choose,
    need_of_text,
    plan,
    rankings,
)
from tests.unit.plugins.module_utils._postgres.archive.samples import (
    SIZE,
    archive,
    backup,
    entry,
    name,
    options,
    segments,
    server,
    slot,
    snapshot,
    standby,
)

TEN = archive(*segments(1, 10))


def removed(held, *backups, server_=None, consumers=(), **given):
    made = plan(snapshot(held, *backups, server=server_, consumers=consumers), options(**given))
    return [each.name for each in made.remove]


# --- the oldest need decides ------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("given", "kept"),
    [
        ({"keep_base_backups": 1}, 8),
        ({"keep_base_backups": 2}, 5),
        ({"keep_base_backups": 3}, 3),
        ({"keep_base_backups": 9}, 3),
        ({"base_backups": ["/base/*"]}, 3),
        ({"base_backups": ["/base/*"], "keep_base_backups": 1}, 8),
        ({"keep_base_backups": 1, "keep_from": name(4)}, 4),
        ({"keep_base_backups": 2, "keep_from": name(9)}, 5),
        ({"keep_base_backups": 1, "server_": server(slots=(slot(2), slot(None)))}, 2),
        ({"keep_base_backups": 1, "server_": server(standbys=(standby(6), standby(None)))}, 6),
        ({"keep_base_backups": 1, "server_": server(redo=7 * SIZE + 99)}, 7),
        ({"keep_base_backups": 1, "consumers": (Need(CONSUMER, "x", 4),)}, 4),
        ({"keep_base_backups": 1, "server_": server(running_backups=1)}, 5),
    ],
)
def test_everything_before_the_oldest_need_goes(given, kept):
    assert removed(TEN, backup(3), backup(5), backup(8), **given) == segments(1, kept - 1)


def test_the_need_that_decides_is_named():
    made = plan(snapshot(TEN, backup(8), server=server(slots=(slot(2),))), options(keep_base_backups=1))
    assert made.keep.as_dict(TEN) == {"kind": "slot", "id": "standby1", "segment": name(2), "lsn": "0/2000005"}
    assert [need.kind for need in made.needs] == ["slot", "base_backup", "redo"]
    assert made.keep.title == "the replication slot standby1"


def test_timelines_are_compared_by_position_alone():
    held = archive(*segments(1, 9), *segments(8, 12, 2), *segments(3, 4, 3))
    assert removed(held, keep_from=name(9, 2)) == [
        name(1), name(2), name(3), name(3, 3), name(4), name(4, 3), *segments(5, 8), name(8, 2),
    ]  # fmt: skip


def test_partial_ones_go_and_histories_stay():
    held = archive(
        *segments(1, 3), f"{name(2)}.partial", f"{name(1)}.00000028.backup", f"{name(2)}.gz", f"{name(3)}.partial",
    )  # fmt: skip
    assert removed(held, keep_from=name(3)) == [name(1), f"{name(2)}.partial", name(2), f"{name(2)}.gz"]
    with_labels = removed(held, keep_from=name(3), remove_backup_history=True)
    assert with_labels[0] == f"{name(1)}.00000028.backup", "what describes a segment goes before it"
    assert set(with_labels) == {f"{name(1)}.00000028.backup", *removed(held, keep_from=name(3))}


def test_what_is_no_file_of_its_own_stays():
    made = plan(snapshot(archive(entry(name(1), regular=False), *segments(2, 3))), options(keep_from=name(3)))
    assert [each.name for each in made.remove] == [name(2)]
    assert [each.name for each in made.irregular] == [name(1)]


@given(
    st.sets(st.integers(0, 600), min_size=1),
    st.integers(0, 600),
    st.lists(st.integers(0, 600), max_size=4),
)
def test_nothing_that_anybody_needs_is_ever_removed_and_a_second_plan_is_empty(numbers, keep, slots):
    held = archive(*map(name, sorted(numbers)))
    needs = [keep, *slots]
    asked = server(redo=700 * SIZE, slots=tuple(slot(number, f"s{index}") for index, number in enumerate(slots)))
    given = options(keep_from=name(keep), allow_remove_all=True)
    made = plan(snapshot(held, server=asked), given)
    assert all(each.number < min(needs) for each in made.remove)
    assert [each.number for each in made.remove] == sorted(each.number for each in made.remove)
    left = dataclasses.replace(held, entries=tuple(each for each in held.entries if each not in made.remove))
    assert plan(snapshot(left, server=asked), given).remove == ()


# --- what is refused --------------------------------------------------------------------------------------------------


def rule_of(*arguments, **given):
    with pytest.raises(ArchiveRefused) as refused:
        removed(*arguments, **given)
    assert refused.value.remedy
    return refused.value.evidence["class"]


def test_without_a_base_backup_nothing_is_known():
    assert rule_of(TEN, keep_base_backups=1) == "no_base_backup"
    assert rule_of(TEN, keep_base_backups=1, server_=server()) == "no_base_backup", "a checkpoint is no base backup"
    assert rule_of(TEN, base_backups=["/base/*"]) == "no_base_backup"


def test_when_no_base_backup_can_be_restored_nothing_is_removed():
    broken = backup(5, last=12)
    with pytest.raises(ArchiveRefused, match="None of the 1 base backups"):
        removed(TEN, broken, keep_base_backups=1)


def test_a_need_that_is_newer_than_everything_is_suspicious():
    assert rule_of(TEN, keep_from=name(11)) == "would_remove_all"
    assert removed(TEN, keep_from=name(10)) == segments(1, 9)
    assert removed(TEN, keep_from=name(11), allow_remove_all=True) == segments(1, 10)
    assert removed(archive(), keep_from=name(11)) == []


@pytest.mark.parametrize("text", ["", "x", "00000002.history", "000000010000000000000100", "0x12"])
def test_what_says_no_place_in_wal_is_refused(text):
    with pytest.raises(ArchiveRefused) as refused:
        need_of_text(CONSUMER, "standby1", text, (".gz",), SIZE)
    assert refused.value.evidence == {"class": "no_place_in_wal", "kind": CONSUMER, "id": "standby1"}


# --- which base backups -----------------------------------------------------------------------------------------------


def kept(*backups, count, held=TEN):
    return [each.first for each in choose(held, backups, count)[0]]


def test_a_base_backup_without_its_wal_never_stands_for_one_that_has_it():
    whole, holed = backup(3), backup(8, last=12)
    assert kept(whole, holed, count=1) == [3]
    assert [each.first for each in choose(TEN, [whole, holed], 1)[1]] == [8]
    assert kept(whole, backup(8, last=12, own_wal=True), count=1) == [8]
    damaged = archive(*segments(1, 7), entry(name(8), size=0), *segments(9, 10))
    assert kept(whole, backup(8), count=1, held=damaged) == [3]


def test_one_that_has_not_ended_keeps_its_wal_and_does_not_count():
    running = backup(4, id="/base/running", of_archive=False, complete=False)
    ready = [backup(2), backup(6), backup(8)]
    assert kept(*ready, running, count=1) == [8]
    assert [each.id for each in choose(TEN, [*ready, running], 1)[2]] == ["/base/running"]
    assert removed(TEN, *ready, running, keep_base_backups=1) == segments(1, 3)
    history = archive(*segments(1, 10), f"{name(4)}.00000028.backup")
    assert kept(*ready, running, count=3, held=history) == [6, 8, 4], "its history file says that it has ended"


def test_after_a_restore_to_an_earlier_state_the_newest_is_that_of_the_newest_timeline():
    before, after = backup(9), backup(4, 2)
    held = archive(*segments(1, 10), *segments(4, 6, 2))
    # Without times that can be compared the other timeline has its newest too.
    assert kept(before, after, count=1, held=held) == [9, 4]
    assert removed(held, before, after, keep_base_backups=1) == segments(1, 3)


def test_where_two_servers_went_on_side_by_side_both_have_their_newest():
    old = backup(9, started="2026-11-22 04:00:00 UTC")
    new = backup(4, 2, started="2026-11-21 04:00:00 UTC")
    held = archive(*segments(1, 10), *segments(4, 6, 2))
    assert kept(old, new, count=1, held=held) == [9, 4]
    earlier = backup(9, started="2026-11-20 04:00:00 UTC")
    assert kept(earlier, new, count=1, held=held) == [4], "times of one zone can be compared"
    summer = backup(9, started="2026-11-20 04:00:00 CEST")
    assert kept(summer, new, count=1, held=held) == [9, 4], "times of two zones cannot"


@given(
    st.lists(
        st.tuples(st.integers(1, 3), st.integers(0, 99), st.sampled_from(["", "2026-11-22 04:00:00 UTC", "junk"])),
        unique_by=lambda each: each[:2],
        max_size=8,
    ),
    st.integers(1, 4),
)
def test_as_many_are_kept_as_are_wanted_or_more(given_, count):
    backups = [backup(number, timeline, started=started) for timeline, number, started in given_]
    held = archive(*(name(each.first, each.timeline) for each in backups))
    chosen = choose(held, backups, count)[0]
    assert len(chosen) >= min(count, len(backups))
    for ranking in rankings(backups):
        assert {each.id for each in ranking[:count]} <= {each.id for each in chosen}
