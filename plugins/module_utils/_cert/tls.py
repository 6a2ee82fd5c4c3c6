# Copyright (c) 2026 Upkeep maintainers
# GNU General Public License v3.0-or-later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Look at TLS endpoints: their certificates, whatever is wrong with these, and whether a client would trust them."""

from __future__ import annotations

import contextlib
import socket
import ssl
import sys
import threading
from collections.abc import Iterator
from dataclasses import replace
from typing import Any, NamedTuple, Optional

from ansible_collections.cadence.upkeep.plugins.module_utils._cert import files, library, reach, trust, web
from ansible_collections.cadence.upkeep.plugins.module_utils._cert.model import (
    ENDPOINT,
    CannotLook,
    Certificate,
    EndpointSpec,
    Failure,
    Handshake,
    Hsts,
    Sighting,
)
from ansible_collections.cadence.upkeep.plugins.module_utils._cert.reach import Address, late, patience, unreachable
from ansible_collections.cadence.upkeep.plugins.module_utils._cert.starttls import negotiate
from ansible_collections.cadence.upkeep.plugins.module_utils._cert.trust import Trust, reason
from ansible_collections.cadence.upkeep.plugins.module_utils._core.deadline import Deadline

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
# Alerts by which a server turns away who shows no client certificate, or not the right one.
_CLIENT_REFUSED = (
    "HANDSHAKE_FAILURE",
    "BAD_CERTIFICATE",
    "CERTIFICATE_REQUIRED",
    "CERTIFICATE_UNKNOWN",
    "CERTIFICATE_EXPIRED",
    "UNSUPPORTED_CERTIFICATE",
    "UNKNOWN_CA",
    "ACCESS_DENIED",
    "DECRYPT_ERROR",
)
_NO_CHAIN = (
    "The Python of this host shows the own certificate of an endpoint, not its chain: "
    "an intermediate that expires is seen only when the verification fails for it."
)
_NO_VERSION = "This host cannot speak {version}, so that endpoints were not asked whether they accept it."
# The kind of the handshake message that holds the certificates.
_CERTIFICATE_MESSAGE = 11


class _Seen(NamedTuple):
    """What one handshake showed: certificates in DER, the server's own one first.

    ``path`` is the chain that OpenSSL verified; ``refused`` why the handshake did not come to its end all the same.
    """

    chain: tuple[bytes, ...]
    peer_ip: str
    tls_version: str
    path: tuple[bytes, ...] = ()
    refused: Optional[Failure] = None
    hsts: Optional[Hsts] = None


class _Verdict(NamedTuple):
    """Would an ordinary client accept it? None when that could not be found out; ``why`` then says the reason."""

    verified: Optional[bool]
    why: str = ""
    code: int = 0


class _Watched(ssl.SSLSocket):
    """Remembers the message that holds the certificates, for Pythons that do not hand out the chain."""

    certificates: bytes = b""
    version_13 = False


def _watch(tls: Any, direction: str, version: int, _content: int, kind: int, data: bytes) -> None:
    if direction == "read" and kind == _CERTIFICATE_MESSAGE and isinstance(tls, _Watched):
        tls.certificates, tls.version_13 = data, version == ssl.TLSVersion.TLSv1_3


class Prober:
    """Looks at endpoints, from many threads. ``check_time`` is false when the instant to judge is not now."""

    def __init__(self, check_time: bool, max_size: int, passphrases: tuple[str, ...] = ()) -> None:
        self.degraded: set[str] = set()
        self._check_time = check_time
        self._max_size = max_size
        self._passphrases = passphrases
        self._lock = threading.Lock()
        # A context costs as much as a handshake: one for each set of authorities and client certificate.
        self._contexts: dict[tuple[str, ...], Trust] = {}

    def sight(self, spec: EndpointSpec) -> list[Sighting]:
        """Return what *spec* shows, within its seconds. Whatever goes wrong is a failure of the sighting.

        One sighting, or with ``every_address`` one for each address of the host.
        """
        deadline = Deadline(spec.seconds)
        try:
            addresses = reach.addresses_of(spec, deadline)
        except CannotLook as error:
            return [Sighting(spec.target, ENDPOINT, failures=(error.failure,))]
        if not spec.every_address or spec.proxy or len(addresses) == 1:
            return [self._sight(spec, addresses, deadline)]
        sightings = []
        for index, address in enumerate(addresses):
            share = (deadline.remaining or 0.0) / (len(addresses) - index)
            one = replace(
                spec, target=f"{spec.target} at {address.ip}", address_of=spec.target, seconds=max(0.001, share)
            )
            sightings.append(self._sight(one, [address], Deadline(one.seconds)))
        return sightings

    def _sight(self, spec: EndpointSpec, addresses: list[Address], deadline: Deadline) -> Sighting:
        try:
            seen, verdict = self._look(spec, addresses, deadline)
        except CannotLook as error:
            return Sighting(spec.target, ENDPOINT, failures=(error.failure,))
        certificates, failures = _load(spec, seen.chain)
        expected, expected_failure = self._expected(spec)
        path, _unread = _load(spec, seen.path)
        sent = {certificate.fingerprint for certificate in certificates}
        handshake = Handshake(
            spec,
            seen.peer_ip,
            seen.tls_version,
            *verdict,
            expected,
            expected_failure,
            path=tuple(certificate.fingerprint for certificate in path),
            anchors=tuple(certificate for certificate in path if certificate.fingerprint not in sent),
            refused=seen.refused,
            tls_versions=self._versions(spec, addresses, deadline) if spec.tls_versions else None,
            hsts=seen.hsts,
        )
        return Sighting(spec.target, ENDPOINT, certificates, failures, handshake)

    def _look(self, spec: EndpointSpec, addresses: list[Address], deadline: Deadline) -> tuple[_Seen, _Verdict]:
        """Shake hands as an ordinary client; where that fails, once more, accepting anything.

        So a certificate that is expired, self-signed or of an unknown issuer still shows its dates, and a healthy
        endpoint is asked once.
        """
        verdict = _Verdict(None)
        if spec.verify:
            context = self._context(spec, "ordinary")
            verdict = _Verdict(None, context.message if isinstance(context, Failure) else "")
            if isinstance(context, ssl.SSLContext):
                try:
                    return self._shake_hands(spec, context, addresses, deadline), _Verdict(True)
                except ssl.SSLCertVerificationError as error:
                    verdict = _Verdict(False, error.verify_message, error.verify_code)
                except OSError as error:
                    verdict = _Verdict(None, f"an ordinary handshake fails ({reason(error)})")
        context = self._context(spec, "permissive")
        if isinstance(context, Failure):
            raise CannotLook(context.kind, context.message, context.remedy, **context.evidence)
        try:
            return self._shake_hands(spec, context, addresses, deadline), verdict
        except OSError as error:
            raise _refusal(spec, error) from error

    @contextlib.contextmanager
    def _connected(
        self, spec: EndpointSpec, context: ssl.SSLContext, addresses: list[Address], deadline: Deadline
    ) -> Iterator[tuple[ssl.SSLSocket, str]]:
        """Connect, through a proxy and up to STARTTLS if need be; the handshake is for the caller to begin."""
        plain, peer_ip = reach.connect(spec, addresses, deadline)
        with plain:
            if spec.proxy:
                reach.pass_proxy(spec, plain, deadline)
            if spec.starttls:
                negotiate(spec, plain, deadline)
            plain.settimeout(patience(deadline, spec, "handshake"))
            with context.wrap_socket(plain, server_hostname=spec.server_name, do_handshake_on_connect=False) as tls:
                yield tls, peer_ip

    def _shake_hands(
        self, spec: EndpointSpec, context: ssl.SSLContext, addresses: list[Address], deadline: Deadline
    ) -> _Seen:
        """Connect and shake hands. Raises ``CannotLook`` without TLS, what the ssl module raises within it."""
        with self._connected(spec, context, addresses, deadline) as (tls, peer_ip):
            try:
                tls.do_handshake()
            except socket.timeout as error:
                raise late(spec, "handshake") from error
            except ssl.SSLCertVerificationError:
                raise
            except OSError as error:
                # In the older protocols it shows its certificate before it judges who asks.
                chain, refused = self._chain_of(spec, tls), _turned_away(spec, error)
                strict = context.verify_mode is ssl.CERT_REQUIRED
                if not chain or (strict and not refused.kind.startswith("client_cert")):
                    raise
                path = _handed_out(tls, "get_verified_chain") if strict else ()
                return _Seen(chain, peer_ip, tls.version() or "", path or (), refused)
            chain = self._chain_of(spec, tls)
            if not chain:
                raise unreachable(spec, "handshake", "shows no certificate", "Configure one in its server.")
            hsts = None
            path = _handed_out(tls, "get_verified_chain") if context.verify_mode is ssl.CERT_REQUIRED else ()
            version = tls.version() or ""
            if spec.hsts and not spec.starttls:
                hsts = web.ask_hsts(spec, tls, deadline)
            return _Seen(chain, peer_ip, version, path or (), hsts=hsts)

    def _chain_of(self, spec: EndpointSpec, tls: ssl.SSLSocket) -> tuple[bytes, ...]:
        """Return what the endpoint sent, in DER, its own one first; nothing when it did not get as far."""
        whole = _handed_out(tls, "get_unverified_chain")
        if whole is not None:
            return whole
        if isinstance(tls, _Watched) and tls.certificates:
            return tuple(_in_message(tls.certificates, tls.version_13))
        try:
            own = tls.getpeercert(binary_form=True)
        except ValueError:
            own = None  # the handshake is not done
        if own is None:
            return ()
        self.degraded.add(_NO_CHAIN)
        return (own,)

    def _versions(self, spec: EndpointSpec, addresses: list[Address], deadline: Deadline) -> tuple[str, ...]:
        """Return which versions of TLS the endpoint accepts, of those that this host can speak."""
        accepted = []
        for version in trust.VERSIONS:
            context = self._context(spec, version)
            if isinstance(context, Failure):
                self.degraded.add(_NO_VERSION.format(version=version))
                continue
            try:
                with self._connected(spec, context, addresses, deadline) as (tls, _peer_ip):
                    try:
                        tls.do_handshake()
                    except OSError:
                        if not self._chain_of(spec, tls):
                            continue  # refused before it showed anything: it does not speak that version
                    accepted.append(version)
            except (CannotLook, OSError):
                continue
        return tuple(accepted)

    def _expected(self, spec: EndpointSpec) -> tuple[Optional[Certificate], Optional[Failure]]:
        """Return the certificate that the file holds which the endpoint is to serve, or why there is none."""
        if not spec.expect_file:
            return None, None
        try:
            return files.first_certificate(spec.expect_file, self._max_size, self._passphrases), None
        except CannotLook as error:
            return None, error.failure

    def _context(self, spec: EndpointSpec, kind: str) -> Trust:
        """Return the context of an ordinary client, a permissive one, or one of a single version of TLS."""
        identity = (spec.client_cert, spec.client_key)
        key = (kind, spec.ca_path if kind == "ordinary" else "", *identity)
        with self._lock:
            if key not in self._contexts:
                self._contexts[key] = self._made(spec, kind)
            return self._contexts[key]

    def _made(self, spec: EndpointSpec, kind: str) -> Trust:
        made: Optional[Trust]
        if kind == "ordinary":
            made = trust.ordinary(spec.ca_path, self._check_time)
        else:
            made = trust.permissive() if kind == "permissive" else trust.of_version(kind)
        if made is None:
            return Failure("unsupported", _NO_VERSION.format(version=kind), "")
        if isinstance(made, Failure):
            return made
        try:
            trust.add_identity(made, spec, self._passphrases)
        except CannotLook as error:
            return error.failure
        if sys.version_info < (3, 10):
            made.sslsocket_class = _Watched
            made._msg_callback = _watch  # type: ignore[attr-defined]  # of no stub, and in every Python from 3.8 on
        return made


def _handed_out(tls: ssl.SSLSocket, name: str) -> Optional[tuple[bytes, ...]]:
    """Return the chain that the ssl module hands out by that *name*, in DER; None where it has no such."""
    if sys.version_info >= (3, 13):
        return tuple(getattr(tls, name)() or ())
    # Python 3.10 to 3.12 have it, but not under a public name.
    chain_of: Any = getattr(getattr(tls, "_sslobj", None), name, None)
    if chain_of is None:
        return None
    return tuple(ssl.PEM_cert_to_DER_cert(entry.public_bytes()) for entry in chain_of() or ())


def _in_message(message: bytes, version_13: bool) -> Iterator[bytes]:
    """Yield the certificates in a handshake message (RFC 5246, 7.4.2; RFC 8446, 4.4.2)."""
    position = 4
    if version_13:
        position += 1 + message[position]
    end = position + 3 + int.from_bytes(message[position : position + 3], "big")
    position += 3
    while position + 3 < min(end, len(message)):
        size = int.from_bytes(message[position : position + 3], "big")
        yield message[position + 3 : position + 3 + size]
        position += 3 + size
        if version_13:
            position += 2 + int.from_bytes(message[position : position + 2], "big")


def _load(spec: EndpointSpec, chain: tuple[bytes, ...]) -> tuple[tuple[Certificate, ...], tuple[Failure, ...]]:
    certificates, failures = [], []
    for number, der in enumerate(chain, 1):
        try:
            certificates.append(library.load(der))
        except ValueError as error:
            what = f"sent a certificate (number {number} of {len(chain)}) that cannot be read ({error})"
            failures.append(unreachable(spec, "parse", what, "Replace it in its server.").failure)
    return tuple(certificates), tuple(failures)


def _turned_away(spec: EndpointSpec, error: OSError) -> Failure:
    """Return why a handshake ended after the endpoint had shown its certificate."""
    alert = str(getattr(error, "reason", None) or "")
    if "ALERT" not in alert or not any(word in alert for word in _CLIENT_REFUSED):
        return _refusal(spec, error).failure
    if spec.client_cert:
        what = f"refuses the client certificate {spec.client_cert}: {reason(error)}"
        return unreachable(spec, "client_cert_refused", what, "Show it one that it accepts.", alert=alert).failure
    what = f"shows its certificate and then wants one of the client: {reason(error)}"
    remedy = "Give it one by client_cert and client_key, if it is to be asked to the end."
    return unreachable(spec, "client_cert_required", what, remedy, alert=alert).failure


def _refusal(spec: EndpointSpec, error: OSError) -> CannotLook:
    """Return why there was a connection and no handshake."""
    name = str(getattr(error, "reason", None) or "")
    if not isinstance(error, ssl.SSLError) or isinstance(error, (ssl.SSLEOFError, ssl.SSLZeroReturnError)):
        return unreachable(
            spec,
            "reset",
            "closed the connection in the middle of the TLS handshake",
            "Read the log of its server: it may want another server_name, or be a port without TLS.",
        )
    if name in _NOT_TLS:
        return unreachable(
            spec,
            "not_tls",
            "answers, but not in TLS",
            "Name the port on which its server speaks TLS, or the protocol that begins in clear text in starttls.",
        )
    return unreachable(
        spec,
        "handshake",
        f"refuses the TLS handshake: {reason(error)}",
        "Read the log of its server: it may want another server_name, a client certificate or another protocol.",
        alert=name,
    )
