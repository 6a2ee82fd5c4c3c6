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
      - The default is host and port, or the name of the container or of the service.
    type: str
  login_host:
    description:
      - The host of the server, or several with commas between them, of which O(connect_params) may choose
        (C(target_session_attrs)). Empty is libpq's own default, C(PGHOST) or the local socket.
    type: str
    default: ""
  login_port:
    description:
      - The port of the server; it is also a part of the name of its socket. In a container it is the port inside it.
      - Without it counts what the container, the service or C(PGPORT) says, and else V(5432).
    type: int
  login_user:
    description:
      - The role to log in as.
      - Without it counts what the container, the service or C(PGUSER) says, and else V(postgres).
    type: str
  login_password:
    description:
      - The password of that role. Without one counts what the container says, and else libpq looks into its password
        file (C(~/.pgpass) of the user that runs the task, C(PGPASSFILE), or C(passfile) in O(connect_params)).
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
      - Without it counts what the container, the service or C(PGDATABASE) says, and else V(postgres).
    type: str
  ssl_mode:
    description:
      - Whether, and how strictly, the connection is encrypted, as in libpq. Only V(verify-full) makes sure that the
        server is the right one.
      - Without it counts what the service or C(PGSSLMODE) says, and else V(prefer).
    type: str
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
      - Further parameters of libpq, such as C(connect_timeout), C(target_session_attrs), C(service) or C(passfile). They
        win over the options.
      - It may hold no password or other secret, because it is not masked, and no C(dbname).
    type: dict
    default: {}
  session_role:
    description:
      - A role to take on after the login (C(SET ROLE)).
    type: str
  container:
    description:
      - The name or the id of the container that the server lives in. It need not publish a port. The host's Docker (or
        podman) is asked for its address, and for what is left out of O(login_port), O(login_user), O(login_password) and
        O(login_db), which come from the environment that the container was made with (C(POSTGRES_USER),
        C(POSTGRES_PASSWORD), C(POSTGRES_PASSWORD_FILE), C(POSTGRES_DB), and the names that other images have for them).
      - Not together with O(login_host), O(login_unix_socket), O(compose_project) and O(compose_service).
    type: str
  compose_project:
    description:
      - The Compose project that has the server, with O(compose_service). The container is then found by its labels; it is
        an error when the service has more than one.
    type: str
  compose_service:
    description:
      - The service in O(compose_project) that is the server.
    type: str
  docker_host:
    description:
      - Where the daemon is that knows the container, such as V(unix:///run/podman/podman.sock).
      - Without it counts C(DOCKER_HOST) in the environment of the task, and else V(unix:///var/run/docker.sock).
    type: str
notes:
  - With peer authentication, run the task as the account of that name (C(become_user)).
  - Behind a pooler, the pool must be in session mode. A pooler that shares its connections between clients (transaction or
    statement mode) is recognised and refused before anything is set there.
  - To ask for a container, the user that runs the module must be allowed to use Docker, as members of the group
    C(docker) and root are.
requirements:
  - psycopg2 >= 2.8, or psycopg >= 3.1 where psycopg2 is absent
  - docker (the Docker SDK for Python) >= 5.0, only for O(container) and O(compose_service)
  - PostgreSQL 14 or later
"""
