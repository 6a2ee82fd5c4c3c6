"""Archives as they could be, for the tests of what is decided about them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from ansible_collections.cadence.upkeep.plugins.module_utils._core.argspec import validate
from ansible_collections.cadence.upkeep.plugins.module_utils._postgres.archive.argspec import ARGUMENT_SPEC, RULES
from ansible_collections.cadence.upkeep.plugins.module_utils._postgres.archive.model import (
    Archive,
    Archiver,
    BaseBackup,
    Entry,
    History,
    Options,
    ServerView,
    Slot,
    Snapshot,
    Standby,
)
from ansible_collections.cadence.upkeep.plugins.module_utils._postgres.archive.names import parse_name
from ansible_collections.cadence.upkeep.plugins.module_utils._postgres.archive.options import options_of

SIZE = 1 << 24
NOW = 1_790_000_000.0


def name(number: int, timeline: int = 1) -> str:
    return f"{timeline:08X}{number // 256:08X}{number % 256:08X}"


def entry(file: str, **others: Any) -> Entry:
    """The file of that name, whole unless *others* say otherwise."""
    parsed = parse_name(file, (".gz", ".zst"))
    assert parsed is not None, file
    number = parsed.number(SIZE)
    assert number is not None, file
    given: dict[str, Any] = {"size": SIZE, "inode": 1, "changed": NOW - 60, **others}
    return Entry(file, parsed.kind, parsed.timeline, number, parsed.suffix, offset=parsed.offset, **given)


def archive(*files: str | Entry, histories: dict[int, tuple[tuple[int, int], ...] | None] | None = None) -> Archive:
    entries = [each if isinstance(each, Entry) else entry(each) for each in files]
    return Archive(
        path="/archive",
        label="main",
        segment_size=SIZE,
        entries=tuple(sorted(entries, key=lambda each: each.order)),
        histories={timeline: History(timeline, branches) for timeline, branches in (histories or {}).items()},
    )


def segments(first: int, last: int, timeline: int = 1) -> list[str]:
    return [name(number, timeline) for number in range(first, last + 1)]


def backup(number: int, timeline: int = 1, **others: Any) -> BaseBackup:
    """One that began 0x28 bytes into that segment and ended in it."""
    given: dict[str, Any] = {
        "id": f"{name(number, timeline)}.00000028.backup",
        "start": number * SIZE + 0x28,
        "first": number,
        "last": number,
        "started": "",
        "of_archive": True,
        "complete": True,
        **others,
    }
    return BaseBackup(timeline=timeline, **given)


def server(**others: Any) -> ServerView:
    given: dict[str, Any] = {
        "label": "main",
        "in_recovery": False,
        "system": 7,
        "segment_size": SIZE,
        "redo": 100 * SIZE,
        "timeline": 1,
        "data_directory": "",
        "running_backups": 0,
        "slots": (),
        "standbys": (),
        "archiver": archiver(),
        **others,
    }
    return ServerView(**given)


def archiver(**others: Any) -> Archiver:
    given: dict[str, Any] = {
        "mode": "on",
        "last_archived": "",
        "archived_at": NOW - 60,
        "failures": 0,
        "last_failed": "",
        "failed_at": None,
        "ready": 0,
        **others,
    }
    return Archiver(**given)


def slot(number: int | None, id_: str = "standby1", status: str = "reserved") -> Slot:
    return Slot(id_, None if number is None else number * SIZE + 5, status)


def standby(number: int | None, state: str = "streaming", id_: str = "walreceiver") -> Standby:
    return Standby(id_, 4711, state, None if number is None else number * SIZE)


def options(**given: Any) -> Options:
    params = validate("pg_wal_archive", ARGUMENT_SPEC, {"path": "/archive", **given}, RULES).params
    return options_of(params, "main")


def snapshot(held: Archive, *backups: BaseBackup, **others: Any) -> Snapshot:
    given: dict[str, Any] = {"server": None, "consumers": (), "now": NOW, **others}
    return Snapshot(held, tuple(backups), **given)


def fill(folder: Path, *files: str, content: bytes = b"x") -> None:
    for file in files:
        (folder / file).write_bytes(content)
