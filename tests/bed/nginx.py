"""nginx with one HTTPS server: as a process of this machine, its own or an unpacked one, and as an image."""

from __future__ import annotations

import os
import shutil
import socket
import time
from pathlib import Path
from typing import TYPE_CHECKING

from .docker_images import base, cached, save
from .errors import BedError
from .ledger import Ledger, of_this_process
from .packages import runs, unpacked
from .postgres import cache_directory, free_port

if TYPE_CHECKING:
    from types import TracebackType
    from typing import Self

PATIENCE = 30.0
_PLACES = "/usr/sbin:/usr/local/sbin:/usr/bin:/opt/homebrew/bin"
IMAGE = "nginx:1.25-alpine"
IMAGE_CONFIG = """\
daemon off;
pid /run/nginx.pid;
error_log stderr;
events {}
http {
  access_log off;
  server {
    listen 443 ssl;
    ssl_certificate /tls/shop.crt;
    ssl_certificate_key /tls/shop.key;
    location / { return 200 "ok"; }
  }
}
"""


def find_or_bring(cache: Path) -> Path:
    """The program of this machine, or else the unpacked one."""
    here = shutil.which("nginx", path=f"{os.environ.get('PATH', '')}:{_PLACES}")
    if here is not None:
        return Path(here)
    home = unpacked("nginx", ("nginx-light",), cache, lambda home: runs(home, ("usr/sbin/nginx", "-v")))
    return home / "usr/sbin/nginx"


class Nginx:
    """Serves the certificate in `chain` with the key in `key`, which must be there. A context manager."""

    def __init__(self, folder: Path, chain: Path, key: Path, *, ledger: Ledger | None = None) -> None:
        """`folder` is for its settings and logs; nothing is started yet."""
        self.program = find_or_bring(cache_directory())
        self.port = free_port()
        self.folder = folder
        self.config = folder / "nginx.conf"
        self._files = chain, key
        self._ledger = of_this_process(cache_directory()) if ledger is None else ledger
        self._name = f"nginx-{self.port}"

    def argv(self, *arguments: str) -> list[str]:
        """The command line of this very instance."""
        return [str(self.program), "-p", str(self.folder), "-c", str(self.config), *arguments]

    def write_config(self, more: str = "") -> None:
        """Write its settings; with `more`, which may be nonsense."""
        chain, key = self._files
        places = "".join(f"{kind}_temp_path {self.folder}/{kind};\n" for kind in ("fastcgi", "uwsgi", "scgi", "proxy"))
        self.config.write_text(
            f"daemon off; pid {self.folder}/nginx.pid; error_log {self.folder}/error.log;\nevents {{}}\n"
            f"http {{ access_log off; client_body_temp_path {self.folder}/body;\n{places}"
            f"server {{ listen 127.0.0.1:{self.port} ssl; ssl_certificate {chain}; ssl_certificate_key {key};\n"
            f'location / {{ return 200 "ok"; }} }} }}\n{more}'
        )

    @property
    def pid(self) -> int:
        """Its first process, which takes signals."""
        return self._ledger.processes[self._name].pid

    def __enter__(self) -> Self:
        self.folder.mkdir(parents=True, exist_ok=True)
        self.write_config()
        log = self.folder / "output.log"
        process = self._ledger.start(self._name, self.argv(), log=log, cwd=self.folder)
        deadline = time.monotonic() + PATIENCE
        while not _listens(self.port):
            if not process.running or time.monotonic() > deadline:
                self._ledger.stop(self._name)
                raise BedError(f"nginx did not start: {log.read_text(errors='replace')[-800:]}")
            time.sleep(0.02)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._ledger.stop(self._name)


def image(cache: Path) -> Path:
    """The archive of an image that serves /tls/shop.crt with /tls/shop.key on port 443."""
    program = find_or_bring(cache)

    def make(path: Path) -> None:
        tree = base()
        tree.copy(program, "/usr/sbin/nginx")
        tree.with_libraries(program)
        tree.file("/etc/nginx/nginx.conf", IMAGE_CONFIG)
        tree.file(
            "/etc/passwd",
            "root:x:0:0:root:/root:/bin/sh\nnobody:x:65534:65534::/:/bin/sh\nwww-data:x:33:33::/:/bin/sh\n",
        )
        tree.file("/etc/group", "root:x:0:\nnogroup:x:65534:\nwww-data:x:33:\n")
        for folder in ("/var/lib/nginx", "/var/log/nginx", "/var/cache/nginx", "/tls"):
            tree.directory(folder)
        save(tree, path, {"Cmd": ["/usr/sbin/nginx"], "Env": ["PATH=/usr/sbin:/usr/bin:/sbin:/bin"]})

    return cached("nginx", [str(program), str(program.stat().st_mtime_ns), Path(__file__).read_text()], cache, make)


def _listens(port: int) -> bool:
    with socket.socket() as probe:
        probe.settimeout(1)
        return probe.connect_ex(("127.0.0.1", port)) == 0
