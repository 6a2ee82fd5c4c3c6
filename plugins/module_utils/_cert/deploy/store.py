# Copyright (c) 2026 Upkeep maintainers
# GNU General Public License v3.0-or-later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Put a certificate and its key where servers read them, so that whatever is killed when, a matching pair remains.

Two files cannot be replaced at once, and a server that is restarted between the two does not start. So in the layout
``links`` the paths that servers read are symbolic links through one link, ``.NAME.live``, to a directory that holds one
generation of all files: turning that one link is one ``rename``. On the first deployment the files that are there
become a generation first, so that at no instant do certificate and key disagree.

    shop.crt -> .shop.live/fullchain.pem        .shop.live -> .shop.releases/20261122T041300Z
    shop.key -> .shop.live/privkey.pem

For readers that follow no links there is the layout ``files``: one ``rename`` after the other, the key first. A run
that was killed between two of them left a mismatch, which the next run undoes.

In both layouts a note, ``.NAME.journal``, says what was going on until the servers were seen to use the new files.
"""

from __future__ import annotations

import contextlib
import errno
import json
import os
import re
import shutil
import stat
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field

from ansible_collections.cadence.upkeep.plugins.module_utils._cert.files import read_regular
from ansible_collections.cadence.upkeep.plugins.module_utils._cert.model import CannotLook
from ansible_collections.cadence.upkeep.plugins.module_utils._core.errors import InvalidInput, UpkeepError

# What a server may want, and the name of its file in a generation.
FILES = {key: f"{key}.pem" for key in ("fullchain", "privkey", "cert", "chain", "bundle")}
SECRET = frozenset(("privkey", "bundle"))
# Those that begin with the certificate itself, the fullest first.
PUBLIC = ("fullchain", "cert", "bundle")
LINKS, ONE_BY_ONE = "links", "files"
LAYOUTS = (LINKS, ONE_BY_ONE)
# How a link of a deployment ends, with its name.
_LIVE = re.compile(rf"(?:^|/)\.([^/]+)\.live/(?:{'|'.join(FILES)})\.pem$")
# A chain and a key are a few kilobytes.
LARGEST_FILE = 1 << 20


class StoreError(UpkeepError):
    """The files of a certificate cannot be read or replaced."""


@dataclass(frozen=True)
class Keep:
    """Who owns a file, who may read it, and its SELinux label and access list, which a new file would not have."""

    uid: int
    gid: int
    mode: int
    attributes: Mapping[str, bytes] = field(default_factory=dict)

    @property
    def owner_and_mode(self) -> tuple[int, int, int]:
        return self.uid, self.gid, self.mode


@dataclass(frozen=True)
class Store:
    """The paths of one certificate. ``places`` maps the keys of ``FILES`` to absolute paths; ``home`` has the links.

    All methods raise ``StoreError`` naming what the system refused.
    """

    name: str
    places: Mapping[str, str]
    home: str
    layout: str = LINKS

    @property
    def live(self) -> str:
        return os.path.join(self.home, f".{self.name}.live")

    @property
    def releases(self) -> str:
        return os.path.join(self.home, f".{self.name}.releases")

    @property
    def journal(self) -> str:
        return os.path.join(self.home, f".{self.name}.journal")

    @property
    def public(self) -> str:
        """The place that begins with the certificate itself."""
        return next(self.places[key] for key in PUBLIC if key in self.places)

    # --- look

    def read(self) -> dict[str, bytes]:
        """Return what the places hold now; a place that is not there is left out."""
        found = {}
        for key, path in self.places.items():
            try:
                found[key] = _read(path)
            except StoreError as error:
                if error.evidence["kind"] != "not_found":
                    raise
        return found

    @property
    def keys(self) -> frozenset[str]:
        """The keys of the places, and those of earlier ones that a server may still read through ``live``."""
        generation = self.generation
        there = {key for key, name in FILES.items() if generation and os.path.isfile(os.path.join(generation, name))}
        return frozenset({*self.places, *there})

    @property
    def linked(self) -> bool:
        """Whether every place is a link through ``live`` already, to a generation that is there."""
        whole = bool(self.generation) and os.path.isdir(self.generation)
        return whole and all(_target(path) == self._link_of(key) for key, path in self.places.items())

    @property
    def generation(self) -> str:
        """The directory that ``live`` leads to; empty when there is none."""
        target = _target(self.live)
        return os.path.join(self.home, target) if target else ""

    @property
    def shared(self) -> tuple[str, str]:
        """A place that is a link of another deployment, and the name of that one; empty when there is none.

        Not where all that the other one has is here, and nothing else: then it is the same one by another name.
        """
        names: dict[str, str] = {}
        for key, path in self.places.items():
            with _named(path):
                found = _LIVE.search(os.path.normpath(_target(path)))
            if found is not None and found[1] != self.name:
                names[key] = found[1]
        for key, name in names.items():
            folder = os.path.dirname(os.path.join(os.path.dirname(self.places[key]), _target(self.places[key])))
            its = {each for each, file in FILES.items() if os.path.isfile(os.path.join(folder, file))}
            ours = {each for each, path in self.places.items() if os.path.lexists(path)}
            if set(names.values()) != {name} or not its <= set(names) or ours != set(names):
                return self.places[key], name
        return "", ""

    @property
    def pending(self) -> bool:
        """Whether a deployment was begun of which nobody has seen the end."""
        return os.path.lexists(self.journal)

    # --- change

    def deploy(self, files: Mapping[str, bytes], stamp: str, keep: Mapping[str, Keep]) -> str:
        """Make *files* what all places hold; return the generation of before, empty for none.

        *keep* says whose each file is, *stamp* names the generation. It stays pending until ``settle``. When something
        is refused, all is as it was before.
        """
        with _named(self.home):
            for folder in {self.home, *map(os.path.dirname, self.places.values())}:
                os.makedirs(folder, exist_ok=True)
            _make_directory(self.releases)
        present, was_pending = self.read(), self.pending
        before = self.generation if self.layout == LINKS and self.linked else ""
        made: list[str] = []
        try:
            made.append(new := self._write(files, stamp, keep))
            if present and not before:
                made.append(before := self._write(present, f"{stamp}-before", self._keeps(present)))
            self._note(new, before)
            if before and self.layout == LINKS and not self.linked:
                # What is there becomes a generation, and the places links to it: nothing changes for a reader.
                self._activate(before)
            self._activate(new)
        except StoreError:
            self._give_up(made, was_pending)
            raise
        self._forget((new, before))
        return before

    def recover(self) -> None:
        """End what a killed run has begun: undo it, or finish it where there was nothing before. It stays pending."""
        new, before = self._noted()
        # Should somebody have removed it, what is in place is all that there is.
        if os.path.isdir(before or new):
            self._activate(before or new)

    def turn_back(self, generation: str) -> None:
        """Make *generation* what all places hold again."""
        self._activate(generation)

    def settle(self) -> None:
        """Note that nothing is going on any more."""
        with _named(self.journal), contextlib.suppress(FileNotFoundError):
            os.unlink(self.journal)

    def _keeps(self, keys: Iterable[str]) -> dict[str, Keep]:
        return {key: keep_of(self.places[key]) for key in keys}

    def _write(self, files: Mapping[str, bytes], stamp: str, keep: Mapping[str, Keep]) -> str:
        """Write a generation, whole or not at all."""
        folder = self._unused(stamp)
        try:
            with _named(folder):
                _make_directory(folder)
                for key, content in files.items():
                    _write_file(os.path.join(folder, FILES[key]), content, keep[key])
                _sync(folder)
                _sync(self.releases)
        except StoreError:
            shutil.rmtree(folder, ignore_errors=True)
            raise
        return folder

    def _unused(self, stamp: str) -> str:
        """Return a path for a generation: two within one second must not share one."""
        names = (stamp if not number else f"{stamp}-{number}" for number in range(1000))
        return next(path for path in (os.path.join(self.releases, name) for name in names) if not os.path.lexists(path))

    def _activate(self, generation: str) -> None:
        """Let the places hold what *generation* has. A place that it lacks was not there at its time."""
        with _named(generation):
            there = set(os.listdir(generation))
        # The key first: a server that finds a key without a certificate says so, and serves nothing wrong.
        keys = [key for key in sorted(self.places, key=lambda one: (one not in SECRET, one)) if FILES[key] in there]
        if self.layout == LINKS:
            with _named(self.live):
                _link(os.path.relpath(generation, self.home), self.live)
            for key in keys:
                path = self.places[key]
                with _named(path):
                    if _target(path) != self._link_of(key):
                        _link(self._link_of(key), path)
        else:
            self._copy({self.places[key]: os.path.join(generation, FILES[key]) for key in keys})
        for key, path in self.places.items():
            if key not in keys:
                with _named(path), contextlib.suppress(FileNotFoundError):
                    os.unlink(path)

    def _copy(self, sources: Mapping[str, str]) -> None:
        """Replace each path of *sources* by a copy. All is written before the first is replaced."""
        for path, source in sources.items():
            with _named(path):
                _unlink(_beside(path))
                _write_file(_beside(path), _read(source), keep_of(source))
        for path in sources:
            with _named(path):
                os.replace(_beside(path), path)
                _sync(os.path.dirname(path))
        # Left by the other layout.
        with _named(self.live):
            _unlink(self.live)

    def _link_of(self, key: str) -> str:
        # By real paths: `..` of a link to a directory is not where the link stands.
        start = os.path.realpath(os.path.dirname(self.places[key]))
        home = os.path.relpath(os.path.realpath(self.home), start)
        return os.path.normpath(os.path.join(home, os.path.basename(self.live), FILES[key]))

    def _note(self, new: str, before: str) -> None:
        note = json.dumps({"new": os.path.basename(new), "before": os.path.basename(before)})
        with _named(self.journal):
            _unlink(_beside(self.journal))
            _write_file(_beside(self.journal), note.encode(), Keep(os.geteuid(), os.getegid(), 0o600))
            os.replace(_beside(self.journal), self.journal)
            _sync(self.home)

    def _noted(self) -> tuple[str, str]:
        """Return the generations of the journal; the second is empty when there was none before."""
        try:
            note = json.loads(_read(self.journal))
            names = str(note["new"]), str(note["before"])
        except (ValueError, KeyError, TypeError):
            raise StoreError(
                f"{self.journal}, the note of a deployment that was cut off, cannot be read.",
                "See that certificate and key belong together, then remove that file.",
                {"path": self.journal},
            ) from None
        new, before = (os.path.join(self.releases, os.path.basename(name)) if name else "" for name in names)
        return new, before

    def _give_up(self, made: Iterable[str], was_pending: bool) -> None:
        """After a refusal: as it was before, without what was written for nothing. What cannot be stays pending."""
        if self.pending and not was_pending:
            with contextlib.suppress(StoreError):
                self.recover()
                self.settle()
        if not self.pending:
            for generation in made:
                if generation != self.generation:
                    shutil.rmtree(generation, ignore_errors=True)

    def _forget(self, used: Iterable[str]) -> None:
        """Remove the generations that nobody uses; a failure to remove one changes nothing."""
        spared = {os.path.basename(one) for one in (*used, self.generation) if one}
        with contextlib.suppress(OSError):
            for name in set(os.listdir(self.releases)) - spared:
                shutil.rmtree(os.path.join(self.releases, name))


def store_of(name: str, places: Mapping[str, str], home: str = "", layout: str = LINKS) -> Store:
    """Return the store for *places*; its links lie in *home*, by default beside the certificate.

    Raises ``InvalidInput`` for a name that is no file name, and for two places that are the same file.
    """
    if not name or name.startswith(".") or os.sep in name or not name.isprintable() or len(name) > 100:
        raise InvalidInput(f"name: {name!r} cannot be the name of a file.", "Write letters, digits and dashes.")
    for key, path in places.items():
        if not os.path.isabs(path) or "\0" in path:
            raise InvalidInput(f"deploy: {key} is {path!r}, which is not an absolute path.", "Write it from / on.")
    if len(set(map(os.path.normpath, places.values()))) < len(places):
        raise InvalidInput("deploy: two of its paths are the same.", "Give each file a path of its own.")
    normal = {key: os.path.normpath(path) for key, path in places.items()}
    first = next((normal[key] for key in PUBLIC if key in normal), "")
    if not first:
        raise InvalidInput("deploy: the certificate itself has no place.", f"Give one of {', '.join(PUBLIC)}.")
    return Store(name, normal, os.path.normpath(home) if home else os.path.dirname(first), layout)


def real_place(path: str) -> str:
    """Return *path* with the links to its folder resolved, and not the one that it may be itself."""
    folder, name = os.path.split(os.path.normpath(path))
    return os.path.join(os.path.realpath(folder), name)


def keep_of(path: str) -> Keep:
    """Return whose *path* is, as a deployment keeps it."""
    with _named(path):
        found = os.stat(path)
        return Keep(found.st_uid, found.st_gid, stat.S_IMODE(found.st_mode), _attributes(path))


def _attributes(path: str) -> dict[str, bytes]:
    if not hasattr(os, "listxattr"):
        return {}
    try:
        names = [name for name in os.listxattr(path) if name in ("security.selinux", "system.posix_acl_access")]
        return {name: os.getxattr(path, name) for name in names}
    except OSError as error:
        if error.errno in (errno.ENOTSUP, errno.ENODATA):
            return {}
        raise


def _read(path: str) -> bytes:
    try:
        return read_regular(path, LARGEST_FILE)
    except CannotLook as error:
        evidence = {"kind": error.failure.kind, **error.evidence}
        raise StoreError(error.message, error.remedy, evidence) from error


def _write_file(path: str, content: bytes, keep: Keep) -> None:
    # Nobody else may open it before it has its owner and mode.
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)
    with os.fdopen(descriptor, "wb") as stream:
        stream.write(content)
        stream.flush()
        if (keep.uid, keep.gid) != (os.geteuid(), os.getegid()):
            os.fchown(descriptor, keep.uid, keep.gid)
        os.fchmod(descriptor, keep.mode)
        for name, value in keep.attributes.items():
            os.setxattr(descriptor, name, value)
        os.fsync(descriptor)


def _make_directory(path: str) -> None:
    with contextlib.suppress(FileExistsError):
        os.mkdir(path)
        # Whatever the umask: servers pass it as accounts of their own, and each file has its own mode.
        os.chmod(path, 0o755)


def _beside(path: str) -> str:
    return os.path.join(os.path.dirname(path), f".{os.path.basename(path)}.upkeep-new")


def _link(target: str, path: str) -> None:
    """Make *path* a link to *target*, whatever it was, at one instant."""
    _unlink(_beside(path))
    os.symlink(target, _beside(path))
    os.replace(_beside(path), path)
    _sync(os.path.dirname(path))


def _unlink(path: str) -> None:
    with contextlib.suppress(FileNotFoundError):
        os.unlink(path)


def _sync(folder: str) -> None:
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _target(path: str) -> str:
    """Return what the link *path* says; empty when it is none, or not there."""
    try:
        return os.readlink(path)
    except OSError as error:
        if error.errno in (errno.EINVAL, errno.ENOENT, errno.ENOTDIR):
            return ""
        raise


@contextlib.contextmanager
def _named(path: str) -> Iterator[None]:
    """Turn what the system refuses at *path* into an error that names it."""
    try:
        yield
    except OSError as error:
        where = os.fsdecode(error.filename) if isinstance(error.filename, (str, bytes)) else path
        raise StoreError(
            f"{where} cannot be read or replaced: {error.strerror}.",
            "Run the task as root, and make sure that the directory is there and has room.",
            {"path": where, "errno": error.errno},
        ) from error
