# Copyright (c) 2026 Upkeep maintainers
# GNU General Public License v3.0-or-later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The daily cadence over N hosts, against the same checks as thin tasks.

    python benchmarks/fleet.py [--hosts 10,50,100] [--rounds 3] [--forks 10] [--output FILE]

Both playbooks run in turn (A B A B ...) against the same N names on this machine (local connection), with the same
certificate, TLS endpoint and backup. Wall time and the CPU of the whole process tree (control node and hosts together)
are taken for each run; the median and the ratio of the medians are what to quote. Work is proven: each run must have
examined every host and every task, or the benchmark stops.
"""

from __future__ import annotations

import argparse
import gzip
import json
import os
import platform
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass
from datetime import datetime, timedelta, timezone
from pathlib import Path

CHECKOUT = Path(__file__).resolve().parents[1]
sys.path[:0] = [str(CHECKOUT), str(CHECKOUT / "playbooks" / "collections")]

from tests.bed.tls import Authority, TlsServer  # noqa: E402  the path is set two lines above

DUMP = b"""--
-- PostgreSQL database dump
--

SET statement_timeout = 0;

CREATE TABLE public.orders (id integer, total numeric);

COPY public.orders (id, total) FROM stdin;
%s\\.

--
-- PostgreSQL database dump complete
--

""" % b"".join(b"%d\t%d.50\n" % (number, number) for number in range(20000))


@dataclass(frozen=True)
class Sample:
    """One run: seconds of wall time and CPU, and for each host tasks and bytes returned."""

    wall: float
    cpu: float
    tasks: float
    bytes: float


def write_inventory(folder: Path, hosts: int, port: int, certificate: Path, ca: Path, backups: Path) -> Path:
    names = [f"host{number:03}" for number in range(hosts)]
    variables = {
        "ansible_connection": "local",
        "ansible_python_interpreter": sys.executable,
        "upkeep_state_dir": str(folder / "state"),
        "upkeep_force": True,
        "report_dir": str(folder / "reports"),
        "report_fail_on": [],
        "certificates_inventory": {
            "files": [str(certificate)],
            "endpoints": [{"host": "127.0.0.1", "port": port, "server_name": "shop.example", "ca_path": str(ca)}],
        },
        "backups_series": [{"name": "shop", "pattern": str(backups / "*.sql.gz")}],
        "benchmark_certificate": str(certificate),
        "benchmark_port": port,
        "benchmark_backups": str(backups),
    }
    path = folder / f"inventory-{hosts}.json"
    path.write_text(json.dumps({"all": {"hosts": {name: {} for name in names}, "vars": variables}}))
    return path


def run(folder: Path, playbook: Path, inventory: Path, forks: int) -> Sample:
    tally = folder / "tally.json"
    environment = {
        **{name: value for name, value in os.environ.items() if not name.startswith("ANSIBLE_")},
        "ANSIBLE_HOME": str(folder / "ansible"),
        "ANSIBLE_CALLBACK_PLUGINS": str(CHECKOUT / "benchmarks" / "callbacks"),
        "ANSIBLE_CALLBACKS_ENABLED": "tally",
        "ANSIBLE_PIPELINING": "true",
        "TALLY_FILE": str(tally),
    }
    command = [str(Path(sys.executable).with_name("ansible-playbook")), "-f", str(forks), "-i", str(inventory)]
    before, started = resource.getrusage(resource.RUSAGE_CHILDREN), time.monotonic()
    ended = subprocess.run([*command, str(playbook)], env=environment, cwd=folder, capture_output=True, check=False)
    wall, after = time.monotonic() - started, resource.getrusage(resource.RUSAGE_CHILDREN)
    if ended.returncode != 0:
        sys.exit(f"{playbook.name} ended with {ended.returncode}:\n{ended.stdout.decode()[-3000:]}")
    counts = json.loads(tally.read_text())
    cpu = after.ru_utime - before.ru_utime + after.ru_stime - before.ru_stime
    per_host = {key: statistics.mean(counts[key].values()) for key in ("tasks", "bytes")}
    return Sample(wall, cpu, per_host["tasks"], per_host["bytes"])


def require_work(folder: Path, hosts: int) -> None:
    """Stop unless the cadence really looked at every host."""
    report = json.loads((folder / "reports" / "latest.json").read_text())
    done = [task for row in report["hosts"] for task in row["tasks"] if task["status"] == "done"]
    expected = hosts * 8  # six of the host, certificates, backups
    if report["verdict"]["hosts"]["examined"] != hosts or len(done) != expected:
        sys.exit(f"The cadence did {len(done)} of {expected} tasks; see {folder / 'reports'}.")


def measure(folder: Path, hosts: int, rounds: int, forks: int, inventory: Path) -> dict[str, object]:
    playbooks = {"cadence": CHECKOUT / "playbooks" / "daily.yml", "thin": CHECKOUT / "benchmarks" / "thin.yml"}
    samples: dict[str, list[Sample]] = {name: [] for name in playbooks}
    for _round in range(rounds):
        for name, playbook in playbooks.items():
            samples[name].append(run(folder, playbook, inventory, forks))
            if name == "cadence":
                require_work(folder, hosts)
    row: dict[str, object] = {"hosts": hosts, "rounds": rounds}
    for name, taken in samples.items():
        for key in ("wall", "cpu", "tasks", "bytes"):
            row[f"{name}_{key}"] = round(statistics.median(getattr(sample, key) for sample in taken), 2)
    for key in ("wall", "cpu"):
        ratios = [getattr(a, key) / getattr(b, key) for a, b in zip(samples["cadence"], samples["thin"], strict=True)]
        row[f"ratio_{key}"] = round(statistics.median(ratios), 3)
    return row


def environment() -> dict[str, object]:
    version = subprocess.run(
        [str(Path(sys.executable).with_name("ansible-playbook")), "--version"],
        capture_output=True,
        text=True,
        check=True,
    ).stdout.splitlines()[0]
    return {
        "at": datetime.now(timezone.utc).isoformat(timespec="seconds"),
        "ansible": version,
        "python": platform.python_version(),
        "system": platform.platform(),
        "processors": os.cpu_count(),
        "load": os.getloadavg()[0],
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--hosts", default="10,50,100")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--forks", type=int, default=10)
    parser.add_argument("--output", type=Path)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="upkeep-fleet-") as name:
        folder = Path(name)
        rows = run_all(folder, [int(count) for count in options.hosts.split(",")], options.rounds, options.forks)
    result = {"environment": environment(), "forks": options.forks, "rows": rows}
    print(json.dumps(result, indent=1))
    if options.output:
        options.output.write_text(json.dumps(result, indent=1) + "\n")


def run_all(folder: Path, counts: list[int], rounds: int, forks: int) -> list[dict[str, object]]:
    authority = Authority()
    trusted = authority.write(folder)
    chain, key = authority.issue("shop.example", days=200, lifetime=365).write(folder, "shop")
    backups = folder / "backups"
    backups.mkdir()
    taken = datetime.now(timezone.utc) - timedelta(hours=2)
    backup = backups / f"shop-{taken:%Y%m%dT%H%M%SZ}.sql.gz"
    backup.write_bytes(gzip.compress(DUMP))
    backup.chmod(0o600)
    rows = []
    with TlsServer(chain, key) as server:
        for hosts in counts:
            inventory = write_inventory(folder, hosts, server.port, chain, trusted, backups)
            rows.append(measure(folder, hosts, rounds, forks, inventory))
            print(f"{hosts} hosts: {rows[-1]}", file=sys.stderr)
    return rows


if __name__ == "__main__":
    main()
