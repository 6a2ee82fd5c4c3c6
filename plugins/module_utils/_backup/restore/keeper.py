# Copyright (c) 2026 Upkeep maintainers
# GNU General Public License v3.0-or-later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The process that keeps a throwaway server: it does the work, and clears up when its module is gone.

A module that is killed can clear up nothing, so it does not do the work itself. The keeper is a child in a session of
its own, with a pipe from the module: the kernel closes that however the module ends, and then the keeper stops what it
started and removes what it made. Should the keeper be killed too, its programs die with it, and the next run finds the
directory by its free lock.
"""

from __future__ import annotations

import contextlib
import gc
import json
import os
import select
import signal
import sys
import time
from collections.abc import Iterator
from types import FrameType
from typing import Any, Callable, NoReturn

from ansible_collections.cadence.upkeep.plugins.module_utils._backup.restore.model import Failed
from ansible_collections.cadence.upkeep.plugins.module_utils._backup.restore.processes import (
    Stopped,
    Ward,
    adopt_orphans,
)
from ansible_collections.cadence.upkeep.plugins.module_utils._core.deadline import Deadline
from ansible_collections.cadence.upkeep.plugins.module_utils._core.errors import UpkeepError

# How long a keeper may take to clear up before it is killed, and what it keeps is swept.
_CLEARING_SECONDS = 20.0
_SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)

Work = Callable[[Ward], dict[str, Any]]


class Keeper:
    """A keeper that runs *work* in a process of its own, for *seconds* at most. A context manager: leaving ends it."""

    def __init__(self, work: Work, seconds: float) -> None:
        heard, self._tell = os.pipe()
        self._answer, told = os.pipe()
        self._pid = os.fork()
        if self._pid == 0:
            _be_keeper(work, seconds, heard, told, (self._tell, self._answer))
        os.close(heard)
        os.close(told)
        os.set_blocking(self._answer, False)
        self._received = bytearray()

    def __enter__(self) -> Keeper:
        return self

    def __exit__(self, *_error: object) -> None:
        self.close()

    def tell(self, message: dict[str, Any]) -> None:
        """Say something to the work, which gets it from ``next_message``."""
        try:
            os.write(self._tell, json.dumps(message).encode() + b"\n")
        except BrokenPipeError:
            pass  # it has ended already; its answer says how

    def answer(self, deadline: Deadline) -> dict[str, Any] | None:
        """Return what the work returned, or ``{"defect": ...}``; ``None`` when it died or the time is over."""
        while True:
            line, end, _rest = bytes(self._received).partition(b"\n")
            if end:
                said: dict[str, Any] = json.loads(line)
                return said
            remaining = deadline.remaining
            if remaining is not None and not remaining:
                return None
            poller = select.poll()
            poller.register(self._answer, select.POLLIN)
            if poller.poll(250 if remaining is None else min(250, 1 + remaining * 1000)):
                piece = os.read(self._answer, 1 << 20)
                if not piece:
                    return None
                self._received += piece

    def close(self) -> None:
        """Let it clear up, and wait for that."""
        if self._tell < 0:
            return
        os.close(self._tell)
        os.close(self._answer)
        self._tell = -1
        deadline = time.monotonic() + _CLEARING_SECONDS
        while not self._reaped() and time.monotonic() < deadline:
            time.sleep(0.005)
        if not self._reaped():
            with contextlib.suppress(ProcessLookupError):
                os.kill(self._pid, signal.SIGKILL)
            while not self._reaped():
                time.sleep(0.005)

    def _reaped(self) -> bool:
        if self._pid < 0:
            return True
        try:
            pid, _status = os.waitpid(self._pid, os.WNOHANG)
        except ChildProcessError:
            pid = self._pid
        if pid:
            self._pid = -1
        return bool(pid)


def next_message(ward: Ward) -> dict[str, Any]:
    """Return the next thing that the module says, waiting for it. Raises what ``Ward.check`` raises."""
    while not ward.messages:
        ward.check()
        ward.listen(250)
    message: dict[str, Any] = json.loads(ward.messages.pop(0))
    return message


def _stop(_number: int, _frame: FrameType | None) -> NoReturn:
    raise Stopped


def _be_keeper(work: Work, seconds: float, heard: int, told: int, foreign: tuple[int, int]) -> NoReturn:
    """Whatever happens, the child ends here and runs no exit handler of the module."""
    status = 70
    try:
        os.setsid()
        gc.freeze()
        for descriptor in foreign:
            os.close(descriptor)
        for number in _SIGNALS:
            signal.signal(number, _stop)
        signal.signal(signal.SIGALRM, signal.SIG_DFL)
        signal.alarm(0)
        signal.pthread_sigmask(signal.SIG_SETMASK, ())
        # Ansible waits until nobody holds the module's output any more.
        null = os.open(os.devnull, os.O_RDWR)
        for descriptor in (0, 1, 2):
            os.dup2(null, descriptor)
        adopt_orphans()
        _write(told, _done(work, Ward(heard, Deadline(seconds))))
        status = 0
    except Stopped:
        status = 0
    finally:
        error = sys.exc_info()[1]
        if status and error is not None:
            # A defect must not be lost with the process, and no data may leave it.
            trace = error.__traceback__
            while trace is not None and trace.tb_next is not None:
                trace = trace.tb_next
            place = f"{os.path.basename(trace.tb_frame.f_code.co_filename)}:{trace.tb_lineno}" if trace else ""
            with contextlib.suppress(OSError):
                _write(told, {"defect": f"{type(error).__name__} at {place}"})
        os._exit(status)


def _done(work: Work, ward: Ward) -> dict[str, Any]:
    try:
        return work(ward)
    except Failed as error:
        trouble = error.trouble
        return {"trouble": {**vars(trouble), "evidence": dict(trouble.evidence)}}
    except UpkeepError as error:
        return {"error": error.message, "remedy": error.remedy}
    except OSError as error:
        return {"error": f"{error.filename or 'A system call'}: {error.strerror or error}", "remedy": ""}


def _write(descriptor: int, answer: dict[str, Any]) -> None:
    view = memoryview(json.dumps(answer).encode() + b"\n")
    while view:
        view = view[os.write(descriptor, view) :]


@contextlib.contextmanager
def not_disturbed() -> Iterator[None]:
    """Let nothing interrupt the clearing up within the block."""
    before = {number: signal.signal(number, signal.SIG_IGN) for number in _SIGNALS}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
