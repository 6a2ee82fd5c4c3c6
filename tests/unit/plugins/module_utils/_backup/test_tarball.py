"""Archives of files: read by every dialect, cut and flipped ones told, and hostile ones never followed."""

from __future__ import annotations

import hashlib
import io
import random
import subprocess
import tarfile
from pathlib import Path
from typing import Any

import pytest

from ansible_collections.cadence.upkeep.plugins.module_utils._backup import model
from ansible_collections.cadence.upkeep.plugins.module_utils._backup.content import Inspection
from ansible_collections.cadence.upkeep.plugins.module_utils._backup.members import Listing, Member, line_of
from ansible_collections.cadence.upkeep.plugins.module_utils._core.deadline import Deadline
from tests.unit.plugins.module_utils._backup.samples import LIMITS, codes, codes_of, look

FORMATS = {"ustar": tarfile.USTAR_FORMAT, "gnu": tarfile.GNU_FORMAT, "pax": tarfile.PAX_FORMAT}


def tar(*members: tuple[str, bytes, dict[str, Any]], form: int = tarfile.GNU_FORMAT) -> bytes:
    packed = io.BytesIO()
    with tarfile.open(fileobj=packed, mode="w", format=form) as archive:
        for name, data, changes in members:
            member = tarfile.TarInfo(name)
            member.size = len(data)
            for key, value in changes.items():
                setattr(member, key, value)
            archive.addfile(member, io.BytesIO(data))
    return packed.getvalue()


def one(name: str, data: bytes = b"x", **changes: Any) -> tuple[str, bytes, dict[str, Any]]:
    return name, data, changes


LONG = "uploads/" + "ü" * 300
GOOD = (
    one("uploads", b"", type=tarfile.DIRTYPE, mode=0o755),
    one("uploads/a", b"hello" * 999),
    one("uploads/empty", b""),
    one("uploads/link", b"", type=tarfile.SYMTYPE, linkname="a"),
    one("uploads/hard", b"", type=tarfile.LNKTYPE, linkname="uploads/a"),
)


@pytest.mark.parametrize("step", [1, 511, 1 << 18])
@pytest.mark.parametrize("form", FORMATS)
def test_every_dialect_is_read(form: str, step: int) -> None:
    more = () if form == "ustar" else (one(LONG, b"long"), one("l", b"", type=tarfile.SYMTYPE, linkname=LONG))
    data = tar(*GOOD, *more, form=FORMATS[form])
    seen = look("files.tar", data, step)
    assert seen.problems == ()
    assert seen.chain == ("tar",)
    assert seen.unproven == ("values",)
    assert seen.members is not None
    assert seen.members.count == len(GOOD) + len(more)


def test_a_large_number_takes_another_form() -> None:
    seen = look("files.tar", tar(one("a", uid=1 << 40, gid=1 << 33, mtime=1 << 40)))
    assert seen.problems == ()


def test_what_gnu_tar_writes_is_read(tmp_path: Path) -> None:
    (tmp_path / "tree" / "deep").mkdir(parents=True)
    (tmp_path / "tree" / "deep" / ("n" * 200)).write_bytes(random.Random(1).randbytes(70_000))
    sparse = tmp_path / "tree" / "sparse"
    with open(sparse, "wb") as stream:
        for place in range(0, 90 << 20, 3 << 20):
            stream.seek(place)
            stream.write(b"x" * 5000)
    for form in ("gnu", "posix", "ustar", "v7"):
        for extra in ([], ["--sparse"]):
            if form in ("ustar", "v7") and (extra or form == "v7"):
                continue
            argv = ["tar", f"--format={form}", *extra, "-C", str(tmp_path), "-c", "tree"]
            ended = subprocess.run(argv, capture_output=True, check=False)
            if ended.returncode == 0:
                assert codes_of("tree.tar", ended.stdout, 1 << 18) == [], (form, extra)


@pytest.mark.parametrize("form", FORMATS)
def test_no_beginning_is_whole(form: str) -> None:
    data = tar(*GOOD, form=FORMATS[form])
    end = len(data.rstrip(b"\0"))
    assert {(*codes_of("files.tar", data[:size]),) for size in range(600, end, 97)} == {("truncated",)}
    assert codes_of("files.tar", data[: end + 512 - end % 512]) == ["truncated"]  # not even one empty block
    assert codes_of("files.tar", data[: end + 1024 - end % 512]) == []


def test_a_flip_in_a_header_is_told() -> None:
    data = tar(*GOOD)
    for place in range(0, 500, 3):
        bad = bytearray(data)
        bad[512 + place] ^= 2
        assert codes_of("files.tar", bytes(bad)) == ["corrupt"], place


def test_what_follows_is_told() -> None:
    assert codes_of("files.tar", tar(*GOOD) + b"garbage") == ["trailing_garbage"]
    assert codes_of("files.tar", tar(*GOOD) + tar(*GOOD)) == ["trailing_garbage"]
    assert codes_of("files.tar", tar(*GOOD) + bytes(9999)) == []


# --- hostile ones


def symlink(name: str, target: str) -> tuple[str, bytes, dict[str, Any]]:
    return one(name, b"", type=tarfile.SYMTYPE, linkname=target)


@pytest.mark.parametrize(
    ("members", "told"),
    [
        ([one("../evil")], [("unsafe_path", True)]),
        ([one("a/../../evil")], [("unsafe_path", True)]),
        ([one("a/../b")], [("unsafe_path", True)]),
        ([one("..")], [("unsafe_path", True)]),
        ([one("/etc/cron.d/evil")], [("unsafe_path", False)]),
        ([symlink("out", "/etc"), one("out/passwd")], [("unsafe_path", True), ("unsafe_member", False)]),
        ([symlink("in", "sub"), one("in/file")], [("unsafe_path", True)]),
        ([symlink("in", "sub"), one("other/in/file")], []),
        ([symlink("a", "b"), one("a/b/c/d")], [("unsafe_path", True)]),
        ([symlink("l", "../../etc/passwd")], [("unsafe_member", False)]),
        ([symlink("a/l", "../b")], []),
        ([symlink("a/l", "../../b")], [("unsafe_member", False)]),
        ([one("h", b"", type=tarfile.LNKTYPE, linkname="/etc/shadow")], [("unsafe_member", False)]),
        ([one("d", b"", type=tarfile.CHRTYPE)], [("unsafe_member", False)]),
        ([one("d", b"", type=tarfile.BLKTYPE)], [("unsafe_member", False)]),
        ([one("f", b"", type=tarfile.FIFOTYPE)], []),
        ([one("su", mode=0o4755)], [("unsafe_member", False)]),
        ([one("same"), one("./same")], [("unsafe_member", False)]),
        ([one("d", b"", type=tarfile.DIRTYPE), one("d", b"", type=tarfile.DIRTYPE)], []),
    ],
)
def test_what_would_do_harm_when_unpacked_is_told(members: list[Any], told: list[tuple[str, bool]]) -> None:
    problems = look("files.tar", tar(*members)).problems
    assert [(problem.code.removeprefix("backup."), problem.fatal) for problem in problems] == told


def test_what_belongs_there_may_be_allowed() -> None:
    hostile = [one("/abs"), symlink("l", "/etc"), one("d", b"", type=tarfile.CHRTYPE), one("su", mode=0o2755)]
    allowed = model.Limits(1 << 40, 250.0, 6, allow=frozenset(model.ALLOWANCES))
    assert look("files.tar", tar(*hostile), limits=allowed).problems == ()


def test_a_hundred_thousand_members_take_no_memory_and_more_than_allowed_are_a_bomb() -> None:
    block = tarfile.TarInfo("a").tobuf(tarfile.USTAR_FORMAT)
    few = model.Limits(1 << 40, 250.0, 6, max_members=99)
    assert codes(look("files.tar", block * 100 + bytes(1024), limits=few)) == ["bomb"]
    names = b"".join(tarfile.TarInfo(f"f{n}").tobuf(tarfile.USTAR_FORMAT) for n in range(20_000))
    assert codes_of("files.tar", names + bytes(1024), 1 << 18) == []


def test_extension_headers_that_lie_are_told() -> None:
    def extended(content: bytes) -> bytes:
        head = tarfile.TarInfo("pax")
        head.type, head.size = tarfile.XHDTYPE, len(content)
        return head.tobuf(tarfile.USTAR_FORMAT) + content.ljust(-(-len(content) // 512) * 512, b"\0")

    rest = tar(one("a"))
    for content in (b"99 path=x\n", b"x path=x\n", b"9 pathx\n ", b"3 a"):
        assert codes_of("files.tar", extended(content) + rest) == ["corrupt"]
    huge = tarfile.TarInfo("pax")
    huge.type, huge.size = tarfile.XHDTYPE, 1 << 40
    assert codes_of("files.tar", huge.tobuf(tarfile.GNU_FORMAT) + rest) == ["corrupt"]
    path = b"path=../evil\n"
    assert codes_of("files.tar", extended(b"16 " + path) + rest) == ["unsafe_path"]


# --- the list of its members


def listed(data: bytes, expected: list[bytes] | None = None) -> Any:
    lines = iter(expected) if expected is not None else None
    inspection = Inspection("x.tar", model.Reading(LIMITS), Deadline(None), listing=Listing(True, lines))
    inspection.feed(data)
    inspection.finish()
    return inspection.result("", len(data), 0.0).members


def test_the_members_are_those_of_the_list() -> None:
    members = [
        Member("uploads", "directory"),
        Member("uploads/a", "file", 4995, hashlib.sha256(b"hello" * 999).hexdigest()),
        Member("uploads/empty", "file", 0, hashlib.sha256(b"").hexdigest()),
        Member("uploads/link", "symlink", target="a"),
        Member("uploads/hard", "hardlink", target="uploads/a"),
    ]
    lines = [line_of(member) for member in members]
    seen = listed(tar(*GOOD), lines)
    assert seen.difference == ""
    assert (seen.count, seen.bytes) == (5, 4995)
    assert seen.sha256 == hashlib.sha256(b"".join(lines)).hexdigest()
    changed = tar(*GOOD[:1], one("uploads/a", b"hellO" + b"hello" * 998), *GOOD[2:])
    assert listed(changed, lines).difference == "uploads/a"
    assert listed(changed).sha256 != seen.sha256
    assert listed(tar(*GOOD[:-1]), lines).difference == "uploads/hard"
    assert listed(tar(*GOOD, one("more")), lines).difference == "more"


def test_a_line_holds_one_member_whatever_its_name() -> None:
    assert line_of(Member("a\tb\nc\\d", "file", 3, "f" * 64)) == b"f" * 64 + b"\tfile\t3\ta\\tb\\nc\\\\d\n"
    assert line_of(Member("l", "symlink", target="t\t")) == b"-\tsymlink\t0\tl\tt\\t\n"
    assert line_of(Member("\udcff", "file")) == b"-\tfile\t0\t\xff\n"
