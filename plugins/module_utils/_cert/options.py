# Copyright (c) 2026 Upkeep maintainers
# GNU General Public License v3.0-or-later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Turn the validated parameters into values, once. Every mistake names its option and its text."""

from __future__ import annotations

import os
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Callable, Optional, TypeVar

from ansible_collections.cadence.upkeep.plugins.module_utils._cert.discover import Search
from ansible_collections.cadence.upkeep.plugins.module_utils._cert.model import EndpointSpec, Limits, Policy
from ansible_collections.cadence.upkeep.plugins.module_utils._cert.names import ascii_name, is_ip
from ansible_collections.cadence.upkeep.plugins.module_utils._cert.thresholds import Limit, parse_limit
from ansible_collections.cadence.upkeep.plugins.module_utils._core.errors import InvalidInput
from ansible_collections.cadence.upkeep.plugins.module_utils._core.times import parse_rfc3339
from ansible_collections.cadence.upkeep.plugins.module_utils._core.units import parse_duration, parse_size

T = TypeVar("T")
_FINGERPRINT = re.compile(r"[0-9a-f]{64}")


@dataclass(frozen=True)
class Options:
    """What to look at, how, and what is wanted. ``at`` is None when that is now; times are in seconds."""

    files: tuple[str, ...]
    endpoints: tuple[EndpointSpec, ...]
    search: Search
    max_size: int
    policy: Policy
    at: Optional[datetime]
    workers: int
    deadline: float
    problems_only: bool


def read_options(params: Mapping[str, Any]) -> Options:
    """Return the options that *params* (validated by the argument spec) write. Raises ``InvalidInput``."""
    limits = Limits(_limits("warning", params["warning"]), _limits("critical", params["critical"]))
    renew_at = params["renew_at"]
    return Options(
        files=tuple(_absolute("files", path) for path in params["files"] or ()),
        endpoints=_distinct(_endpoint(entry, params, limits) for entry in params["endpoints"] or ()),
        search=Search(
            recurse=params["recurse"],
            max_depth=_at_least("max_depth", params["max_depth"], 0),
            follow=params["follow"],
            patterns=tuple(params["patterns"]),
            excludes=tuple(params["excludes"]),
            max_files=_at_least("max_files", params["max_files"], 1),
        ),
        max_size=_of("max_size", parse_size, params["max_size"]),
        policy=Policy(
            limits=limits,
            renew_at=None if renew_at == "auto" else _of("renew_at", parse_limit, renew_at),
            names=tuple(_host_name("names", name) for name in params["names"]),
            whole_chain=params["chain"] == "chain",
        ),
        at=_of("at", parse_rfc3339, params["at"]) if params["at"] else None,
        workers=_at_least("workers", params["workers"], 1),
        deadline=_seconds("deadline", params["deadline"]),
        problems_only=params["report"] == "problems",
    )


def _endpoint(entry: Mapping[str, Any], params: Mapping[str, Any], limits: Limits) -> EndpointSpec:
    host = _host_name("host", entry["host"].strip("[]"))
    port = entry["port"]
    if not 1 <= port <= 65535:
        raise InvalidInput(f"port: {port} is not a port.", "Write one from 1 to 65535.")
    wanted = entry["server_name"]
    server_name = _host_name("server_name", wanted) if wanted else host if wanted is None else ""
    ca_path = entry["ca_path"] or params["ca_path"]
    own_limits = Limits(
        limits.warning if entry["warning"] is None else _limits("warning", entry["warning"]),
        limits.critical if entry["critical"] is None else _limits("critical", entry["critical"]),
    )
    spec = EndpointSpec(
        target="",
        host=host,
        port=port,
        # An address is never sent as a server name: RFC 6066 knows names alone.
        server_name=None if not server_name or is_ip(server_name) else server_name,
        checked_name=server_name or host,
        ca_path=_absolute("ca_path", ca_path) if ca_path else "",
        expect_file=_absolute("expect_file", entry["expect_file"]) if entry["expect_file"] else "",
        expect_fingerprint=_fingerprint(entry["expect_fingerprint"]),
        verify=entry["verify"] == "chain",
        seconds=_seconds("timeout", entry["timeout"] or params["timeout"]),
        limits=own_limits if own_limits != limits else None,
    )
    return _named(spec, entry["name"])


def _named(spec: EndpointSpec, name: Optional[str]) -> EndpointSpec:
    """Return *spec* under the user's *name*, else under its address, with the server name when that is another."""
    other = f" ({spec.checked_name})" if spec.checked_name != spec.host else ""
    return EndpointSpec(**{**vars(spec), "target": name or f"{spec.address}{other}"})


def _distinct(specs: Iterable[EndpointSpec]) -> tuple[EndpointSpec, ...]:
    by_target: dict[str, EndpointSpec] = {}
    for spec in specs:
        if spec.target in by_target:
            raise InvalidInput(
                f"endpoints: two of them are called {spec.target!r}.", "Give each a name of its own by the option name."
            )
        by_target[spec.target] = spec
    return tuple(by_target.values())


def _of(option: str, parse: Callable[[Any], T], text: Any) -> T:
    try:
        return parse(text)
    except InvalidInput as error:
        raise InvalidInput(f"{option}: {error.message}", error.remedy) from error


def _limits(option: str, texts: Iterable[str]) -> tuple[Limit, ...]:
    return tuple(_of(option, parse_limit, text) for text in texts)


def _seconds(option: str, text: str) -> float:
    seconds = _of(option, parse_duration, text)
    if seconds <= 0:
        raise InvalidInput(f"{option}: {text!r} leaves no time.", "Write a duration above zero, like 5s.")
    return seconds


def _at_least(option: str, number: int, lowest: int) -> int:
    if number < lowest:
        raise InvalidInput(f"{option}: {number} is too small.", f"Write at least {lowest}.")
    return number


def _absolute(option: str, path: str) -> str:
    if not os.path.isabs(path) or "\0" in path:
        raise InvalidInput(f"{option}: {path!r} is not an absolute path.", "Write it from / on.")
    return path


def _host_name(option: str, name: str) -> str:
    try:
        return ascii_name(name)
    except ValueError:
        raise InvalidInput(
            f"{option}: {name!r} is not a host name or address.", "Write it like www.example.org."
        ) from None


def _fingerprint(text: Optional[str]) -> str:
    plain = re.sub(r"[:\s]", "", text or "").lower()
    if plain and not _FINGERPRINT.fullmatch(plain):
        raise InvalidInput(
            f"expect_fingerprint: {text!r} is not a SHA-256 fingerprint.",
            "Write the 64 hex digits that `openssl x509 -noout -fingerprint -sha256` prints.",
        )
    return plain
