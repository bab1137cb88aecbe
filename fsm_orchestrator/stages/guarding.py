"""The state of protected paths before an attempt: taken now, or kept from before an earlier one.

An earlier attempt that changed them, or that nobody can vouch for, must not make its changes the
state that the next one is compared with.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import NamedTuple

from fsm_orchestrator.disk.held import HeldDirectory
from fsm_orchestrator.model.contracts import Protection
from fsm_orchestrator.model.endings import Interrupted, NotSpawned, SpawnFailure
from fsm_orchestrator.model.execution import StageExecution
from fsm_orchestrator.stages.artifacts import JudgingCutShortError
from fsm_orchestrator.stages.protected import (
    Baseline,
    Changed,
    NotProtectedError,
    baseline_of,
    keep,
    kept,
    summary_of,
)
from fsm_orchestrator.vocabulary import StageStatus


class Guard(NamedTuple):
    """The protected paths of an attempt that begins.

    Attributes:
        baseline: their state before the stage; None if it cannot be determined.
        protection: the record of that state.
        refusal: why the attempt must not be started; None if nothing prevents it.
        changes: the changes since before an earlier attempt.
    """

    baseline: Baseline | None
    protection: Protection | None
    refusal: NotSpawned | Interrupted | None = None
    changes: tuple[Changed, ...] = ()


class Place(NamedTuple):
    """The place of the files that are kept of an attempt."""

    home: HeldDirectory
    output: Path
    stage: str
    attempt: int


def guard_of(
    roots: Sequence[str],
    last: StageExecution | None,
    place: Place,
    asked_to_end: Callable[[], int | None],
    *,
    is_done: bool = False,
) -> Guard:
    """Return the guard of an attempt; `last` is the one before it at the same work, if any.

    `is_done` if the attempt only looks at the work of the last one: its paths must be as they were
    before that one.

    Raises:
        RecordingError: the state cannot be kept.
    """

    def ask(_path: str) -> None:
        if asked_to_end() is not None:
            raise JudgingCutShortError

    earlier = None if last is None else last.protection if is_done else _in_doubt(last)
    try:
        if earlier is None or last is None:
            return _taken(roots, Baseline({}), place, ask)
        before = kept(earlier, place.output, roots)
        changes = before.changes_since(ask)
        new = [root for root in roots if root not in before.trees]
        if not changes:
            return _taken(new, before, place, ask)
        return Guard(before, earlier, _still_changed(last, changes), changes)
    except NotProtectedError as error:
        # The kept state stays in the record: a later attempt is compared with it.
        return Guard(None, earlier, NotSpawned(SpawnFailure.NOT_PROTECTED, str(error)))
    except JudgingCutShortError:
        return Guard(None, earlier, Interrupted(asked_to_end() or 0))


def _taken(
    roots: Sequence[str], before: Baseline, place: Place, ask: Callable[[str], None]
) -> Guard:
    baseline = Baseline({**before.trees, **baseline_of(roots, ask).trees})
    home, output, stage, attempt = place
    return Guard(baseline, keep(baseline, home, output, stage, attempt))


def _in_doubt(last: StageExecution) -> Protection | None:
    """Return what was kept before an attempt that changed protected paths, or may have."""
    is_clean = last.protection is None or (
        last.protection.is_compared and not last.protected_changes
    )
    return None if is_clean or last.status is StageStatus.SUCCESS else last.protection


def _still_changed(last: StageExecution, changes: Sequence[Changed]) -> NotSpawned:
    detail = f"since before attempt {last.attempt}, or one before it: {summary_of(changes)}"
    return NotSpawned(SpawnFailure.NOT_PROTECTED, detail)
