# Copyright (c) 2026 Upkeep maintainers
# GNU General Public License v3.0-or-later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Begin in clear text and go over to TLS: one short dialogue for each protocol that has one.

Each dialogue is as short as its protocol allows, takes at most a few kilobytes, and ends at the very byte at which TLS
begins: what a server (or somebody on the way) sends beyond that is an injection, and the endpoint is not looked at.
"""

from __future__ import annotations

import re
import socket
from collections.abc import Mapping
from typing import Callable, NamedTuple

from ansible_collections.cadence.upkeep.plugins.module_utils._cert import der
from ansible_collections.cadence.upkeep.plugins.module_utils._cert.model import CannotLook, EndpointSpec
from ansible_collections.cadence.upkeep.plugins.module_utils._cert.reach import late, patience, unreachable
from ansible_collections.cadence.upkeep.plugins.module_utils._core.deadline import Deadline

_LINE_BYTES, _ALL_BYTES = 4096, 32 * 1024
_XML_BYTES = 16 * 1024
# The client says who it is without asking a resolver for its name.
_SELF = b"[127.0.0.1]"
_MYSQL_TLS = 0x0800
_MYSQL_CAPABILITIES = 0x0200 | _MYSQL_TLS | 0x8000  # protocol 4.1, TLS, secure connection
_LDAP_STARTTLS = b"1.3.6.1.4.1.1466.20037"


def negotiate(spec: EndpointSpec, connection: socket.socket, deadline: Deadline) -> None:
    """Bring *connection* to the point where the TLS handshake begins. Raises ``CannotLook`` when it does not."""
    wire = _Wire(spec, connection, deadline)
    _DIALOGUES[spec.starttls].talk(wire)
    if wire.left_over:
        raise wire.protocol("sent more after it agreed to TLS, as an injection would")


class _Wire:
    """Reads from one connection, bounded in bytes and in time."""

    def __init__(self, spec: EndpointSpec, connection: socket.socket, deadline: Deadline) -> None:
        self.spec = spec
        self._connection = connection
        self._deadline = deadline
        self._buffer = b""
        self._received = 0

    @property
    def left_over(self) -> bool:
        return bool(self._buffer)

    def send(self, data: bytes) -> None:
        self._wait(lambda: self._connection.sendall(data))

    def line(self) -> bytes:
        """Return the next line without its end."""
        while b"\n" not in self._buffer:
            if len(self._buffer) > _LINE_BYTES:
                raise self.protocol(f"sent a line of more than {_LINE_BYTES} bytes")
            self._fill()
        line, _newline, self._buffer = self._buffer.partition(b"\n")
        return line.rstrip(b"\r")

    def exactly(self, size: int) -> bytes:
        """Return the next *size* bytes."""
        while len(self._buffer) < size:
            self._fill()
        data, self._buffer = self._buffer[:size], self._buffer[size:]
        return data

    def until(self, pattern: re.Pattern[bytes]) -> re.Match[bytes]:
        """Return the match of *pattern*, once it is there, and forget all up to its end."""
        while True:
            match = pattern.search(self._buffer)
            if match is not None:
                self._buffer = self._buffer[match.end() :]
                return match
            if len(self._buffer) > _XML_BYTES:
                raise self.protocol(f"sent more than {_XML_BYTES} bytes without coming to the point")
            self._fill()

    def refused(self, answer: bytes) -> CannotLook:
        """Return the error that the server speaks the protocol and does not offer TLS."""
        return unreachable(
            self.spec,
            "starttls_refused",
            f"speaks {self.spec.starttls} and refuses STARTTLS{_quoted(answer)}",
            "Configure a certificate in its server, or leave starttls out if the port speaks TLS from the start.",
        )

    def protocol(self, what: str, answer: bytes = b"") -> CannotLook:
        """Return the error that the server does not speak the protocol as it should."""
        return unreachable(
            self.spec,
            "starttls_protocol",
            f"does not speak {self.spec.starttls} as expected: it {what}{_quoted(answer)}",
            "Correct port or starttls: another service listens there, or something on the way meddles.",
        )

    def _fill(self) -> None:
        if self._received > _ALL_BYTES:
            raise self.protocol(f"sent more than {_ALL_BYTES} bytes before TLS")
        self._wait(self._receive)

    def _receive(self) -> None:
        data = self._connection.recv(4096)
        if not data:
            raise self.protocol("closed the connection", self._buffer)
        self._received += len(data)
        self._buffer += data

    def _wait(self, step: Callable[[], None]) -> None:
        self._connection.settimeout(patience(self._deadline, self.spec, "starttls"))
        try:
            step()
        except socket.timeout as error:
            raise late(self.spec, "starttls") from error
        except OSError as error:
            raise self.protocol(f"ended the connection ({error.strerror or error})") from error


def _quoted(answer: bytes) -> str:
    text = "".join(letter for letter in answer[:80].decode("ascii", "replace") if letter.isprintable())
    return f" ({text!r})" if text else ""


def _reply(wire: _Wire) -> tuple[bytes, list[bytes]]:
    """Return code and lines of a reply of SMTP or FTP: all lines but the last have a dash after the code."""
    lines: list[bytes] = []
    while True:
        line = wire.line()
        if not lines and not re.match(rb"\d{3}(?:[ -]|$)", line):
            raise wire.protocol("did not begin with a code", line)
        lines.append(line)
        # FTP lets the lines between the first and the last be anything.
        if line[:3] == lines[0][:3] and line[3:4] != b"-":
            return line[:3], lines


def _smtp(hello: bytes) -> Callable[[_Wire], None]:
    def talk(wire: _Wire) -> None:
        code, lines = _reply(wire)
        if code != b"220":
            raise wire.protocol("did not greet with 220", lines[0])
        wire.send(hello + b" " + _SELF + b"\r\n")
        code, lines = _reply(wire)
        if code != b"250":
            raise wire.protocol(f"refused {hello.decode()}", lines[0])
        if not any(line[4:].strip().upper() == b"STARTTLS" for line in lines):
            raise wire.refused(b"")
        wire.send(b"STARTTLS\r\n")
        code, lines = _reply(wire)
        if code != b"220":
            raise wire.refused(lines[0])

    return talk


def _ftp(wire: _Wire) -> None:
    code, lines = _reply(wire)
    if code != b"220":
        raise wire.protocol("did not greet with 220", lines[0])
    wire.send(b"AUTH TLS\r\n")
    code, lines = _reply(wire)
    if code != b"234":
        raise wire.refused(lines[0])


def _imap(wire: _Wire) -> None:
    greeting = wire.line()
    if not greeting.upper().startswith(b"* OK"):
        raise wire.protocol("did not greet with * OK", greeting)
    wire.send(b"a1 STARTTLS\r\n")
    while True:
        answer = wire.line()
        if answer.startswith(b"a1 "):
            break
    if not answer.upper().startswith(b"A1 OK"):
        raise wire.refused(answer)


def _pop3(wire: _Wire) -> None:
    greeting = wire.line()
    if not greeting.startswith(b"+OK"):
        raise wire.protocol("did not greet with +OK", greeting)
    wire.send(b"STLS\r\n")
    answer = wire.line()
    if not answer.startswith(b"+OK"):
        raise wire.refused(answer)


def _sieve(wire: _Wire) -> None:
    offered, first = False, True
    while True:
        line = wire.line()
        word = line.strip().upper()
        if word.startswith((b"OK", b"NO", b"BYE")):
            break
        if first and not line.startswith(b'"'):
            raise wire.protocol("did not begin with its capabilities", line)
        first = False
        offered = offered or word.startswith(b'"STARTTLS"')
    if not word.startswith(b"OK"):
        raise wire.protocol("did not say OK", line)
    if not offered:
        raise wire.refused(b"")
    wire.send(b"STARTTLS\r\n")
    answer = wire.line()
    if not answer.upper().startswith(b"OK"):
        raise wire.refused(answer)


def _ldap(wire: _Wire) -> None:
    name = b"\x80" + bytes([len(_LDAP_STARTTLS)]) + _LDAP_STARTTLS
    request = b"\x02\x01\x01\x77" + bytes([len(name)]) + name
    wire.send(b"\x30" + bytes([len(request)]) + request)
    tag, size = wire.exactly(2)
    if tag != der.SEQUENCE:
        raise wire.protocol("did not answer with an LDAP message")
    if size & 0x80:  # Active Directory writes every length in four bytes
        size = int.from_bytes(wire.exactly(size & 0x07), "big")
    if size > _LINE_BYTES:
        raise wire.protocol("answered with a message that is too long")
    try:
        number, answer = list(der.elements(wire.exactly(size)))[:2]
        code = next(der.elements(answer.content))
    except (ValueError, StopIteration):
        raise wire.protocol("answered with a message that cannot be read") from None
    if number.content != b"\x01" or answer.tag != 0x78 or code.tag != 0x0A:
        raise wire.protocol("did not answer with an extended response")
    if code.content != b"\0":
        raise wire.refused(f"result code {int.from_bytes(code.content, 'big')}".encode())


def _postgres(wire: _Wire) -> None:
    wire.send(bytes.fromhex("0000000804d2162f"))
    answer = wire.exactly(1)
    if answer == b"N":
        raise wire.refused(b"it was built or configured without TLS")
    if answer != b"S":
        raise wire.protocol("answered neither S nor N", answer)


def _mysql(wire: _Wire) -> None:
    header = wire.exactly(4)
    size = int.from_bytes(header[:3], "little")
    if not 1 <= size <= _LINE_BYTES:
        raise wire.protocol("did not begin with a greeting", header)
    greeting = wire.exactly(size)
    if greeting[0] == 0xFF:
        raise wire.refused(greeting[3:])
    if greeting[0] != 10 or b"\0" not in greeting:
        raise wire.protocol("did not begin with a greeting of version 10")
    # Behind its version: a number of 4 bytes, 8 of a challenge, a zero, then what it can do.
    after = greeting.index(b"\0") + 1 + 4 + 8 + 1
    if not int.from_bytes(greeting[after : after + 2], "little") & _MYSQL_TLS:
        raise wire.refused(b"")
    answer = _MYSQL_CAPABILITIES.to_bytes(4, "little") + (1 << 24).to_bytes(4, "little") + bytes([33]) + bytes(23)
    wire.send(len(answer).to_bytes(3, "little") + b"\x01" + answer)


_XMPP_ANSWER = re.compile(
    rb"<(?:\w+:)?(?P<word>proceed|failure|error)\b[^<>]{0,500}(?:/>|>\s*</(?:\w+:)?(?P=word)\s*>|(?<!/)>)"
)
_XMPP_FEATURES = re.compile(
    rb"(?P<tls><(?:\w+:)?starttls\b)[\s\S]{0,16000}?</(?:\w+:)?features\s*>|</(?:\w+:)?features\s*>|<(?:\w+:)?features\s*/>"
)


def _xmpp(namespace: bytes) -> Callable[[_Wire], None]:
    def talk(wire: _Wire) -> None:
        domain = wire.spec.checked_name.encode("ascii", "replace")
        wire.send(
            b"<?xml version='1.0'?><stream:stream xmlns='" + namespace + b"' "
            b"xmlns:stream='http://etherx.jabber.org/streams' to='" + domain + b"' version='1.0'>"
        )
        start = wire.until(re.compile(rb"^\s*(?:<\?xml[^<>]{0,200}\?>\s*)?<(?:\w+:)?stream\b[^<>]{0,2000}>|[\s\S]{40}"))
        if b"stream" not in start.group():
            raise wire.protocol("did not begin with a stream", start.group())
        features = wire.until(re.compile(_XMPP_FEATURES.pattern + rb"|<(?:\w+:)?error\b"))
        if b"features" not in features.group():
            raise wire.protocol("answered with an error of the stream (is server_name the domain that it serves?)")
        if not features["tls"]:
            raise wire.refused(b"")
        wire.send(b"<starttls xmlns='urn:ietf:params:xml:ns:xmpp-tls'/>")
        if wire.until(_XMPP_ANSWER)["word"] != b"proceed":
            raise wire.refused(b"")

    return talk


class _Dialogue(NamedTuple):
    port: int
    talk: Callable[[_Wire], None]


_DIALOGUES: Mapping[str, _Dialogue] = {
    "smtp": _Dialogue(25, _smtp(b"EHLO")),
    "lmtp": _Dialogue(24, _smtp(b"LHLO")),
    "imap": _Dialogue(143, _imap),
    "pop3": _Dialogue(110, _pop3),
    "ftp": _Dialogue(21, _ftp),
    "sieve": _Dialogue(4190, _sieve),
    "ldap": _Dialogue(389, _ldap),
    "postgres": _Dialogue(5432, _postgres),
    "mysql": _Dialogue(3306, _mysql),
    "xmpp": _Dialogue(5222, _xmpp(b"jabber:client")),
    "xmpp-server": _Dialogue(5269, _xmpp(b"jabber:server")),
}

# Every protocol that is known, with its usual port.
PORTS: Mapping[str, int] = {name: dialogue.port for name, dialogue in _DIALOGUES.items()}
