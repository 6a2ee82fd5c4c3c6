# Copyright (c) 2026 Upkeep maintainers
# GNU General Public License v3.0-or-later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Read a tar archive as a stream: every header by its checksum, every member by its size, to the two empty blocks.

Nothing is unpacked. What a careless unpacking would write elsewhere is told: paths that lead out, links that lead out,
files that go through such a link, devices. The members are digested for the comparison with the list of their maker.
"""

from __future__ import annotations

import hashlib
import posixpath
from array import array
from collections.abc import Generator
from dataclasses import dataclass

from ansible_collections.cadence.upkeep.plugins.module_utils._backup import model
from ansible_collections.cadence.upkeep.plugins.module_utils._backup.certificates import can_read
from ansible_collections.cadence.upkeep.plugins.module_utils._backup.containers import Damage, Report, Sink
from ansible_collections.cadence.upkeep.plugins.module_utils._backup.detect import TAR
from ansible_collections.cadence.upkeep.plugins.module_utils._backup.members import Listing, Member
from ansible_collections.cadence.upkeep.plugins.module_utils._backup.model import Problem
from ansible_collections.cadence.upkeep.plugins.module_utils._backup.pem import Shelf
from ansible_collections.cadence.upkeep.plugins.module_utils._core.units import format_size

BLOCK = 512
_LONGEST_EXTENSION = 1 << 20
_MOST_LINKS = 100_000
_TOLD = 5
_BUCKETS = 256
_FILE_TYPES = b"0\x007S"
_KINDS = {0x31: "hardlink", 0x32: "symlink", 0x33: "device", 0x34: "device", 0x35: "directory", 0x36: "fifo"}

Step = Generator[None, None, None]


@dataclass(frozen=True)
class Header:
    """A member as its header names it. ``kind`` is file, directory, hardlink, symlink, device or fifo."""

    path: str
    kind: str
    size: int
    mode: int
    target: str
    sparse: bool


class TarReader:
    """What reads a tar piece by piece. A subclass says what is done with the members."""

    layer = TAR

    def __init__(self, report: Report) -> None:
        self._report = report
        self._data = b""
        self._at = 0
        self._base = 0
        self._members = 0
        self._ended = False
        self._extended: dict[str, bytes] = {}
        self._global: dict[str, bytes] = {}
        self._garbage_at: int | None = None
        self._steps = self._walk()
        next(self._steps)

    # --- for the subclass

    def member(self, header: Header) -> Sink | None:
        """Return what takes the content of a member, or ``None``."""
        raise NotImplementedError

    def over(self) -> None:
        """All members have passed."""

    # --- the walk

    def feed(self, data: bytes) -> None:
        self._report.decoded += len(data)
        self._report.unfolded(self.layer, 1, 0)  # for the deadline
        self._base += self._at
        self._data = self._data[self._at :] + data if self._at < len(self._data) else data
        self._at = 0
        next(self._steps, None)

    def finish(self) -> None:
        if not self._ended:
            what = f"ends after {format_size(self._offset)} and {self._members} members, before the end of the archive"
            evidence = {"members": self._members}
            raise Damage(Problem("backup.truncated", self.layer, what, self._offset, evidence=evidence))
        if self._garbage_at is not None:
            what = f"is whole, but bytes that do not belong to it follow after byte {self._garbage_at}"
            self._report.problems.append(
                Problem("backup.trailing_garbage", self.layer, what, self._garbage_at, fatal=False)
            )
        self.over()

    @property
    def _offset(self) -> int:
        return self._base + self._at

    def _walk(self) -> Step:
        while True:
            start = self._offset
            block = yield from self._take(BLOCK)
            if not block.strip(b"\0"):
                # One empty block at the very end is enough for every tar, two are the rule.
                self._ended = True
                yield from self._rest()
                return
            yield from self._one(block, start)

    def _rest(self) -> Step:
        while True:
            rest = self._data[self._at :]
            if rest.strip(b"\0") and self._garbage_at is None:
                self._garbage_at = self._offset + len(rest) - len(rest.lstrip(b"\0"))
            self._at = len(self._data)
            yield

    def _one(self, block: bytes, start: int) -> Step:
        if not _checksum_holds(block):
            raise self._corrupt(f"has a damaged header at byte {start}")
        kind, size = block[156:157], self._number(block[124:136], start)
        if kind in b"xgLK" and kind:
            if size > _LONGEST_EXTENSION:
                raise self._corrupt(f"has an extension header of {size} bytes at byte {start}")
            content = yield from self._take(size)
            yield from self._skip(-size % BLOCK)
            self._extend(kind, content)
            return
        header = self._header(block, kind, size, start)
        self._extended = {}
        self._members += 1
        limit = self._report.limits.max_members
        if self._members > limit:
            what = f"has more than {limit} members and was left there: limits.max_members is {limit}"
            raise Damage(Problem("backup.bomb", self.layer, what, start))
        if kind == b"S":
            more = bool(block[482])
            while more:
                more = bool((yield from self._take(BLOCK))[504])
        sink = self.member(header)
        yield from self._content(header.size, sink)
        if sink is not None:
            sink.finish()
        yield from self._skip(-header.size % BLOCK)

    def _content(self, left: int, sink: Sink | None) -> Step:
        while left:
            part = self._data[self._at : self._at + left]
            if part:
                self._at += len(part)
                left -= len(part)
                if sink is not None:
                    sink.feed(part)
            if left:
                yield

    def _skip(self, count: int) -> Step:
        yield from self._take(count)

    def _take(self, count: int) -> Generator[None, None, bytes]:
        while len(self._data) - self._at < count:
            yield
        taken = self._data[self._at : self._at + count]
        self._at += count
        return taken

    # --- headers

    def _extend(self, kind: bytes, content: bytes) -> None:
        if kind == b"L":
            self._extended["path"] = content.rstrip(b"\0")
        elif kind == b"K":
            self._extended["linkpath"] = content.rstrip(b"\0")
        else:
            (self._extended if kind == b"x" else self._global).update(self._records(content))

    def _records(self, content: bytes) -> dict[str, bytes]:
        """Return what a pax header says: records of ``length key=value newline``."""
        records: dict[str, bytes] = {}
        while content.strip(b"\0"):
            length, blank, _rest = content.partition(b" ")
            if not blank or not length.isdigit() or not len(length) + 2 < int(length) <= len(content):
                raise self._corrupt("has an extension header that cannot be read")
            key, equals, value = content[len(length) + 1 : int(length) - 1].partition(b"=")
            if not equals:
                raise self._corrupt("has an extension header that cannot be read")
            records[key.decode("utf-8", "replace")] = value
            content = content[int(length) :]
        return records

    def _header(self, block: bytes, kind: bytes, size: int, start: int) -> Header:
        said = {**self._global, **self._extended}
        name, prefix = block[:100].split(b"\0")[0], block[345:500].split(b"\0")[0]
        if prefix and block[257:263] == b"ustar\0":
            name = prefix + b"/" + name
        path = said.get("GNU.sparse.name", said.get("path", name))
        target = said.get("linkpath", block[157:257].split(b"\0")[0])
        if said.get("size", b"").isdigit():
            size = int(said["size"])
        word = "file" if kind in _FILE_TYPES else _KINDS.get(kind[0], "other")
        if word == "file" and path.endswith(b"/"):
            word = "directory"  # as tars before POSIX wrote them
        return Header(
            path=path.decode("utf-8", "surrogateescape"),
            kind=word,
            size=size if word in ("file", "other") else 0,
            mode=self._number(block[100:108], start) & 0o7777,
            target=target.decode("utf-8", "surrogateescape"),
            sparse=kind == b"S" or any(key.startswith("GNU.sparse.") for key in said),
        )

    def _number(self, field: bytes, start: int) -> int:
        if field[0] & 0x80:
            return int.from_bytes(field, "big") & (1 << (8 * len(field) - 2)) - 1 if not field[0] & 0x40 else 0
        text = field.strip(b"\0 ")
        try:
            return int(text, 8) if text else 0
        except ValueError:
            raise self._corrupt(f"has a damaged header at byte {start}") from None

    def _corrupt(self, how: str) -> Damage:
        return Damage(Problem("backup.corrupt", self.layer, how, self._offset))


def _checksum_holds(block: bytes) -> bool:
    stored = block[148:156].strip(b"\0 ")
    rest = block[:148] + b" " * 8 + block[156:]
    try:
        wanted = int(stored, 8)
    except ValueError:
        return False
    # Some tars of old added signed bytes.
    return wanted in (sum(rest), sum(byte - 256 if byte > 127 else byte for byte in rest))


class TarFiles(TarReader):
    """The sink for an archive of files. Which members stand where is compared with the list of their maker."""

    def __init__(self, report: Report, listing: Listing) -> None:
        self._listing = listing
        self._links: set[str] = set()
        self._names = [array("Q") for _bucket in range(_BUCKETS)]
        self._unsafe: dict[str, list[str]] = {}
        self._count: dict[str, int] = {}
        self._shelf = Shelf()
        super().__init__(report)

    def member(self, header: Header) -> Sink | None:
        path = header.path.rstrip("/")
        self._judge(header, path)
        self._remember(header, path)
        digest = _Digest(self._listing, header)
        if self._report.structure and header.kind == "file" and self._shelf.wants(path, header.size):
            return _Kept(digest, self._shelf, header)
        return digest

    def _remember(self, header: Header, path: str) -> None:
        normal = posixpath.normpath(path)
        if header.kind != "directory":
            number = int.from_bytes(
                hashlib.blake2b(normal.encode("utf-8", "surrogateescape"), digest_size=8).digest(), "big"
            )
            self._names[number % _BUCKETS].append(number)
        if header.kind == "symlink":
            if len(self._links) < _MOST_LINKS:
                self._links.add(normal)
            else:
                self._report.unproven.add(model.MEMBERS)
        else:
            self._links.discard(normal)

    def _judge(self, header: Header, path: str) -> None:
        allow = self._report.limits.allow
        normal = posixpath.normpath(path)
        if path.startswith("/") and model.ABSOLUTE not in allow:
            self._tell("absolute", path)
        if normal == ".." or normal.startswith("../") or ".." in path.split("/") or "\0" in path:
            self._tell("climbing", path)
        above = posixpath.dirname(normal)
        while above and above not in ("/", "."):
            if above in self._links:
                self._tell("through", path)
            above = posixpath.dirname(above)
        if header.kind in ("symlink", "hardlink") and model.OUTSIDE_LINKS not in allow and _leads_out(header, normal):
            self._tell("link", path)
        if header.kind == "device" and model.DEVICES not in allow:
            self._tell("device", path)
        if header.kind == "file" and header.mode & 0o6000 and model.SETID not in allow:
            self._tell("setid", path)

    def _tell(self, what: str, path: str) -> None:
        self._count[what] = self._count.get(what, 0) + 1
        told = self._unsafe.setdefault(what, [])
        if len(told) < _TOLD:
            told.append(path.encode("utf-8", "backslashreplace").decode()[:200])

    def over(self) -> None:
        twice = sum(len(bucket) - len(set(bucket)) for bucket in self._names)
        if twice:
            self._count["twice"] = twice
        for what, (code, fatal, words) in _UNSAFE.items():
            if what in self._count:
                count, named = self._count[what], self._unsafe.get(what, [])
                evidence = {"members": named, "count": count} if named else {"count": count}
                text = f"has members {words} ({count})"
                self._report.problems.append(Problem(code, TAR, text, fatal=fatal, evidence=evidence))
        self._report.members = self._listing.result()
        self._report.unproven.add(model.VALUES)
        self._certificates()

    def _certificates(self) -> None:
        """Whether the certificates and keys among the members belong together."""
        if not self._shelf:
            return
        if self._shelf.full or not can_read():
            self._report.unproven.add(model.CERTIFICATES)
        if can_read():
            self._report.certified = self._shelf.verdict().as_plain()


# What is told of members, the worst first.
_UNSAFE = {
    "climbing": ("backup.unsafe_path", True, "whose path leads out of the directory into which one unpacks (..)"),
    "through": ("backup.unsafe_path", True, "that would be written through a symbolic link of the same archive"),
    "absolute": ("backup.unsafe_path", False, "with an absolute path, which some programs unpack to that very place"),
    "device": ("backup.unsafe_member", False, "that are devices"),
    "link": ("backup.unsafe_member", False, "that are links to something outside of the archive"),
    "setid": ("backup.unsafe_member", False, "that run with the rights of their owner (set-id)"),
    "twice": ("backup.unsafe_member", False, "of a name that came before, of which unpacking leaves only the last"),
}


def _leads_out(header: Header, normal: str) -> bool:
    if header.target.startswith("/"):
        return True
    base = posixpath.dirname(normal) if header.kind == "symlink" else ""
    target = posixpath.normpath(posixpath.join(base, header.target))
    return target == ".." or target.startswith("../")


class _Digest:
    """Digests the content of one member, and adds it to the listing."""

    def __init__(self, listing: Listing, header: Header) -> None:
        self._listing, self._header = listing, header
        self._hash = hashlib.sha256() if header.kind == "file" and listing.digesting else None

    def feed(self, data: bytes) -> None:
        if self._hash is not None:
            self._hash.update(data)

    def finish(self) -> None:
        header = self._header
        sha256 = self._hash.hexdigest() if self._hash is not None else ""
        self._listing.add(Member(header.path.rstrip("/"), header.kind, header.size, sha256, header.target))


class _Kept:
    """Keeps the content of a small member besides, for the look at the certificates."""

    def __init__(self, digest: _Digest, shelf: Shelf, header: Header) -> None:
        self._digest, self._shelf, self._header = digest, shelf, header
        self._text = b""

    def feed(self, data: bytes) -> None:
        self._digest.feed(data)
        self._text += data

    def finish(self) -> None:
        self._digest.finish()
        self._shelf.put(self._header.path.rstrip("/"), self._text, self._header.mode)
