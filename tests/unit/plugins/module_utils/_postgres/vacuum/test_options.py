"""Parameters become values once; each mistake names its option and its text."""

from __future__ import annotations

from typing import Any

import pytest

from ansible_collections.cadence.upkeep.plugins.module_utils._core.errors import InvalidInput
from ansible_collections.cadence.upkeep.plugins.module_utils._postgres.model import SessionOptions
from ansible_collections.cadence.upkeep.plugins.module_utils._postgres.options import connection_of
from ansible_collections.cadence.upkeep.plugins.module_utils._postgres.vacuum.model import Policy, RunOptions
from ansible_collections.cadence.upkeep.plugins.module_utils._postgres.vacuum.options import policy_of, run_options_of
from tests.unit.plugins.module_utils._postgres.vacuum.samples import params


def test_the_defaults_are_those_of_the_values() -> None:
    assert policy_of(params()) == Policy()
    assert run_options_of(params()) == RunOptions(databases=("postgres",))


def test_everything_is_read() -> None:
    given = params(
        mode="vacuum", when="always", schemas=["a"], exclude_schemas=["b"], tables=["c"], exclude_tables=["d"],
        include_catalogs=False, dead_ratio=0.2, dead_min=2, mod_ratio=0.3, mod_min=3, missing_stats=False,
        skip_if_vacuumed_within="1h30m",
    )  # fmt: skip
    assert policy_of(given) == Policy(
        "vacuum", True, ("a",), ("b",), ("c",), ("d",), False, 0.2, 2, 0.3, 3, False, 5400.0
    )
    given = params(
        databases=["x", "y*"], jobs=4, batch_pages=0, time_limit="30m", hard_time_limit="1h", lock_timeout="500ms",
        lock_retries=0, lock_retry_delay="1m", statement_timeout="2h", synchronous_commit="keep", on_error="stop",
        fail_on_skipped=["lock", "permission"], report="all", state_dir="/var/lib/upkeep", run_id="r1",
    )  # fmt: skip
    assert run_options_of(given) == RunOptions(
        ("x", "y*"), 4, 0, 1800.0, 3600.0, 0, 60.0, True, frozenset(("lock", "permission")), "all",
        SessionOptions("pg_vacuum", "r1", 0.5, 7200.0, True, "/var/lib/upkeep"),
    )  # fmt: skip


def test_the_database_of_the_login_is_worked_in() -> None:
    assert run_options_of(params(login_db="shop")).databases == ("shop",)


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
        ({"hard_time_limit": "1h", "time_limit": "2h"}, "hard_time_limit .1h. is shorter than time_limit .2h."),
        ({"databases": []}, "databases is an empty list"),
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
