"""Where to connect: what a user wrote, then the container, then libpq's variables, then the defaults."""

from __future__ import annotations

from typing import Any

import pytest

from ansible_collections.cadence.upkeep.plugins.module_utils._core.argspec import validate
from ansible_collections.cadence.upkeep.plugins.module_utils._core.errors import InvalidInput
from ansible_collections.cadence.upkeep.plugins.module_utils._postgres.adapter import arguments
from ansible_collections.cadence.upkeep.plugins.module_utils._postgres.argspec import CONNECTION_OPTIONS
from ansible_collections.cadence.upkeep.plugins.module_utils._postgres.model import ConnectionOptions
from ansible_collections.cadence.upkeep.plugins.module_utils._postgres.options import (
    connection_of,
    place_of,
    require_at_least,
)


def options(environ: dict[str, str] | None = None, **given: Any) -> ConnectionOptions:
    return connection_of(validate("pg_vacuum", CONNECTION_OPTIONS, given).params, {} if environ is None else environ)


LIBPQ = {"PGHOST": "db1", "PGPORT": "6432", "PGUSER": "u", "PGDATABASE": "d", "PGSSLMODE": "require"}


@pytest.mark.parametrize(
    ("environ", "given", "expected"),
    [
        ({}, {}, ("", 5432, "postgres", "postgres", "prefer")),
        (LIBPQ, {}, ("db1", 6432, "u", "d", "require")),
        (
            LIBPQ,
            {"login_host": "db2", "login_port": 1, "login_user": "v", "login_db": "e", "ssl_mode": "disable"},
            ("db2", 1, "v", "e", "disable"),
        ),
        (LIBPQ, {"login_unix_socket": "/run/pg"}, ("/run/pg", 6432, "u", "d", "require")),
        ({"PGPORT": "5432,5433"}, {}, ("", None, "postgres", "postgres", "prefer")),  # libpq reads several
        # What is written out empty is libpq's own default: the account of the task.
        ({}, {"login_user": ""}, ("", 5432, "", "postgres", "prefer")),
        ({"PGUSER": "u"}, {"login_user": ""}, ("", 5432, "", "postgres", "prefer")),
        ({}, {"login_db": ""}, ("", 5432, "postgres", "postgres", "prefer")),
        # What connect_params holds is what counts, so it is also what is shown.
        (
            {},
            {"connect_params": {"host": "a,b", "port": 7, "user": "w"}, "login_host": "c"},
            ("a,b", 7, "w", "postgres", "prefer"),
        ),
    ],
)
def test_what_is_left_open_is_filled(environ: dict[str, str], given: dict[str, Any], expected: tuple[Any, ...]) -> None:
    found = options(environ, **given)
    assert (found.host, found.port, found.user, found.database, found.ssl_mode) == expected


@pytest.mark.parametrize(
    ("given", "label"),
    [
        ({}, "local:5432"),
        ({"login_host": "::1"}, "[::1]:5432"),
        ({"login_host": "db1,db2"}, "db1,db2:5432"),
        ({"login_unix_socket": "/run/pg"}, "/run/pg:5432"),
        ({"login_host": "db1", "name": "main"}, "main"),
    ],
)
def test_a_cluster_is_named_by_its_place_unless_it_has_a_name(given: dict[str, Any], label: str) -> None:
    assert options(**given).label == label


def test_what_a_service_says_is_left_to_libpq() -> None:
    environ = {"PGSERVICE": "shop"}
    found = options(environ, login_db="orders", name=None)
    assert (found.label, found.host, found.port, found.user, found.ssl_mode) == ("service shop", "", None, "", None)
    assert set(arguments(found, "orders", "us", environ)) == {"dbname", "application_name", "client_encoding"}
    # Our defaults come after the service, where libpq looks then.
    assert (environ["PGUSER"], environ["PGDATABASE"]) == ("postgres", "postgres")
    environ = {"PGUSER": "mine"}
    options(environ, login_db="orders", connect_params={"service": "shop"})
    assert environ["PGUSER"] == "mine"


def test_a_limit_of_the_users_own_is_kept() -> None:
    found = options()
    assert arguments(found, "d", "us", {})["connect_timeout"] == 10
    assert "connect_timeout" not in arguments(found, "d", "us", {"PGCONNECT_TIMEOUT": "3"})


@pytest.mark.parametrize(
    ("given", "text"),
    [
        ({"connect_params": {"password": "x"}}, "connect_params holds password"),
        ({"connect_params": {"dbname": "x"}}, "connect_params holds dbname"),
        ({"connect_params": {"passfile": "a\0b"}}, "passfile has a character"),
        ({"login_password": "a\0b"}, "login_password has a character"),
        ({"container": "db", "compose_service": "db"}, "both say where the server lives"),
        ({"compose_project": "shop"}, "belong together"),
        ({"container": "db", "login_host": "db1"}, "login_host is given together"),
        ({"container": "db", "connect_params": {"user": "x"}}, "connect_params user is given together"),
    ],
)
def test_what_makes_no_sense(given: dict[str, Any], text: str) -> None:
    with pytest.raises(InvalidInput, match=text) as refused:
        options(**given)
    assert "x" not in refused.value.evidence.values()


@pytest.mark.parametrize(
    ("environ", "given", "place"),
    [
        ({}, {}, "local:5432"),
        (LIBPQ, {}, "db1:6432"),
        ({"PGPORT": "5432,5433"}, {"login_host": "db1,db2"}, "db1,db2"),
        ({}, {"login_host": "::1", "login_port": 7}, "[::1]:7"),
        ({}, {"login_unix_socket": "/run/pg"}, "/run/pg:5432"),
        ({}, {"login_host": "db1", "name": "main"}, "main"),
        ({}, {"connect_params": {"service": "shop"}}, "service shop"),
        ({"PGSERVICE": "shop"}, {}, "service shop"),
        ({}, {"container": "shop-db-1"}, "container shop-db-1"),
        ({}, {"compose_project": "shop", "compose_service": "db"}, "service db of shop"),
        ({}, {"compose_service": "db"}, "service db of ?"),
        ({}, {"login_host": "a\nb"}, r"a\nb:5432"),
    ],
)
def test_a_failure_can_name_the_server_before_anybody_reached_it(
    environ: dict[str, str], given: dict[str, Any], place: str
) -> None:
    assert place_of(validate("pg_vacuum", CONNECTION_OPTIONS, given).params, environ) == place


def test_a_number_that_is_too_small_is_told_with_the_least_that_will_do() -> None:
    require_at_least({"jobs": 1}, "jobs", 1)
    for nothing in (float("nan"), float("inf"), 1e308, 10**400):
        with pytest.raises(InvalidInput, match="disk_headroom is"):
            require_at_least({"disk_headroom": nothing}, "disk_headroom", 1.0)
    with pytest.raises(InvalidInput, match="jobs is 0; it cannot be less than 1") as caught:
        require_at_least({"jobs": 0}, "jobs", 1)
    assert caught.value.remedy == "Give jobs as 1 or more, or leave it out."
