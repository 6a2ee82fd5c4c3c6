# Copyright (c) 2026 Upkeep maintainers
# GNU General Public License v3.0-or-later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What making a backup may say."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from ansible_collections.cadence.upkeep.plugins.module_utils._core.finding import Code, Finding, Severity

CODES: Mapping[str, Code] = {
    "backup.created": Code(
        "A backup was made, looked at from its first byte to its last, described and named.",
        "Nothing to do.",
    ),
    "backup.not_needed": Code(
        "The newest backup of the series is young enough, so that none was made.",
        "Nothing to do; with when: always one is made in any case.",
    ),
    "backup.create_failed": Code(
        "A backup could not be made. Nothing of it was kept, and the older ones are as they were.",
        "Mend what the message names, and run the task again; it says which program failed and how.",
    ),
    "backup.leftover_removed": Code(
        "What an earlier run left that was killed was removed: unfinished files here, or dumps in a container or pod.",
        "Nothing to do; find out who killed that run when it happens again.",
    ),
    "backup.source_changed": Code(
        "Files changed while they were copied into the archive, so that their copies may mix two states.",
        "Back up from a snapshot of the file system, or when nobody writes; leave out logs and caches (exclude).",
    ),
    "backup.source_vanished": Code(
        "Files were there when the directory was listed, and gone when they were to be read.",
        "Nothing to do where files come and go; otherwise find out what removes them.",
    ),
    "backup.source_left_out": Code(
        "Something below the paths is not in the archive: sockets, pipes, devices, or the directory of the backups.",
        "Nothing to do; none of these can be restored from an archive.",
    ),
    "backup.passwords_left_out": Code(
        "The roles were dumped without their passwords, because the login role may not read them.",
        "Log in as a superuser, or set the passwords anew after a restore.",
    ),
}


def finding(
    code: str, subject: str, severity: Severity, message: str, evidence: Mapping[str, Any] | None = None
) -> Finding:
    return Finding(code, subject, severity, message, evidence or {}, CODES[code].remedy)
