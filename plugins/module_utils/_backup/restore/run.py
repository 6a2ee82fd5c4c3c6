# Copyright (c) 2026 Upkeep maintainers
# GNU General Public License v3.0-or-later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Restore one backup for a test: in a process of its own, beside the pass over its bytes where that can be.

An archive of ``pg_dump`` that is wrapped in nothing is loaded while its bytes are still read and judged; what the pass
finds stops the load. Everything else waits for the pass: above all a plain dump, whose text ``psql`` would obey.
"""

from __future__ import annotations

import json
import os
import time
from collections.abc import Mapping
from contextlib import ExitStack
from dataclasses import dataclass, field, replace
from typing import Any, Callable

from ansible_collections.cadence.upkeep.plugins.module_utils._backup import detect
from ansible_collections.cadence.upkeep.plugins.module_utils._backup.model import (
    Content,
    Decrypt,
    Failure,
    Limits,
    Reading,
)
from ansible_collections.cadence.upkeep.plugins.module_utils._backup.reader import read_content
from ansible_collections.cadence.upkeep.plugins.module_utils._backup.restore import others, physical
from ansible_collections.cadence.upkeep.plugins.module_utils._backup.restore.container import ContainerTarget
from ansible_collections.cadence.upkeep.plugins.module_utils._backup.restore.existing import ExistingServer
from ansible_collections.cadence.upkeep.plugins.module_utils._backup.restore.head import Head, head_of
from ansible_collections.cadence.upkeep.plugins.module_utils._backup.restore.keeper import (
    Keeper,
    next_message,
    not_disturbed,
)
from ansible_collections.cadence.upkeep.plugins.module_utils._backup.restore.load import ARCHIVES, PLAIN, Loader, Source
from ansible_collections.cadence.upkeep.plugins.module_utils._backup.restore.model import (
    CONTAINER,
    INITDB,
    SERVER,
    Failed,
    Restored,
    Trouble,
    Wishes,
    failed,
)
from ansible_collections.cadence.upkeep.plugins.module_utils._backup.restore.processes import Ward, account_called
from ansible_collections.cadence.upkeep.plugins.module_utils._backup.restore.programs import (
    Programs,
    choose,
    installed,
    needed_major,
)
from ansible_collections.cadence.upkeep.plugins.module_utils._backup.restore.prove import (
    Counted,
    Judged,
    Prover,
    judge_time,
)
from ansible_collections.cadence.upkeep.plugins.module_utils._backup.restore.scratch import (
    Scratch,
    base_of,
    require_room_left,
    require_space,
    sweep,
)
from ansible_collections.cadence.upkeep.plugins.module_utils._backup.restore.sql import DATABASES, quoted
from ansible_collections.cadence.upkeep.plugins.module_utils._backup.restore.target import (
    LocalTarget,
    SqlFailed,
    Target,
    ThrowawayCluster,
    full_instead,
)
from ansible_collections.cadence.upkeep.plugins.module_utils._backup.restore.unfold import unfold
from ansible_collections.cadence.upkeep.plugins.module_utils._core.deadline import Deadline

Read = Callable[[], "tuple[Content | None, Failure | None]"]

# Libraries without which an extension cannot even be made, and settings that keep its workers at rest.
_PRELOADED = {"timescaledb": "timescaledb", "pg_cron": "pg_cron", "citus": "citus"}
_WAL_BYTES = 256 << 20
_GRACE = 30.0
# The load takes the longest: the pass beside it lives of what that leaves of the processors.
_BESIDE = 5
_LARGEST_GLOBALS = 64 << 20
_DEEPEST = 6
_OUTSIDE = ("postgres", "template0", "template1")


@dataclass(frozen=True)
class Subject:
    """A backup that is to be restored, and what is known of it besides its bytes.

    ``source_bytes`` is the size of the database by its manifest (0: not known), ``system_identifier`` its server's.
    ``globals_path`` is the newest dump of roles and tablespaces. ``taken_at`` is in RFC 3339. ``parts`` are the
    files of a directory with their digests, ``members_path`` is the list of what is in an archive of files.
    """

    path: str
    size: int
    decrypt: Decrypt = field(default_factory=Decrypt)
    globals_path: str = ""
    source_bytes: int = 0
    system_identifier: str = ""
    rows: Mapping[str, int] | None = None
    fingerprints: Mapping[str, str] = field(default_factory=dict)
    extensions: tuple[str, ...] = ()
    taken_at: str = ""
    tolerance: float = 0.0
    members_path: str = ""
    parts: tuple[tuple[str, str], ...] = ()


def prove(
    subject: Subject, wishes: Wishes, read: Read, deadline: Deadline, *, only_plan: bool = False, early: bool = True
) -> tuple[Content | None, Failure | None]:
    """Return what *read* returns, with what came of the restore in ``content.restored``.

    *read* is the pass over the bytes of the backup: it decides whether the restore is worth anything. Without *early*
    nothing is loaded before it has ended. With *only_plan* nothing is restored; the versions and the space are looked
    at. Raises nothing of its own, but what *read* raises; leaves nothing behind either way. The process that calls it
    may stand back behind others for the rest of its life.
    """
    seconds = wishes.seconds if deadline.remaining is None else min(wishes.seconds, deadline.remaining)
    if only_plan:
        content, failure = read()
        planned = _planned(subject, wishes, content) if content is not None and _is_good(content) else None
        return (replace(content, restored=planned) if content is not None else None), failure
    head = head_of(subject.path) if early and wishes.target != SERVER else None
    if head is not None:
        with Keeper(lambda ward: _work(ward, subject, wishes, head), seconds) as keeper:
            os.nice(_BESIDE)
            content, failure = read()
            return _with_answer(keeper, subject, content, wishes, Deadline(seconds)), failure
    content, failure = read()
    if content is None or not _is_good(content):
        return content, failure
    with Keeper(lambda ward: _work(ward, subject, wishes, None), seconds) as keeper:
        return _with_answer(keeper, subject, content, wishes, Deadline(seconds)), failure


def _is_good(content: Content) -> bool:
    """False when there is nothing to restore, or nothing that one may restore."""
    return content.whole and not any(problem.fatal for problem in content.problems)


def _with_answer(
    keeper: Keeper, subject: Subject, content: Content | None, wishes: Wishes, deadline: Deadline
) -> Content | None:
    if content is None or not _is_good(content):
        return content
    keeper.tell({"judged": _judged(subject, content)})
    # The keeper knows the same deadline, and says by itself that it is over.
    answer = keeper.answer(Deadline((deadline.remaining or 0.0) + _GRACE))
    return replace(content, restored=_taken(answer, wishes))


def _taken(answer: dict[str, Any] | None, wishes: Wishes) -> dict[str, Any]:
    if answer is not None and "troubles" in answer:
        return answer
    restored = Restored(target=wishes.target)
    if answer is None:
        restored.add(Trouble("backup.killed", "was not restored: the process that did it was killed", unknown=True))
    elif "trouble" in answer:
        restored.add(Trouble(**answer["trouble"]))
    else:
        said = answer.get("error") or f"a defect stopped it ({answer.get('defect')})"
        restored.add(Trouble("backup.target_unavailable", f"was not restored: {said.rstrip('.')}", unknown=True))
    return restored.as_plain()


def _judged(subject: Subject, content: Content) -> dict[str, Any]:
    dump = content.dump
    counted = dump is not None and dump.counted and not dump.inserts and dump.complete is not False
    rows, told_by = subject.rows, "manifest"
    if rows is None and dump is not None and counted:
        rows, told_by = dump.rows, "dump"
    return {
        "chain": list(content.chain),
        "decoded": content.bytes_decoded,
        "head": {
            "format": content.chain[-1] if content.chain else "",
            "database": (dump.database if dump is not None else "") or "",
            "server_version": (dump.server_version if dump is not None else "") or "",
            "tool_version": (dump.tool_version if dump is not None else "") or "",
            "encoding": (dump.encoding if dump is not None else "") or "",
            "extensions": list(dump.extensions) if dump is not None else [],
            "cluster": dump.cluster if dump is not None else False,
        },
        "rows": dict(rows) if rows is not None else None,
        "told_by": told_by if rows is not None else "nothing",
        "members": vars(content.members) if content.members is not None else None,
    }


def _head(plain: Mapping[str, Any]) -> Head:
    return Head(**{**plain, "extensions": tuple(plain["extensions"])})


# --- in the keeper


def _work(ward: Ward, subject: Subject, wishes: Wishes, head: Head | None) -> dict[str, Any]:
    """Restore, and say what came of it."""
    restored = Restored(target=wishes.target, jobs=wishes.jobs)
    try:
        with ExitStack() as stack:
            said = None if head is not None else _hear_judged(ward)
            form = head.format if head is not None else said["head"]["format"] if said else ""
            restored.format = form
            if form in ARCHIVES or form in PLAIN:
                run = _PostgresRun(ward, subject, wishes, restored, stack)
                run.restore(head or _head(said["head"] if said else {}), said)
            elif form in physical.PHYSICAL:
                physical.restore(ward, subject, wishes, restored, stack, said or {})
            else:
                others.restore(ward, subject, wishes, restored, stack, said or {})
            restored.finished = True
    except Failed as error:
        restored.add(error.trouble)
    return restored.as_plain()


def _hear_judged(ward: Ward) -> dict[str, Any]:
    said: dict[str, Any] = next_message(ward)["judged"]
    return said


class _PostgresRun:
    """One restore of a dump of PostgreSQL, from the first look for programs to the last query."""

    def __init__(self, ward: Ward, subject: Subject, wishes: Wishes, restored: Restored, stack: ExitStack) -> None:
        self._ward, self._subject, self._wishes = ward, subject, wishes
        self._restored, self._stack = restored, stack

    def restore(self, head: Head, said: dict[str, Any] | None) -> None:
        began = time.monotonic()
        target = self._target(head, said)
        self._restored.server_version = target.version
        self._restored.isolated = target.isolated
        chain = tuple(said["chain"]) if said is not None else (head.format,)
        source = Source(self._subject.path, chain, self._subject.decrypt)
        loader = Loader(target, source, self._wishes.jobs, self._restored, self._ward.deadline)
        try:
            self._load_and_look(target, loader, head, said, began)
        except Failed as error:
            raise full_instead(error, target) from error

    def _load_and_look(
        self, target: Target, loader: Loader, head: Head, said: dict[str, Any] | None, began: float
    ) -> None:
        loader.require_extensions(head.extensions)
        if self._subject.globals_path and target.is_ours and not head.cluster:
            loader.globals(_text_of(self._subject.globals_path, self._subject.decrypt, self._ward))
        database = self._database(target, head)
        self._restored.seconds["prepare"] = time.monotonic() - began
        loader.load(database)
        if loader.invented and not self._restored.owners:
            self._restored.owners = "invented"
            self._restored.notes.append(f"{len(loader.invented)} roles were made up, for no dump of them was named.")
        self._restored.databases = self._databases(target, database, head)
        self._look(target, said)

    # --- where to

    def _target(self, head: Head, said: dict[str, Any] | None) -> Target:
        wishes, ward = self._wishes, self._ward
        if wishes.target == CONTAINER:
            container = ContainerTarget(wishes, ward)
            self._stack.callback(_close, container)
            container.start(needed_major(head.server_version, head.tool_version))
            return container
        candidates = installed(wishes.bin_dir, clients=wishes.target == SERVER)
        if wishes.target == SERVER:
            server = ExistingServer(wishes, candidates, ward, head)
            self._stack.callback(_close, server)
            server.open(self._subject.system_identifier)
            return server
        programs = choose(candidates, needed_major(head.server_version, head.tool_version), wishes.bin_dir)
        base = base_of(wishes.scratch_dir)
        sweep(base)
        require_space(base, need_bytes(self._subject, said), wishes.reserve)
        account = account_called(wishes.user)
        place = Scratch(base, account, wishes.run_id)
        self._stack.callback(_remove, place)
        cluster = ThrowawayCluster(programs, candidates, ward, account, place, wishes.jobs)
        self._stack.callback(_close, cluster)
        _restrict(cluster, head)
        ward.watch = lambda: require_room_left(base, wishes.reserve / 2)
        cluster.create()
        cluster.start(",".join(_PRELOADED[name] for name in head.extensions if name in _PRELOADED))
        return cluster

    def _database(self, target: Target, head: Head) -> str:
        """Make the database into which the dump goes, and return its name."""
        if isinstance(target, ExistingServer):
            return target.database
        if head.format == detect.PGDUMPALL or head.cluster:
            return "postgres"
        name = head.database if head.database and head.database not in _OUTSIDE else "restored"
        encoding = f" ENCODING '{head.encoding}'" if head.encoding else ""
        try:
            target.query("postgres", f"CREATE DATABASE {quoted(name)} TEMPLATE template0{encoding};")
        except SqlFailed as error:
            what = f"was not restored: no database can be made for it: {error}"
            raise failed("backup.target_unavailable", what, unknown=True) from None
        return name

    def _databases(self, target: Target, database: str, head: Head) -> list[str]:
        if head.format != detect.PGDUMPALL:
            return [database]

        names = [json.loads(line) for line in target.query("postgres", DATABASES)]
        return sorted(names, key=lambda name: (name == "postgres", name))

    # --- and then

    def _look(self, target: Target, said: dict[str, Any] | None) -> None:
        restored, wishes = self._restored, self._wishes
        provers = [Prover(target, name, wishes, restored) for name in restored.databases]
        known = self._known(said)
        with _Phase(restored, "analyze"):
            # Both read every table, and neither waits for the other.
            waits = [prover.analyzing() for prover in provers]
            counted = _summed([prover.count(known) for prover in provers])
            for wait in waits:
                wait()
        with _Phase(restored, "assert"):
            for prover in provers:
                prover.examine()
            provers[0].assertions()
            provers[0].newest(self._subject.taken_at)
        judge_time(restored, wishes)
        for prover in provers:
            prover.amcheck()
        extensions = provers[0].extensions() if known.extensions else frozenset()
        if said is None:
            # Nothing is asked of it any more: it goes while the pass over the bytes may still be at work.
            self._stack.close()
            known = self._known(_hear_judged(self._ward))
        provers[0].compare(counted, known, extensions)

    def _known(self, said: Mapping[str, Any] | None) -> Judged:
        """Return with what it is compared; before the pass over the bytes has ended, only what its maker wrote down."""
        subject = self._subject
        rows, told_by = (said["rows"], said["told_by"]) if said is not None else (subject.rows, "manifest")
        return Judged(rows, told_by, subject.fingerprints, subject.extensions, subject.taken_at, subject.tolerance)


def _restrict(target: LocalTarget, head: Head) -> None:
    """A plain dump may begin with \\restrict; which psql knows it is found out before any work."""
    if head.format in PLAIN:
        target.restricted = _is_restricted(head.tool_version) if head.tool_version else None


def _is_restricted(tool_version: str) -> bool:
    parts = [*tool_version.split("."), "0"][:2]
    numbers = [int(part) if part.isdigit() else 0 for part in parts]
    return Programs("", numbers[0], numbers[1]).knows_restrict


class _Phase:
    """Adds the time of a block to a phase."""

    def __init__(self, restored: Restored, name: str) -> None:
        self._restored, self._name = restored, name
        self._began = 0.0

    def __enter__(self) -> None:
        self._began = time.monotonic()

    def __exit__(self, *_error: object) -> None:
        seconds = self._restored.seconds
        seconds[self._name] = seconds.get(self._name, 0.0) + time.monotonic() - self._began


def _summed(parts: list[Counted]) -> Counted:
    """Tables of several databases may have one name; whoever counted them in the dump added them up."""
    whole = Counted()
    for part in parts:
        for table, rows in part.rows.items():
            whole.rows[table] = whole.rows.get(table, 0) + rows
        whole.fingerprints.update(part.fingerprints)
    return whole


def _close(target: Target) -> None:
    with not_disturbed():
        target.close()


def _remove(place: Scratch) -> None:
    with not_disturbed():
        place.remove()


def _text_of(path: str, decrypt: Decrypt, ward: Ward) -> bytes:
    """Return the dump of the roles at *path*, judged like any other: psql obeys it. Raises ``Failed``."""
    limits = Limits(_LARGEST_GLOBALS, 1e9, _DEEPEST)
    content, failure = read_content(path, Reading(limits, decrypt, alone=True), Deadline(ward.deadline.remaining))
    problems = [problem.what for problem in content.problems if problem.fatal] if content is not None else []
    if content is None or problems or not content.whole or content.chain[-1] != detect.PGDUMPALL:
        why = failure.reason if failure is not None else (problems or ["is no dump of pg_dumpall"])[0]
        what = f"was not restored: its dump of the roles, {path}, {why}"
        raise failed("backup.globals_missing", what, unknown=True, globals=path)
    text = bytearray()
    unfold(path, content.chain, decrypt, ward.deadline, text.extend)
    return bytes(text)


def need_bytes(subject: Subject, said: Mapping[str, Any] | None = None) -> int:
    """Return how much space a restore takes: data, indexes, and the log of what is written."""
    if subject.source_bytes:
        data = int(1.3 * subject.source_bytes)
    elif said is not None and said.get("decoded"):
        data = 4 * int(said["decoded"])
    else:
        data = 8 * subject.size
    return data + _WAL_BYTES + min(data // 4, 4 << 30)


def _planned(subject: Subject, wishes: Wishes, content: Content) -> dict[str, Any]:
    """Look at what can be known before: programs, versions, space."""
    restored = Restored(target=wishes.target, jobs=wishes.jobs, planned=True)
    said = _judged(subject, content)
    head = _head(said["head"])
    restored.format = head.format
    try:
        if head.format in physical.PHYSICAL:
            restored.server_version = physical.plan(subject.path, head.format, wishes)
        elif head.format not in ARCHIVES and head.format not in PLAIN:
            others.plan(head.format, wishes)
        elif wishes.target != CONTAINER:
            programs = choose(
                installed(wishes.bin_dir, clients=wishes.target == SERVER),
                needed_major(head.server_version, head.tool_version),
                wishes.bin_dir,
            )
            restored.server_version = programs.version
        if wishes.target == INITDB:
            require_space(base_of(wishes.scratch_dir), need_bytes(subject, said), wishes.reserve)
    except Failed as error:
        restored.add(error.trouble)
    return restored.as_plain()
