"""Claims a run for one invocation: makes its next epoch from the one before, by one rename.

An epoch is made under a draft's name from what the latest one holds, and is there whole or not at
all. The previous holder may still be alive, and may write to its own epoch at any time: no file
that is written in place is shared by two epochs.
"""

from __future__ import annotations

import contextlib
import errno
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Final

from fsm_orchestrator.constants import (
    APPROVALS_DIRECTORY,
    CHECKPOINT_FILE,
    EPOCHS_DIRECTORY,
    EVENTS_FILE,
    INVOCATIONS_FILE,
    LOGS_DIRECTORY,
    NOTICES_FILE,
    REPORT_FILE,
)
from fsm_orchestrator.disk import belongings, duplicating, files, peek
from fsm_orchestrator.disk.epochs import (
    DRAFT_PREFIX,
    NUMBER_MAX,
    Epoch,
    drafts_of,
    epochs_of,
    fenced,
)
from fsm_orchestrator.disk.files import SystemCall
from fsm_orchestrator.disk.held import HeldDirectory
from fsm_orchestrator.disk.where import absolute
from fsm_orchestrator.errors import FencedError, OperationError, UsageError
from fsm_orchestrator.record import claim_file, left_beside, left_file
from fsm_orchestrator.secrets import private_file
from fsm_orchestrator.stages.output_files import attempt_of
from fsm_orchestrator.text.hidden import copyable
from fsm_orchestrator.vocabulary import Operation

EPOCHS_KEPT: Final = 50
"""The number of epochs of a run that are kept; each claim removes older ones."""
_ANSWERS: Final = (".approve.", ".deny.", ".withdraw.", ".sig")
"""The parts that mark the names of the files that people put into `approvals/`."""
_OF_DRAFT: Final = frozenset({errno.ENOENT, errno.ENOTEMPTY, errno.EEXIST})
"""The errors for a draft that a later claim has removed, or that is already published."""


def claim_epoch(run_directory: str | os.PathLike[str], number: int, attempt: int) -> Epoch:
    """Make the next epoch of a run from the record before it; return the epoch.

    Call this when the engine says that the previous holder is gone: its lease has run out, or it
    has reported its end. What that holder had begun counts as interrupted. The epoch is durable
    when this returns; a claim that is cut short leaves the previous record unchanged.

    Args:
        run_directory: the directory of the run, made if it does not exist.
        number: the number of the invocation, from 1.
        attempt: the engine's attempt at that invocation, from 1.

    Raises:
        FencedError: this epoch or a later one was claimed before; nothing that counts was changed.
        UsageError: it is not a directory, holds a run without an engine, or a number is out of
            range.
        CheckpointError: the directory named as its latest epoch is not an epoch.
        OperationError: the epoch cannot be made.
    """
    for what, value in (("number", number), ("attempt", attempt)):
        if not 1 <= value <= NUMBER_MAX:
            raise UsageError(
                f"{what} {value}: an epoch has a number and an attempt from 1 to {NUMBER_MAX}",
                remedy=f"see which epochs are in {EPOCHS_DIRECTORY}/ of the run: one whose number"
                " no engine gave was made by somebody else; move it away"
                if value > NUMBER_MAX
                else "",
            )
    epoch = Epoch(absolute(os.fspath(run_directory)), number, attempt)
    _refuse_other_use(epoch.run_directory)
    try:
        _claim(epoch)
    except OSError as error:
        _refuse_later(epoch)
        raise OperationError(
            Operation.EPOCH_CLAIM,
            f"cannot claim epoch {epoch.name} of {copyable(epoch.run_directory)}:"
            f" {files.reason(error)}",
            remedy="make the directory writable (space, permissions), and claim the run again with"
            " the next attempt",
        ) from error
    return epoch


def _refuse_other_use(run: Path) -> None:
    """Refuse a place that is not a directory, or that a run without an engine uses.

    Raises:
        UsageError: it is one.
    """
    if os.path.lexists(run) and not os.path.isdir(run):
        raise UsageError(
            f"the run directory {copyable(run)} is not a directory", remedy="name another one"
        )
    if belongings.is_of_a_run(run):
        raise UsageError(
            f"{copyable(run)} holds the record of a run that no engine has",
            remedy="name another directory, or resume that run without an engine",
        )


def _refuse_later(epoch: Epoch) -> None:
    """Refuse a claim that comes too late.

    Raises:
        FencedError: this epoch or a later one exists.
    """
    names = epochs_of(epoch.run_directory)
    if names and names[-1] >= epoch.name:
        raise fenced(epoch)


def _claim(epoch: Epoch) -> None:
    run = epoch.run_directory
    epochs = run / EPOCHS_DIRECTORY
    if files.make_directory(run):
        _shield_from_git(run)
    files.make_directory(epochs)
    while True:
        _refuse_later(epoch)
        names = epochs_of(run)
        if names:
            claim_file.refuse_unclaimed(epochs / names[-1])
        draft = _begin(epoch)
        try:
            _fill(draft, epoch, names)
            if epochs_of(run) == names:
                _publish(draft, epoch)
                break
        finally:  # a published draft is gone by now
            _remove(draft)
    epoch.confirm()
    with contextlib.suppress(OSError):  # there may be no private state
        left_file.note_claim(epoch.directory)
    with _opened(epoch.directory) as made:
        for name in names:
            _take_answers(epochs / name, made)
    epoch.confirm()
    _tidy(epoch, names)


def _begin(epoch: Epoch) -> Path:
    """Make the directory of a draft.

    Raises:
        FencedError: the same claim was begun before.
    """
    run = epoch.run_directory
    draft = run / EPOCHS_DIRECTORY / f"{DRAFT_PREFIX}{epoch.name}"
    try:
        files.perform(SystemCall.MKDIR, os.mkdir, draft)
    except FileExistsError:
        raise FencedError(
            f"epoch {epoch.name} of {copyable(run)} was claimed before, by a worker that has not"
            " finished claiming it",
            remedy="claim the run again with the next attempt",
        ) from None
    return draft


def _fill(draft: Path, epoch: Epoch, names: list[str]) -> None:
    """Fill a draft from the latest epoch before it."""
    before = draft.parent / names[-1] if names else None
    with _opened(draft) as made:
        if before is not None:
            with contextlib.suppress(OSError):  # without it, the record proves itself
                left_file.hand_on(before, epoch.directory, os.fstat(made.descriptor).st_ino)
            left_beside.take_along(before, made)
            with _opened(before) as source:
                _duplicate(source, made)
        claim_file.write(epoch, before, made)
        files.sync(made.descriptor)


def _publish(draft: Path, epoch: Epoch) -> None:
    """Make a draft the run's record.

    Raises:
        FencedError: a later epoch was claimed while this one was made.
    """
    try:
        files.perform(SystemCall.RENAME, os.rename, draft, epoch.directory)
    except OSError as error:
        if error.errno in _OF_DRAFT:
            _refuse_later(epoch)
        raise
    files.sync_directory(draft.parent)


@contextlib.contextmanager
def _opened(path: Path) -> Iterator[HeldDirectory]:
    descriptor = files.open_directory(path)
    try:
        yield HeldDirectory(path, descriptor)
    finally:
        os.close(descriptor)


def _shield_from_git(run: Path) -> None:
    with contextlib.suppress(OSError), _opened(run) as made:
        belongings.shield_from_git(made)


# -- what an epoch takes from the one before ---------------------------------------------------


def _duplicate(source: HeldDirectory, made: HeldDirectory) -> None:
    """Give a new epoch everything that counts in the one before.

    The checkpoint is copied first, because the events may be ahead of it and never behind: a holder
    that is not gone after all may add to them during the copy.
    """
    duplicating.link(CHECKPOINT_FILE, source, made)
    duplicating.link(REPORT_FILE, source, made)
    ended = _ended_attempts(made.path / CHECKPOINT_FILE)
    duplicating.copy(INVOCATIONS_FILE, source, made, whole_lines=True)
    duplicating.copy(EVENTS_FILE, source, made, whole_lines=True)
    duplicating.copy(NOTICES_FILE, source, made, whole_lines=True)
    for name in belongings.RUN_DIRECTORIES:
        if not os.path.isdir(source.path / name):
            continue
        with (
            files.below(source, name, may_make=False) as inner,
            files.below(made, name) as place,
        ):
            for entry in os.listdir(inner.descriptor):
                if not belongings.has_name_of_a_run(name, entry) or entry.startswith("."):
                    continue
                if name == LOGS_DIRECTORY and attempt_of(entry) not in ended:
                    duplicating.copy(entry, inner, place)
                else:
                    duplicating.link(entry, inner, place)
            files.sync(place.descriptor)


def _ended_attempts(checkpoint: Path) -> frozenset[tuple[str, int]]:
    """Return the attempts, as stage and number, that have certainly ended: their logs are final."""
    record = peek.document(checkpoint)
    done = {
        _attempt(one)
        for of in _entries(record, "invocations")
        for one in _entries(of, "stage_executions")
    }
    still = {_attempt(one) for one in _entries(record, "open_attempts")}
    return frozenset(done - still)


def _entries(of: object, name: str) -> list[object]:
    found = of.get(name) if isinstance(of, dict) else None
    return found if isinstance(found, list) else []


def _attempt(one: object) -> tuple[str, int]:
    if not isinstance(one, dict):
        return "", 0
    stage, attempt = one.get("stage"), one.get("attempt")
    return (stage, attempt) if isinstance(stage, str) and isinstance(attempt, int) else ("", 0)


def _take_answers(earlier: Path, made: HeldDirectory) -> None:
    """Copy the answers that people gave in an earlier epoch while this one was made.

    The command that writes an answer looks again afterwards, and writes it into a later epoch
    itself.
    """
    if not os.path.isdir(earlier / APPROVALS_DIRECTORY):
        return
    with (
        _opened(earlier) as source,
        files.below(source, APPROVALS_DIRECTORY, may_make=False) as inner,
    ):
        found = {one for one in os.listdir(inner.descriptor) if _is_answer(one)}
        if not found:
            return
        with files.below(made, APPROVALS_DIRECTORY) as place:
            missing = found.difference(os.listdir(place.descriptor))
            for name in missing:
                duplicating.link(name, inner, place)
            if missing:
                files.sync(place.descriptor)
                files.sync(made.descriptor)


def _is_answer(name: str) -> bool:
    is_whole = not name.startswith(".") and belongings.has_name_of_a_run(APPROVALS_DIRECTORY, name)
    return is_whole and any(part in name for part in _ANSWERS)


# -- what is no longer needed ------------------------------------------------------------------


def _tidy(epoch: Epoch, earlier: list[str]) -> None:
    """Remove drafts of claims that were cut short, and the oldest epochs. Failures are ignored."""
    run = epoch.run_directory
    home = peek.document(epoch.directory / CHECKPOINT_FILE).get("home")
    written_in = Path(str(home.get("directory")) if isinstance(home, dict) else "").name
    old = [name for name in earlier[: 1 - EPOCHS_KEPT] if name != written_in]
    drafts = [one for one in drafts_of(run) if one < f"{DRAFT_PREFIX}{epoch.name}"]
    for name in (*drafts, *old):
        _remove(run / EPOCHS_DIRECTORY / name)
    kept = {peek.private_facts(run / EPOCHS_DIRECTORY / name).ref for name in earlier[-1:]}
    for name in earlier[-3:-1]:  # earlier claims have done this for the others
        place = run / EPOCHS_DIRECTORY / name
        with contextlib.suppress(OSError):
            left_file.forget(place)
            ref = peek.private_facts(place).ref
            if ref is not None and ref not in kept:  # what still counts was carried over
                private_file.remove(ref, place)


def _remove(directory: Path) -> None:
    if not os.path.lexists(directory):
        return
    import shutil  # noqa: PLC0415 - rare, and it loads every packer

    shutil.rmtree(directory, ignore_errors=True)
