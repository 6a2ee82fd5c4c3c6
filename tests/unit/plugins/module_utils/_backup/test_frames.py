"""Frames of zstd and lz4: walked from block to block, unfolded by whatever is here, and never a bomb."""

from __future__ import annotations

import struct
import subprocess
from collections.abc import Callable

import pytest

from ansible_collections.cadence.upkeep.plugins.module_utils._backup import adapter, frames, model
from ansible_collections.cadence.upkeep.plugins.module_utils._backup.containers import Damage, Report
from ansible_collections.cadence.upkeep.plugins.module_utils._core.deadline import Deadline
from tests.unit.plugins.module_utils._backup.samples import LIMITS, codes, codes_of, cuts, look, recorded

SQL = recorded("18.sql")
PACKERS = {
    "zst": ["zstd", "-q", "-c"],
    "zst without check": ["zstd", "-q", "-c", "--no-check"],
    "zst fast": ["zstd", "-q", "-c", "--fast=9"],
    "lz4": ["lz4", "-q", "-c"],
    "lz4 without check": ["lz4", "-q", "-c", "--no-frame-crc"],
    "lz4 with block checks": ["lz4", "-q", "-c", "--no-frame-crc", "-BX", "-B4"],
    "lz4 linked": ["lz4", "-q", "-c", "-BD", "-B7"],
}
# The library only where this Python has one: what it reads the program must read too.
DECODERS = ["program", *(["library"] if any(map(adapter.frame_decoder, ("zstd", "lz4"))) else [])]


def packed(kind: str, data: bytes = SQL) -> bytes:
    return subprocess.run(PACKERS[kind], input=data, stdout=subprocess.PIPE, check=True).stdout


def name_of(kind: str) -> str:
    return f"shop.sql.{kind.split()[0]}"


@pytest.fixture(params=DECODERS)
def decoder(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str:
    if request.param == "program":
        monkeypatch.setattr(adapter, "frame_decoder", lambda _name: None)
    return str(request.param)


@pytest.mark.parametrize("kind", PACKERS)
def test_what_the_program_packs_is_whole(kind: str, decoder: str) -> None:
    for step in (13, 1000, 1 << 18):
        seen = look(name_of(kind), packed(kind), step)
        assert seen.problems == ()
        assert list(seen.chain) == [{"zst": "zstd", "lz4": "lz4"}[kind.split()[0]], "pgdump-plain"]
        assert seen.unproven == (("values",) if "without" in kind else ())
        assert seen.dump is not None
        assert seen.dump.rows["public.customers"] == 40


@pytest.mark.parametrize("kind", PACKERS)
def test_no_beginning_is_whole(kind: str) -> None:
    whole = packed(kind)
    assert {(*codes_of(name_of(kind), whole[:size]),) for size in cuts(whole, 97) if size > 4} == {("truncated",)}


@pytest.mark.parametrize("kind", ["zst", "lz4", "lz4 with block checks"])
def test_a_flip_anywhere_is_told(kind: str, decoder: str) -> None:
    whole = packed(kind)
    for place in range(0, len(whole), max(1, len(whole) // 60)):
        bad = bytearray(whole)
        bad[place] ^= 0x10
        assert codes_of(name_of(kind), bytes(bad)), place


def test_frames_may_follow_one_another_and_nothing_else_may(decoder: str) -> None:
    for kind in ("zst", "lz4"):
        halves = packed(kind, SQL[:3000]) + packed(kind, SQL[3000:])
        assert codes_of(name_of(kind), halves) == []
        skippable = b"\x53\x2a\x4d\x18" + struct.pack("<I", 5) + b"about"
        assert codes_of(name_of(kind), skippable + halves + skippable) == []
        assert codes_of(name_of(kind), packed(kind) * 2) == ["duplicate_dump"]
        for garbage in (b"x", bytes(512), b"\x28\xb5\x2f"[:2] + b"xx", b"garbage behind"):
            assert codes_of(name_of(kind), packed(kind) + garbage) == ["trailing_garbage"]


def test_a_bomb_is_left(decoder: str) -> None:
    """Two gigabytes of zeros take 67 KB."""
    zeros = subprocess.run(
        "head -c 2147483648 /dev/zero | zstd -q -c", shell=True, stdout=subprocess.PIPE, check=True
    ).stdout
    assert codes_of("shop.sql.zst", zeros) in (["unexpected_format"], ["bomb"])
    report = Report(LIMITS, Deadline(None))
    sink = frames.Frames("zstd", report, _Counting())
    with pytest.raises(Damage) as left:
        _feed(sink, zeros)
    for opened in report.opened:
        opened.close()
    assert left.value.problem.code == "backup.bomb"


def _feed(sink: frames.Frames, data: bytes) -> None:
    for at in range(0, len(data), 4096):
        sink.feed(data[at : at + 4096])
    sink.finish()


class _Counting:
    """Takes anything, and fails when too much comes at once."""

    def feed(self, data: bytes) -> None:
        assert len(data) <= 9 << 20

    def finish(self) -> None:
        """There is no end to be judged."""


def test_a_window_that_takes_too_much_memory_is_unknown() -> None:
    header = b"\x28\xb5\x2f\xfd\x00" + bytes([18 << 3])  # 2**28
    (problem,) = look("shop.sql.zst", header + bytes(20)).problems
    assert problem.code == "backup.unsupported"
    assert "256.0 MiB" in problem.what


def test_without_library_and_program_it_is_unknown(monkeypatch: pytest.MonkeyPatch) -> None:
    data = packed("zst")
    monkeypatch.setattr(adapter, "frame_decoder", lambda _name: None)
    monkeypatch.setattr(adapter, "program", lambda _name: None)
    seen = look("shop.sql.zst", data)
    assert codes(seen) == ["tool_missing"]
    assert seen.problems[0].evidence == {"program": "zstd"}
    assert seen.unproven == ("content",)


def test_a_frame_is_found_to_be_cut_even_without_anything_to_unfold_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(adapter, "program", lambda _name: None)
    assert model.CONTENT in look("shop.sql.zst", packed("zst")[:-9]).unproven


@pytest.mark.parametrize("kind", ["zst", "zst without check", "lz4", "lz4 without check"])
def test_a_decoder_is_given_nothing_behind_the_end_of_its_frame(monkeypatch: pytest.MonkeyPatch, kind: str) -> None:
    """`zstandard` and Python's own module refuse even an empty piece then; the shared library does not mind."""

    def collecting(_name: str) -> tuple[Callable[[bytes], bytes], type[Exception]]:
        seen: list[bytes] = []

        def decode(data: bytes) -> bytes:
            if not data:
                raise ValueError("nothing")
            seen.append(data)
            return b""

        return decode, ValueError

    monkeypatch.setattr(adapter, "frame_decoder", collecting)
    report = Report(LIMITS, Deadline(None))
    stream = frames.Frames(kind.split()[0].replace("zst", "zstd"), report, Nothing())
    stream.feed(packed(kind))
    stream.finish()
    assert report.problems == []


class Nothing:
    def feed(self, data: bytes) -> None:
        """Nothing is decoded here."""

    def finish(self) -> None:
        """Nothing was expected."""
