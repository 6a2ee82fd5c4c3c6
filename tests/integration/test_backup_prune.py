"""`backup_prune` as a user runs it, on dumps that pg_dump made, together with `backup_verify`."""

from __future__ import annotations

import gzip
import hashlib
import json
import os
import subprocess
import sys
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from tests.integration.module import CHECKOUT, run_module
from tests.unit.plugins.module_utils._backup.prune.stock import PLAIN, backup, broken, days

NOW = datetime.now(UTC)
NEWEST = NOW - timedelta(hours=2)


@pytest.fixture
def dumps(tmp_path: Path) -> list[Path]:
    """Ten days of dumps, newest first: each as pg_dump made it, with its manifest and its digest."""
    return days(tmp_path / "backups", 10, newest=NEWEST)


def params(folder: Path, **changes: Any) -> dict[str, Any]:
    return {
        "series": [{"name": "shop", "pattern": f"{folder}/backups/shop-*.sql.gz", "keep": {"daily": 5}}],
        "state_file": str(folder / "verified.jsonl"),
        "state_dir": str(folder / "state"),
        "proof_level": "structure",
        **changes,
    }


def test_verify_prune_and_verify_again(dumps: list[Path], tmp_path: Path) -> None:
    broken(dumps[1])
    looked = {"series": params(tmp_path)["series"], "select": "all", "state_file": str(tmp_path / "verified.jsonl")}
    first = run_module(tmp_path, "backup_verify", looked)
    assert "backup.retention_excess" in {one["code"] for one in first.result["findings"]}
    planned = run_module(tmp_path, "backup_prune", params(tmp_path), check_mode=True)
    assert planned.how == "CHANGED"
    assert all(one.exists() for one in dumps)
    done = run_module(tmp_path, "backup_prune", params(tmp_path))
    assert done.how == "CHANGED"
    assert [one.exists() for one in dumps] == [True] * 5 + [False] * 5
    assert {one["what"] for one in done.result["files"]} == {"kept", "removed"}
    proofs = {one["path"]: one["proof"] for one in done.result["files"]}
    assert "verified at" in proofs[str(dumps[0])]
    assert len(os.listdir(tmp_path / "backups")) == 15
    assert run_module(tmp_path, "backup_prune", params(tmp_path)).how == "SUCCESS"
    after = run_module(tmp_path, "backup_verify", looked)
    assert "backup.retention_excess" not in {one["code"] for one in after.result["findings"]}
    assert hashlib.sha256(dumps[0].read_bytes()).hexdigest() in (tmp_path / "verified.jsonl").read_text()


def test_a_job_that_writes_half_dumps_for_a_week_costs_no_good_one(dumps: list[Path], tmp_path: Path) -> None:
    half = gzip.compress(PLAIN[: len(PLAIN) // 2])
    for number in range(10):
        backup(tmp_path / "backups", NEWEST - timedelta(days=10 + number))
        backup(tmp_path / "backups", NEWEST - timedelta(days=number), data=half)
    before = sorted(os.listdir(tmp_path / "backups"))
    answer = run_module(tmp_path, "backup_prune", params(tmp_path))
    assert answer.how == "SUCCESS"
    assert answer.result["series"][0]["refused"] == "backup.prune_stale"
    assert answer.worst == "critical"
    assert sorted(os.listdir(tmp_path / "backups")) == before


def test_the_entries_of_the_role_and_the_rule_that_their_results_feed(dumps: list[Path], tmp_path: Path) -> None:
    """Copy to another place, prune here, and verify by what was compared there."""
    far = tmp_path / "far"
    far.mkdir()
    copies = [{"site": "safe", "path": f"{tmp_path}/state/offsite/safe.json", "mode": "recorded", "offsite": True}]
    wanted = {**params(tmp_path)["series"][0], "copies": copies}
    variables = {
        "backups_series": [wanted],
        "backups_sites": [{"site": "safe", "method": "directory", "path": str(far), "same_disk": True}],
        "backups_state_file": str(tmp_path / "verified.jsonl"),
        "upkeep_state_dir": str(tmp_path / "state"),
        "upkeep_budget": "5m",
    }
    tasks = [
        {
            "name": f"Do {entry}",
            "ansible.builtin.include_role": {"name": "cadence.upkeep.backups", "tasks_from": entry},
            "vars": variables,
        }
        for entry in ("offsite", "prune", "verify")
    ]
    told = tmp_path / "told.json"
    content = "{{ {'prune': backups_prune, 'offsite': backups_offsite, 'verify': backups_verify} | to_json }}"
    tell = {"name": "Tell", "ansible.builtin.copy": {"content": content, "dest": str(told), "mode": "0600"}}
    (tmp_path / "play.json").write_text(
        json.dumps([{"name": "Play", "hosts": "localhost", "gather_facts": False, "tasks": [*tasks, tell]}])
    )
    environment = {key: value for key, value in os.environ.items() if not key.startswith("ANSIBLE_")}
    environment["ANSIBLE_COLLECTIONS_PATH"] = str(CHECKOUT / "playbooks" / "collections")
    environment["ANSIBLE_HOME"] = str(tmp_path / "ansible")
    program = os.path.join(os.path.dirname(sys.executable), "ansible-playbook")
    host = f"ansible_python_interpreter={sys.executable}"
    ended = subprocess.run(
        [program, "-i", "localhost,", "-c", "local", "-e", host, str(tmp_path / "play.json")],
        cwd=tmp_path, env=environment, capture_output=True, text=True, timeout=300, check=False,
    )  # fmt: skip
    assert ended.returncode == 0, ended.stdout + ended.stderr
    results = json.loads(told.read_text())
    (copied,) = results["offsite"]["results"]
    assert {one["what"] for one in copied["copies"]} == {"copied"}
    assert results["prune"]["series"][0]["removed"] == 5
    assert [one.exists() for one in dumps] == [True] * 5 + [False] * 5
    assert len(list(far.iterdir())) == 30  # what was removed here is still there
    (verified,) = results["verify"]["series"]
    assert verified["copies"][0]["equal"] is True
    assert verified["copies"][0]["why"].startswith("compared at ")
    assert verified["rule_3_2_1_1_0"]["copies"] == 3
    assert verified["rule_3_2_1_1_0"]["offsite"] == 1
