"""The trace that an invocation and its stages belong to, and how they get it.

Loaded if there is a trace: TRACEPARENT is in the environment, or the run is shown to OpenTelemetry.
Anything broken there is left out with a warning, and never believed.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from importlib.util import find_spec
from typing import TYPE_CHECKING, Final

from fsm_orchestrator.constants import (
    BAGGAGE_VARIABLE,
    TRACE_PARENT_VARIABLE,
    TRACE_STATE_VARIABLE,
)
from fsm_orchestrator.model.trace import (
    Trace,
    own_trace,
    parent_in,
    span_of_attempt,
    span_of_invocation,
    state_in,
)

if TYPE_CHECKING:
    from fsm_orchestrator.config.run_config import RunConfig
    from fsm_orchestrator.record.checkpoint import Checkpoint
    from fsm_orchestrator.secrets.masking import Masker

DISABLED_VARIABLE: Final = "OTEL_SDK_DISABLED"


def is_shown(config: RunConfig) -> bool:
    """Return whether an invocation is shown to OpenTelemetry: requested, and not disabled."""
    is_disabled = os.environ.get(DISABLED_VARIABLE, "").strip().lower() == "true"
    return config.telemetry and config.fixed_clock is None and not is_disabled


def trace_now(before: Trace | None, masker: Masker) -> Trace | None:
    """Return the trace that an invocation belongs to, or None for the one derived from its run.

    `before` is that of the invocation before it, which is continued unless TRACEPARENT names
    another.
    """
    told = parent_in(os.environ)
    if told is None:
        return None if before is None else before.model_copy(update={"parent_id": None})
    if told.state is not None and masker.hides(told.state):
        return told.model_copy(update={"state": None})
    return told


def variables_of(config: RunConfig, draft: Checkpoint, stage: str, attempt: int) -> dict[str, str]:
    """Return the variables that give an attempt its span; none if nobody asked for a trace."""
    return _variables(
        config, draft, span_of_attempt(draft.run_id, draft.invocation.number, stage, attempt)
    )


def variables_of_gates(config: RunConfig, draft: Checkpoint) -> dict[str, str]:
    """Return the variables that give the commands of gates the span of their invocation."""
    return _variables(config, draft, span_of_invocation(draft.run_id, draft.invocation.number))


def _variables(config: RunConfig, draft: Checkpoint, span: str) -> dict[str, str]:
    if config.fixed_clock is not None:
        return {}
    if not (os.environ.get(TRACE_PARENT_VARIABLE) or is_shown(config)):
        return {}
    origin = draft.invocation.origin
    trace = None if origin is None else origin.trace
    trace = own_trace(draft.run_id) if trace is None else trace
    told = {TRACE_PARENT_VARIABLE: trace.parent_of(span)}
    if trace.state is not None:
        told[TRACE_STATE_VARIABLE] = trace.state
    baggage = os.environ.get(BAGGAGE_VARIABLE)
    return told if baggage is None else {**told, BAGGAGE_VARIABLE: baggage}


def trace_warnings(config: RunConfig) -> Iterator[str]:
    """Warn of an invalid trace context, and of telemetry that cannot be sent."""
    if os.environ.get(TRACE_PARENT_VARIABLE) and config.fixed_clock is None:
        if parent_in(os.environ) is None:
            yield (
                f"{TRACE_PARENT_VARIABLE} in the environment is not a W3C trace context"
                " (00-32 digits-16 digits-2 digits, lower-case hexadecimal), and is ignored"
            )
        elif os.environ.get(TRACE_STATE_VARIABLE, "").strip() and state_in(os.environ) is None:
            yield (
                f"{TRACE_STATE_VARIABLE} in the environment is not a list of key=value of at most"
                " 512 characters, and is ignored"
            )
    if not config.telemetry:
        return
    if config.fixed_clock is not None:
        yield "telemetry: nothing is sent with --fixed-clock, because its times are not real"
    elif is_shown(config) and not is_installed():
        yield f"telemetry: nothing is sent: {NOT_INSTALLED}"


NOT_INSTALLED: Final = (
    "OpenTelemetry is not installed; install it: pip install 'fsm-orchestrator[otel]'"
)


def is_installed() -> bool:
    """Return whether the extra is installed, without loading it."""
    try:
        return all(
            find_spec(name) is not None
            for name in ("opentelemetry.sdk", "opentelemetry.exporter.otlp.proto.http")
        )
    except ImportError:
        return False
