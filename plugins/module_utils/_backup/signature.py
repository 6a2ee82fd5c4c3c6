# Copyright (c) 2026 Upkeep maintainers
# GNU General Public License v3.0-or-later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Verify the signature over a manifest, a list of digests or a backup: minisign, OpenSSH or OpenPGP.

minisign is verified here; the others by ``ssh-keygen`` and ``gpg``, against the signers that were named and no others:
a key that happens to lie in somebody's key ring proves nothing.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import os
import stat

from ansible_collections.cadence.upkeep.plugins.module_utils._backup import adapter, ed25519
from ansible_collections.cadence.upkeep.plugins.module_utils._backup.model import Signed, Signers
from ansible_collections.cadence.upkeep.plugins.module_utils._core.command import run
from ansible_collections.cadence.upkeep.plugins.module_utils._core.errors import UpkeepError

MINISIGN, SSH, OPENPGP = "minisign", "ssh", "openpgp"
SUFFIXES = {".minisig": MINISIGN, ".sig": SSH, ".asc": OPENPGP, ".gpgsig": OPENPGP}

_LARGEST = 1 << 16
_LARGEST_SIGNED = 64 << 20  # of what ssh-keygen is given by a pipe
_CHUNK = 1 << 20


def find(names: set[str], directory: str, basename: str) -> tuple[str, str] | None:
    """Return the path of the signature over *basename* among *names* of *directory*, and its kind."""
    for suffix, kind in SUFFIXES.items():
        if basename + suffix in names:
            return os.path.join(directory, basename + suffix), kind
    return None


def verify(path: str, signature: str, kind: str, signers: Signers, seconds: float) -> Signed:
    """Return whether *signature*, of that *kind*, is one over the file *path* by one of *signers*."""
    try:
        content = _content_of(signature)
    except OSError as error:
        return Signed(signature, path, kind, None, why=f"cannot be read: {error.strerror}")
    if kind == SSH and not content.startswith(b"-----BEGIN SSH SIGNATURE-----"):
        kind = OPENPGP  # as `gpg --detach-sign` names it too
    try:
        if kind == MINISIGN:
            return _minisign(path, signature, content, signers)
        return (_ssh if kind == SSH else _openpgp)(path, signature, signers, seconds)
    except OSError as error:
        return Signed(signature, path, kind, None, why=f"cannot be verified: {error.strerror}")
    except UpkeepError as error:
        return Signed(signature, path, kind, None, why=f"cannot be verified: {error.message}")


def _content_of(path: str) -> bytes:
    with open(os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC), "rb") as stream:
        if not stat.S_ISREG(os.fstat(stream.fileno()).st_mode):
            raise OSError(0, "it is not a regular file")
        return stream.read(_LARGEST)


# --- minisign


def _minisign(path: str, signature: str, content: bytes, signers: Signers) -> Signed:
    def told(valid: bool | None, why: str, by: str = "") -> Signed:
        return Signed(signature, path, MINISIGN, valid, by, why)

    if not signers.minisign:
        return told(None, "cannot be verified: no minisign key was named (signers.minisign)")
    lines = content.decode("utf-8", "replace").splitlines()
    try:
        packet, whole = base64.b64decode(lines[1], validate=True), base64.b64decode(lines[3], validate=True)
        trusted = lines[2].split("trusted comment: ", 1)[1]
    except (IndexError, binascii.Error, ValueError):
        return told(False, "is not a signature of minisign")
    if len(packet) != 74 or len(whole) != 64 or packet[:2] not in (b"Ed", b"ED"):
        return told(False, "is not a signature of minisign")
    keys = [key for key in map(minisign_key, signers.minisign) if key is not None and key[2:10] == packet[2:10]]
    message = (_hash_of(path) if packet[:2] == b"ED" else _all_of(path)) if keys else b""
    by = f"{int.from_bytes(packet[2:10], 'little'):016X}"
    for key in keys:
        good = ed25519.verify(key[10:], message, packet[10:])
        if good and ed25519.verify(key[10:], packet[10:] + trusted.encode(), whole):
            return told(True, "", by)
    if keys:
        return told(False, "is not over what is there now", by)
    return told(False, "is by another key than the ones that were named")


def minisign_key(text: str) -> bytes | None:
    """Return the 42 bytes of a public key of minisign; ``None`` when *text* is none."""
    try:
        key = base64.b64decode(text.strip().splitlines()[-1], validate=True)
    except (IndexError, binascii.Error, ValueError):
        return None
    return key if len(key) == 42 and key[:2] == b"Ed" else None


def _hash_of(path: str) -> bytes:
    digest = hashlib.blake2b()
    with open(path, "rb") as stream:
        for chunk in iter(lambda: stream.read(_CHUNK), b""):
            digest.update(chunk)
    return digest.digest()


def _all_of(path: str) -> bytes:
    """The signatures of old are over all of a file, which has to be in memory then."""
    with open(path, "rb") as stream:
        content = stream.read(_LARGEST_SIGNED + 1)
    if len(content) > _LARGEST_SIGNED:
        raise OSError(0, "the file is too large for a signature of this kind: sign it anew (minisign -H)")
    return content


# --- OpenSSH and OpenPGP


def _ssh(path: str, signature: str, signers: Signers, seconds: float) -> Signed:
    def told(valid: bool | None, why: str, by: str = "") -> Signed:
        return Signed(signature, path, SSH, valid, by, why)

    program = adapter.program("ssh-keygen")
    if not signers.ssh_allowed_signers:
        return told(None, "cannot be verified: no list of signers was named (signers.ssh_allowed_signers)")
    if program is None:
        return told(None, "cannot be verified: the program ssh-keygen is not here")
    identity = signers.ssh_identity
    allowed = ["-f", signers.ssh_allowed_signers]
    if not identity:
        found = run([program, "-Y", "find-principals", "-s", signature, *allowed], seconds)
        if found.status != 0:
            return told(False, "is by nobody in the list of signers")
        identity = found.output.split("\n")[0].strip()
    argv = [program, "-Y", "verify", *allowed, "-I", identity, "-n", signers.ssh_namespace, "-s", signature]
    ended = run(argv, seconds, stdin=_all_of(path))
    if ended.status == 0:
        return told(True, "", identity)
    return told(False, f"is not valid: {(ended.errors or ended.output).strip().splitlines()[-1][:200]}", identity)


def _openpgp(path: str, signature: str, signers: Signers, seconds: float) -> Signed:
    def told(valid: bool | None, why: str, by: str = "") -> Signed:
        return Signed(signature, path, OPENPGP, valid, by, why)

    program = adapter.program("gpg")
    if not signers.gpg_homedir:
        return told(None, "cannot be verified: no key ring was named (signers.gpg_homedir)")
    if program is None:
        return told(None, "cannot be verified: the program gpg is not here")
    argv = [program, "--batch", "--no-tty", "--no-options", "--homedir", signers.gpg_homedir, "--trust-model", "always"]
    argv += ["--no-auto-check-trustdb", "--no-auto-key-retrieve", "--lock-never", "--status-fd", "1"]
    said = [line.split()[1:] for line in run([*argv, "--verify", signature, path], seconds).output.splitlines()]
    words = {line[0]: line for line in said if line}
    if "VALIDSIG" in words and "GOODSIG" in words and "REVKEYSIG" not in words:
        valid = words["VALIDSIG"]
        by = {valid[1].upper(), valid[-1].upper()}  # the key that signed, and the one that it belongs to
        wanted = {text.replace(" ", "").upper() for text in signers.gpg_fingerprints}
        if wanted and not by & wanted:
            return told(False, "is by another key than the ones that were named", valid[-1])
        return told(True, "", valid[-1])
    if "NO_PUBKEY" in words:
        return told(False, "is by a key that the key ring does not have")
    reasons = {"EXPKEYSIG": "is by a key that has expired", "REVKEYSIG": "is by a key that was revoked"}
    why = next((reason for word, reason in reasons.items() if word in words), "is not over what is there now")
    return told(False, why)
