"""The path of a run, state by state, and over its lifecycle where that can be drawn."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Final

from fsm_orchestrator.errors import OrchestratorError, UsageError
from fsm_orchestrator.inspection.followed_lifecycle import followed_lifecycle
from fsm_orchestrator.inspection.inspected_run import InspectedRun
from fsm_orchestrator.lifecycle.model import Lifecycle
from fsm_orchestrator.model.invocation import InvocationRecord, TransitionRecord
from fsm_orchestrator.rendering.html.picture import picture_of_run

STEPS_SHOWN_MAX: Final = 120
_STATES_OPEN_MAX: Final = 12


@dataclass(frozen=True, slots=True)
class Walk:
    """The latest steps of one invocation."""

    invocation: int
    steps: Sequence[TransitionRecord]


@dataclass(frozen=True, slots=True)
class Path:
    """The path of a run.

    Attributes:
        lifecycle: the lifecycle; None if only its name is known, or not even that.
        walks: the latest steps, by invocation.
        steps_left_out: the number of earlier steps not shown; not positive if all are.
        picture: an SVG element; None if there is none.
        needs_extra: True if the picture is missing because Graphviz is.
        trouble: the error that kept it from being drawn; None if there was none.
    """

    lifecycle: Lifecycle | None
    walks: Sequence[Walk]
    steps_left_out: int
    picture: str | None
    needs_extra: bool
    trouble: str | None

    @property
    def is_small(self) -> bool:
        """True if the picture is no longer than a screen or two."""
        return self.lifecycle is not None and len(self.lifecycle.states) <= _STATES_OPEN_MAX


def path_of(view: InspectedRun) -> Path:
    """Return the path of a run, with the picture of its lifecycle."""
    found = followed_lifecycle(view.report, view.checkpoint)
    picture, needs_extra, trouble = None, False, None
    try:
        picture = None if found is None else picture_of_run(found, view.report)
    except UsageError:
        needs_extra = True
    except (OrchestratorError, OSError) as error:
        trouble = str(error)
    spare = sum(len(one.transitions) for one in view.invocations) - STEPS_SHOWN_MAX
    walks = list(_walks(view.invocations, spare))
    return Path(found, walks, spare, picture, needs_extra, trouble)


def _walks(visits: Sequence[InvocationRecord], spare: int) -> Iterator[Walk]:
    """Yield each invocation's walk, without the first `spare` steps over all invocations."""
    for visit in visits:
        dropped = min(max(spare, 0), len(visit.transitions))
        spare -= dropped
        if steps := visit.transitions[dropped:]:
            yield Walk(visit.number, steps)
