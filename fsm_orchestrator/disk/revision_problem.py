"""Why the commit of a checkout is not known."""

from __future__ import annotations

from enum import StrEnum


class RevisionProblem(StrEnum):
    """Why it is not known which commit was checked out where the command was started."""

    NO_REPOSITORY = "no_repository"
    """No directory at or above it is git's."""
    NO_COMMIT = "no_commit"
    """Its branch has no commit yet."""
    UNREADABLE = "unreadable"
    """A file of git cannot be read, is not a regular one, or is too large."""
    NOT_UNDERSTOOD = "not_understood"
    """A file of git says something else than expected, such as refs kept in another format."""
