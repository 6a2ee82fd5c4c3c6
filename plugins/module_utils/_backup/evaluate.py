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
from ansible_collections.cadence.upkeep.plugins.module_utils._backup.judge import finding, of_file
from ansible_collections.cadence.upkeep.plugins.module_utils._backup.model import (
    BackupFile,
    Found,
    Policy,
    Series,
    SizeBand,
    Snapshot,
)
from ansible_collections.cadence.upkeep.plugins.module_utils._backup.restore.forecast import (
    ENOUGH,
    Forecast,
    forecast,
)
from ansible_collections.cadence.upkeep.plugins.module_utils._backup.retention import Retention, retained
from ansible_collections.cadence.upkeep.plugins.module_utils._backup.trend import Trend, trend
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


def evaluate(snapshot: Snapshot, policy: Policy, now: datetime) -> list[Finding]:
    """Return what is to be said about *snapshot* at the instant *now*; nothing about what is as it should be."""
    findings: dict[tuple[str, str, str], Finding] = {}
    for found in snapshot.found:
        about_files = (one for file in found.selected for one in of_file(file, found.series, policy))
        for one in (*_of_series(found, now), *_recovery(found, policy, now), *about_files):
            # Two series may share a file.
            findings.setdefault((one.code, one.subject, one.message), one)
    if snapshot.state_problem:
        message = f"What was verified cannot be remembered: {snapshot.state_problem}"
        one = finding("backup.state_unusable", policy.state_file, Severity.WARNING, message)
        findings[one.code, one.subject, one.message] = one
    return list(findings.values())


# --- a series


def _of_series(found: Found, now: datetime) -> Iterator[Finding]:
    series = found.series
    for failure in found.failures:
        yield finding(
            "backup.unreadable",
            failure.path,
            Severity.UNKNOWN,
            f"{failure.path} {failure.reason}, so what it holds of {series.name} is not known.",
        )
    yield from _partials(found, now)
    yield from _schedule(found)
    if not found.files:
        if not found.failures:
            yield _missing(found)
        return
    yield from _age(found, now)
    if series.named:
        yield from _gaps(found, now)
        yield from _count(found)
        yield from _retention(found, now)
    yield from _size(found, now)
    yield from _modes(found)
    yield from _sidecars(found)
    yield from _unchanged(found, now)
    yield from _protection(found)
    yield from _space(found, now)
    yield from _globals(found, now)
    yield from _copies(found)
    yield from _rule(found)


def _missing(found: Found) -> Finding:
    series = found.series
    why = f"the directory {found.missing_directory} does not exist" if found.missing_directory else "no file matches it"
    evidence: dict[str, Any] = {"pattern": series.pattern}
    if found.partials:
        evidence["partial"] = [partial.path for partial in found.partials[:_NAMED_IN_EVIDENCE]]
    subject = f"the series {series.name} at {series.pattern}" if series.named else series.name
    message = f"There is no backup of {subject}: {why}."
    return finding("backup.missing", series.name, Severity.CRITICAL, message, evidence)


def _partials(found: Found, now: datetime) -> Iterator[Finding]:
    patience = found.series.grace or _ABANDONED
    for partial in found.partials:
        idle = (now - partial.mtime).total_seconds()
        abandoned = idle > patience
        state = "was left behind half written" if abandoned else "is still being written"
        yield finding(
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
        yield finding(
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
        yield finding(
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
    yield finding(
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
        yield finding(
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
    yield finding(
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
        yield finding(
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
    without = [
        file
        for file in found.selected
        if file.kind in (model.FILE, model.DIRECTORY) and file.size and file.sidecar is None and file.described is None
    ]
    if without:
        yield finding(
            "backup.manifest_missing",
            series.name,
            Severity.INFO,
            f"{len(without)} of {len(found.selected)} examined backups of {series.name} have no digest by their maker, "
            "so the assurance is partial.",
            {"files": [file.path for file in without[:_NAMED_IN_EVIDENCE]], "count": len(without)},
        )
    if found.stale_sidecars:
        yield finding(
            "backup.sidecar_stale",
            series.name,
            Severity.INFO,
            f"{len(found.stale_sidecars)} digest files beside the backups of {series.name} are of files that are gone.",
            {"files": list(found.stale_sidecars[:_NAMED_IN_EVIDENCE]), "count": len(found.stale_sidecars)},
        )


def retention_of(found: Found, now: datetime) -> tuple[list[BackupFile], Retention, list[BackupFile]] | None:
    """Return the backups that count, what the retention says of them, and those that are too many.

    One that the newest has just pushed out is not too many yet: whatever removes it may run after it.
    """
    keep = found.series.keep
    if keep is None:
        return None
    files = [file for file in _believed(found, now) if file.counts]
    verdict = retained([file.taken_at for file in files], keep, found.series.zone)
    before = retained([file.taken_at for file in files[1:]], keep, found.series.zone)
    still = {files[index + 1].path for index in before.kept}
    return files, verdict, [files[index] for index in verdict.surplus if files[index].path not in still]


def _retention(found: Found, now: datetime) -> Iterator[Finding]:
    told = retention_of(found, now)
    if told is None:
        return
    files, verdict, surplus = told
    name = found.series.name
    gone = [*verdict.missing, *found.lost]
    if gone:
        yield finding(
            "backup.retention_missing",
            name,
            Severity.WARNING,
            f"{name} lacks {len(gone)} of the {verdict.expected} backups that its retention keeps, such as {gone[0]}.",
            {"missing": gone[:_NAMED_IN_EVIDENCE], "count": len(gone), "present": len(verdict.kept)},
        )
    if surplus:
        size = sum(file.size for file in surplus)
        yield finding(
            "backup.retention_excess",
            name,
            Severity.WARNING,
            f"{name} has {len(surplus)} backups with {format_size(size)} that its retention does not keep, "
            f"such as {surplus[-1].path}.",
            {
                "files": [file.path for file in surplus[-_NAMED_IN_EVIDENCE:]],
                "count": len(surplus),
                "bytes": size,
                "of": len(files),
            },
        )


def _unchanged(found: Found, now: datetime) -> Iterator[Finding]:
    """A job that copies an old dump again and again makes backups that are fresh by their names alone."""
    believed = [file for file in _believed(found, now) if file.counts]
    if len(believed) < 2 or not believed[0].selected:
        return
    newest, before = believed[0], believed[1]
    mine = newest.content.stored_sha256 if newest.content is not None else _written_sha256(newest)
    theirs = _written_sha256(before) or (before.earlier.sha256 if before.earlier is not None else "")
    theirs = theirs or (before.content.stored_sha256 if before.content is not None else "")
    if mine and mine == theirs:
        yield finding(
            "backup.unchanged_suspicious",
            newest.path,
            Severity.INFO,
            f"{newest.path} is the same, byte for byte, as {before.path}.",
            {"before": before.path, "sha256": mine},
        )


def _written_sha256(file: BackupFile) -> str:
    """Return the digest that its maker wrote down; empty when there is none, or one that speaks of another file."""
    speaks_of_another = file.sidecar is not None and file.sidecar.other_name and file.manifest is None
    return "" if speaks_of_another else file.wanted_sha256


def _protection(found: Found) -> Iterator[Finding]:
    series = found.series
    strange = [file for file in found.selected if series.owner and file.owner not in ("", series.owner)]
    if strange:
        message = f"{len(strange)} of the examined backups of {series.name} do not belong to {series.owner}: "
        message += f"{strange[0].path} belongs to {strange[0].owner}."
        evidence = {"files": [file.path for file in strange[:_NAMED_IN_EVIDENCE]], "owner": strange[0].owner}
        yield finding("backup.wrong_owner", series.name, Severity.WARNING, message, evidence)
    open_ones = [file for file in found.selected if series.immutable and not file.immutable and file.kind == model.FILE]
    if open_ones:
        known = all(file.immutable is not None for file in open_ones)
        message = f"{len(open_ones)} of the examined backups of {series.name} can be changed or removed, "
        message += f"such as {open_ones[0].path}."
        if not known:
            message = f"Nothing says whether the backups of {series.name} are immutable: {open_ones[0].path} is on a "
            message += "file system without such a flag."
        more: dict[str, Any] = {
            "files": [file.path for file in open_ones[:_NAMED_IN_EVIDENCE]],
            "count": len(open_ones),
        }
        severity = Severity.WARNING if known else Severity.UNKNOWN
        yield finding("backup.not_immutable", series.name, severity, message, more)


def size_trend(found: Found, now: datetime) -> Trend | None:
    """Return how the sizes of the backups of a series go on."""
    return trend([(file.taken_at, float(file.size)) for file in _believed(found, now) if file.counts])


def _space(found: Found, now: datetime) -> Iterator[Finding]:
    newest = newest_believed(found, now)
    if newest is None or found.free_bytes is None or not found.series.named:
        return
    going = size_trend(found, now)
    period = max(1.0, found.series.every / 86400.0)
    need = max(float(newest.size), going.after(period) if going is not None else 0.0)
    if found.free_bytes < need:
        yield finding(
            "backup.space_short",
            found.series.name,
            Severity.WARNING,
            f"The next backup of {found.series.name} will take about {format_size(need)}, and "
            f"{format_size(found.free_bytes)} are free where it goes.",
            {"needed_bytes": round(need), "free_bytes": found.free_bytes},
        )


def rto_forecast(found: Found, now: datetime) -> Forecast | None:
    """Return how long it will take to restore the newest backup of a series, when that was ever tried."""
    newest = newest_believed(found, now)
    if newest is None or not found.series.named or not found.rehearsals:
        return None
    last = max(found.rehearsals, key=lambda one: one.taken_at)
    return forecast(found.rehearsals, last.target, newest.size)


def _recovery(found: Found, policy: Policy, now: datetime) -> Iterator[Finding]:
    ahead, limit = rto_forecast(found, now), policy.restore.max_rto
    if ahead is not None and limit and ahead.points >= ENOUGH and ahead.p95 > limit:
        yield finding(
            "backup.rto_at_risk",
            found.series.name,
            Severity.WARNING,
            f"One restore in twenty of {found.series.name} will take {format_duration(ahead.p95)} or longer, more than "
            f"max_rto allows ({format_duration(limit)}), by the {ahead.points} that were made for a test.",
            {**ahead.as_plain(), "limit_seconds": limit},
        )


def _globals(found: Found, now: datetime) -> Iterator[Finding]:
    series = found.series
    if not series.globals:
        return
    limit = series.critical_age or series.warning_age
    age = (now - found.globals_at).total_seconds() if found.globals_at is not None else None
    if age is None or (limit and age > limit):
        how = "is not there" if age is None else f"was taken {format_duration(age)} ago"
        message = f"The dump of the roles and tablespaces that {series.name} needs ({series.globals}) {how}."
        evidence: dict[str, Any] = {"pattern": series.globals, "age_seconds": round(age) if age is not None else None}
        yield finding("backup.globals_missing", series.name, Severity.WARNING, message, evidence)


def _schedule(found: Found) -> Iterator[Finding]:
    planned, series = found.planned, found.series
    if planned is None:
        return
    evidence = {"job": planned.what, "where": planned.where, "longest_pause_seconds": planned.seconds}
    if planned.problem:
        severity = Severity.UNKNOWN if planned.unknown else Severity.CRITICAL
        message = f"Nothing takes the backups of {series.name}: the {planned.what} was sought, and {planned.problem}."
        if planned.unknown:
            message = f"Whether the {planned.what} of {series.name} is installed is not known: {planned.problem}."
        yield finding("backup.schedule_missing", series.name, severity, message, evidence)
    elif planned.seconds and series.every and planned.seconds > series.warning_age:
        message = (
            f"The {planned.what} of {series.name} pauses up to {format_duration(planned.seconds)}, "
            f"and a backup is due every {format_duration(series.every)}."
        )
        yield finding("backup.schedule_missing", series.name, Severity.WARNING, message, evidence)


def _copies(found: Found) -> Iterator[Finding]:
    for copy in found.copies:
        subject = f"{found.series.name} at {copy.site}"
        evidence = {"site": copy.site, "path": copy.path}
        if not copy.present:
            severity = Severity.CRITICAL if copy.equal is False else Severity.UNKNOWN
            message = f"The newest backup of {found.series.name} at {copy.site}: {copy.path} {copy.why}."
            yield finding("backup.copy_missing", subject, severity, message, evidence)
        elif not copy.equal:
            severity = Severity.UNKNOWN if copy.equal is None else Severity.CRITICAL
            message = f"The copy of the newest backup of {found.series.name} at {copy.site}, {copy.path}, {copy.why}."
            yield finding("backup.copy_differs", subject, severity, message, evidence)


def rule_of(found: Found) -> dict[str, Any] | None:
    """Return the digits of the 3-2-1-1-0 rule for the newest backup; ``None`` when no other sites are named.

    The data themselves count as the first of three copies and as a medium. A copy that is not equal is none.
    """
    if not found.series.sites:
        return None
    newest = next(iter(found.selected), None)
    good = [copy for copy in found.copies if copy.present and copy.equal]
    here = newest is not None and newest.counts
    media = {found.series.media or "this host", *(copy.media or copy.site for copy in good)} if here else set()
    bad = newest is None or any(one.severity >= Severity.UNKNOWN for one in of_file(newest, found.series, _NO_POLICY))
    errors = int(bad) + sum(1 for copy in found.copies if not (copy.present and copy.equal))
    digits = {
        "copies": 1 + int(here) + len(good),
        "media": len(media),
        "offsite": sum(copy.offsite for copy in good),
        "immutable": int(bool(newest and newest.immutable)) + sum(copy.immutable for copy in good),
        "errors": errors,
    }
    wanted = {"copies": 3, "media": 2, "offsite": 1, "immutable": 1}
    failing = [digit for digit, least in wanted.items() if digits[digit] < least]
    failing += ["errors"] if errors else []
    return {**digits, "failing": failing, "met": not failing}


def _rule(found: Found) -> Iterator[Finding]:
    rule = rule_of(found)
    if rule is None or rule["met"]:
        return
    needed = {"copies": "3 copies", "media": "2 media", "offsite": "1 off-site", "immutable": "1 immutable"}
    words = [f"{rule[digit]} of {needed[digit]}" for digit in rule["failing"] if digit in needed]
    words += [f"{rule['errors']} errors"] if rule["errors"] else []
    yield finding(
        "backup.rule_not_met",
        found.series.name,
        Severity.WARNING,
        f"{found.series.name} does not meet the 3-2-1-1-0 rule: {', '.join(words)}.",
        rule,
    )


_NO_POLICY = Policy(series=(), select=model.LATEST, seconds=1.0, seconds_per_file=1.0, limits=model.Limits(1, 1.0, 1))
