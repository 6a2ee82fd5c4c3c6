# Copyright (c) 2026 Upkeep maintainers
# GNU General Public License v3.0-or-later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""How the modules that read backups read them: what vouches for a backup, with which keys, within which limits."""

from __future__ import annotations


class ModuleDocFragment:
    DOCUMENTATION = r"""
options:
  manifest:
    description: >-
      Where the manifests are. V(auto) for beside the files, V(none) for nowhere, or the path of a directory or of the
      one manifest.
    type: str
    default: auto
  require_manifest:
    description: >-
      Whether a file without a manifest that can be used is critical. M(cadence.upkeep.backup_prune) does not count it then.
    type: bool
    default: false
  require_signature:
    description: >-
      Whether a file is critical that has no signature, over its manifest, its list of digests or itself.
      M(cadence.upkeep.backup_prune) does not count it then.
    type: bool
    default: false
  signers:
    description: >-
      Whose signatures count. With it a signature that is there is verified; one that does not hold is critical.
      C(.minisig), C(.sig) and C(.asc) are sought beside what is signed.
    type: dict
    suboptions:
      minisign:
        description: Public keys of minisign, the second line of C(minisign.pub) each.
        type: list
        elements: str
      ssh_allowed_signers:
        description: The file of allowed signers, for signatures by C(ssh-keygen -Y sign).
        type: path
      ssh_identity:
        description: The one who must have signed. The default is anybody in that file.
        type: str
      ssh_namespace:
        description: The namespace that they signed in.
        type: str
        default: file
      gpg_homedir:
        description: The home of C(gpg) that has the public keys.
        type: path
      gpg_fingerprints:
        description: The keys that count, by their fingerprints. The default is every key in that home.
        type: list
        elements: str
  decrypt:
    description: >-
      The keys for encrypted files. Without one a file is V(unknown), but for what shows from outside. Nothing decrypted
      touches the disk but in a restore, and no key stands in an argument of a program.
    type: dict
    suboptions:
      gpg_homedir:
        description: The home of C(gpg) that has the secret key. An agent that was not running there before is ended.
        type: path
      passphrase_file:
        description: The file whose first line is the passphrase of that key, or of a file that is encrypted with one.
        type: path
      age_identity_file:
        description: The file with the identity for C(age).
        type: path
      openssl:
        description: >-
          How C(openssl enc) was called. It writes no check value, so that a changed byte goes unnoticed; that is a
          warning (C(backup.unauthenticated_encryption)).
        type: dict
        suboptions:
          cipher:
            description: The cipher.
            type: str
            default: aes-256-cbc
          kdf:
            description: How the key is made of the passphrase.
            type: str
            choices: [pbkdf2, evp_bytes_to_key]
            default: pbkdf2
          iterations:
            description: How often.
            type: int
            default: 10000
          digest:
            description: By which digest.
            type: str
            default: sha256
          pass_file:
            description: The file whose first line is the passphrase.
            type: path
            required: true
  limits:
    description: How much a file may unfold to before it is left alone, with a finding of severity V(unknown).
    type: dict
    suboptions:
      max_expanded:
        description: In bytes.
        type: str
        default: 1TiB
      max_ratio:
        description: In times its stored size. What unfolds to less than 1 GiB is not judged by it.
        type: float
        default: 250.0
      max_depth:
        description: How many containers there may be in one another.
        type: int
        default: 6
      max_members:
        description: How many members an archive of files may have.
        type: int
        default: 1000000
      allow:
        description: >-
          What such an archive may have without a finding. Links that lead out of it, devices, set-id files, absolute
          paths. Paths that climb out (C(..)) and files that go through a link are always critical.
        type: list
        elements: str
        choices: [outside_links, devices, setid, absolute_paths]
        default: []
"""

    # How much of the host the reading may take.
    PACE = r"""
options:
  parallel:
    description: >-
      How many files are read side by side, each by a process of its own. V(0) for as many as there are processors, four
      at most. With V(1) and O(nice=0) there is no other process.
    type: int
    default: 0
  nice:
    description: How far those processes stand back behind others.
    type: int
    default: 10
  ionice:
    description: With V(idle) they read only when nobody else does (Linux).
    type: str
    choices: [idle, none]
    default: none
  bwlimit:
    description: How many bytes a second each of them reads, such as V(50MiB). V("0") for no limit.
    type: str
    default: "0"
  timeout:
    description: >-
      How long all files may take. The newest of each series are read first; those that were not read in time have
      severity V(unknown), and the others keep their verdict.
    type: str
    default: 1h
  timeout_per_file:
    description: How long one file may take.
    type: str
    default: 30m
  state_file:
    description: >-
      A file that remembers what was verified, a line for each, on the disk as soon as a file has been read. From it
      come what need not be read again, the trend of durations, the forecast of restores, and backups that are gone
      although the retention keeps them. In check mode it is only read. It does not count as a change.
    type: path
"""
