"""What is taken from the descriptions of containers as the daemon's API gives them."""

from __future__ import annotations

from datetime import datetime, timezone

from ansible_collections.cadence.upkeep.plugins.module_utils._compose.health.collect import container_of, instant_of

# GET /containers/{id}/json of engine 20.10, shortened to what is read.
RECORDED = {
    "Id": "2b253dfb83d7" + "0" * 52,
    "Name": "/shop-web-1",
    "RestartCount": 2,
    "Image": "sha256:5a4e1e71bd06",
    "State": {
        "Status": "running",
        "Running": True,
        "Paused": False,
        "OOMKilled": False,
        "ExitCode": 0,
        "Error": "",
        "StartedAt": "2026-11-22T10:55:04.123456789Z",
        "FinishedAt": "0001-01-01T00:00:00Z",
        "Health": {
            "Status": "unhealthy",
            "FailingStreak": 3,
            "Log": [{"ExitCode": 1, "Output": "old"}, {"ExitCode": 1, "Output": "connection\nrefused\n"}],
        },
    },
    "HostConfig": {"RestartPolicy": {"Name": "unless-stopped", "MaximumRetryCount": 0}},
    "Config": {
        "Image": "shop:1",
        "Env": ["PASSWORD=x"],
        "Labels": {"com.docker.compose.service": "web", "com.docker.compose.config-hash": "h1"},
    },
}


def test_a_recorded_container() -> None:
    one = container_of(RECORDED)
    assert (one.name, one.service, one.status, one.health, one.failing) == (
        "shop-web-1",
        "web",
        "running",
        "unhealthy",
        3,
    )
    assert (one.probe, one.restarts, one.policy, one.hash) == ("connection refused", 2, "unless-stopped", "h1")
    assert one.started == datetime(2026, 11, 22, 10, 55, 4, 123456, tzinfo=timezone.utc)
    assert one.finished is None and one.running and not one.one_shot


def test_what_is_not_said() -> None:
    bare = {"Id": "x", "Name": "/x", "State": {"Status": "running", "Paused": True}, "Config": {"Labels": None}}
    one = container_of(bare)
    assert (one.status, one.service, one.health, one.policy, one.started) == ("paused", "", "", "no", None)
    health = {**RECORDED, "State": {**RECORDED["State"], "Health": {"Status": "none", "Log": None}}}
    assert container_of(health).health == ""


def test_instants_of_any_precision() -> None:
    assert instant_of("2026-11-22T10:55:04Z") == datetime(2026, 11, 22, 10, 55, 4, tzinfo=timezone.utc)
    assert instant_of("2026-11-22T11:55:04.5+01:00") == datetime(2026, 11, 22, 10, 55, 4, 500000, tzinfo=timezone.utc)
    assert instant_of("") is None and instant_of(None) is None
