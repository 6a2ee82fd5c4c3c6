# Copyright (c) 2026 Upkeep maintainers
# GNU General Public License v3.0-or-later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The options of ``docker_cleanup``."""

from __future__ import annotations

from typing import Any

CONTAINERS, DANGLING, IMAGES, CACHE, NETWORKS, VOLUMES = (
    "containers",
    "dangling_images",
    "images",
    "build_cache",
    "networks",
    "volumes",
)
KINDS = (CONTAINERS, DANGLING, IMAGES, CACHE, NETWORKS)

ARGUMENT_SPEC: dict[str, Any] = {
    "docker_host": {"type": "str"},
    "kinds": {"type": "list", "elements": "str", "choices": list(KINDS), "default": [CONTAINERS, DANGLING, CACHE]},
    "containers_older_than": {"type": "str", "default": "7d"},
    "dangling_older_than": {"type": "str", "default": "2d"},
    "images_older_than": {"type": "str", "default": "30d"},
    "cache_older_than": {"type": "str", "default": "7d"},
    "networks_older_than": {"type": "str", "default": "7d"},
    "compose_containers": {"type": "bool", "default": False},
    "keep": {"type": "list", "elements": "str", "default": []},
    "only_labels": {"type": "list", "elements": "str", "default": []},
    "keep_label": {"type": "str", "default": "upkeep.keep"},
    "keep_per_repository": {"type": "int", "default": 2},
    "volumes": {"type": "list", "elements": "str", "default": []},
    "time_limit": {"type": "str", "default": "30m"},
    "lock_timeout": {"type": "str", "default": "0"},
    "state_dir": {"type": "path"},
    "run_id": {"type": "str", "default": ""},
}
