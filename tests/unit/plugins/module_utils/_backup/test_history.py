"""What is remembered: on the disk when a call returns, and read although a crash tore it."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import pytest

from ansible_collections.cadence.upkeep.plugins.module_utils._backup.history import Verified, append, prepare, read
from ansible_collections.cadence.upkeep.plugins.module_utils._core.errors import StateError
from tests.unit.plugins.module_utils._backup.samples import DAY, NOW


def verified(**changes: Any) -> Verified:
    return Verified(**{
        "at": NOW, "series": "shop", "path": "/b/shop.sql.gz", "taken_at": NOW - DAY, "size": 5000, "mtime_ns": 123_000,
        "level": "structure", "status": "ok", "seconds": 1.25, "sha256": "a" * 64, **changes,
    })  # fmt: skip


def test_what_is_remembered_is_read_in_its_order(tmp_path: Path) -> None:
    path = str(tmp_path / "state.jsonl")
    assert read(path) == []
    append(path, verified())
    append(path, verified(path="/b/ü\n.sql", status="critical"))
    assert read(path) == [verified(), verified(path="/b/ü\n.sql", status="critical")]
    assert os.stat(path).st_mode & 0o777 == 0o600


def test_its_own_directory_is_made_and_no_other(tmp_path: Path) -> None:
    prepare(str(tmp_path / "upkeep/state.jsonl"))
    assert os.stat(tmp_path / "upkeep").st_mode & 0o777 == 0o700
    with pytest.raises(StateError, match="No such file or directory"):
        prepare(str(tmp_path / "no/such/state.jsonl"))
    assert not (tmp_path / "no").exists()


@pytest.mark.parametrize(
    "torn", [b'{"schema":1,"at"', b"\0\0\0", b"not JSON\n", b"[]\n", b'{"schema":2}\n', b"[" * 9999]
)
def test_a_torn_line_is_left_out_and_the_next_is_whole(tmp_path: Path, torn: bytes) -> None:
    path = tmp_path / "state.jsonl"
    append(str(path), verified())
    with open(path, "ab") as stream:
        stream.write(torn)
    append(str(path), verified(status="warning"))
    assert [one.status for one in read(str(path))] == ["ok", "warning"]


def test_what_somebody_else_could_have_put_there_is_refused(tmp_path: Path) -> None:
    (tmp_path / "link").symlink_to(tmp_path / "elsewhere")
    with pytest.raises(StateError):
        prepare(str(tmp_path / "link"))
    with pytest.raises(StateError, match="cannot be written"):
        prepare(str(tmp_path / "no" / "such" / "place"))
    os.mkfifo(tmp_path / "pipe")
    with pytest.raises(StateError):
        read(str(tmp_path / "pipe"))


def test_only_the_newest_lines_of_a_long_file_are_read(tmp_path: Path) -> None:
    path = tmp_path / "state.jsonl"
    line = verified().as_line()
    path.write_bytes(verified(status="old").as_line() + line * (9_000_000 // len(line)))
    path.chmod(0o600)
    found = read(str(path))
    assert {one.status for one in found} == {"ok"}
    assert len(found) > 20_000


def test_restores_are_remembered_and_lines_from_before_them_read(tmp_path: Path) -> None:
    path = str(tmp_path / "state.jsonl")
    restored = verified(target="initdb", phases={"prepare": 1.5, "load": 20.25})
    append(path, restored)
    plain = json.loads(verified().as_line())
    del plain["target"], plain["phases"]
    with open(path, "a") as stream:
        stream.write(json.dumps(plain) + "\n" + json.dumps({**plain, "phases": ["load"]}) + "\n")
    assert read(path) == [restored, verified()]
