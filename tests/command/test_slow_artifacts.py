"""Expected artifacts that take long to judge: said, timed, and never beyond a request or a limit.

The artifacts are sparse files of many gigabytes: read they must be, but nothing is on the disk.
"""

from __future__ import annotations

import os
import signal
from pathlib import Path
from typing import NamedTuple

import pytest

from tests.support.command import PASSING, events_of, orchestrate, report_of, shell, start
from tests.support.patience import PATIENCE_SECONDS, wait_until

HUGE = "16G"
"""As large as an artifact may be: nothing reads it in a few seconds."""


def writing(size: str, name: str = "work.bin") -> tuple[str, ...]:
    """The options of a manager that writes a sparse artifact of that size."""
    return (
        *shell("manager", f"truncate -s {size} {name}"),
        *("--manager-expected-artifact", name),
    )


def slow_events(out: Path) -> list[dict[str, object]]:
    """The events about artifacts that take long."""
    return [one for one in events_of(out) if one["event"] == "artifact.slow"]


def test_judging_is_under_the_timeout_of_the_stage(tmp_path: Path) -> None:
    """A stage whose artifacts are not judged in its time has timed out, and the log said so."""
    options = (*writing(HUGE), "--manager-timeout-ms", "1500")
    ended = orchestrate("out", *PASSING, *options, cwd=tmp_path)
    assert ended.code == 124
    report = report_of(tmp_path / "out")
    (execution,) = report["stage_executions"]
    assert (execution["status"], execution["artifacts"]) == ("timeout", [])
    assert execution["problem"]["details"] == [
        "its process had ended, its expected artifacts were still being judged"
    ]
    assert execution["artifacts_judged_ms"] > 1000
    (event,) = slow_events(tmp_path / "out")
    assert event["path"] == str(tmp_path / "work.bin")
    assert (event["stage"], event["attempt"]) == ("manager", 1)
    assert isinstance(event["elapsed_ms"], int)
    assert event["elapsed_ms"] >= 1000


@pytest.mark.parametrize(("signum", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_judging_ends_when_the_run_is_asked_to_end(tmp_path: Path, signum: int, code: int) -> None:
    """A request that comes while artifacts are judged is heard at once."""
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


class Heard(NamedTuple):
    """How a command ended that was asked to, and how much it had read, where that can be seen."""

    code: int
    stdout: str
    read_bytes: int


def heard(directory: Path, event: str, count: int, *arguments: str, signum: int) -> Heard:
    """Run until an event has come so many times, send a signal, and return how it ended."""
    events = directory / "out" / "orchestrator_events.jsonl"
    name = f'"event": "{event}"'
    process = start("out", *arguments, cwd=directory)
    wait_until(
        lambda: events.exists() and events.read_text().count(name) >= count, f"{event} {count}"
    )
    process.send_signal(signum)
    seen = [0]

    def has_ended() -> bool:
        seen.append(read_bytes(process.pid))
        return process.poll() is not None

    wait_until(has_ended)
    stdout, _ = process.communicate(timeout=PATIENCE_SECONDS)
    return Heard(process.returncode, stdout, max(seen))


def read_bytes(pid: int) -> int:
    """Return how much a process has read; 0 where that is not to be seen."""
    try:
        said = Path(f"/proc/{pid}/io").read_text().splitlines()
    except OSError:
        return 0
    return int(dict(line.split(": ") for line in said).get("rchar", "0"))


def assert_not_read(ended: Heard) -> None:
    """Assert that not even half of what is huge was read, and that a resume is offered even so."""
    assert ended.read_bytes < 8 * 1024**3
    commands = [line.partition("fsm-orchestrator ")[2] for line in ended.stdout.splitlines()]
    assert "out --resume" in commands, ended.stdout


@pytest.mark.parametrize(("signum", "code"), [(signal.SIGINT, 130), (signal.SIGHUP, 129)])
def test_closing_ends_when_the_run_is_asked_to_end(tmp_path: Path, signum: int, code: int) -> None:
    """Artifacts that are judged once more before done are given up; nothing is done by then."""
    options = (*writing("8"), *shell("executor", f"truncate -s {HUGE} work.bin"))
    ended = heard(tmp_path, "stage.ended", 2, *PASSING, *options, signum=signum)
    assert_not_read(ended)
    report = report_of(tmp_path / "out")
    assert (ended.code, report["exit_code"], report["terminal_state"]) == (code, code, "failed")
    assert report["closure_ready"] is False
    assert [one["status"] for one in report["stage_executions"]] == ["success", "interrupted"]
    assert report["transitions"][-1]["trigger"] == "run_aborted"


def test_visit_of_a_done_run_ends_when_it_is_asked_to_end(tmp_path: Path) -> None:
    """The run stays done, and that its artifacts were not judged is in the record."""
    assert orchestrate("out", *PASSING, *writing("8"), cwd=tmp_path).code == 0
    os.truncate(tmp_path / "work.bin", 16 * 1024**3)
    ended = heard(tmp_path, "stage.skipped", 1, "--resume", signum=signal.SIGTERM)
    assert_not_read(ended)
    report = report_of(tmp_path / "out")
    assert (ended.code, report["exit_code"], report["terminal_state"]) == (143, 143, "done")
    assert report["closure_ready"] is False
    *_, failure = report["stage_executions"]
    assert failure["command"] == "closure.verify"
    assert failure["error"] == "received SIGTERM while the expected artifacts were judged"
    os.truncate(tmp_path / "work.bin", 8)
    assert orchestrate("out", "--resume", cwd=tmp_path).code == 0
    assert report_of(tmp_path / "out")["closure_ready"] is True


def test_time_of_judging_is_recorded(tmp_path: Path) -> None:
    """What took a while is in the record; with a fixed clock, and without artifacts, it is 0."""
    options = (*writing("64M"), *shell("executor", "exit 0"))
    assert orchestrate("out", *PASSING, *options, cwd=tmp_path).code == 0
    manager, executor = report_of(tmp_path / "out")["stage_executions"]
    assert manager["artifacts_judged_ms"] > 0
    assert executor["artifacts_judged_ms"] == 0
    fixed = ("--fixed-clock", "2026-01-01T00:00:00Z")
    assert orchestrate("fixed", *PASSING, *options, *fixed, cwd=tmp_path).code == 0
    manager, _ = report_of(tmp_path / "fixed")["stage_executions"]
    assert manager["artifacts_judged_ms"] == 0
