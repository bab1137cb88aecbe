"""Puts the metrics of an invocation into the shapes of the SDK, and sends them."""

from __future__ import annotations

import os
from collections import defaultdict
from typing import Any, Final

from opentelemetry.exporter.otlp.proto.http.metric_exporter import OTLPMetricExporter
from opentelemetry.proto.collector.metrics.v1.metrics_service_pb2 import (
    ExportMetricsServiceResponse,
)
from opentelemetry.sdk.metrics import export as sdk_metrics
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.util.instrumentation import InstrumentationScope

from fsm_orchestrator.telemetry.answers import Session, ship
from fsm_orchestrator.telemetry.measures import DESCRIBED, Shape
from fsm_orchestrator.telemetry.names import SCHEMA_URL, SCOPE
from fsm_orchestrator.telemetry.parcel import Parcel

BOUNDS_SECONDS: Final = (
    *(0.1, 0.5, 1.0, 5.0, 10.0, 30.0, 60.0),
    *(300.0, 600.0, 1800.0, 3600.0, 14400.0),
)
TEMPORALITY_VARIABLE: Final = "OTEL_EXPORTER_OTLP_METRICS_TEMPORALITY_PREFERENCE"


def ship_metrics(parcel: Parcel, resource: Resource) -> int:
    """Send the metrics; return how many there were.

    Raises:
        NotTakenError: they were not taken.
    """
    by_metric: dict[Any, dict[tuple[Any, ...], list[float]]] = defaultdict(
        lambda: defaultdict(list)
    )
    for one in parcel.measures:
        key = tuple(sorted((str(key), value) for key, value in one.attributes.items()))
        by_metric[one.metric][key].append(one.value)
    metrics = [
        sdk_metrics.Metric(
            name=metric.value,
            description=DESCRIBED[metric].words,
            unit=DESCRIBED[metric].unit,
            data=_data(DESCRIBED[metric].shape, points, parcel),
        )
        for metric, points in by_metric.items()
    ]
    if not metrics:
        return 0
    scope = InstrumentationScope(SCOPE, parcel.version, SCHEMA_URL)
    of_scope = sdk_metrics.ScopeMetrics(scope, metrics, SCHEMA_URL)
    of_resource = sdk_metrics.ResourceMetrics(resource, [of_scope], SCHEMA_URL)
    session = Session(_rejected_points)
    exporter = OTLPMetricExporter(session=session)
    ship(session, iter([sdk_metrics.MetricsData([of_resource])]), exporter.export)
    return len(metrics)


def _data(shape: Shape, points: dict[tuple[Any, ...], list[float]], parcel: Parcel) -> Any:
    match shape:
        case Shape.HISTOGRAM:
            found = [_histogram(dict(key), values, parcel) for key, values in points.items()]
            return sdk_metrics.Histogram(found, _temporality())
        case Shape.SUM:
            sums = [_number(dict(key), sum(values), parcel) for key, values in points.items()]
            return sdk_metrics.Sum(sums, _temporality(), is_monotonic=True)
        case Shape.GAUGE:
            last = [_number(dict(key), values[-1], parcel) for key, values in points.items()]
            return sdk_metrics.Gauge(last)


def _number(attributes: dict[str, Any], value: float, parcel: Parcel) -> Any:
    return sdk_metrics.NumberDataPoint(attributes, parcel.began, parcel.over, value)


def _histogram(attributes: dict[str, Any], values: list[float], parcel: Parcel) -> Any:
    counts = [0] * (1 + len(BOUNDS_SECONDS))
    for value in values:
        counts[sum(value > bound for bound in BOUNDS_SECONDS)] += 1
    return sdk_metrics.HistogramDataPoint(
        attributes=attributes,
        start_time_unix_nano=parcel.began,
        time_unix_nano=parcel.over,
        count=len(values),
        sum=sum(values),
        bucket_counts=counts,
        explicit_bounds=BOUNDS_SECONDS,
        min=min(values),
        max=max(values),
    )


def _temporality() -> sdk_metrics.AggregationTemporality:
    """Return how sums are added up: each invocation is its own process, with its own sums."""
    asked = os.environ.get(TEMPORALITY_VARIABLE, "").strip().lower()
    kinds = sdk_metrics.AggregationTemporality
    return kinds.CUMULATIVE if asked == "cumulative" else kinds.DELTA


def _rejected_points(answer: bytes) -> int:
    said = ExportMetricsServiceResponse.FromString(answer).partial_success
    return int(said.rejected_data_points)
