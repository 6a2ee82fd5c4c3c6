"""Run one module of the checkout through `ansible`, as a user does, and read its result."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

CHECKOUT = Path(__file__).resolve().parents[2]
SYSTEM_PYTHON = "/usr/bin/python3"


@dataclass(frozen=True)
class Answer:
    """What a module said. ``how`` is Ansible's word: SUCCESS, CHANGED, FAILED, UNREACHABLE."""

    how: str
    result: dict[str, Any]

    @property
    def worst(self) -> str:
        word: str = self.result["summary"]["worst"]
        return word

    def found(self) -> dict[str, tuple[str, str]]:
        """Return code and severity of each finding by its subject."""
        return {finding["subject"]: (finding["code"], finding["severity"]) for finding in self.result["findings"]}


def run_module(
    folder: Path,
    name: str,
    params: Mapping[str, Any],
    *,
    interpreter: str = sys.executable,
    within: Sequence[str] = (),
    check_mode: bool = False,
    environment: Mapping[str, str] | None = None,
    seconds: float = 120,
    **variables: Any,
) -> Answer:
    """Run the module *name*, its options being *params*; *within* is a command that runs `ansible`."""
    inventory = folder / "inventory.json"
    host = {"ansible_connection": "local", "ansible_python_interpreter": interpreter, **variables}
    inventory.write_text(json.dumps({"all": {"hosts": {"target": host}}}))
    command = [
        *within,
        os.path.join(os.path.dirname(sys.executable), "ansible"),
        *("target", "-i", str(inventory), "-m", f"cadence.upkeep.{name}", "-a", json.dumps(dict(params))),
        *(["--check"] if check_mode else []),
    ]
    variables_of_the_process = {
        **{key: value for key, value in os.environ.items() if not key.startswith("ANSIBLE_")},
        **(environment or {}),
        "ANSIBLE_COLLECTIONS_PATH": str(CHECKOUT / "playbooks" / "collections"),
        "ANSIBLE_HOME": str(folder / "ansible"),
        "ANSIBLE_LOCAL_TEMP": str(folder / "ansible" / "tmp"),
        "ANSIBLE_REMOTE_TEMP": str(folder / "ansible" / "remote"),
        "ANSIBLE_NOCOLOR": "1",
    }
    ended = subprocess.run(
        command, cwd=folder, env=variables_of_the_process, capture_output=True, text=True, timeout=seconds, check=False
    )
    head, _, body = ended.stdout.partition(" => ")
    assert body, f"ansible said nothing of a module: {ended.stdout}{ended.stderr}"
    return Answer(head.split("|")[1].strip().rstrip("!"), json.loads(body))


def as_nobody(folder: Path, python: str = SYSTEM_PYTHON) -> dict[str, Any]:
    """Return the variables with which Ansible runs its modules as the account nobody, when we are root."""
    wrapper = folder / "python-as-nobody"
    wrapper.write_text(f'#!/bin/sh\ncd /\nexec setpriv --reuid 65534 --regid 65534 --clear-groups {python} "$@"\n')
    wrapper.chmod(0o755)
    # The module goes by the pipe, because nobody may not read the files of root.
    return {"interpreter": str(wrapper), "ansible_pipelining": True}
