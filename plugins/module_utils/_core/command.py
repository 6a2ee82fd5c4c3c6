# Copyright (c) 2026 Upkeep maintainers
# GNU General Public License v3.0-or-later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Run a program: arguments only, never a shell; with a deadline; and nothing of it survives."""

from __future__ import annotations

import os
import signal
import subprocess
import threading
import time
from dataclasses import dataclass
from typing import IO, Mapping, Sequence

from ansible_collections.cadence.upkeep.plugins.module_utils._core.errors import CommandFailed, DeadlineExceeded
from ansible_collections.cadence.upkeep.plugins.module_utils._core.redact import redact
from ansible_collections.cadence.upkeep.plugins.module_utils._core.units import format_duration

OUTPUT_BYTES = 256 * 1024


@dataclass(frozen=True)
class Completed:
    """How a command ended. Texts are decoded, redacted, and cut at the cap (``truncated``)."""

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
        words = (self.errors.strip() or self.output.strip() or "it printed nothing").splitlines()[-1]
        raise CommandFailed(
            f"{what} failed with status {self.status}: {words}",
            evidence={"argv": list(self.argv), "status": self.status, "errors": self.errors[-2000:]},
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
    reads from an inherited descriptor: ``{name}`` in an argument becomes its ``/dev/fd`` path. The texts of secrets
    are masked in the output. The locale is C, so that messages can be compared.

    Raises ``CommandFailed`` when the program cannot be started, ``DeadlineExceeded`` after killing its whole process
    group when the time is over.
    """
    secrets = {**(secret_environment or {}), **(secret_files or {})}
    descriptors = {name: _readable(text) for name, text in (secret_files or {}).items()}
    arguments = [_with_descriptors(argument, descriptors) for argument in argv]
    started = time.monotonic()
    try:
        process = subprocess.Popen(
            arguments,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            env={**os.environ, "LC_ALL": "C", **(environment or {}), **(secret_environment or {})},
            pass_fds=tuple(descriptors.values()),
            start_new_session=True,
        )
    except OSError as error:
        raise CommandFailed(
            f"{argv[0]} cannot be started: {error.strerror}.", f"Install {argv[0]}, or give its full path."
        ) from error
    finally:
        for descriptor in descriptors.values():
            os.close(descriptor)
    readers = [_Reader(stream, cap) for stream in (process.stdout, process.stderr) if stream is not None]
    feeder = threading.Thread(target=_feed, args=(process.stdin, stdin), daemon=True)
    feeder.start()
    try:
        status = process.wait(timeout=seconds)
    except subprocess.TimeoutExpired:
        raise DeadlineExceeded(
            f"{argv[0]} was stopped: it had not ended after {format_duration(seconds)}.",
            "Give it more time, or find out what it waits for.",
            {"argv": list(argv)},
        ) from None
    finally:
        # Also after success: a child that it left in the background would hold our pipes open.
        _kill_group(process)
        for reader in readers:
            reader.join()
    texts = [redact(reader.text, secrets.values()) for reader in readers]
    return Completed(
        argv=tuple(redact(argument, secrets.values()) for argument in argv),
        status=status,
        output=texts[0],
        errors=texts[1],
        seconds=time.monotonic() - started,
        truncated=any(reader.truncated for reader in readers),
    )


class _Reader(threading.Thread):
    """Drain *stream* to its end, keeping the first *cap* bytes."""

    def __init__(self, stream: IO[bytes], cap: int) -> None:
        super().__init__(daemon=True)
        self._stream = stream
        self._cap = cap
        self._kept = bytearray()
        self.truncated = False
        self.start()

    def run(self) -> None:
        with self._stream:
            for chunk in iter(lambda: self._stream.read1(65536), b""):  # type: ignore[attr-defined]  # BufferedReader
                room = self._cap - len(self._kept)
                self._kept += chunk[:room]
                self.truncated = self.truncated or len(chunk) > room

    @property
    def text(self) -> str:
        return bytes(self._kept).decode("utf-8", errors="replace")


def _feed(stream: IO[bytes] | None, data: bytes) -> None:
    if stream is None:
        return
    try:
        with stream:
            stream.write(data)
    except BrokenPipeError:
        return  # the program did not want its input; its status says whether that matters


def _readable(text: str) -> int:
    """Return a descriptor from which *text* can be read, without the text ever being in a file."""
    reader, writer = os.pipe()
    threading.Thread(target=_feed, args=(os.fdopen(writer, "wb"), text.encode()), daemon=True).start()
    return reader


def _with_descriptors(argument: str, descriptors: Mapping[str, int]) -> str:
    for name, descriptor in descriptors.items():
        argument = argument.replace("{" + name + "}", f"/dev/fd/{descriptor}")
    return argument


def _kill_group(process: subprocess.Popen[bytes]) -> None:
    try:
        os.killpg(process.pid, signal.SIGKILL)
    except (ProcessLookupError, PermissionError):
        pass  # everybody of the group has gone (macOS says so by EPERM)
    process.wait()
