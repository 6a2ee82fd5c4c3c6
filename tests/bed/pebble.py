"""A real ACME authority, Let's Encrypt's test server `pebble`, with names that all lead here, and certbot.

The challenges are real: certbot answers HTTP-01 on a loopback port, where pebble comes to ask.
"""

from __future__ import annotations

import json
import os
import shutil
import socket
import ssl
import sys
import time
import urllib.request
from pathlib import Path
from subprocess import CompletedProcess
from typing import TYPE_CHECKING

from .errors import BedError
from .ledger import Ledger, locked, of_this_process
from .packages import runs, unpacked
from .postgres import cache_directory, free_port
from .processes import run
from .tls import Authority

if TYPE_CHECKING:
    from types import TracebackType
    from typing import Self

CERTBOT = "certbot>=4.1,<6"
PATIENCE = 30.0


class Pebble:
    """The authority, a resolver for which every name is this machine, and certbot. A context manager."""

    def __init__(self, folder: Path, *, ledger: Ledger | None = None) -> None:
        """`folder` is for its settings and for certbot's directories; nothing is started yet."""
        self.folder = folder
        self.cache = cache_directory()
        self.ca_path = folder / "pebble-roots.pem"
        self.challenge_port = free_port()
        self._ledger = of_this_process(self.cache) if ledger is None else ledger
        self._ports = {name: free_port() for name in ("acme", "management", "names", "names-management")}

    @property
    def config_dir(self) -> Path:
        """Certbot's directory."""
        return self.folder / "letsencrypt"

    @property
    def program(self) -> Path:
        """Certbot."""
        return _certbot(self.cache)

    def environment(self) -> dict[str, str]:
        """What lets certbot trust the authority's own server."""
        return {"REQUESTS_CA_BUNDLE": str(self.folder / "ca.pem")}

    def options(self) -> list[str]:
        """What each call of certbot needs."""
        return [
            *("--config-dir", str(self.config_dir), "--work-dir", str(self.folder / "work")),
            *("--logs-dir", str(self.folder / "logs")),
        ]

    def issue(self, lineage: str, *names: str) -> Path:
        """Have a certificate issued for these names; the directory of its live files."""
        answer = self.certbot(
            *("certonly", "--standalone", "--http-01-port", str(self.challenge_port), "--non-interactive"),
            *("--agree-tos", "--register-unsafely-without-email", "--cert-name", lineage),
            *("--server", f"https://localhost:{self._ports['acme']}/dir"),
            *(word for name in names for word in ("-d", name)),
        )
        if answer.returncode != 0:
            raise BedError(f"certbot issued nothing: {answer.stdout[-800:]}{answer.stderr[-800:]}")
        return self.config_dir / "live" / lineage

    def make_due(self, lineage: str) -> None:
        """Let certbot find the lineage due, as it would some months later."""
        path = self.config_dir / "renewal" / f"{lineage}.conf"
        path.write_text("renew_before_expiry = 36500 days\n" + path.read_text())

    def certbot(self, *arguments: str) -> CompletedProcess[str]:
        """Run certbot."""
        env = {**os.environ, **self.environment()}
        return run([self.program, *arguments, *self.options()], env=env, cwd=self.folder)

    def __enter__(self) -> Self:
        self.folder.mkdir(parents=True, exist_ok=True)
        # Now, while the environment of whoever asks still trusts what pip asks.
        _certbot(self.cache)
        home = unpacked("pebble", ("pebble",), self.cache, lambda home: runs(home, ("usr/bin/pebble", "-h")))
        authority = Authority("Pebble's own server")
        authority.write(self.folder)
        chain, key = authority.issue("localhost", names=["localhost", "127.0.0.1"]).write(self.folder, "server")
        settings = {
            "listenAddress": f"127.0.0.1:{self._ports['acme']}",
            "managementListenAddress": f"127.0.0.1:{self._ports['management']}",
            "certificate": str(chain),
            "privateKey": str(key),
            "httpPort": self.challenge_port,
            "tlsPort": free_port(),
            "ocspResponderURL": "",
            "externalAccountBindingRequired": False,
        }
        config = self.folder / "pebble.json"
        config.write_text(json.dumps({"pebble": settings}))
        names = f"127.0.0.1:{self._ports['names']}"
        management = f"127.0.0.1:{self._ports['names-management']}"
        try:
            self._start(
                "names", home / "usr/bin/pebble-challtestsrv", "-dns01", names, "-management", management,
                "-defaultIPv6", "", "-http01", "", "-https01", "", "-tlsalpn01", "",
            )  # fmt: skip
            self._wait_for("names-management")
            self._start("authority", home / "usr/bin/pebble", "-config", str(config), "-dnsserver", names)
            self._wait_for("acme")
            self._wait_for("management")
            self._fetch_root()
        except BaseException:
            self._stop()
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._stop()

    def _start(self, name: str, program: Path, *arguments: str) -> None:
        env = {
            # No pauses and no refusals at random, with which it teaches clients patience.
            "PATH": os.environ["PATH"],
            "PEBBLE_VA_NOSLEEP": "1",
            "PEBBLE_WFE_NONCEREJECT": "0",
            "PEBBLE_AUTHZREUSE": "0",
        }
        log = self.folder / f"{name}.log"
        self._ledger.start(f"pebble-{name}-{self._ports['acme']}", [program, *arguments], log=log, env=env)

    def _wait_for(self, what: str) -> None:
        deadline = time.monotonic() + PATIENCE
        while True:
            with socket.socket() as probe:
                if probe.connect_ex(("127.0.0.1", self._ports[what])) == 0:
                    return
            if time.monotonic() > deadline:
                logs = "".join(path.read_text(errors="replace")[-500:] for path in self.folder.glob("*.log"))
                raise BedError(f"pebble did not start: {logs}")
            time.sleep(0.05)

    def _fetch_root(self) -> None:
        context = ssl.create_default_context(cafile=str(self.folder / "ca.pem"))
        url = f"https://localhost:{self._ports['management']}/roots/0"
        # A proxy of the environment has no business here.
        opener = urllib.request.build_opener(
            urllib.request.ProxyHandler({}), urllib.request.HTTPSHandler(context=context)
        )
        with opener.open(url, timeout=PATIENCE) as answer:
            self.ca_path.write_bytes(answer.read())

    def _stop(self) -> None:
        for name in ("authority", "names"):
            self._ledger.stop(f"pebble-{name}-{self._ports['acme']}")


def _certbot(cache: Path) -> Path:
    """Certbot in an environment of its own below `cache`, made once."""
    home = cache / f"certbot-{sys.version_info[0]}.{sys.version_info[1]}"
    program = home / "bin" / "certbot"
    with locked(cache / ".certbot.lock"):
        if program.exists() and run([program, "--version"]).returncode == 0:
            return program
        shutil.rmtree(home, ignore_errors=True)
        print(f"installing {CERTBOT} into the cache of the test bed", flush=True)
        for command in (
            [sys.executable, "-m", "venv", home],
            [home / "bin" / "python", "-m", "pip", "install", "--quiet", "--disable-pip-version-check", CERTBOT],
        ):
            answer = run(command, timeout=600)
            if answer.returncode != 0:
                raise BedError(f"certbot cannot be had: {answer.stderr.strip()[-500:]}")
    return program
