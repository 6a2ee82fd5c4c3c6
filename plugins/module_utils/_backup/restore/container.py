# Copyright (c) 2026 Upkeep maintainers
# GNU General Public License v3.0-or-later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Restore into a container that has no network: its image has the server, whatever this host has."""

from __future__ import annotations

import json
import os
import re
import secrets
import select
import socket
import stat
import time
from collections.abc import Sequence
from typing import Callable

from ansible_collections.cadence.upkeep.plugins.module_utils._backup.restore.model import CONTAINER, Wishes, failed
from ansible_collections.cadence.upkeep.plugins.module_utils._backup.restore.processes import Ended, Feed, Ward
from ansible_collections.cadence.upkeep.plugins.module_utils._backup.restore.scratch import boot_id, start_of
from ansible_collections.cadence.upkeep.plugins.module_utils._backup.restore.target import (
    SUPERUSER,
    Target,
)
from ansible_collections.cadence.upkeep.plugins.module_utils._core.daemon import Daemon
from ansible_collections.cadence.upkeep.plugins.module_utils._core.errors import UpkeepError

LABEL = "cadence.upkeep.restore"
_STAGE = "/var/lib/postgresql/upkeep-restore"
_READY_SECONDS = 120.0
_CHUNK = 1 << 16
_FRAME = 8
_STDERR = 2
_VERSION = re.compile(r"\(PostgreSQL\) (\d+)(?:\.(\d+))?")


class _Engine(Daemon):
    """What a throwaway container needs of the daemon. All methods raise ``ConnectionFailed``."""

    def start(self, image: str, name: str, labels: dict[str, str], settings: Sequence[str]) -> str:
        """Make and start it, without network; return its id."""
        with self._asked():
            host = self._api.create_host_config(network_mode="none", auto_remove=True, cap_drop=["NET_RAW"])
            made = self._api.create_container(
                image,
                command=["postgres", *settings],
                name=name,
                labels=labels,
                environment={"POSTGRES_USER": SUPERUSER, "POSTGRES_HOST_AUTH_METHOD": "trust"}
                | {"POSTGRES_DB": "postgres", "POSTGRES_INITDB_ARGS": "--no-sync --encoding=UTF8 --locale=C"},
                host_config=host,
                network_disabled=True,
            )
            self._api.start(made["Id"])
        return str(made["Id"])

    def has_image(self, image: str) -> bool:
        with self._asked():
            return bool(self._api.images(name=image)) or any(
                image in (one.get("RepoTags") or ()) or one["Id"].startswith(image) for one in self._api.images()
            )

    def end(self, identity: str) -> None:
        """Remove it and what it wrote, should it still be there."""
        if any(one["Id"] == identity for one in self.containers(LABEL)):
            with self._asked():
                self._api.remove_container(identity, v=True, force=True)

    def is_running(self, identity: str) -> bool:
        return any(one["Id"] == identity and one.get("State") == "running" for one in self.containers(LABEL))

    def log(self, identity: str) -> str:
        with self._asked():
            return bytes(self._api.logs(identity, tail=30)).decode("utf-8", "replace")

    def open_exec(self, identity: str, argv: Sequence[str], writing: bool) -> tuple[str, socket.socket]:
        """Start a program in it; return its number and the socket to it."""
        with self._asked():
            made = self._api.exec_create(identity, list(argv), stdin=writing, user="root")["Id"]
            stream = self._api.exec_start(made, socket=True)
        # The wrapper would close the socket with itself, so it gets one of its own.
        raw: socket.socket = getattr(stream, "_sock", stream)
        own = raw.dup()
        stream.close()
        return made, own

    def exec_status(self, number: str) -> int | None:
        with self._asked():
            found = self._api.exec_inspect(number)
        return None if found.get("Running") else int(found["ExitCode"]) if found.get("ExitCode") is not None else -1


class _Exec:
    """A program that runs in the container; it is moved along like one of this host."""

    def __init__(
        self,
        engine: _Engine,
        identity: str,
        argv: Sequence[str],
        ward: Ward,
        writing: bool,
        lines: Callable[[str], None] | None,
    ) -> None:
        self._engine, self._ward, self._lines = engine, ward, lines
        self._name = os.path.basename(argv[0])
        self._number, self._socket = engine.open_exec(identity, argv, writing)
        self._socket.setblocking(False)
        self._received = bytearray()
        self._output, self._errors = bytearray(), bytearray()
        self._writing, self._open = writing, True

    def write(self, data: bytes) -> None:
        view = memoryview(data)
        while view and self._writing and self._open:
            view = view[self._turn(view) :]

    def end_input(self) -> None:
        if self._writing:
            self._writing = False
            try:
                self._socket.shutdown(socket.SHUT_WR)
            except OSError:
                pass  # it has gone already

    def wait(self) -> Ended:
        self.end_input()
        while self._open:
            self._turn(memoryview(b""))
        while True:
            status = self._engine.exec_status(self._number)
            if status is not None:
                break
            self._ward.check()
            time.sleep(0.02)
        output, errors = (bytes(kept).decode("utf-8", "replace") for kept in (self._output, self._errors))
        return Ended(self._name, status, output, errors)

    def close(self) -> None:
        self._socket.close()

    def _turn(self, view: memoryview) -> int:
        self._ward.check()
        poller = select.poll()
        poller.register(self._socket, select.POLLIN | (select.POLLOUT if view else 0))
        if self._ward.control >= 0:
            poller.register(self._ward.control, select.POLLIN)
        taken = 0
        for descriptor, event in poller.poll(250):
            if descriptor == self._ward.control:
                self._ward.hear()
                continue
            if event & ~select.POLLOUT:
                self._take()
            if view and event & select.POLLOUT and self._open:
                taken = self._give(view)
        return taken

    def _give(self, view: memoryview) -> int:
        try:
            return self._socket.send(view[:_CHUNK])
        except BlockingIOError:
            return 0
        except OSError:
            self._writing = False
            return len(view)

    def _take(self) -> None:
        try:
            data = self._socket.recv(_CHUNK)
        except BlockingIOError:
            return
        except OSError:
            data = b""
        if not data:
            self._open = False
            return
        self._received += data
        while len(self._received) >= _FRAME:
            size = int.from_bytes(self._received[4:_FRAME], "big")
            if len(self._received) < _FRAME + size:
                return
            self._sort(self._received[0], bytes(self._received[_FRAME : _FRAME + size]))
            del self._received[: _FRAME + size]

    def _sort(self, stream: int, piece: bytes) -> None:
        if stream != _STDERR:
            self._output += piece
            return
        self._errors += piece
        if self._lines is not None:
            *lines, rest = bytes(self._errors).split(b"\n")
            self._errors[:] = rest
            for line in lines:
                self._lines(line.decode("utf-8", "replace"))


class ContainerTarget(Target):
    """One container with a server. Its programs are those of the image."""

    kind = CONTAINER

    def __init__(self, wishes: Wishes, ward: Ward) -> None:
        self._wishes, self._ward = wishes, ward
        self._identity = ""
        self._staged = 0
        self._tablespaces = 0
        try:
            self._engine = _Engine(wishes.docker_host)
        except UpkeepError as error:
            raise _unavailable(error.message) from None
        sweep(self._engine)

    def start(self, needed: int) -> None:
        """Start the server of the image, and wait for it; raises ``Failed``."""
        image = self._wishes.image
        name = f"upkeep-restore-{secrets.token_hex(4)}"
        owner = {"pid": os.getpid(), "start": start_of(os.getpid()), "boot": boot_id(), "host": socket.gethostname()}
        expires = time.time() + self._wishes.seconds + 3600
        labels = {LABEL: json.dumps(owner), f"{LABEL}.run": self._wishes.run_id, f"{LABEL}.expires": f"{expires:.0f}"}
        settings = [
            *("fsync=off", "full_page_writes=off", "synchronous_commit=off", "autovacuum=off", "wal_level=minimal"),
            *("max_wal_senders=0", "max_logical_replication_workers=0", "archive_mode=off", "jit=off"),
            *("listen_addresses=", "checkpoint_timeout=1h", "max_wal_size=4GB", "log_min_messages=fatal"),
            *("log_min_error_statement=panic", "dynamic_shared_memory_type=mmap"),
        ]
        try:
            if not self._engine.has_image(image):
                raise _unavailable(f"the host has no image {image}, and nothing is fetched for a test")
            words = [word for setting in settings for word in ("-c", setting)]
            self._identity = self._engine.start(image, name, labels, words)
        except UpkeepError as error:
            raise _unavailable(error.message) from None
        self.isolated = True
        self._wait_until_ready()
        self._require_version(needed)

    def _wait_until_ready(self) -> None:
        """The image starts a server to set it up, and another one that stays: only that has the first process."""
        deadline = time.monotonic() + _READY_SECONDS
        while time.monotonic() < deadline:
            self._ward.check()
            ended = self._exec(["sh", "-c", 'tr "\\0" " " </proc/1/cmdline; pg_isready --quiet'])
            if ended.status == 0 and ended.output.split(" ")[0].endswith("postgres"):
                return
            if not self._engine.is_running(self._identity):
                break
            time.sleep(0.05)
        said = "it ended at once" if not self._engine.is_running(self._identity) else "it did not answer"
        raise _unavailable(f"no server came up in a container of {self._wishes.image}: {said}")

    def _require_version(self, needed: int) -> None:
        match = _VERSION.search(self._exec(["postgres", "--version"]).output)
        if match is None:
            raise _unavailable(f"the image {self._wishes.image} does not say which PostgreSQL it has")
        self.major, self.version = int(match[1]), f"{match[1]}.{match[2] or 0}"
        if self.major < needed:
            what = (
                f"cannot be restored in {self._wishes.image}: it needs PostgreSQL {needed}, and that has {self.version}"
            )
            raise failed("backup.version_incompatible", what, needed=needed, installed=[self.version])

    def _exec(self, argv: Sequence[str], feed: Feed | None = None, lines: Callable[[str], None] | None = None) -> Ended:
        try:
            program = _Exec(self._engine, self._identity, argv, self._ward, feed is not None, lines)
            try:
                if feed is not None:
                    feed(program.write)
                return program.wait()
            finally:
                program.close()
        except UpkeepError as error:
            raise _unavailable(error.message) from None

    def call(
        self,
        program: str,
        arguments: Sequence[str],
        *,
        feed: Feed | None = None,
        lines: Callable[[str], None] | None = None,
    ) -> Ended:
        environment = [f"PGUSER={SUPERUSER}", "PGPASSFILE=/dev/null", "LC_ALL=C"]
        return self._exec(["env", *environment, program, *arguments], feed, lines)

    def has(self, program: str) -> bool:
        return self._exec(["sh", "-c", f"command -v {program}"]).status == 0

    def queries(self, database: str, texts: Sequence[str]) -> list[list[str]]:
        return [self.query(database, text) for text in texts]

    def stage(self, path: str) -> str:
        """Copy it in, file by file, through a program's input: no directory of the host is mounted."""
        self._staged += 1
        place = f"{_STAGE}/{self._staged}"
        names = _files_of(path)
        self._exec(["mkdir", "-p", place])
        for name, source in names:
            ended = self._exec(["sh", "-c", 'cat > "$0"', f"{place}/{name}"], feed=_reading(source))
            if ended.status != 0:
                said = f"{os.path.basename(path)} cannot be copied into the container: {ended.last_words}"
                if "No space left" in ended.errors:
                    raise failed("backup.scratch_full", f"was not restored: {said}", unknown=True)
                raise _unavailable(said)
        return place if os.path.isdir(path) else f"{place}/{names[0][0]}"

    def directory_of(self, name: bytes) -> str:
        self._tablespaces += 1
        place = f"{_STAGE}/tablespace-{self._tablespaces}"
        self._exec(["sh", "-c", 'mkdir -p "$0" && chmod 700 "$0" && chown postgres "$0"', place])
        return place

    def close(self) -> None:
        if self._identity:
            try:
                self._engine.end(self._identity)
            except UpkeepError:
                pass  # its label tells the next run
        self._engine.close()


def _files_of(path: str) -> list[tuple[str, str]]:
    if not os.path.isdir(path):
        return [("backup", path)]
    return [
        (name, os.path.join(path, name))
        for name in sorted(os.listdir(path))
        if stat.S_ISREG(os.lstat(os.path.join(path, name)).st_mode)
    ]


def _reading(path: str) -> Feed:
    def feed(write: Callable[[bytes], None]) -> None:
        try:
            with open(path, "rb", buffering=0) as stream:
                for piece in iter(lambda: stream.read(1 << 18), b""):
                    write(piece)
        except OSError as error:
            what = f"was not restored: it cannot be read any more ({error.strerror})"
            raise failed("backup.unreadable", what, unknown=True) from error

    return feed


def sweep(engine: _Engine) -> None:
    """Remove the containers that runs of this host have left which were killed, and those that have expired."""
    for one in engine.containers(LABEL):
        try:
            owner = json.loads(one["Labels"][LABEL])
            expires = float(one["Labels"].get(f"{LABEL}.expires") or 0)
            here = owner["host"] == socket.gethostname()
            lives = owner["boot"] == boot_id() and start_of(int(owner["pid"])) == owner["start"]
        except (ValueError, KeyError, TypeError):
            continue
        if (here and not lives) or (expires and time.time() > expires):
            engine.end(str(one["Id"]))


def _unavailable(said: str) -> Exception:
    return failed("backup.target_unavailable", f"was not restored: {said.rstrip('.')}", unknown=True)
