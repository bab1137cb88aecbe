"""The names of pieces of evidence, and the form in which each is shown."""

from enum import StrEnum


class FactForm(StrEnum):
    """The kind of value that a piece of evidence has, which decides how it is shown."""

    TEXT = "text"
    """A name, a number or a path."""
    PROSE = "prose"
    TIME = "time"
    COMMAND = "command"
    OUTPUT = "output"


class FactName(StrEnum):
    """The names of pieces of evidence."""

    WHY = "why"
    BEGAN = "began"
    ITS_END = "its end"
    ORCHESTRATOR = "orchestrator"
    PROCESS = "process"
    REASON_CODE = "reason code"
    EXIT_CODE = "exit code"
    SIGNAL = "signal"
    MISSING = "missing"
    MALFORMED = "malformed"
    STALE = "stale"
    CONTRACT = "contract"
    PROTECTED = "protected"
    LEFT_BEHIND = "left behind"
    STDERR = "stderr"
    STDOUT = "stdout"
    COMMAND = "command"
    IN = "in"
    SETS = "sets"
    CONFINED = "confined"
    ARTIFACT = "artifact"
    VERIFIED = "verified"
    INPUT = "input"
    USED = "used"
    METERED = "metered"
    LOG = "log"
    POSTMORTEM = "postmortem"
    NO_POSTMORTEM = "no postmortem"
    PROBLEM = "problem"
    EVIDENCE = "evidence"
    READ = "to read"
    SAYS = "it says"
    NOT_SHOWN = "not shown"
    RELEASES = "releases"
