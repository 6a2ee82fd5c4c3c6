# Copyright (c) 2026 Upkeep maintainers
# GNU General Public License v3.0-or-later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""From what Python and its drivers hand out to what JSON has."""

from __future__ import annotations

import enum
import math
import re
from collections.abc import Mapping
from datetime import date, datetime, timedelta, timezone
from decimal import Decimal
from ipaddress import IPv4Address, IPv6Address
from pathlib import PurePath
from typing import Any
from uuid import UUID

from ansible_collections.cadence.upkeep.plugins.module_utils._core.finding import Severity

_WRITTEN_AS_TEXT = (PurePath, UUID, IPv4Address, IPv6Address)
_CONTROL = re.compile(r"[\x00-\x1f\x7f]")


def to_plain(value: Any, strict: bool = True) -> Any:
    """Return *value* as dicts with text keys, lists, texts, finite numbers, booleans and None.

    Instants become RFC 3339 text, spans of time seconds, a ``Severity`` its word, another enum its value, sets sorted
    lists, bytes text. A number that JSON cannot hold (NaN, infinity) becomes None. In texts, what UTF-8 cannot encode
    (a file name in another encoding) is written as an escape, so that every report can be written to a file.

    Raises ``TypeError``, naming the place, for any other type; with *strict* false, its text stands for it instead.
    """
    return _plain(value, strict, ("the value",))


def _plain(value: Any, strict: bool, place: tuple[Any, ...]) -> Any:
    """*place* is the way to *value*: what it is called, or the place that it is in and its key there."""
    if value is None or isinstance(value, bool):
        return value
    if isinstance(value, str):
        return _encodable(value)
    if isinstance(value, enum.Enum):
        return value.word if isinstance(value, Severity) else _plain(value.value, strict, place)
    if isinstance(value, int):
        return value
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if isinstance(value, Mapping):
        return {_key(key): _plain(entry, strict, (place, key)) for key, entry in value.items()}
    if isinstance(value, (list, tuple)):
        return [_plain(entry, strict, (place, index)) for index, entry in enumerate(value)]
    return _plain_rare(value, strict, place)


def _plain_rare(value: Any, strict: bool, place: tuple[Any, ...]) -> Any:
    if isinstance(value, Decimal):
        return _number(value)
    if isinstance(value, datetime):
        return _instant(value)
    if isinstance(value, date):
        return value.isoformat()
    if isinstance(value, timedelta):
        return value.total_seconds()
    if isinstance(value, (set, frozenset)):
        return sorted((_plain(entry, strict, place) for entry in value), key=str)
    if isinstance(value, (bytes, bytearray, memoryview)):
        return bytes(value).decode("utf-8", errors="backslashreplace")
    if isinstance(value, _WRITTEN_AS_TEXT) or not strict:
        return _encodable(str(value))
    raise TypeError(f"{_words_of(place)} is a {type(value).__name__}, which JSON does not have")


def _words_of(place: tuple[Any, ...]) -> str:
    return str(place[0]) if len(place) == 1 else f"{_words_of(place[0])}[{place[1]!r}]"


def _key(key: Any) -> str:
    return _encodable(key) if isinstance(key, str) else str(_plain(key, False, ("a key",)))


def _instant(value: datetime) -> str:
    """``times.rfc3339``, which cannot be imported here: its errors are made plain by this file."""
    if value.tzinfo is None:
        # There is no telling which instant it is: it stays as it was written.
        return value.isoformat()
    return value.astimezone(timezone.utc).replace(tzinfo=None, microsecond=0).isoformat() + "Z"


def _number(value: Decimal) -> int | float | None:
    if not value.is_finite():
        return None
    # Beyond 18 digits an integer would only be a longer way to write an approximation.
    if value == value.to_integral_value() and value.adjusted() < 18:
        return int(value)
    approximate = float(value)
    return approximate if math.isfinite(approximate) else None


def _encodable(text: str) -> str:
    if text.isascii():
        return text
    try:
        text.encode()
    except UnicodeEncodeError:
        return text.encode("utf-8", errors="backslashreplace").decode()
    return text


def one_line(text: str) -> str:
    r"""Return *text* with control characters written out (``\n``), so that a name cannot break a line of a report."""
    # Nearly every name is, and this is the quick way to see it.
    if text.isprintable():
        return text
    return _CONTROL.sub(lambda match: match.group().encode("unicode_escape").decode("ascii"), text)
