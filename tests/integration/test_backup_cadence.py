"""Backups in the run of a day, as a user meets them: the first run, the second, and one that fails."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.integration.playbook import Fleet


@pytest.fixture
def fleet(tmp_path: Path) -> Fleet:
    tree = tmp_path / "100% of it, ünd möre"
    tree.mkdir()
    (tree / "a file").write_text("x")
    fleet = Fleet(tmp_path).local("web1")
    jobs = [{"series": "tree", "directory": str(tmp_path / "b"), "kind": "files", "paths": [str(tree)]}]
    fleet.variables.update(
        backups_jobs=[{**job, "compress": "gzip", "min_free": "1MiB"} for job in jobs],
        backups_series=[{"name": "tree", "pattern": f"{tmp_path}/b/tree-*.tar.*", "time_zone": "UTC"}],
    )
    return fleet


def test_the_first_run_of_a_fresh_host_sees_the_backup_that_it_made(fleet: Fleet) -> None:
    ran = fleet.play("daily", upkeep_only="backups")
    assert ran.code == 0, ran.output
    assert {name: task["worst"] for name, task in ran.tasks("web1").items()} == {
        "backups.create": "ok",
        "backups.latest": "ok",
    }
    assert ran.findings("backup.missing") == []
    again = fleet.play("daily", upkeep_only="backups")
    assert again.code == 0, again.output
    assert {task["status"] for task in again.tasks("web1").values()} == {"carried"}


def test_a_backup_that_cannot_be_made_is_told_with_what_is_missing(fleet: Fleet, tmp_path: Path) -> None:
    (tmp_path / "b").write_text("a file where the directory should be")
    ran = fleet.play("daily", upkeep_only="backups")
    assert ran.code == 2
    assert ran.tasks("web1")["backups.create"]["status"] == "failed"
    assert ran.findings("task.failed")[0]["remedy"]
    assert ran.findings("backup.missing")


def test_check_mode_makes_none_and_says_that_there_is_none(fleet: Fleet, tmp_path: Path) -> None:
    ran = fleet.play("daily", "--check", "--diff", upkeep_only="backups")
    assert ran.findings("backup.missing")
    assert [action["status"] for action in ran.row("web1")["actions"]] == ["planned"]
    assert not (tmp_path / "b").exists()
