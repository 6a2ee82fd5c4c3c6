# Copyright (c) 2026 Upkeep maintainers
# GNU General Public License v3.0-or-later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Put what was decided and done into the one result form. Pure."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from ansible_collections.cadence.upkeep.plugins.module_utils._backup.prune.codes import CODES
from ansible_collections.cadence.upkeep.plugins.module_utils._backup.prune.model import (
    BAD,
    CHANGED,
    DEFERRED,
    DOUBTFUL,
    FAILED,
    KEPT,
    REMOVED,
    VERIFIED,
    Candidate,
    Decision,
    Leftover,
    SeriesPlan,
)
from ansible_collections.cadence.upkeep.plugins.module_utils._backup.prune.survey import CUT_OFF
from ansible_collections.cadence.upkeep.plugins.module_utils._core import finding as core
from ansible_collections.cadence.upkeep.plugins.module_utils._core.finding import Action, Finding, Metric, Severity
from ansible_collections.cadence.upkeep.plugins.module_utils._core.outcome import Outcome
from ansible_collections.cadence.upkeep.plugins.module_utils._core.times import rfc3339
from ansible_collections.cadence.upkeep.plugins.module_utils._core.units import format_duration, format_size

_NAMED = 10
_STATUS = {REMOVED: core.DONE, CHANGED: core.SKIPPED, FAILED: core.FAILED, DEFERRED: core.SKIPPED}


@dataclass(frozen=True)
class Step:
    """One thing that was (in check mode: would be) removed; ``what`` and ``why`` say what became of it."""

    subject: str
    path: str
    what: str
    why: str = ""
    bytes: int = 0
    seconds: float = 0.0


@dataclass(frozen=True)
class Result:
    """One series, with what was done: ``after`` are its backups as they became."""

    plan: SeriesPlan
    after: tuple[Decision, ...]
    steps: tuple[Step, ...] = ()


@dataclass(frozen=True)
class Pruned:
    """The whole run: the outcome, why the task fails (empty when it does not), and the states for diff mode."""

    outcome: Outcome
    failure: str
    before: str
    after: str


def report(results: Sequence[Result], now: datetime, check_mode: bool, seconds: float) -> Pruned:
    findings = [finding for one in results for finding in _findings(one)]
    steps = [step for one in results for step in one.steps]
    failed = [step for step in steps if step.what == FAILED]
    outcome = Outcome(
        domain="backup",
        examined=[one.plan.facts.series.name for one in results],
        findings=findings,
        observed_at=now,
        actions=[_action(step, check_mode) for step in steps],
        metrics=[metric for one in results for metric in _metrics(one)],
        seconds=seconds,
        extra={
            "series": [_series(one) for one in results],
            "files": [_file(one, decision) for one in results for decision in one.after],
            "aside": [
                {"path": aside.path, "reason": aside.reason, "bytes": aside.bytes}
                for one in results
                for aside in one.plan.facts.asides
            ],
            "leftovers": [_leftover(left) for one in results for left in one.plan.facts.leftovers],
        },
    )
    failure = ""
    if failed:
        first = failed[0]
        failure = f"{len(failed)} of {len(steps)} could not be removed: {first.path} {first.why}."
    return Pruned(outcome, failure, _shown(results, before=True), _shown(results, before=False))


def freed(decisions: Sequence[Candidate]) -> int:
    """Return the bytes that go with all of *decisions*: a file that keeps another name frees none."""
    names = Counter((one.identity.device, one.identity.inode) for one in decisions)
    seen: set[tuple[int, int]] = set()
    total = 0
    for one in decisions:
        inode = (one.identity.device, one.identity.inode)
        own = 0 if one.directory else one.identity.size
        total += one.bytes - own
        if inode not in seen and names[inode] >= one.links:
            total += own
        seen.add(inode)
    return total


def _series(result: Result) -> dict[str, Any]:
    plan = result.plan
    removed = [one.candidate for one in result.after if one.what == REMOVED]
    verified = [one for one in result.after if one.candidate.state == VERIFIED]
    newest = verified[0].candidate if verified else None
    return {
        "name": plan.facts.series.name,
        "pattern": plan.facts.series.pattern,
        "count": len(result.after),
        "verified": len(verified),
        "newest_verified": newest.path if newest else None,
        "removed": len(removed),
        "removed_bytes": sum(one.bytes for one in removed),
        "freed_bytes": freed(removed),
        "staying": len(result.after) - len(removed),
        "staying_bytes": sum(one.candidate.bytes for one in result.after if one.what != REMOVED),
        "deferred": sum(1 for one in result.after if one.what == DEFERRED),
        "refused": plan.refusal.code if plan.refusal else None,
        "reason": plan.refusal.why if plan.refusal else "",
    }


def _file(result: Result, decision: Decision) -> dict[str, Any]:
    one = decision.candidate
    return {
        "path": one.path,
        "series": result.plan.facts.series.name,
        "taken_at": rfc3339(one.taken_at),
        "time_from": one.time_from,
        "bytes": one.bytes,
        "beside": list(one.companions),
        "state": one.state,
        "proof": one.why,
        "what": decision.what,
        "reason": decision.reason,
    }


def _leftover(one: Leftover) -> dict[str, Any]:
    return {
        "path": one.path,
        "kind": one.kind,
        "age_seconds": round(max(0.0, one.age)),
        "bytes": one.bytes,
        "in_use": one.busy,
    }


def _action(step: Step, check_mode: bool) -> Action:
    status = core.PLANNED if check_mode and step.what == REMOVED else _STATUS[step.what]
    why = step.why or format_size(step.bytes)
    return Action(f"remove {os.path.basename(step.path)}", f"Remove {step.path}", status, why, step.seconds)


def _metrics(result: Result) -> Iterator[Metric]:
    labels = {"series": result.plan.facts.series.name}
    removed = [one.candidate for one in result.after if one.what == REMOVED]
    yield Metric("backup_pruned", len(removed), "count", labels)
    yield Metric("backup_pruned_bytes", freed(removed), "bytes", labels)


def _shown(results: Sequence[Result], before: bool) -> str:
    lines = sorted(one.candidate.path for result in results for one in result.after if before or one.what != REMOVED)
    return "".join(f"{line}\n" for line in lines)


# --- what is to be said


def _finding(code: str, subject: str, severity: Severity, message: str, evidence: dict[str, Any]) -> Finding:
    return Finding(code, subject, severity, message, evidence, CODES[code].remedy)


def _findings(result: Result) -> Iterator[Finding]:
    plan = result.plan
    name = plan.facts.series.name
    refusal = plan.refusal
    if refusal is not None:
        severity = Severity.from_word(refusal.severity)
        yield _finding(
            refusal.code, name, severity, f"Nothing of {name} was removed: {refusal.why}.", dict(refusal.evidence)
        )
    yield from _bad(result)
    yield from _asides(result)
    yield from _leftovers(result)
    deferred = [one for one in result.after if one.what == DEFERRED]
    if deferred and refusal is None:
        size = format_size(sum(one.candidate.bytes for one in deferred))
        message = f"{len(deferred)} more backups of {name} with {size} are too many: {deferred[0].reason}."
        evidence = {"count": len(deferred), "files": [one.candidate.path for one in deferred[-_NAMED:]]}
        yield _finding("backup.prune_deferred", name, Severity.INFO, message, evidence)
    for what, code, severity in (
        (CHANGED, "backup.prune_changed", Severity.WARNING),
        (FAILED, "backup.prune_failed", Severity.CRITICAL),
    ):
        for step in (one for one in result.steps if one.what == what):
            yield _finding(code, name, severity, f"{step.path} {step.why}.", {"path": step.path})


def _bad(result: Result) -> Iterator[Finding]:
    bad = [one for one in result.after if one.candidate.state in (BAD, DOUBTFUL) and one.what != REMOVED]
    if not bad:
        return
    name, first = result.plan.facts.series.name, bad[0].candidate
    message = f"{len(bad)} of the backups of {name} do not count: of {first.path}, {first.why}."
    evidence = {
        "count": len(bad),
        "files": [{"path": one.candidate.path, "why": one.candidate.why} for one in bad[:_NAMED]],
    }
    yield _finding("backup.prune_bad", name, Severity.WARNING, message, evidence)


def _asides(result: Result) -> Iterator[Finding]:
    name = result.plan.facts.series.name
    asides = result.plan.facts.asides
    for code in sorted({one.code for one in asides if one.code}):
        named = [one for one in asides if one.code == code]
        message = f"{len(named)} things that the pattern of {name} matches were left alone: {named[0].path} "
        evidence = {"count": len(named), "files": [one.path for one in named[:_NAMED]]}
        yield _finding(code, name, Severity.INFO, f"{message}{named[0].reason}.", evidence)


def _leftovers(result: Result) -> Iterator[Finding]:
    name = result.plan.facts.series.name
    gone = {step.path for step in result.steps if step.what == REMOVED}
    left = [one for one in result.plan.facts.leftovers if one.path not in gone]
    cut_off = [one for one in left if one.kind == CUT_OFF]
    if cut_off:
        message = f"A run that was killed had begun to remove {len(cut_off)} backups of {name}: {cut_off[0].path}."
        evidence = {"count": len(cut_off), "files": [one.path for one in cut_off[:_NAMED]]}
        yield _finding("backup.prune_cut_off", name, Severity.WARNING, message, evidence)
    others = [one for one in left if one.kind != CUT_OFF and not one.busy]
    if others:
        oldest = max(others, key=lambda one: one.age)
        size = format_size(sum(one.bytes for one in others))
        message = (
            f"{len(others)} files with {size} were left beside the backups of {name}, "
            f"the oldest {format_duration(max(0.0, oldest.age))} ago: {oldest.path}."
        )
        evidence = {"count": len(others), "files": [one.path for one in others[:_NAMED]]}
        yield _finding("backup.prune_leftover", name, Severity.INFO, message, evidence)


@dataclass
class Record:
    """What happens to one series, as it happens."""

    plan: SeriesPlan
    steps: list[Step] = field(default_factory=list)
    became: dict[str, tuple[str, str]] = field(default_factory=dict)

    def result(self) -> Result:
        """Return the series with each backup as it became; nothing is removed of one that was refused."""
        after = []
        for one in self.plan.decisions:
            what, reason = self.became.get(one.candidate.path, (one.what, one.reason))
            if self.plan.refusal is not None and what in (REMOVED, DEFERRED):
                what, reason = KEPT, f"too many, but nothing is removed: {self.plan.refusal.why}"
            after.append(Decision(one.candidate, what, reason))
        return Result(self.plan, tuple(after), tuple(self.steps))
