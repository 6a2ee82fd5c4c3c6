"""One holder at a time; who it is and since when is told; the kernel frees the lock however the holder ends."""

from __future__ import annotations

import fcntl
import json
import os
import subprocess
import sys
import threading
import time
from datetime import datetime, timedelta, timezone

import pytest

from ansible_collections.cadence.upkeep.plugins.module_utils._core.errors import LockHeld, StateError
from ansible_collections.cadence.upkeep.plugins.module_utils._core.lock import HostLock, read_holder
from ansible_collections.cadence.upkeep.plugins.module_utils._core.times import parse_rfc3339, utc_now
from tests.unit.plugins.module_utils._core.processes import (
    NOBODY,
    Child,
    descriptors,
    in_child,
    left_alive,
    needs_root,
    wait_until,
)


@pytest.fixture
def path(tmp_path):
    return str(tmp_path / "locks" / "cluster.lock")


def is_free(path):
    def attempt():
        try:
            with HostLock(path, "probe"):
                return True
        except LockHeld:
            return False

    return in_child(attempt)


def hold(path, until=None, run_id="run-1"):
    """A process that holds *path* until there is a file *until*, or for long; returns when it has it."""

    def keep():
        with HostLock(path, run_id):
            wait_until(lambda: until is not None and until.exists())

    child = Child(keep)
    wait_until(lambda: read_holder(path).get("pid") == child.pid)
    return child


def test_a_second_process_is_told_who_holds_it_and_since_when(path):
    start = datetime(2026, 11, 22, 4, 13, 7, 654_321, tzinfo=timezone.utc)
    with HostLock(path, "run-1", now=start):

        def attempt():
            try:
                with HostLock(path, "run-2"):
                    return "taken"
            except LockHeld as error:
                return [error.message, error.remedy, error.evidence]

        message, remedy, evidence = in_child(attempt)
    assert message == f"The lock {path} is held by run run-1 (pid {os.getpid()}) since 2026-11-22T04:13:07Z."
    assert remedy == "Wait for that run to end, then start again."
    assert evidence == {"holder": {"pid": os.getpid(), "run_id": "run-1", "started_at": "2026-11-22T04:13:07Z"}}


def test_the_start_is_now_unless_it_is_given(path):
    with HostLock(path, "run-1"):
        started_at = parse_rfc3339(read_holder(path)["started_at"])
    assert abs(utc_now() - started_at) < timedelta(seconds=60)


def test_a_run_without_an_id_is_named_by_its_pid(path):
    with HostLock(path, ""), pytest.raises(LockHeld, match=f"held by run without an id .pid {os.getpid()}. since"):
        HostLock(path, "run-2").__enter__()


def test_the_refusal_does_not_wait(path):
    with HostLock(path, "run-1"):
        started = time.monotonic()
        with pytest.raises(LockHeld):
            HostLock(path, "run-2").__enter__()
    assert time.monotonic() - started < 10


def test_it_is_free_after_the_block_and_names_nobody(path):
    with HostLock(path, "run-1"):
        assert not is_free(path)
    assert read_holder(path) == {}
    assert is_free(path)


def test_it_is_free_after_an_exception(path):
    with pytest.raises(KeyboardInterrupt), HostLock(path, "run-1"):
        raise KeyboardInterrupt
    assert is_free(path)


def test_it_is_free_after_kill_9(path):
    child = hold(path)
    assert not is_free(path)
    child.kill()
    assert is_free(path)


def test_the_name_of_a_killed_holder_is_not_told_for_the_next_one(path):
    hold(path, run_id="killed").kill()
    assert read_holder(path)["run_id"] == "killed"
    # The next holder has the lock and has not said its name yet.
    descriptor = os.open(path, os.O_RDWR)
    fcntl.flock(descriptor, fcntl.LOCK_EX)
    name = {"pid": os.getpid(), "run_id": "next", "started_at": "2026-11-22T04:13:00Z"}
    writer = Child(lambda: [time.sleep(0.04), os.pwrite(descriptor, json.dumps(name).encode().ljust(200), 0)])
    with pytest.raises(LockHeld, match="held by run next"):
        HostLock(path, "run-2").__enter__()
    writer.result()
    os.close(descriptor)


def test_a_holder_that_never_says_its_name_is_nameless(path):
    with HostLock(path, "run-1"):
        os.truncate(path, 0)
        with pytest.raises(LockHeld, match="held by a process that has not said its name") as caught:
            HostLock(path, "run-2").__enter__()
    assert caught.value.evidence == {"holder": {}}


def test_it_waits_as_long_as_it_is_told(path, tmp_path):
    enough = tmp_path / "enough"
    child = hold(path, until=enough)
    threading.Timer(0.1, enough.touch).start()
    with HostLock(path, "run-2", wait=60):
        assert enough.exists()
        assert read_holder(path)["run_id"] == "run-2"
    child.result()


def test_it_waits_no_longer_than_it_is_told(path):
    child = hold(path)
    started = time.monotonic()
    with pytest.raises(LockHeld):
        HostLock(path, "run-2", wait=0.15).__enter__()
    child.kill()
    assert 0.15 <= time.monotonic() - started < 10


def test_one_process_cannot_take_it_twice(path):
    with HostLock(path, "run-1"), pytest.raises(LockHeld, match="held by run run-1"):
        HostLock(path, "run-1").__enter__()


def test_two_locks_do_not_hinder_each_other(path):
    with HostLock(path, "run-1"), HostLock(path + "2", "run-1"):
        assert read_holder(path) == read_holder(path + "2") != {}


def test_a_program_that_outlives_the_holder_does_not_keep_it(path):
    with HostLock(path, "run-1"):
        program = subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE, close_fds=False)
    assert is_free(path)
    program.communicate(b"\n", timeout=60)


def test_a_forked_child_keeps_it_when_the_holder_is_killed(path, tmp_path):
    pid_file = tmp_path / "pid"

    def keep():
        with HostLock(path, "run-1"):
            pid = os.fork()
            if pid == 0:
                time.sleep(30)
            pid_file.write_text(f"{pid}\n")
            time.sleep(30)

    holder = Child(keep)
    inheritor = wait_until(
        lambda: pid_file.exists() and pid_file.read_text().endswith("\n") and int(pid_file.read_text())
    )
    with left_alive(inheritor):
        os.kill(holder.pid, 9)
        os.waitpid(holder.pid, 0)
        assert not is_free(path)
        os.kill(inheritor, 9)
        wait_until(lambda: is_free(path))


def test_a_forked_child_does_not_keep_it_when_the_holder_leaves_the_block(path):
    with HostLock(path, "run-1"):
        child = Child(lambda: time.sleep(30))
    assert is_free(path)
    child.kill()


def test_a_forked_child_that_leaves_the_block_does_not_free_it(path):
    lock = HostLock(path, "run-1")
    with lock:
        in_child(lambda: lock.__exit__(None, None, None))
        assert not is_free(path)
        assert read_holder(path)["run_id"] == "run-1"


def test_leaving_twice_is_harmless(path):
    lock = HostLock(path, "run-1")
    with lock:
        pass
    lock.__exit__(None, None, None)


def test_a_removed_file_does_not_let_two_in(path, tmp_path):
    enough = tmp_path / "enough"
    child = hold(path, until=enough)
    os.unlink(path)
    with HostLock(path, "run-2"):  # another file of that name
        assert not is_free(path)
    enough.touch()
    child.result()


def test_a_file_that_was_removed_while_we_waited_is_not_taken_for_the_lock(path, tmp_path):
    enough = tmp_path / "enough"

    def keep():
        with HostLock(path, "run-1"):
            wait_until(enough.exists)
            os.unlink(path)

    child = Child(keep)
    wait_until(lambda: read_holder(path).get("pid") == child.pid)
    threading.Timer(0.1, enough.touch).start()
    with HostLock(path, "run-2", wait=60):
        assert read_holder(path)["run_id"] == "run-2"
        assert not is_free(path)
    child.result()


def test_it_leaves_no_descriptor_behind(path):
    before = descriptors()
    with HostLock(path, "run-1"):
        for _try in range(5):
            with pytest.raises(LockHeld):
                HostLock(path, "run-2").__enter__()
    assert descriptors() == before


def test_a_directory_that_cannot_be_made_is_named(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(StateError, match=r"x\.lock cannot be opened: File exists \(.*/file\)\.") as caught:
        HostLock(str(tmp_path / "file" / "locks" / "x.lock"), "run-1").__enter__()
    assert "another state directory" in caught.value.remedy


@needs_root
def test_a_directory_that_may_not_be_written_is_named(tmp_path):
    tmp_path.chmod(0o755)
    descriptor = os.open(tmp_path, os.O_RDONLY)

    def attempt():
        os.fchdir(descriptor)
        try:
            HostLock("locks/x.lock", "run-1").__enter__()
        except StateError as error:
            return error.message

    assert in_child(attempt, NOBODY) == "The lock locks/x.lock cannot be opened: Permission denied (locks)."
    os.close(descriptor)


@needs_root
def test_a_lock_file_of_somebody_else_is_refused(path):
    with HostLock(path, "run-1"):
        pass
    os.chown(path, NOBODY, -1)
    with pytest.raises(StateError, match=f"belongs to uid {NOBODY}"):
        HostLock(path, "run-2").__enter__()


def test_a_file_system_without_locks_is_named(path, monkeypatch):
    def refuse(descriptor, operation):
        raise OSError(37, "No locks available")

    monkeypatch.setattr(fcntl, "flock", refuse)  # such a file system cannot be had in a test
    before = descriptors()
    with pytest.raises(StateError, match="cannot be taken: No locks available") as caught:
        HostLock(path, "run-1").__enter__()
    assert "local file system" in caught.value.remedy
    assert descriptors() == before


def test_it_holds_on_a_full_disk_though_it_cannot_say_who(path):
    def attempt():
        import resource
        import signal

        signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
        resource.setrlimit(resource.RLIMIT_FSIZE, (0, 0))
        with HostLock(path, "run-1"):
            return [is_free_by_flock(path), read_holder(path)]

    assert in_child(attempt) == [False, {}]


def is_free_by_flock(path):
    descriptor = os.open(path, os.O_RDWR)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    finally:
        os.close(descriptor)
    return True


@pytest.mark.parametrize("content", ["", "{", "[]", '{"pid": 1}', "\xff"])
def test_a_file_that_names_nobody_is_read_as_nobody(tmp_path, content):
    (tmp_path / "x.lock").write_text(content, encoding="latin-1")
    assert read_holder(str(tmp_path / "x.lock")) == {}


def test_no_file_is_read_as_nobody(tmp_path):
    assert read_holder(str(tmp_path / "x.lock")) == {}


@pytest.mark.parametrize("pid", ["many", 10**30])
def test_a_senseless_holder_is_told_as_it_stands_and_costs_no_error(path, pid):
    with HostLock(path, "run-1"):
        with open(path, "w", encoding="utf-8") as stream:
            json.dump({"pid": pid, "run_id": "x", "started_at": "then"}, stream)
        with pytest.raises(LockHeld, match=f"held by run x .pid {pid}. since then"):
            HostLock(path, "run-2").__enter__()


@needs_root
def test_a_holder_of_another_user_counts_as_alive(tmp_path):
    tmp_path.chmod(0o777)
    descriptor = os.open(tmp_path, os.O_RDONLY)

    def contend():
        os.fchdir(descriptor)
        os.mkdir("locks", 0o700)
        with HostLock("locks/x.lock", "run-1"):
            with open("locks/x.lock", "w", encoding="utf-8") as stream:
                json.dump({"pid": 1, "run_id": "x", "started_at": "then"}, stream)
            started = time.monotonic()
            try:
                HostLock("locks/x.lock", "run-2").__enter__()
            except LockHeld:
                return time.monotonic() - started

    assert in_child(contend, NOBODY) < 0.09
    os.close(descriptor)
