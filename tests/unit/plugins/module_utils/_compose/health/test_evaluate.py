"""The rules by which `compose_health_info` judges Compose projects."""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime, timedelta, timezone
from typing import Any

import pytest

from ansible_collections.cadence.upkeep.plugins.module_utils._compose.health.argspec import ARGUMENT_SPEC
from ansible_collections.cadence.upkeep.plugins.module_utils._compose.health.check import record
from ansible_collections.cadence.upkeep.plugins.module_utils._compose.health.evaluate import evaluate, examined
from ansible_collections.cadence.upkeep.plugins.module_utils._compose.health.model import (
    Container,
    Image,
    Policy,
    Project,
    Snapshot,
)
from ansible_collections.cadence.upkeep.plugins.module_utils._compose.project import Model, Service
from ansible_collections.cadence.upkeep.plugins.module_utils._core.argspec import validate
from ansible_collections.cadence.upkeep.plugins.module_utils._core.errors import InvalidInput

NOW = datetime(2026, 11, 22, 4, 13, tzinfo=timezone.utc)
DIGEST = f"sha256:{'d' * 64}"
WEB = Container(
    id="c1",
    name="shop-web-1",
    service="web",
    status="running",
    health="healthy",
    failing=0,
    probe="",
    exit_code=0,
    error="",
    oom_killed=False,
    restarts=0,
    policy="no",
    started=NOW - timedelta(hours=2),
    finished=None,
    image="shop:1",
    image_id="sha256:one",
    hash="h1",
)
SERVICE = Service("web", "shop:1", 1, "no", "h1")


def policy(**params: Any) -> Policy:
    return Policy.from_params(validate("compose_health_info", ARGUMENT_SPEC, params).params)


def project(*containers: Container, services: tuple[Service, ...] | None = (SERVICE,), **more: Any) -> Project:
    model = None if services is None else Model("shop", {one.name: one for one in services})
    images = {"shop:1": Image("sha256:one", (f"r.example.com/shop@{DIGEST}",))}
    images["sha256:one"] = images["shop:1"]
    return Project("shop", containers, model, **{"images": images, **more})


def found(seen: Project, **params: Any) -> list[tuple[str, str]]:
    findings = evaluate(Snapshot((seen,), "unix:///x"), policy(**params), NOW)
    for finding in findings:
        assert finding.message.endswith((".", "x")) and finding.subject.startswith("shop")
        assert finding.remedy
    return [(finding.code.removeprefix("compose."), str(finding.severity)) for finding in findings]


def test_what_is_well_is_not_mentioned() -> None:
    assert found(project(WEB)) == []
    assert examined(Snapshot((project(WEB),), ""), policy()) == ["shop/web"]


@pytest.mark.parametrize(
    ("change", "code", "severity"),
    [
        ({"health": "unhealthy", "failing": 3, "probe": "x"}, "unhealthy", "critical"),
        ({"status": "paused"}, "paused", "warning"),
        ({"status": "restarting", "restarts": 7, "exit_code": 1}, "restarting", "critical"),
        ({"status": "exited", "exit_code": 0}, "service_down", "critical"),
        ({"status": "created"}, "service_down", "critical"),
        ({"status": "dead"}, "service_down", "critical"),
        ({"restarts": 1}, "restarts", "warning"),
        ({"restarts": 5}, "restarts", "critical"),
        ({"oom_killed": True}, "oom_killed", "warning"),
        ({"hash": "h0"}, "config_drift", "warning"),
        ({"image_id": "sha256:two"}, "image_outdated", "warning"),
        ({"health": "starting"}, "starting", "warning"),
    ],
)
def test_one_fault_is_one_finding(change: dict[str, Any], code: str, severity: str) -> None:
    seen = found(project(replace(WEB, **change)))
    if code == "restarting":  # nothing of it runs, either
        seen = [one for one in seen if one[0] != "replicas_missing"]
    assert seen == [(code, severity)]


def test_restarts_of_long_ago_are_over() -> None:
    seen = project(replace(WEB, restarts=9))
    assert found(seen, window="3h") == [("restarts", "critical")]
    assert found(seen, window="1h") == []
    assert found(seen, window="3h", restarts_warning=10, restarts_critical=10) == []


def test_a_start_may_take_its_time() -> None:
    assert found(project(replace(WEB, health="starting")), starting_limit="3h") == []


def test_a_sick_one_among_others_that_are_well_is_a_warning() -> None:
    sick = replace(WEB, id="c2", name="shop-web-2", health="unhealthy")
    two = (replace(SERVICE, replicas=2),)
    assert found(project(WEB, sick, services=two)) == [("unhealthy", "warning")]
    assert found(project(replace(sick, name="shop-web-1"), sick, services=two)) == [("unhealthy", "critical")] * 2


@pytest.mark.parametrize(
    ("replicas", "there", "expected"),
    [
        (0, 0, []),
        (0, 1, [("replicas_surplus", "info")]),
        (1, 0, [("service_missing", "critical")]),
        (3, 2, [("replicas_missing", "warning")]),
        (2, 3, [("replicas_surplus", "info")]),
    ],
)
def test_how_many_there_should_be(replicas: int, there: int, expected: list[tuple[str, str]]) -> None:
    containers = [replace(WEB, id=f"c{index}", name=f"shop-web-{index}") for index in range(there)]
    assert found(project(*containers, services=(replace(SERVICE, replicas=replicas),))) == expected


@pytest.mark.parametrize("why", ["option", "dependency", "policy", "label"])
def test_a_one_shot_may_end_well(why: str) -> None:
    service = replace(SERVICE, awaited_end=why == "dependency", restart="on-failure:3" if why == "policy" else "no")
    ended = replace(WEB, status="exited", health="", finished=NOW, one_shot=why == "label")
    params = {"one_shots": ["we?"]} if why == "option" else {}
    assert found(project(ended, services=(service,)), **params) == []
    assert found(project(WEB, services=(service,)), **params) == []
    assert found(project(replace(ended, exit_code=2), services=(service,)), **params) == [
        ("one_shot_failed", "critical")
    ]
    assert found(project(replace(ended, status="created"), services=(service,)), **params) == [
        ("one_shot_failed", "critical")
    ]
    if why != "label":
        assert found(project(services=(service,)), **params) == [("one_shot_missing", "warning")]


def test_of_several_runs_the_last_counts() -> None:
    failed = replace(WEB, status="exited", exit_code=1, started=NOW - timedelta(hours=3))
    ended = replace(failed, name="shop-web-2", exit_code=0, started=NOW - timedelta(hours=1))
    assert found(project(failed, ended), one_shots=["web"]) == []
    assert found(project(replace(failed, started=NOW), ended), one_shots=["web"]) == [("one_shot_failed", "critical")]


def test_an_end_for_want_of_memory() -> None:
    dead = replace(WEB, status="exited", exit_code=137, oom_killed=True)
    assert ("oom_killed", "critical") in found(project(dead))
    # What the daemon remembers counts too.
    assert found(project(WEB, oom_events={"c1": 3})) == [("oom_killed", "warning")]


def test_a_container_of_no_service() -> None:
    stray = replace(WEB, service="old", name="shop-old-1")
    assert found(project(WEB, stray)) == [("orphan", "warning")]
    assert found(project(WEB, replace(stray, status="exited"))) == [("orphan", "info")]
    assert found(project(WEB, stray, all_services=frozenset({"web", "old"}))) == []


def test_without_a_model_what_is_there_is_judged() -> None:
    seen = project(WEB, services=None, unread="no files")
    assert found(seen) == [("expected_unknown", "info")]
    assert found(replace(seen, demanded=True)) == [("model_unread", "unknown")]
    down = project(replace(WEB, status="exited"), services=None, unread="no files")
    assert ("service_down", "critical") in found(down)
    assert found(project(services=None, unread="no files")) == [("project_missing", "critical")]
    assert record(seen, "web", policy())["expected"] is None


@pytest.mark.parametrize(
    ("locked", "expected"),
    [
        ("sha256:one", []),
        (f"r.example.com/shop@{DIGEST}", []),
        (f"elsewhere.example.com/shop:3@{DIGEST}", []),
        ("shop:1", []),
        ("sha256:two", [("image_drift", "warning")]),
        (f"r.example.com/shop@sha256:{'e' * 64}", [("image_drift", "warning")]),
        ("shop:9", [("image_unknown", "unknown")]),
        ("", [("not_locked", "warning")]),
    ],
)
def test_the_lock_file(locked: str, expected: list[tuple[str, str]]) -> None:
    seen = project(WEB, locked={"web": locked} if locked else {})
    assert found(seen, project_src="/srv", lock_file="lock.yaml") == expected


def test_an_image_that_is_gone_cannot_be_compared_by_its_digest() -> None:
    seen = project(WEB, locked={"web": f"x@{DIGEST}"}, images={"sha256:one": None})
    assert found(seen, project_src="/srv", lock_file="lock.yaml") == [("image_unknown", "unknown")]


def test_services_are_chosen_by_name_and_pattern() -> None:
    other = replace(SERVICE, name="other")
    seen = project(WEB, services=(SERVICE, other))
    assert found(seen, services=["web"]) == []
    assert found(seen, ignore_services=["oth*"]) == []
    assert found(seen, services=["web", "typo"]) == [("service_missing", "critical")]
    assert found(seen, services=["w*", "none*"]) == []


@pytest.mark.parametrize(
    "params",
    [
        {"restarts_warning": 0},
        {"restarts_warning": 6},
        {"window": "1"},
        {"files": ["a.yaml"]},
        {"lock_file": "x"},
    ],
)
def test_options_that_cannot_be_meant(params: dict[str, Any]) -> None:
    with pytest.raises(InvalidInput):
        policy(**params)
