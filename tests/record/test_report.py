from __future__ import annotations

import contextlib
import itertools
import json
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from fsm_orchestrator import load_report, run
from fsm_orchestrator.config.run_config import RunConfig, StageGiven
from fsm_orchestrator.gates.judging import GateSignal, judge
from fsm_orchestrator.model.gate_rules import MANDATORY_RULES
from fsm_orchestrator.model.invocation import GateDecision, InvocationRecord, SignalGiven
from fsm_orchestrator.record import checkpoint_reader
from fsm_orchestrator.record.checkpoint import Checkpoint
from fsm_orchestrator.record.report import Report
from fsm_orchestrator.record.report_building import build_report
from fsm_orchestrator.vocabulary import Gate, GateSource, Outcome
from tests.support.command import (
    CHECKPOINT,
    EVENTS,
    PASSING,
    REPORT,
    accepting,
    checkpoint_of,
    events_of,
    orchestrate,
    report_of,
    shell,
    stages,
    start,
    statuses,
)

REPORT_KEYS = (
    *("schema_version", "product", "version", "run_id", "lifecycle", "subject"),
    *("own_gates", "execution_mode"),
    *("terminal_state", "closure_ready", "exit_code"),
    *("current_state", "blocked_reason_codes"),
    *(
        "waiting_for",
        "gate_decisions",
        "stage_executions",
        "transitions",
        "containment",
        "warnings",
        "rebuilt",
        "accepted",
    ),
    *(
        "origin",
        "started_at",
        "finished_at",
        "events_head",
        "invocations_moved",
        "earlier_invocations",
    ),
)
EXECUTION_KEYS = (
    *(
        "stage",
        "attempt",
        "idempotency_key",
        "status",
        "ending",
        "flaky",
        "reason",
        "start_problem",
        "error",
        "problem",
        "command",
        "args",
    ),
    *(
        "env_keys",
        "cwd",
        "limit_exceeded",
        "confinement",
        "started_at",
        "duration_ms",
        "artifacts_judged_ms",
    ),
    *("exit_code", "signal"),
    *("missing_artifacts", "malformed_artifacts", "stale_artifacts", "artifacts"),
    *("stdout_log", "stderr_log", "stderr_tail", "postmortem", "no_postmortem", "leaked_count"),
    *("leaked_processes", "resources"),
)
DECISION_KEYS = ("gate", "status", "passed", "reason_code", "source", "given", "evidence")
TRANSITION_KEYS = ("seq", "trigger", "source", "dest", "at", "cause", "details")
LEAVING = "sleep 60 & echo '{}' > plan.json"
PLAN = ("--manager-expected-artifact", "plan.json")


def spoken_twice(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    """Return a JSON object, in which no key may be repeated."""
    assert len(dict(pairs)) == len(pairs)
    return dict(pairs)


LEFT_OUT = ("program",)
"""The keys that are present only if they have a value."""


def assert_ordered(report: dict[str, Any]) -> None:
    """Assert that each object in a report has all its keys, in their order."""
    assert tuple(report) == REPORT_KEYS
    if report["lifecycle"] is not None:
        assert tuple(report["lifecycle"]) == ("name", "sha256")
    for decision in report["gate_decisions"]:
        assert tuple(decision) == DECISION_KEYS
    for transition in report["transitions"]:
        assert tuple(transition) == TRANSITION_KEYS
    for execution in report["stage_executions"]:
        assert tuple(key for key in execution if key not in LEFT_OUT) == EXECUTION_KEYS
        assert_said_twice(execution)
        for artifact in execution["artifacts"]:
            assert tuple(artifact) == ("path", "sha256", "size_bytes", "judged_by")
        if execution["resources"] is not None:
            assert tuple(execution["resources"]) == (
                *("user_seconds", "system_seconds", "rss_bytes_max"),
            )


def assert_said_twice(execution: dict[str, Any]) -> None:
    """Assert that the problem of a stage execution is its error, split into cause and details."""
    problem = execution["problem"]
    if problem is None:
        assert execution["error"] is None
    else:
        assert tuple(problem) == ("cause", "details")
        assert execution["error"] == "; ".join((problem["cause"], *problem["details"]))


# -- shape ----------------------------------------------------------------------------------


def test_every_report_has_all_fields_in_their_order(tmp_path: Path) -> None:
    """Done, failed, blocked, resumed and refused runs all have one shape and one order."""
    output = tmp_path / "out"
    ways = (
        ((*PASSING, *stages(LEAVING), *PLAN), 0),
        (("--resume",), 0),
        ((*PASSING, *stages("exit 1")), 1),
        ((), 3),
    )
    for options, code in ways:
        assert orchestrate("./out", *options, cwd=tmp_path).code == code
        text = (output / REPORT).read_bytes()
        assert text.endswith(b"}\n")
        assert_ordered(json.loads(text.decode(), object_pairs_hook=spoken_twice))
        assert Report.model_validate_json(text).to_json() == text
    (output / CHECKPOINT).write_text("{}")
    assert orchestrate("out", "--resume", cwd=tmp_path).code == 1
    assert_ordered(report_of(output))


def test_a_done_run_is_told_in_full(tmp_path: Path) -> None:
    """The report of a done run has its origin, lifecycle, stages, artifacts and leftovers."""
    options = (*PASSING, *stages(LEAVING), *PLAN, "--run-id", "mine")
    shown = orchestrate("out", *options, "--json", cwd=tmp_path)
    report = report_of(tmp_path / "out")
    assert json.loads(shown.stdout) == report
    assert (report["schema_version"], report["product"]) == (1, "fsm-orchestrator")
    assert (report["run_id"], report["lifecycle"]["name"]) == ("mine", "governed_run")
    assert (report["terminal_state"], report["current_state"]) == ("done", "done")
    assert (report["closure_ready"], report["exit_code"]) == (True, 0)
    assert report["blocked_reason_codes"] == []
    manager = report["stage_executions"][0]
    assert (manager["status"], manager["error"], manager["signal"]) == ("success", None, None)
    assert (manager["exit_code"], manager["attempt"]) == (0, 1)
    (artifact,) = manager["artifacts"]
    assert (artifact["path"], artifact["size_bytes"]) == (str(tmp_path / "plan.json"), 3)
    (leaked,) = manager["leaked_processes"]
    assert tuple(leaked) == ("pid", "command", "age_seconds", "rss_bytes")
    assert str(leaked["pid"]) in report["warnings"][0]
    walk = [(one["seq"], one["trigger"], one["dest"]) for one in report["transitions"]]
    assert walk == [
        (1, "start", "gating"),
        (2, "gates_passed", "manager"),
        (3, "stage_succeeded", "executor"),
        (4, "stage_succeeded", "done"),
    ]


@pytest.mark.parametrize(
    ("options", "code", "state", "status"),
    [
        (("--ci-status", "failure", *stages()), 3, "blocked", None),
        ((*PASSING, *shell("manager", "exit 5")), 1, "failed", "failed"),
        ((*PASSING, "--manager-bin", "./none"), 1, "failed", "spawn_failed"),
        ((*PASSING, *shell("manager", ":"), *PLAN), 1, "failed", "artifact_missing"),
        (
            (*PASSING, *shell("manager", "exec sleep 60"), "--timeout-ms", "50"),
            *(124, "timeout", "timeout"),
        ),
    ],
    ids=["blocked", "non-zero", "not spawned", "artifact", "timeout"],
)
def test_a_run_that_did_not_reach_done_says_so_and_why(
    tmp_path: Path, options: tuple[str, ...], code: int, state: str, status: str | None
) -> None:
    """A run that did not reach done reports state, exit code, reason codes if blocked, error."""
    assert orchestrate("./out", *options, cwd=tmp_path).code == code
    report = report_of(tmp_path / "out")
    assert (report["terminal_state"], report["exit_code"]) == (state, code)
    assert (report["closure_ready"], report["current_state"]) == (False, state)
    refused = [one["reason_code"] for one in report["gate_decisions"] if not one["passed"]]
    assert report["blocked_reason_codes"] == refused
    assert bool(refused) is (state == "blocked")
    assert [one["status"] for one in report["stage_executions"]] == [status] * bool(status)
    assert all(one["error"] for one in report["stage_executions"])


# -- phases of a run ------------------------------------------------------------------------


@contextlib.contextmanager
def in_mid_stage(directory: Path, *options: str) -> Iterator[None]:
    """Hold a run in `out` in its manager; leaving the block lets it run to its end."""
    for name in ("begun", "go"):
        os.mkfifo(directory / name)
    manager = shell("manager", "echo begun > begun; read go < go")
    process = start("out", *PASSING, *manager, *options, cwd=directory)
    try:
        assert (directory / "begun").read_text() == "begun\n"
        yield
        (directory / "go").write_text("go\n")
        process.communicate(timeout=60)
        assert process.returncode == 0
    finally:
        if process.poll() is None:
            process.terminate()
            process.communicate(timeout=60)


def test_the_report_of_a_running_run_has_no_outcome(tmp_path: Path) -> None:
    """The report of a working run has no terminal state, nothing of an older run, every event."""
    orchestrate("out", *PASSING, *stages(), "--run-id", "older", cwd=tmp_path)
    with in_mid_stage(tmp_path, "--run-id", "newer"):
        report = report_of(tmp_path / "out")
        assert_ordered(report)
        assert (report["run_id"], report["terminal_state"]) == ("newer", None)
        assert (report["closure_ready"], report["exit_code"]) == (False, None)
        assert (report["finished_at"], report["current_state"]) == (None, "manager")
        assert [one["dest"] for one in report["transitions"]] == ["gating", "manager"]
        assert [one["passed"] for one in report["gate_decisions"]] == [True] * 3
        assert (report["stage_executions"], report["earlier_invocations"]) == ([], [])
        opened = checkpoint_of(tmp_path / "out")["open_attempts"][0]
        assert (opened["stage"], opened["attempt"]) == ("manager", 1)
    report = report_of(tmp_path / "out")
    assert (report["run_id"], report["terminal_state"]) == ("newer", "done")


def test_the_report_of_a_running_resume_has_no_outcome(tmp_path: Path) -> None:
    """The report of a working resume has the failure as an earlier invocation only."""
    orchestrate("out", *PASSING, *shell("manager", "exit 1"), cwd=tmp_path)
    with in_mid_stage(tmp_path, "--resume"):
        report = report_of(tmp_path / "out")
        assert (report["terminal_state"], report["execution_mode"]) == (None, "resume")
        assert (report["exit_code"], report["stage_executions"]) == (None, [])
        (earlier,) = report["earlier_invocations"]
        assert (earlier["exit_code"], earlier["stage_executions"][0]["status"]) == (1, "failed")


# -- closure --------------------------------------------------------------------------------


GIVEN = SignalGiven(at="2026-01-02T03:04:05.000Z", invocation=1, user="ann", uid=1000, host="here")


def decisions(*passing: bool) -> tuple[GateDecision, ...]:
    """Return the verdicts of the three gates, passing or not."""
    values = {Gate.POLICY: "allow", Gate.CI: "success", Gate.REVIEW: "approved"}
    refusing = {Gate.POLICY: "deny", Gate.CI: "pending", Gate.REVIEW: "missing"}
    return judge(
        MANDATORY_RULES,
        tuple(
            GateSignal(
                gate=gate,
                status=(values if passes else refusing)[gate],
                source=GateSource.FLAG,
                given=GIVEN,
            )
            for gate, passes in zip(Gate, passing, strict=True)
        ),
    )


@pytest.fixture(scope="module")
def done_checkpoint(tmp_path_factory: pytest.TempPathFactory) -> Checkpoint:
    """Return the checkpoint of a run that reached done."""
    directory = tmp_path_factory.mktemp("done")
    config = RunConfig(
        output_directory="out",
        directory=str(directory),
        gates={Gate.POLICY: "allow", Gate.CI: "success", Gate.REVIEW: "approved"},
        stages={name: StageGiven(bin="true") for name in ("manager", "executor")},
    )
    assert run(config).closure_ready
    return checkpoint_reader.load(config.output_path)


def judged_by(checkpoint: Checkpoint, verdicts: tuple[GateDecision, ...], state: str) -> Checkpoint:
    """Return the checkpoint with other verdicts, in another state."""
    invocation = checkpoint.invocation.model_copy(update={"gate_decisions": verdicts})
    return checkpoint.model_copy(
        update={"current_state": state, "invocations": (*checkpoint.invocations[:-1], invocation)}
    )


def test_closure_ready_is_true_in_one_case_only(done_checkpoint: Checkpoint) -> None:
    """Only a done run with all gates passed and intact artifacts is ready to close."""
    ready = set()
    states = ("manager", "done", "blocked", "failed", "timeout")
    passing = itertools.product((True, False), repeat=3)
    for state, passes, intact in itertools.product(states, passing, (True, False)):
        report = build_report(
            judged_by(done_checkpoint, decisions(*passes), state), artifacts_intact=intact
        )
        assert report.terminal_state == (None if state == "manager" else Outcome(state))
        if report.closure_ready:
            ready.add((state, passes, intact))
        codes = [one.reason_code for one in report.gate_decisions if not one.passed]
        assert list(report.blocked_reason_codes) == (codes if state == "blocked" else [])
    assert ready == {("done", (True, True, True), True)}


def test_closure_is_never_ready_without_verdicts_or_when_the_end_was_not_kept(
    done_checkpoint: Checkpoint,
) -> None:
    """Without verdicts, or if done could not be recorded, no run is ready to close."""
    without = judged_by(done_checkpoint, (), "done")
    assert not build_report(without, artifacts_intact=True).closure_ready
    partly = judged_by(done_checkpoint, decisions(True, True, True)[:2], "done")
    assert not build_report(partly, artifacts_intact=True).closure_ready
    lost = build_report(done_checkpoint, artifacts_intact=True, outcome=Outcome.FAILED)
    assert (lost.terminal_state, lost.closure_ready) == (Outcome.FAILED, False)
    assert build_report(done_checkpoint, artifacts_intact=True).closure_ready


# -- one record, three renderings -----------------------------------------------------------


def test_checkpoint_report_and_log_tell_the_same(tmp_path: Path) -> None:
    """Each transition, decision and execution is the same record in checkpoint, report and log."""
    ways = (
        (*PASSING, *stages(LEAVING, "echo why >&2; exit 3"), *PLAN),
        ("--resume", "--review-status", "missing"),
        ("--resume", "--review-status", "approved"),
    )
    logged_before = 0
    for options in ways:
        ended = orchestrate("out", *options, cwd=tmp_path)
        report = report_of(tmp_path / "out")
        kept = checkpoint_of(tmp_path / "out")["invocations"][-1]
        events = events_of(tmp_path / "out")[logged_before:]
        logged_before += len(events)
        logged: dict[str, list[Any]] = {
            key: [event[key] for event in events if key in event]
            for key in ("transition", "decision", "execution")
        }
        assert ended.events == [one for one in events if one["level"] != "debug"]
        assert kept["transitions"] == report["transitions"] == logged["transition"]
        assert kept["gate_decisions"] == report["gate_decisions"] == logged["decision"]
        assert kept["stage_executions"] == report["stage_executions"] == logged["execution"]
        assert [one["message"] for one in events if one["event"] == "run.warning"] == (
            report["warnings"]
        )
        assert kept["warnings"] == report["warnings"]
        checkpoint = checkpoint_reader.load(tmp_path / "out")
        rendered = build_report(checkpoint, artifacts_intact=True).to_json()
        assert rendered == (tmp_path / "out" / REPORT).read_bytes()
    assert statuses(report) == [("manager", "skipped"), ("executor", "failed")]


# -- the numbering of the log ---------------------------------------------------------------


def test_events_and_transitions_are_numbered_without_gaps_over_resumes(tmp_path: Path) -> None:
    """Events have one sequence over all invocations: failed, blocked, refused or done."""
    orchestrate("out", *PASSING, *stages("exit 0", "exit 1"), cwd=tmp_path)
    for options in (
        ("--ci-status", "failure"),
        ("--manager-arg", "refused"),
        ("--ci-status", "success", "--executor-bin", "true"),
        (),
    ):
        orchestrate("out", "--resume", *options, cwd=tmp_path)
    events = events_of(tmp_path / "out")
    assert [event["seq"] for event in events] == list(range(1, len(events) + 1))
    assert {event["run_id"] for event in events} == {report_of(tmp_path / "out")["run_id"]}
    assert {event["event"] for event in events} >= {"run.started", "stage.skipped", "run.ended"}
    invocations = checkpoint_of(tmp_path / "out")["invocations"]
    numbers = [one["seq"] for each in invocations for one in each["transitions"]]
    assert numbers == list(range(1, len(numbers) + 1))
    assert len(invocations) == 4


@pytest.mark.parametrize(
    "torn",
    [b'{"seq": 999, "at": "2026-01-', b'{"seq": 999, "event": "torn"}', b"\xff\xfe\x00", b"{"],
    ids=["cut", "whole but unended", "not text", "one byte"],
)
def test_a_torn_last_event_is_repaired_on_resume(tmp_path: Path, torn: bytes) -> None:
    """A line that a kill left unfinished is cut off; numbers continue after the last whole one."""
    orchestrate("out", *PASSING, *stages("exit 1"), cwd=tmp_path)
    path = tmp_path / "out" / EVENTS
    whole = path.read_bytes()
    path.write_bytes(whole + torn)

    assert orchestrate("out", "--resume", cwd=tmp_path).code == 1

    assert path.read_bytes().startswith(whole)
    events = events_of(tmp_path / "out")
    assert [event["seq"] for event in events] == list(range(1, len(events) + 1))
    assert len(events) > whole.count(b"\n")


def test_a_log_that_was_torn_in_its_only_line_goes_on_from_the_record(tmp_path: Path) -> None:
    """If no whole line is left in the file, the first event continues after the known number."""
    orchestrate("out", *PASSING, *stages("exit 1"), cwd=tmp_path)
    last = events_of(tmp_path / "out")[-1]["seq"]
    (tmp_path / "out" / EVENTS).write_bytes(b'{"seq": 1, "at"')
    orchestrate("out", *accepting(tmp_path / "out"), cwd=tmp_path)
    assert events_of(tmp_path / "out")[0]["seq"] == last + 1


def test_latest_invocation_has_the_shape_of_the_earlier_ones(tmp_path: Path) -> None:
    """A resume keeps the report's latest invocation, unchanged in shape, as an earlier one."""
    orchestrate("out", *PASSING, *stages("exit 0", "exit 1"), cwd=tmp_path)
    latest = load_report(tmp_path / "out").latest
    orchestrate("out", "--resume", cwd=tmp_path)
    report = load_report(tmp_path / "out")
    assert report.earlier_invocations == (latest,)
    assert report.latest.number == 2
    only_in_checkpoint = {"number", "passed_over", "repeats", "rerun", "used"}
    assert set(InvocationRecord.model_fields) - set(Report.model_fields) == only_in_checkpoint
