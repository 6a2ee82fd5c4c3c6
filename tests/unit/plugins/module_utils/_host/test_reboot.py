"""Whether a reboot is required, by what each system offers."""

from __future__ import annotations

from pathlib import Path

import pytest

from ansible_collections.cadence.upkeep.plugins.module_utils._core.errors import DeadlineExceeded
from ansible_collections.cadence.upkeep.plugins.module_utils._host.argspec import ARGUMENT_SPEC
from ansible_collections.cadence.upkeep.plugins.module_utils._host.collect import find_place
from ansible_collections.cadence.upkeep.plugins.module_utils._host.model import Policy, Reboot, Unseen
from ansible_collections.cadence.upkeep.plugins.module_utils._host.reboot import installed_kernels, look_at_reboot
from tests.unit.plugins.module_utils._host.recorded import (
    DEBIAN,
    DOCKER_V2,
    RHEL,
    RPM_TIMES,
    VIRTUAL_MACHINE,
    Recorded,
    host,
)

POLICY = Policy.from_params({name: option.get("default") for name, option in ARGUMENT_SPEC.items()})
RHEL_KERNEL = "5.14.0-427.13.1.el9_4.x86_64"


def look(system: Recorded) -> Reboot | Unseen:
    return look_at_reboot(system, find_place(system), POLICY)


def required(system: Recorded) -> tuple[str, ...]:
    reboot = look(system)
    assert isinstance(reboot, Reboot)
    return reboot.reasons


def unseen(system: Recorded) -> tuple[str, bool]:
    answer = look(system)
    assert isinstance(answer, Unseen)
    return answer.reason, answer.expected


def test_debian_with_its_newest_kernel_needs_none(tmp_path: Path) -> None:
    assert required(host(tmp_path, DEBIAN)) == ()


def test_debian_with_a_newer_kernel(tmp_path: Path) -> None:
    newer = {"/boot/vmlinuz-6.1.0-28-amd64": ""}
    assert required(host(tmp_path, DEBIAN, newer)) == ("the kernel 6.1.0-28-amd64 is installed, 6.1.0-25-amd64 runs",)


def test_the_mark_file_and_who_made_it(tmp_path: Path) -> None:
    marks = {"/run/reboot-required": "", "/run/reboot-required.pkgs": "linux-base\nlibc6\nlinux-base\n"}
    reboot = look(host(tmp_path, DEBIAN, marks))
    assert isinstance(reboot, Reboot)
    assert reboot.reasons == ("/run/reboot-required is there, made by linux-base, libc6",)
    assert reboot.packages == ("linux-base", "libc6")
    assert reboot.judged_by == ("/run/reboot-required", "installed kernels")


@pytest.mark.parametrize("mark", ["/var/run/reboot-required", "/run/reboot-needed"])
def test_other_mark_files(tmp_path: Path, mark: str) -> None:
    assert required(host(tmp_path, VIRTUAL_MACHINE, {mark: ""})) == (f"{mark} is there",)


def test_red_hat_with_its_newest_kernel_needs_none(tmp_path: Path) -> None:
    old = {"rpm": (1, "kernel-core 1763600000\nglibc 1763600001\n", "package dbus is not installed\n")}
    reboot = look(host(tmp_path, RHEL, kernel=RHEL_KERNEL, commands=old))
    assert isinstance(reboot, Reboot)
    assert reboot.reasons == ()
    assert reboot.judged_by == ("installed kernels", "rpm")


def test_red_hat_with_updates_since_the_boot(tmp_path: Path) -> None:
    system = host(tmp_path, RHEL, kernel="5.14.0-427.el9.x86_64", commands={"rpm": (1, RPM_TIMES, "")})
    assert required(system) == (
        f"the kernel {RHEL_KERNEL} is installed, 5.14.0-427.el9.x86_64 runs",
        "kernel-core, systemd was updated after the last boot",
    )


def test_rpm_that_fails_leaves_the_judgement_to_the_kernels(tmp_path: Path) -> None:
    hangs = {"rpm": DeadlineExceeded("rpm was stopped: it had not ended after 5s.")}
    reboot = look(host(tmp_path, RHEL, kernel=RHEL_KERNEL, commands=hangs))
    assert isinstance(reboot, Reboot)
    assert reboot.judged_by == ("installed kernels",)


def test_rpm_that_fails_where_nothing_else_tells_is_unknown(tmp_path: Path) -> None:
    hangs = {"rpm": DeadlineExceeded("rpm was stopped: it had not ended after 5s.")}
    assert unseen(host(tmp_path, RHEL, kernel="9.9-other", commands=hangs)) == (
        "rpm was stopped: it had not ended after 5s",
        True,
    )


def test_rpm_that_says_nothing_is_no_witness(tmp_path: Path) -> None:
    reboot = look(
        host(tmp_path, RHEL, kernel=RHEL_KERNEL, commands={"rpm": (11, "package glibc is not installed\n", "")})
    )
    assert isinstance(reboot, Reboot)
    assert reboot.judged_by == ("installed kernels",)


def test_an_automount_on_boot_is_not_woken(tmp_path: Path) -> None:
    automount = "25 21 0:41 / /boot rw - autofs systemd-1 rw,fd=40\n"
    table = {"/proc/self/mountinfo": RHEL["/proc/self/mountinfo"].splitlines()[0] + "\n" + automount}
    modules = {f"/lib/modules/{RHEL_KERNEL}/vmlinuz": ""}
    assert installed_kernels(host(tmp_path, RHEL, table, modules)) == [RHEL_KERNEL]


def test_a_rescue_image_and_the_leavings_of_a_removed_kernel_do_not_count(tmp_path: Path) -> None:
    assert installed_kernels(host(tmp_path / "1", DEBIAN)) == ["6.1.0-25-amd64", "6.1.0-9-amd64"]
    assert "0-rescue-5f0b4cf3dd2b4aa6b0ea5cf0b2f8d5a7" not in installed_kernels(host(tmp_path / "2", RHEL))


def test_the_kernel_of_a_container_is_not_its_own(tmp_path: Path) -> None:
    assert unseen(host(tmp_path, DOCKER_V2, {"/boot/vmlinuz-6.1.0-99-amd64": ""})) == (
        "in this container (docker), the kernel is that of the machine below",
        False,
    )


@pytest.mark.parametrize(
    ("more", "reason"),
    [
        ({}, "the running kernel 6.18.44-fc-v669 was not installed from packages of this system"),
        (
            {"/boot/vmlinuz-6.1.0-99-amd64": ""},
            "the running kernel 6.18.44-fc-v669 is of another kind than those installed (6.1.0-99-amd64)",
        ),
    ],
)
def test_a_kernel_from_elsewhere_cannot_be_judged(tmp_path: Path, more: dict[str, str], reason: str) -> None:
    assert unseen(host(tmp_path, VIRTUAL_MACHINE, more, kernel="6.18.44-fc-v669")) == (reason, False)
