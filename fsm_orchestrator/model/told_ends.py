"""The ends of invocations that notices can report, and the formats of notices."""

from enum import StrEnum


class ToldEnd(StrEnum):
    """An end of an invocation that a notice can report, by the word for where the run stands."""

    DONE = "done"
    NOT_CLOSABLE = "not_closable"
    WAITING = "waiting"
    BLOCKED = "blocked"
    FAILED = "failed"
    TIMEOUT = "timeout"
    INTERRUPTED = "interrupted"
    """A signal, or the calling program, has ended it; the report says failed."""


class NoticeFormat(StrEnum):
    """The format of the body that a webhook is sent."""

    JSON = "json"
    SLACK = "slack"
