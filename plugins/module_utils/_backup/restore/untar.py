# Copyright (c) 2026 Upkeep maintainers
# GNU General Public License v3.0-or-later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Take out an archive of files, member by member, into a directory of ours, and make the list of what was taken out."""

from __future__ import annotations

import grp
import hashlib
import os
import pwd
import tarfile
from collections.abc import Iterator
from typing import IO, Callable

from ansible_collections.cadence.upkeep.plugins.module_utils._backup.members import Listing, Member
from ansible_collections.cadence.upkeep.plugins.module_utils._backup.restore.model import failed

_PIECE = 1 << 18
_KINDS = {
    tarfile.DIRTYPE: "directory",
    tarfile.SYMTYPE: "symlink",
    tarfile.LNKTYPE: "hardlink",
    tarfile.CHRTYPE: "device",
    tarfile.BLKTYPE: "device",
    tarfile.FIFOTYPE: "fifo",
}


def extract(
    stream: IO[bytes],
    into: str,
    listing: Listing,
    check: Callable[[], None],
    keep: bool = False,
) -> int:
    """Write the members of the tar in *stream* below *into*, an empty directory; return how many files there were.

    Content and links are taken, with *keep* also modes, times and, by root, owners; devices and set-id bits never are.
    What would lead out of *into* was refused before, and is again here: ``Failed``. Raises what *check* raises.
    """
    links: list[tuple[str, tarfile.TarInfo]] = []
    directories: list[tuple[str, tarfile.TarInfo]] = []
    files = 0
    try:
        with tarfile.open(fileobj=stream, mode="r|") as archive:
            for member in archive:
                check()
                path = _inside(into, member.name)
                kind = _KINDS.get(member.type, "file" if member.isreg() else "other")
                sha256 = ""
                if kind == "directory":
                    os.makedirs(path, 0o700, exist_ok=True)
                    directories.append((path, member))
                elif kind == "file":
                    files += 1
                    sha256 = _write(archive.extractfile(member), path, check)
                    if keep:
                        _keep(path, member)
                elif kind == "hardlink":
                    _link(_inside(into, member.linkname), path)
                elif kind == "symlink":
                    links.append((path, member))
                size = member.size if kind == "file" else 0
                listing.add(Member(member.name.rstrip("/"), kind, size, sha256, member.linkname))
    except tarfile.TarError as error:
        raise failed("backup.restore_failed", f"cannot be unpacked: {error}") from error
    # Last, so that nothing is ever written through one.
    for path, member in links:
        _remove(path)
        os.makedirs(os.path.dirname(path), 0o700, exist_ok=True)
        if os.path.isdir(path):
            raise failed("backup.unsafe_path", "has members that would be written through a link of the same archive")
        os.symlink(member.linkname, path)
        if keep and os.geteuid() == 0:
            os.chown(path, *_owner(member), follow_symlinks=False)
    for path, member in reversed(directories if keep else []):
        _keep(path, member)
    return files


def _keep(path: str, member: tarfile.TarInfo) -> None:
    if os.geteuid() == 0:
        os.chown(path, *_owner(member), follow_symlinks=False)
    os.chmod(path, member.mode & 0o777)
    os.utime(path, (member.mtime, member.mtime))


def _owner(member: tarfile.TarInfo) -> tuple[int, int]:
    """By name first, as tar does: numbers differ from host to host."""
    try:
        uid = pwd.getpwnam(member.uname).pw_uid
    except KeyError:
        uid = member.uid
    try:
        gid = grp.getgrnam(member.gname).gr_gid
    except KeyError:
        gid = member.gid
    return uid, gid


def _inside(into: str, name: str) -> str:
    parts = [part for part in name.split("/") if part not in ("", ".")]
    if ".." in parts or "\0" in name:
        raise failed("backup.unsafe_path", "has members whose path leads out of the directory into which one unpacks")
    return os.path.join(into, *parts)


def _write(content: IO[bytes] | None, path: str, check: Callable[[], None]) -> str:
    os.makedirs(os.path.dirname(path), 0o700, exist_ok=True)
    _remove(path)
    digest = hashlib.sha256()
    with open(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600), "wb") as file:
        for piece in _pieces(content):
            check()
            digest.update(piece)
            file.write(piece)
    return digest.hexdigest()


def _pieces(content: IO[bytes] | None) -> Iterator[bytes]:
    if content is not None:
        yield from iter(lambda: content.read(_PIECE), b"")


def _link(source: str, path: str) -> None:
    if os.path.islink(source) or not os.path.isfile(source):
        raise failed("backup.restore_failed", "cannot be unpacked: a member is a link to one that it does not have")
    os.makedirs(os.path.dirname(path), 0o700, exist_ok=True)
    _remove(path)
    os.link(source, path)


def _remove(path: str) -> None:
    """The last member of a name counts."""
    if os.path.lexists(path) and not os.path.isdir(path):
        os.remove(path)
