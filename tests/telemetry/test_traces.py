"""The spans of a run: one trace, their parents and links, their contents, and their times."""

from __future__ import annotations

import json
import shutil
import signal
from pathlib import Path

import pytest

from fsm_orchestrator import RunConfig, StageGiven, resume, run
from fsm_orchestrator.telemetry.delivery import Due
from fsm_orchestrator.telemetry.reading import nanoseconds
from tests.support.collector import Collector, values
from tests.support.command import EVENTS, ORCHESTRATOR_PID, PASSING, orchestrate, shell
from tests.telemetry.telemetry_cases import (
    CALLER,
    GATES,
    PARENT,
    TRACE,
    facts,
    ids,
    made,
    parents,
    sent,
    told,
    tree,
)

ERROR = 2


def test_run_without_a_caller_has_a_trace_of_its_own(tmp_path: Path, collector: Collector) -> None:
    """Everything is below the invocation, which has no parent."""
    report = made(tmp_path, telemetry=False)
    assert sent(tmp_path).problem is None
    assert parents(collector) == {
        "RUN governed_run": {"-"},
        **{key: {"RUN governed_run"} for key in ("gate policy", "gate ci", "gate review")},
        **{key: {"RUN governed_run"} for key in ("manager", "executor")},
    }
    spans = tree(collector)
    assert len({one.trace_id for one in collector.spans}) == 1
    (root,) = spans["RUN governed_run"]
    assert (root.parent_span_id, root.kind, root.status.code) == (b"", 2, 0)
    assert root.start_time_unix_nano == nanoseconds(report.started_at)
    assert root.end_time_unix_nano == nanoseconds(report.finished_at or "")
    assert {key: value for key, value in facts(root).items() if key.startswith("cicd")} == {
        "cicd.pipeline.name": "governed_run",
        "cicd.pipeline.action.name": "RUN",
        "cicd.pipeline.run.id": report.run_id,
        "cicd.pipeline.result": "success",
    }
    (manager,) = spans["manager"]
    said, execution = facts(manager), report.stage_executions[0]
    assert manager.start_time_unix_nano == nanoseconds(execution.started_at)
    assert said["cicd.pipeline.task.run.id"] == execution.idempotency_key
    assert (said["cicd.pipeline.task.run.result"], said["process.exit.code"]) == ("success", 0)
    assert (said["process.executable.path"], said["process.args_count"]) == ("/bin/sh", 4)
    (gate,) = spans["gate ci"]
    assert (facts(gate)["fsm.gate.status"], facts(gate)["fsm.gate.passed"]) == ("success", True)
    for one in collector.spans:
        assert root.start_time_unix_nano <= one.start_time_unix_nano <= one.end_time_unix_nano


def test_caller_is_the_parent_and_a_resume_goes_on_in_its_trace(
    tmp_path: Path, collector: Collector, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A stage gets the very span that is sent of it; a resume by hand links to the earlier one."""
    monkeypatch.setenv("TRACEPARENT", PARENT)
    monkeypatch.setenv("TRACESTATE", "a=b,c=d")
    assert made(tmp_path, {"manager": "true", "executor": "exit 3"}).exit_code == 1
    monkeypatch.delenv("TRACEPARENT")
    monkeypatch.delenv("TRACESTATE")
    stages = {"executor": StageGiven(args=("-c", 'echo "$TRACEPARENT" >> told.again', "executor"))}
    again = RunConfig(output_directory=tmp_path / "out", telemetry=True, stages=stages)
    monkeypatch.setenv("OTEL_TRACES_EXPORTER", "none")  # nothing is sent without asking
    assert resume(again).exit_code == 0
    monkeypatch.delenv("OTEL_TRACES_EXPORTER")
    sent(tmp_path, Due(is_all=True))
    spans = tree(collector)
    first, second = spans["RUN governed_run"]
    assert {one.trace_id.hex() for one in collector.spans} == {TRACE}
    assert (first.parent_span_id.hex(), second.parent_span_id) == (CALLER, b"")
    assert first.trace_state == "a=b,c=d"
    ((link,), attributes) = second.links, values(second.links[0].attributes)
    assert (link.span_id, attributes) == (first.span_id, {"fsm.link": "earlier_invocation"})
    by_stage = {"manager": spans["manager"], "executor": spans["executor"][:1]}
    by_stage["again"] = spans["executor"][1:]
    for stage, found in by_stage.items():
        assert [ids(one) for one in told(tmp_path, stage)] == [
            (one.trace_id.hex(), one.span_id.hex()) for one in found
        ]
    failed = spans["executor"][0]
    assert (failed.status.code, failed.status.message) == (ERROR, "exited with code 3")
    assert facts(failed)["error.type"] == "exited"
    assert (first.status.code, facts(first)["error.type"]) == (ERROR, "exited")
    skipped = [one for one in second.events if one.name == "fsm.stage.skipped"]
    assert [values(one.attributes)["cicd.pipeline.task.name"] for one in skipped] == ["manager"]


def test_retries_verifications_and_the_last_stage(
    tmp_path: Path, collector: Collector, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each attempt, wait and verification has a span, which its process gets."""
    monkeypatch.setenv("TRACEPARENT", PARENT)
    text = (Path(__file__).parents[2] / "states" / "governed_run.toml").read_text()
    done = '[[state]]\nname = "done"'
    cleanup = '[[state]]\nname = "cleanup"\nkind = "stage"\nfinally = true\n\n'
    (tmp_path / "tidy.toml").write_text(text.replace(done, cleanup + done))
    verify = ("/bin/sh", "-c", 'echo "$TRACEPARENT" >> told.verify')
    report = made(
        tmp_path,
        {"manager": "test $ORCHESTRATOR_ATTEMPT = 2", "executor": "sleep 60 &", "cleanup": "true"},
        lifecycle=str(tmp_path / "tidy.toml"),
        settings={
            "manager": {"retry": {"max_attempts": 2, "backoff_ms": 30, "exit_codes": [1]}},
            "executor": {"verify": (verify, ("true",))},
        },
    )
    assert report.exit_code == 0
    sent(tmp_path)
    spans, above = tree(collector), parents(collector)
    assert above["verify executor"] == {"executor"}
    assert above["wait for retry"] == above["cleanup"] == {"RUN governed_run"}
    failed, good = spans["manager"]
    assert [facts(one)["fsm.attempt"] for one in (failed, good)] == [1, 2]
    assert good.links[0].span_id == failed.span_id
    assert facts(good)["fsm.flaky"] is True
    (wait,) = spans["wait for retry"]
    assert failed.end_time_unix_nano <= wait.start_time_unix_nano
    assert wait.end_time_unix_nano - wait.start_time_unix_nano >= 30_000_000
    assert facts(wait)["fsm.wait_ms"] == 30
    first, second = spans["verify executor"]
    assert ids(told(tmp_path, "verify")[0])[1] == first.span_id.hex()
    assert [facts(one)["fsm.verification"] for one in (first, second)] == [1, 2]
    assert facts(spans["cleanup"][0])["fsm.finally"] is True
    (executor,) = spans["executor"]
    assert facts(executor)["fsm.leaked_processes"] == 1
    assert "fsm.process.leaked" in [one.name for one in executor.events]


def test_groups_and_rounds_of_rework_stand_around_their_stages(
    tmp_path: Path, collector: Collector
) -> None:
    """A stage that is sent back to runs within the round, and its first attempt is outside."""
    again = "test $(wc -l < told.executor) = 3 || exit 10"
    made(
        tmp_path,
        {"manager": "true", "executor": "true", "reviewer": again},
        lifecycle="reviewed_run",
    )
    sent(tmp_path)
    spans, above = tree(collector), parents(collector)
    first, second = spans["rework executor"]
    assert [facts(one)["fsm.cycle"] for one in (first, second)] == [2, 3]
    assert first.end_time_unix_nano == second.start_time_unix_nano
    assert [one.parent_span_id for one in spans["executor"]] == [
        spans["RUN reviewed_run"][0].span_id,
        first.span_id,
        second.span_id,
    ]
    assert [facts(one)["fsm.cycle"] for one in spans["executor"]] == [1, 2, 3]
    asked = spans["reviewer"][0]
    assert (asked.status.code, facts(asked)["fsm.ending"]) == (0, "rework_requested")
    assert above["rework executor"] == {"RUN reviewed_run"}
    rounds = collector.metrics["fsm.stage.rework"].sum.data_points
    assert [one.as_int for one in rounds] == [2]


def test_stages_of_a_group_are_within_it(tmp_path: Path, collector: Collector) -> None:
    """The stages of a group are within its span, and those that a failure ended are canceled."""
    checks = {"lint": "sleep 60", "unit_tests": "exit 4", "scan": "sleep 60"}
    made(tmp_path, {"executor": "true", **checks}, lifecycle="checked_run")
    sent(tmp_path)
    spans, above = tree(collector), parents(collector)
    (group,) = spans["group checks"]
    assert all(above[stage] == {"group checks"} for stage in checks)
    assert above["executor"] == above["group checks"] == {"RUN checked_run"}
    for stage in checks:
        (one,) = spans[stage]
        assert group.start_time_unix_nano <= one.start_time_unix_nano
        assert one.end_time_unix_nano <= group.end_time_unix_nano
    results = {one: facts(spans[one][0])["cicd.pipeline.task.run.result"] for one in checks}
    assert results == {"lint": "cancellation", "unit_tests": "failure", "scan": "cancellation"}


def test_wait_for_people_is_seen_and_a_blocked_run_is_no_failure(
    tmp_path: Path, collector: Collector
) -> None:
    """A blocked run is skipped, by the conventions; the wait after it has its own span."""
    assert made(tmp_path, gates={**GATES, "review": "missing"}).exit_code == 3
    assert resume(
        RunConfig(output_directory=tmp_path / "out", gates={"review": "approved"})
    ).closure_ready
    sent(tmp_path)
    spans = tree(collector)
    first, second = spans["RUN governed_run"]
    assert (first.status.code, facts(first)["cicd.pipeline.result"]) == (0, "skip")
    assert facts(first)["error.type"] == "GATE_REVIEW_NOT_APPROVED"
    assert facts(first)["fsm.gates"] == ["review"]
    (wait,) = spans["wait for signals"]
    assert (wait.parent_span_id, facts(wait)["fsm.gates"]) == (first.span_id, ["review"])
    assert wait.start_time_unix_nano == first.end_time_unix_nano
    assert wait.end_time_unix_nano == second.start_time_unix_nano
    missing, approved = spans["gate review"]
    assert (missing.status.code, facts(missing)["fsm.gate.passed"]) == (0, False)
    assert facts(approved)["fsm.gate.passed"] is True


def test_gate_that_refuses_has_failed(tmp_path: Path, collector: Collector) -> None:
    """A gate that refuses has failed, unlike one that somebody can still give."""
    made(tmp_path, gates={**GATES, "policy": "deny"})
    sent(tmp_path)
    (gate,) = tree(collector)["gate policy"]
    reason = "GATE_POLICY_DENIED_OR_UNKNOWN"
    assert (gate.status.code, gate.status.message) == (ERROR, reason)
    assert facts(gate)["fsm.gate.reason_code"] == reason


def test_gate_that_is_asked_again_waits_within_its_span(
    tmp_path: Path, collector: Collector
) -> None:
    """Each wait for a source has its own span, below the gate's and no longer than that."""
    made(tmp_path)
    path = tmp_path / "out" / EVENTS
    lines = path.read_bytes().splitlines()
    at = next(
        n for n, line in enumerate(lines) if b'"gate":"ci"' in line and b"gate.decided" in line
    )
    more = {"event": "gate.waiting", "level": "info", "gate": "ci", "problem": "not_found"}
    decided = json.loads(lines[at])
    kept = {key: decided[key] for key in ("schema_version", "seq", "at", "run_id", "state")}
    lines.insert(at, json.dumps({**kept, **more, "detail": "a secret", "wait_ms": 5000}).encode())
    path.write_bytes(b"\n".join(lines) + b"\n")
    sent(tmp_path)
    spans = tree(collector)
    (gate,), (wait,) = spans["gate ci"], spans["wait for gate"]
    assert (wait.parent_span_id, facts(wait)["fsm.wait_ms"]) == (gate.span_id, 5000)
    assert gate.start_time_unix_nano <= wait.start_time_unix_nano
    assert wait.start_time_unix_nano == wait.end_time_unix_nano == gate.end_time_unix_nano
    assert "secret" not in str(collector.requests)


@pytest.mark.usefixtures("collector")
def test_what_nobody_asked_for_is_sent_by_hand_alone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The last invocation and earlier tries are sent automatically; all others by hand."""
    made(tmp_path, gates={})
    again = RunConfig(output_directory=tmp_path / "out", gates={"policy": "allow"})
    resume(again)
    notes = sent(tmp_path, Due(is_by_hand=False)).notes
    assert [one.invocation for one in notes] == [2]
    with monkeypatch.context() as patched:
        patched.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", "http://127.0.0.1:1")
        resume(again.model_copy(update={"gates": {"ci": "success"}}))
        sent(tmp_path, Due(is_by_hand=False))
    resume(again.model_copy(update={"gates": {"review": "approved"}}))
    notes = sent(tmp_path, Due(is_by_hand=False)).notes
    assert [(one.invocation, one.problem) for one in notes] == [(3, None), (4, None)]
    by_hand = sent(tmp_path)
    assert [one.invocation for one in by_hand.notes] == [1]
    assert by_hand.taken_before == (2, 3, 4)


def test_killed_invocation_is_sent_by_the_next(tmp_path: Path, collector: Collector) -> None:
    """Its spans have the ids that its stages got, and end where it was last seen."""
    once = f"test $ORCHESTRATOR_ATTEMPT = 2 || kill -9 {ORCHESTRATOR_PID}"
    kill = f'echo "$TRACEPARENT" > told; {once}'
    run = ("./out", *PASSING, *shell("manager", kill), "--executor-bin", "true")
    assert orchestrate(*run, cwd=tmp_path, env={"TRACEPARENT": PARENT}).code == -signal.SIGKILL
    first_told = ids((tmp_path / "told").read_text().strip())
    sent(tmp_path, Due(is_by_hand=False))
    assert collector.requests == []  # it may still continue, as far as is known
    assert orchestrate("./out", "--resume", cwd=tmp_path).code == 0
    made_of_both = sent(tmp_path, Due(is_by_hand=False))
    assert [(one.invocation, one.problem) for one in made_of_both.notes] == [(1, None), (2, None)]
    spans = tree(collector)
    lost, good = spans["manager"]
    assert (lost.trace_id.hex(), lost.span_id.hex()) == first_told
    first, second = spans["RUN governed_run"]
    assert (first.status.code, first.status.message) == (ERROR, "killed")
    assert (facts(first)["cicd.pipeline.result"], facts(second)["cicd.pipeline.result"]) == (
        "error",
        "success",
    )
    assert second.links[0].span_id == first.span_id
    assert first.parent_span_id.hex() == CALLER
    assert lost.status.code == ERROR
    assert facts(lost)["cicd.pipeline.task.run.result"] == "cancellation"
    assert lost.end_time_unix_nano <= first.end_time_unix_nano <= second.start_time_unix_nano
    assert {one.trace_id.hex() for one in collector.spans} == {TRACE}
    assert good.parent_span_id == second.span_id
    assert sent(tmp_path).notes == sent(tmp_path, Due(is_by_hand=False)).notes == ()
    assert sent(tmp_path).taken_before == (1, 2)


def test_interrupted_invocation_is_cancelled(tmp_path: Path, collector: Collector) -> None:
    """An interrupted invocation and its stage are canceled, without a failure."""
    asks = f"kill -TERM {ORCHESTRATOR_PID}; sleep 60"
    run = ("./out", *PASSING, *shell("manager", asks), "--executor-bin", "true")
    assert orchestrate(*run, cwd=tmp_path).code == 128 + signal.SIGTERM
    sent(tmp_path)
    spans = tree(collector)
    for span, key in (
        (spans["RUN governed_run"][0], "cicd.pipeline.result"),
        (spans["manager"][0], "cicd.pipeline.task.run.result"),
    ):
        assert (span.status.code, facts(span)[key]) == (ERROR, "cancellation")
        assert facts(span)["error.type"] == "interrupted"


def test_copy_of_a_run_has_a_trace_of_its_own(
    tmp_path: Path, collector: Collector, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A copy links to the invocation that it continues from, in the original's trace."""
    monkeypatch.setenv("TRACEPARENT", PARENT)
    made(tmp_path, gates={"policy": "allow", "ci": "success"})
    monkeypatch.delenv("TRACEPARENT")
    (tmp_path / "copy").mkdir()
    shutil.copytree(tmp_path / "out", tmp_path / "copy" / "out")
    words = ("./copy/out", "--resume", "--as-copy", "--review-status", "approved")
    ended = orchestrate(*words, cwd=tmp_path)
    assert ended.code == 0, ended.stderr
    sent(tmp_path / "copy")
    original, copy = tree(collector)["RUN governed_run"]
    assert original.trace_id.hex() == TRACE
    assert copy.trace_id != original.trace_id
    assert (copy.links[0].trace_id, copy.links[0].span_id) == (
        original.trace_id,
        original.span_id,
    )


def test_invocation_that_hands_over_has_not_failed(tmp_path: Path, collector: Collector) -> None:
    """The invocation ends without a failure, and the resume continues in its trace."""
    stages = {
        "manager": StageGiven(bin="true"),
        "executor": StageGiven(bin="true", task_queue="gpu"),
    }
    out = tmp_path / "out"
    run(RunConfig(output_directory=out, gates=GATES, stages=stages), task_queue="general")
    sent(tmp_path)
    resume(RunConfig(output_directory=out), task_queue="gpu")
    sent(tmp_path)
    first, second = tree(collector)["RUN governed_run"]
    assert (first.status.code, facts(first)["cicd.pipeline.result"]) == (0, "skip")
    assert (second.status.code, facts(second)["cicd.pipeline.result"]) == (0, "success")
    assert first.trace_id == second.trace_id
