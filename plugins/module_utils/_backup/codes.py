# Copyright (c) 2026 Upkeep maintainers
# GNU General Public License v3.0-or-later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The finding codes of backups."""

from __future__ import annotations

from collections.abc import Mapping

from ansible_collections.cadence.upkeep.plugins.module_utils._core.finding import Code

_COPY_OR_REDO = "Copy it again from its origin, or take a new backup; keep the older ones until that is verified."

CODES: Mapping[str, Code] = {
    # What is there.
    "backup.missing": Code(
        "There is no backup at all where the pattern points.",
        "Run the backup job and read its output; check the pattern, and that the file system is mounted.",
    ),
    "backup.stale": Code(
        "The newest backup is older than the rhythm of its series allows, or older than max_age.",
        "Find out why the job has not run or has written elsewhere (its log, its timer), and run it now.",
    ),
    "backup.future_dated": Code(
        "A backup says that it was taken in the future, so that its age cannot be told.",
        "Compare the clocks of the hosts; set time_zone to the zone in which the names are written.",
    ),
    "backup.gap": Code(
        "Between two backups of the series lies more time than its rhythm allows: some are missing.",
        "Look into the log of the job at that time; nothing can be restored to a point in the gap.",
    ),
    "backup.retention_missing": Code(
        "Fewer backups are kept than min_count asks for.",
        "Stop whatever removes them, and check the retention of the job.",
    ),
    "backup.empty": Code(
        "The file is empty, or what it unfolds to is: the dump program failed and only its output file was left.",
        "Run the backup job by hand and read its error output; make the job fail when a part of its pipe fails.",
    ),
    "backup.too_small": Code(
        "The file is smaller than min_size.",
        "Compare it with an older one; check that the job dumps the right database with all its tables.",
    ),
    "backup.size_anomaly": Code(
        "The newest backup is far larger or smaller than those before it.",
        "Find out what came or went: tables that are dumped no more, a purge, a job that dumps something else.",
    ),
    "backup.partial_upload": Code(
        "A file is still being written, or was left behind half written.",
        "Wait until the job is over and verify again; remove what an ended job has left.",
    ),
    "backup.unreadable": Code(
        "A file or directory could not be read, so that nothing is known about it.",
        "Run the task as an account that may read it, or mend what the error names (mount, disk, link).",
    ),
    "backup.insecure_mode": Code(
        "Every account of the host can read the backup, and with it all that is in the database.",
        "Run chmod o-rwx on it, and give the job the umask 077.",
    ),
    # The digests beside it.
    "backup.manifest_missing": Code(
        "No digest by the maker stands beside the backups: only their formats' own check values vouch for them.",
        "Let the job write FILE.sha256 with sha256sum before it copies the file anywhere.",
    ),
    "backup.manifest_invalid": Code(
        "There is a digest file beside the backup, but it cannot be used.",
        "Write it again from a copy that is known to be good: sha256sum FILE > FILE.sha256.",
    ),
    "backup.sidecar_stale": Code(
        "Digest files are left of backups that are no longer there, or were compressed since.",
        "Remove them, and let the job write the digest of the file that it keeps.",
    ),
    "backup.digest_mismatch": Code(
        "The file is not what its maker wrote: its SHA-256 is another than the one beside it.",
        _COPY_OR_REDO,
    ),
    # What is inside.
    "backup.truncated": Code(
        "The file ends before the end of its own format: the disk was full, or a copy was cut.",
        _COPY_OR_REDO + " Check the space on both sides.",
    ),
    "backup.corrupt": Code(
        "The check values or the structure of the file do not hold: bytes have changed since it was written.",
        _COPY_OR_REDO + " Check the disk and the way that the file was copied.",
    ),
    "backup.trailing_garbage": Code(
        "The content is whole, but something else follows it in the file.",
        "Find out what appended it; write a new backup into a new file.",
    ),
    "backup.unexpected_format": Code(
        "The name promises another format than the content has, so that a restore by the name would fail.",
        "Rename the file, or mend the command that writes it.",
    ),
    "backup.unsupported": Code(
        "This version cannot read the format, so that nothing is known about the content.",
        "Verify it with the tool that wrote it, or leave the file out of the pattern.",
    ),
    "backup.bomb": Code(
        "The file unfolds to more than the limits allow and was not read on.",
        "Find out where it comes from; raise limits.max_expanded or limits.max_ratio when its size is right.",
    ),
    "backup.not_a_backup": Code(
        "What stands there is no backup: an error page, a message, a device.",
        "Find out what wrote it, and mend the command that should have written a backup.",
    ),
    "backup.incomplete_dump": Code(
        "The container is whole, but the dump in it is not: the dump program died and its exit status was lost.",
        "Run the dump by hand and read its error output; make the job fail when pg_dump does (set -o pipefail).",
    ),
    "backup.toc_corrupt": Code(
        "The table of contents of the archive contradicts itself or the data.",
        _COPY_OR_REDO,
    ),
    "backup.duplicate_dump": Code(
        "The file holds more than one dump, one after another: the job appends instead of replacing.",
        "Let the job write to a new file each time (> and not >>).",
    ),
    "backup.line_endings": Code(
        "The line endings of the dump were changed on the way.",
        "Let nothing convert it: no terminal (docker exec without -t), no copy in text mode.",
    ),
    # What kept us from looking.
    "backup.timeout": Code(
        "A backup was not read to its end in the time that was given.",
        "Raise timeout or timeout_per_file (and the deadline of the task), or find out why the disk is slow.",
    ),
    "backup.nothing_examined": Code(
        "The check was given no series and no path.",
        "Name the host's backups in backups_series, or skip the task for this host.",
    ),
}
