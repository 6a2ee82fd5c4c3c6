# Copyright (c) 2026 Upkeep maintainers
# GNU General Public License v3.0-or-later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Count the rows of a COPY as they pass, and compare the first with the columns that the COPY names. Pure.

COPY writes a row on a line of its own and doubles every newline in it into ``\\\\n``, so newlines are rows. It ends in
``\\\\.``, which ``pg_dump`` writes itself: a table whose data lack it was not written to its end.
"""

from __future__ import annotations

import re

_HEAD = 1 << 16
_TAIL = 16
_PLAIN = re.compile(r"[A-Za-z_][A-Za-z0-9_$]*\Z")
_QUOTED = re.compile(rb'"[^"]*"')
_COLUMNS = re.compile(rb"\(([^()]*)\)$")
_FROM_STDIN = b" FROM stdin;"
_TARGET = re.compile(rb'\s*COPY ((?:"(?:[^"]|"")*"|[^\s".(]+)(?:\.(?:"(?:[^"]|"")*"|[^\s".(]+))*) ')
_PART = re.compile(r'"((?:[^"]|"")*)"|([^".]+)')


def table_name(*parts: str | None) -> str:
    """Return how results and manifests call a table: ``public.orders``, quoted only where a part is no plain word.

    It is the same for a name out of a table of contents and one out of a COPY statement.
    """
    return ".".join(
        part if _PLAIN.match(part) else '"' + part.replace('"', '""') + '"' for part in parts if part is not None
    )


def name_of(text: bytes) -> str:
    """Return the first of the names in *text*, which may be quoted."""
    return _names_in(text)[0]


def target_of(statement: bytes, schema: str | None = None) -> str:
    """Return the name of the table that a COPY statement names, in *schema* when it names none; else an empty text."""
    match = _TARGET.match(statement)
    if match is None:
        return ""
    names = _names_in(match[1])
    return table_name(*names if len(names) > 1 else (schema, *names))


def _names_in(text: bytes) -> list[str]:
    found = _PART.finditer(text.decode("utf-8", "replace"))
    return [part[1].replace('""', '"') if part[1] else part[2] for part in found]


def columns_of(statement: bytes) -> int | None:
    """Return how many columns a COPY of ``pg_dump`` names; ``None`` when the text is none."""
    if not statement.endswith(_FROM_STDIN):
        return None
    target = _QUOTED.sub(b"x", statement[: -len(_FROM_STDIN)])
    columns = _COLUMNS.search(target)
    if columns is not None:
        return columns[1].count(b",") + 1
    return 0 if target.endswith(b" ") else None  # a table without columns leaves two blanks


class Rows:
    """The sink for the data of one table. ``columns`` is None where the data are no COPY."""

    def __init__(self, columns: int | None, counting: bool = True) -> None:
        self._columns = columns
        self._counting = counting
        self._newlines = 0
        self._head = b""
        self.tail = b""

    def feed(self, data: bytes) -> None:
        if self._counting:
            self._newlines += data.count(b"\n")
        if len(self._head) < _HEAD:
            self._head += data[: _HEAD - len(self._head)]
        self.tail = (self.tail + data[-_TAIL:])[-_TAIL:]

    def finish(self) -> None:
        """Nothing of the stream itself says whether it is whole; ``ended`` does."""

    @property
    def ended(self) -> bool:
        """True when the end of a COPY stands at the end."""
        return self.tail.rstrip(b"\n").endswith(b"\\.")

    @property
    def rows(self) -> int | None:
        """How many rows there were; ``None`` where the data are no COPY, do not end, or were not counted."""
        if self._columns is None or not self._counting or not self.ended:
            return None
        return self._newlines - self.tail[self.tail.rindex(b"\\.") :].count(b"\n")

    @property
    def misfit(self) -> int | None:
        """Return how many columns the first row has, when that is not what the COPY names; else ``None``."""
        line, newline, _rest = self._head.partition(b"\n")
        if self._columns is None or not newline or line == b"\\.":
            return None
        found = line.count(b"\t") + 1 if line or self._columns != 0 else 0
        return found if found != self._columns else None
