"""An invocation that has not begun: the pure half of a run.

`prepare` reads the output directory and the private file, refuses what must be refused, and returns
the record the run begins with. `plan` stops here; `run` continues. Resuming is decided in
resume.py.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING, NamedTuple

from fsm_orchestrator.clock import Clock, FixedClock, SystemClock, timestamp
from fsm_orchestrator.config.hidden_text import Hider, SecretReference, SecretValues
from fsm_orchestrator.config.origins import InputFile, InputKind, Origins, with_given
from fsm_orchestrator.config.run_config import RunConfig
from fsm_orchestrator.config.stage_record import StageRecord, record_of, secrets_of
from fsm_orchestrator.config.stage_settings import StageSettings
from fsm_orchestrator.constants import DEFAULT_KILL_GRACE_MS, __version__
from fsm_orchestrator.gates.judging import GateSignal, have_passed, judge
from fsm_orchestrator.lifecycle import reading
from fsm_orchestrator.lifecycle.model import Lifecycle, State
from fsm_orchestrator.model.gate_rules import GateRules
from fsm_orchestrator.model.invocation import GateDecision, InvocationRecord
from fsm_orchestrator.model.limits import Limits
from fsm_orchestrator.model.open_attempt import AttemptRecord
from fsm_orchestrator.model.retry_policy import RetryPolicy
from fsm_orchestrator.preparation.precedence import (
    Level,
    limits_in_force,
    resolved_limits,
    resolved_queue,
    retry_in_force,
)
from fsm_orchestrator.record.checkpoint import Checkpoint
from fsm_orchestrator.secrets.masking import Masker
from fsm_orchestrator.secrets.private_file import PrivateFile
from fsm_orchestrator.vocabulary import ExecutionMode, StateKind, Trigger

if TYPE_CHECKING:
    from fsm_orchestrator.gates.sources.base import SourceModel
    from fsm_orchestrator.preparation.changes import Change
    from fsm_orchestrator.stages.judging import SlowArtifact


class Preparation(NamedTuple):
    """An invocation that has not begun.

    Attributes:
        checkpoint: the record to begin with; its last invocation is this one.
        masker: the masker of secrets, for everything that is written.
        output_masker: the masker of secrets and settings, for what stages print.
        found: the record that it continues from, as it was found; None for a new run.
        found_sha256: the digest of its checkpoint's bytes; likewise.
        settings: settings of every stage that has a binary, exact where the stage is to run.
        first_trigger: the first fact; None when a done run is resumed and nothing is to happen.
        leftovers: attempts whose end nobody saw; their remaining processes are ended first.
        private: the content that the private file must have; None when the run needs none.
        archives: True if an earlier run's files are moved aside first.
        is_copy: True if the record may be a copy; its processes are then left alone.
        kept_changes: how each completed stage differs that is skipped all the same.
        slow_artifact: the artifact that was judged when all this had taken long.
        moved: how the subject of the run has changed; None if it has not, or nobody looked.
    """

    config: RunConfig
    clock: Clock
    masker: Masker
    output_masker: Masker
    checkpoint: Checkpoint
    settings: Mapping[str, StageSettings]
    first_trigger: Trigger | None
    leftovers: tuple[AttemptRecord, ...] = ()
    private: PrivateFile | None = None
    archives: bool = False
    is_copy: bool = False
    kept_changes: Mapping[str, tuple[Change, ...]] = MappingProxyType({})
    found: Checkpoint | None = None
    found_sha256: str | None = None
    slow_artifact: SlowArtifact | None = None
    moved: str | None = None

    def given_paths_of(self, stage: str) -> Mapping[str, str]:
        """Return by path how each relative path of a stage was given."""
        from fsm_orchestrator.config.given_paths import given_paths  # noqa: PLC0415 - for a failure

        return given_paths(self.config, stage, self.settings[stage])

    def limits_of(self, stage: str) -> Limits:
        """Return the limits of a stage."""
        return limits_in_force(self.checkpoint, stage, self.settings[stage])

    def has_default_timeout(self, stage: str) -> bool:
        """Return whether nobody has set how long the stage may run."""
        found = resolved_limits(self.checkpoint, stage, self.settings[stage])
        return found["timeout_ms"].level is Level.DEFAULT

    def retry_of(self, stage: str) -> RetryPolicy:
        """Return the retry policy of a stage."""
        return retry_in_force(self.checkpoint, stage, self.settings[stage])

    def task_queue_of(self, stage: str) -> str | None:
        """Return the task queue of the machines that a stage needs, or None if any will do."""
        found = resolved_queue(
            self.checkpoint.lifecycle, self.checkpoint.task_queue, stage, self.settings[stage]
        )
        queue: str | None = found.value
        return queue

    @property
    def kept_contents(self) -> frozenset[tuple[str, str]]:
        """The artifacts with other bytes that are kept on purpose: their names and new digests."""
        changes = (one for kept in self.kept_changes.values() for one in kept if one.is_of_content)
        return frozenset((one.key, one.new or "") for one in changes)

    @property
    def may_spawn(self) -> bool:
        """True if a stage will be started. Only a hint: the driver judges the gates."""
        is_complete, lifecycle = self.checkpoint.completion_of, self.checkpoint.lifecycle
        has_work = any(is_complete(stage) is None for stage in self.settings)
        do_pass = have_passed(self.expected_decisions, lifecycle.gates_before_stages)
        return self.first_trigger is not None and has_work and do_pass

    @property
    def expected_decisions(self) -> tuple[GateDecision, ...]:
        """The decisions of the gates if every source passes: none is asked."""
        states = self.checkpoint.lifecycle.state
        return self.decisions_in(*(one for one in states if one.kind is StateKind.GATE))

    def decisions_in(self, *states: State) -> tuple[GateDecision, ...]:
        """Return the decisions of the gates in gate states, if every source passes."""
        checkpoint = self.checkpoint
        if not (checkpoint.sources or checkpoint.lifecycle.demands_of_signals or self.moved):
            return judge(checkpoint.lifecycle.gates, checkpoint.gate_signals)
        from fsm_orchestrator.preparation.asked_about import expected_in  # noqa: PLC0415 - rare

        return expected_in(states, checkpoint, self.moved)

    @property
    def kill_grace_ms(self) -> int:
        """The time, in milliseconds, that leftovers of attempts have to end after SIGTERM."""
        kept = self.checkpoint.kill_grace_ms
        return DEFAULT_KILL_GRACE_MS if kept is None else kept


def expected_decisions(
    rules: GateRules, signals: Iterable[GateSignal], sources: Mapping[str, SourceModel]
) -> tuple[GateDecision, ...]:
    """Judge the gates as if every source passed, without asking any."""
    if not sources:
        return judge(rules, signals)
    from fsm_orchestrator.preparation.asked_about import expected  # noqa: PLC0415 - rare

    return expected(rules, signals, sources)


def with_known_gates(config: RunConfig, lifecycle: Lifecycle) -> RunConfig:
    """Return a configuration that names only gates that the lifecycle has.

    Raises:
        UsageError: it names another one, or a value that a gate does not know.
    """
    if not config.has_other_gates:
        return config
    from fsm_orchestrator.config.gates_given import settled_gates  # noqa: PLC0415 - rare

    return settled_gates(config, lifecycle)


def new_invocation(
    number: int,
    mode: ExecutionMode,
    clock: Clock,
    *,
    warnings: tuple[str, ...] = (),
    rerun: tuple[str, ...] = (),
) -> InvocationRecord:
    """Return the record of an invocation that has done nothing yet."""
    return InvocationRecord(
        number=number,
        execution_mode=mode,
        version=__version__,
        origin=None,
        started_at=timestamp(clock.now()),
        finished_at=None,
        exit_code=None,
        gate_decisions=(),
        transitions=(),
        stage_executions=(),
        containment=None,
        passed_over=(),
        rerun=rerun,
        rebuilt=None,
        accepted=None,
        warnings=warnings,
        used=None,
        repeats=None,
    )


def clock_of(config: RunConfig) -> Clock:
    """Return the clock of an invocation."""
    return SystemClock() if config.fixed_clock is None else FixedClock(config.fixed_clock)


def secret_values(settings: Mapping[str, StageSettings]) -> SecretValues:
    """Return the known values of the secrets that stages are given."""
    return {
        SecretReference(stage=stage, key=key): value
        for stage, one in settings.items()
        for key, value in one.secrets.items()
        if value is not None
    }


def output_masker(masker: Masker, *known: Mapping[str, StageSettings]) -> Masker:
    """Return a masker for what stages print, for all values that any stage is or was given."""
    return masker.with_settings(
        value
        for settings in known
        for one in settings.values()
        for value in one.env.values()
        if value is not None
    )


def private_of(
    settings: Mapping[str, StageSettings],
    kept: PrivateFile | None,
    run_id: str,
    config: RunConfig,
) -> PrivateFile:
    """Return the content that the private file must have; a kept comparison key stays.

    Secrets that were kept once are kept until the run is done.
    """
    keeps = config.keep_secrets or (kept is not None and kept.keeps_secrets)
    return PrivateFile(
        run_id=run_id,
        digest_key=_digest_key(config, run_id) if kept is None else kept.digest_key,
        keeps_secrets=keeps,
        stages=secrets_of(settings, with_secrets=keeps),
    )


def _digest_key(config: RunConfig, run_id: str) -> str:
    """Return a new key for comparing values: all who share the record's key have the same one."""
    if config.state_key_file is None:
        return os.urandom(32).hex()
    from fsm_orchestrator.secrets.state_key import shared_key  # noqa: PLC0415 - rare

    key = shared_key(Path(config.absolute(config.state_key_file)))
    return key.derived(f"digests of values of {run_id}")


def recorded(
    settings: Mapping[str, StageSettings], hider: Hider, kept: Mapping[str, StageRecord]
) -> dict[str, StageRecord]:
    """Return the settings as the checkpoint keeps them."""
    return {stage: record_of(stage, one, hider, kept.get(stage)) for stage, one in settings.items()}


def secret_keys(records: Mapping[str, StageRecord]) -> tuple[str, ...]:
    """Return the names of the secrets that any stage is given, each once."""
    return tuple(dict.fromkeys(key for one in records.values() for key in one.secret_digests))


def origins_of(
    config: RunConfig,
    kept: Origins,
    invocation: int,
    stages: tuple[Mapping[str, StageSettings], Mapping[str, StageSettings]],
) -> Origins:
    """Return where the settings of an invocation come from.

    `stages` are the exact settings that were kept, and the current ones.

    Raises:
        LifecycleError: the lifecycle file has disappeared in the meantime.
    """
    files = []
    given = config.config_file
    for kind, found in (
        (InputKind.CONFIG, None if given is None else (given.path, given.sha256)),
        (InputKind.LIFECYCLE, _lifecycle_file(config)),
    ):
        if found is not None:
            path, sha256 = found
            files.append(
                InputFile(
                    kind=kind,
                    path=path,
                    sha256=sha256,
                    directory=config.directory,
                    invocation=invocation,
                )
            )
    before, now = stages
    since = {
        stage: kept.stages_since.get(stage, invocation)
        if stage in before and _work_of(before[stage]) == _work_of(one)
        else invocation
        for stage, one in now.items()
    }
    return with_given(
        kept,
        invocation,
        config.model_dump(mode="json", exclude_none=True),
        () if given is None else given.keys,
        tuple(files),
    ).model_copy(update={"stages_since": since})


def _work_of(settings: StageSettings) -> tuple[object, ...]:
    """Return what a stage does, as compared once it has completed: without limits."""
    return (
        *(settings.command, settings.args, settings.cwd, settings.env, settings.artifact_paths),
        *(settings.contracts, settings.protect, settings.inputs, settings.input_program),
    )


def _lifecycle_file(config: RunConfig) -> tuple[str, str] | None:
    if config.lifecycle is None:
        return None
    return reading.given_file(config.lifecycle, Path(config.directory))


def new_run_id(clock: Clock) -> str:
    """Return an id that is unique and sorts by time."""
    at = clock.now().isoformat(timespec="microseconds").replace("+00:00", "Z")
    return f"{at.replace('-', '').replace(':', '')}-{os.urandom(4).hex()}"
