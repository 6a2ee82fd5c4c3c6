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
from ansible_collections.cadence.upkeep.plugins.module_utils._postgres.errors import UnsupportedOption
from ansible_collections.cadence.upkeep.plugins.module_utils._postgres.options import (
    limit_of,
    require_at_least,
    seconds_of,
    session_options_of,
)
from ansible_collections.cadence.upkeep.plugins.module_utils._postgres.vacuum.model import (
    EMERGENCY,
    MODE_ACTIONS,
    VACUUM,
    Manner,
    Policy,
    RunOptions,
)
from ansible_collections.cadence.upkeep.plugins.module_utils._postgres.vacuum.sql import OPTION_VERSIONS

_MOST_JOBS = 64
# What the server takes for the settings of the same names.
_MOST_COST_DELAY, _MOST_COST_LIMIT = 0.1, 10_000
_MOST_WORKERS = 1024
_BUFFER_KIB = (128, 16 * 1024 * 1024)
# To compile the one large query takes longer than to run it.
_OWN_SETTINGS = (("jit", "off"),)
_EMERGENCY = {"auto": None, "true": True, "false": False}
# In an emergency nothing counts but the age: what makes VACUUM longer, or lets it leave something out, is not done.
_EMERGENCY_MANNER = Manner(index_cleanup="off", truncate=False, process_toast=True)


def policy_of(params: Mapping[str, Any]) -> Policy:
    """Return which tables need work. Raises ``InvalidInput`` for a threshold that no table could meet."""
    for option in ("dead_ratio", "mod_ratio"):
        if not 0.0 <= params[option] <= 1.0:
            raise InvalidInput(f"{option} is {params[option]:g}; it is a share between 0 and 1.", "Write 10 % as 0.1.")
    for option, least in (("dead_min", 0), ("mod_min", 0), ("xid_age", 1), ("mxid_age", 1)):
        require_at_least(params, option, least)
    if params["process_main"] is False and params["process_toast"] is False:
        raise InvalidInput("process_main and process_toast are both false.", "Then there is nothing left to vacuum.")
    emergency = _EMERGENCY[params["emergency"]]
    if emergency and VACUUM not in MODE_ACTIONS.get(params["mode"], ()):
        raise InvalidInput(
            f"emergency is true, and mode {params['mode']} vacuums nothing.", "Leave mode out, or set it to freeze."
        )
    recent = params["skip_if_vacuumed_within"]
    return Policy(
        mode=params["mode"],
        always=params["when"] == "always",
        schemas=tuple(params["schemas"]),
        exclude_schemas=tuple(params["exclude_schemas"]),
        tables=tuple(params["tables"]),
        exclude_tables=tuple(params["exclude_tables"]),
        include_catalogs=params["include_catalogs"] is not False,
        dead_ratio=params["dead_ratio"],
        dead_min=params["dead_min"],
        mod_ratio=params["mod_ratio"],
        mod_min=params["mod_min"],
        missing_stats=params["missing_stats"],
        recent=seconds_of(params, "skip_if_vacuumed_within") if recent else None,
        xid_age=params["xid_age"],
        mxid_age=params["mxid_age"],
        autovacuum=params["use_autovacuum_thresholds"],
        heap=params["process_main"] is not False,
        toast=params["process_toast"] is not False,
        emergency=emergency,
    )


def run_options_of(params: Mapping[str, Any]) -> RunOptions:
    """Return how the work is to be done. Raises ``InvalidInput`` naming the option that makes no sense."""
    require_at_least(params, "jobs", 1)
    if params["jobs"] > _MOST_JOBS:
        raise InvalidInput(
            f"jobs is {params['jobs']}; at most {_MOST_JOBS} connections make sense.",
            "Give about as many as the server has processors.",
        )
    for option in ("batch_pages", "lock_retries"):
        require_at_least(params, option, 0)
    soft, hard = limit_of(params, "time_limit"), limit_of(params, "hard_time_limit")
    if params["databases"] == []:
        raise InvalidInput("databases is an empty list.", "Name the databases, write ['*'], or leave the option out.")
    return RunOptions(
        databases=tuple(params["databases"] or [None]),
        jobs=params["jobs"],
        batch_pages=params["batch_pages"],
        time_limit=soft,
        hard_time_limit=hard,
        lock_retries=params["lock_retries"],
        lock_retry_delay=seconds_of(params, "lock_retry_delay"),
        stop_on_error=params["on_error"] == "stop",
        fail_on_skipped=frozenset(params["fail_on_skipped"]),
        fail_on_blocked=params["fail_on_blocked"],
        skip_standby=params["on_standby"] == "skip",
        report=params["report"],
        manner=manner_of(params),
        session=replace(session_options_of(params, "pg_vacuum"), settings=_settings_of(params)),
    )


def manner_of(params: Mapping[str, Any]) -> Manner:
    """Return the options of the statements. Raises ``InvalidInput`` for what no server takes."""
    workers = params["parallel"]
    if workers is not None and not 0 <= workers <= _MOST_WORKERS:
        raise InvalidInput(
            f"parallel is {workers}; it is a number of workers between 0 (none) and {_MOST_WORKERS}.",
            "Leave it out: then the server decides, by the indexes of each table.",
        )
    return Manner(
        index_cleanup=params["index_cleanup"],
        truncate=params["truncate"],
        process_main=params["process_main"],
        process_toast=params["process_toast"],
        disable_page_skipping=params["disable_page_skipping"],
        parallel=workers,
        buffer_usage_limit=_buffers_of(params),
        skip_database_stats=params["skip_database_stats"],
    )


def _buffers_of(params: Mapping[str, Any]) -> int | None:
    """Return ``buffer_usage_limit`` in KiB; 0 is no limit."""
    written = params["buffer_usage_limit"]
    if written is None:
        return None
    try:
        size = parse_size(written)
    except InvalidInput as error:
        raise InvalidInput(f"buffer_usage_limit: {error.message}", error.remedy) from None
    least, most = _BUFFER_KIB
    if size and not least * 1024 <= size <= most * 1024:
        raise InvalidInput(
            f"buffer_usage_limit is {written}; it is 0 (no limit), or between 128KiB and 16GiB.",
            "Leave it out: then the server's vacuum_buffer_usage_limit counts.",
        )
    return size // 1024


def _settings_of(params: Mapping[str, Any]) -> tuple[tuple[str, str], ...]:
    """Return the settings for the cost of vacuuming that were asked for; the others stay as they are on the server."""
    settings = list(_OWN_SETTINGS)
    if params["cost_delay"] is not None:
        delay = seconds_of(params, "cost_delay")
        if delay > _MOST_COST_DELAY:
            raise InvalidInput(
                f"cost_delay is {params['cost_delay']}; it is at most 100ms.",
                "For less load, lower cost_limit too, or jobs.",
            )
        settings.append(("vacuum_cost_delay", f"{delay * 1000:g}"))
    limit = params["cost_limit"]
    if limit is not None:
        if not 1 <= limit <= _MOST_COST_LIMIT:
            raise InvalidInput(
                f"cost_limit is {limit}; it is between 1 and {_MOST_COST_LIMIT}.",
                "Leave it out: then the server's vacuum_cost_limit counts.",
            )
        settings.append(("vacuum_cost_limit", str(limit)))
    return tuple(settings)


def require_supported(manner: Manner, version: int) -> None:
    """Raise ``UnsupportedOption`` naming each option that the server is too old for; none is dropped silently."""
    missing = {
        option: needed for option, needed in OPTION_VERSIONS if getattr(manner, option) is not None and version < needed
    }
    if missing:
        raise UnsupportedOption(version, missing)


def in_emergency(policy: Policy, options: RunOptions) -> tuple[Policy, RunOptions]:
    """Return what becomes of what was asked for in a database whose ids run out: its old tables are frozen, at once."""
    # Without delay, whatever is set for the role; the limit has no meaning then.
    session = replace(options.session, settings=(*_OWN_SETTINGS, ("vacuum_cost_delay", "0")))
    manner = replace(
        _EMERGENCY_MANNER,
        parallel=options.manner.parallel,
        buffer_usage_limit=options.manner.buffer_usage_limit,
    )
    policy = replace(policy, mode=EMERGENCY, always=False, recent=None, heap=True, toast=True)
    return policy, replace(options, manner=manner, session=session, waits=True)


def overruled(manner: Manner) -> list[str]:
    """Return the options of *manner* that an emergency does not heed."""
    wanted = {**vars(_EMERGENCY_MANNER), "parallel": manner.parallel, "buffer_usage_limit": manner.buffer_usage_limit}
    return [name for name, value in vars(manner).items() if value is not None and value != wanted[name]]
