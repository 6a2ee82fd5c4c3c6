# Copyright (c) 2026 Upkeep maintainers
# GNU General Public License v3.0-or-later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Look at one TLS endpoint: what it serves, and whether a client that trusts the given authorities would accept it."""

from __future__ import annotations

import os
import queue
import socket
import ssl
import sys
import threading
from typing import Any, NamedTuple, Union

from ansible_collections.cadence.upkeep.plugins.module_utils._cert import files, library, pem
from ansible_collections.cadence.upkeep.plugins.module_utils._cert.model import (
    ENDPOINT,
    CannotLook,
    Certificate,
    EndpointSpec,
    Failure,
    Handshake,
    Sighting,
)
from ansible_collections.cadence.upkeep.plugins.module_utils._cert.names import is_ip
from ansible_collections.cadence.upkeep.plugins.module_utils._core.deadline import Deadline
from ansible_collections.cadence.upkeep.plugins.module_utils._core.units import format_duration

# Flags that OpenSSL knows and the ssl module passes on; its names for the last two came with Python 3.10 and 3.12.
_NO_CHECK_TIME = 0x200000
_PARTIAL_CHAIN = 0x80000
_LEGACY_SERVER_CONNECT = 0x4
_CA_BYTES = 16 * 1024 * 1024
# What OpenSSL calls an answer that is no TLS record, by its version and by what the answer resembles.
_NOT_TLS = frozenset(
    (
        "WRONG_VERSION_NUMBER",
        "UNKNOWN_PROTOCOL",
        "HTTP_REQUEST",
        "HTTPS_PROXY_REQUEST",
        "RECORD_LAYER_FAILURE",
        "PACKET_LENGTH_TOO_LONG",
        "BAD_RECORD_TYPE",
    )
)
_NO_CHAIN = (
    "Python before 3.10 shows the own certificate of an endpoint, not its chain: "
    "an intermediate that expires is seen only when the verification fails for it."
)

Trust = Union[ssl.SSLContext, Failure, None]


class _Seen(NamedTuple):
    """What one handshake showed: certificates in DER, the server's own one first."""

    chain: tuple[bytes, ...]
    peer_ip: str
    tls_version: str


class _Verdict(NamedTuple):
    """Would an ordinary client accept it? None when that could not be found out; ``why`` then says the reason."""

    verified: bool | None
    why: str = ""
    code: int = 0


class Prober:
    """Looks at endpoints, from many threads. ``check_time`` is false when the instant to judge is not now."""

    def __init__(self, check_time: bool, max_size: int) -> None:
        self.degraded: set[str] = set()
        self._check_time = check_time
        self._max_size = max_size
        self._lock = threading.Lock()
        self._permissive = _permissive_context()
        self._trust: dict[str, Trust] = {}

    def sight(self, spec: EndpointSpec) -> Sighting:
        """Return what *spec* shows, within its seconds. Whatever goes wrong is a failure of the sighting."""
        try:
            seen, verdict = self._look(spec, Deadline(spec.seconds))
        except CannotLook as error:
            return Sighting(spec.target, ENDPOINT, failures=(error.failure,))
        certificates, failures = _load(spec, seen.chain)
        expected, expected_failure = self._expected(spec)
        return Sighting(
            spec.target,
            ENDPOINT,
            certificates,
            failures,
            Handshake(spec, seen.peer_ip, seen.tls_version, *verdict, expected, expected_failure),
        )

    def _look(self, spec: EndpointSpec, deadline: Deadline) -> tuple[_Seen, _Verdict]:
        """Shake hands as an ordinary client; where that fails, once more, accepting anything.

        So a certificate that is expired, self-signed or of an unknown issuer still shows its dates, and a healthy
        endpoint is asked once.
        """
        trust = self._trust_of(spec)
        verdict = _Verdict(None, trust.message if isinstance(trust, Failure) else "")
        if isinstance(trust, ssl.SSLContext):
            try:
                return self._shake_hands(spec, trust, deadline), _Verdict(True)
            except ssl.SSLCertVerificationError as error:
                verdict = _Verdict(False, error.verify_message, error.verify_code)
            except OSError as error:
                verdict = _Verdict(None, f"an ordinary handshake fails ({_reason(error)})")
        try:
            return self._shake_hands(spec, self._permissive, deadline), verdict
        except OSError as error:
            raise _refusal(spec, error) from error

    def _shake_hands(self, spec: EndpointSpec, context: ssl.SSLContext, deadline: Deadline) -> _Seen:
        """Connect and shake hands. Raises ``CannotLook`` without TLS, what the ssl module raises within it."""
        plain, peer_ip = _connect(spec, deadline)
        with plain:
            plain.settimeout(_patience(deadline, spec, "handshake"))
            with context.wrap_socket(plain, server_hostname=spec.server_name, do_handshake_on_connect=False) as tls:
                try:
                    tls.do_handshake()
                except socket.timeout as error:
                    raise _late(spec, "handshake") from error
                return _Seen(self._chain_of(spec, tls), peer_ip, tls.version() or "")

    def _chain_of(self, spec: EndpointSpec, tls: ssl.SSLSocket) -> tuple[bytes, ...]:
        own = tls.getpeercert(binary_form=True)
        if own is None:
            raise _unreachable(spec, "handshake", "shows no certificate", "Configure one in its server.")
        if sys.version_info >= (3, 13):
            return tuple(tls.get_unverified_chain()) or (own,)
        # Python 3.10 to 3.12 have it, but not under a public name.
        chain_of: Any = getattr(getattr(tls, "_sslobj", None), "get_unverified_chain", None)
        if chain_of is None:
            self.degraded.add(_NO_CHAIN)
            return (own,)
        return tuple(ssl.PEM_cert_to_DER_cert(entry.public_bytes()) for entry in chain_of() or ()) or (own,)

    def _expected(self, spec: EndpointSpec) -> tuple[Certificate | None, Failure | None]:
        """Return the certificate that the file holds which the endpoint is to serve, or why there is none."""
        if not spec.expect_file:
            return None, None
        try:
            return files.first_certificate(spec.expect_file, self._max_size), None
        except CannotLook as error:
            return None, error.failure

    def _trust_of(self, spec: EndpointSpec) -> Trust:
        """Return the context of an ordinary client that trusts what *spec* says; one for each set of authorities."""
        if not spec.verify:
            return None
        with self._lock:
            if spec.ca_path not in self._trust:
                self._trust[spec.ca_path] = _trust(spec.ca_path, self._check_time)
            return self._trust[spec.ca_path]


def _load(spec: EndpointSpec, chain: tuple[bytes, ...]) -> tuple[tuple[Certificate, ...], tuple[Failure, ...]]:
    certificates, failures = [], []
    for number, der in enumerate(chain, 1):
        try:
            certificates.append(library.load(der))
        except ValueError as error:
            what = f"sent a certificate (number {number} of {len(chain)}) that cannot be read ({error})"
            failures.append(_unreachable(spec, "parse", what, "Replace it in its server.").failure)
    return tuple(certificates), tuple(failures)


def _permissive_context() -> ssl.SSLContext:
    """Accepts any certificate, old protocols and weak keys: it is for looking, and nothing is ever sent through it."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    context.minimum_version = ssl.TLSVersion.MINIMUM_SUPPORTED
    context.options |= _LEGACY_SERVER_CONNECT
    try:
        context.set_ciphers("DEFAULT:@SECLEVEL=0")
    except ssl.SSLError:
        pass  # LibreSSL has no security levels
    return context


def _trust(ca_path: str, check_time: bool) -> ssl.SSLContext | Failure:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False  # judged by us, so that a wrong name does not hide whether the chain is trusted
    if not check_time:
        context.verify_flags |= _NO_CHECK_TIME
    try:
        if ca_path:
            # An intermediate given as authority is enough, as it is for curl.
            context.verify_flags |= _PARTIAL_CHAIN
            context.load_verify_locations(cadata=_authorities(ca_path))
        else:
            _load_system_authorities(context)
    except CannotLook as error:
        return error.failure
    except ssl.SSLError as error:
        return Failure("parse", f"{ca_path} cannot be read as authorities: {_reason(error)}.", "", {"path": ca_path})
    return context


def _authorities(ca_path: str) -> bytes:
    """Return the certificates in the file or directory *ca_path*, in DER, one after the other."""
    paths = [ca_path]
    if os.path.isdir(ca_path):
        try:
            paths = [os.path.join(ca_path, name) for name in sorted(os.listdir(ca_path))]
        except OSError as error:
            raise CannotLook(files.kind_of(error), f"{ca_path} cannot be listed: {error.strerror}.", "") from error
    ders = []
    for path in paths:
        if path == ca_path or os.path.isfile(path):
            data = files.read_regular(path, _CA_BYTES)
            ders += [block.der for block in pem.blocks(data) if block.der] or [data] * data.startswith(b"\x30")
    if not ders:
        raise CannotLook("no_certificate", f"{ca_path} holds no certificate of an authority.", "", path=ca_path)
    return b"".join(dict.fromkeys(ders))


def _load_system_authorities(context: ssl.SSLContext) -> None:
    context.load_default_certs()
    folder = ssl.get_default_verify_paths().capath
    if not context.cert_store_stats()["x509_ca"] and not (folder and os.listdir(folder)):
        raise CannotLook("not_found", "this host has no certificates of authorities (install ca-certificates)", "")


def _connect(spec: EndpointSpec, deadline: Deadline) -> tuple[socket.socket, str]:
    """Return a connection to the first address that answers, and that address; each gets its share of the time."""
    addresses = _resolve(spec, deadline)
    failure: OSError = OSError("it has no address")
    for index, (family, kind, protocol, _name, address) in enumerate(addresses):
        connection = socket.socket(family, kind, protocol)
        connection.settimeout(_patience(deadline, spec, "connect") / (len(addresses) - index))
        try:
            connection.connect(address)
        except OSError as error:
            connection.close()
            failure = error
        else:
            return connection, address[0]
    raise _no_connection(spec, failure) from failure


def _resolve(spec: EndpointSpec, deadline: Deadline) -> list[Any]:
    if is_ip(spec.host):
        return socket.getaddrinfo(spec.host, spec.port, type=socket.SOCK_STREAM, flags=socket.AI_NUMERICHOST)
    # The resolver of the system cannot be given a time limit; a thread that waits for it can be left behind.
    answers: queue.SimpleQueue[Any] = queue.SimpleQueue()
    threading.Thread(target=_ask_resolver, args=(spec, answers), daemon=True).start()
    try:
        answer = answers.get(timeout=_patience(deadline, spec, "resolve"))
    except queue.Empty:
        raise _late(spec, "resolve") from None
    if isinstance(answer, OSError):
        raise _unreachable(
            spec,
            "dns",
            f"cannot be resolved: {answer.strerror}",
            f"Correct {spec.host}, or the resolver of this host (`getent ahosts {spec.host}` shows what it says).",
        ) from answer
    return list(answer)


def _ask_resolver(spec: EndpointSpec, answers: queue.SimpleQueue[Any]) -> None:
    try:
        answers.put(socket.getaddrinfo(spec.host, spec.port, type=socket.SOCK_STREAM))
    except OSError as error:
        answers.put(error)


def _patience(deadline: Deadline, spec: EndpointSpec, phase: str) -> float:
    """Return the seconds left, more than 0 (which would mean not to wait at all); raises when none are."""
    if deadline.expired:
        raise _late(spec, phase)
    return max(0.001, deadline.remaining or 0.0)


def _reason(error: OSError) -> str:
    """Return what OpenSSL or the system says, without the file and line of its source."""
    return str(getattr(error, "reason", None) or error.strerror or error).replace("_", " ").lower()


def _unreachable(spec: EndpointSpec, kind: str, what: str, remedy: str, **evidence: Any) -> CannotLook:
    return CannotLook(kind, f"{spec.place} {what}.", remedy, host=spec.host, port=spec.port, **evidence)


def _late(spec: EndpointSpec, phase: str) -> CannotLook:
    words = {
        "resolve": "was not resolved",
        "connect": "did not accept a connection",
        "handshake": "accepted the connection, but did not finish the TLS handshake",
    }
    return _unreachable(
        spec,
        "timeout",
        f"{words[phase]} within {format_duration(spec.seconds)}",
        f"Look whether the server works (`openssl s_client -connect {spec.address}`), or raise timeout.",
        phase=phase,
        timeout_seconds=spec.seconds,
    )


def _no_connection(spec: EndpointSpec, error: OSError) -> CannotLook:
    if isinstance(error, socket.timeout):
        return _late(spec, "connect")
    if isinstance(error, ConnectionRefusedError):
        return _unreachable(spec, "refused", "refuses connections", "Start its server, or correct the port.")
    return _unreachable(
        spec,
        "unreachable",
        f"cannot be reached: {error.strerror or error}",
        "Look at the route and the firewall between this host and it.",
    )


def _refusal(spec: EndpointSpec, error: OSError) -> CannotLook:
    """Return why there was a connection and no handshake."""
    reason = str(getattr(error, "reason", None) or "")
    if not isinstance(error, ssl.SSLError) or isinstance(error, (ssl.SSLEOFError, ssl.SSLZeroReturnError)):
        return _unreachable(
            spec,
            "reset",
            "closed the connection in the middle of the TLS handshake",
            "Read the log of its server: it may want another server_name, or be a port without TLS.",
        )
    if reason in _NOT_TLS:
        return _unreachable(
            spec,
            "not_tls",
            "answers, but not in TLS",
            "Name the port on which its server speaks TLS; one that begins in clear text (STARTTLS) is not understood.",
        )
    return _unreachable(
        spec,
        "handshake",
        f"refuses the TLS handshake: {_reason(error)}",
        "Read the log of its server: it may want another server_name, a client certificate or another protocol.",
        alert=reason,
    )
