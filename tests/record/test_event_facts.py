"""Log and report agree: a reader can rebuild the report from the events alone."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, TypeAlias

import pytest

from tests.support.command import (
    CHECKPOINT,
    ORCHESTRATOR_PID,
    PASSING,
    REPORT,
    environment,
    events_of,
    orchestrate,
    report_of,
    shell,
    stages,
)

Document: TypeAlias = dict[str, Any]

NO_FACTS_OF_THE_RUN: Final = ("schema_version", "product", "events_head")
"""The report's fields about itself: the version of its format (log lines have their own), the
program that wrote it, and the position that the log had reached."""

# -- the reader -----------------------------------------------------------------------------

ONLY_IN_CHECKPOINT = frozenset({"number", "passed_over", "repeats", "rerun", "used"})
"""The keys that only the record of an invocation has, and not the report of the latest one."""

ONLY_WHERE_TRUE = frozenset({"stop_reason", "next_task_queue"})
"""The keys that the record of an invocation has only if there is something to record."""


def begun(line: Document) -> Document:
    """Return the record of an invocation that has done nothing yet."""
    return {
        "number": line["invocation"],
        "execution_mode": line["execution_mode"],
        "version": line["version"],
        "origin": line["origin"],
        "started_at": line["started_at"],
        "finished_at": None,
        "exit_code": None,
        "gate_decisions": [],
        "transitions": [],
        "stage_executions": [],
        "containment": None,
        "passed_over": [],
        "rerun": line["rerun"],
        "rebuilt": None,
        "accepted": None,
        "warnings": [],
        "repeats": None,
    }


def note(invocation: Document, line: Document) -> None:
    """Put the facts of a line into the record of its invocation."""
    match line["event"]:
        case "transition":
            invocation["transitions"].append(line["transition"])
        case "gate.decided":
            decisions = {one["gate"]: one for one in invocation["gate_decisions"]}
            decisions[line["decision"]["gate"]] = line["decision"]
            invocation["gate_decisions"] = list(decisions.values())
        case "stage.started":
            invocation["containment"] = line["containment"]
        case "stage.ended" | "stage.skipped" | "closure.refused":
            invocation["stage_executions"].append(line["execution"])
        case "record.begun":
            invocation["rebuilt"] = line["invocation"]["rebuilt"]
        case "run.warning":
            invocation["warnings"].append(line["message"])
            if line.get("is_passed_over"):
                invocation["passed_over"].append(line["stage"])
        case "recording.failed" if "execution" in line:
            invocation["stage_executions"].append(line["execution"])
        case "run.crashed":
            invocation["stage_executions"].append(line["execution"])
            invocation |= {key: line[key] for key in ("exit_code", "finished_at")}
        case "run.ended":
            invocation |= {key: line[key] for key in ("exit_code", "finished_at")}
            invocation["containment"] = line.get("containment")
            invocation |= {key: line[key] for key in ONLY_WHERE_TRUE if key in line}
        case _:
            pass  # this says how a fact came about, and adds none


def settle(invocation: Document, execution: Document) -> None:
    """Put an interrupted attempt into the record of the invocation that had begun it.

    Its end may have been logged but not made durable: then it was not seen, and this line counts.
    """
    told = (execution["stage"], execution["attempt"])
    invocation["stage_executions"] = [
        *(one for one in invocation["stage_executions"] if (one["stage"], one["attempt"]) != told),
        execution,
    ]


def rebuilt(lines: Iterable[Document]) -> Document:
    """Return the report that the lines of the log alone imply."""
    invocations: list[Document] = []
    start: Document = {}
    end: Document = {}
    last: Document = {}
    own_gates: list[Document] = []
    for last in lines:
        match last["event"]:
            case "record.kept":
                own_gates = last["record"]["lifecycle"]["gate"]
            case "run.started":
                # An invocation that was killed before anything was durable does not count.
                invocations = [one for one in invocations if one["number"] < last["invocation"]]
                invocations.append(begun(last))
                start, end = last, {}
            case "attempt.interrupted" if "execution" in last:
                settle(invocations[last["invocation"] - 1], last["execution"])
            case event:
                note(invocations[-1], last)
                if event in {"run.ended", "run.crashed"}:
                    end = last
    *earlier, latest = invocations
    outcome = end.get("outcome", "failed")
    decisions = latest["gate_decisions"]
    if outcome == "done" and not decisions:
        judged = [one["gate_decisions"] for one in earlier if one["gate_decisions"]]
        decisions = judged[-1]
    refusals = [one["reason_code"] for one in decisions if not one["passed"]]
    kept = {key: latest[key] for key in latest if key not in ONLY_IN_CHECKPOINT}
    return {
        **kept,
        "run_id": last["run_id"],
        "lifecycle": {"name": start["lifecycle"], "sha256": start["lifecycle_sha256"]},
        "subject": start.get("subject"),
        "terminal_state": outcome,
        "closure_ready": end.get("closure_ready", False),
        **{key: end[key] for key in ("unrun_stages", "nothing_ran") if key in end},
        **({"nothing_to_do": True} if outcome == "done" and has_declined(invocations) else {}),
        "current_state": last["state"],
        "blocked_reason_codes": refusals if outcome == "blocked" else [],
        "waiting_for": end.get("waiting_for", []),
        "gate_decisions": decisions,
        "own_gates": own_gates,
        "invocations_moved": 0,
        "earlier_invocations": earlier,
    }


def has_declined(invocations: Sequence[Document]) -> bool:
    """Return True if a stage with nothing to do led to the current state."""
    taken = [step["trigger"] for one in invocations for step in one["transitions"]]
    return taken[-1:] == ["stage_declined"]


def facts(report: Mapping[str, Any]) -> Document:
    """Return the report without the fields that are not facts of the run."""
    return {key: report[key] for key in report if key not in NO_FACTS_OF_THE_RUN}


# -- the runs -------------------------------------------------------------------------------

ONCE_KILLING: Final = (
    f"test -e once || {{ touch once; kill -KILL {ORCHESTRATOR_PID}; exec sleep 60; }}"
)
RETRIED: Final = (
    *("--executor-max-attempts", "3"),
    *("--executor-retry-exit-code", "4", "--executor-backoff-ms", "1"),
)
PLAN: Final = ("--manager-expected-artifact", "plan.json")
IN_THE_WAY: Final = (
    "cd $ORCHESTRATOR_OUTPUT_DIR;"
    f" until rm -f {CHECKPOINT} && mkdir {CHECKPOINT} 2> /dev/null; do :; done"
)
"""A command that puts a directory in the checkpoint's place, also if it is rewritten just then."""
REVIEWED: Final = (
    *("--lifecycle", "reviewed_run", *PASSING, *stages()),
    *shell("reviewer", "test -e seen || { touch seen; exit 10; }"),
)
RESUME: Final = ("--resume",)


@dataclass(frozen=True, slots=True)
class Story:
    """Commands that run one after the other in the same OUT; `code` is the last one's exit code.

    `between` comes before the last command. `events` must be in the log.
    """

    commands: tuple[tuple[str, ...], ...]
    code: int
    events: str = ""
    between: Callable[[Path], object] = lambda _: None


STORIES: Final[Mapping[str, Story]] = {
    "done": Story(((*PASSING, *stages()),), 0),
    "done, with output told": Story(
        ((*PASSING, *stages("echo one; echo two >&2"), "--log-output"),), 0, "stage.output"
    ),
    "done resumed": Story(((*PASSING, *stages()), RESUME, RESUME), 0, "stage.skipped"),
    "done resumed, an artifact lost": Story(
        ((*PASSING, *stages("echo 1 > plan.json"), *PLAN), RESUME),
        *(1, "closure.refused"),
        between=lambda out: (out.parent / "plan.json").unlink(),
    ),
    "blocked": Story(((*PASSING[2:], *stages()),), 3),
    "blocked, then done": Story(((*PASSING[2:], *stages()), (*RESUME, *PASSING[:2])), 0),
    "blocked after the work": Story(
        (("--lifecycle", "closure_gated", *PASSING[:4], *stages()),), 3, "stage.ended"
    ),
    "failed": Story(((*PASSING, *stages("exit 0", "echo no >&2; exit 3")),), 1),
    "failed by a signal": Story(((*PASSING, *stages("ulimit -c 0; kill -SEGV $$")),), 1),
    "failed, then done": Story(
        ((*PASSING, *stages("exit 0", "test -e once || { touch once; exit 3; }")), RESUME),
        *(0, "stage.skipped"),
    ),
    "timeout": Story(((*PASSING, *stages("exec sleep 60"), "--timeout-ms", "50"),), 124),
    "slow": Story(
        ((*PASSING, *stages("sleep 0.3"), "--manager-slow-after-ms", "50"),), 0, "stage.slow"
    ),
    "not spawned": Story(((*PASSING, "--manager-bin", "/no/program"),), 1),
    "an artifact missing": Story(((*PASSING, *stages(), *PLAN),), 1),
    "closing refused for an artifact": Story(
        ((*PASSING, *stages("echo 1 > plan.json", "rm plan.json"), *PLAN),), 1, "closure.refused"
    ),
    "a stage without a binary": Story(((*PASSING, *shell("executor", "exit 0")),), 0),
    "a stage without a binary, resumed": Story(
        ((*PASSING, *shell("executor", "test -e once || { touch once; exit 3; }")), RESUME), 0
    ),
    "killed, a stage left": Story(
        ((*PASSING, *stages("exit 0", ONCE_KILLING)), RESUME), 0, "attempt.interrupted"
    ),
    "killed twice": Story(
        (
            (*PASSING, *stages(ONCE_KILLING, ONCE_KILLING.replace("once", "twice"))),
            RESUME,
            RESUME,
        ),
        *(0, "attempt.interrupted"),
    ),
    "killed, then a new run": Story(
        ((*PASSING, *stages(ONCE_KILLING)), (*PASSING, *stages())), 0, "attempt.interrupted"
    ),
    "terminated": Story(
        ((*PASSING, *stages(f"kill -TERM {ORCHESTRATOR_PID}; exec sleep 60")),), 143
    ),
    "flaky": Story(
        ((*PASSING, *stages("exit 0", "test -e once || { touch once; exit 4; }"), *RETRIED),),
        *(0, "stage.retrying"),
    ),
    "out of retries": Story(((*PASSING, *stages("exit 0", "exit 4"), *RETRIED),), 1),
    "leaking": Story(((*PASSING, *stages("sleep 60 & sleep 0.2")),), 0, "process.leaked"),
    "leaking, and failed for it": Story(
        ((*PASSING, *stages("sleep 60 & sleep 0.2"), "--on-leak", "fail"),), 1, "process.leaked"
    ),
    "reworked": Story((REVIEWED,), 0),
    "rerun": Story(
        (
            (*PASSING, *stages("exit 0", "test -e once || { touch once; exit 3; }")),
            (*RESUME, "--rerun", "manager"),
            RESUME,
        ),
        0,
    ),
    "a checkpoint that cannot be written any more": Story(
        ((*PASSING, *stages(IN_THE_WAY)),), 1, "recording.failed"
    ),
    "a checkpoint that can never be written": Story(
        ((*PASSING, *stages()),),
        *(1, "recording.failed"),
        between=lambda out: (out / CHECKPOINT).mkdir(parents=True),
    ),
    "stage logs that cannot be written": Story(
        (
            (
                *PASSING,
                *stages(
                    "test $ORCHESTRATOR_ATTEMPT = 2 ||"
                    " { cd $ORCHESTRATOR_OUTPUT_DIR; mv logs kept; touch logs; }",
                    "exit 0",
                ),
            ),
        ),
        *(1, "recording.failed attempt.interrupted"),
    ),
    "stage logs that could not be written": Story(
        (
            (
                *PASSING,
                *stages(
                    "test $ORCHESTRATOR_ATTEMPT = 2 ||"
                    " { cd $ORCHESTRATOR_OUTPUT_DIR; mv logs kept; touch logs; }",
                    "exit 0",
                ),
            ),
            RESUME,
        ),
        *(0, "recording.failed attempt.interrupted"),
        between=lambda out: (out / "logs").unlink(),
    ),
}


@pytest.mark.one_in(2)
@pytest.mark.parametrize("name", STORIES)
def test_events_tell_what_the_report_tells(name: str, tmp_path: Path) -> None:
    """The report can be rebuilt from the log, field by field, including earlier invocations."""
    story, out = STORIES[name], tmp_path / "out"
    for command in story.commands[:-1]:
        orchestrate("./out", *command, cwd=tmp_path)
    story.between(out)
    ended = orchestrate("./out", *story.commands[-1], cwd=tmp_path)
    assert ended.code == story.code, ended.stderr
    lines = events_of(out)
    assert {*story.events.split()} <= {line["event"] for line in lines}
    assert [line["seq"] for line in lines] == list(range(1, len(lines) + 1))
    assert rebuilt(lines) == facts(report_of(out))


CRASHING: Final = """\
import sys
from fsm_orchestrator import RunConfig, run
from fsm_orchestrator.record.event_file import EventFile

real = EventFile.write

def write(file, event):
    real(file, event)
    if event["event"] == sys.argv[1]:
        raise ZeroDivisionError

EventFile.write = write

stages = {"manager": {"bin": "/bin/sh", "args": ["-c", "sleep 60"]}}
gates = {"policy": "allow", "ci": "success", "review": "approved"}
run(RunConfig(output_directory="out", gates=gates, stages=stages))
"""


@pytest.mark.parametrize("event", ["transition", "stage.started"])
def test_events_of_a_crash_tell_what_the_report_tells(event: str, tmp_path: Path) -> None:
    """The report can be rebuilt after a crash of the program, with and without a begun attempt."""
    done = subprocess.run(
        [sys.executable, "-c", CRASHING, event],
        cwd=tmp_path,
        env=environment(XDG_STATE_HOME=str(tmp_path / "state")),
        capture_output=True,
        check=False,
    )
    assert b"ZeroDivisionError" in done.stderr
    lines = events_of(tmp_path / "out")
    assert "run.crashed" in {line["event"] for line in lines}
    assert rebuilt(lines) == facts(report_of(tmp_path / "out"))


def test_event_of_a_refusal_tells_why(tmp_path: Path) -> None:
    """Log and report say the same about a refused resume: which run, what, when and why."""
    orchestrate("./out", *PASSING, *stages(), cwd=tmp_path)
    (tmp_path / "out" / CHECKPOINT).write_text("{}")
    assert orchestrate("./out", "--resume", cwd=tmp_path).code == 1
    line, report = events_of(tmp_path / "out")[-1], report_of(tmp_path / "out")
    (failure,) = report["stage_executions"]
    assert line["event"] == "run.refused"
    assert (line["run_id"], line["error"]) == (report["run_id"], failure["error"])
    assert line["execution"] == failure
    assert line["operation"] == failure["command"]
    assert line["execution_mode"] == report["execution_mode"]
    assert line["origin"] == report["origin"]


@pytest.mark.parametrize(
    "in_the_way", ["orchestrator_events.jsonl", "orchestrator_run_report.json"]
)
def test_blocked_run_whose_resume_cannot_be_recorded_has_failed(
    in_the_way: str, tmp_path: Path
) -> None:
    """The report on disk never says blocked if the invocation failed to record itself."""
    assert orchestrate("./out", *stages(), cwd=tmp_path).code == 3
    (tmp_path / "out" / in_the_way).unlink()
    (tmp_path / "out" / in_the_way).mkdir()
    assert orchestrate("./out", "--resume", *PASSING, cwd=tmp_path).code == 1
    if in_the_way != REPORT:
        assert report_of(tmp_path / "out")["terminal_state"] == "failed"
    else:
        assert events_of(tmp_path / "out")[-1]["outcome"] == "failed"


def test_a_line_that_is_lost_is_missed(tmp_path: Path) -> None:
    """Without any one line that has a fact, the rebuilt report differs."""
    story = STORIES["failed, then done"]
    for command in story.commands:
        orchestrate("./out", *command, cwd=tmp_path)
    lines, told = events_of(tmp_path / "out"), facts(report_of(tmp_path / "out"))
    for position, line in enumerate(lines):
        if line["event"] in {"transition", "gate.decided", "stage.ended", "stage.skipped"}:
            assert rebuilt([*lines[:position], *lines[position + 1 :]]) != told, line["event"]
