"""What an invocation would do, decided before anything is written: the pure half of a run.

`prepare` reads the output directory and the private file, refuses what must be refused, and
returns the record the run begins with. `plan` stops here; `run` goes on. Resuming is decided in
resumption.py.
"""

from __future__ import annotations

import errno
import os
import secrets
from collections.abc import Mapping
from pathlib import Path
from typing import Final, NamedTuple

from fsm_orchestrator.clock import Clock, FixedClock, SystemClock, timestamp
from fsm_orchestrator.config.run_config import RunConfig
from fsm_orchestrator.config.stage_settings import (
    StageRecord,
    StageSettings,
    given_settings,
    record_of,
    secrets_of,
)
from fsm_orchestrator.disk import archive
from fsm_orchestrator.errors import CheckpointError, UsageError
from fsm_orchestrator.gates.judging import GATE_RULES, signals_in_force
from fsm_orchestrator.lifecycle import reading
from fsm_orchestrator.model.execution import AttemptRecord, InvocationRecord
from fsm_orchestrator.model.limits import DEFAULT_LIMITS, GivenLimits, limits_in
from fsm_orchestrator.model.retry_policy import DEFAULT_RETRY, RetryPolicy
from fsm_orchestrator.processes.runner import Limits
from fsm_orchestrator.record.checkpoint import Checkpoint
from fsm_orchestrator.secrets import private_file
from fsm_orchestrator.secrets.masking import Masker
from fsm_orchestrator.secrets.private_file import PrivateState
from fsm_orchestrator.vocabulary import (
    CHECKPOINT_FILE,
    DEFAULT_KILL_GRACE_MS,
    DEFAULT_LIFECYCLE,
    PRODUCT,
    ExecutionMode,
    GatesGuard,
    OnChangedStage,
    OnLeak,
    Trigger,
    __version__,
)

OUR_VARIABLES: Final = "ORCHESTRATOR_"
NO_RECORD: Final = frozenset({errno.EISDIR, errno.EINVAL, errno.EFBIG})
"""What is said of a directory, of what is no regular file, and of one that is too large."""


class Preparation(NamedTuple):
    """An invocation that has not begun.

    Attributes:
        checkpoint: the record to begin with; its last invocation is this one.
        settings: exact settings of every stage that has a binary.
        entry: the first fact; None when a done run is resumed and nothing is to happen.
        leftover: an attempt whose end nobody saw; what is left of it is ended first.
        private: what the private file must hold; None when the run has no secrets.
        archives: whether an earlier run's files are moved aside first.
    """

    config: RunConfig
    clock: Clock
    masker: Masker
    checkpoint: Checkpoint
    settings: Mapping[str, StageSettings]
    entry: Trigger | None
    leftover: AttemptRecord | None = None
    private: PrivateState | None = None
    archives: bool = False

    def limits_of(self, stage: str) -> Limits:
        """What a stage may take: its own setting, the run's, the lifecycle's, the default."""
        return limits_in_force(self.checkpoint, stage, self.settings[stage])

    def retry_of(self, stage: str) -> RetryPolicy:
        """When a stage is tried again: its own settings, the lifecycle's, the default (never)."""
        declared = self.checkpoint.lifecycle.states[stage].retry
        return self.settings[stage].retry.over(declared).over(DEFAULT_RETRY)

    @property
    def may_spawn(self) -> bool:
        """Whether a stage will be started, as far as can be told. A hint: it admits to nothing."""
        has_work = any(self.checkpoint.completion_of(stage) is None for stage in self.settings)
        guards_stages = self.checkpoint.lifecycle.gates_guard is GatesGuard.STAGES
        signals = self.checkpoint.gate_signals
        do_pass = all(one.status == GATE_RULES[one.gate].passing for one in signals)
        return self.entry is not None and has_work and (do_pass or not guards_stages)

    @property
    def kill_grace_ms(self) -> int:
        """How long what an interrupted attempt left may take to end after SIGTERM."""
        kept = self.checkpoint.kill_grace_ms
        return DEFAULT_KILL_GRACE_MS if kept is None else kept


def limits_in_force(checkpoint: Checkpoint, stage: str, settings: StageSettings) -> Limits:
    """What a stage may take: its own setting, the run's, the lifecycle's, the default."""
    of_run = GivenLimits(timeout_ms=checkpoint.timeout_ms, kill_grace_ms=checkpoint.kill_grace_ms)
    of_lifecycle = limits_in(checkpoint.lifecycle.states[stage])
    chosen = settings.limits.over(of_run).over(of_lifecycle).over(DEFAULT_LIMITS)
    return Limits(**chosen._asdict())


def prepare_run(config: RunConfig, *, mode: ExecutionMode = ExecutionMode.RUN) -> Preparation:
    """Decide on a new run. Writes nothing.

    `mode` is what the operator asked for: a resume of nothing begins like a run.

    Raises:
        UsageError: the request is wrong or refused.
    """
    _check_output_directory(config.output_path)
    if config.rerun or config.on_changed_stage is not OnChangedStage.REFUSE:
        option = "--rerun" if config.rerun else "--on-changed-stage"
        raise UsageError(
            f"{option} speaks of completed stages, and a new run has none",
            remedy="add --resume to continue the run in this directory",
        )
    clock = clock_of(config)
    declared = reading.find(config.lifecycle or DEFAULT_LIFECYCLE, Path(config.directory))
    settings = given_settings(config, declared, {})
    masker = masker_of(settings)
    private = private_of(settings, None, _run_id(config, clock))
    run_id = private.run_id
    checkpoint = Checkpoint(
        schema_version=1,
        product=PRODUCT,
        version=__version__,
        run_id=run_id,
        private_ref=private_file.new_private_ref() if private.stages else None,
        current_state=declared.initial,
        lifecycle_sha256=declared.sha256,
        lifecycle=declared,
        gate_signals=signals_in_force(config.gates, sources=config.gate_sources),
        timeout_ms=config.timeout_ms,
        kill_grace_ms=config.kill_grace_ms,
        on_leak=config.on_leak or OnLeak.WARN,
        stages=recorded(settings, masker, private, {}),
        completions=(),
        open_attempt=None,
        invocations=(new_invocation(1, mode, clock, warnings=setting_warnings(settings)),),
    )
    return Preparation(
        config=config,
        clock=clock,
        masker=masker,
        checkpoint=checkpoint,
        settings=settings,
        entry=Trigger.START,
        leftover=_leftover(config.output_path),
        private=private if private.stages else None,
        archives=bool(archive.present_files(config.output_path)),
    )


def new_invocation(
    number: int,
    mode: ExecutionMode,
    clock: Clock,
    *,
    warnings: tuple[str, ...] = (),
    rerun: tuple[str, ...] = (),
) -> InvocationRecord:
    """The record of an invocation that has done nothing yet."""
    return InvocationRecord(
        number=number,
        execution_mode=mode,
        version=__version__,
        started_at=timestamp(clock.now()),
        finished_at=None,
        exit_code=None,
        gate_decisions=(),
        transitions=(),
        stage_executions=(),
        containment=None,
        passed_over=(),
        rerun=rerun,
        warnings=warnings,
    )


def clock_of(config: RunConfig) -> Clock:
    """The clock an invocation runs by."""
    return SystemClock() if config.fixed_clock is None else FixedClock(config.fixed_clock)


def masker_of(*known: Mapping[str, StageSettings]) -> Masker:
    """Masks every environment value that is known."""
    return Masker(
        value
        for settings in known
        for one in settings.values()
        for value in one.env.values()
        if value is not None
    )


def private_of(
    settings: Mapping[str, StageSettings], kept: PrivateState | None, run_id: str
) -> PrivateState:
    """What the private file must hold; a kept comparison key stays."""
    key = private_file.new_digest_key().hex() if kept is None else kept.digest_key
    return PrivateState(run_id=run_id, digest_key=key, stages=secrets_of(settings))


def recorded(
    settings: Mapping[str, StageSettings],
    masker: Masker,
    private: PrivateState,
    kept: Mapping[str, StageRecord],
) -> dict[str, StageRecord]:
    """The settings as the checkpoint keeps them."""
    return {
        stage: record_of(one, masker, private.digest_key_bytes, kept.get(stage))
        for stage, one in settings.items()
    }


def setting_warnings(settings: Mapping[str, StageSettings]) -> tuple[str, ...]:
    """What is allowed but probably not meant."""
    return tuple(
        f"stage {stage!r}: {key} is set by {PRODUCT} itself; the given value is not used"
        for stage, one in settings.items()
        for key in one.env
        if key.startswith(OUR_VARIABLES)
    )


def _check_output_directory(output: Path) -> None:
    if os.path.isdir(output):
        return
    if not (os.path.islink(output) or os.path.exists(output)):
        above = next(parent for parent in output.parents if os.path.exists(parent))
        if not os.path.isdir(above):
            raise UsageError(
                f"the output directory {output} cannot be made: {above} is a file",
                remedy="name a path where a directory can be made",
            )
        return
    what = "a file" if os.path.exists(output) else "a link to nothing"
    raise UsageError(
        f"the output directory {output} is {what}",
        remedy="name a directory, or a path where one can be made",
    )


def _run_id(config: RunConfig, clock: Clock) -> str:
    """The given id if it is free, else a new one: unique, and sorting by time."""
    if config.run_id is None:
        return new_run_id(clock)
    output = config.output_path
    taken = archive.archived_run_ids(output) | {archive.earlier_run_id(output)}
    if config.run_id in taken:
        raise UsageError(
            f"the run id {config.run_id!r} is taken: an earlier run in {output} has it",
            remedy="give another --run-id, or none",
        )
    return config.run_id


def new_run_id(clock: Clock) -> str:
    """An id that is unique and sorts by time."""
    at = clock.now().isoformat(timespec="microseconds").replace("+00:00", "Z")
    return f"{at.replace('-', '').replace(':', '')}-{secrets.token_hex(4)}"


def _leftover(output: Path) -> AttemptRecord | None:
    """The attempt that an earlier run in this directory left open, if that can be known.

    Raises:
        CheckpointError: there is a file that cannot be read now; it may name a process.
    """
    try:
        os.lstat(output / CHECKPOINT_FILE)
    except FileNotFoundError:
        return None
    except OSError:
        pass  # told in words below
    from fsm_orchestrator.record import checkpoint_reader  # noqa: PLC0415 - not for a new directory

    try:
        return checkpoint_reader.load(output).open_attempt
    except CheckpointError as error:
        cause = error.__cause__
        if isinstance(cause, OSError) and cause.errno not in NO_RECORD:
            raise
        return None
