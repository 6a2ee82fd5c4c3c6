"""What the tests of `backup_create` share: a server, a directory for backups, and the module's own words."""

from __future__ import annotations

import json
import os
import secrets
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from ansible.module_utils.common.arg_spec import ArgumentSpecValidator

from ansible_collections.cadence.upkeep.plugins.module_utils._backup.argspec import ARGUMENT_SPEC as VERIFY_SPEC
from ansible_collections.cadence.upkeep.plugins.module_utils._backup.check import check
from ansible_collections.cadence.upkeep.plugins.module_utils._backup.create.argspec import ARGUMENT_SPEC
from ansible_collections.cadence.upkeep.plugins.module_utils._backup.create.report import Created
from ansible_collections.cadence.upkeep.plugins.module_utils._backup.create.run import create
from tests.bed import data
from tests.bed.postgres import Cluster
from tests.integration.module import CHECKOUT

COMPANION_ENDS = (".manifest.json", ".sha256", ".members", ".minisig", ".sig", ".asc")


def validated(spec: Mapping[str, Any], params: Mapping[str, Any]) -> dict[str, Any]:
    answer = ArgumentSpecValidator(dict(spec)).validate(dict(params))
    assert not answer.error_messages, answer.error_messages
    parameters: dict[str, Any] = answer.validated_parameters
    return parameters


@dataclass
class Backups:
    """A directory with backups, and what `backup_create` is told each time."""

    folder: Path
    always: dict[str, Any] = field(default_factory=dict)

    @property
    def directory(self) -> Path:
        return self.folder / "backups"

    def params(self, **params: Any) -> dict[str, Any]:
        ours = {"series": "shop", "directory": str(self.directory), "state_dir": str(self.folder / "state")}
        return {**ours, "min_free": "1MiB", **self.always, **params}

    def create(self, *, check_mode: bool = False, now: datetime | None = None, **params: Any) -> Created:
        return create(validated(ARGUMENT_SPEC, self.params(**params)), now or datetime.now(UTC), check_mode)

    def made(self, **params: Any) -> list[dict[str, Any]]:
        """Make backups, all of which must be good; return their records."""
        created = self.create(**params)
        assert not created.failure, created.failure
        records: list[dict[str, Any]] = created.as_result()["backups"]
        assert {record["status"] for record in records} == {"done"}
        return records

    def names(self) -> list[str]:
        return sorted(os.listdir(self.directory)) if self.directory.is_dir() else []

    def backups(self) -> list[str]:
        """The names of what is taken for a backup."""
        return [name for name in self.names() if not name.endswith((*COMPANION_ENDS, ".partial"))]

    def spawn(self, **params: Any) -> subprocess.Popen[bytes]:
        """The same in a process of its own, which can be killed."""
        program = (
            "import json, sys; sys.path[:0] = sys.argv[1:3]\n"
            "from tests.integration.creating import Backups\nfrom pathlib import Path\n"
            "params = json.loads(sys.stdin.read())\n"
            "created = Backups(Path(sys.argv[3])).create(**params)\n"
            "sys.exit(bool(created.failure))\n"
        )
        argv = [sys.executable, "-c", program, str(CHECKOUT), str(CHECKOUT / "playbooks" / "collections")]
        process = subprocess.Popen(
            [*argv, str(self.folder)], stdin=subprocess.PIPE, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE
        )
        assert process.stdin is not None
        process.stdin.write(json.dumps(self.params(**params)).encode())
        process.stdin.close()
        return process


def of_cluster(cluster: Cluster, folder: Path, **params: Any) -> Backups:
    """Backups of a cluster that this host reaches by TCP."""
    ours = {
        "login_host": cluster.host,
        "login_port": cluster.port,
        "login_user": cluster.user,
        "login_password": cluster.password,
        "name": "db1",
        "bin_dir": str(cluster.binaries.directory),
    }
    return Backups(folder, {**ours, **params})


def verified(*paths: str, **params: Any) -> dict[str, Any]:
    """What `backup_verify` says of finished backups, a manifest being required."""
    ours = {"paths": list(paths), "require_manifest": True, "parallel": 1, "nice": 0}
    return check(validated(VERIFY_SPEC, {**ours, **params}), datetime.now(UTC)).as_result()


def manifest_of(path: str) -> dict[str, Any]:
    content: dict[str, Any] = json.loads(Path(f"{path}.manifest.json").read_text(encoding="utf-8"))
    return content


def fill(cluster: Cluster) -> str:
    """Make a database with tables, partitions and names that are not plain; return its name."""
    name = f"create_{secrets.token_hex(4)}"
    data.fill(cluster, name, rows=2000)
    for statement in (
        'CREATE SCHEMA "Odd schema"',
        'CREATE TABLE "Odd schema"."a.b ""c"" {d}" (id int, "the text" text)',
        'INSERT INTO "Odd schema"."a.b ""c"" {d}" SELECT n, repeat(chr(10), 3) FROM generate_series(1, 7) n',
        "CREATE TABLE parted (id int, at date) PARTITION BY RANGE (at)",
        "CREATE TABLE parted_1 PARTITION OF parted FOR VALUES FROM ('2026-01-01') TO ('2027-01-01')",
        "INSERT INTO parted SELECT n, '2026-02-03' FROM generate_series(1, 11) n",
        "CREATE TABLE nothing ()",
        "INSERT INTO nothing DEFAULT VALUES",
        "CREATE TABLE parent (id int)",
        "CREATE TABLE child () INHERITS (parent)",
        "INSERT INTO parent SELECT generate_series(1, 3)",
        "INSERT INTO child SELECT generate_series(1, 4)",
        "CREATE UNLOGGED TABLE unlogged AS SELECT generate_series(1, 5) AS id",
        "CREATE MATERIALIZED VIEW seen AS SELECT * FROM parent",
    ):
        cluster.execute(statement, database=name)
    return name
