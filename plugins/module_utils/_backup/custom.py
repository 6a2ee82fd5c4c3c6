# Copyright (c) 2026 Upkeep maintainers
# GNU General Public License v3.0-or-later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Walk a custom-format dump of ``pg_dump``: its table of contents, then every block of data to the end of the file.

``pg_restore --list`` reads the table of contents and stops; this reads on. Layout (archive versions 1.12 to 1.16,
PostgreSQL 9.0 to 18): a header, the entries of the table of contents, and for each entry with data one block, made of
pieces that each say their length and end in one of length 0. An integer is a sign byte and 4 bytes, lowest first.
"""

from __future__ import annotations

import zlib
from collections.abc import Generator
from dataclasses import dataclass
from typing import Protocol

from ansible_collections.cadence.upkeep.plugins.module_utils._backup.containers import (
    GIVEN_BYTES,
    TAKEN_BYTES,
    Damage,
    Report,
)
from ansible_collections.cadence.upkeep.plugins.module_utils._backup.detect import PGDUMP_CUSTOM
from ansible_collections.cadence.upkeep.plugins.module_utils._backup.model import CONTENT, TOC, VALUES, Dump, Problem
from ansible_collections.cadence.upkeep.plugins.module_utils._core.units import format_size

OLDEST, NEWEST = (1, 12), (1, 16)
_HAS_TABLE_ACCESS_METHOD, _HAS_ALGORITHM, _HAS_RELATION_KIND = (1, 14), (1, 15), (1, 16)
_ALGORITHMS = {0: "none", 1: "gzip", 2: "lz4", 3: "zstd"}
_DATA_BLOCK, _LARGE_OBJECTS_BLOCK = 1, 3
_OFFSET_SET = 2
_SECTIONS = range(1, 5)
_LONGEST_NAME = 1 << 16
_LONGEST_TEXT = 1 << 30
# No text of the table of contents but these is kept, so that its size costs no memory.
_MOST_ENTRIES = 1 << 24

Step = Generator[None, None, None]


@dataclass(frozen=True)
class _Entry:
    """An entry that has data: whether they are the rows of a COPY, and where the block should be (None: not said)."""

    name: str
    copied: bool
    offset: int | None


class _Block(Protocol):
    """Takes the pieces of one stream of data."""

    tail: bytes

    def feed(self, piece: bytes) -> None: ...

    def end(self) -> None: ...


class CustomDump:
    """The sink for an archive; ``finish`` leaves in the report what the archive says of itself."""

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
        self._entries: dict[int, _Entry] = {}
        self._numbers: set[int] = set()
        self._seen: set[int] = set()
        self._garbage = b""
        self._garbage_at: int | None = None
        self._database: str | None = None
        self._server: str | None = None
        self._tool: str | None = None
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
        if self._done:
            if self._garbage_at is None and self._at < len(self._data):
                self._garbage_at = self._offset
            self._garbage += self._data[self._at : self._at + self._integer + 1 - len(self._garbage)]
            self._at = len(self._data)

    @property
    def _offset(self) -> int:
        return self._base + self._at

    def finish(self) -> None:
        if not self._done:
            self._describe(complete=False)
            raise Damage(self._truncated())
        if self._garbage_at is not None:
            self._require_no_block()
            what = f"is whole, but bytes that do not belong to it follow after byte {self._garbage_at}"
            self._report.problems.append(
                Problem("backup.trailing_garbage", PGDUMP_CUSTOM, what, self._garbage_at, fatal=False)
            )
        self._report.unproven.add(TOC)
        if self._compression == "none":
            self._report.unproven.add(VALUES)
        if self._compression in ("lz4", "zstd"):
            self._report.unproven.add(CONTENT)
            what = f"has its blocks all there, but they are compressed with {self._compression}, which is not read yet"
            self._report.problems.append(Problem("backup.unsupported", PGDUMP_CUSTOM, what))
            self._describe(complete=None)
        else:
            self._describe(complete=not any(problem.fatal for problem in self._report.problems))

    def _require_no_block(self) -> None:
        """A block after the last that the table of contents announces means that it is not to be trusted."""
        number = int.from_bytes(self._garbage[2:], "little")
        kind, sign = (*self._garbage[:2], 1, 1)[:2]
        if kind in (_DATA_BLOCK, _LARGE_OBJECTS_BLOCK) and sign == 0 and number in self._numbers:
            self._stage = "table of contents"
            raise self._bad_toc(f"says that entry {number} has no data, but they are there")

    def _truncated(self) -> Problem:
        missing = sum(number not in self._seen for number in self._entries)
        what = f"ends after {format_size(self._offset)} in its {self._stage}, before its own end"
        evidence = {"blocks": len(self._seen), "blocks_expected": len(self._entries)} if self._entries else {}
        if missing:
            what += f"; the data of {missing} of {len(self._entries)} entries are missing or cut"
        return Problem("backup.truncated", PGDUMP_CUSTOM, what, self._offset, evidence=evidence)

    def _describe(self, complete: bool | None) -> None:
        self._report.dump = Dump(
            self._database, self._server, self._tool, sum(entry.copied for entry in self._entries.values()), complete
        )

    # --- reading: each of these yields while it waits for more bytes

    def _walk(self) -> Step:
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
        self._stage = "data"
        while len(self._seen) < len(self._entries):
            yield from self._block()

    def _header(self) -> Step:
        start = yield from self._take(11)
        self._version = (start[5], start[6])
        self._integer, self._offset_size = start[8] + 1, start[9]
        if not OLDEST <= self._version <= NEWEST:
            what = f"is an archive of version {start[5]}.{start[6]}, and only 1.12 to 1.16 are understood"
            raise Damage(Problem("backup.unsupported", PGDUMP_CUSTOM, what))
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
        self._database = yield from self._name()
        self._server = _version_only((yield from self._name()))
        self._tool = _version_only((yield from self._name()))

    def _created(self) -> Step:
        """Skip the time of the dump: second, minute, hour, day, month from 0, year from 1900, daylight saving."""
        for part, highest in (("second", 61), ("minute", 59), ("hour", 23), ("day", 31), ("month", 11), ("year", 999)):
            value = yield from self._read_integer()
            if not 0 <= value <= highest:
                raise self._bad_toc(f"was made in {part} {value}")
        yield from self._read_integer()

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
        yield from self._skip_text()  # how to make it
        yield from self._skip_text()  # how to drop it
        copied = yield from self._skip_text()
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
        flag, offset = yield from self._read_offset()
        if flag not in (1, 2, 3):
            raise self._bad_toc(f"has a flag {flag} where the data of entry {number} are placed")
        if has_data:
            name = f"{schema}.{tag}" if schema else str(tag)
            self._entries[number] = _Entry(name, bool(copied), offset if flag == _OFFSET_SET else None)
        return number

    def _block(self) -> Step:
        """Read one block of data to its end."""
        start = self._offset
        kind = (yield from self._take(1))[0]
        number = yield from self._read_integer()
        entry = self._entries.get(number)
        if kind not in (_DATA_BLOCK, _LARGE_OBJECTS_BLOCK) or entry is None or number in self._seen:
            what = f"has a block of kind {kind} for entry {number} at byte {start}, which the table of contents lacks"
            raise Damage(Problem("backup.corrupt", PGDUMP_CUSTOM, what, start))
        if entry.offset is not None and entry.offset != start:
            raise self._bad_toc(f"places entry {number} at byte {entry.offset}, but it begins at {start}")
        if kind == _LARGE_OBJECTS_BLOCK:
            while (yield from self._read_integer()):
                yield from self._pieces(self._stream(entry))
        else:
            stream = self._stream(entry)
            yield from self._pieces(stream)
            # pg_dump ends the rows of a COPY itself, so that their end tells a whole table from half of one.
            readable = self._compression in ("gzip", "none")
            if entry.copied and readable and not stream.tail.rstrip(b"\n").endswith(b"\\."):
                what = f"lacks the end of the rows of entry {number}, so that not all of them were written"
                self._report.problems.append(Problem("backup.incomplete_dump", PGDUMP_CUSTOM, what, start))
        self._seen.add(number)

    def _stream(self, entry: _Entry) -> _Block:
        if self._compression == "gzip":
            return _Inflate(self._report, entry.name)
        return _Stored(self._report)

    def _pieces(self, stream: _Block) -> Step:
        """Feed every piece of one stream, to the piece of length 0 that ends it."""
        width = self._integer
        while True:
            data, at, end = self._data, self._at, len(self._data)
            while end - at >= width:
                length = int.from_bytes(data[at + 1 : at + width], "little")
                if data[at]:
                    raise self._corrupt(f"has a piece of length {-length}", self._base + at)
                piece = at + width
                if length == 0:
                    self._at = piece
                    stream.end()
                    return
                if end - piece < length:
                    break
                stream.feed(data[piece : piece + length])
                at = piece + length
            else:
                self._at = at
                yield
                continue
            # The piece goes on past what we have: it may be a row of a gigabyte, so it is passed on as it comes.
            self._at = end
            stream.feed(data[piece:])
            left = length - (end - piece)
            while left:
                yield
                part = self._data[self._at : self._at + left]
                stream.feed(part)
                self._at += len(part)
                left -= len(part)

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

    def _read_offset(self) -> Generator[None, None, tuple[int, int]]:
        raw = yield from self._take(1 + self._offset_size)
        return raw[0], int.from_bytes(raw[1:], "little")

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

    def _skip_text(self) -> Generator[None, None, int]:
        """Skip a text and return its length, 0 when there is none."""
        length = left = max(0, (yield from self._length(_LONGEST_TEXT)))
        while left:
            part = min(left, len(self._data) - self._at)
            self._at += part
            left -= part
            if left:
                yield
        return length

    def _bad_toc(self, how: str) -> Damage:
        where = self._stage if self._stage != "data" else "table of contents"
        what = f"has a damaged {where}: it {how}"
        return Damage(Problem("backup.toc_corrupt", PGDUMP_CUSTOM, what, self._offset))

    def _corrupt(self, how: str, offset: int) -> Damage:
        return Damage(Problem("backup.corrupt", PGDUMP_CUSTOM, f"{how} at byte {offset}", offset))


class _Stored:
    """A stream that is not compressed, or not by anything that is read here."""

    def __init__(self, report: Report) -> None:
        self._report = report
        self.tail = b""

    def feed(self, piece: bytes) -> None:
        self.tail = (self.tail + piece[-8:])[-8:]

    def end(self) -> None:
        """Nothing of the stream itself says whether it is whole."""


class _Inflate:
    """A zlib stream, which ends in a check value over all that it unfolds to."""

    def __init__(self, report: Report, name: str) -> None:
        self._report = report
        self._name = name
        self._zlib = zlib.decompressobj()
        self._pieces: list[bytes] = []
        self._waiting = 0
        self._taken = 0
        self._given = 0
        self.tail = b""

    def feed(self, piece: bytes) -> None:
        # pg_dump writes pieces of 4 KiB: unfolded one by one they would cost more than the unfolding.
        self._pieces.append(piece)
        self._waiting += len(piece)
        if self._waiting >= TAKEN_BYTES:
            self._unfold()

    def _unfold(self) -> None:
        data = b"".join(self._pieces)
        self._taken += len(data)
        self._pieces, self._waiting = [], 0
        while True:
            try:
                given = self._zlib.decompress(data, GIVEN_BYTES)
            except zlib.error as error:
                raise self._damaged(str(error).rsplit(": ", 1)[-1]) from error
            self._given += len(given)
            self._report.unfolded(PGDUMP_CUSTOM, self._taken, self._given)
            self.tail = (self.tail + given[-8:])[-8:]
            data = self._zlib.unconsumed_tail
            if self._zlib.eof or not (data or len(given) == GIVEN_BYTES):
                return

    def end(self) -> None:
        self._unfold()
        if self._given or self._taken:
            if not self._zlib.eof:
                raise self._damaged("it ends too early")
            if self._zlib.unused_data or self._pieces:
                raise self._damaged("bytes follow after its end")

    def _damaged(self, how: str) -> Damage:
        what = f"has a damaged zlib stream in the data of {self._name}: {how}"
        return Damage(Problem("backup.corrupt", PGDUMP_CUSTOM, what, evidence={"entry": self._name, "decoder": how}))


def _version_only(text: str | None) -> str | None:
    """Return ``17.11`` of ``17.11 (Debian 17.11-1.pgdg120+1)``."""
    return text.split(" ", 1)[0] if text else text
