#!/usr/bin/python
# Copyright (c) 2026 Upkeep maintainers
# GNU General Public License v3.0-or-later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Rebuild the indexes of a PostgreSQL cluster that need it."""

from __future__ import annotations

DOCUMENTATION = r"""
module: pg_reindex
short_description: Rebuild the PostgreSQL indexes that need it, and clear what interrupted rebuilds left
version_added: 0.1.0
description:
  - Looks at every index of one or more databases, and rebuilds only those of which a share is bloat, or that are
    invalid. It says why for each index. A second run finds nothing to do.
  - An index counts as rebuilt when it is valid and has another file than before, not because no error came back.
  - Rebuilds run beside reads and writes (C(CONCURRENTLY)). One that would have to wait for a transaction that has been
    open for long is not started; what a failed one leaves is dropped at once, and what could not be dropped, or was
    left by a crash, by the next run.
  - Nothing of others is ended. Indexes that other sessions are building are left alone.
author:
  - Upkeep maintainers (@cadence-upkeep)
options:
  schemas:
    description:
      - Only indexes of tables in these schemas (names or shell patterns). A name that does not exist is an error.
    type: list
    elements: str
    default: []
  exclude_schemas:
    description:
      - No indexes of tables in these schemas (names or shell patterns).
    type: list
    elements: str
    default: []
  tables:
    description:
      - Only indexes of these tables, as V(table), V(schema.table) or shell patterns of either. A name that does not
        exist is an error. With a partitioned table come its partitions, with a table its TOAST table.
    type: list
    elements: str
    default: []
  exclude_tables:
    description:
      - No indexes of these tables, written as in O(tables).
    type: list
    elements: str
    default: []
  indexes:
    description:
      - Only these indexes, as V(index), V(schema.index) or shell patterns of either. A name that does not exist is an
        error. With a partitioned index come its parts.
      - To be named is no reason to be rebuilt. For that, set O(when) to V(always).
    type: list
    elements: str
    default: []
  exclude_indexes:
    description:
      - Not these indexes, written as in O(indexes).
    type: list
    elements: str
    default: []
  include_catalogs:
    description:
      - Also look at the indexes of system catalogs. The server rebuilds these only with O(method=plain).
    type: bool
    default: false
  when:
    description:
      - V(needed) rebuilds what is bloated or invalid, V(always) every index that the filters leave, of any size up to
        O(max_size).
    type: str
    default: needed
    choices: [needed, always]
  bloat_ratio:
    description:
      - An index is rebuilt when this share of it would be freed by that.
      - Where the share cannot be told (every access method but btree, columns without statistics), an index is never
        rebuilt for it; such indexes need O(when=always).
    type: float
    default: 0.3
  min_size:
    description:
      - Smaller indexes are not rebuilt for bloat; below about twenty pages no method can tell it. Invalid ones of any
        size are seen to.
    type: str
    default: 1MB
  max_size:
    description:
      - Larger indexes are left, and listed with that reason.
    type: str
  bloat_method:
    description:
      - V(estimate) computes the size that the index would have from the statistics of its columns, which costs nothing.
      - V(auto) does the same, and has those that pass O(bloat_ratio) counted page by page before they are rebuilt,
        where the extension C(pgstattuple) is installed and permitted.
      - V(exact) has every one counted. Without the extension that is an error.
    type: str
    default: auto
    choices: [auto, estimate, exact]
  exact_max_size:
    description:
      - Larger indexes are not counted, because it reads every page; for them the estimate stands.
    type: str
    default: 1GB
  invalid:
    description:
      - What to do with an invalid index that nobody is building. V(rebuild) rebuilds it, V(drop) drops it unless it
        carries a constraint, a replica identity or a part of a partitioned index. Both drop what an interrupted
        concurrent rebuild left.
      - V(report) does nothing but say so.
    type: str
    default: rebuild
    choices: [rebuild, drop, report]
  method:
    description:
      - V(concurrently) rebuilds beside reads and writes. It takes longer, and room for both indexes.
      - V(plain) locks the table against writes, and the index against reads, for as long as it takes. It is the only
        way for system catalogs and exclusion constraints.
    type: str
    default: concurrently
    choices: [concurrently, plain]
  skip_unsafe_minor:
    description:
      - PostgreSQL 14.0 to 14.3 may lose rows from an index that they rebuild concurrently. With V(true) nothing is
        rebuilt there with O(method=concurrently). With V(false) it is, at your own risk.
    type: bool
    default: true
  tablespace:
    description:
      - Put what is rebuilt into this tablespace. It is no reason to rebuild. Indexes of system catalogs and TOAST
        tables stay where they are.
    type: str
  jobs:
    description:
      - How many connections work at a time, besides one that watches. The indexes of one table are rebuilt one after
        the other, because two at a time would deadlock; and so are all indexes with an expression or a condition, for
        which every other rebuild would wait.
    type: int
    default: 1
  hard_time_limit:
    description:
      - What still runs after this time is cancelled, and what it leaves is dropped.
    type: str
  lock_timeout:
    description:
      - How long a rebuild waits for each lock. The default is V(2s) with O(method=plain), which others queue behind,
        and V(10m) with O(method=concurrently), which waits for every transaction on its table and holds up nobody.
      - With O(method=concurrently) it is at least V(1m), because a rebuild that gives up has worked in vain; or V(0),
        for no limit, together with O(hard_time_limit).
    type: str
  lock_retries:
    description:
      - How often an index that was held up by a lock or a transaction is tried again, after everything else.
    type: int
    default: 3
  blocker_age:
    description:
      - A concurrent rebuild is not started while a transaction that it would have to wait for has been open for this
        long. Those are the ones with a lock on its table or an old snapshot in its database, and prepared ones.
      - A role that is not in C(pg_read_all_stats) does not see how long the transactions of others have been open.
    type: str
    default: 5m
  synchronous_commit:
    description:
      - With V(off), our own small transactions do not wait for the disk. The files of a new index are flushed all the
        same. V(keep) leaves what is set for the role.
    type: str
    default: "off"
    choices: ["off", keep]
  disk_headroom:
    description:
      - A rebuild is started only when this many times the disk space is free that it needs for the new index, for
        sorting and for the WAL.
      - What is free can be seen only on the server's own host. Elsewhere, rebuilds that need more than 256 MiB are
        left.
    type: float
    default: 1.2
  free_bytes:
    description:
      - How much disk space is free, such as V(200GB), where the module cannot see that.
    type: str
  force_without_disk_check:
    description:
      - Rebuild without knowing whether there is room. A disk that fills up can stop the server.
    type: bool
    default: false
  fail_on_skipped:
    description:
      - The task fails when an index that needs work was skipped for one of these reasons. It also fails when an index
        failed.
    type: list
    elements: str
    default: [permission]
    choices:
      - permission
      - permission_catalog
      - permission_toast
      - not_concurrently
      - unsafe_minor
      - constraint
      - partitioned
      - reported
      - building
      - blocked
      - lock
      - disk_space
      - disk_unknown
      - max_size
      - unmeasured
      - not_bloated
      - time_limit
      - timeout
      - cancelled
      - vanished
      - unproven
      - stopped
      - other_run
      - temporary
  report:
    description:
      - Which indexes RV(indexes) lists. V(changed) are those that were worked on or should have been, V(all) also those
        that need nothing or cannot be measured.
    type: str
    default: changed
    choices: [changed, all, none]
extends_documentation_fragment:
  - cadence.upkeep.postgres_connection
  - cadence.upkeep.postgres_job
  - cadence.upkeep.attributes
  - cadence.upkeep.attributes.action_groups
attributes:
  check_mode:
    support: full
    details:
      - The same plan is made from the same numbers, and no statement is sent that changes anything. Where the
        statistics behind an estimate are old, a run looks again after an C(ANALYZE), and may then rebuild less than was
        planned.
  diff_mode:
    support: full
    details:
      - Shows validity and size of each index before and after; in check mode, after is what is expected.
notes:
  - Two runs exclude each other by a lock on the host, and by an advisory lock in each database.
  - Sessions are named C(upkeep pg_reindex) and the O(run_id) in C(pg_stat_activity).
  - Least privilege is to own the tables; from PostgreSQL 17 on, the C(MAINTAIN) privilege on them or the role
    C(pg_maintain). To drop an invalid index takes its owner; what a failed rebuild left, by a role that has only
    C(MAINTAIN), stays until a run of the owner. Each is foreseen for every index before a statement is sent.
  - When the module is killed, the server ends the rebuild that was under way within seconds, and so it does when it is
    killed itself. The next run drops what was left, and goes on.
seealso:
  - module: cadence.upkeep.pg_vacuum
  - name: Rebuilding indexes concurrently
    description: What REINDEX CONCURRENTLY does and waits for, in the PostgreSQL manual.
    link: https://www.postgresql.org/docs/current/sql-reindex.html#SQL-REINDEX-CONCURRENTLY
"""

EXAMPLES = r"""
- name: Rebuild what is bloated or invalid in every database of the local cluster
  cadence.upkeep.pg_reindex:
    name: main
    login_unix_socket: /var/run/postgresql
    databases: ["*"]
    jobs: 2
    time_limit: 2h
    hard_time_limit: 4h
  become: true
  become_user: postgres

- name: Show what would be rebuilt in one database
  cadence.upkeep.pg_reindex:
    login_host: db.example.com
    login_user: upkeep
    login_password: "{{ vault_upkeep_password }}"
    login_db: shop
    ssl_mode: verify-full
    ca_cert: /etc/ssl/certs/db-ca.pem
    bloat_ratio: 0.2
    min_size: 10MB
  check_mode: true
  diff: true

- name: Clear what interrupted rebuilds left, and nothing else
  cadence.upkeep.pg_reindex:
    login_db: shop
    invalid: drop
    indexes: ["*_ccnew*", "*_ccold*"]

- name: Rebuild every text index after the system's collations have changed
  cadence.upkeep.pg_reindex:
    login_db: shop
    when: always
    indexes: ["*_name_idx", customers_email_key]
    fail_on_skipped: [permission, lock, blocked, time_limit]

- name: Rebuild the system catalogs in a maintenance window
  cadence.upkeep.pg_reindex:
    login_db: shop
    schemas: [pg_catalog]
    include_catalogs: true
    method: plain
    lock_timeout: 5s
"""

RETURN = r"""
summary:
  description: >-
    The verdict in short. C(worst) is the worst severity found, C(counts) the number of examined
    objects under the worst severity that each got, C(seconds) the wall time.
  returned: success
  type: dict
  sample: {worst: warning, counts: {ok: 41, info: 0, warning: 1, unknown: 0, critical: 0}, seconds: 3.871}
findings:
  description: What was judged, worst first. Codes are listed in the collection's findings page.
  returned: success
  type: list
  elements: dict
  sample:
    - code: pg.reindex_blocked
      subject: "main: shop.public.orders_customer_idx"
      severity: warning
      message: >-
        main: shop.public.orders_customer_idx was not built anew, because a transaction that has been open for long
        would hold it up: the session with pid 4711, idle in its transaction (5400 s, 0 transactions old); it needs it:
        10.1 MiB of 11.3 MiB are bloat, a share of 0.898 (limit 0.3, estimate).
      evidence:
        table: public.orders
        reason: [bloat]
        bytes: 11829248
        valid: true
        bloat_ratio: 0.898
        bloat_method: estimate
        holder:
          kind: idle_in_transaction
          id: "4711"
          database: shop
          xid_age: 0
          seconds: 5400
          hint: "Commit or roll back there, or end it: SELECT pg_terminate_backend(4711);"
      remedy: "Commit or roll back there, or end it: SELECT pg_terminate_backend(4711);"
      observed_at: "2026-11-22T04:13:00Z"
actions:
  description: The steps that were planned, done, skipped (with the reason) or failed.
  returned: success
  type: list
  elements: dict
  sample:
    - id: "main: shop.public.orders_pkey"
      description: REINDEX (CONCURRENTLY) INDEX public.orders_pkey
      status: done
      reason: 3.9 MiB of 4.3 MiB are bloat, a share of 0.897 (limit 0.3, estimate)
      seconds: 0.041
metrics:
  description: Numbers worth keeping, with unit and labels.
  returned: success
  type: list
  elements: dict
  sample:
    - {name: pg_reindex_freed, value: 4046848, unit: bytes, labels: {cluster: main, database: shop}}
truncated:
  description: How many entries of which list were left out, to keep the result small.
  returned: when something was left out
  type: dict
  sample: {findings: 250}
reindex:
  description:
    - The sums over all indexes. C(considered) is what the filters leave; C(skipped) counts only indexes that need work.
    - C(by_reason) counts why indexes were chosen (C(bloat), C(invalid), C(leftover), C(always)) and why others were
      left.
    - Bytes are measured, of the indexes that were rebuilt or dropped. C(freed) went back to the file system.
  returned: success
  type: dict
  sample:
    considered: 42
    planned: 0
    done: 2
    rebuilt: 1
    dropped: 1
    skipped: 1
    failed: 0
    bytes_before: 4530176
    bytes_after: 466944
    freed: 4063232
    by_reason: {blocked: 1, bloat: 1, leftover: 1, unmeasured: 1}
indexes:
  description:
    - One record for each index that O(report) asks for, those that went wrong first.
    - C(status) is V(planned), V(done), V(skipped) or V(failed). C(action) is V(rebuild) or V(drop), empty when the
      index was left before a statement was made for it.
    - C(leftovers) are invalid indexes that a failed rebuild of this one left and that could not be dropped yet.
  returned: success
  type: list
  elements: dict
  sample:
    - database: shop
      schema: public
      index: orders_pkey
      oid: 16390
      table_schema: public
      table: orders
      access_method: btree
      action: rebuild
      reason: [bloat]
      reason_text: 3.9 MiB of 4.3 MiB are bloat, a share of 0.897 (limit 0.3, estimate)
      priority: 2
      status: done
      skipped_reason: ""
      sqlstate: ""
      message: ""
      sql: REINDEX (CONCURRENTLY) INDEX public.orders_pkey
      attempts: 1
      waited: 0.0
      seconds: 0.041
      leftovers: []
      before: {bytes: 4513792, valid: true, filenode: 16390}
      after: {bytes: 466944, valid: true, filenode: 16400}
      bloat:
        bytes: 4046848
        ratio: 0.897
        expected_bytes: 466944
        method: estimate
        confidence: high
        why: ""
databases:
  description:
    - One record for each database. C(status) is V(planned), V(done), V(failed) or V(skipped), with the
      reason; it is V(skipped) too when work was due there and none of it could be done.
    - C(notes) are small mishaps that changed nothing about the result.
  returned: success
  type: list
  elements: dict
  sample:
    - name: shop
      status: done
      reason: ""
      considered: 42
      planned: 0
      done: 2
      skipped: 1
      failed: 0
      notes: []
      seconds: 3.62
blockers:
  description: >-
    The transactions that held work up; before the work (check mode), those that are older than O(blocker_age).
    C(kind) is V(backend), V(idle_in_transaction), V(prepared), V(slot) or V(standby_feedback).
  returned: success
  type: list
  elements: dict
  sample:
    - kind: prepared
      id: transfer-17
      database: shop
      xid_age: 51022
      seconds: 90211
      hint: "Finish it: COMMIT PREPARED 'transfer-17'; or ROLLBACK PREPARED 'transfer-17';"
deferred:
  description: True when nothing was looked at because the window is closed.
  returned: outside O(window)
  type: bool
  sample: true
queries:
  description: The first statements as they were sent, or in check mode would be.
  returned: success
  type: list
  elements: str
  sample: ["DROP INDEX CONCURRENTLY public.orders_pkey_ccnew", "REINDEX (CONCURRENTLY) INDEX public.orders_pkey"]
"""

from ansible.module_utils.basic import AnsibleModule

from ansible_collections.cadence.upkeep.plugins.module_utils._postgres.entry import run_job
from ansible_collections.cadence.upkeep.plugins.module_utils._postgres.reindex.argspec import ARGUMENT_SPEC
from ansible_collections.cadence.upkeep.plugins.module_utils._postgres.reindex.run import reindex


def main() -> None:
    run_job(AnsibleModule(argument_spec=ARGUMENT_SPEC, supports_check_mode=True), reindex)


if __name__ == "__main__":
    main()
