"""`k8s_rollout` over a program that plays `kubectl`: what it decides by what the API says. No cluster was there."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import pytest

from ansible_collections.cadence.upkeep.plugins.module_utils._core.argspec import validate
from ansible_collections.cadence.upkeep.plugins.module_utils._core.errors import ConnectionFailed, InvalidInput
from ansible_collections.cadence.upkeep.plugins.module_utils._core.times import utc_now
from ansible_collections.cadence.upkeep.plugins.module_utils._kubernetes.rollout.argspec import ARGUMENT_SPEC, RULES
from ansible_collections.cadence.upkeep.plugins.module_utils._kubernetes.rollout.run import RolledOut, _Work, rollout
from tests.integration.module import run_module
from tests.integration.playbook import CHECKOUT, Fleet

PROGRAM = Path(__file__).with_name("playing_kubectl.py")
OLD, NEW, NEWER = (f"registry.example.com/shop@sha256:{digit * 64}" for digit in "0ab")
SIDE = "registry.example.com/side:1"


def status(deployment: dict[str, Any], **changes: Any) -> dict[str, Any]:
    """A status on the way: two of three replicas are new."""
    generation = deployment["metadata"]["generation"] + 1
    base = {"observedGeneration": generation, "replicas": 4, "updatedReplicas": 2, "availableReplicas": 3}
    return {**base, "conditions": [{"type": "Progressing", "status": "True", "reason": "ReplicaSetUpdated"}], **changes}


class Cluster:
    """A Deployment at its fourth revision, with three replicas of two containers."""

    def __init__(self, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        self.folder = folder
        self.path = folder / "cluster.json"
        self.program = folder / "kubectl"
        self.program.write_text(f'#!/bin/sh\nexec {sys.executable} {PROGRAM} "$@"\n')
        self.program.chmod(0o755)
        monkeypatch.setenv("PLAYED_CLUSTER", str(self.path))
        containers = [{"name": "shop", "image": OLD}, {"name": "side", "image": SIDE}]
        self.deployment: dict[str, Any] = {
            "apiVersion": "apps/v1",
            "kind": "Deployment",
            "metadata": {
                "name": "shop",
                "generation": 7,
                "labels": {},
                "annotations": {"deployment.kubernetes.io/revision": "4"},
            },
            "spec": {
                "replicas": 3,
                "selector": {"matchLabels": {"app": "shop"}},
                "template": {"spec": {"containers": containers}},
            },
        }
        self.history = {"3": {"shop": "broken", "side": SIDE}, "4": {"shop": OLD, "side": SIDE}}
        self.steps: dict[str, list[Any]] = {}
        self.pods: list[dict[str, Any]] = []

    def write(self) -> None:
        self.path.write_text(
            json.dumps(
                {
                    "deployment": self.deployment,
                    "history": self.history,
                    "steps": self.steps,
                    "pods": self.pods,
                    "waiting": [None],
                    "calls": [],
                }
            )
        )

    @property
    def now(self) -> dict[str, Any]:
        found: dict[str, Any] = json.loads(self.path.read_text())
        return found

    @property
    def image(self) -> str:
        return str(self.now["deployment"]["spec"]["template"]["spec"]["containers"][0]["image"])

    def params(self, **params: Any) -> dict[str, Any]:
        state = {"state_dir": str(self.folder / "state"), "kubectl": str(self.program), "interval": "10ms"}
        wanted = {"images": {"shop": NEW}} if params.get("state") != "undone" else {}
        return {"name": "shop", "namespace": "prod", "timeout": "60s", **wanted, **state, **params}

    def roll(self, check_mode: bool = False, **params: Any) -> RolledOut:
        if not self.path.exists():
            self.write()
        valid = validate("k8s_rollout", ARGUMENT_SPEC, self.params(**params), RULES).params
        return rollout(valid, utc_now(), check_mode)


@pytest.fixture
def cluster(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Cluster:
    return Cluster(tmp_path, monkeypatch)


def outcome(done: RolledOut) -> str:
    return str(done.outcome.extra["outcome"])


def test_it_waits_until_every_replica_is_new_and_available(cluster: Cluster) -> None:
    deployment = cluster.deployment
    cluster.steps[NEW] = [
        status(deployment, observedGeneration=7, replicas=3, updatedReplicas=3, availableReplicas=3),  # of before
        status(deployment),
        status(deployment, replicas=3, updatedReplicas=3, availableReplicas=2),
        "unreachable",
        None,
    ]
    planned = cluster.roll(check_mode=True)
    assert outcome(planned) == "updated" and planned.outcome.changed and cluster.image == OLD
    assert (planned.before, planned.after) == (f"shop: {OLD}\nside: {SIDE}\n", f"shop: {NEW}\nside: {SIDE}\n")
    done = cluster.roll()
    assert (outcome(done), done.failure, cluster.image) == ("updated", "", NEW)
    assert (done.outcome.extra["revision_before"], done.outcome.extra["revision"]) == (4, 5)
    looks = [call for call in cluster.now["calls"] if "get" in call]
    assert len(looks) == 1 + 1 + 5  # check mode, the look before, and each step
    assert all("--namespace=prod" in call for call in cluster.now["calls"])
    again = cluster.roll()
    assert (outcome(again), again.outcome.changed) == ("unchanged", False)


def test_what_does_not_become_ready_goes_back_to_the_recorded_revision(cluster: Cluster) -> None:
    message = 'ReplicaSet "shop-7c9d" has timed out progressing.'
    given_up = {"type": "Progressing", "status": "False", "reason": "ProgressDeadlineExceeded", "message": message}
    cluster.steps[NEW] = [status(cluster.deployment), status(cluster.deployment, conditions=[given_up])]
    waiting = {"waiting": {"reason": "ImagePullBackOff", "message": "Back-off pulling image"}}
    cluster.pods = [{"status": {"containerStatuses": [{"name": "shop", "ready": False, "state": waiting}]}}]
    done = cluster.roll()
    assert outcome(done) == "rolled_back" and cluster.image == OLD
    assert message in done.failure and "shop: ImagePullBackOff" in done.failure
    # Not to revision 3, which was broken, although that one was the previous before.
    assert cluster.now["calls"][-2][-4:] == ["rollout", "undo", "deployment/shop", "--to-revision=4"]
    assert [finding.code for finding in done.outcome.findings] == ["kube.rolled_back"]


def test_time_is_limited_and_it_may_be_left(cluster: Cluster) -> None:
    cluster.steps[NEW] = [status(cluster.deployment)]
    done = cluster.roll(timeout="100ms", on_failure="leave")
    assert outcome(done) == "left" and cluster.image == NEW and "was not ready after" in done.failure
    # To say it again changes nothing, and does not make it ready.
    again = cluster.roll(timeout="100ms")
    assert outcome(again) == "left" and "is not ready" in again.failure and not again.outcome.changed


def test_a_way_back_that_fails_is_said(cluster: Cluster) -> None:
    cluster.steps[NEW] = [status(cluster.deployment)]
    del cluster.history["4"]
    done = cluster.roll(timeout="100ms")
    assert outcome(done) == "rollback_failed" and "unable to find specified revision 4" in done.failure
    assert [finding.code for finding in done.outcome.findings] == ["kube.rollback_failed"]


def test_undone_goes_to_what_was_written_down(cluster: Cluster) -> None:
    with pytest.raises(InvalidInput, match="No revision"):
        cluster.roll(state="undone")
    assert cluster.roll().failure == ""
    planned = cluster.roll(check_mode=True, state="undone")
    assert planned.outcome.changed and cluster.image == NEW
    done = cluster.roll(state="undone")
    assert (outcome(done), done.failure, cluster.image) == ("updated", "", OLD)
    assert done.outcome.extra["revision"] == 6
    assert cluster.roll(state="undone", revision=6).outcome.changed is False
    # The revision that was written down has another number now, and its images run.
    assert cluster.roll(state="undone").outcome.changed is False and cluster.image == OLD


@pytest.mark.parametrize("images", [{"shop": NEW}, {"shop": NEWER}])
def test_a_run_that_was_cut_off_is_gone_on_with(cluster: Cluster, images: dict[str, str]) -> None:
    cluster.write()
    before = cluster.roll(check_mode=True).outcome.extra["revision_before"]
    late = [{"type": "Progressing", "status": "False", "reason": "ProgressDeadlineExceeded"}]
    broken = status(cluster.deployment, observedGeneration=99, conditions=late)
    cluster.steps[NEW] = cluster.steps[NEWER] = [broken]
    cluster.write()

    class Killed(BaseException):
        pass

    def kill(_work: object) -> str:
        raise Killed

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(_Work, "_wait", kill)
        with pytest.raises(Killed):
            cluster.roll()
    assert cluster.image == NEW
    done = cluster.roll(images=images)
    assert (outcome(done), cluster.image) == ("rolled_back", OLD), done.failure
    assert done.outcome.extra["revision_before"] == before


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"labels": {"app.kubernetes.io/managed-by": "Helm"}}, "Helm"),
        ({"annotations": {"meta.helm.sh/release-name": "shop", "deployment.kubernetes.io/revision": "4"}}, "Helm"),
        ({"labels": {"argocd.argoproj.io/instance": "shop"}}, "Argo CD"),
        ({"labels": {"kustomize.toolkit.fluxcd.io/name": "shop"}}, "Flux"),
        ({"ownerReferences": [{"kind": "Shop", "name": "main"}]}, "Shop main"),
        ({}, "paused"),
    ],
)
def test_what_somebody_else_looks_after_is_refused(cluster: Cluster, change: dict[str, Any], words: str) -> None:
    cluster.deployment["metadata"].update(change)
    cluster.deployment["spec"]["paused"] = words == "paused"
    with pytest.raises(InvalidInput, match=words):
        cluster.roll()
    assert cluster.image == OLD
    if words != "paused":
        assert cluster.roll(force=True).failure == ""


def test_what_cannot_be_meant_is_refused(cluster: Cluster) -> None:
    with pytest.raises(InvalidInput, match="no container web; it has shop, side"):
        cluster.roll(images={"web": NEW})
    with pytest.raises(InvalidInput, match="no digest"):
        cluster.roll(images={"shop": "shop:2"})
    with pytest.raises(InvalidInput, match="no Deployment other"):
        cluster.roll(name="other")
    assert cluster.roll(images={"shop": "shop:2"}, require_digest=False).failure == ""
    cluster.path.write_text(json.dumps({**cluster.now, "waiting": ["unreachable"]}))
    with pytest.raises(ConnectionFailed, match="cannot reach"):
        cluster.roll()


def test_the_module_says_it_as_a_user_sees_it(cluster: Cluster, tmp_path: Path) -> None:
    cluster.write()
    answer = run_module(tmp_path, "k8s_rollout", cluster.params())
    assert (answer.how, answer.result["outcome"], cluster.image) == ("CHANGED", "updated", NEW)


@pytest.mark.soak
def test_the_role_rolls_out_and_goes_back(cluster: Cluster, tmp_path: Path) -> None:
    cluster.write()
    play = tmp_path / "play.yml"
    play.write_text(
        "- hosts: all\n  gather_facts: false\n  tasks:\n"
        "    - ansible.builtin.include_role: {name: cadence.upkeep.app_update, tasks_from: kubernetes}\n"
    )
    deployment = {key: value for key, value in cluster.params().items() if key != "state_dir"}
    fleet = Fleet(tmp_path).local("one", app_update_kubernetes=[deployment])
    fleet.environment["ANSIBLE_COLLECTIONS_PATH"] = str(CHECKOUT / "playbooks" / "collections")
    assert fleet.play(str(play)).code == 0 and cluster.image == NEW
    ran = fleet.play(str(play), app_update_kubernetes_state="undone")
    assert ran.code == 0 and cluster.image == OLD, ran.output
