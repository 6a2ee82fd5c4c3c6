# Copyright (c) 2026 Upkeep maintainers
# GNU General Public License v3.0-or-later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Take a dump out of a Redis (or Valkey) server, as a replica does: the server makes a snapshot and sends it.

No program is needed, and no file of the server: the protocol says how many bytes come, or how they end.
"""

from __future__ import annotations

import os
import socket
import ssl
from collections.abc import Mapping
from datetime import datetime
from typing import Any

from ansible_collections.cadence.upkeep.plugins.module_utils._backup.containers import Sink
from ansible_collections.cadence.upkeep.plugins.module_utils._backup.create import model
from ansible_collections.cadence.upkeep.plugins.module_utils._backup.create.chain import chosen_compression
from ansible_collections.cadence.upkeep.plugins.module_utils._backup.create.errors import BackupFailed
from ansible_collections.cadence.upkeep.plugins.module_utils._backup.create.model import Facts, Job, Poured
from ansible_collections.cadence.upkeep.plugins.module_utils._backup.create.postgres import Compression
from ansible_collections.cadence.upkeep.plugins.module_utils._backup.manifest import Source as Origin
from ansible_collections.cadence.upkeep.plugins.module_utils._core.deadline import Deadline
from ansible_collections.cadence.upkeep.plugins.module_utils._core.errors import ConnectionFailed
from ansible_collections.cadence.upkeep.plugins.module_utils._core.plain import one_line
from ansible_collections.cadence.upkeep.plugins.module_utils._core.redact import redact

_PORT = 6379
_CHUNK = 1 << 18
_MARK = 40
_TICK_SECONDS = 0.5
_CONNECT_SECONDS = 10.0
_LONGEST_REPLY = 1 << 20
_TLS = ("require", "verify-ca", "verify-full")


class RedisDump:
    """A server that was asked who it is. As a context manager it hangs up in the end."""

    kind = model.REDIS
    form = model.CUSTOM
    inner_format = "redis-rdb"
    program = "redis SYNC"

    def __init__(self, job: Job, params: Mapping[str, Any], now: datetime, deadline: Deadline) -> None:
        self._params, self._deadline = params, deadline
        self._password = params["login_password"] or ""
        self._where = _where(params)
        self.compression = Compression("", chosen_compression(job))
        self._buffer = b""
        self._line = self._connected()
        try:
            self._log_in()
            said = self._info()
        except BaseException:
            self._line.close()
            raise
        self.facts = Facts(
            subject=f"{params['name'] or self._where}: redis",
            taken_at=now,
            source=Origin(
                host=params["name"] or self._where,
                server_version=said.get("redis_version", ""),
                system_identifier=said.get("master_replid", ""),
                bytes=int(said.get("used_memory_dataset") or said.get("used_memory") or 0),
            ),
            bytes=int(said.get("used_memory_dataset") or said.get("used_memory") or 0),
        )

    def __enter__(self) -> RedisDump:
        return self

    def __exit__(self, *_error: object) -> None:
        self._line.close()

    def pour(self, sink: Sink | None, _target: str, deadline: Deadline) -> Poured:
        """Have the server send its snapshot. Raises ``BackupFailed`` unless all of it came."""
        if sink is None:
            raise ValueError("a dump of Redis is one stream")
        self._deadline = deadline
        self._send(b"SYNC")
        head = self._next_line()
        while not head.strip():  # while it makes its snapshot it says that it lives
            head = self._next_line()
        if not head.startswith(b"$"):
            raise BackupFailed(
                f"Redis at {self._where} does not send its data: {self._words(head)}.",
                "Let the login user do it: ACL SETUSER NAME +sync +psync +info.",
            )
        announced = head[1:]
        if announced.startswith(b"EOF:"):
            self._until(announced[4:], sink)
        else:
            self._exactly(int(announced), sink)
        return Poured((("redis SYNC", 0),))

    def _exactly(self, left: int, sink: Sink) -> None:
        while left:
            data = self._some()[:left]
            self._buffer = self._buffer[len(data) :]
            left -= len(data)
            sink.feed(data)

    def _until(self, mark: bytes, sink: Sink) -> None:
        if len(mark) != _MARK:
            raise BackupFailed(f"Redis at {self._where} announces its data in a way that is not known.")
        while True:
            data = self._some()
            if data.endswith(mark):
                sink.feed(data[:-_MARK])
                self._buffer = b""
                return
            # The mark may have come in part.
            sink.feed(data[:-_MARK])
            self._buffer = data[-_MARK:]
            self._more()

    # --- the line

    def _connected(self) -> socket.socket:
        params = self._params
        try:
            if params["login_unix_socket"] and not params["login_host"]:
                line = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
                line.settimeout(_CONNECT_SECONDS)
                line.connect(params["login_unix_socket"])
            else:
                line = socket.create_connection(_address(params), _CONNECT_SECONDS)
            if params["ssl_mode"] in _TLS:
                line = _encrypted(line, params)
        except (OSError, ssl.SSLError) as error:
            raise ConnectionFailed(
                f"Redis at {self._where} cannot be reached: {getattr(error, 'strerror', None) or error}.",
                "Check login_host, login_port, login_unix_socket and ssl_mode.",
            ) from None
        line.settimeout(_TICK_SECONDS)
        return line

    def _log_in(self) -> None:
        if not self._password:
            return
        user = self._params["login_user"] or ""
        self._send(b"AUTH", *([user.encode()] if user else []), self._password.encode())
        answer = self._next_line()
        if not answer.startswith(b"+"):
            raise ConnectionFailed(
                f"Redis at {self._where} does not let us in: {self._words(answer)}.",
                "Check login_user, login_password.",
            )

    def _info(self) -> dict[str, str]:
        self._send(b"INFO")
        head = self._next_line()
        if not head.startswith(b"$") or not head[1:].isdigit() or int(head[1:]) > _LONGEST_REPLY:
            raise ConnectionFailed(
                f"Redis at {self._where} does not say what it is: {self._words(head)}.",
                "Check login_password, and that it is Redis.",
            )
        size = int(head[1:]) + 2
        while len(self._buffer) < size:
            self._more()
        text, self._buffer = self._buffer[:size], self._buffer[size:]
        pairs = (line.partition(":") for line in text.decode("utf-8", "replace").splitlines() if ":" in line)
        return {key: value.strip() for key, _colon, value in pairs}

    def _words(self, answer: bytes) -> str:
        said = redact(answer[:300].decode("utf-8", "replace"), (self._password,) if self._password else ())
        return one_line(said.lstrip("-").strip())

    def _send(self, *words: bytes) -> None:
        parts = [b"*%d\r\n" % len(words), *(b"$%d\r\n%s\r\n" % (len(word), word) for word in words)]
        try:
            self._line.sendall(b"".join(parts))
        except OSError as error:
            raise self._lost(error.strerror or str(error)) from None

    def _next_line(self) -> bytes:
        while b"\n" not in self._buffer:
            self._more()
        line, _newline, self._buffer = self._buffer.partition(b"\n")
        return line.rstrip(b"\r")

    def _some(self) -> bytes:
        if not self._buffer:
            self._more()
        return self._buffer

    def _more(self) -> None:
        while True:
            self._deadline.require("The backup")
            try:
                data = self._line.recv(_CHUNK)
            except socket.timeout:  # TimeoutError only since Python 3.10
                continue
            except OSError as error:
                raise self._lost(error.strerror or str(error)) from None
            if not data:
                raise self._lost("it hung up before the end")
            self._buffer += data
            return

    def _lost(self, why: str) -> BackupFailed:
        return BackupFailed(
            f"Redis at {self._where} was lost: {why}.",
            "Look into its log: a snapshot may lack memory or disk (client-output-buffer-limit replica).",
        )


def _where(params: Mapping[str, Any]) -> str:
    if params["container"] or params["compose_service"]:
        return f"container {params['container'] or params['compose_service']}"
    if params["login_unix_socket"] and not params["login_host"]:
        return str(params["login_unix_socket"])
    return f"{params['login_host'] or 'localhost'}:{params['login_port'] or _PORT}"


def _address(params: Mapping[str, Any]) -> tuple[str, int]:
    port = params["login_port"] or _PORT
    if not (params["container"] or params["compose_service"]):
        return params["login_host"] or "127.0.0.1", port
    # Only here: importing the Docker SDK takes a third of a second, which all other runs save.
    from ansible_collections.cadence.upkeep.plugins.module_utils._core.containers import place_of, require_running
    from ansible_collections.cadence.upkeep.plugins.module_utils._core.daemon import Daemon
    from ansible_collections.cadence.upkeep.plugins.module_utils._postgres.container_facts import addresses_of

    daemon = Daemon(params["docker_host"] or "")
    try:
        description = daemon.find(place_of(params))
        require_running(description)
        addresses = addresses_of(description, port, daemon.host)
    finally:
        daemon.close()
    if not addresses:
        raise OSError(0, f"the container has no network and publishes no port {port}")
    return addresses[0].host, addresses[0].port


def _encrypted(line: socket.socket, params: Mapping[str, Any]) -> ssl.SSLSocket:
    context = ssl.create_default_context(cafile=params["ca_cert"])
    context.check_hostname = params["ssl_mode"] == "verify-full"
    if params["ssl_mode"] == "require":
        context.verify_mode = ssl.CERT_NONE
    if params["ssl_cert"]:
        context.load_cert_chain(params["ssl_cert"], params["ssl_key"])
    return context.wrap_socket(line, server_hostname=params["login_host"] or os.uname().nodename)
