"""Processes are known by pid and start time, and end with all they started."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from tests.bed.errors import BedError
from tests.bed.processes import Process, descendants, interrupts_held, run, start_of

STUBBORN = (
    "import signal, time; signal.signal(signal.SIGTERM, signal.SIG_IGN); print('ready', flush=True); time.sleep(60)"
)
FAMILY = (
    "import subprocess, sys, time\n"
    "child = subprocess.Popen(['sleep', '60'], start_new_session=True)\n"
    "print(child.pid, file=open(sys.argv[1], 'w'), flush=True)\n"
    "time.sleep(60)\n"
)


def process_of(child: subprocess.Popen[bytes]) -> Process:
    started = start_of(child.pid)
    assert started is not None
    return Process(child.pid, started)


@pytest.fixture
def sleeper() -> Iterator[subprocess.Popen[bytes]]:
    child = subprocess.Popen(["sleep", "60"])
    yield child
    child.kill()
    child.wait()


def test_a_process_runs_until_it_ended_and_a_zombie_has(sleeper: subprocess.Popen[bytes]) -> None:
    process = process_of(sleeper)
    assert process.running
    sleeper.kill()
    deadline = time.monotonic() + 5
    while start_of(sleeper.pid) is not None:  # not waited for: it stays as a zombie
        assert time.monotonic() < deadline
        time.sleep(0.01)
    assert not process.running


def test_a_later_process_with_the_same_pid_is_another_one_and_is_left_alone(sleeper: subprocess.Popen[bytes]) -> None:
    namesake = replace(process_of(sleeper), started="an earlier time")
    assert not namesake.running
    namesake.stop()
    assert process_of(sleeper).running


def test_the_next_signal_follows_when_one_is_ignored() -> None:
    with subprocess.Popen([sys.executable, "-c", STUBBORN], stdout=subprocess.PIPE) as child:
        assert child.stdout is not None
        assert child.stdout.readline() == b"ready\n"
        process_of(child).stop(patience=0.3)
        assert child.wait(timeout=60) == -signal.SIGKILL


def test_descendants_are_found_over_sessions(tmp_path: Path) -> None:
    note = tmp_path / "pid"
    with subprocess.Popen([sys.executable, "-c", FAMILY, str(note)]) as child:
        grandchild = _await_pid(note)
        assert grandchild in [process.pid for process in descendants(child.pid)]
        os.kill(grandchild, signal.SIGKILL)
        child.kill()


def test_a_command_that_is_late_goes_with_what_it_started_in_other_sessions(tmp_path: Path) -> None:
    note = tmp_path / "pid"
    with pytest.raises(BedError, match="took longer than 5 s"):
        run([sys.executable, "-c", FAMILY, note], timeout=5)
    assert start_of(_await_pid(note)) is None


def test_a_command_that_is_not_there_is_named() -> None:
    with pytest.raises(BedError, match="cannot run /no/such/program: No such file"):
        run(["/no/such/program"])


def test_an_exit_code_and_output_are_returned() -> None:
    ended = run([sys.executable, "-c", "import sys; print('out'); sys.exit(3)"])
    assert (ended.returncode, ended.stdout) == (3, "out\n")


def test_an_interrupt_waits_for_the_end_of_the_block() -> None:
    steps = []
    with pytest.raises(KeyboardInterrupt):  # noqa: PT012  the block is what is tested
        with interrupts_held():
            signal.raise_signal(signal.SIGINT)
            steps.append("noted")
        steps.append("not reached")
    assert steps == ["noted"]
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler


def _await_pid(note: Path) -> int:
    deadline = time.monotonic() + 5
    while not (note.exists() and note.read_text()):
        assert time.monotonic() < deadline
        time.sleep(0.01)
    return int(note.read_text())
