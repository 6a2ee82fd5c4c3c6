"""Scratch directories go with those who made them; the keeper goes with its module."""

from __future__ import annotations

import fcntl
import io
import json
import os
import signal
import subprocess
import sys
import tarfile
import time

import pytest

from ansible_collections.cadence.upkeep.plugins.module_utils._backup.members import Listing
from ansible_collections.cadence.upkeep.plugins.module_utils._backup.restore import scratch
from ansible_collections.cadence.upkeep.plugins.module_utils._backup.restore.keeper import Keeper, next_message
from ansible_collections.cadence.upkeep.plugins.module_utils._backup.restore.model import Failed, failed
from ansible_collections.cadence.upkeep.plugins.module_utils._backup.restore.processes import OWN, Ward, run
from ansible_collections.cadence.upkeep.plugins.module_utils._backup.restore.untar import extract
from ansible_collections.cadence.upkeep.plugins.module_utils._core.deadline import Deadline


@pytest.fixture
def base(tmp_path_factory):
    return str(tmp_path_factory.mktemp("b"))


def ended_pid() -> int:
    process = subprocess.Popen([sys.executable, "-c", ""])
    process.wait()
    return process.pid


def left(base: str, start: str = "1") -> str:
    path = os.path.join(base, f"{scratch.PREFIX}{ended_pid()}-{start}-0123abcd")
    os.makedirs(os.path.join(path, "data"))
    return path


def test_one_in_use_is_never_swept(base):
    place = scratch.Scratch(base, OWN)
    assert scratch.sweep(base) == []
    assert os.stat(place.path).st_mode & 0o777 == 0o700
    place.remove()
    assert os.listdir(base) == []


def test_what_a_killed_run_left_is_swept_and_nothing_else(base):
    abandoned, held = left(base), left(base, "2")
    with open(os.path.join(held, scratch.RECORD), "w") as record:
        fcntl.flock(record, fcntl.LOCK_EX)
        os.mkdir(os.path.join(base, f"{scratch.PREFIX}mine"))
        assert scratch.sweep(base) == [abandoned]
    assert scratch.sweep(base) == [held]
    assert os.listdir(base) == [f"{scratch.PREFIX}mine"]


def test_a_link_is_not_followed(base, tmp_path):
    (tmp_path / "kept").mkdir()
    os.symlink(tmp_path / "kept", os.path.join(base, f"{scratch.PREFIX}{ended_pid()}-1-0123abcd"))
    assert scratch.sweep(base) == []
    assert (tmp_path / "kept").is_dir()


def test_what_still_runs_in_one_is_ended(base):
    path = left(base)
    process = subprocess.Popen(["sleep", "600"], cwd=os.path.join(path, "data"))
    try:
        assert scratch.sweep(base) == [path]
        assert process.wait(10) == -signal.SIGKILL
    finally:
        process.kill()
        process.wait()


def test_space_is_asked_for_before(base):
    free, size = scratch.free_bytes(base)
    scratch.require_space(base, 1, 0.0)
    with pytest.raises(Failed) as refused:
        scratch.require_space(base, size + 1, 0.0)  # what is free changes meanwhile: others use this disk too
    assert (refused.value.trouble.code, refused.value.trouble.unknown) == ("backup.scratch_full", True)
    with pytest.raises(Failed):
        scratch.require_room_left(base, 2.0)
    assert size >= free


def test_a_path_that_is_too_long_for_a_socket_is_refused(base):
    deep = os.path.join(base, "x" * 90)
    os.mkdir(deep)
    with pytest.raises(Failed) as refused:
        scratch.Scratch(deep, OWN)
    assert refused.value.trouble.code == "backup.target_unavailable"


# --- the keeper


def test_the_keeper_answers(base):
    with Keeper(lambda ward: {"heard": next_message(ward)["word"]}, 30) as keeper:
        keeper.tell({"word": "on"})
        assert keeper.answer(Deadline(30)) == {"heard": "on"}


def test_the_keeper_tells_what_went_wrong():
    def fails(_ward: Ward) -> dict:
        raise failed("backup.restore_failed", "was not", unknown=True, number=3)

    def breaks(_ward: Ward) -> dict:
        return {"x": {}["secret-row"]}

    with Keeper(fails, 30) as keeper:
        answer = keeper.answer(Deadline(30))
        assert answer is not None
        assert (answer["trouble"]["code"], answer["trouble"]["evidence"]) == ("backup.restore_failed", {"number": 3})
    with Keeper(breaks, 30) as keeper:
        answer = keeper.answer(Deadline(30))
        assert answer is not None
        assert answer["defect"].startswith("KeyError at test_scratch.py")
        assert "secret-row" not in json.dumps(answer)


def test_leaving_stops_the_work_and_lets_it_clear_up(base):
    def work(ward: Ward) -> dict:
        place = scratch.Scratch(base, OWN)
        try:
            run(["sleep", "600"], ward, cwd=place.path)
        finally:
            place.remove()
        return {}

    with Keeper(work, 600):
        deadline = time.monotonic() + 30
        while not os.listdir(base) and time.monotonic() < deadline:
            time.sleep(0.01)
        assert os.listdir(base) != []
    assert os.listdir(base) == []


def test_the_time_of_the_work_is_limited():
    def work(ward: Ward) -> dict:
        run(["sleep", "600"], ward)
        return {}

    with Keeper(work, 0.3) as keeper:
        answer = keeper.answer(Deadline(60))
        assert answer is not None
        assert answer["trouble"]["code"] == "backup.timeout"


# --- programs


def test_a_program_is_fed_and_heard(tmp_path):
    lines: list[str] = []
    ward = Ward(-1, Deadline(60))
    data = b"x" * 3_000_000
    code = "import sys; d = sys.stdin.buffer.read(); print(len(d)); print('one\\ntwo', file=sys.stderr); sys.exit(3)"
    ended = run([sys.executable, "-c", code], ward, feed=lambda write: write(data), lines=lines.append)
    assert (ended.status, ended.output.strip(), lines) == (3, "3000000", ["one", "two"])


def test_one_that_takes_no_more_is_no_error():
    ended = run(["true"], Ward(-1, Deadline(60)), feed=lambda write: write(b"x" * 5_000_000))
    assert ended.status == 0


def test_one_that_is_not_there_is_told():
    with pytest.raises(Failed) as refused:
        run(["/nonexistent/psql"], Ward(-1, Deadline(60)))
    assert (refused.value.trouble.code, refused.value.trouble.evidence["program"]) == (
        "backup.tool_missing",
        "/nonexistent/psql",
    )


# --- archives of files


def packed(*members: tuple[tarfile.TarInfo, bytes]) -> io.BytesIO:
    stream = io.BytesIO()
    with tarfile.open(fileobj=stream, mode="w") as archive:
        for info, content in members:
            info.size = len(content)
            archive.addfile(info, io.BytesIO(content))
    stream.seek(0)
    return stream


def member(name: str, kind: bytes = tarfile.REGTYPE, target: str = "") -> tarfile.TarInfo:
    info = tarfile.TarInfo(name)
    info.type, info.linkname, info.mode = kind, target, 0o4755
    return info


def test_files_are_taken_out_and_listed(tmp_path):
    link = member("l", tarfile.SYMTYPE, "d/a")
    stream = packed((member("d", tarfile.DIRTYPE), b""), (member("d/a"), b"one"), (link, b""),
                    (member("h", tarfile.LNKTYPE, "d/a"), b""), (member("dev", tarfile.CHRTYPE), b""))  # fmt: skip
    listing = Listing(True)
    assert extract(stream, str(tmp_path), listing, lambda: None, keep=os.geteuid() != 0) == 1
    assert ((tmp_path / "d/a").read_bytes(), (tmp_path / "h").read_bytes(), os.readlink(tmp_path / "l")) == (
        b"one",
        b"one",
        "d/a",
    )
    assert not (tmp_path / "dev").exists()
    assert (tmp_path / "d/a").stat().st_mode & 0o7000 == 0
    assert listing.result().count == 5


def test_nothing_is_written_outside(tmp_path):
    with pytest.raises(Failed) as refused:
        extract(packed((member("../x"), b"1")), str(tmp_path), Listing(), lambda: None)
    assert refused.value.trouble.code == "backup.unsafe_path"
    into = tmp_path / "into"
    into.mkdir()
    link = member("l", tarfile.SYMTYPE, str(tmp_path))
    with pytest.raises(Failed):
        extract(packed((link, b""), (member("l/written"), b"1")), str(into), Listing(), lambda: None)
    assert not (tmp_path / "written").exists()
    extract(packed((member("/abs"), b"2")), str(into), Listing(), lambda: None)
    assert (into / "abs").read_bytes() == b"2"
