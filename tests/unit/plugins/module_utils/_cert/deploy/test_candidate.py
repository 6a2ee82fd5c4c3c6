"""Is it what the servers should serve? Everything that is wrong with it is said, and no byte of a key."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from ansible_collections.cadence.upkeep.plugins.module_utils._cert.deploy import candidate, trial
from ansible_collections.cadence.upkeep.plugins.module_utils._cert.deploy.candidate import (
    all_forms,
    judge,
    leaf_of,
    rejoined,
    summary_of,
)
from ansible_collections.cadence.upkeep.plugins.module_utils._cert.deploy.model import Wanted
from ansible_collections.cadence.upkeep.plugins.module_utils._cert.deploy.store import store_of
from tests.bed.tls import Authority, Issued

NAME = "shop.example.org"


@pytest.fixture
def ca_path(authority: Authority, tmp_path: Path) -> str:
    return str(authority.write(tmp_path))


def wanted(ca_path: str, **given: Any) -> Wanted:
    known = {"origin": "/new/fullchain.pem", "names": (NAME,), "ca_path": ca_path}
    return Wanted("shop", store_of("shop", {"fullchain": "/tls/a.crt"}), **{**known, **given})


def forms(issued: Issued) -> dict[str, bytes]:
    return all_forms(issued.chain_pem, issued.key_pem)


def reasons(want: Wanted, files: dict[str, bytes], live: dict[str, bytes] | None = None) -> list[str]:
    findings = judge(want, files, live or {}, datetime.now(UTC))
    assert {finding.code for finding in findings} <= {"cert.candidate_refused"}
    assert not any(
        line in str(findings) for line in files["privkey"].decode(errors="replace").split("\n") if len(line) > 40
    )
    return [finding.evidence["reason"] for finding in findings]


@pytest.mark.parametrize("key_type", ["ec256", "ec384", "rsa2048", "ed25519"])
def test_nothing_stands_against_a_good_one(authority: Authority, ca_path: str, key_type: Any) -> None:
    assert reasons(wanted(ca_path), forms(authority.issue(NAME, key_type=key_type))) == []


def test_all_that_is_wrong_is_said_at_once(authority: Authority, ca_path: str) -> None:
    bad = authority.issue("other.example.org", days=-1)
    files = all_forms(bad.chain_pem, authority.issue(NAME).key_pem)
    assert sorted(reasons(wanted(ca_path), files)) == ["cert.expired", "cert.hostname_mismatch", "key_mismatch"]


@pytest.mark.parametrize(
    ("days", "limits", "expected"),
    [
        (6.9, ("7d", "10%"), ["cert.expires_soon"]),
        (7.1, ("7d",), []),
        (1, ("0",), []),
        (50, ("60d",), ["cert.expires_soon"]),
    ],
)
def test_what_must_be_left_is_for_the_user_to_say(
    authority: Authority, ca_path: str, days: float, limits: tuple[str, ...], expected: list[str]
) -> None:
    files = forms(authority.issue(NAME, days=days, lifetime=70))
    assert reasons(wanted(ca_path, min_remaining=limits), files) == expected
    assert reasons(wanted(ca_path, min_remaining=limits, force=True), files) == []


def test_the_age_counts_only_where_it_says_something(authority: Authority, ca_path: str) -> None:
    now = datetime.now(UTC)

    def issued(hours: float, days: float = 60) -> dict[str, bytes]:
        begin = now - timedelta(hours=hours)
        return forms(authority.issue(NAME, not_before=begin, not_after=now + timedelta(days=days)))

    present = issued(hours=24)
    assert reasons(wanted(ca_path), issued(hours=240), present) == ["older"]
    assert reasons(wanted(ca_path, force=True), issued(hours=240), present) == []
    assert reasons(wanted(ca_path, state="restored"), issued(hours=240), present) == []
    assert reasons(wanted(ca_path), issued(hours=25, days=61), present) == [], "authorities date an hour back"
    assert reasons(wanted(ca_path), issued(hours=25, days=59), present) == ["older"]
    assert reasons(wanted(ca_path), issued(hours=240), issued(hours=24, days=-0.1)) == [], "that one has expired"
    provisional = {"fullchain": Authority().certificate_pem}
    assert reasons(wanted(ca_path), issued(hours=9000), provisional) == [], "a self-signed one is no better for its age"
    assert reasons(wanted(ca_path), issued(hours=240), {"fullchain": b"garbage"}) == []


def test_a_chain_that_leads_nowhere(authority: Authority, ca_path: str) -> None:
    stranger = forms(Authority().issue(NAME))
    assert reasons(wanted(ca_path), stranger) == ["trial"]
    assert reasons(wanted(ca_path, verify=False), stranger) == []
    (finding,) = judge(wanted("/nowhere"), forms(authority.issue(NAME)), {}, datetime.now(UTC))
    assert "cannot be found out" in finding.message


def test_without_memory_files_the_trial_is_the_same(
    authority: Authority, ca_path: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delattr(trial.os, "memfd_create", raising=False)
    assert reasons(wanted(ca_path), forms(authority.issue(NAME))) == []
    assert reasons(wanted(ca_path), forms(authority.issue(NAME, key_type="rsa1024"))) == ["trial"]


def test_the_order_of_a_chain_matters_to_a_server(authority: Authority, ca_path: str) -> None:
    issued = authority.issue(NAME)
    turned = b"".join(reversed(issued.chain_pem.partition(issued.certificate_pem)))
    assert reasons(wanted(ca_path), all_forms(turned, issued.key_pem)) != []


# --- forms


def test_a_key_never_gets_into_a_public_form(authority: Authority) -> None:
    issued = authority.issue(NAME)
    both = b"a note\n" + issued.key_pem + issued.chain_pem
    files = all_forms(both, both)
    assert files == {**all_forms(issued.chain_pem, issued.key_pem)}
    assert all(b"PRIVATE KEY" not in files[key] for key in ("fullchain", "cert", "chain"))


def test_what_stands_around_certificates_stays(authority: Authority) -> None:
    issued = authority.issue(NAME)
    text = b"subject=shop\r\n" + issued.chain_pem.replace(b"\n", b"\r\n")
    assert all_forms(text, issued.key_pem)["fullchain"] == text
    assert leaf_of({"fullchain": text}) is not None


@pytest.mark.parametrize(
    "kept", [("fullchain", "privkey"), ("bundle",), ("cert", "chain", "privkey"), ("bundle", "cert")]
)
def test_an_archive_of_some_forms_gives_them_all(authority: Authority, kept: tuple[str, ...]) -> None:
    every = forms(authority.issue(NAME))
    assert rejoined({key: every[key] for key in kept}) == every


def test_what_is_told_of_it(authority: Authority) -> None:
    issued = authority.issue(NAME)
    told = summary_of({"bundle": forms(issued)["bundle"]})
    assert told["fingerprint_sha256"] == issued.fingerprint and told["san"] == [NAME]
    assert summary_of({}) == summary_of({"fullchain": b"garbage"}) == {}
    assert candidate.leaf_of({"fullchain": b"-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n"}) is None
