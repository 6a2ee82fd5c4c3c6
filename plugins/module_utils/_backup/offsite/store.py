# Copyright (c) 2026 Upkeep maintainers
# GNU General Public License v3.0-or-later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A store that rclone reaches: S3 and its like, sftp, WebDAV and many more.

Where the store has no SHA-256 of its own, a copy is read back whole: what a store tells of an upload is often what the
client told it. Secrets go by the configuration file or the environment of rclone, never by its arguments.
"""

from __future__ import annotations

import json
import re

from ansible_collections.cadence.upkeep.plugins.module_utils._backup import adapter
from ansible_collections.cadence.upkeep.plugins.module_utils._backup.offsite.model import (
    Local,
    Rclone,
    Seen,
    Settled,
    Unreachable,
)
from ansible_collections.cadence.upkeep.plugins.module_utils._core.command import Completed, run
from ansible_collections.cadence.upkeep.plugins.module_utils._core.deadline import Deadline
from ansible_collections.cadence.upkeep.plugins.module_utils._core.errors import CommandFailed

_SHA256 = re.compile(r"\s*([0-9a-f]{64})\s")
_NO_DIRECTORY, _NO_FILE = 3, 4
_STAMPED = re.compile(r"^\d{4}/\d\d/\d\d \d\d:\d\d:\d\d (?:[A-Z]+ *: )?")
# What rclone says when another try will not help.
_NEVER = (
    *("AccessDenied", "InvalidAccessKeyId", "SignatureDoesNotMatch", "NoSuchBucket", "didn't find section", "403"),
    *("knownhosts", "unable to authenticate", "permission denied", "no such host key", "unknown flag"),
)
_LARGEST_LISTING = 64 << 20
_IMPATIENT = ("--retries", "1", "--low-level-retries", "2", "--contimeout", "20s", "--timeout", "2m")


class Store:
    """A path of a remote of rclone."""

    resumes = False

    def __init__(self, rclone: Rclone, path: str, bytes_per_second: int) -> None:
        program = adapter.program(rclone.program) if "/" not in rclone.program else rclone.program
        if program is None:
            raise Unreachable(f"the program {rclone.program} is not here: install it")
        # Whether it is tried again is for us to say: by itself it goes on for minutes when nobody answers.
        self._argv = [program, *(["--config", rclone.config] if rclone.config else []), *_IMPATIENT]
        self._secret = rclone.environment
        self._path = path
        self._rate = bytes_per_second
        self.target = path

    def look(self, names: list[str], deadline: Deadline) -> dict[str, Seen]:
        found: dict[str, Seen] = {}
        for folder in sorted({name.rpartition("/")[0] for name in names}):
            ended = self._run("Looking at the other place", ["lsjson", "--no-mimetype", self._of(folder)], deadline)
            if ended.status == _NO_DIRECTORY:
                continue
            self._require(ended)
            try:
                entries = json.loads(ended.output) if not ended.truncated else None
            except ValueError:
                entries = None
            if entries is None:
                raise Unreachable("the listing of the far side could not be read")
            for entry in entries:
                name = f"{folder}/{entry['Name']}" if folder else entry["Name"]
                found[name] = Seen(int(entry["Size"]), str(entry.get("ModTime", "")), not entry["IsDir"])
        return {name: found[name] for name in names if name in found}

    def digest(self, name: str, deadline: Deadline) -> tuple[str, str]:
        ended = self._run("Comparing a copy", ["hashsum", "SHA256", self._of(name)], deadline)
        match = _SHA256.match(ended.output) if ended.status == 0 else None
        if match is not None:
            return match[1], "the store gave its SHA-256"
        ended = self._run(
            "Comparing a copy", ["hashsum", "SHA256", "--download", *self._slow(), self._of(name)], deadline
        )
        self._require(ended)
        match = _SHA256.match(ended.output)
        if match is None:
            raise Unreachable("the copy could not be read back")
        return match[1], "it was read back whole"

    def send(self, local: Local, name: str, deadline: Deadline) -> int | None:
        how = ["--no-traverse", "--immutable", *self._slow()]
        self._require(self._run("Copying", ["copyto", *how, "--", local.path, self._of(name)], deadline))
        return local.size

    def settle(self, temporary: str, name: str, sha256: str, deadline: Deadline) -> Settled:
        digest, how = self.digest(temporary, deadline)
        if digest != sha256:
            return Settled(digest, how, None)
        if temporary != name:
            self._accept(temporary, name, deadline)
        return Settled(digest, how, self.look([name], deadline).get(name))

    def _accept(self, temporary: str, name: str, deadline: Deadline) -> None:
        if name in self.look([name], deadline):
            raise Unreachable(f"{name} has come to be there meanwhile")
        how = ["--immutable", "--", self._of(temporary), self._of(name)]
        self._require(self._run("Renaming a copy", ["moveto", *how], deadline))

    def discard(self, temporary: str, deadline: Deadline) -> None:
        ended = self._run("Removing an unfinished copy", ["deletefile", "--", self._of(temporary)], deadline)
        if ended.status not in (_NO_DIRECTORY, _NO_FILE):
            self._require(ended)

    # --- how it is asked

    def _of(self, name: str) -> str:
        if not name:
            return self._path
        return f"{self._path}{name}" if self._path.endswith(":") else f"{self._path}/{name}"

    def _slow(self) -> list[str]:
        return ["--bwlimit", f"{max(1, self._rate // 1024)}Ki"] if self._rate else []

    def _run(self, what: str, arguments: list[str], deadline: Deadline) -> Completed:
        deadline.require(what)
        argv = [*self._argv, *arguments]
        try:
            return run(argv, deadline.remaining or 1.0, secret_environment=self._secret, cap=_LARGEST_LISTING)
        except CommandFailed as error:
            raise Unreachable(error.message) from error

    @staticmethod
    def _require(ended: Completed) -> None:
        if ended.status == 0:
            return
        lines = [_STAMPED.sub("", line).strip() for line in ended.errors.splitlines() if line.strip()]
        said = (lines or ["it said nothing"])[-1]
        never = any(words.lower() in line.lower() for line in lines for words in _NEVER)
        how = f"status {ended.status}" if ended.status > 0 else f"signal {-ended.status}"
        raise Unreachable(f"rclone ended with {how}: {said[:300]}", again=not never and ended.status in (1, 5))
