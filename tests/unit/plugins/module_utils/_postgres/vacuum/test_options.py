"""Parameters become values once; each mistake names its option and its text."""

from __future__ import annotations

from typing import Any

import pytest

from ansible_collections.cadence.upkeep.plugins.module_utils._core.errors import InvalidInput
from ansible_collections.cadence.upkeep.plugins.module_utils._postgres.errors import UnsupportedOption
from ansible_collections.cadence.upkeep.plugins.module_utils._postgres.model import SessionOptions
from ansible_collections.cadence.upkeep.plugins.module_utils._postgres.options import connection_of
from ansible_collections.cadence.upkeep.plugins.module_utils._postgres.vacuum.model import (
    EMERGENCY,
    Manner,
    Policy,
    RunOptions,
)
from ansible_collections.cadence.upkeep.plugins.module_utils._postgres.vacuum.options import (
    in_emergency,
    overruled,
    policy_of,
    require_supported,
    run_options_of,
)
from tests.unit.plugins.module_utils._postgres.vacuum.samples import params


def test_the_defaults_are_those_of_the_values() -> None:
    assert policy_of(params()) == Policy()
    session = SessionOptions("pg_vacuum", settings=(("jit", "off"),))
    assert run_options_of(params()) == RunOptions(databases=(None,), session=session)


def test_everything_is_read() -> None:
    given = params(
        mode="vacuum", when="always", schemas=["a"], exclude_schemas=["b"], tables=["c"], exclude_tables=["d"],
        include_catalogs=False, dead_ratio=0.2, dead_min=2, mod_ratio=0.3, mod_min=3, missing_stats=False,
        skip_if_vacuumed_within="1h30m", xid_age=5, mxid_age=6, use_autovacuum_thresholds=True, process_main=False,
        process_toast=True, emergency=False,
    )  # fmt: skip
    assert policy_of(given) == Policy(
        "vacuum", True, ("a",), ("b",), ("c",), ("d",), False, 0.2, 2, 0.3, 3, False, 5400.0, 5, 6, True, False, True,
        False,
    )  # fmt: skip
    given = params(
        databases=["x", "y*"], jobs=4, batch_pages=0, time_limit="30m", hard_time_limit="1h", lock_timeout="500ms",
        lock_retries=0, lock_retry_delay="1m", statement_timeout="2h", synchronous_commit="keep", on_error="stop",
        fail_on_skipped=["lock", "permission"], report="all", state_dir="/var/lib/upkeep", run_id="r1",
        cost_delay="0.5ms", cost_limit=2000, buffer_usage_limit="2MiB", parallel=0, index_cleanup=False, truncate=False,
        process_main=True, process_toast=False, disable_page_skipping=True, skip_database_stats=True,
        fail_on_blocked=True, on_standby="skip",
    )  # fmt: skip
    settings = (("jit", "off"), ("vacuum_cost_delay", "0.5"), ("vacuum_cost_limit", "2000"))
    assert run_options_of(given) == RunOptions(
        ("x", "y*"), 4, 0, 1800.0, 3600.0, 0, 60.0, True, frozenset(("lock", "permission")), True, True, "all",
        Manner("off", False, True, False, True, 0, 2048, True),
        session=SessionOptions("pg_vacuum", "r1", 0.5, 7200.0, True, "/var/lib/upkeep", settings=settings),
    )  # fmt: skip


@pytest.mark.parametrize(
    ("written", "kept"), [("auto", None), ("true", True), (True, True), ("false", False), (False, False)]
)
def test_an_emergency_may_be_called_for_or_ruled_out(written: Any, kept: bool | None) -> None:
    assert policy_of(params(emergency=written)).emergency is kept


def test_what_an_emergency_makes_of_what_was_asked_for() -> None:
    given = params(
        mode="vacuum", when="always", skip_if_vacuumed_within="1h", process_toast=False, index_cleanup="on",
        truncate=False, parallel=2, cost_delay="20ms", disable_page_skipping=True, lock_retries=0,
    )  # fmt: skip
    policy, options = in_emergency(policy_of(given), run_options_of(given))
    assert (policy.mode, policy.always, policy.recent, policy.heap, policy.toast) == (
        EMERGENCY,
        False,
        None,
        True,
        True,
    )
    assert options.manner == Manner(index_cleanup="off", truncate=False, process_toast=True, parallel=2)
    assert options.session.settings == (("jit", "off"), ("vacuum_cost_delay", "0"))
    assert options.waits
    assert overruled(run_options_of(given).manner) == ["index_cleanup", "process_toast", "disable_page_skipping"]
    assert overruled(Manner()) == []


@pytest.mark.parametrize("option", ["process_main", "buffer_usage_limit", "skip_database_stats"])
def test_what_the_server_is_too_old_for_is_refused(option: str) -> None:
    value: Any = "1MiB" if option == "buffer_usage_limit" else True
    manner = run_options_of(params(**{option: value})).manner
    require_supported(manner, 160000)
    with pytest.raises(UnsupportedOption) as refused:
        require_supported(manner, 150018)
    assert refused.value.message == f"The server is PostgreSQL 15: {option} needs PostgreSQL 16."
    assert refused.value.evidence["class"] == "unsupported_option"


def test_all_that_is_too_new_is_named_at_once() -> None:
    manner = run_options_of(params(process_main=True, skip_database_stats=False, buffer_usage_limit="0")).manner
    with pytest.raises(UnsupportedOption) as refused:
        require_supported(manner, 140023)
    assert refused.value.evidence["needs"] == dict.fromkeys(
        ("buffer_usage_limit", "process_main", "skip_database_stats"), 16
    )


def test_what_every_supported_server_has_is_never_refused() -> None:
    given = params(parallel=2, index_cleanup="auto", truncate=True, process_toast=False, disable_page_skipping=True)
    require_supported(run_options_of(given).manner, 140000)


def test_the_database_of_the_login_is_worked_in() -> None:
    assert run_options_of(params(login_db="shop")).databases == (None,)
    assert run_options_of(params(databases=["a", "b*"])).databases == ("a", "b*")


def test_what_yaml_makes_of_off() -> None:
    assert run_options_of(params(synchronous_commit=False)) == run_options_of(params(synchronous_commit="off"))


@pytest.mark.parametrize(
    ("given", "host", "label"),
    [
        ({}, "", "local:5432"),
        ({"login_host": "db1", "login_port": 6432}, "db1", "db1:6432"),
        ({"login_unix_socket": "/run/pg"}, "/run/pg", "/run/pg:5432"),
        ({"login_unix_socket": "/run/pg", "login_host": "localhost"}, "/run/pg", "/run/pg:5432"),
        ({"login_unix_socket": "/run/pg", "login_host": "db1"}, "db1", "db1:5432"),
        ({"login_host": "localhost", "name": "main"}, "localhost", "main"),
    ],
)
def test_where_to_connect(given: dict[str, Any], host: str, label: str) -> None:
    options = connection_of(params(**given))
    assert (options.host, options.label) == (host, label)


def test_a_password_is_not_in_what_a_debugger_shows() -> None:
    assert "hunter2" not in repr(connection_of(params(login_password="hunter2")))


@pytest.mark.parametrize(
    ("given", "text"),
    [
        ({"dead_ratio": 1.1}, "dead_ratio is 1.1; it is a share between 0 and 1"),
        ({"mod_ratio": -0.1}, "mod_ratio is -0.1"),
        ({"dead_min": -1}, "dead_min is -1; it cannot be less than 0"),
        ({"mod_min": -1}, "mod_min is -1"),
        ({"skip_if_vacuumed_within": "1"}, "skip_if_vacuumed_within: '1' has no unit"),
        ({"xid_age": 0}, "xid_age is 0; it cannot be less than 1"),
        ({"mxid_age": -1}, "mxid_age is -1"),
        ({"process_main": False, "process_toast": False}, "process_main and process_toast are both false"),
        ({"emergency": "true", "mode": "analyze"}, "emergency is true, and mode analyze vacuums nothing"),
    ],
)
def test_a_policy_that_makes_no_sense(given: dict[str, Any], text: str) -> None:
    with pytest.raises(InvalidInput, match=text):
        policy_of(params(**given))


@pytest.mark.parametrize(
    ("given", "text"),
    [
        ({"jobs": 0}, "jobs is 0; it cannot be less than 1"),
        ({"jobs": 65}, "jobs is 65; at most 64"),
        ({"batch_pages": -1}, "batch_pages is -1"),
        ({"lock_retries": -1}, "lock_retries is -1"),
        ({"lock_timeout": "2"}, "lock_timeout: '2' has no unit where a duration is expected"),
        ({"lock_retry_delay": "soon"}, "lock_retry_delay: 'soon' cannot be read"),
        ({"statement_timeout": "10 MB"}, "statement_timeout: '10 MB'"),
        ({"databases": []}, "databases is an empty list"),
        ({"cost_delay": "101ms"}, "cost_delay is 101ms; it is at most 100ms"),
        ({"cost_delay": "fast"}, "cost_delay: 'fast' cannot be read"),
        ({"cost_limit": 0}, "cost_limit is 0; it is between 1 and 10000"),
        ({"cost_limit": 10_001}, "cost_limit is 10001"),
        ({"parallel": -1}, "parallel is -1"),
        ({"parallel": 1025}, "parallel is 1025"),
        ({"buffer_usage_limit": "127KiB"}, "buffer_usage_limit is 127KiB; it is 0"),
        ({"buffer_usage_limit": "17GiB"}, "buffer_usage_limit is 17GiB"),
        ({"buffer_usage_limit": "some"}, "buffer_usage_limit: 'some' cannot be read"),
    ],
)
def test_a_run_that_makes_no_sense(given: dict[str, Any], text: str) -> None:
    with pytest.raises(InvalidInput, match=text):
        run_options_of(params(**given))


@pytest.mark.parametrize("name", ["password", "sslpassword", "dbname"])
def test_what_connect_params_may_not_hold(name: str) -> None:
    with pytest.raises(InvalidInput, match=f"connect_params holds {name}") as refused:
        connection_of(params(connect_params={name: "hunter2"}))
    assert "hunter2" not in str(refused.value)
