#!/usr/bin/python
# Copyright (c) 2026 Upkeep maintainers
# GNU General Public License v3.0-or-later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Look at the health of a PostgreSQL cluster."""

from __future__ import annotations

DOCUMENTATION = r"""
module: pg_health_info
short_description: Look at the health of a PostgreSQL cluster, and say what to do about it
version_added: 0.1.0
description:
  - Asks a server once for everything that goes wrong slowly or silently, and judges it. Each finding has the numbers
    and a statement that can be pasted. Nothing is changed, and nobody's session is ended; the sessions are read only.
  - One connection for each database that is looked into, and about a dozen statements in all. A part that cannot be
    seen, for want of a privilege, because of a lock or of its time, is a finding of its own at the severity
    V(unknown) that names the grant or the step that mends it; all other parts are judged nevertheless.
  - Works on primaries and standbys, as a superuser, as a member of C(pg_monitor), and with what is left to an ordinary
    role.
  - Queries are shown only as C(pg_stat_statements) has them, without their constants; what a session runs is not shown.
author:
  - Upkeep maintainers (@cadence-upkeep)
options:
  databases:
    description:
      - The databases to look into, as names or shell patterns. V(*) is every one that accepts connections, without
        templates.
      - The default is O(login_db). What belongs to the whole cluster is looked at once, whatever stands here.
    type: list
    elements: str
  subset:
    description:
      - What to look at. V(all) is everything; a part with an exclamation mark is left out, V(!bloat) alone is
        everything else.
      - Asked once for the cluster are V(connections), V(cache_hit), V(long_queries), V(idle_in_transaction),
        V(lock_waits), V(xmin_holders), V(wraparound), V(slow_queries), V(replication), V(archiver), V(prepared_xacts),
        V(temp_files), V(checksums) and V(settings).
      - Asked in each of O(databases) are V(bloat), V(unused_indexes), V(duplicate_indexes), V(invalid_indexes),
        V(sequences), V(large_objects) and V(last_vacuum).
      - V(autovacuum) and V(sizes) have a share in both.
    type: list
    elements: str
    default: [all]
    choices:
      - all
      - connections
      - cache_hit
      - long_queries
      - idle_in_transaction
      - lock_waits
      - xmin_holders
      - wraparound
      - slow_queries
      - replication
      - archiver
      - prepared_xacts
      - temp_files
      - checksums
      - settings
      - bloat
      - unused_indexes
      - duplicate_indexes
      - invalid_indexes
      - sequences
      - large_objects
      - last_vacuum
      - autovacuum
      - sizes
      - "!connections"
      - "!cache_hit"
      - "!long_queries"
      - "!idle_in_transaction"
      - "!lock_waits"
      - "!xmin_holders"
      - "!wraparound"
      - "!slow_queries"
      - "!replication"
      - "!archiver"
      - "!prepared_xacts"
      - "!temp_files"
      - "!checksums"
      - "!settings"
      - "!bloat"
      - "!unused_indexes"
      - "!duplicate_indexes"
      - "!invalid_indexes"
      - "!sequences"
      - "!large_objects"
      - "!last_vacuum"
      - "!autovacuum"
      - "!sizes"
  ignore:
    description:
      - Findings that are known and accepted, as shell patterns on their subject without the label of the cluster, such
        as V(shop.public.idx_yearly) or V(slot reporting). They are left out; RV(checks) still counts them.
    type: list
    elements: str
    default: []
  connections_warning:
    description:
      - From which share of used connections on is a warning. The whole is C(max_connections) without those that are
        reserved. Databases and roles with a limit of their own are judged by the same shares.
    type: str
    default: 80%
  connections_critical:
    description: From which share of used connections on is critical.
    type: str
    default: 90%
  cache_hit_warning:
    description: Below which share of blocks that were found in the server's cache is a warning.
    type: str
    default: 99%
  cache_hit_critical:
    description: Below which share of blocks that were found in the server's cache is critical.
    type: str
    default: 95%
  cache_hit_min_blocks:
    description: With fewer blocks than this, the cache is not judged, which is V(unknown).
    type: int
    default: 100000
  long_query:
    description:
      - From which time on a running query is a warning. Maintenance that shows its progress (C(VACUUM),
        C(CREATE INDEX), C(COPY) and the like) is V(info).
    type: str
    default: 5m
  idle_in_transaction:
    description: How long a session may do nothing in an open transaction.
    type: str
    default: 5m
  lock_wait:
    description: How long a session may wait for a lock. There is one finding for each session that others wait for.
    type: str
    default: 60s
  xmin_age:
    description:
      - From which number of transactions on a snapshot, a prepared transaction, a slot or a standby is too old, because
        no VACUUM removes the rows that it may still see.
    type: int
    default: 1000000
  xmin_time:
    description: The same as a time. Slots and standbys have none.
    type: str
    default: 1h
  prepared_xact:
    description: How long a prepared transaction may wait for its end.
    type: str
    default: 5m
  wraparound_warning:
    description: From which share of the distance to the wraparound on (of transactions or multixacts) is a warning.
    type: str
    default: 50%
  wraparound_critical:
    description: From which share of the distance to the wraparound on is critical.
    type: str
    default: 75%
  bloat_ratio:
    description: From which share of free space on a table or an index is bloated. 0.5 is twice its size.
    type: float
    default: 0.5
  bloat_min_size:
    description: Smaller tables and indexes are not looked at for bloat.
    type: str
    default: 100MB
  unused_index_min_size:
    description: Smaller indexes are not looked at for being unused.
    type: str
    default: 1MB
  unused_index_period:
    description:
      - For how long an index must not have been read. When the server has not been counting for so long, that is
        V(unknown); from PostgreSQL 16 on the time of the last read is known, and is enough.
    type: str
    default: 30d
  slow_query:
    description: From which mean time on a statement is slow.
    type: str
    default: 1s
  slow_query_min_calls:
    description: Statements with fewer calls are not judged.
    type: int
    default: 1
  lag_time_warning:
    description: From which delay of a standby on is a warning.
    type: str
    default: 60s
  lag_time_critical:
    description: From which delay of a standby on is critical.
    type: str
    default: 10m
  lag_bytes_warning:
    description:
      - From how much WAL on that a standby has yet to replay is a warning. When a standby stands still, its delay in
        time does not grow on the primary, and this does.
    type: str
    default: 256MiB
  lag_bytes_critical:
    description: From how much WAL on that a standby has yet to replay is critical.
    type: str
    default: 2GiB
  slot_retained_warning:
    description: From how much WAL on that is kept for a replication slot is a warning.
    type: str
    default: 1GiB
  slot_retained_critical:
    description: From how much WAL on that is kept for a replication slot is critical.
    type: str
    default: 10GiB
  slot_inactive:
    description:
      - How long a slot may be unused. Before PostgreSQL 17 that time is not known, and an unused slot is V(info).
    type: str
    default: 1h
  archive_ready_warning:
    description: From how many WAL segments on that wait to be archived is a warning.
    type: int
    default: 10
  archive_ready_critical:
    description: From how many WAL segments on that wait to be archived is critical.
    type: int
    default: 100
  sequence_warning:
    description:
      - From which share of used numbers on is a warning. The end is that of the sequence, or of the type of the column
        that it fills, whichever comes first.
    type: str
    default: 85%
  sequence_critical:
    description: From which share of used numbers on is critical.
    type: str
    default: 95%
  temp_files_warning:
    description: From how much in temporary files on, for a database and a day, is a warning.
    type: str
    default: 10GiB
  vacuum_overdue:
    description:
      - How long a table may have passed the limits of autovacuum (its own, or those of the server) without a VACUUM or
        ANALYZE by anybody.
    type: str
    default: 2d
  top:
    description: How many statements, databases and tables to list for the report.
    type: int
    default: 10
  statement_timeout:
    description: How long one statement may take.
    type: str
    default: 30s
  lock_timeout:
    description: How long a statement may wait for a lock.
    type: str
    default: 2s
  time_limit:
    description: How long all may take together. What was not asked by then is V(unknown).
    type: str
    default: 50s
  run_id:
    description:
      - A name for the run. It stands in C(application_name).
    type: str
    default: ""
extends_documentation_fragment:
  - cadence.upkeep.postgres_connection
  - cadence.upkeep.attributes
  - cadence.upkeep.attributes.read_only
  - cadence.upkeep.attributes.action_groups
notes:
  - Least privilege is C(pg_monitor), with C(pg_read_all_data) for sequences, large objects and bloat.
  - A pooler in session mode is fine. One that gives each transaction another process of the server is refused, because
    what is set for a session (read only, the timeouts) would stay with the sessions of others.
  - Each sequence that is read is locked against changes of its definition until the statement ends, so that no more
    than a quarter of the server's locks are taken at a time; thousands of sequences take one statement for each such
    batch.
seealso:
  - module: cadence.upkeep.pg_vacuum
  - name: The statistics system
    description: Where the numbers come from, in the PostgreSQL manual.
    link: https://www.postgresql.org/docs/current/monitoring-stats.html
"""

EXAMPLES = r"""
- name: Look at everything in all databases of the local cluster
  cadence.upkeep.pg_health_info:
    name: main
    login_unix_socket: /var/run/postgresql
    databases: ["*"]
  become: true
  become_user: postgres

- name: Look at what changes by the minute, as a role of pg_monitor
  cadence.upkeep.pg_health_info:
    login_host: db.example.com
    login_user: upkeep
    login_password: "{{ vault_upkeep_password }}"
    ssl_mode: verify-full
    ca_cert: /etc/ssl/certs/db-ca.pem
    subset: [connections, long_queries, idle_in_transaction, lock_waits, replication]

- name: Look at one database, but not at its bloat, and accept one index that is needed once a year
  cadence.upkeep.pg_health_info:
    login_db: shop
    subset: ["!bloat"]
    slow_query: 200ms
    slow_query_min_calls: 100
    ignore: [shop.public.orders_fiscal_year_idx]
"""

RETURN = r"""
summary:
  description: >-
    The verdict in short. C(worst) is the worst severity found, C(counts) the number of examined
    objects under the worst severity that each got, C(seconds) the wall time.
  returned: success
  type: dict
  sample: {worst: warning, counts: {ok: 23, info: 1, warning: 1, unknown: 0, critical: 0}, seconds: 0.137}
findings:
  description: What was judged, worst first. Codes are listed in the collection's findings page.
  returned: success
  type: list
  elements: dict
  sample:
    - code: pg.index_duplicate
      subject: "main: shop.public.orders_customer_idx1"
      severity: warning
      message: >-
        The index public.orders_customer_idx1 on public.orders (1.1 MiB, read 0 times) has the same keys as
        orders_customer_idx.
      evidence:
        database: shop
        index: public.orders_customer_idx1
        table: public.orders
        keeper: orders_customer_idx
        exact: true
        bytes: 1138688
        scans: 0
      remedy: "orders_customer_idx does its work: DROP INDEX CONCURRENTLY public.orders_customer_idx1;"
      observed_at: "2026-11-22T04:13:00Z"
actions:
  description: Always empty, because the module changes nothing.
  returned: success
  type: list
  elements: dict
  sample: []
metrics:
  description: Numbers worth a trend.
  returned: success
  type: list
  elements: dict
  sample:
    - {name: pg_connections_used_ratio, value: 0.0877, unit: ratio, labels: {cluster: main}}
    - {name: pg_database_size, value: 31884067, unit: bytes, labels: {cluster: main, database: shop}}
truncated:
  description: How many entries of which list were left out, to keep the result small.
  returned: when something was left out
  type: dict
  sample: {metrics: 250}
version:
  description: The server's version.
  returned: success
  type: str
  sample: "15.18"
in_recovery:
  description: Whether the server is a standby.
  returned: success
  type: bool
  sample: false
started:
  description: When the server was started.
  returned: success
  type: str
  sample: "2026-11-01T04:00:12Z"
stats_reset:
  description: Since when the counters of O(login_db) count. A reset and a crash begin them anew.
  returned: success
  type: str
  sample: "2026-09-14T08:20:51Z"
databases:
  description: The databases that were looked into.
  returned: success
  type: list
  elements: str
  sample: [shop]
databases_left_out:
  description: Those that O(databases) takes along and nobody could look into, with the reason.
  returned: success
  type: list
  elements: dict
  sample:
    - {name: template1, reason: it is a template}
checks:
  description:
    - One entry for each part that was asked for. C(status) is the worst severity, C(value) what was measured (over
      several databases the sum, or the worst), C(threshold) the limits.
    - C(items) are the first things that were looked at, the worst first; C(advice) is the remedy of the worst finding,
      C(sql) the first statements to paste.
  returned: success
  type: dict
  sample:
    sequences:
      status: warning
      value: 0.931323
      threshold: {warning: 0.85, critical: 0.95}
      items:
        - database: shop
          sequence: public.orders_id_seq
          type: integer
          last_value: 2000000000
          limit: 2147483647
          share: 0.931323
          table: public.orders
          column: id
          column_type: int4
      advice: >-
        Make room; to change the type of a column rewrites its table and locks it: ALTER TABLE public.orders ALTER
        COLUMN id TYPE bigint; ALTER SEQUENCE public.orders_id_seq AS bigint;
      sql:
        - ALTER TABLE public.orders ALTER COLUMN id TYPE bigint; ALTER SEQUENCE public.orders_id_seq AS bigint;
tables:
  description: The largest tables of each database, with all that belongs to them. C(rows) is the server's estimate.
  returned: when V(sizes) was asked for
  type: list
  elements: dict
  sample:
    - database: shop
      table: public.orders
      rows: 50000
      bytes: 14393344
      heap_bytes: 5242880
      index_bytes: 9150464
      toast_bytes: 0
      exact: true
"""

from ansible.module_utils.basic import AnsibleModule

from ansible_collections.cadence.upkeep.plugins.module_utils._core.errors import UpkeepError
from ansible_collections.cadence.upkeep.plugins.module_utils._core.times import utc_now
from ansible_collections.cadence.upkeep.plugins.module_utils._postgres.health.argspec import ARGUMENT_SPEC
from ansible_collections.cadence.upkeep.plugins.module_utils._postgres.health.check import check
from ansible_collections.cadence.upkeep.plugins.module_utils._postgres.options import place_of


def main() -> None:
    module = AnsibleModule(argument_spec=ARGUMENT_SPEC, supports_check_mode=True)
    try:
        outcome = check(module.params, utc_now())
    except UpkeepError as error:
        error.evidence["subject"] = place_of(module.params)
        module.fail_json(**error.as_failure())
    module.exit_json(**outcome.as_result())


if __name__ == "__main__":
    main()
