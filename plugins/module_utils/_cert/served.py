# Copyright (c) 2026 Upkeep maintainers
# GNU General Public License v3.0-or-later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Judge what an endpoint serves: would a client trust it, and is it the certificate that lies on the disk? Pure."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Optional

from ansible_collections.cadence.upkeep.plugins.module_utils._cert import codes
from ansible_collections.cadence.upkeep.plugins.module_utils._cert.model import (
    NO_ISSUER,
    OUTSIDE_ITS_DATES,
    SELF_SIGNED_LEAF,
    Certificate,
    Failure,
    Handshake,
    Policy,
    Sighting,
)
from ansible_collections.cadence.upkeep.plugins.module_utils._core.finding import Finding, Severity
from ansible_collections.cadence.upkeep.plugins.module_utils._core.times import rfc3339
from ansible_collections.cadence.upkeep.plugins.module_utils._core.units import format_duration

# From the oldest.
_VERSIONS = ("SSLv3", "TLSv1", "TLSv1.1", "TLSv1.2", "TLSv1.3")


def judge_trust(sighting: Sighting, handshake: Handshake, dates_said: bool, alone: bool) -> list[Finding]:
    """Return what keeps clients from trusting the chain.

    ``dates_said``: a finding says already that it is expired. ``alone``: nothing that was sent with the certificate
    issued it, and it did not issue itself.
    """
    error, place = handshake.verify_error.rstrip("."), handshake.spec.place
    evidence = {"verify_error": error, "verify_code": handshake.verify_code}
    if handshake.verified is None and error:
        return [_finding(codes.UNVERIFIED, sighting, Severity.UNKNOWN, f"{place} was not verified: {error}.", evidence)]
    if handshake.verified is not False or (dates_said and handshake.verify_code in OUTSIDE_ITS_DATES):
        return []
    if handshake.verify_code == SELF_SIGNED_LEAF:
        message = f"{place} serves a self-signed certificate that is not among the trusted ones."
        return [_finding(codes.SELF_SIGNED, sighting, Severity.WARNING, message, evidence)]
    authorities = handshake.spec.ca_path or "the authorities of this host"
    if alone and handshake.verify_code in NO_ISSUER:
        issuer = sighting.certificates[0].issuer
        message = f"{place} does not send the certificate of {issuer}, which issued its own, and that is none of "
        message += f"{authorities}: clients cannot verify it."
        evidence = {**evidence, "missing": issuer}
        return [_finding(codes.CHAIN_INCOMPLETE, sighting, Severity.CRITICAL, message, evidence)]
    message = f"{place} serves a chain that does not verify against {authorities}: {error}."
    return [_finding(codes.UNTRUSTED, sighting, Severity.CRITICAL, message, evidence)]


def judge_served(sighting: Sighting, handshake: Handshake) -> list[Finding]:
    """Return how what is served differs from what was expected."""
    findings: list[Finding] = []
    spec, failure, expected = handshake.spec, handshake.expected_failure, handshake.expected
    if failure is not None:
        message = f"{spec.place} serves a certificate that was not compared with its file: {failure.message}"
        evidence = {"kind": failure.kind, "expect_file": spec.expect_file, **failure.evidence}
        findings.append(
            Finding(codes.SERVED_UNKNOWN, sighting.target, Severity.UNKNOWN, message, evidence, failure.remedy)
        )
    if not sighting.certificates:
        return findings
    served = sighting.certificates[0]
    if expected is not None and expected.fingerprint != served.fingerprint:
        findings.append(_differs(sighting, handshake, served, expected))
    if spec.expect_fingerprint and spec.expect_fingerprint != served.fingerprint:
        message = f"{spec.place} serves a certificate with another fingerprint than expect_fingerprint."
        evidence = {"served": _identity(served), "expect_fingerprint": spec.expect_fingerprint, "newer": "unknown"}
        remedy = "Find out who changed it; if it was renewed on purpose, write its new fingerprint into the inventory."
        findings.append(Finding(codes.SERVED_DIFFERS, sighting.target, Severity.CRITICAL, message, evidence, remedy))
    return findings


def judge_protocol(sighting: Sighting, handshake: Handshake, policy: Policy) -> list[Finding]:
    """Return what is to be said of how the endpoint speaks: client certificates, versions of TLS, HSTS."""
    findings: list[Finding] = []
    spec, refused = handshake.spec, handshake.refused
    if refused is not None:
        findings.append(_refused(sighting, refused))
    least = _VERSIONS.index(policy.min_tls)
    spoken = [*(handshake.tls_versions or ()), handshake.tls_version]
    old = sorted({version for version in spoken if version in _VERSIONS[:least]}, key=_VERSIONS.index)
    if old:
        message = f"{spec.place} still speaks {' and '.join(old)}; {policy.min_tls} is the least that is wanted."
        evidence: dict[str, Any] = {"accepted": old, "agreed": handshake.tls_version, "min_tls": policy.min_tls}
        findings.append(_finding(codes.TLS_VERSION_LOW, sighting, Severity.WARNING, message, evidence))
    hsts = handshake.hsts
    if hsts is not None and hsts.seconds is None:
        message = f"{spec.place} does not send Strict-Transport-Security: browsers may still be led to plain HTTP."
        findings.append(_finding(codes.HSTS_MISSING, sighting, Severity.WARNING, message, {"max_age": None}))
    elif hsts is not None and hsts.seconds is not None and hsts.seconds < policy.min_hsts:
        message = f"{spec.place} tells browsers to insist on TLS for {format_duration(hsts.seconds)} alone, of "
        message += f"{format_duration(policy.min_hsts)} that are wanted."
        evidence = {"max_age": hsts.seconds, "min_max_age": round(policy.min_hsts)}
        findings.append(_finding(codes.HSTS_SHORT, sighting, Severity.WARNING, message, evidence))
    return findings


def _refused(sighting: Sighting, refused: Failure) -> Finding:
    """The certificate was shown, so only what came after it is unknown: nothing, where only the client was refused."""
    evidence = {"kind": refused.kind, **refused.evidence}
    if refused.kind == "client_cert_required":
        code, severity = codes.CLIENT_CERT_REQUIRED, Severity.INFO
    elif refused.kind == "client_cert_refused":
        code, severity = codes.CLIENT_CERT_REQUIRED, Severity.WARNING
    else:
        code, severity = codes.UNREACHABLE, Severity.UNKNOWN
    return Finding(code, sighting.target, severity, refused.message, evidence, refused.remedy)


def served_matches(sighting: Sighting) -> Optional[bool]:
    """Return whether the served certificate is that of ``expect_file``; None when there was nothing to compare."""
    handshake = sighting.handshake
    if handshake is None or handshake.expected is None or not sighting.certificates:
        return None
    return sighting.certificates[0].fingerprint == handshake.expected.fingerprint


def _differs(sighting: Sighting, handshake: Handshake, served: Certificate, expected: Certificate) -> Finding:
    spec = handshake.spec
    file, ours, theirs = spec.expect_file, _age(expected), _age(served)
    newer = "file" if ours > theirs else "served" if theirs > ours else "neither"
    ends = f"(until {rfc3339(served.not_after)}, in the file until {rfc3339(expected.not_after)})"
    message, remedy = {
        "file": (
            f"{spec.place} still serves an older certificate than {file} holds {ends}: renewed, but not reloaded.",
            f"Reload the server that listens on {spec.address} (nginx: `nginx -t && systemctl reload nginx`).",
        ),
        "served": (
            f"{spec.place} serves a newer certificate than {file} holds {ends}: that is a stale file.",
            f"Point expect_file at the file that the server on {spec.address} reads, or copy the certificate there: "
            "a restart could bring the old one back.",
        ),
        "neither": (
            f"{spec.place} serves another certificate than {file} holds {ends}, of the same age.",
            f"Find out which file the server on {spec.address} reads, and name that in expect_file.",
        ),
    }[newer]
    evidence = {"newer": newer, "served": _identity(served), "file": {"path": file, **_identity(expected)}}
    return Finding(codes.SERVED_DIFFERS, sighting.target, Severity.WARNING, message, evidence, remedy)


def _age(certificate: Certificate) -> tuple[Any, ...]:
    return certificate.not_before, certificate.not_after


def _identity(certificate: Certificate) -> dict[str, str]:
    return {
        "subject": certificate.subject,
        "serial": certificate.serial,
        "fingerprint_sha256": certificate.fingerprint,
        "not_before": rfc3339(certificate.not_before),
        "not_after": rfc3339(certificate.not_after),
    }


def _finding(code: str, sighting: Sighting, severity: Severity, message: str, evidence: Mapping[str, Any]) -> Finding:
    return Finding(code, sighting.target, severity, message, evidence, codes.CODES[code].remedy)
