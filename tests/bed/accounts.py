"""Who a PostgreSQL server runs as: it refuses root, so root lends it an account that exists already."""

from __future__ import annotations

import os
import pwd
import tempfile
from dataclasses import dataclass
from pathlib import Path

from .errors import BedError

CANDIDATES = ("postgres", "_postgres", "nobody")
LONGEST_SOCKET_PATH = 103  # of the platforms we know, macOS has the least: 104 with the closing zero


@dataclass(frozen=True)
class Account:
    """An account of this machine; `ids` is None when it is our own and nothing is to be dropped."""

    name: str
    ids: tuple[int, int] | None

    def give(self, *paths: Path) -> None:
        """Make the account own the paths."""
        if self.ids is not None:
            for path in paths:
                os.chown(path, *self.ids)


def server_account() -> Account:
    """Our own account, or when that is root the first of `postgres` and `nobody`."""
    if os.geteuid() != 0:
        return Account(str(os.geteuid()), None)
    for name in CANDIDATES:
        try:
            entry = pwd.getpwnam(name)
        except KeyError:
            continue
        return Account(name, (entry.pw_uid, entry.pw_gid))
    raise BedError(f"PostgreSQL does not run as root and there is no account {' or '.join(CANDIDATES)}: run as a user")


def base_directory(account: Account) -> Path:
    """Where that account can reach a directory of its own and a socket path in it is short enough.

    A temporary directory of root's own (below a 0700 home) is out of reach for another account: that is /tmp's case.
    """
    temporary, shared = Path(tempfile.gettempdir()), Path("/tmp")
    too_long = len(os.fsencode(temporary)) + len("/upkeep-bed-0123456789/socket/.s.PGSQL.65535") > LONGEST_SOCKET_PATH
    return shared if (account.ids is not None or too_long) and os.access(shared, os.W_OK | os.X_OK) else temporary
