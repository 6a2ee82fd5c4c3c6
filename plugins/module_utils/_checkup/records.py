# Copyright (c) 2026 Upkeep maintainers
# GNU General Public License v3.0-or-later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What a host remembers of a task, and whether that makes the task done for its period. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from ansible_collections.cadence.upkeep.plugins.module_utils._core.finding import Severity

# Worse than this, the task is not settled for its period and is done again when asked for:
# a look costs little and the cause may have been mended; acting work is repeated only when it failed.
SETTLES_CHECK = Severity.INFO
SETTLES_ACTING = Severity.WARNING

KEPT_FINDINGS = 20
# A record that lacks one of these (edited by hand, or written by another version) cannot stand for the task.
_KEPT = frozenset(("period", "digest", "done_at", "worst", "counts", "seconds", "findings"))


def is_settled(record: Any, period: str, digest: str) -> bool:
    """True when *record* says that this very task (*digest* of its parameters) is done for *period*."""
    return (
        isinstance(record, dict)
        and set(record) >= _KEPT
        and bool(period)
        and record.get("period") == period
        and record.get("digest") == digest
        and record.get("settled") is True
    )


def record_of(task: Mapping[str, Any], run_id: str, done_at: str, settles: Severity) -> dict[str, Any]:
    """Return the record of a finished *task* ``{period, digest, worst, counts, seconds, changed, findings}``.

    Findings that are more than ok are kept, so that a later run in the same period can still report them.
    """
    return {
        "period": task["period"],
        "digest": task["digest"],
        "run_id": run_id,
        "done_at": done_at,
        "settled": Severity.from_word(task["worst"]) <= settles and not task.get("deferred"),
        "worst": task["worst"],
        "counts": task["counts"],
        "seconds": task["seconds"],
        "changed": task["changed"],
        "findings": [finding for finding in task["findings"] if finding["severity"] != "ok"][:KEPT_FINDINGS],
    }


def history_line(
    run_id: str, cadence: str, at: str, tasks: list[dict[str, Any]], metrics: list[dict[str, Any]]
) -> dict[str, Any]:
    """Return the line of one run: what ran, how it ended, and the numbers worth a trend."""
    return {
        "run_id": run_id,
        "cadence": cadence,
        "at": at,
        "tasks": {task["id"]: task["worst"] for task in tasks},
        "seconds": round(sum(task["seconds"] for task in tasks), 3),
        "metrics": metrics[:40],
    }
