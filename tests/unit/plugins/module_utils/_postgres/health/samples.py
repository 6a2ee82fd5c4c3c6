"""What the tests of the judgements are made from: a snapshot of a healthy cluster, and what is wanted of it."""

from __future__ import annotations

from typing import Any

from ansible_collections.cadence.upkeep.plugins.module_utils._core.argspec import validate
from ansible_collections.cadence.upkeep.plugins.module_utils._postgres.health.argspec import ARGUMENT_SPEC
from ansible_collections.cadence.upkeep.plugins.module_utils._postgres.health.model import (
    DatabaseRow,
    Facts,
    Place,
    Policy,
    Snapshot,
    Verdict,
)
from ansible_collections.cadence.upkeep.plugins.module_utils._postgres.health.options import policy_of

NOW = 1_800_000_000.0
DAY = 86400.0
SETTINGS = {
    "archive_command": "true",
    "archive_library": "false",
    "archive_mode": "on",
    "autovacuum": "on",
    "autovacuum_max_workers": "3",
    "autovacuum_naptime": "60",
    "autovacuum_vacuum_cost_delay": "2",
    "autovacuum_vacuum_cost_limit": "-1",
    "data_checksums": "on",
    "fsync": "on",
    "max_connections": "100",
    "max_slot_wal_keep_size": "-1",
    "reserved_connections": "7",
    "superuser_reserved_connections": "3",
    "synchronous_standby_names": "false",
    "track_counts": "on",
    "vacuum_cost_limit": "200",
}
PLACE = Place("shop")


def params(**options: Any) -> dict[str, Any]:
    return validate("pg_health_info", ARGUMENT_SPEC, options).params


def policy(**options: Any) -> Policy:
    return policy_of(params(**options))


def facts(settings: dict[str, str] | None = None, **changed: Any) -> Facts:
    plain: dict[str, Any] = {
        "started": NOW - 10 * DAY,
        "counters_since": NOW - 100 * DAY,
        "settings": {**SETTINGS, **(settings or {})},
        "reads_all_stats": True,
        "lists_archive": True,
        "server_now": NOW,
    }
    return Facts(**{**plain, **changed})


def database(name: str = "shop", **changed: Any) -> DatabaseRow:
    plain: dict[str, Any] = {
        "accepts_connections": True,
        "template": False,
        "valid": True,
        "may_connect": True,
        "frozen_age": 1000,
        "multixact_age": 0,
        "backends": 3,
        "connection_limit": -1,
        "hits": 1_000_000,
        "reads": 100,
        "temp_files": 0,
        "temp_bytes": 0,
        "checksum_failures": 0,
        "checksum_last_failure": None,
        "stats_reset": None,
    }
    return DatabaseRow(name, **{**plain, **changed})


def snapshot(**changed: Any) -> Snapshot:
    plain: dict[str, Any] = {
        "label": "main",
        "login": "shop",
        "version": 150018,
        "in_recovery": False,
        "user": "upkeep",
        "facts": facts(),
        "databases": (database(),),
        "parts": {},
        "places": (PLACE,),
    }
    return Snapshot(**{**plain, **changed})


def told(verdict: Verdict) -> dict[str, tuple[str, str]]:
    """Code and severity of each problem by its subject."""
    return {each.finding.subject: (each.finding.code, each.finding.severity.word) for each in verdict.problems}


def sql_of(verdict: Verdict) -> list[str]:
    return [each.sql for each in verdict.problems]


def messages(verdict: Verdict) -> list[str]:
    return [each.finding.message for each in verdict.problems]
