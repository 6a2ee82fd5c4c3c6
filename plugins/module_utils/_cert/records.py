# Copyright (c) 2026 Upkeep maintainers
# GNU General Public License v3.0-or-later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Write verdicts as plain records for the result: no key material, no PEM, instants in UTC."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime, timedelta
from typing import Any, Optional

from ansible_collections.cadence.upkeep.plugins.module_utils._cert.evaluate import SHOWN, Judged, Verdict, soonest
from ansible_collections.cadence.upkeep.plugins.module_utils._cert.model import Certificate, Hsts, Policy
from ansible_collections.cadence.upkeep.plugins.module_utils._cert.thresholds import renewal, threshold
from ansible_collections.cadence.upkeep.plugins.module_utils._core.times import rfc3339

DAY = timedelta(days=1)


def by_remaining_time(verdicts: Iterable[Verdict]) -> list[Verdict]:
    """Return *verdicts*, the one whose time is over first at the front; those without a certificate last."""
    return sorted(verdicts, key=_order)


def _order(verdict: Verdict) -> tuple[bool, str, str]:
    first = soonest(verdict.counted)
    return first is None, "" if first is None else first.not_after.isoformat(), verdict.sighting.target


def record_of(verdict: Verdict, policy: Policy, now: datetime, duplicate_of: str = "") -> dict[str, Any]:
    """Return the record of one target. *duplicate_of* is the file that holds the same."""
    sighting, handshake = verdict.sighting, verdict.sighting.handshake
    leaf = verdict.leaf
    failure = sighting.failures[0] if sighting.failures else handshake.refused if handshake is not None else None
    first = soonest(verdict.counted)
    record: dict[str, Any] = {
        "target": sighting.target,
        "kind": sighting.kind,
        "state": verdict.state,
        "error": None if failure is None else {"kind": failure.kind, "message": failure.message},
        "leaf": None if leaf is None else _leaf(leaf, now),
        "thresholds": None if leaf is None else _thresholds(verdict, leaf),
        "renew_after": None,
        "renew_due": None,
        "chain": [_link(judged) for judged in verdict.chain[:SHOWN]],
        "chain_min_not_after": None if first is None else rfc3339(first.not_after),
    }
    if leaf is not None:
        renew_after = renewal(leaf.not_before, leaf.not_after, policy.renew_at)
        record.update(renew_after=rfc3339(renew_after), renew_due=is_due(verdict, policy, now))
    if sighting.realpath not in ("", sighting.target):
        record["realpath"] = sighting.realpath
    if duplicate_of:
        record["duplicate_of"] = duplicate_of
    if sighting.key is not None:
        record.update(key=sighting.key.path, key_matches=verdict.key_matches)
    if handshake is not None:
        hsts = handshake.hsts
        record.update(
            address=handshake.spec.address,
            peer_ip=handshake.peer_ip,
            tls_version=handshake.tls_version,
            verified=handshake.verified,
            verify_error=handshake.verify_error,
            hostname_ok=verdict.hostname_ok,
            served_matches_file=verdict.served_matches,
            starttls=handshake.spec.starttls,
            tls_versions=None if handshake.tls_versions is None else list(handshake.tls_versions),
            hsts=None if hsts is None else _hsts(hsts),
        )
    return record


def is_due(verdict: Verdict, policy: Policy, now: datetime) -> bool:
    """Return whether the renewal of the own certificate of a target is due."""
    leaf = verdict.leaf
    return leaf is not None and now >= renewal(leaf.not_before, leaf.not_after, policy.renew_at)


def _hsts(hsts: Hsts) -> dict[str, Any]:
    return {"max_age": hsts.seconds, "include_subdomains": hsts.subdomains, "preload": hsts.preload}


def soonest_of(verdicts: Iterable[Verdict], now: datetime) -> Optional[dict[str, Any]]:
    """Return target, end and remaining seconds of the certificate that ends first; None when none was read."""
    for verdict in by_remaining_time(verdicts)[:1]:
        first = soonest(verdict.counted)
        if first is not None:
            return {
                "target": verdict.sighting.target,
                "not_after": rfc3339(first.not_after),
                "remaining_seconds": round((first.not_after - now).total_seconds()),
            }
    return None


def _leaf(leaf: Certificate, now: datetime) -> dict[str, Any]:
    left = leaf.not_after - now
    return {
        "subject": leaf.subject,
        "issuer": leaf.issuer,
        "serial": leaf.serial,
        "fingerprint_sha256": leaf.fingerprint,
        "spki_sha256": leaf.spki,
        "not_before": rfc3339(leaf.not_before),
        "not_after": rfc3339(leaf.not_after),
        "lifetime_seconds": round(leaf.lifetime.total_seconds()),
        "remaining_seconds": round(left.total_seconds()),
        "remaining_days": round(left / DAY, 2),
        "elapsed_percent": round(100 * (now - leaf.not_before) / leaf.lifetime, 1) if leaf.lifetime else None,
        "san": list(leaf.names[:SHOWN]),
        "san_count": len(leaf.names),
        "key_type": leaf.key_type,
        "key_bits": leaf.key_bits,
        "signature": leaf.signature,
        "self_signed": leaf.self_issued,
        "is_ca": leaf.is_ca,
        "must_staple": leaf.must_staple,
        "has_ocsp_url": leaf.has_ocsp_url,
        "has_crl_url": leaf.has_crl_url,
    }


def _thresholds(verdict: Verdict, leaf: Certificate) -> dict[str, int]:
    limits = verdict.limits
    return {
        "warning_seconds": round(threshold(leaf.not_before, leaf.not_after, limits.warning)),
        "critical_seconds": round(threshold(leaf.not_before, leaf.not_after, limits.critical)),
    }


def _link(judged: Judged) -> dict[str, Any]:
    certificate = judged.certificate
    return {
        "subject": certificate.subject,
        "issuer": certificate.issuer,
        "not_after": rfc3339(certificate.not_after),
        "state": judged.state,
        "role": judged.role,
    }
