# Copyright (c) 2026 Upkeep maintainers
# GNU General Public License v3.0-or-later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""`cert_expiry` over many files and many TLS endpoints, against loops of what one uses otherwise.

    python benchmarks/certificates.py [--files 10000] [--endpoints 1000] [--rounds 3] [--peer PYTHON] [--output FILE]

Each file holds two certificates (an EC leaf and an RSA intermediate). The check runs in a process of its own, whose
wall time, CPU and memory are taken; it and the loops take turns (A B C A B C ...), and the medians are what to quote.
Nobody waits for a loop over ten thousand files: 50 are measured, and the row says that the rest is extrapolated.

``--peer`` is a Python that has the package `ansible`, with `community.crypto` in it; without one that loop is left out,
and the result says so. The endpoints are served from this machine, so that their servers take part of its processors.
Work is proven: a run that did not examine everything, or found what it should not, ends the benchmark.
"""

from __future__ import annotations

import argparse
import contextlib
import importlib.metadata
import json
import multiprocessing
import os
import platform
import resource
import selectors
import shutil
import socket
import ssl
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

CHECKOUT = Path(__file__).resolve().parents[1]
sys.path[:0] = [str(CHECKOUT), str(CHECKOUT / "playbooks" / "collections")]

from tests.bed.tls import Authority  # noqa: E402  the path is set two lines above

SAMPLE = 50  # files of a loop that are measured
CHILD = """
import json, resource, sys
from datetime import datetime, timezone
sys.path[:0] = json.loads(sys.argv[2])
from ansible_collections.cadence.upkeep.plugins.module_utils._cert.check import CHECK
from ansible_collections.cadence.upkeep.plugins.module_utils._core.argspec import validate
params = validate(CHECK.name, CHECK.argument_spec, json.loads(open(sys.argv[1]).read()), CHECK.rules).params
result = CHECK.run(params, datetime.now(timezone.utc)).as_result()
used = resource.getrusage(resource.RUSAGE_SELF)
print(json.dumps({
    "seconds": result["summary"]["seconds"], "counts": result["summary"]["counts"],
    "scanned": result["scanned"], "bytes": len(json.dumps(result)),
    "cpu": used.ru_utime + used.ru_stime, "memory": used.ru_maxrss * (1 if sys.platform == "darwin" else 1024),
}))
"""


def check(folder: Path, params: dict[str, Any]) -> dict[str, Any]:
    """Run the check in a process of its own; what it says of itself, and the wall time of all of that process."""
    path = folder / "params.json"
    path.write_text(json.dumps({"report": "problems", **params}))
    started = time.monotonic()
    paths = json.dumps([str(CHECKOUT / "playbooks" / "collections")])
    ended = subprocess.run([sys.executable, "-c", CHILD, str(path), paths], capture_output=True, check=False)
    wall = time.monotonic() - started
    if ended.returncode != 0:
        sys.exit(f"the check ended with {ended.returncode}:\n{ended.stderr.decode()[-3000:]}")
    return {"wall": wall, **json.loads(ended.stdout)}


def timed(command: list[str], **options: Any) -> tuple[float, float]:
    """Return wall time and CPU of a command that must succeed."""
    before, started = resource.getrusage(resource.RUSAGE_CHILDREN), time.monotonic()
    ended = subprocess.run(command, capture_output=True, check=False, **options)
    wall, after = time.monotonic() - started, resource.getrusage(resource.RUSAGE_CHILDREN)
    if ended.returncode != 0:
        sys.exit(f"{command[0]} ended with {ended.returncode}:\n{(ended.stdout + ended.stderr).decode()[-3000:]}")
    return wall, after.ru_utime - before.ru_utime + after.ru_stime - before.ru_stime


# --- files ---


def write_files(folder: Path, count: int) -> list[Path]:
    """Write *count* files of two certificates in 20 directories."""
    authority = Authority(intermediate=True, key_type="rsa2048")
    paths = []
    for number in range(count):
        place = folder / "sites" / f"{number % 20:02}"
        place.mkdir(parents=True, exist_ok=True)
        name = f"site{number:05}.example.org"
        issued = authority.issue(name, names=[name, f"www.{name}"])
        path = place / f"{name}.pem"
        path.write_bytes(issued.chain_pem)
        paths.append(path)
    return paths


def openssl_loop(paths: list[Path]) -> tuple[float, float]:
    """What a shell script does: one `openssl x509` for each file."""
    script = 'for f in "$@"; do openssl x509 -noout -subject -enddate -in "$f" || exit 1; done'
    return timed(["sh", "-c", script, "sh", *map(str, paths)])


def community_loop(folder: Path, peer: Path, paths: list[Path]) -> tuple[float, float]:
    """What a playbook does: `community.crypto.x509_certificate_info` for each file."""
    playbook = folder / "loop.yml"
    task = {
        "name": "Look at each file",
        "community.crypto.x509_certificate_info": {"path": "{{ item }}"},
        "loop": [str(path) for path in paths],
    }
    playbook.write_text(json.dumps([{"hosts": "localhost", "gather_facts": False, "tasks": [task]}]))
    environment = {
        **{name: value for name, value in os.environ.items() if not name.startswith("ANSIBLE_")},
        "ANSIBLE_HOME": str(folder / "ansible"),
        "ANSIBLE_PIPELINING": "true",
    }
    command = [str(peer.with_name("ansible-playbook")), "-i", "localhost,", "-c", "local"]
    return timed([*command, "-e", f"ansible_python_interpreter={peer}", str(playbook)], env=environment, cwd=folder)


def measure_files(folder: Path, count: int, rounds: int, peer: Path | None) -> list[dict[str, Any]]:
    paths = write_files(folder, count)
    params = {"files": [str(folder / "sites")], "recurse": True}
    loops: dict[str, Callable[[list[Path]], tuple[float, float]]] = {}
    if shutil.which("openssl"):
        loops["openssl x509 in a loop"] = openssl_loop
    if peer is not None:
        loops["community.crypto.x509_certificate_info in a loop"] = lambda some: community_loop(folder, peer, some)
    samples: list[dict[str, Any]] = []
    per_file: dict[str, list[float]] = {name: [] for name in loops}
    sample = paths[:SAMPLE]
    for _round in range(rounds):
        samples.append(check(folder, params))
        for name, loop in loops.items():
            one, many = loop(sample[:1])[0], loop(sample)[0]
            per_file[name].append((many - one) / (len(sample) - 1))
    for taken in samples:
        if taken["counts"]["ok"] != count or taken["scanned"]["files"] != count:
            sys.exit(f"the check saw {taken['counts']} of {count} good files")
    row = summary("files", samples) | {"files": count, "certificates": 2 * count}
    rows = [row]
    for name, seconds in per_file.items():
        each = statistics.median(seconds)
        rows.append(
            {
                "what": name,
                "seconds_each": round(each, 4),
                "seconds": round(each * count, 1),
                "extrapolated": f"{SAMPLE} files measured in each of {rounds} rounds, the start of the loop left out",
                "times_slower": round(each * count / row["seconds"]),
            }
        )
    return rows


def summary(what: str, samples: list[dict[str, Any]]) -> dict[str, Any]:
    """Return the medians of what the check says of itself: seconds inside of it, and of the whole process."""
    return {
        "what": what,
        "seconds": round(statistics.median(taken["seconds"] for taken in samples), 2),
        "slowest": round(max(taken["seconds"] for taken in samples), 2),
        "process_wall": round(statistics.median(taken["wall"] for taken in samples), 2),
        "process_cpu": round(statistics.median(taken["cpu"] for taken in samples), 2),
        "memory_mib": round(max(taken["memory"] for taken in samples) / 2**20, 1),
        "result_kib": round(max(taken["bytes"] for taken in samples) / 1024, 1),
    }


# --- endpoints ---


def serve(listeners: list[socket.socket], chain: str, key: str) -> None:
    """Serve TLS on all of *listeners* until killed: a process of its own, so that it does not share our interpreter."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(chain, key)
    pool = ThreadPoolExecutor(32)

    def handle(connection: socket.socket) -> None:
        connection.settimeout(30)
        with connection, contextlib.suppress(OSError), context.wrap_socket(connection, server_side=True) as tls:
            tls.recv(1)

    selector = selectors.DefaultSelector()
    for listener in listeners:
        listener.setblocking(False)
        selector.register(listener, selectors.EVENT_READ, listener)
    while True:
        for event, _mask in selector.select():
            with contextlib.suppress(OSError):
                connection, _peer = event.data.accept()
                connection.setblocking(True)
                pool.submit(handle, connection)


@contextlib.contextmanager
def served(folder: Path, count: int, processes: int) -> Iterator[tuple[list[int], str]]:
    """Serve *count* ports; the ports, and the authority of their certificate."""
    authority = Authority(intermediate=True)
    chain, key = authority.issue("127.0.0.1").write(folder, "served")
    trusted = authority.write(folder)
    listeners = [listening() for _number in range(count)]
    workers = [
        multiprocessing.get_context("fork").Process(
            target=serve, args=(listeners[index::processes], str(chain), str(key)), daemon=True
        )
        for index in range(processes)
    ]
    for worker in workers:
        worker.start()
    ports = [listener.getsockname()[1] for listener in listeners]
    for listener in listeners:
        listener.close()
    try:
        yield ports, str(trusted)
    finally:
        for worker in workers:
            worker.kill()
            worker.join()


def listening() -> socket.socket:
    listener = socket.socket()
    listener.bind(("127.0.0.1", 0))
    listener.listen(16)
    return listener


def openssl_client_loop(ports: list[int]) -> float:
    script = (
        'for p in "$@"; do openssl s_client -connect 127.0.0.1:$p </dev/null 2>/dev/null'
        " | openssl x509 -noout -enddate || exit 1; done"
    )
    return timed(["sh", "-c", script, "sh", *map(str, ports)])[0]


def measure_endpoints(folder: Path, count: int, rounds: int, processes: int) -> list[dict[str, Any]]:
    with contextlib.ExitStack() as stack:
        ports, trusted = stack.enter_context(served(folder, count, processes))
        # They take the connection (the kernel does) and never say a word.
        silent = [stack.enter_context(contextlib.closing(listening())).getsockname()[1] for _n in range(count // 20)]
        mixed = [silent[number // 20] if number % 20 == 7 else port for number, port in enumerate(ports)]
        kinds = {"endpoints": ports, "endpoints, 5 % hanging": mixed}
        samples: dict[str, list[dict[str, Any]]] = {name: [] for name in kinds}
        loop = []
        for _round in range(rounds):
            for name, chosen in kinds.items():
                endpoints = [{"name": f"e{n}", "host": "127.0.0.1", "port": port} for n, port in enumerate(chosen)]
                samples[name].append(check(folder, {"endpoints": endpoints, "ca_path": trusted, "timeout": "5s"}))
            if shutil.which("openssl"):
                loop.append(openssl_client_loop(ports[:SAMPLE]) / SAMPLE)
    rows = []
    for name, taken in samples.items():
        hanging = len(silent) if "hanging" in name else 0
        for one in taken:
            if one["counts"]["ok"] != count - hanging or one["counts"]["unknown"] != hanging:
                sys.exit(f"{name}: the check saw {one['counts']}")
        rows.append(summary(name, taken) | {"examined": count, "unknown": hanging})
    if loop:
        each = statistics.median(loop)
        rows.append(
            {
                "what": "openssl s_client in a loop",
                "seconds_each": round(each, 4),
                "seconds": round(each * count, 1),
                "extrapolated": f"{SAMPLE} endpoints measured in each of {rounds} rounds, none of which hangs",
                "times_slower": round(each * count / rows[0]["seconds"]),
            }
        )
    return rows


# --- the whole ---


def environment(peer: Path | None) -> dict[str, Any]:
    return {
        "at": datetime.now(timezone.utc).isoformat(timespec="seconds"),
        "python": platform.python_version(),
        "cryptography": importlib.metadata.version("cryptography"),
        "openssl": ssl.OPENSSL_VERSION,
        "system": platform.platform(),
        "processors": os.cpu_count(),
        "load": round(os.getloadavg()[0], 2),
        "community.crypto": "measured" if peer else "left out: no --peer was given",
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--files", type=int, default=10000)
    parser.add_argument("--endpoints", type=int, default=1000)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--servers", type=int, default=max(1, (os.cpu_count() or 2) // 2), help="processes that serve")
    parser.add_argument("--peer", type=Path, help="a Python with the package `ansible`")
    parser.add_argument("--output", type=Path)
    options = parser.parse_args()
    raise_file_limit()
    with tempfile.TemporaryDirectory(prefix="upkeep-certificates-") as name:
        folder = Path(name)
        rows = measure_files(folder, options.files, options.rounds, options.peer)
        print(*rows, sep="\n", file=sys.stderr)
        rows += measure_endpoints(folder, options.endpoints, options.rounds, options.servers)
    result = {"environment": environment(options.peer), "rounds": options.rounds, "rows": rows}
    print(json.dumps(result, indent=1))
    if options.output:
        options.output.write_text(json.dumps(result, indent=1) + "\n")


def raise_file_limit() -> None:
    """A thousand listening sockets, and as many connections."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = 8192 if hard == resource.RLIM_INFINITY else min(8192, hard)
    resource.setrlimit(resource.RLIMIT_NOFILE, (max(soft, wanted), hard))


if __name__ == "__main__":
    main()
