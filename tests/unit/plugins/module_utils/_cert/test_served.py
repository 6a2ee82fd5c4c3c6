"""What an endpoint serves: trusted, and equal to the file?"""

from __future__ import annotations

from datetime import timedelta

import pytest

from ansible_collections.cadence.upkeep.plugins.module_utils._cert.evaluate import evaluate, judge
from ansible_collections.cadence.upkeep.plugins.module_utils._cert.model import Failure, Sighting
from ansible_collections.cadence.upkeep.plugins.module_utils._core.finding import Finding, Severity
from tests.unit.plugins.module_utils._cert.samples import DAY, NOW, POLICY, authority, certificate, endpoint, spec

FILE = "/etc/ssl/shop.pem"


def findings(sighting: Sighting) -> list[Finding]:
    return evaluate([sighting], POLICY, NOW)


def only(sighting: Sighting) -> Finding:
    (finding,) = findings(sighting)
    return finding


@pytest.mark.parametrize(
    ("verified", "error", "number", "code", "severity"),
    [
        (True, "", 0, "cert.valid", Severity.OK),
        (None, "", 0, "cert.valid", Severity.OK),  # nobody asked
        (None, "/ca.pem is empty.", 0, "cert.unverified", Severity.UNKNOWN),
        (False, "self-signed certificate", 18, "cert.self_signed", Severity.WARNING),
        (False, "unable to get local issuer certificate", 20, "cert.chain_incomplete", Severity.CRITICAL),
        (False, "certificate signature failure", 7, "cert.untrusted", Severity.CRITICAL),
        (False, "certificate has expired", 10, "cert.untrusted", Severity.CRITICAL),  # one that was not shown
    ],
)
def test_trust(verified: bool | None, error: str, number: int, code: str, severity: Severity) -> None:
    finding = only(endpoint(certificate(), verified=verified, verify_error=error, verify_code=number))
    assert (finding.code, finding.severity) == (code, severity)
    assert verified is not None or not error or f"was not verified: {error}" in finding.message
    assert bool(finding.remedy) is (code != "cert.valid")


def test_the_authorities_that_were_asked_are_named() -> None:
    untrusted = {"verified": False, "verify_error": "no issuer", "verify_code": 20}
    chain = (certificate(), authority(subject="CN=Example CA", issuer="CN=Root"))
    assert "the authorities of this host" in only(endpoint(*chain, **untrusted)).message
    own = only(endpoint(*chain, of=spec(ca_path="/ca.pem"), **untrusted))
    assert "against /ca.pem: no issuer." in own.message


@pytest.mark.parametrize("left", [-DAY, 91 * DAY])
def test_an_expired_certificate_is_not_called_untrusted_too(left: timedelta) -> None:
    expired = endpoint(certificate(left), verified=False, verify_error="certificate has expired", verify_code=10)
    assert only(expired).code in ("cert.expired", "cert.not_yet_valid")


def test_a_clock_that_is_a_little_off_is_said_once() -> None:
    early = endpoint(
        certificate(90 * DAY + timedelta(minutes=5)), verified=False, verify_error="not yet valid", verify_code=9
    )
    assert (only(early).code, only(early).severity) == ("cert.clock_skew", Severity.WARNING)


def test_an_expired_certificate_of_an_unknown_issuer_is_both() -> None:
    both = endpoint(certificate(-DAY), verified=False, verify_error="no issuer", verify_code=20)
    assert [finding.code for finding in findings(both)] == ["cert.expired", "cert.chain_incomplete"]


def test_what_is_served_equals_the_file() -> None:
    same = endpoint(certificate(), of=spec(expect_file=FILE), expected=certificate())
    assert only(same).code == "cert.valid"
    assert judge(same, POLICY, NOW).served_matches is True
    assert judge(endpoint(certificate()), POLICY, NOW).served_matches is None


@pytest.mark.parametrize(
    ("file_left", "newer", "words"),
    [
        (85, "file", "renewed, but not reloaded"),
        (20, "served", "a stale file"),
        (60, "neither", "of the same age"),
    ],
)
def test_of_two_that_differ_the_newer_is_named(file_left: int, newer: str, words: str) -> None:
    on_disk = certificate(file_left * DAY, serial="2a")
    sighting = endpoint(certificate(), of=spec(target="shop", expect_file=FILE), expected=on_disk)
    finding = only(sighting)
    assert (finding.code, finding.severity) == ("cert.served_differs", Severity.WARNING)
    assert finding.evidence["newer"] == newer
    assert finding.evidence["served"]["serial"] == "1f"
    assert finding.evidence["file"]["serial"] == "2a"
    assert finding.evidence["file"]["path"] == FILE
    assert FILE in finding.message
    assert words in finding.message
    assert finding.message.startswith("shop (192.0.2.1:443) ")
    assert "192.0.2.1:443" in finding.remedy
    assert judge(sighting, POLICY, NOW).served_matches is False


def test_a_file_that_cannot_be_read_is_unknown_beside_the_dates() -> None:
    failure = Failure("not_regular", f"{FILE} is a directory, not a file.", "Name a file.", {"path": FILE})
    sighting = endpoint(certificate(DAY), of=spec(expect_file=FILE), expected_failure=failure)
    soon, unknown = findings(sighting)
    assert soon.code == "cert.expires_soon"
    assert (unknown.code, unknown.severity, unknown.remedy) == ("cert.served_unknown", Severity.UNKNOWN, "Name a file.")
    assert unknown.evidence == {"kind": "not_regular", "expect_file": FILE, "path": FILE}
    assert f"{FILE} is a directory" in unknown.message
    assert judge(sighting, POLICY, NOW).served_matches is None


def test_a_fingerprint_is_compared() -> None:
    right = certificate()
    assert only(endpoint(right, of=spec(expect_fingerprint=right.fingerprint))).code == "cert.valid"
    wrong = only(endpoint(right, of=spec(expect_fingerprint="0" * 64)))
    assert (wrong.code, wrong.severity) == ("cert.served_differs", Severity.CRITICAL)


def test_nothing_is_compared_when_nothing_could_be_read() -> None:
    rotten = Failure("parse", "It sent a certificate that cannot be read.", "Replace it.")
    shown = endpoint(of=spec(expect_file=FILE, expect_fingerprint="0" * 64), expected=certificate())
    sighting = Sighting(shown.target, shown.kind, (), (rotten,), shown.handshake)
    assert only(sighting).code == "cert.unreachable"
    verdict = judge(sighting, POLICY, NOW)
    assert (verdict.served_matches, verdict.hostname_ok) == (None, None)
