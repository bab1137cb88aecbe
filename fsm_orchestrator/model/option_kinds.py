"""What a setting of a stage may be, and what is said of it in one row.

Loads no pydantic: the command line is parsed before it is known to be needed.
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
    """The signals that end a process by themselves, after which a stage may be tried again."""

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
    COMMAND = "COMMAND"
    QUEUE = "QUEUE"

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
ARCHIVED_KEPT: Final = Bounds(0, ARCHIVED_KEPT_MAX, "a whole number of runs")
