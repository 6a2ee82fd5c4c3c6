# Copyright (c) 2026 Upkeep maintainers
# GNU General Public License v3.0-or-later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Unfold gzip, bzip2 and xz to their very ends, in constant memory, whoever wrote them in how many members."""

from __future__ import annotations

import bz2
import lzma
from typing import Any, Callable, Protocol

from ansible_collections.cadence.upkeep.plugins.module_utils._backup import adapter
from ansible_collections.cadence.upkeep.plugins.module_utils._backup.detect import BZIP2, GZIP, XZ
from ansible_collections.cadence.upkeep.plugins.module_utils._backup.members import Members
from ansible_collections.cadence.upkeep.plugins.module_utils._backup.model import Dump, Limits, Problem
from ansible_collections.cadence.upkeep.plugins.module_utils._core.deadline import Deadline
from ansible_collections.cadence.upkeep.plugins.module_utils._core.units import format_size

# How much is unfolded at a time, and to how much: zlib hands back what it did not take, and copies it each time.
TAKEN_BYTES = 1 << 14
GIVEN_BYTES = 1 << 17

# A file that unfolds to less than this is no bomb, however often it says the same.
RATIO_FLOOR = 1 << 30

# xz takes the memory that its header asks for: `xz -9` 65 MiB, a hostile header more than the host has.
XZ_MEMORY = 100 << 20

_ERRORS: tuple[type[Exception], ...] = (OSError, EOFError, lzma.LZMAError, *adapter.DEFLATE_ERRORS)


class Damage(Exception):
    """The stream cannot be read on from here."""

    def __init__(self, problem: Problem) -> None:
        super().__init__(problem.what)
        self.problem = problem


class Sink(Protocol):
    """Takes a stream piece by piece. Both raise ``Damage``."""

    def feed(self, data: bytes) -> None: ...

    def finish(self) -> None: ...


class Closable(Protocol):
    """Something that must not outlive the pass."""

    def close(self) -> None: ...


class Report:
    """What a pass collects: what was unfolded, what is wrong, and what could not be proven."""

    def __init__(
        self,
        limits: Limits,
        deadline: Deadline,
        ratio_floor: int = RATIO_FLOOR,
        *,
        counting: bool = True,
        structure: bool = True,
    ) -> None:
        self.limits = limits
        self.chain: list[str] = []
        self.problems: list[Problem] = []
        self.unproven: set[str] = set()
        self.dump: Dump | None = None
        self.covered = False  # by the check values of a container around it
        self.decoded = 0
        self.counting = counting  # the rows of tables
        self.structure = structure  # whatever else is for that level
        self.members: Members | None = None
        self.certified: dict[str, Any] | None = None  # how certificates and keys in it belong together
        self.opened: list[Closable] = []  # programs that the stream passes through
        self._deadline = deadline
        self._ratio_floor = ratio_floor

    def unfolded(self, layer: str, taken: int, given: int) -> None:
        """Note that *layer* made *given* bytes of *taken*; raise ``Damage`` past a limit, or the deadline's error."""
        self._deadline.require("Reading it")
        if given > self.limits.max_expanded:
            raise Damage(self._bomb(layer, given, f"limits.max_expanded is {format_size(self.limits.max_expanded)}"))
        if given > self._ratio_floor and given > self.limits.max_ratio * taken:
            raise Damage(self._bomb(layer, given, f"limits.max_ratio is {self.limits.max_ratio:g}"))

    def _bomb(self, layer: str, given: int, limit: str) -> Problem:
        return Problem(
            "backup.bomb", layer, f"unfolds to more than {format_size(given)} and was left there: {limit}", given
        )


class Unfolder(Protocol):
    """The interface of ``bz2`` and ``lzma``, to which ``zlib`` is fitted."""

    @property
    def eof(self) -> bool: ...

    @property
    def needs_input(self) -> bool: ...

    @property
    def unused_data(self) -> bytes: ...

    def decompress(self, data: bytes, max_length: int) -> bytes: ...


class _Gunzip:
    """One member of a gzip stream, with the interface of ``bz2.BZ2Decompressor``."""

    def __init__(self) -> None:
        self._zlib = adapter.new_gunzip()
        self.needs_input = True

    @property
    def eof(self) -> bool:
        return self._zlib.eof

    @property
    def unused_data(self) -> bytes:
        return self._zlib.unused_data

    def decompress(self, data: bytes, max_length: int) -> bytes:
        given = self._zlib.decompress(self._zlib.unconsumed_tail + data, max_length)
        # A full piece may leave more inside even when no input is left.
        self.needs_input = not self._zlib.unconsumed_tail and len(given) < max_length
        return given


class Container:
    """Unfolds a stream of members into *sink*. ``padding`` is the unit of zeros that may follow them; 0 for none."""

    def __init__(
        self, name: str, magic: bytes, new: Callable[[], Unfolder], padding: int, report: Report, sink: Sink
    ) -> None:
        self._name = name
        self._magic = magic
        self._new = new
        self._padding = padding
        self._report = report
        self._sink = sink
        self._member: Unfolder | None = new()
        self._begun = b""  # the first bytes of a member that may be none
        self._taken = 0
        self._given = 0
        self._zeros = 0
        self._covered = True  # xz may have been told to write no check values
        self._ignoring = False

    def feed(self, data: bytes) -> None:
        for start in range(0, len(data), TAKEN_BYTES):
            part = data[start : start + TAKEN_BYTES]
            self._taken += len(part)
            while part and not self._ignoring:
                part = self._unfold(self._member, part) if self._member is not None else self._between(part)

    def _unfold(self, member: Unfolder, data: bytes) -> bytes:
        """Feed the open *member*; return what follows it."""
        while True:
            try:
                given = member.decompress(data, GIVEN_BYTES)
            except _ERRORS as error:
                raise Damage(self._damage(error)) from error
            data = b""
            self._given += len(given)
            self._report.unfolded(self._name, self._taken, self._given)
            if given:
                self._sink.feed(given)
            if member.eof:
                self._covered = self._covered and getattr(member, "check", None) != lzma.CHECK_NONE
                self._member = None
                return member.unused_data
            if member.needs_input:
                return b""

    def _between(self, data: bytes) -> bytes:
        """Skip padding after a member; open another where one begins; return what is to be fed to it."""
        if not self._begun:
            rest = data.lstrip(b"\0") if self._padding else data
            self._zeros += len(data) - len(rest)
            if not rest:
                return b""
            data = rest
        begun = self._begun + data
        if len(begun) < len(self._magic) and self._magic.startswith(begun):
            self._begun = begun
            return b""
        self._begun = b""
        # xz may go on after padding; to gzip, whatever follows its padding is garbage.
        may_go_on = not self._zeros or (self._padding > 1 and self._zeros % self._padding == 0)
        if not (may_go_on and begun.startswith(self._magic)):
            self._garbage(self._taken - len(begun) - self._zeros)
            return b""
        self._zeros = 0
        self._member = self._new()
        return begun

    def _garbage(self, offset: int) -> None:
        self._ignoring = True
        self._report.problems.append(
            Problem(
                "backup.trailing_garbage",
                self._name,
                f"is whole, but bytes that do not belong to it follow after byte {offset}",
                offset,
                fatal=False,
            )
        )

    def finish(self) -> None:
        if self._member is not None:
            raise Damage(
                Problem(
                    "backup.truncated",
                    self._name,
                    f"ends after {format_size(self._taken)}, before the end of its {self._name} stream",
                    self._taken,
                    evidence={"decoded_bytes": self._given},
                )
            )
        if not self._ignoring and (self._begun or (self._zeros and self._zeros % self._padding)):
            self._garbage(self._taken - len(self._begun) - self._zeros)
        self._report.covered = self._report.covered or self._covered
        self._sink.finish()

    def _damage(self, error: Exception) -> Problem:
        if "memory usage limit" in str(error).lower():
            what = f"needs more than {format_size(XZ_MEMORY)} of memory to be unfolded"
            return Problem("backup.unsupported", self._name, what)
        said = str(error).rsplit(": ", 1)[-1]
        what = f"has a damaged {self._name} stream ({said}) before byte {self._taken}"
        return Problem(
            "backup.corrupt", self._name, what, self._taken, evidence={"decoded_bytes": self._given, "decoder": said}
        )


def container(name: str, report: Report, sink: Sink) -> Container:
    """Return the sink that unfolds format *name* into *sink*."""
    if name == GZIP:
        return Container(name, b"\x1f\x8b", _Gunzip, 1, report, sink)
    if name == BZIP2:
        return Container(name, b"BZh", bz2.BZ2Decompressor, 0, report, sink)
    return Container(name, b"\xfd7zXZ\x00", _new_xz, 4, report, sink)


def _new_xz() -> lzma.LZMADecompressor:
    return lzma.LZMADecompressor(format=lzma.FORMAT_XZ, memlimit=XZ_MEMORY)


CONTAINERS = frozenset((GZIP, BZIP2, XZ))
