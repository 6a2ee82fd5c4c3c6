# Copyright (c) 2026 Upkeep maintainers
# GNU General Public License v3.0-or-later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from ansible.errors import AnsibleFilterError

HEAD = ("HOST", "NAME", "ISSUER", "UNTIL", "DAYS", "STATE")
_COMMON_NAME = re.compile(r"(?:^|[,+])CN=((?:\\.|[^,+\\])+)")
_UNKNOWN = "-"


def certificates_table(records: Sequence[Mapping[str, Any]], host: str) -> list[str]:
    """Return the *records* of ``cert_expiry`` as lines of text, a head and one line for each, in their order.

    Raises ``AnsibleFilterError`` for what is no list of such records.
    """
    try:
        rows = [_row(record, host) for record in records]
    except (AttributeError, KeyError, TypeError) as error:
        raise AnsibleFilterError("These are not the records of cert_expiry (its list certificates).") from error
    table = [HEAD, *rows]
    widths = [max(len(row[column]) for row in table) for column in range(len(HEAD))]
    return ["  ".join(_cells(row, widths)).rstrip() for row in table]


def _row(record: Mapping[str, Any], host: str) -> tuple[str, ...]:
    leaf = record["leaf"]
    if leaf is None:
        return host, record["target"], _UNKNOWN, _UNKNOWN, _UNKNOWN, record["state"]
    day, days = leaf["not_after"].partition("T")[0], f"{leaf['remaining_days']:.1f}"
    return host, record["target"], _short(leaf["issuer"]), day, days, record["state"]


def _short(issuer: str) -> str:
    """Return the common name in *issuer* (RFC 4514), which is what people call an authority, else all of it."""
    found = _COMMON_NAME.search(issuer)
    return re.sub(r"\\(.)", r"\1", found[1]) if found else issuer or _UNKNOWN


def _cells(row: Sequence[str], widths: Sequence[int]) -> list[str]:
    right = HEAD.index("DAYS")
    return [
        cell.rjust(width) if column == right else cell.ljust(width)
        for column, (cell, width) in enumerate(zip(row, widths, strict=True))
    ]


class FilterModule:
    def filters(self) -> Mapping[str, Callable[..., Any]]:
        return {"certificates_table": certificates_table}
