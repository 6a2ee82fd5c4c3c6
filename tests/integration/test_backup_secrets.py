"""Canaries: what only the keepers of the backups may know is in nothing that a weekly run prints, leaves or starts."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.bed.backup_keys import LOCKED, Keys
from tests.bed.far import ObjectStore, Sshd, rclone, without_cloud
from tests.bed.postgres import Cluster, cache_directory, find_or_bring
from tests.integration.playbook import Fleet

ROW = "c4nary-in-a-row-Zq81"
OF_POSTGRES = ("pg_dump", "pg_dumpall", "psql", "pg_restore")
OTHERS = ("zstd", "gzip", "gpg", "age", "ssh", "rsync", "ssh-keygen")
# It stands before the program in PATH, and writes down what that is started with.
SPY = """\
#!/bin/sh
{{ echo "=== {name}"; tr '\\0' '\\n' < /proc/$$/cmdline; tr '\\0' '\\n' < /proc/$$/environ; }} >> {log}
exec {program} "$@"
"""


@pytest.fixture(scope="module")
def keys() -> Iterator[Keys]:
    with Keys() as made:
        yield made


@pytest.fixture(scope="module")
def cluster() -> Iterator[Cluster]:
    with Cluster(find_or_bring(None, cache_directory()), name="backup-secrets") as running:
        running.execute(f"CREATE TABLE notes AS SELECT '{ROW}' AS text FROM generate_series(1, 50)")
        yield running


@pytest.fixture
def spies(tmp_path: Path, keys: Keys, cluster: Cluster) -> tuple[Path, Path]:
    """The directory of the spies, and where they write."""
    folder, log = tmp_path / "spies", tmp_path / "seen.txt"
    folder.mkdir()
    programs = {name: str(cluster.binaries.tool(name)) for name in OF_POSTGRES}
    programs |= {name: shutil.which(name, path=keys.environment["PATH"]) or "" for name in OTHERS}
    programs["rclone"] = str(rclone())
    for name, program in programs.items():
        assert program, f"{name} is not here"
        (folder / name).write_text(SPY.format(name=name, log=log, program=program))
        (folder / name).chmod(0o755)
    return folder, log


def inventory(tmp_path: Path, spies: Path, keys: Keys, cluster: Cluster, far: Sshd, store: ObjectStore) -> Fleet:
    tree, backups = tmp_path / "tree", tmp_path / "backups"
    tree.mkdir()
    (tree / "config").write_text(f"token = {ROW}\n")
    age = keys.run("age-keygen", "-y", str(keys.root / "age.key")).decode().strip()
    opened: dict[str, Any] = {
        "gpg_homedir": str(keys.gpg),
        "passphrase_file": str(keys.root / "passphrase"),
        "age_identity_file": str(keys.root / "age.key"),
    }
    sign = {
        "kind": "openpgp",
        "key": LOCKED,
        "gpg_homedir": str(keys.gpg),
        "passphrase_file": opened["passphrase_file"],
    }
    fleet = Fleet(tmp_path).local("db1")
    fleet.environment.update(without_cloud(keys.environment), PATH=f"{spies}:{keys.environment['PATH']}")
    fleet.variables.update(
        backups_jobs=[
            {
                "series": "shop", "directory": str(backups), "databases": ["postgres"], "min_free": "1MiB",
                "login_host": cluster.host, "login_port": cluster.port, "login_user": cluster.user,
                "login_password": cluster.password, "bin_dir": str(spies), "format": "plain",
                "encrypt": {"gpg_recipients": [LOCKED], "gpg_homedir": str(keys.gpg)},
                "decrypt": {key: opened[key] for key in ("gpg_homedir", "passphrase_file")}, "sign": sign,
            },
            {
                "series": "tree", "directory": str(backups), "kind": "files", "paths": [str(tree)], "compress": "gzip",
                "encrypt": {"age_recipients": [age]}, "min_free": "1MiB",
                "decrypt": {"age_identity_file": opened["age_identity_file"]}, "sign": sign,
            },
        ],
        backups_series=[
            {"name": name, "pattern": f"{backups}/{name}-*", "keep": {"last": 1}, "time_zone": "UTC"}
            for name in ("shop", "tree")
        ],
        backups_policy={
            "decrypt": opened, "signers": {"gpg_homedir": str(keys.gpg)}, "require_signature": True,
            "state_file": str(tmp_path / "verified.jsonl"),
        },
        backups_sites=[
            {"site": "ssh", "method": "rsync", "path": str(far.home), "ssh": far.options(), "settle": "0"},
            {
                "site": "store", "method": "rclone", "path": "far:backups", "settle": "0",
                "rclone": {"config": str(store.config), "program": str(spies / "rclone")},
            },
        ],
    )  # fmt: skip
    return fleet


@pytest.fixture(autouse=True)
def no_other_cloud(monkeypatch: pytest.MonkeyPatch) -> None:
    """What this machine says to every client of S3 is about another store."""
    for name in set(os.environ) - set(without_cloud(os.environ)):
        monkeypatch.delenv(name)


def test_no_secret_is_printed_left_or_handed_to_a_program(
    tmp_path: Path, spies: tuple[Path, Path], keys: Keys, cluster: Cluster
) -> None:
    with Sshd(tmp_path / "ssh server") as far, ObjectStore(tmp_path / "s3") as store:
        fleet = inventory(tmp_path, spies[0], keys, cluster, far, store)
        secrets = {
            "the password of the server": cluster.password,
            "the passphrase of a key": keys.passphrase,
            "the identity of age": (keys.root / "age.key").read_text().split("AGE-SECRET-KEY-")[1].strip(),
            "the key of ssh": far.identity.read_text().splitlines()[2],
            "the key of the store": store.SECRET_KEY,
            "a row": ROW,
        }
        ran = [
            fleet.play("weekly", "-vvv", "--diff", *arguments, upkeep_only="backups")
            for arguments in (("--check",), ())
        ]
        assert ran[1].code == 0, ran[1].findings()
        tasks = {name: task["worst"] for name, task in ran[1].tasks("db1").items()}
        assert {"backups.create", "backups.offsite", "backups.prune", "backups.all"} <= set(tasks)
        assert set(tasks.values()) <= {"ok", "info"}, ran[1].findings()
    # Whatever the run was told from is known to hold them.
    told = {fleet.folder / "inventory.json", tmp_path / "tree" / "config", far.identity, store.config}
    left = {str(path): path.read_bytes() for path in tmp_path.rglob("*") if path.is_file() and path not in told}
    seen = spies[1].read_text(errors="replace")
    assert {name for name in (*OF_POSTGRES[:1], "gpg", "age", "ssh", "rsync", "rclone") if f"=== {name}\n" in seen} == {
        *("pg_dump", "gpg", "age", "ssh", "rsync", "rclone")
    }
    for what, secret in secrets.items():
        places = [path for path, content in left.items() if secret.encode() in content]
        # The bytes of the far side's object store are those of its memory alone; the far directory is in *left*.
        assert places == [], what
        assert [number for number, one in enumerate(ran) if secret in one.output] == [], what
