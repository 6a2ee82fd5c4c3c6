"""pg_repack, the extension with its program, from the package of the system's own PostgreSQL."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

from .binaries import Binaries, install_packages
from .errors import BedError


def bring_pg_repack(binaries: Binaries) -> Path:
    """The program that fits *binaries*; root on Debian and Ubuntu installs it with its extension when it is missing."""
    program = binaries.directory / "pg_repack"
    if program.exists():
        return program
    package = f"postgresql-{binaries.major}-repack"
    if not binaries.system or os.geteuid() != 0 or shutil.which("apt-get") is None:
        raise BedError(
            f"pg_repack of PostgreSQL {binaries.version} is not installed; run: sudo apt-get install {package}"
        )
    print(f"installing {package} with apt-get, which the tests of pg_repack need", flush=True)
    install_packages([package])
    if not program.exists():
        raise BedError(f"{package} was installed and has no {program}")
    return program
