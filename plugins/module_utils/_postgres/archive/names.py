# Copyright (c) 2026 Upkeep maintainers
# GNU General Public License v3.0-or-later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The names of files in a WAL archive and the numbers in them, as PostgreSQL writes them. Pure."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass

SEGMENT, PARTIAL, BACKUP, HISTORY = "segment", "partial", "backup", "history"

# What initdb --wal-segsize takes: powers of two from 1 MiB to 1 GiB.
SIZES = tuple(1 << shift for shift in range(20, 31))
_LOG_BYTES = 1 << 32

# Upper case alone, as pg_archivecleanup demands: `archive_command` gets the names like this and in no other way.
_NAME = re.compile(
    r"(?P<timeline>[0-9A-F]{8})(?:"
    r"(?P<log>[0-9A-F]{8})(?P<segment>[0-9A-F]{8})(?:(?P<partial>\.partial)|\.(?P<offset>[0-9A-F]{8})\.backup)?"
    r"|\.history)\Z"
)
_LSN = re.compile(r"([0-9A-Fa-f]{1,8})/([0-9A-Fa-f]{1,8})\Z")


@dataclass(frozen=True)
class WalName:
    """What a name says. ``log`` and ``segment`` are the middle and last 8 digits (0 for a timeline's history).

    ``suffix`` is the ending that a program for compression or encryption gave it; ``offset`` is where in its segment a
    base backup began.
    """

    kind: str
    timeline: int
    log: int = 0
    segment: int = 0
    suffix: str = ""
    offset: int = 0

    def number(self, size: int) -> int | None:
        """Return which segment of all it is, with segments of *size* bytes; ``None`` when none has such a name."""
        per_log = _LOG_BYTES // size
        return self.log * per_log + self.segment if self.segment < per_log else None


def parse_name(name: str, suffixes: Sequence[str] = ()) -> WalName | None:
    """Return what the file *name* is, without one of *suffixes*; ``None`` for whatever is no file of an archive."""
    suffix = max((each for each in suffixes if each and name.endswith(each)), key=len, default="")
    match = _NAME.match(name[: len(name) - len(suffix)] if suffix else name)
    if match is None:
        return None
    timeline = int(match["timeline"], 16)
    if match["log"] is None:
        return WalName(HISTORY, timeline, suffix=suffix)
    kind = PARTIAL if match["partial"] else BACKUP if match["offset"] else SEGMENT
    log, segment, offset = (int(match[group] or "0", 16) for group in ("log", "segment", "offset"))
    return WalName(kind, timeline, log, segment, suffix, offset)


def segment_name(timeline: int, number: int, size: int) -> str:
    """Return the name of segment *number* on *timeline*, with segments of *size* bytes."""
    log, segment = divmod(number, _LOG_BYTES // size)
    return f"{timeline:08X}{log:08X}{segment:08X}"


def parse_lsn(text: str) -> int | None:
    """Return the position of ``0/3000028`` in bytes; ``None`` when *text* is none."""
    match = _LSN.match(text.strip())
    return (int(match[1], 16) << 32) + int(match[2], 16) if match else None


def lsn_text(position: int) -> str:
    """Return *position* as PostgreSQL writes it: ``0/3000028``."""
    return f"{position >> 32:X}/{position & 0xFFFFFFFF:X}"


def sizes_that_fit(position: int, name: WalName) -> frozenset[int]:
    """Return the segment sizes with which *position* lies in the segment called *name*."""
    return frozenset(size for size in SIZES if name.number(size) == position // size)
