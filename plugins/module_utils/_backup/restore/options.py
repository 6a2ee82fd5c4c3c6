# Copyright (c) 2026 Upkeep maintainers
# GNU General Public License v3.0-or-later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Make the wishes for a test restore of its options, or say in one sentence what is wrong with them. Pure."""

from __future__ import annotations

import os
from collections.abc import Mapping
from typing import Any, Callable, TypeVar

from ansible_collections.cadence.upkeep.plugins.module_utils._backup.restore.model import (
    CONTAINER,
    SERVER,
    Assertion,
    ServerOptions,
    Wishes,
)
from ansible_collections.cadence.upkeep.plugins.module_utils._core.errors import InvalidInput
from ansible_collections.cadence.upkeep.plugins.module_utils._core.units import parse_duration, parse_percent

T = TypeVar("T")
_MOST_JOBS = 4


def wishes_of(options: Mapping[str, Any] | None, run_id: str = "") -> Wishes:
    """Return the wishes in *options*, validated by ``RESTORE``; raise ``InvalidInput`` naming the option."""
    if options is None:
        return Wishes(jobs=jobs_of(0), run_id=run_id)
    target = options["target"]
    if target == CONTAINER and not options["image"]:
        raise InvalidInput(
            "restore.target is container, but restore.image names no image.",
            "Name one that has PostgreSQL and that the host has already, such as postgres:17.",
        )
    if target == SERVER and not options["server"]:
        raise InvalidInput(
            "restore.target is server, but restore.server names none.", "Say where it is: restore.server.host."
        )
    return Wishes(
        target=target,
        bin_dir=_path("bin_dir", options["bin_dir"]),
        user=options["user"] or "",
        image=options["image"] or "",
        docker_host=options["docker_host"] or "",
        server=_server(options["server"]),
        allow_server=options["allow_server"],
        jobs=jobs_of(options["jobs"]),
        seconds=_positive("timeout", options["timeout"]),
        assertions=tuple(_assertion(entry) for entry in options["assertions"] or ()),
        fingerprint=options["fingerprint"],
        amcheck=options["amcheck"],
        newest=_single("newest", options["newest"] or ""),
        max_rpo=_seconds("max_rpo", options["max_rpo"]),
        max_rto=_seconds("max_rto", options["max_rto"]),
        scratch_dir=_path("scratch_dir", options["scratch_dir"]),
        reserve=_read("scratch_reserve", options["scratch_reserve"], parse_percent),
        run_id=run_id,
    )


def _server(options: Mapping[str, Any] | None) -> ServerOptions | None:
    if options is None:
        return None
    return ServerOptions(
        host=options["host"] or "",
        port=options["port"],
        user=options["user"] or "",
        password=options["password"] or "",
        maintenance_db=options["maintenance_db"],
        beside=tuple(options["beside"] or ()),
    )


def _assertion(entry: Mapping[str, Any]) -> Assertion:
    return Assertion(_single("assertions.sql", entry["sql"]), entry["expect"].strip())


def _single(where: str, sql: str) -> str:
    """Return the one query in *sql*: it is sent to psql, to whom a line with a backslash is a command."""
    text = sql.strip().rstrip(";").rstrip()
    if any(line.lstrip().startswith("\\") for line in text.splitlines()) or "\0" in text:
        raise InvalidInput(f"restore.{where} has a command of psql.", "Write one query of SQL that gives one value.")
    return text


def jobs_of(wanted: int) -> int:
    """Return how many connections load at a time; 0 stands for as many as there are processors, four at most."""
    if wanted < 0:
        raise InvalidInput(f"jobs is {wanted}.", "Write 1 or more, or 0 for as many as there are processors.")
    usable = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    return wanted or min(usable, _MOST_JOBS)


def _path(where: str, path: str | None) -> str:
    if path and not os.path.isabs(path):
        raise InvalidInput(f"restore.{where}: {path!r} is not an absolute path.", "Write it from / on.")
    return path or ""


def _seconds(where: str, text: str | None) -> float:
    return 0.0 if text is None else _read(where, text, parse_duration)


def _positive(where: str, text: str) -> float:
    seconds = _read(where, text, parse_duration)
    if not seconds:
        raise InvalidInput(f"restore.{where} is 0.", "Write how long it may take, like 2h.")
    return seconds


def _read(where: str, text: str, parse: Callable[[Any], T]) -> T:
    try:
        return parse(text)
    except InvalidInput as error:
        raise InvalidInput(f"restore.{where}: {error.message}", error.remedy) from None
