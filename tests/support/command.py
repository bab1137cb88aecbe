"""Run the real command, make small commands for stages, and read what a run has written."""

from __future__ import annotations

import json
import os
import shlex
import subprocess
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

from fsm_orchestrator.cli.main import run_command_line
from fsm_orchestrator.record.record_check import record_digest
from tests.support import forked
from tests.support.patience import PATIENCE_SECONDS
from tests.support.schema_checks import Written

REPORT = "orchestrator_run_report.json"
RUN_COMMAND_LINE = f"from {run_command_line.__module__} import {run_command_line.__name__}"
"""For a script that acts as the command: `run_command_line(arguments)` returns the exit code."""
CHECKPOINT = "orchestrator_checkpoint.json"
EVENTS = "orchestrator_events.jsonl"
INVOCATIONS = "orchestrator_invocations.jsonl"
COMMAND = (sys.executable, "-m", "fsm_orchestrator")
PASSING = (
    *("--policy-status", "allow"),
    *("--ci-status", "success"),
    *("--review-status", "approved"),
)
ORCHESTRATOR_PID = (
    "$(cut -d' ' -f4 /proc/$PPID/stat)" if sys.platform.startswith("linux") else "$PPID"
)
"""For a stage's shell: the process above the keeper, which is its parent."""


@dataclass(frozen=True, slots=True)
class Ended:
    """The end of a command."""

    code: int
    stdout: str
    stderr: str

    @property
    def events(self) -> list[dict[str, Any]]:
        """The JSON lines of stderr."""
        return [json.loads(line) for line in self.stderr.splitlines() if line.startswith("{")]


def environment(**extra: str) -> dict[str, str]:
    """Return the environment of a command under test: it logs JSON, for the tests to read."""
    asked = {"LC_ALL": "C.UTF-8", "NO_COLOR": "1", "FSM_ORCHESTRATOR_LOG_FORMAT": "json"}
    return {**os.environ, **asked, **extra}


def shell_environment(folder: Path) -> dict[str, str]:
    """Return an environment in which `fsm-orchestrator` runs this checkout.

    The command, and private state, go into `folder`. It is forked where that is equivalent.
    """
    state = {"XDG_STATE_HOME": str(folder / "state"), "TERM": ""}
    path = f"{folder / 'bin'}{os.pathsep}{os.environ['PATH']}"
    env = environment(PATH=path, **state)
    words = command_of_shells(env)
    command = folder / "bin" / "fsm-orchestrator"
    command.parent.mkdir(exist_ok=True)
    command.write_text(f'#!/bin/sh\nexec {shlex.join(words)} "$@"\n')
    command.chmod(0o755)
    return env


def command_of_shells(env: Mapping[str, str]) -> tuple[str, ...]:
    """Return how a shell that has `env` starts the command: quickly where that is equivalent."""
    server = forked.prepare(env)
    if server is None:
        return COMMAND
    return (
        sys.executable,
        "-I",
        "-S",
        str(Path(__file__).with_name("fork_client.py")),
        str(server.path),
    )


def orchestrate(
    *arguments: str | Path,
    cwd: Path,
    env: Mapping[str, str] | None = None,
    timeout: float = PATIENCE_SECONDS,
    python: str = sys.executable,
) -> Ended:
    """Run the command to its end, as an operator would; private state goes below `cwd`.

    Every report, checkpoint and event that it writes is checked against the published schemas. The
    process is forked wherever that is equivalent to executing it: see `forked`. All commands of a
    session then share a hash seed; a test of what does not vary gives each a separate
    `PYTHONHASHSEED`.
    """
    written = Written(arguments, cwd)
    words, base = [*map(str, arguments)], environment()
    given = environment(**{"XDG_STATE_HOME": str(cwd / "state"), **(env or {})})
    if python == sys.executable and forked.can_fork(words, cwd=cwd, env=given, base=base):
        done = forked.run(words, cwd=cwd, env=given, base=base, timeout=timeout)
    else:
        done = subprocess.run(
            [python, *COMMAND[1:], *words],
            cwd=cwd,
            env=given,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=timeout,
            check=False,
        )
    written.assert_valid()
    return Ended(done.returncode, done.stdout, done.stderr)


def start(*arguments: str | Path, cwd: Path) -> subprocess.Popen[str]:
    """Start the command and leave it running; the caller ends it. Forked like `orchestrate`."""
    words, base = [*map(str, arguments)], environment()
    given = environment(XDG_STATE_HOME=str(cwd / "state"))
    if forked.can_fork(words, cwd=cwd, env=given, base=base):
        process = forked.start(words, cwd=cwd, env=given, base=base)
        return cast("subprocess.Popen[str]", process)  # all of its interface that is used here
    return subprocess.Popen(
        [*COMMAND, *words],
        cwd=cwd,
        env=given,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def shell(stage: str, script: str) -> tuple[str, ...]:
    """Return the options that make a stage run a shell script."""
    return (f"--{stage}-bin", "/bin/sh", f"--{stage}-arg", "-c", f"--{stage}-arg", script)


def stages(manager: str = "exit 0", executor: str = "exit 0") -> tuple[str, ...]:
    """Return the options that make both stages of the default lifecycle run shell scripts."""
    return (*shell("manager", manager), *shell("executor", executor))


def accepting(output: Path) -> tuple[str, ...]:
    """Return the options by which a person accepts the current record in an output directory."""
    return ("--resume", "--accept-record", record_digest(output))


def after_a_power_cut(cwd: Path) -> None:
    """Lose what was noted of the runs of `cwd` and was not on disk yet."""
    for path in (cwd / "state" / "fsm-orchestrator").glob("left-*/*.jsonl"):
        path.unlink()


def report_of(output: Path) -> dict[str, Any]:
    """Return the report in an output directory."""
    return read_json(output / REPORT)


def checkpoint_of(output: Path) -> dict[str, Any]:
    """Return the checkpoint in an output directory."""
    return read_json(output / CHECKPOINT)


def events_of(output: Path) -> list[dict[str, Any]]:
    """Return the events in an output directory."""
    return [json.loads(line) for line in (output / EVENTS).read_text().splitlines()]


def read_json(path: Path) -> dict[str, Any]:
    """Return the JSON object in a file."""
    document = json.loads(path.read_bytes())
    assert isinstance(document, dict)
    return document


def tree_of(directory: Path) -> dict[str, bytes]:
    """Return the content of every file below a directory, to prove that nothing was written."""
    return {
        str(path.relative_to(directory)): path.read_bytes()
        for path in sorted(directory.rglob("*"))
        if path.is_file()
    }


def statuses(report: Mapping[str, Any]) -> list[tuple[str, str]]:
    """Return stage and status of each stage execution, in order."""
    return [(one["stage"], one["status"]) for one in report["stage_executions"]]


def spawned(report: Mapping[str, Any]) -> Sequence[str]:
    """Return the stages that this invocation really ran."""
    return [one["stage"] for one in report["stage_executions"] if one["exit_code"] is not None]
