# Copyright (c) 2026 Upkeep maintainers
# GNU General Public License v3.0-or-later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What is known of one table or index, and what is thought of its size."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from ansible_collections.cadence.upkeep.plugins.module_utils._core.plain import one_line

# What an estimate is about. TOAST tables are looked at only when they are asked for.
TABLE, INDEX, TOAST = "table", "index", "toast"

# How the size was found out. ``NONE`` is not at all: then nothing is said to be free.
ESTIMATE, PGSTATTUPLE, PGSTATINDEX, NONE = "estimate", "pgstattuple_approx", "pgstatindex", "none"

# How far it is to be trusted, best first. ``low`` is for a person to look at, ``none`` for nobody.
CONFIDENCES = ("high", "medium", "low", "none")


@dataclass(frozen=True)
class Estimate:
    """How large one relation is and how large it would be after a rewrite. Sizes are bytes of its main fork.

    ``kind`` is table, index or toast. ``sql_name`` comes from the server's own ``format('%I.%I')``. ``table_oid`` and
    ``table_name`` are the table that an index or a TOAST table belongs to; a table's own. ``why`` says what makes the
    confidence less than it could be.
    """

    oid: int
    kind: str
    schema: str
    name: str
    sql_name: str
    table_oid: int
    table_name: str
    bytes: int
    expected_bytes: int
    method: str = ESTIMATE
    confidence: str = "high"
    why: str = ""

    @property
    def bloat_bytes(self) -> int:
        """What a rewrite would free, never less than 0."""
        return max(0, self.bytes - self.expected_bytes)

    @property
    def ratio(self) -> float:
        """The share of its bytes that a rewrite would free, 0 to 1."""
        return self.bloat_bytes / self.bytes if self.bytes else 0.0

    @property
    def title(self) -> str:
        """``schema.name`` for texts."""
        return one_line(self.sql_name)

    def as_dict(self) -> dict[str, Any]:
        """Return it as a record for a result."""
        return {
            "oid": self.oid,
            "kind": self.kind,
            "schema": self.schema,
            "name": self.name,
            "table": self.table_name,
            "bytes": self.bytes,
            "expected_bytes": self.expected_bytes,
            "bloat_bytes": self.bloat_bytes,
            "ratio": round(self.ratio, 4),
            "method": self.method,
            "confidence": self.confidence,
            "why": self.why,
        }


@dataclass(frozen=True)
class Column:
    """One column of a table or of an index, as it is stored.

    ``length`` is ``attlen``: bytes, -1 for a varlena, -2 for a C string. ``short`` is whether a varlena may take the
    header of one byte, which needs no alignment. ``nulls`` is the share of nulls, ``width`` the mean bytes of the
    others with their header; ``lengths`` are (bytes without header, weight) of typical values, where known.
    """

    length: int
    align: int = 1
    short: bool = True
    nulls: float = 0.0
    width: float = 0.0
    lengths: Sequence[tuple[int, float]] = ()


@dataclass(frozen=True)
class Key:
    """What decides how often the values of a key column of an index are alike.

    ``distinct`` is as in ``pg_stats.n_distinct``: a number, or when negative a share of the rows. ``common`` are the
    shares of the most common values.
    """

    distinct: float
    nulls: float = 0.0
    common: Sequence[float] = ()
