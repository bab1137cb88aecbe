"""Expected artifacts that take long to judge: reported, timed, and bound by requests and limits.

The artifacts are sparse files of many gigabytes: they have to be read, but take no space.
"""

from __future__ import annotations

import os
import resource
import signal
from pathlib import Path

import pytest

from tests.support.command import (
    PASSING,
    events_of,
    orchestrate,
    report_of,
    shell,
    start,
    tree_of,
)
from tests.support.patience import PATIENCE_SECONDS, wait_until

pytestmark = pytest.mark.one_in(2)

HUGE = "16G"
"""The largest size of an artifact: no machine reads it in a few seconds."""


def writing(size: str, name: str = "work.bin") -> tuple[str, ...]:
    """Return options of a manager that writes a sparse artifact of that size."""
    return (
        *shell("manager", f"truncate -s {size} {name}"),
        *("--manager-expected-artifact", name),
    )


def slow_events(out: Path) -> list[dict[str, object]]:
    """Return the events about artifacts that take long."""
    return [one for one in events_of(out) if one["event"] == "artifact.slow"]


def test_judging_is_under_the_timeout_of_the_stage(tmp_path: Path) -> None:
    """A stage whose artifacts are not judged in its time has timed out, and the log says why."""
    options = (*writing(HUGE), "--manager-timeout-ms", "1500")
    ended = orchestrate("out", *PASSING, *options, cwd=tmp_path)
    assert ended.code == 124
    report = report_of(tmp_path / "out")
    (execution,) = report["stage_executions"]
    assert (execution["status"], execution["artifacts"]) == ("timeout", [])
    assert execution["problem"]["details"] == [
        "its process had ended, and its expected artifacts were still being judged"
    ]
    assert execution["artifacts_judged_ms"] > 1000
    (event,) = slow_events(tmp_path / "out")
    assert event["path"] == str(tmp_path / "work.bin")
    assert (event["stage"], event["attempt"]) == ("manager", 1)
    assert isinstance(event["elapsed_ms"], int)
    assert event["elapsed_ms"] >= 1000


@pytest.mark.parametrize(("signum", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_judging_ends_when_the_run_is_asked_to_end(tmp_path: Path, signum: int, code: int) -> None:
    """A request that arrives during the judging takes effect at once."""
    options = (*writing(HUGE), "--manager-timeout-ms", "600000")
    process = start("out", *PASSING, *options, cwd=tmp_path)
    wait_until(
        lambda: (
            (tmp_path / "out" / "orchestrator_events.jsonl").exists()
            and slow_events(tmp_path / "out")
        ),
        "the judging is slow",
    )
    process.send_signal(signum)
    process.communicate(timeout=PATIENCE_SECONDS)
    assert process.returncode == code
    (execution,) = report_of(tmp_path / "out")["stage_executions"]
    assert (execution["status"], execution["artifacts"]) == ("interrupted", [])


def heard(directory: Path, event: str, count: int, *arguments: str, signum: int) -> int:
    """Run until an event has come this often, send a signal, and return the exit code."""
    events = directory / "out" / "orchestrator_events.jsonl"
    name = f'"event": "{event}"'
    process = start("out", *arguments, cwd=directory)
    wait_until(
        lambda: events.exists() and events.read_text().count(name) >= count, f"{event} {count}"
    )
    process.send_signal(signum)
    process.communicate(timeout=PATIENCE_SECONDS)
    return process.returncode


@pytest.mark.parametrize(("signum", "code"), [(signal.SIGINT, 130), (signal.SIGHUP, 129)])
def test_closing_ends_when_the_run_is_asked_to_end(tmp_path: Path, signum: int, code: int) -> None:
    """The repeated judging before done is abandoned, and the run is not done."""
    options = (*writing("8"), *shell("executor", f"truncate -s {HUGE} work.bin"))
    ended = heard(tmp_path, "stage.ended", 2, *PASSING, *options, signum=signum)
    report = report_of(tmp_path / "out")
    assert (ended, report["exit_code"], report["terminal_state"]) == (code, code, "failed")
    assert report["closure_ready"] is False
    assert [one["status"] for one in report["stage_executions"]] == ["success", "interrupted"]
    assert report["transitions"][-1]["trigger"] == "run_aborted"


def test_visit_of_a_done_run_ends_when_it_is_asked_to_end(tmp_path: Path) -> None:
    """The run stays done, and the record says that its artifacts were not judged."""
    alone = ("--skip-stage", "executor")
    assert orchestrate("out", *PASSING, *writing("8"), *alone, cwd=tmp_path).code == 0
    os.truncate(tmp_path / "work.bin", 16 * 1024**3)
    code = heard(tmp_path, "stage.skipped", 1, "--resume", signum=signal.SIGTERM)
    report = report_of(tmp_path / "out")
    assert (code, report["exit_code"], report["terminal_state"]) == (143, 143, "done")
    assert report["closure_ready"] is False
    *_, failure = report["stage_executions"]
    assert failure["command"] == "closure.verify"
    assert failure["error"] == "received SIGTERM while the expected artifacts were judged"
    os.truncate(tmp_path / "work.bin", 8)
    assert orchestrate("out", "--resume", cwd=tmp_path).code == 0
    assert report_of(tmp_path / "out")["closure_ready"] is True


def test_time_of_judging_is_recorded(tmp_path: Path) -> None:
    """A judging time is recorded; with a fixed clock, or without artifacts, it is 0."""
    options = (*writing("64M"), *shell("executor", "exit 0"))
    assert orchestrate("out", *PASSING, *options, cwd=tmp_path).code == 0
    manager, executor = report_of(tmp_path / "out")["stage_executions"]
    assert manager["artifacts_judged_ms"] > 0
    assert executor["artifacts_judged_ms"] == 0
    fixed = ("--fixed-clock", "2026-01-01T00:00:00Z")
    assert orchestrate("fixed", *PASSING, *options, *fixed, cwd=tmp_path).code == 0
    manager, _ = report_of(tmp_path / "fixed")["stage_executions"]
    assert manager["artifacts_judged_ms"] == 0


def test_closing_says_what_it_judges_for_long(tmp_path: Path) -> None:
    """A slow artifact at the end of a run is reported once, with the attempt that made it."""
    options = (*writing("8"), *shell("executor", f"truncate -s {HUGE} work.bin"))
    ended = heard(tmp_path, "artifact.slow", 1, *PASSING, *options, signum=signal.SIGINT)
    assert ended == 130
    (event,) = slow_events(tmp_path / "out")
    assert (event["stage"], event["attempt"], event["state"]) == ("manager", 1, "executor")
    assert event["path"] == str(tmp_path / "work.bin")


def failed_with_huge_artifact(directory: Path) -> None:
    """Fail a run whose manager has completed, and make its artifact huge."""
    options = (*writing("8"), *shell("executor", "exit 1"))
    assert orchestrate("./out", *PASSING, *options, cwd=directory).code == 1
    os.truncate(directory / "work.bin", 16 * 1024**3)


@pytest.mark.parametrize(("signum", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_preparation_ends_when_the_run_is_asked_to_end(
    tmp_path: Path, signum: int, code: int
) -> None:
    """A resume that judges completed stages reports it, accepts a request, and starts nothing."""
    failed_with_huge_artifact(tmp_path)
    process = start("./out", "--resume", "--log-format", "text", cwd=tmp_path)
    assert process.stderr is not None
    line = process.stderr.readline()
    assert "still judging the artifacts of completed stages after" in line
    before = len(events_of(tmp_path / "out"))
    process.send_signal(signum)
    process.communicate(timeout=PATIENCE_SECONDS)
    assert process.returncode == code
    report = report_of(tmp_path / "out")
    assert (report["exit_code"], report["terminal_state"]) == (code, "failed")
    assert report["stage_executions"] == []
    assert report["transitions"][-1]["trigger"] == "run_aborted"
    news = [one["event"] for one in events_of(tmp_path / "out")[before:]]
    assert news[:3] == ["run.started", "record.begun", "artifact.slow"]
    assert "stage.started" not in news
    (event,) = slow_events(tmp_path / "out")
    assert (event["stage"], event["attempt"]) == ("manager", 1)
    os.truncate(tmp_path / "work.bin", 8)
    again = (*shell("executor", "exit 0"), "--on-changed-stage", "keep")
    assert orchestrate("./out", "--resume", *again, cwd=tmp_path).code == 0
    assert [one["status"] for one in report_of(tmp_path / "out")["stage_executions"]] == [
        "skipped",
        "success",
    ]


def test_command_to_type_next_is_not_tried_for_long(tmp_path: Path) -> None:
    """The summary of an ended run does not read a huge artifact to its end."""
    options = (*writing("8"), *shell("executor", f"truncate -s {HUGE} work.bin; exit 1"))
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    process = start("./out", *PASSING, *options, cwd=tmp_path)
    said, _ = process.communicate(timeout=PATIENCE_SECONDS)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    assert process.returncode == 1
    assert "fsm-orchestrator ./out --resume" in said
    assert after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime < 4


def test_report_of_a_moved_run_stays_when_the_judging_is_ended(tmp_path: Path) -> None:
    """A moved done run is judged before its visit: if that is asked to end, nothing is written."""
    assert orchestrate("./out", *PASSING, *writing("8"), cwd=tmp_path).code == 0
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / "out").rename(tmp_path / "elsewhere" / "out")
    os.truncate(tmp_path / "work.bin", 16 * 1024**3)
    before = tree_of(tmp_path / "elsewhere")
    process = start("elsewhere/out", "--resume", "--log-format", "text", cwd=tmp_path)
    assert process.stderr is not None
    assert "still judging" in process.stderr.readline()
    process.send_signal(signal.SIGTERM)
    _, said = process.communicate(timeout=PATIENCE_SECONDS)
    assert process.returncode == 2
    assert "not judged to the end" in said
    assert "next:" not in said  # finding one would take reading the artifact to its end
    assert tree_of(tmp_path / "elsewhere") == before
