"""The same updates on a later engine with a later Compose: what they write on containers must be told apart alike."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from ansible_collections.cadence.upkeep.plugins.module_utils._compose.roll.model import RollFailed
from tests.bed import shop
from tests.bed.docker_engine import Engine
from tests.bed.docker_newer import NewerEngine
from tests.integration import test_compose_rolling_faults as faults
from tests.integration import test_compose_rolling_update as updates
from tests.integration.rolling import Rolling

pytestmark = pytest.mark.soak


@pytest.fixture(scope="module")
def engine() -> Iterator[Engine]:
    with NewerEngine() as made:
        yield made


@pytest.fixture(scope="module")
def image(engine: Engine) -> str:
    return shop.app_image(engine, "upkeep-shop:1")


@pytest.fixture
def rolling(engine: Engine, tmp_path: Path) -> Iterator[Rolling]:
    with Rolling(engine, tmp_path, "newer") as made:
        yield made


def test_it_is_a_later_one(engine: Engine) -> None:
    compose = engine.docker("compose", "version", "--short").stdout.split(".")
    server = engine.docker("version", "--format", "{{.Server.Version}}").stdout.split(".")
    assert (int(compose[0]), int(compose[1])) >= (2, 30) and int(server[0]) >= 26


test_no_request_fails_behind_nginx = updates.test_no_request_fails_behind_nginx
test_a_container_with_a_name_of_its_own = updates.test_a_container_with_a_name_of_its_own_keeps_name_port_and_data
test_the_same_tag_with_another_image = updates.test_the_same_tag_with_another_image_is_an_update_and_goes_back
test_peers_are_rolled_one_by_one = updates.test_peers_are_rolled_one_by_one
test_dependencies_one_shots_profiles_and_variables = updates.test_dependencies_one_shots_profiles_and_variables
test_names_in_the_network_come_with_health = updates.test_names_in_the_network_come_with_health
test_scale_changes_with_the_update = updates.test_scale_changes_with_the_update
test_both_generations_that_another_tool_left = updates.test_both_generations_that_another_tool_left
test_never_healthy = faults.test_one_that_never_becomes_healthy_is_taken_back
test_ends_at_once = faults.test_one_that_ends_at_once_is_seen_at_once
test_what_was_replaced_already_comes_back_too = faults.test_what_was_replaced_already_comes_back_too
test_what_cannot_begin_touches_nothing = faults.test_what_cannot_begin_touches_nothing
test_a_port_that_somebody_else_has = faults.test_a_port_that_somebody_else_has
test_a_run_that_is_killed_is_ended_by_the_next = faults.test_a_run_that_is_killed_is_ended_by_the_next
test_a_person_who_runs_compose_up_meanwhile = faults.test_a_person_who_runs_compose_up_meanwhile


def test_programs_before_and_after(rolling: Rolling, image: str) -> None:
    """post_start and pre_stop, which Compose runs only itself."""
    note = "echo $VERSION {} >> /notes/said"
    hooks = {
        "post_start": [{"command": ["bash", "-c", note.format("begins").replace("$", "$$")], "user": "0"}],
        "pre_stop": [{"command": ["bash", "-c", note.format("ends").replace("$", "$$")]}],
    }
    (rolling.folder / "notes").mkdir()
    web = shop.web(image, replicas=1, environment={"VERSION": "a"}, volumes=["./notes:/notes"], **hooks)
    rolling.write({"web": web})
    rolling.up()
    rolling.change("web", environment={"VERSION": "b"})
    rolled = rolling.roll()
    assert rolled.outcome == "updated", rolled.failure
    said = (rolling.folder / "notes" / "said").read_text().splitlines()
    assert said == ["a begins", "b begins", "a ends"]
    rolling.change("web", environment={"VERSION": "c"}, post_start=[{"command": ["false"]}])
    failed = rolling.roll()
    assert (failed.outcome, faults.kind(failed)) == ("rolled_back", "hook_failed")


def test_a_network_that_would_be_made_anew_is_refused(rolling: Rolling, image: str) -> None:
    """Compose would stop every container on it before the first new one is made."""
    rolling.write({"web": shop.web(image, networks=["one"])}, networks={"one": {}})
    rolling.up()
    before = rolling.facts.ids("web")
    rolling.write(
        {"web": shop.web(image, networks=["one"], environment={"VERSION": "b"})},
        networks={"one": {"labels": {"more": "yes"}}},
    )
    for check_mode in (True, False):
        with pytest.raises(RollFailed, match="would stop all that is on it") as refused:
            rolling.roll(check_mode)
        assert refused.value.kind == "network_changed"
    assert rolling.facts.ids("web") == before and len(rolling.facts.running("web")) == 2
    rolling.write({"web": shop.web(image, networks=["one"], environment={"VERSION": "b"})}, networks={"one": {}})
    assert rolling.roll().outcome == "updated"
