"""What descriptions of containers say, in the form of Docker's API and cut to what is read."""

from __future__ import annotations

from typing import Any

import pytest

from ansible_collections.cadence.upkeep.plugins.module_utils._postgres.container_facts import (
    Address,
    addresses_of,
    database_of,
    environment_of,
    network_container_of,
    password_of,
    port_of,
    server_arguments,
    socket_directories_of,
    user_of,
)


def container(**given: Any) -> dict[str, Any]:
    return {
        "Name": "/shop-db-1",
        "State": {
            "Status": "running",
            "Running": True,
            "Paused": False,
            "ExitCode": 0,
            "Error": "",
            "OOMKilled": False,
        },
        "RestartCount": 0,
        "Config": {"Env": ["PATH=/usr/bin"], "Entrypoint": ["docker-entrypoint.sh"], "Cmd": ["postgres"]},
        "HostConfig": {"NetworkMode": "shop_back"},
        "NetworkSettings": {"Networks": {}, "Ports": {}},
        "Mounts": [],
        **given,
    }


def no_file(path: str) -> str:
    raise AssertionError(f"{path} was read for nothing")


# --- its server


@pytest.mark.parametrize(
    ("entrypoint", "command", "environment", "port"),
    [
        (["docker-entrypoint.sh"], ["postgres"], {}, 5432),
        (["docker-entrypoint.sh"], ["postgres"], {"PGPORT": "5433"}, 5433),
        (["docker-entrypoint.sh"], ["postgres"], {"PGPORT": "many"}, 5432),
        (["docker-entrypoint.sh"], ["postgres"], {"POSTGRESQL_PORT_NUMBER": "5434"}, 5434),
        (["docker-entrypoint.sh"], ["-p", "5435"], {"PGPORT": "9"}, 5435),
        (["docker-entrypoint.sh"], ["-p5436"], {}, 5436),
        (["docker-entrypoint.sh"], ["postgres", "-c", "port=5437", "-c", "shared_buffers=1GB"], {}, 5437),
        (["docker-entrypoint.sh"], ["postgres", "-cport=5438"], {}, 5438),
        (["docker-entrypoint.sh"], ["/usr/lib/postgresql/15/bin/postgres", "--port=5439"], {}, 5439),
        (None, ["sh", "-c", "exec postgres -c 'port = 5440' -D /data"], {}, 5440),
        (["postgres"], ["-p", "5441"], {}, 5441),
        # Somebody else's options, and a script that only a shell can read.
        (["wrapper"], ["-x", "serve", "-p", "9"], {}, 5432),
        (None, ["sh", "-c", "postgres -p '"], {}, 5432),
        (None, None, {}, 5432),
    ],
)
def test_the_port_inside(
    entrypoint: list[str] | None, command: list[str] | None, environment: dict[str, str], port: int
) -> None:
    described = container(Config={"Env": [], "Entrypoint": entrypoint, "Cmd": command})
    assert port_of(described, environment) == port


def test_what_the_server_is_started_with() -> None:
    assert server_arguments(["gosu", "postgres", "postgres", "-p", "1"])[-2:] == ["-p", "1"]
    assert server_arguments(["sleep", "600"]) == []
    assert server_arguments([]) == []


def test_the_environment_is_split_at_the_first_sign() -> None:
    described = container(Config={"Env": ["A=b=c", "EMPTY=", "BARE"]})
    assert environment_of(described) == {"A": "b=c", "EMPTY": "", "BARE": ""}
    assert environment_of(container(Config={"Env": None})) == {}


@pytest.mark.parametrize(
    ("environment", "user", "database", "password"),
    [
        ({"POSTGRES_PASSWORD": "p"}, "postgres", "postgres", "p"),
        ({"POSTGRES_USER": "shop", "POSTGRES_PASSWORD": "p"}, "shop", "shop", "p"),
        ({"POSTGRES_USER": "shop", "POSTGRES_DB": "orders"}, "shop", "orders", ""),
        ({"POSTGRES_HOST_AUTH_METHOD": "trust"}, "postgres", "postgres", ""),
        ({"POSTGRES_USER": "", "POSTGRES_PASSWORD": "p"}, "postgres", "postgres", "p"),
        # bitnami
        ({"BITNAMI_APP_NAME": "postgresql", "POSTGRESQL_PASSWORD": "p"}, "postgres", "postgres", "p"),
        ({"BITNAMI_APP_NAME": "x", "POSTGRES_USER": "shop", "POSTGRESQL_PASSWORD": "p"}, "shop", "postgres", "p"),
        ({"POSTGRESQL_USERNAME": "shop", "POSTGRESQL_DATABASE": "orders", "POSTGRESQL_PASSWORD": "p"},
         "shop", "orders", "p"),
        # Red Hat
        ({"POSTGRESQL_USER": "shop", "POSTGRESQL_PASSWORD": "p", "POSTGRESQL_DATABASE": "orders"},
         "shop", "orders", "p"),
        ({"POSTGRESQL_ADMIN_PASSWORD": "a"}, "postgres", "postgres", "a"),
    ],
)  # fmt: skip
def test_whom_the_image_lets_in(environment: dict[str, str], user: str, database: str, password: str) -> None:
    assert user_of(environment, no_file) == user
    assert database_of(environment, user, no_file) == database
    assert password_of(environment, user, no_file) == password


def test_each_may_come_from_a_file() -> None:
    files = {"/run/secrets/user": "shop\n", "/run/secrets/db": "orders", "/run/secrets/password": "p w\n\n"}
    environment = {
        "POSTGRES_USER_FILE": "/run/secrets/user",
        "POSTGRES_DB_FILE": "/run/secrets/db",
        "POSTGRES_PASSWORD_FILE": "/run/secrets/password",
    }
    assert user_of(environment, files.__getitem__) == "shop"
    assert database_of(environment, "shop", files.__getitem__) == "orders"
    assert password_of(environment, "shop", files.__getitem__) == "p w"
    # The name of the official image's user makes the name of its database, from wherever it comes.
    del environment["POSTGRES_DB_FILE"]
    assert database_of(environment, "shop", files.__getitem__) == "shop"


def test_the_password_is_given_to_nobody_else() -> None:
    environment = {"POSTGRES_USER": "shop", "POSTGRES_PASSWORD": "p", "POSTGRESQL_POSTGRES_PASSWORD": "admin"}
    assert password_of(environment, "shop", no_file) == "p"
    assert password_of(environment, "postgres", no_file) == "admin"
    assert password_of(environment, "auditor", no_file) == ""
    del environment["POSTGRESQL_POSTGRES_PASSWORD"]
    assert password_of(environment, "postgres", no_file) == ""


# --- its addresses


def networks(ports: dict[str, Any] | None = None, **networks: dict[str, Any]) -> dict[str, Any]:
    return container(NetworkSettings={"Networks": networks, "Ports": ports or {}})


BACK = {"IPAddress": "172.18.0.2", "IPPrefixLen": 16, "GlobalIPv6Address": "", "GlobalIPv6PrefixLen": 0}
SIX = {"IPAddress": "", "IPPrefixLen": 0, "GlobalIPv6Address": "fd00:1::2", "GlobalIPv6PrefixLen": 64}


def test_its_own_addresses_come_before_published_ports() -> None:
    published = {"5432/tcp": [{"HostIp": "0.0.0.0", "HostPort": "15432"}, {"HostIp": "::", "HostPort": "15432"}]}
    assert addresses_of(networks(published, back=BACK, six=SIX), 5432, "") == [
        Address("172.18.0.2", 5432, 16),
        Address("fd00:1::2", 5432, 64),
        Address("127.0.0.1", 15432),
        Address("::1", 15432),
    ]
    assert addresses_of(networks(published, back=BACK), 5433, "") == [Address("172.18.0.2", 5433, 16)]


@pytest.mark.parametrize(
    ("published", "here", "elsewhere"),
    [
        ("0.0.0.0", ["127.0.0.1"], ["db1"]),
        ("", ["127.0.0.1"], ["db1"]),  # podman
        ("127.0.0.1", ["127.0.0.1"], []),  # that machine's own, which is not ours
        ("::1", ["::1"], []),
        ("192.0.2.7", ["192.0.2.7"], ["192.0.2.7"]),
    ],
)
def test_a_published_port_is_on_the_host_of_the_daemon(published: str, here: list[str], elsewhere: list[str]) -> None:
    described = networks({"5432/tcp": [{"HostIp": published, "HostPort": "15432"}], "80/tcp": None}, back=BACK)
    assert [address.host for address in addresses_of(described, 5432, "")[1:]] == here
    assert [address.host for address in addresses_of(described, 5432, "db1")] == elsewhere


def test_the_network_of_the_host() -> None:
    described = container(HostConfig={"NetworkMode": "host"})
    assert [address.host for address in addresses_of(described, 5432, "")] == ["127.0.0.1", "::1"]
    assert addresses_of(described, 5432, "db1") == [Address("db1", 5432)]


def test_no_network_at_all() -> None:
    assert addresses_of(container(HostConfig={"NetworkMode": "none"}), 5432, "") == []
    assert addresses_of(container(NetworkSettings={"Networks": None, "Ports": None}), 5432, "") == []


def test_the_network_of_another_container() -> None:
    assert network_container_of(container(HostConfig={"NetworkMode": "container:4f2a"})) == "4f2a"
    assert network_container_of(container()) == network_container_of(container(HostConfig={})) == ""


def test_where_its_sockets_are() -> None:
    mounts = [
        {"Type": "bind", "Source": "/srv/run", "Destination": "/var/run/postgresql"},
        {"Type": "volume", "Source": "/var/lib/docker/volumes/x/_data", "Destination": "/run/postgresql/"},
        {"Type": "bind", "Source": "/srv/data", "Destination": "/var/lib/postgresql/data"},
        {"Type": "tmpfs", "Source": "", "Destination": "/run/postgresql"},
    ]
    assert socket_directories_of(container(Mounts=mounts)) == ["/srv/run", "/var/lib/docker/volumes/x/_data"]
    assert socket_directories_of(container(Mounts=None)) == []


def test_an_address_reads_as_people_write_it() -> None:
    assert (str(Address("10.0.0.2", 5432)), str(Address("fd00::2", 5432))) == ("10.0.0.2:5432", "[fd00::2]:5432")
