# Copyright (c) 2026 Upkeep maintainers
# GNU General Public License v3.0-or-later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The only step that changes anything: make the virtual environment and install into it."""

from __future__ import annotations

import os
import time
from collections.abc import Sequence
from dataclasses import dataclass, field

from ansible_collections.cadence.upkeep.plugins.module_utils._core.deadline import Deadline
from ansible_collections.cadence.upkeep.plugins.module_utils._core.errors import CommandFailed, StateError, UpkeepError
from ansible_collections.cadence.upkeep.plugins.module_utils._core.finding import DONE, FAILED, SKIPPED, Action
from ansible_collections.cadence.upkeep.plugins.module_utils._core.lock import HostLock
from ansible_collections.cadence.upkeep.plugins.module_utils._prerequisites.collect import (
    find_environment,
    find_versions,
)
from ansible_collections.cadence.upkeep.plugins.module_utils._prerequisites.model import Environment
from ansible_collections.cadence.upkeep.plugins.module_utils._prerequisites.plan import INSTALL, REMAKE, Step
from ansible_collections.cadence.upkeep.plugins.module_utils._prerequisites.system import System


@dataclass
class Applied:
    """What came of each step, and the error that ended the work if one did."""

    actions: list[Action] = field(default_factory=list)
    error: UpkeepError | None = None


def lock_for(environment: Environment) -> HostLock:
    """Return the lock beside the environment. Its folder is made as others may enter it. Raises ``StateError``."""
    folder, name = os.path.split(environment.path)
    try:
        os.makedirs(folder, mode=0o755, exist_ok=True)
    except OSError as error:
        raise StateError(
            f"The folder {folder} cannot be made: {error.strerror}.",
            "Let the task become root, or name a path that its user may write.",
        ) from error
    return HostLock(os.path.join(folder, f".{name}.lock"), "bootstrap")


def apply(system: System, environment: Environment, steps: Sequence[Step], deadline: Deadline) -> Applied:
    """Do the *steps* in order; after one that fails, the others are skipped."""
    applied = Applied()
    for step in steps:
        if applied.error is not None:
            applied.actions.append(Action(step.id, step.description, SKIPPED, "a step before it failed"))
            continue
        started = time.monotonic()
        try:
            _do(system, environment, step, deadline)
        except UpkeepError as error:
            applied.error = error
            applied.actions.append(Action(step.id, step.description, FAILED, error.message, time.monotonic() - started))
        else:
            applied.actions.append(Action(step.id, step.description, DONE, seconds=time.monotonic() - started))
    return applied


def _do(system: System, environment: Environment, step: Step, deadline: Deadline) -> None:
    deadline.require(step.description)
    left = deadline.remaining or 0.0
    if step.id == INSTALL:
        pip = [environment.python, "-m", "pip", "install", "--disable-pip-version-check", "--no-input", "--quiet"]
        system.run([*pip, *map(str, step.pins)], left).require_success(f"pip in {environment.path}")
        versions = find_versions(
            system, find_environment(system, environment.path, left), [pin.project for pin in step.pins], left
        )
        wrong = [str(pin) for pin in step.pins if versions[pin.project] != pin.version]
        if wrong:
            raise CommandFailed(
                f"pip ended well, but {', '.join(wrong)} is not in {environment.path}.",
                "Run it by hand, and look at pip's settings (`pip config list`).",
                {"versions": versions},
            )
        return
    clear = ["--clear"] if step.id == REMAKE else []
    made = system.run([system.python, "-m", "venv", *clear, environment.path], left)
    made.require_success(f"Making the virtual environment {environment.path}")
