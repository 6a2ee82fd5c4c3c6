"""The record of what runs and what was made outside the checkout, so that all of it can be stopped and removed.

A ledger is one JSON file of mode 0600. What it names is named *before* it exists (a directory) or before it may run
(a process, through gate.py): a ledger whose owner was killed is complete, and the next start clears up after it.
"""

from __future__ import annotations

import atexit
import fcntl
import json
import os
import secrets
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, TextIO

from .errors import BedError
from .processes import Process, interrupts_held, start_of

GATE = Path(__file__).with_name("gate.py")
PREFIX = "upkeep-bed-"


class Ledger:
    """Processes by name, directories, and free `facts` (JSON types) for whoever reads the file."""

    def __init__(self, path: Path, owner: Process | None = None) -> None:
        """Open the ledger at `path`, as it was left when it exists. Without an owner it outlives its maker."""
        self.path = path
        self.owner = owner
        self.processes: dict[str, Process] = {}
        self.directories: list[str] = []
        self.facts: dict[str, Any] = {}
        self._children: dict[int, subprocess.Popen[bytes]] = {}
        if path.exists():
            self._load()

    def _load(self) -> None:
        try:
            record = json.loads(self.path.read_text(encoding="utf-8"))
            self.owner = None if record["owner"] is None else _process(record["owner"])
            self.processes = {name: _process(entry) for name, entry in record["processes"].items()}
            self.directories = list(record["directories"])
            self.facts = dict(record["facts"])
        except (ValueError, KeyError, TypeError, AttributeError) as error:
            raise BedError(f"{self.path} is not a record of the bed ({error}): remove it by hand") from error

    def save(self) -> None:
        """Write it, whole or not at all."""
        record = {
            "owner": None if self.owner is None else _entry(self.owner),
            "processes": {name: _entry(process) for name, process in self.processes.items()},
            "directories": self.directories,
            "facts": self.facts,
        }
        self.path.parent.mkdir(parents=True, exist_ok=True)
        handle, name = tempfile.mkstemp(dir=self.path.parent, prefix=f".{self.path.name}.")  # mkstemp makes it 0600
        with os.fdopen(handle, "w", encoding="utf-8") as file:
            json.dump(record, file, indent=2)
            file.write("\n")
        os.replace(name, self.path)

    def running(self, name: str) -> bool:
        """Whether the process of that name lives."""
        return name in self.processes and self.processes[name].running

    def make_directory(self, base: Path) -> Path:
        """A new directory of mode 0700 with a name nobody can guess, removed with the ledger."""
        path = base / f"{PREFIX}{secrets.token_hex(5)}"
        self.directories.append(str(path))
        self.save()
        path.mkdir(mode=0o700)
        return path

    def start(
        self,
        name: str,
        argv: Sequence[str | Path],
        *,
        log: Path,
        signals: Sequence[str] = ("SIGTERM", "SIGKILL"),
        account: tuple[int, int] | None = None,
        env: Mapping[str, str] | None = None,
        cwd: Path | None = None,
        pass_fds: Sequence[int] = (),
    ) -> Process:
        """Start a server in a session of its own, its output appended to `log`, and note it under `name`."""
        uid, gid = account or (-1, -1)
        command = [sys.executable, "-I", "-S", str(GATE), str(uid), str(gid), *map(str, argv)]
        with open(log, "ab") as output, interrupts_held():
            child = subprocess.Popen(
                command, stdin=subprocess.PIPE, stdout=output, stderr=output, env=None if env is None else dict(env),
                cwd=cwd, start_new_session=True, pass_fds=pass_fds,
            )  # fmt: skip
            process = Process(child.pid, start_of(child.pid) or "ended at once", tuple(signals))
            self._children[child.pid] = child
            self.processes[name] = process
            self.save()
            assert child.stdin is not None
            try:
                child.stdin.write(b"+")
                child.stdin.close()
            except BrokenPipeError as error:
                raise BedError(f"{name} ended at once: see {log}") from error
        return process

    def stop(self, name: str) -> None:
        """End the process of that name and forget it; none of that name is fine."""
        process = self.processes.get(name)
        if process is None:
            return
        process.stop()
        self.reap(process)
        del self.processes[name]
        self.save()

    def reap(self, process: Process) -> None:
        """Take the exit code of an ended child of ours, so that it does not stay as a zombie."""
        child = self._children.pop(process.pid, None)
        if child is not None:
            child.wait(timeout=10)

    def remove_directory(self, path: Path) -> None:
        """Remove a directory that `make_directory` made, with what PostgreSQL left in shared memory for it."""
        if str(path) not in self.directories or not path.name.startswith(PREFIX):
            raise BedError(f"{path} was not made by the bed and is not removed")
        _remove_shared_memory(path)
        shutil.rmtree(path, ignore_errors=True)
        if path.exists():
            raise BedError(f"{path} cannot be removed: remove it by hand")
        self.directories.remove(str(path))
        self.save()

    def close(self) -> None:
        """Stop everything, remove every directory, and the file itself."""
        with interrupts_held():
            for name in reversed(list(self.processes)):
                self.stop(name)
            for path in list(self.directories):
                self.remove_directory(Path(path))
            self.path.unlink(missing_ok=True)

    def leave(self) -> None:
        """Let the processes live on after this one."""
        for child in self._children.values():
            child.returncode = 0  # not ours to wait for: keeps Popen from warning that it still runs
        self._children.clear()


def _process(entry: Mapping[str, Any]) -> Process:
    return Process(int(entry["pid"]), str(entry["started"]), tuple(entry["signals"]))


def _entry(process: Process) -> dict[str, Any]:
    return {"pid": process.pid, "started": process.started, "signals": list(process.signals)}


def _remove_shared_memory(directory: Path) -> None:
    """A killed postmaster leaves a tiny System V segment, whose id its pid file holds; a stopped one leaves no file."""
    for file in directory.glob("*/postmaster.pid"):
        lines = file.read_text(encoding="utf-8", errors="replace").splitlines()
        ids = lines[6].split() if len(lines) > 6 else []
        ipcrm = shutil.which("ipcrm")
        if len(ids) == 2 and ipcrm is not None:
            subprocess.run([ipcrm, "-m", ids[1]], capture_output=True, check=False)  # gone already is fine


@contextmanager
def locked(path: Path) -> Iterator[TextIO]:
    """Hold an exclusive lock on a file; it goes with the process, however that ends."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with open(path, "a+", encoding="utf-8") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield file


def sweep(runs: Path) -> None:
    """Clear up after each owner that was killed before it could."""
    for path in sorted(runs.glob("*.json")):
        ledger = Ledger(path)
        if ledger.owner is None or not ledger.owner.running:
            ledger.close()


_own: Ledger | None = None


def of_this_process(cache: Path) -> Ledger:
    """The ledger of this process in `cache`/runs; everything in it ends with the process at the latest."""
    global _own
    if _own is None or _own.owner is None or _own.owner.pid != os.getpid():
        started = start_of(os.getpid())
        assert started is not None
        runs = cache / "runs"
        with locked(runs / ".lock"):
            sweep(runs)
            _own = Ledger(runs / f"{os.getpid()}.json", Process(os.getpid(), started))
            _own.save()
        atexit.register(_close_own)
    return _own


def _close_own() -> None:
    """At exit; a fork of the owner has the object too, but nothing in it is the fork's to stop."""
    if _own is not None and _own.owner is not None and _own.owner.pid == os.getpid():
        _own.close()
