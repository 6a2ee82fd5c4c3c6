"""The whole check over files, as the module and `checkup` run it."""

from __future__ import annotations

import json
import os
import threading
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from ansible_collections.cadence.upkeep.plugins.module_utils._cert import collect
from ansible_collections.cadence.upkeep.plugins.module_utils._cert.check import CHECK
from ansible_collections.cadence.upkeep.plugins.module_utils._cert.files import Content, sight_file
from ansible_collections.cadence.upkeep.plugins.module_utils._cert.model import Sighting
from ansible_collections.cadence.upkeep.plugins.module_utils._core.argspec import validate
from ansible_collections.cadence.upkeep.plugins.module_utils._core.times import rfc3339
from tests.bed.tls import Authority


def run(**params: Any) -> dict[str, Any]:
    validated = validate(CHECK.name, CHECK.argument_spec, params, CHECK.rules).params
    return CHECK.run(validated, datetime.now(UTC)).as_result()


@pytest.fixture
def sites(authority: Authority, tmp_path: Path) -> Path:
    """Four certificates: one well, one with 20 of its 90 days left, one with 2, one that ended yesterday."""
    for name, days in (("well", 60), ("soon", 20), ("now", 2), ("over", -1)):
        (tmp_path / f"{name}.pem").write_bytes(authority.issue(f"{name}.example.org", days=days).chain_pem)
    return tmp_path


def states(result: dict[str, Any]) -> dict[str, str]:
    return {Path(record["target"]).stem: record["state"] for record in result["certificates"]}


def test_a_directory_of_certificates(sites: Path) -> None:
    result = run(files=[str(sites)])
    assert states(result) == {"over": "expired", "now": "critical", "soon": "warning", "well": "ok"}
    assert list(states(result)) == ["over", "now", "soon", "well"]
    assert result["summary"]["worst"] == "critical"
    assert result["summary"]["counts"] == {"ok": 1, "info": 0, "warning": 1, "unknown": 0, "critical": 2}
    assert [finding["code"] for finding in result["findings"]] == [
        "cert.expired", "cert.expires_soon", "cert.expires_soon", "cert.valid",
    ]  # fmt: skip
    assert not result["changed"]
    assert result["actions"] == []
    assert result["scanned"]["files"] == 4
    assert result["scanned"]["bytes"] == sum(path.stat().st_size for path in sites.iterdir())
    assert result["soonest"]["target"] == str(sites / "over.pem")
    assert result["metrics"][0]["value"] == result["soonest"]["remaining_seconds"] < 0


def test_problems_alone(sites: Path) -> None:
    result = run(files=[str(sites)], report="problems")
    assert list(states(result)) == ["over", "now", "soon"]
    assert "cert.valid" not in {finding["code"] for finding in result["findings"]}
    assert result["summary"]["counts"]["ok"] == 1


def test_another_instant_is_judged_and_gives_the_same_every_time(sites: Path) -> None:
    at = datetime.now(UTC) + timedelta(days=58)
    first, second = (run(files=[str(sites)], at=rfc3339(at), workers=workers) for workers in (1, 8))
    assert states(first) == {"over": "expired", "now": "expired", "soon": "expired", "well": "critical"}
    assert first["at"] == rfc3339(at)
    for result in (first, second):
        del result["summary"]["seconds"]
        for finding in result["findings"]:
            del finding["observed_at"]
    assert first == second


def test_odd_files_are_one_unknown_each_beside_the_others(sites: Path, authority: Authority) -> None:
    os.mkfifo(sites / "fifo.pem")
    (sites / "empty.pem").touch()
    (sites / "mine.pem").write_bytes(authority.issue("mine").key_pem)
    (sites / "below").mkdir()
    result = run(files=[str(sites), str(sites / "below"), str(sites / "none.pem"), "/nowhere/*.pem"])
    unknown = {
        finding["subject"]: finding["evidence"]["kind"]
        for finding in result["findings"]
        if finding["severity"] == "unknown"
    }
    assert unknown == {
        str(sites / "fifo.pem"): "not_regular",
        str(sites / "empty.pem"): "empty",
        str(sites / "mine.pem"): "is_a_key",
        str(sites / "below"): "empty",
        str(sites / "none.pem"): "not_found",
        "/nowhere/*.pem": "not_found",
    }
    assert result["summary"]["counts"] == {"ok": 1, "info": 0, "warning": 1, "unknown": 6, "critical": 2}
    assert all(finding["remedy"] for finding in result["findings"] if finding["severity"] != "ok")
    assert "PRIVATE KEY" not in json.dumps(result)


def test_nothing_to_look_at_is_unknown() -> None:
    result = run(files=[])
    assert result["summary"]["worst"] == "unknown"
    assert [finding["code"] for finding in result["findings"]] == ["cert.nothing_examined"]
    assert result["soonest"] is None
    assert result["metrics"] == []


def test_what_is_not_done_in_time_is_unknown(sites: Path) -> None:
    result = run(files=[str(sites / "well.pem"), str(sites)], deadline="0.000001s")
    unknown = [finding for finding in result["findings"] if finding["severity"] == "unknown"]
    assert {finding["evidence"]["kind"] for finding in unknown} == {"deadline"}
    assert all(str(sites) in finding["message"] for finding in unknown)
    assert result["summary"]["worst"] == "unknown"


def test_a_file_on_a_dead_mount_holds_up_no_other(sites: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The mount is stood in for by a reader that never comes back from one file."""
    gate = threading.Event()

    def read(path: str, *arguments: Any) -> tuple[Sighting, Content]:
        if path.endswith("now.pem"):
            gate.wait(30)
        return sight_file(path, *arguments)

    monkeypatch.setattr(collect, "sight_file", read)
    result = run(files=[str(sites)], deadline="2s")
    gate.set()
    assert states(result) == {"over": "expired", "soon": "warning", "well": "ok", "now": "unknown"}
    late = next(finding for finding in result["findings"] if finding["subject"] == str(sites / "now.pem"))
    assert late["evidence"] == {"kind": "deadline", "deadline_seconds": 2.0}
    assert "a dead mount" in late["remedy"]
    assert result["scanned"]["files"] == 3


def test_directories_that_were_not_entered_are_told(sites: Path) -> None:
    (sites / "a/b").mkdir(parents=True)
    (sites / "a/b/deep.pem").touch()
    result = run(files=[str(sites)], recurse=True, max_depth=1)
    assert result["degraded"] == [f"1 directories below max_depth (1) were not entered, the first of them {sites}/a/b."]


def test_a_thousand_names_and_certificates_stay_small(authority: Authority, tmp_path: Path) -> None:
    one = authority.issue("a", names=[f"n{number}.example.org" for number in range(2000)], days=1)
    (tmp_path / "names.pem").write_bytes(one.certificate_pem)
    (tmp_path / "bundle.pem").write_bytes(one.chain_pem + authority.issue("b", days=2).chain_pem * 500)
    result = run(files=[str(tmp_path)], max_size="10MiB")
    assert len(json.dumps(result)) < 30_000
    assert states(result) == {"names": "critical", "bundle": "critical"}
