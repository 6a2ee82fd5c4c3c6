"""`compose_health_info` over real projects: a healthy one, and each thing that can be wrong, made on purpose."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from ansible_collections.cadence.upkeep.plugins.module_utils._compose.health.check import CHECK, check
from ansible_collections.cadence.upkeep.plugins.module_utils._core.argspec import validate
from ansible_collections.cadence.upkeep.plugins.module_utils._core.errors import ConnectionFailed
from ansible_collections.cadence.upkeep.plugins.module_utils._core.times import utc_now
from tests.bed.docker_engine import Engine, Project
from tests.integration.composing import SHELL, as_environment, derive, docker_program, shell_image, until, write_model
from tests.integration.module import Answer, run_module
from tests.integration.playbook import CHECKOUT, Fleet

CANARY = "c4nary-of-compose"


@pytest.fixture(scope="module")
def engine(docker_engine: Engine) -> Engine:
    shell_image(docker_engine)
    return docker_engine


@pytest.fixture(autouse=True)
def _environment(engine: Engine, monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in as_environment(engine).items():
        monkeypatch.setenv(name, value)


@pytest.fixture
def shop(engine: Engine, tmp_path: Path) -> Iterator[Project]:
    (tmp_path / "shop").mkdir()
    with engine.compose(tmp_path / "shop", "shop") as project:
        yield project


def look(engine: Engine, **params: Any) -> dict[str, Any]:
    options = validate("compose_health_info", CHECK.argument_spec, {"cli": docker_program(engine), **params}).params
    return check(options, utc_now()).as_result()


def look_at(shop: Project, **params: Any) -> dict[str, Any]:
    return look(shop.engine, project_src=str(shop.folder), project_name=shop.name, **params)


def found(result: dict[str, Any]) -> set[tuple[str, str, str]]:
    """Each finding: its code, its service and its severity."""
    return {(one["code"], one["subject"].rpartition("/")[2], one["severity"]) for one in result["findings"]}


def test_a_healthy_project_has_nothing_to_say(shop: Project) -> None:
    write_model(
        shop.folder,
        {
            # What only looks like a secret, or like the end of one, tears nothing.
            "web": {
                "deploy": {"replicas": 2},
                "environment": {"POSTGRES_PASSWORD": f'{CANARY}"b\\c', "URL": f'pg://u:{CANARY}"@h/d', "T": 'token=a"'},
                "healthcheck": {"test": ["CMD", "true"], "interval": "500ms", "retries": 20},
                "depends_on": {"migrate": {"condition": "service_completed_successfully"}},
            },
            "migrate": {"command": ["true"]},
            "secret": {},
            "later": {"profiles": ["later"]},
        },
    )
    shop.up()
    result = look_at(shop, require_healthcheck=True, ignore_services=["secret"])
    assert (found(result), result["summary"]["worst"]) == (set(), "ok")
    assert result["summary"]["counts"]["ok"] == 2
    services = {one["service"]: one for one in result["services"]}
    assert (services["web"]["expected"], services["web"]["running"]) == (2, 2)
    assert services["migrate"]["one_shot"] is True
    assert CANARY not in json.dumps(result)
    # The same by the labels of the containers, which lead to the same files.
    assert found(look(shop.engine, project_name=shop.name)) == set()
    # An active profile is a service more.
    assert found(look_at(shop, profiles=["later"])) == {("compose.service_missing", "later", "critical")}


def test_what_does_not_run(shop: Project) -> None:
    write_model(
        shop.folder,
        {
            "crashed": {"command": ["bash", "-c", "exit 3"]},
            "failed": {"command": ["bash", "-c", "exit 4"]},
            "loops": {"command": ["bash", "-c", "exit 5"], "restart": "always"},
            "created": {},
            "paused": {},
            "half": {"deploy": {"replicas": 2}},
            "sick": {
                "healthcheck": {"test": ["CMD", "false"], "interval": "100ms", "retries": 1, "start_period": "0s"}
            },
            "never": {},
        },
    )
    shop.compose("up", "--detach", "crashed", "failed", "loops", "paused", "half", "sick")
    shop.compose("create", "created")
    shop.compose("pause", "paused")
    shop.engine.docker("stop", "--time", "1", shop.containers("half")[0])
    (sick,), (loops,) = shop.containers("sick"), shop.containers("loops")
    until(lambda: shop.engine.inspect(sick)["State"]["Health"]["Status"] == "unhealthy")
    until(lambda: shop.engine.inspect(loops)["RestartCount"] > 1)
    until(lambda: shop.engine.inspect(shop.containers("crashed")[0])["State"]["Status"] == "exited")
    seen = found(look_at(shop, one_shots=["fail*"], services=["[!l]*"]))
    assert seen == {
        ("compose.service_down", "crashed", "critical"),
        ("compose.one_shot_failed", "failed", "critical"),
        ("compose.service_down", "created", "critical"),
        ("compose.paused", "paused", "warning"),
        ("compose.replicas_missing", "half", "warning"),
        ("compose.unhealthy", "sick", "critical"),
        ("compose.service_missing", "never", "critical"),
    }
    # Caught between two restarts, or while it runs for a moment.
    codes = {code for code, _service, severity in found(look_at(shop, services=["loops"])) if severity == "critical"}
    codes |= {code for code, _service, _severity in found(look_at(shop, services=["loops"], restarts_critical=2))}
    assert codes & {"compose.restarting", "compose.restarts"}


def test_what_is_not_what_the_files_say(shop: Project, tmp_path: Path) -> None:
    derive(shop.engine, tmp_path / "image", "upkeep-drift:1", "LABEL build=1")
    services: dict[str, Any] = {"changed": {}, "rebuilt": {"image": "upkeep-drift:1"}, "gone": {}, "extra": {}}
    write_model(shop.folder, services)
    shop.up("--scale", "extra=2")
    del services["gone"]
    services["changed"]["environment"] = {"NEW": "1"}
    write_model(shop.folder, services)
    derive(shop.engine, tmp_path / "image", "upkeep-drift:1", "LABEL build=2")
    result = look_at(shop)
    assert found(result) == {
        ("compose.config_drift", "changed", "warning"),
        ("compose.image_outdated", "rebuilt", "warning"),
        ("compose.orphan", "gone", "warning"),
        ("compose.replicas_surplus", "extra", "info"),
    }
    shop.up("--remove-orphans")
    assert found(look_at(shop)) == set()


def test_a_lock_file_is_compared_with_what_runs(shop: Project, tmp_path: Path) -> None:
    one = derive(shop.engine, tmp_path / "image", "upkeep-lock:1", "LABEL build=1")
    derive(shop.engine, tmp_path / "image", "upkeep-lock:2", "LABEL build=2")
    write_model(shop.folder, {name: {"image": "upkeep-lock:1"} for name in ("byid", "bytag", "bydigest", "unlocked")})
    shop.up()
    lock = shop.folder / "lock.yaml"
    digest = f"registry.example.com/lock@sha256:{'0' * 64}"

    def locked(**images: str) -> set[tuple[str, str, str]]:
        lines = [f"  {name}:\n    image: {image}\n" for name, image in images.items()]
        lock.write_text("services:\n" + "".join(lines))
        return found(look_at(shop, lock_file="lock.yaml"))

    assert locked(byid=one, bytag="upkeep-lock:1", bydigest=one, unlocked=one) == set()
    assert locked(byid=one, bytag="upkeep-lock:2", bydigest=digest) == {
        ("compose.image_drift", "bytag", "warning"),
        ("compose.image_drift", "bydigest", "warning"),
        ("compose.not_locked", "unlocked", "warning"),
    }
    assert locked(byid=one, bytag="upkeep-lock:3", bydigest=one, unlocked=one) == {
        ("compose.image_unknown", "bytag", "unknown")
    }
    lock.write_text("services: [\n")
    assert ("compose.lock_unreadable", shop.name, "unknown") in found(look_at(shop, lock_file="lock.yaml"))
    lock.unlink()
    assert ("compose.lock_unreadable", shop.name, "unknown") in found(look_at(shop, lock_file="lock.yaml"))


def test_an_end_for_want_of_memory_is_told(shop: Project) -> None:
    eat = "a=$$(head -c 200000000 /dev/zero | tr '\\0' x)"
    write_model(
        shop.folder,
        {
            "eats": {"command": ["bash", "-c", eat], "mem_limit": "16m", "memswap_limit": "16m"},
            "lives": {"command": ["bash", "-c", f'(bash -c "{eat}"); sleep 600'], "mem_limit": "16m", "init": True},
        },
    )
    shop.compose("up", "--detach")
    until(lambda: shop.engine.inspect(shop.containers("eats")[0])["State"]["Status"] == "exited")
    until(lambda: any(one[:2] == ("compose.oom_killed", "lives") for one in found(look_at(shop))))
    seen = found(look_at(shop))
    assert ("compose.oom_killed", "eats", "critical") in seen
    assert ("compose.oom_killed", "lives", "warning") in seen


def test_files_that_compose_refuses_leave_it_unknown_what_should_run(shop: Project) -> None:
    path = write_model(shop.folder, {"web": {}})
    shop.up()
    path.write_text("services:\n  web:\n    imagge: x\n")
    result = look_at(shop)
    assert found(result) == {("compose.model_unread", shop.name, "unknown")}
    assert "imagge" in result["findings"][0]["message"]
    assert result["services"][0]["running"] == 1
    path.unlink()
    assert found(look_at(shop)) == {("compose.model_unread", shop.name, "unknown")}
    # Nobody asked for these files: what there is was judged.
    assert found(look(shop.engine, project_name=shop.name)) == {("compose.expected_unknown", shop.name, "info")}
    # Without its client, Compose cannot be asked.
    assert found(look_at(shop, cli="no-such-docker")) == {("compose.model_unread", shop.name, "unknown")}


def test_a_project_that_is_not_there(shop: Project) -> None:
    assert found(look(shop.engine, project_name="nowhere")) == {("compose.project_missing", "nowhere", "critical")}
    write_model(shop.folder, {"web": {}, "none": {"deploy": {"replicas": 0}}})
    assert found(look_at(shop)) == {("compose.service_missing", "web", "critical")}
    assert found(look_at(shop, services=["web", "typo"])) >= {("compose.service_missing", "typo", "critical")}
    assert found(look_at(shop, ignore_services=["*"])) == {("compose.nothing_examined", "compose", "unknown")}


def test_a_daemon_that_cannot_be_asked_is_no_success(engine: Engine, tmp_path: Path) -> None:
    socket = f"unix://{tmp_path}/none.sock"
    with pytest.raises(ConnectionFailed, match="no such socket"):
        look(engine, docker_host=socket)
    answer: Answer = run_module(tmp_path, "compose_health_info", {"docker_host": socket})
    assert answer.how == "FAILED" and "no such socket" in answer.result["msg"]


@pytest.mark.matrix
def test_the_module_looks_as_a_user_would_let_it(shop: Project, tmp_path: Path) -> None:
    write_model(shop.folder, {"web": {}, "down": {"command": ["false"]}})
    shop.compose("up", "--detach")
    (down,) = shop.containers("down")
    until(lambda: shop.engine.inspect(down)["State"]["Status"] == "exited")
    params = {"project_src": str(shop.folder), "project_name": shop.name, "docker_host": os.environ["DOCKER_HOST"]}
    answer = run_module(tmp_path, "compose_health_info", params, check_mode=True)
    assert (answer.how, answer.worst, answer.result["changed"]) == ("SUCCESS", "critical", False)
    assert answer.found() == {f"{shop.name}/down": ("compose.service_down", "critical")}
    assert answer.result["services"][1]["containers"][0]["image"] == SHELL


PYTHONS = [path for path in os.environ.get("UPKEEP_TARGET_PYTHONS", "").split(os.pathsep) if path]


@pytest.mark.target_python
@pytest.mark.parametrize("python", PYTHONS)
def test_every_target_python_says_the_same(shop: Project, tmp_path: Path, python: str) -> None:
    write_model(shop.folder, {"web": {}})
    shop.up()
    params = {"project_src": str(shop.folder), "project_name": shop.name, "docker_host": os.environ["DOCKER_HOST"]}
    answer = run_module(tmp_path, "compose_health_info", params, interpreter=python)
    assert (answer.how, answer.worst) == ("SUCCESS", "ok"), answer.result


@pytest.mark.soak
def test_the_role_looks_at_each_project(shop: Project, tmp_path: Path) -> None:
    write_model(shop.folder, {"web": {}})
    shop.up()
    play = tmp_path / "play.yml"
    play.write_text(
        "- hosts: all\n  gather_facts: false\n  tasks:\n"
        "    - ansible.builtin.include_role: {name: cadence.upkeep.compose}\n"
        "    - ansible.builtin.debug: {var: compose_check.results}\n"
    )
    fleet = Fleet(tmp_path).local("one")
    fleet.environment["ANSIBLE_COLLECTIONS_PATH"] = str(CHECKOUT / "playbooks" / "collections")
    named = {"project_src": str(shop.folder), "project_name": shop.name}
    ran = fleet.play(str(play), compose_projects=[named, {}])
    assert ran.code == 0 and ran.output.count(f'"project": "{shop.name}"') >= 2, ran.output
    ran = fleet.play(str(play), compose_projects=[{**named, "projet_src": "x"}])
    assert ran.code != 0 and "projet_src" in ran.output
