# Copyright (c) 2026 Upkeep maintainers
# GNU General Public License v3.0-or-later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Turn the validated parameters into values, once. Every mistake names its option and its text."""

from __future__ import annotations

import os
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Callable, Optional, TypeVar

from ansible_collections.cadence.upkeep.plugins.module_utils._cert.discover import Search
from ansible_collections.cadence.upkeep.plugins.module_utils._cert.model import EndpointSpec, Limits, Policy
from ansible_collections.cadence.upkeep.plugins.module_utils._cert.names import ascii_name, is_ip
from ansible_collections.cadence.upkeep.plugins.module_utils._cert.starttls import PORTS
from ansible_collections.cadence.upkeep.plugins.module_utils._cert.thresholds import LONGEST_SECONDS, Limit, parse_limit
from ansible_collections.cadence.upkeep.plugins.module_utils._core.errors import InvalidInput
from ansible_collections.cadence.upkeep.plugins.module_utils._core.times import parse_rfc3339
from ansible_collections.cadence.upkeep.plugins.module_utils._core.units import parse_duration, parse_size

T = TypeVar("T")
_PROXY = re.compile(r"(?:http://)?(?:\[([0-9A-Fa-f:.]+)\]|([^\s/?#@:\[\]]+)):(\d{1,5})/?")
_FINGERPRINT = re.compile(r"[0-9a-f]{64}")


@dataclass(frozen=True)
class Options:
    """What to look at, how, and what is wanted. ``at`` is None when that is now; times are in seconds."""

    files: tuple[str, ...]
    endpoints: tuple[EndpointSpec, ...]
    content: tuple[tuple[str, str], ...]
    search: Search
    max_size: int
    policy: Policy
    at: Optional[datetime]
    workers: int
    deadline: float
    problems_only: bool
    ca_path: str = ""
    check_key: bool = False
    passphrases: tuple[str, ...] = field(default=(), repr=False)


def read_options(params: Mapping[str, Any]) -> Options:
    """Return the options that *params* (validated by the argument spec) write. Raises ``InvalidInput``."""
    limits = Limits(_limits("warning", params["warning"]), _limits("critical", params["critical"]))
    renew_at = params["renew_at"]
    return Options(
        files=tuple(_absolute("files", path) for path in params["files"] or ()),
        endpoints=_distinct(_endpoint(entry, params, limits) for entry in params["endpoints"] or ()),
        content=_contents(params["content"] or ()),
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
            decide=params["chain"],
            allow_cn=params["allow_cn"],
            min_rsa_bits=_at_least("min_rsa_bits", params["min_rsa_bits"], 0),
            min_ec_bits=_at_least("min_ec_bits", params["min_ec_bits"], 0),
            weak_signatures=frozenset(re.sub(r"[^a-z0-9]", "", name.lower()) for name in params["weak_signatures"]),
            min_tls=params["min_tls"],
            min_hsts=_of("min_hsts", parse_duration, params["min_hsts"]),
            renew_grace=_of("renew_grace", parse_limit, params["renew_grace"]) if params["renew_grace"] else None,
            longest=_longest(params["max_lifetime"]),
        ),
        at=_of("at", parse_rfc3339, params["at"]) if params["at"] else None,
        workers=_at_least("workers", params["workers"], 1),
        deadline=_seconds("deadline", params["deadline"]),
        problems_only=params["report"] == "problems",
        ca_path=_absolute("ca_path", params["ca_path"]) if params["ca_path"] else "",
        check_key=params["check_key"],
        passphrases=tuple(params["passphrases"]),
    )


def _contents(entries: Iterable[Mapping[str, Any]]) -> tuple[tuple[str, str], ...]:
    named: dict[str, str] = {}
    for entry in entries:
        if not entry["name"].isprintable() or not entry["name"]:
            raise InvalidInput("content: a name is empty or has characters that cannot be shown.", "Name it in words.")
        if entry["name"] in named:
            raise InvalidInput(f"content: two of them are called {entry['name']!r}.", "Give each a name of its own.")
        named[entry["name"]] = entry["content"]
    return tuple(named.items())


def _longest(text: Optional[str]) -> Optional[Limit]:
    """Return the longest lifetime that is allowed; ``public`` is a limit of neither seconds nor share."""
    if not text:
        return None
    return Limit() if text == "public" else Limit(seconds=_seconds("max_lifetime", text))


def _proxy(text: Optional[str]) -> Optional[tuple[str, int]]:
    """Return host and port of ``http://proxy.example.org:3128`` or ``proxy.example.org:3128``."""
    if not text:
        return None
    match = _PROXY.fullmatch(text.strip())
    if match is None or not 1 <= int(match[3]) <= 65535:
        # It may hold a password, so it is not shown.
        raise InvalidInput(
            "proxy: it is not an HTTP proxy without credentials.", "Write it like http://proxy.example.org:3128."
        )
    return _host_name("proxy", match[1] or match[2]), int(match[3])


def _endpoint(entry: Mapping[str, Any], params: Mapping[str, Any], limits: Limits) -> EndpointSpec:
    host = _host_name("host", entry["host"].strip("[]"))
    starttls = entry["starttls"] or ""
    port = PORTS.get(starttls, 443) if entry["port"] is None else entry["port"]
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
        starttls=starttls,
        client_cert=_client_file("client_cert", entry, "client_cert"),
        client_key=_client_file("client_key", entry, "client_cert"),
        proxy=_proxy(entry["proxy"]),
        every_address=entry["addresses"] == "all",
        hsts=params["hsts"] if entry["hsts"] is None else entry["hsts"],
        tls_versions=params["tls_versions"] if entry["tls_versions"] is None else entry["tls_versions"],
    )
    return _named(spec, entry["name"])


def _client_file(option: str, entry: Mapping[str, Any], needs: str) -> str:
    if not entry[option]:
        return ""
    if not entry[needs]:
        raise InvalidInput(f"{option}: a key alone proves nothing.", f"Give the certificate too, in {needs}.")
    return _absolute(option, entry[option])


def _named(spec: EndpointSpec, name: Optional[str]) -> EndpointSpec:
    """Return *spec* under the user's *name*, else under its address, with the server name when that is another."""
    other = f" ({spec.checked_name})" if spec.checked_name != spec.host else ""
    return EndpointSpec(**{**vars(spec), "target": name or f"{spec.address}{other}"})


def _distinct(specs: Iterable[EndpointSpec]) -> tuple[EndpointSpec, ...]:
    by_target: dict[str, EndpointSpec] = {}
    for spec in specs:
        if not spec.target.isprintable():
            raise InvalidInput("endpoints: a name has characters that cannot be shown.", "Name it in words.")
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
    if seconds > LONGEST_SECONDS:
        raise InvalidInput(f"{option}: {text!r} is more than a thousand years.", "Write less.")
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
