"""The demo's virtual environment. Standard library only."""

from __future__ import annotations

import hashlib
import importlib.util
import os
import shutil
import sys
import time
from pathlib import Path

from .binaries import install_packages
from .errors import BedError
from .processes import run


def prepare(venv: Path, requirements: Path) -> Path:
    """Its Python, with what `requirements` lists installed; made anew when that or our own Python changed."""
    python = venv / "bin" / "python"
    stamp = venv / "made-from"
    wanted = fingerprint(requirements)
    if stamp.exists() and stamp.read_text(encoding="ascii") == wanted and run([python, "-c", ""]).returncode == 0:
        return python
    print(f"demo: making the Python environment {venv}", flush=True)
    before = time.monotonic()
    shutil.rmtree(venv, ignore_errors=True)
    _make(venv)
    _install(python, requirements)
    stamp.write_text(wanted, encoding="ascii")
    print(f"demo: Python environment ready ({time.monotonic() - before:.0f} s)", flush=True)
    return python


def fingerprint(requirements: Path) -> str:
    """What the environment depends on: our Python, and the content of `requirements`."""
    try:
        content = requirements.read_bytes()
    except FileNotFoundError:
        raise BedError(f"{requirements} is missing: this is not a whole checkout") from None
    ours = f"{sys.version_info[:2]} {Path(sys.executable).resolve()}\n".encode()
    return hashlib.sha256(ours + content).hexdigest()


def _make(venv: Path) -> None:
    if importlib.util.find_spec("ensurepip") is None or importlib.util.find_spec("venv") is None:
        _bring_venv()
    answer = run([sys.executable, "-m", "venv", venv])
    if answer.returncode != 0:
        raise BedError(f"cannot make {venv}: {_last_line(answer.stderr or answer.stdout)}")


def _bring_venv() -> None:
    """Debian and Ubuntu keep `venv` in a package of its own."""
    package = f"python{sys.version_info[0]}.{sys.version_info[1]}-venv"
    if os.geteuid() != 0 or shutil.which("apt-get") is None:
        raise BedError(f"this Python cannot make a virtual environment; run: sudo apt-get install {package}")
    print(f"demo: installing {package} with apt-get, which a virtual environment needs", flush=True)
    install_packages([package])


def _install(python: Path, requirements: Path) -> None:
    options = ["--quiet", "--disable-pip-version-check", "--requirement"]
    # What an interrupted pip leaves behind is left in the environment, which is then made anew.
    env = {**os.environ, "TMPDIR": str(python.parents[1])}
    answer = run([python, "-m", "pip", "install", *options, requirements], env=env, timeout=900)
    if answer.returncode != 0:
        raise BedError(f"pip cannot install {requirements.name}: {_last_line(answer.stderr)}")


def _last_line(text: str) -> str:
    return (text.strip().splitlines() or ["it said nothing"])[-1]
