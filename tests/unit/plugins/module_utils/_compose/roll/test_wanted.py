"""From the model that Compose prints to what an update has to know."""

from __future__ import annotations

from typing import Any

import pytest

from ansible_collections.cadence.upkeep.plugins.module_utils._compose.roll.model import Hook, Volume
from ansible_collections.cadence.upkeep.plugins.module_utils._compose.roll.wanted import duration_of, wanted_of

# As Compose 2.26.1 printed it, shortened.
CONFIG: dict[str, Any] = {
    "name": "shop",
    "services": {
        "web": {
            "image": "shop:1",
            "environment": {"PASSWORD": "secret"},
            "depends_on": {
                "migrate": {"condition": "service_completed_successfully", "required": True},
                "db": {"condition": "service_healthy", "required": True},
            },
            "deploy": {
                "replicas": 2,
                "update_config": {
                    "parallelism": 2, "delay": "3s", "failure_action": "pause", "monitor": "7s",
                    "max_failure_ratio": 0.2, "order": "start-first",
                },
                "resources": {"limits": {"memory": "67108864"}},
            },
            "healthcheck": {
                "test": ["CMD", "true"], "interval": "2s", "timeout": "3s", "retries": 4, "start_period": "5s",
            },
            "stop_grace_period": "1m30s",
            "ports": [
                {"mode": "ingress", "target": 80, "published": "8080", "host_ip": "127.0.0.1", "protocol": "tcp"},
                {"mode": "ingress", "target": 81, "protocol": "tcp"},
                {"mode": "ingress", "target": 82, "published": "9000-9010", "protocol": "tcp"},
            ],
            "volumes": [
                {"type": "volume", "target": "/cache", "volume": {}},
                {"type": "volume", "source": "data", "target": "/data", "volume": {}},
                {"type": "bind", "source": "/srv", "target": "/srv"},
            ],
            "networks": {"default": {"ipv4_address": "10.0.0.9"}},
            "pre_stop": [{"command": ["/bye"], "user": "root"}],
            "post_start": [{"command": ["/hello", "$$A"], "environment": {"A": "$$1"}}],
        },
        "migrate": {"build": {"context": "/srv/shop"}, "links": ["db:database"]},
        "side": {
            "image": "side", "network_mode": "service:web", "volumes_from": ["db:ro"], "scale": 3,
            "healthcheck": {"disable": True},
        },
        "host": {"image": "host", "network_mode": "host", "mac_address": "02:00:00:00:00:01", "container_name": "one"},
        "db": {"image": "postgres:15"},
    },
    "volumes": {"data": {"name": "shop_data", "labels": {"rolling.exclusive": "true"}}},
}  # fmt: skip


def test_everything_that_counts_is_taken_and_no_secret() -> None:
    found = wanted_of(CONFIG, {"web": "h1"})
    web = found["web"]
    assert (web.image, web.hash, web.replicas, web.stop_grace, web.memory) == ("shop:1", "h1", 2, 90.0, 67108864)
    assert web.fixed == ("host port 127.0.0.1:8080/tcp", "ipv4_address 10.0.0.9 in network default")
    assert (web.volumes, web.anonymous) == ((Volume("data", "shop_data", "/data", True),), ("/cache",))
    assert (web.update.parallelism, web.update.delay, web.update.monitor) == (2, 3.0, 7.0)
    assert (web.update.order, web.update.failure_action, web.update.max_failure_ratio) == ("start-first", "pause", 0.2)
    assert web.health_seconds == 5 + 4 * (2 + 3)
    assert web.pre_stop == (Hook(("/bye",), user="root"),)
    assert web.post_start == (Hook(("/hello", "$A"), environment=("A=$1",)),)
    assert web.needs == {"migrate", "db"}
    assert "secret" not in repr(found)


def test_what_stands_elsewhere_counts_too() -> None:
    found = wanted_of(CONFIG, {})
    migrate, side, host = found["migrate"], found["side"], found["host"]
    assert (migrate.image, migrate.built, migrate.one_shot, migrate.needs) == ("shop-migrate", True, True, {"db"})
    assert (side.shares, side.replicas, side.health_seconds) == (("db", "web"), 3, 0.0)
    assert host.fixed == ("container_name one", "mac_address 02:00:00:00:00:01", "network_mode host")
    assert found["db"].update.parallelism is None and found["db"].replicas is None


@pytest.mark.parametrize(
    ("text", "seconds"), [("1m30s", 90.0), ("500ms", 0.5), ("1h0m0.5s", 3600.5), ("", None), (None, None), ("0s", 0.0)]
)
def test_durations_as_compose_writes_them(text: object, seconds: float | None) -> None:
    assert duration_of(text) == seconds
