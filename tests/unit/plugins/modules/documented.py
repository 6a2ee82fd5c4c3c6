"""What the documentation of a module says, with the fragments that it shares with others."""

from __future__ import annotations

from importlib import import_module
from types import ModuleType
from typing import Any

import yaml

FRAGMENTS = "ansible_collections.cadence.upkeep.plugins.doc_fragments"


def options_of(module: ModuleType) -> dict[str, Any]:
    """The options of *module*, as `ansible-doc` puts them together."""
    own = yaml.safe_load(module.DOCUMENTATION)
    options: dict[str, Any] = {}
    for reference in own["extends_documentation_fragment"]:
        name, _, part = reference.removeprefix("cadence.upkeep.").partition(".")
        fragment = import_module(f"{FRAGMENTS}.{name}").ModuleDocFragment
        options |= yaml.safe_load(getattr(fragment, part.upper() or "DOCUMENTATION")).get("options", {})
    return options | own["options"]
