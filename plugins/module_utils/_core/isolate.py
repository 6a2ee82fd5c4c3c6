# Copyright (c) 2026 Upkeep maintainers
# GNU General Public License v3.0-or-later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Run several jobs side by side so that one that raises, hangs or crashes touches no other.

Each job runs in a forked child with a deadline. A thread cannot be stopped: one that hangs in ``statvfs`` on a dead
mount would keep the module from ending. A child can be killed, and one that even SIGKILL cannot reach (sleeping in the
kernel) is left behind without holding any of our pipes. Forking costs 1 to 2 ms; the modules that the jobs need are
imported once, before.
"""

from __future__ import annotations

import json
import os
import select
import signal
import time
import traceback
from collections import deque
from dataclasses import dataclass, field
from typing import Any, Callable, Sequence

from ansible_collections.cadence.upkeep.plugins.module_utils._core.errors import UpkeepError

DONE, RAISED, TIMED_OUT, DIED = "done", "raised", "timed_out", "died"


@dataclass(frozen=True)
class Job:
    """Something to run: ``call`` returns plain JSON types within ``seconds``."""

    name: str
    call: Callable[[], Any]
    seconds: float


@dataclass(frozen=True)
class Ended:
    """How a job ended: ``value`` when ``DONE``, else ``message``, ``remedy`` and ``evidence`` say why not."""

    name: str
    how: str
    value: Any = None
    message: str = ""
    remedy: str = ""
    evidence: dict[str, Any] = field(default_factory=dict)
    seconds: float = 0.0


@dataclass
class _Child:
    job: Job
    pid: int
    pipe: int
    started: float
    received: bytearray = field(default_factory=bytearray)

    @property
    def ends_at(self) -> float:
        return self.started + self.job.seconds


def run_isolated(jobs: Sequence[Job], workers: int | None = None) -> list[Ended]:
    """Run *jobs*, at most *workers* at a time (default: two for each processor, at least 4), in the order given.

    Returns one ``Ended`` for each job, in that order. Must be called from a process with a single thread.
    """
    limit = workers or max(4, 2 * (os.cpu_count() or 1))
    waiting = deque(jobs)
    running: dict[int, _Child] = {}
    ended: dict[str, Ended] = {}
    try:
        while waiting or running:
            while waiting and len(running) < limit:
                child = _start(waiting.popleft(), running)
                running[child.pipe] = child
            for child in _finished(running):
                del running[child.pipe]
                ended[child.job.name] = _end(child)
    finally:
        for child in running.values():
            _kill(child)
    return [ended[job.name] for job in jobs]


def _start(job: Job, running: dict[int, _Child]) -> _Child:
    reader, writer = os.pipe()
    pid = os.fork()
    if pid == 0:
        os.close(reader)
        for other in running:
            os.close(other)
        _be_child(job, writer)
    os.close(writer)
    return _Child(job, pid, reader, time.monotonic())


def _be_child(job: Job, writer: int) -> None:
    """Never returns: whatever happens, the child ends here and runs no exit handler of the parent."""
    status = 70
    try:
        os.setsid()
        # The last net, should the parent be killed: the default action of SIGALRM ends the process.
        signal.signal(signal.SIGALRM, signal.SIG_DFL)
        signal.alarm(int(job.seconds) + 2)
        # Ansible waits until nobody holds the module's output any more.
        null = os.open(os.devnull, os.O_RDWR)
        for descriptor in (0, 1, 2):
            os.dup2(null, descriptor)
        _write_all(writer, json.dumps(_call(job)).encode())
        status = 0
    finally:
        os._exit(status)


def _call(job: Job) -> dict[str, Any]:
    try:
        return {"how": DONE, "value": job.call()}
    except UpkeepError as error:
        return {"how": RAISED, "message": error.message, "remedy": error.remedy, "evidence": error.evidence}
    except Exception as error:  # the one place where anything may come: a defect in one job must not end the others
        frame = traceback.extract_tb(error.__traceback__)[-1]
        return {
            "how": RAISED,
            "message": f"{type(error).__name__}: {error}",
            "remedy": "This is a defect of the check: report it with this evidence.",
            "evidence": {"raised_at": f"{os.path.basename(frame.filename)}:{frame.lineno} in {frame.name}"},
        }


def _write_all(descriptor: int, data: bytes) -> None:
    view = memoryview(data)
    while view:
        view = view[os.write(descriptor, view) :]


def _finished(running: dict[int, _Child]) -> list[_Child]:
    """Wait until a child writes, ends or is late; return those that are over."""
    patience = max(0.0, min(child.ends_at for child in running.values()) - time.monotonic())
    # poll, not select: descriptors above 1023 are fine.
    poller = select.poll()
    for pipe in running:
        poller.register(pipe, select.POLLIN | select.POLLHUP)
    over = []
    for pipe, _event in poller.poll(patience * 1000 + 1):
        chunk = os.read(pipe, 1 << 16)
        if chunk:
            running[pipe].received += chunk
        else:
            over.append(running[pipe])
    now = time.monotonic()
    return over + [child for child in running.values() if child not in over and child.ends_at <= now]


def _end(child: _Child) -> Ended:
    seconds = time.monotonic() - child.started
    late = seconds >= child.job.seconds
    status = _kill(child)
    try:
        report = json.loads(bytes(child.received))
    except ValueError:
        if late:
            return Ended(
                child.job.name,
                TIMED_OUT,
                message=f"it had not ended after {child.job.seconds:g} s and was stopped",
                remedy="Find out what it waits for (a dead mount, a silent server), or give it a longer deadline.",
                seconds=seconds,
            )
        return Ended(
            child.job.name,
            DIED,
            message=f"its process died ({_describe(status)})",
            remedy="Look for the cause in the kernel's log: out of memory, or a crash in a library.",
            seconds=seconds,
        )
    return Ended(name=child.job.name, seconds=seconds, **report)


def _kill(child: _Child) -> int | None:
    """Kill the child's whole session and reap it; ``None`` when it sleeps in the kernel and cannot die yet."""
    os.close(child.pipe)
    give_up = time.monotonic() + 1.0
    try:
        os.kill(child.pid, 0)
        # After a whole answer the child is on its way out; it gets a moment, so that its status is its own.
        while not child_is_late(child) and time.monotonic() < give_up:
            pid, status = os.waitpid(child.pid, os.WNOHANG)
            if pid:
                _kill_session(child.pid)
                return status
            time.sleep(0.001)
        _kill_session(child.pid)
        give_up = time.monotonic() + 1.0
        while time.monotonic() < give_up:
            pid, status = os.waitpid(child.pid, os.WNOHANG)
            if pid:
                return status
            time.sleep(0.005)
    except (ProcessLookupError, ChildProcessError):
        pass
    return None


def child_is_late(child: _Child) -> bool:
    return time.monotonic() >= child.ends_at


def _kill_session(pid: int) -> None:
    try:
        os.killpg(pid, signal.SIGKILL)
    except (ProcessLookupError, PermissionError):
        pass  # it is alone and gone, or has not made its session yet


def _describe(status: int | None) -> str:
    if status is None:
        return "it cannot be reaped"
    if os.WIFSIGNALED(status):
        return f"signal {os.WTERMSIG(status)}"
    return f"status {os.WEXITSTATUS(status)}"
