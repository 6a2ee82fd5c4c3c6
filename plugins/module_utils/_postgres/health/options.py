# Copyright (c) 2026 Upkeep maintainers
# GNU General Public License v3.0-or-later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Turn validated parameters of ``pg_health_info`` into values, once, at the edge."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from ansible_collections.cadence.upkeep.plugins.module_utils._core.errors import InvalidInput
from ansible_collections.cadence.upkeep.plugins.module_utils._core.units import parse_percent, parse_size
from ansible_collections.cadence.upkeep.plugins.module_utils._postgres.health.argspec import ALL, PARTS
from ansible_collections.cadence.upkeep.plugins.module_utils._postgres.health.model import Limits, Policy
from ansible_collections.cadence.upkeep.plugins.module_utils._postgres.model import SessionOptions
from ansible_collections.cadence.upkeep.plugins.module_utils._postgres.options import require_at_least, seconds_of


@dataclass(frozen=True)
class RunOptions:
    """How to look: in which databases (none named is the one we log in to), and how long (seconds)."""

    databases: tuple[str, ...]
    time_limit: float
    session: SessionOptions


# A century: what a server can subtract from its clock.
_LONGEST = 100 * 365.25 * 86400


def parts_of(subset: list[str]) -> tuple[str, ...]:
    """Return the parts that *subset* asks for: names add, ``!names`` take away, from all where nothing is added."""
    wanted = [word for word in subset if not word.startswith("!")]
    unwanted = {word[1:] for word in subset if word.startswith("!")}
    chosen = PARTS if not wanted or ALL in wanted else wanted
    parts = tuple(part for part in PARTS if part in chosen and part not in unwanted)
    if not parts:
        raise InvalidInput("subset leaves nothing to look at.", "Name at least one part, or leave the option out.")
    return parts


def policy_of(params: Mapping[str, Any]) -> Policy:
    """Return what is wanted. Raises ``InvalidInput`` naming the option that makes no sense."""
    for option in ("cache_hit_min_blocks", "xmin_age", "slow_query_min_calls", "archive_ready_warning", "top"):
        require_at_least(params, option, 0)
    if not 0.0 < params["bloat_ratio"] <= 1.0:
        raise InvalidInput(
            f"bloat_ratio is {params['bloat_ratio']:g}; it is a share above 0, 1 at the most.", "Write 50 % as 0.5."
        )
    return Policy(
        parts=parts_of(params["subset"]),
        ignore=tuple(params["ignore"]),
        connections=_percents(params, "connections"),
        cache_hit=_percents(params, "cache_hit", falling=True),
        cache_hit_min_blocks=params["cache_hit_min_blocks"],
        long_query=seconds_of(params, "long_query"),
        idle_in_transaction=seconds_of(params, "idle_in_transaction"),
        lock_wait=seconds_of(params, "lock_wait"),
        xmin_age=params["xmin_age"],
        xmin_time=seconds_of(params, "xmin_time"),
        prepared_xact=seconds_of(params, "prepared_xact"),
        wraparound=_percents(params, "wraparound"),
        bloat_ratio=params["bloat_ratio"],
        bloat_min_size=_bytes(params, "bloat_min_size"),
        unused_index_min_size=_bytes(params, "unused_index_min_size"),
        unused_index_period=seconds_of(params, "unused_index_period"),
        slow_query=seconds_of(params, "slow_query"),
        slow_query_min_calls=params["slow_query_min_calls"],
        lag_time=_limits(
            params, "lag_time", seconds_of(params, "lag_time_warning"), seconds_of(params, "lag_time_critical")
        ),
        lag_bytes=_sizes(params, "lag_bytes"),
        slot_retained=_sizes(params, "slot_retained"),
        slot_inactive=seconds_of(params, "slot_inactive"),
        archive_ready=_limits(
            params, "archive_ready", params["archive_ready_warning"], params["archive_ready_critical"]
        ),
        sequence=_percents(params, "sequence"),
        temp_files=_bytes(params, "temp_files_warning"),
        vacuum_overdue=min(seconds_of(params, "vacuum_overdue"), _LONGEST),
        top=params["top"],
    )


def run_options_of(params: Mapping[str, Any]) -> RunOptions:
    """Return how to look. Raises ``InvalidInput`` naming the option that makes no sense."""
    if params["databases"] == []:
        raise InvalidInput("databases is an empty list.", "Name the databases, write ['*'], or leave the option out.")
    for option in ("statement_timeout", "time_limit"):
        if seconds_of(params, option) <= 0:
            raise InvalidInput(
                f"{option} is {params[option]}; a check that may take for ever is none.", "Write it like 30s."
            )
    return RunOptions(
        databases=tuple(params["databases"] or ()),
        time_limit=seconds_of(params, "time_limit"),
        session=SessionOptions(
            job="pg_health_info",
            run_id=params["run_id"],
            lock_timeout=seconds_of(params, "lock_timeout"),
            statement_timeout=seconds_of(params, "statement_timeout"),
            keep_synchronous_commit=True,
            read_only=True,
        ),
    )


def _limits(params: Mapping[str, Any], name: str, warning: float, critical: float, falling: bool = False) -> Limits:
    wrong = warning < critical if falling else warning > critical
    if wrong:
        raise InvalidInput(
            f"{name}_warning ({params[f'{name}_warning']}) comes after {name}_critical ({params[f'{name}_critical']}).",
            "What is critical must be worse than what is a warning.",
        )
    return Limits(round(warning, 6), round(critical, 6))


def _percents(params: Mapping[str, Any], name: str, falling: bool = False) -> Limits:
    warning, critical = (_read(params, f"{name}_{level}", parse_percent) for level in ("warning", "critical"))
    return _limits(params, name, warning, critical, falling)


def _sizes(params: Mapping[str, Any], name: str) -> Limits:
    return _limits(params, name, _bytes(params, f"{name}_warning"), _bytes(params, f"{name}_critical"))


def _bytes(params: Mapping[str, Any], option: str) -> int:
    return int(_read(params, option, parse_size))


def _read(params: Mapping[str, Any], option: str, parse: Callable[[object], float]) -> float:
    try:
        return parse(params[option])
    except InvalidInput as error:
        raise InvalidInput(f"{option}: {error.message}", error.remedy) from None
