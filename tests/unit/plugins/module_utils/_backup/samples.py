"""Dumps to verify: recorded ones, archives of every version, and policies to judge them by."""

from __future__ import annotations

import re
import zlib
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from ansible_collections.cadence.upkeep.plugins.module_utils._backup import model
from ansible_collections.cadence.upkeep.plugins.module_utils._backup.check import CHECK
from ansible_collections.cadence.upkeep.plugins.module_utils._backup.content import Inspection
from ansible_collections.cadence.upkeep.plugins.module_utils._core.argspec import validate
from ansible_collections.cadence.upkeep.plugins.module_utils._core.deadline import Deadline

RECORDED = Path(__file__).parent / "recorded"
NOW = datetime(2026, 11, 22, 4, 13, tzinfo=UTC)
HOUR = timedelta(hours=1)
DAY = timedelta(days=1)
LIMITS = model.Limits(max_expanded=1 << 40, max_ratio=250.0, max_depth=6)

PLAIN = ("14.sql", "14-inserts.sql", "14-all.sql", "18.sql", "18-inserts.sql", "18-all.sql")
CUSTOM = tuple(f"{major}-{kind}.dump" for major in (14, 16, 18) for kind in ("gzip", "none", "offsets"))


def recorded(name: str) -> bytes:
    return (RECORDED / name).read_bytes()


def cuts(whole: bytes, step: int = 7) -> list[int]:
    """Sizes at which to cut *whole*: all over it, and each of the last."""
    return sorted({*range(1, len(whole), step), *range(max(1, len(whole) - 40), len(whole))})


def without_keys(dump: bytes) -> bytes:
    """The dump as a minor release before August 2025 would have written it."""
    return re.sub(rb"\n\\(un)?restrict [A-Za-z0-9]+\n", b"", dump)


def look(
    name: str,
    data: bytes,
    step: int = 1 << 16,
    limits: model.Limits = LIMITS,
    decrypt: model.Decrypt = model.Decrypt(),  # noqa: B008  it is frozen
) -> model.Content:
    """What one pass shows over *data*, read in pieces of *step* bytes from a file called *name*."""
    inspection = Inspection(name, model.Reading(limits, decrypt), Deadline(None))
    try:
        for start in range(0, len(data), step):
            inspection.feed(data[start : start + step])
        inspection.finish()
        return inspection.result("", len(data), 0.0)
    finally:
        inspection.close()


def codes(content: model.Content) -> list[str]:
    return [problem.code.removeprefix("backup.") for problem in content.problems]


def codes_of(name: str, data: bytes, step: int = 1 << 16) -> list[str]:
    return codes(look(name, data, step))


# --- archives


@dataclass(frozen=True)
class Piece:
    """An entry of an archive: ``data`` None for none, a list for large objects (number, content)."""

    number: int
    data: bytes | list[tuple[int, bytes]] | None = None
    copied: bool = True
    tag: str | None = "orders"
    kind: str | None = "TABLE DATA"
    offset: tuple[int, int] = (1, 0)
    changes: dict[str, Any] = field(default_factory=dict)


ROWS = b"1\tone\n2\ttwo\n\\.\n\n\n"


def archive(
    entries: Sequence[Piece] = (Piece(1, ROWS), Piece(2, b"\\.\n\n\n", tag="customers")),
    version: tuple[int, int] = (1, 14),
    compression: str = "gzip",
    *,
    integer: int = 4,
    offset: int = 8,
    level: int | None = None,
    algorithm: int | None = None,
    created: Sequence[int] = (13, 4, 2, 22, 10, 126, 0),
    count: int | None = None,
    blocks: bytes | None = None,
    piece_bytes: int = 4096,
    filed: bool = False,
) -> bytes:
    """A custom-format archive, written by the rules of pg_dump's own source and not by those of the reader.

    With *filed* it is the `toc.dat` of one whose data are in files: an entry with data ends in the name of its file.
    """

    def number(value: int) -> bytes:
        return bytes([value < 0]) + abs(value).to_bytes(integer, "little")

    def text(value: str | None) -> bytes:
        return number(-1) if value is None else number(len(value.encode())) + value.encode()

    out = b"PGDMP" + bytes([*version, 0, integer, offset, 3 if filed else 1])
    if version >= (1, 15):
        out += bytes([{"none": 0, "gzip": 1, "lz4": 2, "zstd": 3}[compression] if algorithm is None else algorithm])
    else:
        out += number((-1 if compression == "gzip" else 0) if level is None else level)
    out += b"".join(map(number, created)) + text("shop") + text("14.23 (Debian 14.23-1)") + text("14.23")
    out += number(len(entries) if count is None else count)
    for entry in entries:
        change = entry.changes.get
        out += number(entry.number) + number(change("has_data", int(entry.data is not None)))
        out += text(change("class", "1259")) + text(change("object", "16384")) + text(entry.tag) + text(entry.kind)
        out += number(change("section", 3)) + text("CREATE ...;") + text("DROP ...;")
        out += text("COPY public.orders (a, b) FROM stdin;\n" if entry.copied else None)
        out += text("public") + text("")
        if version >= (1, 14):
            out += text("heap")
        if version >= (1, 16):
            out += number(114)
        out += text("postgres") + text(change("oids", "false"))
        out += b"".join(map(text, change("dependencies", ("7", "8")))) + number(-1)
        if filed:
            own = f"{entry.number}.dat" if isinstance(entry.data, bytes) else "blobs.toc" if entry.data else ""
            out += text(change("file", own))
        else:
            out += bytes([entry.offset[0]]) + entry.offset[1].to_bytes(offset, "little")
    if filed:
        return out
    if blocks is not None:
        return out + blocks

    def stream(data: bytes) -> bytes:
        stored = zlib.compress(data) if compression == "gzip" else data
        cut = [stored[start : start + piece_bytes] for start in range(0, len(stored), piece_bytes)]
        return b"".join(number(len(part)) + part for part in cut) + number(0)

    for entry in entries:
        if isinstance(entry.data, bytes):
            out += b"\x01" + number(entry.number) + stream(entry.data)
        elif entry.data is not None:
            objects = b"".join(number(oid) + stream(data) for oid, data in entry.data)
            out += b"\x03" + number(entry.number) + objects + number(0)
    return out


# --- what is wanted, and what was seen


def series(**changes: Any) -> model.Series:
    return model.Series(
        **{
            "name": "shop",
            "pattern": "/b/shop-*.sql.gz",
            "every": 86400.0,
            "grace": 7200.0,
            "gap_window": 7,
            "size_band": model.SizeBand(14, 3.5, 10 << 20, True),
            **changes,
        }
    )


def policy(*wanted: model.Series, **changes: Any) -> model.Policy:
    return model.Policy(
        **{
            "series": wanted or (series(),),
            "select": model.LATEST,
            "limits": LIMITS,
            "seconds": 3600.0,
            "seconds_per_file": 600.0,
            **changes,
        }
    )


def content(*problems: model.Problem, **changes: Any) -> model.Content:
    return model.Content(
        **{
            "chain": ("gzip", "pgdump-plain"),
            "problems": problems,
            "unproven": (),
            "dump": model.Dump(None, "17.11", "17.11", None, True),
            "whole": True,
            "stored_sha256": "a" * 64,
            "bytes_read": 5000,
            "bytes_decoded": 20000,
            "seconds": 0.01,
            **changes,
        }
    )


def backup(age: timedelta = HOUR, **changes: Any) -> model.BackupFile:
    """A selected file of the series `shop`, taken *age* before NOW."""
    taken = NOW - age
    return model.BackupFile(
        **{
            "path": f"/b/shop-{taken:%Y%m%dT%H%M%SZ}.sql.gz",
            "kind": model.FILE,
            "size": 5000,
            "mtime": taken + timedelta(minutes=3),
            "mode": 0o600,
            "taken_at": taken,
            "taken_from": model.FROM_NAME,
            "selected": True,
            "sidecar": sidecar(),
            "content": content(),
            **changes,
        }
    )


def sidecar(**changes: Any) -> model.Sidecar:
    return model.Sidecar(**{"path": "/b/SHA256SUMS", "sha256": "a" * 64, "mtime": NOW, **changes})


def daily(count: int, *, first_age: timedelta = HOUR, **changes: Any) -> tuple[model.BackupFile, ...]:
    """*count* files a day apart, newest first, of which that one is selected."""
    digests = [{"sidecar": sidecar(sha256=f"{n:064x}")} if n else {} for n in range(count)]
    return tuple(backup(first_age + n * DAY, selected=n == 0, **digests[n] | changes) for n in range(count))


def found(*files: model.BackupFile, **changes: Any) -> model.Found:
    return model.Found(**{"series": series(), "files": files, **changes})


# --- the whole check


def run(now: datetime = NOW, **params: Any) -> dict[str, Any]:
    """The result of the check, its parameters validated as the module's are."""
    return CHECK.run(validate(CHECK.name, CHECK.argument_spec, params, CHECK.rules).params, now).as_result()


def told(result: dict[str, Any]) -> list[tuple[str, str, str]]:
    """Code, severity and subject of each finding, the subject without its directories."""
    return [
        (finding["code"].removeprefix("backup."), finding["severity"], finding["subject"].rsplit("/", 1)[-1])
        for finding in result["findings"]
    ]
