"""Hosts as their kernels and tools show them, shortened to what matters here.

`VIRTUAL_MACHINE` was recorded; the others were written after the formats of the kernels and tools that they name.
`Recorded` is a `System` over such a tree: the commands and system calls answer what the host answered.
"""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from ansible_collections.cadence.upkeep.plugins.module_utils._core.command import Completed
from ansible_collections.cadence.upkeep.plugins.module_utils._core.errors import CommandFailed, UpkeepError
from ansible_collections.cadence.upkeep.plugins.module_utils._core.isolate import DONE, RAISED, TIMED_OUT, Ended
from ansible_collections.cadence.upkeep.plugins.module_utils._host.system import OUT_OF_REACH, System

GIB = 1 << 30
LINK = "-> "

DEBIAN_MOUNTS = """\
22 28 0:20 / /sys rw,nosuid,nodev,noexec,relatime shared:7 - sysfs sysfs rw
23 28 0:21 / /proc rw,nosuid,nodev,noexec,relatime shared:14 - proc proc rw
24 28 0:5 / /dev rw,nosuid,relatime shared:2 - devtmpfs udev rw,size=4016204k,nr_inodes=1004051,mode=755,inode64
25 24 0:22 / /dev/pts rw,nosuid,noexec,relatime shared:3 - devpts devpts rw,gid=5,mode=620,ptmxmode=000
26 28 0:23 / /run rw,nosuid,nodev,noexec,relatime shared:5 - tmpfs tmpfs rw,size=808796k,mode=755,inode64
28 1 8:2 / / rw,relatime shared:1 - ext4 /dev/sda2 rw,errors=remount-ro
29 22 0:6 / /sys/kernel/security rw,nosuid,nodev,noexec,relatime shared:8 - securityfs securityfs rw
30 24 0:24 / /dev/shm rw,nosuid,nodev shared:4 - tmpfs tmpfs rw,inode64
31 22 0:26 / /sys/fs/cgroup rw,nosuid,nodev,noexec,relatime shared:9 - cgroup2 cgroup2 rw,nsdelegate
34 23 0:29 / /proc/sys/fs/binfmt_misc rw,relatime shared:15 - autofs systemd-1 rw,fd=29,pgrp=1,timeout=0,minproto=5
60 28 8:3 / /var rw,relatime shared:29 - xfs /dev/sda3 rw,attr2,inode64,logbufs=8,logbsize=32k,noquota
61 28 8:3 /lib/shop /srv/shop\\040data rw,relatime shared:29 - xfs /dev/sda3 rw,attr2,inode64,noquota
63 28 7:1 / /snap/core22/1122 ro,nodev,relatime shared:31 - squashfs /dev/loop1 ro,errors=continue
65 28 0:45 / /mnt/share rw,relatime shared:35 - nfs4 files.example.com:/share rw,vers=4.2,hard,timeo=600,retrans=2
66 28 0:46 / /data rw,relatime shared:37 - autofs systemd-1 rw,fd=51,pgrp=1,timeout=600,minproto=5,direct
67 60 0:47 / /var/lib/docker/overlay2/9f/merged rw,relatime - overlay overlay rw,lowerdir=/l/A,upperdir=/l/B
68 60 0:48 / /var/lib/docker/containers/9f/mounts/shm rw,nosuid - tmpfs shm rw,size=65536k
90 26 0:60 / /run/user/1000 rw,nosuid,nodev,relatime shared:50 - tmpfs tmpfs rw,size=808792k,mode=700,uid=1000
"""

MEMINFO = """\
MemTotal:        8087964 kB
MemFree:          612224 kB
MemAvailable:    5012340 kB
Buffers:          204800 kB
Cached:          4096000 kB
SwapTotal:       2097148 kB
SwapFree:        2000000 kB
HugePages_Total:       0
"""

PRESSURE = {
    "cpu": "some avg10=0.24 avg60=0.09 avg300=0.13 total=5458039\nfull avg10=0.00 avg60=0.00 avg300=0.00 total=0\n",
    "memory": "some avg10=0.00 avg60=0.00 avg300=0.00 total=0\nfull avg10=0.00 avg60=0.00 avg300=0.00 total=0\n",
    "io": "some avg10=0.47 avg60=0.30 avg300=0.39 total=6825\nfull avg10=0.47 avg60=0.30 avg300=0.38 total=6649\n",
}

FAILED_UNITS = """\
broken.service loaded failed failed A service that ends badly
  gone.mount   not-found failed failed gone.mount
"""
UNIT_PROPERTIES = """\
Result=exit-code
ExecMainStatus=3
Id=broken.service
InactiveEnterTimestamp=Sun 2026-11-22 05:01:55 UTC

Id=gone.mount
InactiveEnterTimestamp=
"""

FIRST_PIDS = LINK + "pid:[4026531836]"
OTHER_PIDS = LINK + "pid:[4026532619]"


def pressure_files(folder: str, suffix: str = "") -> dict[str, str]:
    return {f"{folder}/{resource}{suffix}": text for resource, text in PRESSURE.items()}


DEBIAN: dict[str, str] = {
    "/proc/self/mountinfo": DEBIAN_MOUNTS,
    "/proc/self/ns/pid": FIRST_PIDS,
    "/proc/self/cgroup": "0::/user.slice/user-1000.slice/session-3.scope\n",
    "/proc/1/cgroup": "0::/init.scope\n",
    "/proc/meminfo": MEMINFO,
    "/proc/stat": "cpu  1 2 3 4\nbtime 1763700000\nprocesses 5\n",
    **pressure_files("/proc/pressure"),
    "/run/systemd/system/.keep": "",
    "/boot/vmlinuz-6.1.0-25-amd64": "",
    "/boot/vmlinuz-6.1.0-9-amd64": "",
    "/boot/initrd.img-6.1.0-25-amd64": "",
    "/lib/modules/6.1.0-25-amd64/modules.builtin": "",
    "/lib/modules/6.1.0-30-amd64/modules.dep": "",  # what a removed kernel leaves behind
}

DOCKER_MOUNTS = """\
812 640 0:88 / / rw,relatime - overlay overlay rw,lowerdir=/l/A:/l/B,upperdir=/l/C/diff,workdir=/l/C/work
813 812 0:91 / /proc rw,nosuid,nodev,noexec,relatime - proc proc rw
814 812 0:92 / /dev rw,nosuid - tmpfs tmpfs rw,size=65536k,mode=755,inode64
816 812 0:95 / /sys ro,nosuid,nodev,noexec,relatime - sysfs sysfs ro
817 816 0:26 / /sys/fs/cgroup ro,nosuid,nodev,noexec,relatime - cgroup2 cgroup rw,nsdelegate
818 814 0:90 / /dev/mqueue rw,nosuid,nodev,noexec,relatime - mqueue mqueue rw
819 814 0:96 / /dev/shm rw,nosuid,nodev,noexec,relatime - tmpfs shm rw,size=65536k,inode64
820 812 8:2 /var/lib/docker/containers/4e/resolv.conf /etc/resolv.conf rw,relatime - ext4 /dev/sda2 rw
821 812 8:2 /var/lib/docker/containers/4e/hostname /etc/hostname rw,relatime - ext4 /dev/sda2 rw
822 812 8:2 /var/lib/docker/containers/4e/hosts /etc/hosts rw,relatime - ext4 /dev/sda2 rw
641 813 0:97 / /proc/acpi ro,relatime - tmpfs tmpfs ro,inode64
"""

# A container with 512 MiB under control groups version 2, in its own cgroup namespace.
DOCKER_V2: dict[str, str] = {
    "/.dockerenv": "",
    "/proc/self/mountinfo": DOCKER_MOUNTS,
    "/proc/self/ns/pid": OTHER_PIDS,
    "/proc/self/cgroup": "0::/\n",
    "/proc/1/cgroup": "0::/\n",
    "/proc/meminfo": MEMINFO,
    "/sys/fs/cgroup/cgroup.procs": "1\n",
    "/sys/fs/cgroup/memory.max": "536870912\n",
    "/sys/fs/cgroup/memory.current": "500000000\n",
    "/sys/fs/cgroup/memory.stat": "anon 100000000\ninactive_file 300000000\nactive_file 10000000\n",
    **pressure_files("/sys/fs/cgroup", ".pressure"),
}

# The same under version 1 without a namespace: the path is the machine's, what is mounted is the container's part.
DOCKER_V1: dict[str, str] = {
    "/.dockerenv": "",
    "/proc/self/mountinfo": DOCKER_MOUNTS,
    "/proc/self/ns/pid": OTHER_PIDS,
    "/proc/self/cgroup": "9:name=systemd:/docker/4e\n4:memory:/docker/4e\n1:cpu,cpuacct:/docker/4e\n0::/docker/4e\n",
    "/proc/1/cgroup": "4:memory:/docker/4e\n",
    "/proc/meminfo": MEMINFO,
    "/sys/fs/cgroup/memory/cgroup.procs": "1\n",
    "/sys/fs/cgroup/memory/memory.limit_in_bytes": "536870912\n",
    "/sys/fs/cgroup/memory/memory.usage_in_bytes": "530000000\n",
    "/sys/fs/cgroup/memory/memory.stat": "inactive_file 1\ntotal_inactive_file 4096\n",
}

RHEL_MOUNTS = """\
21 1 253:0 / / rw,relatime shared:1 - xfs /dev/mapper/rhel-root rw,seclabel,attr2,inode64,noquota
22 21 0:20 / /proc rw,nosuid,nodev,noexec,relatime shared:12 - proc proc rw
23 21 0:23 / /run rw,nosuid,nodev shared:11 - tmpfs tmpfs rw,seclabel,size=1617592k,nr_inodes=819200,mode=755
24 21 252:1 / /boot rw,relatime shared:48 - xfs /dev/vda1 rw,seclabel,attr2,inode64,noquota
25 24 0:41 / /boot/efi rw,relatime shared:49 - autofs systemd-1 rw,fd=40,pgrp=1,timeout=120,minproto=5,direct
"""

# PSI is compiled in but switched off: the files cannot be read. They are left away here, the folder stays.
RHEL: dict[str, str] = {
    "/proc/self/mountinfo": RHEL_MOUNTS,
    "/proc/self/ns/pid": FIRST_PIDS,
    "/proc/meminfo": MEMINFO,
    "/proc/stat": "btime 1763700000\n",
    "/proc/pressure/.keep": "",
    "/run/systemd/system/.keep": "",
    "/boot/vmlinuz-0-rescue-5f0b4cf3dd2b4aa6b0ea5cf0b2f8d5a7": "",
    "/boot/vmlinuz-5.14.0-427.el9.x86_64": "",
    "/boot/vmlinuz-5.14.0-427.13.1.el9_4.x86_64": "",
    "/boot/vmlinuz-5.14.0-503.11.1.el9_5.x86_64+debug": "",
    "/var/lib/rpm/rpmdb.sqlite": "",
}

RPM_TIMES = """\
kernel-core 1763600000
kernel-core 1763800000
package kernel-rt-core is not installed
glibc 1763600001
systemd 1763800001
"""

# A virtual machine made from a container image: the image's mark file is there, no systemd, no kernel package.
VIRTUAL_MACHINE: dict[str, str] = {
    "/.dockerenv": "",
    "/proc/self/mountinfo": """\
22 27 0:21 / /proc rw,relatime - proc proc rw
23 27 0:22 / /sys rw,relatime - sysfs sysfs rw
24 27 0:6 / /dev rw,relatime - devtmpfs devtmpfs rw,size=12334248k,nr_inodes=3083562,mode=755
25 24 0:23 / /dev/shm rw,relatime - tmpfs tmpfs rw,size=24683660k
27 1 254:0 / / rw,relatime - ext4 /dev/vda rw,discard,resv_strict,resuid=65534,resgid=65534
28 27 0:25 / /mnt/tools ro,nosuid,nodev,relatime - tmpfs tools ro,size=4k,mode=755
30 25 0:27 / /dev/shm rw,relatime - tmpfs tmpfs rw,size=24683660k
31 23 0:28 / /sys/fs/cgroup rw,relatime - tmpfs tmpfs rw,mode=755
35 31 0:32 / /sys/fs/cgroup/memory rw,relatime - cgroup cgroup rw,memory
""",
    "/proc/self/ns/pid": FIRST_PIDS,
    "/proc/self/cgroup": "4:memory:/process_api/83228fb5ccf534c9f7e025eb414cbadf\n0::/\n",
    "/proc/meminfo": "MemTotal:       24683660 kB\nMemFree:        23164168 kB\nMemAvailable:   23992320 kB\n",
    **pressure_files("/proc/pressure"),
}

ROOMY = {
    "size": 100 * GIB,
    "free": 60 * GIB,
    "available": 55 * GIB,
    "inodes": 1000,
    "inodes_free": 900,
    "inodes_available": 900,
}


@dataclass(frozen=True)
class Recorded(System):
    """A recorded host. ``space`` answers by mount point: numbers, an errno, None for a file, or "hangs"."""

    name: str = "Linux"
    kernel: str = "6.1.0-25-amd64"
    is_root: bool = True
    processors: int = 4
    loads: Any = (0.51, 0.40, 0.38)
    commands: Mapping[str, Any] = field(default_factory=dict)
    space: Mapping[str, Any] = field(default_factory=dict)
    clock: Any = (0, 34_000, 400)

    def averages(self) -> tuple[float, float, float]:
        if isinstance(self.loads, OSError):
            raise self.loads
        return self.loads  # type: ignore[no-any-return]  # a recorded value

    def run(self, argv: Sequence[str], seconds: float) -> Completed:
        answer = self.commands.get(" ".join(argv[:2]), self.commands.get(argv[0]))
        if answer is None:
            raise CommandFailed(f"{argv[0]} cannot be started: No such file or directory.", f"Install {argv[0]}.")
        if isinstance(answer, UpkeepError):
            raise answer
        status, output, errors = answer if isinstance(answer, tuple) else (0, answer, "")
        return Completed(tuple(argv), status, output, errors, 0.01, False)

    def isolated(self, jobs: Sequence[Any], seconds: float) -> list[Ended]:
        ended = []
        for name, call in jobs:
            if self.space.get(name) == "hangs":
                ended.append(Ended(name, TIMED_OUT, message="it had not ended"))
            elif self.space.get(name) == "raises":
                ended.append(Ended(name, RAISED, message="ValueError: surprise"))
            else:
                ended.append(Ended(name, DONE, call()))
        return ended

    def statvfs(self, points: Sequence[str]) -> dict[str, Any]:
        refusal: dict[str, Any] = {}
        for point in points:
            answer = self.space.get(point, ROOMY)
            if isinstance(answer, int):
                refusal = refusal or {"point": point, "errno": answer}
                if answer not in OUT_OF_REACH:
                    return refusal
            elif answer is not None:
                return {"point": point, **answer}
        return refusal

    def adjtimex(self) -> tuple[int, int, int]:
        if isinstance(self.clock, OSError):
            raise self.clock
        return self.clock  # type: ignore[no-any-return]  # a recorded value


def host(folder: Path, *trees: Mapping[str, str], **answers: Any) -> Recorded:
    """Write the *trees* below *folder*, a later one over an earlier one, and return the host that they make."""
    for path, text in {path: text for tree in trees for path, text in tree.items()}.items():
        place = folder / path.lstrip("/")
        place.parent.mkdir(parents=True, exist_ok=True)
        if text.startswith(LINK):
            os.symlink(text.removeprefix(LINK), place)
        else:
            place.write_text(text)
    return Recorded(root=str(folder), **answers)
