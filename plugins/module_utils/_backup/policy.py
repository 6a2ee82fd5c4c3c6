# Copyright (c) 2026 Upkeep maintainers
# GNU General Public License v3.0-or-later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Make a policy of parameters, or say in one sentence what is wrong with them. Pure but for the zone's data."""

from __future__ import annotations

import os.path
from collections import Counter
from collections.abc import Mapping
from datetime import timezone, tzinfo
from typing import Any, Callable, TypeVar
from zoneinfo import ZoneInfo

from ansible_collections.cadence.upkeep.plugins.module_utils._backup.model import Limits, Policy, Series, SizeBand
from ansible_collections.cadence.upkeep.plugins.module_utils._core.errors import InvalidInput
from ansible_collections.cadence.upkeep.plugins.module_utils._core.units import parse_duration, parse_size

T = TypeVar("T")


def policy_of(params: Mapping[str, Any]) -> Policy:
    """Return the policy of *params*, validated by ``ARGUMENT_SPEC``; raise ``InvalidInput`` naming the option."""
    series = [_path(path, params) for path in params["paths"] or ()]
    series += [_series(entry, params) for entry in params["series"] or ()]
    _require_distinct([one.name for one in series if one.named])
    limits = params["limits"]
    return Policy(
        series=tuple(series),
        select=params["select"],
        limits=Limits(
            max_expanded=_read("limits.max_expanded", limits["max_expanded"], parse_size),
            max_ratio=_at_least("limits.max_ratio", limits["max_ratio"], 1),
            max_depth=_at_least("limits.max_depth", limits["max_depth"], 1),
        ),
        seconds=_positive("timeout", params["timeout"]),
        seconds_per_file=_positive("timeout_per_file", params["timeout_per_file"]),
    )


def _path(path: str, params: Mapping[str, Any]) -> Series:
    if not os.path.isabs(path):
        raise InvalidInput(f"The path {path!r} is not absolute.", "Write it from / on.")
    return Series(
        name=path,
        pattern=path,
        named=False,
        level=params["level"],
        max_age=_duration("max_age", params["max_age"]),
        min_size=_size("min_size", params["min_size"]),
        size_band=_band("size_band", params["size_band"]),
    )


def _series(entry: Mapping[str, Any], params: Mapping[str, Any]) -> Series:
    name = entry["name"].strip()
    if not name:
        raise InvalidInput("A series has an empty name.", "Give every series a name: findings are told by it.")
    if not os.path.isabs(entry["pattern"]):
        raise InvalidInput(
            f"The pattern {entry['pattern']!r} of the series {name} is not absolute.",
            "Write it from / on, like /var/backups/shop/shop-*.sql.gz.",
        )

    def of(option: str) -> str:
        return f"{option} of the series {name}"

    return Series(
        name=name,
        pattern=entry["pattern"],
        level=entry["level"] or params["level"],
        time_from=entry["time_from"],
        zone=_zone(of("time_zone"), entry["time_zone"]),
        every=_duration(of("every"), entry["every"]),
        grace=_duration(of("grace"), entry["grace"]),
        max_age=_inherited("max_age", entry, params, of, _duration),
        min_size=_inherited("min_size", entry, params, of, _size),
        min_count=int(_at_least(of("min_count"), entry["min_count"], 0)),
        gap_window=int(_at_least(of("gap_window"), entry["gap_window"], 0)),
        size_band=_inherited("size_band", entry, params, of, _band),
    )


def _inherited(
    option: str,
    entry: Mapping[str, Any],
    params: Mapping[str, Any],
    of: Callable[[str], str],
    read: Callable[[str, Any], T],
) -> T:
    """Return what the series says of *option*, or else what is said for all."""
    if entry[option] is not None:
        return read(of(option), entry[option])
    return read(option, params[option])


def _duration(where: str, text: str | None) -> float:
    return 0.0 if text is None else _read(where, text, parse_duration)


def _size(where: str, text: str | None) -> int:
    return 0 if text is None else _read(where, text, parse_size)


def _positive(where: str, text: str) -> float:
    seconds = _duration(where, text)
    if not seconds:
        raise InvalidInput(f"{where} is 0.", "Give it a time, like 1h.")
    return seconds


def _read(where: str, text: str, parse: Callable[[object], T]) -> T:
    try:
        return parse(text)
    except InvalidInput as error:
        raise InvalidInput(f"{where}: {error.message}", error.remedy, error.evidence) from None


def _at_least(where: str, number: T, least: int) -> T:
    if number < least:  # type: ignore[operator]  # int or float
        raise InvalidInput(f"{where} is {number}, which is below {least}.", f"Use {least} or more.")
    return number


def _band(where: str, band: Mapping[str, Any] | None) -> SizeBand | None:
    if band is None or not band["window"]:
        return None
    return SizeBand(
        window=_at_least(f"window of {where}", band["window"], 1),
        factor=_at_least(f"factor of {where}", band["factor"], 1),
        min_abs=_read(f"min_abs of {where}", band["min_abs"], parse_size),
        both_sides=band["both_sides"],
    )


def _zone(where: str, name: str) -> tzinfo | None:
    if name.lower() == "local":
        return None
    if name.upper() in ("UTC", "Z"):
        return timezone.utc
    try:
        return ZoneInfo(name)
    except (KeyError, ValueError, OSError):
        raise InvalidInput(
            f"{where}: {name!r} is no time zone that this host knows.",
            "Use local, UTC, or a name like Europe/Berlin (package tzdata).",
        ) from None


def _require_distinct(names: list[str]) -> None:
    double = sorted(name for name, count in Counter(names).items() if count > 1)
    if double:
        raise InvalidInput(
            f"More than one series is called {', '.join(double)}.", "Give every series a name of its own."
        )
