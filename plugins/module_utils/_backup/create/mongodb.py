# Copyright (c) 2026 Upkeep maintainers
# GNU General Public License v3.0-or-later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Dump MongoDB by ``mongodump``, into one archive: on this host, in a container, or in a pod."""

from __future__ import annotations

import contextlib
import json
from collections.abc import Mapping
from datetime import datetime
from typing import Any

from ansible_collections.cadence.upkeep.plugins.module_utils._backup import adapter
from ansible_collections.cadence.upkeep.plugins.module_utils._backup.containers import Sink
from ansible_collections.cadence.upkeep.plugins.module_utils._backup.create import far, model
from ansible_collections.cadence.upkeep.plugins.module_utils._backup.create.chain import chosen_compression
from ansible_collections.cadence.upkeep.plugins.module_utils._backup.create.errors import BackupFailed
from ansible_collections.cadence.upkeep.plugins.module_utils._backup.create.far import FarDump, Place
from ansible_collections.cadence.upkeep.plugins.module_utils._backup.create.model import Facts, Job, Poured
from ansible_collections.cadence.upkeep.plugins.module_utils._backup.create.postgres import Compression
from ansible_collections.cadence.upkeep.plugins.module_utils._backup.create.private import nameless_file
from ansible_collections.cadence.upkeep.plugins.module_utils._backup.create.pump import Source, Statuses
from ansible_collections.cadence.upkeep.plugins.module_utils._backup.manifest import Source as Origin
from ansible_collections.cadence.upkeep.plugins.module_utils._core.command import run
from ansible_collections.cadence.upkeep.plugins.module_utils._core.deadline import Deadline

_SECONDS = 30.0


class MongoDump:
    """One database, or all of them."""

    kind = model.MONGODB
    form = model.CUSTOM
    inner_format = "mongodump-archive"
    program = "mongodump"

    def __init__(self, job: Job, params: Mapping[str, Any], now: datetime, _deadline: Deadline) -> None:
        self._job, self._params = job, params
        self._password = params["login_password"] or ""
        self.place = _place(job, params)
        self.compression = Compression("", chosen_compression(job))
        self._mongodump = "mongodump"
        if self.place is None:
            self._mongodump = adapter.program("mongodump") or ""
            if not self._mongodump:
                raise BackupFailed(
                    "The program mongodump is not here.",
                    "Install mongodb-database-tools, or use those of a container (container) or a pod (pod).",
                    {"class": "tool_missing", "program": "mongodump"},
                )
        where = self.place.title if self.place is not None else f"{params['login_host'] or 'localhost'}"
        database = job.databases[0] if job.databases else ""
        self.facts = Facts(
            subject=f"{params['name'] or where}: {database or 'mongodb'}",
            taken_at=now,
            source=Origin(host=params["name"] or where, database=database),
            tools={"mongodump": self._version()},
        )

    def _version(self) -> str:
        argv = [self._mongodump, "--version"]
        ended = self.place.run(argv, _SECONDS) if self.place is not None else run(argv, _SECONDS)
        ended.require_success("mongodump --version")
        words = ended.output.split()
        return words[words.index("version:") + 1] if "version:" in words[:-1] else ""

    def _argv(self, archive: str, config: str) -> list[str]:
        params, job = self._params, self._job
        argv = [self._mongodump, f"--archive={archive}" if archive else "--archive"]
        for option, value in (
            ("--host", params["login_host"] or params["login_unix_socket"]),
            ("--port", params["login_port"]),
            ("--username", params["login_user"]),
            ("--authenticationDatabase", params["auth_database"]),
            ("--db", job.databases[0] if job.databases else ""),
            ("--sslCAFile", params["ca_cert"]),
            ("--sslPEMKeyFile", params["ssl_cert"]),
            ("--config", config),
        ):
            argv += [f"{option}={value}"] if value else []
        return argv + (["--ssl"] if params["ssl_mode"] in ("require", "verify-ca", "verify-full") else [])

    @property
    def _config(self) -> str:
        """The file that holds the password, in YAML, of which JSON is a part."""
        return json.dumps({"password": self._password}) + "\n"

    def pour(self, sink: Sink | None, _target: str, deadline: Deadline) -> Poured:
        if sink is None:
            raise ValueError("an archive of MongoDB is one stream")
        statuses: Statuses = []
        with contextlib.ExitStack() as stack:
            if self.place is not None:
                job = self._job
                dump = stack.enter_context(FarDump(self.place, job.far_directory, job.mark, job.copy_retries))
                config = dump.keep("config", self._config) if self._password else ""
                dump.dump("mongodump", self._argv(dump.path, config), deadline, statuses)
                dump.fetch(sink, deadline)
            else:
                descriptors: tuple[int, ...] = ()
                config = ""
                if self._password:
                    descriptor = stack.enter_context(nameless_file(self._config))
                    descriptors, config = (descriptor,), f"/dev/fd/{descriptor}"
                secrets = (self._password,) if self._password else ()
                source = Source("mongodump", self._argv("", config), descriptors=descriptors, secrets=secrets)
                source.pour(sink, deadline, statuses)
        return Poured(tuple(statuses))


def _place(job: Job, params: Mapping[str, Any]) -> Place | None:
    if job.pod is not None:
        return far.of_pod(job.pod)
    if not job.inside:
        return None
    # Only here: importing the Docker SDK takes a third of a second, which all other runs save.
    from ansible_collections.cadence.upkeep.plugins.module_utils._core.containers import (
        name_of,
        place_of,
        require_running,
    )
    from ansible_collections.cadence.upkeep.plugins.module_utils._core.daemon import Daemon

    daemon = Daemon(params["docker_host"] or "")
    try:
        description = daemon.find(place_of(params))
        require_running(description)
        return far.of_container(name_of(description), daemon.url)
    finally:
        daemon.close()
