# Copyright (c) 2026 Upkeep maintainers
# GNU General Public License v3.0-or-later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The working tree of an application, through the program ``git``; no hook of the repository is run."""

from __future__ import annotations

import re
from collections.abc import Sequence

from ansible_collections.cadence.upkeep.plugins.module_utils._compose.release.model import Commit
from ansible_collections.cadence.upkeep.plugins.module_utils._core.command import Completed, run
from ansible_collections.cadence.upkeep.plugins.module_utils._core.errors import (
    CommandFailed,
    ConnectionFailed,
    InvalidInput,
    UpkeepError,
)
from ansible_collections.cadence.upkeep.plugins.module_utils._core.plain import one_line

_HASH = re.compile(r"[0-9a-f]{40}(?:[0-9a-f]{24})?\Z")
_RECORD, _FIELD = "\x1e", "\x1f"
_QUIET = {"GIT_TERMINAL_PROMPT": "0", "GIT_ASKPASS": "true", "SSH_ASKPASS": "true", "GIT_OPTIONAL_LOCKS": "0"}
_MOST_COMMITS = 1000


class TreeRefused(UpkeepError):
    """The working tree is not in a state in which it may be changed."""


class Git:
    """One working tree; raises ``CommandFailed``, ``DeadlineExceeded`` and ``InvalidInput``."""

    def __init__(self, path: str, remote: str, seconds: float) -> None:
        self.path = path
        self.remote = remote
        self._seconds = seconds

    def require(self) -> None:
        """Raise ``InvalidInput`` unless the path is the root of a working tree that git will work on."""
        ended = self._run("rev-parse", "--show-prefix")
        if ended.status or ended.output.strip():
            said = " ".join(ended.errors.split()) or "it is a folder within one"
            raise InvalidInput(
                f"{self.path} is not the root of a working tree of git: {one_line(said)[:300]}",
                "Correct path; when git speaks of dubious ownership, run the task as the owner (become_user).",
            )

    @property
    def head(self) -> str:
        return self._output("rev-parse", "--verify", "HEAD^{commit}")

    @property
    def branch(self) -> str:
        """The branch that is checked out; empty for a detached head."""
        ended = self._run("symbolic-ref", "--quiet", "--short", "HEAD")
        return "" if ended.status else ended.output.strip()

    def changed(self) -> list[str]:
        """Return the files that differ from what is checked out, and what is begun and not ended; not the untracked."""
        return self._output("status", "--porcelain", "--untracked-files=no", "--ignore-submodules=none").splitlines()

    def describe(self, commit: str) -> str:
        """Return a name for people: the tag, or how far it is from one, or the short hash."""
        return self._output("describe", "--tags", "--always", commit)

    def fetch(self) -> None:
        """Bring all of the remote. Raises ``ConnectionFailed`` when it cannot be asked."""
        # A tag that was moved over there is refused: a version is what it was.
        ended = self._run("fetch", "--tags", "--prune", "--no-recurse-submodules", self.remote)
        if ended.status:
            raise self._unreachable(ended)

    def remote_has(self, version: str) -> bool:
        """True when the remote has that tag or branch, or when it is a hash, which it cannot be asked for.

        Nothing is fetched. Raises ``ConnectionFailed`` when it cannot be asked.
        """
        ended = self._run("ls-remote", "--quiet", self.remote, f"refs/tags/{version}", f"refs/heads/{version}")
        if ended.status:
            raise self._unreachable(ended)
        return bool(ended.output.strip()) or re.fullmatch(r"[0-9a-f]{7,64}", version) is not None

    def _unreachable(self, ended: Completed) -> ConnectionFailed:
        said = one_line(" ".join(ended.errors.split()))[-400:]
        return ConnectionFailed(
            f"git cannot fetch from {self.remote} into {self.path}: {said}",
            "Try git fetch there as the same user; delete a tag that was moved here first: git tag -d TAG.",
            {"path": self.path, "remote": self.remote},
        )

    def resolve(self, version: str) -> str:
        """Return the commit of a tag, a branch of the remote or a hash; empty when there is none.

        A tag goes before a branch; a branch here does not count: it may be old.
        """
        for reference in (f"refs/tags/{version}", f"refs/remotes/{self.remote}/{version}"):
            ended = self._run("rev-parse", "--quiet", "--verify", f"{reference}^{{commit}}")
            if not ended.status:
                return ended.output.strip()
        if re.fullmatch(r"[0-9a-f]{7,64}", version):
            ended = self._run("rev-parse", "--quiet", "--verify", f"{version}^{{commit}}")
            if not ended.status:
                return ended.output.strip()
        return ""

    def newest_tag(self, pattern: str) -> str:
        """Return the newest version among the tags, as versions are ordered; releases before their candidates."""
        tags = self._output(
            *("-c", "versionsort.suffix=-"), "tag", "--list", pattern, "--sort=-version:refname"
        ).splitlines()
        return tags[0] if tags else ""

    def default_branch(self) -> str:
        """Return the branch that the remote has for its main one, as far as is known here."""
        ended = self._run("symbolic-ref", "--quiet", "--short", f"refs/remotes/{self.remote}/HEAD")
        if not ended.status:
            return ended.output.strip().partition("/")[2]
        return next((name for name in ("main", "master") if self.resolve(name)), "")

    def verify(self, version: str, commit: str) -> None:
        """Raise ``InvalidInput`` unless a good signature is on the tag, or on the commit of what is no tag."""
        tag = self._run("rev-parse", "--quiet", "--verify", f"refs/tags/{version}^{{tag}}")
        ended = self._run("verify-commit", commit) if tag.status else self._run("verify-tag", version)
        if ended.status:
            said = one_line(" ".join(ended.errors.split()))[-300:] or "there is no signature"
            raise InvalidInput(
                f"The signature of {one_line(version)} could not be verified: {said}",
                "Sign the release (git tag -s), and bring the public key of the signer to this account.",
            )

    def contains(self, commit: str, ancestor: str) -> bool:
        """True when *ancestor* is *commit*, or one before it."""
        return self._run("merge-base", "--is-ancestor", ancestor, commit).status == 0

    def commits(self, since: str, until: str) -> list[Commit]:
        """Return what is in *until* and not in *since*, the newest first."""
        form = _FIELD.join(("%H", "%aI", "%s", "%b")) + _RECORD
        said = self._output("log", f"--max-count={_MOST_COMMITS}", f"--format={form}", f"{since}..{until}")
        records = [record.strip("\n").split(_FIELD) for record in said.split(_RECORD)]
        return [Commit(fields[0], fields[1], one_line(fields[2]), fields[3]) for fields in records if len(fields) == 4]

    def files_between(self, since: str, until: str) -> list[str]:
        return self._output("diff", "--name-only", "-z", since, until).strip("\0").split("\0")

    def check_out(self, commit: str, submodules: bool, branch: str = "") -> None:
        """Put the tree at *commit*, on *branch* if that is given and still there; changed files are refused by git."""
        if branch and self._run("rev-parse", "--quiet", "--verify", f"refs/heads/{branch}").output.strip() == commit:
            self._output("checkout", "--quiet", branch, "--")
        else:
            self._output("checkout", "--quiet", "--detach", commit)
        if submodules:
            self._output("submodule", "update", "--init", "--recursive", "--quiet")
        found = self.head
        if found != commit:
            raise CommandFailed(f"{self.path} is at {found[:12]} after the checkout of {commit[:12]}.", "Look into it.")

    def _output(self, *arguments: str) -> str:
        ended = self._run(*arguments)
        if ended.status:
            # The last line alone often says no more than that it gave up.
            said = one_line(" ".join(ended.errors.split()))[-600:]
            raise CommandFailed(
                f"git {arguments[0]} failed in {self.path} with status {ended.status}: {said}",
                "Mend what git names, then run the task again.",
                {"path": self.path, "status": ended.status},
            )
        return ended.output.strip("\n")

    def _run(self, *arguments: str) -> Completed:
        # The tree may belong to somebody else than who runs this: nothing that it brings is executed.
        closed = ("-c", "core.hooksPath=/dev/null", "-c", "core.fsmonitor=false", "-c", "core.quotePath=true")
        return run(["git", "-C", self.path, *closed, *arguments], self._seconds, environment=_QUIET)


def is_hash(text: str) -> bool:
    """True for a whole hash: an abbreviated one may stand for another commit tomorrow."""
    return _HASH.match(text) is not None


def require_clean(git: Git, changed: Sequence[str]) -> None:
    """Raise ``TreeRefused`` when files of the tree were changed."""
    if changed:
        shown = ", ".join(one_line(line[3:]) for line in changed[:5])
        more = f" and {len(changed) - 5} more" if changed[5:] else ""
        raise TreeRefused(
            f"{git.path} was changed by hand and is left as it is: {shown}{more}.",
            "See git status there; commit the changes where they belong, or take them back: git restore FILE.",
            {"path": git.path, "changed": list(changed[:50])},
        )
