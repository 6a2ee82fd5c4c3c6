# Copyright (c) 2026 Upkeep maintainers
# GNU General Public License v3.0-or-later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The directory of a series: what is there, what a killed run left, and how a finished backup gets its name."""

from __future__ import annotations

import ctypes
import errno
import os
import shutil
import stat
import sys

from ansible_collections.cadence.upkeep.plugins.module_utils._backup import manifest as manifests
from ansible_collections.cadence.upkeep.plugins.module_utils._backup.create.errors import BackupFailed
from ansible_collections.cadence.upkeep.plugins.module_utils._backup.create.model import Earlier
from ansible_collections.cadence.upkeep.plugins.module_utils._backup.create.naming import backups_of, leftovers_of
from ansible_collections.cadence.upkeep.plugins.module_utils._backup.manifest import SUFFIX
from ansible_collections.cadence.upkeep.plugins.module_utils._backup.tree import files_in, size_of

_RENAME_NOREPLACE = 1
_AT_FDCWD = -100
_NO_LINKS = (errno.EPERM, errno.ENOTSUP, errno.EOPNOTSUPP, errno.ENOSYS, errno.EMLINK, errno.EINVAL)


class Store:
    """One directory with backups. Whoever changes something here holds the lock of the series."""

    def __init__(self, directory: str) -> None:
        self.directory = directory

    def prepare(self, mode: int) -> None:
        """Make the directory, unless it is there. Raises ``BackupFailed``."""
        try:
            if not os.path.isdir(self.directory):
                os.makedirs(self.directory, 0o700 if not mode & 0o060 else 0o750, exist_ok=True)
        except OSError as error:
            raise BackupFailed(
                f"The directory {self.directory} cannot be made: {error.strerror}.",
                "Make it, and give it to the account that runs the task; is its file system mounted?",
            ) from None
        if not os.access(self.directory, os.W_OK | os.X_OK):
            raise BackupFailed(
                f"The directory {self.directory} may not be written by the account that runs the task.",
                "Give it that account, or let the task become the one that may (become).",
            )

    def path(self, name: str) -> str:
        return os.path.join(self.directory, name)

    def names(self) -> list[str]:
        """Return what is in the directory; nothing when it is not there. Raises ``BackupFailed``."""
        try:
            return os.listdir(self.directory)
        except FileNotFoundError:
            return []
        except OSError as error:
            raise BackupFailed(
                f"The directory {self.directory} cannot be listed: {error.strerror}.", "Correct directory, or its mode."
            ) from None

    def free(self) -> int:
        """Return how many bytes are free there, or where it will be made."""
        place = self.directory
        while not os.path.isdir(place) and os.path.dirname(place) != place:
            place = os.path.dirname(place)
        return shutil.disk_usage(place).free

    def earlier(self, series: str, enough: int) -> list[Earlier]:
        """Return the newest backups of *series* that have a manifest which they fit, *enough* of them at most."""
        found: list[Earlier] = []
        for name in backups_of(series, self.names()):
            if len(found) >= enough:
                break
            one = self._described(name)
            if one is not None:
                found.append(one)
        return found

    def _described(self, name: str) -> Earlier | None:
        """Return the backup *name*, when its maker says that it is whole and it has the size that he says."""
        path = self.path(name)
        try:
            with open(path + SUFFIX, "rb") as stream:
                manifest = manifests.parse(stream.read(manifests.LARGEST + 1))
            found = os.lstat(path)
            size = size_of(path) if stat.S_ISDIR(found.st_mode) else found.st_size
        except (OSError, manifests.Unusable):
            return None  # whatever it is, it is no backup that may stand for one
        if stat.S_ISDIR(found.st_mode):
            wanted = {part.name: part.size for part in manifest.parts}
            size = sum(status.st_size for part, status in files_in(path) if part in wanted)
        whole = manifest.name == name and not manifest.failed and size == manifest.stored_size
        return Earlier(path, manifest) if whole else None

    # --- what a killed run left

    def leftovers(self, series: str) -> list[str]:
        return leftovers_of(series, self.names())

    def remove(self, name: str) -> None:
        """Remove an unfinished file or directory of ours; nothing when it is gone."""
        path = self.path(name)
        try:
            if stat.S_ISDIR(os.lstat(path).st_mode):
                shutil.rmtree(path)
            else:
                os.unlink(path)
        except FileNotFoundError:
            return
        except OSError as error:
            raise BackupFailed(
                f"{path}, which an earlier run left, cannot be removed: {error.strerror}.", "Remove it by hand."
            ) from None

    # --- a finished one

    def create(self, name: str, mode: int) -> int:
        """Return a descriptor of the new file *name*. Raises ``BackupFailed``."""
        try:
            descriptor = os.open(
                self.path(name), os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC, mode
            )
            os.fchmod(descriptor, mode)
        except OSError as error:
            raise BackupFailed(
                f"{self.path(name)} cannot be made: {error.strerror}.", "Look at the directory and its disk."
            ) from None
        return descriptor

    def name(self, partial: str, final: str) -> None:
        """Give the file or directory *partial* its name, unless anything has it. Raises ``BackupFailed``."""
        source, target = self.path(partial), self.path(final)
        try:
            if not _rename_new(source, target):
                self._name_slowly(source, target)
        except OSError as error:
            taken = error.errno in (errno.EEXIST, errno.ENOTEMPTY)
            why = "something else has got that name meanwhile" if taken else error.strerror
            raise BackupFailed(
                f"{source} cannot be renamed to {target}: {why}.", "Find out who else writes there; start again."
            ) from None

    def _name_slowly(self, source: str, target: str) -> None:
        """Where the kernel or the file system knows no renaming that replaces nothing."""
        if os.path.isdir(source):
            if os.path.lexists(target):
                raise FileExistsError(errno.EEXIST, os.strerror(errno.EEXIST), target)
            os.rename(source, target)
            return
        try:
            os.link(source, target, follow_symlinks=False)
            os.unlink(source)
        except OSError as error:
            if error.errno not in _NO_LINKS:
                raise
            if os.path.lexists(target):
                raise FileExistsError(errno.EEXIST, os.strerror(errno.EEXIST), target) from None
            os.rename(source, target)

    def sync(self) -> None:
        """Bring the names to the disk."""
        sync_directory(self.directory)


def sync_directory(path: str) -> None:
    descriptor = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def sync_tree(top: str, mode: int) -> None:
    """Bring all files below *top* to the disk, and give them *mode*."""
    for place, directories, files in os.walk(top):
        for name in files:
            path = os.path.join(place, name)
            descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC)
            try:
                os.fchmod(descriptor, mode)
                os.fsync(descriptor)
            finally:
                os.close(descriptor)
        for name in directories:
            sync_directory(os.path.join(place, name))
    sync_directory(top)


def _rename_new(source: str, target: str) -> bool:
    """Rename *source*, replacing nothing; return False where that cannot be asked for."""
    if sys.platform != "linux":
        return False
    library = ctypes.CDLL(None, use_errno=True)
    if not hasattr(library, "renameat2"):
        return False
    if library.renameat2(_AT_FDCWD, os.fsencode(source), _AT_FDCWD, os.fsencode(target), _RENAME_NOREPLACE) == 0:
        return True
    number = ctypes.get_errno()
    if number in (errno.EINVAL, errno.ENOSYS):
        return False
    raise OSError(number, os.strerror(number), target)
