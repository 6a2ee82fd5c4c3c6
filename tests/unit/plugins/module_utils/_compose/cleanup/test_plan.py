"""What `docker_cleanup` removes, and in which order: decided without a daemon."""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime, timedelta, timezone
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ansible_collections.cadence.upkeep.plugins.module_utils._compose.cleanup.argspec import (
    ARGUMENT_SPEC,
    CACHE,
    CONTAINERS,
    DANGLING,
    IMAGES,
    NETWORKS,
    VOLUMES,
)
from ansible_collections.cadence.upkeep.plugins.module_utils._compose.cleanup.collect import (
    cache_of,
    container_of,
    image_of,
)
from ansible_collections.cadence.upkeep.plugins.module_utils._compose.cleanup.model import Policy, Snapshot, Thing
from ansible_collections.cadence.upkeep.plugins.module_utils._compose.cleanup.plan import plan
from ansible_collections.cadence.upkeep.plugins.module_utils._core.argspec import validate
from ansible_collections.cadence.upkeep.plugins.module_utils._core.errors import InvalidInput

NOW = datetime(2026, 11, 22, 4, 13, tzinfo=timezone.utc)
OLD = NOW - timedelta(days=400)
IMAGE = Thing(IMAGES, "sha256:a", ("shop:1",), 10, OLD, {})
ENDED = Thing(CONTAINERS, "c1", ("shop-run",), 5, OLD, {}, image_id="sha256:a", state="exited")


def policy(**params: Any) -> Policy:
    given_ = {"kinds": ["containers", "dangling_images", "images", "build_cache", "networks"], **params}
    return Policy.from_params(validate("docker_cleanup", ARGUMENT_SPEC, given_).params)


def gone(*things: Thing, users: dict[str, tuple[str, ...]] | None = None, **params: Any) -> list[str]:
    planned = plan(Snapshot(things, users or {}, {"c1": "shop-run"}), policy(**params), NOW)
    assert len(planned.remove) + len(planned.kept) == len(things)
    assert all(one.reason for one in planned.kept)
    return [one.id for one in planned.remove]


@pytest.mark.parametrize(
    ("change", "goes"),
    [
        ({}, True),
        ({"state": "created"}, True),
        ({"state": "dead"}, True),
        ({"state": "running"}, False),
        ({"state": "restarting"}, False),
        ({"state": "paused"}, False),
        ({"state": "removing"}, False),
        ({"state": "something new"}, False),
        ({"project": "shop"}, False),
        ({"project": "shop", "one_off": True}, True),
        ({"labels": {"upkeep.keep": ""}}, False),
        ({"labels": {"upkeep.keep": "true"}}, False),
        ({"labels": {"upkeep.keep": "False"}}, True),
        ({"since": NOW - timedelta(days=6, hours=23)}, False),
        ({"since": NOW - timedelta(days=7)}, True),
        ({"since": NOW + timedelta(days=1)}, False),
        ({"since": None}, False),
        ({"busy": "the daemon is at it"}, False),
    ],
)
def test_which_containers_go(change: dict[str, Any], goes: bool) -> None:
    assert gone(replace(ENDED, **change)) == (["c1"] if goes else [])


def test_compose_containers_go_when_asked_for() -> None:
    assert gone(replace(ENDED, project="shop"), compose_containers=True) == ["c1"]


@pytest.mark.parametrize("name", ["shop:upkeep-rollback-20261122", "r.example.com:5000/x/shop:upkeep-rollback-1"])
def test_a_way_back_stays_whatever_its_age_and_kind(name: str) -> None:
    assert gone(replace(IMAGE, names=("shop:0", name)), keep_per_repository=0, images_older_than="0") == []


def test_an_image_stays_with_its_container_and_goes_with_it() -> None:
    assert gone(IMAGE, users={"sha256:a": ("c9",)}, keep_per_repository=0) == []
    assert gone(IMAGE, ENDED, users={"sha256:a": ("c1",)}, keep_per_repository=0) == ["c1", "sha256:a"]
    stays = replace(ENDED, state="running")
    assert gone(IMAGE, stays, users={"sha256:a": ("c1",)}, keep_per_repository=0) == []
    # The same holds for one without a name.
    nameless = replace(IMAGE, kind=DANGLING, names=())
    assert gone(nameless, users={"sha256:a": ("c9",)}) == []


def test_the_newest_of_each_repository_stay() -> None:
    images = [
        replace(IMAGE, id=f"{name}{day}", names=(f"{name}:{day}",), since=OLD + timedelta(days=day))
        for name in ("shop", "r.example.com:5000/shop")
        for day in range(4)
    ]
    assert set(gone(*images)) == {"shop0", "shop1", "r.example.com:5000/shop0", "r.example.com:5000/shop1"}
    assert len(gone(*images, keep_per_repository=0)) == 8
    # A way back is none of the newest.
    images[3] = replace(images[3], names=("shop:3", "shop:upkeep-rollback-1"))
    assert set(gone(*images[:4])) == {"shop0"}
    # One of unknown age may be the newest of all.
    images[0] = replace(images[0], since=None)
    assert set(gone(*images[:3])) == {"shop1"}


def test_what_goes_first() -> None:
    things = [
        Thing(VOLUMES, "data", ("data",), 1, None, {}),
        Thing(NETWORKS, "n1", ("shop_default",), 0, OLD, {}, project="shop"),
        Thing(CACHE, "b1", (), 1, OLD, {}),
        IMAGE,
        replace(IMAGE, id="sha256:b", kind=DANGLING, names=()),
        ENDED,
    ]
    order = gone(*things, volumes=["data"], keep_per_repository=0)
    assert order == ["c1", "sha256:b", "sha256:a", "b1", "n1", "data"]


@given(
    st.lists(
        st.builds(
            Thing,
            kind=st.sampled_from([CONTAINERS, DANGLING, IMAGES, CACHE, NETWORKS]),
            id=st.uuids().map(str),
            names=st.lists(st.sampled_from(["a:1", "a:2", "b:upkeep-rollback-1", "keep:me"]), max_size=2).map(tuple),
            bytes=st.just(1),
            since=st.one_of(st.none(), st.integers(0, 800).map(lambda days: NOW - timedelta(days=days))),
            labels=st.sampled_from([{}, {"upkeep.keep": ""}]),
            state=st.sampled_from(["exited", "running"]),
            project=st.sampled_from(["", "shop"]),
        ),
        max_size=12,
    ),
    st.integers(0, 3),
)
def test_nothing_that_is_spared_ever_goes_and_what_is_kept_at_one_age_is_kept_at_a_longer(
    things: list[Thing], newest: int
) -> None:
    snapshot = Snapshot(tuple(things), {}, {})
    short = plan(snapshot, policy(keep=["keep:*"], keep_per_repository=newest), NOW)
    ages = {name: "700d" for name in ARGUMENT_SPEC if name.endswith("older_than")}
    long = plan(snapshot, policy(keep=["keep:*"], keep_per_repository=newest, **ages), NOW)
    assert {one.id for one in long.remove} <= {one.id for one in short.remove}
    for one in short.remove:
        assert not one.labels and "keep:me" not in one.names
        assert one.kind != CONTAINERS or (one.state == "exited" and not one.project)
        assert one.kind != IMAGES or "b:upkeep-rollback-1" not in one.names


@pytest.mark.parametrize("name", ["*", "data*", "shop_?", "", "a b", "x/y"])
def test_a_volume_is_named_exactly(name: str) -> None:
    with pytest.raises(InvalidInput, match="exact name"):
        policy(volumes=[name])
    with pytest.raises(InvalidInput, match="negative"):
        policy(keep_per_repository=-1)


# --- what the daemon says ---------------------------------------------------------------------------------------------


def test_when_the_age_of_an_image_begins() -> None:
    described = {
        "Id": "sha256:a",
        "RepoTags": ["shop:1"],
        "RepoDigests": [],
        "Created": "2026-01-01T00:00:00Z",
        "Metadata": {"LastTagTime": "2026-06-01T00:00:00.123456789Z"},
        "Config": {"Labels": None},
    }
    tagged = image_of(described, 7)
    assert (tagged.kind, tagged.names, tagged.bytes) == (IMAGES, ("shop:1",), 7)
    assert tagged.since is not None and tagged.since.month == 6
    never = {"LastTagTime": "0001-01-01T00:00:00Z"}
    built = image_of({**described, "RepoTags": [], "Metadata": never}, 7)
    assert (built.kind, built.names) == (DANGLING, ()) and built.since is not None and built.since.month == 1
    # It came from a registry, by its digest: when, nobody knows.
    pulled = image_of({**described, "RepoTags": [], "RepoDigests": ["shop@sha256:b"], "Metadata": never}, 7)
    assert (pulled.kind, pulled.names, pulled.since) == (IMAGES, ("shop@sha256:b",), None)
    assert pulled.repositories == {"shop"}


def test_containers_and_build_cache() -> None:
    ended = container_of(
        {
            "Id": "c",
            "Name": "/x",
            "Created": "2026-01-01T00:00:00Z",
            "Image": "sha256:a",
            "State": {"Status": "created", "FinishedAt": "0001-01-01T00:00:00Z"},
            "Config": {"Labels": {"com.docker.compose.project": "shop", "com.docker.compose.oneoff": "True"}},
        },
        3,
    )
    assert (ended.state, ended.project, ended.one_off) == ("created", "shop", True)
    assert ended.since is not None and ended.since.month == 1
    record = {"ID": "b", "Size": 9, "InUse": False, "Shared": False, "CreatedAt": "2026-01-01T00:00:00Z"}
    piece = cache_of({**record, "LastUsedAt": "2026-03-01T00:00:00Z"})
    assert piece.busy == "" and piece.since is not None and piece.since.month == 3
    assert cache_of({**record, "LastUsedAt": None}).since == datetime(2026, 1, 1, tzinfo=timezone.utc)
    assert cache_of({**record, "InUse": True}).busy and cache_of({**record, "Shared": True}).busy
