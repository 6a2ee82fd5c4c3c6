"""macOS, by the output of its tools."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from ansible_collections.cadence.upkeep.plugins.module_utils._core.errors import DeadlineExceeded
from ansible_collections.cadence.upkeep.plugins.module_utils._host.argspec import ARGUMENT_SPEC, PARTS
from ansible_collections.cadence.upkeep.plugins.module_utils._host.collect import collect
from ansible_collections.cadence.upkeep.plugins.module_utils._host.darwin import parse_free, parse_mounts
from ansible_collections.cadence.upkeep.plugins.module_utils._host.model import Policy, Snapshot
from tests.unit.plugins.module_utils._host.recorded import Recorded

DEFAULTS = {name: option.get("default") for name, option in ARGUMENT_SPEC.items()}

MOUNTS = """\
/dev/disk3s1s1 on / (apfs, sealed, local, read-only, journaled)
devfs on /dev (devfs, local, nobrowse)
/dev/disk3s6 on /System/Volumes/VM (apfs, local, noexec, journaled, noatime, nobrowse)
/dev/disk3s2 on /System/Volumes/Preboot (apfs, local, journaled, nobrowse)
/dev/disk1s2 on /System/Volumes/xarts (apfs, local, noexec, journaled, noatime, nobrowse)
/dev/disk3s5 on /System/Volumes/Data (apfs, local, journaled, nobrowse, protect)
map auto_home on /System/Volumes/Data/home (autofs, automounted, nobrowse)
//guest@nas._smb._tcp.local/share on /Volumes/share (smbfs, nodev, nosuid, mounted by me)
/dev/disk5s1 on /Volumes/USB STICK (1) (exfat, local, nodev, nosuid, noowners)
"""

VM_STAT = """\
Mach Virtual Memory Statistics: (page size of 16384 bytes)
Pages free:                               12345.
Pages active:                            400000.
Pages inactive:                          300000.
Pages speculative:                         1000.
Pages wired down:                        150000.
Pages purgeable:                             55.
"Translation faults":                 999999999.
"""

COMMANDS: dict[str, Any] = {"/sbin/mount": MOUNTS, "/usr/sbin/sysctl": "17179869184\n", "/usr/bin/vm_stat": VM_STAT}


def look(root: Path, commands: dict[str, Any] | None = None, **more: Any) -> Snapshot:
    policy = Policy.from_params({**DEFAULTS, **more})
    return collect(Recorded(root=str(root), name="Darwin", commands=commands or COMMANDS), PARTS, policy)


def test_each_container_of_volumes_is_asked_once_by_its_data(tmp_path: Path) -> None:
    filesystems = look(tmp_path).filesystems
    assert filesystems is not None
    assert [each.mount.point for each in filesystems.judged] == [
        "/System/Volumes/Data",
        "/System/Volumes/xarts",
        "/Volumes/USB STICK (1)",
    ]
    reasons = {each.point: each.reason for each in filesystems.left_out}
    assert reasons["/"] == "mounted read-only: nothing can fill it"
    assert reasons["/Volumes/share"] == "served over the network; network_filesystems asks for it"
    assert set(reasons) == {"/", "/Volumes/share"}


def test_network_file_systems_on_demand(tmp_path: Path) -> None:
    filesystems = look(tmp_path, network_filesystems=True).filesystems
    assert filesystems is not None
    assert "/Volumes/share" in [each.mount.point for each in filesystems.judged]


def test_a_line_that_is_no_mount_is_left_out() -> None:
    assert parse_mounts("nonsense\n\n") == []


def test_memory_and_load(tmp_path: Path) -> None:
    snapshot = look(tmp_path)
    assert snapshot.memory is not None
    assert snapshot.memory.total == 17179869184
    assert snapshot.memory.available == 16384 * (12345 + 300000 + 1000 + 55)
    assert snapshot.load is not None
    assert snapshot.load.pressure_unseen == "Darwin counts no pressure (PSI)"


def test_what_only_linux_has_is_not_expected(tmp_path: Path) -> None:
    assert {(unseen.part, unseen.expected) for unseen in look(tmp_path).unseen} == {
        ("units", False),
        ("reboot", False),
        ("clock", False),
    }


@pytest.mark.parametrize(
    ("commands", "part", "reason"),
    [
        (
            {"/sbin/mount": DeadlineExceeded("/sbin/mount was stopped: it had not ended after 5s.")},
            "filesystems",
            "/sbin/mount was stopped: it had not ended after 5s",
        ),
        ({"/usr/bin/vm_stat": (1, "", "no\n")}, "memory", "vm_stat failed with status 1: no"),
        ({"/usr/bin/vm_stat": "?"}, "memory", "the answers of sysctl and vm_stat cannot be read"),
        ({"/usr/sbin/sysctl": "much"}, "memory", "the answers of sysctl and vm_stat cannot be read"),
    ],
)
def test_a_tool_that_does_not_answer_is_unknown(
    tmp_path: Path, commands: dict[str, Any], part: str, reason: str
) -> None:
    unseen = {each.part: each for each in look(tmp_path, {**COMMANDS, **commands}).unseen}[part]
    assert (unseen.reason, unseen.expected) == (reason, True)


def test_load_that_cannot_be_read_is_unknown(tmp_path: Path) -> None:
    system = Recorded(root=str(tmp_path), name="Darwin", commands=COMMANDS, loads=OSError("no"))
    (unseen,) = collect(system, ["load"], Policy.from_params(DEFAULTS)).unseen
    assert (unseen.reason, unseen.expected) == ("the load averages cannot be read: no", True)


def test_vm_stat_without_its_page_size_is_not_guessed() -> None:
    assert parse_free(VM_STAT.replace("page size of 16384 bytes", "")) is None
