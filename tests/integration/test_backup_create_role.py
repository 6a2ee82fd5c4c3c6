"""The entry point `create` of the role `backups`, as a play includes it."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.bed.postgres import Cluster, cache_directory, find_or_bring
from tests.integration.creating import Backups, of_cluster, verified
from tests.integration.module import CHECKOUT


@pytest.fixture(scope="module")
def cluster() -> Iterator[Cluster]:
    with Cluster(find_or_bring(None, cache_directory()), name="create-role") as running:
        running.execute("CREATE TABLE orders AS SELECT generate_series(1, 100) AS id")
        yield running


def play(folder: Path, *options: str, **variables: Any) -> tuple[int, str, dict[str, Any]]:
    """Include the role; return the exit code, what was said, and what it registered."""
    told = folder / "told.json"
    task = {
        "name": "Back up",
        "ansible.builtin.include_role": {"name": "cadence.upkeep.backups", "tasks_from": "create"},
        "vars": {"upkeep_budget": "5m", "upkeep_run_id": "r1", "upkeep_state_dir": str(folder / "state"), **variables},
    }
    tell = {
        "name": "Tell",
        "ansible.builtin.copy": {"content": "{{ backups_create | to_json }}", "dest": str(told), "mode": "0600"},
        "check_mode": False,
    }
    plays = [
        {"name": "Play", "hosts": "localhost", "gather_facts": False, "tasks": [{"block": [task], "always": [tell]}]}
    ]
    (folder / "play.json").write_text(json.dumps(plays))
    environment = {key: value for key, value in os.environ.items() if not key.startswith("ANSIBLE_")}
    environment["ANSIBLE_COLLECTIONS_PATH"] = str(CHECKOUT / "playbooks" / "collections")
    environment["ANSIBLE_HOME"] = str(folder / "ansible")
    program = os.path.join(os.path.dirname(sys.executable), "ansible-playbook")
    host = f"ansible_python_interpreter={sys.executable}"
    ended = subprocess.run(
        [program, "-i", "localhost,", "-c", "local", "-e", host, *options, str(folder / "play.json")],
        cwd=folder, env=environment, capture_output=True, text=True, timeout=180, check=False,
    )  # fmt: skip
    return ended.returncode, ended.stdout + ended.stderr, json.loads(told.read_text()) if told.exists() else {}


def jobs_of(cluster: Cluster, folder: Path) -> list[dict[str, Any]]:
    server = of_cluster(cluster, folder).params()
    del server["state_dir"]
    return [
        {**server, "databases": ["postgres"]},
        {"series": "tests", "directory": server["directory"], "kind": "files", "paths": [str(CHECKOUT / "roles")]},
    ]


def test_every_job_is_made_and_a_second_run_finds_nothing_to_do(cluster: Cluster, tmp_path: Path) -> None:
    jobs = jobs_of(cluster, tmp_path)
    code, said, planned = play(tmp_path, "--check", backups_jobs=jobs)
    assert code == 0, said
    assert [one["backups"][0]["status"] for one in planned["results"]] == ["planned", "planned"]
    assert not (tmp_path / "backups").exists()

    code, said, told = play(tmp_path, backups_jobs=jobs)
    assert code == 0, said
    paths = [backup["path"] for one in told["results"] for backup in one["backups"]]
    assert verified(*paths)["summary"]["worst"] == "ok"
    assert cluster.password not in json.dumps([{**one, "invocation": ""} for one in told["results"]])

    code, said, again = play(tmp_path, backups_jobs=jobs)
    assert code == 0, said
    assert not again["changed"]
    code, said, anew = play(tmp_path, backups_jobs=jobs[1:], backups_create_when="always")
    assert code == 0, said
    assert anew["changed"]


def test_a_job_that_fails_fails_the_role_after_the_others(cluster: Cluster, tmp_path: Path) -> None:
    jobs = jobs_of(cluster, tmp_path)
    jobs.insert(0, {**jobs[1], "series": "gone", "paths": [str(tmp_path / "gone")]})
    code, said, told = play(tmp_path, backups_jobs=jobs)
    assert code != 0
    assert [one.get("failed", False) for one in told["results"]] == [True, False, False]
    assert "gone cannot be read" in said
    assert len(Backups(tmp_path).backups()) == 3
