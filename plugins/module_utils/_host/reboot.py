# Copyright (c) 2026 Upkeep maintainers
# GNU General Public License v3.0-or-later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Whether a reboot is required, by whatever the system offers: mark files, kernels, and rpm's record of updates."""

from __future__ import annotations

import re

from ansible_collections.cadence.upkeep.plugins.module_utils._core.errors import UpkeepError
from ansible_collections.cadence.upkeep.plugins.module_utils._host.model import Place, Policy, Reboot, Unseen
from ansible_collections.cadence.upkeep.plugins.module_utils._host.mounts import under_automount
from ansible_collections.cadence.upkeep.plugins.module_utils._host.parse import (
    kernel_flavour,
    newer_kernels,
    parse_counters,
    parse_install_times,
    parse_mountinfo,
)
from ansible_collections.cadence.upkeep.plugins.module_utils._host.system import System

# Debian and Ubuntu make the first two, SUSE the third.
MARKS = ("/run/reboot-required", "/var/run/reboot-required", "/run/reboot-needed")
RPM_DATABASES = ("/usr/lib/sysimage/rpm", "/var/lib/rpm")
# After an update of one of these, only a reboot gets rid of what still runs in the old version.
RPM_PACKAGES = (
    *("kernel", "kernel-core", "kernel-rt-core", "linux-firmware", "microcode_ctl", "glibc", "openssl-libs"),
    *("systemd", "dbus", "dbus-broker", "dbus-daemon"),
)
_RELEASE = re.compile(r"\d+\.\d+.*")


def look_at_reboot(system: System, place: Place, policy: Policy) -> Reboot | Unseen:
    if place.container:
        return Unseen("reboot", f"{place.where}, the kernel is that of the machine below", expected=False)
    reasons: list[str] = []
    judged_by: list[str] = []
    mark = next((path for path in MARKS if system.exists(path)), "")
    packages = tuple(dict.fromkeys(system.read_or(f"{mark}.pkgs").split())) if mark else ()
    if mark:
        judged_by.append(mark)
        reasons.append(f"{mark} is there" + (f", made by {', '.join(packages)}" if packages else ""))
    installed = installed_kernels(system)
    if any(kernel_flavour(release) == kernel_flavour(system.kernel) for release in installed):
        judged_by.append("installed kernels")
        newer = newer_kernels(system.kernel, installed)
        if newer:
            reasons.append(f"the kernel {newer[0]} is installed, {system.kernel} runs")
    try:
        updated = updated_since_boot(system, policy.seconds)
    except UpkeepError as error:
        if not judged_by:
            return Unseen("reboot", error.message.rstrip("."), True, error.remedy or "Run `rpm -qa`.", error.evidence)
        updated = None
    if updated is not None:
        judged_by.append("rpm")
        if updated:
            reasons.append(f"{', '.join(updated)} was updated after the last boot")
    if not judged_by:
        return Unseen("reboot", _why_nothing_tells(system, installed), expected=False)
    return Reboot(system.kernel, tuple(reasons), tuple(judged_by), packages, tuple(installed))


def _why_nothing_tells(system: System, installed: list[str]) -> str:
    if installed:
        return f"the running kernel {system.kernel} is of another kind than those installed ({', '.join(installed)})"
    return f"the running kernel {system.kernel} was not installed from packages of this system"


def installed_kernels(system: System) -> list[str]:
    """Return the releases of the kernels that could be booted, without waking an automount on ``/boot``."""
    mounts = parse_mountinfo(system.read_or("/proc/self/mountinfo"))
    found = set()
    if not under_automount("/boot", mounts):
        for name in system.entries("/boot"):
            kind, _dash, release = name.partition("-")
            if kind in ("vmlinuz", "vmlinux", "kernel"):
                found.add(release)
    for release in system.entries("/lib/modules"):
        # A removed kernel may leave its folder behind; one that can be booted has its list of modules or its image.
        if any(system.exists(f"/lib/modules/{release}/{name}") for name in ("vmlinuz", "modules.builtin")):
            found.add(release)
    return sorted(release for release in found if _RELEASE.fullmatch(release))


def updated_since_boot(system: System, seconds: float) -> list[str] | None:
    """Return the packages among ``RPM_PACKAGES`` that were installed after the last boot; None without rpm.

    It is what ``needs-restarting -r`` finds out, at a twentieth of its cost and without its package.
    """
    if not any(system.entries(folder) for folder in RPM_DATABASES):
        return None
    booted = parse_counters(system.read_or("/proc/stat")).get("btime", 0)
    query = ["rpm", "-q", "--queryformat", "%{NAME} %{INSTALLTIME}\\n", *RPM_PACKAGES]
    # Its status says only that some of them are not installed.
    times = parse_install_times(system.run(query, seconds).output)
    if not times or not booted:
        return None
    return sorted(name for name, installed in times.items() if installed > booted)
