"""The next command for a run under an engine: it goes to the engine, not to the run."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from fsm_orchestrator.constants import PRODUCT
from fsm_orchestrator.inspection.inspected_run import InspectedRun
from fsm_orchestrator.text.phrases import signal_option

if TYPE_CHECKING:
    from fsm_orchestrator.explanation.next_step import Offer

ELSEWHERE: Final = (
    "start a new run in another directory: an engine's run has its directory to itself"
)
_RESUME: Final = "--resume"


def asked_of_engine(offer: Offer, view: InspectedRun, shown: str) -> Offer:
    """Return an offer with the command for the engine, if it was a resume or a new run."""
    if offer.begins_anew:
        return offer._replace(words=None, would=(ELSEWHERE,), before=(), caution=None)
    if offer.words is None or offer.words[:3] != (PRODUCT, shown, _RESUME):
        return offer
    words = _words(offer.words[3:], view, shown)
    return offer._replace(words=words, before=(), reverify=None)  # workers have the secrets


def _words(options: tuple[str, ...], view: InspectedRun, shown: str) -> tuple[str, ...]:
    """Return the engine's command for a resume with some options."""
    if not options:
        return (PRODUCT, "temporal", "signal", shown, _RESUME)
    names = () if view.checkpoint is None else view.checkpoint.lifecycle.gates
    gates = {signal_option(gate): gate for gate in names}
    pairs = tuple(zip(options[::2], options[1::2], strict=False))
    if len(options) % 2 == 0 and all(option in gates for option, _ in pairs):
        said = (word for option, value in pairs for word in ("--gate", gates[option], value))
        return (PRODUCT, "temporal", "signal", shown, *said)
    return (PRODUCT, "temporal", "submit", shown, _RESUME, *options)
