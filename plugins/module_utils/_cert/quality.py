# Copyright (c) 2026 Upkeep maintainers
# GNU General Public License v3.0-or-later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What is wrong with a certificate besides its dates: its key, its signature, its serial, what it promises."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime, timedelta, timezone
from typing import Any, Optional

from ansible_collections.cadence.upkeep.plugins.module_utils._cert import codes
from ansible_collections.cadence.upkeep.plugins.module_utils._cert.model import Certificate, Policy
from ansible_collections.cadence.upkeep.plugins.module_utils._cert.thresholds import Limit, threshold
from ansible_collections.cadence.upkeep.plugins.module_utils._core.finding import Finding, Severity
from ansible_collections.cadence.upkeep.plugins.module_utils._core.times import rfc3339
from ansible_collections.cadence.upkeep.plugins.module_utils._core.units import format_duration

SHOWN = 20
# Signature algorithms that the library does not take apart into a hash.
_HASH_OF = {
    "1.2.840.113549.1.1.2": "md2",
    "1.2.840.113549.1.1.3": "md4",
    "1.2.840.113549.1.1.4": "md5",
    "1.2.840.113549.1.1.5": "sha1",
    "1.3.14.3.2.29": "sha1",
    "1.3.14.3.2.3": "md5",
}
# What the CA/Browser Forum lets public authorities issue from each day on (baseline requirements, 6.3.2).
_PUBLIC = (
    (datetime(2029, 3, 15, tzinfo=timezone.utc), 47),
    (datetime(2027, 3, 15, tzinfo=timezone.utc), 100),
    (datetime(2026, 3, 15, tzinfo=timezone.utc), 200),
    (datetime(2020, 9, 1, tzinfo=timezone.utc), 398),
    (datetime(2018, 3, 1, tzinfo=timezone.utc), 825),
)


def judge_strength(target: str, place: str, path: Sequence[Certificate], policy: Policy) -> list[Finding]:
    """Return what is weak in *path*: the leaf first, then what it is verified by. Roots are trusted as they are."""
    judged = [entry for index, entry in enumerate(path) if index == 0 or not entry.self_issued]
    findings = []
    weak = [(entry, words) for entry in judged for words in [weak_key(entry, policy)] if words]
    if weak:
        evidence = {"min_rsa_bits": policy.min_rsa_bits, "min_ec_bits": policy.min_ec_bits}
        findings.append(_weak(codes.WEAK_KEY, "a key that is too weak", target, place, weak, evidence))
    # Nobody verifies what a certificate says of itself.
    signed = [entry for entry in judged if not entry.self_issued]
    weak = [(entry, words) for entry in signed for words in [weak_signature(entry, policy)] if words]
    if weak:
        listed = {"weak_signatures": sorted(policy.weak_signatures)}
        findings.append(_weak(codes.WEAK_SIGNATURE, "a signature that is too weak", target, place, weak, listed))
    return findings


def weak_key(certificate: Certificate, policy: Policy) -> str:
    """Return what is weak in the key of *certificate*, or nothing; a kind of key that is not known is not judged."""
    bits = certificate.key_bits or 0
    kind = certificate.key_type
    least = policy.min_rsa_bits if kind in ("rsa", "dsa") else policy.min_ec_bits if kind.startswith("ec-") else 0
    return f"{kind} of {bits} bits, of {least} that are wanted" if 0 < bits < least else ""


def weak_signature(certificate: Certificate, policy: Policy) -> str:
    """Return the hash of the signature if it is a weak one, or nothing."""
    name = _HASH_OF.get(certificate.signature, certificate.signature)
    # Whoever counts MD5 among the weak ones does not mean to allow what is older.
    weak = policy.weak_signatures | ({"md2", "md4"} if "md5" in policy.weak_signatures else frozenset())
    return name if name in weak else ""


def _weak(
    code: str, what: str, target: str, place: str, weak: list[tuple[Certificate, str]], limits: dict[str, Any]
) -> Finding:
    first, words = weak[0]
    message = f"{place}: {first.subject or first.serial} has {what} ({words})."
    listed = [{"certificate": entry.subject, "serial": entry.serial, "is": why} for entry, why in weak[:SHOWN]]
    return Finding(code, target, Severity.WARNING, message, {"weak": listed, **limits}, codes.CODES[code].remedy)


def judge_promises(target: str, place: str, leaf: Certificate, policy: Policy) -> list[Finding]:
    """Return what is wrong with what the own certificate of a target says of itself."""
    findings = []

    def found(code: str, severity: Severity, words: str, **evidence: Any) -> None:
        remedy = codes.CODES[code].remedy
        findings.append(Finding(code, target, severity, f"{place} {words}.", evidence, remedy))

    if leaf.must_staple and not leaf.has_ocsp_url:
        words = "must be served with a stapled OCSP answer, but names no responder that could give one"
        found(codes.MUST_STAPLE_WITHOUT_OCSP, Severity.CRITICAL, words, serial=leaf.serial)
    if leaf.serial.startswith("-") or leaf.serial == "0":
        found(codes.NEGATIVE_SERIAL, Severity.WARNING, f"has the serial {leaf.serial}", serial=leaf.serial)
    if not leaf.names and not leaf.is_ca and not leaf.unread:
        words = "has no subject alternative name, and clients look at nothing else"
        found(codes.NO_SAN, Severity.INFO, words, common_name=leaf.common_name)
    longest = allowed_lifetime(leaf, policy.longest)
    if longest is not None and leaf.lifetime > longest:
        words = f"is good for {format_duration(leaf.lifetime.total_seconds())} in all, more than the "
        words += f"{format_duration(longest.total_seconds())} that are allowed"
        seconds = {"lifetime": round(leaf.lifetime.total_seconds()), "allowed": round(longest.total_seconds())}
        found(codes.LIFETIME_TOO_LONG, Severity.WARNING, words, seconds=seconds)
    return findings


def allowed_lifetime(certificate: Certificate, limit: Optional[Limit]) -> Optional[timedelta]:
    """Return how long *certificate* may live in all, by the limit of the user or that of its day of issue."""
    if limit is None:
        return None
    if limit.seconds is not None:
        return timedelta(seconds=limit.seconds)
    return next((timedelta(days=days) for since, days in _PUBLIC if certificate.not_before >= since), None)


def judge_renewal(
    target: str, place: str, leaf: Certificate, renew_after: datetime, grace: Optional[Limit], now: datetime
) -> list[Finding]:
    """Return that the renewal of *leaf* is overdue: due since *renew_after*, and not done within *grace*."""
    if grace is None or now >= leaf.not_after:
        return []
    patience = threshold(leaf.not_before, leaf.not_after, (grace,))
    waited = (now - renew_after).total_seconds()
    if waited < patience:
        return []
    message = f"{place} was to be renewed {format_duration(waited)} ago, on {rfc3339(renew_after)}, and was not."
    evidence = {"renew_after": rfc3339(renew_after), "grace_seconds": round(patience)}
    code = codes.RENEW_OVERDUE
    return [Finding(code, target, Severity.WARNING, message, evidence, codes.CODES[code].remedy)]
