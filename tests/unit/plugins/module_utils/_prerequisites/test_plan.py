"""Which steps lead to the environment that is wanted."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ansible_collections.cadence.upkeep.plugins.module_utils._core.errors import InvalidInput
from ansible_collections.cadence.upkeep.plugins.module_utils._prerequisites.model import (
    ABSENT,
    BROKEN,
    FOREIGN,
    USABLE,
    Environment,
    Interpreter,
)
from ansible_collections.cadence.upkeep.plugins.module_utils._prerequisites.plan import Pin, plan, read_pins

PYTHON = Interpreter("/usr/bin/python3.11", "3.11.2")
PINS = read_pins(["docker==7.1.0", "idna==3.1"])


def steps(state: str, versions: dict[str, str], problem: str = "") -> list[tuple[str, str]]:
    environment = Environment("/opt/v", state, True, problem)
    return [(step.id, step.description) for step in plan(PYTHON, environment, versions, PINS)]


def test_from_nothing() -> None:
    assert steps(ABSENT, {}) == [
        ("make", "Make the virtual environment /opt/v by /usr/bin/python3.11 (Python 3.11.2)"),
        ("install", "Install docker==7.1.0 (there is none), idna==3.1 (there is none)"),
    ]


def test_only_what_is_wrong_is_installed() -> None:
    assert steps(USABLE, {"docker": "7.1.0", "idna": "3.0"}) == [("install", "Install idna==3.1 (there is 3.0)")]


def test_a_second_plan_is_empty() -> None:
    assert steps(USABLE, {"docker": "7.1.0", "idna": "3.1"}) == []


def test_a_broken_one_is_made_anew() -> None:
    (remake, install) = steps(BROKEN, {}, "it has no pip")
    assert remake[0] == "remake"
    assert remake[1].endswith("(Python 3.11.2), because it has no pip")
    assert install[0] == "install"


def test_what_is_no_environment_is_never_touched() -> None:
    with pytest.raises(InvalidInput, match="not a virtual environment") as raised:
        steps(FOREIGN, {}, "/opt/v is not a virtual environment")
    assert "move away what is there" in raised.value.remedy


@pytest.mark.parametrize(
    "text", ["docker", "docker>=7", "docker==7,<8", "-r file", "docker==", "git+https://x", "", "a==1 b"]
)
def test_a_requirement_without_its_one_version_is_refused(text: str) -> None:
    with pytest.raises(InvalidInput, match="names no one version"):
        read_pins([text])


def test_a_project_twice_is_refused() -> None:
    with pytest.raises(InvalidInput, match="docker is required more than once"):
        read_pins(["docker==1", "docker==2"])


@given(st.dictionaries(st.sampled_from(["docker", "idna", "other"]), st.sampled_from(["", "7.1.0", "3.1", "1"])))
def test_after_the_plan_nothing_is_left_to_plan(versions: dict[str, str]) -> None:
    environment = Environment("/opt/v", USABLE, True)
    after = {
        **versions,
        **{pin.project: pin.version for step in plan(PYTHON, environment, versions, PINS) for pin in step.pins},
    }
    assert plan(PYTHON, environment, after, PINS) == []


def test_a_pin_reads_as_it_was_written() -> None:
    assert [str(pin) for pin in read_pins([" psycopg2-binary==2.9.12 "])] == ["psycopg2-binary==2.9.12"]
    assert read_pins(["a.b_c==1!2.0+local"]) == (Pin("a.b_c", "1!2.0+local"),)
