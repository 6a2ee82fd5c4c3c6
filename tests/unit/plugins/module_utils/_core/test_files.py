"""Nothing that another user could have put in our way is followed, believed or overwritten."""

from __future__ import annotations

import os

import pytest

from ansible_collections.cadence.upkeep.plugins.module_utils._core.errors import StateError
from ansible_collections.cadence.upkeep.plugins.module_utils._core.files import (
    ensure_directory,
    open_own,
    require_owner,
    require_trusted,
)
from tests.unit.plugins.module_utils._core.processes import NOBODY, descriptors, in_child, needs_root

READ, WRITE = os.O_RDONLY, os.O_RDWR | os.O_CREAT


def mode(path):
    return os.stat(path).st_mode & 0o7777


def test_a_directory_is_made_for_us_alone(tmp_path):
    path = tmp_path / "a" / "b"
    ensure_directory(str(path))
    assert mode(path) == 0o700
    ensure_directory(str(path))


def test_a_file_is_made_for_us_alone(tmp_path):
    path = tmp_path / "state"
    os.close(open_own(str(path), WRITE))
    assert mode(path) == 0o600


def test_a_descriptor_is_not_handed_to_programs(tmp_path):
    descriptor = open_own(str(tmp_path / "state"), WRITE)
    assert not os.get_inheritable(descriptor)
    os.close(descriptor)


@pytest.mark.parametrize("blocked", ["file", "dangling"])
def test_a_directory_that_cannot_be_made_is_an_error_of_the_system(tmp_path, blocked):
    path = tmp_path / "state"
    path.write_text("") if blocked == "file" else path.symlink_to(tmp_path / "nowhere")
    with pytest.raises(FileExistsError):
        ensure_directory(str(path))


@pytest.mark.parametrize("writable", [0o777, 0o770, 0o702])
def test_a_directory_that_others_may_change_is_refused_with_the_command_that_mends_it(tmp_path, writable):
    tmp_path.chmod(writable)
    with pytest.raises(StateError, match=f"may be changed by other users .mode {writable:04o}") as caught:
        require_trusted(str(tmp_path))
    assert f"chmod go-w {tmp_path}" in caught.value.remedy


def test_a_sticky_directory_is_trusted_as_slash_tmp_is(tmp_path):
    tmp_path.chmod(0o1777)
    require_trusted(str(tmp_path))


def test_our_own_link_may_lead_to_a_directory(tmp_path):
    (tmp_path / "disk").mkdir(0o700)
    (tmp_path / "state").symlink_to(tmp_path / "disk")
    ensure_directory(str(tmp_path / "state"))


@needs_root
@pytest.mark.parametrize("check", [require_owner, require_trusted, ensure_directory])
def test_a_directory_of_somebody_else_is_refused(tmp_path, check):
    path = tmp_path / "state"
    path.mkdir(0o700)
    os.chown(path, NOBODY, -1)
    with pytest.raises(StateError, match=f"belongs to uid {NOBODY}, not to the user of this run") as caught:
        check(str(path))
    assert caught.value.evidence == {"path": str(path), "owner": NOBODY, "user": os.geteuid()}


@needs_root
def test_a_link_that_somebody_else_made_is_refused_even_when_it_leads_to_our_own(tmp_path):
    (tmp_path / "ours").mkdir(0o700)
    (tmp_path / "state").symlink_to(tmp_path / "ours")
    os.lchown(tmp_path / "state", NOBODY, -1)
    with pytest.raises(StateError, match="belongs to uid"):
        require_trusted(str(tmp_path / "state"))


@needs_root
def test_what_root_made_is_trusted_by_others(tmp_path):
    path = tmp_path / "state"
    path.mkdir(0o755)
    tmp_path.chmod(0o755)
    descriptor = os.open(tmp_path, os.O_RDONLY)  # the folders above are closed to others
    assert in_child(lambda: [os.fchdir(descriptor), require_trusted("state")], NOBODY) == [None, None]
    os.close(descriptor)


@pytest.mark.parametrize("flags", [READ, WRITE])
@pytest.mark.parametrize("kind", ["link", "fifo", "directory"])
def test_what_is_no_regular_file_is_refused_and_never_waited_for(tmp_path, kind, flags):
    path = tmp_path / "state"
    if kind == "link":
        (tmp_path / "shadow").write_text("")
        path.symlink_to(tmp_path / "shadow")
    elif kind == "fifo":
        os.mkfifo(path)
    else:
        path.mkdir()
    before = descriptors()
    with pytest.raises((StateError, IsADirectoryError)) as caught:
        open_own(str(path), flags)
    assert "regular file" in str(caught.value) or "directory" in str(caught.value)
    assert descriptors() == before


def test_a_fifo_that_nobody_reads_is_refused_too(tmp_path):
    os.mkfifo(tmp_path / "state")
    with pytest.raises(StateError, match="not a regular file"):
        open_own(str(tmp_path / "state"), os.O_WRONLY)


@needs_root
def test_a_file_of_somebody_else_is_refused(tmp_path):
    path = tmp_path / "state"
    path.write_text("{}")
    os.chown(path, NOBODY, -1)
    with pytest.raises(StateError, match=f"{path} belongs to uid"):
        open_own(str(path), READ)


def test_a_second_name_of_a_file_is_not_written_where_others_could_have_made_it(tmp_path):
    (tmp_path / "precious").write_text("keep me")
    (tmp_path / "locks").mkdir(0o700)
    path = tmp_path / "locks" / "x.lock"
    os.link(tmp_path / "precious", path)
    os.close(open_own(str(path), WRITE))  # a backup by hard links is nobody's trap
    (tmp_path / "locks").chmod(0o1777)
    os.close(open_own(str(path), READ))
    with pytest.raises(StateError, match="second name of another file"):
        open_own(str(path), WRITE)


def test_what_is_not_there_is_an_error_of_the_system(tmp_path):
    with pytest.raises(FileNotFoundError):
        open_own(str(tmp_path / "state"), READ)
