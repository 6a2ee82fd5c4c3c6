# Copyright (c) 2026 Upkeep maintainers
# GNU General Public License v3.0-or-later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Which files somebody has open now: one that is still being written is not of a run that has ended."""

from __future__ import annotations

import os

_PROCESSES = "/proc"


def open_files() -> set[tuple[int, int]]:
    """Return device and inode of every file that a process has open, as far as this account may see it.

    Empty where there is no ``/proc``.
    """
    found: set[tuple[int, int]] = set()
    try:
        processes = [name for name in os.listdir(_PROCESSES) if name.isdigit()]
    except OSError:
        return found
    for process in processes:
        folder = os.path.join(_PROCESSES, process, "fd")
        try:
            numbers = os.listdir(folder)
        except OSError:
            continue  # it has ended, or belongs to somebody else
        for number in numbers:
            try:
                status = os.stat(os.path.join(folder, number))
            except OSError:
                continue  # closed meanwhile
            found.add((status.st_dev, status.st_ino))
    return found
