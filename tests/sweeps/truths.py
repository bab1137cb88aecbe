"""The truths about the files of a run, wherever it was disturbed."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Final

from fsm_orchestrator.model.invocation import TransitionRecord
from fsm_orchestrator.record.checkpoint import Checkpoint
from fsm_orchestrator.record.report import Report
from fsm_orchestrator.vocabulary import Outcome, StageStatus
from tests.support.command import CHECKPOINT, EVENTS, REPORT
from tests.sweeps.desk import EARLIER, SECRET, STAGES, Desk, Scene, read_tree
from tests.sweeps.disk_facts import own_failures, report_in
from tests.sweeps.histories import checkpoint_in, history_of
from tests.sweeps.scenarios import SCENARIOS, Scenario


def assert_truth(
    scenario: Scenario,
    desk: Desk,
    before: Scene,
    *,
    may_be_torn: bool = False,
    may_be_early: bool = False,
) -> None:
    """Assert that the files can be read, and agree with each other and with what happened.

    `may_be_torn`: true after a power cut, which alone leaves half of a file that is replaced.
    `may_be_early`: true if a report may have reached the disk before the events it is made from.
    """
    for name, content in read_tree(desk.out):
        assert SECRET.encode() not in (content or b""), name
    for name in (CHECKPOINT, REPORT):
        if not may_be_torn and (desk.out / name).exists():
            json.loads((desk.out / name).read_bytes())
    kept, told = checkpoint_in(desk.out), report_in(desk.out)
    is_early = may_be_early and told is not None and _is_early(told, kept, desk.out)
    # One without a state only records a refusal.
    if told is not None and told.current_state is not None and not is_early:
        _assert_told_is_kept(told, kept, desk.out)
    known = sum((_attempts(*one) for one in _checkpoints(desk.out)), Counter[str]())
    starts = desk.starts()
    assert all(starts[stage] <= known[stage] for stage in STAGES), (starts, known)
    if scenario.before is not None:
        assert_earlier_is_there(desk, before)
    if scenario is SCENARIOS["blocked"]:
        assert not starts


def _assert_told_is_kept(told: Report, kept: Checkpoint | None, directory: Path) -> None:
    if kept is None:
        assert told.terminal_state is Outcome.FAILED
        assert own_failures(told)
        assert not told.transitions
        return
    assert told.run_id == kept.run_id
    walked, history = _walked(told), _history(told, kept, directory)
    assert walked == history[: len(walked)]
    state = walked[-1].dest if walked else kept.lifecycle.initial
    assert told.current_state == state
    says_own_failure = told.terminal_state is Outcome.FAILED and bool(own_failures(told))
    if told.terminal_state is not None and not says_own_failure:
        assert told.terminal_state is kept.lifecycle.states[state].outcome
    if told.terminal_state is Outcome.DONE:
        assert kept.current_state == state
    if says_own_failure and walked:  # otherwise there was no earlier checkpoint to be put back
        assert kept.current_state == state


def _is_early(told: Report, kept: Checkpoint | None, directory: Path) -> bool:
    """Return whether a report is ahead of its record by what is not waited for.

    That is only the way to the gates: it has started nothing, ended nothing and judged nothing.
    """
    if told.terminal_state is not None or told.stage_executions or told.gate_decisions:
        return False
    if kept is None:
        ahead = told.transitions
        return not told.earlier_invocations and [one.dest for one in ahead] == ["gating"]
    number, history = kept.invocation.last_number, _history(told, kept, directory)
    return (
        told.run_id == kept.run_id
        and told.latest.number == number + 1
        and _walked(told)[: len(history)] == history
        and [one.dest for one in told.transitions] in (["gating"], [])
    )


def _walked(told: Report) -> list[TransitionRecord]:
    """Return the transitions in a report."""
    earlier = [one for visit in told.earlier_invocations for one in visit.transitions]
    return [*earlier, *told.transitions]


def _history(told: Report, kept: Checkpoint, directory: Path) -> list[TransitionRecord]:
    """Return the record's transitions of the invocations in a report."""
    visits = history_of(kept, directory)[told.invocations_moved :]
    return [one for visit in visits for one in visit.transitions]


def _checkpoints(out: Path) -> Iterator[tuple[Checkpoint, Path]]:
    for directory in (out, *out.glob("archive/*")):
        kept = checkpoint_in(directory)
        if kept is not None:
            yield kept, directory


def _attempts(kept: Checkpoint, directory: Path) -> Counter[str]:
    """Count the attempts of each stage in a checkpoint."""
    found = Counter(
        execution.stage
        for invocation in history_of(kept, directory)
        for execution in invocation.stage_executions
        if execution.attempt > 0 and execution.status is not StageStatus.SKIPPED
    )
    return found + Counter(one.stage for one in kept.open_attempts)


STAYING: Final = (".lock", ".gitignore")
"""Files that belong to the output directory, whichever run is in it."""


def assert_earlier_is_there(desk: Desk, before: Scene, *, is_together: bool = False) -> None:
    """Assert that every file of an archived earlier run is in OUT or the archive, unchanged.

    `is_together`: all in one directory of the archive, except for a report that a refusal had to
    set aside alone. (A cut may let a move have happened in one directory and not in the other; a
    file that then exists twice is archived twice.)
    """
    out = desk.out.relative_to(desk.disk)
    earlier = {
        str(Path(name).relative_to(out)): content
        for name, content in before.tree
        if Path(name).is_relative_to(out) and content is not None and not name.endswith(STAYING)
    }
    checkpoint = json.loads(earlier[CHECKPOINT] or b"")
    if checkpoint["run_id"] != EARLIER:
        return
    homes: dict[str, set[Path]] = {name: set() for name in earlier}
    for home in (desk.out, *desk.out.glob("archive/*")):
        for name, content in earlier.items():
            if (home / name).is_file() and _is_intact(name, (home / name).read_bytes(), content):
                homes[name].add(home)
    assert all(homes.values()), homes
    if is_together:
        del homes[REPORT]
        assert set.intersection(*homes.values()) - {desk.out}, homes


def _is_intact(name: str, now: bytes, earlier: bytes | None) -> bool:
    """Return whether a file is as before; a refusal may have added a line to the log."""
    return now.startswith(earlier or b"") if name == EVENTS else now == earlier
