# Copyright (c) 2026 Upkeep maintainers
# GNU General Public License v3.0-or-later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Bring the hosts of a run together into the one canonical report. Pure.

The report is plain JSON types (``schema`` 1): ``run``, ``verdict``, ``hosts``, ``findings``. Every other form of it is
made from this one.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from ansible_collections.cadence.upkeep.plugins.module_utils._core.finding import Finding, Severity
from ansible_collections.cadence.upkeep.plugins.module_utils._core.outcome import count_by_severity
from ansible_collections.cadence.upkeep.plugins.module_utils._core.redact import redact, redact_tree

SCHEMA = 1

EXAMINED, UNREACHABLE, HOST_FAILED, NOT_RUN = "examined", "unreachable", "failed", "not run"

VERDICTS = {
    Severity.OK: "Healthy",
    Severity.INFO: "Healthy",
    Severity.WARNING: "Attention",
    Severity.UNKNOWN: "Incomplete",
    Severity.CRITICAL: "Action now",
}


def host_row(host: str, checkup: Any, recorded: Any, now: str) -> dict[str, Any]:
    """Return the row of *host* from what its two tasks registered (anything but a mapping: nothing was registered).

    A host that could not be looked at is a row with an ``unknown`` finding, never a gap.
    """
    if not isinstance(checkup, dict):
        return _blind_row(host, NOT_RUN, "run.host_not_run", "the run never came to it", now)
    if checkup.get("unreachable"):
        return _blind_row(host, UNREACHABLE, "run.unreachable", _words(checkup, "it did not answer"), now)
    if checkup.get("failed"):
        # An error of ours brings a remedy: what the host was told cannot be understood.
        code = "run.invalid_input" if checkup.get("remedy") else "run.host_failed"
        return _blind_row(host, HOST_FAILED, code, _words(checkup, "the checks did not start"), now)
    parts = [checkup]
    if isinstance(recorded, dict) and "summary" in recorded and not recorded.get("failed"):
        parts.append(recorded)
    tasks = [task for part in parts for task in part.get("checks", [])] + list(checkup.get("acting", []))
    findings = [{"host": host, **finding} for part in parts for finding in part.get("findings", [])]
    findings += [
        {"host": host, **finding, "task": task["id"]}
        for task in checkup.get("acting", [])
        for finding in task.get("findings", [])
    ]
    if isinstance(recorded, dict) and (recorded.get("failed") or recorded.get("unreachable")):
        findings.append(_finding(host, "run.not_remembered", _words(recorded, "it was lost"), now))
    elif isinstance(recorded, dict) and recorded.get("not_remembered"):
        findings.append(_finding(host, "run.not_remembered", _words({"msg": recorded["not_remembered"]}, ""), now))
    findings = by_cause(findings)
    counts = count_by_severity(())
    for counted in [part["summary"]["counts"] for part in parts] + [
        task["counts"] for task in checkup.get("acting", [])
    ]:
        for word, count in counted.items():
            counts[word] += count
    if not any(counts.values()):
        findings.append(_finding(host, "run.nothing_examined", "no task applied to it, or each was left out", now))
    return {
        "host": host,
        "status": EXAMINED,
        "worst": _worst(findings, counts).word,
        "counts": counts,
        "changed": any(task.get("changed") and task["status"] != "carried" for task in tasks),
        "tasks": [
            {key: value for key, value in task.items() if key not in ("findings", "actions", "metrics", "digest")}
            for task in tasks
        ],
        "actions": [action for part in parts for action in part.get("actions", [])],
        "metrics": [metric for part in parts for metric in part.get("metrics", [])],
        "left_out": list(checkup.get("left_out", [])),
        "truncated": [part["truncated"] for part in parts if part.get("truncated")],
        "findings": findings,
    }


def by_cause(findings: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """Return the *findings* of a host with one for all tasks that the same thing stopped, such as a wrong password.

    The first of them stands, in the order of the run, and names the others.
    """
    told: list[dict[str, Any]] = []
    first: dict[str, dict[str, Any]] = {}
    for finding in findings:
        cause = _cause(finding)
        if cause and cause in first:
            first[cause]["tasks"].append(finding["task"])
            continue
        told.append({**finding, "tasks": [finding["task"]]} if cause else dict(finding))
        if cause:
            first[cause] = told[-1]
    for finding in first.values():
        tasks = list(dict.fromkeys(finding.pop("tasks")))
        if len(tasks) > 1:
            finding["message"] += f" The same stopped {', '.join(tasks[1:])}."
            finding["evidence"] = {**finding["evidence"], "tasks": tasks}
    return told


def _cause(finding: Mapping[str, Any]) -> str:
    """Return what stopped a task, as a text to compare; empty when that is not known so well."""
    evidence = {key: value for key, value in finding.get("evidence", {}).items() if key != "subject"}
    if finding["code"] != "task.failed" or not evidence or "task" not in finding:
        return ""
    return json.dumps([finding["severity"], evidence, finding["remedy"]], sort_keys=True)


def _blind_row(host: str, status: str, code: str, why: str, now: str) -> dict[str, Any]:
    return {
        "host": host,
        "status": status,
        "worst": Severity.UNKNOWN.word,
        "counts": count_by_severity([Severity.UNKNOWN]),
        "changed": False,
        "tasks": [],
        "actions": [],
        "metrics": [],
        "left_out": [],
        "truncated": [],
        "findings": [_finding(host, code, why, now)],
    }


_STEPS = {
    "run.unreachable": "Log in the way Ansible does: `ansible {host} -m ansible.builtin.ping`.",
    "run.host_failed": "Mend what the message names on {host}, then run again with `--limit {host}`.",
    "run.invalid_input": "Correct the variable that the message names, then run again with `--limit {host}`.",
    "run.not_remembered": "See what was done on {host}: it counts as not done yet, and the next run does it again.",
    "run.host_not_run": "Look in the output for what ended the run early, then run again with `--limit {host}`.",
    "run.nothing_examined": "See why each task was left out: `playbooks/plan.yml --limit {host}`.",
}


_SAYS = {
    "run.nothing_examined": "Nothing was examined",
    "run.not_remembered": "What acted on {host} is not remembered there",
}


def _finding(host: str, code: str, why: str, now: str) -> dict[str, Any]:
    message = f"{_SAYS.get(code, 'Nothing is known about {host}').format(host=host)}: {why}".rstrip(".") + "."
    finding = Finding(code, host, Severity.UNKNOWN, message, {}, _STEPS[code].format(host=host), observed_at=now)
    return {"host": host, **finding.as_dict()}


def _words(result: Mapping[str, Any], otherwise: str) -> str:
    words = " ".join(str(result.get("msg") or "").split())
    stderr = " ".join(str(result.get("module_stderr") or "").split())
    return redact(f"{words} {stderr}".strip()[:600]) or otherwise


def _worst(findings: Iterable[Mapping[str, Any]], counts: Mapping[str, int]) -> Severity:
    severities = [Severity.from_word(finding["severity"]) for finding in findings]
    severities += [Severity.from_word(word) for word, count in counts.items() if count]
    return max(severities, default=Severity.UNKNOWN)


def build_report(run: Mapping[str, Any], rows: Sequence[Mapping[str, Any]], finished_at: str) -> dict[str, Any]:
    """Return the canonical report of *run* ``{id, cadence, started_at, check_mode, ...}`` over its host *rows*."""
    findings = sorted(
        (finding for row in rows for finding in row["findings"]),
        key=lambda finding: (
            -Severity.from_word(finding["severity"]),
            finding["code"],
            finding["subject"],
            finding["host"],
        ),
    )
    counts = count_by_severity(())
    for row in rows:
        for word, count in row["counts"].items():
            counts[word] += count
    worst = max((Severity.from_word(row["worst"]) for row in rows), default=Severity.UNKNOWN)
    report = {
        "schema": SCHEMA,
        "run": {**run, "finished_at": finished_at},
        "verdict": {
            "word": VERDICTS[worst],
            "worst": worst.word,
            "objects": counts,
            "findings": count_by_severity(Severity.from_word(finding["severity"]) for finding in findings),
            "hosts": {
                "total": len(rows),
                **{
                    status: sum(row["status"] == status for row in rows)
                    for status in (EXAMINED, UNREACHABLE, HOST_FAILED, NOT_RUN)
                },
                "changed": sum(bool(row["changed"]) for row in rows),
            },
        },
        "hosts": [{key: value for key, value in row.items() if key != "findings"} for row in rows],
        "findings": findings,
    }
    redacted: dict[str, Any] = redact_tree(report)
    return redacted


def summary_of(report: Mapping[str, Any]) -> dict[str, Any]:
    """Return the few values that a scheduler keeps of a run (``set_stats``)."""
    return {
        "upkeep_run": report["run"]["id"],
        "upkeep_verdict": report["verdict"]["word"],
        "upkeep_worst": report["verdict"]["worst"],
        "upkeep_findings": report["verdict"]["findings"],
        "upkeep_hosts": report["verdict"]["hosts"],
    }
