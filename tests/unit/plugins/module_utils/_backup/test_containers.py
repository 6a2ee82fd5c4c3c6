"""gzip, bzip2 and xz: to the last byte of the last member, and no further than the limits."""

from __future__ import annotations

import bz2
import gzip
import lzma
from collections.abc import Callable

import pytest

from ansible_collections.cadence.upkeep.plugins.module_utils._backup import containers, model
from ansible_collections.cadence.upkeep.plugins.module_utils._backup.containers import Damage, Report, container
from ansible_collections.cadence.upkeep.plugins.module_utils._core.deadline import Deadline
from ansible_collections.cadence.upkeep.plugins.module_utils._core.errors import DeadlineExceeded
from tests.unit.plugins.module_utils._backup.samples import LIMITS, codes, codes_of, cuts, look, recorded

PACKERS: dict[str, Callable[[bytes], bytes]] = {"gzip": gzip.compress, "bzip2": bz2.compress, "xz": lzma.compress}
UNPACKERS: dict[str, Callable[[bytes], bytes]] = {
    "gzip": gzip.decompress,
    "bzip2": bz2.decompress,
    "xz": lzma.decompress,
}
ENDS = {"gzip": ".gz", "bzip2": ".bz2", "xz": ".xz"}


@pytest.fixture(params=sorted(PACKERS))
def form(request: pytest.FixtureRequest) -> str:
    return str(request.param)


def name_of(form: str) -> str:
    return f"shop.sql{ENDS[form]}"


@pytest.mark.parametrize("step", [1, 17, 1 << 16])
def test_a_whole_one_is_unfolded(form: str, step: int) -> None:
    seen = look(name_of(form), PACKERS[form](recorded("18.sql")), step)
    assert seen.problems == ()
    assert seen.chain == (form, "pgdump-plain")
    assert seen.bytes_decoded == len(recorded("18.sql"))
    assert seen.unproven == ()  # the check value of the container vouches for what is inside


def test_it_may_have_many_members(form: str) -> None:
    dump = recorded("18.sql")
    packed = b"".join(PACKERS[form](dump[start : start + 300]) for start in range(0, len(dump), 300))
    for step in (1, 5, 1 << 16):
        assert codes_of(name_of(form), packed, step) == []


def test_large_content_is_unfolded_piece_by_piece(form: str) -> None:
    dump = recorded("18.sql")
    filler = b"-- filler\n" * 300_000
    assert codes_of(name_of(form), PACKERS[form](dump[:200] + b"\n\n" + filler + dump[200:])) == []


def test_one_in_another_is_unfolded(form: str) -> None:
    packed = gzip.compress(PACKERS[form](recorded("18-none.dump")))
    seen = look(f"shop.dump{ENDS[form]}.gz", packed)
    assert seen.problems == ()
    assert seen.chain == ("gzip", form, "pgdump-custom")


def test_no_beginning_of_it_is_whole(form: str) -> None:
    packed = PACKERS[form](recorded("14.sql"))
    assert {(*codes_of(name_of(form), packed[:size]),) for size in cuts(packed)} == {("truncated",)}
    many = packed + packed
    assert codes_of(name_of(form), many[: len(packed) + 2]) != []


def test_a_flip_is_told_or_has_no_effect(form: str) -> None:
    """In gzip the time and the system in its header mean nothing, in bzip2 the codes of letters that do not occur."""
    packed = PACKERS[form](recorded("14.sql"))
    silent = 0
    for place in range(len(packed)):
        bad = bytearray(packed)
        bad[place] ^= 0x40
        told = codes_of(name_of(form), bytes(bad))
        assert set(told) <= {
            "corrupt",
            "truncated",
            "unexpected_format",
            "trailing_garbage",
            "unsupported",
            "incomplete_dump",
        }
        if not told:
            assert UNPACKERS[form](bytes(bad)) == recorded("14.sql")
            silent += 1
    assert silent < {"gzip": 10, "bzip2": 20, "xz": 1}[form]


@pytest.mark.parametrize("zeros", [1, 4, 511, 512, 70_000])
def test_zeros_may_follow_where_the_format_allows_them(form: str, zeros: int) -> None:
    fine = form == "gzip" or (form == "xz" and zeros % 4 == 0)
    packed = PACKERS[form](recorded("18.sql")) + bytes(zeros)
    assert codes_of(name_of(form), packed, 333) == ([] if fine else ["trailing_garbage"])


def test_xz_may_go_on_after_zeros() -> None:
    dump = recorded("18.sql")
    packed = lzma.compress(dump[:2000]) + bytes(8) + lzma.compress(dump[2000:])
    assert codes_of("shop.sql.xz", packed) == []
    assert codes_of("shop.sql.gz", gzip.compress(dump) + bytes(8) + gzip.compress(b"x")) == ["trailing_garbage"]


@pytest.mark.parametrize("garbage", [b"\n", b"\x1f", b"BZ", b"\xfd7z", b"garbage", bytes(9) + b"x"])
def test_anything_else_that_follows_is_told(form: str, garbage: bytes) -> None:
    packed = PACKERS[form](recorded("18.sql"))
    for step in (1, 1 << 16):
        (problem,) = look(name_of(form), packed + garbage, step).problems
        assert (problem.code, problem.fatal, problem.offset) == ("backup.trailing_garbage", False, len(packed))


def test_half_a_dump_in_a_whole_container_is_another_thing_than_half_a_container(form: str) -> None:
    half = recorded("18.sql")[:3000]
    assert codes_of(name_of(form), PACKERS[form](half)) == ["incomplete_dump"]
    assert codes_of(name_of(form), PACKERS[form](recorded("18.sql"))[:-30]) == ["truncated"]


def test_a_container_of_nothing_is_empty(form: str) -> None:
    (problem,) = look(name_of(form), PACKERS[form](b"")).problems
    assert (problem.code, problem.layer) == ("backup.empty", form)


def test_xz_without_check_values_proves_no_values() -> None:
    packed = lzma.compress(recorded("18.sql"), check=lzma.CHECK_NONE)
    assert look("shop.sql.xz", packed).unproven == ("values",)


def test_xz_that_asks_for_too_much_memory_is_not_read() -> None:
    filters = [{"id": lzma.FILTER_LZMA2, "preset": 0, "dict_size": 1 << 30}]
    packed = lzma.compress(recorded("18.sql"), filters=filters)
    (problem,) = look("shop.sql.xz", packed).problems
    assert problem.code == "backup.unsupported"
    assert "memory" in problem.what


def test_the_strongest_ordinary_xz_is_read() -> None:
    assert codes_of("shop.sql.xz", lzma.compress(recorded("18.sql"), preset=9)) == []


# --- bombs


def test_what_unfolds_past_the_limit_is_left(form: str) -> None:
    packed = PACKERS[form](recorded("18.sql") * 40)
    seen = look(name_of(form), packed, limits=model.Limits(100_000, 1e9, 6))
    assert codes(seen) == ["bomb"]
    assert "max_expanded" in seen.problems[0].what
    assert not seen.whole


def test_what_unfolds_to_far_too_many_times_its_size_is_left(form: str) -> None:
    report = Report(LIMITS, Deadline(None), ratio_floor=1 << 20)
    sink = Counting()
    with pytest.raises(Damage) as stopped:
        container(form, report, sink).feed(PACKERS[form](bytes(64 << 20)))
    assert stopped.value.problem.code == "backup.bomb"
    assert sink.largest <= containers.GIVEN_BYTES
    assert sink.total < 8 << 20


def test_little_content_is_no_bomb_however_often_it_repeats() -> None:
    filler = b"\n\n-- " + b"x" * 5_000_000 + b"\n"
    packed = gzip.compress(recorded("18.sql").replace(b"\n\nSET", filler + b"SET", 1))
    assert len(packed) * 250 < len(filler)
    assert codes_of("shop.sql.gz", packed) == []


def test_containers_in_containers_end_at_the_limit() -> None:
    packed = recorded("18.sql")
    for _ in range(6):
        packed = gzip.compress(packed)
    assert codes_of("shop.sql" + ".gz" * 6, packed) == []
    (problem,) = look("shop.sql" + ".gz" * 7, gzip.compress(packed)).problems
    assert problem.code == "backup.bomb"
    assert "max_depth" in problem.what


def test_unfolding_minds_the_time() -> None:
    clock = iter(range(1000))
    report = Report(LIMITS, Deadline(3, clock=lambda: float(next(clock))))
    with pytest.raises(DeadlineExceeded):
        container("gzip", report, Counting()).feed(gzip.compress(bytes(8 << 20)))


def test_a_member_that_ends_exactly_at_a_full_piece_is_unfolded_to_its_end() -> None:
    for size in (
        containers.GIVEN_BYTES - 1,
        containers.GIVEN_BYTES,
        containers.GIVEN_BYTES + 1,
        2 * containers.GIVEN_BYTES,
    ):
        sink = Counting()
        unfolding = container("gzip", Report(LIMITS, Deadline(None)), sink)
        unfolding.feed(gzip.compress(bytes(size)))
        unfolding.finish()
        assert sink.total == size


class Counting:
    """A sink that only counts."""

    def __init__(self) -> None:
        self.total = 0
        self.largest = 0

    def feed(self, data: bytes) -> None:
        self.total += len(data)
        self.largest = max(self.largest, len(data))

    def finish(self) -> None:
        self.total += 0
