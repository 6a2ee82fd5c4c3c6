# Copyright (c) 2026 Upkeep maintainers
# GNU General Public License v3.0-or-later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Every finding code of the domain: what it means and what to do."""

from __future__ import annotations

from ansible_collections.cadence.upkeep.plugins.module_utils._core.finding import Code

CODES: dict[str, Code] = {
    "host.disk_space": Code(
        "A file system is filled beyond its limit, or less space is left on it than wanted.",
        "Find what grows: `du -xh -d 2 MOUNT | sort -h | tail`; files that are deleted but open: `lsof +L1 MOUNT`.",
    ),
    "host.disk_inodes": Code(
        "A file system is running out of inodes: no file can be made on it, however much space is left.",
        "Find the folder with the many small files: `du -x --inodes -d 3 MOUNT | sort -n | tail`.",
    ),
    "host.mount_hung": Code(
        "A file system did not answer within the timeout. Whoever touches it waits, perhaps for ever.",
        "Bring its server or disk back (`dmesg | tail`), or take it away: `umount -l MOUNT` (`umount -f` for NFS).",
    ),
    "host.mount_broken": Code(
        "A file system answers every request with an error: its disk, its server or its program is gone.",
        "Read `dmesg | tail`, then check the file system and mount it anew.",
    ),
    "host.mount_read_only": Code(
        "A file system that was mounted for writing has been turned read-only, as the kernel does after an error.",
        "Read `dmesg | grep -i error`, save the data, check the disk, run fsck, and mount it anew.",
    ),
    "host.memory": Code(
        "Little memory is left for programs, counting what the kernel can free at once.",
        "See who has it: `ps -eo pid,user,rss,comm --sort=-rss | head`.",
    ),
    "host.load": Code(
        "More tasks want to run than the processors can take, now and for at least five minutes.",
        "See who runs or waits: `ps -eo state,pid,user,pcpu,comm --sort=-pcpu | grep '^[RD]' | head`.",
    ),
    "host.pressure": Code(
        "Work stands still for want of processor, memory or disk (PSI), now and for at least five minutes.",
        "See who uses the resource: `ps --sort=-pcpu`, `ps --sort=-rss`, or `iotop -boPn 3`.",
    ),
    "host.unit_failed": Code(
        "A unit of systemd is in the state failed.",
        "Read `systemctl status UNIT` and `journalctl -u UNIT -e`, mend it, then `systemctl reset-failed UNIT`.",
    ),
    "host.reboot_required": Code(
        "What runs is older than what is installed: the kernel, or libraries and services that only a reboot replaces.",
        "Plan a reboot: `systemctl reboot`.",
    ),
    "host.clock_unsynced": Code(
        "Nothing keeps the clock right.",
        "Run `timedatectl set-ntp true` or start chrony, then look at `timedatectl` or `chronyc tracking`.",
    ),
    "host.not_visible": Code(
        "A part that was asked for does not exist where the task runs (a container, a system without systemd). "
        "That is no fault, but nothing is known about it.",
        "None is needed; to ask for less, set the option subset.",
    ),
    "host.unreadable": Code(
        "A part that every such host has could not be read, so it is unknown how it is.",
        "Follow the message: usually privileges (become) or a service that does not answer.",
    ),
    "host.nothing_examined": Code(
        "No part of the host was asked for.",
        "Name at least one part in the option subset.",
    ),
}
