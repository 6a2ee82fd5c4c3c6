"""Programs out of the distribution's packages, unpacked into a cache: nothing is installed, started or configured."""

from __future__ import annotations

import os
import re
import shutil
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from .errors import BedError
from .ledger import locked
from .processes import run

_APT = ("apt-get", "-y", "-q", "--no-install-recommends", "-o", "DPkg::Lock::Timeout=120")
_KEYRING = "/usr/share/keyrings/debian-archive-keyring.gpg"


def may_unpack() -> bool:
    """Whether packages can be had here: apt wants root even to download."""
    return os.geteuid() == 0 and shutil.which("apt-get") is not None and shutil.which("dpkg-deb") is not None


def codename() -> str:
    """The release of this machine's distribution: `bookworm`."""
    release = Path("/etc/os-release")
    text = release.read_text(encoding="utf-8") if release.exists() else ""
    found = re.search(r"^VERSION_CODENAME=\"?(\w+)", text, re.MULTILINE)
    return found[1] if found else "unknown"


def settings_of(home: Path) -> dict[str, str]:
    """The variables with which the programs unpacked in `home` find each other and their libraries."""
    libraries = [str(folder) for folder in sorted(home.glob("usr/lib/*-linux-*")) if folder.is_dir()]
    return {
        "PATH": os.pathsep.join([f"{home}/usr/sbin", f"{home}/usr/bin", "/usr/sbin", "/usr/bin", "/sbin", "/bin"]),
        "LD_LIBRARY_PATH": os.pathsep.join(libraries),
    }


def unpacked(name: str, packages: Sequence[str], cache: Path, works: Callable[[Path], bool], release: str = "") -> Path:
    """The folder in `cache` with these packages and those that they need and this machine lacks.

    With `release` the packages alone are taken from that other release of Debian. `works` says whether what is there
    can be run, as a library of the machine may have gone since it was unpacked. Raises BedError.
    """
    home = cache / f"{name}-{release or codename()}"
    with locked(cache / ".packages.lock"):
        if works(home):
            return home
        if not may_unpack():
            raise BedError(f"{name} is not here, and only root on Debian or Ubuntu can unpack its packages: install it")
        print(f"unpacking {', '.join(packages)} from the package archive into the cache of the test bed", flush=True)
        partial = home.with_name(f".{home.name}.partial")
        shutil.rmtree(partial, ignore_errors=True)  # of a killed run: we hold the lock
        (partial / "debs" / "partial").mkdir(parents=True)
        if release:
            _apt("download", *packages, options=_other_release(partial, release), cwd=partial / "debs")
        else:
            # An installed package is fetched too (--reinstall), its dependencies are there.
            options = ("-o", f"Dir::Cache::archives={partial}/debs")
            _apt("install", "--download-only", "--reinstall", *packages, options=options)
        _extract(partial / "debs", partial / "tree")
        shutil.rmtree(home, ignore_errors=True)
        os.rename(partial / "tree", home)
        shutil.rmtree(partial)
        if not works(home):
            raise BedError(f"the packages {', '.join(packages)} in {home} do not run here: install {name}")
    return home


def runs(home: Path, *commands: Sequence[str], settings: Mapping[str, str] | None = None) -> bool:
    """Whether each command ends well; a program named by a path below `home` must be there."""
    env = {**os.environ, **settings_of(home), **(settings or {})}
    for program, *arguments in commands:
        path = home / program if "/" in program else Path(program)
        if "/" in program and not path.exists():
            return False
        if shutil.which(str(path), path=env["PATH"]) is None or run([path, *arguments], env=env).returncode != 0:
            return False
    return True


def _extract(debs: Path, tree: Path) -> None:
    for deb in sorted(debs.glob("*.deb")):
        answer = run(["dpkg-deb", "-x", deb, tree])
        if answer.returncode != 0:
            raise BedError(f"{deb.name} cannot be unpacked: {answer.stderr.strip()}")


def _apt(*command: str, options: Sequence[str], cwd: Path | None = None) -> None:
    """Run apt-get; where the lists are absent or old, once more with new ones."""
    env = {**os.environ, "DEBIAN_FRONTEND": "noninteractive"}
    argv = [*_APT, *options, *command]
    if run(argv, env=env, cwd=cwd, timeout=600).returncode == 0:
        return
    updated = run([*_APT, *options, "update"], env=env, cwd=cwd, timeout=600)
    answer = run(argv, env=env, cwd=cwd, timeout=600)
    if answer.returncode != 0:
        said = (updated.stderr + answer.stderr).strip().splitlines()[-1:] or ["it said nothing"]
        raise BedError(f"`apt-get {' '.join(command)}` does not work here: {said[0]}")


def _other_release(folder: Path, release: str) -> tuple[str, ...]:
    (folder / "lists" / "partial").mkdir(parents=True)
    sources = folder / "sources.list"
    sources.write_text(f"deb [signed-by={_KEYRING}] {archive()} {release} main\n", encoding="utf-8")
    return (
        *("-o", f"Dir::Etc::sourcelist={sources}", "-o", "Dir::Etc::sourceparts=/dev/null"),
        *("-o", f"Dir::State::lists={folder}/lists", "-o", "APT::Sandbox::User=root"),
    )


def archive(folder: Path = Path("/etc/apt")) -> str:
    """The Debian archive that this machine takes its packages from. Raises BedError when its lists name none."""
    for path in (folder / "sources.list", *sorted((folder / "sources.list.d").glob("*"))):
        text = path.read_text(encoding="utf-8") if path.is_file() else ""
        found = re.search(r"^(?:URIs:\s*|deb\s+(?:\[[^]]*\]\s*)?)(\S+/debian)/?(?=\s)", text, re.MULTILINE)
        if found:
            return found[1]
    raise BedError(f"{folder} names no Debian archive: add a line `deb URL/debian ...` to its sources.list")
