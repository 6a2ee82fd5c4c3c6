"""Commits by convention, and generations: as `app_release` reads and keeps them."""

from __future__ import annotations

from pathlib import Path

import pytest

from ansible_collections.cadence.upkeep.plugins.module_utils._compose.release.memory import Memory, Remembered
from ansible_collections.cadence.upkeep.plugins.module_utils._compose.release.model import (
    Commit,
    Generation,
    Pending,
    grouped,
    matching,
    prune,
)
from ansible_collections.cadence.upkeep.plugins.module_utils._core.errors import StateError


@pytest.mark.parametrize(
    ("subject", "body", "group", "breaking"),
    [
        ("feat: sell", "", "feature", False),
        ("feat(ui)!: sell", "", "feature", True),
        ("fix: count", "", "fix", False),
        ("Fix(api): count", "", "fix", False),
        ("perf: faster", "", "fix", False),
        ("fix(security): mend", "", "security", False),
        ("security: mend", "", "security", False),
        ("chore: bump openssl (CVE-2026-1234)", "", "security", False),
        ("chore: bump", "It was GHSA-abcd-1234-wxyz.", "security", False),
        ("docs: write", "", "other", False),
        ("Merge branch 'main'", "", "other", False),
        ("refactor: all", "BREAKING CHANGE: the API is another", "other", True),
        ("fixup something", "", "other", False),
    ],
)
def test_commits_by_convention(subject: str, body: str, group: str, breaking: bool) -> None:
    commit = Commit("a" * 40, "2026-11-22T04:13:00Z", subject, body)
    assert (commit.group, commit.breaking) == (group, breaking)
    assert [one["subject"] for one in grouped([commit])[group]] == [subject]


def test_files_by_pattern() -> None:
    paths = ["alembic/versions/1.py", "backend/alembic/versions/2.py", "app/migrations/0001.py", "app.py"]
    assert matching(paths, ["*alembic/versions/*", "*/migrations/*"]) == paths[:3]
    assert matching(["migrations/1.py"], ["*/migrations/*"]) == ["migrations/1.py"]


def test_at_least_the_running_generation_is_kept() -> None:
    generations = [Generation(number, f"v{number}", "a" * 40, "now") for number in range(1, 5)]
    stay, go = prune(generations, 2)
    assert ([one.number for one in stay], [one.number for one in go]) == ([3, 4], [1, 2])
    assert [one.number for one in prune(generations, 0)[0]] == [4]
    assert prune([], 3) == ([], [])


def test_what_was_remembered_is_read_again(tmp_path: Path) -> None:
    memory = Memory(str(tmp_path), "odd/name")
    assert memory.load() == Remembered()
    images = {"web": {"name": "shop:1", "id": "sha256:a"}}
    generation = Generation(1, "v1", "a" * 40, "now", "0007", ("/b",), images, ("shop:upkeep-rollback-1",))
    pending = Pending("v2", "b" * 40, "a" * 40, "main", "now")
    memory.save([generation], pending)
    assert memory.load() == Remembered((generation,), pending)
    assert Path(memory.path).stat().st_mode & 0o077 == 0
    memory.save([], None)
    assert memory.load() == Remembered()


@pytest.mark.parametrize("content", ["", "{", "[]", '{"schema": 2, "pending": null, "generations": []}'])
def test_a_record_that_cannot_be_understood_is_no_empty_one(tmp_path: Path, content: str) -> None:
    memory = Memory(str(tmp_path), "shop")
    memory.save([], None)
    Path(memory.path).write_text(content)
    with pytest.raises(StateError, match=r"releases\.json"):
        memory.load()
