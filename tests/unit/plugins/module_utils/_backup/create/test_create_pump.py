"""What moves a dump to the disk: every program counts, and nothing is lost or kept by mistake."""

from __future__ import annotations

import contextlib
import hashlib
import os
import signal
import stat
import sys
import time

import pytest

from ansible_collections.cadence.upkeep.plugins.module_utils._backup.create import pump
from ansible_collections.cadence.upkeep.plugins.module_utils._backup.create.errors import BackupFailed, NoRoom
from ansible_collections.cadence.upkeep.plugins.module_utils._backup.create.private import (
    first_line,
    nameless_file,
    password_line,
)
from ansible_collections.cadence.upkeep.plugins.module_utils._backup.create.store import Store
from ansible_collections.cadence.upkeep.plugins.module_utils._core.deadline import Deadline
from ansible_collections.cadence.upkeep.plugins.module_utils._core.errors import CommandFailed, DeadlineExceeded


class Kept:
    def __init__(self):
        self.data = b""
        self.finished = False

    def feed(self, data):
        self.data += data

    def finish(self):
        self.finished = True


def shell(script):
    return ["/bin/sh", "-c", script]


def pour(script, sink, seconds=30.0, **more):
    statuses = []
    pump.Source("source", shell(script), **more).pour(sink, Deadline(seconds), statuses)
    return statuses


def test_a_program_is_poured_out_whole():
    kept = Kept()
    assert pour("seq 1 200000; echo loud >&2", kept) == [("source", 0)]
    assert kept.data == b"".join(b"%d\n" % number for number in range(1, 200001))


@pytest.mark.parametrize(("script", "said"), [("exit 3", "status 3"), ("kill -9 $$", "signal 9")])
def test_a_program_that_fails_fails_the_backup(script, said):
    with pytest.raises(BackupFailed, match=said):
        pour(f"echo x; {script}", Kept())


def test_its_own_words_are_told_and_its_secrets_not():
    script = "echo 'pg_dump: warning: x' >&2; echo 'pg_dump: error: no c4nary here' >&2; echo more >&2; exit 1"
    with pytest.raises(BackupFailed) as told:
        pour(script, Kept(), secrets=("c4nary",))
    assert "pg_dump: error: no ******** here" in told.value.message
    assert "c4nary" not in str(told.value.as_failure())


def test_what_the_server_said_is_told_too():
    lines = (
        'pg_dump: error: Dumping the contents of table "t" failed: PQgetCopyData() failed.\n'
        "pg_dump: detail: Error message from server: ERROR:  missing chunk number 0 for toast value 16402\n"
    )
    error = pump.failed("pg_dump", 1, lines)
    assert error.message.endswith("failed (ERROR:  missing chunk number 0 for toast value 16402).")


def test_time_ends_it_and_what_it_started():
    marker = f"{time.time_ns()}"
    started = time.monotonic()
    with pytest.raises(DeadlineExceeded):
        pour(f"sleep 300 & sleep 300 {marker} || echo {marker}", Kept(), seconds=0.3)
    assert time.monotonic() - started < 60
    give_up = time.monotonic() + 60
    while running(marker) and time.monotonic() < give_up:
        time.sleep(0.01)  # a kill takes a moment to arrive
    assert running(marker) == []


def running(marker):
    """The command lines of others that have *marker* in them."""
    found = []
    for entry in os.listdir("/proc") if os.path.isdir("/proc") else ():
        if entry.isdigit() and int(entry) != os.getpid():
            with contextlib.suppress(OSError), open(f"/proc/{entry}/cmdline", "rb") as stream:
                line = stream.read()
                found += [line] if marker.encode() in line else []
    return found


def test_what_cannot_be_started_is_told():
    with pytest.raises(CommandFailed, match="cannot be started"):
        pump.Source("nothing", ["/nonexistent/program"])


def filtered(script, data, sink):
    statuses = []
    track = pump.Track(Deadline(30.0))
    try:
        chain = pump.Filter("filter", shell(script), track, sink, statuses)
        for start in range(0, len(data), 65536):
            chain.feed(data[start : start + 65536])
        chain.finish()
    finally:
        track.close()
    return statuses


def test_a_filter_passes_on_and_is_waited_for():
    kept = Kept()
    assert filtered("tr a b; sleep 0.2", b"a" * 1_000_000, kept) == [("filter", 0)]
    assert (kept.data, kept.finished) == (b"b" * 1_000_000, True)


@pytest.mark.parametrize("script", ["head -c 1000 >/dev/null; exit 4", "cat; exit 4", "exit 4"])
def test_a_filter_that_fails_fails_the_backup(script):
    kept = Kept()
    with pytest.raises(BackupFailed, match="status 4"):
        filtered(script, b"a" * 3_000_000, kept)
    assert not kept.finished


def test_a_filter_that_ends_well_but_early_fails_it_too():
    with pytest.raises(BackupFailed, match="before it had read everything"):
        filtered("head -c 1000", b"a" * 3_000_000, Kept())


def test_a_digest_counts_what_passes():
    kept = Kept()
    digest = pump.Digest(kept)
    for piece in (b"one", b"", b"two"):
        digest.feed(piece)
    digest.finish()
    assert (digest.size, digest.sha256) == (6, hashlib.sha256(b"onetwo").hexdigest())
    assert (kept.data, kept.finished) == (b"onetwo", True)


@pytest.mark.skipif(not os.path.exists("/dev/full"), reason="this system has no device that is always full")
def test_a_full_disk_is_no_room():
    descriptor = os.open("/dev/full", os.O_WRONLY)
    try:
        with pytest.raises(NoRoom) as refused:
            pump.File(descriptor, "/dev/full", 0).feed(b"x")
    finally:
        os.close(descriptor)
    assert refused.value.evidence["class"] == "scratch_full"


def test_what_is_to_stay_free_is_left_alone(tmp_path):
    descriptor = os.open(tmp_path / "x", os.O_WRONLY | os.O_CREAT)
    try:
        with pytest.raises(NoRoom, match="min_free keeps"):
            pump.File(descriptor, str(tmp_path / "x"), 1 << 60).feed(b"x")
    finally:
        os.close(descriptor)
    assert (tmp_path / "x").read_bytes() == b""


@pytest.mark.skipif(sys.platform != "linux", reason="the signal of a parent's death is Linux's")
def test_a_program_ends_with_us(tmp_path):
    """Not at the end of its pipe only: one that waits for a lock would hold it on."""
    reader, writer = os.pipe()
    child = os.fork()
    if not child:
        source = pump.Source("waits", shell("sleep 300"))
        os.write(writer, str(source.pid).encode())
        time.sleep(300)
    os.close(writer)
    pid = int(os.read(reader, 100))
    os.close(reader)
    os.kill(child, signal.SIGKILL)
    os.waitpid(child, 0)
    for _turn in range(200):
        try:
            with open(f"/proc/{pid}/stat") as stream:
                if stream.read().rpartition(") ")[2].split()[0] == "Z":
                    return
        except OSError:
            return
        time.sleep(0.05)
    pytest.fail("it lives on")


# --- secrets


def test_a_nameless_file_is_a_regular_one_that_only_we_may_read():
    with nameless_file("s3cret\n") as descriptor:
        found = os.fstat(descriptor)
        assert stat.S_ISREG(found.st_mode)
        assert stat.S_IMODE(found.st_mode) == 0o600
        for _turn in range(2):  # each process that opens it reads it from its beginning
            with open(f"/dev/fd/{descriptor}") as stream:
                assert stream.read() == "s3cret\n"


@pytest.mark.parametrize(
    ("password", "line"), [("plain", "*:*:*:*:plain\n"), ("a:b", "*:*:*:*:a\\:b\n"), ("a\\b", "*:*:*:*:a\\\\b\n")]
)
def test_a_password_is_written_as_libpq_reads_it(password, line):
    assert password_line(password) == line


@pytest.mark.parametrize(("content", "said"), [(None, "No such file"), (b"", "is empty"), (b"\xff\xfe", "no text")])
def test_a_passphrase_file_that_cannot_be_used(tmp_path, content, said):
    path = tmp_path / "phrase"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(BackupFailed, match=said):
        first_line(str(path), "sign.passphrase_file")


# --- the directory


def test_a_finished_file_never_takes_the_place_of_another(tmp_path, monkeypatch):
    store = Store(str(tmp_path))
    for slowly in (False, True):
        if slowly:
            monkeypatch.setattr(
                "ansible_collections.cadence.upkeep.plugins.module_utils._backup.create.store._rename_new",
                lambda _source, _target: False,
            )
        (tmp_path / "new.partial").write_text("new")
        (tmp_path / "new").write_text("old")
        with pytest.raises(BackupFailed, match="something else has got that name"):
            store.name("new.partial", "new")
        assert (tmp_path / "new").read_text() == "old"
        (tmp_path / "new").unlink()
        store.name("new.partial", "new")
        assert (tmp_path / "new").read_text() == "new"
        (tmp_path / "new").unlink()
        (tmp_path / "tree.partial").mkdir()
        (tmp_path / "tree").mkdir()
        with pytest.raises(BackupFailed):
            store.name("tree.partial", "tree")
        (tmp_path / "tree").rmdir()
        store.name("tree.partial", "tree")
        (tmp_path / "tree").rmdir()


def test_a_directory_that_cannot_be_made_is_told(tmp_path):
    (tmp_path / "file").touch()
    with pytest.raises(BackupFailed, match="cannot be made"):
        Store(str(tmp_path / "file" / "below")).prepare(0o600)


def test_a_directory_is_made_for_us_alone(tmp_path):
    Store(str(tmp_path / "new")).prepare(0o600)
    assert stat.S_IMODE((tmp_path / "new").stat().st_mode) == 0o700
