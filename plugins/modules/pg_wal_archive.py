#!/usr/bin/python
# Copyright (c) 2026 Upkeep maintainers
# GNU General Public License v3.0-or-later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Remove from a WAL archive what no restore and no replica needs any more."""

from __future__ import annotations

DOCUMENTATION = r"""
---
module: pg_wal_archive
short_description: Remove from a WAL archive what nothing needs any more, never by age
version_added: 0.1.0
description:
  - Removes WAL segments from a directory that C(archive_command) or C(pg_receivewal) fills, up to the oldest one that
    is still needed by a base backup that is kept, a replication slot, a standby, another consumer of the archive, or
    the server's own last checkpoint. How old a file is never counts.
  - Where it is not known what is needed, nothing is removed and the task fails. The same holds for whatever is no plain
    archive, such as C(pg_wal), a data directory, or the repository of pgBackRest, Barman or WAL-G.
  - Reports what would break a restore, namely segments that are missing or not whole, timelines without their history,
    base backups without their WAL, and a server that fails to archive.
  - Files go oldest first, so that whatever ends the run leaves no gap. Histories of timelines and files of which the
    name is not WAL are never touched.
author:
  - Upkeep maintainers (@cadence-upkeep)
options:
  path:
    description:
      - The directory of the archive, on the host that runs the task.
    type: path
    required: true
  base_backups:
    description:
      - Directories (or tar files) of base backups on this host, as paths or shell patterns such as
        V(/backup/base/*). Each is read for where in the WAL it began.
      - A pattern that fits no base backup, and a base backup that cannot be read, are errors.
      - The default is to trust the backup history files in the archive (C(*.backup)), which stay there when a base
        backup itself was removed.
    type: list
    elements: path
  keep_base_backups:
    description:
      - So many of the newest base backups are kept restorable, to every moment since. One of which the own WAL is not
        whole does not count.
      - With O(base_backups), the default is all that there are.
    type: int
  keep_from:
    description:
      - The oldest file that is to be kept, such as V(000000010000000000000042), the name of a backup history file, or a
        position such as V(0/42000028). Together with other options, the oldest counts.
    type: str
  consumers:
    description:
      - Whoever else reads the archive, such as standbys with C(restore_command). One that does not say what it needs is
        an error.
    type: list
    elements: dict
    suboptions:
      name:
        description:
          - A name for it.
        type: str
        required: true
      file:
        description:
          - A file of which the first line names the oldest file it needs, as C(archive_cleanup_command = 'echo %r >
            /shared/standby1') writes it.
        type: path
      keep_from:
        description:
          - The oldest file or position it needs, as in the option of that name.
        type: str
      login_host:
        description:
          - The host of the standby, which is asked for its last checkpoint and its slots. The other settings of the
            connection are those of the module.
        type: str
      login_port:
        description:
          - The port of the standby.
        type: int
      login_unix_socket:
        description:
          - The directory of the standby's unix socket.
        type: str
  ask_server:
    description:
      - Connect to the server, and count what it, its slots and its connected standbys need. It also tells the size of a
        segment, whether this is its archive, and how its archiver fares.
      - Without it (on a host that cannot reach the server), slots do not count.
    type: bool
    default: true
  suffixes:
    description:
      - Endings that C(archive_command) adds to names.
    type: list
    elements: str
    default: [.gz, .zst, .lz4, .xz, .bz2]
  wal_segment_size:
    description:
      - The size of a segment, such as V(16MiB). It is only needed where neither the server nor a file tells it.
    type: str
  remove_backup_history:
    description:
      - Also remove backup history files (C(*.backup)) that are older than what is kept.
    type: bool
    default: false
  allow_remove_all:
    description:
      - Go on when what is needed is newer than everything in the archive, which otherwise is an error.
    type: bool
    default: false
  max_delete:
    description:
      - Remove at most so many files in one run.
    type: int
  time_limit:
    description:
      - Remove nothing more after this time, such as V(10m).
    type: str
  state_dir:
    description:
      - The directory for the lock that keeps two runs on this host apart. The default is C(/var/lib/upkeep) for root
        and C(upkeep) below the XDG state directory of any other user.
    type: path
  run_id:
    description:
      - A name for the run. It stands in the lock and in C(application_name).
    type: str
    default: ""
extends_documentation_fragment:
  - cadence.upkeep.postgres_connection
  - cadence.upkeep.attributes
  - cadence.upkeep.attributes.action_groups
attributes:
  check_mode:
    support: full
    details:
      - The same decision is made from the same look, and no file is removed. What is refused is refused there too.
  diff_mode:
    support: full
    details:
      - Shows the number of files, their size and the oldest segment before and after.
notes:
  - One of O(base_backups), O(keep_base_backups), O(keep_from) and O(consumers) is required.
  - The connection only reads, and any role may make it. With C(pg_monitor) it also sees how many segments wait to be
    archived, and what connected standbys have received.
  - A base backup that is taken from a standby leaves no history file in the archive. Name its directory in
    O(base_backups).
seealso:
  - name: pg_archivecleanup
    description: The program of PostgreSQL that removes files older than one that is named.
    link: https://www.postgresql.org/docs/current/pgarchivecleanup.html
  - name: Continuous archiving and point-in-time recovery
    description: What the archive is for, in the PostgreSQL manual.
    link: https://www.postgresql.org/docs/current/continuous-archiving.html
"""

EXAMPLES = r"""
- name: Keep what the two newest base backups need
  cadence.upkeep.pg_wal_archive:
    name: main
    login_unix_socket: /var/run/postgresql
    path: /archive/main
    keep_base_backups: 2
  become: true
  become_user: postgres

- name: Show what would go, where the base backups that exist say what is needed
  cadence.upkeep.pg_wal_archive:
    name: main
    login_host: db.example.com
    login_user: upkeep
    login_password: "{{ vault_upkeep_password }}"
    path: /archive/main
    base_backups: [/backup/base/*]
  check_mode: true
  diff: true

- name: Clean an archive that two standbys read, and that holds no base backup
  cadence.upkeep.pg_wal_archive:
    login_unix_socket: /var/run/postgresql
    path: /archive/main
    consumers:
      - {name: standby1, login_host: standby1.example.com}
      - {name: standby2, file: /archive/standby2.oldest}
    max_delete: 1000

- name: On a host that cannot reach the server, keep from one file on
  cadence.upkeep.pg_wal_archive:
    path: /archive/main
    ask_server: false
    keep_from: 000000010000000000000042.00000028.backup
"""

RETURN = r"""
summary:
  description: >-
    The verdict in short. C(worst) is the worst severity found, C(counts) the number of examined
    objects under the worst severity that each got, C(seconds) the wall time.
  returned: success
  type: dict
  sample: {worst: critical, counts: {ok: 0, info: 0, warning: 0, unknown: 0, critical: 1}, seconds: 0.047}
findings:
  description: What was judged, worst first. Codes are listed in the collection's findings page.
  returned: success
  type: list
  elements: dict
  sample:
    - code: pg.wal_archive_gap
      subject: "main: /archive/main"
      severity: critical
      message: >-
        1 segments are missing in main: /archive/main between 000000010000000000000007 and the newest:
        000000010000000000000009. No restore gets beyond them.
      evidence:
        missing: 1
        gaps: [{first: "000000010000000000000009", last: "000000010000000000000009", segments: 1}]
        since: "000000010000000000000007"
        timeline: 1
      remedy: >-
        Look for them in pg_wal of the server and its standbys and copy them here; take a base backup now anyway.
      observed_at: "2026-11-22T04:13:00Z"
actions:
  description: The first files that were removed or would be, and each that was left for a reason of its own or failed.
  returned: success
  type: list
  elements: dict
  sample:
    - id: "main: /archive/main/000000010000000000000001"
      description: remove 000000010000000000000001 (16777216 bytes)
      status: done
      reason: older than what the base backup 000000010000000000000007.00000028.backup needs
      seconds: 0.0
metrics:
  description: Numbers worth keeping, with unit and labels.
  returned: success
  type: list
  elements: dict
  sample:
    - {name: pg_wal_archive_bytes, value: 100664310, unit: bytes, labels: {cluster: main, path: /archive/main}}
truncated:
  description: How many entries of which list were left out, to keep the result small.
  returned: when something was left out
  type: dict
  sample: {files: 250}
archive:
  description:
    - What the archive holds after the run; in check mode, after what is planned.
    - C(keep) is the need that decided. C(removed) and C(removed_bytes) are what went, or in check mode would go.
      C(unknown) counts files of which the name is not WAL. C(missing) counts the segments of all gaps.
  returned: success
  type: dict
  sample:
    path: /archive/main
    segment_size: 16777216
    segments: 6
    partial: 0
    backup_history: 3
    timeline_history: 0
    unknown: 0
    bytes: 100664310
    oldest: "000000010000000000000007"
    newest: "00000001000000000000000C"
    newest_at: "2026-11-22T04:12:51Z"
    timelines: [1]
    timeline: 1
    keep:
      kind: base_backup
      id: 000000010000000000000007.00000028.backup
      segment: "000000010000000000000007"
      lsn: 0/7000028
    removed: 6
    removed_bytes: 100663296
    missing: 0
    server_asked: true
    notes: []
needs:
  description:
    - Everybody who needs WAL, and from which segment on, oldest first. C(kind) is V(base_backup), V(slot), V(standby),
      V(consumer), V(redo) (the server's last checkpoint) or V(keep_from).
  returned: success
  type: list
  elements: dict
  sample:
    - {kind: slot, id: standby1, segment: "00000001000000000000000A", lsn: 0/A000110}
base_backups:
  description:
    - The base backups that are kept. C(end) is the last segment that was written while it was taken, V(null) when that
      is not known. C(usable) says whether that WAL is whole.
  returned: success
  type: list
  elements: dict
  sample:
    - id: 000000010000000000000007.00000028.backup
      start: "000000010000000000000007"
      end: "000000010000000000000007"
      started: 2026-11-22 03:00:01 UTC
      usable: true
files:
  description: The names of the files that were removed, or in check mode would be, oldest first.
  returned: success
  type: list
  elements: str
  sample: ["000000010000000000000001", "000000010000000000000002"]
"""

from ansible.module_utils.basic import AnsibleModule

from ansible_collections.cadence.upkeep.plugins.module_utils._core.errors import UpkeepError
from ansible_collections.cadence.upkeep.plugins.module_utils._core.times import utc_now
from ansible_collections.cadence.upkeep.plugins.module_utils._postgres.archive.argspec import ARGUMENT_SPEC, RULES
from ansible_collections.cadence.upkeep.plugins.module_utils._postgres.archive.options import subject_of
from ansible_collections.cadence.upkeep.plugins.module_utils._postgres.archive.run import clean


def main() -> None:
    module = AnsibleModule(argument_spec=ARGUMENT_SPEC, supports_check_mode=True, **RULES)
    try:
        cleaned = clean(module.params, utc_now(), check_mode=module.check_mode)
    except UpkeepError as error:
        error.evidence["subject"] = subject_of(module.params)
        module.fail_json(**error.as_failure())
    result = cleaned.as_result()
    if module._diff:
        result["diff"] = {"before": cleaned.before, "after": cleaned.after}
    if cleaned.failure:
        module.fail_json(msg=cleaned.failure, **result)
    module.exit_json(**result)


if __name__ == "__main__":
    main()
