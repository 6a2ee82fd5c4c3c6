"""The module pg_large_object: what it takes, what it says when it cannot begin."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from ansible.module_utils import basic

from ansible_collections.cadence.upkeep.plugins.module_utils._postgres.large_objects.argspec import ARGUMENT_SPEC
from ansible_collections.cadence.upkeep.plugins.modules import pg_large_object
from tests.unit.plugins.modules.documented import options_of

Runner = Callable[..., tuple[int, dict[str, Any]]]


@pytest.fixture
def run(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path) -> Runner:
    """Run the module in this process, as `python pg_large_object.py arguments.json` would; return code and JSON."""

    def runner(**arguments: Any) -> tuple[int, dict[str, Any]]:
        file = tmp_path / "arguments.json"
        given = {"_ansible_remote_tmp": str(tmp_path), "state_dir": str(tmp_path / "state"), **arguments}
        file.write_text(json.dumps({"ANSIBLE_MODULE_ARGS": given}))
        monkeypatch.setattr(sys, "argv", ["pg_large_object.py", str(file)])
        monkeypatch.setattr(basic, "_ANSIBLE_ARGS", None)
        with pytest.raises(SystemExit) as ended:
            pg_large_object.main()
        return int(ended.value.code or 0), json.loads(capsys.readouterr().out)

    return runner


def test_every_default_is_the_documented_one() -> None:
    documented = options_of(pg_large_object)
    assert sorted(documented) == sorted(ARGUMENT_SPEC)
    for name, option in ARGUMENT_SPEC.items():
        for key in ("type", "elements", "default", "choices"):
            assert documented[name].get(key) == option.get(key), name


def test_a_server_that_is_not_there_is_one_error(run: Runner, tmp_path: Path) -> None:
    code, result = run(login_unix_socket=str(tmp_path / "nowhere"), login_password="hunter2")
    assert code == 1
    assert "No such file or directory" in result["msg"]
    assert "hunter2" not in json.dumps(result)


def test_what_makes_no_sense_is_one_error(run: Runner) -> None:
    code, result = run(state="absent")
    assert code == 1
    assert result["msg"].startswith("state is absent, but confirm_no_text_references is not set")
    code, result = run(state="present")
    assert code == 1
    assert "reported, absent" in result["msg"]
