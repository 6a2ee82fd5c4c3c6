# Copyright (c) 2026 Upkeep maintainers
# GNU General Public License v3.0-or-later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What is known of an interpreter, of the system around it, and of a virtual environment."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Optional

from ansible_collections.cadence.upkeep.plugins.module_utils._prerequisites.libraries import APT, DNF, FAMILIES, ZYPPER

# What stands at the path of a virtual environment.
ABSENT, USABLE, BROKEN, FOREIGN = "absent", "usable", "broken", "foreign"


@dataclass(frozen=True)
class Interpreter:
    """A Python. ``own`` tells whether it is the one that the packages of the system are made for.

    ``managed`` is PEP 668: pip must leave it to the package manager. ``can_isolate`` tells whether it can make virtual
    environments.
    """

    path: str
    version: str
    virtual: bool = False
    managed: bool = False
    own: bool = False
    can_isolate: bool = False

    @property
    def minor(self) -> str:
        return ".".join(self.version.split(".")[:2])


@dataclass(frozen=True)
class Found:
    """A library as an interpreter sees it. ``module`` is the one that was imported, ``error`` the reason if none.

    ``broken`` tells one that is there but cannot be imported from one that is absent.
    """

    name: str
    module: str = ""
    version: str = ""
    error: str = ""
    broken: bool = False

    @property
    def importable(self) -> bool:
        return bool(self.module)


@dataclass(frozen=True)
class Environment:
    """A virtual environment at ``path``, or the place for one.

    ``writable`` is for the user that looked: whether it may make or change it. ``problem`` says why it is not usable.
    """

    path: str
    state: str
    writable: bool
    problem: str = ""

    @property
    def python(self) -> str:
        return f"{self.path}/bin/python"


@dataclass(frozen=True)
class Snapshot:
    """``interpreter`` runs the modules. The libraries were looked for in ``environment`` when there is one."""

    interpreter: Interpreter
    libraries: tuple[Found, ...]
    manager: str = ""
    environment: Optional[Environment] = None

    @property
    def missing(self) -> tuple[str, ...]:
        return tuple(found.name for found in self.libraries if not found.importable)

    @property
    def where(self) -> str:
        """The interpreter in which the libraries are wanted."""
        return self.environment.python if self.environment else self.interpreter.path


def packages_reach(manager: str, interpreter: Interpreter) -> bool:
    """True when a package of the system can bring a library to *interpreter*."""
    others = FAMILIES.get(manager, manager) in (DNF, ZYPPER) and interpreter.path.startswith("/usr/bin/")
    return bool(manager) and (interpreter.own or (others and not interpreter.virtual))


def package_name(package: str, manager: str, interpreter: Interpreter) -> str:
    """Return what *package* (named for the system's own Python) is called for *interpreter*.

    Red Hat and SUSE package some libraries for their other Pythons too: ``python3.11-psycopg2`` and
    ``python311-psycopg2``.
    """
    if interpreter.own:
        return package
    if FAMILIES.get(manager, manager) == DNF:
        return package.replace("python3-", f"python{interpreter.minor}-", 1)
    return package.replace("python3-", f"python{interpreter.minor.replace('.', '')}-", 1)


def isolation_packages(manager: str, interpreter: Interpreter) -> tuple[str, ...]:
    """Return what must be installed before *interpreter* can make virtual environments."""
    if interpreter.can_isolate or manager != APT:
        return ()
    return ("python3-venv",) if interpreter.own else (f"python{interpreter.minor}-venv",)
