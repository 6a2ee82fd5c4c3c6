# Copyright (c) 2026 Upkeep maintainers
# GNU General Public License v3.0-or-later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A cluster, through the program ``kubectl``."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from ansible_collections.cadence.upkeep.plugins.module_utils._core.command import Completed, run
from ansible_collections.cadence.upkeep.plugins.module_utils._core.errors import (
    CommandFailed,
    ConnectionFailed,
    InvalidInput,
)
from ansible_collections.cadence.upkeep.plugins.module_utils._core.plain import one_line

_SECONDS = 60.0
_MOST = 32 * 1024 * 1024


class Kubectl:
    """One namespace of one cluster; raises ``CommandFailed``, ``ConnectionFailed`` and ``InvalidInput``."""

    def __init__(self, program: str, namespace: str, context: str = "", kubeconfig: str = "") -> None:
        self._argv = [program, f"--namespace={namespace}", f"--request-timeout={int(_SECONDS) - 10}s"]
        self._argv += [f"--context={context}"] if context else []
        self._argv += [f"--kubeconfig={kubeconfig}"] if kubeconfig else []
        self.namespace = namespace

    def deployment(self, name: str) -> Mapping[str, Any]:
        """Return a Deployment. Raises ``InvalidInput`` when there is none."""
        ended = self._run("get", "deployment", name, "--output=json")
        if ended.status and "NotFound" in ended.errors:
            raise InvalidInput(
                f"There is no Deployment {one_line(name)} in the namespace {self.namespace}.",
                "Correct name and namespace: kubectl get deployments --all-namespaces.",
            )
        return self._json(ended)

    def pods(self, deployment: Mapping[str, Any]) -> list[Mapping[str, Any]]:
        """Return the pods that the selector of a Deployment finds."""
        selector = ((deployment.get("spec") or {}).get("selector") or {}).get("matchLabels") or {}
        words = ",".join(f"{key}={value}" for key, value in sorted(selector.items()))
        ended = self._run("get", "pods", f"--selector={words}", "--output=json")
        return list(self._json(ended).get("items") or ())

    def set_images(self, name: str, images: Mapping[str, str]) -> None:
        pairs = [f"{container}={image}" for container, image in sorted(images.items())]
        self._required("set", "image", f"deployment/{name}", *pairs)

    def undo(self, name: str, revision: int) -> None:
        self._required("rollout", "undo", f"deployment/{name}", f"--to-revision={revision}")

    def _json(self, ended: Completed) -> dict[str, Any]:
        self._require(ended)
        try:
            found = json.loads(ended.output)
        except ValueError:
            found = None
        if not isinstance(found, dict):
            raise CommandFailed("kubectl printed no JSON.", "Try it by hand: kubectl get deployment -o json.")
        return found

    def _required(self, *arguments: str) -> None:
        self._require(self._run(*arguments))

    def _require(self, ended: Completed) -> None:
        if ended.status == 0:
            return
        said = one_line(" ".join((ended.errors or ended.output).split()))[-400:] or "it printed nothing"
        lost = (
            "Unable to connect",
            "connection refused",
            "no such host",
            "i/o timeout",
            "was refused",
            "TLS handshake",
        )
        if any(words in said for words in lost):
            raise ConnectionFailed(
                f"kubectl cannot reach the cluster: {said}", "Check kubeconfig and context: kubectl cluster-info."
            )
        raise CommandFailed(
            f"kubectl {ended.argv[3] if len(ended.argv) > 3 else ''} failed with status {ended.status}: {said}",
            "Run it by hand to see more.",
            {"status": ended.status},
        )

    def _run(self, *arguments: str) -> Completed:
        return run([*self._argv, *arguments], _SECONDS, cap=_MOST)
