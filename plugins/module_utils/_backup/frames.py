# Copyright (c) 2026 Upkeep maintainers
# GNU General Public License v3.0-or-later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Walk the frames of zstd and lz4 from block to block, and have each frame unfolded.

The walk needs no library: it knows where a frame ends, whether it has check values, and what follows it. Unfolding is
for a library or a program; either is fed so few blocks at a time that a bomb fills no memory.
"""

from __future__ import annotations

from collections.abc import Generator
from typing import Callable

from ansible_collections.cadence.upkeep.plugins.module_utils._backup import adapter
from ansible_collections.cadence.upkeep.plugins.module_utils._backup.containers import Damage, Report, Sink
from ansible_collections.cadence.upkeep.plugins.module_utils._backup.model import VALUES, Problem
from ansible_collections.cadence.upkeep.plugins.module_utils._backup.pipes import Ended, Piped
from ansible_collections.cadence.upkeep.plugins.module_utils._core.units import format_size

ZSTD, LZ4 = "zstd", "lz4"
MAGICS = {ZSTD: b"\x28\xb5\x2f\xfd", LZ4: b"\x04\x22\x4d\x18"}
_SKIPPABLE = b"\x2a\x4d\x18"

# How much may come out of what is fed at once, so that it is still in the cache of the processor when it is looked at;
# a block of lz4 may hold 4 MiB by itself.
_AT_ONCE = 1 << 17
_ZSTD_BLOCK = 1 << 17
# zstd itself refuses more, unless it is told otherwise; the usual levels take 8 MiB at most.
ZSTD_WINDOW = 1 << 27
_LZ4_BLOCKS = {4: 1 << 16, 5: 1 << 18, 6: 1 << 20, 7: 1 << 22}

Step = Generator[None, None, None]


class Frames:
    """The sink for a stream of frames called *name*.

    *layer* is what a finding calls the place, when the stream is but a part of it; then it is for the caller to say
    what the check values cover (``checked``).
    """

    def __init__(self, name: str, report: Report, sink: Sink, layer: str = "") -> None:
        self._name, self._report, self._sink = name, report, sink
        self._is_part = bool(layer)
        self._layer = layer or name
        self._data = b""
        self._at = 0
        self._base = 0
        self._taken = self._given = 0
        self._pending: list[bytes] = []
        self._promised = 0  # how much may come out of what is pending
        self._in_frame = False
        self._garbage_at: int | None = None
        self.checked = True  # every frame has a check value over what it holds
        self.frames = 0
        self._decode: Callable[[bytes], bytes] | None = None
        self._errors: type[Exception] = ValueError
        self._pipe: Piped | None = None
        self._steps = self._walk()
        next(self._steps)

    def feed(self, data: bytes) -> None:
        self._taken += len(data)
        if self._garbage_at is not None:
            return
        self._base += self._at
        self._data = self._data[self._at :] + data if self._at < len(self._data) else data
        self._at = 0
        next(self._steps, None)

    def finish(self) -> None:
        rest = self._data[self._at :]
        if self._garbage_at is None and (self._in_frame or (rest and self._may_begin(rest))):
            evidence = {"decoded_bytes": self._given, "frames": self.frames}
            what = f"ends after {format_size(self._taken)}, before the end of its {self._name} stream"
            raise Damage(Problem("backup.truncated", self._layer, what, self._taken, evidence=evidence))
        if self._garbage_at is None and rest:
            self._garbage_at = self._base + self._at
        if self._garbage_at is not None:
            what = f"is whole, but bytes that do not belong to it follow after byte {self._garbage_at}"
            self._report.problems.append(
                Problem("backup.trailing_garbage", self._layer, what, self._garbage_at, fatal=False)
            )
        if not self._is_part:
            self._report.covered = self._report.covered or (self.checked and self.frames > 0)
            if not self.checked:
                self._report.unproven.add(VALUES)
        if self._pipe is not None:
            self._pipe.finish()
        else:
            self._sink.finish()

    # --- the walk: each step yields while it waits for more bytes

    def _walk(self) -> Step:
        while True:
            while len(self._data) - self._at < 4:
                yield
            magic = self._data[self._at : self._at + 4]
            if magic == MAGICS[self._name]:
                yield from self._zstd_frame() if self._name == ZSTD else self._lz4_frame()
                self.frames += 1
            elif _is_skippable(magic):
                yield from self._skippable()
            else:
                self._garbage_at = self._base + self._at
                return

    def _may_begin(self, rest: bytes) -> bool:
        """True when fewer than 4 bytes may be the beginning of another frame."""
        return len(rest) < 4 and MAGICS[self._name].startswith(rest)

    def _skippable(self) -> Step:
        self._in_frame = True
        head = yield from self._take(8)
        left = int.from_bytes(head[4:], "little")
        while left:
            part = min(left, len(self._data) - self._at)
            self._at += part
            left -= part
            if left:
                yield
        self._in_frame = False

    def _zstd_frame(self) -> Step:
        self._begin()
        head = yield from self._take(5)
        flags = head[4]
        single = bool(flags & 0x20)
        rest = yield from self._take((0 if single else 1) + (0, 1, 2, 4)[flags & 3] + _content_size_bytes(flags))
        if flags & 0x08:
            raise self._corrupt("has a frame header with a reserved bit")
        window = 0 if single else _zstd_window(rest[0])
        if window > ZSTD_WINDOW:
            what = f"needs {format_size(window)} of memory to be unfolded, more than {format_size(ZSTD_WINDOW)}"
            raise Damage(Problem("backup.unsupported", self._layer, what, self._offset))
        self._hand(head + rest, 0)
        last = False
        while not last:
            header = yield from self._take(3)
            value = int.from_bytes(header, "little")
            last, kind, size = bool(value & 1), value >> 1 & 3, value >> 3
            if kind == 3 or (kind != 1 and size > _ZSTD_BLOCK):
                raise self._corrupt("has a block of a kind or size that does not exist")
            block = yield from self._take(1 if kind == 1 else size)
            self._hand(header + block, _ZSTD_BLOCK)
        if flags & 0x04:
            self._hand((yield from self._take(4)), 0)
        else:
            self.checked = False
        self._end()

    def _lz4_frame(self) -> Step:
        self._begin()
        head = yield from self._take(6)
        flags, block_size = head[4], _LZ4_BLOCKS.get(head[5] >> 4 & 7, 0)
        if flags >> 6 != 1 or not block_size or flags & 0x02:
            raise self._corrupt("has a frame header that does not exist")
        rest = yield from self._take((8 if flags & 0x08 else 0) + (4 if flags & 0x01 else 0) + 1)
        self._hand(head + rest, 0)
        while True:
            header = yield from self._take(4)
            size = int.from_bytes(header, "little") & 0x7FFFFFFF
            if not size:
                break
            if size > block_size:
                raise self._corrupt("has a block that is larger than its frame allows")
            block = yield from self._take(size + (4 if flags & 0x10 else 0))
            self._hand(header + block, block_size)
        self._hand(header + ((yield from self._take(4)) if flags & 0x04 else b""), 0)
        self.checked = self.checked and bool(flags & 0x14)
        self._end()

    def _take(self, count: int) -> Generator[None, None, bytes]:
        while len(self._data) - self._at < count:
            yield
        taken = self._data[self._at : self._at + count]
        self._at += count
        return taken

    @property
    def _offset(self) -> int:
        return self._base + self._at

    # --- unfolding

    def _begin(self) -> None:
        self._in_frame = True
        decoder = adapter.frame_decoder(self._name)
        if decoder is not None:
            self._decode, self._errors = decoder
        elif self._pipe is None:
            self._pipe = self._open_pipe()

    def _open_pipe(self) -> Piped:
        program = adapter.program(self._name)
        if program is None:
            what = f"cannot be unfolded: neither the program {self._name} nor a Python library for it is here"
            raise Damage(Problem("backup.tool_missing", self._layer, what, evidence={"program": self._name}))
        # A single thread of zstd keeps its memory small; it reads windows up to the same limit as we do.
        argv = [program, "-d", "-c", "-q", *(["--memory=128MiB"] if self._name == ZSTD else [])]
        return Piped(self._name, argv, self._report, self._sink, self._judge)

    def _judge(self, ended: Ended) -> None:
        if ended.status != 0:
            raise self._corrupt(f"has a damaged {self._name} stream ({ended.last_words})")

    def _hand(self, data: bytes, promised: int) -> None:
        """Pass *data* on, at once or when enough has come together."""
        self._pending.append(data)
        self._promised += promised
        if self._promised >= _AT_ONCE:
            self._unfold()

    def _unfold(self) -> None:
        data = b"".join(self._pending)
        self._pending, self._promised = [], 0
        if not data:
            return  # a decoder that has seen the end of its frame takes nothing more, not even nothing
        if self._pipe is not None:
            self._pipe.feed(data)
            return
        if self._decode is None:
            return
        try:
            given = self._decode(data)
        except (self._errors, EOFError, OSError) as error:
            said = str(error).rsplit(": ", 1)[-1][:100]
            raise self._corrupt(f"has a damaged {self._name} stream ({said})") from error
        self._given += len(given)
        self._report.unfolded(self._layer, self._taken, self._given)
        if given:
            self._sink.feed(given)

    def _end(self) -> None:
        self._unfold()
        self._in_frame = False

    def _corrupt(self, how: str) -> Damage:
        evidence = {"decoded_bytes": self._given}
        what = f"{how} before byte {self._offset}"
        return Damage(Problem("backup.corrupt", self._layer, what, self._offset, evidence=evidence))


def _is_skippable(magic: bytes) -> bool:
    return magic[1:] == _SKIPPABLE and magic[0] >> 4 == 5


def _content_size_bytes(flags: int) -> int:
    """Return how long the field for the size of the content is."""
    return (1 if flags & 0x20 else 0, 2, 4, 8)[flags >> 6]


def _zstd_window(descriptor: int) -> int:
    base = 1 << (10 + (descriptor >> 3))
    return base + base // 8 * (descriptor & 7)
