# Copyright (c) 2026 Upkeep maintainers
# GNU General Public License v3.0-or-later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The records of a result: one for each series, one for each file that was examined. Pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any

from ansible_collections.cadence.upkeep.plugins.module_utils._backup import model
from ansible_collections.cadence.upkeep.plugins.module_utils._backup.evaluate import (
    gaps_of,
    level_reached,
    newest_believed,
    unproven,
)
from ansible_collections.cadence.upkeep.plugins.module_utils._backup.model import BackupFile, Found, Snapshot
from ansible_collections.cadence.upkeep.plugins.module_utils._core.finding import Finding, Metric, Severity
from ansible_collections.cadence.upkeep.plugins.module_utils._core.times import rfc3339


def series_records(snapshot: Snapshot, findings: Sequence[Finding], now: datetime) -> list[dict[str, Any]]:
    """Return one record for each named series; ``status`` is the worst severity of it and its examined files."""
    by_subject = _by_subject(findings)
    return [_series_record(found, by_subject, now) for found in snapshot.found if found.series.named]


def _series_record(found: Found, by_subject: Mapping[str, list[Finding]], now: datetime) -> dict[str, Any]:
    newest = newest_believed(found, now)
    subjects = [found.series.name, *(file.path for file in found.selected), *(one.path for one in found.failures)]
    return {
        "name": found.series.name,
        "status": _worst([finding for subject in subjects for finding in by_subject.get(subject, ())]).word,
        "newest": newest.path if newest else None,
        "taken_at": rfc3339(newest.taken_at) if newest else None,
        "age_seconds": round((now - newest.taken_at).total_seconds()) if newest else None,
        "count": sum(file.counts for file in found.files),
        "examined": len(found.selected),
        "gaps": [{"from": rfc3339(earlier), "to": rfc3339(later)} for earlier, later in gaps_of(found, now)],
    }


def file_records(snapshot: Snapshot, findings: Sequence[Finding]) -> list[dict[str, Any]]:
    """Return one record for each file that was examined, worst first."""
    by_subject = _by_subject(findings)
    records: dict[str, tuple[Severity, dict[str, Any]]] = {}
    for found in snapshot.found:
        for file in found.selected:
            told = by_subject.get(file.path, [])
            records.setdefault(file.path, (_worst(told), _file_record(file, found, told)))
    return [record for _severity, record in sorted(records.values(), key=lambda entry: -entry[0])]


def _file_record(file: BackupFile, found: Found, told: list[Finding]) -> dict[str, Any]:
    content, doubts = file.content, unproven(file)
    record: dict[str, Any] = {
        "path": file.path,
        "series": found.series.name if found.series.named else None,
        "size": file.size,
        "mtime": rfc3339(file.mtime),
        "taken_at": rfc3339(file.taken_at),
        "time_from": file.taken_from,
        "chain": list(content.chain) if content else [],
        "level_requested": found.series.level,
        "level_reached": level_reached(file),
        "assurance": model.PARTIAL if doubts else model.FULL,
        "unproven": doubts,
        "status": _worst(told).word,
        "findings": [
            {"code": one.code, "severity": one.severity.word}
            | {key: one.evidence[key] for key in ("layer", "offset") if key in one.evidence}
            for one in told
        ],
        "digests": {"stored_sha256": content.stored_sha256 or None} if content else {},
        "seconds": round(content.seconds, 3) if content else 0.0,
    }
    if content:
        record["throughput_mib_s"] = round(content.bytes_read / max(content.seconds, 1e-6) / 2**20, 1)
        record["bytes_decoded"] = content.bytes_decoded
    if content and content.dump:
        dump = content.dump
        record["dump"] = {
            "database": dump.database,
            "server_version": dump.server_version,
            "tool_version": dump.tool_version,
            "tables": dump.tables,
            "complete": dump.complete,
        }
    return record


def metrics(snapshot: Snapshot, now: datetime) -> list[Metric]:
    """Return age, size and number of the backups of each named series."""
    numbers = []
    for found in snapshot.found:
        newest = newest_believed(found, now)
        labels = {"series": found.series.name}
        if found.series.named:
            numbers.append(Metric("backup_count", sum(file.counts for file in found.files), "count", labels))
        if found.series.named and newest:
            age = round((now - newest.taken_at).total_seconds())
            numbers.append(Metric("backup_age_seconds", age, "seconds", labels))
            numbers.append(Metric("backup_size_bytes", newest.size, "bytes", labels))
    return numbers


def examined(snapshot: Snapshot) -> list[str]:
    """Return the names of all series and the paths of all files that were looked into."""
    named = [found.series.name for found in snapshot.found if found.series.named]
    return list(dict.fromkeys([*named, *(file.path for found in snapshot.found for file in found.selected)]))


def _by_subject(findings: Sequence[Finding]) -> dict[str, list[Finding]]:
    grouped: dict[str, list[Finding]] = {}
    for finding in findings:
        grouped.setdefault(finding.subject, []).append(finding)
    return grouped


def _worst(findings: Sequence[Finding]) -> Severity:
    return max((finding.severity for finding in findings), default=Severity.OK)
