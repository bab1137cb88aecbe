"""Submit a run: write its request beside the run, and start the workflow that sees to it.

The request is a config file of mode 0600 in the run's directory, which workers read: values of
settings are in it, and secrets by name alone. The workflow is told where it is.
"""

from __future__ import annotations

import contextlib
import os
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Final, NamedTuple

from fsm_orchestrator.clock import SystemClock, timestamp
from fsm_orchestrator.config import config_file, config_reading
from fsm_orchestrator.config.config_text import config_text
from fsm_orchestrator.config.file_texts import named_lifecycle
from fsm_orchestrator.config.run_config import RunConfig
from fsm_orchestrator.config.stage_settings import guessed_secrets
from fsm_orchestrator.disk import belongings, files
from fsm_orchestrator.disk.epochs import epochs_of
from fsm_orchestrator.errors import UsageError
from fsm_orchestrator.preparation.preparation import clock_of, new_run_id, with_known_gates
from fsm_orchestrator.secrets.masking import Masker
from fsm_orchestrator.temporal.attributes import are_known
from fsm_orchestrator.temporal.connecting import ASK_SECONDS, Server, refused
from fsm_orchestrator.temporal.request_file import (
    REQUEST_FILE,
    directory_of,
    run_id_of,
    submitted_run_id,
)
from fsm_orchestrator.temporal.shapes import MEMO, WORKFLOW, RunSpec, Stand
from fsm_orchestrator.text.hidden import copyable
from fsm_orchestrator.text.phrases import described, option_prefix, suggestion
from fsm_orchestrator.vocabulary import OnChangedStage

if TYPE_CHECKING:
    from temporalio.client import Client

    from fsm_orchestrator.lifecycle.model import Lifecycle

TASK_QUEUE: Final = "fsm-orchestrator"
"""The queue of runs and workers that name none."""


class Wish(NamedTuple):
    """What the engine is to do about a run, as far as options say it; see `RunSpec`."""

    heartbeat_seconds: float = 30.0
    attempts: int = 20
    retries: int = 0
    retry_seconds: float = 10.0
    wait_seconds: float | None = None


class Submission(NamedTuple):
    """A run that may be submitted.

    Attributes:
        text: its request, as a config file.
        is_begun: whether it goes on with a run that was submitted before.
    """

    spec: RunSpec
    text: str
    is_begun: bool


def submission_of(config: RunConfig, wish: Wish) -> Submission:
    """Return what is to be submitted. Writes nothing, and asks nobody.

    Raises:
        UsageError: the request is wrong, or its directory holds a run already.
    """
    run_directory = Path(os.path.abspath(config.output_path))
    if config.resume:
        return _of_one_begun(config, run_directory, wish)
    _refuse_options(config)
    lifecycle = named_lifecycle(config)
    _refuse_unknown_stages(config, lifecycle)
    _refuse_taken(run_directory)
    run_id = config.run_id or new_run_id(clock_of(config))
    asked = with_known_gates(config, lifecycle).model_copy(
        update={"run_id": run_id, "task_queue": _queue_of(config)}
    )
    spec = _spec(run_directory, run_id, config, lifecycle, wish)
    _refuse_secret_places(config, spec)
    return Submission(spec, config_text(asked, config.directory), is_begun=False)


def _of_one_begun(config: RunConfig, run_directory: Path, wish: Wish) -> Submission:
    """Return a submission that goes on with a run that was submitted before.

    Raises:
        UsageError: there is none, or something else is asked of it.
    """
    run_id = run_id_of(run_directory)
    if config.stages or config.gates or config.lifecycle or config.run_id not in {None, run_id}:
        raise UsageError(
            f"the run in {copyable(str(run_directory))} goes on as it was asked for",
            remedy="leave the settings out; give signals with fsm-orchestrator temporal signal",
        )
    path = run_directory / REQUEST_FILE
    read = config_reading.load(path, str(path))
    typed = RunConfig(
        output_directory=str(run_directory), directory=directory_of(read.content, str(path))
    )
    before = config_file.with_file(typed, read.content, str(path), read.sha256)
    spec = _spec(run_directory, run_id, before, named_lifecycle(before), wish)
    return Submission(spec, "", is_begun=True)


def _spec(
    run_directory: Path, run_id: str, config: RunConfig, lifecycle: Lifecycle, wish: Wish
) -> RunSpec:
    return RunSpec(
        run_id=run_id,
        run_directory=str(run_directory),
        request=str(run_directory / REQUEST_FILE),
        task_queue=_queue_of(config),
        gates={gate: list(rule.values) for gate, rule in lifecycle.gates.items()},
        first_number=_next_number(run_directory),
        **wish._asdict(),
    )


async def submit(client: Client, server: Server, submission: Submission) -> RunSpec:
    """Write the request, and start the workflow; return what it was started with.

    Raises:
        UsageError: a run of this id was submitted before, or the request cannot be written.
        CommandError: the server cannot be reached, or refuses.
    """
    from temporalio.common import WorkflowIDConflictPolicy, WorkflowIDReusePolicy  # noqa: PLC0415 - of the extra
    from temporalio.exceptions import WorkflowAlreadyStartedError  # noqa: PLC0415 - as above
    from temporalio.service import RPCError  # noqa: PLC0415 - as above

    spec = RunSpec(**{**vars(submission.spec), "has_attributes": await are_known(client)})
    written = _written(Path(spec.request), submission)
    policy = WorkflowIDReusePolicy.REJECT_DUPLICATE
    if submission.is_begun:
        policy = WorkflowIDReusePolicy.ALLOW_DUPLICATE
    stand = Stand(
        run_id=spec.run_id,
        run_directory=spec.run_directory,
        task_queue=spec.task_queue,
        number=spec.first_number - 1,
        since=timestamp(SystemClock().now()),
    )
    try:
        await client.start_workflow(
            WORKFLOW,
            spec,
            id=spec.run_id,
            task_queue=spec.task_queue,
            id_reuse_policy=policy,
            id_conflict_policy=WorkflowIDConflictPolicy.FAIL,
            memo={MEMO: stand},
            rpc_timeout=timedelta(seconds=ASK_SECONDS),
            static_summary=spec.run_directory,
        )
    except WorkflowAlreadyStartedError:
        _take_back(written)
        raise UsageError(
            f"a run {spec.run_id} was submitted before, to {server.namespace} of {server.address}",
            remedy="give another --run-id, or none; or go on with it: temporal signal OUT --resume",
        ) from None
    except RPCError as error:
        _take_back(written)
        raise refused(server, error) from None
    return spec


# -- what is refused --------------------------------------------------------------------------


def _refuse_options(config: RunConfig) -> None:
    """Refuse what only the machine of a run can be asked for, and values that would be written.

    Raises:
        UsageError: there is such an option.
    """
    given = {
        "--state-key-file": config.state_key_file is not None,
        "--accept-record": config.accept_record is not None,
        "--as-copy": config.as_copy,
        "--adopt": config.adopt,
        "--resume-or-start": config.resume_or_start,
        "--on-changed-stage": config.on_changed_stage is not OnChangedStage.REFUSE,
        "--reverify": bool(config.reverify),
        "--rerun": bool(config.rerun),
    }
    for option, is_given in given.items():
        if is_given:
            remedy = "leave it out"
            if option == "--state-key-file":
                remedy = "give it to the workers: temporal worker --state-key-file FILE"
            raise UsageError(f"{option} cannot be given to a run that is submitted", remedy=remedy)
    for stage, settings in config.stages.items():
        prefix = option_prefix(stage)
        named = [key for key, value in (settings.secrets or {}).items() if value is not None]
        for key in (*named, *guessed_secrets(settings)):
            raise UsageError(
                f"the value of the secret {copyable(key)} of stage {stage} is given, and would have"
                " to be written into a file (not shown)",
                remedy=f"set it in the environment of the workers, and name it: {prefix}-secret"
                f" {copyable(key)}",
            )


def _refuse_unknown_stages(config: RunConfig, lifecycle: Lifecycle) -> None:
    for stage in config.stages:
        if stage not in lifecycle.stages:
            raise UsageError(
                f"the lifecycle {lifecycle.name!r} has no stage {described(stage)}"
                f"{suggestion(stage, lifecycle.stages)}",
                remedy=f"its stages are {', '.join(lifecycle.stages)}",
            )


def _refuse_secret_places(config: RunConfig, spec: RunSpec) -> None:
    """Refuse names and paths that hold a secret: a history keeps them in plain text.

    Raises:
        UsageError: there is one.
    """
    masker = Masker(config.known_secrets())
    told = (spec.run_id, spec.run_directory, config.directory, spec.task_queue)
    if any(map(masker.hides, told)):
        raise UsageError(
            "a name or path of the run holds a secret (not shown), and would be kept by the server",
            remedy="rename it, or give the secret another value",
        )


def _refuse_taken(run_directory: Path) -> None:
    """Refuse a directory in which there is a run.

    Raises:
        UsageError: there is one, or it is no directory.
    """
    if os.path.lexists(run_directory) and not os.path.isdir(run_directory):
        raise UsageError(
            f"{copyable(str(run_directory))} is not a directory", remedy="name another one"
        )
    has_record = any(os.path.lexists(run_directory / name) for name in belongings.RUN_FILES)
    if has_record or epochs_of(run_directory) or submitted_run_id(run_directory) is not None:
        where = copyable(str(run_directory))
        raise UsageError(
            f"{where} holds a run already",
            remedy="name another directory; to go on with a run that was submitted there:"
            f" fsm-orchestrator temporal signal {where} --resume",
        )


def _queue_of(config: RunConfig) -> str:
    return config.task_queue or TASK_QUEUE


def _next_number(run_directory: Path) -> int:
    names = epochs_of(run_directory)
    return int(names[-1].partition(".")[0]) + 1 if names else 1


# -- what is written --------------------------------------------------------------------------


def _written(path: Path, submission: Submission) -> list[Path]:
    """Write the request; return what was made for it, to be taken back."""
    if submission.is_begun:
        return []
    made = [] if path.parent.is_dir() else [path.parent]
    try:
        files.make_directory(path.parent)
        files.replace_file(path, submission.text.encode(), mode=0o600)
    except OSError as error:
        raise UsageError(
            f"cannot write {copyable(str(path))}: {files.reason(error)}",
            remedy="name a directory that can be written, and that all workers reach",
        ) from error
    return [path, *made]


def _take_back(written: list[Path]) -> None:
    for path in written:
        with contextlib.suppress(OSError):
            path.rmdir() if path.is_dir() else path.unlink()
