#!/usr/bin/python
# Copyright (c) 2026 Upkeep maintainers
# GNU General Public License v3.0-or-later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Which Python libraries a host has, and what would supply the others."""

from __future__ import annotations

DOCUMENTATION = r"""
module: prerequisites_info
short_description: See which Python libraries an interpreter can import, and what would supply the others
version_added: 0.1.0
author:
  - Upkeep maintainers (@cadence-upkeep)
description:
  - Tries to import each library by the interpreter that runs the module, or by that of a virtual environment, and names
    the packages of the system, or the command, that would supply what is missing.
  - It changes nothing and works on a bare Python.
options:
  libraries:
    description: What is needed. V(psycopg2) is met by C(psycopg) 3 as well.
    type: list
    elements: str
    choices: [cryptography, docker, jmespath, psycopg2]
    required: true
  virtualenv:
    description:
      - A virtual environment whose interpreter is asked instead. It need not be there yet.
    type: path
  timeout:
    description: How long an interpreter may take to import one library.
    type: str
    default: 30s
extends_documentation_fragment:
  - cadence.upkeep.attributes
  - cadence.upkeep.attributes.read_only
  - cadence.upkeep.attributes.action_groups
seealso:
  - module: cadence.upkeep.prerequisites_virtualenv
"""

EXAMPLES = r"""
- name: See what the tasks on a database host would miss
  cadence.upkeep.prerequisites_info:
    libraries: [psycopg2, cryptography]
  register: prerequisites

- name: See the same for the virtual environment that the tasks use
  cadence.upkeep.prerequisites_info:
    libraries: [psycopg2]
    virtualenv: /opt/upkeep/venv
"""

RETURN = r"""
summary:
  description: >-
    The verdict in short. C(worst) is the worst severity found, C(counts) the number of examined objects under the
    worst severity that each got, C(seconds) the wall time.
  returned: success
  type: dict
  sample: {worst: warning, counts: {ok: 1, info: 0, warning: 1, unknown: 0, critical: 0}, seconds: 0.16}
findings:
  description: What was judged, worst first. Codes are listed in the collection's findings page.
  returned: success
  type: list
  elements: dict
  sample:
    - code: prerequisites.library_missing
      subject: psycopg2
      severity: warning
      message: "The library psycopg2 is missing in /usr/bin/python3.11: No module named 'psycopg2'."
      evidence:
        interpreter: /usr/bin/python3.11
        modules: [psycopg2, psycopg]
        error: No module named 'psycopg2'
      remedy: "Run: apt-get install python3-psycopg2"
      observed_at: "2026-11-22T04:13:00Z"
actions:
  description: Always empty, because the module changes nothing.
  returned: success
  type: list
  elements: dict
  sample: []
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
  sample: {findings: 250}
interpreter:
  description: >-
    The Python that runs modules on the host. C(own) tells whether it is the one that packages of the
    system are made for, C(externally_managed) whether pip must leave it alone (PEP 668).
  returned: success
  type: dict
  sample: {path: /usr/bin/python3.11, version: 3.11.2, virtual: false, externally_managed: true, own: true}
libraries:
  description: Each library, whether it can be imported, and as what.
  returned: success
  type: list
  elements: dict
  sample:
    - {name: cryptography, importable: true, module: cryptography, version: 38.0.4, error: ""}
    - {name: psycopg2, importable: false, module: "", version: "", error: No module named 'psycopg2'}
missing:
  description: The libraries that cannot be imported.
  returned: success
  type: list
  elements: str
  sample: [psycopg2]
package_manager:
  description: The package manager of the system, by the name of its Ansible module; empty when there is none.
  returned: success
  type: str
  sample: apt
packages:
  description: >-
    The packages of the system that supply what is missing; with O(virtualenv), those needed before it can be made.
    Empty when packages of the system cannot reach the interpreter.
  returned: success
  type: list
  elements: str
  sample: [python3-psycopg2]
command:
  description: What a person would type to get what is missing.
  returned: success
  type: str
  sample: apt-get install python3-psycopg2
virtualenv:
  description: >-
    The virtual environment; empty when none was asked for. C(state) is V(absent), V(usable), V(broken), or
    V(foreign) when something else stands there; C(writable) is for the user that ran the module.
  returned: success
  type: dict
  sample: {path: /opt/upkeep/venv, python: /opt/upkeep/venv/bin/python, state: absent, writable: false}
"""

from ansible.module_utils.basic import AnsibleModule

from ansible_collections.cadence.upkeep.plugins.module_utils._core.errors import UpkeepError
from ansible_collections.cadence.upkeep.plugins.module_utils._core.times import utc_now
from ansible_collections.cadence.upkeep.plugins.module_utils._prerequisites.argspec import INFO_SPEC
from ansible_collections.cadence.upkeep.plugins.module_utils._prerequisites.check import look


def main() -> None:
    module = AnsibleModule(argument_spec=INFO_SPEC, supports_check_mode=True)
    try:
        outcome = look(module.params, utc_now())
    except UpkeepError as error:
        module.fail_json(**error.as_failure())
    module.exit_json(**outcome.as_result())


if __name__ == "__main__":
    main()
