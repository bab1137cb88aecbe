"""The settings of a stage, one row each: the only place that says what can be set.

Each row yields the option `--<stage>-…` with its help and completion, the key below
`[stage.<stage>]` in a config file, and the description in the JSON Schema. Loads no pydantic: the
command line is parsed before it is known whether pydantic is needed.
"""

from __future__ import annotations

from typing import Final

from fsm_orchestrator.constants import (
    ATTEMPTS_MAX,
    BYTES_MAX,
    DEFAULT_BACKOFF_MS,
    DEFAULT_BACKOFF_MS_MAX,
)
from fsm_orchestrator.model.confine_options import CONFINE_OPTIONS, USAGE_OPTIONS
from fsm_orchestrator.model.option_kinds import (
    GRACE_MILLISECONDS,
    MILLISECONDS,
    Backoff,
    Bounds,
    Choices,
    Kind,
    RetrySignal,
    StageOption,
)
from fsm_orchestrator.model.promises import OnUnmetered
from fsm_orchestrator.model.verify_options import VERIFY_OPTIONS
from fsm_orchestrator.text.units import Measure, exact_span

STAGE_OPTIONS: Final = (
    StageOption(
        "bin",
        Kind.FILE,
        help="Binary to run: a path, or a name looked up on PATH. Without it, the stage is passed"
        " over. On a resume, it replaces all settings of the stage.",
        description="The binary, a path or a name looked up on PATH; replaces all settings that"
        " were kept of the stage.",
    ),
    StageOption(
        "args",
        Kind.TEXT,
        named="arg",
        help="Argument, passed on unchanged; may begin with a dash. Repeatable, in order.",
        description=(
            "Its arguments in order, passed without a shell, instead of those that were kept."
        ),
        is_repeatable=True,
    ),
    StageOption(
        "env",
        Kind.PAIR,
        help="Environment variable. Repeatable; the last value of a key wins. No file in OUT has"
        " the values. Secrets belong in a `-secret` option.",
        description="Environment variables by name, added to the operator's; in a resume, also to"
        " those that were kept.",
        is_repeatable=True,
    ),
    StageOption(
        "env_inherit",
        Kind.TEXT,
        help="What the stage inherits from your environment: `all` (the default), `minimal` (PATH,"
        " HOME, LANG, TERM, TZ, USER and TMPDIR), or this variable. Repeatable.",
        description="What the stage inherits from the operator's environment: `all`, `minimal`"
        " (PATH, HOME, LANG, TERM, TZ, USER and TMPDIR), or the variables that are named; all"
        " unless given.",
        is_repeatable=True,
    ),
    StageOption(
        "secrets",
        Kind.NAME,
        named="secret",
        help="Environment variable whose value, taken from your environment, is masked in all that"
        " is written and kept nowhere. Repeatable. KEY=VALUE gives the value here, where other"
        " users of the machine can see it.",
        description="Names of environment variables whose values, taken from the operator's"
        " environment, are masked in all that is written and kept nowhere; in a resume, added to"
        " those that were declared.",
        is_repeatable=True,
    ),
    StageOption(
        "expected_artifacts",
        Kind.FILE,
        named="expected-artifact",
        help="File that the stage must write; a .json file must be strict JSON. Repeatable.",
        description="Files that the stage must write, instead of those that were kept; a .json must"
        " be strict JSON.",
        is_repeatable=True,
    ),
    StageOption(
        "allow_stale",
        Kind.FLAG,
        help="Accept expected artifacts that the attempt did not write.",
        description="Whether an expected artifact may be one that was there before and was not"
        " written again.",
    ),
    *VERIFY_OPTIONS,
    StageOption(
        "protect",
        Kind.FILE,
        help="File or directory that the stage must leave unchanged: compared with digests from"
        " before it. Repeatable.",
        description="Files and directories that the stage must leave unchanged, compared with"
        " digests from before it.",
        is_repeatable=True,
    ),
    StageOption(
        "inputs",
        Kind.FILE,
        named="input",
        help="File, directory or glob that the stage depends on: digested when it completes, and"
        " compared on a resume. Repeatable.",
        description="Files, directories and globs that the stage depends on: digested when it"
        " completes, and compared on a resume.",
        is_repeatable=True,
    ),
    StageOption(
        "input_program",
        Kind.FLAG,
        help="Count the program's own file as an input, too.",
        description="Whether the program's own file is one of its inputs.",
    ),
    StageOption(
        "timeout_ms",
        MILLISECONDS,
        measured="timeout",
        help="How long the stage may run (default: --timeout).",
        description="How long the stage may run, in milliseconds.",
    ),
    StageOption(
        "kill_grace_ms",
        GRACE_MILLISECONDS,
        measured="kill_grace",
        help="How long the stage may take to end after SIGTERM (default: --kill-grace).",
        description=(
            "How long the stage may take to end after SIGTERM before SIGKILL, in milliseconds."
        ),
    ),
    StageOption(
        "idle_timeout_ms",
        MILLISECONDS,
        measured="idle_timeout",
        help="How long the stage may print nothing (default: no limit).",
        description="How long the stage may print nothing, in milliseconds; no limit unless given.",
    ),
    StageOption(
        "slow_after_ms",
        MILLISECONDS,
        measured="slow_after",
        help="Warn each time the stage has run for this long, with its latest output.",
        description="How often the stage is reported as slow while it runs, in milliseconds; never"
        " unless given.",
    ),
    StageOption(
        "output_limit_bytes",
        Bounds(1, BYTES_MAX, "a whole number of bytes", "SIZE", Measure.BYTES),
        named="output-limit",
        measured="output_limit",
        help="How much the stage may print (default 2GiB).",
        description="How much the stage may print, stdout and stderr together, in bytes.",
    ),
    *USAGE_OPTIONS,
    StageOption(
        "max_attempts",
        Bounds(1, ATTEMPTS_MAX, "a whole number"),
        help="Number of attempts, including the first (default 1: no retry).",
        description="Number of attempts, including the first; 1 means no retry.",
        table="retry",
    ),
    StageOption(
        "exit_codes",
        Bounds(1, 255, "an exit code", "CODE"),
        named="retry-exit-code",
        help="Retry after this exit code. Repeatable. Name a signal in a `-retry-signal` option.",
        description=(
            "The exit codes after which the stage is retried; 128 + N stands for an end by signal N"
            " as well, which is better named in `killed_by`."
        ),
        table="retry",
        is_repeatable=True,
    ),
    StageOption(
        "killed_by",
        Choices(tuple(one.value for one in RetrySignal), "SIGNAL"),
        named="retry-signal",
        help="Retry after an end by this signal, such as SIGKILL; for a shell, after the exit code"
        " by which it reports one. Repeatable.",
        description=(
            "The signals after which the stage is retried, such as SIGKILL; for a shell, the exit"
            " codes by which it reports them (128 + N) count as well."
        ),
        table="retry",
        is_repeatable=True,
    ),
    StageOption(
        "timeouts",
        Kind.FLAG,
        named="retry-timeouts",
        help="Retry after a timeout as well.",
        description="Whether the stage is retried after a timeout.",
        table="retry",
    ),
    StageOption(
        "backoff",
        Choices(tuple(one.value for one in Backoff)),
        help="Wait before each retry: the same (fixed, the default) or doubled each time.",
        description="Whether the wait before each retry is the same, or doubles each time.",
        table="retry",
    ),
    StageOption(
        "backoff_ms",
        GRACE_MILLISECONDS,
        measured="backoff_wait",
        help=f"Wait before the first retry (default {exact_span(DEFAULT_BACKOFF_MS)}).",
        description="The wait before the first retry, in milliseconds.",
        table="retry",
    ),
    StageOption(
        "backoff_ms_max",
        GRACE_MILLISECONDS,
        measured="backoff_max",
        help=f"Longest wait (default {exact_span(DEFAULT_BACKOFF_MS_MAX)}).",
        description="The longest wait, in milliseconds.",
        table="retry",
    ),
    StageOption(
        "pin",
        Kind.FLAG,
        help="Fail the run if the program, or a file among its arguments, has changed since the run"
        " began.",
        description="Whether the run fails if the stage's program, or a file among its arguments,"
        " has changed since the run began.",
    ),
    *CONFINE_OPTIONS,
    StageOption(
        "on_unmetered",
        Choices(tuple(one.value for one in OnUnmetered)),
        help="Give the stage a meter (ORCHESTRATOR_METER), even if the run has no budget; and if it"
        " metered nothing: allow that, or fail the stage.",
        description="Gives the stage a meter, even if the run has no budget, and says what follows"
        " if it did its work and metered nothing: allow or fail.",
    ),
    StageOption(
        "task_queue",
        Kind.QUEUE,
        help="Task queue of the machines that the stage needs, where an engine runs it: the run"
        " is handed over to them before the stage (default: --task-queue). Without an engine it has"
        " no effect.",
        description="The task queue of the machines that the stage needs, where an engine runs it;"
        " without an engine it has no effect.",
    ),
    StageOption(
        "cwd",
        Kind.DIRECTORY,
        help="Working directory (default: the directory in which the run was started).",
        description="The stage's working directory.",
    ),
)

TABLES: Final = tuple(dict.fromkeys(one.table for one in STAGE_OPTIONS if one.table))
"""The tables below a stage's table."""
OPTION_OF_KEY: Final = {one.key: one for one in STAGE_OPTIONS}
"""The rows by key; no two tables have a key of the same name."""
_OF_RUN: Final = {"run_timeout": "run_timeout_ms", "total_timeout": "total_timeout_ms"}
"""The keys of the times that only a run has, by the keys that do not name the unit."""
RUN_TIME_OPTIONS: Final = tuple(
    f"--{name.replace('_', '-')}" for names in _OF_RUN.items() for name in names
)
"""The options for those times, which look like options of a stage."""
BOUNDS: Final = {
    **{one.key: one.kind for one in STAGE_OPTIONS if isinstance(one.kind, Bounds)},
    **dict.fromkeys(_OF_RUN.values(), MILLISECONDS),
}
"""The bounds of the settings that are numbers, by key."""
MEASURED_KEYS: Final = {
    **{one.measured: one.key for one in STAGE_OPTIONS if one.measured},
    **_OF_RUN,
}
"""The keys that name the unit, by the keys that do not."""
_OPTION_OF_PARAMETER: Final = {one.parameter(""): one for one in STAGE_OPTIONS}


def setting_named(parameter: str) -> tuple[StageOption, str] | None:
    """Return the setting and the stage that a parser's name stands for; None for other names."""
    name, separator, stage = parameter.partition("__")
    option = _OPTION_OF_PARAMETER.get(name + separator)
    return None if option is None else (option, stage)


def stage_of_option(option: str) -> str | None:
    """Return the stage to which an option would belong, if there were such a stage."""
    found = next((one for one in _SUFFIXES if option.endswith(one)), None)
    name = None if found is None else option.removesuffix(found).lstrip("-").replace("-", "_")
    return name or None


_SUFFIXES: Final = sorted(
    (f"-{suffix}" for one in STAGE_OPTIONS for suffix in one.suffixes), key=len, reverse=True
)
"""The suffixes of all options of a stage, the longest first."""
