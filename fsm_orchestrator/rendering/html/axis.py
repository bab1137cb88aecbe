"""The axis of a timeline: round times at equal distances, for 2 ms or for three days. Pure."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from fsm_orchestrator.text.units import exact_span

_SECOND: Final = 1_000
_MINUTE: Final = 60 * _SECOND
_HOUR: Final = 60 * _MINUTE
_DAY: Final = 24 * _HOUR
_STEPS: Final = (
    *(1, 2, 5, 10, 20, 50, 100, 200, 500),
    *(n * _SECOND for n in (1, 2, 5, 10, 15, 30)),
    *(n * _MINUTE for n in (1, 2, 5, 10, 15, 30)),
    *(n * _HOUR for n in (1, 2, 3, 6, 12)),
    *(n * _DAY for n in (1, 2, 5, 10, 20, 50, 100, 200, 500, 1_000, 2_000, 5_000)),
)
TICKS_MAX: Final = 7


@dataclass(frozen=True, slots=True)
class Tick:
    """One time on the axis; `style` is its CSS position."""

    word: str
    style: str


def ticks_of(longest_ms: int) -> tuple[Tick, ...]:
    """Return the ticks of an axis whose full width stands for `longest_ms`; none if that is 0."""
    if longest_ms <= 0:
        return ()
    step = next((one for one in _STEPS if longest_ms // one < TICKS_MAX), longest_ms)
    return tuple(
        Tick(_word(at), f"left:{100 * at / longest_ms:.2f}%")
        for at in range(0, longest_ms + 1, step)
    )


def _word(at_ms: int) -> str:
    if at_ms == 0:
        return "0"
    days, rest = divmod(at_ms, _DAY)
    if days and not rest:
        return f"{days} d"
    if days:
        return f"{days} d {rest // _HOUR} h"
    return exact_span(at_ms)
