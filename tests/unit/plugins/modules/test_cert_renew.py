"""The module: it ends as Ansible expects, whatever the client says."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from ansible.module_utils import basic

from ansible_collections.cadence.upkeep.plugins.modules import cert_renew
from tests.bed.tls import Authority

Runner = Callable[..., tuple[int, dict[str, Any]]]


@pytest.fixture
def run(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path) -> Runner:
    """Run `cert_renew` in this process as `python cert_renew.py arguments.json` would; its exit code and its JSON."""
    known = {"_ansible_remote_tmp": str(tmp_path), "state_dir": str(tmp_path / "state")}

    def runner(**given: Any) -> tuple[int, dict[str, Any]]:
        file = tmp_path / "arguments.json"
        file.write_text(json.dumps({"ANSIBLE_MODULE_ARGS": {**known, **given}}))
        monkeypatch.setattr(sys, "argv", ["cert_renew.py", str(file)])
        monkeypatch.setattr(basic, "_ANSIBLE_ARGS", None)
        with pytest.raises(SystemExit) as ended:
            cert_renew.main()
        return int(ended.value.code or 0), json.loads(capsys.readouterr().out)

    return runner


@pytest.fixture
def api(tmp_path: Path) -> dict[str, Any]:
    """A certificate that `cp` renews."""
    authority = Authority()
    authority.issue("api.example.org", days=20).write(tmp_path, "live")
    authority.issue("api.example.org", days=80).write(tmp_path, "next")
    copy = ["cp", str(tmp_path / "next.pem"), str(tmp_path / "live.pem")]
    return {"name": "api", "fullchain": str(tmp_path / "live.pem"), "renew_command": copy, "dry_run_command": ["true"]}


def test_changed_is_what_the_certificate_says(run: Runner, api: dict[str, Any]) -> None:
    code, planned = run(lineages=[api], _ansible_check_mode=True)
    assert (code, planned["changed"], planned["lineages"][0]["status"]) == (0, True, "tried")
    code, result = run(lineages=[api], _ansible_diff=True)
    assert (code, result["changed"], result["lineages"][0]["status"]) == (0, True, "renewed")
    assert result["diff"]["before"] != result["diff"]["after"]
    code, again = run(lineages=[api])
    assert (code, again["changed"], again["lineages"][0]["status"]) == (0, False, "kept")


def test_a_renewal_that_fails_is_a_finding_and_no_failure(run: Runner, api: dict[str, Any]) -> None:
    code, result = run(lineages=[{**api, "renew_command": ["false"]}])
    assert (code, result["changed"], result["summary"]["worst"]) == (0, False, "warning")
    assert result["findings"][0]["code"] == "cert.renewal_failed"


def test_without_a_client_it_fails(run: Runner, tmp_path: Path) -> None:
    (tmp_path / "renewal").mkdir()
    (tmp_path / "renewal" / "shop.conf").write_text("version = 5\n")
    code, result = run(config_dir=str(tmp_path), certbot="certbot-of-nobody")
    assert code == 1 and "there is no certbot-of-nobody" in result["msg"]
