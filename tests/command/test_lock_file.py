"""A stage that removes the run's lock file: that is noticed, bars closing, and lets no other in."""

from __future__ import annotations

from pathlib import Path
from typing import Final

import pytest

from tests.support.command import (
    PASSING,
    checkpoint_of,
    events_of,
    orchestrate,
    report_of,
    shell,
    stages,
    start,
    statuses,
)
from tests.support.patience import PATIENCE_SECONDS, wait_until

LOCK: Final = "out/orchestrator.lock"
ONCE: Final = 'test "$ORCHESTRATOR_ATTEMPT" = 1 || exit 0; '
WAYS: Final = {
    "removed": f"rm {LOCK}",
    "made anew": f"rm {LOCK}; : >{LOCK}",
    "copied over": f"cp {LOCK} copy; mv copy {LOCK}",
    "moved": f"mv {LOCK} elsewhere",
    "moved within": f"mv {LOCK} out/other",
    "a directory": f"rm {LOCK}; mkdir {LOCK}; touch {LOCK}/file",
    "a pipe": f"rm {LOCK}; mkfifo {LOCK}",
    "a link": f"mv {LOCK} elsewhere; ln -s ../elsewhere {LOCK}",
}


@pytest.mark.parametrize("way", WAYS)
def test_lock_file_that_a_stage_takes_away_keeps_the_run_from_closing(
    way: str, tmp_path: Path
) -> None:
    """The run fails before its next step, and a resume closes it."""
    done = orchestrate("./out", *PASSING, *stages(executor=ONCE + WAYS[way]), cwd=tmp_path)
    assert done.code == 1
    report = report_of(tmp_path / "out")
    assert (report["terminal_state"], report["closure_ready"]) == ("failed", False)
    assert statuses(report) == [
        *(("manager", "success"), ("executor", "success"), ("lock", "failed"))
    ]
    failure = report["stage_executions"][-1]
    assert failure["command"] == "lock.acquire"
    assert f"the lock file {tmp_path / LOCK} was removed, moved or replaced" in failure["error"]
    assert checkpoint_of(tmp_path / "out")["current_state"] == "failed"
    (said,) = (one for one in events_of(tmp_path / "out") if one["event"] == "recording.failed")
    assert said["operation"] == "lock.acquire"
    assert "fsm-orchestrator explain ./out" in done.stdout
    if way not in {"a directory", "a pipe", "a link"}:  # a person has to remove these
        resumed = orchestrate("./out", "--resume", cwd=tmp_path)
        assert resumed.code == 0, resumed.stderr
        assert report_of(tmp_path / "out")["closure_ready"]


def test_nobody_gets_in_while_the_lock_file_is_gone(tmp_path: Path) -> None:
    """The directory is locked as well: another run is refused and touches nothing."""
    takes = f"{WAYS['made anew']}; touch taken; until test -e go; do sleep 0.02; done"
    process = start("./out", *PASSING, *shell("manager", takes), cwd=tmp_path)
    try:
        wait_until((tmp_path / "taken").exists)
        other = orchestrate("./out", *PASSING, *stages("touch ran"), cwd=tmp_path)
        resume = orchestrate("./out", "--resume", *PASSING, cwd=tmp_path)
        assert (other.code, resume.code) == (75, 75)
        assert not (tmp_path / "ran").exists()
        assert (tmp_path / LOCK).read_bytes() == b""
    finally:
        (tmp_path / "go").touch()
        process.communicate(timeout=PATIENCE_SECONDS)
    assert process.returncode == 1
    assert report_of(tmp_path / "out")["stage_executions"][-1]["command"] == "lock.acquire"
