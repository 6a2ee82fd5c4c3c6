"""The demo's main act: the weekly playbook, and what its end means."""

from __future__ import annotations

import json
import os
import sys
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from .demo_bed import say
from .errors import BedError
from .processes import run

LIMIT = 600.0  # seconds
CRITICAL = {
    "certificates": "a certificate with 5 days left",
    "backups": "a series cut short and one two days old",
}


def play(checkout: Path, home: Path) -> int:
    """Run it and say what came of it. Raises BedError when it did not do what the demo promises."""
    command = ["ansible-playbook", "-i", "inventories/demo", "playbooks/weekly.yml"]
    say(" ".join(command))
    begun = time.time()
    program = Path(sys.executable).with_name(command[0])
    ended = run([program, *command[1:]], env=environment(home), cwd=checkout, timeout=LIMIT, passthrough=True)
    report = home / "reports" / "latest.json"
    if not report.exists() or report.stat().st_mtime < begun - 1:  # file times are coarser than clocks
        raise BedError(f"ansible-playbook ended with {ended.returncode} and wrote no report {report}: see above")
    content = json.loads(report.read_text(encoding="utf-8"))
    missed = missed_by(content)
    if missed:
        raise BedError(f"the run did not find what was prepared for it: {'; '.join(missed)}. See {report}")
    if ended.returncode != 2:
        raise BedError(f"the verdict is critical, but ansible-playbook ended with {ended.returncode} instead of 2")
    say("the verdict is critical, so ansible-playbook ended with 2: a scheduler would page you now")
    say(f"the report is {report.with_suffix('.md')} (and .json)")
    say("`make demo` runs it again, `make demo-down` stops all of it")
    return 0


def missed_by(report: Mapping[str, Any]) -> list[str]:
    """What was prepared in the bed and the report does not have; empty when it has all of it."""
    tasks = [task for host in report["hosts"] for task in host["tasks"]]
    vacuums = [task for task in tasks if task["id"].startswith("postgres.")]
    missed = []
    for domain, what in CRITICAL.items():
        if "critical" not in [task["worst"] for task in tasks if task["id"].startswith(f"{domain}.")]:
            missed.append(f"{what} is not critical")
    if not vacuums or any(task["status"] not in ("done", "carried") for task in vacuums):
        missed.append("the database was not looked after")
    return missed


def environment(home: Path) -> dict[str, str]:
    """Ours, without settings of Ansible that are the user's own, and with all that Ansible writes kept in `home`."""
    ours = {key: value for key, value in os.environ.items() if not key.startswith("ANSIBLE_")}
    config = home / "ansible" / "ansible.cfg"
    config.parent.mkdir(exist_ok=True)
    config.write_text("", encoding="ascii")
    settings = {
        "ANSIBLE_CONFIG": str(config),
        "ANSIBLE_HOME": str(config.parent),
        "ANSIBLE_REMOTE_TMP": str(config.parent / "tmp"),
        "ANSIBLE_DISPLAY_OK_HOSTS": "false",
        "ANSIBLE_DISPLAY_SKIPPED_HOSTS": "false",
        "ANSIBLE_NOCOWS": "true",
        "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ.get('PATH', os.defpath)}",
    }
    if sys.getfilesystemencoding() != "utf-8" or "utf" not in os.environ.get("LC_ALL", "utf").lower():
        settings["LC_ALL"] = "en_US.UTF-8" if sys.platform == "darwin" else "C.UTF-8"
    if sys.platform == "darwin":
        settings["OBJC_DISABLE_INITIALIZE_FORK_SAFETY"] = "YES"  # or macOS kills the forks that Ansible works in
    return {**ours, **settings}
