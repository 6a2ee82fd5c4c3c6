"""How servers are told, and what a container would never see."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from ansible_collections.cadence.upkeep.plugins.module_utils._cert.deploy import consumers
from ansible_collections.cadence.upkeep.plugins.module_utils._cert.deploy.argspec import CONSUMER_OPTIONS
from ansible_collections.cadence.upkeep.plugins.module_utils._cert.deploy.consumers import consumer_of, unseen
from ansible_collections.cadence.upkeep.plugins.module_utils._cert.deploy.inside import Containers
from ansible_collections.cadence.upkeep.plugins.module_utils._cert.deploy.model import Consumer
from ansible_collections.cadence.upkeep.plugins.module_utils._cert.deploy.store import LINKS, ONE_BY_ONE, store_of
from ansible_collections.cadence.upkeep.plugins.module_utils._core.errors import CommandFailed, InvalidInput


def consumer(**given: Any) -> Consumer:
    every = {name: option.get("default") for name, option in CONSUMER_OPTIONS.items()}
    return consumer_of({**every, **given}, 30.0)


@pytest.fixture(params=[True, False], ids=["systemd", "no systemd"])
def manager(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> list[str]:
    monkeypatch.setattr(consumers, "_SYSTEMD", str(tmp_path if request.param else tmp_path / "none"))
    return ["systemctl", "reload", "{}"] if request.param else ["service", "{}", "reload"]


@pytest.mark.parametrize(
    ("given", "validate", "reload", "sent"),
    [
        ({"kind": "nginx"}, "nginx -t", "nginx -s reload", ""),
        ({"kind": "nginx", "config": "/n.conf"}, "nginx -c /n.conf -t", "nginx -c /n.conf -s reload", ""),
        ({"kind": "nginx", "container": "web"}, "nginx -t", "nginx -s reload", ""),
        ({"kind": "apache"}, "apachectl -t", "apachectl -k graceful", ""),
        ({"kind": "haproxy", "container": "lb"}, "haproxy -c -f /usr/local/etc/haproxy/haproxy.cfg", "", "HUP"),
        ({"kind": "haproxy", "container": "lb", "config": "/x"}, "haproxy -c -f /x", "", "HUP"),
        ({"kind": "postgres", "container": "db"}, "", "", "HUP"),
        ({"kind": "postgres", "pid_file": "/pid"}, "", "", "HUP"),
        ({"kind": "service", "container": "x"}, "", "", "HUP"),
        ({"kind": "nginx", "validate": [], "signal": "sighup", "container": "web"}, "", "", "HUP"),
        ({"reload": ["a", "b c"]}, "", "a|b c", ""),
        ({"signal": "USR1", "pid_file": "/pid"}, "", "", "USR1"),
    ],
)
def test_each_kind_has_its_ways(given: dict[str, Any], validate: str, reload: str, sent: str) -> None:
    made = consumer(**given)
    assert made.validate == tuple(validate.split())
    assert made.reload == tuple(reload.split("|") if "|" in reload else reload.split())
    assert made.signal == sent


@pytest.mark.parametrize(
    ("given", "unit"),
    [
        ({"kind": "nginx", "service": "nginx@shop"}, "nginx@shop"),
        ({"kind": "haproxy"}, "haproxy"),
        ({"kind": "postgres"}, "postgresql"),
        ({"kind": "service", "service": "stunnel4"}, "stunnel4"),
    ],
)
def test_a_unit_is_reloaded_by_whatever_manages_it(manager: list[str], given: dict[str, Any], unit: str) -> None:
    assert consumer(**given).reload == tuple(word.format(unit) for word in manager)


@pytest.mark.parametrize(
    ("given", "text"),
    [
        ({}, "has nothing to be reloaded with"),
        ({"kind": "service"}, "has nothing to be reloaded with"),
        ({"signal": "HUP"}, "nothing says to whom HUP goes"),
        ({"signal": "NOISE", "container": "web"}, "there is no signal 'NOISE'"),
        ({"reload": ["x"], "signal": "HUP", "container": "web"}, "two ways"),
        ({"pid_file": "/pid", "container": "web"}, "process of this host"),
        ({"kind": "nginx", "container": "a", "compose_project": "b", "compose_service": "c"}, "both say which"),
        ({"kind": "nginx", "compose_project": "b"}, "belong together"),
    ],
)
def test_what_cannot_be_is_refused(given: dict[str, Any], text: str) -> None:
    with pytest.raises(InvalidInput, match=text):
        consumer(**given)


@pytest.mark.parametrize(
    ("given", "label"),
    [
        ({"kind": "nginx"}, "nginx"),
        ({"kind": "service", "service": "stunnel4"}, "stunnel4"),
        ({"kind": "nginx", "container": "web"}, "nginx in web"),
        ({"kind": "nginx", "compose_project": "shop", "compose_service": "web"}, "nginx in shop/web"),
        ({"name": "the proxy", "reload": ["x"]}, "the proxy"),
    ],
)
def test_what_results_call_it(given: dict[str, Any], label: str) -> None:
    assert consumer(**given).label == label


# --- on this host


def test_a_program_that_fails_is_quoted_with_its_last_lines() -> None:
    script = "echo one >&2; echo two >&2; echo 'three: the reason' >&2; echo four >&2; exit 4"
    with pytest.raises(CommandFailed, match="two / three: the reason / four") as failed, Containers("") as inside:
        consumers.validate(consumer(kind="nginx", validate=["sh", "-c", script]), inside)
    assert failed.value.message.startswith("nginx: its own check of the configuration failed with status 4")


def test_a_signal_goes_to_the_first_process_of_the_file(tmp_path: Path) -> None:
    child = subprocess.Popen([sys.executable, "-c", "import signal; signal.pause()"])
    (tmp_path / "pid").write_text(f" {child.pid}\n/data\n5432\n")  # as PostgreSQL writes it
    with Containers("") as inside:
        consumers.reload(consumer(signal="TERM", pid_file=str(tmp_path / "pid")), inside)
    assert child.wait(30) == -signal.SIGTERM


@pytest.mark.parametrize(
    ("content", "text"),
    [(None, "cannot be sent HUP: No such file"), ("", "holds no process id"), ("x1", "holds no process id"),
     ("-1", "holds no process id"), ("0", "holds no process id"), ("4194399", "cannot be sent HUP: No such process")],
)  # fmt: skip
def test_a_pid_file_that_leads_nowhere(tmp_path: Path, content: str | None, text: str) -> None:
    if content is not None:
        (tmp_path / "pid").write_text(content)
    with pytest.raises(CommandFailed, match=text), Containers("") as inside:
        consumers.reload(consumer(pid_file=str(tmp_path / "pid")), inside)


# --- mounts


def places(folder: Path, layout: str = LINKS, **home: str) -> Any:
    (folder / "tls").mkdir(exist_ok=True)
    return store_of(
        "shop", {"fullchain": f"{folder}/tls/a.crt", "privkey": f"{folder}/tls/a.key"}, layout=layout, **home
    )


def bind(*sources: str) -> list[dict[str, Any]]:
    return [{"Type": "bind", "Source": source, "Destination": "/x"} for source in sources]


def test_the_folder_with_all_of_it_will_do(tmp_path: Path) -> None:
    store = places(tmp_path)
    assert unseen(bind(f"{tmp_path}/tls"), store) == []
    assert unseen(bind(str(tmp_path)), store) == []
    assert unseen(bind("/"), store) == []
    assert unseen(bind(f"{tmp_path}/tls-other", "/etc/hosts"), store) == []
    assert unseen([{"Type": "tmpfs", "Source": "", "Destination": "/x"}], store) == []


@pytest.mark.parametrize("layout", [LINKS, ONE_BY_ONE])
def test_a_file_by_itself_will_not(tmp_path: Path, layout: str) -> None:
    ((place, why),) = unseen(bind(f"{tmp_path}/tls/a.crt"), places(tmp_path, layout))
    assert place.endswith("a.crt") and "by itself" in why


def test_nor_a_file_by_itself_through_a_link(tmp_path: Path) -> None:
    store = places(tmp_path)
    (tmp_path / "short").symlink_to("tls")
    assert len(unseen(bind(f"{tmp_path}/short/a.crt"), store)) == 1
    (tmp_path / "real.pem").touch()
    os.symlink("../real.pem", store.places["fullchain"])
    assert len(unseen(bind(f"{tmp_path}/real.pem"), store)) == 1


def test_nor_a_folder_without_the_links(tmp_path: Path) -> None:
    home = {"home": f"{tmp_path}/store"}
    found = unseen(bind(f"{tmp_path}/tls"), places(tmp_path, **home))
    assert [place for place, _why in found] == [f"{tmp_path}/tls/a.crt", f"{tmp_path}/tls/a.key"]
    assert unseen(bind(f"{tmp_path}/tls"), places(tmp_path, ONE_BY_ONE, **home)) == []
    assert unseen(bind(f"{tmp_path}/tls", str(tmp_path)), places(tmp_path, **home)) != [], "the inner one is seen"
    (tmp_path / "mounted").symlink_to("tls")
    assert unseen(bind(f"{tmp_path}/mounted"), places(tmp_path, **home)) == found, "by the name of a link to it"
