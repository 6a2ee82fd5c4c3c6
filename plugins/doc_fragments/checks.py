# Copyright (c) 2026 Upkeep maintainers
# GNU General Public License v3.0-or-later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Options of the modules that run checks on a host."""

from __future__ import annotations


class ModuleDocFragment:
    DOCUMENTATION = r"""
options:
  checks:
    description: The checks to run.
    type: list
    elements: dict
    default: []
    suboptions:
      id:
        description: The id of the task, unique in the list.
        type: str
        required: true
      check:
        description: The name of the check, which is the name of its module.
        type: str
        required: true
      params:
        description: The options of that module.
        type: dict
        default: {}
      each:
        description: >-
          The check runs once for each of these mappings of options, which are added to O(checks[].params) and win over
          them; all of them together are one check. When empty, it runs once with O(checks[].params) alone.
        type: list
        elements: dict
        default: []
      account:
        description: >-
          The system account that the check runs as, for servers that let in whom the kernel vouches for. Empty is the
          user that runs the module; only root can name another.
        type: str
        default: ""
      deadline:
        description: How long the check may take, each of its runs.
        type: str
        default: 60s
      period:
        description: The period that the check is done for, such as V(2026-11-22). Without one, nothing is remembered.
        type: str
        default: ""
      digest:
        description: A fingerprint of the parameters. A check whose fingerprint changed is not settled.
        type: str
        default: ""
      covers:
        description: The ids of checks that need not run when this one does, because it looks at the same and more.
        type: list
        elements: str
        default: []
      after:
        description: >-
          The ids of acting tasks. When one of them is due, the check does not run yet; M(cadence.upkeep.run_record)
          runs it later.
        type: list
        elements: str
        default: []
  host:
    description: The name under which the host keeps its records. The default is its host name.
    type: str
  state_dir:
    description: >-
      The state directory. The default is C(/var/lib/upkeep) for root and C(upkeep) below the XDG state directory of
      any other user.
    type: path
  now:
    description: The instant of the run (RFC 3339). The default is the host's clock.
    type: str
"""
