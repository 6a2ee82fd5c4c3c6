#!/usr/bin/python
# Copyright (c) 2026 Upkeep maintainers
# GNU General Public License v3.0-or-later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The versions of an application that is deployed from git."""

from __future__ import annotations

DOCUMENTATION = r"""
module: app_release
short_description: See what is new of an application, check out a version, remember what ran
version_added: 0.1.0
author:
  - Upkeep maintainers (@cadence-upkeep)
description:
  - Looks after the working tree of an application that is deployed from git, and remembers the versions that ran on the
    host (generations), with the images that their containers had.
  - The role C(app_update) calls it before and after the other steps of an update. Nothing is built and no container is
    touched by it.
  - No hook of the repository is run. A tree in which files were changed by hand is never touched.
requirements:
  - git
  - docker (Python library on the host; C(python3-docker) in Debian and Red Hat systems), with O(project_name) alone
options:
  name:
    description: What results call the application, and the name of its record on the host.
    type: str
    required: true
  state:
    description:
      - With V(checked), what lies between the version that is checked out and the newest one is listed by kind of
        change. Commits are told apart by the convention C(type(scope)!:); those that name a CVE or a GHSA are of
        security.
      - With V(fetched), the tree is put at O(version), detached, and where it was is remembered.
      - With V(committed), what is checked out becomes the newest generation, and generations beyond O(keep) are
        forgotten.
      - With V(restored), the tree is put back to where an update came from that was not committed.
    type: str
    choices: [checked, fetched, committed, restored]
    default: checked
  path:
    description: The working tree; its root.
    type: path
    required: true
  remote:
    description: The remote repository that versions come from.
    type: str
    default: origin
  version:
    description:
      - A tag, a branch of the remote, or a commit. What it is at that moment is pinned, and returned as a commit.
      - V(previous) is the generation before the one that runs. A version that ran here is a generation, too, and its
        images get their names back if all of them are still there.
      - For O(state=checked), the default is the newest tag like O(tags), else the main branch of the remote.
    type: str
    default: ""
  tags:
    description: Which tags are versions, as a shell pattern.
    type: str
    default: v*
  commit:
    description: The whole hash that O(version) must be. Anything else is refused.
    type: str
    default: ""
  require_signature:
    description: Whether the tag, or the commit of what is no tag, must have a good signature (C(git verify-tag)).
    type: bool
    default: false
  submodules:
    description: Whether submodules are checked out, too.
    type: bool
    default: false
  migration_paths:
    description: Which files are migrations of the database, as shell patterns. Slashes are letters like others.
    type: list
    elements: str
    default: ["*alembic/versions/*", "*migrations/versions/*", "*/migrations/*"]
  project_name:
    description: The Compose project whose images belong to a generation. Without it, images are not remembered.
    type: str
    default: ""
  docker_host:
    description: Where the Docker daemon listens. The default is C(DOCKER_HOST), then the usual socket.
    type: str
  revision:
    description: For O(state=committed), the revision of the database that belongs to the generation.
    type: str
    default: ""
  backups:
    description: For O(state=committed), the backups of the databases that were made before it.
    type: list
    elements: path
    default: []
  keep:
    description: How many generations are kept.
    type: int
    default: 3
  timeout:
    description: How long each call of git may take.
    type: str
    default: 2m
  lock_timeout:
    description: How long to wait for another run on the same application.
    type: str
    default: "0"
attributes:
  check_mode:
    support: full
    details:
      - Nothing is fetched, so that only what is known here already is compared.
  diff_mode:
    support: none
extends_documentation_fragment:
  - cadence.upkeep.run
  - cadence.upkeep.attributes
  - cadence.upkeep.attributes.action_groups
seealso:
  - module: cadence.upkeep.alembic_migrate
  - module: cadence.upkeep.compose_rolling_update
"""

EXAMPLES = r"""
- name: See what is new
  cadence.upkeep.app_release:
    name: shop
    path: /srv/shop
  register: news

- name: Check out a release, and nothing else under its name
  cadence.upkeep.app_release:
    name: shop
    state: fetched
    path: /srv/shop
    version: v1.5.0
    commit: 3f786850e387550fdab836ed7e6dc881de23001b
    project_name: shop

- name: Remember that it runs
  cadence.upkeep.app_release:
    name: shop
    state: committed
    path: /srv/shop
    project_name: shop
    keep: 5
"""

RETURN = r"""
summary:
  description: >-
    The verdict in short. C(worst) is the worst severity found, C(counts) the number of applications under the worst
    severity that each got, C(seconds) the wall time.
  returned: success
  type: dict
  sample: {worst: warning, counts: {ok: 0, info: 0, warning: 1, unknown: 0, critical: 0}, seconds: 0.231}
findings:
  description: What was judged, worst first. Codes are listed in the collection's findings page.
  returned: success
  type: list
  elements: dict
  sample:
    - code: app.security_update
      subject: shop
      severity: warning
      message: "shop can be updated to v1.5.0 (3f786850e387): 1 security, 2 fix, 1 feature, 1 migrations."
      evidence: {security: 1, fix: 2, feature: 1, other: 0, breaking: 0, migrations: 1}
      remedy: "Update now: ansible-playbook cadence.upkeep.update, with app_update_version."
      observed_at: "2026-11-22T04:13:00Z"
actions:
  description: The steps that were planned or done.
  returned: success
  type: list
  elements: dict
  sample:
    - id: check out
      description: Check out v1.5.0 (3f786850e387) in /srv/shop
      status: done
      reason: ""
      seconds: 0.051
metrics:
  description: For O(state=checked), how many commits of each group are not here yet.
  returned: success
  type: list
  elements: dict
  sample:
    - {name: app_commits_behind, value: 1, unit: count, labels: {application: shop, group: security}}
truncated:
  description: How many entries of which list were left out, to keep the result small.
  returned: when something was left out
  type: dict
  sample: {generations: 2}
application:
  description: The name of the application.
  returned: success
  type: str
  sample: shop
commit:
  description: What is checked out when the module ends.
  returned: success
  type: str
  sample: 3f786850e387550fdab836ed7e6dc881de23001b
release:
  description: >-
    What is checked out at the beginning and what is wanted; for O(state=checked) also the commits between the two by
    group (the newest 50 of each), how many break something, the migrations among the files, and how many commits are
    here alone.
  returned: success
  type: dict
  sample:
    running: {commit: 89e6c98d92887913cadf06b2adb97f26cde4849b, version: v1.4.2}
    target: {commit: 3f786850e387550fdab836ed7e6dc881de23001b, version: v1.5.0}
    commits:
      security:
        - {commit: 3f786850e387, date: "2026-11-20T09:30:00+00:00", subject: "fix(security): refuse an empty password"}
      fix: []
      feature: []
      other: []
    counts: {security: 1, fix: 0, feature: 0, other: 0}
    breaking: 0
    migrations: [alembic/versions/0007_orders.py]
    ahead: 0
fetched:
  description: Whether the remote was asked.
  returned: success
  type: bool
  sample: true
images_restored:
  description: Whether all images of the wanted generation have their names again, so that nothing need be built.
  returned: success
  type: bool
  sample: false
generations:
  description: The versions that ran here, the newest first.
  returned: success
  type: list
  elements: dict
  sample:
    - number: 4
      version: v1.4.2
      commit: 89e6c98d92887913cadf06b2adb97f26cde4849b
      committed_at: "2026-11-08T02:10:00Z"
      revision: "0006"
      backups: [/var/backups/shop/shop-20261108T020500Z.dump]
      images:
        web:
          name: shop:latest
          id: sha256:5a4e1e71bd06129f3c701464a222a7edf087cab809a57ce32a06f4b866ae27a7
      tags: ["shop:upkeep-rollback-app-shop-4"]
"""

from ansible.module_utils.basic import AnsibleModule

from ansible_collections.cadence.upkeep.plugins.module_utils._compose.release.argspec import ARGUMENT_SPEC
from ansible_collections.cadence.upkeep.plugins.module_utils._compose.release.run import release
from ansible_collections.cadence.upkeep.plugins.module_utils._core.errors import UpkeepError
from ansible_collections.cadence.upkeep.plugins.module_utils._core.times import utc_now


def main() -> None:
    module = AnsibleModule(argument_spec=ARGUMENT_SPEC, supports_check_mode=True)
    try:
        outcome = release(module.params, utc_now(), check_mode=module.check_mode)
    except UpkeepError as error:
        module.fail_json(**error.as_failure())
    module.exit_json(**outcome.as_result())


if __name__ == "__main__":
    main()
