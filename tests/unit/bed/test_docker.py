"""The parts of the bed's Docker that need no engine: names, images, networks, packages."""

from __future__ import annotations

import json
import os
import tarfile
from pathlib import Path

import pytest

from tests.bed import bridges, docker_engine, docker_images, packages
from tests.bed.docker_images import Tree
from tests.bed.errors import BedError
from tests.bed.processes import start_of


def test_the_owner_of_a_name_is_told_from_a_later_process_with_its_pid() -> None:
    started = start_of(os.getpid())
    assert started is not None
    prefix = docker_engine._prefix_of(os.getpid(), started)
    assert docker_engine._owner_part(f"{prefix}shop-db-1") == docker_engine._owner_part(prefix) == prefix
    assert docker_engine._owner_lives(prefix)
    assert not docker_engine._owner_lives(docker_engine._prefix_of(os.getpid(), "an earlier start"))
    assert not docker_engine._owner_lives("upkeep-bed-nonsense-1-")


def test_a_network_is_chosen_that_nothing_is_routed_to() -> None:
    chosen = {bridges.free_network() for _time in range(20)}
    routed = Path("/proc/net/route").read_text(encoding="ascii") if Path("/proc/net/route").exists() else ""
    assert all(64 <= number < 250 for number in chosen)
    assert not any(f"{number:02X}0A\t" in routed for number in chosen)


def test_a_tree_is_packed_the_same_each_time_and_with_one_usr(tmp_path: Path) -> None:
    def packed(name: str) -> bytes:
        tree = Tree()
        tree.file("/etc/b", "text", mode=0o600, owner=999)
        tree.copy(Path(__file__), "/bin/program")
        tree.link("/bin", "usr/bin")
        tree.pack(tmp_path / name)
        return (tmp_path / name).read_bytes()

    assert packed("one.tar") == packed("two.tar")
    with tarfile.open(tmp_path / "one.tar") as archive:
        members = {member.name: member for member in archive}
    assert sorted(members) == ["bin", "etc", "etc/b", "usr", "usr/bin", "usr/bin/program"]
    assert (members["etc/b"].mode, members["etc/b"].uid, members["bin"].linkname) == (0o600, 999, "usr/bin")


def test_an_image_is_written_as_docker_reads_it_and_once_for_each_recipe(tmp_path: Path) -> None:
    made = []

    def make(path: Path) -> None:
        made.append(path)
        tree = Tree()
        tree.file("/etc/motd", "hello")
        docker_images.save(tree, path, {"Cmd": ["true"]})

    first = docker_images.cached("small", ["1"], tmp_path, make)
    assert docker_images.cached("small", ["1"], tmp_path, make) == first
    other = docker_images.cached("small-too", ["1"], tmp_path, make)
    second = docker_images.cached("small", ["2"], tmp_path, make)
    assert made == [first, other, second]
    assert set(second.parent.iterdir()) == {other, second}, "the older one and what was half done are gone"
    with tarfile.open(second) as archive:
        (manifest,) = json.loads(archive.extractfile("manifest.json").read())  # type: ignore[union-attr]  # it is a file
        config = json.loads(archive.extractfile(manifest["Config"]).read())  # type: ignore[union-attr]  # so is this
        assert manifest["Layers"][0] in archive.getnames()
    assert config["config"] == {"Cmd": ["true"], "Labels": {docker_images.LABEL: "image"}}
    assert config["rootfs"]["diff_ids"][0].startswith("sha256:")


@pytest.mark.parametrize(
    "text",
    [
        "Types: deb\nURIs: http://mirror.example/debian\nSuites: bookworm\n",
        "# a comment\ndeb [signed-by=/usr/share/keyrings/x.gpg] http://mirror.example/debian bookworm main\n",
        "deb http://mirror.example/debian/ bookworm main\n",
    ],
)
def test_the_archive_of_the_machine_is_found(text: str, tmp_path: Path) -> None:
    (tmp_path / "sources.list.d").mkdir()
    (tmp_path / "sources.list.d" / "debian.sources").write_text(text)
    assert packages.archive(tmp_path) == "http://mirror.example/debian"


def test_a_machine_without_an_archive_is_told_what_to_add(tmp_path: Path) -> None:
    with pytest.raises(BedError, match="names no Debian archive: add a line"):
        packages.archive(tmp_path / "nowhere")


def test_what_runs_is_not_unpacked_again(tmp_path: Path) -> None:
    asked = []

    def works(home: Path) -> bool:
        asked.append(home)
        return True

    found = packages.unpacked("thing", ("thing",), tmp_path, works, release="other")
    assert asked == [found] == [tmp_path / "thing-other"]
    assert packages.runs(found, ("true",))
    assert not packages.runs(found, ("usr/bin/true",))
    assert not packages.runs(found, ("false",))
