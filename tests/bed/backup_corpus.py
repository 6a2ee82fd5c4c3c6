"""Backups that are good, and every way in which one goes bad: the same for the same seed.

Each format is made by the real program from one small database, and then spoiled: after it was written (a disk, a
copy), when it was made (a dump program that died, the wrong database), or on purpose (archives that climb out, bombs).
`Case.right` are the codes of which one must be told where a manifest says what the backup should be.
"""

from __future__ import annotations

import bz2
import gzip
import io
import lzma
import random
import re
import shutil
import sqlite3
import struct
import subprocess
import tarfile
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

from .backup_keys import Keys
from .errors import BedError
from .postgres import Cluster

DATABASE, OTHER_DATABASE = "corpus", "corpus_other"
TABLES = """
CREATE TABLE customers (id integer PRIMARY KEY, name text, joined date);
INSERT INTO customers SELECT n, md5(n::text), date '2020-01-01' + n FROM generate_series(1, 600) n;
CREATE TABLE orders (id integer PRIMARY KEY, customer integer REFERENCES customers, total numeric(10, 2), note text);
INSERT INTO orders SELECT n, n % 600 + 1, n * 1.25, md5((n * 7)::text) FROM generate_series(1, 900) n;
CREATE TABLE notes (id integer PRIMARY KEY, body text, at date);
INSERT INTO notes SELECT n, repeat(md5((n * 13)::text), 3), date '2021-01-01' + n FROM generate_series(1, 200) n;
CREATE TABLE nothing (a integer);
CREATE INDEX ON orders (customer);
CREATE FUNCTION total() RETURNS numeric LANGUAGE sql AS $$ SELECT sum(total) FROM orders $$;
"""
OTHER_TABLES = """
CREATE TABLE people (id integer PRIMARY KEY, name text);
INSERT INTO people SELECT n, md5(n::text) FROM generate_series(1, 500) n;
"""
ROWS = {"public.customers": 600, "public.orders": 900, "public.notes": 200, "public.nothing": 0}
PAGE = (
    b"<html><head><title>502 Bad Gateway</title></head><body><center><h1>502 Bad Gateway</h1></center></body></html>\n"
)
BLOCK = 4096

Pack = Callable[[bytes], bytes]


@dataclass(frozen=True)
class Case:
    """A file to verify. `form` is the end of its name and says what it should be; `needs_plain` where only the digest
    of what the dump program wrote can tell."""

    form: str
    how: str
    data: bytes
    right: frozenset[str]
    needs_plain: bool = False


@dataclass(frozen=True)
class Form:
    """A format. `plain` is what is innermost, `checked` that its check values cover all that is inside."""

    name: str
    data: bytes
    plain: bytes
    kind: str
    checked: bool
    rows: bool = False
    boundaries: tuple[int, ...] = ()
    pack: Pack | None = None
    encrypted: bool = False


@dataclass
class Originals:
    """All that is made of one server: the forms, and the plain dumps from which bad ones are made."""

    forms: dict[str, Form] = field(default_factory=dict)
    sql: bytes = b""
    other_sql: bytes = b""
    creations: dict[str, bytes] = field(default_factory=dict)
    version: str = ""


def _program(cluster: Cluster, *argv: str, stdin: bytes = b"") -> bytes:
    ended = subprocess.run(
        [str(cluster.binaries.tool(argv[0])), *argv[1:]],
        env=cluster.client_environment(), cwd=cluster.home, input=stdin, capture_output=True, check=False,
    )  # fmt: skip
    if ended.returncode != 0:
        raise BedError(f"{argv[0]} failed: {ended.stderr.decode(errors='replace').strip()}")
    return ended.stdout


def _by(*argv: str) -> Pack:
    return lambda data: subprocess.run(argv, input=data, stdout=subprocess.PIPE, check=True).stdout


def _gzip(data: bytes) -> bytes:
    return gzip.compress(data, 6, mtime=1)


def _members(data: bytes) -> tuple[bytes, tuple[int, ...]]:
    parts = [_gzip(data[at : at + 20_000]) for at in range(0, len(data), 20_000)]
    ends = [sum(map(len, parts[: number + 1])) for number in range(len(parts))]
    return b"".join(parts), tuple(ends[:-1])


def make(cluster: Cluster, keys: Keys) -> Originals:
    """Everything that one server, and the programs of this machine, can make."""
    made = Originals(version=cluster.binaries.version)
    for database, text in ((DATABASE, TABLES), (OTHER_DATABASE, OTHER_TABLES)):
        cluster.execute(f"DROP DATABASE IF EXISTS {database}")
        cluster.execute(f"CREATE DATABASE {database} ENCODING 'UTF8' TEMPLATE template0")
        _program(cluster, "psql", "-X", "-q", "-v", "ON_ERROR_STOP=1", "-d", database, stdin=text.encode())

    def dump(*options: str, database: str = DATABASE) -> bytes:
        return _program(cluster, "pg_dump", "-d", database, *options)

    made.sql, made.other_sql = dump(), dump(database=OTHER_DATABASE)
    made.creations = {
        "custom schema": dump("-Fc", "--schema-only"),
        "custom other": dump("-Fc", database=OTHER_DATABASE),
        "custom without a table": dump("-Fc", "--exclude-table=orders"),
        "custom without rows": dump("-Fc", "--exclude-table-data=orders"),
        "sql data only": dump("--data-only"),
        "sql latin": dump("--encoding=LATIN1"),
    }
    for form in (
        *_plain_forms(made.sql),
        *_encrypted_forms(made.sql, keys),
        *_archive_forms(cluster, dump),
        *_file_forms(made.sql, keys),
        *_other_forms(keys),
    ):
        made.forms[form.name] = form
    return made


def _plain_forms(sql: bytes) -> Iterator[Form]:
    def form(name: str, pack: Pack, checked: bool, boundaries: tuple[int, ...] = ()) -> Form:
        return Form(name, pack(sql), sql, "postgres", checked, rows=True, boundaries=boundaries, pack=pack)

    yield form("sql", lambda data: data, checked=False)
    yield form("sql.gz", _gzip, checked=True)
    packed, ends = _members(sql)
    yield Form("members.sql.gz", packed, sql, "postgres", True, True, ends, lambda data: _members(data)[0])
    yield form("sql.bz2", bz2.compress, checked=True)
    yield form("sql.xz", lzma.compress, checked=True)
    yield form("sql.zst", _by("zstd", "-q", "-c"), checked=True)
    yield form("nocheck.sql.zst", _by("zstd", "-q", "-c", "--no-check"), checked=False)
    yield form("sql.lz4", _by("lz4", "-q", "-c"), checked=True)


def _encrypted_forms(sql: bytes, keys: Keys) -> Iterator[Form]:
    def form(name: str, pack: Pack, checked: bool) -> Form:
        return Form(name, pack(sql), sql, "postgres", checked, rows=True, pack=pack, encrypted=True)

    yield form("sql.gz.gpg", lambda data: keys.gpg_encrypted(_gzip(data)), checked=True)
    yield form("sql.gz.age", lambda data: keys.age_encrypted(_gzip(data)), checked=True)
    yield form("sql.gz.enc", lambda data: keys.openssl_encrypted(_gzip(data)), checked=True)
    yield form("sql.enc", keys.openssl_encrypted, checked=False)


def _archive_forms(cluster: Cluster, dump: Callable[..., bytes]) -> Iterator[Form]:
    def form(name: str, data: bytes, checked: bool = False, boundaries: tuple[int, ...] = ()) -> Form:
        return Form(name, data, data, "postgres", checked, rows=True, boundaries=boundaries)

    yield form("dump", dump("-Fc"))
    yield form("none.dump", dump("-Fc", "-Z0"))
    written = cluster.home / "offsets.dump"
    _program(cluster, "pg_dump", "-d", DATABASE, "-Fc", "-f", str(written))
    yield form("offsets.dump", written.read_bytes())
    written.unlink()
    tar = dump("-Ft")
    yield form("pg.tar", tar, boundaries=tuple(range(512, len(tar), len(tar) // 6 // 512 * 512)))
    custom = dump("-Fc", "-Z0")
    yield Form("dump.gz", _gzip(custom), custom, "postgres", True, rows=True, pack=_gzip)
    if cluster.binaries.major >= 16:
        yield form("by-zstd.dump", dump("-Fc", "--compress=zstd"))
        yield form("by-lz4.dump", dump("-Fc", "--compress=lz4"))
    everything = _program(cluster, "pg_dumpall")
    yield Form("all.sql.gz", _gzip(everything), everything, "postgres-globals", True, pack=_gzip)


def _file_forms(sql: bytes, keys: Keys) -> Iterator[Form]:
    chance = random.Random(3)
    files = {f"uploads/{number}.bin": chance.randbytes(chance.randrange(200, 9000)) for number in range(12)}
    files["uploads/shop.sql"] = sql[:20_000]
    packed = io.BytesIO()
    with tarfile.open(fileobj=packed, mode="w", format=tarfile.PAX_FORMAT) as archive:
        for name, content in files.items():
            member = tarfile.TarInfo(name)
            member.size, member.mtime = len(content), 1_700_000_000
            archive.addfile(member, io.BytesIO(content))
    tar = packed.getvalue()
    boundaries = tuple(range(512, len(tar), len(tar) // 6 // 512 * 512))
    yield Form("tar", tar, tar, "files", False, boundaries=boundaries)
    for name, pack in (("tar.gz", _gzip), ("tar.zst", _by("zstd", "-q", "-c"))):
        yield Form(name, pack(tar), tar, "files", True, pack=pack)
    yield Form("tar.age", keys.age_encrypted(tar), tar, "files", True, pack=keys.age_encrypted, encrypted=True)


def _other_forms(keys: Keys) -> Iterator[Form]:
    archive = mongo_archive()
    yield Form("archive", archive, archive, "mongodb", False)
    yield Form("archive.gz", _gzip(archive), archive, "mongodb", True, pack=_gzip)
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "shop.sqlite"
        connection = sqlite3.connect(path)
        connection.execute("CREATE TABLE t (a INTEGER PRIMARY KEY, b TEXT)")
        connection.executemany("INSERT INTO t VALUES (?, ?)", [(n, f"{n:05}" * 30) for n in range(400)])
        connection.execute("CREATE INDEX i ON t (b)")
        connection.commit()
        connection.close()
        yield Form("sqlite", path.read_bytes(), path.read_bytes(), "sqlite", False)
        rdb = redis_snapshot(Path(folder), keys)
        yield Form("rdb", rdb, rdb, "redis", True)
        pem = _pem(Path(folder))
        yield Form("pem", pem, pem, "files", False)


def _pem(folder: Path) -> bytes:
    argv = ["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-subj", "/CN=shop.test", "-days", "90"]
    argv += ["-keyout", str(folder / "key"), "-out", str(folder / "crt")]
    subprocess.run(argv, check=True, capture_output=True)
    return (folder / "crt").read_bytes() + (folder / "key").read_bytes()


def redis_snapshot(folder: Path, keys: Keys) -> bytes:
    """What a Redis server writes of a few keys of each kind."""
    environment = dict(keys.environment)
    socket = Path(tempfile.mkdtemp(prefix="upkeep-redis-")) / "s"
    argv = ["redis-server", "--port", "0", "--unixsocket", str(socket), "--dir", str(folder), "--save", ""]
    with subprocess.Popen(argv, env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as server:
        try:
            until = time.monotonic() + 60
            while not socket.exists():
                if server.poll() is not None or time.monotonic() > until:
                    raise BedError("redis-server does not start here")
                time.sleep(0.02)
            commands = [f"SET key:{n} {'v' * (n % 90)}" for n in range(300)]
            commands += [f"HSET h:{n} f {n} g {'x' * 80}" for n in range(30)] + [f"RPUSH l {n}" for n in range(200)]
            commands += [f"ZADD z {n} m{n}" for n in range(100)] + [f"SADD s m{n}" for n in range(200)]
            commands += ["XADD x * f v", "EXPIRE key:1 100000", "SAVE"]
            argv = ["redis-cli", "-s", str(socket)]
            subprocess.run(argv, env=environment, input="\n".join(commands), text=True, capture_output=True, check=True)
            return (folder / "dump.rdb").read_bytes()
        finally:
            server.terminate()
            server.wait()
            shutil.rmtree(socket.parent, ignore_errors=True)


# --- MongoDB, by the description of its formats


def _crc64(data: bytes) -> int:
    value = (1 << 64) - 1
    for byte in data:
        value ^= byte
        for _bit in range(8):
            value = value >> 1 ^ (0xC96C5795D7870F42 if value & 1 else 0)
    return value ^ (1 << 64) - 1


def bson(**fields: object) -> bytes:
    body = b""
    for name, value in fields.items():
        key = name.encode() + b"\0"
        if isinstance(value, bool):
            body += b"\x08" + key + bytes([value])
        elif isinstance(value, int):
            body += b"\x12" + key + struct.pack("<Q", value & (1 << 64) - 1)
        else:
            text = str(value).encode() + b"\0"
            body += b"\x02" + key + struct.pack("<i", len(text)) + text
    return struct.pack("<i", len(body) + 5) + body + b"\0"


def mongo_documents(collection: str, count: int) -> list[bytes]:
    return [bson(id=number, name=f"{collection} {number}", note="n" * (number % 60)) for number in range(count)]


def mongo_archive() -> bytes:
    """Two collections, interleaved as `mongodump --archive` writes them."""
    end = b"\xff\xff\xff\xff"
    orders, people = mongo_documents("orders", 60), mongo_documents("people", 25)

    def part(name: str, documents: list[bytes], crc: int = 0, last: bool = False) -> bytes:
        return bson(db="shop", collection=name, EOF=last, CRC=crc) + b"".join(documents) + end

    out = b"\x6d\xe2\x99\x81" + bson(
        concurrent_collections="4", version="0.1", server_version="6.0.5", tool_version="100"
    )
    out += b"".join(bson(db="shop", collection=name, metadata="{}", size=100) for name in ("orders", "people")) + end
    out += part("orders", orders[:20]) + part("people", people) + part("orders", orders[20:])
    out += part("people", [], _crc64(b"".join(people)), last=True)
    return out + part("orders", [], _crc64(b"".join(orders)), last=True)


# --- after it was written

DIGEST = frozenset(("digest_mismatch",))
CUT = DIGEST | {"truncated", "incomplete_dump"}
CUTS = (0.02, 0.05, 0.1, 0.3, 0.5, 0.6, 0.9, 0.99, 0.999)


def written(form: Form, before: bytes, flips: int, seed: str = "corpus") -> Iterator[Case]:
    """What a disk or a copy does to a file. `before` is the backup of the day before."""
    data, chance = form.data, random.Random(f"{seed} {form.name}")
    size = len(data)

    def case(how: str, changed: bytes, right: frozenset[str] = DIGEST) -> Case:
        return Case(form.name, how, changed, right)

    def flipped(at: int) -> bytes:
        changed = bytearray(data)
        changed[at] ^= 1 << chance.randrange(8)
        return bytes(changed)

    for number in range(flips):
        yield case(f"flip in the first bytes {number}", flipped(chance.randrange(16)))
        yield case(f"flip in the middle {number}", flipped(chance.randrange(size // 10, size * 9 // 10)))
        yield case(f"flip in the last bytes {number}", flipped(size - 1 - chance.randrange(8)))
        yield case(f"flip in the front tenth {number}", flipped(chance.randrange(16, max(17, size // 10))))
    for share in CUTS:
        yield case(f"cut at {share:.1%}", data[: max(24, int(size * share))], CUT)
    for less in (1, 2, 7, BLOCK):
        if less < size - 24:
            yield case(f"cut by {less}", data[: size - less], CUT)
    for number, boundary in enumerate(form.boundaries):
        for off in (-1, 0, 1):
            yield case(f"cut at the boundary {number} {off:+}", data[: boundary + off], CUT)
    middle = size // 2 // BLOCK * BLOCK
    if size > 3 * BLOCK:
        there = data[middle : middle + BLOCK]
        yield case("4 KiB of zeros", data[:middle] + bytes(BLOCK) + data[middle + BLOCK :])
        yield case("zeros at the end", data[: size - BLOCK] + bytes(BLOCK))
        yield case("4 KiB dropped", data[:middle] + data[middle + BLOCK :])
        yield case("4 KiB twice", data[: middle + BLOCK] + there + data[middle + BLOCK :])
        yield case("4 KiB swapped", there + data[BLOCK:middle] + data[:BLOCK] + data[middle + BLOCK :])
        yield case("a hole", data[: size // 3] + bytes(size // 3) + data[size // 3 * 2 :])
    yield case("all zeros", bytes(size))
    yield case("garbage behind", data + chance.randbytes(512))
    yield case("zeros behind", data + bytes(512))
    yield case("a newline behind", data + b"\n")
    yield case("twice", data + data)
    yield case("empty", b"", frozenset(("empty",)))
    yield case("an error page", PAGE, frozenset(("not_a_backup",)))
    yield case("the day before", before)


# --- when it was made


def made_badly(originals: Originals, form: Form) -> Iterator[Case]:
    """Plain dumps that were wrong before they were packed and digested."""
    sql, pack = originals.sql, form.pack or (lambda data: data)

    def case(how: str, changed: bytes, *right: str, needs_plain: bool = False) -> Case:
        return Case(form.name, how, pack(changed), frozenset(right), needs_plain)

    rows = sql.index(b"COPY public.orders")
    first_row = sql.index(b"\n", rows) + 1
    end_of_rows = sql.index(b"\n\\.\n", first_row)
    fourth = first_row
    for _row in range(4):
        fourth = sql.index(b"\n", fourth) + 1
    marker = sql.rindex(b"--\n-- PostgreSQL database dump complete")
    yield case("cut in a row", sql[: fourth - 9], "incomplete_dump")
    yield case("cut at the end of a row", sql[:fourth], "incomplete_dump")
    yield case("cut between tables", sql[: end_of_rows + 5], "incomplete_dump")
    yield case("cut in the last comment", sql[: marker + 12], "incomplete_dump")
    yield case("the rows of a table are missing", sql[:first_row] + sql[end_of_rows + 1 :], "row_count_mismatch")
    yield case("a row is lost", sql[:first_row] + sql[sql.index(b"\n", first_row) + 1 :], "row_count_mismatch")
    digit = sql.index(b"1.25")
    yield case("a digit is another", sql[:digit] + b"7" + sql[digit + 1 :], "digest_mismatch", needs_plain=True)
    yield case("two tables are swapped", _swapped(sql), "schema_mismatch", "row_count_mismatch", "digest_mismatch")
    yield case("another database", originals.other_sql, "data_missing")
    yield case("schema alone", _schema_only(sql), "data_missing")
    yield case("data alone", originals.creations["sql data only"], "digest_mismatch", needs_plain=True)
    yield case("an empty database", _empty_database(sql), "data_missing")
    message = b"pg_dump: warning: there are circular foreign-key constraints on this table:\n"
    yield case("messages in it", sql[:fourth] + message + sql[fourth:], "row_count_mismatch")
    yield case("messages before it", message + sql, "unexpected_format")
    yield case("a prompt before it", b"Password: \n" + sql, "unexpected_format")
    yield case("line endings", sql.replace(b"\n", b"\r\n"), "line_endings")
    yield case("twice", sql + sql, "duplicate_dump")
    yield case("half and whole", sql[: len(sql) // 2] + sql, "incomplete_dump")
    yield case("nothing", b"", "empty")
    yield case("another encoding", originals.creations["sql latin"], "schema_mismatch")
    other = re.sub(rb"(from database version )\d+", rb"\g<1>12", sql)
    yield case("another server", other, "wrong_database")
    yield case("a command in it", sql[:rows] + b"\\! touch /tmp/owned\n" + sql[rows:], "meta_command")


def _swapped(sql: bytes) -> bytes:
    """The rows of orders where those of notes should be, and the other way round."""
    spans = []
    for table in (b"notes", b"orders"):
        start = sql.index(b"\n", sql.index(b"COPY public." + table)) + 1
        spans.append((start, sql.index(b"\\.\n", start)))
    (one, one_end), (two, two_end) = sorted(spans)
    return sql[:one] + sql[two:two_end] + sql[one_end:two] + sql[one:one_end] + sql[two_end:]


def _schema_only(sql: bytes) -> bytes:
    copies = re.compile(rb"COPY public\.\w+ \([^)]*\) FROM stdin;\n.*?\\\.\n", re.DOTALL)
    return copies.sub(b"", sql)


def _empty_database(sql: bytes) -> bytes:
    start, end = sql.index(b"\n--\n-- Name: "), sql.rindex(b"\n--\n-- PostgreSQL database dump complete")
    return sql[:start] + sql[end:]


def made_badly_custom(originals: Originals) -> Iterator[Case]:
    """The same of archives, where pg_dump itself can be told to do the wrong thing."""
    whole = originals.forms["dump"].data
    for how, right in (
        ("custom schema", ("data_missing",)),
        ("custom other", ("wrong_database",)),
        ("custom without a table", ("data_missing",)),
        ("custom without rows", ("data_missing",)),
    ):
        yield Case("dump", how, originals.creations[how], frozenset(right))
    for share in (0.3, 0.8, 0.99):
        yield Case("dump.gz", f"cut at {share:.0%}", _gzip(whole[: int(len(whole) * share)]), frozenset(("truncated",)))
    yield Case("dump", "a prompt before it", b"Password: \n" + whole, frozenset(("unexpected_format", "not_a_backup")))
    yield Case(
        "dump", "line endings", whole.replace(b"\n", b"\r\n"), frozenset(("toc_corrupt", "corrupt", "truncated"))
    )


# --- on purpose


def hostile() -> Iterator[Case]:
    """Archives that harm whoever unpacks them, and files that unfold to far more than anybody has room for."""

    def tar(*members: tarfile.TarInfo) -> bytes:
        packed = io.BytesIO()
        with tarfile.open(fileobj=packed, mode="w", format=tarfile.GNU_FORMAT) as archive:
            for member in members:
                archive.addfile(member, io.BytesIO(b"x" * member.size) if member.size else None)
        return packed.getvalue()

    def member(name: str, kind: bytes = tarfile.REGTYPE, target: str = "", mode: int = 0o644) -> tarfile.TarInfo:
        one = tarfile.TarInfo(name)
        one.type, one.linkname, one.mode = kind, target, mode
        one.size = 9 if kind == tarfile.REGTYPE else 0
        return one

    def case(form: str, how: str, data: bytes, *right: str) -> Case:
        return Case(form, how, data, frozenset(right))

    link, hard, device = tarfile.SYMTYPE, tarfile.LNKTYPE, tarfile.CHRTYPE
    yield case("tar", "climbing", tar(member("a"), member("../../etc/cron.d/x")), "unsafe_path")
    yield case("tar", "climbing within", tar(member("a/../../x")), "unsafe_path")
    yield case("tar", "absolute", tar(member("/etc/passwd")), "unsafe_path")
    yield case("tar", "through a link", tar(member("d", link, "/etc"), member("d/passwd")), "unsafe_path")
    yield case("tar", "a link out", tar(member("d", link, "../../etc/passwd")), "unsafe_member")
    yield case("tar", "a hard link out", tar(member("d", hard, "/etc/shadow")), "unsafe_member")
    yield case("tar", "a device", tar(member("null", device)), "unsafe_member")
    yield case("tar", "set-id", tar(member("sh", mode=0o4755)), "unsafe_member")
    yield case("tar", "a name twice", tar(member("a"), member("a")), "unsafe_member")
    nested = b"x" * 100
    for _depth in range(9):
        nested = _gzip(nested)
    yield case("sql.gz", "nine deep", nested, "bomb")
    header, end = b"--\n-- PostgreSQL database dump\n--\n\n", b"\n--\n-- PostgreSQL database dump complete\n--\n"
    yield case("sql", "a command", header + b"\\! id\n" + end, "meta_command")
    yield case("tar.gz", "a lying member", _gzip(_lying_tar()), "truncated", "corrupt")


def _lying_tar() -> bytes:
    """A header that claims a member of 8 GiB less a byte."""
    header = bytearray(tarfile.TarInfo("a").tobuf())
    header[124:136] = b"77777777777\0"
    header[148:156] = b" " * 8
    header[148:156] = b"%06o\0 " % sum(header)
    return bytes(header) + bytes(2048)


def bombs(bytes_: int) -> Iterator[Case]:
    """So many bytes of zeros, which is next to nothing when it is packed. Made by programs, never in our memory."""
    for form, argv in (("gz", ["gzip", "-9"]), ("bz2", ["bzip2", "-9"]), ("zst", ["zstd", "-q", "-19"])):
        zeros = subprocess.Popen(["head", "-c", str(bytes_), "/dev/zero"], stdout=subprocess.PIPE)
        packed = subprocess.run([*argv, "-c"], stdin=zeros.stdout, stdout=subprocess.PIPE, check=True).stdout
        zeros.wait()
        yield Case(f"sql.{form}", f"{bytes_ >> 20} MiB of zeros", packed, frozenset(("bomb", "unexpected_format")))


# --- backups that are directories


@dataclass(frozen=True)
class Tree:
    """A backup that is a directory: its files by name. `checked` as of a `Form`."""

    name: str
    files: dict[str, bytes]
    kind: str
    checked: bool


@dataclass(frozen=True)
class TreeCase:
    how: str
    files: dict[str, bytes]
    right: frozenset[str]


def trees(cluster: Cluster) -> Iterator[Tree]:
    """A dump in directory format, a base backup of either form, and a dump of MongoDB. After `make`."""
    with tempfile.TemporaryDirectory(dir=cluster.home) as folder:
        for name, options in (("directory", []), ("directory-none", ["-Z0"])):
            place = Path(folder) / name
            _program(cluster, "pg_dump", "-d", DATABASE, "-Fd", *options, "-f", str(place))
            yield Tree(name, _files_in(place), "postgres", checked=False)
    documents = {name: b"".join(mongo_documents(name, 80)) for name in ("orders", "people")}
    for name, pack, end in (("mongodump", lambda data: data, ""), ("mongodump-gzip", _gzip, ".gz")):
        files = {f"shop/{one}.bson{end}": pack(content) for one, content in documents.items()}
        files |= {f"shop/{one}.metadata.json{end}": pack(b'{"options":{},"indexes":[]}') for one in documents}
        files |= {
            f"shop/cheap.metadata.json{end}": pack(b'{"options":{"viewOn":"orders","pipeline":[]},"type":"view"}')
        }
        yield Tree(name, files, "mongodb", checked=bool(end))


def base_backups(cluster: Cluster) -> Iterator[Tree]:
    """Plain and tar; tens of megabytes each."""
    with tempfile.TemporaryDirectory(dir=cluster.home) as folder:
        for name, options in (("base", ["-Fp"]), ("base-tar", ["-Ft", "-z"])):
            place = Path(folder) / name
            _program(cluster, "pg_basebackup", *options, "-X", "stream", "--checkpoint=fast", "-D", str(place))
            yield Tree(name, _files_in(place), "base-backup", checked=True)


def _files_in(place: Path) -> dict[str, bytes]:
    return {str(path.relative_to(place)): path.read_bytes() for path in sorted(place.rglob("*")) if path.is_file()}


def spoiled(tree: Tree, times: int) -> Iterator[TreeCase]:
    """What a disk, a copy or a person does to a directory."""
    chance = random.Random(f"corpus {tree.name}")
    full = [name for name, data in tree.files.items() if len(data) > 200 and name != "backup_manifest"]

    def case(how: str, changes: dict[str, bytes | None], *right: str) -> TreeCase:
        files = {**tree.files, **changes}
        return TreeCase(how, {name: data for name, data in files.items() if data is not None}, frozenset(right))

    for number in range(times):
        name = chance.choice(full)
        data = tree.files[name]
        at = chance.randrange(len(data))
        flipped = data[:at] + bytes([data[at] ^ 1 << chance.randrange(8)]) + data[at + 1 :]
        yield case(f"flip {number} in {name} at {at}", {name: flipped}, "digest_mismatch")
        yield case(f"cut {number} of {name}", {name: data[: chance.randrange(1, len(data))]}, "digest_mismatch")
        yield case(f"emptied {number} {name}", {name: b""}, "digest_mismatch")
        yield case(f"without {number} {name}", {name: None}, "digest_mismatch", "data_missing")
    one, other = sorted(full, key=lambda name: len(tree.files[name]))[-2:]
    yield case("two files swapped", {one: tree.files[other], other: tree.files[one]}, "digest_mismatch")
    yield case("a stray file", {"stray.dat": b"x" * 200}, "digest_mismatch", "trailing_garbage")
