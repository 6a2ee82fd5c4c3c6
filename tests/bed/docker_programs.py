"""Docker's programs: those of this machine, or the distribution's packages unpacked into a cache, not installed.

Installing `docker.io` would make a group, start a daemon and change the firewall. Unpacked it does nothing that we do
not ask for, and nothing of it is left once the cache is deleted.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from .errors import BedError
from .packages import runs, settings_of, unpacked
from .processes import run

DEFAULT_SOCKET = "unix:///var/run/docker.sock"
# Debian 12 has no Compose v2; the package of the next release needs nothing that 12 lacks.
COMPOSE_RELEASE = "trixie"
_COMPOSE = "usr/libexec/docker/cli-plugins/docker-compose"


@dataclass(frozen=True)
class Programs:
    """`client` is the path of `docker`; `daemon` that of `dockerd`, or None where an engine runs already.

    `settings` are variables that they need, `plugins` the folder of Compose where Docker would not find it by itself.
    """

    client: Path
    daemon: Path | None = None
    plugins: Path | None = None
    settings: Mapping[str, str] = field(default_factory=dict)


def engine_of_this_machine() -> str | None:
    """The URL of an engine that answers us, or None."""
    client = shutil.which("docker")
    if client is None:
        return None
    url = os.environ.get("DOCKER_HOST") or DEFAULT_SOCKET
    socket_ = url.removeprefix("unix://")
    if url.startswith("unix://") and not Path(socket_).is_socket():
        return None
    answer = run([client, "version", "--format", "{{.Server.Version}}"], env={**os.environ, "DOCKER_HOST": url})
    return url if answer.returncode == 0 else None


def client_of_this_machine(cache: Path) -> Programs:
    """The client for an engine that runs already."""
    client = shutil.which("docker")
    if client is None:
        raise BedError("Docker runs here, but there is no `docker` on PATH: install its client")
    return Programs(Path(client), plugins=_compose_plugins(Path(client), {}, cache))


def bring(cache: Path) -> Programs:
    """Docker and Compose in `cache`, unpacked once. Raises BedError, which says what to do, when they cannot be had."""
    if shutil.which("unshare") is None or os.geteuid() != 0:
        raise BedError("no Docker engine answers here, and only root can run one: start Docker, or set DOCKER_HOST")
    home = unpacked("docker", ("docker.io", "iptables"), cache, _docker_works)
    settings = _settings(home)
    client = home / "usr/bin/docker"
    return Programs(client, home / "usr/sbin/dockerd", _compose_plugins(client, settings, cache), settings)


def _settings(home: Path) -> dict[str, str]:
    settings = settings_of(home)
    modules = (f"{folder}/xtables" for folder in settings["LD_LIBRARY_PATH"].split(os.pathsep))
    return {**settings, "XTABLES_LIBDIR": os.pathsep.join(modules)}


def _docker_works(home: Path) -> bool:
    legacy = home / "usr/sbin/xtables-legacy-multi"
    for name in ("iptables", "ip6tables"):  # links that an installation makes
        link = legacy.with_name(name)
        if legacy.exists() and not link.exists():
            link.symlink_to(legacy.name)
    return runs(
        home, ("usr/sbin/dockerd", "--version"), ("usr/bin/docker", "--version"), ("containerd", "--version"),
        ("runc", "--version"), ("iptables", "--version"), settings=_settings(home),
    )  # fmt: skip


def _compose_plugins(client: Path, settings: Mapping[str, str], cache: Path) -> Path | None:
    """None where `docker compose` is there already, else a folder with it."""
    if run([client, "compose", "version"], env={**os.environ, **settings}).returncode == 0:
        return None
    home = unpacked(
        "docker-compose", ("docker-compose",), cache, lambda home: runs(home, (_COMPOSE, "version")), COMPOSE_RELEASE
    )
    return (home / _COMPOSE).parent
