#!/usr/bin/python
# Copyright (c) 2026 Upkeep maintainers
# GNU General Public License v3.0-or-later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Put a backup in the place of a database or a directory."""

from __future__ import annotations

DOCUMENTATION = r"""
module: backup_restore
short_description: Put a backup in the place of a database or a directory, and keep what was there
version_added: 0.1.0
description:
  - Restores a dump of PostgreSQL (plain, custom, tar or directory format), or a tar archive of files, whatever it is
    compressed or encrypted with, in the place of the live database or directory.
  - Does nothing without O(confirm). Without it the task fails, and says what would be restored, from when that is, what
    is there now and would be lost, and the exact text to confirm with. Check mode shows the same and does not fail.
  - Verifies the backup up to its structure first, as M(cadence.upkeep.backup_verify) does. One that is not known to be
    good is not restored.
  - Backs up what is there now, by M(cadence.upkeep.backup_create), before anything else is done.
  - Loads the backup under another name, compares it with its manifest (rows of each table, files of the archive), and
    only then exchanges the names. A database does so in one transaction, a directory in one step. Until then everything
    is as it was, and stays so when anything fails or the module is killed.
  - What was there is never removed. A database is kept as C(NAME_before_20261122T041300Z), a directory as
    C(NAME.before-20261122T041300Z).
  - A database gets the owner, the encoding and locale, the tablespace, the connection limit, the settings, the grants
    and the comment of the one that it replaces.
author:
  - Upkeep maintainers (@cadence-upkeep)
options:
  path:
    description: The backup, as an absolute path; of a glob the newest is taken.
    type: path
    required: true
  confirm:
    description: >-
      What is to be replaced, as C(DATABASE@HOST) or C(DIRECTORY@HOST). The plan has the exact text.
    type: str
    default: ""
  host:
    description: How this host is called in O(confirm). The default is its own name.
    type: str
  database:
    description: The database that is replaced, or made when there is none. The default is that of the backup.
    type: str
  destination:
    description:
      - The directory that is replaced, or made when there is none, for an archive of files.
      - When the archive has this very path in it, what is below that is taken; else all of it.
    type: path
  login_host:
    description: The server. The default is the local unix socket.
    type: str
    default: ""
  login_port:
    description: Its port.
    type: int
    default: 5432
  login_user:
    description: The role that logs in. It has to be a superuser, or own the database and have C(CREATEDB).
    type: str
    default: postgres
  login_password:
    description: Its password. It is in no argument of a program, no environment and no file that has a name.
    type: str
    default: ""
  login_unix_socket:
    description: The directory of the unix socket, where it is not the usual one.
    type: str
    default: ""
  login_db:
    description: The database to log in to. It is not the one that is replaced.
    type: str
    default: postgres
  user:
    description: The account that the programs run as when the module is root's. The default is V(postgres).
    type: str
  bin_dir:
    description: The directory with C(psql) and C(pg_restore). The default is the newest that is installed.
    type: path
  owners:
    description:
      - V(keep) restores owners and grants. Every role that the backup names has to be there.
      - V(leave_out) gives everything to the role that logs in.
    type: str
    choices: [keep, leave_out]
    default: keep
  jobs:
    description: How many connections load at a time. V(0) for as many as there are processors, four at most.
    type: int
    default: 0
  fingerprint:
    description:
      - Whether the rows of each table are counted before the names are exchanged (V(counts)), or hashed as well
        (V(hash)) and compared with what M(cadence.upkeep.backup_create) wrote into the manifest with V(hash).
      - V(hash) reads and hashes every row once more, about as long as it takes to dump them.
    type: str
    choices: [counts, hash]
    default: counts
  safety_backup:
    description: Whether what is there is backed up before. Without it, it is still kept under another name.
    type: bool
    default: true
  safety_directory:
    description: Where that backup goes.
    type: path
    default: /var/backups/upkeep/before-restore
  time_limit:
    description: How long all of it may take.
    type: str
    default: 6h
  run_id:
    description: A name for the run.
    type: str
    default: ""
extends_documentation_fragment:
  - cadence.upkeep.backup_reading
  - cadence.upkeep.attributes
  - cadence.upkeep.attributes.action_groups
attributes:
  check_mode:
    support: full
    details:
      - Verifies the backup, looks at what is there, and returns the plan.
  diff_mode:
    support: full
    details:
      - Shows which state has which name before and after.
notes:
  - Sessions of the database are ended for the moment of the exchange, and new ones wait for it.
  - Logical replication slots, subscriptions and prepared transactions stay with the old database; the plan names them.
seealso:
  - module: cadence.upkeep.backup_verify
    description: Its level V(restore) restores into a place that is thrown away, to see whether that works.
  - module: cadence.upkeep.backup_create
"""

EXAMPLES = r"""
- name: Show what a restore of the newest dump would do
  cadence.upkeep.backup_restore:
    path: /var/backups/shop/shop-*.dump
    database: shop
    host: db1
  check_mode: true

- name: Restore it
  cadence.upkeep.backup_restore:
    path: /var/backups/shop/shop-20261122T020000Z.dump
    database: shop
    host: db1
    confirm: shop@db1

- name: Restore the uploads of an application
  cadence.upkeep.backup_restore:
    path: /var/backups/uploads/uploads-20261122T020000Z.tar.zst.age
    destination: /srv/shop/uploads
    decrypt:
      age_identity_file: /etc/upkeep/backup.key
    host: app1
    confirm: /srv/shop/uploads@app1
"""

RETURN = r"""
summary:
  description: >-
    The verdict in short. C(summary.worst) is the worst severity found, C(summary.counts) the number of examined
    objects under the worst severity that each got, C(summary.seconds) the wall time.
  returned: success
  type: dict
  sample: {worst: warning, counts: {ok: 0, info: 0, warning: 1, unknown: 0, critical: 0}, seconds: 2.214}
findings:
  description: What was judged, worst first. Codes are listed in the collection's findings page.
  returned: success
  type: list
  elements: dict
  sample:
    - code: backup.recovery_loses
      subject: shop@db1
      severity: warning
      message: shop@db1 lacks rows that were there before it was restored.
      evidence: {before: shop_before_20261122T113930Z, tables: [], rows: {public.orders: 500}}
      remedy: >-
        Compare with the evidence; the old one is kept under another name, from which rows can be brought back.
      observed_at: "2026-11-22T11:39:30Z"
actions:
  description: The steps that were planned, done, skipped (with the reason) or failed.
  returned: success
  type: list
  elements: dict
  sample:
    - id: save
      description: Back up what is there into /var/backups/upkeep/before-restore/postgres
      status: done
      reason: ""
      seconds: 0.423
    - id: load
      description: Load the backup as shop_restoring_20261122T113930Z, and compare
      status: done
      reason: ""
      seconds: 1.232
    - id: swap
      description: Give the name shop to it, and shop_before_20261122T113930Z to what was there
      status: done
      reason: ""
      seconds: 0.308
metrics:
  description: Numbers worth keeping, with unit and labels. There are none.
  returned: success
  type: list
  elements: dict
  sample: []
truncated:
  description: How many entries of which list were left out, to keep the result small.
  returned: when something was left out
  type: dict
  sample: {findings: 250}
confirmation:
  description: The text that O(confirm) has to be.
  returned: when there is a plan
  type: str
  sample: shop@db1
plan_lines:
  description: The plan, for people.
  returned: when there is a plan
  type: list
  elements: str
  sample:
    - Restore /var/backups/shop/shop.dump (31.9 KiB, pgdump-custom), taken 2026-11-22T11:02:26Z, into shop@db1.
    - Whatever was written there in the 36m 59s since then is not in it.
    - About 500 rows more than in it are there now, in 1 tables, most in public.orders.
    - >-
      The database shop that is there now (8.1 MiB, 1 sessions, which are ended for the swap) is kept as
      shop_before_20261122T113930Z.
plan:
  description:
    - The same for programs. C(lost) has the tables that are there now and not in the backup, and of others how many
      rows more are there now, as the server estimates them.
    - C(forecast_seconds) is a guess from the size. A test restore measures it.
  returned: when there is a plan
  type: dict
  sample:
    from: /var/backups/shop/shop.dump
    size: 32672
    chain: [pgdump-custom]
    taken_at: "2026-11-22T11:02:26Z"
    age_seconds: 2224
    to: shop@db1
    kind: database
    exists: true
    present_bytes: 8527207
    sessions: 1
    fresh_name: shop_restoring_20261122T113930Z
    before_name: shop_before_20261122T113930Z
    need_bytes: 130688
    forecast_seconds: 3
    lost: {rows: {public.orders: 500}, tables: []}
safety_backups:
  description: The backups that were made of what was there before.
  returned: success
  type: list
  elements: str
  sample: [/var/backups/upkeep/before-restore/postgres/before-restore-shop-20261122T113930Z.dump]
restore:
  description: >-
    What was restored, with the seconds of each phase, as RV(cadence.upkeep.backup_verify#module:files[].restore).
  returned: when something was loaded
  type: dict
  sample:
    target: server
    finished: true
    tables: 4
    rows: 5003
    compared: manifest
    bytes: 8592743
    seconds: {fetch: 0.0, decrypt: 0.0, load: 0.225, index: 0.054, total: 0.279}
"""

from ansible.module_utils.basic import AnsibleModule

from ansible_collections.cadence.upkeep.plugins.module_utils._backup.recover.argspec import ARGUMENT_SPEC
from ansible_collections.cadence.upkeep.plugins.module_utils._backup.recover.run import recover
from ansible_collections.cadence.upkeep.plugins.module_utils._core.errors import UpkeepError
from ansible_collections.cadence.upkeep.plugins.module_utils._core.times import utc_now


def main() -> None:
    module = AnsibleModule(argument_spec=ARGUMENT_SPEC, supports_check_mode=True)
    try:
        recovered = recover(module.params, utc_now(), check_mode=module.check_mode)
    except UpkeepError as error:
        error.evidence["subject"] = module.params["database"] or module.params["path"]
        module.fail_json(**error.as_failure())
    result = recovered.as_result()
    if module._diff:
        result["diff"] = {"before": recovered.before, "after": recovered.after}
    if recovered.failure:
        module.fail_json(msg=recovered.failure, **result)
    module.exit_json(**result)


if __name__ == "__main__":
    main()
