#!/usr/bin/python
# Copyright (c) 2026 Upkeep maintainers
# GNU General Public License v3.0-or-later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Documentation of the action plugin of this name, which runs on the control node."""

from __future__ import annotations

DOCUMENTATION = r"""
module: run_checks
short_description: Resolve the tasks of a host and run all its due checks in one call
version_added: 0.1.0
description:
  - Decides from the catalogue, the inventory variables of the host and the request which tasks apply, and runs the
    read-only ones by one call of M(cadence.upkeep.checkup) on the host.
  - Returns what that module returns, and the acting tasks that are due.
author:
  - Upkeep maintainers (@cadence-upkeep)
options:
  cadence:
    description: The cadence of the run, one of V(daily), V(weekly), V(monthly), V(quarterly) and V(yearly).
    type: str
    required: true
  overrides:
    description: Changes to the catalogue, as a mapping of ids or its JSON or YAML text.
    type: raw
  only:
    description: Ids or domains to run, as a list or text such as V(certificates,backups.latest).
    type: raw
  skip:
    description: Ids or domains to leave out, as a list or text.
    type: raw
  force:
    description: Whether to run what is settled for its period too, as a boolean or text.
    type: raw
  run:
    description: The run, as M(cadence.upkeep.run_request) returned it.
    type: dict
    required: true
  state_dir:
    description: The state directory of the host. Without one, the default of M(cadence.upkeep.checkup) holds.
    type: str
  plan_only:
    description: Run nothing; return what would run.
    type: bool
    default: false
extends_documentation_fragment:
  - cadence.upkeep.attributes
  - cadence.upkeep.attributes.action_groups
attributes:
  check_mode:
    support: full
    details:
      - The checks run, but nothing is written to the state directory.
  diff_mode:
    support: N/A
    details:
      - There is nothing to compare.
"""

EXAMPLES = r"""
- name: Run every check that is due, in one call
  cadence.upkeep.run_checks:
    run: "{{ run_request.run }}"
    cadence: weekly
  register: run_checkup
"""

RETURN = r"""
later:
  description: The ids of the checks that wait until all that acts is over; M(cadence.upkeep.run_record) runs them.
  returned: success
  type: list
  elements: str
  sample: [backups.latest]
due:
  description: The acting tasks that are due, in order.
  returned: success
  type: list
  elements: dict
  sample:
    - id: postgres.vacuum
      period: 2026-W47
      digest: 0f3a77b1c2d4e5f6
      role: cadence.upkeep.postgres
      entry: vacuum
      budget: 30m
      registers: postgres_vacuum
planned:
  description: Every task that runs now (with O(plan_only=true), that would run), in order.
  returned: success
  type: list
  elements: dict
  sample:
    - {id: host.memory, cadence: daily, acts: false, limit: 60s, does: Memory that is left}
left_out:
  description: Every other task of the catalogue, and why it does not run.
  returned: success
  type: list
  elements: dict
  sample:
    - {id: certificates.expiry, reason: certificates_inventory is not set for this host}
"""
