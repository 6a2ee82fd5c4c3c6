"""What `k8s_rollout` reads in a Deployment and its pods, in the form of the API."""

from __future__ import annotations

from typing import Any

import pytest

from ansible_collections.cadence.upkeep.plugins.module_utils._kubernetes.rollout.model import (
    causes,
    has_digest,
    images_of,
    judge,
    owner_of,
    revision_of,
)


def deployment(replicas: int | None = 3, generation: int = 2, **status: Any) -> dict[str, Any]:
    counts = {"observedGeneration": 2, "replicas": 3, "updatedReplicas": 3, "availableReplicas": 3}
    return {"metadata": {"generation": generation}, "spec": {"replicas": replicas}, "status": {**counts, **status}}


@pytest.mark.parametrize(
    ("found", "state"),
    [
        (deployment(), "ready"),
        (deployment(generation=3), "waiting"),
        (deployment(replicas=None), "waiting"),
        (deployment(updatedReplicas=2), "waiting"),
        (deployment(availableReplicas=2), "waiting"),
        (deployment(availableReplicas=None), "waiting"),
        ({"metadata": {"generation": 1}, "spec": {"replicas": 1}}, "waiting"),
        ({"metadata": {"generation": 1}, "spec": {"replicas": 0}, "status": {"observedGeneration": 1}}, "ready"),
        (deployment(conditions=[{"type": "Progressing", "status": "False", "reason": "x"}]), "failed"),
        (deployment(conditions=[{"type": "Progressing", "status": "Unknown"}]), "ready"),
        # Of the version before: nothing is known of this one.
        (deployment(generation=3, conditions=[{"type": "Progressing", "status": "False"}]), "waiting"),
    ],
)
def test_how_far_a_rollout_is(found: dict[str, Any], state: str) -> None:
    verdict = judge(found)
    assert verdict.state == state and verdict.why


def test_old_replicas_that_have_not_gone_are_not_ready() -> None:
    assert judge(deployment()).state == "ready"
    found = deployment()
    found["status"]["replicas"] = 4
    assert judge(found).state == "waiting"


def test_why_replicas_cannot_be_made_is_told() -> None:
    failure = {"type": "ReplicaFailure", "status": "True", "reason": "FailedCreate", "message": "exceeded quota"}
    verdict = judge(deployment(updatedReplicas=0, conditions=[failure]))
    assert verdict.state == "waiting" and "exceeded quota" in verdict.why


def test_images_and_revision() -> None:
    spec = {"containers": [{"name": "a", "image": "x:1"}], "initContainers": [{"name": "i", "image": "y:1"}]}
    found = {
        "metadata": {"annotations": {"deployment.kubernetes.io/revision": "4"}},
        "spec": {"template": {"spec": spec}},
    }
    assert images_of(found) == {"i": "y:1", "a": "x:1"} and revision_of(found) == 4
    assert images_of({}) == {} and revision_of({}) is None and owner_of({}) == ""
    assert owner_of({"metadata": {"labels": {"helm.toolkit.fluxcd.io/name": "x"}}}) == "Flux"


@pytest.mark.parametrize(
    ("image", "has"),
    [(f"a/b@sha256:{'0' * 64}", True), (f"a/b:1@sha256:{'0' * 64}", True), ("a/b:1", False), ("a@sha256:12", False)],
)
def test_digests(image: str, has: bool) -> None:
    assert has_digest(image) is has


def test_causes_are_told_once() -> None:
    crash = {
        "name": "a",
        "state": {"waiting": {"reason": "CrashLoopBackOff"}},
        "lastState": {"terminated": {"exitCode": 7}},
    }
    pods = [
        {"status": {"containerStatuses": [crash]}},
        {"status": {"containerStatuses": [crash]}},
        {"status": {"containerStatuses": [{"name": "b", "ready": False, "state": {"running": {}}}]}},
        {
            "status": {
                "initContainerStatuses": [{"name": "i", "state": {"terminated": {"exitCode": 1, "reason": "Error"}}}]
            }
        },
        {"status": {"containerStatuses": [{"name": "c", "state": {"waiting": {"reason": "ContainerCreating"}}}]}},
        {"status": {"conditions": [{"type": "PodScheduled", "status": "False", "message": "0/3 nodes are available"}]}},
    ]
    assert causes(pods) == [
        "a: CrashLoopBackOff (last exit code 7)",
        "b: runs and is not ready",
        "i: Error (exit code 1)",
        "not scheduled: 0/3 nodes are available",
    ]
    assert causes([{}]) == []
