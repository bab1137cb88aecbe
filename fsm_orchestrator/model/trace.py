"""The trace that an invocation belongs to (W3C Trace Context), and the ids of its spans.

Every id is derived from the run, the invocation, the stage and the attempt. So a stage can be given
its own span before it starts, and an export of the run at a later time, even after a crash, finds
the same ids.
"""

import hashlib
import re
from collections.abc import Mapping
from typing import Annotated, Final

from fsm_orchestrator.constants import TRACE_PARENT_VARIABLE, TRACE_STATE_VARIABLE
from fsm_orchestrator.model.base import StrictModel
from fsm_orchestrator.model.declared import Field, StringConstraints, left_out

STATE_CHARACTERS_MAX: Final = 512
"""The length of TRACESTATE that everybody passes on; a longer one is left out."""
_STATE_MEMBERS_MAX: Final = 32
_FLAGS_KNOWN: Final = 0b11
_SAMPLED: Final = "01"
_PARENT: Final = re.compile(
    r"(?P<version>(?!ff)[0-9a-f]{2})-(?!0{32})(?P<trace>[0-9a-f]{32})-(?!0{16})(?P<span>[0-9a-f]{16})"
    r"-(?P<flags>[0-9a-f]{2})(?P<more>-.*)?"
)
_MEMBER: Final = re.compile(
    r"[ \t]*([a-z][a-z0-9_\-*/]{0,255}|[a-z0-9][a-z0-9_\-*/]{0,240}@[a-z][a-z0-9_\-*/]{0,13})"
    r"=[\x20-\x2b\x2d-\x3c\x3e-\x7e]{0,255}[\x21-\x2b\x2d-\x3c\x3e-\x7e][ \t]*"
)

TraceId = Annotated[str, StringConstraints(pattern=r"^[0-9a-f]{32}$")]
SpanId = Annotated[str, StringConstraints(pattern=r"^[0-9a-f]{16}$")]


class Trace(StrictModel):
    """A trace, and the span in it that is the parent of an invocation."""

    trace_id: TraceId = Field(description="Id of the trace, in hexadecimal.")
    parent_id: SpanId | None = Field(
        description="Id of the span that TRACEPARENT named, the parent of the invocation; null"
        " where the trace was that of an earlier invocation, and nothing was named."
    )
    flags: Annotated[str, StringConstraints(pattern=r"^0[0-3]$")] = Field(
        description="The flags that came with it, in hexadecimal: whether it is sampled."
    )
    state: Annotated[str, StringConstraints(max_length=STATE_CHARACTERS_MAX)] | None = left_out(
        None, "The TRACESTATE that came with it; left out where there was none."
    )

    @property
    def is_sampled(self) -> bool:
        """True if the originator of the trace wants to see its spans."""
        return int(self.flags, 16) & 1 == 1

    def parent_of(self, span_id: str) -> str:
        """Return the TRACEPARENT for work done within a span."""
        return f"00-{self.trace_id}-{span_id}-{self.flags}"


def parent_in(environment: Mapping[str, str]) -> Trace | None:
    """Return the trace that variables name; None if they name none, or what they say is invalid."""
    said = _PARENT.fullmatch(environment.get(TRACE_PARENT_VARIABLE, ""))
    if said is None or (said["version"] == "00" and said["more"]):
        return None
    flags = int(said["flags"], 16) & _FLAGS_KNOWN
    return Trace(
        trace_id=said["trace"],
        parent_id=said["span"],
        flags=f"{flags:02x}",
        state=state_in(environment),
    )


def state_in(environment: Mapping[str, str]) -> str | None:
    """Return the state that variables add to a trace; None if there is none that is valid."""
    given = environment.get(TRACE_STATE_VARIABLE, "")
    members = [one for one in given.split(",") if one.strip(" \t")]
    keys = [one.split("=", 1)[0].strip(" \t") for one in members]
    is_good = (
        0 < len(members) <= _STATE_MEMBERS_MAX
        and len(given) <= STATE_CHARACTERS_MAX
        and all(map(_MEMBER.fullmatch, members))
        and len(set(keys)) == len(keys)
    )
    return given if is_good else None


def own_trace(run_id: str) -> Trace:
    """Return the run's own trace, for a run to which no trace was given."""
    return Trace(trace_id=_derived(32, "trace", run_id), parent_id=None, flags=_SAMPLED)


def span_of_invocation(run_id: str, invocation: int) -> str:
    """Return the id of the span of an invocation."""
    return _derived(16, run_id, str(invocation))


def span_of_attempt(run_id: str, invocation: int, stage: str, attempt: int) -> str:
    """Return the id of the span of an attempt of a stage."""
    return span_below(span_of_invocation(run_id, invocation), "attempt", stage, attempt)


def span_of_verification(attempt: str, number: int) -> str:
    """Return the id of the span of a verification of the attempt whose span is `attempt`."""
    return span_below(attempt, "verification", number)


def span_below(above: str, *words: str | int) -> str:
    """Return the id of a span that belongs to the span with the id `above`."""
    return _derived(16, above, *map(str, words))


def _derived(digits: int, *words: str) -> str:
    return hashlib.sha256("/".join(words).encode()).hexdigest()[:digits]
