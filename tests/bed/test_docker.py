"""The Docker engine of the bed: it works, it leaves nothing behind, and it spares what is not ours."""

from __future__ import annotations

import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import textwrap
from pathlib import Path
from typing import Any

import pytest

from tests.bed import bridges, docker_images
from tests.bed.docker_engine import Engine
from tests.bed.errors import BedError
from tests.bed.postgres import CHECKOUT

COMPOSE = """
services:
  web:
    image: {image}
    command: [sleep, "600"]
    init: true
    healthcheck: {{test: ["CMD-SHELL", "exit 0"], interval: 1s}}
networks: {{default: {{}}}}
volumes: {{unused: {{}}}}
"""


def base_image(engine: Engine) -> str:
    """A shell and nothing else."""
    archive = docker_images.cached(
        "base", [], engine.cache, lambda path: docker_images.save(docker_images.base(), path, {"Cmd": ["bash"]})
    )
    return engine.image("upkeep-base:1", archive)


def test_a_container_runs_and_says_something(docker_engine: Engine) -> None:
    name = docker_engine.run(base_image(docker_engine), "bash", "-c", "echo hello; sleep 600", name="says")
    try:
        docker_engine.wait_for(name, "hello", seconds=20)
        docker_engine.wait_until(name, "true")
        assert docker_engine.inspect(name)["State"]["Running"]
        with pytest.raises(BedError, match="never said 'goodbye'"):
            docker_engine.wait_for(name, "goodbye", seconds=0)
    finally:
        docker_engine.remove(name)
    assert docker_engine.docker("inspect", name, check=False).returncode != 0


def test_a_project_comes_up_and_goes_down(docker_engine: Engine, tmp_path: Path) -> None:
    (tmp_path / "compose.yaml").write_text(COMPOSE.format(image=base_image(docker_engine)))
    with docker_engine.compose(tmp_path, "shop") as shop:
        shop.up("--scale", "web=2", "--pull", "never")
        names = shop.containers("web")
        assert len(names) == 2
        # By their names they find each other, as a proxy in front of them would.
        docker_engine.docker("exec", names[0], "bash", "-c", "grep -q 127.0.0.11 /etc/resolv.conf")
    listed = docker_engine.docker("ps", "--all", "--quiet", "--filter", f"label=com.docker.compose.project={shop.name}")
    assert listed.stdout == ""


def test_postgres_keeps_the_promises_of_the_image_that_it_is_named_like(docker_engine: Engine, tmp_path: Path) -> None:
    image = docker_engine.postgres_image()
    scripts = tmp_path / "scripts"
    scripts.mkdir()
    (scripts / "1.sql").write_text("CREATE TABLE made_by_sql AS SELECT 1 AS one")
    (scripts / "2.sh").write_text('psql -qU "$POSTGRES_USER" -d "$POSTGRES_DB" -c \'CREATE TABLE made_by_shell ()\'')
    name = docker_engine.run(
        image, name="promises",
        options=["--env", "POSTGRES_USER=odd user", "--env", "POSTGRES_DB=odd \"db",
                 "--env", "POSTGRES_PASSWORD=a'b\\c", "--volume", f"{scripts}:/docker-entrypoint-initdb.d:ro"],
    )  # fmt: skip
    refused = docker_engine.run(image, name="refused")
    try:
        docker_engine.wait_until(name, "pg_isready", "--quiet", "--host", "127.0.0.1")
        sql = "SELECT count(*) FROM pg_class WHERE relname LIKE 'made_by_%'"
        answer = docker_engine.docker(
            "exec",
            "--env",
            "PGPASSWORD=a'b\\c",
            name,
            "psql",
            "-h",
            "127.0.0.1",
            "-AtU",
            "odd user",
            'odd "db',
            "-c",
            sql,
        )
        assert answer.stdout.strip() == "2"
        docker_engine.docker("wait", refused)
        assert "POSTGRES_PASSWORD is not set" in docker_engine.docker("logs", refused).stderr
    finally:
        docker_engine.remove(name)
        docker_engine.remove(refused)


def in_process(body: str, **variables: str) -> subprocess.Popen[str]:
    """Start a process that uses the bed, as another run of the tests does."""
    program = f"import json, sys, time\nfrom tests.bed.docker_engine import Engine\n{textwrap.dedent(body)}"
    env = {**os.environ, "PYTHONPATH": str(CHECKOUT), **variables}
    return subprocess.Popen([sys.executable, "-c", program], stdout=subprocess.PIPE, text=True, env=env, cwd=CHECKOUT)


STARTED = """
engine = Engine()
engine.start()
from tests.bed.test_docker import base_image
with engine.network("left") as network:
    name = engine.run(base_image(engine), "sleep", "600", name="left", options=["--network", network])
    facts = {"own": engine.own, "number": engine._number, "directory": str(engine._directory), "name": name,
             "network": network}
    print("\\n" + json.dumps(facts), flush=True)
    time.sleep(600)
"""


def facts_of(child: subprocess.Popen[str]) -> dict[str, Any]:
    assert child.stdout is not None
    for line in child.stdout:
        if line.startswith("{"):
            facts: dict[str, Any] = json.loads(line)
            return facts
    raise AssertionError("the other run ended too early")


def left_of(facts: dict[str, Any]) -> list[str]:
    """What can still be seen of an engine of our own."""
    links = [name for _index, name in socket.if_nameindex() if name == f"{bridges.PREFIX}{facts['number']}"]
    groups = [str(path) for path in Path("/sys/fs/cgroup").glob(f"**/upkeep-bed-docker-{facts['number']}")]
    directory = facts["directory"]
    processes = []
    for path in Path("/proc").glob("[0-9]*/cmdline"):
        try:
            processes += [str(path)] if directory in path.read_bytes().decode(errors="replace") else []
        except OSError:
            continue  # it has ended meanwhile
    mounts = [line for line in Path("/proc/self/mountinfo").read_text().splitlines() if directory in line]
    return [*links, *groups, *processes, *mounts, *([directory] if os.path.exists(directory) else [])]


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGKILL], ids=["interrupted", "killed"])
def test_an_engine_of_ours_leaves_nothing_however_its_tests_end(docker_engine: Engine, number: signal.Signals) -> None:
    if not docker_engine.own:
        pytest.skip("this machine has an engine, so there is none of our own to end")
    with in_process(STARTED) as child:
        facts = facts_of(child)
        assert left_of(facts), "it runs"
        child.send_signal(number)
        child.wait(timeout=60)
    with in_process("with Engine(): pass") as after:
        after.wait(timeout=120)
    assert after.returncode == 0
    assert left_of(facts) == []
    assert docker_engine.docker("version").returncode == 0, "the engine of another run is left alone"


def test_in_an_engine_of_this_machine_only_what_is_ours_is_removed(docker_engine: Engine) -> None:
    """The engine of these tests stands for one that the machine has."""
    image = base_image(docker_engine)
    others = docker_engine.run(image, "sleep", "600", name="of-somebody-else")
    client = shutil.which("docker", path=docker_engine.environment()["PATH"])
    assert client is not None
    variables = {
        **{key: docker_engine.environment()[key] for key in ("LD_LIBRARY_PATH",) if key in docker_engine.environment()},
        "DOCKER_HOST": docker_engine.url, "PATH": f"{os.path.dirname(client)}{os.pathsep}{os.environ['PATH']}",
    }  # fmt: skip
    try:
        with in_process(STARTED, **variables) as child:
            facts = facts_of(child)
            assert not facts["own"] and facts["name"] != "left"
            child.kill()
        assert docker_engine.inspect(facts["name"])["State"]["Running"], "nobody has cleared up yet"
        with in_process("with Engine() as engine: assert not engine.own", **variables) as after:
            after.wait(timeout=120)
        assert after.returncode == 0
        assert docker_engine.docker("inspect", facts["name"], facts["network"], check=False).stdout.strip() == "[]"
        assert docker_engine.inspect(others)["State"]["Running"]
        assert docker_engine.docker("image", "inspect", image).returncode == 0, "it is in use"
    finally:
        docker_engine.remove(others)
