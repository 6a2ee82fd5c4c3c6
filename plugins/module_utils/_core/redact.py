# Copyright (c) 2026 Upkeep maintainers
# GNU General Public License v3.0-or-later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Keep secrets out of whatever leaves the process."""

from __future__ import annotations

import re
from typing import Any, Iterable

MASK = "********"

_SECRET_WORD = r"(?:pass(?:word|wd|phrase)?|pwd|secret|token|api[_-]?key|access[_-]?key|private[_-]?key|credentials?)"
# A key names a secret when the word stands at its end: `login_password` does, `password_encryption` does not.
_SECRET_KEY = re.compile(rf"(?:^|[_\-.]){_SECRET_WORD}s?$", re.IGNORECASE)
_PATTERNS: tuple[tuple[re.Pattern[str], str], ...] = (
    (re.compile(r"-----BEGIN ([A-Z0-9 ]+)-----.*?(?:-----END \1-----|\Z)", re.DOTALL), r"[redacted \1]"),
    (re.compile(r"(?<=://)[^\s/@:]*:[^\s/@]*(?:@[^\s/@]*)*(?=@)"), MASK),
    (re.compile(r"\b(authorization\s*[:=]\s*(?:\w+\s+)?)[^\s'\",;]+", re.IGNORECASE), rf"\1{MASK}"),
    (re.compile(r"\b((?:bearer|basic)\s+)[A-Za-z0-9._~+/=-]{8,}", re.IGNORECASE), rf"\1{MASK}"),
    (
        re.compile(
            rf"((?:\b|_){_SECRET_WORD}['\"]?\s*(?:=|:(?!//))\s*)(?!\*{{8}})(\"[^\"\n]*\"|'[^'\n]*'|[^\s'\",;&]+)",
            re.IGNORECASE,
        ),
        rf"\1{MASK}",
    ),
    (re.compile(r"(--?[\w-]*pass(?:word|phrase)?[= ])\S+", re.IGNORECASE), rf"\1{MASK}"),
    (re.compile(r"\beyJ[\w-]{8,}\.[\w-]{8,}\.[\w-]*"), MASK),
    (re.compile(r"\b(?:gh[pousr]_|github_pat_|glpat-|xox[abpers]-|AKIA|ASIA|sk-)[\w-]{12,}"), MASK),
)


def redact(text: str, secrets: Iterable[str] = ()) -> str:
    """Return *text* with every known form of a secret masked, and every one of *secrets* wherever it stands."""
    for secret in sorted(filter(None, secrets), key=len, reverse=True):
        text = text.replace(secret, MASK)
    for pattern, replacement in _PATTERNS:
        text = pattern.sub(replacement, text)
    return text


def redact_tree(value: Any, secrets: Iterable[str] = ()) -> Any:
    """Return *value* (plain JSON types) with its texts redacted, and whole values whose key names a secret masked."""
    known = tuple(secrets)
    if isinstance(value, str):
        return redact(value, known)
    if isinstance(value, dict):
        return {
            key: MASK if _names_secret(key) and isinstance(entry, (str, bytes)) and entry else redact_tree(entry, known)
            for key, entry in value.items()
        }
    if isinstance(value, (list, tuple)):
        return [redact_tree(entry, known) for entry in value]
    return value


def _names_secret(key: object) -> bool:
    return isinstance(key, str) and _SECRET_KEY.search(key) is not None
