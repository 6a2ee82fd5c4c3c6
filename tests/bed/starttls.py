"""Servers that begin in clear text and go over to TLS: the dialogue of each protocol, and ways for one to go wrong.

Small, and true to each protocol's specification as far as the change to TLS goes; what comes after the handshake is not
theirs. The real servers of the same protocols are in services.py.
"""

from __future__ import annotations

import contextlib
import enum
import socket
import ssl
import threading
from collections.abc import Callable
from pathlib import Path
from types import TracebackType
from typing import Self

from .endpoint import listening_socket

PATIENCE = 10.0


class Fault(enum.Enum):
    """What a server does wrong."""

    NONE = "none"
    REFUSES = "refuses"  # offers no TLS, or says no
    WRONG_GREETING = "wrong_greeting"  # speaks something else
    FLOOD = "flood"  # 64 KiB without the end of a line
    ENDLESS = "endless"  # line after line, and never to the point
    INJECTION = "injection"  # says more in the same packet in which it agrees to TLS
    SILENT = "silent"  # never says a word
    DRIP = "drip"  # one byte at a time, far too slow
    CLOSES = "closes"  # accepts, and goes


class _Talk:
    """One connection: lines in, bytes out."""

    def __init__(self, connection: socket.socket, fault: Fault) -> None:
        self._connection = connection
        self._lines = b""
        self.fault = fault
        self.refuses = fault is Fault.REFUSES

    def say(self, *lines: str) -> None:
        self._connection.sendall("".join(f"{line}\r\n" for line in lines).encode())

    def send(self, data: bytes) -> None:
        self._connection.sendall(data)

    def agree(self, data: bytes) -> None:
        """Say that TLS may begin; with an injection, more than that."""
        self.send(data + (b"injected by somebody\r\n" if self.fault is Fault.INJECTION else b""))

    def hear(self) -> str:
        while b"\n" not in self._lines:
            data = self._connection.recv(1024)
            if not data:
                raise ConnectionResetError("the client went")
            self._lines += data
        line, _, self._lines = self._lines.partition(b"\n")
        return line.decode().strip()

    def expect(self, wanted: str) -> None:
        heard = self.hear()
        if not heard.upper().startswith(wanted):
            raise AssertionError(f"{wanted} was expected, {heard!r} came")

    def take(self, size: int) -> bytes:
        data = b""
        while len(data) < size:
            received = self._connection.recv(size - len(data))
            if not received:
                raise ConnectionResetError("the client went")
            data += received
        return data


def _mail(hello: str) -> Callable[[_Talk], None]:
    def talk(client: _Talk) -> None:
        client.say("220-mail.example.org at your service", "220 ESMTP")
        client.expect(hello)
        offer = [] if client.refuses else ["250-STARTTLS"]
        client.say("250-mail.example.org", "250-PIPELINING", *offer, "250 HELP")
        client.expect("STARTTLS")
        client.agree(b"220 go ahead\r\n")

    return talk


def _imap(client: _Talk) -> None:
    client.say("* OK [CAPABILITY IMAP4rev1 STARTTLS] ready")
    tag, command = client.hear().split()
    if command != "STARTTLS":
        raise AssertionError(command)
    client.send(b"* CAPABILITY IMAP4rev1\r\n")
    client.agree(f"{tag} {'BAD not here' if client.refuses else 'OK begin'}\r\n".encode())


def _pop3(client: _Talk) -> None:
    client.say("+OK POP3 ready")
    client.expect("STLS")
    client.agree(b"-ERR no\r\n" if client.refuses else b"+OK begin\r\n")


def _ftp(client: _Talk) -> None:
    client.say("220-Welcome", "  to this server", "220 ready")
    client.expect("AUTH TLS")
    client.agree(b"534 no\r\n" if client.refuses else b"234 begin\r\n")


def _sieve(client: _Talk) -> None:
    offer = [] if client.refuses else ['"STARTTLS"']
    client.say('"IMPLEMENTATION" "bed"', '"SIEVE" "fileinto"', *offer, '"VERSION" "1.0"', "OK ready")
    client.expect("STARTTLS")
    client.agree(b"OK begin\r\n")


def _ldap(client: _Talk) -> None:
    request = client.take(31)
    if b"1.3.6.1.4.1.1466.20037" not in request:
        raise AssertionError(request)
    # With lengths in four bytes, as Active Directory writes them.
    inner = b"\x0a\x01" + (b"\x34" if client.refuses else b"\x00") + b"\x04\x00\x04\x00"
    response = b"\x78\x84" + len(inner).to_bytes(4, "big") + inner
    message = b"\x02\x01\x01" + response
    client.agree(b"\x30\x84" + len(message).to_bytes(4, "big") + message)


def _postgres(client: _Talk) -> None:
    if client.take(8) != bytes.fromhex("0000000804d2162f"):
        raise AssertionError("this is not the request for TLS")
    client.agree(b"N" if client.refuses else b"S")


def _mysql(client: _Talk) -> None:
    abilities = 0xFFFF & ~(0x0800 if client.refuses else 0)
    greeting = (
        b"\x0a8.0.36-bed\0" + (7).to_bytes(4, "little") + b"challeng\0" + abilities.to_bytes(2, "little")
        + b"\x21\x02\x00\xff\xff\x15" + bytes(10) + b"of twelve by\0" + b"mysql_native_password\0"
    )  # fmt: skip
    tail = b"injected" if client.fault is Fault.INJECTION else b""
    client.send(len(greeting).to_bytes(3, "little") + b"\0" + greeting + tail)
    header = client.take(4)
    flags = int.from_bytes(client.take(int.from_bytes(header[:3], "little"))[:4], "little")
    if header[3] != 1 or not flags & 0x0800:
        raise AssertionError("this is not the request for TLS")


def _xmpp(namespace: str) -> Callable[[_Talk], None]:
    def talk(client: _Talk) -> None:
        opening = ""
        while "version='1.0'>" not in opening:
            opening += client.take(1).decode()
        if namespace not in opening or "to='" not in opening:
            raise AssertionError(opening)
        offer = "" if client.refuses else "<starttls xmlns='urn:ietf:params:xml:ns:xmpp-tls'><required/></starttls>"
        client.send(
            f"<?xml version='1.0'?><stream:stream xmlns='{namespace}' from='example.org' version='1.0' id='7' "
            f"xmlns:stream='http://etherx.jabber.org/streams'><stream:features>{offer}"
            "<mechanisms xmlns='urn:ietf:params:xml:ns:xmpp-sasl'/></stream:features>".encode()
        )
        answer = client.take(len("<starttls xmlns='urn:ietf:params:xml:ns:xmpp-tls'/>"))
        if not answer.startswith(b"<starttls"):
            raise AssertionError(answer)
        client.agree(b"<proceed xmlns='urn:ietf:params:xml:ns:xmpp-tls'/>")

    return talk


TALKS: dict[str, Callable[[_Talk], None]] = {
    "smtp": _mail("EHLO"),
    "lmtp": _mail("LHLO"),
    "imap": _imap,
    "pop3": _pop3,
    "ftp": _ftp,
    "sieve": _sieve,
    "ldap": _ldap,
    "postgres": _postgres,
    "mysql": _mysql,
    "xmpp": _xmpp("jabber:client"),
    "xmpp-server": _xmpp("jabber:server"),
}
# Those in which the server speaks first.
GREETS = ("smtp", "lmtp", "imap", "pop3", "ftp", "sieve", "mysql")


class StarttlsServer:
    """Serves one protocol on loopback in threads. `mistakes` are what clients did that the protocol forbids."""

    def __init__(self, protocol: str, chain: Path, key: Path, fault: Fault = Fault.NONE) -> None:
        """`chain` and `key` are PEM files."""
        self._talk = TALKS[protocol]
        self._fault = fault
        self._context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        self._context.load_cert_chain(chain, key)
        self._listener = listening_socket()
        self.host, self.port = self._listener.getsockname()
        self.mistakes: list[str] = []
        self._stopped = threading.Event()
        self._thread = threading.Thread(target=self._serve, daemon=True)

    def __enter__(self) -> Self:
        """Serve in a thread."""
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Stop."""
        self._stopped.set()
        with contextlib.suppress(OSError):
            self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        self._thread.join(timeout=5)

    def _serve(self) -> None:
        while not self._stopped.is_set():
            try:
                connection, _ = self._listener.accept()
            except OSError:
                return
            threading.Thread(target=self._handle, args=(connection,), daemon=True).start()

    def _handle(self, connection: socket.socket) -> None:
        connection.settimeout(PATIENCE)
        with connection, contextlib.suppress(OSError):  # a client may go whenever it likes
            try:
                if not self._misbehaves(connection):
                    self._talk(_Talk(connection, self._fault))
                    with self._context.wrap_socket(connection, server_side=True) as secured:
                        secured.recv(1)
            except AssertionError as error:
                self.mistakes.append(str(error))

    def _misbehaves(self, connection: socket.socket) -> bool:
        fault = self._fault
        if fault is Fault.WRONG_GREETING:
            connection.sendall(b"\x00\x01 this is another service\r\n" * 3)
        elif fault is Fault.FLOOD:
            connection.sendall(b"2" * 65536)
        elif fault is Fault.ENDLESS:
            while not self._stopped.is_set():
                connection.sendall(b"220-more\r\n" * 100)
        elif fault is Fault.SILENT:
            self._stopped.wait()
        elif fault is Fault.DRIP:
            while not self._stopped.wait(0.1):
                connection.sendall(b"2")
        elif fault is not Fault.CLOSES:
            return False
        if fault is not Fault.CLOSES:
            with contextlib.suppress(OSError):
                connection.recv(65536)
        return True
