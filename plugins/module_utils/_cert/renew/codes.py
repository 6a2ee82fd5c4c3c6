# Copyright (c) 2026 Upkeep maintainers
# GNU General Public License v3.0-or-later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Every finding code of a renewal."""

from __future__ import annotations

from collections.abc import Mapping

from ansible_collections.cadence.upkeep.plugins.module_utils._core.finding import Code

CODES: Mapping[str, Code] = {
    "cert.renewal_failed": Code(
        "A certificate could not be renewed, or a dry run of that failed: it goes on until its end, and no longer.",
        "Mend what the message names, then run the task again; the log of the ACME client says more.",
    ),
    "cert.rate_limited": Code(
        "The authority refuses for now to issue the certificate, because too much was asked of it. Nothing was tried "
        "again: each further attempt would lengthen the wait.",
        "Wait as long as the message says, and find out who asks that often.",
    ),
    "cert.hook_failed": Code(
        "A hook of certbot failed. That keeps no certificate from being renewed, and certbot ends as if all were well, "
        "but what the hook is for was not done.",
        "Run the hook by hand; what it does for a deployment, `cert_deploy` does and looks after.",
    ),
    "cert.lineage_absent": Code(
        "The ACME client has no certificate of that name, so that nothing can be renewed.",
        "Issue it first (`certbot certonly`), or correct its name: `certbot certificates` lists what there is.",
    ),
}
