"""Directories that are one backup, with lists of digests, and base backups by their manifest without PostgreSQL."""

from __future__ import annotations

import hashlib
import io
import json
import tarfile
from pathlib import Path
from typing import Any

import pytest

from ansible_collections.cadence.upkeep.plugins.module_utils._backup import basebackup, model
from ansible_collections.cadence.upkeep.plugins.module_utils._backup.crc import CASTAGNOLI, Crc
from ansible_collections.cadence.upkeep.plugins.module_utils._backup.manifest import (
    Manifest,
    Part,
    directory_sha256,
    render,
)
from ansible_collections.cadence.upkeep.plugins.module_utils._backup.reader import NOTHING_WANTED, Wanted
from ansible_collections.cadence.upkeep.plugins.module_utils._backup.tree import files_in, read_directory, size_of
from ansible_collections.cadence.upkeep.plugins.module_utils._core.deadline import Deadline
from tests.unit.plugins.module_utils._backup.samples import LIMITS, NOW, codes, run, told
from tests.unit.plugins.module_utils._backup.test_filed import PARTS, directory


def read(path: Path, wanted: Wanted = NOTHING_WANTED) -> model.Content:
    content, failure = read_directory(str(path), model.Reading(LIMITS), Deadline(60), wanted)
    assert failure is None
    assert content is not None
    return content


def difference(content: model.Content) -> str:
    assert content.members is not None
    return content.members.difference


def sha256(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()


def parts_of(path: Path) -> list[Part]:
    return [Part(name, status.st_size, sha256(path / name)) for name, status in files_in(str(path))]


@pytest.fixture
def dump(tmp_path: Path) -> Path:
    path = directory(tmp_path / "shop-20261122T030000Z", PARTS, pack=True)
    path.chmod(0o700)
    return path


def test_a_directory_is_one_backup_of_a_series(dump: Path) -> None:
    result = run(series=[{"name": "shop", "pattern": f"{dump.parent}/shop-*"}], count_rows=True)
    (record,) = result["files"]
    assert (record["path"], record["chain"], record["status"]) == (str(dump), ["pgdump-directory"], "ok")
    assert record["size"] == size_of(str(dump)) > 0
    assert record["dump"]["rows"] == {"public.orders": 2, "public.customers": 0}
    assert record["members"]["count"] == 5
    assert told(result) == [("manifest_missing", "info", "shop")]


def test_a_directory_of_paths_is_one_backup_or_a_place_where_backups_lie(dump: Path) -> None:
    for path in (dump, dump.parent):
        (record,) = run(paths=[str(path)], select="all")["files"]
        assert record["path"] == str(dump)


def test_the_list_of_digests_in_it_is_compared(dump: Path) -> None:
    listed = "".join(f"{part.sha256}  ./{part.name}\n" for part in parts_of(dump))
    (dump / "SHA256SUMS").write_text(listed)
    result = run(series=[{"name": "shop", "pattern": f"{dump.parent}/shop-*"}])
    assert told(result) == []
    assert result["files"][0]["unproven"] == ["completeness"]
    place = dump / "blob_16384.dat.gz"
    place.write_bytes(place.read_bytes()[:9] + b"\x00" + place.read_bytes()[10:])
    result = run(series=[{"name": "shop", "pattern": f"{dump.parent}/shop-*"}])
    (finding,) = [one for one in result["findings"] if one["code"] == "backup.digest_mismatch"]
    assert finding["evidence"]["first_difference"] == "blob_16384.dat.gz"


def manifest_of(path: Path, **changes: Any) -> Manifest:
    parts = parts_of(path)
    return Manifest(**{
        "name": path.name, "kind": "postgres", "taken_at": NOW, "parts": tuple(parts),
        "stored_size": sum(part.size for part in parts), "stored_sha256": directory_sha256(parts),
        "rows": {"public.orders": 2, "public.customers": 0}, **changes,
    })  # fmt: skip


def test_its_manifest_stands_beside_it(dump: Path) -> None:
    beside = dump.with_name(f"{dump.name}.manifest.json")
    beside.write_bytes(render(manifest_of(dump)))
    series = [{"name": "shop", "pattern": f"{dump.parent}/shop-*"}]
    result = run(series=series)
    assert told(result) == []
    (record,) = result["files"]
    assert (record["assurance"], record["unproven"], record["manifest"]) == ("full", [], str(beside))
    (dump / "1.dat.gz").rename(dump / "x")
    (dump / "2.dat.gz").rename(dump / "1.dat.gz")
    (dump / "x").rename(dump / "2.dat.gz")
    assert ("digest_mismatch", "critical", dump.name) in told(run(series=series))


def test_a_tree_of_files_is_only_compared(tmp_path: Path) -> None:
    tree = tmp_path / "uploads"
    (tree / "a").mkdir(parents=True)
    (tree / "a" / "one").write_bytes(b"1" * 999)
    (tree / "two").write_bytes(b"\x1f\x8bnot gzip")
    assert codes(read(tree)) == ["unsupported"]
    (problem,) = read(tree).problems
    assert "list of digests" in problem.what
    wanted = Wanted(parts=tuple((part.name, part.sha256) for part in parts_of(tree)))
    content = read(tree, wanted)
    assert (content.problems, content.chain) == ((), ("files",))
    assert content.stored_sha256 == directory_sha256(parts_of(tree))
    (tree / "two").write_bytes(b"changed")
    assert difference(read(tree, wanted)) == "two"
    (tree / "two").unlink()
    assert difference(read(tree, wanted)) == "two"


@pytest.mark.parametrize(
    ("names", "words"), [(("config", "data", "index", "keys"), "restic"), (("config", "data", "README"), "borg")]
)
def test_a_repository_names_the_program_that_verifies_it(tmp_path: Path, names: tuple[str, ...], words: str) -> None:
    for name in names:
        (tmp_path / name).write_text("x")
    (problem,) = read(tmp_path).problems
    assert problem.code == "backup.unsupported"
    assert words in problem.what


def test_an_empty_directory_is_empty(tmp_path: Path) -> None:
    (tmp_path / "shop-20261122T030000Z").mkdir()
    assert ("empty", "critical", "shop-20261122T030000Z") in told(
        run(series=[{"name": "shop", "pattern": f"{tmp_path}/shop-*"}])
    )


# --- base backups


def checksum(data: bytes, algorithm: str) -> str:
    if algorithm == "CRC32C":
        crc = Crc(CASTAGNOLI, inverted=True, bits=32)
        crc.update(data)
        return crc.value.to_bytes(4, "little").hex()
    return hashlib.new(algorithm.lower(), data).hexdigest()


FILES = {
    "PG_VERSION": b"99\n",
    "backup_label": b"START WAL LOCATION: 0/2000028\n",
    "base/1/1259": b"x" * 8192,
    "global/1": b"",
}


def backup_manifest(algorithm: str = "SHA256", files: dict[str, bytes] = FILES) -> bytes:
    lines = [
        json.dumps({"Path": name, "Size": len(data), "Last-Modified": "x", "Checksum-Algorithm": algorithm,
                    "Checksum": checksum(data, algorithm)}).replace("{", "{ ").replace("}", " }")
        for name, data in files.items()
    ]  # fmt: skip
    text = '{ "PostgreSQL-Backup-Manifest-Version": 1,\n"Files": [\n' + ",\n".join(lines)
    text += '\n],\n"WAL-Ranges": [\n{ "Timeline": 1, "Start-LSN": "0/2000028", "End-LSN": "0/2000100" }\n],\n'
    return f'{text}"Manifest-Checksum": "{hashlib.sha256(text.encode()).hexdigest()}"}}\n'.encode()


def base_backup(folder: Path, algorithm: str = "SHA256") -> Path:
    for name, data in FILES.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(data)
    (folder / "pg_wal").mkdir()
    (folder / "pg_wal" / "000000010000000000000002").write_bytes(b"w" * 512)
    (folder / "backup_manifest").write_bytes(backup_manifest(algorithm))
    return folder


@pytest.fixture
def no_program(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(basebackup, "_programs", lambda _version: {})


@pytest.mark.usefixtures("no_program")
@pytest.mark.parametrize("algorithm", ["SHA256", "SHA224", "SHA512", "CRC32C"])
def test_a_base_backup_is_checked_without_postgresql(tmp_path: Path, algorithm: str) -> None:
    path = base_backup(tmp_path / "base", algorithm)
    content = read(path)
    assert (content.problems, content.chain) == ((), ("base-backup",))
    assert content.dump is not None
    assert content.dump.server_version == "99"
    (path / "base/1/1259").write_bytes(b"x" * 8191 + b"y")
    (problem,) = read(path).problems
    assert (problem.code, problem.evidence["files"]) == ("backup.corrupt", ["base/1/1259"])
    (path / "base/1/1259").unlink()
    (path / "stray").write_bytes(b"x")
    assert codes(read(path)) == ["data_missing", "trailing_garbage"]


@pytest.mark.parametrize(("major", "said"), [(15, "it is too old to be asked"), (99, "unexpected manifest version")])
def test_a_program_that_does_not_know_the_backup_is_not_believed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, major: int, said: str
) -> None:
    """Of 15 there is only one that refuses the manifest of 17 and later; what we can check ourselves is enough then."""
    program = tmp_path / "pg_verifybackup"
    program.write_text(f"#!/bin/sh\necho 'pg_verifybackup: error: {said}' >&2\nexit 1\n")
    program.chmod(0o755)
    monkeypatch.setattr(basebackup, "_programs", lambda _version: {major: str(program)})
    path = base_backup(tmp_path / "base")
    assert codes(read(path)) == []
    (path / "base/1/1259").write_bytes(b"x" * 8191 + b"y")
    assert codes(read(path)) == ["corrupt"]


@pytest.mark.usefixtures("no_program")
def test_a_manifest_of_the_server_that_was_changed_is_told(tmp_path: Path) -> None:
    path = base_backup(tmp_path / "base")
    whole = (path / "backup_manifest").read_bytes()
    for bad in (whole.replace(b"8192", b"8193"), whole[:-80], b"", b"{}"):
        (path / "backup_manifest").write_bytes(bad)
        assert codes(read(path)) == ["corrupt"]
    (path / "backup_manifest").unlink()
    assert codes(read(path)) == ["unsupported"]


def tar(files: dict[str, bytes]) -> bytes:
    packed = io.BytesIO()
    with tarfile.open(fileobj=packed, mode="w") as archive:
        for name, data in files.items():
            member = tarfile.TarInfo(name)
            member.size = len(data)
            archive.addfile(member, io.BytesIO(data))
    return packed.getvalue()


@pytest.mark.usefixtures("no_program")
def test_a_base_backup_in_tars(tmp_path: Path) -> None:
    files = {name: data for name, data in FILES.items() if name != "global/1"}
    (tmp_path / "base.tar").write_bytes(tar(files))
    (tmp_path / "16384.tar").write_bytes(tar({"PG_99/1": b"t"}))
    (tmp_path / "pg_wal.tar").write_bytes(tar({"000000010000000000000002": b"w" * 512}))
    manifest = backup_manifest(files={**files, "pg_tblspc/16384/PG_99/1": b"t"})
    (tmp_path / "backup_manifest").write_bytes(manifest)
    content = read(tmp_path)
    assert (content.problems, content.chain) == ((), ("base-backup-tar",))
    (tmp_path / "stray").write_bytes(b"x")
    assert codes(read(tmp_path)) == ["trailing_garbage"]
    (tmp_path / "stray").unlink()
    (tmp_path / "base.tar").write_bytes(tar({**files, "base/1/1259": b"y" * 8192}))
    assert codes(read(tmp_path)) == ["corrupt"]
    (tmp_path / "base.tar").write_bytes(tar(files)[:3000])
    assert "truncated" in codes(read(tmp_path))
    (tmp_path / "base.tar").write_bytes(tar({**files, "../evil": b"x"}))
    assert "unsafe_path" in codes(read(tmp_path))
