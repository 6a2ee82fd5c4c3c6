"""Updates that go wrong: what is left, which containers serve, and what the journal says. Each fault is a real one."""

from __future__ import annotations

import json
import signal
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from ansible_collections.cadence.upkeep.plugins.module_utils._compose.project import ModelRefused
from ansible_collections.cadence.upkeep.plugins.module_utils._compose.roll.model import RollFailed
from ansible_collections.cadence.upkeep.plugins.module_utils._compose.roll.report import Rolled
from ansible_collections.cadence.upkeep.plugins.module_utils._core.errors import LockHeld, StateError
from tests.bed import shop
from tests.bed.docker_engine import Engine
from tests.integration.rolling import Rolling, told

PATIENCE = 60


@pytest.fixture(scope="module")
def image(docker_engine: Engine) -> str:
    return shop.app_image(docker_engine, "upkeep-shop:1")


@pytest.fixture
def rolling(docker_engine: Engine, tmp_path: Path) -> Iterator[Rolling]:
    with Rolling(docker_engine, tmp_path, "fault") as made:
        yield made


def serving(rolling: Rolling, image: str, **more: Any) -> list[str]:
    """Bring up a service; the ids of its containers."""
    rolling.write({"web": shop.web(image, **more)})
    rolling.up()
    return rolling.facts.ids("web")


def kind(rolled: Rolled) -> str:
    return str(rolled.as_result()["error"].get("kind", ""))


def codes(rolled: Rolled) -> set[str]:
    return {finding["code"] for finding in rolled.as_result()["findings"]}


def all_as_before(rolling: Rolling, before: list[str], old: dict[str, Any]) -> None:
    """The old containers serve, the very same, nothing is left over, and their own configuration sees no drift."""
    assert rolling.facts.ids("web") == before
    assert len(rolling.facts.running("web")) == len(before)
    assert rolling.journal() is None
    rolling.write(old)
    assert rolling.facts.drift() == []


# --- new containers that are no good --------------------------------------------------------------------------------


def test_one_that_never_becomes_healthy_is_taken_back(rolling: Rolling, image: str) -> None:
    before = serving(rolling, image)
    old = json.loads(json.dumps(rolling.services))
    rolling.change("web", environment={"MODE": "never_healthy"})
    begun = time.monotonic()
    rolled = rolling.roll(health_timeout="3s")
    assert rolled.outcome == "rolled_back" and kind(rolled) in ("unhealthy", "health_timeout"), rolled.failure
    rollback = [one for one in rolled.as_result()["actions"] if one["id"] == "web/rollback"]
    assert rollback[0]["seconds"] < PATIENCE > time.monotonic() - begun
    assert {"compose.roll_failed", "compose.rolled_back"} <= codes(rolled)
    all_as_before(rolling, before, old)


def test_one_that_ends_at_once_is_seen_at_once(rolling: Rolling, image: str) -> None:
    before = serving(rolling, image, replicas=1)
    rolling.change("web", environment={"MODE": "exit", "CODE": "7"})
    rolled = rolling.roll(health_timeout="50s")
    assert (rolled.outcome, kind(rolled)) == ("rolled_back", "exited")
    error = rolled.as_result()["error"]
    assert "exit code 7" in error["message"] and "it does not start" in error["logs_tail"]
    gate = [one for one in rolled.as_result()["actions"] if one["id"] == "web/gate"]
    assert gate[0]["seconds"] < 25, "it was not waited for until health_timeout"
    assert rolling.facts.ids("web") == before


@pytest.mark.soak
@pytest.mark.parametrize(
    ("variables", "options", "said"),
    [
        ({"MODE": "crash", "AFTER": "2"}, {"monitor": "6s"}, {"exited"}),
        ({"MODE": "sick", "AFTER": "3"}, {"monitor": "15s", "fail_fast": True}, {"unhealthy"}),
        ({"MODE": "sick", "AFTER": "3"}, {"monitor": "15s", "health_timeout": "20s"}, {"unhealthy"}),
        ({"MODE": "oom"}, {}, {"oom", "exited"}),
    ],
    ids=["crashes", "sick", "sick-and-waited-for", "oom"],
)
def test_one_that_fails_after_a_while_is_taken_back(
    rolling: Rolling, image: str, variables: dict[str, str], options: dict[str, Any], said: set[str]
) -> None:
    before = serving(rolling, image, replicas=2, mem_limit="64m")
    old = json.loads(json.dumps(rolling.services))
    rolling.change("web", environment=variables)
    rolled = rolling.roll(**options)
    assert rolled.outcome == "rolled_back" and kind(rolled) in said, rolled.failure
    all_as_before(rolling, before, old)


@pytest.mark.soak
@pytest.mark.parametrize("restart", ["no", "always"])
def test_without_a_health_check_a_crash_is_seen_all_the_same(rolling: Rolling, image: str, restart: str) -> None:
    before = serving(rolling, image, checked=False, restart=restart)
    old = json.loads(json.dumps(rolling.services))
    rolling.change("web", environment={"MODE": "crash", "AFTER": "2"})
    rolled = rolling.roll(monitor="6s")
    assert rolled.outcome == "rolled_back" and kind(rolled) in ("exited", "restarted")
    assert "compose.unchecked" in codes(rolled)
    all_as_before(rolling, before, old)
    policies = {one["HostConfig"]["RestartPolicy"]["Name"] for one in rolling.facts.containers("web")}
    assert policies == {restart}


def test_what_was_replaced_already_comes_back_too(rolling: Rolling, image: str) -> None:
    """Both batches are through when the smoke test fails."""
    before = serving(rolling, image, environment={"VERSION": "a"}, restart="always")
    old = json.loads(json.dumps(rolling.services))
    rolling.change("web", environment={"VERSION": "b"})
    script = rolling.folder / "smoke.sh"
    # It had worked before the update: only then does it count.
    script.write_text(f"#!/bin/sh\n[ ! -e {rolling.folder}/marked ] && touch {rolling.folder}/marked\n")
    script.chmod(0o755)
    rolled = rolling.roll(smoke=[{"name": "whole", "command": [str(script)], "attempts": 1}])
    assert (rolled.outcome, kind(rolled)) == ("rolled_back", "smoke_failed"), rolled.failure
    assert [one["result"] for one in rolled.as_result()["services"]["web"]["batches"]] == ["taken back"] * 2
    all_as_before(rolling, before, old)
    assert {one["HostConfig"]["RestartPolicy"]["Name"] for one in rolling.facts.containers("web")} == {"always"}


def test_what_failed_before_does_not_decide(rolling: Rolling, image: str) -> None:
    """A check that fails already would roll back every release, or be waited for until the limit."""
    web = shop.web(image, replicas=1, environment={"MODE": "never_healthy"})
    web["healthcheck"] |= {"retries": 2, "start_period": "0s"}  # it is to fail, and soon
    rolling.write({"web": web})
    rolling.compose("up", "--detach", "--pull", "never")
    deadline = time.monotonic() + PATIENCE
    while rolling.facts.containers("web")[0]["State"]["Health"]["Status"] != "unhealthy":
        assert time.monotonic() < deadline
        time.sleep(0.2)
    before = rolling.facts.ids("web")
    rolling.change("web", environment={"VERSION": "b"})
    failing = {"name": "whole", "command": ["false"], "attempts": 1}
    rolled = rolling.roll(smoke=[failing], health_timeout="40s", probe={"port": 9, "successes": 1, "timeout": "1s"})
    assert rolled.outcome == "updated", rolled.failure
    assert "compose.baseline_failing" in codes(rolled)
    assert rolling.facts.ids("web") != before and len(rolling.facts.running("web")) == 1


@pytest.mark.soak
def test_one_that_is_deaf_is_killed_after_its_grace(rolling: Rolling, image: str) -> None:
    serving(rolling, image, replicas=1, environment={"MODE": "deaf"}, stop_grace_period="1s")
    rolling.change("web", environment={"MODE": "ok"})
    rolled = rolling.roll()
    assert rolled.outcome == "updated" and "compose.killed_at_stop" in codes(rolled)
    assert rolled.as_result()["services"]["web"]["batches"][0]["sigkilled"]
    assert rolling.facts.drift() == []


# --- what stands against it ------------------------------------------------------------------------------------------


def test_what_cannot_begin_touches_nothing(rolling: Rolling, image: str) -> None:
    before = serving(rolling, image, replicas=1)
    rolling.change("web", image="upkeep-nowhere:1")
    for check_mode in (True, False):
        with pytest.raises(RollFailed, match="upkeep-nowhere:1, which is not here") as refused:
            rolling.roll(check_mode)
        assert refused.value.kind == "image_missing"
    assert rolling.roll(True, pull="missing").as_result()["plan"][0]["to"]["image_id"].startswith("unknown")
    rolling.change("web", image=image, environment={"VERSION": "b"})
    with pytest.raises(RollFailed, match="min_free") as refused:
        rolling.roll(min_free="1000000GiB")
    assert refused.value.kind == "no_space"
    rolling.file.write_text("services: {web: {image: x, depends_on: [nobody]}}")
    with pytest.raises(ModelRefused, match='service "web" depends on undefined service'):
        rolling.roll()
    assert rolling.facts.ids("web") == before and rolling.journal() is None


def test_two_runs_at_once_exclude_each_other(rolling: Rolling, image: str) -> None:
    serving(rolling, image, replicas=1)
    rolling.change("web", environment={"VERSION": "b"})
    go = rolling.folder / "go"
    hook = ["sh", "-c", f"until [ -e {go} ]; do sleep 0.1; done"]
    first = rolling.roll_elsewhere(traffic={"mode": "hook", "hook": hook, "timeout": "2m"}, run_id="the first")
    try:
        wait_for_journal(rolling, "publish")
        with pytest.raises(LockHeld, match="the first"):
            rolling.roll()
    finally:
        go.touch()
        ended = told(first)
    assert ended["outcome"] == "updated", ended
    assert rolling.roll().outcome == "unchanged"


@pytest.mark.soak
def test_a_port_that_somebody_else_has(rolling: Rolling, image: str) -> None:
    before = serving(rolling, image, replicas=1)
    old = json.loads(json.dumps(rolling.services))
    taken = rolling.engine.run(image, name="taker", options=["--publish", f"127.0.0.1:{rolling.port}:8000"])
    try:
        rolling.change("web", ports=[f"127.0.0.1:{rolling.port}:8000"])
        rolled = rolling.roll()
        assert (rolled.outcome, kind(rolled)) == ("rolled_back", "conflict"), rolled.failure
        all_as_before(rolling, before, old)
    finally:
        rolling.engine.remove(taken)


# --- runs that are cut off -------------------------------------------------------------------------------------------


def wait_for_journal(rolling: Rolling, step: str) -> None:
    """Return when the run elsewhere has written that it is at that step."""
    deadline = time.monotonic() + PATIENCE
    while time.monotonic() < deadline:
        journal = rolling.journal()
        try:
            if journal is not None and f'"step": "{step}"' in journal.read_text():
                return
        except FileNotFoundError:
            pass  # just ended
        time.sleep(0.02)
    raise AssertionError(f"the run never came to {step}")


def test_a_signal_takes_it_back(rolling: Rolling, image: str) -> None:
    before = serving(rolling, image, replicas=2)
    old = json.loads(json.dumps(rolling.services))
    rolling.change("web", environment={"VERSION": "b", "BOOT": "60"})
    child = rolling.roll_elsewhere(health_timeout="100s")
    wait_for_journal(rolling, "gate")
    child.send_signal(signal.SIGTERM)
    ended = told(child)
    assert (ended["outcome"], ended["result"]["error"]["kind"]) == ("rolled_back", "interrupted")
    all_as_before(rolling, before, old)


def converged(rolling: Rolling, point: int, **options: Any) -> bool:
    """Kill a run after so many writes of the journal, run it twice more, and hold the end to what it has to be.

    Return whether the run was killed at all: it may have had fewer writes.
    """
    child = rolling.roll_elsewhere(kill_after=point, **options)
    child.communicate(timeout=PATIENCE * 2)
    if child.returncode == 0:
        return False
    assert child.returncode == -signal.SIGKILL
    first = rolling.roll(**options)
    assert first.outcome in ("resumed", "updated"), (point, first.failure)
    second = rolling.roll(**options)
    assert second.outcome == "unchanged", (point, second.as_result()["plan"])
    return True


def as_it_has_to_be(rolling: Rolling, replicas: int, version: str, before: list[str], point: int) -> None:
    containers = rolling.facts.containers("web")
    assert [one["Name"] for one in containers] == [
        f"/{rolling.project.name}-web-{number}" for number in range(1, replicas + 1)
    ], point
    assert all(one["State"]["Running"] for one in containers), point
    assert all(f"VERSION={version}" in one["Config"]["Env"] for one in containers), point
    assert not {one["Id"] for one in containers} & set(before), point
    assert rolling.journal() is None
    assert rolling.facts.drift() == [], point


@pytest.mark.parametrize("point", [8])
def test_a_run_that_is_killed_is_ended_by_the_next(rolling: Rolling, image: str, point: int) -> None:
    before = serving(rolling, image, replicas=1, environment={"VERSION": "a"})
    rolling.change("web", environment={"VERSION": "b"})
    assert converged(rolling, point)
    as_it_has_to_be(rolling, 1, "b", before, point)


@pytest.mark.soak
@pytest.mark.parametrize("half", [0, 1, 2, 3])
def test_killed_after_each_write_of_the_journal(rolling: Rolling, image: str, half: int) -> None:
    """Every fourth point in each case, so that none takes too long; together they are all."""
    rolling.write({"web": shop.web(image, environment={"VERSION": "0"})})
    rolling.up()
    point, seen = 1 + half, 0
    while True:
        before = rolling.facts.ids("web")
        rolling.change("web", environment={"VERSION": str(point)})
        if not converged(rolling, point):
            break
        as_it_has_to_be(rolling, 2, str(point), before, point)
        point, seen = point + 4, seen + 1
    assert seen >= 4


@pytest.mark.soak
@pytest.mark.parametrize("half", [0, 1])
def test_killed_after_each_write_where_the_old_one_goes_first(rolling: Rolling, image: str, half: int) -> None:
    rolling.write({"web": shop.web(image, replicas=1, container_name=rolling.engine.name("only"), volumes=["/data"])})
    rolling.up()
    rolling.compose("exec", "web", "bash", "-c", "echo precious > /data/kept")
    point, seen = 1 + half, 0
    while True:
        rolling.change("web", environment={"VERSION": str(point)})
        if not converged(rolling, point):
            break
        (one,) = rolling.facts.containers("web")
        assert one["Name"] == f"/{rolling.engine.name('only')}" and f"VERSION={point}" in one["Config"]["Env"]
        assert "precious" in rolling.compose("exec", "web", "cat", "/data/kept"), point
        assert rolling.facts.drift() == [], point
        point, seen = point + 2, seen + 1
    assert seen >= 3


@pytest.mark.soak
@pytest.mark.parametrize("half", [0, 1])
def test_killed_during_a_rollback(rolling: Rolling, image: str, half: int) -> None:
    """The next run ends the rollback; whatever was killed when, the old containers serve in the end."""
    before = serving(rolling, image, replicas=2)
    old = json.loads(json.dumps(rolling.services))
    point, outcomes = 1 + half, []
    while True:
        rolling.change("web", environment={"MODE": "exit"})
        child = rolling.roll_elsewhere(kill_after=point)
        child.communicate(timeout=PATIENCE)
        if child.returncode == 0:
            break
        ended = rolling.roll()
        outcomes.append(ended.outcome)
        assert ended.outcome == "rolled_back", (point, ended.failure)
        all_as_before(rolling, before, old)
        point += 2
    assert len(outcomes) >= 3
    assert rolling.facts.ids("web") == before


# --- somebody else ---------------------------------------------------------------------------------------------------


@pytest.mark.soak
def test_an_old_replica_that_dies_meanwhile(rolling: Rolling, image: str) -> None:
    before = serving(rolling, image, replicas=3)
    rolling.change("web", environment={"VERSION": "b"})
    child = rolling.roll_elsewhere(monitor="2s")
    wait_for_journal(rolling, "gate")
    for one in before[:2]:
        rolling.engine.docker("kill", one, check=False)
    ended = told(child)
    assert ended["outcome"] == "updated", ended
    as_it_has_to_be(rolling, 3, "b", before, 0)


@pytest.mark.soak
def test_a_person_who_runs_compose_up_meanwhile(rolling: Rolling, image: str) -> None:
    before = serving(rolling, image, replicas=2)
    rolling.change("web", environment={"VERSION": "b"})
    child = rolling.roll_elsewhere(monitor="3s")
    wait_for_journal(rolling, "gate")
    rolling.compose("up", "--detach", "--pull", "never")
    ended = told(child)
    assert ended["outcome"] == "updated", ended
    assert "compose.interfered" in {one["code"] for one in ended["result"]["findings"]}
    as_it_has_to_be(rolling, 2, "b", before, 0)


@pytest.mark.soak
def test_a_rollback_that_fails_says_so(rolling: Rolling, image: str) -> None:
    before = serving(rolling, image, replicas=2)
    rolling.change("web", environment={"VERSION": "b"})
    smoke = [{"name": "later", "command": [str(write_later(rolling))], "attempts": 1}]
    child = rolling.roll_elsewhere(smoke=smoke, delay="4s")
    deadline = time.monotonic() + PATIENCE
    while '"step": "replaced"' not in (rolling.journal() or Path("/dev/null")).read_text():
        assert time.monotonic() < deadline
        time.sleep(0.05)
    stopped = [one["Id"] for one in rolling.facts.containers("web") if not one["State"]["Running"]]
    rolling.engine.docker("rm", *stopped)
    ended = told(child)
    assert ended["outcome"] == "rollback_failed", ended
    assert "is gone" in " ".join(ended["result"]["lost"])
    assert "compose.rollback_failed" in {one["code"] for one in ended["result"]["findings"]}
    # The new one in the place of the one that is gone goes on serving: nobody else would.
    assert len(rolling.facts.running("web")) == 2
    assert len(set(rolling.facts.ids("web")) & set(before)) == 1


def write_later(rolling: Rolling) -> Path:
    """A smoke test that works the first time alone."""
    script = rolling.folder / "later.sh"
    script.write_text(f"#!/bin/sh\n[ ! -e {rolling.folder}/once ] && touch {rolling.folder}/once\n")
    script.chmod(0o755)
    return script


@pytest.mark.soak
def test_a_daemon_that_is_restarted_meanwhile(tmp_path: Path) -> None:
    with Engine() as engine:
        if not engine.own:
            pytest.skip("this machine's own engine is not ours to restart")
        image = shop.app_image(engine, "upkeep-shop:1")
        with Rolling(engine, tmp_path, "restarted") as rolling:
            serving(rolling, image, replicas=2, restart="always")
            rolling.change("web", environment={"VERSION": "b"})
            child = rolling.roll_elsewhere(monitor="4s", health_timeout="60s")
            wait_for_journal(rolling, "gate")
            restart(engine)
            ended = told(child, 240)
            assert ended["outcome"] in ("updated", "rolled_back"), ended
            if ended["outcome"] == "rolled_back":
                assert rolling.roll(health_timeout="60s").outcome == "updated"
            assert len(rolling.facts.running("web")) == len(rolling.facts.containers("web")) == 2
            assert rolling.facts.drift() == []


def restart(engine: Engine) -> None:
    """End the daemon with all that it runs, and start it anew on the same data, as after a power failure."""
    lines = {name: Path(f"/proc/{one.pid}/cmdline").read_text() for name, one in engine.ledger.processes.items()}
    (name,) = [name for name, line in lines.items() if engine.url in line]
    pid, argv = engine.ledger.processes[name].pid, lines[name].rstrip("\0").split("\0")
    env = dict(word.split("=", 1) for word in Path(f"/proc/{pid}/environ").read_text().rstrip("\0").split("\0"))
    engine.ledger.stop(name)
    log = Path(argv[argv.index("--data-root") + 1]).with_name("dockerd.log")
    time.sleep(1)  # as long as a service waits before it is started again
    Path(argv[argv.index("--pidfile") + 1]).unlink(missing_ok=True)
    engine.ledger.start(name, argv, log=log, signals=("SIGKILL",), env=env, cwd=Path("/"))
    deadline = time.monotonic() + PATIENCE
    while engine.docker("version", check=False).returncode != 0:
        assert time.monotonic() < deadline, log.read_text()[-800:]
        time.sleep(0.05)


# --- what to do when it fails ----------------------------------------------------------------------------------------


@pytest.mark.soak
def test_a_pause_leaves_both_and_is_carried_on_or_taken_back(rolling: Rolling, image: str) -> None:
    before = serving(rolling, image, replicas=2)
    old = json.loads(json.dumps(rolling.services))
    rolling.change("web", environment={"MODE": "never_healthy"})
    paused = rolling.roll(failure_action="pause", health_timeout="3s")
    assert (paused.outcome, "compose.roll_paused" in codes(paused)) == ("paused", True)
    assert set(before) < set(rolling.facts.ids("web")) and rolling.journal() is not None
    with pytest.raises(RollFailed) as refused:
        rolling.roll(resume="fail")
    assert refused.value.kind == "unfinished_previous"
    back = rolling.roll(resume="rollback")
    assert back.outcome == "rolled_back"
    all_as_before(rolling, before, old)


@pytest.mark.soak
def test_a_release_that_was_mended_meanwhile_begins_anew(rolling: Rolling, image: str) -> None:
    before = serving(rolling, image, replicas=2)
    rolling.change("web", environment={"MODE": "never_healthy"})
    assert rolling.roll(failure_action="pause", health_timeout="3s").outcome == "paused"
    rolling.change("web", environment={"MODE": "ok", "VERSION": "b"})
    rolled = rolling.roll()
    assert rolled.outcome == "updated", rolled.failure
    as_it_has_to_be(rolling, 2, "b", before, 0)


@pytest.mark.soak
@pytest.mark.parametrize(
    ("probe", "outcome"),
    [
        ({"port": 8000, "path": "/health", "query": "status", "value": "ok"}, "updated"),
        ({"port": 8000, "path": "/health", "query": "version", "value": "a"}, "rolled_back"),
        ({"type": "tcp", "port": 8000}, "updated"),
        ({"type": "exec", "command": ["bash", "-c", "[ $VERSION = a ]"]}, "rolled_back"),
    ],
    ids=["body", "another-body", "tcp", "exec"],
)
def test_a_probe_decides_too(rolling: Rolling, image: str, probe: dict[str, Any], outcome: str) -> None:
    before = serving(rolling, image, replicas=1, checked=False, environment={"VERSION": "a"})
    # What does not answer yet would count as a check that fails already.
    rolling.engine.wait_until(rolling.facts.names("web")[0], "bash", "-c", shop.HEALTH)
    rolling.change("web", environment={"VERSION": "b"})
    rolled = rolling.roll(probe={**probe, "successes": 2}, health_timeout="6s")
    assert (rolled.outcome, kind(rolled)) == (outcome, "" if outcome == "updated" else "probe_failed"), rolled.failure
    assert (rolling.facts.ids("web") == before) is (outcome == "rolled_back")


@pytest.mark.soak
@pytest.mark.parametrize(
    ("options", "outcome"),
    [({"failure_action": "continue"}, "incomplete"), ({"max_failure_ratio": 1.0}, "updated"), ({}, "rolled_back")],
    ids=["continue", "tolerated", "neither"],
)
def test_what_fails_can_be_left_behind(rolling: Rolling, image: str, options: dict[str, Any], outcome: str) -> None:
    """The old replica that could not be replaced goes on; the other service is updated all the same."""
    rolling.write({"web": shop.web(image, replicas=1), "zoo": shop.web(image, replicas=1)})
    rolling.up()
    before = {name: rolling.facts.ids(name) for name in ("web", "zoo")}
    rolling.change("web", environment={"MODE": "exit"})
    rolling.change("zoo", environment={"VERSION": "b"})
    rolled = rolling.roll(**options)
    assert rolled.outcome == outcome, rolled.failure
    assert rolling.facts.ids("web") == before["web"] and len(rolling.facts.running("web")) == 1
    assert (rolling.facts.ids("zoo") == before["zoo"]) is (outcome == "rolled_back")
    assert rolling.journal() is None


@pytest.mark.soak
def test_nothing_is_begun_that_cannot_be_written_down(rolling: Rolling, image: str, tmp_path: Path) -> None:
    before = serving(rolling, image, replicas=1)
    rolling.change("web", environment={"VERSION": "b"})
    full = tmp_path / "full"
    full.mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=16k", "tmpfs", full], check=True)
    try:
        (full / "state").mkdir()
        with pytest.raises(OSError, match="No space left"):
            (full / "taken").write_bytes(b"0" * (1 << 20))
        with pytest.raises(StateError, match="No space left on device"):
            rolling.roll(state_dir=str(full / "state"))
    finally:
        subprocess.run(["umount", full], check=True)
    assert rolling.facts.ids("web") == before and len(rolling.facts.running("web")) == 1
