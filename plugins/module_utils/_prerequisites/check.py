# Copyright (c) 2026 Upkeep maintainers
# GNU General Public License v3.0-or-later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The public entries of the domain: what is there, and a virtual environment that has what is wanted."""

from __future__ import annotations

import os
import time
from collections.abc import Mapping
from datetime import datetime
from typing import Any

from ansible_collections.cadence.upkeep.plugins.module_utils._core.deadline import Deadline
from ansible_collections.cadence.upkeep.plugins.module_utils._core.errors import InvalidInput, UpkeepError
from ansible_collections.cadence.upkeep.plugins.module_utils._core.finding import PLANNED, Action
from ansible_collections.cadence.upkeep.plugins.module_utils._core.outcome import Outcome
from ansible_collections.cadence.upkeep.plugins.module_utils._core.units import parse_duration
from ansible_collections.cadence.upkeep.plugins.module_utils._prerequisites.apply import Applied, apply, lock_for
from ansible_collections.cadence.upkeep.plugins.module_utils._prerequisites.collect import (
    collect,
    find_environment,
    find_interpreter,
    find_versions,
)
from ansible_collections.cadence.upkeep.plugins.module_utils._prerequisites.evaluate import (
    command,
    evaluate,
    packages,
    still_missing,
)
from ansible_collections.cadence.upkeep.plugins.module_utils._prerequisites.model import Environment, Snapshot
from ansible_collections.cadence.upkeep.plugins.module_utils._prerequisites.plan import Step, plan, read_pins
from ansible_collections.cadence.upkeep.plugins.module_utils._prerequisites.system import System

# Asking an interpreter which versions it has; making and installing get the rest of the time.
_ASKING_SECONDS = 30.0


def look(params: Mapping[str, Any], now: datetime, system: System | None = None) -> Outcome:
    """Return which of the libraries in *params* (validated ``INFO_SPEC``) can be imported, and what supplies the rest.

    Raises ``UpkeepError`` when the interpreter cannot be asked, ``InvalidInput`` for a bad option.
    """
    started = time.monotonic()
    virtualenv = _absolute(params["virtualenv"], "virtualenv") if params["virtualenv"] else ""
    names = list(dict.fromkeys(params["libraries"]))
    snapshot = collect(system or System(), names, virtualenv, _seconds(params))
    return Outcome(
        domain="prerequisites",
        examined=[found.name for found in snapshot.libraries],
        findings=evaluate(snapshot),
        observed_at=now,
        seconds=time.monotonic() - started,
        extra=_records(snapshot),
    )


def _records(snapshot: Snapshot) -> dict[str, Any]:
    interpreter = snapshot.interpreter
    return {
        "interpreter": {
            "path": interpreter.path,
            "version": interpreter.version,
            "virtual": interpreter.virtual,
            "externally_managed": interpreter.managed,
            "own": interpreter.own,
        },
        "libraries": [
            {
                "name": found.name,
                "importable": found.importable,
                "module": found.module,
                "version": found.version,
                "error": found.error,
            }
            for found in snapshot.libraries
        ],
        "missing": list(snapshot.missing),
        "package_manager": snapshot.manager,
        "packages": packages(snapshot),
        "command": command(snapshot),
        "virtualenv": _environment(snapshot.environment),
    }


def _environment(environment: Environment | None) -> dict[str, Any]:
    if environment is None:
        return {}
    return {
        "path": environment.path,
        "python": environment.python,
        "state": environment.state,
        "writable": environment.writable,
    }


def provide(params: Mapping[str, Any], now: datetime, check_mode: bool, system: System | None = None) -> Provided:
    """Bring the virtual environment of *params* (validated ``VIRTUALENV_SPEC``) to what is wanted, or plan it.

    Raises ``InvalidInput``, ``CommandFailed``, ``DeadlineExceeded``, ``LockHeld``, ``StateError`` before anything was
    changed; what fails later is in the actions, and in ``Provided.error``.
    """
    host = system or System()
    deadline = Deadline(_seconds(params))
    path = _absolute(params["path"], "path")
    pins = read_pins(params["requirements"])
    projects = [pin.project for pin in pins]

    def planned() -> tuple[Environment, list[Step]]:
        environment = find_environment(host, path, _ASKING_SECONDS)
        versions = find_versions(host, environment, projects, _ASKING_SECONDS)
        return environment, plan(find_interpreter(host, _ASKING_SECONDS), environment, versions, pins)

    environment, steps = planned()
    if check_mode or not steps:
        applied = Applied([Action(step.id, step.description, PLANNED) for step in steps])
    else:
        # The tasks that use it may run as another user: umask 077 of root must not lock them out.
        umask = os.umask(0o022)
        try:
            with lock_for(environment):
                environment, steps = planned()
                applied = apply(host, environment, steps, deadline)
        finally:
            os.umask(umask)
    outcome = Outcome(
        domain="prerequisites",
        examined=[str(pin) for pin in pins],
        findings=still_missing(environment, steps, applied.actions),
        observed_at=now,
        actions=applied.actions,
        seconds=deadline.elapsed,
        extra={"virtualenv": {"path": environment.path, "python": environment.python}},
    )
    return Provided(outcome, applied.error)


class Provided:
    """The outcome of ``provide``, and the error that ended it if one did."""

    def __init__(self, outcome: Outcome, error: UpkeepError | None) -> None:
        self.outcome = outcome
        self.error = error

    def as_result(self) -> dict[str, Any]:
        return self.outcome.as_result()

    @property
    def diff(self) -> dict[str, str]:
        """The steps, as Ansible shows a difference."""
        return {"prepared": "".join(f"{action.description}\n" for action in self.outcome.actions)}


def _absolute(path: str, option: str) -> str:
    if not os.path.isabs(path) or os.path.normpath(path) == "/":
        raise InvalidInput(
            f"{option}: {path!r} is not an absolute path of a folder.", "Write it like /opt/upkeep/venv."
        )
    return os.path.normpath(path)


def _seconds(params: Mapping[str, Any]) -> float:
    try:
        seconds = parse_duration(params["timeout"])
    except InvalidInput as error:
        raise InvalidInput(f"timeout: {error.message}", error.remedy) from None
    if seconds <= 0:
        raise InvalidInput(f"timeout ({params['timeout']}) leaves no time.", "Write it like 30s.")
    return seconds
