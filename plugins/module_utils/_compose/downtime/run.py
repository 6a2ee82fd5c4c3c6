# Copyright (c) 2026 Upkeep maintainers
# GNU General Public License v3.0-or-later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Take services out of service for a while, and have those that are still there back afterwards."""

from __future__ import annotations

import json
import os
import time
from collections.abc import Mapping
from contextlib import ExitStack, closing
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Callable

from ansible_collections.cadence.upkeep.plugins.module_utils._compose.api import Api
from ansible_collections.cadence.upkeep.plugins.module_utils._compose.downtime.argspec import BEGUN
from ansible_collections.cadence.upkeep.plugins.module_utils._compose.downtime.codes import CODES
from ansible_collections.cadence.upkeep.plugins.module_utils._core.containers import ONE_OFF, SERVICE, label_of, name_of
from ansible_collections.cadence.upkeep.plugins.module_utils._core.deadline import Deadline
from ansible_collections.cadence.upkeep.plugins.module_utils._core.errors import (
    CommandFailed,
    InvalidInput,
    StateError,
)
from ansible_collections.cadence.upkeep.plugins.module_utils._core.files import ensure_directory, open_own, reason
from ansible_collections.cadence.upkeep.plugins.module_utils._core.finding import (
    DONE,
    FAILED,
    PLANNED,
    Action,
    Finding,
    Metric,
    Severity,
)
from ansible_collections.cadence.upkeep.plugins.module_utils._core.lock import HostLock
from ansible_collections.cadence.upkeep.plugins.module_utils._core.outcome import Outcome
from ansible_collections.cadence.upkeep.plugins.module_utils._core.state import directory_of, folder_name
from ansible_collections.cadence.upkeep.plugins.module_utils._core.times import parse_rfc3339, rfc3339, utc_now
from ansible_collections.cadence.upkeep.plugins.module_utils._core.units import format_duration, parse_duration

_PAUSE = 0.2


@dataclass(frozen=True)
class Ended:
    """What became of it. ``failure`` names what does not run again; empty when all is well."""

    outcome: Outcome
    failure: str


def downtime(params: Mapping[str, Any], now: datetime, check_mode: bool = False) -> Ended:
    """Do what *params* (validated ``ARGUMENT_SPEC``) ask for. Raises ``UpkeepError`` when that cannot be done."""
    with ExitStack() as stack:
        work = _Work(params, now, check_mode)
        if not check_mode:
            stack.enter_context(HostLock(work.lock, params["run_id"], parse_duration(params["lock_timeout"])))
        work.api = stack.enter_context(closing(Api(params["docker_host"] or "")))
        if params["state"] == BEGUN:
            work.begin()
        else:
            work.end()
    return work.ended()


class _Work:
    api: Api

    def __init__(self, params: Mapping[str, Any], now: datetime, check_mode: bool) -> None:
        self._params = params
        self._project = str(params["project_name"])
        self._now = now
        self._check_mode = check_mode
        self._clock = Deadline(None)
        base = directory_of(params["state_dir"], os.environ, os.geteuid())
        self._record = os.path.join(base, "downtimes", f"{folder_name(self._project)}.json")
        self.lock = f"{self._record}.lock"
        self._findings: list[Finding] = []
        self._actions: list[Action] = []
        self._metrics: list[Metric] = []
        self._stopped: list[str] = []
        self._gap = 0.0
        self._failure = ""

    # --- out of service

    def begin(self) -> None:
        """Stop what runs of the services, and write it down before."""
        wanted = set(self._params["services"])
        if not wanted:
            raise InvalidInput("No service is to be stopped.", "Name those that write: services.")
        listed = [
            one
            for one in self.api.of_project(self._project)
            if label_of(one, SERVICE) in wanted and label_of(one, ONE_OFF) != "True"
        ]
        unknown = sorted(wanted - {label_of(one, SERVICE) for one in listed})
        if unknown:
            raise InvalidInput(
                f"The Compose project {self._project} has no container of {', '.join(unknown)}.",
                "Correct services: docker compose ps -a.",
            )
        running = [one for one in listed if one.get("State") in ("running", "restarting", "paused")]
        names = sorted(name_of({"Name": one["Names"][0]}) for one in running)
        self._stopped = names
        if not running:
            return
        message = (
            f"{self._project}: nobody serves {', '.join(sorted(wanted))} from the stop of {len(running)} containers "
            "until the database is migrated and the new version has booted."
        )
        self._say("app.downtime", Severity.INFO, message, {"containers": names})
        if self._check_mode:
            self._actions += [Action(f"stop {name}", f"Stop {name}", PLANNED, "for the downtime") for name in names]
            return
        before = self._load()
        self._save(
            {
                "began_at": before.get("began_at") or rfc3339(utc_now()),
                "containers": sorted({*before.get("containers", ()), *(one["Id"] for one in running)}),
            }
        )
        for one in running:
            clock = Deadline(None)
            seconds = parse_duration(self._params["stop_timeout"])
            name = name_of({"Name": one["Names"][0]})
            self.api.post(f"/containers/{one['Id']}/stop", seconds + 30, t=int(seconds))
            self._actions.append(Action(f"stop {name}", f"Stop {name}", DONE, "", clock.elapsed))

    # --- back in service

    def end(self) -> None:
        """Start what was stopped and is still there, and say how long it took."""
        record = self._load()
        if not record:
            return
        descriptions = [self.api.inspect(identity) for identity in record["containers"]]
        there = [one for one in descriptions if one is not None]
        idle = [one for one in there if not one["State"].get("Running")]
        if self._check_mode:
            self._actions += [
                Action(f"start {name_of(one)}", f"Start {name_of(one)}", PLANNED, "it was stopped") for one in idle
            ]
            return
        # One that an end before this one has started may not be well yet.
        lost = [problem for one in there for problem in self._start(name_of(one), str(one["Id"]), one in idle)]
        self._gap = (utc_now() - parse_rfc3339(record["began_at"])).total_seconds()
        self._metrics.append(Metric("app_downtime_seconds", self._gap, "seconds", {"project": self._project}))
        if lost:
            self._failure = f"{self._project} is not back in service: {'; '.join(lost)}."
            return
        os.unlink(self._record)

    def _start(self, name: str, identity: str, idle: bool) -> list[str]:
        clock = Deadline(parse_duration(self._params["health_timeout"]))
        words = f"Start {name}"
        try:
            if idle:
                self.api.post(f"/containers/{identity}/start")
            problem = self._wait(identity, clock)
        except CommandFailed as error:
            problem = error.message
        if not problem:
            self._actions += [Action(f"start {name}", words, DONE, "", clock.elapsed)] if idle else []
            return []
        self._actions.append(Action(f"start {name}", words, FAILED, problem, clock.elapsed))
        self._say("app.not_back", Severity.CRITICAL, f"{self._project}: {name} {problem}.", {"container": name})
        return [f"{name} {problem}"]

    def _wait(self, identity: str, clock: Deadline, sleep: Callable[[float], None] = time.sleep) -> str:
        """Wait until a container is healthy, or runs where nothing says more; return why it is not, or nothing."""
        while True:
            description = self.api.inspect(identity)
            if description is None:
                return "is gone"
            state = description["State"]
            health = (state.get("Health") or {}).get("Status", "none")
            if not state.get("Running"):
                return f"ended with status {state.get('ExitCode')}"
            if health in ("healthy", "none"):
                return ""
            if clock.expired:
                return f"is {health} after {format_duration(clock.seconds or 0.0)}"
            sleep(_PAUSE)

    # --- what is remembered

    def _load(self) -> dict[str, Any]:
        try:
            with open(open_own(self._record, os.O_RDONLY), encoding="utf-8") as stream:
                found = json.load(stream)
        except FileNotFoundError:
            return {}
        except (OSError, ValueError) as error:
            raise StateError(
                f"The record of the downtime {self._record} cannot be read: {error}.",
                "Start the containers by hand (docker compose start), then remove the file.",
            ) from error
        return dict(found)

    def _save(self, record: Mapping[str, Any]) -> None:
        try:
            ensure_directory(os.path.dirname(self._record))
            descriptor = open_own(self._record, os.O_WRONLY | os.O_CREAT | os.O_TRUNC)
            with open(descriptor, "w", encoding="utf-8") as stream:
                json.dump(record, stream)
                stream.flush()
                os.fsync(stream.fileno())
        except OSError as error:
            raise StateError(
                f"The record of the downtime {self._record} cannot be written: {reason(error, self._record)}.",
                "Make the state directory writable; nothing was stopped.",
            ) from error

    # --- the result

    def _say(self, code: str, severity: Severity, message: str, evidence: dict[str, Any]) -> None:
        self._findings.append(Finding(code, self._project, severity, message, evidence, CODES[code].remedy))

    def ended(self) -> Ended:
        outcome = Outcome(
            domain="app",
            examined=[self._project],
            findings=self._findings,
            observed_at=self._now,
            actions=self._actions,
            metrics=self._metrics,
            seconds=self._clock.elapsed,
            extra={"stopped": self._stopped, "gap_seconds": round(self._gap, 3)},
        )
        return Ended(outcome, self._failure)
