# Copyright (c) 2026 Upkeep maintainers
# GNU General Public License v3.0-or-later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The public entry of the domain: look at a host and judge it."""

from __future__ import annotations

import time
from collections.abc import Mapping
from datetime import datetime
from typing import Any

from ansible_collections.cadence.upkeep.plugins.module_utils._core.argspec import Check
from ansible_collections.cadence.upkeep.plugins.module_utils._core.finding import Metric
from ansible_collections.cadence.upkeep.plugins.module_utils._core.outcome import Outcome
from ansible_collections.cadence.upkeep.plugins.module_utils._host.argspec import ARGUMENT_SPEC
from ansible_collections.cadence.upkeep.plugins.module_utils._host.collect import collect
from ansible_collections.cadence.upkeep.plugins.module_utils._host.evaluate import evaluate, examined
from ansible_collections.cadence.upkeep.plugins.module_utils._host.model import (
    FileSystem,
    FileSystems,
    Load,
    Memory,
    Policy,
    Snapshot,
    matches,
)
from ansible_collections.cadence.upkeep.plugins.module_utils._host.system import System


def check(params: Mapping[str, Any], now: datetime, system: System | None = None) -> Outcome:
    """Look at the parts of the host that *params* (validated ``ARGUMENT_SPEC``) ask for, and judge them.

    Raises ``InvalidInput`` for an option that cannot be understood; what cannot be seen is a finding.
    """
    started = time.monotonic()
    policy = Policy.from_params(params)
    snapshot = collect(system or System(), params["subset"], policy)
    return Outcome(
        domain="host",
        examined=examined(snapshot),
        findings=evaluate(snapshot, policy),
        observed_at=now,
        metrics=metrics(snapshot),
        seconds=time.monotonic() - started,
        extra={"place": {"system": snapshot.place.system, "container": snapshot.place.container}}
        | records(snapshot, policy),
    )


def records(snapshot: Snapshot, policy: Policy) -> dict[str, Any]:
    """Return what was measured, healthy or not, as plain types; parts that were not seen are not there."""
    told: dict[str, Any] = {}
    if snapshot.filesystems is not None:
        told.update(_filesystems(snapshot.filesystems))
    if snapshot.memory is not None:
        told["memory"] = _memory(snapshot.memory)
    if snapshot.load is not None:
        told["load"] = _load(snapshot.load)
    if snapshot.units is not None:
        told["units"] = [
            {
                "name": unit.name,
                "description": unit.description,
                "result": unit.result,
                "since": unit.since,
                "ignored": matches(unit.name, policy.ignore_units),
            }
            for unit in snapshot.units
        ]
    if snapshot.reboot is not None:
        told["reboot"] = {
            "required": bool(snapshot.reboot.reasons),
            "reasons": list(snapshot.reboot.reasons),
            "packages": list(snapshot.reboot.packages),
            "running_kernel": snapshot.reboot.running,
            "installed_kernels": list(snapshot.reboot.installed),
            "judged_by": list(snapshot.reboot.judged_by),
        }
    if snapshot.clock is not None:
        told["clock"] = {
            "synchronized": snapshot.clock.synchronized,
            "error_seconds": snapshot.clock.error,
            "estimated_error_seconds": snapshot.clock.estimated_error,
            "flagged_unsynced": snapshot.clock.flagged_unsynced,
        }
    return told


def _filesystems(filesystems: FileSystems) -> dict[str, Any]:
    return {
        "filesystems": [_filesystem(filesystem) for filesystem in filesystems.judged],
        "filesystems_left_out": [
            {"mount": each.point, "type": each.type, "reason": each.reason} for each in filesystems.left_out
        ],
    }


def _filesystem(filesystem: FileSystem) -> dict[str, Any]:
    mount, space = filesystem.mount, filesystem.space
    record: dict[str, Any] = {
        "mount": mount.point,
        "type": mount.type,
        "source": mount.source,
        "state": filesystem.state,
        "read_only": not mount.writable,
    }
    if space is not None:
        ratio = space.inodes_used_ratio
        record.update(
            size_bytes=space.size,
            used_bytes=space.used,
            available_bytes=space.available,
            used_ratio=round(space.used_ratio, 4),
            inodes=space.inodes,
            inodes_available=space.inodes_available,
            inodes_used_ratio=None if ratio is None else round(ratio, 4),
        )
    return record


def _memory(memory: Memory) -> dict[str, Any]:
    return {
        "total_bytes": memory.total,
        "available_bytes": memory.available,
        "used_ratio": round(memory.used_ratio, 4),
        "swap_total_bytes": memory.swap_total,
        "swap_free_bytes": memory.swap_free,
        "limit": memory.limit,
    }


def _load(load: Load) -> dict[str, Any]:
    return {
        "averages": list(load.averages),
        "processors": load.processors,
        "lasting_per_processor": round(load.lasting_per_processor, 3),
        "pressure": {
            each.resource: {
                "kind": each.kind,
                "avg60_ratio": round(each.minute, 4),
                "avg300_ratio": round(each.five_minutes, 4),
            }
            for each in load.pressures
        },
    }


def metrics(snapshot: Snapshot) -> list[Metric]:
    """Return the numbers that are worth a trend."""
    told: list[Metric] = []
    for filesystem in snapshot.filesystems.judged if snapshot.filesystems else ():
        labels = {"mount": filesystem.mount.point}
        if filesystem.space is not None:
            space = filesystem.space
            told.append(Metric("host_filesystem_used_ratio", round(space.used_ratio, 4), "ratio", labels))
            told.append(Metric("host_filesystem_available_bytes", space.available, "bytes", labels))
            if space.inodes_used_ratio is not None:
                told.append(
                    Metric("host_filesystem_inodes_used_ratio", round(space.inodes_used_ratio, 4), "ratio", labels)
                )
    if snapshot.memory is not None:
        told.append(Metric("host_memory_used_ratio", round(snapshot.memory.used_ratio, 4), "ratio"))
        told.append(Metric("host_swap_used_bytes", snapshot.memory.swap_total - snapshot.memory.swap_free, "bytes"))
    if snapshot.load is not None:
        per_processor = snapshot.load.averages[1] / snapshot.load.processors
        told.append(Metric("host_load5_per_processor", round(per_processor, 3), "count"))
        told += [
            Metric("host_pressure_ratio", round(pressure.five_minutes, 4), "ratio", {"resource": pressure.resource})
            for pressure in snapshot.load.pressures
        ]
    if snapshot.units is not None:
        told.append(Metric("host_units_failed", len(snapshot.units), "count"))
    if snapshot.reboot is not None:
        told.append(Metric("host_reboot_required", int(bool(snapshot.reboot.reasons)), "count"))
    if snapshot.clock is not None:
        told.append(Metric("host_clock_error_seconds", snapshot.clock.error, "seconds"))
    return told


CHECK = Check("host_health_info", ARGUMENT_SPEC, check)
