# Copyright (c) 2026 Upkeep maintainers
# GNU General Public License v3.0-or-later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Large objects that nothing refers to: the words of the job."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from ansible_collections.cadence.upkeep.plugins.module_utils._core.plain import one_line
from ansible_collections.cadence.upkeep.plugins.module_utils._postgres.model import SessionOptions, quote_name

REPORTED, ABSENT = "reported", "absent"
STATES = (REPORTED, ABSENT)

# How a column may hold the number of a large object. The first three are references; the others hold values that may be
# some by the application's own agreement, of which the database knows nothing.
DIRECT, ARRAY, NESTED = "direct", "array", "nested"
NUMBER, NUMERIC, WORDS = "number", "numeric", "words"
REFERENCES = (DIRECT, ARRAY, NESTED)
ALL_KINDS = (*REFERENCES, NUMBER, NUMERIC, WORDS)

# Why a column cannot be looked into.
PRIVILEGE, ROW_SECURITY, OTHER_SESSION, FOREIGN = "privilege", "row_security", "other_session", "foreign"

# What became of a database.
UNKNOWN, REFUSED, PLANNED, DONE, PARTIAL, SKIPPED = "unknown", "refused", "planned", "done", "partial", "skipped"


@dataclass(frozen=True)
class Options:
    """What is asked for; times are seconds. ``sample_rows`` 0 is every row."""

    state: str
    databases: tuple[str | None, ...]
    exclude_columns: tuple[str, ...]
    min_age: float
    sample_rows: int
    look_limit: float
    batch_size: int
    max_objects: int
    time_limit: float | None
    session: SessionOptions


@dataclass(frozen=True)
class Column:
    """One column that may hold numbers of large objects. ``hidden`` says why it cannot be looked into, else empty.

    ``sql_table`` and ``sql_name`` are quoted for statements; ``rows`` is an estimate, -1 unknown; ``bytes`` the heap's.
    """

    table_oid: int
    schema: str
    table: str
    name: str
    sql_table: str
    sql_name: str
    kind: str
    rows: float
    bytes: int
    hidden: str = ""

    @property
    def title(self) -> str:
        """``schema.table.column`` as a person writes it, in one line."""
        return one_line(".".join(quote_name(part) for part in (self.schema, self.table, self.name)))

    @property
    def is_reference(self) -> bool:
        return self.kind in REFERENCES

    @property
    def plain_names(self) -> tuple[str, ...]:
        """What ``exclude_columns`` may call it."""
        return (f"{self.table}.{self.name}", f"{self.schema}.{self.table}.{self.name}")


@dataclass(frozen=True)
class Orphan:
    """A large object without a reference. ``xmin`` is the transaction that made it, or changed its owner or rights."""

    oid: int
    xmin: str


@dataclass(frozen=True)
class Orphans:
    """What nothing refers to: how many there are, and the first of them, those that may be unlinked if there are any.

    ``old`` and ``permitted`` count those that are old enough, and those that the role may unlink. ``bytes`` is ``None``
    when it may not be seen or takes too long, and of the first ``measured`` ones.
    """

    total: int
    count: int
    old: int
    permitted: int
    unlinkable: int
    first: tuple[Orphan, ...]
    oldest: tuple[int, ...]
    bytes: int | None = None
    measured: int = 0

    @property
    def candidates(self) -> tuple[Orphan, ...]:
        """Those of ``first`` that may be unlinked in this run: all of them, or none."""
        return self.first if self.unlinkable else ()


@dataclass(frozen=True)
class Hit:
    """``count`` values in a column equal numbers of orphans; with ``sampled``, among the rows looked at."""

    column: Column
    count: int
    sampled: bool


@dataclass(frozen=True)
class Look:
    """What was seen of one database. ``trouble`` says why the look is not whole, with the step that mends it."""

    label: str
    database: str
    columns: tuple[Column, ...]
    excluded: tuple[Column, ...] = ()
    orphans: Orphans | None = None
    hits: tuple[Hit, ...] = ()
    looked_at_values: int = 0
    trouble: str = ""
    remedy: str = ""
    seconds: float = 0.0
    notes: tuple[str, ...] = ()

    @property
    def subject(self) -> str:
        return f"{self.label}: {one_line(quote_name(self.database))}"

    @property
    def hidden(self) -> tuple[Column, ...]:
        """What cannot be looked into and could make a reference of an orphan."""
        return tuple(column for column in self.columns if column.hidden and column.hidden != FOREIGN)

    @property
    def excludable(self) -> tuple[Column, ...]:
        """Every column that was thought of, those that the user left out too."""
        return self.columns + self.excluded

    @property
    def references(self) -> tuple[Column, ...]:
        return tuple(column for column in self.columns if column.is_reference and not column.hidden)


@dataclass(frozen=True)
class Unlinked:
    """What came of the work: how many are gone, and the oids that were left, by reason.

    ``stopped`` says what ended the work, with its class (SQLSTATE) if it was an error of the server.
    """

    removed: int = 0
    left: Mapping[str, int] = field(default_factory=dict)
    stopped: str = ""
    sqlstate: str = ""
    holders: tuple[str, ...] = ()
    batches: int = 0
    seconds: float = 0.0


@dataclass(frozen=True)
class Record:
    """One database of the run. ``why`` says why nothing, or not all, was done there."""

    name: str
    status: str
    why: str = ""
    look: Look | None = None
    planned: int = 0
    unlinked: Unlinked | None = None

    @property
    def filters(self) -> tuple[str, ...]:
        """Nothing chooses among the objects of a database: all of them are looked at."""
        return ()

    def as_dict(self) -> dict[str, Any]:
        look = self.look
        orphans = look.orphans if look is not None else None
        return {
            "name": self.name,
            "status": self.status,
            "reason": self.why,
            "objects": orphans.total if orphans else None,
            "orphans": orphans.count if orphans else None,
            "bytes": orphans.bytes if orphans else None,
            "measured": orphans.measured if orphans else 0,
            "oldest": list(orphans.oldest) if orphans else [],
            "too_new": orphans.count - orphans.old if orphans else None,
            "not_permitted": orphans.count - orphans.permitted if orphans else None,
            "planned": self.planned,
            "removed": self.unlinked.removed if self.unlinked else 0,
            "reference_columns": len(look.references) if look else 0,
            "value_columns": look.looked_at_values if look else 0,
            "hidden_columns": [column.title for column in look.hidden[:20]] if look else [],
            "value_matches": (
                [{"column": hit.column.title, "count": hit.count, "sampled": hit.sampled} for hit in look.hits[:20]]
                if look
                else []
            ),
            "notes": list(look.notes) if look else [],
            "seconds": round((look.seconds if look else 0) + (self.unlinked.seconds if self.unlinked else 0), 3),
        }
