"""Certificates deployed to servers in containers: seen there, or refused before anything is changed."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from ansible_collections.cadence.upkeep.plugins.module_utils._core.errors import ConnectionFailed, InvalidInput
from tests.bed import nginx
from tests.bed.docker_engine import Engine
from tests.bed.postgres import free_port
from tests.bed.tls import Authority
from tests.integration.deploying import Shop, codes, served, steps
from tests.integration.module import run_module

COMPOSE = """
services:
  web:
    image: {image}
    volumes: ["{tls}:/tls:ro"]
    ports: ["127.0.0.1:{port}:443"]
"""


@pytest.fixture(scope="module")
def image(docker_engine: Engine) -> str:
    return docker_engine.image("upkeep-nginx:1", nginx.image(docker_engine.cache))


@pytest.fixture
def shop(tmp_path: Path, certificate_authority: Authority, docker_engine: Engine) -> Shop:
    """A certificate in place, put there by hand, for a server on a published port."""
    made = Shop(tmp_path, certificate_authority, tmp_path / "tls", port=free_port())
    made.options = {"docker_host": docker_engine.url}
    made.put()
    return made


def run(engine: Engine, image: str, shop: Shop, *command: str, mounts: tuple[str, ...] = ()) -> str:
    """Start a server for the shop, which sees its folder unless other mounts are given."""
    volumes = mounts or (f"{shop.live}:/tls:ro",)
    options = [word for volume in volumes for word in ("--volume", volume)]
    published = ["--publish", f"127.0.0.1:{shop.port}:443"]
    return engine.run(image, *command, name=f"web-{shop.port}", options=[*options, *published])


@pytest.fixture
def web(docker_engine: Engine, image: str, shop: Shop) -> Iterator[str]:
    name = run(docker_engine, image, shop)
    wait_until_it_serves(docker_engine, name, shop)
    yield name
    docker_engine.remove(name)


def wait_until_it_serves(engine: Engine, name: str, shop: Shop) -> None:
    engine.wait_until(name, "sh", "-c", "exec 3<>/dev/tcp/127.0.0.1/443")
    shop.wait_until_only_one_is_served()


@pytest.mark.parametrize("layout", ["links", "files"])
def test_a_server_in_a_container_takes_it_up(shop: Shop, web: str, layout: str) -> None:
    old = shop.served()
    issued = shop.issue()
    consumers = [{"kind": "nginx", "container": web}]
    planned = shop.deploy(check_mode=True, layout=layout, consumers=consumers)
    assert planned.state == "changed" and shop.served() == old
    done = shop.deploy(layout=layout, consumers=consumers)
    assert (done.state, done.failure) == ("changed", "")
    assert steps(done)[2:] == [(f"validate nginx in {web}", "done"), (f"reload nginx in {web}", "done")]
    assert shop.served() == issued.fingerprint
    restored = shop.deploy(layout=layout, state="restored", consumers=consumers)
    assert restored.state == "changed" and shop.served() == old


def test_a_signal_is_a_reload_too(shop: Shop, web: str) -> None:
    issued = shop.issue()
    done = shop.deploy(consumers=[{"name": "web", "container": web, "signal": "SIGHUP"}])
    assert (done.state, shop.served()) == ("changed", issued.fingerprint)


def test_a_service_of_a_project(docker_engine: Engine, image: str, shop: Shop, tmp_path: Path) -> None:
    text = COMPOSE.format(image=image, tls=shop.live, port=shop.port)
    (tmp_path / "compose.yaml").write_text(text)
    with docker_engine.compose(tmp_path, "edge") as edge:
        edge.up("--pull", "never")
        (name,) = edge.containers("web")
        wait_until_it_serves(docker_engine, name, shop)
        issued = shop.issue()
        consumers = [{"kind": "nginx", "compose_project": edge.name, "compose_service": "web"}]
        answer = run_module(tmp_path, "cert_deploy", shop.params(consumers=consumers))
        assert answer.how == "CHANGED", answer.result
        assert shop.served() == issued.fingerprint


def test_each_container_of_a_service_is_told(docker_engine: Engine, image: str, shop: Shop, tmp_path: Path) -> None:
    text = COMPOSE.format(image=image, tls=shop.live, port="")
    (tmp_path / "compose.yaml").write_text(text)
    with docker_engine.compose(tmp_path, "twins") as twins:
        twins.up("--pull", "never", "--scale", "web=2")
        names = sorted(twins.containers("web"))
        assert len(names) == 2
        ports = [
            int(docker_engine.inspect(name)["NetworkSettings"]["Ports"]["443/tcp"][0]["HostPort"]) for name in names
        ]
        for name in names:
            docker_engine.wait_until(name, "sh", "-c", "exec 3<>/dev/tcp/127.0.0.1/443")
        endpoints = [{"name": name, "host": "127.0.0.1", "port": port} for name, port in zip(names, ports, strict=True)]
        issued = shop.issue()
        consumers = [{"kind": "nginx", "compose_project": twins.name, "compose_service": "web"}]
        planned = shop.deploy(check_mode=True, consumers=consumers, endpoints=endpoints)
        done = shop.deploy(consumers=consumers, endpoints=endpoints)
        assert (done.state, done.failure) == ("changed", "")
        told = [step for step, _status in steps(done) if step.startswith("reload")]
        assert told == [step for step, _status in steps(planned) if step.startswith("reload")]
        assert [name for name in names if any(name in step for step in told)] == names
        assert {served(port, shop.ca_path) for port in ports} == {issued.fingerprint}


def test_a_server_that_ignores_the_signal_goes_on_with_the_old_one(
    docker_engine: Engine, image: str, shop: Shop
) -> None:
    # A first process without a handler of its own ignores every signal.
    name = run(docker_engine, image, shop, "bash", "-c", "nginx & wait; sleep 600")
    try:
        wait_until_it_serves(docker_engine, name, shop)
        old, before = shop.served(), shop.in_place()
        shop.issue()
        done = shop.deploy(consumers=[{"name": "web", "container": name, "signal": "HUP"}], settle="1s")
        assert (done.state, sorted(codes(done))) == ("put_back", ["cert.not_served", "cert.put_back"])
        assert (shop.served(), shop.in_place()) == (old, before)
    finally:
        docker_engine.remove(name)


def test_a_broken_configuration_in_a_container(docker_engine: Engine, shop: Shop, web: str) -> None:
    old, before = shop.served(), shop.in_place()
    shop.issue()
    docker_engine.docker("exec", web, "sh", "-c", "echo 'nonsense;' >> /etc/nginx/nginx.conf")
    done = shop.deploy(consumers=[{"kind": "nginx", "container": web}])
    assert (done.state, codes(done)) == ("put_back", ["cert.put_back"])
    assert "nonsense" in done.failure and (shop.served(), shop.in_place()) == (old, before)


def refused(shop: Shop, name: str, **given: Any) -> str:
    """Deploy to that container, which is refused with nothing changed; the reason."""
    before = {path.name: path.read_bytes() for path in shop.live.iterdir()}
    done = shop.deploy(consumers=[{"kind": "nginx", "container": name}], **given)
    assert done.state == "refused" and set(codes(done)) == {"cert.mount_too_narrow"}
    assert {path.name: path.read_bytes() for path in shop.live.iterdir()} == before
    return done.failure


@pytest.mark.parametrize("layout", ["links", "files"])
def test_files_that_are_mounted_one_by_one_are_refused(
    docker_engine: Engine, image: str, shop: Shop, layout: str
) -> None:
    mounts = (f"{shop.chain}:/tls/shop.crt:ro", f"{shop.key}:/tls/shop.key:ro")
    name = run(docker_engine, image, shop, mounts=mounts)
    try:
        wait_until_it_serves(docker_engine, name, shop)
        shop.issue()
        reason = refused(shop, name, layout=layout)
        assert "shop.crt is mounted by itself" in reason
    finally:
        docker_engine.remove(name)


def test_a_mount_without_the_links_is_refused(shop: Shop, web: str) -> None:
    issued = shop.issue()
    assert f"mounted without {shop.folder / 'store'}" in refused(shop, web, store=str(shop.folder / "store"))
    done = shop.deploy(
        consumers=[{"kind": "nginx", "container": web}], store=str(shop.folder / "store"), layout="files"
    )
    assert done.state == "changed" and shop.served() == issued.fingerprint


def test_a_container_that_cannot_be_asked_stops_it_before_anything_is_changed(
    docker_engine: Engine, shop: Shop, web: str
) -> None:
    before = shop.in_place()
    shop.issue()
    with pytest.raises(InvalidInput, match="There is no container nobody"):
        shop.deploy(consumers=[{"kind": "nginx", "container": "nobody"}])
    docker_engine.docker("pause", web)
    with pytest.raises(ConnectionFailed, match=f"The container {web} is paused"):
        shop.deploy(consumers=[{"kind": "nginx", "container": web}])
    docker_engine.docker("unpause", web)
    docker_engine.docker("stop", "--time", "1", web)
    with pytest.raises(ConnectionFailed, match=f"The container {web} does not run"):
        shop.deploy(consumers=[{"kind": "nginx", "container": web}])
    assert shop.in_place() == before


def test_a_container_without_that_program(shop: Shop, web: str) -> None:
    before = shop.in_place()
    shop.issue()
    done = shop.deploy(consumers=[{"kind": "haproxy", "container": web}])
    assert done.state == "put_back" and "haproxy" in done.failure
    assert shop.in_place() == before
