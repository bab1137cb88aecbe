"""Runs of every standing, and what `explain` has to say about each."""

from __future__ import annotations

import re
import shlex
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from fsm_orchestrator.explanation.explanation import Explanation
from fsm_orchestrator.vocabulary import Standing
from tests.support.command import (
    ORCHESTRATOR_PID,
    PASSING,
    REPORT,
    Ended,
    orchestrate,
    shell,
    stages,
    tree_of,
)

SCREEN_LINES = 12
SCREEN_COLUMNS = 80
ONCE = "test -e once || { touch once; "


def explained(cwd: Path, *options: str) -> tuple[str, Explanation]:
    """Return screen and record of a run after checking that `explain` changes nothing."""
    before = tree_of(cwd)
    screen = orchestrate("explain", "out", *options, cwd=cwd)
    record = orchestrate("explain", "out", *options, "--json", cwd=cwd)
    assert (screen.code, screen.stderr, record.code) == (0, "", 0), screen.stderr
    assert tree_of(cwd) == before
    return screen.stdout, Explanation.model_validate_json(record.stdout)


def typed(screen: str) -> list[str]:
    """Return the next command on the first screen, parsed like a shell does."""
    first = "\n".join(screen.splitlines()[:SCREEN_LINES])
    found = re.search(r"^  next  ((?:.*\\\n)*.*)$", first, re.MULTILINE)
    assert found is not None, first
    program, *words = shlex.split(found[1].replace("\\\n", " "))
    assert program == "fsm-orchestrator"
    return words


@dataclass(frozen=True)
class Case:
    """A way to a standing, and what the run's screen must say and do."""

    arrange: Callable[[Path], object]
    standing: Standing
    says: tuple[str, ...]
    repair: Callable[[Path], object] = lambda _: None
    runs_then: tuple[str, ...] = ()
    would_fail_in: str | None = None
    code_then: int = 0


def begun(*options: str, code: int) -> Callable[[Path], Ended]:
    """Return a maker of a run in `out` that ends with `code`."""

    def arrange(cwd: Path) -> Ended:
        ended = orchestrate("out", *options, cwd=cwd)
        assert ended.code == code, ended.stderr
        return ended

    return arrange


def killed(cwd: Path) -> None:
    """Make a run whose orchestrator was killed while its executor worked."""
    script = f"{ONCE} kill -KILL {ORCHESTRATOR_PID}; exec sleep 60; }}"
    assert orchestrate("out", *PASSING, *stages(executor=script), cwd=cwd).code == -9


def killed_without_report(cwd: Path) -> None:
    """Make the same, without its report."""
    killed(cwd)
    (cwd / "out" / REPORT).unlink()


def make_tool(cwd: Path) -> None:
    """Put the program where the stage looks for it."""
    (cwd / "tool").write_text("#!/bin/sh\n")
    (cwd / "tool").chmod(0o755)


def asked_to_end(cwd: Path) -> None:
    """Make a run that got SIGTERM while its manager worked."""
    script = f"{ONCE} kill -TERM {ORCHESTRATOR_PID}; exec sleep 60; }}"
    assert orchestrate("out", *PASSING, *stages(manager=script), cwd=cwd).code == 143


def spoilt_completion(cwd: Path) -> None:
    """Make a failed run whose completed manager has lost its artifact since."""
    begun(
        *PASSING,
        *stages("echo {} > plan.json", f"{ONCE} exit 1; }}"),
        *("--manager-expected-artifact", "plan.json"),
        code=1,
    )(cwd)
    (cwd / "plan.json").unlink()


CASES = {
    "blocked": Case(
        begun("--policy-status", "allow", "--ci-status", "pending", *stages(), code=3),
        Standing.WAITING,
        ("gate ci refused: its signal is pending", "GATE_REVIEW_NOT_APPROVED", "nothing was start"),
        runs_then=("manager", "executor"),
    ),
    "failed": Case(
        begun(*PASSING, *stages(executor="test -e ready || { echo oh no >&2; exit 3; }"), code=1),
        Standing.FAILED,
        ("stage executor, attempt 1: exited with code 3", "| oh no", "executor.1.stderr.log"),
        repair=lambda cwd: (cwd / "ready").touch(),
        runs_then=("executor",),
    ),
    "died of a signal": Case(
        begun(*PASSING, *stages(f"{ONCE} kill -SEGV $$; }}"), code=1),
        Standing.FAILED,
        ("SIGSEGV",),
        runs_then=("manager", "executor"),
    ),
    "timed out": Case(
        begun(*PASSING, *stages("exec sleep 1.2"), "--timeout-ms", "800", code=124),
        Standing.TIMEOUT,
        ("timed out after 800ms", "postmortem", "--manager-timeout 1.6s"),
        runs_then=("manager", "executor"),
    ),
    "went quiet": Case(
        begun(*PASSING, *stages("sleep 1.2"), "--manager-idle-timeout-ms", "800", code=124),
        Standing.TIMEOUT,
        ("printed nothing for 800ms", "--manager-idle-timeout 1.6s"),
        runs_then=("manager", "executor"),
    ),
    "printed too much": Case(
        begun(*PASSING, *stages("head -c 1500 /dev/zero"), "--manager-output-limit", "999", code=1),
        Standing.FAILED,
        ("more than 999 bytes", "--manager-output-limit 1998"),
        runs_then=("manager", "executor"),
    ),
    "interrupted": Case(
        killed,
        Standing.INTERRUPTED,
        ("its orchestrator died without recording", "stage executor, attempt 1, was at work"),
        runs_then=("executor",),
    ),
    "asked to end": Case(
        asked_to_end,
        Standing.FAILED,
        ("asked to end, as by SIGTERM", "nothing is broken"),
        runs_then=("manager", "executor"),
    ),
    "program not there": Case(
        begun(*PASSING, *shell("executor", "exit 0"), "--manager-bin", "./tool", code=1),
        Standing.FAILED,
        ("could not be started: not found", "put the program where"),
        repair=make_tool,
        runs_then=("manager", "executor"),
        would_fail_in="manager",
    ),
    "artifact missing": Case(
        begun(*PASSING, *stages(f"{ONCE} exit 0; }}; echo {{}} > a.json"),
              "--manager-expected-artifact", "a.json", code=1),
        Standing.FAILED,
        ("missing", "a.json", "fix what the program writes"),
        runs_then=("manager", "executor"),
    ),
    "completed work spoilt": Case(
        spoilt_completion,
        Standing.FAILED,
        ("--on-changed-stage rerun",),
        runs_then=("manager", "executor"),
    ),
    "report gone": Case(
        killed_without_report,
        Standing.INTERRUPTED,
        ("no run has left a report in",),
        runs_then=("executor",),
    ),
}  # fmt: skip
