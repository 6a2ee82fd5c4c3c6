"""`compose_downtime`: what was stopped on purpose runs again, whatever became of the update."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from ansible_collections.cadence.upkeep.plugins.module_utils._compose.downtime.argspec import ARGUMENT_SPEC, RULES
from ansible_collections.cadence.upkeep.plugins.module_utils._compose.downtime.run import Ended, downtime
from ansible_collections.cadence.upkeep.plugins.module_utils._core.argspec import validate
from ansible_collections.cadence.upkeep.plugins.module_utils._core.errors import InvalidInput, StateError
from ansible_collections.cadence.upkeep.plugins.module_utils._core.times import utc_now
from tests.bed.docker_engine import Engine, Project
from tests.integration.composing import as_environment, shell_image, write_model
from tests.integration.module import run_module


@pytest.fixture
def shop(docker_engine: Engine, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Project]:
    for name, value in as_environment(docker_engine).items():
        monkeypatch.setenv(name, value)
    shell_image(docker_engine)
    health = {"test": ["CMD", "test", "!", "-e", "/sick"], "interval": "200ms", "retries": 1}
    write_model(tmp_path / "shop", {"web": {"deploy": {"replicas": 2}, "healthcheck": health}, "db": {}, "idle": {}})
    with docker_engine.compose(tmp_path / "shop", "downshop") as project:
        project.up()
        project.compose("stop", "idle")
        yield project


def go(shop: Project, state: str, check_mode: bool = False, **params: Any) -> Ended:
    services = {"services": ["web", "idle"]} if state == "begun" else {}
    options = {"project_name": shop.name, "state": state, "state_dir": str(shop.folder / "state"), **services, **params}
    return downtime(validate("compose_downtime", ARGUMENT_SPEC, options, RULES).params, utc_now(), check_mode)


def running(shop: Project) -> set[str]:
    names = [name for service in ("web", "db", "idle") for name in shop.containers(service)]
    return {name.removeprefix(f"{shop.name}-") for name in names if shop.engine.inspect(name)["State"]["Running"]}


def test_what_was_stopped_runs_again_and_nothing_else(shop: Project) -> None:
    planned = go(shop, "begun", check_mode=True)
    assert [finding.code for finding in planned.outcome.findings] == ["app.downtime"]
    assert running(shop) == {"web-1", "web-2", "db-1"} and planned.outcome.changed
    begun = go(shop, "begun")
    assert running(shop) == {"db-1"} and len(begun.outcome.extra["stopped"]) == 2
    assert go(shop, "begun").outcome.changed is False  # and what ran before is not forgotten
    assert go(shop, "ended", check_mode=True).outcome.changed and running(shop) == {"db-1"}
    ended = go(shop, "ended")
    assert ended.failure == "" and running(shop) == {"web-1", "web-2", "db-1"}
    assert ended.outcome.extra["gap_seconds"] > 0
    assert go(shop, "ended").outcome.changed is False


@pytest.mark.soak
def test_what_was_replaced_meanwhile_is_not_looked_for(shop: Project) -> None:
    go(shop, "begun")
    shop.compose("rm", "--force", "web")
    ended = go(shop, "ended")
    assert (ended.failure, ended.outcome.changed) == ("", False) and ended.outcome.extra["gap_seconds"] > 0


@pytest.mark.soak
def test_what_does_not_come_back_is_no_success_and_is_not_forgotten(shop: Project) -> None:
    sick = shop.containers("web")[0]
    go(shop, "begun")
    shop.engine.docker("cp", shop.folder / "compose.yaml", f"{sick}:/sick")
    ended = go(shop, "ended", health_timeout="3s")
    assert sick in ended.failure and "web-2" not in ended.failure
    assert [finding.code for finding in ended.outcome.findings] == ["app.not_back"]
    assert running(shop) >= {"web-2", "db-1"}
    assert sick in go(shop, "ended", health_timeout="1s").failure
    shop.engine.docker("exec", sick, "rm", "/sick")
    assert go(shop, "ended").failure == ""


@pytest.mark.soak
def test_what_cannot_be_meant_is_refused(shop: Project) -> None:
    with pytest.raises(InvalidInput, match="no container of typo"):
        go(shop, "begun", services=["web", "typo"])
    go(shop, "begun")
    (record,) = (shop.folder / "state" / "downtimes").glob("*.json")
    record.write_text("{")
    with pytest.raises(StateError, match="cannot be read"):
        go(shop, "ended")


def test_the_module_stops_and_starts(shop: Project, tmp_path: Path) -> None:
    params = {"project_name": shop.name, "services": ["web"], "state_dir": str(tmp_path / "state")}
    assert run_module(tmp_path, "compose_downtime", {**params, "state": "begun"}).how == "CHANGED"
    assert running(shop) == {"db-1"}
    assert run_module(tmp_path, "compose_downtime", {**params, "state": "ended"}).how == "CHANGED"
    assert running(shop) == {"web-1", "web-2", "db-1"}
