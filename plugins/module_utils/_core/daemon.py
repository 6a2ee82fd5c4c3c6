# Copyright (c) 2026 Upkeep maintainers
# GNU General Public License v3.0-or-later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The only file that knows the Docker SDK: find containers, read their files, run programs in them, signal them."""

from __future__ import annotations

import contextlib
import io
import json
import os
import re
import socket
import sys
import tarfile
import time
import traceback
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit

from ansible_collections.cadence.upkeep.plugins.module_utils._core.command import OUTPUT_BYTES
from ansible_collections.cadence.upkeep.plugins.module_utils._core.containers import (
    ONE_OFF,
    PROJECT,
    SERVICE,
    Description,
    Place,
    label_of,
    name_of,
)
from ansible_collections.cadence.upkeep.plugins.module_utils._core.deadline import Deadline
from ansible_collections.cadence.upkeep.plugins.module_utils._core.errors import (
    CommandFailed,
    ConnectionFailed,
    DeadlineExceeded,
    InvalidInput,
    MissingLibrary,
)
from ansible_collections.cadence.upkeep.plugins.module_utils._core.plain import one_line
from ansible_collections.cadence.upkeep.plugins.module_utils._core.redact import redact
from ansible_collections.cadence.upkeep.plugins.module_utils._core.units import format_duration

IMPORT_ERROR = ""
try:
    import docker
    import docker.errors
    import docker.utils
    import requests.exceptions
    import urllib3.exceptions
except ImportError:
    IMPORT_ERROR = traceback.format_exc()

DEFAULT_SOCKET = "/var/run/docker.sock"
DAEMON_SECONDS = 15
_CONTAINER_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]*\Z")
_LONGEST_FILE = 1 << 16
_MOST_LINKS = 5
_MOST_NAMES = 8
# Before each piece of output: which stream it is of, three zeros, its length (``POST /exec/{id}/start``).
_FRAME_HEAD = 8
_PATIENCE = 2.0  # for the daemon to note that a program has ended whose output has ended


@dataclass(frozen=True)
class Executed:
    """How a program in a container ended: its exit status, and what it said on both streams, cut and redacted."""

    argv: tuple[str, ...]
    status: int
    output: str


class Daemon:
    """One connection to a daemon (Docker's, or podman's, which speaks the same); raises ``ConnectionFailed``."""

    def __init__(self, docker_host: str = "", environ: Mapping[str, str] | None = None) -> None:
        _require_library()
        environ = os.environ if environ is None else environ
        self.url = daemon_url(docker_host, environ)
        with self._asked():
            settings = docker.utils.kwargs_from_env(environment={**environ, "DOCKER_HOST": self.url})
            self._api = docker.APIClient(version="auto", timeout=DAEMON_SECONDS, **settings)

    @property
    def host(self) -> str:
        """The daemon's host when that is another one; empty for this one."""
        host = urlsplit(self.url).hostname if self.url.startswith(("tcp://", "http://", "https://")) else None
        return "" if host in (None, "localhost", "127.0.0.1", "::1") else str(host)

    def close(self) -> None:
        self._api.close()

    def describe(self, name: str) -> Description:
        """Return the description of the container with that name or id. Raises ``InvalidInput`` when there is none."""
        wanted, found = name.lstrip("/"), None
        with self._asked():
            try:
                # What no container can be called would be another path of the API.
                found = self._api.inspect_container(wanted) if _CONTAINER_NAME.match(wanted) else None
            except docker.errors.NotFound:
                pass  # said below, with the names that there are
        # The daemon also takes the first letters of an id: `db` could be somebody else's.
        if found and (name_of(found) == wanted or (len(wanted) >= 12 and found["Id"].startswith(wanted))):
            return dict(found)
        names = [name_of({"Name": one["Names"][0]}) for one in self.containers() if one.get("Names")]
        raise InvalidInput(
            f"There is no container {one_line(name)} at {self.url}; there {_are(names, 'container')}.",
            "Correct container: it is a name or an id as `docker ps -a` shows it.",
        )

    def containers(self, *labels: str) -> list[Mapping[str, Any]]:
        """Return all containers with those labels, in short, whatever they do."""
        with self._asked():
            return list(self._api.containers(all=True, filters={"label": list(labels)} if labels else None))

    def find(self, place: Place) -> Description:
        """Return the description of the one container that is meant. Raises ``InvalidInput`` for none or several."""
        return self.describe(place.container) if place.container else self._of_service(place.project, place.service)

    def _of_service(self, project: str, service: str) -> Description:
        there = [one for one in self.containers(f"{PROJECT}={project}") if label_of(one, ONE_OFF) != "True"]
        if not there:
            projects = {label_of(one, PROJECT) for one in self.containers(PROJECT)}
            raise InvalidInput(
                f"There is no project {one_line(project)} at {self.url}; there {_are(projects, 'project')}.",
                "Correct compose_project (`docker compose ls -a` lists what there is), "
                "or start it: docker compose up -d.",
            )
        found = [one for one in there if label_of(one, SERVICE) == service]
        if not found:
            services = {label_of(one, SERVICE) for one in there}
            raise InvalidInput(
                f"There is no service {one_line(service)} in the Compose project {project}; "
                f"there {_are(services, 'service')}.",
                "Correct compose_service, or start it: docker compose up -d.",
            )
        # What was stopped and not removed yet (a recreated container, a service scaled down) serves nobody.
        running = [one for one in found if one.get("State") == "running"] or found
        if len(running) > 1:
            names = sorted(name_of({"Name": one["Names"][0]}) for one in running)
            raise InvalidInput(
                f"The service {service} of the Compose project {project} has {len(names)} containers: "
                f"{', '.join(names)}.",
                "Say which one is meant: container, instead of compose_project and compose_service.",
                {"containers": names},
            )
        return self.describe(running[0]["Id"])

    def execute(self, description: Description, argv: Sequence[str], seconds: float) -> Executed:
        """Run *argv* in a container as its own user, without a shell, and return how it ended, whatever its status.

        Raises ``CommandFailed`` when it cannot be started, and ``DeadlineExceeded`` after *seconds*: the daemon has no
        way to stop it then, so that it may go on.
        """
        deadline = Deadline(seconds)
        with self._asked():
            try:
                identity = self._api.exec_create(description["Id"], list(argv))["Id"]
            except docker.errors.APIError as error:
                raise _not_started(description, argv, str(error.explanation or error)) from None
            output = self._output_of(identity, description, argv, deadline)
            status = self._status_of(identity)
        return Executed(tuple(map(redact, argv)), status, redact(output))

    def _output_of(self, identity: str, description: Description, argv: Sequence[str], deadline: Deadline) -> str:
        """Start what was made ready and return what it says, up to its end.

        Not by the SDK's own call, which knows no deadline and can lose the first words.
        """
        url = f"{self._api.base_url}/v{self._api.api_version}/exec/{identity}/start"
        kept = bytearray()
        try:
            with self._api.post(
                url, json={"Detach": False, "Tty": False}, stream=True, timeout=deadline.seconds
            ) as answer:
                if answer.status_code >= 400:
                    raise _not_started(description, argv, _said(answer.content))
                for piece in _frames(answer.raw, deadline):
                    kept += piece[: OUTPUT_BYTES - len(kept)]
        except (requests.exceptions.Timeout, urllib3.exceptions.TimeoutError, socket.timeout, DeadlineExceeded):
            raise DeadlineExceeded(
                f"{one_line(argv[0])} had not ended in the container {name_of(description)} after "
                f"{format_duration(deadline.seconds or 0.0)}.",
                "Give it more time, or find out what it waits for: it may still run.",
                {"argv": [redact(word) for word in argv], "container": name_of(description)},
            ) from None
        return kept.decode("utf-8", errors="replace")

    def _status_of(self, identity: str) -> int:
        deadline = Deadline(_PATIENCE)
        while True:
            found = self._api.exec_inspect(identity)
            if not found.get("Running") or deadline.expired:
                # Without a status it is not known to have ended well.
                return int(found["ExitCode"]) if found.get("ExitCode") is not None else -1
            time.sleep(0.02)

    def signal(self, description: Description, name: str) -> None:
        """Send the signal *name* (``HUP``) to the first process of a container."""
        with self._asked():
            self._api.kill(description["Id"], name)

    def read_file(self, description: Description, path: str, who: str = "", remedy: str = "") -> str:
        """Return the text of a file in a container, as ``docker cp`` reads it.

        Raises ``ConnectionFailed`` with *remedy*, and *who* named the file, when it cannot be read.
        """
        name = name_of(description)
        for _link in range(_MOST_LINKS):
            member, content = self._member(description, path)
            if member is None:
                break
            if not member.issym():
                try:
                    return content.decode("utf-8")
                except UnicodeDecodeError:
                    break
            path = os.path.normpath(os.path.join(os.path.dirname(path), member.linkname))
        raise ConnectionFailed(
            f"The file {one_line(path)}{f', which {who} names,' if who else ''} cannot be read there.",
            remedy,
            {"container": name, "file": path},
        )

    def _member(self, description: Description, path: str) -> tuple[tarfile.TarInfo | None, bytes]:
        with self._asked():
            try:
                stream, _stat = self._api.get_archive(description["Id"], path)
                packed = io.BytesIO(b"".join(_at_most(stream, 4 * _LONGEST_FILE)))
            except docker.errors.APIError:  # it is not there, or no file, or a link that leads nowhere
                return None, b""
        try:
            with tarfile.open(fileobj=packed) as archive:
                member = archive.next()
                opened = archive.extractfile(member) if member is not None and member.isfile() else None
                content = b"" if opened is None else opened.read(_LONGEST_FILE)
        except tarfile.TarError:
            return None, b""
        usable = member is not None and (member.issym() or opened is not None)
        return (member if usable else None), content

    @contextlib.contextmanager
    def _asked(self) -> Iterator[None]:
        try:
            yield
        except (
            docker.errors.DockerException,
            requests.exceptions.RequestException,
            urllib3.exceptions.HTTPError,
            OSError,
        ) as error:
            raise unreachable(self.url, error) from None


def _frames(stream: Any, deadline: Deadline) -> Iterator[bytes]:
    """Yield the pieces of a program's output. Raises ``DeadlineExceeded`` between two, for one that never is silent."""
    while True:
        head = stream.read(_FRAME_HEAD)
        if len(head) < _FRAME_HEAD:
            return
        yield stream.read(int.from_bytes(head[4:], "big"))
        deadline.require("The program")


def _said(content: bytes) -> str:
    try:
        return str(json.loads(content)["message"])
    except (ValueError, KeyError, TypeError):
        return content.decode("utf-8", errors="replace")


def _not_started(description: Description, argv: Sequence[str], said: str) -> CommandFailed:
    return CommandFailed(
        f"{one_line(argv[0])} cannot be started in the container {name_of(description)}: "
        f"{one_line(' '.join(redact(said).split()))[:300]}.",
        "Look whether the container runs, and has that program.",
        {"container": name_of(description), "argv": [redact(word) for word in argv]},
    )


def _at_most(stream: Iterator[bytes], size: int) -> Iterator[bytes]:
    taken = 0
    for piece in stream:
        taken += len(piece)
        if taken > size:
            return
        yield piece


def _require_library() -> None:
    if not IMPORT_ERROR and hasattr(docker, "APIClient"):
        return
    raise MissingLibrary(
        f"No container can be looked for: {sys.executable}, which runs the module, lacks the Docker SDK.",
        f"Install it: apt install python3-docker; dnf install python3-docker; {sys.executable} -m pip install docker.",
        {
            "interpreter": sys.executable,
            "packages": {"apt": "python3-docker", "dnf": "python3-docker", "pip": "docker"},
            "import_errors": {"docker": IMPORT_ERROR.strip().splitlines()[-1] if IMPORT_ERROR else "not the SDK"},
        },
    )


def daemon_url(docker_host: str, environ: Mapping[str, str]) -> str:
    """Return where the daemon is: as given, else ``DOCKER_HOST``, else the usual socket, or that of a rootless one."""
    given = docker_host or environ.get("DOCKER_HOST", "")
    if given.startswith("/"):
        given = f"unix://{given}"
    if given.startswith("ssh://"):
        raise InvalidInput(
            f"The Docker daemon at {given} would be asked through ssh.",
            "Run the task on that host: the server is reached from there.",
        )
    if given:
        return given
    rootless = os.path.join(environ.get("XDG_RUNTIME_DIR") or "/nonexistent", "docker.sock")
    return f"unix://{rootless if not os.path.exists(DEFAULT_SOCKET) and os.path.exists(rootless) else DEFAULT_SOCKET}"


# What the SDK says when it is not let in -> cause, next step. The first that matches counts.
_START = "Start it (systemctl start docker), or say where it is: docker_host, or DOCKER_HOST in the task's environment."
_GROUP = "Add the user to the group docker and log in anew, or run the task as root (become: true)."


def unreachable(url: str, error: BaseException) -> ConnectionFailed:
    """Return the error for a daemon at *url* that does not answer, or does not answer what was asked."""
    causes = list(_causes(error))
    said = one_line(" ".join(str(getattr(error, "explanation", None) or error).split()))[:300]
    if any(isinstance(cause, PermissionError) for cause in causes):
        reason, remedy = "it does not let this user in (permission denied)", _GROUP
    elif any(isinstance(cause, FileNotFoundError) for cause in causes):
        reason, remedy = "there is no such socket", _START
    elif any(isinstance(cause, ConnectionRefusedError) for cause in causes):
        reason, remedy = "nobody listens there (connection refused)", _START
    elif any(isinstance(cause, (socket.timeout, requests.exceptions.Timeout)) for cause in causes):
        reason, remedy = f"it did not answer within {DAEMON_SECONDS} s", "Look into its log: journalctl -u docker."
    elif "http+docker" in said:
        reason, remedy = f"the SDK is too old for its own libraries ({said})", "Update it: pip install 'docker>=7.1'."
    elif "too old" in said or "no longer supported" in said:
        reason, remedy = (
            said,
            "Update whichever of the two is older: the Docker SDK (pip install -U docker), or Docker.",
        )
    elif any(isinstance(cause, requests.exceptions.SSLError) for cause in causes):
        reason, remedy = f"no trusted connection ({said})", "Check DOCKER_TLS_VERIFY and DOCKER_CERT_PATH."
    else:
        reason, remedy = said, "Try `docker ps` as the same user with the same DOCKER_HOST."
    return ConnectionFailed(
        f"The Docker daemon at {url} cannot be asked for the container: {reason}.",
        remedy,
        {"docker_host": url, "reason": reason},
    )


def _causes(error: BaseException, depth: int = 8) -> Iterator[BaseException]:
    """Yield *error* and what it was made of; requests and urllib3 put the cause among the arguments."""
    yield error
    inner = [error.__cause__, error.__context__, getattr(error, "reason", None), *getattr(error, "args", ())]
    for one in inner if depth else ():
        if isinstance(one, BaseException):
            yield from _causes(one, depth - 1)


def _are(names: Any, what: str) -> str:
    listed = [one_line(name) for name in sorted(set(names)) if name]
    if not listed:
        return f"is no {what}"
    more = f" and {len(listed) - _MOST_NAMES} more" if len(listed) > _MOST_NAMES else ""
    return f"{'is' if len(listed) == 1 else 'are'} {', '.join(listed[:_MOST_NAMES])}{more}"
