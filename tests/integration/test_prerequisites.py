"""`prerequisites_info`, `prerequisites_virtualenv` and `bootstrap.yml` on this machine, with real environments.

The packages of the system are really installed only by the soak test, into a throw-away layer over the machine's disk.
"""

from __future__ import annotations

import json
import os
import stat
import subprocess
import sys
import zipfile
from pathlib import Path
from typing import Any

import pytest

from tests.integration.module import CHECKOUT, SYSTEM_PYTHON, Answer, as_nobody, run_module
from tests.integration.playbook import Fleet, Ran

TARGETS = [python for python in os.environ.get("UPKEEP_TARGET_PYTHONS", "").split(os.pathsep) if python]
IS_DEBIAN = os.path.exists("/usr/bin/apt-get") and os.access(SYSTEM_PYTHON, os.X_OK)

needs_root = pytest.mark.skipif(
    os.geteuid() != 0 or sys.platform != "linux", reason="only root of a Linux can mount and change accounts"
)
needs_debian = pytest.mark.skipif(not IS_DEBIAN, reason="this is no Debian with a Python of its own")


@pytest.fixture
def wheels(tmp_path: Path) -> dict[str, str]:
    """The settings with which pip knows two tiny wheels and nothing else."""
    folder = tmp_path / "wheels"
    folder.mkdir()
    for version in ("1.0", "2.0"):
        write_wheel(folder, "pebble", version)
    return {"PIP_NO_INDEX": "1", "PIP_FIND_LINKS": str(folder), "PIP_CONFIG_FILE": os.devnull}


def write_wheel(folder: Path, project: str, version: str) -> None:
    about = f"{project}-{version}.dist-info"
    files = {
        f"{project}.py": f"__version__ = {version!r}\n",
        f"{about}/METADATA": f"Metadata-Version: 2.1\nName: {project}\nVersion: {version}\n",
        f"{about}/WHEEL": "Wheel-Version: 1.0\nGenerator: tests\nRoot-Is-Purelib: true\nTag: py3-none-any\n",
    }
    record = f"{about}/RECORD"
    files[record] = "".join(f"{name},,\n" for name in [*files, record])
    with zipfile.ZipFile(folder / f"{project}-{version}-py3-none-any.whl", "w") as wheel:
        for name, text in files.items():
            wheel.writestr(name, text)


def provide(folder: Path, venv: Path, *requirements: str, **more: Any) -> Answer:
    params = {"path": str(venv), "requirements": list(requirements)}
    return run_module(folder, "prerequisites_virtualenv", params, **more)


def steps(answer: Answer) -> list[tuple[str, str]]:
    return [(action["id"], action["status"]) for action in answer.result["actions"]]


# --- the modules ------------------------------------------------------------------------------------------------------


@pytest.mark.matrix
def test_what_this_python_has(tmp_path: Path) -> None:
    answer = run_module(tmp_path, "prerequisites_info", {"libraries": ["cryptography", "psycopg2", "docker"]})
    assert answer.how == "SUCCESS"
    for library in answer.result["libraries"]:
        imports = subprocess.run([sys.executable, "-c", f"import {library['name']}"], capture_output=True, check=False)
        assert library["importable"] == (imports.returncode == 0)


@needs_root
@needs_debian
def test_nobody_may_look(tmp_path: Path) -> None:
    answer = run_module(tmp_path, "prerequisites_info", {"libraries": ["docker"]}, **as_nobody(tmp_path))
    assert answer.result["interpreter"]["own"] is True
    assert answer.result["package_manager"] == "apt"
    assert answer.result["interpreter"]["externally_managed"] == any(
        path.is_file() for path in Path("/usr/lib").glob("python3.*/EXTERNALLY-MANAGED")
    )


def test_an_environment_from_nothing_then_an_update_then_nothing_to_do(tmp_path: Path, wheels: dict[str, str]) -> None:
    venv = tmp_path / "deep" / "venv"
    planned = provide(tmp_path, venv, "pebble==1.0", check_mode=True, environment=wheels)
    assert (planned.how, steps(planned)) == ("CHANGED", [("make", "planned"), ("install", "planned")])
    assert planned.found()["pebble==1.0"] == ("prerequisites.library_missing", "warning")
    assert not venv.parent.exists()

    before = os.umask(0o077)
    try:
        made = provide(tmp_path, venv, "pebble==1.0", environment=wheels)
    finally:
        os.umask(before)
    assert (made.how, steps(made)) == ("CHANGED", [("make", "done"), ("install", "done")])
    # The umask of who makes it must not lock out who uses it.
    assert stat.S_IMODE(venv.parent.stat().st_mode) == 0o755
    assert (venv / "pyvenv.cfg").stat().st_mode & stat.S_IROTH

    assert steps(provide(tmp_path, venv, "pebble==2.0", environment=wheels)) == [("install", "done")]
    again = provide(tmp_path, venv, "pebble==2.0", environment=wheels)
    assert (again.how, steps(again), again.worst) == ("SUCCESS", [], "ok")

    # An upgrade of the system takes its Python away.
    python = venv / "bin" / "python"
    python.unlink()
    python.symlink_to("/nowhere/python3")
    looked = run_module(tmp_path, "prerequisites_info", {"libraries": ["docker"], "virtualenv": str(venv)})
    assert looked.result["virtualenv"]["state"] == "broken"
    assert looked.found()[str(venv)] == ("prerequisites.virtualenv_unusable", "warning")
    remade = provide(tmp_path, venv, "pebble==2.0", environment=wheels)
    assert steps(remade) == [("remake", "done"), ("install", "done")]


def test_what_pip_cannot_find_fails_and_says_what_was_done(tmp_path: Path, wheels: dict[str, str]) -> None:
    answer = provide(tmp_path, tmp_path / "venv", "pebble==9.9", environment=wheels)
    assert (answer.how, steps(answer)) == ("FAILED", [("make", "done"), ("install", "failed")])
    assert "No matching distribution found for pebble==9.9" in answer.result["msg"]
    assert answer.result["changed"] is True  # the environment was made
    assert "pebble==9.9" in answer.found()


def test_pip_that_ends_well_and_has_done_nothing_is_found_out(tmp_path: Path, wheels: dict[str, str]) -> None:
    elsewhere = {**wheels, "PIP_TARGET": str(tmp_path / "elsewhere")}
    answer = provide(tmp_path, tmp_path / "venv", "pebble==1.0", environment=elsewhere)
    assert answer.how == "FAILED"
    assert "pip ended well, but pebble==1.0 is not in" in answer.result["msg"]


def test_a_folder_with_data_is_never_touched(tmp_path: Path) -> None:
    folder = tmp_path / "data"
    folder.mkdir()
    (folder / "precious").touch()
    answer = provide(tmp_path, folder, "pebble==1.0")
    assert answer.how == "FAILED"
    assert "is not a virtual environment, and not an empty folder" in answer.result["msg"]
    assert os.listdir(folder) == ["precious"]


@pytest.mark.target_python
@pytest.mark.parametrize("python", TARGETS)
def test_every_python_of_a_managed_host(tmp_path: Path, wheels: dict[str, str], python: str) -> None:
    looked = run_module(tmp_path, "prerequisites_info", {"libraries": ["cryptography"]}, interpreter=python)
    assert looked.result["interpreter"]["path"] == python
    made = provide(tmp_path, tmp_path / "venv", "pebble==1.0", interpreter=python, environment=wheels)
    assert steps(made) == [("make", "done"), ("install", "done")]


# --- the playbook -----------------------------------------------------------------------------------------------------

DATABASE = {"postgres_clusters": [{"name": "main"}], "certificates_inventory": {"files": ["/etc/ssl/shop.pem"]}}


def bootstrap(folder: Path, *arguments: str, **variables: Any) -> Ran:
    return Fleet(folder).local("db1", **variables).play("bootstrap", *arguments)


def changed(ran: Ran) -> int:
    (line,) = (line for line in ran.output.splitlines() if line.startswith("db1 ") and "changed=" in line)
    return int(line.split("changed=")[1].split()[0])


@pytest.fixture
def bare(tmp_path: Path) -> str:
    """A Python that has nothing: not even pip."""
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", str(tmp_path / "bare")], check=True)
    return str(tmp_path / "bare" / "bin" / "python")


def test_a_host_that_needs_nothing_is_left_alone(tmp_path: Path, bare: str) -> None:
    ran = bootstrap(tmp_path, ansible_python_interpreter=bare)
    assert (ran.code, changed(ran)) == (0, 0)


def test_check_mode_says_what_is_missing_and_changes_nothing(tmp_path: Path, bare: str) -> None:
    venv = tmp_path / "venv"
    ran = bootstrap(
        tmp_path, "--check", "--diff", ansible_python_interpreter=bare, upkeep_virtualenv=str(venv), **DATABASE
    )
    assert (ran.code, changed(ran)) == (0, 1)
    assert f"Missing for {venv}/bin/python: cryptography, psycopg2. By hand: {bare} -m venv {venv}" in ran.output
    assert "Install cryptography==" in ran.output and "psycopg2-binary==" in ran.output
    assert not venv.exists()


def test_a_library_that_no_package_brings_to_this_python_is_not_called_installed(tmp_path: Path, bare: str) -> None:
    ran = bootstrap(tmp_path, ansible_python_interpreter=bare, **DATABASE)
    assert ran.code != 0
    assert changed(ran) == 0
    missing = f"cryptography, psycopg2 cannot be imported by {bare}"
    assert f"{missing}, which no package of the system reaches: run `{bare} -m pip install" in ran.output
    assert "Traceback" not in ran.output


def test_into_an_environment_that_the_tasks_then_use(tmp_path: Path, bare: str) -> None:
    """The real libraries in their pinned versions, from the index that pip is set to."""
    venv = tmp_path / "upkeep" / "venv"
    variables = {"ansible_python_interpreter": bare, "upkeep_virtualenv": str(venv), **DATABASE}
    first = bootstrap(tmp_path, **variables)
    assert (first.code, changed(first)) == (0, 1), first.output
    second = bootstrap(tmp_path, **variables)
    assert (second.code, changed(second)) == (0, 0), second.output
    looked = run_module(
        tmp_path, "prerequisites_info", {"libraries": ["psycopg2", "cryptography"]}, interpreter=f"{venv}/bin/python"
    )
    assert looked.result["missing"] == []
    assert {library["version"] for library in looked.result["libraries"]} == {"2.9.12", "50.0.2"}


@needs_root
@needs_debian
def test_packages_that_may_not_be_installed_are_one_sentence(tmp_path: Path) -> None:
    looked = run_module(tmp_path, "prerequisites_info", {"libraries": ["docker"]}, interpreter=SYSTEM_PYTHON)
    if not looked.result["missing"]:
        pytest.skip("python3-docker is installed here, so there is nothing to refuse")
    nobody = as_nobody(tmp_path)
    ran = bootstrap(
        tmp_path,
        ansible_python_interpreter=nobody["interpreter"],
        ansible_pipelining=True,
        prerequisites_libraries=["docker"],
        prerequisites_become=False,
    )
    assert ran.code != 0
    assert "apt could not install python3-docker:" in ran.output
    assert "Run `apt-get install python3-docker` on the host, or set upkeep_virtualenv." in ran.output


@pytest.mark.soak
@needs_root
@needs_debian
def test_packages_of_the_system_on_a_machine_that_was_just_made(tmp_path: Path) -> None:
    """With real apt, in a layer over the disk that is gone when the test ends."""
    inventory = Fleet(tmp_path).local("db1", ansible_python_interpreter=SYSTEM_PYTHON, **DATABASE).write_inventory()
    playbook = [
        os.path.join(os.path.dirname(sys.executable), "ansible-playbook"),
        *("-i", str(inventory), str(CHECKOUT / "playbooks" / "bootstrap.yml")),
    ]
    look = [SYSTEM_PYTHON, "-c", "import cryptography, psycopg2"]
    script = json.dumps([["dpkg", "--remove", "python3-psycopg2"], [*playbook, "--check"], playbook, playbook, look])
    ended = subprocess.run(
        [sys.executable, str(Path(__file__).with_name("layer.py")), script],
        capture_output=True, text=True, cwd=tmp_path, check=False,
    )  # fmt: skip
    assert ended.returncode == 0, ended.stdout + ended.stderr
    recaps = [line for line in ended.stdout.splitlines() if line.startswith("db1 ") and "changed=" in line]
    assert ["changed=1" in line for line in recaps] == [True, True, False]
    assert "By hand: apt-get install python3-psycopg2" in ended.stdout
