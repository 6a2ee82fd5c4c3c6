"""Connect as the modules do: options as a user writes them, through libpq, to a session of ours."""

from __future__ import annotations

from collections.abc import Iterator, MutableMapping
from contextlib import contextmanager
from typing import Any

from ansible_collections.cadence.upkeep.plugins.module_utils._core.argspec import validate
from ansible_collections.cadence.upkeep.plugins.module_utils._postgres.adapter import Session, find_driver
from ansible_collections.cadence.upkeep.plugins.module_utils._postgres.argspec import CONNECTION_OPTIONS
from ansible_collections.cadence.upkeep.plugins.module_utils._postgres.cluster import Cluster as Sessions
from ansible_collections.cadence.upkeep.plugins.module_utils._postgres.model import ConnectionOptions, SessionOptions
from ansible_collections.cadence.upkeep.plugins.module_utils._postgres.options import connection_of

WHO = "SELECT session_user::text, current_user::text, current_database()::text"


def connection(**options: Any) -> ConnectionOptions:
    return connection_of(validate("pg_vacuum", CONNECTION_OPTIONS, options).params)


def sessions(connection: ConnectionOptions, driver: str = "psycopg2") -> Sessions:
    return Sessions(find_driver([driver]), connection, SessionOptions("pg_vacuum"))


@contextmanager
def session(driver: str = "psycopg2", **options: Any) -> Iterator[Session]:
    """A session in the database of the login."""
    found = connection(**options)
    with sessions(found, driver).session(found.database) as opened:
        yield opened


def who(driver: str = "psycopg2", **options: Any) -> tuple[str, str, str]:
    """Who is logged in, as whom that works, and in which database."""
    with session(driver, **options) as opened:
        ((login, acting, database),) = opened.rows(WHO)
    return login, acting, database


def without_libpq(environ: MutableMapping[str, str]) -> None:
    """Forget every variable that libpq reads."""
    for name in [name for name in environ if name.startswith("PG")]:
        del environ[name]
