# Copyright (c) 2026 Upkeep maintainers
# GNU General Public License v3.0-or-later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What a container's description says of the PostgreSQL in it: its port, whom it lets in, and where it may be reached.

Pure: descriptions are what the daemon's API returns (``GET /containers/{id}/json``).
"""

from __future__ import annotations

import ipaddress
import os
import re
import shlex
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass

from ansible_collections.cadence.upkeep.plugins.module_utils._core.containers import Description

# Returns the content of a file of the container.
ReadFile = Callable[[str], str]

DEFAULT_PORT = 5432
DEFAULT_USER = "postgres"
# The images that people use (the official one and those made from it, bitnami's, Red Hat's) name the same things
# differently; the first that is set counts. Each may also be given as NAME_FILE.
USER_VARIABLES = ("POSTGRES_USER", "POSTGRESQL_USERNAME", "POSTGRES_USERNAME", "POSTGRESQL_USER")
DATABASE_VARIABLES = ("POSTGRES_DB", "POSTGRESQL_DATABASE", "POSTGRES_DATABASE")
PASSWORD_VARIABLES = ("POSTGRES_PASSWORD", "POSTGRESQL_PASSWORD")
# The password of `postgres` where the variables above make a user of another name.
ADMIN_PASSWORD_VARIABLES = ("POSTGRESQL_POSTGRES_PASSWORD", "POSTGRES_POSTGRES_PASSWORD", "POSTGRESQL_ADMIN_PASSWORD")
PORT_VARIABLES = ("PGPORT", "POSTGRESQL_PORT_NUMBER", "POSTGRES_PORT_NUMBER")
SOCKET_DIRECTORIES = ("/var/run/postgresql", "/run/postgresql")
_PORT_ARGUMENT = re.compile(r"(?:-p|--port=|-c\s*port\s*=\s*|--port\s+|-p\s+)['\"]?([0-9]+)['\"]?\Z")


@dataclass(frozen=True)
class Address:
    """A place to try. ``prefix`` is given for a container's own address: only who is on its network may use it."""

    host: str
    port: int
    prefix: int | None = None

    def __str__(self) -> str:
        return f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"


def environment_of(description: Description) -> dict[str, str]:
    """Return the variables that the container was made with. They hold passwords."""
    pairs = (str(line).partition("=") for line in description["Config"].get("Env") or ())
    return {name: value for name, _equals, value in pairs}


def port_of(description: Description, environment: Mapping[str, str]) -> int:
    """Return the port that the server listens on: from its command line, else its environment, else 5432."""
    entry, command = (list(description["Config"].get(part) or ()) for part in ("Entrypoint", "Cmd"))
    # The entry point of the official image puts `postgres` before options that come alone; another program keeps them.
    alone = not entry or "entrypoint" in entry[-1]
    arguments = (server_arguments(command) if alone else []) or server_arguments([*entry, *command])
    for before, argument in zip(["", *arguments], arguments):
        found = _PORT_ARGUMENT.match(argument) or _PORT_ARGUMENT.match(f"{before} {argument}")
        if found:
            return int(found[1])
    for name in PORT_VARIABLES:
        if environment.get(name, "").isdigit():
            return int(environment[name])
    return DEFAULT_PORT


def server_arguments(words: Sequence[str]) -> list[str]:
    """Return what a command line gives to ``postgres`` itself, also when a shell is asked to run it."""
    for number, word in enumerate(words):
        if os.path.basename(word) in ("postgres", "postmaster"):
            return list(words[number + 1 :])
        if re.search(r"\b(?:postgres|postmaster)\s", word):
            try:
                return server_arguments(shlex.split(word))
            except ValueError:
                return []  # a script, which nobody but a shell can read
    return list(words) if words and words[0].startswith("-") else []


def user_of(environment: Mapping[str, str], read: ReadFile) -> str:
    return _value(environment, USER_VARIABLES, read) or DEFAULT_USER


def database_of(environment: Mapping[str, str], user: str, read: ReadFile) -> str:
    """Return the database that the image made at its first start; *user* is the one that it made."""
    named = _value(environment, DATABASE_VARIABLES, read)
    if named:
        return named
    official = "BITNAMI_APP_NAME" not in environment and _value(environment, USER_VARIABLES[:1], read)
    return user if official else DEFAULT_USER


def password_of(environment: Mapping[str, str], user: str, read: ReadFile) -> str:
    """Return the password that the image gave to *user*; empty when it is nobody whom the image knows."""
    if user == user_of(environment, read):
        own = _value(environment, PASSWORD_VARIABLES, read)
        if own:
            return own
    return _value(environment, ADMIN_PASSWORD_VARIABLES, read) if user == DEFAULT_USER else ""


def _value(environment: Mapping[str, str], names: Iterable[str], read: ReadFile) -> str:
    for name in names:
        if environment.get(name):
            return environment[name]
        if environment.get(f"{name}_FILE"):
            # As the entry point of the image does: $(< file) drops the ends of lines.
            return read(environment[f"{name}_FILE"]).rstrip("\n")
    return ""


# --- where it can be reached


def network_container_of(description: Description) -> str:
    """Return the id of the container whose network this one shares, or nothing."""
    mode = str(description["HostConfig"].get("NetworkMode") or "")
    return mode.partition(":")[2] if mode.startswith("container:") else ""


def addresses_of(network: Description, port: int, daemon_host: str) -> list[Address]:
    """Return where *port* may be reached, the best first.

    *network* describes the container whose network is used. *daemon_host* is the host of the daemon when that is not
    this one: then containers' own addresses mean nothing here, or somebody else.
    """
    if network["HostConfig"].get("NetworkMode") == "host":
        return [Address(host, port) for host in ([daemon_host] if daemon_host else ["127.0.0.1", "::1"])]
    settings = network["NetworkSettings"]
    found = []
    if not daemon_host:
        for one in (settings.get("Networks") or {}).values():
            for address, prefix in (("IPAddress", "IPPrefixLen"), ("GlobalIPv6Address", "GlobalIPv6PrefixLen")):
                if one.get(address):
                    found.append(Address(one[address], port, int(one.get(prefix) or 0)))
    for one in (settings.get("Ports") or {}).get(f"{port}/tcp") or ():
        host = _as_seen_from_here(str(one.get("HostIp") or "0.0.0.0"), daemon_host)
        found += [Address(host, int(one["HostPort"]))] if host else []
    return list(dict.fromkeys(found))


def _as_seen_from_here(published: str, daemon_host: str) -> str:
    """Return where a port that is published on that address of the daemon's host is for us; empty for nowhere."""
    address = ipaddress.ip_address(published)
    if address.is_unspecified:
        return daemon_host or ("::1" if address.version == 6 else "127.0.0.1")
    return "" if daemon_host and address.is_loopback and daemon_host != published else published


def socket_directories_of(description: Description) -> list[str]:
    """Return the folders of the host that the container has its sockets in."""
    return [
        str(mount["Source"])
        for mount in description.get("Mounts") or ()
        if mount.get("Destination", "").rstrip("/") in SOCKET_DIRECTORIES and mount.get("Source")
    ]
