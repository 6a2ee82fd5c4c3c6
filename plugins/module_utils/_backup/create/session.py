# Copyright (c) 2026 Upkeep maintainers
# GNU General Public License v3.0-or-later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Ask a server: through the driver from this host, or through ``psql`` from inside of where the server lives.

Every question is one statement that answers with one JSON value, so that both ways are the same.
"""

from __future__ import annotations

import json
import os
import select
import subprocess
from collections.abc import Sequence
from typing import Any, Protocol

from ansible_collections.cadence.upkeep.plugins.module_utils._backup.create.errors import BackupFailed
from ansible_collections.cadence.upkeep.plugins.module_utils._backup.create.pump import die_with_parent
from ansible_collections.cadence.upkeep.plugins.module_utils._core.deadline import Deadline
from ansible_collections.cadence.upkeep.plugins.module_utils._core.errors import ConnectionFailed
from ansible_collections.cadence.upkeep.plugins.module_utils._core.redact import redact
from ansible_collections.cadence.upkeep.plugins.module_utils._postgres.adapter import ServerError, Session

_CHUNK = 1 << 16
_TICK_MILLISECONDS = 250
_PATIENCE = 5.0
_REMEDIES = {
    "42501": "Give the role what pg_dump needs too: pg_read_all_data, or superuser.",
    "55P03": "Find out who has locked the table (pg_locks), or raise lock_timeout.",
}


class Asker(Protocol):
    """A session in one database."""

    def run(self, sql: str) -> None: ...

    def ask(self, sql: str) -> Any:
        """Return the value of the JSON text that *sql* selects."""

    def abort(self) -> None:
        """End a question that another thread waits for."""


class DriverAsker:
    """A session of the driver. Raises ``BackupFailed`` with the server's words."""

    def __init__(self, session: Session) -> None:
        self._session = session

    def run(self, sql: str) -> None:
        try:
            self._session.run(sql)
        except ServerError as error:
            raise refused(error.message, error.sqlstate) from None

    def ask(self, sql: str) -> Any:
        try:
            return json.loads(self._session.rows(sql)[0][0])
        except ServerError as error:
            raise refused(error.message, error.sqlstate) from None

    def abort(self) -> None:
        self._session.abort()


class PsqlAsker:
    """A session of ``psql`` that is fed statement by statement. As a context manager it ends with the block."""

    def __init__(self, argv: Sequence[str], environment: dict[str, str], deadline: Deadline, where: str) -> None:
        self._deadline, self._where = deadline, where
        self._process: subprocess.Popen[bytes] = subprocess.Popen(
            list(argv),
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            env={**os.environ, "LC_ALL": "C", **environment},
            start_new_session=True,
            preexec_fn=die_with_parent,
        )
        self._pending = b""
        self._errors = b""

    def __enter__(self) -> PsqlAsker:
        return self

    def __exit__(self, *_error: object) -> None:
        process = self._process
        for stream in (process.stdin, process.stdout, process.stderr):
            if stream is not None:
                try:
                    stream.close()
                except OSError:
                    pass  # what was buffered for a program that is gone
        try:
            process.wait(_PATIENCE)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()

    def run(self, sql: str) -> None:
        self._send(sql)

    def abort(self) -> None:
        self._process.kill()

    def ask(self, sql: str) -> Any:
        self._send(sql)
        return json.loads(self._line())

    def _send(self, sql: str) -> None:
        stdin = self._process.stdin
        text = sql + ";\n"
        try:
            if stdin is not None:
                stdin.write(text.encode())
                stdin.flush()
        except BrokenPipeError:
            self._drain()
            raise self._ended() from None

    def _line(self) -> bytes:
        while b"\n" not in self._pending:
            self._deadline.require("Asking the server")
            if not self._turn():
                raise self._ended()
        line, _newline, self._pending = self._pending.partition(b"\n")
        return line

    def _turn(self) -> bool:
        """Take what has come; return whether more may come."""
        output, errors = self._process.stdout, self._process.stderr
        if output is None or errors is None:
            return False
        poller = select.poll()
        poller.register(output.fileno(), select.POLLIN)
        poller.register(errors.fileno(), select.POLLIN)
        more = True
        for descriptor, _event in poller.poll(_TICK_MILLISECONDS):
            data = os.read(descriptor, _CHUNK)
            if descriptor == output.fileno():
                self._pending += data
                more = more and bool(data)
            else:
                self._errors = (self._errors + data)[-_CHUNK:]
        return more

    def _drain(self) -> None:
        while self._turn():
            pass

    def _ended(self) -> Exception:
        if self._process.stderr is not None:
            self._errors += self._process.stderr.read() or b""
        said = redact(self._errors.decode("utf-8", "replace")).strip()
        lines = [line for line in said.splitlines() if "ERROR:" in line or "error:" in line] or said.splitlines()[-1:]
        words = lines[0].split("ERROR:  ")[-1][:400].rstrip(".") if lines else "psql ended without a word"
        return ConnectionFailed(
            f"PostgreSQL in {self._where} did not answer: {words}.",
            "Try the same with psql in there; check login_user, login_password and login_db.",
            {"where": self._where},
        )


def refused(message: str, sqlstate: str) -> BackupFailed:
    """Return the error for a question that the server did not answer, in its words."""
    return BackupFailed(
        f"The server refused what is asked beside the dump: {message}.",
        _REMEDIES.get(sqlstate, "Look into the server's log; nothing of this backup was kept."),
        {"sqlstate": sqlstate},
    )
