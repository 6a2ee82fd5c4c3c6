"""Requests at a constant rate, whatever becomes of them: an open loop sees each gap, which a closed one waits out.

    python -m tests.bed.load HOST PORT [--rate 200] [--path /] [--fresh-posts]    until its input ends; then JSON

Requests take turns: GET and POST, each on a new connection and on a kept one. A kept connection that the server has
closed in the meantime is replaced before it is used; a GET whose kept connection breaks before a byte of the answer is
sent once more, as every client does, and counted. `Load(host, port)` runs it as a process of its own.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import json
import select
import statistics
import subprocess
import sys
import time
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType
from typing import Any

CHECKOUT = Path(__file__).resolve().parents[2]
PATIENCE = 8.0


@dataclass
class Seen:
    """Requests so far. Times in seconds since the start."""

    requests: list[tuple[float, float, str, str, str]] = field(default_factory=list)
    retried: int = 0
    posted: list[str] = field(default_factory=list)


class Generator:
    """One run of it."""

    def __init__(self, host: str, port: int, rate: float, path: str, fresh_posts: bool) -> None:
        self.host, self.port, self.rate, self.path, self.fresh_posts = host, port, rate, path, fresh_posts
        self.seen = Seen()
        self.begun = time.monotonic()
        self.idle: list[tuple[asyncio.StreamReader, asyncio.StreamWriter]] = []

    async def run(self, ended: asyncio.Event) -> None:
        """Send until *ended*, and wait for what is under way."""
        number, running = 0, set()
        self.begun = time.monotonic()
        while not ended.is_set():
            due = self.begun + number / self.rate
            left = due - time.monotonic()
            if left > 0:
                await asyncio.sleep(left)
            task = asyncio.create_task(self.request(number))
            running.add(task)
            task.add_done_callback(running.discard)
            number += 1
        if running:
            await asyncio.wait(running)
        for _reader, writer in self.idle:
            writer.close()

    async def request(self, number: int) -> None:
        method, kept = ("GET", "POST")[number % 2], number // 2 % 2 == 1
        kept = kept and not (method == "POST" and self.fresh_posts)
        sent = time.monotonic()
        try:
            async with asyncio.timeout(PATIENCE):
                status, version = await self.exchange(method, kept, number)
        except TimeoutError:
            status, version = "timeout", ""
        except (OSError, asyncio.IncompleteReadError, ValueError) as error:
            status, version = f"{type(error).__name__}: {error}"[:80], ""
        kind = f"{method} {'kept' if kept else 'new'}"
        self.seen.requests.append((sent - self.begun, time.monotonic() - sent, status, version, kind))
        if method == "POST" and status == "200":
            self.seen.posted.append(str(number))

    async def exchange(self, method: str, kept: bool, number: int) -> tuple[str, str]:
        used = self.take() if kept else None
        reader, writer = used or await asyncio.open_connection(self.host, self.port)
        try:
            status, version, close = await self.once(reader, writer, method, kept, number)
        except (OSError, asyncio.IncompleteReadError) as error:
            writer.close()
            untouched = isinstance(error, OSError) or not error.partial
            if used is None or method != "GET" or not untouched:
                raise
            self.seen.retried += 1
            reader, writer = await asyncio.open_connection(self.host, self.port)
            status, version, close = await self.once(reader, writer, method, kept, number)
        if kept and not close:
            self.idle.append((reader, writer))
        else:
            writer.close()
        return status, version

    def take(self) -> tuple[asyncio.StreamReader, asyncio.StreamWriter] | None:
        while self.idle:
            reader, writer = self.idle.pop()
            if not reader.at_eof() and not writer.is_closing() and _is_open(writer):
                return reader, writer
            writer.close()
        return None

    async def once(
        self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, method: str, kept: bool, number: int
    ) -> tuple[str, str, bool]:
        body = str(number) if method == "POST" else ""
        connection = "keep-alive" if kept else "close"
        writer.write(
            f"{method} {self.path} HTTP/1.1\r\nHost: shop\r\nConnection: {connection}\r\n"
            f"Content-Length: {len(body)}\r\n\r\n{body}".encode()
        )
        head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1").lower()
        lines = head.split("\r\n")
        headers = dict(line.split(": ", 1) for line in lines[1:] if ": " in line)
        if "content-length" in headers:
            await reader.readexactly(int(headers["content-length"]))
        elif "chunked" in headers.get("transfer-encoding", ""):
            await reader.readuntil(b"0\r\n\r\n")
        else:
            await reader.read()
        close = not kept or headers.get("connection") == "close" or "content-length" not in headers
        return lines[0].split(" ")[1], headers.get("x-version", ""), close


def _is_open(writer: asyncio.StreamWriter) -> bool:
    """Whether the server has not said goodbye: what the kernel knows, which a busy loop may not have read yet."""
    poll = select.poll()
    poll.register(writer.get_extra_info("socket").fileno(), select.POLLIN | select.POLLRDHUP)
    return not poll.poll(0)


def summary(seen: Seen) -> dict[str, Any]:
    """What became of all requests, and each that failed."""
    latencies = sorted(one[1] for one in seen.requests)
    failed = [one for one in seen.requests if one[2] != "200"]
    whole = len(latencies)
    return {
        "requests": whole,
        "failed": len(failed),
        "failures": dict(Counter(one[2] for one in failed)),
        "failed_at": [(round(one[0], 2), one[4], one[2]) for one in failed[:20]],
        "retried": seen.retried,
        "versions": dict(Counter(one[3] for one in seen.requests)),
        "over_1s": sum(1 for one in latencies if one > 1),
        "p50": round(statistics.median(latencies), 4) if latencies else None,
        "p99": round(latencies[min(whole - 1, int(whole * 0.99))], 4) if latencies else None,
        "max": round(latencies[-1], 4) if latencies else None,
        "posted": seen.posted,
    }


async def _until_input_ends(host: str, port: int, rate: float, path: str, fresh_posts: bool) -> dict[str, Any]:
    ended = asyncio.Event()
    loop = asyncio.get_running_loop()
    reader = asyncio.StreamReader()
    await loop.connect_read_pipe(lambda: asyncio.StreamReaderProtocol(reader), sys.stdin)
    generator = Generator(host, port, rate, path, fresh_posts)
    work = asyncio.create_task(generator.run(ended))
    with contextlib.suppress(ConnectionError):
        await reader.read()
    ended.set()
    await work
    return summary(generator.seen)


class Load:
    """It runs as long as the block lasts; `result` is what became of it.

    With `fresh_posts` each POST has a connection of its own: one that is written to a kept connection at the instant at
    which a proxy closes it breaks, now and then, whatever the update does.
    """

    def __init__(
        self, host: str, port: int, rate: float = 200.0, path: str = "/", *, fresh_posts: bool = False
    ) -> None:
        self._argv = [host, str(port), "--rate", str(rate), "--path", path, *["--fresh-posts"] * fresh_posts]
        self._process: subprocess.Popen[str] | None = None
        self.result: dict[str, Any] = {}

    def __enter__(self) -> Load:
        argv = [sys.executable, "-m", "tests.bed.load", *self._argv]
        self._process = subprocess.Popen(argv, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, cwd=CHECKOUT)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        assert self._process is not None
        try:
            said, _nothing = self._process.communicate(timeout=PATIENCE + 30)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
            raise
        self.result = json.loads(said)


def main() -> None:
    """Run it from the command line."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("host")
    parser.add_argument("port", type=int)
    parser.add_argument("--rate", type=float, default=200.0)
    parser.add_argument("--path", default="/")
    parser.add_argument("--fresh-posts", action="store_true")
    given = parser.parse_args()
    work = _until_input_ends(given.host, given.port, given.rate, given.path, given.fresh_posts)
    print(json.dumps(asyncio.run(work)))


if __name__ == "__main__":
    main()
