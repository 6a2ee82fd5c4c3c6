"""The entry of the domain: from a recorded host to the result of the module."""

from __future__ import annotations

import json
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

import pytest

from ansible_collections.cadence.upkeep.plugins.module_utils._core.argspec import validate
from ansible_collections.cadence.upkeep.plugins.module_utils._core.errors import InvalidInput
from ansible_collections.cadence.upkeep.plugins.module_utils._core.outcome import ANSIBLE_KEYS
from ansible_collections.cadence.upkeep.plugins.module_utils._host.check import CHECK, check
from tests.unit.plugins.module_utils._host.recorded import (
    DEBIAN,
    DOCKER_V1,
    DOCKER_V2,
    FAILED_UNITS,
    GIB,
    RHEL,
    ROOMY,
    UNIT_PROPERTIES,
    VIRTUAL_MACHINE,
    Recorded,
    host,
)

NOW = datetime(2026, 11, 22, 4, 13, tzinfo=timezone.utc)
SYSTEMD = {"systemctl list-units": "", "systemctl show": ""}
FULL = {**ROOMY, "free": 5 * GIB, "available": 5 * GIB}


def result(system: Recorded, **params: Any) -> dict[str, Any]:
    valid = validate("host_health_info", CHECK.argument_spec, params, CHECK.rules)
    return check(valid.params, NOW, system).as_result()


def found(told: dict[str, Any]) -> set[tuple[str, str, str]]:
    return {(finding["code"], finding["subject"], finding["severity"]) for finding in told["findings"]}


def test_a_healthy_debian_has_nothing_to_say(tmp_path: Path) -> None:
    told = result(host(tmp_path, DEBIAN, commands=SYSTEMD))
    assert told["findings"] == []
    assert told["summary"]["worst"] == "ok"
    # Five file systems, memory, load, three pressures, units, reboot, clock.
    assert told["summary"]["counts"] == {"ok": 13, "info": 0, "warning": 0, "unknown": 0, "critical": 0}
    assert told["changed"] is False


def test_a_sick_debian(tmp_path: Path) -> None:
    told = result(
        host(
            tmp_path,
            DEBIAN,
            {"/run/reboot-required": "", "/proc/meminfo": "MemTotal: 100 kB\nMemAvailable: 4 kB\n"},
            commands={"systemctl list-units": FAILED_UNITS, "systemctl show": UNIT_PROPERTIES},
            space={"/": FULL, "/var": "hangs"},
            clock=(0x40, 16_000_000, 16_000_000),
            loads=(20.0, 20.0, 20.0),
        ),
        ignore_units=["gone.*"],
    )
    assert found(told) == {
        ("host.disk_space", "/", "critical"),
        ("host.mount_hung", "/var", "unknown"),
        ("host.memory", "memory", "critical"),
        ("host.load", "load", "critical"),
        ("host.unit_failed", "broken.service", "warning"),
        ("host.reboot_required", "reboot", "warning"),
        ("host.clock_unsynced", "clock", "warning"),
    }
    assert told["summary"]["counts"] == {"ok": 8, "info": 0, "warning": 3, "unknown": 1, "critical": 3}
    assert [unit["ignored"] for unit in told["units"]] == [False, True]
    states = {each["mount"]: each["state"] for each in told["filesystems"]}
    assert (states["/var"], states["/run"]) == ("hung", "answered")


@pytest.mark.parametrize("tree", [DOCKER_V2, DOCKER_V1])
def test_a_container_says_what_it_cannot_see(tmp_path: Path, tree: dict[str, str]) -> None:
    told = result(host(tmp_path, tree, space={"/etc/hosts": None, "/etc/hostname": None, "/etc/resolv.conf": None}))
    assert told["place"] == {"system": "Linux", "container": "docker"}
    unseen = {subject for code, subject, severity in found(told) if (code, severity) == ("host.not_visible", "info")}
    assert {"units", "reboot"} <= unseen
    assert [each["mount"] for each in told["filesystems"]] == ["/", "/dev", "/dev/shm"]
    assert told["memory"]["limit"] == "control group"
    assert told["clock"]["synchronized"] is True
    assert told["summary"]["counts"]["ok"] == len(told["filesystems"]) + (2 if tree is DOCKER_V1 else 6)


@pytest.mark.parametrize(
    ("part", "worst"), [("units", "info"), ("reboot", "info"), ("clock", "ok"), ("memory", "ok"), ("filesystems", "ok")]
)
def test_one_part_alone_in_a_container(tmp_path: Path, part: str, worst: str) -> None:
    roomy = {**DOCKER_V2, "/sys/fs/cgroup/memory.current": "1000\n"}
    told = result(host(tmp_path, roomy), subset=[part])
    assert told["summary"]["worst"] == worst
    assert told["summary"]["counts"]["ok"] == (0 if worst == "info" else told["summary"]["counts"]["ok"])


def test_red_hat_without_pressure(tmp_path: Path) -> None:
    kernel = "5.14.0-427.13.1.el9_4.x86_64"
    commands = {**SYSTEMD, "rpm": (3, "glibc 1\n", "")}
    told = result(host(tmp_path, RHEL, kernel=kernel, commands=commands))
    assert found(told) == {("host.not_visible", "pressure", "info")}
    assert told["load"]["pressure"] == {}
    assert told["reboot"]["judged_by"] == ["installed kernels", "rpm"]


def test_a_virtual_machine_from_an_image(tmp_path: Path) -> None:
    told = result(host(tmp_path, VIRTUAL_MACHINE, kernel="6.18.44-fc-v669"))
    assert found(told) == {("host.not_visible", "units", "info"), ("host.not_visible", "reboot", "info")}


def test_asked_for_nothing_is_unknown(tmp_path: Path) -> None:
    told = result(host(tmp_path, DEBIAN), subset=[])
    assert told["summary"]["worst"] == "unknown"
    assert found(told) == {("host.nothing_examined", "host", "unknown")}


def test_what_is_left_out_is_told(tmp_path: Path) -> None:
    told = result(host(tmp_path, DEBIAN), subset=["filesystems"])
    assert {each["mount"] for each in told["filesystems_left_out"]} == {"/snap/core22/1122", "/mnt/share"}


def test_metrics_have_the_numbers_of_the_records(tmp_path: Path) -> None:
    told = result(host(tmp_path, DEBIAN, commands=SYSTEMD, space={"/var": {**ROOMY, "inodes": 0}}))
    by_name: dict[str, list[dict[str, Any]]] = {}
    for metric in told["metrics"]:
        by_name.setdefault(metric["name"], []).append(metric)
    assert [metric["labels"]["mount"] for metric in by_name["host_filesystem_used_ratio"]] == [
        each["mount"] for each in told["filesystems"]
    ]
    # Without inodes there is no share of them.
    assert len(by_name["host_filesystem_inodes_used_ratio"]) == len(by_name["host_filesystem_used_ratio"]) - 1
    assert by_name["host_memory_used_ratio"][0]["value"] == told["memory"]["used_ratio"]
    assert by_name["host_reboot_required"][0]["value"] == 0
    assert by_name["host_units_failed"][0]["value"] == 0
    assert by_name["host_clock_error_seconds"][0]["value"] == 0.034
    assert len(told["metrics"]) < 40  # what the history keeps of a run


def test_the_result_is_plain_and_takes_none_of_ansibles_keys(tmp_path: Path) -> None:
    told = result(host(tmp_path, DEBIAN, commands=SYSTEMD))
    assert json.loads(json.dumps(told)) == told
    assert not ANSIBLE_KEYS & set(told)


def test_a_mistaken_option_is_refused(tmp_path: Path) -> None:
    system = host(tmp_path, DEBIAN)
    with pytest.raises(InvalidInput, match="disk_warning"):
        result(system, disk_warning="80")
    with pytest.raises(InvalidInput, match="value of subset must be one or more of"):
        result(system, subset=["disks"])


def test_ten_thousand_file_systems_fit_into_the_result(tmp_path: Path) -> None:
    mounts = "".join(
        f"{number} 28 0:{number} / /disks/{number} rw - ext4 /dev/x{number} rw\n" for number in range(100, 10_100)
    )
    table = {"/proc/self/mountinfo": DEBIAN["/proc/self/mountinfo"] + mounts}
    told = result(host(tmp_path, DEBIAN, table, space={"/disks/9999": FULL}), subset=["filesystems"])
    assert told["summary"]["counts"]["ok"] == 10_004
    assert found(told) == {("host.disk_space", "/disks/9999", "critical")}
    assert len(json.dumps(told)) < 100_000
    assert told["truncated"]["filesystems"] > 0
