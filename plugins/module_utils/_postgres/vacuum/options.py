# Copyright (c) 2026 Upkeep maintainers
# GNU General Public License v3.0-or-later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Turn validated module parameters into values, once, at the edge."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from ansible_collections.cadence.upkeep.plugins.module_utils._core.errors import InvalidInput
from ansible_collections.cadence.upkeep.plugins.module_utils._postgres.options import (
    limit_of,
    require_at_least,
    seconds_of,
    session_options_of,
)
from ansible_collections.cadence.upkeep.plugins.module_utils._postgres.vacuum.model import Policy, RunOptions

_MOST_JOBS = 64


def policy_of(params: Mapping[str, Any]) -> Policy:
    """Return which tables need work. Raises ``InvalidInput`` for a threshold that no table could meet."""
    for option in ("dead_ratio", "mod_ratio"):
        if not 0.0 <= params[option] <= 1.0:
            raise InvalidInput(f"{option} is {params[option]:g}; it is a share between 0 and 1.", "Write 10 % as 0.1.")
    for option in ("dead_min", "mod_min"):
        require_at_least(params, option, 0)
    recent = params["skip_if_vacuumed_within"]
    return Policy(
        mode=params["mode"],
        always=params["when"] == "always",
        schemas=tuple(params["schemas"]),
        exclude_schemas=tuple(params["exclude_schemas"]),
        tables=tuple(params["tables"]),
        exclude_tables=tuple(params["exclude_tables"]),
        include_catalogs=params["include_catalogs"],
        dead_ratio=params["dead_ratio"],
        dead_min=params["dead_min"],
        mod_ratio=params["mod_ratio"],
        mod_min=params["mod_min"],
        missing_stats=params["missing_stats"],
        recent=seconds_of(params, "skip_if_vacuumed_within") if recent else None,
    )


def run_options_of(params: Mapping[str, Any]) -> RunOptions:
    """Return how the work is to be done. Raises ``InvalidInput`` naming the option that makes no sense."""
    require_at_least(params, "jobs", 1)
    if params["jobs"] > _MOST_JOBS:
        raise InvalidInput(f"jobs is {params['jobs']}; at most {_MOST_JOBS} connections make sense.")
    for option in ("batch_pages", "lock_retries"):
        require_at_least(params, option, 0)
    soft, hard = limit_of(params, "time_limit"), limit_of(params, "hard_time_limit")
    if soft is not None and hard is not None and hard < soft:
        raise InvalidInput(
            f"hard_time_limit ({params['hard_time_limit']}) is shorter than time_limit ({params['time_limit']}).",
            "Nothing new starts after time_limit, what still runs is cancelled after hard_time_limit: make it longer.",
        )
    if params["databases"] == []:
        raise InvalidInput("databases is an empty list.", "Name the databases, write ['*'], or leave the option out.")
    return RunOptions(
        databases=tuple(params["databases"] or [params["login_db"]]),
        jobs=params["jobs"],
        batch_pages=params["batch_pages"],
        time_limit=soft,
        hard_time_limit=hard,
        lock_retries=params["lock_retries"],
        lock_retry_delay=seconds_of(params, "lock_retry_delay"),
        stop_on_error=params["on_error"] == "stop",
        fail_on_skipped=frozenset(params["fail_on_skipped"]),
        report=params["report"],
        session=session_options_of(params, "pg_vacuum"),
    )
