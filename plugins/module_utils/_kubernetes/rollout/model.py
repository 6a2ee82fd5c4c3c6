# Copyright (c) 2026 Upkeep maintainers
# GNU General Public License v3.0-or-later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What a Deployment says of itself. Pure: objects are those of the API (``apps/v1``)."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Optional

READY, WAITING, FAILED = "ready", "waiting", "failed"
_REVISION = "deployment.kubernetes.io/revision"
_DIGEST = re.compile(r"@sha256:[0-9a-f]{64}\Z")
# Where the tools that look after a Deployment leave their mark -> how they are called.
_LABELS = {
    "argocd.argoproj.io/instance": "Argo CD",
    "kustomize.toolkit.fluxcd.io/name": "Flux",
    "helm.toolkit.fluxcd.io/name": "Flux",
}
_ANNOTATIONS = {
    "meta.helm.sh/release-name": "Helm",
    "argocd.argoproj.io/tracking-id": "Argo CD",
}


@dataclass(frozen=True)
class Verdict:
    """How far a rollout is, and why."""

    state: str
    why: str


def judge(deployment: Mapping[str, Any]) -> Verdict:
    """Tell whether a Deployment is what its specification says, will be, or will not."""
    status, spec = deployment.get("status") or {}, deployment.get("spec") or {}
    generation = int((deployment.get("metadata") or {}).get("generation") or 0)
    if int(status.get("observedGeneration") or 0) < generation:
        # All that follows would be said of the version of before.
        return Verdict(WAITING, "the controller has not seen the change yet")
    conditions = {one.get("type"): one for one in status.get("conditions") or ()}
    progressing, failure = conditions.get("Progressing") or {}, conditions.get("ReplicaFailure") or {}
    if progressing.get("status") == "False":
        reason = progressing.get("reason") or "Progressing is False"
        return Verdict(FAILED, f"{reason}: {progressing.get('message') or 'no message'}")
    wanted = int(spec["replicas"]) if spec.get("replicas") is not None else 1
    there = {name: int(status.get(name) or 0) for name in ("updatedReplicas", "replicas", "availableReplicas")}
    if all(count == wanted for count in there.values()):
        return Verdict(READY, f"{wanted} of {wanted} are available")
    why = ", ".join(f"{name} is {count}" for name, count in there.items()) + f", replicas should be {wanted}"
    if failure.get("status") == "True":
        why = f"{failure.get('reason')}: {failure.get('message')} ({why})"
    return Verdict(WAITING, why)


def images_of(deployment: Mapping[str, Any]) -> dict[str, str]:
    """Return the image of each container of the template, those that initialise included."""
    template = ((deployment.get("spec") or {}).get("template") or {}).get("spec") or {}
    containers = [*(template.get("initContainers") or ()), *(template.get("containers") or ())]
    return {str(one["name"]): str(one.get("image") or "") for one in containers}


def revision_of(deployment: Mapping[str, Any]) -> Optional[int]:
    """Return the revision that runs; None before the first one."""
    found = ((deployment.get("metadata") or {}).get("annotations") or {}).get(_REVISION, "")
    return int(found) if str(found).isdigit() else None


def owner_of(deployment: Mapping[str, Any]) -> str:
    """Return what looks after a Deployment and would undo a change by hand; empty when nobody does."""
    metadata = deployment.get("metadata") or {}
    labels, annotations = metadata.get("labels") or {}, metadata.get("annotations") or {}
    for marks, known in ((labels, _LABELS), (annotations, _ANNOTATIONS)):
        for mark, name in known.items():
            if mark in marks:
                return name
    if str(labels.get("app.kubernetes.io/managed-by", "")).lower() == "helm":
        return "Helm"
    owners = metadata.get("ownerReferences") or ()
    return f"{owners[0].get('kind')} {owners[0].get('name')}" if owners else ""


def has_digest(image: str) -> bool:
    return _DIGEST.search(image) is not None


def causes(pods: Sequence[Mapping[str, Any]]) -> list[str]:
    """Return why pods are not ready, each cause once: what their containers wait for, or how they ended."""
    found = []
    for pod in pods:
        status = pod.get("status") or {}
        for one in [*(status.get("initContainerStatuses") or ()), *(status.get("containerStatuses") or ())]:
            state, last = one.get("state") or {}, (one.get("lastState") or {}).get("terminated") or {}
            waiting, ended = state.get("waiting") or {}, state.get("terminated") or {}
            if waiting.get("reason") not in (None, "ContainerCreating", "PodInitializing"):
                code = f" (last exit code {last['exitCode']})" if "exitCode" in last else ""
                found.append(f"{one['name']}: {waiting['reason']}{code}")
            elif ended and ended.get("exitCode"):
                found.append(f"{one['name']}: {ended.get('reason') or 'ended'} (exit code {ended['exitCode']})")
            elif "running" in state and not one.get("ready"):
                found.append(f"{one['name']}: runs and is not ready")
        found += [
            f"not scheduled: {condition.get('message') or condition.get('reason')}"
            for condition in status.get("conditions") or ()
            if condition.get("type") == "PodScheduled" and condition.get("status") == "False"
        ]
    return list(dict.fromkeys(found))
