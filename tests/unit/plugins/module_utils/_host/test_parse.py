"""The texts of the kernel and of the tools."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ansible_collections.cadence.upkeep.plugins.module_utils._host.model import Pressure, Unit
from ansible_collections.cadence.upkeep.plugins.module_utils._host.parse import (
    kernel_key,
    newer_kernels,
    parse_counters,
    parse_failed_units,
    parse_install_times,
    parse_meminfo,
    parse_mountinfo,
    parse_pressure,
    parse_properties,
    parse_timestamp,
)
from tests.unit.plugins.module_utils._host.recorded import (
    DEBIAN_MOUNTS,
    FAILED_UNITS,
    MEMINFO,
    PRESSURE,
    RPM_TIMES,
    UNIT_PROPERTIES,
)


def test_a_mount_is_read_with_its_optional_fields_and_escapes() -> None:
    by_point = {mount.point: mount for mount in parse_mountinfo(DEBIAN_MOUNTS)}
    bind = by_point["/srv/shop data"]
    assert (bind.id, bind.parent, bind.device, bind.root, bind.type) == (61, 28, "8:3", "/lib/shop", "xfs")
    assert bind.source == "/dev/sda3"
    assert "noquota" in bind.super_options
    assert bind.options == {"rw", "relatime"}
    assert len(by_point) == len(DEBIAN_MOUNTS.splitlines())


@pytest.mark.parametrize("line", ["", "nonsense", "1 2 8:1 / / rw", "x y 8:1 / / rw - ext4 /dev/sda rw", "1 2 - a b"])
def test_a_line_that_is_no_mount_is_left_out(line: str) -> None:
    assert parse_mountinfo(line) == []


@given(st.text())
def test_no_text_breaks_a_parser(text: str) -> None:
    parse_mountinfo(text)
    parse_failed_units(text)
    parse_properties(text)
    parse_install_times(text)
    parse_pressure("io", text)
    parse_timestamp(text)
    newer_kernels(text, [text + "1", text])
    assert all(value >= 0 for value in parse_meminfo(text).values())


def test_memory_is_bytes_and_what_is_no_size_is_left_out() -> None:
    values = parse_meminfo(MEMINFO)
    assert values["MemAvailable"] == 5012340 * 1024
    assert "HugePages_Total" not in values


def test_counters_are_the_lines_of_two_words() -> None:
    assert parse_counters("cpu  1 2 3\nbtime 12\nname word\n") == {"btime": 12}


def test_processors_wait_in_part_and_disks_as_a_whole() -> None:
    assert parse_pressure("cpu", PRESSURE["cpu"]) == Pressure("cpu", "some", 0.0009, 0.0013)
    assert parse_pressure("io", PRESSURE["io"]) == Pressure("io", "full", 0.003, 0.0038)


@pytest.mark.parametrize("text", ["", "some avg10=1", "full avg10=0.00 avg60=x avg300=0 total=0", "full avg60=1.0"])
def test_pressure_that_is_none(text: str) -> None:
    assert parse_pressure("io", text) is None


def test_failed_units_of_plain_output_and_of_older_versions_with_a_dot() -> None:
    wanted = [Unit("broken.service", "A service that ends badly"), Unit("gone.mount", "gone.mount")]
    assert parse_failed_units(FAILED_UNITS) == wanted
    assert parse_failed_units("● broken.service loaded failed failed A service that ends badly\n") == wanted[:1]
    assert parse_failed_units("x.service loaded failed failed\n") == [Unit("x.service")]
    assert parse_failed_units("0 loaded units listed.\n") == []


def test_properties_stand_under_the_id_of_their_unit() -> None:
    assert parse_properties(UNIT_PROPERTIES) == {
        "broken.service": {
            "Result": "exit-code",
            "ExecMainStatus": "3",
            "Id": "broken.service",
            "InactiveEnterTimestamp": "Sun 2026-11-22 05:01:55 UTC",
        },
        "gone.mount": {"Id": "gone.mount", "InactiveEnterTimestamp": ""},
    }


def test_a_time_of_systemd_becomes_rfc_3339() -> None:
    assert parse_timestamp("Sun 2026-11-22 05:01:55 UTC") == "2026-11-22T05:01:55Z"
    assert parse_timestamp("Sun 2026-11-22 05:01:55 CET") == ""
    assert parse_timestamp("") == ""


def test_the_newest_installation_counts() -> None:
    assert parse_install_times(RPM_TIMES) == {"kernel-core": 1763800000, "glibc": 1763600001, "systemd": 1763800001}


@pytest.mark.parametrize(
    ("older", "newer"),
    [
        ("6.1.0-9-amd64", "6.1.0-25-amd64"),
        ("5.10.0-28-amd64", "6.1.0-9-amd64"),
        ("5.14.0-427.el9.x86_64", "5.14.0-427.13.1.el9_4.x86_64"),  # a number is newer than a word
        ("5.14.0-427.13.1.el9_4.x86_64", "5.14.0-503.11.1.el9_5.x86_64"),
        ("6.5.6-300.fc39.x86_64", "6.6.2-201.fc40.x86_64"),
        ("6.6.7-arch1-1", "6.6.8-arch1-1"),
        ("6.1.0-0.deb11.7-amd64", "6.1.0-0.deb11.13-amd64"),
    ],
)
def test_kernels_are_ordered_as_package_managers_do(older: str, newer: str) -> None:
    assert newer_kernels(older, [older, newer]) == [newer]
    assert newer_kernels(newer, [older, newer]) == []


@pytest.mark.parametrize(
    ("running", "other"),
    [
        ("6.1.0-25-amd64", "6.1.0-28-cloud-amd64"),
        ("6.1.0-25-amd64", "6.1.0-28-rt-amd64"),
        ("5.15.0-91-generic", "5.15.0-105-lowlatency"),
        ("5.14.0-427.el9.x86_64", "5.14.0-503.el9.x86_64+debug"),
        ("6.18.44-fc-v669", "6.18.50-amd64"),
    ],
)
def test_a_kernel_of_another_kind_is_no_update(running: str, other: str) -> None:
    assert newer_kernels(running, [other]) == []


@given(st.lists(st.from_regex(r"\A[0-9]{1,2}\.[0-9]{1,2}\.0-[0-9]{1,3}-amd64\Z"), max_size=8))
def test_newer_kernels_come_newest_first_and_never_include_the_running_one(installed: list[str]) -> None:
    newer = newer_kernels("6.1.0-25-amd64", installed)
    assert newer == sorted(newer, key=kernel_key, reverse=True)
    assert all(kernel_key(release) > kernel_key("6.1.0-25-amd64") for release in newer)
