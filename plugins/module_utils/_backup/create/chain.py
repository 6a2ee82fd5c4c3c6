# Copyright (c) 2026 Upkeep maintainers
# GNU General Public License v3.0-or-later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Put together what a dump passes through: compression and encryption, and the programs that do them."""

from __future__ import annotations

from dataclasses import dataclass

from ansible_collections.cadence.upkeep.plugins.module_utils._backup import adapter
from ansible_collections.cadence.upkeep.plugins.module_utils._backup.containers import Sink
from ansible_collections.cadence.upkeep.plugins.module_utils._backup.create import model
from ansible_collections.cadence.upkeep.plugins.module_utils._backup.create.errors import BackupFailed
from ansible_collections.cadence.upkeep.plugins.module_utils._backup.create.model import Encryption, Job
from ansible_collections.cadence.upkeep.plugins.module_utils._backup.create.pump import Filter, Statuses, Track

# What `files[].chain` of backup_verify calls them.
_CHAIN_WORDS = {model.ZSTD: "zstd", model.GZIP: "gzip", "age": "age", "gpg": "openpgp"}


@dataclass(frozen=True)
class Wrapping:
    """What is put around the dump: ``outer`` is the compression, empty or ``none`` for no program."""

    outer: str
    level: int | None
    encryption: Encryption

    @property
    def programs(self) -> list[str]:
        """The programs that are needed."""
        wanted = [self.outer] if self.outer in (model.ZSTD, model.GZIP) else []
        return wanted + ([self.encryption.by] if self.encryption.by else [])

    @property
    def chain(self) -> tuple[str, ...]:
        """The formats from outside in, without what is inside."""
        return tuple(_CHAIN_WORDS[program] for program in reversed(self.programs))

    def require_programs(self) -> None:
        """Raise ``BackupFailed`` when one of them is not here."""
        for name in self.programs:
            if adapter.program(name) is None:
                raise BackupFailed(
                    f"The program {name} is not here, and the backup is to be "
                    f"{'encrypted' if name == self.encryption.by else 'compressed'} by it.",
                    f"Install {'gnupg' if name == 'gpg' else name}, or choose another way (compress, encrypt).",
                    {"class": "tool_missing", "program": name},
                )

    def around(self, sink: Sink, track: Track, statuses: Statuses) -> Sink:
        """Return the sink that takes the dump, compresses and encrypts it, and passes it on to *sink*."""
        self.require_programs()
        if self.encryption.by:
            sink = Filter(self.encryption.by, self._encrypt(), track, sink, statuses)
        if self.outer in (model.ZSTD, model.GZIP):
            sink = Filter(self.outer, self._compress(), track, sink, statuses)
        return sink

    def _compress(self) -> list[str]:
        program = adapter.program(self.outer) or self.outer
        if self.outer == model.ZSTD:
            return [program, "-q", "-c", "--check", f"-{self.level or 3}"]
        return [program, "-n", "-c", f"-{self.level or 6}"]

    def _encrypt(self) -> list[str]:
        encryption, program = self.encryption, adapter.program(self.encryption.by) or self.encryption.by
        if encryption.by == "age":
            argv = [program, "--encrypt"]
            for recipient in encryption.age_recipients:
                argv += ["--recipient", recipient]
            if encryption.age_recipients_file:
                argv += ["--recipients-file", encryption.age_recipients_file]
            return argv
        argv = [program, "--batch", "--no-tty", "--no-options", "--trust-model", "always", "--no-auto-check-trustdb"]
        argv += ["--no-auto-key-retrieve", "--no-random-seed-file", "--lock-never", "--compress-algo", "none"]
        if encryption.gpg_homedir:
            argv += ["--homedir", encryption.gpg_homedir]
        for recipient in encryption.gpg_recipients:
            argv += ["--recipient", recipient]
        return [*argv, "--output", "-", "--encrypt"]


def chosen_compression(job: Job) -> str:
    """Return the compression of the job: ``auto`` is zstd where its program is, gzip elsewhere."""
    if job.compress != model.AUTO:
        return job.compress
    return model.ZSTD if adapter.program(model.ZSTD) is not None else model.GZIP
