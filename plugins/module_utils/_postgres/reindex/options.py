# Copyright (c) 2026 Upkeep maintainers
# GNU General Public License v3.0-or-later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Turn validated module parameters into values, once, at the edge."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from ansible_collections.cadence.upkeep.plugins.module_utils._core.errors import InvalidInput
from ansible_collections.cadence.upkeep.plugins.module_utils._core.units import parse_size
from ansible_collections.cadence.upkeep.plugins.module_utils._postgres.options import (
    limit_of,
    require_at_least,
    seconds_of,
    session_options_of,
)
from ansible_collections.cadence.upkeep.plugins.module_utils._postgres.reindex.model import (
    CONCURRENTLY,
    Policy,
    RunOptions,
)

_MOST_JOBS, _MOST_HEADROOM = 64, 1000
# How long a query that only looks may wait for a lock.
_LOOKING = "2s"
# To compile a query on the catalogs takes longer than to run it.
_OWN_SETTINGS = (("jit", "off"),)
_PLAIN_LOCK = "2s"
_CONCURRENT_LOCK = "10m"
# Less than this, and a rebuild beside other work would rather fail than end: each failure costs the whole build.
_LEAST_CONCURRENT_LOCK = 60.0


def policy_of(params: Mapping[str, Any]) -> Policy:
    """Return which indexes need work. Raises ``InvalidInput`` for a threshold that makes no sense."""
    if not 0.0 < params["bloat_ratio"] <= 1.0:
        raise InvalidInput(
            f"bloat_ratio is {params['bloat_ratio']:g}; it is a share above 0 and at most 1.",
            "Write 30 % as 0.3. To rebuild without looking at bloat, set when to always.",
        )
    least, most = size_of(params, "min_size"), size_of(params, "max_size") if params["max_size"] else None
    if most is not None and most < least:
        raise InvalidInput(
            f"max_size ({params['max_size']}) is smaller than min_size ({params['min_size']}).",
            "No index is as small as the one and as large as the other: correct one of them.",
        )
    return Policy(
        always=params["when"] == "always",
        schemas=tuple(params["schemas"]),
        exclude_schemas=tuple(params["exclude_schemas"]),
        tables=tuple(params["tables"]),
        exclude_tables=tuple(params["exclude_tables"]),
        indexes=tuple(params["indexes"]),
        exclude_indexes=tuple(params["exclude_indexes"]),
        include_catalogs=params["include_catalogs"],
        bloat_ratio=params["bloat_ratio"],
        min_size=least,
        max_size=most,
        bloat_method=params["bloat_method"],
        exact_max_size=size_of(params, "exact_max_size"),
        invalid=params["invalid"],
        concurrently=params["method"] == CONCURRENTLY,
        skip_unsafe_minor=params["skip_unsafe_minor"],
    )


def run_options_of(params: Mapping[str, Any]) -> RunOptions:
    """Return how the work is to be done. Raises ``InvalidInput`` naming the option that makes no sense."""
    require_at_least(params, "jobs", 1)
    if params["jobs"] > _MOST_JOBS:
        raise InvalidInput(
            f"jobs is {params['jobs']}; at most {_MOST_JOBS} connections make sense.",
            "Give about as many as the server has processors.",
        )
    require_at_least(params, "lock_retries", 0)
    require_at_least(params, "disk_headroom", 1, _MOST_HEADROOM)
    soft, hard = limit_of(params, "time_limit"), limit_of(params, "hard_time_limit")
    if soft is not None and hard is not None and hard < soft:
        raise InvalidInput(
            f"hard_time_limit ({params['hard_time_limit']}) is shorter than time_limit ({params['time_limit']}).",
            "Nothing new starts after time_limit, what still runs is cancelled after hard_time_limit: make it longer.",
        )
    if params["databases"] == []:
        raise InvalidInput("databases is an empty list.", "Name the databases, write ['*'], or leave the option out.")
    return RunOptions(
        databases=tuple(params["databases"] or [None]),
        jobs=params["jobs"],
        concurrently=params["method"] == CONCURRENTLY,
        lock_timeout=lock_timeout_of(params, hard),
        tablespace=params["tablespace"] or "",
        time_limit=soft,
        hard_time_limit=hard,
        lock_retries=params["lock_retries"],
        lock_retry_delay=seconds_of(params, "lock_retry_delay"),
        blocker_age=seconds_of(params, "blocker_age"),
        stop_on_error=params["on_error"] == "stop",
        fail_on_skipped=frozenset(params["fail_on_skipped"]),
        report=params["report"],
        skip_standby=params["on_standby"] == "skip",
        disk_headroom=params["disk_headroom"],
        free_bytes=size_of(params, "free_bytes") if params["free_bytes"] else None,
        without_disk_check=params["force_without_disk_check"],
        session=replace(session_options_of({**params, "lock_timeout": _LOOKING}, "pg_reindex"), settings=_OWN_SETTINGS),
    )


def lock_timeout_of(params: Mapping[str, Any], hard: float | None) -> float:
    """Return how long one rebuild may wait for others, by its method. Raises ``InvalidInput`` for too short a time."""
    if params["method"] != CONCURRENTLY:
        return seconds_of({"lock_timeout": params["lock_timeout"] or _PLAIN_LOCK}, "lock_timeout")
    seconds = seconds_of({"lock_timeout": params["lock_timeout"] or _CONCURRENT_LOCK}, "lock_timeout")
    if 0 < seconds < _LEAST_CONCURRENT_LOCK:
        raise InvalidInput(
            f"lock_timeout is {params['lock_timeout']}; a concurrent rebuild gets at least 1m.",
            "It waits for every transaction on its table by design, and one that gives up has to drop what it built. "
            "Give it more time, or set method to plain, which has nothing to lose.",
        )
    if seconds == 0 and hard is None:
        raise InvalidInput(
            "lock_timeout is 0 without a hard_time_limit: a forgotten transaction would hold the run up for ever.",
            "Set hard_time_limit too, or give lock_timeout a time of at least 1m.",
        )
    return seconds


def size_of(params: Mapping[str, Any], option: str) -> int:
    """Return the size in *option*, in bytes. Raises ``InvalidInput`` naming the option."""
    try:
        return parse_size(params[option])
    except InvalidInput as error:
        raise InvalidInput(f"{option}: {error.message}", error.remedy) from None
