"""The words with which lists of runs are requested, and the order in which they name standings."""

from __future__ import annotations

from enum import StrEnum
from typing import Final

from fsm_orchestrator.vocabulary import Standing

WORST_FIRST: Final = (
    Standing.FAILED,
    Standing.TIMEOUT,
    Standing.NOT_CLOSABLE,
    Standing.BLOCKED,
    Standing.WAITING,
    Standing.INTERRUPTED,
    Standing.SUSPENDED,
    Standing.WORKING,
    Standing.DONE,
)
"""The standings in the order in which lists and counts name them."""
UNREADABLE: Final = "unreadable"
"""The word in place of the standing of a run that cannot be read, in lists and in options."""


class Order(StrEnum):
    """The order of a list of runs."""

    WORST = "worst"
    NAME = "name"
    NEWEST = "newest"
    OLDEST = "oldest"
    LONGEST = "longest"
