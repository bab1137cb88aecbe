"""A crash of the program where it does not expect one: at an event, once that is written."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from fsm_orchestrator.record.event_file import EventFile


def crashing_at(is_it: Callable[[Mapping[str, Any]], bool]) -> Callable[[EventFile, Any], None]:
    """Return a replacement for `EventFile.write` that breaks at the events that `is_it` accepts."""
    real = EventFile.write

    def write(file: EventFile, event: Mapping[str, Any]) -> None:
        real(file, event)
        if is_it(event):
            raise ZeroDivisionError

    return write
