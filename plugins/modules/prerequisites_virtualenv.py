#!/usr/bin/python
# Copyright (c) 2026 Upkeep maintainers
# GNU General Public License v3.0-or-later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A virtual environment that has the pinned versions of what tasks need."""

from __future__ import annotations

DOCUMENTATION = r"""
module: prerequisites_virtualenv
short_description: Bring a virtual environment of its own to pinned versions of libraries
version_added: 0.1.0
author:
  - Upkeep maintainers (@cadence-upkeep)
description:
  - Makes a virtual environment by C(python -m venv) of the interpreter that runs the module, and installs into it by
    its own pip. It needs neither C(virtualenv) nor C(setuptools) nor C(packaging) there, and no root where the user
    may write.
  - An environment that no longer works, as after an upgrade of the system's Python, is made anew. What is no virtual
    environment is never touched.
options:
  path:
    description: Where the environment is, as an absolute path.
    type: path
    required: true
  requirements:
    description: What must be in it, each with its one version. Other projects in it are left as they are.
    type: list
    elements: str
    required: true
  timeout:
    description: How long all of it may take.
    type: str
    default: 10m
extends_documentation_fragment:
  - cadence.upkeep.attributes
  - cadence.upkeep.attributes.action_groups
attributes:
  check_mode:
    support: full
  diff_mode:
    support: full
notes:
  - pip takes its settings (an index, a proxy, certificates) from its own files and from the task's C(environment).
seealso:
  - module: cadence.upkeep.prerequisites_info
"""

EXAMPLES = r"""
- name: Have a virtual environment for the tasks
  cadence.upkeep.prerequisites_virtualenv:
    path: /opt/upkeep/venv
    requirements:
      - psycopg2-binary==2.9.12
      - cryptography==50.0.2

- name: Have it from an index of our own
  cadence.upkeep.prerequisites_virtualenv:
    path: /opt/upkeep/venv
    requirements: [docker==7.2.0]
  environment:
    PIP_INDEX_URL: https://pypi.example.com/simple
"""

RETURN = r"""
summary:
  description: >-
    The verdict in short. C(worst) is the worst severity found, C(counts) the number of examined objects under the
    worst severity that each got, C(seconds) the wall time.
  returned: success
  type: dict
  sample: {worst: ok, counts: {ok: 2, info: 0, warning: 0, unknown: 0, critical: 0}, seconds: 6.21}
findings:
  description: >-
    What is still missing, in check mode or after a step that failed. Codes are listed in the collection's findings
    page.
  returned: success
  type: list
  elements: dict
  sample:
    - code: prerequisites.library_missing
      subject: psycopg2-binary==2.9.12
      severity: warning
      message: psycopg2-binary==2.9.12 is not in the virtual environment /opt/upkeep/venv.
      evidence: {virtualenv: /opt/upkeep/venv, project: psycopg2-binary, version: 2.9.12}
      remedy: "Run: /opt/upkeep/venv/bin/python -m pip install psycopg2-binary==2.9.12"
      observed_at: "2026-11-22T04:13:00Z"
actions:
  description: The steps that were planned, done, skipped (with the reason) or failed.
  returned: success
  type: list
  elements: dict
  sample:
    - id: make
      description: Make the virtual environment /opt/upkeep/venv by /usr/bin/python3.11 (Python 3.11.2)
      status: done
      reason: ""
      seconds: 3.1
    - id: install
      description: Install psycopg2-binary==2.9.12 (there is none)
      status: done
      reason: ""
      seconds: 2.9
metrics:
  description: Always empty.
  returned: success
  type: list
  elements: dict
  sample: []
truncated:
  description: How many entries of which list were left out, to keep the result small.
  returned: when something was left out
  type: dict
  sample: {actions: 250}
virtualenv:
  description: Where the environment and its interpreter are.
  returned: success
  type: dict
  sample: {path: /opt/upkeep/venv, python: /opt/upkeep/venv/bin/python}
"""

from ansible.module_utils.basic import AnsibleModule

from ansible_collections.cadence.upkeep.plugins.module_utils._core.errors import UpkeepError
from ansible_collections.cadence.upkeep.plugins.module_utils._core.times import utc_now
from ansible_collections.cadence.upkeep.plugins.module_utils._prerequisites.argspec import VIRTUALENV_SPEC
from ansible_collections.cadence.upkeep.plugins.module_utils._prerequisites.check import provide


def main() -> None:
    module = AnsibleModule(argument_spec=VIRTUALENV_SPEC, supports_check_mode=True)
    try:
        provided = provide(module.params, utc_now(), module.check_mode)
    except UpkeepError as error:
        module.fail_json(**error.as_failure())
    result = provided.as_result()
    if module._diff:
        result["diff"] = provided.diff
    if provided.error is not None:
        module.fail_json(**provided.error.as_failure(), **result)
    module.exit_json(**result)


if __name__ == "__main__":
    main()
