"""Hosts by what is on their disks, and what their Pythons answer."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from ansible_collections.cadence.upkeep.plugins.module_utils._core.errors import CommandFailed, UpkeepError
from ansible_collections.cadence.upkeep.plugins.module_utils._prerequisites.system import System

DEBIAN = 'PRETTY_NAME="Debian GNU/Linux 12 (bookworm)"\nID=debian\n'
UBUNTU = 'NAME="Ubuntu"\nID=ubuntu\nID_LIKE=debian\n'
RHEL = 'NAME="Red Hat Enterprise Linux"\nID="rhel"\nID_LIKE="fedora"\n'
ROCKY = 'NAME="Rocky Linux"\nID="rocky"\nID_LIKE="rhel centos fedora"\n'
FEDORA = "NAME=Fedora Linux\nID=fedora\n"
SUSE = 'NAME="openSUSE Leap"\nID="opensuse-leap"\nID_LIKE="suse opensuse"\n'
ALPINE = "NAME=Alpine Linux\nID=alpine\n"
ARCH = "NAME=Arch Linux\nID=arch\n"


@dataclass(frozen=True)
class Recorded(System):
    """A recorded host. ``answers`` has what each Python says by ``(path, kind)``, and by library for an import."""

    python: str = "/usr/bin/python3.11"
    writable: bool = True
    answers: Mapping[tuple[str, ...], Any] = field(default_factory=dict)

    def is_writable(self, path: str) -> bool:
        return self.writable

    def probe(self, python: str, kind: str, names: Sequence[str], seconds: float) -> Mapping[str, Any]:
        answer = self.answers.get((python, kind, *names), self.answers.get((python, kind)))
        if answer is None:
            raise CommandFailed(f"{python} cannot be started: No such file or directory.")
        if isinstance(answer, UpkeepError):
            raise answer
        told: Mapping[str, Any] = answer
        return told


def asked(path: str = "/usr/bin/python3.11", version: str = "3.11.2", **more: Any) -> dict[str, Any]:
    """What an interpreter says of itself."""
    return {"path": path, "version": version, "virtual": False, "managed": True, "can_isolate": True, **more}


def imported(name: str, version: str = "1.0") -> dict[str, Any]:
    return {"module": name, "module_version": version}


def refused(**errors: tuple[bool, str]) -> dict[str, Any]:
    """What an interpreter says that can import none: whether each is absent, and the error."""
    return {"errors": {name: list(error) for name, error in errors.items()}}


def host(folder: Path, release: str, *files: str, links: Mapping[str, str] | None = None, **more: Any) -> Recorded:
    """Write a host with those executables and links below *folder*."""
    (folder / "etc").mkdir(parents=True, exist_ok=True)
    (folder / "etc" / "os-release").write_text(release)
    for path in files:
        place = folder / path.lstrip("/")
        place.parent.mkdir(parents=True, exist_ok=True)
        place.write_text("")
        place.chmod(0o755)
    for path, target in (links or {}).items():
        place = folder / path.lstrip("/")
        place.parent.mkdir(parents=True, exist_ok=True)
        place.symlink_to(target)
    return Recorded(root=str(folder), **more)


PYTHON3 = {"/usr/bin/python3": "python3.11"}
