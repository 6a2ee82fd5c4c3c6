"""Real processes, users and descriptors for the tests of this folder."""

from __future__ import annotations

import json
import os
import signal
import time
import traceback
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

NOBODY = 65534
AS_ROOT = os.geteuid() == 0
needs_root = pytest.mark.skipif(not AS_ROOT, reason="only root can give a file away or become another user")


class Child:
    """A forked process that runs *call* and whose JSON result, or error, can be waited for."""

    def __init__(self, call: Callable[[], Any], user: int | None = None) -> None:
        reader, writer = os.pipe()
        self.pid = os.fork()
        if self.pid == 0:
            os.close(reader)
            self._run(call, user, writer)
        os.close(writer)
        self._pipe = os.fdopen(reader, "rb")

    @staticmethod
    def _run(call: Callable[[], Any], user: int | None, writer: int) -> None:
        try:
            if user is not None:
                os.setgroups([])
                os.setgid(user)
                os.setuid(user)
            answer = {"value": call()}
        except (Exception, SystemExit, KeyboardInterrupt):  # noqa: BLE001  # the parent raises it as a failure
            answer = {"error": traceback.format_exc()}
        try:
            os.write(writer, json.dumps(answer).encode())
        finally:
            os._exit(0)

    def result(self) -> Any:
        with self._pipe as pipe:
            answer = json.loads(pipe.read() or b'{"error": "it was killed"}')
        os.waitpid(self.pid, 0)
        if "error" in answer:
            raise AssertionError(answer["error"])
        return answer["value"]

    def kill(self) -> None:
        os.kill(self.pid, signal.SIGKILL)
        os.waitpid(self.pid, 0)
        self._pipe.close()


def in_child(call: Callable[[], Any], user: int | None = None) -> Any:
    """Return what *call* returns in a process of its own, run by *user*."""
    return Child(call, user).result()


def descriptors() -> int:
    """Return how many descriptors this process has open."""
    return len(os.listdir("/dev/fd"))


def is_alive(pid: int) -> bool:
    """True when process *pid* is there and more than a zombie."""
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    stat = Path(f"/proc/{pid}/stat")
    return not stat.exists() or stat.read_text().rpartition(")")[2].split()[0] not in "ZX"


def wait_until(holds: Callable[[], Any], seconds: float = 60.0) -> Any:
    """Return the first true result of *holds*; fail when there is none in time."""
    give_up = time.monotonic() + seconds
    while time.monotonic() < give_up:
        result = holds()
        if result:
            return result
        time.sleep(0.005)
    raise AssertionError(f"it did not happen within {seconds} s")


@contextmanager
def left_alive(*pids: int) -> Iterator[None]:
    """Kill *pids* afterwards, whatever the test found."""
    try:
        yield
    finally:
        for pid in pids:
            if is_alive(pid):
                os.kill(pid, signal.SIGKILL)
