# Copyright (c) 2026 Upkeep maintainers
# GNU General Public License v3.0-or-later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Look at everything that was asked for: files and endpoints side by side, within one deadline."""

from __future__ import annotations

from dataclasses import dataclass, replace

from ansible_collections.cadence.upkeep.plugins.module_utils._cert import library, trust
from ansible_collections.cadence.upkeep.plugins.module_utils._cert.chain import Anchors
from ansible_collections.cadence.upkeep.plugins.module_utils._cert.crew import Crew
from ansible_collections.cadence.upkeep.plugins.module_utils._cert.discover import Finder
from ansible_collections.cadence.upkeep.plugins.module_utils._cert.files import (
    RealPaths,
    shown,
    sight_content,
    sight_file,
)
from ansible_collections.cadence.upkeep.plugins.module_utils._cert.keys import KeyKeeper
from ansible_collections.cadence.upkeep.plugins.module_utils._cert.model import (
    CONTENT,
    ENDPOINT,
    FILE,
    EndpointSpec,
    Failure,
    Sighting,
)
from ansible_collections.cadence.upkeep.plugins.module_utils._cert.options import Options
from ansible_collections.cadence.upkeep.plugins.module_utils._cert.tls import Prober
from ansible_collections.cadence.upkeep.plugins.module_utils._core.deadline import Deadline
from ansible_collections.cadence.upkeep.plugins.module_utils._core.units import format_duration


@dataclass(frozen=True)
class Snapshot:
    """What was seen. ``degraded`` says what this host could not look at as closely as others can.

    ``anchors`` are the authorities that it trusts, read only when a file holds a chain.
    """

    sightings: tuple[Sighting, ...]
    files: int
    bytes: int
    endpoints: int
    degraded: tuple[str, ...]
    anchors: Anchors = frozenset()


def collect(options: Options) -> Snapshot:
    """Return what every target of *options* shows; one that was not reached in time is a failure ``deadline``."""
    deadline = Deadline(options.deadline)
    with library.quiet():
        return _Collector(options, deadline).collect()


class _Collector:
    def __init__(self, options: Options, deadline: Deadline) -> None:
        self._options = options
        self._deadline = deadline
        self._finder = Finder(options.search, deadline)
        self._prober = Prober(options.at is None, options.max_size, options.passphrases)
        self._keeper = KeyKeeper(options.check_key, options.passphrases)
        self._real_paths = RealPaths()
        # Written by the threads, one key each; read when they are done, or when the time is over.
        self._endpoints: dict[str, list[Sighting]] = {}
        self._contents: dict[str, Sighting] = {}
        self._files: dict[str, tuple[Sighting, int]] = {}

    def collect(self) -> Snapshot:
        options = self._options
        asked = Crew(self._sight_endpoint, options.endpoints, options.workers)
        given = Crew(self._sight_content, options.content, options.workers, eager=False)
        searched = Crew(self._finder.find, [options.files] if options.files else [], 1)
        found = searched.wait(self._deadline)
        paths = tuple(self._finder.paths)
        failures = dict(self._finder.failures)
        if not found:
            entry = self._finder.searching or options.files[0]
            failures[entry] = _late(f"The search of {shown(entry)}", self._deadline)
        read = Crew(self._sight_file, paths, options.workers, eager=False)
        for crew in (read, given, asked):
            crew.wait(self._deadline)
        return self._snapshot(paths, failures)

    def _sight_endpoint(self, spec: EndpointSpec) -> None:
        self._endpoints[spec.target] = self._prober.sight(spec)

    def _sight_content(self, named: tuple[str, str]) -> None:
        name, text = named
        sighting, content = sight_content(name, text, self._options.max_size, self._options.passphrases)
        self._contents[name] = replace(sighting, key=self._keeper.of_content(name, text, content))

    def _sight_file(self, path: str) -> None:
        options = self._options
        sighting, content = sight_file(path, options.max_size, options.passphrases, self._real_paths)
        if sighting.certificates:
            sighting = replace(sighting, key=self._keeper.of_file(path, content))
        self._files[path] = (sighting, content.size)

    def _snapshot(self, paths: tuple[str, ...], failures: dict[str, Failure]) -> Snapshot:
        options = self._options
        read, asked, given = dict(self._files), dict(self._endpoints), dict(self._contents)
        seen = [sighting for sighting, _size in read.values()] + list(given.values())
        with_chains = any(len(sighting.certificates) > 1 for sighting in seen)
        seen += [sighting for sightings in asked.values() for sighting in sightings]
        seen += [Sighting(shown(path), FILE, failures=(failure,)) for path, failure in failures.items()]
        seen += [self._unfinished(shown(path), FILE) for path in paths if path not in read]
        seen += [self._unfinished(name, CONTENT) for name, _text in options.content if name not in given]
        seen += [self._unfinished(spec.target, ENDPOINT) for spec in options.endpoints if spec.target not in asked]
        return Snapshot(
            sightings=tuple(seen),
            files=len(read),
            bytes=sum(size for _sighting, size in read.values()),
            endpoints=len(asked),
            degraded=tuple(sorted(self._prober.degraded)) + _not_entered(self._finder.too_deep, options),
            anchors=trust.anchors(options.ca_path) if with_chains and not self._deadline.expired else frozenset(),
        )

    def _unfinished(self, target: str, kind: str) -> Sighting:
        return Sighting(target, kind, failures=(_late(target, self._deadline),))


def _late(what: str, deadline: Deadline) -> Failure:
    return Failure(
        "deadline",
        f"{what} was not done within the deadline of {format_duration(deadline.seconds or 0.0)}.",
        "Find out what it waits for (a dead mount, a silent server), look at less, or raise deadline.",
        {"deadline_seconds": deadline.seconds},
    )


def _not_entered(directories: list[str], options: Options) -> tuple[str, ...]:
    if not directories:
        return ()
    return (
        f"{len(directories)} directories below max_depth ({options.search.max_depth}) were not entered, "
        f"the first of them {shown(min(directories))}.",
    )
