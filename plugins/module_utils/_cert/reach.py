# Copyright (c) 2026 Upkeep maintainers
# GNU General Public License v3.0-or-later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Reach an endpoint: resolve its name, connect (through a proxy if it has one), each within the time that it has."""

from __future__ import annotations

import queue
import re
import socket
import threading
from typing import Any, NamedTuple, Optional

from ansible_collections.cadence.upkeep.plugins.module_utils._cert.model import CannotLook, EndpointSpec
from ansible_collections.cadence.upkeep.plugins.module_utils._cert.names import is_ip
from ansible_collections.cadence.upkeep.plugins.module_utils._core.deadline import Deadline
from ansible_collections.cadence.upkeep.plugins.module_utils._core.units import format_duration

_ANSWER_BYTES = 16 * 1024
_LONGEST_WAIT = 3600.0
_STATUS = re.compile(rb"HTTP/1\.[01] (\d{3})(?: ([^\r\n]{0,100}))?\r?\n")
_PHASES = {
    "resolve": "was not resolved",
    "connect": "did not accept a connection",
    "proxy": "was not reached by its proxy",
    "starttls": "accepted the connection, but did not get as far as TLS in {starttls}",
    "handshake": "accepted the connection, but did not finish the TLS handshake",
}


class Address(NamedTuple):
    """One address of a host, as ``getaddrinfo`` gives it: what a socket is made of, and where it connects to."""

    family: int
    kind: int
    protocol: int
    place: Any

    @property
    def ip(self) -> str:
        return str(self.place[0])


def addresses_of(spec: EndpointSpec, deadline: Deadline) -> list[Address]:
    """Return the addresses of the endpoint, or of its proxy. Raises ``CannotLook`` when there is none."""
    host, port = spec.proxy or (spec.host, spec.port)
    if is_ip(host):
        found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM, flags=socket.AI_NUMERICHOST)
    else:
        found = _resolve(spec, host, port, deadline)
    # The same address may be given for several protocols.
    addresses = {entry[4]: Address(entry[0], entry[1], entry[2], entry[4]) for entry in reversed(found)}
    if not addresses:
        raise unreachable(spec, "dns", "has no address", f"Give {host} one, or correct it.")
    return list(reversed(list(addresses.values())))


def connect(spec: EndpointSpec, addresses: list[Address], deadline: Deadline) -> tuple[socket.socket, str]:
    """Return a connection to the first of *addresses* that answers, and it; each gets its share of the time.

    Through a proxy the address is unknown, and empty.
    """
    failure: OSError = OSError("it has no address")
    for index, address in enumerate(addresses):
        try:
            connection = socket.socket(address.family, address.kind, address.protocol)
        except OSError as error:  # this host has no IPv6, say
            failure = error
            continue
        try:
            connection.settimeout(patience(deadline, spec, "connect") / (len(addresses) - index))
            connection.connect(address.place)
        except OSError as error:
            connection.close()
            failure = error
        except CannotLook:
            connection.close()
            raise
        else:
            return connection, "" if spec.proxy else address.ip
    raise _no_connection(spec, failure) from failure


def pass_proxy(spec: EndpointSpec, connection: socket.socket, deadline: Deadline) -> None:
    """Ask the HTTP proxy at the other end to connect to the endpoint. Raises ``CannotLook`` unless it does."""
    request = f"CONNECT {spec.address} HTTP/1.1\r\nHost: {spec.address}\r\n\r\n"
    try:
        connection.settimeout(patience(deadline, spec, "proxy"))
        connection.sendall(request.encode("ascii"))
        answer = b""
        while b"\r\n\r\n" not in answer and len(answer) < _ANSWER_BYTES:
            connection.settimeout(patience(deadline, spec, "proxy"))
            received = connection.recv(1024)
            if not received:
                break
            answer += received
    except socket.timeout as error:
        raise late(spec, "proxy") from error
    except OSError as error:
        raise _proxy(spec, f"ended the connection ({error.strerror or error})") from error
    status = _STATUS.match(answer)
    if status is None or not answer.endswith(b"\r\n\r\n"):
        raise _proxy(spec, "does not answer like an HTTP proxy")
    if not status[1].startswith(b"2"):
        words = " ".join(part.decode("latin-1") for part in status.groups() if part)
        raise _proxy(spec, f"refuses: {words}")


def _proxy(spec: EndpointSpec, what: str) -> CannotLook:
    host, port = spec.proxy or ("", 0)
    remedy = "Correct the option proxy, or let the proxy pass this address."
    return unreachable(spec, "proxy", f"cannot be reached: its proxy {host}:{port} {what}", remedy)


def _resolve(spec: EndpointSpec, host: str, port: int, deadline: Deadline) -> list[Any]:
    # The resolver of the system cannot be given a time limit; a thread that waits for it can be left behind.
    answers: queue.SimpleQueue[Any] = queue.SimpleQueue()
    threading.Thread(target=_ask_resolver, args=(host, port, answers), daemon=True).start()
    try:
        answer = answers.get(timeout=patience(deadline, spec, "resolve"))
    except queue.Empty:
        raise late(spec, "resolve") from None
    if isinstance(answer, Exception):
        why = getattr(answer, "strerror", None) or str(answer)
        raise unreachable(
            spec,
            "dns",
            f"cannot be resolved: {why}" if host == spec.host else f"cannot be reached: its proxy {host}: {why}",
            f"Correct {host}, or the resolver of this host (`getent ahosts {host}` shows what it says).",
        ) from answer
    return list(answer)


def _ask_resolver(host: str, port: int, answers: queue.SimpleQueue[Any]) -> None:
    try:
        answers.put(socket.getaddrinfo(host, port, type=socket.SOCK_STREAM))
    except (OSError, ValueError) as error:  # a label of more than 63 letters is a UnicodeError
        answers.put(error)


def patience(deadline: Deadline, spec: EndpointSpec, phase: str) -> float:
    """Return the seconds left, more than 0 (which would mean not to wait at all); raises when none are."""
    if deadline.expired:
        raise late(spec, phase)
    # The system knows no wait of a hundred years.
    return min(max(0.001, deadline.remaining or 0.0), _LONGEST_WAIT) if deadline.seconds is not None else _LONGEST_WAIT


def unreachable(spec: EndpointSpec, kind: str, what: str, remedy: str, **evidence: Any) -> CannotLook:
    """Return the error of one endpoint; *what* goes on the sentence that begins with its name."""
    return CannotLook(kind, f"{spec.place} {what}.", remedy, host=spec.host, port=spec.port, **evidence)


def late(spec: EndpointSpec, phase: str) -> CannotLook:
    """Return the error that the time of *spec* was over in that *phase*."""
    look = f"openssl s_client -connect {spec.address}"
    hint = f"Look whether the server works (`{look}`), or raise timeout."
    if phase == "starttls":
        hint = f"Should `{look}` show a certificate, the port speaks TLS from the start: leave starttls out."
    return unreachable(
        spec,
        "timeout",
        f"{_PHASES[phase].format(starttls=spec.starttls)} within {format_duration(spec.seconds)}",
        hint,
        phase=phase,
        timeout_seconds=spec.seconds,
    )


def _no_connection(spec: EndpointSpec, error: Optional[OSError]) -> CannotLook:
    if isinstance(error, socket.timeout):
        return late(spec, "connect")
    through = f" through its proxy {spec.proxy[0]}:{spec.proxy[1]}" if spec.proxy else ""
    if isinstance(error, ConnectionRefusedError):
        kind, remedy = "refused", "Start its server, or correct the port."
        if spec.proxy:
            kind, remedy = "proxy", "Start the proxy, or correct the option proxy."
        return unreachable(spec, kind, f"refuses connections{through}", remedy)
    return unreachable(
        spec,
        "proxy" if spec.proxy else "unreachable",
        f"cannot be reached{through}: {getattr(error, 'strerror', None) or error}",
        "Look at the route and the firewall between this host and it.",
    )
