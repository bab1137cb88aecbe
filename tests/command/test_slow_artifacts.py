"""Expected artifacts that take long to judge: said, timed, and never beyond a request or a limit.

The artifacts are sparse files of many gigabytes: read they must be, but nothing is on the disk.
"""

from __future__ import annotations

import signal
from pathlib import Path

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
