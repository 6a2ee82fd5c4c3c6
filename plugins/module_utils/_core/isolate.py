# Copyright (c) 2026 Upkeep maintainers
# GNU General Public License v3.0-or-later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Run several jobs side by side so that one that raises, hangs or crashes touches no other.

Each job runs in a forked child with a deadline. A thread cannot be stopped: one that hangs in ``statvfs`` on a dead
mount would keep the module from ending. A child can be killed, and one that even SIGKILL cannot reach (sleeping in the
kernel) is left behind without holding any of our pipes. Forking costs 1 to 2 ms; the modules that the jobs need are
imported once, before.

How a child is stopped: SIGTERM, which its job sees as an exception, so that the commands and the nested jobs that it
started are stopped by it; 0.3 s later SIGKILL to its whole session. Only a process that left that session by itself
(a daemon) outlives it. The same happens to all children when this process gets an exception, Ctrl-C, SIGTERM or
SIGHUP. Should this process be killed itself, the children end by an alarm of their own 2 s after their deadline.
"""

from __future__ import annotations

import contextlib
import gc
import json
import math
import os
import select
import signal
import struct
import threading
import time
import traceback
from collections import deque
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from types import FrameType
from typing import Any, Callable, NoReturn

from ansible_collections.cadence.upkeep.plugins.module_utils._core.errors import UpkeepError
from ansible_collections.cadence.upkeep.plugins.module_utils._core.plain import to_plain

DONE, RAISED, TIMED_OUT, DIED = "done", "raised", "timed_out", "died"

# An answer goes through the memory of both sides; a check that returns more has forgotten to cap it.
ANSWER_BYTES = 32 * 1024 * 1024

_LENGTH = struct.Struct("!Q")
_STOPPING = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
_GRACE = 0.3  # for a child to end by itself, after its answer or after SIGTERM; less in nested calls
_PATIENCE = 1.0  # for the kernel to end a killed child
_HEARTBEAT = 0.25  # between looks for children that died while somebody else holds their pipe open
_TICK = 0.002  # between looks at children that are about to end
_LONGEST = 30 * 86400.0

_depth = 0  # how many calls of run_isolated are around this process


@dataclass(frozen=True)
class Job:
    """Something to run: ``call`` returns plain JSON types within ``seconds`` of wall time."""

    name: str
    call: Callable[[], Any]
    seconds: float


@dataclass(frozen=True)
class Ended:
    """How a job ended: ``value`` when ``DONE``, else ``message``, ``remedy`` and ``evidence`` say why not.

    ``RAISED``: its call raised, or returned what JSON does not have; an ``UpkeepError`` gives its own message, remedy
    and evidence. ``TIMED_OUT``: it was stopped at its deadline. ``DIED``: its process ended without an answer, or could
    not be started. ``seconds`` is the wall time until then. ``evidence["left_behind"]`` is the pid of a process that
    could not be ended.
    """

    name: str
    how: str
    value: Any = None
    message: str = ""
    remedy: str = ""
    evidence: dict[str, Any] = field(default_factory=dict)
    seconds: float = 0.0


def run_isolated(jobs: Sequence[Job], workers: int | None = None) -> list[Ended]:
    """Run *jobs*, at most *workers* at a time (default: two for each processor, at least 4), in the order given.

    Returns one ``Ended`` for each job, in that order; names need not differ. A job may call this function itself. Must
    be called from a process with a single thread. Adds at most 1.3 s to the last deadline. Raises nothing of its own.
    """
    with _stopping_raises():
        return _Crowd(jobs, workers or max(4, 2 * (os.cpu_count() or 1))).run()


class _Stopped(SystemExit):
    """SIGTERM or SIGHUP came; the default would end the process with its children still running."""


def _raise_stopped(number: int, _frame: FrameType | None) -> NoReturn:
    raise _Stopped(128 + number)


@contextlib.contextmanager
def _stopping_raises() -> Iterator[None]:
    """Turn the signals that would end this process at once into an exception, unless it has plans of its own."""
    if threading.current_thread() is not threading.main_thread():
        yield  # Python lets only the main thread do that
        return
    numbers = [number for number in _STOPPING if signal.getsignal(number) is signal.SIG_DFL]
    for number in numbers:
        signal.signal(number, _raise_stopped)
    try:
        yield
    finally:
        for number in numbers:
            signal.signal(number, signal.SIG_DFL)


@contextlib.contextmanager
def _signals_held() -> Iterator[set[Any]]:
    """Let signals wait until the block is over; yields the mask that was in force before."""
    before = signal.pthread_sigmask(signal.SIG_BLOCK, ())
    try:
        signal.pthread_sigmask(signal.SIG_BLOCK, _STOPPING)
        yield before
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


@dataclass
class _Child:
    index: int
    job: Job
    pid: int
    pipe: int
    started: float = field(default_factory=time.monotonic)
    received: bytearray = field(default_factory=bytearray)
    closed_at: float | None = None
    kill_at: float = 0.0

    @property
    def ends_at(self) -> float:
        return self.started + min(self.job.seconds, _LONGEST)

    @property
    def answer(self) -> bytes | None:
        """The whole answer, or None: the end of the pipe proves nothing, since a daemon may hold it open."""
        head = self.received[: _LENGTH.size]
        if len(head) < _LENGTH.size:
            return None
        end = _LENGTH.size + _LENGTH.unpack(head)[0]
        return bytes(self.received[_LENGTH.size : end]) if len(self.received) >= end else None

    def read(self) -> None:
        """Take what is in the pipe now."""
        try:
            chunk = os.read(self.pipe, 1 << 20)
        except BlockingIOError:
            return
        self.received += chunk
        if not chunk and self.closed_at is None:
            self.closed_at = time.monotonic()

    def ended(self, how: str, **what: Any) -> Ended:
        return Ended(self.job.name, how, seconds=time.monotonic() - self.started, **what)

    def reap(self) -> str | None:
        """Return how the process ended, once it has; None before."""
        try:
            pid, status = os.waitpid(self.pid, os.WNOHANG)
        except ChildProcessError:
            return "reaped by somebody else"  # SIGCHLD is ignored in this process
        if not pid:
            return None
        return f"signal {os.WTERMSIG(status)}" if os.WIFSIGNALED(status) else f"status {os.WEXITSTATUS(status)}"

    def terminate(self) -> None:
        _signal(os.kill, self.pid, signal.SIGTERM)

    def kill_session(self) -> None:
        _signal(os.killpg, self.pid, signal.SIGKILL)

    def kill(self) -> None:
        """Kill its session; and itself alone, should it not have got as far as making one."""
        self.kill_session()
        _signal(os.kill, self.pid, signal.SIGKILL)


def _signal(send: Callable[[int, int], None], target: int, number: int) -> None:
    try:
        send(target, number)
    except (ProcessLookupError, PermissionError):
        pass  # nobody is left; macOS says EPERM when only a zombie is


class _Crowd:
    """The children of one call: waiting, running, leaving (they have a result and are about to end), and gone."""

    def __init__(self, jobs: Sequence[Job], workers: int) -> None:
        self._jobs = jobs
        self._workers = max(1, workers)
        self._waiting = deque(enumerate(jobs))
        self._running: dict[int, _Child] = {}
        self._leaving: list[_Child] = []
        self._ended: dict[int, Ended] = {}
        # A nested call must have killed its own children before the call around it kills this process.
        self._grace = _GRACE / 2**_depth
        # poll, not select: descriptors above 1023 are fine.
        self._poller = select.poll()

    def run(self) -> list[Ended]:
        try:
            while self._waiting or self._running:
                self._start()
                self._listen()
                self._judge()
                self._see_off()
        finally:
            with _signals_held():
                for child in list(self._running.values()):
                    self._dismiss(child)
                    child.terminate()
                while self._leaving:
                    self._see_off()
                    time.sleep(_TICK if self._leaving else 0)
        return [self._ended[index] for index in range(len(self._jobs))]

    def _start(self) -> None:
        while self._waiting and len(self._running) < self._workers:
            index, job = self._waiting.popleft()
            try:
                # A signal between the fork and the note of it would leave a child that nobody knows.
                with _signals_held() as mask:
                    self._fork(index, job, mask)
            except OSError as error:
                if self._running:
                    self._waiting.appendleft((index, job))  # again when another has ended
                    return
                self._ended[index] = Ended(
                    job.name,
                    DIED,
                    message=f"no process could be started for it: {error.strerror}",
                    remedy="Raise the limits on processes and open files of the user that runs the task.",
                )

    def _fork(self, index: int, job: Job, mask: set[Any]) -> None:
        reader, writer = os.pipe()
        try:
            pid = os.fork()
        except OSError:
            os.close(reader)
            os.close(writer)
            raise
        if pid == 0:
            _be_child(job, writer, [reader, *self._running], mask)
        os.close(writer)
        os.set_blocking(reader, False)
        self._running[reader] = _Child(index, job, pid, reader)
        self._poller.register(reader, select.POLLIN)

    def _listen(self) -> None:
        """Wait until a child writes or closes its pipe, or until it is time to look after one."""
        for pipe, _event in self._poller.poll(self._pause() * 1000):
            self._read(self._running[pipe])

    def _read(self, child: _Child) -> None:
        was_open = child.closed_at is None
        child.read()
        if was_open and child.closed_at is not None:
            self._poller.unregister(child.pipe)  # poll would report its end for ever

    def _pause(self) -> float:
        if self._leaving or any(child.closed_at is not None for child in self._running.values()):
            return _TICK
        next_deadline = min((child.ends_at for child in self._running.values()), default=0.0)
        return min(_HEARTBEAT, max(0.0, next_deadline - time.monotonic()) + 0.001)

    def _judge(self) -> None:
        """Give a result to each child that has answered, is late, or has died."""
        for child in list(self._running.values()):
            now = time.monotonic()
            answer = child.answer
            if answer is not None:
                self._settle(child, _read_answer(child, answer))
            elif now >= child.ends_at:
                self._settle(child, _late(child))
                child.terminate()
            else:
                self._look_for_death(child, now)

    def _look_for_death(self, child: _Child, now: float) -> None:
        death = child.reap()
        if death is not None:
            self._read(child)  # what it wrote last
            answer = child.answer
            self._settle(child, _died(child, death) if answer is None else _read_answer(child, answer))
            self._leaving.remove(child)
            child.kill_session()
        elif child.closed_at is not None and now >= child.closed_at + self._grace:
            self._settle(child, _died(child, "it closed the pipe for its answer"))
            child.terminate()

    def _settle(self, child: _Child, ended: Ended) -> None:
        self._ended[child.index] = ended
        self._dismiss(child)

    def _dismiss(self, child: _Child) -> None:
        del self._running[child.pipe]
        if child.closed_at is None:
            self._poller.unregister(child.pipe)
        os.close(child.pipe)
        child.kill_at = time.monotonic() + self._grace
        self._leaving.append(child)

    def _see_off(self) -> None:
        """Reap those who have ended, kill what they left in their sessions; kill those who take too long."""
        now = time.monotonic()
        for child in list(self._leaving):
            if child.reap() is not None:
                child.kill_session()
                self._leaving.remove(child)
            elif now >= child.kill_at + _PATIENCE:
                self._leaving.remove(child)
                ended = self._ended.get(child.index)
                if ended is not None:
                    evidence = {**ended.evidence, "left_behind": child.pid}
                    self._ended[child.index] = replace(ended, evidence=evidence)
            elif now >= child.kill_at:
                child.kill()


def _read_answer(child: _Child, answer: bytes) -> Ended:
    try:
        return child.ended(**json.loads(answer))
    except (ValueError, TypeError):
        return _died(child, "its answer is garbled")


def _late(child: _Child) -> Ended:
    return child.ended(
        TIMED_OUT,
        message=f"it had not ended after {child.job.seconds:g} s and was stopped",
        remedy="Find out what it waits for (a dead mount, a silent server), or give it a longer deadline.",
    )


def _died(child: _Child, how: str) -> Ended:
    return child.ended(
        DIED,
        message=f"its process died ({how})",
        remedy="Look for the cause in the kernel's log: out of memory, or a crash in a library.",
    )


def _be_child(job: Job, writer: int, foreign: Sequence[int], mask: set[Any]) -> NoReturn:
    """Whatever happens, the child ends here and runs no exit handler of the parent."""
    global _depth
    status = 70
    try:
        os.setsid()
        _depth += 1
        gc.freeze()  # or the first collection would touch, and so copy, all memory of the parent
        for descriptor in foreign:
            os.close(descriptor)
        for number in _STOPPING:
            signal.signal(number, _raise_stopped)
        # The last net, should the parent be killed: the default action of SIGALRM ends the process.
        signal.signal(signal.SIGALRM, signal.SIG_DFL)
        signal.alarm(math.ceil(max(0.0, min(job.seconds, _LONGEST))) + 2)
        # Ansible waits until nobody holds the module's output any more.
        null = os.open(os.devnull, os.O_RDWR)
        for descriptor in (0, 1, 2):
            os.dup2(null, descriptor)
        signal.pthread_sigmask(signal.SIG_SETMASK, mask)
        answer = _encode(_call(job))
        _write_all(writer, _LENGTH.pack(len(answer)) + answer)
        status = 0
    finally:
        os._exit(status)


def _call(job: Job) -> dict[str, Any]:
    """Return how the call ended, as the arguments of ``Ended``."""
    try:
        return {"how": DONE, "value": job.call()}
    except UpkeepError as error:
        evidence = to_plain(error.evidence, strict=False)
        return {"how": RAISED, "message": error.message, "remedy": error.remedy, "evidence": evidence}
    except _Stopped:
        raise
    # The one place where anything may come: a defect in one job must not end the others.
    except (Exception, SystemExit) as error:
        frame = traceback.extract_tb(error.__traceback__)[-1]
        place = f"{os.path.basename(frame.filename)}:{frame.lineno} in {frame.name}"
        return _defect(f"{type(error).__name__}: {error}", raised_at=place)


def _encode(report: dict[str, Any]) -> bytes:
    try:
        answer = json.dumps(report).encode()
    except (TypeError, ValueError, RecursionError) as error:
        return json.dumps(_defect(f"its result is not plain JSON: {error}")).encode()
    if len(answer) > ANSWER_BYTES:
        return json.dumps(_defect(f"its result has {len(answer)} bytes, more than {ANSWER_BYTES}")).encode()
    return answer


def _defect(message: str, **evidence: str) -> dict[str, Any]:
    remedy = "This is a defect of the check: report it with this evidence."
    return {"how": RAISED, "message": message, "remedy": remedy, "evidence": evidence}


def _write_all(descriptor: int, data: bytes) -> None:
    view = memoryview(data)
    while view:
        view = view[os.write(descriptor, view) :]
