# Copyright (c) 2026 Upkeep maintainers
# GNU General Public License v3.0-or-later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""From the resolved model that Compose prints to what an update has to know of each service. Pure.

Nothing of the environment is taken: what is here may stand in a result.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Any, Optional

from ansible_collections.cadence.upkeep.plugins.module_utils._compose.roll.model import (
    Hook,
    UpdateConfig,
    Volume,
    Wanted,
)

EXCLUSIVE_LABEL = "rolling.exclusive"
# What Docker takes when a health check does not say it.
_INTERVAL, _TIMEOUT, _RETRIES = 30.0, 30.0, 3
_UNITS = {"ns": 1e-9, "us": 1e-6, "µs": 1e-6, "ms": 1e-3, "s": 1.0, "m": 60.0, "h": 3600.0}
_PART = re.compile(r"([0-9.]+)(ns|us|µs|ms|s|m|h)")


def wanted_of(config: Mapping[str, Any], hashes: Mapping[str, str]) -> dict[str, Wanted]:
    """Return the services of a resolved model (``docker compose config --format json``) by name."""
    services: Mapping[str, Any] = config.get("services") or {}
    volumes: Mapping[str, Any] = config.get("volumes") or {}
    project = str(config.get("name") or "")
    awaited = {
        name
        for service in services.values()
        for name, how in (service.get("depends_on") or {}).items()
        if how.get("condition") == "service_completed_successfully"
    }
    return {
        name: Wanted(
            name=name,
            image=str(service.get("image") or f"{project}-{name}"),
            hash=hashes.get(name, ""),
            replicas=_replicas(service),
            container_name=str(service.get("container_name") or ""),
            built="build" in service,
            one_shot=name in awaited,
            depends_on={
                other: str(how.get("condition") or "") for other, how in (service.get("depends_on") or {}).items()
            },
            links=tuple(str(link).partition(":")[0] for link in service.get("links") or ()),
            fixed=tuple(_fixed(service)),
            shares=tuple(sorted(set(_shares(service)))),
            volumes=tuple(_volumes(service, volumes)),
            anonymous=tuple(
                str(one["target"])
                for one in service.get("volumes") or ()
                if one.get("type") == "volume" and not one.get("source")
            ),
            update=_update(service),
            stop_grace=duration_of(service.get("stop_grace_period")),
            health_seconds=_health_seconds(service.get("healthcheck") or {}),
            post_start=tuple(_hooks(service.get("post_start"))),
            pre_stop=tuple(_hooks(service.get("pre_stop"))),
            memory=_memory(service),
        )
        for name, service in services.items()
    }


def duration_of(text: object) -> Optional[float]:
    """Return the seconds of a duration as Compose writes it (``1m30s``); None for none."""
    parts = _PART.findall(str(text)) if text else []
    return sum(float(amount) * _UNITS[unit] for amount, unit in parts) if parts else None


def _replicas(service: Mapping[str, Any]) -> Optional[int]:
    wanted = (service.get("deploy") or {}).get("replicas", service.get("scale"))
    return None if wanted is None else int(wanted)


def _fixed(service: Mapping[str, Any]) -> Iterator[str]:
    """Yield, in words, what only one container at a time can have."""
    if service.get("container_name"):
        yield f"container_name {service['container_name']}"
    for port in service.get("ports") or ():
        published = str(port.get("published") or "")
        if published and published != "0" and "-" not in published:
            host = f"{port['host_ip']}:" if port.get("host_ip") else ""
            yield f"host port {host}{published}/{port.get('protocol') or 'tcp'}"
    for network, how in (service.get("networks") or {}).items():
        for key in ("ipv4_address", "ipv6_address", "mac_address"):
            if how and how.get(key):
                yield f"{key} {how[key]} in network {network}"
    if service.get("mac_address"):
        yield f"mac_address {service['mac_address']}"
    if service.get("network_mode") == "host":
        yield "network_mode host"


def _shares(service: Mapping[str, Any]) -> Iterator[str]:
    """Yield the services whose very container this one is bound to."""
    for key in ("network_mode", "ipc", "pid"):
        mode = str(service.get(key) or "")
        if mode.startswith("service:"):
            yield mode.partition(":")[2]
    for source in service.get("volumes_from") or ():
        if not str(source).startswith("container:"):
            yield str(source).partition(":")[0]


def _volumes(service: Mapping[str, Any], volumes: Mapping[str, Any]) -> Iterator[Volume]:
    for mount in service.get("volumes") or ():
        if mount.get("type") == "volume" and mount.get("source"):
            source = str(mount["source"])
            declared = volumes.get(source) or {}
            labels = declared.get("labels") or {}
            exclusive = str(labels.get(EXCLUSIVE_LABEL, "")).lower() in ("true", "1", "yes")
            yield Volume(source, str(declared.get("name") or source), str(mount["target"]), exclusive)


def _update(service: Mapping[str, Any]) -> UpdateConfig:
    given = (service.get("deploy") or {}).get("update_config") or {}
    ratio, parallelism = given.get("max_failure_ratio"), given.get("parallelism")
    return UpdateConfig(
        parallelism=None if parallelism is None else int(parallelism),
        delay=duration_of(given.get("delay")),
        order=str(given.get("order") or ""),
        monitor=duration_of(given.get("monitor")),
        failure_action=str(given.get("failure_action") or ""),
        max_failure_ratio=None if ratio is None else float(ratio),
    )


def _health_seconds(check: Mapping[str, Any]) -> float:
    """Return after how long a check that never succeeds has failed at the latest; 0 when the model has none."""
    if not check or check.get("disable") or check.get("test") in (["NONE"], None):
        return 0.0
    interval = duration_of(check.get("interval")) or _INTERVAL
    timeout = duration_of(check.get("timeout")) or _TIMEOUT
    begun = duration_of(check.get("start_period")) or 0.0
    return begun + int(check.get("retries") or _RETRIES) * (interval + timeout)


def _hooks(found: Any) -> Iterator[Hook]:
    for one in found or ():
        command = one.get("command") or ()
        environment = one.get("environment") or {}
        yield Hook(
            tuple(map(_unescaped, [command] if isinstance(command, str) else command)),
            str(one.get("user") or ""),
            bool(one.get("privileged")),
            str(one.get("working_dir") or ""),
            tuple(
                _unescaped(one)
                for one in (
                    [f"{key}={value}" for key, value in environment.items()]
                    if isinstance(environment, Mapping)
                    else environment
                )
            ),
        )


def _unescaped(word: object) -> str:
    """Compose prints a model that it could read again: each dollar sign is doubled in it."""
    return str(word).replace("$$", "$")


def _memory(service: Mapping[str, Any]) -> int:
    limits = ((service.get("deploy") or {}).get("resources") or {}).get("limits") or {}
    said = limits.get("memory") or service.get("mem_limit") or 0
    return int(said) if str(said).isdigit() else 0
