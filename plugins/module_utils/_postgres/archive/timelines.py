# Copyright (c) 2026 Upkeep maintainers
# GNU General Public License v3.0-or-later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What a restore to the newest state would read, and what of it is missing. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from ansible_collections.cadence.upkeep.plugins.module_utils._postgres.archive.model import (
    Archive,
    BaseBackup,
    Chain,
    Entry,
    Gap,
)
from ansible_collections.cadence.upkeep.plugins.module_utils._postgres.archive.names import SEGMENT


@dataclass(frozen=True)
class Stretch:
    """The segments that are read from one timeline: ``first`` to ``last``; ``None`` is up to the newest there is."""

    timeline: int
    first: int
    last: int | None


def is_damaged(entry: Entry, archive: Archive) -> bool:
    """Whether a segment cannot be whole: empty, or not packed and of another size than a segment."""
    if entry.kind != SEGMENT:
        return False
    return entry.size == 0 or (not entry.suffix and not archive.opaque and entry.size != archive.segment_size)


def target_timeline(archive: Archive, current: int | None) -> int:
    """Return the timeline that a restore would go to: the server's, or the newest that the archive knows."""
    known = {entry.timeline for entry in archive.segments} | set(archive.histories)
    if current is not None and (current in known or not known):
        return current
    return max(known, default=current or 1)


def stretches(archive: Archive, timeline: int) -> tuple[Stretch, ...] | None:
    """Return which segments are read from which timeline on the way to *timeline*; ``None`` without its history.

    The first segment of a timeline begins with a copy of what its ancestor wrote there, so the ancestor's own is not
    read. A timeline that has no segment in the archive yet adds nothing.
    """
    if timeline == 1:
        return (Stretch(1, 0, None),)
    history = archive.histories.get(timeline)
    if history is None or history.branches is None:
        return None
    size = archive.segment_size
    begin = 0
    found: list[Stretch] = []
    for ancestor, end in history.branches:
        next_begin = end // size
        found.append(Stretch(ancestor, begin, next_begin - 1))
        begin = next_begin
    if any(entry.timeline == timeline for entry in archive.segments):
        return (*found, Stretch(timeline, begin, None))
    last = found[-1]
    return (*found[:-1], Stretch(last.timeline, last.first, None))


def reaches(backup: BaseBackup, way: Sequence[Stretch]) -> bool:
    """Whether *way* leads on from where *backup* began."""
    return any(
        backup.timeline == stretch.timeline and (stretch.last is None or backup.first <= stretch.last + 1)
        for stretch in way
    )


def follow(archive: Archive, starts: Sequence[BaseBackup], since: int | None, current: int | None) -> Chain:
    """Return the way from the oldest of *starts* (or segment *since*) to the newest segment, and its gaps."""
    timeline = target_timeline(archive, current)
    way = stretches(archive, timeline)
    off: tuple[BaseBackup, ...] = ()
    broken = None
    if way is None:
        # Without the history nobody knows where to change over: any file of that number is taken for the right one.
        broken = timeline
        reachable = list(starts)
    else:
        off = tuple(backup for backup in starts if not reaches(backup, way))
        reachable = [backup for backup in starts if backup not in off]
    begins = [backup.needed_from for backup in reachable] + ([] if since is None else [since])
    if not begins:
        return Chain(timeline, 0, None, broken_history=broken, off=off)
    begin = min(begins)
    there = {(entry.timeline, entry.number) for entry in archive.segments}
    if way is None:
        numbers = sorted({number for _timeline, number in there if number >= begin})
        gaps = list(_holes(numbers, timeline, begin, None))
        return Chain(timeline, begin, max(numbers, default=None), tuple(gaps), broken, off)
    gaps, until = [], None
    for stretch in way:
        if stretch.last is not None and stretch.last < begin:
            continue
        first = max(begin, stretch.first)
        numbers = sorted(
            number
            for on, number in there
            if on == stretch.timeline and number >= first and (stretch.last is None or number <= stretch.last)
        )
        gaps += _holes(numbers, stretch.timeline, first, stretch.last)
        until = numbers[-1] if numbers else until
    return Chain(timeline, begin, until, tuple(gaps), broken, off)


def _holes(numbers: Sequence[int], timeline: int, first: int, last: int | None) -> Iterable[Gap]:
    """Yield what *numbers* (sorted) lack from *first* to *last*, or to the newest of them."""
    expected = first
    for number in numbers:
        if number > expected:
            yield Gap(timeline, expected, number - 1)
        expected = number + 1
    if last is not None and expected <= last:
        yield Gap(timeline, expected, last)
