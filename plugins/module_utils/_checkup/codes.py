# Copyright (c) 2026 Upkeep maintainers
# GNU General Public License v3.0-or-later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The finding codes of the run itself: what kept a task or a host from being looked at."""

from __future__ import annotations

from collections.abc import Mapping

from ansible_collections.cadence.upkeep.plugins.module_utils._core.finding import Code

CODES: Mapping[str, Code] = {
    "run.unreachable": Code(
        "The host could not be reached, so nothing is known about it.",
        "Log in to the host the way Ansible does (`ansible HOST -m ping`), or take it out of the inventory.",
    ),
    "run.host_failed": Code(
        "The host was reached, but the checks could not be started there (no Python, no privilege, a broken module).",
        "Read the message: it is what Ansible or Python said on that host.",
    ),
    "run.host_not_run": Code(
        "The host is in the inventory and in the limit of the run, but the run never came to it.",
        "Look in the output for what ended the run early, and start it again for this host.",
    ),
    "run.nothing_examined": Code(
        "No task applied to the host, or every one was left out, so that its verdict rests on nothing.",
        "Run `playbooks/plan.yml` to see why each task was left out.",
    ),
    "run.invalid_input": Code(
        "What the inventory says about the run (overrides, lists of ids) cannot be understood for this host.",
        "Correct the variable that the message names.",
    ),
    "run.not_remembered": Code(
        "The host was lost, or failed, before it could write down how its acting tasks ended.",
        "See what was done on the host: those tasks count as not done yet, and the next run does them again.",
    ),
    "run.variable_unusable": Code(
        "The inventory variable of a task cannot be rendered or has the wrong type, so the task did not run.",
        "Correct the variable that the message names; its shape is the module's argument spec.",
    ),
    "task.invalid": Code(
        "The parameters of a check are not valid, so it did not look.",
        "Correct the option that the message names.",
    ),
    "task.timed_out": Code(
        "A check had not ended by its deadline and was stopped; the others were not touched.",
        "Find out what it waits for (a dead mount, a silent server), or raise `deadline` through upkeep_overrides.",
    ),
    "task.failed": Code(
        "A task could not do its work; what it would have found is unknown. The rest of the run went on.",
        "Read the message and the evidence; run the module of that name alone with `-v` to see more.",
    ),
    "state.unusable": Code(
        "The host's state directory cannot be read or written, so nothing can be remembered and nothing acts.",
        "Give the user that runs the task that directory, or set upkeep_state_dir to one that it may write.",
    ),
    "state.healed": Code(
        "The host's state was damaged and has been mended; some tasks may be done again in their period.",
        "Look for a crash or a full disk at the time of the run before.",
    ),
}
