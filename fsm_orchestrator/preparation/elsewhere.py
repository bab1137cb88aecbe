"""A run to be resumed in another directory than before: moved, copied, brought from elsewhere.

Two directories never continue one run: a copy becomes a run of its own (`--as-copy`), and one that
came from elsewhere is adopted by somebody who knows that it is the latest (`--adopt`).
"""

from __future__ import annotations

from pathlib import Path
from typing import Final, assert_never

from fsm_orchestrator.config.run_config import RunConfig
from fsm_orchestrator.constants import CHECKPOINT_FILE
from fsm_orchestrator.errors import TamperedError, UsageError
from fsm_orchestrator.preparation.decision import ResumableRun
from fsm_orchestrator.preparation.preparation import clock_of, new_run_id
from fsm_orchestrator.record.checkpoint_reader import SavedRun
from fsm_orchestrator.record.closure import judge_artifacts
from fsm_orchestrator.record.home import CopiedFrom, Whereabouts
from fsm_orchestrator.record.record_check import record_digest
from fsm_orchestrator.record.relocation import copy_sentence, relocation_sentence
from fsm_orchestrator.record.unseen import attempts_unseen
from fsm_orchestrator.record.whereabouts import original_of
from fsm_orchestrator.stages.artifacts import JudgingCutShortError
from fsm_orchestrator.text.hidden import copyable

_AS_COPY: Final = "--as-copy continues in the copy as a run of its own, with a new id"


class ElsewhereError(UsageError):
    """An error for a run in another directory than before, without an option for that."""


def settled_place(config: RunConfig, saved: SavedRun) -> SavedRun:
    """Return what a run has left, as it is resumed in its present place.

    Raises:
        UsageError: no option says what becomes of a copy, or the given one does not fit.
        TamperedError: another record was accepted.
    """
    if config.as_copy and config.adopt:
        raise UsageError(
            "--as-copy and --adopt were both given",
            remedy="--adopt continues the run under its own id, --as-copy as a run of its own",
        )
    match saved.where:
        case Whereabouts.HOME | Whereabouts.MOVED | Whereabouts.HANDED_ON:
            _refuse_both(config)
            return saved
        case Whereabouts.CARRIED if config.as_copy:
            return _as_copy(config, saved)
        case Whereabouts.CARRIED:
            _refuse_both(config)
            _refuse_live_processes(saved)
            return saved
        case Whereabouts.COPIED | Whereabouts.BROUGHT if config.as_copy:
            return _as_copy(config, saved)
        case Whereabouts.COPIED:
            raise _copied(config, saved)
        case Whereabouts.BROUGHT if config.adopt:
            _refuse_unaccepted(config)
            return saved
        case Whereabouts.BROUGHT:
            raise _brought(config, saved)
        case _:
            assert_never(saved.where)


def place_options(saved: SavedRun, output: Path) -> tuple[str, ...]:
    """Return the options that a resume needs only because of where the record is."""
    match saved.where:
        case Whereabouts.COPIED if not saved.checkpoint.is_done:
            return ("--as-copy",)
        case Whereabouts.BROUGHT:
            return ("--adopt", "--accept-record", record_digest(output))
        case _:
            return ()


def refuse_copy(saved: SavedRun, output: Path, what: str) -> None:
    """Refuse to do something in a copy that has to be done where the run is.

    Raises:
        UsageError: `output` is a copy.
    """
    if saved.where is not Whereabouts.COPIED:
        return
    checkpoint = saved.checkpoint
    original = original_of(checkpoint.home, output, checkpoint.run_id)
    there = copyable(original or checkpoint.home.directory)
    remedy = f"{what} {there}"
    raise ElsewhereError(
        f"{copyable(output)} is a copy of the run in {there}",
        remedy=remedy if checkpoint.is_done else f"{remedy}; or resume the copy with --as-copy",
    )


def _refuse_both(config: RunConfig) -> None:
    if config.as_copy or config.adopt:
        option = "--as-copy" if config.as_copy else "--adopt"
        raise UsageError(
            f"{option} does not fit: {copyable(config.output_path)} is the run's own directory",
            remedy=f"leave {option} out",
        )


def _copied(config: RunConfig, saved: SavedRun) -> UsageError:
    checkpoint, output = saved.checkpoint, config.output_path
    original = original_of(checkpoint.home, output, checkpoint.run_id)
    there = copyable(original or checkpoint.home.directory)
    said = f"{copyable(output)} is a copy of the run in {there}"
    if checkpoint.is_done:
        return ElsewhereError(
            f"{said}, and was done when it was copied: nothing of it can run again",
            remedy=f"look at it with status or report, or resume {there}",
        )
    option = "--adopt does not fit: " if config.adopt else ""
    return ElsewhereError(f"{option}{said}", remedy=f"{_AS_COPY}; or resume {there}")


def _brought(config: RunConfig, saved: SavedRun) -> UsageError:
    home, output = saved.checkpoint.home, config.output_path
    sentence = relocation_sentence(saved.checkpoint, Whereabouts.BROUGHT)
    digest = record_digest(output)
    choice = (
        f"--adopt --accept-record {digest} continues the run under its own id: first make sure"
        f" that {copyable(home.directory)} on {home.host} will not, and that the record is the"
        " latest"
    )
    more = "" if saved.checkpoint.is_done else f"; {_AS_COPY}"
    return ElsewhereError(f"cannot resume: {sentence}", remedy=f"{choice}{more}")


def _refuse_unaccepted(config: RunConfig) -> None:
    digest = record_digest(config.output_path)
    if config.accept_record is None:
        raise ElsewhereError(
            "--adopt was given, but not which record to adopt",
            remedy=f"--accept-record {digest}, if that is the digest of the record as it was left",
        )
    if config.accept_record != digest:
        raise TamperedError(
            f"{copyable(config.output_path / CHECKPOINT_FILE)} is not the record that was accepted:"
            f" its digest is {digest}",
            remedy="compare it with the one of the record as it was left; nothing was written",
        )


def _refuse_live_processes(saved: SavedRun) -> None:
    """Refuse a run that may be a copy while processes live that may be the original's.

    Raises:
        UsageError: some do.
    """
    attempts = saved.checkpoint.open_attempts
    if not attempts:
        return
    from fsm_orchestrator.processes.leftovers import live_processes  # noqa: PLC0415 - loads psutil

    for attempt in attempts:
        pids = live_processes(attempt)
        if not pids:
            continue
        old = copyable(saved.checkpoint.home.directory)
        raise ElsewhereError(
            f"the output directory came here from {old}, on another file system, and process"
            f" {', '.join(map(str, pids))} of an attempt of stage {attempt.stage!r} is alive:"
            " it is not known whether that is this directory's",
            remedy=f"end what is left by hand and resume again; or {_AS_COPY}",
        )


def _as_copy(config: RunConfig, saved: SavedRun) -> SavedRun:
    """Make a copy a run of its own: with another id, and without what is private.

    Raises:
        UsageError: the run is done, or the id is that of the original.
    """
    found = attempts_unseen(saved.checkpoint)
    if found.is_done:
        raise UsageError(
            "--as-copy does not fit: the run is done, and nothing of it can run again",
            remedy="start a new run without --resume; this one is then archived",
        )
    if config.run_id == found.run_id:
        raise UsageError(
            f"the run id {config.run_id!r} is taken: the original has it",
            remedy="give another --run-id, or none",
        )
    home = found.home
    copied = CopiedFrom(
        run_id=found.run_id,
        directory=home.directory,
        invocations=found.invocation.last_number,
        private_ref=found.private_ref,
    )
    checkpoint = found.model_copy(
        update={
            "run_id": config.run_id or new_run_id(clock_of(config)),
            "private_ref": None,
            "home": home.model_copy(update={"copied_from": (*home.copied_from, copied)}),
        }
    )
    return saved._replace(checkpoint=checkpoint, private=None)


def place_warnings(run: ResumableRun, where: Whereabouts) -> tuple[str, ...]:
    """Warn that a record is not where it was written, or has become another run's."""
    if where.is_home:
        return ()
    if run.config.as_copy:
        said = copy_sentence(run.checkpoint.home)
        return () if said is None else (said,)
    return (relocation_sentence(run.checkpoint, where),)


def refuse_to_judge_elsewhere(run: ResumableRun, where: Whereabouts) -> None:
    """Refuse a moved run that is done, if artifacts that did not come would be recorded as wrong.

    Raises:
        UsageError: there are some; the report, which says what was true, stays unchanged.
    """
    home, output = run.checkpoint.home, str(run.config.output_path)
    if where.is_home or home.directory == output:
        return
    came = f"the run is done, and its directory came here from {copyable(home.directory)}"
    try:
        verdict = judge_artifacts(run.checkpoint, run.kept.completed, may_go_on=run.may_go_on)
    except JudgingCutShortError as error:
        raise UsageError(
            f"{came}; whether its artifacts did was not judged to the end: the resume was asked"
            " to end",
            remedy="resume again; nothing was written",
        ) from error
    if not verdict.is_intact:
        raise UsageError(
            f"{came}, but not all of its artifacts did: {run.masker.mask(verdict.summary())}",
            remedy="put them there, or the directory back where it was; nothing was written",
        )
