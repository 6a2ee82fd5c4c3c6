#!/usr/bin/python
# Copyright (c) 2026 Upkeep maintainers
# GNU General Public License v3.0-or-later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Documentation of the action plugin of this name, which runs on the control node."""

from __future__ import annotations

DOCUMENTATION = r"""
module: run_plan
short_description: Show what would run on each host, in order, and why not the rest
version_added: 0.1.0
description:
  - Prints the plan that M(cadence.upkeep.run_checks) made with O(cadence.upkeep.run_checks#module:plan_only=true) for
    each host of the play. Fails when a host could not be asked, because its plan is not known then.
author:
  - Upkeep maintainers (@cadence-upkeep)
options:
  run:
    description: The run, as M(cadence.upkeep.run_request) returned it.
    type: dict
    required: true
extends_documentation_fragment:
  - cadence.upkeep.attributes
  - cadence.upkeep.attributes.action_groups
attributes:
  check_mode:
    support: full
    details:
      - The plan is only shown.
  diff_mode:
    support: N/A
    details:
      - There is nothing to compare.
"""

EXAMPLES = r"""
- name: Show the plan
  cadence.upkeep.run_plan:
    run: "{{ run_request.run }}"
  run_once: true
  delegate_to: localhost
"""

RETURN = r"""
hosts:
  description: The plan of each host.
  returned: success
  type: list
  elements: dict
  sample:
    - host: db1
      tasks:
        - {id: host.memory, cadence: daily, acts: false, limit: 60s, does: Memory that is left}
      left_out:
        - {id: certificates.expiry, reason: certificates_inventory is not set for this host}
      problems: []
"""
