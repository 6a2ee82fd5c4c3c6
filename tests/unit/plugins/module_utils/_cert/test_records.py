"""The records of a result: plain, small, and in an order that does not change."""

from __future__ import annotations

import json
from datetime import timedelta

from ansible_collections.cadence.upkeep.plugins.module_utils._cert.evaluate import judge
from ansible_collections.cadence.upkeep.plugins.module_utils._cert.model import FILE, Failure, Policy, Sighting
from ansible_collections.cadence.upkeep.plugins.module_utils._cert.records import (
    by_remaining_time,
    record_of,
    soonest_of,
)
from ansible_collections.cadence.upkeep.plugins.module_utils._cert.thresholds import parse_limit
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

FAILED = Sighting("/none.pem", FILE, failures=(Failure("not_found", "It is not there.", "Correct the path."),))


def record(sighting: Sighting, policy: Policy = POLICY) -> dict:
    return record_of(judge(sighting, policy, NOW), policy, NOW)


def test_a_file() -> None:
    entry = record(file(certificate(key_type="rsa", key_bits=2048, signature="sha256"), authority()))
    assert entry["target"] == "/etc/ssl/a.pem"
    assert (entry["kind"], entry["state"], entry["error"]) == ("file", "ok", None)
    leaf = entry["leaf"]
    assert leaf["remaining_days"] == 60.0
    assert leaf["lifetime_seconds"] == 90 * 86400
    assert leaf["elapsed_percent"] == 33.3
    assert (leaf["key_type"], leaf["key_bits"], leaf["signature"]) == ("rsa", 2048, "sha256")
    assert entry["thresholds"] == {"warning_seconds": 1944000, "critical_seconds": 604800}
    assert entry["chain_min_not_after"] == leaf["not_after"] == "2027-01-21T04:13:00Z"
    assert [(link["role"], link["state"]) for link in entry["chain"]] == [("leaf", "ok"), ("intermediate", "ok")]
    assert (entry["renew_after"], entry["renew_due"]) == ("2026-12-22T04:13:00Z", False)
    assert "verified" not in entry
    assert "realpath" not in entry
    assert json.loads(json.dumps(entry)) == entry


def test_an_endpoint() -> None:
    shown = endpoint(certificate(-DAY), of=spec(target="shop"), verified=False, verify_error="expired", verify_code=10)
    entry = record(shown)
    assert (entry["target"], entry["address"], entry["state"]) == ("shop", "192.0.2.1:443", "expired")
    assert (entry["verified"], entry["verify_error"], entry["hostname_ok"]) == (False, "expired", True)
    assert (entry["peer_ip"], entry["tls_version"], entry["served_matches_file"]) == ("192.0.2.1", "TLSv1.3", None)


def test_a_failure() -> None:
    entry = record(FAILED)
    assert entry["error"] == {"kind": "not_found", "message": "It is not there."}
    assert (entry["state"], entry["leaf"], entry["renew_due"], entry["chain"]) == ("unknown", None, None, [])


def test_where_a_link_leads() -> None:
    link = Sighting("/live/fullchain.pem", FILE, (certificate(),), realpath="/archive/fullchain7.pem")
    assert record(link)["realpath"] == "/archive/fullchain7.pem"


def test_renewal_by_ones_own_rule() -> None:
    entry = record(file(certificate()), Policy(LIMITS, renew_at=parse_limit("60d")))
    assert (entry["renew_after"], entry["renew_due"]) == ("2026-11-22T04:13:00Z", True)


def test_a_certificate_of_no_time_and_of_many_names() -> None:
    entry = record(file(certificate(DAY, timedelta(0), names=tuple(f"n{number}" for number in range(2000)))))
    assert entry["leaf"]["elapsed_percent"] is None
    assert (len(entry["leaf"]["san"]), entry["leaf"]["san_count"]) == (20, 2000)


def test_what_ends_first_stands_first_and_what_has_no_end_last() -> None:
    sightings = [
        FAILED,
        file(certificate(9 * DAY), path="/b.pem"),
        file(certificate(50 * DAY), authority(5 * DAY), path="/c.pem"),
        file(certificate(9 * DAY), path="/a.pem"),
        file(certificate(50 * DAY), authority(-DAY, self_issued=True), path="/d.pem"),
    ]
    verdicts = [judge(sighting, POLICY, NOW) for sighting in sightings]
    ordered = [verdict.sighting.target for verdict in by_remaining_time(verdicts)]
    assert ordered == ["/c.pem", "/a.pem", "/b.pem", "/d.pem", "/none.pem"]
    assert by_remaining_time(reversed(verdicts)) == by_remaining_time(verdicts)
    assert soonest_of(verdicts, NOW) == {
        "target": "/c.pem",
        "not_after": "2026-11-27T04:13:00Z",
        "remaining_seconds": 5 * 86400,
    }


def test_without_a_certificate_none_ends_first() -> None:
    assert soonest_of([judge(FAILED, POLICY, NOW)], NOW) is None
    assert soonest_of([], NOW) is None
