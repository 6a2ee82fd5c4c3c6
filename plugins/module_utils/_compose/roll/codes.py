# Copyright (c) 2026 Upkeep maintainers
# GNU General Public License v3.0-or-later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Every finding code of a rolling update."""

from __future__ import annotations

from collections.abc import Mapping

from ansible_collections.cadence.upkeep.plugins.module_utils._core.finding import Code

CODES: Mapping[str, Code] = {
    "compose.rolled": Code("The service was updated, and its new containers are ready.", ""),
    "compose.up_to_date": Code("The containers of the service are what its model says.", ""),
    "compose.roll_failed": Code(
        "An update failed; evidence.kind says in one word why.",
        "Read the log of the container in `error`, mend the release, and update again.",
    ),
    "compose.rolled_back": Code(
        "The update failed, and the containers from before serve again, as they were.",
        "Mend the release, and update again.",
    ),
    "compose.rollback_failed": Code(
        "The update failed, and something of the state before it could not be brought back.",
        "Look at once what runs (`running` in the result, docker ps -a), and bring the service back by hand.",
    ),
    "compose.roll_paused": Code(
        "The update failed and was left where it stood, as failure_action asks.",
        "Mend it and run the task again, which goes on, or run it with resume=rollback.",
    ),
    "compose.roll_resumed": Code(
        "An earlier run was cut off; this one ended its work first.", "Find out what ended that run."
    ),
    "compose.replica_failed": Code(
        "A replica could not be replaced, and failure_action or max_failure_ratio tolerates that.",
        "Find out why that one failed, then run the task again.",
    ),
    "compose.baseline_failing": Code(
        "A check failed before the update already; it can say nothing about the new release.",
        "Mend the check, or the service that it is about.",
    ),
    "compose.gap_expected": Code(
        "For some time nobody serves, because two containers of the service cannot run side by side.",
        "Take away what only one container can have, put a proxy before it, or accept the gap.",
    ),
    "compose.database_rolled": Code(
        "A service that looks like a database is part of the update.",
        "Name the services to update, without it, unless its update is what is wanted.",
    ),
    "compose.unchecked": Code(
        "Nothing says whether a new container serves: that it runs is all that is known.",
        "Give the service a healthcheck, or the task a probe.",
    ),
    "compose.health_timeout_short": Code(
        "The health check of a service may take longer for its verdict than health_timeout allows.",
        "Raise health_timeout, or let the check run more often.",
    ),
    "compose.not_gated": Code(
        "Nothing keeps requests from containers that are not ready yet, or are about to end.",
        "Set traffic and drain as the page on rolling updates says for what stands before the service.",
    ),
    "compose.signal_ignored": Code(
        "The first process is a shell with -c, which may not pass SIGTERM on: requests in flight would be lost.",
        "Write command and entrypoint as lists, begin the script's last line with exec, or set init: true.",
    ),
    "compose.killed_at_stop": Code(
        "A container did not end within its grace and was killed.",
        "Let it end on SIGTERM, or raise stop_grace_period or stop_timeout.",
    ),
    "compose.drain_failed": Code(
        "A step that lets a container finish its requests failed; the update went on.",
        "Try the drain command by hand in a container.",
    ),
    "compose.interfered": Code(
        "The containers were changed by somebody else during the update, which then was planned anew.",
        "Let one tool alone change a project.",
    ),
    "compose.memory_tight": Code(
        "Old and new containers side by side may need more memory than is free.",
        "Lower parallelism, or set order to stop-first.",
    ),
    "compose.left_alone": Code(
        "There are containers of a service that the project's model does not have.",
        "Remove them if nobody needs them: docker compose up --remove-orphans.",
    ),
}
