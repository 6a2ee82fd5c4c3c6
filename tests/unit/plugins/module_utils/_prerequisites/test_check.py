"""The entries of the domain, with the Python that runs the tests and a real virtual environment (without network)."""

from __future__ import annotations

import json
import os
import sys
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

import pytest

from ansible_collections.cadence.upkeep.plugins.module_utils._core.argspec import validate
from ansible_collections.cadence.upkeep.plugins.module_utils._core.errors import (
    CommandFailed,
    DeadlineExceeded,
    InvalidInput,
    LockHeld,
    StateError,
)
from ansible_collections.cadence.upkeep.plugins.module_utils._core.lock import HostLock
from ansible_collections.cadence.upkeep.plugins.module_utils._core.outcome import ANSIBLE_KEYS
from ansible_collections.cadence.upkeep.plugins.module_utils._prerequisites.argspec import INFO_SPEC, VIRTUALENV_SPEC
from ansible_collections.cadence.upkeep.plugins.module_utils._prerequisites.check import Provided, look, provide
from ansible_collections.cadence.upkeep.plugins.module_utils._prerequisites.system import System

NOW = datetime(2026, 11, 22, 4, 13, tzinfo=timezone.utc)


def looked(**params: Any) -> dict[str, Any]:
    return look(validate("prerequisites_info", INFO_SPEC, params).params, NOW).as_result()


def provided(path: Path, *requirements: str, check_mode: bool = False, **more: Any) -> Provided:
    params = {"path": str(path), "requirements": list(requirements), **more}
    return provide(validate("prerequisites_virtualenv", VIRTUALENV_SPEC, params).params, NOW, check_mode)


def steps(told: Provided) -> list[tuple[str, str]]:
    return [(action["id"], action["status"]) for action in told.as_result()["actions"]]


# --- looking ------------------------------------------------------------------------------------------------------


def test_what_this_python_has() -> None:
    told = looked(libraries=["cryptography", "psycopg2", "cryptography"])
    assert told["interpreter"]["path"] == sys.executable
    assert told["interpreter"]["version"] == ".".join(map(str, sys.version_info[:3]))
    assert told["interpreter"]["virtual"] == (sys.prefix != sys.base_prefix)
    names = [library["name"] for library in told["libraries"]]
    assert names == ["cryptography", "psycopg2"]
    for library in told["libraries"]:
        assert library["importable"] == (library["name"] not in told["missing"])
        assert bool(library["version"]) == library["importable"]
    assert told["summary"]["counts"]["warning"] == len(told["missing"]) == len(told["findings"])
    assert told["virtualenv"] == {}
    assert not ANSIBLE_KEYS & set(told)
    assert json.loads(json.dumps(told)) == told


def test_an_environment_that_is_not_there_yet(tmp_path: Path) -> None:
    told = looked(libraries=["docker"], virtualenv=str(tmp_path / "venv"))
    assert told["missing"] == ["docker"]
    assert told["virtualenv"] == {
        "path": str(tmp_path / "venv"),
        "python": str(tmp_path / "venv/bin/python"),
        "state": "absent",
        "writable": True,
    }
    assert not (tmp_path / "venv").exists()


def test_asked_for_nothing_is_unknown() -> None:
    assert [finding["code"] for finding in looked(libraries=[])["findings"]] == ["prerequisites.nothing_examined"]


@pytest.mark.parametrize(
    ("params", "words"),
    [
        ({"libraries": ["redis"]}, "value of libraries must be one or more of"),
        ({"libraries": [], "timeout": "30"}, "timeout: '30' has no unit"),
        ({"libraries": [], "timeout": "0"}, "leaves no time"),
        ({"libraries": [], "virtualenv": "venv"}, "virtualenv: 'venv' is not an absolute path"),
        ({"libraries": [], "virtualenv": "/"}, "virtualenv: '/' is not an absolute path"),
    ],
)
def test_a_mistake_is_named(params: dict[str, Any], words: str) -> None:
    with pytest.raises(InvalidInput) as raised:
        looked(**params)
    assert words in raised.value.message


# --- the adapter ------------------------------------------------------------------------------------------------------


def test_a_module_that_is_broken_is_told_from_one_that_is_absent(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "half.py").write_text("import gone_and_lost\n")
    (tmp_path / "rotten.py").write_text("raise ValueError('rotten')\n")
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    answer = System().probe(sys.executable, "import", ["half", "never_heard_of"], 20)
    assert answer["errors"] == {
        "half": [False, "No module named 'gone_and_lost'"],
        "never_heard_of": [True, "No module named 'never_heard_of'"],
    }
    with pytest.raises(CommandFailed, match="ValueError: rotten"):
        System().probe(sys.executable, "import", ["rotten"], 20)


def test_a_module_of_the_working_folder_is_none_of_the_interpreters(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "here.py").touch()
    monkeypatch.chdir(tmp_path)
    assert "module" not in System().probe(sys.executable, "import", ["here"], 20)


def test_what_a_python_prints_besides_is_no_answer(tmp_path: Path) -> None:
    chatty = tmp_path / "python"
    chatty.write_text("#!/bin/sh\necho hello\n")
    chatty.chmod(0o755)
    with pytest.raises(CommandFailed, match="gave no answer that can be read"):
        System().probe(str(chatty), "interpreter", [], 20)


def test_a_python_that_hangs_is_left(tmp_path: Path) -> None:
    slow = tmp_path / "python"
    slow.write_text("#!/bin/sh\nexec sleep 60\n")
    slow.chmod(0o755)
    with pytest.raises(DeadlineExceeded):
        System().probe(str(slow), "interpreter", [], 0.3)


def test_where_one_may_write(tmp_path: Path) -> None:
    assert System().is_writable(str(tmp_path / "a" / "b" / "c"))
    assert System().is_writable("/proc/venv") is os.access("/proc", os.W_OK)
    assert System(str(tmp_path)).read_or("/etc/os-release") == ""


# --- providing --------------------------------------------------------------------------------------------------------


def test_a_folder_with_data_is_never_touched(tmp_path: Path) -> None:
    (tmp_path / "data").write_text("precious")
    with pytest.raises(InvalidInput, match="is not a virtual environment"):
        provided(tmp_path, "pebble==1.0")
    assert os.listdir(tmp_path) == ["data"]


def test_two_at_once_do_not_mix(tmp_path: Path) -> None:
    with HostLock(str(tmp_path / ".venv.lock"), "other"), pytest.raises(LockHeld, match="other"):
        provided(tmp_path / "venv", "pebble==1.0")
    assert not (tmp_path / "venv").exists()


def test_a_place_that_cannot_be_made_is_named() -> None:
    with pytest.raises(StateError, match="The folder /proc/upkeep cannot be made"):
        provided(Path("/proc/upkeep/venv"), "pebble==1.0")


def test_time_that_is_over_starts_nothing(tmp_path: Path) -> None:
    told = provided(tmp_path / "venv", "pebble==1.0", timeout="1ms")
    assert steps(told) == [("make", "failed"), ("install", "skipped")]
    assert isinstance(told.error, DeadlineExceeded)
    assert not (tmp_path / "venv").exists()
