"""A span as it is sent, made of typed facts; `reading.py` reads what it is made of."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import NamedTuple, TypeAlias

from fsm_orchestrator.model.trace import Trace

Value: TypeAlias = str | int | float | bool | Sequence[str]


class Mark(NamedTuple):
    """A moment of a span at which something happened."""

    name: str
    at: int
    attributes: Mapping[str, Value]


class Linked(NamedTuple):
    """A link to a related span."""

    trace: Trace
    span_id: str
    attributes: Mapping[str, Value]


class Span(NamedTuple):
    """A span; times in nanoseconds since 1970.

    Attributes:
        error: the error, in a few words; None if the span has not failed.
        is_entry: True if the work came in with it: the span of an invocation.
    """

    trace: Trace
    span_id: str
    parent_id: str | None
    name: str
    began: int
    over: int
    attributes: Mapping[str, Value]
    error: str | None = None
    is_entry: bool = False
    marks: tuple[Mark, ...] = ()
    links: tuple[Linked, ...] = ()
