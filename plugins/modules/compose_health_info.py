#!/usr/bin/python
# Copyright (c) 2026 Upkeep maintainers
# GNU General Public License v3.0-or-later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Look at Compose projects: what should run, what does, and how it is."""

from __future__ import annotations

DOCUMENTATION = r"""
module: compose_health_info
short_description: Look at Compose projects, what should run, what does, and how it is
version_added: 0.1.0
author:
  - Upkeep maintainers (@cadence-upkeep)
description:
  - Compares what the files of a Compose project say with what the daemon has. Found are services that are missing or
    down, replicas that lack, containers that are unhealthy, paused or restart again and again, ends for want of memory,
    one-shots that failed, containers of no service, and containers made from another configuration or image than the
    files have now.
  - Which services there should be is asked of Compose itself (C(docker compose config)). Without O(project_src), the
    files are found by the labels of the containers. Where they cannot be read, what is there is judged by its labels
    alone, and a finding says so.
  - Nothing is changed, and no value of an environment is returned.
  - The module fails when the daemon cannot be asked; in a checkup that is a finding of severity V(unknown).
requirements:
  - docker (Python library on the host; C(python3-docker) in Debian and Red Hat systems)
  - Docker Compose 2.18 or newer, to know what should run
options:
  project_src:
    description:
      - The folder of the project.
      - Without it, and without O(project_name), every project of the daemon is looked at.
    type: path
  project_name:
    description: The name of the project. The default is the one that Compose gives it.
    type: str
  files:
    description: The Compose files, from O(project_src) on. The default are those that Compose takes.
    type: list
    elements: path
    default: []
  env_files:
    description: The files with variables of the Compose files, from O(project_src) on. The default is C(.env).
    type: list
    elements: path
    default: []
  profiles:
    description: The profiles that are active.
    type: list
    elements: str
    default: []
  docker_host:
    description: Where the Docker daemon listens. The default is C(DOCKER_HOST), then the usual socket.
    type: str
  cli:
    description: The program C(docker), by name or path.
    type: str
    default: docker
  services:
    description:
      - The services to look at, as names or shell patterns. None is all of them.
      - One that is named without a pattern must be there.
    type: list
    elements: str
    default: []
  ignore_services:
    description: Services that are not looked at, as names or shell patterns.
    type: list
    elements: str
    default: []
  one_shots:
    description:
      - Services, as names or shell patterns, whose containers are meant to end, with status 0.
      - So are those for whose end another service waits (C(service_completed_successfully)), those with the restart
        policy C(on-failure), and containers with the label C(upkeep.one-shot=true).
    type: list
    elements: str
    default: []
  lock_file:
    description:
      - A file in the form of a Compose file, from O(project_src) on, with the image that each service shall run, as
        C(docker compose config --lock-image-digests) writes it. An image is named by its digest, its id or its tag.
    type: path
  require_healthcheck:
    description: Whether a container without a health check is a warning.
    type: bool
    default: false
  restarts_warning:
    description: From how many restarts of a container on is a warning, when the last one was within O(window).
    type: int
    default: 1
  restarts_critical:
    description: From how many restarts of a container on is critical, when the last one was within O(window).
    type: int
    default: 5
  window:
    description: How far back restarts, and ends for want of memory, count.
    type: str
    default: 24h
  starting_limit:
    description: How long a container may take to become healthy.
    type: str
    default: 5m
  timeout:
    description: How long each call of Compose may take.
    type: str
    default: 30s
extends_documentation_fragment:
  - cadence.upkeep.attributes
  - cadence.upkeep.attributes.read_only
  - cadence.upkeep.attributes.action_groups
notes:
  - The daemon remembers some hundred events, and none from before its start. Processes that were killed for want of
    memory in containers that run on are found for that long only.
seealso:
  - module: cadence.upkeep.docker_cleanup
"""

EXAMPLES = r"""
- name: Look at every project of the host
  cadence.upkeep.compose_health_info:
  register: health

- name: Look at one project, and compare its images with those that were released
  cadence.upkeep.compose_health_info:
    project_src: /srv/shop
    files: [compose.yaml, compose.prod.yaml]
    profiles: [workers]
    lock_file: compose.lock.yaml
    one_shots: [migrate]
    require_healthcheck: true
"""

RETURN = r"""
summary:
  description: >-
    The verdict in short. C(worst) is the worst severity found, C(counts) the number of services under the worst
    severity that each got, C(seconds) the wall time.
  returned: success
  type: dict
  sample: {worst: critical, counts: {ok: 3, info: 0, warning: 0, unknown: 0, critical: 1}, seconds: 0.182}
findings:
  description: What was judged, worst first. Codes are listed in the collection's findings page.
  returned: success
  type: list
  elements: dict
  sample:
    - code: compose.service_down
      subject: shop/web
      severity: critical
      message: "shop/web: nothing of it runs; shop-web-1 is exited (status 3)."
      evidence:
        expected: 1
        running: 0
        containers: 1
        container: shop-web-1
        status: exited
        health: ""
        exit_code: 3
        restarts: 0
        started_at: "2026-11-22T04:12:20Z"
        finished_at: "2026-11-22T04:12:31Z"
      remedy: >-
        Read why (docker compose logs --tail 50 SERVICE), then start it: docker compose up -d SERVICE. If it is meant to
        end, say so in one_shots.
      observed_at: "2026-11-22T04:13:00Z"
actions:
  description: Always empty, because the module changes nothing.
  returned: success
  type: list
  elements: dict
  sample: []
metrics:
  description: How many containers of each service run, and how often they were restarted.
  returned: success
  type: list
  elements: dict
  sample:
    - {name: compose_running, value: 2, unit: count, labels: {project: shop, service: web}}
truncated:
  description: How many entries of which list were left out, to keep the result small.
  returned: when something was left out
  type: dict
  sample: {services: 250}
projects:
  description: Each project, and whether it is known what should run of it.
  returned: success
  type: list
  elements: dict
  sample:
    - {name: shop, expected_known: true, containers: 4}
services:
  description: Each service, healthy or not. C(expected) is null where it is not known what should run.
  returned: success
  type: list
  elements: dict
  sample:
    - project: shop
      service: web
      expected: 1
      running: 1
      one_shot: false
      containers:
        - name: shop-web-1
          id: 2b253dfb83d7
          status: running
          health: healthy
          exit_code: 0
          restarts: 0
          oom_killed: false
          started_at: "2026-11-22T04:12:20Z"
          image: registry.example.com/shop:1.4
          image_id: sha256:5a4e1e71bd06129f3c701464a222a7edf087cab809a57ce32a06f4b866ae27a7
"""

from ansible.module_utils.basic import AnsibleModule

from ansible_collections.cadence.upkeep.plugins.module_utils._compose.health.argspec import ARGUMENT_SPEC
from ansible_collections.cadence.upkeep.plugins.module_utils._compose.health.check import check
from ansible_collections.cadence.upkeep.plugins.module_utils._core.errors import UpkeepError
from ansible_collections.cadence.upkeep.plugins.module_utils._core.times import utc_now


def main() -> None:
    module = AnsibleModule(argument_spec=ARGUMENT_SPEC, supports_check_mode=True)
    try:
        outcome = check(module.params, utc_now())
    except UpkeepError as error:
        module.fail_json(**error.as_failure())
    module.exit_json(**outcome.as_result())


if __name__ == "__main__":
    main()
