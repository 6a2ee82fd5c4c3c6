"""Finds the Pythons of this machine that really run. Standard library only: it is used before anything is installed."""

from __future__ import annotations

import glob
import os
import re
import subprocess
from functools import cache

# Version managers put stubs on PATH that exist and fail, so the real interpreters are looked for where each keeps them.
MANAGED = (
    "${{PYENV_ROOT}}/versions/{version}*/bin",
    "~/.pyenv/versions/{version}*/bin",
    "~/.local/share/uv/python/cpython-{version}*/bin",
    "~/.asdf/installs/python/{version}*/bin",
    "/opt/python/{version}*/bin",
    "/opt/homebrew/bin",
)

# What the collection promises to run on. A row of the matrix takes the first of its Pythons that is on the machine.
CORES = {
    "2.18": ("3.11", "3.12", "3.13"),
    "2.19": ("3.11", "3.12", "3.13"),
    "2.21": ("3.13", "3.12", "3.14"),
}
TARGETS = ("3.9", "3.13")  # the oldest and the newest Python of a managed host

PROBE = "import ensurepip, sys, venv; print('%d.%d' % sys.version_info[:2]); print(sys.executable)"


@cache
def find(version: str) -> str | None:
    """Return the path of a working Python *version* (such as ``3.13``) that can make virtual environments, or None."""
    folders = os.environ.get("PATH", "").split(os.pathsep)
    for pattern in MANAGED:
        folders += sorted(glob.glob(_expanded(pattern, version)), reverse=True)
    for folder in folders:
        candidate = os.path.join(folder, f"python{version}")
        if os.access(candidate, os.X_OK):
            real = _real_path(candidate, version)
            if real:
                return real
    return None


def first(versions: tuple[str, ...]) -> tuple[str, str] | None:
    """Return ``(version, path)`` of the first of *versions* that is on this machine, or None."""
    for version in versions:
        path = find(version)
        if path:
            return version, path
    return None


@cache
def honest_path() -> str:
    """Return PATH without the folders that hold a ``python3.N`` which does not run: tools take the first they see."""
    folders = os.environ.get("PATH", "").split(os.pathsep)
    return os.pathsep.join(folder for folder in folders if folder and not _misleads(folder))


def _expanded(pattern: str, version: str) -> str:
    return os.path.expanduser(os.path.expandvars(pattern.format(version=version)))


def _misleads(folder: str) -> bool:
    found = [
        path
        for path in glob.glob(os.path.join(folder, "python3.*"))
        if re.fullmatch(r"python3\.\d+", os.path.basename(path))
    ]
    return any(not _answer(path, "import sys") for path in found)


def cores() -> int:
    """Return how many processors this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def missing() -> list[str]:
    """Say, a line each, what of the matrix cannot run here because its Python is not on this machine."""
    rows = [
        f"ansible-core {core}: none of Python {', '.join(versions)} is on this machine"
        for core, versions in CORES.items()
        if not first(versions)
    ]
    targets = [f"modules on Python {version}: it is not on this machine" for version in TARGETS if not find(version)]
    return rows + targets


def _real_path(candidate: str, version: str) -> str | None:
    """Ask *candidate* itself where it is; None when it does not run, is another version or cannot make environments."""
    answer = _answer(candidate, PROBE)
    lines = answer.stdout.splitlines() if answer else []
    return lines[1] if len(lines) == 2 and lines[0] == version else None


def _answer(python: str, code: str) -> subprocess.CompletedProcess[str] | None:
    """Run *code*; None when this Python does not run, or not that code."""
    command = [python, "-I", "-c", code]
    try:
        return subprocess.run(command, capture_output=True, text=True, timeout=30, stdin=subprocess.DEVNULL, check=True)
    except (OSError, subprocess.SubprocessError):
        return None
