# Copyright (c) 2026 Upkeep maintainers
# GNU General Public License v3.0-or-later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Keep secrets out of whatever leaves the process.

Two nets: texts that are known to be secret are masked wherever they stand, and forms that give a secret away
(``password=``, the userinfo of a URL, PEM, tokens) are masked without knowing it. When in doubt a text is masked.
Every pattern takes time linear in the length of the text, whatever the text: no part that is unbounded can begin at
many places.
"""

from __future__ import annotations

import base64
import json
import re
from collections.abc import Iterable
from functools import lru_cache
from typing import Any
from urllib.parse import quote

MASK = "********"

# A word that names a secret when a name ends in it: `login_password` and PGPASSWORD do, `password_encryption` does not.
_ENDING = (
    r"(?:pass(?:word|wd|phrase)|secret|token|(?:api|access|secret)[_ -]?key"
    r"|(?:private|encryption|signing|master|account|shared)[_-]?key)"
)
# Words so short that they count only when they stand alone: `db_pass` and `userpass`, but neither `bypass` nor $PWD.
_ALONE = r"(?:(?:user|db|key|store|ssh|root|admin|my|pg)?pass|pwd(?![ \t]*=[ \t]*/)|psk|credentials?)"
_NAME = rf"(?:{_ENDING}|(?<![A-Za-z0-9]){_ALONE})"

_SECRET_KEY = re.compile(rf"{_NAME}(s?)$", re.IGNORECASE)
# What a count is called: `{"pass": 11, "fail": 1}` has no secret, `{"password": 12345}` has.
_COUNTED = re.compile(r"(?:pass|s)$", re.IGNORECASE)

# The value after `password=`: quoted, else up to a blank, or to a separator behind which the value cannot go on.
_CLOSED = r"""(?:[,;:.&"')\]}>]{0,8}(?:\s|\Z)|["']?[\w.-]{1,40}["']?[ \t]*[=:])"""
_VALUE = (
    r"""(?:"(?:[^"\\\n]|\\.?|"")*(?P<double>"?)|'(?:[^'\\\n]|\\.?|'')*(?P<single>'?)"""
    rf"""|(?:[^\s,;&"')\]}}>]|[,;&"')\]}}>](?!{_CLOSED}))+)"""
)


def _keep_quotes(match: re.Match[str]) -> str:
    closing = match["double"] or match["single"] or ""
    value = match[0][len(match["lead"]) :]
    opening = value[0] if value[0] in "\"'" else ""
    return f"{match['lead']}{opening}{MASK}{closing}"


# (a text that must occur in lower case for the pattern to be worth a try, pattern, replacement)
_RULES: tuple[tuple[tuple[str, ...], re.Pattern[str], Any], ...] = (
    (
        ("begin ",),
        re.compile(r"-{4,5} ?BEGIN ([A-Z0-9 ]+)-{4,5}.*?(?:-{4,5} ?END \1-{4,5}|\Z)", re.DOTALL),
        r"[redacted \1]",
    ),
    # Userinfo. The path of a database has no @; `host:8443/path@tag` and `[::1]:80/a@b` have no userinfo.
    (
        ("://",),
        re.compile(
            r"\b((?:postgres(?:ql)?|mysql|mariadb|rediss?|amqps?|mongodb|mssql|ldaps?|s?ftps?|smtps?)(?:\+\w{1,20})?://)"
            r"(?!\[)[^\s/?#@:]*:\S{0,512}(?=@)",
            re.IGNORECASE,
        ),
        rf"\1{MASK}",
    ),
    (
        ("://",),
        re.compile(r"(?<=://)(?!\[)[^\s/?#@:]*:(?![0-9]{1,5}/)(?:[^\s/]*(?=@)|[^\s@]{0,256}(?=@))"),
        MASK,
    ),
    (("://",), re.compile(r"(?<=://)[\w.~-]{20,}(?=@)"), MASK),
    (
        ("authorization",),
        re.compile(
            r"(authorization['\"]?[ \t]*[:=][ \t]*)"
            r"(?:(['\"])[^'\"\n]*|((?:basic|bearer|digest|negotiate|ntlm|token)[ \t]+)?[^\n]+)",
            re.IGNORECASE,
        ),
        lambda match: f"{match[1]}{match[2] or match[3] or ''}{MASK}",
    ),
    (("cookie",), re.compile(r"(\bcookie['\"]?[ \t]*:[ \t]*)[^\n]+", re.IGNORECASE), rf"\1{MASK}"),
    # A token has a digit, a padding or a capital inside; `basic authentication` has none.
    (
        ("bearer", "basic"),
        re.compile(
            r"\b((?:bearer|basic)[ \t]+)(?=[\w.~+/-]{0,200}(?:[0-9=]|(?-i:[a-z][A-Z])))[\w.~+/=-]{8,}", re.IGNORECASE
        ),
        rf"\1{MASK}",
    ),
    # password=..., "token": "...", api_key => ..., also with the quotes escaped once more.
    (
        ("pass", "secret", "token", "key", "pwd", "psk", "credential"),
        re.compile(
            rf"(?P<lead>(?:{_ENDING}(?:\\*['\"])?[ \t]*(?:=>?|:(?!//))[ \t]*"
            # `credentials: none` and `3 pass: ...` are prose; with a quote or without a blank they are not.
            rf"|(?<![A-Za-z0-9]){_ALONE}(?:(?:\\*['\"])[ \t]*(?:=>?|:)[ \t]*|[ \t]*=>?[ \t]*|:(?=\S))))(?!//){_VALUE}",
            re.IGNORECASE,
        ),
        _keep_quotes,
    ),
    # ALTER ROLE ... PASSWORD '...', IDENTIFIED BY '...'
    (
        ("password", "identified"),
        re.compile(
            r"\b(?P<lead>(?:password|identified[ \t]+by)\s+[EN]?)"
            r"(?:\"[^\"\n]*(?P<double>\"?)|'(?:[^'\\]|\\.?|'')*(?P<single>'?))",
            re.IGNORECASE,
        ),
        _keep_quotes,
    ),
    # --password VALUE, and the same for every other name of a secret; `--no-password` takes none.
    (
        ("pass", "secret", "token", "key"),
        re.compile(rf"(?<![\w-])(--?(?!no-)[\w-]{{0,40}}?(?:{_ENDING}|pass)[ \t]+)(?![-\s])\S+", re.IGNORECASE),
        rf"\1{MASK}",
    ),
    (("sshpass",), re.compile(r"\b(sshpass[ \t]+-p[ \t]*)\S+"), rf"\1{MASK}"),
    (("curl",), re.compile(r"\b(curl\b[^\n]{0,200}?[ \t](?:-u|--user)[ =]?[^\s:]{1,80}:)\S+"), rf"\1{MASK}"),
    # .netrc and .pgpass
    (("login",), re.compile(r"(\blogin[ \t]+\S+\s+password[ \t]+)\S+"), rf"\1{MASK}"),
    (
        (":",),
        # An address in hexadecimal has colons too.
        re.compile(r"^(?![0-9A-Fa-f:.]+$)([^\s:#]+:(?:[0-9]{2,5}|\*):[^\s:]+:[^\s:]+:)\S+$", re.MULTILINE),
        rf"\1{MASK}",
    ),
    (("</",), re.compile(rf"(<[\w:.-]{{0,40}}?{_NAME}>)[^<]+", re.IGNORECASE), rf"\1{MASK}"),
    # Signed URLs, which let in whoever has them.
    (
        ("sig", "auth", "key"),
        re.compile(r"([?&](?:[\w-]{0,20}sig(?:nature)?|auth|key)=)[^\s&\"']+", re.IGNORECASE),
        rf"\1{MASK}",
    ),
    (("hooks",), re.compile(r"(\bhooks\.[\w.-]{1,80}/services/)[\w/-]+"), rf"\1{MASK}"),
    # Tokens that show by their form what they are.
    (("eyj",), re.compile(r"(?<![\w-])eyJ[\w-]{8,}\.[\w-]{8,}(?:\.[\w-]*)*"), MASK),
    (
        ("gh", "glpat-", "xox", "akia", "asia", "sk-", "hvs.", "npm_", "dckr_", "age-secret-key-"),
        re.compile(
            r"\b(?:(?:gh[pousr]_|github_pat_|glpat-|xox[abeprs]-|sk-|hvs\.|npm_|dckr_pat_)[\w-]{12,}"
            r"|(?:AKIA|ASIA)[A-Z0-9]{12,}|AGE-SECRET-KEY-[A-Z0-9]{12,})"
        ),
        MASK,
    ),
    # Stored passwords: PostgreSQL's, and those of crypt(3).
    (("scram-sha-256$", "md5"), re.compile(r"\bSCRAM-SHA-256\$[^\s'\"]+|\bmd5[0-9a-f]{32}\b"), MASK),
    (("$",), re.compile(r"\$(?:[156y]|2[abxy]|apr1|argon2\w{1,2})\$[\w./$=,+-]{8,}"), MASK),
)

_WORTH_A_LOOK = re.compile("|".join(sorted({re.escape(hint) for hints, *_rest in _RULES for hint in hints} - {":"})))
_PEM_BEGIN = re.compile(r"-----BEGIN ([A-Z0-9 ]+)-----")


def redact(text: str, secrets: Iterable[str] = ()) -> str:
    """Return *text* with every known form of a secret masked, and every one of *secrets* wherever it stands.

    Of *secrets* the usual disguises are masked too: within a URL, JSON or base64, without the line's end, or, when it
    has several lines, line by line. Redacting twice is the same as once.
    """
    return _redact(text, _known(secrets))


def redact_torn(text: str, secrets: Iterable[str] = ()) -> str:
    """Redact *text* whose end was cut off: what is left there of one of *secrets* is masked too."""
    known = tuple(secrets)
    forms = {form for secret in known if secret for form in _forms(secret)}
    lengths = ((form, length) for form in forms for length in range(1, min(len(form), 4096)))
    torn = max((length for form, length in lengths if text.endswith(form[:length])), default=0)
    return redact(text[: len(text) - torn] + MASK if torn else text, known)


def redact_tree(value: Any, secrets: Iterable[str] = ()) -> Any:
    """Return *value* (plain JSON types) with its texts redacted, and whole values whose key names a secret masked.

    Keys are redacted as texts; tuples become lists.
    """
    return _redact_tree(value, _Masked(_known(secrets)))


class _Masked(dict[str, str]):
    """Each text as it was redacted: the records of a result have their keys, and many of their texts, in common."""

    def __init__(self, known: re.Pattern[str] | None) -> None:
        super().__init__()
        self._known = known

    def __missing__(self, text: str) -> str:
        masked = self[text] = _redact(text, self._known)
        return masked


def _known(secrets: Iterable[str]) -> re.Pattern[str] | None:
    """Return one pattern for all *secrets*: a mask that was just put in is never searched again."""
    forms = {form for secret in secrets if secret for form in _forms(secret)}
    if not forms:
        return None
    return re.compile("|".join(map(re.escape, sorted(forms, key=lambda form: (-len(form), form)))))


def _forms(secret: str) -> set[str]:
    whole = secret.strip() or secret
    # A short line out of a secret of many would mask half of every text.
    bare = {whole} | {line.strip() for line in secret.splitlines() if len(line.strip()) >= 4}
    disguised = set()
    for text in bare:
        octets = text.encode("utf-8", errors="surrogatepass")
        disguised |= {quote(octets, safe=""), json.dumps(text)[1:-1], base64.b64encode(octets).decode()}
    # What looks like a mask needs none, and masking it again would make it grow.
    return {form for form in bare | {form for form in disguised if len(form) >= 4} if form.strip("*")}


def _redact(text: str, known: re.Pattern[str] | None) -> str:
    # Known ones first: a pattern that takes only a part of one would hide the rest of it from this search.
    if known is not None:
        text = known.sub(MASK, text)
    # A mask may make another form visible; what is masked twice is masked for good.
    for _round in range(4):
        masked = _apply_rules(text)
        if masked == text:
            break
        text = masked
    return text


def _apply_rules(text: str) -> str:
    lowered = text.lower()
    if _WORTH_A_LOOK.search(lowered) is None and text.count(":") < 4:
        return text
    for hints, pattern, replacement in _RULES:
        if any(hint in lowered for hint in hints):
            text = pattern.sub(replacement, text)
    return text


def _redact_tree(value: Any, masked: _Masked) -> Any:
    if isinstance(value, str):
        return masked[value]
    if isinstance(value, dict):
        return _redact_dict(value, masked)
    if isinstance(value, (list, tuple)):
        return _redact_list(value, masked)
    return value


def _redact_dict(entries: dict[Any, Any], masked: _Masked) -> dict[Any, Any]:
    redacted: dict[Any, Any] = {}
    # `{"name": "DB_PASSWORD", "value": "..."}` is the usual form of an environment.
    named = entries.get("name")
    value_is_secret = isinstance(named, str) and _names_secret(named)
    for key, entry in entries.items():
        shown = masked[key] if isinstance(key, str) else key
        while shown in redacted:
            shown += "'"  # two keys that differ in their secrets alone
        if (isinstance(key, str) and _names_secret(key)) or (value_is_secret and key == "value"):
            counted = isinstance(key, str) and _COUNTED.search(key) is not None
            redacted[shown] = _mask(entry, masked, counted or key == "value")
        else:
            redacted[shown] = _redact_tree(entry, masked)
    return redacted


@lru_cache(maxsize=1024)
def _names_secret(key: str) -> bool:
    return _SECRET_KEY.search(key) is not None


def _mask(entry: Any, masked: _Masked, counted: bool) -> Any:
    """Mask the texts of *entry*, whose key names a secret; a mapping below it speaks for itself."""
    if isinstance(entry, (str, bytes)):
        return MASK if entry else entry
    if isinstance(entry, (int, float)) and not isinstance(entry, bool):
        return entry if counted else MASK
    if isinstance(entry, (list, tuple)):
        return [_mask(item, masked, counted) for item in entry]
    return _redact_tree(entry, masked)


def _redact_list(items: list[Any] | tuple[Any, ...], masked: _Masked) -> list[Any]:
    """Redact each item; a PEM block that was split into lines is recognised across them."""
    redacted, label = [], ""
    for item in items:
        if not isinstance(item, str):
            redacted.append(_redact_tree(item, masked))
            continue
        if label:
            redacted.append(f"[redacted {label}]")
            label = "" if f"-----END {label}-" in item else label
        else:
            redacted.append(masked[item])
            label = _open_label(item)
    return redacted


def _open_label(text: str) -> str:
    """Return the label of the PEM block that begins in *text* and does not end in it, or nothing."""
    begun = _PEM_BEGIN.search(text, max(0, text.rfind("-----BEGIN ")))
    return "" if begun is None or "-----END " in text[begun.end() :] else begun[1]
