"""What `make test` runs: sets the machine up, runs the test sessions side by side, and sums up.

Needs a Python of 3.11 or newer and nothing else. The last line says ``N passed, N failed``, counting sessions; the log
of each session stays in .cache/logs.
"""

from __future__ import annotations

import argparse
import fcntl
import importlib.util
import os
import re
import shutil
import signal
import subprocess
import sys
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO

import interpreters

ROOT = Path(__file__).resolve().parent.parent
CACHE = ROOT / ".cache"
LOGS = CACHE / "logs"
RUNNER = CACHE / "runner"  # the environment that holds nox

# The longest first, so that the short ones fill what is left of the cores.
ORDER = ("integration", "molecule", "sanity", "lint", "targets", "matrix", "unit", "contract", "coverage")
AFTER = {"coverage": ("unit", "contract", "integration")}  # it adds up what these measured
TAIL = 60  # lines of a failed session's log that are shown
# Programs that tests call, and the Debian package of each; then those of root's tests, which make file systems.
PROGRAMS = {"git": "git", "openssl": "openssl", "ssh": "openssh-client"}
ROOT_PROGRAMS = {"mkfs.ext4": "e2fsprogs", "mount": "mount", "unshare": "util-linux"}
PYTEST_SUMMARY = re.compile(
    r"^=+ (.*\b(?:passed|failed|error|errors|skipped|deselected)\b.*) in [\d.]+s.* =+$", re.MULTILINE
)
PYTEST_FAILURE = re.compile(r"^(?:FAILED|ERROR) (tests/.+?)(?: - .*)?$", re.MULTILINE)


class Missing(Exception):
    """The machine lacks something that this program may not or cannot install; the text says what, in one line."""


@dataclass
class Session:
    name: str
    after: tuple[str, ...] = ()
    started: float = 0.0
    seconds: float = 0.0
    status: int | None = None
    process: subprocess.Popen[bytes] | None = field(default=None, repr=False)

    @property
    def log(self) -> Path:
        return LOGS / f"{self.name}.log"

    @property
    def finished(self) -> bool:
        return self.status is not None

    def start(self) -> None:
        self.started = time.monotonic()
        with self.log.open("wb") as out:
            # A session of its own: Ctrl-C reaches this program alone, which then ends each session in order.
            self.process = subprocess.Popen(
                [
                    str(RUNNER / "bin" / "nox"),
                    "--non-interactive",
                    "--noxfile",
                    str(ROOT / "noxfile.py"),
                    "-s",
                    self.name,
                ],
                cwd=ROOT,
                env={**os.environ, "UPKEEP_MEASURE": "1"},
                stdin=subprocess.DEVNULL,
                stdout=out,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )

    def poll(self) -> bool:
        """Return whether the session ended just now."""
        if self.process is None or self.finished or self.process.poll() is None:
            return False
        self.status = self.process.returncode
        self.seconds = time.monotonic() - self.started
        return True

    def stop(self, patience: float = 75.0) -> None:
        """End the session with all it started: first as Ctrl-C would, so that fixtures stop their servers."""
        if self.process is None or self.finished:
            return
        for number, grace in ((signal.SIGINT, patience), (signal.SIGTERM, 10.0), (signal.SIGKILL, 10.0)):
            if not signal_group(self.process.pid, number):
                return
            try:
                self.process.wait(grace)
                break
            except subprocess.TimeoutExpired:
                continue
        # Workers that outlive their pytest are of no more use to anyone.
        deadline = time.monotonic() + 3.0
        while signal_group(self.process.pid, 0) and time.monotonic() < deadline:
            time.sleep(0.1)
        signal_group(self.process.pid, signal.SIGKILL)

    def said(self) -> str:
        """Return pytest's own counts, from the log: of a session with several runs, each one's."""
        return "; ".join(PYTEST_SUMMARY.findall(self.log.read_text(encoding="utf-8", errors="replace")))

    def unsteady(self) -> list[str]:
        """Return the tests that failed among others and passed by themselves (`pytest_passes` in noxfile.py)."""
        if self.status != 0:
            return []
        return sorted(set(PYTEST_FAILURE.findall(self.log.read_text(encoding="utf-8", errors="replace"))))


def signal_group(leader: int, number: int) -> bool:
    """Send a signal to a process group (0: to nobody); return whether it has a member."""
    try:
        os.killpg(leader, number)
    except (ProcessLookupError, PermissionError):  # macOS refuses where only zombies are left
        return False
    return True


# --- the machine ------------------------------------------------------------------------------------------------------


def prepare_machine() -> list[str]:
    """Install what Debian has and this machine lacks; return what will not be run for want of it, a line each."""
    needed, wanted = missing_packages()
    packages = needed + wanted
    debian = shutil.which("apt-get") is not None
    if packages and debian and os.geteuid() == 0:
        install_debian(packages)
        return []
    hint = f"sudo apt-get install {' '.join(packages)}" if debian else "these are Debian's names; see CONTRIBUTING.md"
    if needed:
        raise Missing(f"missing: {', '.join(needed)} ({hint})")
    return [f"PostgreSQL of this machine: no server is installed ({hint})"] if wanted else []


def missing_packages() -> tuple[list[str], list[str]]:
    """Return the Debian packages of what the tests cannot do without, and of what they would like to have."""
    folders = os.pathsep.join([os.environ.get("PATH", os.defpath), "/usr/sbin", "/sbin"])
    needed = [package for program, package in PROGRAMS.items() if not shutil.which(program, path=folders)]
    if sys.platform.startswith("linux") and os.geteuid() == 0:
        needed += [package for program, package in ROOT_PROGRAMS.items() if not shutil.which(program, path=folders)]
    if not all(importlib.util.find_spec(name) for name in ("ensurepip", "venv")):
        needed.append(f"python3.{sys.version_info.minor}-venv")
    # Debian keeps the server's own programs outside PATH.
    has_server = shutil.which("initdb") or list(Path("/usr/lib/postgresql").glob("*/bin/initdb"))
    return needed, [] if has_server else ["postgresql"]


def install_debian(packages: list[str]) -> None:
    """Install Debian *packages*, without the database cluster that the server's package would create and start."""
    print(f"installing from Debian: {' '.join(packages)}", flush=True)
    no_cluster = Path("/etc/postgresql-common/createcluster.d/upkeep-tests.conf")
    made = [folder for folder in (no_cluster.parent, no_cluster.parent.parent) if not folder.exists()]
    no_cluster.parent.mkdir(parents=True, exist_ok=True)
    no_cluster.write_text("create_main_cluster = false\n", encoding="utf-8")
    env = {**os.environ, "DEBIAN_FRONTEND": "noninteractive"}
    log = LOGS / "apt.log"
    try:
        with log.open("wb") as out:
            for command in (["update"], ["install", "-y", "--no-install-recommends", *packages]):
                subprocess.run(
                    ["apt-get", "-q", "-o", "DPkg::Lock::Timeout=120", *command],
                    env=env,
                    stdin=subprocess.DEVNULL,
                    stdout=out,
                    stderr=out,
                    check=True,
                )
    except subprocess.CalledProcessError as error:
        raise Missing(f"missing: {' '.join(packages)}, and apt-get could not install it (see {log})") from error
    finally:
        no_cluster.unlink(missing_ok=True)
        for folder in made:
            if not any(folder.iterdir()):
                folder.rmdir()


def prepare_runner() -> None:
    """Make the environment that holds nox, unless it is there already."""
    requirements = ROOT / "tests" / "requirements-nox.txt"
    stamp = RUNNER / ".installed"
    wanted = f"{sys.executable}\n{requirements.read_text(encoding='utf-8')}"
    if stamp.exists() and stamp.read_text(encoding="utf-8") == wanted:
        return
    print("setting up nox in .cache/runner", flush=True)
    log = LOGS / "runner.log"
    with log.open("wb") as out:
        for command in (
            [sys.executable, "-m", "venv", "--clear", str(RUNNER)],
            [
                str(RUNNER / "bin" / "python"),
                "-m",
                "pip",
                "install",
                "--disable-pip-version-check",
                "-q",
                "-r",
                str(requirements),
            ],
        ):
            if subprocess.run(
                command, stdin=subprocess.DEVNULL, stdout=out, stderr=subprocess.STDOUT, check=False
            ).returncode:
                raise Missing(f"missing: nox could not be installed from the package index (see {log})")
    stamp.write_text(wanted, encoding="utf-8")


# --- the run ----------------------------------------------------------------------------------------------------------


def choose(wanted: list[str], soak: bool) -> list[Session]:
    """Return the sessions to run, in order; *wanted* names some of them, ``matrix`` every row of the matrix."""
    listing = subprocess.run(
        [str(RUNNER / "bin" / "nox"), "--noxfile", str(ROOT / "noxfile.py"), "--list"],
        capture_output=True,
        text=True,
        check=True,
    ).stdout
    there = re.findall(r"^[*-] (\S+)", listing, re.MULTILINE)
    kinds = (*ORDER, "soak") if soak else ORDER
    default = [name for kind in kinds for name in there if name.split("-")[0] == kind]
    unknown = [name for name in wanted if not any(matches(session, name) for session in there)]
    if unknown:
        raise Missing(f"there is no session {', '.join(unknown)}; there are {', '.join(there)}")
    names = [
        name for name in default + [n for n in there if n not in default] if any(matches(name, want) for want in wanted)
    ]
    names = names if wanted else default
    return [Session(name, tuple(first for first in AFTER.get(name, ()) if first in names)) for name in names]


def matches(session: str, wanted: str) -> bool:
    return session == wanted or session.startswith(f"{wanted}-")


def run(sessions: list[Session], jobs: int) -> None:
    """Run the *sessions*, at most *jobs* at a time, each when those that it needs have ended."""
    begun = time.monotonic()
    waiting = list(sessions)
    running: list[Session] = []
    width = max(len(session.name) for session in sessions)
    try:
        while waiting or running:
            ended = {session.name for session in sessions if session.finished}
            for session in [session for session in waiting if set(session.after) <= ended][: jobs - len(running)]:
                waiting.remove(session)
                session.start()
                running.append(session)
            time.sleep(0.2)
            for session in [session for session in running if session.poll()]:
                running.remove(session)
                verdict = "passed" if session.status == 0 else "FAILED"
                clock = time.monotonic() - begun
                print(f"[{clock:4.0f} s] {verdict}  {session.name:{width}}  {session.said()}".rstrip(), flush=True)
    finally:
        for session in running:
            session.stop()


def summarise(sessions: list[Session], not_run: list[str], seconds: float, out: IO[str] = sys.stdout) -> int:
    """Print the end of each failed log, the table and the closing line; return how many sessions failed."""
    failed = [session for session in sessions if session.status != 0]
    for session in failed:
        lines = session.log.read_text(encoding="utf-8", errors="replace").splitlines()
        print(
            f"\n--- {session.name}: the last of {session.log.relative_to(ROOT)} ---", *lines[-TAIL:], sep="\n", file=out
        )
    width = max(len(session.name) for session in sessions)
    print("\nsession".ljust(width + 1), "  result     time", file=out)
    for session in sorted(
        sessions, key=lambda session: ORDER.index(kind) if (kind := session.name.split("-")[0]) in ORDER else 99
    ):
        verdict = "passed" if session.status == 0 else "FAILED"
        print(f"{session.name:{width}}  {verdict}  {session.seconds:5.0f} s  {session.said()}".rstrip(), file=out)
    for session in sessions:
        for test in session.unsteady():
            print(f"unsteady: {test} failed in {session.name} and passed by itself", file=out)
    for line in not_run:
        print(f"not run: {line}", file=out)
    print(f"{seconds:.0f} s in all; logs in {LOGS.relative_to(ROOT)}", file=out)
    print(f"{len(sessions) - len(failed)} passed, {len(failed)} failed", file=out, flush=True)
    return len(failed)


def only_one() -> IO[str]:
    """Hold this checkout: two runs at once would share environments and measurements."""
    lock = (CACHE / "gates.lock").open("w")
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError as error:
        raise Missing(
            f"another test run holds this checkout ({CACHE / 'gates.lock'}): wait for it or stop it"
        ) from error
    return lock


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument(
        "sessions", nargs="*", help="the sessions to run; none: all that decide whether a change may land"
    )
    parser.add_argument("--soak", action="store_true", help="the exhaustive tests too")
    parser.add_argument(
        "--jobs", type=int, default=max(2, interpreters.cores()), help="sessions at once (default: %(default)s)"
    )
    options = parser.parse_args()
    begun = time.monotonic()
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    try:
        LOGS.mkdir(parents=True, exist_ok=True)
        lock = only_one()
        not_run = prepare_machine()
        prepare_runner()
        sessions = choose(options.sessions, options.soak)
        shutil.rmtree(CACHE / "coverage", ignore_errors=True) if not options.sessions else None
        run(sessions, options.jobs)
    except Missing as error:
        print(error, file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        print("stopped", file=sys.stderr)
        return 130
    failed = summarise(sessions, not_run + interpreters.missing(), time.monotonic() - begun)
    lock.close()
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
