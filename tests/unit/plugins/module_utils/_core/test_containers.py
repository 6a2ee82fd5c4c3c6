"""What descriptions of containers say, in the form of Docker's API and cut to what is read."""

from __future__ import annotations

from typing import Any

import pytest

from ansible_collections.cadence.upkeep.plugins.module_utils._core.containers import (
    Place,
    name_of,
    place_of,
    require_running,
)
from ansible_collections.cadence.upkeep.plugins.module_utils._core.errors import ConnectionFailed, InvalidInput


def container(**given: Any) -> dict[str, Any]:
    state = {"Status": "running", "Running": True, "Paused": False, "ExitCode": 0, "Error": "", "OOMKilled": False}
    return {"Name": "/shop-db-1", "State": state, "RestartCount": 0, **given}


@pytest.mark.parametrize(
    ("state", "restarts", "text", "step"),
    [
        (
            {"Status": "exited", "ExitCode": 137, "OOMKilled": True},
            0,
            r"\(exited, exit code 137, killed for want",
            "logs",
        ),
        ({"Status": "exited", "ExitCode": 1}, 0, r"does not run \(exited, exit code 1\)\.", "docker start shop-db-1"),
        ({"Status": "dead", "ExitCode": 0}, 0, r"does not run \(dead, exit code 0\)", "docker logs"),
        ({"Status": "paused", "Paused": True}, 0, "is paused", "docker unpause shop-db-1"),
        ({"Status": "running", "Paused": True}, 0, "is paused", "unpause"),
        ({"Status": "restarting", "ExitCode": 3}, 14, r"again and again \(exit code 3, 14 restarts\)", "docker logs"),
        ({"Status": "created", "Error": "no such path"}, 0, "never started; it said: no such path", "docker start"),
        ({"Status": "removing"}, 0, "is being removed", "made anew"),
        ({}, 0, "in no state", "docker start"),
    ],
)
def test_a_container_that_nobody_can_answer_in(state: dict[str, Any], restarts: int, text: str, step: str) -> None:
    with pytest.raises(ConnectionFailed, match=text) as refused:
        require_running(container(State=state, RestartCount=restarts))
    assert "shop-db-1" in refused.value.message and step in refused.value.remedy


def test_one_that_runs_is_fine() -> None:
    require_running(container())
    assert name_of(container()) == "shop-db-1"


@pytest.mark.parametrize(
    ("given", "place"),
    [
        ({}, Place()),
        ({"container": "db"}, Place("db")),
        ({"compose_project": "shop", "compose_service": "web"}, Place("", "shop", "web")),
    ],
)
def test_a_place_is_a_container_or_a_service_of_a_project(given: dict[str, str], place: Place) -> None:
    every = {"container": None, "compose_project": None, "compose_service": None}
    assert place_of({**every, **given}) == place
    assert bool(place) == bool(given)


@pytest.mark.parametrize(
    ("given", "text"),
    [
        ({"container": "db", "compose_project": "shop", "compose_service": "web"}, "both say which container"),
        ({"compose_project": "shop"}, "belong together"),
        ({"compose_service": "web"}, "belong together"),
    ],
)
def test_a_place_is_said_in_one_way(given: dict[str, str], text: str) -> None:
    with pytest.raises(InvalidInput, match=text):
        place_of({"container": None, "compose_project": None, "compose_service": None, **given})
