"""Updates where something around them gives way: the disk, the daemon, the registry, the proxy, a name."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
import threading
import time
import urllib.request
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from ansible_collections.cadence.upkeep.plugins.module_utils._compose.project import ModelRefused
from ansible_collections.cadence.upkeep.plugins.module_utils._compose.roll import engine as rolls
from ansible_collections.cadence.upkeep.plugins.module_utils._compose.roll.model import RollFailed
from ansible_collections.cadence.upkeep.plugins.module_utils._core.errors import InvalidInput
from tests.bed import docker_engine as bed
from tests.bed import shop
from tests.bed.docker_engine import Engine
from tests.integration.rolling import Rolling, told
from tests.integration.test_compose_rolling_faults import (
    PATIENCE,
    all_as_before,
    as_it_has_to_be,
    codes,
    kind,
    serving,
    wait_for_journal,
)

pytestmark = pytest.mark.soak


@pytest.fixture(scope="module")
def image(docker_engine: Engine) -> str:
    return shop.app_image(docker_engine, "upkeep-shop:1")


@pytest.fixture
def rolling(docker_engine: Engine, tmp_path: Path) -> Iterator[Rolling]:
    with Rolling(docker_engine, tmp_path, "around") as made:
        yield made


# --- the disk --------------------------------------------------------------------------------------------------------


@pytest.fixture
def small(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A small disk, on which the data of engines is kept."""
    place = Path(f"/var/tmp/upkeep-small-{os.getpid()}")
    place.mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=320m,mode=0755", "tmpfs", place], check=True)
    monkeypatch.setattr(bed, "_DATA", place)
    try:
        yield place
    finally:
        subprocess.run(["umount", "--lazy", place], check=True)
        place.rmdir()


def fill(place: Path) -> Path:
    """Take all that is free there."""
    filler = place / "filler"
    with open(filler, "wb") as stream, contextlib.suppress(OSError):
        while True:
            stream.write(b"\0" * (1 << 16))
            stream.flush()
    return filler


def test_a_disk_of_the_daemon_that_is_full(tmp_path: Path, small: Path) -> None:
    """Nothing of the old containers is lost, and with room again the same update goes through."""
    with Engine() as engine:
        if not engine.own:
            pytest.skip("the disk of this machine's own engine is not ours to fill")
        image = shop.app_image(engine, "upkeep-shop:1")
        with Rolling(engine, tmp_path, "full") as rolling:
            before = serving(rolling, image)
            old = json.loads(json.dumps(rolling.services))
            rolling.change("web", environment={"VERSION": "b"})
            with pytest.raises(RollFailed, match="min_free") as refused:
                rolling.roll(min_free="1GiB")
            assert refused.value.kind == "no_space"
            filler = fill(small)
            rolled = rolling.roll()
            assert (rolled.outcome, kind(rolled)) == ("rolled_back", "no_space"), rolled.failure
            filler.unlink()
            new = json.loads(json.dumps(rolling.services))
            all_as_before(rolling, before, old)
            rolling.write(new)
            again = rolling.roll()
            assert again.outcome == "updated", again.failure
            as_it_has_to_be(rolling, 2, "b", before, 0)


# --- the daemon ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("live_restore", [True, False], ids=["live-restore", "plain"])
def test_a_daemon_that_ends_in_order_and_comes_back(tmp_path: Path, live_restore: bool) -> None:
    """As `systemctl restart docker` does it. With live-restore the containers go on meanwhile, else they stop."""
    with Engine() as engine:
        if not engine.own:
            pytest.skip("this machine's own engine is not ours to restart")
        under_a_service_manager(engine, ["--live-restore"] if live_restore else [])
        image = shop.app_image(engine, "upkeep-shop:1")
        with Rolling(engine, tmp_path, "restarted") as rolling:
            serving(rolling, image, replicas=2, restart="always")
            rolling.change("web", environment={"VERSION": "b"})
            child = rolling.roll_elsewhere(monitor="5s", health_timeout="60s")
            wait_for_journal(rolling, "gate")
            os.kill(daemon_of(engine), signal.SIGTERM)
            ended = told(child, 240)
            assert ended["outcome"] in ("updated", "rolled_back"), ended
            if ended["outcome"] == "rolled_back":
                assert rolling.roll(health_timeout="60s").outcome == "updated"
            assert len(rolling.facts.running("web")) == len(rolling.facts.containers("web")) == 2
            policies = {one["HostConfig"]["RestartPolicy"]["Name"] for one in rolling.facts.containers("web")}
            assert policies == {"always"}
            assert rolling.facts.drift() == []


def test_a_daemon_that_stays_away(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The run says that it could not bring anything back, and the next one does."""
    with Engine() as engine:
        if not engine.own:
            pytest.skip("this machine's own engine is not ours to stop")
        image = shop.app_image(engine, "upkeep-shop:1")
        with Rolling(engine, tmp_path, "away") as rolling:
            before = serving(rolling, image, restart="always")
            old = json.loads(json.dumps(rolling.services))
            rolling.change("web", environment={"VERSION": "b"})
            monkeypatch.setattr(rolls, "PATIENCE", 2.0)
            start_again: list[Callable[[], None]] = []

            def stop() -> None:
                wait_for_journal(rolling, "gate")
                start_again.append(ended_daemon(engine))

            thread = threading.Thread(target=stop)
            thread.start()
            rolled = rolling.roll(monitor="60s")
            thread.join()
            assert rolled.outcome == "rollback_failed" and "cannot be asked" in " ".join(rolled.as_result()["lost"])
            assert rolling.journal() is not None
            start_again[0]()
            monkeypatch.undo()
            assert rolling.roll().outcome == "rolled_back"
            all_as_before(rolling, before, old)


def ended_daemon(engine: Engine) -> Callable[[], None]:
    """End the daemon with all that it runs; what starts it again."""
    name, argv, env = line_of(engine)
    log = Path(argv[argv.index("--data-root") + 1]).with_name("dockerd.log")
    engine.ledger.stop(name)

    def start() -> None:
        Path(argv[argv.index("--pidfile") + 1]).unlink(missing_ok=True)
        engine.ledger.start(name, argv, log=log, signals=("SIGKILL",), env=env, cwd=Path("/"))
        deadline = time.monotonic() + PATIENCE
        while engine.docker("version", check=False).returncode != 0:
            assert time.monotonic() < deadline, log.read_text()[-800:]
            time.sleep(0.05)

    return start


def line_of(engine: Engine) -> tuple[str, list[str], dict[str, str]]:
    """How its daemon was started: the name in the ledger, the command line and the variables."""
    lines = {name: Path(f"/proc/{one.pid}/cmdline").read_text() for name, one in engine.ledger.processes.items()}
    (name,) = [name for name, line in lines.items() if engine.url in line]
    environ = Path(f"/proc/{engine.ledger.processes[name].pid}/environ").read_text().rstrip("\0")
    return name, lines[name].rstrip("\0").split("\0"), dict(word.split("=", 1) for word in environ.split("\0"))


def under_a_service_manager(engine: Engine, more: list[str]) -> None:
    """Start the engine anew, below a program that starts the daemon again whenever it ends."""
    name, argv, env = line_of(engine)
    place = next(place for place, word in enumerate(argv) if word.endswith("/dockerd"))
    log = Path(argv[argv.index("--data-root") + 1]).with_name("dockerd.log")
    engine.ledger.stop(name)
    Path(argv[argv.index("--pidfile") + 1]).unlink(missing_ok=True)
    manager = ["/bin/sh", "-c", 'while :; do "$@"; sleep 1; done', "manager"]
    argv = [*argv[:place], *manager, *argv[place:], *more]
    engine.ledger.start(name, argv, log=log, signals=("SIGKILL",), env=env, cwd=Path("/"))
    deadline = time.monotonic() + PATIENCE
    while engine.docker("version", check=False).returncode != 0:
        assert time.monotonic() < deadline, log.read_text()[-800:]
        time.sleep(0.05)


def daemon_of(engine: Engine) -> int:
    """The process of its daemon itself."""
    for path in Path("/proc").glob("[0-9]*/cmdline"):
        with contextlib.suppress(OSError):
            words = path.read_bytes().decode().split("\0")
            if words[0].endswith("/dockerd") and engine.url in words:
                return int(path.parent.name)
    raise AssertionError("there is no daemon")


# --- what is asked for does not come ---------------------------------------------------------------------------------


def test_what_cannot_be_pulled_or_built_touches_nothing(rolling: Rolling, image: str) -> None:
    before = serving(rolling, image, replicas=1)
    rolling.change("web", image="127.0.0.1:1/upkeep-nowhere:1")
    with pytest.raises(RollFailed, match=r"127\.0\.0\.1:1") as refused:
        rolling.roll(pull="missing")
    assert refused.value.kind == "pull_failed"
    (rolling.folder / "Dockerfile").write_text(f"FROM {image}\nRUN false\n")
    rolling.change("web", image="upkeep-built:1", build=".")
    with pytest.raises(RollFailed) as refused:
        rolling.roll(build="always")
    assert refused.value.kind == "build_failed"
    assert rolling.facts.ids("web") == before and len(rolling.facts.running("web")) == 1
    assert rolling.journal() is None


def test_a_program_that_is_not_in_the_image(rolling: Rolling, image: str) -> None:
    before = serving(rolling, image)
    old = json.loads(json.dumps(rolling.services))
    rolling.change("web", command=["/nowhere/at/all"])
    rolled = rolling.roll()
    assert (rolled.outcome, kind(rolled)) == ("rolled_back", "start_failed")
    assert "/nowhere/at/all" in rolled.as_result()["error"]["message"]
    all_as_before(rolling, before, old)


def test_a_name_that_somebody_else_has(rolling: Rolling, image: str) -> None:
    before = serving(rolling, image, replicas=1)
    old = json.loads(json.dumps(rolling.services))
    name = f"{rolling.project.name}-web-2"
    rolling.engine.docker("create", "--name", name, image)
    try:
        rolling.change("web", environment={"VERSION": "b"})
        rolled = rolling.roll()
        assert (rolled.outcome, kind(rolled)) == ("rolled_back", "create_failed")
        assert name in rolled.as_result()["error"]["message"]
        all_as_before(rolling, before, old)
    finally:
        rolling.engine.remove(name)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("services: {web: {image: x, depends_on: [db]}, db: {image: x, depends_on: [web]}}", "cycle"),
        ("services: {web: {image: x, replicas: 2}}", "Additional property replicas is not allowed|additional propert"),
        ("services: [", "yaml"),
        ("services: {web: {image: '${NOWHERE:?must be set}'}}", "must be set"),
    ],
    ids=["cycle", "misspelt", "torn", "variable"],
)
def test_a_model_that_compose_refuses_is_refused_in_its_words(
    rolling: Rolling, image: str, text: str, said: str
) -> None:
    before = serving(rolling, image, replicas=1)
    rolling.file.write_text(text)
    for check_mode in (True, False):
        with pytest.raises(ModelRefused, match=said):
            rolling.roll(check_mode)
    assert rolling.facts.ids("web") == before


def test_what_is_misspelt_is_refused_before_anything_is_touched(rolling: Rolling, image: str) -> None:
    before = serving(rolling, image, replicas=1)
    rolling.change("web", environment={"VERSION": "b"})
    for more, said in (
        ({"services": ["nobody"]}, "nobody"),
        ({"scale": {"nobody": 1}}, "nobody"),
        ({"peers": [["web", "nobody"]]}, "nobody"),
        ({"exclusive_volumes": ["nothing"]}, "nothing"),
        ({"smoke": [{"command": ["true"], "service": "nobody"}]}, "nobody"),
        ({"traffic": {"mode": "nginx", "service": "nobody"}}, "nobody"),
        ({"probe": {"port": 1, "query": "["}}, "JMESPath"),
    ):
        with pytest.raises(InvalidInput, match=said):
            rolling.roll(**more)
    assert rolling.facts.ids("web") == before and rolling.journal() is None


# --- who serves meanwhile --------------------------------------------------------------------------------------------


def test_one_that_is_sick_when_the_next_is_to_go(rolling: Rolling, image: str) -> None:
    """It had passed its gate: no further old one goes before it is well again, and it never is."""
    before = serving(rolling, image)
    old = json.loads(json.dumps(rolling.services))
    rolling.change("web", environment={"MODE": "sick", "AFTER": "4"})
    rolled = rolling.roll(monitor="300ms", delay="20s", health_timeout="8s")
    assert (rolled.outcome, kind(rolled)) == ("rolled_back", "unhealthy"), rolled.failure
    results = [one["result"] for one in rolled.as_result()["services"]["web"]["batches"]]
    assert results == ["taken back", "pending"], "the second old one was never touched"
    all_as_before(rolling, before, old)


def test_one_that_ends_after_it_has_passed(rolling: Rolling, image: str) -> None:
    before = serving(rolling, image, replicas=1)
    old = json.loads(json.dumps(rolling.services))
    rolling.change("web", environment={"MODE": "crash", "AFTER": "4"})
    slow = {"name": "slow", "command": ["sleep", "8"]}
    rolled = rolling.roll(monitor="300ms", smoke=[slow])
    assert (rolled.outcome, kind(rolled)) == ("rolled_back", "exited"), rolled.failure
    all_as_before(rolling, before, old)


def test_at_no_instant_fewer_are_healthy_than_wanted(rolling: Rolling, image: str) -> None:
    healthy = set(serving(rolling, image, replicas=3))
    since = rolling.engine.docker("info", "--format", "{{.SystemTime}}").stdout.strip()
    rolling.change("web", environment={"VERSION": "b"})
    rolled = rolling.roll()
    assert rolled.outcome == "updated", rolled.failure
    until = rolling.engine.docker("info", "--format", "{{.SystemTime}}").stdout.strip()
    of_project = f"label=com.docker.compose.project={rolling.project.name}"
    seen = rolling.engine.docker(
        "events", "--since", since, "--until", until, "--filter", of_project, "--format", "{{json .}}"
    ).stdout
    counts = [len(healthy)]
    for event in map(json.loads, seen.splitlines()):
        action, identity = event["Action"], event["Actor"]["ID"]
        if action == "health_status: healthy":
            healthy.add(identity)
        elif action in ("kill", "die", "health_status: unhealthy"):
            healthy.discard(identity)
        counts.append(len(healthy))
    assert min(counts) == 3 and max(counts) == 4 and len(counts) > 6, counts


def test_a_proxy_that_refuses_its_configuration(rolling: Rolling, image: str) -> None:
    """nginx goes on with what it has, and its list of servers is as it was."""
    traffic = rolling.behind_nginx(image=image, environment={"VERSION": "a"})
    before, listed = rolling.facts.ids("web"), Path(traffic["file"]).read_text()
    config = rolling.folder / "nginx.conf"
    with config.open("a") as stream:
        stream.write("nonsense;\n")
    with rolling.load(fresh_posts=True) as load:
        rolling.change("web", environment={"VERSION": "b"})
        rolled = rolling.roll(traffic=traffic)
    assert (rolled.outcome, kind(rolled)) == ("rolled_back", "hook_failed"), rolled.failure
    assert "nonsense" in rolled.as_result()["error"]["message"]
    assert Path(traffic["file"]).read_text() == listed and rolling.facts.ids("web") == before
    assert (load.result["failed"], set(load.result["versions"])) == (0, {"a"}), load.result


def test_a_request_that_is_under_way_is_finished(rolling: Rolling, image: str) -> None:
    traffic = rolling.behind_nginx(image=image, environment={"VERSION": "a"}, stop_grace_period="20s")
    answers: list[int] = []

    def ask() -> None:
        with urllib.request.urlopen(f"http://127.0.0.1:{rolling.port}/slow/8", timeout=PATIENCE) as answer:
            answers.append(answer.status)

    threads = [threading.Thread(target=ask) for _each in range(4)]
    for thread in threads:
        thread.start()
    rolling.change("web", environment={"VERSION": "b", "FINISH": "15"})
    rolled = rolling.roll(traffic=traffic)
    for thread in threads:
        thread.join()
    assert (rolled.outcome, answers) == ("updated", [200] * 4)
    assert "compose.killed_at_stop" not in codes(rolled)
