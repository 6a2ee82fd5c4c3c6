# Copyright (c) 2026 Upkeep maintainers
# GNU General Public License v3.0-or-later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What is asked of a server, each as one JSON value."""

from __future__ import annotations

from collections.abc import Sequence

BEGIN = "BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY"
SNAPSHOT = "SELECT json_build_object('snapshot', pg_catalog.pg_export_snapshot())::text"

FACTS = """
SELECT json_build_object(
  'version', current_setting('server_version_num')::int,
  'server_version', split_part(current_setting('server_version'), ' ', 1),
  'database', d.datname,
  'encoding', pg_catalog.pg_encoding_to_char(d.encoding),
  'bytes', pg_catalog.pg_database_size(d.oid),
  'extensions', (SELECT coalesce(json_agg(e.extname ORDER BY e.extname), '[]') FROM pg_catalog.pg_extension e),
  'standby', pg_catalog.pg_is_in_recovery())::text
FROM pg_catalog.pg_database d WHERE d.datname = current_database()"""

# Everybody may ask, unless that was taken away.
IDENTITY = """
SELECT json_build_object('id', CASE WHEN has_function_privilege('pg_catalog.pg_control_system()', 'EXECUTE')
  THEN (SELECT s.system_identifier::text FROM pg_catalog.pg_control_system() s) END,
  'passwords', has_table_privilege('pg_catalog.pg_authid', 'SELECT'))::text"""

DATABASES = """
SELECT coalesce(json_agg(json_build_array(d.datname, d.datallowconn AND d.datconnlimit <> -2, d.datistemplate)
  ORDER BY d.datname), '[]')::text FROM pg_catalog.pg_database d"""

# The tables whose data pg_dump writes: ordinary ones (partitions are), and of extensions those that ask for it. What is
# unlogged has no data on a standby.
TABLES = """
WITH configured AS (
  SELECT u.oid, u.condition FROM pg_catalog.pg_extension e, unnest(e.extconfig, e.extcondition) u (oid, condition))
SELECT coalesce(json_agg(json_build_array(n.nspname, c.relname, format('%I.%I', n.nspname, c.relname),
  coalesce(f.condition, '')) ORDER BY n.nspname, c.relname), '[]')::text
FROM pg_catalog.pg_class c JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace
LEFT JOIN configured f ON f.oid = c.oid
WHERE c.relkind = 'r' AND (c.relpersistence = 'p' OR (c.relpersistence = 'u' AND NOT pg_catalog.pg_is_in_recovery()))
  AND n.nspname <> 'information_schema' AND n.nspname !~ '^pg_'
  AND (f.oid IS NOT NULL OR NOT EXISTS (
    SELECT 1 FROM pg_catalog.pg_depend p
    WHERE p.classid = 'pg_catalog.pg_class'::regclass AND p.objid = c.oid AND p.deptype = 'e'))"""

# So that the server ends what it does for a client that was killed; it can see that on Linux alone, from 14 on.
NOTICE_DEATH = """
SELECT json_build_object('set', (SELECT pg_catalog.set_config('client_connection_check_interval', '5s', false)
  WHERE version() ~ 'linux' AND current_setting('server_version_num')::int >= 140000))::text"""

SETTINGS = (
    "SET search_path = ''",
    "SET statement_timeout = 0",
    "SET idle_in_transaction_session_timeout = 0",
    "SET row_security = off",
    "SET client_min_messages = error",
)


def sessions_of_the_dead(application: str) -> str:
    """Return the question for the pids of the sessions of that name, but our own."""
    return f"""
SELECT coalesce(json_agg(a.pid ORDER BY a.pid), '[]')::text FROM pg_catalog.pg_stat_activity a
WHERE {_named(application)} AND a.pid <> pg_catalog.pg_backend_pid()"""


def end_session(pid: int, application: str) -> str:
    """Return the question that ends the session *pid*, if it has that name still: whether it was ended.

    In a WHERE nobody says which condition the server looks at first, and it would end sessions that no other one means.
    """
    return f"""
SELECT json_build_object('ended', CASE WHEN EXISTS (
  SELECT 1 FROM pg_catalog.pg_stat_activity a WHERE {_named(application)} AND a.pid = {pid})
THEN pg_catalog.pg_terminate_backend({pid}) END)::text"""


def _named(application: str) -> str:
    quoted = application.replace("'", "''")
    return f"a.application_name = '{quoted}' AND a.usename = current_user"


def lock_timeout(seconds: float) -> str:
    return f"SET lock_timeout = {max(1, round(seconds * 1000))}"


def set_role(role: str) -> str:
    quoted = role.replace('"', '""')
    return f'SET ROLE "{quoted}"'


def counts(tables: Sequence[tuple[str, str]]) -> str:
    """Return the question for the rows of *tables*: the name as the server quotes it, and the condition of a dump."""
    asked = (f"(SELECT pg_catalog.count(*) FROM ONLY {name} {condition})" for name, condition in tables)
    return f"SELECT json_build_array({', '.join(asked)})::text"


def as_text(statement: str) -> str:
    """Return the question for the one JSON value of *statement*, as a text that no driver takes apart."""
    return f"SELECT answer.value::text FROM ({statement.rstrip().rstrip(';')}) AS answer (value)"
