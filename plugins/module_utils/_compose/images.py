# Copyright (c) 2026 Upkeep maintainers
# GNU General Public License v3.0-or-later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The tags that keep images of earlier releases: whoever sets one, and whoever clears up, takes it from here."""

from __future__ import annotations

# An image that served before an update, and one that was taken back. Behind it stands the id of the run, in small
# letters, which begins with the time of it: the newest is the last in order.
ROLLBACK_PREFIX, FAILED_PREFIX = "upkeep-rollback-", "upkeep-failed-"


def rollback_tag(identity: str) -> str:
    """Return the tag that keeps an old image in the run called *identity*."""
    return f"{ROLLBACK_PREFIX}{identity.lower()}"


def failed_tag(identity: str) -> str:
    """Return the tag of a new image that the run called *identity* has taken back."""
    return f"{FAILED_PREFIX}{identity.lower()}"
