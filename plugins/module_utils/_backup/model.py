# Copyright (c) 2026 Upkeep maintainers
# GNU General Public License v3.0-or-later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What is wanted of backups, and what was seen of them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta, tzinfo
from typing import Any

from ansible_collections.cadence.upkeep.plugins.module_utils._backup.manifest import Manifest
from ansible_collections.cadence.upkeep.plugins.module_utils._backup.members import Members
from ansible_collections.cadence.upkeep.plugins.module_utils._backup.restore.forecast import Rehearsal
from ansible_collections.cadence.upkeep.plugins.module_utils._backup.restore.model import Wishes

PRESENCE, INTEGRITY, STRUCTURE, RESTORE = "presence", "integrity", "structure", "restore"
LEVELS = (PRESENCE, INTEGRITY, STRUCTURE, RESTORE)

LATEST, ALL, ROLLING = "latest", "all", "rolling"
SELECTIONS = (LATEST, ALL, ROLLING)

FROM_NAME, FROM_MANIFEST, FROM_HEADER, FROM_MTIME = "name", "manifest", "dump_header", "mtime"
TIME_SOURCES = (FROM_NAME, FROM_MANIFEST, FROM_HEADER, FROM_MTIME)

FULL, PARTIAL = "full", "partial"

# What `unproven` says of a file: each is explained in docs/backups.md.
CONTENT, PRODUCER_DIGEST, VALUES, TOC = "content", "producer_digest", "values", "toc"
COMPLETENESS, MEMBERS, SIGNATURE, CERTIFICATES = "completeness", "members", "signature", "certificates"

# What stands where a backup is expected.
FILE, DIRECTORY, FIFO, SOCKET, DEVICE, DANGLING = "file", "directory", "fifo", "socket", "device", "dangling_link"

# Clocks of hosts differ by a little; a backup that lies further ahead is not believed.
FUTURE_TOLERANCE = timedelta(minutes=10)

# Why a file, or a directory, could not be looked at.
UNREADABLE, TIMED_OUT, CHANGING, KILLED = "unreadable", "timeout", "changing", "killed"


@dataclass(frozen=True)
class SizeBand:
    """How far the newest size may be from the ``window`` before it. ``min_abs`` is in bytes."""

    window: int
    factor: float
    min_abs: int
    both_sides: bool


@dataclass(frozen=True)
class Keep:
    """How many backups are to stay: the newest ones, and the newest of each of so many days, weeks, months, years."""

    last: int = 0
    daily: int = 0
    weekly: int = 0
    monthly: int = 0
    yearly: int = 0


@dataclass(frozen=True)
class Schedule:
    """What should take the backups: a text in a line of some crontab, or a systemd timer."""

    cron: str = ""
    timer: str = ""


@dataclass(frozen=True)
class Site:
    """Another place that should have the same backups. ``path`` is a directory as this host sees it."""

    name: str
    path: str
    media: str
    offsite: bool
    immutable: bool
    mode: str


@dataclass(frozen=True)
class RowBounds:
    """How many rows a table should have: None for any number."""

    min_rows: int | None = None
    max_rows: int | None = None


@dataclass(frozen=True)
class Expect:
    """What should be inside. ``row_tolerance`` is a ratio by which counts may differ from the manifest's."""

    database: str = ""
    server_major: int = 0
    extensions: tuple[str, ...] = ()
    tables: Mapping[str, RowBounds] = field(default_factory=dict)
    row_tolerance: float = 0.0


@dataclass(frozen=True)
class Series:
    """Backups of one thing, taken again and again. Times in seconds, sizes in bytes; 0 switches a rule off.

    An entry of ``paths`` is a series without a rhythm: not ``named``, and its ``name`` is the path as it was given.
    ``zone`` is that of times in names which carry none; ``None`` stands for the host's own.
    """

    name: str
    pattern: str
    named: bool = True
    level: str = INTEGRITY
    time_from: str = FROM_NAME
    zone: tzinfo | None = None
    every: float = 0.0
    grace: float = 0.0
    max_age: float = 0.0
    min_size: int = 0
    min_count: int = 1
    gap_window: int = 0
    size_band: SizeBand | None = None
    time_pattern: str = ""
    keep: Keep | None = None
    owner: str = ""
    immutable: bool = False
    globals: str = ""
    schedule: Schedule | None = None
    sites: tuple[Site, ...] = ()
    media: str = ""
    expect: Expect = Expect()

    @property
    def warning_age(self) -> float:
        """The age past which the newest backup is late; 0 when there is no rhythm."""
        return self.every + self.grace if self.every else 0.0

    @property
    def critical_age(self) -> float:
        """The age past which the newest backup is far too old; 0 when nothing limits it."""
        # A grace longer than the rhythm must not make a backup critical before it is late.
        rhythm = max(2 * self.every, self.warning_age) if self.every else 0.0
        return min(filter(None, (rhythm, self.max_age)), default=0.0)


# What an archive of files may hold although it reaches beyond itself: `limits.allow`.
OUTSIDE_LINKS, DEVICES, SETID, ABSOLUTE = "outside_links", "devices", "setid", "absolute_paths"
ALLOWANCES = (OUTSIDE_LINKS, DEVICES, SETID, ABSOLUTE)


@dataclass(frozen=True)
class Limits:
    """How much a file may unfold to: bytes, times its stored size, containers in one another, files in an archive."""

    max_expanded: int
    max_ratio: float
    max_depth: int
    max_members: int = 1_000_000
    allow: frozenset[str] = frozenset()


@dataclass(frozen=True)
class OpenSsl:
    """How ``openssl enc`` was called: nothing in the file says it."""

    cipher: str
    kdf: str
    iterations: int
    digest: str
    pass_file: str


@dataclass(frozen=True)
class Decrypt:
    """The keys that may be used. Paths of files; an empty one for none."""

    gpg_homedir: str = ""
    passphrase_file: str = ""
    age_identity_file: str = ""
    openssl: OpenSsl | None = None


@dataclass(frozen=True)
class Reading:
    """How a file is read: what it may cost, with which keys, and how closely.

    ``count_rows`` is false where nobody says how many there should be. ``alone`` means that the process is there for
    nothing else, and is stopped from outside when a read hangs.
    """

    limits: Limits
    decrypt: Decrypt = Decrypt()
    level: str = STRUCTURE
    bytes_per_second: int = 0
    alone: bool = False
    count_rows: bool = True


@dataclass(frozen=True)
class Signers:
    """Whose signatures count. Minisign keys are the 56 letters of a public key; the others are paths."""

    minisign: tuple[str, ...] = ()
    ssh_allowed_signers: str = ""
    ssh_identity: str = ""
    ssh_namespace: str = "file"
    gpg_homedir: str = ""
    gpg_fingerprints: tuple[str, ...] = ()

    @property
    def named(self) -> bool:
        return bool(self.minisign or self.ssh_allowed_signers or self.gpg_homedir)


@dataclass(frozen=True)
class Policy:
    """Everything that is wanted. ``seconds`` is for all files, ``seconds_per_file`` for each.

    ``manifest`` is ``auto``, ``none``, or the directory or file where the manifests are. ``parallel`` is the number of
    processes that read, 1 for this one alone. ``rolling_parts`` and ``rolling_seconds`` say how many parts the old
    files fall into, and how long each is the one that is read. ``state_file`` is empty when nothing is remembered.
    """

    series: tuple[Series, ...]
    select: str
    seconds: float
    seconds_per_file: float
    limits: Limits
    decrypt: Decrypt = Decrypt()
    bytes_per_second: int = 0
    manifest: str = "auto"
    require_manifest: bool = False
    require_signature: bool = False
    signers: Signers = Signers()
    parallel: int = 1
    nice: int = 0
    idle_io: bool = False
    rolling_parts: int = 30
    rolling_seconds: float = 86400.0
    reverify_after: float = 0.0
    state_file: str = ""
    write_state: bool = False
    count_rows: bool = False
    restore: Wishes = field(default_factory=Wishes)
    only_plan: bool = False  # in check mode nothing is restored

    def reading(self, level: str) -> Reading:
        level = STRUCTURE if level == RESTORE else level
        return Reading(self.limits, self.decrypt, level, self.bytes_per_second, self.forks, self.count_rows)

    @property
    def forks(self) -> bool:
        """True when the files are read by other processes than this one."""
        restores = any(one.level == RESTORE for one in self.series)
        return self.parallel > 1 or bool(self.nice) or self.idle_io or restores


@dataclass(frozen=True)
class Failure:
    """Why something could not be looked at: ``kind`` is a stable word, ``reason`` the end of a sentence."""

    kind: str
    reason: str
    path: str = ""
    evidence: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Problem:
    """What is wrong inside a file: ``what`` is a sentence without its subject, ``offset`` in bytes of that layer.

    ``fatal`` is false where the content can still be restored; ``unknown`` is true where it only cannot be judged.
    """

    code: str
    layer: str
    what: str
    offset: int | None = None
    fatal: bool = True
    evidence: Mapping[str, Any] = field(default_factory=dict)
    unknown: bool = False


@dataclass(frozen=True)
class Dump:
    """What a dump says of itself; ``complete`` is None when that could not be found out.

    ``rows`` has the tables whose rows were counted, if they were at all; with ``inserts`` there are others. ``created``
    is a local time of the host that dumped, without its zone.
    """

    database: str | None = None
    server_version: str | None = None
    tool_version: str | None = None
    tables: int | None = None
    complete: bool | None = None
    counted: bool = False
    rows: Mapping[str, int] = field(default_factory=dict)
    encoding: str | None = None
    extensions: tuple[str, ...] = ()
    created: str | None = None
    inserts: bool = False
    cluster: bool = False


@dataclass(frozen=True)
class Content:
    """What one pass over the bytes of a file showed. ``whole`` means that the pass went through to the end."""

    chain: tuple[str, ...]
    problems: tuple[Problem, ...]
    unproven: tuple[str, ...]
    dump: Dump | None
    whole: bool
    stored_sha256: str
    bytes_read: int
    bytes_decoded: int
    seconds: float
    members: Members | None = None
    plain_sha256: str = ""  # only where it was asked for
    plain_equal: bool | None = None  # whether what is inside is what its maker dumped, where that was compared
    certified: Mapping[str, Any] | None = None  # of certificates.Verdict.as_plain
    restored: Mapping[str, Any] | None = None  # what came of a test restore, as restore.model.Restored has it


@dataclass(frozen=True)
class Sidecar:
    """The digest that stands beside a file. ``problem`` says why there is none in it after all.

    ``other_name`` is the name that the sidecar gives when that is not the file's: it was renamed, or is of another.
    """

    path: str
    sha256: str
    mtime: datetime
    other_name: str = ""
    problem: str = ""


@dataclass(frozen=True)
class Described:
    """The manifest of a file. ``problem`` says why there is none in it after all; ``other_name`` as of a sidecar."""

    path: str
    mtime: datetime
    manifest: Manifest | None = None
    other_name: str = ""
    problem: str = ""


@dataclass(frozen=True)
class Signed:
    """The signature over ``of`` (a manifest, a list of digests, the file itself).

    ``valid`` is None when nobody could say, and ``why`` says why it is not valid or not known; ``by`` names the key.
    """

    path: str
    of: str
    kind: str
    valid: bool | None
    by: str = ""
    why: str = ""


@dataclass(frozen=True)
class Earlier:
    """What is remembered of a file that was verified before, and has not changed since."""

    at: datetime
    status: str
    level: str
    sha256: str


@dataclass(frozen=True)
class Copy:
    """A backup at another site. ``equal`` is None when that could not be found out; ``why`` says why, or how not."""

    site: str
    path: str
    media: str
    offsite: bool
    present: bool
    equal: bool | None
    immutable: bool
    why: str = ""


@dataclass(frozen=True)
class Planned:
    """What was found of the job that takes the backups: ``seconds`` is the longest pause between two of its runs.

    ``seconds`` is None when that could not be told; ``problem`` says why the job does not run, or ``unknown`` is true.
    """

    what: str
    where: str = ""
    seconds: float | None = None
    next_run: str = ""
    problem: str = ""
    unknown: bool = False


@dataclass(frozen=True)
class BackupFile:
    """One backup as it stands in the file system. ``exposed`` means that every account of the host can read it."""

    path: str
    kind: str
    size: int
    mtime: datetime
    mode: int
    taken_at: datetime
    taken_from: str
    exposed: bool = False
    selected: bool = False
    sidecar: Sidecar | None = None
    content: Content | None = None
    failure: Failure | None = None
    owner: str = ""
    immutable: bool | None = None
    described: Described | None = None
    signed: Signed | None = None
    earlier: Earlier | None = None
    named_at: datetime | None = None  # the time in its name, where that is not what was taken

    @property
    def manifest(self) -> Manifest | None:
        """The manifest, when it can be used and speaks of this file."""
        described = self.described
        return described.manifest if described is not None and not described.other_name else None

    @property
    def wanted_sha256(self) -> str:
        """The digest that its maker wrote down; empty when there is none."""
        if self.manifest is not None and self.manifest.stored_sha256:
            return self.manifest.stored_sha256
        return self.sidecar.sha256 if self.sidecar is not None else ""

    @property
    def counts(self) -> bool:
        """False for what is there but cannot be a backup: it closes no gap and is not one of the number wanted."""
        return self.kind in (FILE, DIRECTORY) and self.size > 0


@dataclass(frozen=True)
class Leftover:
    """A file that is no backup: an unfinished one, or the digest of a file that is gone."""

    path: str
    mtime: datetime


@dataclass(frozen=True)
class Found:
    """What there is of one series: ``files`` newest first."""

    series: Series
    files: tuple[BackupFile, ...] = ()
    partials: tuple[Leftover, ...] = ()
    stale_sidecars: tuple[str, ...] = ()
    failures: tuple[Failure, ...] = ()
    missing_directory: str = ""
    copies: tuple[Copy, ...] = ()
    planned: Planned | None = None
    globals_at: datetime | None = None  # when the newest dump of the globals was taken
    free_bytes: int | None = None
    lost: tuple[str, ...] = ()  # verified before, to be kept, and gone
    durations: tuple[tuple[datetime, float], ...] = ()
    rehearsals: tuple[Rehearsal, ...] = ()  # the restores for a test, with those of this run

    @property
    def selected(self) -> tuple[BackupFile, ...]:
        return tuple(file for file in self.files if file.selected)


@dataclass(frozen=True)
class Snapshot:
    """Everything that was seen, in the order of the policy's series."""

    found: tuple[Found, ...]
    state_problem: str = ""
