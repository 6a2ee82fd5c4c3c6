#!/usr/bin/python
# Copyright (c) 2026 Upkeep maintainers
# GNU General Public License v3.0-or-later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Migrate a database with alembic, once, and see that it is where it should be."""

from __future__ import annotations

DOCUMENTATION = r"""
module: alembic_migrate
short_description: Migrate a database with alembic, once, under a lock, and see that it arrived
version_added: 0.1.0
author:
  - Upkeep maintainers (@cadence-upkeep)
description:
  - Runs alembic in a container of a service's new image (C(docker compose run)) or on the host, before any container of
    the application is replaced.
  - The migrations must have one head. The statements are got beforehand (C(--sql)), shown in diff mode, and looked
    through for what waits for a lock or breaks the version that still runs.
  - An advisory lock of the database is held meanwhile, so that of two runs one migrates. Sessions of the migration give
    up after O(lock_timeout) rather than let everybody wait behind them. After O(timeout) the migration is ended, and
    its container removed.
  - Afterwards the revision is read anew. The module fails unless the database is at the target, and says where it is.
requirements:
  - alembic, in the image of the service or on the host
  - psql, in the container of O(database_service) or on the host, for the lock
  - Docker Compose 2.18 or newer, with O(service)
options:
  name:
    description: What results call the application. The lock of the database is made of it.
    type: str
    required: true
  state:
    description:
      - With V(upgraded), the database is brought to the head, or to O(revision). With V(downgraded), back to
        O(revision). With V(checked), it is only said whether that is due, and by which statements. With V(prepared),
        images are pulled and built, and it is said whether it is due; the statements are shown when they are run.
    type: str
    choices: [checked, prepared, upgraded, downgraded]
    default: upgraded
  revision:
    description: The revision to go to, by its name; C(base) is the one before the first. The default is the head.
    type: str
    default: ""
  project_src:
    description: The folder of the Compose project.
    type: path
  project_name:
    description: The name of the Compose project. The default is the one that Compose gives it.
    type: str
  files:
    description: The Compose files, from O(project_src) on. The default are those that Compose takes.
    type: list
    elements: path
    default: []
  env_files:
    description: The files with variables of the Compose files, from O(project_src) on.
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
  service:
    description: The service in a container of which alembic is run.
    type: str
  image:
    description: The image for that container, by name or id, where it is another one than the service has.
    type: str
    default: ""
  pull:
    description: Whether the images of the project are pulled first, those alone that lack, or all of them.
    type: str
    choices: [never, missing, always]
    default: never
  build:
    description: Whether the images of the project are built first. What runs goes on meanwhile.
    type: str
    choices: [never, always]
    default: never
  build_timeout:
    description: How long pulling and building may take each.
    type: str
    default: 30m
  command:
    description: How alembic is called, with its first arguments, such as C([python, -m, alembic, -c, db/alembic.ini]).
    type: list
    elements: str
    default: [alembic]
  chdir:
    description: The folder with C(alembic.ini), to run alembic on the host instead of in a container.
    type: path
  environment:
    description: Variables for alembic. Values are shown nowhere.
    type: dict
    default: {}
  database_service:
    description:
      - The service with the database, in whose container C(psql) holds the lock, as C(POSTGRES_USER) and in
        C(POSTGRES_DB).
    type: str
  psql:
    description:
      - Instead, C(psql) with what it needs to connect to the database from this host, such as
        C([psql, "service=shop"]).
    type: list
    elements: str
    default: []
  psql_environment:
    description: Variables for O(psql), such as C(PGPASSWORD).
    type: dict
    default: {}
  lock:
    description: Whether the lock is taken. Databases other than PostgreSQL have none that this module knows.
    type: bool
    default: true
  wait_for_lock:
    description: How long to wait for another migration to end.
    type: str
    default: "0"
  lock_timeout:
    description:
      - How long a statement of the migration may wait for a lock on a table, by C(PGOPTIONS), which drivers on libpq
        obey (psycopg). V(0) is no limit.
    type: str
    default: 5s
  statement_timeout:
    description: How long a statement of the migration may take, by the same way. V(0) is no limit.
    type: str
    default: "0"
  timeout:
    description: How long everything together may take.
    type: str
    default: 10m
attributes:
  check_mode:
    support: full
    details:
      - alembic is run to read heads, revision and statements. Nothing is migrated and no lock is taken.
      - With O(pull) or O(build), the migrations of the new version are not here yet, and nothing is known of them.
  diff_mode:
    support: full
    details:
      - Shows the statements of the migration.
extends_documentation_fragment:
  - cadence.upkeep.attributes
  - cadence.upkeep.attributes.action_groups
seealso:
  - module: cadence.upkeep.app_release
  - module: cadence.upkeep.compose_rolling_update
"""

EXAMPLES = r"""
- name: Migrate, in a container of the image that was just built
  cadence.upkeep.alembic_migrate:
    name: shop
    project_src: /srv/shop
    service: backend
    database_service: db

- name: See what a migration would do
  cadence.upkeep.alembic_migrate:
    name: shop
    state: checked
    project_src: /srv/shop
    service: backend
  diff: true

- name: Migrate from a virtual environment on the host, with a database elsewhere
  cadence.upkeep.alembic_migrate:
    name: shop
    chdir: /srv/shop
    command: [/srv/shop/venv/bin/alembic]
    environment:
      DATABASE_URL: "{{ shop_database_url }}"
    psql: [psql, "host=db.example.com dbname=shop user=shop sslmode=verify-full"]
    psql_environment:
      PGPASSWORD: "{{ shop_database_password }}"
"""

RETURN = r"""
summary:
  description: >-
    The verdict in short. C(worst) is the worst severity found, C(counts) the number of applications under the worst
    severity that each got, C(seconds) the wall time.
  returned: success
  type: dict
  sample: {worst: warning, counts: {ok: 0, info: 0, warning: 1, unknown: 0, critical: 0}, seconds: 2.91}
findings:
  description: What was judged, worst first. Codes are listed in the collection's findings page.
  returned: success
  type: list
  elements: dict
  sample:
    - code: app.migration_risky
      subject: shop
      severity: warning
      message: >-
        shop: the migration to 0007 deserves a second look: CREATE INDEX ix_orders_customer ON orders (customer):
        writers wait until the index is built.
      evidence:
        statements:
          - statement: CREATE INDEX ix_orders_customer ON orders (customer)
            why: writers wait until the index is built
      remedy: >-
        Split it: first what both versions can live with (expand), in a later release the rest (contract).
      observed_at: "2026-11-22T04:13:00Z"
actions:
  description: Pulling, building and the migration, planned, done or failed.
  returned: success
  type: list
  elements: dict
  sample:
    - id: migrate
      description: Migrate the database of shop from 0006 to 0007
      status: done
      reason: ""
      seconds: 1.21
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
revision_before:
  description: Where the database was; empty before the first migration.
  returned: success
  type: str
  sample: "0006"
revision:
  description: Where the database is.
  returned: success
  type: str
  sample: "0007"
target:
  description: Where it should be.
  returned: success
  type: str
  sample: "0007"
heads:
  description: The heads of the migrations.
  returned: success
  type: list
  elements: str
  sample: ["0007"]
due:
  description: Whether the database is not where it should be when the module ends.
  returned: success
  type: bool
  sample: false
image:
  description: The id of the image that the migrations are in; empty on a host.
  returned: success
  type: str
  sample: sha256:5a4e1e71bd06129f3c701464a222a7edf087cab809a57ce32a06f4b866ae27a7
statements:
  description: How many statements the migration has, as far as they could be seen beforehand.
  returned: success
  type: int
  sample: 3
"""

from ansible.module_utils.basic import AnsibleModule

from ansible_collections.cadence.upkeep.plugins.module_utils._compose.migrate.argspec import ARGUMENT_SPEC, RULES
from ansible_collections.cadence.upkeep.plugins.module_utils._compose.migrate.run import migrate
from ansible_collections.cadence.upkeep.plugins.module_utils._core.errors import UpkeepError
from ansible_collections.cadence.upkeep.plugins.module_utils._core.times import utc_now


def main() -> None:
    module = AnsibleModule(argument_spec=ARGUMENT_SPEC, supports_check_mode=True, **RULES)
    try:
        migrated = migrate(module.params, utc_now(), check_mode=module.check_mode)
    except UpkeepError as error:
        module.fail_json(**error.as_failure())
    result = migrated.outcome.as_result()
    if module._diff:
        result["diff"] = {"before": migrated.before, "after": migrated.after}
    if migrated.failure:
        module.fail_json(msg=migrated.failure, **result)
    module.exit_json(**result)


if __name__ == "__main__":
    main()
