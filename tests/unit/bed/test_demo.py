"""The demo's decisions that need no server."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from tests.bed import demo_play
from tests.bed.demo_python import fingerprint
from tests.bed.errors import BedError
from tests.bed.fixtures import wanted_majors

DEMO = Path(__file__).resolve().parents[2] / "bed" / "demo.py"


def test_the_environment_is_made_anew_when_what_it_is_made_of_changed(tmp_path: Path) -> None:
    requirements = tmp_path / "requirements.txt"
    requirements.write_text("ansible-core>=2.18\n")
    first = fingerprint(requirements)
    assert fingerprint(requirements) == first
    requirements.write_text("ansible-core>=2.19\n")
    assert fingerprint(requirements) != first


def test_a_checkout_without_requirements_is_not_whole(tmp_path: Path) -> None:
    with pytest.raises(BedError, match=r"requirements\.txt is missing: this is not a whole checkout"):
        fingerprint(tmp_path / "requirements.txt")


def test_the_playbook_sees_no_setting_of_the_users_own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ANSIBLE_STDOUT_CALLBACK", "minimal")
    monkeypatch.setenv("LC_ALL", "C")
    seen = demo_play.environment(tmp_path)
    assert "ANSIBLE_STDOUT_CALLBACK" not in seen
    assert Path(seen["ANSIBLE_CONFIG"]).read_text() == ""
    assert seen["ANSIBLE_HOME"] == str(tmp_path / "ansible")
    assert seen["LC_ALL"].endswith("UTF-8")


def report_with(**changed: dict[str, str]) -> dict[str, Any]:
    tasks = {
        "certificates.expiry": {"worst": "critical", "status": "done"},
        "backups.all": {"worst": "critical", "status": "done"},
        "postgres.vacuum": {"worst": "ok", "status": "done"},
    }
    for name, task in changed.items():
        tasks[name.replace("_", ".")] = task
    return {"hosts": [{"tasks": [{"id": name, **task} for name, task in tasks.items()]}]}


@pytest.mark.parametrize(
    ("changed", "missed"),
    [
        ({}, []),
        ({"postgres_vacuum": {"worst": "ok", "status": "carried"}}, []),
        ({"postgres_vacuum": {"worst": "unknown", "status": "failed"}}, ["the database was not looked after"]),
        (
            {"certificates_expiry": {"worst": "unknown", "status": "done"}},
            ["a certificate with 5 days left is not critical"],
        ),
    ],
)
def test_the_demo_is_good_only_when_the_report_has_what_was_prepared(
    changed: dict[str, dict[str, str]], missed: list[str]
) -> None:
    assert demo_play.missed_by(report_with(**changed)) == missed


def test_a_report_of_no_host_has_missed_everything() -> None:
    assert len(demo_play.missed_by({"hosts": []})) == 3


def test_the_servers_can_be_narrowed() -> None:
    assert wanted_majors("15, 17") == ["15", "17"]
    assert wanted_majors("system") == ["system"]
    assert {"14", "17", "18"} - set(wanted_majors(None)) <= {str(major) for major in range(14, 30)}


def test_an_unknown_action_is_refused() -> None:
    ended = subprocess.run([sys.executable, str(DEMO), "sideways"], capture_output=True, text=True, check=False)
    assert ended.returncode == 2
    assert "invalid choice: 'sideways'" in ended.stderr
