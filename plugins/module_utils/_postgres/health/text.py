# Copyright (c) 2026 Upkeep maintainers
# GNU General Public License v3.0-or-later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Make the text of a statement fit to be shown: no value of a user's in it, and short. Pure."""

from __future__ import annotations

import re

from ansible_collections.cadence.upkeep.plugins.module_utils._core.redact import redact

LENGTH = 200

# What pg_stat_statements leaves in: it replaces constants of queries only, and before 16 none in other commands.
_TOKEN = re.compile(
    r"""
    (?P<comment>--[^\n]*|/\*.*?(?:\*/|\Z))
    | (?P<dollar>\$(?P<tag>[A-Za-z_\x80-\uffff][\w\x80-\uffff]*)\$.*?(?:\$(?P=tag)\$|\Z))
    | (?P<dollars>\$\$.*?(?:\$\$|\Z))
    | (?P<parameter>\$[0-9]+)
    | (?P<name>"(?:[^"]|"")*(?:"|\Z))
    | (?P<string>(?:\b[EeBbXxNn]|\b[Uu]&)?'(?:[^'\\]|'')*(?P<end>'|\\|\Z))
    | (?P<word>[A-Za-z_\x80-\uffff][\w$\x80-\uffff]*)
    | (?P<number>\.?[0-9][\w.]*(?:(?<=[eE])[+-][0-9]+)?)
    """,
    re.VERBOSE | re.DOTALL,
)
_BLANKS = re.compile(r"\s+")


def shown(text: str, length: int = LENGTH) -> str:
    """Return *text* of a statement with every literal as ``?`` and without comments, at most *length* letters.

    A string with a backslash in it may end in one of two places, by a setting that is not known: what follows is left
    out.
    """
    kept: list[str] = []
    position = 0
    for token in _TOKEN.finditer(text):
        kept.append(text[position : token.start()])
        position = token.end()
        if token["comment"] is not None:
            kept.append(" ")
        elif token["string"] is not None:
            kept.append("?")
            if token["end"] != "'":
                position = len(text)
                kept.append(" …")
                break
        elif token["number"] is not None or token["dollar"] is not None or token["dollars"] is not None:
            kept.append("?")
        else:
            kept.append(token.group())
    kept.append(text[position:])
    line = redact(_BLANKS.sub(" ", "".join(kept)).strip())
    return line if len(line) <= length else f"{line[: length - 1]}…"
