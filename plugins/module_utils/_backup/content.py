# Copyright (c) 2026 Upkeep maintainers
# GNU General Public License v3.0-or-later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Judge a stream from its first byte to its last: unfold what it is wrapped in, and check what is inside."""

from __future__ import annotations

import hashlib
from typing import Callable

from ansible_collections.cadence.upkeep.plugins.module_utils._backup import detect
from ansible_collections.cadence.upkeep.plugins.module_utils._backup.containers import (
    CONTAINERS,
    Damage,
    Report,
    Sink,
    container,
)
from ansible_collections.cadence.upkeep.plugins.module_utils._backup.crypt import ENCRYPTED, decrypted
from ansible_collections.cadence.upkeep.plugins.module_utils._backup.custom import CustomDump
from ansible_collections.cadence.upkeep.plugins.module_utils._backup.filed import TarDump
from ansible_collections.cadence.upkeep.plugins.module_utils._backup.frames import Frames
from ansible_collections.cadence.upkeep.plugins.module_utils._backup.members import Listing
from ansible_collections.cadence.upkeep.plugins.module_utils._backup.model import (
    CONTENT,
    STRUCTURE,
    TOC,
    VALUES,
    Content,
    Problem,
    Reading,
)
from ansible_collections.cadence.upkeep.plugins.module_utils._backup.mongo import Archive, Collection
from ansible_collections.cadence.upkeep.plugins.module_utils._backup.names import promised_formats
from ansible_collections.cadence.upkeep.plugins.module_utils._backup.pem import PemBundle
from ansible_collections.cadence.upkeep.plugins.module_utils._backup.plain import PlainDump
from ansible_collections.cadence.upkeep.plugins.module_utils._backup.rdb import RedisDump
from ansible_collections.cadence.upkeep.plugins.module_utils._backup.sqlite import SqliteStream
from ansible_collections.cadence.upkeep.plugins.module_utils._backup.tarball import TarFiles
from ansible_collections.cadence.upkeep.plugins.module_utils._core.deadline import Deadline

# What the check values of a container vouch for in all that is inside.
_COVERED = {VALUES, TOC}

# What a file without a telling name is taken for when it ends before its format can be told.
_LIKELY = ("sql", detect.PGDUMP_CUSTOM)


class Inspection:
    """Takes the bytes of one file called *name*, piece by piece; ``result`` says what they were.

    ``over`` turns true when further bytes cannot change the verdict. ``feed`` and ``finish`` raise only
    ``DeadlineExceeded``, and ``close`` must be called after either. *within* makes the sink of the innermost stream
    where the caller knows what that is: its bytes need not tell. *listing* collects the members of an archive of files;
    *counting* asks for the rows of each table, *plain_digest* for the digest of what is innermost.
    """

    def __init__(
        self,
        name: str,
        reading: Reading,
        deadline: Deadline,
        *,
        listing: Listing | None = None,
        counting: bool = False,
        plain_digest: bool = False,
        within: Callable[[Report], Sink] | None = None,
    ) -> None:
        self._reading = reading
        self._report = Report(
            reading.limits,
            deadline,
            counting=counting or reading.count_rows,
            structure=reading.level == STRUCTURE,
        )
        self._listing = listing or Listing()
        self._within = within
        self._plain = hashlib.sha256() if plain_digest else None
        self._promised = promised_formats(name)
        self._root: Sink = _Probe(self._sink_for)
        self._whole = False
        self.over = False

    def close(self) -> None:
        """End the programs that the stream passes through, should they still run."""
        while self._report.opened:
            self._report.opened.pop().close()

    def feed(self, data: bytes) -> None:
        self._guarded(lambda: self._root.feed(data))

    def finish(self) -> None:
        self._guarded(self._root.finish)
        self._whole = not self.over

    def _guarded(self, step: Callable[[], None]) -> None:
        if self.over:
            return
        try:
            step()
        except Damage as damage:
            self._report.problems.append(damage.problem)
            self._report.unproven.add(CONTENT)
            self.over = True

    def result(self, stored_sha256: str, bytes_read: int, seconds: float) -> Content:
        """Return what was found. *stored_sha256* is empty when the file was not read to its end."""
        return Content(
            chain=tuple(self._report.chain),
            problems=tuple(self._report.problems),
            unproven=tuple(sorted(self._report.unproven - (_COVERED if self._report.covered else set()))),
            dump=self._report.dump,
            whole=self._whole,
            stored_sha256=stored_sha256,
            bytes_read=bytes_read,
            bytes_decoded=self._report.decoded,
            seconds=seconds,
            members=self._report.members,
            certified=self._report.certified,
            plain_sha256=self._plain_sha256(stored_sha256),
        )

    def _plain_sha256(self, stored_sha256: str) -> str:
        """Return the digest of what is innermost: that of the file itself where nothing is wrapped around it."""
        if self._plain is None or not self._whole:
            return ""
        return stored_sha256 if len(self._report.chain) == 1 else self._plain.hexdigest()

    def _sink_for(self, head: bytes, cut: bool) -> Sink:
        """Return the sink for the stream that begins with *head*, and is no longer when *cut*.

        Raises ``Damage`` for what is no backup, or none that can be read.
        """
        found = detect.detect(head)
        depth = len(self._report.chain)
        outer = self._report.chain[-1] if depth else ""
        promised = self._promised[depth] if depth < len(self._promised) else ""
        if self._within is not None and promised not in CONTAINERS and promised not in FRAMES:
            return self._innermost(self._within(self._report))
        if self._within is not None and found != promised:
            if not head:
                raise Damage(Problem("backup.truncated", promised, f"is empty, where there should be {promised}", 0))
            raise Damage(Problem("backup.corrupt", promised, f"does not begin like {promised}, as its name says", 0))
        if not head:
            raise Damage(Problem("backup.empty", outer, f"is whole, but its {outer} stream unfolds to nothing", 0))
        if outer == detect.OPENSSL and found in (detect.UNKNOWN, detect.TEXT):
            what = "unfolds to nothing that is known: the passphrase, the cipher or the key derivation is another"
            raise Damage(Problem("backup.wrong_key", outer, what, 0))
        if found in (detect.ERROR_MESSAGE, detect.TEXT, detect.UNKNOWN) and detect.archive_behind_message(head):
            what = "begins with a line of text, mixed into the archive that follows it: pg_restore cannot read it"
            raise Damage(Problem("backup.unexpected_format", detect.PGDUMP_CUSTOM, what, 0))
        if found in detect.NO_BACKUPS:
            raise Damage(Problem("backup.not_a_backup", outer, f"holds {detect.NO_BACKUPS[found]}, not a backup", 0))
        if found in (detect.TEXT, detect.UNKNOWN):
            raise Damage(_unknown(head, cut, outer, promised))
        self._report.chain.append(found)
        if promised and not detect.keeps_promise(found, promised):
            self._promised = []
            what = f"is named like {promised}, but is {found}"
            self._report.problems.append(Problem("backup.unexpected_format", found, what, 0, fatal=False))
        return self._reader_of(found, head)

    def _reader_of(self, found: str, head: bytes) -> Sink:
        report = self._report
        if found in CONTAINERS or found in FRAMES or found in ENCRYPTED:
            if len(report.chain) > report.limits.max_depth:
                limit = f"limits.max_depth is {report.limits.max_depth}"
                raise Damage(Problem("backup.bomb", found, f"has more containers in one another than allowed: {limit}"))
            inner = _Probe(self._sink_for)
            if found in ENCRYPTED:
                return decrypted(found, self._reading.decrypt, report, inner)
            return Frames(found, report, inner) if found in FRAMES else container(found, report, inner)
        return self._innermost(self._format_of(found, head))

    def _innermost(self, sink: Sink) -> Sink:
        return sink if self._plain is None or len(self._report.chain) == 1 else _Digested(sink, self._plain)

    def _format_of(self, found: str, head: bytes) -> Sink:
        report = self._report
        if found in (detect.PGDUMP_PLAIN, detect.PGDUMPALL):
            if detect.begins_with_message(head):
                what = "begins with a message of the program that made it, mixed into the dump"
                report.problems.append(Problem("backup.unexpected_format", found, what, 0, fatal=False))
            return PlainDump(found, report)
        if found == detect.TAR:
            return TarFiles(report, self._listing)
        if found in _READERS:
            return _READERS[found](report)
        if found == detect.PGDUMP_DIRECTORY:
            what = "is only the table of contents of a dump in directory format: its data are in the files beside it"
            raise Damage(Problem("backup.unsupported", found, what))
        raise Damage(Problem("backup.unsupported", found, f"is {found}, which is not read here"))


FRAMES = frozenset((detect.ZSTD, detect.LZ4))
_READERS: dict[str, Callable[[Report], Sink]] = {
    detect.PGDUMP_CUSTOM: CustomDump,
    detect.PGDUMP_TAR: TarDump,
    detect.MONGODUMP: Archive,
    detect.BSON: Collection,
    detect.REDIS: RedisDump,
    detect.SQLITE: SqliteStream,
    detect.PEM: PemBundle,
}


def _unknown(head: bytes, cut: bool, outer: str, promised: str) -> Problem:
    """Say what is wrong with a stream whose format is not known: the *promised* one, if any, it is not."""
    for likely in (promised,) if promised else _LIKELY:
        if cut and detect.is_beginning_of(head, likely):
            code = "backup.incomplete_dump" if likely == "sql" else "backup.truncated"
            return Problem(code, outer, f"ends after {len(head)} bytes, in the first line of its format", len(head))
    text = detect.is_text(head)
    if promised == "sql" and text:
        what = "is text without the header of pg_dump or pg_dumpall, so that nothing tells whether it is complete"
        return Problem("backup.unsupported", outer, what, 0)
    if promised:
        begins = "text" if text else f"the bytes {head[:8].hex()}"
        what = f"is named like {promised}, but begins with {begins}"
        return Problem("backup.unexpected_format", outer, what, 0)
    what = f"is {'text' if text else 'data'} of a format that is not known"
    return Problem("backup.unsupported", outer, what, 0)


class _Digested:
    """Digests what passes to another sink."""

    def __init__(self, sink: Sink, digest: hashlib._Hash) -> None:
        self._sink, self._digest = sink, digest

    def feed(self, data: bytes) -> None:
        self._digest.update(data)
        self._sink.feed(data)

    def finish(self) -> None:
        self._sink.finish()


class _Probe:
    """Waits for the first bytes of a stream, then passes all of it on to the sink that *choose* returns for them."""

    def __init__(self, choose: Callable[[bytes, bool], Sink]) -> None:
        self._choose = choose
        self._head = b""
        self._sink: Sink | None = None

    def feed(self, data: bytes) -> None:
        if self._sink is not None:
            self._sink.feed(data)
            return
        self._head += data
        if len(self._head) >= detect.HEAD_BYTES:
            self._decide(cut=False)

    def _decide(self, cut: bool) -> Sink:
        self._sink = self._choose(self._head[: detect.HEAD_BYTES], cut)
        if self._head:
            self._sink.feed(self._head)
        self._head = b""
        return self._sink

    def finish(self) -> None:
        (self._sink or self._decide(cut=True)).finish()
