#!/usr/bin/python
# Copyright (c) 2026 Upkeep maintainers
# GNU General Public License v3.0-or-later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Report, or unlink, large objects to which nothing refers."""

from __future__ import annotations

DOCUMENTATION = r"""
---
module: pg_large_object
short_description: Report orphaned PostgreSQL large objects, and unlink them only where that is safe
version_added: 0.1.0
description:
  - A large object lives on when the last row that names it is gone, and takes space for ever. This module finds those
    that no column of type C(oid) or C(lo) refers to, in all schemas, also through domains, arrays, composite types and
    ranges, in partitions, inherited tables and materialized views.
  - By default it only reports them. With O(state=absent) they are unlinked, in small transactions that block nobody.
  - An application may keep the numbers of its large objects as integers or texts, which no database can tell from other
    numbers. So the module looks into those columns too, and unlinks nothing when one of them holds the number of an
    orphan.
  - What cannot be looked into, or not within O(look_limit), makes the answer C(unknown), and nothing is unlinked.
author:
  - Upkeep maintainers (@cadence-upkeep)
options:
  state:
    description:
      - V(reported) only looks and never changes anything in the database. V(absent) unlinks.
    type: str
    default: reported
    choices: [reported, absent]
  databases:
    description:
      - The databases to look into, as names or shell patterns. V(*) is every one that accepts connections, without
        templates. The default is O(login_db).
    type: list
    elements: str
  confirm_no_text_references:
    description:
      - Says that the application keeps the numbers of its large objects in columns of type C(oid) or C(lo) alone, and
        not in integers, texts, documents, files or another database. Required with O(state=absent).
      - That columns are looked into all the same is a second safeguard. It sees a sample of large tables.
    type: bool
    default: false
  exclude_columns:
    description:
      - Columns that hold numbers equal to those of large objects by chance, such as other keys, as V(table.column),
        V(schema.table.column) or shell patterns of either. A name that does not exist is an error, and so is a column
        of type C(oid), of which every value counts.
      - Columns of temporary tables of other sessions, which nobody else can look into, may be named too.
    type: list
    elements: str
    default: []
  min_age:
    description:
      - What is not known to be at least this old is left, because its reference may be yet to come. PostgreSQL keeps no
        time of a large object. It is known by the transaction that made it, and by the notes that each run (also with
        O(state=reported)) takes of the transactions of that time in O(state_dir). The last checkpoint is such a note
        too, and with C(track_commit_timestamp) the server itself knows.
      - With V(0), only what was made since the oldest transaction that still runs is left.
    type: str
    default: 1d
  sample_rows:
    description:
      - Of tables with more rows, so many are looked into for numbers and texts that equal orphans. V(0) is every row.
        Columns of type C(oid) are always read in full.
    type: int
    default: 10000
  look_limit:
    description:
      - How long the look at one database may take.
    type: str
    default: 20s
  batch_size:
    description:
      - How many large objects are unlinked in one transaction.
    type: int
    default: 1000
  max_objects:
    description:
      - At most so many are unlinked in one database and run, those that are there the longest first.
    type: int
    default: 100000
  time_limit:
    description:
      - No new transaction is begun after this time, such as V(30m). What is left over is reported.
    type: str
  lock_timeout:
    description:
      - How long to wait for a large object, or a table, that somebody has locked, and for transactions to end that
        write where references are.
    type: str
    default: 2s
  statement_timeout:
    description:
      - How long one statement may take; V(0) is no limit but O(look_limit).
    type: str
    default: "0"
  synchronous_commit:
    description:
      - With V(off), transactions do not wait for the disk. A crash could bring large objects back, which the next run
        sees. V(keep) leaves what is set for the role.
    type: str
    default: "off"
    choices: ["off", keep]
  state_dir:
    description:
      - The directory for the lock that keeps two runs on this host apart, and for the notes of O(min_age). The default
        is C(/var/lib/upkeep) for root and C(upkeep) below the XDG state directory of any other user.
    type: path
  run_id:
    description:
      - A name for the run. It stands in the lock and in C(application_name).
    type: str
    default: ""
extends_documentation_fragment:
  - cadence.upkeep.postgres_connection
  - cadence.upkeep.attributes
  - cadence.upkeep.attributes.action_groups
attributes:
  check_mode:
    support: full
    details:
      - The same look is taken, and nothing is unlinked and no note is taken.
  diff_mode:
    support: full
    details:
      - Shows how many large objects there are, and how many without a reference, before and after.
notes:
  - The role needs to read every column that may hold a reference, such as by C(pg_read_all_data), and to own what it
    unlinks. What it may not read makes the answer C(unknown), with the grant that mends it.
  - No data of the user's tables leaves the server. Matches are counted there.
  - Unlinked space is free for other large objects after the next C(VACUUM) of C(pg_largeobject), which autovacuum or
    M(cadence.upkeep.pg_vacuum) does.
seealso:
  - module: cadence.upkeep.pg_vacuum
  - name: vacuumlo
    description: The program of PostgreSQL that unlinks whatever no column of type oid or lo refers to.
    link: https://www.postgresql.org/docs/current/vacuumlo.html
"""

EXAMPLES = r"""
- name: Report orphaned large objects in every database
  cadence.upkeep.pg_large_object:
    name: main
    login_unix_socket: /var/run/postgresql
    databases: ["*"]
  become: true
  become_user: postgres

- name: Unlink those of one database that are older than a week
  cadence.upkeep.pg_large_object:
    name: main
    login_unix_socket: /var/run/postgresql
    login_db: shop
    state: absent
    confirm_no_text_references: true
    exclude_columns: [orders.number, "log.*"]
    min_age: 7d
    time_limit: 10m
  become: true
  become_user: postgres
"""

RETURN = r"""
summary:
  description: >-
    The verdict in short. C(worst) is the worst severity found, C(counts) the number of examined
    objects under the worst severity that each got, C(seconds) the wall time.
  returned: success
  type: dict
  sample: {worst: warning, counts: {ok: 0, info: 0, warning: 1, unknown: 0, critical: 0}, seconds: 0.048}
findings:
  description: What was judged, worst first. Codes are listed in the collection's findings page.
  returned: success
  type: list
  elements: dict
  sample:
    - code: pg.large_objects_orphaned
      subject: "main: shop"
      severity: warning
      message: "Nothing refers to 1200 of 4000 large objects in main: shop, 37.5 MiB."
      evidence:
        orphans: 1200
        objects: 4000
        bytes: 39321600
        measured: 1200
        oldest: [16439, 16440, 16441]
        reference_columns: [public.products.photo]
      remedy: >-
        When the application keeps their numbers in columns of type oid or lo alone, remove them: state absent with
        confirm_no_text_references.
      observed_at: "2026-11-22T04:13:00Z"
actions:
  description: The steps that were planned, done, skipped (with the reason) or failed.
  returned: success
  type: list
  elements: dict
  sample:
    - id: "main: shop"
      description: unlink 1200 large objects in 2 transactions
      status: done
      reason: nothing refers to them
      seconds: 0.061
metrics:
  description: Numbers worth keeping, with unit and labels.
  returned: success
  type: list
  elements: dict
  sample:
    - {name: pg_large_objects_orphaned, value: 1200, unit: count, labels: {cluster: main, database: shop}}
truncated:
  description: How many entries of which list were left out, to keep the result small.
  returned: when something was left out
  type: dict
  sample: {databases: 12}
databases:
  description:
    - One record for each database. C(status) is V(reported), V(planned), V(done), V(partial), V(refused) (values in
      other columns may be references), V(unknown) (the look was not whole) or V(skipped), with the reason.
    - C(bytes) are those of the first C(measured) orphans, V(null) when the role may not read C(pg_largeobject).
      C(too_new) and C(not_permitted) are orphans that would be left.
    - C(reference_columns) and C(value_columns) count the columns that were looked into; C(value_matches) says in which
      of the latter numbers of orphans were found, and how often.
  returned: success
  type: list
  elements: dict
  sample:
    - name: shop
      status: reported
      reason: ""
      objects: 4000
      orphans: 1200
      bytes: 39321600
      measured: 1200
      oldest: [16439, 16440, 16441]
      too_new: 0
      not_permitted: 0
      planned: 0
      removed: 0
      reference_columns: 1
      value_columns: 12
      hidden_columns: []
      value_matches: []
      notes: []
      seconds: 0.031
notes:
  description: Small mishaps that changed nothing about the result.
  returned: success
  type: list
  elements: str
  sample: []
"""

from ansible.module_utils.basic import AnsibleModule

from ansible_collections.cadence.upkeep.plugins.module_utils._core.errors import UpkeepError
from ansible_collections.cadence.upkeep.plugins.module_utils._core.times import utc_now
from ansible_collections.cadence.upkeep.plugins.module_utils._postgres.large_objects.argspec import ARGUMENT_SPEC
from ansible_collections.cadence.upkeep.plugins.module_utils._postgres.large_objects.run import tend
from ansible_collections.cadence.upkeep.plugins.module_utils._postgres.options import place_of


def main() -> None:
    module = AnsibleModule(argument_spec=ARGUMENT_SPEC, supports_check_mode=True)
    try:
        tended = tend(module.params, utc_now(), check_mode=module.check_mode)
    except UpkeepError as error:
        error.evidence["subject"] = place_of(module.params)
        module.fail_json(**error.as_failure())
    result = tended.as_result()
    if module._diff:
        result["diff"] = {"before": tended.before, "after": tended.after}
    if tended.failure:
        module.fail_json(msg=tended.failure, **result)
    module.exit_json(**result)


if __name__ == "__main__":
    main()
