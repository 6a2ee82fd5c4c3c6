#!/usr/bin/python
# Copyright (c) 2026 Upkeep maintainers
# GNU General Public License v3.0-or-later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Deploy a certificate to the servers that use it, and see that it is served."""

from __future__ import annotations

DOCUMENTATION = r"""
module: cert_deploy
short_description: Deploy a certificate and see that it is served
version_added: 0.1.0
description:
  - Takes a certificate and its key from where they were issued to where servers read them, lets the servers take them
    up, and looks at the endpoints until the new certificate is served.
  - Before anything live is touched, the certificate is judged. It must be readable, belong to its key, stand for
    O(names), have a chain that O(ca_path) or the host trusts, have more than O(min_remaining) left, and not be older
    than the one in place. A whole TLS handshake is made with it, in memory. What does not pass is refused.
  - What is in place is kept in an archive before it is replaced.
  - Certificate and key change at one instant (see O(layout)). Each server checks its configuration before the first is
    reloaded.
  - Whatever goes wrong after that puts the old files back, lets the servers take those up, looks again, and says both.
    What was wrong with an endpoint before, and still is, is said and puts nothing back.
  - When the files are the right ones already, but something else is served, the servers are reloaded.
  - What a run that was killed has begun is ended by the next one.
author:
  - Upkeep maintainers (@cadence-upkeep)
requirements:
  - cryptography (Python library on the host; C(python3-cryptography) in Debian and Red Hat systems)
  - docker (Python library on the host; C(python3-docker)), for servers in containers alone
notes:
  - The module fails when the certificate is refused or could not be taken into use. The result is complete all the
    same.
  - No private key or PEM text is ever returned or shown as a difference.
  - Two runs for one destination exclude each other; the second says who holds the lock.
options:
  name:
    description: What results call the certificate, and the name of its links and archives.
    type: str
    required: true
  state:
    description:
      - With V(deployed), what O(lineage) or O(source) names is in place and in use.
      - With V(backed_up), what is in place is kept in an archive, unless the newest archive has it.
      - With V(restored), the files of O(backup) are deployed in the same way, and may be older than those in place.
    type: str
    choices: [deployed, backed_up, restored]
    default: deployed
  lineage:
    description: The name of a lineage of certbot, whose files below O(config_dir) are deployed.
    type: str
  config_dir:
    description: The directory of certbot.
    type: path
    default: /etc/letsencrypt
  source:
    description: The files to deploy, where another ACME client or an authority puts them. PEM, the key not encrypted.
    type: dict
    suboptions:
      fullchain:
        description: The certificate and the intermediates above it.
        type: path
        required: true
      privkey:
        description: The private key. It may be the same file.
        type: path
        required: true
  deploy:
    description:
      - Where the servers read, as absolute paths. One of C(fullchain), C(cert) and C(bundle) is needed.
      - Directories that are not there are made.
    type: dict
    required: true
    suboptions:
      fullchain:
        description: For the certificate and the intermediates, in this order.
        type: path
      privkey:
        description: For the private key.
        type: path
      cert:
        description: For the certificate alone.
        type: path
      chain:
        description: For the intermediates alone.
        type: path
      bundle:
        description: For key, certificate and intermediates in one file, as haproxy reads it.
        type: path
  layout:
    description:
      - With V(links), the paths of O(deploy) are symbolic links through one link, C(.NAME.live), to a directory that
        holds them all. Turning that link is one step, so that certificate and key never disagree, whatever is killed
        when.
      - With V(files), for readers that follow no links, they are regular files, replaced one after the other, the key
        first. Between the two a server that starts reads a mismatch. That takes less than a millisecond or so, and the
        next run undoes what a kill in between left.
    type: str
    choices: [links, files]
    default: links
  store:
    description:
      - The directory for the links and what they lead to. The default is that of the certificate in O(deploy).
      - A container must mount a directory with the paths and this one in it.
    type: path
  owner:
    description: The account that owns the files, by name or number. The default is who owns them, or the module's own.
    type: str
  group:
    description: The group of the files, by name or number. The default is the one they have, or that of the module.
    type: str
  mode:
    description:
      - The mode of the public files, in octal digits and quotes. The default is the one they have, or V(0644).
      - A number is refused, since YAML makes 416 of 0640 without quotes.
    type: raw
  key_mode:
    description: The mode of the files with the key, as in O(mode). The default is the one they have, or V(0600).
    type: raw
  names:
    description: Every name that the certificate must stand for.
    type: list
    elements: str
    default: []
  ca_path:
    description:
      - A file or directory with the authorities to verify against, instead of those of the host. Also for O(endpoints).
    type: path
  verify:
    description: Whether the chain must verify. V(false) is for authorities that are not known on the host.
    type: bool
    default: true
  min_remaining:
    description: What must be left of a certificate, as limits of which the sooner counts. Less is refused.
    type: list
    elements: str
    default: [7d, 10%]
  force:
    description: Whether a certificate may be older than the one in place, or have less than O(min_remaining) left.
    type: bool
    default: false
  consumers:
    description: The servers that read the files. Each checks its configuration, then each is reloaded, in this order.
    type: list
    elements: dict
    default: []
    suboptions:
      kind:
        description:
          - What kind of server it is. V(nginx), V(apache) and V(haproxy) can be checked and reloaded, V(postgres) and
            V(service) reloaded. V(command) is for what O(consumers[].reload) or O(consumers[].signal) says.
        type: str
        choices: [nginx, apache, haproxy, postgres, service, command]
        default: command
      name:
        description: What results call it.
        type: str
      service:
        description: The unit that C(systemctl reload) is for, where the kind has another one or none.
        type: str
      config:
        description: Its configuration file, where that is not the usual one.
        type: path
      validate:
        description: The program, with its arguments, that checks the configuration. An empty list is for none.
        type: list
        elements: str
      reload:
        description: The program, with its arguments, that reloads it.
        type: list
        elements: str
      signal:
        description: The signal that reloads it, for the first process of the container or that in
          O(consumers[].pid_file).
        type: str
      pid_file:
        description: A file of the host with the process to signal in its first line; the signal is C(HUP) unless given.
        type: path
      container:
        description: The name or id of the container that it runs in. Programs are run there.
        type: str
      compose_project:
        description: The Compose project that it runs in, together with O(consumers[].compose_service).
        type: str
      compose_service:
        description: The service of that project. Each of its containers that run is told.
        type: str
  consumer_timeout:
    description: How long each program of a server may take.
    type: str
    default: 30s
  endpoints:
    description:
      - Where the certificate must be served afterwards. Without any, nobody can tell whether it is.
      - They are looked at before, too. One that could not be asked then, and cannot afterwards, is a finding alone.
      - Each is looked at as M(cadence.upkeep.cert_expiry) does.
    type: list
    elements: dict
    default: []
    suboptions:
      name:
        description: What results call it. The default is its host and port.
        type: str
      host:
        description: Host name or IP address.
        type: str
        required: true
      port:
        description: TCP port. The default is 443, or the usual one of O(endpoints[].starttls).
        type: int
      server_name:
        description:
          - The name to ask for (SNI) and to look for in the certificate. The default is O(endpoints[].host).
          - Empty asks for none. An IP address is never asked for, but looked for among the certificate's addresses.
        type: str
      starttls:
        description: The protocol in which the server begins in clear text before it goes over to TLS.
        type: str
        choices: [smtp, lmtp, imap, pop3, ftp, sieve, ldap, postgres, mysql, xmpp, xmpp-server]
      addresses:
        description:
          - With V(any), the first address of the host that answers must serve it.
          - With V(all), each of them must.
        type: str
        choices: [any, all]
        default: any
      proxy:
        description:
          - An HTTP proxy to go through, such as V(http://proxy.example.org:3128), without credentials. The default is
            none, whatever the environment says.
        type: str
      client_cert:
        description: A certificate to show to the server, as a file of PEM, with what is above it.
        type: path
      client_key:
        description: Its private key, if that is not in the same file. It must not be encrypted.
        type: path
      ca_path:
        description:
          - The authorities to trust instead of those of the host, as a file or a directory of files.
          - An intermediate, or a self-signed certificate itself, will do. The default is O(ca_path).
        type: path
      timeout:
        description: How long this endpoint may take. The default is 5 seconds.
        type: str
  settle:
    description: How long the endpoints may take to serve the certificate.
    type: str
    default: 10s
  backup_dir:
    description: The directory of the archives. The default is C(certificates) below O(state_dir).
    type: path
  backup_keep:
    description: How many archives stay.
    type: int
    default: 10
  backup:
    description:
      - For O(state=restored), the time of the archive as its name has it, like V(20261122T041300Z), or V(latest).
      - What a restoration replaced is kept too, but is not the latest.
    type: str
    default: latest
  docker_host:
    description: Where the Docker daemon listens. The default is C(DOCKER_HOST), then the usual socket.
    type: str
  lock_timeout:
    description: How long to wait for another run on the same destination.
    type: str
    default: "0"
attributes:
  check_mode:
    support: full
    details:
      - The certificate is judged and the containers are looked at; nothing is written.
  diff_mode:
    support: full
    details:
      - Shows serial, dates and names of the certificate, and owner and mode of the files.
extends_documentation_fragment:
  - cadence.upkeep.run
  - cadence.upkeep.attributes
  - cadence.upkeep.attributes.action_groups
seealso:
  - module: cadence.upkeep.cert_renew
  - module: cadence.upkeep.cert_expiry
"""

EXAMPLES = r"""
- name: Let nginx serve what certbot has
  cadence.upkeep.cert_deploy:
    name: shop
    lineage: shop.example.com
    names: [shop.example.com, www.shop.example.com]
    deploy:
      fullchain: /etc/nginx/tls/shop.crt
      privkey: /etc/nginx/tls/shop.key
    consumers:
      - kind: nginx
    endpoints:
      - host: shop.example.com

- name: Let a haproxy in a container serve what acme.sh has
  cadence.upkeep.cert_deploy:
    name: api
    source:
      fullchain: /etc/acme/api.example.com_ecc/fullchain.cer
      privkey: /etc/acme/api.example.com_ecc/api.example.com.key
    deploy:
      bundle: /srv/haproxy/tls/api.pem # the container mounts /srv/haproxy/tls
    consumers:
      - kind: haproxy
        compose_project: edge
        compose_service: haproxy
    endpoints:
      - {host: 127.0.0.1, server_name: api.example.com}

- name: Let PostgreSQL serve it
  cadence.upkeep.cert_deploy:
    name: db
    lineage: db.example.com
    deploy:
      fullchain: /etc/postgresql/tls/server.crt
      privkey: /etc/postgresql/tls/server.key
    owner: postgres
    group: postgres
    consumers:
      - kind: postgres
        pid_file: /var/lib/postgresql/15/main/postmaster.pid
    endpoints:
      - {host: db.example.com, starttls: postgres}

- name: Put back what was there before
  cadence.upkeep.cert_deploy:
    name: shop
    state: restored
    backup: 20261122T041300Z
    deploy:
      fullchain: /etc/nginx/tls/shop.crt
      privkey: /etc/nginx/tls/shop.key
    consumers:
      - kind: nginx
"""

RETURN = r"""
summary:
  description: >-
    The verdict in short. C(worst) is the worst severity found, C(counts) the number of examined objects under the
    worst severity that each got, C(seconds) the wall time.
  returned: success
  type: dict
  sample: {worst: critical, counts: {ok: 0, info: 0, warning: 0, unknown: 0, critical: 1}, seconds: 0.237}
findings:
  description: What was judged, worst first. Codes are listed in the collection's findings page.
  returned: success
  type: list
  elements: dict
  sample:
    - code: cert.put_back
      subject: shop
      severity: critical
      message: >-
        shop: the certificate could not be taken into use, and the one of before is still served. nginx: its own check
          of
        the configuration failed with status 1: nginx: [emerg] unknown directive "nonsense" in /etc/nginx/nginx.conf:10
        /
        nginx: configuration file /etc/nginx/nginx.conf test failed.
      evidence: {}
      remedy: Mend what the message names, then run the task again.
      observed_at: "2026-11-22T04:13:00Z"
actions:
  description: The steps that were planned, done, skipped (with the reason) or failed.
  returned: success
  type: list
  elements: dict
  sample:
    - id: backup
      description: Keep what is in place in /var/lib/upkeep/certificates
      status: done
      reason: ""
      seconds: 0.001
    - id: deploy
      description: Replace /etc/nginx/tls/shop.crt, /etc/nginx/tls/shop.key
      status: done
      reason: ""
      seconds: 0.002
    - id: validate nginx
      description: Have nginx check its configuration
      status: failed
      reason: >-
        nginx: its own check of the configuration failed with status 1: nginx: [emerg] unknown directive "nonsense" in
        /etc/nginx/nginx.conf:10 / nginx: configuration file /etc/nginx/nginx.conf test failed.
      seconds: 0.007
    - id: put back
      description: Put the files of before back
      status: done
      reason: ""
      seconds: 0.001
metrics:
  description: Numbers worth keeping. The module has none.
  returned: success
  type: list
  elements: dict
  sample: []
truncated:
  description: How many entries of which list were left out, to keep the result small.
  returned: when something was left out
  type: dict
  sample: {findings: 250}
state:
  description:
    - What became of it. V(unchanged), V(changed) (in check mode, would be), V(reloaded) when the files were the right
      ones already, V(refused) before anything was touched, V(put_back) when the files of before are in use, or
      V(broken) when neither the new nor the old files could be taken into use, or an endpoint that did not serve the
      old ones does not serve the new ones.
  returned: success
  type: str
  sample: put_back
certificate:
  description: The public marks of the certificate that is in place now, or in check mode would be.
  returned: success
  type: dict
  sample:
    subject: CN=shop.example.com
    issuer: CN=R11,O=Let's Encrypt,C=US
    serial: 7515f4b8c1cafe9d40146dac08ab6b9c4815
    fingerprint_sha256: e16fd22ed272a3c7f6fc6e4a5e7e5754f65113f55953376b219aa68ba5f29da1
    not_before: "2026-10-23T09:41:14Z"
    not_after: "2027-01-21T09:41:14Z"
    san: [shop.example.com, www.shop.example.com]
places:
  description: The paths that were deployed to.
  returned: success
  type: dict
  sample: {fullchain: /etc/nginx/tls/shop.crt, privkey: /etc/nginx/tls/shop.key}
backup:
  description: The archive that holds what was in place before; empty when nothing was replaced.
  returned: success
  type: str
  sample: /var/lib/upkeep/certificates/shop-20261122T041300Z.tar
"""

from ansible.module_utils.basic import AnsibleModule

from ansible_collections.cadence.upkeep.plugins.module_utils._cert.deploy.argspec import ARGUMENT_SPEC, RULES
from ansible_collections.cadence.upkeep.plugins.module_utils._cert.deploy.run import deploy
from ansible_collections.cadence.upkeep.plugins.module_utils._core.errors import UpkeepError
from ansible_collections.cadence.upkeep.plugins.module_utils._core.times import utc_now


def main() -> None:
    module = AnsibleModule(argument_spec=ARGUMENT_SPEC, supports_check_mode=True, **RULES)
    try:
        deployed = deploy(module.params, utc_now(), check_mode=module.check_mode)
    except UpkeepError as error:
        error.evidence["subject"] = module.params["name"]
        module.fail_json(**error.as_failure())
    result = deployed.outcome.as_result()
    if module._diff:
        result["diff"] = {"before": deployed.before, "after": deployed.after}
    if deployed.failure:
        module.fail_json(msg=deployed.failure, **result)
    module.exit_json(**result)


if __name__ == "__main__":
    main()
