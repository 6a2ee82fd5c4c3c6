"""Real backup series: `pg_dump` of a running cluster, named and dated as they would have been, whole or damaged."""

from __future__ import annotations

import gzip
import hashlib
import os
import shutil
import struct
import subprocess
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Literal

from .errors import BedError
from .postgres import Cluster

Format = Literal["sql", "sql.gz", "dump"]  # also the ends of the file names; `dump` is pg_dump's custom format
NAME_TIME = "%Y%m%dT%H%M%SZ"


def taken_daily(newest: datetime, count: int) -> list[datetime]:
    """`count` instants a day apart, the last of which is `newest`."""
    return [newest - timedelta(days=back) for back in reversed(range(count))]


def write_series(
    cluster: Cluster,
    database: str,
    directory: Path,
    name: str,
    taken: Sequence[datetime],
    form: Format = "sql.gz",
    *,
    keep: float = 1.0,
    sidecars: bool = False,
) -> list[Path]:
    """One dump of `database` for each (aware) instant, as `name-20261122T020000Z.form`; the paths in that order.

    Each is a dump of now that says it was taken then: in its name, its mtime and, where the format has one, its header.
    With `keep` below 1 the newest is cut to that share of its bytes, as by a full disk or a broken copy. The sha256
    sidecars (`sha256sum` form, relative name) are of the whole file, as its maker would have written them before.
    """
    directory.mkdir(parents=True, exist_ok=True)
    paths = []
    for instant in taken:
        path = directory / f"{name}-{instant.astimezone(UTC).strftime(NAME_TIME)}.{form}"
        dump(cluster, database, path, form, instant)
        if sidecars:
            write_sidecar(path)
        paths.append(path)
    if keep < 1.0:
        truncate(paths[-1], keep)
    for path, instant in zip(paths, taken, strict=True):
        _date(path, instant)
    return paths


def dump(cluster: Cluster, database: str, path: Path, form: Format, taken: datetime) -> None:
    """One `pg_dump`. Raises BedError when it fails."""
    kind = "custom" if form == "dump" else "plain"
    path.touch(mode=0o600)  # it holds whatever the database holds
    argv = [str(cluster.binaries.tool("pg_dump")), "--format", kind, "--dbname", database]
    with subprocess.Popen(
        argv, stdout=subprocess.PIPE, stderr=subprocess.PIPE, env=cluster.client_environment(), cwd=cluster.home
    ) as child:
        assert child.stdout is not None
        assert child.stderr is not None
        with open(path, "wb") as file:
            if form == "sql.gz":
                with gzip.GzipFile(filename="", fileobj=file, mode="wb", mtime=int(taken.timestamp())) as packed:
                    shutil.copyfileobj(child.stdout, packed)
            else:
                shutil.copyfileobj(child.stdout, file)
        said = child.stderr.read().decode(errors="replace").strip()
    if child.returncode != 0:
        raise BedError(f"pg_dump of {database} failed: {said}")
    if form == "dump":
        backdate_custom(path, taken)


def truncate(path: Path, keep: float) -> None:
    """Cut the file to that share of its bytes."""
    os.truncate(path, int(path.stat().st_size * keep))


def write_sidecar(path: Path) -> Path:
    """`PATH.sha256`, which `sha256sum -c` in that directory reads."""
    sidecar = path.with_name(f"{path.name}.sha256")
    sidecar.write_text(f"{hashlib.sha256(path.read_bytes()).hexdigest()}  {path.name}\n", encoding="utf-8")
    return sidecar


def _date(path: Path, taken: datetime) -> None:
    for file in (path, path.with_name(f"{path.name}.sha256")):
        if file.exists():
            os.utime(file, (taken.timestamp(), taken.timestamp()))


def backdate_custom(path: Path, taken: datetime) -> None:
    """Write `taken` into the header of a custom-format dump, where `pg_restore --list` shows it in.

    The header: `PGDMP`, three bytes of version, the sizes of an int and of an offset, the format, the compression (one
    byte from archive version 1.15 on, an int before), then seven ints: second to year and the daylight saving flag.
    An int is a sign byte and that many bytes, the lowest first.
    """
    content = bytearray(path.read_bytes())
    if content[:5] != b"PGDMP":
        raise BedError(f"{path} is not a custom-format dump")
    version, size = (content[5], content[6]), content[8]
    at = 11 + (1 if version >= (1, 15) else 1 + size)
    utc = taken.astimezone(UTC)
    # As struct tm has them: months from 0, years from 1900.
    for value in (utc.second, utc.minute, utc.hour, utc.day, utc.month - 1, utc.year - 1900, 0):
        content[at : at + 1 + size] = struct.pack("<Bq", 0, value)[: 1 + size]
        at += 1 + size
    path.write_bytes(content)
