"""A collector on the loopback that believes only what the official protobuf classes accept."""

from __future__ import annotations

import gzip
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, Final

from opentelemetry.proto.collector.logs.v1 import logs_service_pb2 as logs
from opentelemetry.proto.collector.metrics.v1 import metrics_service_pb2 as metrics
from opentelemetry.proto.collector.trace.v1 import trace_service_pb2 as traces

_KINDS: Final[dict[str, Any]] = {
    "/v1/traces": (traces.ExportTraceServiceRequest, traces.ExportTraceServiceResponse),
    "/v1/metrics": (metrics.ExportMetricsServiceRequest, metrics.ExportMetricsServiceResponse),
    "/v1/logs": (logs.ExportLogsServiceRequest, logs.ExportLogsServiceResponse),
}


@dataclass
class Collector:
    """The requests that have arrived, and the settings of the answers.

    Attributes:
        status: the status of every answer.
        answer: the body of every answer; None for the one of the protocol.
        delay_seconds: the time that every answer takes.
        refused_paths: the paths that are answered with 400, whatever `status` says.
    """

    url: str = ""
    status: int = 200
    answer: bytes | None = None
    delay_seconds: float = 0.0
    refused_paths: set[str] = field(default_factory=set)
    requests: list[tuple[str, Any, dict[str, str]]] = field(default_factory=list)

    @property
    def spans(self) -> list[Any]:
        """Every span that has arrived, in order."""
        return [
            span
            for path, request, _ in self.requests
            if path == "/v1/traces"
            for resource in request.resource_spans
            for scope in resource.scope_spans
            for span in scope.spans
        ]

    @property
    def records(self) -> list[Any]:
        """Every log record that has arrived."""
        return [
            record
            for path, request, _ in self.requests
            if path == "/v1/logs"
            for resource in request.resource_logs
            for scope in resource.scope_logs
            for record in scope.log_records
        ]

    @property
    def metrics(self) -> dict[str, Any]:
        """The metrics that have arrived last, by name."""
        return {
            metric.name: metric
            for path, request, _ in self.requests
            if path == "/v1/metrics"
            for resource in request.resource_metrics
            for scope in resource.scope_metrics
            for metric in scope.metrics
        }


def values(attributes: Any) -> dict[str, Any]:
    """Return attributes by their keys."""
    return {one.key: _value(one.value) for one in attributes}


def _value(value: Any) -> Any:
    kind = value.WhichOneof("value")
    if kind == "array_value":
        return [_value(one) for one in value.array_value.values]
    return getattr(value, kind)


@contextmanager
def collecting() -> Iterator[Collector]:
    """Run a collector until the end of the block."""
    collector = Collector()

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["Content-Length"]))
            if self.headers.get("Content-Encoding") == "gzip":
                body = gzip.decompress(body)
            request, answer = _KINDS[self.path]
            headers = {key.lower(): value for key, value in self.headers.items()}
            collector.requests.append((self.path, request.FromString(body), headers))
            time.sleep(collector.delay_seconds)
            said = answer().SerializeToString() if collector.answer is None else collector.answer
            is_refused = self.path in collector.refused_paths
            self.send_response(400 if is_refused else collector.status)
            self.send_header("Content-Type", "application/x-protobuf")
            self.send_header("Content-Length", str(len(said)))
            self.end_headers()
            self.wfile.write(said)

        def log_message(self, *_: Any) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    collector.url = f"http://127.0.0.1:{server.server_port}"
    thread = threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True)
    thread.start()
    try:
        yield collector
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
