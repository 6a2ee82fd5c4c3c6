# Copyright (c) 2026 Upkeep maintainers
# GNU General Public License v3.0-or-later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""From the options of the module to what the rest of an update works with."""

from __future__ import annotations

import json
import os
import re
import signal
from collections.abc import Mapping
from typing import Any, Callable, Optional
from urllib.parse import urlsplit

from ansible_collections.cadence.upkeep.plugins.module_utils._compose.project import Files, files_of
from ansible_collections.cadence.upkeep.plugins.module_utils._compose.roll.model import (
    Drain,
    Options,
    Policy,
    Probe,
    Smoke,
    Traffic,
    UpdateConfig,
)
from ansible_collections.cadence.upkeep.plugins.module_utils._core.errors import InvalidInput
from ansible_collections.cadence.upkeep.plugins.module_utils._core.units import parse_duration, parse_size

_EXPECTED = re.compile(r"[1-5](?:[0-9]{2}|xx)\Z")
_FAILURE_ACTIONS = ("rollback", "pause", "continue")
_SIGNALS = frozenset(one.name[3:] for one in signal.Signals)


def options_of(params: Mapping[str, Any]) -> Options:
    """Return the options that are the same for all services. Raises ``InvalidInput``."""
    return Options(
        services=tuple(params["services"]),
        pull=params["pull"],
        build=params["build"],
        force=params["force"],
        scale=_scale(params["scale"]),
        peers=tuple(tuple(map(str, one)) for one in params["peers"]),
        on_conflict=params["on_conflict"],
        exclusive_volumes=frozenset(params["exclusive_volumes"]),
        smoke=tuple(_smoke(one, place) for place, one in enumerate(params["smoke"], 1)),
        keep_old=params["keep_old"] == "until_commit",
        keep_images=_at_least("keep_images", params["keep_images"], 0),
        rename=params["rename"],
        resume=params["resume"],
        min_free=_parsed(parse_size, "min_free", params["min_free"]),
        show_logs=params["show_logs"],
        timeout=_seconds("timeout", params["timeout"]),
    )


def files_for(params: Mapping[str, Any]) -> Files:
    """Return where the project is written down. Raises ``InvalidInput``."""
    if not params["definition"]:
        files = files_of(params)
        if files is None:
            raise InvalidInput("No project is named.", "Give project_src, or definition with project_name.")
        if not os.path.isdir(files.directory):
            raise InvalidInput(f"There is no directory {files.directory}.", "Correct project_src.")
        return files
    if params["files"]:
        raise InvalidInput("files and definition both say what the project is.", "Leave one of them out.")
    named = files_of({**params, "project_src": params["project_src"] or os.sep})
    directory = named.directory if named else os.sep
    return Files(
        directory,
        params["project_name"],
        (),
        named.env_files if named else (),
        tuple(params["profiles"]),
        json.dumps(params["definition"]),
    )


def policies_of(params: Mapping[str, Any], updates: Mapping[str, UpdateConfig]) -> dict[str, Policy]:
    """Return how each service is rolled. Raises ``InvalidInput``, also for a policy of a service that is not there."""
    own = {}
    for one in params["policies"]:
        if one["service"] in own:
            raise InvalidInput(f"policies has two entries for {one['service']}.", "Make them one.")
        if one["service"] not in updates:
            raise InvalidInput(
                f"policies names {one['service']}, which is no service of the project.",
                f"Its services are {', '.join(sorted(updates)) or 'none'}.",
            )
        own[one["service"]] = one
    return {name: _policy(params, own.get(name, {}), update) for name, update in updates.items()}


def _policy(params: Mapping[str, Any], own: Mapping[str, Any], update: UpdateConfig) -> Policy:
    def first(name: str, *others: Any) -> Any:
        return next((one for one in (own.get(name), params.get(name), *others) if one is not None), None)

    def seconds(name: str, *others: Optional[float]) -> float:
        given = first(name)
        if given is not None:
            return _seconds(name, given)
        return next(one for one in others if one is not None)

    action = first("failure_action", update.failure_action if update.failure_action in _FAILURE_ACTIONS else None)
    stop = first("stop_timeout")
    return Policy(
        order=first("order", update.order or None, "auto"),
        parallelism=_at_least("parallelism", first("parallelism", update.parallelism, 1), 0),
        delay=seconds("delay", update.delay, 0.0),
        health_timeout=seconds("health_timeout", 120.0),
        no_healthcheck=first("no_healthcheck", "running"),
        probe=_probe(first("probe")),
        fail_fast=bool(first("fail_fast", False)),
        monitor=seconds("monitor", update.monitor, 5.0),
        traffic=_traffic(first("traffic"), os.path.abspath(params["project_src"] or os.sep)),
        drain=_drain(first("drain")),
        stop_timeout=None if stop is None else _seconds("stop_timeout", stop),
        max_failure_ratio=_ratio(first("max_failure_ratio", update.max_failure_ratio, 0.0)),
        failure_action=action or "rollback",
        anonymous_volumes=first("anonymous_volumes", "inherit"),
    )


def _probe(found: Optional[Mapping[str, Any]]) -> Optional[Probe]:
    if not found:
        return None
    if found["type"] == "exec" and (found["query"] or found["value"] is not None):
        raise InvalidInput("probe.query and probe.value are for the type http.", "Leave them out.")
    return Probe(
        type=found["type"],
        port=_port("probe.port", found["port"]),
        scheme=found["scheme"],
        path=found["path"] if found["path"].startswith("/") else f"/{found['path']}",
        headers={str(name): str(value) for name, value in found["headers"].items()},
        expect=_expected(found["expect"]),
        query=_query("probe", found),
        value=found["value"],
        command=tuple(found["command"]),
        interval=max(0.05, _seconds("probe.interval", found["interval"])),
        timeout=_seconds("probe.timeout", found["timeout"]),
        successes=_at_least("probe.successes", found["successes"], 1),
    )


def _traffic(found: Optional[Mapping[str, Any]], directory: str) -> Traffic:
    if not found:
        return Traffic()
    mode = found["mode"]
    if mode == "hook" and not found["hook"]:
        raise InvalidInput("traffic.mode is hook, and traffic.hook is not there.", "Give the program to run.")
    if mode == "nginx" and not found["service"]:
        raise InvalidInput("traffic.mode is nginx, and traffic.service is not there.", "Name the service of nginx.")
    if mode != "nginx" and found["file"]:
        raise InvalidInput(f"traffic.file is for the mode nginx, and the mode is {mode}.", "Leave one of them out.")
    if found["file"] and "{port}" in found["server"] and not found["port"]:
        raise InvalidInput("traffic.file needs traffic.port.", "Give the port on which the service listens.")
    try:
        found["server"].format(address="192.0.2.1", port=80, name="web-1")
    except (LookupError, ValueError, AttributeError) as error:
        raise InvalidInput(
            f"traffic.server is {found['server']!r}: {type(error).__name__}: {error}.",
            "It may have {address}, {port} and {name}, like `server {address}:{port};`.",
        ) from None
    return Traffic(
        mode=mode,
        hook=tuple(found["hook"]),
        service=found["service"] or "",
        file=os.path.normpath(os.path.join(directory, found["file"])) if found["file"] else "",
        server=found["server"],
        port=_port("traffic.port", found["port"]),
        settle=_seconds("traffic.settle", found["settle"]),
        timeout=_seconds("traffic.timeout", found["timeout"]),
    )


def _drain(found: Optional[Mapping[str, Any]]) -> Drain:
    if not found:
        return Drain()
    name = str(found["signal"] or "").upper()
    if name and (name[3:] if name.startswith("SIG") else name) not in _SIGNALS:
        raise InvalidInput(
            f"drain.signal is {found['signal']!r}, which is no signal.", "Write it like USR1 or SIGQUIT."
        )
    return Drain(
        command=tuple(found["command"]),
        file=found["file"] or "",
        signal=name,
        inflight=tuple(found["inflight"]),
        wait=_seconds("drain.wait", found["wait"]),
        timeout=_seconds("drain.timeout", found["timeout"]),
    )


def _smoke(found: Mapping[str, Any], place: int) -> Smoke:
    if found["url"]:
        _require_address(found["url"])
    return Smoke(
        name=found["name"] or found["url"] or " ".join(found["command"])[:80] or f"smoke {place}",
        url=found["url"] or "",
        headers={str(name): str(value) for name, value in found["headers"].items()},
        expect=_expected(found["expect"]),
        query=_query("smoke", found),
        value=found["value"],
        verify=found["verify"],
        command=tuple(found["command"]),
        service=found["service"] or "",
        attempts=_at_least("smoke.attempts", found["attempts"], 1),
        interval=_seconds("smoke.interval", found["interval"]),
        timeout=_seconds("smoke.timeout", found["timeout"]),
    )


def _scale(found: Mapping[str, Any]) -> dict[str, int]:
    for name, count in found.items():
        if isinstance(count, bool) or not re.fullmatch(r"[0-9]{1,4}", str(count)):
            raise InvalidInput(f"scale of {name} is {count!r}.", "Give a whole number for each service, like {web: 3}.")
    return {str(name): int(count) for name, count in found.items()}


def _query(option: str, found: Mapping[str, Any]) -> str:
    if found["value"] is not None and not found["query"]:
        raise InvalidInput(f"{option}.value has no {option}.query whose answer it could be.", "Say where it stands.")
    return str(found["query"] or "")


def _port(name: str, value: Optional[int]) -> int:
    if value is not None and not 1 <= value <= 65535:
        raise InvalidInput(f"{name} is {value}, which is no port.", "It is between 1 and 65535.")
    return value or 0


def _require_address(url: str) -> None:
    try:
        parts = urlsplit(url)
        good = parts.scheme in ("http", "https") and bool(parts.hostname) and (parts.port or 1) > 0
    except ValueError:
        good = False
    if not good:
        raise InvalidInput(f"smoke.url is {url!r}, which is no address.", "Write it like http://127.0.0.1:8080/health.")


def _expected(found: Any) -> tuple[str, ...]:
    for one in found:
        if not _EXPECTED.match(str(one)):
            raise InvalidInput(f"expect has {str(one)!r}, which is no status.", "Write it like 200, 204 or 2xx.")
    return tuple(map(str, found))


def _at_least(name: str, value: int, least: int) -> int:
    if value < least:
        raise InvalidInput(f"{name} is {value}.", f"It is at least {least}.")
    return value


def _ratio(value: float) -> float:
    if not 0.0 <= value <= 1.0:
        raise InvalidInput(f"max_failure_ratio is {value:g}.", "It is between 0 and 1.")
    return value


def _seconds(name: str, value: object) -> float:
    return float(_parsed(parse_duration, name, value))


def _parsed(parse: Callable[[object], Any], name: str, value: object) -> Any:
    try:
        return parse(value)
    except InvalidInput as error:
        raise InvalidInput(f"{name}: {error.message}", error.remedy) from None
