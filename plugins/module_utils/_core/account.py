# Copyright (c) 2026 Upkeep maintainers
# GNU General Public License v3.0-or-later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Go on as another account of the system, for servers that let in whom the kernel vouches for."""

from __future__ import annotations

import os
import pwd

from ansible_collections.cadence.upkeep.plugins.module_utils._core.errors import InvalidInput, UpkeepError


class NotPermitted(UpkeepError):
    """The process may not do what it was asked to do."""


def become(account: str) -> None:
    """Make this process one of *account*, for good: its groups, its ids, its ``HOME``. Nothing happens if it is one.

    Raises ``InvalidInput`` for an account that does not exist, ``NotPermitted`` when this process is not root's.
    """
    try:
        entry = pwd.getpwnam(account)
    except KeyError:
        raise InvalidInput(f"There is no account called {account!r} on this host.", "Correct its name.") from None
    if entry.pw_uid == os.geteuid() == os.getuid():
        return
    if os.geteuid() != 0:
        own = pwd.getpwuid(os.geteuid()).pw_name
        raise NotPermitted(
            f"Only root can go on as {account}, and this runs as {own}.", "Let the run become root (run_become)."
        )
    os.initgroups(entry.pw_name, entry.pw_gid)
    os.setresgid(entry.pw_gid, entry.pw_gid, entry.pw_gid)
    os.setresuid(entry.pw_uid, entry.pw_uid, entry.pw_uid)
    # What belongs to the account stands there: password files, certificates.
    os.environ.update(HOME=entry.pw_dir, USER=entry.pw_name, LOGNAME=entry.pw_name)
