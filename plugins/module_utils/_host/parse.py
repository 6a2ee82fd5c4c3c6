# Copyright (c) 2026 Upkeep maintainers
# GNU General Public License v3.0-or-later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Read the texts of the kernel and of the system's tools. Pure."""

from __future__ import annotations

import re
from datetime import datetime
from typing import Optional

from ansible_collections.cadence.upkeep.plugins.module_utils._core.times import rfc3339
from ansible_collections.cadence.upkeep.plugins.module_utils._host.model import Mount, Pressure, Unit

_ESCAPE = re.compile(r"\\([0-7]{3})")
_TOKEN = re.compile(r"\d+|[A-Za-z]+")
_ARCHITECTURE = re.compile(r"\.(x86_64|aarch64|i[3-6]86|ppc64le|s390x|riscv64|armv7hl|noarch)$")


def parse_mountinfo(text: str) -> list[Mount]:
    """Return the mounts of ``/proc/self/mountinfo`` in its order; a line that is none is left out."""
    mounts = []
    for line in text.splitlines():
        left, separator, right = line.partition(" - ")
        before, after = left.split(" "), right.split(" ")
        if separator and len(before) >= 6 and len(after) >= 3 and before[0].isdigit() and before[1].isdigit():
            mounts.append(
                Mount(
                    id=int(before[0]),
                    parent=int(before[1]),
                    device=before[2],
                    root=_unescape(before[3]),
                    point=_unescape(before[4]),
                    options=frozenset(before[5].split(",")),
                    type=after[0],
                    source=_unescape(after[1]),
                    super_options=frozenset(after[2].split(",")),
                )
            )
    return mounts


def _unescape(text: str) -> str:
    return _ESCAPE.sub(lambda match: chr(int(match.group(1), 8)), text)


def parse_meminfo(text: str) -> dict[str, int]:
    """Return the values of ``/proc/meminfo`` that are given in kB, in bytes."""
    values = {}
    for line in text.splitlines():
        name, _colon, rest = line.partition(":")
        words = rest.split()
        if len(words) == 2 and words[1] == "kB" and words[0].isdigit():
            values[name] = int(words[0]) * 1024
    return values


def parse_counters(text: str) -> dict[str, int]:
    """Return ``name number`` lines, such as those of ``memory.stat`` and ``/proc/stat``."""
    values = {}
    for line in text.splitlines():
        words = line.split()
        if len(words) == 2 and words[1].isdigit():
            values[words[0]] = int(words[1])
    return values


def parse_pressure(resource: str, text: str) -> Optional[Pressure]:
    """Return the pressure of a file of PSI: how long all tasks waited, for processors how long some did.

    The kernel defines no ``full`` for the processors of a whole machine. None when the text has no such line.
    """
    kind = "some" if resource == "cpu" else "full"
    for line in text.splitlines():
        words = line.split()
        if words and words[0] == kind:
            values = dict(word.split("=", 1) for word in words[1:] if "=" in word)
            try:
                return Pressure(resource, kind, float(values["avg60"]) / 100, float(values["avg300"]) / 100)
            except (KeyError, ValueError):
                return None
    return None


def parse_failed_units(text: str) -> list[Unit]:
    """Return the units of ``systemctl list-units --state=failed --plain --no-legend``."""
    units = []
    for line in text.splitlines():
        words = line.split(None, 4)
        # Older versions mark a failed unit with a dot even in plain output.
        if words and words[0] in ("●", "*"):
            words = line.split(None, 5)[1:]
        if len(words) >= 4 and words[2] == "failed":
            units.append(Unit(words[0], words[4].strip() if len(words) > 4 else ""))
    return units


def parse_properties(text: str) -> dict[str, dict[str, str]]:
    """Return ``systemctl show`` of several units: the properties of each under its ``Id``."""
    found = {}
    for block in text.split("\n\n"):
        properties = dict(line.split("=", 1) for line in block.splitlines() if "=" in line)
        if "Id" in properties:
            found[properties["Id"]] = properties
    return found


def parse_timestamp(text: str) -> str:
    """Return systemd's ``Sun 2026-11-22 05:01:55 UTC`` as RFC 3339; '' when it is none."""
    try:
        zoned = text.partition(" ")[2].replace(" UTC", " +0000")
        return rfc3339(datetime.strptime(zoned, "%Y-%m-%d %H:%M:%S %z"))
    except ValueError:
        return ""


def parse_install_times(text: str) -> dict[str, int]:
    """Return the newest installation (Unix time) of each package in ``NAME SECONDS`` lines; rpm's own words go by."""
    newest: dict[str, int] = {}
    for line in text.splitlines():
        words = line.split()
        if len(words) == 2 and words[1].isdigit():
            newest[words[0]] = max(int(words[1]), newest.get(words[0], 0))
    return newest


def kernel_key(release: str) -> tuple[tuple[int, int, str], ...]:
    """Return a key that orders kernel releases by age: numbers by value, and any number after any word.

    So ``5.14.0-427.el9`` comes before ``5.14.0-427.13.1.el9_4``, as package managers have it.
    """
    tokens = _TOKEN.findall(_ARCHITECTURE.sub("", release))
    return tuple((1, int(token), "") if token.isdigit() else (0, 0, token) for token in tokens)


def kernel_flavour(release: str) -> tuple[str, ...]:
    """Return the words of *release*, by which kernels of one kind are told from others (``cloud``, ``rt``)."""
    return tuple(re.findall(r"[A-Za-z]+", _ARCHITECTURE.sub("", release)))


def newer_kernels(running: str, installed: list[str]) -> list[str]:
    """Return those of *installed* that are of the kind of *running* and newer, newest first."""
    flavour, age = kernel_flavour(running), kernel_key(running)
    newer = [release for release in installed if kernel_flavour(release) == flavour and kernel_key(release) > age]
    return sorted(newer, key=kernel_key, reverse=True)
