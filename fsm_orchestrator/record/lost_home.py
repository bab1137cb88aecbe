"""The last report of a run whose directory is gone."""

from __future__ import annotations

from typing import NamedTuple

from fsm_orchestrator.record.report import Report


class LostHome(NamedTuple):
    """The last report of a run whose directory was removed, moved or replaced.

    Attributes:
        is_written: True if it is in a new directory of that name.
    """

    report: Report
    is_written: bool
