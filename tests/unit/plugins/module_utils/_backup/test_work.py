"""Reading side by side: the same answers as alone, and one that dies hides no other."""

from __future__ import annotations

import os
import signal
import threading
import time
from dataclasses import replace
from pathlib import Path

import pytest

from ansible_collections.cadence.upkeep.plugins.module_utils._backup import model
from ansible_collections.cadence.upkeep.plugins.module_utils._backup.reader import read_content
from ansible_collections.cadence.upkeep.plugins.module_utils._backup.work import Task, read_all
from ansible_collections.cadence.upkeep.plugins.module_utils._core.deadline import Deadline
from tests.unit.plugins.module_utils._backup.samples import CUSTOM, PLAIN, policy, recorded

Result = tuple[model.Content | None, model.Failure | None]


def task(path: Path) -> Task:
    reading = policy().reading(model.STRUCTURE)
    return Task(str(path), path.stat().st_size, lambda deadline: read_content(str(path), reading, deadline))


def files(folder: Path) -> list[Path]:
    paths = []
    for name in (*PLAIN, *CUSTOM, "16-zstd.dump"):
        paths.append(folder / name)
        paths[-1].write_bytes(recorded(name))
        paths.append(folder / f"cut-{name}")
        paths[-1].write_bytes(recorded(name)[:-50])
    for path in paths:
        os.utime(path, (1e9, 1e9))
    return paths


def timeless(results: list[Result]) -> list[Result]:
    return [(replace(content, seconds=0.0) if content else None, failure) for content, failure in results]


@pytest.mark.parametrize("workers", [2, 4])
def test_side_by_side_is_the_same_as_alone(tmp_path: Path, workers: int) -> None:
    tasks = [task(path) for path in files(tmp_path)]
    alone = read_all(tasks, policy(parallel=1), Deadline(600))
    assert timeless(read_all(tasks, policy(parallel=workers), Deadline(600))) == timeless(alone)
    assert sum(bool(content and content.problems) for content, _failure in alone) == len(tasks) // 2


def test_one_that_dies_hides_no_other(tmp_path: Path) -> None:
    good = [task(path) for path in files(tmp_path)[:6]]

    def die(_deadline: Deadline) -> Result:
        os.kill(os.getpid(), signal.SIGKILL)
        raise AssertionError

    results = read_all([*good[:3], Task("/dying", 10, die), *good[3:]], policy(parallel=2), Deadline(600))
    assert [failure.kind if failure else "" for _content, failure in results] == ["", "", "", "killed", "", "", ""]
    assert all(content for content, failure in results if failure is None)
    assert "died" in (results[3][1] or model.Failure("", "")).reason


def test_one_that_hangs_is_stopped_at_its_time(tmp_path: Path) -> None:
    good = task(files(tmp_path)[0])

    def hang(_deadline: Deadline) -> Result:
        time.sleep(600)
        return None, None

    limited = policy(parallel=2, seconds_per_file=3.0)
    started = time.monotonic()
    results = read_all([Task("/hanging", 5 << 20, hang), good], limited, Deadline(600))
    assert time.monotonic() - started < 60
    assert results[0][1] is not None
    assert results[0][1].kind == model.TIMED_OUT
    assert results[1][0] is not None


def test_when_the_time_for_all_is_over_nothing_is_begun(tmp_path: Path) -> None:
    results = read_all([task(path) for path in files(tmp_path)[:4]], policy(parallel=2), Deadline(0.0))
    assert {failure.kind for _content, failure in results if failure} == {model.TIMED_OUT}
    assert len(results) == 4


def test_it_goes_on_behind_others(tmp_path: Path) -> None:
    def niceness(_deadline: Deadline) -> Result:
        return None, model.Failure("nice", str(os.nice(0)))

    before = os.nice(0)
    (result,) = read_all([Task("/x", 1, niceness)], policy(parallel=2, nice=3, idle_io=True), Deadline(60))
    assert result[1] is not None
    assert int(result[1].reason) == before + 3
    assert os.nice(0) == before


def test_the_rate_is_limited(tmp_path: Path) -> None:
    path = tmp_path / "big.sql"
    path.write_bytes(recorded("18.sql") + b"\n" * 1_000_000)
    os.utime(path, (1e9, 1e9))
    slow = policy(bytes_per_second=2_000_000).reading(model.STRUCTURE)
    started = time.monotonic()
    content, _failure = read_content(str(path), slow, Deadline(60))
    assert time.monotonic() - started > 0.3
    assert content is not None
    assert content.whole
    assert threading.active_count() < 50
