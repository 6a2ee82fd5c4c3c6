"""Removing files: those that were looked at, in order, and no others."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from ansible_collections.cadence.upkeep.plugins.module_utils._core.deadline import Budget
from ansible_collections.cadence.upkeep.plugins.module_utils._postgres.archive import apply
from ansible_collections.cadence.upkeep.plugins.module_utils._postgres.archive.collect import read_archive
from ansible_collections.cadence.upkeep.plugins.module_utils._postgres.archive.model import Plan
from ansible_collections.cadence.upkeep.plugins.module_utils._postgres.archive.plan import plan
from tests.unit.plugins.module_utils._postgres.archive.samples import fill, name, options, segments, snapshot


def planned(folder: Path, keep: int = 9) -> Plan:
    fill(folder, *segments(1, 9), "readme")
    given = options(keep_from=name(keep), wal_segment_size="16MiB")
    held, _backups = read_archive(str(folder), given, None)
    return plan(snapshot(held), given)


def test_what_is_planned_goes_and_nothing_else(tmp_path: Path) -> None:
    removed = apply.remove(str(tmp_path), planned(tmp_path), Budget(None), None)
    assert removed.names == set(segments(1, 8))
    assert (removed.left, removed.failed) == ({}, "")
    assert sorted(os.listdir(tmp_path)) == [name(9), "readme"]


def test_limits(tmp_path: Path) -> None:
    made = planned(tmp_path)
    removed = apply.remove(str(tmp_path), made, Budget(None), 3)
    assert removed.names == set(segments(1, 3))
    assert removed.left == dict.fromkeys(segments(4, 8), "max_delete")
    spent = apply.remove(str(tmp_path), made, Budget(0.0), None)
    assert (spent.names, set(spent.left.values())) == (frozenset(), {"time_limit"})


def test_what_is_another_file_by_now_stays(tmp_path: Path) -> None:
    made = planned(tmp_path)
    (tmp_path / name(1)).unlink()
    (tmp_path / name(2)).unlink()
    (tmp_path / name(2)).symlink_to(tmp_path / "readme")
    (tmp_path / name(3)).write_bytes(b"archived again")
    (tmp_path / name(4)).unlink()
    (tmp_path / name(4)).mkdir()
    os.replace(tmp_path / name(5), tmp_path / "aside")
    fill(tmp_path, name(5))
    removed = apply.remove(str(tmp_path), made, Budget(None), None)
    assert removed.left == {
        name(1): "vanished", name(2): "changed", name(3): "changed", name(4): "changed", name(5): "changed",
    }  # fmt: skip
    assert removed.names == set(segments(6, 8))
    assert (tmp_path / "readme").exists()


def test_the_first_that_cannot_be_removed_ends_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    made = planned(tmp_path)
    real = os.unlink

    def stubborn(path: str, **others: int) -> None:
        if path == name(3):
            raise PermissionError(1, "Operation not permitted")
        real(path, **others)

    monkeypatch.setattr(apply.os, "unlink", stubborn)
    removed = apply.remove(str(tmp_path), made, Budget(None), None)
    assert (removed.failed, removed.error) == (name(3), "Operation not permitted")
    assert removed.names == set(segments(1, 2))
    assert removed.left == dict.fromkeys(segments(3, 8), "stopped")


def test_what_is_there_again_was_not_removed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    made = planned(tmp_path)
    real = os.listdir
    monkeypatch.setattr(apply.os, "listdir", lambda path: [*real(path), name(2)])
    removed = apply.remove(str(tmp_path), made, Budget(None), None)
    assert removed.left == {name(2): "still_there"}
    assert name(2) not in removed.names


def test_it_works_in_the_directory_that_was_opened_whatever_becomes_of_its_path(tmp_path: Path) -> None:
    archive = tmp_path / "archive"
    archive.mkdir()
    planned(archive)
    with apply.opened(str(archive)) as descriptor:
        archive.rename(tmp_path / "moved")
        archive.mkdir()
        fill(archive, name(1))
        os.unlink(name(1), dir_fd=descriptor)
    assert (archive / name(1)).exists()
