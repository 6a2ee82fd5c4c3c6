"""`backup_verify` on dumps of real servers: whole ones raise no alarm, what is done to them is found for what it is."""

from __future__ import annotations

import bz2
import gzip
import hashlib
import io
import json
import lzma
import os
import random
import re
import resource
import shutil
import signal
import subprocess
import sys
import tarfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from ansible_collections.cadence.upkeep.plugins.module_utils._backup.check import CHECK
from ansible_collections.cadence.upkeep.plugins.module_utils._core.argspec import validate
from tests.bed.fixtures import BackupTree
from tests.bed.postgres import Cluster
from tests.integration.module import as_nobody, run_module

CHECKOUT = Path(__file__).resolve().parents[2]
Result = dict[str, Any]
LAST_WEEK = datetime.now(UTC) - timedelta(days=7)

# Names, functions, comments and rows that look like the structure of a dump; tables without rows and without columns.
AWKWARD = r"""
CREATE TABLE customers (id integer PRIMARY KEY, name text);
INSERT INTO customers SELECT n, md5(n::text) FROM generate_series(1, 3000) n;
CREATE TABLE nothing (a integer, b text);
CREATE TABLE no_columns ();
INSERT INTO no_columns DEFAULT VALUES;
CREATE TABLE "a ""quoted""
name; FROM stdin;" ("a ""b
c" text, "ünïcode" integer);
INSERT INTO "a ""quoted""
name; FROM stdin;" VALUES (E'tab\there', 1), (NULL, NULL), ('\.', 2);
CREATE TABLE lines (line text);
INSERT INTO lines VALUES ('--'), ('-- PostgreSQL database dump complete'), ('--'), (''), ('\.'), ('\unrestrict x'),
  (E'one\n\nCOPY public.x (a, b) FROM stdin;\ntwo'), (E'\n\n--\n-- PostgreSQL database dump complete\n--\n\n'), ('--'),
  ('-- PostgreSQL database dump'), ('--'), ('--'), ('-- PostgreSQL database cluster dump complete'), ('--'), ('');
CREATE TABLE numbered_lines (id serial PRIMARY KEY, line text);
INSERT INTO numbered_lines (line) SELECT line FROM lines;
COMMENT ON TABLE lines IS 'it''s a comment

COPY other (x, y) FROM stdin;
';
CREATE FUNCTION speaks_of_dumps() RETURNS void LANGUAGE plpgsql AS $$
begin
  /*

COPY public.fake (a, b) FROM stdin;
1	2

--
-- PostgreSQL database dump complete
--

  */
end $$;
CREATE TABLE days (d date, v integer) PARTITION BY RANGE (d);
CREATE TABLE days_1 PARTITION OF days FOR VALUES FROM ('2026-01-01') TO ('2026-07-01');
CREATE TABLE days_2 PARTITION OF days FOR VALUES FROM ('2026-07-01') TO ('2027-01-01');
INSERT INTO days SELECT date '2026-01-01' + n, n FROM generate_series(0, 300) n;
CREATE TABLE twice (a integer, b integer GENERATED ALWAYS AS (a * 2) STORED);
INSERT INTO twice VALUES (1);
CREATE TABLE wide (body text, raw bytea);
INSERT INTO wide
  SELECT repeat(md5(n::text), 4000), decode(repeat(md5(n::text), 2000), 'hex') FROM generate_series(1, 4) n;
CREATE MATERIALIZED VIEW counted AS SELECT count(*) FROM customers;
SELECT lo_from_bytea(0, decode(repeat('deadbeef', 5000), 'hex')), lo_create(0), lo_from_bytea(0, 'x');
"""

KINDS = {
    "plain.sql": [],
    "inserts.sql": ["--inserts"],
    "column-inserts.sql": ["--column-inserts", "--rows-per-insert=50"],
    "schema.sql": ["--schema-only"],
    "data.sql": ["--data-only", "--disable-triggers"],
    "create.sql": ["--create", "--clean", "--if-exists"],
    "no-comments.sql": ["--no-comments", "--no-owner", "--no-privileges"],
    "verbose.sql": ["--verbose"],
    "quoted.sql": ["--quote-all-identifiers", "--disable-dollar-quoting", "--use-set-session-authorization"],
    "pre-data.sql": ["--section=pre-data"],
    "section-data.sql": ["--section=data"],
    "post-data.sql": ["--section=post-data"],
    "one-table.sql": ["--table=lines"],
    "no-rows-of-one.sql": ["--exclude-table-data=lines"],
    "no-large-objects.sql": ["--no-blobs"],
    "packed.sql.gz": ["--compress=6"],
    "custom.dump": ["--format=custom"],
    "custom-none.dump": ["--format=custom", "--compress=0"],
    "custom-best.dump": ["--format=custom", "--compress=9"],
    "custom-inserts.dump": ["--format=custom", "--inserts"],
    "custom-schema.dump": ["--format=custom", "--schema-only"],
    "custom-data.dump": ["--format=custom", "--data-only"],
    "custom-one-table.dump": ["--format=custom", "--table=customers"],
    "custom-no-rows-of-one.dump": ["--format=custom", "--exclude-table-data=customers"],
    "custom-no-large-objects.dump": ["--format=custom", "--no-blobs"],
    "tar.tar": ["--format=tar"],
    "tar-inserts.tar": ["--format=tar", "--inserts"],
    "tar-schema.tar": ["--format=tar", "--schema-only"],
}
# What pg_dump of 16 and later can do besides.
NEWER_KINDS = {
    "custom-zstd.dump": ["--format=custom", "--compress=zstd"],
    "custom-lz4.dump": ["--format=custom", "--compress=lz4"],
    "custom-long.dump": ["--format=custom", "--compress=zstd:level=3,long"],
    "plain-by-pg.sql.zst": ["--compress=zstd"],
    "plain-by-pg.sql.lz4": ["--compress=lz4"],
}
PACKERS = {
    "zst": ["zstd", "-q", "-c"],
    "no-check.zst": ["zstd", "-q", "-c", "--no-check", "-19"],
    "long.zst": ["zstd", "-q", "-c", "--long=27", "--ultra", "-20"],
    "lz4": ["lz4", "-q", "-c"],
    "linked.lz4": ["lz4", "-q", "-c", "-BD", "-9", "--content-size"],
}


@dataclass(frozen=True)
class Dumps:
    """The dumps of one server: the bytes of each kind, by file name."""

    cluster: Cluster
    database: str
    of: dict[str, bytes]


_made: dict[str, Dumps] = {}


@pytest.fixture
def dumps(postgres_cluster: Cluster) -> Dumps:
    """Made once for each server."""
    version = postgres_cluster.binaries.version
    if version not in _made or _made[version].cluster is not postgres_cluster:
        _made[version] = dump_all(postgres_cluster)
    return _made[version]


def program(cluster: Cluster, *argv: str, stdin: bytes = b"") -> bytes:
    ended = subprocess.run(
        [str(cluster.binaries.tool(argv[0])), *argv[1:]],
        env=cluster.client_environment(), cwd=cluster.home, input=stdin, capture_output=True, check=False,
    )  # fmt: skip
    assert ended.returncode == 0, ended.stderr.decode(errors="replace")
    return ended.stdout


def dump_all(cluster: Cluster) -> Dumps:
    database = "awkward"
    cluster.execute(f"CREATE DATABASE {database}")
    program(cluster, "psql", "-X", "-q", "-v", "ON_ERROR_STOP=1", "-d", database, stdin=AWKWARD.encode())
    kinds = KINDS | (NEWER_KINDS if cluster.binaries.major >= 16 else {})
    of = {name: program(cluster, "pg_dump", "-d", database, *options) for name, options in kinds.items()}
    written = cluster.home / "with-offsets.dump"
    for name, options in (("custom-offsets.dump", []), ("custom-none-offsets.dump", ["--compress=0"])):
        program(cluster, "pg_dump", "-d", database, "--format=custom", *options, "-f", str(written))
        of[name] = written.read_bytes()
    of["restored.sql"] = program(cluster, "pg_restore", "-f", "-", str(written))
    written.unlink()
    of["everything.sql"] = program(cluster, "pg_dumpall")
    of["globals.sql"] = program(cluster, "pg_dumpall", "--globals-only")
    plain = of["plain.sql"]
    of["members.sql.gz"] = b"".join(gzip.compress(plain[at : at + 9000]) for at in range(0, len(plain), 9000))
    of["padded.sql.gz"] = gzip.compress(plain) + bytes(512)
    of["plain.sql.bz2"] = bz2.compress(plain)
    of["plain.sql.xz"] = lzma.compress(plain)
    of["custom.dump.gz"] = gzip.compress(of["custom-none.dump"])
    of |= {f"plain.sql.{end}": packed_by(argv, plain) for end, argv in PACKERS.items() if shutil.which(argv[0])}
    of["skippable.sql.zst"] = b"\x55\x2a\x4d\x18\x03\x00\x00\x00abc" + packed_by(PACKERS["zst"], plain)
    of["windows.tar"] = windows_tar(plain)
    of |= {f"keyless-{name}": without_keys(data) for name, data in of.items() if name.endswith(".sql")}
    return Dumps(cluster, database, of)


def packed_by(argv: list[str], data: bytes) -> bytes:
    return subprocess.run(argv, input=data, stdout=subprocess.PIPE, check=True).stdout


def windows_tar(data: bytes) -> bytes:
    """As 7-Zip and the tar of Windows write it: no owners by name, mode 0777, padded to 512 and no more."""
    packed = io.BytesIO()
    with tarfile.open(fileobj=packed, mode="w", format=tarfile.USTAR_FORMAT) as archive:
        member = tarfile.TarInfo("backups/shop.sql")
        member.size, member.mode = len(data), 0o777
        archive.addfile(member, io.BytesIO(data))
    return packed.getvalue().rstrip(b"\0").ljust(-(-len(packed.getvalue().rstrip(b"\0")) // 512) * 512 + 1024, b"\0")


def without_keys(dump: bytes) -> bytes:
    """As the minor releases before August 2025 wrote it."""
    return re.sub(rb"\n\\(un)?restrict [A-Za-z0-9]+\n", b"", dump)


def put(folder: Path, name: str, data: bytes, *, sidecar_of: bytes | None = None) -> Path:
    """A backup as a job leaves it: 0600, last written a week ago; perhaps with the digest of what it should be."""
    path = folder / name
    path.write_bytes(data)
    path.chmod(0o600)
    if sidecar_of is not None:
        beside = path.with_name(f"{name}.sha256")
        beside.write_text(f"{hashlib.sha256(sidecar_of).hexdigest()}  {name}\n")
    os.utime(path, (LAST_WEEK.timestamp(),) * 2)
    return path


def run(**params: Any) -> Result:
    validated = validate(CHECK.name, CHECK.argument_spec, params, CHECK.rules).params
    return CHECK.run(validated, datetime.now(UTC)).as_result(limit=10_000_000)


def verdicts(folder: Path) -> dict[str, Result]:
    """The record of each file in *folder*, by name."""
    result = run(paths=[str(folder)], select="all", count_rows=True)
    return {Path(record["path"]).name: record for record in result["files"]}


def told(record: Result) -> list[str]:
    return sorted(finding["code"].removeprefix("backup.") for finding in record["findings"])


# --- good ones

# All rows, by COPY, whatever the format.
SAME_ROWS = ("plain.sql", "keyless-plain.sql", "packed.sql.gz", "plain.sql.zst", "plain.sql.lz4", "custom.dump",
             "custom-none.dump", "custom-offsets.dump", "custom-zstd.dump", "custom-lz4.dump", "tar.tar", "verbose.sql",
             "restored.sql")  # fmt: skip


def test_no_whole_dump_raises_an_alarm(dumps: Dumps, tmp_path: Path) -> None:
    for name, data in dumps.of.items():
        put(tmp_path, name, data)
    seen = verdicts(tmp_path)
    assert len(seen) == len(dumps.of) > 60
    assert {name: told(record) for name, record in seen.items() if record["status"] != "ok"} == {}
    assert {record["assurance"] for record in seen.values()} == {"partial"}
    assert {record["level_reached"] for record in seen.values()} == {"structure"}
    rows = {name: record["dump"].get("rows") for name, record in seen.items() if name in SAME_ROWS}
    assert len({json.dumps(counts, sort_keys=True) for counts in rows.values()}) == 1
    version = dumps.cluster.binaries.version
    for name, record in seen.items():
        if name == "windows.tar":
            continue  # a tar of files, whatever they are
        assert record["dump"]["complete"] is True, name
        if "globals" not in name:
            assert record["dump"]["server_version"].startswith(version), name
    assert seen["custom.dump"]["dump"]["database"] == dumps.database
    assert seen["create.sql"]["dump"]["database"] == dumps.database


def test_with_a_digest_only_a_manifest_is_missing(dumps: Dumps, tmp_path: Path) -> None:
    for name, data in dumps.of.items():
        put(tmp_path, name, data, sidecar_of=data)
    result = run(paths=[str(tmp_path)], select="all")
    assert result["findings"] == []
    assert {(record["status"], record["assurance"], tuple(record["unproven"])) for record in result["files"]} == {
        ("ok", "partial", ("completeness",))
    }


def test_the_series_of_the_bed_are_judged_as_what_they_are(backup_tree: BackupTree) -> None:
    expected = {"good": [], "truncated": {"sql": "incomplete_dump", "sql.gz": "truncated", "dump": "truncated"}}
    for kind in ("good", "truncated", "stale"):
        for form in ("sql", "sql.gz", "dump"):
            series = {"name": "shop", "pattern": f"{backup_tree.root}/{kind}/{form}/shop-*", "min_count": 3}
            result = run(series=[series])
            codes = sorted(finding["code"].removeprefix("backup.") for finding in result["findings"])
            codes = [code for code in codes if code != "insecure_mode"]  # as the umask of whoever runs this has it
            if kind == "good":
                assert codes == expected["good"]
            elif kind == "truncated":
                assert codes == sorted(["digest_mismatch", expected["truncated"][form]])
                assert result["summary"]["worst"] == "critical"
            else:
                assert codes == ["stale"]
                assert result["findings"][-1 if len(result["findings"]) == 1 else 0]["severity"] == "critical"


# --- damage after it was written


CUTS = (0.02, 0.05, 0.1, 0.3, 0.5, 0.6, 0.9, 0.99, 0.999)


def damaged(data: bytes, seed: str) -> Iterator[tuple[str, bytes]]:
    """Every way in which a disk or a copy spoils a file, the same for the same *seed*."""
    chance = random.Random(seed)
    size = len(data)
    for share in CUTS:
        yield f"cut at {share:.1%}", data[: max(1, int(size * share))]
    for less in (1, 2, 7, 500, 4096):
        if less < size:
            yield f"cut by {less}", data[: size - less]
    for _ in range(20):
        changed = bytearray(data)
        changed[chance.randrange(size)] ^= 1 << chance.randrange(8)
        yield "flip", bytes(changed)
    middle = chance.randrange(max(1, size - 4096))
    yield "zeroed", data[:middle] + bytes(min(4096, size - middle)) + data[middle + 4096 :]
    yield "dropped", data[:middle] + data[middle + 4096 :]
    yield "repeated", data[: middle + 4096] + data[middle : middle + 4096] + data[middle + 4096 :]
    yield "garbage", data + chance.randbytes(512)
    yield "zeros", data + bytes(512)
    yield "twice", data + data
    yield "all zero", bytes(size)


# Each kind of format in every run, and what is much like one of them in the long one; test_backup_corpus.py has more.
DAMAGED_KINDS = (
    *("plain.sql", "packed.sql.gz", "custom.dump"),
    *(
        pytest.param(name, marks=pytest.mark.soak)
        for name in (
            *("keyless-plain.sql", "inserts.sql", "everything.sql", "plain.sql.xz", "plain.sql.bz2"),
            *("custom-none.dump", "custom-offsets.dump", "custom.dump.gz"),
        )
    ),
)


@pytest.mark.parametrize("name", DAMAGED_KINDS)
def test_with_a_digest_every_damage_is_found(dumps: Dumps, tmp_path: Path, name: str) -> None:
    whole = dumps.of[name]
    cases = {f"{n:03} {name}": data for n, (_how, data) in enumerate(damaged(whole, name)) if data != whole}
    for case, data in cases.items():
        put(tmp_path, case, data, sidecar_of=whole)
    seen = verdicts(tmp_path)
    assert len(seen) == len(cases) > 35
    for case, record in seen.items():
        assert "digest_mismatch" in told(record), case
        assert record["status"] == "critical"


@pytest.mark.parametrize("name", DAMAGED_KINDS)
def test_without_a_digest_damage_is_found_where_the_format_can_show_it(dumps: Dumps, tmp_path: Path, name: str) -> None:
    whole = dumps.of[name]
    cases = {f"{n:03} {name}": (how, data) for n, (how, data) in enumerate(damaged(whole, name)) if data != whole}
    for case, (_how, data) in cases.items():
        put(tmp_path, case, data)
    packed = name.endswith((".gz", ".xz", ".bz2"))
    archive = "custom" in name
    for case, record in verdicts(tmp_path).items():
        how, data = cases[case]
        codes = told(record)
        if how.startswith("cut"):
            early = "truncated" if packed or archive else "incomplete_dump"
            # Without its last line feed a plain dump is still all there.
            assert codes == [early] or (how == "cut by 1" and not codes and not (packed or archive)), (how, codes)
        elif how == "twice":
            allowed = {"duplicate_dump"} if not archive else {"trailing_garbage"}
            assert set(codes) <= allowed
            assert codes
        elif how == "garbage":
            assert codes == ["trailing_garbage"]
        elif how == "zeros":
            assert codes == ([] if name.endswith((".gz", ".xz")) or name == "tar.tar" else ["trailing_garbage"])
        elif how == "all zero":
            assert codes == (["unsupported"] if name.endswith(".dump") else ["unexpected_format"])
        elif not codes:
            # It cannot be seen from the file alone: the record must say so, or the content is the same.
            assert record["assurance"] == "partial"
            assert record["unproven"] != ["completeness", "producer_digest"] or unfolded(name, data) == unfolded(
                name, whole
            ), how
        else:
            known = {"corrupt", "truncated", "toc_corrupt", "incomplete_dump", "trailing_garbage", "unexpected_format"}
            known |= {"schema_mismatch", "data_missing", "meta_command"}
            assert set(codes) <= known | {"unsupported", "duplicate_dump"}, (how, codes)


def unfolded(name: str, data: bytes) -> bytes:
    opener: Callable[[bytes], bytes] = {".gz": gzip.decompress, ".xz": lzma.decompress, ".bz2": bz2.decompress}[
        Path(name).suffix
    ]
    return opener(data)


def test_what_is_silent_in_an_archive_is_what_the_record_calls_unproven(dumps: Dumps, tmp_path: Path) -> None:
    """A flip is found, or the record says that the table of contents is not proven."""
    whole = dumps.of["custom.dump"]
    chance = random.Random(7)
    for n in range(60):
        changed = bytearray(whole)
        changed[chance.randrange(len(whole))] ^= 1 << chance.randrange(8)
        put(tmp_path, f"{n:03}.dump", bytes(changed))
    seen = verdicts(tmp_path)
    silent = [name for name, record in seen.items() if record["status"] == "ok"]
    assert len(silent) < 60
    for name in silent:
        assert "toc" in seen[name]["unproven"]


# --- bad from the beginning


def test_half_a_dump_in_a_whole_container_is_not_complete(dumps: Dumps, tmp_path: Path) -> None:
    expected = {}
    for name in (
        "plain.sql",
        "keyless-plain.sql",
        "inserts.sql",
        "everything.sql",
        "globals.sql",
        "data.sql",
        "schema.sql",
    ):
        whole = dumps.of[name]
        end = whole.rindex(b"--\n-- PostgreSQL database")
        lines = [match.end() for match in re.finditer(rb"\n", whole) if match.end() <= end]
        for share in (0.03, 0.2, 0.5, 0.8, 0.97):
            cut = lines[int(len(lines) * share)]
            for case, size in (("row", cut), ("middle", cut - 5)):
                file = f"{share}-{case}-{name}.gz"
                put(tmp_path, file, gzip.compress(whole[:size]))
                expected[file] = ["incomplete_dump"]
    for file, record in verdicts(tmp_path).items():
        # A cut right behind the end that a function holds looks like garbage after a complete dump.
        assert told(record) in (expected[file], ["trailing_garbage"] if "keyless" in file else expected[file]), file
        assert record["chain"][0] == "gzip"


def test_the_end_marker_in_the_rows_of_a_table_ends_nothing(dumps: Dumps, tmp_path: Path) -> None:
    for keys in ("", "keyless-"):
        whole = dumps.of[f"{keys}plain.sql"]
        rows = whole.index(b"COPY public.lines (line) FROM stdin;")
        marker = whole.index(b"\n-- PostgreSQL database dump complete\n--\n\n", rows)
        for more in (
            b"\n-- PostgreSQL database dump complete\n--\n",
            b"\n-- PostgreSQL database dump complete\n--\n\n",
        ):
            put(tmp_path, f"{keys}{len(more)}.sql.gz", gzip.compress(whole[: marker + len(more)]))
    assert [told(record) for record in verdicts(tmp_path).values()] == [["incomplete_dump"]] * 4


@pytest.fixture
def big_table(postgres_cluster: Cluster, postgres_database: str) -> str:
    """The name of a database whose dump takes a moment."""
    rows = "SELECT n AS id, repeat(md5(n::text), 8) AS body FROM generate_series(1, 60000) n"
    postgres_cluster.execute(f"CREATE TABLE big AS {rows}", database=postgres_database)
    return postgres_database


@pytest.mark.parametrize("form", ["plain", "custom"])
def test_a_dump_program_that_is_killed_leaves_an_incomplete_dump(
    postgres_cluster: Cluster, big_table: str, tmp_path: Path, form: str
) -> None:
    """And gzip makes a whole container of it, with exit status 0."""
    argv = [str(postgres_cluster.binaries.tool("pg_dump")), "--format", form, "-d", big_table, "--compress=0"]
    path = tmp_path / f"shop.{'sql' if form == 'plain' else 'dump'}.gz"
    environment = postgres_cluster.client_environment()
    with (
        open(path, "wb") as file,
        subprocess.Popen(argv, env=environment, cwd=postgres_cluster.home, stdout=subprocess.PIPE) as dumper,
        subprocess.Popen(["gzip"], stdin=subprocess.PIPE, stdout=file) as packer,
    ):
        assert dumper.stdout is not None
        assert packer.stdin is not None
        packer.stdin.write(dumper.stdout.read(3_000_000))
        dumper.send_signal(signal.SIGKILL)
        packer.stdin.write(dumper.stdout.read())
        packer.stdin.close()
        assert packer.wait() == 0
    assert subprocess.run(["gzip", "-t", str(path)], check=False).returncode == 0
    os.utime(path, (LAST_WEEK.timestamp(),) * 2)
    (record,) = verdicts(tmp_path).values()
    assert told(record) == ["incomplete_dump" if form == "plain" else "truncated"]


def test_a_full_disk_leaves_a_truncated_file(postgres_cluster: Cluster, big_table: str, tmp_path: Path) -> None:
    """Here the limit is that of the process, which stops gzip in the same way."""
    dump = program(postgres_cluster, "pg_dump", "-d", big_table)
    path = tmp_path / "shop.sql.gz"
    with open(path, "wb") as file:
        ended = subprocess.run(
            ["gzip"], input=dump, stdout=file, stderr=subprocess.DEVNULL, check=False,
            preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (300_000, 300_000)),
        )  # fmt: skip
    assert ended.returncode != 0
    assert path.stat().st_size == 300_000
    os.utime(path, (LAST_WEEK.timestamp(),) * 2)
    (record,) = verdicts(tmp_path).values()
    assert told(record) == ["truncated"]


@pytest.mark.parametrize("share", [0.2, 0.5, 0.9])
def test_a_job_that_appends_is_told(dumps: Dumps, tmp_path: Path, share: float) -> None:
    """`>>` for `>`: the dump of the night before, whole or cut, and then this one."""
    before, now = dumps.of["inserts.sql"], dumps.of["plain.sql"]
    put(tmp_path, "whole.sql", before + now)
    put(tmp_path, "half.sql", before[: int(len(before) * share)] + now)
    every = dumps.of["everything.sql"]
    put(tmp_path, "cluster.sql", every[: int(len(every) * share)] + every)
    seen = verdicts(tmp_path)
    assert told(seen["whole.sql"]) == ["duplicate_dump"]
    assert told(seen["half.sql"]) == ["incomplete_dump"]
    assert told(seen["cluster.sql"]) == ["incomplete_dump"]


def test_a_terminal_between_spoils_a_dump_and_is_told(dumps: Dumps, tmp_path: Path) -> None:
    put(tmp_path, "terminal.sql", dumps.of["plain.sql"].replace(b"\n", b"\r\n"))
    put(tmp_path, "terminal.dump", dumps.of["custom.dump"].replace(b"\n", b"\r\n"))
    put(tmp_path, "message.sql", b"pg_dump: warning: there are circular foreign keys\n" + dumps.of["plain.sql"])
    seen = verdicts(tmp_path)
    assert (told(seen["terminal.sql"]), seen["terminal.sql"]["status"]) == (["line_endings"], "warning")
    assert seen["terminal.dump"]["status"] == "critical"
    assert told(seen["message.sql"]) == ["unexpected_format"]


# --- through Ansible


@pytest.fixture(scope="module")
def material(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A directory with a good series, a truncated one, and things that are no backups. No server is needed for it."""
    folder = tmp_path_factory.mktemp("material")
    recorded = CHECKOUT / "tests/unit/plugins/module_utils/_backup/recorded"
    now = datetime.now(UTC).replace(microsecond=0)
    for days in range(3):
        whole = gzip.compress((recorded / "18.sql").read_bytes(), mtime=days)  # one a day, and none the same
        name = f"shop-{now - timedelta(days=days, hours=1):%Y%m%dT%H%M%SZ}.sql.gz"
        put(folder, name, whole, sidecar_of=whole)
        put(folder, name.replace("shop", "cut"), whole[:-50] if days == 0 else whole, sidecar_of=whole)
    put(folder, f"custom-{now:%Y%m%d_%H%M%S}.dump", (recorded / "14-gzip.dump").read_bytes())
    os.mkfifo(folder / f"pipe-{now:%Y%m%d}.sql")
    return folder


def series_of(folder: Path) -> list[Result]:
    return [
        {"name": "shop", "pattern": f"{folder}/shop-*.sql.gz", "min_count": 3},
        {"name": "cut", "pattern": f"{folder}/cut-*.sql.gz"},
        {"name": "custom", "pattern": f"{folder}/custom-*", "time_zone": "UTC"},
        {"name": "pipe", "pattern": f"{folder}/pipe-*", "every": "0"},
        {"name": "gone", "pattern": f"{folder}/gone-*"},
    ]


EXPECTED = [
    ("backup.digest_mismatch", "critical"),
    ("backup.manifest_missing", "info"),
    ("backup.missing", "critical"),
    ("backup.not_a_backup", "critical"),
    ("backup.truncated", "critical"),
]


def found(result: Result) -> list[tuple[str, str]]:
    return sorted((finding["code"], finding["severity"]) for finding in result["findings"])


@pytest.mark.parametrize("check_mode", [False, True])
def test_as_a_module_it_says_the_same_twice_and_changes_nothing(
    material: Path, tmp_path: Path, check_mode: bool
) -> None:
    before = sorted((entry.name, entry.stat().st_mtime_ns, entry.stat().st_size) for entry in os.scandir(material))
    params = {"series": series_of(material)}
    first = run_module(tmp_path, "backup_verify", params, check_mode=check_mode)
    second = run_module(tmp_path, "backup_verify", params, check_mode=check_mode)
    assert first.how == second.how == "SUCCESS"
    assert found(first.result) == found(second.result) == EXPECTED
    assert first.result["changed"] is False
    assert first.result["summary"]["counts"] == {"ok": 5, "info": 1, "warning": 0, "unknown": 0, "critical": 3}
    after = sorted((entry.name, entry.stat().st_mtime_ns, entry.stat().st_size) for entry in os.scandir(material))
    assert after == before


@pytest.mark.parametrize(
    ("params", "message"),
    [
        ({"select": "all"}, "one of the following is required: paths, series"),
        (
            {"series": [{"name": "shop", "pattern": "backups/*"}]},
            "The pattern 'backups/*' of the series shop is not absolute.",
        ),
        (
            {"series": [{"name": "shop", "pattern": "/b/*", "every": "24"}]},
            "every of the series shop: '24' has no unit",
        ),
        ({"series": [{"pattern": "/b/*"}]}, "missing required arguments: name"),
        (
            {"series": [{"name": "a", "pattern": "/b/*"}, {"name": "a", "pattern": "/c/*"}]},
            "More than one series is called a.",
        ),
        (
            {"paths": ["/b/x.sql"], "level": "everything"},
            "value of level must be one of: presence, integrity, structure",
        ),
        ({"paths": ["/b/x.sql"], "pathes": ["/b"]}, "Unsupported parameters"),
    ],
)
def test_a_mistake_in_its_options_is_one_clear_error(tmp_path: Path, params: Result, message: str) -> None:
    answer = run_module(tmp_path, "backup_verify", params)
    assert answer.how == "FAILED"
    assert message in answer.result["msg"]
    assert "Traceback" not in json.dumps(answer.result)


def test_an_account_that_may_not_read_says_unknown(material: Path, tmp_path: Path) -> None:
    open_ = tmp_path / "open"
    open_.mkdir()
    for parent in (open_, *open_.parents):
        if parent.stat().st_uid == os.geteuid() and parent.is_relative_to("/tmp") and parent != Path("/tmp"):
            parent.chmod(parent.stat().st_mode | 0o055)
    for file in material.glob("shop-*"):
        put(open_, file.name, file.read_bytes())
    params = {"series": [{"name": "shop", "pattern": f"{open_}/shop-*.sql.gz"}]}
    answer = run_module(tmp_path, "backup_verify", params, **(as_nobody(tmp_path) if os.geteuid() == 0 else {}))
    if os.geteuid() == 0:
        assert ("backup.unreadable", "unknown") in found(answer.result)
        assert "Permission denied" in answer.result["findings"][0]["message"]
    assert answer.how == "SUCCESS"


@pytest.mark.parametrize("arguments", [(), ("--check", "--diff")], ids=["run", "check"])
def test_the_role_registers_the_same(material: Path, tmp_path: Path, arguments: tuple[str, ...]) -> None:
    out = tmp_path / "result.json"
    include = {
        "name": "Verify the backups",
        "ansible.builtin.include_role": {"name": "cadence.upkeep.backups", "tasks_from": "verify"},
        "vars": {"backups_series": series_of(material), "backups_select": "all"},
    }
    keep = {
        "name": "Keep the result",
        "ansible.builtin.copy": {"content": "{{ backups_verify | to_json }}", "dest": str(out), "mode": "0600"},
        "check_mode": False,
    }
    ran = play(tmp_path, [include, keep], *arguments)
    assert ran.returncode == 0, ran.stdout + ran.stderr
    result = json.loads(out.read_text())
    assert found(result) == EXPECTED
    assert result["changed"] is False
    assert result["series"][0]["examined"] == 3


def test_the_role_refuses_what_its_argument_specs_do_not_know(tmp_path: Path) -> None:
    include = {
        "name": "Verify the backups",
        "ansible.builtin.include_role": {"name": "cadence.upkeep.backups", "tasks_from": "verify"},
        "vars": {"backups_series": [{"name": "shop", "pattern": "/b/*"}], "backups_level": "everything"},
    }
    ran = play(tmp_path, [include])
    assert ran.returncode == 2
    assert (
        "value of backups_level must be one of: presence, integrity, structure, restore, got: everything" in ran.stdout
    )


def play(folder: Path, tasks: list[Result], *arguments: str) -> subprocess.CompletedProcess[str]:
    playbook = folder / "play.yml"
    playbook.write_text(json.dumps([{"hosts": "all", "gather_facts": False, "tasks": tasks}]))
    environment = {
        **{key: value for key, value in os.environ.items() if not key.startswith("ANSIBLE_")},
        "ANSIBLE_COLLECTIONS_PATH": str(CHECKOUT / "playbooks" / "collections"),
        "ANSIBLE_HOME": str(folder / "ansible"),
        "ANSIBLE_NOCOLOR": "1",
    }
    command = [os.path.join(os.path.dirname(sys.executable), "ansible-playbook"), "-i", "web1,", "-c", "local"]
    return subprocess.run(
        [*command, "-e", f"ansible_python_interpreter={sys.executable}", *arguments, str(playbook)],
        cwd=folder, env=environment, capture_output=True, text=True, timeout=120, check=False,
    )  # fmt: skip


PYTHONS = [path for path in os.environ.get("UPKEEP_TARGET_PYTHONS", "").split(os.pathsep) if path]


@pytest.mark.target_python
def test_there_are_interpreters_to_run_on() -> None:
    assert PYTHONS, "set UPKEEP_TARGET_PYTHONS; the session `targets` does"


@pytest.mark.target_python
@pytest.mark.parametrize("python", PYTHONS)
def test_every_target_python_says_the_same(material: Path, tmp_path: Path, python: str) -> None:
    answer = run_module(tmp_path, "backup_verify", {"series": series_of(material)}, interpreter=python)
    assert answer.how == "SUCCESS", answer.result
    assert found(answer.result) == EXPECTED
    assert answer.result["series"][0]["status"] == "ok"
