# Copyright (c) 2026 Upkeep maintainers
# GNU General Public License v3.0-or-later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Put what was copied and compared into the one result form. Pure."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from ansible_collections.cadence.upkeep.plugins.module_utils._backup.model import Series
from ansible_collections.cadence.upkeep.plugins.module_utils._backup.offsite.codes import CODES
from ansible_collections.cadence.upkeep.plugins.module_utils._backup.offsite.model import (
    COPIED,
    DIFFERENT,
    DIRECTORY,
    DOUBTFUL,
    EQUAL,
    FAILED,
    MISSING,
    PLANNED,
    SKIPPED,
    SOURCE_BAD,
    Copied,
    Wanted,
)
from ansible_collections.cadence.upkeep.plugins.module_utils._core import finding as core
from ansible_collections.cadence.upkeep.plugins.module_utils._core.finding import Action, Finding, Metric, Severity
from ansible_collections.cadence.upkeep.plugins.module_utils._core.outcome import Outcome
from ansible_collections.cadence.upkeep.plugins.module_utils._core.times import rfc3339
from ansible_collections.cadence.upkeep.plugins.module_utils._core.units import format_size

_NAMED = 10
_SAME = (COPIED, EQUAL)


@dataclass(frozen=True)
class Told:
    """What became of one series: ``copies`` newest first, ``failure`` says what could not be looked at here."""

    series: Series
    copies: tuple[Copied, ...]
    failure: str = ""

    @property
    def wanted(self) -> tuple[Copied, ...]:
        return tuple(one for one in self.copies if one.what != SKIPPED)


@dataclass(frozen=True)
class Offsite:
    """The whole run: the outcome, why the task fails (empty when it does not), and the states for diff mode."""

    outcome: Outcome
    failure: str
    before: str
    after: str


@dataclass(frozen=True)
class Run:
    """What is to be reported: where, what of each series, and what went wrong with the place or the record."""

    wanted: Wanted
    target: str
    told: Sequence[Told]
    unreachable: str = ""
    record_problem: str = ""


def report(run: Run, now: datetime, seconds: float) -> Offsite:
    """Return the result of *run*, which took *seconds*."""
    copies = [one for told in run.told for one in told.copies]
    failed = [one for one in copies if one.what == FAILED]
    outcome = Outcome(
        domain="backup",
        examined=[told.series.name for told in run.told],
        findings=list(_findings(run)),
        observed_at=now,
        actions=[action for one in copies for action in _action(one, run.wanted.site)],
        metrics=[metric for told in run.told for metric in _metrics(told, run.wanted.site)],
        seconds=seconds,
        extra={
            "site": {
                "name": run.wanted.site,
                "method": run.wanted.method,
                "target": run.target,
                "media": run.wanted.media,
                "offsite": run.wanted.offsite,
                "immutable": run.wanted.immutable,
                "record": run.wanted.record,
            },
            "series": [_series(told) for told in run.told],
            "copies": [_copy(one, told, run.wanted) for told in run.told for one in told.wanted],
        },
    )
    failure = f"{run.wanted.site} cannot be used: {run.unreachable}." if run.unreachable else ""
    if failed:
        first = failed[0]
        failure = (
            f"{len(failed)} backups could not be copied to {run.wanted.site}: {first.backup.local.path}: {first.why}."
        )
    return Offsite(outcome, failure, _shown(run.told, False), _shown(run.told, True))


def _series(told: Told) -> dict[str, Any]:
    newest = next(iter(told.wanted), None)
    left = [one for one in told.wanted if one.what in (MISSING, PLANNED, FAILED)]
    return {
        "name": told.series.name,
        "count": len(told.wanted),
        **{
            key: sum(1 for one in told.wanted if one.what == what)
            for key, what in (
                *(("equal", EQUAL), ("copied", COPIED), ("different", DIFFERENT), ("missing", MISSING)),
                *(("planned", PLANNED), ("failed", FAILED), ("unknown", DOUBTFUL), ("source_bad", SOURCE_BAD)),
            )
        },
        "skipped": len(told.copies) - len(told.wanted),
        "missing_bytes": sum(one.backup.bytes for one in left),
        "sent_bytes": sum(one.sent or 0 for one in told.wanted),
        "newest": newest.backup.local.path if newest else None,
        "newest_is_there": newest.what in _SAME if newest else None,
    }


def _copy(one: Copied, told: Told, wanted: Wanted) -> dict[str, Any]:
    """Return one copy in the form of the copies of ``backup_verify``, and more."""
    present = {DOUBTFUL: None, FAILED: None, SOURCE_BAD: None, MISSING: False, PLANNED: False}.get(one.what, True)
    equal = True if one.what in _SAME else False if one.what in (DIFFERENT, MISSING, PLANNED) else None
    return {
        "series": told.series.name,
        "source": one.backup.local.path,
        "site": wanted.site,
        "path": one.backup.local.name,
        "media": wanted.media,
        "offsite": wanted.offsite,
        "immutable": wanted.immutable and bool(present),
        "present": present,
        "equal": equal,
        "why": one.why,
        "what": one.what,
        "how": one.how,
        "taken_at": rfc3339(one.backup.taken_at),
        "bytes": one.backup.bytes,
        "sha256": one.sha256 or None,
        "checked_at": one.checked_at or None,
        "sent_bytes": one.sent,
        "retries": one.attempts,
        "seconds": round(one.seconds, 3),
    }


def _action(one: Copied, site: str) -> Iterator[Action]:
    status = {COPIED: core.DONE, PLANNED: core.PLANNED, FAILED: core.FAILED, MISSING: core.SKIPPED}.get(one.what)
    if status is not None:
        name = one.backup.local.name
        reason = one.why or format_size(one.backup.bytes)
        yield Action(f"copy {name}", f"Copy {one.backup.local.path} to {site}", status, reason, one.seconds)


def _metrics(told: Told, site: str) -> Iterator[Metric]:
    labels = {"series": told.series.name, "site": site}
    same = sum(1 for one in told.wanted if one.what in _SAME)
    yield Metric("backup_offsite_equal", same, "count", labels)
    yield Metric("backup_offsite_lacking", len(told.wanted) - same, "count", labels)
    yield Metric("backup_offsite_sent_bytes", sum(one.sent or 0 for one in told.wanted), "bytes", labels)


def _shown(told: Sequence[Told], after: bool) -> str:
    there = [
        one.backup.local.name
        for each in told
        for one in each.wanted
        if one.what in (EQUAL, DIFFERENT) or (after and one.what in (COPIED, PLANNED))
    ]
    return "".join(f"{name}\n" for name in sorted(there))


# --- what is to be said


def _finding(code: str, subject: str, severity: Severity, message: str, evidence: dict[str, Any]) -> Finding:
    return Finding(code, subject, severity, message, evidence, CODES[code].remedy)


def _findings(run: Run) -> Iterator[Finding]:
    site = run.wanted.site
    if run.unreachable:
        same_disk = run.wanted.method == DIRECTORY and "same_disk" in run.unreachable
        code = "backup.offsite_same_disk" if same_disk else "backup.offsite_failed"
        message = f"{site} cannot be used: {run.unreachable}."
        yield _finding(code, site, Severity.CRITICAL, message, {"target": run.target})
    if run.record_problem:
        message = f"What is at {site} cannot be remembered: {run.record_problem}."
        yield _finding("backup.offsite_record", site, Severity.WARNING, message, {"record": run.wanted.record})
    for told in run.told:
        yield from _of_series(told, site, bool(run.unreachable))


def _of_series(told: Told, site: str, unreachable: bool) -> Iterator[Finding]:
    name = told.series.name
    if told.failure:
        message = f"What there is of {name} is not known: {told.failure}."
        yield _finding("backup.offsite_unknown", name, Severity.UNKNOWN, message, {})
    elif not told.wanted:
        message = f"There is no backup of {name} to copy to {site}."
        yield _finding("backup.offsite_nothing", name, Severity.WARNING, message, {"pattern": told.series.pattern})
    for what, code in (
        (DIFFERENT, "backup.offsite_differs"),
        (FAILED, "backup.offsite_failed"),
        (SOURCE_BAD, "backup.offsite_source_bad"),
    ):
        for one in (each for each in told.wanted if each.what == what):
            evidence = {"source": one.backup.local.path, "name": one.backup.local.name}
            message = f"{one.backup.local.path} is not at {site}: it {one.why}."
            if what == DIFFERENT:
                message = f"{one.backup.local.path} has no copy at {site}: {one.why}."
            elif what == FAILED:
                message = f"{one.backup.local.path} was not copied to {site}: {one.why}."
            yield _finding(code, name, Severity.CRITICAL, message, evidence)
    yield from _lacking(told, site, unreachable)
    skipped = [one for one in told.copies if one.what == SKIPPED]
    if skipped:
        message = f"{len(skipped)} things that the pattern of {name} matches are not copied: "
        message += f"{skipped[0].backup.local.path} {skipped[0].why}."
        counted = {"count": len(skipped), "files": [one.backup.local.path for one in skipped[:_NAMED]]}
        yield _finding("backup.offsite_skipped", name, Severity.INFO, message, counted)


def _lacking(told: Told, site: str, unreachable: bool) -> Iterator[Finding]:
    name = told.series.name
    missing = [one for one in told.wanted if one.what == MISSING]
    if missing:
        size = format_size(sum(one.backup.bytes for one in missing))
        severity = Severity.CRITICAL if missing[0] is told.wanted[0] else Severity.WARNING
        message = f"{len(missing)} backups of {name} with {size} are not at {site} yet: {missing[0].why}."
        evidence: dict[str, Any] = {"count": len(missing), "files": [one.backup.local.path for one in missing[:_NAMED]]}
        yield _finding("backup.offsite_missing", name, severity, message, evidence)
    doubtful = [one for one in told.wanted if one.what == DOUBTFUL]
    if doubtful and not unreachable:
        message = f"Of {len(doubtful)} backups of {name} it is not known whether {site} has them: {doubtful[0].why}."
        evidence = {"count": len(doubtful), "files": [one.backup.local.path for one in doubtful[:_NAMED]]}
        yield _finding("backup.offsite_unknown", name, Severity.UNKNOWN, message, evidence)
