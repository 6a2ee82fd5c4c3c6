"""Archives of several files: the tar and the directory of `pg_dump`, from real ones and from written ones."""

from __future__ import annotations

import gzip
import io
import os
import tarfile
from collections.abc import Mapping
from pathlib import Path

import pytest

from ansible_collections.cadence.upkeep.plugins.module_utils._backup import model
from ansible_collections.cadence.upkeep.plugins.module_utils._backup.reader import NOTHING_WANTED
from ansible_collections.cadence.upkeep.plugins.module_utils._backup.tree import read_directory
from ansible_collections.cadence.upkeep.plugins.module_utils._core.deadline import Deadline
from tests.unit.plugins.module_utils._backup.samples import LIMITS, ROWS, Piece, archive, codes, codes_of, look

ENTRIES = (
    Piece(1, ROWS),
    Piece(2, b"\\.\n\n\n", tag="customers"),
    Piece(3, [(16384, b"large")], copied=False, tag="BLOBS", kind="BLOBS"),
    Piece(4, tag="view", kind="VIEW"),
)
FILES = {
    "1.dat": ROWS,
    "2.dat": b"\\.\n\n\n",
    "blobs.toc": b"16384 blob_16384.dat\n",
    "blob_16384.dat": b"\x1f\x8blarge",  # whatever it looks like
}


def toc(compression: str = "none", entries: tuple[Piece, ...] = ENTRIES) -> bytes:
    return archive(entries, (1, 16), compression, filed=True)


def tar_of(files: Mapping[str, bytes], **changes: object) -> bytes:
    packed = io.BytesIO()
    with tarfile.open(fileobj=packed, mode="w", format=tarfile.USTAR_FORMAT) as archive_:
        for name, data in files.items():
            member = tarfile.TarInfo(name)
            member.size = len(data)
            for key, value in changes.items():
                setattr(member, key, value)
            archive_.addfile(member, io.BytesIO(data))
    return packed.getvalue()


GOOD = {"toc.dat": toc(), **FILES, "restore.sql": b"-- whatever\n"}


@pytest.mark.parametrize("step", [1, 777, 1 << 18])
def test_a_tar_is_read_to_its_end(step: int) -> None:
    seen = look("shop.tar", tar_of(GOOD), step)
    assert seen.problems == ()
    assert seen.chain == ("pgdump-tar",)
    assert seen.unproven == ("toc", "values")
    assert seen.dump is not None
    assert (seen.dump.database, seen.dump.tables, seen.dump.complete) == ("shop", 2, True)
    assert seen.dump.rows == {"public.orders": 2, "public.customers": 0}


def without(name: str) -> dict[str, bytes]:
    return {key: data for key, data in GOOD.items() if key != name}


@pytest.mark.parametrize(
    ("files", "code"),
    [
        (without("1.dat"), "data_missing"),
        (without("blobs.toc"), "data_missing"),
        (without("blob_16384.dat"), "data_missing"),
        (without("toc.dat"), "corrupt"),
        ({**GOOD, "9.dat": b""}, "trailing_garbage"),
        ({**GOOD, "blob_9.dat": b""}, "trailing_garbage"),
        ({**GOOD, "1.dat": b"1\tone\n"}, "incomplete_dump"),
        ({**GOOD, "1.dat": b""}, "incomplete_dump"),
        ({**GOOD, "1.dat": b"1\tone\ttoo many\n\\.\n\n\n"}, "schema_mismatch"),
        ({**GOOD, "blobs.toc": b"x"}, "toc_corrupt"),
        ({**GOOD, "toc.dat": toc()[:-1]}, "truncated"),
        ({**GOOD, "toc.dat": toc() + b"x"}, "toc_corrupt"),
        ({**GOOD, "sub/9.dat": b""}, "unsafe_member"),
    ],
)
def test_what_is_wrong_with_a_tar_is_told(files: dict[str, bytes], code: str) -> None:
    if code == "corrupt":  # without its first member it is a tar of files like any other
        assert look("shop.tar", tar_of(files)).chain == ("tar",)
        return
    assert codes_of("shop.tar", tar_of(files))[0] == code


def test_files_that_changed_places_are_told() -> None:
    entries = (Piece(1, ROWS), Piece(2, ROWS, tag="customers"))
    files = {"toc.dat": toc(entries=entries), "1.dat": b"1\n\\.\n\n\n", "2.dat": b"1\t2\n\\.\n\n\n"}
    assert codes_of("shop.tar", tar_of(files)) == ["schema_mismatch"]


def test_no_beginning_of_a_tar_is_whole() -> None:
    whole = tar_of(GOOD)
    end = len(whole.rstrip(b"\0"))
    assert {(*codes_of("shop.tar", whole[:size]),) for size in range(600, end, 311)} == {("truncated",)}


# --- directories


def directory(folder: Path, files: Mapping[str, bytes], pack: bool = False) -> Path:
    folder.mkdir()
    for name, data in files.items():
        packed = pack and not name.endswith(".toc") and name != "toc.dat"
        (folder / f"{name}{'.gz' if packed else ''}").write_bytes(gzip.compress(data) if packed else data)
    return folder


def read(path: Path, level: str = model.STRUCTURE) -> tuple[model.Content | None, model.Failure | None]:
    return read_directory(str(path), model.Reading(LIMITS, level=level), Deadline(60), NOTHING_WANTED)


def read_well(path: Path) -> model.Content:
    content, failure = read(path)
    assert failure is None
    assert content is not None
    return content


PARTS = {"toc.dat": toc("gzip"), **FILES}


@pytest.mark.parametrize("pack", [True, False])
def test_a_directory_is_read_file_by_file(tmp_path: Path, pack: bool) -> None:
    files = PARTS if pack else {**PARTS, "toc.dat": toc()}
    content = read_well(directory(tmp_path / "dump", files, pack))
    assert content.problems == ()
    assert content.chain == ("pgdump-directory",)
    assert content.unproven == (("toc",) if pack else ("toc", "values"))
    assert content.dump is not None
    assert content.dump.rows == {"public.orders": 2, "public.customers": 0}
    assert content.members is not None
    assert content.members.count == 5
    assert len(content.stored_sha256) == 64


def damaged(folder: Path, name: str, data: bytes | None) -> Path:
    path = directory(folder / "dump", PARTS, pack=True)
    if data is None:
        (path / name).unlink()
    else:
        (path / name).write_bytes(data)
    return path


@pytest.mark.parametrize(
    ("name", "data", "code"),
    [
        ("1.dat.gz", None, "data_missing"),
        ("1.dat.gz", b"", "truncated"),  # what `pg_restore -f /dev/null` takes for a table without rows
        ("1.dat.gz", gzip.compress(ROWS, mtime=0)[:-5], "truncated"),
        ("1.dat.gz", gzip.compress(ROWS[:8], mtime=0), "incomplete_dump"),
        ("1.dat.gz", ROWS, "corrupt"),
        ("1.dat.gz", gzip.compress(ROWS, mtime=0) + b"x", "trailing_garbage"),
        ("2.dat.gz", gzip.compress(b"1\t2\t3\n\\.\n\n\n", mtime=0), "schema_mismatch"),
        ("stray", b"x", "trailing_garbage"),
        ("blobs.toc", b"", "trailing_garbage"),  # the large object belongs to nothing then
        ("toc.dat", toc("gzip")[:-9], "truncated"),
        ("toc.dat", toc("gzip")[:40] + b"\xff\xff\xff\xff" + toc("gzip")[44:], "toc_corrupt"),
    ],
)
def test_what_is_wrong_with_a_directory_is_told(tmp_path: Path, name: str, data: bytes | None, code: str) -> None:
    content = read_well(damaged(tmp_path, name, data))
    assert code in codes(content)


def test_one_flip_in_a_packed_file_is_told(tmp_path: Path) -> None:
    path = directory(tmp_path / "dump", PARTS, pack=True)
    place = path / "1.dat.gz"
    data = bytearray(place.read_bytes())
    data[-6] ^= 1
    place.write_bytes(data)
    (problem,) = [one for one in read_well(path).problems if one.fatal]
    assert problem.code == "backup.corrupt"
    assert problem.evidence["file"] == "1.dat.gz"
    assert "1.dat.gz" in problem.what


def test_lists_of_digests_and_links_are_no_strays(tmp_path: Path) -> None:
    path = directory(tmp_path / "dump", PARTS, pack=True)
    (path / "SHA256SUMS").write_text("x\n")
    (path / "link").symlink_to("/etc/passwd")
    content = read_well(path)
    assert content.problems == ()
    assert content.members is not None
    assert content.members.count == 5


def test_a_file_that_cannot_be_read_leaves_the_directory_unjudged(tmp_path: Path) -> None:
    path = directory(tmp_path / "dump", PARTS, pack=True)
    (path / "1.dat.gz").unlink()
    os.mkfifo(path / "1.dat.gz")
    content = read_well(path)  # a pipe is no file of it
    assert codes(content) == ["data_missing"]
    _content, failure = read(tmp_path / "gone")
    assert failure is None or failure.kind == model.UNREADABLE


def test_a_toc_alone_is_told_to_be_one() -> None:
    (problem,) = look("toc.dat", toc()).problems
    assert problem.code == "backup.unsupported"
    assert "beside it" in problem.what
