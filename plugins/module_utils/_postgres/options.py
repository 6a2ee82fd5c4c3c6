# Copyright (c) 2026 Upkeep maintainers
# GNU General Public License v3.0-or-later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Turn validated module parameters into values, once, at the edge."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from ansible_collections.cadence.upkeep.plugins.module_utils._core.errors import InvalidInput
from ansible_collections.cadence.upkeep.plugins.module_utils._core.units import parse_duration
from ansible_collections.cadence.upkeep.plugins.module_utils._postgres.model import (
    ConnectionOptions,
    Policy,
    RunOptions,
)

# What connect_params may not hold, and what to do instead.
_REFUSED_PARAMETERS = {
    "password": "Give it as login_password, which is masked, or in a password file of libpq (~/.pgpass).",
    "sslpassword": "It would be printed and logged: use a key without a password that only this user can read.",
    "dbname": "Give it as login_db, and the databases to work on as databases.",
}
_MOST_JOBS = 64


def connection_of(params: Mapping[str, Any]) -> ConnectionOptions:
    """Return where to connect. Raises ``InvalidInput`` for what ``connect_params`` may not hold, such as a secret."""
    extra = dict(params["connect_params"] or {})
    for name, remedy in _REFUSED_PARAMETERS.items():
        if name in extra:
            raise InvalidInput(f"connect_params holds {name}, which does not belong there.", remedy)
    host = params["login_host"]
    if params["login_unix_socket"] and host in ("", "localhost"):
        host = params["login_unix_socket"]
    options = ConnectionOptions(
        label="",
        host=host,
        port=params["login_port"],
        user=params["login_user"],
        password=params["login_password"],
        database=params["login_db"],
        ssl_mode=params["ssl_mode"],
        ca_cert=params["ca_cert"],
        ssl_cert=params["ssl_cert"],
        ssl_key=params["ssl_key"],
        params=extra,
        session_role=params["session_role"],
    )
    return replace(options, label=params["name"] or options.endpoint)


def policy_of(params: Mapping[str, Any]) -> Policy:
    """Return which tables need work. Raises ``InvalidInput`` for a threshold that no table could meet."""
    for option in ("dead_ratio", "mod_ratio"):
        if not 0.0 <= params[option] <= 1.0:
            raise InvalidInput(f"{option} is {params[option]:g}; it is a share between 0 and 1.", "Write 10 % as 0.1.")
    for option in ("dead_min", "mod_min"):
        _at_least(params, option, 0)
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
        recent=_seconds(params, "skip_if_vacuumed_within") if recent else None,
    )


def run_options_of(params: Mapping[str, Any]) -> RunOptions:
    """Return how the work is to be done. Raises ``InvalidInput`` naming the option that makes no sense."""
    _at_least(params, "jobs", 1)
    if params["jobs"] > _MOST_JOBS:
        raise InvalidInput(f"jobs is {params['jobs']}; at most {_MOST_JOBS} connections make sense.")
    for option in ("batch_pages", "lock_retries"):
        _at_least(params, option, 0)
    soft, hard = _limit(params, "time_limit"), _limit(params, "hard_time_limit")
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
        lock_timeout=_seconds(params, "lock_timeout"),
        lock_retries=params["lock_retries"],
        lock_retry_delay=_seconds(params, "lock_retry_delay"),
        statement_timeout=_seconds(params, "statement_timeout"),
        keep_synchronous_commit=params["synchronous_commit"] == "keep",
        stop_on_error=params["on_error"] == "stop",
        fail_on_skipped=frozenset(params["fail_on_skipped"]),
        report=params["report"],
        state_dir=params["state_dir"],
        run_id=params["run_id"],
    )


def _seconds(params: Mapping[str, Any], option: str) -> float:
    try:
        return parse_duration(params[option])
    except InvalidInput as error:
        raise InvalidInput(f"{option}: {error.message}", error.remedy) from None


def _limit(params: Mapping[str, Any], option: str) -> float | None:
    return _seconds(params, option) if params[option] else None


def _at_least(params: Mapping[str, Any], option: str, least: int) -> None:
    if params[option] < least:
        raise InvalidInput(f"{option} is {params[option]}; it cannot be less than {least}.")
