# Copyright (c) 2026 Upkeep maintainers
# GNU General Public License v3.0-or-later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Sign a manifest: by ``minisign``, ``ssh-keygen`` or ``gpg``, as ``backup_verify`` reads it."""

from __future__ import annotations

import contextlib

from ansible_collections.cadence.upkeep.plugins.module_utils._backup import adapter
from ansible_collections.cadence.upkeep.plugins.module_utils._backup.create import model
from ansible_collections.cadence.upkeep.plugins.module_utils._backup.create.errors import BackupFailed
from ansible_collections.cadence.upkeep.plugins.module_utils._backup.create.model import Signing
from ansible_collections.cadence.upkeep.plugins.module_utils._backup.create.private import first_line, nameless_file
from ansible_collections.cadence.upkeep.plugins.module_utils._backup.create.pump import Source
from ansible_collections.cadence.upkeep.plugins.module_utils._core.deadline import Deadline

SUFFIX = {model.MINISIGN: ".minisig", model.SSH: ".sig", model.OPENPGP: ".asc"}
_PROGRAM = {model.MINISIGN: "minisign", model.SSH: "ssh-keygen", model.OPENPGP: "gpg"}
_BEGINS = {
    model.MINISIGN: b"untrusted comment: ",
    model.SSH: b"-----BEGIN SSH SIGNATURE-----",
    model.OPENPGP: b"-----BEGIN PGP SIGNATURE-----",
}
_SECONDS = 120.0
_LARGEST = 1 << 16


def require_program(signing: Signing) -> None:
    """Raise ``BackupFailed`` when the program that signs is not here."""
    if signing.kind and adapter.program(_PROGRAM[signing.kind]) is None:
        name = _PROGRAM[signing.kind]
        raise BackupFailed(
            f"The program {name} is not here, and the manifest is to be signed by it.",
            f"Install {name}, or choose another kind of sign.",
            {"class": "tool_missing", "program": name},
        )


def sign(signing: Signing, path: str, signature: str, comment: str, deadline: Deadline) -> None:
    """Write the signature over the file *path* into the new file *signature*. Raises ``BackupFailed``.

    *comment* is signed too where the kind has one.
    """
    program = adapter.program(_PROGRAM[signing.kind]) or _PROGRAM[signing.kind]
    secret = first_line(signing.passphrase_file, "sign.passphrase_file") if signing.passphrase_file else ""
    remaining = deadline.remaining
    limit = Deadline(_SECONDS if remaining is None else min(_SECONDS, remaining))
    made = _Collected()
    with contextlib.ExitStack() as stack:
        content = stack.enter_context(open(path, "rb")).fileno()
        passphrase = stack.enter_context(nameless_file(f"{secret}\n"))
        if signing.kind == model.MINISIGN:
            argv, stdin = _minisign(signing, program, path, comment), passphrase
        elif signing.kind == model.SSH:
            argv, stdin = [program, "-Y", "sign", "-q", "-f", signing.key, "-n", signing.namespace], content
        else:
            argv, stdin = _openpgp(signing, program, passphrase if secret else -1), content
        name = _PROGRAM[signing.kind]
        source = Source(
            name,
            argv,
            environment={"SSH_ASKPASS_REQUIRE": "never"},
            descriptors=(passphrase,),
            secrets=(secret,) if secret else (),
            stdin=stdin,
        )
        source.pour(made, limit, [])
    start = made.data.find(_BEGINS[signing.kind])
    if start < 0:
        raise BackupFailed(f"{name} ended well, but made no signature.", "Run it by hand to see more.")
    with open(signature, "xb") as stream:
        stream.write(made.data[start:])


def _minisign(signing: Signing, program: str, path: str, comment: str) -> list[str]:
    # It asks for a passphrase on its output, before what it writes there.
    return [program, "-S", "-s", signing.key, "-m", path, "-x", "/dev/stdout", "-t", comment]


def _openpgp(signing: Signing, program: str, passphrase: int) -> list[str]:
    argv = [program, "--batch", "--no-tty", "--no-options", "--armor", "--local-user", signing.key]
    argv += ["--homedir", signing.homedir] if signing.homedir else []
    if passphrase >= 0:
        argv += ["--pinentry-mode", "loopback", "--passphrase-file", f"/dev/fd/{passphrase}"]
    return [*argv, "--output", "-", "--detach-sign"]


class _Collected:
    """Keeps what a program writes, which is no more than a signature."""

    def __init__(self) -> None:
        self.data = b""

    def feed(self, data: bytes) -> None:
        self.data = (self.data + data)[:_LARGEST]

    def finish(self) -> None:
        """There is nothing behind it."""
