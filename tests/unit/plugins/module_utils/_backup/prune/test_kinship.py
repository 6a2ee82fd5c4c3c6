"""Names of one series are the same without their times, names of two are not."""

from __future__ import annotations

import pytest

from ansible_collections.cadence.upkeep.plugins.module_utils._backup.prune.kinship import kin


@pytest.mark.parametrize(
    ("names", "called"),
    [
        (("shop-20261122T020000Z.sql.gz", "shop-20261121.sql.zst.age", "shop_2026-11-20_02-00UTC.dump"), "shop"),
        (("shop-2026-11-22T02:00:00+01:00.sql", "shop20261121.sql", "shop-2026-W47.sql.gz"), "shop"),
        # autopostgresqlbackup, postgres-backup-local, kartoza, GitLab
        (("shop_2026-11-22_02h00m.Sunday.sql.gz", "shop_2026-11-19_02h00m.Thursday.sql.gz"), "shop"),
        (("last/shop-20261122-020000.sql.gz", "weekly/shop-202647.sql.gz", "monthly/shop-202611.sql.gz"), "shop"),
        (("PG_shop.22-November-2026.dmp", "PG_shop.01-May-2026.dmp"), "pg shop"),
        (
            ("1763776800_2026_11_22_17.0.0_gitlab_backup.tar", "1763690400_2026_11_21_16.11.3_gitlab_backup.tar"),
            "gitlab backup",
        ),
        (("20261122/shop.dump", "2026-11-21/shop.dump"), "shop"),
        (("20261122-020000", "20261121"), ""),
    ],
)
def test_names_of_one_series_are_kin(names: tuple[str, ...], called: str) -> None:
    assert {kin(name) for name in names} == {called}


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("shop-20261122.sql.gz", "shop-archive-20261122.sql.gz"),
        ("shop-20261122.sql.gz", "shop2-20261122.sql.gz"),
        ("20261122/shop.dump", "20261122/users.dump"),
        ("shop/20261122.dump", "users/20261122.dump"),
        ("20261122-shop.sql.gz", "20261122-globals.sql.gz"),
        ("shop-20261122-full.tar", "shop-20261122-diff.tar"),
    ],
)
def test_names_of_two_series_are_not(one: str, other: str) -> None:
    assert kin(one) != kin(other)
