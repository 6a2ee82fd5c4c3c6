"""Start a command only once its starter has noted it: `gate.py UID GID COMMAND...`

It waits for one byte on stdin. When the starter dies first, stdin ends and nothing is started, so there is no moment
in which a server runs that no record knows. The pid stays the same, because the command replaces this process.
Standard library only, and run with `python -I -S`.
"""

from __future__ import annotations

import os
import sys


def main() -> None:
    """Wait, drop to the account (-1: stay), become the command."""
    uid, gid, command = int(sys.argv[1]), int(sys.argv[2]), sys.argv[3:]
    if os.read(0, 1) != b"+":
        sys.exit(1)
    nothing = os.open(os.devnull, os.O_RDONLY)
    os.dup2(nothing, 0)
    if uid >= 0:
        os.setgroups([])
        os.setgid(gid)
        os.setuid(uid)
    os.umask(0o077)
    try:
        os.execv(command[0], command)
    except OSError as error:
        sys.exit(f"cannot start {command[0]}: {error.strerror}")


if __name__ == "__main__":
    main()
