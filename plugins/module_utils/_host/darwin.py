# Copyright (c) 2026 Upkeep maintainers
# GNU General Public License v3.0-or-later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Look at a macOS host, by the tools it brings: ``mount``, ``sysctl``, ``vm_stat``."""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping
from typing import Callable

from ansible_collections.cadence.upkeep.plugins.module_utils._core.errors import UpkeepError
from ansible_collections.cadence.upkeep.plugins.module_utils._host.collect import Seen, ask, assemble
from ansible_collections.cadence.upkeep.plugins.module_utils._host.model import (
    FileSystems,
    LeftOut,
    Load,
    Memory,
    Mount,
    Place,
    Policy,
    Snapshot,
    Unseen,
)
from ansible_collections.cadence.upkeep.plugins.module_utils._host.mounts import choose
from ansible_collections.cadence.upkeep.plugins.module_utils._host.system import System

_MOUNT = re.compile(r"(?P<source>.+?) on (?P<point>/.*) \((?P<type>[^,)]+)(?:, (?P<options>[^)]*))?\)")
_APFS = re.compile(r"/dev/(disk\d+)s\d+")
# The volume that people's files are on. All volumes of a container share its space, so one of them is asked.
DATA = "/System/Volumes/Data"
# Pages that can be had at once.
FREE_PAGES = ("Pages free", "Pages inactive", "Pages speculative", "Pages purgeable")


def collect(system: System, parts: Collection[str], policy: Policy) -> Snapshot:
    """Return what can be seen of *parts*; what only Linux has is ``Unseen``, and not expected."""
    looks: Mapping[str, Callable[[System, Policy], Seen]] = {
        "filesystems": look_at_filesystems,
        "memory": look_at_memory,
        "load": look_at_load,
    }
    seen = {part: look(system, policy) for part, look in looks.items() if part in parts}
    for part in ("units", "reboot", "clock"):
        if part in parts:
            seen[part] = Unseen(part, f"it is looked at on Linux only, this is {system.name}", expected=False)
    return assemble(Place(system.name), seen)


def look_at_filesystems(system: System, policy: Policy) -> FileSystems | Unseen:
    try:
        table = system.run(["/sbin/mount"], policy.seconds).require_success("mount").output
    except UpkeepError as error:
        return Unseen("filesystems", error.message.rstrip("."), True, error.remedy or "Run `mount`.", error.evidence)
    mounts = parse_mounts(table)
    local = [mount for mount in mounts if "local" in mount.options or policy.network_filesystems]
    remote = [
        LeftOut(mount.point, mount.type, "served over the network; network_filesystems asks for it")
        for mount in mounts
        if mount not in local and mount.type not in ("devfs", "autofs")
    ]
    candidates, left_out = choose(local, policy)
    return ask(system, candidates, left_out + remote, policy.seconds)


def parse_mounts(text: str) -> list[Mount]:
    """Return the mounts of ``mount``, the data volume before the others of its APFS container."""
    mounts: list[Mount] = []
    for number, line in enumerate(text.splitlines(), 1):
        match = _MOUNT.fullmatch(line.strip())
        if match is None:
            continue
        options = frozenset((match["options"] or "").split(", "))
        apfs = _APFS.match(match["source"])
        device = apfs.group(1) if apfs and match["type"] == "apfs" else match["source"]
        mode = frozenset(("ro" if "read-only" in options else "rw",))
        # A folder of the container, all but the data volume: that is what makes `choose` prefer it.
        root = "/" if match["point"] == DATA or device == match["source"] else match["point"]
        parent = _parent(match["point"], mounts)
        mounts.append(
            Mount(number, parent, device, root, match["point"], options | mode, match["type"], match["source"], mode)
        )
    return mounts


def _parent(point: str, mounts: list[Mount]) -> int:
    """Return the id of the mount that *point* is in, of those that were mounted before; 0 for the root."""
    above = [mount for mount in mounts if point.startswith(mount.point.rstrip("/") + "/")]
    return max(above, key=lambda mount: (len(mount.point), mount.id)).id if above else 0


def look_at_memory(system: System, policy: Policy) -> Memory | Unseen:
    try:
        size = system.run(["/usr/sbin/sysctl", "-n", "hw.memsize"], policy.seconds).require_success("sysctl").output
        pages = system.run(["/usr/bin/vm_stat"], policy.seconds).require_success("vm_stat").output
    except UpkeepError as error:
        return Unseen("memory", error.message.rstrip("."), True, error.remedy or "Run `vm_stat`.", error.evidence)
    free = parse_free(pages)
    if not size.strip().isdigit() or int(size) <= 0 or free is None:
        return Unseen("memory", "the answers of sysctl and vm_stat cannot be read", True, "Run `vm_stat`.")
    return Memory(int(size), free)


def parse_free(text: str) -> int | None:
    """Return the bytes that ``vm_stat`` shows as free or freeable; None when it cannot be read."""
    page = re.search(r"page size of (\d+) bytes", text)
    counts = dict(re.findall(r'^"?([^":]+)"?:\s+(\d+)\.', text, re.MULTILINE))
    if page is None or "Pages free" not in counts:
        return None
    return int(page.group(1)) * sum(int(counts.get(name, 0)) for name in FREE_PAGES)


def look_at_load(system: System, policy: Policy) -> Load | Unseen:
    try:
        return Load(system.averages(), system.processors, (), f"{system.name} counts no pressure (PSI)")
    except OSError as error:
        return Unseen("load", f"the load averages cannot be read: {error}", True, "Run `uptime`.")
