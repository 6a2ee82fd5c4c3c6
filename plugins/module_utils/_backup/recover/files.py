# Copyright (c) 2026 Upkeep maintainers
# GNU General Public License v3.0-or-later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Put a restored directory in the place of one that is in use: unpack beside it, then exchange the two by name."""

from __future__ import annotations

import ctypes
import os
import platform
import re
import shutil
import stat
from collections.abc import Iterator
from contextlib import contextmanager
from typing import IO

from ansible_collections.cadence.upkeep.plugins.module_utils._backup.manifest import MEMBERS_SUFFIX
from ansible_collections.cadence.upkeep.plugins.module_utils._backup.members import Listing
from ansible_collections.cadence.upkeep.plugins.module_utils._backup.recover.model import Backup, Job, Names, Present
from ansible_collections.cadence.upkeep.plugins.module_utils._backup.restore.model import Restored, Trouble, failed
from ansible_collections.cadence.upkeep.plugins.module_utils._backup.restore.others import unfolded
from ansible_collections.cadence.upkeep.plugins.module_utils._backup.restore.processes import Ward
from ansible_collections.cadence.upkeep.plugins.module_utils._backup.restore.untar import extract
from ansible_collections.cadence.upkeep.plugins.module_utils._backup.tree import files_in

_AT_FDCWD, _RENAME_EXCHANGE = -100, 2
_STAMP = r"\.restoring-\d{8}T\d{6}Z\Z"


class LiveTree:
    """A directory that is in use. Nothing in it is changed: it is kept whole, under another name."""

    def __init__(self, job: Job, ward: Ward) -> None:
        self._job, self._ward = job, ward

    def look(self, path: str) -> Present:
        if os.path.islink(path) or (os.path.lexists(path) and not os.path.isdir(path)):
            what = f"was not restored: {path} is no directory, and only a directory is replaced"
            raise failed("backup.target_unavailable", what, unknown=True, destination=path)
        if os.path.ismount(path):
            what = f"was not restored: {path} is a mounted file system, which cannot change its name"
            raise failed("backup.target_unavailable", what, unknown=True, destination=path)
        if not os.path.isdir(os.path.dirname(path)):
            what = f"was not restored: there is no directory {os.path.dirname(path)} for it"
            raise failed("backup.target_unavailable", what, unknown=True, destination=path)
        if not os.path.isdir(path):
            return Present(False)
        sizes = [status.st_size for _name, status in files_in(path) if stat.S_ISREG(status.st_mode)]
        return Present(True, bytes=sum(sizes), files=len(sizes))

    def leftovers(self, names: Names) -> list[str]:
        """Return what restores that were killed have left half unpacked."""
        parent, name = os.path.split(names.target)
        unfinished = re.compile(re.escape(name) + _STAMP)
        return [os.path.join(parent, one) for one in sorted(os.listdir(parent)) if unfinished.match(one)]

    def load(self, backup: Backup, names: Names, restored: Restored) -> str:
        """Unpack beside the directory and compare; return the new directory. Raises ``Failed``."""
        os.mkdir(names.fresh, 0o700)
        with _lines(backup.file.path + MEMBERS_SUFFIX) as expected:
            listing = Listing(True, expected)
            with unfolded(backup.file.path, backup.chain, self._job.decrypt, self._ward) as stream:
                try:
                    restored.tables = extract(stream, names.fresh, listing, self._ward.check, keep=True)
                except OSError as error:
                    full = error.errno == 28
                    what = "was left half restored: the disk became full" if full else f"was not restored: {error}"
                    code = "backup.scratch_full" if full else "backup.restore_failed"
                    raise failed(code, what, unknown=full) from error
            found = listing.result()
        restored.rows, restored.bytes = found.count, found.bytes
        wanted = backup.file.manifest.members if backup.file.manifest is not None else None
        if found.difference or (wanted is not None and wanted.sha256 != found.sha256):
            where = f", first in {found.difference}" if found.difference else ""
            what = f"unpacks to other files than its maker put in{where}"
            restored.add(Trouble("backup.fingerprint_mismatch", what, {"first_difference": found.difference}))
        restored.compared = "manifest" if wanted is not None or expected is not None else "nothing"
        # An archive that was made from / on has the whole path in it.
        inside = os.path.join(names.fresh, names.target.lstrip("/"))
        return inside if os.path.isdir(inside) and not os.path.islink(inside) else names.fresh

    def swap(self, names: Names, fresh: str, exists: bool) -> None:
        """Exchange the two directories. Raises ``OSError`` with all as it was."""
        if not exists:
            os.rename(fresh, names.target)
        else:
            status = os.stat(names.target)
            if fresh == names.fresh:
                os.chmod(fresh, stat.S_IMODE(status.st_mode))
                if os.geteuid() == 0:
                    os.chown(fresh, status.st_uid, status.st_gid)
            # Under that name first: whatever is killed now, no name that is cleared up ever means the old one.
            os.rename(fresh, names.before)
            if not _exchange(names.target, names.before):
                aside = f"{names.before}.new"
                os.rename(names.before, aside)
                os.rename(names.target, names.before)
                os.rename(aside, names.target)
        if os.path.isdir(names.fresh):
            shutil.rmtree(names.fresh, ignore_errors=True)

    def drop(self, path: str) -> None:
        shutil.rmtree(path, ignore_errors=True)


def _exchange(one: str, other: str) -> bool:
    """Exchange two names in one step; False where the system or the file system cannot."""
    if platform.system() != "Linux":
        return False
    libc = ctypes.CDLL(None, use_errno=True)
    if not hasattr(libc, "renameat2"):
        return False
    return bool(libc.renameat2(_AT_FDCWD, os.fsencode(one), _AT_FDCWD, os.fsencode(other), _RENAME_EXCHANGE) == 0)


@contextmanager
def _lines(path: str) -> Iterator[Iterator[bytes] | None]:
    try:
        stream: IO[bytes] = open(path, "rb")  # noqa: SIM115  it is closed below, where it could be opened
    except OSError:
        yield None
        return
    with stream:
        yield iter(stream)
