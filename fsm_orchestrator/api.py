"""The Python interface, and the entry point of the command."""

from __future__ import annotations

import contextlib
import os
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from fsm_orchestrator.config.run_config import RunConfig
from fsm_orchestrator.constants import REPORT_FILE
from fsm_orchestrator.disk.where import record_of
from fsm_orchestrator.engine.invocation import run_invocation
from fsm_orchestrator.engine.surroundings import QuietListener, Surroundings
from fsm_orchestrator.processes.interrupts import Interrupts
from fsm_orchestrator.processes.observing import ANOTHERS, OwnCode
from fsm_orchestrator.record.report import Report
from fsm_orchestrator.vocabulary import HeldBy, StopReason

if TYPE_CHECKING:
    from collections.abc import Callable

    from fsm_orchestrator.disk.epochs import Epoch
    from fsm_orchestrator.inspection.overview import RunOverview
    from fsm_orchestrator.preparation.preparation import Preparation
    from fsm_orchestrator.processes.keeper_pool import KeeperPool
    from fsm_orchestrator.processes.lease import Lease
    from fsm_orchestrator.record.event_log import Listener
    from fsm_orchestrator.stages.judging import SlowArtifact
    from fsm_orchestrator.stages.last_words import OnWords
    from fsm_orchestrator.stages.meter import OnMetered


def run(  # noqa: PLR0913 - each is a separate means
    config: RunConfig,
    *,
    install_signal_handlers: bool = False,
    interrupts: Interrupts | None = None,
    listener: Listener | None = None,
    keepers: KeeperPool | None = None,
    lease: Lease | None = None,
    epoch: Epoch | None = None,
    task_queue: str | None = None,
) -> Report:
    """Run a lifecycle to its end (or resume the run, if `config.resume`), and return the report.

    Does what the command does; `report.exit_code` is what the command would exit with. A blocked,
    failed or timed-out run is a report, not an exception.

    Effects on the calling process: on Linux, it starts one child, the keeper, which starts the
    stages, ends and reaps all their descendants, and is gone when this function returns. Elsewhere,
    each stage is a child in its own session. With `config.telemetry`, it starts one more child,
    which exports what was done and ends on its own. Files that it opens are closed again. It prints
    nothing, never exits, changes neither the working directory nor the environment, does not make
    the calling process a subreaper, and leaves the process's logging alone. Where there is no
    keeper, SIGCHLD must not be ignored: the exit codes of the stages would be lost, and the stages
    count as failed.

    Args:
        config: what to run, and where.
        install_signal_handlers: end the run on SIGINT, SIGTERM, SIGHUP and SIGQUIT, as the command
            does; in the main thread only. The previous handlers are restored afterwards. If
            `interrupts` is given, it gets such a signal, and so do all the runs that have it.
        interrupts: ends the run from elsewhere: call its `deliver(signal.SIGTERM)`. One can be
            given to any number of runs, which then end together.
        listener: called with every event, a mapping as in orchestrator_events.jsonl. An exception
            that it raises changes nothing: it becomes a warning of the run, and the listener is not
            called again.
        keepers: lends the run a keeper and takes it back, for a program that makes many runs. The
            pool's idle keepers are children of the process until the pool is closed.
        lease: ends the run when it runs out, even while this process is stopped.
        epoch: the claim under which the run is held. `config.output_directory` is then the
            directory of the run, and the record is written into the epoch's own directory.
        task_queue: the queue that this process serves. A stage that needs another queue is not
            started: the invocation ends before it, and the run continues on that queue.

    Raises:
        UsageError: the request is wrong or refused; nothing was started, nothing written.
        BusyError: another orchestrator holds the directory; nothing was touched.
        FencedError: a later epoch holds the run.
        CheckpointError: there is no usable checkpoint to resume from; the report says so.
        OperationError: an earlier run could not be archived, or the lock could not be taken.
        RecordingError: a file of the run could not be written.
        InternalError: a bug; the log has its traceback.
        BaseException: whatever was raised while the run was at work: Ctrl-C, `SystemExit`, an error
            of a signal handler or from another thread. The run is then recorded as ended by it and
            can be resumed; nothing that it started is left running.
    """
    with contextlib.ExitStack() as stack:
        own = stack.enter_context(Interrupts() if interrupts is None else interrupts.of_one_run())
        if install_signal_handlers:
            stack.enter_context(own.installed(interrupts))
        quiet = None if listener is None else QuietListener(listener)
        held_by = HeldBy.LIBRARY if epoch is None else HeldBy.ENGINE
        caller = Surroundings(
            own, quiet, keepers, held_by, lease=lease, epoch=epoch, task_queue=task_queue
        )
        return run_invocation(config, followed(caller))


def run_as_command(  # noqa: PLR0913 - everything that a command may listen to
    config: RunConfig,
    interrupts: Interrupts,
    listener: Listener,
    on_words: OnWords | None = None,
    on_slow_artifact: Callable[[SlowArtifact], None] | None = None,
    code: OwnCode = ANOTHERS,
    on_metered: OnMetered | None = None,
    *,
    on_untold: Callable[[str], None] | None = None,
) -> Report:
    """Run as `run` does, in a process that is the command's own: a signal ends only this run."""
    quiet = QuietListener(listener)
    caller = Surroundings(
        interrupts,
        quiet,
        None,
        HeldBy.COMMAND,
        on_words,
        on_slow_artifact,
        code,
        on_metered,
    )
    return run_invocation(config, followed(caller, on_untold))


def followed(caller: Surroundings, on_untold: Callable[[str], None] | None = None) -> Surroundings:
    """Return the means of a run, with the work after its end: people are notified, old runs pruned.

    `on_untold` is called with a sentence for each notice that could not be delivered.
    """
    return caller._replace(on_ended=partial(_follow, caller, on_untold))


def _follow(
    caller: Surroundings,
    on_untold: Callable[[str], None] | None,
    preparation: Preparation,
    report: Report | None,
) -> None:
    """Do the work after the end of a run. It decides nothing, and loads only what was asked for.

    No notice is sent about a run that continues elsewhere: it has not ended.
    """
    if preparation.config.telemetry:
        from fsm_orchestrator.telemetry.handing import hand_over  # noqa: PLC0415 - only where asked for

        hand_over(preparation.config, report)
    keep = preparation.config.keep_archived
    reason = None if report is None else report.stop_reason
    is_drained = reason is StopReason.SHUTDOWN
    is_over = reason is None or not (reason.goes_on_elsewhere or is_drained)
    if preparation.checkpoint.notify and is_over:
        from fsm_orchestrator.notices.telling import tell_of  # noqa: PLC0415 - only with a notice

        for sentence in tell_of(preparation, report, caller):
            if on_untold is not None:
                on_untold(sentence)
    if keep is not None:
        from fsm_orchestrator.retention.trimming import trim  # noqa: PLC0415 - only where asked for

        trim(preparation.config.output_path, keep)


def resume(  # noqa: PLR0913 - as `run`
    config: RunConfig,
    *,
    install_signal_handlers: bool = False,
    interrupts: Interrupts | None = None,
    listener: Listener | None = None,
    keepers: KeeperPool | None = None,
    lease: Lease | None = None,
    epoch: Epoch | None = None,
    task_queue: str | None = None,
) -> Report:
    """Continue the run in `config.output_directory`: call `run` with `config.resume` set.

    Settings that `config` does not give stay as they were. Arguments and errors are those of `run`.
    """
    return run(
        config.model_copy(update={"resume": True, "resume_or_start": False}),
        install_signal_handlers=install_signal_handlers,
        interrupts=interrupts,
        listener=listener,
        keepers=keepers,
        lease=lease,
        epoch=epoch,
        task_queue=task_queue,
    )


def load_report(path: str | os.PathLike[str]) -> Report:
    """Read the report in an output directory, or the report file at a path.

    Raises:
        ReportError: there is no report, or it cannot be understood.
    """
    from fsm_orchestrator.record.report_reader import read_report  # noqa: PLC0415 - not for a run

    file = Path(path)
    if os.path.isdir(file):
        return read_report(record_of(file) / REPORT_FILE)
    return read_report(file, is_link_good=True)


def list_runs(*directories: str | os.PathLike[str]) -> tuple[RunOverview, ...]:
    """Return where runs stand, one row per run, for directories that are runs or contain runs.

    The runs in a directory are in the order of their names; without a directory, they are those of
    the current one. Only files are read, so this may be called while runs are at work. A run whose
    files cannot be read is a row that says why (`trouble`).

    Raises:
        ReportError: a directory cannot be read.
    """
    from fsm_orchestrator.errors import ReportError  # noqa: PLC0415 - not for a run
    from fsm_orchestrator.inspection.many_runs import ManyRuns, Place  # noqa: PLC0415 - likewise

    named = [os.fspath(one) for one in directories or (os.curdir,)]
    runs = ManyRuns([Place(one, Path(os.path.abspath(one))) for one in named])
    troubles = runs.look().troubles
    if troubles:
        raise ReportError("; ".join(troubles), remedy="name directories that you may read")
    return tuple(runs.rows.values())
