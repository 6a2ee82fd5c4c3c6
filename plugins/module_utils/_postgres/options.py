# Copyright (c) 2026 Upkeep maintainers
# GNU General Public License v3.0-or-later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Turn validated parameters of the modules into values, once, at the edge."""

from __future__ import annotations

import os
from collections.abc import Mapping, MutableMapping
from dataclasses import replace
from typing import Any

from ansible_collections.cadence.upkeep.plugins.module_utils._core.errors import InvalidInput
from ansible_collections.cadence.upkeep.plugins.module_utils._core.plain import one_line
from ansible_collections.cadence.upkeep.plugins.module_utils._core.units import parse_duration
from ansible_collections.cadence.upkeep.plugins.module_utils._postgres.adapter import (
    CONNECT_SECONDS,
    connect,
    find_driver,
)
from ansible_collections.cadence.upkeep.plugins.module_utils._postgres.model import ConnectionOptions, SessionOptions

# The defaults of options that the argument spec leaves open, see there.
DEFAULT_PORT = 5432
DEFAULT_USER = "postgres"
DEFAULT_DATABASE = "postgres"
DEFAULT_SSL_MODE = "prefer"
# More than anything counts to, and still within the integers of a server.
MOST_NUMBER = 2**53

# What connect_params may not hold, and what to do instead.
_UNMASKED = "It would be printed and logged: put it into a service file of libpq that only this user can read."
_REFUSED_PARAMETERS = {
    "password": "Give it as login_password, which is masked, or in a password file of libpq (~/.pgpass).",
    "sslpassword": "It would be printed and logged: use a key without a password that only this user can read.",
    "oauth_client_secret": _UNMASKED,
    "scram_client_key": _UNMASKED,
    "scram_server_key": _UNMASKED,
    "dbname": "Give it as login_db, and the databases to work on as databases.",
}
_CONTAINER = ("container", "compose_project", "compose_service")


def connection_of(params: Mapping[str, Any], environ: MutableMapping[str, str] | None = None) -> ConnectionOptions:
    """Return where to connect and as whom, having looked for the container or the service that says so.

    What *params* leave open comes from the container, else from libpq's service file and environment (``PGHOST`` ...),
    else from the defaults above. Raises ``InvalidInput`` for what contradicts itself, or a secret in
    ``connect_params``, and what :func:`container.locate` and a first connection to a service may raise.
    """
    environ = os.environ if environ is None else environ
    extra = dict(params["connect_params"] or {})
    for name, remedy in _REFUSED_PARAMETERS.items():
        if name in extra:
            raise InvalidInput(f"connect_params holds {name}, which does not belong there.", remedy)
    _require_texts(params, extra)
    given = _given(params, extra, environ)
    if any(params.get(option) for option in _CONTAINER):
        found = _in_container(params, given, environ)
    elif given.service:
        found = _by_service(given, environ)
    else:
        found = _by_environment(params, given, environ)
    return replace(found, label=params["name"] or found.container or found.endpoint)


def _given(params: Mapping[str, Any], extra: Mapping[str, Any], environ: Mapping[str, str]) -> ConnectionOptions:
    """Return what was written out, the rest left open."""
    given = ConnectionOptions(
        label="",
        host=params["login_host"] or "",
        port=params["login_port"],
        user=params["login_user"] or "",
        password=params["login_password"] or "",
        database=params["login_db"] or "",
        ssl_mode=params["ssl_mode"],
        ca_cert=params["ca_cert"],
        ssl_cert=params["ssl_cert"],
        ssl_key=params["ssl_key"],
        params=extra,
        session_role=params["session_role"],
        service=str(extra.get("service") or environ.get("PGSERVICE", "")),
    )
    if params["login_unix_socket"] and given.host in ("", "localhost"):
        given = replace(given, host=params["login_unix_socket"])
    return given


def place_of(params: Mapping[str, Any], environ: Mapping[str, str] | None = None) -> str:
    """Return what to call the server of a failure, which may come before anybody knows where it is. Never raises.

    It is the name that the user gave, else the container, the service or the address that is meant.
    """
    if params["name"]:
        return str(params["name"])
    container, project, service = (params.get(option) or "" for option in _CONTAINER)
    if container or project or service:
        return f"container {container}" if container else f"service {service or '?'} of {project or '?'}"
    environ = os.environ if environ is None else environ
    given = _given(params, dict(params["connect_params"] or {}), environ)
    return one_line(given.endpoint if given.service else _by_environment(params, given, environ).endpoint)


def _require_texts(params: Mapping[str, Any], extra: Mapping[str, Any]) -> None:
    """Raise ``InvalidInput`` for a text that cannot be sent: a driver would cut it, or die of it."""
    named = {
        option: value
        for option, value in params.items()
        if option.startswith(("login_", "ssl_", "ca_", "session_role", "tablespace"))
    }
    for option, value in {**named, **extra}.items():
        text = value if isinstance(value, str) else ""
        if "\0" in text or any("\ud800" <= character <= "\udfff" for character in text):
            raise InvalidInput(
                f"{option} has a character that cannot be sent: a zero byte, or half of another.",
                "Write it anew: it was cut, or came from a file in another encoding.",
            )


def _by_environment(
    params: Mapping[str, Any], given: ConnectionOptions, environ: Mapping[str, str]
) -> ConnectionOptions:
    """Fill what was left open from libpq's variables, as libpq would, and else by the defaults."""
    port, extra = given.port, given.params
    if port is None:
        named = environ.get("PGPORT", "")
        port = DEFAULT_PORT if not named else int(named) if named.isdecimal() else None
    return replace(
        given,
        host=str(extra.get("host") or given.host or environ.get("PGHOST", "")),
        port=int(extra["port"]) if str(extra.get("port", "")).isdecimal() else port,
        # An empty name that was written out is libpq's own default: the account that runs the task.
        user=str(extra.get("user") or _open(params, "login_user", environ.get("PGUSER"), DEFAULT_USER)),
        database=given.database or environ.get("PGDATABASE") or DEFAULT_DATABASE,
        ssl_mode=given.ssl_mode or environ.get("PGSSLMODE") or DEFAULT_SSL_MODE,
    )


def _open(params: Mapping[str, Any], option: str, otherwise: str | None, default: str) -> str:
    value = params[option]
    return (otherwise or default) if value is None else str(value)


def _by_service(given: ConnectionOptions, environ: MutableMapping[str, str]) -> ConnectionOptions:
    """Leave to libpq what was left open. Its order is: what it is told, the service, the environment, its own defaults.

    So our defaults go into the environment, where they count for what neither says. Which database the service means
    only libpq knows: a first connection tells.
    """
    ours = {"PGUSER": DEFAULT_USER, "PGDATABASE": DEFAULT_DATABASE, "PGCONNECT_TIMEOUT": str(CONNECT_SECONDS)}
    for variable, default in ours.items():
        environ.setdefault(variable, default)
    if given.database:
        return given
    with connect(find_driver(), given, "", "upkeep") as session:
        return replace(given, database=session.database, user=given.user or session.user)


def _in_container(params: Mapping[str, Any], given: ConnectionOptions, environ: Mapping[str, str]) -> ConnectionOptions:
    """Fill what was left open from the container. What is in *environ* for libpq belongs to other servers."""
    container, project, service = (params.get(option) or "" for option in _CONTAINER)
    if container and (project or service):
        raise InvalidInput(
            "container and compose_project with compose_service both say where the server lives.",
            "Leave one of them out.",
        )
    if not container and not (project and service):
        raise InvalidInput(
            "compose_project and compose_service belong together.", "Give both, or the container's name as container."
        )
    for other, is_given in (
        ("login_host", bool(params["login_host"])),
        ("login_unix_socket", bool(params["login_unix_socket"])),
        *((f"connect_params {name}", name in given.params) for name in ("hostaddr", "port", "service", "user")),
    ):
        if is_given:
            raise InvalidInput(
                f"{other} is given together with a container, which is where the server lives.",
                "Leave one of them out; login_port, login_user, login_password and login_db may be given with it.",
            )
    # Only here: importing the Docker SDK takes a third of a second, which all other runs save.
    from ansible_collections.cadence.upkeep.plugins.module_utils._postgres.container import Wanted, locate

    located = locate(
        Wanted(
            container=container,
            project=project,
            service=service,
            docker_host=params.get("docker_host") or "",
            port=given.port,
            user=given.user or None,
            database=given.database or None,
            password_needed=not given.password and "passfile" not in given.params and not given.ssl_cert,
        )
    )
    # hostaddr is where packets go, whatever PGHOSTADDR says; host is then the name that a certificate must have.
    address = {} if located.host.startswith("/") else {"hostaddr": located.host}
    return replace(
        given,
        host=located.host,
        port=located.port,
        user=located.user,
        password=given.password or located.password,
        database=located.database,
        ssl_mode=given.ssl_mode or DEFAULT_SSL_MODE,
        params={**address, **given.params},
        container=located.name,
        service="",
    )


def session_options_of(params: Mapping[str, Any], job: str) -> SessionOptions:
    """Return how the sessions of the module *job* are set up. Raises ``InvalidInput`` naming the option."""
    return SessionOptions(
        job=job,
        run_id=params["run_id"],
        lock_timeout=seconds_of(params, "lock_timeout"),
        statement_timeout=seconds_of(params, "statement_timeout"),
        keep_synchronous_commit=params["synchronous_commit"] == "keep",
        state_dir=params["state_dir"],
    )


def seconds_of(params: Mapping[str, Any], option: str) -> float:
    """Return the duration in *option*, in seconds. Raises ``InvalidInput`` naming the option."""
    try:
        return parse_duration(params[option])
    except InvalidInput as error:
        raise InvalidInput(f"{option}: {error.message}", error.remedy) from None


def limit_of(params: Mapping[str, Any], option: str) -> float | None:
    """Return the duration in *option*, in seconds; ``None`` when it was left out."""
    return seconds_of(params, option) if params[option] else None


def require_at_least(params: Mapping[str, Any], option: str, least: float, most: float = MOST_NUMBER) -> None:
    """Raise ``InvalidInput`` when the number in *option* is less than *least*, or more than can be meant by it."""
    if params[option] > most:
        raise InvalidInput(
            f"{option} is {params[option]}; it cannot be more than {most:.10g}.",
            f"Give {option} as {most:.10g} or less.",
        )
    if not params[option] >= least:
        raise InvalidInput(
            f"{option} is {params[option]}; it cannot be less than {least:g}.",
            f"Give {option} as {least:g} or more, or leave it out.",
        )
