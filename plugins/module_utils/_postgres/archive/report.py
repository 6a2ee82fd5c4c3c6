# Copyright (c) 2026 Upkeep maintainers
# GNU General Public License v3.0-or-later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Put what was found and done into the one result form. Pure."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from datetime import datetime
from typing import Any

from ansible_collections.cadence.upkeep.plugins.module_utils._core import finding as core
from ansible_collections.cadence.upkeep.plugins.module_utils._core.finding import Action, Metric
from ansible_collections.cadence.upkeep.plugins.module_utils._core.outcome import Outcome
from ansible_collections.cadence.upkeep.plugins.module_utils._postgres.archive.evaluate import evaluate, size_of
from ansible_collections.cadence.upkeep.plugins.module_utils._postgres.archive.model import (
    BUDGET,
    CHANGED,
    STILL_THERE,
    STOPPED,
    TIME_LIMIT,
    VANISHED,
    Entry,
    Options,
    Plan,
    Removed,
    Snapshot,
)
from ansible_collections.cadence.upkeep.plugins.module_utils._postgres.archive.names import PARTIAL, SEGMENT
from ansible_collections.cadence.upkeep.plugins.module_utils._postgres.ended import Ended
from ansible_collections.cadence.upkeep.plugins.module_utils._postgres.model import instant

LISTED_FILES, LISTED_ACTIONS, LISTED_NEEDS = 200, 50, 30
_SKIPPED = {
    VANISHED: "somebody else removed it meanwhile",
    CHANGED: "it changed after it was looked at",
    BUDGET: "max_delete is reached",
    TIME_LIMIT: "the time limit is over",
    STOPPED: "an earlier file could not be removed",
    STILL_THERE: "it is there again",
}


def report(
    snapshot: Snapshot, plan: Plan, options: Options, removed: Removed | None, now: datetime, seconds: float
) -> Ended:
    """Return the result; *removed* is ``None`` in check mode."""
    archive = snapshot.archive
    chosen = plan.remove[: options.max_delete]
    gone = [entry for entry in plan.remove if entry.name in removed.names] if removed is not None else list(chosen)
    names = {entry.name for entry in gone}
    rest = [entry for entry in archive.entries if entry.name not in names]
    shown = [*gone[:LISTED_ACTIONS], *_troubled(plan, removed)]
    outcome = Outcome(
        domain="pg",
        examined=[archive.subject],
        findings=evaluate(snapshot, plan, options, removed),
        observed_at=now,
        actions=[_action(entry, plan, snapshot, removed) for entry in shown],
        metrics=_metrics(snapshot, plan, rest, gone),
        seconds=seconds,
        extra={
            "archive": _archive_as_dict(snapshot, plan, rest, gone),
            "needs": [need.as_dict(archive) for need in plan.needs[:LISTED_NEEDS]],
            "base_backups": [_kept_as_dict(snapshot, plan, backup.id) for backup in plan.kept[:LISTED_NEEDS]],
            "files": [entry.name for entry in gone[:LISTED_FILES]],
        },
    )
    left_out = {
        "actions": len(gone) - LISTED_ACTIONS,
        "needs": len(plan.needs) - LISTED_NEEDS,
        "base_backups": len(plan.kept) - LISTED_NEEDS,
        "files": len(gone) - LISTED_FILES,
    }
    return Ended(
        outcome,
        truncated={key: count for key, count in left_out.items() if count > 0},
        failure=_failure(snapshot, removed),
        before=_state(archive.path, archive.entries),
        after=_state(archive.path, rest),
    )


def _troubled(plan: Plan, removed: Removed | None) -> list[Entry]:
    """Return what was left for a reason of its own; what a limit left is one finding."""
    if removed is None:
        return []
    own = {name for name, why in removed.left.items() if why in (VANISHED, CHANGED, STILL_THERE)}
    return [entry for entry in plan.remove if entry.name in own or entry.name == removed.failed][:LISTED_ACTIONS]


def _action(entry: Entry, plan: Plan, snapshot: Snapshot, removed: Removed | None) -> Action:
    reason = f"older than what {plan.keep.title} needs"
    status = core.PLANNED if removed is None else core.DONE
    if removed is not None and entry.name == removed.failed:
        status, reason = core.FAILED, removed.error
    elif removed is not None and entry.name in removed.left:
        status, reason = core.SKIPPED, _SKIPPED[removed.left[entry.name]]
    subject = f"{snapshot.archive.subject}/{entry.name}"
    return Action(subject, f"remove {entry.name} ({entry.size} bytes)", status, reason)


def _failure(snapshot: Snapshot, removed: Removed | None) -> str:
    if removed is None:
        return ""
    back = [name for name, why in removed.left.items() if why == STILL_THERE]
    if removed.failed:
        return f"{removed.failed} in {snapshot.archive.path} could not be removed: {removed.error}."
    return f"{back[0]} in {snapshot.archive.path} is there again after it was removed." if back else ""


def _archive_as_dict(snapshot: Snapshot, plan: Plan, rest: list[Entry], gone: list[Entry]) -> dict[str, Any]:
    archive = snapshot.archive
    segments = [entry for entry in rest if entry.kind == SEGMENT]
    newest = max(segments, key=lambda entry: (entry.number, entry.timeline), default=None)
    kinds = Counter(entry.kind for entry in rest)
    return {
        "path": archive.path,
        "segment_size": archive.segment_size,
        "segments": len(segments),
        "partial": kinds[PARTIAL],
        "backup_history": sum(entry.kind not in (SEGMENT, PARTIAL) for entry in rest),
        "timeline_history": archive.history_files,
        "unknown": archive.unknown,
        "bytes": size_of(rest),
        "oldest": segments[0].name if segments else "",
        "newest": newest.name if newest else "",
        "newest_at": instant(newest.changed) if newest else None,
        "timelines": sorted({entry.timeline for entry in segments}),
        "timeline": plan.chain.timeline,
        "keep": plan.keep.as_dict(archive),
        "removed": len(gone),
        "removed_bytes": size_of(gone),
        "missing": sum(gap.count for gap in plan.chain.gaps),
        "server_asked": snapshot.server is not None,
        "notes": list(archive.notes),
    }


def _kept_as_dict(snapshot: Snapshot, plan: Plan, name: str) -> dict[str, Any]:
    backup = next(each for each in plan.kept if each.id == name)
    archive = snapshot.archive
    return {
        "id": backup.id,
        "start": archive.name_of(backup.first, backup.timeline),
        "end": None if backup.last is None else archive.name_of(backup.last, backup.timeline),
        "started": backup.started,
        "usable": backup not in plan.unusable,
    }


def _metrics(snapshot: Snapshot, plan: Plan, rest: list[Entry], gone: list[Entry]) -> list[Metric]:
    archive = snapshot.archive
    labels = {"cluster": archive.label, "path": archive.path}
    segments = [entry for entry in rest if entry.kind == SEGMENT]
    found = [
        Metric("pg_wal_archive_bytes", size_of(rest), "bytes", labels),
        Metric("pg_wal_archive_segments", len(segments), "count", labels),
        Metric("pg_wal_archive_removed", size_of(gone), "bytes", labels),
        Metric("pg_wal_archive_missing_segments", sum(gap.count for gap in plan.chain.gaps), "count", labels),
    ]
    newest = max((entry.changed for entry in segments), default=None)
    if newest is not None:
        age = round(max(0.0, snapshot.now - newest), 3)
        found.append(Metric("pg_wal_archive_newest_age", age, "seconds", labels))
    return found


def _state(path: str, entries: Iterable[Entry]) -> str:
    listed = list(entries)
    segments = [entry.name for entry in listed if entry.kind == SEGMENT]
    return (
        f"{path}: {len(listed)} files, {size_of(listed)} bytes, oldest segment {segments[0] if segments else 'none'}\n"
    )
