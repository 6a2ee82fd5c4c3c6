"""The module pg_wal_archive: what it takes, what it says when it cannot begin."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from ansible.module_utils import basic

from ansible_collections.cadence.upkeep.plugins.module_utils._postgres.archive.argspec import ARGUMENT_SPEC
from ansible_collections.cadence.upkeep.plugins.modules import pg_wal_archive
from tests.unit.plugins.modules.documented import options_of

Runner = Callable[..., tuple[int, dict[str, Any]]]


@pytest.fixture
def run(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path) -> Runner:
    """Run the module in this process as `python pg_wal_archive.py arguments.json` would; its exit code and its JSON."""

    def runner(**arguments: Any) -> tuple[int, dict[str, Any]]:
        file = tmp_path / "arguments.json"
        given = {"_ansible_remote_tmp": str(tmp_path), "state_dir": str(tmp_path / "state"), **arguments}
        file.write_text(json.dumps({"ANSIBLE_MODULE_ARGS": given}))
        monkeypatch.setattr(sys, "argv", ["pg_wal_archive.py", str(file)])
        monkeypatch.setattr(basic, "_ANSIBLE_ARGS", None)
        with pytest.raises(SystemExit) as ended:
            pg_wal_archive.main()
        return int(ended.value.code or 0), json.loads(capsys.readouterr().out)

    return runner


def test_every_default_is_the_documented_one() -> None:
    documented = options_of(pg_wal_archive)
    assert sorted(documented) == sorted(ARGUMENT_SPEC)
    for name, option in ARGUMENT_SPEC.items():
        for key in ("type", "elements", "default", "choices"):
            assert documented[name].get(key) == option.get(key), name


def test_files_go_and_the_difference_is_shown(run: Runner, tmp_path: Path) -> None:
    archive = tmp_path / "archive"
    archive.mkdir()
    for number in range(1, 6):
        (archive / f"00000001000000000000000{number}.gz").write_bytes(b"packed")
    given = {
        "path": str(archive), "ask_server": False, "keep_from": "000000010000000000000003",
        "wal_segment_size": "16MiB", "_ansible_diff": True,
    }  # fmt: skip
    code, planned = run(_ansible_check_mode=True, **given)
    assert (code, planned["changed"], len(list(archive.iterdir()))) == (0, True, 5)
    code, done = run(**given)
    assert (code, done["changed"], len(list(archive.iterdir()))) == (0, True, 3)
    assert planned["diff"] == done["diff"]
    assert done["diff"]["after"] == f"{archive}: 3 files, 18 bytes, oldest segment 000000010000000000000003.gz\n"
    assert run(**given)[1]["changed"] is False


def test_what_makes_no_sense_is_one_error(run: Runner, tmp_path: Path) -> None:
    code, result = run(path=str(tmp_path))
    assert code == 1
    assert "one of the following is required: base_backups, keep_base_backups, keep_from, consumers" in result["msg"]
    code, result = run(path=str(tmp_path / "missing"), keep_from="0/1", ask_server=False)
    assert (code, result["evidence"]["class"]) == (1, "unreadable")
    assert result["remedy"] == "Mount the file system that it is on, or correct path."


def test_a_server_that_is_not_there_is_one_error(run: Runner, tmp_path: Path) -> None:
    (tmp_path / "archive").mkdir()
    nowhere = str(tmp_path / "nowhere")
    code, result = run(path=str(tmp_path / "archive"), keep_from="0/1", login_unix_socket=nowhere)
    assert code == 1
    assert "No such file or directory" in result["msg"]
