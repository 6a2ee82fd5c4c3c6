# Copyright (c) 2026 Upkeep maintainers
# GNU General Public License v3.0-or-later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""How much disk space is free where a table's files are, when this host is the server's.

A directory of the server's path may well exist on a host that is not the server's: the control node, a standby, the
host around a container. So it must be proven that the files here are those of the server that answers.
"""

from __future__ import annotations

import os
import struct
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field

from ansible_collections.cadence.upkeep.plugins.module_utils._core.units import format_size

# The one file system of a user who says how much is free.
VOUCHED = "free_bytes"
WAL_DIRECTORY = "pg_wal"


@dataclass(frozen=True)
class Setup:
    """What of the server's settings decides what a rewrite, or a rebuild, needs of the disk. Sizes are bytes.

    ``directory`` is its data directory, empty when the role may not know it; ``identifier`` its system identifier.
    ``mark`` is what its postmaster.pid holds, empty when the role may not read that; ``pid`` is the process of our
    session.
    ``keeps_wal`` says that something may keep WAL for longer than a checkpoint.
    """

    directory: str = ""
    identifier: int = 0
    mark: str = ""
    pid: int = 0
    wal_level: str = "replica"
    keeps_wal: bool = True
    max_wal_size: int = 0
    work_memory: int = 0
    temporary: tuple[str, ...] = ()
    repack_slots: int = 0
    repack_extension: str = ""

    @property
    def logs(self) -> bool:
        return self.wal_level != "minimal"


@dataclass(frozen=True)
class Portion:
    """Bytes that a rewrite, or a rebuild, needs for one thing in one directory (relative to the data directory)."""

    what: str
    directory: str
    bytes: int


@dataclass(frozen=True)
class Space:
    """How much is free: by directory the file system it is on, by file system the bytes; or ``why`` that is unknown."""

    places: Mapping[str, str] = field(default_factory=dict)
    free: Mapping[str, int] = field(default_factory=dict)
    why: str = ""

    @property
    def known(self) -> bool:
        return not self.why


@dataclass(frozen=True)
class Disk:
    """Where to look for free space: the data directory as seen from here, or what the user vouches for, or why not."""

    directory: str = ""
    vouched: int | None = None
    why: str = ""

    def space(self, directories: Iterable[str]) -> Space:
        """Return what is free now for *directories* (relative to the data directory)."""
        wanted = list(dict.fromkeys(directories))
        if self.directory:
            return _measured(self.directory, wanted)
        if self.vouched is not None:
            return Space(dict.fromkeys(wanted, VOUCHED), {VOUCHED: self.vouched})
        return Space(why=self.why)


def find(setup: Setup, vouched: int | None) -> Disk:
    """Return where free space can be seen. What is measured here counts before what the user says."""
    why = not_here(setup)
    return Disk(vouched=vouched, why=why) if why else Disk(setup.directory)


def not_here(setup: Setup) -> str:
    """Return why the data directory of this host cannot be taken for the server's; empty when it is proven to be."""
    if not setup.directory:
        return "the role may not know the server's data directory (grant it pg_read_all_settings)"
    try:
        identifier = _identifier(setup.directory)
        mark = _mark(setup.directory)
    except FileNotFoundError:
        return f"the server's data directory {setup.directory} is not on this host"
    except OSError as error:
        return f"the server's data directory {setup.directory} cannot be read here: {error.strerror}"
    if identifier != setup.identifier:
        return f"{setup.directory} on this host belongs to another cluster"
    # A copy of the cluster, such as a standby, has the same identifier; but not this process of this start.
    if setup.mark:
        is_ours = mark.split() == setup.mark.split()
    else:
        first = mark.partition("\n")[0].strip()
        is_ours = first.isdigit() and _parent(setup.pid) == int(first)
    if is_ours:
        return ""
    return f"it cannot be proven that {setup.directory} on this host is the server's, and not that of a copy of it"


def shortage(need: Sequence[Portion], space: Space, headroom: float, reserved: Mapping[str, int] | None = None) -> str:
    """Return what is missing where, in a sentence; empty when *need* times *headroom* fits into what is free."""
    sums: dict[str, int] = {}
    for portion in need:
        place = space.places.get(portion.directory, portion.directory)
        sums[place] = sums.get(place, 0) + portion.bytes
    for place, size in sums.items():
        free = space.free.get(place, 0) - (reserved or {}).get(place, 0)
        wanted = int(size * headroom)
        if wanted > free:
            directories = dict.fromkeys(one.directory for one in need if space.places.get(one.directory) == place)
            return (
                f"it needs {format_size(wanted)} ({headroom:g} x {format_size(size)}), and {format_size(max(0, free))} "
                f"are free for {', '.join(directories)}"
            )
    return ""


def _identifier(directory: str) -> int:
    """The first eight bytes of pg_control, as the server's own machine writes them."""
    with open(os.path.join(directory, "global", "pg_control"), "rb") as stream:
        (number,) = struct.unpack("=Q", stream.read(8).ljust(8, b"\0"))
    return int(number)


def _mark(directory: str) -> str:
    """What the server wrote of itself: its process, its start, its shared memory."""
    with open(os.path.join(directory, "postmaster.pid"), encoding="utf-8", errors="replace") as stream:
        return stream.read(4096)


def _parent(pid: int) -> int:
    """Return the parent of process *pid* of this host, 0 when that cannot be seen."""
    try:
        with open(f"/proc/{pid}/stat", encoding="utf-8", errors="replace") as stream:
            # The name of the program, in brackets, may hold anything.
            fields = stream.read().rpartition(")")[2].split()
        return int(fields[1])
    except (OSError, IndexError, ValueError):
        return 0


def _measured(data: str, wanted: Iterable[str]) -> Space:
    places: dict[str, str] = {}
    free: dict[str, int] = {}
    for directory in wanted:
        path = os.path.join(data, directory)
        try:
            device = str(os.stat(path).st_dev)
            numbers = os.statvfs(path)
        except FileNotFoundError:
            # A directory for temporary files is made when it is first needed.
            parent = os.path.dirname(directory)
            if not parent:
                return Space(why=f"{path} is not on this host")
            found = _measured(data, [parent])
            if not found.known:
                return found
            places[directory] = found.places[parent]
            free.update(found.free)
            continue
        except OSError as error:
            return Space(why=f"{path} cannot be looked at: {error.strerror}")
        places[directory] = device
        # What is reserved for root is not the server's to use.
        free[device] = numbers.f_bavail * numbers.f_frsize
    return Space(places, free)
