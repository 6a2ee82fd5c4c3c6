# Copyright (c) 2026 Upkeep maintainers
# GNU General Public License v3.0-or-later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Every finding code of an application's releases."""

from __future__ import annotations

from collections.abc import Mapping

from ansible_collections.cadence.upkeep.plugins.module_utils._core.finding import Code

CODES: Mapping[str, Code] = {
    "app.up_to_date": Code("The application is at the newest version.", ""),
    "app.security_update": Code(
        "There is a newer version, and commits in it speak of security.",
        "Update now: ansible-playbook cadence.upkeep.update, with app_update_version.",
    ),
    "app.update_available": Code(
        "There is a newer version. Without corrections in it, it has features alone.",
        "Try it in staging, then update in a window: ansible-playbook cadence.upkeep.update, with app_update_version.",
    ),
    "app.diverged": Code(
        "What is checked out has commits that the version to update to has not.",
        "Find out who committed here: git log VERSION..HEAD. An update would leave those commits behind.",
    ),
    "app.tree_dirty": Code(
        "Files in the working tree were changed by hand. An update refuses to begin.",
        "See git status and git diff there; commit the changes where they belong, or take them back: git restore FILE.",
    ),
    "app.no_release": Code(
        "No version to update to was found.",
        "Name one in version, or correct the pattern in tags.",
    ),
    "app.remote_unreachable": Code(
        "The remote repository could not be asked: whether there is a newer version is unknown.",
        "Try git fetch there as the same user.",
    ),
    "app.unfinished": Code(
        "An update was begun and neither committed nor taken back: it still runs, or it was killed.",
        "Run the update again, or take it back: ansible-playbook cadence.upkeep.rollback.",
    ),
    "app.image_lost": Code(
        "An image of an earlier generation is not there any more: going back to it means to build or pull it.",
        "None is needed; docker_cleanup spares images with the tag upkeep-rollback-.",
    ),
    "app.nothing_examined": Code(
        "No application was looked at.",
        "Name one in app_update_name, or skip the task for this host.",
    ),
}
