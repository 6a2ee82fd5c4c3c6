"""What `pg_wal_archive` keeps is enough: real restores after real clean-ups, on every supported version."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.bed.errors import BedError
from tests.bed.postgres import Cluster, cache_directory, find_or_bring
from tests.integration.archiving import Restored, Site, a_site, codes, remaining_gap


@pytest.fixture
def site(postgres_cluster: Cluster) -> Iterator[Site]:
    """The programs of each version; the server itself is one of our own, because it archives."""
    with a_site(postgres_cluster.binaries, f"archiving{postgres_cluster.binaries.major}") as made:
        yield made


@pytest.fixture
def own_site() -> Iterator[Site]:
    """The same with the programs of this machine alone."""
    with a_site(find_or_bring(None, cache_directory()), "archiving") as made:
        yield made


@contextmanager
def restored(site: Site, backup: Path, name: str, *, archives: bool = False, **target: str) -> Iterator[Restored]:
    server = Restored(site.server, backup, name=name, archives=archives, **target)
    with server:
        server.wait_until_promoted()
        yield server


def test_every_moment_since_the_oldest_base_backup_that_is_kept_can_be_restored(site: Site) -> None:
    server, base = site.server, site.folder / "base"
    server.insert(1)
    server.switch(2)
    first = server.base_backup(base / "first")
    server.insert(2)
    server.switch(2)
    second = server.base_backup(base / "second")
    server.insert(3)
    server.execute("SELECT pg_create_restore_point('middle')")
    server.insert(4)
    server.switch(2)
    server.base_backup(base / "third")
    server.insert(5)
    server.flush_archive()
    before = site.files()

    # A slot that nobody reads holds everything; without it the second newest base backup decides.
    server.execute("SELECT pg_create_physical_replication_slot('holder', true)")
    held = site.call(check=True, keep_base_backups=1)
    assert [need["id"] for need in held["needs"] if need["kind"] == "slot"] == ["holder"]
    planned = site.call(check=True, keep_base_backups=2)
    assert site.files() == before, "check mode removed something"
    by_directory = site.call(check=True, base_backups=[str(second), str(base / "third")])
    all_of_them = site.call(check=True, base_backups=[str(base / "*")])
    done = site.call(keep_base_backups=2)
    again = site.call(keep_base_backups=2)

    assert planned["files"] == done["files"] == by_directory["files"]
    assert len(all_of_them["files"]) < len(done["files"])
    assert sorted(set(before) - set(done["files"])) == site.files()
    assert (planned["changed"], done["changed"], again["changed"]) == (True, True, False)
    assert done["archive"]["keep"]["id"].endswith(".backup")
    assert (done["findings"], done["msg"], done["archive"]["missing"]) == ([], "", 0)
    assert again["findings"] == []
    assert not remaining_gap(site.segments())
    assert done["archive"]["segment_size"] == 1 << 20

    with restored(site, second, "to-the-middle", recovery_target_name="middle") as there:
        assert there.facts() == [1, 2, 3]
    with restored(site, second, "to-the-end") as there:
        assert there.facts() == [1, 2, 3, 4, 5]
    with restored(site, base / "third", "from-the-third") as there:
        assert there.facts() == [1, 2, 3, 4, 5]
    # And no segment too many was kept: what the first one needs is gone.
    with pytest.raises((BedError, AssertionError)), restored(site, first, "from-the-first"):
        pass


def test_a_restore_crosses_to_the_timeline_of_a_promotion(own_site: Site) -> None:
    promote_and_restore(own_site)


@pytest.mark.soak
def test_a_restore_crosses_to_the_timeline_of_a_promotion_on_every_version(site: Site) -> None:
    promote_and_restore(site)


def promote_and_restore(site: Site) -> None:
    server, base = site.server, site.folder / "base"
    server.insert(1)
    server.switch(2)
    old = server.base_backup(base / "old")
    server.insert(2)
    server.switch(2)
    server.base_backup(base / "newer")
    server.insert(3)
    server.flush_archive()
    server.stop()
    with restored(site, old, "promoted", archives=True) as promoted:
        assert promoted.facts() == [1, 2, 3]
        promoted.insert(4)
        promoted.switch(2)
        promoted.base_backup(base / "on-two")
        promoted.insert(5)
        promoted.flush_archive()
        assert "00000002.history" in site.files()
        # Two are kept: one of each timeline. The server that is asked is the new one.
        done = site.call(server=promoted, keep_base_backups=2)
        assert codes(done) == {}
        assert done["archive"]["timelines"] == [1, 2]
        assert done["archive"]["timeline"] == 2
        assert [backup["start"][:8] for backup in done["base_backups"]] == ["00000001", "00000002"]
        with restored(site, base / "newer", "across") as there:
            assert there.facts() == [1, 2, 3, 4, 5]
        one = site.call(server=promoted, keep_base_backups=1)
        assert one["archive"]["timelines"] == [2]
        assert "00000002.history" in site.files()
        with restored(site, base / "on-two", "on-the-second") as there:
            assert there.facts() == [1, 2, 3, 4, 5]
