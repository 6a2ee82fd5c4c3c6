# Copyright (c) 2026 Upkeep maintainers
# GNU General Public License v3.0-or-later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""How the PostgreSQL modules connect. The names are those of community.postgresql, so that settings can be shared."""

from __future__ import annotations


class ModuleDocFragment:
    DOCUMENTATION = r"""
options:
  name:
    description:
      - A label for the cluster. It begins the subject of every finding, so keep it stable.
      - The default is host and port.
    type: str
  login_host:
    description:
      - The host of the server. Empty is libpq's own default, the local socket.
    type: str
    default: ""
  login_port:
    description:
      - The port of the server; it is also a part of the name of its socket.
    type: int
    default: 5432
  login_user:
    description:
      - The role to log in as.
    type: str
    default: postgres
  login_password:
    description:
      - The password of that role. Without one, libpq looks into its password file and C(PGPASSFILE).
    type: str
    default: ""
  login_unix_socket:
    description:
      - The directory of the server's unix socket. It is used when O(login_host) is empty or V(localhost).
    type: str
    default: ""
  login_db:
    description:
      - The database to log in to. What is known of the whole cluster is asked there.
    type: str
    default: postgres
  ssl_mode:
    description:
      - Whether, and how strictly, the connection is encrypted, as in libpq. Only V(verify-full) makes sure that the
        server is the right one.
    type: str
    default: prefer
    choices: [allow, disable, prefer, require, verify-ca, verify-full]
  ca_cert:
    description:
      - The file with the certificates of the authorities that may have signed the server's.
    type: path
  ssl_cert:
    description:
      - The file with the client's certificate.
    type: path
  ssl_key:
    description:
      - The file with the client's key. Only the user that runs the module may be able to read it.
    type: path
  connect_params:
    description:
      - Further parameters of libpq, such as C(connect_timeout) or C(target_session_attrs). They win over the options.
      - It may hold neither a password, because it is not masked, nor C(dbname).
    type: dict
    default: {}
  session_role:
    description:
      - A role to take on after the login (C(SET ROLE)).
    type: str
notes:
  - With peer authentication, run the task as the account of that name (C(become_user)).
requirements:
  - psycopg2 >= 2.8, or psycopg >= 3.1 where psycopg2 is absent
  - PostgreSQL 14 or later
"""
