"""The options of `run` and `plan`, built for the stages of the chosen lifecycle.

Click passes a value that begins with a dash on to its option. The help groups options by subject.
"""

from __future__ import annotations

from collections.abc import Sequence

import click

from fsm_orchestrator.cli.parser.names import gate_parameter
from fsm_orchestrator.cli.parser.parameters import (
    Directory,
    FilePath,
    Instant,
    LifecycleSource,
    NonEmpty,
    Once,
    RunIdentifier,
    Section,
    StageName,
    Whole,
    Word,
    one_of,
    parameter_type,
)
from fsm_orchestrator.cli.parser.parts import (
    budget_options,
    keep_archived_option,
    task_queue_option,
)
from fsm_orchestrator.constants import DEFAULT_KILL_GRACE_MS, DEFAULT_LIFECYCLE, DEFAULT_TIMEOUT_MS
from fsm_orchestrator.lifecycle.source import Declared
from fsm_orchestrator.model.gate_rules import MANDATORY_RULES, GateRule
from fsm_orchestrator.model.option_kinds import GRACE_MILLISECONDS, MILLISECONDS, Kind, StageOption
from fsm_orchestrator.model.stage_options import STAGE_OPTIONS
from fsm_orchestrator.text.phrases import option_prefix, signal_option
from fsm_orchestrator.text.units import exact_span
from fsm_orchestrator.vocabulary import LogFormat, LogLevel, OnChangedStage, OnLeak


def run_options(declared: Declared) -> list[click.Parameter]:
    """Return every option of `run` and `plan` that concerns the run."""
    return [
        *_gate_options(declared.gates),
        *(option for stage in declared.stages for option in stage_options(stage)),
        *_subject_options(),
        *_history_options(declared.stages),
        *_run_control_options(),
    ]


def output_options() -> list[click.Parameter]:
    """Return the options for what is shown in addition to the result."""
    section = "Output"
    return [
        Once(
            section,
            "--log-format",
            type=one_of(LogFormat),
            help="Format of the log on stderr: text, json (a line an event), or auto (the default):"
            " live on a terminal, text elsewhere. FSM_ORCHESTRATOR_LOG_FORMAT sets it as well.",
        ),
        Once(
            section,
            "--log-level",
            type=one_of(LogLevel),
            help="Least severe events to show on stderr (default info). The events file has all.",
        ),
        Section(
            section,
            "--quiet",
            is_flag=True,
            help="Show only errors on stderr, and no summary of a run that may be closed.",
        ),
        Section(
            section,
            "--log-output",
            is_flag=True,
            help="Log each line that a stage prints as an event.",
        ),
        Section(
            section,
            "--telemetry",
            is_flag=True,
            help="Send each invocation to OpenTelemetry once it has ended: to"
            " OTEL_EXPORTER_OTLP_ENDPOINT, or http://localhost:4318.",
        ),
        Section(
            section,
            "--ci",
            is_flag=True,
            help="Under GitHub Actions, add a step summary, log groups and annotations.",
        ),
    ]


def _gate_options(own: Sequence[GateRule]) -> list[click.Parameter]:
    mandatory, rules = "Gates (all three must pass before anything runs)", MANDATORY_RULES.values()
    return [
        *(_gate_option(mandatory, rule) for rule in rules),
        *(
            _gate_option("Gates of this lifecycle (done needs them too)", rule, rule.title)
            for rule in own
        ),
    ]


def _gate_option(section: str, rule: GateRule, title: str = "") -> click.Parameter:
    return Once(
        section,
        (signal_option(rule.name), gate_parameter(rule.name)),
        type=Word(rule.values),
        help=f"{title and f'{title}. '}Passes: {rule.passing}. Not given: {rule.default}.",
    )


def _subject_options() -> list[click.Parameter]:
    section = "Run"
    return [
        Once(
            section,
            "--subject-git",
            type=Directory("DIR"),
            help="What the run is about: the commit of the git work tree that DIR is in, or a"
            " digest of its files where they differ from it. Evidence has to name it.",
        ),
        Section(
            section,
            "--subject-file",
            multiple=True,
            type=FilePath("PATH"),
            help="A file that the run is about, by its SHA-256. Repeatable.",
        ),
        Once(
            section,
            "--requester",
            type=NonEmpty("PRINCIPAL"),
            help="Who asks for approvals, such as ann@example.org: nobody approves what they have"
            " asked for.",
        ),
    ]


def stage_options(stage: str) -> list[click.Parameter]:
    """Return the options of one stage, one for each setting."""
    return [_stage_option(one, stage) for one in STAGE_OPTIONS]


def _stage_option(row: StageOption, stage: str) -> click.Parameter:
    section = f"Stage {stage}"
    names = (*(f"{option_prefix(stage)}-{one}" for one in row.suffixes), row.parameter(stage))
    if row.kind is Kind.FLAG:
        return Section(section, names, is_flag=True, default=None, help=row.help)
    kind, metavar = parameter_type(row.kind), row.kind.metavar or None
    if row.is_repeatable:
        return Section(section, names, multiple=True, type=kind, metavar=metavar, help=row.help)
    return Once(section, names, type=kind, metavar=metavar, help=row.help)


def _history_options(stages: Sequence[str]) -> list[click.Parameter]:
    """Return the options for a resume."""
    section = "Run"
    return [
        Section(
            section,
            "--resume",
            is_flag=True,
            help="Continue the run in OUT. Settings that are not given stay as they were.",
        ),
        Section(
            section,
            "--resume-or-start",
            is_flag=True,
            help="Continue the run in OUT if it is not done, else start a new one: for jobs that"
            " are started again and again.",
        ),
        Once(
            section,
            "--on-changed-stage",
            type=one_of(OnChangedStage),
            help="If a completed stage's settings or artifacts (their bytes) have changed: refuse"
            " (the default), keep it as completed, or rerun it and all stages after it. A run with"
            " a changed artifact that was kept may not be closed.",
        ),
        Section(
            section,
            "--keep-secrets",
            is_flag=True,
            help="Store the values of secrets for a resume, in a private file outside OUT, until"
            " the run is done. Otherwise each command takes them from its environment.",
        ),
        *_record_options(section),
        Section(
            section,
            "--rerun",
            multiple=True,
            type=StageName(stages),
            help="Rerun a completed stage and all stages after it. Repeatable.",
        ),
        Section(
            section,
            "--reverify",
            is_flag=True,
            help="Verify again the work of the stage that failed only in its verification, instead"
            " of running it again. Its artifacts must be unchanged.",
        ),
        *_unrun_options(section, stages),
        *_place_options(section),
    ]


def _record_options(section: str) -> list[click.Parameter]:
    """Return the options for proving the record that a run has left."""
    return [
        Once(
            section,
            "--accept-record",
            type=NonEmpty("DIGEST"),
            help="Continue from a record that is not, or is not known to be, the one that was left"
            " here. A refusal or warning prints its digest; the record says that it was accepted.",
        ),
        Once(
            section,
            "--state-key-file",
            type=FilePath("FILE"),
            help="A file of mode 0600 with the key that records are proved by, for those who share"
            " runs; default: the user's own key, in the private state.",
        ),
    ]


def _unrun_options(section: str, stages: Sequence[str]) -> list[click.Parameter]:
    """Return the options for closing a run in which not every stage was run."""
    return [
        Section(
            section,
            "--allow-empty",
            is_flag=True,
            help="Let the run be closed although stages were passed over for lack of a binary, or"
            " nothing was run at all.",
        ),
        Section(
            section,
            ("--skip-stage", "skip_stages"),
            multiple=True,
            type=StageName(stages),
            help="Let the run be closed without this stage, which has no binary. Repeatable.",
        ),
    ]


def _place_options(section: str) -> list[click.Parameter]:
    """Return the options for a run directory that was moved or copied."""
    return [
        Section(
            section,
            "--as-copy",
            is_flag=True,
            help="Continue a copy of a run's directory as a separate run, with a new id. The"
            " private data of the original is not copied.",
        ),
        Section(
            section,
            "--adopt",
            is_flag=True,
            help="Continue a run whose directory came from another machine, or out of a backup,"
            " under its own id. With --accept-record.",
        ),
    ]


def _run_control_options() -> list[click.Parameter]:
    section = "Run"
    return [
        Once(
            section,
            ("--timeout", "--timeout-ms", "timeout_ms"),
            type=Whole(MILLISECONDS),
            help="How long each stage may run: 90s, 10m, 1h30m, or a number of milliseconds"
            f" (default {exact_span(DEFAULT_TIMEOUT_MS)}).",
        ),
        Once(
            section,
            ("--kill-grace", "--kill-grace-ms", "kill_grace_ms"),
            type=Whole(GRACE_MILLISECONDS),
            help="How long each stage may take to end after SIGTERM before SIGKILL"
            f" (default {exact_span(DEFAULT_KILL_GRACE_MS)}).",
        ),
        *budget_options(section),
        Once(
            section,
            "--on-leak",
            type=one_of(OnLeak),
            help="If a stage exits and leaves processes running: warn (the default) or fail the"
            " stage. The processes are ended either way.",
        ),
        keep_archived_option(section),
        task_queue_option(section),
        Once(
            section,
            "--config",
            type=FilePath("FILE"),
            help="TOML file with any of these settings. Options override it, but of two gate"
            " signals the stricter counts.",
        ),
        Once(
            section,
            "--lifecycle",
            type=LifecycleSource("NAME|PATH"),
            help=f"Lifecycle to run: built-in or a file (default {DEFAULT_LIFECYCLE}).",
        ),
        Once(
            section,
            "--run-id",
            type=RunIdentifier(),
            help="Id of the run (default: unique, made from the time).",
        ),
        Once(
            section,
            "--fixed-clock",
            type=Instant(),
            help="Stop the clock at ISO, so that equal runs give equal reports, byte for byte.",
        ),
    ]
