"""A real TLS server, and real ways for one to go wrong. Standard library only.

In a test it is a thread (`with TlsServer(chain, key) as server: ... server.port`). The demo runs this file as a process
(`endpoint.py --fd N --chain FILE --key FILE`) on a socket that it opened and so knows the port of.
"""

from __future__ import annotations

import argparse
import contextlib
import enum
import socket
import ssl
import struct
import threading
from pathlib import Path
from types import TracebackType
from typing import Self

HOST = "127.0.0.1"
PATIENCE = 10.0  # seconds for a client to say something
PAGE = b"HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nContent-Length: 3\r\nConnection: close\r\n\r\nok\n"
REFUSAL = b"HTTP/1.1 400 Bad Request\r\nContent-Length: 0\r\nConnection: close\r\n\r\n"


class Behaviour(enum.Enum):
    """What a server does with a connection."""

    SERVE = "serve"  # TLS, then one page
    SILENT = "silent"  # accepts and never says a word
    PLAIN_HTTP = "plain_http"  # answers a TLS hello in HTTP
    CLOSE = "close"  # an orderly end at once
    RESET = "reset"  # a reset after the client's hello


def listening_socket(port: int = 0) -> socket.socket:
    """A listening loopback socket; port 0 is a free one. Raises OSError when the port is taken."""
    listener = socket.socket()
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        listener.bind((HOST, port))
        listener.listen(128)
    except OSError:
        listener.close()
        raise
    return listener


class TlsServer:
    """Serves on loopback until `stop`. Connections are handled in threads, so a silent one holds up no other."""

    def __init__(
        self,
        chain: Path | None = None,
        key: Path | None = None,
        *,
        behaviour: Behaviour = Behaviour.SERVE,
        listener: socket.socket | None = None,
        maximum_version: ssl.TLSVersion = ssl.TLSVersion.MAXIMUM_SUPPORTED,
        client_ca: Path | None = None,
    ) -> None:
        """`chain` and `key` are PEM files, needed to SERVE; with `client_ca` a client has to show a certificate."""
        self.behaviour = behaviour
        self._context = None if chain is None else _context(chain, key, maximum_version, client_ca)
        if behaviour is Behaviour.SERVE and self._context is None:
            raise ValueError("a server that serves needs a chain")
        self._listener = listener or listening_socket()
        self.host, self.port = self._listener.getsockname()
        self._open: set[socket.socket] = set()
        self._lock = threading.Lock()
        self._stopped = threading.Event()
        self._thread = threading.Thread(target=self.serve, daemon=True)

    def serve(self) -> None:
        """Accept connections until stopped."""
        while not self._stopped.is_set():
            try:
                connection, _ = self._listener.accept()
            except OSError:  # stopped, or the client went before it was accepted
                continue
            with self._lock:
                self._open.add(connection)
            threading.Thread(target=self._handle, args=(connection,), daemon=True).start()

    def stop(self) -> None:
        """Stop, and close what is still open."""
        self._stopped.set()
        with contextlib.suppress(OSError):  # wakes `accept`; a socket that never connected may refuse
            self._listener.shutdown(socket.SHUT_RDWR)
        with contextlib.suppress(OSError), socket.create_connection((self.host, self.port), timeout=1):
            pass  # macOS does not wake `accept` by a shutdown, only by a connection
        self._thread.join(timeout=5)
        self._listener.close()
        with self._lock:
            for connection in self._open:
                connection.close()
            self._open.clear()

    def __enter__(self) -> Self:
        """Serve in a thread."""
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Stop."""
        self.stop()

    def _handle(self, connection: socket.socket) -> None:
        connection.settimeout(PATIENCE)
        actions = {
            Behaviour.SERVE: self._serve,
            Behaviour.SILENT: self._keep_silent,
            Behaviour.PLAIN_HTTP: _answer_in_http,
            Behaviour.CLOSE: _close,
            Behaviour.RESET: _reset,
        }
        with contextlib.suppress(OSError):  # a client may go whenever it likes (ssl.SSLError is an OSError)
            actions[self.behaviour](connection)
        connection.close()
        with self._lock:
            self._open.discard(connection)

    def _serve(self, connection: socket.socket) -> None:
        assert self._context is not None
        with self._context.wrap_socket(connection, server_side=True) as secured:
            if secured.recv(4096):
                secured.sendall(PAGE)
            secured.unwrap()

    def _keep_silent(self, _connection: socket.socket) -> None:
        self._stopped.wait()


def _context(chain: Path, key: Path | None, maximum: ssl.TLSVersion, client_ca: Path | None) -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.maximum_version = maximum
    context.load_cert_chain(chain, key)
    if client_ca is not None:
        context.load_verify_locations(client_ca)
        context.verify_mode = ssl.CERT_REQUIRED
    return context


def _answer_in_http(connection: socket.socket) -> None:
    connection.recv(4096)
    connection.sendall(REFUSAL)
    _close(connection)


def _close(connection: socket.socket) -> None:
    """End our side, then take what the client sends: closing with unread bytes would be a reset."""
    connection.shutdown(socket.SHUT_WR)
    while connection.recv(4096):
        pass


def _reset(connection: socket.socket) -> None:
    connection.recv(1)
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))


def main() -> None:
    """Serve on an inherited socket until a signal ends the process."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--fd", type=int, required=True, help="the listening socket")
    parser.add_argument("--chain", type=Path, required=True)
    parser.add_argument("--key", type=Path, required=True)
    options = parser.parse_args()
    TlsServer(options.chain, options.key, listener=socket.socket(fileno=options.fd)).serve()


if __name__ == "__main__":
    main()
