"""Whether there is room for a second index, as far as that is known."""

from __future__ import annotations

from pathlib import Path

import pytest

from ansible_collections.cadence.upkeep.plugins.module_utils._postgres.disk import Disk, Setup
from ansible_collections.cadence.upkeep.plugins.module_utils._postgres.reindex import disk
from ansible_collections.cadence.upkeep.plugins.module_utils._postgres.reindex.disk import Room, directory_of, need_of
from ansible_collections.cadence.upkeep.plugins.module_utils._postgres.reindex.model import RunOptions, Step
from tests.unit.plugins.module_utils._postgres.reindex.samples import MIB, estimate, index, step

SETUP = Setup(work_memory=64 * MIB, temporary=("base/pgsql_tmp",), max_wal_size=2 * MIB)


def bloated(size: int = 10 * MIB, ratio: float = 0.5, name: str = "orders_pkey", confidence: str = "high") -> Step:
    of = index(name, bytes=size)
    return step(of, estimate=estimate(of, ratio, confidence=confidence))


def room(free: int | None, setup: Setup = SETUP, why: str = "", without: bool = False) -> Room:
    options = RunOptions(databases=("shop",), disk_headroom=1.0, without_disk_check=without)
    return Room(Disk(vouched=free, why=why), setup, options)


def needs(one: Step, setup: Setup = SETUP, directory: str = "") -> dict[str, tuple[str, int]]:
    return {portion.what: (portion.directory, portion.bytes) for portion in need_of(one, setup, directory)}


def test_the_new_index_is_without_the_bloat() -> None:
    assert needs(bloated()) == {"the new index": ("base/5", 5 * MIB), "WAL": ("pg_wal", 5 * MIB)}


def test_where_the_bloat_is_a_guess_the_whole_size_counts() -> None:
    assert needs(bloated(confidence="low"))["the new index"] == ("base/5", 10 * MIB)
    assert needs(step(index()))["the new index"] == ("base/5", 10 * MIB)


def test_wal_is_recycled_unless_something_keeps_it() -> None:
    assert needs(bloated(), Setup(keeps_wal=False, max_wal_size=2 * MIB))["WAL"] == ("pg_wal", 2 * MIB)
    assert "WAL" not in needs(bloated(), Setup(wal_level="minimal"))
    assert "WAL" not in needs(step(index(logged=False)))


def test_what_does_not_fit_into_memory_is_sorted_on_disk() -> None:
    large = step(index(bytes=100 * MIB))
    assert needs(large, SETUP)["sorting"] == ("base/pgsql_tmp", 100 * MIB)
    assert "sorting" not in needs(step(index(bytes=64 * MIB)), SETUP)


def test_it_goes_where_it_is_told_to() -> None:
    assert needs(bloated(), directory="pg_tblspc/77")["the new index"][0] == "pg_tblspc/77"
    assert needs(step(index(toast=True)), directory="pg_tblspc/77")["the new index"][0] == "base/5"
    assert (directory_of(1663), directory_of(77)) == ("base", "pg_tblspc/77")


def test_a_drop_needs_nothing() -> None:
    assert need_of(step(action="drop"), SETUP) == ()
    assert room(0).take(step(action="drop")) == ("", "")


def test_what_others_of_ours_are_about_to_use_is_not_free() -> None:
    place = room(25 * MIB)
    first, second, third = bloated(name="a"), bloated(name="b"), bloated(name="c")
    assert place.take(first) == ("", "")
    assert place.take(second) == ("", "")
    why, numbers = place.take(third)
    assert why == "disk_space"
    assert "it needs 10.0 MiB" in numbers
    place.give_back(first)
    assert place.take(third) == ("", "")


def test_where_nobody_knows_what_is_free_small_ones_are_done() -> None:
    unknown = room(None, why="the data directory is not on this host")
    assert unknown.take(bloated()) == ("", "")
    large = bloated(size=2 * disk.UNCHECKED_BYTES)
    assert unknown.take(large) == (
        "disk_unknown",
        "it needs 768.0 MiB, and the data directory is not on this host",
    )
    assert room(None, why="it is elsewhere", without=True).take(large) == ("", "")
    assert unknown.within([large, bloated(name="small")])[1][0].why == "disk_unknown"


def test_what_one_frees_is_room_for_the_next(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("base/5", "pg_wal"):
        (tmp_path / name).mkdir(parents=True)
    free = 12 * MIB
    monkeypatch.setattr(disk.Disk, "space", lambda _disk, directories: disk.Space(
        dict.fromkeys(directories, "one"), {"one": free}))  # fmt: skip
    here = Room(Disk(str(tmp_path)), Setup(wal_level="minimal"), RunOptions(databases=("shop",), disk_headroom=1.0))
    small, large = bloated(20 * MIB, 0.9, "small"), bloated(60 * MIB, 0.5, "large")
    assert here.within([large])[0] == []
    fits, short = here.within([small, large])
    assert ([one.index.name for one in fits], short) == (["small", "large"], [])
