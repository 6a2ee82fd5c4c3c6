# Copyright (c) 2026 Upkeep maintainers
# GNU General Public License v3.0-or-later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Find the container that a server lives in, and how to get in there.

Nothing is run in the container, and nothing about it is changed.
"""

from __future__ import annotations

import ipaddress
import os
import socket
from dataclasses import dataclass, field

from ansible_collections.cadence.upkeep.plugins.module_utils._core.containers import (
    Description,
    Place,
    name_of,
    require_running,
)
from ansible_collections.cadence.upkeep.plugins.module_utils._core.daemon import Daemon
from ansible_collections.cadence.upkeep.plugins.module_utils._core.errors import ConnectionFailed, MissingLibrary
from ansible_collections.cadence.upkeep.plugins.module_utils._postgres.container_facts import (
    SOCKET_DIRECTORIES,
    Address,
    addresses_of,
    database_of,
    environment_of,
    network_container_of,
    password_of,
    port_of,
    socket_directories_of,
    user_of,
)

# How long one address may take to accept a connection; a refusal comes at once.
ANSWER_SECONDS = 2.0
_MOST_LINKS = 5


@dataclass(frozen=True)
class Wanted:
    """Which container is meant, by name or id or by its place in a Compose project, and what the user gave himself.

    What is ``None`` is taken from the container; ``password_needed`` is false where another way of proof was given.
    """

    container: str = ""
    project: str = ""
    service: str = ""
    docker_host: str = ""
    port: int | None = None
    user: str | None = None
    database: str | None = None
    password_needed: bool = True


@dataclass(frozen=True)
class Located:
    """A server that answers. ``host`` is an address, or the folder of its socket; ``port`` is the one to use there."""

    name: str
    host: str
    port: int
    user: str
    database: str
    password: str = field(repr=False)


def locate(wanted: Wanted) -> Located:
    """Return where the server in the container answers, and as whom to log in.

    Raises ``MissingLibrary``, ``ConnectionFailed`` when the daemon, the container or the server in it cannot be
    reached, and ``InvalidInput`` when no single container is meant.
    """
    try:
        daemon = Daemon(wanted.docker_host)
    except MissingLibrary as error:
        remedy = f"{error.remedy} Without it, give login_host and login_port."
        raise MissingLibrary(error.message, remedy, error.evidence) from None
    try:
        return _locate(daemon, wanted)
    finally:
        daemon.close()


def _locate(daemon: Daemon, wanted: Wanted) -> Located:
    description = daemon.find(Place(wanted.container, wanted.project, wanted.service))
    require_running(description)
    name, environment = name_of(description), environment_of(description)

    def read(path: str) -> str:
        remedy = "Give what it holds: login_user, login_password, login_db."
        return daemon.read_file(description, path, f"the environment of the container {name}", remedy)

    port = port_of(description, environment) if wanted.port is None else wanted.port
    address = _that_answers(daemon, description, port)
    made = user_of(environment, read) if wanted.user is None or wanted.database is None else ""
    user = made if wanted.user is None else wanted.user
    return Located(
        name=name,
        host=address.host,
        port=address.port,
        user=user,
        database=database_of(environment, made, read) if wanted.database is None else wanted.database,
        password=password_of(environment, user, read) if wanted.password_needed else "",
    )


# --- where it answers


def _that_answers(daemon: Daemon, description: Description, port: int) -> Address:
    """Return the first place where somebody listens. Raises ``ConnectionFailed`` naming all that were tried."""
    name = name_of(description)
    network = description
    for _link in range(_MOST_LINKS):
        owner = network_container_of(network)
        if not owner:
            break
        network = daemon.describe(owner)
    tried: list[str] = []
    for address in addresses_of(network, port, daemon.host):
        why = _why_not(address)
        if not why:
            return address
        tried.append(f"{address} ({why})")
    for folder in () if daemon.host else socket_directories_of(description):
        if os.path.exists(os.path.join(folder, f".s.PGSQL.{port}")):
            return Address(folder, port)
    state = description["State"]
    health = (state.get("Health") or {}).get("Status", "")
    evidence = {"container": name, "port": port, "tried": tried, "health": health}
    if not tried:
        raise ConnectionFailed(
            f"The container {name} cannot be reached from this host: it has no network and publishes no port {port}.",
            f"Publish it (ports: 127.0.0.1:{port}:{port}), or mount a folder of this host on {SOCKET_DIRECTORIES[0]}, "
            "where its socket is.",
            evidence,
        )
    raise ConnectionFailed(
        f"The container {name} runs{f' ({health})' if health else ''}, but no server answers: {', '.join(tried)}.",
        f"Look whether it is up (docker logs --tail 50 {name}), whether it listens on another port (login_port), and "
        f"whether this host may reach it: else publish the port (ports: 127.0.0.1:{port}:{port}).",
        evidence,
    )


def _why_not(address: Address) -> str:
    """Return why nobody can be reached at *address*; empty when somebody accepts a connection."""
    try:
        if address.prefix is not None and not _on_network_of(address):
            return "this host is not on that network"
        with socket.create_connection((address.host, address.port), ANSWER_SECONDS):
            return ""
    except socket.timeout:  # TimeoutError only since Python 3.10
        return f"no answer within {ANSWER_SECONDS:g} s"
    except OSError as error:
        return (error.strerror or str(error)).lower()


def _on_network_of(address: Address) -> bool:
    """Whether packets to a container's own address leave by an interface in its network.

    Where Docker runs in a virtual machine or without root they do not: the same address could be anybody's there.
    """
    family = socket.AF_INET6 if ":" in address.host else socket.AF_INET
    with socket.socket(family, socket.SOCK_DGRAM) as probe:
        probe.connect((address.host, address.port))  # sends nothing
        ours = probe.getsockname()[0].partition("%")[0]
    network = ipaddress.ip_network(f"{address.host}/{address.prefix}", strict=False)
    return bool(address.prefix) and ipaddress.ip_address(ours) in network
