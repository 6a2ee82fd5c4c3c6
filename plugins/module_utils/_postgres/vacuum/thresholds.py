# Copyright (c) 2026 Upkeep maintainers
# GNU General Public License v3.0-or-later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""From where on autovacuum would work on a table, by the rules of autovacuum.c of 14 to 18. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace

from ansible_collections.cadence.upkeep.plugins.module_utils._postgres.vacuum.model import Autovacuum, Limit


@dataclass(frozen=True)
class Relation:
    """What autovacuum looks at in a table or a TOAST table.

    ``rows`` is ``reltuples``; ``options`` are its storage parameters; ``inserted`` are the rows inserted since the last
    VACUUM, and ``unfrozen`` is the share of its pages that the threshold of inserts counts.
    """

    rows: float
    options: tuple[str, ...] = ()
    inserted: int = 0
    unfrozen: float = 1.0


class Parameters:
    """The storage parameters of a relation over the settings of the server, both by their names in the server."""

    def __init__(self, settings: Mapping[str, str], options: Iterable[str]) -> None:
        given = dict(option.split("=", 1) for option in options)
        self._values = {**settings, **{name: value for name, value in given.items() if name.startswith("autovacuum")}}

    def number(self, name: str, absent: float = 0.0) -> float:
        """Return ``autovacuum_<name>``; *absent* on a server that does not know it."""
        return float(self._values.get(f"autovacuum_{name}", absent))

    def dead(self) -> Limit:
        most = self.number("vacuum_max_threshold", -1)
        limit = Limit(self.number("vacuum_threshold"), self.number("vacuum_scale_factor"))
        return replace(limit, most=most) if most >= 0 else limit

    def inserts(self, unfrozen: float) -> Limit | None:
        base = self.number("vacuum_insert_threshold", -1)
        return Limit(base, self.number("vacuum_insert_scale_factor") * unfrozen) if base >= 0 else None

    def changed(self) -> Limit:
        return Limit(self.number("analyze_threshold"), self.number("analyze_scale_factor"))


def thresholds(heap: Relation, toast: Relation | None, settings: Mapping[str, str]) -> Autovacuum:
    """Return the thresholds of a table, of which *toast* is the TOAST table."""
    own = Parameters(settings, heap.options)
    limits = Autovacuum(own.dead(), own.changed(), own.inserts(heap.unfrozen), inserted=heap.inserted)
    if toast is None:
        return limits
    # One without parameters of its own takes those of its table.
    its = Parameters(settings, toast.options) if toast.options else own
    return replace(
        limits,
        toast_dead=its.dead(),
        toast_inserts=its.inserts(toast.unfrozen),
        toast_inserted=toast.inserted,
        toast_rows=toast.rows,
    )
