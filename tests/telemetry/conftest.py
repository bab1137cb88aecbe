"""A collector for every test of the room, and an environment without other settings."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.collector import Collector, collecting


@pytest.fixture(autouse=True)
def silence(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Remove OpenTelemetry settings of the session, and keep private state with the run."""
    for name in os.environ:
        if name.startswith("OTEL_") or name in {"TRACEPARENT", "TRACESTATE", "BAGGAGE"}:
            monkeypatch.delenv(name)
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))


@pytest.fixture
def collector(silence: None, monkeypatch: pytest.MonkeyPatch) -> Iterator[Collector]:
    """Run a collector, and have this process and all that it starts send to it."""
    del silence
    with collecting() as running:
        monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", running.url)
        yield running
