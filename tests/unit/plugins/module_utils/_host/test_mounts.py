"""Which mounts are asked."""

from __future__ import annotations

from dataclasses import replace

import pytest

from ansible_collections.cadence.upkeep.plugins.module_utils._host.argspec import ARGUMENT_SPEC
from ansible_collections.cadence.upkeep.plugins.module_utils._host.model import Mount, Policy
from ansible_collections.cadence.upkeep.plugins.module_utils._host.mounts import choose, under_automount, visible
from ansible_collections.cadence.upkeep.plugins.module_utils._host.parse import parse_mountinfo
from tests.unit.plugins.module_utils._host.recorded import DEBIAN_MOUNTS, DOCKER_MOUNTS, RHEL_MOUNTS, VIRTUAL_MACHINE

POLICY = Policy.from_params({name: option.get("default") for name, option in ARGUMENT_SPEC.items()})


def chosen(text: str, policy: Policy = POLICY) -> list[str]:
    return [candidate.mount.point for candidate in choose(parse_mountinfo(text), policy)[0]]


def left_out(text: str, policy: Policy = POLICY) -> dict[str, str]:
    return {each.point: each.reason for each in choose(parse_mountinfo(text), policy)[1]}


def line(point: str, kind: str = "ext4", **more: str) -> str:
    values = {"id": "50", "parent": "28", "device": "9:1", "root": "/", "options": "rw", "super": "rw", **more}
    return (
        f"{values['id']} {values['parent']} {values['device']} {values['root']} {point} {values['options']} - "
        f"{kind} source {values['super']}\n"
    )


def test_debian_every_local_file_system_once() -> None:
    assert chosen(DEBIAN_MOUNTS) == ["/", "/dev/shm", "/run", "/run/user/1000", "/var"]


def test_debian_says_which_storage_is_left_out() -> None:
    assert set(left_out(DEBIAN_MOUNTS)) == {"/snap/core22/1122", "/mnt/share"}
    assert left_out(DEBIAN_MOUNTS)["/snap/core22/1122"] == "a read-only image"
    assert "network_filesystems" in left_out(DEBIAN_MOUNTS)["/mnt/share"]


def test_network_file_systems_are_asked_on_demand() -> None:
    assert "/mnt/share" in chosen(DEBIAN_MOUNTS, replace(POLICY, network_filesystems=True))


def test_an_automount_is_never_asked() -> None:
    everything = replace(POLICY, network_filesystems=True)
    assert "/data" not in chosen(DEBIAN_MOUNTS, everything)


def test_a_container_is_judged_by_its_root_and_not_by_the_files_mounted_into_it() -> None:
    candidates, _ = choose(parse_mountinfo(DOCKER_MOUNTS), POLICY)
    assert [candidate.mount.point for candidate in candidates] == ["/", "/dev", "/dev/shm", "/etc/hosts"]
    # The disk of the machine shows by three files only; whether they are files is found out when they are asked.
    assert [other.point for other in candidates[-1].others] == ["/etc/hostname", "/etc/resolv.conf"]


def test_a_volume_of_the_disk_is_preferred_to_the_files_of_the_engine() -> None:
    volume = line("/var/lib/postgresql/data", id="900", parent="812", device="8:2", root="/volumes/pg/_data")
    assert "/var/lib/postgresql/data" in chosen(DOCKER_MOUNTS + volume)
    assert "/etc/hosts" not in chosen(DOCKER_MOUNTS + volume)


def test_the_whole_file_system_is_preferred_to_a_shorter_path_to_a_folder_of_it() -> None:
    table = line("/b", id="50", root="/folder") + line("/longer/path", id="51")
    assert chosen(table) == ["/longer/path"]


def test_a_mount_below_another_is_not_seen() -> None:
    # Twice on /dev/shm: paths lead to the last one.
    mounts = parse_mountinfo(VIRTUAL_MACHINE["/proc/self/mountinfo"])
    assert [mount.id for mount in visible(mounts) if mount.point == "/dev/shm"] == [30]
    assert chosen(VIRTUAL_MACHINE["/proc/self/mountinfo"]) == ["/", "/dev/shm"]


def test_a_mount_whose_parent_folder_was_mounted_over_is_not_seen() -> None:
    table = (
        line("/", id="1", parent="0", device="8:1")
        + line("/srv", id="2", parent="1", device="8:2")
        + line("/srv/data", id="3", parent="2", device="8:3")
        + line("/srv", id="4", parent="2", device="8:4")
    )
    assert chosen(table) == ["/", "/srv"]
    assert [mount.id for mount in visible(parse_mountinfo(table))] == [1, 4]


def test_a_mount_table_without_a_root_is_that_of_a_chroot() -> None:
    assert chosen(line("/data", id="5", parent="4")) == ["/data"]


@pytest.mark.parametrize(
    ("kind", "asked"),
    [
        ("btrfs", True),
        ("zfs", True),
        ("vfat", True),
        ("somethingnew", True),  # what we do not know is looked at rather than overlooked
        ("fuseblk", True),
        ("fuse.mergerfs", True),
        ("fuse.sshfs", False),
        ("fuse", False),
        ("cifs", False),
        ("9p", False),
        ("fuse.lxcfs", False),
        ("iso9660", False),
        ("ramfs", False),
        ("overlay", False),
    ],
)
def test_the_type_tells_what_is_local(kind: str, asked: bool) -> None:
    assert chosen(line("/data", kind)) == (["/data"] if asked else [])


@pytest.mark.parametrize(
    "point", ["/var/lib/docker/containers/1/mounts/shm", "/var/lib/kubelet/pods/1/volumes/secret", "/sys/fs/cgroup"]
)
def test_memory_that_an_engine_mounts_for_others_is_not_asked(point: str) -> None:
    assert chosen(line(point, "tmpfs")) == []
    assert left_out(line(point, "tmpfs")) == {}


def test_a_disk_below_an_engine_folder_is_asked() -> None:
    assert chosen(line("/var/lib/kubelet/pods/1/volumes/pvc", "ext4")) == ["/var/lib/kubelet/pods/1/volumes/pvc"]


def test_read_only_by_wish_is_left_out_and_read_only_by_error_is_not() -> None:
    assert left_out(line("/media", options="ro", super="ro")) == {"/media": "mounted read-only: nothing can fill it"}
    assert chosen(line("/data", options="rw", super="ro,errors=remount-ro")) == ["/data"]
    assert chosen(line("/data", options="rw", super="rw,emergency_ro")) == ["/data"]


def test_patterns_leave_out_mounts_and_types() -> None:
    policy = replace(POLICY, ignore_mounts=("/run/user/*",), ignore_types=("xfs",))
    assert chosen(DEBIAN_MOUNTS, policy) == ["/", "/dev/shm", "/run"]
    assert left_out(DEBIAN_MOUNTS, policy)["/var"] == "ignored by ignore_types"
    assert left_out(DEBIAN_MOUNTS, policy)["/run/user/1000"] == "ignored by ignore_mounts"


@pytest.mark.parametrize(
    ("path", "wakes"), [("/boot", False), ("/boot/efi", True), ("/boot/efi/EFI", True), ("/b", False)]
)
def test_looking_below_an_automount_would_wake_it(path: str, wakes: bool) -> None:
    mounts: list[Mount] = parse_mountinfo(RHEL_MOUNTS)
    assert under_automount(path, mounts) is wakes


def test_what_an_automount_has_mounted_already_may_be_looked_at() -> None:
    mounted = RHEL_MOUNTS + line("/boot/efi", "vfat", id="70", parent="25", device="252:2")
    assert not under_automount("/boot/efi", parse_mountinfo(mounted))
    assert "/boot/efi" in chosen(mounted)


def test_a_mount_table_of_65_000_binds_of_one_disk_is_one_question() -> None:
    binds = "".join(
        line(f"/binds/{number}", id=str(number), parent="28", root=f"/{number}") for number in range(100, 65_100)
    )
    assert len(chosen(DEBIAN_MOUNTS + binds)) == 6
