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

FILE, ENDPOINT = "file", "endpoint"
LEAF, INTERMEDIATE, ROOT = "leaf", "intermediate", "root"

# OpenSSL's words for why a chain does not verify, where the reason matters to us.
SELF_SIGNED_LEAF = 18
OUTSIDE_ITS_DATES = frozenset((9, 10))


@dataclass(frozen=True)
class Certificate:
    """One certificate. Instants are aware and UTC; ``serial`` and ``fingerprint`` (SHA-256) are lower-case hex.

    ``unread`` says which part could not be read although the dates could; empty when all could.
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

    @property
    def lifetime(self) -> timedelta:
        return self.not_after - self.not_before


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
    """One TLS endpoint to look at. ``seconds`` is the time for all of it; ``limits`` overrule the policy's."""

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

    @property
    def address(self) -> str:
        return f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"

    @property
    def place(self) -> str:
        """The target, with its address when it goes by another name: how a sentence names it."""
        return self.target if self.target.startswith(self.address) else f"{self.target} ({self.address})"


@dataclass(frozen=True)
class Handshake:
    """What a TLS endpoint showed. ``verified`` is None when nobody judged the chain: ``verify_error`` says why."""

    spec: EndpointSpec
    peer_ip: str
    tls_version: str
    verified: Optional[bool]
    verify_error: str = ""
    verify_code: int = 0
    expected: Optional[Certificate] = None
    expected_failure: Optional[Failure] = None


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

    @property
    def place(self) -> str:
        return self.handshake.spec.place if self.handshake is not None else self.target


@dataclass(frozen=True)
class Policy:
    """What is wanted. ``renew_at`` None means certbot's rule; ``names`` must be covered by every leaf."""

    limits: Limits
    renew_at: Optional[Limit] = None
    names: tuple[str, ...] = ()
    whole_chain: bool = True

    def limits_for(self, sighting: Sighting) -> Limits:
        if sighting.handshake is not None and sighting.handshake.spec.limits is not None:
            return sighting.handshake.spec.limits
        return self.limits


def role_of(certificate: Certificate, first: bool) -> str:
    """Return what *certificate* is where it stood; the *first* is the leaf, whatever it says of itself."""
    if first or not certificate.is_ca:
        return LEAF
    return ROOT if certificate.self_issued else INTERMEDIATE
