"""The adapter, on the machine that runs the tests."""

from __future__ import annotations

import errno
import os
import sys
import tempfile
import time
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

import pytest

from ansible_collections.cadence.upkeep.plugins.module_utils._core.argspec import validate
from ansible_collections.cadence.upkeep.plugins.module_utils._core.isolate import DONE, TIMED_OUT
from ansible_collections.cadence.upkeep.plugins.module_utils._host.check import CHECK
from ansible_collections.cadence.upkeep.plugins.module_utils._host.system import System

linux = pytest.mark.skipif(sys.platform != "linux", reason="adjtimex is a call of Linux")


def test_files_below_another_root(tmp_path: Path) -> None:
    (tmp_path / "etc").mkdir()
    (tmp_path / "etc" / "motd").write_bytes(b"caf\xe9")
    os.symlink("target", tmp_path / "etc" / "link")
    system = System(str(tmp_path))
    assert system.read("/etc/motd").startswith("caf")
    assert system.entries("/etc") == ["link", "motd"]
    assert system.entries("/nowhere") == []
    assert system.link("/etc/link") == "target"
    assert system.link("/etc/motd") == ""
    assert system.exists("/etc/motd")
    assert not system.exists("/etc/passwd")
    assert system.read_or("/etc/passwd", "none") == "none"
    with pytest.raises(FileNotFoundError):
        system.read("/etc/passwd")


def test_a_folder_answers_like_the_system_says(tmp_path: Path) -> None:
    numbers = os.statvfs(tmp_path)
    answer = System().statvfs([str(tmp_path)])
    assert answer["point"] == str(tmp_path)
    assert answer["size"] == numbers.f_blocks * numbers.f_frsize
    assert answer["inodes"] == numbers.f_files


def test_the_first_folder_that_answers_is_told(tmp_path: Path) -> None:
    file = tmp_path / "hosts"
    file.touch()
    assert System().statvfs([str(file), str(tmp_path / "gone"), str(tmp_path)])["point"] == str(tmp_path)
    assert System().statvfs([str(file)]) == {}
    assert System().statvfs([str(tmp_path / "gone")]) == {"point": str(tmp_path / "gone"), "errno": errno.ENOENT}


def test_a_folder_that_may_not_be_listed_is_measured() -> None:
    with tempfile.TemporaryDirectory(dir="/tmp") as folder:
        os.chmod(folder, 0o311 if os.geteuid() else 0o711)

        def as_a_user() -> dict[str, Any]:
            if os.geteuid() == 0:  # to root, nothing is closed
                os.setuid(65534)
            assert not os.access(folder, os.R_OK)
            return System().statvfs([folder])

        (ended,) = System().isolated([("closed", as_a_user)], 10)
        os.chmod(folder, 0o700)
    assert (ended.how, ended.message) == (DONE, "")
    assert ended.value["point"] == folder


def test_a_call_that_hangs_is_stopped_and_the_others_are_not() -> None:
    ended = System().isolated([("sleeps", lambda: time.sleep(60)), ("answers", lambda: 1)], 5)
    assert [(end.name, end.how, end.value) for end in ended] == [("sleeps", TIMED_OUT, None), ("answers", DONE, 1)]


def test_commands_speak_c_and_utc() -> None:
    told = System().run(["sh", "-c", "echo $LC_ALL $TZ"], 10)
    assert told.output == "C UTC\n"


@linux
def test_the_kernel_tells_of_its_clock() -> None:
    status, error, estimated = System().adjtimex()
    assert status >= 0
    assert 0 <= error <= 16_000_000 + 500 * 3600
    assert estimated >= 0


def test_this_machine() -> None:
    system = System()
    assert system.name == os.uname().sysname
    assert system.kernel == os.uname().release
    assert system.processors == os.cpu_count()
    assert system.is_root == (os.geteuid() == 0)
    assert len(system.averages()) == 3


def test_every_part_of_this_machine_is_looked_at_or_said_not_to_be_seen() -> None:
    params = validate(CHECK.name, CHECK.argument_spec, {}).params
    told = CHECK.run(params, datetime.now(timezone.utc)).as_result()
    unseen = {finding["subject"] for finding in told["findings"] if finding["code"] == "host.not_visible"}
    for part in ("filesystems", "memory", "load"):
        assert part in told
    for part in ("units", "reboot", "clock"):
        assert (part in told) != (part in unseen)
    assert "/" in [each["mount"] for each in told["filesystems"]]
