"""Histories that never happened: each lie is refused, and a resume from it runs nothing."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, Final

import pytest

from tests.record.history_cases import GONE, IN_GATING, Document, forged, refusal
from tests.support.command import (
    CHECKPOINT,
    PASSING,
    REPORT,
    checkpoint_of,
    orchestrate,
    report_of,
    tree_of,
)
from tests.support.copies import at_home

TO_DONE: Final = {"current_state": "done", "@0.transitions.3.dest": "done"}
SUCCEEDED: Final = {**TO_DONE, "@0.transitions.3.trigger": "stage_succeeded"}
REFUSED_CI: Final = {
    "gate": "ci",
    "status": "failure",
    "passed": False,
    "reason_code": "GATE_CI_NOT_SUCCESS",
    "source": "flag",
}
OPEN: Final = {
    "stage": "executor",
    "cycle": 1,
    "attempt": 2,
    "reason": "first attempt",
    "token": "0" * 32,
    "started_at": "2026-01-31T09:00:00.000Z",
    "pid": None,
    "pid_identity": None,
}
CLOSING: Final = {
    "seq": 4,
    "trigger": "stage_succeeded",
    "source": "executor",
    "dest": "done",
    "at": "2026-01-31T09:00:00.000Z",
    "cause": "",
    "details": [],
}


def cut_in_two(invocations: list[Document]) -> list[Document]:
    """Return the one invocation as two; the second begins with the executor's end."""
    [one] = invocations
    halves = ((0, 3, 1, "run"), (3, 4, 2, "resume"))
    return [
        {
            **one,
            "number": number,
            "execution_mode": mode,
            "transitions": one["transitions"][begin:end],
            "stage_executions": one["stage_executions"][number - 1 : number],
        }
        for begin, end, number, mode in halves
    ]


OWN_WORK: Final = {"stage": "executor", "attempt": 0, "command": "closure.verify"}
EXECUTOR: Final = "@0.stage_executions.1"
LIES: Final[Mapping[str, tuple[str, Mapping[str, Any]]]] = {
    # the walk
    "refused gates lead to done": (
        "blocked",
        {"current_state": "done", "@0.transitions.1.dest": "done"},
    ),
    "gates passed that were refused": (
        "blocked",
        {
            "current_state": "manager",
            "@0.transitions.1.dest": "manager",
            "@0.transitions.1.trigger": "gates_passed",
        },
    ),
    "failure leads to done": ("failed", TO_DONE),
    "timeout leads to done": ("timeout", TO_DONE),
    "abort leads to done": ("interrupted", TO_DONE),
    "success that no attempt had": ("failed", SUCCEEDED),
    "success that no attempt had before a timeout": ("timeout", SUCCEEDED),
    "success that no attempt had before an abort": ("interrupted", SUCCEEDED),
    "success of an attempt that has not ended": (
        "killed",
        {
            "current_state": "done",
            "@0.transitions": lambda walk: [*walk, CLOSING],
            "open_attempts": [],
        },
    ),
    "failure that no attempt had": (
        "timeout",
        {
            "current_state": "failed",
            "@0.transitions.3.dest": "failed",
            "@0.transitions.3.trigger": "stage_failed",
        },
    ),
    "second invocation that began a run": ("resumed", {"@1.execution_mode": "run"}),
    "stage passed over that there is not": ("done", {"@0.passed_over": ["nowhere"]}),
    "stage set aside that there is not": ("resumed", {"@1.rerun": ["nowhere"]}),
    "invocation numbered from 2": ("blocked", {"@0.number": 2}),
    "invocation numbered twice": ("resumed", {"@1.number": 1}),
    "invocation number left out": ("resumed", {"@1.number": 3}),
    "first invocation lost": ("resumed", {"@0": GONE}),
    "first invocation lost, the second numbered anew": ("resumed", {"@0": GONE, "@0.number": 1}),
    "last invocation lost": ("resumed", {"@1": GONE}),
    "no invocation": ("blocked", {"invocations": []}),
    "going on after the end": (
        "failed",
        {
            "current_state": "gating",
            "@0.transitions": lambda walk: [
                *walk,
                {**CLOSING, "seq": 5, "trigger": "resume", "source": "failed", "dest": "gating"},
            ],
        },
    ),
    "resume in the middle of an invocation": (
        "killed",
        {
            "current_state": "gating",
            "@0.transitions": lambda walk: [
                *walk,
                {**CLOSING, "trigger": "resume", "dest": "gating"},
            ],
            "open_attempts": [],
        },
    ),
    "invocation begun by the end of a stage": ("failed", {"invocations": cut_in_two}),
    "state that the lifecycle has not": ("failed", {"current_state": "nowhere"}),
    # verdicts
    "passed although a decision refuses": ("failed", {"@0.gate_decisions.1": REFUSED_CI}),
    "done although a decision refuses": ("done", {"@0.gate_decisions.1": REFUSED_CI}),
    "done behind the decisions of an earlier invocation": ("resumed", {"@1.gate_decisions": []}),
    "signal that was not judged so": ("blocked", {"gate_signals.0.status": "allow"}),
    "signal that passes and was never given": ("failed", {"gate_signals.0.source": "default"}),
    "signal that was not judged so before a visit": (
        "repeated",
        {"gate_signals.0.status": "deny"},
    ),
    "decision that passes what was never given": (
        "failed",
        {"@0.gate_decisions.0.source": "default"},
    ),
    "signal that its gate does not know": ("failed", {"gate_signals.0.status": "approved"}),
    "signal that its gate does not know before it is judged": (
        "blocked",
        {**IN_GATING, "gate_signals.0.status": "approved"},
    ),
    "signal missing": ("failed", {"gate_signals.0": GONE}),
    "signals in another order": ("failed", {"gate_signals": lambda signals: signals[::-1]}),
    "signal doubled": ("failed", {"gate_signals": lambda signals: [*signals, signals[0]]}),
    # attempts
    "success that exited with 7": ("failed", {**SUCCEEDED, f"{EXECUTOR}.status": "success"}),
    "success that nothing completed": (
        "failed",
        {
            **SUCCEEDED,
            f"{EXECUTOR}.status": "success",
            f"{EXECUTOR}.exit_code": 0,
            f"{EXECUTOR}.error": None,
        },
    ),
    "success with another exit code": ("done", {f"{EXECUTOR}.exit_code": 7}),
    "success with an error": ("done", {f"{EXECUTOR}.error": "exited with code 7"}),
    "failure without an error": ("failed", {f"{EXECUTOR}.error": None}),
    "failure without a problem": ("failed", {f"{EXECUTOR}.problem": None}),
    "success with a signal": ("done", {f"{EXECUTOR}.signal": "SIGSEGV"}),
    "failure that exited with 0": ("failed", {f"{EXECUTOR}.exit_code": 0}),
    "success of the program's own work": (
        "failed",
        {**SUCCEEDED, "@0.stage_executions": lambda ran: [*ran, {**ran[0], **OWN_WORK}]},
    ),
    "skip by the program's own work": (
        "failed",
        {
            **SUCCEEDED,
            "@0.stage_executions": lambda ran: [
                *ran,
                {**ran[0], **OWN_WORK, "status": "skipped", "exit_code": None},
            ],
        },
    ),
    "passed over although it failed": ("failed", {**SUCCEEDED, "@0.passed_over": ["executor"]}),
    "attempt number left out": ("failed", {f"{EXECUTOR}.attempt": 2}),
    "attempt that is none": ("failed", {f"{EXECUTOR}.attempt": 0}),
    "attempt number used twice": (
        "resumed",
        {"@1.stage_executions.1.attempt": 1, "completions.1.attempt": 1},
    ),
    "attempts of another run": ("failed", {"run_id": "another"}),
    "attempt of another run": ("failed", {f"{EXECUTOR}.idempotency_key": "another:executor:1"}),
    "skip of an attempt there never was": ("resumed", {"@1.stage_executions.0.attempt": 2}),
    "completion of a stage that failed": (
        "failed",
        {"completions": lambda done: [*done, {**done[0], "stage": "executor"}]},
    ),
    "completion told twice": ("done", {"completions": lambda done: [*done, done[0]]}),
    "rerun that is not told": ("set_aside", {"@2.rerun": []}),
    "completion of no stage": ("done", {"completions.0.stage": "gating"}),
    "completion by another attempt": ("done", {"completions.0.attempt": 2}),
    "completion in another invocation": ("done", {"completions.0.invocation": 2}),
    "completion in another cycle": ("done", {"completions.0.cycle": 2}),
    "completion of another command": ("done", {"completions.0.settings.command": "/bin/true"}),
    "completion with other arguments": ("done", {"completions.0.settings.args.1": "exit 0"}),
    "completion elsewhere": ("done", {"completions.0.settings.cwd": "/"}),
    "completion without its environment": ("done", {"completions.0.settings.env_digests": {}}),
    "completion with another artifact": ("done", {"completions.0.artifacts.0.sha256": "0" * 64}),
    "completion without its artifact": ("done", {"completions.0.artifacts": []}),
    "completion that expected nothing": (
        "done",
        {"completions.0.settings.expected_artifacts": []},
    ),
    "completion lost of a done run": ("done", {"completions.0": GONE}),
    "completion lost of a failed run": ("failed", {"completions.0": GONE}),
    "attempt open in a done run": ("done", {"open_attempts": [OPEN]}),
    "attempt open in a failed run": ("failed", {"open_attempts": [OPEN]}),
    "attempt open before the gates passed": (
        "blocked",
        {"open_attempts": [{**OPEN, "attempt": 1}]},
    ),
    "attempt open of a stage that is complete": (
        "killed",
        {"open_attempts.0.stage": "manager", "open_attempts.0.attempt": 2},
    ),
    "attempt open of no stage": ("killed", {"open_attempts.0.stage": "nowhere"}),
    "attempt open out of order": ("killed", {"open_attempts.0.attempt": 9}),
    # settings
    "settings of no stage": ("done", {"stages": lambda known: {**known, "x": known["manager"]}}),
    "settings lost of a stage that ran": ("failed", {"stages.executor": GONE}),
    "argument that no process takes": ("failed", {"stages.executor.args.1": "exit\0 0"}),
    "timeout of no time": ("failed", {"stages.executor.timeout_ms": 0}),
    "timeout that poll cannot wait for": ("failed", {"stages.executor.timeout_ms": 2**31}),
}


@pytest.mark.parametrize("lie", LIES)
def test_lie_is_refused(lie: str, runs: Path) -> None:
    """A history is refused unless it is a legal walk with matching verdicts and attempts."""
    run, changes = LIES[lie]
    assert refusal(forged(runs, run, changes))


UNSAFE: Final[Mapping[str, Mapping[str, Any]]] = {
    "one gate of three": {"lifecycle.state.1.gates": ["policy"]},
    "no gates before a stage": {"lifecycle.transition.0.dest": "manager"},
    "refused gates lead on": {"lifecycle.transition.2.dest": "manager"},
    "a failure is done": {"lifecycle.transition.7.dest": "done"},
    "done may be left": {"lifecycle.transition.10.source.4": "done"},
    "no gate at all": {"lifecycle.state.1.kind": "stage", "lifecycle.state.1.gates": None},
    "a state twice": {"lifecycle.state.7.name": "failed"},
    "an unknown state": {"lifecycle.transition.8.dest": "nowhere"},
}


@pytest.mark.parametrize("edit", UNSAFE)
def test_unsafe_lifecycle_is_refused_also_when_its_digest_fits(edit: str, runs: Path) -> None:
    """A lifecycle in a checkpoint that breaks a promise is refused even with a matching digest."""
    assert refusal(forged(runs, "failed", UNSAFE[edit]))
    said = refusal(forged(runs, "failed", UNSAFE[edit], sign=True))
    assert said
    assert said.startswith("lifecycle: ")


def test_other_lifecycle_is_refused_unless_the_history_is_a_walk_over_it(runs: Path) -> None:
    """A safe change of the relation needs a matching digest and a history that is still a walk."""
    assert refusal(forged(runs, "done", {"lifecycle_sha256": "0" * 64}))
    slower = {"lifecycle.state.3.timeout_ms": 60_000}
    assert refusal(forged(runs, "done", slower))
    assert refusal(forged(runs, "done", slower, sign=True)) is None

    def swap(part: Any) -> Any:
        text = json.dumps(part).replace("manager", "@").replace("executor", "manager")
        return json.loads(text.replace("@", "executor"))

    said = refusal(forged(runs, "done", {"lifecycle.transition": swap}, sign=True))
    assert said
    assert "no edge leads from 'gating' to 'manager' on gates_passed" in said


FORGERIES: Final[Mapping[str, tuple[str, Callable[[Path], bytes | None]]]] = {
    "done that was never reached": ("failed", lambda runs: forged(runs, "failed", TO_DONE)),
    "success that nothing had": ("failed", lambda runs: forged(runs, "failed", SUCCEEDED)),
    "cut by hand": ("done", lambda runs: (runs / "done" / CHECKPOINT).read_bytes()[100:]),
    "UTF-16": ("done", lambda runs: json.dumps(checkpoint_of(runs / "done")).encode("utf-16")),
    "deeply nested": ("done", lambda _: b"[" * 100_000),
    "version that is no text": (
        "done",
        lambda runs: forged(runs, "done", {"schema_version": "\ud800"}),
    ),
    "gone": ("done", lambda _: None),
}


def forged_output(runs: Path, cwd: Path, forgery: str) -> Path:
    """Return an output directory with a forged checkpoint, and no mark that a stage ran."""
    run, forge = FORGERIES[forgery]
    output = cwd / "out"
    shutil.copytree(runs / run, output)
    for mark in output.glob("ran.*"):
        mark.unlink()
    data = forge(runs)
    (output / CHECKPOINT).unlink()
    if data is not None:
        (output / CHECKPOINT).write_bytes(data)
    return output


@pytest.mark.parametrize("forgery", FORGERIES)
def test_resume_from_a_forgery_runs_nothing_and_says_failed(
    forgery: str, runs: Path, tmp_path: Path
) -> None:
    """A resume from a forgery exits 1, runs nothing, keeps the file, archives the old report."""
    output = forged_output(runs, tmp_path, forgery)
    before = tree_of(output)
    ended = orchestrate("out", "--resume", *PASSING, cwd=tmp_path)
    after = tree_of(output)
    assert ended.code == 1
    assert f"{output / CHECKPOINT}" in ended.stderr
    assert list(output.glob("ran.*")) == []
    assert after.get(CHECKPOINT) == before.get(CHECKPOINT)
    report = report_of(output)
    assert (report["terminal_state"], report["closure_ready"]) == ("failed", False)
    assert (report["exit_code"], report["current_state"]) == (1, None)
    [entry] = report["stage_executions"]
    assert (entry["command"], entry["status"]) == ("checkpoint.load", "failed")
    assert f"{output / CHECKPOINT}" in entry["error"]
    [archived] = output.glob(f"archive/*/{REPORT}")
    assert archived.read_bytes() == before[REPORT]
    assert {name for name in after if name.startswith("logs/")} == {
        name for name in before if name.startswith("logs/")
    }


def test_second_refusal_archives_nothing_more(runs: Path, tmp_path: Path) -> None:
    """A second refusal archives no second report, and the original checkpoint repairs the run."""
    output = forged_output(runs, tmp_path, "cut by hand")
    for _ in range(2):
        assert orchestrate("out", "--resume", cwd=tmp_path).code == 1
    [archived] = output.glob("archive/*/*")
    assert json.loads(archived.read_bytes())["terminal_state"] == "done"
    shutil.copy(runs / "done" / CHECKPOINT, output / CHECKPOINT)
    at_home(output)
    assert orchestrate("out", "--resume", cwd=tmp_path).code == 0
    assert report_of(output)["terminal_state"] == "done"
    assert list(output.glob("ran.*")) == []


def test_plan_and_status_touch_nothing_of_a_forgery(runs: Path, tmp_path: Path) -> None:
    """Plan and status report what is wrong with a forged run, exit with 1 and write nothing."""
    output = forged_output(runs, tmp_path, "done that was never reached")
    before = tree_of(output)
    for command in (("plan", "out", "--resume"), ("status", "out")):
        ended = orchestrate(*command, cwd=tmp_path)
        assert ended.code == 1
        assert f"{output / CHECKPOINT}" in ended.stdout + ended.stderr
    assert tree_of(output) == before
