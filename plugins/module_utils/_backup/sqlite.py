# Copyright (c) 2026 Upkeep maintainers
# GNU General Public License v3.0-or-later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""SQLite databases: by their header as they pass, and by SQLite's own check where they lie in the open.

The check opens the file as one that nobody changes, so that nothing is written beside it, and trusts nothing in it: no
function of its schema may be called.
"""

from __future__ import annotations

import sqlite3
import time
from typing import Any
from urllib.parse import quote

from ansible_collections.cadence.upkeep.plugins.module_utils._backup.containers import Damage, Report
from ansible_collections.cadence.upkeep.plugins.module_utils._backup.detect import SQLITE
from ansible_collections.cadence.upkeep.plugins.module_utils._backup.model import CONTENT, VALUES, Dump, Problem
from ansible_collections.cadence.upkeep.plugins.module_utils._core.deadline import Deadline
from ansible_collections.cadence.upkeep.plugins.module_utils._core.errors import DeadlineExceeded
from ansible_collections.cadence.upkeep.plugins.module_utils._core.units import format_size

_HEADER = 100
_STEPS = 10_000  # of SQLite's machine between two looks at the time
_TOLD = 3
_FINE = "ok"


class SqliteStream:
    """The sink for a database that is not a file of its own: pages by their count, and what the header allows."""

    def __init__(self, report: Report) -> None:
        self._report = report
        self._head = b""
        self._size = 0

    def feed(self, data: bytes) -> None:
        self._report.decoded += len(data)
        self._size += len(data)
        if len(self._head) < _HEADER:
            self._head += data[: _HEADER - len(self._head)]

    def finish(self) -> None:
        pages, page = self._shape()
        if self._size < pages * page:
            what = f"ends after {format_size(self._size)}, before the last of its {pages} pages of {page} bytes"
            raise Damage(Problem("backup.truncated", SQLITE, what, self._size))
        if self._size > pages * page:
            what = f"is whole, but bytes that do not belong to it follow after byte {pages * page}"
            self._report.problems.append(Problem("backup.trailing_garbage", SQLITE, what, pages * page, fatal=False))
        self._report.unproven |= {VALUES, CONTENT}
        self._report.dump = Dump(complete=None)

    def _shape(self) -> tuple[int, int]:
        """Return how many pages there should be, and how long each is."""
        head = self._head
        page = int.from_bytes(head[16:18], "big")
        page = 65536 if page == 1 else page
        fractions = tuple(head[21:24])
        if len(head) < _HEADER:
            what = f"ends after {format_size(self._size)}, inside of its header"
            raise Damage(Problem("backup.truncated", SQLITE, what, self._size))
        if page < 512 or page & (page - 1) or fractions != (64, 32, 32) or head[18] > 2 or head[19] > 2:
            raise Damage(Problem("backup.corrupt", SQLITE, "has a damaged header", 0))
        pages = int.from_bytes(head[28:32], "big")
        # Before version 3.7 nobody kept the count, and then it is not of this version of the database.
        if not pages or head[24:28] != head[92:96]:
            pages = -(-self._size // page)
        return pages, page


def check_database(path: str, deadline: Deadline) -> tuple[list[Problem], Dump]:
    """Return what SQLite's own check finds wrong with the database file *path*, and what it holds.

    Raises ``DeadlineExceeded``.
    """
    uri = f"file:{quote(path)}?mode=ro&immutable=1"
    began = time.monotonic()
    problems: list[Problem] = []
    connection = sqlite3.connect(uri, uri=True)
    try:
        connection.set_progress_handler(lambda: int(deadline.expired), _STEPS)
        connection.execute("PRAGMA trusted_schema = OFF")
        connection.execute("PRAGMA cell_size_check = ON")
        found = [str(row[0]) for row in connection.execute("PRAGMA integrity_check(10)")]
        if found != [_FINE]:
            evidence: dict[str, Any] = {"count": len(found), "first": [text[:200] for text in found[:_TOLD]]}
            what = f"is a damaged database: {found[0].splitlines()[-1][:200]}"
            problems.append(Problem("backup.corrupt", SQLITE, what, evidence=evidence))
        tables = connection.execute("SELECT count(*) FROM sqlite_master WHERE type = 'table'").fetchone()[0]
        return problems, Dump(tables=int(tables), complete=not problems)
    except sqlite3.Error as error:
        if deadline.expired:
            seconds = time.monotonic() - began
            raise DeadlineExceeded(f"The check of {path} was stopped after {seconds:.0f} s.") from error
        what = f"is a damaged database: {str(error)[:200]}"
        return [Problem("backup.corrupt", SQLITE, what)], Dump(complete=False)
    finally:
        connection.close()
