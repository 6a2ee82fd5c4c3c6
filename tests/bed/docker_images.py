"""Images without a registry: a small root made of this machine's own programs and their libraries.

They are packed in the form that `docker save` writes, because `docker import` cannot say all that an image says.
"""

from __future__ import annotations

import hashlib
import io
import json
import os
import platform
import re
import shutil
import tarfile
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from .binaries import Binaries
from .errors import BedError
from .ledger import locked
from .processes import run

# Enough for entry points and health checks that are shell scripts.
PROGRAMS = (
    "bash", "basename", "cat", "chmod", "chown", "cp", "cut", "date", "df", "dirname", "env", "false", "find", "grep",
    "gzip", "head", "hostname", "id", "ln", "ls", "mkdir", "mktemp", "mv", "readlink", "rm", "sed", "setpriv",
    "sha256sum", "sleep", "sort",
    "stat", "tail", "tee", "test", "timeout", "touch", "tr", "true", "uname", "wc",
)  # fmt: skip
POSTGRES_ID = 999
LABEL = "upkeep-bed"
_LIBRARY = re.compile(r"^\s*(?:\S+ => )?(/\S+) \(0x", re.MULTILINE)
_ENTRYPOINT = Path(__file__).with_name("postgres-entrypoint.sh")
# What a server in a container does without: headers, the compiler of queries and its 130 MB, documentation.
_LEFT_OUT = re.compile(r"(?:^|/)(?:bitcode|include|doc|man|pgxs|pkgconfig|locale)(?:/|$)|llvmjit|\.a$|/ecpg$")


@dataclass
class Tree:
    """The files of an image, packed in the order of their names."""

    _files: dict[str, tuple[tarfile.TarInfo, Path | bytes | None]] = field(default_factory=dict)

    def directory(self, path: str, mode: int = 0o755, owner: int = 0) -> None:
        """An empty directory."""
        info = self._info(path, mode, owner)
        info.type = tarfile.DIRTYPE
        self._put(info, None)

    def link(self, path: str, target: str) -> None:
        """A symbolic link."""
        info = self._info(path, 0o777, 0)
        info.type, info.linkname = tarfile.SYMTYPE, target
        self._put(info, None)

    def file(self, path: str, content: str | bytes, mode: int = 0o644, owner: int = 0) -> None:
        """A file with that content."""
        data = content.encode() if isinstance(content, str) else content
        info = self._info(path, mode, owner)
        info.size = len(data)
        self._put(info, data)

    def copy(self, source: Path, path: str | None = None) -> None:
        """A file of this machine (what a link leads to), at the same path unless given."""
        info = self._info(path or str(source), 0o755 if os.access(source, os.X_OK) else 0o644, 0)
        info.size = source.stat().st_size
        self._put(info, source)

    def copy_all(self, folder: Path, path: str | None = None) -> None:
        """A folder of this machine, without what a server does not need."""
        for source in sorted(folder.rglob("*")):
            inside = source.relative_to(folder).as_posix()
            if source.is_file() and not _LEFT_OUT.search(inside):
                self.copy(source, f"{path or folder}/{inside}")

    def with_libraries(self, *programs: Path) -> None:
        """What programs that are in already are linked with."""
        found = run(["ldd", *programs]).stdout
        for library in sorted(set(_LIBRARY.findall(found))):
            self.copy(Path(library))

    def program(self, *names: str) -> None:
        """Programs of this machine in /usr/bin, with their libraries."""
        for name in names:
            source = shutil.which(name, path="/usr/bin:/bin:/usr/sbin:/sbin")
            if source is None:
                raise BedError(f"this machine has no {name}, which the images of the bed are made from: install it")
            self.copy(Path(source), f"/usr/bin/{name}")
            self.with_libraries(Path(source))

    def pack(self, path: Path) -> None:
        """Write it as a tar, the same bytes for the same files."""
        with tarfile.open(path, "w", format=tarfile.PAX_FORMAT) as archive:
            for name in sorted(self._files):
                info, content = self._files[name]
                if isinstance(content, Path):
                    with content.open("rb") as stream:
                        archive.addfile(info, stream)
                else:
                    archive.addfile(info, io.BytesIO(content or b""))

    def _info(self, path: str, mode: int, owner: int) -> tarfile.TarInfo:
        # The libraries of a merged /usr are named by their old places: the links below bring them together.
        name = path.strip("/")
        if re.match(r"(?:bin|sbin|lib|lib64)/", name):
            name = f"usr/{name}"
        info = tarfile.TarInfo(name)
        info.mode, info.uid, info.gid = mode, owner, owner
        return info

    def _put(self, info: tarfile.TarInfo, content: Path | bytes | None) -> None:
        for parent in list(Path(info.name).parents)[:-1]:
            if parent.as_posix() not in self._files:
                self.directory(parent.as_posix())
        self._files[info.name] = (info, content)


def save(tree: Tree, archive: Path, settings: Mapping[str, Any]) -> None:
    """Write an image for `docker load`: the tree as its one layer; settings are named as in the API (`Env`, `Cmd`)."""
    archive.parent.mkdir(parents=True, exist_ok=True)
    partial, layer = archive.with_suffix(".partial"), archive.with_suffix(".layer")
    tree.pack(layer)
    with layer.open("rb") as stream:
        digest = hashlib.file_digest(stream, "sha256").hexdigest()
    config = {
        "architecture": "arm64" if platform.machine() in ("aarch64", "arm64") else "amd64",
        "os": "linux",
        "config": {**settings, "Labels": {**settings.get("Labels", {}), LABEL: "image"}},
        "rootfs": {"type": "layers", "diff_ids": [f"sha256:{digest}"]},
    }
    described = json.dumps(config, sort_keys=True).encode()
    name = f"{hashlib.sha256(described).hexdigest()}.json"
    manifest = [{"Config": name, "RepoTags": [], "Layers": ["layer.tar"]}]
    with tarfile.open(partial, "w") as packed:
        for path, content in ((name, described), ("manifest.json", json.dumps(manifest).encode())):
            info = tarfile.TarInfo(path)
            info.size = len(content)
            packed.addfile(info, io.BytesIO(content))
        packed.add(layer, "layer.tar")
    layer.unlink()
    partial.rename(archive)


def base() -> Tree:
    """A shell with the usual commands, the accounts root, nobody and postgres, and an empty /tmp."""
    tree = Tree()
    for name in ("bin", "sbin", "lib", "lib64"):
        tree.link(f"/{name}", f"usr/{name}")
    for name in ("usr/bin", "usr/sbin", "usr/lib", "usr/lib64", "etc", "proc", "sys", "dev", "root", "run", "srv"):
        tree.directory(f"/{name}")
    tree.directory("/tmp", 0o1777)
    tree.directory("/var/tmp", 0o1777)
    tree.link("/var/run", "/run")
    tree.file(
        "/etc/passwd",
        "root:x:0:0:root:/root:/bin/sh\n"
        f"postgres:x:{POSTGRES_ID}:{POSTGRES_ID}::/var/lib/postgresql:/bin/sh\n"
        "nobody:x:65534:65534:nobody:/nonexistent:/usr/sbin/nologin\n",
    )
    tree.file("/etc/group", f"root:x:0:\npostgres:x:{POSTGRES_ID}:\nnogroup:x:65534:\n")
    tree.file("/etc/nsswitch.conf", "passwd: files\ngroup: files\nhosts: files dns\n")
    tree.program(*PROGRAMS)
    tree.link("/usr/bin/sh", "bash")
    return tree


def cached(name: str, recipe: Iterable[str], cache: Path, make: Callable[[Path], None]) -> Path:
    """The archive of an image, made once for each recipe and each change of this file."""
    words = [*recipe, Path(__file__).read_text(encoding="utf-8")]
    key = hashlib.sha256("\0".join(words).encode()).hexdigest()[:12]
    archive = cache / "images" / f"{name}-{key}.tar"
    with locked(cache / ".images.lock"):
        if not archive.exists():
            for older in archive.parent.glob(f"{name}-{'[0-9a-f]' * len(key)}.tar"):
                older.unlink()
            make(archive)
    return archive


def postgres(binaries: Binaries, cache: Path) -> Path:
    """PostgreSQL as the well-known image has it: its variables, its entry point's duties, its data directory."""
    settings = {
        "Env": [
            f"PATH=/usr/local/bin:{_home(binaries)}/bin:/usr/sbin:/usr/bin:/sbin:/bin",
            "PGDATA=/var/lib/postgresql/data",
            f"PG_MAJOR={binaries.major}",
            f"PG_VERSION={binaries.version}",
        ],
        "Entrypoint": ["docker-entrypoint.sh"],
        "Cmd": ["postgres"],
        "ExposedPorts": {"5432/tcp": {}},
        "StopSignal": "SIGINT",
    }
    recipe = [binaries.version, str(binaries.directory), _ENTRYPOINT.read_text(encoding="utf-8")]
    return cached(
        f"postgres-{binaries.version}", recipe, cache, lambda path: save(_postgres_tree(binaries), path, settings)
    )


def _home(binaries: Binaries) -> str:
    """Where the programs are in the image. Those of a distribution find their other files by their own path."""
    return str(binaries.directory.parent) if binaries.system else "/usr/local/pgsql"


def _postgres_tree(binaries: Binaries) -> Tree:
    tree = base()
    here, there = binaries.directory.parent, _home(binaries)
    tree.copy_all(here, there)
    if binaries.system:
        shared = Path(run([binaries.tool("pg_config"), "--sharedir"]).stdout.strip())
        if not shared.is_relative_to(here):
            tree.copy_all(shared)
    modules = sorted(path for path in here.rglob("*.so") if not _LEFT_OUT.search(path.as_posix()))
    tree.with_libraries(*(binaries.tool(name) for name in ("postgres", "initdb", "psql", "pg_dump")), *modules)
    tree.directory("/run/postgresql", 0o3777, POSTGRES_ID)
    tree.directory("/var/lib/postgresql/data", 0o700, POSTGRES_ID)
    tree.directory("/docker-entrypoint-initdb.d")
    tree.file("/usr/local/bin/docker-entrypoint.sh", _ENTRYPOINT.read_bytes(), 0o755)
    return tree
