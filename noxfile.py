"""The test sessions. ``make test`` runs them side by side and sums up (tests/gates.py); ``nox -s unit`` runs one.

Each session has a virtual environment of its own, reused until its requirements change, and a folder of its own for
everything that Ansible and other tools would keep in the user's home. Arguments after ``--`` go to the session's tool.
"""

from __future__ import annotations

import ast
import functools
import hashlib
import itertools
import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

import nox

ROOT = Path(__file__).resolve().parent
sys.path.insert(0, str(ROOT / "tests"))

import interpreters  # noqa: E402  (it is beside the tests, not a package)

CACHE = ROOT / ".cache"
COVERAGE = CACHE / "coverage"
MEASURED = ("unit", "contract", "integration")  # the sessions whose coverage counts
# After Ctrl-C, the seconds in which tests may stop their servers; nox would give them half of one.
PATIENCE = {"interrupt_timeout": 60, "terminate_timeout": 20}
LINKED = "playbooks/collections/ansible_collections/cadence/upkeep"  # the checkout under its collection name

nox.needs_version = ">=2025.5.1"
nox.options.default_venv_backend = "venv"
nox.options.reuse_existing_virtualenvs = True
nox.options.error_on_external_run = True

# What a developer's shell sets for other work must not decide the outcome of a test.
for name in [name for name in os.environ if name.startswith(("ANSIBLE_", "MOLECULE_", "PYTEST_", "PYTHONPATH", "COV"))]:
    del os.environ[name]


# --- the sessions -----------------------------------------------------------------------------------------------------


@nox.session
def unit(session: nox.Session) -> None:
    """Pure logic: no network, no server, seconds."""
    run_pytest(session, "tests/unit", "-m", "not soak", *side_by_side())


@nox.session
def contract(session: nox.Session) -> None:
    """Catalogue, roles, argument specs, finding codes and documentation agree."""
    run_pytest(session, "tests/contract", "-m", "not soak", *side_by_side())


@nox.session
def integration(session: nox.Session) -> None:
    """Modules, playbooks and the installed collection against real servers."""
    # Two at a time, a file stays with one worker: the tests wait for servers more than they compute.
    spread = () if session.posargs else ("-n", "2", "--dist", "loadfile")
    run_pytest(
        *(session, "tests/bed", "tests/integration", "-m", "not soak and not target_python"), *spread, "--durations=20"
    )


@nox.session
def soak(session: nox.Session) -> None:
    """The exhaustive and the long tests, and every property on examples that no run before has drawn."""
    run_pytest(session, "tests", "-m", "soak or hypothesis", "--hypothesis-profile=soak")


def matrix(session: nox.Session, core: str) -> None:
    """Unit, contract and a short cadence on one supported ansible-core."""
    install(session, "tests/requirements.txt", f"ansible-core=={core}.*")
    runs = [
        ("tests/unit", "tests/contract", "-m", "not soak", *side_by_side()),
        ("tests/integration", "-m", "matrix and not soak"),
    ]
    outcomes = [pytest_passes(session, *run) for run in runs]  # both, whatever the first says
    if not all(outcomes):
        session.error(f"ansible-core {core} is not served")


for _core, _versions in interpreters.CORES.items():
    _found = interpreters.first(_versions)
    if _found:

        def _row(session: nox.Session, core: str = _core) -> None:
            matrix(session, core)

        _row.__doc__ = matrix.__doc__
        nox.session(_row, name=f"matrix-{_core}-py{_found[0]}", python=_found[1])


_targets = {version: path for version in interpreters.TARGETS if (path := interpreters.find(version))}

if _targets:

    @nox.session
    def targets(session: nox.Session) -> None:
        """Modules run by the oldest and the newest Python that a managed host may have."""
        pythons = [target_environment(session, version, path) for version, path in _targets.items()]
        run_pytest(
            *(session, "tests/integration", "-m", "target_python and not soak"),
            UPKEEP_TARGET_PYTHONS=os.pathsep.join(pythons),
        )


@nox.session
def molecule(session: nox.Session) -> None:
    """Roles and cadences: check on the first run, converge, idempotence, check, verify."""
    if not list(ROOT.glob("molecule/*/molecule.yml")):
        session.error("there is no scenario under molecule/")
    install(session, "tests/requirements-molecule.txt")
    session.run("molecule", "test", *(session.posargs or ["--all"]), env=environment(session), **PATIENCE)


@nox.session
def sanity(session: nox.Session) -> None:
    """`ansible-test sanity` in an installed copy, with nothing ignored."""
    ignored = sorted(ROOT.glob("tests/sanity/ignore*.txt"))
    if ignored:
        session.error(f"{ignored[0].name}: mend what ansible-test reports, do not ignore it")
    install(session, "requirements.txt")
    write_get_pip(session, home_of(session))
    pythons = link_interpreters(emptied(state(session) / "bin"))
    # Outside the checkout: below it, ansible-test asks git for the files, and git ignores the folders of the sessions.
    with tempfile.TemporaryDirectory(prefix="upkeep-sanity-") as folder:
        _, collection = install_collection(session, Path(folder))
        with session.chdir(collection):
            said = recorded(
                session,
                *("ansible-test", "sanity", "--color", "no", *session.posargs),
                PATH=os.pathsep.join([session.bin, str(pythons), interpreters.honest_path()]),
            )
    if "All targets skipped" in said:
        session.error("ansible-test found nothing to examine")


@nox.session
def lint(session: nox.Session) -> None:
    """Style, types, documentation, and what a Galaxy server would say of the artifact."""
    install(session, "tests/requirements-lint.txt")
    artifact, collection = install_collection(session, emptied(state(session) / "installed"))
    plugins = f"{LINKED}/plugins"
    checks = [
        ("ruff", "check", "."),
        ("ruff", "format", "--check", "."),
        # mypy no longer knows Python 3.9; ansible-test compiles and imports this code on 3.9, and ruff knows its syntax
        ("mypy", "--python-version", "3.10", f"{plugins}/module_utils"),
        ("mypy", "--python-version", "3.11", "--follow-imports", "silent", f"{plugins}/plugin_utils"),
        ("antsibull-changelog", "lint"),
        ("ansible-lint", "--nocolor"),
        (
            "antsibull-docs",
            "lint-collection-docs",
            "--plugin-docs",
            "--validate-collection-refs",
            "all",
            str(collection),
        ),
    ]
    # ansible-lint finds the collection's own modules through the committed link.
    linked = str(ROOT / "playbooks" / "collections")
    failed = [check[0] for check in checks if not passes(session, *check, ANSIBLE_COLLECTIONS_PATH=linked)]
    if not galaxy_accepts(session, artifact):
        failed.append("galaxy-importer")
    if failed:
        session.error(f"failed: {', '.join(failed)}")


@nox.session
def coverage(session: nox.Session) -> None:
    """At least 90 % of module_utils and plugin_utils, branches included, over what the test sessions ran."""
    data = [COVERAGE / f"data.{name}" for name in MEASURED]
    absent = [path.suffix[1:] for path in data if not path.exists()]
    if absent:
        session.error(f"nothing measured by {', '.join(absent)}: make test SESSIONS='{' '.join(MEASURED)} coverage'")
    install(session, "tests/requirements.txt")
    session.run("coverage", "combine", "--keep", *map(str, data))
    session.run("coverage", "html", "--quiet", "--fail-under=0", "--directory", str(COVERAGE / "html"))
    session.run("coverage", "report")


@nox.session(default=False)
def bench(session: nox.Session) -> None:
    """The benchmarks, one after the other, so that they do not disturb each other."""
    install(session, "tests/requirements.txt")
    scripts = session.posargs or sorted(str(path.relative_to(ROOT)) for path in ROOT.glob("benchmarks/[!_]*.py"))
    if not scripts:
        session.error("there is no script under benchmarks/")
    for script in scripts:
        session.run("python", script, env=environment(session), **PATIENCE)


@nox.session(default=False)
def docs(session: nox.Session) -> None:
    """The reference of every plugin and role as HTML, in .cache/docs."""
    install(session, "tests/requirements-docs.txt")
    _, collection = install_collection(session, emptied(state(session) / "installed"))
    place = emptied(state(session) / "site")
    env = environment(session, ANSIBLE_COLLECTIONS_PATH=str(collection.parents[2]))
    session.run(
        *(
            "antsibull-docs",
            "sphinx-init",
            "--use-current",
            "--squash-hierarchy",
            "--dest-dir",
            str(place),
            "cadence.upkeep",
        ),
        env=env,
    )
    session.run(
        *("antsibull-docs", "collection", "--use-current", "--squash-hierarchy", "--fail-on-error"),
        *("--dest-dir", str(place / "rst"), "cadence.upkeep"),
        env=env,
    )
    session.run("sphinx-build", "-q", "-b", "html", "-c", str(place), str(place / "rst"), str(CACHE / "docs"), env=env)
    session.log(f"open {CACHE / 'docs' / 'index.html'}")


# --- how they do it ---------------------------------------------------------------------------------------------------


def state(session: nox.Session) -> Path:
    """Return the session's own folder, made if need be, for what its tools keep between runs."""
    folder = CACHE / "state" / session.name
    folder.mkdir(parents=True, exist_ok=True)
    return folder


def emptied(folder: Path) -> Path:
    """Return *folder*, made anew."""
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    return folder


def environment(session: nox.Session, **more: str) -> dict[str, str]:
    """Return the variables that keep every tool out of the user's home and of the machine's settings."""
    folder = state(session)
    home = home_of(session)
    settings = folder / "ansible.cfg"
    settings.touch()
    return {
        "HOME": str(home),
        "XDG_CACHE_HOME": str(home / ".cache"),
        "XDG_CONFIG_HOME": str(home / ".config"),
        "XDG_DATA_HOME": str(home / ".local" / "share"),
        # Where git trusts this checkout, it must go on to: ansible-lint asks it for the files.
        "GIT_CONFIG_GLOBAL": os.environ.get("GIT_CONFIG_GLOBAL", os.path.expanduser("~/.gitconfig")),
        "PATH": os.pathsep.join([session.bin, interpreters.honest_path()]),
        "ANSIBLE_CONFIG": str(settings),
        "ANSIBLE_COLLECTIONS_PATH": str(home / ".ansible" / "collections"),
        # A local connection takes the home of the account for these two, whatever HOME says.
        "ANSIBLE_REMOTE_TEMP": str(folder / "remote"),
        "ANSIBLE_ASYNC_DIR": str(folder / "async"),
        "ANSIBLE_NOCOLOR": "1",
        "HYPOTHESIS_STORAGE_DIRECTORY": str(folder / "hypothesis"),
        "PYTHONUNBUFFERED": "1",
        **more,
    }


@functools.cache
def home_of(session: nox.Session) -> Path:
    """Return the home that the session's tools see, with the pip settings in force here.

    They are written down because ansible-test passes neither PIP_* nor XDG_* on to pip, nor the user's own home.
    """
    home = state(session) / "home"
    folder = home / ".config" / "pip"
    folder.mkdir(parents=True, exist_ok=True)
    values = {"quiet": "1"}
    for line in str(session.run("python", "-m", "pip", "config", "list", silent=True)).splitlines():
        key, _, value = line.partition("=")
        if value:
            values[key.rsplit(".", 1)[-1]] = str(ast.literal_eval(value))
    values["cache-dir"] = str(session.run("python", "-m", "pip", "cache", "dir", silent=True)).strip()
    lines = [f"{key} = {value}".replace("\n", "\n    ") for key, value in values.items()]
    (folder / "pip.conf").write_text("\n".join(["[global]", *lines, ""]), encoding="utf-8")
    return home


def install(session: nox.Session, requirements: str, *more: str) -> None:
    """Install the *requirements* file unless the environment has just that already."""
    text = [
        (ROOT / requirements).read_text(encoding="utf-8"),
        (ROOT / "requirements.txt").read_text(encoding="utf-8"),
        *more,
    ]
    wanted = hashlib.sha256("\0".join(text).encode()).hexdigest()
    stamp = Path(session.virtualenv.location) / ".installed"
    if stamp.exists() and stamp.read_text(encoding="utf-8") == wanted:
        return
    session.install("--disable-pip-version-check", "-q", "-r", requirements, *more)
    stamp.write_text(wanted, encoding="utf-8")


def run_pytest(session: nox.Session, *arguments: str, **variables: str) -> None:
    """Run pytest; as a part of `make test` with coverage, for the session `coverage` to add up."""
    install(session, "tests/requirements.txt")
    measure: tuple[str, ...] = ()
    if session.name in MEASURED and os.environ.get("UPKEEP_MEASURE"):
        COVERAGE.mkdir(parents=True, exist_ok=True)
        variables["COVERAGE_FILE"] = str(COVERAGE / f"data.{session.name}")
        measure = ("--cov", "--cov-report=", "--cov-fail-under=0")
    if not pytest_passes(session, *arguments, *measure, **variables):
        session.error("a test failed, also by itself")


def pytest_passes(session: nox.Session, *arguments: str, **variables: str) -> bool:
    """Run pytest and say whether it was content.

    A test that fails while others use the machine runs once more by itself. One that fails again fails the session;
    one that does not is named as unsteady at the end of `make test`: it depends on something that it does not wait for.
    """
    command = ("python", "-m", "pytest", *arguments, "-o", f"cache_dir={state(session)}/pytest", *session.posargs)
    try:
        session.run(*command, env=environment(session, **variables), **PATIENCE)
    except nox.command.CommandFailed as error:
        if error.reason != "Returned code 1":  # not failed tests: interrupted, or not even begun
            return False
    else:
        return True
    again = ("--last-failed", "--last-failed-no-failures=none", "--maxfail=1", "-n", "0")
    return passes(session, *command, *again, *(["--cov-append"] if "--cov" in arguments else []), **variables)


def side_by_side() -> tuple[str, ...]:
    """Return the arguments that spread tests without servers over the processors."""
    return ("-n", str(min(4, interpreters.cores())))


def passes(session: nox.Session, *command: str, **variables: str) -> bool:
    """Run *command* and say whether it was content, so that one linter's complaint does not hide another's."""
    try:
        session.run(*command, env=environment(session, **variables), **PATIENCE)
    except nox.command.CommandFailed:
        return False
    return True


def recorded(session: nox.Session, *command: str, **variables: str) -> str:
    """Run *command*, show what it says, and return that too; fail as it fails."""
    log = state(session) / f"{Path(command[0]).name}.log"
    with log.open("w", encoding="utf-8") as out:
        try:
            session.run(*command, env=environment(session, **variables), stdout=out, stderr=subprocess.STDOUT)
        finally:
            said = log.read_text(encoding="utf-8")
            print(said, flush=True)
    return said


def install_collection(session: nox.Session, folder: Path) -> tuple[Path, Path]:
    """Build the artifact and install it in *folder* as a user would; return the artifact and the installed copy."""
    env = environment(session)
    session.run("ansible-galaxy", "collection", "build", str(ROOT), "--output-path", str(folder), env=env, silent=True)
    (artifact,) = folder.glob("cadence-upkeep-*.tar.gz")
    session.run(
        "ansible-galaxy", "collection", "install", str(artifact), "-p", str(folder), "--offline", env=env, silent=True
    )
    return artifact, folder / "ansible_collections" / "cadence" / "upkeep"


def galaxy_accepts(session: nox.Session, artifact: Path) -> bool:
    """Run galaxy-importer on the artifact; what it merely warns about counts as refused."""
    folder = state(session)
    settings = folder / "galaxy-importer.cfg"
    settings.write_text(
        "[galaxy-importer]\ncheck_required_tags = true\nrun_ansible_lint = false\nrun_flake8 = false\n"
        f"ansible_local_tmp = {folder}/tmp\ntmp_root_dir = {folder}\n",
        encoding="utf-8",
    )
    command = ("python", "-m", "galaxy_importer.main", str(artifact))
    try:
        with session.chdir(folder):  # it leaves its result where it is called
            said = recorded(session, *command, GALAXY_IMPORTER_CONFIG=str(settings))
    except nox.command.CommandFailed:
        return False
    return not any(line.startswith(("WARNING", "ERROR", "CRITICAL")) for line in said.splitlines())


def target_environment(session: nox.Session, version: str, python: str) -> str:
    """Return a Python *version* that has the libraries which a managed host needs."""
    folder = CACHE / "targets" / version
    requirements = ROOT / "tests" / "requirements-target.txt"
    stamp = folder / ".installed"
    wanted = f"{python}\n{requirements.read_text(encoding='utf-8')}"
    if not stamp.exists() or stamp.read_text(encoding="utf-8") != wanted:
        session.run(python, "-m", "venv", "--clear", str(folder), external=True)
        session.run(
            *(
                str(folder / "bin" / "python"),
                "-m",
                "pip",
                "install",
                "--disable-pip-version-check",
                "-q",
                "-r",
                str(requirements),
            ),
            external=True,
        )
        stamp.write_text(wanted, encoding="utf-8")
    return str(folder / "bin" / "python")


def link_interpreters(folder: Path) -> Path:
    """Fill *folder* with links to the interpreters that really run: ansible-test takes them from PATH alone."""
    for version in sorted({*interpreters.TARGETS, *itertools.chain(*interpreters.CORES.values())}):
        path = interpreters.find(version)
        if path:
            (folder / f"python{version}").symlink_to(path)
    return folder


def write_get_pip(session: nox.Session, home: Path) -> None:
    """Give ansible-test a get-pip of our own, in the place where it keeps the one that it downloads.

    It wants a get-pip.py of one exact version from a server of its own, which a machine that reaches only a package
    index cannot get. This one does the same with what Python brings: ensurepip, then pip itself.
    """
    wanted = session.run("python", "-c", PIP_VERSIONS, silent=True)
    folder = home / ".ansible" / "test" / "cache"
    folder.mkdir(parents=True, exist_ok=True)
    for version in str(wanted).split():
        (folder / f"get_pip_{version.replace('.', '_')}.py").write_text(GET_PIP, encoding="utf-8")


PIP_VERSIONS = """
import sys
from types import SimpleNamespace
from ansible_test._internal.python_requirements import get_venv_packages
versions = {"%d.%d" % sys.version_info[:2], *%r}
print(*{get_venv_packages(SimpleNamespace(version=version))["pip"] for version in versions})
""".replace("%r", repr(interpreters.TARGETS))

GET_PIP = '''\
"""Stands in for get-pip.py: installs pip from Python itself, then the packages asked for, through pip."""
import runpy
import subprocess
import sys

arguments = [argument for argument in sys.argv[1:] if argument not in ("--no-setuptools", "--no-wheel")]
subprocess.check_call([sys.executable, "-m", "ensurepip", "--default-pip"], stdout=subprocess.DEVNULL)
sys.argv = ["pip", "install"] + arguments
runpy.run_module("pip", run_name="__main__", alter_sys=True)
'''
