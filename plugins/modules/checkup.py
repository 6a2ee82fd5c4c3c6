#!/usr/bin/python
# Copyright (c) 2026 Upkeep maintainers
# GNU General Public License v3.0-or-later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Run a list of read-only checks in one call."""

from __future__ import annotations

DOCUMENTATION = r"""
module: checkup
short_description: Run all read-only checks of a host in one call
version_added: 0.1.0
description:
  - Runs a list of checks side by side, each in a process of its own with a deadline. A check that fails, hangs or has
    bad parameters becomes one finding of severity V(unknown) that names it; the others are not touched.
  - Every check is also a module of its own with the same options, such as M(cadence.upkeep.cert_expiry).
  - A check that belongs to a period is remembered in the state directory of the host. When it was settled in its
    period already, it does not run again; its earlier findings are returned. A check that found more than V(info) is
    not settled, because looking again is cheap and the cause may have been mended.
author:
  - Upkeep maintainers (@cadence-upkeep)
options:
  acting:
    description: Acting tasks of which is asked whether they are due.
    type: list
    elements: dict
    default: []
    suboptions:
      id:
        description: The id of the task.
        type: str
        required: true
      period:
        description: The period that the task is done for.
        type: str
        required: true
      digest:
        description: A fingerprint of the parameters.
        type: str
        default: ""
  force:
    description: Run what is settled for its period too.
    type: bool
    default: false
  plan_only:
    description: Run nothing; return what would run.
    type: bool
    default: false
  run_id:
    description: The id of the run, for the records.
    type: str
    default: ""
  cadence:
    description: The cadence of the run, for the records.
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
      - The checks run, but nothing is written to the state directory.
  diff_mode:
    support: N/A
    details:
      - The module changes nothing but its own records.
"""

EXAMPLES = r"""
- name: Look at the file systems and at two certificates in one round trip
  cadence.upkeep.checkup:
    checks:
      - id: disks
        check: host_health_info
        params:
          subset: [filesystems]
      - id: certificates
        check: cert_expiry
        params:
          files: [/etc/ssl/private/shop.pem]
          endpoints:
            - host: shop.example.com
        deadline: 2m
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
acting:
  description: The acting tasks that their records settle, with their earlier findings.
  returned: success
  type: list
  elements: dict
  sample: []
due:
  description: The ids of the acting tasks that are due.
  returned: success
  type: list
  elements: str
  sample: [postgres.vacuum]
later:
  description: The ids of the checks that wait for an acting task, to see what that leaves.
  returned: success
  type: list
  elements: str
  sample: [backups.latest]
covered:
  description: The checks that another one, which ran, stands for.
  returned: success
  type: list
  elements: dict
  sample: [{id: backups.latest, by: backups.all}]
state:
  description: Where the records are, and what of them had to be mended.
  returned: success
  type: dict
  sample: {directory: /var/lib/upkeep, healed: []}
"""

from ansible.module_utils.basic import AnsibleModule

from ansible_collections.cadence.upkeep.plugins.module_utils._checkup.argspec import CHECKUP_SPEC
from ansible_collections.cadence.upkeep.plugins.module_utils._checkup.checkup import run_checkup
from ansible_collections.cadence.upkeep.plugins.module_utils._core.errors import UpkeepError


def main() -> None:
    # no_log keeps the call out of the system's log: the parameters of a check may hold secrets, which are known
    # only once the check's own argument spec has been applied.
    module = AnsibleModule(argument_spec=CHECKUP_SPEC, supports_check_mode=True, no_log=True)
    try:
        result = run_checkup(module.params, remember=not module.check_mode, learn_secrets=module.no_log_values.update)
    except UpkeepError as error:
        module.fail_json(**error.as_failure())
    # Ansible repeats the arguments in the result. Those of a check may hold a secret under a misspelt name.
    shown = [{**check, "params": sorted(check["params"])} for check in module.params["checks"]]
    module.exit_json(invocation={"module_args": {**module.params, "checks": shown}}, **result)


if __name__ == "__main__":
    main()
