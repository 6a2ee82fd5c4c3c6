# Copyright (c) 2026 Upkeep maintainers
# GNU General Public License v3.0-or-later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The libraries that tasks may need, and what each package manager calls them. Nothing else lists libraries."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

APT, DNF, DNF5, YUM, ZYPPER, APK, PACMAN = "apt", "dnf", "dnf5", "yum", "zypper", "apk", "pacman"


@dataclass(frozen=True)
class Library:
    """A need of the catalogue: met by the first of ``modules`` that can be imported.

    ``packages`` has the names for the system's own Python by the family of the package manager; ``project`` is the
    name for pip.
    """

    name: str
    modules: tuple[str, ...]
    project: str
    packages: Mapping[str, str]


LIBRARIES: Mapping[str, Library] = {
    library.name: library
    for library in (
        Library(
            "psycopg2",
            # The PostgreSQL domain takes either.
            ("psycopg2", "psycopg"),
            "psycopg2-binary",
            {
                APT: "python3-psycopg2",
                DNF: "python3-psycopg2",
                ZYPPER: "python3-psycopg2",
                APK: "py3-psycopg2",
                PACMAN: "python-psycopg2",
            },
        ),
        Library(
            "cryptography",
            ("cryptography",),
            "cryptography",
            {
                APT: "python3-cryptography",
                DNF: "python3-cryptography",
                ZYPPER: "python3-cryptography",
                APK: "py3-cryptography",
                PACMAN: "python-cryptography",
            },
        ),
        Library(
            "docker",
            ("docker",),
            "docker",
            {
                APT: "python3-docker",
                DNF: "python3-docker",
                ZYPPER: "python3-docker",
                APK: "py3-docker-py",
                PACMAN: "python-docker",
            },
        ),
        # For a probe of compose_rolling_update that has a query; no task of the catalogue needs it.
        Library(
            "jmespath",
            ("jmespath",),
            "jmespath",
            {
                APT: "python3-jmespath",
                DNF: "python3-jmespath",
                ZYPPER: "python3-jmespath",
                APK: "py3-jmespath",
                PACMAN: "python-jmespath",
            },
        ),
    )
}

# The family whose names a manager takes, and the command with which a person installs.
FAMILIES: Mapping[str, str] = {DNF5: DNF, YUM: DNF}
COMMANDS: Mapping[str, str] = {
    APT: "apt-get install",
    DNF: "dnf install",
    DNF5: "dnf install",
    YUM: "yum install",
    ZYPPER: "zypper install",
    APK: "apk add",
    PACMAN: "pacman -S",
}
