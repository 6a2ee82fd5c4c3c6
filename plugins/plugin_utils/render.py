# Copyright (c) 2026 Upkeep maintainers
# GNU General Public License v3.0-or-later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Show a report or a plan to a person: on the console, or as Markdown. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from ansible_collections.cadence.upkeep.plugins.module_utils._core.finding import Severity
from ansible_collections.cadence.upkeep.plugins.plugin_utils.report import EXAMINED

CONSOLE_GROUPS = 20
_NAMED_HOSTS = 4
_DATES = ("issuer", "not_after", "remaining_days")

Group = Mapping[str, Any]


def group_findings(report: Mapping[str, Any], least: Severity) -> list[dict[str, Any]]:
    """Return the findings of *least* or worse, one entry for each trouble with the ``hosts`` that have it.

    The report's order stands: worst first.
    """
    groups: dict[tuple[str, str, str], dict[str, Any]] = {}
    for finding in report["findings"]:
        if Severity.from_word(finding["severity"]) < least:
            continue
        group = groups.setdefault(_trouble(finding), {**finding, "hosts": [], "subjects": []})
        for key, name in (("hosts", finding["host"]), ("subjects", finding["subject"])):
            if name not in group[key]:
                group[key].append(name)
    return [_named_once(group) for group in groups.values()]


def _trouble(finding: Mapping[str, Any]) -> tuple[str, str, str]:
    """Return what makes two findings the same trouble, which one line can tell."""
    same = finding["subject"]
    if same == finding["host"]:
        # A subject that is the host itself differs on each host, and is the same trouble all the same.
        same = ""
    elif finding["code"] == "task.invalid":
        # Several checks may be told by one variable: one mistake in it is one trouble.
        same = finding["message"].removeprefix(finding["subject"])
    return finding["severity"], finding["code"], same


def _named_once(group: dict[str, Any]) -> dict[str, Any]:
    others = len(group["subjects"]) - 1
    if group["code"] == "task.invalid" and others:
        rest = group["message"].removeprefix(group["subject"])
        group["message"] = f"{group['subject']} and {_count(others, 'other task')}{rest}"
    return group


def _about(group: Mapping[str, Any]) -> str:
    """Return the subject of a finding where neither its hosts nor its message tell it: which cluster or database."""
    subject = one_line(group["subject"])
    return "" if group["subject"] in group["hosts"] or subject in one_line(group["message"]) else subject


def name_hosts(hosts: Sequence[str], total: int) -> str:
    """Return ``db1``, or ``3 of 40 hosts: db1, db2, db7``, the first few by name."""
    if len(hosts) == 1:
        return hosts[0]
    more = f" and {len(hosts) - _NAMED_HOSTS} more" if len(hosts) > _NAMED_HOSTS else ""
    return f"{len(hosts)} of {total} hosts: {', '.join(hosts[:_NAMED_HOSTS])}{more}"


def console_lines(report: Mapping[str, Any], written: Sequence[str]) -> list[str]:
    """Return the summary for a terminal: at most 10 lines when green, else the worst first, each with its remedy."""
    verdict, run = report["verdict"], report["run"]
    mode = " (check mode)" if run.get("check_mode") else ""
    lines = [
        f"UPKEEP {run['cadence']}{mode}  {run['started_at']}  run {run['id']}",
        f"{verdict['word'].upper()}: {verdict_sentence(report)}",
    ]
    groups = group_findings(report, Severity.WARNING)
    for group in groups[:CONSOLE_GROUPS]:
        where = name_hosts(group["hosts"], verdict["hosts"]["total"])
        lines.append(f"  {group['severity'].upper():8}  {group['code']}  [{where}]  {_about(group)}".rstrip())
        lines.append(f"      {one_line(group['message'])}{_age(group, run)}")
        if group["remedy"]:
            lines.append(f"      -> {one_line(group['remedy'])}")
    if len(groups) > CONSOLE_GROUPS:
        lines.append(f"  ... and {len(groups) - CONSOLE_GROUPS} more, in the report")
    lines.append(change_sentence(report))
    if written:
        lines.append(f"Report: {', '.join(written)}")
    return lines


def one_line(text: Any) -> str:
    """Return *text*, which may come from a host, as one line that neither moves the cursor nor looks like another."""
    return "".join(letter if letter.isprintable() else "?" for letter in " ".join(str(text).split()))


def _age(finding: Mapping[str, Any], run: Mapping[str, Any]) -> str:
    seen = finding.get("observed_at", "")
    return f" (seen at {seen})" if seen and seen < run["started_at"] else ""


def verdict_sentence(report: Mapping[str, Any]) -> str:
    """Return the verdict in one sentence: findings by severity, hosts, objects, and who was not seen."""
    verdict = report["verdict"]
    hosts, objects = verdict["hosts"], sum(verdict["objects"].values())
    bad = [
        f"{verdict['findings'][word]} {word}"
        for word in ("critical", "unknown", "warning")
        if verdict["findings"][word]
    ]
    seen = f"{hosts[EXAMINED]} of {_count(hosts['total'], 'host')} examined, {_count(objects, 'object')}"
    unseen = [f"{hosts[status]} {status}" for status in ("unreachable", "failed", "not run") if hosts[status]]
    carried = sum(task["status"] == "carried" for row in report["hosts"] for task in row["tasks"])
    tasks = sum(len(row["tasks"]) for row in report["hosts"])
    seen += f" in {_count(tasks, 'task')}"
    if carried:
        seen += f", {carried} of them done earlier in the period"
    return f"{', '.join(bad) or 'nothing to do'}; {seen}{''.join(f', {word}' for word in unseen)}."


def change_sentence(report: Mapping[str, Any]) -> str:
    """Return what the run changed (would change, in check mode), by task."""
    steps: dict[str, int] = {}
    wanted = "planned" if report["run"].get("check_mode") else "done"
    for row in report["hosts"]:
        for action in row["actions"]:
            steps[action.get("task", "")] = steps.get(action.get("task", ""), 0) + (action["status"] == wanted)
    if not any(steps.values()):
        return "Changed: nothing."
    verb = "Would change" if report["run"].get("check_mode") else "Changed"
    return (
        f"{verb}: "
        + ", ".join(f"{task} {_count(count, 'step')}" for task, count in sorted(steps.items()) if count)
        + "."
    )


def _count(number: int, noun: str) -> str:
    return f"{number} {noun}{'' if number == 1 else 's'}"


def markdown(report: Mapping[str, Any]) -> str:
    """Return the report as a Markdown page: verdict, what to do, hosts, what was done, what was left out."""
    run = report["run"]
    mode = ", check mode" if run.get("check_mode") else ""
    parts = [
        f"# Upkeep, {run['cadence']}: {report['verdict']['word']}",
        f"{verdict_sentence(report)[0].upper()}{verdict_sentence(report)[1:]}",
        f"Run `{run['id']}`, {run['started_at']} to {run['finished_at']}{mode}.",
        "## Do next",
        _do_next(report),
        "## Hosts",
        _table(
            ("host", "state", "worst", "tasks", "objects", "changed"),
            (
                (
                    row["host"],
                    row["status"],
                    row["worst"],
                    len(row["tasks"]),
                    sum(row["counts"].values()),
                    "yes" if row["changed"] else "no",
                )
                for row in report["hosts"]
            ),
        ),
        "## Tasks",
        _table(
            ("host", "task", "status", "worst", "objects", "seconds", "done at"),
            (
                (
                    row["host"],
                    task["id"],
                    task["status"],
                    task["worst"],
                    sum(task["counts"].values()),
                    task["seconds"],
                    task.get("done_at", run["started_at"]),
                )
                for row in report["hosts"]
                for task in row["tasks"]
            ),
        ),
        "## Actions",
        _table(
            ("host", "task", "action", "status", "reason"),
            (
                (row["host"], action.get("task", ""), action["description"], action["status"], action["reason"])
                for row in report["hosts"]
                for action in row["actions"]
            ),
        ),
        *_inventory(report),
        "## Left out",
        _table(
            ("host", "task", "reason"),
            ((row["host"], left["id"], left["reason"]) for row in report["hosts"] for left in row["left_out"]),
        ),
    ]
    return "\n\n".join(parts) + "\n"


def _do_next(report: Mapping[str, Any]) -> str:
    total = report["verdict"]["hosts"]["total"]
    return _table(
        ("severity", "hosts", "code", "what", "remedy"),
        (
            (
                group["severity"],
                name_hosts(group["hosts"], total),
                f"`{group['code']}`",
                ": ".join(filter(None, (_about(group), group["message"]))),
                group["remedy"],
            )
            for group in group_findings(report, Severity.WARNING)
        ),
    )


def _inventory(report: Mapping[str, Any]) -> list[str]:
    """Return the certificates that were looked at, the one that ends first at the front; nothing where none was."""
    rows: dict[tuple[str, str], dict[str, Any]] = {}
    for finding in report["findings"]:  # worst first
        if finding["code"].startswith("cert."):
            row = rows.setdefault((finding["host"], finding["subject"]), {"state": finding["severity"]})
            row.update({key: finding["evidence"][key] for key in _DATES if key in finding["evidence"]})
    dated = {names: row for names, row in rows.items() if all(key in row for key in _DATES)}
    if not dated:
        return []
    listed = sorted(dated.items(), key=lambda item: (item[1]["remaining_days"], item[0]))
    return [
        "## Certificates",
        _table(
            ("host", "name", "issuer", "until", "days", "state"),
            (
                (host, name, row["issuer"], row["not_after"], f"{row['remaining_days']:.1f}", row["state"])
                for (host, name), row in listed
            ),
        ),
    ]


def _table(head: Sequence[str], rows: Iterable[Sequence[Any]]) -> str:
    body = ["| " + " | ".join(_cell(value) for value in row) + " |" for row in rows]
    if not body:
        return "Nothing."
    return "\n".join(["| " + " | ".join(head) + " |", "|" + " --- |" * len(head), *body])


def _cell(value: Any) -> str:
    """A cell holds what hosts said: it must not end the cell, nor become markup."""
    text = one_line(value).replace("&", "&amp;").replace("<", "&lt;")
    # A backslash before a pipe would undo its escape; a link or an image needs `](`.
    return text.replace("\\|", "&#92;|").replace("|", "\\|").replace("](", "]\\(")


def plan_lines(run: Mapping[str, Any], rows: Sequence[Mapping[str, Any]]) -> list[str]:
    """Return the plan of each host for a terminal.

    *rows* are ``{host, tasks: [{id, cadence, acts, limit, does}], left_out: [{id, reason}], problems: [text]}``.
    """
    lines = [f"PLAN {run['cadence']}  {run['started_at']}  (nothing is run)"]
    for row in rows:
        lines.append(f"{row['host']}: {_count(len(row['tasks']), 'task')} to run")
        lines.extend(f"  ! {one_line(problem)}" for problem in row["problems"])
        for number, task in enumerate(row["tasks"], 1):
            kind = f"acts, budget {task['limit']}" if task["acts"] else f"looks, deadline {task['limit']}"
            lines.append(f"  {number:3}. {task['id']:24} {task['cadence']:9} {kind:22} {task['does']}".rstrip())
        if row["left_out"]:
            lines.append("  left out:")
            lines.extend(f"     - {left['id']:24} {one_line(left['reason'])}" for left in row["left_out"])
    return lines
