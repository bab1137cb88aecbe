"""The metrics and log records of a run, and what is never sent."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from fsm_orchestrator import RunConfig, StageGiven, run
from fsm_orchestrator.telemetry import invocation_spans, lines
from fsm_orchestrator.telemetry.delivery import Due
from tests.support.collector import Collector, values
from tests.support.command import EVENTS, orchestrate
from tests.telemetry.telemetry_cases import GATES, made, sent, tree

DELTA, CUMULATIVE = 1, 2


def points(collector: Collector, name: str) -> list[tuple[dict[str, Any], float]]:
    """Return the points of a metric: attributes without the lifecycle's name, and values."""
    metric = collector.metrics[name]
    kind = metric.WhichOneof("data")
    found = []
    for one in getattr(metric, kind).data_points:
        said = values(one.attributes)
        assert said.pop("cicd.pipeline.name") == "governed_run"
        number = one.sum if kind == "histogram" else getattr(one, one.WhichOneof("value"))
        found.append((said, number))
    return found


def test_metrics_of_a_run(tmp_path: Path, collector: Collector) -> None:
    """Outcomes, durations, retries, leaks and budgets are metrics of this invocation alone."""
    spend = 'echo \'{"unit": "usd", "amount": 1.5}\' >> "$ORCHESTRATOR_METER"'
    report = made(
        tmp_path,
        {"manager": "test $ORCHESTRATOR_ATTEMPT = 2", "executor": f"{spend}; sleep 60 &"},
        settings={"manager": {"retry": {"max_attempts": 2, "backoff_ms": 0, "exit_codes": [1]}}},
        budget={"usd": 5},
        run_timeout_ms=60_000,
    )
    assert report.closure_ready
    sent(tmp_path)
    done: dict[str, Any] = {"fsm.outcome": "done", "fsm.closure_ready": True}
    assert points(collector, "fsm.runs") == [(done, 1)]
    ((said, seconds),) = points(collector, "cicd.pipeline.run.duration")
    assert said == {"cicd.pipeline.run.state": "executing", "cicd.pipeline.result": "success"}
    (root,) = tree(collector)["RUN governed_run"]
    took = (root.end_time_unix_nano - root.start_time_unix_nano) / 1e9
    assert seconds == pytest.approx(took)
    task, result = "cicd.pipeline.task.name", "cicd.pipeline.task.run.result"
    by_stage = points(collector, "fsm.stage.duration")
    assert [(one[task], one[result]) for one, _ in by_stage] == [
        ("manager", "failure"),
        ("manager", "success"),
        ("executor", "success"),
    ]
    assert points(collector, "fsm.stage.retries") == [({task: "manager"}, 1)]
    assert points(collector, "fsm.process.leaks") == [({task: "executor"}, 1)]
    usd = {"fsm.budget.unit": "usd"}
    assert points(collector, "fsm.budget.spent") == [({task: "executor", **usd}, 1.5)]
    assert points(collector, "fsm.budget.allowed") == [(usd, 5)]
    limit = {"fsm.budget.limit": "run_timeout"}
    assert points(collector, "fsm.budget.time.allowed") == [(limit, 60)]
    ((_, worked),) = points(collector, "fsm.budget.time.worked")
    assert 0 < worked <= took
    gates = points(collector, "fsm.gate.decisions")
    passed = [({"fsm.gate": gate, "fsm.gate.passed": True}, 1) for gate in GATES]
    assert sorted(gates, key=str) == sorted(passed, key=str)
    assert "cicd.pipeline.run.errors" not in collector.metrics
    for metric in collector.metrics.values():
        if metric.WhichOneof("data") == "gauge":
            continue
        data = getattr(metric, metric.WhichOneof("data"))
        assert data.aggregation_temporality == DELTA
        for one in data.data_points:
            assert one.start_time_unix_nano == root.start_time_unix_nano
            assert one.time_unix_nano == root.end_time_unix_nano


def test_failure_is_counted_and_sums_are_added_up_where_asked(
    tmp_path: Path, collector: Collector, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A failure is counted; a backend without deltas gets the sums of one process."""
    name = "OTEL_EXPORTER_OTLP_METRICS_TEMPORALITY_PREFERENCE"
    monkeypatch.setenv(name, "cumulative")
    report = made(tmp_path, {"manager": "exit 1", "executor": "true"})
    sent(tmp_path)
    assert points(collector, "fsm.runs") == [({"fsm.outcome": "failed"}, 1)]
    assert points(collector, "cicd.pipeline.run.errors") == [({"error.type": "failed"}, 1)]
    assert collector.metrics["fsm.runs"].sum.aggregation_temporality == CUMULATIVE
    (resource,) = collector.requests[1][1].resource_metrics
    instance = values(resource.resource.attributes)["service.instance.id"]
    assert instance == f"{report.run_id}.1"


def test_log_records_are_the_events_with_their_spans(tmp_path: Path, collector: Collector) -> None:
    """Each event is a log record with its time and level, in the span of its attempt."""
    made(tmp_path, {"manager": "true", "executor": "exit 1"})
    sent(tmp_path)
    kept = [json.loads(one) for one in (tmp_path / "out" / EVENTS).read_text().splitlines()]
    seqs = {one["seq"]: one for one in kept}
    for record in collector.records:
        event = seqs[values(record.attributes)["fsm.event.seq"]]
        assert record.event_name == f"fsm.{event['event']}"
        assert record.severity_text == event["level"].upper()
        assert record.trace_id == collector.spans[0].trace_id
    by_name: dict[str, list[Any]] = {}
    for record in collector.records:
        by_name.setdefault(record.event_name, []).append(record)
    spans = tree(collector)
    (ended,) = [one for one in by_name["fsm.stage.ended"] if one.severity_text == "ERROR"]
    assert ended.body.string_value == "stage.ended: executor: failure: exited with code 1"
    assert ended.span_id == spans["executor"][0].span_id
    assert by_name["fsm.run.ended"][0].span_id == spans["RUN governed_run"][0].span_id
    assert {"fsm.record.kept", "fsm.attempt.begun"}.isdisjoint(by_name)


def test_nothing_private_is_sent(
    tmp_path: Path, collector: Collector, monkeypatch: pytest.MonkeyPatch
) -> None:
    """No argument of a command, stage output, secret or setting is sent."""
    monkeypatch.setenv("KEY", "declared-value-of-a-secret")
    words = "echo printed-by-it; echo printed-to-stderr >&2; sleep 61 & exit $0"
    bad = StageGiven(
        bin="/bin/sh",
        args=("-c", words, "0", "an-argument"),
        env={"SETTING": "a-setting"},
        secrets={"KEY": None},
        verify=(("/bin/sh", "-c", "echo verified-by >&2; exit 1", "argument-of-a-check"),),
        slow_after_ms=1,
    )
    out = tmp_path / "out"
    stages = {"manager": bad, "executor": StageGiven(bin="declared-value-of-a-secret")}
    asked = RunConfig(output_directory=out, gates=GATES, stages=stages, log_output=True)
    assert run(asked).exit_code == 1
    assert run(asked.model_copy(update={"resume": True, "stages": {}})).exit_code == 1
    sent(tmp_path, Due(is_all=True))
    everything = "".join(str(request) for _, request, _ in collector.requests)
    for text in (
        *("printed-by-it", "printed-to-stderr", "an-argument", "a-setting", "declared-value"),
        *("verified-by", "argument-of-a-check", "sleep 61", "KEY"),
    ):
        assert text not in everything, text
    assert "verification_failed" in everything


def test_sizes_are_bounded(
    tmp_path: Path, collector: Collector, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Of many spans the first are sent with a count of the others; of log records, the last."""
    monkeypatch.setattr(invocation_spans, "SPANS_MAX", 3)
    monkeypatch.setattr(lines, "LINES_MAX", 2)
    long = tmp_path / ("x" * 250)
    long.symlink_to("/bin/sh")
    stages = {"manager": StageGiven(bin=str(long), args=("-c", "true"))}
    run(RunConfig(output_directory=tmp_path / "out", gates=GATES, stages=stages, allow_empty=True))
    sent(tmp_path)
    root, *rest = collector.spans
    assert (len(rest), values(root.attributes)["fsm.spans_left_out"]) == (2, 2)
    assert [one.event_name for one in collector.records] == ["fsm.transition", "fsm.run.ended"]
    monkeypatch.setattr(invocation_spans, "SPANS_MAX", 100)
    collector.requests.clear()
    sent(tmp_path, Due(is_all=True))
    (manager,) = tree(collector)["manager"]
    assert len(values(manager.attributes)["process.executable.path"]) == 200


def test_hostile_events_are_passed_over(tmp_path: Path, collector: Collector) -> None:
    """Events that a stage may have forged are skipped."""
    made(tmp_path)
    path = tmp_path / "out" / EVENTS
    hostile = (b"no json", b"[]", b'{"event": 1}', b'{"event": "run.ended"}', b'{"event": "odd"}')
    whole = path.read_bytes()
    path.write_bytes(b"\n".join((*hostile, whole + b"\n".join(hostile), b'{"event": "torn')))
    assert sent(tmp_path).problem is None
    assert len(tree(collector)["RUN governed_run"]) == 1


def test_run_of_a_wholly_broken_record_is_refused(tmp_path: Path) -> None:
    """A run without any valid record is refused by hand like a directory without a run."""
    made(tmp_path)
    for name in ("orchestrator_checkpoint.json", "orchestrator_run_report.json"):
        (tmp_path / "out" / name).write_text("{}")
    ended = orchestrate("telemetry", "export", "./out", cwd=tmp_path)
    assert (ended.code, "Traceback" in ended.stderr) == (1, False)
