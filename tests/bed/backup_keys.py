"""Keys to encrypt and sign backups with: OpenPGP, age, minisign, passphrases. Nobody else's key ring is used."""

from __future__ import annotations

import os
import secrets
import shutil
import subprocess
import tempfile
from collections.abc import Mapping
from pathlib import Path
from types import TracebackType
from typing import Self

from .backup_tools import environment
from .errors import BedError
from .postgres import cache_directory

OWNER, OTHER, EXPIRED, LOCKED = "owner@shop.test", "other@shop.test", "expired@shop.test", "locked@shop.test"


class Keys:
    """A context manager. `gpg` is a home with the secret keys of OWNER, EXPIRED and LOCKED, `empty` one without any.

    `gpg_other` has the one of OTHER alone. `passphrase` is that of LOCKED, and what is encrypted with a passphrase.
    Its home has a short path: the agent of gpg listens on a socket in it.
    """

    def __init__(self) -> None:
        self.root = Path()
        self.passphrase = f"canary-{secrets.token_hex(12)}"
        self.environment: Mapping[str, str] = {}

    def __enter__(self) -> Self:
        self.root = Path(tempfile.mkdtemp(prefix="upkeep-keys-"))
        self.environment = {**os.environ, **environment(cache_directory())}
        for name in ("gpg", "gpg_other", "empty"):
            (self.root / name).mkdir(mode=0o700)
        for home, who, more in (
            (self.gpg, OWNER, ["never"]),
            (self.gpg, EXPIRED, ["seconds=100000"]),
            (self.gpg, LOCKED, ["never"]),
            (self.gpg_other, OTHER, ["never"]),
        ):
            self._generate(home, who, more[0])
        for name in ("age", "age-other"):
            self.run("age-keygen", "-o", str(self.root / f"{name}.key"))
        self.run("minisign", "-G", "-W", "-p", str(self.root / "minisign.pub"), "-s", str(self.root / "minisign.key"))
        self.secret("passphrase", self.passphrase)
        self.secret("wrong", "another one")
        self.rest()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.rest()
        shutil.rmtree(self.root, ignore_errors=True)

    def rest(self) -> None:
        """End the agents of gpg, and with them the passphrases that they remember."""
        for home in (self.gpg, self.gpg_other, self.root / "empty"):
            subprocess.run(["gpgconf", "--homedir", str(home), "--kill", "all"], check=False, capture_output=True)

    @property
    def gpg(self) -> Path:
        return self.root / "gpg"

    @property
    def gpg_other(self) -> Path:
        return self.root / "gpg_other"

    def secret(self, name: str, text: str) -> Path:
        """A file that only we may read."""
        path = self.root / name
        path.touch(mode=0o600)
        path.write_text(f"{text}\n")
        return path

    def run(self, *argv: str, stdin: bytes = b"") -> bytes:
        """Raises BedError with what the program said."""
        ended = subprocess.run(argv, input=stdin, env=dict(self.environment), capture_output=True, check=False)
        if ended.returncode != 0:
            raise BedError(f"{argv[0]} ended with {ended.returncode}: {ended.stderr.decode(errors='replace').strip()}")
        return ended.stdout

    def _generate(self, home: Path, who: str, expires: str) -> None:
        """An expired key was valid for a while in the year 2001: gpg believes the time that it is told."""
        then = ["--faked-system-time", "1000000000"] if expires != "never" else []
        locked = self.passphrase if who == LOCKED else ""
        common = ["gpg", "--homedir", str(home), "--batch", "-q", "--pinentry-mode", "loopback", *then]
        self.run(*common, "--passphrase", locked, "--quick-generate-key", who, "ed25519", "sign", expires)
        listed = self.run(*common, "--with-colons", "--list-keys", who).decode()
        fingerprint = next(line.split(":")[9] for line in listed.splitlines() if line.startswith("fpr:"))
        self.run(*common, "--passphrase", locked, "--quick-add-key", fingerprint, "cv25519", "encr", expires)

    # --- encrypting, as a job would

    def gpg_encrypted(self, data: bytes, who: str = OWNER, *more: str) -> bytes:
        home = self.gpg_other if who == OTHER else self.gpg
        then = ["--faked-system-time", "1000000100"] if who == EXPIRED else []
        argv = ["gpg", "--homedir", str(home), "--batch", "-q", "--trust-model", "always", *then, *more]
        encrypted = self.run(*argv, "-r", who, "--encrypt", stdin=data)
        self.rest()
        return encrypted

    def gpg_symmetric(self, data: bytes, *more: str) -> bytes:
        argv = ["gpg", "--homedir", str(self.root / "empty"), "--batch", "-q", "--pinentry-mode", "loopback", *more]
        return self.run(*argv, "--passphrase-file", str(self.root / "passphrase"), "--symmetric", stdin=data)

    def age_encrypted(self, data: bytes, *more: str, name: str = "age") -> bytes:
        public = self.run("age-keygen", "-y", str(self.root / f"{name}.key")).decode().strip()
        return self.run("age", "-r", public, *more, stdin=data)

    def openssl_encrypted(self, data: bytes, *more: str) -> bytes:
        argv = ["openssl", "enc", "-aes-256-cbc", *(more or ("-pbkdf2",)), "-pass", f"file:{self.root}/passphrase"]
        return self.run(*argv, stdin=data)

    # --- signing

    def minisign(self, path: Path) -> Path:
        """`PATH.minisig`."""
        self.run("minisign", "-S", "-s", str(self.root / "minisign.key"), "-m", str(path))
        return path.with_name(f"{path.name}.minisig")

    @property
    def minisign_public(self) -> str:
        return (self.root / "minisign.pub").read_text().splitlines()[1]

    def gpg_sign(self, path: Path, who: str = OWNER) -> Path:
        """`PATH.asc`, detached."""
        home = self.gpg_other if who == OTHER else self.gpg
        then = ["--faked-system-time", "1000000100"] if who == EXPIRED else []
        out = path.with_name(f"{path.name}.asc")
        argv = ["gpg", "--homedir", str(home), "--batch", "-q", "--yes", *then, "-u", who, "--armor"]
        self.run(*argv, "--output", str(out), "--detach-sign", str(path))
        self.rest()
        return out
