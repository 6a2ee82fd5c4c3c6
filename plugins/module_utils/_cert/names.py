# Copyright (c) 2026 Upkeep maintainers
# GNU General Public License v3.0-or-later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Does a certificate speak for a name? By RFC 6125 and RFC 9525: subject alternative names alone, never the CN."""

from __future__ import annotations

import ipaddress
import re
import unicodedata
from collections.abc import Iterable

# Whatever Unicode counts as the dot between two labels.
_DOT = re.compile("[.\u3002\uff0e\uff61]")
# Python knows the rules of 2003, which write these as ss and σ; clients and registries have not for years.
_KEPT_SINCE_2008 = frozenset("ßς")
_LONGEST_LABEL = 63


def is_ip(text: str) -> bool:
    """True when *text* is an IPv4 or IPv6 address (a zone like ``%eth0`` may follow)."""
    try:
        ipaddress.ip_address(text.partition("%")[0])
    except ValueError:
        return False
    return True


def ascii_name(name: str) -> str:
    """Return *name* as it stands in certificates: lower case, A-labels, no dot at its end.

    Raises ``ValueError`` when it cannot be a host name.
    """
    plain = name.rstrip(".").lower()
    if not plain or any(character.isspace() or not character.isprintable() for character in plain):
        raise ValueError(f"{name!r} is not a host name")
    if is_ip(plain):
        return plain
    wildcard, rest = ("*.", plain[2:]) if plain.startswith("*.") else ("", plain)
    return wildcard + ".".join(map(_a_label, _DOT.split(rest)))


def _a_label(label: str) -> str:
    """Return one label as the domain name system has it. Raises ``ValueError`` when it cannot be one."""
    if not label:
        raise ValueError("a label is empty")
    if not _KEPT_SINCE_2008 & set(label):
        return label.encode("idna").decode("ascii")
    encoded = "xn--" + unicodedata.normalize("NFKC", label).encode("punycode").decode("ascii")
    if len(encoded) > _LONGEST_LABEL:
        raise ValueError("a label is too long")
    return encoded


def covers(names: Iterable[str], wanted: str) -> bool:
    """True when one of *names* (as written in a certificate) stands for *wanted*.

    A wildcard stands for exactly one label, and only as the whole leftmost one. An address is matched against
    addresses alone.
    """
    if is_ip(wanted):
        address = ipaddress.ip_address(wanted.partition("%")[0])
        return any(is_ip(name) and ipaddress.ip_address(name) == address for name in names)
    target = ascii_name(wanted)
    _label, _dot, parent = target.partition(".")
    candidates = {target, f"*.{parent}"} if "." in parent else {target}
    return any(name.rstrip(".").lower() in candidates for name in names if not is_ip(name))
