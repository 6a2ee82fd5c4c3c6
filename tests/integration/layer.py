"""Run commands over a throw-away layer on the machine's disk: `layer.py JSON-LIST-OF-COMMANDS`, as root.

The root file system is an overlay whose upper half is memory, in namespaces of its own. Nothing of the machine is
mounted writable in it (no bind mounts), so whatever the commands install or delete is gone when they end. The lists of
apt are emptied first, as on a machine that was just made.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

ENTER = ["unshare", "--mount", "--pid", "--fork", "--kill-child", "--ipc", "--propagation", "private"]


def main() -> None:
    if os.environ.get("UPKEEP_LAYER"):
        run_in(Path(os.environ["UPKEEP_LAYER"]), json.loads(sys.argv[1]))
    folder = tempfile.mkdtemp(prefix="upkeep-layer-")
    try:
        environment = {**os.environ, "UPKEEP_LAYER": folder}
        sys.exit(subprocess.run([*ENTER, sys.executable, *sys.argv], env=environment, check=False).returncode)
    finally:
        shutil.rmtree(folder)  # empty: what was mounted there has gone with its namespace


def run_in(folder: Path, commands: list[list[str]]) -> None:
    """Never returns."""
    mount("-t", "tmpfs", "-o", "size=2g", "layer", str(folder))
    upper, work, root = folder / "upper", folder / "work", folder / "root"
    for part in (upper, work, root):
        part.mkdir()
    mount("-t", "overlay", "layer", "-o", f"lowerdir=/,upperdir={upper},workdir={work}", str(root))
    mount("-t", "proc", "proc", str(root / "proc"))
    mount("-o", "bind,ro", str(root / "proc/sys"), str(root / "proc/sys"))
    make_devices(root / "dev")
    os.chroot(root)
    os.chdir("/")
    mounted = Path("/proc/self/mountinfo").read_text().splitlines()
    if not any(" / / " in line and " - overlay layer " in line for line in mounted):
        sys.exit("this is not the layer: nothing is touched")
    for lists in Path("/var/lib/apt/lists").glob("*"):
        if lists.is_file():
            lists.unlink()
    environment = {key: value for key, value in os.environ.items() if key != "UPKEEP_LAYER"}
    for command in commands:
        ended = subprocess.run(command, env=environment, check=False)
        if ended.returncode:
            sys.exit(f"{command[0]} ended with {ended.returncode}")
    sys.exit(0)


def make_devices(folder: Path) -> None:
    mount("-t", "tmpfs", "devices", str(folder))
    for name, minor in (("null", 3), ("zero", 5), ("full", 7), ("random", 8), ("urandom", 9)):
        os.mknod(folder / name, 0o020666, os.makedev(1, minor))
        os.chmod(folder / name, 0o666)
    (folder / "shm").mkdir(mode=0o777)
    (folder / "pts").mkdir()
    mount("-t", "devpts", "-o", "newinstance,ptmxmode=666", "pts", str(folder / "pts"))
    (folder / "ptmx").symlink_to("pts/ptmx")
    (folder / "fd").symlink_to("/proc/self/fd")


def mount(*arguments: str) -> None:
    subprocess.run(["mount", *arguments], check=True)


if __name__ == "__main__":
    main()
