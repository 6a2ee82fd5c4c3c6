# Copyright (c) 2026 Upkeep maintainers
# GNU General Public License v3.0-or-later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Count for the benchmarks what each host did and how much it returned."""

from __future__ import annotations

import json
import os
from collections import Counter
from typing import Any

from ansible.plugins.callback import CallbackBase

DOCUMENTATION = """
name: tally
type: notification
short_description: count tasks and bytes of each host
description: Writes the counts as JSON to the file named in the environment variable TALLY_FILE.
requirements: []
"""

# What runs on the control node alone, whoever it is for.
CONTROL_NODE = {
    "cadence.upkeep.run_report",
    "cadence.upkeep.run_request",
    "ansible.builtin.assert",
    "ansible.builtin.include_tasks",
    "ansible.builtin.set_fact",
    "ansible.builtin.set_stats",
}


class CallbackModule(CallbackBase):
    CALLBACK_VERSION = 2.0
    CALLBACK_TYPE = "notification"
    CALLBACK_NAME = "tally"
    CALLBACK_NEEDS_ENABLED = True

    def __init__(self) -> None:
        super().__init__()
        self.tasks: Counter[str] = Counter()
        self.bytes: Counter[str] = Counter()

    def _count(self, result: Any) -> None:
        if result._task.action in CONTROL_NODE:
            return
        host = result._host.get_name()
        self.tasks[host] += 1
        self.bytes[host] += len(json.dumps(result._result, default=str))

    def v2_runner_on_ok(self, result: Any) -> None:
        self._count(result)

    def v2_runner_on_failed(self, result: Any, ignore_errors: bool = False) -> None:
        self._count(result)

    def v2_playbook_on_stats(self, stats: Any) -> None:
        with open(os.environ["TALLY_FILE"], "w", encoding="utf-8") as stream:
            json.dump({"tasks": self.tasks, "bytes": self.bytes}, stream)
