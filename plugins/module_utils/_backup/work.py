# Copyright (c) 2026 Upkeep maintainers
# GNU General Public License v3.0-or-later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Read many files side by side, in processes of their own, so that one that hangs or crashes a reader hides no other.

Small files go together into one process, for a fork costs about 2 ms.
"""

from __future__ import annotations

import ctypes
import os
import platform
import signal
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any, Callable

from ansible_collections.cadence.upkeep.plugins.module_utils._backup import model
from ansible_collections.cadence.upkeep.plugins.module_utils._backup.members import Members
from ansible_collections.cadence.upkeep.plugins.module_utils._backup.model import (
    Content,
    Dump,
    Failure,
    Policy,
    Problem,
)
from ansible_collections.cadence.upkeep.plugins.module_utils._core import isolate
from ansible_collections.cadence.upkeep.plugins.module_utils._core.deadline import Deadline
from ansible_collections.cadence.upkeep.plugins.module_utils._core.isolate import Job, run_isolated
from ansible_collections.cadence.upkeep.plugins.module_utils._core.units import format_duration

Read = Callable[[Deadline], "tuple[Content | None, Failure | None]"]

_SMALL = 1 << 20
_TOGETHER_BYTES = 16 << 20
_TOGETHER = 64
# ioprio_set(2), for the class that reads only when nobody else does.
_IOPRIO_SET = {"x86_64": 251, "aarch64": 30, "ppc64le": 273, "s390x": 282, "riscv64": 30}
_WHO_PROCESS, _IDLE = 1, 3 << 13
# Of prctl(2).
_SET_DEATH_SIGNAL = 1
# For the process to say by itself that the time was over, before it is stopped.
_GRACE = 2.0


@dataclass(frozen=True)
class Task:
    """A file to read: ``read`` is called in another process."""

    path: str
    size: int
    read: Read
    more_seconds: float = 0.0  # than any other file may take


def read_all(tasks: Sequence[Task], policy: Policy, deadline: Deadline) -> list[tuple[Content | None, Failure | None]]:
    """Return what each of *tasks* returns, in their order; what was not begun in time is a ``Failure``.

    Raises nothing of its own.
    """
    if not policy.forks:
        return [_read_one(task, policy, deadline) for task in tasks]
    batches = list(_batches(tasks))
    jobs = [Job(batch[0].path, _call(batch, policy, deadline), _seconds(batch, policy, deadline)) for batch in batches]
    results: list[tuple[Content | None, Failure | None]] = []
    for batch, ended in zip(batches, run_isolated(jobs, policy.parallel)):
        if ended.how == isolate.DONE:
            results += [_unpacked(plain) for plain in ended.value]
        elif len(batch) > 1:
            results += [_alone(task, policy, deadline) for task in batch]  # one of them is to blame
        else:
            results.append((None, _failure(batch[0], ended.how, ended.message, policy)))
    return results


def _batches(tasks: Sequence[Task]) -> list[list[Task]]:
    """Put small neighbours together."""
    batches: list[list[Task]] = []
    size = 0
    for task in tasks:
        joins = task.size < _SMALL and not task.more_seconds and batches and len(batches[-1]) < _TOGETHER
        if joins and size + task.size <= _TOGETHER_BYTES and batches[-1][-1].size < _SMALL:
            batches[-1].append(task)
            size += task.size
        else:
            batches.append([task])
            size = task.size
    return batches


def _seconds(batch: Sequence[Task], policy: Policy, deadline: Deadline) -> float:
    remaining = deadline.remaining
    limit = policy.seconds_per_file * len(batch)
    limit += max(task.more_seconds for task in batch)
    return (limit if remaining is None else min(limit, remaining)) + _GRACE


def _call(batch: list[Task], policy: Policy, deadline: Deadline) -> Callable[[], Any]:
    parent = os.getpid()

    def call() -> list[dict[str, Any]]:
        _end_with(parent)
        _be_modest(policy)
        return [_packed(*_read_one(task, policy, deadline)) for task in batch]

    return call


def _alone(task: Task, policy: Policy, deadline: Deadline) -> tuple[Content | None, Failure | None]:
    (ended,) = run_isolated([Job(task.path, _call([task], policy, deadline), _seconds([task], policy, deadline))], 1)
    if ended.how == isolate.DONE:
        return _unpacked(ended.value[0])
    return None, _failure(task, ended.how, ended.message, policy)


def _read_one(task: Task, policy: Policy, deadline: Deadline) -> tuple[Content | None, Failure | None]:
    remaining = deadline.remaining
    if remaining is not None and not remaining:
        reason = f"was not begun: the timeout of {format_duration(policy.seconds)} for all files was over"
        return None, Failure(model.TIMED_OUT, reason, task.path)
    limit = policy.seconds_per_file
    return task.read(Deadline(limit if remaining is None else min(remaining, limit)))


def _failure(task: Task, how: str, message: str, policy: Policy) -> Failure:
    if how == isolate.TIMED_OUT:
        reason = f"was not read to its end in time (timeout {format_duration(policy.seconds)}, "
        reason += f"timeout_per_file {format_duration(policy.seconds_per_file)})"
        return Failure(model.TIMED_OUT, reason, task.path)
    return Failure(model.KILLED, f"could not be judged: {message.rstrip('.')}", task.path)


def _end_with(parent: int) -> None:
    """Let this process get SIGTERM when its parent dies: nobody would hear what it finds."""
    if platform.system() == "Linux":
        ctypes.CDLL(None, use_errno=True).prctl(_SET_DEATH_SIGNAL, signal.SIGTERM)
        if os.getppid() != parent:
            os.kill(os.getpid(), signal.SIGTERM)  # it has died already


def _be_modest(policy: Policy) -> None:
    """Let whoever else works on the host go first."""
    if policy.nice:
        os.nice(policy.nice)
    number = _IOPRIO_SET.get(platform.machine())
    if policy.idle_io and number is not None and platform.system() == "Linux":
        ctypes.CDLL(None, use_errno=True).syscall(number, _WHO_PROCESS, 0, _IDLE)


# --- from one process to the other, as plain JSON types


def _packed(content: Content | None, failure: Failure | None) -> dict[str, Any]:
    return {
        "content": asdict(content) if content is not None else None,
        "failure": asdict(failure) if failure is not None else None,
    }


def _unpacked(plain: dict[str, Any]) -> tuple[Content | None, Failure | None]:
    content, failure = plain["content"], plain["failure"]
    return _content(content) if content else None, Failure(**failure) if failure else None


def _content(plain: dict[str, Any]) -> Content:
    dump, members = plain["dump"], plain["members"]
    return Content(
        **{
            **plain,
            "chain": tuple(plain["chain"]),
            "problems": tuple(Problem(**problem) for problem in plain["problems"]),
            "unproven": tuple(plain["unproven"]),
            "dump": Dump(**{**dump, "extensions": tuple(dump["extensions"])}) if dump else None,
            "members": Members(**members) if members else None,
        }
    )
