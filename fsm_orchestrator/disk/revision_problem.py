"""The reasons why the commit of a checkout is not known."""

from __future__ import annotations

from enum import StrEnum


class RevisionProblem(StrEnum):
    """A reason why the commit that was checked out where the command was started is not known."""

    NO_REPOSITORY = "no_repository"
    """Neither it nor a directory above it belongs to git."""
    NO_COMMIT = "no_commit"
    """Its branch has no commit yet."""
    UNREADABLE = "unreadable"
    """A file of git cannot be read, is not a regular file, or is too large."""
    NOT_UNDERSTOOD = "not_understood"
    """A file of git has unexpected content, such as refs kept in another format."""
