# Copyright (c) 2026 Upkeep maintainers
# GNU General Public License v3.0-or-later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What is to be backed up, where to, and what became of it."""

from __future__ import annotations

import hashlib
import os
import socket
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from ansible_collections.cadence.upkeep.plugins.module_utils._backup.manifest import Manifest, Source
from ansible_collections.cadence.upkeep.plugins.module_utils._backup.members import Members
from ansible_collections.cadence.upkeep.plugins.module_utils._backup.model import Decrypt
from ansible_collections.cadence.upkeep.plugins.module_utils._core.finding import Finding

POSTGRES, GLOBALS, FILES, REDIS, MONGODB = "postgres", "globals", "files", "redis", "mongodb"
KINDS = (POSTGRES, GLOBALS, FILES, REDIS, MONGODB)

CUSTOM, PLAIN, DIRECTORY = "custom", "plain", "directory"
FORMATS = (CUSTOM, PLAIN, DIRECTORY)

AUTO, ZSTD, GZIP, NONE = "auto", "zstd", "gzip", "none"
COMPRESSIONS = (AUTO, ZSTD, GZIP, NONE)

NEEDED, ALWAYS = "needed", "always"

MINISIGN, SSH, OPENPGP = "minisign", "ssh", "openpgp"

ALL_DATABASES = "*"


def mark_of(series: str, directory: str, host: str) -> str:
    """Return what tells the runs of one series in one directory of one host from all others, in 41 letters at most.

    What carries it belongs to a run that holds the lock of the series, or to one that is dead.
    """
    digest = hashlib.sha256("\0".join((host, directory, series)).encode("utf-8", "surrogateescape")).hexdigest()
    return f"{series[:28]}.{digest[:12]}"


@dataclass(frozen=True)
class Encryption:
    """For whom the backup is encrypted. Recipients are public; there is no passphrase to lose or to leak."""

    age_recipients: tuple[str, ...] = ()
    age_recipients_file: str = ""
    gpg_recipients: tuple[str, ...] = ()
    gpg_homedir: str = ""

    @property
    def by(self) -> str:
        """``age``, ``gpg``, or an empty text for no encryption."""
        if self.age_recipients or self.age_recipients_file:
            return "age"
        return "gpg" if self.gpg_recipients else ""

    @property
    def recipients(self) -> tuple[str, ...]:
        listed = (f"file:{self.age_recipients_file}",) if self.age_recipients_file else ()
        return (*self.age_recipients, *listed, *self.gpg_recipients)


@dataclass(frozen=True)
class Signing:
    """With which key the manifest is signed; ``kind`` is empty for no signature."""

    kind: str = ""
    key: str = ""
    homedir: str = ""
    passphrase_file: str = ""
    namespace: str = "file"


@dataclass(frozen=True)
class Pod:
    """A pod of Kubernetes, as ``kubectl`` is told it."""

    name: str
    namespace: str = ""
    container: str = ""
    context: str = ""
    kubeconfig: str = ""
    program: str = "kubectl"


@dataclass(frozen=True)
class Job:
    """What one call of the module is to do. Times are in seconds, sizes in bytes.

    ``inside`` says that the programs of a container are to be used, and not those of this host. ``far_directory`` is
    where a dump is put in a container or a pod before it is copied out.
    """

    series: str
    directory: str
    kind: str
    seconds: float
    databases: tuple[str, ...] = ()
    form: str = CUSTOM
    compress: str = AUTO
    level: int | None = None
    jobs: int = 1
    globals: bool = True
    count_rows: bool = True
    fingerprint: bool = False
    encryption: Encryption = Encryption()
    signing: Signing = Signing()
    decrypt: Decrypt = field(default_factory=Decrypt)
    paths: tuple[str, ...] = ()
    exclude: tuple[str, ...] = ()
    always: bool = False
    every: float = 86400.0
    grace: float = 7200.0
    pod: Pod | None = None
    inside: bool = False
    far_directory: str = "/tmp"
    copy_retries: int = 3
    bin_dir: str = ""
    headroom: float = 1.2
    min_free: int = 0
    lock_timeout: float = 60.0
    mode: int = 0o600
    run_id: str = ""
    state_dir: str | None = None

    @property
    def mark(self) -> str:
        """What tells the runs of this series from all others."""
        return mark_of(self.series, os.path.realpath(self.directory), socket.gethostname())

    @property
    def encrypted(self) -> bool:
        return bool(self.encryption.by)

    @property
    def opens(self) -> bool:
        """Whether what is encrypted can be decrypted here, to look at it once more."""
        keys = self.decrypt
        return bool(keys.age_identity_file if self.encryption.by == "age" else keys.gpg_homedir)


@dataclass(frozen=True)
class Facts:
    """What is known of the data before they are dumped. ``bytes`` is about how many there are, 0 for not known."""

    subject: str
    taken_at: datetime
    source: Source = field(default_factory=Source)
    bytes: int = 0
    extensions: tuple[str, ...] | None = None
    tools: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Poured:
    """What came of the dump itself: what was counted beside it, and how its programs ended."""

    statuses: tuple[tuple[str, int], ...]
    rows: Mapping[str, int] | None = None
    fingerprints: Mapping[str, str] = field(default_factory=dict)
    members: Members | None = None
    findings: tuple[Finding, ...] = ()


@dataclass(frozen=True)
class Earlier:
    """A whole backup of the same series that is there already."""

    path: str
    manifest: Manifest


@dataclass(frozen=True)
class Made:
    """One backup of the run: made, planned, not needed (``reason``), or failed (``error``)."""

    series: str
    subject: str
    status: str
    reason: str = ""
    path: str = ""
    manifest_path: str = ""
    manifest: Manifest | None = None
    expected_bytes: int | None = None
    program: str = ""
    signature: str = ""
    content_checked: str = ""
    seconds: Mapping[str, float] = field(default_factory=dict)
    findings: tuple[Finding, ...] = ()
    error: Mapping[str, Any] = field(default_factory=dict)
