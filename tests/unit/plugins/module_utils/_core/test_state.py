"""What a host remembers survives kill -9, a torn file, a full disk and two runs at once; else the refusal is clear."""

from __future__ import annotations

import contextlib
import json
import os
import random
import resource
import shutil
import signal
import subprocess
import tempfile
import time
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ansible_collections.cadence.upkeep.plugins.module_utils._core.errors import InvalidInput, StateError
from ansible_collections.cadence.upkeep.plugins.module_utils._core.lock import HostLock
from ansible_collections.cadence.upkeep.plugins.module_utils._core.state import (
    SCHEMA,
    HostState,
    default_directory,
    directory_of,
    folder_name,
)
from tests.unit.plugins.module_utils._core.processes import (
    AS_ROOT,
    NOBODY,
    Child,
    descriptors,
    in_child,
    needs_root,
    wait_until,
)
from tests.unit.plugins.module_utils._core.properties import unhurried

FRESH = {"schema": SCHEMA, "tasks": {}}


@pytest.fixture
def state(tmp_path):
    """A state on a file system in memory, where there is one: there, much happens between two kills."""
    memory = "/dev/shm"
    directory = tempfile.mkdtemp(dir=memory if os.access(memory, os.W_OK) else tmp_path)
    yield HostState(os.path.join(directory, "state"), "db1")
    shutil.rmtree(directory)


def remember(state, number, padding=0):
    with state.update("run-1") as content:
        content["tasks"]["t"] = {"n": number, "padding": "x" * padding}


def remembered(state):
    return state.load()["tasks"]["t"]["n"]


# Where it lies


def test_root_and_users_have_their_usual_place():
    assert default_directory({"HOME": "/root", "XDG_STATE_HOME": "/x"}, 0) == "/var/lib/upkeep"
    assert default_directory({"HOME": "/home/bob"}, 1000) == "/home/bob/.local/state/upkeep"
    assert default_directory({"HOME": "/home/bob", "XDG_STATE_HOME": "/x"}, 1000) == "/x/upkeep"


def test_a_relative_xdg_directory_is_ignored_as_its_specification_says():
    assert default_directory({"HOME": "/home/bob", "XDG_STATE_HOME": "x"}, 1000) == "/home/bob/.local/state/upkeep"


def test_without_home_the_directory_of_the_account_is_taken():
    assert default_directory({}, 1000) == os.path.join(os.path.expanduser("~"), ".local", "state", "upkeep")


@pytest.mark.parametrize("directory", ["state", "~/state", "/a\0b"])
def test_a_directory_that_is_no_absolute_path_is_refused(directory):
    for refused in (lambda: HostState(directory, "db1"), lambda: directory_of(directory, {}, 0)):
        with pytest.raises(InvalidInput, match="is not an absolute path"):
            refused()


def test_files_are_for_us_alone(state):
    remember(state, 1)
    remember(state, 2)
    state.append_history({})
    assert {path.name: oct(path.stat().st_mode & 0o777) for path in Path(state.folder).iterdir()} == {
        "state.json": "0o600",
        "state.json.previous": "0o600",
        "state.lock": "0o600",
        "history.jsonl": "0o600",
    }
    assert Path(state.folder).stat().st_mode & 0o777 == 0o700


def test_a_lock_lies_beside_the_hosts(state):
    assert state.lock_path("postgres/main") == os.path.join(state.directory, "locks", "postgres%2fmain.lock")


@pytest.mark.parametrize(
    ("name", "folder"),
    [
        ("db1.example.com", "db1.example.com"),
        ("", "%"),
        (".", "%2e"),
        ("..", "%2e."),
        ("../../etc", "%2e.%2f..%2fetc"),
        ("a/b", "a%2fb"),
        ("a b", "a%20b"),
        ("100%", "100%25"),
        ("café", "caf%c3%a9"),
        ("a\0b", "a%00b"),
        (os.fsdecode(b"\xff"), "%ed%b3%bf"),
    ],
)
def test_the_name_of_a_host_is_one_safe_folder(name, folder):
    assert folder_name(name) == folder


@unhurried
@given(st.lists(st.text(max_size=300), min_size=2, max_size=2, unique=True))
def test_different_hosts_have_different_folders_that_every_file_system_takes(names):
    folders = [folder_name(name) for name in names]
    assert folders[0] != folders[1]
    assert all("/" not in folder and folder not in (".", "..") and len(folder) < 200 for folder in folders)


def test_hosts_on_one_machine_do_not_share_their_records(tmp_path):
    remember(HostState(str(tmp_path), "db1"), 1)
    assert HostState(str(tmp_path), "db2").load() == FRESH


# Reading and writing


def test_a_host_without_a_state_has_done_nothing(state):
    assert state.load() == FRESH
    assert (state.history(), state.healed) == ([], [])
    assert not os.path.exists(state.directory)  # looking changes nothing


def test_what_is_saved_is_read_back_and_one_previous_is_kept(state):
    for number in range(3):
        remember(state, number)
    assert remembered(state) == 2
    assert json.loads(Path(state.previous_path).read_text())["tasks"]["t"]["n"] == 1
    assert state.healed == []


def test_a_block_that_fails_saves_nothing(state):
    remember(state, 1)

    def fail():
        with state.update("run-2") as content:
            content["tasks"]["t"]["n"] = 2
            raise RuntimeError

    with pytest.raises(RuntimeError):
        fail()
    assert remembered(state) == 1
    remember(state, 3)  # and leaves no lock


def test_what_json_does_not_have_is_refused_before_the_disk_is_touched(state):
    remember(state, 1)
    with pytest.raises(TypeError), state.update("run-2") as content:
        content["tasks"]["t"] = object()
    assert remembered(state) == 1
    assert sorted(os.listdir(state.folder)) == ["state.json", "state.lock"]


def test_a_reader_needs_no_lock(state):
    remember(state, 1)
    with state.update("run-2") as content:
        content["tasks"]["t"]["n"] = 2
        assert in_child(lambda: remembered(state)) == 1


def test_a_state_that_is_busy_says_who_is_at_it(state, monkeypatch):
    monkeypatch.setattr("ansible_collections.cadence.upkeep.plugins.module_utils._core.state._STATE_LOCK_SECONDS", 0.05)
    remember(state, 1)
    with (
        HostLock(os.path.join(state.folder, "state.lock"), "run-1"),
        pytest.raises(StateError, match=r"state\.json is busy\. The lock .* is held by run run-1") as caught,
    ):
        remember(state, 2)
    assert caught.value.evidence["holder"]["pid"] == os.getpid()


def test_nothing_is_left_open(state):
    before = descriptors()
    for number in range(3):
        remember(state, number)
        state.append_history({"n": number})
        state.history()
    assert descriptors() == before


# Damage

TORN = [
    "",
    "{",
    '{"schema":1,"tasks":{"t"',
    "\0" * 100,
    "[]",
    "null",
    '{"tasks":{}}',
    '{"schema":1,"tasks":[]}',
    "[" * 100_000,
]


@pytest.mark.parametrize("torn", TORN, ids=lambda text: text[:12])
def test_a_torn_state_is_replaced_by_the_previous_one(state, torn):
    remember(state, 1)
    remember(state, 2)
    Path(state.path).write_text(torn)
    assert remembered(state) == 1
    assert state.healed == [f"{state.path} was torn and is ignored"]


@pytest.mark.parametrize("torn", TORN, ids=lambda text: text[:12])
def test_a_torn_state_does_not_push_the_good_previous_one_out(state, torn):
    remember(state, 1)
    remember(state, 2)
    Path(state.path).write_text(torn)
    remember(state, 3)
    assert json.loads(Path(state.previous_path).read_text())["tasks"]["t"]["n"] == 1
    assert remembered(state) == 3
    assert HostState(state.directory, "db1").load()["tasks"]["t"]["n"] == 3


def test_when_both_are_torn_every_task_counts_as_not_done(state):
    remember(state, 1)
    remember(state, 2)
    for path in (state.path, state.previous_path):
        Path(path).write_bytes(b"\xff\xfe")
    assert state.load() == FRESH
    assert state.healed == [
        f"{state.path} was torn and is ignored",
        f"{state.previous_path} was torn and is ignored",
        "no earlier state could be read: every task counts as not done yet",
    ]
    remember(state, 3)
    assert remembered(state) == 3


def test_damage_is_told_once(state):
    remember(state, 1)
    Path(state.path).write_text("{")
    state.load()
    state.load()
    assert len(state.healed) == 2


def test_a_state_that_is_gone_is_replaced_by_the_previous_one(state):
    remember(state, 1)
    remember(state, 2)
    os.unlink(state.path)
    assert remembered(state) == 1
    assert state.healed == [f"{state.path} was gone and the previous state is used"]


@pytest.mark.parametrize("newer", [{"schema": 2, "tasks": {}}, {"schema": 99, "jobs": []}, {"schema": 0, "tasks": {}}])
def test_a_state_of_another_schema_is_refused_and_never_overwritten(state, newer):
    remember(state, 1)
    remember(state, 2)
    Path(state.path).write_text(json.dumps(newer))
    with pytest.raises(
        StateError, match=f"has schema {newer['schema']}, this version of the collection reads 1"
    ) as caught:
        state.load()
    assert "Use the version of the collection that wrote it" in caught.value.remedy
    with pytest.raises(StateError):
        remember(state, 3)
    assert json.loads(Path(state.path).read_text()) == newer


def test_what_a_crash_left_of_an_update_goes_away_with_the_next(state):
    remember(state, 1)
    Path(state.path + ".new").write_text('{"schema":1,"ta')
    remember(state, 2)
    assert sorted(os.listdir(state.folder)) == ["state.json", "state.json.previous", "state.lock"]


def test_kill_9_at_any_moment_leaves_a_whole_state_and_loses_nothing_that_was_acknowledged(state):
    chance = random.Random(7)
    acknowledged = {0}

    def work(writer):
        first = state.load()["tasks"].get("t", {"n": 0})["n"] + 1
        for number in range(first, first + 10_000):
            remember(state, number, padding=chance.randrange(20_000))
            state.append_history({"n": number, "padding": "x" * chance.randrange(20_000)})
            os.write(writer, f"{number}\n".encode())

    for _kill in range(20):
        reader, writer = os.pipe()
        child = Child(lambda writer=writer: work(writer))
        os.close(writer)
        with os.fdopen(reader) as pipe:
            acknowledged.update(int(pipe.readline()) for _write in range(chance.randrange(1, 4)))
            time.sleep(chance.uniform(0, 0.01))
            child.kill()
            acknowledged.update(int(line) for line in pipe)
        found = HostState(state.directory, "db1")
        # It is the last one that was acknowledged, or one that the kill kept from saying so.
        assert found.load()["tasks"].get("t", {"n": 0})["n"] >= max(acknowledged)
        assert found.healed == []
        lines = [record["n"] for record in found.history()]
        assert lines == sorted(set(lines))
        assert acknowledged - {0} <= set(lines)
    state.append_history({"n": 10**6})
    assert all(json.loads(line) for line in Path(state.history_path).read_bytes().splitlines())
    assert len(acknowledged) > 20


def test_updates_of_eight_processes_at_once_lose_nothing(state):
    def work():
        for _step in range(10):
            with state.update("run") as content:
                content["tasks"]["n"] = content["tasks"].get("n", 0) + 1
            state.append_history({"pid": os.getpid(), "padding": "x" * 20_000})

    for child in [Child(work) for _process in range(8)]:
        child.result()
    assert state.load()["tasks"]["n"] == 8 * 10
    assert len(state.history()) == 8 * 10
    assert state.healed == []


# History


def test_history_is_oldest_first_and_names_its_schema(state):
    for number in range(4):
        state.append_history({"n": number})
    assert state.history() == [{"schema": SCHEMA, "n": number} for number in range(4)]
    assert [record["n"] for record in state.history(last=2)] == [2, 3]
    assert state.history(last=0) == []
    assert len(state.history(last=99)) == 4


def test_a_torn_last_line_is_not_read(state):
    state.append_history({"n": 1})
    state.append_history({"n": 2})
    with open(state.history_path, "ab") as stream:
        stream.write(b'{"schema":1,"n":3,"te\xc3')
    assert [record["n"] for record in state.history()] == [1, 2]
    assert [record["n"] for record in state.history(last=1)] == [2]


@pytest.mark.parametrize("torn", [b'{"n":', b"\0" * 4096, b"x" * 200_000, b'{"n":"' + b"y" * 70_000], ids=len)
@pytest.mark.parametrize("before", [0, 1])
def test_a_torn_last_line_is_cut_away_by_the_next(state, before, torn):
    for number in range(before):
        state.append_history({"n": number})
    os.makedirs(state.folder, 0o700, exist_ok=True)
    with open(state.history_path, "ab") as stream:
        stream.write(torn)
    state.append_history({"n": 9})
    lines = Path(state.history_path).read_bytes().split(b"\n")
    assert [json.loads(line)["n"] for line in lines[:-1]] == [*range(before), 9]
    assert state.healed == [f"the last line of {state.history_path} was torn and is cut away"]


def test_a_whole_last_line_that_only_lacks_its_end_is_kept(state):
    state.append_history({"n": 1})
    os.truncate(state.history_path, os.path.getsize(state.history_path) - 1)
    state.append_history({"n": 2})
    assert [record["n"] for record in state.history()] == [1, 2]
    assert state.healed == []


def test_a_line_that_is_no_record_is_left_out(state):
    state.append_history({"n": 1})
    with open(state.history_path, "ab") as stream:
        stream.write(b"[1]\ngarbage\n\xff\n")
    state.append_history({"n": 2})
    assert [record["n"] for record in state.history()] == [1, 2]


def test_a_history_that_stays_busy_is_refused(state, monkeypatch):
    import fcntl

    monkeypatch.setattr("ansible_collections.cadence.upkeep.plugins.module_utils._core.state._STATE_LOCK_SECONDS", 0.05)
    state.append_history({"n": 1})
    with open(state.history_path, "rb") as other:
        fcntl.flock(other, fcntl.LOCK_EX)
        with pytest.raises(StateError, match=r"history\.jsonl cannot be written: Resource temporarily unavailable"):
            state.append_history({"n": 2})


def test_a_history_can_be_written_within_an_update(state):
    with state.update("run-1"):
        state.append_history({"n": 1})
    assert len(state.history()) == 1


# Where it cannot be written or trusted


@pytest.mark.parametrize("place", ["under a file", "in /proc"])
@pytest.mark.parametrize("step", ["update", "append_history"])
def test_a_directory_that_cannot_be_made_is_named_with_the_next_step(tmp_path, place, step):
    (tmp_path / "file").write_text("")
    directory = "/proc/upkeep" if place == "in /proc" and os.path.exists("/proc") else str(tmp_path / "file" / "state")
    state = HostState(directory, "db1")
    with pytest.raises(StateError, match="cannot be written") as caught:
        state.append_history({}) if step == "append_history" else remember(state, 1)
    assert directory in caught.value.message or str(tmp_path / "file") in caught.value.message
    assert "set upkeep_state_dir to one that it may write" in caught.value.remedy
    assert caught.value.evidence["errno"]


@pytest.mark.parametrize("step", ["load", "history"])
def test_a_directory_that_cannot_be_read_is_named(tmp_path, step):
    (tmp_path / "file").write_text("")
    state = HostState(str(tmp_path / "file"), "db1")
    with pytest.raises(StateError, match="cannot be read: Not a directory"):
        getattr(state, step)()


def test_a_folder_where_a_file_should_be_is_named(state):
    os.makedirs(state.path)
    os.chmod(state.folder, 0o700)
    with pytest.raises(StateError, match=r"state\.json (is not a regular file|cannot be read: Is a directory)"):
        state.load()


@pytest.fixture
def place():
    """A directory that other users can reach."""
    path = tempfile.mkdtemp(prefix="upkeep-state-")
    os.chmod(path, 0o755)
    yield path
    shutil.rmtree(path)


@needs_root
@pytest.mark.parametrize("step", ["load", "update"])
def test_another_user_is_told_that_the_directory_is_not_for_it(place, step):
    remember(HostState(place, "db1"), 1)

    def attempt():
        try:
            state = HostState(place, "db1")
            return state.load() if step == "load" else remember(state, 2)
        except StateError as error:
            return [error.message, error.remedy]

    message, remedy = in_child(attempt, NOBODY)
    assert "Permission denied" in message
    assert place in message
    assert "upkeep_state_dir" in remedy


@needs_root
@pytest.mark.parametrize("trap", ["hosts", "folder", "link to ours", "state.json", "history.jsonl", "state.lock"])
def test_what_another_user_put_there_is_neither_believed_nor_written(place, trap):
    os.chmod(place, 0o1777)
    state = HostState(place, "db1")
    precious = Path(place, "precious")
    precious.mkdir(0o700)

    def set_trap():
        if trap == "hosts":
            os.symlink(precious, os.path.join(place, "hosts"))
        elif trap == "folder":
            os.makedirs(state.folder)
            Path(state.path).write_text(json.dumps({"schema": 1, "tasks": {"t": {"n": 99}}}))
        elif trap == "link to ours":
            os.makedirs(os.path.dirname(state.folder))
            os.symlink(precious, state.folder)

    if trap in ("hosts", "folder", "link to ours"):
        in_child(set_trap, NOBODY)
    else:
        remember(state, 1)
        state.append_history({})
        target = os.path.join(state.folder, trap)
        os.unlink(target)
        Path(precious, "file").write_text("precious")
        os.symlink(precious / "file", target)
    with pytest.raises(StateError, match=r"belongs to uid|is not a regular file"):
        state.append_history({}) if trap == "history.jsonl" else remember(state, 1)
    with pytest.raises(StateError, match=r"belongs to uid|is not a regular file"):
        state.history() if trap == "history.jsonl" else state.load() if trap != "state.lock" else remember(state, 2)
    assert [path.read_text() for path in precious.iterdir()] in ([], ["precious"])


def test_a_folder_that_others_may_write_is_refused(state):
    remember(state, 1)
    os.chmod(state.folder, 0o770)
    with pytest.raises(StateError, match="may be changed by other users"):
        state.load()
    with pytest.raises(StateError, match="may be changed by other users"):
        remember(state, 2)


# A full disk


def test_when_no_more_can_be_written_the_old_state_stays(state):
    remember(state, 1)
    state.append_history({"n": 1})

    def attempt():
        # What a full disk is to the file system, this is to the process: a write ends in its midst.
        signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
        resource.setrlimit(resource.RLIMIT_FSIZE, (1000, 1000))
        told = []
        for step in (
            lambda: remember(state, 2, padding=50_000),
            lambda: state.append_history({"n": 2, "padding": "x" * 50_000}),
        ):
            with pytest.raises(StateError) as caught:
                step()
            told.append(caught.value.message)
        return [told, sorted(os.listdir(state.folder)), descriptors()]

    told, files, _open = in_child(attempt)
    assert [message.endswith("cannot be written: File too large.") for message in told] == [True, True]
    assert files == ["history.jsonl", "state.json", "state.json.previous", "state.lock"]
    assert remembered(state) == 1
    assert [record["n"] for record in state.history()] == [1]
    state.append_history({"n": 3})
    assert state.healed == []


@pytest.fixture
def small_disk(tmp_path):
    """A file system of 256 KiB."""
    path = tmp_path / "disk"
    path.mkdir()
    mounted = (
        AS_ROOT
        and not subprocess.run(
            ["mount", "-t", "tmpfs", "-o", "size=256k,mode=700", "tmpfs", path], check=False, capture_output=True
        ).returncode
    )
    if not mounted:
        pytest.skip("this user may not mount a file system; the test above fills the disk in another way")
    yield path
    subprocess.run(["umount", path], check=True)


def test_on_a_full_disk_the_old_state_stays_and_the_reason_is_told(small_disk):
    state = HostState(str(small_disk / "state"), "db1")
    remember(state, 1, padding=20_000)
    state.append_history({"n": 1})
    with open(small_disk / "filler", "wb", buffering=0) as filler, contextlib.suppress(OSError):
        while True:
            filler.write(b"x" * 4096)
    with pytest.raises(StateError, match="cannot be written: No space left on device"):
        remember(state, 2, padding=20_000)
    with pytest.raises(StateError, match="cannot be written: No space left on device"):
        state.append_history({"n": 2, "padding": "x" * 20_000})
    assert remembered(state) == 1
    assert [record["n"] for record in state.history()] == [1]
    os.unlink(small_disk / "filler")
    remember(state, 3)
    assert (remembered(state), state.healed) == (3, [])


def test_a_waiting_update_goes_on_when_the_other_one_ends(state):
    def work():
        with state.update("run-1") as content:
            content["tasks"]["first"] = True
            time.sleep(0.1)

    child = Child(work)
    wait_until(lambda: os.path.exists(os.path.join(state.folder, "state.lock")))
    with state.update("run-2") as content:
        content["tasks"]["second"] = True
    child.result()
    assert state.load()["tasks"] == {"first": True, "second": True}
