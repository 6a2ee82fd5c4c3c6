"""What the ledger names is stopped and removed, also after its owner was killed."""

from __future__ import annotations

import os
import signal
import stat
import subprocess
import sys
import time
from pathlib import Path

import pytest

from tests.bed.errors import BedError
from tests.bed.ledger import GATE, Ledger, sweep
from tests.bed.processes import Process, start_of

CHECKOUT = Path(__file__).resolve().parents[3]
OWNER = """
import os, sys, time
from pathlib import Path
from tests.bed.ledger import of_this_process
cache = Path(sys.argv[1])
ledger = of_this_process(cache)
ledger.make_directory(cache)
ledger.start("sleeper", ["/bin/sleep", "60"], log=cache / "log")
print("ready", flush=True)
if sys.argv[2] == "stay":
    time.sleep(60)
"""


def run_owner(cache: Path, then: str) -> subprocess.Popen[bytes]:
    return subprocess.Popen([sys.executable, "-c", OWNER, str(cache), then], cwd=CHECKOUT, stdout=subprocess.PIPE)


def test_a_ledger_is_read_back_as_it_was_written_and_only_its_owner_can_read_it(tmp_path: Path) -> None:
    ledger = Ledger(tmp_path / "bed.json")
    ledger.facts["port"] = 5432
    ledger.processes["one"] = Process(1, "then", ("SIGINT",))
    ledger.save()
    again = Ledger(tmp_path / "bed.json")
    assert (again.facts, again.processes, again.owner) == (ledger.facts, ledger.processes, None)
    assert stat.S_IMODE((tmp_path / "bed.json").stat().st_mode) == 0o600


def test_a_file_that_is_no_ledger_is_named(tmp_path: Path) -> None:
    (tmp_path / "bed.json").write_text("[]")
    with pytest.raises(BedError, match=r"bed\.json is not a record of the bed"):
        Ledger(tmp_path / "bed.json")


def test_closing_ends_the_processes_and_removes_the_directories_and_the_file(tmp_path: Path) -> None:
    ledger = Ledger(tmp_path / "bed.json")
    directory = ledger.make_directory(tmp_path)
    process = ledger.start("sleeper", ["/bin/sleep", "60"], log=directory / "log")
    assert ledger.running("sleeper")
    ledger.close()
    assert not process.running
    assert list(tmp_path.iterdir()) == []


def test_only_its_own_directories_are_removed(tmp_path: Path) -> None:
    with pytest.raises(BedError, match="was not made by the bed"):
        Ledger(tmp_path / "bed.json").remove_directory(tmp_path)
    assert tmp_path.exists()


def test_a_command_that_is_not_there_ends_and_says_so_in_the_log(tmp_path: Path) -> None:
    ledger = Ledger(tmp_path / "bed.json")
    process = ledger.start("nothing", ["/no/such/program"], log=tmp_path / "log")
    _await_end(process)
    assert "cannot start /no/such/program" in (tmp_path / "log").read_text()
    ledger.close()


def test_nothing_is_started_when_the_starter_ends_before_it_noted_it(tmp_path: Path) -> None:
    touched = tmp_path / "touched"
    command = [sys.executable, "-I", "-S", str(GATE), "-1", "-1", "/usr/bin/touch", str(touched)]
    ended = subprocess.run(command, stdin=subprocess.DEVNULL, check=False)
    assert ended.returncode == 1
    assert not touched.exists()


def test_an_owner_that_just_ends_leaves_nothing(tmp_path: Path) -> None:
    with run_owner(tmp_path, "end") as owner:
        assert owner.wait(timeout=20) == 0
    assert [path.name for path in (tmp_path / "runs").iterdir()] == [".lock"]
    assert not list(tmp_path.glob("upkeep-bed-*"))


def test_after_a_killed_owner_the_next_start_clears_up(tmp_path: Path) -> None:
    with run_owner(tmp_path, "stay") as owner:
        assert owner.stdout is not None
        assert owner.stdout.readline() == b"ready\n"
        (record,) = (tmp_path / "runs").glob("*.json")
        orphan = Ledger(record).processes["sleeper"]
        sweep(tmp_path / "runs")
        assert orphan.running, "what a living owner has is left alone"
        os.kill(owner.pid, signal.SIGKILL)
    assert orphan.running
    sweep(tmp_path / "runs")
    assert start_of(orphan.pid) is None
    assert not record.exists()
    assert not list(tmp_path.glob("upkeep-bed-*"))


def _await_end(process: Process) -> None:
    deadline = time.monotonic() + 5
    while process.running:
        assert time.monotonic() < deadline
        time.sleep(0.01)
