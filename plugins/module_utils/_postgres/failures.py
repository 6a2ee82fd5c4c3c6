# Copyright (c) 2026 Upkeep maintainers
# GNU General Public License v3.0-or-later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""How a refused statement is taken, by the class that the server gives the error."""

from __future__ import annotations

from collections.abc import Mapping

from ansible_collections.cadence.upkeep.plugins.module_utils._core.deadline import Deadline

# Try again later; stop everything; fail the table. Any other class is the reason for which the table is left.
LOCK, STOP, FAIL = "lock", "stop", "fail"
DISK_FULL = "53100"
CANCELLED = "57014"
CORRUPTION = ("XX001", "XX002")
CONNECTION_CLASSES = ("08", "57P")
_CLASSES: Mapping[str, str] = {
    "55P03": LOCK,
    "40P01": LOCK,
    DISK_FULL: STOP,
    "25006": STOP,
    "42501": "permission",
    "42P01": "vanished",
    "42704": "vanished",
    "3F000": "vanished",
}


def class_of(sqlstate: str, seconds: float, hard: Deadline, statement_timeout: float) -> str:
    """Return why a table is left, or ``LOCK``, ``STOP`` or ``FAIL``. *seconds* is how long the statement ran."""
    if sqlstate != CANCELLED:
        return _CLASSES.get(sqlstate, FAIL)
    if hard.expired:
        return "time_limit"
    return "timeout" if statement_timeout and seconds >= statement_timeout * 0.9 else "cancelled"
