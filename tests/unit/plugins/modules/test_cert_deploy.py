"""The module: it ends as Ansible expects, with the whole result, and without a byte of a key."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from ansible.module_utils import basic

from ansible_collections.cadence.upkeep.plugins.modules import cert_deploy
from tests.bed.tls import Authority

Runner = Callable[..., tuple[int, dict[str, Any]]]


@pytest.fixture
def run(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path) -> Runner:
    """Run `cert_deploy` in this process as `python cert_deploy.py arguments.json` would; its exit code and its JSON."""
    authority = Authority()
    authority.issue("shop.example.org").write(tmp_path, "new")
    known = {
        "name": "shop",
        "source": {"fullchain": str(tmp_path / "new.pem"), "privkey": str(tmp_path / "new.key")},
        "deploy": {"fullchain": str(tmp_path / "tls" / "a.crt"), "privkey": str(tmp_path / "tls" / "a.key")},
        "ca_path": str(authority.write(tmp_path)),
        "state_dir": str(tmp_path / "state"),
        "_ansible_remote_tmp": str(tmp_path),
    }

    def runner(**given: Any) -> tuple[int, dict[str, Any]]:
        file = tmp_path / "arguments.json"
        file.write_text(json.dumps({"ANSIBLE_MODULE_ARGS": {**known, **given}}))
        monkeypatch.setattr(sys, "argv", ["cert_deploy.py", str(file)])
        monkeypatch.setattr(basic, "_ANSIBLE_ARGS", None)
        with pytest.raises(SystemExit) as ended:
            cert_deploy.main()
        text = capsys.readouterr().out
        key = (tmp_path / "new.key").read_text().splitlines()[1]
        assert "-----BEGIN" not in text and key not in text
        return int(ended.value.code or 0), json.loads(text)

    return runner


def test_it_deploys_once(run: Runner, tmp_path: Path) -> None:
    code, planned = run(_ansible_check_mode=True, _ansible_diff=True)
    assert (code, planned["changed"], planned["state"]) == (0, True, "changed")
    assert planned["diff"]["before"] == "" and "a.key: " in planned["diff"]["after"]
    assert not (tmp_path / "tls").exists() and not (tmp_path / "state").exists()
    code, result = run(_ansible_diff=True)
    assert (code, result["changed"], result["state"]) == (0, True, "changed")
    assert result["diff"] == planned["diff"]
    assert [action["id"] for action in result["actions"]] == ["deploy"]
    assert result["certificate"]["san"] == ["shop.example.org"]
    code, again = run(_ansible_diff=True)
    assert (code, again["changed"], again["state"]) == (0, False, "unchanged")
    assert again["diff"]["before"] == again["diff"]["after"]


def test_what_is_refused_fails_it_with_the_whole_result(run: Runner) -> None:
    code, result = run(names=["other.example.org"])
    assert (code, result["failed"], result["changed"], result["state"]) == (1, True, False, "refused")
    assert result["msg"] == result["findings"][0]["message"] and "other.example.org" in result["msg"]
    assert result["summary"]["worst"] == "critical"


def test_what_cannot_be_begun_names_its_subject(run: Runner) -> None:
    code, result = run(deploy={"fullchain": "/tls/a\0.crt"})
    assert (code, result["failed"], result["evidence"]["subject"]) == (1, True, "shop")
    code, result = run(state="restored")
    assert code == 1 and "has no backup latest" in result["msg"]
