# Copyright (c) 2026 Upkeep maintainers
# GNU General Public License v3.0-or-later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Ask a container, or the whole, whether it serves: by HTTP, TCP, or a program. What answers is never returned."""

from __future__ import annotations

import http.client
import socket
import ssl
from collections.abc import Mapping, Sequence
from typing import Any, Optional
from urllib.parse import urlsplit

from ansible_collections.cadence.upkeep.plugins.module_utils._compose.adapter import found_in
from ansible_collections.cadence.upkeep.plugins.module_utils._compose.roll.engine import Engine
from ansible_collections.cadence.upkeep.plugins.module_utils._compose.roll.model import Container, Probe, Smoke
from ansible_collections.cadence.upkeep.plugins.module_utils._core.command import run
from ansible_collections.cadence.upkeep.plugins.module_utils._core.errors import UpkeepError
from ansible_collections.cadence.upkeep.plugins.module_utils._core.plain import one_line

# Of a body no more is read than a health page has.
_BODY = 1 << 20
_SAID = 200


def ask(engine: Engine, container: Container, probe: Probe) -> str:
    """Return why *container* does not answer as *probe* wants; empty when it does."""
    if probe.type == "exec":
        return _executed(engine, container, probe.command, probe.timeout)
    if not container.address:
        return f"{container.name} has no address that this host reaches"
    if probe.type == "tcp":
        try:
            socket.create_connection((container.address, probe.port), probe.timeout).close()
        except OSError as error:
            return f"tcp port {probe.port}: {_reason(error)}"
        return ""
    place = (probe.scheme, container.address, probe.port, probe.path)
    # Who serves a name serves it by this one inside of the project.
    headers = {"Host": container.service, **probe.headers}
    return _answered(place, headers, probe.expect, probe.query, probe.value, probe.timeout, False)


def ask_whole(engine: Engine, smoke: Smoke, containers: Sequence[Container]) -> str:
    """Return why the smoke test fails; empty when it does not. *containers* are the running ones of its service."""
    if smoke.url:
        parts = urlsplit(smoke.url)
        path = (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
        port = parts.port or (443 if parts.scheme == "https" else 80)
        place = (parts.scheme, parts.hostname or "", port, path)
        return _answered(place, smoke.headers, smoke.expect, smoke.query, smoke.value, smoke.timeout, smoke.verify)
    if smoke.service:
        if not containers:
            return f"no container of {smoke.service} runs"
        return _executed(engine, containers[0], smoke.command, smoke.timeout)
    try:
        ended = run(smoke.command, smoke.timeout)
    except UpkeepError as error:
        return error.message
    said = (ended.errors.strip() or ended.output.strip()).splitlines()
    return "" if ended.status == 0 else f"status {ended.status}{': ' + said[-1][:_SAID] if said else ''}"


def _executed(engine: Engine, container: Container, command: Sequence[str], seconds: float) -> str:
    try:
        ended = engine.execute(container.description, command, seconds)
    except UpkeepError as error:
        return error.message
    if ended.status == 0:
        return ""
    said = " ".join(ended.output.split())[-_SAID:]
    return f"{one_line(command[0])} ended with status {ended.status}{': ' + said if said else ''}"


def _answered(
    place: tuple[str, str, int, str],
    headers: Mapping[str, str],
    expect: Sequence[str],
    query: str,
    value: Any,
    seconds: float,
    verify: bool,
) -> str:
    scheme, host, port, path = place
    connection = _connection(scheme, host, port, seconds, verify)
    try:
        connection.request("GET", path, headers={"Connection": "close", **headers})
        answer = connection.getresponse()
        body = answer.read(_BODY)
    except (OSError, http.client.HTTPException, ValueError) as error:
        return f"{scheme} port {port} {path}: {_reason(error)}"
    finally:
        connection.close()
    if not any(str(answer.status) == one or f"{answer.status // 100}xx" == one for one in expect):
        return f"{path} answered {answer.status}, and {', '.join(expect)} is expected"
    return _judged(body, query, value, path)


def _judged(body: bytes, query: str, value: Any, path: str) -> str:
    if not query:
        return ""
    found = found_in(body, query)
    good = bool(found) if value is None else found == value or str(found) == str(value)
    wanted = "something" if value is None else repr(value)
    return "" if good else f"{path} answered {one_line(repr(found)[:60])} for {query}, and {wanted} is expected"


def _connection(scheme: str, host: str, port: int, seconds: float, verify: bool) -> http.client.HTTPConnection:
    if scheme == "http":
        return http.client.HTTPConnection(host, port, timeout=seconds)
    context: Optional[ssl.SSLContext] = ssl.create_default_context()
    if not verify and context is not None:
        # A container is asked by its address, for which no certificate stands.
        context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    return http.client.HTTPSConnection(host, port, timeout=seconds, context=context)


def _reason(error: Exception) -> str:
    if isinstance(error, socket.timeout):
        return "no answer in time"
    return getattr(error, "strerror", None) or str(error) or type(error).__name__
