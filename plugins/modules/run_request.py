#!/usr/bin/python
# Copyright (c) 2026 Upkeep maintainers
# GNU General Public License v3.0-or-later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Documentation of the action plugin of this name, which runs on the control node."""

from __future__ import annotations

DOCUMENTATION = r"""
module: run_request
short_description: Read what a run is asked to do, before any host is touched
version_added: 0.1.0
description:
  - Reads the catalogue with the user's overrides, the cadence, and the ids to run or to skip, and opens the run.
  - Whatever cannot be understood is one error that names it and the next step.
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
  hosts:
    description: The hosts that the run is meant for.
    type: list
    elements: str
    required: true
  now:
    description: The instant that the run takes for now (RFC 3339), for rehearsals and tests.
    type: str
extends_documentation_fragment:
  - cadence.upkeep.attributes
  - cadence.upkeep.attributes.action_groups
attributes:
  check_mode:
    support: full
    details:
      - The request is only read.
  diff_mode:
    support: N/A
    details:
      - There is nothing to compare.
"""

EXAMPLES = r"""
- name: Read the request
  cadence.upkeep.run_request:
    cadence: weekly
    only: certificates,backups.latest
    hosts: "{{ ansible_play_hosts_all }}"
  run_once: true
  register: run_request
"""

RETURN = r"""
run:
  description: The run that was opened.
  returned: success
  type: dict
  sample: {id: 20261122T041300Z-weekly-3fa2, cadence: weekly, started_at: "2026-11-22T04:13:00Z"}
"""
