"""Backups: whole, private, in order, and believed only when they are what they say."""

from __future__ import annotations

import io
import json
import os
import stat
import tarfile
from pathlib import Path

import pytest

from ansible_collections.cadence.upkeep.plugins.module_utils._cert.deploy.archive import Archives
from ansible_collections.cadence.upkeep.plugins.module_utils._cert.deploy.store import Store, StoreError, store_of
from ansible_collections.cadence.upkeep.plugins.module_utils._core.errors import InvalidInput, StateError

FILES = {"fullchain": b"certificate\n", "privkey": b"key\n"}
STAMP = "20261122T041300Z"


@pytest.fixture
def store(tmp_path: Path) -> Store:
    made = store_of("shop", {"fullchain": str(tmp_path / "a.crt"), "privkey": str(tmp_path / "a.key")})
    for key, content in FILES.items():
        Path(made.places[key]).write_bytes(content)
        Path(made.places[key]).chmod(0o640)
    return made


@pytest.fixture
def archives(store: Store, tmp_path: Path) -> Archives:
    return Archives(str(tmp_path / "backups"), store, 3)


def test_what_is_kept_comes_back_as_it_was(archives: Archives) -> None:
    path = archives.add(FILES, STAMP)
    assert stat.S_IMODE(os.stat(path).st_mode) == 0o600
    assert stat.S_IMODE(os.stat(archives.folder).st_mode) == 0o700
    kept = archives.load("latest")
    assert (kept.path, dict(kept.files)) == (path, FILES)
    assert {keep.owner_and_mode for keep in kept.keep.values()} == {(os.geteuid(), os.getegid(), 0o640)}
    assert archives.load(STAMP).files == kept.files


def test_the_same_is_found_and_something_else_is_not(archives: Archives) -> None:
    assert archives.same(FILES) == ""
    path = archives.add(FILES, STAMP)
    assert archives.same(FILES) == path
    assert archives.same({**FILES, "privkey": b"other"}) == ""


def test_several_within_one_second_stay_apart_and_in_order(archives: Archives) -> None:
    for _time in range(3):
        archives.add(FILES, STAMP)
    assert archives.stamps() == [f"{STAMP}-2", f"{STAMP}-1", STAMP]
    archives.add(FILES, "20261122T041301Z")
    assert archives.stamps() == ["20261122T041301Z", f"{STAMP}-2", f"{STAMP}-1"], "the oldest went"


def test_what_a_restoration_replaced_is_kept_and_is_not_the_latest(archives: Archives) -> None:
    path = archives.add(FILES, STAMP)
    replaced = archives.add(FILES, "20261122T041301Z", replaced=True)
    assert archives.load("latest").path == path
    assert archives.load("20261122T041301Z-replaced").path == replaced


def test_others_in_the_same_folder_are_left_alone(archives: Archives, tmp_path: Path) -> None:
    archives.add(FILES, STAMP)
    for name in (f"shop-www-{STAMP}.tar", "shop-notes.tar", f"shop-{STAMP}.tar.gpg"):
        (tmp_path / "backups" / name).touch()
    for number in range(5):
        archives.add(FILES, f"2026112{number + 3}T041300Z")
    assert len(archives.stamps()) == 3 and len(os.listdir(archives.folder)) == 6


def test_one_that_is_not_there_is_named_with_those_that_are(archives: Archives) -> None:
    with pytest.raises(InvalidInput, match="has no backup latest of shop"):
        archives.load("latest")
    archives.add(FILES, STAMP)
    with pytest.raises(InvalidInput, match=r"has no backup \.\./x of shop") as none:
        archives.load("../x")
    assert STAMP in none.value.remedy


def packed(members: dict[str, bytes]) -> bytes:
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as archive:
        for name, content in members.items():
            entry = tarfile.TarInfo(name)
            entry.size = len(content)
            archive.addfile(entry, io.BytesIO(content))
    return buffer.getvalue()


ENTRY = {"path": "/a", "sha256": "00", "uid": 0, "gid": 0, "mode": 384}
DAMAGED = {
    "garbage": b"garbage",
    "empty": b"",
    "no manifest": packed({"fullchain.pem": b"x"}),
    "a manifest that is none": packed({"manifest.json": b"[]"}),
    "another schema": packed({"manifest.json": json.dumps({"schema": 9, "files": {}}).encode()}),
    "a file that is missing": packed(
        {"manifest.json": json.dumps({"schema": 1, "files": {"fullchain": ENTRY}}).encode()}
    ),
    "a file that nobody knows": packed(
        {"manifest.json": json.dumps({"schema": 1, "files": {"../../etc/passwd": ENTRY}}).encode()}
    ),
    "another content": packed(
        {
            "manifest.json": json.dumps({"schema": 1, "files": {"fullchain": ENTRY}}).encode(),
            "fullchain.pem": b"x",
        }
    ),
}


@pytest.mark.parametrize("case", DAMAGED)
def test_a_damaged_one_is_not_believed(archives: Archives, case: str) -> None:
    path = Path(archives.add(FILES, STAMP))
    path.write_bytes(DAMAGED[case])
    with pytest.raises(StoreError, match="cannot be trusted"):
        archives.load("latest")
    assert archives.same(FILES) == "", "so it is kept anew"


def test_a_folder_that_others_may_change_is_not_believed(archives: Archives) -> None:
    os.mkdir(archives.folder)
    os.chmod(archives.folder, 0o777)
    with pytest.raises(StateError, match="may be changed by other users"):
        archives.add(FILES, STAMP)


def test_a_folder_that_cannot_be_is_named(store: Store, tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(StoreError, match="cannot be read or written"):
        Archives(str(tmp_path / "file" / "x"), store, 3).add(FILES, STAMP)
