# Copyright (c) 2026 Upkeep maintainers
# GNU General Public License v3.0-or-later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Every finding code of the domain, from the jobs that use them."""

from __future__ import annotations

from collections.abc import Mapping

from ansible_collections.cadence.upkeep.plugins.module_utils._backup.create.codes import CODES as CREATE_CODES
from ansible_collections.cadence.upkeep.plugins.module_utils._backup.offsite.codes import CODES as OFFSITE_CODES
from ansible_collections.cadence.upkeep.plugins.module_utils._backup.prune.codes import CODES as PRUNE_CODES
from ansible_collections.cadence.upkeep.plugins.module_utils._backup.recover.codes import CODES as RECOVER_CODES
from ansible_collections.cadence.upkeep.plugins.module_utils._backup.restore.codes import CODES as RESTORE_CODES
from ansible_collections.cadence.upkeep.plugins.module_utils._core.finding import Code

_COPY_OR_REDO = "Copy it again from its origin, or take a new backup; keep the older ones until that is verified."

# What verifying a backup may say, whichever job asks for it.
VERIFY_CODES: Mapping[str, Code] = {
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
        "Fewer backups are kept than min_count or keep ask for.",
        "Stop whatever removes them, and check the retention of the job.",
    ),
    "backup.retention_excess": Code(
        "There are backups that the retention (keep) does not keep: nothing removes them, and the disk fills up.",
        "Find out why the job that removes old backups does not run, or say in keep what should stay.",
    ),
    "backup.unchanged_suspicious": Code(
        "The newest backup is the same as the one before it, byte for byte: a job may copy an old one again and again.",
        "Compare with the database whether anything changed in between; look at what the job really dumps.",
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
    "backup.wrong_owner": Code(
        "The backup belongs to another account than the one that should own it.",
        "Find out who wrote it; run chown, and let the job run as the right account.",
    ),
    "backup.not_immutable": Code(
        "The backup can be changed or removed by whoever breaks into the host, or nobody can say whether it can.",
        "Set the flag after the job (chattr +i), or keep a copy where this host cannot remove it (object lock).",
    ),
    "backup.globals_missing": Code(
        "The dump of roles and tablespaces that belongs to the dumps of the databases is missing or old.",
        "Let the job write pg_dumpall --globals-only beside them: without it nobody owns what is restored.",
    ),
    "backup.schedule_missing": Code(
        "The job that should take the backups is not installed, is switched off, or runs too seldom.",
        "Install or enable it (crontab -e, systemctl enable --now), with a rhythm as in every.",
    ),
    "backup.space_short": Code(
        "The next backup will not fit where it is to go, if sizes go on as they do.",
        "Make room, enlarge the disk, or shorten the retention, before the next run.",
    ),
    "backup.state_unusable": Code(
        "What was verified cannot be remembered: there is no history, no trend of durations, and nothing is skipped.",
        "Name a state_file that the user of the run may write, and that nobody else may.",
    ),
    # The copies elsewhere.
    "backup.copy_missing": Code(
        "The newest backup is not at another site where it should be.",
        "Run the job that copies it there, and read its log.",
    ),
    "backup.copy_differs": Code(
        "The copy of the newest backup at another site is not the same, or could not be compared.",
        "Copy it again, and compare the digests at the far side before the old copy is removed.",
    ),
    "backup.rule_not_met": Code(
        "The 3-2-1-1-0 rule does not hold: three copies, two media, one off-site, one immutable, no errors.",
        "Add what the failing digit lacks; the evidence has all of them.",
    ),
    # The digests beside it.
    "backup.manifest_missing": Code(
        "No digest by the maker stands beside the backups: only their formats' own check values vouch for them. It is "
        "critical where require_manifest asks for a manifest.",
        "Let the job write a manifest while it dumps, or at least FILE.sha256 before it copies the file anywhere.",
    ),
    "backup.manifest_invalid": Code(
        "There is a digest file or manifest beside the backup, but it cannot be used, or is of another file.",
        "Write it again from a copy that is known to be good: sha256sum FILE > FILE.sha256.",
    ),
    "backup.sidecar_stale": Code(
        "Digest files are left of backups that are no longer there, or were compressed since.",
        "Remove them, and let the job write the digest of the file that it keeps.",
    ),
    "backup.signature_missing": Code(
        "There is no signature, although require_signature asks for one: whoever may write there may replace both the "
        "backup and its digest.",
        "Let the job sign the manifest (minisign -S, ssh-keygen -Y sign, gpg --detach-sign).",
    ),
    "backup.signature_bad": Code(
        "The signature does not hold, is by somebody else, or could not be verified.",
        "Trust neither the backup nor its manifest until it is known who changed them; take a new backup.",
    ),
    "backup.digest_mismatch": Code(
        "The file is not what its maker wrote, or what is inside is not what the dump program wrote: the SHA-256 is "
        "another than the one beside it.",
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
    "backup.tool_missing": Code(
        "The program that unfolds or decrypts this format is not here, so that nothing is known about the content.",
        "Install the program that the evidence names, or the Python library for it.",
    ),
    "backup.no_key": Code(
        "There is no key to decrypt it: none was named, or not the one that it is encrypted for.",
        "Name the key in decrypt. If nobody has it any more, the backup is lost: take one for a key that is kept.",
    ),
    "backup.wrong_key": Code(
        "The key or passphrase that is kept for it does not open it: with what is here nobody can restore it.",
        "Find the key that was in use when it was made, and keep it; or take a new backup with the key that is kept.",
    ),
    "backup.unauthenticated_encryption": Code(
        "It is encrypted in a way that does not notice changes: a flipped bit restores as other data, silently.",
        "Encrypt with age or gpg instead of openssl enc, and let the job write a manifest.",
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
    "backup.data_missing": Code(
        "Files, tables, collections or members that should be in the backup are not.",
        _COPY_OR_REDO,
    ),
    "backup.row_count_mismatch": Code(
        "Tables have other numbers of rows than their maker counted, or than is expected.",
        "Do not rely on this backup: take a new one, and compare its manifest with the database.",
    ),
    "backup.wrong_database": Code(
        "The dump is of another database or server than it should be.",
        "Correct the connection of the job; look for who else writes to that place.",
    ),
    "backup.schema_mismatch": Code(
        "Definitions and data do not fit each other, or not what the maker wrote down: columns, tables, encoding.",
        "Take a new backup; when it has the same, compare the manifest with the database.",
    ),
    "backup.bson_invalid": Code(
        "Documents of MongoDB in it are not valid, so that mongorestore would stop there.",
        _COPY_OR_REDO,
    ),
    "backup.meta_command": Code(
        "The dump holds a command that psql would run for whoever restores it (CVE-2025-8714).",
        "Do not restore it. Find out which object has such a name; dump with a patched pg_dump.",
    ),
    "backup.unsafe_path": Code(
        "A member of the archive would be unpacked outside of the directory into which one unpacks.",
        "Do not unpack it as root. Find out who made it; GNU tar refuses such members unless told otherwise.",
    ),
    "backup.unsafe_member": Code(
        "The archive has members that may do harm when unpacked: devices, links that lead out, set-id files, doubles.",
        "Look at them with tar -tv; when they belong there, name their kind in limits.allow.",
    ),
    "backup.key_mismatch": Code(
        "A private key belongs to none of the certificates that lie with it: no server starts with what is restored.",
        "Find the key that belongs to the certificate, or issue the certificate anew, and back up both together.",
    ),
    "backup.chain_disordered": Code(
        "The certificates of a chain stand in another order than leaf, issuer, issuer of that: some clients refuse it.",
        "Write the file anew in that order (certbot's fullchain.pem has it), and take another backup.",
    ),
    "backup.key_exposed": Code(
        "A private key in the archive has a mode with which every account can read it where it is unpacked.",
        "Run chmod o-r on the key where it lives; after a restore of this backup run it there.",
    ),
    "backup.certificate_expired": Code(
        "Certificates in the backup had ended when it was taken, and none in it replaces them.",
        "Renew them where they live (cert_expiry tells which), or leave what nobody needs out of the backup.",
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
    "backup.killed": Code(
        "The process that read the backup died, so that nothing is known about it.",
        "Look into the kernel's log (out of memory?); verify the file alone with parallel 1.",
    ),
    "backup.nothing_examined": Code(
        "The check was given no series and no path.",
        "Name the host's backups in backups_series, or skip the task for this host.",
    ),
}

# A job with codes of its own adds them by one line: **CREATE_CODES, from create/codes.py.
CODES: Mapping[str, Code] = {
    **VERIFY_CODES,
    **CREATE_CODES,
    **PRUNE_CODES,
    **OFFSITE_CODES,
    **RECOVER_CODES,
    **RESTORE_CODES,
}
