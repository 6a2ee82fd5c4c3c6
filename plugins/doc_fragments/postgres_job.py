# Copyright (c) 2026 Upkeep maintainers
# GNU General Public License v3.0-or-later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""How the modules that work on tables and indexes go about it: where, when, for how long, and what ends a run."""

from __future__ import annotations


class ModuleDocFragment:
    DOCUMENTATION = r"""
options:
  databases:
    description:
      - The databases to work in, as names or shell patterns. V(*) is every one that accepts connections, without
        templates.
      - The default is O(login_db). The one with the oldest transactions comes first.
    type: list
    elements: str
  window:
    description:
      - The maintenance window in which work may be done, such as V(02:00-05:00), V(sat,sun 22:00-04:00) or
        V(first sun 02:00-05:00 Europe/Berlin). Without a zone it is in UTC. Its end is a O(time_limit) too.
      - Outside it nothing is looked at, and the task is put off. Check mode shows the plan whatever the time.
    type: str
  time_limit:
    description:
      - Nothing new is started after this time, such as V(30m). What is left over is reported.
    type: str
  lock_retry_delay:
    description:
      - How long to wait before the second and each further round of the attempts that O(lock_retries) allows.
    type: str
    default: 10s
  statement_timeout:
    description:
      - How long one statement may take; V(0) is no limit. It is always set, because what is set for the role or the
        database would end the work.
    type: str
    default: "0"
  state_dir:
    description:
      - The directory for the lock that keeps two runs on this host apart, and for the progress of the run
        (C(progress/)). The default is C(/var/lib/upkeep) for root and C(upkeep) below the XDG state directory of any
        other user.
    type: path
  run_id:
    description:
      - A name for the run. It stands in the lock and in C(application_name).
    type: str
    default: ""
  on_standby:
    description: Whether a standby, which repeats what its primary does, is an error, or is left with a remark.
    type: str
    choices: [fail, skip]
    default: fail
  on_error:
    description: Whether a table or an index that fails ends the run. A full disk always does.
    type: str
    choices: [continue, stop]
    default: continue
"""
