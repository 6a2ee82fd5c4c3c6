"""The module pg_vacuum: what it takes, what it says when it cannot begin."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from ansible.module_utils import basic

from ansible_collections.cadence.upkeep.plugins.module_utils._postgres import adapter
from ansible_collections.cadence.upkeep.plugins.module_utils._postgres.vacuum.argspec import ARGUMENT_SPEC
from ansible_collections.cadence.upkeep.plugins.modules import pg_vacuum
from tests.unit.plugins.modules.documented import options_of

Runner = Callable[..., tuple[int, dict[str, Any]]]


@pytest.fixture
def run(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path) -> Runner:
    """Run the module in this process as `python pg_vacuum.py arguments.json` would; its exit code and its JSON."""

    def runner(**arguments: Any) -> tuple[int, dict[str, Any]]:
        file = tmp_path / "arguments.json"
        given = {"_ansible_remote_tmp": str(tmp_path), "state_dir": str(tmp_path / "state"), **arguments}
        file.write_text(json.dumps({"ANSIBLE_MODULE_ARGS": given}))
        monkeypatch.setattr(sys, "argv", ["pg_vacuum.py", str(file)])
        monkeypatch.setattr(basic, "_ANSIBLE_ARGS", None)
        with pytest.raises(SystemExit) as ended:
            pg_vacuum.main()
        return int(ended.value.code or 0), json.loads(capsys.readouterr().out)

    return runner


def test_every_default_is_the_documented_one() -> None:
    documented = options_of(pg_vacuum)
    assert sorted(documented) == sorted(ARGUMENT_SPEC)
    for name, option in ARGUMENT_SPEC.items():
        for key in ("type", "elements", "default", "choices"):
            assert documented[name].get(key) == option.get(key), name


def test_a_server_that_is_not_there_is_one_error(run: Runner, tmp_path: Path) -> None:
    code, result = run(login_unix_socket=str(tmp_path / "nowhere"), login_password="hunter2")
    assert code == 1
    assert "No such file or directory" in result["msg"]
    assert result["remedy"].startswith("Check that the server runs")
    assert result["evidence"]["database"] == "postgres"
    assert "hunter2" not in json.dumps(result)


def test_what_makes_no_sense_is_one_error(run: Runner) -> None:
    code, result = run(time_limit="30")
    assert code == 1
    assert result["msg"].startswith("time_limit: '30' has no unit where a duration is expected.")
    code, result = run(dead_raito=0.5)
    assert code == 1
    assert "dead_raito" in result["msg"]


def test_a_python_without_a_driver_is_told_what_to_install(run: Runner, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(adapter, "DRIVERS", {})
    code, result = run()
    assert code == 1
    assert sys.executable in result["msg"]
    assert "python3-psycopg2" in result["msg"]
