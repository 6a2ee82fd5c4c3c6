# Copyright (c) 2026 Upkeep maintainers
# GNU General Public License v3.0-or-later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What the action plugins do on the control node: the only part of ``plugin_utils`` that knows Ansible."""

from __future__ import annotations

import importlib
import json
import os
import tempfile
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from ansible import constants
from ansible.errors import AnsibleConnectionFailure, AnsibleError
from ansible.plugins.action import ActionBase
from ansible.utils.display import Display

from ansible_collections.cadence.upkeep.plugins.module_utils._checkup.checkup import merge
from ansible_collections.cadence.upkeep.plugins.module_utils._core.errors import InvalidInput, UpkeepError
from ansible_collections.cadence.upkeep.plugins.module_utils._core.finding import Severity
from ansible_collections.cadence.upkeep.plugins.module_utils._core.times import parse_rfc3339, rfc3339, utc_now
from ansible_collections.cadence.upkeep.plugins.plugin_utils.acting import finished_task
from ansible_collections.cadence.upkeep.plugins.plugin_utils.inputs import read_words, suggest
from ansible_collections.cadence.upkeep.plugins.plugin_utils.render import console_lines, markdown, plan_lines
from ansible_collections.cadence.upkeep.plugins.plugin_utils.report import build_report, host_row, summary_of
from ansible_collections.cadence.upkeep.plugins.plugin_utils.request import Request, open_run, read_request
from ansible_collections.cadence.upkeep.plugins.plugin_utils.resolver import Resolved, Task, Unusable, resolve

REQUEST_OPTIONS: dict[str, Any] = {
    "cadence": {"type": "str", "required": True},
    "overrides": {"type": "raw"},
    "only": {"type": "raw"},
    "skip": {"type": "raw"},
    "force": {"type": "raw"},
}
RUN_OPTION: dict[str, Any] = {"run": {"type": "dict", "required": True}}

# Where the role `run` keeps what its two host tasks returned, for the report.
CHECKUP_VARIABLE = "run_checkup"
RECORDED_VARIABLE = "run_recorded"


class EngineAction(ActionBase):
    """Common part of the action plugins: validated arguments, and one clear message instead of a traceback."""

    OPTIONS: Mapping[str, Any] = {}

    def run(self, tmp: None = None, task_vars: dict[str, Any] | None = None) -> dict[str, Any]:
        super().run(tmp, task_vars)
        _validation, args = self.validate_argument_spec(argument_spec=dict(self.OPTIONS))
        try:
            return self.act(args, task_vars or {})
        except UpkeepError as error:
            return {"failed": True, "changed": False, **error.as_failure()}

    def act(self, args: dict[str, Any], variables: dict[str, Any]) -> dict[str, Any]:
        raise NotImplementedError

    def render(self, request: Request, variables: Mapping[str, Any]) -> dict[str, Any]:
        """Return the inventory variables that the catalogue names, rendered for this host."""
        names = {
            name for entry in request.catalogue.values() for name in (entry.source, entry.policy, entry.account) if name
        }
        rendered: dict[str, Any] = {}
        for name in sorted(names & set(variables)):
            try:
                rendered[name] = self._templar.template(variables[name])
            except AnsibleError as error:
                rendered[name] = Unusable(" ".join(str(error).split()))
        return rendered


class RunRequest(EngineAction):
    """Read the request once, before any host is touched, and open the run."""

    _requires_connection = False
    OPTIONS = {
        **REQUEST_OPTIONS,
        "hosts": {"type": "list", "elements": "str", "required": True},
        "now": {"type": "str"},
    }

    def act(self, args: dict[str, Any], variables: dict[str, Any]) -> dict[str, Any]:
        if not set(args["hosts"]) & set(variables.get("ansible_play_hosts_all", ())):
            raise InvalidInput(
                "No host is left: upkeep_hosts and --limit have none in common.",
                "Correct the pattern in upkeep_hosts, or the limit.",
            )
        request = read_request(args, variables)
        require_roles(request, variables)
        return {"changed": False, "run": open_run(request, args["now"] or "")}


def require_roles(request: Request, variables: Mapping[str, Any]) -> None:
    """Raise ``InvalidInput`` when the role of a wanted task does not exist.

    Asked before anything runs, because Ansible tells nobody but the screen about a role that it cannot include.
    """
    basedir = str(variables.get("playbook_dir", os.getcwd()))
    folders = [os.path.join(basedir, "roles"), *(constants.DEFAULT_ROLES_PATH or ()), basedir]
    for entry in request.wanted():
        if not entry.acts:
            continue
        places = _role_places(entry.role, folders)
        if not any(os.path.isdir(place) for place in places):
            raise InvalidInput(
                f"The role {entry.role!r} of the task {entry.id} was not found in {', '.join(map(str, places))}.",
                "Correct its name in upkeep_overrides, or install it there.",
                {"task": entry.id},
            )
        tasks = [os.path.join(place, "tasks", entry.entry + suffix) for place in places for suffix in (".yml", ".yaml")]
        if not any(map(os.path.isfile, tasks)):
            raise InvalidInput(
                f"The role {entry.role!r} of the task {entry.id} has no entry point {entry.entry!r}.",
                f"Correct `entry` in upkeep_overrides, or write {tasks[0]}.",
                {"task": entry.id},
            )


def _role_places(role: str, folders: list[str]) -> list[str]:
    parts = role.split(".")
    if len(parts) < 3 or os.sep in role:
        return [os.path.join(folder, os.path.expanduser(role)) for folder in folders]
    collection = ".".join(parts[:2])
    try:
        package = importlib.import_module(f"ansible_collections.{collection}")
    except ImportError:
        return [f"the collection {collection}, which is not installed"]
    return [os.path.join(path, "roles", *parts[2:]) for path in package.__path__]


class RunChecks(EngineAction):
    """Resolve the tasks of this host, and run all its due checks in one call of the module ``checkup``."""

    OPTIONS = {
        **REQUEST_OPTIONS,
        **RUN_OPTION,
        "state_dir": {"type": "str"},
        "plan_only": {"type": "bool", "default": False},
    }

    def act(self, args: dict[str, Any], variables: dict[str, Any]) -> dict[str, Any]:
        request = read_request(args, variables)
        require_roles(request, variables)
        run = args["run"]
        resolved = resolve(
            request.catalogue, request.selection, self.render(request, variables), parse_rfc3339(run["started_at"])
        )
        result: dict[str, Any] = self._execute_module(
            module_name="cadence.upkeep.checkup",
            module_args={
                "checks": [_check_argument(task) for task in resolved.tasks if not task.entry.acts],
                "acting": [_acting_argument(task) for task in resolved.tasks if task.entry.acts],
                "force": request.force,
                "plan_only": args["plan_only"],
                **run_arguments(args, variables),
            },
            task_vars=variables,
        )
        if result.get("failed") or result.get("unreachable"):
            return result
        return with_plan(result, resolved)


def run_arguments(args: Mapping[str, Any], variables: Mapping[str, Any]) -> dict[str, Any]:
    """Return what both modules must know of the run."""
    arguments = {
        "run_id": args["run"]["id"],
        "cadence": args["run"]["cadence"],
        "host": variables["inventory_hostname"],
        "now": args["run"]["started_at"],
    }
    return {**arguments, "state_dir": args["state_dir"]} if args["state_dir"] else arguments


def _check_argument(task: Task) -> dict[str, Any]:
    return {
        "id": task.id,
        "check": task.entry.check,
        "params": dict(task.params),
        "each": [dict(options) for options in task.each],
        "account": task.account,
        "deadline": task.entry.deadline,
        "period": task.period,
        "digest": task.digest,
        "covers": list(task.entry.covers),
        "after": list(task.entry.after),
    }


def _acting_argument(task: Task) -> dict[str, Any]:
    return {"id": task.id, "period": task.period, "digest": task.digest}


def with_plan(result: dict[str, Any], resolved: Resolved) -> dict[str, Any]:
    """Return the checkup's *result* with what the resolver knows: problems, the due acting tasks, the left out."""
    problems = [finding.observed(rfc3339(utc_now())).as_dict() for finding in resolved.problems]
    for problem in problems:
        result["summary"]["counts"][problem["severity"]] += 1
    if problems:
        worst = max(Severity.from_word(word) for word, count in result["summary"]["counts"].items() if count)
        result["summary"]["worst"] = worst.word
    told_by = {task.id: task.variables for task in resolved.tasks if task.variables}
    for finding in result["findings"]:
        if finding["code"] == "task.invalid" and finding.get("task") in told_by:
            finding["remedy"] = f"{finding['remedy']} It is told by {' and '.join(told_by[finding['task']])}.".strip()
    settled = [entry for entry in result["checks"] + result["acting"] if entry["status"] == "carried"]
    result["findings"] = problems + result["findings"]
    result["left_out"] = [left.as_dict() for left in resolved.left_out] + [
        {"id": entry["id"], "reason": f"done at {entry['done_at']} for {entry['period']} (upkeep_force repeats it)"}
        for entry in settled
    ]
    result["left_out"] += [
        {"id": entry["id"], "reason": f"{entry['by']} looks at the same and more"} for entry in result["covered"]
    ]
    # The host lets nothing act when it cannot remember it: the finding state.unusable says why.
    acting = {task.id for task in resolved.tasks if task.entry.acts} - {entry["id"] for entry in settled}
    result["left_out"] += [
        {"id": task_id, "reason": "the host's state cannot be used, see the finding state.unusable"}
        for task_id in sorted(acting - set(result["due"]))
    ]
    result["due"] = [_due(task) for task in resolved.tasks if task.id in result["due"]]
    waiting = {entry["id"] for entry in result["checks"] if entry["status"] == "planned"}
    waiting |= {entry["id"] for entry in result["due"]}
    result["planned"] = [_planned(task) for task in resolved.tasks if task.id in waiting]
    return result


def _due(task: Task) -> dict[str, Any]:
    role = task.entry.role.rsplit(".", 1)[-1]
    return {
        **_acting_argument(task),
        "role": task.entry.role,
        "entry": task.entry.entry,
        "budget": task.entry.budget,
        # The name under which the entry of a role registers what its module returned.
        "registers": f"{role}_{task.entry.entry}",
    }


def _planned(task: Task) -> dict[str, Any]:
    return {
        "id": task.id,
        "cadence": task.entry.cadence,
        "acts": task.entry.acts,
        "limit": task.entry.budget if task.entry.acts else task.entry.deadline,
        "does": task.entry.does,
    }


class RunRecord(EngineAction):
    """Bring the acting tasks of this host into the common form, remember them there, and look at what they left.

    The checks that had to wait for them are resolved anew: their parameters may hold secrets, and stand in no result.
    """

    OPTIONS = {
        **REQUEST_OPTIONS,
        **RUN_OPTION,
        "cadence": {"type": "str"},
        "later": {"type": "list", "elements": "str", "default": []},
        "state_dir": {"type": "str"},
        "due": {"type": "list", "elements": "dict", "required": True},
        "failures": {"type": "dict", "default": {}},
    }

    def act(self, args: dict[str, Any], variables: dict[str, Any]) -> dict[str, Any]:
        now = rfc3339(utc_now())
        tasks = [
            finished_task(task, variables.get(task["registers"]), args["failures"].get(task["id"]), now)
            for task in args["due"]
        ]
        later = self._later(args, variables)
        try:
            result = self._execute_module(
                module_name="cadence.upkeep.run_record",
                module_args={
                    "tasks": tasks,
                    "checks": [_check_argument(task) for task in later],
                    **run_arguments(args, variables),
                },
                task_vars=variables,
            )
        except AnsibleConnectionFailure as error:
            result = {"unreachable": True, "msg": str(error)}
        if "summary" in result:
            # Remembering is no change of its own: the tasks have told Ansible what they changed.
            return {**result, "changed": False}
        # What was done must reach the report even when the host can no longer remember it.
        why = " ".join(str(result.get("msg", "")).split()) or "the host did not answer"
        blind = [finished_task(_acting_argument(task), None, {"msg": why}, now) for task in later]
        merged = merge(tasks + blind, [], sum(task["seconds"] for task in tasks), {})
        return {**merged, "changed": False, "not_remembered": why}

    def _later(self, args: dict[str, Any], variables: dict[str, Any]) -> list[Task]:
        if not args["later"]:
            return []
        request = read_request({**args, "cadence": args["run"]["cadence"]}, variables)
        started = parse_rfc3339(args["run"]["started_at"])
        resolved = resolve(request.catalogue, request.selection, self.render(request, variables), started)
        return [task for task in resolved.tasks if task.id in args["later"]]


def gather_rows(variables: Mapping[str, Any], now: str) -> Iterator[tuple[str, Any, Any]]:
    """Yield ``(host, checkup, recorded)`` for every host that the play was meant for, one at a time."""
    hostvars = variables["hostvars"]
    for host in variables["ansible_play_hosts_all"]:
        known = hostvars.raw_get(host)
        yield host, known.get(CHECKUP_VARIABLE), known.get(RECORDED_VARIABLE)


class RunReport(EngineAction):
    """Bring all hosts into one report, write it, and show it."""

    _requires_connection = False
    OPTIONS = {**RUN_OPTION, "dir": {"type": "str", "default": ""}, "fail_on": {"type": "raw", "default": []}}

    def act(self, args: dict[str, Any], variables: dict[str, Any]) -> dict[str, Any]:
        fail_on = read_severities("report_fail_on", args["fail_on"])
        now = rfc3339(utc_now())
        rows = [host_row(*row, now) for row in gather_rows(variables, now)]
        run = {
            **args["run"],
            "check_mode": bool(variables.get("ansible_check_mode")),
            "limit": variables.get("ansible_limit") or "",
            "ansible": (variables.get("ansible_version") or {}).get("full", ""),
        }
        report = build_report(run, rows, now)
        written, problem = write_report(report, args["dir"])
        for line in console_lines(report, written):
            Display().display(line)
        if problem:
            raise InvalidInput(problem, "Set report_dir to a directory that may be written, or to '' for none.")
        verdict = report["verdict"]
        return {
            "changed": False,
            "verdict": verdict,
            "stats": summary_of(report),
            "files": written,
            "passes": not any(verdict["findings"][word] for word in fail_on) and verdict["worst"] not in fail_on,
        }


def read_severities(name: str, value: Any) -> list[str]:
    """Return the severity words of *value* (a list, or text); raise ``InvalidInput`` for any other word."""
    words = read_words(name, value)
    known = [severity.word for severity in Severity]
    for word in words:
        if word not in known:
            raise InvalidInput(f"{name} names the unknown severity {word!r}.", suggest(word, known))
    return words


def write_report(report: Mapping[str, Any], directory: str) -> tuple[list[str], str]:
    """Write JSON and Markdown as ``latest.*`` and under the run's id; return their paths, and what went wrong.

    A relative *directory* stands below the one in which the command was started; an empty one writes nothing.
    """
    if not directory:
        return [], ""
    folder = Path(os.path.abspath(os.path.expanduser(directory)))
    texts = {"json": json.dumps(report, indent=1, sort_keys=True) + "\n", "md": markdown(report)}
    try:
        folder.mkdir(mode=0o750, parents=True, exist_ok=True)
        for suffix, text in texts.items():
            for stem in (report["run"]["id"], "latest"):
                _replace(folder / f"{stem}.{suffix}", text)
    except OSError as error:
        return [], f"The report cannot be written to {folder}: {error.strerror}."
    return [str(folder / f"latest.{suffix}") for suffix in ("md", "json")], ""


def _replace(path: Path, text: str) -> None:
    descriptor, name = tempfile.mkstemp(prefix=".report-", dir=path.parent)
    try:
        with os.fdopen(descriptor, "w", encoding="utf-8") as stream:
            stream.write(text)
            os.fchmod(descriptor, 0o640)
        os.replace(name, path)
    except OSError:
        os.unlink(name)
        raise


class RunPlan(EngineAction):
    """Show what would run on each host, in order, and why every other task is left out."""

    _requires_connection = False
    OPTIONS = RUN_OPTION

    def act(self, args: dict[str, Any], variables: dict[str, Any]) -> dict[str, Any]:
        now = rfc3339(utc_now())
        rows = [_plan_row(host, checkup, now) for host, checkup, _none in gather_rows(variables, now)]
        for line in plan_lines(args["run"], rows):
            Display().display(line)
        blind = [row["host"] for row in rows if row["problems"]]
        if blind:
            raise InvalidInput(
                f"The plan is not whole: see {', '.join(blind)} above.", "Mend what stands behind the !."
            )
        return {"changed": False, "hosts": rows}


def _plan_row(host: str, checkup: Any, now: str) -> dict[str, Any]:
    row = host_row(host, checkup, None, now)
    planned = checkup.get("planned", []) if isinstance(checkup, dict) else []
    problems = [
        f"{finding['message']} {finding['remedy']}"
        for finding in row["findings"]
        if finding["code"].startswith(("run.", "state."))
        and finding["severity"] == "unknown"
        and finding["code"] != "run.nothing_examined"
    ]
    return {"host": host, "tasks": planned, "left_out": row["left_out"], "problems": problems}
