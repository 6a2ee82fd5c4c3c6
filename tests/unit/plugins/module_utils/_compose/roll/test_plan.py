"""Which containers give way to which, for compose_rolling_update."""

from __future__ import annotations

import itertools
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ansible_collections.cadence.upkeep.plugins.module_utils._compose.roll.model import (
    Container,
    Options,
    Policy,
    RollFailed,
    Volume,
    Wanted,
)
from ansible_collections.cadence.upkeep.plugins.module_utils._compose.roll.plan import (
    Seen,
    closure,
    described,
    in_order,
    is_database,
    plan,
)
from ansible_collections.cadence.upkeep.plugins.module_utils._core.errors import InvalidInput

COUNT = itertools.count(1)


def container(service: str = "web", **more: Any) -> Container:
    number = next(COUNT)
    facts = {"hash": "old", "image_id": "sha256:1", "image": "shop:1", "state": "running", **more}
    return Container(id=f"{number:064x}", name=f"p-{service}-{number}", service=service, number=number, **facts)


def wanted(name: str = "web", **more: Any) -> Wanted:
    return Wanted(**{"name": name, "image": "shop:1", "hash": "new", **more})


def seen(services: list[Wanted], containers: list[Container], **more: Any) -> Seen:
    policies = {one.name: more.pop(f"policy_{one.name}", more.get("policy", Policy())) for one in services}
    more.pop("policy", None)
    return Seen(
        wanted={one.name: one for one in services},
        containers=containers,
        images=more.pop("images", {one.image: "sha256:1" for one in services}),
        policies=policies,
        options=more.pop("options", Options()),
        **more,
    )


def test_what_is_as_it_should_be_needs_nothing() -> None:
    assert plan(seen([wanted()], [container(hash="new"), container(hash="new")])) == []


@pytest.mark.parametrize(
    ("one", "reason"),
    [
        ({"hash": "old"}, "config_hash"),
        ({"hash": "new", "image_id": "sha256:0"}, "image"),
        ({"hash": "new", "state": "exited", "exit_code": 1}, "exited"),
    ],
)
def test_a_reason_is_given(one: dict[str, Any], reason: str) -> None:
    (turn,) = plan(seen([wanted()], [container(**one)]))
    assert reason in turn.reasons
    assert (len(turn.batches), turn.batches[0].count, len(turn.batches[0].old)) == (1, 1, 1)


def test_what_is_not_there_is_made() -> None:
    (turn,) = plan(seen([wanted(replicas=3)], []))
    assert (turn.reasons, [batch.count for batch in turn.batches]) == (["missing"], [1, 1, 1])


def test_those_go_first_that_do_not_serve() -> None:
    well, ill, gone = container(health="healthy"), container(health="unhealthy"), container(state="exited", exit_code=1)
    (turn,) = plan(seen([wanted(replicas=3)], [well, ill, gone]))
    assert [old.id for batch in turn.batches for old in batch.old] == [gone.id, ill.id, well.id]


def test_as_many_as_run_unless_somebody_says_how_many() -> None:
    here = [container() for _each in range(3)]
    assert plan(seen([wanted()], here))[0].replicas == 3
    assert plan(seen([wanted(replicas=2)], here))[0].replicas == 2
    assert plan(seen([wanted(replicas=2)], here, options=Options(scale={"web": 4})))[0].replicas == 4
    (fewer,) = plan(seen([wanted(replicas=2)], here))
    assert [(len(batch.old), batch.count) for batch in fewer.batches] == [(1, 1), (1, 1), (1, 0)]


def test_what_another_tool_left_half_done_is_carried_on() -> None:
    old, new = [container(), container()], [container(hash="new", health="healthy"), container(hash="new")]
    (turn,) = plan(seen([wanted(replicas=2)], [*old, *new]))
    assert sorted(turn.keep) == sorted(one.id for one in new)
    assert [(len(batch.old), batch.count) for batch in turn.batches] == [(1, 0), (1, 0)]


@pytest.mark.parametrize(
    ("more", "why"),
    [
        ({"fixed": ("host port 80/tcp",)}, "host port 80/tcp"),
        ({"image": "registry:5000/postgres:16"}, "looks like a database"),
        ({"anonymous": ("/data",)}, "volumes without a name (/data)"),
        ({"volumes": (Volume("spool", "p_spool", "/spool", exclusive=True),)}, "volume spool"),
        ({"shares": ("other",)}, "shares namespaces or volumes of other"),
        ({"one_shot": True}, "runs to its end"),
    ],
)
def test_what_cannot_run_twice_goes_stop_first_or_is_refused(more: dict[str, Any], why: str) -> None:
    one = wanted(**more)
    (turn,) = plan(seen([one], [container()], images={one.image: "sha256:1"}))
    assert turn.order == "stop-first" and why in turn.why
    with pytest.raises(RollFailed, match=r"cannot run twice") as refused:
        plan(seen([one], [container()], options=Options(on_conflict="fail")))
    assert refused.value.kind == "conflict"


def test_the_gap_is_stated_where_nobody_serves_meanwhile() -> None:
    fixed = wanted(fixed=("container_name web",), stop_grace=3.0)
    (turn,) = plan(seen([fixed], [container()], boots={"web": 4.2}))
    assert turn.gap_expected == (
        "from the stop of the old container (up to 3s) until the new one is ready (about 4.2s last time)"
    )
    (two,) = plan(seen([wanted(fixed=("x",), replicas=2)], [container(), container()]))
    assert two.gap_expected == ""
    services = [wanted(name, fixed=(f"container_name {name}",)) for name in ("a", "b")]
    peers = Options(peers=(("a", "b"),))
    turns = plan(seen(services, [container("a"), container("b")], options=peers))
    assert {one.gap_expected for one in turns} == {""}


def test_services_come_after_those_that_they_need_and_peers_follow_one_another() -> None:
    services = {
        one.name: one
        for one in (
            wanted("web", depends_on={"api": "service_started"}),
            wanted("api", depends_on={"migrate": "service_completed_successfully", "db": "service_healthy"}),
            wanted("migrate", depends_on={"db": "service_healthy"}),
            wanted("db"),
            wanted("api2", depends_on={"db": "service_healthy", "migrate": "x"}),
        )
    }
    order = in_order(services, [("api", "api2")])
    assert order == ["db", "migrate", "api", "api2", "web"]
    assert closure(services, "web") == {"api", "migrate", "db"}


def test_who_shares_with_another_is_rolled_with_it() -> None:
    services = [wanted("web"), wanted("side", hash="same", shares=("web",))]
    here = [container("web"), container("side", hash="same")]
    turns = plan(seen(services, here, options=Options(services=("web",))))
    assert [(one.service, one.order) for one in turns] == [("web", "stop-first"), ("side", "stop-first")]
    assert turns[1].reasons == ["shares_with:web"]


def test_a_one_shot_that_ended_well_stays() -> None:
    once = wanted("migrate", one_shot=True, hash="same")
    assert plan(seen([once], [container("migrate", hash="same", state="exited")])) == []
    (turn,) = plan(seen([once], [container("migrate", hash="same", state="exited", exit_code=2)]))
    assert turn.one_shot and turn.reasons == ["exited"]


def test_a_check_that_fails_already_is_noted() -> None:
    (turn,) = plan(seen([wanted()], [container(health="unhealthy")]))
    assert turn.baseline_failing
    (turn,) = plan(seen([wanted()], [container(health="unhealthy"), container(health="healthy")]))
    assert not turn.baseline_failing
    one = container()
    (turn,) = plan(seen([wanted()], [one], probe_failing=frozenset([one.id])))
    assert turn.probe_failing


@pytest.mark.parametrize("option", [{"services": ("nobody",)}, {"scale": {"nobody": 1}}, {"peers": (("nobody",),)}])
def test_a_service_that_is_not_there_is_named(option: dict[str, Any]) -> None:
    with pytest.raises(InvalidInput, match="nobody"):
        plan(seen([wanted()], [], options=Options(**option)))


@pytest.mark.parametrize(
    ("image", "known"),
    [
        ("postgres:15-alpine", True),
        ("docker.io/library/mysql", True),
        ("bitnami/redis@sha256:00", True),
        ("prometheuscommunity/postgres-exporter:v1", False),
        ("shop:1", False),
        ("registry:5000/shop", False),
    ],
)
def test_databases_are_known_by_the_names_of_their_images(image: str, known: bool) -> None:
    assert is_database(image) is known


def test_the_plan_says_all_of_it() -> None:
    given = seen([wanted(replicas=2)], [container(), container()], policy=Policy(parallelism=0))
    (told,) = described(plan(given), given)
    assert told["steps"] == [told["steps"][0]] and "2 new containers" in told["steps"][0]
    assert told["downtime_expected"] == "none"
    assert told["from"] == [{"image": "shop:1", "image_id": "sha256:1", "hash": "old"}]


@given(
    found=st.lists(
        st.tuples(
            st.sampled_from(["old", "new"]), st.sampled_from(["running", "exited"]), st.sampled_from(["", "unhealthy"])
        ),
        max_size=6,
    ),
    replicas=st.integers(0, 5),
    parallelism=st.integers(0, 4),
    fixed=st.booleans(),
)
def test_after_a_plan_there_is_nothing_left_to_plan(
    found: list[tuple[str, str, str]], replicas: int, parallelism: int, fixed: bool
) -> None:
    one = wanted(replicas=replicas, fixed=("x",) if fixed else ())
    here = [container(hash=hash_, state=state, health=health, exit_code=1) for hash_, state, health in found]
    given = seen([one], here, policy=Policy(parallelism=parallelism))
    for turn in plan(given):
        gone = {old.id for batch in turn.batches for old in batch.old}
        made = sum(batch.count for batch in turn.batches)
        assert gone | set(turn.keep) == {each.id for each in here} and not gone & set(turn.keep)
        assert len(turn.keep) + made == turn.replicas
        here = [each for each in here if each.id not in gone] + [container(hash="new") for _each in range(made)]
    assert plan(seen([one], here)) == []
