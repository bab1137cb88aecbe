"""One invocation from its lock to its report.

RunConfig → prepare → lock → archive → Driver (machine, callbacks) → Report
"""

from __future__ import annotations

import contextlib
import math
import os
from pathlib import Path
from typing import TYPE_CHECKING, TypeAlias

from fsm_orchestrator.clock import timestamp
from fsm_orchestrator.config.run_config import RunConfig
from fsm_orchestrator.constants import (
    ARCHIVE_DIRECTORY,
    CHECKPOINT_FILE,
    EVIDENCE_DIRECTORY,
    INVOCATIONS_FILE,
    LOGS_DIRECTORY,
    REPORT_FILE,
    STOP_FILE,
)
from fsm_orchestrator.disk import archive, belongings, files, stale
from fsm_orchestrator.disk.lock import OutputLock
from fsm_orchestrator.disk.where import run_of
from fsm_orchestrator.engine.descriptor_room import is_no_room, no_room, require_room
from fsm_orchestrator.engine.foreign import is_foreign
from fsm_orchestrator.engine.surroundings import QuietListener, Surroundings
from fsm_orchestrator.errors import (
    CheckpointError,
    InternalError,
    OperationError,
    OrchestratorError,
    TamperedError,
    UsageError,
)
from fsm_orchestrator.preparation.preparation import Preparation
from fsm_orchestrator.preparation.prepare import prepare
from fsm_orchestrator.preparation.starter import origin_of
from fsm_orchestrator.processes.runner import ProcessRunner
from fsm_orchestrator.processes.table import boot
from fsm_orchestrator.record.home import home_of
from fsm_orchestrator.record.report import Report
from fsm_orchestrator.secrets import private_file
from fsm_orchestrator.secrets.state_key import RecordKey, make_own_key, shared_key
from fsm_orchestrator.stages.judging import Judging, SlowArtifact
from fsm_orchestrator.text.digest import sha256_of
from fsm_orchestrator.text.hidden import copyable
from fsm_orchestrator.vocabulary import HeldBy, Operation

if TYPE_CHECKING:
    from fsm_orchestrator.record.event_file import EventFile
    from fsm_orchestrator.record.left_file import LeftFile


Leftovers: TypeAlias = tuple[dict[str, tuple[int, ...]], OperationError | None]
"""The pids of processes that were left alive and have been ended, by attempt; and any error."""


def run_invocation(config: RunConfig, caller: Surroundings) -> Report:
    """Run one invocation to its end, and return its report.

    Raises the same errors as `fsm_orchestrator.run`.
    """
    with config.hidden_in_errors():
        return _run_invocation(config, caller)


def _run_invocation(config: RunConfig, caller: Surroundings) -> Report:
    config = caller.placed(config)
    output = config.output_path
    with contextlib.ExitStack() as after:
        if caller.lease is not None or caller.epoch is not None:
            from fsm_orchestrator.engine.held import held  # noqa: PLC0415 - under an engine alone

            caller = after.enter_context(held(caller))
        lock = OutputLock.acquire(output) if os.path.isdir(output) else None
        try:
            try:
                preparation = _prepare(config, caller)
                if lock is None:
                    lock = _claim(output)
                    lock.is_new = not os.listdir(output)
                    if not lock.is_new:  # another run has been here since
                        preparation = _prepare(config, caller)
            except CheckpointError as error:
                if os.path.isdir(output) and not belongings.foreign_names(output):
                    lock = lock or OutputLock.acquire(output)
                    _record_refusal(config, lock, error, caller.listener)
                raise
            try:
                report = _drive(preparation, lock, caller)
            except InternalError:
                _follow(after, caller, preparation, None)
                raise
            if caller.epoch is not None:
                from fsm_orchestrator.engine.held import confirm_end  # noqa: PLC0415 - under an engine alone

                confirm_end(caller.epoch, report)
            _follow(after, caller, preparation, report)
        except OSError as error:
            if is_no_room(error):
                raise no_room(error) from error
            raise
        finally:
            if lock is not None:
                lock.release()
    return report


def _follow(
    after: contextlib.ExitStack,
    caller: Surroundings,
    preparation: Preparation,
    report: Report | None,
) -> None:
    """Have `on_ended` called once the directory of the run is free."""
    if caller.on_ended is not None:
        after.callback(caller.on_ended, preparation, report)


def _prepare(config: RunConfig, caller: Surroundings) -> Preparation:
    """Prepare the request; stop judging artifacts once the run is asked to end."""
    slow: list[SlowArtifact] = []

    def on_slow(path: str, elapsed_ms: int) -> None:
        slow.append(SlowArtifact(path, elapsed_ms))
        if caller.on_slow_artifact is not None:
            caller.on_slow_artifact(slow[0])

    judging = Judging(math.inf, on_slow, lambda: caller.interrupts.first)
    preparation = prepare(config, may_go_on=judging.may_go_on)
    if caller.epoch is not None:
        from fsm_orchestrator.preparation.in_epoch import refuse_artifacts  # noqa: PLC0415 - under an engine alone

        refuse_artifacts(preparation)
    return preparation._replace(slow_artifact=slow[0]) if slow else preparation


def _claim(output: Path) -> OutputLock:
    """Make the output directory and take its lock."""
    try:
        was_made = files.make_directory(output)
    except OSError as error:
        raise UsageError(
            f"the output directory {copyable(output)} cannot be made: {files.reason(error)}",
            remedy="name a directory that you may write to",
        ) from error
    lock = OutputLock.acquire(output)
    lock.is_named = was_made
    return lock


def _drive(preparation: Preparation, lock: OutputLock, caller: Surroundings) -> Report:
    runner = ProcessRunner(
        caller.interrupts, keepers=caller.keepers, code=caller.code, lease=caller.lent
    )
    is_recorded = False
    try:
        if preparation.may_spawn:
            runner.warm_up()  # the keeper starts while the rest is prepared
        preparation, caller, leftovers = _made_ready(preparation, lock, caller)
        report, is_recorded = _execute(preparation, lock, runner, caller, leftovers)
    finally:
        runner.close(is_recorded=is_recorded)
        if caller.hearing is not None:
            caller.hearing.close()
    return report


def _made_ready(
    preparation: Preparation, lock: OutputLock, caller: Surroundings
) -> tuple[Preparation, Surroundings, Leftovers]:
    """Prepare the directory for this run alone; also return its processes that were left alive."""
    output = preparation.config.output_path
    preparation = _at_home(preparation, lock)
    ended: dict[str, tuple[int, ...]] = {}
    failure: OperationError | None = None
    if preparation.leftovers and not preparation.is_copy:
        from fsm_orchestrator.engine.left_alive import end_left_alive  # noqa: PLC0415 - rare

        ended, failure = end_left_alive(preparation, lock)
    earlier = (
        () if lock.is_new else archive.present_files(output)
    )  # before the holder's file, which is this run's own
    try:
        lifecycle = preparation.checkpoint.lifecycle
        at_once = max(
            len(lifecycle.stages_in(place)) for place in (*lifecycle.places, lifecycle.initial)
        )
        require_room(caller.interrupts.fileno(), max(1, at_once))
        if lock.is_named:
            belongings.shield_from_git(lock)
        else:
            _sync_above(output)
        caller = _hearing(caller, lock)
        lock.write_holder(
            since=timestamp(preparation.clock.now()),
            run_id=preparation.checkpoint.run_id,
            held_by=caller.held_by,
            hears=None if caller.hearing is None else caller.hearing.hears,
        )
        if not lock.is_new:
            _remove_stale(lock)
        if preparation.archives and failure is not None:
            raise failure
        with files.recording(Operation.ARCHIVE_MOVE, output / ARCHIVE_DIRECTORY):
            if preparation.checkpoint.invocation.number == 1:
                if not lock.is_new and (earlier or os.path.isdir(output / ARCHIVE_DIRECTORY)):
                    from fsm_orchestrator.engine.archiving import archived_before  # noqa: PLC0415 - not in a new directory

                    preparation = archived_before(preparation, lock, earlier)
            elif archive.other_run_reported(output, preparation.checkpoint.run_id) is not None:
                archive.archive_report(lock)
    except OperationError as error:
        _record_refusal(preparation.config, lock, error, caller.listener)
        raise
    return preparation, caller, (ended, failure)


def _hearing(caller: Surroundings, lock: OutputLock) -> Surroundings:
    """Let a run inside another program receive requests to end: no signal can reach it alone."""
    if caller.held_by is HeldBy.COMMAND:
        return caller
    from fsm_orchestrator.engine.stop_hearing import StopHearing  # noqa: PLC0415 - not for the command

    hearing = StopHearing(lock)
    caller.interrupts.look_for(hearing.look)
    return caller._replace(hearing=hearing)


def _at_home(preparation: Preparation, home: OutputLock) -> Preparation:
    """Put into the record the directory that it belongs to now, and who is at work on it."""
    checkpoint, masker = preparation.checkpoint, preparation.masker
    before = checkpoint.home
    now = home_of(home.path, home.identity, masker, before.started_in, before.copied_from)
    earlier = () if preparation.is_copy else checkpoint.invocations[:-1]
    origin = origin_of(preparation.config.directory, preparation.clock, masker, earlier)
    is_held = run_of(home.path) != home.path
    begun = checkpoint.with_invocation(origin=origin, epoch=home.path.name if is_held else None)
    return preparation._replace(checkpoint=begun.model_copy(update={"home": now}))


def _remove_stale(home: OutputLock) -> None:
    """Remove the temporary files that a killed orchestrator left behind."""
    names = CHECKPOINT_FILE, REPORT_FILE, INVOCATIONS_FILE, STOP_FILE
    stale.remove_stale(home.path, *names, within=home)
    for name in (LOGS_DIRECTORY, EVIDENCE_DIRECTORY):
        with (
            contextlib.suppress(OSError),
            files.below(home, name, may_make=False) as place,
        ):
            stale.remove_stale(place.path, within=place)


def _sync_above(output: Path) -> None:
    """Sync the directory's own name: the run that made it may have been killed before doing so."""
    with (
        files.recording(Operation.LOCK_ACQUIRE, output),
        contextlib.suppress(PermissionError),  # the parent need not be readable
    ):
        files.sync_directory(output.parent)


def _execute(
    preparation: Preparation,
    lock: OutputLock,
    runner: ProcessRunner,
    caller: Surroundings,
    leftovers: Leftovers,
) -> tuple[Report, bool]:
    """Drive the invocation; return its report, and whether everything could be recorded."""
    # Loaded while the keeper starts: the machine and the log take about as long as it does.
    from fsm_orchestrator.engine.driver import Driver  # noqa: PLC0415
    from fsm_orchestrator.record.chain import Chain, genesis  # noqa: PLC0415
    from fsm_orchestrator.record.event_file import EventFile  # noqa: PLC0415
    from fsm_orchestrator.record.event_log import build_logger  # noqa: PLC0415
    from fsm_orchestrator.record.leaving import Leaving  # noqa: PLC0415

    known = preparation.checkpoint
    key = _key(preparation.config)
    chain = Chain(genesis(known.run_id_in(1), known.lifecycle.relation_sha256), key)
    last = known.last_event_seq, known.last_event_sha256
    events = EventFile(lock, chain, known.events, *last)
    leaving = Leaving(None if key is None else _left_file(preparation, events, lock, key), events)
    with contextlib.closing(events) as event_file:
        log = build_logger(preparation.clock, preparation.masker, event_file, caller.listener)
        driver = Driver(preparation, lock, caller, runner, log, event_file, leaving)
        try:
            report = driver.execute(*leftovers)
        except BaseException as error:
            if not isinstance(error, Exception) or is_foreign(error):
                with contextlib.suppress(Exception):  # the caller's exception goes first
                    driver.cut_short(error)
                raise
            driver.crash(error)
            said = preparation.masker.mask(f"{type(error).__name__}: {error}")
            raise InternalError(said, traceback_in=str(event_file.path)) from error
        finally:
            driver.close()
        return report, driver.is_recorded


def _key(config: RunConfig) -> RecordKey | None:
    """Return the key that authenticates the record; make the user's own key if there is none."""
    if config.state_key_file is None:
        return make_own_key(config.output_path)
    return shared_key(Path(config.absolute(config.state_key_file)))


def _left_file(
    preparation: Preparation, events: EventFile, home: OutputLock, key: RecordKey
) -> LeftFile:
    """Return the file that notes what is left in the directory, with its present state."""
    from fsm_orchestrator.record.left_file import Left, LeftFile  # noqa: PLC0415

    known, output = preparation.checkpoint, preparation.config.output_path
    private = None if known.private_ref is None else private_file.read(known.private_ref, output)
    seq = events.found_seq if events.failure is None else events.last_seq
    now = Left(
        run_id=known.run_id,
        boot=boot(),
        place=str(known.home.inode),
        seq=seq,
        head=events.head if seq else "",
        durable_seq=0 if known.events is None else min(known.events.last_seq, seq),
        checkpoint=preparation.found_sha256 or "",
        private="" if private is None else sha256_of(private),
    )
    if preparation.config.state_key_file is None or run_of(output) == output:
        return LeftFile(output, now)
    from fsm_orchestrator.record.left_beside import LeftBeside  # noqa: PLC0415 - under an engine alone

    return LeftFile(output, now, LeftBeside(home, key))


def _record_refusal(
    config: RunConfig, lock: OutputLock, error: OrchestratorError, listener: QuietListener | None
) -> None:
    from fsm_orchestrator.engine.start_failure import record_refusal  # noqa: PLC0415 - loads the log

    operation = Operation.CHECKPOINT_LOAD
    if isinstance(error, OperationError):
        operation = error.operation
    elif isinstance(error, TamperedError):
        operation = Operation.RECORD_VERIFY
    record_refusal(config, lock, operation, error, listener)
