"""Run the playbooks of the checkout the way a user does, and read what came of it."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

CHECKOUT = Path(__file__).resolve().parents[2]


@dataclass(frozen=True)
class Ran:
    """How a playbook ended. ``report`` is the canonical report, empty when none was written."""

    code: int
    output: str
    report: dict[str, Any]

    def findings(self, code: str = "", host: str = "") -> list[dict[str, Any]]:
        return [
            finding
            for finding in self.report["findings"]
            if code in ("", finding["code"]) and host in ("", finding["host"])
        ]

    def row(self, host: str) -> dict[str, Any]:
        return next(row for row in self.report["hosts"] if row["host"] == host)

    def tasks(self, host: str) -> dict[str, dict[str, Any]]:
        return {task["id"]: task for task in self.row(host)["tasks"]}


@dataclass
class Fleet:
    """An inventory in *folder*, with its state and reports beside it."""

    folder: Path
    hosts: dict[str, dict[str, Any]] = field(default_factory=dict)
    variables: dict[str, Any] = field(default_factory=dict)
    environment: dict[str, str] = field(default_factory=dict)

    @property
    def state(self) -> Path:
        return self.folder / "state"

    @property
    def reports(self) -> Path:
        return self.folder / "reports"

    def local(self, *names: str, **variables: Any) -> Fleet:
        for name in names:
            self.hosts[name] = {"ansible_connection": "local", **variables}
        return self

    def dead(self, *names: str) -> Fleet:
        for name in names:
            self.hosts[name] = {
                "ansible_connection": "ssh",
                "ansible_host": "127.0.0.1",
                "ansible_port": 9,
                "ansible_ssh_common_args": "-o ControlMaster=no -o ConnectTimeout=5",
            }
        return self

    def write_inventory(self) -> Path:
        variables = {
            "ansible_python_interpreter": sys.executable,
            "upkeep_state_dir": str(self.state),
            "report_dir": str(self.reports),
            **self.variables,
        }
        path = self.folder / "inventory.json"
        path.write_text(json.dumps({"all": {"hosts": self.hosts, "vars": variables}}))
        return path

    def play(self, playbook: str, *arguments: str, **extra: Any) -> Ran:
        """Run *playbook* from *folder*; *extra* become extra variables, as text when they are text."""
        for old in self.reports.glob("latest.*") if self.reports.is_dir() else ():
            old.unlink()
        ended = subprocess.run(
            self._command(playbook, *arguments, **extra),
            cwd=self.folder,
            env=self._environment(),
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            timeout=300,
            check=False,
        )
        latest = self.reports / "latest.json"
        report = json.loads(latest.read_text()) if latest.is_file() else {}
        return Ran(ended.returncode, ended.stdout, report)

    def start(self, playbook: str, *arguments: str, **extra: Any) -> subprocess.Popen[bytes]:
        """Begin to run it, in a process group of its own, and do not wait."""
        return subprocess.Popen(
            self._command(playbook, *arguments, **extra),
            cwd=self.folder,
            env=self._environment(),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            start_new_session=True,
        )

    def _command(self, playbook: str, *arguments: str, **extra: Any) -> list[str]:
        return [
            os.path.join(os.path.dirname(sys.executable), "ansible-playbook"),
            "-i",
            str(self.write_inventory()),
            str(CHECKOUT / "playbooks" / f"{playbook}.yml")
            if "/" not in playbook and "." not in playbook
            else playbook,
            *arguments,
            *(["-e", json.dumps(extra)] if extra else []),
        ]

    def _environment(self) -> dict[str, str]:
        return {
            **{name: value for name, value in os.environ.items() if not name.startswith("ANSIBLE_")},
            "ANSIBLE_HOME": str(self.folder / "ansible"),
            "ANSIBLE_LOCAL_TEMP": str(self.folder / "ansible" / "tmp"),
            "ANSIBLE_REMOTE_TEMP": str(self.folder / "ansible" / "remote"),
            "ANSIBLE_NOCOLOR": "1",
            **self.environment,
        }

    def remembered(self, host: str) -> dict[str, Any]:
        """Return the records of *host*'s tasks."""
        records: dict[str, Any] = json.loads((self.state / "hosts" / host / "state.json").read_text())["tasks"]
        return records
