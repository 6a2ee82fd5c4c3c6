"""The judgement of every kind of sighting, for any instant."""

from __future__ import annotations

from datetime import timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ansible_collections.cadence.upkeep.plugins.module_utils._cert.codes import CODES
from ansible_collections.cadence.upkeep.plugins.module_utils._cert.evaluate import evaluate, judge
from ansible_collections.cadence.upkeep.plugins.module_utils._cert.model import (
    ENDPOINT,
    Failure,
    Limits,
    Policy,
    Sighting,
)
from ansible_collections.cadence.upkeep.plugins.module_utils._cert.thresholds import Limit, parse_limit
from ansible_collections.cadence.upkeep.plugins.module_utils._core.finding import Finding, Severity
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

HOUR = timedelta(hours=1)


def only(sighting: Sighting, policy: Policy = POLICY) -> Finding:
    (finding,) = evaluate([sighting], policy, NOW)
    return finding


def codes(sighting: Sighting, policy: Policy = POLICY) -> list[str]:
    return [finding.code for finding in evaluate([sighting], policy, NOW)]


@pytest.mark.parametrize(
    ("left", "lifetime", "code", "severity", "state"),
    [
        (90 * DAY, 90 * DAY, "cert.valid", Severity.OK, "ok"),
        (22.5 * DAY + timedelta(seconds=1), 90 * DAY, "cert.valid", Severity.OK, "ok"),
        (22.5 * DAY, 90 * DAY, "cert.expires_soon", Severity.WARNING, "warning"),  # the limit itself warns
        (7 * DAY + timedelta(seconds=1), 90 * DAY, "cert.expires_soon", Severity.WARNING, "warning"),
        (7 * DAY, 90 * DAY, "cert.expires_soon", Severity.CRITICAL, "critical"),
        (timedelta(seconds=1), 90 * DAY, "cert.expires_soon", Severity.CRITICAL, "critical"),
        (0 * DAY, 90 * DAY, "cert.expired", Severity.CRITICAL, "expired"),
        (-1 * DAY, 90 * DAY, "cert.expired", Severity.CRITICAL, "expired"),
        (91 * DAY, 90 * DAY, "cert.not_yet_valid", Severity.CRITICAL, "not_yet_valid"),
        (-2 * DAY, -1 * DAY, "cert.expired", Severity.CRITICAL, "expired"),  # never was valid
        (30 * DAY, 3652 * DAY, "cert.expires_soon", Severity.WARNING, "warning"),
        (31 * DAY, 3652 * DAY, "cert.valid", Severity.OK, "ok"),
        (41 * HOUR, 160 * HOUR, "cert.valid", Severity.OK, "ok"),
        (40 * HOUR, 160 * HOUR, "cert.expires_soon", Severity.WARNING, "warning"),
        (16 * HOUR, 160 * HOUR, "cert.expires_soon", Severity.CRITICAL, "critical"),
        (7 * HOUR, 24 * HOUR, "cert.valid", Severity.OK, "ok"),
        (6 * HOUR, 24 * HOUR, "cert.expires_soon", Severity.WARNING, "warning"),
        (2 * HOUR, 24 * HOUR, "cert.expires_soon", Severity.CRITICAL, "critical"),
    ],
)
def test_severity_follows_the_time_left(
    left: timedelta, lifetime: timedelta, code: str, severity: Severity, state: str
) -> None:
    sighting = file(certificate(left, lifetime))
    finding = only(sighting)
    assert (finding.code, finding.severity) == (code, severity)
    assert judge(sighting, POLICY, NOW).state == state
    assert finding.remedy == CODES[code].remedy


def test_a_message_has_the_numbers_and_the_limits() -> None:
    finding = only(file(certificate(5 * DAY)))
    assert finding.message == (
        "/etc/ssl/a.pem has 5d left, until 2026-11-27T04:13:00Z (warning at 22d 12h, critical at 7d)."
    )
    assert finding.evidence["remaining_days"] == 5.0
    assert finding.evidence["critical_seconds"] == 7 * 86400


@pytest.mark.parametrize(
    ("left", "words"),
    [
        (-3 * DAY, "/etc/ssl/a.pem expired 3d ago, on 2026-11-19T04:13:00Z."),
        (91 * DAY, "/etc/ssl/a.pem is not valid before 2026-11-23T04:13:00Z, in 1d."),
    ],
)
def test_a_message_says_what_is_past_and_what_is_to_come(left: timedelta, words: str) -> None:
    assert only(file(certificate(left))).message == words


def test_an_intermediate_that_ends_decides_too() -> None:
    sighting = file(certificate(), authority(3 * DAY))
    finding = only(sighting)
    assert (finding.code, finding.severity) == ("cert.expires_soon", Severity.CRITICAL)
    assert finding.message.startswith("/etc/ssl/a.pem: the intermediate CN=Example CA has 3d left")
    assert finding.evidence["role"] == "intermediate"
    alone = codes(sighting, Policy(LIMITS, decide="leaf"))
    assert alone == ["cert.valid", "cert.chain_expires_before_leaf"]


def test_a_root_never_decides() -> None:
    root = authority(-DAY, self_issued=True)
    verdict = judge(file(certificate(), root), POLICY, NOW)
    assert verdict.state == "ok"
    assert [(judged.role, judged.state) for judged in verdict.chain] == [("leaf", "ok"), ("root", "expired")]


def test_alone_in_its_file_a_root_is_the_leaf() -> None:
    assert codes(file(authority(-DAY, self_issued=True))) == ["cert.expired"]


def test_several_leaves_in_one_file_all_decide() -> None:
    ends = [certificate(days * DAY, subject=f"CN={days}") for days in (60, 2, -1, 1)]
    found = {finding.code: finding for finding in evaluate([file(*ends)], POLICY, NOW)}
    assert set(found) == {"cert.expired", "cert.expires_soon"}
    soon = found["cert.expires_soon"]
    assert soon.evidence["certificate"] == "CN=1"
    assert soon.evidence["others"] == ["CN=2"]
    assert soon.evidence["others_count"] == 1
    assert judge(file(*ends), POLICY, NOW).state == "expired"
    assert {judged.role for judged in judge(file(*ends), POLICY, NOW).chain} == {"leaf"}
    assert set(found) == set(codes(file(*ends), Policy(LIMITS, decide="leaf")))


def test_a_certificate_sent_twice_counts_once() -> None:
    twice = certificate(2 * DAY)
    assert "others" not in only(file(twice, twice)).evidence


def test_evidence_stays_small() -> None:
    many = [certificate(DAY, subject=f"CN={number}") for number in range(1000)]
    assert len(only(file(*many)).evidence["others"]) == 20


@pytest.mark.parametrize("kind", ["file", "endpoint"])
def test_what_could_not_be_looked_at_is_unknown(kind: str) -> None:
    failure = Failure("refused", "It refuses.", "Start it.", {"port": 443})
    finding = only(Sighting("it", kind, failures=(failure,)))
    assert finding.code == ("cert.unreachable" if kind == ENDPOINT else "cert.unreadable")
    assert finding.severity is Severity.UNKNOWN
    assert finding.evidence == {"kind": "refused", "port": 443}
    assert (finding.message, finding.remedy) == ("It refuses.", "Start it.")


def test_a_failure_without_a_remedy_gets_that_of_its_code() -> None:
    finding = only(Sighting("it", ENDPOINT, failures=(Failure("refused", "It refuses.", ""),)))
    assert finding.remedy == CODES["cert.unreachable"].remedy


def test_a_rotten_part_leaves_the_rest_judged() -> None:
    rotten = Failure("parse", "Certificate 2 of 2 cannot be read.", "Replace it.")
    assert codes(file(certificate(-DAY), failures=(rotten,))) == ["cert.unreadable", "cert.expired"]
    assert codes(file(certificate(), failures=(rotten,))) == ["cert.unreadable"]


def test_what_of_a_certificate_cannot_be_read_is_unknown_and_its_dates_are_judged() -> None:
    odd = certificate(5 * DAY, unread="its extensions (duplicate)", names=())
    found = evaluate([endpoint(odd)], POLICY, NOW)
    assert [finding.code for finding in found] == ["cert.expires_soon", "cert.unreadable"]
    assert "its extensions (duplicate)" in found[1].message
    assert judge(endpoint(odd), POLICY, NOW).hostname_ok is None


@pytest.mark.parametrize(
    ("names", "verify", "wanted", "missing"),
    [
        (("www.example.org",), True, (), None),
        (("mail.example.org",), True, (), ["www.example.org"]),
        (("mail.example.org",), False, (), None),
        (("www.example.org",), False, ("mail.example.org",), ["mail.example.org"]),
        ((), True, ("www.example.org", "b.example.org"), ["www.example.org", "b.example.org"]),
    ],
)
def test_names_that_are_missing_are_found(
    names: tuple[str, ...], verify: bool, wanted: tuple[str, ...], missing: list[str] | None
) -> None:
    sighting = endpoint(certificate(names=names), of=spec(verify=verify))
    finding = only(sighting, Policy(LIMITS, names=wanted))
    assert finding.code == ("cert.valid" if missing is None else "cert.hostname_mismatch")
    assert finding.evidence.get("missing") == missing
    assert judge(sighting, POLICY, NOW).hostname_ok is ("www.example.org" in names)


def test_a_mismatch_says_which_names_there_are() -> None:
    several = certificate(names=tuple(f"{letter}.example.org" for letter in "abcd"))
    assert only(endpoint(several)).message == (
        "192.0.2.1:443 has a certificate that does not stand for www.example.org: "
        "it has only a.example.org, b.example.org, c.example.org, ...."
    )
    assert "no subject alternative name at all" in only(endpoint(certificate(names=()))).message


def test_names_are_wanted_of_files_too() -> None:
    assert codes(file(certificate()), Policy(LIMITS, names=("www.example.org",))) == ["cert.valid"]
    assert codes(file(certificate()), Policy(LIMITS, names=("b.example.org",))) == ["cert.hostname_mismatch"]


def test_an_endpoint_can_have_limits_of_its_own() -> None:
    strict = Limits((parse_limit("89d"),), (parse_limit("80d"),))
    assert only(endpoint(certificate(85 * DAY), of=spec(limits=strict))).severity is Severity.WARNING
    assert only(endpoint(certificate(85 * DAY))).severity is Severity.OK


def test_an_endpoint_by_another_name_is_shown_with_its_address() -> None:
    named = only(endpoint(certificate(DAY), of=spec(target="shop")))
    assert named.message.startswith("shop (192.0.2.1:443) has 1d left")
    assert spec(host="::1", target="[::1]:443").place == "[::1]:443"


def test_every_target_gets_a_finding_and_every_code_is_in_the_dictionary() -> None:
    sightings = [file(certificate(days * DAY), path=f"/{days}.pem") for days in range(-2, 100, 7)]
    findings = evaluate(sightings, POLICY, NOW)
    assert {finding.subject for finding in findings} == {sighting.target for sighting in sightings}
    assert {finding.code for finding in findings} <= set(CODES)


RANK = {"ok": 0, "warning": 1, "critical": 2, "expired": 3}
SECONDS = st.integers(0, 4000 * 86400).map(lambda seconds: timedelta(seconds=seconds))
SOME_LIMITS = st.lists(
    st.one_of(st.builds(Limit, seconds=st.floats(0, 1e9)), st.builds(Limit, share=st.floats(0, 1))), max_size=3
).map(tuple)


@given(SECONDS, SECONDS, SECONDS, st.builds(Limits, SOME_LIMITS, SOME_LIMITS))
def test_as_time_goes_by_a_state_only_gets_worse(
    lifetime: timedelta, first: timedelta, later: timedelta, limits: Limits
) -> None:
    subject = certificate(lifetime=lifetime)
    at = subject.not_before + first
    policy = Policy(limits)
    states = [judge(file(subject), policy, instant).state for instant in (at, at + later)]
    assert RANK[states[0]] <= RANK[states[1]]


@given(SECONDS, SECONDS, SOME_LIMITS, SOME_LIMITS)
def test_one_more_limit_never_makes_it_worse(
    left: timedelta, lifetime: timedelta, some: tuple[Limit, ...], more: tuple[Limit, ...]
) -> None:
    """The sooner of several counts, which is the later alarm."""
    sighting = file(certificate(min(left, lifetime), lifetime))
    few = judge(sighting, Policy(Limits(some or (Limit(share=1.0),), ())), NOW).severity
    many = judge(sighting, Policy(Limits((some or (Limit(share=1.0),)) + more, ())), NOW).severity
    assert many <= few
