"""The role knows the parts of a cluster that the catalogue knows, and has an entry point for each task that acts."""

from __future__ import annotations

from pathlib import Path

import yaml

from ansible_collections.cadence.upkeep.plugins.plugin_utils.catalogue import read_catalogue

ROLE = Path(__file__).resolve().parents[5] / "roles" / "postgres"
TASKS = [entry for entry in read_catalogue({}).values() if entry.source == "postgres_clusters"]
PARTS = yaml.safe_load((ROLE / "vars" / "main.yml").read_text())["postgres_parts"]


def test_the_parts_are_the_same() -> None:
    # `report` is for the entry point alone: the tasks that tell the same take their options from `health`.
    assert sorted(PARTS) == sorted({entry.part for entry in TASKS} | {"report"})


def test_each_acting_task_reads_its_own_part() -> None:
    acting = [entry for entry in TASKS if entry.acts]
    assert acting
    for entry in acting:
        text = (ROLE / "tasks" / f"{entry.entry}.yml").read_text()
        assert f"postgres_part: {entry.part}\n" in text
        assert ("when: postgres_part in postgres_cluster" in text) == entry.optional
