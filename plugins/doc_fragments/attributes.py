# Copyright (c) 2026 Upkeep maintainers
# GNU General Public License v3.0-or-later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Promises that every module of the collection makes, written once."""

from __future__ import annotations


class ModuleDocFragment:
    DOCUMENTATION = r"""
options: {}
attributes:
  check_mode:
    description: Can run in C(check_mode) and return what it would do, without changing anything.
  diff_mode:
    description: Returns what would change, or has changed, when in diff mode.
  platform:
    description: The systems that the module runs on.
    platforms: posix
    support: full
"""

    # For modules that only look: check mode changes nothing because there is nothing to change.
    READ_ONLY = r"""
options: {}
attributes:
  check_mode:
    support: full
    details:
      - The module only looks, so it does the same in check mode.
  diff_mode:
    support: N/A
    details:
      - The module changes nothing.
"""

    ACTION_GROUPS = r"""
options: {}
attributes:
  action_group:
    description: Use C(group/cadence.upkeep.all) in C(module_defaults) to set defaults for this module.
    membership:
      - cadence.upkeep.all
    support: full
"""
