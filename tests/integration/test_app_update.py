"""`app_update`: an application from git, updated and taken back by the playbooks, with containers and a database."""

from __future__ import annotations

import json
import shutil
import tempfile
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from tests.bed.docker_engine import Engine, Project
from tests.bed.postgres import find_or_bring
from tests.bed.processes import descendants
from tests.integration.composing import IDLE, SHELL, as_environment, docker_program, shell_image, until
from tests.integration.migrating import PYTHON, Migrations, execute, python_image
from tests.integration.playbook import Fleet, Ran
from tests.integration.test_app_release import Origin

DOCKERFILE = f"FROM {SHELL}\nCOPY version /version\n"
BROKEN = "bash -c 'exit 7'"


class App:
    """The application: its repository, its clone on the host, and the inventory that says so."""

    def __init__(self, engine: Engine, folder: Path, name: str) -> None:
        self.engine = engine
        self.origin = Origin(folder / "origin", folder / "clone", folder / "state")
        self.origin.folder.mkdir()
        self.origin.git("init", "--quiet", "--initial-branch=main")
        self.name = engine.name(name)
        self.image = f"upkeep-{name}:latest"
        self.fleet = Fleet(folder)
        self.fleet.environment = {**as_environment(engine)}
        common = {"project_src": str(self.origin.clone), "project_name": self.name, "cli": docker_program(engine)}
        self.fleet.local(
            "one",
            app_update_release={"name": name, "path": str(self.origin.clone), "project_name": self.name},
            app_update_roll={**common, "health_timeout": "60s", "monitor": "1s"},
        )
        self.project = Project(engine, self.origin.clone, self.name)

    def version(self, tag: str, command: str = "", **more: str) -> str:
        service: dict[str, Any] = {"image": self.image, "build": ".", "stop_grace_period": "1s"}
        if command:
            service["command"] = ["bash", "-c", "exit 7"] if command == BROKEN else ["bash", "-c", command]
        model = {"services": {"web": service}}
        files = {"compose.yaml": json.dumps(model), "Dockerfile": DOCKERFILE, "version": tag, **more}
        return self.origin.commit(f"feat: {tag}", tag=tag, **files)

    def clone(self) -> None:
        self.origin.git("clone", "--quiet", str(self.origin.folder), str(self.origin.clone), where=self.fleet.folder)

    def play(self, playbook: str, *arguments: str, **extra: Any) -> Ran:
        return self.fleet.play(playbook, *arguments, **extra)

    def serves(self) -> list[str]:
        """The version in each container that runs."""
        names = self.project.containers("web")
        # One that ends meanwhile serves nothing.
        said = [self.engine.docker("exec", name, "cat", "/version", check=False) for name in names]
        return [answer.stdout for answer in said if answer.returncode == 0]


@pytest.fixture
def app(docker_engine: Engine, tmp_path: Path) -> Iterator[App]:
    shell_image(docker_engine)
    made = App(docker_engine, tmp_path, "updated")
    made.version("v1.0.0")
    made.clone()
    yield made
    made.project.down()
    for one in set(docker_engine.docker("image", "ls", "-q", "upkeep-updated").stdout.split()):
        docker_engine.docker("image", "rm", "--force", one, check=False)


@pytest.mark.parametrize("playbook", ["update", "rollback"])
def test_a_run_that_meets_no_application_is_refused(tmp_path: Path, playbook: str) -> None:
    ran = Fleet(tmp_path).local("web1").local("web2").play(playbook, app_update_version="v1.1.0")
    assert ran.code == 2
    assert "No host of this run has app_update_release" in ran.output


def test_an_application_is_updated_and_taken_back(app: App) -> None:
    app.project.compose("up", "--detach", "--build")
    ran = app.play("update", app_update_version="v1.0.0")
    assert ran.code == 0 and app.serves() == ["v1.0.0"], ran.output
    app.version("v1.1.0")
    ran = app.play("update", app_update_version="v1.1.0")
    assert ran.code == 0 and app.serves() == ["v1.1.0"], ran.output

    # What never comes up changes nothing: neither containers, nor files, nor what the image is called.
    image = app.engine.inspect(app.project.containers("web")[0])["Image"]
    app.version("v1.2.0", command=BROKEN)
    ran = app.play("update", app_update_version="v1.2.0")
    assert ran.code != 0 and "could not be replaced" in ran.output
    assert app.serves() == ["v1.1.0"] and app.origin.head == app.origin.git("rev-parse", "v1.1.0^{commit}")
    assert app.engine.docker("image", "inspect", "--format", "{{.Id}}", app.image).stdout.strip() == image

    ran = app.play("rollback")
    assert ran.code == 0 and app.serves() == ["v1.0.0"], ran.output
    assert app.origin.head == app.origin.git("rev-parse", "v1.0.0^{commit}")


@pytest.mark.soak
def test_to_look_and_to_plan_changes_nothing(app: App) -> None:
    app.project.compose("up", "--detach", "--build")
    app.version("v1.1.0")
    said = app.play("update")
    assert said.code == 0 and app.serves() == ["v1.0.0"]
    app.fleet.hosts["one"]["compose_projects"] = [{"project_src": str(app.origin.clone), "project_name": app.name}]
    looked = app.play("weekly", upkeep_only="app,compose")
    assert looked.code == 0, looked.output
    (news,) = looked.findings("app.update_available")
    assert news["subject"] == "updated" and {"app.news", "compose.health"} <= set(looked.tasks("one"))
    planned = app.play("update", "--check", "--diff", app_update_version="v1.1.0")
    assert planned.code == 0, planned.output
    assert app.serves() == ["v1.0.0"] and app.origin.branch == "main"
    # A way back to what does not come up changes nothing either.
    app.version("v1.2.0", command=BROKEN)
    ran = app.play("rollback", app_update_version="v1.2.0")
    assert ran.code != 0 and "could not be replaced" in ran.output
    assert app.serves() == ["v1.0.0"] and app.origin.branch == "main"


# --- with a database --------------------------------------------------------------------------------------------------

TABLE = execute("CREATE TABLE orders (id bigint PRIMARY KEY)")
WAITS = ["bash", "-c", IDLE.replace("$", "$$")]
PASSWORD = "c4nary-of-the-app"
RESTORE = {"app_update_database": "restore", "app_update_confirm_restore": True}


class DatabaseApp(App):
    """The same with a PostgreSQL beside it, and migrations in its image."""

    def __init__(self, engine: Engine, folder: Path, name: str) -> None:
        super().__init__(engine, folder, name)
        self.postgres = engine.postgres_image()
        self.migrations = Migrations(self.origin.folder)
        # As root, the programs of the server run as another account, which may not enter the folder of the test.
        self.safety = Path(tempfile.mkdtemp(prefix="upkeep-safety-"))
        self.safety.chmod(0o755)
        options = self.fleet.hosts["one"]["app_update_roll"]
        self.fleet.hosts["one"] |= {
            "app_update_roll": {**options, "services": ["web"]},
            "app_update_migrate": {
                "name": name,
                **{key: options[key] for key in ("project_src", "project_name", "cli")},
                "service": "web",
                "database_service": "db",
            },
            "app_update_backup_required": False,
        }

    def version(self, tag: str, command: str = "", **more: str) -> str:
        web = {
            "image": self.image,
            "build": ".",
            "stop_grace_period": "1s",
            # By a socket: a firewall that drops what is forwarded keeps containers from each other's addresses.
            "environment": {"DATABASE_URL": f"postgresql+psycopg://shop:{PASSWORD}@/shop?host=/run/postgresql"},
            "volumes": ["sockets:/run/postgresql"],
            "command": ["bash", "-c", "exit 7"] if command == BROKEN else WAITS,
        }
        db = {
            "image": self.postgres,
            "environment": {"POSTGRES_USER": "shop", "POSTGRES_DB": "shop", "POSTGRES_PASSWORD": PASSWORD},
            "healthcheck": {"test": ["CMD", "pg_isready", "-h", "127.0.0.1"], "interval": "500ms", "retries": 60},
            "volumes": ["sockets:/run/postgresql"],
            "ports": ["127.0.0.1::5432"],
        }
        docker_file = f"FROM {PYTHON}\nCOPY . /app\nCOPY version /version\nWORKDIR /app\n"
        model = json.dumps({"services": {"web": web, "db": db}, "volumes": {"sockets": {}}})
        files = {"compose.yaml": model, "Dockerfile": docker_file, "version": tag}
        return self.origin.commit(f"feat: {tag}", tag=tag, **files)

    def ask(self, statement: str, database: str = "shop") -> str:
        (db,) = self.project.containers("db")
        return self.engine.docker("exec", db, "psql", "-U", "shop", "-d", database, "-Atc", statement).stdout.strip()

    def back_up(self, folder: Path, **more: Any) -> None:
        """Have a backup before each update, and a way for it to come back."""
        place = {"compose_project": self.name, "compose_service": "db", "docker_host": self.engine.url}
        host, _colon, port = self.project.compose("port", "db", "5432").stdout.strip().partition(":")
        server = {"login_host": host, "login_port": int(port), "login_user": "shop", "login_password": PASSWORD}
        # The image has the programs of this machine.
        programs = {"bin_dir": str(find_or_bring(None, self.engine.cache).directory)}
        self.fleet.hosts["one"] |= {
            "app_update_backup_required": True,
            "app_update_backup": {
                "series": "shop",
                "databases": ["shop"],
                "directory": str(folder / "backups"),
                **place,
                **more,
            },
            "app_update_restore": {**server, **programs, "safety_directory": str(self.safety)},
        }

    def start(self) -> None:
        """Have what is checked out run, with its database."""
        self.project.compose("up", "--detach", "--build", "--wait")
        self.project.compose("run", "--rm", "--no-deps", "web", "alembic", "upgrade", "head")

    def smoke(self, command: str) -> None:
        """Have a command in a container of the service be the smoke test."""
        test = {"service": "web", "command": ["bash", "-c", command], "attempts": 1}
        self.fleet.hosts["one"]["app_update_roll"] |= {"smoke": [test]}

    @property
    def generation(self) -> dict[str, Any]:
        """What is remembered of the version that runs."""
        record = self.fleet.state / "apps" / "shopupdated" / "releases.json"
        last: dict[str, Any] = json.loads(record.read_text())["generations"][-1]
        return last

    @property
    def revision(self) -> str:
        return self.ask("SELECT string_agg(version_num, ',') FROM alembic_version")


@pytest.fixture
def shop(docker_engine: Engine, tmp_path: Path) -> Iterator[DatabaseApp]:
    python_image(docker_engine)
    made = DatabaseApp(docker_engine, tmp_path, "shopupdated")
    made.migrations.add("0001", None, TABLE, execute("DROP TABLE orders"))
    made.version("v1.0.0")
    made.clone()
    made.project.compose("up", "--detach", "--wait", "db")
    yield made
    made.project.down()
    shutil.rmtree(made.safety)
    for one in set(docker_engine.docker("image", "ls", "-q", "upkeep-shopupdated").stdout.split()):
        docker_engine.docker("image", "rm", "--force", one, check=False)


def test_the_database_is_migrated_before_any_container_and_comes_back_from_its_backup(
    shop: DatabaseApp, tmp_path: Path
) -> None:
    shop.start()
    shop.back_up(tmp_path)
    assert (shop.serves(), shop.revision) == (["v1.0.0"], "0001")
    (before,) = shop.project.containers("web")
    identity = shop.engine.inspect(before)["Id"]

    # A migration that fails: no container is touched, the files are those of before.
    shop.migrations.add("0002", "0001", execute("SELECT 1 / 0"))
    shop.version("v1.1.0")
    ran = shop.play("update", app_update_version="v1.1.0")
    assert ran.code != 0 and "no container was touched" in ran.output and "division by zero" in ran.output
    assert shop.engine.inspect(before)["Id"] == identity and shop.revision == "0001"
    assert shop.origin.head == shop.origin.git("rev-parse", "v1.0.0^{commit}")
    name = shop.engine.docker("image", "inspect", "--format", "{{.Id}}", shop.image).stdout.strip()
    assert name == shop.engine.inspect(before)["Image"]

    # One that works and loses data, with containers that come up, and a smoke test that says no.
    shop.ask("INSERT INTO orders VALUES (1), (2), (3)")
    shop.migrations.add("0002", "0001", execute("DELETE FROM orders", "ALTER TABLE orders ADD COLUMN total bigint"))
    shop.version("v1.2.0")
    shop.smoke("grep -qx v1.0.0 /version")
    ran = shop.play("update", app_update_version="v1.2.0", **RESTORE)
    assert ran.code != 0 and "could not be replaced" in ran.output, ran.output
    assert (shop.serves(), shop.revision) == (["v1.0.0"], "0001")
    assert shop.ask("SELECT count(*) FROM orders") == "3"
    assert shop.origin.head == shop.origin.git("rev-parse", "v1.0.0^{commit}")
    # What the new version has made of it is kept beside it.
    (kept,) = shop.ask("SELECT datname FROM pg_database WHERE datname LIKE 'shop!_before%' ESCAPE '!'").split()
    assert shop.ask("SELECT count(*) FROM orders", kept) == "0"
    assert PASSWORD not in ran.output


@pytest.mark.soak
def test_a_version_is_taken_back_with_the_backup_that_was_made_before_the_next(
    shop: DatabaseApp, tmp_path: Path
) -> None:
    shop.back_up(tmp_path)
    assert shop.play("update", app_update_version="v1.0.0").code == 0
    shop.ask("INSERT INTO orders VALUES (1), (2)")
    shop.migrations.add("0002", "0001", execute("DELETE FROM orders"))
    shop.version("v1.1.0")
    assert shop.play("update", app_update_version="v1.1.0").code == 0
    shop.ask("INSERT INTO orders VALUES (7)")
    refused = shop.play("rollback", app_update_database="restore")
    assert refused.code != 0 and "Nothing was begun" in refused.output
    planned = shop.play("rollback", "--check", **RESTORE)
    assert planned.code == 0 and (shop.serves(), shop.revision) == (["v1.1.0"], "0002"), planned.output
    ran = shop.play("rollback", **RESTORE)
    assert ran.code == 0, ran.output
    assert (shop.serves(), shop.revision, shop.ask("SELECT count(*) FROM orders")) == (["v1.0.0"], "0001", "2")
    assert shop.generation["revision"] == "0001"
    # Before the first version that is remembered no backup was made that goes with it.
    refused = shop.play("rollback", app_update_version="v1.0.0", **RESTORE)
    assert refused.code != 0 and "No backup is remembered" in refused.output
    assert (shop.serves(), shop.revision) == (["v1.0.0"], "0001")


@pytest.mark.soak
def test_the_database_goes_back_with_the_containers_when_asked_to(shop: DatabaseApp) -> None:
    assert shop.play("update", app_update_version="v1.0.0").code == 0
    again = shop.play("update", app_update_version="v1.0.0")
    assert again.code == 0 and "changed=0 " in again.output, again.output
    shop.migrations.add(
        "0002",
        "0001",
        execute("ALTER TABLE orders ADD COLUMN total bigint"),
        execute("ALTER TABLE orders DROP COLUMN total"),
    )
    shop.version("v1.2.0", command=BROKEN)
    ran = shop.play("update", app_update_version="v1.2.0", app_update_database="downgrade")
    assert ran.code != 0 and "could not be replaced" in ran.output
    assert (shop.serves(), shop.revision) == (["v1.0.0"], "0001")


@pytest.mark.soak
def test_a_version_is_taken_back_with_its_database(shop: DatabaseApp) -> None:
    # Neither image nor container is there yet.
    planned = shop.play("update", "--check", "--diff", app_update_version="v1.0.0")
    assert planned.code == 0 and shop.serves() == [], planned.output
    assert shop.play("update", app_update_version="v1.0.0").code == 0
    shop.migrations.add(
        "0002",
        "0001",
        execute("ALTER TABLE orders ADD COLUMN total bigint"),
        execute("ALTER TABLE orders DROP COLUMN total"),
    )
    shop.version("v1.3.0")
    ran = shop.play("update", app_update_version="v1.3.0")
    assert ran.code == 0, ran.output
    assert (shop.serves(), shop.revision) == (["v1.3.0"], "0002")
    ran = shop.play("rollback", app_update_database="downgrade")
    assert ran.code == 0, ran.output
    assert (shop.serves(), shop.revision) == (["v1.0.0"], "0001")


def test_what_cannot_be_meant_is_refused_before_anything_is_begun(app: App) -> None:
    head = app.origin.head
    app.version("v2.0.0")
    migrate = {"name": "updated", "project_src": str(app.origin.clone), "service": "web"}
    for wrong in (
        # A key=value of the command line is text.
        {"app_update_migrate": migrate, "app_update_backup_required": "true"},
        {"app_update_database": "restore", "app_update_confirm_restore": "false", "app_update_backup": {"series": "x"}},
        {"app_update_database": "restore", "app_update_confirm_restore": True},
    ):
        ran = app.play("update", app_update_version="v2.0.0", **wrong)
        assert ran.code != 0 and "Nothing was begun" in ran.output, ran.output
    assert app.origin.head == head and app.project.containers("web") == []


@pytest.mark.soak
def test_an_application_out_of_service_comes_back_in_the_one_version_or_the_other(app: App) -> None:
    app.fleet.hosts["one"]["app_update_downtime"] = ["web"]
    app.project.compose("up", "--detach", "--build")
    app.version("v1.1.0")
    planned = app.play("update", "--check", app_update_version="v1.1.0")
    assert planned.code == 0, planned.output
    assert app.serves() == ["v1.0.0"]
    ran = app.play("update", app_update_version="v1.1.0")
    assert ran.code == 0, ran.output
    assert app.serves() == ["v1.1.0"]
    app.version("v1.2.0", command=BROKEN)
    ran = app.play("update", app_update_version="v1.2.0")
    assert ran.code != 0 and "could not be replaced" in ran.output
    assert app.serves() == ["v1.1.0"]


@pytest.mark.soak
def test_a_backup_that_is_whole_comes_first(shop: DatabaseApp, tmp_path: Path) -> None:
    shop.back_up(tmp_path)
    ran = shop.play("update", app_update_version="v1.0.0")
    assert ran.code == 0, ran.output
    (dump,) = (tmp_path / "backups").glob("**/*.dump")
    assert dump.stat().st_size > 0 and shop.serves() == ["v1.0.0"]

    shop.version("v1.1.0")
    shop.back_up(tmp_path, databases=["no_such_database"])
    ran = shop.play("update", app_update_version="v1.1.0")
    assert ran.code != 0 and "The application was not touched" in ran.output
    assert shop.serves() == ["v1.0.0"] and shop.origin.head == shop.origin.git("rev-parse", "v1.0.0^{commit}")


@pytest.mark.soak
def test_a_migration_that_outlived_its_run_is_waited_for(shop: DatabaseApp) -> None:
    label = "upkeep.migrates=shopupdated"
    left = shop.engine.run(PYTHON, name="left-behind", options=["--label", label])
    try:
        ran = shop.play("update", app_update_version="v1.0.0")
        assert ran.code != 0 and f"still at work in the container {left}" in ran.output, ran.output
        assert shop.ask("SELECT count(*) FROM pg_tables WHERE schemaname = 'public'") in ("0", "1")
    finally:
        shop.engine.remove(left)
    assert shop.play("update", app_update_version="v1.0.0").code == 0 and shop.revision == "0001"


# --- what goes wrong --------------------------------------------------------------------------------------------------


@pytest.mark.soak
def test_what_is_wrong_is_said_and_leaves_all_as_it_was(app: App) -> None:
    app.project.compose("up", "--detach", "--build")
    app.version("v1.1.0")
    app.origin.git("rm", "--quiet", "compose.yaml")
    app.origin.commit("feat: no Compose file", tag="v1.2.0", version="v1.2.0")
    (web,) = app.project.containers("web")
    identity = app.engine.inspect(web)["Id"]
    release, roll = (app.fleet.hosts["one"][f"app_update_{name}"] for name in ("release", "roll"))
    nowhere = {"docker_host": f"unix://{app.fleet.folder}/none.sock"}
    cases: list[tuple[str, dict[str, Any]]] = [
        ("There is no version v9", {"app_update_version": "v9"}),
        ("There is no version 2 ", {"app_update_version": 2}),
        ("There is no version --upload-pack=x", {"app_update_version": "--upload-pack=x"}),
        ("not 0000", {"app_update_commit": "0" * 40}),
        ("The application was not touched: The Docker daemon", {"app_update_release": {**release, **nowhere}}),
        ("Unsupported parameters", {"app_update_roll": {**roll, "projct_src": "x"}}),
        ("not the root of a working tree", {"app_update_release": {**release, "path": "/"}}),
        ("must be one of: none, downgrade, restore", {"app_update_database": "drop"}),
        ("no container of wbe", {"app_update_downtime": "wbe"}),
        ("no configuration file provided", {"app_update_version": "v1.2.0"}),
    ]
    for words, extra in cases:
        ran = app.play("update", **{"app_update_version": "v1.1.0", **extra})
        assert ran.code != 0 and words in ran.output, ran.output
        assert app.engine.inspect(web)["Id"] == identity and app.origin.branch == "main", words
    (app.origin.clone / "Dockerfile").write_text("by hand")
    ran = app.play("update", app_update_version="v1.1.0")
    assert ran.code != 0 and "was changed by hand" in ran.output
    assert (app.origin.clone / "Dockerfile").read_text() == "by hand" and app.serves() == ["v1.0.0"]


@pytest.mark.soak
def test_two_heads_or_a_misspelt_option_end_it_before_the_migration(shop: DatabaseApp) -> None:
    shop.start()
    shop.migrations.add("0002", "0001", execute("ALTER TABLE orders ADD COLUMN total bigint"))
    shop.version("v1.1.0")
    roll = shop.fleet.hosts["one"]["app_update_roll"]
    ran = shop.play("update", app_update_version="v1.1.0", app_update_roll={**roll, "moniter": "1s"})
    assert ran.code != 0 and "no container was touched" in ran.output and "moniter" in ran.output
    assert (shop.serves(), shop.revision, shop.origin.branch) == (["v1.0.0"], "0001", "main")
    shop.migrations.add("0003", "0001", execute("SELECT 1"))
    shop.version("v1.2.0")
    ran = shop.play("update", app_update_version="v1.2.0")
    assert ran.code != 0 and "2 heads: 0002, 0003" in ran.output
    assert (shop.serves(), shop.revision, shop.origin.branch) == (["v1.0.0"], "0001", "main")


class Cut:
    """A playbook that is killed, with all that it has started, as soon as something is so."""

    def __init__(self, app: App, playbook: str, **extra: Any) -> None:
        self._run = app.fleet.start(playbook, **extra)

    def when(self, true: Callable[[], bool]) -> None:
        try:
            until(lambda: true() or self._run.poll() is not None, 120)
        finally:
            # Each of its workers has a session of its own.
            mine = descendants(self._run.pid)
            self._run.kill()
            self._run.wait()
            for process in mine:
                replace(process, signals=("SIGKILL",)).stop()


@pytest.mark.soak
def test_an_update_that_is_killed_is_gone_on_with_or_taken_back(app: App) -> None:
    def image() -> str:
        return app.engine.docker("image", "inspect", "--format", "{{.Id}}", app.image).stdout.strip()

    app.project.compose("up", "--detach", "--build")
    assert app.play("update", app_update_version="v1.0.0").code == 0
    for number, back in ((1, True), (2, False)):
        version = f"v1.{number}.0"
        goal, served, old = app.version(version), app.serves(), image()
        # The files are there, or the image is as well, or the new container, or it is all but remembered.
        for moment in (
            lambda goal=goal: app.origin.head == goal,
            lambda old=old: image() != old,
            lambda: len(app.project.containers("web")) == 2,
            lambda version=version: app.serves() == [version],
        ):
            Cut(app, "update", app_update_version=version).when(moment)
            if back:
                ran = app.play("rollback")
                assert ran.code == 0 and app.serves() == served, ran.output
                assert len(app.project.containers("web")) == 1
        ran = app.play("update", app_update_version=version)
        assert ran.code == 0 and app.serves() == [version], ran.output
        assert len(app.project.containers("web")) == 1
        again = app.play("update", app_update_version=version)
        assert again.code == 0 and "changed=0 " in again.output, again.output
