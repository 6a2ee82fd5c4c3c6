"""Every odd file gets the state and the codes that are written beside it, on its own and among all the others."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ansible_collections.cadence.upkeep.plugins.module_utils._cert.check import CHECK
from ansible_collections.cadence.upkeep.plugins.module_utils._cert.evaluate import judge
from ansible_collections.cadence.upkeep.plugins.module_utils._cert.files import parse_certificates
from ansible_collections.cadence.upkeep.plugins.module_utils._cert.library import quiet
from ansible_collections.cadence.upkeep.plugins.module_utils._cert.model import FILE, CannotLook, Policy, Sighting
from ansible_collections.cadence.upkeep.plugins.module_utils._core.argspec import validate
from tests.unit.plugins.module_utils._cert.corpus import AT, CORPUS, KEY, Case
from tests.unit.plugins.module_utils._cert.samples import LIMITS


def run(**params: Any) -> dict[str, Any]:
    """The whole result: it is not cut to a size here."""
    validated = validate(CHECK.name, CHECK.argument_spec, {"at": AT, **params}, CHECK.rules).params
    return CHECK.run(validated, datetime.now(UTC)).as_result(limit=10**9)


@pytest.mark.parametrize("case", CORPUS, ids=lambda case: case.name)
def test_state_and_codes(case: Case, tmp_path: Path) -> None:
    path = tmp_path / f"{case.name}.pem"
    path.write_bytes(case.content)
    result = run(files=[str(path)], **case.options)
    (record,) = result["certificates"]
    found = {finding["code"] for finding in result["findings"]}
    assert (record["state"], tuple(sorted(found))) == (case.state, case.codes), result["findings"]
    assert case.kind is None or record["error"]["kind"] == case.kind
    assert all(finding["remedy"] for finding in result["findings"] if finding["code"] != "cert.valid")


def test_all_of_them_together_hide_nothing(tmp_path: Path) -> None:
    plain = [case for case in CORPUS if not case.options]
    for case in plain:
        (tmp_path / f"{case.name}.pem").write_bytes(case.content)
    result = run(files=[str(tmp_path)])
    states = {Path(record["target"]).stem: record["state"] for record in result["certificates"]}
    assert set(states) == {case.name for case in plain}
    # One issuer gave one serial to several of them, which none of them is alone.
    rank = ["ok", "warning", "unknown", "critical", "not_yet_valid", "expired"]
    assert [case.name for case in plain if rank.index(states[case.name]) < rank.index(case.state)] == []
    assert "cert.duplicate_serial" in {finding["code"] for finding in result["findings"]}
    assert json.dumps(result).count("PRIVATE KEY") == 0
    assert all(line.decode() not in json.dumps(result) for line in KEY.splitlines()[1:-1])


def sighting(case: Case) -> Sighting | None:
    try:
        with quiet():
            content = parse_certificates(case.name, case.content)
    except CannotLook:
        return None
    return Sighting(case.name, FILE, content.certificates, content.failures) if content.certificates else None


READABLE = [seen for case in CORPUS if (seen := sighting(case)) is not None]
RANK = {"ok": 0, "warning": 1, "unknown": 2, "critical": 3, "expired": 4}
SECONDS = st.integers(0, 40 * 366 * 86400).map(lambda seconds: timedelta(seconds=seconds))


@given(st.sampled_from(READABLE), SECONDS, SECONDS)
def test_from_its_first_second_on_a_state_only_gets_worse(seen: Sighting, first: timedelta, later: timedelta) -> None:
    begin = max(certificate.not_before for certificate in seen.certificates)
    states = [judge(seen, Policy(LIMITS), begin + passed).state for passed in (first, first + later)]
    assert RANK[states[0]] <= RANK[states[1]]
