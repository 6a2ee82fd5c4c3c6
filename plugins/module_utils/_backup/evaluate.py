# Copyright (c) 2026 Upkeep maintainers
# GNU General Public License v3.0-or-later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Judge what was seen. Pure."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime, timedelta
from statistics import median
from typing import Any

from ansible_collections.cadence.upkeep.plugins.module_utils._backup import model
from ansible_collections.cadence.upkeep.plugins.module_utils._backup.codes import CODES
from ansible_collections.cadence.upkeep.plugins.module_utils._backup.model import (
    BackupFile,
    Failure,
    Found,
    Policy,
    Problem,
    Series,
    Sidecar,
    SizeBand,
    Snapshot,
)
from ansible_collections.cadence.upkeep.plugins.module_utils._core.finding import Finding, Severity
from ansible_collections.cadence.upkeep.plugins.module_utils._core.times import rfc3339
from ansible_collections.cadence.upkeep.plugins.module_utils._core.units import format_duration, format_size

# A partial file that nobody has touched for so long, when the series gives no grace, was left behind.
_ABANDONED = 2 * 3600.0

# Fewer sizes say nothing about what is usual; and what changes by less than this is usual anyway.
_SIZES_NEEDED = 5
_USUAL_CHANGE = 0.2
# The median of the absolute deviations is this part of the standard deviation of a normal distribution.
_DEVIATION = 1.4826

_NAMED_IN_EVIDENCE = 10

_OF_PROBLEM = {
    "backup.unsupported": Severity.UNKNOWN,
    "backup.bomb": Severity.UNKNOWN,
}
_OF_FAILURE = {
    model.UNREADABLE: "backup.unreadable",
    model.TIMED_OUT: "backup.timeout",
    model.CHANGING: "backup.partial_upload",
}
_KINDS = {
    model.FIFO: "a named pipe",
    model.SOCKET: "a socket",
    model.DEVICE: "a device",
}


def evaluate(snapshot: Snapshot, policy: Policy, now: datetime) -> list[Finding]:
    """Return what is to be said about *snapshot* at the instant *now*; nothing about what is as it should be."""
    findings: dict[tuple[str, str, str], Finding] = {}
    for found in snapshot.found:
        for finding in (*_of_series(found, now), *(one for file in found.selected for one in _of_file(file, found))):
            # Two series may share a file.
            findings.setdefault((finding.code, finding.subject, finding.message), finding)
    return list(findings.values())


def _finding(
    code: str, subject: str, severity: Severity, message: str, evidence: dict[str, Any] | None = None
) -> Finding:
    return Finding(code, subject, severity, message, evidence or {}, CODES[code].remedy)


# --- a series


def _of_series(found: Found, now: datetime) -> Iterator[Finding]:
    series = found.series
    for failure in found.failures:
        yield _finding(
            "backup.unreadable",
            failure.path,
            Severity.UNKNOWN,
            f"{failure.path} {failure.reason}, so what it holds of {series.name} is not known.",
        )
    yield from _partials(found, now)
    if not found.files:
        if not found.failures:
            yield _missing(found)
        return
    yield from _age(found, now)
    if series.named:
        yield from _gaps(found, now)
        yield from _count(found)
    yield from _size(found, now)
    yield from _modes(found)
    yield from _sidecars(found)


def _missing(found: Found) -> Finding:
    series = found.series
    why = f"the directory {found.missing_directory} does not exist" if found.missing_directory else "no file matches it"
    evidence: dict[str, Any] = {"pattern": series.pattern}
    if found.partials:
        evidence["partial"] = [partial.path for partial in found.partials[:_NAMED_IN_EVIDENCE]]
    subject = f"the series {series.name} at {series.pattern}" if series.named else series.name
    message = f"There is no backup of {subject}: {why}."
    return _finding("backup.missing", series.name, Severity.CRITICAL, message, evidence)


def _partials(found: Found, now: datetime) -> Iterator[Finding]:
    patience = found.series.grace or _ABANDONED
    for partial in found.partials:
        idle = (now - partial.mtime).total_seconds()
        abandoned = idle > patience
        state = "was left behind half written" if abandoned else "is still being written"
        yield _finding(
            "backup.partial_upload",
            partial.path,
            Severity.WARNING if abandoned else Severity.INFO,
            f"{partial.path} {state}: it last changed {format_duration(max(0.0, idle))} ago "
            f"(left behind after {format_duration(patience)}).",
            {"idle_seconds": round(idle), "limit_seconds": patience},
        )


def _believed(found: Found, now: datetime) -> list[BackupFile]:
    """Return the backups that do not lie in the future, newest first."""
    return [file for file in found.files if file.taken_at <= now + model.FUTURE_TOLERANCE]


def newest_believed(found: Found, now: datetime) -> BackupFile | None:
    """Return the newest backup that does not lie in the future."""
    return next(iter(_believed(found, now)), None)


def _age(found: Found, now: datetime) -> Iterator[Finding]:
    series, newest = found.series, newest_believed(found, now)
    future = [file for file in found.files if file.taken_at > now + model.FUTURE_TOLERANCE]
    if future:
        ahead = format_duration((future[0].taken_at - now).total_seconds())
        message = f"{len(future)} of the backups of {series.name} lie in the future, up to {ahead} from now"
        message += "." if newest else ", and there is no other, so their age is not known."
        yield _finding(
            "backup.future_dated",
            series.name,
            Severity.WARNING if newest else Severity.UNKNOWN,
            message,
            {"files": [file.path for file in future[:_NAMED_IN_EVIDENCE]], "time_from": future[0].taken_from},
        )
    if newest is None:
        return
    age = (now - newest.taken_at).total_seconds()
    severity = severity_of_age(series, age)
    if severity is not Severity.OK:
        limits = _limits(series)
        yield _finding(
            "backup.stale",
            series.name,
            severity,
            f"The newest backup of {series.name} was taken {format_duration(age)} ago ({limits}).",
            {
                "newest": newest.path,
                "taken_at": rfc3339(newest.taken_at),
                "time_from": newest.taken_from,
                "age_seconds": round(age),
                "warning_seconds": series.warning_age or None,
                "critical_seconds": series.critical_age or None,
            },
        )


def severity_of_age(series: Series, age: float) -> Severity:
    """Return how bad it is that the newest backup is *age* seconds old."""
    if series.critical_age and age > series.critical_age:
        return Severity.CRITICAL
    return Severity.WARNING if series.warning_age and age > series.warning_age else Severity.OK


def _limits(series: Series) -> str:
    limits = []
    if series.warning_age:
        every, grace = format_duration(series.every), format_duration(series.grace)
        limits.append(f"one is due every {every} with {grace} of grace")
    if series.critical_age:
        limits.append(f"critical above {format_duration(series.critical_age)}")
    return ", ".join(limits)


def gaps(series: Series, instants: list[datetime]) -> list[tuple[datetime, datetime]]:
    """Return the pairs of neighbours among *instants*, oldest first, that lie further apart than the rhythm allows.

    Only the last ``gap_window`` periods count: what retention has thinned out before is no gap.
    """
    if not (series.warning_age and series.gap_window and instants):
        return []
    since = instants[-1] - timedelta(seconds=series.gap_window * series.every)
    return [
        (earlier, later)
        for earlier, later in zip(instants, instants[1:])
        if later > since and (later - earlier).total_seconds() > series.warning_age
    ]


def gaps_of(found: Found, now: datetime) -> list[tuple[datetime, datetime]]:
    """Return the gaps between the backups of a series; one that lies in the future ends none."""
    return gaps(found.series, sorted(file.taken_at for file in _believed(found, now) if file.counts))


def _gaps(found: Found, now: datetime) -> Iterator[Finding]:
    missing = gaps_of(found, now)
    if not missing:
        return
    series = found.series
    longest = max((later - earlier).total_seconds() for earlier, later in missing)
    count = "a gap" if len(missing) == 1 else f"{len(missing)} gaps"
    yield _finding(
        "backup.gap",
        series.name,
        Severity.WARNING,
        f"{series.name} has {count} in its last {series.gap_window} periods, "
        f"the longest of {format_duration(longest)} (allowed: {format_duration(series.warning_age)}).",
        {
            "gaps": [{"from": rfc3339(a), "to": rfc3339(b)} for a, b in missing[:_NAMED_IN_EVIDENCE]],
            "allowed_seconds": series.warning_age,
        },
    )


def _count(found: Found) -> Iterator[Finding]:
    series, count = found.series, sum(file.counts for file in found.files)
    # Of a single one that is wanted, its own findings say why it does not count.
    if count < series.min_count and series.min_count > 1:
        yield _finding(
            "backup.retention_missing",
            series.name,
            Severity.WARNING,
            f"{series.name} has {count} backup{'' if count == 1 else 's'}, fewer than the {series.min_count} wanted.",
            {"count": count, "min_count": series.min_count},
        )


def _size(found: Found, now: datetime) -> Iterator[Finding]:
    band = found.series.size_band
    files = [file for file in _believed(found, now) if file.counts]
    if band is None or not files:
        return
    newest, before = files[0], [file.size for file in files[1 : 1 + band.window]]
    usual = unusual_size(band, newest.size, before)
    if usual is None or not newest.selected:
        return
    direction = "larger" if newest.size > usual else "smaller"
    yield _finding(
        "backup.size_anomaly",
        newest.path,
        Severity.WARNING,
        f"{newest.path} has {format_size(newest.size)}, far {direction} than the {format_size(usual)} "
        f"that the {len(before)} before it had in the middle.",
        {"size": newest.size, "median": usual, "compared": len(before)},
    )


def unusual_size(band: SizeBand, size: int, before: list[int]) -> float | None:
    """Return the usual size when *size* is far from it, else ``None``.

    Far is more than ``min_abs``, more than ``factor`` robust standard deviations and more than a fifth: sizes that
    hardly vary must not make every step of growth an anomaly.
    """
    if len(before) < _SIZES_NEEDED:
        return None
    usual = median(before)
    off = size - usual
    if off > 0 and not band.both_sides:
        return None
    spread = _DEVIATION * median(abs(other - usual) for other in before)
    return usual if abs(off) > max(band.min_abs, band.factor * spread, _USUAL_CHANGE * usual) else None


def _modes(found: Found) -> Iterator[Finding]:
    exposed = [file for file in found.selected if file.exposed]
    if exposed:
        yield _finding(
            "backup.insecure_mode",
            found.series.name,
            Severity.WARNING,
            f"Every account of the host can read {len(exposed)} of the {len(found.selected)} examined backups of "
            f"{found.series.name}: {exposed[0].path} has mode {exposed[0].mode:04o}.",
            {
                "files": [file.path for file in exposed[:_NAMED_IN_EVIDENCE]],
                "count": len(exposed),
                "mode": f"{exposed[0].mode:04o}",
            },
        )


def _sidecars(found: Found) -> Iterator[Finding]:
    series = found.series
    # One whose digest file cannot be used is told by itself.
    without = [file for file in found.selected if file.kind == model.FILE and file.size and file.sidecar is None]
    if without:
        yield _finding(
            "backup.manifest_missing",
            series.name,
            Severity.INFO,
            f"{len(without)} of {len(found.selected)} examined backups of {series.name} have no digest by their maker, "
            "so the assurance is partial.",
            {"files": [file.path for file in without[:_NAMED_IN_EVIDENCE]], "count": len(without)},
        )
    if found.stale_sidecars:
        yield _finding(
            "backup.sidecar_stale",
            series.name,
            Severity.INFO,
            f"{len(found.stale_sidecars)} digest files beside the backups of {series.name} are of files that are gone.",
            {"files": list(found.stale_sidecars[:_NAMED_IN_EVIDENCE]), "count": len(found.stale_sidecars)},
        )


# --- a file


def _of_file(file: BackupFile, found: Found) -> Iterator[Finding]:
    if file.kind != model.FILE:
        yield _of_kind(file)
        return
    if not file.size:
        yield _finding("backup.empty", file.path, Severity.CRITICAL, f"{file.path} is empty (0 bytes).", {"size": 0})
        return
    if file.size < found.series.min_size:
        least = format_size(found.series.min_size)
        yield _finding(
            "backup.too_small",
            file.path,
            Severity.CRITICAL,
            f"{file.path} has {format_size(file.size)}, less than min_size ({least}).",
            {"size": file.size, "min_size": found.series.min_size},
        )
    if file.failure is not None:
        yield _of_failure(file, file.failure)
    for problem in file.content.problems if file.content else ():
        yield _of_problem(file, problem)
    if file.sidecar is not None:
        yield from _of_sidecar(file, file.sidecar)


def _of_kind(file: BackupFile) -> Finding:
    if file.kind == model.DIRECTORY:
        message = f"{file.path} is a directory: backups in that form cannot be verified yet."
        return _finding("backup.unsupported", file.path, Severity.UNKNOWN, message)
    if file.kind == model.DANGLING:
        message = f"{file.path} is a link to nothing."
        return _finding("backup.unreadable", file.path, Severity.UNKNOWN, message)
    message = f"{file.path} is {_KINDS[file.kind]}, not a file; it was not opened."
    return _finding("backup.not_a_backup", file.path, Severity.CRITICAL, message, {"kind": file.kind})


def _of_failure(file: BackupFile, failure: Failure) -> Finding:
    message = f"{file.path} {failure.reason}."
    evidence = {"size": file.size, **failure.evidence}
    return _finding(_OF_FAILURE[failure.kind], file.path, Severity.UNKNOWN, message, evidence)


def _of_problem(file: BackupFile, problem: Problem) -> Finding:
    severity = _OF_PROBLEM.get(problem.code) or (Severity.CRITICAL if problem.fatal else Severity.WARNING)
    evidence: dict[str, Any] = {"size": file.size, "taken_at": rfc3339(file.taken_at), **problem.evidence}
    if problem.layer:
        evidence["layer"] = problem.layer
    if problem.offset is not None:
        evidence["offset"] = problem.offset
    return _finding(problem.code, file.path, severity, f"{file.path} {problem.what}.", evidence)


def _of_sidecar(file: BackupFile, sidecar: Sidecar) -> Iterator[Finding]:
    if sidecar.problem:
        message = f"{sidecar.path} {sidecar.problem}, so it proves nothing about {file.path}."
        yield _finding("backup.manifest_invalid", file.path, Severity.WARNING, message, {"sidecar": sidecar.path})
        return
    actual = file.content.stored_sha256 if file.content else ""
    if not actual or actual == sidecar.sha256:
        return
    evidence: dict[str, Any] = {"sidecar": sidecar.path, "expected_sha256": sidecar.sha256, "actual_sha256": actual}
    if sidecar.other_name:
        message = f"{sidecar.path} speaks of {sidecar.other_name}, so it proves nothing about {file.path}."
        yield _finding("backup.manifest_invalid", file.path, Severity.WARNING, message, evidence)
        return
    newer = file.mtime > sidecar.mtime
    message = f"{file.path} is not what its maker wrote: its SHA-256 differs from the one in {sidecar.path}"
    message += ", and it was changed after that was written." if newer else "."
    evidence["changed_after_digest"] = newer
    yield _finding("backup.digest_mismatch", file.path, Severity.CRITICAL, message, evidence)


# --- what a good verdict rests on


def level_reached(file: BackupFile) -> str:
    """Return the highest level whose checks were all made, whatever they found."""
    content = file.content
    unread = content is None or not content.whole or any(p.code == "backup.unsupported" for p in content.problems)
    return model.PRESENCE if unread else model.INTEGRITY


def unproven(file: BackupFile) -> list[str]:
    """Return what could be wrong with *file* unnoticed, at the level that was reached."""
    content, sidecar = file.content, file.sidecar
    if content is None:
        return [model.CONTENT, model.PRODUCER_DIGEST]
    proven = sidecar is not None and sidecar.sha256 != "" and sidecar.sha256 == content.stored_sha256
    if proven:
        return [what for what in content.unproven if what == model.CONTENT]
    return sorted({*content.unproven, model.PRODUCER_DIGEST})
