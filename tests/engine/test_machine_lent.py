"""The library's machine of a lifecycle is built once, and lent to one run at a time."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from fsm_orchestrator.engine import machine as engine_machine
from fsm_orchestrator.engine.machine import Fact, RunMachine, Verdict
from fsm_orchestrator.lifecycle.model import Edge, Lifecycle, State
from fsm_orchestrator.lifecycle.reading import shipped
from fsm_orchestrator.vocabulary import Trigger

FACTS = {
    "gating": Trigger.GATES_PASSED,
    "manager": Trigger.STAGE_SUCCEEDED,
    "executor": Trigger.STAGE_SUCCEEDED,
}


@pytest.fixture(name="built", autouse=True)
def noted_machines(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[Lifecycle]]:
    """Yield the lifecycles for which machines are built; at the start there are none."""
    built: list[Lifecycle] = []
    real = engine_machine.build_machine

    def build(lifecycle: Lifecycle, edges: tuple[Edge, ...]) -> object:
        built.append(lifecycle)
        return real(lifecycle, edges)

    monkeypatch.setattr(engine_machine, "build_machine", build)
    kept = engine_machine._idle[:]
    engine_machine._idle.clear()
    yield built
    engine_machine._idle[:] = kept


class Walk:
    """A run whose stages succeed; `inside` is called when its executor is entered."""

    def __init__(self, lifecycle: Lifecycle, inside: object = None) -> None:
        self.taken: list[tuple[str, str]] = []
        self._inside = inside
        self.machine = RunMachine(
            lifecycle,
            lifecycle.initial,
            before_transition=lambda _, source, dest: self.taken.append((source, dest)),
            enter_state=self._enter,
            guards={},
            guard_failed=lambda *_: Verdict(holds=True),
        )

    def fire(self) -> list[tuple[str, str]]:
        """Run to the end, and return the transitions."""
        self.machine.fire(Fact(Trigger.START, "asked"))
        return self.taken

    def _enter(self, state: State) -> Fact | None:
        if state.name == "executor" and callable(self._inside):
            self._inside()
        trigger = FACTS.get(state.name)
        return None if trigger is None else Fact(trigger, "it did")


WALK = [
    *(("pending", "gating"), ("gating", "manager")),
    *(("manager", "executor"), ("executor", "done")),
]


def test_runs_one_after_another_walk_through_one_machine(built: list[Lifecycle]) -> None:
    """Runs in sequence share a machine, also for another object with the same edges."""
    first = shipped("governed_run")
    again = first.model_copy()
    assert [Walk(one).fire() for one in (first, again, first)] == [WALK, WALK, WALK]
    assert built == [first]


def test_run_inside_a_run_has_a_machine_of_its_own(built: list[Lifecycle]) -> None:
    """A run inside a run has its own machine, because a machine has only one queue."""
    lifecycle = shipped("governed_run")
    inner = Walk(lifecycle)
    outer = Walk(lifecycle, inside=inner.fire)
    assert (outer.fire(), inner.taken) == (WALK, WALK)
    assert built == [lifecycle, lifecycle]


def test_machine_that_was_raised_through_is_not_used_again(built: list[Lifecycle]) -> None:
    """A machine through which an error was raised is not used again."""
    lifecycle = shipped("governed_run")

    def fails() -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        Walk(lifecycle, inside=fails).fire()
    assert Walk(lifecycle).fire() == WALK
    assert built == [lifecycle, lifecycle]


def test_other_lifecycle_has_another_machine(built: list[Lifecycle]) -> None:
    """A lifecycle with another order of states or another edge has another machine."""
    one, other = shipped("governed_run"), shipped("closure_gated")
    Walk(one).fire()
    RunMachine(
        other,
        "executor",
        before_transition=lambda *_: None,
        enter_state=lambda _: None,
        guards={},
        guard_failed=lambda *_: Verdict(holds=False),
    ).fire(Fact(Trigger.STAGE_FAILED, "it did not"))
    assert built == [one, other]
