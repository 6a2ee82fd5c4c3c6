"""Processes by pid and start time: a pid alone is used again, the pair is not.

Linux is read from /proc (a slim image has no `ps`), everything else through `ps`.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from types import FrameType

from .errors import BedError

INTERRUPTS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
_PROC = Path("/proc")
_LINUX = sys.platform.startswith("linux")


@dataclass(frozen=True)
class Process:
    """A process, and the signals that end it: each is tried in turn, `patience` seconds long."""

    pid: int
    started: str
    signals: tuple[str, ...] = ("SIGTERM", "SIGKILL")

    @property
    def running(self) -> bool:
        """Whether this very process lives (a zombie does not)."""
        return start_of(self.pid) == self.started

    def stop(self, patience: float = 10.0) -> None:
        """End it and wait until it is gone. Raises BedError when even the last signal does not."""
        for name in self.signals:
            if self._ended_within(0):
                return
            try:
                os.kill(self.pid, getattr(signal, name))
            except ProcessLookupError:
                return
            except PermissionError as error:
                raise BedError(f"process {self.pid} is another account's: stop it as root") from error
            if self._ended_within(patience):
                return
        raise BedError(f"process {self.pid} does not end, not even after {self.signals[-1]}: look at it with `ps`")

    def _ended_within(self, seconds: float) -> bool:
        deadline = time.monotonic() + seconds
        while self.running:
            if time.monotonic() >= deadline:
                return False
            time.sleep(0.01)
        return True


def start_of(pid: int) -> str | None:
    """What tells this process from a later one with its pid, or None when no such process lives."""
    return _start_from_proc(pid) if _LINUX else _start_from_ps(pid)


def _start_from_proc(pid: int) -> str | None:
    try:
        text = (_PROC / str(pid) / "stat").read_text(encoding="utf-8", errors="replace")
    except (FileNotFoundError, ProcessLookupError):
        return None
    fields = text[text.rindex(")") + 1 :].split()  # the name before it may hold spaces and parentheses
    if fields[0] in "ZX":
        return None
    boot = (_PROC / "sys/kernel/random/boot_id").read_text(encoding="ascii").strip()
    return f"{boot}:{fields[19]}"


def _start_from_ps(pid: int) -> str | None:
    # One -o for each: in BSD's ps a header, also an empty one, takes the rest of its argument.
    command = ["ps", "-o", "stat=", "-o", "lstart=", "-p", str(pid)]
    answer = subprocess.run(command, capture_output=True, text=True, check=False, env=_plain_locale())
    state, _, started = answer.stdout.strip().partition(" ")
    return None if not state or state.startswith("Z") else started.strip()


def _plain_locale() -> dict[str, str]:
    return {"PATH": os.environ.get("PATH", os.defpath), "LC_ALL": "C", "TZ": "UTC"}


def descendants(pid: int) -> list[Process]:
    """Every living process below `pid`, nearest first."""
    children: dict[int, list[int]] = {}
    for child, parent in _parents():
        children.setdefault(parent, []).append(child)
    found, queue = [], list(children.get(pid, []))
    while queue:
        child = queue.pop(0)
        queue.extend(children.get(child, []))
        if (started := start_of(child)) is not None:
            found.append(Process(child, started))
    return found


def _parents() -> Iterator[tuple[int, int]]:
    if not _LINUX:
        listing = subprocess.run(["ps", "-A", "-o", "pid=", "-o", "ppid="], capture_output=True, text=True, check=True)
        for line in listing.stdout.splitlines():
            child, parent = line.split()
            yield int(child), int(parent)
        return
    for entry in _PROC.iterdir():
        if entry.name.isdigit():
            try:
                text = (entry / "stat").read_text(encoding="utf-8", errors="replace")
            except (FileNotFoundError, ProcessLookupError):
                continue
            yield int(entry.name), int(text[text.rindex(")") + 1 :].split()[1])


@contextmanager
def interrupts_held() -> Iterator[None]:
    """Postpone Ctrl-C and its like to the end of the block: starting a process and noting it are one step."""
    came: list[int] = []

    def note(number: int, _frame: FrameType | None) -> None:
        came.append(number)

    try:
        before = {number: signal.signal(number, note) for number in INTERRUPTS}
    except ValueError:  # only the main thread has signals, and only it is interrupted
        yield
        return
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, signal.SIG_DFL if handler is None else handler)
        if came:
            signal.raise_signal(came[0])


def run(
    argv: Sequence[str | Path],
    *,
    env: Mapping[str, str] | None = None,
    cwd: Path | None = None,
    account: tuple[int, int] | None = None,
    timeout: float = 120.0,
    passthrough: bool = False,
) -> subprocess.CompletedProcess[str]:
    """Run a command to its end; interrupted or late, it goes with everything it started.

    `account` is the (uid, gid) to run as. Output is captured, or with `passthrough` goes where ours goes.
    Returns whatever the exit code is; raises BedError when it cannot be started or takes longer than `timeout` seconds.
    """
    words = [str(word) for word in argv]
    stream = None if passthrough else subprocess.PIPE
    identity = {} if account is None else {"user": account[0], "group": account[1], "extra_groups": []}
    child: subprocess.Popen[str] | None = None
    try:
        with interrupts_held():
            child = subprocess.Popen(  # type: ignore[call-overload]  # the account's keys are optional as a set
                words, stdin=subprocess.DEVNULL, stdout=stream, stderr=stream, text=True, errors="replace",
                env=None if env is None else dict(env), cwd=cwd, start_new_session=True, **identity,
            )  # fmt: skip
        out, err = child.communicate(timeout=timeout)
    except OSError as error:
        raise BedError(f"cannot run {words[0]}: {error.strerror or error}") from error
    except subprocess.TimeoutExpired as error:
        raise BedError(f"{words[0]} took longer than {timeout:.0f} s and was stopped") from error
    finally:
        if child is not None:
            _end_with_children(child)
    return subprocess.CompletedProcess(words, child.returncode, out or "", err or "")


def _end_with_children(child: subprocess.Popen[str]) -> None:
    """A child that still runs is asked, then made to end, and so is all it started, in whichever session that is.

    It is asked by SIGINT, which Python programs (pip, ansible-playbook) tidy up on; SIGTERM just ends them.
    """
    if child.poll() is not None:
        return
    with interrupts_held():
        family = descendants(child.pid)
        child.send_signal(signal.SIGINT)
        try:
            child.wait(timeout=5)
        except subprocess.TimeoutExpired:
            family += descendants(child.pid)
            child.kill()
            child.wait()
        for process in family:
            process.stop(patience=2)
        for stream in (child.stdout, child.stderr):
            if stream is not None:
                stream.close()
