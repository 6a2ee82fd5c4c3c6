# Copyright (c) 2026 Upkeep maintainers
# GNU General Public License v3.0-or-later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Find out what the interpreter can import, who could install the rest, and how a virtual environment is."""

from __future__ import annotations

import re
from collections.abc import Sequence

from ansible_collections.cadence.upkeep.plugins.module_utils._core.errors import CommandFailed, UpkeepError
from ansible_collections.cadence.upkeep.plugins.module_utils._prerequisites.libraries import (
    APK,
    APT,
    DNF,
    DNF5,
    LIBRARIES,
    PACMAN,
    YUM,
    ZYPPER,
)
from ansible_collections.cadence.upkeep.plugins.module_utils._prerequisites.model import (
    ABSENT,
    BROKEN,
    FOREIGN,
    USABLE,
    Environment,
    Found,
    Interpreter,
    Snapshot,
)
from ansible_collections.cadence.upkeep.plugins.module_utils._prerequisites.system import System

# Where each manager is, and the systems (ID and ID_LIKE of os-release) whose own it is. The order decides where the
# system is none that we know.
MANAGERS = (
    (APT, ("/usr/bin/apt-get",), ("debian", "ubuntu")),
    (DNF5, ("/usr/bin/dnf5",), ("fedora", "rhel", "centos")),
    (DNF, ("/usr/bin/dnf", "/usr/bin/dnf-3"), ("fedora", "rhel", "centos")),
    (YUM, ("/usr/bin/yum",), ("rhel", "centos", "amzn")),
    (ZYPPER, ("/usr/bin/zypper",), ("suse", "opensuse", "sles")),
    (APK, ("/sbin/apk", "/usr/bin/apk"), ("alpine",)),
    (PACMAN, ("/usr/bin/pacman",), ("arch",)),
)
SYSTEM_PYTHON = "/usr/bin/python3"


def collect(system: System, libraries: Sequence[str], virtualenv: str, seconds: float) -> Snapshot:
    """Return what is there. *virtualenv* '' means that the tasks run by the interpreter of this module.

    Raises ``UpkeepError`` when the interpreter cannot be asked at all.
    """
    interpreter = find_interpreter(system, seconds)
    manager = find_manager(system)
    if not virtualenv:
        found = tuple(find_library(system, interpreter.path, name, seconds) for name in libraries)
        return Snapshot(interpreter, found, manager)
    environment = find_environment(system, virtualenv, seconds)
    if environment.state == USABLE:
        found = tuple(find_library(system, environment.python, name, seconds) for name in libraries)
    else:
        reason = environment.problem or f"there is no virtual environment at {virtualenv} yet"
        found = tuple(Found(name, error=reason) for name in libraries)
    return Snapshot(interpreter, found, manager, environment)


def find_interpreter(system: System, seconds: float) -> Interpreter:
    answer = system.probe(system.python, "interpreter", (), seconds)
    return Interpreter(
        path=answer["path"] or system.python,
        version=answer["version"],
        virtual=answer["virtual"],
        managed=answer["managed"],
        own=not answer["virtual"] and system.real(answer["path"]) == system.real(SYSTEM_PYTHON),
        can_isolate=answer["can_isolate"],
    )


def find_manager(system: System) -> str:
    """Return the package manager of the system: the one that is its own before one that is only installed."""
    words = re.findall(r'^ID(?:_LIKE)?="?([^"\n]*)"?$', system.read_or("/etc/os-release"), re.MULTILINE)
    kinds = {kind for line in words for kind in line.split()}
    present = [
        (name, systems) for name, places, systems in MANAGERS if any(system.is_executable(place) for place in places)
    ]
    own = [name for name, systems in present if any(kind.startswith(systems) for kind in kinds)]
    return (own + [name for name, _systems in present] + [""])[0]


def find_library(system: System, python: str, name: str, seconds: float) -> Found:
    """Import the library in a process of its own: one that crashes is broken, and nothing else."""
    modules = LIBRARIES[name].modules
    try:
        answer = system.probe(python, "import", modules, seconds)
    except UpkeepError as error:
        return Found(name, error=error.message, broken=True)
    if "module" in answer:
        version = answer["module_version"].split(" ")[0]
        return Found(name, answer["module"], version)
    # The reason of the one that is there but broken says more than that the other is absent.
    errors = sorted(answer["errors"].values(), key=lambda error: bool(error[0]))
    absent, message = errors[0]
    return Found(name, error=message, broken=not absent)


def find_environment(system: System, path: str, seconds: float) -> Environment:
    """Return what stands at *path*. Only what was made as a virtual environment may be replaced."""
    place = Environment(path.rstrip("/") or "/", ABSENT, system.is_writable(path))
    if not system.exists(path):
        return place
    if not system.exists(f"{place.path}/pyvenv.cfg"):
        try:
            empty = system.is_empty_folder(path)
        except OSError as error:
            return Environment(place.path, FOREIGN, False, f"{path} cannot be read: {error.strerror}")
        problem = f"{path} is not a virtual environment, and not an empty folder"
        return place if empty else Environment(place.path, FOREIGN, place.writable, problem)
    try:
        answer = system.probe(place.python, "versions", (), seconds)
    except UpkeepError as error:
        return Environment(place.path, BROKEN, place.writable, error.message)
    if not answer["virtual"]:
        problem = f"{place.python} is not a Python of its own any more"
        return Environment(place.path, BROKEN, place.writable, problem)
    return Environment(place.path, USABLE, place.writable)


def find_versions(system: System, environment: Environment, projects: Sequence[str], seconds: float) -> dict[str, str]:
    """Return the installed version of each of *projects*, '' for what is not there."""
    if environment.state != USABLE:
        return dict.fromkeys(projects, "")
    versions = system.probe(environment.python, "versions", projects, seconds)["versions"]
    if set(versions) != set(projects):
        raise CommandFailed(f"{environment.python} did not answer for every project.", "Run it by hand.")
    return dict(versions)
