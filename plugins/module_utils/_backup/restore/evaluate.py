# Copyright (c) 2026 Upkeep maintainers
# GNU General Public License v3.0-or-later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Say what came of a test restore: its findings, its record, its numbers. Pure."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from ansible_collections.cadence.upkeep.plugins.module_utils._backup.restore.model import (
    PHASES,
    Restored,
    Trouble,
    restored_of,
    troubles_of,
)
from ansible_collections.cadence.upkeep.plugins.module_utils._backup.restore.prove import rpo_seconds
from ansible_collections.cadence.upkeep.plugins.module_utils._core.finding import Severity

# What a database without its roles is good for, is for whoever restores it to say.
_WITHOUT_ROLES = {
    "left out": "was restored without its owners and grants",
    "invented": "was restored with roles made up for its owners and grants",
}


def told(plain: Mapping[str, Any]) -> Iterator[tuple[Trouble, Severity]]:
    """Yield what is to be said of a test restore; nothing when all is as it should be."""
    restored = restored_of(plain)
    for trouble in troubles_of(restored):
        severity = Severity.WARNING if trouble.warning else Severity.CRITICAL
        yield trouble, Severity.UNKNOWN if trouble.unknown else severity
    if restored.planned and not restored.troubles:
        version = f" of PostgreSQL {restored.server_version}" if restored.server_version else ""
        what = f"would be restored now, into a {_TARGETS.get(restored.target, restored.target)}{version}"
        yield Trouble("backup.restore_planned", what, {"target": restored.target}), Severity.INFO
    if restored.finished and restored.owners in _WITHOUT_ROLES:
        what = f"{_WITHOUT_ROLES[restored.owners]}, because no dump of the roles is known for it (globals)"
        yield Trouble("backup.globals_missing", what, {"owners": restored.owners}), Severity.INFO


_TARGETS = {"initdb": "throwaway cluster", "container": "container", "server": "database of its own on a server"}


def is_proven(plain: Mapping[str, Any] | None) -> bool:
    """True when the restore came to its end, whatever it found."""
    return plain is not None and bool(plain["finished"])


def record_of(plain: Mapping[str, Any], taken_at: str) -> dict[str, Any]:
    """Return the entry ``restore`` of the record of a file; *taken_at* is when the backup was, in RFC 3339."""
    restored = restored_of(plain)
    record: dict[str, Any] = {
        "target": restored.target,
        "finished": restored.finished,
        "planned": restored.planned,
        "server_version": restored.server_version,
        "seconds": seconds_of(restored),
        "databases": list(restored.databases),
        "bytes": restored.bytes,
        "tables": restored.tables,
        "rows": restored.rows,
        "compared": restored.compared,
        "fingerprint": restored.fingerprint,
        "hashed": restored.hashed,
        "amcheck": restored.amcheck,
        "assertions": restored.assertions,
        "sequences": restored.sequences,
        "owners": restored.owners,
        "isolated": restored.isolated,
        "jobs": restored.jobs,
        "notes": list(restored.notes),
    }
    if restored.newest:
        record["newest"] = restored.newest
        before = rpo_seconds(restored.newest, taken_at)
        record["rpo_seconds"] = round(before) if before is not None else None
    return record


def seconds_of(restored: Restored) -> dict[str, float]:
    """Return the phases that took time, and all of them together as ``total``: the time to recover."""
    phases = {phase: round(restored.seconds[phase], 3) for phase in PHASES if phase in restored.seconds}
    return {**phases, "total": round(restored.rto_seconds, 3)}
