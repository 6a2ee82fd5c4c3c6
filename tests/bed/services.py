"""Debian's own servers that speak TLS, each as an instance of ours: nginx, slapd, mariadb, vsftpd, exim, dovecot.

The packages of the first five are downloaded with apt-get and unpacked into a directory of the bed: nothing is
installed. dovecot only works from where its packages put it, so that root installs those, as the bed does with other
things; no service of the machine is started by that. All run as an ordinary account, with settings, ports and
directories of their own, and are stopped by their pids. exim has the name of its account compiled in: root starts it
where a mount that nobody else sees lends that name to the ordinary one.
"""

from __future__ import annotations

import contextlib
import os
import secrets
import shutil
import socket
import subprocess
import time
from collections.abc import Sequence
from pathlib import Path
from types import TracebackType
from typing import Self

from .accounts import base_directory, server_account
from .binaries import install_packages
from .errors import BedError
from .ledger import Ledger, locked, of_this_process
from .postgres import cache_directory
from .processes import run
from .tls import Authority, Issued

UNPACKED = ("nginx-light", "slapd", "mariadb-server-core", "vsftpd", "exim4-daemon-light")
EXIM = "Debian-exim"
DOVECOT = Path("/usr/lib/dovecot/managesieve-login")
DOVECOT_PACKAGES = (
    "dovecot-imapd", "dovecot-pop3d", "dovecot-lmtpd", "dovecot-submissiond", "dovecot-managesieved",
)  # fmt: skip
NO_START = Path("/usr/sbin/policy-rc.d")
NAME = "localhost"
PATIENCE = 60.0


class Services:
    """All of the servers, in one directory, with one certificate for `localhost`. A context manager."""

    def __init__(self, authority: Authority, *, ledger: Ledger | None = None) -> None:
        """Nothing is downloaded or started yet."""
        self.authority = authority
        self.ports: dict[str, int] = {}
        self._ledger = of_this_process(cache_directory()) if ledger is None else ledger
        self._account = server_account()
        self.home = Path()

    def __enter__(self) -> Self:
        """Bring the packages and make the certificate; servers are started one by one."""
        if shutil.which("apt-get") is None:
            raise BedError("these servers come from Debian's packages, and this machine has no apt-get")
        self.home = self._ledger.make_directory(base_directory(self._account))
        self._root = self.home / "root"
        _unpack(self._root, cache_directory() / "debian")
        self.renew(days=40)
        (self.home / "ca.pem").write_bytes(self.authority.certificate_pem)
        self._account.give(self.home, self.home / "ca.pem")
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Stop all that was started, and remove the directory."""
        for name in list(self.ports):
            self._ledger.stop(name)
        self._ledger.remove_directory(self.home)

    @property
    def ca_path(self) -> str:
        """The authority of the certificate."""
        return str(self.home / "ca.pem")

    @property
    def live(self) -> Path:
        """The file that every server reads its certificate from."""
        return self.home / "live.pem"

    def renew(self, days: float) -> Issued:
        """Put a fresh certificate in the place that the servers read; none of them is told."""
        issued = self.authority.issue(NAME, names=[NAME, "127.0.0.1"], days=days)
        _chain, key = issued.write(self.home, "live")
        self._account.give(self.live, key)
        return issued

    def nginx(self) -> int:
        """Start nginx with one HTTPS server that sends HSTS; its port."""
        port = quiet_port()
        folder = self._folder("nginx")
        (folder / "nginx.conf").write_text(
            f"daemon off; pid {folder}/pid; error_log {folder}/error.log;\n"
            "events {}\n"
            f"http {{ access_log off; client_body_temp_path {folder}/a; proxy_temp_path {folder}/b;\n"
            f"fastcgi_temp_path {folder}/c; uwsgi_temp_path {folder}/d; scgi_temp_path {folder}/e;\n"
            f"server {{ listen 127.0.0.1:{port} ssl; ssl_protocols TLSv1.2 TLSv1.3;\n"
            f"ssl_certificate {self.live}; ssl_certificate_key {self.home}/live.key;\n"
            'add_header Strict-Transport-Security "max-age=31536000" always;\n'
            'location / { return 200 "ok"; } } }\n'
        )
        program = self._root / "usr/sbin/nginx"
        self._start("nginx", [program, "-p", folder, "-c", folder / "nginx.conf", "-e", folder / "error.log"], port)
        return port

    def reload_nginx(self) -> None:
        """Tell nginx to read its certificate again, and wait until its old worker is gone."""
        process = self._ledger.processes["nginx"]
        os.kill(process.pid, 1)

    def dovecot(self) -> dict[str, int]:
        """Start dovecot; the ports of imap, pop3, lmtp, smtp (submission) and sieve."""
        _install_dovecot()
        ports = {name: quiet_port() for name in ("imap", "pop3", "lmtp", "smtp", "sieve")}
        folder, user = self._folder("dovecot"), self._account_name()
        listeners = {
            "imap": "imap-login",
            "pop3": "pop3-login",
            "smtp": "submission-login",
            "sieve": "managesieve-login",
        }
        inner = {"smtp": "submission"}
        services = "".join(
            f"service {service} {{\n chroot =\n inet_listener {inner.get(name, name)} {{\n port = {ports[name]}\n }}\n"
            + (f" inet_listener {name}s {{\n port = 0\n }}\n" if name in ("imap", "pop3") else "")
            + (" inet_listener submissions {\n port = 0\n }\n" if name == "smtp" else "")
            + "}\n"
            for name, service in listeners.items()
        )
        (folder / "dovecot.conf").write_text(
            "protocols = imap pop3 lmtp submission sieve\nlisten = 127.0.0.1\n"
            f"base_dir = {folder}/run\nstate_dir = {folder}/state\nlog_path = {folder}/log\n"
            f"default_internal_user = {user}\ndefault_internal_group = {self._group()}\ndefault_login_user = {user}\n"
            f"hostname = {NAME}\nsubmission_relay_host = 127.0.0.1\n"
            f"ssl = yes\nssl_cert = <{self.live}\nssl_key = <{self.home}/live.key\nssl_dh =\n"
            "disable_plaintext_auth = no\npassdb {\n driver = static\n args = nopassword=y\n}\n"
            f"userdb {{\n driver = static\n args = uid={user} gid={self._group()} home={folder}/mail\n}}\n"
            f"service anvil {{\n chroot =\n}}\nservice stats {{\n chroot =\n}}\n{services}"
            f"service lmtp {{\n inet_listener lmtp {{\n address = 127.0.0.1\n port = {ports['lmtp']}\n }}\n"
            f" user = {user}\n}}\n"
        )
        self._start("dovecot", ["/usr/sbin/dovecot", "-F", "-c", folder / "dovecot.conf"], *ports.values())
        return ports

    def slapd(self) -> int:
        """Start OpenLDAP with an empty database; its port."""
        port, folder = quiet_port(), self._folder("slapd")
        (folder / "data").mkdir()
        (folder / "slapd.conf").write_text(
            f"modulepath {self._root}/usr/lib/ldap\nmoduleload back_mdb\n"
            f"include {self._root}/etc/ldap/schema/core.schema\n"
            f"TLSCertificateFile {self.live}\nTLSCertificateKeyFile {self.home}/live.key\n"
            f"TLSCACertificateFile {self.ca_path}\n"
            f'database mdb\nsuffix "dc=example,dc=org"\ndirectory {folder}/data\nmaxsize 1048576\n'
        )
        argv = [
            self._root / "usr/sbin/slapd",
            "-d",
            "0",
            "-f",
            folder / "slapd.conf",
            "-h",
            f"ldap://127.0.0.1:{port}/",
        ]
        self._start("slapd", argv, port)
        return port

    def mariadb(self) -> int:
        """Start MariaDB without privilege tables; its port."""
        port, folder = quiet_port(), self._folder("mariadb")
        (folder / "data").mkdir()
        self._account.give(folder / "data")
        self._start(
            "mariadb",
            [
                self._root / "usr/sbin/mariadbd", "--no-defaults", f"--datadir={folder}/data", "--skip-grant-tables",
                "--skip-networking=0", "--bind-address=127.0.0.1", f"--port={port}", f"--socket={folder}/socket",
                f"--pid-file={folder}/pid", f"--lc-messages-dir={self._root}/usr/share/mysql", "--innodb=OFF",
                "--default-storage-engine=MyISAM", "--default-tmp-storage-engine=MyISAM", f"--tmpdir={folder}",
                f"--plugin-dir={self._root}/usr/lib/mysql/plugin", f"--ssl-cert={self.live}",
                f"--ssl-key={self.home}/live.key", f"--character-sets-dir={self._root}/usr/share/mysql/charsets",
            ],
            port,
        )  # fmt: skip
        return port

    def vsftpd(self) -> int:
        """Start vsftpd; its port."""
        port, folder = quiet_port(), self._folder("vsftpd")
        (folder / "empty").mkdir()
        path = folder / "vsftpd.conf"
        path.write_text(
            f"listen=YES\nbackground=NO\nlisten_address=127.0.0.1\nlisten_port={port}\nrun_as_launching_user=YES\n"
            f"anonymous_enable=YES\nlocal_enable=NO\nsecure_chroot_dir={folder}/empty\nseccomp_sandbox=NO\n"
            f"ftp_username={self._account_name()}\nnopriv_user={self._account_name()}\n"
            f"ssl_enable=YES\nallow_anon_ssl=YES\nrsa_cert_file={self.live}\nrsa_private_key_file={self.home}/live.key\n"
            "require_ssl_reuse=NO\nssl_ciphers=HIGH\nvsftpd_log_file=/dev/null\nxferlog_enable=NO\n"
        )
        self._account.give(path)
        self._start("vsftpd", [self._root / "usr/sbin/vsftpd", path], port)
        return port

    def exim(self) -> int:
        """Start exim, which accepts no mail; its port."""
        if self._account.ids is None:
            raise BedError("exim wants an account of its own, and only root can lend it one: run the test as root")
        port, folder = quiet_port(), self._folder("exim")
        uid, gid = self._account.ids
        for place, line in (("passwd", f"{EXIM}:x:{uid}:{gid}::/:/bin/false"), ("group", f"{EXIM}:x:{gid}:")):
            others = [entry for entry in Path("/etc", place).read_text().splitlines() if not entry.startswith(EXIM)]
            (folder / place).write_text("\n".join([*others, line, ""]))
        for place in ("spool", "log"):
            (folder / place).mkdir()
        (folder / "exim.conf").write_text(
            f"primary_hostname = {NAME}\nspool_directory = {folder}/spool\nlog_file_path = {folder}/log/%s\n"
            f"pid_file_path = {folder}/pid\nlocal_interfaces = 127.0.0.1\ndaemon_smtp_ports = {port}\n"
            f"keep_environment =\ntls_advertise_hosts = *\ntls_certificate = {self.live}\n"
            f"tls_privatekey = {self.home}/live.key\n"
        )
        lend = "".join(f'mount --bind "{folder}/{place}" /etc/{place} && ' for place in ("passwd", "group"))
        server = f'exec "{self._root}/usr/sbin/exim4" -bdf -C "{folder}/exim.conf"'
        argv = ["/usr/bin/unshare", "--mount", "--propagation=private"]
        self._start("exim", [*argv, "sh", "-c", lend + server], port, as_root=True)
        return port

    def _start(self, name: str, argv: Sequence[str | Path], *ports: int, as_root: bool = False) -> None:
        self._give(self.home / name)
        if as_root:  # a file of settings that another account may write is none to exim
            os.chown(self.home / name / f"{name}.conf", 0, 0)
        env = {
            "PATH": f"{self._root}/usr/sbin:{self._root}/usr/bin:/usr/sbin:/usr/bin:/sbin:/bin",
            # For those that are unpacked; the others find the same ones where they are installed.
            "LD_LIBRARY_PATH": self._libraries(),
            "HOME": str(self.home),
            "TZ": "UTC",
        }
        log = self.home / f"{name}.log"
        account = None if as_root else self._account.ids
        process = self._ledger.start(
            name, [str(word) for word in argv], log=log, account=account, env=env, cwd=self.home
        )
        self.ports[name] = ports[0]
        deadline = time.monotonic() + PATIENCE
        for port in ports:
            while not _listens(port):
                if not process.running or time.monotonic() >= deadline:
                    said = "".join(
                        path.read_text(errors="replace")[-1500:]
                        for path in (log, *(self.home / name / file for file in ("log", "log/main", "error.log")))
                        if path.is_file()
                    )
                    raise BedError(f"{name} did not start: {said.strip()}")
                time.sleep(0.02)

    def _libraries(self) -> str:
        places = ("usr/lib/" + _triplet(), "lib/" + _triplet())
        return ":".join(str(self._root / place) for place in places)

    def _folder(self, name: str) -> Path:
        path = self.home / name
        path.mkdir()
        return path

    def _give(self, folder: Path) -> None:
        """Let what is in *folder* belong to the account that the servers run as; nobody runs in it yet."""
        self._account.give(folder, *(path for path in folder.rglob("*") if not path.is_symlink()))

    def _account_name(self) -> str:
        return run(["id", "-un", *([str(self._account.ids[0])] if self._account.ids else [])]).stdout.strip()

    def _group(self) -> str:
        return run(["id", "-gn", *([str(self._account.ids[0])] if self._account.ids else [])]).stdout.strip()


def quiet_port() -> int:
    """A free loopback port below those that the system gives to clients, who could take it before the server does."""
    while True:
        port = 20000 + secrets.randbelow(12000)
        with socket.socket() as probe, contextlib.suppress(OSError):
            probe.bind(("127.0.0.1", port))
            return port


def _listens(port: int) -> bool:
    with socket.socket() as probe:
        probe.settimeout(1)
        return probe.connect_ex(("127.0.0.1", port)) == 0


def _triplet() -> str:
    return (
        run(["dpkg-architecture", "-qDEB_HOST_MULTIARCH"]).stdout.strip()
        if shutil.which("dpkg-architecture")
        else (f"{os.uname().machine}-linux-gnu")
    )


def _install_dovecot() -> None:
    """Install its packages, unless they are there, and let no service of theirs start."""
    if DOVECOT.exists():
        return
    packages = DOVECOT_PACKAGES
    if os.geteuid() != 0:
        raise BedError(f"dovecot is missing; run: sudo apt-get install {' '.join(packages)}")
    print(f"installing {' '.join(packages)} with apt-get", flush=True)
    ours = not NO_START.exists()
    if ours:
        NO_START.write_text("#!/bin/sh\nexit 101\n")
        NO_START.chmod(0o755)
    try:
        install_packages(packages)
    finally:
        if ours:
            NO_START.unlink()


def _unpack(root: Path, cache: Path) -> None:
    """Unpack the packages, and what of their dependencies this machine lacks, below `root`."""
    with locked(cache / ".lock"):
        plan = run(["apt-get", "install", "-s", "-y", "--no-install-recommends", *UNPACKED], timeout=120)
        wanted = [line.split()[1] for line in plan.stdout.splitlines() if line.startswith("Inst ")]
        # What the machine has already is not in the plan, but its files are wanted here all the same.
        wanted += [package for package in UNPACKED if package not in wanted]
        if plan.returncode != 0:
            raise BedError(f"apt-get does not know {', '.join(UNPACKED)}; run: sudo apt-get update")
        command = ["apt-get", "download", "-q", "-o", "APT::Sandbox::User=root", *wanted]
        answer = run(command, cwd=cache, timeout=600)
        if answer.returncode != 0:
            raise BedError(f"the packages cannot be downloaded: {answer.stderr.strip()[-300:]}")
        for name in wanted:
            (package, *_more) = sorted(cache.glob(f"{name}_*.deb"), key=lambda path: path.stat().st_mtime, reverse=True)
            unpacked = subprocess.run(["dpkg", "-x", package, root], capture_output=True, check=False)
            if unpacked.returncode != 0:
                raise BedError(f"{package.name} cannot be unpacked: {unpacked.stderr.decode()[-300:]}")
    root.chmod(0o755)
