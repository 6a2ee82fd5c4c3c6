"""What comes of each step; the making of real environments is in the integration tests."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from ansible_collections.cadence.upkeep.plugins.module_utils._core.command import Completed
from ansible_collections.cadence.upkeep.plugins.module_utils._core.deadline import Deadline
from ansible_collections.cadence.upkeep.plugins.module_utils._prerequisites.apply import Applied, apply
from ansible_collections.cadence.upkeep.plugins.module_utils._prerequisites.model import ABSENT, Environment
from ansible_collections.cadence.upkeep.plugins.module_utils._prerequisites.plan import Pin, Step
from tests.unit.plugins.module_utils._prerequisites.recorded import DEBIAN, Recorded, host

VENV = Environment("/opt/v", ABSENT, True)
PYTHON = "/opt/v/bin/python"
MAKE, REMAKE = Step("make", "Make it"), Step("remake", "Make it anew")
INSTALL = Step("install", "Install docker", (Pin("docker", "7.1.0"),))
NO_ENSUREPIP = "The virtual environment was not created successfully because ensurepip is not available.\n"


@dataclass(frozen=True)
class Doing(Recorded):
    """A recorded host whose commands end as told, by their ``-m`` module, and are kept."""

    ends: Mapping[str, tuple[int, str]] = field(default_factory=dict)
    ran: list[list[str]] = field(default_factory=list)

    def run(self, argv: Sequence[str], seconds: float) -> Completed:
        self.ran.append(list(argv))
        status, errors = self.ends.get(argv[2], (0, ""))
        return Completed(tuple(argv), status, "", errors, 0.0, False)


def done(
    folder: Path, *steps: Step, version: str = "7.1.0", **ends: tuple[int, str]
) -> tuple[Applied, list[list[str]]]:
    answers: dict[tuple[str, ...], Any] = {
        (PYTHON, "versions"): {"virtual": True, "versions": {}},
        (PYTHON, "versions", "docker"): {"versions": {"docker": version}},
    }
    recorded = host(folder, DEBIAN, "/opt/v/pyvenv.cfg", answers=answers)
    system = Doing(root=recorded.root, answers=answers, ends=ends)
    return apply(system, VENV, steps, Deadline(60)), system.ran


def told(applied: Applied) -> list[tuple[str, str]]:
    return [(action.id, action.status) for action in applied.actions]


def test_making_and_installing(tmp_path: Path) -> None:
    applied, ran = done(tmp_path, MAKE, INSTALL)
    assert told(applied) == [("make", "done"), ("install", "done")]
    assert applied.error is None
    assert ran[0] == ["/usr/bin/python3.11", "-m", "venv", "/opt/v"]
    assert ran[1][:4] == [PYTHON, "-m", "pip", "install"]
    assert ran[1][-1] == "docker==7.1.0"


def test_making_anew_clears_what_was_there(tmp_path: Path) -> None:
    _, ran = done(tmp_path, REMAKE)
    assert ran == [["/usr/bin/python3.11", "-m", "venv", "--clear", "/opt/v"]]


def test_a_python_that_cannot_make_one_fails_and_the_rest_is_skipped(tmp_path: Path) -> None:
    applied, ran = done(tmp_path, MAKE, INSTALL, venv=(1, NO_ENSUREPIP))
    assert told(applied) == [("make", "failed"), ("install", "skipped")]
    assert applied.error is not None
    assert "ensurepip is not available" in applied.error.message
    assert applied.actions[1].reason == "a step before it failed"
    assert len(ran) == 1


def test_what_pip_cannot_find_fails(tmp_path: Path) -> None:
    applied, _ = done(tmp_path, INSTALL, pip=(1, "ERROR: No matching distribution found for docker==7.1.0\n"))
    assert told(applied) == [("install", "failed")]
    assert "No matching distribution" in applied.actions[0].reason


def test_pip_that_ends_well_and_has_done_nothing_is_found_out(tmp_path: Path) -> None:
    applied, _ = done(tmp_path, INSTALL, version="6.0")
    assert told(applied) == [("install", "failed")]
    assert applied.error is not None
    assert applied.error.message == "pip ended well, but docker==7.1.0 is not in /opt/v."
