"""The frozen shape of a lifecycle: states, transitions, and questions about them.

Reading and refusing files is lifecycle.py's duty; this module only holds what was read.
"""

import hashlib
import json
from functools import cached_property
from typing import Annotated

from pydantic import Field, StringConstraints

from fsm_orchestrator.model.base import SchemaVersion, StateName, StrictModel
from fsm_orchestrator.model.limits import (
    IdleTimeoutMs,
    KillGraceMs,
    OutputLimitBytes,
    SlowAfterMs,
    TimeoutMs,
)
from fsm_orchestrator.model.retry_policy import RetryPolicy
from fsm_orchestrator.vocabulary import (
    CYCLES_MAX,
    MANDATORY_GATES,
    Gate,
    GatesGuard,
    Guard,
    Outcome,
    StateKind,
    Trigger,
)

Line = Annotated[
    str,
    StringConstraints(
        min_length=1, max_length=200, pattern=r"^[^\x00-\x1f\x7f-\x9f\u2028\u2029]+$"
    ),
]
"""Text for people that is printed as it is: no line breaks, no codes that steer a terminal."""


class State(StrictModel):
    """One `[[state]]`; which keys it may have depends on its kind."""

    name: StateName = Field(
        description=(
            "Name of the state; of a stage, with `-` for `_`, also the stem of its options."
        )
    )
    kind: StateKind = Field(description="What the state is for.")
    gates: tuple[Gate, ...] | None = Field(
        default=None,
        description=(
            "The gates that are judged here, only of a gate state; without it, all of them."
        ),
    )
    outcome: Outcome | None = Field(
        default=None,
        description=(
            "How the run ended that comes to rest here, needed by a terminal state and only of one."
        ),
    )
    timeout_ms: TimeoutMs = None
    kill_grace_ms: KillGraceMs = None
    idle_timeout_ms: IdleTimeoutMs = None
    slow_after_ms: SlowAfterMs = None
    output_limit_bytes: OutputLimitBytes = None
    retry: RetryPolicy | None = Field(
        default=None,
        description="When the stage is tried again by itself; without it, never; only of a stage.",
    )
    rework_exit_code: Annotated[int, Field(ge=1, le=255)] | None = Field(
        default=None,
        description=(
            "The exit code by which the stage, a reviewer, asks for rework; only of a stage."
        ),
    )

    @property
    def judged_gates(self) -> tuple[Gate, ...]:
        """The gates of a gate state, in judging order; all of them unless the file names some."""
        return tuple(gate for gate in MANDATORY_GATES if self.gates is None or gate in self.gates)


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
        description=(
            "How many times the edge may be taken in a run, resumes included; a loop needs an edge"
            " that has it. The stages that it leads to again are run again."
        ),
    )
    why: Line = Field(description="The reason for the edge, one line for people.")

    @property
    def is_guarded(self) -> bool:
        """Whether the edge is taken only under a condition."""
        return any(one is not None for one in (self.guard, self.unless, self.at_most))


class Edge(StrictModel):
    """One transition seen from one source."""

    trigger: Trigger
    source: StateName
    dest: StateName
    guard: Guard | None
    unless: Guard | None
    at_most: int | None = None
    why: str

    @property
    def is_guarded(self) -> bool:
        """Whether the edge is taken only under a condition."""
        return any(one is not None for one in (self.guard, self.unless, self.at_most))


class Lifecycle(StrictModel):
    """A whole lifecycle. States and transitions keep the file's order."""

    schema_version: SchemaVersion = Field(description="Version of this format.")
    name: StateName = Field(description="What reports call the lifecycle.")
    title: Line = Field(description="What the lifecycle is about, one line for people.")
    initial: StateName = Field(description="Name of the state that every run begins in.")
    gates_guard: GatesGuard = Field(
        default=GatesGuard.STAGES,
        description="What the gates stand before; every stage, unless said otherwise.",
    )
    state: Annotated[tuple[State, ...], Field(min_length=1, max_length=200)] = Field(
        description="The states; their order is for people."
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
            Edge(
                trigger=transition.trigger,
                source=source,
                dest=transition.dest,
                guard=transition.guard,
                unless=transition.unless,
                at_most=transition.at_most,
                why=transition.why,
            )
            for transition in self.transition
            for source in transition.source
        )

    def edges_from(self, source: str, trigger: Trigger) -> tuple[Edge, ...]:
        """The edges tried, in this order, when `trigger` happens in `source`."""
        return tuple(
            edge for edge in self.edges if edge.source == source and edge.trigger is trigger
        )

    @cached_property
    def stages(self) -> tuple[str, ...]:
        """The names of the stage states, in file order."""
        return tuple(state.name for state in self.state if state.kind is StateKind.STAGE)

    @cached_property
    def loops(self) -> tuple[Edge, ...]:
        """The edges that lead back, each at most so often, in file order."""
        return tuple(edge for edge in self.edges if edge.at_most is not None)

    @cached_property
    def sha256(self) -> str:
        """Digest of the relation: of what can happen, not of title, reasons or the file's bytes."""
        states = [
            (*state.model_dump(mode="json", exclude={"gates"}).values(), state.judged_gates)
            for state in self.state
        ]
        edges = [
            tuple(edge.model_dump(mode="json", exclude={"why"}).values()) for edge in self.edges
        ]
        relation = (self.name, self.initial, self.gates_guard, states, edges)
        return hashlib.sha256(json.dumps(relation).encode()).hexdigest()

    def stages_from(self, stage: str) -> tuple[str, ...]:
        """`stage` and every stage that can come after it in one invocation, in file order."""
        reached = {stage}
        frontier = [stage]
        while frontier:
            source = frontier.pop()
            for edge in self.edges:
                if (
                    edge.source == source
                    and edge.trigger is not Trigger.RESUME
                    and edge.dest not in reached
                ):
                    reached.add(edge.dest)
                    frontier.append(edge.dest)
        return tuple(name for name in self.stages if name in reached)
