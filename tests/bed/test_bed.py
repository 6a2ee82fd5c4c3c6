"""The bed itself, on every PostgreSQL there is: what the other tests rest on."""

from __future__ import annotations

import gzip
import subprocess
from datetime import UTC, datetime, timedelta

import psycopg2
import pytest

from tests.bed import data
from tests.bed.fixtures import BackupTree
from tests.bed.postgres import Cluster
from tests.bed.standby import Standby


def test_the_server_is_the_wanted_one_and_not_roots(postgres_cluster: Cluster) -> None:
    ((version, directory),) = postgres_cluster.execute(
        "SELECT current_setting('server_version_num')::int / 10000, current_setting('data_directory')"
    )
    assert version == postgres_cluster.binaries.major
    assert postgres_cluster.data_directory.owner() != "root"
    assert directory == str(postgres_cluster.data_directory)


def test_a_verified_connection_is_encrypted(postgres_cluster: Cluster) -> None:
    with postgres_cluster.connect() as connection, connection.cursor() as cursor:
        cursor.execute("SELECT ssl FROM pg_stat_ssl WHERE pid = pg_backend_pid()")
        assert cursor.fetchone() == (True,)
    connection.close()


def test_a_wrong_password_and_a_wrong_name_are_refused(postgres_cluster: Cluster) -> None:
    with pytest.raises(psycopg2.OperationalError, match="password authentication failed"):
        postgres_cluster.connect(password="wrong")
    with pytest.raises(psycopg2.OperationalError, match="does not match host name"):
        postgres_cluster.connect(host="elsewhere.example.test", hostaddr="127.0.0.1")


def test_the_socket_serves_too(postgres_cluster: Cluster) -> None:
    connection = postgres_cluster.connect(host=str(postgres_cluster.socket_dir), sslmode="disable", sslrootcert="")
    assert connection.get_dsn_parameters()["host"] == str(postgres_cluster.socket_dir)
    connection.close()


def test_filling_leaves_two_bloated_tables_and_one_without_statistics(
    postgres_cluster: Cluster, postgres_database: str
) -> None:
    database = f"{postgres_database}_filled"
    filled = data.fill(postgres_cluster, database, rows=2000)
    try:
        assert filled.dead == {"orders": 1000, "order_events": 1000}
        assert data.counters(postgres_cluster, database) == {
            "orders": (2000, 1000, 1000),  # live, dead, changed since they were analysed
            "order_events": (1000, 1000, 1000),
            "customers": (4000, 0, 4000),
            "products": (500, 0, 0),
        }
        analysed = postgres_cluster.execute("SELECT DISTINCT tablename FROM pg_stats WHERE schemaname = 'public'",
                                            database=database)  # fmt: skip
        assert {name for (name,) in analysed} == set(filled.live) - set(filled.without_statistics)
        for table, rows in filled.live.items():
            assert postgres_cluster.execute(f"SELECT count(*) FROM {table}", database=database) == [(rows,)]
    finally:
        postgres_cluster.execute(f"DROP DATABASE {database}")


def test_a_crashed_server_recovers(postgres_cluster: Cluster, postgres_database: str) -> None:
    postgres_cluster.execute("CREATE TABLE kept AS SELECT 1 AS one", database=postgres_database)
    idle = postgres_cluster.connect(postgres_database)
    postgres_cluster.kill9()
    assert not postgres_cluster.running
    with pytest.raises(psycopg2.OperationalError):
        postgres_cluster.connect()
    postgres_cluster.start()
    idle.close()
    assert postgres_cluster.execute("SELECT one FROM kept", database=postgres_database) == [(1,)]
    assert "database system was not properly shut down" in postgres_cluster.log.read_text()


def test_a_standby_follows_is_read_only_and_leaves_no_slot(postgres_cluster: Cluster, postgres_database: str) -> None:
    with Standby(postgres_cluster) as standby:
        standby.wait_until_streaming()
        postgres_cluster.execute("CREATE TABLE copied AS SELECT 1 AS one", database=postgres_database)
        standby.catch_up()
        assert standby.execute("SELECT one FROM copied", database=postgres_database) == [(1,)]
        with pytest.raises(psycopg2.errors.ReadOnlySqlTransaction):
            standby.execute("DROP TABLE copied", database=postgres_database)
        slots = "SELECT slot_name, active FROM pg_replication_slots"
        assert postgres_cluster.execute(slots) == [("standby", True)]
        standby.promote()
        standby.execute("DROP TABLE copied", database=postgres_database)
    assert postgres_cluster.execute(slots) == []


def test_good_backups_restore_and_say_when_they_were_taken(backup_tree: BackupTree, postgres_cluster: Cluster) -> None:
    newest = backup_tree.good["dump"][-1]
    listed = _pg_restore(postgres_cluster, "--list", newest.as_posix())
    taken = datetime.strptime(newest.name, "shop-%Y%m%dT%H%M%SZ.dump").replace(tzinfo=UTC)
    assert f"Archive created at {taken:%Y-%m-%d %H:%M:%S}" in listed.stdout
    assert _pg_restore(postgres_cluster, "--file", "/dev/null", newest.as_posix()).returncode == 0
    text = gzip.decompress(backup_tree.good["sql.gz"][-1].read_bytes())
    assert b"PostgreSQL database dump complete" in text
    assert b"COPY public.orders" in text


def test_truncated_backups_are_broken_and_stale_ones_two_days_old(
    backup_tree: BackupTree, postgres_cluster: Cluster
) -> None:
    with pytest.raises(EOFError):
        gzip.decompress(backup_tree.truncated["sql.gz"][-1].read_bytes())
    assert _pg_restore(postgres_cluster, "--file", "/dev/null", str(backup_tree.truncated["dump"][-1])).returncode != 0
    for form, paths in backup_tree.stale.items():
        modified = datetime.fromtimestamp(paths[-1].stat().st_mtime, UTC)
        assert timedelta(days=2) < datetime.now(UTC) - modified < timedelta(days=2, hours=2), form


def _pg_restore(cluster: Cluster, *arguments: str) -> subprocess.CompletedProcess[str]:
    argv = [str(cluster.binaries.tool("pg_restore")), *arguments]
    return subprocess.run(argv, env=cluster.environment(), capture_output=True, text=True, check=False)
