# Copyright (c) 2026 Upkeep maintainers
# GNU General Public License v3.0-or-later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Turn validated parameters of pg_wal_archive into values, once, at the edge."""

from __future__ import annotations

import os
from collections.abc import Mapping
from typing import Any

from ansible_collections.cadence.upkeep.plugins.module_utils._core.errors import InvalidInput
from ansible_collections.cadence.upkeep.plugins.module_utils._core.plain import one_line
from ansible_collections.cadence.upkeep.plugins.module_utils._core.units import parse_size
from ansible_collections.cadence.upkeep.plugins.module_utils._postgres.archive.model import Consumer, Options
from ansible_collections.cadence.upkeep.plugins.module_utils._postgres.archive.names import (
    HISTORY,
    SIZES,
    parse_lsn,
    parse_name,
)
from ansible_collections.cadence.upkeep.plugins.module_utils._postgres.model import ConnectionOptions
from ansible_collections.cadence.upkeep.plugins.module_utils._postgres.options import (
    connection_of,
    limit_of,
    place_of,
    require_at_least,
)

# Options that say where a server is: a consumer with an address of its own has none of these from the main connection.
_PLACES = ("login_host", "login_port", "login_unix_socket")
_CONTAINER_OPTIONS = ("container", "compose_project", "compose_service", "docker_host")
_PLACES_OF_LIBPQ = ("host", "hostaddr", "port", "service")


def options_of(params: Mapping[str, Any], label: str) -> Options:
    """Return what is asked for. Raises ``InvalidInput`` naming the option that makes no sense."""
    for option in ("keep_base_backups", "max_delete"):
        if params[option] is not None:
            require_at_least(params, option, 1)
    base_backups = tuple(params["base_backups"] or ())
    if not any((base_backups, params["keep_base_backups"], params["keep_from"], params["consumers"])):
        raise InvalidInput(
            "Nothing says which WAL is to be kept: base_backups and consumers are empty lists.",
            "Give keep_base_backups, base_backups, consumers or keep_from.",
        )
    for path in (params["path"], *base_backups):
        require_absolute(path)
    suffixes = tuple(params["suffixes"])
    for suffix in suffixes:
        if not suffix.startswith(".") or "/" in suffix or suffix in (".partial", ".backup", ".history"):
            raise InvalidInput(f"{suffix!r} in suffixes is no ending of a file.", "Write it like .gz.")
    if params["keep_from"] is not None:
        require_place_in_wal("keep_from", params["keep_from"], suffixes)
    return Options(
        label=label,
        path=params["path"],
        base_backups=base_backups,
        keep_base_backups=params["keep_base_backups"],
        keep_from=params["keep_from"],
        consumers=_consumers(params, suffixes),
        suffixes=suffixes,
        segment_size=_segment_size(params),
        ask_server=params["ask_server"],
        remove_backup_history=params["remove_backup_history"],
        allow_remove_all=params["allow_remove_all"],
        max_delete=params["max_delete"],
        time_limit=limit_of(params, "time_limit"),
        run_id=params["run_id"],
        state_dir=params["state_dir"],
    )


def subject_of(params: Mapping[str, Any]) -> str:
    """Return what a failure is about: the name that was given, else the server, or the archive where none is asked."""
    if params["name"] or params["ask_server"]:
        return place_of(params)
    return one_line(params["path"])


def require_absolute(path: str) -> None:
    """Raise ``InvalidInput`` for a path that means another place in each working directory, or none at all."""
    if not os.path.isabs(path) or "\0" in path:
        raise InvalidInput(f"{path!r} is not an absolute path.", "Write it from / on.")


def require_place_in_wal(option: str, text: str, suffixes: tuple[str, ...]) -> None:
    """Raise ``InvalidInput`` unless *text* is a position or a name that has one."""
    name = parse_name(text.strip(), suffixes)
    if parse_lsn(text) is None and (name is None or name.kind == HISTORY):
        raise InvalidInput(
            f"{option} is {text!r}, which is neither the name of a WAL file nor a position.",
            "Write it like 000000010000000000000042 or 0/42000028.",
        )


def _consumers(params: Mapping[str, Any], suffixes: tuple[str, ...]) -> tuple[Consumer, ...]:
    found = []
    for given in params["consumers"] or ():
        if given["keep_from"] is not None:
            require_place_in_wal(f"keep_from of the consumer {given['name']}", given["keep_from"], suffixes)
        if given["file"] is not None:
            require_absolute(given["file"])
        by_server = any(given[option] is not None for option in _PLACES)
        if by_server and not params["ask_server"]:
            raise InvalidInput(
                f"The consumer {given['name']} is to be asked, but ask_server is false.",
                "Set ask_server to true, or let the consumer write its oldest file into a file.",
            )
        connection = _connection_of(params, given) if by_server else None
        found.append(Consumer(given["name"], given["file"], given["keep_from"], connection))
    return tuple(found)


def _connection_of(params: Mapping[str, Any], given: Mapping[str, Any]) -> ConnectionOptions:
    """Return how to reach a consumer: as the server, but at its own place."""
    own = {option: given[option] for option in _PLACES if given[option] is not None}
    if "login_host" in own or "login_unix_socket" in own:
        own = {"login_host": "", "login_unix_socket": "", **own}
    elsewhere: dict[str, Any] = {option: None for option in _CONTAINER_OPTIONS if option in params}
    extra = params["connect_params"] or {}
    elsewhere["connect_params"] = {key: value for key, value in extra.items() if key not in _PLACES_OF_LIBPQ}
    return connection_of({**params, **elsewhere, **own, "name": given["name"]})


def _segment_size(params: Mapping[str, Any]) -> int:
    if params["wal_segment_size"] is None:
        return 0
    try:
        size = parse_size(params["wal_segment_size"])
    except InvalidInput as error:
        raise InvalidInput(f"wal_segment_size: {error.message}", error.remedy) from None
    if size not in SIZES:
        raise InvalidInput(
            f"wal_segment_size is {params['wal_segment_size']}; PostgreSQL takes powers of two from 1MiB to 1GiB.",
            "`SHOW wal_segment_size` on the server says it (its MB is 1024 x 1024 bytes: write MiB).",
        )
    return size
