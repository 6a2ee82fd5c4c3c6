"""What is seen of a host, and what is said of the rest."""

from __future__ import annotations

import errno
from pathlib import Path
from typing import Any

import pytest

from ansible_collections.cadence.upkeep.plugins.module_utils._core.errors import DeadlineExceeded
from ansible_collections.cadence.upkeep.plugins.module_utils._host.argspec import ARGUMENT_SPEC, PARTS
from ansible_collections.cadence.upkeep.plugins.module_utils._host.collect import (
    collect,
    control_groups,
    find_place,
)
from ansible_collections.cadence.upkeep.plugins.module_utils._host.model import (
    ANSWERED,
    BROKEN,
    HUNG,
    REFUSED,
    UNTOLD,
    Clock,
    Policy,
    Snapshot,
    Unit,
)
from tests.unit.plugins.module_utils._host.recorded import (
    DEBIAN,
    DOCKER_V1,
    DOCKER_V2,
    FAILED_UNITS,
    FIRST_PIDS,
    GIB,
    LINK,
    OTHER_PIDS,
    RHEL,
    ROOMY,
    UNIT_PROPERTIES,
    VIRTUAL_MACHINE,
    Recorded,
    host,
)

POLICY = Policy.from_params({name: option.get("default") for name, option in ARGUMENT_SPEC.items()})


def seen(system: Recorded, *parts: str) -> Snapshot:
    return collect(system, parts or PARTS, POLICY)


def why(snapshot: Snapshot, part: str) -> tuple[str, bool]:
    (unseen,) = (unseen for unseen in snapshot.unseen if unseen.part == part)
    return unseen.reason, unseen.expected


# --- the place ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("tree", "more", "container"),
    [
        (DEBIAN, {}, ""),
        (RHEL, {}, ""),
        (VIRTUAL_MACHINE, {}, ""),  # has the mark file of the image that it was made from
        (DOCKER_V2, {}, "docker"),
        (DOCKER_V1, {}, "docker"),
        (DEBIAN, {"/run/systemd/container": "systemd-nspawn\n"}, "systemd-nspawn"),
        (DEBIAN, {"/proc/self/ns/pid": OTHER_PIDS}, "container"),
        (DEBIAN, {"/proc/self/ns/pid": OTHER_PIDS, "/run/.containerenv": ""}, "podman"),
        (DEBIAN, {"/proc/self/ns/pid": OTHER_PIDS, "/proc/1/cgroup": "0::/kubepods/burstable/pod1\n"}, "kubernetes"),
        (DEBIAN, {"/proc/self/ns/pid": OTHER_PIDS, "/proc/self/cgroup": "4:memory:/lxc/web1\n"}, "lxc"),
        # The machine's own processes are shown (--pid=host), but the root is a container's.
        (DOCKER_V2, {"/proc/self/ns/pid": FIRST_PIDS}, "docker"),
    ],
)
def test_the_place(tmp_path: Path, tree: dict[str, str], more: dict[str, str], container: str) -> None:
    assert find_place(host(tmp_path, tree, more)).container == container


def test_a_live_system_on_an_overlay_is_no_container(tmp_path: Path) -> None:
    tree = {key: text for key, text in DOCKER_V2.items() if key != "/.dockerenv"}
    assert find_place(host(tmp_path, tree, {"/proc/self/ns/pid": FIRST_PIDS})).container == ""


# --- file systems -------------------------------------------------------------------------------------------------


def test_every_file_system_of_debian_is_asked(tmp_path: Path) -> None:
    filesystems = seen(host(tmp_path, DEBIAN), "filesystems").filesystems
    assert filesystems is not None
    assert [each.mount.point for each in filesystems.judged] == ["/", "/dev/shm", "/run", "/run/user/1000", "/var"]
    assert {each.state for each in filesystems.judged} == {ANSWERED}
    assert filesystems.judged[0].space is not None
    assert filesystems.judged[0].space.available == 55 * GIB


@pytest.mark.parametrize(
    ("answer", "state"),
    [
        ("hangs", HUNG),
        (errno.EIO, BROKEN),
        (errno.ENOTCONN, BROKEN),
        (errno.ESTALE, BROKEN),
        (errno.EACCES, REFUSED),
        (errno.EOVERFLOW, UNTOLD),
        ("raises", UNTOLD),
    ],
)
def test_one_that_does_not_answer_leaves_the_others_alone(tmp_path: Path, answer: Any, state: str) -> None:
    filesystems = seen(
        host(tmp_path, DEBIAN, space={"/var": answer, "/srv/shop data": answer}), "filesystems"
    ).filesystems
    assert filesystems is not None
    states = {each.mount.point: each.state for each in filesystems.judged}
    assert states.pop("/var") == state
    assert set(states.values()) == {ANSWERED}


def test_a_file_system_that_the_kernel_shut_down_may_still_answer(tmp_path: Path) -> None:
    table = {"/proc/self/mountinfo": "63 43 7:0 / /data rw,relatime - ext4 /dev/loop0 rw,errors=remount-ro,shutdown\n"}
    filesystems = seen(host(tmp_path, DEBIAN, table), "filesystems").filesystems
    assert filesystems is not None
    assert [(each.mount.point, each.state) for each in filesystems.judged] == [("/data", BROKEN)]


@pytest.mark.parametrize(
    ("answer", "reason"),
    [
        (errno.ENOENT, "unmounted while we looked"),
        ({**ROOMY, "size": 0}, "reports no size"),
        (None, "shows a single file"),
    ],
)
def test_what_is_no_storage_after_all_is_left_out(tmp_path: Path, answer: Any, reason: str) -> None:
    filesystems = seen(host(tmp_path, DEBIAN, space={"/run": answer}), "filesystems").filesystems
    assert filesystems is not None
    assert {each.point: each.reason for each in filesystems.left_out}["/run"] == reason
    assert "/run" not in [each.mount.point for each in filesystems.judged]


def test_a_file_system_is_reached_by_another_of_its_mounts(tmp_path: Path) -> None:
    # The whole is out of reach for this user, a folder of it is not.
    filesystems = seen(host(tmp_path, DEBIAN, space={"/var": errno.EACCES, "/srv/shop data": ROOMY}), "filesystems")
    assert filesystems.filesystems is not None
    (answered,) = (each for each in filesystems.filesystems.judged if each.mount.device == "8:3")
    assert (answered.mount.point, answered.state) == ("/srv/shop data", ANSWERED)


def test_no_mount_table_is_not_nothing_to_look_at(tmp_path: Path) -> None:
    snapshot = seen(host(tmp_path, {"/proc/meminfo": ""}), "filesystems")
    assert why(snapshot, "filesystems") == ("/proc/self/mountinfo cannot be read: No such file or directory", True)
    assert snapshot.filesystems is None


# --- memory -------------------------------------------------------------------------------------------------------


def memory_of(system: Recorded) -> tuple[int, int, str]:
    memory = seen(system, "memory").memory
    assert memory is not None
    return memory.total, memory.available, memory.limit


def test_the_memory_of_a_machine(tmp_path: Path) -> None:
    assert memory_of(host(tmp_path, DEBIAN)) == (8087964 * 1024, 5012340 * 1024, "machine")


def test_the_memory_of_a_container_is_its_limit_less_what_it_cannot_free(tmp_path: Path) -> None:
    # 500 MB in use, of which 300 MB are files that were not used for long.
    assert memory_of(host(tmp_path, DOCKER_V2)) == (536870912, 336870912, "control group")


def test_the_memory_of_a_container_of_version_1(tmp_path: Path) -> None:
    assert memory_of(host(tmp_path, DOCKER_V1)) == (536870912, 536870912 - (530000000 - 4096), "control group")


def test_a_container_without_a_limit_has_the_memory_of_the_machine(tmp_path: Path) -> None:
    unlimited = {**DOCKER_V2, "/sys/fs/cgroup/memory.max": "max\n"}
    assert memory_of(host(tmp_path, unlimited))[2] == "machine"


def test_the_tightest_of_nested_limits_counts(tmp_path: Path) -> None:
    outer, inner = "/sys/fs/cgroup/outer", "/sys/fs/cgroup/outer/inner"
    nested = {
        "/proc/self/cgroup": "0::/outer/inner\n",
        f"{inner}/cgroup.procs": "",
        f"{inner}/memory.max": "400000000\n",
        f"{inner}/memory.current": "100\n",
        f"{outer}/cgroup.procs": "",
        f"{outer}/memory.max": "300000000\n",
        f"{outer}/memory.current": "299999900\n",
    }
    system = host(tmp_path, DOCKER_V2, nested)
    assert memory_of(system) == (300000000, 100, "control group")
    assert control_groups(system, "memory") == [inner, outer, "/sys/fs/cgroup"]


def test_a_limit_of_a_login_session_is_none_of_the_machine(tmp_path: Path) -> None:
    limited = {**DEBIAN, "/sys/fs/cgroup/cgroup.procs": "", "/sys/fs/cgroup/memory.max": "1000\n"}
    assert memory_of(host(tmp_path, limited))[2] == "machine"


def test_an_old_kernel_does_not_say_what_is_available(tmp_path: Path) -> None:
    old = {**DEBIAN, "/proc/meminfo": "MemTotal: 1000 kB\nMemFree: 100 kB\nBuffers: 10 kB\nCached: 200 kB\n"}
    assert memory_of(host(tmp_path, old))[:2] == (1000 * 1024, 310 * 1024)


@pytest.mark.parametrize(
    ("tree", "reason"),
    [
        ({"/proc/stat": ""}, "/proc/meminfo cannot be read: No such file or directory"),
        ({"/proc/meminfo": "MemFree: 1 kB\n"}, "/proc/meminfo has no MemTotal"),
    ],
)
def test_memory_that_cannot_be_read_is_unknown(tmp_path: Path, tree: dict[str, str], reason: str) -> None:
    assert why(seen(host(tmp_path, tree), "memory"), "memory") == (reason, True)


# --- load ---------------------------------------------------------------------------------------------------------


def test_load_and_pressure_of_a_machine(tmp_path: Path) -> None:
    load = seen(host(tmp_path, DEBIAN), "load").load
    assert load is not None
    assert (load.averages, load.processors) == ((0.51, 0.40, 0.38), 4)
    assert [pressure.resource for pressure in load.pressures] == ["cpu", "memory", "io"]
    assert load.pressure_unseen == ""


def test_a_container_has_pressure_of_its_own(tmp_path: Path) -> None:
    machine = {"/proc/pressure/io": "full avg10=99.0 avg60=99.0 avg300=99.0 total=1\n"}
    load = seen(host(tmp_path, DOCKER_V2, machine), "load").load
    assert load is not None
    assert {pressure.resource: pressure.lasting for pressure in load.pressures}["io"] == pytest.approx(0.003)


@pytest.mark.parametrize(
    ("tree", "words"), [(RHEL, "switched off (psi=1"), (DOCKER_V1, "the kernel counts no pressure (PSI)")]
)
def test_a_kernel_without_pressure_says_so(tmp_path: Path, tree: dict[str, str], words: str) -> None:
    load = seen(host(tmp_path, tree), "load").load
    assert load is not None
    assert load.pressures == ()
    assert words in load.pressure_unseen


def test_load_that_cannot_be_read_is_unknown(tmp_path: Path) -> None:
    system = host(tmp_path, DEBIAN, loads=OSError("no /proc"))
    assert why(seen(system, "load"), "load") == ("the load averages cannot be read: no /proc", True)


# --- units --------------------------------------------------------------------------------------------------------


def test_failed_units_with_how_and_since_when(tmp_path: Path) -> None:
    commands = {"systemctl list-units": FAILED_UNITS, "systemctl show": UNIT_PROPERTIES}
    assert seen(host(tmp_path, DEBIAN, commands=commands), "units").units == (
        Unit("broken.service", "A service that ends badly", "exit-code", "3", "2026-11-22T05:01:55Z"),
        Unit("gone.mount", "gone.mount"),
    )


def test_no_failed_unit_needs_no_second_question(tmp_path: Path) -> None:
    assert seen(host(tmp_path, DEBIAN, commands={"systemctl list-units": ""}), "units").units == ()


def test_without_systemd_there_are_no_units_and_that_is_no_fault(tmp_path: Path) -> None:
    assert why(seen(host(tmp_path / "1", DOCKER_V2), "units"), "units") == (
        "no systemd runs in this container (docker)",
        False,
    )
    assert why(seen(host(tmp_path / "2", VIRTUAL_MACHINE), "units"), "units") == ("no systemd runs here", False)


@pytest.mark.parametrize("is_root", [True, False])
def test_a_systemd_that_does_not_answer_is_unknown(tmp_path: Path, is_root: bool) -> None:
    refused = (1, "", "Failed to connect to bus: Connection refused\n")
    system = host(tmp_path, DEBIAN, commands={"systemctl": refused}, is_root=is_root)
    snapshot = seen(system, "units")
    reason, expected = why(snapshot, "units")
    assert expected
    assert reason.endswith("Failed to connect to bus: Connection refused")
    assert ("become root" in snapshot.unseen[0].remedy) is not is_root


def test_a_systemd_that_hangs_is_unknown(tmp_path: Path) -> None:
    commands = {"systemctl": DeadlineExceeded("systemctl was stopped: it had not ended after 5s.")}
    reason, expected = why(seen(host(tmp_path, DEBIAN, commands=commands), "units"), "units")
    assert (reason, expected) == ("systemctl was stopped: it had not ended after 5s", True)


# --- clock --------------------------------------------------------------------------------------------------------


def test_what_the_kernel_says_of_its_clock(tmp_path: Path) -> None:
    kept = seen(host(tmp_path, DEBIAN, clock=(0x2001, 34_000, 400)), "clock").clock
    assert kept == Clock(0.034, 0.0004, flagged_unsynced=False)
    free = seen(host(tmp_path / "2", DEBIAN, clock=(0x40, 16_000_000, 16_000_000)), "clock").clock
    assert free == Clock(16.0, 16.0, flagged_unsynced=True)


@pytest.mark.parametrize(("tree", "expected"), [(DEBIAN, True), (DOCKER_V2, False)])
def test_a_kernel_that_may_not_be_asked(tmp_path: Path, tree: dict[str, str], expected: bool) -> None:
    system = host(tmp_path, tree, clock=PermissionError(errno.EPERM, "Operation not permitted"))
    reason = "the kernel does not say how its clock is kept: Operation not permitted"
    assert why(seen(system, "clock"), "clock") == (reason, expected)


# --- all ----------------------------------------------------------------------------------------------------------


def test_only_what_is_asked_for_is_looked_at(tmp_path: Path) -> None:
    snapshot = seen(host(tmp_path, DEBIAN), "memory")
    assert snapshot.memory is not None
    assert (snapshot.filesystems, snapshot.load, snapshot.units, snapshot.reboot, snapshot.clock) == (None,) * 5
    assert snapshot.unseen == ()


def test_an_empty_host_is_unknown_and_never_healthy(tmp_path: Path) -> None:
    empty = host(tmp_path, {"/proc/self/ns/pid": LINK + "x"}, clock=OSError(errno.ENOSYS, "no"), loads=OSError())
    snapshot = seen(empty)
    assert {unseen.part for unseen in snapshot.unseen if unseen.expected} == {"filesystems", "memory", "load"}
    assert {unseen.part for unseen in snapshot.unseen} == set(PARTS)
