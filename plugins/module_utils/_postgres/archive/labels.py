# Copyright (c) 2026 Upkeep maintainers
# GNU General Public License v3.0-or-later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What the small texts of PostgreSQL say: of a base backup where it began and ended, of a timeline where it forked.

Pure: each function takes a text. What does not have the form that PostgreSQL writes is ``None``, never a guess.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

from ansible_collections.cadence.upkeep.plugins.module_utils._postgres.archive.names import (
    SEGMENT,
    WalName,
    parse_lsn,
    parse_name,
)

_LOCATION = r" WAL LOCATION: (?P<lsn>[0-9A-F]+/[0-9A-F]+) \(file (?P<file>[0-9A-F]{24})\)\s*\Z"
_START, _STOP = re.compile("START" + _LOCATION), re.compile("STOP" + _LOCATION)
_TIME = "START TIME: "
_BRANCH = re.compile(r"\s*(\d+)\s+([0-9A-Fa-f]+/[0-9A-Fa-f]+)(?:\s|\Z)")
_RANGES = re.compile(r'"WAL-Ranges": \[(?P<ranges>.*?)\]\s*,\s*"Manifest-Checksum"', re.DOTALL)
_RANGE = re.compile(
    r'\{\s*"Timeline":\s*(\d+)\s*,\s*"Start-LSN":\s*"([0-9A-F]+/[0-9A-F]+)"\s*,'
    r'\s*"End-LSN":\s*"([0-9A-F]+/[0-9A-F]+)"\s*\}'
)
_SYSTEM = re.compile(r'\A\{\s*"PostgreSQL-Backup-Manifest-Version":\s*\d+\s*,\s*"System-Identifier":\s*(\d+)')


@dataclass(frozen=True)
class Label:
    """A ``backup_label`` or backup history file. ``start``, ``stop`` are bytes of WAL, ``started`` is as written."""

    start: int
    file: WalName
    started: str
    stop: int | None = None


@dataclass(frozen=True)
class Manifest:
    """The end of a ``backup_manifest``: the WAL that the backup needs to be consistent, in bytes."""

    timeline: int
    start: int
    stop: int


def parse_label(text: str) -> Label | None:
    """Return what a ``backup_label`` or a backup history file says.

    The label that the user gave the backup stands in it too and may hold anything, a line break as well; what is read
    here stands above it, so the first line of each kind counts.
    """
    lines = text.splitlines()
    start = _START.match(lines[0]) if lines else None
    if start is None:
        return None
    position, file = parse_lsn(start["lsn"]), parse_name(start["file"])
    if position is None or file is None or file.kind != SEGMENT:
        return None
    stop = _STOP.match(lines[1]) if len(lines) > 1 else None
    started = next((line[len(_TIME) :].strip() for line in lines if line.startswith(_TIME)), "")
    return Label(position, file, started, parse_lsn(stop["lsn"]) if stop else None)


def parse_manifest_end(text: str) -> Manifest | None:
    """Return the WAL that a manifest names, from its last part; ``None`` when it is not whole."""
    found = list(_RANGES.finditer(text))
    if not found:
        return None
    ranges = []
    for timeline, start, stop in _RANGE.findall(found[-1]["ranges"]):
        first, last = parse_lsn(start), parse_lsn(stop)
        if first is not None and last is not None:
            ranges.append((first, int(timeline), last))
    if not ranges:
        return None
    start_at, on, _stop = min(ranges)
    return Manifest(on, start_at, max(stop for _start, _timeline, stop in ranges))


def parse_manifest_system(text: str) -> int | None:
    """Return the system identifier in the first part of a manifest: PostgreSQL 17 and later write one."""
    match = _SYSTEM.match(text)
    return int(match[1]) if match else None


def parse_branches(text: str) -> tuple[tuple[int, int], ...] | None:
    """Return ``(timeline, end)`` of each ancestor in the history of a timeline, oldest first, ``end`` in bytes.

    ``None`` when a line is none that PostgreSQL reads, or the timelines do not grow: the history is damaged.
    """
    branches: list[tuple[int, int]] = []
    for line in text.splitlines():
        if not line.strip() or line.lstrip().startswith("#"):
            continue
        match = _BRANCH.match(line)
        position = parse_lsn(match[2]) if match else None
        if match is None or position is None or (branches and int(match[1]) <= branches[-1][0]):
            return None
        branches.append((int(match[1]), position))
    return tuple(branches)
