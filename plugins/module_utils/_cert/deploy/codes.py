# Copyright (c) 2026 Upkeep maintainers
# GNU General Public License v3.0-or-later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Every finding code of a deployment."""

from __future__ import annotations

from collections.abc import Mapping

from ansible_collections.cadence.upkeep.plugins.module_utils._core.finding import Code

CODES: Mapping[str, Code] = {
    "cert.candidate_refused": Code(
        "A certificate was not deployed, because it is not what the servers should serve: its key, its names, its "
        "chain, its dates or its age speak against it. What is in place was not touched.",
        "Mend the certificate where it comes from, then run the task again.",
    ),
    "cert.mount_too_narrow": Code(
        "A container mounts the files in a way in which it would never see new ones, so nothing was deployed.",
        "Mount the folder that the files and their links are in, and start the container anew.",
    ),
    "cert.not_served": Code(
        "An endpoint does not serve the certificate that is in place.",
        "Find out why the server did not take up its files: its log, and whether it reads these paths.",
    ),
    "cert.not_in_use": Code(
        "A certificate is in place, but a server could not be made to use it; there was none before it, or the server "
        "did not use that one either.",
        "Mend what the message names, then run the task again.",
    ),
    "cert.put_back": Code(
        "A certificate could not be taken into use, so the one of before was put back; it is in use as it was.",
        "Mend what the message names, then run the task again.",
    ),
    "cert.put_back_failed": Code(
        "A certificate could not be taken into use, and the one of before neither.",
        "Look at the server by hand now: the message says where the files of before are.",
    ),
}
