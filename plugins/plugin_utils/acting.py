# Copyright (c) 2026 Upkeep maintainers
# GNU General Public License v3.0-or-later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Turn what a role registered into the finished form of its task. Pure."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from ansible_collections.cadence.upkeep.plugins.module_utils._core.finding import (
    SEVERITY_WORDS,
    Finding,
    Severity,
)
from ansible_collections.cadence.upkeep.plugins.module_utils._core.outcome import count_by_severity
from ansible_collections.cadence.upkeep.plugins.module_utils._core.redact import redact

# Ansible's words, which go on with all the options that there are and hide the one that is wrong.
_UNKNOWN_OPTION = re.compile(
    r"(Unsupported parameters for \((\S+)\) module: .*?)\. Supported parameters include", re.DOTALL
)


def finished_task(
    task: Mapping[str, Any], registered: Any, failure: Mapping[str, Any] | None, now: str
) -> dict[str, Any]:
    """Return *task* ``{id, period, digest}`` with how it ended, in the form that ``run_record`` keeps.

    *registered* is what the role registered under its agreed name: the result of a module of this collection, the
    result of a loop over one, or nothing at all for a role of the user's own. *failure* is Ansible's account of the
    task that failed, if one did.
    """
    parts = _parts(registered)
    findings: list[dict[str, Any]] = []
    counts = count_by_severity(())
    for part in parts:
        trouble = _trouble(part)
        if trouble and not _is_found(part, trouble):
            findings.append(_failed(task["id"], _label(part), trouble, part, now))
            counts["unknown"] += 1
        if _is_ours(part):
            # Also of a part that failed: what it did before stands.
            findings.extend(part.get("findings", []))
            for word, count in part["summary"]["counts"].items():
                counts[word] += count
    if failure and not findings_say_it(parts):
        findings.append(_failed(task["id"], "", str(failure.get("msg") or "it said nothing"), failure, now))
        counts["unknown"] += 1
    if not any(counts.values()):
        # A role of the user's own that told us nothing: that it ended well, or did nothing at all, is all we know.
        counts["info" if _was_skipped(registered) else "ok"] = 1
    worst = max(Severity.from_word(word) for word, count in counts.items() if count)
    return {
        "id": task["id"],
        "status": "failed" if failure or any(_trouble(part) for part in parts) else "done",
        "period": task["period"],
        "digest": task["digest"],
        "worst": worst.word,
        "counts": counts,
        "seconds": round(sum(_seconds(part) for part in parts), 3),
        "changed": any(bool(part.get("changed")) for part in parts),
        # Put off until its window opens: it is not done for its period.
        "deferred": any(_is_ours(part) and part.get("deferred") is True for part in parts),
        "findings": findings,
        "actions": [action for part in parts if _is_ours(part) for action in part.get("actions", [])],
        "metrics": [metric for part in parts if _is_ours(part) for metric in part.get("metrics", [])],
    }


def findings_say_it(parts: list[Mapping[str, Any]]) -> bool:
    """True when a part that failed is told already, so that Ansible's account of it would only repeat it."""
    return any(_trouble(part) for part in parts)


def _parts(registered: Any) -> list[Mapping[str, Any]]:
    if not isinstance(registered, dict) or registered.get("skipped"):
        return []
    if isinstance(registered.get("results"), list):
        return [part for part in registered["results"] if isinstance(part, dict) and not part.get("skipped")]
    return [registered]


def _was_skipped(registered: Any) -> bool:
    return isinstance(registered, dict) and not _parts(registered)


def _is_ours(part: Mapping[str, Any]) -> bool:
    """True when *part* has the form of our modules: others may return anything under these names."""
    summary = part.get("summary")
    counts = summary.get("counts") if isinstance(summary, dict) else None
    return isinstance(counts, dict) and set(counts) == set(SEVERITY_WORDS)


def _trouble(part: Mapping[str, Any]) -> str:
    if part.get("unreachable"):
        return f"the host was lost on the way: {part.get('msg', '')}"
    if part.get("failed"):
        return str(part.get("msg") or "it failed without a word")
    return ""


def _is_found(part: Mapping[str, Any], trouble: str) -> bool:
    """True when a finding of the part itself, no less severe than a failure, says the same in the same words."""
    return _is_ours(part) and any(
        finding["message"] == trouble and Severity.from_word(finding["severity"]) >= Severity.UNKNOWN
        for finding in part.get("findings", [])
    )


def _label(part: Mapping[str, Any]) -> str:
    """Return what the part was about, as our modules say it: Ansible drops the label of a loop's item.

    Where the module was never begun, for an option that it does not know, the place in the list must do.
    """
    evidence = part.get("evidence")
    subject = evidence.get("subject", "") if isinstance(evidence, dict) else ""
    if isinstance(subject, str) and subject:
        return subject
    item = part.get(str(part.get("ansible_loop_var", "")))
    return f"[{item}]" if isinstance(item, int) else ""


def _seconds(part: Mapping[str, Any]) -> float:
    return float(part["summary"].get("seconds", 0.0)) if _is_ours(part) else 0.0


def _failed(task_id: str, label: str, message: str, part: Mapping[str, Any], now: str) -> dict[str, Any]:
    evidence = part.get("evidence")
    subject = f"{task_id} {label}".strip()
    remedy = str(part.get("remedy") or "Read the message; run the task alone with upkeep_only and -v to see more.")
    unknown = _UNKNOWN_OPTION.match(message)
    if unknown:
        message, remedy = f"{unknown[1]}.", f"Correct it; `ansible-doc {unknown[2]}` lists every option."
    text = redact(" ".join(message.strip().removesuffix(remedy).split()))[:1000]
    return (
        Finding(
            "task.failed",
            subject,
            Severity.UNKNOWN,
            f"{subject} was not done: {text}",
            evidence if isinstance(evidence, dict) else {},
            remedy,
        )
        .observed(now)
        .as_dict()
    )
