# Copyright (c) 2026 Upkeep maintainers
# GNU General Public License v3.0-or-later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Another host, by ssh and rsync. It needs a shell, rsync, and sha256sum (or shasum).

Its host key must be in the file that was named, always. Secrets are in files whose paths alone are told to ssh.
"""

from __future__ import annotations

import re
import shlex

from ansible_collections.cadence.upkeep.plugins.module_utils._backup import adapter
from ansible_collections.cadence.upkeep.plugins.module_utils._backup.offsite.model import (
    Local,
    Seen,
    Settled,
    Ssh,
    Unreachable,
)
from ansible_collections.cadence.upkeep.plugins.module_utils._core.command import Completed, run
from ansible_collections.cadence.upkeep.plugins.module_utils._core.deadline import Deadline
from ansible_collections.cadence.upkeep.plugins.module_utils._core.errors import CommandFailed

_SHA256 = re.compile(r"\\?([0-9a-f]{64})\b")
_SENT = re.compile(r"^Total bytes sent: (\d+)", re.MULTILINE)
_HOW = "sha256sum read it at the far side"
_STALL = 60  # seconds without a byte
# Of rsync: a protocol that broke off, a socket, a stream, a signal, timeouts, and 255 of ssh itself.
_CUT = (5, 10, 12, 20, 23, 30, 35, 255)
# What ssh says when another try will not help.
_NEVER = ("Host key verification failed", "Permission denied", "REMOTE HOST IDENTIFICATION", "Bad owner or permissions")
_GONE = 44  # our own status: the directory is not there
_TAKEN = 45  # the name is

_TELL = """\
for name; do
  if [ -L "$name" ]; then echo other 0 -
  elif [ -f "$name" ]; then
    echo file $(wc -c < "$name") $(stat -c %Y -- "$name" 2>/dev/null || stat -f %m -- "$name" 2>/dev/null || echo -)
  elif [ -e "$name" ]; then echo other 0 -
  else echo none 0 -; fi
done
"""
_DIGEST = """\
cd -- {place} || exit 44
if command -v sha256sum >/dev/null 2>&1; then exec sha256sum -- {name}; fi
exec shasum -a 256 -- {name}
"""
# One connection for all: it digests, compares, renames, and says what is there then. When the line broke after the
# rename, the temporary name is gone, or a second name of the copy.
_SETTLE = """\
cd -- {place} || exit 44
digest() {{ if command -v sha256sum >/dev/null 2>&1; then sha256sum; else shasum -a 256; fi; }}
file={temporary}
[ -e "$file" ] || file={name}
line=$(digest < "$file") || exit 1
echo "$line"
[ "${{line%% *}}" = {sha256} ] || exit 0
if [ "$file" = {temporary} ]; then
  sync -- {temporary} 2>/dev/null || sync
  if [ -e {name} ] || [ -L {name} ]; then
    [ {temporary} -ef {name} ] || exit 45
    rm -f -- {temporary}
  elif ln -- {temporary} {name} 2>/dev/null; then
    rm -f -- {temporary}
  else
    [ -e {name} ] && exit 45
    mv -- {temporary} {name} || exit 1
  fi
fi
set -- {name}
"""


class Host:
    """Another host. ``path`` must be there: only directories below it are made."""

    resumes = True

    def __init__(self, ssh: Ssh, path: str, bytes_per_second: int) -> None:
        self._path = path
        self._rate = bytes_per_second
        self._made: set[str] = set()  # the directories below, which are made once
        self._login = f"{ssh.user}@{ssh.host}" if ssh.user else ssh.host
        self.target = f"{self._login}:{path}"
        self._address = f"{self._login.replace(ssh.host, f'[{ssh.host}]')}" if ":" in ssh.host else self._login
        self._ssh = [
            *(_program("ssh"), "-T", "-p", str(ssh.port), "-i", ssh.identity_file),
            *("-o", "BatchMode=yes", "-o", "IdentitiesOnly=yes", "-o", "StrictHostKeyChecking=yes"),
            *("-o", f"UserKnownHostsFile={_quoted(ssh.known_hosts)}", "-o", "GlobalKnownHostsFile=/dev/null"),
            *("-o", "UpdateHostKeys=no", "-o", "PasswordAuthentication=no", "-o", "ForwardAgent=no"),
            *("-o", "ClearAllForwardings=yes", "-o", "PermitLocalCommand=no", "-o", "ControlPath=none"),
            *("-o", f"ConnectTimeout={ssh.connect_seconds}", "-o", "ConnectionAttempts=1"),
            *("-o", "ServerAliveInterval=15", "-o", "ServerAliveCountMax=3"),
        ]

    def look(self, names: list[str], deadline: Deadline) -> dict[str, Seen]:
        # The names go by the script, which goes by a pipe: they may be many.
        script = f"cd -- {shlex.quote(self._path)} || exit 44\nset -- {shlex.join(names)}\n{_TELL}"
        lines = self._shell("Looking at the other place", script, deadline).output.splitlines()
        if len(lines) != len(names):
            raise Unreachable("the far side did not say what is there of each file", again=True)
        told = {name: _seen(line) for name, line in zip(names, lines)}
        return {name: seen for name, seen in told.items() if seen is not None}

    def digest(self, name: str, deadline: Deadline) -> tuple[str, str]:
        script = _DIGEST.format(place=shlex.quote(self._path), name=shlex.quote(name))
        match = _SHA256.match(self._shell("Comparing a copy", script, deadline).output)
        if match is None:
            raise Unreachable("the far side gave no SHA-256: it needs sha256sum or shasum")
        return match[1], _HOW

    def send(self, local: Local, name: str, deadline: Deadline) -> int | None:
        folder = name.rpartition("/")[0]
        if folder and folder not in self._made:
            place, below = shlex.quote(self._path), shlex.quote(folder)
            self._shell("Making a directory", f"cd -- {place} || exit 44\nmkdir -p -- {below}\n", deadline)
            self._made.add(folder)
        argv = [
            *(_program("rsync"), "--times", "--inplace", "--partial", "--no-whole-file", "--protect-args"),
            *("--stats", "--no-human-readable", f"--timeout={_STALL}", "--chmod=F600", "--rsh", shlex.join(self._ssh)),
            *([f"--bwlimit={max(1, self._rate // 1024)}k"] if self._rate else []),
            *("--", local.path, f"{self._address}:{self._path}/{name}"),
        ]
        ended = self._run("Copying", argv, deadline)
        self._require(ended)
        match = _SENT.search(ended.output)
        return int(match[1]) if match else None

    def settle(self, temporary: str, name: str, sha256: str, deadline: Deadline) -> Settled:
        script = _SETTLE.format(
            place=shlex.quote(self._path),
            temporary=shlex.quote(temporary),
            name=shlex.quote(name),
            sha256=shlex.quote(sha256),
        )
        lines = self._shell("Comparing a copy", script + _TELL, deadline).output.splitlines()
        match = _SHA256.match(lines[0]) if lines else None
        if match is None:
            raise Unreachable("the far side gave no SHA-256: it needs sha256sum or shasum")
        return Settled(match[1], _HOW, _seen(lines[1]) if len(lines) > 1 else None)

    def discard(self, temporary: str, deadline: Deadline) -> None:
        script = f"cd -- {shlex.quote(self._path)} || exit 44\nexec rm -f -- {shlex.quote(temporary)}\n"
        self._shell("Removing an unfinished copy", script, deadline)

    # --- how it is asked

    def _shell(self, what: str, script: str, deadline: Deadline) -> Completed:
        ended = self._run(what, [*self._ssh, "--", self._login, "sh -s"], deadline, script.encode())
        if ended.status == _GONE:
            raise Unreachable(f"{self._path} is not there at the far side")
        if ended.status == _TAKEN:
            raise Unreachable("a file of that name has come to be there meanwhile")
        self._require(ended)
        return ended

    @staticmethod
    def _run(what: str, argv: list[str], deadline: Deadline, stdin: bytes = b"") -> Completed:
        deadline.require(what)
        try:
            return run(argv, deadline.remaining or 1.0, stdin=stdin, cap=8 << 20)
        except CommandFailed as error:
            raise Unreachable(error.message) from error

    @staticmethod
    def _require(ended: Completed) -> None:
        if ended.status == 0:
            return
        lines = [line.strip() for line in ended.errors.splitlines() if line.strip()] or ["it said nothing"]
        never = next((line for line in lines for words in _NEVER if words in line), "")
        program = ended.argv[0].rpartition("/")[2]
        how = f"status {ended.status}" if ended.status > 0 else f"signal {-ended.status}"
        why = f"{program} ended with {how}: {(never or lines[0])[:300]}"
        raise Unreachable(why, again=not never and (ended.status in _CUT or ended.status < 0))


def _seen(line: str) -> Seen | None:
    kind, size, stamp = [*line.split(), "", "", ""][:3]
    return Seen(int(size) if size.isdecimal() else 0, stamp.strip("-"), kind == "file") if kind != "none" else None


def _program(name: str) -> str:
    path = adapter.program(name)
    if path is None:
        raise Unreachable(f"the program {name} is not here: install it")
    return path


def _quoted(path: str) -> str:
    """Return *path* as a value of an option of ssh, which splits at blanks and expands % and $."""
    return '"' + path.replace("%", "%%") + '"'
