# Copyright (c) 2026 Upkeep maintainers
# GNU General Public License v3.0-or-later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Archive trees of files as a tar, and write down each member with its digest as it passes.

Nothing is followed: every directory and file is opened below the one that it was listed in, and no link on the way. A
file that grows is taken as far as it reached when it was opened.
"""

from __future__ import annotations

import errno
import fnmatch
import grp
import hashlib
import os
import pwd
import stat
import tarfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import datetime
from functools import lru_cache
from typing import BinaryIO

from ansible_collections.cadence.upkeep.plugins.module_utils._backup.containers import Sink
from ansible_collections.cadence.upkeep.plugins.module_utils._backup.create import model
from ansible_collections.cadence.upkeep.plugins.module_utils._backup.create.chain import chosen_compression
from ansible_collections.cadence.upkeep.plugins.module_utils._backup.create.codes import finding
from ansible_collections.cadence.upkeep.plugins.module_utils._backup.create.errors import BackupFailed
from ansible_collections.cadence.upkeep.plugins.module_utils._backup.create.model import Facts, Job, Poured
from ansible_collections.cadence.upkeep.plugins.module_utils._backup.create.postgres import Compression
from ansible_collections.cadence.upkeep.plugins.module_utils._backup.manifest import Source as Origin
from ansible_collections.cadence.upkeep.plugins.module_utils._backup.members import Listing, Member, line_of
from ansible_collections.cadence.upkeep.plugins.module_utils._core.deadline import Deadline
from ansible_collections.cadence.upkeep.plugins.module_utils._core.finding import Finding, Severity

_CHUNK = 1 << 18
_BLOCK = 512
_END = b"\0" * (20 * _BLOCK)
_NAMED = 5
_GONE = (errno.ENOENT, errno.ENOTDIR, errno.ESTALE)
_OPEN = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_NOCTTY | os.O_CLOEXEC


@dataclass
class Noted:
    """What was not as one would have it, by what is told of it."""

    changed: list[str] = field(default_factory=list)
    grown: list[str] = field(default_factory=list)
    vanished: list[str] = field(default_factory=list)
    left_out: list[str] = field(default_factory=list)


@dataclass(frozen=True)
class _Entry:
    """Something below a path: ``directory`` is the open directory that it was listed in, ``path`` how it is called."""

    directory: int
    name: str
    path: str
    found: os.stat_result


class FileArchive:
    """The trees of a job, ready to be archived."""

    kind = model.FILES
    form = model.CUSTOM
    inner_format = "tar"
    program = "tar"

    def __init__(self, job: Job, now: datetime, host: str) -> None:
        self._job = job
        self._roots = _roots(job.paths)
        self.compression = Compression("", chosen_compression(job))
        size = sum(_size_below(root, job) for root in self._roots)
        subject = f"{host}: {', '.join(self._roots)}"
        self.facts = Facts(subject, now, Origin(host=host, bytes=size), size)
        self.members_stream: BinaryIO | None = None

    def pour(self, sink: Sink | None, _target: str, deadline: Deadline) -> Poured:
        if sink is None:
            raise ValueError("an archive of files is one stream")
        writer = _Writer(sink, self._job, deadline, self.members_stream)
        for root in self._roots:
            writer.add_root(root)
        sink.feed(_END)
        return Poured((), members=writer.listing.result(), findings=tuple(self._told(writer.noted)))

    def _told(self, noted: Noted) -> Iterator[Finding]:
        subject = self.facts.subject
        for code, severity, paths, what in (
            ("backup.source_changed", Severity.WARNING, noted.changed, "changed while they were read"),
            ("backup.source_changed", Severity.INFO, noted.grown, "grew while they were read, and end where they did"),
            ("backup.source_vanished", Severity.INFO, noted.vanished, "were gone before they could be read"),
            ("backup.source_left_out", Severity.INFO, noted.left_out, "cannot be archived and were left out"),
        ):
            if paths:
                message = f"{subject}: {len(paths)} files {what}, such as {paths[0][:200]}."
                yield finding(code, subject, severity, message, {"count": len(paths), "paths": paths[:_NAMED]})


class _Writer:
    def __init__(self, sink: Sink, job: Job, deadline: Deadline, stream: BinaryIO | None) -> None:
        self._sink, self._job, self._deadline, self._stream = sink, job, deadline, stream
        self._links: dict[tuple[int, int], str] = {}
        self.listing = Listing(digesting=True)
        self.noted = Noted()

    def add_root(self, root: str) -> None:
        """Archive *root* with all below. Raises ``BackupFailed`` for what is there and cannot be read."""
        try:
            found = os.stat(root)  # that itself may be a link, as somebody named it
            with _directory(os.path.dirname(root) or "/") as above:
                name = os.path.basename(root)
                if stat.S_ISDIR(found.st_mode):
                    with _directory(root) as inside:
                        self._member(_Entry(above, name, root, os.fstat(inside)))
                        self._below(inside, root, root)
                elif os.path.islink(root):
                    self._behind(root, found)
                else:
                    self._one(_Entry(above, name, root, found))
        except OSError as error:
            raise _unreadable(error.filename if isinstance(error.filename, str) else root, error) from None

    def _behind(self, root: str, found: os.stat_result) -> None:
        """Archive the file that *root* leads to, by the name that somebody gave."""
        real = os.path.realpath(root)
        with _directory(os.path.dirname(real)) as directory:
            self._one(_Entry(directory, os.path.basename(real), root, found))

    def _below(self, directory: int, place: str, root: str) -> None:
        with os.scandir(directory) as listed:
            names = sorted(entry.name for entry in listed)
        for name in names:
            path = os.path.join(place, name)
            if _is_excluded(path, root, self._job):
                continue
            try:
                found = os.stat(name, dir_fd=directory, follow_symlinks=False)
                if stat.S_ISDIR(found.st_mode):
                    self._tree(directory, name, path, root)
                else:
                    self._one(_Entry(directory, name, path, found))
            except OSError as error:
                if error.errno not in _GONE:
                    raise _unreadable(path, error) from None
                self.noted.vanished.append(path)

    def _tree(self, directory: int, name: str, path: str, root: str) -> None:
        if os.path.realpath(path) == os.path.realpath(self._job.directory):
            self.noted.left_out.append(path)
            return
        inside = os.open(name, _OPEN | os.O_DIRECTORY, dir_fd=directory)
        try:
            self._member(_Entry(directory, name, path, os.fstat(inside)))
            self._below(inside, path, root)
        finally:
            os.close(inside)

    def _one(self, entry: _Entry) -> None:
        self._deadline.require("The backup")
        mode = entry.found.st_mode
        if stat.S_ISREG(mode):
            self._file(entry)
        elif stat.S_ISLNK(mode):
            self._member(entry, target=os.readlink(entry.name, dir_fd=entry.directory))
        else:
            self.noted.left_out.append(entry.path)

    def _file(self, entry: _Entry) -> None:
        descriptor = os.open(entry.name, _OPEN, dir_fd=entry.directory)
        try:
            found = os.fstat(descriptor)
            if not stat.S_ISREG(found.st_mode):
                self.noted.left_out.append(entry.path)
                return
            known = self._links.get((found.st_dev, found.st_ino))
            if found.st_nlink > 1 and known is not None:
                self._member(entry, hardlink=known)
                return
            if found.st_nlink > 1:
                self._links[(found.st_dev, found.st_ino)] = _member_name(entry.path)
            self._feed_header(_information(entry, found))
            sha256 = self._content(descriptor, found.st_size)
            after = os.fstat(descriptor)
        finally:
            os.close(descriptor)
        if (after.st_mtime_ns, after.st_size) != (found.st_mtime_ns, found.st_size):
            # What was only appended to is whole as far as it goes.
            (self.noted.grown if after.st_size > found.st_size else self.noted.changed).append(entry.path)
        self._list(Member(_member_name(entry.path), "file", found.st_size, sha256))

    def _content(self, descriptor: int, size: int) -> str:
        """Pass on *size* bytes, filled up by zeros where the file has become shorter; return their digest."""
        digest, left = hashlib.sha256(), size
        while left:
            data = os.read(descriptor, min(_CHUNK, left)) or b"\0" * min(_CHUNK, left)
            self._deadline.require("The backup")
            digest.update(data)
            self._sink.feed(data)
            left -= len(data)
        self._sink.feed(b"\0" * (-size % _BLOCK))
        return digest.hexdigest()

    def _member(self, entry: _Entry, target: str = "", hardlink: str = "") -> None:
        """Archive something without content."""
        information = _information(entry, entry.found)
        information.size = 0
        if hardlink:
            information.type, information.linkname, kind = tarfile.LNKTYPE, hardlink, "hardlink"
        elif stat.S_ISLNK(entry.found.st_mode):
            information.type, information.linkname, kind = tarfile.SYMTYPE, target, "symlink"
        else:
            information.type, kind = tarfile.DIRTYPE, "directory"
        self._feed_header(information)
        self._list(Member(_member_name(entry.path), kind, 0, "", information.linkname))

    def _feed_header(self, information: tarfile.TarInfo) -> None:
        self._sink.feed(information.tobuf(tarfile.PAX_FORMAT, "utf-8", "surrogateescape"))

    def _list(self, member: Member) -> None:
        self.listing.add(member)
        if self._stream is not None:
            self._stream.write(line_of(member))


def _roots(paths: tuple[str, ...]) -> list[str]:
    """Return *paths* in order, without those that lie below another: they would come twice."""
    roots: list[str] = []
    for path in sorted({os.path.normpath(path) for path in paths}):
        if not any(path == root or path.startswith(root.rstrip("/") + "/") for root in roots):
            roots.append(path)
    return roots


def _member_name(path: str) -> str:
    return path.lstrip("/") or "."


def _information(entry: _Entry, found: os.stat_result) -> tarfile.TarInfo:
    information = tarfile.TarInfo(_member_name(entry.path))
    information.mode = stat.S_IMODE(found.st_mode)
    information.uid, information.gid = found.st_uid, found.st_gid
    information.uname, information.gname = _user_name(found.st_uid), _group_name(found.st_gid)
    information.mtime = int(found.st_mtime)
    information.size = found.st_size
    return information


@lru_cache(maxsize=1024)
def _user_name(number: int) -> str:
    try:
        return pwd.getpwuid(number).pw_name
    except KeyError:
        return ""


@lru_cache(maxsize=1024)
def _group_name(number: int) -> str:
    try:
        return grp.getgrgid(number).gr_name
    except KeyError:
        return ""


def _is_excluded(path: str, root: str, job: Job) -> bool:
    """A pattern with a slash is for the path below the root, one without for the last part of any."""
    relative, name = os.path.relpath(path, root), os.path.basename(path)
    return any(fnmatch.fnmatchcase(relative if "/" in pattern else name, pattern) for pattern in job.exclude)


@contextmanager
def _directory(path: str) -> Iterator[int]:
    descriptor = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        yield descriptor
    finally:
        os.close(descriptor)


def _unreadable(path: str, error: OSError) -> BackupFailed:
    return BackupFailed(
        f"{path} cannot be read, and a backup without it would not be whole: {error.strerror}.",
        "Run the task as an account that may read it (become), or leave it out (exclude).",
        {"path": path, "errno": error.errno},
    )


def _size_below(root: str, job: Job) -> int:
    """Return about how many bytes there are, as far as they can be seen."""
    if not os.path.isdir(root):
        return os.path.getsize(root) if os.path.isfile(root) else 0
    total = 0
    for place, directories, names in os.walk(root):
        directories[:] = [name for name in directories if not _is_excluded(os.path.join(place, name), root, job)]
        for name in names:
            path = os.path.join(place, name)
            try:
                total += 0 if _is_excluded(path, root, job) else os.lstat(path).st_size + _BLOCK
            except OSError:
                continue  # it will be told when it is to be read
    return total
