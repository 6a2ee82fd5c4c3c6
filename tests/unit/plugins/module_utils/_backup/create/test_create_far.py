"""The far side: here it is a shell of this machine, which is told to lie about what it sends."""

from __future__ import annotations

import json
import os
import socket
import stat
import sys
import threading

import pytest
from ansible.module_utils.common.arg_spec import ArgumentSpecValidator

from ansible_collections.cadence.upkeep.plugins.module_utils._backup.create import far
from ansible_collections.cadence.upkeep.plugins.module_utils._backup.create.argspec import ARGUMENT_SPEC
from ansible_collections.cadence.upkeep.plugins.module_utils._backup.create.errors import BackupFailed
from ansible_collections.cadence.upkeep.plugins.module_utils._backup.create.far import FarDump, Place
from ansible_collections.cadence.upkeep.plugins.module_utils._backup.create.model import Pod
from ansible_collections.cadence.upkeep.plugins.module_utils._backup.create.run import create
from ansible_collections.cadence.upkeep.plugins.module_utils._core.deadline import Deadline
from ansible_collections.cadence.upkeep.plugins.module_utils._core.times import utc_now
from tests.unit.plugins.module_utils._backup.test_mongo import archive as mongo_archive

HERE = Place("the pod db-0", ("env",))
DATA = b"".join(b"%d " % number for number in range(50_000))


class Kept:
    def __init__(self):
        self.data = b""

    def feed(self, data):
        self.data += data

    def finish(self):
        """Nothing follows."""


def dumped(folder, place=HERE, retries=3):
    dump = FarDump(place, str(folder), "shop", retries)
    dump.__enter__()
    (folder / "data").write_bytes(DATA)
    statuses = []
    dump.dump("cp", ["cp", str(folder / "data"), dump.path], Deadline(30.0), statuses)
    assert statuses == [("cp", 0)]
    return dump


def test_what_is_dumped_there_comes_out_whole_and_leaves_nothing(tmp_path):
    dump, kept = dumped(tmp_path), Kept()
    assert stat.S_IMODE(os.stat(dump.home).st_mode) == 0o700
    dump.fetch(kept, Deadline(30.0))
    dump.__exit__(None, None, None)
    assert kept.data == DATA
    assert os.listdir(tmp_path) == ["data"]


def test_the_status_is_that_of_the_program_there(tmp_path):
    with (
        FarDump(HERE, str(tmp_path), "shop", 0) as dump,
        pytest.raises(BackupFailed, match="pg_dump failed with status 5"),
    ):
        dump.dump("pg_dump", ["sh", "-c", "echo 'error: no' >&2; exit 5"], Deadline(30.0), [])
    assert os.listdir(tmp_path) == []


def test_a_client_that_says_that_all_is_well_is_not_believed(tmp_path):
    """As `kubectl exec` whose connection broke: the program there failed, and its client ends with 0."""
    liar = tmp_path / "liar"
    liar.write_text('#!/bin/sh\n"$@"\nexit 0\n')
    liar.chmod(0o755)
    there = tmp_path / "there"
    there.mkdir()
    dump = FarDump(Place("x", (str(liar),)), str(there), "shop", 0)
    with dump, pytest.raises(BackupFailed, match="status 5"):
        dump.dump("pg_dump", ["sh", "-c", "exit 5"], Deadline(30.0), [])


def test_a_dump_that_is_stopped_half_way_is_ended_there(tmp_path):
    with FarDump(HERE, str(tmp_path), "shop", 0) as dump, pytest.raises(Exception, match="had not ended"):
        dump.dump("sleep", ["sh", "-c", f"sleep 300; : {dump.path}"], Deadline(1.0), [])
    assert os.listdir(tmp_path) == []


def test_a_sweep_ends_and_removes_what_is_ours_and_nothing_else(tmp_path):
    old = dumped(tmp_path)
    foreign = FarDump(HERE, str(tmp_path), "other", 0)
    foreign.__enter__()
    longer = FarDump(HERE, str(tmp_path), "shop-eu", 0)
    longer.__enter__()
    with open(f"{old.home}/pid", "w") as stream:
        stream.write(str(os.getpid()))  # a number that somebody else has by now
    assert far.sweep(HERE, str(tmp_path), "shop") == [old.home]
    assert sorted(os.listdir(tmp_path)) == sorted(
        ["data", os.path.basename(foreign.home), os.path.basename(longer.home)]
    )
    assert far.sweep(HERE, str(tmp_path), "shop") == []


def test_a_secret_is_kept_for_its_user_alone(tmp_path):
    with FarDump(HERE, str(tmp_path), "shop", 0) as dump:
        path = dump.keep("password", "s3cret\n")
        assert stat.S_IMODE(os.stat(path).st_mode) == 0o600
        with open(path) as stream:
            assert stream.read() == "s3cret\n"
        assert dump.free_bytes() > 0


def test_how_kubectl_is_called(tmp_path):
    program = tmp_path / "kubectl"
    program.write_text("#!/bin/sh\n")
    program.chmod(0o755)
    pod = Pod("db-0", "shop", "postgres", "prod", "/etc/kube", str(program))
    assert far.of_pod(pod).argv == (
        *(str(program), "--kubeconfig=/etc/kube", "--context=prod", "--namespace=shop"),
        *("exec", "-i", "db-0", "--container=postgres", "--"),
    )
    with pytest.raises(BackupFailed, match="is not here"):
        far.of_pod(Pod("db-0", program="/nonexistent/kubectl"))


# --- MongoDB: the program only hands out an archive that the tests of backup_verify make


@pytest.fixture
def mongodump(tmp_path, monkeypatch):
    folder = tmp_path / "bin"
    folder.mkdir()
    program = folder / "mongodump"
    program.write_text(
        f"#!{sys.executable}\nimport json, sys\n"
        "if '--version' in sys.argv: print('mongodump version: 100.9.4'); sys.exit()\n"
        "config = [open(one[9:]).read() for one in sys.argv if one.startswith('--config=')]\n"
        "said = {'argv': sys.argv, 'config': config}\n"
        f"open({str(tmp_path / 'said')!r}, 'w').write(json.dumps(said))\n"
        f"data = open({str(tmp_path / 'archive')!r}, 'rb').read()\n"
        "if any(one == '--db=broken' for one in sys.argv):\n"
        "    sys.stdout.buffer.write(data[:len(data) // 2]); sys.stdout.flush(); sys.exit('Failed: EOF')\n"
        "if any(one == '--db=half' for one in sys.argv): data = data[:len(data) // 2]\n"
        "sys.stdout.buffer.write(data)\n"
    )
    program.chmod(0o755)
    monkeypatch.setenv("PATH", f"{folder}:{os.environ['PATH']}")
    return tmp_path


def mongo(folder, **params):
    ours = {"series": "events", "directory": str(folder / "b"), "kind": "mongodb", "state_dir": str(folder / "s")}
    answer = ArgumentSpecValidator(ARGUMENT_SPEC).validate({**ours, "min_free": "0", **params})
    assert not answer.error_messages
    return create(answer.validated_parameters, utc_now())


def test_mongodump_gets_its_password_by_a_file_without_a_name(mongodump):
    folder = mongodump
    (folder / "archive").write_bytes(mongo_archive())
    created = mongo(folder, login_host="m1", login_user="backup", login_password="c4nary", auth_database="admin")
    assert not created.failure
    (record,) = created.as_result()["backups"]
    assert record["format"][-1] == "mongodump-archive"
    said = json.loads((folder / "said").read_text())
    assert {"--host=m1", "--username=backup", "--authenticationDatabase=admin", "--archive"} <= set(said["argv"])
    assert "c4nary" not in json.dumps(said["argv"])
    assert [json.loads(text) for text in said["config"]] == [{"password": "c4nary"}]


@pytest.mark.parametrize(("database", "said"), [("broken", "Failed: EOF"), ("half", "is not good")])
def test_a_mongodump_that_fails_or_ends_early_is_no_backup(mongodump, database, said):
    folder = mongodump
    (folder / "archive").write_bytes(mongo_archive())
    created = mongo(folder, databases=[database])
    assert said in created.failure
    assert os.listdir(folder / "b") == []


# --- Redis: what a server may say instead of its data


def served(answers):
    """Serve one connection: after each command the next answer."""
    listener = socket.socket()
    listener.bind(("127.0.0.1", 0))
    listener.listen(1)

    def serve():
        line, _address = listener.accept()
        with line, listener:
            for answer in answers:
                if not line.recv(65536):
                    return
                line.sendall(answer)
            # What came and was not read would turn the end of the answers into a reset of the connection.
            line.shutdown(socket.SHUT_WR)
            while line.recv(65536):
                pass

    threading.Thread(target=serve, daemon=True).start()
    return listener.getsockname()[1]


INFO = b"$24\r\nredis_version:7.0.15\r\n\r\n\r\n"


@pytest.mark.parametrize(
    ("answers", "said"),
    [
        ([b"-NOAUTH Authentication required.\r\n"], "does not say what it is: NOAUTH"),
        ([INFO, b"-NOPERM this user has no permissions\r\n"], "does not send its data: NOPERM"),
        ([INFO, b"\n\n$1000\r\nREDIS0010only a part"], "hung up before the end"),
        ([INFO, b"$EOF:" + b"e" * 40 + b"\r\nREDIS0010only a part"], "hung up before the end"),
        ([INFO, b"$EOF:short\r\n"], "in a way that is not known"),
        ([INFO, b"$5\r\nnever"], "is not good"),
        ([INFO], "hung up before the end"),
    ],
)
def test_what_is_no_snapshot_of_redis_is_no_backup(tmp_path, answers, said):
    params = {"series": "s", "directory": str(tmp_path / "b"), "kind": "redis", "state_dir": str(tmp_path / "s")}
    params.update(login_host="127.0.0.1", login_port=served(answers), min_free="0", compress="gzip")
    answer = ArgumentSpecValidator(ARGUMENT_SPEC).validate(params)
    created = create(answer.validated_parameters, utc_now())
    assert said in created.failure
    assert os.listdir(tmp_path / "b") == []
