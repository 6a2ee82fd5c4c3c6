# Copyright (c) 2026 Upkeep maintainers
# GNU General Public License v3.0-or-later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Every finding code of a rollout."""

from __future__ import annotations

from collections.abc import Mapping

from ansible_collections.cadence.upkeep.plugins.module_utils._core.finding import Code

CODES: Mapping[str, Code] = {
    "kube.rolled_back": Code(
        "A rollout did not become ready, and the revision of before is served again.",
        "Mend what the message names, then roll out again. ConfigMaps and Secrets were not taken back.",
    ),
    "kube.rollback_failed": Code(
        "A rollout did not become ready, and the revision of before could not be brought back whole.",
        "Look at it now: kubectl describe deployment NAME; kubectl get pods; kubectl rollout history deployment NAME.",
    ),
    "kube.rollout_failed": Code(
        "A rollout did not become ready, and was left as it is, because on_failure says so.",
        "Mend what the message names, or go back: kubectl rollout undo deployment NAME --to-revision=REVISION.",
    ),
    "kube.nothing_examined": Code(
        "No Deployment was looked at.",
        "Name one, or skip the task for this host.",
    ),
}
