# Copyright (c) 2026 Upkeep maintainers
# GNU General Public License v3.0-or-later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Walk a snapshot of Redis or Valkey (RDB) to its end mark, and check the CRC-64 behind it.

Every value is walked by its lengths, not decoded. What modules wrote has a form of its own since version 8, which is
walked too. A version that is newer than what is known here is read until something unknown comes.
"""

from __future__ import annotations

from collections.abc import Generator

from ansible_collections.cadence.upkeep.plugins.module_utils._backup.containers import Damage, Report
from ansible_collections.cadence.upkeep.plugins.module_utils._backup.crc import JONES, Crc
from ansible_collections.cadence.upkeep.plugins.module_utils._backup.detect import REDIS
from ansible_collections.cadence.upkeep.plugins.module_utils._backup.model import VALUES, Dump, Problem
from ansible_collections.cadence.upkeep.plugins.module_utils._core.units import format_size

_EOF, _SELECT, _EXPIRE, _EXPIRE_MS, _RESIZE, _AUX = 0xFF, 0xFE, 0xFD, 0xFC, 0xFB, 0xFA
_FREQ, _IDLE, _MODULE_AUX, _FUNCTION2, _FUNCTION, _SLOT = 0xF9, 0xF8, 0xF7, 0xF5, 0xF6, 0xF4
_HAS_CHECKSUM = 5
# Types of which the value is one text, whatever that encodes.
_ONE_TEXT = frozenset((0, 9, 10, 11, 12, 13, 16, 17, 20))
# Types that are a number of texts, or of pairs of them.
_TEXTS = {1: 1, 2: 1, 4: 2}
_STREAMS = {15: 1, 19: 2, 21: 3, 26: 4}
_MODULE_END, _MODULE_INTEGERS, _MODULE_FLOAT, _MODULE_DOUBLE, _MODULE_TEXT = 0, (1, 2), 3, 4, 5

Step = Generator[None, None, None]


class RedisDump:
    """The sink for an RDB file."""

    def __init__(self, report: Report) -> None:
        self._report = report
        self._data = b""
        self._at = 0
        self._base = 0
        self._crc = Crc(JONES, inverted=False)
        self._hashed = 0  # up to where in _data the check value goes
        self._stage = "header"
        self._keys = 0
        self._version = 0
        self._tool: str | None = None
        self._databases: set[int] = set()
        self._done = False
        self._garbage_at: int | None = None
        self._steps = self._walk()
        next(self._steps)

    def feed(self, data: bytes) -> None:
        self._report.decoded += len(data)
        self._report.unfolded(REDIS, 1, 0)  # for the deadline
        if self._done:
            self._garbage_at = self._base + self._at if self._garbage_at is None else self._garbage_at
            return
        self._hash_to(self._at)
        self._base += self._at
        self._data = self._data[self._at :] + data if self._at < len(self._data) else data
        self._at = self._hashed = 0
        next(self._steps, None)
        self._note_garbage()

    def _note_garbage(self) -> None:
        if self._done and self._at < len(self._data):
            self._garbage_at = self._base + self._at

    def finish(self) -> None:
        if not self._done:
            size = self._base + len(self._data)
            what = f"ends after {format_size(size)} in its {self._stage}, before its own end"
            self._describe(False)
            raise Damage(Problem("backup.truncated", REDIS, what, size, evidence={"keys": self._keys}))
        if self._garbage_at is not None:
            what = f"is whole, but bytes that do not belong to it follow after byte {self._garbage_at}"
            self._report.problems.append(Problem("backup.trailing_garbage", REDIS, what, self._garbage_at, fatal=False))
        self._describe(not any(problem.fatal for problem in self._report.problems))

    def _describe(self, complete: bool) -> None:
        self._report.dump = Dump(
            server_version=self._tool,
            tables=len(self._databases),
            complete=complete,
            counted=True,
            rows={"keys": self._keys},
        )

    def _hash_to(self, position: int) -> None:
        if self._report.structure:
            self._crc.update(self._data[self._hashed : position])
        self._hashed = position

    # --- reading: each of these yields while it waits for more bytes

    def _walk(self) -> Step:
        head = yield from self._take(9)
        if not head[5:].isdigit():
            raise self._corrupt("has no version where it should be")
        self._version = int(head[5:])
        self._stage = "data"
        while True:
            kind = (yield from self._take(1))[0]
            if kind == _EOF:
                break
            yield from self._entry(kind)
        self._stage = "check value"
        self._hash_to(self._at)
        if self._version >= _HAS_CHECKSUM:
            stored = int.from_bytes((yield from self._take(8)), "little")
            self._hashed = self._at
            if not stored or not self._report.structure:
                self._report.unproven.add(VALUES)  # the server was told to write none (rdbchecksum no)
            elif stored != self._crc.value:
                what = "is not what the server wrote: its CRC is another"
                self._report.problems.append(Problem("backup.corrupt", REDIS, what, self._base + self._at))
            else:
                self._report.covered = True
        self._done = True

    def _entry(self, kind: int) -> Step:
        if kind == _AUX:
            name = yield from self._text(keep=True)
            value = yield from self._text(keep=True)
            if name in (b"redis-ver", b"valkey-ver"):
                self._tool = value.decode("ascii", "replace")[:40]
        elif kind == _SELECT:
            self._databases.add((yield from self._length())[0])
        elif kind == _RESIZE:
            yield from self._lengths(2)
        elif kind == _SLOT:
            yield from self._lengths(3)
        elif kind == _EXPIRE:
            yield from self._skip(4)
        elif kind == _EXPIRE_MS:
            yield from self._skip(8)
        elif kind == _FREQ:
            yield from self._skip(1)
        elif kind == _IDLE:
            yield from self._lengths(1)
        elif kind == _FUNCTION2:
            yield from self._text()
        elif kind == _MODULE_AUX:
            yield from self._lengths(3)  # the module, and when it is to be loaded
            yield from self._module()
        else:
            yield from self._text()
            yield from self._value(kind)
            self._keys += 1

    def _value(self, kind: int) -> Step:
        if kind in _ONE_TEXT:
            yield from self._text()
        elif kind in _TEXTS:
            for _one in range((yield from self._count()) * _TEXTS[kind]):
                yield from self._text()
        elif kind in (3, 5):
            for _one in range((yield from self._count())):
                yield from self._text()
                yield from self._skip(8) if kind == 5 else self._old_number()
        elif kind in (14, 18):
            for _one in range((yield from self._count())):
                if kind == 18:
                    yield from self._lengths(1)
                yield from self._text()
        elif kind in _STREAMS:
            yield from self._stream(_STREAMS[kind])
        elif kind == 7:
            yield from self._lengths(1)
            yield from self._module()
        elif kind in (22, 24):  # a hash whose fields may expire
            if kind == 24:
                yield from self._skip(8)
            for _one in range((yield from self._count())):
                yield from self._lengths(1)
                yield from self._text()
                yield from self._text()
        elif kind in (23, 25):
            if kind == 25:
                yield from self._skip(8)
            yield from self._text()
        else:
            raise self._corrupt(f"has a value of the unknown type {kind}")

    def _old_number(self) -> Step:
        size = (yield from self._take(1))[0]
        if size < 253:
            yield from self._skip(size)

    def _stream(self, version: int) -> Step:
        for _one in range((yield from self._count())):
            yield from self._text()
            yield from self._text()
        yield from self._lengths(3 if version == 1 else 8)  # length and last entry; then first, deleted and added
        for _group in range((yield from self._count())):
            yield from self._text()
            yield from self._lengths(2 if version == 1 else 3)
            for _pending in range((yield from self._count())):
                yield from self._skip(16 + 8)
                yield from self._lengths(1)
            for _consumer in range((yield from self._count())):
                yield from self._text()
                yield from self._skip(8 if version < 3 else 16)
                yield from self._skip(16 * (yield from self._count()))

    def _module(self) -> Step:
        while True:
            code = (yield from self._length())[0]
            if code == _MODULE_END:
                return
            if code in _MODULE_INTEGERS:
                yield from self._lengths(1)
            elif code in (_MODULE_FLOAT, _MODULE_DOUBLE):
                yield from self._skip(4 if code == _MODULE_FLOAT else 8)
            elif code == _MODULE_TEXT:
                yield from self._text()
            else:
                raise self._corrupt(f"has a value of a module of the unknown kind {code}")

    def _length(self) -> Generator[None, None, tuple[int, bool]]:
        """Read a length; with True it is not one, but how a text is encoded."""
        first = (yield from self._take(1))[0]
        form = first >> 6
        if form == 0:
            return first & 63, False
        if form == 1:
            return (first & 63) << 8 | (yield from self._take(1))[0], False
        if form == 3:
            return first & 63, True
        if first not in (0x80, 0x81):
            raise self._corrupt("has a length that does not exist")
        return int.from_bytes((yield from self._take(4 if first == 0x80 else 8)), "big"), False

    def _lengths(self, count: int) -> Step:
        for _one in range(count):
            yield from self._count()

    def _count(self) -> Generator[None, None, int]:
        count, encoded = yield from self._length()
        if encoded:
            raise self._corrupt("has an encoded text where a number should be")
        return count

    def _text(self, keep: bool = False) -> Generator[None, None, bytes]:
        size, encoded = yield from self._length()
        if encoded:
            if size < 3:
                yield from self._skip(1 << size)  # an integer
                return b""
            if size != 3:
                raise self._corrupt("has a text in an encoding that does not exist")
            size = yield from self._count()  # compressed
            plain = yield from self._count()
            if plain > 300 * size + 300:
                raise self._corrupt("has a compressed text whose lengths contradict each other")
            keep = False
        if keep and size <= 4096:
            return (yield from self._take(size))
        yield from self._skip(size)
        return b""

    def _take(self, count: int) -> Generator[None, None, bytes]:
        while len(self._data) - self._at < count:
            yield
        taken = self._data[self._at : self._at + count]
        self._at += count
        return taken

    def _skip(self, count: int) -> Step:
        while count:
            part = min(count, len(self._data) - self._at)
            self._at += part
            count -= part
            if count:
                yield

    def _corrupt(self, how: str) -> Damage:
        what = f"{how} before byte {self._base + self._at}"
        return Damage(Problem("backup.corrupt", REDIS, what, self._base + self._at))
