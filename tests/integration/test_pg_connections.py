"""Every way in that libpq has, by both drivers, and every way in which one is not let in."""

from __future__ import annotations

import os
import secrets
import socket
import threading
import time
from collections.abc import Iterator
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any

import psycopg2
import pytest
from psycopg2.sql import SQL, Identifier, Literal

from ansible_collections.cadence.upkeep.plugins.module_utils._core.errors import ConnectionFailed, InvalidInput
from ansible_collections.cadence.upkeep.plugins.module_utils._postgres import pooler as pooler_of_ours
from ansible_collections.cadence.upkeep.plugins.module_utils._postgres.adapter import (
    PREFERENCE,
    ServerError,
    Session,
)
from ansible_collections.cadence.upkeep.plugins.module_utils._postgres.cluster import choose, read_databases
from ansible_collections.cadence.upkeep.plugins.module_utils._postgres.errors import PooledConnection
from tests.bed.pgbouncer import Pgbouncer
from tests.bed.postgres import Cluster, cache_directory, find_or_bring, free_port
from tests.bed.standby import Standby
from tests.bed.tls import Authority
from tests.integration.connecting import WHO, connection, session, sessions, who, without_libpq
from tests.integration.module import Answer, run_module
from tests.integration.vacuuming import Place, statuses

BOTH_DRIVERS = pytest.mark.parametrize("driver", PREFERENCE)
ODD = 'odd \'role\\ = "x" é%s'
ODD_PASSWORD = "p'a\\s\"s = @:/#%s é ü\t{{ x }}"
RULES = """
local all all scram-sha-256
hostssl all certified all cert
hostnossl all encrypted all reject
host all dropped all reject
host all all 127.0.0.1/32 scram-sha-256
host all all ::1/128 scram-sha-256
local replication all scram-sha-256
host replication all 127.0.0.1/32 scram-sha-256
"""


@pytest.fixture(scope="module")
def authority() -> Authority:
    return Authority()


@pytest.fixture(scope="module")
def cluster(authority: Authority) -> Iterator[Cluster]:
    settings = {"listen_addresses": "127.0.0.1,::1", "max_connections": "40"}
    made = Cluster(find_or_bring(None, cache_directory()), settings=settings, authority=authority, name="connected")
    try:
        made.create()
        with (made.data_directory / "postgresql.conf").open("a", encoding="utf-8") as file:
            file.write(f"ssl_ca_file = '{made.ca_cert}'\n")
        (made.data_directory / "pg_hba.conf").write_text(RULES, encoding="utf-8")
        made.start()
        for statement in (
            "CREATE ROLE certified LOGIN", "CREATE ROLE encrypted LOGIN PASSWORD 'x'", "CREATE ROLE dropped LOGIN",
            "CREATE ROLE workers", "CREATE ROLE nobody_logs_in NOLOGIN PASSWORD 'x'", "CREATE DATABASE closed",
            "ALTER DATABASE closed ALLOW_CONNECTIONS false", "CREATE DATABASE private",
            "REVOKE CONNECT ON DATABASE private FROM public", "CREATE ROLE plain LOGIN PASSWORD 'x'",
            "CREATE DATABASE \"odd db's %s\"", "CREATE DATABASE orders",
        ):  # fmt: skip
            made.execute(statement)
        statement = SQL("CREATE ROLE {} LOGIN IN ROLE workers PASSWORD {}")
        made.execute(statement.format(Identifier(ODD), Literal(ODD_PASSWORD)))
        yield made
    finally:
        made.remove()


@pytest.fixture(autouse=True)
def _environment(tmp_path: Path) -> Iterator[None]:
    """No variable, password file or service file of whoever runs the tests; what a test sets is gone after it."""
    before = dict(os.environ)
    without_libpq(os.environ)
    os.environ.update(HOME=str(tmp_path), PGSYSCONFDIR=str(tmp_path / "nothing"))
    yield
    os.environ.clear()
    os.environ.update(before)


def reach(cluster: Cluster, **options: Any) -> dict[str, Any]:
    """The options of somebody who wrote all down; `None` leaves one out."""
    written = {
        "login_host": "localhost", "login_port": cluster.port, "login_user": "postgres", "login_db": "postgres",
        "login_password": cluster.password, **options,
    }  # fmt: skip
    return {name: value for name, value in written.items() if value is not None}


def private(path: Path, text: str) -> str:
    path.touch(mode=0o600)
    path.write_text(text, encoding="utf-8")
    return str(path)


# --- ways in ----------------------------------------------------------------------------------------------------------


@BOTH_DRIVERS
def test_by_the_socket(cluster: Cluster, driver: str) -> None:
    options = reach(cluster, login_host=None, login_unix_socket=str(cluster.socket_dir))
    assert who(driver, **options)[0] == "postgres"
    assert who(driver, **{**options, "login_host": "localhost"})[0] == "postgres"
    with session(driver, **options) as opened:
        assert opened.rows("SELECT inet_server_addr()") == [(None,)]


@BOTH_DRIVERS
def test_by_ipv6(cluster: Cluster, driver: str) -> None:
    with socket.socket(socket.AF_INET6) as probe:
        if probe.connect_ex(("::1", cluster.port)) != 0:
            pytest.skip("this machine has no IPv6")
    with session(driver, **reach(cluster, login_host="::1")) as opened:
        assert opened.rows("SELECT host(inet_server_addr())") == [("::1",)]
    assert connection(**reach(cluster, login_host="::1")).label == f"[::1]:{cluster.port}"


@BOTH_DRIVERS
@pytest.mark.parametrize("mode", ["disable", "allow", "prefer", "require", "verify-ca", "verify-full", None])
def test_by_each_mode_of_tls(cluster: Cluster, driver: str, mode: str | None) -> None:
    options = reach(cluster, ssl_mode=mode, ca_cert=str(cluster.ca_cert) if mode else None)
    with session(driver, **options) as opened:
        ((encrypted,),) = opened.rows("SELECT ssl FROM pg_stat_ssl WHERE pid = pg_backend_pid()")
    # allow asks for no encryption first, and is let in.
    assert encrypted == (mode not in ("disable", "allow"))


@BOTH_DRIVERS
def test_by_a_certificate_of_ones_own(cluster: Cluster, driver: str, authority: Authority, tmp_path: Path) -> None:
    chain, key = authority.issue("certified", names=[]).write(tmp_path, "certified")
    options = reach(
        cluster, login_user="certified", login_password=None, ssl_mode="verify-full", ca_cert=str(cluster.ca_cert),
        ssl_cert=str(chain), ssl_key=str(key),
    )  # fmt: skip
    assert who(driver, **options)[0] == "certified"
    for change, reason, step in (
        ({"ssl_cert": None, "ssl_key": None}, "valid client certificate", "ssl_cert and ssl_key"),
        ({"login_user": "certified", "ssl_key": "/nowhere.key"}, "private key", "mode 0600"),
    ):
        with pytest.raises(ConnectionFailed, match=reason) as refused:
            who(driver, **{name: value for name, value in {**options, **change}.items() if value is not None})
        assert step in refused.value.remedy
    os.chmod(key, 0o644)
    with pytest.raises(ConnectionFailed, match="private key file") as refused:
        who(driver, **options)
    assert "mode 0600" in refused.value.remedy
    chain, key = authority.issue("somebody else", names=[]).write(tmp_path, "other")
    with pytest.raises(ConnectionFailed, match="certificate authentication failed") as refused:
        who(driver, **{**options, "ssl_cert": str(chain), "ssl_key": str(key)})
    assert "whose name is the role's" in refused.value.remedy


@BOTH_DRIVERS
def test_by_a_password_file(cluster: Cluster, driver: str, tmp_path: Path) -> None:
    line = f"localhost:{cluster.port}:*:postgres:{cluster.password}\n"
    options = reach(cluster, login_password=None)
    named = private(tmp_path / "passwords", line)
    assert who(driver, **options, connect_params={"passfile": named})[0] == "postgres"
    with pytest.raises(ConnectionFailed, match="no password supplied") as refused:
        who(driver, **options)
    assert ".pgpass" in refused.value.remedy
    private(tmp_path / ".pgpass", line)
    assert who(driver, **options)[0] == "postgres"
    (tmp_path / ".pgpass").chmod(0o644)
    with pytest.raises(ConnectionFailed, match="no password supplied") as refused:
        who(driver, **options)
    assert "0600" in refused.value.remedy
    os.environ["PGPASSFILE"] = named
    assert who(driver, **options)[0] == "postgres"


@BOTH_DRIVERS
def test_by_a_service_which_the_user_does_not_override_by_leaving_things_out(
    cluster: Cluster, driver: str, tmp_path: Path
) -> None:
    services = f"""
[whole]
host=localhost
port={cluster.port}
user=plain
password=x
dbname=orders
application_name=not ours

[half]
host=localhost
port={cluster.port}
password={cluster.password}
"""
    options = {"connect_params": {"service": "whole"}}
    os.environ["PGSERVICEFILE"] = private(tmp_path / "services", services)
    assert who(driver, **options) == ("plain", "plain", "orders")
    found = connection(**options)
    assert (found.label, found.database, found.user) == ("service whole", "orders", "plain")
    with session(driver, **options) as opened:
        assert opened.rows("SELECT current_setting('application_name')") == [("upkeep pg_vacuum",)]
    # What is written down wins over the service, and what neither says is as documented.
    assert who(driver, **options, login_db="postgres") == ("plain", "plain", "postgres")
    given = {"login_user": "postgres", "login_password": cluster.password}
    assert who(driver, **options, **given) == ("postgres", "postgres", "orders")
    assert who(driver, connect_params={"service": "half"}) == ("postgres", "postgres", "postgres")
    os.environ["PGSERVICE"] = "whole"
    assert who(driver) == ("plain", "plain", "orders")
    del os.environ["PGSERVICE"]
    (tmp_path / "services").rename(tmp_path / ".pg_service.conf")
    del os.environ["PGSERVICEFILE"]
    assert who(driver, **options) == ("plain", "plain", "orders")
    with pytest.raises(ConnectionFailed, match='"nothing" not found') as refused:
        who(driver, connect_params={"service": "nothing"})
    assert "PGSERVICEFILE" in refused.value.remedy and "service nothing" in refused.value.message


@BOTH_DRIVERS
def test_by_the_variables_of_libpq(cluster: Cluster, driver: str) -> None:
    os.environ.update(
        PGHOST="localhost", PGPORT=str(cluster.port), PGUSER="plain", PGPASSWORD="x", PGDATABASE="orders",
        PGSSLMODE="verify-full", PGSSLROOTCERT=str(cluster.ca_cert), PGCONNECT_TIMEOUT="7",
    )  # fmt: skip
    assert who(driver) == ("plain", "plain", "orders")
    assert connection().label == f"localhost:{cluster.port}"
    with session(driver) as opened:
        assert opened.rows("SELECT ssl FROM pg_stat_ssl WHERE pid = pg_backend_pid()") == [(True,)]
    assert who(driver, login_db="postgres")[2] == "postgres"
    with session(driver, ssl_mode="disable") as opened:
        assert opened.rows("SELECT ssl FROM pg_stat_ssl WHERE pid = pg_backend_pid()") == [(False,)]
    assert who(driver, login_user="postgres", login_password=cluster.password)[0] == "postgres"


@BOTH_DRIVERS
def test_with_odd_characters_everywhere(cluster: Cluster, driver: str) -> None:
    options = reach(cluster, login_user=ODD, login_password=ODD_PASSWORD, login_db="odd db's %s")
    assert who(driver, **options) == (ODD, ODD, "odd db's %s")
    assert who(driver, **options, session_role="workers") == (ODD, "workers", "odd db's %s")
    with pytest.raises(InvalidInput, match="cannot take on the role postgres") as refused:
        who(driver, **options, session_role="postgres")
    assert "session_role" in refused.value.remedy
    with pytest.raises(InvalidInput, match='cannot take on the role "; DROP'):
        who(driver, **options, session_role='"; DROP ROLE postgres; --')


@pytest.mark.parametrize("text", ["a\0b", "\udce9"])
def test_what_no_connection_can_carry(text: str) -> None:
    for option in ("login_user", "login_password", "login_db", "login_host", "session_role"):
        with pytest.raises(InvalidInput, match=f"{option} has a character") as refused:
            connection(**{option: text})
        assert text not in str(refused.value)


@pytest.mark.parametrize("name", ["password", "sslpassword", "dbname", "oauth_client_secret", "scram_client_key"])
def test_a_secret_among_the_parameters_is_refused(name: str) -> None:
    with pytest.raises(InvalidInput, match=f"connect_params holds {name}") as refused:
        connection(connect_params={name: "hunter2"})
    assert "hunter2" not in str(refused.value) and refused.value.remedy


def test_with_several_hosts_the_wanted_one_is_found(cluster: Cluster) -> None:
    with Standby(cluster, name="connected_standby") as standby:
        standby.wait_until_streaming()
        dead = free_port()
        several: dict[str, Any] = {
            "login_host": "localhost,localhost,localhost",
            "login_password": cluster.password,
            "connect_params": {"port": f"{dead},{standby.port},{cluster.port}"},
        }

        def port_of(driver: str, wanted: str) -> int:
            params = {**several["connect_params"], "target_session_attrs": wanted}
            with session(driver, **{**several, "connect_params": params}) as opened:
                ((port,),) = opened.rows("SELECT inet_server_port()")
            return int(port)

        one = reach(standby, connect_params={"target_session_attrs": "read-write"})
        for driver in PREFERENCE:
            assert port_of(driver, "any") == port_of(driver, "standby") == standby.port
            assert port_of(driver, "read-write") == port_of(driver, "primary") == cluster.port
            with pytest.raises(ConnectionFailed, match="session is read-only") as refused:
                who(driver, **one)
            assert "target_session_attrs" in refused.value.remedy


# --- ways in which one is not let in ----------------------------------------------------------------------------------


@BOTH_DRIVERS
def test_each_refusal_is_one_sentence_with_the_next_step(cluster: Cluster, driver: str, tmp_path: Path) -> None:
    other = Authority("somebody else").write(tmp_path, "other.pem")
    for options, reason, step in (
        ({"login_password": "wrong"}, "password authentication failed", "login_password"),
        ({"login_password": None}, "no password supplied", "login_password"),
        ({"login_user": "encrypted", "login_password": "x", "ssl_mode": "disable"}, "pg_hba", "pg_hba.conf"),
        ({"login_user": "dropped"}, "pg_hba", "pg_hba.conf"),
        ({"login_user": "nobody_logs_in", "login_password": "x"}, "not permitted to log in", "LOGIN"),
        ({"login_db": "nowhere"}, 'database "nowhere" does not exist', "psql -l"),
        ({"login_db": "closed"}, "not currently accepting connections", "databases"),
        ({"login_user": "plain", "login_password": "x", "login_db": "private"}, "permission denied", "Grant CONNECT"),
        ({"login_port": free_port()}, "[Cc]onnection refused", "listen_addresses"),
        ({"login_host": "nowhere.invalid"}, "could not translate|Name or service|name resolution", "login_host"),
        ({"login_host": str(tmp_path)}, "No such file or directory", "socket"),
        ({"ssl_mode": "verify-ca", "ca_cert": str(other)}, "certificate verify failed", "ca_cert"),
        ({"ssl_mode": "verify-full", "ca_cert": "/nowhere"}, "does not exist", "ca_cert"),
        (
            {"ssl_mode": "verify-full", "ca_cert": str(cluster.ca_cert), "login_host": "elsewhere.example.test",
             "connect_params": {"hostaddr": "127.0.0.1"}},
            "does not match host name", "certificate",
        ),
        ({"connect_params": {"no_such": "1"}}, "invalid", "connect_params"),
        ({"connect_params": {"target_session_attrs": "fast"}}, "invalid", "connect_params"),
    ):  # fmt: skip
        with pytest.raises(ConnectionFailed, match=reason) as refused:
            who(driver, **reach(cluster, **options))
        assert step in refused.value.remedy, (options, str(refused.value))
        assert "\n" not in refused.value.message and cluster.password not in str(refused.value.as_failure())


def test_a_server_without_tls_says_so(cluster: Cluster) -> None:
    _switch_tls(cluster, "ALTER SYSTEM SET ssl = off")
    try:
        _wait_for_tls(cluster, "off")
        for driver in PREFERENCE:
            with pytest.raises(ConnectionFailed, match="does not support SSL") as refused:
                who(driver, **reach(cluster, ssl_mode="require"))
            assert "ssl_mode" in refused.value.remedy
            assert who(driver, **reach(cluster))[0] == "postgres"
    finally:
        _switch_tls(cluster, "ALTER SYSTEM RESET ssl")
        _wait_for_tls(cluster, "on")


def _by_socket(cluster: Cluster) -> AbstractContextManager[Session]:
    return session(**reach(cluster, login_host=str(cluster.socket_dir)))


def _switch_tls(cluster: Cluster, statement: str) -> None:
    with _by_socket(cluster) as opened:
        opened.run(statement)
        opened.run("SELECT pg_reload_conf()")


def _wait_for_tls(cluster: Cluster, wanted: str, seconds: float = 60) -> None:
    """The postmaster reads its settings a moment after it was asked to."""
    give_up = time.monotonic() + seconds
    while True:
        with _by_socket(cluster) as opened:
            if opened.rows("SELECT current_setting('ssl')") == [(wanted,)]:
                return
        assert time.monotonic() < give_up
        time.sleep(0.02)


@BOTH_DRIVERS
def test_a_server_that_is_full_or_silent(cluster: Cluster, driver: str) -> None:
    cluster.execute("ALTER ROLE plain CONNECTION LIMIT 0")
    try:
        with pytest.raises(ConnectionFailed, match="too many connections") as refused:
            who(driver, **reach(cluster, login_user="plain", login_password="x"))
        assert "max_connections" in refused.value.remedy
    finally:
        cluster.execute("ALTER ROLE plain CONNECTION LIMIT -1")
    with socket.create_server(("127.0.0.1", 0)) as silent:
        params = {"connect_timeout": "2"}
        options = reach(cluster, login_host="127.0.0.1", login_port=silent.getsockname()[1], connect_params=params)
        with pytest.raises(ConnectionFailed, match=r"timeout expired|timed out") as refused:
            who(driver, **options)
        assert "packets" in refused.value.remedy


# --- every version ----------------------------------------------------------------------------------------------------


@BOTH_DRIVERS
def test_each_version_lets_us_in_and_takes_our_settings(postgres_cluster: Cluster, driver: str) -> None:
    options = reach(postgres_cluster, ssl_mode="verify-full", ca_cert=str(postgres_cluster.ca_cert))
    with session(driver, **options) as opened:
        names = ("search_path", "statement_timeout", "lock_timeout", "synchronous_commit", "application_name")
        query = ", ".join(f"current_setting('{name}')" for name in names)
        assert opened.rows(f"SELECT {query}") == [("", "0", "2s", "off", "upkeep pg_vacuum")]
        assert opened.rows("SELECT pg_backend_pid()") == [(opened.pid,)]
        assert choose(read_databases(opened), [None]) == (["postgres"], [])


def test_the_grants_that_the_documentation_names_are_enough(postgres_cluster: Cluster, tmp_path: Path) -> None:
    """`docs/postgres/connections.md`, The least privilege."""
    major = postgres_cluster.binaries.major
    place = Place(postgres_cluster, f"privileges_{secrets.token_hex(4)}", tmp_path)
    database, owner, role = place.database, f"{place.database}_owner", f"{place.database}_upkeep"
    postgres_cluster.execute(f"CREATE DATABASE {database}")
    try:
        place.make_dirty("ours", "others")
        place.execute(
            f"CREATE ROLE {owner}", f"CREATE ROLE {role} LOGIN PASSWORD 'x'",
            f"REVOKE CONNECT ON DATABASE {database} FROM public", f"ALTER TABLE ours OWNER TO {owner}",
        )  # fmt: skip

        def done() -> set[str]:
            result = place.call(login_user=role, login_password="x", include_catalogs=False, when="always")
            return {table for table, status in statuses(result).items() if status == "done"}

        with pytest.raises(ConnectionFailed, match="permission denied for database"):
            done()
        place.execute(f"GRANT CONNECT ON DATABASE {database} TO {role}", f"GRANT pg_monitor TO {role}")
        assert done() == set()
        if major >= 17:
            place.execute(f"GRANT MAINTAIN ON ALL TABLES IN SCHEMA public TO {role}")
            assert done() == {"ours", "others"}
            place.execute(f"REVOKE MAINTAIN ON ALL TABLES IN SCHEMA public FROM {role}", f"GRANT pg_maintain TO {role}")
            assert done() == {"ours", "others"}
        else:
            place.execute(f"GRANT {owner} TO {role}")
            assert done() == {"ours"}
            place.execute(f"REVOKE {owner} FROM {role}", f"ALTER DATABASE {database} OWNER TO {role}")
            assert done() == {"ours", "others"}
        if major >= 16:
            place.execute(f"GRANT pg_use_reserved_connections TO {role}")
    finally:
        postgres_cluster.execute(f"DROP DATABASE {database} WITH (FORCE)")
        for name in (owner, role):
            postgres_cluster.execute(f"DROP ROLE IF EXISTS {name}")


# --- poolers ----------------------------------------------------------------------------------------------------------


def through(pooler: Pgbouncer, **options: Any) -> dict[str, Any]:
    return reach(pooler.cluster, login_host=pooler.host, login_port=pooler.port, **options)


@pytest.mark.parametrize(
    ("mode", "settings"),
    [
        ("transaction", {}),
        ("transaction", {"server_round_robin": "1"}),
        ("transaction", {"default_pool_size": "1"}),
        ("statement", {}),
    ],
)
def test_a_pool_that_shares_its_connections_is_refused_and_left_clean(
    cluster: Cluster, mode: Any, settings: dict[str, str]
) -> None:
    with Pgbouncer(cluster, mode, settings={"server_reset_query": "", **settings}) as pooler:
        for warmed in (False, True):
            if warmed:
                _warm(pooler, 1 if settings.get("default_pool_size") == "1" else 5)
            for driver in PREFERENCE:
                with pytest.raises(PooledConnection, match="is a pooler that does not keep") as refused:
                    who(driver, **through(pooler))
                assert refused.value.evidence["class"] == "pooled_connection"
                assert "direct port" in refused.value.remedy
        for found in _settings_of_all(pooler):
            assert found == ('"$user", public', "0", "on"), "others would have inherited what we set"


def _login(pooler: Pgbouncer) -> Any:
    login = {"user": "postgres", "password": pooler.cluster.password, "dbname": "postgres"}
    return psycopg2.connect(host=pooler.host, port=pooler.port, **login)


def _warm(pooler: Pgbouncer, count: int) -> None:
    """Leave that many idle server connections in the pool: as many transactions at once."""
    assert len(_settings_of_all(pooler)) >= count


def _settings_of_all(pooler: Pgbouncer) -> list[tuple[str, ...]]:
    """What is in force in the pool's server connections, which clients at once hold by a statement that takes time."""
    sql = "SELECT " + ", ".join(f"current_setting('{name}')" for name in SETTINGS) + " FROM pg_sleep(0.2)"
    found: list[tuple[str, ...]] = []

    def ask() -> None:
        client = _login(pooler)
        client.autocommit = True
        with client.cursor() as cursor:
            cursor.execute(sql)
            found.append(cursor.fetchone())
        client.close()

    threads = [threading.Thread(target=ask) for _number in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(found) == len(threads)
    return found


SETTINGS = ("search_path", "lock_timeout", "synchronous_commit")


def test_a_pool_in_use_by_others_is_recognised_too(cluster: Cluster) -> None:
    """Others hold some of its connections in transactions and give them back all the time."""
    with Pgbouncer(cluster, "transaction") as pooler, Traffic(pooler, 4):
        for driver in PREFERENCE * 3:
            with pytest.raises(PooledConnection):
                who(driver, **through(pooler))


class Traffic:
    """Clients that run short transactions until the block ends."""

    def __init__(self, pooler: Pgbouncer, count: int) -> None:
        self._stop = threading.Event()
        self._threads = [threading.Thread(target=self._work, args=(pooler,)) for _number in range(count)]

    def _work(self, pooler: Pgbouncer) -> None:
        client = _login(pooler)
        while not self._stop.is_set():
            with client.cursor() as cursor:
                cursor.execute("SELECT 1")
                cursor.execute("SELECT pg_sleep(0.001)")
            client.commit()
        client.close()

    def __enter__(self) -> None:
        for thread in self._threads:
            thread.start()

    def __exit__(self, *_exception: object) -> None:
        self._stop.set()
        for thread in self._threads:
            thread.join()


@BOTH_DRIVERS
def test_a_pool_in_session_mode_is_a_server_like_any_other(cluster: Cluster, driver: str) -> None:
    with Pgbouncer(cluster, "session") as pooler:
        found = sessions(connection(**through(pooler)), driver)
        with found.session("postgres") as first, found.session("postgres") as second:
            for one in (first, second):
                assert one.rows("SELECT pg_backend_pid(), current_setting('search_path')") == [(one.pid, "")]
                found.require_direct(one)
            assert first.pid != second.pid
            assert first.rows(WHO)[0][0] == "postgres"


def test_a_pool_without_a_second_connection_is_refused_in_time(
    cluster: Cluster, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(pooler_of_ours, "PATIENCE", 1.0)
    settings = {"default_pool_size": "1"}
    with (
        Pgbouncer(cluster, "session", settings=settings) as pooler,
        pytest.raises(PooledConnection, match="had none for a second one within 1 s"),
    ):
        who(**through(pooler))


def test_a_startup_parameter_that_the_pooler_does_not_know(cluster: Cluster) -> None:
    with Pgbouncer(cluster, "session") as pooler:
        with pytest.raises(ConnectionFailed, match="unsupported startup parameter") as refused:
            who(**through(pooler, connect_params={"options": "-c geqo=off"}))
        assert "connect_params" in refused.value.remedy
        with pytest.raises(ConnectionFailed) as refused:
            who(**through(pooler, login_db="nowhere"))
        assert "psql -l" in refused.value.remedy


@pytest.mark.parametrize("module", ["pg_vacuum", "pg_health_info"])
def test_the_modules_refuse_a_pool_in_transaction_mode(cluster: Cluster, tmp_path: Path, module: str) -> None:
    with Pgbouncer(cluster, "transaction") as pooler:
        answer: Answer = run_module(tmp_path, module, through(pooler))
    assert answer.how == "FAILED"
    assert "is a pooler" in answer.result["msg"] and "direct port" in answer.result["remedy"]
    assert cluster.password not in str(answer.result)


def test_a_direct_connection_asks_for_nothing_more(cluster: Cluster) -> None:
    """No second connection, and no statement but the one that sets the session up."""
    with session(**reach(cluster)) as opened:
        ((sessions_of_ours,),) = opened.rows(
            "SELECT count(*) FROM pg_stat_activity WHERE application_name LIKE 'upkeep %'"
        )
        assert sessions_of_ours == 1
        with pytest.raises(ServerError):
            opened.rows("SELECT nothing")
