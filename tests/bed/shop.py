"""A shop for tests of updates: the images of its server and of proxies, and what its containers are."""

from __future__ import annotations

import json
import os
import subprocess
from pathlib import Path
from typing import Any

from . import docker_programs, nginx
from .docker_engine import Engine, Project
from .docker_images import Tree, base, cached, save
from .errors import BedError
from .packages import runs, settings_of, unpacked

APP = Path(__file__).with_name("shop_app.py")
PYTHON = "/usr/bin/python3"
# Light enough to run each second in each container: a shell that asks without any program.
HEALTH = (
    'exec 3<>/dev/tcp/127.0.0.1/8000 && printf "GET /health HTTP/1.0\\r\\n\\r\\n" >&3 && read -r line <&3'
    ' && [[ $line == *" 200 "* ]]'
)
_MODULES = "import asyncio, json, os, signal, sys, time, encodings.latin_1, encodings.idna; import socket, select, ssl"


def app_image(engine: Engine, tag: str = "shop:1", **variables: str) -> str:
    """An image of the server under that tag; other variables make another image."""
    text = APP.read_text(encoding="utf-8")
    settings = {
        "Env": ["PATH=/usr/bin:/bin", *(f"{name}={value}" for name, value in sorted(variables.items()))],
        "Cmd": ["python3", "-u", "/app.py"],
    }
    recipe = [text, json.dumps(settings), Path(__file__).read_text(encoding="utf-8")]
    name = f"shop-{'-'.join(variables.values()) or 'plain'}"
    archive = cached(name, recipe, engine.cache, lambda path: save(_app_tree(text), path, settings))
    return _tagged(engine, tag, archive)


def proxy_image(engine: Engine) -> str:
    """nginx, whose configuration is mounted at /etc/nginx/nginx.conf."""
    return _tagged(engine, "proxy:nginx", nginx.image(engine.cache))


def newer_proxy_image(engine: Engine) -> str:
    """A later nginx than that of Debian 12, with the libraries that it was built against."""
    home = _newer_nginx(engine.cache)
    (libraries,) = [path.parent for path in home.glob("usr/lib/*-linux-*/libc.so.6")]
    (loader,) = libraries.glob("ld-linux-*.so.*")
    said = subprocess.run(
        [loader, "--library-path", libraries, "--list", home / "usr/sbin/nginx"],
        capture_output=True, text=True, check=True,
    ).stdout  # fmt: skip

    def make(path: Path) -> None:
        tree = base()
        for library in sorted({Path(word) for word in said.split() if word.startswith(str(home))} | {loader}):
            tree.copy(library, f"/opt/nginx/{library.name}")
        tree.copy(home / "usr/sbin/nginx", "/opt/nginx/nginx")
        words = f'exec /opt/nginx/{loader.name} --library-path /opt/nginx /opt/nginx/nginx "$@"'
        tree.file("/usr/sbin/nginx", f"#!/bin/sh\n{words}\n", 0o755)
        tree.file("/etc/passwd", "root:x:0:0:root:/root:/bin/sh\nnobody:x:65534:65534::/:/bin/sh\n")
        tree.file("/etc/group", "root:x:0:\nnogroup:x:65534:\n")
        for folder in ("/etc/nginx", "/var/lib/nginx", "/var/log/nginx"):
            tree.directory(folder)
        command = ["/usr/sbin/nginx", "-c", "/etc/nginx/nginx.conf"]
        save(tree, path, {"Cmd": command, "Env": ["PATH=/usr/sbin:/usr/bin:/sbin:/bin"]})

    recipe = [said, Path(__file__).read_text(encoding="utf-8")]
    return _tagged(engine, "proxy:nginx-newer", cached("nginx-newer", recipe, engine.cache, make))


def haproxy_image(engine: Engine) -> str:
    """haproxy, whose configuration is mounted at /etc/haproxy.cfg."""
    home = _haproxy(engine.cache)
    program = home / "usr/sbin/haproxy"

    def make(path: Path) -> None:
        tree = base()
        tree.copy(program, "/usr/sbin/haproxy")
        _with_libraries_of(tree, home, program)
        command = ["haproxy", "-W", "-db", "-f", "/etc/haproxy.cfg"]
        save(tree, path, {"Cmd": command, "Env": ["PATH=/usr/sbin:/usr/bin:/sbin:/bin"]})

    recipe = [str(program), Path(__file__).read_text(encoding="utf-8")]
    return _tagged(engine, "proxy:haproxy", cached("haproxy", recipe, engine.cache, make))


def bring(cache: Path) -> None:
    """Have all programs in the cache, for who is about to leave the network behind."""
    docker_programs.bring(cache)
    nginx.find_or_bring(cache)
    _haproxy(cache)
    _caddy(cache)
    _newer_nginx(cache)


def _haproxy(cache: Path) -> Path:
    return unpacked("haproxy", ("haproxy",), cache, lambda home: runs(home, ("usr/sbin/haproxy", "-v")))


def _newer_nginx(cache: Path) -> Path:
    packages = ("nginx", "libc6", "libpcre2-8-0", "libssl3t64", "zlib1g", "libcrypt1", "libzstd1")
    return unpacked("nginx-newer", packages, cache, lambda home: (home / "usr/sbin/nginx").exists(), "forky")


def _caddy(cache: Path) -> Path:
    return unpacked("caddy", ("caddy",), cache, lambda home: runs(home, ("usr/bin/caddy", "version")))


def caddy_image(engine: Engine) -> str:
    """caddy, whose configuration is mounted at /etc/caddy/Caddyfile."""
    home = _caddy(engine.cache)
    program = home / "usr/bin/caddy"

    def make(path: Path) -> None:
        tree = base()
        tree.copy(program, "/usr/bin/caddy")
        _with_libraries_of(tree, home, program)
        command = ["caddy", "run", "--config", "/etc/caddy/Caddyfile"]
        save(tree, path, {"Cmd": command, "Env": ["PATH=/usr/bin:/bin", "HOME=/tmp", "XDG_CONFIG_HOME=/tmp"]})

    recipe = [str(program), Path(__file__).read_text(encoding="utf-8")]
    return _tagged(engine, "proxy:caddy", cached("caddy", recipe, engine.cache, make))


def _tagged(engine: Engine, tag: str, archive: Path) -> str:
    """Unlike `Engine.image`: the tag is moved when it has another image, as a new build of it would."""
    loaded = engine.docker("load", "--quiet", "--input", archive).stdout.strip().rpartition(" ")[2]
    engine.docker("tag", loaded, tag)
    return tag


def _app_tree(text: str) -> Tree:
    if not os.path.exists(PYTHON):
        raise BedError(f"this machine has no {PYTHON}, which the images of the shop are made from: install python3")
    program = f"{_MODULES}; print([getattr(one, '__file__', None) for one in sys.modules.values()])"
    said = subprocess.run([PYTHON, "-S", "-c", program], capture_output=True, text=True, check=True).stdout
    tree = base()
    real = Path(PYTHON).resolve()
    tree.copy(real, str(real))
    tree.link("/usr/bin/python3", real.name)
    files = [Path(one) for one in eval(said, {"__builtins__": {}}) if one]
    for file in files:
        tree.copy(file)
    extensions = [file for file in files if file.suffix == ".so"]
    tree.with_libraries(real, *extensions)
    tree.file("/app.py", text)
    return tree


def _with_libraries_of(tree: Tree, home: Path, program: Path) -> None:
    said = subprocess.run(
        ["ldd", program], capture_output=True, text=True, env={**os.environ, **settings_of(home)}, check=True
    ).stdout
    for word in said.split():
        if word.startswith("/") and os.path.exists(word):
            place = word.removeprefix(str(home)) if word.startswith(str(home)) else word
            tree.copy(Path(word), place)


class Facts:
    """What the containers of a project are, for comparing before with after."""

    def __init__(self, project: Project) -> None:
        self.engine = project.engine
        self.project = project

    def containers(self, service: str = "") -> list[dict[str, Any]]:
        """The descriptions of its containers, one-off ones left out, by name."""
        filters = [f"label=com.docker.compose.project={self.project.name}", "label=com.docker.compose.oneoff=False"]
        if service:
            filters.append(f"label=com.docker.compose.service={service}")
        words = [word for one in filters for word in ("--filter", one)]
        ids = self.engine.docker("ps", "--all", "--quiet", "--no-trunc", *words).stdout.split()
        found = json.loads(self.engine.docker("inspect", *ids).stdout) if ids else []
        return sorted(found, key=lambda one: str(one["Name"]))

    def names(self, service: str = "") -> list[str]:
        return [one["Name"].lstrip("/") for one in self.containers(service)]

    def ids(self, service: str = "") -> list[str]:
        return sorted(one["Id"] for one in self.containers(service))

    def running(self, service: str = "") -> list[str]:
        return [one["Name"].lstrip("/") for one in self.containers(service) if one["State"]["Running"]]

    def drift(self, *arguments: str) -> list[str]:
        """What `docker compose up` would do: nothing, unless it says otherwise."""
        answer = self.project.compose("up", "--detach", "--dry-run", "--no-build", "--pull", "never", *arguments)
        lines = (answer.stdout + answer.stderr).splitlines()
        return [line for line in lines if any(word in line for word in ("Recreate", "Create", "Starting", "Remov"))]


def compose_text(services: dict[str, Any], **others: Any) -> str:
    """A Compose file; JSON is YAML."""
    return json.dumps({"services": services, **others}, indent=1)


def web(image: str = "shop:1", replicas: int = 2, checked: bool = True, **more: Any) -> dict[str, Any]:
    """The service of the shop's server."""
    service: dict[str, Any] = {"image": image, "deploy": {"replicas": replicas}, "stop_grace_period": "5s"}
    if checked:
        # Generous: a busy machine must not make a healthy version unhealthy.
        service["healthcheck"] = {
            "test": ["CMD", "bash", "-c", HEALTH.replace("$", "$$")],
            "interval": "500ms",
            "timeout": "10s",
            "retries": 8,
            "start_period": "1s",
        }
    return {**service, **more}
