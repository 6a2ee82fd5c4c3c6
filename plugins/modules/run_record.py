#!/usr/bin/python
# Copyright (c) 2026 Upkeep maintainers
# GNU General Public License v3.0-or-later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Remember on the host how its acting tasks ended."""

from __future__ import annotations

DOCUMENTATION = r"""
module: run_record
short_description: Remember on the host how its acting tasks ended
version_added: 0.1.0
description:
  - Closes the run on a host. On the control node, an action plugin turns what the roles of the O(due) tasks registered
    into the common result form (O(tasks)); on the host, the module writes it to the state directory.
  - Runs the checks that waited for those tasks (O(later)), so that they see what the tasks left. The action plugin
    fills them in (O(checks)).
  - The role P(cadence.upkeep.run#role) calls it; there is no reason to call it elsewhere.
author:
  - Upkeep maintainers (@cadence-upkeep)
options:
  due:
    description: The acting tasks, as M(cadence.upkeep.run_checks) returned them. Read on the control node.
    type: list
    elements: dict
  failures:
    description: What Ansible says of the tasks that failed, by their ids. Read on the control node.
    type: dict
  run:
    description: The run, as M(cadence.upkeep.run_request) returned it. Read on the control node.
    type: dict
  later:
    description: >-
      The checks that waited for what acts, as M(cadence.upkeep.run_checks) returned them. Read on the control node.
    type: list
    elements: str
  overrides:
    description: Changes to the catalogue, as a mapping of ids or its JSON or YAML text. Read on the control node.
    type: raw
  only:
    description: Ids or domains to run, as a list or text. Read on the control node.
    type: raw
  skip:
    description: Ids or domains to leave out, as a list or text. Read on the control node.
    type: raw
  force:
    description: Whether to run what is settled for its period too. Read on the control node.
    type: raw
  tasks:
    description: The finished tasks. Filled in by the action plugin.
    type: list
    elements: dict
  run_id:
    description: The id of the run.
    type: str
    default: ""
  cadence:
    description: The cadence of the run.
    type: str
    default: ""
extends_documentation_fragment:
  - cadence.upkeep.checks
  - cadence.upkeep.attributes
  - cadence.upkeep.attributes.action_groups
attributes:
  check_mode:
    support: full
    details:
      - Nothing is written to the state directory.
  diff_mode:
    support: N/A
    details:
      - The module changes nothing but its own records.
"""

EXAMPLES = r"""
- name: Remember what was done
  cadence.upkeep.run_record:
    run: "{{ run_request.run }}"
    due: "{{ run_checkup.due }}"
    failures: "{{ run_failures | default({}) }}"
    later: "{{ run_checkup.later }}"
"""

RETURN = r"""
summary:
  description: >-
    The verdict in short. C(worst) is the worst severity found, C(counts) the number of examined
    objects under the worst severity that each got, C(seconds) the wall time.
  returned: success
  type: dict
  sample: {worst: warning, counts: {ok: 11, info: 0, warning: 1, unknown: 0, critical: 0}, seconds: 0.412}
findings:
  description: What was judged, worst first, each with the id of its task. Codes are listed in the findings page.
  returned: success
  type: list
  elements: dict
  sample:
    - code: host.disk_space
      subject: /var
      severity: warning
      message: /var is 83.1 % full (warning at 80 %, critical at 90 %).
      evidence: {used_bytes: 83100000000, size_bytes: 100000000000}
      remedy: Find what grows with `du -xh --max-depth=2 /var | sort -h | tail`.
      observed_at: "2026-11-22T04:13:00Z"
      task: host.filesystems
actions:
  description: The steps that were planned, done, skipped (with the reason) or failed.
  returned: success
  type: list
  elements: dict
  sample: []
metrics:
  description: Numbers worth keeping, with unit and labels.
  returned: success
  type: list
  elements: dict
  sample:
    - {name: host_filesystem_used_ratio, value: 0.831, unit: ratio, labels: {mount: /var}, task: host.filesystems}
truncated:
  description: How many entries of which list were left out, to keep the result small.
  returned: when something was left out
  type: dict
  sample: {findings: 250}
checks:
  description: >-
    One entry for each task, with how it ended: V(done), V(carried) (settled earlier in its period), V(planned) or
    V(failed).
  returned: success
  type: list
  elements: dict
  sample:
    - id: host.filesystems
      status: done
      period: "2026-11-22"
      worst: warning
      counts: {ok: 3, info: 0, warning: 1, unknown: 0, critical: 0}
      seconds: 0.021
      changed: false
"""

from ansible.module_utils.basic import AnsibleModule

from ansible_collections.cadence.upkeep.plugins.module_utils._checkup.argspec import RECORD_SPEC
from ansible_collections.cadence.upkeep.plugins.module_utils._checkup.checkup import record_tasks
from ansible_collections.cadence.upkeep.plugins.module_utils._core.errors import UpkeepError


def main() -> None:
    # As of checkup: the parameters of a check may hold secrets.
    module = AnsibleModule(argument_spec=RECORD_SPEC, supports_check_mode=True, no_log=True)
    try:
        result = record_tasks(module.params, remember=not module.check_mode, learn_secrets=module.no_log_values.update)
    except UpkeepError as error:
        module.fail_json(**error.as_failure())
    shown = [{**check, "params": sorted(check["params"])} for check in module.params["checks"]]
    module.exit_json(invocation={"module_args": {**module.params, "checks": shown}}, **result)


if __name__ == "__main__":
    main()
