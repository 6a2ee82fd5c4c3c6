"""Updates of real Compose projects: what serves, what is left behind, and what `docker compose up` would do then."""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.bed import shop
from tests.bed.docker_engine import Engine
from tests.integration.module import Answer, run_module
from tests.integration.playbook import CHECKOUT, Fleet
from tests.integration.rolling import Rolling


@pytest.fixture(scope="module")
def image(docker_engine: Engine) -> str:
    return shop.app_image(docker_engine, "upkeep-shop:1")


@pytest.fixture
def rolling(docker_engine: Engine, tmp_path: Path) -> Iterator[Rolling]:
    with Rolling(docker_engine, tmp_path, "roll") as made:
        yield made


def test_no_request_fails_behind_nginx(rolling: Rolling, image: str) -> None:
    counter = rolling.folder / "counter"
    counter.mkdir()
    traffic = rolling.behind_nginx(
        image=image, environment={"VERSION": "a", "COUNTER": "/counter/posted"}, volumes=["./counter:/counter"]
    )
    (counter / "posted").write_text("")
    before = rolling.facts.ids("web")
    with rolling.load(fresh_posts=True) as load:
        rolling.change("web", environment={"VERSION": "b"})
        rolled = rolling.roll(traffic=traffic)
    assert rolled.outcome == "updated", rolled.failure
    assert not set(before) & set(rolling.facts.ids("web"))
    assert load.result["failed"] == 0, load.result
    assert set(load.result["versions"]) == {"a", "b"}
    written = (counter / "posted").read_text().split()
    assert sorted(written) == sorted(load.result["posted"]), "each POST was done once"
    assert rolling.facts.names("web") == [f"{rolling.project.name}-web-{number}" for number in (1, 2)]
    assert rolling.facts.drift() == []
    assert rolling.journal() is None
    again = rolling.roll(traffic=traffic)
    assert (again.outcome, again.as_result()["changed"]) == ("unchanged", False)


def test_as_a_task_it_says_what_it_did_and_fails_when_it_took_it_back(rolling: Rolling, image: str) -> None:
    rolling.write({"web": shop.web(image, replicas=1)})
    rolling.up()
    needed = ("DOCKER_", "LD_LIBRARY", "PATH")
    variables = {key: value for key, value in rolling.engine.environment().items() if key.startswith(needed)}

    def task(**more: object) -> Answer:
        params = rolling.params(**more)
        return run_module(rolling.folder, "compose_rolling_update", params, environment=variables)

    rolling.change("web", environment={"VERSION": "b"})
    done = task()
    assert (done.how, done.result["outcome"], len(done.result["running"])) == ("CHANGED", "updated", 1), done.result
    rolling.change("web", environment={"MODE": "exit"})
    failed = task()
    assert (failed.how, failed.result["outcome"], failed.result["error"]["kind"]) == ("FAILED", "rolled_back", "exited")
    assert "What ran before runs again" in failed.result["msg"]
    refused = task(scale={"nobody": 1})
    assert (refused.how, refused.result["outcome"]) == ("FAILED", "refused")


@pytest.mark.soak
def test_the_role_updates_each_project_and_tells_of_those_that_were_taken_back(rolling: Rolling, image: str) -> None:
    rolling.write({"web": shop.web(image, replicas=1)})
    rolling.up()
    projects = [rolling.params(services=["web"])]
    play = rolling.folder / "play.yml"
    play.write_text(
        "- hosts: all\n  gather_facts: false\n  tasks:\n"
        "    - ansible.builtin.include_role: {name: cadence.upkeep.compose, tasks_from: update}\n"
        "    - ansible.builtin.debug: {msg: 'it was {{ compose_update.results[0].outcome }}'}\n"
    )
    fleet = Fleet(rolling.folder).local("one", compose_updates=projects)
    fleet.environment.update(rolling.engine.environment())
    fleet.environment["ANSIBLE_COLLECTIONS_PATH"] = str(CHECKOUT / "playbooks" / "collections")
    rolling.change("web", environment={"VERSION": "b"})
    ran = fleet.play(str(play))
    assert ran.code == 0 and "it was updated" in ran.output, ran.output
    rolling.change("web", environment={"MODE": "exit"})
    ran = fleet.play(str(play))
    assert ran.code != 0 and "rolled_back" in ran.output, ran.output
    assert len(rolling.facts.running("web")) == 1


@pytest.mark.soak
def test_no_request_fails_behind_haproxy(rolling: Rolling, image: str) -> None:
    traffic = rolling.behind_haproxy(image=image, environment={"VERSION": "a"})
    with rolling.load(fresh_posts=True) as load:
        rolling.change("web", environment={"VERSION": "b"})
        rolled = rolling.roll(traffic=traffic, drain={"file": "/tmp/drain", "wait": "2s"})
    assert rolled.outcome == "updated", rolled.failure
    assert load.result["failed"] == 0, load.result
    assert rolling.facts.drift() == []


@pytest.mark.soak
def test_nobody_ever_sees_a_version_that_never_was_healthy(rolling: Rolling, image: str) -> None:
    traffic = rolling.behind_nginx(image=image, environment={"VERSION": "a"})
    with rolling.load(fresh_posts=True) as load:
        rolling.change("web", environment={"VERSION": "bad", "MODE": "never_healthy"})
        rolled = rolling.roll(traffic=traffic, health_timeout="4s")
    assert rolled.outcome == "rolled_back"
    assert (load.result["failed"], set(load.result["versions"])) == (0, {"a"}), load.result


def test_a_container_with_a_name_of_its_own_keeps_name_port_and_data(rolling: Rolling, image: str) -> None:
    name = rolling.engine.name("only")
    port = f"127.0.0.1:{rolling.port}:8000"
    rolling.write({"web": shop.web(image, replicas=1, container_name=name, ports=[port], volumes=["/data"])})
    rolling.up()
    rolling.compose("exec", "web", "bash", "-c", "echo precious > /data/kept")
    rolling.change("web", environment={"VERSION": "b"})
    planned = rolling.roll(check_mode=True).as_result()
    (plan,) = planned["plan"]
    assert (plan["order"], plan["reason"]) == ("stop-first", ["config_hash"])
    assert f"container_name {name}" in plan["why"] and f"host port {port.rpartition(':')[0]}/tcp" in plan["why"]
    assert plan["downtime_expected"].startswith("from the stop of the old container (up to 5s)")
    assert planned["changed"] and "compose.gap_expected" in {one["code"] for one in planned["findings"]}
    assert rolling.facts.containers("web")[0]["Config"]["Env"].count("VERSION=b") == 0, "check mode changes nothing"
    begun = time.monotonic()
    rolled = rolling.roll()
    assert rolled.outcome == "updated", rolled.failure
    (one,) = rolling.facts.containers("web")
    assert one["Name"] == f"/{name}" and "VERSION=b" in one["Config"]["Env"]
    assert "precious" in rolling.compose("exec", "web", "cat", "/data/kept")
    assert 0 < rolled.as_result()["services"]["web"]["downtime_seconds"] < time.monotonic() - begun
    assert rolling.facts.drift() == []


@pytest.mark.soak
def test_the_same_tag_with_another_image_is_an_update_and_goes_back(rolling: Rolling, image: str) -> None:
    old = shop.app_image(rolling.engine, "upkeep-moving:1")
    rolling.write({"web": shop.web(old, replicas=1)})
    rolling.up()
    before, (was,) = rolling.facts.ids("web"), rolling.facts.containers("web")
    shop.app_image(rolling.engine, "upkeep-moving:1", MODE="exit")
    failed = rolling.roll()
    assert failed.outcome == "rolled_back" and rolling.facts.ids("web") == before
    assert failed.as_result()["plan"][0]["reason"] == ["image"]
    assert rolling.facts.drift() == [], "the tag leads to the image that runs"
    shop.app_image(rolling.engine, "upkeep-moving:1", VERSION="b")
    rolled = rolling.roll()
    assert rolled.outcome == "updated" and rolling.facts.drift() == []
    tags = rolling.engine.docker("images", "--format", "{{.Tag}} {{.ID}}", "--no-trunc", "upkeep-moving").stdout
    kept = [line.split() for line in tags.splitlines() if line.startswith("upkeep-rollback-")]
    assert was["Image"] in [image_id for _tag, image_id in kept], "no prune takes the old image"


@pytest.mark.soak
def test_peers_are_rolled_one_by_one(rolling: Rolling, image: str) -> None:
    names = ("one", "two", "three")
    rolling.write({name: shop.web(image, replicas=1, container_name=rolling.engine.name(name)) for name in names})
    rolling.up()
    for name in names:
        rolling.change(name, environment={"VERSION": "b"})
    rolled = rolling.roll(peers=[list(names)])
    assert rolled.outcome == "updated", rolled.failure
    result = rolled.as_result()
    assert {one["downtime_expected"] for one in result["plan"]} == {"none"}
    stops = [one["id"] for one in result["actions"] if one["id"].endswith(("/stop", "/publish"))]
    assert [step.partition("/")[2] for step in stops] == ["stop", "publish"] * 3
    assert rolling.facts.drift() == []


@pytest.mark.soak
def test_dependencies_one_shots_profiles_and_variables(rolling: Rolling, image: str) -> None:
    (rolling.folder / "web.env").write_text("VERSION=a\n")
    (rolling.folder / "more.yaml").write_text(shop.compose_text({"web": {"labels": {"more": "yes"}}}))
    (rolling.folder / "other.env").write_text("TAG=1\n")
    services = {
        "web": shop.web("upkeep-shop:${TAG}", env_file=["web.env"], depends_on={
            "migrate": {"condition": "service_completed_successfully"}, "cache": {"condition": "service_started"},
        }),
        "migrate": {"image": image, "command": ["python3", "-c", "print(1)"]},
        "cache": shop.web(image, replicas=1),
        "extra": shop.web(image, replicas=1, profiles=["more"]),
    }  # fmt: skip
    rolling.write(services)
    more = {"files": ["compose.yaml", "more.yaml"], "env_files": ["other.env"], "profiles": ["more"]}
    first = rolling.roll(**more)
    assert first.outcome == "updated", first.failure
    order = [one["service"] for one in first.as_result()["plan"]]
    assert order.index("web") > max(order.index("migrate"), order.index("cache"))
    drift = ("-f", "compose.yaml", "-f", "more.yaml", "--env-file", "other.env", "--profile", "more")
    assert rolling.compose(*drift, "up", "--detach", "--dry-run").count("Recreate") == 0
    assert rolling.roll(**more).outcome == "unchanged"
    (rolling.folder / "web.env").write_text("VERSION=b\n")
    rolling.change("migrate", command=["python3", "-c", "print(2)"])
    second = rolling.roll(**more)
    assert second.outcome == "updated", second.failure
    assert [one["service"] for one in second.as_result()["plan"]] == ["migrate", "web"]
    rolling.change("migrate", command=["python3", "-c", "raise SystemExit(4)"])
    third = rolling.roll(**more)
    assert third.outcome == "rolled_back" and third.as_result()["error"]["service"] == "migrate"
    assert {one["Config"]["Env"].count("VERSION=b") for one in rolling.facts.containers("web")} == {1}


@pytest.mark.soak
def test_names_in_the_network_come_with_health(rolling: Rolling, image: str) -> None:
    """A container that is not ready cannot be found by the name of its service."""
    ask = {"image": image, "command": ["sleep", "600"]}
    rolling.write({"web": shop.web(image, replicas=1), "ask": ask})
    rolling.up()
    rolling.change("web", environment={"VERSION": "b", "BOOT": "3"})
    child = rolling.roll_elsewhere(services=["web"], traffic={"mode": "dns_gate"}, monitor="1s")
    seen = set()
    while child.poll() is None:
        answer = rolling.compose("exec", "-T", "ask", "python3", "-c", FOUND, check=False)
        states = {
            next(iter(one["NetworkSettings"]["Networks"].values()))["IPAddress"]: one["State"]["Health"]["Status"]
            for one in rolling.facts.containers("web")
            if one["State"]["Running"] and one["NetworkSettings"]["Networks"]  # it may just be led into its network
        }
        seen |= {states.get(address) for address in answer.split()}
    assert child.returncode == 0
    assert "starting" not in seen and "healthy" in seen
    assert rolling.facts.drift() == []
    assert rolling.compose("exec", "-T", "ask", "python3", "-c", FOUND).split()


FOUND = "import socket; print(*{one[4][0] for one in socket.getaddrinfo('web', 8000)})"


@pytest.mark.soak
@pytest.mark.parametrize("replicas", [0, 1, 3])
def test_scale_changes_with_the_update(rolling: Rolling, image: str, replicas: int) -> None:
    rolling.write({"web": shop.web(image, replicas=2)})
    rolling.up()
    rolling.change("web", environment={"VERSION": "b"})
    rolled = rolling.roll(scale={"web": replicas})
    assert rolled.outcome == "updated", rolled.failure
    found = rolling.facts.containers("web")
    assert len(found) == replicas and all("VERSION=b" in one["Config"]["Env"] for one in found)
    assert rolling.facts.names("web") == [f"{rolling.project.name}-web-{number}" for number in range(1, replicas + 1)]


@pytest.mark.soak
def test_a_database_goes_stop_first_and_is_named(rolling: Rolling) -> None:
    image = rolling.engine.postgres_image()
    db = {"image": image, "environment": {"POSTGRES_PASSWORD": "x"}, "volumes": ["data:/var/lib/postgresql/data"]}
    rolling.write({"db": db}, volumes={"data": {}})
    rolling.up()
    rolling.change("db", environment={"POSTGRES_INITDB_ARGS": "--data-checksums"})
    probe = {"type": "exec", "command": ["pg_isready", "--host", "127.0.0.1"]}
    rolled = rolling.roll(probe=probe)
    assert rolled.outcome == "updated", rolled.failure
    result = rolled.as_result()
    assert result["plan"][0]["order"] == "stop-first" and "database" in result["plan"][0]["why"]
    assert "compose.database_rolled" in {one["code"] for one in result["findings"]}
    assert rolling.facts.drift() == []


@pytest.mark.soak
def test_both_generations_that_another_tool_left(rolling: Rolling, image: str) -> None:
    rolling.write({"web": shop.web(image, replicas=2)})
    rolling.up()
    rolling.change("web", environment={"VERSION": "b"})
    rolling.compose("up", "--detach", "--no-recreate", "--pull", "never", "--scale", "web=4")
    assert len(rolling.facts.running("web")) == 4
    rolled = rolling.roll()
    assert rolled.outcome == "updated", rolled.failure
    found = rolling.facts.containers("web")
    assert len(found) == 2 and all("VERSION=b" in one["Config"]["Env"] for one in found)
    assert rolling.facts.drift() == []
