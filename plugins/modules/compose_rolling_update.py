#!/usr/bin/python
# Copyright (c) 2026 Upkeep maintainers
# GNU General Public License v3.0-or-later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Update the services of a Compose project one container at a time."""

from __future__ import annotations

DOCUMENTATION = r"""
module: compose_rolling_update
short_description: Update Compose services without a gap, and take it back when that fails
version_added: 0.1.0
description:
  - Brings the containers of a Compose project to what its files and images say, one after the other. A new container is
    started and must be ready before an old one is drained and stopped. Where two cannot run side by side, the old one
    goes first, and the plan says for how long nobody serves.
  - What is there already is left alone. Containers are compared as Compose does, by the hash of their configuration and
    the id of their image.
  - Old containers are kept, stopped, until all services are updated and the smoke tests pass. When anything fails, they
    are started again as they were, those of services too that were updated before, and the new ones are removed.
  - Every step is in a journal on the disk before it is done. A run that was killed, whenever that was, is ended by the
    next one.
  - Containers are made by Compose itself and keep the names, numbers, labels and networks that it would give them, so
    that C(docker compose up) has nothing to do afterwards.
author:
  - Upkeep maintainers (@cadence-upkeep)
requirements:
  - docker (Python library on the host; C(python3-docker) in Debian and Red Hat systems)
  - jmespath (Python library on the host; C(python3-jmespath)), for C(query) alone
  - Docker Engine with API 1.41 (20.10) or newer, and Compose 2.18 or newer
notes:
  - The module fails for every RV(outcome) but V(unchanged), V(updated) and V(resumed). A rollback that went well is a
    failed update. The result is complete all the same, for C(rescue).
  - No failed request at all needs three things. New containers get requests only when they are ready (O(traffic), or a
    proxy that asks for their health), old ones get none when they are told to end (O(drain)), and the program ends what
    it has begun on SIGTERM. The page on rolling updates says what that means for each proxy.
  - Two runs for one project exclude each other; the second says who holds the lock.
  - SIGTERM, SIGINT and SIGHUP let the run take the update back before it ends.
options:
  project_src:
    description: The directory of the project. One of this and O(definition) is needed.
    type: path
  project_name:
    description: The name of the project, where that is not the one that Compose makes. Needed with O(definition).
    type: str
  files:
    description: The Compose files, from O(project_src) on, in their order. The default is what Compose finds there.
    type: list
    elements: path
    default: []
  env_files:
    description: Files with variables for the Compose files, instead of C(.env).
    type: list
    elements: path
    default: []
  profiles:
    description: The profiles that are active.
    type: list
    elements: str
    default: []
  definition:
    description: The model of the project itself, instead of files.
    type: dict
  docker_host:
    description: Where the daemon is. The default is E(DOCKER_HOST), else the usual socket.
    type: str
  cli:
    description: The client of Docker, which has the plugin C(compose).
    type: str
    default: docker
  services:
    description: The services to update. The default is every service whose containers are not what they should be.
    type: list
    elements: str
    default: []
  pull:
    description:
      - Whether images are pulled first, before any container is touched.
      - In check mode nothing is pulled; the plan then says that the image is unknown.
    type: str
    choices: [never, missing, always]
    default: never
  build:
    description: Whether the images of services with a C(build) section are built first. In check mode they are not.
    type: str
    choices: [never, always]
    default: never
  force:
    description: Whether containers are replaced that are what they should be.
    type: bool
    default: false
  scale:
    description:
      - How many containers services are to have. The default is C(deploy.replicas) or C(scale) of the model, else as
        many as run.
    type: dict
    default: {}
  peers:
    description:
      - Sets of services that serve the same, as C([[backend1, backend2, backend3]]). They are rolled one after the
        other, those first that do not serve, and none is stopped unless all others of its set are well.
    type: list
    elements: list
    default: []
  on_conflict:
    description:
      - What to do where two containers of a service cannot run side by side. That is so with C(container_name), a fixed
        port of the host, a fixed address, C(network_mode) C(host), shared namespaces, an exclusive volume, volumes
        without a name (unless O(anonymous_volumes) is V(renew)), one-shots, and images known as databases.
      - With V(stop_first) the old one goes first, with V(fail) the update is refused.
    type: str
    choices: [stop_first, fail]
    default: stop_first
  exclusive_volumes:
    description:
      - Volumes that two containers must not have at one time, by their name in the model or at the daemon. The label
        C(rolling.exclusive=true) on a volume says the same. One that no service mounts is refused.
    type: list
    elements: str
    default: []
  order: &order
    description:
      - Which comes first. The default is C(order) in C(deploy.update_config), else V(auto), which is V(start-first)
        where that is possible.
    type: str
    choices: [auto, start-first, stop-first]
  parallelism: &parallelism
    description: How many are replaced at a time, 0 for all. The default is that of C(update_config), else 1.
    type: int
  delay: &delay
    description: The pause between two batches. The default is that of C(update_config), else none.
    type: str
  health_timeout: &health_timeout
    description: How long new containers may take from their start until they are ready. The default is V(120s).
    type: str
  no_healthcheck: &no_healthcheck
    description:
      - What counts for a service without a health check. With V(running), the default, it has to run for O(monitor)
        without a restart; V(probe) demands O(probe) as well; V(fail) refuses the update.
    type: str
    choices: [running, probe, fail]
  probe: &probe
    description:
      - What must answer before a container counts as ready, besides its health check. The host asks the address of the
        container. A probe that fails before the update already does not count.
    type: dict
    suboptions:
      type:
        description: How to ask.
        type: str
        choices: [http, tcp, exec]
        default: http
      port:
        description: The port in the container, for V(http) and V(tcp).
        type: int
      scheme:
        description: With V(https) the certificate is not verified, as it does not stand for the address.
        type: str
        choices: [http, https]
        default: http
      path:
        description: The path to ask for.
        type: str
        default: /
      headers:
        description: Headers of the request. C(Host) is the service's name unless it is here.
        type: dict
        default: {}
      expect:
        description: The statuses that are well, as V(200) or V(2xx).
        type: list
        elements: str
        default: [2xx, 3xx]
      query:
        description: A JMESPath expression on a JSON body.
        type: str
      value:
        description: What it has to find. The default is anything that counts as true.
        type: raw
      command:
        description: The program, with its arguments, that has to end well in the container, for V(exec).
        type: list
        elements: str
        default: []
      interval:
        description: The pause between two questions.
        type: str
        default: 500ms
      timeout:
        description: How long one question may take.
        type: str
        default: 2s
      successes:
        description: How many in a row make it ready.
        type: int
        default: 3
  fail_fast: &fail_fast
    description:
      - Whether the first V(unhealthy) of a health check ends the update. The default is V(false), so that it may become
        healthy until O(health_timeout), as on a busy host.
    type: bool
  monitor: &monitor
    description: How long a new container must stay ready, without a restart. The default is that of C(update_config),
      else V(5s).
    type: str
  traffic: &traffic
    description: How requests are led to new containers and away from old ones.
    type: dict
    suboptions:
      mode:
        description:
          - With V(none) by whatever stands before them, on its own.
          - With V(dns_gate) a new container is started without its names in the project's networks and gets them when
            it is ready. Connections that it has opened in those networks before are lost then.
          - With V(hook) a program of yours is called.
          - With V(nginx) the configuration of O(traffic.service) is checked and reloaded. With O(traffic.file), its
            list of servers is written before; without, names in its configuration are resolved anew.
        type: str
        choices: [none, dns_gate, hook, nginx]
        default: none
      hook:
        description:
          - The program, with its arguments. It gets a JSON object with C(project), C(service), C(phase) (V(publish) or
            V(withdraw)), C(live) and C(leaving), on its standard input, or, with O(traffic.service), in the container
            as its last argument. Each entry has C(id), C(name), C(address), C(networks) and C(image_id).
        type: list
        elements: str
        default: []
      service:
        description: The service of the proxy.
        type: str
      file:
        description: The file on the host with the servers of the upstream, which nginx includes. A relative path
          begins at O(project_src).
        type: path
      server:
        description: A line of that file. C({address}), C({port}) and C({name}) stand for those of a container.
        type: str
        default: "server {address}:{port} max_fails=0;"
      port:
        description: The port on which the containers listen.
        type: int
      settle:
        description: The pause after each change, until the proxy has taken it up.
        type: str
        default: 1s
      timeout:
        description: How long the proxy or the hook may take.
        type: str
        default: 30s
  drain: &drain
    description: What is done with an old container before SIGTERM. A failure is a finding, and the update goes on.
    type: dict
    suboptions:
      command:
        description: A program, with its arguments, to run in it.
        type: list
        elements: str
        default: []
      file:
        description: A file to make in it, which its health page reads, so that proxies leave it.
        type: str
      signal:
        description: A signal for its first process.
        type: str
      inflight:
        description: A program in it that ends well as soon as no request is in flight, asked again and again.
        type: list
        elements: str
        default: []
      wait:
        description: The pause after that, in which proxies notice.
        type: str
        default: "0"
      timeout:
        description: How long a program may take.
        type: str
        default: 30s
  stop_timeout: &stop_timeout
    description: How long a container may take to end before it is killed. The default is its C(stop_grace_period), else
      10 seconds.
    type: str
  max_failure_ratio: &max_failure_ratio
    description: The share of a service's containers that may fail without failing the update. The default is that of
      C(update_config), else 0.
    type: float
  anonymous_volumes: &anonymous_volumes
    description:
      - What becomes of volumes without a name. With V(inherit), the default, the new container takes them over with
        their data, so that the old one goes first. With V(renew) it gets empty ones, and the old are removed in the
        end.
    type: str
    choices: [inherit, renew]
  policies:
    description: What is different for single services.
    type: list
    elements: dict
    default: []
    suboptions:
      service:
        description: The service.
        type: str
        required: true
      order: *order
      parallelism: *parallelism
      delay: *delay
      health_timeout: *health_timeout
      no_healthcheck: *no_healthcheck
      probe: *probe
      fail_fast: *fail_fast
      monitor: *monitor
      traffic: *traffic
      drain: *drain
      stop_timeout: *stop_timeout
      max_failure_ratio: *max_failure_ratio
      anonymous_volumes: *anonymous_volumes
  failure_action:
    description:
      - What to do when a batch fails. V(rollback) takes everything back, V(pause) leaves it as it stands for you to
        look at, V(continue) takes back the batch alone and goes on.
      - The default is that of C(update_config), else V(rollback).
    type: str
    choices: [rollback, pause, continue]
  smoke:
    description:
      - Tests of the whole after all services are updated. One that fails takes everything back. One that failed before
        the update does not count.
    type: list
    elements: dict
    default: []
    suboptions:
      name:
        description: What results call it.
        type: str
      url:
        description: The address to ask, from this host.
        type: str
      headers:
        description: Headers of the request.
        type: dict
        default: {}
      expect:
        description: The statuses that are well.
        type: list
        elements: str
        default: [2xx, 3xx]
      query:
        description: A JMESPath expression on a JSON body.
        type: str
      value:
        description: What it has to find. The default is anything that counts as true.
        type: raw
      verify:
        description: Whether the certificate is verified.
        type: bool
        default: true
      command:
        description: A program, with its arguments, that has to end well, instead of an address.
        type: list
        elements: str
        default: []
      service:
        description: The service in whose first container it is run. The default is this host.
        type: str
      attempts:
        description: How often it is tried.
        type: int
        default: 3
      interval:
        description: The pause between two attempts.
        type: str
        default: 1s
      timeout:
        description: How long one attempt may take.
        type: str
        default: 10s
  keep_old:
    description: With V(none), old containers are removed when they are stopped. Then nothing can bring them back.
    type: str
    choices: [until_commit, none]
    default: until_commit
  keep_images:
    description: How many older images of each repository keep a tag C(upkeep-rollback-...), so that no prune takes
      them.
    type: int
    default: 3
  rename:
    description: Whether containers get the names in the end that Compose would give them, from 1 on.
    type: bool
    default: true
  resume:
    description:
      - What to do with the work of a run that was cut off. With V(auto) it is carried on, or taken back first when the
        project has changed since. V(rollback) takes it back and ends there, V(fail) only says so.
    type: str
    choices: [auto, rollback, fail]
    default: auto
  min_free:
    description: What must be free on the disk of the daemon before anything is touched. V(0) is for no such check.
    type: str
    default: 256MiB
  show_logs:
    description: Whether the result has the last lines of the log of a container that failed.
    type: bool
    default: true
  lock_timeout:
    description: How long to wait for another run that holds the lock.
    type: str
    default: "0"
  timeout:
    description: How long all of it may take. What is over that is taken back.
    type: str
    default: 30m
attributes:
  check_mode:
    support: full
  diff_mode:
    support: full
extends_documentation_fragment:
  - cadence.upkeep.run
  - cadence.upkeep.attributes
  - cadence.upkeep.attributes.action_groups
"""

EXAMPLES = r"""
- name: Update the shop without a gap
  cadence.upkeep.compose_rolling_update:
    project_src: /srv/shop
    pull: always
  become: true

- name: Replace the web containers behind nginx, which gets the list of servers from a file
  cadence.upkeep.compose_rolling_update:
    project_src: /srv/shop
    services: [web]
    probe:
      port: 8000
      path: /health
      query: status
      value: ok
    traffic:
      mode: nginx
      service: proxy
      file: /srv/shop/upstreams/web.conf
      port: 8000
    smoke:
      - url: http://127.0.0.1/health
  become: true

- name: Roll three services that serve the same one by one, behind haproxy, which asks for their health
  cadence.upkeep.compose_rolling_update:
    project_src: /srv/shop
    peers: [[backend1, backend2, backend3]]
    drain:
      file: /tmp/drain
      wait: 3s
  become: true

- name: Say what an update would do
  cadence.upkeep.compose_rolling_update:
    project_src: /srv/shop
  check_mode: true
  diff: true
  become: true
"""

RETURN = r"""
summary:
  description: The verdict in short. C(summary.worst) is the worst severity found, C(summary.counts) the number of
    examined services under the worst severity that each got, C(summary.seconds) the wall time.
  returned: success
  type: dict
  sample: {worst: info, counts: {ok: 1, info: 1, warning: 0, unknown: 0, critical: 0}, seconds: 9.262}
findings:
  description: What was judged, worst first. Codes are listed in the collection's findings page.
  returned: success
  type: list
  elements: dict
  sample:
    - code: compose.gap_expected
      subject: shop/web
      severity: info
      message: "web: nobody serves from the stop of the old container (up to 1s) until the new one is ready (as long as
        it takes to boot), because container_name fixedweb."
      evidence: {order: stop-first, why: container_name fixedweb}
      remedy: Take away what only one container can have, put a proxy before it, or accept the gap.
      observed_at: "2026-11-22T11:22:38Z"
actions:
  description: The steps that were planned, done, skipped (with the reason) or failed.
  returned: success
  type: list
  elements: dict
  sample:
    - {id: web/create, description: Create 1 of web, status: done, reason: "", seconds: 0.263}
metrics:
  description: Numbers for a time series.
  returned: success
  type: list
  elements: dict
  sample:
    - {name: compose_roll_seconds, value: 6.85, unit: seconds, labels: {project: shop}}
truncated:
  description: How many entries of which list were left out, to keep the result small.
  returned: when something was left out
  type: dict
  sample: {running: 12}
outcome:
  description:
    - V(unchanged), V(updated), or V(resumed) when the work of a run that was cut off was ended; the module fails for
      all others.
    - V(rolled_back) when what ran before runs again, V(rollback_failed) when not all of it does (see RV(lost)),
      V(paused) and V(incomplete) as O(failure_action) asks, V(refused) when nothing was touched.
  returned: always
  type: str
  sample: updated
project:
  description: The name of the project.
  returned: success
  type: str
  sample: shop
plan:
  description: What was planned for each service with a reason, in the order in which they are taken.
  returned: success
  type: list
  elements: dict
  sample:
    - service: web
      reason: [config_hash]
      order: start-first
      why: two of them can run side by side
      replicas: 2
      downtime_expected: none
      from:
        - image: shop:1
          image_id: sha256:42e438dec2a93caaa6fa287a1cc9b662f8d307f6f7738f6e3ff5fd3722005c01
          hash: 13c011aa7576432abe87b789a7d22d56f0e463dab475a33a989961ffa0352009
      to:
        image: shop:2
        image_id: sha256:c0ffee1f8a27b4a1cf60d9feafc7a96b8ff0a4ce0d4d1a4dfba7cc4d11ab87f7
        hash: 25aa00d611a21b8cbd547dae1265296a369ef4c5896d7d23f9304e39e96494f5
      steps:
        - create and start 1 new container, wait until it is ready; drain and stop shop-web-2
        - create and start 1 new container, wait until it is ready; drain and stop shop-web-1
services:
  description: What became of each service in the plan. C(downtime_seconds) is measured.
  returned: success
  type: dict
  sample:
    web:
      reason: [config_hash]
      order: start-first
      why: two of them can run side by side
      replicas: 2
      hash: 25aa00d611a21b8cbd547dae1265296a369ef4c5896d7d23f9304e39e96494f5
      image: shop:2
      image_id: sha256:c0ffee1f8a27b4a1cf60d9feafc7a96b8ff0a4ce0d4d1a4dfba7cc4d11ab87f7
      downtime_expected: none
      downtime_seconds: 0.0
      batches:
        - old: [shop-web-2]
          new: [88c000d84ea6]
          healthy_after_s: 1.169
          drained_s: 0.006
          stopped_s: 0.74
          sigkilled: []
          result: replaced
running:
  description: The containers of the project in the end, those too that do not run. Empty in check mode.
  returned: success
  type: list
  elements: dict
  sample:
    - id: 88c000d84ea6
      name: shop-web-1
      service: web
      image: shop:2
      image_id: sha256:c0ffee1f8a27b4a1cf60d9feafc7a96b8ff0a4ce0d4d1a4dfba7cc4d11ab87f7
      hash: 25aa00d611a21b8cbd547dae1265296a369ef4c5896d7d23f9304e39e96494f5
      state: running
      health: healthy
removed:
  description: The names of the old containers that were removed.
  returned: success
  type: list
  elements: str
  sample: [shop-web-2, shop-web-1]
journal_id:
  description: What the run is called in the tags of images that it has kept. Empty when there was nothing to do.
  returned: success
  type: str
  sample: 20261122T111715Z-7307
error:
  description:
    - Why it failed. C(kind) is one word, C(phase) the step. C(logs_tail) has the last lines of the container.
    - Where nothing was begun, C(kind) is one of V(invalid_input), V(config_invalid), V(library_missing),
      V(engine_unreachable), V(locked), V(state_unusable), V(command_failed), V(compose_missing), V(compose_too_old),
      V(engine_too_old), V(unfinished_previous), V(network_changed), V(pull_failed), V(build_failed), V(image_missing),
      V(no_healthcheck).
    - Later it is one of V(conflict), V(no_space), V(create_failed),
      V(start_failed), V(exited), V(oom), V(unhealthy), V(health_timeout), V(restarted), V(probe_failed),
      V(hook_failed), V(peers_down), V(smoke_failed), V(drift_after), V(engine_refused), V(remove_failed), V(timeout),
      V(interrupted), V(failed).
  returned: success
  type: dict
  sample:
    kind: exited
    service: web
    container: shop-web-3
    phase: gate
    message: shop-web-3 ended with exit code 1.
    logs_tail: "Traceback (most recent call last): ..."
lost:
  description: What could not be brought back, in sentences.
  returned: success
  type: list
  elements: str
  sample: ["web: shop-web-1 is gone."]
"""

from ansible.module_utils.basic import AnsibleModule

from ansible_collections.cadence.upkeep.plugins.module_utils._compose.roll.argspec import ARGUMENT_SPEC, RULES
from ansible_collections.cadence.upkeep.plugins.module_utils._compose.roll.report import kind_of
from ansible_collections.cadence.upkeep.plugins.module_utils._compose.roll.run import roll
from ansible_collections.cadence.upkeep.plugins.module_utils._core.errors import UpkeepError
from ansible_collections.cadence.upkeep.plugins.module_utils._core.times import utc_now


def main() -> None:
    module = AnsibleModule(argument_spec=ARGUMENT_SPEC, supports_check_mode=True, **RULES)
    try:
        rolled = roll(module.params, utc_now(), module.check_mode)
    except UpkeepError as error:
        refused = {"kind": kind_of(error), "message": error.message}
        module.fail_json(**error.as_failure(), outcome="refused", error=refused)
    result = rolled.as_result()
    if module._diff:
        result["diff"] = {"before": rolled.before, "after": rolled.after}
    if rolled.failure:
        module.fail_json(msg=rolled.failure, **result)
    module.exit_json(**result)


if __name__ == "__main__":
    main()
