# Copyright (c) 2026 Upkeep maintainers
# GNU General Public License v3.0-or-later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Find out whether a plain SQL dump of ``pg_dump`` or ``pg_dumpall`` is complete, without reading its lines one by one.

A dump ends in a marker. A table may hold that very text, and so may the body of a function, so the marker counts only
where no data are: the pass follows every COPY to its end. Dumps from the minor releases of August 2025 on carry a
random key in their first and last lines (``\\restrict``, ``\\unrestrict``), which nothing else can hold: there the
match of the two decides.
"""

from __future__ import annotations

import re

from ansible_collections.cadence.upkeep.plugins.module_utils._backup.commands import MetaCommands
from ansible_collections.cadence.upkeep.plugins.module_utils._backup.containers import Report
from ansible_collections.cadence.upkeep.plugins.module_utils._backup.detect import PGDUMPALL
from ansible_collections.cadence.upkeep.plugins.module_utils._backup.model import VALUES, Dump, Problem
from ansible_collections.cadence.upkeep.plugins.module_utils._backup.rows import columns_of, name_of, target_of
from ansible_collections.cadence.upkeep.plugins.module_utils._core.units import format_size

_LINE = b"\n-- PostgreSQL database "
_COPY = b"\n\nCOPY "
_END_OF_COPY = b"\n\\.\n"
_INSERT = b"\nINSERT INTO "
_OF_DATA, _OF_OTHERS = b"\n-- Data for Name: ", b"\n-- Name: "

# The header or the end of a dump. The key follows at once, but for an empty line. The header of a dump that was
# appended to half of another may stand at the end of a line.
_EVENT = re.compile(
    rb"--\n-- PostgreSQL database (?P<cluster>cluster )?dump(?P<end> complete)?\n--\n"
    rb"(?:\n{0,2}\\(?:un)?restrict (?P<key>[0-9A-Za-z]+)\n)?"
)
_BEFORE_LINE = len(b"\n--")
_EVENT_BYTES = 400  # of the longest event, with a key far longer than pg_dump makes
_STATEMENT_BYTES = 4 << 20  # a COPY with 1,600 columns of the longest names takes a tenth of it
_TAIL_BYTES = 8192
_BLANK_LINES = 16

_VERSION = re.compile(rb"\n-- Dumped (from database|by pg_dump) version (\d[\w.]*)")
_ENCODING = re.compile(rb"\nSET client_encoding = '([A-Za-z0-9_]+)';")
_STARTED = re.compile(rb"\n-- Started on (\d{4}-\d\d-\d\d \d\d:\d\d:\d\d)")
_ENTRY = re.compile(rb"\n-- (?:Name|Data for Name|TOC entry|Database|User Config)")
# Until 10.3, 9.6.8 and their like, a COPY named no schema: the last of these lines before it did.
_SET_PATH = b"\n\nSET search_path = "
_PATH = re.compile(_SET_PATH + rb'("(?:[^"]|"")*"|[^\s",;]+)(?:, pg_catalog)?;\n')
_PATH_BYTES = 256  # of the longest such line
_CONNECT = re.compile(rb'\n\\connect (?:-reuse-previous=on )?("(?:[^"]|"")+"|[^\s"]+)\n')


class _Dumps:
    """Which dumps of a text have begun and ended, told by their headers and ends in the order in which they stand.

    ``end`` is the offset after the last end that counts. Text that was stored in a table, or a function, may hold
    headers and ends too: with a key it closes within the dump that holds it, and without one only the last end counts.
    """

    def __init__(self, cluster: bool) -> None:
        self.cluster = cluster
        self.keyed = False
        self.count = 0
        self.end: int | None = None
        self.cut = False  # another dump begins before the one before it has ended
        self._open: list[bytes] = []  # keys of dumps that have begun and not ended
        self._ended: list[bytes] = []  # keys of those that have, outermost only

    @property
    def complete(self) -> bool:
        return self.end is not None and not self._open and not self.cut

    @property
    def key(self) -> bytes:
        """The key of the dump that is open; empty when it has none."""
        return self._open[0] if self.keyed and self._open else b""

    @property
    def repeated(self) -> bool:
        """True when it is surely one dump that is there more than once."""
        return len(set(self._ended)) < len(self._ended)

    def header(self, cluster: bool, key: bytes, offset: int) -> None:
        if cluster != self.cluster:
            if self.cluster and key:
                self._open_one(key)  # a database of the cluster
            return
        if not self.count:
            # The end of a cluster's dump has no key, only those of its databases have.
            self.keyed = bool(key) and not cluster
            self._another()
        elif self.keyed:
            if key and not self._open:
                self._another()
        elif self.end is not None and offset - self.end < _BLANK_LINES:
            self._another()
        elif cluster and key and not self._open:
            self.cut = True  # between the databases of a cluster there is no text to hold it
        if self.keyed and key:
            self._open_one(key)

    def _another(self) -> None:
        self.count += 1
        self.end = None

    def _open_one(self, key: bytes) -> None:
        # Nothing within a dump can know its key: when it comes again, the dump began anew before it had ended.
        self.cut = self.cut or key in self._open
        self._open.append(key)

    def ended(self, cluster: bool, key: bytes, offset: int) -> None:
        if cluster == self.cluster and not self.keyed:
            self.end = offset
        elif key in self._open:
            # What began within it and did not end was the text of half a dump in a row.
            del self._open[self._open.index(key) :]
            if not self._open and not self.cluster:
                self._ended.append(key)
                self.end = offset


class PlainDump:
    """The sink for the text of a dump; ``finish`` leaves its verdict in *report*."""

    def __init__(self, kind: str, report: Report) -> None:
        self._report = report
        self._layer = kind
        self._dumps = _Dumps(kind == PGDUMPALL)
        self._text = b"\n"  # as if a line had ended before the first, so that every line begins after one
        self._base = -1  # the offset of the first byte of _text
        self._from = 0  # what stands before it in _text has been looked at
        self._head = b""
        self._tail = b""
        self._crlf: bool | None = None
        self._held = b""  # a carriage return whose newline is still to come
        self._columns: int | None = None  # of the COPY whose data are passing
        self._table = ""  # the one that it names
        self._counted = 0  # up to where in _text its rows are counted
        self._newlines = 0
        self._rows: dict[str, int] = {}
        self._tables: set[str] = set()
        self._outside = 1  # from where on in _text what is outside of table data was not looked at
        self._edge = b""  # of what was looked at
        self._path: str | None = None  # the schema of tables that are named without one
        self._path_edge = b""
        self._data_may_follow = True
        self._inserts = False
        self._commands = MetaCommands()

    def feed(self, data: bytes) -> None:
        self._report.decoded += len(data)
        if len(self._head) < _TAIL_BYTES:
            self._head += data[: _TAIL_BYTES - len(self._head)]
        data = self._without_carriage_returns(data)
        self._tail = (self._tail + data)[-_TAIL_BYTES:] if len(data) < _TAIL_BYTES else data[-_TAIL_BYTES:]
        self._text += data
        self._scan(final=False)

    def _without_carriage_returns(self, data: bytes) -> bytes:
        if self._crlf is None:
            self._crlf = b"--\r\n" in data[:_TAIL_BYTES]
        if not self._crlf:
            return data
        data, self._held = self._held + data, b""
        if data.endswith(b"\r"):
            data, self._held = data[:-1], b"\r"
        return data.replace(b"\r\n", b"\n")

    def _scan(self, final: bool) -> None:
        """Look at all of the text but what may only be understood with what comes next, and keep that."""
        text, position = self._text, self._from
        line = self._find_line(position)
        edge = self._find_edge(position)
        while line >= 0 or edge >= 0:
            if line >= 0 and (edge < 0 or line < edge):
                if len(text) - line < _EVENT_BYTES and not final:
                    self._keep(line)
                    return
                was = self._columns
                position = self._event(line)
                if self._columns != was:
                    edge = self._find_edge(position)
                line = self._find_line(position)
            elif self._columns is not None:
                self._end_of_table(edge)
                # The last newline of the end may be the first of what comes next.
                position = self._outside = edge + len(_END_OF_COPY) - 1
                self._columns = None
                edge, line = self._find_edge(position), self._find_line(position)
            else:
                end = _end_of_statement(text, edge + len(_COPY))
                if end < 0 and not final and len(text) - edge < _STATEMENT_BYTES:
                    self._keep(edge)
                    return
                self._look_outside(edge)
                self._columns = columns_of(text[edge:end]) if end >= 0 and self._data_may_follow else None
                position = end if self._columns is not None else edge + 1
                if self._columns is not None:
                    self._table, self._counted, self._newlines = target_of(text[edge:end], self._path), end, 0
                edge, line = self._find_edge(position), self._find_line(position)
        unclear = len(_LINE) if self._columns is None or not self._dumps.key else _EVENT_BYTES
        self._keep(max(position, len(text) - unclear))

    def _find_edge(self, position: int) -> int:
        """Return where the data of a COPY end, or where the next one begins; -1 when not in this text."""
        if self._columns is None:
            return self._text.find(_COPY, position)
        # Backwards it is found to be absent, which it nearly always is, in less than half the time.
        if self._text.rfind(_END_OF_COPY, position) < 0:
            return -1
        return self._text.find(_END_OF_COPY, position)

    def _find_line(self, position: int) -> int:
        """Return where the next header or end may be; -1 when there is none in this text, or when none can count."""
        if self._columns is None or not self._dumps.key:
            return self._text.find(_LINE, position)
        # Only what carries the key of the dump can count in its rows, and so long a text is found much faster.
        key = self._text.find(b"restrict " + self._dumps.key, position)
        return self._text.rfind(_LINE, position, key) if key >= 0 else -1

    def _keep(self, position: int) -> None:
        """Drop what lies before *position*, but for the little that belongs to an event there."""
        if self._columns is not None:
            if self._report.counting:
                self._newlines += self._text.count(b"\n", self._counted, position)
            self._counted = position
        else:
            self._look_outside(position)
        start = max(0, position - _BEFORE_LINE)
        self._counted -= start
        self._outside -= start
        self._base += start
        self._text = self._text[start:]
        self._from = position - start

    def _look_outside(self, end: int) -> None:
        """Look at what stands before *end* outside of table data and was not looked at before."""
        text = self._text[self._outside : end]
        if not text:
            return
        self._outside = end
        entries = self._edge + text
        self._edge = entries[-len(_OF_DATA) :]
        self._follow_path(text)
        follows = self._data_may_follow
        self._data_may_follow = self._is_data(entries, len(entries), follows)
        if self._report.structure:
            insert = -1 if self._inserts else entries.find(_INSERT)
            self._inserts = self._inserts or (insert >= 0 and self._is_data(entries, insert, follows))
            self._commands.feed(text)

    def _follow_path(self, text: bytes) -> None:
        text = self._path_edge + text
        self._path_edge = text[-_PATH_BYTES:]
        last = text.rfind(_SET_PATH)
        path = _PATH.match(text, last) if last >= 0 else None
        if path is not None:
            self._path = name_of(path[1])

    @staticmethod
    def _is_data(entries: bytes, end: int, otherwise: bool) -> bool:
        """Return whether what stands at *end* belongs to the data of a table, *otherwise* when no entry says so.

        The body of a function may look like the data of a table, but its entry does not say so.
        """
        data, other = entries.rfind(_OF_DATA, 0, end), entries.rfind(_OF_OTHERS, 0, end)
        return data > other if data >= 0 or other >= 0 else otherwise

    def _end_of_table(self, edge: int) -> None:
        """Take note of how many rows there were: a newline ends each, and one ends the statement before the first."""
        self._tables.add(self._table)
        if self._report.counting:
            rows = self._newlines + self._text.count(b"\n", self._counted, edge)
            self._rows[self._table] = self._rows.get(self._table, 0) + rows

    def _event(self, line: int) -> int:
        """Take note of the header or the end whose middle line begins at *line*; return where to look on."""
        start = line - len(b"--")
        match = _EVENT.match(self._text, start) if start > 0 else None
        if match is None or (match["end"] and self._text[start - 1 : start] != b"\n"):
            return line + 1
        key, cluster = match["key"] or b"", bool(match["cluster"])
        if self._columns is not None:
            # A table of one column may hold such lines; one of more cannot, for they have no tab, and no table can
            # hold a line that begins with a backslash, for COPY doubles it.
            if not key and self._columns < 2:
                return line + 1
            if not (self._dumps.keyed or key or match["end"]):
                self._dumps.cut = True
            self._columns = None
            self._outside = match.end() - 1
        if match["end"]:
            self._dumps.ended(cluster, key, self._base + match.end())
        else:
            self._dumps.header(cluster, key, self._base + start)
        return match.end() - 1

    def finish(self) -> None:
        self._text += self._held
        self._tail += self._held
        self._scan(final=True)
        problem = self._verdict()
        if problem is not None:
            self._report.problems.append(problem)
        # In what is left of half a dump nobody can tell where a quote is open.
        if self._commands.found and (problem is None or problem.code != "backup.incomplete_dump"):
            named = ", ".join(f"\\{name}" for name in self._commands.found)
            what = f"holds commands that psql would run, and that no dump program writes: {named}"
            self._report.problems.append(Problem("backup.meta_command", self._layer, what))
        if self._crlf:
            what = "has Windows line endings (CRLF), as a terminal or a text-mode copy makes them"
            self._report.problems.append(Problem("backup.line_endings", self._layer, what, fatal=False))
        self._report.unproven.add(VALUES)
        self._report.dump = self._describe(complete=problem is None or problem.code != "backup.incomplete_dump")

    def _verdict(self) -> Problem | None:
        size, dumps, rest = self._report.decoded, self._dumps, self._rest()
        # Without a key, an end that more of the dump follows is a text in it.
        goes_on = not dumps.keyed and (rest is None or _ENTRY.search(rest))
        if not dumps.complete or goes_on:
            where = "inside the data of a table" if self._columns is not None else "outside table data"
            what = (
                f"holds a dump that is not complete: it stops after {format_size(size)}, {where}, "
                "without the end marker that the dump program writes last"
            )
            return Problem("backup.incomplete_dump", self._layer, what, size)
        if rest is None or not _is_comment(rest):
            what = "holds a complete dump, but more text follows its end marker"
            return Problem("backup.trailing_garbage", self._layer, what, dumps.end, fatal=False)
        if dumps.count > 1:
            what = f"holds {'the same dump' if dumps.repeated else 'a dump'} {dumps.count} times, one after another"
            evidence = {"dumps": dumps.count}
            return Problem("backup.duplicate_dump", self._layer, what, fatal=dumps.repeated, evidence=evidence)
        return None

    def _rest(self) -> bytes | None:
        """Return what follows the last end; ``None`` when that is more than is kept."""
        length = 0 if self._dumps.end is None else self._base + len(self._text) - self._dumps.end
        if length > len(self._tail):
            return None
        return self._tail[len(self._tail) - length :]

    @property
    def created(self) -> str | None:
        """When the dump was taken, which it says only with ``--verbose``: a local time of the host that dumped."""
        started = _STARTED.search(self._head.replace(b"\r\n", b"\n"))
        return started[1].decode("ascii").replace(" ", "T") if started else None

    def _describe(self, complete: bool) -> Dump:
        head = self._head.replace(b"\r\n", b"\n")
        versions = {match[1]: match[2].decode("ascii") for match in _VERSION.finditer(head)}
        encoding = _ENCODING.search(head)
        connect = None if self._dumps.cluster else _CONNECT.search(head)
        return Dump(
            database=connect[1].strip(b'"').replace(b'""', b'"').decode("utf-8", "replace") if connect else None,
            server_version=versions.get(b"from database"),
            tool_version=versions.get(b"by pg_dump"),
            complete=complete,
            tables=len(self._tables),
            counted=self._report.counting,
            rows=self._rows,
            encoding=encoding[1].decode("ascii") if encoding else None,
            created=self.created,
            inserts=self._inserts,
            cluster=self._dumps.cluster,
        )


def _end_of_statement(text: bytes, position: int) -> int:
    """Return where the newline stands that ends the line, not counting those within quotes; -1 when not in *text*."""
    while True:
        newline = text.find(b"\n", position)
        quote = text.find(b'"', position, newline if newline >= 0 else len(text))
        if quote < 0:
            return newline
        position = text.find(b'"', quote + 1) + 1
        if not position:
            return -1


def _is_comment(rest: bytes) -> bool:
    """True for blank lines and comments, which some jobs append."""
    return all(not line.strip() or line.startswith(b"--") for line in rest.split(b"\n"))
