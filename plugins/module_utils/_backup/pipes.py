# Copyright (c) 2026 Upkeep maintainers
# GNU General Public License v3.0-or-later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Pass a stream through a program (``zstd``, ``lz4``, ``gpg``, ``age``, ``openssl``) and on, in constant memory.

Nothing of the stream touches the disk, no shell is involved, and secrets go by descriptors alone.
"""

from __future__ import annotations

import os
import select
import signal
import subprocess
from collections.abc import Mapping, Sequence
from typing import IO, Callable

from ansible_collections.cadence.upkeep.plugins.module_utils._backup.containers import Damage, Report, Sink
from ansible_collections.cadence.upkeep.plugins.module_utils._backup.model import Problem

_CHUNK = 1 << 17
_KEPT = 1 << 14
_HEAD = 4096
_TICK_MILLISECONDS = 250
_PATIENCE = 5.0


class Ended:
    """How a program ended: its exit status, what it said, and the first bytes that it made of what it was given."""

    def __init__(self, status: int, errors: bytes, extra: bytes, head: bytes) -> None:
        self.status = status
        self.head = head
        self.errors = errors.decode("utf-8", "replace")
        self.extra = extra.decode("utf-8", "replace")

    @property
    def last_words(self) -> str:
        """The line that says what was wrong, as far as one can tell."""
        lines = [line.strip() for line in self.errors.splitlines() if line.strip()]
        telling = [line for line in lines if "error:" in line] or lines[-1:]
        return telling[-1].split("error: ", 1)[-1][:200] if telling else f"status {self.status}"


class Piped:
    """A sink that writes to a program and feeds what that writes to *sink*.

    *judge* is asked when the program has ended: it raises ``Damage``, or returns for a good end. ``{extra}`` in *argv*
    becomes the number of a descriptor to which the program may write its status; ``{name}`` that of one from which it
    can read the secret called *name*.
    """

    def __init__(
        self,
        name: str,
        argv: Sequence[str],
        report: Report,
        sink: Sink,
        judge: Callable[[Ended], None],
        secrets: Mapping[str, bytes] | None = None,
        environment: Mapping[str, str] | None = None,
    ) -> None:
        self._name, self._report, self._sink, self._judge = name, report, sink, judge
        self._taken = self._given = 0
        self._errors = b""
        self._extra = b""
        self._head = b""
        extra_reader, extra_writer = os.pipe()
        inherited = {"extra": extra_writer}
        try:
            for word, secret in (secrets or {}).items():
                inherited[word] = _readable(secret)
            self._process = subprocess.Popen(
                [_filled(argument, inherited) for argument in argv],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=subprocess.PIPE,
                pass_fds=tuple(inherited.values()),
                env={**os.environ, "LC_ALL": "C", **(environment or {})},
                start_new_session=True,
            )
        except OSError as error:
            os.close(extra_reader)
            what = f"cannot be unfolded: {argv[0]} cannot be started ({error.strerror})"
            raise Damage(Problem("backup.tool_missing", name, what, evidence={"program": argv[0]})) from error
        finally:
            for descriptor in inherited.values():
                os.close(descriptor)
        self._input, self._output = _descriptor(self._process.stdin), _descriptor(self._process.stdout)
        self._open = {self._output, _descriptor(self._process.stderr), extra_reader}
        self._extra_reader = extra_reader
        for descriptor in (self._input, *self._open):
            os.set_blocking(descriptor, False)
        self._writing = True
        report.opened.append(self)

    def feed(self, data: bytes) -> None:
        self._taken += len(data)
        view = memoryview(data)
        while view and self._writing:
            view = view[self._turn(view) :]

    def finish(self) -> None:
        self._stop_writing()
        while self._open:
            self._turn(memoryview(b""))
        ended = Ended(self._wait(), self._errors, self._extra, self._head)
        self.close()
        self._judge(ended)
        self._sink.finish()

    def close(self) -> None:
        """End the program, whatever it does, and close all that is open to it."""
        if self._process.poll() is None:
            try:
                os.killpg(self._process.pid, signal.SIGKILL)
            except (ProcessLookupError, PermissionError):
                pass  # it has just ended
            self._process.wait()
        for stream in (self._process.stdin, self._process.stdout, self._process.stderr):
            if stream is not None:
                _close_quietly(stream)
        if self._extra_reader >= 0:
            os.close(self._extra_reader)
            self._extra_reader = -1
        self._open = set()
        self._writing = False

    def _turn(self, view: memoryview) -> int:
        """Move what can be moved; return how much of *view* was taken. Raises the deadline's error."""
        poller = select.poll()
        for descriptor in self._open:
            poller.register(descriptor, select.POLLIN)
        if view:
            poller.register(self._input, select.POLLOUT)
        taken = 0
        for descriptor, _event in poller.poll(_TICK_MILLISECONDS):
            if descriptor == self._input:
                taken = self._write(view)
            else:
                self._read(descriptor)
        self._report.unfolded(self._name, self._taken, self._given)
        return taken

    def _write(self, view: memoryview) -> int:
        try:
            return os.write(self._input, view[:_CHUNK])
        except BlockingIOError:
            return 0
        except BrokenPipeError:
            self._stop_writing()  # it has seen enough; its status says why
            return len(view)

    def _read(self, descriptor: int) -> None:
        try:
            data = os.read(descriptor, _CHUNK)
        except BlockingIOError:
            return
        if not data:
            self._open.discard(descriptor)
        elif descriptor == self._output:
            self._given += len(data)
            if len(self._head) < _HEAD:
                self._head += data[: _HEAD - len(self._head)]
            self._report.unfolded(self._name, self._taken, self._given)
            self._sink.feed(data)
        elif descriptor == self._extra_reader:
            self._extra = (self._extra + data)[-_KEPT:]
        else:
            self._errors = (self._errors + data)[-_KEPT:]

    def _stop_writing(self) -> None:
        if self._writing and self._process.stdin is not None:
            self._writing = False
            _close_quietly(self._process.stdin)

    def _wait(self) -> int:
        try:
            return self._process.wait(_PATIENCE)
        except subprocess.TimeoutExpired:
            return -1  # it closed its output and goes on: close() ends it


def _descriptor(stream: IO[bytes] | None) -> int:
    return stream.fileno() if stream is not None else -1  # each of them was asked for as a pipe


def _filled(argument: str, descriptors: Mapping[str, int]) -> str:
    for name, descriptor in descriptors.items():
        argument = argument.replace("{" + name + "}", str(descriptor))
    return argument


def _readable(secret: bytes) -> int:
    """Return a descriptor from which *secret* can be read once: it fits into the buffer of a pipe."""
    reader, writer = os.pipe()
    try:
        os.set_blocking(writer, False)
        os.write(writer, secret)
    finally:
        os.close(writer)
    return reader


def _close_quietly(stream: object) -> None:
    try:
        stream.close()  # type: ignore[attr-defined]  # any of the three pipes
    except OSError:
        pass  # what was buffered for a program that is gone
