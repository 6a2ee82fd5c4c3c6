#!/usr/bin/python
# Copyright (c) 2026 Upkeep maintainers
# GNU General Public License v3.0-or-later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Documentation of the action plugin of this name, which runs on the control node."""

from __future__ import annotations

DOCUMENTATION = r"""
module: run_report
short_description: Bring all hosts of a run into one report, write it and show it
version_added: 0.1.0
description:
  - Reads what the role P(cadence.upkeep.run#role) registered for each host of the play, one host at a time. A host that
    could not be reached, or to which the run never came, is a row with a finding of severity V(unknown).
  - Writes the canonical JSON and a Markdown page, and prints a summary that is short when nothing is wrong and lists
    the worst findings with their remedies otherwise.
author:
  - Upkeep maintainers (@cadence-upkeep)
options:
  run:
    description: The run, as M(cadence.upkeep.run_request) returned it.
    type: dict
    required: true
  dir:
    description: The directory for the report, below the current one when relative. Empty writes no file.
    type: str
    default: ""
  fail_on:
    description: The severities with which RV(passes) is false, as a list or text.
    type: raw
    default: []
extends_documentation_fragment:
  - cadence.upkeep.attributes
  - cadence.upkeep.attributes.action_groups
attributes:
  check_mode:
    support: full
    details:
      - The report is written, because it is what the run is for; it says that the run was in check mode.
  diff_mode:
    support: N/A
    details:
      - There is nothing to compare.
"""

EXAMPLES = r"""
- name: Write and show the report
  cadence.upkeep.run_report:
    run: "{{ run_request.run }}"
    dir: /var/lib/upkeep/reports
    fail_on: [critical, unknown]
  run_once: true
  delegate_to: localhost
  register: report_result
"""

RETURN = r"""
verdict:
  description: The verdict over all hosts.
  returned: success
  type: dict
  sample:
    word: Attention
    worst: warning
    objects: {ok: 57, info: 0, warning: 1, unknown: 0, critical: 0}
    findings: {ok: 57, info: 0, warning: 1, unknown: 0, critical: 0}
    hosts: {total: 1, examined: 1, unreachable: 0, failed: 0, not run: 0, changed: 1}
passes:
  description: Whether no finding has one of the severities in O(fail_on).
  returned: success
  type: bool
  sample: true
stats:
  description: The summary for C(set_stats).
  returned: success
  type: dict
  sample: {upkeep_verdict: Attention, upkeep_worst: warning}
files:
  description: The files that were written.
  returned: success
  type: list
  elements: str
  sample: [/var/lib/upkeep/reports/latest.md, /var/lib/upkeep/reports/latest.json]
"""
