# Copyright (c) 2026 Upkeep maintainers
# GNU General Public License v3.0-or-later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Every finding code of the domain: what it means and what to do."""

from __future__ import annotations

from ansible_collections.cadence.upkeep.plugins.module_utils._core.finding import Code

CODES: dict[str, Code] = {
    "prerequisites.library_missing": Code(
        "A Python library that a task needs cannot be found by the interpreter that would run it.",
        "Run `ansible-playbook cadence.upkeep.bootstrap`, or install it by hand as the finding says.",
    ),
    "prerequisites.library_broken": Code(
        "A Python library that a task needs is there, but cannot be imported.",
        "Read the error, usually a missing shared library or a build for another Python, and install it anew.",
    ),
    "prerequisites.virtualenv_unusable": Code(
        "What stands at the path of the virtual environment cannot be used as one.",
        "Run `ansible-playbook cadence.upkeep.bootstrap`, which makes it anew, or name another path.",
    ),
    "prerequisites.nothing_examined": Code(
        "No library was asked for.",
        "Set the inventory variables of what lives on the host, or leave the host out.",
    ),
}
