# Copyright (c) 2026 Upkeep maintainers
# GNU General Public License v3.0-or-later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What alembic says, and what its statements mean. Pure."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass

# `ae1027a6acf (head)`, `ae1027a6acf (shop) (effective head)`, `ae1027a6acf`.
_REVISION = re.compile(r"^([0-9A-Za-z_.\-]+)(?: \([^)]*\))*$")
_COMMENT = re.compile(r"--[^\n]*")
_FIRST = re.compile(
    r"^(?:--|(?:BEGIN|CREATE|ALTER|DROP|INSERT|UPDATE|DELETE|SELECT|SET|COMMENT|GRANT|REVOKE|LOCK|TRUNCATE|DO|WITH)\b)",
    re.MULTILINE,
)
_VERSION_TABLE = re.compile(r"\balembic_version\b", re.IGNORECASE)
_WORDS = r"(?:IF\s+(?:NOT\s+)?EXISTS\s+)?"

# What a migration may not do lightly while the version of before still runs -> why.
_RISKS: tuple[tuple[str, str], ...] = (
    (rf"^DROP\s+TABLE\s+{_WORDS}", "the version that still runs may use the table"),
    (r"^ALTER\s+TABLE\b.*\bDROP\s+COLUMN\b", "the version that still runs may use the column"),
    (r"^ALTER\s+TABLE\b.*\bRENAME\b", "the version that still runs knows the old name"),
    (r"^ALTER\s+TABLE\b.*\bSET\s+NOT\s+NULL\b", "the whole table is read under a lock, and old code may write NULL"),
    (r"^ALTER\s+TABLE\b.*\bADD\s+COLUMN\b(?!.*\bDEFAULT\b).*\bNOT\s+NULL\b", "it fails on a table with rows"),
    (r"^ALTER\s+TABLE\b.*\bTYPE\b", "the table may be rewritten under a lock that excludes everybody"),
    (
        r"^ALTER\s+TABLE\b(?!.*\bNOT\s+VALID\b).*\bADD\b.*\b(?:FOREIGN\s+KEY|CHECK)\b",
        "the whole table is read under a lock; NOT VALID first and VALIDATE later does not",
    ),
    (r"^CREATE\s+(?:UNIQUE\s+)?INDEX\s+(?!CONCURRENTLY\b)", "writers wait until the index is built"),
    (r"^(?:LOCK|TRUNCATE|VACUUM\s+FULL|CLUSTER|REINDEX\s+(?!.*CONCURRENTLY))\b", "everybody waits for it"),
    (r"^(?:DELETE\s+FROM|UPDATE)\b(?!.*\bWHERE\b)", "every row is changed in one transaction"),
)
_COMPILED = tuple((re.compile(pattern, re.IGNORECASE | re.DOTALL), why) for pattern, why in _RISKS)
_NEW_TABLE = re.compile(rf"^CREATE\s+TABLE\s+{_WORDS}([\w.\"]+)", re.IGNORECASE)
_INDEX_ON = re.compile(r"\bON\s+(?:ONLY\s+)?([\w.\"]+)", re.IGNORECASE)
_ALTERED = re.compile(rf"^ALTER\s+TABLE\s+(?:ONLY\s+)?{_WORDS}([\w.\"]+)", re.IGNORECASE)


@dataclass(frozen=True)
class Risk:
    """A statement that deserves a second look: its beginning, without values, and why."""

    statement: str
    why: str


def revisions(said: str) -> list[str]:
    """Return the revisions in the output of ``alembic current``, whatever sentences were printed besides."""
    matches = [_REVISION.match(line.strip()) for line in said.splitlines()]
    return list(dict.fromkeys(match.group(1) for match in matches if match))


def heads(said: str) -> list[str]:
    """Return the revisions in the output of ``alembic heads``, which marks each."""
    return revisions("\n".join(line for line in said.splitlines() if line.rstrip().endswith("head)")))


def statements(sql: str) -> list[str]:
    """Return the statements of a script as ``upgrade --sql`` writes it, without comments and bookkeeping."""
    found = []
    for part in split(_script(sql)):
        text = " ".join(_COMMENT.sub("", part).split())
        if text and not _VERSION_TABLE.search(text) and text.upper() not in ("BEGIN", "COMMIT"):
            found.append(text)
    return found


def _script(said: str) -> str:
    """Return what alembic wrote, without what the application printed before: one quote in it would hide all."""
    first = _FIRST.search(said)
    return said[first.start() :] if first else ""


def split(sql: str) -> list[str]:
    """Return the parts of a script between semicolons that are not within quotes, bodies or comments."""
    parts, begin, position = [], 0, 0
    token = re.compile(r"--[^\n]*|/\*.*?\*/|'(?:[^']|'')*'|\"(?:[^\"]|\"\")*\"|\$(\w*)\$.*?\$\1\$|;", re.DOTALL)
    while True:
        match = token.search(sql, position)
        if match is None:
            break
        position = match.end()
        if match.group() == ";":
            parts.append(sql[begin : match.start()])
            begin = position
    parts.append(sql[begin:])
    return [part for part in parts if part.strip()]


def risks(sql: str) -> list[Risk]:
    """Return what deserves a second look; what concerns a table that the script itself makes does not."""
    found, made = [], set()
    for statement in statements(sql):
        new = _NEW_TABLE.match(statement)
        if new:
            made.add(new.group(1))
        table = _ALTERED.match(statement) or (
            _INDEX_ON.search(statement) if re.match(r"CREATE\s", statement, re.IGNORECASE) else None
        )
        if table and table.group(1) in made:
            continue
        for pattern, why in _COMPILED:
            if pattern.search(statement):
                found.append(Risk(_shape(statement), why))
                break
    return found


def _shape(statement: str) -> str:
    """Return the beginning of a statement without its values: they may be somebody's data."""
    return re.sub(r"'(?:[^']|'')*'", "'…'", statement)[:160]


def agree(current: Sequence[str], wanted: str) -> bool:
    """True when the database is at *wanted* alone; a revision may be abbreviated to its first letters."""
    return len(current) == 1 and bool(wanted) and current[0].startswith(wanted)
