# Copyright (c) 2026 Upkeep maintainers
# GNU General Public License v3.0-or-later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Look at a certificate and its key before anything live is touched: is it what the servers should serve?"""

from __future__ import annotations

import re
from collections.abc import Mapping
from datetime import datetime, timedelta
from typing import Any

from ansible_collections.cadence.upkeep.plugins.module_utils._cert import codes, library
from ansible_collections.cadence.upkeep.plugins.module_utils._cert.argspec import ARGUMENT_SPEC, RULES
from ansible_collections.cadence.upkeep.plugins.module_utils._cert.check import check
from ansible_collections.cadence.upkeep.plugins.module_utils._cert.deploy.model import Wanted
from ansible_collections.cadence.upkeep.plugins.module_utils._cert.deploy.store import LARGEST_FILE, PUBLIC
from ansible_collections.cadence.upkeep.plugins.module_utils._cert.deploy.trial import try_out
from ansible_collections.cadence.upkeep.plugins.module_utils._cert.files import read_regular
from ansible_collections.cadence.upkeep.plugins.module_utils._cert.model import Certificate
from ansible_collections.cadence.upkeep.plugins.module_utils._cert.pem import blocks
from ansible_collections.cadence.upkeep.plugins.module_utils._core.argspec import validate
from ansible_collections.cadence.upkeep.plugins.module_utils._core.finding import Finding, Severity
from ansible_collections.cadence.upkeep.plugins.module_utils._core.times import rfc3339

# Sentences, each with its evidence.
Reasons = list[tuple[str, dict[str, Any]]]
# Authorities let certificates begin an hour ago, for clients whose clocks are slow.
_BACKDATED = timedelta(hours=2)
_CERTIFICATE = re.compile(rb"-----BEGIN CERTIFICATE-----.*?-----END CERTIFICATE-----", re.DOTALL)
_KEY = re.compile(rb"-----BEGIN ((?:[A-Z0-9]{1,20} )?(?:ENCRYPTED )?PRIVATE KEY)-----.*?-----END \1-----", re.DOTALL)


def read_sources(sources: Mapping[str, str]) -> dict[str, bytes]:
    """Return the candidate's files in all the forms that a server may want. Raises ``CannotLook``."""
    return all_forms(*(read_regular(sources[key], LARGEST_FILE) for key in ("fullchain", "privkey")))


def all_forms(fullchain: bytes, privkey: bytes) -> dict[str, bytes]:
    """Return every file that certificates and a key make, by the keys of ``store.FILES``.

    ``cert`` and ``chain`` are the first certificate and the others, ``bundle`` is the key and then all of them.
    """
    # A file that holds both is taken apart: no key goes where everybody may read.
    public = fullchain if not _KEY.search(fullchain) else _lines(match[0] for match in _CERTIFICATE.finditer(fullchain))
    secret = privkey if not _CERTIFICATE.search(privkey) else _lines(match[0] for match in _KEY.finditer(privkey))
    certificates = [match[0] for match in _CERTIFICATE.finditer(public)]
    return {
        "fullchain": public,
        "privkey": secret,
        "cert": _lines(certificates[:1]),
        "chain": _lines(certificates[1:]),
        "bundle": secret.rstrip(b"\n") + b"\n" + public,
    }


def rejoined(files: Mapping[str, bytes]) -> dict[str, bytes]:
    """Return all forms of what an archive kept in some of them."""
    fullchain = files.get("fullchain") or files.get("bundle") or files.get("cert", b"") + files.get("chain", b"")
    return {**all_forms(fullchain, files.get("privkey") or files.get("bundle", b"")), **files}


def _lines(blocks_of: Any) -> bytes:
    return b"".join(block + b"\n" for block in blocks_of)


def leaf_of(files: Mapping[str, bytes]) -> Certificate | None:
    """Return the certificate of a set of files, the first in it; ``None`` when there is none that can be read."""
    content = next((files[key] for key in PUBLIC if files.get(key)), b"")
    with library.quiet():
        for block in blocks(content):
            if block.der:
                try:
                    return library.load(block.der)
                except ValueError:
                    return None
    return None


def judge(wanted: Wanted, files: Mapping[str, bytes], live: Mapping[str, bytes], now: datetime) -> list[Finding]:
    """Return what stands against deploying *files* (in all forms) where *live* is now, one finding for each reason."""
    reasons = _by_the_check(wanted, files, now)
    leaf = leaf_of(files)
    if leaf is not None:
        reasons += _by_the_key(wanted, files, leaf)
        reasons += _by_age(wanted, leaf, live, now)
        if not reasons:
            problem = try_out(files["fullchain"], files["privkey"], wanted.ca_path, wanted.verify)
            reasons += [(problem, {"reason": "trial"})] if problem else []
    elif not reasons:
        reasons.append((f"{wanted.origin} holds no certificate in PEM.", {"reason": "no_certificate"}))
    return [_against(wanted, message, evidence) for message, evidence in reasons]


def _by_the_check(wanted: Wanted, files: Mapping[str, bytes], now: datetime) -> Reasons:
    """Whatever ``cert_expiry`` calls unknown or critical stands against it."""
    params: dict[str, Any] = {
        "content": [{"name": wanted.origin, "content": files["fullchain"].decode("utf-8", errors="replace")}],
        "names": list(wanted.names),
        "critical": list(wanted.min_remaining),
    }
    outcome = check(validate("cert_expiry", ARGUMENT_SPEC, params, RULES).params, now)
    return [
        (finding.message, {"reason": finding.code, **finding.evidence})
        for finding in outcome.findings
        if finding.severity >= Severity.UNKNOWN and not (wanted.lenient and finding.code == codes.EXPIRES_SOON)
    ]


def _by_the_key(wanted: Wanted, files: Mapping[str, bytes], leaf: Certificate) -> Reasons:
    block = _KEY.search(files["privkey"])
    whose = f"The private key for {wanted.origin}"
    try:
        matches = leaf.has_key(library.public_half(block[0] if block else b"", ()))
    except library.NoPassphrase:
        return [(f"{whose} is encrypted: no server could read it without a word.", {"reason": "encrypted_key"})]
    except ValueError:
        # The library's own words could show parts of what it was given.
        return [(f"{whose} cannot be read.", {"reason": "no_key"})]
    return [] if matches else [(f"{whose} does not belong to it.", {"reason": "key_mismatch"})]


def _by_age(wanted: Wanted, leaf: Certificate, live: Mapping[str, bytes], now: datetime) -> Reasons:
    present = leaf_of(live)
    if present is None or wanted.lenient or present.self_issued or present.not_after <= now:
        return []
    backdated = leaf.not_before + _BACKDATED >= present.not_before and leaf.not_after >= present.not_after
    if leaf.not_before >= present.not_before or backdated:
        return []
    message = f"It was issued on {rfc3339(leaf.not_before)}, before the one in place ({rfc3339(present.not_before)})."
    return [(message, {"reason": "older", "serial": leaf.serial, "live_serial": present.serial})]


def _against(wanted: Wanted, message: str, evidence: Mapping[str, Any]) -> Finding:
    lifted = evidence.get("reason") in ("older", codes.EXPIRES_SOON)
    return Finding(
        "cert.candidate_refused",
        wanted.name,
        Severity.CRITICAL,
        f"{wanted.name}: the certificate was not deployed, and what is in place was not touched. {message}",
        dict(evidence),
        "Mend the certificate where it comes from." + (" If it is meant, set force to true." if lifted else ""),
    )


def summary_of(files: Mapping[str, bytes]) -> dict[str, Any]:
    """Return what may be told of a set of files: never a byte of a key."""
    leaf = leaf_of(files)
    if leaf is None:
        return {}
    return {
        "subject": leaf.subject,
        "issuer": leaf.issuer,
        "serial": leaf.serial,
        "fingerprint_sha256": leaf.fingerprint,
        "not_before": rfc3339(leaf.not_before),
        "not_after": rfc3339(leaf.not_after),
        "san": list(leaf.names[:20]),
    }
