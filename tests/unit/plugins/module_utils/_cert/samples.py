"""Snapshots without a file or a server: all that a pure judgement needs."""

from __future__ import annotations

import hashlib
from datetime import UTC, datetime, timedelta
from typing import Any

from ansible_collections.cadence.upkeep.plugins.module_utils._cert.model import (
    ENDPOINT,
    FILE,
    Certificate,
    EndpointSpec,
    Failure,
    Handshake,
    Limits,
    Policy,
    Sighting,
)
from ansible_collections.cadence.upkeep.plugins.module_utils._cert.thresholds import parse_limit

NOW = datetime(2026, 11, 22, 4, 13, tzinfo=UTC)
DAY = timedelta(days=1)
LIMITS = Limits(
    warning=(parse_limit("30d"), parse_limit("25%")),
    critical=(parse_limit("7d"), parse_limit("10%")),
)
POLICY = Policy(LIMITS)


def certificate(left: timedelta = 60 * DAY, lifetime: timedelta = 90 * DAY, **fields: Any) -> Certificate:
    """A certificate with so much `left` of its `lifetime` at NOW; any field can be given."""
    end = NOW + left
    known = {
        "subject": "CN=www.example.org",
        "issuer": "CN=Example CA",
        "serial": "1f",
        "not_before": end - lifetime,
        "not_after": end,
        "names": ("www.example.org",),
    } | fields
    identity = hashlib.sha256(repr(sorted(known.items())).encode()).hexdigest()
    return Certificate(**{"fingerprint": identity, **known})


def authority(left: timedelta = 3000 * DAY, lifetime: timedelta = 3652 * DAY, **fields: Any) -> Certificate:
    """An intermediate, or with `self_issued` a root."""
    return certificate(left, lifetime, **{"subject": "CN=Example CA", "is_ca": True, "names": (), **fields})


def file(*certificates: Certificate, failures: tuple[Failure, ...] = (), path: str = "/etc/ssl/a.pem") -> Sighting:
    return Sighting(path, FILE, certificates, failures)


def spec(**fields: Any) -> EndpointSpec:
    known = {
        "target": "192.0.2.1:443",
        "host": "192.0.2.1",
        "port": 443,
        "server_name": "www.example.org",
        "checked_name": "www.example.org",
        "ca_path": "",
        "expect_file": "",
        "expect_fingerprint": "",
        "verify": True,
        "seconds": 5.0,
    }
    return EndpointSpec(**{**known, **fields})


def endpoint(*certificates: Certificate, of: EndpointSpec | None = None, **fields: Any) -> Sighting:
    """What an endpoint showed; `fields` are those of its handshake."""
    known = {"peer_ip": "192.0.2.1", "tls_version": "TLSv1.3", "verified": True}
    handshake = Handshake(of or spec(), **{**known, **fields})
    return Sighting(handshake.spec.target, ENDPOINT, certificates, handshake=handshake)
