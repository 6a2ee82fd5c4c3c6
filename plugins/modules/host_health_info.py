#!/usr/bin/python
# Copyright (c) 2026 Upkeep maintainers
# GNU General Public License v3.0-or-later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Look at a host: file systems, memory, load, units, reboot, clock."""

from __future__ import annotations

DOCUMENTATION = r"""
module: host_health_info
short_description: Look at file systems, memory, load, failed units, a pending reboot, and the clock of a host
version_added: 0.1.0
author:
  - Upkeep maintainers (@cadence-upkeep)
description:
  - Looks at a host without gathering facts, and judges what it sees. It changes nothing, needs no privileges, and works
    in a container and on macOS, where it says what it cannot see.
  - Every local file system is asked once, in a process of its own with a deadline. One that hangs is one finding; the
    others are judged all the same. No automount is woken, and nothing that is served over the network is touched
    unless O(network_filesystems=true).
  - Load and pressure count when they are high now and have been for five minutes, so that neither a spike nor what is
    over already raises an alarm.
options:
  subset:
    description: What to look at.
    type: list
    elements: str
    choices: [filesystems, memory, load, units, reboot, clock]
    default: [filesystems, memory, load, units, reboot, clock]
  disk_warning:
    description:
      - From which share of used space on a file system is a warning. It is counted as C(df) does, so blocks that are
        reserved for root are neither used nor available.
    type: str
    default: 80%
  disk_critical:
    description: From which share of used space on a file system is critical.
    type: str
    default: 90%
  disk_free_warning:
    description:
      - Below how much available space a file system is a warning too, such as V(10GiB). File systems that are no
        larger than that are judged by their share alone.
    type: str
  disk_free_critical:
    description: Below how much available space a file system is critical too.
    type: str
  inode_warning:
    description: From which share of used inodes on is a warning. File systems that make inodes as needed have no share.
    type: str
    default: 80%
  inode_critical:
    description: From which share of used inodes on is critical.
    type: str
    default: 90%
  memory_warning:
    description:
      - From which share of memory in use on is a warning. What the kernel can free at once counts as available. In a
        container, the limit of its control group is the whole.
    type: str
    default: 85%
  memory_critical:
    description: From which share of memory in use on is critical.
    type: str
    default: 95%
  load_warning:
    description: From which load for each processor on is a warning.
    type: float
    default: 2.0
  load_critical:
    description: From which load for each processor on is critical.
    type: float
    default: 4.0
  pressure_warning:
    description:
      - From which share of lost time (PSI) on is a warning. For memory and disks the time counts in which every task
        waited, for processors that in which some task did.
    type: str
    default: 40%
  pressure_critical:
    description:
      - From which share of lost time on memory and disks are critical. Processors are never more than a warning.
    type: str
    default: 80%
  ignore_mounts:
    description: Mount points that are not looked at, as shell patterns; C(*) goes over slashes.
    type: list
    elements: str
    default: []
  ignore_types:
    description: Types of file systems that are not looked at, as shell patterns.
    type: list
    elements: str
    default: []
  ignore_units:
    description: Units whose failure is no finding, as shell patterns.
    type: list
    elements: str
    default: []
  network_filesystems:
    description: Whether to look at file systems that are served over the network or by a program (FUSE) too.
    type: bool
    default: false
  timeout:
    description: How long each file system, and each command, may take to answer.
    type: str
    default: 5s
extends_documentation_fragment:
  - cadence.upkeep.attributes
  - cadence.upkeep.attributes.read_only
  - cadence.upkeep.attributes.action_groups
notes:
  - In a container, failed units (unless it runs systemd) and a pending reboot are told as V(host.not_visible) at the
    severity info, because they belong to the machine below. What should be visible and is not is told as
    V(host.unreadable) at the severity unknown.
"""

EXAMPLES = r"""
- name: Look at everything
  cadence.upkeep.host_health_info:
  register: health

- name: Look at the disks of a database server, earlier than usual, and at its shares
  cadence.upkeep.host_health_info:
    subset: [filesystems]
    disk_warning: 70%
    disk_free_critical: 20GiB
    ignore_mounts: [/mnt/scratch]
    network_filesystems: true

- name: Look at memory and load
  cadence.upkeep.host_health_info:
    subset: [memory, load]
    load_warning: 1.5
"""

RETURN = r"""
summary:
  description: >-
    The verdict in short. C(worst) is the worst severity found, C(counts) the number of examined objects under the
    worst severity that each got, C(seconds) the wall time.
  returned: success
  type: dict
  sample: {worst: warning, counts: {ok: 11, info: 0, warning: 1, unknown: 0, critical: 0}, seconds: 0.021}
findings:
  description: What was judged, worst first. Codes are listed in the collection's findings page.
  returned: success
  type: list
  elements: dict
  sample:
    - code: host.disk_space
      subject: /var
      severity: warning
      message: "/var is 83.1 % full, 15.7 GiB are left (warning at 80 %, critical at 90 %)."
      evidence: {used_bytes: 83100000000, available_bytes: 16900000000, size_bytes: 105000000000}
      remedy: "Find what grows: `du -xh -d 2 /var | sort -h | tail`; files that are deleted but open: `lsof +L1 /var`."
      observed_at: "2026-11-22T04:13:00Z"
actions:
  description: Always empty, because the module changes nothing.
  returned: success
  type: list
  elements: dict
  sample: []
metrics:
  description: Numbers worth a trend.
  returned: success
  type: list
  elements: dict
  sample:
    - {name: host_filesystem_used_ratio, value: 0.831, unit: ratio, labels: {mount: /var}}
truncated:
  description: How many entries of which list were left out, to keep the result small.
  returned: when something was left out
  type: dict
  sample: {filesystems_left_out: 250}
place:
  description: Where the module looked from. C(container) is empty outside of containers.
  returned: success
  type: dict
  sample: {system: Linux, container: docker}
filesystems:
  description: >-
    Each file system that was asked. C(state) is V(answered), V(hung), V(broken), V(refused) or
    V(untold); only one that answered has numbers.
  returned: when asked for and visible
  type: list
  elements: dict
  sample:
    - mount: /var
      type: ext4
      source: /dev/vda2
      state: answered
      read_only: false
      size_bytes: 105000000000
      used_bytes: 83100000000
      available_bytes: 16900000000
      used_ratio: 0.831
      inodes: 6553600
      inodes_available: 6210000
      inodes_used_ratio: 0.0524
filesystems_left_out:
  description: Mounts that hold data but were not judged, and why. Pseudo file systems are not listed.
  returned: when file systems are asked for and visible
  type: list
  elements: dict
  sample:
    - {mount: /mnt/image, type: iso9660, reason: a read-only image}
memory:
  description: Memory in bytes, and what sets the limit, the V(machine) or a V(control group).
  returned: when asked for and visible
  type: dict
  sample:
    total_bytes: 8000000000
    available_bytes: 5200000000
    used_ratio: 0.35
    swap_total_bytes: 2000000000
    swap_free_bytes: 1900000000
    limit: machine
load:
  description: Load averages over 1, 5 and 15 minutes, processors, and pressure where the kernel counts it.
  returned: when asked for and visible
  type: dict
  sample:
    averages: [0.51, 0.4, 0.38]
    processors: 4
    lasting_per_processor: 0.1
    pressure:
      io: {kind: full, avg60_ratio: 0.012, avg300_ratio: 0.008}
units:
  description: The failed units of systemd, ignored ones too.
  returned: when asked for and visible
  type: list
  elements: dict
  sample:
    - name: backup.service
      description: Nightly backup
      result: exit-code
      since: "2026-11-22T02:00:07Z"
      ignored: false
reboot:
  description: Whether a reboot is required, why, and by what that was judged.
  returned: when asked for and visible
  type: dict
  sample:
    required: true
    reasons: ["the kernel 6.1.0-28-amd64 is installed, 6.1.0-25-amd64 runs"]
    packages: []
    running_kernel: 6.1.0-25-amd64
    installed_kernels: [6.1.0-25-amd64, 6.1.0-28-amd64]
    judged_by: [installed kernels]
clock:
  description: What the kernel says of its clock; C(error_seconds) is the greatest possible error.
  returned: when asked for and visible
  type: dict
  sample: {synchronized: true, error_seconds: 0.034, estimated_error_seconds: 0.0004, flagged_unsynced: false}
"""

from ansible.module_utils.basic import AnsibleModule

from ansible_collections.cadence.upkeep.plugins.module_utils._core.errors import UpkeepError
from ansible_collections.cadence.upkeep.plugins.module_utils._core.times import utc_now
from ansible_collections.cadence.upkeep.plugins.module_utils._host.argspec import ARGUMENT_SPEC
from ansible_collections.cadence.upkeep.plugins.module_utils._host.check import check


def main() -> None:
    module = AnsibleModule(argument_spec=ARGUMENT_SPEC, supports_check_mode=True)
    try:
        outcome = check(module.params, utc_now())
    except UpkeepError as error:
        module.fail_json(**error.as_failure())
    module.exit_json(**outcome.as_result())


if __name__ == "__main__":
    main()
