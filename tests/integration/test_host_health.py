"""`host_health_info` on this machine: healthy, sick, hung, unprivileged, alone and within `checkup`."""

from __future__ import annotations

import json
import os
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from tests.integration.module import SYSTEM_PYTHON, Answer, as_nobody, run_module

PARTS = ("filesystems", "memory", "load", "units", "reboot", "clock")
MOUNTS = str(Path(__file__).with_name("mounts.py"))
TARGETS = [python for python in os.environ.get("UPKEEP_TARGET_PYTHONS", "").split(os.pathsep) if python]

needs_root = pytest.mark.skipif(
    os.geteuid() != 0 or sys.platform != "linux", reason="only root of a Linux can mount and change accounts"
)
needs_fuse = pytest.mark.skipif(not os.path.exists("/dev/fuse"), reason="this kernel has no FUSE")


def look(folder: Path, *subset: str, **more: Any) -> Answer:
    params = more.pop("params", {})
    return run_module(folder, "host_health_info", {"subset": list(subset or PARTS), **params}, **more)


def among(folder: Path, *sick: dict[str, Any]) -> Sequence[str]:
    """The command that runs another one among *sick* mounts below *folder*."""
    spec = [{**each, "at": str(folder / each["at"]), "image": str(folder / f"{each['at']}.img")} for each in sick]
    return (sys.executable, MOUNTS, json.dumps(spec))


def states(answer: Answer) -> dict[str, str]:
    return {each["mount"]: each["state"] for each in answer.result["filesystems"]}


@pytest.mark.matrix
def test_this_machine_is_looked_at(tmp_path: Path) -> None:
    answer = look(tmp_path)
    assert answer.how == "SUCCESS"
    numbers = os.statvfs("/")
    (root,) = (each for each in answer.result["filesystems"] if each["mount"] == "/")
    assert root["size_bytes"] == numbers.f_blocks * numbers.f_frsize
    assert answer.result["memory"]["total_bytes"] > 0
    assert answer.result["load"]["processors"] == os.cpu_count()
    unseen = {finding["subject"] for finding in answer.result["findings"] if finding["code"] == "host.not_visible"}
    for part in ("units", "reboot", "clock"):
        assert (part in answer.result) != (part in unseen)


def test_check_mode_looks_as_well(tmp_path: Path) -> None:
    answer = look(tmp_path, "filesystems", check_mode=True)
    assert (answer.how, answer.result["changed"]) == ("SUCCESS", False)
    assert states(answer)["/"] == "answered"


@pytest.mark.parametrize(
    ("params", "words"),
    [
        ({"subset": ["disks"]}, "value of subset must be one or more of"),
        ({"disk_warning": "80"}, "disk_warning: '80' has no unit where a percentage is expected."),
        ({"disk_warn": "80%"}, "Supported parameters include"),
    ],
)
def test_a_mistake_is_one_sentence(tmp_path: Path, params: dict[str, Any], words: str) -> None:
    answer = run_module(tmp_path, "host_health_info", params)
    assert answer.how == "FAILED"
    assert words in answer.result["msg"]
    assert "Traceback" not in json.dumps(answer.result)


@needs_root
def test_nobody_sees_this_machine_too(tmp_path: Path) -> None:
    answer = look(tmp_path, **as_nobody(tmp_path))
    assert answer.how == "SUCCESS"
    assert states(answer)["/"] == "answered"
    assert "memory" in answer.result
    assert "load" in answer.result
    unseen = {finding["subject"] for finding in answer.result["findings"] if finding["code"] == "host.unreadable"}
    assert not unseen & {"filesystems", "memory", "load", "clock"}


@needs_root
def test_what_is_closed_to_nobody_is_said_and_is_no_fault(tmp_path: Path) -> None:
    closed = {"kind": "tmpfs", "at": "closed/disk", "options": "size=1m"}
    (tmp_path / "closed").mkdir(mode=0o700)
    answer = look(tmp_path, "filesystems", within=among(tmp_path, closed), **as_nobody(tmp_path))
    subject = str(tmp_path / "closed/disk")
    assert states(answer)[subject] == "refused"
    assert answer.found()[subject] == ("host.not_visible", "info")


@needs_root
def test_full_disks_and_used_up_inodes(tmp_path: Path) -> None:
    sick = among(
        tmp_path,
        {"kind": "tmpfs", "at": "full", "options": "size=1m", "files": {"big": 980_000}},
        {"kind": "tmpfs", "at": "filling", "options": "size=1m", "files": {"big": 880_000}},
        {"kind": "tmpfs", "at": "inodes", "options": "size=1m,nr_inodes=10", "files": {str(n): 1 for n in range(9)}},
        {"kind": "tmpfs", "at": "empty", "options": "size=1m"},
        {"kind": "tmpfs", "at": "ignored", "options": "size=1m", "files": {"big": 980_000}},
    )
    answer = look(tmp_path, "filesystems", within=sick, params={"ignore_mounts": ["*/ignored"]})
    found = answer.found()
    assert found[str(tmp_path / "full")] == ("host.disk_space", "critical")
    assert found[str(tmp_path / "filling")] == ("host.disk_space", "warning")
    assert found[str(tmp_path / "inodes")] == ("host.disk_inodes", "critical")
    assert str(tmp_path / "empty") not in found
    assert str(tmp_path / "empty") in states(answer)
    assert str(tmp_path / "ignored") not in states(answer)
    assert answer.worst == "critical"


@needs_root
def test_a_disk_that_died_and_one_that_was_turned_read_only(tmp_path: Path) -> None:
    answer = look(
        tmp_path, "filesystems", within=among(tmp_path, {"kind": "dead", "at": "d"}, {"kind": "readonly", "at": "r"})
    )
    assert answer.found()[str(tmp_path / "d")] == ("host.mount_broken", "critical")
    assert answer.found()[str(tmp_path / "r")] == ("host.mount_read_only", "critical")
    assert states(answer)["/"] == "answered"


@needs_root
@needs_fuse
@pytest.mark.parametrize("kind", ["hung", "stuck"])
def test_a_hung_mount_is_one_finding_and_the_rest_is_judged(tmp_path: Path, kind: str) -> None:
    sick = among(tmp_path, {"kind": kind, "at": "first"}, {"kind": "tmpfs", "at": "later", "options": "size=1m"})
    started = time.monotonic()
    answer = look(tmp_path, within=sick, params={"timeout": "1s"})
    assert time.monotonic() - started < 60
    hung = str(tmp_path / "first")
    assert answer.found()[hung] == ("host.mount_hung", "unknown")
    assert states(answer)[hung] == "hung"
    assert (states(answer)["/"], states(answer)[str(tmp_path / "later")]) == ("answered", "answered")
    assert "memory" in answer.result
    assert answer.result["summary"]["seconds"] < 10


@needs_root
@needs_fuse
def test_many_hung_mounts_cost_the_time_of_one(tmp_path: Path) -> None:
    sick = among(tmp_path, *({"kind": "stuck", "at": f"stuck-{number}"} for number in range(8)))
    answer = look(tmp_path, "filesystems", within=sick, params={"timeout": "1s"})
    codes = [code for code, _ in answer.found().values()]
    assert codes.count("host.mount_hung") == 8
    assert states(answer)["/"] == "answered"
    # Each is waited for side by side; a child that cannot be killed costs up to a second more.
    assert answer.result["summary"]["seconds"] < 15


@needs_root
@needs_fuse
def test_a_hung_mount_stops_no_other_check_of_a_checkup(tmp_path: Path) -> None:
    checks = [
        {"id": f"host.{part}", "check": "host_health_info", "params": {"subset": [part], "timeout": "1s"}}
        for part in PARTS
    ]
    answer = run_module(
        tmp_path,
        "checkup",
        {"checks": checks, "state_dir": str(tmp_path / "state")},
        within=among(tmp_path, {"kind": "stuck", "at": "first"}),
    )
    hung = [finding for finding in answer.result["findings"] if finding["code"] == "host.mount_hung"]
    assert [(finding["task"], finding["subject"]) for finding in hung] == [
        ("host.filesystems", str(tmp_path / "first"))
    ]
    assert {check["id"]: check["status"] for check in answer.result["checks"]} == {
        f"host.{part}": "done" for part in PARTS
    }


@pytest.mark.target_python
@pytest.mark.parametrize("python", TARGETS)
def test_every_python_of_a_managed_host(tmp_path: Path, python: str) -> None:
    answer = look(tmp_path, interpreter=python)
    assert answer.how == "SUCCESS"
    assert states(answer)["/"] == "answered"
    assert answer.result["memory"]["used_ratio"] > 0


@needs_root
@pytest.mark.skipif(not os.access(SYSTEM_PYTHON, os.X_OK), reason="the system has no Python of its own")
def test_the_systems_own_python(tmp_path: Path) -> None:
    assert states(look(tmp_path, "filesystems", interpreter=SYSTEM_PYTHON))["/"] == "answered"
