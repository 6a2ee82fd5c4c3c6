# Copyright (c) 2026 Upkeep maintainers
# GNU General Public License v3.0-or-later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""`backup_verify` on dumps of 1 GiB, against the programs that one would use otherwise.

    python benchmarks/backups.py [--mib 1024] [--rounds 5] [--files 10000] [--folder FOLDER] [--output FILE]
        [--only-restore | --without-restore] [--plain]

The dumps are `pg_dump`'s, of a throwaway server. The check runs at the level `structure` in a process of its own; taken
is the CPU of that whole process tree, the start of Python and its imports included, and the peak of its memory. It and
the other programs take turns (A B C A B C ...) over files in the page cache; what is quoted is the median of the ratios
within a round. `stdlib` is the same Python with isal, zlib_ng, zstandard and lz4 hidden from it, so that zstd is
unfolded by the system's shared library; where this Python has none of them, the row with them is left out, which the
result says.

Work is proven: a run that does not find the file whole, with all its rows, ends the benchmark.
"""

from __future__ import annotations

import argparse
import hashlib
import importlib.util
import json
import os
import platform
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import dataclass
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

CHECKOUT = Path(__file__).resolve().parents[1]
sys.path[:0] = [str(CHECKOUT), str(CHECKOUT / "playbooks" / "collections")]

from ansible_collections.cadence.upkeep.plugins.module_utils._backup.manifest import (  # noqa: E402  the path is set two lines above
    Manifest,
    render,
)
from tests.bed.accounts import server_account  # noqa: E402  the path is set two lines above
from tests.bed.binaries import Binaries  # noqa: E402  the same
from tests.bed.postgres import Cluster, cache_directory, find_or_bring  # noqa: E402  the same

DATABASE = "bench"
LIBRARIES = ("isal", "zlib_ng", "zstandard", "lz4", "compression.zstd")
FLOORS = {
    "sql.gz": 0.60,
    "sql.gz stdlib": 0.95,
    "sql.zst": 2.5,
    "custom zlib": 0.6,
}
MEMORY_MIB = 64
RESTORE_FLOOR = 1.15
CHILD = """
import json, os, resource, sys, time
from datetime import datetime, timezone
paths, hidden, path = json.loads(sys.argv[1]), json.loads(sys.argv[2]), sys.argv[3]
sys.path[:0] = paths
for name in hidden:
    sys.modules[name] = None
from ansible_collections.cadence.upkeep.plugins.module_utils._backup.check import CHECK
from ansible_collections.cadence.upkeep.plugins.module_utils._core.argspec import validate
params = validate(CHECK.name, CHECK.argument_spec, json.loads(open(path).read()), CHECK.rules).params
started = time.monotonic()
result = CHECK.run(params, datetime.now(timezone.utc)).as_result(limit=10_000_000)
seconds = time.monotonic() - started
most = max(resource.getrusage(who).ru_maxrss for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN))
print(json.dumps({
    "seconds": seconds, "counts": result["summary"]["counts"],
    "memory": most * (1 if sys.platform == "darwin" else 1024),
    "files": [{key: record.get(key) for key in
               ("path", "status", "chain", "dump", "bytes_decoded", "level_reached", "restore")}
              for record in result["files"][:20]],
}))
"""


@dataclass(frozen=True)
class Taken:
    """What one run cost: CPU and wall time in seconds, and what it said."""

    cpu: float
    wall: float
    said: Any = None


def timed(command: list[str], environment: dict[str, str] | None = None) -> Taken:
    """Run a command that must succeed; the CPU is that of it and all that it started and waited for."""
    started = time.monotonic()
    with tempfile.TemporaryFile() as output, tempfile.TemporaryFile() as errors:
        process = subprocess.Popen(command, stdout=output, stderr=errors, env={**os.environ, **(environment or {})})
        _pid, status, used = os.wait4(process.pid, 0)
        process.returncode = os.waitstatus_to_exitcode(status)
        wall = time.monotonic() - started
        output.seek(0)
        errors.seek(0)
        if process.returncode != 0:
            sys.exit(f"{command[0]} ended with {process.returncode}:\n{errors.read().decode()[-3000:]}")
        return Taken(used.ru_utime + used.ru_stime, wall, output.read())


def verify(folder: Path, params: dict[str, Any], hidden: tuple[str, ...] = ()) -> Taken:
    path = folder / "params.json"
    path.write_text(json.dumps(params))
    paths = json.dumps([str(CHECKOUT / "playbooks" / "collections")])
    taken = timed([sys.executable, "-c", CHILD, paths, json.dumps(hidden), str(path)])
    return Taken(taken.cpu, taken.wall, json.loads(taken.said))


def alone(path: Path) -> dict[str, Any]:
    """One file, with what is the default: one process that reads it, and one that waits for that."""
    return {"paths": [str(path)], "level": "structure"}


# --- what is verified ---


def fill(cluster: Cluster, mib: int) -> dict[str, int]:
    """Make a database whose plain dump has so many MiB, or a little more; return the number of rows of each table."""
    cluster.execute(f"CREATE DATABASE {DATABASE}")
    # About 85, 245 and 205 bytes of a row in a dump; 40, 35 and 25 percent of all; gzip makes a quarter of them.
    shares = ((0.4, 85), (0.35, 245), (0.25, 205))
    accounts, documents, blobs = (int(mib * 2**20 * share / width) for share, width in shares)
    words = " || ' ' || ".join(f"substr(md5((n * {salt})::text), 1, 7)" for salt in range(1, 16))
    bytes_ = " || ".join(f"md5((n * {salt})::text)" for salt in range(3))
    for statement in (
        "CREATE TABLE accounts (aid integer, bid integer, balance integer, filler char(80))",
        f"INSERT INTO accounts SELECT n, n % 45, n * 7 % 100003, '' FROM generate_series(1, {accounts}) n",
        "CREATE TABLE documents (id integer, title text, body jsonb)",
        "INSERT INTO documents SELECT n, 'document ' || n, jsonb_build_object('name', md5(n::text), 'words', "
        f"{words}, 'tags', jsonb_build_array(n % 7, n % 11, n % 13)) FROM generate_series(1, {documents}) n",
        "CREATE TABLE blobs (id integer, content bytea)",
        f"INSERT INTO blobs SELECT n, decode({bytes_} || {bytes_}, 'hex') FROM generate_series(1, {blobs}) n",
    ):
        cluster.execute(statement, database=DATABASE)
    return {"public.accounts": accounts, "public.documents": documents, "public.blobs": blobs}


def dump(cluster: Cluster, folder: Path) -> dict[str, Path]:
    files = {name: folder / f"shop.{end}" for name, end in
             (("sql", "sql"), ("sql.gz", "sql.gz"), ("sql.zst", "sql.zst"), ("custom zlib", "dump"))}  # fmt: skip
    pg_dump = [str(cluster.binaries.tool("pg_dump")), "-d", DATABASE]
    environment = cluster.client_environment()
    timed([*pg_dump, "-f", str(files["sql"])], environment)
    timed([*pg_dump, "-Fc", "-f", str(files["custom zlib"])], environment)
    timed(["sh", "-c", 'gzip -6 -c "$1" > "$2"', "sh", str(files["sql"]), str(files["sql.gz"])])
    if shutil.which("zstd"):
        timed(["zstd", "-q", "-3", "-f", str(files["sql"]), "-o", str(files["sql.zst"])])
    return {name: path for name, path in files.items() if path.exists()}


def describe(folder: Path, files: dict[str, Path], rows: dict[str, int]) -> Path:
    """Write the manifests of all files into a place of their own, as their maker would; return it."""
    place = folder / "manifests"
    place.mkdir()
    for name, path in files.items():
        plain = files["custom zlib" if name == "custom zlib" else "sql"]
        manifest = Manifest(
            name=path.name,
            kind="postgres",
            taken_at=datetime.now(timezone.utc),
            stored_size=path.stat().st_size,
            stored_sha256=sha256_of(path),
            plain_size=plain.stat().st_size,
            plain_sha256=sha256_of(plain),
            rows=rows,
            statuses=(("pg_dump", 0),),
        )
        (place / f"{path.name}.manifest.json").write_bytes(render(manifest))
    return place


def sha256_of(path: Path) -> str:
    with open(path, "rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


# --- one file against one program ---


def compare(
    folder: Path, files: dict[str, Path], table_rows: dict[str, int], rounds: int, pg_restore: str
) -> list[dict[str, Any]]:
    rows, manifests = sum(table_rows.values()), str(describe(folder, files, table_rows))
    anchors: dict[str, list[str]] = {
        "sql": ["openssl", "dgst", "-sha256", str(files["sql"])],
        "sql.gz": ["gzip", "-t", str(files["sql.gz"])],
        "custom zlib": [pg_restore, "-f", "/dev/null", str(files["custom zlib"])],
    }
    if "sql.zst" in files:
        anchors["sql.zst"] = ["zstd", "-q", "-t", str(files["sql.zst"])]
    fast = [name for name in LIBRARIES if importlib.util.find_spec(name.partition(".")[0]) is not None]
    variants: dict[str, Callable[[str], Taken]] = {}
    if fast:
        variants[""] = lambda name: verify(folder, alone(files[name]))
        variants[", rows counted"] = lambda name: verify(folder, {**alone(files[name]), "count_rows": True})
        variants[", counted, against a manifest"] = lambda name: verify(
            folder, {**alone(files[name]), "manifest": manifests, "require_manifest": True}
        )
    variants[" stdlib"] = lambda name: verify(folder, alone(files[name]), LIBRARIES)
    results = []
    for name, anchor in anchors.items():
        theirs: list[Taken] = []
        ours: dict[str, list[Taken]] = {variant: [] for variant in variants}
        timed(anchor)  # once for the page cache
        for _round in range(rounds):
            theirs.append(timed(anchor))
            for variant, call in variants.items():
                taken = call(name)
                require_whole(taken, rows if "counted" in variant else None)
                ours[variant].append(taken)
        for variant, samples in ours.items():
            results.append(row(name + variant, samples, theirs, " ".join(Path(word).name for word in anchor[:3])))
            print(results[-1], file=sys.stderr)
    return results


def require_whole(taken: Taken, rows: int | None, files: int = 1) -> None:
    for record in taken.said["files"]:
        dump = record["dump"] or {}
        whole = record["status"] in ("ok", "info") and record["level_reached"] == "structure" and dump["complete"]
        if not whole or dump["tables"] != 3 or dump.get("rows_total") != rows:
            sys.exit(f"not found whole: {record}, {rows} rows")
    if len(taken.said["files"]) != files:
        sys.exit(f"{len(taken.said['files'])} files were read instead of {files}")


def row(what: str, ours: list[Taken], theirs: list[Taken], anchor: str) -> dict[str, Any]:
    ratios = [mine.cpu / other.cpu for mine, other in zip(ours, theirs, strict=True)]
    memory = max(taken.said["memory"] for taken in ours) / 2**20
    decoded = ours[0].said["files"][0]["bytes_decoded"]
    ratio = statistics.median(ratios)
    return {
        "what": what,
        "against": anchor,
        "ratio": round(ratio, 3),
        "ratios": [round(one, 3) for one in ratios],
        "floor": FLOORS.get(what),
        "met": ratio <= FLOORS[what] if what in FLOORS else None,
        "cpu": round(statistics.median(taken.cpu for taken in ours), 2),
        "wall": round(statistics.median(taken.wall for taken in ours), 2),
        "cpu_of_anchor": round(statistics.median(taken.cpu for taken in theirs), 2),
        "decoded_mib_per_cpu_second": round(decoded / 2**20 / statistics.median(taken.cpu for taken in ours)),
        "memory_mib": round(memory, 1),
        "memory_met": memory <= MEMORY_MIB,
    }


# --- many files ---


def side_by_side(folder: Path, file: Path, rounds: int) -> dict[str, Any]:
    """Four files by four processes, against one file by one process; the wall time inside of the check."""
    place = folder / "four"
    place.mkdir()
    for number in range(4):
        os.link(file, place / f"shop-2026112{number}.sql.gz")
    # Who stands back behind others is measured by what those leave.
    one = {"paths": [str(place / "shop-20261120.sql.gz")], "nice": 0}
    four = {"paths": [str(place)], "select": "all", "parallel": 4, "nice": 0}
    ratios, memory, walls, bare = [], 0.0, [], []
    for _round in range(rounds):
        single, several = verify(folder, one), verify(folder, four)
        require_whole(single, None)
        require_whole(several, None, 4)
        ratios.append(4 * single.said["seconds"] / several.said["seconds"])
        walls.append((single.said["seconds"], several.said["seconds"]))
        memory = max(memory, several.said["memory"])
        bare.append(4 * gunzipped(file, 1) / gunzipped(file, 4))
    ratio = statistics.median(ratios)
    return {
        "what": "four files on four processors",
        "times_one": round(ratio, 2),
        "all": [round(one, 2) for one in ratios],
        "gzip_times_one": round(statistics.median(bare), 2),
        "floor": 3.2,
        "met": ratio >= 3.2,
        "seconds": [[round(one, 2) for one in pair] for pair in walls],
        "memory_mib": round(memory / 2**20, 1),
    }


def gunzipped(file: Path, count: int) -> float:
    """Wall time of so many `gzip -t` side by side: what the processors of this host give at all."""
    started = time.monotonic()
    running = [subprocess.Popen(["gzip", "-t", str(file)]) for _one in range(count)]
    if any(process.wait() for process in running):
        sys.exit(f"gzip -t of {file} failed")
    return time.monotonic() - started


def presence(folder: Path, count: int, rounds: int) -> dict[str, Any]:
    place = folder / "many"
    place.mkdir()
    start = datetime(2020, 1, 1, tzinfo=timezone.utc).timestamp()
    for number in range(count):
        taken = start + number * 3600
        path = place / f"shop-{datetime.fromtimestamp(taken, timezone.utc):%Y%m%dT%H%M%SZ}.sql.gz"
        path.write_bytes(b"x" * 100)
        os.utime(path, (taken, taken))
    series = {"name": "shop", "pattern": f"{place}/shop-*", "every": "1h", "max_age": "90000h"}
    samples = [verify(folder, {"series": [series], "select": "all", "level": "presence"}) for _round in range(rounds)]
    if any(sum(taken.said["counts"].values()) != count + 1 for taken in samples):
        sys.exit(f"not all of {count} files were examined: {samples[0].said['counts']}")
    seconds = statistics.median(taken.said["seconds"] for taken in samples)
    return {
        "what": f"{count} files at the level presence",
        "seconds": round(seconds, 2),
        "with_the_start_of_python": round(statistics.median(taken.wall for taken in samples), 2),
        "floor": 2.0,
        "met": seconds <= 2.0,
        "memory_mib": round(max(taken.said["memory"] for taken in samples) / 2**20, 1),
    }


# --- a test restore against the bare programs ---


def by_hand(binaries: Binaries, file: Path, jobs: int, tuned: bool = False) -> float:
    """Wall time of `initdb`, the start of the server and `pg_restore -j` (`psql` for a plain dump), as one types it.

    *tuned* gives it what only a server that is thrown away may have: no fsync, no WAL of what is loaded, more memory.
    """
    account = server_account()
    # Who the server runs as must reach it.
    home = Path(tempfile.mkdtemp(prefix="upkeep-bench-", dir="/var/tmp"))
    account.give(home)
    environment = {"PATH": os.environ["PATH"], "LC_ALL": "C", "HOME": str(home), "PGHOST": str(home)}
    as_server: dict[str, Any] = {} if account.ids is None else {"user": account.ids[0], "group": account.ids[1]}
    settings = {"listen_addresses": "", "unix_socket_directories": str(home)}
    if tuned:
        settings |= {"fsync": "off", "full_page_writes": "off", "synchronous_commit": "off", "autovacuum": "off",
                     "wal_level": "minimal", "max_wal_senders": "0", "checkpoint_timeout": "1h", "max_wal_size": "4GB",
                     "shared_buffers": "512MB", "maintenance_work_mem": "128MB", "jit": "off"}  # fmt: skip
    options = " ".join(f"-c {name}='{value}'" for name, value in settings.items())
    tool = {name: str(binaries.tool(name)) for name in ("initdb", "pg_ctl", "createdb", "pg_restore", "psql")}
    data = str(home / "data")

    def run(*command: str, **how: Any) -> None:
        subprocess.run(command, check=True, stdout=subprocess.DEVNULL, env=environment, cwd=home, **how)

    try:
        started = time.monotonic()
        careless = ["-N"] if tuned else []
        run(tool["initdb"], *careless, "-A", "trust", "-U", "bench", "-E", "UTF8", "--locale=C", data, **as_server)
        run(tool["pg_ctl"], "-D", data, "-l", str(home / "log"), "-w", "-o", options, "start", **as_server)
        run(tool["createdb"], "-U", "bench", "restored")
        if file.suffix == ".sql":
            run(
                tool["psql"],
                "-U",
                "bench",
                "-X",
                "-q",
                "-1",
                "-v",
                "ON_ERROR_STOP=1",
                "-d",
                "restored",
                "-f",
                str(file),
            )
        else:
            run(tool["pg_restore"], "-U", "bench", "--no-owner", "-d", "restored", "-j", str(jobs), str(file))
        return time.monotonic() - started
    finally:
        subprocess.run([tool["pg_ctl"], "-D", data, "-m", "immediate", "stop"], check=False, stdout=subprocess.DEVNULL,
                       env=environment, cwd=home, **as_server)  # fmt: skip
        shutil.rmtree(home, ignore_errors=True)


def restore_level(folder: Path, binaries: Binaries, file: Path, rows: int, rounds: int) -> list[dict[str, Any]]:
    """The level `restore` with all that is below it, counted and analyzed, against the bare programs; wall times.

    The programs are called as one types them, with the defaults of the server, and then with the settings of ours.
    """
    jobs = 4
    params = {"paths": [str(file)], "level": "restore", "nice": 0,
              "restore": {"jobs": jobs, "bin_dir": str(binaries.directory)}}  # fmt: skip
    walls: dict[str, list[float]] = {"ours": [], "defaults": [], "tuned": []}
    phases, loads = {}, []
    timed(["cat", str(file)])  # for the page cache
    for _round in range(rounds):
        taken = {"defaults": by_hand(binaries, file, jobs)}
        ours = verify(folder, params)
        (record,) = ours.said["files"]
        if record["level_reached"] != "restore" or record["restore"]["rows"] != rows or ours.said["counts"]["critical"]:
            sys.exit(f"not restored whole: {record}, {rows} rows")
        taken |= {"ours": ours.wall, "tuned": by_hand(binaries, file, jobs, tuned=True)}
        for name, seconds in taken.items():
            walls[name].append(round(seconds, 2))
        phases, load = record["restore"]["seconds"], os.getloadavg()[0]
        loads.append(round(load, 1))
        print(taken, phases, load, file=sys.stderr)
    program = "psql" if file.suffix == ".sql" else f"pg_restore -j{jobs}"
    what = "plain" if file.suffix == ".sql" else "custom zlib"
    found = []
    for name in ("defaults", "tuned"):
        ratios = [mine / other for mine, other in zip(walls["ours"], walls[name], strict=True)]
        ratio, floor = statistics.median(ratios), RESTORE_FLOOR if name == "defaults" and what != "plain" else None
        found.append(
            {
                "what": f"level restore of {what}, {jobs} jobs",
                "against": f"initdb, start, {program}, {name if name == 'defaults' else 'the settings of ours'}",
                "ratio": round(ratio, 3),
                "ratios": [round(one, 3) for one in ratios],
                "seconds": [list(pair) for pair in zip(walls["ours"], walls[name], strict=True)],
                "phases": phases,
                "load": loads,
                "floor": floor,
                "met": ratio <= floor if floor is not None else None,
            }
        )
    return found


# --- the whole ---


def version(*command: str) -> str:
    if shutil.which(command[0]) is None:
        return "absent"
    return subprocess.run(command, capture_output=True, text=True, check=False).stdout.partition("\n")[0]


def environment(cluster: Cluster) -> dict[str, Any]:
    return {
        "at": datetime.now(timezone.utc).isoformat(timespec="seconds"),
        "python": platform.python_version(),
        "libraries": [name for name in LIBRARIES if importlib.util.find_spec(name.partition(".")[0]) is not None],
        "postgresql": cluster.binaries.version,
        "gzip": version("gzip", "--version"),
        "zstd": version("zstd", "--version"),
        "system": platform.platform(),
        "processors": os.cpu_count(),
        "load": [round(one, 2) for one in os.getloadavg()],
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--mib", type=int, default=1024)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--files", type=int, default=10000)
    parser.add_argument("--folder", type=Path, help="where the dumps go: about three times --mib")
    parser.add_argument("--only-restore", action="store_true", help="the level restore, and nothing else")
    parser.add_argument("--plain", action="store_true", help="the level restore of a plain dump too")
    parser.add_argument("--without-restore", action="store_true", help="everything else")
    parser.add_argument("--output", type=Path)
    options = parser.parse_args()
    restored = () if options.without_restore else ("custom zlib", "sql") if options.plain else ("custom zlib",)
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="upkeep-backups-", dir=options.folder)))
        with Cluster(find_or_bring(None, cache_directory()), settings={"max_wal_size": "4GB"}, name="bench") as cluster:
            rows = fill(cluster, options.mib)
            files = dump(cluster, folder)
            said = environment(cluster)
            binaries = cluster.binaries
            pg_restore = str(binaries.tool("pg_restore"))
        print({name: path.stat().st_size for name, path in files.items()}, sum(rows.values()), file=sys.stderr)
        result = {
            "environment": said,
            "rounds": options.rounds,
            "bytes": {name: path.stat().st_size for name, path in files.items()},
            "table_rows": sum(rows.values()),
            "rows": [
                *(
                    one
                    for name in restored
                    for one in restore_level(folder, binaries, files[name], sum(rows.values()), options.rounds)
                ),
                *(() if options.only_restore else compare(folder, files, rows, options.rounds, pg_restore)),
                *(() if options.only_restore else [side_by_side(folder, files["sql.gz"], options.rounds)]),
                *(() if options.only_restore else [presence(folder, options.files, options.rounds)]),
            ],
        }
    print(json.dumps(result, indent=1))
    if options.output:
        options.output.write_text(json.dumps(result, indent=1) + "\n")


if __name__ == "__main__":
    main()
