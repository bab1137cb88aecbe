"""Adds the next command to the refusal of a resume: the one that `explain` and the summary name."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from typing import TYPE_CHECKING

from fsm_orchestrator.cli.formatting import shown_path
from fsm_orchestrator.config.run_config import RunConfig
from fsm_orchestrator.errors import OrchestratorError, UsageError
from fsm_orchestrator.secrets.state_key import StateKeyError
from fsm_orchestrator.vocabulary import OnChangedStage

if TYPE_CHECKING:
    from fsm_orchestrator.explanation.next_step import Offer
    from fsm_orchestrator.processes.interrupts import Interrupts
    from fsm_orchestrator.stages.artifacts import MayGoOn


@contextlib.contextmanager
def naming_next_command(config: RunConfig, interrupts: Interrupts | None = None) -> Iterator[None]:
    """Add to the refusal of a plain resume the command that would be accepted, if there is one."""
    try:
        yield
    except StateKeyError:
        raise
    except UsageError as error:
        offer = _accepted(config, interrupts) if _is_plain(config) else None
        if offer is not None and offer.words is not None:
            import shlex

            caution = "" if offer.caution is None else f"first: {offer.caution}"
            key = config.state_key_file
            words = (*offer.words, *(() if key is None else ("--state-key-file", key)))
            said = (error.remedy, caution, f"next: {shlex.join(words)}")
            error.remedy = "\n  ".join(filter(None, said))
        raise


def for_a_second(interrupts: Interrupts | None) -> MayGoOn:
    """Return whether to keep judging for a command that is only offered.

    Judging takes a second at most, and stops at another request to end: whatever has not been
    judged by then counts as it was recorded.
    """
    from fsm_orchestrator.stages.judging import Judging

    heard = 0 if interrupts is None else interrupts.count

    def asked_to_end() -> int | None:
        return None if interrupts is None or interrupts.count == heard else interrupts.first

    return Judging(0, lambda *_: None, asked_to_end).may_go_on


def _is_plain(config: RunConfig) -> bool:
    """Return whether only the run can be the reason for the refusal, and no other option."""
    asked = (config.stages, config.rerun, config.lifecycle, config.run_id, config.reverify)
    return config.resume and not any(asked) and config.on_changed_stage is OnChangedStage.REFUSE


def _accepted(config: RunConfig, interrupts: Interrupts | None) -> Offer | None:
    from fsm_orchestrator.explanation.next_step import offer_of
    from fsm_orchestrator.inspection.inspected_run import inspect_run

    try:
        view, shown = inspect_run(config.output_path), shown_path(config.output_directory)
        may_go_on = for_a_second(interrupts)
        offer = offer_of(view, shown, may_go_on=may_go_on)
        return offer if may_go_on("") else None  # after an unfinished look the answer is unknown
    except OrchestratorError:
        return None
