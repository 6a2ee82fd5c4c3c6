# Copyright (c) 2026 Upkeep maintainers
# GNU General Public License v3.0-or-later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What is known of a certificate, of where it was seen, and of what is wanted of it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any, Optional

from ansible_collections.cadence.upkeep.plugins.module_utils._cert.thresholds import Limit
from ansible_collections.cadence.upkeep.plugins.module_utils._core.errors import UpkeepError

FILE, ENDPOINT, CONTENT = "file", "endpoint", "content"
# UNUSED: sent or stored beside the others, but on no path that leads up from a leaf.
LEAF, INTERMEDIATE, ROOT, UNUSED = "leaf", "intermediate", "root", "unused"
# Which certificates of a chain decide by their dates.
BY_LEAF, BY_CHAIN, BY_VERIFIED = "leaf", "chain", "verified"

# OpenSSL's words for why a chain does not verify, where the reason matters to us.
SELF_SIGNED_LEAF = 18
OUTSIDE_ITS_DATES = frozenset((9, 10))
NO_ISSUER = frozenset((20, 21))


@dataclass(frozen=True)
class Certificate:
    """One certificate. Instants are aware and UTC; ``serial`` is lower-case hex with its sign, as are the other marks.

    ``fingerprint`` is the SHA-256 of all of it, ``spki`` that of its public key; ``plain_spki`` that of the same key in
    the form in which its private half gives it, where the certificate has another one (RSA kept for PSS, a curve spelt
    out), else empty. ``key_id`` and ``issuer_key_id`` are what it says of its own and its issuer's key. ``unread`` says
    which part could not be read although the dates could; empty when all could.
    """

    subject: str
    issuer: str
    serial: str
    fingerprint: str
    not_before: datetime
    not_after: datetime
    names: tuple[str, ...] = ()
    key_type: str = "unknown"
    key_bits: int | None = None
    signature: str = "unknown"
    self_issued: bool = False
    is_ca: bool = False
    unread: str = ""
    common_name: str = ""
    spki: str = ""
    key_id: str = ""
    issuer_key_id: str = ""
    must_staple: bool = False
    has_ocsp_url: bool = False
    has_crl_url: bool = False
    plain_spki: str = ""

    @property
    def lifetime(self) -> timedelta:
        return self.not_after - self.not_before

    def has_key(self, spki: str) -> bool:
        """Return whether *spki*, the SHA-256 of a private key's public half, is that of its own key."""
        return bool(spki) and spki in (self.spki, self.plain_spki)


@dataclass(frozen=True)
class Failure:
    """Why something could not be looked at: ``kind`` is a stable word, ``message`` a whole sentence."""

    kind: str
    message: str
    remedy: str
    evidence: Mapping[str, Any] = field(default_factory=dict)


class CannotLook(UpkeepError):
    """Carries a ``Failure`` from where it happened to the sighting that it belongs to."""

    def __init__(self, kind: str, message: str, remedy: str, **evidence: Any) -> None:
        super().__init__(message, remedy, evidence)
        self.failure = Failure(kind, message, remedy, evidence)


@dataclass(frozen=True)
class Limits:
    """When a certificate is due: the sooner of several limits each, for a warning and for critical."""

    warning: tuple[Limit, ...]
    critical: tuple[Limit, ...]


@dataclass(frozen=True)
class EndpointSpec:
    """One TLS endpoint to look at. ``seconds`` is the time for all of it; ``limits`` overrule the policy's.

    ``starttls`` is the protocol that begins in clear text, or empty. With ``every_address`` each address of the host is
    looked at on its own; what is seen then carries the address in ``address_of`` the target it came from.
    """

    target: str
    host: str
    port: int
    server_name: Optional[str]
    checked_name: str
    ca_path: str
    expect_file: str
    expect_fingerprint: str
    verify: bool
    seconds: float
    limits: Optional[Limits] = None
    starttls: str = ""
    client_cert: str = ""
    client_key: str = ""
    proxy: Optional[tuple[str, int]] = None
    every_address: bool = False
    address_of: str = ""
    hsts: bool = False
    tls_versions: bool = False

    @property
    def address(self) -> str:
        return f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"

    @property
    def place(self) -> str:
        """The target, with its address when it goes by another name: how a sentence names it."""
        return self.target if self.target.startswith(self.address) else f"{self.target} ({self.address})"


@dataclass(frozen=True)
class Hsts:
    """The header ``Strict-Transport-Security``: ``seconds`` is its max-age, None when it was not sent."""

    seconds: Optional[int]
    subdomains: bool = False
    preload: bool = False


@dataclass(frozen=True)
class Handshake:
    """What a TLS endpoint showed. ``verified`` is None when nobody judged the chain: ``verify_error`` says why.

    ``path`` has the fingerprints of the certificates that OpenSSL verified, ``anchors`` those of them that the endpoint
    did not send. ``refused`` says why the handshake did not come to its end although the certificate was shown.
    ``tls_versions`` are the protocol versions that it accepts, ``hsts`` what a web server said: None when not asked.
    """

    spec: EndpointSpec
    peer_ip: str
    tls_version: str
    verified: Optional[bool]
    verify_error: str = ""
    verify_code: int = 0
    expected: Optional[Certificate] = None
    expected_failure: Optional[Failure] = None
    path: tuple[str, ...] = ()
    anchors: tuple[Certificate, ...] = ()
    refused: Optional[Failure] = None
    tls_versions: Optional[tuple[str, ...]] = None
    hsts: Optional[Hsts] = None


@dataclass(frozen=True)
class KeyFile:
    """The private key that belongs to a certificate file. ``spki`` is empty unless the key was to be read.

    ``world_readable`` considers the directories above it too. ``work_tree`` is the git work tree that it lies in, or
    empty; ``tracked`` is None when that could not be found out.
    """

    path: str
    world_readable: bool = False
    work_tree: str = ""
    tracked: Optional[bool] = None
    spki: str = ""
    failure: Optional[Failure] = None


@dataclass(frozen=True)
class Sighting:
    """One target after it was looked at.

    A file or an endpoint with its certificates in the order in which they stood there (an endpoint's own one first),
    and whatever of it could not be read. No certificates and no failures cannot be.
    """

    target: str
    kind: str
    certificates: tuple[Certificate, ...] = ()
    failures: tuple[Failure, ...] = ()
    handshake: Optional[Handshake] = None
    realpath: str = ""
    key: Optional[KeyFile] = None

    @property
    def place(self) -> str:
        return self.handshake.spec.place if self.handshake is not None else self.target


@dataclass(frozen=True)
class Policy:
    """What is wanted. ``renew_at`` None means certbot's rule; ``names`` must be covered by every leaf.

    ``renew_grace`` is the time after which a renewal that is due and was not done is a finding, ``longest`` the
    lifetime that is allowed (None: any; a limit of neither seconds nor share: what public authorities may issue).
    """

    limits: Limits
    renew_at: Optional[Limit] = None
    names: tuple[str, ...] = ()
    decide: str = BY_CHAIN
    allow_cn: bool = False
    min_rsa_bits: int = 2048
    min_ec_bits: int = 224
    weak_signatures: frozenset[str] = frozenset(("md5", "sha1"))
    min_tls: str = "TLSv1.2"
    min_hsts: float = 0.0
    renew_grace: Optional[Limit] = None
    longest: Optional[Limit] = None

    def limits_for(self, sighting: Sighting) -> Limits:
        if sighting.handshake is not None and sighting.handshake.spec.limits is not None:
            return sighting.handshake.spec.limits
        return self.limits
