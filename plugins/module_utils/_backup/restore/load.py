# Copyright (c) 2026 Upkeep maintainers
# GNU General Public License v3.0-or-later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Load a dump of PostgreSQL into a server: archives by ``pg_restore``, plain ones by ``psql``, to the first error."""

from __future__ import annotations

import re
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Callable

from ansible_collections.cadence.upkeep.plugins.module_utils._backup import detect
from ansible_collections.cadence.upkeep.plugins.module_utils._backup.model import Decrypt
from ansible_collections.cadence.upkeep.plugins.module_utils._backup.restore.extensions import missing as lacking
from ansible_collections.cadence.upkeep.plugins.module_utils._backup.restore.model import Failed, Restored, failed
from ansible_collections.cadence.upkeep.plugins.module_utils._backup.restore.statements import (
    Fitted,
    Needed,
    canonical_locale,
    fitted_globals,
)
from ansible_collections.cadence.upkeep.plugins.module_utils._backup.restore.target import (
    SqlFailed,
    Target,
    connection,
    psql_arguments,
    told,
)
from ansible_collections.cadence.upkeep.plugins.module_utils._backup.restore.unfold import Enough, is_open, unfold
from ansible_collections.cadence.upkeep.plugins.module_utils._core.deadline import Deadline
from ansible_collections.cadence.upkeep.plugins.module_utils._core.errors import DeadlineExceeded

ARCHIVES = {detect.PGDUMP_CUSTOM: "custom", detect.PGDUMP_TAR: "tar", detect.PGDUMP_DIRECTORY: "directory"}
PLAIN = (detect.PGDUMP_PLAIN, detect.PGDUMPALL)
_FULL = "No space left on device"
_KEPT_LINES = 40
NO_ROLE = re.compile(r'ERROR:\s+role "(.+)" does not exist')
_LARGEST_GLOBALS = 64 << 20


@dataclass(frozen=True)
class Source:
    """What is loaded: ``chain`` are its formats, the outermost first, as the pass over its content found them."""

    path: str
    chain: tuple[str, ...]
    decrypt: Decrypt = field(default_factory=Decrypt)

    @property
    def format(self) -> str:
        return self.chain[-1]


@dataclass
class _Clock:
    """Splits the time of a load: what reading and unfolding took, and when the data of the last table were in."""

    fetching: float = 0.0
    unfolding: float = 0.0
    writing: float = 0.0
    data_ended: float = 0.0
    _in_data: bool = False

    def __post_init__(self) -> None:
        self.began = time.monotonic()

    def data(self) -> None:
        self.data_ended = time.monotonic()

    def line(self, line: str) -> None:
        """Take a line that pg_restore --verbose writes for each thing that it does."""
        is_data = " TABLE DATA " in line or "processing data for table" in line
        if is_data or (self._in_data and ": creating " in line):
            self.data()
        self._in_data = is_data or (self._in_data and ": creating " not in line)

    def seconds(self) -> dict[str, float]:
        now = time.monotonic()
        index = max(0.0, now - self.data_ended) if self.data_ended else 0.0
        load = max(0.0, now - self.began - index - self.unfolding - self.fetching)
        return {"fetch": self.fetching, "decrypt": self.unfolding, "load": load, "index": index}


class Loader:
    """Loads one dump into one target, and notes in *restored* how long what took. All methods raise ``Failed``."""

    def __init__(self, target: Target, source: Source, jobs: int, restored: Restored, deadline: Deadline) -> None:
        self._target, self._source, self._jobs = target, source, jobs
        self._restored, self._deadline = restored, deadline
        self._roles: set[str] | None = None
        self._tablespaces: set[str] = set()
        self.owners = target.is_ours
        self.invented: list[str] = []

    # --- before

    def globals(self, text: bytes) -> None:
        """Make the roles and tablespaces of a dump of the globals, the tablespaces in directories of our own."""
        existing = frozenset(name.encode() for name in self._existing_roles())
        fitted = fitted_globals(text, existing, self._directory_of)
        ended = self._target.call(
            "psql", [*psql_arguments("postgres"), "-o", "/dev/null", "-f", "-"], feed=lambda write: write(fitted)
        )
        if ended.status != 0:
            what = f"was not restored: its dump of the roles cannot be replayed: {told(ended.errors)}"
            raise failed("backup.restore_failed", what, unknown=_FULL in ended.errors)
        self._roles = None
        self._restored.owners = "globals"

    def _directory_of(self, name: bytes) -> str:
        self._tablespaces.add(_unquoted(name))
        return self._target.directory_of(name)

    def _existing_roles(self) -> set[str]:
        if self._roles is None:
            self._roles = set(self._ask("SELECT rolname FROM pg_catalog.pg_roles"))
        return self._roles

    def _ask(self, text: str) -> list[str]:
        try:
            return self._target.query("postgres", text)
        except SqlFailed as error:
            what = f"was not restored: the server does not answer: {error}"
            raise failed("backup.target_unavailable", what, unknown=True) from None

    def need(self, needed: Needed) -> None:
        """Make what the dump needs and is not there; raise ``Failed`` for an extension that cannot be had."""
        name = needed.name.decode("utf-8", "replace")
        if needed.kind == "extension":
            self.require_extensions([_unquoted(needed.name)])
        elif needed.kind == "role" and _unquoted(needed.name) not in self._existing_roles():
            # Nobody logs in as it. What it owned was seen and refreshed by it with rights that nobody wrote down.
            self._ask(f"CREATE ROLE {name} SUPERUSER")
            self._existing_roles().add(_unquoted(needed.name))
            self.invented.append(_unquoted(needed.name))
        elif needed.kind == "tablespace" and _unquoted(needed.name) not in self._tablespaces:
            directory = self._directory_of(needed.name)
            self._ask(f"CREATE TABLESPACE {name} LOCATION '{directory}'")

    def require_extensions(self, names: Sequence[str]) -> None:
        available = set(self._ask("SELECT name FROM pg_catalog.pg_available_extensions"))
        missing = sorted(set(names) - available)
        if missing:
            raise lacking(missing, self._target.major, self._target.version)

    # --- the load itself

    def load(self, database: str) -> None:
        """Load the dump into *database*, which is there and empty."""
        clock = _Clock()
        if self._source.format in PLAIN:
            self._plain(database, clock)
        else:
            self._archive(database, clock)
        for phase, seconds in clock.seconds().items():
            self._restored.seconds[phase] = self._restored.seconds.get(phase, 0.0) + seconds

    def _plain(self, database: str, clock: _Clock) -> None:
        whole = self._source.format == detect.PGDUMPALL
        locales = self._locales() if whole else None

        def feed(write: Callable[[bytes], None]) -> None:
            fitted = Fitted(
                write,
                self.need,
                whole_cluster=whole,
                owners=self.owners,
                locales=locales,
                data_ended=clock.data,
                directory_of=self._directory_of if self._target.is_ours else None,
            )
            self._unfold(clock, fitted.feed)
            fitted.finish()

        # Nothing that makes a database can stand in a transaction.
        once = [] if whole else ["-1"]
        ended = self._target.call("psql", [*psql_arguments(database), "-o", "/dev/null", *once, "-f", "-"], feed=feed)
        if ended.status != 0:
            raise self.refused("psql", ended.errors)

    def _locales(self) -> frozenset[str] | None:
        names = self._ask("SELECT DISTINCT collcollate FROM pg_catalog.pg_collation WHERE collprovider = 'c'")
        return frozenset(canonical_locale(name) for name in [*names, "C", "POSIX"])

    def _archive(self, database: str, clock: _Clock) -> None:
        source = self._source
        arguments = ["--exit-on-error", "--no-subscriptions", "--verbose", "--dbname", connection(database)]
        arguments += ["--format", ARCHIVES[source.format]]
        if not self.owners or self._restored.owners != "globals":
            arguments += ["--no-owner", "--no-acl", "--no-tablespaces"]
            self._restored.owners = "left out"
            if self._target.is_ours:
                self._make_named_roles()
        said: list[str] = []

        def line(text: str) -> None:
            clock.line(text)
            if not text.startswith("pg_restore: ") or "error" in text or "warning" in text:
                del said[:-_KEPT_LINES]
                said.append(text)

        if is_open(source.path, source.chain):
            began = time.monotonic()
            place = self._target.stage(source.path)
            clock.fetching += time.monotonic() - began
            clock.began = began
            if self._jobs > 1 and source.format != detect.PGDUMP_TAR:
                arguments += ["--jobs", str(self._jobs)]
            ended = self._target.call("pg_restore", [*arguments, place], lines=line)
        else:
            ended = self._target.call(
                "pg_restore", arguments, lines=line, feed=lambda write: self._unfold(clock, write)
            )
        if ended.status != 0:
            raise self.refused("pg_restore", "\n".join([*said, ended.errors]))

    def _make_named_roles(self) -> None:
        """Even without owners, policies of row security name roles: the definitions say which."""
        source = self._source
        open_at = self._target.stage(source.path) if is_open(source.path, source.chain) else ""
        arguments = ["--schema-only", "--no-owner", "--no-acl", "--format", ARCHIVES[source.format], "--file", "-"]
        feed = None if open_at else lambda write: self._unfold(_Clock(), _until_refused(write))
        ended = self._target.call("pg_restore", [*arguments, *([open_at] if open_at else [])], feed=feed)
        if ended.status == 0:
            fitted = Fitted(_discard, self._need_role)
            fitted.feed(ended.output.encode("utf-8", "replace"))
            fitted.finish()

    def _need_role(self, needed: Needed) -> None:
        if needed.kind == "role":
            self.need(needed)

    def _unfold(self, clock: _Clock, write: Callable[[bytes], None]) -> None:
        source, began, before = self._source, time.monotonic(), clock.writing

        def timed(data: bytes) -> None:
            start = time.monotonic()
            write(data)
            clock.writing += time.monotonic() - start

        try:
            unfold(source.path, source.chain, source.decrypt, self._deadline, timed)
        except DeadlineExceeded as error:
            raise failed("backup.timeout", "was not restored to its end in time", unknown=True) from error
        except OSError as error:
            what = f"was not restored: it cannot be read any more ({error.strerror})"
            raise failed("backup.unreadable", what, unknown=True) from error
        clock.unfolding += time.monotonic() - began - (clock.writing - before)

    def refused(self, program: str, errors: str) -> Failed:
        """Return what it means that *program* stopped with *errors*."""
        said = told(errors)
        if _FULL in errors or "could not extend file" in errors:
            return failed("backup.scratch_full", "was left half restored: the disk became full", unknown=True)
        lost = "server closed the connection" in errors or "connection to server was lost" in errors
        if lost or "terminating connection" in errors:
            return failed("backup.target_unavailable", "was left half restored: its server went away", unknown=True)
        if "extension" in errors and ("is not available" in errors or "could not open extension control" in errors):
            what = f"cannot be restored here: {said}"
            return failed("backup.extension_missing", what, unknown=True, server=self._target.version)
        if "unsupported version" in errors and "in file header" in errors:
            what = f"cannot be restored here: pg_restore of {self._target.version} says: {said}"
            return failed("backup.version_incompatible", what, server=self._target.version)
        missing = NO_ROLE.search(errors)
        if missing is not None and not self._target.is_ours:
            what = f"was not restored: it names the role {missing[1]}, which that server does not have"
            return failed("backup.globals_missing", what, unknown=True, role=missing[1])
        what = f"cannot be restored: {program} stopped with: {said}"
        return failed("backup.restore_failed", what, program=program, error=said, server=self._target.version)


def _unquoted(name: bytes) -> str:
    text = name.decode("utf-8", "replace")
    return text[1:-1].replace('""', '"') if text.startswith('"') else text.lower()


def _discard(_data: bytes) -> None:
    """Only what is needed is wanted of it."""


def _until_refused(write: Callable[[bytes], None]) -> Callable[[bytes], None]:
    """The definitions stand first: when pg_restore has read them, it takes no more."""
    taken = [0]

    def limited(data: bytes) -> None:
        if taken[0] > _LARGEST_GLOBALS:
            raise Enough
        taken[0] += len(data)
        write(data)

    return limited
