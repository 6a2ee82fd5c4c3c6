#!/usr/bin/python
# Copyright (c) 2026 Upkeep maintainers
# GNU General Public License v3.0-or-later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Vacuum and analyse the tables of a PostgreSQL cluster that need it."""

from __future__ import annotations

DOCUMENTATION = r"""
module: pg_vacuum
short_description: Vacuum, analyse, freeze or rewrite the PostgreSQL tables that need it, and prove it
version_added: 0.1.0
description:
  - Looks at every table of one or more databases, and runs C(VACUUM) and C(ANALYZE) only where measured dead rows,
    changed rows, missing statistics or the age of its transactions pass a threshold. It says why for each table. A
    second run finds nothing to do.
  - A table counts as done when the server's own counters moved, and as frozen when its oldest transaction did, not
    because no error came back.
  - Small tables go several to one statement, and over several connections (O(jobs)).
  - Nothing of others is ended. A table that stays locked is skipped, and so is one on which autovacuum is at work; dead
    rows that an old snapshot holds are reported with the session, prepared transaction or replication slot that holds
    them.
  - A database that has used more than half of its transaction ids gets what saves it, see O(emergency).
author:
  - Upkeep maintainers (@cadence-upkeep)
options:
  mode:
    description:
      - V(vacuum_analyze) vacuums and analyses tables with dead rows, and analyses those with stale or missing
        statistics.
      - V(vacuum) and V(analyze) do only the one. V(freeze) vacuums only tables whose age passes O(xid_age) or
        O(mxid_age). In every mode that vacuums, such tables are vacuumed with C(FREEZE).
      - V(full) rewrites bloated tables, so that their space goes back to the file system. It needs O(tables) or
        O(schemas).
    type: str
    default: vacuum_analyze
    choices: [vacuum_analyze, vacuum, analyze, freeze, full]
  schemas:
    description:
      - Only tables in these schemas (names or shell patterns). A name that does not exist is an error.
    type: list
    elements: str
    default: []
  exclude_schemas:
    description:
      - No tables in these schemas (names or shell patterns). A name that does not exist is an error.
    type: list
    elements: str
    default: []
  tables:
    description:
      - Only these tables, as V(table), V(schema.table) or shell patterns of either. A name that does not exist is an
        error. With a partitioned table come its partitions.
    type: list
    elements: str
    default: []
  exclude_tables:
    description:
      - Not these tables, written as in O(tables). A name that does not exist is an error here too.
    type: list
    elements: str
    default: []
  include_catalogs:
    description:
      - Also look at the system catalogs. They are vacuumed by the same thresholds; missing statistics are not a reason
        there.
      - The default is V(true), and V(false) for O(mode=full), because the lock on a rewritten catalog stops everybody.
    type: bool
  when:
    description:
      - V(needed) works where a threshold is passed, V(always) on every table that the filters leave, also where
        autovacuum is at work (which gives way, unless it prevents wraparound).
    type: str
    default: needed
    choices: [needed, always]
  dead_ratio:
    description:
      - A table is vacuumed when this share of its rows is dead, and at least O(dead_min) rows are. The same holds for
        its TOAST table.
    type: float
    default: 0.1
  dead_min:
    description:
      - The least number of dead rows for a VACUUM.
    type: int
    default: 1000
  mod_ratio:
    description:
      - A table is analysed when at least O(mod_min) rows, and this share of its rows, changed since its last ANALYZE.
      - For a partitioned table, the changes in its partitions count, and so do rows gained or lost since.
    type: float
    default: 0.05
  mod_min:
    description:
      - The least number of changed rows for an ANALYZE.
    type: int
    default: 500
  missing_stats:
    description:
      - Also analyse a table with rows where a column, an expression of an index, a statistics object or the table with
        its children has no statistics yet.
      - A role that cannot read C(pg_statistic) sees only whether a table has any.
    type: bool
    default: true
  use_autovacuum_thresholds:
    description:
      - Judge dead, changed and inserted rows by the thresholds of autovacuum (the settings of the server and the
        storage parameters of each table) instead of O(dead_ratio), O(dead_min), O(mod_ratio) and O(mod_min). The
        thresholds of inserts are among them, and from PostgreSQL 18 on C(autovacuum_vacuum_max_threshold).
      - Tables for which autovacuum is turned off are judged like the others.
    type: bool
    default: false
  xid_age:
    description:
      - A table whose oldest transaction that is not frozen, or that of its TOAST table, is at least this old (in
        transactions) is vacuumed with C(FREEZE).
      - Autovacuum does the same from C(autovacuum_freeze_max_age) on (200 million), at a time of its own choice.
    type: int
    default: 150000000
  mxid_age:
    description:
      - The same for multixacts.
    type: int
    default: 300000000
  emergency:
    description:
      - What to do in a database whose oldest transaction or multixact is older than 2^30, half of what there is. With
        V(auto), the modes that vacuum freeze its old tables, the oldest first, and do nothing else there. Indexes are
        not cleaned, files not shortened, delays not kept, and locks are waited for. Templates that O(databases) leaves
        out are worked in, too.
      - V(true) does so in every database of the run, for the tables past O(xid_age) or O(mxid_age). V(false) never
        does. The state is reported in any case, and what keeps tables from being frozen comes first, with the command
        that ends it. It is never ended by the module.
    type: str
    default: auto
    choices: [auto, "true", "false"]
  skip_if_vacuumed_within:
    description:
      - Leave a table that was vacuumed (or, where only statistics are due, analysed) within this time, such as V(1h),
        by whomever.
    type: str
  jobs:
    description:
      - How many connections work at a time, besides one that watches. Fewer are used when the server has few left, and
        half of them when it runs out of memory.
    type: int
    default: 1
  batch_pages:
    description:
      - Tables of up to this many pages (8 KiB each) go several to one statement. V(0) gives each its own.
    type: int
    default: 128
  hard_time_limit:
    description:
      - What still runs after this time is cancelled, and nothing new is started.
    type: str
  lock_timeout:
    description:
      - How long one attempt waits for the lock on a table.
    type: str
    default: 2s
  lock_retries:
    description:
      - How often a table that was locked is tried again, after everything else. With V(0) no lock is waited for at all.
    type: int
    default: 3
  synchronous_commit:
    description:
      - With V(off), the many small transactions of ANALYZE do not wait for the disk. A crash could lose statistics, and
        never data. V(keep) leaves what is set for the role.
    type: str
    default: "off"
    choices: ["off", keep]
  cost_delay:
    description:
      - C(vacuum_cost_delay) of each session, at most V(100ms); V(0) is none. It counts for each connection on its own.
        What is left out stays as it is set for the role or the database.
    type: str
  cost_limit:
    description:
      - C(vacuum_cost_limit) of each session, 1 to 10000.
    type: int
  buffer_usage_limit:
    description:
      - How much of the shared buffers VACUUM and ANALYZE may use, such as V(2MiB). V(0) is no limit. PostgreSQL 16.
    type: str
  parallel:
    description:
      - How many workers may help one VACUUM with its indexes; V(0) is none. More than the server allows is reported as
        C(pg.parallel_limited), and the server uses fewer.
    type: int
  index_cleanup:
    description:
      - C(INDEX_CLEANUP) of VACUUM.
    type: str
    choices: [auto, "on", "off"]
  truncate:
    description:
      - Whether VACUUM may give empty pages at the end of a table back, for which it has to lock it for a moment.
    type: bool
  process_main:
    description:
      - With V(false), only TOAST tables are vacuumed, and only their numbers count. PostgreSQL 16.
    type: bool
  process_toast:
    description:
      - With V(false), TOAST tables are left, and their numbers do not count.
    type: bool
  disable_page_skipping:
    description:
      - Read all pages, also those that the visibility map takes for clean.
    type: bool
  skip_database_stats:
    description:
      - From PostgreSQL 16 on, the oldest transaction of the database is counted anew once, in the end. With V(true) it
        is not, with V(false) by each statement. PostgreSQL 16.
    type: bool
  fail_on_skipped:
    description:
      - The task fails when a table that needs work was skipped for one of these reasons. It also fails when a table
        failed.
    type: list
    elements: str
    default: [permission]
    choices:
      - permission
      - permission_catalog
      - lock
      - no_room
      - time_limit
      - timeout
      - cancelled
      - vanished
      - unproven
      - stopped
      - other_run
      - recent
      - autovacuum
      - lost
      - foreign
      - temporary
      - counters_off
      - bloat_unknown
      - disk_space
      - disk_unknown
      - held
      - method
  fail_on_blocked:
    description:
      - The task also fails when dead rows stayed, or a table could not be frozen, because something older may still see
        them.
    type: bool
    default: false
  bloat_ratio:
    description:
      - For O(mode=full) with O(when=needed), a table is rewritten when the rewrite would free at least this share of it
        (with its TOAST table), and at least O(bloat_min_size).
      - What would be freed is estimated from the statistics; see O(bloat_method).
    type: float
    default: 0.5
  bloat_min_size:
    description:
      - The least that a rewrite must free, such as V(100MB) or V(1GiB).
    type: str
    default: 100MB
  bloat_method:
    description:
      - V(auto) estimates, and lets C(pgstattuple) count where the estimate passes both limits and the extension is
        there. V(estimate) never counts. V(exact) rewrites only what was counted, and reads every table for it.
      - A table whose size after a rewrite is not known well enough is left, and reported as C(pg.bloat_unknown).
    type: str
    default: auto
    choices: [auto, estimate, exact]
  rewrite_method:
    description:
      - V(full) is C(VACUUM FULL), which locks the table against readers and writers until it is done.
      - V(repack) is C(REPACK (CONCURRENTLY)) of PostgreSQL 19, which locks it only for a moment. A table that the
        server cannot rewrite so (without a primary key, unlogged, a catalog) is left, and said so.
      - V(auto) takes V(repack) where the server and the table allow it, and V(full) elsewhere.
      - V(pg_repack) runs the program of that name, which must be on the host with the version of the extension in the
        database. It never ends a session of others, and whether it did its work is seen by the files of the table.
    type: str
    default: auto
    choices: [auto, repack, full, pg_repack]
  disk_headroom:
    description:
      - A rewrite writes the table anew before the old one goes. It is only begun when this many times the bytes that it
        needs are free, for tables, indexes, sorting and WAL, on the file system of each.
    type: float
    default: 1.2
  free_bytes:
    description:
      - How much is free where the server keeps its data, such as V(200GB), when this host cannot measure it. What can
        be measured counts instead.
    type: str
  force_without_disk_check:
    description:
      - Rewrite although it is not known whether the disk has room, or known that it has not. A full disk stops the
        server.
    type: bool
    default: false
  report:
    description:
      - Which tables RV(tables) lists. V(changed) are those that were worked on or should have been, V(all) also those
        that need nothing.
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
      - The same plan is made from the same numbers, and no statement is sent that changes anything.
  diff_mode:
    support: full
    details:
      - Shows the counters of each table before and after; in check mode, after is what a quiet server would show.
notes:
  - Two runs exclude each other by a lock on the host, and by an advisory lock in each database.
  - An option that the server is too old for is an error (C(unsupported_option)) before anything is done.
  - The live log of a run is C(progress/LABEL-pg_vacuum.log) in O(state_dir), with an estimate of the time left.
  - When the server is lost during the work, the task fails, and the result still has a record of each table.
  - Sessions are named C(upkeep pg_vacuum) and the O(run_id) in C(pg_stat_activity).
  - Least privilege is to own the tables or the database; from PostgreSQL 17 on, the C(MAINTAIN) privilege or the role
    C(pg_maintain). Each is foreseen for every table before a statement is sent.
seealso:
  - name: Routine vacuuming
    description: What VACUUM and ANALYZE do, in the PostgreSQL manual.
    link: https://www.postgresql.org/docs/current/routine-vacuuming.html
"""

EXAMPLES = r"""
- name: Vacuum what needs it in every database of the local cluster
  cadence.upkeep.pg_vacuum:
    name: main
    login_unix_socket: /var/run/postgresql
    databases: ["*"]
    jobs: 4
    time_limit: 30m
  become: true
  become_user: postgres

- name: Show what would be done in one database, over TLS
  cadence.upkeep.pg_vacuum:
    login_host: db.example.com
    login_user: upkeep
    login_password: "{{ vault_upkeep_password }}"
    login_db: shop
    ssl_mode: verify-full
    ca_cert: /etc/ssl/certs/db-ca.pem
  check_mode: true
  diff: true

- name: Vacuum a server in a Compose project that publishes no port, as the user that the project made
  cadence.upkeep.pg_vacuum:
    compose_project: shop
    compose_service: db
  become: true

- name: Refresh the statistics after a load, whatever the counters say
  cadence.upkeep.pg_vacuum:
    login_db: warehouse
    mode: analyze
    when: always
    schemas: [staging]

- name: Rewrite what is bloated in one schema, in a window of two hours
  cadence.upkeep.pg_vacuum:
    login_unix_socket: /var/run/postgresql
    login_db: shop
    mode: full
    schemas: [archive]
    bloat_ratio: 0.4
    bloat_min_size: 1GB
    time_limit: 90m
    hard_time_limit: 2h
  become: true
  become_user: postgres

- name: See which tables would be rewritten, what that would free, and what it needs of the disk
  cadence.upkeep.pg_vacuum:
    login_unix_socket: /var/run/postgresql
    login_db: shop
    mode: full
    tables: [orders, "log_*"]
  check_mode: true
  diff: true
  become: true
  become_user: postgres

- name: Freeze what is old, gently, before autovacuum has to
  cadence.upkeep.pg_vacuum:
    login_unix_socket: /var/run/postgresql
    databases: ["*"]
    mode: freeze
    xid_age: 120000000
    cost_delay: 2ms
    time_limit: 2h
    fail_on_blocked: true
  become: true
  become_user: postgres

- name: Do what autovacuum would do, at a quiet hour
  cadence.upkeep.pg_vacuum:
    login_db: shop
    use_autovacuum_thresholds: true
    window: "02:00-05:00"

- name: Keep two hot tables tight, and never wait for a lock
  cadence.upkeep.pg_vacuum:
    login_db: shop
    tables: [orders, "queue.*"]
    dead_ratio: 0.02
    lock_retries: 0
"""

RETURN = r"""
summary:
  description: >-
    The verdict in short. C(worst) is the worst severity found, C(counts) the number of examined
    objects under the worst severity that each got, C(seconds) the wall time.
  returned: success
  type: dict
  sample: {worst: warning, counts: {ok: 84, info: 0, warning: 1, unknown: 0, critical: 0}, seconds: 0.412}
findings:
  description: What was judged, worst first. Codes are listed in the collection's findings page.
  returned: success
  type: list
  elements: dict
  sample:
    - code: pg.vacuum_blocked
      subject: "main: shop.public.orders"
      severity: warning
      message: >-
        main: shop.public.orders kept 10000 of 10000 dead rows after its VACUUM: the session with pid 4711, idle in its
        transaction (5400 s, 120 transactions old) may still see them.
      evidence:
        reason: [dead]
        dead: 10000
        live: 20000
        mod_since_analyze: 10000
        dead_after: 10000
        attempts: 1
        holder:
          kind: idle_in_transaction
          id: "4711"
          database: shop
          xid_age: 120
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
    - id: "main: shop.public.orders"
      description: VACUUM (ANALYZE) public.orders
      status: done
      reason: 10000 of 30000 rows are dead, a share of 0.333 (limits 1000 and 0.1)
      seconds: 0.031
metrics:
  description: Numbers worth keeping, with unit and labels.
  returned: success
  type: list
  elements: dict
  sample:
    - {name: pg_vacuum_dead_rows_removed, value: 10000, unit: count, labels: {cluster: main, database: shop}}
truncated:
  description: How many entries of which list were left out, to keep the result small.
  returned: when something was left out
  type: dict
  sample: {findings: 250}
vacuum:
  description:
    - The sums over all tables. C(considered) is what the filters leave; C(skipped) counts only tables that need work.
    - C(by_reason) counts why tables were chosen (C(xid), C(mxid), C(dead), C(inserts), C(stats), C(missing_stats),
      C(always)) and why others were left.
    - Bytes are those of heap and TOAST of the tables that were worked on; of tables above O(batch_pages) they are
      measured, of smaller ones taken from C(relpages). C(freed) went back to the file system.
  returned: success
  type: dict
  sample:
    considered: 85
    planned: 0
    done: 3
    partial: 0
    skipped: 0
    failed: 0
    dead_before: 20000
    dead_after: 0
    bytes_before: 3940352
    bytes_after: 3940352
    freed: 0
    by_reason: {dead: 2, missing_stats: 1, stats: 2}
tables:
  description:
    - One record for each table that O(report) asks for, those that went wrong first.
    - C(status) is V(planned), V(done), V(skipped), V(failed), or V(partial) when dead rows, or what was to be frozen,
      were held back.
    - C(actions) are C(vacuum), C(freeze) and C(analyze). C(bytes_to_read) is an estimate, C(lock_mode) what the
      statement takes; C(xid_age) and C(mxid_age) are those of the table or its TOAST table, whichever is older.
    - With O(mode=full) a record also has C(method), C(lock_mode), C(disk_bytes) and C(disk_need), and its states have
      C(bloat_bytes), C(bloat_ratio), C(bloat_method), C(bloat_confidence) and C(filenode), which proves a rewrite.
  returned: success
  type: list
  elements: dict
  sample:
    - database: shop
      schema: public
      table: orders
      oid: 16401
      actions: [vacuum, analyze]
      reason: [dead, stats]
      reason_text: >-
        10000 of 30000 rows are dead, a share of 0.333 (limits 1000 and 0.1); 10000 rows changed since ANALYZE (limits
        500 and 0.05 of 20000)
      priority: 1
      status: done
      skipped_reason: ""
      sqlstate: ""
      message: ""
      sql: VACUUM (ANALYZE) public.orders
      lock_mode: SHARE UPDATE EXCLUSIVE
      bytes_to_read: 2097152
      attempts: 1
      waited: 0.0
      seconds: 0.019
      before:
        live: 20000
        dead: 10000
        mod_since_analyze: 10000
        toast_dead: 0
        xid_age: 6
        mxid_age: 0
        heap_bytes: 1572864
        toast_bytes: 0
        index_bytes: 909312
        last_vacuum: "2026-11-21T04:13:00Z"
        last_analyze: "2026-11-21T04:13:00Z"
      after:
        live: 20000
        dead: 0
        mod_since_analyze: 0
        toast_dead: 0
        xid_age: 9
        mxid_age: 0
        heap_bytes: 1572864
        toast_bytes: 0
        index_bytes: 909312
        last_vacuum: "2026-11-22T04:13:00Z"
        last_analyze: "2026-11-22T04:13:00Z"
databases:
  description:
    - One record for each database. C(status) is V(planned), V(done), V(failed) or V(skipped), with the
      reason; it is V(skipped) too when work was due there and none of it could be done.
    - C(notes) are small mishaps that changed nothing about the result.
    - C(emergency) says whether only what is old was frozen; C(before) and C(after) are the ages of the oldest
      transaction and multixact of the database, C(after) where something was to be frozen.
  returned: success
  type: list
  elements: dict
  sample:
    - name: shop
      status: done
      reason: ""
      considered: 85
      planned: 0
      done: 3
      partial: 0
      skipped: 0
      failed: 0
      emergency: false
      before: {xid_age: 1624, mxid_age: 800}
      after: null
      notes: []
      seconds: 0.21
blockers:
  description: >-
    What kept dead rows from being removed; before the work (check mode), what is older than a minute and could.
    C(kind) is V(backend), V(idle_in_transaction), V(prepared), V(slot) or V(standby_feedback).
  returned: success
  type: list
  elements: dict
  sample:
    - kind: slot
      id: reporting
      database: ""
      xid_age: 51022
      seconds: null
      hint: "Let its consumer catch up, or drop it: SELECT pg_drop_replication_slot('reporting');"
progress:
  description:
    - The file on the host to which the work writes how far it is, for C(tail -f); null when there was nothing to do,
      and in check mode. The next run begins it anew.
  returned: success
  type: str
  sample: /var/lib/upkeep/progress/main-pg_vacuum.log
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
  sample: ["VACUUM (ANALYZE) public.orders", "ANALYZE (SKIP_LOCKED) public.customers, public.invoices"]
"""

from collections.abc import Callable
from typing import Any

from ansible.module_utils.basic import AnsibleModule

from ansible_collections.cadence.upkeep.plugins.module_utils._postgres.entry import run_job
from ansible_collections.cadence.upkeep.plugins.module_utils._postgres.vacuum.argspec import ARGUMENT_SPEC


def job_of(mode: str) -> Callable[..., Any]:
    """Return what does the work of *mode*. A rewrite is a job of its own, compiled only where it is wanted."""
    if mode == "full":
        from ansible_collections.cadence.upkeep.plugins.module_utils._postgres.rewrite.run import rewrite

        return rewrite
    from ansible_collections.cadence.upkeep.plugins.module_utils._postgres.vacuum.run import vacuum

    return vacuum


def main() -> None:
    module = AnsibleModule(argument_spec=ARGUMENT_SPEC, supports_check_mode=True)
    run_job(module, job_of(module.params["mode"]))


if __name__ == "__main__":
    main()
