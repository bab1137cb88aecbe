"""The settings of a stage, one row each: the one place that says what there is to set.

From a row come the option `--<stage>-…` with its help and completion, the key below
`[stage.<stage>]` of a config file, and the description in the JSON Schema. Loads no pydantic: the
command line is parsed before it is known to be needed.
"""

from __future__ import annotations

from enum import StrEnum
from typing import Final, NamedTuple, TypeAlias

from fsm_orchestrator.constants import (
    ATTEMPTS_MAX,
    BYTES_MAX,
    DEFAULT_BACKOFF_MS,
    DEFAULT_BACKOFF_MS_MAX,
    MILLISECONDS_MAX,
    PROCESSES_MAX,
    SECONDS_MAX,
)
from fsm_orchestrator.text.hidden import quoted
from fsm_orchestrator.text.units import Measure, exact_span, is_bare, measured
from fsm_orchestrator.vocabulary import Backoff, SignalReach


class Bounds(NamedTuple):
    """The whole numbers that a setting may have, and what they count."""

    least: int
    most: int
    noun: str
    metavar: str = "N"
    measure: Measure | None = None

    @property
    def text(self) -> str:
        """`a whole number of bytes from 1 to 100`."""
        return f"{self.noun} from {self.least} to {self.most}"

    def read(self, text: str) -> int:
        """Return the number that a text stands for, with a unit where people write one.

        Raises:
            ValueError: it is none, or not within the bounds; the message quotes what was read.
        """
        if self.measure is None and not is_bare(text):
            raise ValueError(f"{quoted(text)} is not {self.text}")
        value = int(text) if self.measure is None else measured(text, self.measure)
        if self.least <= value <= self.most:
            return value
        means = "is" if is_bare(text) else f"is {value},"
        raise ValueError(f"{quoted(text)} {means} not {self.text}")


class Choices(NamedTuple):
    """The words that a setting may be."""

    words: tuple[str, ...]
    metavar: str = ""


class Kind(StrEnum):
    """The type of a setting that is neither a number nor one of some words; its metavar."""

    FLAG = ""
    TEXT = "VALUE"
    FILE = "PATH"
    DIRECTORY = "DIR"
    PAIR = "KEY=VALUE"
    PORT = "PORT"
    NAME = "KEY"

    @property
    def metavar(self) -> str:
        """What stands for the value in the help."""
        return self.value


ALL_PORTS: Final = "any"
NO_PORTS: Final = "none"
PORT_WORDS: Final = (ALL_PORTS, NO_PORTS)
"""The words that a list of ports may be instead."""

INHERIT_ALL: Final = "all"
INHERIT_MINIMAL: Final = "minimal"
INHERITED_WORDS: Final = (INHERIT_ALL, INHERIT_MINIMAL)
"""The words that a list of inherited variables may be instead."""

ValueKind: TypeAlias = Kind | Choices | Bounds


class StageOption(NamedTuple):
    """A setting of a stage.

    Attributes:
        key: its key in a config file.
        kind: what it may be.
        help: what the help of `run` says of it.
        description: what the JSON Schema says of it.
        table: the table below the stage's that has the key; empty for the stage's own.
        named: what follows `--<stage>-`, where it is not the key.
        measured: of a number with a unit, the key that does not name the unit.
        is_repeatable: whether it is a list, of which each option gives one.
    """

    key: str
    kind: ValueKind
    help: str
    description: str
    table: str = ""
    named: str = ""
    measured: str = ""
    is_repeatable: bool = False

    @property
    def suffix(self) -> str:
        """What follows `--<stage>-`."""
        return self.named or self.key.replace("_", "-")

    @property
    def suffixes(self) -> tuple[str, ...]:
        """All that may follow `--<stage>-`: the name without the unit first."""
        both = (self.measured.replace("_", "-"), self.suffix)
        return tuple(dict.fromkeys(name for name in both if name))

    @property
    def path(self) -> tuple[str, ...]:
        """The keys that lead to it from the stage's table."""
        return (self.table, self.key) if self.table else (self.key,)

    def parameter(self, stage: str) -> str:
        """Return the parser's name for this setting of a stage; `setting_named` reads it."""
        return f"stage_{'_'.join(self.path)}__{stage}"


MILLISECONDS: Final = Bounds(
    1, MILLISECONDS_MAX, "a whole number of milliseconds", "DURATION", Measure.MILLISECONDS
)
GRACE_MILLISECONDS: Final = MILLISECONDS._replace(least=0)

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
        help="Argument, passed on as it is; may begin with a dash. Repeatable, in order.",
        description=(
            "Its arguments in order, passed without a shell, instead of those that were kept."
        ),
        is_repeatable=True,
    ),
    StageOption(
        "env",
        Kind.PAIR,
        help="Environment variable. Repeatable; the last value of a key wins. No file in OUT has"
        " the values. What is secret belongs in a `-secret` option.",
        description="Environment variables by name, added to the operator's; in a resume, also to"
        " those that were kept.",
        is_repeatable=True,
    ),
    StageOption(
        "env_inherit",
        Kind.TEXT,
        help="What the stage inherits of your environment: `all` (the default), `minimal` (PATH,"
        " HOME, LANG, TERM, TZ, USER and TMPDIR), or this variable. Repeatable.",
        description="What the stage inherits of the operator's environment: `all`, `minimal` (PATH,"
        " HOME, LANG, TERM, TZ, USER and TMPDIR), or the variables that are named; all unless"
        " given.",
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
    StageOption(
        "memory_bytes_max",
        Bounds(1, BYTES_MAX, "a whole number of bytes", "SIZE", Measure.BYTES),
        named="memory-bytes-max",
        measured="memory_max",
        help="How much memory of their own all processes of the stage may have together, sampled"
        " (default: no limit).",
        description="How much resident memory of their own all processes of the stage may have"
        " together, in bytes, as sampled while it runs; no limit unless given.",
    ),
    StageOption(
        "processes_max",
        Bounds(1, PROCESSES_MAX, "a whole number of processes"),
        help="How many processes the stage may have at once, sampled (default: no limit).",
        description="How many processes the stage may have at once, as sampled while it runs; no"
        " limit unless given.",
    ),
    StageOption(
        "cpu_seconds_max",
        Bounds(1, SECONDS_MAX, "a whole number of seconds", "SECONDS"),
        help="How much processor time all processes of the stage may use together, sampled"
        " (default: no limit).",
        description="How much processor time all processes of the stage may use together, in"
        " seconds, as sampled while it runs; no limit unless given.",
    ),
    StageOption(
        "file_bytes_max",
        Bounds(1, BYTES_MAX, "a whole number of bytes", "SIZE", Measure.BYTES),
        named="file-bytes-max",
        measured="file_max",
        help="How large a file may be that the stage writes: RLIMIT_FSIZE (default: no limit).",
        description="How large a file may be that the stage writes, in bytes, by RLIMIT_FSIZE; no"
        " limit unless given.",
    ),
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
        help="Retry after this exit code; 128 + N is signal N: 137 is SIGKILL. Repeatable.",
        description=(
            "The exit codes after which the stage is retried; 128 + N stands for an end by signal N"
            " as well, such as 137 for SIGKILL."
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
        "write",
        Kind.FILE,
        named="writable",
        help="Confine the stage: it may write to this file or directory, to where its expected"
        " artifacts are, and to a temporary directory of its own, and nowhere else. Repeatable.",
        description="The files and directories that the stage may write to, beside the directories"
        " of its expected artifacts and a temporary directory of its own.",
        table="confine",
        is_repeatable=True,
    ),
    StageOption(
        "read",
        Kind.FILE,
        named="readable",
        help="Confine the stage: it may read and execute this file or directory, what the system"
        " needs, and what it may write, and nothing else. Repeatable.",
        description="The files and directories that the stage may read and execute, beside those of"
        " the system and those that it may write to; everything unless given.",
        table="confine",
        is_repeatable=True,
    ),
    StageOption(
        "connect",
        Kind.PORT,
        help="Confine the stage: it may connect to this TCP port and use no other network; `none`"
        " for none, `any` (the default) for all. Repeatable.",
        description="The TCP ports that the stage may connect to, `none` or `any`; unless `any`, it"
        " has no other sockets than TCP and Unix ones.",
        table="confine",
        is_repeatable=True,
    ),
    StageOption(
        "bind",
        Kind.PORT,
        help="Confine the stage: it may listen on this TCP port; `none` for none, `any` (the"
        " default) for all. Repeatable.",
        description="The TCP ports that the stage may listen on, `none` or `any`.",
        table="confine",
        is_repeatable=True,
    ),
    StageOption(
        "signals",
        Choices(tuple(one.value for one in SignalReach)),
        help="Confine the stage: the processes that it may signal, its own (the default of a"
        " confined stage, where the kernel can hold that) or any.",
        description="The processes that the stage may signal: its own, or any. Its own unless"
        " given, as far as the kernel can hold that.",
        table="confine",
    ),
    StageOption(
        "require",
        Kind.FLAG,
        named="confine-require",
        help="Do not start a confined stage where the kernel cannot hold what was asked for (the"
        " default, unless a config file says otherwise).",
        description="Whether the stage is not started where the kernel cannot hold what is asked"
        " for here; true unless given.",
        table="confine",
    ),
    StageOption(
        "cwd",
        Kind.DIRECTORY,
        help="Working directory (default: the directory in which the run was started).",
        description="The stage's working directory.",
    ),
)

TABLES: Final = tuple(dict.fromkeys(one.table for one in STAGE_OPTIONS if one.table))
"""The tables below a stage's."""
CONFINE_KEYS: Final = tuple(one.key for one in STAGE_OPTIONS if one.table == "confine")
"""What a stage can be confined to."""
OPTION_OF_KEY: Final = {one.key: one for one in STAGE_OPTIONS}
"""The rows by key; no two tables have a key of one name."""
BOUNDS: Final = {one.key: one.kind for one in STAGE_OPTIONS if isinstance(one.kind, Bounds)}
"""The bounds of the settings that are numbers, by key."""
MEASURED_KEYS: Final = {one.measured: one.key for one in STAGE_OPTIONS if one.measured}
"""The keys that stand for another without its unit."""
_OPTION_OF_PARAMETER: Final = {one.parameter(""): one for one in STAGE_OPTIONS}


def setting_named(parameter: str) -> tuple[StageOption, str] | None:
    """Return the setting and the stage that a parser's name stands for; None for other names."""
    name, separator, stage = parameter.partition("__")
    option = _OPTION_OF_PARAMETER.get(name + separator)
    return None if option is None else (option, stage)


def stage_of_option(option: str) -> str | None:
    """Return the stage that an option would be of, if there were such a stage."""
    found = next((one for one in _SUFFIXES if option.endswith(one)), None)
    name = None if found is None else option.removesuffix(found).lstrip("-").replace("-", "_")
    return name or None


_SUFFIXES: Final = sorted(
    (f"-{suffix}" for one in STAGE_OPTIONS for suffix in one.suffixes), key=len, reverse=True
)
"""The ends of all options of a stage, the longest first."""
