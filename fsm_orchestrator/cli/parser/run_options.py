"""The options of `run` and `plan`, made for the stages of the chosen lifecycle.

Click is the parser: it passes a value that begins with a dash through to its option. Help is
grouped by what an option is about.
"""

from __future__ import annotations

from collections.abc import Sequence

import click

from fsm_orchestrator.cli.parser.parameters import (
    Directory,
    EarlierRun,
    EnvironmentPair,
    FilePath,
    Instant,
    LifecycleSource,
    Once,
    RunIdentifier,
    Section,
    StageName,
    Whole,
)
from fsm_orchestrator.gates.rules import GATE_RULES
from fsm_orchestrator.text.phrases import option_prefix
from fsm_orchestrator.vocabulary import (
    ATTEMPTS_MAX,
    BYTES_MAX,
    DEFAULT_KILL_GRACE_MS,
    DEFAULT_LIFECYCLE,
    DEFAULT_OUTPUT_LIMIT_BYTES,
    DEFAULT_TIMEOUT_MS,
    Backoff,
    LogFormat,
    LogLevel,
    OnChangedStage,
    OnLeak,
)


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
            type=click.Choice(rule.values),
            help=f"Passes: {rule.passing}. Not given: {rule.default}.",
        )
        for gate, rule in GATE_RULES.items()
    ]


def stage_options(stage: str) -> list[click.Parameter]:
    """The options of one stage. Parameter names end in the stage's field, see run_config.py."""
    prefix, section = option_prefix(stage), f"Stage {stage}"

    def name(field: str) -> str:
        return f"stage_{field}__{stage}"

    return [
        Once(
            [f"{prefix}-bin", name("bin")],
            section=section,
            type=FilePath("PATH"),
            help="The program: a path, or a name found on PATH. Without it the stage is passed"
            " over. On a resume it declares the stage anew, arguments and all.",
        ),
        Section(
            [f"{prefix}-arg", name("args")],
            section=section,
            multiple=True,
            metavar="VALUE",
            help="An argument, passed as it is; may begin with a dash. Repeatable, in order.",
        ),
        Section(
            [f"{prefix}-env", name("env")],
            section=section,
            multiple=True,
            type=EnvironmentPair(),
            help="An environment variable. Repeatable, the last of a key wins. Values are in no"
            " file of OUT.",
        ),
        Section(
            [f"{prefix}-expected-artifact", name("expected_artifacts")],
            section=section,
            multiple=True,
            type=FilePath("PATH"),
            help="A file the stage must write; `.json` must be strict JSON. Repeatable.",
        ),
        Section(
            [f"{prefix}-allow-stale", name("allow_stale")],
            section=section,
            is_flag=True,
            default=None,
            help="Accept an expected artifact that this attempt did not write.",
        ),
        Once(
            [f"{prefix}-timeout-ms", name("timeout_ms")],
            section=section,
            type=Whole(1),
            metavar="N",
            help="How long it may run; else --timeout-ms.",
        ),
        Once(
            [f"{prefix}-kill-grace-ms", name("kill_grace_ms")],
            section=section,
            type=Whole(0),
            metavar="N",
            help="How long it may take to end after SIGTERM; else --kill-grace-ms.",
        ),
        Once(
            [f"{prefix}-idle-timeout-ms", name("idle_timeout_ms")],
            section=section,
            type=Whole(1),
            metavar="N",
            help="How long it may print nothing (default: as long as it runs).",
        ),
        Once(
            [f"{prefix}-slow-after-ms", name("slow_after_ms")],
            section=section,
            type=Whole(1),
            metavar="N",
            help="Warn each time it has run for so long, with what it printed last.",
        ),
        Once(
            [f"{prefix}-output-limit", name("output_limit_bytes")],
            section=section,
            type=Whole(1, BYTES_MAX, "bytes"),
            metavar="BYTES",
            help=f"How much it may print (default {DEFAULT_OUTPUT_LIMIT_BYTES}, 2 GiB).",
        ),
        Once(
            [f"{prefix}-max-attempts", name("retry_max_attempts")],
            section=section,
            type=Whole(1, ATTEMPTS_MAX, "attempts"),
            metavar="N",
            help="How many attempts it has, the first included (default 1: no retry).",
        ),
        Section(
            [f"{prefix}-retry-exit-code", name("retry_exit_codes")],
            section=section,
            multiple=True,
            type=Whole(1, 255, "an exit code"),
            metavar="CODE",
            help="Try again after this exit code. Repeatable.",
        ),
        Section(
            [f"{prefix}-retry-timeouts", name("retry_timeouts")],
            section=section,
            is_flag=True,
            default=None,
            help="Try again after a timeout, too.",
        ),
        Once(
            [f"{prefix}-backoff", name("retry_backoff")],
            section=section,
            type=click.Choice([one.value for one in Backoff]),
            help="The wait before each retry: the same (fixed, the default) or doubled each time.",
        ),
        Once(
            [f"{prefix}-backoff-ms", name("retry_backoff_ms")],
            section=section,
            type=Whole(0),
            metavar="N",
            help="The wait before the first retry (default 1000).",
        ),
        Once(
            [f"{prefix}-backoff-ms-max", name("retry_backoff_ms_max")],
            section=section,
            type=Whole(0),
            metavar="N",
            help="The longest wait (default 60000).",
        ),
        Once(
            [f"{prefix}-cwd", name("cwd")],
            section=section,
            type=Directory("DIR"),
            help="Where it runs; else the directory the run was started in.",
        ),
    ]


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
            type=Whole(1),
            metavar="N",
            help=f"How long each stage may run, in milliseconds (default {DEFAULT_TIMEOUT_MS}).",
        ),
        Once(
            ["--kill-grace-ms"],
            section=section,
            type=Whole(0),
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
