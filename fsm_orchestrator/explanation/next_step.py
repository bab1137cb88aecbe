"""The exact next command and its effects: tried as a run would try it, but not carried out.

The command is made together with the request it stands for, and the request is prepared as `plan`
does: a command that is offered here is accepted there.
"""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final, NamedTuple

from fsm_orchestrator.config.run_config import StageGiven
from fsm_orchestrator.constants import PRODUCT
from fsm_orchestrator.disk.where import run_of
from fsm_orchestrator.errors import OrchestratorError
from fsm_orchestrator.explanation.begin_again import begin_again
from fsm_orchestrator.explanation.explanation import NextStep
from fsm_orchestrator.explanation.raised_limits import raised_limits
from fsm_orchestrator.explanation.remedies import (
    ACCEPT_KNOWINGLY,
    GIVE_SIGNALS,
    remedies_of,
    who_can_change,
)
from fsm_orchestrator.explanation.request import VALUE_UNKNOWN, Request, option_words
from fsm_orchestrator.explanation.stages import blocking_gates
from fsm_orchestrator.inspection.inspected_run import InspectedRun, StateNow, state_now
from fsm_orchestrator.model.invocation import GateDecision
from fsm_orchestrator.model.trust import Doubt
from fsm_orchestrator.preparation.lost_values import LostValuesError
from fsm_orchestrator.preparation.plan import Plan, plan_of
from fsm_orchestrator.preparation.planned_action import PlannedAction
from fsm_orchestrator.preparation.prepare import prepare
from fsm_orchestrator.record.checkpoint import Checkpoint
from fsm_orchestrator.record.checkpoint_reader import SavedRun
from fsm_orchestrator.record.home import Whereabouts
from fsm_orchestrator.stages.artifacts import MayGoOn, always
from fsm_orchestrator.text.phrases import counted, listed, option_prefix, signal_option
from fsm_orchestrator.vocabulary import GateSource, OnChangedStage, Outcome, Standing

NAMED_MAX: Final = 3
"""The largest number of stages with one effect that are named."""
_ADOPT_THE_LATEST: Final = (
    "adopt it only if the run will not continue where it came from, and this is its latest record"
)
BEGIN_AGAIN: Final = "begin again: type the whole command of the run once more"
_VERBS: Final = {
    PlannedAction.RUN: "run",
    PlannedAction.FAIL: "fail in",
    PlannedAction.VERIFY: "verify again",
    PlannedAction.SKIP: "skip",
    PlannedAction.PASS_OVER: "pass over",
    PlannedAction.NOT_REACHED: "not reach",
}


class Offer(NamedTuple):
    """A command to type next.

    Attributes:
        words: the command; None if there is none.
        would: its effects, or what to do instead, step by step.
        before: what to do first, or the command is refused.
        refusal: why a plainer resume would be refused, in the words of the refusal; None if it
            would not be.
        begins_anew: True if it begins a new run.
        is_answer: True if it answers a request, and runs nothing.
        reverify: the resume that verifies the completed work again, and runs none of it again.
    """

    words: tuple[str, ...] | None = None
    would: tuple[str, ...] = ()
    before: tuple[str, ...] = ()
    refusal: str | None = None
    begins_anew: bool = False
    is_answer: bool = False
    caution: str | None = None
    reverify: tuple[str, ...] | None = None


def next_step_of(view: InspectedRun, shown: str, now: StateNow) -> NextStep:
    """Return the next step for a run. `shown` is OUT as commands name it."""
    if view.is_archived:
        return _restoring(view, shown)
    offer = offer_of(view, shown, now)
    refusal = () if offer.refusal is None else (offer.refusal,)
    return NextStep(
        remedies=(*remedies_of(view, now.wrong), *offer.before, *refusal),
        who=who_can_change(view, now.wrong),
        words=offer.words,
        would=offer.would,
        reverify=offer.reverify,
    )


def _restoring(view: InspectedRun, shown: str) -> NextStep:
    """Return how to continue an archived run, if it can be: it has to be put back first."""
    if view.saved is None or view.bundle is not None:
        gone = "a later run has taken its place: it can be read, not resumed"
        if view.bundle is not None:
            gone = "this is read from a bundle: the machine of the run can say what can be done"
        return NextStep(remedies=(gone,), who="nobody", words=None, would=())
    return NextStep(
        remedies=("a later run has taken its place: put it back to continue it",),
        who="anyone who may write to the output directory",
        words=(PRODUCT, "restore", shown, view.directory.name),
        would=("archive the existing run", "put this one in its place"),
    )


def offer_of(
    view: InspectedRun,
    shown: str,
    now: StateNow | None = None,
    may_go_on: MayGoOn = always,
) -> Offer:
    """Return the next command for a run that is not archived: tried, but not carried out.

    `now` is what has changed since it was done, if the caller has looked already.
    """
    now = state_now(view, may_go_on) if now is None else now
    offer = _offer_of(view, shown, now, may_go_on)
    if not view.has_engine:
        return offer
    from fsm_orchestrator.explanation.of_engine import asked_of_engine  # noqa: PLC0415 - rare

    return asked_of_engine(offer, view, shown)


def _offer_of(view: InspectedRun, shown: str, now: StateNow, may_go_on: MayGoOn) -> Offer:
    match view.standing:
        case Standing.WORKING | Standing.SUSPENDED:
            words = (PRODUCT, "logs", shown, "--follow")
            return Offer(words, ("show what the stages print, until the run has ended",))
        case Standing.DONE | Standing.NOT_CLOSABLE if now.wrong and view.saved is not None:
            return _begin_again(view, view.saved, shown)
        case Standing.DONE | Standing.NOT_CLOSABLE if view.report.closure_ready:
            return Offer()
        case Standing.NOT_CLOSABLE if view.report.nothing_to_do and not view.report.failures:
            return Offer()
        case Standing.DONE | Standing.NOT_CLOSABLE if view.where is Whereabouts.COPIED:
            return Offer()  # it may be closed where it is
        case Standing.DONE | Standing.NOT_CLOSABLE if view.report.is_unearned:
            return Offer() if view.saved is None else _accepting(view, view.saved, shown)
        case Standing.NOT_CLOSABLE if (doubt := _doubt_of(view)) is not None:
            return _accepting_record(view, doubt, shown)
        case Standing.WAITING if view.where is not Whereabouts.COPIED and (
            approve := _approving(view, shown)
        ):
            would = ("show what is asked, and ask you to confirm it",)
            return Offer(approve, would, is_answer=True)
        case _ if view.saved is not None:
            return _resume(view, view.saved, shown, may_go_on)
        case _ if view.report.is_nothing_kept:
            return Offer(would=(BEGIN_AGAIN,))
        case _:
            return Offer()


def _doubt_of(view: InspectedRun) -> Doubt | None:
    return None if view.checkpoint is None else view.checkpoint.doubt


def _approving(view: InspectedRun, shown: str) -> tuple[str, ...] | None:
    """Return the command by which a person approves, or None if a resume is next."""
    if all(one.request is None for one in view.report.waiting_for):
        return None
    from fsm_orchestrator.explanation.approvals import approval_words  # noqa: PLC0415 - rare

    return approval_words(view, shown)


def _begin_again(view: InspectedRun, saved: SavedRun, shown: str) -> Offer:
    """Return the command of a new run: no stage of a done run can run again."""
    found = begin_again(saved, view.directory, shown)
    if found is None:
        return Offer(would=(BEGIN_AGAIN,))
    effects = ("archive this run", *_effects(found.plan))
    return Offer(found.words, effects, found.before, begins_anew=True, caution=GIVE_SIGNALS)


def _accepting_record(view: InspectedRun, doubt: Doubt, shown: str) -> Offer:
    """Return the command by which a person accepts the record from which a run continued."""
    options: tuple[str, ...] = ("--accept-record", doubt.sha256)
    if view.saved is not None and not view.where.has_values:
        from fsm_orchestrator.preparation.elsewhere import place_options  # noqa: PLC0415 - rare

        options = place_options(view.saved, view.directory)
    words = (PRODUCT, shown, "--resume", *options)
    return Offer(words, ("let the run be closed, and run nothing",), caution=ACCEPT_KNOWINGLY)


def _accepting(view: InspectedRun, saved: SavedRun, shown: str) -> Offer:
    """Return the command that lets a run be closed in which not every stage was run."""
    from fsm_orchestrator.explanation.unrun_words import ASKED_FOR, accepting_words  # noqa: PLC0415 - rare

    options = accepting_words(view.report)
    would = ("let the run be closed as it is, and run nothing",)
    place: tuple[str, ...] = ()
    if not view.where.has_values:
        from fsm_orchestrator.preparation.elsewhere import place_options  # noqa: PLC0415 - rare

        place = place_options(saved, view.directory)
    return Offer((PRODUCT, shown, "--resume", *place, *options), would, caution=ASKED_FOR)


def _resume(view: InspectedRun, saved: SavedRun, shown: str, may_go_on: MayGoOn) -> Offer:
    """Return the first form of a resume that would be accepted."""
    plain = _resume_request(view, saved.checkpoint, shown)
    if not view.where.has_values:
        plain = _placed(plain, saved, view.directory)
    changed = OnChangedStage.RERUN
    rerun = Request(
        (*plain.words, "--on-changed-stage", changed),
        {**plain.settings, "on_changed_stage": changed},
    )
    refusals: list[OrchestratorError] = []
    for form in (plain, rerun):
        try:
            request, first = _with_lost_values(form, saved, view.directory, may_go_on)
            preparation = prepare(request.config(view.directory), saved, may_go_on=may_go_on)
            plan = plan_of(preparation, may_go_on)
        except OrchestratorError as error:
            refusals.append(error)
        else:
            refusal = str(refusals[0]) if refusals else None
            caution = GIVE_SIGNALS if request.settings["gates"] else None
            if view.where is Whereabouts.BROUGHT:
                caution = _ADOPT_THE_LATEST
            reverify = _reverifying(request, view, saved, may_go_on)
            return Offer(
                request.words, _effects(plan), first, refusal, caution=caution, reverify=reverify
            )
    refused = refusals[0]
    said = str(refused) if not refused.remedy else f"{refused}; {refused.remedy}"
    return Offer(refusal=f"a resume is refused: {said}")


def _reverifying(
    request: Request, view: InspectedRun, saved: SavedRun, may_go_on: MayGoOn
) -> tuple[str, ...] | None:
    """Return the same resume with `--reverify`, or None if that is refused or no help."""
    if not any(one.lacks_verification_only for one in view.report.failures) and (
        all(one.work is None for one in view.open_attempts)
    ):
        return None
    form = Request((*request.words, "--reverify"), {**request.settings, "reverify": True})
    try:
        prepare(form.config(view.directory), saved, may_go_on=may_go_on)
    except OrchestratorError:
        return None
    return form.words


def _resume_request(view: InspectedRun, checkpoint: Checkpoint, shown: str) -> Request:
    """Return the request for a resume that gets past what stopped the run."""
    words: list[str] = [PRODUCT, shown, "--resume"]
    settings: dict[str, Any] = {"resume": True, "gates": {}, "stages": {}}
    if view.report.terminal_state is Outcome.BLOCKED:
        for gate in blocking_gates(view):
            if _takes_signal(gate.decision):
                words += [signal_option(gate.decision.gate), gate.passing]
                settings["gates"][gate.decision.gate] = gate.passing
    if checkpoint.budget is not None:
        from fsm_orchestrator.explanation.raised_budget import raised_budget  # noqa: PLC0415 - rare

        more, raised = raised_budget(view, checkpoint)
        words += more
        settings |= raised
    for stage, field, limit in raised_limits(view, checkpoint):
        given = StageGiven.model_validate({field: limit})
        words += option_words(stage, given)
        settings["stages"][stage] = {field: limit}
    return Request(tuple(words), settings)


def _placed(request: Request, saved: SavedRun, directory: Path) -> Request:
    """Add the options for a record that is not in its own place."""
    from fsm_orchestrator.preparation.elsewhere import place_options  # noqa: PLC0415 - rare

    match place_options(saved, directory):
        case (as_copy,):
            return Request((*request.words, as_copy), {**request.settings, "as_copy": True})
        case (adopt, accept, digest):
            adopted = {"adopt": True, "accept_record": digest}
            words = (*request.words, adopt, accept, digest)
            return Request(words, {**request.settings, **adopted})
        case _:
            return request


def _takes_signal(decision: GateDecision) -> bool:
    """Return whether a typed signal can open a gate."""
    if decision.evidence is None or decision.source is not GateSource.EVIDENCE:
        return not decision.passed
    return decision.evidence.is_early_signal


def _with_lost_values(
    request: Request, saved: SavedRun, directory: Path, may_go_on: MayGoOn
) -> tuple[Request, tuple[str, ...]]:
    """Add a placeholder for each missing value; also return what to do before the command.

    Raises:
        OrchestratorError: the command is refused for another reason, or nothing helps.
    """
    try:
        prepare(request.config(directory), saved, may_go_on=may_go_on)
    except LostValuesError as error:
        lost = error.lost
        if lost.undeclared:
            raise
    else:
        return request, ()
    words = list(request.words)
    stages = {stage: dict(given) for stage, given in request.settings["stages"].items()}
    for stage, keys in lost.settings.items():
        if run_of(directory) == directory:  # an engine's workers get them from its request
            for key in keys:
                words += [f"{option_prefix(stage)}-env", f"{key}={VALUE_UNKNOWN}"]
        stages.setdefault(stage, {})["env"] = dict.fromkeys(keys, VALUE_UNKNOWN)
    for stage, record in saved.checkpoint.stages.items():  # as if the environment had them
        keys = tuple(key for key in record.secret_digests if key in lost.secrets)
        if keys:
            stages.setdefault(stage, {})["secrets"] = dict.fromkeys(keys, VALUE_UNKNOWN)
    filled = Request(tuple(words), {**request.settings, "stages": stages})
    return filled, () if not lost.secrets else (lost.secrets_step,)


def _effects(plan: Plan) -> tuple[str, ...]:
    """Return the effects in order; stages with the same action and reason are one effect."""
    alike = itertools.groupby(plan.stages, lambda one: (one.action, one.reason))
    effects = [
        f"{_VERBS[action]} {_named([one.stage for one in stages])} ({reason})"
        for (action, reason), stages in alike
    ]
    if plan.outcome is not Outcome.DONE:
        effects.append(f"end {plan.outcome.value}")
    return tuple(effects)


def _named(stages: Sequence[str]) -> str:
    if len(stages) <= NAMED_MAX:
        return listed(stages)
    return f"{counted(len(stages), 'stage')}, {stages[0]} to {stages[-1]}"
