# Copyright (c) 2026 Upkeep maintainers
# GNU General Public License v3.0-or-later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Put what a run made into the one result form. Pure."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from ansible_collections.cadence.upkeep.plugins.module_utils._backup.create.codes import finding
from ansible_collections.cadence.upkeep.plugins.module_utils._backup.create.model import Job, Made
from ansible_collections.cadence.upkeep.plugins.module_utils._core.finding import (
    DONE,
    FAILED,
    PLANNED,
    SKIPPED,
    Action,
    Finding,
    Metric,
    Severity,
)
from ansible_collections.cadence.upkeep.plugins.module_utils._core.outcome import Outcome
from ansible_collections.cadence.upkeep.plugins.module_utils._core.times import rfc3339
from ansible_collections.cadence.upkeep.plugins.module_utils._core.units import format_duration, format_size


@dataclass(frozen=True)
class Created:
    """The whole run: the outcome, why the task fails (empty when it does not), and the states for diff mode."""

    outcome: Outcome
    failure: str
    before: str
    after: str

    def as_result(self) -> dict[str, Any]:
        return self.outcome.as_result()


def report(
    job: Job, made: Sequence[Made], removed: Sequence[str], removable: Sequence[str], now: datetime, seconds: float
) -> Created:
    """Return the result. *removed* are leftovers that were removed, *removable* those that would be (check mode)."""
    done = [one for one in made if one.status in (DONE, PLANNED)]
    outcome = Outcome(
        domain="backup",
        examined=[one.subject for one in made],
        findings=[*(found for one in made for found in _findings(one)), *_leftovers(job, removed)],
        observed_at=now,
        actions=[
            *(
                Action(path, f"Remove {path}, which an earlier run left", DONE, "that run was killed")
                for path in removed
            ),
            *(
                Action(path, f"Remove {path}, which an earlier run left", PLANNED, "that run was killed")
                for path in removable
            ),
            *map(_action, made),
        ],
        metrics=[metric for one in made for metric in _metrics(one)],
        seconds=seconds,
        extra={"backups": [_record(one) for one in made]},
    )
    failed = [one for one in made if one.status == FAILED]
    failure = ""
    if failed:
        failure = f"{len(failed)} of {len(made)} backups failed. {failed[0].subject}: {failed[0].reason}"
    return Created(outcome, failure, "", "".join(f"{one.path}\n" for one in done))


def _findings(made: Made) -> Iterator[Finding]:
    yield from made.findings
    subject = made.subject
    if made.status == FAILED:
        evidence = {"series": made.series, **(made.error.get("evidence") or {})}
        yield finding("backup.create_failed", subject, Severity.CRITICAL, f"{subject}: {made.reason}", evidence)
    elif made.status == SKIPPED:
        message = f"{subject}: no backup is needed, because {made.reason}."
        yield finding("backup.not_needed", subject, Severity.OK, message, {"series": made.series})
    elif made.status == DONE and made.manifest is not None:
        manifest = made.manifest
        message = (
            f"{subject}: {made.path} has {format_size(manifest.stored_size)}, "
            f"made in {format_duration(made.seconds.get('total', 0.0))}."
        )
        evidence = {"series": made.series, "sha256": manifest.stored_sha256, "content_checked": made.content_checked}
        yield finding("backup.created", subject, Severity.OK, message, evidence)


def _leftovers(job: Job, removed: Sequence[str]) -> Iterator[Finding]:
    if removed:
        message = f"{job.series}: {len(removed)} leftovers of a killed run were removed, such as {removed[0]}."
        evidence = {"count": len(removed), "paths": list(removed[:5])}
        yield finding("backup.leftover_removed", job.series, Severity.INFO, message, evidence)


def _action(made: Made) -> Action:
    where = f" to {made.path}" if made.path else ""
    by = f" by {made.program}" if made.program else ""
    size = ""
    if made.status == PLANNED and made.expected_bytes:
        size = f", about {format_size(made.expected_bytes)}"
    return Action(
        made.series,
        f"Back up {made.subject}{where}{by}{size}",
        made.status,
        made.reason,
        made.seconds.get("total", 0.0),
    )


def _metrics(made: Made) -> Iterator[Metric]:
    labels = {"series": made.series}
    if made.manifest is not None:
        yield Metric("backup_created_bytes", made.manifest.stored_size, "bytes", labels)
        if made.manifest.plain_size is not None and made.manifest.plain_sha256:
            yield Metric("backup_created_plain_bytes", made.manifest.plain_size, "bytes", labels)
    for phase, seconds in made.seconds.items():
        yield Metric("backup_created_seconds", round(seconds, 3), "seconds", {**labels, "phase": phase})


def _record(made: Made) -> dict[str, Any]:
    record: dict[str, Any] = {
        "series": made.series,
        "subject": made.subject,
        "status": made.status,
        "reason": made.reason,
        "path": made.path,
        "program": made.program,
        "expected_bytes": made.expected_bytes,
        "seconds": {phase: round(seconds, 3) for phase, seconds in made.seconds.items()},
    }
    if made.error:
        record["error"] = dict(made.error)
    manifest = made.manifest
    if manifest is None:
        return record
    rows = manifest.rows
    return {
        **record,
        "manifest": made.manifest_path,
        "signature": made.signature,
        "kind": manifest.kind,
        "taken_at": rfc3339(manifest.taken_at),
        "format": list(manifest.formats),
        "size": manifest.stored_size,
        "sha256": manifest.stored_sha256,
        "plain_size": manifest.plain_size,
        "programs": [{"program": program, "status": status} for program, status in manifest.statuses],
        "server_version": manifest.source.server_version,
        "tables": len(rows) if rows is not None else None,
        "rows": sum(rows.values()) if rows is not None else None,
        "members": manifest.members.count if manifest.members is not None else None,
        "content_checked": made.content_checked,
    }
