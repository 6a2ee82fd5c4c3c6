"""A run that is killed anywhere leaves nothing that misleads, and the next one finishes."""

from __future__ import annotations

import os
import random
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from ansible_collections.cadence.upkeep.plugins.module_utils._backup import manifest
from ansible_collections.cadence.upkeep.plugins.module_utils._backup.prune import apply
from tests.unit.plugins.module_utils._backup.prune.stock import NEWEST, codes, days, names, run, series
from tests.unit.plugins.module_utils._backup.samples import DAY

CHECKOUT = Path(__file__).resolve().parents[6]
CALLS = ("rename", "unlink", "rmdir")


class Killed(BaseException):
    """Stands for SIGKILL: nothing of ours may catch it."""


class Executioner:
    """Lets so many changes of the file system happen, and kills at the next one."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, after: int) -> None:
        self.left = after
        for name in CALLS:
            monkeypatch.setattr(apply.os, name, self._counted(getattr(os, name)))

    def _counted(self, call: Any) -> Any:
        def counted(*args: Any, **how: Any) -> Any:
            if self.left == 0:
                raise Killed
            self.left -= 1
            return call(*args, **how)

        return counted


def good_without_manifest(folder: Path) -> list[str]:
    """Backups that would count, and whose manifest is gone."""
    there = set(names(folder))
    return [
        name
        for name in there
        if name.endswith(".sql.gz") and not name.startswith(".") and name + manifest.SUFFIX not in there
    ]


def moments(folder: Path, **how: Any) -> int:
    """How many changes a whole run makes."""
    with pytest.MonkeyPatch.context() as patch:
        counting = Executioner(patch, after=10**6)
        run(folder, **how)
        return 10**6 - counting.left


@pytest.fixture
def folders(tmp_path: Path) -> Iterator[Path]:
    return (tmp_path / f"{number}" / "backups" for number in range(10**6))


def test_killed_at_each_change_of_the_file_system(folders: Iterator[Path]) -> None:
    whole = next(folders)
    days(whole, 6)
    count = moments(whole, keep={"last": 3})
    wanted = names(whole)
    assert count == 3 * 4
    for moment in range(count):
        folder = next(folders)
        kept = days(folder, 6)[:3]
        with pytest.MonkeyPatch.context() as patch:
            Executioner(patch, after=moment)
            with pytest.raises(Killed):
                run(folder, keep={"last": 3})
        assert all(one.exists() for one in kept)
        assert good_without_manifest(folder) == []
        again = run(folder, keep={"last": 3})
        assert names(folder) == wanted
        assert codes(again) == []
        assert again.failure == ""
        assert not run(folder, keep={"last": 3}).outcome.changed


def test_a_directory_is_gone_for_all_from_the_first_moment_on(folders: Iterator[Path]) -> None:
    def made(folder: Path) -> list[Path]:
        found = []
        for number in range(5):
            one = folder / f"{NEWEST - number * DAY:%Y%m%d}"
            (one / "shop").mkdir(parents=True)
            (one / "shop" / "a.bson").write_bytes(b"\x05\x00\x00\x00\x00")
            (one / "shop" / "a.metadata.json").write_text("{}")
            found.append(one)
        return found

    first = next(folders)
    made(first)
    how = {"keep": {"last": 3}}
    count = moments(first, **how, series=[series(first, pattern=f"{first}/20*")])
    wanted = names(first)
    for moment in range(count):
        folder = next(folders)
        backups = made(folder)
        wished = series(folder, pattern=f"{folder}/20*")
        with pytest.MonkeyPatch.context() as patch:
            Executioner(patch, after=moment)
            with pytest.raises(Killed):
                run(folder, wished, **how)
        for one in backups:
            assert not one.exists() or len(list((one / "shop").iterdir())) == 2
        run(folder, wished, **how)
        assert names(folder) == wanted


def test_what_a_killed_run_began_waits_while_the_series_is_refused(folders: Iterator[Path]) -> None:
    """The backup that is half removed may be needed yet."""
    folder = next(folders)
    days(folder, 6)
    with pytest.MonkeyPatch.context() as patch:
        Executioner(patch, after=1)
        with pytest.raises(Killed):
            run(folder, keep={"last": 3})
    left = [name for name in names(folder) if name.endswith(".upkeep-removing")]
    assert len(left) == 1
    pruned = run(folder, keep={"last": 3}, now=NEWEST + 5 * DAY)
    assert codes(pruned) == ["prune_cut_off", "prune_stale"]
    assert left[0] in names(folder)


def test_a_new_backup_of_the_same_name_keeps_what_is_beside_it(folders: Iterator[Path]) -> None:
    folder = next(folders)
    oldest = days(folder, 6)[5]
    with pytest.MonkeyPatch.context() as patch:
        Executioner(patch, after=1)
        with pytest.raises(Killed):
            run(folder, keep={"last": 3})
    days(folder, 6)
    run(folder, keep={"last": 10})
    assert {oldest.name, oldest.name + manifest.SUFFIX, oldest.name + ".sha256"} <= set(names(folder))
    assert not [name for name in names(folder) if name.endswith(".upkeep-removing")]


@pytest.mark.parametrize("kills", [5, pytest.param(20, marks=pytest.mark.soak)])
def test_killed_by_the_kernel_at_some_moment(folders: Iterator[Path], kills: int) -> None:
    """Real SIGKILLs; each time the next run ends with the same files."""
    wanted: list[str] = []
    dice = random.Random(20261122)
    for number in range(kills):
        folder = next(folders)
        days(folder, 60)
        code = (
            "import sys; sys.path[:0] = sys.argv[2:]\n"
            "from pathlib import Path\n"
            "from tests.unit.plugins.module_utils._backup.prune.stock import run\n"
            "print('ready', flush=True)\n"
            "run(Path(sys.argv[1]), keep={'last': 3})\n"
        )
        places = [str(CHECKOUT), str(CHECKOUT / "playbooks" / "collections")]
        with subprocess.Popen([sys.executable, "-c", code, str(folder), *places], stdout=subprocess.PIPE) as child:
            assert child.stdout is not None
            child.stdout.readline()
            time.sleep(dice.uniform(0, 0.12) if number else 0)
            child.send_signal(signal.SIGKILL)
        assert good_without_manifest(folder) == []
        run(folder, keep={"last": 3})
        wanted = wanted or names(folder)
        assert names(folder) == wanted
    assert len(wanted) == 9
