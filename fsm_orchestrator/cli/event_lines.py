"""Events as text, one readable line each, for people who read a log."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Final

from fsm_orchestrator.model.base import ExitMeaning
from fsm_orchestrator.text.hidden import copyable, printable, shell_line
from fsm_orchestrator.text.json_output import json_text
from fsm_orchestrator.text.terminal import shown_line
from fsm_orchestrator.text.units import exact_span, span_words
from fsm_orchestrator.vocabulary import EventName, GateSource, OutputStream, StageStatus


def line_of(event: Mapping[str, Any]) -> str | None:
    """Return an event as one line of text, or None if another line says the same."""
    render = _RENDERERS.get(EventName(event["event"]))
    return None if render is None else printable(render(event))


def document_of(event: Mapping[str, Any]) -> str | None:
    """Return the JSON document that an event shows below its line, or None."""
    is_shown = event["event"] == EventName.REPORT_UNPLACED
    return json_text(event["report"]) if is_shown else None


def _gate(event: Mapping[str, Any]) -> str:
    decision = event["decision"]
    verdict = "passed" if decision["passed"] else f"refused, {decision['reason_code']}"
    if event.get("is_judged_elsewhere") and not decision["passed"]:
        verdict = "not judged here"
    evidence = decision["evidence"]
    is_by_signal = decision["source"] != GateSource.EVIDENCE
    said = "" if evidence is None or is_by_signal else f": {evidence['detail']}"
    return f"gate {decision['gate']}: {decision['status']}: {verdict}{said}"


def _stage_started(event: Mapping[str, Any]) -> str:
    limit = exact_span(event["timeout_ms"])
    said = f", limit {limit} (the default)" if event["is_default_timeout"] else ""
    if (work := event.get("verifies_attempt")) is not None:
        said = f": verifies again what attempt {work} did"
    return f"{event['stage']}: started, attempt {event['attempt']}{said}"


def _stage_ended(event: Mapping[str, Any]) -> str:
    execution = event["execution"]
    took = span_words(execution["duration_ms"])
    if execution["status"] == StageStatus.SUCCESS:
        return f"{event['stage']}: succeeded in {took}"
    if execution["ending"] in {one.ending for one in ExitMeaning}:
        return f"{event['stage']}: {execution['error']}, after {took}"
    return f"{event['stage']}: {execution['status']} after {took}: {execution['error']}"


def _verification_started(event: Mapping[str, Any]) -> str:
    count = event["of_verifications"]
    number = "" if count == 1 else f" {event['verification']} of {count}"
    words = shell_line((event["command"], *event["args"]))
    return f"{event['stage']}: verification{number}: {words}"


def _verification_ended(event: Mapping[str, Any]) -> str:
    record = event["record"]
    took, problem = span_words(record["duration_ms"]), record["problem"]
    how = f"succeeded in {took}" if problem is None else f"failed after {took}: {problem['cause']}"
    return f"{event['stage']}: verification {event['verification']} {how}"


def _output(event: Mapping[str, Any]) -> str:
    sign = "!" if event["stream"] == OutputStream.STDERR else "|"
    text = shown_line(event["text"])
    return f"{event['stage']} {sign} {text}{' [cut off]' if event['is_cut'] else ''}"


def _interrupted(event: Mapping[str, Any]) -> str:
    ended = f"; ended its remaining processes: {event['ended_pids']}" if event["ended_pids"] else ""
    return f"{event['stage']}: attempt {event['attempt']} was interrupted{ended}"


def _unplaced(event: Mapping[str, Any]) -> str:
    directory = copyable(event["directory"])
    there = "; it is in a new directory there" if event["is_written"] else ""
    return (
        f"error: the output directory {directory} was lost, and this is the last report of its run"
        f"{there}:"
    )


_RENDERERS: Final[Mapping[EventName, Callable[[Mapping[str, Any]], str]]] = {
    EventName.RUN_STARTED: lambda event: (
        f"{event['execution_mode']} {event['run_id']} ({event['lifecycle']})"
    ),
    EventName.GATE_WAITING: lambda event: (
        f"gate {event['gate']}: not there yet, asked again in {span_words(event['wait_ms'])}:"
        f" {event['detail']}"
    ),
    EventName.GATE_DECIDED: _gate,
    EventName.STAGE_STARTED: _stage_started,
    EventName.STAGE_OUTPUT: _output,
    EventName.VERIFICATION_STARTED: _verification_started,
    EventName.VERIFICATION_ENDED: _verification_ended,
    EventName.STAGE_ENDED: _stage_ended,
    EventName.ARTIFACT_SLOW: lambda event: (
        f"{event['stage']}: still judging its artifacts after {span_words(event['elapsed_ms'])},"
        f" now {copyable(event['path'])}"
    ),
    EventName.STAGE_SKIPPED: lambda event: (
        f"{event['stage']}: skipped, {event['execution']['reason']}"
    ),
    EventName.WARNING: lambda event: f"warning: {event['message']}",
    EventName.ATTEMPT_INTERRUPTED: _interrupted,
    EventName.BUDGET_SPENT: lambda event: f"stopped: {event['execution']['error']}",
    EventName.CLOSURE_REFUSED: lambda event: f"closing refused: {event['execution']['error']}",
    EventName.RECORDING_FAILED: lambda event: f"error: {event['error']}",
    EventName.RUN_REFUSED: lambda event: f"error: {event['error']}",
    EventName.REPORT_UNPLACED: _unplaced,
    EventName.RUN_CRASHED: lambda event: str(event["traceback"]),
}
