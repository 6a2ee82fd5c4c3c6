"""The demo: `demo.py up`, `demo.py down`, `demo.py status`.

This file and what it imports need nothing but Python 3.11's standard library; `up` makes a virtual environment with
the rest and goes on in it (demo_bed.py). Everything it makes is below `.demo` in the checkout, except the database's
directory, which the account that PostgreSQL runs as must be able to reach; `.demo/bed.json` records all of it.
"""

from __future__ import annotations

import sys

if sys.version_info < (3, 11):  # noqa: UP036  to say so is what these two lines are for
    sys.exit(f"demo: Python {sys.version.split()[0]} is too old, it takes 3.11 or later: run this with a newer python3")

import argparse
import fcntl
import os
import shutil
import signal
from pathlib import Path
from types import FrameType
from typing import NoReturn, TextIO

HERE = Path(__file__).resolve().parent
CHECKOUT = HERE.parents[1]
HOME = CHECKOUT / ".demo"
sys.path[0] = str(CHECKOUT)  # instead of this folder

from tests.bed import demo_python  # noqa: E402  the version and the path come first
from tests.bed.errors import BedError  # noqa: E402
from tests.bed.ledger import Ledger  # noqa: E402
from tests.bed.processes import INTERRUPTS  # noqa: E402

# What belongs to one bed and goes with it; the virtual environment and the reports stay.
MATERIAL = ("tls", "backups", "state", "ansible")

_held: list[TextIO] = []  # the lock, which is given up when its file is closed


def main() -> int:
    """Run the action; the exit code is 0 when it did what it promises."""
    parser = argparse.ArgumentParser(prog="demo.py", description="The demo of cadence.upkeep on servers of its own.")
    parser.add_argument("action", choices=["up", "down", "status"])
    parser.add_argument("--in-environment", action="store_true", help=argparse.SUPPRESS)
    options = parser.parse_args()
    for number in INTERRUPTS:
        signal.signal(number, _interrupt)
    try:
        try:
            signal.pthread_sigmask(signal.SIG_UNBLOCK, INTERRUPTS)  # blocked over the exec in `_continue_in`
            if options.action == "up":
                return up(options.in_environment)
            return down() if options.action == "down" else status()
        except KeyboardInterrupt:
            return _interrupted(options.action, options.in_environment)
    except BedError as error:
        print(f"demo: {error}", file=sys.stderr)
        return 1


def _interrupted(action: str, locked: bool) -> int:
    """Whatever the moment, an interrupted `up` leaves nothing that runs, nor does an interrupted `down`."""
    for number in INTERRUPTS:
        signal.signal(number, signal.SIG_IGN)
    if action != "status":
        if not locked and not _held:
            _lock()
        take_down()
        print("\ndemo: interrupted; nothing of it runs any more", file=sys.stderr)
    return 130


def _interrupt(_number: int, _frame: FrameType | None) -> NoReturn:
    raise KeyboardInterrupt


def up(in_environment: bool) -> int:
    """First the environment, then, in it, the servers and the playbook."""
    if not in_environment:
        lock = _lock()
        python = demo_python.prepare(HOME / "venv", CHECKOUT / "requirements.txt")
        _continue_in(python, lock)
    from tests.bed import demo_bed, demo_play  # they need the environment

    bed = demo_bed.Bed(HOME)
    bed.build()
    return demo_play.play(CHECKOUT, HOME)


def _continue_in(python: Path, lock: TextIO) -> NoReturn:
    """Become the environment's Python: same process, same lock, and no moment in which Ctrl-C finds no handler."""
    os.set_inheritable(lock.fileno(), True)
    signal.pthread_sigmask(signal.SIG_BLOCK, INTERRUPTS)
    os.execv(python, [str(python), str(Path(__file__).resolve()), "up", "--in-environment"])


def down() -> int:
    """Stop everything and remove what belongs to this bed."""
    if not HOME.exists():
        print("demo: nothing runs, and nothing was made")
        return 0
    _lock()
    names = take_down()
    print(f"demo: stopped {', '.join(names)}" if names else "demo: nothing was running")
    stay = [str(path) for path in (HOME / "reports", HOME / "venv") if path.exists()]
    if stay:
        print(f"demo: reports and Python environment stay: {', '.join(stay)}")
    return 0


def take_down() -> list[str]:
    """Stop the servers, remove their directories and their material; the names of those that ran."""
    ledger = Ledger(HOME / "bed.json")
    names = [name for name in ledger.processes if ledger.running(name)]
    ledger.close()
    for name in MATERIAL:
        shutil.rmtree(HOME / name, ignore_errors=True)
    return names


def status() -> int:
    """One line for each server; 0 when all of them run."""
    ledger = Ledger(HOME / "bed.json")
    if not ledger.processes:
        print("demo: nothing runs")
        return 1
    for name, process in ledger.processes.items():
        print(f"demo: {name}: {f'runs as process {process.pid}' if process.running else 'ended'}")
    return 0 if all(process.running for process in ledger.processes.values()) else 1


def _lock() -> TextIO:
    """One demo at a time in a checkout; the lock goes with the process."""
    try:
        HOME.mkdir(mode=0o700, exist_ok=True)
        file = open(HOME / "lock", "a+", encoding="ascii")  # noqa: SIM115  held until the process ends
    except OSError as error:
        raise BedError(f"cannot write in {HOME} ({error.strerror}): it is another account's, or read-only") from error
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        file.seek(0)
        holder = file.read().strip() or "unknown"
        raise BedError(f"another demo is at work in this checkout (process {holder}): wait, or end that one") from None
    file.truncate(0)
    file.write(f"{os.getpid()}\n")
    file.flush()
    _held.append(file)
    return file


if __name__ == "__main__":
    sys.exit(main())
