#!/usr/bin/python
# Copyright (c) 2026 Upkeep maintainers
# GNU General Public License v3.0-or-later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Take services of a Compose project out of service for a while."""

from __future__ import annotations

DOCUMENTATION = r"""
module: compose_downtime
short_description: Take services of a Compose project out of service, and have them back
version_added: 0.1.0
author:
  - Upkeep maintainers (@cadence-upkeep)
description:
  - For a migration during which nobody may write. Stops the containers of services by their ids, after it has written
    down which ones ran, and starts later those of them that are still there.
  - The role C(app_update) calls it for the services in C(app_update_downtime). After a good update the old containers
    are gone, and the end only says how long the gap was. After one that failed, what was stopped runs again.
requirements:
  - docker (Python library on the host; C(python3-docker) in Debian and Red Hat systems)
options:
  project_name:
    description: The name of the Compose project.
    type: str
    required: true
  state:
    description:
      - With V(begun), what runs of O(services) is stopped. With V(ended), what was stopped and is still there is
        started, and waited for until it is healthy, or runs where it has no health check.
    type: str
    choices: [begun, ended]
    required: true
  services:
    description: The services to stop. Leave out the database, and what tells users of the downtime.
    type: list
    elements: str
  docker_host:
    description: Where the Docker daemon listens. The default is C(DOCKER_HOST), then the usual socket.
    type: str
  stop_timeout:
    description: How long a container may take to end before it is killed.
    type: str
    default: 30s
  health_timeout:
    description: How long a container may take to be healthy again.
    type: str
    default: 2m
  lock_timeout:
    description: How long to wait for another run on this project.
    type: str
    default: "0"
attributes:
  check_mode:
    support: full
  diff_mode:
    support: none
extends_documentation_fragment:
  - cadence.upkeep.run
  - cadence.upkeep.attributes
  - cadence.upkeep.attributes.action_groups
seealso:
  - module: cadence.upkeep.compose_rolling_update
"""

EXAMPLES = r"""
- name: Take the application out of service
  cadence.upkeep.compose_downtime:
    project_name: shop
    state: begun
    services: [backend, worker]

- name: Have back what is still there
  cadence.upkeep.compose_downtime:
    project_name: shop
    state: ended
"""

RETURN = r"""
summary:
  description: >-
    The verdict in short. C(worst) is the worst severity found, C(counts) the number of projects under the worst
    severity that each got, C(seconds) the wall time.
  returned: success
  type: dict
  sample: {worst: info, counts: {ok: 0, info: 1, warning: 0, unknown: 0, critical: 0}, seconds: 1.31}
findings:
  description: What was judged, worst first. Codes are listed in the collection's findings page.
  returned: success
  type: list
  elements: dict
  sample:
    - code: app.downtime
      subject: shop
      severity: info
      message: >-
        shop: nobody serves backend, worker from the stop of 2 containers until the database is migrated and the new
        version has booted.
      evidence: {containers: [shop-backend-1, shop-worker-1]}
      remedy: "Announce it, or update without downtime: app_update_downtime: []."
      observed_at: "2026-11-22T04:13:00Z"
actions:
  description: The containers that were stopped or started, or would be.
  returned: success
  type: list
  elements: dict
  sample:
    - {id: stop shop-backend-1, description: Stop shop-backend-1, status: done, reason: "", seconds: 0.61}
metrics:
  description: How long the gap was, for O(state=ended).
  returned: success
  type: list
  elements: dict
  sample:
    - {name: app_downtime_seconds, value: 21.4, unit: seconds, labels: {project: shop}}
truncated:
  description: How many entries of which list were left out, to keep the result small.
  returned: when something was left out
  type: dict
  sample: {actions: 2}
stopped:
  description: The containers that ran, for O(state=begun).
  returned: success
  type: list
  elements: str
  sample: [shop-backend-1, shop-worker-1]
gap_seconds:
  description: How long it was from the first stop to this end, for O(state=ended); 0 when there was no downtime.
  returned: success
  type: float
  sample: 21.4
"""

from ansible.module_utils.basic import AnsibleModule

from ansible_collections.cadence.upkeep.plugins.module_utils._compose.downtime.argspec import ARGUMENT_SPEC, RULES
from ansible_collections.cadence.upkeep.plugins.module_utils._compose.downtime.run import downtime
from ansible_collections.cadence.upkeep.plugins.module_utils._core.errors import UpkeepError
from ansible_collections.cadence.upkeep.plugins.module_utils._core.times import utc_now


def main() -> None:
    module = AnsibleModule(argument_spec=ARGUMENT_SPEC, supports_check_mode=True, **RULES)
    try:
        ended = downtime(module.params, utc_now(), check_mode=module.check_mode)
    except UpkeepError as error:
        module.fail_json(**error.as_failure())
    result = ended.outcome.as_result()
    if ended.failure:
        module.fail_json(msg=ended.failure, **result)
    module.exit_json(**result)


if __name__ == "__main__":
    main()
