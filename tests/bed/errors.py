"""The one error of the bed."""

from __future__ import annotations


class BedError(Exception):
    """What could not be had, why, and the next step, in one message for a person."""
