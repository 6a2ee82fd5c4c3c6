# Copyright (c) 2026 Upkeep maintainers
# GNU General Public License v3.0-or-later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Choose from the mount table which file systems to ask, each once. Pure: nothing is touched, no automount woken."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Optional

from ansible_collections.cadence.upkeep.plugins.module_utils._host.model import LeftOut, Mount, Policy, matches

# What holds no data of its own. Anything that is in none of these lists counts as local storage.
PSEUDO = frozenset(
    (
        *("autofs", "binder", "binfmt_misc", "bpf", "cgroup", "cgroup2", "configfs", "debugfs", "devfs", "devpts"),
        *("devtmpfs", "efivarfs", "fuse.dumpfs", "fuse.gvfsd-fuse", "fuse.lxcfs", "fuse.portal", "fuse.vmware-vmblock"),
        *("fusectl", "hugetlbfs", "mqueue", "none", "nsfs", "nullfs", "pipefs", "proc", "pstore", "ramfs", "resctrl"),
        *("rootfs", "rpc_pipefs", "securityfs", "selinuxfs", "smackfs", "sockfs", "sysfs", "tracefs", "xenfs"),
    )
)
# Images that are full by nature.
IMAGES = frozenset(
    (
        *("composefs", "cramfs", "erofs", "iso9660", "romfs", "squashfs", "fuse.archivemount", "fuse.snapfuse"),
        *("fuse.squashfuse", "fuse.squashfuse_ll", "fuse.erofs"),
    )
)
# Folders in layers: what lies below them is judged where it is mounted itself.
LAYERS = frozenset(("aufs", "overlay", "overlayfs", "unionfs"))
# Served by another machine.
NETWORK = frozenset(
    (
        *("9p", "afs", "beegfs", "ceph", "cifs", "coda", "davfs", "gpfs", "lustre", "ncpfs", "nfs", "nfs4", "orangefs"),
        *("prl_fs", "pvfs2", "smb3", "smbfs", "vboxsf", "virtiofs", "vmhgfs", "acfs", "webdav", "afpfs"),
    )
)
# Programs that only rearrange local disks. Any other program behind FUSE may be a network client.
LOCAL_FUSE = frozenset(
    (
        *("fuseblk", "fuse.bindfs", "fuse.encfs", "fuse.exfat", "fuse.fuse-overlayfs", "fuse.gocryptfs"),
        *("fuse.mergerfs", "fuse.ntfs", "fuse.ntfs-3g", "fuse.unionfs", "fuse.zfs"),
    )
)
# Below these, the kernel's own trees, container engines and service managers have small file systems by the hundred.
ENGINE_FOLDERS = (
    "/proc/",
    "/run/containerd/",
    "/run/credentials/",
    "/sys/",
    "/var/lib/containerd/",
    "/var/lib/containers/",
    "/var/lib/docker/",
    "/var/lib/kubelet/",
    "/var/snap/",
)
# Single files that container engines mount from the disk of the machine below.
ENGINE_FILES = frozenset(("/etc/hosts", "/etc/hostname", "/etc/resolv.conf", "/dev/termination-log"))


@dataclass(frozen=True)
class Candidate:
    """A file system to ask, and the other places where it can be reached should the first be a file or refuse."""

    mount: Mount
    others: tuple[Mount, ...] = ()


def choose(mounts: Sequence[Mount], policy: Policy) -> tuple[list[Candidate], list[LeftOut]]:
    """Return the file systems to ask, in the order of their mount points, and the storage that is left out."""
    left_out: list[LeftOut] = []
    by_device: dict[str, list[Mount]] = {}
    for mount in visible(mounts):
        if mount.type in PSEUDO or _belongs_to_an_engine(mount):
            continue
        reason = _why_not(mount, policy)
        if reason:
            left_out.append(LeftOut(mount.point, mount.type, reason))
        else:
            by_device.setdefault(mount.device, []).append(mount)
    candidates = []
    for same in by_device.values():
        first, *others = sorted(same, key=_preference)
        candidates.append(Candidate(first, tuple(others)))
    return sorted(candidates, key=lambda candidate: candidate.mount.point), left_out


def visible(mounts: Sequence[Mount]) -> list[Mount]:
    """Return the mounts that their paths lead to: not those below another one that was mounted over them."""
    known = {mount.id for mount in mounts}
    # A root has a parent that is not in the table; several may be mounted on the same point, the last wins.
    stacked = {(mount.parent if mount.parent in known else None, mount.point): mount for mount in mounts}
    return [mount for mount in mounts if _lookup(mount.point, stacked) is mount]


def _lookup(path: str, stacked: Mapping[tuple[Optional[int], str], Mount]) -> Optional[Mount]:
    """Walk *path* as the kernel does, from mount to mount."""
    current: Optional[Mount] = None
    parts = [part for part in path.split("/") if part]
    for depth in range(len(parts) + 1):
        prefix = "/" + "/".join(parts[:depth])
        above = stacked.get((current.id if current else None, prefix))
        while above is not None and above is not current:
            current = above
            above = stacked.get((current.id, prefix))
    return current


def under_automount(path: str, mounts: Sequence[Mount]) -> bool:
    """True when looking below *path* would wake an automount."""
    return any(
        mount.type == "autofs" and (path == mount.point or path.startswith(mount.point.rstrip("/") + "/"))
        for mount in visible(mounts)
    )


def _belongs_to_an_engine(mount: Mount) -> bool:
    if mount.type in LAYERS:
        # The root of a container or of a live system is the one whose layers are mounted nowhere else.
        return mount.point != "/"
    return mount.type == "tmpfs" and mount.point.startswith(ENGINE_FOLDERS)


def _why_not(mount: Mount, policy: Policy) -> str:
    if matches(mount.point, policy.ignore_mounts):
        return "ignored by ignore_mounts"
    if matches(mount.type, policy.ignore_types):
        return "ignored by ignore_types"
    if mount.type in IMAGES:
        return "a read-only image"
    if is_remote(mount) and not policy.network_filesystems:
        return "served over the network or by a program; network_filesystems asks for it"
    if not mount.writable and not mount.turned_read_only:
        return "mounted read-only: nothing can fill it"
    return ""


def is_remote(mount: Mount) -> bool:
    return mount.type in NETWORK or (
        mount.type not in LOCAL_FUSE and (mount.type == "fuse" or mount.type.startswith("fuse."))
    )


def _preference(mount: Mount) -> tuple[bool, bool, int, str]:
    """The whole file system first, then a folder of it; what an engine mounts into each container last."""
    return (mount.root != "/", mount.point in ENGINE_FILES, len(mount.point), mount.point)
