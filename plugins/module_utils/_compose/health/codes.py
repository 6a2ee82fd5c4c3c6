# Copyright (c) 2026 Upkeep maintainers
# GNU General Public License v3.0-or-later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Every finding code of the look at Compose projects."""

from __future__ import annotations

from collections.abc import Mapping

from ansible_collections.cadence.upkeep.plugins.module_utils._core.finding import Code

CODES: Mapping[str, Code] = {
    "compose.project_missing": Code(
        "A project that should be there has no container on this daemon.",
        "Start it in its folder: docker compose up -d; or correct project_name (docker compose ls -a).",
    ),
    "compose.service_missing": Code(
        "A service that should run has no container.",
        "Start it: docker compose up -d SERVICE.",
    ),
    "compose.service_down": Code(
        "A service has containers, and none of them runs.",
        "Read why (docker compose logs --tail 50 SERVICE), then start it: docker compose up -d SERVICE. If it is meant "
        "to end, say so in one_shots.",
    ),
    "compose.replicas_missing": Code(
        "Fewer containers of a service run than should.",
        "Read why (docker compose ps -a SERVICE; docker compose logs --tail 50 SERVICE), then docker compose up -d.",
    ),
    "compose.replicas_surplus": Code(
        "More containers of a service run than should: it was scaled by hand, or an update was cut off.",
        "If no update is under way: docker compose up -d SERVICE, which removes what is too much.",
    ),
    "compose.one_shot_missing": Code(
        "A service that runs once and ends has no container, so nobody knows whether it ever ran.",
        "Run it (docker compose up SERVICE), or leave it out with ignore_services.",
    ),
    "compose.one_shot_failed": Code(
        "A service that runs once did not end well. What waits for it does not start.",
        "Read why (docker compose logs --tail 50 SERVICE), mend it, and run it again: docker compose up SERVICE.",
    ),
    "compose.restarting": Code(
        "A container ends soon after each start and is started again and again.",
        "Read why: docker logs --tail 50 CONTAINER.",
    ),
    "compose.restarts": Code(
        "A container runs, but was restarted because it had ended by itself.",
        "Read why: docker logs --since 24h CONTAINER. The count starts anew when the container is made anew.",
    ),
    "compose.paused": Code(
        "A container is paused.",
        "Let it go on: docker unpause CONTAINER.",
    ),
    "compose.unhealthy": Code(
        "The health check of a container fails. It is critical when no other container of the service is well.",
        "Read what its probe says: docker inspect --format '{{json .State.Health}}' CONTAINER.",
    ),
    "compose.starting": Code(
        "A container has not become healthy in the time that a start may take.",
        "Read docker logs --tail 50 CONTAINER, and the interval and start_period of its health check.",
    ),
    "compose.no_healthcheck": Code(
        "A container has no health check although each should have one.",
        "Give the service a healthcheck in the Compose file, or the image one: HEALTHCHECK.",
    ),
    "compose.oom_killed": Code(
        "A container came to the limit of its memory, and the kernel killed it, or a process in it.",
        "Raise its mem_limit, or find what needs so much: docker stats --no-stream.",
    ),
    "compose.orphan": Code(
        "A container belongs to a service that the project's files do not have.",
        "Remove it once nobody needs it: docker compose up -d --remove-orphans; or give the profile that has it.",
    ),
    "compose.config_drift": Code(
        "A container was made from another configuration than the project's files have now.",
        "Roll the change out (compose_rolling_update, or docker compose up -d), or take it back.",
    ),
    "compose.image_outdated": Code(
        "The name of an image leads to another one than the container was made from: it was pulled or built since.",
        "Roll the new image out (compose_rolling_update, or docker compose up -d).",
    ),
    "compose.image_drift": Code(
        "A container was made from another image than the one in the lock file.",
        "Roll the locked image out, or lock the one that runs once it was reviewed.",
    ),
    "compose.image_unknown": Code(
        "It cannot be told whether a container was made from the image in the lock file.",
        "Pull the locked image (docker pull IMAGE), or lock images by their digest.",
    ),
    "compose.not_locked": Code(
        "The lock file has no image for a service that runs.",
        "Lock it: docker compose config --lock-image-digests.",
    ),
    "compose.lock_unreadable": Code(
        "The lock file cannot be read, so no image was compared with it.",
        "Correct lock_file: it has the form of a Compose file with an image for each service.",
    ),
    "compose.model_unread": Code(
        "The files of a project cannot be read, or Compose refuses them: it is unknown what should run.",
        "Correct project_src and files; see docker compose config -q in that folder.",
    ),
    "compose.expected_unknown": Code(
        "The files of a project were not found by the labels of its containers, so that only what is there was judged.",
        "Name its folder: project_src.",
    ),
    "compose.nothing_examined": Code(
        "There is no Compose project on this daemon, or every service was left out.",
        "Name the project in compose_projects, or skip the task for this host.",
    ),
}
