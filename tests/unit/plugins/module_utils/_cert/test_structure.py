"""How certificates hang together, what is weak in them, and what shows only when all are seen together."""

from __future__ import annotations

from datetime import datetime, timedelta, timezone
from typing import Any

import pytest

from ansible_collections.cadence.upkeep.plugins.module_utils._cert.across import copies_of, judge_together
from ansible_collections.cadence.upkeep.plugins.module_utils._cert.chain import chain_of, in_order
from ansible_collections.cadence.upkeep.plugins.module_utils._cert.evaluate import evaluate, judge
from ansible_collections.cadence.upkeep.plugins.module_utils._cert.model import (
    Certificate,
    Failure,
    Handshake,
    Hsts,
    KeyFile,
    Policy,
    Sighting,
)
from ansible_collections.cadence.upkeep.plugins.module_utils._cert.quality import allowed_lifetime
from ansible_collections.cadence.upkeep.plugins.module_utils._cert.records import record_of
from ansible_collections.cadence.upkeep.plugins.module_utils._cert.thresholds import Limit, parse_limit
from ansible_collections.cadence.upkeep.plugins.module_utils._cert.web import read_hsts
from ansible_collections.cadence.upkeep.plugins.module_utils._core.finding import Severity
from tests.unit.plugins.module_utils._cert.samples import (
    DAY,
    LIMITS,
    NOW,
    POLICY,
    authority,
    certificate,
    endpoint,
    file,
    spec,
)

LEAF = certificate(issuer="CN=I1")
I1 = authority(subject="CN=I1", issuer="CN=I2")
I2 = authority(subject="CN=I2", issuer="CN=R")
ROOT = authority(subject="CN=R", issuer="CN=R", self_issued=True)
STRANGER = authority(-DAY, subject="CN=S", issuer="CN=T")


def codes(sighting: Sighting, policy: Policy = POLICY) -> list[str]:
    return sorted(finding.code for finding in evaluate([sighting], policy, NOW))


@pytest.mark.parametrize(
    ("certificates", "roles", "path", "ordered"),
    [
        ((LEAF,), "leaf", (0,), True),
        ((LEAF, I1, I2, ROOT), "leaf intermediate intermediate root", (0, 1, 2, 3), True),
        ((LEAF, I2, I1), "leaf intermediate intermediate", (0, 2, 1), False),
        ((ROOT, I2, I1, LEAF), "root intermediate intermediate leaf", (3, 2, 1, 0), False),
        ((LEAF, I1, STRANGER), "leaf intermediate unused", (0, 1), True),
        ((LEAF, LEAF, I1), "leaf leaf intermediate", (0, 2), True),
        ((LEAF, I1, I1), "leaf intermediate intermediate", (0, 1), True),
        ((I1, I2), "leaf intermediate", (0, 1), True),
        ((I1, STRANGER), "leaf intermediate", (0,), True),  # a file of authorities: none is there for another
        ((ROOT, STRANGER), "leaf intermediate", (0,), True),
        ((ROOT, LEAF), "leaf leaf", (0,), True),
    ],
)
def test_the_roles_in_a_file(
    certificates: tuple[Certificate, ...], roles: str, path: tuple[int, ...], ordered: bool
) -> None:
    chain = chain_of(file(*certificates))
    assert " ".join(chain.roles) == roles
    assert (chain.path, in_order(chain)) == (path, ordered)


def test_a_loop_of_issuers_ends() -> None:
    a = authority(subject="CN=a", issuer="CN=b")
    b = authority(subject="CN=b", issuer="CN=a")
    assert chain_of(file(certificate(issuer="CN=a"), a, b)).path == (0, 1, 2)


def test_keys_tell_authorities_of_one_name_apart() -> None:
    old = authority(subject="CN=I1", issuer="CN=R", key_id="01")
    new = authority(subject="CN=I1", issuer="CN=R", key_id="02", serial="77")
    leaf = certificate(issuer="CN=I1", issuer_key_id="02")
    assert chain_of(file(leaf, old, new)).path == (0, 2)


def test_an_expired_cross_sign_that_nobody_needs_alarms_nobody() -> None:
    cross = authority(-DAY, subject="CN=R", issuer="CN=Gone")
    served = (LEAF, I1, I2, cross)
    # In a file, it is needed unless its issuer's name is trusted; an endpoint shows the way that was verified.
    assert judge(file(*served), POLICY, NOW).state == "expired"
    assert judge(file(*served), POLICY, NOW, frozenset(("CN=R",))).state == "ok"
    path = tuple(entry.fingerprint for entry in (LEAF, I1, I2, ROOT))
    verdict = judge(endpoint(*served, path=path, anchors=(ROOT,)), POLICY, NOW)
    assert (verdict.state, [judged.role for judged in verdict.chain][-1]) == ("ok", "unused")
    assert judge(endpoint(*served), POLICY, NOW).state == "expired"


def test_of_a_cross_sign_that_was_sent_for_nothing_only_that_is_said() -> None:
    cross = authority(-DAY, subject="CN=Root", issuer="CN=Old root", signature="sha1", key_type="rsa", key_bits=1024)
    issuer = authority(issuer="CN=Root")
    leaf = certificate()
    verdict = judge(endpoint(leaf, issuer, cross, path=(leaf.fingerprint, issuer.fingerprint, "root")), POLICY, NOW)
    assert [finding.code for finding in verdict.findings] == ["cert.valid", "cert.chain_order"]
    needed = judge(
        endpoint(leaf, issuer, cross, path=(leaf.fingerprint, issuer.fingerprint, cross.fingerprint)), POLICY, NOW
    )
    assert {"cert.expired", "cert.weak_key", "cert.weak_signature"} <= {finding.code for finding in needed.findings}


def test_authorities_of_the_host_decide_when_the_verified_way_does() -> None:
    above = authority(3 * DAY, subject="CN=I2", issuer="CN=R")
    path = tuple(entry.fingerprint for entry in (LEAF, I1, above, ROOT))
    seen = endpoint(LEAF, I1, path=path, anchors=(above, ROOT))
    assert judge(seen, POLICY, NOW).state == "ok"
    verdict = judge(seen, Policy(LIMITS, decide="verified"), NOW)
    assert verdict.state == "critical"
    assert "the intermediate CN=I2 has 3d left" in verdict.findings[0].message
    entry = record_of(verdict, POLICY, NOW)
    assert entry["chain_min_not_after"] == "2026-11-25T04:13:00Z"


def test_a_missing_issuer_in_a_file() -> None:
    finding = next(f for f in evaluate([file(LEAF, STRANGER)], POLICY, NOW) if f.code == "cert.chain_incomplete")
    assert finding.evidence == {"missing": "CN=I1"}
    trusted = evaluate([file(LEAF, STRANGER)], POLICY, NOW, frozenset(("CN=I1",)))
    assert "cert.chain_incomplete" not in {found.code for found in trusted}
    assert codes(file(LEAF)) == ["cert.valid"]  # alone in its file on purpose: certbot's cert.pem


@pytest.mark.parametrize(
    ("fields", "policy", "code"),
    [
        ({"key_type": "rsa", "key_bits": 1024}, {}, "cert.weak_key"),
        ({"key_type": "rsa", "key_bits": 2048}, {}, None),
        ({"key_type": "rsa", "key_bits": 2048}, {"min_rsa_bits": 3072}, "cert.weak_key"),
        ({"key_type": "dsa", "key_bits": 1024}, {}, "cert.weak_key"),
        ({"key_type": "ec-secp192r1", "key_bits": 192}, {}, "cert.weak_key"),
        ({"key_type": "ec-secp256r1", "key_bits": 256}, {}, None),
        ({"key_type": "ed25519", "key_bits": 256}, {"min_ec_bits": 500}, None),
        ({"key_type": "unknown"}, {}, None),
        ({"signature": "sha1"}, {}, "cert.weak_signature"),
        ({"signature": "1.2.840.113549.1.1.2"}, {}, "cert.weak_signature"),
        ({"signature": "sha1"}, {"weak_signatures": frozenset()}, None),
        ({"signature": "sha1", "self_issued": True}, {}, None),
        ({"must_staple": True}, {}, "cert.must_staple_without_ocsp"),
        ({"must_staple": True, "has_ocsp_url": True}, {}, None),
        ({"serial": "-9"}, {}, "cert.negative_serial"),
        ({"serial": "0"}, {}, "cert.negative_serial"),
        ({"names": ()}, {}, "cert.no_san"),
        ({"names": (), "is_ca": True}, {}, None),
        ({}, {"longest": Limit(seconds=89 * 86400.0)}, "cert.lifetime_too_long"),
        ({}, {"longest": Limit(seconds=90 * 86400.0)}, None),
        ({}, {"longest": Limit()}, None),
        ({}, {"renew_grace": parse_limit("1d")}, None),
        ({"not_before": NOW - 300 * DAY}, {"renew_grace": parse_limit("1d")}, "cert.renew_overdue"),
        ({"not_before": NOW - 300 * DAY}, {"renew_grace": parse_limit("61d")}, None),
    ],
)
def test_what_is_wrong_besides_the_dates(fields: dict[str, Any], policy: dict[str, Any], code: str | None) -> None:
    found = set(codes(file(certificate(**fields)), Policy(LIMITS, **policy)))
    assert found - {"cert.valid"} == ({code} if code else set())


@pytest.mark.parametrize(
    ("issued", "days"),
    [
        (datetime(2017, 1, 1, tzinfo=timezone.utc), None),
        (datetime(2019, 1, 1, tzinfo=timezone.utc), 825),
        (datetime(2026, 3, 14, tzinfo=timezone.utc), 398),
        (datetime(2026, 3, 15, tzinfo=timezone.utc), 200),
        (datetime(2027, 3, 15, tzinfo=timezone.utc), 100),
        (datetime(2029, 3, 15, tzinfo=timezone.utc), 47),
    ],
)
def test_what_browsers_allow_depends_on_the_day_of_issue(issued: datetime, days: int | None) -> None:
    assert allowed_lifetime(certificate(not_before=issued), Limit()) == (None if days is None else timedelta(days=days))


def test_a_weak_key_of_an_intermediate_is_found_and_that_of_a_root_is_not() -> None:
    weak = {"key_type": "rsa", "key_bits": 1024, "signature": "sha1"}
    above = authority(subject="CN=I1", issuer="CN=R", **weak)
    assert codes(file(LEAF, above)) == ["cert.weak_key", "cert.weak_signature"]
    root = authority(subject="CN=I1", issuer="CN=I1", self_issued=True, **weak)
    assert codes(file(LEAF, root)) == ["cert.root_in_chain", "cert.valid"]


def test_the_common_name_counts_only_if_so_wanted() -> None:
    seen = endpoint(certificate(names=(), common_name="www.example.org"))
    assert codes(seen) == ["cert.hostname_mismatch"]
    assert codes(seen, Policy(LIMITS, allow_cn=True)) == ["cert.no_san", "cert.valid"]
    other = endpoint(certificate(names=("b.example.org",), common_name="www.example.org"))
    assert codes(other, Policy(LIMITS, allow_cn=True)) == ["cert.hostname_mismatch"]


def test_a_clock_that_is_a_little_off() -> None:
    for ahead, code, severity in (
        (timedelta(minutes=10), "cert.clock_skew", Severity.WARNING),
        (timedelta(minutes=11), "cert.not_yet_valid", Severity.CRITICAL),
    ):
        (finding,) = evaluate([file(certificate(90 * DAY + ahead))], POLICY, NOW)
        assert (finding.code, finding.severity) == (code, severity)
        assert "is not valid before" in finding.message


# --- keys and endpoints ---


@pytest.mark.parametrize(
    ("key", "code", "severity"),
    [
        (KeyFile("/a.key", spki="aa"), "cert.key_mismatch", Severity.CRITICAL),
        (
            KeyFile("/a.key", failure=Failure("permission", "It may not.", "Let it.")),
            "cert.key_unknown",
            Severity.UNKNOWN,
        ),
        (KeyFile("/a.key", world_readable=True), "cert.key_world_readable", Severity.WARNING),
        (KeyFile("/a.key", work_tree="/r", tracked=True), "cert.key_in_git", Severity.WARNING),
        (KeyFile("/a.key", work_tree="/r", tracked=None), "cert.key_in_git", Severity.WARNING),
    ],
)
def test_what_is_wrong_with_a_key(key: KeyFile, code: str, severity: Severity) -> None:
    sighting = Sighting("/a.pem", "file", (certificate(spki="bb"),), key=key)
    (finding,) = evaluate([sighting], POLICY, NOW)
    assert (finding.code, finding.severity) == (code, severity)
    assert "/a.key" in finding.message
    assert finding.remedy


def test_one_that_ended_after_it_had_shown_its_certificate() -> None:
    wants = Failure("client_cert_required", "It wants one.", "Give it one.", {"alert": "X"})
    verdict = judge(endpoint(certificate(), refused=wants), POLICY, NOW)
    assert (verdict.state, [finding.code for finding in verdict.findings]) == (
        "ok", ["cert.valid", "cert.client_cert_required"],
    )  # fmt: skip
    assert record_of(verdict, POLICY, NOW)["error"]["kind"] == "client_cert_required"
    gone = Failure("reset", "It went.", "Look.", {})
    assert judge(endpoint(certificate(), refused=gone), POLICY, NOW).state == "unknown"


@pytest.mark.parametrize(
    ("agreed", "accepted", "least", "old"),
    [
        ("TLSv1.3", None, "TLSv1.2", None),
        ("TLSv1.1", None, "TLSv1.2", ["TLSv1.1"]),
        ("TLSv1.3", ("TLSv1", "TLSv1.3"), "TLSv1.2", ["TLSv1"]),
        ("SSLv3", None, "TLSv1", ["SSLv3"]),
        ("TLSv1.2", ("TLSv1.2",), "TLSv1.3", ["TLSv1.2"]),
    ],
)
def test_old_versions(agreed: str, accepted: tuple[str, ...] | None, least: str, old: list[str] | None) -> None:
    seen = endpoint(certificate(), tls_version=agreed, tls_versions=accepted)
    (finding,) = evaluate([seen], Policy(LIMITS, min_tls=least), NOW)
    assert finding.code == ("cert.tls_version_low" if old else "cert.valid")
    assert finding.evidence.get("accepted") == old


@pytest.mark.parametrize(
    ("head", "hsts"),
    [
        ("HTTP/1.1 200 OK\r\nStrict-Transport-Security: max-age=1; includeSubDomains", Hsts(1, True, False)),
        ('HTTP/1.1 200 OK\r\nSTRICT-TRANSPORT-SECURITY:preload;MAX-AGE = "20"', Hsts(20, False, True)),
        ("HTTP/1.1 200 OK\r\nStrict-Transport-Security: includeSubDomains", Hsts(None, True, False)),
        ("HTTP/1.1 200 OK\r\nX: max-age=1\r\n", Hsts(None)),
        (
            "HTTP/1.1 200 OK\r\nStrict-Transport-Security: max-age=1\r\nStrict-Transport-Security: max-age=9",
            Hsts(1),
        ),
        ("HTTP/1.1 200 OK\r\nStrict-Transport-Security: max-age=1x", Hsts(None)),
    ],
)
def test_the_header_of_hsts(head: str, hsts: Hsts) -> None:
    assert read_hsts(head) == hsts


# --- together ---


def test_one_serial_for_two_certificates() -> None:
    first = file(certificate(serial="7", subject="CN=a"), path="/a.pem")
    second = file(certificate(serial="7", subject="CN=b"), path="/b.pem")
    again = file(certificate(serial="7", subject="CN=a"), path="/c.pem")
    other = file(certificate(serial="7", issuer="CN=Other CA"), path="/d.pem")
    found = judge_together([first, second, again, other])
    assert {target: [finding.code for finding in findings] for target, findings in found.items()} == {
        "/a.pem": ["cert.duplicate_serial"],
        "/b.pem": ["cert.duplicate_serial"],
        "/c.pem": ["cert.duplicate_serial", "cert.duplicate_file"],
    }
    assert found["/a.pem"][0].evidence["seen_in"] == ["/a.pem", "/b.pem", "/c.pem"]


def test_files_that_hold_the_same() -> None:
    one, chain = certificate(), (certificate(), authority())
    files = [file(one, path="/b.pem"), file(one, path="/a.pem"), file(*chain, path="/fullchain.pem")]
    assert copies_of([*files, endpoint(one)]) == {"/b.pem": "/a.pem"}


def test_addresses_that_serve_different_certificates() -> None:
    old, new = certificate(40 * DAY, serial="1"), certificate(80 * DAY, serial="2")

    def at(ip: str, shown: Certificate) -> Sighting:
        of = spec(target=f"shop at {ip}", address_of="shop")
        return Sighting(of.target, "endpoint", (shown,), handshake=Handshake(of, ip, "TLSv1.3", True))

    sightings = [at("192.0.2.1", new), at("192.0.2.2", old), at("192.0.2.3", new)]
    found = judge_together(sightings)
    assert list(found) == ["shop at 192.0.2.2"]
    (finding,) = found["shop at 192.0.2.2"]
    assert (finding.code, finding.evidence["endpoint"]) == ("cert.addresses_differ", "shop")
    assert judge_together([at("192.0.2.1", new), at("192.0.2.2", new)]) == {}
