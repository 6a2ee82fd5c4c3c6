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
    newest_believed,
    retention_of,
    rto_forecast,
    rule_of,
    size_trend,
)
from ansible_collections.cadence.upkeep.plugins.module_utils._backup.judge import level_reached, unproven
from ansible_collections.cadence.upkeep.plugins.module_utils._backup.model import BackupFile, Dump, Found, Snapshot
from ansible_collections.cadence.upkeep.plugins.module_utils._backup.restore.evaluate import is_proven, record_of
from ansible_collections.cadence.upkeep.plugins.module_utils._backup.trend import Trend, trend
from ansible_collections.cadence.upkeep.plugins.module_utils._core.finding import Finding, Metric, Severity
from ansible_collections.cadence.upkeep.plugins.module_utils._core.times import rfc3339

# Of tables, and of missing backups: the rest is only counted.
_LISTED = 20


def series_records(snapshot: Snapshot, findings: Sequence[Finding], now: datetime) -> list[dict[str, Any]]:
    """Return one record for each named series; ``status`` is the worst severity of it and its examined files."""
    by_subject = _by_subject(findings)
    return [_series_record(found, by_subject, now) for found in snapshot.found if found.series.named]


def _series_record(found: Found, by_subject: Mapping[str, list[Finding]], now: datetime) -> dict[str, Any]:
    newest = newest_believed(found, now)
    subjects = [found.series.name, *(file.path for file in found.selected), *(one.path for one in found.failures)]
    record: dict[str, Any] = {
        "name": found.series.name,
        "status": _worst([finding for subject in subjects for finding in by_subject.get(subject, ())]).word,
        "newest": newest.path if newest else None,
        "taken_at": rfc3339(newest.taken_at) if newest else None,
        "age_seconds": round((now - newest.taken_at).total_seconds()) if newest else None,
        "count": sum(file.counts for file in found.files),
        "examined": len(found.selected),
        "gaps": [{"from": rfc3339(earlier), "to": rfc3339(later)} for earlier, later in gaps_of(found, now)],
    }
    return {**record, **_more_of_series(found, now)}


def _more_of_series(found: Found, now: datetime) -> dict[str, Any]:
    """Return what only some series have."""
    more: dict[str, Any] = {}
    retention = retention_of(found, now)
    if retention is not None:
        _files, verdict, surplus = retention
        more["retention"] = {
            "expected": verdict.expected,
            "present": len(verdict.kept),
            "missing": [*verdict.missing, *found.lost][:_LISTED],
            "surplus": len(surplus),
        }
    sizes = size_trend(found, now)
    if sizes is not None:
        more["trend"] = {"size": _forecast(sizes), "free_bytes": found.free_bytes}
        seconds = trend(found.durations)
        if seconds is not None:
            more["trend"]["seconds"] = _forecast(seconds)
    ahead = rto_forecast(found, now)
    if ahead is not None:
        more["rto"] = ahead.as_plain()
    if found.planned is not None:
        job = found.planned
        more["schedule"] = {
            "job": job.what,
            "where": job.where,
            "installed": None if job.unknown else not job.problem,
            "longest_pause_seconds": round(job.seconds) if job.seconds else None,
            "next_run": job.next_run,
        }
    if found.series.sites:
        more["copies"] = [
            {"site": copy.site, "path": copy.path, "present": copy.present, "equal": copy.equal, "why": copy.why}
            | {"offsite": copy.offsite, "immutable": copy.immutable}
            for copy in found.copies
        ]
        more["rule_3_2_1_1_0"] = rule_of(found)
    return more


def _forecast(line: Trend) -> dict[str, Any]:
    return {
        "points": line.points,
        "per_day": round(line.per_day, 3),
        "in_30_days": round(line.after(30)),
        "in_90_days": round(line.after(90)),
        "spread": round(line.spread, 3),
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
        "level_reached": level_reached(file, found.series.level),
        "assurance": model.PARTIAL if doubts else model.FULL,
        "unproven": doubts,
        "status": _worst(told).word,
        "findings": [
            {"code": one.code, "severity": one.severity.word}
            | {key: one.evidence[key] for key in ("layer", "offset") if key in one.evidence}
            for one in told
        ],
        "digests": _digests(file),
        "seconds": round(content.seconds, 3) if content else 0.0,
    }
    if content:
        record["throughput_mib_s"] = round(content.bytes_read / max(content.seconds, 1e-6) / 2**20, 1)
        record["bytes_decoded"] = content.bytes_decoded
    if content and content.dump:
        record["dump"] = _dump_record(content.dump)
    if file.described is not None:
        record["manifest"] = file.described.path
    if file.signed is not None:
        record["signature"] = {"kind": file.signed.kind, "valid": file.signed.valid, "by": file.signed.by}
    if content and content.members is not None:
        record["members"] = {"count": content.members.count, "bytes": content.members.bytes}
    if content and content.restored is not None:
        record["restore"] = record_of(content.restored, rfc3339(file.taken_at))
    if file.earlier is not None:
        record["verified_before"] = {"at": rfc3339(file.earlier.at), "status": file.earlier.status}
    return record


def _digests(file: BackupFile) -> dict[str, Any]:
    if file.content is None:
        return {}
    digests: dict[str, Any] = {"stored_sha256": file.content.stored_sha256 or None}
    if file.content.plain_sha256:
        digests["plain_sha256"] = file.content.plain_sha256
    return digests


def _dump_record(dump: Dump) -> dict[str, Any]:
    record: dict[str, Any] = {
        "database": dump.database,
        "server_version": dump.server_version,
        "tool_version": dump.tool_version,
        "tables": dump.tables,
        "complete": dump.complete,
    }
    if dump.rows:
        largest = sorted(dump.rows.items(), key=lambda entry: (-entry[1], entry[0]))
        record["rows"] = dict(largest[:_LISTED])
        record["rows_total"] = sum(dump.rows.values())
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
        ahead = rto_forecast(found, now)
        if ahead is not None:
            numbers.append(Metric("backup_rto_p95_seconds", round(ahead.p95, 3), "seconds", labels))
        numbers += _restore_metrics(found, labels)
    return numbers


def _restore_metrics(found: Found, labels: dict[str, str]) -> list[Metric]:
    """Return how long the restores took that came to their end, and how old their newest rows were."""
    numbers = []
    for file in found.selected:
        restored = file.content.restored if file.content is not None else None
        if restored is not None and is_proven(restored):
            record = record_of(restored, rfc3339(file.taken_at))
            own = {**labels, "file": file.path}
            numbers.append(Metric("backup_rto_seconds", record["seconds"]["total"], "seconds", own))
            if record.get("rpo_seconds") is not None:
                numbers.append(Metric("backup_rpo_seconds", record["rpo_seconds"], "seconds", own))
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
