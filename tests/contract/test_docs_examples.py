"""What a page shows to be put into an inventory is what the modules take."""

from __future__ import annotations

import re

import pytest
import yaml

from ansible_collections.cadence.upkeep.plugins.module_utils._core.argspec import validate
from tests.contract.collection import ROOT, argument_spec

# variable -> module whose options it has
OPTIONS = {
    "app_update_release": "app_release",
    "app_update_backup": "backup_create",
    "app_update_verify": "backup_verify",
    "app_update_migrate": "alembic_migrate",
    "app_update_restore": "backup_restore",
    "app_update_roll": "compose_rolling_update",
    "app_update_kubernetes": "k8s_rollout",
    "compose_projects": "compose_health_info",
    "compose_cleanup_options": "docker_cleanup",
}
# What the role gives besides, so that nobody writes it.
GIVEN = {"backup_restore": {"path": "/x"}, "backup_verify": {"paths": ["/x"]}}
PAGES = ("docs/app-update.md", "docs/compose.md", "roles/app_update/README.md", "roles/compose/README.md")


def shown():
    for page in PAGES:
        for block in re.findall(
            r"^```yaml\n(.*?)^```", (ROOT / page).read_text(encoding="utf-8"), re.DOTALL | re.MULTILINE
        ):
            content = yaml.safe_load(block)
            for name, value in content.items() if isinstance(content, dict) else ():
                for one in value if isinstance(value, list) else [value]:
                    if name in OPTIONS:
                        yield pytest.param(name, one, id=f"{page}-{name}")


def test_every_variable_with_options_is_shown():
    assert {parameter.values[0] for parameter in shown()} == set(OPTIONS)


@pytest.mark.parametrize(("name", "options"), list(shown()))
def test_options_that_a_page_shows_are_those_of_the_module(name, options, monkeypatch):
    module = OPTIONS[name]
    spec, others = argument_spec(module, monkeypatch)
    rules = {key: value for key, value in others.items() if key != "supports_check_mode"}
    validate(module, spec, {**GIVEN.get(module, {}), **options}, rules)
