# Copyright (c) 2026 Upkeep maintainers
# GNU General Public License v3.0-or-later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Run alembic: in a container of the new image, or on this host."""

from __future__ import annotations

import contextlib
import glob
import json
import os
import secrets
from collections.abc import Iterator, Mapping, Sequence
from typing import Optional

from ansible_collections.cadence.upkeep.plugins.module_utils._compose.project import Compose, Files
from ansible_collections.cadence.upkeep.plugins.module_utils._core.command import Completed, run
from ansible_collections.cadence.upkeep.plugins.module_utils._core.errors import CommandFailed, InvalidInput

_GRACE = 30.0
# On a container that changes a database: the application that it is of.
LABEL = "upkeep.migrates"
_DEFAULT_FILES = tuple(
    f"{stem}.{ending}"
    for stem, ending in (
        ("compose", "yaml"),
        ("compose", "yml"),
        ("docker-compose", "yml"),
        ("docker-compose", "yaml"),
    )
)
_OUTPUT = 4 * 1024 * 1024


class Runner:
    """Runs alembic with arguments; raises ``CommandFailed`` and ``DeadlineExceeded``, and leaves nothing running."""

    def __init__(self, command: Sequence[str], environment: Mapping[str, str]) -> None:
        self._command = list(command)
        self._environment = dict(environment)

    def run(self, arguments: Sequence[str], seconds: float) -> Completed:
        """Run alembic with *arguments* for at most *seconds*, whatever its status."""
        raise NotImplementedError


class OnHost(Runner):
    """On this host, in the folder with ``alembic.ini``."""

    def __init__(self, command: Sequence[str], environment: Mapping[str, str], folder: str) -> None:
        super().__init__(command, environment)
        if not os.path.isdir(folder):
            raise InvalidInput(f"There is no folder {folder}.", "Correct chdir: it has alembic.ini.")
        self._folder = folder

    def run(self, arguments: Sequence[str], seconds: float) -> Completed:
        words = ["env", f"--chdir={self._folder}", *self._command, *arguments]
        return run(words, seconds, secret_environment=self._environment, cap=_OUTPUT)


class InContainer(Runner):
    """In a container of a service of a Compose project, which is removed when it has ended, or is too late."""

    def __init__(
        self,
        command: Sequence[str],
        environment: Mapping[str, str],
        compose: Compose,
        cli: str,
        host: str,
        service: str,
        application: str,
    ) -> None:
        super().__init__(command, environment)
        self._compose = compose
        self._cli = cli
        self._host = {"DOCKER_HOST": host} if host else {}
        self._service = service
        self._application = application

    def run(self, arguments: Sequence[str], seconds: float) -> Completed:
        name = f"upkeep-migrate-{secrets.token_hex(6)}"
        # Values go by the environment of the client, so that no list of processes shows them.
        given = [word for variable in self._environment for word in ("--env", variable)]
        if arguments[0] in ("upgrade", "downgrade") and "--sql" not in arguments:
            given += ["--label", f"{LABEL}={self._application}"]
        argv = [
            self._cli,
            "compose",
            *self._compose.files.arguments,
            *("run", "--rm", "--no-deps", "--no-TTY", "--quiet-pull", "--name", name),
            *(*given, self._service, *self._command, *arguments),
        ]
        ended = False
        try:
            done = run(argv, seconds, environment=self._host, secret_environment=self._environment, cap=_OUTPUT)
            ended = True
            return done
        finally:
            if not ended:
                # The client was killed; what it started goes on, and would hold its locks.
                run([self._cli, "rm", "--force", name], _GRACE, environment=self._host)


@contextlib.contextmanager
def with_image(files: Files, service: str, image: str) -> Iterator[Files]:
    """Yield the project in which *service* has *image*; the project as it is when none is given."""
    if not image:
        yield files
        return
    override = {"services": {service: {"image": image, "pull_policy": "never"}}}
    descriptor = os.memfd_create("override") if hasattr(os, "memfd_create") else -1
    if descriptor < 0:
        raise CommandFailed("An image can be set on Linux alone.", "Leave out image.")
    try:
        os.write(descriptor, json.dumps(override).encode())
        path = f"/proc/{os.getpid()}/fd/{descriptor}"
        named = files.files or _default_files(files.directory)
        yield Files(files.directory, files.name, (*named, path), files.env_files, files.profiles)
    finally:
        os.close(descriptor)


def _default_files(directory: str) -> tuple[str, ...]:
    """Return the files that Compose takes when none is named: the first of its names, and that one's override."""
    for name in _DEFAULT_FILES:
        path = os.path.join(directory, name)
        if os.path.exists(path):
            stem = path.rpartition(".")[0]
            return (path, *sorted(glob.glob(f"{glob.escape(stem)}.override.y*ml")))
    raise InvalidInput(f"There is no Compose file in {directory}.", "Name it in files.")


def postgres_settings(lock_timeout: float, statement_timeout: float, present: Optional[str]) -> str:
    """Return ``PGOPTIONS`` for sessions that give up rather than hold everybody up."""
    given = [f"-c lock_timeout={int(lock_timeout * 1000)}"] if lock_timeout else []
    given += [f"-c statement_timeout={int(statement_timeout * 1000)}"] if statement_timeout else []
    return " ".join([*([present] if present else []), *given])
