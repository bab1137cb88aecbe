"""The way a run went, state by state, and over its lifecycle where that can be drawn."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from fsm_orchestrator.errors import OrchestratorError, UsageError
from fsm_orchestrator.inspection.inspected_run import InspectedRun
from fsm_orchestrator.lifecycle import reading
from fsm_orchestrator.lifecycle.model import Lifecycle
from fsm_orchestrator.model.invocation import TransitionRecord
from fsm_orchestrator.rendering.html.components import OUTCOMES, box, code, left_out, section
from fsm_orchestrator.rendering.html.elements import Child, Markup, element
from fsm_orchestrator.rendering.html.picture import picture_of_run
from fsm_orchestrator.vocabulary import StateKind

STEPS_SHOWN_MAX: Final = 120
_HOW_TO_DRAW: Final = "pip install 'fsm-orchestrator[diagrams]'"


def path_section(view: InspectedRun) -> Markup:
    """The path, in order, and the lifecycle with the path in it."""
    found = lifecycle_of(view)
    name = view.report.lifecycle
    intro: Child = (
        "The lifecycle is not known: the checkpoint cannot be used."
        if name is None
        else ["The lifecycle is ", code(name.name), "" if found is None else f": {found.title}."]
    )
    return section(
        "path",
        "The path through the lifecycle",
        element("p", intro),
        _walks(view, found),
        _picture(view, found),
    )


def lifecycle_of(view: InspectedRun) -> Lifecycle | None:
    """The lifecycle that the run follows: kept with it, or one that ships and is the same."""
    if view.checkpoint is not None:
        return view.checkpoint.lifecycle
    wanted = view.report.lifecycle
    if wanted is None or wanted.name not in reading.shipped_names():
        return None
    found = reading.shipped(wanted.name)
    return found if found.sha256 == wanted.sha256 else None


def _walks(view: InspectedRun, found: Lifecycle | None) -> Child:
    """Each invocation's walk; of many transitions, the latest."""
    walks = [(number, one.transitions) for number, one in enumerate(view.invocations, start=1)]
    total = sum(len(steps) for _, steps in walks)
    if not total:
        return element("p", "No transition was taken.", class_="note")
    spare = total - STEPS_SHOWN_MAX
    shown: list[Markup] = []
    for number, steps in walks:
        dropped = min(max(spare, 0), len(steps))
        spare -= dropped
        if steps[dropped:]:
            shown.append(_walk(number, steps[dropped:], found, is_only=len(walks) == 1))
    return [left_out(total - STEPS_SHOWN_MAX, "transitions"), shown]


def _walk(
    number: int, steps: Sequence[TransitionRecord], found: Lifecycle | None, *, is_only: bool
) -> Markup:
    first = element("li", _state(steps[0].source, found))
    rest = [
        element(
            "li",
            element("span", f"#{step.seq} {step.trigger.value}", class_="trigger"),
            _state(step.dest, found),
        )
        for step in steps
    ]
    walk = element("ol", first, rest, class_="walk")
    title = None if is_only else element("h3", f"Invocation {number}")
    return element("div", title, walk, class_="walk-of")


def _state(name: str, found: Lifecycle | None) -> Markup:
    state = None if found is None else found.states.get(name)
    kind = "unknown" if state is None else state.kind.value
    if state is not None and state.kind is StateKind.TERMINAL and state.outcome is not None:
        kind += f" {OUTCOMES[state.outcome].tone}"
    return element("span", name, class_=f"state {kind}")


def _picture(view: InspectedRun, found: Lifecycle | None) -> Child:
    if found is None:
        return None
    try:
        drawing = picture_of_run(found, view.report)
    except UsageError:
        return element("p", "To see the whole lifecycle here: ", code(_HOW_TO_DRAW), class_="note")
    except (OrchestratorError, OSError) as error:
        return element("p", f"The lifecycle could not be drawn: {error}", class_="note")
    return element(
        "figure",
        box(drawing, label="picture of the lifecycle, which may be wider than the page"),
        element(
            "figcaption",
            "The whole lifecycle. Bold and numbered: the transitions that were taken, in order."
            " Dashed: what was not visited. The steps above say the same in words.",
        ),
        class_="picture",
    )
