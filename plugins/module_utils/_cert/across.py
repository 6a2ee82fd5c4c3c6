# Copyright (c) 2026 Upkeep maintainers
# GNU General Public License v3.0-or-later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What shows only when all targets are seen together: the same serial twice, the same file twice, addresses at odds."""

from __future__ import annotations

from collections.abc import Sequence

from ansible_collections.cadence.upkeep.plugins.module_utils._cert import codes
from ansible_collections.cadence.upkeep.plugins.module_utils._cert.model import FILE, Certificate, Sighting
from ansible_collections.cadence.upkeep.plugins.module_utils._core.finding import Finding, Severity
from ansible_collections.cadence.upkeep.plugins.module_utils._core.times import rfc3339

SHOWN = 20


def judge_together(sightings: Sequence[Sighting]) -> dict[str, list[Finding]]:
    """Return the findings of each target that come from comparing it with the others."""
    findings: dict[str, list[Finding]] = {}
    for finding in (*_serials(sightings), *_copies(sightings), *_addresses(sightings)):
        findings.setdefault(finding.subject, []).append(finding)
    return findings


def copies_of(sightings: Sequence[Sighting]) -> dict[str, str]:
    """Return for each file that holds just what an earlier one holds (by name) the name of that one."""
    first: dict[tuple[str, ...], str] = {}
    copies = {}
    for sighting in sorted(sightings, key=lambda entry: entry.target):
        if sighting.kind == FILE and sighting.certificates and not sighting.failures:
            held = tuple(certificate.fingerprint for certificate in sighting.certificates)
            if held in first:
                copies[sighting.target] = first[held]
            else:
                first[held] = sighting.target
    return copies


def _serials(sightings: Sequence[Sighting]) -> list[Finding]:
    """An authority gives each serial once; two certificates of one serial cannot be told apart when one is revoked."""
    seen: dict[tuple[str, str], dict[str, list[tuple[str, Certificate]]]] = {}
    for sighting in sightings:
        for certificate in sighting.certificates:
            if certificate.issuer:
                by_print = seen.setdefault((certificate.issuer, certificate.serial), {})
                by_print.setdefault(certificate.fingerprint, []).append((sighting.target, certificate))
    findings = []
    for (issuer, serial), by_print in seen.items():
        if len(by_print) < 2:
            continue
        where = sorted({target for places in by_print.values() for target, _certificate in places})
        subjects = sorted({certificate.subject for places in by_print.values() for _target, certificate in places})
        message = f"{issuer} gave the serial {serial} to {len(by_print)} certificates ({', '.join(subjects[:3])})."
        evidence = {"issuer": issuer, "serial": serial, "seen_in": where[:SHOWN], "subjects": subjects[:SHOWN]}
        remedy = codes.CODES[codes.DUPLICATE_SERIAL].remedy
        findings += [
            Finding(codes.DUPLICATE_SERIAL, target, Severity.WARNING, message, evidence, remedy) for target in where
        ]
    return findings


def _copies(sightings: Sequence[Sighting]) -> list[Finding]:
    remedy = codes.CODES[codes.DUPLICATE_FILE].remedy
    return [
        Finding(
            codes.DUPLICATE_FILE,
            target,
            Severity.INFO,
            f"{target} holds the same certificates as {first}.",
            {"duplicate_of": first},
            remedy,
        )
        for target, first in copies_of(sightings).items()
    ]


def _addresses(sightings: Sequence[Sighting]) -> list[Finding]:
    """The addresses of one name that serve an older certificate than another one does."""
    groups: dict[str, list[tuple[Sighting, Certificate]]] = {}
    for sighting in sightings:
        handshake = sighting.handshake
        if handshake is not None and handshake.spec.address_of and sighting.certificates:
            groups.setdefault(handshake.spec.address_of, []).append((sighting, sighting.certificates[0]))
    findings = []
    for name, seen in groups.items():
        newest, best = max(seen, key=lambda entry: (entry[1].not_before, entry[1].not_after, entry[1].fingerprint))
        for sighting, certificate in seen:
            if certificate.fingerprint == best.fingerprint:
                continue
            message = (
                f"{sighting.place} serves another certificate than {newest.place} does (until "
                f"{rfc3339(certificate.not_after)}, there until {rfc3339(best.not_after)})."
            )
            evidence = {
                "endpoint": name,
                "serves": {"serial": certificate.serial, "not_after": rfc3339(certificate.not_after)},
                "newest": {"target": newest.target, "serial": best.serial, "not_after": rfc3339(best.not_after)},
            }
            code = codes.ADDRESSES_DIFFER
            remedy = codes.CODES[code].remedy
            findings.append(Finding(code, sighting.target, Severity.WARNING, message, evidence, remedy))
    return findings
