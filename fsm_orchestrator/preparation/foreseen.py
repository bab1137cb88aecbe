"""The foreseeable part of an invocation: the stages that cannot start as things are, and its way.

Looks at programs and directories; starts and writes nothing. Every stage with no foreseen failure
is taken to succeed.
"""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Mapping
from typing import Final, NamedTuple, assert_never

from fsm_orchestrator.gates.judging import have_passed
from fsm_orchestrator.lifecycle.model import Edge, State
from fsm_orchestrator.model.endings import Exited, NotSpawned, kind_of, trigger_of
from fsm_orchestrator.model.problem import Problem
from fsm_orchestrator.preparation.preparation import Preparation
from fsm_orchestrator.processes.command import Command
from fsm_orchestrator.processes.startable import foreseen_end
from fsm_orchestrator.stages.artifacts import NO_ARTIFACTS
from fsm_orchestrator.stages.environment import environment_of
from fsm_orchestrator.vocabulary import (
    Compared,
    Ending,
    Guard,
    Outcome,
    StageStatus,
    StateKind,
    Trigger,
)

_NO_OUTPUT: Final = -1


class ForeseenFailure(NamedTuple):
    """The foreseen end of a stage that cannot do its work as things are, as in its record."""

    ending: Ending
    status: StageStatus
    problem: Problem


class ForeseenWay(NamedTuple):
    """The way of an invocation: the stages that it enters, in order, and where it ends."""

    entered: tuple[str, ...]
    outcome: Outcome


def foreseen_failure(preparation: Preparation, stage: str) -> ForeseenFailure | None:
    """Return how a stage would fail if it were started now, or None if that is not foreseen."""
    if preparation.checkpoint.budget is not None:
        from fsm_orchestrator.record.spending import nothing_left  # noqa: PLC0415 - only with a budget

        stop = nothing_left(preparation.checkpoint)
        if stop is not None:
            problem = Problem(cause=stop.nothing_left, details=())
            return ForeseenFailure(Ending.BUDGET_EXHAUSTED, StageStatus.FAILED, problem)
    settings = preparation.settings[stage]
    if not settings.is_known:
        return None  # a masked command or directory cannot be looked at
    end = foreseen_end(
        Command(
            command=settings.command,
            args=settings.args,
            cwd=settings.cwd,
            env=environment_of(settings, {}),
            search_path=os.environ.get("PATH"),
            stdout=_NO_OUTPUT,
            stderr=_NO_OUTPUT,
        )
    )
    if end is None and settings.confine is not None:
        from fsm_orchestrator.stages.confining import foreseen_refusal  # noqa: PLC0415 - only with a cage

        end = foreseen_refusal(settings, settings.confine)
    return None if end is None else _failure(end, preparation, stage)


def _failure(
    end: NotSpawned | Exited, preparation: Preparation, stage: str
) -> ForeseenFailure | None:
    from fsm_orchestrator.model.ending_words import problem_of  # noqa: PLC0415 - for a failure

    ending, status = kind_of(end)
    problem = problem_of(end)
    if problem is None:
        return None
    mask = preparation.masker.mask
    from fsm_orchestrator.stages.problems import how_given  # noqa: PLC0415 - for a failure

    settings = preparation.settings[stage]
    given = preparation.given_paths_of(stage)
    details = (*problem.details, *how_given(end, NO_ARTIFACTS, settings, given))
    masked = Problem(cause=mask(problem.cause), details=tuple(map(mask, details)))
    return ForeseenFailure(ending, status, masked)


def foreseen_way(preparation: Preparation, failures: Mapping[str, ForeseenFailure]) -> ForeseenWay:
    """Follow the lifecycle from where the invocation begins to its end."""
    checkpoint = preparation.checkpoint
    lifecycle, state = checkpoint.lifecycle, checkpoint.lifecycle.states[checkpoint.current_state]
    trigger = preparation.first_trigger
    entered: list[str] = []
    taken: Counter[Edge] = Counter()
    while trigger is not None:
        edge = next(
            one
            for one in lifecycle.edges_from(state.name, trigger)
            if _is_open(preparation, one, taken)
        )
        taken[edge] += 1
        state = lifecycle.states[edge.dest]
        entered += lifecycle.stages_in(state.name)
        trigger = _fact_in(preparation, state, failures)
    return ForeseenWay(tuple(entered), state.outcome or Outcome.FAILED)


def _fact_in(
    preparation: Preparation, state: State, failures: Mapping[str, ForeseenFailure]
) -> Trigger | None:
    match state.kind:
        case StateKind.GATE:
            decisions = preparation.decisions_in(state)
            do_pass = have_passed(decisions, preparation.checkpoint.lifecycle.judged_in(state))
            return Trigger.GATES_PASSED if do_pass else Trigger.GATES_REFUSED
        case StateKind.STAGE | StateKind.GROUP:
            from fsm_orchestrator.model.together import worst_of  # noqa: PLC0415 - only to foresee

            stages = preparation.checkpoint.lifecycle.stages_in(state.name)
            failing = [failures[one].status for one in stages if one in failures]
            return worst_of([Trigger.STAGE_SUCCEEDED, *map(trigger_of, failing)])
        case StateKind.TERMINAL | StateKind.INITIAL:
            return None
        case _:
            assert_never(state.kind)


def _is_open(preparation: Preparation, edge: Edge, taken: Counter[Edge]) -> bool:
    times = preparation.checkpoint.times_taken(edge) + taken[edge]
    return (
        (edge.at_most is None or times < edge.at_most)
        and (edge.guard is None or _holds(preparation, edge.guard))
        and (edge.unless is None or not _holds(preparation, edge.unless))
    )


def _holds(preparation: Preparation, guard: Guard) -> bool:
    match guard:
        case Guard.GATES_HOLD:
            return have_passed(
                preparation.expected_decisions, preparation.checkpoint.lifecycle.gates
            )
        case Guard.ARTIFACTS_INTACT:
            changes = preparation.kept_changes.values()
            return not any(
                one.field is Compared.ARTIFACTS and not one.is_of_content
                for kept in changes
                for one in kept
            )
        case Guard.NOTHING_OWED:  # matters only once a stage has declined, which is not foreseen
            return True
        case _:
            assert_never(guard)


def foreseen_unrun(preparation: Preparation, way: ForeseenWay | None) -> tuple[str, ...]:
    """Return the stages without which a run that would be done could not be closed.

    `way` is None if nothing would happen: the run is done.
    """
    from fsm_orchestrator.record.earned import unrun_stages  # noqa: PLC0415 - only for a plan

    checkpoint = preparation.checkpoint
    if way is None:
        return unrun_stages(checkpoint)
    if way.outcome is not Outcome.DONE or checkpoint.allow_empty:
        return ()
    done_without = {*preparation.settings, *checkpoint.skip_stages}
    has_work = done_without.union(one.stage for one in checkpoint.completions)
    return tuple(dict.fromkeys(one for one in way.entered if one not in has_work))
