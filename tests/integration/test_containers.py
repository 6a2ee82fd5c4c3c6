"""What every domain may do with containers: find them, read in them, run programs there, signal them."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import closing

import pytest

from ansible_collections.cadence.upkeep.plugins.module_utils._core.containers import Description, Place
from ansible_collections.cadence.upkeep.plugins.module_utils._core.daemon import Daemon
from ansible_collections.cadence.upkeep.plugins.module_utils._core.errors import (
    CommandFailed,
    ConnectionFailed,
    DeadlineExceeded,
    InvalidInput,
)
from tests.bed.docker_engine import Engine
from tests.bed.docker_images import base, cached, save

SCRIPT = "trap 'echo hung up' HUP; echo ready; while :; do sleep 0.05; done"


@pytest.fixture(scope="module")
def container(docker_engine: Engine) -> Iterator[str]:
    tree = base()
    archive = cached(
        "listener", [SCRIPT], docker_engine.cache, lambda path: save(tree, path, {"Cmd": ["bash", "-c", SCRIPT]})
    )
    name = docker_engine.run(docker_engine.image("upkeep-listener:1", archive), name="shell")
    docker_engine.wait_for(name, "ready")
    yield name
    docker_engine.remove(name)


@pytest.fixture
def daemon(docker_engine: Engine) -> Iterator[Daemon]:
    with closing(Daemon(docker_engine.url, {})) as connected:
        yield connected


@pytest.fixture
def found(daemon: Daemon, container: str) -> Description:
    return daemon.find(Place(container))


def test_a_program_says_how_it_ended_and_what_it_said(daemon: Daemon, found: Description) -> None:
    for _time in range(20):  # the first words are never lost
        ended = daemon.execute(found, ["sh", "-c", "echo out; echo err >&2; exit 3"], 30)
        assert (ended.status, sorted(ended.output.split())) == (3, ["err", "out"])
    assert daemon.execute(found, ["true"], 30).status == 0


def test_words_are_words_and_no_shell_sees_them(daemon: Daemon, found: Description) -> None:
    odd = "$(touch /tmp/x) ; `id` 'a\"b\nc"
    assert daemon.execute(found, ["test", odd, "=", odd], 30).status == 0
    assert daemon.execute(found, ["test", "-e", "/tmp/x"], 30).status == 1


def test_much_output_is_cut(daemon: Daemon, found: Description) -> None:
    ended = daemon.execute(found, ["sh", "-c", "head -c 3000000 /dev/zero | tr '\\0' x; echo end >&2; exit 5"], 60)
    assert ended.status == 5 and 200_000 < len(ended.output) < 300_000


@pytest.mark.parametrize("script", ["sleep 30", "while :; do echo x; done"], ids=["silent", "never silent"])
def test_a_program_that_does_not_end_is_left(daemon: Daemon, found: Description, script: str) -> None:
    started = time.monotonic()
    with pytest.raises(DeadlineExceeded, match="had not ended in the container"):
        daemon.execute(found, ["timeout", "60", "sh", "-c", script], 0.5)
    assert time.monotonic() - started < 40
    assert daemon.execute(found, ["true"], 30).status == 0


def test_a_program_that_is_not_there(daemon: Daemon, found: Description) -> None:
    # By the daemon's version, it refuses to start it, or says so in the output.
    said = ""
    try:
        ended = daemon.execute(found, ["no-such-program"], 30)
    except CommandFailed as error:
        said = error.message
    else:
        said = f"{ended.output} {ended.status}"
    assert "no-such-program" in said and ("cannot be started" in said or "12" in said)


def test_a_signal_reaches_the_first_process(docker_engine: Engine, daemon: Daemon, found: Description) -> None:
    daemon.signal(found, "HUP")
    docker_engine.wait_for(str(found["Name"]).lstrip("/"), "hung up")


def test_nothing_runs_in_a_container_that_does_not(docker_engine: Engine, daemon: Daemon, container: str) -> None:
    name = docker_engine.run("upkeep-shell:1", "true", name="ended")
    try:
        docker_engine.docker("wait", name)
        description = daemon.find(Place(name))
        with pytest.raises((CommandFailed, ConnectionFailed), match=f"{name}|not running"):
            daemon.execute(description, ["true"], 10)
    finally:
        docker_engine.remove(name)
    with pytest.raises(InvalidInput, match=f"no container {name}"):
        daemon.find(Place(name))
    with pytest.raises(InvalidInput, match="no project nowhere"):
        daemon.find(Place("", "nowhere", "web"))
