# Copyright (c) 2026 Upkeep maintainers
# GNU General Public License v3.0-or-later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Run every check that is due on a host in one call, and remember what was done."""

from __future__ import annotations

import os
import socket
import time
from collections.abc import Mapping
from datetime import datetime
from typing import Any, Callable

from ansible_collections.cadence.upkeep.plugins.module_utils._checkup.codes import CODES
from ansible_collections.cadence.upkeep.plugins.module_utils._checkup.records import (
    SETTLES_ACTING,
    SETTLES_CHECK,
    history_line,
    is_settled,
    record_of,
)
from ansible_collections.cadence.upkeep.plugins.module_utils._checkup.registry import find_check
from ansible_collections.cadence.upkeep.plugins.module_utils._core.account import become
from ansible_collections.cadence.upkeep.plugins.module_utils._core.argspec import Check, validate
from ansible_collections.cadence.upkeep.plugins.module_utils._core.errors import (
    InvalidInput,
    StateError,
    UpkeepError,
)
from ansible_collections.cadence.upkeep.plugins.module_utils._core.finding import Finding, Severity
from ansible_collections.cadence.upkeep.plugins.module_utils._core.isolate import (
    DONE,
    RAISED,
    TIMED_OUT,
    Ended,
    Job,
    run_isolated,
)
from ansible_collections.cadence.upkeep.plugins.module_utils._core.outcome import RESULT_BYTES, cap, count_by_severity
from ansible_collections.cadence.upkeep.plugins.module_utils._core.redact import redact_tree
from ansible_collections.cadence.upkeep.plugins.module_utils._core.state import HostState, directory_of
from ansible_collections.cadence.upkeep.plugins.module_utils._core.times import parse_rfc3339, rfc3339, utc_now
from ansible_collections.cadence.upkeep.plugins.module_utils._core.units import parse_duration

RAN, CARRIED, PLANNED, FAILED = "done", "carried", "planned", "failed"

# Besides the ways in which a job can end: it never began, because its parameters are not valid.
REFUSED = "refused"


def run_checkup(
    params: Mapping[str, Any], remember: bool, learn_secrets: Callable[[frozenset[str]], None]
) -> dict[str, Any]:
    """Run the checks of *params* (validated ``CHECKUP_SPEC``) and return the merged result.

    Each check becomes an entry of ``checks``: done, carried (settled for its period: its earlier findings stand),
    planned (``plan_only``) or failed. ``due`` lists the acting tasks that their records do not settle, ``later`` the
    checks that wait for one of them: ``record_tasks`` runs those. With *remember*, records and a line of history are
    written. *learn_secrets* is told every secret parameter, so that the caller can keep them out of what it prints.
    """
    started = time.monotonic()
    _require_unique([task["id"] for task in [*params["checks"], *params["acting"]]])
    now = parse_rfc3339(params["now"]) if params["now"] else utc_now()
    memory = Memory.open(params, now)
    carried, waiting = memory.split(params["checks"], params["force"])
    settled_acting, due = memory.split(params["acting"], params["force"])
    # Only a check that really runs now stands for those that it covers: what it saw days ago does not.
    covered = {task_id: check["id"] for check in waiting for task_id in check["covers"]}
    waiting = [check for check in waiting if check["id"] not in covered]
    carried = [entry for entry in carried if entry["id"] not in covered]
    later: list[dict[str, Any]] = []
    if params["plan_only"]:
        ran = [_planned(check) for check in waiting]
    else:
        acting = {task["id"] for task in due if memory.problem is None}
        later = [check for check in waiting if acting & set(check["after"])]
        ran = _run([check for check in waiting if check not in later], now, learn_secrets)
        if remember:
            memory.remember(ran, SETTLES_CHECK)
            if due:
                memory.require_writable()
    if memory.problem is not None:
        # Without its memory a host cannot say what was done already, nor keep two runs apart: it only looks.
        due = []
        ran += _run(later, now, learn_secrets)
        later = []
    return merge(
        ran + carried,
        findings=memory.findings(),
        seconds=time.monotonic() - started,
        extra={
            "acting": settled_acting,
            "due": [task["id"] for task in due],
            "later": [check["id"] for check in later],
            "covered": [
                {"id": check["id"], "by": covered[check["id"]]} for check in params["checks"] if check["id"] in covered
            ],
            "state": {"directory": memory.directory, "healed": memory.healed},
        },
    )


def _require_unique(ids: list[str]) -> None:
    """Records are kept by id: two tasks of one id would be taken for each other."""
    twins = sorted({task_id for task_id in ids if ids.count(task_id) > 1})
    if twins:
        raise InvalidInput(f"Two tasks are called {', '.join(twins)}.", "Give each task an id of its own.")


def record_tasks(
    params: Mapping[str, Any], remember: bool, learn_secrets: Callable[[frozenset[str]], None]
) -> dict[str, Any]:
    """Write the records of the acting *tasks* of *params* (validated ``RECORD_SPEC``) and return them merged.

    Its *checks* are those that had to wait for the tasks. They run now, and judge by the clock of now: what was made
    since the run began lies in its future.
    """
    started = time.monotonic()
    now = parse_rfc3339(params["now"]) if params["now"] else utc_now()
    memory = Memory.open(params, now)
    if remember:
        memory.remember(params["tasks"], SETTLES_ACTING)
    ran = _run(params["checks"], utc_now(), learn_secrets) if params["checks"] else []
    if remember:
        memory.remember(ran, SETTLES_CHECK)
    seconds = sum(task["seconds"] for task in params["tasks"]) + (time.monotonic() - started if ran else 0.0)
    return merge(params["tasks"] + ran, memory.findings(), seconds, {})


class Memory:
    """The host's state for one run. A state that cannot be used is a finding, not the end of the run."""

    def __init__(self, state: HostState, directory: str, run: tuple[str, str], now: datetime) -> None:
        self.directory = directory
        self.problem: StateError | None = None
        self._state = state
        self._run_id, self._cadence = run
        self._now = now
        self._records: dict[str, Any] = {}

    @classmethod
    def open(cls, params: Mapping[str, Any], now: datetime) -> Memory:
        directory = directory_of(params["state_dir"], os.environ, os.geteuid())
        state = HostState(directory, params["host"] or socket.gethostname())
        memory = cls(state, directory, (params["run_id"], params["cadence"]), now)
        memory._attempt(lambda: memory._records.update(state.load()["tasks"]))
        return memory

    def _attempt(self, step: Callable[[], None]) -> None:
        try:
            step()
        except StateError as error:
            self.problem = error

    @property
    def healed(self) -> list[str]:
        return list(self._state.healed)

    def split(self, tasks: list[dict[str, Any]], force: bool) -> tuple[list[dict[str, Any]], list[dict[str, Any]]]:
        """Return ``(settled, waiting)``: what the records settle, as entries of a result, and the rest as given."""
        settled, waiting = [], []
        for task in tasks:
            record: Any = self._records.get(task["id"])
            if not force and is_settled(record, task["period"], task["digest"]):
                settled.append(_carried(task, record))
            else:
                waiting.append(task)
        return settled, waiting

    def remember(self, tasks: list[dict[str, Any]], settles: Severity) -> None:
        """Write a record for each of *tasks* that belongs to a period, and one line of history."""
        kept = [task for task in tasks if task["period"]]
        if not kept or self.problem is not None:
            return
        self._attempt(lambda: self._write(kept, settles))

    def require_writable(self) -> None:
        """Find out now, before anything acts, that what it does cannot be remembered."""
        if self.problem is None:
            self._attempt(self._touch)

    def _touch(self) -> None:
        with self._state.update(self._run_id):
            pass

    def _write(self, tasks: list[dict[str, Any]], settles: Severity) -> None:
        stamp = rfc3339(self._now)
        with self._state.update(self._run_id) as state:
            for task in tasks:
                state["tasks"][task["id"]] = record_of(task, self._run_id, stamp, settles)
        metrics = [metric for task in tasks for metric in task["metrics"]]
        self._state.append_history(history_line(self._run_id, self._cadence, stamp, tasks, metrics))

    def findings(self) -> list[dict[str, Any]]:
        found = []
        if self.problem is not None:
            found.append(
                Finding(
                    "state.unusable",
                    self.directory,
                    Severity.UNKNOWN,
                    f"{self.problem.message} Nothing can be remembered, so no acting task is started.",
                    self.problem.evidence,
                    self.problem.remedy,
                )
            )
        found += [
            Finding(
                "state.healed",
                self.directory,
                Severity.INFO,
                f"The state was damaged and has been mended: {sentence}.",
                remedy="Look for a crash or a full disk at the time of the run before.",
            )
            for sentence in self.healed
        ]
        return [finding.observed(rfc3339(self._now)).as_dict() for finding in found]


def _carried(task: Mapping[str, Any], record: Mapping[str, Any]) -> dict[str, Any]:
    return {
        **_entry(task, CARRIED, record["worst"], record["counts"], record["seconds"]),
        "done_at": record["done_at"],
        "findings": record["findings"],
    }


def _planned(task: Mapping[str, Any]) -> dict[str, Any]:
    return _entry(task, PLANNED, Severity.OK.word, count_by_severity(()), 0.0)


def _entry(
    task: Mapping[str, Any], status: str, worst: str, counts: Mapping[str, int], seconds: float
) -> dict[str, Any]:
    return {
        "id": task["id"],
        "status": status,
        "period": task["period"],
        "digest": task["digest"],
        "worst": worst,
        "counts": dict(counts),
        "seconds": round(seconds, 3),
        "changed": False,
        "findings": [],
        "actions": [],
        "metrics": [],
    }


def _run(
    checks: list[dict[str, Any]], now: datetime, learn_secrets: Callable[[frozenset[str]], None]
) -> list[dict[str, Any]]:
    # A check with `each` runs once for each element; the runs of all checks go side by side.
    runs = [(check, options) for check in checks for options in check["each"] or [{}]]
    jobs: list[Job] = []
    ended: dict[str, Ended] = {}
    for number, (check, options) in enumerate(runs):
        name = str(number)
        try:
            jobs.append(_prepare(name, check, options, now, learn_secrets))
        except UpkeepError as error:
            ended[name] = Ended(name, REFUSED, message=error.message, remedy=error.remedy, evidence=error.evidence)
        except ImportError as error:
            ended[name] = Ended(
                name, RAISED, message=f"the check cannot be loaded: {error}", remedy="Install the collection anew."
            )
    ended.update((end.name, end) for end in run_isolated(jobs))
    stamp = rfc3339(now)
    entries: dict[str, list[dict[str, Any]]] = {}
    for number, (check, options) in enumerate(runs):
        entries.setdefault(check["id"], []).append(_ran(check, options, ended[str(number)], stamp))
    return [_together(entries[check["id"]]) for check in checks]


def _prepare(
    name: str,
    check: Mapping[str, Any],
    options: Mapping[str, Any],
    now: datetime,
    learn_secrets: Callable[[frozenset[str]], None],
) -> Job:
    found = find_check(check["check"])
    valid = validate(found.name, found.argument_spec, {**check["params"], **options}, found.rules)
    learn_secrets(valid.secrets)
    return Job(name, lambda: _look(found, valid.params, check["account"], now), parse_duration(check["deadline"]))


def _look(check: Check, params: dict[str, Any], account: str, now: datetime) -> dict[str, Any]:
    if account:
        become(account)  # this is a process of the job's own
    try:
        return {"result": check.run(params, now).as_result()}
    except InvalidInput as error:
        # Told apart from a failure: this is mended in the inventory, not on the host.
        return {"refused": {"message": error.message, "remedy": error.remedy, "evidence": error.evidence}}


def _ran(check: Mapping[str, Any], options: Mapping[str, Any], end: Ended, stamp: str) -> dict[str, Any]:
    if end.how == DONE and "refused" in end.value:
        end = Ended(end.name, REFUSED, seconds=end.seconds, **end.value["refused"])
    if end.how != DONE:
        subject = f"{check['id']} {options.get('name', '')}".strip()
        return {
            **_entry(check, FAILED, Severity.UNKNOWN.word, count_by_severity([Severity.UNKNOWN]), end.seconds),
            "findings": [failed_task(subject, end, stamp)],
        }
    result = end.value["result"]
    summary = result["summary"]
    return {
        **_entry(check, RAN, summary["worst"], summary["counts"], end.seconds),
        **{key: result[key] for key in ("changed", "findings", "actions", "metrics")},
    }


def _together(entries: list[dict[str, Any]]) -> dict[str, Any]:
    """Return the entries of all runs of one check as one."""
    first = entries[0]
    if len(entries) == 1:
        return first
    words = {entry["status"] for entry in entries}
    return {
        **first,
        "status": FAILED if FAILED in words else RAN,
        "worst": max(Severity.from_word(entry["worst"]) for entry in entries).word,
        "counts": {word: sum(entry["counts"][word] for entry in entries) for word in first["counts"]},
        "seconds": max(entry["seconds"] for entry in entries),
        "changed": any(entry["changed"] for entry in entries),
        **{key: [item for entry in entries for item in entry[key]] for key in ("findings", "actions", "metrics")},
    }


def failed_task(subject: str, end: Ended, stamp: str) -> dict[str, Any]:
    """Return the finding for a check that could not do its work: it is unknown what it would have found."""
    code = {REFUSED: "task.invalid", TIMED_OUT: "task.timed_out"}.get(end.how, "task.failed")
    message = end.message if end.message.endswith(".") else f"{end.message}."
    finding = Finding(
        code,
        subject,
        Severity.UNKNOWN,
        f"{subject} could not look: {message}",
        end.evidence,
        end.remedy or CODES[code].remedy,
    )
    # Here and not only in the result: the records on the host keep it too.
    redacted: dict[str, Any] = redact_tree(finding.observed(stamp).as_dict())
    return redacted


def merge(
    tasks: list[dict[str, Any]], findings: list[dict[str, Any]], seconds: float, extra: Mapping[str, Any]
) -> dict[str, Any]:
    """Return one result in the common form: the parts of all *tasks* under their ids, worst findings first."""
    counts = count_by_severity(Severity.from_word(finding["severity"]) for finding in findings)
    for task in tasks:
        for word, count in task["counts"].items():
            counts[word] += count
    worst = max((Severity.from_word(word) for word, count in counts.items() if count), default=Severity.UNKNOWN)
    told = findings + [{**finding, "task": task["id"]} for task in tasks for finding in task["findings"]]
    result = {
        "changed": any(task["changed"] for task in tasks),
        "summary": {"worst": worst.word, "counts": counts, "seconds": round(seconds, 3)},
        "findings": sorted(told, key=lambda finding: -Severity.from_word(finding["severity"])),
        "actions": [{**action, "task": task["id"]} for task in tasks for action in task["actions"]],
        "metrics": [{**metric, "task": task["id"]} for task in tasks for metric in task["metrics"]],
        "checks": [
            {key: value for key, value in task.items() if key not in ("findings", "actions", "metrics", "digest")}
            for task in tasks
        ],
        **extra,
    }
    redacted: dict[str, Any] = redact_tree(result)
    return cap(redacted, RESULT_BYTES)
