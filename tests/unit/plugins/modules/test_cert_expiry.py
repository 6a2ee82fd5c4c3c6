"""The module: its documentation says what it takes and returns, and it ends as Ansible expects."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml
from ansible.module_utils import basic

from ansible_collections.cadence.upkeep.plugins.module_utils._cert import library
from ansible_collections.cadence.upkeep.plugins.module_utils._cert.argspec import ARGUMENT_SPEC
from ansible_collections.cadence.upkeep.plugins.modules import cert_expiry
from tests.bed.tls import Authority
from tests.unit.plugins.modules.documented import options_of

Runner = Callable[..., tuple[int, dict[str, Any]]]


@pytest.fixture
def run(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path) -> Runner:
    """Run the module in this process as `python cert_expiry.py arguments.json` would; its exit code and its JSON."""

    def runner(**arguments: Any) -> tuple[int, dict[str, Any]]:
        file = tmp_path / "arguments.json"
        file.write_text(json.dumps({"ANSIBLE_MODULE_ARGS": {"_ansible_remote_tmp": str(tmp_path), **arguments}}))
        monkeypatch.setattr(sys, "argv", ["cert_expiry.py", str(file)])
        monkeypatch.setattr(basic, "_ANSIBLE_ARGS", None)
        with pytest.raises(SystemExit) as ended:
            cert_expiry.main()
        return int(ended.value.code or 0), json.loads(capsys.readouterr().out)

    return runner


@pytest.fixture
def pem(tmp_path: Path) -> Path:
    path = tmp_path / "www.pem"
    path.write_bytes(Authority().issue("www.example.org").chain_pem)
    return path


@pytest.mark.parametrize("check_mode", [False, True])
def test_it_returns_what_it_saw_and_changes_nothing(run: Runner, pem: Path, check_mode: bool) -> None:
    code, result = run(files=[str(pem)], _ansible_check_mode=check_mode)
    assert code == 0
    assert result["changed"] is False
    assert [record["target"] for record in result["certificates"]] == [str(pem)]
    assert result["findings"][0]["code"] == "cert.valid"


def test_a_bad_certificate_does_not_fail_it(run: Runner, tmp_path: Path) -> None:
    code, result = run(files=[str(tmp_path / "none.pem")])
    assert code == 0
    assert result["summary"]["worst"] == "unknown"


def test_an_option_that_cannot_be_understood_fails_it(run: Runner, pem: Path) -> None:
    code, result = run(files=[str(pem)], warning=["30"])
    assert code == 1
    assert result["failed"] is True
    assert result["msg"].startswith("warning: '30' has no unit")
    assert "Write it like" in result["msg"]


def test_without_its_library_it_fails_and_names_the_packages(
    run: Runner, pem: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(library, "HAS_CRYPTOGRAPHY", False)
    monkeypatch.setattr(library, "IMPORT_ERROR", "Traceback\nModuleNotFoundError: No module named 'cryptography'\n")
    code, result = run(files=[str(pem)])
    assert code == 1
    assert "python3-cryptography (apt)" in result["msg"]
    assert result["evidence"]["interpreter"] == sys.executable
    assert result["evidence"]["import_error"] == "ModuleNotFoundError: No module named 'cryptography'"


def test_its_options_are_those_of_the_documentation() -> None:
    documented = options_of(cert_expiry)
    assert_same(ARGUMENT_SPEC, documented)


def assert_same(spec: dict[str, Any], documented: dict[str, Any]) -> None:
    assert set(spec) == set(documented)
    for name, option in spec.items():
        described = documented[name]
        for key in ("type", "elements", "default", "choices", "required"):
            assert option.get(key) == described.get(key), (name, key)
        if "options" in option:
            assert_same(option["options"], described["suboptions"])


def test_it_returns_the_keys_of_the_documentation(run: Runner, pem: Path) -> None:
    documented = yaml.safe_load(cert_expiry.RETURN)
    _code, result = run(files=[str(pem)])
    returned = set(result) - {"changed", "invocation"}
    assert returned == set(documented) - {"truncated"}
    (record,) = result["certificates"]
    described = documented["certificates"]["contains"]
    always = {key for key, value in described.items() if value["returned"] == "always"}
    assert always <= set(record) <= set(described)
    (sample,) = documented["certificates"]["sample"]
    # The sample is an endpoint's; these are of files.
    assert set(sample) == set(described) - {"realpath", "key", "key_matches", "duplicate_of"}
    assert set(record["leaf"]) == set(sample["leaf"])
    assert set(record["thresholds"]) == set(sample["thresholds"])
    assert set(record["chain"][0]) == set(sample["chain"][0])
