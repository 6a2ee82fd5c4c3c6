# Copyright (c) 2026 Upkeep maintainers
# GNU General Public License v3.0-or-later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Look at a Linux host. Whatever cannot be seen becomes an ``Unseen`` with its reason."""

from __future__ import annotations

import errno
import os
from collections.abc import Collection, Mapping
from typing import Any, Callable, Optional

from ansible_collections.cadence.upkeep.plugins.module_utils._core.errors import UpkeepError
from ansible_collections.cadence.upkeep.plugins.module_utils._core.isolate import DONE, TIMED_OUT, Ended
from ansible_collections.cadence.upkeep.plugins.module_utils._host.model import (
    ANSWERED,
    BROKEN,
    HUNG,
    REFUSED,
    UNTOLD,
    Clock,
    FileSystem,
    FileSystems,
    LeftOut,
    Load,
    Memory,
    Mount,
    Place,
    Policy,
    Pressure,
    Snapshot,
    Space,
    Unit,
    Unseen,
)
from ansible_collections.cadence.upkeep.plugins.module_utils._host.mounts import Candidate, choose
from ansible_collections.cadence.upkeep.plugins.module_utils._host.parse import (
    parse_counters,
    parse_failed_units,
    parse_meminfo,
    parse_mountinfo,
    parse_pressure,
    parse_properties,
    parse_timestamp,
)
from ansible_collections.cadence.upkeep.plugins.module_utils._host.system import System

# The number that every Linux kernel gives its first process id namespace: in a container it is another one.
FIRST_PID_NAMESPACE = "pid:[4026531836]"
# What a file system says whose disk, server or program is gone.
FAULTS = frozenset(
    getattr(errno, name)
    for name in ("EIO", "ENODEV", "ENOTCONN", "ENXIO", "ESHUTDOWN", "ESTALE", "EUCLEAN")
    if hasattr(errno, name)
)
SHOWN_UNITS = 50
STA_UNSYNC = 0x0040

# A part as it was seen, or an Unseen.
Seen = Any


def collect(system: System, parts: Collection[str], policy: Policy) -> Snapshot:
    """Return what can be seen of *parts*. Commands and file systems get ``policy.seconds`` each."""
    if system.name != "Linux":
        from ansible_collections.cadence.upkeep.plugins.module_utils._host import darwin

        return darwin.collect(system, parts, policy)
    # Only the parts that are asked for cost anything; this one belongs to a file that is not needed without it.
    from ansible_collections.cadence.upkeep.plugins.module_utils._host.reboot import look_at_reboot

    place = find_place(system)
    looks: Mapping[str, Callable[[System, Place, Policy], Seen]] = {
        "filesystems": look_at_filesystems,
        "memory": look_at_memory,
        "load": look_at_load,
        "units": look_at_units,
        "reboot": look_at_reboot,
        "clock": look_at_clock,
    }
    return assemble(place, {part: look(system, place, policy) for part, look in looks.items() if part in parts})


def assemble(place: Place, seen: Mapping[str, Seen]) -> Snapshot:
    visible = {part: value for part, value in seen.items() if not isinstance(value, Unseen)}
    return Snapshot(place, unseen=tuple(value for value in seen.values() if isinstance(value, Unseen)), **visible)


# --- where we are -------------------------------------------------------------------------------------------------


def find_place(system: System) -> Place:
    """Tell a container from a machine, without privileges.

    The mark files alone do not do: a virtual machine that was made from a container image has them too. They count
    where the processes or the root file system are a container's.
    """
    told = system.read_or("/run/systemd/container").strip()
    if told:
        return Place(system.name, told)
    namespace = system.link("/proc/self/ns/pid")
    if namespace in ("", FIRST_PID_NAMESPACE) and not _has_root_of_a_container(system):
        return Place(system.name)
    for mark, name in (("/.dockerenv", "docker"), ("/run/.containerenv", "podman"), ("/dev/lxd", "lxd")):
        if system.exists(mark):
            return Place(system.name, name)
    groups = system.read_or("/proc/1/cgroup") + system.read_or("/proc/self/cgroup")
    for word in ("kubepods", "docker", "libpod", "lxc", "containerd"):
        if word in groups:
            return Place(system.name, "kubernetes" if word == "kubepods" else word)
    if namespace not in ("", FIRST_PID_NAMESPACE):
        return Place(system.name, "container")
    return Place(system.name)


def _has_root_of_a_container(system: System) -> bool:
    roots = [mount for mount in parse_mountinfo(system.read_or("/proc/self/mountinfo")) if mount.point == "/"]
    return any(mount.type in ("overlay", "aufs") or mount.root != "/" for mount in roots)


# --- file systems -------------------------------------------------------------------------------------------------


def look_at_filesystems(system: System, place: Place, policy: Policy) -> FileSystems | Unseen:
    try:
        table = system.read("/proc/self/mountinfo")
    except OSError as error:
        return Unseen("filesystems", f"/proc/self/mountinfo cannot be read: {error.strerror}", True, "Mount /proc.")
    candidates, left_out = choose(parse_mountinfo(table), policy)
    return ask(system, candidates, left_out, policy.seconds)


def ask(system: System, candidates: list[Candidate], left_out: list[LeftOut], seconds: float) -> FileSystems:
    """Ask every candidate in a process of its own, so that one that hangs delays none of the others."""
    jobs = [(candidate.mount.point, _question(system, candidate)) for candidate in candidates]
    judged, more_left_out = [], list(left_out)
    for candidate, ended in zip(candidates, system.isolated(jobs, seconds)):
        outcome = _answer(candidate, ended, seconds)
        if isinstance(outcome, FileSystem):
            judged.append(outcome)
        else:
            more_left_out.append(outcome)
    return FileSystems(tuple(judged), tuple(more_left_out))


def _question(system: System, candidate: Candidate) -> Callable[[], dict[str, Any]]:
    points = [candidate.mount.point, *(other.point for other in candidate.others)]
    return lambda: system.statvfs(points)


def _answer(candidate: Candidate, ended: Ended, seconds: float) -> FileSystem | LeftOut:
    mount = candidate.mount
    if ended.how == TIMED_OUT:
        return FileSystem(mount, HUNG, problem=f"no answer within {seconds:g} s")
    if ended.how != DONE:
        return FileSystem(mount, UNTOLD, problem=ended.message)
    numbers = dict(ended.value)
    if not numbers:
        return LeftOut(mount.point, mount.type, "shows a single file")
    answering = next((other for other in candidate.others if other.point == numbers["point"]), mount)
    if "errno" in numbers:
        return _refused(answering, numbers["errno"])
    if answering.shut_down:
        return FileSystem(answering, BROKEN, problem="the kernel shut it down after an error")
    del numbers["point"]
    space = Space(**numbers)
    if space.size <= 0:
        return LeftOut(answering.point, answering.type, "reports no size")
    return FileSystem(answering, ANSWERED, space)


def _refused(mount: Mount, number: int) -> FileSystem | LeftOut:
    words = os.strerror(number)
    if number in (errno.ENOENT, errno.ENOTDIR):
        return LeftOut(mount.point, mount.type, "unmounted while we looked")
    if number in (errno.EACCES, errno.EPERM):
        return FileSystem(mount, REFUSED, problem=words)
    return FileSystem(mount, BROKEN if number in FAULTS else UNTOLD, problem=words)


# --- memory -------------------------------------------------------------------------------------------------------


def look_at_memory(system: System, place: Place, policy: Policy) -> Memory | Unseen:
    try:
        values = parse_meminfo(system.read("/proc/meminfo"))
    except OSError as error:
        return Unseen("memory", f"/proc/meminfo cannot be read: {error.strerror}", True, "Mount /proc.")
    total = values.get("MemTotal", 0)
    # Kernels before 3.14 do not say what is available; this is what they can free at once.
    guess = sum(values.get(name, 0) for name in ("MemFree", "Buffers", "Cached"))
    if total <= 0:
        return Unseen("memory", "/proc/meminfo has no MemTotal", True, "Look at /proc/meminfo.")
    machine = Memory(
        total, values.get("MemAvailable", guess), values.get("SwapTotal", 0), values.get("SwapFree", 0), "machine"
    )
    if not place.container:
        return machine
    return _limited_memory(system, machine)


def _limited_memory(system: System, machine: Memory) -> Memory:
    """Return the memory under the tightest limit that the container's control groups set."""
    tightest = machine
    for folder in control_groups(system, "memory"):
        limit = _number(system, folder, ("memory.max", "memory.limit_in_bytes"))
        used = _number(system, folder, ("memory.current", "memory.usage_in_bytes"))
        if limit is None or used is None or limit >= tightest.total:
            continue
        # Pages of files that were not used for long are freed before anybody feels the limit.
        counters = parse_counters(system.read_or(f"{folder}/memory.stat"))
        reclaimable = counters.get("total_inactive_file", counters.get("inactive_file", 0))
        available = max(0, limit - max(0, used - reclaimable))
        tightest = Memory(limit, available, machine.swap_total, machine.swap_free, "control group")
    return tightest


def _number(system: System, folder: str, names: tuple[str, ...]) -> Optional[int]:
    for name in names:
        text = system.read_or(f"{folder}/{name}").strip()
        if text.isdigit():
            return int(text)
    return None


def control_groups(system: System, controller: str) -> list[str]:
    """Return the folders of our control group for *controller* and of those above it, the innermost first.

    Version 2 has one tree, version 1 one for each controller. Inside a container, the path in ``/proc/self/cgroup`` may
    be the machine's while only the container's part is mounted: then the mounted part is it.
    """
    for line in system.read_or("/proc/self/cgroup").splitlines():
        controllers, _colon, path = line.partition(":")[2].partition(":")
        if controllers == "":
            base = "/sys/fs/cgroup"
        elif controller in controllers.split(","):
            base = f"/sys/fs/cgroup/{controller}"
        else:
            continue
        if not system.exists(f"{base}/cgroup.procs"):
            continue
        inner = base + path.rstrip("/")
        if not system.exists(f"{inner}/cgroup.procs"):
            return [base]
        folders = [inner]
        while folders[-1] != base:
            folders.append(os.path.dirname(folders[-1]))
        return folders
    return []


# --- load ---------------------------------------------------------------------------------------------------------


def look_at_load(system: System, place: Place, policy: Policy) -> Load | Unseen:
    try:
        averages = system.averages()
    except OSError as error:
        return Unseen("load", f"the load averages cannot be read: {error}", True, "Mount /proc.")
    pressures, unseen = look_at_pressure(system, place)
    return Load(averages, system.processors, pressures, unseen)


def look_at_pressure(system: System, place: Place) -> tuple[tuple[Pressure, ...], str]:
    """Return the pressures, or why there are none. A container has its own where its control group counts them."""
    places = ["/proc/pressure/{}"]
    if place.container:
        places = [folder + "/{}.pressure" for folder in control_groups(system, "memory")[:1]] + places
    for template in places:
        found = [
            pressure
            for resource in ("cpu", "memory", "io")
            for pressure in [parse_pressure(resource, system.read_or(template.format(resource)))]
            if pressure is not None
        ]
        if found:
            return tuple(found), ""
    # The files may be there and refuse: compiled in, but not switched on (RHEL without `psi=1`).
    known = system.exists("/proc/pressure")
    return (), "the kernel's pressure counters are switched off (psi=1 on its command line)" if known else (
        "the kernel counts no pressure (PSI)"
    )


# --- units --------------------------------------------------------------------------------------------------------


def look_at_units(system: System, place: Place, policy: Policy) -> tuple[Unit, ...] | Unseen:
    if not system.exists("/run/systemd/system"):
        return Unseen("units", f"no systemd runs {place.where}", expected=False)
    listing = ["systemctl", "list-units", "--state=failed", "--plain", "--no-legend", "--no-pager", "--full", "--all"]
    try:
        failed = parse_failed_units(system.run(listing, policy.seconds).require_success("systemctl list-units").output)
        shown = [unit.name for unit in failed[:SHOWN_UNITS]]
        if not shown:
            return ()
        properties = "--property=Id,Result,ExecMainStatus,InactiveEnterTimestamp"
        details = parse_properties(system.run(["systemctl", "show", properties, "--", *shown], policy.seconds).output)
    except UpkeepError as error:
        remedy = "" if system.is_root else "Let the task become root; without it systemd answers only over D-Bus. "
        return Unseen("units", error.message.rstrip("."), True, f"{remedy}See `systemctl status`.", error.evidence)
    return tuple(_detailed(unit, details.get(unit.name, {})) for unit in failed)


def _detailed(unit: Unit, properties: Mapping[str, str]) -> Unit:
    return Unit(
        unit.name,
        unit.description,
        properties.get("Result", ""),
        properties.get("ExecMainStatus", ""),
        parse_timestamp(properties.get("InactiveEnterTimestamp", "")),
    )


# --- clock --------------------------------------------------------------------------------------------------------


def look_at_clock(system: System, place: Place, policy: Policy) -> Clock | Unseen:
    try:
        status, error, estimated = system.adjtimex()
    except OSError as refusal:
        return Unseen(
            "clock",
            f"the kernel does not say how its clock is kept: {refusal.strerror}",
            expected=not place.container,
            remedy="Look at `timedatectl` or `chronyc tracking`.",
        )
    return Clock(error / 1e6, estimated / 1e6, bool(status & STA_UNSYNC))
