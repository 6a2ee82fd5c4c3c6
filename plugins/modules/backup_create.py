#!/usr/bin/python
# Copyright (c) 2026 Upkeep maintainers
# GNU General Public License v3.0-or-later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Make a backup, prove that it is whole, and only then give it its name."""

from __future__ import annotations

DOCUMENTATION = r"""
module: backup_create
short_description: Back up PostgreSQL, MongoDB, Redis and files, and look at what was written before it counts
version_added: 0.1.0
description:
  - Dumps databases of PostgreSQL (on a host, in a container, in a pod), its roles and tablespaces, MongoDB and Redis,
    and archives trees of files. What comes out is compressed, encrypted for the recipients that are named, and
    written under an unfinished name.
  - While it is written, its bytes are digested, and the rows of each table counted in the very snapshot of the dump.
    Every program of the pipe must end well. Then the file is read back and judged as M(cadence.upkeep.backup_verify)
    judges it, described by a manifest, signed where that is asked for, and only then renamed. Whatever fails on the
    way is a failure of the task, in the words of the program that failed, and leaves nothing that could be taken for
    a backup.
  - A backup that is there is never replaced or removed; removing is for a module of its own. What a killed run left is
    removed by the next one of the same series.
  - A second run makes no second backup while the newest is young enough (O(when), O(every)). Before a change, call it
    with O(when=always).
author:
  - Upkeep maintainers (@cadence-upkeep)
options:
  series:
    description:
      - What the backups are called. Files are named C(SERIES-20261122T020000Z.EXTENSION), which
        M(cadence.upkeep.backup_verify) reads the time out of.
      - Letters, digits, C(-) and C(_). Where several databases are dumped each has the series C(SERIES.DATABASE), and
        the roles and tablespaces C(SERIES.globals).
    type: str
    required: true
  directory:
    description:
      - The directory that they are written to. It is made when it is not there, for the account of the task alone.
    type: path
    required: true
  kind:
    description:
      - What is backed up. V(globals) are the roles and tablespaces of PostgreSQL alone.
    type: str
    choices: [postgres, globals, files, redis, mongodb]
    default: postgres
  databases:
    description:
      - The databases of PostgreSQL, as names or shell patterns; V(*) is every one that accepts connections, without
        templates. The default is O(login_db).
      - With O(kind=mongodb) one name, or nothing for all databases.
    type: list
    elements: str
  format:
    description:
      - The format of C(pg_dump). V(custom) is one file that C(pg_restore) reads with several jobs, V(plain) is SQL,
        V(directory) is written by several jobs and is the only one that cannot be encrypted or come out of a container.
    type: str
    choices: [custom, plain, directory]
    default: custom
  compress:
    description:
      - How the backup is compressed. In the formats V(custom) and V(directory) by C(pg_dump) itself, so that
        C(pg_restore) can read it as it is; else by the program of that name.
      - V(auto) is zstd where C(pg_dump) (16 or later), or else the program, has it, and what it writes can be read back
        here; gzip elsewhere.
      - V(zstd) with a C(pg_dump) that lacks it puts zstd around the format V(custom).
    type: str
    choices: [auto, zstd, gzip, none]
    default: auto
  compress_level:
    description:
      - How hard it tries. V(1) to V(9) for gzip, V(1) to V(19) for zstd. The default is 6 for gzip and 3 for zstd.
    type: int
  jobs:
    description:
      - How many tables are dumped at once, with O(format=directory).
    type: int
    default: 1
  globals:
    description:
      - Whether the roles and tablespaces of the cluster are dumped beside the databases. Without them nobody owns what
        is restored.
    type: bool
    default: true
  count_rows:
    description:
      - Whether the rows of each table are counted, in the snapshot of the dump and while it runs, and written into the
        manifest. It reads every table once more.
    type: bool
    default: true
  fingerprint:
    description:
      - Whether all rows of each table are hashed as well, in the same snapshot, so that a restore can be compared with
        them (the level V(restore) of M(cadence.upkeep.backup_verify)). It costs about as much again as the count.
    type: str
    choices: [none, hash]
    default: none
  paths:
    description:
      - The directories and files for O(kind=files). Links in them are archived as links, never followed.
    type: list
    elements: path
  exclude:
    description:
      - Shell patterns of what is left out. One with a slash is for the path below an entry of O(paths), one without for
        the last part of any path. A directory is left out with all that is in it.
    type: list
    elements: str
  encrypt:
    description:
      - For whom the backup is encrypted. Recipients are public keys; there is no passphrase.
    type: dict
    suboptions:
      age_recipients:
        description:
          - Public keys of age (C(age1...)) or of ssh.
        type: list
        elements: str
      age_recipients_file:
        description:
          - A file with such keys, one on each line.
        type: path
      gpg_recipients:
        description:
          - Fingerprints of keys in the key ring. One that has expired or was revoked makes the backup fail.
        type: list
        elements: str
      gpg_homedir:
        description:
          - The directory of that key ring. The default is that of the account.
        type: path
  decrypt:
    description:
      - The secret keys with which the finished backup is looked into once more, where this host may have them. Without
        them the dump is looked at before it is encrypted, and of the file only the digest.
    type: dict
    suboptions:
      gpg_homedir:
        description:
          - The directory of a key ring with the secret key.
        type: path
      passphrase_file:
        description:
          - A file with the passphrase of that key on its first line.
        type: path
      age_identity_file:
        description:
          - A file with an identity of age.
        type: path
  sign:
    description:
      - With which key the manifest is signed.
    type: dict
    suboptions:
      kind:
        description:
          - What signs. V(minisign), V(ssh) (C(ssh-keygen -Y sign)) or V(openpgp) (C(gpg)).
        type: str
        choices: [minisign, ssh, openpgp]
        required: true
      key:
        description:
          - The file of the secret key; with V(openpgp) the fingerprint of one in the key ring.
        type: str
        required: true
      gpg_homedir:
        description:
          - The directory of the key ring.
        type: path
      passphrase_file:
        description:
          - A file with the passphrase of the key on its first line. A key of ssh must have none.
        type: path
      ssh_namespace:
        description:
          - The namespace of a signature by ssh.
        type: str
        default: file
  when:
    description:
      - Whether a backup is made in any case, or only when the newest whole one is too old. A backup before a change is
        V(always).
    type: str
    choices: [needed, always]
    default: needed
  every:
    description:
      - How often a backup is wanted. With O(when=needed) one is made when the newest is older than this less O(grace).
    type: str
    default: 24h
  grace:
    description:
      - How much earlier than O(every) a run may come and still count, because jobs do not begin at the same second.
      - Two hours unless given, or half of O(every) where that is less.
    type: str
  pod:
    description:
      - The pod of Kubernetes that the server lives in. What is dumped is written to a file there, digested there,
        copied out by C(kubectl exec), and compared, because such a stream may end early and say that all is well.
      - The pod needs C(sh), C(sha256sum), C(wc) and C(tail), and the client programs of its server.
    type: dict
    suboptions:
      name:
        description:
          - The pod, or what C(kubectl exec) takes in its place (C(deployment/db)).
        type: str
        required: true
      namespace:
        description:
          - The namespace.
        type: str
      container:
        description:
          - The container in the pod.
        type: str
      context:
        description:
          - The context of the configuration of kubectl.
        type: str
      kubeconfig:
        description:
          - The file of that configuration.
        type: path
      kubectl:
        description:
          - The program, by name or path.
        type: str
        default: kubectl
  programs:
    description:
      - Whose client programs are used for a server in a container. V(auto) is those of the container, whose version
        fits its server (but for O(format=directory)), V(host) those of this host, which then reaches the server by
        its address.
    type: str
    choices: [auto, host, container]
    default: auto
  far_directory:
    description:
      - The directory in a container or a pod that a dump is written to before it is copied out. It needs room for the
        whole dump.
    type: str
    default: /tmp
  copy_retries:
    description:
      - How often a copy out of a container or a pod is taken up again where it broke off, and begun anew when it
        differs.
    type: int
    default: 3
  bin_dir:
    description:
      - The directory with C(pg_dump), where it is not where packages put it. Of several versions the lowest that is not
        older than the server is chosen.
    type: path
  auth_database:
    description:
      - The database that the user of MongoDB is known in.
    type: str
  headroom:
    description:
      - By what factor there must be more room than the backup is thought to take (as the last one, grown as the data
        have grown since).
    type: float
    default: 1.2
  min_free:
    description:
      - How much must stay free on the disk. A backup that would take it is stopped.
    type: str
    default: 100MiB
  lock_timeout:
    description:
      - How long the dump may wait for a table that somebody else has locked.
    type: str
    default: 1m
  time_limit:
    description:
      - After this time a dump is stopped and removed, and the task fails.
    type: str
    default: 4h
  mode:
    description:
      - The mode of the files. Nobody but the owner, and at most a group, may read them.
    type: str
    default: "0600"
  run_id:
    description:
      - The name of the run, by which the lock of the series tells others who holds it.
    type: str
    default: ""
  state_dir:
    description:
      - Where the lock of the series lies. The default is C(/var/lib/upkeep) for root and C(~/.local/state/upkeep) for
        others.
    type: path
notes:
  - What C(pg_dump) is given on its command line are names, never a password. That comes in a file that has no name.
  - With O(kind=redis) O(login_host), O(login_port), O(login_unix_socket), O(login_user), O(login_password),
    O(ssl_mode) and the files of certificates are those of Redis; with O(kind=mongodb) those of MongoDB.
seealso:
  - module: cadence.upkeep.backup_verify
extends_documentation_fragment:
  - cadence.upkeep.postgres_connection
  - cadence.upkeep.attributes
  - cadence.upkeep.attributes.action_groups
attributes:
  check_mode:
    support: full
  diff_mode:
    support: full
"""

EXAMPLES = r"""
- name: Back up the database shop, at most once a day
  cadence.upkeep.backup_create:
    series: shop
    directory: /var/backups/shop
    login_unix_socket: /var/run/postgresql
    databases: [shop]
    encrypt:
      age_recipients: [age1ql3z7hjy54pw3hyww5ayyfg7zqgvc7w3j2elw8zmrj2kg5sfn9aqmcac8p]
    sign: {kind: minisign, key: /etc/upkeep/minisign.key}
  become: true
  become_user: postgres

- name: The same before a change, whatever there is already
  cadence.upkeep.backup_create:
    series: shop
    directory: /var/backups/shop
    databases: [shop]
    when: always

- name: Every database of a server in a container that publishes no port
  cadence.upkeep.backup_create:
    series: orders
    directory: /var/backups/orders
    compose_project: shop
    compose_service: db
    databases: ["*"]

- name: A database in a pod
  cadence.upkeep.backup_create:
    series: billing
    directory: /var/backups/billing
    pod: {name: billing-db-0, namespace: billing}
    databases: [billing]

- name: What people have uploaded, and the configuration
  cadence.upkeep.backup_create:
    series: uploads
    directory: /var/backups/uploads
    kind: files
    paths: [/srv/shop/uploads, /etc/shop]
    exclude: ["*.tmp", cache/*]

- name: Redis
  cadence.upkeep.backup_create:
    series: sessions
    directory: /var/backups/redis
    kind: redis
    login_host: 127.0.0.1
    login_password: "{{ redis_password }}"
"""

RETURN = r"""
summary:
  description: >-
    The verdict in short. C(summary.worst) is the worst severity found, C(summary.counts) the number of things to
    back up under the worst severity that each got, C(summary.seconds) the wall time.
  returned: success
  type: dict
  sample: {worst: ok, counts: {ok: 2, info: 0, warning: 0, unknown: 0, critical: 0}, seconds: 0.903}
findings:
  description: What was judged, worst first. Codes are listed in the collection's findings page.
  returned: success
  type: list
  elements: dict
  sample:
    - code: backup.created
      subject: "db1: shop"
      severity: ok
      message: "db1: shop: /var/backups/shop/shop-20261122T020000Z.dump has 69.0 KiB, made in 0.29s."
      evidence:
        series: shop
        sha256: fddb54c4483fe4f7441f0c12bb357f89583744fbfaec4c5a39646f49432e05de
        content_checked: stored
      remedy: Nothing to do.
      observed_at: "2026-11-22T02:00:00Z"
actions:
  description: >-
    The backups that were planned, done, skipped (with the reason) or failed, and the leftovers that were removed.
  returned: success
  type: list
  elements: dict
  sample:
    - id: shop
      description: "Back up db1: shop to /var/backups/shop/shop-20261122T020000Z.dump by pg_dump"
      status: done
      reason: ""
      seconds: 0.293
metrics:
  description: Bytes and seconds of each backup, the seconds by phase.
  returned: success
  type: list
  elements: dict
  sample:
    - {name: backup_created_bytes, value: 70666, unit: bytes, labels: {series: shop}}
    - {name: backup_created_seconds, value: 0.231, unit: seconds, labels: {series: shop, phase: dump}}
truncated:
  description: How many entries of which list were left out, to keep the result small.
  returned: when something was left out
  type: dict
  sample: {findings: 250}
backups:
  description: >-
    Each backup of the call. C(status) is V(done), V(planned) (check mode), V(skipped) or V(failed).
    C(content_checked) is V(stored) when the finished file was read back to what is innermost, V(stream) when it was
    encrypted for somebody else, so that the content was looked at before that, and of the file its digest.
  returned: success
  type: list
  elements: dict
  sample:
    - series: shop
      subject: "db1: shop"
      status: done
      reason: ""
      path: /var/backups/shop/shop-20261122T020000Z.dump
      program: pg_dump
      expected_bytes: 5504625
      seconds: {look: 0.041, dump: 0.231, verify: 0.018, seal: 0.003, total: 0.293}
      manifest: /var/backups/shop/shop-20261122T020000Z.dump.manifest.json
      signature: ""
      kind: postgres
      taken_at: "2026-11-22T02:00:00Z"
      format: [pgdump-custom]
      size: 70666
      sha256: fddb54c4483fe4f7441f0c12bb357f89583744fbfaec4c5a39646f49432e05de
      plain_size: 70666
      programs: [{program: pg_dump, status: 0}]
      server_version: "15.18"
      tables: 4
      rows: 10500
      members: null
      content_checked: stored
"""

from ansible.module_utils.basic import AnsibleModule

from ansible_collections.cadence.upkeep.plugins.module_utils._backup.create.argspec import ARGUMENT_SPEC
from ansible_collections.cadence.upkeep.plugins.module_utils._backup.create.run import create
from ansible_collections.cadence.upkeep.plugins.module_utils._core.errors import UpkeepError
from ansible_collections.cadence.upkeep.plugins.module_utils._core.times import utc_now


def main() -> None:
    module = AnsibleModule(argument_spec=ARGUMENT_SPEC, supports_check_mode=True)
    try:
        created = create(module.params, utc_now(), check_mode=module.check_mode)
    except UpkeepError as error:
        error.evidence["subject"] = module.params["series"]
        module.fail_json(**error.as_failure())
    result = created.as_result()
    if module._diff:
        result["diff"] = {"before": created.before, "after": created.after}
    if created.failure:
        module.fail_json(msg=created.failure, **result)
    module.exit_json(**result)


if __name__ == "__main__":
    main()
