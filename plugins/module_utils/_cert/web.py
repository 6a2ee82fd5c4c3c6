# Copyright (c) 2026 Upkeep maintainers
# GNU General Public License v3.0-or-later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Ask a web server, through TLS that is established, whether browsers are told to insist on TLS (HSTS, RFC 6797)."""

from __future__ import annotations

import re
import socket
import ssl
from typing import Optional

from ansible_collections.cadence.upkeep.plugins.module_utils._cert.model import CannotLook, EndpointSpec, Hsts
from ansible_collections.cadence.upkeep.plugins.module_utils._cert.reach import patience
from ansible_collections.cadence.upkeep.plugins.module_utils._core.deadline import Deadline

_HEAD_BYTES = 64 * 1024
_HTTPS = 443
_MAX_AGE = re.compile(r'max-age\s*=\s*"?(\d{1,18})"?', re.IGNORECASE)


def ask_hsts(spec: EndpointSpec, tls: ssl.SSLSocket, deadline: Deadline) -> Optional[Hsts]:
    """Return what the server behind *tls* says; None when it does not answer in HTTP until the *deadline*."""
    name = f"[{spec.checked_name}]" if ":" in spec.checked_name else spec.checked_name
    name += "" if spec.port == _HTTPS else f":{spec.port}"
    request = f"GET / HTTP/1.1\r\nHost: {name}\r\nUser-Agent: upkeep\r\nAccept: */*\r\nConnection: close\r\n\r\n"
    try:
        tls.settimeout(patience(deadline, spec, "handshake"))
        tls.sendall(request.encode("ascii"))
        answer = b""
        while b"\r\n\r\n" not in answer and len(answer) < _HEAD_BYTES:
            # Each time anew: one that sends a byte now and then would else have that time for every byte.
            tls.settimeout(patience(deadline, spec, "handshake"))
            received = tls.recv(4096)
            if not received:
                break
            answer += received
    except (OSError, socket.timeout, CannotLook):
        return None
    head = answer.partition(b"\r\n\r\n")[0].decode("latin-1")
    return read_hsts(head) if head.startswith("HTTP/") else None


def read_hsts(head: str) -> Hsts:
    """Return what the *head* of an HTTP answer says. Of several such headers the first counts (RFC 6797, 8.1)."""
    for line in head.splitlines()[1:]:
        name, _colon, value = line.partition(":")
        if name.strip().lower() != "strict-transport-security":
            continue
        directives = [part.strip().lower() for part in value.split(";")]
        age = next((match[1] for match in map(_MAX_AGE.fullmatch, directives) if match), None)
        seconds = None if age is None else int(age)  # without max-age, browsers ignore it
        return Hsts(seconds, "includesubdomains" in directives, "preload" in directives)
    return Hsts(None)
