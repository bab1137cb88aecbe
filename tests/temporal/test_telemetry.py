"""A worker shows its runs in the trace that its environment names."""

from __future__ import annotations

from pathlib import Path
from typing import Final

import pytest

from fsm_orchestrator.model.trace import span_of_invocation
from tests.support.collector import collecting
from tests.support.command import PASSING
from tests.support.patience import wait_until
from tests.temporal.held import TRUE, site

pytestmark = pytest.mark.one_in(2)

TRACE: Final = "0af7651916cd43dd8448eb211c80319c"
CALLER: Final = "b7ad6b7169203331"


def test_run_of_a_worker_is_shown_below_what_the_worker_is_told(
    temporal_address: str, tmp_path: Path
) -> None:
    """The invocation is one span below the worker's parent, with its stages below it."""
    with collecting() as collector:
        told = {
            "OTEL_EXPORTER_OTLP_ENDPOINT": collector.url,
            "TRACEPARENT": f"00-{TRACE}-{CALLER}-01",
        }
        with site(tmp_path, temporal_address, "--telemetry", **told) as place:
            assert place.submitted("shown", *TRUE, *PASSING).code == 0
            run_id = place.run_id("shown")
            root = span_of_invocation(run_id, 1)
            wait_until(lambda: any(one.span_id.hex() == root for one in collector.spans))
    spans = {one.span_id.hex(): one for one in collector.spans}
    assert {one.trace_id.hex() for one in spans.values()} == {TRACE}
    assert spans[root].parent_span_id.hex() == CALLER
    assert sum(one.parent_span_id.hex() == CALLER for one in spans.values()) == 1
    above = {one.parent_span_id.hex() for one in spans.values()} - {CALLER}
    assert above <= spans.keys()
