"""What is said of what is missing, and what would supply it."""

from __future__ import annotations

from typing import Any

import pytest

from ansible_collections.cadence.upkeep.plugins.module_utils._core.finding import (
    DONE,
    FAILED,
    PLANNED,
    Action,
    Severity,
)
from ansible_collections.cadence.upkeep.plugins.module_utils._prerequisites.codes import CODES
from ansible_collections.cadence.upkeep.plugins.module_utils._prerequisites.evaluate import (
    command,
    evaluate,
    packages,
    still_missing,
)
from ansible_collections.cadence.upkeep.plugins.module_utils._prerequisites.libraries import (
    COMMANDS,
    FAMILIES,
    LIBRARIES,
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
from ansible_collections.cadence.upkeep.plugins.module_utils._prerequisites.plan import Pin, Step

OWN = Interpreter("/usr/bin/python3.11", "3.11.2", own=True, managed=True, can_isolate=True)
OTHER = Interpreter("/usr/local/bin/python3.13", "3.13.0", can_isolate=True)
SECOND = Interpreter("/usr/bin/python3.12", "3.12.5", can_isolate=True)
MANAGED = Interpreter("/usr/local/bin/python3.13", "3.13.0", managed=True)
VIRTUAL = Interpreter("/opt/venv/bin/python", "3.11.2", virtual=True)
MISSING = (Found("psycopg2", error="No module named 'psycopg2'"), Found("cryptography", "cryptography", "38.0.4"))
VENV = Environment("/opt/upkeep/venv", ABSENT, True)


def snapshot(interpreter: Interpreter = OWN, manager: str = "apt", **more: Any) -> Snapshot:
    return Snapshot(interpreter, **{"libraries": MISSING, "manager": manager, **more})


@pytest.mark.parametrize(
    ("interpreter", "manager", "wanted", "typed"),
    [
        (OWN, "apt", ["python3-psycopg2"], "apt-get install python3-psycopg2"),
        (OWN, "dnf", ["python3-psycopg2"], "dnf install python3-psycopg2"),
        (OWN, "dnf5", ["python3-psycopg2"], "dnf install python3-psycopg2"),
        (OWN, "yum", ["python3-psycopg2"], "yum install python3-psycopg2"),
        (OWN, "zypper", ["python3-psycopg2"], "zypper install python3-psycopg2"),
        (OWN, "apk", ["py3-psycopg2"], "apk add py3-psycopg2"),
        (OWN, "pacman", ["python-psycopg2"], "pacman -S python-psycopg2"),
        # Another Python of the system: Red Hat and SUSE have packages for it, Debian has not.
        (SECOND, "dnf", ["python3.12-psycopg2"], "dnf install python3.12-psycopg2"),
        (SECOND, "zypper", ["python312-psycopg2"], "zypper install python312-psycopg2"),
        (SECOND, "apt", [], "/usr/bin/python3.12 -m pip install psycopg2-binary"),
        (OTHER, "apt", [], "/usr/local/bin/python3.13 -m pip install psycopg2-binary"),
        (VIRTUAL, "dnf", [], "/opt/venv/bin/python -m pip install psycopg2-binary"),
        (MANAGED, "apt", [], "ansible-playbook cadence.upkeep.bootstrap -e upkeep_virtualenv=/opt/upkeep/venv"),
        (OTHER, "", [], "/usr/local/bin/python3.13 -m pip install psycopg2-binary"),
    ],
)
def test_what_supplies_a_library(interpreter: Interpreter, manager: str, wanted: list[str], typed: str) -> None:
    seen = snapshot(interpreter, manager)
    assert packages(seen) == wanted
    assert command(seen) == typed


def test_nothing_is_needed_where_nothing_is_missing() -> None:
    seen = snapshot(libraries=MISSING[1:])
    assert (packages(seen), command(seen), evaluate(seen)) == ([], "", [])


@pytest.mark.parametrize(
    ("interpreter", "manager", "state", "wanted"),
    [
        (OWN, "apt", ABSENT, []),
        (Interpreter("/usr/bin/python3.11", "3.11.2", own=True), "apt", ABSENT, ["python3-venv"]),
        (Interpreter("/usr/bin/python3.11", "3.11.2", own=True), "apt", BROKEN, ["python3-venv"]),
        (Interpreter("/usr/bin/python3.11", "3.11.2", own=True), "apt", USABLE, []),
        (Interpreter("/usr/bin/python3.12", "3.12.5"), "apt", ABSENT, ["python3.12-venv"]),
        (Interpreter("/usr/bin/python3.12", "3.12.5"), "dnf", ABSENT, []),
    ],
)
def test_what_is_needed_before_an_environment_can_be_made(
    interpreter: Interpreter, manager: str, state: str, wanted: list[str]
) -> None:
    assert packages(snapshot(interpreter, manager, environment=Environment("/opt/v", state, True))) == wanted


def test_by_hand_into_an_environment() -> None:
    assert command(snapshot(environment=VENV)) == (
        "/usr/bin/python3.11 -m venv /opt/upkeep/venv && /opt/upkeep/venv/bin/python -m pip install psycopg2-binary"
    )


def test_a_missing_library_is_one_finding_with_its_command() -> None:
    (finding,) = evaluate(snapshot())
    assert (finding.code, finding.subject, finding.severity) == (
        "prerequisites.library_missing",
        "psycopg2",
        Severity.WARNING,
    )
    assert finding.message == ("The library psycopg2 is missing in /usr/bin/python3.11: No module named 'psycopg2'.")
    assert finding.remedy == "Run: apt-get install python3-psycopg2"


def test_a_broken_library_is_told_from_a_missing_one() -> None:
    (finding,) = evaluate(snapshot(libraries=(Found("docker", error="libz.so.1: cannot open", broken=True),)))
    assert finding.code == "prerequisites.library_broken"
    assert "cannot be imported in /usr/bin/python3.11: libz.so.1: cannot open." in finding.message


@pytest.mark.parametrize(("state", "told"), [(ABSENT, 0), (USABLE, 0), (BROKEN, 1), (FOREIGN, 1)])
def test_an_environment_that_is_in_the_way(state: str, told: int) -> None:
    environment = Environment("/opt/v", state, True, "it has no pip")
    codes = [finding.code for finding in evaluate(snapshot(environment=environment))]
    assert codes.count("prerequisites.virtualenv_unusable") == told
    assert codes.count("prerequisites.library_missing") == 1


STEPS = [Step("make", "Make it"), Step("install", "Install it", (Pin("docker", "7.1.0"), Pin("idna", "3.1")))]


@pytest.mark.parametrize(
    ("status", "subjects"),
    [(DONE, []), (PLANNED, ["docker==7.1.0", "idna==3.1"]), (FAILED, ["docker==7.1.0", "idna==3.1"])],
)
def test_what_was_not_installed_is_still_missing(status: str, subjects: list[str]) -> None:
    actions = [Action("make", "Make it", DONE), Action("install", "Install it", status)]
    assert [finding.subject for finding in still_missing(VENV, STEPS, actions)] == subjects


@pytest.mark.parametrize("library", LIBRARIES.values(), ids=lambda library: library.name)
def test_every_library_has_a_name_in_every_family(library: Any) -> None:
    families = {FAMILIES.get(manager, manager) for manager in COMMANDS}
    assert set(library.packages) == families
    assert library.modules
    assert library.project


@pytest.mark.parametrize("code", CODES)
def test_every_code_has_a_meaning_and_a_remedy(code: str) -> None:
    assert code.startswith("prerequisites.")
    assert CODES[code].meaning.endswith(".")
    assert CODES[code].remedy.endswith(".")
