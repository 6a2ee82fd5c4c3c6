"""The module: its documentation says what it takes and returns, and it ends as Ansible expects."""

from __future__ import annotations

import gzip
import json
import os
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml
from ansible.module_utils import basic

from ansible_collections.cadence.upkeep.plugins.module_utils._backup.argspec import ARGUMENT_SPEC
from ansible_collections.cadence.upkeep.plugins.modules import backup_verify
from tests.unit.plugins.module_utils._backup.samples import recorded
from tests.unit.plugins.modules.documented import options_of

Runner = Callable[..., tuple[int, dict[str, Any]]]


@pytest.fixture
def run(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path) -> Runner:
    """Run the module in this process as `python backup_verify.py arguments.json` would; its exit code and its JSON."""

    def runner(**arguments: Any) -> tuple[int, dict[str, Any]]:
        file = tmp_path / "arguments.json"
        file.write_text(json.dumps({"ANSIBLE_MODULE_ARGS": {"_ansible_remote_tmp": str(tmp_path), **arguments}}))
        monkeypatch.setattr(sys, "argv", ["backup_verify.py", str(file)])
        monkeypatch.setattr(basic, "_ANSIBLE_ARGS", None)
        with pytest.raises(SystemExit) as ended:
            backup_verify.main()
        return int(ended.value.code or 0), json.loads(capsys.readouterr().out)

    return runner


@pytest.fixture
def dump(tmp_path: Path) -> Path:
    path = tmp_path / "backups" / "shop.sql.gz"
    path.parent.mkdir()
    path.write_bytes(gzip.compress(recorded("18.sql")))
    path.chmod(0o600)
    os.utime(path, (1_700_000_000, 1_700_000_000))
    return path


def cut(dump: Path) -> None:
    os.truncate(dump, 500)
    os.utime(dump, (1_700_000_000, 1_700_000_000))


def series(dump: Path, **options: Any) -> list[dict[str, Any]]:
    return [{"name": "shop", "pattern": str(dump), "every": "0", **options}]


@pytest.mark.parametrize("check_mode", [False, True])
def test_it_returns_what_it_saw_and_changes_nothing(run: Runner, dump: Path, check_mode: bool) -> None:
    before = sorted((entry.name, entry.stat().st_mtime_ns) for entry in os.scandir(dump.parent))
    code, result = run(series=series(dump), _ansible_check_mode=check_mode)
    assert code == 0
    assert result["changed"] is False
    assert [record["status"] for record in result["files"]] == ["ok"]
    assert sorted((entry.name, entry.stat().st_mtime_ns) for entry in os.scandir(dump.parent)) == before


def test_a_bad_backup_does_not_fail_it(run: Runner, dump: Path) -> None:
    cut(dump)
    code, result = run(series=series(dump, max_age="1h"))
    assert code == 0
    assert {finding["code"] for finding in result["findings"]} >= {"backup.truncated", "backup.stale"}
    assert result["summary"]["worst"] == "critical"


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"every": "24"}, "every of the series shop: '24' has no unit"),
        ({"pattern": "backups/*"}, "The pattern 'backups/*' of the series shop is not absolute."),
        ({"level": "deep"}, "value of level must be one of: presence, integrity, structure, restore, got: deep"),
    ],
)
def test_an_option_that_cannot_be_understood_fails_it(
    run: Runner, dump: Path, options: dict[str, Any], message: str
) -> None:
    code, result = run(series=series(dump, **options))
    assert code == 1
    assert result["failed"] is True
    assert message in result["msg"]
    assert "Traceback" not in result["msg"]


def test_its_options_are_those_of_the_documentation() -> None:
    assert_same(ARGUMENT_SPEC, options_of(backup_verify))


def assert_same(spec: dict[str, Any], documented: dict[str, Any]) -> None:
    assert set(spec) == set(documented)
    for name, option in spec.items():
        described = documented[name]
        for key in ("type", "elements", "default", "choices"):
            assert option.get(key) == described.get(key), (name, key)
        assert option.get("required", False) == described.get("required", False), name
        if "options" in option:
            assert_same(option["options"], described["suboptions"])


@pytest.mark.parametrize("whole", [True, False])
def test_it_returns_the_keys_of_the_documentation(run: Runner, dump: Path, whole: bool) -> None:
    if not whole:
        cut(dump)
    documented = yaml.safe_load(backup_verify.RETURN)
    _code, result = run(series=series(dump), count_rows=True)
    assert set(result) - {"changed", "invocation"} == set(documented) - {"truncated"}
    for name in ("series", "files"):
        (record,) = result[name]
        described = documented[name]["contains"]
        always = {key for key, value in described.items() if value["returned"] == "always"}
        assert always <= set(record) <= set(described)
    if whole:
        assert set(result["files"][0]["dump"]) == set(documented["files"]["contains"]["dump"]["sample"])
