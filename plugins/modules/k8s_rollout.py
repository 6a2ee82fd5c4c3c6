#!/usr/bin/python
# Copyright (c) 2026 Upkeep maintainers
# GNU General Public License v3.0-or-later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Roll a Deployment out, wait by its conditions, and go back to the recorded revision."""

from __future__ import annotations

DOCUMENTATION = r"""
module: k8s_rollout
short_description: Roll a Kubernetes Deployment out, wait until it is ready, or go back to what it was
version_added: 0.1.0
author:
  - Upkeep maintainers (@cadence-upkeep)
description:
  - Sets the images of a Deployment by the names of its containers, and waits by what the API says of it, until every
    replica is new and available.
  - When the controller gives up (C(ProgressDeadlineExceeded)), or O(timeout) is over, the revision that ran before is
    brought back. It is the one that was written down before the change, not C(the previous one), which may be another
    broken one. The module says what the pods were waiting for, and fails.
  - A Deployment that is paused, or looked after by Helm, Argo CD, Flux or another object, is refused.
  - B(No live cluster has run this module.) It was built and tested against the objects of the API as they are
    documented, and a program that plays C(kubectl).
requirements:
  - kubectl, with the right to get and patch the Deployment and to get pods
options:
  name:
    description: The name of the Deployment.
    type: str
    required: true
  state:
    description:
      - With V(updated), O(images) are rolled out.
      - With V(undone), the Deployment goes back to O(revision).
    type: str
    choices: [updated, undone]
    default: updated
  images:
    description: The images, by the names of their containers. Others are left as they are.
    type: dict
    default: {}
  require_digest:
    description: Whether an image must have a digest (C(@sha256:)), so that every node runs the same.
    type: bool
    default: true
  revision:
    description:
      - For O(state=undone), the revision to go to. The default is the one that was written down by the last update from
        this host.
    type: int
  namespace:
    description: The namespace of the Deployment.
    type: str
    default: default
  context:
    description: The context of O(kubeconfig). The default is its current one.
    type: str
  kubeconfig:
    description: The configuration of kubectl. The default is that of the user.
    type: path
  kubectl:
    description: The program C(kubectl), by name or path.
    type: str
    default: kubectl
  on_failure:
    description: Whether a rollout that does not become ready is taken back, or left as it is.
    type: str
    choices: [undo, leave]
    default: undo
  force:
    description: Whether to change a Deployment that is paused, or that something else looks after.
    type: bool
    default: false
  timeout:
    description: How long a rollout, and a way back, may take each.
    type: str
    default: 10m
  interval:
    description: How long to wait between two looks.
    type: str
    default: 2s
  lock_timeout:
    description: How long to wait for another run on this Deployment from this host.
    type: str
    default: "0"
attributes:
  check_mode:
    support: full
  diff_mode:
    support: full
    details:
      - Shows the images.
extends_documentation_fragment:
  - cadence.upkeep.run
  - cadence.upkeep.attributes
  - cadence.upkeep.attributes.action_groups
notes:
  - ConfigMaps, Secrets and everything else besides the template of the pods are not taken back.
"""

EXAMPLES = r"""
- name: Roll a release out
  cadence.upkeep.k8s_rollout:
    name: backend
    namespace: shop
    images:
      backend: registry.example.com/shop@sha256:4bf3a1d1f7b0e3c5ad0f8d4d9a1b2c3d4e5f60718293a4b5c6d7e8f901234567
    timeout: 5m

- name: Go back to what ran before
  cadence.upkeep.k8s_rollout:
    name: backend
    namespace: shop
    state: undone
"""

RETURN = r"""
summary:
  description: >-
    The verdict in short. C(worst) is the worst severity found, C(counts) the number of Deployments under the worst
    severity that each got, C(seconds) the wall time.
  returned: success
  type: dict
  sample: {worst: critical, counts: {ok: 0, info: 0, warning: 0, unknown: 0, critical: 1}, seconds: 61.2}
findings:
  description: What was judged, worst first. Codes are listed in the collection's findings page.
  returned: success
  type: list
  elements: dict
  sample:
    - code: kube.rolled_back
      subject: shop/backend
      severity: critical
      message: >-
        shop/backend did not become ready, and revision 4 is served again: ProgressDeadlineExceeded: ReplicaSet
        "backend-7c9d" has timed out progressing.; backend: ImagePullBackOff
      evidence:
        revision_before: 4
        images: {backend: "registry.example.com/shop:1.4"}
      remedy: Mend what the message names, then roll out again. ConfigMaps and Secrets were not taken back.
      observed_at: "2026-11-22T04:13:00Z"
actions:
  description: The steps that were planned, done or failed.
  returned: success
  type: list
  elements: dict
  sample:
    - {id: undo, description: Go back to revision 4 of shop/backend, status: done, reason: "", seconds: 0.31}
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
  sample: {findings: 2}
outcome:
  description:
    - V(unchanged) or V(updated); the module fails for V(rolled_back), V(rollback_failed) and V(left).
  returned: success
  type: str
  sample: rolled_back
revision_before:
  description: The revision that ran before.
  returned: success
  type: int
  sample: 4
revision:
  description: The revision that runs. Kubernetes gives a revision that is gone back to a new number.
  returned: success
  type: int
  sample: 6
images_before:
  description: The image of each container before.
  returned: success
  type: dict
  sample: {backend: "registry.example.com/shop:1.4"}
images:
  description: The image of each container, those that were wanted when they run or would run.
  returned: success
  type: dict
  sample: {backend: "registry.example.com/shop:1.4"}
"""

from ansible.module_utils.basic import AnsibleModule

from ansible_collections.cadence.upkeep.plugins.module_utils._core.errors import UpkeepError
from ansible_collections.cadence.upkeep.plugins.module_utils._core.times import utc_now
from ansible_collections.cadence.upkeep.plugins.module_utils._kubernetes.rollout.argspec import ARGUMENT_SPEC, RULES
from ansible_collections.cadence.upkeep.plugins.module_utils._kubernetes.rollout.run import rollout


def main() -> None:
    module = AnsibleModule(argument_spec=ARGUMENT_SPEC, supports_check_mode=True, **RULES)
    try:
        rolled = rollout(module.params, utc_now(), check_mode=module.check_mode)
    except UpkeepError as error:
        module.fail_json(**error.as_failure())
    result = rolled.outcome.as_result()
    if module._diff:
        result["diff"] = {"before": rolled.before, "after": rolled.after}
    if rolled.failure:
        module.fail_json(msg=rolled.failure, **result)
    module.exit_json(**result)


if __name__ == "__main__":
    main()
