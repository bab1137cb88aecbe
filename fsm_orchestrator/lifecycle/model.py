"""The frozen shape of a lifecycle: states, transitions, and questions about them.

Holds the lifecycles that reading.py reads from files and refuses or accepts.
"""

from enum import StrEnum
from functools import cached_property
from typing import Annotated, Final, NamedTuple

from fsm_orchestrator.constants import (
    CYCLES_MAX,
    OWN_GATES_MAX,
)
from fsm_orchestrator.lifecycle.digest import digest_of
from fsm_orchestrator.lifecycle.groups import GroupFields
from fsm_orchestrator.lifecycle.onward import onward_from
from fsm_orchestrator.lifecycle.own_gate import OwnGate, rules_with
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
from fsm_orchestrator.model.declared import Field, left_out
from fsm_orchestrator.model.gate_rules import MANDATORY_RULES, GateRules
from fsm_orchestrator.model.limits import LimitFields
from fsm_orchestrator.model.retry_policy import RetryPolicy
from fsm_orchestrator.vocabulary import Guard, Outcome, StateKind, Trigger


class GatesGuard(StrEnum):
    """The part of a lifecycle behind its gates, from most to least."""

    STAGES = "stages"
    """Every stage."""
    EFFECTS = "effects"
    """Every stage that has effects, that is, changes more than its artifacts."""
    CLOSURE = "closure"
    """Only the way to `done`."""


class NamedState(StrictModel):
    """The keys of a state that do not concern a stage."""

    name: StateName = Field(
        description=(
            "The name of the state; for a stage, with `-` for `_`, also the stem of its options."
        )
    )
    kind: StateKind = Field(description="The purpose of the state.")
    gates: tuple[GateName, ...] | None = Field(
        default=None,
        description=(
            "The gates that are judged here, only for a gate state; all of them by default."
        ),
    )
    evidence: EvidenceDemand | None = Field(
        default=None,
        description=(
            "Whether its gates pass by evidence alone (required), only for a gate state; a typed"
            " signal can then refuse, and never pass."
        ),
    )
    outcome: Outcome | None = Field(
        default=None,
        description=(
            "The outcome of a run that ends here, only for a terminal state and required there."
        ),
    )


FINALLY: Final = {
    "finally": (
        bool,
        left_out(
            False,
            "Whether the stage always runs: when the run ends, however it does, if another stage"
            " was entered; only for a stage. No edge enters or leaves it.",
        ),
    )
}


class State(GroupFields, LimitFields, NamedState):
    """One `[[state]]`; its kind decides which keys it may have."""

    __also__ = FINALLY

    retry: RetryPolicy | None = Field(
        default=None,
        description="When the stage is retried automatically, only for a stage; never by default.",
    )
    exit_codes: dict[ExitCodeText, ExitMeaning] | None = Field(
        default=None,
        description=(
            "What the stage says by an exit code, only for a stage: `rework`, `nothing_to_do` or"
            " `blocked`; any other but 0 is a failure."
        ),
    )
    on_finally_failure: OnFinallyFailure | None = left_out(
        None,
        "The effect on a run that is done if this stage, which always runs, did not succeed:"
        " it may not be closed (fail, the default), or there is a warning (warn).",
    )
    task_queue: TaskQueue | None = left_out(
        None,
        "The task queue of the machines that the stage needs, where an engine runs it, only for a"
        " stage; left out where it needs no others than the run.",
    )
    effects: bool = Field(
        default=True,
        description=(
            "Whether the stage changes anything but its artifacts; false only for a stage. That it"
            " does not is a claim: nothing proves it."
        ),
    )

    @property
    def has_effects(self) -> bool:
        """True if it is a stage without the claim that it changes nothing but its artifacts."""
        return self.kind is StateKind.STAGE and self.effects

    @property
    def is_finally(self) -> bool:
        """True if it is the stage that always runs."""
        return bool(getattr(self, "finally"))

    @property
    def meanings(self) -> dict[int, ExitMeaning]:
        """The meanings of the stage's exit codes."""
        return {int(code): meaning for code, meaning in (self.exit_codes or {}).items()}


class Transition(StrictModel):
    """One `[[transition]]`: an edge for each of its sources."""

    trigger: Trigger = Field(description="The fact that leads from source to dest.")
    source: tuple[StateName, ...] = Field(description="The states that the edges leave.")
    dest: StateName = Field(description="The state that the edges enter.")
    guard: Guard | None = Field(
        default=None,
        description=(
            "The condition that must hold for the edge to be taken; not together with `unless`."
        ),
    )
    unless: Guard | None = Field(
        default=None,
        description=(
            "The condition that must not hold for the edge to be taken; not together with `guard`."
        ),
    )
    at_most: Annotated[int, Field(ge=1, le=CYCLES_MAX)] | None = Field(
        default=None,
        description="The most times that the edge may be taken in a run, resumes included; every"
        " loop needs such an edge. The stages that it leads back to run again.",
    )
    why: Line = Field(description="The reason for the edge, one line of text.")


class Edge(NamedTuple):
    """A transition seen from one source."""

    trigger: Trigger
    source: str
    dest: str
    guard: Guard | None
    unless: Guard | None
    at_most: int | None
    why: str

    @property
    def is_guarded(self) -> bool:
        """True if the edge is taken only under a condition."""
        return any(one is not None for one in (self.guard, self.unless, self.at_most))


class Lifecycle(StrictModel):
    """A whole lifecycle. States and transitions keep the file's order."""

    schema_version: SchemaVersion = Field(description="The version of this format.")
    name: StateName = Field(description="The name of the lifecycle in reports.")
    title: Line = Field(description="A summary of the lifecycle, one line of text.")
    initial: StateName = Field(description="The state that every run begins in.")
    gates_guard: GatesGuard = Field(
        default=GatesGuard.STAGES,
        description=(
            "What the gates guard: every stage by default, every stage with effects, or only the"
            " closure."
        ),
    )
    accepts_early_signals: bool = Field(
        default=False,
        description="Whether a signal that was typed before a gate state was first reached passes"
        " one that comes after a stage; it does not by default.",
    )
    gate: Annotated[tuple[OwnGate, ...], Field(max_length=OWN_GATES_MAX)] = Field(
        default=(),
        description="The gates that it has besides policy, ci and review, in the order in which"
        " they are judged.",
    )
    state: Annotated[tuple[State, ...], Field(min_length=1, max_length=200)] = Field(
        description="The states, in any order."
    )
    transition: Annotated[tuple[Transition, ...], Field(min_length=1, max_length=2000)] = Field(
        description="The edges; those of one source and trigger are tried in this order."
    )

    @cached_property
    def states(self) -> dict[str, State]:
        """The states by name, in file order."""
        return {state.name: state for state in self.state}

    @cached_property
    def edges(self) -> tuple[Edge, ...]:
        """Every edge, one for each source of each transition, in file order."""
        return tuple(
            Edge(one.trigger, source, one.dest, one.guard, one.unless, one.at_most, one.why)
            for one in self.transition
            for source in one.source
        )

    @cached_property
    def gates(self) -> GateRules:
        """The gates of the runs that follow it, by name, in judging order."""
        return rules_with(self.gate)

    @cached_property
    def gates_before_stages(self) -> tuple[str, ...]:
        """The gates that have passed when any stage is entered; none if they guard the closure."""
        if self.gates_guard is GatesGuard.CLOSURE:
            return ()
        first = [self.states.get(one.dest) for one in self.edges if one.trigger is Trigger.START]
        judged = {gate for one in first if one is not None for gate in self.judged_in(one)}
        return tuple(gate for gate in self.gates if gate in judged or gate in MANDATORY_RULES)

    def judged_in(self, state: State) -> tuple[str, ...]:
        """Return the gates of a gate state, in judging order; all unless the file names some."""
        return tuple(gate for gate in self.gates if state.gates is None or gate in state.gates)

    def edges_from(self, source: str, trigger: Trigger) -> tuple[Edge, ...]:
        """Return the edges tried, in this order, when `trigger` happens in `source`."""
        return tuple(
            edge for edge in self.edges if edge.source == source and edge.trigger is trigger
        )

    @cached_property
    def stages(self) -> tuple[str, ...]:
        """The names of the stage states, in file order."""
        return tuple(state.name for state in self.state if state.kind is StateKind.STAGE)

    @cached_property
    def finally_stage(self) -> str | None:
        """The name of the stage that always runs when a run ends; None if there is none."""
        return next((state.name for state in self.state if state.is_finally), None)

    @cached_property
    def group_of(self) -> dict[str, str]:
        """The group of each stage that runs in one."""
        return {name: one.name for one in self.state for name in one.stages or ()}

    def place_of(self, stage: str) -> str:
        """Return the state that a run is in while a stage works: its group, or its own."""
        return self.group_of.get(stage, stage)

    def stages_in(self, state: str) -> tuple[str, ...]:
        """Return the stages that run in a state: itself, or those of a group."""
        here = self.states[state]
        return here.stages or ((state,) if here.kind is StateKind.STAGE else ())

    def beside(self, stage: str) -> tuple[str, ...]:
        """Return the stages that run at the same time as a stage."""
        return tuple(one for one in self.stages_in(self.place_of(stage)) if one != stage)

    @cached_property
    def places(self) -> tuple[str, ...]:
        """The names of the states in which stages run, in file order."""
        members = self.group_of
        return tuple(
            one.name
            for one in self.state
            if one.kind is StateKind.GROUP
            or (one.kind is StateKind.STAGE and one.name not in members)
        )

    @cached_property
    def without_effects(self) -> tuple[str, ...]:
        """The stages that claim to change nothing but their artifacts, in file order."""
        return tuple(name for name in self.stages if not self.states[name].has_effects)

    def is_guarded(self, stage: str) -> bool:
        """Return whether a stage may be entered only once every gate has passed."""
        match self.gates_guard:
            case GatesGuard.STAGES:
                return True
            case GatesGuard.EFFECTS:
                return self.states[stage].has_effects
            case GatesGuard.CLOSURE:
                return False

    @cached_property
    def gates_after_stages(self) -> frozenset[str]:
        """The names of the gate states that a run can enter after a stage, without a resume."""
        reached = {name for stage in self.stages for name in onward_from(self, stage)}
        return frozenset(name for name in reached if self.states[name].kind is StateKind.GATE)

    @cached_property
    def loops(self) -> tuple[Edge, ...]:
        """The edges that have a bound, `at_most`, in file order."""
        return tuple(edge for edge in self.edges if edge.at_most is not None)

    @cached_property
    def sha256(self) -> str:
        """The digest of everything that can happen; title, reasons and formatting do not count."""
        return digest_of(self, leaving_out=())

    @cached_property
    def relation_sha256(self) -> str:
        """The digest of the proved part: `sha256` without limits, retries and task queues."""
        return digest_of(self, leaving_out=(*LimitFields.model_fields, "retry", "task_queue"))

    @cached_property
    def demands_of_signals(self) -> bool:
        """True if one of its gate states may not count a typed signal that passes."""
        is_early = bool(self.gates_after_stages) and not self.accepts_early_signals
        return is_early or any(one.evidence is not None for one in self.state)

    def stages_from(self, stage: str) -> tuple[str, ...]:
        """Return `stage` and every stage that can follow in one invocation, in file order."""
        reached = onward_from(self, stage)
        return tuple(name for name in self.stages if name in reached)

    def comes_before(self, stage: str, state: str) -> bool:
        """Return whether a run can get from a stage to a state without a loop."""
        return state in onward_from(self, stage, may_loop=False)[1:]
