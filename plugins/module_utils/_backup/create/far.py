# Copyright (c) 2026 Upkeep maintainers
# GNU General Public License v3.0-or-later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Programs in a container or a pod, through ``docker exec`` or ``kubectl exec``: never with a terminal.

What comes through such a stream may end early with status 0. So a dump is written to a file there, digested there,
copied out, and compared by length and digest; what is missing is fetched again from where it broke off. All that is
left there lies in one directory, which says by its name whose it is, and which the next run of the series removes.
"""

from __future__ import annotations

import os
import re
import secrets
import shlex
from collections.abc import Sequence
from dataclasses import dataclass

from ansible_collections.cadence.upkeep.plugins.module_utils._backup import adapter
from ansible_collections.cadence.upkeep.plugins.module_utils._backup.containers import Sink
from ansible_collections.cadence.upkeep.plugins.module_utils._backup.create.errors import BackupFailed
from ansible_collections.cadence.upkeep.plugins.module_utils._backup.create.model import Pod
from ansible_collections.cadence.upkeep.plugins.module_utils._backup.create.pump import Digest, Source, Statuses, failed
from ansible_collections.cadence.upkeep.plugins.module_utils._core.command import Completed, run
from ansible_collections.cadence.upkeep.plugins.module_utils._core.deadline import Deadline
from ansible_collections.cadence.upkeep.plugins.module_utils._core.plain import one_line

PREFIX = "upkeep-backup"
_SMALL_SECONDS = 60.0
_UNLIMITED_SECONDS = 7 * 86400.0
_DIGEST = re.compile(r"\\?([0-9a-f]{64})\s")

# Ends what a killed run left running there, and only that: the process has the directory in its arguments.
_SWEEP = """
for d in {top}/{mark}.*; do
  [ -d "$d" ] || continue
  if [ -f "$d/pid" ]; then
    p=$(cat "$d/pid")
    case "$p" in *[!0-9]*|'') ;; *)
      if tr '\\0' ' ' <"/proc/$p/cmdline" 2>/dev/null | grep -qF "$d"; then kill -9 "$p"; fi ;;
    esac
  fi
  rm -rf "$d" && echo "$d"
done
"""
_DUMP = 'umask 077; "$@" & p=$!; echo $p >{home}/pid; wait $p; s=$?; echo $s >{home}/status; exit $s'

_DIGESTED = (
    "wc -c <{path} && {{ sha256sum {path} || shasum -a 256 {path} || openssl dgst -sha256 -r {path}; }} 2>/dev/null"
)


class CopyDiffers(BackupFailed):
    """What was copied out is not what is there; the whole copy may be tried again."""


@dataclass(frozen=True)
class Place:
    """A container or a pod: ``argv`` is the command that runs another one in there. ``title`` is for messages."""

    title: str
    argv: tuple[str, ...]
    environment: tuple[tuple[str, str], ...] = ()

    def run(self, argv: Sequence[str], seconds: float, stdin: bytes = b"") -> Completed:
        """Run *argv* there. Raises what ``command.run`` raises."""
        return run([*self.argv, *argv], seconds, environment=dict(self.environment), stdin=stdin)

    def shell(self, script: str, seconds: float = _SMALL_SECONDS, stdin: bytes = b"") -> Completed:
        return self.run(["sh", "-c", script], seconds, stdin)

    def source(self, name: str, argv: Sequence[str], stdin: int) -> Source:
        return Source(name, [*self.argv, *argv], environment=dict(self.environment), stdin=stdin)


def of_pod(pod: Pod) -> Place:
    program = adapter.program(pod.program)
    if program is None:
        raise BackupFailed(
            f"The program {pod.program} is not here, through which the pod {pod.name} is reached.",
            "Install kubectl, or name it: pod.kubectl.",
            {"class": "tool_missing", "program": pod.program},
        )
    argv = [program]
    for option, value in (("--kubeconfig", pod.kubeconfig), ("--context", pod.context), ("--namespace", pod.namespace)):
        argv += [f"{option}={value}"] if value else []
    argv += ["exec", "-i", pod.name]
    argv += [f"--container={pod.container}"] if pod.container else []
    return Place(f"the pod {pod.name}", (*argv, "--"))


def of_container(name: str, daemon_url: str) -> Place:
    for candidate in ("docker", "podman"):
        program = adapter.program(candidate)
        if program is not None:
            return Place(f"the container {name}", (program, "exec", "-i", name), (("DOCKER_HOST", daemon_url),))
    raise BackupFailed(
        f"Neither docker nor podman is here, through which programs in the container {name} are run.",
        "Install the client of docker, or use the programs of this host: programs: host.",
        {"class": "tool_missing", "program": "docker"},
    )


def sweep(place: Place, top: str, mark: str) -> list[str]:
    """End and remove what killed runs of that *mark* left in *place*; return the directories."""
    script = _SWEEP.format(top=shlex.quote(top), mark=shlex.quote(f"{PREFIX}.{mark}"))
    ended = place.shell(script).require_success(f"Clearing up in {place.title}")
    return [line for line in ended.output.splitlines() if line]


class FarDump:
    """One dump in a directory of its own there. As a context manager it removes that in the end."""

    def __init__(self, place: Place, top: str, mark: str, retries: int) -> None:
        self._place, self._retries = place, retries
        self.home = f"{top.rstrip('/')}/{PREFIX}.{mark}.{secrets.token_hex(6)}"
        self.path = f"{self.home}/dump"
        self._size = -1
        self._sha256 = ""

    def __enter__(self) -> FarDump:
        made = self._place.shell(f"umask 077; mkdir {shlex.quote(self.home)}")
        made.require_success(f"Making a directory in {self._place.title}")
        return self

    def __exit__(self, *_error: object) -> None:
        # Also what still runs there: the end of the stream does not end a program on its other side.
        script = f'[ -f {self.home}/pid ] && p=$(cat {self.home}/pid) && kill -9 "$p" 2>/dev/null; rm -rf {self.home}'
        if self._size >= 0:
            script = f"rm -rf {shlex.quote(self.home)}"
        self._place.shell(script)

    def keep(self, name: str, text: str) -> str:
        """Put *text*, a secret, into a file there that only its user may read; return its path."""
        path = f"{self.home}/{name}"
        kept = self._place.shell(f"umask 077; cat >{shlex.quote(path)}", stdin=text.encode())
        kept.require_success(f"Handing a secret to {self._place.title}")
        return path

    def free_bytes(self) -> int | None:
        """Return how much room there is; ``None`` when ``df`` does not say."""
        lines = self._place.shell(f"df -Pk {shlex.quote(self.home)}").output.splitlines()
        fields = lines[-1].split() if len(lines) > 1 else []
        return int(fields[-3]) * 1024 if len(fields) >= 6 and fields[-3].isdigit() else None

    @property
    def done(self) -> bool:
        return self._size >= 0

    def dump(self, program: str, argv: Sequence[str], deadline: Deadline, statuses: Statuses) -> None:
        """Run *argv*, which writes ``path``, to its end, and digest what it wrote, there."""
        script = _DUMP.format(home=shlex.quote(self.home))
        ended = self._place.run(["sh", "-c", script, "upkeep", *argv], _left(deadline))
        said = self._place.shell(f"cat {shlex.quote(self.home)}/status").output.strip()
        # The status of the client is not believed: its stream may break and it end with 0 (and the other way round).
        status = int(said) if said.isdigit() else ended.status or -1
        statuses.append((program, status))
        if status:
            raise failed(program, status, ended.errors or ended.output)
        script = _DIGESTED.format(path=shlex.quote(self.path))
        digest = self._place.shell(script, _left(deadline))
        digest.require_success(f"Digesting the dump in {self._place.title}")
        size, _newline, rest = digest.output.partition("\n")
        found = _DIGEST.match(rest.strip() + " ")
        if not size.strip().isdigit() or found is None:
            raise BackupFailed(f"Nobody in {self._place.title} says what the dump is: {one_line(digest.output)[:200]}.")
        self._size, self._sha256 = int(size), found[1]

    def fetch(self, sink: Sink, deadline: Deadline) -> None:
        """Copy it out into *sink*. What breaks off is fetched from there on; raises ``CopyDiffers``."""
        digest = Digest(sink)
        for attempt in range(self._retries + 1):
            left = self._size - digest.size
            if left <= 0:
                break
            offset = digest.size
            try:
                self._from(offset, _AtMost(digest, left), deadline)
            except BackupFailed:
                if attempt == self._retries:
                    raise
        if digest.size != self._size:
            raise CopyDiffers(
                f"Only {digest.size} of the {self._size} bytes of the dump came out of {self._place.title}, in "
                f"{self._retries + 1} attempts.",
                "Look at the connection, and at what limits a stream in between.",
                {"size": self._size, "copied": digest.size},
            )
        if digest.sha256 != self._sha256:
            raise CopyDiffers(
                f"What came out of {self._place.title} has as many bytes as the dump there, and another SHA-256.",
                "Look at what is in between: something changes the bytes (a terminal, a proxy).",
                {"size": self._size, "sha256_there": self._sha256, "sha256_here": digest.sha256},
            )

    def _from(self, offset: int, sink: Sink, deadline: Deadline) -> None:
        argv = ["tail", "-c", f"+{offset + 1}", self.path] if offset else ["cat", self.path]
        reader, writer = os.pipe()
        os.close(writer)
        try:
            self._place.source("the copy", argv, reader).pour(sink, deadline, [])
        finally:
            os.close(reader)


def _left(deadline: Deadline) -> float:
    return _UNLIMITED_SECONDS if deadline.remaining is None else deadline.remaining


class _AtMost:
    """Passes on so many bytes: what follows belongs to nobody."""

    def __init__(self, sink: Sink, left: int) -> None:
        self._sink, self._left = sink, left

    def feed(self, data: bytes) -> None:
        if len(data) > self._left:
            raise CopyDiffers("More bytes came than there are.", "Look at what is in between.")
        self._left -= len(data)
        self._sink.feed(data)

    def finish(self) -> None:
        """What follows is not ours."""
