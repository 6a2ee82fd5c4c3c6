# Copyright (c) 2026 Upkeep maintainers
# GNU General Public License v3.0-or-later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Put what an update did into the one result form. Pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Optional

from ansible_collections.cadence.upkeep.plugins.module_utils._compose.project import ModelRefused
from ansible_collections.cadence.upkeep.plugins.module_utils._compose.roll.journal import Batch, Record, Turn
from ansible_collections.cadence.upkeep.plugins.module_utils._compose.roll.model import (
    PAUSED,
    ROLLBACK_FAILED,
    ROLLED_BACK,
    SUCCESSES,
    UNCHANGED,
    Container,
    Interrupted,
)
from ansible_collections.cadence.upkeep.plugins.module_utils._compose.roll.notes import Notes
from ansible_collections.cadence.upkeep.plugins.module_utils._compose.roll.plan import Seen, described
from ansible_collections.cadence.upkeep.plugins.module_utils._core import finding as core
from ansible_collections.cadence.upkeep.plugins.module_utils._core.errors import (
    CommandFailed,
    ConnectionFailed,
    DeadlineExceeded,
    InvalidInput,
    LockHeld,
    MissingLibrary,
    StateError,
    UpkeepError,
)
from ansible_collections.cadence.upkeep.plugins.module_utils._core.finding import Action, Metric, Severity
from ansible_collections.cadence.upkeep.plugins.module_utils._core.outcome import Outcome

# What other parts of the collection raise, in one word.
_KINDS: dict[type[UpkeepError], str] = {
    Interrupted: "interrupted",
    ModelRefused: "config_invalid",
    LockHeld: "locked",
    ConnectionFailed: "engine_unreachable",
    InvalidInput: "invalid_input",
    MissingLibrary: "library_missing",
    StateError: "state_unusable",
    DeadlineExceeded: "timeout",
    CommandFailed: "command_failed",
}


def kind_of(error: UpkeepError) -> str:
    """Return in one word why a run failed or was not begun."""
    return str(getattr(error, "kind", "")) or _KINDS.get(type(error), "failed")


@dataclass(frozen=True)
class Ended:
    """How a run ended; ``planned`` when it only said what it would do."""

    outcome: str
    record: Record
    error: Mapping[str, Any] = field(default_factory=dict)
    lost: tuple[str, ...] = ()
    planned: bool = False


@dataclass(frozen=True)
class Rolled:
    """The result, why the task fails (empty when it does not), and the states for diff mode."""

    result: Mapping[str, Any]
    failure: str
    before: str
    after: str
    outcome: str

    def as_result(self) -> dict[str, Any]:
        return dict(self.result)


def report(
    ended: Ended,
    *,
    seen: Optional[Seen],
    notes: Notes,
    project: str,
    running: Sequence[Container],
    actions: Sequence[Action],
    removed: Sequence[str],
    changed: bool,
    chosen: Sequence[str],
    now: datetime,
    seconds: float,
) -> Rolled:
    """Return the result of a run."""
    turns = ended.record.turns
    steps = list(actions)
    if ended.planned:
        steps = [
            Action(f"{turn.service}/roll", f"Roll {turn.service} ({turn.order})", core.PLANNED, ", ".join(turn.reasons))
            for turn in turns
        ]
    if ended.outcome == UNCHANGED:
        for name in chosen:
            notes.add("compose.up_to_date", name, Severity.OK, f"{name} is what its model says.")
    services = {turn.service: _service(turn) for turn in turns}
    outcome = Outcome(
        domain="compose",
        examined=[f"{project}/{name}" for name in chosen],
        findings=notes.findings,
        observed_at=now,
        actions=steps,
        metrics=list(_metrics(project, turns, seconds)),
        seconds=seconds,
        extra={
            "outcome": ended.outcome,
            "project": project,
            "plan": described(turns, seen) if seen is not None else [],
            "services": services,
            "running": [one.as_dict() for one in running],
            "removed": list(removed),
            "journal_id": ended.record.id,
            "error": dict(ended.error),
            "lost": list(ended.lost),
        },
    )
    result = outcome.as_result()
    result["changed"] = bool(turns) if ended.planned else changed
    before, after = _states(turns)
    return Rolled(result, _failure(ended), before, after, ended.outcome)


def _failure(ended: Ended) -> str:
    if ended.outcome in SUCCESSES:
        return ""
    why = str(ended.error.get("message") or "Some replicas could not be replaced.")
    what = {
        ROLLED_BACK: "What ran before runs again.",
        ROLLBACK_FAILED: f"It could not be taken back: {' '.join(ended.lost)}",
        PAUSED: "It stands where it failed.",
    }.get(ended.outcome, "The rest was updated.")
    return f"{why} {what}"


def _service(turn: Turn) -> dict[str, Any]:
    gaps = [batch.gap for batch in turn.batches if batch.gap is not None]
    return {
        "reason": turn.reasons,
        "order": turn.order,
        "why": turn.why,
        "replicas": turn.replicas,
        "hash": turn.hash,
        "image": turn.image,
        "image_id": turn.image_id,
        "downtime_expected": turn.gap_expected or "none",
        "downtime_seconds": max(gaps, default=0.0),
        "batches": [_batch(batch) for batch in turn.batches],
    }


def _batch(batch: Batch) -> dict[str, Any]:
    return {
        "old": [old.name for old in batch.old],
        "new": [identity[:12] for identity in batch.new],
        "healthy_after_s": batch.healthy_after,
        "drained_s": batch.drained,
        "stopped_s": batch.stopped,
        "sigkilled": batch.killed,
        "result": batch.result or batch.step,
    }


def _metrics(project: str, turns: Sequence[Turn], seconds: float) -> list[Metric]:
    labels = {"project": project}
    found = [Metric("compose_roll_seconds", round(seconds, 3), "seconds", labels)]
    for turn in turns:
        ready = [batch.healthy_after for batch in turn.batches if batch.healthy_after is not None]
        if ready:
            mine = {**labels, "service": turn.service}
            found.append(Metric("compose_healthy_after_seconds", max(ready), "seconds", mine))
    return found


def _states(turns: Sequence[Turn]) -> tuple[str, str]:
    """Return what diff mode shows: of each service the images and hashes, before and after."""
    before, after = [], []
    for turn in turns:
        olds = [old for batch in turn.batches for old in batch.old]
        before += [f"{turn.service}: {old.name} {old.image} {old.image_id[:19]} {old.hash[:12]}" for old in olds]
        after += [
            f"{turn.service}: {turn.replicas} x {turn.image} {turn.image_id[:19]} {turn.hash[:12]} ({turn.order})"
        ]
    return "".join(f"{line}\n" for line in before), "".join(f"{line}\n" for line in after)
