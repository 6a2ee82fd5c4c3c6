# Copyright (c) 2026 Upkeep maintainers
# GNU General Public License v3.0-or-later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Decrypt on the way: OpenPGP by ``gpg``, age by ``age``, what ``openssl enc`` wrote by ``openssl``.

Nothing decrypted touches the disk. A key never stands in an argument. What a program says is read from its status, not
from the words for people, wherever it has one: ``gpg`` says "bad passphrase" when the key is missing.
"""

from __future__ import annotations

from ansible_collections.cadence.upkeep.plugins.module_utils._backup import adapter, detect
from ansible_collections.cadence.upkeep.plugins.module_utils._backup.containers import Damage, Report, Sink
from ansible_collections.cadence.upkeep.plugins.module_utils._backup.gpghome import GpgHome
from ansible_collections.cadence.upkeep.plugins.module_utils._backup.model import VALUES, Decrypt, Problem
from ansible_collections.cadence.upkeep.plugins.module_utils._backup.pipes import Ended, Piped
from ansible_collections.cadence.upkeep.plugins.module_utils._core.units import format_size

OPENPGP, AGE, OPENSSL = "openpgp", "age", "openssl-enc"
ENCRYPTED = frozenset((OPENPGP, AGE, OPENSSL))

_LONGEST_PASSPHRASE = 4096
_TAIL = 200
_STREAMS = frozenset(("ctr", "cfb", "cfb1", "cfb8", "ofb", "chacha20", "rc4"))
_OF_EIGHT = ("des", "bf", "blowfish", "cast", "rc2", "rc5", "idea")


def decrypted(name: str, decrypt: Decrypt, report: Report, sink: Sink) -> Sink:
    """Return the sink that decrypts format *name* into *sink*, or, without a key, judges what shows without one."""
    if name == OPENPGP:
        return _OpenPgp(decrypt, report, sink)
    return _Age(decrypt, report, sink) if name == AGE else _OpenSsl(decrypt, report, sink)


def _require_program(name: str, layer: str) -> str:
    path = adapter.program(name)
    if path is None:
        what = f"cannot be decrypted: the program {name} is not here"
        raise Damage(Problem("backup.tool_missing", layer, what, evidence={"program": name}))
    return path


def _secret_in(path: str, layer: str) -> bytes:
    """Return the first line of the file *path*."""
    try:
        with open(path, "rb") as stream:
            line = stream.read(_LONGEST_PASSPHRASE).split(b"\n", 1)[0].rstrip(b"\r")
    except OSError as error:
        raise _no_key(layer, f"the passphrase file {path} cannot be read ({error.strerror})") from error
    if not line:
        raise _no_key(layer, f"the passphrase file {path} is empty")
    return line + b"\n"


def _no_key(layer: str, why: str, unknown: bool = False) -> Damage:
    return Damage(Problem("backup.no_key", layer, f"cannot be decrypted: {why}", unknown=unknown))


def _wrong_key(layer: str, why: str) -> Damage:
    return Damage(Problem("backup.wrong_key", layer, f"cannot be decrypted: {why}"))


def _corrupt(layer: str, how: str, size: int) -> Damage:
    return Damage(Problem("backup.corrupt", layer, f"is damaged: {how}", size, evidence={"decoder": how}))


def _truncated(layer: str, size: int) -> Damage:
    what = f"ends after {format_size(size)}, before the end of its {layer} stream"
    return Damage(Problem("backup.truncated", layer, what, size))


class _Encrypted:
    """What the three have in common: bytes are counted, and go to a program when there is a key for it."""

    layer = ""
    armor_end = b""

    def __init__(self, report: Report) -> None:
        self._report = report
        self._pipe: Piped | None = None
        self._size = 0
        self._head = b""
        self._tail = b""

    def feed(self, data: bytes) -> None:
        self._size += len(data)
        if len(self._head) < _TAIL:
            self._head += data[: _TAIL - len(self._head)]
        self._tail = (self._tail + data[-_TAIL:])[-_TAIL:]
        self._look(data)
        if self._pipe is not None:
            self._pipe.feed(data)

    def _look(self, data: bytes) -> None:
        """See what shows without a key."""

    @property
    def _is_cut_armor(self) -> bool:
        return self._head.startswith(b"-----BEGIN ") and not self._tail.rstrip().endswith(self.armor_end)

    def finish(self) -> None:
        self._require_end()
        if self._pipe is None:
            raise self._without_key()
        self._pipe.finish()

    def _require_end(self) -> None:
        if self._is_cut_armor:
            raise _truncated(self.layer, self._size)

    def _without_key(self) -> Damage:
        raise NotImplementedError


class _OpenPgp(_Encrypted):
    layer = OPENPGP
    armor_end = b"-----END PGP MESSAGE-----"

    def __init__(self, decrypt: Decrypt, report: Report, sink: Sink) -> None:
        super().__init__(report)
        self._packets = Packets()
        if decrypt.gpg_homedir or decrypt.passphrase_file:
            self._home = GpgHome(decrypt.gpg_homedir)
            report.opened.append(self._home)
            self._pipe = self._open(decrypt, sink)

    def _open(self, decrypt: Decrypt, sink: Sink) -> Piped:
        argv = [
            *(_require_program("gpg", OPENPGP), "--batch", "--no-tty", "--no-options", "--homedir", self._home.path),
            *("--trust-model", "always", "--no-auto-check-trustdb", "--no-auto-key-retrieve", "--no-random-seed-file"),
            *("--lock-never", "--pinentry-mode", "loopback", "--status-fd", "{extra}"),
        ]
        secrets = {}
        if decrypt.passphrase_file:
            secrets["passphrase"] = _secret_in(decrypt.passphrase_file, OPENPGP)
            argv += ["--passphrase-fd", "{passphrase}"]
        return Piped(OPENPGP, [*argv, "--decrypt"], self._report, sink, self._judge, secrets)

    def _look(self, data: bytes) -> None:
        self._packets.feed(data)

    def _require_end(self) -> None:
        super()._require_end()
        if not self._head.startswith(b"-----BEGIN ") and not self._packets.ended:
            raise _truncated(OPENPGP, self._size)

    def _without_key(self) -> Damage:
        return _no_key(OPENPGP, "no key ring was named for it (decrypt.gpg_homedir)", unknown=True)

    def _judge(self, ended: Ended) -> None:
        words = [line.split()[1:] for line in ended.extra.splitlines() if line.startswith("[GNUPG:] ")]
        said = {line[0] for line in words if line}
        errors = [line for line in words if line and line[0] == "ERROR"]
        if "DECRYPTION_OKAY" in said and "BADMDC" not in said and ended.status == 0:
            aead = any(line[0] == "DECRYPTION_INFO" and line[3:4] not in ([], ["0"]) for line in words if line)
            if "GOODMDC" in said or aead:
                self._report.covered = True
            else:
                _note_unauthenticated(self._report, OPENPGP, "it has no integrity protection")
            return
        # 11 is GPG_ERR_BAD_PASSPHRASE, in the low 16 bits.
        numbers = [part for line in errors for part in line[2:] if part.isdigit()]
        if "BAD_PASSPHRASE" in ended.extra or any(int(number) & 0xFFFF == 11 for number in numbers):
            raise _wrong_key(OPENPGP, "the passphrase is another")
        if "DECRYPTION_INFO" not in said and "NO_SECKEY" in said:
            raise _no_key(OPENPGP, "the key ring has none of the secret keys that it is encrypted for")
        if "DECRYPTION_INFO" not in said and "INQUIRE_MAXLEN" in said:
            raise _no_key(OPENPGP, "the key is locked by a passphrase and none was given (decrypt.passphrase_file)")
        raise _corrupt(OPENPGP, "BADMDC" if "BADMDC" in said else ended.last_words, self._size)


class _Age(_Encrypted):
    layer = AGE
    armor_end = b"-----END AGE ENCRYPTED FILE-----"

    def __init__(self, decrypt: Decrypt, report: Report, sink: Sink) -> None:
        super().__init__(report)
        self._identity = decrypt.age_identity_file
        if decrypt.age_identity_file:
            argv = [_require_program("age", AGE), "--decrypt", "--identity", decrypt.age_identity_file]
            self._pipe = Piped(AGE, argv, report, sink, self._judge)

    def _without_key(self) -> Damage:
        return _no_key(AGE, "no identity was named for it (decrypt.age_identity_file)", unknown=True)

    def _judge(self, ended: Ended) -> None:
        if ended.status == 0:
            self._report.covered = True
            return
        said = ended.errors.lower()
        if "no identity matched" in said or "no matching keys" in said or "incorrect passphrase" in said:
            raise _wrong_key(AGE, "the identity is none of those that it is encrypted for")
        if "identity file" in said or "reading " in said or "no identities found" in said or "malformed secret" in said:
            raise _no_key(AGE, f"the identity file {self._identity} cannot be used")  # age may quote a part of the key
        if "eof" in said.split() or "unexpected eof" in said or "last chunk is empty" in said:
            raise _truncated(AGE, self._size)
        if "authenticate" in said:
            raise _corrupt(AGE, "a part of it does not authenticate: it was cut, or changed", self._size)
        raise _corrupt(AGE, ended.last_words, self._size)


class _OpenSsl(_Encrypted):
    layer = OPENSSL

    def __init__(self, decrypt: Decrypt, report: Report, sink: Sink) -> None:
        super().__init__(report)
        how = decrypt.openssl
        self._block = _block_of(how.cipher) if how is not None else 1
        _note_unauthenticated(report, OPENSSL, "openssl enc writes none")
        if how is not None:
            argv = [
                *(_require_program("openssl", OPENSSL), "enc", "-d", f"-{how.cipher}", "-md", how.digest),
                *(["-pbkdf2", "-iter", str(how.iterations)] if how.kdf == "pbkdf2" else []),
                *("-pass", "fd:{passphrase}"),
            ]
            secrets = {"passphrase": _secret_in(how.pass_file, OPENSSL)}
            self._pipe = Piped(OPENSSL, argv, report, sink, self._judge, secrets)

    def _require_end(self) -> None:
        if self._size % self._block:
            raise _truncated(OPENSSL, self._size)

    def _without_key(self) -> Damage:
        return _no_key(OPENSSL, "nothing in it says how: name cipher and pass_file (decrypt.openssl)", unknown=True)

    def _judge(self, ended: Ended) -> None:
        if ended.status == 0:
            return
        if "bad decrypt" in ended.errors and detect.detect(ended.head) not in (detect.UNKNOWN, detect.TEXT):
            raise _corrupt(OPENSSL, "its last block does not decrypt: it was cut, or changed", self._size)
        if "bad decrypt" in ended.errors:
            raise _wrong_key(OPENSSL, "the passphrase or the cipher is another")
        raise _corrupt(OPENSSL, ended.last_words, self._size)


def _block_of(cipher: str) -> int:
    """Return of how many bytes the blocks of *cipher* are: what a stream cipher makes may have any length."""
    if cipher in _STREAMS or cipher.rpartition("-")[2] in _STREAMS:
        return 1
    return 8 if cipher.startswith(_OF_EIGHT) else 16


def _note_unauthenticated(report: Report, layer: str, why: str) -> None:
    what = f"is encrypted without a check value ({why}), so that a changed byte decrypts to other content unnoticed"
    report.problems.append(Problem("backup.unauthenticated_encryption", layer, what, fatal=False))
    report.unproven.add(VALUES)


class Packets:
    """Walks the packets of a binary OpenPGP message by their lengths: ``ended`` says whether the last one is whole."""

    def __init__(self) -> None:
        self._buffer = b""
        self._left = 0  # of the body, or of this part of it
        self._partial = False
        self._open_end = False  # the body goes on to the end of the file, whatever that is
        self.broken = False

    @property
    def ended(self) -> bool:
        return self._open_end or self.broken or not (self._buffer or self._left or self._partial)

    def feed(self, data: bytes) -> None:
        if self._open_end or self.broken:
            return
        data = self._buffer + data
        self._buffer = b""
        at = 0
        while at < len(data):
            step = min(self._left, len(data) - at)
            at += step
            self._left -= step
            if self._left or at >= len(data):
                break
            used = self._length(data, at) if self._partial else self._header(data, at)
            if not used:
                self._buffer = data[at:]
                return
            at += used

    def _header(self, data: bytes, at: int) -> int:
        """Read the tag and the length at *at*; return how many bytes they take, 0 when not all are there."""
        tag = data[at]
        if not tag & 0x80:
            self.broken = True  # the program will say what is wrong
            return len(data) - at
        if tag & 0x40:
            used = self._length(data, at + 1)
            return used + 1 if used else 0
        size = (1, 2, 4, 0)[tag & 3]
        if not size:
            self._open_end = True
        elif len(data) - at - 1 < size:
            return 0
        self._left = int.from_bytes(data[at + 1 : at + 1 + size], "big")
        return 1 + size

    def _length(self, data: bytes, at: int) -> int:
        """Read a length of the new form at *at*; return how many bytes it takes, 0 when not all are there."""
        if at >= len(data):
            return 0
        first = data[at]
        size = 1 if first < 192 or 224 <= first < 255 else 2 if first < 224 else 5
        if len(data) - at < size:
            return 0
        self._partial = 224 <= first < 255
        if self._partial:
            self._left = 1 << (first & 0x1F)
        elif size == 1:
            self._left = first
        else:
            self._left = (
                (first - 192 << 8) + data[at + 1] + 192 if size == 2 else int.from_bytes(data[at + 1 : at + 5], "big")
            )
        return size
