"""What is said of a daemon that cannot be asked. Real ones are asked in tests/integration/test_containers.py."""

from __future__ import annotations

import errno
from pathlib import Path

import pytest
import requests.exceptions

from ansible_collections.cadence.upkeep.plugins.module_utils._core import daemon
from ansible_collections.cadence.upkeep.plugins.module_utils._core.daemon import (
    DEFAULT_SOCKET,
    Daemon,
    daemon_url,
    unreachable,
)
from ansible_collections.cadence.upkeep.plugins.module_utils._core.errors import InvalidInput, MissingLibrary

URL = "unix:///var/run/docker.sock"


def wrapped(cause: Exception) -> Exception:
    """As urllib3, requests and the SDK wrap one another: the cause stands among the arguments."""
    inner = requests.exceptions.ConnectionError(Exception("Connection aborted.", cause))
    outer = Exception(f"Error while fetching server API version: {inner}")
    outer.__context__ = inner
    return outer


@pytest.mark.parametrize(
    ("error", "reason", "step"),
    [
        (wrapped(PermissionError(errno.EACCES, "Permission denied")), "permission denied", "become: true"),
        (wrapped(FileNotFoundError(errno.ENOENT, "No such file")), "there is no such socket", "docker_host"),
        (
            wrapped(ConnectionRefusedError(errno.ECONNREFUSED, "refused")),
            "connection refused",
            "systemctl start docker",
        ),
        (wrapped(requests.exceptions.ReadTimeout("slow")), "did not answer within 15 s", "journalctl"),
        (wrapped(requests.exceptions.SSLError("bad certificate")), "no trusted connection", "DOCKER_CERT_PATH"),
        (
            Exception("client version 1.22 is too old. Minimum supported API version is 1.44"),
            "client version 1.22 is too old",
            "Update whichever",
        ),
        (
            Exception("Error while fetching server API version: Not supported URL scheme http+docker"),
            "too old for its own libraries",
            "docker>=7.1",
        ),
        (Exception("something\nnew"), "something new", "docker ps"),
    ],
)
def test_a_daemon_that_cannot_be_asked_is_one_sentence_with_the_next_step(
    error: Exception, reason: str, step: str
) -> None:
    said = unreachable(URL, error)
    assert reason in said.message and URL in said.message and "\n" not in said.message
    assert step in said.remedy


def test_a_cause_that_goes_in_circles_ends() -> None:
    error = Exception("round")
    error.__context__ = Exception("and round", error)
    assert "round" in unreachable(URL, error).message


@pytest.mark.parametrize(
    ("given", "environ", "url"),
    [
        ("", {}, f"unix://{DEFAULT_SOCKET}"),
        ("", {"DOCKER_HOST": "tcp://db1:2376"}, "tcp://db1:2376"),
        ("unix:///run/podman/podman.sock", {"DOCKER_HOST": "tcp://db1:2376"}, "unix:///run/podman/podman.sock"),
        ("/run/podman/podman.sock", {}, "unix:///run/podman/podman.sock"),
    ],
)
def test_where_the_daemon_is(given: str, environ: dict[str, str], url: str) -> None:
    assert daemon_url(given, environ) == url


def test_a_rootless_daemon_is_found_where_there_is_no_other(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "docker.sock").touch()
    monkeypatch.setattr(daemon, "DEFAULT_SOCKET", str(tmp_path / "absent"))
    assert daemon_url("", {"XDG_RUNTIME_DIR": str(tmp_path)}) == f"unix://{tmp_path}/docker.sock"
    monkeypatch.setattr(daemon, "DEFAULT_SOCKET", str(tmp_path))
    assert daemon_url("", {"XDG_RUNTIME_DIR": str(tmp_path)}) == f"unix://{tmp_path}"


def test_ssh_is_what_ansible_is_for() -> None:
    with pytest.raises(InvalidInput, match="through ssh") as refused:
        Daemon("", {"DOCKER_HOST": "ssh://root@db1"})
    assert "Run the task on that host" in refused.value.remedy


def test_without_the_sdk_the_packages_are_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(daemon, "IMPORT_ERROR", "Traceback\nModuleNotFoundError: No module named 'docker'\n")
    with pytest.raises(MissingLibrary, match="lacks the Docker SDK") as missing:
        Daemon()
    assert set(missing.value.evidence["packages"]) == {"apt", "dnf", "pip"}
    assert "No module named" in missing.value.evidence["import_errors"]["docker"]


def test_a_folder_that_is_called_docker_is_not_the_sdk(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delattr(daemon.docker, "APIClient")
    with pytest.raises(MissingLibrary):
        Daemon()
