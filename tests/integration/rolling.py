"""A project whose services are rolled, with what stands before them, for the tests of compose_rolling_update."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import textwrap
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from ansible_collections.cadence.upkeep.plugins.module_utils._compose.roll.argspec import ARGUMENT_SPEC, RULES
from ansible_collections.cadence.upkeep.plugins.module_utils._compose.roll.report import Rolled
from ansible_collections.cadence.upkeep.plugins.module_utils._compose.roll.run import roll
from ansible_collections.cadence.upkeep.plugins.module_utils._core.argspec import validate
from ansible_collections.cadence.upkeep.plugins.module_utils._core.times import utc_now
from tests.bed import shop
from tests.bed.docker_engine import Engine, Project
from tests.bed.load import CHECKOUT, Load
from tests.bed.postgres import free_port

FAST = {"monitor": "300ms", "health_timeout": "20s"}

NGINX_FILE = """\
daemon off;
pid /run/nginx.pid;
error_log stderr;
worker_processes 1;
events { worker_connections 4096; }
http {
  access_log off;
  upstream web { include /upstreams/web.conf; }
  @KEEPALIVE@
  server {
    listen 127.0.0.1:@PORT@ backlog=4096;
    location / {
      proxy_pass http://web;
      proxy_http_version 1.1;
      proxy_set_header Connection "";
      proxy_connect_timeout 1s;
    }
  }
}
"""

HAPROXY = """\
global
  maxconn 8192
  stats socket /control/haproxy.sock mode 666 level admin
defaults
  mode http
  timeout connect 1s
  timeout client 30s
  timeout server 30s
  option redispatch
  retries 3
frontend in
  bind 127.0.0.1:@PORT@
  default_backend web
backend web
  option httpchk GET /health
  default-server inter 300ms fall 2 rise 1
  server-template web 6 127.0.0.1:8000 check disabled
"""

# Proxies that find the service by its name in the network of the project.
NGINX_NAMES = """\
daemon off;
pid /run/nginx.pid;
error_log stderr;
worker_processes 1;
events { worker_connections 4096; }
http {
  access_log off;
  @RESOLVER@
  server {
    listen 8080 backlog=4096;
    location / {
      @PASS@
      proxy_http_version 1.1;
      proxy_set_header Connection "";
      proxy_set_header Host web;
      proxy_connect_timeout 1s;
      proxy_next_upstream error timeout;
    }
  }
}
"""
NGINX_UPSTREAM = NGINX_NAMES.replace("@RESOLVER@", "upstream web { server web:8000 max_fails=0; }").replace(
    "@PASS@", "proxy_pass http://web;"
)
NGINX_RESOLVER = NGINX_NAMES.replace("@RESOLVER@", "resolver 127.0.0.11 valid=1s ipv6=off;").replace(
    "@PASS@", "set $web web; proxy_pass http://$web:8000;"
)

HAPROXY_NAMES = """\
global
  maxconn 8192
resolvers compose
  nameserver dns 127.0.0.11:53
  hold valid 1s
  hold obsolete 1s
defaults
  mode http
  timeout connect 1s
  timeout client 30s
  timeout server 30s
  option redispatch
  retries 3
frontend in
  bind :8080
  default_backend web
backend web
  option httpchk GET /health
  default-server inter 300ms fall 2 rise 1 init-addr none
  server-template web 6 web:8000 check resolvers compose resolve-prefer ipv4
"""

CADDYFILE = """\
{
  admin off
  auto_https off
}
:8080 {
  reverse_proxy {
    dynamic a {
      name web
      port 8000
      refresh 1s
    }
    lb_try_duration 5s
    lb_try_interval 100ms
    transport http {
      dial_timeout 1s
      keepalive off
    }
  }
}
"""

# What tells haproxy who serves, over its socket: each address keeps its place, and free places are taken.
HAPROXY_HOOK = """\
import json, socket, sys
def ask(words):
    with socket.socket(socket.AF_UNIX) as one:
        one.connect(sys.argv[1])
        one.sendall(words.encode() + b"\\n")
        said = b""
        while piece := one.recv(65536):
            said += piece
    return said.decode()
live = [one["address"] for one in json.load(sys.stdin)["live"]]
rows = [line.split() for line in ask("show servers state web").splitlines()[2:] if line.strip()]
places = {row[3]: (row[4], row[6]) for row in rows}
kept = {address: name for name, (address, admin) in places.items() if address in live and admin == "0"}
free = [name for name in places if name not in kept.values()]
for address in live:
    if address not in kept:
        name = free.pop(0)
        ask(f"set server web/{name} addr {address} port 8000")
        ask(f"set server web/{name} state ready")
for name in free:
    ask(f"set server web/{name} state maint")
"""


class Rolling:
    """One project in a folder: `write` its services, `up` them, and `roll` them."""

    def __init__(self, engine: Engine, folder: Path, name: str) -> None:
        self.engine = engine
        self.folder = folder
        self.project: Project = engine.compose(folder, name)
        self.facts = shop.Facts(self.project)
        self.file = folder / "compose.yaml"
        self.services: dict[str, Any] = {}
        self.others: dict[str, Any] = {}
        self.state = folder / "state"
        self.host, self.port = "127.0.0.1", free_port()

    def write(self, services: Mapping[str, Any], **others: Any) -> None:
        """Write the Compose file."""
        self.services, self.others = json.loads(json.dumps(services)), others
        self.file.write_text(shop.compose_text(self.services, **others))

    def change(self, service: str, **more: Any) -> None:
        """Change a service in it; `environment` is added to what there is."""
        variables = more.pop("environment", {})
        one = self.services[service]
        one.update(more)
        one["environment"] = {**one.get("environment", {}), **variables}
        self.file.write_text(shop.compose_text(self.services, **self.others))

    def up(self, *arguments: str) -> None:
        self.project.up("--pull", "never", *arguments)

    def params(self, **more: Any) -> dict[str, Any]:
        """The options of the module, not validated."""
        return {
            "project_src": str(self.folder),
            "project_name": self.project.name,
            "docker_host": self.engine.url,
            "state_dir": str(self.state),
            "min_free": "0",
            **FAST,
            **more,
        }

    def roll(self, check_mode: bool = False, **more: Any) -> Rolled:
        """Run the update in this process, with the surroundings of the engine's client."""
        params = validate("compose_rolling_update", ARGUMENT_SPEC, self.params(**more), RULES).params
        with self.surroundings():
            return roll(params, utc_now(), check_mode)

    def surroundings(self) -> Any:
        return _Variables(self.engine.environment())

    def roll_elsewhere(self, *, kill_after: int = 0, output: Path | None = None, **more: Any) -> subprocess.Popen[str]:
        """Run it in a process of its own, which SIGKILL ends right after so many writes of the journal."""
        program = textwrap.dedent(ELSEWHERE)
        argv = [sys.executable, "-c", program, json.dumps(self.params(**more)), str(kill_after), str(output or "")]
        env = {
            **self.engine.environment(),
            "PYTHONPATH": os.pathsep.join([str(CHECKOUT), str(CHECKOUT / "playbooks" / "collections")]),
        }
        return subprocess.Popen(argv, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=env, cwd=CHECKOUT)

    def journal(self) -> Path | None:
        """The journal of an unfinished run."""
        return next(iter(self.state.glob("compose/*/journal.json")), None)

    def behind_nginx(self, *, newer: bool = False, **web: Any) -> dict[str, Any]:
        """Bring up the shop behind nginx, which includes a file of servers; the options that lead its traffic.

        The proxy has the network of the host: a firewall there may keep containers from each other. A *newer* one
        leaves kept connections open for a while after a reload.
        """
        (self.folder / "upstreams").mkdir()
        kept = "keepalive_min_timeout 10s;" if newer else ""
        (self.folder / "nginx.conf").write_text(
            NGINX_FILE.replace("@PORT@", str(self.port)).replace("@KEEPALIVE@", kept)
        )
        servers = self.folder / "upstreams" / "web.conf"
        servers.write_text("server 127.0.0.1:1;\n")
        mounts = ["./nginx.conf:/etc/nginx/nginx.conf:ro", "./upstreams:/upstreams:ro"]
        image = shop.newer_proxy_image(self.engine) if newer else shop.proxy_image(self.engine)
        proxy = {"image": image, "network_mode": "host", "volumes": mounts}
        traffic = {"mode": "nginx", "service": "proxy", "file": str(servers), "port": 8000}
        return self._behind({"web": shop.web(**web), "proxy": proxy}, traffic)

    def behind_haproxy(self, **web: Any) -> dict[str, Any]:
        """Bring up the shop behind haproxy, which asks for health and is told of servers over its socket."""
        (self.folder / "control").mkdir(mode=0o777)
        (self.folder / "haproxy.cfg").write_text(HAPROXY.replace("@PORT@", str(self.port)))
        hook = self.folder / "hook.py"
        hook.write_text(HAPROXY_HOOK)
        mounts = ["./haproxy.cfg:/etc/haproxy.cfg:ro", "./control:/control"]
        proxy = {"image": shop.haproxy_image(self.engine), "network_mode": "host", "volumes": mounts}
        command = [sys.executable, str(hook), str(self.folder / "control" / "haproxy.sock")]
        return self._behind({"web": shop.web(**web), "proxy": proxy}, {"mode": "hook", "hook": command})

    def behind_names(self, proxy_image: str, place: str, config: str, **web: Any) -> None:
        """Bring up the shop behind a proxy in the project's own network, which finds it by its name."""
        (self.folder / "proxy.conf").write_text(config)
        proxy = {"image": proxy_image, "volumes": [f"./proxy.conf:{place}:ro"], "depends_on": ["web"]}
        self.write({"web": shop.web(**web), "proxy": proxy})
        self.up()
        (container,) = self.facts.containers("proxy")
        (endpoint,) = container["NetworkSettings"]["Networks"].values()
        self.host, self.port = endpoint["IPAddress"], 8080

    def published(self, **web: Any) -> None:
        """Bring up the shop with a port of the host, which one container alone can have."""
        self.write({"web": shop.web(**{**web, "replicas": 1, "ports": [f"127.0.0.1:{self.port}:8000"]})})
        self.up()

    def _behind(self, services: dict[str, Any], traffic: dict[str, Any]) -> dict[str, Any]:
        self.write(services)
        self.up()
        # The first list is written by an update too.
        first = self.roll(services=["web"], force=True, traffic=traffic, parallelism=0)
        assert first.outcome == "updated", first.failure
        return traffic

    def load(self, rate: float = 200.0, *, fresh_posts: bool = False) -> Load:
        """Requests to the proxy, as long as the block lasts."""
        return Load(self.host, self.port, rate, fresh_posts=fresh_posts)

    def compose(self, *arguments: str, check: bool = True) -> str:
        answer = self.project.compose(*arguments, check=check)
        return answer.stdout + answer.stderr

    def __enter__(self) -> Rolling:
        return self

    def __exit__(self, *_error: object) -> None:
        with_everything = ("down", "--volumes", "--remove-orphans", "--timeout", "0")
        self.project.compose(*with_everything, check=False)
        left = self.engine.docker(
            "ps", "--all", "--quiet", "--filter", f"label=com.docker.compose.project={self.project.name}"
        ).stdout.split()
        for one in left:
            self.engine.remove(one)


ELSEWHERE = """
import json, os, signal, sys
from ansible_collections.cadence.upkeep.plugins.module_utils._compose.roll import journal, run
from ansible_collections.cadence.upkeep.plugins.module_utils._compose.roll.argspec import ARGUMENT_SPEC, RULES
from ansible_collections.cadence.upkeep.plugins.module_utils._core.argspec import validate
from ansible_collections.cadence.upkeep.plugins.module_utils._core.errors import UpkeepError
from ansible_collections.cadence.upkeep.plugins.module_utils._core.times import utc_now

params, after, output = json.loads(sys.argv[1]), int(sys.argv[2]), sys.argv[3]
written = 0
def counting(save):
    def wrapped(self, record):
        global written
        save(self, record)
        written += 1
        if written == after:
            os.kill(os.getpid(), signal.SIGKILL)
    return wrapped
journal.Journal.save = counting(journal.Journal.save)
try:
    rolled = run.roll(validate("compose_rolling_update", ARGUMENT_SPEC, params, RULES).params, utc_now())
    told = {"outcome": rolled.outcome, "failure": rolled.failure, "result": rolled.as_result()}
except UpkeepError as error:
    told = {"outcome": "refused", "failure": str(error), "result": {"error": {"kind": getattr(error, "kind", "")}}}
print(json.dumps({**told, "written": written}))
"""


class _Variables:
    """The variables of this process are others as long as the block lasts."""

    def __init__(self, variables: Mapping[str, str]) -> None:
        self._wanted = dict(variables)
        self._before: dict[str, str] = {}

    def __enter__(self) -> None:
        self._before = dict(os.environ)
        os.environ.clear()
        os.environ.update(self._wanted)

    def __exit__(self, *_error: object) -> None:
        os.environ.clear()
        os.environ.update(self._before)


def told(process: subprocess.Popen[str], seconds: float = 120) -> dict[str, Any]:
    """What a run elsewhere has said."""
    said, errors = process.communicate(timeout=seconds)
    assert process.returncode == 0, errors
    found: dict[str, Any] = json.loads(said)
    return found
