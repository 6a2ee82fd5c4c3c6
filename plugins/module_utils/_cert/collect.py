# Copyright (c) 2026 Upkeep maintainers
# GNU General Public License v3.0-or-later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Look at everything that was asked for: files and endpoints side by side, within one deadline."""

from __future__ import annotations

from dataclasses import dataclass

from ansible_collections.cadence.upkeep.plugins.module_utils._cert import library
from ansible_collections.cadence.upkeep.plugins.module_utils._cert.crew import Crew
from ansible_collections.cadence.upkeep.plugins.module_utils._cert.discover import Finder
from ansible_collections.cadence.upkeep.plugins.module_utils._cert.files import sight_file
from ansible_collections.cadence.upkeep.plugins.module_utils._cert.model import (
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
    """What was seen. ``degraded`` says what this host could not look at as closely as others can."""

    sightings: tuple[Sighting, ...]
    files: int
    bytes: int
    endpoints: int
    degraded: tuple[str, ...]


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
        self._prober = Prober(check_time=options.at is None, max_size=options.max_size)
        # Written by the threads, one key each; read when they are done, or when the time is over.
        self._endpoints: dict[str, Sighting] = {}
        self._files: dict[str, tuple[Sighting, int]] = {}

    def collect(self) -> Snapshot:
        options = self._options
        asked = Crew(self._sight_endpoint, options.endpoints, options.workers)
        searched = Crew(self._finder.find, [options.files] if options.files else [], 1)
        found = searched.wait(self._deadline)
        paths = tuple(self._finder.paths)
        failures = dict(self._finder.failures)
        if not found:
            entry = self._finder.searching or options.files[0]
            failures[entry] = _late(f"The search of {entry}", self._deadline)
        read = Crew(self._sight_file, paths, options.workers, eager=False)
        read.wait(self._deadline)
        asked.wait(self._deadline)
        return self._snapshot(paths, failures)

    def _sight_endpoint(self, spec: EndpointSpec) -> None:
        self._endpoints[spec.target] = self._prober.sight(spec)

    def _sight_file(self, path: str) -> None:
        self._files[path] = sight_file(path, self._options.max_size)

    def _snapshot(self, paths: tuple[str, ...], failures: dict[str, Failure]) -> Snapshot:
        read, asked = dict(self._files), dict(self._endpoints)
        seen = [sighting for sighting, _size in read.values()] + list(asked.values())
        seen += [Sighting(path, FILE, failures=(failure,)) for path, failure in failures.items()]
        seen += [self._unfinished(path, FILE) for path in paths if path not in read]
        seen += [
            self._unfinished(spec.target, ENDPOINT) for spec in self._options.endpoints if spec.target not in asked
        ]
        return Snapshot(
            sightings=tuple(seen),
            files=len(read),
            bytes=sum(size for _sighting, size in read.values()),
            endpoints=len(asked),
            degraded=tuple(sorted(self._prober.degraded)) + _not_entered(self._finder.too_deep, self._options),
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
        f"the first of them {min(directories)}.",
    )
