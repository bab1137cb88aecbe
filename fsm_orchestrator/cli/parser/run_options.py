"""The options of `run` and `plan`, made for the stages of the chosen lifecycle.

Click is the parser: it passes a value that begins with a dash through to its option. Help is
grouped by what an option is about.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

import click

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
    Gate,
    LogFormat,
    LogLevel,
    OnChangedStage,
    OnLeak,
)

GATE_VALUES: Final = {
    Gate.POLICY: ("allow", "deny", "unknown"),
    Gate.CI: ("success", "pending", "failure", "missing"),
    Gate.REVIEW: ("approved", "changes_requested", "missing"),
}
"""As in gates.GATE_RULES, which would load pydantic: a test holds the two together."""


def run_options(stages: Sequence[str]) -> list[click.Parameter]:
    """OUT and every option of `run` and `plan`."""
    return [
        click.Argument(["output_directory"], metavar="OUT", type=Directory("OUT")),
        *_gate_options(),
        *(option for stage in stages for option in stage_options(stage)),
        *_run_control_options(stages),
    ]


def json_option() -> click.Parameter:
    """How the result is shown."""
    return Section(
        ["--json", "as_json"],
        section="Output",
        is_flag=True,
        help="Print the result as JSON instead of text for a person.",
    )


def earlier_run_option() -> click.Parameter:
    """Which run in OUT is meant, of the commands that look at one."""
    return Once(
        ["--run-id"],
        section="Run",
        type=EarlierRun(),
        help="An earlier run in OUT, moved to OUT/archive by a later one.",
    )


def output_options() -> list[click.Parameter]:
    """How the result and the log are shown."""
    return [
        json_option(),
        Once(
            ["--log-format"],
            section="Output",
            type=click.Choice([one.value for one in LogFormat]),
            help="The log on stderr: text for a person, JSON lines, or by whether stderr is a"
            " terminal (auto, the default).",
        ),
        Once(
            ["--log-level"],
            section="Output",
            type=click.Choice([one.value for one in LogLevel]),
            help="The least grave events to show on stderr (default info). The events file has"
            " all.",
        ),
        Section(
            ["--quiet"],
            section="Output",
            is_flag=True,
            help="Show nothing on stderr but errors, and no summary of a run that is done.",
        ),
        Section(
            ["--log-output"],
            section="Output",
            is_flag=True,
            help="Make each line that a stage prints an event of the log.",
        ),
    ]


def print_config_option() -> click.Parameter:
    """The option of `run` that runs nothing."""
    return Section(
        ["--print-config"],
        section="Output",
        is_flag=True,
        help="Print the config file that says the same as these options, secrets left out, and"
        " do nothing else.",
    )


def _gate_options() -> list[click.Parameter]:
    return [
        Once(
            [f"--{gate.value}-status", f"gate_{gate.value}"],
            section="Gates (all three must pass before anything runs)",
            type=click.Choice(values),
            help=f"Passes: {values[0]}. Not given: {values[-1]}.",
        )
        for gate, values in GATE_VALUES.items()
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
            help="Continue the run in OUT. What is not given is as it was.",
        ),
        Once(
            ["--on-changed-stage"],
            section=section,
            type=click.Choice([one.value for one in OnChangedStage]),
            help="When a completed stage's settings or artifacts are not what they were: refuse"
            " (the default), keep it as completed, or rerun it and all after it.",
        ),
        Section(
            ["--rerun"],
            section=section,
            multiple=True,
            type=StageName(stages),
            help="Run a completed stage, and all after it, again. Repeatable.",
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
            help="How long a stage may take to end after SIGTERM before SIGKILL (default"
            f" {DEFAULT_KILL_GRACE_MS}).",
        ),
        Once(
            ["--on-leak"],
            section=section,
            type=click.Choice([one.value for one in OnLeak]),
            help="A stage that exits and leaves processes running: warn (the default) or fail it."
            " They are ended in any case.",
        ),
        Once(
            ["--config"],
            section=section,
            type=FilePath("FILE"),
            help="A TOML file with any of these settings. A flag wins over it, but of two gate"
            " signals the tighter counts.",
        ),
        Once(
            ["--lifecycle"],
            section=section,
            type=LifecycleSource("NAME|PATH"),
            help=f"The declared state machine (default {DEFAULT_LIFECYCLE}).",
        ),
        Once(
            ["--run-id"],
            section=section,
            type=RunIdentifier(),
            help="The run's id (default: made from the time, unique).",
        ),
        Once(
            ["--fixed-clock"],
            section=section,
            type=Instant(),
            help="Let time stand still at ISO, for reports that are equal byte by byte.",
        ),
    ]
