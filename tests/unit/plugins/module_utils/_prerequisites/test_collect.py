"""What is found out of an interpreter, of the system, and of a virtual environment."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from ansible_collections.cadence.upkeep.plugins.module_utils._core.errors import CommandFailed, DeadlineExceeded
from ansible_collections.cadence.upkeep.plugins.module_utils._prerequisites.collect import (
    collect,
    find_environment,
    find_interpreter,
    find_library,
    find_manager,
    find_versions,
)
from ansible_collections.cadence.upkeep.plugins.module_utils._prerequisites.model import (
    ABSENT,
    BROKEN,
    FOREIGN,
    USABLE,
    Environment,
    Found,
)
from tests.unit.plugins.module_utils._prerequisites.recorded import (
    ALPINE,
    ARCH,
    DEBIAN,
    FEDORA,
    PYTHON3,
    RHEL,
    ROCKY,
    SUSE,
    UBUNTU,
    asked,
    host,
    imported,
    refused,
)

PYTHON = "/usr/bin/python3.11"
VENV = "/opt/upkeep/venv"


@pytest.mark.parametrize(
    ("release", "files", "manager"),
    [
        (DEBIAN, ["/usr/bin/apt-get"], "apt"),
        (UBUNTU, ["/usr/bin/apt-get", "/usr/bin/dnf"], "apt"),  # dnf is only a tool there
        (FEDORA, ["/usr/bin/apt-get", "/usr/bin/dnf5", "/usr/bin/dnf"], "dnf5"),
        (RHEL, ["/usr/bin/dnf", "/usr/bin/yum"], "dnf"),
        (ROCKY, ["/usr/bin/dnf-3"], "dnf"),
        (RHEL, ["/usr/bin/yum"], "yum"),
        (SUSE, ["/usr/bin/zypper"], "zypper"),
        (ALPINE, ["/sbin/apk"], "apk"),
        (ARCH, ["/usr/bin/pacman"], "pacman"),
        ("ID=ours\n", ["/usr/bin/zypper"], "zypper"),
        ("", [], ""),
        (DEBIAN, [], ""),
    ],
)
def test_the_package_manager_of_the_system(tmp_path: Path, release: str, files: list[str], manager: str) -> None:
    assert find_manager(host(tmp_path, release, *files)) == manager


@pytest.mark.parametrize(
    ("path", "more", "own"),
    [
        ("/usr/bin/python3.11", {}, True),
        ("/usr/bin/python3", {}, True),
        ("/usr/local/bin/python3.13", {}, False),
        ("/opt/venv/bin/python", {"virtual": True}, False),
        ("/usr/bin/python3.11", {"virtual": True}, False),
    ],
)
def test_the_systems_own_python(tmp_path: Path, path: str, more: dict[str, Any], own: bool) -> None:
    system = host(
        tmp_path, DEBIAN, PYTHON, "/usr/local/bin/python3.13", links=PYTHON3, python=path,
        answers={(path, "interpreter"): asked(path, **more)},
    )  # fmt: skip
    interpreter = find_interpreter(system, 5)
    assert (interpreter.path, interpreter.own, interpreter.managed) == (path, own, True)
    assert interpreter.minor == "3.11"


def test_an_interpreter_that_cannot_be_asked_ends_it(tmp_path: Path) -> None:
    with pytest.raises(CommandFailed, match="cannot be started"):
        find_interpreter(host(tmp_path, DEBIAN), 5)


@pytest.mark.parametrize(
    ("answer", "found"),
    [
        (imported("psycopg2", "2.9.5 (dt dec pq3 ext lo64)"), Found("psycopg2", "psycopg2", "2.9.5")),
        (imported("psycopg", "3.2.1"), Found("psycopg2", "psycopg", "3.2.1")),
        (
            refused(psycopg2=(True, "No module named 'psycopg2'"), psycopg=(True, "No module named 'psycopg'")),
            Found("psycopg2", error="No module named 'psycopg2'"),
        ),
        (
            refused(psycopg2=(True, "No module named 'psycopg2'"), psycopg=(False, "no pq wrapper available")),
            Found("psycopg2", error="no pq wrapper available", broken=True),
        ),
        (
            CommandFailed("Asking python failed with signal 11: it printed nothing"),
            Found("psycopg2", error="Asking python failed with signal 11: it printed nothing", broken=True),
        ),
        (DeadlineExceeded("it hangs"), Found("psycopg2", error="it hangs", broken=True)),
    ],
)
def test_a_library_as_an_interpreter_sees_it(tmp_path: Path, answer: Any, found: Found) -> None:
    system = host(tmp_path, DEBIAN, answers={(PYTHON, "import"): answer})
    assert find_library(system, PYTHON, "psycopg2", 5) == found


ENVIRONMENT = {f"{VENV}/bin/python": "/usr/bin/python3.11"}
CONFIGURATION = f"{VENV}/pyvenv.cfg"


def test_no_environment_yet(tmp_path: Path) -> None:
    assert find_environment(host(tmp_path, DEBIAN, writable=False), VENV, 5) == Environment(VENV, ABSENT, False)


def test_an_empty_folder_is_a_place_for_one(tmp_path: Path) -> None:
    (tmp_path / VENV.lstrip("/")).mkdir(parents=True)
    assert find_environment(host(tmp_path, DEBIAN), f"{VENV}/", 5) == Environment(VENV, ABSENT, True)


@pytest.mark.parametrize("file", [f"{VENV}/data", VENV])
def test_what_is_no_environment_is_foreign(tmp_path: Path, file: str) -> None:
    environment = find_environment(host(tmp_path, DEBIAN, file), VENV, 5)
    assert environment.state == FOREIGN
    assert environment.problem == f"{VENV} is not a virtual environment, and not an empty folder"


def test_a_usable_environment(tmp_path: Path) -> None:
    answers = {(f"{VENV}/bin/python", "versions"): {"virtual": True, "versions": {}}}
    system = host(tmp_path, DEBIAN, CONFIGURATION, links=ENVIRONMENT, answers=answers)
    assert find_environment(system, VENV, 5) == Environment(VENV, USABLE, True)


@pytest.mark.parametrize(
    ("answer", "problem"),
    [
        (None, f"{VENV}/bin/python cannot be started: No such file or directory."),
        (CommandFailed("it has no pip for Python 3.13"), "it has no pip for Python 3.13"),
        ({"virtual": False}, f"{VENV}/bin/python is not a Python of its own any more"),
    ],
)
def test_an_environment_that_an_upgrade_broke(tmp_path: Path, answer: Any, problem: str) -> None:
    answers = {(f"{VENV}/bin/python", "versions"): answer}
    environment = find_environment(host(tmp_path, DEBIAN, CONFIGURATION, answers=answers), VENV, 5)
    assert (environment.state, environment.problem) == (BROKEN, problem)


def test_versions_of_an_environment(tmp_path: Path) -> None:
    python = f"{VENV}/bin/python"
    system = host(tmp_path, DEBIAN, answers={(python, "versions", "docker"): {"versions": {"docker": "7.1.0"}}})
    assert find_versions(system, Environment(VENV, USABLE, True), ["docker"], 5) == {"docker": "7.1.0"}
    assert find_versions(system, Environment(VENV, ABSENT, True), ["docker"], 5) == {"docker": ""}


def test_versions_that_are_not_all_told_are_refused(tmp_path: Path) -> None:
    system = host(tmp_path, DEBIAN, answers={(f"{VENV}/bin/python", "versions"): {"versions": {}}})
    with pytest.raises(CommandFailed, match="did not answer"):
        find_versions(system, Environment(VENV, USABLE, True), ["docker"], 5)


def test_libraries_are_looked_for_where_the_tasks_will_run(tmp_path: Path) -> None:
    python = f"{VENV}/bin/python"
    answers = {
        (PYTHON, "interpreter"): asked(),
        (PYTHON, "import"): refused(cryptography=(True, "no")),
        (python, "versions"): {"virtual": True, "versions": {}},
        (python, "import"): imported("cryptography", "50.0.2"),
    }
    system = host(tmp_path, DEBIAN, PYTHON, "/usr/bin/apt-get", CONFIGURATION, links=PYTHON3, answers=answers)
    assert collect(system, ["cryptography"], "", 5).missing == ("cryptography",)
    inside = collect(system, ["cryptography"], VENV, 5)
    assert (inside.missing, inside.where, inside.manager) == ((), python, "apt")
    nowhere = collect(system, ["cryptography"], "/opt/other", 5)
    assert nowhere.libraries == (Found("cryptography", error="there is no virtual environment at /opt/other yet"),)
