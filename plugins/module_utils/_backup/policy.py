# Copyright (c) 2026 Upkeep maintainers
# GNU General Public License v3.0-or-later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Make a policy of parameters, or say in one sentence what is wrong with them. Pure but for the zone's data."""

from __future__ import annotations

import os
import re
from collections import Counter
from collections.abc import Mapping, Sequence
from datetime import timezone, tzinfo
from typing import Any, Callable, TypeVar
from zoneinfo import ZoneInfo

from ansible_collections.cadence.upkeep.plugins.module_utils._backup.model import (
    Decrypt,
    Expect,
    Keep,
    Limits,
    OpenSsl,
    Policy,
    RowBounds,
    Schedule,
    Series,
    Signers,
    Site,
    SizeBand,
)
from ansible_collections.cadence.upkeep.plugins.module_utils._backup.names import TIME_GROUPS
from ansible_collections.cadence.upkeep.plugins.module_utils._backup.restore.options import wishes_of
from ansible_collections.cadence.upkeep.plugins.module_utils._backup.signature import minisign_key
from ansible_collections.cadence.upkeep.plugins.module_utils._core.errors import InvalidInput
from ansible_collections.cadence.upkeep.plugins.module_utils._core.units import (
    parse_duration,
    parse_percent,
    parse_size,
)

T = TypeVar("T")


# More processes than this wait for the disk, not for a processor.
_MOST_WORKERS = 4
_CIPHER = re.compile(r"[a-z0-9-]+\Z")


def policy_of(params: Mapping[str, Any], check_mode: bool = False) -> Policy:
    """Return the policy of *params*, validated by ``ARGUMENT_SPEC``; raise ``InvalidInput`` naming the option.

    Nothing is remembered in *check_mode*.
    """
    series = [_path(path, params) for path in params["paths"] or ()]
    series += [_series(entry, params) for entry in params["series"] or ()]
    _require_distinct([one.name for one in series if one.named])
    signers = _signers(params["signers"])
    if params["require_signature"] and not signers.named:
        raise InvalidInput(
            "require_signature is set, but signers names nobody.",
            "Name whose signatures count: signers.minisign, signers.ssh_allowed_signers or signers.gpg_homedir.",
        )
    rolling, state_file = params["rolling"], params["state_file"] or ""
    return Policy(
        series=tuple(series),
        select=params["select"],
        seconds=_positive("timeout", params["timeout"]),
        seconds_per_file=_positive("timeout_per_file", params["timeout_per_file"]),
        limits=_limits(params["limits"]),
        decrypt=_decrypt(params["decrypt"]),
        bytes_per_second=_size("bwlimit", params["bwlimit"]),
        manifest=_manifest(params["manifest"]),
        require_manifest=params["require_manifest"],
        require_signature=params["require_signature"],
        signers=signers,
        parallel=_workers(int(_at_least("parallel", params["parallel"], 0))),
        nice=int(_at_least("nice", params["nice"], 0)),
        idle_io=params["ionice"] == "idle",
        rolling_parts=int(_at_least("rolling.parts", rolling["parts"], 1)),
        rolling_seconds=_positive("rolling.period", rolling["period"]),
        reverify_after=_duration("rolling.reverify_after", rolling["reverify_after"]),
        state_file=_absolute("state_file", state_file) if state_file else "",
        count_rows=params["count_rows"],
        write_state=bool(state_file) and not check_mode,
        restore=wishes_of(params["restore"]),
        only_plan=check_mode,
    )


def _limits(limits: Mapping[str, Any]) -> Limits:
    return Limits(
        max_expanded=_read("limits.max_expanded", limits["max_expanded"], parse_size),
        max_ratio=_at_least("limits.max_ratio", limits["max_ratio"], 1),
        max_depth=_at_least("limits.max_depth", limits["max_depth"], 1),
        max_members=_at_least("limits.max_members", limits["max_members"], 1),
        allow=frozenset(limits["allow"] or ()),
    )


def _workers(wanted: int) -> int:
    if wanted:
        return wanted
    usable = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    return min(usable, _MOST_WORKERS)


def _manifest(text: str) -> str:
    return text if text in ("auto", "none") else _absolute("manifest", text)


def _absolute(where: str, path: str) -> str:
    if not os.path.isabs(path):
        raise InvalidInput(f"{where}: {path!r} is not an absolute path.", "Write it from / on.")
    return path


def _signers(signers: Mapping[str, Any] | None) -> Signers:
    if signers is None:
        return Signers()
    keys = tuple(_minisign(text) for text in signers["minisign"] or ())
    return Signers(
        minisign=keys,
        ssh_allowed_signers=signers["ssh_allowed_signers"] or "",
        ssh_identity=signers["ssh_identity"] or "",
        ssh_namespace=signers["ssh_namespace"],
        gpg_homedir=signers["gpg_homedir"] or "",
        gpg_fingerprints=tuple(signers["gpg_fingerprints"] or ()),
    )


def _minisign(text: str) -> str:
    if minisign_key(text) is None:
        raise InvalidInput(
            f"signers.minisign: {text[:80]!r} is no public key of minisign.",
            "Write the second line of the file minisign.pub: 56 letters that begin with RW.",
        )
    return text


def _decrypt(decrypt: Mapping[str, Any] | None) -> Decrypt:
    if decrypt is None:
        return Decrypt()
    how = decrypt["openssl"]
    for option in ("cipher", "digest") if how else ():
        if not _CIPHER.match(how[option]):
            raise InvalidInput(
                f"decrypt.openssl.{option}: {how[option]!r} is no name of one.", "Write it in lower case."
            )
    return Decrypt(
        gpg_homedir=decrypt["gpg_homedir"] or "",
        passphrase_file=decrypt["passphrase_file"] or "",
        age_identity_file=decrypt["age_identity_file"] or "",
        openssl=OpenSsl(how["cipher"], how["kdf"], how["iterations"], how["digest"], how["pass_file"]) if how else None,
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
        time_pattern=_time_pattern(of("time_pattern"), entry["time_pattern"] or ""),
        keep=_keep(of("keep"), entry["keep"]),
        owner=entry["owner"] or "",
        immutable=entry["immutable"],
        media=entry["media"],
        globals=_absolute(of("globals"), entry["globals"]) if entry["globals"] else "",
        schedule=_schedule(entry["schedule"]),
        sites=_sites(name, entry["copies"] or ()),
        expect=_expect(of("expect"), entry["expect"]),
    )


def _time_pattern(where: str, pattern: str) -> str:
    if not pattern:
        return ""
    try:
        groups = set(re.compile(pattern).groupindex)
    except re.error as error:
        raise InvalidInput(f"{where}: {pattern!r} is no regular expression: {error}.", "Correct it.") from None
    if groups - set(TIME_GROUPS) or not ({"epoch"} & groups or {"year"} <= groups):
        raise InvalidInput(
            f"{where}: {pattern!r} does not say which parts of a time it finds.",
            f"Name its groups: (?P<year>...) and any of {', '.join(TIME_GROUPS[1:])}, or (?P<epoch>...).",
        )
    return pattern


def _keep(where: str, keep: Mapping[str, int] | None) -> Keep | None:
    if keep is None:
        return None
    for period, count in keep.items():
        _at_least(f"{period} of {where}", count, 0)
    if not any(keep.values()):
        raise InvalidInput(f"{where} keeps nothing.", "Say how many are to stay, or leave it out.")
    return Keep(**keep)


def _schedule(schedule: Mapping[str, Any] | None) -> Schedule | None:
    return None if schedule is None else Schedule(schedule["cron"] or "", schedule["timer"] or "")


def _sites(series: str, copies: Sequence[Mapping[str, Any]]) -> tuple[Site, ...]:
    sites = []
    for entry in copies:
        path = _absolute(f"path of the copy {entry['site']} of the series {series}", entry["path"])
        sites.append(Site(entry["site"], path, entry["media"], entry["offsite"], entry["immutable"], entry["mode"]))
    return tuple(sites)


def _expect(where: str, expect: Mapping[str, Any] | None) -> Expect:
    if expect is None:
        return Expect()
    return Expect(
        database=expect["database"] or "",
        server_major=expect["server_major"] or 0,
        extensions=tuple(expect["extensions"] or ()),
        tables={one["name"]: RowBounds(one["min_rows"], one["max_rows"]) for one in expect["tables"] or ()},
        row_tolerance=_read(f"row_tolerance of {where}", expect["row_tolerance"], parse_percent),
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
