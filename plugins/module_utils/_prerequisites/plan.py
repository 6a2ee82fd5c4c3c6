# Copyright (c) 2026 Upkeep maintainers
# GNU General Public License v3.0-or-later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Decide what is to be done to a virtual environment. Pure."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from ansible_collections.cadence.upkeep.plugins.module_utils._core.errors import InvalidInput
from ansible_collections.cadence.upkeep.plugins.module_utils._prerequisites.model import (
    BROKEN,
    FOREIGN,
    USABLE,
    Environment,
    Interpreter,
)

MAKE, REMAKE, INSTALL = "make", "remake", "install"

_PIN = re.compile(r"([A-Za-z0-9][A-Za-z0-9._-]*)==([A-Za-z0-9][A-Za-z0-9.!+_-]*)")


@dataclass(frozen=True)
class Pin:
    """A project and the one version of it that is wanted."""

    project: str
    version: str

    def __str__(self) -> str:
        return f"{self.project}=={self.version}"


@dataclass(frozen=True)
class Step:
    """One thing to do: ``pins`` are what an installation is about."""

    id: str
    description: str
    pins: tuple[Pin, ...] = ()


def read_pins(requirements: Sequence[str]) -> tuple[Pin, ...]:
    """Return the pins of *requirements*; raise ``InvalidInput`` naming the one that is no pin."""
    pins = []
    for text in requirements:
        match = _PIN.fullmatch(text.strip())
        if match is None:
            raise InvalidInput(f"The requirement {text!r} names no one version.", "Write it like docker==7.1.0.")
        pins.append(Pin(match.group(1), match.group(2)))
    projects = [pin.project for pin in pins]
    twice = sorted({project for project in projects if projects.count(project) > 1})
    if twice:
        raise InvalidInput(f"{', '.join(twice)} is required more than once.", "Name each project once.")
    return tuple(pins)


def plan(
    interpreter: Interpreter, environment: Environment, versions: Mapping[str, str], pins: Sequence[Pin]
) -> list[Step]:
    """Return the steps to an environment that has just the *pins*' versions; *versions* are those installed.

    Raises ``InvalidInput`` when something else stands at its path.
    """
    if environment.state == FOREIGN:
        raise InvalidInput(
            f"{environment.problem}.", "Name another path, or move away what is there.", {"path": environment.path}
        )
    steps = []
    if environment.state != USABLE:
        again = f", because {environment.problem}" if environment.state == BROKEN else ""
        steps.append(
            Step(
                REMAKE if environment.state == BROKEN else MAKE,
                f"Make the virtual environment {environment.path} by {interpreter.path} "
                f"(Python {interpreter.version}){again}",
            )
        )
    wrong = tuple(pin for pin in pins if versions.get(pin.project, "") != pin.version)
    if wrong:
        told = ", ".join(f"{pin} (there is {versions.get(pin.project) or 'none'})" for pin in wrong)
        steps.append(Step(INSTALL, f"Install {told}", wrong))
    return steps
