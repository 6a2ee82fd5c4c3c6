"""Certificate and key in one step: what readers see at every instant, and after a kill at every step."""

from __future__ import annotations

import errno
import os
import signal
import stat
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from ansible_collections.cadence.upkeep.plugins.module_utils._cert.deploy import store as store_module
from ansible_collections.cadence.upkeep.plugins.module_utils._cert.deploy.store import (
    LAYOUTS,
    LINKS,
    ONE_BY_ONE,
    Keep,
    Store,
    StoreError,
    store_of,
)
from ansible_collections.cadence.upkeep.plugins.module_utils._core.errors import InvalidInput

OLD = {"fullchain": b"certificate 1\n", "privkey": b"key 1\n"}
NEW = {"fullchain": b"certificate 2\n", "privkey": b"key 2\n"}
NEWER = {"fullchain": b"certificate 3\n", "privkey": b"key 3\n"}
STAMP = "20261122T041300Z"
# Every way in which the store changes the file system.
CALLS = ("mkdir", "open", "fchmod", "fsync", "symlink", "replace", "unlink", "rmdir")


@pytest.fixture
def tmp_path(tmp_path: Path) -> Iterator[Path]:
    """In memory where the system has such a place: hundreds of deployments, each of which waits for the disk."""
    if not os.access("/dev/shm", os.W_OK):
        yield tmp_path
        return
    with tempfile.TemporaryDirectory(dir="/dev/shm") as folder:
        yield Path(folder)


def keep(secret: bool = False) -> Keep:
    return Keep(os.geteuid(), os.getegid(), 0o600 if secret else 0o644)


KEEP = {key: keep(key == "privkey") for key in ("fullchain", "privkey", "cert", "chain", "bundle")}


def place(folder: Path, layout: str, apart: bool = False) -> Store:
    """A store in *folder*; with *apart*, key and certificate lie in directories of their own."""
    certs, keys = (folder / "certs", folder / "private") if apart else (folder, folder)
    for path in (certs, keys):
        path.mkdir(exist_ok=True)
    return store_of("shop", {"fullchain": str(certs / "shop.crt"), "privkey": str(keys / "shop.key")}, "", layout)


def write(store: Store, files: dict[str, bytes]) -> None:
    for key, content in files.items():
        path = Path(store.places[key])
        path.write_bytes(content)
        path.chmod(0o640 if key == "privkey" else 0o644)


def matching(store: Store) -> bool:
    return store.read() in ({}, OLD, NEW, NEWER)


# --- the ordinary ways ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("apart", [False, True])
@pytest.mark.parametrize("layout", LAYOUTS)
def test_the_first_deployment_where_nothing_was(tmp_path: Path, layout: str, apart: bool) -> None:
    store = place(tmp_path, layout, apart)
    assert store.deploy(NEW, STAMP, KEEP) == ""
    assert store.read() == NEW and store.pending
    store.settle()
    assert not store.pending
    assert stat.S_IMODE(os.stat(store.places["privkey"]).st_mode) == 0o600
    assert os.path.islink(store.places["fullchain"]) is (layout == LINKS)


@pytest.mark.parametrize("apart", [False, True])
@pytest.mark.parametrize("layout", LAYOUTS)
def test_what_was_there_can_be_put_back(tmp_path: Path, layout: str, apart: bool) -> None:
    store = place(tmp_path, layout, apart)
    write(store, OLD)
    before = store.deploy(NEW, STAMP, KEEP)
    assert store.read() == NEW
    store.turn_back(before)
    assert store.read() == OLD
    assert stat.S_IMODE(os.stat(store.places["privkey"]).st_mode) == 0o640, "whose it was is kept"
    store.settle()
    assert store.deploy(NEWER, STAMP, KEEP) and store.read() == NEWER


@pytest.mark.parametrize("layout", LAYOUTS)
def test_no_more_is_left_than_what_is_in_use(tmp_path: Path, layout: str) -> None:
    store = place(tmp_path, layout)
    for number in range(5):
        store.deploy({**NEW, "privkey": b"key %d\n" % number}, STAMP, KEEP)
        store.settle()
    assert len(os.listdir(store.releases)) == 2
    assert sorted(os.listdir(tmp_path)) == sorted(
        [".shop.releases", "shop.crt", "shop.key", *([".shop.live"] if layout == LINKS else [])]
    )


def test_two_deployments_within_one_second_do_not_share_a_generation(tmp_path: Path) -> None:
    store = place(tmp_path, LINKS)
    store.deploy(NEW, STAMP, KEEP)
    first = store.generation
    assert store.deploy(NEWER, STAMP, KEEP) == first != store.generation
    store.turn_back(first)
    assert store.read() == NEW


def test_the_links_lead_right_through_a_folder_that_is_a_link_itself(tmp_path: Path) -> None:
    (tmp_path / "deep" / "down").mkdir(parents=True)
    (tmp_path / "certs").symlink_to("deep/down")
    places = {"fullchain": str(tmp_path / "certs" / "shop.crt"), "privkey": str(tmp_path / "private" / "shop.key")}
    store = store_of("shop", places)
    store.deploy(NEW, STAMP, KEEP)
    assert store.read() == NEW and store.linked


def test_a_link_of_the_user_is_replaced_and_what_it_leads_to_stays(tmp_path: Path) -> None:
    store = place(tmp_path, LINKS)
    write(store, OLD)
    (tmp_path / "archive.pem").write_bytes(OLD["fullchain"])
    os.unlink(store.places["fullchain"])
    os.symlink("archive.pem", store.places["fullchain"])
    before = store.deploy(NEW, STAMP, KEEP)
    assert store.read() == NEW and (tmp_path / "archive.pem").read_bytes() == OLD["fullchain"]
    store.turn_back(before)
    assert store.read() == OLD


def test_the_layouts_can_be_changed(tmp_path: Path) -> None:
    links, files = place(tmp_path, LINKS), place(tmp_path, ONE_BY_ONE)
    for store, content in ((links, OLD), (files, NEW), (links, NEWER)):
        store.deploy(content, STAMP, KEEP)
        store.settle()
        assert store.read() == content
        assert os.path.islink(store.places["privkey"]) is (store is links)
    assert not os.path.lexists(tmp_path / ".shop.key.upkeep-new")


def test_a_path_that_is_no_longer_deployed_still_holds_what_belongs_to_the_others(tmp_path: Path) -> None:
    store = place(tmp_path, LINKS)
    store.deploy(OLD, STAMP, KEEP)
    store.settle()
    alone = store_of("shop", {"fullchain": store.places["fullchain"]})
    assert alone.keys == {"fullchain", "privkey"}
    alone.deploy(NEW, STAMP, KEEP)
    assert store.read() == NEW


def test_directories_are_made_and_can_be_passed_whatever_the_umask(tmp_path: Path) -> None:
    before = os.umask(0o077)
    try:
        store = store_of("shop", {"fullchain": str(tmp_path / "a" / "shop.crt")})
        store.deploy({"fullchain": b"x"}, STAMP, KEEP)
    finally:
        os.umask(before)
    for path in (store.releases, store.generation):
        assert stat.S_IMODE(os.stat(path).st_mode) == 0o755
    assert stat.S_IMODE(os.stat(store.places["fullchain"]).st_mode) == 0o644


# --- killed -----------------------------------------------------------------------------------------------------------


class Counted:
    """Lets calls of the store pass up to one, which is not made: *instead* happens."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, last: int, instead: Callable[[], None]) -> None:
        self.count = 0
        self._last, self._instead = last, instead
        for name in CALLS:
            monkeypatch.setattr(store_module.os, name, self._counting(getattr(os, name)))

    def _counting(self, real: Callable[..., Any]) -> Callable[..., Any]:
        def call(*arguments: Any, **options: Any) -> Any:
            self.count += 1
            if self.count > self._last:
                self._instead()
            return real(*arguments, **options)

        return call


def die() -> None:
    os.kill(os.getpid(), signal.SIGKILL)


def killed_after(calls: int, work: Callable[[], object]) -> bool:
    """Do *work* in a child that is killed after so many calls; return whether it came to its end all the same."""
    pid = os.fork()
    if pid == 0:
        status = 1
        try:
            with pytest.MonkeyPatch.context() as patch:
                Counted(patch, calls, die)
                work()
            status = 0
        finally:
            os._exit(status)
    status = os.waitpid(pid, 0)[1]
    assert os.WIFSIGNALED(status) or os.WEXITSTATUS(status) == 0, "the child failed by itself"
    return os.WIFEXITED(status)


def until_it_is_whole(folder: Path, layout: str, apart: bool, first: dict[str, bytes]) -> Iterator[Store]:
    """Yield a store in which a deployment of NEW was killed, a call later each time, until it came to its end."""
    for calls in range(300):
        (folder / str(calls)).mkdir()
        store = place(folder / str(calls), layout, apart)
        write(store, first)
        ended = killed_after(calls, lambda: (store.deploy(NEW, STAMP, KEEP), store.settle()))  # noqa: B023 - runs now
        yield store
        if ended:
            assert calls > 10
            return
    raise AssertionError("it never came to its end")


@pytest.mark.parametrize("apart", [False, True])
@pytest.mark.parametrize("first", [{}, OLD], ids=["nothing before", "files before"])
def test_links_agree_at_every_instant(tmp_path: Path, first: dict[str, bytes], apart: bool) -> None:
    for store in until_it_is_whole(tmp_path, LINKS, apart, first):
        found = store.read()
        # Where nothing was, the key may come alone: a server that finds no certificate says so.
        assert found in (first, NEW) or (not first and found == {"privkey": NEW["privkey"]})
        end(store, first)


@pytest.mark.parametrize("apart", [False, True])
@pytest.mark.parametrize("first", [{}, OLD], ids=["nothing before", "files before"])
def test_one_by_one_agrees_after_the_next_run(tmp_path: Path, first: dict[str, bytes], apart: bool) -> None:
    seen = set()
    for store in until_it_is_whole(tmp_path, ONE_BY_ONE, apart, first):
        seen.add(store.read() in (first, NEW))
        end(store, first)
    assert seen == {True, False}, "the window that is documented was hit, and closed by the next run"


def end(store: Store, first: dict[str, bytes]) -> None:
    """Do what the next run does, and see that nothing of the killed one is left."""
    if store.pending:
        store.recover()
        assert store.read() in ([first] if first else [{}, NEW])
    store.deploy(NEWER, STAMP, KEEP)
    store.settle()
    assert store.read() == NEWER and not store.pending
    assert len(os.listdir(store.releases)) <= 2
    left = [name for path in map(os.path.dirname, store.places.values()) for name in os.listdir(path)]
    assert [name for name in left if "upkeep-new" in name] == []


@pytest.mark.parametrize("layout", LAYOUTS)
def test_a_second_deployment_and_a_turn_back_may_be_killed_too(tmp_path: Path, layout: str) -> None:
    for calls in range(300):
        (tmp_path / str(calls)).mkdir()
        store = place(tmp_path / str(calls), layout)
        write(store, OLD)
        store.deploy(NEW, STAMP, KEEP)
        store.settle()

        def work() -> None:
            store.turn_back(store.deploy(NEWER, STAMP, KEEP))  # noqa: B023 - called before the loop goes on

        ended = killed_after(calls, work)
        assert layout == ONE_BY_ONE or store.read() in (NEW, NEWER)
        if store.pending:
            store.recover()
        assert store.read() == NEW
        if ended:
            return
    raise AssertionError("it never came to its end")


# --- refused by the system --------------------------------------------------------------------------------------------


@pytest.mark.parametrize("first", [{}, OLD], ids=["nothing before", "files before"])
@pytest.mark.parametrize("layout", LAYOUTS)
def test_a_full_disk_at_any_step_changes_nothing(tmp_path: Path, layout: str, first: dict[str, bytes]) -> None:
    def full() -> None:
        calls.count = -1000  # what is there to tidy up with works again
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    for last in range(300):
        (tmp_path / str(last)).mkdir()
        store = place(tmp_path / str(last), layout)
        write(store, first)
        refused = None
        with pytest.MonkeyPatch.context() as patch:
            calls = Counted(patch, last, full)
            try:
                store.deploy(NEW, STAMP, KEEP)
            except StoreError as error:
                refused = error
        if refused is None:
            assert store.read() == NEW
            if calls.count >= 0:
                return  # that step was not reached any more
            continue  # it met a step that may fail: clearing up
        assert "No space left" in refused.message and refused.evidence["errno"] == errno.ENOSPC
        assert store.read() == first or (not first and store.read() == NEW)
        assert not store.pending
    raise AssertionError("it never came to its end")


def test_a_place_that_cannot_be_read_is_named(tmp_path: Path) -> None:
    store = place(tmp_path, LINKS)
    os.mkfifo(store.places["fullchain"])
    with pytest.raises(StoreError, match=r"shop\.crt is a FIFO"):
        store.read()


def test_a_note_that_is_no_note_is_named(tmp_path: Path) -> None:
    store = place(tmp_path, LINKS)
    Path(store.journal).write_text("nonsense")
    with pytest.raises(StoreError, match="cannot be read") as torn:
        store.recover()
    assert "remove that file" in torn.value.remedy


def test_a_note_of_what_somebody_removed_does_no_harm(tmp_path: Path) -> None:
    store = place(tmp_path, LINKS)
    write(store, OLD)
    Path(store.journal).write_text('{"new": "../../etc", "before": "gone"}')
    store.recover()
    assert store.read() == OLD


# --- what cannot be a store -------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["", ".shop", "a/b", "a\nb", "x" * 101])
def test_a_name_that_no_file_can_have(name: str) -> None:
    with pytest.raises(InvalidInput, match="name:"):
        store_of(name, {"fullchain": "/tls/shop.crt"})


@pytest.mark.parametrize(
    ("places", "text"),
    [
        ({"fullchain": "tls/shop.crt"}, "not an absolute path"),
        ({"fullchain": "/tls/shop\0.crt"}, "not an absolute path"),
        ({"fullchain": "/tls/shop.pem", "privkey": "/tls/./shop.pem"}, "are the same"),
        ({"privkey": "/tls/shop.key", "chain": "/tls/chain.pem"}, "has no place"),
    ],
)
def test_places_that_cannot_be(places: dict[str, str], text: str) -> None:
    with pytest.raises(InvalidInput, match=text):
        store_of("shop", places)
