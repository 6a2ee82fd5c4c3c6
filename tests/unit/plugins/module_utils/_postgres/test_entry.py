"""A job runs within its window; outside it nothing is looked at, and the task is put off."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from typing import Any

import pytest

from ansible_collections.cadence.upkeep.plugins.module_utils._core.argspec import validate
from ansible_collections.cadence.upkeep.plugins.module_utils._core.errors import ConnectionFailed, InvalidInput
from ansible_collections.cadence.upkeep.plugins.module_utils._postgres import entry
from ansible_collections.cadence.upkeep.plugins.module_utils._postgres.argspec import CONNECTION_OPTIONS
from ansible_collections.cadence.upkeep.plugins.module_utils._postgres.entry import closed, run_job, seconds_of_window

NOW = datetime(2026, 11, 22, 4, 13, tzinfo=UTC)  # a Sunday


def params(**given: Any) -> dict[str, Any]:
    connection = validate("pg_vacuum", CONNECTION_OPTIONS, {"name": "main"}).params
    return {**connection, "window": None, "time_limit": None, **given}


class Left(Exception):
    """The module has left with a result."""


class Module:
    _diff = True

    def __init__(self, check_mode: bool = False, **given: Any) -> None:
        self.params = params(**given)
        self.check_mode = check_mode
        self.result: dict[str, Any] = {}

    def exit_json(self, **result: Any) -> None:
        self.result = {"failed": False, **result}
        raise Left

    def fail_json(self, **result: Any) -> None:
        self.result = {"failed": True, **result}
        raise Left


class Done:
    failure, before, after = "", "dead 5\n", "dead 0\n"

    def as_result(self) -> dict[str, Any]:
        return {"changed": True}


def ran(module: Module, monkeypatch: pytest.MonkeyPatch, done: Any = None) -> tuple[dict[str, Any], list[Any]]:
    monkeypatch.setattr(entry, "utc_now", lambda: NOW)
    limits: list[Any] = []

    def job(given: dict[str, Any], now: datetime, check_mode: bool) -> Done:
        limits.append(given["time_limit"])
        if isinstance(done, Exception):
            raise done
        return done or Done()

    with pytest.raises(Left):
        run_job(module, job)  # type: ignore[arg-type]  # all that it uses of a module
    return module.result, limits


def test_without_a_window_the_job_runs_as_it_is(monkeypatch: pytest.MonkeyPatch) -> None:
    result, limits = ran(Module(time_limit="30m"), monkeypatch)
    assert limits == ["30m"]
    assert result == {"failed": False, "changed": True, "diff": {"before": "dead 5\n", "after": "dead 0\n"}}


@pytest.mark.parametrize(
    ("window", "limit", "given"),
    [
        ("04:00-05:00", None, "2820s"),
        ("04:00-05:00", "30m", "30m"),
        ("04:00-05:00", "2h", "2820s"),
        ("sun 04:00-05:00", "2h", "2820s"),
    ],
)
def test_the_end_of_the_window_is_a_limit(
    window: str, limit: str | None, given: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert ran(Module(window=window, time_limit=limit), monkeypatch)[1] == [given]


def test_outside_its_window_the_job_is_put_off(monkeypatch: pytest.MonkeyPatch) -> None:
    result, limits = ran(Module(window="05:00-06:00"), monkeypatch)
    assert limits == []
    assert result["deferred"] is True and result["changed"] is False
    (finding,) = result["findings"]
    assert (finding["code"], finding["severity"]) == ("pg.outside_window", "info")
    assert "05:00-06:00" in finding["message"] and finding["remedy"]
    json.dumps(result)


def test_check_mode_shows_the_plan_whatever_the_time(monkeypatch: pytest.MonkeyPatch) -> None:
    assert ran(Module(check_mode=True, window="05:00-06:00"), monkeypatch)[1] == [None]


def test_a_failure_names_the_cluster(monkeypatch: pytest.MonkeyPatch) -> None:
    result, _limits = ran(Module(), monkeypatch, ConnectionFailed("It refuses.", "Start it.", {"port": 5432}))
    assert result["failed"] and result["evidence"] == {"port": 5432, "subject": "main"}


def test_a_failure_of_a_cluster_without_a_name_tells_its_address(monkeypatch: pytest.MonkeyPatch) -> None:
    module = Module(name=None, login_host="db1", login_port=5433)
    result, _limits = ran(module, monkeypatch, ConnectionFailed("It refuses.", "Start it."))
    assert result["evidence"]["subject"] == "db1:5433"


def test_a_job_that_failed_in_part_fails_with_its_result(monkeypatch: pytest.MonkeyPatch) -> None:
    done = Done()
    done.failure = "1 table failed."
    result, _limits = ran(Module(), monkeypatch, done)
    assert result["failed"] and result["msg"] == "1 table failed." and result["changed"]


def test_a_window_that_is_none_is_named() -> None:
    with pytest.raises(InvalidInput, match="window: 'nightly' is no maintenance window"):
        seconds_of_window(params(window="nightly"), NOW)


def test_who_was_put_off_is_named() -> None:
    place = {"name": None, "login_host": "db1", "login_port": 5433}
    for given, label in ((place, "db1:5433"), ({"name": "main"}, "main")):
        assert closed(params(window="05:00-06:00", **given), NOW).examined == (label,)
