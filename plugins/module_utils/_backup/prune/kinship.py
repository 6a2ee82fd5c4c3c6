# Copyright (c) 2026 Upkeep maintainers
# GNU General Public License v3.0-or-later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Whether names belong to one series: what is left of them without their times. Pure.

A pattern like ``shop-*`` also matches ``shop-archive-20261122.sql.gz``. Two things in one series would push each other
out, so that names must be the same but for numbers, the words of a calendar, and the format at their end.
"""

from __future__ import annotations

import re

from ansible_collections.cadence.upkeep.plugins.module_utils._backup.names import CONTAINERS, INNERMOST

_SUFFIXES = (*CONTAINERS, *INNERMOST, ".dump", ".dmp", ".backup", ".bak", ".archive", ".dir", ".enc", ".asc")
# The letters of a time: 20261122T020000Z, 02h00m, 02-00-00UTC, +0100 has none.
_OF_TIME = re.compile(r"(?<=\d)(?:UTC|[TtZzhms])(?![A-Za-z])")
_WORDS = re.compile(
    r"(?<![a-z])(?:mon|tues?|wed(?:nes)?|thurs?|fri|satur|sat|sun)(?:day)?(?![a-z])"
    r"|(?<![a-z])(?:jan(?:uary)?|feb(?:ruary)?|mar(?:ch)?|apr(?:il)?|may|june?|july?|aug(?:ust)?"
    r"|sep(?:t|tember)?|oct(?:ober)?|nov(?:ember)?|dec(?:ember)?)(?![a-z])"
    # The places in which tools keep the same backups by age.
    r"|(?<![a-z])(?:last|latest|hourly|daily|weekly|monthly|yearly|week|month|year|day)(?![a-z])"
)
# A week: 2026-W47.
_WEEK = re.compile(r"(?<=\d)[-_]?[Ww](?=[0-5]\d(?!\d))")
# A few digits right behind a letter belong to a name (shop2), others to a time, a counter or a version.
_NUMBERS = re.compile(r"(?<![A-Za-z])\d+|(?<=[A-Za-z])\d{4,}")
_APART = re.compile(r"[\W_]+")


def kin(path: str) -> str:
    """Return what *path* (relative to the directory that a series has for itself) is called besides its time."""
    text = path
    while True:
        suffix = next((one for one in _SUFFIXES if text.lower().endswith(one)), "")
        if not suffix:
            break
        text = text[: -len(suffix)]
    # The letters of a time stand beside digits, which are still there.
    text = _OF_TIME.sub(" ", _WEEK.sub(" ", text)).lower()
    text = _NUMBERS.sub(" ", _WORDS.sub(" ", text))
    return " ".join(_APART.sub(" ", text).split())
