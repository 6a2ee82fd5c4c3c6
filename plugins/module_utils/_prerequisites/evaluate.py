# Copyright (c) 2026 Upkeep maintainers
# GNU General Public License v3.0-or-later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Judge what an interpreter has, and say who could supply the rest. Pure."""

from __future__ import annotations

from collections.abc import Sequence

from ansible_collections.cadence.upkeep.plugins.module_utils._core.finding import DONE, Action, Finding, Severity
from ansible_collections.cadence.upkeep.plugins.module_utils._prerequisites.codes import CODES
from ansible_collections.cadence.upkeep.plugins.module_utils._prerequisites.libraries import (
    COMMANDS,
    FAMILIES,
    LIBRARIES,
)
from ansible_collections.cadence.upkeep.plugins.module_utils._prerequisites.model import (
    BROKEN,
    FOREIGN,
    USABLE,
    Environment,
    Found,
    Snapshot,
    isolation_packages,
    package_name,
    packages_reach,
)
from ansible_collections.cadence.upkeep.plugins.module_utils._prerequisites.plan import Step


def evaluate(snapshot: Snapshot) -> list[Finding]:
    """Return one finding for each library that is not there, and one for an environment that is in the way."""
    findings = [_missing(found, snapshot) for found in snapshot.libraries if not found.importable]
    environment = snapshot.environment
    if environment is not None and environment.state in (BROKEN, FOREIGN):
        findings.append(
            Finding(
                "prerequisites.virtualenv_unusable",
                environment.path,
                Severity.WARNING,
                f"The virtual environment {environment.path} cannot be used: {environment.problem}.",
                {"state": environment.state},
                CODES["prerequisites.virtualenv_unusable"].remedy,
            )
        )
    return findings


def _missing(found: Found, snapshot: Snapshot) -> Finding:
    code = "prerequisites.library_broken" if found.broken else "prerequisites.library_missing"
    what = "cannot be imported" if found.broken else "is missing"
    return Finding(
        code,
        found.name,
        Severity.WARNING,
        f"The library {found.name} {what} in {snapshot.where}: {found.error}.",
        {"interpreter": snapshot.where, "modules": list(LIBRARIES[found.name].modules), "error": found.error},
        f"Run: {command(snapshot, (found.name,))}",
    )


def still_missing(environment: Environment, steps: Sequence[Step], actions: Sequence[Action]) -> list[Finding]:
    """Return a finding for each pin that the *steps* are to install and that the *actions* have not brought."""
    done = {action.id for action in actions if action.status == DONE}
    return [
        Finding(
            "prerequisites.library_missing",
            str(pin),
            Severity.WARNING,
            f"{pin} is not in the virtual environment {environment.path}.",
            {"virtualenv": environment.path, "project": pin.project, "version": pin.version},
            f"Run: {environment.python} -m pip install {pin}",
        )
        for step in steps
        for pin in step.pins
        if step.id not in done
    ]


def packages(snapshot: Snapshot, names: tuple[str, ...] | None = None) -> list[str]:
    """Return the packages of the system to install for *names* (default: all that are missing), in their order.

    With a virtual environment these are not the libraries, but what is needed before one can be made. There are none
    for a Python that packages of the system do not reach.
    """
    missing = snapshot.missing if names is None else names
    if not missing:
        return []
    if snapshot.environment is not None:
        ready = snapshot.environment.state == USABLE
        return [] if ready else list(isolation_packages(snapshot.manager, snapshot.interpreter))
    if not packages_reach(snapshot.manager, snapshot.interpreter):
        return []
    family = FAMILIES.get(snapshot.manager, snapshot.manager)
    return [package_name(LIBRARIES[name].packages[family], snapshot.manager, snapshot.interpreter) for name in missing]


def command(snapshot: Snapshot, names: tuple[str, ...] | None = None) -> str:
    """Return what a person would type to get *names* (default: all that are missing); '' when nothing is."""
    missing = snapshot.missing if names is None else names
    if not missing:
        return ""
    pip = f"-m pip install {' '.join(LIBRARIES[name].project for name in missing)}"
    if snapshot.environment is not None:
        path = snapshot.environment.path
        return f"{snapshot.interpreter.path} -m venv {path} && {snapshot.environment.python} {pip}"
    wanted = packages(snapshot, missing)
    if wanted:
        return f"{COMMANDS[snapshot.manager]} {' '.join(wanted)}"
    if snapshot.interpreter.managed:
        return "ansible-playbook cadence.upkeep.bootstrap -e upkeep_virtualenv=/opt/upkeep/venv"
    return f"{snapshot.interpreter.path} {pip}"
