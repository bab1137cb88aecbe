"""Says who started an invocation, where, and which revision was checked out there."""

from typing import Final, assert_never

from fsm_orchestrator.disk.revision_problem import RevisionProblem
from fsm_orchestrator.model.invocation import InvocationOrigin, SignalGiven

COMMIT_SHOWN: Final = 12
"""The number of characters of a commit that are shown where there is no room for all."""


def giver_of(given: SignalGiven) -> str:
    """Return who gave a signal, and on which machine; with a fixed clock nobody is named."""
    return "not recorded" if given.uid is None else _person(given.user, given.uid, given.host)


def starter_of(origin: InvocationOrigin) -> str:
    """Return who started an invocation, and on which machine."""
    return _person(origin.user, origin.uid, origin.host)


def origin_line(origin: InvocationOrigin) -> str:
    """Return who started an invocation, where, and at which revision if one is known."""
    shown = starter_of(origin)
    return shown if origin.displayed_commit is None else f"{shown}, at {revision_of(origin)}"


def revision_of(origin: InvocationOrigin, length: int = COMMIT_SHOWN) -> str:
    """Return the revision that was checked out, or why it is not known."""
    branch = origin.displayed_branch
    match origin.displayed_problem:
        case None if origin.displayed_commit is not None:
            commit = f"commit {origin.displayed_commit[:length]}"
            return commit if branch is None else f"{commit} of {branch}"
        case None | RevisionProblem.NO_REPOSITORY:
            return "not in a git repository"
        case RevisionProblem.NO_COMMIT:
            return f"{branch}, which had no commit yet"
        case RevisionProblem.UNREADABLE:
            return "not known: a file of git could not be read"
        case RevisionProblem.NOT_UNDERSTOOD:
            return "not known: a file of git was not understood"
        case problem:
            assert_never(problem)


def _person(user: str | None, uid: int, host: str | None) -> str:
    name = user or f"uid {uid}"
    return name if host is None else f"{name} on {host}"
