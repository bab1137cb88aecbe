"""A span as it is sent, made of typed facts; what it is made of is read in `reading.py`."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import NamedTuple, TypeAlias

from fsm_orchestrator.model.trace import Trace

Value: TypeAlias = str | int | float | bool | Sequence[str]


class Mark(NamedTuple):
    """Something that happened at a moment of a span."""

    name: str
    at: int
    attributes: Mapping[str, Value]


class Linked(NamedTuple):
    """Another span that one has to do with."""

    trace: Trace
    span_id: str
    attributes: Mapping[str, Value]


class Span(NamedTuple):
    """A span; times in nanoseconds since 1970.

    Attributes:
        error: what was wrong, in a few words; None where it has not failed.
        is_entry: whether it is where the work came in: the span of an invocation.
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
