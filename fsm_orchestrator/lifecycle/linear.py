"""The short form of a lifecycle: stages in a row, and the gates before them.

A file in it stands for the states and edges that `expanded` returns; only these are proved,
digested, recorded and drawn.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from itertools import pairwise
from typing import Annotated, Any, Final, NamedTuple

from fsm_orchestrator.constants import OWN_GATES_MAX
from fsm_orchestrator.lifecycle.labels import gate_label, stage_label
from fsm_orchestrator.lifecycle.model import FINALLY, GatesGuard
from fsm_orchestrator.lifecycle.own_gate import OwnGate
from fsm_orchestrator.model.base import (
    EvidenceDemand,
    ExitCodeText,
    ExitMeaning,
    GateName,
    Line,
    OnFinallyFailure,
    SchemaVersion,
    StateName,
    StrictModel,
    TaskQueue,
)
from fsm_orchestrator.model.declared import Field
from fsm_orchestrator.model.gate_rules import MANDATORY_RULES
from fsm_orchestrator.model.limits import LimitFields
from fsm_orchestrator.model.retry_policy import RetryPolicy
from fsm_orchestrator.model.spelled_out import Wrong, stage_spelled_out
from fsm_orchestrator.text.phrases import described, listed, suggestion
from fsm_orchestrator.vocabulary import Guard, Outcome, StateKind, Trigger

STAGES_MAX: Final = 50
_DONE: Final = Outcome.DONE.value
FIRST: Final = "pending"
GATING: Final = "gating"
RESERVED: Final = frozenset({FIRST, GATING, *(outcome.value for outcome in Outcome)})
"""The names of the states that stages in a row have in addition to their own."""


class LinearStage(LimitFields, StrictModel):
    """One of the stages in a row; a plain name stands for a table with that name.

    The stage that always runs has no place in the row: it runs when a run ends.
    """

    __also__ = FINALLY

    name: StateName = Field(description="The name of the stage.")
    retry: RetryPolicy | None = Field(
        default=None, description="When the stage is retried automatically; never by default."
    )
    exit_codes: dict[ExitCodeText, ExitMeaning] | None = Field(
        default=None,
        description="What the stage says by an exit code: `rework`, `nothing_to_do` or `blocked`.",
    )
    on_finally_failure: OnFinallyFailure | None = Field(
        default=None,
        description="The effect on a run that is done if this stage, which always runs, did"
        " not succeed: fail, the default, or warn.",
    )
    task_queue: TaskQueue | None = Field(
        default=None,
        description="The task queue of the machines that the stage needs, where an engine runs it.",
    )
    effects: bool = Field(
        default=True,
        description="Whether the stage changes anything but its artifacts; that it does not is a"
        " claim.",
    )


class LinearGate(StrictModel):
    """A gate and its place; a plain name stands for a gate before the first stage."""

    name: GateName = Field(description="The name of the gate.")
    before: StateName | None = Field(
        default=None,
        description="The stage before which it is judged, or `done`; the first stage by default.",
    )


class LinearLifecycle(StrictModel):
    """A lifecycle whose stages follow each other."""

    schema_version: SchemaVersion = Field(description="The version of this format.")
    name: StateName = Field(description="The name of the lifecycle in reports.")
    title: Line = Field(description="A summary of the lifecycle, one line of text.")
    gates_guard: GatesGuard = Field(
        default=GatesGuard.STAGES,
        description="What the gates guard: every stage by default, every stage with effects, or"
        " only the closure.",
    )
    accepts_early_signals: bool = Field(
        default=False,
        description="Whether a signal that was typed before a gate state was first reached passes"
        " one that comes after a stage; it does not by default.",
    )
    evidence: EvidenceDemand | None = Field(
        default=None, description="Whether all gates pass by evidence alone (required)."
    )
    gate: Annotated[tuple[OwnGate, ...], Field(max_length=OWN_GATES_MAX)] = Field(
        default=(),
        description="The gates that it has besides policy, ci and review, in the order in which"
        " they are judged.",
    )
    stages: Annotated[tuple[LinearStage, ...], Field(min_length=1, max_length=STAGES_MAX)] = Field(
        description="The stages in their order: names, or tables."
    )
    gates: Annotated[tuple[LinearGate, ...], Field(min_length=1, max_length=200)] | None = Field(
        default=None,
        description="The gates and their places: names, or tables; by default every gate before the"
        " first stage.",
    )


OF_WRITTEN_OUT: Final = ("initial", "state", "transition")
"""The keys of a lifecycle that is not in the short form."""
NAMES_OR_TABLES: Final = ("stages", "gates")
"""The keys of the short form whose items may be plain names."""


def with_tables(table: Mapping[str, Any]) -> tuple[dict[str, Any], list[Wrong]]:
    """Return the table of a file with names made tables, and durations and sizes spelled out.

    Also return the problems with those durations and sizes.
    """
    spelled: dict[str, Any] = dict(table)
    wrong: list[Wrong] = []
    for key in NAMES_OR_TABLES:
        if isinstance(given := table.get(key), list):
            spelled[key] = [{"name": one} if isinstance(one, str) else one for one in given]
    if isinstance(spelled["stages"], list):
        read = [stage_spelled_out(one, ("stages", n)) for n, one in enumerate(spelled["stages"])]
        spelled["stages"] = [one for one, _ in read]
        wrong = [one for _, of_stage in read for one in of_stage]
    return spelled, wrong


def row_of(linear: LinearLifecycle) -> list[LinearStage]:
    """Return the stages that follow each other: all but the one that always runs."""
    return [stage for stage in linear.stages if not getattr(stage, "finally")]


def gate_before(place: str) -> str:
    """Return the name of the gate state before a stage, or before `done`."""
    return f"before_{place}"


def linear_problems(linear: LinearLifecycle) -> Iterator[str]:
    """Yield the problems with the names in the short form."""
    names = [stage.name for stage in linear.stages]
    states = RESERVED | {gate_before(place) for place in _places(linear)}
    for number, name in enumerate(names):
        if name in states:
            yield f"{stage_label(name)}: the lifecycle has another state of that name"
        elif name in names[:number]:
            yield f"{stage_label(name)}: duplicate name, listed more than once"
    if not row_of(linear):
        yield "key 'stages' has no stage but one that always runs (finally)"
    known = [*MANDATORY_RULES, *(one.name for one in linear.gate)]
    places = [*(stage.name for stage in row_of(linear)), _DONE]
    for gate in linear.gates or ():
        if gate.name not in known:
            hint = suggestion(gate.name, known) or f"; the gates are {', '.join(known)}"
            yield f"key 'gates' lists {described(gate.name)}, which is no gate{hint}"
        if gate.before is not None and gate.before not in places:
            hint = suggestion(gate.before, places) or f"; it is one of {', '.join(places)}"
            wrong = f"key 'before' is {described(gate.before)}, which is no stage{hint}"
            yield f"{gate_label(gate.name)}: {wrong}"


def expanded(linear: LinearLifecycle) -> dict[str, Any]:
    """Return the table of the lifecycle that the short form stands for, without default edges."""
    kept = {"name", "title", "gates_guard", "accepts_early_signals", "gate"}
    steps = [*_steps(linear)]
    gates = [step.name for step in steps if step.gates]
    return {
        "schema_version": linear.schema_version,
        **linear.model_dump(mode="json", include=kept, exclude_defaults=True),
        "initial": FIRST,
        "state": [*_states(linear, steps)],
        "transition": [
            _edge(Trigger.START, [FIRST], steps[0].name, "a run begins here"),
            *_edges(steps, gates),
        ],
    }


class _Step(NamedTuple):
    """A state that every run that is done passes through; `gates` are those judged there."""

    name: str
    gates: Sequence[str] = ()
    is_later: bool = False
    """True if a stage comes before it."""


def _steps(linear: LinearLifecycle) -> Iterator[_Step]:
    places = _places(linear)
    row = row_of(linear)
    start = row[0].name
    for place in [*(one.name for one in row), _DONE]:
        if place in places:
            name = GATING if place == start else gate_before(place)
            yield _Step(name, places[place], is_later=place != start)
        yield _Step(place)


def _places(linear: LinearLifecycle) -> dict[str, list[str]]:
    """Return the gates by the stage, or `done`, before which they are judged."""
    start = row_of(linear)[0].name if row_of(linear) else ""
    known = (*MANDATORY_RULES, *(one.name for one in linear.gate))
    places: dict[str, list[str]] = {}
    for gate in linear.gates or [LinearGate(name=name) for name in known]:
        places.setdefault(gate.before or start, []).append(gate.name)
    return places


def _states(linear: LinearLifecycle, steps: Sequence[_Step]) -> Iterator[dict[str, Any]]:
    yield {"name": FIRST, "kind": StateKind.INITIAL.value}
    stages = {one.name: one for one in linear.stages}
    demanded = {} if linear.evidence is None else {"evidence": linear.evidence.value}
    for step in steps:
        if step.gates:
            kind = StateKind.GATE.value
            yield {"name": step.name, "kind": kind, "gates": [*step.gates], **demanded}
        elif step.name != _DONE:
            keys = stages[step.name].model_dump(mode="json", exclude_defaults=True)
            yield {**keys, "kind": StateKind.STAGE.value}
    for stage in linear.stages:
        if getattr(stage, "finally"):
            yield {
                **stage.model_dump(mode="json", exclude_defaults=True),
                "kind": StateKind.STAGE.value,
            }
    for outcome in Outcome:
        yield {"name": outcome.value, "kind": StateKind.TERMINAL.value, "outcome": outcome.value}


def _edges(steps: Sequence[_Step], gates: Sequence[str]) -> Iterator[dict[str, Any]]:
    """Yield the edges from each step; those for refusing gates follow the last gate state."""
    for step, following in pairwise(steps):
        yield from _onward(step, following, has_more=len(gates) > 1)
        if gates and step.name == gates[-1]:
            why = "a missing or non-pass signal blocks the run; its work is kept"
            yield _edge(Trigger.GATES_REFUSED, gates, Outcome.BLOCKED.value, why)


def _onward(step: _Step, following: _Step, *, has_more: bool) -> Iterator[dict[str, Any]]:
    """Yield the edges from a step to the next; `has_more` is true with several gate states."""
    trigger = Trigger.GATES_PASSED if step.gates else Trigger.STAGE_SUCCEEDED
    is_end = following.name == _DONE
    if is_end or step.is_later:
        why = "an artifact that was good is gone, broken or another"
        unless = Guard.ARTIFACTS_INTACT.value
        yield {**_edge(trigger, [step.name], Outcome.FAILED.value, why), "unless": unless}
    if is_end and (has_more or not step.gates):
        why = "a gate that passed no longer does"
        unless = Guard.GATES_HOLD.value
        yield {**_edge(trigger, [step.name], Outcome.BLOCKED.value, why), "unless": unless}
    if is_end:
        why = "all stages succeeded, artifacts are intact, gates hold"
    elif step.gates:
        why = f"{listed(step.gates)} passed in this invocation"
    else:
        why = f"{step.name} succeeded, its artifacts are good"
    yield _edge(trigger, [step.name], following.name, why)


def _edge(trigger: Trigger, sources: Sequence[str], dest: str, why: str) -> dict[str, Any]:
    return {"trigger": trigger.value, "source": [*sources], "dest": dest, "why": why}
