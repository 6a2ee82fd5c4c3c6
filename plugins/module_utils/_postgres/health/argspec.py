# Copyright (c) 2026 Upkeep maintainers
# GNU General Public License v3.0-or-later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The options of ``pg_health_info``."""

from __future__ import annotations

from typing import Any

from ansible_collections.cadence.upkeep.plugins.module_utils._postgres.argspec import CONNECTION_OPTIONS

# What is asked once for the cluster, in the order of the report.
CLUSTER_PARTS = (
    "connections",
    "cache_hit",
    "long_queries",
    "idle_in_transaction",
    "lock_waits",
    "xmin_holders",
    "wraparound",
    "slow_queries",
    "replication",
    "archiver",
    "prepared_xacts",
    "temp_files",
    "checksums",
    "settings",
)
# What is asked in each database.
DATABASE_PARTS = (
    "bloat",
    "unused_indexes",
    "duplicate_indexes",
    "invalid_indexes",
    "sequences",
    "large_objects",
    "last_vacuum",
)
# What has a share in both.
SHARED_PARTS = ("autovacuum", "sizes")
PARTS = CLUSTER_PARTS + DATABASE_PARTS + SHARED_PARTS
ALL = "all"

ARGUMENT_SPEC: dict[str, Any] = {
    **CONNECTION_OPTIONS,
    "databases": {"type": "list", "elements": "str"},
    "subset": {
        "type": "list",
        "elements": "str",
        "choices": [ALL, *PARTS, *(f"!{part}" for part in PARTS)],
        "default": [ALL],
    },
    "ignore": {"type": "list", "elements": "str", "default": []},
    "connections_warning": {"type": "str", "default": "80%"},
    "connections_critical": {"type": "str", "default": "90%"},
    "cache_hit_warning": {"type": "str", "default": "99%"},
    "cache_hit_critical": {"type": "str", "default": "95%"},
    "cache_hit_min_blocks": {"type": "int", "default": 100_000},
    "long_query": {"type": "str", "default": "5m"},
    "idle_in_transaction": {"type": "str", "default": "5m"},
    "lock_wait": {"type": "str", "default": "60s"},
    "xmin_age": {"type": "int", "default": 1_000_000},
    "xmin_time": {"type": "str", "default": "1h"},
    "prepared_xact": {"type": "str", "default": "5m"},
    "wraparound_warning": {"type": "str", "default": "50%"},
    "wraparound_critical": {"type": "str", "default": "75%"},
    "bloat_ratio": {"type": "float", "default": 0.5},
    "bloat_min_size": {"type": "str", "default": "100MB"},
    "unused_index_min_size": {"type": "str", "default": "1MB"},
    "unused_index_period": {"type": "str", "default": "30d"},
    "slow_query": {"type": "str", "default": "1s"},
    "slow_query_min_calls": {"type": "int", "default": 1},
    "lag_time_warning": {"type": "str", "default": "60s"},
    "lag_time_critical": {"type": "str", "default": "10m"},
    "lag_bytes_warning": {"type": "str", "default": "256MiB"},
    "lag_bytes_critical": {"type": "str", "default": "2GiB"},
    "slot_retained_warning": {"type": "str", "default": "1GiB"},
    "slot_retained_critical": {"type": "str", "default": "10GiB"},
    "slot_inactive": {"type": "str", "default": "1h"},
    "archive_ready_warning": {"type": "int", "default": 10},
    "archive_ready_critical": {"type": "int", "default": 100},
    "sequence_warning": {"type": "str", "default": "85%"},
    "sequence_critical": {"type": "str", "default": "95%"},
    "temp_files_warning": {"type": "str", "default": "10GiB"},
    "vacuum_overdue": {"type": "str", "default": "2d"},
    "top": {"type": "int", "default": 10},
    "statement_timeout": {"type": "str", "default": "30s"},
    "lock_timeout": {"type": "str", "default": "2s"},
    "time_limit": {"type": "str", "default": "50s"},
    "run_id": {"type": "str", "default": ""},
}
