"""A Docker engine for the tests: the one that this machine has, or one of our own that leaves nothing behind.

Our own runs in a PID and a mount namespace: when its first process ends, however that happens, the kernel ends the
daemon and every container with it. It touches no firewall, uses a bridge of its own, and keeps its data in a directory
of the ledger. In an engine of this machine we make labelled containers, networks and volumes, and remove those alone.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import shutil
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from subprocess import CompletedProcess
from typing import TYPE_CHECKING, Any

from . import bridges, docker_images
from .binaries import find_or_bring
from .docker_images import LABEL
from .docker_programs import Programs, bring, client_of_this_machine, engine_of_this_machine
from .errors import BedError
from .ledger import Ledger, of_this_process
from .postgres import cache_directory
from .processes import run, start_of

if TYPE_CHECKING:
    from types import TracebackType
    from typing import Self

_CGROUPS = Path("/sys/fs/cgroup")
# The directory must be on a real disk: a layered file system cannot lie upon another.
_DATA = Path("/var/tmp")


class Engine:
    """One engine. `url` is for `DOCKER_HOST`; names that `name` makes are ours alone, whoever else uses the engine."""

    def __init__(self, *, ledger: Ledger | None = None, cache: Path | None = None) -> None:
        """Nothing is started yet."""
        self.cache = cache or cache_directory()
        self.ledger = of_this_process(self.cache) if ledger is None else ledger
        self.url = ""
        self.own = False
        self._programs: Programs | None = None
        self._directory: Path | None = None
        self._number = 0
        self._images: list[str] = []
        self._prefix = _prefix_of(os.getpid(), start_of(os.getpid()) or "")

    # --- life

    def start(self) -> None:
        """Use the engine that answers here, or start our own. Clears up after runs that were killed."""
        url = engine_of_this_machine()
        if url is not None:
            self.url, self._programs = url, client_of_this_machine(self.cache)
            self._remove_of_the_dead()
        else:
            sweep()
            self._programs = bring(self.cache)
            self._start_own(self._programs)
        self._install_plugins()

    def _start_own(self, programs: Programs) -> None:
        assert programs.daemon is not None
        self._directory = self.ledger.make_directory(_DATA)
        self._number, self.own = bridges.free_network(), True
        bridge = bridges.add(self._number)
        socket_, log = self._directory / "docker.sock", self._directory / "dockerd.log"
        self.url = f"unix://{socket_}"
        argv = [
            *("/usr/bin/unshare", "--mount", "--pid", "--fork", "--kill-child", "--mount-proc"), "--propagation=slave",
            programs.daemon, "--host", self.url, "--data-root", self._directory / "data",
            "--exec-root", self._directory / "exec", "--pidfile", self._directory / "pid", "--bridge", bridge,
            "--default-address-pool", f"base=10.{self._number}.16.0/20,size=26",
            # Containers are reached over the bridge and published ports through a proxy: no rule of the host changes.
            "--iptables=false", "--ip6tables=false", "--ip-masq=false", "--ip-forward=false",
            "--exec-opt", "native.cgroupdriver=cgroupfs", "--cgroup-parent", f"/{_cgroup(self._number)}",
            "--shutdown-timeout", "2",
        ]  # fmt: skip
        env = {**os.environ, **programs.settings, "DOCKER_RAMDISK": "true"}
        # SIGKILL of its first process ends all of a PID namespace at once, and nothing in there is worth saving.
        process = self.ledger.start(
            f"docker-{self._number}", argv, log=log, signals=("SIGKILL",), env=env, cwd=Path("/")
        )
        deadline = time.monotonic() + 60
        while self.docker("version", check=False).returncode != 0:
            if not process.running or time.monotonic() > deadline:
                said = log.read_text(encoding="utf-8", errors="replace").strip()[-800:]
                self.stop()
                raise BedError(f"a Docker engine of our own does not start here: {said}")
            time.sleep(0.05)

    def stop(self) -> None:
        """End it with all it has, or remove what is ours from the engine of this machine."""
        if not self.own:
            self._remove_ours(self._prefix)
            for image in self._images:
                self.docker("image", "rm", image, check=False)  # refused while another run uses it
        else:
            self.ledger.stop(f"docker-{self._number}")
            _clear(self._number)
            if self._directory is not None:
                self.ledger.remove_directory(self._directory)
                self._directory = None
        self.url, self._images = "", []

    def __enter__(self) -> Self:
        try:
            self.start()
        except BaseException:
            self.stop()
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()

    # --- use

    def environment(self) -> dict[str, str]:
        """What `docker`, Compose and the SDK need to talk to this engine."""
        assert self._programs is not None
        ours = {
            key: value for key, value in os.environ.items() if not key.startswith(("DOCKER_", "COMPOSE_", "POSTGRES"))
        }
        found = {**ours, **self._programs.settings, "DOCKER_HOST": self.url}
        if self._directory is not None or self._programs.plugins is not None:
            found["DOCKER_CONFIG"] = str(self._config())
        return found

    def docker(
        self, *arguments: str | Path, check: bool = True, cwd: Path | None = None, seconds: float = 120
    ) -> CompletedProcess[str]:
        """Run `docker` with these arguments. Raises BedError with its words when it fails, unless `check` is false."""
        assert self._programs is not None
        answer = run([self._programs.client, *arguments], env=self.environment(), cwd=cwd, timeout=seconds)
        if check and answer.returncode != 0:
            raise BedError(f"docker {' '.join(map(str, arguments))} failed: {answer.stderr.strip() or answer.stdout}")
        return answer

    def name(self, wanted: str) -> str:
        """A name for a container, network, volume or project: as wanted in our own engine, else made unique."""
        return wanted if self.own else f"{self._prefix}{wanted}"

    def run(self, image: str, *command: str, name: str, options: Sequence[str] = ()) -> str:
        """Start a container in the background; its name."""
        ours = self.name(name)
        self.docker("run", "--detach", "--label", f"{LABEL}={self._prefix}", "--name", ours, *options, image, *command)
        return ours

    def remove(self, name: str) -> None:
        """Remove a container with its anonymous volumes; none of that name is fine."""
        self.docker("rm", "--force", "--volumes", name, check=False)

    def inspect(self, name: str) -> dict[str, Any]:
        """The description of a container, as the API gives it."""
        found: list[dict[str, Any]] = json.loads(self.docker("inspect", "--type", "container", name).stdout)
        return found[0]

    def wait_for(self, name: str, said: str, seconds: float = 60) -> None:
        """Return when the log of a container has that text. Raises BedError with the log when it never has."""
        deadline = time.monotonic() + seconds
        while True:
            answer = self.docker("logs", name)
            if said in answer.stdout + answer.stderr:
                return
            state = self.inspect(name)["State"]
            if state["Status"] in ("exited", "dead") or time.monotonic() > deadline:
                raise BedError(
                    f"{name} ({state['Status']}) never said {said!r}: {(answer.stdout + answer.stderr)[-800:]}"
                )
            time.sleep(0.1)

    def wait_until(self, name: str, *command: str, seconds: float = 60) -> None:
        """Return when a command in a container ends well. Raises BedError with the log when it never does."""
        deadline = time.monotonic() + seconds
        while (answer := self.docker("exec", name, *command, check=False)).returncode != 0:
            if self.inspect(name)["State"]["Status"] in ("exited", "dead") or time.monotonic() > deadline:
                log = self.docker("logs", name, check=False)
                raise BedError(
                    f"{name}: {' '.join(command)}: {answer.stderr.strip()}: {(log.stdout + log.stderr)[-800:]}"
                )
            time.sleep(0.05)

    @contextlib.contextmanager
    def network(self, name: str, *options: str) -> Iterator[str]:
        """A network of that name, as long as the block lasts."""
        ours = self.name(name)
        self.docker("network", "create", "--label", f"{LABEL}={self._prefix}", *options, ours)
        try:
            yield ours
        finally:
            self.docker("network", "rm", ours, check=False)

    def image(self, tag: str, archive: Path) -> str:
        """Have the image in that archive under that tag; the tag.

        An image that an engine of this machine has under the tag is used as it is, and stays unless the bed made it.
        """
        there = self.docker("image", "inspect", "--format", f'{{{{index .Config.Labels "{LABEL}"}}}}', tag, check=False)
        if there.returncode != 0:
            loaded = self.docker("load", "--quiet", "--input", archive).stdout.strip().rpartition(" ")[2]
            self.docker("tag", loaded, tag)
        if (there.returncode != 0 or there.stdout.strip() == "image") and tag not in self._images:
            self._images.append(tag)
        return tag

    def postgres_image(self, major: int | None = None, tag: str = "") -> str:
        """An image of PostgreSQL of that major version (None: this machine's own), named like the official one."""
        binaries = find_or_bring(major, self.cache)
        return self.image(tag or f"postgres:{binaries.major}-alpine", docker_images.postgres(binaries, self.cache))

    def compose(self, folder: Path, project: str) -> Project:
        """The Compose project in that folder, not started yet."""
        return Project(self, folder, self.name(project))

    # --- what it needs

    def _config(self) -> Path:
        base = self.ledger.path.parent if self._directory is None else self._directory
        return base / "docker-config"

    def _install_plugins(self) -> None:
        """A client that finds no Compose gets it from a folder of ours, whatever the home of the user holds."""
        assert self._programs is not None
        plugins = self._programs.plugins
        if plugins is not None:
            shutil.rmtree(self._config(), ignore_errors=True)
            shutil.copytree(plugins, self._config() / "cli-plugins")

    def _remove_of_the_dead(self) -> None:
        """Remove from an engine of this machine what runs left that were killed."""
        listed = self.docker(
            "ps", "--all", "--filter", f"label={LABEL}", "--format", f'{{{{.Label "{LABEL}"}}}}'
        ).stdout
        projects = self.docker("ps", "--all", "--format", '{{.Label "com.docker.compose.project"}}').stdout
        found = {word.split(".")[0] for word in (listed + projects).split() if word.startswith(f"{LABEL}-")}
        for prefix in {_owner_part(word) for word in found}:
            if not _owner_lives(prefix):
                self._remove_ours(prefix)

    def _remove_ours(self, prefix: str) -> None:
        if not self.url:
            return
        for kind, listing in (
            ("container", ("ps", "--all")),
            ("network", ("network", "ls")),
            ("volume", ("volume", "ls")),
        ):
            for chosen in (f"label={LABEL}={prefix}", f"name={prefix}"):
                ids = self.docker(*listing, "--quiet", "--filter", chosen).stdout.split()
                force = ("--force", "--volumes") if kind == "container" else ()
                for one in ids:
                    self.docker(kind, "rm", *force, one, check=False)


class Project:
    """A Compose project: `with engine.compose(folder, "shop") as shop: shop.up()`; leaving takes it down."""

    def __init__(self, engine: Engine, folder: Path, name: str) -> None:
        self.engine = engine
        self.folder = folder
        self.name = name

    def compose(self, *arguments: str, check: bool = True, seconds: float = 120) -> CompletedProcess[str]:
        """Run `docker compose` in it."""
        command = ("compose", "--project-name", self.name, *arguments)
        return self.engine.docker(*command, check=check, cwd=self.folder, seconds=seconds)

    def up(self, *arguments: str) -> None:
        """Start it and wait until it runs, or is healthy where it says how to tell."""
        self.compose("up", "--detach", "--wait", *arguments)

    def down(self) -> None:
        """Stop and remove it with its networks and volumes."""
        self.compose("down", "--volumes", "--remove-orphans", "--timeout", "1")

    def containers(self, service: str) -> list[str]:
        """The names of the service's containers, those that do not run too."""
        return self.compose("ps", "--all", "--format", "{{.Name}}", service).stdout.split()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.down()


# --- whose is what


def _prefix_of(pid: int, started: str) -> str:
    """The beginning of the names of a process: its pid, and what tells it from a later one with that pid."""
    return f"{LABEL}-{pid}-{hashlib.sha256(started.encode()).hexdigest()[:8]}-"


def _owner_part(word: str) -> str:
    return "-".join(word.split("-")[:4]) + "-"


def _owner_lives(prefix: str) -> bool:
    pid = prefix.split("-")[2]
    return pid.isdigit() and (started := start_of(int(pid))) is not None and _prefix_of(int(pid), started) == prefix


def sweep() -> None:
    """Remove the bridges and control groups of engines of ours that were killed; their processes are gone already."""
    left = {*bridges.numbers(), *(int(path.name.rpartition("-")[2]) for path in _CGROUPS.glob(f"**/{LABEL}-docker-*"))}
    running = _running_numbers()
    for number in left - running:
        _clear(number)


def _running_numbers() -> set[int]:
    """The numbers of the engines that run, by the command lines of their daemons."""
    found = set()
    for path in Path("/proc").glob("[0-9]*/cmdline"):
        try:
            words = path.read_bytes().split(b"\0")
        except OSError:
            continue  # it has ended meanwhile
        found |= {int(word[len(bridges.PREFIX) :]) for word in words if word.startswith(bridges.PREFIX.encode())}
    return found


def _cgroup(number: int) -> str:
    return f"{LABEL}-docker-{number}"


def _clear(number: int) -> None:
    """Remove what an ended engine leaves in the kernel: bridges, and empty control groups."""
    bridges.remove(number)
    roots = [path for path in (_CGROUPS / _cgroup(number), *_CGROUPS.glob(f"*/{_cgroup(number)}")) if path.is_dir()]
    deadline = time.monotonic() + 10
    for root in roots:
        folders = [root, *(path for path in root.rglob("*") if path.is_dir())]
        for folder in sorted(folders, key=lambda path: -len(path.parts)):
            while folder.exists():
                try:
                    folder.rmdir()
                except OSError:  # the last process in it is just being removed by the kernel
                    if time.monotonic() > deadline:
                        raise BedError(f"{folder} is still in use: look what runs in it") from None
                    time.sleep(0.05)
