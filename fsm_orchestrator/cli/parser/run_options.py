"""The options of `run` and `plan`, made for the stages of the chosen lifecycle.

Click passes a value that begins with a dash on to its option. The help groups options by subject.
"""

from __future__ import annotations

from collections.abc import Sequence

import click

from fsm_orchestrator.cli.parser.names import GATE_PARAMETERS
from fsm_orchestrator.cli.parser.parameters import (
    Directory,
    EarlierRun,
    FilePath,
    Instant,
    LifecycleSource,
    Once,
    RunIdentifier,
    Section,
    StageName,
    Whole,
    parameter_type,
)
from fsm_orchestrator.gates.rules import GATE_RULES
from fsm_orchestrator.model.stage_options import (
    GRACE_MILLISECONDS,
    MILLISECONDS,
    STAGE_OPTIONS,
    Kind,
    StageOption,
)
from fsm_orchestrator.text.phrases import option_prefix
from fsm_orchestrator.vocabulary import (
    DEFAULT_KILL_GRACE_MS,
    DEFAULT_LIFECYCLE,
    DEFAULT_TIMEOUT_MS,
    LogFormat,
    LogLevel,
    OnChangedStage,
    OnLeak,
)


def run_options(stages: Sequence[str]) -> list[click.Parameter]:
    """Return OUT and every option of `run` and `plan`."""
    return [
        click.Argument(["output_directory"], metavar="OUT", type=Directory("OUT")),
        *_gate_options(),
        *(option for stage in stages for option in stage_options(stage)),
        *_run_control_options(stages),
    ]


def json_option() -> click.Parameter:
    """Return the option that prints the result for programs."""
    return Section(
        ["--json", "as_json"],
        section="Output",
        is_flag=True,
        help="Print the result as JSON instead of text.",
    )


def earlier_run_option() -> click.Parameter:
    """Return the option that selects a run in OUT, for the commands that look at one."""
    return Once(
        ["--run-id"],
        section="Run",
        type=EarlierRun(),
        help="An earlier run in OUT, which a later one moved to OUT/archive.",
    )


def output_options() -> list[click.Parameter]:
    """Return the options for the format of the result and the log."""
    return [
        json_option(),
        Once(
            ["--log-format"],
            section="Output",
            type=click.Choice([one.value for one in LogFormat]),
            help="Format of the log on stderr: text, JSON lines, or by whether stderr is a terminal"
            " (auto, the default).",
        ),
        Once(
            ["--log-level"],
            section="Output",
            type=click.Choice([one.value for one in LogLevel]),
            help="Least severe events to show on stderr (default info). The events file has all.",
        ),
        Section(
            ["--quiet"],
            section="Output",
            is_flag=True,
            help="Show only errors on stderr, and no summary of a run that is done.",
        ),
        Section(
            ["--log-output"],
            section="Output",
            is_flag=True,
            help="Log each line that a stage prints as an event.",
        ),
    ]


def print_config_option() -> click.Parameter:
    """Return the option of `run` that runs nothing."""
    return Section(
        ["--print-config"],
        section="Output",
        is_flag=True,
        help="Print these options as a config file, without secrets, and do nothing else.",
    )


def _gate_options() -> list[click.Parameter]:
    return [
        Once(
            [f"--{gate.value}-status", parameter],
            section="Gates (all three must pass before anything runs)",
            type=click.Choice(GATE_RULES[gate].values),
            help=f"Passes: {GATE_RULES[gate].passing}. Not given: {GATE_RULES[gate].default}.",
        )
        for parameter, gate in GATE_PARAMETERS.items()
    ]


def stage_options(stage: str) -> list[click.Parameter]:
    """Return the options of one stage, one for each setting."""
    return [_stage_option(one, stage) for one in STAGE_OPTIONS]


def _stage_option(row: StageOption, stage: str) -> click.Parameter:
    names = [f"{option_prefix(stage)}-{row.suffix}", row.parameter(stage)]
    section = f"Stage {stage}"
    if row.kind is Kind.FLAG:
        return Section(names, section=section, is_flag=True, default=None, help=row.help)
    kind, metavar = parameter_type(row.kind, row.metavar), row.metavar or None
    if row.is_repeatable:
        return Section(
            names, section=section, multiple=True, type=kind, metavar=metavar, help=row.help
        )
    return Once(names, section=section, type=kind, metavar=metavar, help=row.help)


def _run_control_options(stages: Sequence[str]) -> list[click.Parameter]:
    section = "Run"
    return [
        Section(
            ["--resume"],
            section=section,
            is_flag=True,
            help="Continue the run in OUT. Settings that are not given stay as they were.",
        ),
        Once(
            ["--on-changed-stage"],
            section=section,
            type=click.Choice([one.value for one in OnChangedStage]),
            help="If a completed stage's settings or artifacts have changed: refuse (the default),"
            " keep it as completed, or rerun it and all stages after it.",
        ),
        Section(
            ["--rerun"],
            section=section,
            multiple=True,
            type=StageName(stages),
            help="Rerun a completed stage and all stages after it. Repeatable.",
        ),
        Once(
            ["--timeout-ms"],
            section=section,
            type=Whole(MILLISECONDS),
            metavar="N",
            help=f"How long each stage may run, in milliseconds (default {DEFAULT_TIMEOUT_MS}).",
        ),
        Once(
            ["--kill-grace-ms"],
            section=section,
            type=Whole(GRACE_MILLISECONDS),
            metavar="N",
            help="How long each stage may take to end after SIGTERM before SIGKILL, in"
            f" milliseconds (default {DEFAULT_KILL_GRACE_MS}).",
        ),
        Once(
            ["--on-leak"],
            section=section,
            type=click.Choice([one.value for one in OnLeak]),
            help="If a stage exits and leaves processes running: warn (the default) or fail the"
            " stage. The processes are ended either way.",
        ),
        Once(
            ["--config"],
            section=section,
            type=FilePath("FILE"),
            help="TOML file with any of these settings. Options override it, but of two gate"
            " signals the stricter counts.",
        ),
        Once(
            ["--lifecycle"],
            section=section,
            type=LifecycleSource("NAME|PATH"),
            help=f"Lifecycle to run: built-in or a file (default {DEFAULT_LIFECYCLE}).",
        ),
        Once(
            ["--run-id"],
            section=section,
            type=RunIdentifier(),
            help="Id of the run (default: unique, made from the time).",
        ),
        Once(
            ["--fixed-clock"],
            section=section,
            type=Instant(),
            help="Stop the clock at ISO, so that equal runs give equal reports, byte for byte.",
        ),
    ]
