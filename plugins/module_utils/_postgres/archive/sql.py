# Copyright (c) 2026 Upkeep maintainers
# GNU General Public License v3.0-or-later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The statements of the job. All of them only read; every role may run them, unless somebody took that away."""

from __future__ import annotations

# The identifier is an unsigned number that PostgreSQL hands out as a signed one.
SERVER_QUERY = """
SELECT pg_is_in_recovery(), (SELECT system_identifier FROM pg_control_system()),
       (SELECT bytes_per_wal_segment FROM pg_control_init()), c.redo_lsn::text,
       CASE WHEN pg_is_in_recovery() THEN c.timeline_id
            ELSE ('x' || left(pg_walfile_name(pg_current_wal_lsn()), 8))::bit(32)::int END,
       coalesce((SELECT setting FROM pg_settings WHERE name = 'data_directory'), ''),
       (SELECT count(*) FROM pg_stat_progress_basebackup), current_setting('archive_mode'),
       has_function_privilege('pg_ls_archive_statusdir()', 'EXECUTE')
FROM pg_control_checkpoint() c
"""

SLOTS_QUERY = """
SELECT slot_name, restart_lsn::text, coalesce(wal_status, '') FROM pg_replication_slots ORDER BY slot_name
"""

# What a standby has received it keeps itself: it asks the archive for what comes after.
STANDBYS_QUERY = """
SELECT coalesce(application_name, ''), pid, coalesce(state, ''), least(flush_lsn, replay_lsn)::text
FROM pg_stat_replication ORDER BY pid
"""

ARCHIVER_QUERY = """
SELECT coalesce(last_archived_wal, ''), extract(epoch FROM last_archived_time)::float8, failed_count,
       coalesce(last_failed_wal, ''), extract(epoch FROM last_failed_time)::float8
FROM pg_stat_archiver
"""

READY_QUERY = "SELECT count(*) FROM pg_ls_archive_statusdir() WHERE right(name, 6) = '.ready'"
