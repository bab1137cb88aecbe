"""The starter of an invocation, and the giver of its signals: user, machine, and git's revision."""

from __future__ import annotations

import os
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING

from fsm_orchestrator.clock import Clock, timestamp
from fsm_orchestrator.config.run_config import RunConfig
from fsm_orchestrator.constants import TRACE_PARENT_VARIABLE
from fsm_orchestrator.disk.revision_problem import RevisionProblem
from fsm_orchestrator.disk.where import nearest_with
from fsm_orchestrator.model.invocation import InvocationOrigin, InvocationRecord, SignalGiven
from fsm_orchestrator.secrets.masking import Masker

if TYPE_CHECKING:
    from collections.abc import Sequence

    from fsm_orchestrator.disk.checkout import CheckedOut
    from fsm_orchestrator.model.trace import Trace


def signal_given(
    config: RunConfig, clock: Clock, invocation: int, masker: Masker
) -> SignalGiven | None:
    """Return who gives the gates' signals now, and when; None if none is given."""
    if not config.gates:
        return None
    at = timestamp(clock.now())
    if clock.is_fixed:
        return SignalGiven(at=at, invocation=invocation, user=None, uid=None, host=None)
    user, uid, host = _person(masker)
    return SignalGiven(at=at, invocation=invocation, user=user, uid=uid, host=host)


def origin_of(
    directory: str, clock: Clock, masker: Masker, earlier: Sequence[InvocationRecord] = ()
) -> InvocationOrigin | None:
    """Return who starts an invocation in a directory, and what git has checked out there.

    None with a fixed clock, so that equal runs have equal records. It belongs to the trace of the
    last of the `earlier` invocations unless the environment names another.
    """
    if clock.is_fixed:
        return None
    user, uid, host = _person(masker)
    found: CheckedOut | None = None
    if (above := nearest_with(Path(directory), ".git")) is not None:
        from fsm_orchestrator.disk.checkout import checked_out  # noqa: PLC0415 - only in a checkout

        found = checked_out(above)
    problem = RevisionProblem.NO_REPOSITORY if found is None else found.problem
    branch = None if found is None else found.branch
    before, trace = _trace_of(earlier[-1:]), None
    if before is not None or os.environ.get(TRACE_PARENT_VARIABLE):
        from fsm_orchestrator.preparation.tracing import trace_now  # noqa: PLC0415 - few are traced

        trace = trace_now(before, masker)
    return InvocationOrigin(
        user=user,
        uid=uid,
        host=host,
        displayed_commit=None if found is None else found.commit,
        displayed_branch=None if branch is None else masker.mask(branch),
        displayed_problem=problem,
        trace=trace,
    )


def _trace_of(invocations: Sequence[InvocationRecord]) -> Trace | None:
    """Return the known trace of the first of the invocations, or None if there is none."""
    origin = invocations[0].origin if invocations else None
    return None if origin is None else origin.trace


def _person(masker: Masker) -> tuple[str | None, int, str]:
    """Return the name and id of the user, and the name of the machine; no secret in either."""
    uid = os.getuid()
    try:
        name = _user_name(uid)
    except KeyError:  # also if the list of users cannot be read at this moment
        name = ""
    user, host = masker.mask_all((name, os.uname().nodename))
    return user or None, uid, host


@lru_cache(maxsize=1)
def _user_name(uid: int) -> str:
    """Return the name of a user.

    Raises:
        KeyError: it has none, or the list of users cannot be read.
    """
    import pwd  # noqa: PLC0415 - not for a plan or resume without signals

    return pwd.getpwuid(uid).pw_name
