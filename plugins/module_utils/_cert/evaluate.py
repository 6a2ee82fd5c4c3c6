# Copyright (c) 2026 Upkeep maintainers
# GNU General Public License v3.0-or-later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Judge what was seen: pure, for any instant."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Any, Optional

from ansible_collections.cadence.upkeep.plugins.module_utils._cert import codes
from ansible_collections.cadence.upkeep.plugins.module_utils._cert.chain import (
    NOBODY,
    Anchors,
    Chain,
    chain_of,
    in_order,
)
from ansible_collections.cadence.upkeep.plugins.module_utils._cert.custody import judge_key, key_matches
from ansible_collections.cadence.upkeep.plugins.module_utils._cert.model import (
    BY_CHAIN,
    BY_VERIFIED,
    ENDPOINT,
    INTERMEDIATE,
    LEAF,
    ROOT,
    UNUSED,
    Certificate,
    Failure,
    Limits,
    Policy,
    Sighting,
)
from ansible_collections.cadence.upkeep.plugins.module_utils._cert.names import covers
from ansible_collections.cadence.upkeep.plugins.module_utils._cert.quality import (
    judge_promises,
    judge_renewal,
    judge_strength,
)
from ansible_collections.cadence.upkeep.plugins.module_utils._cert.served import (
    judge_protocol,
    judge_served,
    judge_trust,
    served_matches,
)
from ansible_collections.cadence.upkeep.plugins.module_utils._cert.thresholds import renewal, threshold
from ansible_collections.cadence.upkeep.plugins.module_utils._core.finding import Finding, Severity
from ansible_collections.cadence.upkeep.plugins.module_utils._core.times import rfc3339
from ansible_collections.cadence.upkeep.plugins.module_utils._core.units import format_duration

EXPIRED, NOT_YET_VALID = "expired", "not_yet_valid"
OUTSIDE = frozenset((codes.EXPIRED, codes.NOT_YET_VALID))
# Lists in evidence are cut here: a certificate may have 2,000 names.
SHOWN = 20
# So far clocks of hosts differ that nobody looks after; a certificate that begins within this is as good as begun.
SKEW = timedelta(minutes=10)

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
    """One target, judged.

    ``chain`` has its certificates in their order, ``counted`` those of them (or above them) whose dates decide.
    ``hostname_ok`` is None when no name was to be checked.
    """

    sighting: Sighting
    limits: Limits
    chain: tuple[Judged, ...]
    counted: tuple[Judged, ...]
    leaf: Optional[Certificate]
    hostname_ok: Optional[bool]
    served_matches: Optional[bool]
    key_matches: Optional[bool]
    findings: tuple[Finding, ...]

    @property
    def severity(self) -> Severity:
        return max((finding.severity for finding in self.findings), default=Severity.OK)

    @property
    def state(self) -> str:
        """``expired``, ``not_yet_valid``, or the word of the worst severity; what is worth knowing is still ``ok``."""
        found = {finding.code for finding in self.findings}
        for code, state in ((codes.EXPIRED, EXPIRED), (codes.NOT_YET_VALID, NOT_YET_VALID)):
            if code in found:
                return state
        return self.severity.word if self.severity > Severity.INFO else Severity.OK.word


def evaluate(sightings: Iterable[Sighting], policy: Policy, now: datetime, anchors: Anchors = NOBODY) -> list[Finding]:
    """Return what is to be said of each of *sightings*: at least one finding each, ``cert.valid`` when all is well."""
    return [finding for sighting in sightings for finding in judge(sighting, policy, now, anchors).findings]


def judge(
    sighting: Sighting,
    policy: Policy,
    now: datetime,
    anchors: Anchors = NOBODY,
    others: Iterable[Finding] = (),
    say_valid: bool = True,
) -> Verdict:
    """Return the verdict on one target at the instant *now*.

    *anchors* are the authorities that are trusted to end the chain of a file, *others* what comparing this target with
    others has shown. Without *say_valid* a target that is well has no finding to say so.
    """
    limits = policy.limits_for(sighting)
    structure = chain_of(sighting, anchors if sighting.handshake is None else NOBODY)
    chain = tuple(
        judge_dates(certificate, role, limits, now) for certificate, role in zip(sighting.certificates, structure.roles)
    )
    counted = _distinct((*_decisive(chain, structure, policy.decide), *_above(sighting, policy, limits, now)))
    leaf = sighting.certificates[structure.leaf] if chain else None
    hostname_ok = _hostname_ok(sighting, policy)
    findings = [_failed(sighting, failure) for failure in sighting.failures]
    findings += _dates(sighting, counted, leaf, limits, now)
    findings += _unread(sighting)
    findings += _names(sighting, leaf, policy, hostname_ok)
    if sighting.handshake is not None:
        dates_said = any(entry.code in OUTSIDE | {codes.CLOCK_SKEW} for entry in findings)
        alone = len(structure.path) == 1 and leaf is not None and not leaf.self_issued
        findings += judge_trust(sighting, sighting.handshake, dates_said, alone)
        findings += judge_served(sighting, sighting.handshake)
        findings += judge_protocol(sighting, sighting.handshake, policy)
    if leaf is not None:
        findings += _structure(sighting, structure, leaf, counted)
        path = [sighting.certificates[index] for index in structure.needed]
        findings += judge_strength(sighting.target, sighting.place, path, policy)
        findings += [
            finding
            for finding in judge_promises(sighting.target, sighting.place, leaf, policy)
            # A name that is missing was said already, and louder.
            if finding.code != codes.NO_SAN or all(entry.code != codes.HOSTNAME_MISMATCH for entry in findings)
        ]
        due = renewal(leaf.not_before, leaf.not_after, policy.renew_at)
        findings += judge_renewal(sighting.target, sighting.place, leaf, due, policy.renew_grace, now)
    findings += [*judge_key(sighting, leaf), *others]
    if say_valid and leaf is not None and counted and all(finding.severity <= Severity.INFO for finding in findings):
        findings.insert(0, _valid(sighting, counted, leaf, limits, now))
    findings = _dated(findings, leaf, now)
    matches = served_matches(sighting), key_matches(sighting, leaf)
    return Verdict(sighting, limits, chain, counted, leaf, hostname_ok, *matches, tuple(findings))


def _decisive(chain: tuple[Judged, ...], structure: Chain, decide: str) -> list[Judged]:
    """Return the certificates whose dates count. A root never decides, nor what no path from a leaf leads to."""
    return [
        judged
        for index, judged in enumerate(chain)
        if judged.role == LEAF
        or (judged.role == INTERMEDIATE and (decide == BY_CHAIN or (decide == BY_VERIFIED and index in structure.path)))
    ]


def _above(sighting: Sighting, policy: Policy, limits: Limits, now: datetime) -> list[Judged]:
    """Return what a verified chain has above what was sent, but for its root: authorities of the client's own."""
    if policy.decide != BY_VERIFIED or sighting.handshake is None:
        return []
    return [
        judge_dates(certificate, INTERMEDIATE, limits, now)
        for certificate in sighting.handshake.anchors
        if not certificate.self_issued
    ]


def judge_dates(certificate: Certificate, role: str, limits: Limits, now: datetime) -> Judged:
    """Return what the dates of *certificate* say at *now*. A limit is reached when the time left equals it."""
    left = (certificate.not_after - now).total_seconds()
    begin, end = certificate.not_before, certificate.not_after
    if left <= 0:
        return Judged(certificate, role, codes.EXPIRED, Severity.CRITICAL)
    if now < begin:
        if begin - now <= SKEW:
            return Judged(certificate, role, codes.CLOCK_SKEW, Severity.WARNING)
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


def _dates(
    sighting: Sighting, counted: tuple[Judged, ...], leaf: Optional[Certificate], limits: Limits, now: datetime
) -> list[Finding]:
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
        message = f"{_which(sighting, first, leaf)} {_when(first, limits, now)}."
        findings.append(Finding(code, sighting.target, severity, message, evidence, codes.CODES[code].remedy))
    return findings


def _valid(
    sighting: Sighting, counted: tuple[Judged, ...], leaf: Certificate, limits: Limits, now: datetime
) -> Finding:
    first = min(counted, key=lambda judged: judged.certificate.not_after)
    message = f"{_which(sighting, first, leaf)} {_when(first, limits, now)}."
    return Finding(codes.VALID, sighting.target, Severity.OK, message, _evidence(first, limits, now))


def _dated(findings: list[Finding], leaf: Optional[Certificate], now: datetime) -> list[Finding]:
    """Let one of *findings* tell who issued the certificate until when: an inventory wants it, whatever is wrong."""
    if leaf is None or not findings or any("not_after" in finding.evidence for finding in findings):
        return findings
    dates = {
        "issuer": leaf.issuer,
        "not_after": rfc3339(leaf.not_after),
        "remaining_days": round((leaf.not_after - now) / timedelta(days=1), 2),
    }
    return [replace(findings[0], evidence={**findings[0].evidence, **dates}), *findings[1:]]


def _evidence(judged: Judged, limits: Limits, now: datetime) -> dict[str, Any]:
    certificate = judged.certificate
    left = certificate.not_after - now
    return {
        "certificate": certificate.subject,
        "issuer": certificate.issuer,
        "role": judged.role,
        "serial": certificate.serial,
        "not_before": rfc3339(certificate.not_before),
        "not_after": rfc3339(certificate.not_after),
        "remaining_seconds": round(left.total_seconds()),
        "remaining_days": round(left / timedelta(days=1), 2),
        "warning_seconds": round(threshold(certificate.not_before, certificate.not_after, limits.warning)),
        "critical_seconds": round(threshold(certificate.not_before, certificate.not_after, limits.critical)),
    }


def _which(sighting: Sighting, judged: Judged, leaf: Optional[Certificate]) -> str:
    """Return the name of one certificate in a sentence: most targets have just one that matters."""
    if judged.certificate is leaf:
        return sighting.place
    return f"{sighting.place}: the {judged.role} {judged.certificate.subject}"


def _structure(sighting: Sighting, structure: Chain, leaf: Certificate, counted: tuple[Judged, ...]) -> list[Finding]:
    """Return what is wrong with how the certificates stand together."""
    said = {judged.certificate.fingerprint for judged in counted if judged.severity is not Severity.OK}
    findings = []
    certificates, place = sighting.certificates, sighting.place

    def found(code: str, severity: Severity, words: str, **evidence: Any) -> None:
        remedy = codes.CODES[code].remedy
        findings.append(Finding(code, sighting.target, severity, f"{place} {words}.", evidence, remedy))

    order = [certificates[index].subject for index in structure.path]
    unused = [entry.subject for entry, role in zip(certificates, structure.roles) if role == UNUSED]
    roots = [entry.subject for entry, role in zip(certificates, structure.roles) if role == ROOT]
    if not in_order(structure):
        words = f"does not have its certificates in order: {leaf.subject or leaf.serial} first, then who issued it"
        found(codes.CHAIN_ORDER, Severity.WARNING, words, order=order[:SHOWN], unused=unused[:SHOWN])
    elif unused:
        words = f"has {len(unused)} certificates that nothing in it needs, the first of them {unused[0]}"
        found(codes.CHAIN_ORDER, Severity.INFO, words, order=order[:SHOWN], unused=unused[:SHOWN])
    if sighting.handshake is None and unused and len(structure.path) == 1 and not structure.complete:
        words = f"has certificates of authorities, but not that of {leaf.issuer}, which issued {leaf.subject}"
        found(codes.CHAIN_INCOMPLETE, Severity.WARNING, words, missing=leaf.issuer)
    if roots and not leaf.is_ca:
        words = f"has the root {roots[0]} too, which clients take from their own store"
        found(codes.ROOT_IN_CHAIN, Severity.INFO, words, roots=roots[:SHOWN])
    early = [
        entry
        for entry in (certificates[index] for index in structure.needed[1:])
        if not entry.self_issued and entry.not_after < leaf.not_after and entry.fingerprint not in said
    ]
    if early:
        first = min(early, key=lambda entry: entry.not_after)
        words = f"is good until {rfc3339(leaf.not_after)}, but {first.subject} above it only until "
        evidence = {"intermediate": first.subject, "not_after": rfc3339(first.not_after)}
        found(codes.CHAIN_EXPIRES_FIRST, Severity.INFO, words + rfc3339(first.not_after), **evidence)
    return findings


def _when(judged: Judged, limits: Limits, now: datetime) -> str:
    certificate = judged.certificate
    end = rfc3339(certificate.not_after)
    if judged.code == codes.EXPIRED:
        return f"expired {format_duration((now - certificate.not_after).total_seconds())} ago, on {end}"
    if judged.code in (codes.NOT_YET_VALID, codes.CLOCK_SKEW):
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


def _hostname_ok(sighting: Sighting, policy: Policy) -> Optional[bool]:
    if sighting.handshake is None or not sighting.certificates or sighting.certificates[0].unread:
        return None
    return covers(_names_of(sighting.certificates[0], policy), sighting.handshake.spec.checked_name)


def _names(
    sighting: Sighting, leaf: Optional[Certificate], policy: Policy, hostname_ok: Optional[bool]
) -> list[Finding]:
    if leaf is None or leaf.unread:
        return []
    names = _names_of(leaf, policy)
    missing = [name for name in policy.names if not covers(names, name)]
    handshake = sighting.handshake
    if handshake is not None and handshake.spec.verify and hostname_ok is False:
        missing.insert(0, handshake.spec.checked_name)
    if not missing:
        return []
    missing = list(dict.fromkeys(missing))
    shown = ", ".join(leaf.names[:3]) + (", ..." if leaf.names[3:] else "")
    has = f"only {shown}" if leaf.names else "no subject alternative name at all"
    return [
        Finding(
            codes.HOSTNAME_MISMATCH,
            sighting.target,
            Severity.CRITICAL,
            f"{sighting.place} has a certificate that does not stand for {', '.join(missing[:SHOWN])}: it has {has}.",
            {"missing": missing[:SHOWN], "san": list(leaf.names[:SHOWN])},
            codes.CODES[codes.HOSTNAME_MISMATCH].remedy,
        )
    ]


def _names_of(leaf: Certificate, policy: Policy) -> tuple[str, ...]:
    """Return what *leaf* stands for. Its common name counts only if so wanted, and no client asks for it any more."""
    use = policy.allow_cn and not leaf.names and leaf.common_name
    return (leaf.common_name,) if use else leaf.names
