# Copyright (c) 2026 Upkeep maintainers
# GNU General Public License v3.0-or-later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Let servers take up new files: have them check their configuration, then reload them, on the host or inside."""

from __future__ import annotations

import os
import re
import shlex
import signal
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Protocol

from ansible_collections.cadence.upkeep.plugins.module_utils._cert.deploy.model import Consumer
from ansible_collections.cadence.upkeep.plugins.module_utils._cert.deploy.store import LINKS, Store, real_place
from ansible_collections.cadence.upkeep.plugins.module_utils._core.command import run
from ansible_collections.cadence.upkeep.plugins.module_utils._core.containers import Description, Place, place_of
from ansible_collections.cadence.upkeep.plugins.module_utils._core.errors import CommandFailed, InvalidInput

_SYSTEMD = "/run/systemd/system"
COMMAND = "command"
_LINES = 3


@dataclass(frozen=True)
class Kind:
    """How a kind of server is told. ``{config}`` in an argument is its configuration file.

    Without a ``reload`` of its own it is reloaded by its service manager, and in a container by HUP, which each of
    these takes for just that.
    """

    validate: tuple[str, ...] = ()
    reload: tuple[str, ...] = ()
    with_config: tuple[str, ...] = ()  # put behind the program's name when a configuration file is given
    config: str = ""
    service: str = ""


KINDS: Mapping[str, Kind] = {
    "nginx": Kind(("nginx", "-t"), ("nginx", "-s", "reload"), ("-c", "{config}"), service="nginx"),
    "apache": Kind(("apachectl", "-t"), ("apachectl", "-k", "graceful"), ("-f", "{config}"), service="apache2"),
    "haproxy": Kind(("haproxy", "-c", "-f", "{config}"), config="/etc/haproxy/haproxy.cfg", service="haproxy"),
    # It checks its files when it reloads, and keeps the old ones where they do not fit: name an endpoint to see it.
    "postgres": Kind(service="postgresql"),
    "service": Kind(),
}
_CONFIG_INSIDE = {"haproxy": "/usr/local/etc/haproxy/haproxy.cfg"}


class Inside(Protocol):
    """What can be done in a container. All raise an ``UpkeepError`` of the daemon or of the container."""

    def find(self, place: Place) -> Description:
        """Return the description of the running container that is meant."""

    def members(self, place: Place) -> list[Place]:
        """Return the place of each container that is meant: a service of a project may run in several."""

    def execute(self, place: Place, argv: Sequence[str], seconds: float) -> tuple[int, str]:
        """Run *argv* in it; return its exit status and what it said. Raises ``CommandFailed`` if it does not start."""

    def signal(self, place: Place, name: str) -> None:
        """Send a signal to its first process."""


def consumer_of(entry: Mapping[str, Any], seconds: float) -> Consumer:
    """Return the consumer that an element of ``consumers`` describes. Raises ``InvalidInput``."""
    name = entry["kind"]
    place = place_of(entry, "consumers: ")
    validate, reload, sent = _usual(name, entry, place) if name in KINDS else ((), (), "")
    if entry["reload"] or entry["signal"]:
        reload, sent = tuple(entry["reload"] or ()), _signal(entry["signal"])
    if entry["reload"] and entry["signal"]:
        raise InvalidInput("consumers: reload and signal are two ways to do the same.", "Leave one of them out.")
    if entry["pid_file"] and (place or entry["reload"]):
        raise InvalidInput("consumers: pid_file is for a signal to a process of this host.", "Leave it out.")
    if entry["pid_file"]:
        reload, sent = (), sent or "HUP"
    elif sent and not place:
        raise InvalidInput(f"consumers: nothing says to whom {sent} goes.", "Give container, or pid_file.")
    if not reload and not sent:
        raise InvalidInput(
            f"consumers: kind {name} has nothing to be reloaded with.", "Give service, reload or signal."
        )
    return Consumer(
        label=entry["name"] or " in ".join(filter(None, (entry["service"] or name, str(place) if place else ""))),
        place=place,
        validate=tuple(validate if entry["validate"] is None else entry["validate"]),
        reload=reload,
        signal=sent,
        pid_file=entry["pid_file"] or "",
        seconds=seconds,
    )


def _usual(name: str, entry: Mapping[str, Any], place: Place) -> tuple[tuple[str, ...], tuple[str, ...], str]:
    """Return how servers of that kind are validated and reloaded, and the signal that does it in a container."""
    kind = KINDS[name]
    config = entry["config"] or (_CONFIG_INSIDE.get(name, kind.config) if place else kind.config)

    def filled(argv: tuple[str, ...]) -> tuple[str, ...]:
        own = kind.with_config if entry["config"] and argv else ()
        return tuple(word.replace("{config}", config) for word in (*argv[:1], *own, *argv[1:]))

    service = entry["service"] or kind.service
    validate, reload = filled(kind.validate), filled(kind.reload)
    if place:
        return validate, reload, "" if reload else "HUP"
    if reload and not entry["service"]:
        return validate, reload, ""
    by_manager = ("systemctl", "reload", service) if os.path.isdir(_SYSTEMD) else ("service", service, "reload")
    return validate, by_manager if service else (), ""


def _signal(name: str | None) -> str:
    if not name:
        return ""
    short = name.upper()[3:] if name.upper().startswith("SIG") else name.upper()
    if not hasattr(signal, f"SIG{short}"):
        raise InvalidInput(f"consumers: there is no signal {name!r}.", "Write it like HUP.")
    return short


def each(consumer: Consumer, inside: Inside) -> list[Consumer]:
    """Return one consumer for each container that *consumer* runs in: itself, unless there are several."""
    places = inside.members(consumer.place) if consumer.place else [consumer.place]
    if len(places) == 1:
        return [consumer]
    return [replace(consumer, place=place, label=f"{consumer.label} ({place})") for place in places]


def validate(consumer: Consumer, inside: Inside) -> None:
    """Have the server check its configuration, with the new files in place. Raises ``CommandFailed``."""
    _run(consumer, consumer.validate, inside, "its own check of the configuration")


def reload(consumer: Consumer, inside: Inside) -> None:
    """Make the server read its files again. Raises ``CommandFailed``."""
    if not consumer.signal:
        _run(consumer, consumer.reload, inside, "the reload")
    elif consumer.place:
        inside.signal(consumer.place, consumer.signal)
    else:
        _signal_process(consumer)


def _run(consumer: Consumer, argv: Sequence[str], inside: Inside, what: str) -> None:
    if consumer.place:
        status, said = inside.execute(consumer.place, argv, consumer.seconds)
    else:
        ended = run(argv, consumer.seconds)
        status, said = ended.status, ended.errors.strip() or ended.output
    if status == 0:
        return
    # The reason is seldom in the last line alone: nginx says there that the test has failed.
    lines = [line.strip() for line in said.splitlines() if line.strip()][-_LINES:] or ["it said nothing"]
    raise CommandFailed(
        f"{consumer.label}: {what} failed with status {status}: {' / '.join(lines)[:800].rstrip('.')}.",
        f"Run it by hand to see more: {shlex.join(argv)}",
        {"argv": list(argv), "status": status},
    )


def _signal_process(consumer: Consumer) -> None:
    try:
        with open(consumer.pid_file, encoding="ascii", errors="replace") as stream:
            pid = re.match(r"\s*([1-9][0-9]{0,9})\s*$", stream.readline(64))
        if pid is None:
            raise CommandFailed(f"{consumer.label}: {consumer.pid_file} holds no process id.", "Correct pid_file.")
        os.kill(int(pid[1]), getattr(signal, f"SIG{consumer.signal}"))
    except OSError as error:
        raise CommandFailed(
            f"{consumer.label}: the process in {consumer.pid_file} cannot be sent {consumer.signal}: {error.strerror}.",
            "Look whether the server runs, and whether pid_file is its own.",
        ) from None


def unseen(mounts: Iterable[Mapping[str, Any]], store: Store) -> list[tuple[str, str]]:
    """Return ``(place, why)`` for every place that a container with *mounts* would never see renewed.

    A mount of a single file stays with the file of the day on which the container was started. A folder that is mounted
    without the one through which the places lead has links that lead nowhere.
    """
    given = [str(mount["Source"]) for mount in mounts if mount.get("Source")]
    # What is mounted may be a link itself, which Docker names as it was written, and follows.
    sources = [form for source in given for form in (real_place(source), os.path.realpath(source))]
    home = real_place(os.path.join(store.home, "x"))
    found = []
    for place in sorted(store.places.values()):
        real = real_place(place)
        if {place, real, os.path.realpath(place)} & set(sources):
            found.append((place, "is mounted by itself, and stays the file that it was when the container was started"))
            continue
        # The innermost mount is the one that the container sees.
        around = max((source for source in sources if _is_below(real, source)), key=len, default="")
        if around and store.layout == LINKS and not _is_below(home, around):
            found.append((place, f"is mounted without {store.home}, through which it leads"))
    return found


def _is_below(path: str, folder: str) -> bool:
    return path.startswith(folder.rstrip("/") + "/")
