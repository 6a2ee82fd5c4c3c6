# Copyright (c) 2026 Upkeep maintainers
# GNU General Public License v3.0-or-later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Read the table of contents of an archive of ``pg_dump``, whatever its format: custom, directory or tar.

Layout (archive versions 1.12 to 1.16, PostgreSQL 9.0 to 18): a header, then the entries. An integer is a sign byte and
4 bytes, lowest first; a text is its length and its bytes. An entry of a custom archive ends in the place of its data,
one of a directory or a tar in the name of the file that holds them.
"""

from __future__ import annotations

import re
from collections.abc import Generator
from dataclasses import dataclass, field

from ansible_collections.cadence.upkeep.plugins.module_utils._backup.containers import Damage, Report
from ansible_collections.cadence.upkeep.plugins.module_utils._backup.detect import PGDUMP_CUSTOM
from ansible_collections.cadence.upkeep.plugins.module_utils._backup.model import Dump, Problem
from ansible_collections.cadence.upkeep.plugins.module_utils._backup.rows import columns_of, table_name

OLDEST, NEWEST = (1, 12), (1, 16)
_HAS_TABLE_ACCESS_METHOD, _HAS_ALGORITHM, _HAS_RELATION_KIND = (1, 14), (1, 15), (1, 16)
_ALGORITHMS = {0: "none", 1: "gzip", 2: "lz4", 3: "zstd"}
_OFFSET_SET = 2
_SECTIONS = range(1, 5)
_LONGEST_NAME = 1 << 16
_LONGEST_TEXT = 1 << 30
_LONGEST_KEPT = 1 << 20
# No text of the table of contents but these is kept, so that its size costs no memory.
_MOST_ENTRIES = 1 << 24
_ENCODING = re.compile(rb"SET client_encoding = '([A-Za-z0-9_]+)'")

Step = Generator[None, None, None]


@dataclass(frozen=True)
class Entry:
    """An entry that has data. ``columns`` is that of its COPY (None: its data are no rows of a COPY).

    ``offset`` is where its block should be (None: not said); ``file`` names what holds it outside a custom archive.
    """

    name: str
    kind: str
    columns: int | None
    offset: int | None = None
    file: str = ""

    @property
    def copied(self) -> bool:
        return self.columns is not None


@dataclass
class Told:
    """What the table of contents says besides."""

    database: str | None = None
    server: str | None = None
    tool: str | None = None
    created: str | None = None
    encoding: str | None = None
    extensions: list[str] = field(default_factory=list)
    tables: int = 0  # that are defined, whether they have data or not


class TocReader:
    """What reads an archive piece by piece. A subclass says in ``_walk`` what is read in which order."""

    #: What a finding calls the archive.
    layer = PGDUMP_CUSTOM

    def __init__(self, report: Report) -> None:
        self._report = report
        self._data = b""
        self._at = 0
        self._base = 0
        self._stage = "header"
        self._integer = 5
        self._offset_size = 8
        self._version = (0, 0)
        self._compression = "none"
        self._entries: dict[int, Entry] = {}
        self._numbers: set[int] = set()
        self._told = Told()
        self._done = False
        self._steps = self._walk()
        next(self._steps)

    def feed(self, data: bytes) -> None:
        self._report.decoded += len(data)
        self._base += self._at
        self._data = self._data[self._at :] + data if self._at < len(self._data) else data
        self._at = 0
        if not self._done and next(self._steps, "done") == "done":
            self._done = True

    @property
    def created(self) -> str | None:
        """When the dump was taken, a local time of the host that dumped; ``None`` before its header was read."""
        return self._told.created

    @property
    def _offset(self) -> int:
        return self._base + self._at

    def _walk(self) -> Step:
        raise NotImplementedError

    def _dump(self, complete: bool | None, rows: dict[str, int]) -> Dump:
        told = self._told
        return Dump(
            database=told.database,
            server_version=told.server,
            tool_version=told.tool,
            tables=sum(entry.copied for entry in self._entries.values()),
            complete=complete,
            counted=self._report.counting,
            rows=rows,
            encoding=told.encoding,
            extensions=tuple(sorted(told.extensions)),
            created=told.created,
            inserts=any(entry.kind == "TABLE DATA" and not entry.copied for entry in self._entries.values()),
        )

    # --- reading: each of these yields while it waits for more bytes

    def _contents(self) -> Step:
        """Read the header and all entries."""
        yield from self._header()
        self._stage = "table of contents"
        count = yield from self._read_integer()
        if not 0 <= count <= _MOST_ENTRIES:
            raise self._bad_toc(f"claims {count} entries")
        for _number in range(count):
            number = yield from self._entry()
            if number in self._numbers:
                raise self._bad_toc(f"has the entry {number} twice")
            self._numbers.add(number)

    def _header(self) -> Step:
        start = yield from self._take(11)
        self._version = (start[5], start[6])
        self._integer, self._offset_size = start[8] + 1, start[9]
        if not OLDEST <= self._version <= NEWEST:
            what = f"is an archive of version {start[5]}.{start[6]}, and only 1.12 to 1.16 are understood"
            raise Damage(Problem("backup.unsupported", self.layer, what))
        if self._integer not in (5, 9) or self._offset_size not in (4, 8):
            raise self._bad_toc(f"has integers of {start[8]} and offsets of {start[9]} bytes")
        if self._version >= _HAS_ALGORITHM:
            algorithm = (yield from self._take(1))[0]
            if algorithm not in _ALGORITHMS:
                raise self._bad_toc(f"names a compression {algorithm} that does not exist")
            self._compression = _ALGORITHMS[algorithm]
        else:
            level = yield from self._read_integer()
            if not -1 <= level <= 9:
                raise self._bad_toc(f"names a compression level {level} that does not exist")
            self._compression = "gzip" if level else "none"
        yield from self._created()
        self._told.database = yield from self._name()
        self._told.server = version_only((yield from self._name()))
        self._told.tool = version_only((yield from self._name()))

    def _created(self) -> Step:
        """Read the time of the dump: second, minute, hour, day, month from 0, year from 1900, daylight saving."""
        values = []
        for part, highest in (("second", 61), ("minute", 59), ("hour", 23), ("day", 31), ("month", 11), ("year", 999)):
            value = yield from self._read_integer()
            if not 0 <= value <= highest:
                raise self._bad_toc(f"was made in {part} {value}")
            values.append(value)
        yield from self._read_integer()
        second, minute, hour, day, month, year = values
        # Without a zone: it is the local time of the host that dumped.
        self._told.created = f"{1900 + year:04d}-{month + 1:02d}-{day:02d}T{hour:02d}:{minute:02d}:{second:02d}"

    def _entry(self) -> Generator[None, None, int]:
        """Read one entry and keep what the walk over the data needs of it; return its number."""
        number = yield from self._read_integer()
        has_data = yield from self._read_integer()
        if number <= 0 or has_data not in (0, 1):
            raise self._bad_toc(f"has an entry {number} whose flag is {has_data}")
        for what in ("class", "object"):
            text = yield from self._name()
            if not (text or "").isdigit():
                raise self._bad_toc(f"has no number where the {what} of entry {number} should be")
        tag = yield from self._name()
        kind = yield from self._name()
        if not kind:
            raise self._bad_toc(f"does not say what entry {number} is")
        section = yield from self._read_integer()
        if section not in _SECTIONS:
            raise self._bad_toc(f"has entry {number} in the section {section}, which does not exist")
        made = yield from self._text(keep=kind == "ENCODING")
        self._note(kind, tag, made)
        yield from self._text(keep=False)  # how to drop it
        copied = yield from self._text(keep=True)
        schema = yield from self._name()
        yield from self._name()  # its tablespace
        if self._version >= _HAS_TABLE_ACCESS_METHOD:
            yield from self._name()
        if self._version >= _HAS_RELATION_KIND:
            yield from self._read_integer()
        yield from self._name()  # its owner
        with_oids = yield from self._name()
        if with_oids not in ("true", "false"):
            raise self._bad_toc(f"has neither true nor false where entry {number} says one")
        while True:
            dependency = yield from self._name()
            if dependency is None:
                break
            if not dependency.isdigit():
                raise self._bad_toc(f"has no number where a dependency of entry {number} should be")
        offset, file = yield from self._place(number)
        if has_data:
            name = table_name(schema, tag) if schema else table_name(tag or "")
            columns = columns_of(copied.rstrip()) if copied else None
            self._entries[number] = Entry(name, kind, columns, offset, file)
        return number

    def _note(self, kind: str, tag: str | None, made: bytes) -> None:
        if kind == "ENCODING":
            encoding = _ENCODING.search(made)
            self._told.encoding = encoding[1].decode() if encoding else None
        elif kind == "EXTENSION" and tag:
            self._told.extensions.append(tag)
        elif kind == "TABLE":
            self._told.tables += 1

    def _place(self, number: int) -> Generator[None, None, tuple[int | None, str]]:
        """Read where the data of entry *number* are: their offset, or None where it is not said; and no file."""
        raw = yield from self._take(1 + self._offset_size)
        if raw[0] not in (1, 2, 3):
            raise self._bad_toc(f"has a flag {raw[0]} where the data of entry {number} are placed")
        return (int.from_bytes(raw[1:], "little") if raw[0] == _OFFSET_SET else None), ""

    def _take(self, count: int) -> Generator[None, None, bytes]:
        while len(self._data) - self._at < count:
            yield
        taken = self._data[self._at : self._at + count]
        self._at += count
        return taken

    def _read_integer(self) -> Generator[None, None, int]:
        raw = yield from self._take(self._integer)
        value = int.from_bytes(raw[1:], "little")
        if raw[0] > 1:
            raise self._bad_toc(f"has a sign of {raw[0]} before byte {self._offset}")
        return -value if raw[0] else value

    def _length(self, longest: int) -> Generator[None, None, int]:
        length = yield from self._read_integer()
        if not -1 <= length <= longest:
            raise self._bad_toc(f"has a text of {length} bytes before byte {self._offset}")
        return length

    def _name(self) -> Generator[None, None, str | None]:
        length = yield from self._length(_LONGEST_NAME)
        if length < 0:
            return None
        return (yield from self._take(length)).decode("utf-8", "replace")

    def _text(self, keep: bool) -> Generator[None, None, bytes]:
        """Read a text; return it when it is to be kept and not overlong, else nothing of it."""
        left = max(0, (yield from self._length(_LONGEST_TEXT)))
        if keep and left <= _LONGEST_KEPT:
            return (yield from self._take(left))
        while left:
            part = min(left, len(self._data) - self._at)
            self._at += part
            left -= part
            if left:
                yield
        return b""

    def _bad_toc(self, how: str) -> Damage:
        where = self._stage if self._stage != "data" else "table of contents"
        what = f"has a damaged {where}: it {how}"
        return Damage(Problem("backup.toc_corrupt", self.layer, what, self._offset))


def version_only(text: str | None) -> str | None:
    """Return ``17.11`` of ``17.11 (Debian 17.11-1.pgdg120+1)``."""
    return text.split(" ", 1)[0] if text else text
