# Copyright (c) 2026 Upkeep maintainers
# GNU General Public License v3.0-or-later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The one place where the host is touched: files, interpreters, and the making of a virtual environment."""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from ansible_collections.cadence.upkeep.plugins.module_utils._core.command import Completed, run
from ansible_collections.cadence.upkeep.plugins.module_utils._core.errors import CommandFailed

# Answers in one line of JSON, on any Python 3. Imports what is asked for: being found is not being usable.
PROBE = """
import json, os, sys
sys.path = [entry for entry in sys.path if entry]
answer = {"path": sys.executable, "version": "%d.%d.%d" % sys.version_info[:3], "base": sys.base_prefix}
answer["virtual"] = sys.prefix != sys.base_prefix
kind, names = sys.argv[1], sys.argv[2:]
if kind == "interpreter":
    import sysconfig
    mark = os.path.join(sysconfig.get_path("stdlib"), "EXTERNALLY-MANAGED")
    answer["managed"] = not answer["virtual"] and os.path.exists(mark)
    try:
        import ensurepip, venv
        answer["can_isolate"] = True
    except ImportError:
        answer["can_isolate"] = False
elif kind == "import":
    import importlib
    answer["errors"] = {}
    for name in names:
        try:
            module = importlib.import_module(name)
        except ImportError as error:
            absent = isinstance(error, ModuleNotFoundError) and error.name == name
            answer["errors"][name] = [absent, str(error)]
        else:
            answer.update(module=name, module_version=str(getattr(module, "__version__", "")))
            break
else:
    from importlib import metadata, util
    if util.find_spec("pip") is None:
        sys.exit("it has no pip for Python %d.%d" % sys.version_info[:2])
    answer["versions"] = {}
    for name in names:
        try:
            answer["versions"][name] = metadata.version(name)
        except metadata.PackageNotFoundError:
            answer["versions"][name] = ""
sys.stdout.write("\\n" + json.dumps(answer) + "\\n")
"""


@dataclass(frozen=True)
class System:
    """The running host. With another *root*, the files of a host as they were recorded below that folder."""

    root: str = "/"

    def path(self, path: str) -> str:
        return path if self.root == "/" else os.path.join(self.root, path.lstrip("/"))

    @property
    def python(self) -> str:
        """The interpreter that runs this module."""
        return sys.executable

    def read_or(self, path: str, otherwise: str = "") -> str:
        try:
            with open(self.path(path), encoding="utf-8", errors="replace") as stream:
                return stream.read()
        except OSError:
            return otherwise

    def exists(self, path: str) -> bool:
        """True for anything that has that name, a dangling link too."""
        return os.path.lexists(self.path(path))

    def is_executable(self, path: str) -> bool:
        return os.access(self.path(path), os.X_OK)

    def is_empty_folder(self, path: str) -> bool:
        """Raise ``OSError`` when the folder may not be read."""
        return os.path.isdir(self.path(path)) and not os.listdir(self.path(path))

    def real(self, path: str) -> str:
        return os.path.realpath(self.path(path))

    def is_writable(self, path: str) -> bool:
        """True when we may make or change *path*: it, or the nearest folder above that exists, takes our files."""
        place = self.path(path)
        while not os.path.lexists(place) and place != os.path.dirname(place):
            place = os.path.dirname(place)
        return os.access(place, os.W_OK | os.X_OK)

    def run(self, argv: Sequence[str], seconds: float) -> Completed:
        return run(argv, seconds)

    def probe(self, python: str, kind: str, names: Sequence[str], seconds: float) -> Mapping[str, Any]:
        """Return what *python* answers to ``PROBE``. Raises ``CommandFailed`` and ``DeadlineExceeded``."""
        # -B: looking must not write byte code into the folders of others.
        ended = self.run([python, "-B", "-c", PROBE, kind, *names], seconds).require_success(f"Asking {python}")
        try:
            answer: Mapping[str, Any] = json.loads(ended.output.splitlines()[-1])
        except (IndexError, ValueError):
            raise CommandFailed(
                f"{python} gave no answer that can be read.", "Run it by hand.", {"output": ended.output[-500:]}
            ) from None
        return answer
