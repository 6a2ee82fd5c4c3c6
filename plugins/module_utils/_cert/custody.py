# Copyright (c) 2026 Upkeep maintainers
# GNU General Public License v3.0-or-later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Is the private key of a certificate the right one, and kept where nobody else sees it?"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Optional

from ansible_collections.cadence.upkeep.plugins.module_utils._cert import codes
from ansible_collections.cadence.upkeep.plugins.module_utils._cert.model import Certificate, KeyFile, Sighting
from ansible_collections.cadence.upkeep.plugins.module_utils._core.finding import Finding, Severity


def key_matches(sighting: Sighting, leaf: Optional[Certificate]) -> Optional[bool]:
    """Return whether the key beside a certificate is its own; None when it was not read."""
    if sighting.key is None or leaf is None or not sighting.key.spki or not leaf.spki:
        return None
    return leaf.has_key(sighting.key.spki)


def judge_key(sighting: Sighting, leaf: Optional[Certificate]) -> list[Finding]:
    """Return what is wrong with the key that lies with the certificate."""
    key = sighting.key
    if key is None or leaf is None:
        return []
    findings = []
    if key_matches(sighting, leaf) is False:
        message = f"{key.path} is not the private key of the certificate in {sighting.place}."
        evidence = {"key": key.path, "key_spki_sha256": key.spki, "spki_sha256": leaf.spki}
        findings.append(_finding(codes.KEY_MISMATCH, sighting, Severity.CRITICAL, message, evidence))
    if key.failure is not None:
        message = f"Whether {key.path} is the private key of {sighting.place} could not be found out: "
        message += key.failure.message
        evidence = {"kind": key.failure.kind, "key": key.path, **key.failure.evidence}
        remedy = key.failure.remedy
        findings.append(_finding(codes.KEY_UNKNOWN, sighting, Severity.UNKNOWN, message, evidence, remedy))
    if key.world_readable:
        message = f"Every user of this host can read {key.path}, the private key of {sighting.place}."
        findings.append(
            _finding(
                codes.KEY_WORLD_READABLE,
                sighting,
                Severity.WARNING,
                message,
                {"key": key.path},
                f"Run `chmod o-rwx {key.path}`; if others may have read it, have the certificate issued for a new key.",
            )
        )
    if key.work_tree:
        findings.append(_in_git(sighting, key))
    return findings


def _in_git(sighting: Sighting, key: KeyFile) -> Finding:
    evidence = {"key": key.path, "work_tree": key.work_tree, "tracked": key.tracked}
    if key.tracked is False:
        message = f"{key.path}, the private key of {sighting.place}, lies in the git work tree {key.work_tree}."
        remedy = "Keep it elsewhere, or at least in .gitignore: the next `git add` could take it."
        return _finding(codes.KEY_IN_GIT, sighting, Severity.INFO, message, evidence, remedy)
    how = "is kept in" if key.tracked else "may be kept in"
    message = f"{key.path}, the private key of {sighting.place}, {how} the git repository of {key.work_tree}."
    return _finding(codes.KEY_IN_GIT, sighting, Severity.WARNING, message, evidence)


def _finding(
    code: str, sighting: Sighting, severity: Severity, message: str, evidence: Mapping[str, object], remedy: str = ""
) -> Finding:
    return Finding(code, sighting.target, severity, message, evidence, remedy or codes.CODES[code].remedy)
