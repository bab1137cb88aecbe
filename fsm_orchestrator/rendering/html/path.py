"""The path of a run, state by state, and over its lifecycle where that can be drawn."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Final

from fsm_orchestrator.errors import OrchestratorError, UsageError
from fsm_orchestrator.inspection.followed_lifecycle import followed_lifecycle
from fsm_orchestrator.inspection.inspected_run import InspectedRun
from fsm_orchestrator.lifecycle.model import Lifecycle
from fsm_orchestrator.model.invocation import InvocationRecord
from fsm_orchestrator.rendering.html.looks import OUTCOMES, Tone
from fsm_orchestrator.rendering.html.picture import picture_of_run
from fsm_orchestrator.vocabulary import StateKind

STEPS_SHOWN_MAX: Final = 120


@dataclass(frozen=True, slots=True)
class ShownState:
    """A state of a walk. `kind` is None where the lifecycle is not known; `tone` is of an end."""

    name: str
    kind: StateKind | None
    tone: Tone | None


@dataclass(frozen=True, slots=True)
class Step:
    """A transition that was taken, and the state that it led to."""

    seq: int
    trigger: str
    state: ShownState


@dataclass(frozen=True, slots=True)
class Walk:
    """The steps of one invocation, from the state that it began in."""

    invocation: int
    first: ShownState
    steps: Sequence[Step]


@dataclass(frozen=True, slots=True)
class Path:
    """The path of a run.

    Attributes:
        name: the lifecycle's, as the report has it; None when it is not known.
        title: the lifecycle's; None when only its name is known.
        is_divided: whether the run had several invocations.
        walks: the latest steps, by invocation.
        steps_left_out: the number of earlier steps not shown; not positive when all are.
        picture: an SVG element; None when there is none.
        needs_extra: whether the picture is missing because Graphviz is.
        trouble: the error that kept it from being drawn; None when there was none.
    """

    name: str | None
    title: str | None
    is_divided: bool
    walks: Sequence[Walk]
    steps_left_out: int
    picture: str | None
    needs_extra: bool
    trouble: str | None


def path_of(view: InspectedRun) -> Path:
    """Return the path of a run, with the picture of its lifecycle."""
    found = followed_lifecycle(view.report, view.checkpoint)
    name = view.report.lifecycle
    picture, needs_extra, trouble = None, False, None
    try:
        picture = None if found is None else picture_of_run(found, view.report)
    except UsageError:
        needs_extra = True
    except (OrchestratorError, OSError) as error:
        trouble = str(error)
    spare = sum(len(one.transitions) for one in view.invocations) - STEPS_SHOWN_MAX
    return Path(
        name=None if name is None else name.name,
        title=None if found is None else found.title,
        is_divided=len(view.invocations) > 1,
        walks=list(_walks(view.invocations, found, spare)),
        steps_left_out=spare,
        picture=picture,
        needs_extra=needs_extra,
        trouble=trouble,
    )


def _walks(
    visits: Sequence[InvocationRecord], found: Lifecycle | None, spare: int
) -> Iterator[Walk]:
    """Yield each invocation's walk, without the first `spare` steps of all."""
    for visit in visits:
        dropped = min(max(spare, 0), len(visit.transitions))
        spare -= dropped
        if steps := visit.transitions[dropped:]:
            yield Walk(
                visit.number,
                _state(steps[0].source, found),
                [Step(one.seq, one.trigger.value, _state(one.dest, found)) for one in steps],
            )


def _state(name: str, found: Lifecycle | None) -> ShownState:
    state = None if found is None else found.states.get(name)
    if state is None:
        return ShownState(name, None, None)
    return ShownState(
        name, state.kind, None if state.outcome is None else OUTCOMES[state.outcome].tone
    )
