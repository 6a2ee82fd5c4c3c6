# Copyright (c) 2026 Upkeep maintainers
# GNU General Public License v3.0-or-later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Durations, sizes and percentages as people write them: ``90s``, ``30d``, ``10MiB``, ``12.5%``."""

from __future__ import annotations

import re

from ansible_collections.cadence.upkeep.plugins.module_utils._core.errors import InvalidInput

DURATION, SIZE, PERCENT = "duration", "size", "percentage"

_SECONDS = {"ms": 0.001, "s": 1.0, "m": 60.0, "h": 3600.0, "d": 86400.0, "w": 604800.0}
_BYTES = {
    "B": 1.0,
    **{f"{letter}iB": 1024.0**power for power, letter in enumerate("KMGTP", 1)},
    **{f"{letter}B": 1000.0**power for power, letter in enumerate("kMGTP", 1)},
}
_UNITS: dict[str, tuple[str, float]] = {
    **{unit: (DURATION, factor) for unit, factor in _SECONDS.items()},
    **{unit: (SIZE, factor) for unit, factor in _BYTES.items()},
    "%": (PERCENT, 0.01),
}
_EXAMPLES = {DURATION: "90s, 5m, 2h or 30d", SIZE: "512KiB, 10MiB or 2GB", PERCENT: "80% or 12.5%"}
_PART = re.compile(r"\s*([0-9]+(?:\.[0-9]+)?)\s*([A-Za-z%]*)")
# More than any duration in seconds or size in bytes that a host can have; beyond it, arithmetic becomes inexact.
_LARGEST = 2.0**60


def parse_quantity(text: object) -> tuple[str, float]:
    """Return ``(kind, value)`` of *text*: seconds, bytes, or a ratio (``80%`` is 0.8).

    A duration may have several parts (``1h30m``). Raises ``InvalidInput``, which names the text, for anything else.
    """
    return _parse(text, (DURATION, SIZE, PERCENT))


def parse_duration(text: object) -> float:
    """Return the seconds of ``90s``, ``5m``, ``2h``, ``30d``, ``1h30m``. A bare ``0`` needs no unit.

    Raises ``InvalidInput``, which names the text, for anything else.
    """
    return _parse(text, (DURATION,))[1]


def parse_size(text: object) -> int:
    """Return the bytes of ``10MiB`` (binary) or ``10MB`` (decimal), to the nearest. A bare ``0`` needs no unit.

    Raises ``InvalidInput``, which names the text, for anything else.
    """
    return round(_parse(text, (SIZE,))[1])


def parse_percent(text: object) -> float:
    """Return the ratio of ``80%``: 0.8. It may be above 1. A bare ``0`` needs no sign.

    Raises ``InvalidInput``, which names the text, for anything else.
    """
    return _parse(text, (PERCENT,))[1]


def _parse(text: object, wanted: tuple[str, ...]) -> tuple[str, float]:
    written = text.strip() if isinstance(text, str) else repr(text)
    if written == "0":
        return wanted[0], 0.0
    total, kind, position = 0.0, "", 0
    while position < len(written):
        part = _PART.match(written, position)
        if part is None:
            raise _refuse(written, wanted, "cannot be read")
        number, unit = part.groups()
        if not unit:
            raise _refuse(written, wanted, "has no unit")
        if unit not in _UNITS:
            raise _refuse(written, wanted, f"has the unknown unit {unit!r}")
        part_kind, factor = _UNITS[unit]
        if part_kind not in wanted:
            raise _refuse(written, wanted, f"is a {part_kind}")
        if kind and (kind, part_kind) != (DURATION, DURATION):
            raise _refuse(written, wanted, "has more than one part")
        kind, total, position = part_kind, total + float(number) * factor, part.end()
    if not kind:
        raise _refuse(written, wanted, "is empty")
    if total > _LARGEST:
        raise _refuse(written, wanted, "is too large")
    return kind, total


def _refuse(written: str, wanted: tuple[str, ...], why: str) -> InvalidInput:
    shown = repr(written if len(written) <= 60 else f"{written[:60]}…")
    expected = " or ".join(wanted)
    examples = ", ".join(_EXAMPLES[kind] for kind in wanted)
    return InvalidInput(f"{shown} {why} where a {expected} is expected.", f"Write it like {examples}.")


def format_duration(seconds: float) -> str:
    """Return *seconds* (finite) for a person, two parts at most: ``2d 3h``, ``4m 10s``, ``0.25s``, ``4ms``."""
    if seconds < 0:
        positive = format_duration(-seconds)
        return positive if positive == "0s" else f"-{positive}"
    if seconds < 0.01:
        milliseconds = round(seconds * 1000)
        return f"{milliseconds}ms" if milliseconds else "0s"
    if seconds < 10:
        return f"{seconds:.2f}".rstrip("0").rstrip(".") + "s"
    left, parts = round(seconds), []
    for unit in ("d", "h", "m", "s"):
        count, left = divmod(left, int(_SECONDS[unit]))
        if count:
            parts.append(f"{count}{unit}")
        elif parts:
            break
    return " ".join(parts[:2])


def format_size(count: float) -> str:
    """Return *count* bytes for a person: ``512 B``, ``1.5 GiB``. ``parse_size`` reads it, to the digits shown."""
    if round(abs(count)) < 1024:
        return f"{round(count)} B"
    amount, unit = count / 1024, "KiB"
    for larger in ("MiB", "GiB", "TiB", "PiB"):
        # Rounded, or 1023.96 KiB would be shown as 1024.0 KiB.
        if round(abs(amount), 1) < 1024:
            break
        amount, unit = amount / 1024, larger
    return f"{amount:.1f} {unit}"
