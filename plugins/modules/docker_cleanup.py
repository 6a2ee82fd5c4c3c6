#!/usr/bin/python
# Copyright (c) 2026 Upkeep maintainers
# GNU General Public License v3.0-or-later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Clear away what a Docker daemon has and nobody needs."""

from __future__ import annotations

DOCUMENTATION = r"""
module: docker_cleanup
short_description: Clear away stopped containers, old images and build cache, one by one
version_added: 0.1.0
author:
  - Upkeep maintainers (@cadence-upkeep)
description:
  - Lists what a daemon has, decides about each object by its age, its use, its names and its labels, and removes what
    is left one by one, by its id, each looked at once more just before. Nothing is ever pruned as a whole.
  - Never removed are what runs or is used, the images that an update can be taken back to (tags that begin with
    C(upkeep-rollback-)), and what O(keep) or O(keep_label) spare. Of each repository the newest images stay.
  - A volume is removed only when O(volumes) has its exact name and no container mounts it. Containers are removed
    without their anonymous volumes, because those may hold data.
  - In check mode the whole plan is returned, with the bytes of each object.
requirements:
  - docker (Python library on the host; C(python3-docker) in Debian and Red Hat systems)
options:
  docker_host:
    description: Where the Docker daemon listens. The default is C(DOCKER_HOST), then the usual socket.
    type: str
  kinds:
    description:
      - What to clear away.
      - V(containers) are those that have ended, or were never started. V(dangling_images) have neither a name nor a
        digest. V(images) have a name, and no container. V(build_cache) is what builds keep. V(networks) are those of
        Compose projects without any container.
    type: list
    elements: str
    choices: [containers, dangling_images, images, build_cache, networks]
    default: [containers, dangling_images, build_cache]
  containers_older_than:
    description: How long ago a container must have ended, or been made if it never ran.
    type: str
    default: 7d
  dangling_older_than:
    description: How long ago an image without a name must have been made or named last.
    type: str
    default: 2d
  images_older_than:
    description:
      - How long ago an image with a name must have been given one on this host the last time, by a build, a pull or a
        tag. One of which that is not known stays.
    type: str
    default: 30d
  cache_older_than:
    description: How long ago a piece of build cache must have been used.
    type: str
    default: 7d
  networks_older_than:
    description: How long ago a network must have been made.
    type: str
    default: 7d
  compose_containers:
    description:
      - Whether stopped containers of Compose projects are removed too. Those of C(docker compose run) always are.
      - A service that somebody stopped, and what an update keeps to be able to go back, are such containers.
    type: bool
    default: false
  keep:
    description: What stays, as shell patterns on the names of containers, images (C(repository:tag)) and networks.
    type: list
    elements: str
    default: []
  only_labels:
    description:
      - Labels (C(name) or C(name=value)) that an object must have, all of them, to go. The build cache has none.
    type: list
    elements: str
    default: []
  keep_label:
    description: The label with which an object stays, whatever its value, unless that is V(false).
    type: str
    default: upkeep.keep
  keep_per_repository:
    description: How many images of each repository stay, the newest ones.
    type: int
    default: 2
  volumes:
    description: The exact names of volumes that are removed unless a container mounts them. They have no age.
    type: list
    elements: str
    default: []
  time_limit:
    description: After this time, nothing more is begun.
    type: str
    default: 30m
  lock_timeout:
    description: How long to wait for another run on this host.
    type: str
    default: "0"
attributes:
  check_mode:
    support: full
  diff_mode:
    support: full
    details:
      - Shows what is removed.
extends_documentation_fragment:
  - cadence.upkeep.run
  - cadence.upkeep.attributes
  - cadence.upkeep.attributes.action_groups
notes:
  - The bytes of an image are those of the layers that no other image has. When several images with layers in common go,
    more becomes free than their sum.
seealso:
  - module: cadence.upkeep.compose_health_info
"""

EXAMPLES = r"""
- name: Look what could be cleared away
  cadence.upkeep.docker_cleanup:
    kinds: [containers, dangling_images, images, build_cache, networks]
  check_mode: true
  register: cleanup

- name: Clear away what nobody has used for two months, but nothing of the registry of releases
  cadence.upkeep.docker_cleanup:
    kinds: [containers, dangling_images, images, build_cache]
    images_older_than: 60d
    cache_older_than: 60d
    keep: ["registry.example.com/releases/*"]

- name: Remove a volume of a project that is gone
  cadence.upkeep.docker_cleanup:
    kinds: []
    volumes: [oldshop_uploads]
"""

RETURN = r"""
summary:
  description: >-
    The verdict in short. C(worst) is the worst severity found, C(counts) the number of kinds of objects under the worst
    severity that each got, C(seconds) the wall time.
  returned: success
  type: dict
  sample: {worst: info, counts: {ok: 2, info: 1, warning: 0, unknown: 0, critical: 0}, seconds: 0.412}
findings:
  description: What was judged, worst first. Codes are listed in the collection's findings page.
  returned: success
  type: list
  elements: dict
  sample:
    - code: compose.reclaimable
      subject: containers
      severity: info
      message: 3 objects with 1.2 GiB would be removed.
      evidence: {objects: 3, bytes: 1288490188}
      remedy: Look through the planned actions, then run it without check mode.
      observed_at: "2026-11-22T04:13:00Z"
actions:
  description: The removals that were planned, done, skipped (with the reason) or failed.
  returned: success
  type: list
  elements: dict
  sample:
    - id: remove images shop:1.2
      description: Remove the image shop:1.2 (412.0 MiB)
      status: done
      reason: ""
      seconds: 0.214
metrics:
  description: How much was removed of each kind, or in check mode could be.
  returned: success
  type: list
  elements: dict
  sample:
    - {name: docker_reclaimed_bytes, value: 432013312, unit: bytes, labels: {kind: images}}
truncated:
  description: How many entries of which list were left out, to keep the result small.
  returned: when something was left out
  type: dict
  sample: {kept: 250}
objects:
  description: Each object that was to be removed. C(state) is V(planned), V(done), V(skipped) or V(failed).
  returned: success
  type: list
  elements: dict
  sample:
    - kind: images
      id: sha256:5a4e1e71bd06129f3c701464a222a7edf087cab809a57ce32a06f4b866ae27a7
      name: shop:1.2
      names: [shop:1.2]
      bytes: 432013312
      age_seconds: 5443200
      state: done
      reason: ""
kept:
  description: Each object of the same kinds that stays, and why.
  returned: success
  type: list
  elements: dict
  sample:
    - kind: images
      id: sha256:0c6d16a55d61a3a6ab8bcb6a53dcc4b3cd0a4d1c9e5f25ee0a7e24a1f6a52c11
      name: shop:upkeep-rollback-20261122T041300Z
      names: [shop:upkeep-rollback-20261122T041300Z]
      bytes: 432013312
      age_seconds: 5443200
      reason: an update can be taken back to it
reclaimed_bytes:
  description: How much was given back.
  returned: success
  type: int
  sample: 432013312
reclaimable_bytes:
  description: In check mode, how much could be given back; else 0.
  returned: success
  type: int
  sample: 0
"""

from ansible.module_utils.basic import AnsibleModule

from ansible_collections.cadence.upkeep.plugins.module_utils._compose.cleanup.argspec import ARGUMENT_SPEC
from ansible_collections.cadence.upkeep.plugins.module_utils._compose.cleanup.run import clean
from ansible_collections.cadence.upkeep.plugins.module_utils._core.errors import UpkeepError
from ansible_collections.cadence.upkeep.plugins.module_utils._core.times import utc_now


def main() -> None:
    module = AnsibleModule(argument_spec=ARGUMENT_SPEC, supports_check_mode=True)
    try:
        cleaned = clean(module.params, utc_now(), check_mode=module.check_mode)
    except UpkeepError as error:
        module.fail_json(**error.as_failure())
    result = cleaned.outcome.as_result()
    if module._diff:
        result["diff"] = {"before": cleaned.before, "after": cleaned.after}
    if cleaned.failure:
        module.fail_json(msg=cleaned.failure, **result)
    module.exit_json(**result)


if __name__ == "__main__":
    main()
