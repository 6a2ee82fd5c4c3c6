"""What libpq says becomes one sentence; the parameters for it are those of the options."""

from __future__ import annotations

from dataclasses import replace

import pytest

from ansible_collections.cadence.upkeep.plugins.module_utils._core.errors import MissingLibrary
from ansible_collections.cadence.upkeep.plugins.module_utils._postgres import adapter
from ansible_collections.cadence.upkeep.plugins.module_utils._postgres.adapter import (
    arguments,
    condense,
    find_driver,
    refused,
)
from ansible_collections.cadence.upkeep.plugins.module_utils._postgres.options import connection_of
from tests.unit.plugins.module_utils._postgres.vacuum.samples import params

HERE = connection_of(params(login_host="db1", login_password="hunter2", login_user="upkeep"))


# Recorded from libpq 15 to 18 under psycopg2 2.9 and psycopg 3.3.
TCP = 'connection to server at "localhost" (127.0.0.1), port 5432 failed: '
WRONG = 'FATAL:  password authentication failed for user "postgres"'
NOT_THERE = "\tIs the server running on that host and accepting TCP/IP connections?\n"
NO_ROOT = 'root certificate file "/nowhere" does not exist'
NO_LINE = 'no pg_hba.conf entry for host "127.0.0.1", user "u", database "d", no encryption'
NO_NAME = 'could not translate host name "nowhere.invalid" to address: Name or service not known'


@pytest.mark.parametrize(
    ("said", "reason", "next_step"),
    [
        (f"{TCP}{WRONG}\n{TCP}{WRONG}\n", WRONG.removeprefix("FATAL:  "), "login_password"),
        (f"connection failed: {TCP}Connection refused\n{NOT_THERE}", "Connection refused", "listens"),
        (
            'connection is bad: connection to server on socket "/run/pg/.s.PGSQL.5432" failed: '
            "No such file or directory\n"
            "\tIs the server running locally and accepting connections on that socket?\n",
            "No such file or directory",
            "socket",
        ),
        (
            f"{TCP}{NO_ROOT}\nEither provide the file, use the system's trusted roots with sslrootcert=system, or "
            "change sslmode to disable server certificate verification.\n",
            NO_ROOT,
            "ca_cert",
        ),
        (
            f"{TCP}Connection refused\n{NOT_THERE}{TCP}FATAL:  {NO_LINE}\n",
            f"Connection refused; {NO_LINE}",
            "pg_hba.conf",
        ),
        (f"{NO_NAME}\n", NO_NAME, "login_host"),
        (
            'invalid dsn: invalid connection option "x"\n',
            'invalid dsn: invalid connection option "x"',
            "connect_params",
        ),
        (f"{TCP}FATAL:  sorry, too many clients already", "sorry, too many clients already", "max_connections"),
        ("\x1b[31mstrange\x07", r"\x1b[31mstrange\x07", "psql"),
        ("", "it said nothing", "psql"),
    ],
)
def test_a_refusal_is_one_sentence_with_the_next_step(said: str, reason: str, next_step: str) -> None:
    assert condense(said) == reason
    error = refused(HERE, "shop", said)
    assert error.message == f"PostgreSQL at db1:5432 does not let upkeep into the database shop: {reason}."
    assert next_step in error.remedy
    assert error.evidence["reason"] == reason
    assert error.evidence["database"] == "shop"


def test_a_password_that_is_quoted_back_is_masked() -> None:
    assert "hunter2" not in str(refused(HERE, "shop", "no such thing: hunter2").as_failure())


def test_a_long_text_is_cut() -> None:
    assert len(condense("x" * 5000)) == 400


def test_what_is_empty_is_left_to_libpq() -> None:
    plain = arguments(connection_of(params()), "shop", "upkeep pg_vacuum")
    assert plain == {
        "port": 5432, "user": "postgres", "dbname": "shop", "sslmode": "prefer", "connect_timeout": 10,
        "application_name": "upkeep pg_vacuum", "client_encoding": "UTF8",
    }  # fmt: skip


def test_every_option_reaches_libpq() -> None:
    given = params(
        login_host="db1", login_port=6432, login_user="u", login_password="p", ssl_mode="verify-full", ca_cert="/ca",
        ssl_cert="/cert", ssl_key="/key", connect_params={"connect_timeout": 3, "target_session_attrs": "read-write"},
    )  # fmt: skip
    assert arguments(connection_of(given), "shop", "us") == {
        "host": "db1", "port": 6432, "user": "u", "password": "p", "dbname": "shop", "sslmode": "verify-full",
        "sslrootcert": "/ca", "sslcert": "/cert", "sslkey": "/key", "connect_timeout": "3",
        "target_session_attrs": "read-write", "application_name": "us", "client_encoding": "UTF8",
    }  # fmt: skip


def test_psycopg2_comes_first() -> None:
    assert find_driver().__name__ == "psycopg2"
    assert find_driver(["psycopg"]).__name__ == "psycopg"
    assert find_driver(["absent", "psycopg2"]).__name__ == "psycopg2"


def test_without_a_driver_the_packages_are_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(adapter, "IMPORT_ERRORS", {"psycopg2": "Traceback\nImportError: libpq.so.5: not found\n"})
    with pytest.raises(MissingLibrary) as missing:
        find_driver([])
    assert missing.value.evidence["import_errors"] == {"psycopg2": "ImportError: libpq.so.5: not found"}
    assert set(missing.value.evidence["packages"]) == {"apt", "dnf", "pip"}


def test_options_can_be_replaced_without_losing_the_password() -> None:
    assert replace(HERE, label="other").password == "hunter2"
