"""An archive as it is read from a directory: files, segment size, and whose it is."""

from __future__ import annotations

import bz2
import gzip
import lzma
import os
import struct
from pathlib import Path
from typing import Any

import pytest

from ansible_collections.cadence.upkeep.plugins.module_utils._postgres.archive.collect import (
    parse_header,
    read_archive,
    read_text,
    require_own,
)
from ansible_collections.cadence.upkeep.plugins.module_utils._postgres.archive.errors import ArchiveRefused
from tests.unit.plugins.module_utils._postgres.archive.samples import fill, name, options, server
from tests.unit.plugins.module_utils._postgres.archive.test_labels import HISTORY

MIB = 1 << 20
MIB16 = 1 << 24


def page(system: int = 7, size: int = MIB16, magic: int = 0xD110, flags: int = 2, block: int = 8192) -> bytes:
    """The first bytes of a segment, laid out as PostgreSQL does."""
    return struct.pack("<HHIQIIQII", magic, flags, 1, 0, 0, 0, system, size, block)


def read(folder: Path, server_: Any = None, **given: Any) -> Any:
    return read_archive(str(folder), options(keep_base_backups=1, **given), server_)


def sized(path: Path, head: bytes, size: int) -> None:
    path.write_bytes(head)
    os.truncate(path, size)


def test_every_file_is_accounted_for(tmp_path: Path) -> None:
    sized(tmp_path / name(1), page(), MIB16)
    fill(tmp_path, f"{name(2)}.gz", f"{name(2)}.partial", "readme", f"{name(1)}.tmp", f"{name(300)[:20]}0200")
    (tmp_path / "00000002.history").write_text("1\t0/2000028\tx\n")
    (tmp_path / f"{name(1)}.00000028.backup").write_text("unreadable")
    (tmp_path / name(3)).symlink_to(tmp_path / "nowhere")
    (tmp_path / name(4)).mkdir()
    (tmp_path / name(5)).symlink_to(tmp_path / name(1))
    archive, backups = read(tmp_path)
    assert [(each.name, each.regular, each.readable) for each in archive.entries] == [
        (f"{name(1)}.00000028.backup", True, True),
        (name(1), True, True),
        (f"{name(2)}.partial", True, True),
        (f"{name(2)}.gz", True, True),
        (name(3), False, False),
        (name(4), False, False),
        (name(5), False, True),
    ]
    assert [each.name for each in archive.segments] == [name(1), f"{name(2)}.gz", name(5)]
    assert archive.segments[-1].size == MIB16, "a link has the size of what it leads to"
    assert archive.segment_size == MIB16
    assert (archive.unknown, archive.examples) == (3, (f"{name(1)}.tmp", f"{name(300)[:20]}0200", "readme"))
    assert archive.histories[2].branches == ((1, 0x2000028),)
    assert (archive.history_files, archive.systems, archive.opaque) == (1, {7}, False)
    # What the text does not say, the name does.
    assert [(each.start, each.last, each.started) for each in backups] == [(MIB16 + 0x28, None, "")]


def test_a_history_file_tells_where_a_base_backup_ended(tmp_path: Path) -> None:
    file = "0000000300000001000000A7.00000028.backup"
    (tmp_path / file).write_text(HISTORY)
    _archive, (found,) = read(tmp_path)
    assert (found.timeline, found.first, found.last) == (3, 0x1A7, 0x1A9)
    assert (found.started, found.of_archive, found.complete) == ("2026-11-22 04:13:00 CET", True, True)
    packed = tmp_path / f"{file}.gz"
    packed.write_bytes(gzip.compress((tmp_path / file).read_bytes()))
    (tmp_path / file).unlink()
    assert read(tmp_path)[1][0].last == 0x1A9


def test_a_text_that_contradicts_its_name_is_not_believed(tmp_path: Path) -> None:
    (tmp_path / "0000000300000001000000A6.00000028.backup").write_text(HISTORY)
    _archive, (found,) = read(tmp_path, wal_segment_size="16MiB")
    assert (found.first, found.last) == (0x1A6, None)


# --- how large is a segment -------------------------------------------------------------------------------------------


def size_of(folder: Path, server_: Any = None, **given: Any) -> int:
    return int(read(folder, server_, **given)[0].segment_size)


def test_the_size_is_taken_from_whoever_knows_it(tmp_path: Path) -> None:
    with pytest.raises(ArchiveRefused, match="cannot be known"):
        read(tmp_path)
    assert size_of(tmp_path, wal_segment_size="64MiB") == 64 * MIB
    assert size_of(tmp_path, server(segment_size=MIB)) == MIB
    fill(tmp_path, f"{name(1)}.zst")
    with pytest.raises(ArchiveRefused, match="cannot be known"):
        read(tmp_path)
    sized(tmp_path / name(2), b"secret", MIB)
    assert size_of(tmp_path) == MIB, "encrypted ones have the size at least"
    (tmp_path / f"{name(3)}.gz").write_bytes(gzip.compress(page(size=4 * MIB)))
    assert size_of(tmp_path) == 4 * MIB
    for suffix, packer in ((".bz2", bz2), (".xz", lzma)):
        (tmp_path / f"{name(3)}.gz").unlink(missing_ok=True)
        (tmp_path / f"{name(3)}{suffix}").write_bytes(packer.compress(page(size=2 * MIB)))
        assert size_of(tmp_path) == 2 * MIB
        (tmp_path / f"{name(3)}{suffix}").unlink()


def test_sizes_that_do_not_agree_are_refused(tmp_path: Path) -> None:
    sized(tmp_path / name(1), page(), MIB16)
    for server_, given in ((server(segment_size=MIB), {}), (None, {"wal_segment_size": "1MiB"})):
        with pytest.raises(ArchiveRefused, match="stands in doubt") as refused:
            read(tmp_path, server_, **given)
        assert sorted(refused.value.evidence["sizes"].values()) == [MIB, MIB16]


def test_an_archive_that_cannot_be_looked_into_is_opaque(tmp_path: Path) -> None:
    for number in (1, 2):
        (tmp_path / name(number)).write_bytes(b"encrypted" * 3)
    archive, _backups = read(tmp_path, wal_segment_size="16MiB")
    assert archive.opaque
    sized(tmp_path / name(3), page(), MIB16)
    assert not read(tmp_path)[0].opaque


# --- whose is it ------------------------------------------------------------------------------------------------------


def test_two_clusters_in_one_archive_are_refused(tmp_path: Path) -> None:
    for number, system in ((1, 7), (2, 8)):
        sized(tmp_path / name(number), page(system), MIB16)
    with pytest.raises(ArchiveRefused, match="2 clusters") as refused:
        read(tmp_path)
    assert refused.value.evidence["systems"] == {"7": name(1), "8": name(2)}


def test_the_archive_of_another_cluster_than_the_server_is_refused(tmp_path: Path) -> None:
    sized(tmp_path / name(1), page(system=8), MIB16)
    with pytest.raises(ArchiveRefused, match="but main is cluster 7"):
        read(tmp_path, server(system=7))


def test_each_file_that_is_to_go_is_looked_at_once_more(tmp_path: Path) -> None:
    """One among many that the first look, which takes samples, did not see."""
    for number in range(200):
        sized(tmp_path / name(number), page(7), MIB16)
    archive, _backups = read(tmp_path)
    require_own(archive, str(tmp_path), archive.entries)
    sized(tmp_path / name(101), page(8), MIB16)
    with pytest.raises(ArchiveRefused, match=name(101)):
        require_own(archive, str(tmp_path), archive.entries)


@pytest.mark.parametrize(
    "head",
    [
        b"",
        page()[:30],
        page(magic=0x0011),
        page(flags=0),
        page(size=3 * MIB),
        page(block=1000),
        b"-----BEGIN PGP MESSAGE-----" * 3,
    ],
)
def test_what_is_no_first_page(head: bytes) -> None:
    assert parse_header(head) is None


def test_only_files_are_read(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "fifo")
    (tmp_path / "broken.gz").write_bytes(b"no gzip")
    (tmp_path / "half.gz").write_bytes(gzip.compress(b"x" * 1000)[:20])
    assert read_text(str(tmp_path / "fifo")) is None
    assert read_text(str(tmp_path / "missing")) is None
    assert read_text(str(tmp_path / "broken.gz"), ".gz") is None
    assert read_text(str(tmp_path / "half.gz"), ".gz") is None
    assert read_text(str(tmp_path / "half.gz"), ".zst") is None
