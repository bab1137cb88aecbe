"""The operator's next step after a disturbance, which ends as if nothing had happened.

A sweep disturbs a run at one point after the other. At every point the files on disk must be true
(truths.py), and the operator's next step must end as the undisturbed run did (`mend`). The kind of
disturbance is up to the sweeps.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from typing import Any, Final

from fsm_orchestrator import RunConfig
from fsm_orchestrator.disk.files import TEMPORARY_SUFFIX
from fsm_orchestrator.errors import OrchestratorError, UsageError
from fsm_orchestrator.lifecycle.model import GatesGuard
from fsm_orchestrator.model.invocation import InvocationRecord
from fsm_orchestrator.record.checkpoint import Checkpoint
from fsm_orchestrator.record.record_check import record_digest
from fsm_orchestrator.record.report import Report
from fsm_orchestrator.vocabulary import GateSource, Outcome, StageStatus
from tests.support.command import EVENTS, events_of
from tests.sweeps.desk import STAGES, Desk, Scene, read_tree
from tests.sweeps.disk_facts import are_values_lost, begun_checkpoint, report_in
from tests.sweeps.histories import checkpoint_in
from tests.sweeps.scenarios import Scenario
from tests.sweeps.truths import assert_earlier_is_there, assert_truth

Act = Callable[[RunConfig], Report | OrchestratorError]
"""A way of making an invocation: it returns the report, or the error."""

PLAIN: Final = {
    "earlier_invocations",  # the disturbed one, or none where nothing of it was durable
    "invocations_moved",  # likewise: the disturbed one may have moved some
    "run_id",  # another if the command was typed again
    "execution_mode",  # likewise
    "started_at",
    "finished_at",
    "containment",  # null if nothing was left to be run
    "transitions",  # compared by `walk_of`
    "stage_executions",  # compared below
    "origin",  # the revision is unknown if the fault hit the reading of it
    "rebuilt",  # null unless the record had to be made again from the events
    "accepted",  # null where a key could be made
    "events_head",  # its log records the disturbance
}
OF_A_STAGE: Final = {
    # Not attempt, reason, idempotency_key and the names of its logs: they count attempts or contain
    # the run's id. Not times and resources. Not exit_code, ending and stderr_tail: a skip has none.
    *("stage", "command", "args", "env_keys", "cwd", "error", "signal", "artifacts"),
    *("missing_artifacts", "malformed_artifacts", "stale_artifacts", "leaked_processes"),
}


OF_THE_DISTURBANCE: Final = (
    "--accept-record was given",  # to be sure, where the events are gone
    *("had been written", "runs with other settings than before"),
    *("behind the events", "was torn", "accepted by its digest", "no key can be kept"),
)
"""The warnings that only a disturbed run has: events were lost with the machine, lost values were
given again, and the record was made again from the events."""


def normalised(report: Report) -> dict[str, Any]:
    """Return what is the same for a run that was disturbed and resumed and for one that was not."""
    document = report.model_dump(mode="json", exclude=PLAIN)
    for decision in document["gate_decisions"]:
        del decision["source"]  # a resume takes it from the checkpoint
        if decision["given"] is not None:  # by the same user, in an earlier invocation
            del decision["given"]["at"], decision["given"]["invocation"]
    document["warnings"] = [
        one for one in report.warnings if not any(words in one for words in OF_THE_DISTURBANCE)
    ]
    document["stages"] = [
        {
            **execution.model_dump(mode="json", include=OF_A_STAGE),
            "is_complete": execution.status in {StageStatus.SUCCESS, StageStatus.SKIPPED},
        }
        for execution in report.stage_executions
    ]
    return document


def walk_of(report: Report) -> list[str]:
    """Return the states that the invocation entered."""
    return [transition.dest for transition in report.transitions]


def mend(scenario: Scenario, desk: Desk, before: Scene, expected: Report, act: Act) -> None:
    """Do the operator's next step: it ends as if nothing had happened, and repeats nothing."""
    kept, starts = begun_checkpoint(desk), desk.starts()
    complete = set() if kept is None else {one.stage for one in kept.completions}
    is_over = kept is not None and kept.current_state == "done"
    mended = act(_accepting(kept, desk, scenario.next_step(desk)))
    if isinstance(mended, UsageError) and are_values_lost(kept):
        mended = act(_accepting(kept, desk, scenario.with_values(desk)))
    assert isinstance(mended, Report), mended
    now, then = normalised(mended), normalised(expected)
    assert now == then, {key: (now[key], then[key]) for key in then if now[key] != then[key]}
    assert walk_of(mended) == ([] if is_over else walk_of(expected))
    assert complete.isdisjoint(desk.starts() - starts)
    assert mended == report_in(desk.out)
    assert_whole(desk, mended)
    assert_truth(scenario, desk, before)
    if scenario.before is not None:
        assert_earlier_is_there(desk, before, is_together=True)


def _accepting(kept: Checkpoint | None, desk: Desk, config: RunConfig) -> RunConfig:
    """Accept a record that nothing proves: it had no key when it was kept, or its events are gone.

    A machine that went down may have taken all events, and a run warns if it has no key.
    """
    if kept is None:
        return config
    had_no_key = any("no key can be kept" in one for one in kept.invocation.warnings)
    if not had_no_key and (desk.out / EVENTS).exists():
        return config
    return config.model_copy(update={"accept_record": record_digest(desk.out)})


def assert_whole(desk: Desk, mended: Report) -> None:
    """Assert that the run ended with its records in order, and passed over no stage or gate."""
    kept = checkpoint_in(desk.out)
    assert kept is not None
    assert (kept.run_id, kept.current_state) == (mended.run_id, mended.current_state)
    for invocation in kept.invocations:
        _assert_gated(kept, invocation)
        assert not invocation.passed_over
    if mended.terminal_state is Outcome.DONE:
        assert set(desk.starts()) == set(STAGES)
        assert {one.stage for one in kept.completions} == set(STAGES)
    assert not [name for name, _ in read_tree(desk.out) if name.endswith(TEMPORARY_SUFFIX)]
    numbers = [event["seq"] for event in events_of(desk.out)]
    warnings = " ".join(one for visit in kept.invocations for one in visit.warnings)
    if "had been written" in warnings:  # they were lost with the machine, and are missing
        assert numbers == sorted(set(numbers))
    else:
        assert numbers == list(range(1, len(numbers) + 1))


def _assert_gated(kept: Checkpoint, invocation: InvocationRecord) -> None:
    """Assert that all stages of an invocation ran after its gates had passed."""
    assert kept.lifecycle.gates_guard is GatesGuard.STAGES
    for one in invocation.gate_decisions:  # a signal is kept from the invocation that got it
        assert one.given is not None
        is_kept = one.given.invocation < invocation.number
        assert one.given.invocation <= invocation.number
        assert is_kept is (one.source is GateSource.CHECKPOINT)
    entered = [transition.dest for transition in invocation.transitions]
    if any(stage in entered for stage in STAGES):
        assert entered[0] == "gating"
        assert [one.passed for one in invocation.gate_decisions] == [True, True, True]


@contextlib.contextmanager
def at(where: str) -> Iterator[None]:
    """Add the place in the sweep to a failure."""
    try:
        yield
    except BaseException as error:
        error.add_note(where)
        raise
