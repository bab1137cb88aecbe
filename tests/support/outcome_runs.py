"""Runs that ended in every way: real ones, made by the command, to be bundled and proved."""

from __future__ import annotations

import signal
from pathlib import Path
from typing import Final, NamedTuple

from tests.support.command import ORCHESTRATOR_PID, PASSING, orchestrate, shell, stages
from tests.support.lifecycle_cases import edited

KILL: Final = f"kill -KILL {ORCHESTRATOR_PID}; exec sleep 60"
ONCE_KILLED: Final = f"test -e once || {{ touch once; {KILL}; }}"
WRITES: Final = "echo '{{}}' > {0}.json"
_DONE: Final = '[[state]]\nname = "done"'
_TIDY: Final = edited(
    (_DONE, f'[[state]]\nname = "cleanup"\nkind = "stage"\nfinally = true\n\n{_DONE}')
)


class OutcomeRun(NamedTuple):
    """A run, and its state.

    Attributes:
        codes: the exit code of each start of the command, in order.
        starts: the options of each start.
        terminal_state: the state in the report.
    """

    starts: tuple[tuple[str, ...], ...]
    codes: tuple[int, ...]
    terminal_state: str | None
    closure_ready: bool = False
    lifecycle: str = ""

    def make(self, folder: Path) -> Path:
        """Make the run in a folder; return its output directory."""
        if self.lifecycle:
            (folder / "own.toml").write_text(self.lifecycle)
        for options, code in zip(self.starts, self.codes, strict=True):
            ended = orchestrate("./out", *options, cwd=folder)
            assert ended.code == code, ended.stderr
        return folder / "out"


def _own(*options: str) -> tuple[str, ...]:
    return ("--lifecycle", "./own.toml", *PASSING, *options)


_REVIEWED: Final = (
    *("--lifecycle", "reviewed_run", *PASSING),
    *shell("manager", "exit 0"),
    *shell("executor", "echo x >> done_so_far"),
    *shell("reviewer", "test $(wc -l < done_so_far) -gt 1 || exit 10"),
)
_ARTIFACT: Final = ("--executor-expected-artifact", "plan.json")
_AGAIN: Final = ("--resume",)
_KILLED: Final = -signal.SIGKILL

OUTCOMES: Final[dict[str, OutcomeRun]] = {
    "done": OutcomeRun(
        (
            (
                *(*PASSING, *stages("echo planned", WRITES.format("plan")), *_ARTIFACT),
                *("--executor-verify", "test -s plan.json"),
            ),
        ),
        (0,),
        "done",
        closure_ready=True,
    ),
    "done, then resumed": OutcomeRun(
        ((*PASSING, *stages()), _AGAIN, _AGAIN), (0, 0, 0), "done", closure_ready=True
    ),
    "no stage was run": OutcomeRun((PASSING,), (0,), "done"),
    "a stage was passed over": OutcomeRun(((*PASSING, *shell("manager", "exit 0")),), (0,), "done"),
    "waiting": OutcomeRun((("--policy-status", "allow", *stages()),), (3,), "blocked"),
    "denied": OutcomeRun((("--policy-status", "deny", *PASSING[2:], *stages()),), (3,), "blocked"),
    "failed": OutcomeRun(((*PASSING, *stages("echo no >&2; exit 7")),), (1,), "failed"),
    "artifact missing": OutcomeRun(
        ((*PASSING, *stages(), "--manager-expected-artifact", "none.json"),), (1,), "failed"
    ),
    "verification failed": OutcomeRun(
        ((*PASSING, *stages(), "--manager-verify", "false"),), (1,), "failed"
    ),
    "not started": OutcomeRun(((*PASSING, "--manager-bin", "./none"),), (1,), "failed"),
    "timeout": OutcomeRun(
        ((*PASSING, *stages("exec sleep 60"), "--manager-timeout-ms", "80"),), (124,), "timeout"
    ),
    "interrupted": OutcomeRun(
        ((*PASSING, *stages(f"kill -TERM {ORCHESTRATOR_PID}; exec sleep 60")),), (143,), "failed"
    ),
    "killed": OutcomeRun(((*PASSING, *stages("exit 0", KILL)),), (_KILLED,), None),
    "resumed after kill -9": OutcomeRun(
        ((*PASSING, *stages("exit 0", ONCE_KILLED)), _AGAIN),
        (_KILLED, 0),
        "done",
        closure_ready=True,
    ),
    "rework": OutcomeRun((_REVIEWED,), (0,), "done", closure_ready=True),
    "retries": OutcomeRun(
        (
            (
                *(*PASSING, *stages("test -e tried || { touch tried; exit 75; }")),
                *("--manager-max-attempts", "2", "--manager-backoff-ms", "1"),
                *("--manager-retry-exit-code", "75"),
            ),
        ),
        (0,),
        "done",
        closure_ready=True,
    ),
    "group": OutcomeRun(
        (
            (
                *("--lifecycle", "checked_run", *PASSING, *shell("executor", "exit 0")),
                *(*shell("lint", "exit 0"), *shell("unit-tests", "exit 0")),
                *shell("scan", "exit 0"),
            ),
        ),
        (0,),
        "done",
        closure_ready=True,
    ),
    "a member of a group failed": OutcomeRun(
        (
            (
                *("--lifecycle", "checked_run", *PASSING, *shell("executor", "exit 0")),
                *(*shell("lint", "exit 4"), *shell("unit-tests", "exit 0")),
                *shell("scan", "exit 0"),
            ),
        ),
        (1,),
        "failed",
    ),
    "finally": OutcomeRun(
        (_own(*stages("exit 0", "exit 3"), *shell("cleanup", "exit 0")),),
        (1,),
        "failed",
        lifecycle=_TIDY,
    ),
    "finally was killed": OutcomeRun(
        (_own(*stages(), *shell("cleanup", KILL)),), (_KILLED,), None, lifecycle=_TIDY
    ),
    "failed, then done": OutcomeRun(
        ((*PASSING, *stages("exit 0", "test -e tried || { touch tried; exit 1; }")), _AGAIN),
        (1, 0),
        "done",
        closure_ready=True,
    ),
    "fixed clock": OutcomeRun(
        ((*PASSING, *stages(), "--fixed-clock", "2026-01-01T00:00:00Z", "--run-id", "fixed"),),
        (0,),
        "done",
        closure_ready=True,
    ),
}
"""The ways in which runs can end, and the events that can happen in them."""
