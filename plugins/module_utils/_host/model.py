# Copyright (c) 2026 Upkeep maintainers
# GNU General Public License v3.0-or-later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What is known of a host, and what is wanted of it."""

from __future__ import annotations

import fnmatch
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Callable, Optional, TypeVar

from ansible_collections.cadence.upkeep.plugins.module_utils._core.errors import InvalidInput
from ansible_collections.cadence.upkeep.plugins.module_utils._core.finding import Severity
from ansible_collections.cadence.upkeep.plugins.module_utils._core.units import (
    parse_duration,
    parse_percent,
    parse_size,
)

Value = TypeVar("Value")

ANSWERED, REFUSED, BROKEN, HUNG, UNTOLD = "answered", "refused", "broken", "hung", "untold"


@dataclass(frozen=True)
class Place:
    """Where we look from. ``container`` is the engine's name, or ``container`` when it cannot be told; '' outside."""

    system: str
    container: str = ""

    @property
    def where(self) -> str:
        if not self.container:
            return "here"
        return "in this container" + (f" ({self.container})" if self.container != "container" else "")


@dataclass(frozen=True)
class Unseen:
    """A part that could not be looked at, and why.

    ``expected`` tells whether it should be visible in this place: then it is unknown how it is. When there is nothing
    to see by nature (units where no systemd runs), the finding only says so.
    """

    part: str
    reason: str
    expected: bool
    remedy: str = ""
    evidence: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Mount:
    """One line of the mount table. ``device`` identifies the file system, ``root`` is the folder of it that shows."""

    id: int
    parent: int
    device: str
    root: str
    point: str
    options: frozenset[str]
    type: str
    source: str
    super_options: frozenset[str]

    @property
    def writable(self) -> bool:
        return "rw" in self.options and "ro" not in self.super_options

    @property
    def turned_read_only(self) -> bool:
        """Mounted for writing, but the file system itself no longer is: the kernel does that after an error."""
        return "rw" in self.options and ("ro" in self.super_options or "emergency_ro" in self.super_options)

    @property
    def shut_down(self) -> bool:
        """Given up by the kernel after an error, which newer kernels say in the mount table."""
        return "shutdown" in self.super_options


@dataclass(frozen=True)
class Space:
    """What ``statvfs`` says, in bytes and inodes. ``available`` is what is left for those who are not root."""

    size: int
    free: int
    available: int
    inodes: int = 0
    inodes_free: int = 0
    inodes_available: int = 0

    @property
    def used(self) -> int:
        return self.size - self.free

    @property
    def used_ratio(self) -> float:
        """As ``df`` counts: blocks that are reserved for root are neither used nor available."""
        return _ratio(self.used, self.available)

    @property
    def inodes_used_ratio(self) -> Optional[float]:
        """None where inodes are made as needed (btrfs, vfat)."""
        return _ratio(self.inodes - self.inodes_free, self.inodes_available) if self.inodes else None


def _ratio(used: int, left: int) -> float:
    whole = max(0, used) + max(0, left)
    return max(0, used) / whole if whole else 1.0


@dataclass(frozen=True)
class FileSystem:
    """One file system after it was asked. ``space`` is there when it answered; ``problem`` says why not.

    ``state`` tells a file system that itself is broken from one that would not let us look (``refused``), and from one
    of which nothing is known because of something else (``untold``).
    """

    mount: Mount
    state: str
    space: Optional[Space] = None
    problem: str = ""


@dataclass(frozen=True)
class LeftOut:
    """A mount that was not judged, and why."""

    point: str
    type: str
    reason: str


@dataclass(frozen=True)
class FileSystems:
    """All of them. ``left_out`` names storage alone; pseudo file systems are not worth a word."""

    judged: tuple[FileSystem, ...]
    left_out: tuple[LeftOut, ...] = ()


@dataclass(frozen=True)
class Memory:
    """In bytes. ``limit`` names what sets ``total``: the machine, or the limit of a control group."""

    total: int
    available: int
    swap_total: int = 0
    swap_free: int = 0
    limit: str = "machine"

    @property
    def used_ratio(self) -> float:
        return 1.0 - min(self.available, self.total) / self.total


@dataclass(frozen=True)
class Pressure:
    """The share of time in which work stood still for want of one resource, over the last 1 and 5 minutes.

    ``kind`` is ``some`` (at least one task waited) or ``full`` (all did).
    """

    resource: str
    kind: str
    minute: float
    five_minutes: float

    @property
    def lasting(self) -> float:
        """What holds now and has held for minutes: neither a spike nor what is over already."""
        return min(self.minute, self.five_minutes)


@dataclass(frozen=True)
class Load:
    """Load averages over 1, 5 and 15 minutes, and the processors that share them."""

    averages: tuple[float, float, float]
    processors: int
    pressures: tuple[Pressure, ...] = ()
    pressure_unseen: str = ""

    @property
    def lasting_per_processor(self) -> float:
        return min(self.averages[0], self.averages[1]) / self.processors


@dataclass(frozen=True)
class Unit:
    """A failed unit of systemd: how it ended (``exit-code``, ``oom-kill`` ...), and since when (RFC 3339)."""

    name: str
    description: str = ""
    result: str = ""
    status: str = ""
    since: str = ""


@dataclass(frozen=True)
class Reboot:
    """``reasons`` are sentences; none means that no reboot is required. ``judged_by`` names what was asked."""

    running: str
    reasons: tuple[str, ...]
    judged_by: tuple[str, ...]
    packages: tuple[str, ...] = ()
    installed: tuple[str, ...] = ()


@dataclass(frozen=True)
class Clock:
    """What the kernel says of its clock. ``error`` is the greatest possible error in seconds."""

    error: float
    estimated_error: float
    flagged_unsynced: bool

    # The kernel lets the greatest error grow while nobody corrects the clock, and stops at this value. The flag alone
    # is not enough: chrony without `rtcsync` leaves it set on a clock that it keeps well.
    LIMIT = 16.0

    @property
    def synchronized(self) -> bool:
        return self.error < self.LIMIT


@dataclass(frozen=True)
class Snapshot:
    """Everything that was looked at. A part that was not asked for, or could not be seen, is None."""

    place: Place
    filesystems: Optional[FileSystems] = None
    memory: Optional[Memory] = None
    load: Optional[Load] = None
    units: Optional[tuple[Unit, ...]] = None
    reboot: Optional[Reboot] = None
    clock: Optional[Clock] = None
    unseen: tuple[Unseen, ...] = ()


@dataclass(frozen=True)
class Limits:
    """From ``warning`` on it is a warning, from ``critical`` on it is critical."""

    warning: float
    critical: float

    def severity(self, value: float) -> Severity:
        if value >= self.critical:
            return Severity.CRITICAL
        return Severity.WARNING if value >= self.warning else Severity.OK


@dataclass(frozen=True)
class Policy:
    """What is wanted. Ratios for disk, inodes, memory and pressure; load for each processor; free space in bytes."""

    disk: Limits
    inodes: Limits
    memory: Limits
    load: Limits
    pressure: Limits
    free_warning: Optional[int] = None
    free_critical: Optional[int] = None
    ignore_mounts: tuple[str, ...] = ()
    ignore_types: tuple[str, ...] = ()
    ignore_units: tuple[str, ...] = ()
    network_filesystems: bool = False
    seconds: float = 5.0

    @classmethod
    def from_params(cls, params: Mapping[str, Any]) -> Policy:
        """Return the policy of validated *params*; raise ``InvalidInput`` naming the option that is wrong."""
        free_warning = _optional(params, "disk_free_warning", parse_size)
        free_critical = _optional(params, "disk_free_critical", parse_size)
        if free_warning is not None and free_critical is not None and free_warning < free_critical:
            raise InvalidInput(
                f"disk_free_warning ({params['disk_free_warning']}) is below disk_free_critical "
                f"({params['disk_free_critical']}).",
                "Less space must be left for critical than for a warning.",
            )
        return cls(
            disk=_limits(params, "disk", parse_percent),
            inodes=_limits(params, "inode", parse_percent),
            memory=_limits(params, "memory", parse_percent),
            load=_limits(params, "load", float),
            pressure=_limits(params, "pressure", parse_percent),
            free_warning=free_warning,
            free_critical=free_critical,
            ignore_mounts=tuple(params["ignore_mounts"]),
            ignore_types=tuple(params["ignore_types"]),
            ignore_units=tuple(params["ignore_units"]),
            network_filesystems=params["network_filesystems"],
            seconds=_timeout(params),
        )

    def free_severity(self, space: Space) -> Severity:
        """Judge what is left in bytes. A file system that is no larger than the limit could never keep it."""
        for limit, severity in ((self.free_critical, Severity.CRITICAL), (self.free_warning, Severity.WARNING)):
            if limit is not None and space.size > limit and space.available < limit:
                return severity
        return Severity.OK


def matches(name: str, patterns: tuple[str, ...]) -> bool:
    """True when *name* is one of *patterns* (shell patterns; ``*`` goes over slashes)."""
    return any(fnmatch.fnmatchcase(name, pattern) for pattern in patterns)


def _limits(params: Mapping[str, Any], what: str, parse: Callable[[Any], float]) -> Limits:
    limits = Limits(_read(params, f"{what}_warning", parse), _read(params, f"{what}_critical", parse))
    if limits.warning > limits.critical:
        raise InvalidInput(
            f"{what}_warning ({params[f'{what}_warning']}) is above {what}_critical ({params[f'{what}_critical']}).",
            "Set both, the warning at or below critical.",
        )
    return limits


def _timeout(params: Mapping[str, Any]) -> float:
    seconds = _read(params, "timeout", parse_duration)
    if seconds <= 0:
        raise InvalidInput(f"timeout ({params['timeout']}) leaves no time.", "Write it like 5s.")
    return seconds


def _optional(params: Mapping[str, Any], name: str, parse: Callable[[Any], Value]) -> Optional[Value]:
    return None if params[name] is None else _read(params, name, parse)


def _read(params: Mapping[str, Any], name: str, parse: Callable[[Any], Value]) -> Value:
    try:
        return parse(params[name])
    except InvalidInput as error:
        raise InvalidInput(f"{name}: {error.message}", error.remedy) from None
