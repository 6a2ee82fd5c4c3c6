"""A server that lives in a container and publishes no port: found, reached and logged in to."""

from __future__ import annotations

import json
import os
import re
import secrets
import shutil
import socket
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from ansible_collections.cadence.upkeep.plugins.module_utils._core.errors import (
    ConnectionFailed,
    InvalidInput,
    UpkeepError,
)
from ansible_collections.cadence.upkeep.plugins.module_utils._postgres.adapter import PREFERENCE
from tests.bed.docker_engine import Engine, Project
from tests.integration.connecting import connection, who, without_libpq
from tests.integration.module import Answer, as_nobody, run_module
from tests.integration.playbook import Fleet

CANARY = "c4nary-in-a-c0ntainer"
COMPOSE = """
services:
  db:
    image: {image}
    environment:
      POSTGRES_USER: shop
      POSTGRES_DB: orders
      POSTGRES_PASSWORD_FILE: /run/secrets/password
    secrets: [password]
    networks: [back]
  idle:
    image: {image}
    command: [sleep, "600"]
    init: true
    deploy:
      replicas: 2
networks:
  back: {{}}
secrets:
  password:
    file: ./password
"""


@pytest.fixture(scope="module")
def engine(docker_engine: Engine) -> Engine:
    return docker_engine


@pytest.fixture(scope="module")
def image(engine: Engine) -> str:
    return engine.postgres_image()


@pytest.fixture(autouse=True)
def _environment(engine: Engine, monkeypatch: pytest.MonkeyPatch) -> None:
    without_libpq(os.environ)
    for name in ("DOCKER_TLS_VERIFY", "DOCKER_CERT_PATH"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("DOCKER_HOST", engine.url)


def start(engine: Engine, image: str, name: str, *options: str, **env: str) -> str:
    """Start a PostgreSQL and return the name of its container once it serves; it has a password unless told."""
    variables = {"POSTGRES_PASSWORD": CANARY, **env}
    arguments = [word for key, value in variables.items() if value for word in ("--env", f"{key}={value}")]
    ours = engine.run(image, name=name, options=[*arguments, *options])
    # The temporary server of the first start has no TCP port: what answers here is the last one.
    port = env.get("PGPORT", "5432")
    engine.wait_until(ours, "pg_isready", "--quiet", "--host", "127.0.0.1", "--port", port)
    return ours


@pytest.fixture(scope="module")
def database(engine: Engine, image: str) -> Iterator[str]:
    """A container with a user and a database of its own, on the default network, without a published port."""
    ours = start(engine, image, "plain-db", POSTGRES_USER="shop", POSTGRES_DB="orders")
    yield ours
    engine.remove(ours)


@pytest.fixture(scope="module")
def project(engine: Engine, image: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Project]:
    folder = tmp_path_factory.mktemp("project")
    (folder / "password").write_text(f"{CANARY}\n")
    (folder / "password").chmod(0o644)
    (folder / "compose.yaml").write_text(COMPOSE.format(image=image))
    with engine.compose(folder, "shop") as shop:
        shop.up("--pull", "never")
        (db,) = shop.containers("db")
        engine.wait_until(db, "pg_isready", "--quiet", "--host", "127.0.0.1")
        yield shop


# --- found ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("driver", PREFERENCE)
def test_everything_comes_from_the_container(database: str, driver: str) -> None:
    assert who(driver, container=database) == ("shop", "shop", "orders")
    found = connection(container=database)
    assert (found.label, found.endpoint, found.port) == (database, f"container {database}", 5432)
    assert connection(container=database, name="main").label == "main"


def test_a_container_is_found_by_its_id_too(engine: Engine, database: str) -> None:
    identity = engine.inspect(database)["Id"]
    assert who(container=identity)[0] == "shop"
    assert who(container=identity[:12])[0] == "shop"
    assert connection(container=identity[:12]).label == database
    for cut in (identity[:3], identity[:11], database[:-1], f"{database}x"):
        with pytest.raises(InvalidInput, match=f"There is no container {cut} ") as missing:
            connection(container=cut)
        assert database in str(missing.value), "what there is is listed"


def test_a_service_of_a_project_is_found_and_its_password_file_read(project: Project) -> None:
    assert who(compose_project=project.name, compose_service="db") == ("shop", "shop", "orders")
    (name,) = project.containers("db")
    assert connection(compose_project=project.name, compose_service="db").label == name


def test_what_is_given_wins(engine: Engine, database: str) -> None:
    engine.docker(
        "exec", database, "psql", "-qU", "shop", "orders", "-c", "CREATE ROLE \"odd 'one\" LOGIN PASSWORD 'x''y'"
    )
    try:
        options = {"container": database, "login_user": "odd 'one", "login_password": "x'y", "login_db": "postgres"}
        assert who(**options) == ("odd 'one", "odd 'one", "postgres")
        with pytest.raises(ConnectionFailed, match=r"odd 'one.*no password supplied"):
            who(**{**options, "login_password": ""})
    finally:
        engine.docker("exec", database, "psql", "-qU", "shop", "orders", "-c", 'DROP ROLE "odd \'one"')


def test_the_variables_of_libpq_are_those_of_other_servers(database: str, monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in {
        "PGHOST": "nowhere.invalid", "PGHOSTADDR": "192.0.2.1", "PGPORT": "9", "PGUSER": "nobody",
        "PGDATABASE": "nothing", "PGPASSWORD": "wrong",
    }.items():  # fmt: skip
        monkeypatch.setenv(name, value)
    assert who(container=database) == ("shop", "shop", "orders")


def test_a_stopped_twin_of_a_service_is_not_meant(engine: Engine, project: Project, image: str) -> None:
    labels = [f"--label=com.docker.compose.project={project.name}", "--label=com.docker.compose.service=db"]
    old = engine.name("old-db")
    once = engine.name("one-off")
    engine.docker("create", "--name", old, *labels, image)
    engine.run(image, "sleep", "600", name="one-off", options=[*labels, "--label=com.docker.compose.oneoff=True"])
    try:
        assert connection(compose_project=project.name, compose_service="db").label == project.containers("db")[-1]
    finally:
        engine.remove(old)
        engine.remove(once)


# --- reached ----------------------------------------------------------------------------------------------------------


def test_another_port_by_the_command_or_the_environment_or_the_user(engine: Engine, image: str) -> None:
    ways: dict[int, tuple[tuple[str, ...], tuple[str, ...]]] = {
        5433: (("-p", "5433"), ()),
        5434: (("postgres", "-c", "port=5434"), ("--env", "PGPORT=9")),
        5435: ((), ("--env", "PGPORT=5435")),
    }
    names = {
        port: engine.run(image, *command, name=f"port-{port}", options=["--env", f"POSTGRES_PASSWORD={CANARY}", *env])
        for port, (command, env) in ways.items()
    }
    try:
        for port, name in names.items():
            engine.wait_until(name, "pg_isready", "--quiet", "--host", "127.0.0.1", "--port", str(port))
            assert connection(container=name).port == port
            assert who(container=name) == ("postgres", "postgres", "postgres")
        with pytest.raises(ConnectionFailed, match=r"no server answers: .*:5432 \(connection refused\)") as refused:
            connection(container=name, login_port=5432)
        assert "login_port" in refused.value.remedy
    finally:
        for name in names.values():
            engine.remove(name)


def test_a_server_that_trusts_needs_no_password(engine: Engine, image: str) -> None:
    ours = start(engine, image, "trusting", POSTGRES_PASSWORD="", POSTGRES_HOST_AUTH_METHOD="trust")
    try:
        assert who(container=ours)[0] == "postgres"
        assert connection(container=ours).password == ""
    finally:
        engine.remove(ours)


def test_the_network_of_the_host_and_of_another_container(engine: Engine, image: str) -> None:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = str(probe.getsockname()[1])
    ours = start(engine, image, "on-host", "--network", "host", PGPORT=port)
    try:
        found = connection(container=ours)
        assert (found.host, found.port) == ("127.0.0.1", int(port))
        assert who(container=ours)[0] == "postgres"
    finally:
        engine.remove(ours)
    owner = engine.run(image, "sleep", "600", name="owner")
    guest = start(engine, image, "guest", "--network", f"container:{owner}", POSTGRES_USER="guest")
    try:
        assert who(container=guest) == ("guest", "guest", "guest"), "the database is called like the user"
    finally:
        engine.remove(guest)
        engine.remove(owner)


def test_a_network_of_ones_own_with_ipv6(engine: Engine, image: str) -> None:
    subnet = f"fd{secrets.token_hex(1)}:{secrets.token_hex(2)}:{secrets.token_hex(2)}::/64"
    with engine.network("six", "--ipv6", "--subnet", subnet) as network:
        ours = start(engine, image, "six-db", "--network", network)
        try:
            address = engine.inspect(ours)["NetworkSettings"]["Networks"][network]["GlobalIPv6Address"]
            wait_for(address)
            assert who(login_host=address, login_password=CANARY)[0] == "postgres"
            assert connection(login_host=address).label == f"[{address}]:5432"
            engine.docker("exec", ours, "bash", "-c", "echo \"listen_addresses = '::'\" >> $PGDATA/postgresql.conf")
            engine.docker("restart", "-t", "5", ours)
            address = engine.inspect(ours)["NetworkSettings"]["Networks"][network]["GlobalIPv6Address"]
            wait_for(address)
            assert connection(container=ours).host == address, "IPv4 refuses"
            assert who(container=ours)[0] == "postgres"
        finally:
            engine.remove(ours)


def wait_for(address: str, seconds: float = 30) -> None:
    """The kernel keeps a new IPv6 address back until it knows that nobody else has it."""
    give_up = time.monotonic() + seconds
    while True:
        try:
            socket.create_connection((address, 5432), 1).close()
            return
        except OSError:
            assert time.monotonic() < give_up, f"{address} never answered"
            time.sleep(0.05)


def test_of_a_daemon_elsewhere_only_published_ports_count(engine: Engine, image: str) -> None:
    """127.0.0.2 stands for another machine: it is not one of the names of this one."""
    ours = start(engine, image, "published", "--publish", "127.0.0.2::5432")
    hidden = engine.run(image, "sleep", "600", name="hidden", options=["--publish", "127.0.0.1::5432"])
    try:
        port = int(engine.inspect(ours)["NetworkSettings"]["Ports"]["5432/tcp"][0]["HostPort"])
        assert connection(container=ours).port == 5432, "the way that needs no publishing comes first"
        with Relay(engine.url.removeprefix("unix://")) as relay:
            elsewhere = f"tcp://127.0.0.2:{relay.port}"
            found = connection(container=ours, docker_host=elsewhere)
            assert (found.host, found.port) == ("127.0.0.2", port)
            assert who(container=ours, docker_host=elsewhere)[0] == "postgres"
            with pytest.raises(ConnectionFailed, match="publishes no port 5432"):
                connection(container=hidden, docker_host=elsewhere)
    finally:
        engine.remove(ours)
        engine.remove(hidden)


class Relay:
    """Forward connections to 127.0.0.2 to a unix socket."""

    def __init__(self, path: str) -> None:
        self._path = path
        self._listener = socket.create_server(("127.0.0.2", 0))
        self.port = self._listener.getsockname()[1]
        threading.Thread(target=self._serve, daemon=True).start()

    def _serve(self) -> None:
        while True:
            try:
                client, _address = self._listener.accept()
            except OSError:
                return
            server = socket.socket(socket.AF_UNIX)
            server.connect(self._path)
            for one, other in ((client, server), (server, client)):
                threading.Thread(target=_pump, args=(one, other), daemon=True).start()

    def __enter__(self) -> Relay:
        return self

    def __exit__(self, *_exception: object) -> None:
        self._listener.close()


def _pump(source: socket.socket, sink: socket.socket) -> None:
    try:
        while data := source.recv(65536):
            sink.sendall(data)
        sink.shutdown(socket.SHUT_WR)
    except OSError:
        pass  # one of the two has gone


def test_without_a_network_the_folder_of_the_socket_does(engine: Engine, image: str, tmp_path: Path) -> None:
    folder = Path(tempfile.mkdtemp(prefix="upkeep-", dir="/tmp"))  # the path of a socket is short
    folder.chmod(0o777)
    try:
        variables = ["--env", f"POSTGRES_PASSWORD={CANARY}"]
        mounted = engine.run(
            image, name="offline", options=["--network", "none", "--volume", f"{folder}:/run/postgresql", *variables]
        )
        lonely = engine.run(image, "sleep", "600", name="lonely", options=["--network", "none"])
        # The temporary server of the first start has the socket as well; the last one listens on TCP too.
        engine.wait_until(mounted, "pg_isready", "--quiet", "--host", "127.0.0.1")
        assert connection(container=mounted).host == str(folder)
        assert who(container=mounted)[0] == "postgres"
        with pytest.raises(
            ConnectionFailed, match=f"{lonely} cannot be reached from this host: it has no network"
        ) as no:
            connection(container=lonely)
        assert "/var/run/postgresql" in no.value.remedy
    finally:
        for name in ("offline", "lonely"):
            engine.remove(engine.name(name))
        shutil.rmtree(folder)


# --- refused ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("options", "text"),
    [
        ({"container": "db", "compose_project": "shop", "compose_service": "db"}, "both say where the server lives"),
        ({"compose_project": "shop"}, "belong together"),
        ({"compose_service": "db"}, "belong together"),
        ({"container": "db", "login_host": "db1"}, "login_host is given together with a container"),
        ({"container": "db", "login_unix_socket": "/run"}, "login_unix_socket is given together"),
        ({"container": "db", "connect_params": {"service": "x"}}, "connect_params service is given together"),
        ({"container": "no-such", "docker_host": "ssh://db1"}, "asked through ssh"),
    ],
)
def test_what_contradicts_itself(options: dict[str, Any], text: str) -> None:
    with pytest.raises(InvalidInput, match=text) as refused:
        connection(**options)
    assert refused.value.remedy


def test_names_that_nobody_has(engine: Engine, project: Project) -> None:
    for options, text in (
        ({"container": "no such/thing"}, "There is no container no such/thing"),
        ({"container": "../../version"}, "There is no container"),
        ({"compose_project": "shap", "compose_service": "db"}, f"no project shap .*{project.name}"),
        ({"compose_project": project.name, "compose_service": "dbb"}, "no service dbb .*there are db, idle"),
        ({"compose_project": project.name.upper(), "compose_service": "db"}, "There is no project"),
    ):
        with pytest.raises(InvalidInput, match=text) as missing:
            connection(**options)
        assert missing.value.remedy


def test_a_service_of_two_containers_is_an_error_that_names_both(project: Project) -> None:
    with pytest.raises(InvalidInput, match="has 2 containers") as several:
        connection(compose_project=project.name, compose_service="idle")
    names = sorted(project.containers("idle"))
    assert several.value.evidence["containers"] == names
    assert all(name in several.value.message for name in names) and "container" in several.value.remedy


def test_a_container_that_does_not_run_is_an_error_with_its_state(engine: Engine, image: str) -> None:
    def said(name: str) -> UpkeepError:
        with pytest.raises(ConnectionFailed) as refused:
            connection(container=name)
        assert name in refused.value.message and refused.value.remedy
        return refused.value

    without_password = engine.run(image, name="no-password")
    created, looping = engine.name("created"), engine.name("looping")
    engine.docker("create", "--name", created, image)
    engine.run(image, "bash", "-c", "exit 3", name="looping", options=["--restart", "always"])
    paused = engine.run(image, "sleep", "600", name="paused")
    engine.docker("pause", paused)
    idle = engine.run(image, "sleep", "600", name="idle")
    try:
        engine.docker("wait", without_password)
        assert re.search(r"does not run \(exited, exit code 1\)", said(without_password).message)
        assert "never started" in said(created).message
        assert "is paused" in said(paused).message and "docker unpause" in said(paused).remedy
        deadline = time.monotonic() + 30
        while engine.inspect(looping)["State"]["Status"] != "restarting":
            assert time.monotonic() < deadline
            time.sleep(0.01)
        # Between two attempts it may be caught running, or just ended.
        assert re.search(r"exit code 3, \d+ restarts|no server answers|exit code 3", said(looping).message)
        assert "no server answers" in said(idle).message
    finally:
        engine.docker("unpause", paused, check=False)
        for name in (without_password, created, looping, paused, idle):
            engine.remove(name)


def test_a_password_file_that_cannot_be_read(engine: Engine, image: str) -> None:
    for path in ("/run/secrets/gone", "/etc", "/run/loop"):
        script = "ln -s loop /run/loop; exec sleep 600"
        idle = engine.run(
            image, "bash", "-c", script, name="unreadable",
            options=["--network", "host", "--env", f"POSTGRES_PASSWORD_FILE={path}"],
        )  # fmt: skip
        try:
            with socket.create_server(("127.0.0.1", 0)) as somebody:
                port = somebody.getsockname()[1]
                with pytest.raises(
                    ConnectionFailed, match=rf"The file /\S+, which .*{idle} names, cannot be read"
                ) as no:
                    connection(container=idle, login_port=port)
                assert "login_password" in no.value.remedy
                assert connection(container=idle, login_port=port, login_password="x").password == "x"
        finally:
            engine.remove(idle)


def test_a_password_that_was_changed_since(engine: Engine, database: str) -> None:
    def change(password: str) -> None:
        sql = f"ALTER ROLE shop PASSWORD '{password}'"
        engine.docker("exec", database, "psql", "-qU", "shop", "orders", "-c", sql)

    change("another")
    try:
        with pytest.raises(ConnectionFailed, match=f"container {database} does not let shop into .*password") as wrong:
            who(container=database)
        assert "first start" in wrong.value.remedy and CANARY not in str(wrong.value.as_failure())
        assert who(container=database, login_password="another")[0] == "shop"
    finally:
        change(CANARY)


# --- the daemon -------------------------------------------------------------------------------------------------------


def test_a_daemon_that_is_not_there(tmp_path: Path) -> None:
    with socket.socket(socket.AF_UNIX) as deaf:
        deaf.bind(str(tmp_path / "deaf.sock"))
        for url, text in (
            ("unix:///nowhere/docker.sock", "no such socket"),
            (f"unix://{tmp_path}/deaf.sock", "connection refused"),
            (str(tmp_path / "deaf.sock"), "connection refused"),
            ("tcp://127.0.0.1:9", "connection refused"),
        ):
            with pytest.raises(ConnectionFailed, match=f"cannot be asked for the container: .*{text}") as gone:
                connection(container="db", docker_host=url)
            assert "docker_host" in gone.value.remedy


def test_an_answer_of_somebody_who_is_no_daemon(tmp_path: Path) -> None:
    with Talker(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nno") as port:
        with pytest.raises(ConnectionFailed, match="cannot be asked for the container") as strange:
            connection(container="db", docker_host=f"tcp://127.0.0.1:{port}")
        assert "docker ps" in strange.value.remedy
    old = json.dumps({"ApiVersion": "1.12", "Version": "1.0"}).encode()
    with Talker(
        b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n" % len(old) + old
    ) as port:
        with pytest.raises(ConnectionFailed, match=r"1\.") as too_old:
            connection(container="db", docker_host=f"tcp://127.0.0.1:{port}")
        assert "Update" in too_old.value.remedy


class Talker:
    """Says the same to whoever connects."""

    def __init__(self, said: bytes) -> None:
        self._said = said
        self._listener = socket.create_server(("127.0.0.1", 0))

    def __enter__(self) -> int:
        threading.Thread(target=self._serve, daemon=True).start()
        port: int = self._listener.getsockname()[1]
        return port

    def _serve(self) -> None:
        while True:
            try:
                client, _address = self._listener.accept()
            except OSError:
                return
            with client:
                client.recv(65536)
                client.sendall(self._said)

    def __exit__(self, *_exception: object) -> None:
        self._listener.close()


# --- through Ansible --------------------------------------------------------------------------------------------------


def vacuumed(folder: Path, **options: Any) -> Answer:
    return run_module(folder, "pg_vacuum", {"state_dir": str(folder / "state"), **options})


def test_the_modules_work_in_a_container(tmp_path: Path, database: str) -> None:
    answer = vacuumed(tmp_path, container=database)
    assert answer.how in ("SUCCESS", "CHANGED"), answer.result
    assert answer.result["databases"][0]["name"] == "orders"
    healthy = run_module(tmp_path, "pg_health_info", {"container": database, "subset": ["connections"]})
    assert healthy.how == "SUCCESS" and f"{database}" in str(healthy.result["findings"] or healthy.result)
    for found in (answer, healthy):
        assert CANARY not in json.dumps(found.result)


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can become somebody who may not ask the daemon")
def test_a_user_who_may_not_ask_is_told_what_to_do(tmp_path: Path, engine: Engine, database: str) -> None:
    options = {"container": database, "docker_host": engine.url, "state_dir": "/tmp"}
    answer = run_module(tmp_path, "pg_vacuum", options, **as_nobody(tmp_path, sys.executable))
    assert answer.how == "FAILED"
    assert "permission denied" in answer.result["msg"] and "become: true" in answer.result["remedy"]


def test_without_the_sdk_the_packages_are_named(tmp_path: Path, database: str) -> None:
    folder = tmp_path / "lacking"
    (folder / "docker").mkdir(parents=True)
    (folder / "docker" / "__init__.py").write_text("raise ImportError('No module named docker')\n")
    answer = run_module(tmp_path, "pg_vacuum", {"container": database}, environment={"PYTHONPATH": str(folder)})
    assert answer.how == "FAILED" and "lacks the Docker SDK" in answer.result["msg"]
    assert set(answer.result["evidence"]["packages"]) == {"apt", "dnf", "pip"}


def test_no_secret_of_a_container_is_left_or_printed(
    tmp_path: Path, engine: Engine, project: Project, database: str
) -> None:
    """The password is in no option, so Ansible cannot mask it: it must not come out at all."""
    fleet = Fleet(tmp_path).local("db1")
    fleet.variables["postgres_clusters"] = [
        {"name": "plain", "container": database},
        {"name": "composed", "compose_project": project.name, "compose_service": "db"},
        {"name": "absent", "container": database, "login_db": "no such database"},
        {"name": "stranger", "container": database, "login_user": "stranger"},
    ]
    ran = fleet.play("weekly", "-vvv", "--diff", upkeep_only="postgres.vacuum")
    task = ran.tasks("db1")["postgres.vacuum"]
    assert task["status"] == "failed" and task["counts"]["ok"] > 0, ran.output[-3000:]
    failed = " ".join(finding["message"] for finding in ran.findings("task.failed"))
    assert "no such database" in failed or "stranger" in failed
    texts = {
        str(path): path.read_text(errors="replace")
        for path in tmp_path.rglob("*")
        if path.is_file() and path.name != "inventory.json"
    }
    assert len(texts) > 2
    for name, text in {**texts, "the output": ran.output}.items():
        assert CANARY not in text, f"the password is in {name}"
