"""An error says what failed and what to do next, and never shows a secret."""

from __future__ import annotations

import json
import pickle
from datetime import datetime, timezone
from decimal import Decimal

import pytest

from ansible_collections.cadence.upkeep.plugins.module_utils._core import errors
from ansible_collections.cadence.upkeep.plugins.module_utils._core.errors import ConnectionFailed, UpkeepError


def test_its_text_is_the_message_and_the_next_step():
    assert str(ConnectionFailed("The server db1 refuses.", "Start it.")) == "The server db1 refuses. Start it."
    assert str(ConnectionFailed("The server db1 refuses.")) == "The server db1 refuses."


def test_a_failure_carries_message_remedy_and_evidence():
    error = ConnectionFailed("The server db1 refuses.", "Start it.", {"port": 5432})
    assert error.as_failure() == {
        "msg": "The server db1 refuses. Start it.",
        "remedy": "Start it.",
        "evidence": {"port": 5432},
    }


def test_a_failure_shows_no_secret():
    error = ConnectionFailed(
        "postgresql://bob:hunter2@db1/app refuses password=hunter2.",
        "Try PGPASSWORD=hunter2 psql.",
        {"login_password": "hunter2", "argv": ["psql", "password=hunter2"]},
    )
    assert "hunter2" not in json.dumps(error.as_failure())


def test_a_failure_is_plain_whatever_the_evidence_is():
    evidence = {
        "at": datetime(2026, 11, 22, 4, 13, tzinfo=timezone.utc),
        "size": Decimal("1.5"),
        "of": {3},
        "by": object,
    }
    failure = UpkeepError("It failed.", evidence=evidence).as_failure()
    assert json.loads(json.dumps(failure))["evidence"] == {
        "at": "2026-11-22T04:13:00Z",
        "size": 1.5,
        "of": [3],
        "by": "<class 'object'>",
    }


def test_the_evidence_is_the_errors_own():
    evidence = {"port": 1}
    error = UpkeepError("It failed.", evidence=evidence)
    evidence["port"] = 2
    assert error.evidence == {"port": 1}


@pytest.mark.parametrize(
    "name",
    [
        "InvalidInput",
        "MissingLibrary",
        "ConnectionFailed",
        "CommandFailed",
        "DeadlineExceeded",
        "StateError",
        "LockHeld",
    ],
)
def test_one_handler_catches_the_whole_family(name):
    kind = getattr(errors, name)
    with pytest.raises(UpkeepError, match="It failed"):
        raise kind("It failed.")


def test_it_survives_the_way_between_processes():
    error = pickle.loads(pickle.dumps(ConnectionFailed("It refuses.", "Start it.", {"port": 5432})))
    assert (error.message, error.remedy, error.evidence) == ("It refuses.", "Start it.", {"port": 5432})
