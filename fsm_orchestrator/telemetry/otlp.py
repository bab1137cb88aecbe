"""The official SDK and its OTLP exporter over HTTP: the only module here that loads any of it.

The data is made elsewhere; this module puts it into the SDK's shapes, and reports the result of
sending it.
"""

from __future__ import annotations

import logging
import os
from typing import Any, Final

from opentelemetry._logs import LogRecord, SeverityNumber
from opentelemetry.exporter.otlp.proto.http._log_exporter import OTLPLogExporter
from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from opentelemetry.proto.collector.logs.v1.logs_service_pb2 import ExportLogsServiceResponse
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceResponse
from opentelemetry.sdk._logs import ReadableLogRecord
from opentelemetry.sdk.resources import OTELResourceDetector, Resource
from opentelemetry.sdk.trace import ReadableSpan, TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from opentelemetry.sdk.trace.id_generator import IdGenerator
from opentelemetry.sdk.util.instrumentation import InstrumentationScope
from opentelemetry.trace import (
    Link,
    NonRecordingSpan,
    SpanContext,
    SpanKind,
    Status,
    StatusCode,
    TraceFlags,
    TraceState,
    set_span_in_context,
)

from fsm_orchestrator.constants import PRODUCT
from fsm_orchestrator.model.trace import Trace
from fsm_orchestrator.telemetry.answers import NotTakenError, Session, batches, ship
from fsm_orchestrator.telemetry.lines import Line
from fsm_orchestrator.telemetry.names import SCHEMA_URL, SCOPE
from fsm_orchestrator.telemetry.parcel import Parcel, Sent
from fsm_orchestrator.telemetry.sdk_metrics import ship_metrics
from fsm_orchestrator.telemetry.spans import Value

TEXT_CHARACTERS_MAX: Final = 256
_SEVERITIES: Final = {
    "debug": SeverityNumber.DEBUG,
    "info": SeverityNumber.INFO,
    "warning": SeverityNumber.WARN,
    "error": SeverityNumber.ERROR,
    "critical": SeverityNumber.FATAL,
}


def send(parcel: Parcel) -> Sent:
    """Send the data of an invocation, except what is set to `none`; return the result.

    Sends no more once something was not taken.
    """
    logging.getLogger("opentelemetry").setLevel(logging.CRITICAL + 1)  # this module reports errors
    taken: dict[str, int] = {}
    resource = _resource(parcel)
    for signal, put in (("traces", _traces), ("metrics", ship_metrics), ("logs", _logs)):
        if os.environ.get(f"OTEL_{signal.upper()}_EXPORTER", "").strip().lower() == "none":
            continue
        try:
            taken[signal] = put(parcel, resource)
        except NotTakenError as error:
            return Sent(f"{signal}: {error}", *_counts(taken))
        except Exception as error:  # noqa: BLE001 - whatever the SDK makes of its settings
            return Sent(f"{signal}: the SDK raised {type(error).__name__}", *_counts(taken))
    return Sent(None, *_counts(taken))


def _counts(taken: dict[str, int]) -> tuple[int, int, int]:
    return taken.get("traces", 0), taken.get("metrics", 0), taken.get("logs", 0)


def _resource(parcel: Parcel) -> Resource:
    """Return the resource: what the environment says of it takes precedence."""
    said = OTELResourceDetector().detect().attributes
    ours = {
        "service.name": PRODUCT,
        "service.version": parcel.version,
        "service.instance.id": parcel.instance,
    }
    return Resource.create({key: value for key, value in ours.items() if key not in said})


# -- traces ---------------------------------------------------------------------------------


class _Ids(IdGenerator):
    """A generator that gives each span the ids that were derived for it."""

    trace_id = span_id = 0

    def generate_trace_id(self) -> int:
        """Return the trace id of the span that is made next."""
        return self.trace_id

    def generate_span_id(self) -> int:
        """Return the span id of the span that is made next."""
        return self.span_id


def _traces(parcel: Parcel, resource: Resource) -> int:
    ids, made = _Ids(), InMemorySpanExporter()
    provider = TracerProvider(resource=resource, id_generator=ids, shutdown_on_exit=False)
    provider.add_span_processor(SimpleSpanProcessor(made))
    tracer = provider.get_tracer(SCOPE, parcel.version, schema_url=SCHEMA_URL)
    for one in parcel.spans:
        if not one.trace.is_sampled:
            continue
        ids.trace_id, ids.span_id = int(one.trace.trace_id, 16), int(one.span_id, 16)
        above = None
        if one.parent_id is not None:
            context = _context(one.trace, one.parent_id, is_remote=one.is_entry)
            above = set_span_in_context(NonRecordingSpan(context))
        span = tracer.start_span(
            _clean(one.name),
            context=above,
            kind=SpanKind.SERVER if one.is_entry else SpanKind.INTERNAL,
            attributes=_attributes(one.attributes),
            links=[
                Link(_context(to.trace, to.span_id), _attributes(to.attributes)) for to in one.links
            ],
            start_time=one.began,
        )
        for mark in one.marks:
            span.add_event(mark.name, _attributes(mark.attributes), timestamp=mark.at)
        if one.error is not None:
            span.set_status(Status(StatusCode.ERROR, _clean(one.error)))
        span.end(end_time=one.over)
    spans: tuple[ReadableSpan, ...] = made.get_finished_spans()
    session = Session(_rejected_spans)
    ship(session, batches(spans), OTLPSpanExporter(session=session).export)
    return len(spans)


def _rejected_spans(answer: bytes) -> int:
    return int(ExportTraceServiceResponse.FromString(answer).partial_success.rejected_spans)


def _context(trace: Trace, span_id: str, *, is_remote: bool = False) -> SpanContext:
    return SpanContext(
        trace_id=int(trace.trace_id, 16),
        span_id=int(span_id, 16),
        is_remote=is_remote,
        trace_flags=TraceFlags(int(trace.flags, 16)),
        trace_state=TraceState.from_header([] if trace.state is None else [trace.state]),
    )


# -- logs -----------------------------------------------------------------------------------


def _logs(parcel: Parcel, resource: Resource) -> int:
    scope = InstrumentationScope(SCOPE, parcel.version, SCHEMA_URL)
    records = [ReadableLogRecord(_record(one), resource, scope) for one in parcel.lines]
    session = Session(_rejected_records)
    ship(session, batches(records), OTLPLogExporter(session=session).export)
    return len(records)


def _record(line: Line) -> LogRecord:
    above = set_span_in_context(NonRecordingSpan(_context(line.trace, line.span_id)))
    return LogRecord(
        timestamp=line.at,
        observed_timestamp=line.at,
        context=above,
        severity_text=line.level.upper(),
        severity_number=_SEVERITIES[line.level],
        body=_clean(line.body),
        attributes=_attributes(line.attributes),
        event_name=line.name,
    )


def _rejected_records(answer: bytes) -> int:
    said = ExportLogsServiceResponse.FromString(answer).partial_success
    return int(said.rejected_log_records)


# -- values ---------------------------------------------------------------------------------


def _attributes(given: Any) -> dict[str, Any]:
    return {str(key): _value(value) for key, value in given.items()}


def _value(value: Value) -> Any:
    if isinstance(value, str):
        return _clean(value)
    if isinstance(value, bool | int | float):
        return value
    return tuple(map(_clean, value))


def _clean(text: str) -> str:
    """Return text of a bounded length that can be sent."""
    return str(text)[:TEXT_CHARACTERS_MAX].encode(errors="replace").decode()
