"""A later Docker engine and a later Compose than this release has, out of the packages of the next ones.

They need nothing that Debian 12 lacks, but for runc and iptables, which are those of the release.
"""

from __future__ import annotations

import os
from pathlib import Path

from .docker_engine import Engine, sweep
from .docker_programs import Programs, bring
from .packages import runs, settings_of, unpacked

# Debian 13 has Docker 26.1; Compose 2.40 is in the release after it.
ENGINE_RELEASE, COMPOSE_RELEASE = "trixie", "forky"
_COMPOSE = "usr/libexec/docker/cli-plugins/docker-compose"


def newer(cache: Path) -> Programs:
    """Docker and Compose of the later releases, unpacked once. Raises BedError."""
    here = bring(cache)
    home = unpacked(
        "docker-newer", ("docker.io", "docker-cli", "containerd"), cache,
        lambda home: runs(home, ("usr/sbin/dockerd", "--version"), ("usr/bin/docker", "--version")), ENGINE_RELEASE,
    )  # fmt: skip
    compose = unpacked(
        "docker-compose", ("docker-compose",), cache, lambda home: runs(home, (_COMPOSE, "version")), COMPOSE_RELEASE
    )
    path = os.pathsep.join([str(home / "usr/sbin"), str(home / "usr/bin"), here.settings["PATH"]])
    libraries = os.pathsep.join(
        one for one in (settings_of(home)["LD_LIBRARY_PATH"], here.settings["LD_LIBRARY_PATH"]) if one
    )
    settings = {**here.settings, "PATH": path, "LD_LIBRARY_PATH": libraries}
    return Programs(home / "usr/bin/docker", home / "usr/sbin/dockerd", (compose / _COMPOSE).parent, settings)


class NewerEngine(Engine):
    """An engine of our own, whatever runs here."""

    def start(self) -> None:
        """Start it. Clears up after runs that were killed."""
        sweep()
        self._programs = newer(self.cache)
        self._start_own(self._programs)
        self._install_plugins()
