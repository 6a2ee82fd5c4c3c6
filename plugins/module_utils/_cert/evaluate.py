# Copyright (c) 2026 Upkeep maintainers
# GNU General Public License v3.0-or-later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Judge what was seen: pure, for any instant."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, Optional

from ansible_collections.cadence.upkeep.plugins.module_utils._cert import codes
from ansible_collections.cadence.upkeep.plugins.module_utils._cert.model import (
    ENDPOINT,
    LEAF,
    ROOT,
    Certificate,
    Failure,
    Limits,
    Policy,
    Sighting,
    role_of,
)
from ansible_collections.cadence.upkeep.plugins.module_utils._cert.names import covers
from ansible_collections.cadence.upkeep.plugins.module_utils._cert.served import (
    judge_served,
    judge_trust,
    served_matches,
)
from ansible_collections.cadence.upkeep.plugins.module_utils._cert.thresholds import threshold
from ansible_collections.cadence.upkeep.plugins.module_utils._core.finding import Finding, Severity
from ansible_collections.cadence.upkeep.plugins.module_utils._core.times import rfc3339
from ansible_collections.cadence.upkeep.plugins.module_utils._core.units import format_duration

EXPIRED, NOT_YET_VALID = "expired", "not_yet_valid"
OUTSIDE = frozenset((codes.EXPIRED, codes.NOT_YET_VALID))
# Lists in evidence are cut here: a certificate may have 2,000 names.
SHOWN = 20

_STATE_OF_CODE = {codes.VALID: "ok", codes.EXPIRED: EXPIRED, codes.NOT_YET_VALID: NOT_YET_VALID}


@dataclass(frozen=True)
class Judged:
    """One certificate where it stood, under the judgement that its dates alone give it."""

    certificate: Certificate
    role: str
    code: str
    severity: Severity

    @property
    def state(self) -> str:
        return _STATE_OF_CODE.get(self.code, self.severity.word)


@dataclass(frozen=True)
class Verdict:
    """One target, judged: ``chain`` in its order, ``hostname_ok`` None when no name was to be checked."""

    sighting: Sighting
    limits: Limits
    chain: tuple[Judged, ...]
    hostname_ok: Optional[bool]
    served_matches: Optional[bool]
    findings: tuple[Finding, ...]

    @property
    def severity(self) -> Severity:
        return max(finding.severity for finding in self.findings)

    @property
    def state(self) -> str:
        """``expired``, ``not_yet_valid``, or the word of the worst severity."""
        found = {finding.code for finding in self.findings}
        for code, state in ((codes.EXPIRED, EXPIRED), (codes.NOT_YET_VALID, NOT_YET_VALID)):
            if code in found:
                return state
        return self.severity.word

    @property
    def deciding(self) -> tuple[Judged, ...]:
        """The certificates whose dates count: the leaves and, if so wanted, the intermediates; never a root."""
        return tuple(judged for judged in self.chain if judged.role != ROOT)


def evaluate(sightings: Iterable[Sighting], policy: Policy, now: datetime) -> list[Finding]:
    """Return what is to be said of each of *sightings*: at least one finding each, ``cert.valid`` when all is well."""
    return [finding for sighting in sightings for finding in judge(sighting, policy, now).findings]


def judge(sighting: Sighting, policy: Policy, now: datetime) -> Verdict:
    """Return the verdict on one target at the instant *now*."""
    limits = policy.limits_for(sighting)
    chain = tuple(
        judge_dates(certificate, role_of(certificate, first=index == 0), limits, now)
        for index, certificate in enumerate(sighting.certificates)
    )
    counted = _distinct(
        judged for judged in chain if judged.role == LEAF or (policy.whole_chain and judged.role != ROOT)
    )
    hostname_ok = _hostname_ok(sighting)
    findings = [_failed(sighting, failure) for failure in sighting.failures]
    findings += _dates(sighting, counted, limits, now)
    findings += _unread(sighting)
    findings += _names(sighting, policy.names, hostname_ok)
    if sighting.handshake is not None:
        findings += judge_trust(sighting, sighting.handshake, any(entry.code in OUTSIDE for entry in findings))
        findings += judge_served(sighting, sighting.handshake)
    if not findings:
        findings = [_valid(sighting, counted, limits, now)]
    return Verdict(sighting, limits, chain, hostname_ok, served_matches(sighting), tuple(findings))


def judge_dates(certificate: Certificate, role: str, limits: Limits, now: datetime) -> Judged:
    """Return what the dates of *certificate* say at *now*. A limit is reached when the time left equals it."""
    left = (certificate.not_after - now).total_seconds()
    begin, end = certificate.not_before, certificate.not_after
    if left <= 0:
        return Judged(certificate, role, codes.EXPIRED, Severity.CRITICAL)
    if now < begin:
        return Judged(certificate, role, codes.NOT_YET_VALID, Severity.CRITICAL)
    if left <= threshold(begin, end, limits.critical):
        return Judged(certificate, role, codes.EXPIRES_SOON, Severity.CRITICAL)
    if left <= threshold(begin, end, limits.warning):
        return Judged(certificate, role, codes.EXPIRES_SOON, Severity.WARNING)
    return Judged(certificate, role, codes.VALID, Severity.OK)


def soonest(chain: Iterable[Judged]) -> Optional[Certificate]:
    """Return the certificate of *chain* that ends first."""
    return min((judged.certificate for judged in chain), key=lambda certificate: certificate.not_after, default=None)


def _distinct(chain: Iterable[Judged]) -> tuple[Judged, ...]:
    """Some servers send a certificate twice."""
    return tuple({judged.certificate.fingerprint: judged for judged in chain}.values())


def _dates(sighting: Sighting, counted: tuple[Judged, ...], limits: Limits, now: datetime) -> list[Finding]:
    """Return one finding for each judgement that is not well, about the certificate that ends first under it."""
    groups: dict[tuple[str, Severity], list[Judged]] = {}
    for judged in counted:
        if judged.severity is not Severity.OK:
            groups.setdefault((judged.code, judged.severity), []).append(judged)
    findings = []
    for (code, severity), group in groups.items():
        group.sort(key=lambda judged: judged.certificate.not_after)
        first = group[0]
        evidence = _evidence(first, limits, now)
        if group[1:]:
            evidence["others"] = [judged.certificate.subject for judged in group[1 : SHOWN + 1]]
            evidence["others_count"] = len(group) - 1
        message = f"{_which(sighting, first)} {_when(first, limits, now)}."
        findings.append(Finding(code, sighting.target, severity, message, evidence, codes.CODES[code].remedy))
    return findings


def _valid(sighting: Sighting, counted: tuple[Judged, ...], limits: Limits, now: datetime) -> Finding:
    first = min(counted, key=lambda judged: judged.certificate.not_after)
    message = f"{_which(sighting, first)} {_when(first, limits, now)}."
    return Finding(codes.VALID, sighting.target, Severity.OK, message, _evidence(first, limits, now))


def _evidence(judged: Judged, limits: Limits, now: datetime) -> dict[str, Any]:
    certificate = judged.certificate
    left = certificate.not_after - now
    return {
        "certificate": certificate.subject,
        "role": judged.role,
        "serial": certificate.serial,
        "not_before": rfc3339(certificate.not_before),
        "not_after": rfc3339(certificate.not_after),
        "remaining_seconds": round(left.total_seconds()),
        "remaining_days": round(left / timedelta(days=1), 2),
        "warning_seconds": round(threshold(certificate.not_before, certificate.not_after, limits.warning)),
        "critical_seconds": round(threshold(certificate.not_before, certificate.not_after, limits.critical)),
    }


def _which(sighting: Sighting, judged: Judged) -> str:
    """Return the name of one certificate in a sentence: most targets have just one that matters."""
    if len(sighting.certificates) == 1 or judged.certificate is sighting.certificates[0]:
        return sighting.place
    return f"{sighting.place}: the {judged.role} {judged.certificate.subject}"


def _when(judged: Judged, limits: Limits, now: datetime) -> str:
    certificate = judged.certificate
    end = rfc3339(certificate.not_after)
    if judged.code == codes.EXPIRED:
        return f"expired {format_duration((now - certificate.not_after).total_seconds())} ago, on {end}"
    if judged.code == codes.NOT_YET_VALID:
        begin = rfc3339(certificate.not_before)
        return f"is not valid before {begin}, in {format_duration((certificate.not_before - now).total_seconds())}"
    warning = threshold(certificate.not_before, certificate.not_after, limits.warning)
    critical = threshold(certificate.not_before, certificate.not_after, limits.critical)
    return (
        f"has {format_duration((certificate.not_after - now).total_seconds())} left, until {end} "
        f"(warning at {format_duration(warning)}, critical at {format_duration(critical)})"
    )


def _failed(sighting: Sighting, failure: Failure) -> Finding:
    code = codes.UNREACHABLE if sighting.kind == ENDPOINT else codes.UNREADABLE
    return _unknown(code, sighting.target, failure)


def _unknown(code: str, target: str, failure: Failure) -> Finding:
    evidence = {"kind": failure.kind, **failure.evidence}
    remedy = failure.remedy or codes.CODES[code].remedy
    return Finding(code, target, Severity.UNKNOWN, failure.message, evidence, remedy)


def _unread(sighting: Sighting) -> list[Finding]:
    """A certificate of which only the dates could be read was not judged by its names."""
    return [
        Finding(
            codes.UNREADABLE,
            sighting.target,
            Severity.UNKNOWN,
            f"{sighting.place}: of the certificate with serial {certificate.serial} this cannot be read: "
            f"{certificate.unread}.",
            {"kind": "parse", "serial": certificate.serial, "unread": certificate.unread},
            "Have it issued anew; its dates were judged.",
        )
        for certificate in sighting.certificates
        if certificate.unread
    ]


def _hostname_ok(sighting: Sighting) -> Optional[bool]:
    if sighting.handshake is None or not sighting.certificates or sighting.certificates[0].unread:
        return None
    return covers(sighting.certificates[0].names, sighting.handshake.spec.checked_name)


def _names(sighting: Sighting, wanted: tuple[str, ...], hostname_ok: Optional[bool]) -> list[Finding]:
    if not sighting.certificates or sighting.certificates[0].unread:
        return []
    certificate = sighting.certificates[0]
    missing = [name for name in wanted if not covers(certificate.names, name)]
    handshake = sighting.handshake
    if handshake is not None and handshake.spec.verify and hostname_ok is False:
        missing.insert(0, handshake.spec.checked_name)
    if not missing:
        return []
    missing = list(dict.fromkeys(missing))
    shown = ", ".join(certificate.names[:3]) + (", ..." if certificate.names[3:] else "")
    has = f"only {shown}" if certificate.names else "no subject alternative name at all"
    return [
        Finding(
            codes.HOSTNAME_MISMATCH,
            sighting.target,
            Severity.CRITICAL,
            f"{sighting.place} has a certificate that does not stand for {', '.join(missing[:SHOWN])}: it has {has}.",
            {"missing": missing[:SHOWN], "san": list(certificate.names[:SHOWN])},
            codes.CODES[codes.HOSTNAME_MISMATCH].remedy,
        )
    ]
