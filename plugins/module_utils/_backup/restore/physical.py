# Copyright (c) 2026 Upkeep maintainers
# GNU General Public License v3.0-or-later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Start a base backup of PostgreSQL for a test: a copy of it, with the very major version that it is of.

The copy is compared with the manifest of the server (``pg_verifybackup``) before anything in it is changed. Its
settings, standby signals and tablespace directories are replaced by ours, so that it finds neither its primary nor its
archive nor the directories of the live server. It is recovered with the WAL that is in it alone.
"""

from __future__ import annotations

import json
import os
import re
import shutil
import time
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from typing import TYPE_CHECKING, Any

from ansible_collections.cadence.upkeep.plugins.module_utils._backup import detect
from ansible_collections.cadence.upkeep.plugins.module_utils._backup.members import Listing
from ansible_collections.cadence.upkeep.plugins.module_utils._backup.restore.model import (
    INITDB,
    Failed,
    Restored,
    Wishes,
    failed,
)
from ansible_collections.cadence.upkeep.plugins.module_utils._backup.restore.others import removed, unfolded
from ansible_collections.cadence.upkeep.plugins.module_utils._backup.restore.processes import (
    Account,
    Ward,
    account_called,
    run,
)
from ansible_collections.cadence.upkeep.plugins.module_utils._backup.restore.programs import (
    Programs,
    choose_exactly,
    installed,
)
from ansible_collections.cadence.upkeep.plugins.module_utils._backup.restore.prove import Prover, judge_time
from ansible_collections.cadence.upkeep.plugins.module_utils._backup.restore.scratch import (
    Scratch,
    base_of,
    require_room_left,
    require_space,
    sweep,
)
from ansible_collections.cadence.upkeep.plugins.module_utils._backup.restore.sql import DATABASES
from ansible_collections.cadence.upkeep.plugins.module_utils._backup.restore.target import (
    SUPERUSER,
    SqlFailed,
    ThrowawayCluster,
    full_instead,
    told,
)
from ansible_collections.cadence.upkeep.plugins.module_utils._backup.restore.untar import extract
from ansible_collections.cadence.upkeep.plugins.module_utils._backup.tree import BASE_BACKUP, BASE_BACKUP_TAR

if TYPE_CHECKING:
    from ansible_collections.cadence.upkeep.plugins.module_utils._backup.restore.run import Subject

PHYSICAL = (BASE_BACKUP, BASE_BACKUP_TAR)
_WAL_BYTES = 256 << 20
# What a tar that is compressed may unfold to, where nobody has unfolded it before.
_UNFOLDS_TO = 6
_FULL = 28
_ARCHIVE = re.compile(r"(base|pg_wal|\d+)\.tar(?:\.\w+)?\Z")
_SEGMENT = re.compile(r"[0-9A-F]{24}\Z")
_SIGNALS = ("standby.signal", "recovery.signal", "recovery.conf", "postmaster.pid", "postmaster.opts")
# What the recovery cannot do without: the places for transactions that are prepared, and for their locks.
_CONTROLLED = {"max_prepared_xacts": "max_prepared_transactions", "max_locks_per_xact": "max_locks_per_transaction"}
_HBA = "local all all trust\n"


def plan(path: str, form: str, wishes: Wishes) -> str:
    """Return the version that *path* would be started with; empty for a tar, which hides it. Raises ``Failed``."""
    _require_here(wishes)
    candidates = installed(wishes.bin_dir)
    major = _major(path) if form == BASE_BACKUP else 0
    return choose_exactly(candidates, major, wishes.bin_dir).version if major else ""


def restore(
    ward: Ward, subject: Subject, wishes: Wishes, restored: Restored, stack: ExitStack, said: Mapping[str, Any]
) -> None:
    """Start *subject* and look at what is in it. Raises ``Failed``."""
    plan(subject.path, restored.format, wishes)
    base = base_of(wishes.scratch_dir)
    sweep(base)
    require_space(base, _need(subject, restored.format, said), wishes.reserve)
    account = account_called(wishes.user)
    place = Scratch(base, account, wishes.run_id)
    stack.callback(removed, place)
    ward.watch = lambda: require_room_left(base, wishes.reserve / 2)
    work = _Work(ward, subject, wishes, restored, place, account)
    with _phase(restored, "fetch"):
        work.fetch()
    candidates = installed(wishes.bin_dir)
    programs = choose_exactly(candidates, _major(work.data), wishes.bin_dir)
    restored.server_version = programs.version
    with _phase(restored, "prepare"):
        work.verify(programs)
        work.fit()
    cluster = _Recovered(programs, candidates, ward, account, place, wishes.jobs)
    stack.callback(cluster.close)
    try:
        with _phase(restored, "load"):
            cluster.recover()
            cluster.start()
        restored.isolated = cluster.isolated
        with _phase(restored, "assert"):
            provers = _examined(cluster, subject, wishes, restored)
    except Failed as error:
        raise full_instead(error, cluster) from error
    judge_time(restored, wishes)
    for prover in provers:
        prover.amcheck()


def _need(subject: Subject, form: str, said: Mapping[str, Any]) -> int:
    unfolded_to = int(said.get("decoded") or 0)
    if form == BASE_BACKUP_TAR and unfolded_to <= subject.size:
        packed = any(not name.endswith(".tar") for name in os.listdir(subject.path) if _ARCHIVE.match(name))
        unfolded_to = subject.size * (_UNFOLDS_TO if packed else 1)
    return int(1.1 * max(subject.size, unfolded_to)) + _WAL_BYTES


def _examined(cluster: _Recovered, subject: Subject, wishes: Wishes, restored: Restored) -> list[Prover]:
    """Read every table of every database, and what the options ask for of the first."""
    try:
        names = [json.loads(line) for line in cluster.query("template1", DATABASES)]
    except SqlFailed as error:
        raise failed("backup.restore_failed", f"was started, and cannot be asked: {error}") from None
    restored.databases = sorted(names, key=lambda name: (name == "postgres", name))
    provers = [Prover(cluster, name, wishes, restored) for name in restored.databases]
    for prover in provers:
        prover.count()
        prover.examine()
    if provers:
        provers[0].assertions()
        provers[0].newest(subject.taken_at)
    return provers


@contextmanager
def _phase(restored: Restored, name: str) -> Iterator[None]:
    began = time.monotonic()
    try:
        yield
    finally:
        restored.seconds[name] = restored.seconds.get(name, 0.0) + time.monotonic() - began


def _require_here(wishes: Wishes) -> None:
    if wishes.target != INITDB:
        what = f"was not restored: a base backup is started where its files are unpacked, and not in a {wishes.target}"
        raise failed("backup.unsupported", what, unknown=True)


def _major(directory: str) -> int:
    """Return the major version that a directory of data is of. Raises ``Failed``."""
    try:
        with open(os.path.join(directory, "PG_VERSION"), encoding="ascii", errors="replace") as stream:
            text = stream.read(16).strip()
    except OSError as error:
        what = f"was not restored: its PG_VERSION cannot be read ({error.strerror or error})"
        raise failed("backup.data_missing", what) from None
    if not text.isdigit():
        raise failed("backup.version_incompatible", f"was not restored: it is of PostgreSQL {text[:10]}", unknown=True)
    return int(text)


class _Work:
    """Makes the directory of data of which a server is started."""

    def __init__(
        self, ward: Ward, subject: Subject, wishes: Wishes, restored: Restored, place: Scratch, account: Account
    ) -> None:
        self._ward, self._subject, self._wishes, self._restored = ward, subject, wishes, restored
        self._place, self._account = place, account
        self.data = place.directory("data", account)

    def fetch(self) -> None:
        """Copy or unpack all files; those of tablespaces into directories of our own."""
        try:
            if self._restored.format == BASE_BACKUP:
                self._copy()
            else:
                self._unpack()
        except OSError as error:
            if error.errno == _FULL:
                raise failed(
                    "backup.scratch_full", "was left half restored: the disk became full", unknown=True
                ) from error
            what = f"was not restored: {error.strerror or error} while it was read or written"
            raise failed("backup.unreadable", what, unknown=True) from error
        for folder, _names, files in os.walk(self._place.path):
            self._ward.check()
            if folder != self._place.path:
                for path in (folder, *(os.path.join(folder, name) for name in files)):
                    if not os.path.islink(path):
                        self._account.give(path)

    def _copy(self) -> None:
        source = self._subject.path
        self._copy_tree(source, self.data, "")
        links = os.path.join(source, "pg_tblspc")
        for name in sorted(os.listdir(links)) if os.path.isdir(links) else ():
            if os.path.isdir(os.path.join(links, name)):
                self._copy_tree(os.path.join(links, name), self._tablespace(name), "")

    def _copy_tree(self, source: str, target: str, below: str) -> None:
        """Links are not followed but for that of the WAL: whoever wrote the backup could have set them anywhere."""
        with os.scandir(os.path.join(source, below)) as listed:
            entries = sorted(listed, key=lambda entry: entry.name)
        for entry in entries:
            self._ward.check()
            path = os.path.join(below, entry.name)
            if entry.is_dir(follow_symlinks=path == "pg_wal"):
                os.makedirs(os.path.join(target, path), 0o700, exist_ok=True)
                self._copy_tree(source, target, path)
            elif entry.is_file(follow_symlinks=False):
                shutil.copyfile(entry.path, os.path.join(target, path))
                self._restored.bytes += entry.stat().st_size

    def _unpack(self) -> None:
        archives = {
            match[1]: name for name in sorted(os.listdir(self._subject.path)) if (match := _ARCHIVE.match(name))
        }
        if "base" not in archives:
            raise failed("backup.data_missing", "was not restored: it has no base.tar")
        # The links to the tablespaces are in the first, what they lead to in the others.
        self._unpack_into(archives.pop("base"), self.data)
        for kind, name in archives.items():
            self._unpack_into(name, os.path.join(self.data, "pg_wal") if kind == "pg_wal" else self._tablespace(kind))
        manifest = os.path.join(self._subject.path, "backup_manifest")
        if os.path.isfile(manifest):
            shutil.copyfile(manifest, os.path.join(self.data, "backup_manifest"))

    def _unpack_into(self, name: str, into: str) -> None:
        path = os.path.join(self._subject.path, name)
        with open(path, "rb") as stream:
            form = detect.detect(stream.read(detect.HEAD_BYTES))
        chain = (detect.TAR,) if form == detect.TAR else (form, detect.TAR)
        listing = Listing(False)
        with unfolded(path, chain, self._subject.decrypt, self._ward) as stream:
            extract(stream, into, listing, self._ward.check)
        self._restored.bytes += listing.result().bytes

    def _tablespace(self, name: str) -> str:
        """Make a directory for the tablespace of that number, and lead the link there."""
        if not name.isdigit():
            raise failed("backup.unsafe_path", "has a tablespace whose name is no number")
        link = os.path.join(self.data, "pg_tblspc", name)
        os.makedirs(os.path.dirname(link), 0o700, exist_ok=True)
        if os.path.islink(link):
            os.remove(link)
        path = self._place.directory(f"tablespace-{name}", self._account)
        os.symlink(path, link)
        return path

    def verify(self, programs: Programs) -> None:
        """Compare the copy with the manifest of the server. Raises ``Failed``."""
        if not programs.has("pg_verifybackup"):
            self._restored.notes.append(f"PostgreSQL {programs.version} has no pg_verifybackup here.")
            return
        # The WAL was parsed in the pass over the backup; the recovery reads it once more.
        argv = [programs.path("pg_verifybackup"), "--exit-on-error", "--no-parse-wal", self.data]
        ended = run(argv, self._ward, account=self._account, cwd=self._place.path)
        if ended.status != 0:
            what = f"copies to other files than the server wrote: {ended.last_words}"
            raise failed("backup.corrupt", what, program="pg_verifybackup")
        self._restored.compared = "manifest"

    def fit(self) -> None:
        """Replace what ties it to the server that it is of. Raises ``Failed``."""
        segments = [name for name in os.listdir(os.path.join(self.data, "pg_wal")) if _SEGMENT.match(name)]
        if os.path.exists(os.path.join(self.data, "backup_label")) and not segments:
            what = (
                "was not restored: it has no WAL in it, and without that of the archive it is not consistent "
                "(pg_basebackup --wal-method=stream puts it in)"
            )
            raise failed("backup.unsupported", what, unknown=True)
        for name in (*_SIGNALS, "postgresql.auto.conf", "postgresql.conf", "pg_hba.conf", "pg_ident.conf"):
            path = os.path.join(self.data, name)
            if os.path.lexists(path):
                os.remove(path)
        slots = os.path.join(self.data, "pg_replslot")
        for name in os.listdir(slots) if os.path.isdir(slots) else ():
            shutil.rmtree(os.path.join(slots, name))
        self._lead_tablespaces()
        for name, text in (("pg_hba.conf", _HBA), ("pg_ident.conf", ""), ("postgresql.conf", "")):
            path = os.path.join(self.data, name)
            with open(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w", encoding="utf-8") as stream:
                stream.write(text)
            self._account.give(path)

    def _lead_tablespaces(self) -> None:
        """By ``tablespace_map`` the recovery would make links to the directories of the live server."""
        links = os.path.join(self.data, "pg_tblspc")
        ours = {}
        for name in sorted(os.listdir(links)) if os.path.isdir(links) else ():
            target = os.path.realpath(os.path.join(links, name))
            if not target.startswith(f"{os.path.realpath(self._place.path)}/"):
                raise failed(
                    "backup.data_missing", f"was not restored: the files of its tablespace {name} are not in it"
                )
            ours[name] = target
        path = os.path.join(self.data, "tablespace_map")
        if os.path.lexists(path):
            with open(path, "w", encoding="utf-8") as stream:
                stream.writelines(f"{name} {target}\n" for name, target in ours.items())


class _Recovered(ThrowawayCluster):
    """A server over files that another has written."""

    def recover(self) -> None:
        """Recover to where it is consistent, without letting anybody in, and make a role for us. Raises ``Failed``."""
        data = os.path.join(self._place.path, "data")
        settings = {**self._settings(), **self._controlled(data)}
        with open(os.path.join(data, "postgresql.conf"), "w", encoding="utf-8") as stream:
            stream.writelines(f"{key} = '{value}'\n" for key, value in settings.items())
        ended = run(
            [self.programs.path("postgres"), "--single", "-D", data, "template1"],
            self._ward,
            feed=lambda write: write(f"CREATE ROLE {SUPERUSER} SUPERUSER LOGIN\n".encode()),
            account=self._account,
            environment={"HOME": self._place.path},
            cwd=self._place.path,
        )
        if ended.status != 0:
            said = told(ended.errors)
            if "No space left on device" in ended.errors:
                raise failed("backup.scratch_full", "was left half restored: the disk became full", unknown=True)
            what = f"cannot be restored: its recovery by PostgreSQL {self.version} stopped with: {said}"
            raise failed("backup.restore_failed", what, program="postgres", error=said, server=self.version)

    def _controlled(self, data: str) -> dict[str, str]:
        ended = run(
            [self.programs.path("pg_controldata"), "-D", data],
            self._ward,
            account=self._account,
            cwd=self._place.path,
        )
        found = {}
        for line in ended.output.splitlines():
            name, _colon, value = line.partition(" setting:")
            if name in _CONTROLLED and value.strip().isdigit():
                found[_CONTROLLED[name]] = value.strip()
        return found
