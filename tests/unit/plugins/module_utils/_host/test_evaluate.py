"""From what was seen to what is said."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ansible_collections.cadence.upkeep.plugins.module_utils._core.finding import Finding, Severity
from ansible_collections.cadence.upkeep.plugins.module_utils._host.argspec import ARGUMENT_SPEC
from ansible_collections.cadence.upkeep.plugins.module_utils._host.codes import CODES
from ansible_collections.cadence.upkeep.plugins.module_utils._host.evaluate import (
    evaluate,
    examined,
    judge_clock,
    judge_filesystem,
    judge_load,
    judge_memory,
    judge_pressure,
    judge_reboot,
    judge_unit,
)
from ansible_collections.cadence.upkeep.plugins.module_utils._host.model import (
    ANSWERED,
    BROKEN,
    HUNG,
    REFUSED,
    UNTOLD,
    Clock,
    FileSystem,
    FileSystems,
    Limits,
    Load,
    Memory,
    Mount,
    Place,
    Policy,
    Pressure,
    Reboot,
    Snapshot,
    Space,
    Unit,
    Unseen,
)

POLICY = Policy.from_params({name: option.get("default") for name, option in ARGUMENT_SPEC.items()})
RW = frozenset(("rw", "relatime"))
VAR = Mount(60, 28, "8:3", "/", "/var/my data", RW, "xfs", "/dev/sda3", RW)
GIB = 1 << 30


def full(used: int, inodes_used: int = 10) -> FileSystem:
    """A file system of 100 GiB and 100 inodes."""
    left = 100 - used
    return FileSystem(
        VAR, ANSWERED, Space(100 * GIB, left * GIB, left * GIB, 100, 100 - inodes_used, 100 - inodes_used)
    )


def said(findings: list[Finding]) -> list[tuple[str, str]]:
    return [(finding.code, finding.severity.word) for finding in findings]


@pytest.mark.parametrize(
    ("used", "inodes", "expected"),
    [
        (79, 10, []),
        (80, 10, [("host.disk_space", "warning")]),  # the threshold itself warns
        (90, 10, [("host.disk_space", "critical")]),
        (100, 10, [("host.disk_space", "critical")]),
        (10, 80, [("host.disk_inodes", "warning")]),
        (10, 90, [("host.disk_inodes", "critical")]),
        (85, 95, [("host.disk_space", "warning"), ("host.disk_inodes", "critical")]),
    ],
)
def test_space_and_inodes(used: int, inodes: int, expected: list[tuple[str, str]]) -> None:
    assert said(judge_filesystem(full(used, inodes), POLICY)) == expected


def test_a_full_disk_says_how_full_and_what_to_run() -> None:
    (finding,) = judge_filesystem(full(83), POLICY)
    assert finding.subject == "/var/my data"
    assert finding.message == ("/var/my data is 83.0 % full, 17.0 GiB are left (warning at 80 %, critical at 90 %).")
    assert finding.evidence == {"used_bytes": 83 * GIB, "available_bytes": 17 * GIB, "size_bytes": 100 * GIB}
    assert "`du -xh -d 2 '/var/my data' | sort -h | tail`" in finding.remedy


def test_too_few_bytes_left_is_told_with_the_limit_that_was_missed() -> None:
    policy = replace(POLICY, free_warning=60 * GIB, free_critical=30 * GIB)
    (warning,) = judge_filesystem(full(50), policy)
    assert (warning.severity, "(60.0 GiB wanted)" in warning.message) == (Severity.WARNING, True)
    (critical,) = judge_filesystem(full(85), policy)
    assert (critical.severity, "(30.0 GiB wanted)" in critical.message) == (Severity.CRITICAL, True)


@pytest.mark.parametrize(
    ("state", "code", "severity", "words"),
    [
        (HUNG, "host.mount_hung", "unknown", "/var/my data (xfs of /dev/sda3) hangs: no answer within 5 s."),
        (BROKEN, "host.mount_broken", "critical", "does not work: no answer within 5 s."),
        (REFUSED, "host.not_visible", "info", "Not seen: /var/my data; no answer within 5 s."),
        (UNTOLD, "host.unreadable", "unknown", "Not seen: /var/my data; no answer within 5 s."),
    ],
)
def test_a_file_system_without_an_answer(state: str, code: str, severity: str, words: str) -> None:
    (finding,) = judge_filesystem(FileSystem(VAR, state, problem="no answer within 5 s"), POLICY)
    assert (finding.code, finding.severity.word) == (code, severity)
    assert words in finding.message
    assert finding.remedy


def test_turned_read_only_is_critical_and_its_space_is_judged_too() -> None:
    turned = replace(full(95), mount=replace(VAR, super_options=frozenset(("ro", "errors=remount-ro"))))
    assert said(judge_filesystem(turned, POLICY)) == [
        ("host.mount_read_only", "critical"),
        ("host.disk_space", "critical"),
    ]


@pytest.mark.parametrize(
    ("available", "expected"),
    [
        (16, []),
        (15, [("host.memory", "warning")]),
        (6, [("host.memory", "warning")]),
        (5, [("host.memory", "critical")]),
    ],
)
def test_memory(available: int, expected: list[tuple[str, str]]) -> None:
    limits = Limits(0.85, 0.95)
    assert said(judge_memory(Memory(100 * GIB, available * GIB), limits)) == expected


def test_memory_says_whose_limit_it_is() -> None:
    (machine,) = judge_memory(Memory(100, 1, 50, 20), POLICY.memory)
    assert "of the machine" in machine.message
    assert machine.evidence["swap_used_bytes"] == 30
    (group,) = judge_memory(Memory(100, 1, limit="control group"), POLICY.memory)
    assert "under the limit of its control group" in group.message


@pytest.mark.parametrize(
    ("averages", "expected"),
    [
        ((7.9, 7.9, 1.0), []),
        ((8.0, 8.0, 1.0), [("host.load", "warning")]),
        ((16.0, 16.0, 1.0), [("host.load", "critical")]),
        ((40.0, 1.0, 1.0), []),  # a spike
        ((1.0, 40.0, 40.0), []),  # over
    ],
)
def test_load_for_each_processor(averages: tuple[float, float, float], expected: list[tuple[str, str]]) -> None:
    assert said(judge_load(Load(averages, 4), Place("Linux"), POLICY)) == expected


def test_the_load_in_a_container_is_the_machines() -> None:
    (finding,) = judge_load(Load((9.0, 9.0, 9.0), 1), Place("Linux", "docker"), POLICY)
    assert "The load of the machine below is 9.00" in finding.message


def test_a_kernel_without_pressure_is_no_fault() -> None:
    load = Load((0.1, 0.1, 0.1), 1, pressure_unseen="the kernel counts no pressure (PSI)")
    assert said(judge_load(load, Place("Linux"), POLICY)) == [("host.not_visible", "info")]


@pytest.mark.parametrize(
    ("pressure", "expected"),
    [
        (Pressure("io", "full", 0.39, 0.9), []),
        (Pressure("io", "full", 0.40, 0.9), [("host.pressure", "warning")]),
        (Pressure("memory", "full", 0.9, 0.8), [("host.pressure", "critical")]),
        (Pressure("cpu", "some", 0.99, 0.99), [("host.pressure", "warning")]),  # slow, but it goes on
    ],
)
def test_pressure(pressure: Pressure, expected: list[tuple[str, str]]) -> None:
    findings = judge_pressure(pressure, POLICY.pressure)
    assert said(findings) == expected
    assert all(finding.subject == f"pressure of {pressure.resource}" for finding in findings)


@pytest.mark.parametrize(
    ("unit", "words"),
    [
        (
            Unit("a.service", "Shop", "exit-code", "3", "2026-11-22T05:01:55Z"),
            "a.service (Shop) has failed since 2026-11-22T05:01:55Z: exit-code, status 3.",
        ),
        (Unit("a.service", "Shop", "oom-kill", "0"), "a.service (Shop) has failed: oom-kill."),
        (Unit("a.mount"), "a.mount (no description) has failed."),
        (Unit("a.mount", "x", "success", "0"), "a.mount (x) has failed."),
    ],
)
def test_a_failed_unit(unit: Unit, words: str) -> None:
    (finding,) = judge_unit(unit, POLICY)
    assert (finding.code, finding.severity, finding.message) == ("host.unit_failed", Severity.WARNING, words)
    assert f"journalctl -u {unit.name} -e" in finding.remedy


def test_an_ignored_unit_is_no_finding() -> None:
    assert judge_unit(Unit("motd-news.service"), replace(POLICY, ignore_units=("motd-*",))) == []


def test_a_reboot_with_all_its_reasons() -> None:
    (finding,) = judge_reboot(Reboot("6.1.0-25-amd64", ("one", "two"), ("rpm",)))
    assert finding.message == "A reboot is required: one; two."
    assert judge_reboot(Reboot("6.1.0-25-amd64", (), ("rpm",))) == []


@pytest.mark.parametrize(
    ("container", "error", "expected"),
    [
        ("", 0.03, []),
        ("", 16.0, [("host.clock_unsynced", "warning")]),
        ("docker", 16.0, [("host.clock_unsynced", "info")]),  # not the container's to set
        ("docker", 0.03, []),
    ],
)
def test_the_clock(container: str, error: float, expected: list[tuple[str, str]]) -> None:
    assert said(judge_clock(Clock(error, error, False), Place("Linux", container))) == expected


@pytest.mark.parametrize(
    ("expected", "code", "severity"), [(True, "host.unreadable", "unknown"), (False, "host.not_visible", "info")]
)
def test_what_was_not_seen(expected: bool, code: str, severity: str) -> None:
    snapshot = Snapshot(Place("Linux"), unseen=(Unseen("clock", "no reason", expected),))
    (finding,) = evaluate(snapshot, POLICY)
    assert (finding.code, finding.severity.word, finding.subject) == (code, severity, "clock")
    assert finding.message == "Not seen: how the clock is kept; no reason."
    # What should be there and was not seen is no object that was looked at; what is not there was looked for.
    assert examined(snapshot) == ([] if expected else ["clock"])


EVERYTHING: dict[str, Any] = {
    "filesystems": FileSystems((full(99), FileSystem(replace(VAR, point="/x"), HUNG), FileSystem(VAR, REFUSED))),
    "memory": Memory(100, 1),
    "load": Load((99.0, 99.0, 99.0), 1, (Pressure("io", "full", 1.0, 1.0),)),
    "units": (Unit("a.service"),),
    "reboot": Reboot("1.0", ("why",), ("rpm",)),
    "clock": Clock(16.0, 16.0, True),
}


def test_everything_at_once() -> None:
    snapshot = Snapshot(Place("Linux"), **EVERYTHING)
    codes = {finding.code for finding in evaluate(snapshot, POLICY)}
    assert codes == set(CODES) - {
        "host.disk_inodes",
        "host.mount_broken",
        "host.mount_read_only",
        "host.unreadable",
        "host.nothing_examined",
    }
    assert examined(snapshot) == [
        "/var/my data", "/x", "memory", "load", "pressure of io", "units", "a.service", "reboot", "clock"
    ]  # fmt: skip


@given(st.integers(0, 100), st.integers(0, 100), st.integers(1, 100), st.integers(1, 100))
def test_a_fuller_disk_is_never_less_severe(one: int, two: int, warning: int, critical: int) -> None:
    low, high = sorted((warning, critical))
    policy = replace(POLICY, disk=Limits(low / 100, high / 100))

    def severity(used: int) -> Severity:
        return max((finding.severity for finding in judge_filesystem(full(used), policy)), default=Severity.OK)

    assert severity(min(one, two)) <= severity(max(one, two))


@pytest.mark.parametrize("code", CODES)
def test_every_code_has_a_meaning_and_a_remedy(code: str) -> None:
    assert code.startswith("host.")
    assert CODES[code].meaning.endswith(".")
    assert CODES[code].remedy.endswith(".")
