"""Looking at real files: what is chosen, what stands beside it, and what keeps us from reading it."""

from __future__ import annotations

import contextlib
import gzip
import hashlib
import os
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from ansible_collections.cadence.upkeep.plugins.module_utils._backup import collect as collecting
from ansible_collections.cadence.upkeep.plugins.module_utils._backup import model
from ansible_collections.cadence.upkeep.plugins.module_utils._backup import reader as reading
from ansible_collections.cadence.upkeep.plugins.module_utils._backup.collect import collect
from ansible_collections.cadence.upkeep.plugins.module_utils._backup.reader import Wanted, read_content
from ansible_collections.cadence.upkeep.plugins.module_utils._core.deadline import Deadline
from tests.unit.plugins.module_utils._backup.samples import DAY, HOUR, NOW, codes, policy, recorded, series

SQL = recorded("18.sql")
PACKED = gzip.compress(SQL)


def write(directory: Path, age: timedelta, data: bytes = PACKED, end: str = "sql.gz", old: bool = True) -> Path:
    path = directory / f"shop-{NOW - age:%Y%m%dT%H%M%SZ}.{end}"
    path.write_bytes(data)
    if old:
        os.utime(path, ((NOW - age).timestamp(),) * 2)
    return path


def digest(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()


def seen(directory: Path, *, select: str = model.LATEST, **changes: Any) -> model.Found:
    wanted = series(pattern=str(directory / "shop-*"), **changes)
    return collect(policy(wanted, select=select), NOW).found[0]


def newest(directory: Path, **changes: Any) -> model.BackupFile:
    return seen(directory, **changes).selected[0]


def read(
    path: Path, seconds: float = 60.0, to_the_end: bool = False
) -> tuple[model.Content | None, model.Failure | None]:
    wanted = Wanted(sha256="a" * 64 if to_the_end else "")
    return read_content(str(path), policy().reading(model.INTEGRITY), Deadline(seconds), wanted)


@contextlib.contextmanager
def as_an_ordinary_user() -> Iterator[None]:
    """Root reads everything, so it steps aside."""
    if os.geteuid() != 0:
        yield
        return
    os.seteuid(65534)
    try:
        yield
    finally:
        os.seteuid(0)


@pytest.fixture
def open_directory() -> Iterator[Path]:
    """A directory that everybody can reach, as those of pytest are not."""
    with tempfile.TemporaryDirectory() as name:
        os.chmod(name, 0o755)
        yield Path(name)


# --- what is chosen


def test_the_newest_is_read_and_the_others_are_seen(tmp_path: Path) -> None:
    for age in (HOUR, DAY, 2 * DAY):
        write(tmp_path, age)
    one = seen(tmp_path)
    assert [file.selected for file in one.files] == [True, False, False]
    assert [file.content is not None for file in one.files] == [True, False, False]
    assert one.files[0].taken_at == NOW - HOUR
    assert [file.content is not None for file in seen(tmp_path, select=model.ALL).files] == [True] * 3


def test_the_newest_is_told_by_its_name_and_not_by_when_it_was_copied(tmp_path: Path) -> None:
    write(tmp_path, HOUR)
    older = write(tmp_path, DAY)
    os.utime(older, (NOW.timestamp(),) * 2)
    assert newest(tmp_path).taken_at == NOW - HOUR
    assert newest(tmp_path, time_from="mtime").path == str(older)


def test_one_in_the_future_is_not_the_newest_unless_there_is_no_other(tmp_path: Path) -> None:
    ahead = write(tmp_path, -5 * HOUR)
    assert newest(tmp_path).path == str(ahead)
    good = write(tmp_path, HOUR)
    assert newest(tmp_path).path == str(good)


def test_at_the_level_presence_nothing_is_opened(tmp_path: Path) -> None:
    path = write(tmp_path, HOUR)
    path.with_name(f"{path.name}.sha256").write_text(f"{digest(PACKED)}  {path.name}\n")
    file = newest(tmp_path, level=model.PRESENCE)
    assert file.content is None
    assert file.sidecar is not None


def test_a_file_of_two_series_is_read_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write(tmp_path, HOUR)
    opened: list[str] = []
    real = collecting.read_content
    monkeypatch.setattr(collecting, "read_content", lambda path, *rest: opened.append(path) or real(path, *rest))
    pattern = str(tmp_path / "shop-*")
    snapshot = collect(policy(series(pattern=pattern), series(name="other", pattern=pattern)), NOW)
    assert len(opened) == 1
    assert snapshot.found[0].selected[0].content == snapshot.found[1].selected[0].content


# --- what was read


def test_the_whole_file_is_read_and_hashed(tmp_path: Path) -> None:
    big = gzip.compress(SQL + b"\n" * 3_000_000 + os.urandom(3_000_000).hex().encode(), 1)
    path = write(tmp_path, HOUR, big)
    file = newest(tmp_path)
    assert file.content is not None
    assert file.content.stored_sha256 == digest(path.read_bytes())
    assert file.content.bytes_read == len(big)
    assert file.content.seconds > 0


def test_what_is_wrong_is_not_read_on_unless_there_is_a_digest_to_compare(tmp_path: Path) -> None:
    data = b"x" * 5_000_000
    path = write(tmp_path, HOUR, data)
    content, failure = read(path)
    assert failure is None
    assert content is not None
    assert content.stored_sha256 == ""
    assert content.bytes_read < len(data)
    content, failure = read(path, to_the_end=True)
    assert content is not None
    assert (content.stored_sha256, content.bytes_read) == (digest(data), len(data))
    assert codes(content) == ["unexpected_format"]


def test_a_digest_beside_a_broken_file_tells_when_it_broke(tmp_path: Path) -> None:
    path = write(tmp_path, HOUR, PACKED[:-900])
    path.with_name(f"{path.name}.sha256").write_text(f"{digest(PACKED)}  {path.name}\n")
    file = newest(tmp_path)
    assert file.content is not None
    assert codes(file.content) == ["truncated"]
    assert file.content.stored_sha256 == digest(PACKED[:-900])


# --- what stands beside it


def test_the_digest_of_the_file_itself_is_taken_before_a_list(tmp_path: Path) -> None:
    path = write(tmp_path, HOUR)
    (tmp_path / "SHA256SUMS").write_text(f"{'b' * 64}  {path.name}\n")
    beside = newest(tmp_path).sidecar
    assert beside is not None
    assert (beside.path, beside.sha256) == (str(tmp_path / "SHA256SUMS"), "b" * 64)
    path.with_name(f"{path.name}.sha256").write_text(f"{'a' * 64}  /elsewhere/{path.name}\n")
    own = newest(tmp_path).sidecar
    assert own is not None
    assert (own.sha256, own.other_name, own.problem) == ("a" * 64, "", "")


def test_a_list_that_does_not_speak_of_the_file_is_passed_over(tmp_path: Path) -> None:
    path = write(tmp_path, HOUR)
    (tmp_path / "SHA256SUMS").write_text(f"{'b' * 64}  another.sql.gz\n")
    assert newest(tmp_path).sidecar is None
    (tmp_path / "sha256sum.txt").write_text(f"{'c' * 64}  {path.name}\n")
    beside = newest(tmp_path).sidecar
    assert beside is not None
    assert beside.sha256 == "c" * 64


def test_a_digest_under_another_name_is_said_to_be(tmp_path: Path) -> None:
    path = write(tmp_path, HOUR)
    path.with_name(f"{path.name}.sha256").write_text(f"{digest(PACKED)}  before-it-was-renamed.sql.gz\n")
    beside = newest(tmp_path).sidecar
    assert beside is not None
    assert beside.other_name == "before-it-was-renamed.sql.gz"


@pytest.mark.parametrize(
    ("content", "problem"),
    [
        (b"", "holds no SHA-256 digest"),
        (b"\x00\xff" * 900, "holds no SHA-256 digest"),
        (b"d41d8cd98f00b204e9800998ecf8427e  x\n", "holds no SHA-256 digest"),
        (f"{'a' * 64}  x\n{'b' * 64}  y\n".encode(), "contradict one another"),
        (b"x" * (9 << 20), "too large"),
    ],
)
def test_a_digest_file_that_cannot_be_used_says_why(tmp_path: Path, content: bytes, problem: str) -> None:
    path = write(tmp_path, HOUR)
    path.with_name(f"{path.name}.sha256").write_bytes(content)
    beside = newest(tmp_path).sidecar
    assert beside is not None
    assert problem in beside.problem
    assert beside.sha256 == ""


def test_a_digest_file_that_is_none_is_not_waited_for(tmp_path: Path) -> None:
    path = write(tmp_path, HOUR)
    os.mkfifo(path.with_name(f"{path.name}.sha256"))
    beside = newest(tmp_path).sidecar
    assert beside is not None
    assert beside.problem == "is not a regular file"
    os.unlink(path.with_name(f"{path.name}.sha256"))
    path.with_name(f"{path.name}.sha256").symlink_to("nowhere")
    beside = newest(tmp_path).sidecar
    assert beside is not None
    assert "cannot be read: No such file" in beside.problem


# --- what keeps us from reading


def test_a_file_that_may_not_be_read_is_unreadable_and_the_others_are_read(open_directory: Path) -> None:
    write(open_directory, HOUR).chmod(0o000)
    write(open_directory, DAY).chmod(0o644)
    with as_an_ordinary_user():
        bad, good = seen(open_directory, select=model.ALL).files
    assert bad.failure is not None
    assert (bad.failure.kind, bad.failure.reason) == ("unreadable", "cannot be read: Permission denied")
    assert good.content is not None
    assert good.failure is None


def test_a_directory_that_may_not_be_read_is_a_failure_of_the_series(open_directory: Path) -> None:
    closed = open_directory / "closed"
    closed.mkdir()
    write(closed, HOUR)
    closed.chmod(0o000)
    with as_an_ordinary_user():
        one = seen(closed)
    closed.chmod(0o700)
    assert one.files == ()
    assert [failure.path for failure in one.failures] == [str(closed)]


def test_a_digest_file_that_may_not_be_read_says_so(open_directory: Path) -> None:
    path = write(open_directory, HOUR)
    path.chmod(0o644)
    beside = path.with_name(f"{path.name}.sha256")
    beside.write_text(f"{digest(PACKED)}\n")
    beside.chmod(0o000)
    with as_an_ordinary_user():
        file = newest(open_directory)
    assert file.sidecar is not None
    assert file.sidecar.problem == "cannot be read: Permission denied"


@pytest.mark.parametrize("kind", ["pipe", "directory", "device", "link"])
def test_what_is_no_file_is_never_opened(tmp_path: Path, kind: str) -> None:
    path = tmp_path / f"shop-{NOW - HOUR:%Y%m%dT%H%M%SZ}.sql.gz"
    if kind == "pipe":
        os.mkfifo(path)
    elif kind == "directory":
        path.mkdir()
    else:
        path.symlink_to("/dev/zero" if kind == "device" else "nowhere")
    os.utime(path, (NOW.timestamp(),) * 2, follow_symlinks=False)
    started = time.monotonic()
    file = newest(tmp_path)
    assert (file.content, file.failure) == (None, None)
    assert file.kind != model.FILE
    assert time.monotonic() - started < 20


@pytest.mark.parametrize("make", [os.mkfifo, os.mkdir])
def test_what_took_the_place_of_a_file_is_refused(tmp_path: Path, make: Any) -> None:
    make(tmp_path / "shop.sql")
    content, failure = read(tmp_path / "shop.sql", 5)
    assert content is None
    assert failure is not None
    assert (failure.kind, failure.reason) == ("unreadable", "cannot be read: it is not a regular file any more")


def test_a_file_that_is_gone_is_unreadable(tmp_path: Path) -> None:
    _content, failure = read(tmp_path / "gone.sql")
    assert failure is not None
    assert failure.reason == "cannot be read: No such file or directory"


def test_a_file_that_grows_while_it_is_read_is_neither_good_nor_bad(tmp_path: Path) -> None:
    path = write(tmp_path, HOUR, PACKED[:1000], old=False)
    done = threading.Event()

    def go_on_writing() -> None:
        with open(path, "ab") as stream:
            while not done.wait(0.05):
                stream.write(b"more")
                stream.flush()

    writer = threading.Thread(target=go_on_writing)
    writer.start()
    try:
        content, failure = read(path)
    finally:
        done.set()
        writer.join()
    assert content is None
    assert failure is not None
    assert failure.kind == "changing"


def test_a_young_file_that_ends_early_gets_a_moment_to_grow(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = write(tmp_path, HOUR, PACKED[:-30], old=False)
    meanwhile: list[Callable[[], object]] = [lambda: None]
    monkeypatch.setattr(reading.time, "sleep", lambda seconds: meanwhile[0]())
    content, failure = read(path)
    assert failure is None  # it did not grow, so it is what it is
    assert content is not None
    assert codes(content) == ["truncated"]
    meanwhile[0] = lambda: path.write_bytes(PACKED)
    content, failure = read(path)
    assert content is None
    assert failure is not None
    assert failure.kind == "changing"
    os.truncate(path, 900)
    meanwhile[0] = path.unlink
    content, failure = read(path)
    assert failure is not None


def test_an_old_file_that_ends_early_is_not_waited_for(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = write(tmp_path, HOUR, PACKED[:-30])
    os.utime(path, (time.time() - 90, time.time() - 90))
    waited: list[float] = []
    monkeypatch.setattr(reading.time, "sleep", waited.append)
    content, _failure = read(path)
    assert content is not None
    assert codes(content) == ["truncated"]
    assert waited == []


# --- time


def test_a_file_that_takes_too_long_is_told_and_the_others_are_read(tmp_path: Path) -> None:
    slow = write(tmp_path, HOUR)
    os.truncate(slow, 400 << 30)  # zeros that take no space, behind a gzip stream
    os.utime(slow, ((NOW - HOUR).timestamp(),) * 2)
    write(tmp_path, DAY)
    wanted = series(pattern=str(tmp_path / "shop-*"))
    late, good = collect(policy(wanted, select=model.ALL, seconds_per_file=2.0), NOW).found[0].files
    assert late.failure is not None
    assert late.failure.kind == "timeout"
    assert late.failure.reason == "was not read to its end within 2s"
    assert late.failure.evidence["bytes_read"] > 0
    assert good.content is not None
    assert good.content.problems == ()


def test_when_all_time_is_over_the_newest_of_each_series_were_read(tmp_path: Path) -> None:
    pattern = str(tmp_path / "*" / "shop-*")
    wanted = []
    for name in ("a", "b"):
        (tmp_path / name).mkdir()
        write(tmp_path / name, HOUR)
        slow = write(tmp_path / name, DAY)
        os.truncate(slow, 400 << 30)
        write(tmp_path / name, 2 * DAY)
        wanted.append(series(name=name, pattern=pattern.replace("/*/", f"/{name}/")))
    snapshot = collect(policy(*wanted, select=model.ALL, seconds=4.0, seconds_per_file=2.5), NOW)
    for one in snapshot.found:
        assert one.files[0].content is not None
        failures = [file.failure for file in one.files[1:]]
        assert all(failure is not None and failure.kind == "timeout" for failure in failures)
    last = snapshot.found[1].files[2].failure
    assert last is not None
    assert last.reason == "was not begun: the timeout of 4s for all files was over"


def test_a_read_that_hangs_is_left_behind(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """As on a dead mount, where no signal ends it: only the kernel's part is played here."""
    path = write(tmp_path, HOUR)
    never = threading.Event()
    real = os.read
    monkeypatch.setattr(os, "read", lambda descriptor, size: (never.wait(300) and b"") or real(descriptor, size))
    started = time.monotonic()
    content, failure = read(path, 0.2)
    assert content is None
    assert failure is not None
    assert failure.kind == "timeout"
    assert time.monotonic() - started < 120
    never.set()


def test_memory_does_not_grow_with_the_file(tmp_path: Path) -> None:
    import tracemalloc

    path = write(tmp_path, HOUR, gzip.compress(SQL[:900] + b"\n\n" + b"-- x\n" * 12_000_000 + SQL[900:], 1))
    tracemalloc.start()
    try:
        content, _failure = read(path)
        _now, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert content is not None
    assert content.problems == ()
    assert content.bytes_decoded > 60_000_000
    assert peak < 8 << 20


def test_an_empty_file_is_not_read(tmp_path: Path) -> None:
    empty = write(tmp_path, HOUR, b"")
    file = newest(tmp_path)
    assert (file.path, file.size, file.content, file.failure) == (str(empty), 0, None, None)
