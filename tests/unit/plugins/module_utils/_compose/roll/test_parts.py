"""Options, names, the journal and the verdict on single containers."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from ansible_collections.cadence.upkeep.plugins.module_utils._compose.images import rollback_tag
from ansible_collections.cadence.upkeep.plugins.module_utils._compose.project import ModelRefused
from ansible_collections.cadence.upkeep.plugins.module_utils._compose.roll.argspec import ARGUMENT_SPEC, RULES
from ansible_collections.cadence.upkeep.plugins.module_utils._compose.roll.create import endpoints_of
from ansible_collections.cadence.upkeep.plugins.module_utils._compose.roll.engine import container_of
from ansible_collections.cadence.upkeep.plugins.module_utils._compose.roll.gate import fault_of
from ansible_collections.cadence.upkeep.plugins.module_utils._compose.roll.journal import (
    Batch,
    Journal,
    Old,
    Record,
    Turn,
)
from ansible_collections.cadence.upkeep.plugins.module_utils._compose.roll.model import (
    Container,
    Interrupted,
    RollFailed,
    UpdateConfig,
)
from ansible_collections.cadence.upkeep.plugins.module_utils._compose.roll.names import (
    outdated,
    reference,
    renames,
    repository_of,
)
from ansible_collections.cadence.upkeep.plugins.module_utils._compose.roll.options import (
    files_for,
    options_of,
    policies_of,
)
from ansible_collections.cadence.upkeep.plugins.module_utils._compose.roll.report import kind_of
from ansible_collections.cadence.upkeep.plugins.module_utils._core.argspec import validate
from ansible_collections.cadence.upkeep.plugins.module_utils._core.errors import (
    InvalidInput,
    LockHeld,
    StateError,
    UpkeepError,
)

WELL = Container("a" * 64, "p-web-1", "web", 1, "h", "sha256:1", "shop:1", "running", started_at="t1")


def params(**more: Any) -> dict[str, Any]:
    return validate("compose_rolling_update", ARGUMENT_SPEC, {"project_src": "/", **more}, RULES).params


# --- options


def test_own_options_come_before_those_for_all_and_those_before_the_model() -> None:
    update = UpdateConfig(parallelism=3, delay=9.0, order="stop-first", monitor=8.0, failure_action="pause")
    given = params(
        monitor="2s", policies=[{"service": "web", "monitor": "1s", "probe": {"port": 80, "path": "health"}}]
    )
    found = policies_of(given, {"web": update, "db": UpdateConfig()})
    web, db = found["web"], found["db"]
    assert (web.monitor, web.parallelism, web.delay, web.order, web.failure_action) == (
        1.0,
        3,
        9.0,
        "stop-first",
        "pause",
    )
    assert (db.monitor, db.parallelism, db.delay, db.order, db.failure_action) == (2.0, 1, 0.0, "auto", "rollback")
    assert web.probe is not None and (web.probe.path, str(web.probe)) == ("/health", "http://:80/health")
    assert db.probe is None and not db.drain and db.traffic.mode == "none"


@pytest.mark.parametrize(
    ("more", "said"),
    [
        ({"policies": [{"service": "nobody"}]}, "nobody"),
        ({"policies": [{"service": "web"}, {"service": "web"}]}, "two entries"),
        ({"monitor": "soon"}, "monitor"),
        ({"parallelism": -1}, "parallelism"),
        ({"max_failure_ratio": 2.0}, "max_failure_ratio"),
        ({"traffic": {"mode": "hook"}}, "traffic.hook"),
        ({"traffic": {"mode": "nginx"}}, "traffic.service"),
        ({"traffic": {"mode": "nginx", "service": "proxy", "file": "/x"}}, "traffic.port"),
        ({"probe": {"port": 1, "expect": ["fine"]}}, "fine"),
        ({"probe": {"port": 70000}}, "probe.port is 70000"),
        ({"probe": {"port": 1, "value": "x"}}, "probe.value has no probe.query"),
        ({"probe": {"type": "exec", "command": ["true"], "query": "x"}}, "for the type http"),
        ({"probe": {"port": 1, "successes": 0}}, "probe.successes"),
        ({"probe": {"port": 1, "interval": "-1s"}}, "probe.interval"),
        ({"traffic": {"mode": "hook", "hook": ["x"], "file": "/x"}}, "for the mode nginx"),
        ({"traffic": {"mode": "nginx", "service": "p", "file": "/x", "port": 0}}, "traffic.port"),
        ({"traffic": {"mode": "nginx", "service": "p", "server": "server {adress};"}}, "traffic.server .*adress"),
        ({"traffic": {"mode": "nginx", "service": "p", "server": "server {"}}, "traffic.server"),
        ({"drain": {"signal": "USR9"}}, "USR9.*no signal"),
        ({"drain": {"wait": "long"}}, "drain.wait"),
        ({"stop_timeout": "-3s"}, "stop_timeout"),
        ({"health_timeout": "2"}, "health_timeout"),
    ],
)
def test_what_contradicts_itself_is_refused(more: dict[str, Any], said: str) -> None:
    with pytest.raises(InvalidInput, match=said):
        policies_of(params(**more), {"web": UpdateConfig()})


def test_the_rest_of_the_options() -> None:
    found = options_of(params(scale={"web": "3"}, smoke=[{"url": "http://x"}], timeout="1h", min_free="1GiB"))
    assert (found.scale, found.timeout, found.min_free, found.smoke[0].name) == (
        {"web": 3},
        3600.0,
        1 << 30,
        "http://x",
    )


@pytest.mark.parametrize(
    ("more", "said"),
    [
        ({"scale": {"web": "many"}}, "scale of web"),
        ({"scale": {"web": -1}}, "scale of web"),
        ({"scale": {"web": 1.5}}, "scale of web"),
        ({"scale": {"web": True}}, "scale of web"),
        ({"min_free": "much"}, "min_free"),
        ({"timeout": "1 fortnight"}, "timeout"),
        ({"keep_images": -1}, "keep_images"),
        ({"smoke": [{"url": "shop.example.com"}]}, "smoke.url"),
        ({"smoke": [{"url": "http://x:99999/"}]}, "smoke.url"),
        ({"smoke": [{"url": "http://x/", "attempts": 0}]}, "smoke.attempts"),
        ({"smoke": [{"url": "http://x/", "value": 1}]}, "smoke.value"),
    ],
)
def test_what_is_no_option_is_refused_by_its_name(more: dict[str, Any], said: str) -> None:
    with pytest.raises(InvalidInput, match=said):
        options_of(params(**more))


def test_a_list_of_servers_stands_beside_the_project() -> None:
    traffic = {"mode": "nginx", "service": "proxy", "file": "upstreams/web.conf", "port": 8000}
    found = policies_of(params(project_src="/srv/shop", traffic=traffic), {"web": UpdateConfig()})
    assert found["web"].traffic.file == "/srv/shop/upstreams/web.conf"


def test_a_project_is_files_or_a_model() -> None:
    inline = validate(
        "compose_rolling_update", ARGUMENT_SPEC, {"definition": {"services": {}}, "project_name": "shop"}, RULES
    ).params
    found = files_for(inline)
    assert (found.name, json.loads(found.definition), found.arguments[2:4]) == (
        "shop",
        {"services": {}},
        ["--file", "-"],
    )
    with pytest.raises(InvalidInput, match="both say"):
        files_for({**inline, "project_src": "/", "files": ["x.yaml"]})
    with pytest.raises(InvalidInput, match="no directory"):
        files_for(params(project_src="/nowhere/at/all"))
    with pytest.raises(InvalidInput, match="required"):
        validate("compose_rolling_update", ARGUMENT_SPEC, {}, RULES)


# --- names


@pytest.mark.parametrize(
    ("image", "parts"),
    [
        ("shop", ("shop", "latest")),
        ("shop:1", ("shop", "1")),
        ("registry:5000/shop", ("registry:5000/shop", "latest")),
        ("registry:5000/shop:2@sha256:00", ("registry:5000/shop", "2")),
    ],
)
def test_repository_and_tag(image: str, parts: tuple[str, str]) -> None:
    assert repository_of(image) == parts


def test_old_images_keep_a_name() -> None:
    assert reference("sha256:abc", "Shop", "web") == "shop-web"
    assert reference("registry:5000/shop:2", "p", "web") == "registry:5000/shop"
    assert rollback_tag("20261122T111715Z-AB12") == "upkeep-rollback-20261122t111715z-ab12"
    kept = [f"upkeep-rollback-2026112{day}t111715z-ab12" for day in (3, 1, 2, 0)]
    tags = ["shop:1", *(f"shop:{tag}" for tag in kept[:3]), f"x:{kept[3]}", "shop:upkeep-rollback-shop-4"]
    assert outdated(tags, ["shop"], 2) == [f"shop:{kept[1]}"], "what an application keeps is not ours to forget"


def test_containers_get_the_names_that_compose_would_give() -> None:
    def named(name: str, number: int) -> Container:
        return replace(WELL, id=f"{number}" * 64, name=name, number=number)

    here = [named("p-web-4", 4), named("p-web-1", 1), named("p-web-3", 3)]
    assert renames("p", "web", here) == {"4" * 64: "p-web-2"}
    assert renames("p", "web", [named("p_web_5", 5)]) == {"5" * 64: "p_web_1"}


# --- the journal


def test_what_is_written_is_what_is_read(tmp_path: Path) -> None:
    journal = Journal(str(tmp_path / "compose" / "p"))
    assert journal.load() is None and journal.last() is None
    batch = Batch(
        old=[Old("a", "p-web-1", policy={"Name": "always"})], count=1, step="gate", endpoints={"b": {"n": {}}}
    )
    record = Record("id", "p", turns=[Turn("web", "start-first", "", ["image"], "h", "i", "x", 1, batches=[batch])])
    journal.save(record)
    assert journal.load() == record
    journal.finish(record)
    assert journal.load() is None and journal.last() == record
    later = json.loads(Path(journal.last_path).read_text()) | {"of_a_later_version": 1}
    Path(journal.last_path).write_text(json.dumps(later))
    assert journal.last() == record


@pytest.mark.parametrize("content", ["{torn", "[]", '{"schema": 99}'])
def test_what_cannot_be_read_is_never_taken_for_nothing(tmp_path: Path, content: str) -> None:
    journal = Journal(str(tmp_path / "compose" / "p"))
    journal.save(Record("id", "p"))
    Path(journal.path).write_text(content)
    with pytest.raises(StateError, match="cannot be read as the journal"):
        journal.load()


# --- containers


@pytest.mark.parametrize(
    ("more", "kind"),
    [
        ({}, None),
        ({"state": "exited", "exit_code": 0}, "exited"),
        ({"state": "exited", "exit_code": 137, "oom": True}, "oom"),
        ({"restarts": 1}, "restarted"),
        ({"state": "restarting"}, "restarted"),
        ({"started_at": "t2"}, "restarted"),
        ({"state": "dead"}, "exited"),
    ],
)
def test_what_is_wrong_for_good(more: dict[str, Any], kind: str | None) -> None:
    found = fault_of(replace(WELL, **more), "t1")
    assert (found.kind if found else None) == kind


def test_an_end_is_well_where_it_is_meant() -> None:
    assert fault_of(replace(WELL, state="exited"), may_end=True) is None
    assert fault_of(replace(WELL, state="exited", exit_code=1), may_end=True) is not None


def test_a_description_becomes_a_container() -> None:
    volume = {"Type": "volume", "Name": "0" * 64, "Destination": "/data"}
    named = {"Type": "volume", "Name": "p_data", "Destination": "/named"}
    found = container_of(
        {
            "Id": "abcdef123456" + "0" * 52,
            "Name": "/p-web-2",
            "Image": "sha256:1",
            "RestartCount": 2,
            "Created": "c",
            "Config": {
                "Image": "shop:1",
                "Healthcheck": {"Test": ["CMD", "x"]},
                "Labels": {
                    "com.docker.compose.service": "web",
                    "com.docker.compose.container-number": "2",
                    "com.docker.compose.config-hash": "h",
                },
            },
            "State": {"Status": "running", "Health": {"Status": "unhealthy", "Log": [{"Output": " refused\n"}]}},
            "HostConfig": {"RestartPolicy": {"Name": "always"}},
            "Mounts": [volume, named],
            "NetworkSettings": {
                "Networks": {"p_default": {"IPAddress": "10.0.0.2", "Aliases": ["p-web-2", "web", "abcdef123456"]}}
            },
        }
    )  # fmt: skip
    assert (found.service, found.number, found.hash, found.health, found.health_said) == (
        "web",
        2,
        "h",
        "unhealthy",
        "refused",
    )
    assert (found.anonymous, found.address, found.checked) == ({"/data": "0" * 64}, "10.0.0.2", True)
    assert endpoints_of(found, "web")["p_default"]["Aliases"] == ["web", "web"]


@pytest.mark.parametrize(
    ("error", "kind"),
    [
        (RollFailed("oom", "x"), "oom"),
        (LockHeld("x"), "locked"),
        (ModelRefused("x"), "config_invalid"),
        (Interrupted("x"), "interrupted"),
        (UpkeepError("x"), "failed"),
    ],
)
def test_each_failure_has_its_word(error: UpkeepError, kind: str) -> None:
    assert kind_of(error) == kind
