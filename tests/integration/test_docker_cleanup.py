"""`docker_cleanup` on a real daemon: what goes, and above all what stays."""

from __future__ import annotations

import secrets
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from ansible_collections.cadence.upkeep.plugins.module_utils._compose.cleanup import run
from ansible_collections.cadence.upkeep.plugins.module_utils._compose.cleanup.apply import apply
from ansible_collections.cadence.upkeep.plugins.module_utils._compose.cleanup.argspec import ARGUMENT_SPEC
from ansible_collections.cadence.upkeep.plugins.module_utils._core.argspec import validate
from ansible_collections.cadence.upkeep.plugins.module_utils._core.errors import LockHeld
from ansible_collections.cadence.upkeep.plugins.module_utils._core.lock import HostLock
from ansible_collections.cadence.upkeep.plugins.module_utils._core.times import utc_now
from tests.bed.docker_engine import Engine
from tests.bed.processes import run as run_program
from tests.integration.composing import (
    IDLE,
    SHELL,
    as_environment,
    derive,
    docker_program,
    shell_image,
    write_model,
)
from tests.integration.module import run_module
from tests.integration.playbook import Fleet

LABEL = "upkeep-cleanup"
NOW = {f"{kind}_older_than": "0" for kind in ("containers", "dangling", "images", "networks", "cache")}


@dataclass
class Yard:
    """Objects of one test, which all have a label of their own: nothing else is ever in danger."""

    engine: Engine
    folder: Path
    label: str = field(default_factory=lambda: secrets.token_hex(6))
    made: list[tuple[str, ...]] = field(default_factory=list)

    def image(self, tag: str, content: str = "1", *lines: str) -> str:
        name = f"upkeep-yard-{self.label}/{tag}"
        self.made.append(("image", name))
        return derive(self.engine, self.folder / "image", name, f"LABEL {LABEL}={self.label} c={content}", *lines)

    def named(self, tag: str) -> str:
        return f"upkeep-yard-{self.label}/{tag}"

    def container(self, name: str, *command: str, options: tuple[str, ...] = (), image: str = SHELL) -> str:
        made = self.engine.run(
            image, *command, name=f"{name}-{self.label}", options=("--label", f"{LABEL}={self.label}", *options)
        )
        self.made.append(("container", made))
        if command:
            self.engine.docker("wait", made)
        return made

    def has(self, kind: str, name: str) -> bool:
        return self.engine.docker(kind, "inspect", name, check=False).returncode == 0

    def clean(self, check_mode: bool = False, later: timedelta = timedelta(), **params: Any) -> run.Cleaned:
        options = {
            "docker_host": self.engine.url,
            "only_labels": [f"{LABEL}={self.label}"],
            "state_dir": str(self.folder / "state"),
            **params,
        }
        valid = validate("docker_cleanup", ARGUMENT_SPEC, options).params
        return run.clean(valid, utc_now() + later, check_mode)

    def end(self) -> None:
        for kind, name in reversed(self.made):
            force = ("--force",) if kind in ("container", "image") else ()
            self.engine.docker(kind, "rm", *force, name, check=False)
        ids = self.engine.docker("image", "ls", "-q", "--filter", f"label={LABEL}={self.label}").stdout.split()
        for one in set(ids):
            self.engine.docker("image", "rm", "--force", one, check=False)


@pytest.fixture
def yard(docker_engine: Engine, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Yard]:
    for name, value in as_environment(docker_engine).items():
        monkeypatch.setenv(name, value)
    shell_image(docker_engine)
    made = Yard(docker_engine, tmp_path)
    yield made
    made.end()


def names(cleaned: run.Cleaned, state: str = "done") -> set[str]:
    return {one["name"].split("/")[-1] for one in cleaned.outcome.extra["objects"] if one["state"] == state}


def kept(cleaned: run.Cleaned, *mine: str) -> dict[str, str]:
    reasons = {one["name"].split("/")[-1]: one["reason"] for one in cleaned.outcome.extra["kept"]}
    return {name: reasons[name] for name in mine}


def test_containers_that_have_ended_go_and_no_others(yard: Yard) -> None:
    ended, running = yard.container("ended", "true"), yard.container("running")
    spared = yard.container("spared", "true", options=("--label", "upkeep.keep"))
    young, named = yard.container("young", "true"), yard.container("named", "true")
    volume = yard.container("volume", "true", options=("--volume", "/data"))
    anonymous = yard.engine.inspect(volume)["Mounts"][0]["Name"]
    yard.made.append(("volume", anonymous))
    paused = yard.container("paused")
    yard.engine.docker("pause", paused)
    gone = {"kinds": ["containers"], "containers_older_than": "1d", "keep": [named]}

    assert names(yard.clean(**gone)) == set()  # nobody is old enough
    planned = yard.clean(check_mode=True, later=timedelta(days=2), **gone)
    assert names(planned, "planned") == {ended, young, volume}
    assert planned.outcome.changed and yard.has("container", ended)
    assert all(one["bytes"] >= 0 for one in planned.outcome.extra["objects"])
    reasons = kept(planned, running, spared, named, paused)
    assert reasons == {
        running: "it is running",
        spared: "it has the label upkeep.keep",
        named: f"keep has {named}",
        paused: "it is paused",
    }
    done = yard.clean(later=timedelta(days=2), **gone)
    assert names(done) == {ended, young, volume} and not done.failure
    assert not yard.has("container", ended) and yard.has("container", running) and yard.has("container", spared)
    # Its volume may hold data: it is told of, and stays.
    assert yard.has("volume", anonymous)
    again = yard.clean(later=timedelta(days=2), **gone)
    told = {finding.code: finding for finding in again.outcome.findings}
    assert told["compose.anonymous_volumes"].evidence["count"] >= 1
    assert names(again) == set() and not again.outcome.changed


def test_images_go_by_age_and_use_and_never_the_way_back(yard: Yard) -> None:
    for number in range(5):
        yard.image(f"shop:{number}", str(number), f"RUN head -c {100_000 * (number + 1)} /dev/zero > /x")
    yard.image("used:1", "used")
    yard.container("user", "true", image=yard.named("used:1"))
    yard.engine.docker("tag", yard.named("shop:1"), yard.named("shop:upkeep-rollback-20261122"))
    yard.made.append(("image", yard.named("shop:upkeep-rollback-20261122")))
    yard.engine.docker("tag", yard.named("shop:0"), yard.named("alias:0"))
    yard.made.append(("image", yard.named("alias:0")))
    old = {"kinds": ["images"], "images_older_than": "30d", "keep_per_repository": 0}

    assert names(yard.clean(**old)) == set()
    later = timedelta(days=31)
    planned = yard.clean(check_mode=True, later=later, keep=[yard.named("shop:4")], **old)
    assert names(planned, "planned") == {"alias:0", "shop:2", "shop:3"}
    reasons = kept(planned, "used:1", "shop:1", "shop:4")
    assert reasons["used:1"].endswith("is made from it")
    assert reasons["shop:1"] == "an update can be taken back to it"
    assert reasons["shop:4"].startswith("keep has")
    sizes = {one["name"].split("/")[-1]: one["bytes"] for one in planned.outcome.extra["objects"]}
    assert sizes["shop:2"] >= 300_000 and planned.outcome.extra["reclaimable_bytes"] == sum(sizes.values())

    newest = yard.clean(check_mode=True, later=later, **{**old, "keep_per_repository": 2})
    assert names(newest, "planned") == {"shop:2", "shop:3"}  # alias:0 was given a name later than shop:4
    done = yard.clean(later=later, keep=[yard.named("shop:4")], **old)
    assert names(done) == {"alias:0", "shop:2", "shop:3"}
    assert not yard.has("image", yard.named("shop:0")) and not yard.has("image", yard.named("alias:0"))
    assert all(
        yard.has("image", yard.named(tag)) for tag in ("shop:1", "shop:upkeep-rollback-20261122", "shop:4", "used:1")
    )
    assert yard.has("image", SHELL)


def test_images_without_a_name_go_and_containers_before_their_images(yard: Yard) -> None:
    first = yard.image("web:1", "first")
    second = yard.image("web:1", "second")
    third = yard.image("web:1", "third")
    user = yard.container("user", "true", image=second)
    planned = yard.clean(check_mode=True, **{**NOW, "kinds": ["dangling_images"]})
    assert [one["id"] for one in planned.outcome.extra["objects"]] == [first]
    done = yard.clean(**{**NOW, "kinds": ["containers", "dangling_images"]})
    assert [one["kind"] for one in done.outcome.extra["objects"]] == [
        "containers",
        "dangling_images",
        "dangling_images",
    ]
    assert all(one["state"] == "done" for one in done.outcome.extra["objects"])
    assert not yard.has("container", user)
    assert not yard.has("image", first) and not yard.has("image", second) and yard.has("image", third)


def test_what_changes_between_the_plan_and_its_execution_is_seen(yard: Yard, monkeypatch: pytest.MonkeyPatch) -> None:
    started, gone = yard.container("started", "true"), yard.container("gone", "true")
    yard.image("late:1", "late")
    yard.image("moved:1", "moved")

    def meddle(plan: Any, *arguments: Any) -> Any:
        # Between the look and the first removal, as somebody at the machine would.
        yard.engine.docker("rm", gone)
        yard.engine.docker("commit", "--change", f'CMD ["bash", "-c", "{IDLE}"]', started, yard.named("new:1"))
        yard.made.append(("image", yard.named("new:1")))
        yard.container("latecomer", image=yard.named("late:1"))
        yard.engine.docker("tag", yard.named("moved:1"), yard.named("moved:2"))
        yard.made.append(("image", yard.named("moved:2")))
        return apply(plan, *arguments)

    monkeypatch.setattr(run, "apply", meddle)
    done = yard.clean(**{**NOW, "kinds": ["containers", "images"], "keep_per_repository": 0})
    assert not done.failure
    states = {one["name"].split("/")[-1]: (one["state"], one["reason"]) for one in done.outcome.extra["objects"]}
    assert states[gone] == ("skipped", "it has gone meanwhile")
    assert states[started][0] == "done"
    assert states["late:1"][0] == "skipped" and "is made from it" in states["late:1"][1]
    assert states["moved:1"] == ("skipped", "it has other names by now")
    assert yard.has("image", yard.named("late:1")) and yard.has("image", yard.named("moved:2"))


def test_compose_containers_stay_unless_asked_for_and_networks_go_with_their_project(yard: Yard) -> None:
    labels = {LABEL: yard.label}
    folder = yard.folder / "shop"
    write_model(
        folder,
        {"web": {"labels": labels}, "job": {"labels": labels, "command": ["true"]}},
        networks={"default": {"labels": labels}},
    )
    with yard.engine.compose(folder, f"yard{yard.label}") as shop:
        shop.compose("up", "--detach")
        shop.compose("run", "--no-deps", "--label", f"{LABEL}={yard.label}", "job", "true")
        shop.compose("stop")
        (web,), (network,) = shop.containers("web"), [f"{shop.name}_default"]
        everything = {**NOW, "kinds": ["containers", "networks"]}
        planned = yard.clean(check_mode=True, **everything)
        (run_of_job,) = names(planned, "planned")
        assert run_of_job.startswith(f"{shop.name}-job-run-")
        reasons = kept(planned, web, network)
        assert reasons[web] == f"it belongs to the Compose project {shop.name}"
        assert reasons[network] == f"the Compose project {shop.name} has containers"
        done = yard.clean(compose_containers=True, **everything)
        assert {web, run_of_job} < names(done) and not done.failure
        assert yard.has("network", network)  # what was judged when it had containers waits for the next run
        assert names(yard.clean(**everything)) == {network}
        assert not yard.has("network", network)


def test_volumes_go_by_their_exact_name_alone(yard: Yard) -> None:
    label = f"{LABEL}={yard.label}"
    for name in ("wanted", "used", "other"):
        yard.engine.docker("volume", "create", "--label", label, yard.engine.name(f"{name}-{yard.label}"))
        yard.made.append(("volume", yard.engine.name(f"{name}-{yard.label}")))
    wanted, used, other = (yard.engine.name(f"{name}-{yard.label}") for name in ("wanted", "used", "other"))
    yard.container("user", "true", options=("--volume", f"{used}:/data"))
    done = yard.clean(kinds=[], volumes=[wanted, used, "no-such-volume"])
    assert names(done) == {wanted}
    assert not yard.has("volume", wanted) and yard.has("volume", used) and yard.has("volume", other)
    assert [finding.code for finding in done.outcome.findings if finding.severity > 1] == ["compose.volume_in_use"]


def test_pieces_of_build_cache_go_one_by_one(yard: Yard) -> None:
    if not yard.engine.own:
        pytest.skip("the build cache of this engine is somebody else's, and has no labels to tell it by")
    folder = yard.folder / "build"
    folder.mkdir()
    (folder / "Dockerfile").write_text(
        f"FROM {SHELL}\nRUN head -c 500000 /dev/urandom > /x\nRUN echo {yard.label} > /y\n"
    )
    settings = {**yard.engine.environment(), "DOCKER_BUILDKIT": "1"}
    assert run_program([docker_program(yard.engine), "build", folder], env=settings).returncode == 0
    params = {"only_labels": [], "kinds": ["build_cache"]}
    assert names(yard.clean(check_mode=True, **params), "planned") == set()
    planned = yard.clean(check_mode=True, **params, cache_older_than="0")
    ids = {one["id"] for one in planned.outcome.extra["objects"]}
    assert len(ids) >= 2
    done = yard.clean(**params, cache_older_than="0")
    assert not done.failure and "done" in {one["state"] for one in done.outcome.extra["objects"]}
    for _pass in range(len(ids)):  # a piece on which another one is built goes after it
        done = yard.clean(**params, cache_older_than="0")
    assert (done.outcome.extra["objects"], done.outcome.changed) == ([], False)


def test_only_one_run_at_a_time_and_none_when_the_time_is_over(yard: Yard) -> None:
    ended = yard.container("ended", "true")
    lock = HostLock(str(yard.folder / "state" / "locks" / "docker-cleanup.lock"), "other")
    with lock, pytest.raises(LockHeld, match="other"):
        yard.clean(**NOW)
    assert yard.clean(check_mode=True, **NOW).outcome.changed  # to look needs no lock
    late = yard.clean(time_limit="0", **{**NOW, "kinds": ["containers"]})
    assert names(late, "skipped") == {ended} and yard.has("container", ended)


@pytest.mark.matrix
def test_the_module_and_the_role_do_what_they_say(yard: Yard, tmp_path: Path) -> None:
    ended = yard.container("ended", "true")
    params = {"docker_host": yard.engine.url, "only_labels": [f"{LABEL}={yard.label}"], **NOW, "kinds": ["containers"]}
    planned = run_module(tmp_path, "docker_cleanup", {**params, "state_dir": str(tmp_path / "state")}, check_mode=True)
    assert (planned.how, planned.result["objects"][0]["state"]) == ("CHANGED", "planned")
    play = tmp_path / "play.yml"
    play.write_text(
        "- hosts: all\n  gather_facts: false\n  tasks:\n"
        "    - ansible.builtin.include_role: {name: cadence.upkeep.compose, tasks_from: cleanup}\n"
        "    - ansible.builtin.debug: {var: compose_cleanup.summary}\n"
    )
    fleet = Fleet(tmp_path).local("one", compose_cleanup_options=params)
    fleet.environment["ANSIBLE_COLLECTIONS_PATH"] = str(Path(__file__).resolve().parents[2] / "playbooks/collections")
    ran = fleet.play(str(play))
    assert ran.code == 0, ran.output
    assert not yard.has("container", ended)
