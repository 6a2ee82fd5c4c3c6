# Copyright (c) 2026 Upkeep maintainers
# GNU General Public License v3.0-or-later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Run a program: arguments only, never a shell; with a deadline; and nothing of it survives."""

from __future__ import annotations

import contextlib
import errno
import os
import selectors
import shlex
import shutil
import signal
import subprocess
import threading
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from ansible_collections.cadence.upkeep.plugins.module_utils._core.deadline import Deadline
from ansible_collections.cadence.upkeep.plugins.module_utils._core.errors import (
    CommandFailed,
    DeadlineExceeded,
    InvalidInput,
)
from ansible_collections.cadence.upkeep.plugins.module_utils._core.redact import redact, redact_torn
from ansible_collections.cadence.upkeep.plugins.module_utils._core.units import format_duration

OUTPUT_BYTES = 256 * 1024

_CHUNK = 64 * 1024
_HEARTBEAT = 0.05  # between looks for the end of a program whose pipes somebody else holds open
_PATIENCE = 1.0  # for the kernel to end a killed program
_TORN_LINE = 4096
_RAISING = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGALRM)


@dataclass(frozen=True)
class Completed:
    """How a command ended. Texts are decoded, redacted, and cut at the cap (``truncated``); ``seconds`` is wall time.

    ``status`` is the exit status, or the negative number of the signal that ended it. ``argv`` is as it was given,
    redacted.
    """

    argv: tuple[str, ...]
    status: int
    output: str
    errors: str
    seconds: float
    truncated: bool

    def require_success(self, what: str) -> Completed:
        """Return self; raise ``CommandFailed`` saying that *what* failed, with the last line of the errors."""
        if self.status == 0:
            return self
        how = f"status {self.status}" if self.status > 0 else f"signal {-self.status}"
        words = (self.errors.strip() or self.output.strip() or "it printed nothing").splitlines()[-1]
        raise CommandFailed(
            f"{what} failed with {how}: {words[:500]}",
            f"Run it by hand to see more: {shlex.join(self.argv)}",
            {"argv": list(self.argv), "status": self.status, "errors": self.errors[-2000:]},
        )


def run(
    argv: Sequence[str],
    seconds: float,
    *,
    environment: Mapping[str, str] | None = None,
    secret_environment: Mapping[str, str] | None = None,
    secret_files: Mapping[str, str] | None = None,
    stdin: bytes = b"",
    cap: int = OUTPUT_BYTES,
) -> Completed:
    """Run *argv* for at most *seconds* and return how it ended, whatever its status.

    A secret never stands in *argv*: it goes by *secret_environment*, or by *secret_files*, whose text the program
    can read once from an inherited descriptor: ``{name}`` in an argument becomes its ``/dev/fd`` path. The texts of
    secrets are masked in the output. The locale is C, so that messages can be compared. Of output and of errors the
    first *cap* bytes are kept each. What the program leaves running in its process group is killed when it ends.

    Raises ``CommandFailed`` when the program cannot be started, ``DeadlineExceeded`` after killing its whole process
    group when the time is over (a process that left the group lives on, but cannot delay the return), and
    ``InvalidInput`` when a text cannot be passed to a program.
    """
    if not argv:
        raise ValueError("argv is empty")
    secrets = [*(secret_environment or {}).values(), *(secret_files or {}).values()]
    shown = tuple(redact(argument, secrets) for argument in argv)
    deadline = Deadline(seconds)
    if deadline.expired:
        message = f"{shown[0]} was not started: no time is left for it."
        raise DeadlineExceeded(message, "Give it more time, or less to do.", {"argv": list(shown)})
    with _Pump() as pump:
        paths = {name: pump.feed(text.encode()) for name, text in (secret_files or {}).items()}
        (output, output_end), (errors, errors_end) = pump.drain(cap), pump.drain(cap)
        process = None
        try:
            with _exceptions_of_signals_later():
                process = _start(
                    [_with_paths(argument, paths) for argument in argv],
                    {**os.environ, "LC_ALL": "C", **(environment or {}), **(secret_environment or {})},
                    (pump.feed(stdin) if stdin else subprocess.DEVNULL, output_end, errors_end),
                    tuple(paths.values()),
                )
            pump.hand_over()
            status = _wait(process, pump, deadline)
        finally:
            # Also after success: what it left in the background would go on unseen.
            if process is not None:
                _kill_group(process)
        pump.rest()
    texts = [kept.text(secrets) for kept in (output, errors)]
    if status is None:
        raise DeadlineExceeded(
            f"{shown[0]} was stopped: it had not ended after {format_duration(seconds)}.",
            "Give it more time, or find out what it waits for.",
            {"argv": list(shown), "errors": texts[1][-2000:]},
        )
    truncated = output.truncated or errors.truncated
    return Completed(shown, status, texts[0], texts[1], deadline.elapsed, truncated)


def _with_paths(argument: str, descriptors: Mapping[str, int]) -> str:
    for name, descriptor in descriptors.items():
        argument = argument.replace("{" + name + "}", f"/dev/fd/{descriptor}")
    return argument


@contextlib.contextmanager
def _exceptions_of_signals_later() -> Iterator[None]:
    """Let no signal raise within the block: ``Popen`` would lose the program that it has just started."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    came: list[int] = []
    handlers = {each: signal.getsignal(each) for each in _RAISING}
    for each, handler in handlers.items():
        if callable(handler):
            signal.signal(each, lambda number, _frame: came.append(number))
    try:
        yield
    finally:
        for each, handler in handlers.items():
            if callable(handler):
                signal.signal(each, handler)
        for number in came:
            signal.raise_signal(number)


def _start(
    argv: Sequence[str], variables: Mapping[str, str], streams: tuple[int, int, int], inherited: tuple[int, ...]
) -> subprocess.Popen[bytes]:
    program = argv[0]
    try:
        return subprocess.Popen(
            argv,
            stdin=streams[0],
            stdout=streams[1],
            stderr=streams[2],
            env=variables,
            pass_fds=inherited,
            start_new_session=True,
        )
    except ValueError as error:
        raise InvalidInput(
            f"{program} cannot be started: {error} in an argument or a variable.",
            "Correct the option that it comes from.",
        ) from None
    except OSError as error:
        number = error.errno or 0
        # One directory in PATH that is closed to us makes the kernel say EACCES for whatever is in none of them.
        path = variables.get("PATH")
        if number == errno.EACCES and "/" not in program and shutil.which(program, os.F_OK, path) is None:
            number = errno.ENOENT
        remedy = {
            errno.ENOENT: f"Install {program}, or give its full path.",
            errno.EACCES: f"Make {program} executable for the user that runs the task.",
        }.get(number, "")
        raise CommandFailed(f"{program} cannot be started: {os.strerror(number)}.", remedy) from error


def _wait(process: subprocess.Popen[bytes], pump: _Pump, deadline: Deadline) -> int | None:
    """Return the status of *process*; None when the time is over before there is one."""
    while True:
        status = process.poll()
        left = deadline.remaining
        if status is not None or not left:
            return status
        if pump.busy:
            # The end of its pipes says when it ends, unless a daemon of its keeps them open: hence the limit.
            pump.turn(min(left, _HEARTBEAT))
        else:
            try:
                process.wait(left)
            except subprocess.TimeoutExpired:
                continue


def _kill_group(process: subprocess.Popen[bytes]) -> None:
    try:
        os.killpg(process.pid, signal.SIGKILL)
    except (ProcessLookupError, PermissionError):
        pass  # everybody of the group has gone (macOS says so by EPERM)
    try:
        process.wait(_PATIENCE)
    except subprocess.TimeoutExpired:
        pass  # it sleeps in the kernel; when it wakes up, it is dead


class _Kept:
    """What one descriptor delivered: the first *cap* bytes of it."""

    def __init__(self, descriptor: int, cap: int) -> None:
        self.descriptor = descriptor
        self.truncated = False
        self._cap = cap
        self._bytes = bytearray()

    def move(self) -> bool:
        """Take what is there; return whether more may come."""
        try:
            chunk = os.read(self.descriptor, _CHUNK)
        except BlockingIOError:
            return True
        room = self._cap - len(self._bytes)
        self._bytes += chunk[:room]
        self.truncated = self.truncated or len(chunk) > room
        return bool(chunk)

    def text(self, secrets: Sequence[str]) -> str:
        text = bytes(self._bytes).decode("utf-8", errors="replace")
        if not self.truncated:
            return redact(text, secrets)
        # The last line is torn, and with it a secret may be, in a form that shows no more what it is.
        end = text.rfind("\n", max(0, len(text) - _TORN_LINE)) + 1
        return redact_torn(text[:end] if end else text.rstrip("\ufffd"), secrets)


class _Unsent:
    """What one descriptor still has to get."""

    def __init__(self, descriptor: int, data: bytes) -> None:
        self.descriptor = descriptor
        self._view = memoryview(data)

    def move(self) -> bool:
        """Give what is taken; return whether more is to give."""
        try:
            self._view = self._view[os.write(self.descriptor, self._view[:_CHUNK]) :]
        except BlockingIOError:
            return True
        except BrokenPipeError:
            return False  # the program did not want it; its status says whether that matters
        return bool(self._view)


class _Pump:
    """Moves bytes to and from one program through pipes without waiting for any: no thread that could outlive it."""

    def __init__(self) -> None:
        # poll is there on every platform and needs no descriptor of its own.
        self._selector = selectors.PollSelector()
        self._ends_of_child: list[int] = []

    def __enter__(self) -> _Pump:
        return self

    def __exit__(self, *_error: object) -> None:
        self.hand_over()
        for key in list(self._selector.get_map().values()):
            self._close(key.data.descriptor)
        self._selector.close()

    def feed(self, data: bytes) -> int:
        """Return a descriptor for the program, from which it can read *data*."""
        reader, writer = self._pipe()
        self._register(_Unsent(writer, data), selectors.EVENT_WRITE)
        self._ends_of_child.append(reader)
        return reader

    def drain(self, cap: int) -> tuple[_Kept, int]:
        """Return what will be kept, and the descriptor into which the program can write it."""
        reader, writer = self._pipe()
        kept = _Kept(reader, cap)
        self._register(kept, selectors.EVENT_READ)
        self._ends_of_child.append(writer)
        return kept, writer

    def hand_over(self) -> None:
        """Close our copies of what the program has got by now, so that the end of a pipe can be seen."""
        while self._ends_of_child:
            os.close(self._ends_of_child.pop())

    @property
    def busy(self) -> bool:
        """True while a pipe is open."""
        return bool(self._selector.get_map())

    def turn(self, seconds: float) -> bool:
        """Move what can be moved, waiting *seconds* at most for something; return whether there was anything."""
        ready = self._selector.select(seconds)
        for key, _events in ready:
            if not key.data.move():
                self._close(key.data.descriptor)
        return bool(ready)

    def rest(self) -> None:
        """Take what a program that has ended left in its pipes; a daemon of its that goes on writing is cut off."""
        for _turn in range(64):
            if not self.turn(0):
                return

    def _pipe(self) -> tuple[int, int]:
        try:
            return os.pipe()
        except OSError as error:
            raise CommandFailed(
                f"No pipe to a program can be opened: {error.strerror}.",
                "Raise the limit on open files of the user that runs the task.",
            ) from error

    def _register(self, end: _Kept | _Unsent, event: int) -> None:
        os.set_blocking(end.descriptor, False)
        self._selector.register(end.descriptor, event, end)

    def _close(self, descriptor: int) -> None:
        self._selector.unregister(descriptor)
        os.close(descriptor)
