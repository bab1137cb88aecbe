"""Runs to be sent, and what a collector gets of them."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Final

from fsm_orchestrator import Report, RunConfig, StageGiven, run
from fsm_orchestrator.inspection.inspected_run import inspect_run
from fsm_orchestrator.telemetry.delivery import Delivered, Due, deliver
from tests.support.collector import Collector, values

GATES: Final = {"policy": "allow", "ci": "success", "review": "approved"}
TRACE: Final = "0af7651916cd43dd8448eb211c80319c"
CALLER: Final = "b7ad6b7169203331"
PARENT: Final = f"00-{TRACE}-{CALLER}-01"
TELL: Final = 'echo "$TRACEPARENT" >> "told.$0";'
"""The shell words with which a stage records its trace context."""


def sh(folder: Path, stage: str, words: str = "true", **settings: Any) -> StageGiven:
    """Return a stage that records its trace context, and then runs these words in a shell."""
    told = (f"{TELL} {words}", stage)
    return StageGiven(bin="/bin/sh", args=("-c", *told), cwd=str(folder), **settings)


def made(folder: Path, words: dict[str, str] | None = None, **asked: Any) -> Report:
    """Make a run in `out`: manager and executor, or the stages with the given words."""
    given = {"manager": "true", "executor": "true"} if words is None else words
    settings = asked.pop("settings", {})
    stages = {one: sh(folder, one, said, **settings.get(one, {})) for one, said in given.items()}
    out = folder / "out"
    return run(RunConfig(output_directory=out, stages=stages, **{"gates": GATES, **asked}))


def sent(folder: Path, due: Due | None = None) -> Delivered:
    """Send the run in `out`, as by hand unless `due` says otherwise."""
    return deliver(inspect_run(folder / "out"), due or Due())


def told(folder: Path, stage: str) -> list[str]:
    """Return the trace context that each start of a stage got."""
    return (folder / f"told.{stage}").read_text().splitlines()


def ids(told_by: str) -> tuple[str, str]:
    """Return the trace and the span that a TRACEPARENT names."""
    _, trace, span, _ = told_by.split("-")
    return trace, span


def tree(collector: Collector) -> dict[str, list[Any]]:
    """Return the spans by name, each list in order of their beginnings."""
    found: dict[str, list[Any]] = {}
    for span in sorted(collector.spans, key=lambda one: one.start_time_unix_nano):
        found.setdefault(span.name, []).append(span)
    return found


def parents(collector: Collector) -> dict[str, set[str]]:
    """Return the names of the parent spans of each name; `-` for a parent that was not sent."""
    names = {one.span_id: one.name for one in collector.spans}
    found: dict[str, set[str]] = {}
    for one in collector.spans:
        found.setdefault(one.name, set()).add(names.get(one.parent_span_id, "-"))
    return found


def facts(span: Any) -> dict[str, Any]:
    """Return the attributes of a span."""
    return values(span.attributes)
