# Copyright (c) 2026 Upkeep maintainers
# GNU General Public License v3.0-or-later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""compose_rolling_update against `docker compose up --wait`, under requests at a constant rate.

    python benchmarks/rolling.py [--short] [--setups nginx-file,haproxy] [--updates 10] [--rate 200] [--output FILE]

For each set-up (nginx with a file of servers, haproxy that is told over its socket) the requests begin, a baseline is
taken, and the project is updated again and again: two replicas, a new configuration each time. The requests are an open
loop (`tests/bed/load.py`): half GET, half POST, half on new connections, half on kept ones. Each POST must have been
done once, by the server's own record. Afterwards the same project is updated by `docker compose up --wait` under the
same load. Measured too are what the module costs when nothing waits, an unchanged run, a container that is dead on
arrival, and the way back. Nothing is left behind.

Other set-ups are run when they are named: an nginx that closes kept connections at a reload (nginx-file-1.22), proxies
that find the service by its name (nginx-upstream, nginx-resolver, haproxy-resolvers, caddy), and a port of the host
(published). All of it, requests too, has a network namespace of its own: the firewall of the host neither helps nor
hinders.
"""

from __future__ import annotations

import argparse
import fcntl
import json
import os
import platform
import socket
import statistics
import struct
import sys
import tempfile
import threading
import time
import urllib.request
from collections import Counter
from pathlib import Path
from typing import Any

CHECKOUT = Path(__file__).resolve().parents[1]
sys.path[:0] = [str(CHECKOUT), str(CHECKOUT / "playbooks" / "collections")]

from tests.bed import shop  # noqa: E402  after the path
from tests.bed.docker_engine import Engine  # noqa: E402
from tests.bed.postgres import cache_directory  # noqa: E402
from tests.integration.rolling import (  # noqa: E402
    CADDYFILE,
    HAPROXY_NAMES,
    NGINX_RESOLVER,
    NGINX_UPSTREAM,
    Rolling,
)

SETUPS = ("nginx-file", "haproxy")
OTHERS = ("nginx-file-1.22", "nginx-upstream", "nginx-resolver", "haproxy-resolvers", "caddy", "published")
OWN_NETWORK = "UPKEEP_BENCHMARK_OWN_NETWORK"
WAIT = {"monitor": "2s", "health_timeout": "60s"}


def begin(rolling: Rolling, setup: str, image: str) -> dict[str, Any]:
    """Bring up one set-up; the options of its updates."""
    (rolling.folder / "counter").mkdir(exist_ok=True)
    (rolling.folder / "counter" / "posted").write_text("")
    web = {
        "image": image,
        "environment": {"VERSION": "0", "COUNTER": "/counter/posted"},
        "volumes": ["./counter:/counter"],
    }
    drain: dict[str, Any] = {"drain": {"file": "/tmp/drain", "wait": "2s"}}
    if setup in ("nginx-file", "nginx-file-1.22"):
        traffic = rolling.behind_nginx(newer=setup == "nginx-file", **web)
        return {"services": ["web"], "traffic": traffic}
    if setup == "haproxy":
        return {"services": ["web"], "traffic": rolling.behind_haproxy(**web), **drain}
    if setup == "published":
        rolling.published(**web)
        return {"services": ["web"]}
    gated = {"services": ["web"], "traffic": {"mode": "dns_gate"}}
    nginx, haproxy = "/etc/nginx/nginx.conf", "/etc/haproxy.cfg"
    if setup == "nginx-upstream":
        rolling.behind_names(shop.proxy_image(rolling.engine), nginx, NGINX_UPSTREAM, **web)
        return {"services": ["web"], "traffic": {"mode": "nginx", "service": "proxy"}}
    if setup == "nginx-resolver":
        rolling.behind_names(shop.proxy_image(rolling.engine), nginx, NGINX_RESOLVER, **web)
        return gated
    if setup == "haproxy-resolvers":
        rolling.behind_names(shop.haproxy_image(rolling.engine), haproxy, HAPROXY_NAMES, **web)
        return {"services": ["web"], **drain}
    rolling.behind_names(shop.caddy_image(rolling.engine), "/etc/caddy/Caddyfile", CADDYFILE, **web)
    return gated


def under_load(rolling: Rolling, rate: float, seconds: float, work: Any) -> dict[str, Any]:
    """Do *work* under load, and go on *seconds* afterwards."""
    before = len((rolling.folder / "counter" / "posted").read_text().split())
    with rolling.load(rate) as load:
        begun = time.monotonic()
        work()
        took = time.monotonic() - begun
        time.sleep(seconds)
    result = dict(load.result)
    result["failed_at"] = result["failed_at"][:3]
    posted = result.pop("posted")
    written = (rolling.folder / "counter" / "posted").read_text().split()[before:]
    times = Counter(written)
    result["posts"] = {
        "answered": len(posted),
        "done_more_than_once": sum(1 for count in times.values() if count > 1),
        "answered_and_not_done": len(set(posted) - set(written)),
    }
    return {"seconds": round(took, 1), **result}


def updates_of(rolling: Rolling, options: dict[str, Any], count: int, first: int) -> list[float]:
    seconds = []
    for number in range(first, first + count):
        rolling.change("web", environment={"VERSION": str(number)})
        begun = time.monotonic()
        rolled = rolling.roll(**{**WAIT, **options})
        if rolled.outcome != "updated":
            sys.exit(f"update {number}: {rolled.outcome}: {rolled.failure}")
        seconds.append(time.monotonic() - begun)
    return seconds


def slow_request(rolling: Rolling, options: dict[str, Any]) -> dict[str, Any]:
    """A request of 5 seconds that is in flight while its server is replaced."""
    answers: list[int] = []

    def ask() -> None:
        with urllib.request.urlopen(f"http://{rolling.host}:{rolling.port}/slow/5", timeout=30) as answer:
            answers.append(answer.status)

    threads = [threading.Thread(target=ask) for _each in range(4)]
    for thread in threads:
        thread.start()
    updates_of(rolling, options, 1, 900)
    for thread in threads:
        thread.join()
    return {"requests": len(threads), "finished": answers.count(200)}


def setup_of(engine: Engine, setup: str, given: argparse.Namespace) -> dict[str, Any]:
    """All measurements with one proxy."""
    image = shop.app_image(engine, "upkeep-shop:1")
    with tempfile.TemporaryDirectory() as folder, Rolling(engine, Path(folder), setup) as rolling:
        options = begin(rolling, setup, image)
        base = under_load(rolling, given.rate, 0, lambda: time.sleep(5 if given.short else 15))
        found: list[float] = []
        # Enough requests, whatever the speed of the machine: updates go on until they are there.
        wanted = 0 if given.short or setup in OTHERS else given.requests / given.rate / len(SETUPS)

        def work() -> None:
            begun = time.monotonic()
            while len(found) < given.updates or time.monotonic() - begun < wanted:
                found.extend(updates_of(rolling, options, 1, 1 + len(found)))

        ours = under_load(rolling, given.rate, 5, work)
        ours |= {"updates": len(found), "update_seconds": round(statistics.median(found), 2)}
        in_flight = slow_request(rolling, options)
        if setup == "published":
            return {"baseline": base, "ours": ours, "gap": gap_of(rolling, options), "in_flight": in_flight}

        bad = under_load(rolling, given.rate, 1, lambda: bad_version(rolling, options))
        rolling.change("web", environment={"MODE": "ok", "VERSION": "950"})
        updates_of(rolling, options, 1, 950)

        def by_compose() -> None:
            rolling.change("web", environment={"VERSION": "999"})
            rolling.project.compose("up", "--detach", "--wait", "--pull", "never", check=False)

        theirs = under_load(rolling, given.rate, 5, by_compose)
    return {"baseline": base, "ours": ours, "in_flight": in_flight, "never_healthy": bad, "compose_up": theirs}


def gap_of(rolling: Rolling, options: dict[str, Any]) -> dict[str, Any]:
    """The gap that the plan states, and the one that the result measured."""
    rolling.change("web", environment={"VERSION": "800"})
    result = rolling.roll(**{**WAIT, **options}).as_result()
    return {
        "planned": result["plan"][0]["downtime_expected"],
        "seconds": result["services"]["web"]["downtime_seconds"],
    }


def bad_version(rolling: Rolling, options: dict[str, Any]) -> None:
    rolling.change("web", environment={"MODE": "never_healthy", "VERSION": "bad"})
    rolled = rolling.roll(**{**options, "monitor": "2s", "health_timeout": "4s"})
    if rolled.outcome != "rolled_back":
        sys.exit(f"a version that never is healthy: {rolled.outcome}")


def costs_of(engine: Engine) -> dict[str, Any]:
    """What the module takes when it has nothing to wait for, and how soon it sees what is wrong."""
    image = shop.app_image(engine, "upkeep-shop:1")
    with tempfile.TemporaryDirectory() as folder, Rolling(engine, Path(folder), "costs") as rolling:
        rolling.write({"web": shop.web(image, checked=False, environment={"BOOT": "0", "FINISH": "0", "MODE": "ok"})})
        rolling.up()
        unchanged, whole, dead, back = [], [], [], []
        for number in range(3):
            begun = time.monotonic()
            if rolling.roll().outcome != "unchanged":
                sys.exit("a run without a change changed something")
            unchanged.append(time.monotonic() - begun)
            rolling.change("web", environment={"VERSION": str(number)})
            begun = time.monotonic()
            rolled = rolling.roll(monitor="0")
            whole.append(time.monotonic() - begun)
            actions = rolled.as_result()["actions"]
            # Docker's own work is no overhead: to start and to stop takes what it takes, whoever asks.
            own = sum(one["seconds"] for one in actions if one["id"] in ("web/start", "web/stop"))
            whole[-1] -= own
            rolling.change("web", environment={"MODE": "exit"})
            failed = rolling.roll()
            gates = [one["seconds"] for one in failed.as_result()["actions"] if one["id"] == "web/gate"]
            dead.append(gates[0])
            back += [one["seconds"] for one in failed.as_result()["actions"] if one["id"] == "web/rollback"]
            rolling.change("web", environment={"MODE": "ok"})
    return {
        "unchanged_seconds": round(statistics.median(unchanged), 3),
        "overhead_seconds_of_2_replicas": round(statistics.median(whole), 3),
        "dead_on_arrival_seen_after_seconds": round(statistics.median(dead), 3),
        "rollback_seconds": round(statistics.median(back), 3),
    }


def verdict(result: dict[str, Any]) -> dict[str, bool]:
    """The bars, each met or not."""
    both = [result[name] for name in SETUPS if name in result]
    return {
        "no_request_failed": all(one["ours"]["failed"] == 0 for one in both),
        "p99_at_most_5_x_baseline": all(one["ours"]["p99"] <= 5 * one["baseline"]["p99"] for one in both),
        "none_over_1_s": all(one["ours"]["over_1s"] == 0 for one in both),
        "each_post_once": all(set(list(one["ours"]["posts"].values())[1:]) == {0} for one in both),
        "in_flight_finished": all(one["in_flight"]["requests"] == one["in_flight"]["finished"] for one in both),
        "no_reply_of_the_bad_version": all("bad" not in one["never_healthy"]["versions"] for one in both),
        "overhead": result["costs"]["overhead_seconds_of_2_replicas"] <= 2.0,
        "unchanged": result["costs"]["unchanged_seconds"] <= 1.5,
        "dead_on_arrival": result["costs"]["dead_on_arrival_seen_after_seconds"] <= 1.0,
        "rollback": result["costs"]["rollback_seconds"] <= 3.0,
    }


def enter_own_network() -> None:
    """Begin anew in a network namespace in which there is nothing but loopback."""
    if OWN_NETWORK not in os.environ:
        shop.bring(cache_directory())
        os.environ[OWN_NETWORK] = "yes"
        os.execvp("unshare", ["unshare", "--net", sys.executable, *sys.argv])
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as one:
        # SIOCSIFFLAGS: up and running, as `ip link set lo up`.
        fcntl.ioctl(one, 0x8914, struct.pack("16sh", b"lo", 0x1 | 0x40))


def main() -> None:
    """Run it from the command line."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--short", action="store_true", help="two updates each: a minute or two")
    parser.add_argument("--setups", default=",".join(SETUPS), help=f"of {', '.join((*SETUPS, *OTHERS))}")
    parser.add_argument("--updates", type=int, default=10)
    parser.add_argument("--requests", type=int, default=50_000, help="at least so many in all")
    parser.add_argument("--rate", type=float, default=200.0)
    parser.add_argument("--output", type=Path)
    given = parser.parse_args()
    chosen = [name for name in given.setups.split(",") if name]
    if unknown := set(chosen) - {*SETUPS, *OTHERS}:
        parser.error(f"there is no set-up {', '.join(sorted(unknown))}")
    enter_own_network()
    if given.short:
        given.updates = 2
    with Engine() as engine:
        result: dict[str, Any] = {
            "environment": {
                "cpus": os.cpu_count(),
                "load_average_before": [round(one, 1) for one in os.getloadavg()],
                "python": platform.python_version(),
                "engine": engine.docker("version", "--format", "{{.Server.Version}}").stdout.strip(),
                "compose": engine.docker("compose", "version", "--short").stdout.strip(),
                "rate": given.rate,
            },
            "costs": costs_of(engine),
        }
        for setup in chosen:
            result[setup] = setup_of(engine, setup, given)
            print(json.dumps({setup: result[setup]}, indent=1), flush=True)
    result["environment"]["load_average_after"] = [round(one, 1) for one in os.getloadavg()]
    result["requests"] = sum(result[name]["ours"]["requests"] for name in chosen)
    result["met"] = verdict(result)
    text = json.dumps(result, indent=2)
    print(text)
    if given.output:
        given.output.write_text(f"{text}\n", encoding="utf-8")
    sys.exit(0 if all(result["met"].values()) else 1)


if __name__ == "__main__":
    main()
