# Copyright (c) 2026 Upkeep maintainers
# GNU General Public License v3.0-or-later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Walk a custom-format dump of ``pg_dump``: its table of contents, then every block of data to the end of the file.

``pg_restore --list`` reads the table of contents and stops; this reads on. For each entry with data there is one block,
made of pieces that each say their length and end in one of length 0.
"""

from __future__ import annotations

from typing import Protocol

from ansible_collections.cadence.upkeep.plugins.module_utils._backup import adapter
from ansible_collections.cadence.upkeep.plugins.module_utils._backup.containers import (
    GIVEN_BYTES,
    TAKEN_BYTES,
    Damage,
    Report,
)
from ansible_collections.cadence.upkeep.plugins.module_utils._backup.detect import PGDUMP_CUSTOM
from ansible_collections.cadence.upkeep.plugins.module_utils._backup.frames import Frames
from ansible_collections.cadence.upkeep.plugins.module_utils._backup.model import TOC, VALUES, Problem
from ansible_collections.cadence.upkeep.plugins.module_utils._backup.rows import Rows
from ansible_collections.cadence.upkeep.plugins.module_utils._backup.toc import Entry, Step, TocReader
from ansible_collections.cadence.upkeep.plugins.module_utils._core.units import format_size

_DATA_BLOCK, _LARGE_OBJECTS_BLOCK = 1, 3


class _Block(Protocol):
    """Takes the pieces of one stream of data."""

    def feed(self, piece: bytes) -> None: ...

    def end(self) -> None: ...


class CustomDump(TocReader):
    """The sink for an archive; ``finish`` leaves in the report what the archive says of itself."""

    def __init__(self, report: Report) -> None:
        self._seen: set[int] = set()
        self._rows: dict[str, int] = {}
        self._garbage = b""
        self._garbage_at: int | None = None
        self._checked = True  # each stream has check values of its own
        super().__init__(report)

    def feed(self, data: bytes) -> None:
        super().feed(data)
        if self._done:
            if self._garbage_at is None and self._at < len(self._data):
                self._garbage_at = self._offset
            self._garbage += self._data[self._at : self._at + self._integer + 1 - len(self._garbage)]
            self._at = len(self._data)

    def finish(self) -> None:
        if not self._done:
            self._report.dump = self._dump(False, {})
            raise Damage(self._truncated())
        if self._garbage_at is not None:
            self._require_no_block()
            what = f"is whole, but bytes that do not belong to it follow after byte {self._garbage_at}"
            self._report.problems.append(
                Problem("backup.trailing_garbage", PGDUMP_CUSTOM, what, self._garbage_at, fatal=False)
            )
        self._report.unproven.add(TOC)
        if self._compression == "none" or not self._checked:
            self._report.unproven.add(VALUES)
        complete = not any(problem.fatal for problem in self._report.problems)
        self._report.dump = self._dump(complete, self._rows)

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

    # --- reading: each of these yields while it waits for more bytes

    def _walk(self) -> Step:
        yield from self._contents()
        self._stage = "data"
        while len(self._seen) < len(self._entries):
            yield from self._block()

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
                yield from self._pieces(self._stream(entry, Rows(None, False)))
        else:
            rows = Rows(entry.columns, self._report.counting)
            yield from self._pieces(self._stream(entry, rows))
            self._judge(number, entry, rows, start)
        self._seen.add(number)

    def _judge(self, number: int, entry: Entry, rows: Rows, start: int) -> None:
        """Say what is wrong with the data of a table that have passed."""
        # pg_dump ends the rows of a COPY itself, so that their end tells a whole table from half of one.
        if entry.copied and not rows.ended:
            what = f"lacks the end of the rows of entry {number}, so that not all of them were written"
            self._report.problems.append(Problem("backup.incomplete_dump", PGDUMP_CUSTOM, what, start))
        elif rows.misfit is not None:
            what = f"has rows of {rows.misfit} columns for {entry.name}, which has {entry.columns}"
            self._report.problems.append(Problem("backup.schema_mismatch", PGDUMP_CUSTOM, what, start))
        if rows.rows is not None:
            self._rows[entry.name] = rows.rows

    def _stream(self, entry: Entry, rows: Rows) -> _Block:
        if self._compression == "gzip":
            return _Inflate(self._report, entry.name, rows)
        if self._compression == "none":
            return _Stored(rows)
        # Neither of them writes check values unless it is asked to, and PostgreSQL does not ask.
        self._checked = False
        return _Framed(self._compression, self._report, entry.name, rows)

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

    def _corrupt(self, how: str, offset: int) -> Damage:
        return Damage(Problem("backup.corrupt", PGDUMP_CUSTOM, f"{how} at byte {offset}", offset))


class _Stored:
    """A stream that is not compressed."""

    def __init__(self, rows: Rows) -> None:
        self._rows = rows

    def feed(self, piece: bytes) -> None:
        self._rows.feed(piece)

    def end(self) -> None:
        """Nothing of the stream itself says whether it is whole."""


class _Framed:
    """A stream of zstd or lz4, as PostgreSQL 16 and later write it when asked to."""

    def __init__(self, name: str, report: Report, entry: str, rows: Rows) -> None:
        self._name, self._report, self._entry, self._rows = name, report, entry, rows
        self._frames: Frames | None = None

    def feed(self, piece: bytes) -> None:
        if self._frames is None:
            self._frames = Frames(self._name, self._report, self._rows, PGDUMP_CUSTOM)
        self._frames.feed(piece)

    @property
    def checked(self) -> bool:
        return self._frames is None or self._frames.checked

    def end(self) -> None:
        if self._frames is None:
            return
        before = len(self._report.problems)
        try:
            self._frames.finish()
        except Damage as damage:
            raise self._damaged(damage.problem, "it ends too early") from damage
        if len(self._report.problems) > before:
            raise self._damaged(self._report.problems.pop(), "bytes follow after its end")

    def _damaged(self, problem: Problem, how: str) -> Damage:
        if problem.code not in ("backup.truncated", "backup.trailing_garbage"):
            return Damage(problem)
        what = f"has a damaged {self._name} stream in the data of {self._entry}: {how}"
        return Damage(Problem("backup.corrupt", PGDUMP_CUSTOM, what, evidence={"entry": self._entry, "decoder": how}))


class _Inflate:
    """A zlib stream, which ends in a check value over all that it unfolds to."""

    def __init__(self, report: Report, name: str, rows: Rows) -> None:
        self._report = report
        self._name = name
        self._rows = rows
        self._zlib = adapter.new_inflate()
        self._pieces: list[bytes] = []
        self._waiting = 0
        self._taken = 0
        self._given = 0

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
            except adapter.DEFLATE_ERRORS as error:
                raise self._damaged(str(error).rsplit(": ", 1)[-1]) from error
            self._given += len(given)
            self._report.unfolded(PGDUMP_CUSTOM, self._taken, self._given)
            self._rows.feed(given)
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
