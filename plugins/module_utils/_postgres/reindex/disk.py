# Copyright (c) 2026 Upkeep maintainers
# GNU General Public License v3.0-or-later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Whether there is room to build an index anew beside the old one, as far as that can be known from here."""

from __future__ import annotations

import os
import threading
from collections.abc import Iterable
from dataclasses import dataclass, field

from ansible_collections.cadence.upkeep.plugins.module_utils._core.units import format_size
from ansible_collections.cadence.upkeep.plugins.module_utils._postgres.disk import (
    WAL_DIRECTORY,
    Disk,
    Portion,
    Setup,
    Space,
    shortage,
)
from ansible_collections.cadence.upkeep.plugins.module_utils._postgres.reindex.model import DROP, RunOptions, Skip, Step
from ansible_collections.cadence.upkeep.plugins.module_utils._postgres.reindex.plan import is_trusted

# A rebuild that needs no more than this is done where nobody knows what is free: a server with less is lost anyway.
UNCHECKED_BYTES = 256 * 1024**2
_DEFAULT_TABLESPACE = 1663
_NOTHING = ("", "")


def need_of(step: Step, setup: Setup, directory: str = "") -> tuple[Portion, ...]:
    """Return the bytes that a rebuild needs besides what is there, by directory. *directory* is where it shall go.

    The old index stays until the new one is whole. Of it only what is not bloat is written, if that is known. What
    does not fit into maintenance_work_mem is sorted in temporary files. All of it goes through the WAL.
    """
    if step.action == DROP:
        return ()
    index, estimate = step.index, step.estimate
    size = index.size
    if estimate is not None and is_trusted(estimate):
        size = min(size, max(estimate.expected_bytes, 0))
    where = directory if directory and not index.catalog and not index.toast else os.path.dirname(index.path)
    portions = [Portion("the new index", where, size)]
    if size > setup.work_memory:
        portions += [Portion("sorting", place, size) for place in setup.temporary]
    if setup.logs and index.logged:
        portions.append(Portion("WAL", WAL_DIRECTORY, size if setup.keeps_wal else min(size, setup.max_wal_size)))
    return tuple(portion for portion in portions if portion.bytes)


def directory_of(tablespace: int) -> str:
    """Return where the files of a tablespace are, relative to the data directory."""
    return "base" if tablespace == _DEFAULT_TABLESPACE else f"pg_tblspc/{tablespace}"


@dataclass
class Room:
    """The free space of a server, and what of it our own rebuilds that are under way will use."""

    disk: Disk
    setup: Setup
    options: RunOptions
    directory: str = ""
    _reserved: dict[str, int] = field(default_factory=dict)
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def take(self, step: Step) -> tuple[str, str]:
        """Reserve what *step* needs. Return why there is no room for it: a key of ``SKIP_REASONS`` and the numbers."""
        need = need_of(step, self.setup, self.directory)
        with self._lock:
            space = self._space(need)
            refused = self._judge(need, space, self._reserved)
            if not refused[0]:
                self._add(need, space, 1)
        return refused

    def give_back(self, step: Step) -> None:
        """What *step* needed is used, or was not needed."""
        need = need_of(step, self.setup, self.directory)
        with self._lock:
            self._add(need, self._space(need), -1)

    def within(self, steps: Iterable[Step]) -> tuple[list[Step], list[Skip]]:
        """Return the steps that there is room for, one after the other as each frees some, and the others."""
        fits: list[Step] = []
        short: list[Skip] = []
        freed: dict[str, int] = {}
        for step in steps:
            need = need_of(step, self.setup, self.directory)
            space = self._space((*need, Portion("", os.path.dirname(step.index.path), 0)))
            why, numbers = self._judge(need, space, freed)
            if why:
                short.append(Skip(step.index, why, step.reasons, step.estimate, numbers))
                continue
            fits.append(step)
            place = space.places.get(os.path.dirname(step.index.path))
            if place is not None and self.disk.vouched is None:
                freed[place] = freed.get(place, 0) - _freed_by(step)
        return fits, short

    def _space(self, need: Iterable[Portion]) -> Space:
        return self.disk.space(portion.directory for portion in need)

    def _judge(self, need: tuple[Portion, ...], space: Space, reserved: dict[str, int]) -> tuple[str, str]:
        if not need or self.options.without_disk_check:
            return _NOTHING
        if not space.known:
            wanted = round(sum(portion.bytes for portion in need) * self.options.disk_headroom)
            if wanted <= UNCHECKED_BYTES:
                return _NOTHING
            return "disk_unknown", f"it needs {format_size(wanted)}, and {space.why}"
        missing = shortage(need, space, self.options.disk_headroom, reserved)
        return ("disk_space", missing) if missing else _NOTHING

    def _add(self, need: Iterable[Portion], space: Space, sign: int) -> None:
        for portion in need:
            place = space.places.get(portion.directory)
            if place is not None:
                self._reserved[place] = self._reserved.get(place, 0) + sign * portion.bytes


def _freed_by(step: Step) -> int:
    if step.action == DROP:
        return step.index.size
    return step.estimate.bloat_bytes if step.estimate is not None and is_trusted(step.estimate) else 0
