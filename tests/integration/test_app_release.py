"""`app_release` on real repositories and, for the images of a generation, on a real daemon."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from ansible_collections.cadence.upkeep.plugins.module_utils._compose.release.argspec import ARGUMENT_SPEC
from ansible_collections.cadence.upkeep.plugins.module_utils._compose.release.git import TreeRefused
from ansible_collections.cadence.upkeep.plugins.module_utils._compose.release.memory import Memory
from ansible_collections.cadence.upkeep.plugins.module_utils._compose.release.run import release
from ansible_collections.cadence.upkeep.plugins.module_utils._core.argspec import validate
from ansible_collections.cadence.upkeep.plugins.module_utils._core.errors import (
    CommandFailed,
    ConnectionFailed,
    InvalidInput,
    LockHeld,
    StateError,
)
from ansible_collections.cadence.upkeep.plugins.module_utils._core.times import utc_now
from tests.bed.docker_engine import Engine, Project
from tests.integration.composing import as_environment, derive, shell_image, write_model
from tests.integration.module import run_module

WHO = (
    "-c",
    "user.name=Test",
    "-c",
    "user.email=test@example.com",
    "-c",
    "commit.gpgsign=false",
    "-c",
    "tag.gpgsign=false",
)


@dataclass
class Origin:
    """Where the application is made: a repository with a history, and a clone of it that runs."""

    folder: Path
    clone: Path
    state: Path

    def git(self, *arguments: str, where: Path | None = None) -> str:
        command = ["git", "-C", str(where or self.folder), *WHO, *arguments]
        ended = subprocess.run(command, capture_output=True, text=True, check=False)
        assert ended.returncode == 0, ended.stderr
        return ended.stdout.strip()

    def commit(self, message: str, tag: str = "", **files: str) -> str:
        for name, text in (files or {"app.py": message}).items():
            path = self.folder / name.replace("__", "/")
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text)
        self.git("add", "--all")
        self.git("commit", "--quiet", "--allow-empty", "--message", message)
        if tag:
            self.git("tag", tag)
        return self.git("rev-parse", "HEAD")

    @property
    def head(self) -> str:
        return self.git("rev-parse", "HEAD", where=self.clone)

    @property
    def branch(self) -> str:
        return self.git("rev-parse", "--abbrev-ref", "HEAD", where=self.clone)

    def do(self, state: str = "checked", check_mode: bool = False, **params: Any) -> dict[str, Any]:
        options = {"name": "shop", "path": str(self.clone), "state_dir": str(self.state), "state": state, **params}
        valid = validate("app_release", ARGUMENT_SPEC, options).params
        return release(valid, utc_now(), check_mode).as_result()


@pytest.fixture
def origin(tmp_path: Path) -> Origin:
    made = Origin(tmp_path / "origin", tmp_path / "clone", tmp_path / "state")
    made.folder.mkdir()
    made.git("init", "--quiet", "--initial-branch=main")
    made.commit("first version", tag="v1.0.0")
    made.git("clone", "--quiet", str(made.folder), str(made.clone), where=tmp_path)
    return made


def codes(result: dict[str, Any]) -> list[tuple[str, str]]:
    return [(one["code"], one["severity"]) for one in result["findings"]]


def test_what_is_new_by_kind_of_change(origin: Origin) -> None:
    assert codes(origin.do()) == [("app.up_to_date", "ok")]
    origin.commit("feat: sell more", tag="v1.1.0-rc1")
    origin.commit("docs: write", README="x")
    feature = origin.commit("feat(ui)!: sell all", tag="v1.1.0", alembic__versions__0001_x="x")
    result = origin.do()
    assert codes(result) == [("app.update_available", "info")]
    assert result["release"]["counts"] == {"security": 0, "fix": 0, "feature": 2, "other": 1}
    assert result["release"]["target"] == {"commit": feature, "version": "v1.1.0"}
    assert (result["release"]["breaking"], result["release"]["migrations"]) == (1, ["alembic/versions/0001_x"])
    assert result["changed"] is False and origin.head != feature

    origin.commit("fix: count right\n\nIt was CVE-2026-12345.", tag="v1.1.1")
    result = origin.do()
    assert codes(result) == [("app.security_update", "warning")]
    assert result["release"]["commits"]["security"][0]["subject"] == "fix: count right"
    # Another version than the newest may be meant, and a branch as well.
    assert origin.do(version="v1.1.0")["release"]["counts"]["security"] == 0
    assert origin.do(version="main")["release"]["counts"]["security"] == 1
    assert codes(origin.do(version="v9")) == [("app.no_release", "unknown")]


def test_in_check_mode_nothing_is_fetched(origin: Origin) -> None:
    origin.commit("fix: x", tag="v1.0.1")
    before = sorted(path.name for path in (origin.clone / ".git").iterdir())
    result = origin.do(check_mode=True)
    assert codes(result) == [("app.up_to_date", "ok")] and result["fetched"] is False
    assert [one["status"] for one in result["actions"]] == ["planned"]
    assert sorted(path.name for path in (origin.clone / ".git").iterdir()) == before
    planned = origin.do("fetched", check_mode=True, version="v1.0.1")
    assert planned["changed"] and origin.head != origin.git("rev-parse", "v1.0.1")
    assert not origin.state.exists()


def test_what_was_changed_here_is_seen_and_never_touched(origin: Origin) -> None:
    origin.commit("fix: x", tag="v1.0.1")
    (origin.clone / "app.py").write_text("by hand")
    assert ("app.tree_dirty", "warning") in codes(origin.do())
    with pytest.raises(TreeRefused, match=r"app\.py"):
        origin.do("fetched", version="v1.0.1")
    assert (origin.clone / "app.py").read_text() == "by hand"
    origin.git("commit", "--quiet", "--all", "--message", "a hotfix", where=origin.clone)
    result = origin.do()
    assert ("app.diverged", "warning") in codes(result) and result["release"]["ahead"] == 1
    # What is in nobody's way may lie about; what is in the way is git's to refuse.
    (origin.clone / "notes").write_text("mine")
    origin.commit("feat: notes", tag="v1.1.0", notes="theirs")
    with pytest.raises(CommandFailed, match="notes"):
        origin.do("fetched", version="v1.1.0")
    assert (origin.clone / "notes").read_text() == "mine"
    origin.do("restored")
    assert origin.branch == "main"


def test_an_update_from_its_begin_to_its_end_and_back(origin: Origin) -> None:
    origin.do("committed")
    first, second = origin.head, origin.commit("fix: two", tag="v1.0.1")
    done = origin.do("fetched", version="v1.0.1")
    assert done["changed"] and (origin.head, origin.branch) == (second, "HEAD")
    assert origin.do("fetched", version="v1.0.1")["changed"] is False
    assert ("app.unfinished", "warning") in codes(origin.do())

    back = origin.do("restored")
    assert back["changed"] and (origin.head, origin.branch) == (first, "main")
    assert origin.do("restored")["changed"] is False

    origin.do("fetched", version=second)  # the commit itself will do
    done = origin.do("committed", revision="0007", backups=["/b/x.dump"])
    assert [one["number"] for one in done["generations"]] == [2, 1]
    assert (done["generations"][0]["revision"], done["generations"][0]["backups"]) == ("0007", ["/b/x.dump"])
    assert origin.do("committed")["changed"] is False
    assert origin.do("restored")["changed"] is False and origin.head == second

    # Back, although the remote is gone.
    origin.folder.rename(origin.folder.with_name("gone"))
    origin.do("fetched", version="previous")
    assert origin.head == first
    origin.do("committed")
    assert origin.do(check_mode=True)["generations"][0]["commit"] == first


def test_a_killed_update_goes_back_to_where_the_first_one_came_from(origin: Origin) -> None:
    first = origin.head
    for number in (1, 2):
        origin.commit(f"fix: {number}", tag=f"v1.0.{number}")
        origin.do("fetched", version=f"v1.0.{number}")
    origin.do("restored")
    assert (origin.head, origin.branch) == (first, "main")


def test_previous_is_where_an_update_that_was_cut_off_came_from(origin: Origin) -> None:
    first = origin.head
    second = origin.commit("fix: 1", tag="v1.0.1")
    origin.do("fetched", version="v1.0.1")
    assert origin.head == second
    # No version is remembered yet, and the one before is known all the same.
    origin.do("fetched", version="previous")
    assert origin.head == first
    origin.do("committed")
    origin.commit("fix: 2", tag="v1.0.2")
    for tag in ("v1.0.1", "v1.0.2"):
        origin.do("fetched", version=tag)
        origin.do("committed")
    # A way back that was cut off is gone on with, and does not turn round.
    origin.do("fetched", version="previous")
    assert origin.head == second
    assert origin.do("fetched", version="previous")["changed"] is False and origin.head == second
    assert [one["version"] for one in origin.do("committed")["generations"]][:2] == ["v1.0.1", "v1.0.2"]


def test_what_cannot_be_fetched_whole_leaves_nothing_begun(origin: Origin) -> None:
    (origin.clone / "notes").write_text("mine")
    origin.commit("feat: notes", tag="v1.1.0", notes="theirs")
    with pytest.raises(CommandFailed, match="notes"):
        origin.do("fetched", version="v1.1.0")
    assert origin.branch == "main" and ("app.unfinished", "warning") not in codes(origin.do())
    for wrong in ("v9", "--upload-pack=x"):
        with pytest.raises(InvalidInput, match="no version"):
            origin.do("fetched", check_mode=True, version=wrong)
    origin.commit("fix: x", tag="v1.1.1")
    assert origin.do("fetched", check_mode=True, version="v1.1.1")["changed"]
    origin.folder.rename(origin.folder.with_name("gone"))
    with pytest.raises(ConnectionFailed, match="cannot fetch"):
        origin.do("fetched", check_mode=True, version="v1.1.2")


def test_only_some_generations_are_kept(origin: Origin) -> None:
    for number in range(5):
        origin.commit(f"fix: {number}", tag=f"v2.0.{number}")
        origin.do("fetched", version=f"v2.0.{number}")
        result = origin.do("committed", keep=2)
    assert [one["version"] for one in result["generations"]] == ["v2.0.4", "v2.0.3"]
    assert [one["number"] for one in result["generations"]] == [5, 4]


def test_a_version_is_what_it_was_said_to_be(origin: Origin) -> None:
    right = origin.commit("fix: x", tag="v1.0.1")
    for wrong in ("0" * 40, right[:12]):
        with pytest.raises(InvalidInput, match="not"):
            origin.do("fetched", version="v1.0.1", commit=wrong)
    with pytest.raises(InvalidInput, match="signature"):
        origin.do("fetched", version="v1.0.1", require_signature=True)
    assert origin.do("fetched", version="v1.0.1", commit=right)["changed"]
    # A tag that is moved is another version under an old name.
    origin.commit("feat: y")
    origin.git("tag", "--force", "v1.0.1")
    with pytest.raises(ConnectionFailed, match="cannot fetch"):
        origin.do("fetched", version="v1.0.1")
    with pytest.raises(ConnectionFailed, match="cannot fetch"):
        origin.do("fetched", version="v9.9.9")


def test_hooks_of_the_repository_are_not_run(origin: Origin, tmp_path: Path) -> None:
    hook = origin.clone / ".git" / "hooks" / "post-checkout"
    hook.write_text(f"#!/bin/sh\ntouch {tmp_path}/ran\n")
    hook.chmod(0o755)
    origin.commit("fix: x", tag="v1.0.1")
    origin.do("fetched", version="v1.0.1")
    assert not (tmp_path / "ran").exists()


def test_what_cannot_be_done_is_said(origin: Origin, tmp_path: Path) -> None:
    with pytest.raises(InvalidInput, match="not the root"):
        origin.do(path=str(tmp_path))
    with pytest.raises(InvalidInput, match="which version"):
        origin.do("fetched")
    with pytest.raises(InvalidInput, match="No earlier version"):
        origin.do("fetched", version="previous")
    with pytest.raises(InvalidInput, match="no version v9"):
        origin.do("fetched", version="v9")
    memory = Memory(str(origin.state), "shop")
    with memory.lock("other", 0), pytest.raises(LockHeld):
        origin.do("committed")
    origin.do("committed")
    Path(memory.path).write_text("{")
    with pytest.raises(StateError, match=r"releases\.json"):
        origin.do("committed")
    Path(memory.path).unlink()
    origin.folder.rename(tmp_path / "gone")
    result = origin.do()
    assert codes(result)[0] == ("app.remote_unreachable", "unknown")


# --- images -----------------------------------------------------------------------------------------------------------


@pytest.fixture
def shop(docker_engine: Engine, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Project]:
    for name, value in as_environment(docker_engine).items():
        monkeypatch.setenv(name, value)
    shell_image(docker_engine)
    write_model(tmp_path / "shop", {"web": {"image": "upkeep-release/shop:latest"}, "side": {}})
    with docker_engine.compose(tmp_path / "shop", "releaseshop") as project:
        yield project
    for one in docker_engine.docker("image", "ls", "-q", "upkeep-release/shop").stdout.split():
        docker_engine.docker("image", "rm", "--force", one, check=False)


def test_the_images_of_a_generation_are_spared_and_come_back(origin: Origin, shop: Project, tmp_path: Path) -> None:
    engine, name = shop.engine, "upkeep-release/shop:latest"
    ids = []
    for number in range(3):
        ids.append(derive(engine, tmp_path / "image", name, f"LABEL number={number}"))
        origin.commit(f"fix: {number}", tag=f"v3.{number}")
        origin.do("fetched", version=f"v3.{number}", project_name=shop.name)
        shop.up()
        result = origin.do("committed", project_name=shop.name, keep=2)
    assert [one["images"]["web"]["id"] for one in result["generations"]] == [ids[2], ids[1]]
    spared = engine.docker("image", "inspect", "--format", "{{.RepoTags}}", ids[1]).stdout
    assert "upkeep-rollback-app-shop-2" in spared
    assert origin.do("committed", project_name=shop.name, keep=2)["changed"] is False

    def stands_for() -> str:
        return engine.docker("image", "inspect", "--format", "{{.Id}}", name).stdout.strip()

    planned = origin.do("fetched", check_mode=True, version="previous", project_name=shop.name)
    assert planned["images_restored"] and stands_for() == ids[2]
    back = origin.do("fetched", version="previous", project_name=shop.name)
    assert back["images_restored"] and stands_for() == ids[1]
    shop.up()
    assert engine.inspect(shop.containers("web")[0])["Image"] == ids[1]
    origin.do("committed", project_name=shop.name, keep=2)
    # What has gone cannot come back, and says so.
    engine.docker("image", "rm", "--force", ids[2])
    assert ("app.image_lost", "info") in codes(origin.do(project_name=shop.name))
    assert origin.do("fetched", version="v3.2", project_name=shop.name)["images_restored"] is False


PYTHONS = [path for path in os.environ.get("UPKEEP_TARGET_PYTHONS", "").split(os.pathsep) if path]


@pytest.mark.target_python
@pytest.mark.parametrize("python", PYTHONS)
def test_every_target_python_updates_and_goes_back(origin: Origin, tmp_path: Path, python: str) -> None:
    first, second = origin.head, origin.commit("fix: x", tag="v1.0.1")
    params = {"name": "shop", "path": str(origin.clone), "state_dir": str(origin.state)}
    for state, head in (("fetched", second), ("restored", first)):
        wanted = {**params, "state": state, "version": "v1.0.1"}
        answer = run_module(tmp_path, "app_release", wanted, interpreter=python)
        assert (answer.how, origin.head) == ("CHANGED", head), answer.result


@pytest.mark.matrix
def test_the_module_tells_what_is_new(origin: Origin, tmp_path: Path) -> None:
    origin.commit("security: mend", tag="v1.0.1")
    params = {"name": "shop", "path": str(origin.clone), "state_dir": str(origin.state)}
    answer = run_module(tmp_path, "app_release", params)
    assert (answer.how, answer.worst) == ("SUCCESS", "warning")
    assert answer.found() == {"shop": ("app.security_update", "warning")}
