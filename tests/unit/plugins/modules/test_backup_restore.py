"""The module: it ends as Ansible expects, before there is any server."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from ansible.module_utils import basic

from ansible_collections.cadence.upkeep.plugins.modules import backup_restore

Runner = Callable[..., tuple[int, dict[str, Any]]]


@pytest.fixture
def run(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path) -> Runner:
    """Run `backup_restore` in this process as `python backup_restore.py arguments.json` would."""

    def runner(**given: Any) -> tuple[int, dict[str, Any]]:
        file = tmp_path / "arguments.json"
        known = {"_ansible_remote_tmp": str(tmp_path), "safety_directory": str(tmp_path / "safe"), "host": "db1"}
        file.write_text(json.dumps({"ANSIBLE_MODULE_ARGS": {**known, **given}}))
        monkeypatch.setattr(sys, "argv", ["backup_restore.py", str(file)])
        monkeypatch.setattr(basic, "_ANSIBLE_ARGS", None)
        with pytest.raises(SystemExit) as ended:
            backup_restore.main()
        return int(ended.value.code or 0), json.loads(capsys.readouterr().out)

    return runner


def test_a_mistake_is_a_failure_with_its_remedy(run: Runner) -> None:
    code, said = run(path="shop.dump")
    assert code == 1
    assert "path: 'shop.dump' is not an absolute path" in said["msg"]
    assert said["remedy"] == "Write it from / on."


def test_a_backup_that_is_not_there_is_told(run: Runner, tmp_path: Path) -> None:
    code, said = run(path=str(tmp_path / "none.dump"), database="shop", confirm="shop@db1")
    assert code == 1
    assert "was not restored" in said["msg"]
    assert said["changed"] is False


def test_what_is_no_backup_is_not_restored(run: Runner, tmp_path: Path) -> None:
    path = tmp_path / "shop.sql"
    path.write_text("<html>502 Bad Gateway</html>")
    code, said = run(path=str(path), database="shop", confirm="shop@db1")
    assert code == 1
    assert "backup.not_a_backup" in {one["code"] for one in said["findings"]}
    assert said["confirmation"] == ""


def test_an_archive_of_files_wants_a_destination(run: Runner, tmp_path: Path) -> None:
    import tarfile

    (tmp_path / "a").write_text("one")
    with tarfile.open(tmp_path / "a.tar", "w") as archive:
        archive.add(tmp_path / "a", "a")
    code, said = run(path=str(tmp_path / "a.tar"))
    assert code == 1
    assert "destination is not given" in said["msg"]


def test_the_plan_of_a_directory(run: Runner, tmp_path: Path) -> None:
    import tarfile

    (tmp_path / "live").mkdir()
    (tmp_path / "live" / "a").write_text("one")
    with tarfile.open(tmp_path / "a.tar", "w") as archive:
        archive.add(tmp_path / "live" / "a", "a")
    params = {"path": str(tmp_path / "a.tar"), "destination": str(tmp_path / "live")}
    code, said = run(**params, _ansible_check_mode=True, _ansible_diff=True)
    assert (code, said["changed"]) == (0, True)
    assert said["confirmation"] == f"{tmp_path}/live@db1"
    assert "before-" in said["diff"]["after"]
    code, said = run(**params)
    assert code == 1
    assert f"exactly: {tmp_path}/live@db1" in said["msg"]
    assert sorted(path.name for path in tmp_path.iterdir()) == ["a.tar", "arguments.json", "live"]
