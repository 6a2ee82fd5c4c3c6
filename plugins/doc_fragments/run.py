# Copyright (c) 2026 Upkeep maintainers
# GNU General Public License v3.0-or-later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Options of every module that acts below a lock of its own."""

from __future__ import annotations


class ModuleDocFragment:
    DOCUMENTATION = r"""
options:
  state_dir:
    description:
      - The directory for locks, journals and records. The default is C(/var/lib/upkeep) for root,
        C(~/.local/state/upkeep) for others.
    type: path
  run_id:
    description: The id of the run, which others are told who wait for its lock.
    type: str
    default: ""
"""
