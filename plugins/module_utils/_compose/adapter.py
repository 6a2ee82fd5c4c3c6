# Copyright (c) 2026 Upkeep maintainers
# GNU General Public License v3.0-or-later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The only file of this domain that knows a third-party library: JMESPath, for what stands in a JSON answer."""

from __future__ import annotations

import json
import sys
import traceback
from typing import Any

from ansible_collections.cadence.upkeep.plugins.module_utils._core.errors import InvalidInput, MissingLibrary

IMPORT_ERROR = ""
try:
    import jmespath  # type: ignore[import-untyped]  # it ships no types
    import jmespath.exceptions  # type: ignore[import-untyped]  # it ships no types
except ImportError:
    IMPORT_ERROR = traceback.format_exc()


def require_jmespath(expression: str) -> None:
    """Raise ``MissingLibrary`` without the library, and ``InvalidInput`` for what is no expression."""
    if IMPORT_ERROR:
        raise MissingLibrary(
            f"The query {expression!r} cannot be asked: {sys.executable}, which runs the module, lacks JMESPath.",
            f"Install it: apt install python3-jmespath; dnf install python3-jmespath; "
            f"{sys.executable} -m pip install jmespath.",
            {"interpreter": sys.executable, "import_errors": {"jmespath": IMPORT_ERROR.strip().splitlines()[-1]}},
        )
    try:
        jmespath.compile(expression)
    except jmespath.exceptions.JMESPathError as error:
        raise InvalidInput(f"{expression!r} is no JMESPath expression: {error}", "See jmespath.org.") from None


def found_in(body: bytes, expression: str) -> Any:
    """Return what *expression* finds in a JSON text; None also for a text that is no JSON."""
    try:
        return jmespath.search(expression, json.loads(body))
    except (ValueError, jmespath.exceptions.JMESPathError):
        return None
