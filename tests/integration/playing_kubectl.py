#!/usr/bin/env python3
"""Plays `kubectl` over a file: a Deployment whose controller answers from a script, in the form of the API.

No cluster is behind it. `steps` in the file are the statuses that the looks after a change find, one after the other,
the last one again and again; an image that has none becomes ready at once.
"""

from __future__ import annotations

import json
import os
import sys
from typing import Any

REVISION = "deployment.kubernetes.io/revision"


def ready(deployment: dict[str, Any]) -> dict[str, Any]:
    """The status of a Deployment that is what it should be."""
    count = deployment["spec"]["replicas"]
    return {
        "observedGeneration": deployment["metadata"]["generation"],
        "replicas": count,
        "updatedReplicas": count,
        "availableReplicas": count,
        "readyReplicas": count,
        "conditions": [
            {"type": "Available", "status": "True", "reason": "MinimumReplicasAvailable"},
            {"type": "Progressing", "status": "True", "reason": "NewReplicaSetAvailable"},
        ],
    }


def change(cluster: dict[str, Any], images: dict[str, str]) -> None:
    """Do what the controller does when the template of the pods changes."""
    deployment = cluster["deployment"]
    for container in deployment["spec"]["template"]["spec"]["containers"]:
        container["image"] = images.get(container["name"], container["image"])
    now = {one["name"]: one["image"] for one in deployment["spec"]["template"]["spec"]["containers"]}
    last = int(deployment["metadata"]["annotations"][REVISION])
    newest = max([last, *map(int, cluster["history"])])
    # A template that was there before is given a new number, and loses its old one.
    cluster["history"] = {number: one for number, one in cluster["history"].items() if one != now}
    cluster["history"][str(newest + 1)] = now
    deployment["metadata"]["annotations"][REVISION] = str(newest + 1)
    deployment["metadata"]["generation"] += 1
    steps = [step for image in now.values() for step in cluster["steps"].get(image, [])]
    cluster["waiting"] = steps or [None]


def look(cluster: dict[str, Any]) -> None:
    deployment, waiting = cluster["deployment"], cluster["waiting"]
    step = waiting.pop(0) if len(waiting) > 1 else waiting[0]
    deployment["status"] = ready(deployment) if step is None else step
    if step == "unreachable":
        print(
            "The connection to the server 127.0.0.1:6443 was refused - did you specify the right host?", file=sys.stderr
        )
        raise SystemExit(1)


def main() -> int:
    path = os.environ["PLAYED_CLUSTER"]
    with open(path, encoding="utf-8") as stream:
        cluster = json.load(stream)
    words = [
        word for word in sys.argv[1:] if not word.startswith(("--namespace", "--context", "--kubeconfig", "--req"))
    ]
    cluster["calls"].append(sys.argv[1:])
    status = 0
    try:
        status = answer(cluster, words)
    finally:
        with open(path, "w", encoding="utf-8") as stream:
            json.dump(cluster, stream)
    return status


def answer(cluster: dict[str, Any], words: list[str]) -> int:
    if words[:2] == ["get", "deployment"]:
        if words[2] != cluster["deployment"]["metadata"]["name"]:
            print(f'Error from server (NotFound): deployments.apps "{words[2]}" not found', file=sys.stderr)
            return 1
        look(cluster)
        print(json.dumps(cluster["deployment"]))
    elif words[:2] == ["get", "pods"]:
        print(json.dumps({"kind": "List", "items": cluster["pods"]}))
    elif words[:2] == ["set", "image"]:
        change(cluster, dict(pair.split("=", 1) for pair in words[3:]))
    elif words[:2] == ["rollout", "undo"]:
        wanted = words[3].partition("=")[2]
        if wanted not in cluster["history"]:
            print(f"error: unable to find specified revision {wanted} in history", file=sys.stderr)
            return 1
        change(cluster, cluster["history"][wanted])
    else:
        print(f"error: unknown command {words}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
