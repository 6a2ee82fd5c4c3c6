"""The modules on the Pythons that managed hosts have.

``UPKEEP_TARGET_PYTHONS`` lists interpreters that have psycopg2 and cryptography, as PATH lists folders; the session
`targets` makes and passes them.
"""

from __future__ import annotations

import os
import subprocess
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from tests.bed import backups, data
from tests.bed.postgres import Cluster, cache_directory, find_or_bring
from tests.bed.tls import Authority
from tests.integration.playbook import Fleet

pytestmark = pytest.mark.target_python

PYTHONS = [path for path in os.environ.get("UPKEEP_TARGET_PYTHONS", "").split(os.pathsep) if path]


@pytest.fixture(scope="module")
def cluster() -> Iterator[Cluster]:
    with Cluster(find_or_bring(None, cache_directory())) as running:
        yield running


def version_of(python: str) -> str:
    code = "import sys; print('%d.%d' % sys.version_info[:2])"
    return subprocess.run([python, "-c", code], capture_output=True, text=True, check=True).stdout.strip()


def test_there_are_interpreters_to_run_on() -> None:
    assert PYTHONS, "set UPKEEP_TARGET_PYTHONS; the session `targets` does"


@pytest.mark.parametrize("python", PYTHONS, ids=version_of)
def test_the_whole_weekly_work_is_done_by_this_python(python: str, cluster: Cluster, tmp_path: Path) -> None:
    database = f"shop_{version_of(python).replace('.', '_')}"
    data.fill(cluster, database, rows=4000)
    certificate, _key = Authority().issue("shop.test", days=5).write(tmp_path, "shop")
    taken = backups.taken_daily(datetime.now(UTC) - timedelta(hours=1), 2)
    backups.write_series(cluster, database, tmp_path / "backups", "shop", taken, "sql.gz", keep=0.6)
    fleet = Fleet(tmp_path).local(
        "old",
        ansible_python_interpreter=python,
        certificates_inventory={"files": [str(certificate)]},
        backups_series=[{"name": "shop", "pattern": str(tmp_path / "backups" / "shop-*.sql.gz"), "every": "24h"}],
        postgres_clusters=[
            {
                "name": "main",
                "login_host": cluster.host,
                "login_port": cluster.port,
                "login_user": cluster.user,
                "login_password": cluster.password,
                "login_db": database,
                "ssl_mode": "verify-full",
                "ca_cert": str(cluster.ca_cert),
                "databases": [database],
            }
        ],
    )

    ran = fleet.play("weekly")

    assert ran.row("old")["status"] == "examined", ran.output
    tasks = ran.tasks("old")
    assert {"host.memory", "certificates.expiry", "backups.all", "postgres.vacuum"} <= set(tasks), ran.output
    assert {finding["code"] for finding in ran.findings()} >= {"cert.expires_soon", "backup.truncated"}, ran.output
    assert not [finding for finding in ran.findings() if finding["code"].startswith(("task.", "run."))], ran.output
    assert data.dead_rows(cluster, database) == {}
