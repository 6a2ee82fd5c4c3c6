# Copyright (c) 2026 Upkeep maintainers
# GNU General Public License v3.0-or-later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""One migration at a time: an advisory lock of the database, held by a session of ``psql`` for as long as it lasts."""

from __future__ import annotations

import hashlib
import os
import select
import subprocess
import time
from collections.abc import Mapping, Sequence
from types import TracebackType
from typing import Optional

from ansible_collections.cadence.upkeep.plugins.module_utils._core.errors import (
    CommandFailed,
    ConnectionFailed,
    DeadlineExceeded,
    LockHeld,
)
from ansible_collections.cadence.upkeep.plugins.module_utils._core.redact import redact

# The first key says that it is one of ours, the second which application.
_SPACE = 0x75706B70
_SECONDS = 30.0
_PAUSE = 0.25
# Plain answers, nobody's settings, and an end at the first error. The values are found by the entry point's variables
# where the server is a container, and by those of libpq elsewhere.
FLAGS = ("--no-psqlrc", "--quiet", "--no-align", "--tuples-only", "--set=ON_ERROR_STOP=1")


def key_of(application: str) -> int:
    """Return the second key of the lock: a signed number of 32 bits."""
    return int.from_bytes(hashlib.sha256(application.encode()).digest()[:4], "big", signed=True)


class AdvisoryLock:
    """The lock as a context manager. *argv* starts ``psql``, connected, with ``FLAGS``.

    Raises ``LockHeld`` when somebody else has it for longer than *wait* seconds, and ``ConnectionFailed`` when the
    database cannot be asked. It ends when the session ends, however that comes.
    """

    def __init__(self, argv: Sequence[str], environment: Mapping[str, str], application: str, wait: float) -> None:
        self._argv = list(argv)
        self._environment = {**os.environ, "LC_ALL": "C", "PGCONNECT_TIMEOUT": "10", **environment}
        self._secrets = list(environment.values())
        self._application = application
        self._wait = wait
        self._session: Optional[subprocess.Popen[bytes]] = None
        self._answer = b""

    def __enter__(self) -> AdvisoryLock:
        try:
            self._session = subprocess.Popen(
                self._argv,
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=subprocess.PIPE,
                env=self._environment,
                start_new_session=True,
            )
        except OSError as error:
            raise CommandFailed(
                f"{self._argv[0]} cannot be started to hold the lock of the database: {os.strerror(error.errno or 0)}.",
                "Install the client of PostgreSQL, or name the way to it in psql, or set lock to false.",
            ) from None
        try:
            self._acquire()
        except BaseException:
            self._end()
            raise
        return self

    def _acquire(self) -> None:
        give_up = time.monotonic() + self._wait
        while True:
            said = self._ask(f"SELECT pg_try_advisory_lock({_SPACE}, {key_of(self._application)});")
            if said == "t":
                return
            if said != "f":
                raise self._refused()
            if time.monotonic() >= give_up:
                raise LockHeld(
                    f"Another migration of {self._application} holds the lock of the database.",
                    "Wait for it to end, then start again. Who holds it: SELECT pid FROM pg_locks "
                    f"WHERE locktype = 'advisory' AND classid = {_SPACE};",
                    {"application": self._application},
                )
            time.sleep(_PAUSE)

    def _ask(self, statement: str) -> str:
        """Return the first line that the session answers; what it says instead when it ends."""
        session = self._session
        if session is None or session.stdin is None or session.stdout is None:
            return ""
        try:
            session.stdin.write(statement.encode() + b"\n")
            session.stdin.flush()
        except BrokenPipeError:
            pass  # it has ended; what it said last is read below
        give_up = time.monotonic() + _SECONDS
        while b"\n" not in self._answer:
            left = give_up - time.monotonic()
            if left <= 0:
                raise DeadlineExceeded(
                    f"The database did not answer psql within {_SECONDS:g} s.", "Look whether it is overloaded."
                )
            if select.select([session.stdout], [], [], left)[0]:
                piece = os.read(session.stdout.fileno(), 65536)
                if not piece:
                    break
                self._answer += piece
        line, _newline, self._answer = self._answer.partition(b"\n")
        return line.decode("utf-8", errors="replace").strip()

    def _refused(self) -> ConnectionFailed:
        """Return the error for a session that ended instead of answering, with what it said."""
        session, said = self._session, b""
        stream = session.stderr if session is not None else None
        if stream is not None and select.select([stream], [], [], 1.0)[0]:
            said = os.read(stream.fileno(), 65536)
        words = redact(" ".join(said.decode("utf-8", errors="replace").split()), self._secrets)
        return ConnectionFailed(
            f"The lock of the database could not be taken: {words[-300:] or 'the session ended without a word'}",
            "Try the same command by hand, as the same user; see the options database_service and psql.",
        )

    def _end(self) -> None:
        session = self._session
        if session is None:
            return
        if session.stdin is not None:
            try:
                session.stdin.close()  # the end of its input ends the session, and with it the lock
            except BrokenPipeError:
                pass  # it has ended already
        try:
            session.wait(5)
        except subprocess.TimeoutExpired:
            session.kill()
            session.wait()
        for stream in (session.stdout, session.stderr):
            if stream is not None:
                stream.close()
        self._session = None

    def __exit__(
        self, kind: Optional[type[BaseException]], error: Optional[BaseException], trace: Optional[TracebackType]
    ) -> None:
        self._end()
