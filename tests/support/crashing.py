"""Have the program fail where it does not expect it: at an event, once that is written."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from fsm_orchestrator.record.event_file import EventFile


def crashing_at(is_it: Callable[[Mapping[str, Any]], bool]) -> Callable[[EventFile, Any], None]:
    """Return what `EventFile.write` is to be, so that it breaks at the events that `is_it` says."""
    real = EventFile.write

    def write(file: EventFile, event: Mapping[str, Any]) -> None:
        real(file, event)
        if is_it(event):
            raise ZeroDivisionError

    return write
