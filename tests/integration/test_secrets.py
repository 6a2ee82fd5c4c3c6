"""A canary: a secret that the inventory holds is in nothing that a run leaves or prints, not even at -vvv."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.bed.postgres import Cluster, cache_directory, find_or_bring
from tests.integration.playbook import Fleet

CANARY = "c4nary-Zq81-do-not-sing"


@pytest.fixture(scope="module")
def cluster() -> Iterator[Cluster]:
    """One cluster of whatever version is at hand: what is proven here does not depend on it."""
    with Cluster(find_or_bring(None, cache_directory())) as running:
        yield running


def clusters(cluster: Cluster, password: str) -> list[dict[str, Any]]:
    return [
        {
            "name": "main",
            "login_host": cluster.host,
            "login_port": cluster.port,
            "login_user": cluster.user,
            "login_password": password,
            "login_db": "postgres",
            "ssl_mode": "verify-full",
            "ca_cert": str(cluster.ca_cert),
            "databases": ["*"],
        }
    ]


def left_behind(folder: Path, inventory: Path) -> dict[str, str]:
    """Return every file that the run left below *folder*, but for the inventory itself."""
    return {
        str(path): path.read_text(errors="replace")
        for path in folder.rglob("*")
        if path.is_file() and path != inventory
    }


@pytest.mark.parametrize("right", [True, False], ids=["right password", "wrong password"])
@pytest.mark.parametrize("arguments", [("-vvv", "--diff"), ("-vvv", "--check", "--diff")], ids=["run", "check"])
def test_no_secret_is_left_or_printed(
    tmp_path: Path, cluster: Cluster, right: bool, arguments: tuple[str, ...]
) -> None:
    secret = cluster.password if right else CANARY
    fleet = Fleet(tmp_path).local("db1")
    fleet.variables.update(
        postgres_clusters=clusters(cluster, secret),
        certificates_inventory={"files": ["/nowhere.p12"], "passphrases": [CANARY + "-passphrase"]},
    )
    ran = fleet.play("weekly", *arguments, upkeep_only="postgres,certificates")
    postgres = ran.tasks("db1")["postgres.vacuum"]
    assert postgres["status"] == ("done" if right else "failed")
    texts = {"output": ran.output, **left_behind(tmp_path, tmp_path / "inventory.json")}
    assert len(texts) > 2
    for name, text in texts.items():
        assert secret not in text, f"the password is in {name}"
        assert CANARY not in text, f"the canary is in {name}"


def test_a_wrong_password_is_one_unknown_finding_with_the_next_step(tmp_path: Path, cluster: Cluster) -> None:
    fleet = Fleet(tmp_path).local("db1")
    fleet.variables["postgres_clusters"] = clusters(cluster, CANARY)
    ran = fleet.play("weekly", upkeep_only="postgres")
    (finding,) = ran.findings("task.failed")
    assert ran.code == 2 and finding["severity"] == "unknown"
    assert "password" in finding["message"] and str(cluster.port) in finding["message"]
    assert finding["remedy"] and "Traceback" not in ran.output


def test_a_port_that_refuses_is_one_unknown_finding_with_the_next_step(tmp_path: Path, cluster: Cluster) -> None:
    fleet = Fleet(tmp_path).local("db1")
    (entry,) = clusters(cluster, CANARY)
    fleet.variables["postgres_clusters"] = [{**entry, "login_port": 9}]
    ran = fleet.play("weekly", upkeep_only="postgres")
    (finding,) = ran.findings("task.failed")
    assert ran.code == 2 and "localhost:9" in finding["message"] and finding["remedy"]


def test_one_cluster_of_two_that_fails_leaves_the_other_cared_for(tmp_path: Path, cluster: Cluster) -> None:
    fleet = Fleet(tmp_path).local("db1")
    good, bad = clusters(cluster, cluster.password)[0], clusters(cluster, CANARY)[0]
    fleet.variables["postgres_clusters"] = [{**bad, "name": "broken"}, good]
    ran = fleet.play("weekly", upkeep_only="postgres")
    (finding,) = ran.findings("task.failed")
    assert "broken" in finding["subject"]
    assert ran.tasks("db1")["postgres.vacuum"]["counts"]["ok"] > 0
