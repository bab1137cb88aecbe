"""docs/telemetry.md: its commands run as printed, and its names are those of the code."""

from __future__ import annotations

import os
import re
from pathlib import Path
from typing import Final

import pytest

from fsm_orchestrator.telemetry import delivery, invocation_spans, lines, otlp, sender
from fsm_orchestrator.telemetry.measures import DESCRIBED
from fsm_orchestrator.telemetry.names import Key, Link, Metric, Result, SpanKind, WaitFor
from tests.support.collector import collecting
from tests.support.guide import follow

pytestmark = pytest.mark.one_in(2)

GUIDE: Final = Path(__file__).parents[2] / "docs" / "telemetry.md"
METRICS: Final = "<!-- metrics -->\n"


def test_commands_print_what_the_guide_says(monkeypatch: pytest.MonkeyPatch) -> None:
    """Every command of the guide works, in its order, with a collector that takes what is sent."""
    with collecting() as collector:
        monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", collector.url)
        follow(GUIDE)
        assert collector.spans != []


def test_attributes_are_those_of_the_guide() -> None:
    """Each attribute is explained once, in the order of the code."""
    text = GUIDE.read_text()
    table = text[text.index("<!-- attributes -->") : text.index("### Metrics")]
    assert re.findall(r"^\| `([^`]+)` \|", table, re.MULTILINE) == [one.value for one in Key]
    for words in (*Result, *Link, *WaitFor):
        assert f"`{words}`" in table or f"`{SpanKind.WAIT} {words}`" in text


def test_metrics_are_those_of_the_guide() -> None:
    """The table is made from the code."""
    rows = ["| metric | kind | unit | what it counts |", "|---|---|---|---|"]
    for metric in Metric:
        shape, unit, words = DESCRIBED[metric]
        rows.append(f"| `{metric}` | {shape.value} | `{unit}` | {words.removesuffix('.')} |")
    text = GUIDE.read_text()
    head, _, rest = text.partition(METRICS)
    _, blank, tail = rest.partition("\n\n")
    now = f"{head}{METRICS}" + "\n".join(rows) + blank + tail
    if "REWRITE_GOLDEN" in os.environ:
        GUIDE.write_text(now)
    assert now == GUIDE.read_text()


def test_spans_and_bounds_are_those_of_the_guide() -> None:
    """Names and numbers in the guide's sentences are those of the code."""
    text = GUIDE.read_text()
    table = text[text.index("### Spans") : text.index("### Attributes")]
    for kind in SpanKind:
        is_named = f"`{kind} " in table
        assert is_named or kind is SpanKind.ATTEMPT, kind
    for words in WaitFor:
        assert f"`{SpanKind.WAIT} {words}`" in table
    text = " ".join(text.split())
    assert f"takes {delivery.SECONDS_MAX:.0f} seconds at most" in text
    assert f"for {sender.REST_SECONDS:.0f} seconds" in text
    assert sender.IDLE_SECONDS == 1
    assert f"{otlp.TEXT_CHARACTERS_MAX} characters at most" in text
    assert invocation_spans.SPANS_MAX == lines.LINES_MAX == 5_000
    assert "5,000 spans and 5,000 log records" in text
