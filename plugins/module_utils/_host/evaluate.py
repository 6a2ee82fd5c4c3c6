# Copyright (c) 2026 Upkeep maintainers
# GNU General Public License v3.0-or-later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Judge what was seen of a host. Pure."""

from __future__ import annotations

import shlex

from ansible_collections.cadence.upkeep.plugins.module_utils._core.finding import Finding, Severity
from ansible_collections.cadence.upkeep.plugins.module_utils._core.units import format_size
from ansible_collections.cadence.upkeep.plugins.module_utils._host.codes import CODES
from ansible_collections.cadence.upkeep.plugins.module_utils._host.model import (
    BROKEN,
    HUNG,
    REFUSED,
    UNTOLD,
    Clock,
    FileSystem,
    Limits,
    Load,
    Memory,
    Place,
    Policy,
    Pressure,
    Reboot,
    Snapshot,
    Space,
    Unit,
    Unseen,
    matches,
)

# What a part is called in a sentence.
CALLED = {
    "filesystems": "the file systems",
    "units": "failed units",
    "reboot": "whether a reboot is required",
    "clock": "how the clock is kept",
}
WAITS_FOR = {"cpu": "a processor", "memory": "memory", "io": "disks"}


def evaluate(snapshot: Snapshot, policy: Policy) -> list[Finding]:
    """Return the problems, and the parts that could not be seen. What is well makes no finding."""
    findings = [_unseen(unseen) for unseen in snapshot.unseen]
    if snapshot.filesystems is not None:
        for filesystem in snapshot.filesystems.judged:
            findings += judge_filesystem(filesystem, policy)
    if snapshot.memory is not None:
        findings += judge_memory(snapshot.memory, policy.memory)
    if snapshot.load is not None:
        findings += judge_load(snapshot.load, snapshot.place, policy)
    for unit in snapshot.units or ():
        findings += judge_unit(unit, policy)
    if snapshot.reboot is not None:
        findings += judge_reboot(snapshot.reboot)
    if snapshot.clock is not None:
        findings += judge_clock(snapshot.clock, snapshot.place)
    return findings


def examined(snapshot: Snapshot) -> list[str]:
    """Return the objects that were really looked at, the healthy ones too.

    That a part does not exist in this place was found out by looking: it counts, under the severity of its finding.
    """
    subjects = [unseen.part for unseen in snapshot.unseen if not unseen.expected]
    if snapshot.filesystems is not None:
        # Those that did not let us look are told by their finding alone: they must not count as well.
        subjects += [each.mount.point for each in snapshot.filesystems.judged if each.state != REFUSED]
    if snapshot.memory is not None:
        subjects.append("memory")
    if snapshot.load is not None:
        subjects.append("load")
        subjects += [f"pressure of {pressure.resource}" for pressure in snapshot.load.pressures]
    if snapshot.units is not None:
        subjects.append("units")
        subjects += [unit.name for unit in snapshot.units]
    if snapshot.reboot is not None:
        subjects.append("reboot")
    if snapshot.clock is not None:
        subjects.append("clock")
    return subjects


def _finding(
    code: str, subject: str, severity: Severity, message: str, evidence: dict[str, object], **names: str
) -> Finding:
    """Build a finding whose remedy is that of its code, with the *names* put in."""
    remedy = CODES[code].remedy
    for word, name in names.items():
        remedy = remedy.replace(word, name)
    return Finding(code, subject, severity, message, evidence, remedy)


def _unseen(unseen: Unseen) -> Finding:
    code, severity = ("host.unreadable", Severity.UNKNOWN) if unseen.expected else ("host.not_visible", Severity.INFO)
    what = CALLED.get(unseen.part, unseen.part)
    message = f"Not seen: {what}; {unseen.reason}."
    return Finding(code, unseen.part, severity, message, unseen.evidence, unseen.remedy or CODES[code].remedy)


def _percent(ratio: float) -> str:
    return f"{ratio * 100:.1f} %"


def _levels(limits: Limits) -> str:
    return f"warning at {limits.warning * 100:g} %, critical at {limits.critical * 100:g} %"


# --- file systems -------------------------------------------------------------------------------------------------


def judge_filesystem(filesystem: FileSystem, policy: Policy) -> list[Finding]:
    """Return what is wrong with one file system; one that says nothing is one finding."""
    mount = filesystem.mount
    where = shlex.quote(mount.point)
    if filesystem.state == REFUSED:
        return [_unseen(Unseen(mount.point, filesystem.problem, False, "Let the task become root to see it."))]
    if filesystem.state == UNTOLD:
        return [_unseen(Unseen(mount.point, filesystem.problem.rstrip("."), True, "Run `df` on it by hand."))]
    kind: dict[str, object] = {"type": mount.type, "source": mount.source}
    if filesystem.state == HUNG:
        message = f"{mount.point} ({mount.type} of {mount.source}) hangs: {filesystem.problem}."
        return [_finding("host.mount_hung", mount.point, Severity.UNKNOWN, message, kind, MOUNT=where)]
    if filesystem.state == BROKEN or filesystem.space is None:
        message = f"{mount.point} ({mount.type} of {mount.source}) does not work: {filesystem.problem}."
        return [_finding("host.mount_broken", mount.point, Severity.CRITICAL, message, kind, MOUNT=where)]
    findings = []
    if mount.turned_read_only:
        message = f"{mount.point} ({mount.type} of {mount.source}) was mounted for writing and is read-only now."
        findings.append(_finding("host.mount_read_only", mount.point, Severity.CRITICAL, message, kind, MOUNT=where))
    return findings + _judge_space(mount.point, filesystem.space, policy)


def _judge_space(point: str, space: Space, policy: Policy) -> list[Finding]:
    findings = []
    where = shlex.quote(point)
    by_share, by_size = policy.disk.severity(space.used_ratio), policy.free_severity(space)
    severity = max(by_share, by_size)
    if severity > Severity.OK:
        limits = _levels(policy.disk) if by_share >= by_size else f"{format_size(_free_limit(by_size, policy))} wanted"
        findings.append(
            _finding(
                "host.disk_space",
                point,
                severity,
                f"{point} is {_percent(space.used_ratio)} full, {format_size(space.available)} are left ({limits}).",
                {"used_bytes": space.used, "available_bytes": space.available, "size_bytes": space.size},
                MOUNT=where,
            )
        )
    ratio = space.inodes_used_ratio
    if ratio is not None and policy.inodes.severity(ratio) > Severity.OK:
        findings.append(
            _finding(
                "host.disk_inodes",
                point,
                policy.inodes.severity(ratio),
                f"{point} has used {_percent(ratio)} of its inodes, {space.inodes_available} are left "
                f"({_levels(policy.inodes)}).",
                {"inodes": space.inodes, "inodes_available": space.inodes_available},
                MOUNT=where,
            )
        )
    return findings


def _free_limit(severity: Severity, policy: Policy) -> int:
    limit = policy.free_critical if severity is Severity.CRITICAL else policy.free_warning
    return limit or 0


# --- memory and load ----------------------------------------------------------------------------------------------


def judge_memory(memory: Memory, limits: Limits) -> list[Finding]:
    severity = limits.severity(memory.used_ratio)
    if severity is Severity.OK:
        return []
    of_what = "of the machine" if memory.limit == "machine" else f"under the limit of its {memory.limit}"
    message = (
        f"{_percent(memory.used_ratio)} of the memory {of_what} is in use, {format_size(memory.available)} of "
        f"{format_size(memory.total)} are available ({_levels(limits)})."
    )
    evidence: dict[str, object] = {
        "total_bytes": memory.total,
        "available_bytes": memory.available,
        "swap_used_bytes": memory.swap_total - memory.swap_free,
        "limit": memory.limit,
    }
    return [_finding("host.memory", "memory", severity, message, evidence)]


def judge_load(load: Load, place: Place, policy: Policy) -> list[Finding]:
    findings = [finding for pressure in load.pressures for finding in judge_pressure(pressure, policy.pressure)]
    if load.pressure_unseen:
        findings.append(_unseen(Unseen("pressure", load.pressure_unseen, expected=False)))
    severity = policy.load.severity(load.lasting_per_processor)
    if severity is Severity.OK:
        return findings
    whose = " of the machine below" if place.container else ""
    message = (
        f"The load{whose} is {load.averages[0]:.2f} now and {load.averages[1]:.2f} over 5 minutes, at least "
        f"{load.lasting_per_processor:.2f} for each of {load.processors} processors "
        f"(warning at {policy.load.warning:g}, critical at {policy.load.critical:g})."
    )
    evidence: dict[str, object] = {"averages": list(load.averages), "processors": load.processors}
    return [*findings, _finding("host.load", "load", severity, message, evidence)]


def judge_pressure(pressure: Pressure, limits: Limits) -> list[Finding]:
    severity = limits.severity(pressure.lasting)
    if severity is Severity.OK:
        return []
    if pressure.resource == "cpu":
        # Who waits for a processor is slow; who waits for memory or disks stands still.
        severity = Severity.WARNING
    who = "some task" if pressure.kind == "some" else "every task"
    message = (
        f"For {_percent(pressure.minute)} of the last minute and {_percent(pressure.five_minutes)} of the last five, "
        f"{who} waited for {WAITS_FOR[pressure.resource]} ({_levels(limits)})."
    )
    evidence: dict[str, object] = {
        "kind": pressure.kind,
        "avg60_ratio": round(pressure.minute, 4),
        "avg300_ratio": round(pressure.five_minutes, 4),
    }
    return [_finding("host.pressure", f"pressure of {pressure.resource}", severity, message, evidence)]


# --- units, reboot, clock -----------------------------------------------------------------------------------------


def judge_unit(unit: Unit, policy: Policy) -> list[Finding]:
    if matches(unit.name, policy.ignore_units):
        return []
    how = f": {unit.result}" if unit.result and unit.result != "success" else ""
    how += f", status {unit.status}" if how and unit.status not in ("", "0") else ""
    since = f" since {unit.since}" if unit.since else ""
    message = f"{unit.name} ({unit.description or 'no description'}) has failed{since}{how}."
    evidence: dict[str, object] = {"result": unit.result, "exit_status": unit.status, "since": unit.since}
    return [
        _finding("host.unit_failed", unit.name, Severity.WARNING, message, evidence, UNIT=shlex.quote(unit.name)),
    ]


def judge_reboot(reboot: Reboot) -> list[Finding]:
    if not reboot.reasons:
        return []
    message = f"A reboot is required: {'; '.join(reboot.reasons)}."
    evidence: dict[str, object] = {
        "running_kernel": reboot.running,
        "packages": list(reboot.packages)[:20],
        "judged_by": list(reboot.judged_by),
    }
    return [_finding("host.reboot_required", "reboot", Severity.WARNING, message, evidence)]


def judge_clock(clock: Clock, place: Place) -> list[Finding]:
    if clock.synchronized:
        return []
    message = f"Nothing keeps the clock right: the kernel says it may be off by {clock.error:g} s or more."
    evidence: dict[str, object] = {"error_seconds": clock.error, "flagged_unsynced": clock.flagged_unsynced}
    if place.container:
        # It is the clock of the machine below, which may well set it in a way of its own.
        message = f"{message} The clock is that of the machine below, {place.where} it cannot be set."
        return [_finding("host.clock_unsynced", "clock", Severity.INFO, message, evidence)]
    return [_finding("host.clock_unsynced", "clock", Severity.WARNING, message, evidence)]
