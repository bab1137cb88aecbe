"""The kinds of settings of a stage, and the row that describes a setting.

Loads no pydantic: the command line is parsed before it is known whether pydantic is needed.
"""

from __future__ import annotations

from enum import StrEnum
from typing import Final, NamedTuple, TypeAlias

from fsm_orchestrator.constants import ARCHIVED_KEPT_MAX, MILLISECONDS_MAX
from fsm_orchestrator.text.hidden import quoted
from fsm_orchestrator.text.units import Measure, is_bare, measured


class Backoff(StrEnum):
    """The growth of the wait before a retry."""

    FIXED = "fixed"
    EXPONENTIAL = "exponential"


class RetrySignal(StrEnum):
    """The signals that end a process if it does not handle them, and that a retry may follow."""

    SIGABRT = "SIGABRT"
    SIGALRM = "SIGALRM"
    SIGBUS = "SIGBUS"
    SIGFPE = "SIGFPE"
    SIGHUP = "SIGHUP"
    SIGILL = "SIGILL"
    SIGINT = "SIGINT"
    SIGKILL = "SIGKILL"
    SIGPIPE = "SIGPIPE"
    SIGPROF = "SIGPROF"
    SIGQUIT = "SIGQUIT"
    SIGSEGV = "SIGSEGV"
    SIGSYS = "SIGSYS"
    SIGTERM = "SIGTERM"
    SIGTRAP = "SIGTRAP"
    SIGUSR1 = "SIGUSR1"
    SIGUSR2 = "SIGUSR2"
    SIGVTALRM = "SIGVTALRM"
    SIGXCPU = "SIGXCPU"
    SIGXFSZ = "SIGXFSZ"


class Bounds(NamedTuple):
    """The whole numbers that a setting may have, and what they count."""

    least: int
    most: int
    noun: str
    metavar: str = "N"
    measure: Measure | None = None

    @property
    def text(self) -> str:
        """The numbers as text: `a whole number of bytes from 1 to 100`."""
        return f"{self.noun} from {self.least} to {self.most}"

    def read(self, text: str) -> int:
        """Return the number that a text stands for, with a unit where people write one.

        Raises:
            ValueError: it is not a number, or out of bounds; the message quotes the text.
        """
        if self.measure is None and not is_bare(text):
            raise ValueError(f"{quoted(text)} is not {self.text}")
        value = int(text) if self.measure is None else measured(text, self.measure)
        if self.least <= value <= self.most:
            return value
        means = "is" if is_bare(text) else f"is {value},"
        raise ValueError(f"{quoted(text)} {means} not {self.text}")


class Choices(NamedTuple):
    """The words that a setting may have as its value."""

    words: tuple[str, ...]
    metavar: str = ""


class Kind(StrEnum):
    """The type of a setting that is neither a number nor one of some words, by its metavar."""

    FLAG = ""
    TEXT = "VALUE"
    FILE = "PATH"
    DIRECTORY = "DIR"
    PAIR = "KEY=VALUE"
    PORT = "PORT"
    NAME = "KEY"
    COMMAND = "COMMAND"
    QUEUE = "QUEUE"

    @property
    def metavar(self) -> str:
        """The placeholder of the value in the help."""
        return self.value


ALL_PORTS: Final = "any"
NO_PORTS: Final = "none"
PORT_WORDS: Final = (ALL_PORTS, NO_PORTS)
"""The words that may replace a list of ports."""

INHERIT_ALL: Final = "all"
INHERIT_MINIMAL: Final = "minimal"
INHERITED_WORDS: Final = (INHERIT_ALL, INHERIT_MINIMAL)
"""The words that may replace a list of inherited variables."""

ValueKind: TypeAlias = Kind | Choices | Bounds


class StageOption(NamedTuple):
    """A setting of a stage.

    Attributes:
        key: its key in a config file.
        kind: the values that it may have.
        help: its text in the help of `run`.
        description: its text in the JSON Schema.
        table: the table below the stage's that has the key; empty for the stage's own.
        named: the rest of the option after `--<stage>-`, where that is not the key.
        measured: for a number with a unit, the key that does not name the unit.
        is_repeatable: True for a list; each option gives one item of it.
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
        """The rest of the option after `--<stage>-`."""
        return self.named or self.key.replace("_", "-")

    @property
    def suffixes(self) -> tuple[str, ...]:
        """Every rest of the option after `--<stage>-`: the name without the unit first."""
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
ARCHIVED_KEPT: Final = Bounds(0, ARCHIVED_KEPT_MAX, "a whole number of runs")
