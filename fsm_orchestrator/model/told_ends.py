"""The ends of invocations that people can be told of, and the forms that they are told in."""

from enum import StrEnum


class ToldEnd(StrEnum):
    """An end of an invocation that people can be told of, by the word of where the run stands."""

    DONE = "done"
    NOT_CLOSABLE = "not_closable"
    WAITING = "waiting"
    BLOCKED = "blocked"
    FAILED = "failed"
    TIMEOUT = "timeout"
    INTERRUPTED = "interrupted"
    """A signal, or the program that called, has ended it; the report says failed."""


class NoticeFormat(StrEnum):
    """The body that a webhook is sent."""

    JSON = "json"
    SLACK = "slack"
