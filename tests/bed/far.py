"""Other places for backups: an OpenSSH server with keys of its own, and an S3 store, with rclone to reach it.

The server runs in a mount namespace where it has the account that it demands; nothing of this machine is changed. The
store is moto's, in an environment of its own.
"""

from __future__ import annotations

import contextlib
import getpass
import os
import shutil
import signal
import socket
import sys
import time
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from .errors import BedError
from .ledger import Ledger, locked, of_this_process
from .packages import runs, settings_of, unpacked
from .postgres import cache_directory, free_port
from .processes import descendants, run

if TYPE_CHECKING:
    from types import TracebackType
    from typing import Self

MOTO = "moto[server]>=5.1,<6"
PATIENCE = 30.0
_NAMESPACE = """\
mount --bind "$1/passwd" /etc/passwd && mount --bind "$1/group" /etc/group &&
mount -t tmpfs tmpfs /run && mkdir -m 755 /run/sshd && shift && exec "$@"
"""


class Sshd:
    """An OpenSSH server on a loopback port, which lets one key in. A context manager.

    `home` is the directory of the account that it lets in; everything there is owned by it.
    """

    def __init__(self, folder: Path, *, ledger: Ledger | None = None) -> None:
        """`folder` is for its settings, keys and the far side's files; nothing is started yet."""
        self.folder = folder
        self.port = free_port()
        self.home = folder / "far"
        self.identity = folder / "identity"
        self.known_hosts = folder / "known_hosts"
        self._own = os.geteuid() != 0
        self.user = getpass.getuser() if self._own else "keeper"
        self._ledger = of_this_process(cache_directory()) if ledger is None else ledger
        self._name = f"sshd-{self.port}"

    def options(self) -> dict[str, Any]:
        """The option `ssh` of the module."""
        return {
            "host": "127.0.0.1",
            "port": self.port,
            "user": self.user,
            "identity_file": str(self.identity),
            "known_hosts": str(self.known_hosts),
        }

    def cut(self) -> int:
        """Kill every session that is open, as a network that goes away does; return how many processes that were."""
        sessions = descendants(self._ledger.processes[self._name].pid)
        for process in sessions:
            with contextlib.suppress(ProcessLookupError):
                os.kill(process.pid, signal.SIGKILL)
        return len(sessions)

    def stop(self) -> None:
        """Stop listening, and end all sessions."""
        self.cut()
        self._ledger.stop(self._name)

    def start(self) -> None:
        """Listen, on the same port each time."""
        home = _ssh_server()
        program = [str(home / "usr/sbin/sshd"), "-D", "-e", "-f", str(self.folder / "sshd_config")]
        argv = (
            program if self._own else ["unshare", "--mount", "sh", "-c", _NAMESPACE, "sh", str(self.folder), *program]
        )
        log = self.folder / "sshd.log"
        env = {**os.environ, **settings_of(home)}
        process = self._ledger.start(self._name, [shutil.which(argv[0]) or argv[0], *argv[1:]], log=log, env=env)
        deadline = time.monotonic() + PATIENCE
        while not _listens(self.port):
            if not process.running or time.monotonic() > deadline:
                self._ledger.stop(self._name)
                raise BedError(f"sshd did not start: {log.read_text(errors='replace')[-800:]}")
            time.sleep(0.02)

    def __enter__(self) -> Self:
        self.home.mkdir(parents=True)
        for name in ("identity", "host_key", "other_key"):
            answer = run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", self.folder / name])
            if answer.returncode != 0:
                raise BedError(f"ssh-keygen made no key: {answer.stderr.strip()}")
        host_key = (self.folder / "host_key.pub").read_text().split()
        self.known_hosts.write_text(f"[127.0.0.1]:{self.port} {host_key[0]} {host_key[1]}\n")
        shutil.copy(self.folder / "identity.pub", self.folder / "authorized_keys")
        (self.folder / "sshd_config").write_text(
            f'ListenAddress 127.0.0.1\nPort {self.port}\nHostKey "{self.folder}/host_key"\nPidFile none\nUsePAM no\n'
            f'AuthorizedKeysFile "{self.folder}/authorized_keys"\nStrictModes no\nPasswordAuthentication no\n'
            "Subsystem sftp internal-sftp\nPrintMotd no\nUseDNS no\n"
        )
        self._write_accounts()
        self.start()
        return self

    def _write_accounts(self) -> None:
        """The account that is let in, and the one that the server demands to be there."""
        own = f"{self.user}:x:{os.getuid()}:{os.getgid()}::{self.home}:/bin/sh\n"
        accounts = f"root:x:0:0:root:/root:/bin/sh\nsshd:x:65533:65534::/run/sshd:/usr/sbin/nologin\n{own}"
        (self.folder / "passwd").write_text(accounts)
        (self.folder / "group").write_text("root:x:0:\nnogroup:x:65534:\n")

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()


class ObjectStore:
    """An S3 store with one bucket, `backups`, in memory. A context manager."""

    ACCESS_KEY, SECRET_KEY = "AKIAEXAMPLEOFTHEBED1", "canary-of-the-store-Zq81"

    def __init__(self, folder: Path, *, ledger: Ledger | None = None) -> None:
        """`folder` is for its log and the configuration of rclone; nothing is started yet."""
        self.folder = folder
        self.port = free_port()
        self.config = folder / "rclone.conf"
        self._ledger = of_this_process(cache_directory()) if ledger is None else ledger
        self._name = f"s3-{self.port}"

    def __enter__(self) -> Self:
        self.folder.mkdir(parents=True, exist_ok=True)
        self.config.write_text(
            "[far]\ntype = s3\nprovider = Other\nregion = us-east-1\nforce_path_style = true\n"
            f"endpoint = http://127.0.0.1:{self.port}\n"
            f"access_key_id = {self.ACCESS_KEY}\nsecret_access_key = {self.SECRET_KEY}\n"
        )
        self.config.chmod(0o600)
        log = self.folder / "s3.log"
        argv = [_moto(cache_directory()), "-H", "127.0.0.1", "-p", str(self.port)]
        env = {key: value for key, value in os.environ.items() if not key.lower().endswith("_proxy")}
        process = self._ledger.start(self._name, argv, log=log, env=env)
        deadline = time.monotonic() + PATIENCE
        while not _listens(self.port):
            if not process.running or time.monotonic() > deadline:
                self._ledger.stop(self._name)
                raise BedError(f"the S3 store did not start: {log.read_text(errors='replace')[-800:]}")
            time.sleep(0.05)
        answer = self.rclone("mkdir", "far:backups")
        if answer.returncode != 0:
            raise BedError(f"the bucket was not made: {answer.stderr.strip()[-500:]}")
        return self

    def rclone(self, *arguments: str) -> Any:
        """Run rclone with the configuration of the store."""
        return run([rclone(), "--config", self.config, *arguments], env=without_cloud(os.environ))

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._ledger.stop(self._name)


def without_cloud(environment: Mapping[str, str]) -> dict[str, str]:
    """The environment without what it says to every client of S3, which is about another one."""
    return {name: value for name, value in environment.items() if not name.startswith(("AWS_", "RCLONE_"))}


def rclone() -> Path:
    """The rclone of this machine, or else the unpacked one of Debian."""
    here = shutil.which("rclone")
    if here is not None:
        return Path(here)
    home = unpacked("rclone", ("rclone",), cache_directory(), lambda home: runs(home, ("usr/bin/rclone", "version")))
    return home / "usr/bin/rclone"


def _ssh_server() -> Path:
    """Where the server lies: this machine's own, or an unpacked one."""
    if Path("/usr/sbin/sshd").exists():
        return Path("/")
    return unpacked(
        "sshd",
        ("openssh-server",),
        cache_directory(),
        # Without host keys it only says what it is, and that it lacks them.
        lambda home: (home / "usr/sbin/sshd").exists() and runs(home, ("usr/sbin/sshd", "-V")),
    )


def _moto(cache: Path) -> Path:
    """The program of the store, in an environment of its own below `cache`, made once."""
    home = cache / f"moto-{sys.version_info[0]}.{sys.version_info[1]}"
    program = home / "bin" / "moto_server"
    with locked(cache / ".moto.lock"):
        if program.exists() and run([program, "--help"]).returncode == 0:
            return program
        shutil.rmtree(home, ignore_errors=True)
        print(f"installing {MOTO} into the cache of the test bed", flush=True)
        for command in (
            [sys.executable, "-m", "venv", home],
            [home / "bin" / "python", "-m", "pip", "install", "--quiet", "--disable-pip-version-check", MOTO],
        ):
            answer = run(command, timeout=600)
            if answer.returncode != 0:
                raise BedError(f"moto cannot be had: {answer.stderr.strip()[-500:]}")
    return program


def _listens(port: int) -> bool:
    with socket.socket() as probe:
        probe.settimeout(1)
        return probe.connect_ex(("127.0.0.1", port)) == 0
