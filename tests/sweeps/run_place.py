"""The place where the model's requests are done: real directory, stages, commands, forgeries."""

from __future__ import annotations

import errno
import os
import shutil
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any, Final

import psutil
import pytest
from hypothesis import event

from fsm_orchestrator import RunConfig, StageGiven
from fsm_orchestrator.vocabulary import Gate, OnChangedStage
from tests.support.command import start
from tests.support.patience import PATIENCE_SECONDS
from tests.sweeps.run_model import Act, Document, Request, written_by

# -- the real run ------------------------------------------------------------------------------

CONTENTS: Final = {"good": "{}", "other": "[2]", "broken": "[1,]"}
FATES: Final = {Act.FAILS: "exit 7", Act.DIES: "kill -SEGV $$", Act.HANGS: "exec sleep 60"}


class Place:
    """A directory with an output directory, and all files that stages need and leave."""

    def __init__(self) -> None:
        self.base = Path(tempfile.mkdtemp(prefix="model-")) / "base"
        self.output = self.base / "out"
        self.ran = self.base / "ran"
        (self.base / "there").mkdir(parents=True)
        (self.base / "sh").symlink_to("/bin/sh")
        self.ran.touch()
        self._holds: list[int] = []
        self.left: list[psutil.Process] = []
        """The processes that killed orchestrators left, and that may still exist."""
        self._patch = pytest.MonkeyPatch()
        self._patch.setenv("XDG_STATE_HOME", str(self.base / "state"))

    def close(self) -> None:
        """Remove everything; wait until all killed processes are gone."""
        try:
            self.wait_until_gone()
        finally:
            for hold in self._holds:
                os.close(hold)
            self._patch.undo()
            shutil.rmtree(self.base.parent)

    def tell(self, acts: Mapping[str, Act]) -> None:
        """Write what each stage is to do when it is started."""
        for stage, act in acts.items():
            lines = [
                f"rm -f '{name}'" if content is None else f"echo '{CONTENTS[content]}' > '{name}'"
                for name, content in written_by(stage, act).items()
            ]
            last = f"exec cat '{self.base / 'hold'}'" if act == Act.WAITS else FATES.get(act, "")
            text = "\n".join((f"cd '{self.base}'", *lines, last))
            (self.base / f"{stage}.act").write_text(text + "\n")

    def notes(self) -> list[str]:
        """Return the notes of the stages, a line for each start."""
        return self.ran.read_text().splitlines()

    def arguments(self, stage: str, tag: str) -> tuple[str, ...]:
        """Return the arguments that a tag stands for."""
        line = f"$ORCHESTRATOR_RUN_ID|{stage}|$ORCHESTRATOR_ATTEMPT|$1|$MARK|$HINT|${{PWD##*/}}"
        return ("-c", f"echo \"{line}\" >> '{self.ran}'; . '{self.base}/{stage}.act'", "sh", tag)

    def config(self, request: Request, run_id: str) -> RunConfig:
        """Return a request as a Python program makes it."""
        return RunConfig(
            output_directory=self.output,
            directory=self.base,
            resume=request.is_resume,
            run_id=run_id,
            lifecycle=request.lifecycle,
            gates={Gate(gate): status for gate, status in request.gates.items()},
            stages={
                stage: StageGiven(
                    bin=given.program,
                    args=None if given.tag is None else self.arguments(stage, given.tag),
                    env=given.env,
                    expected_artifacts=given.artifacts,
                    cwd=None if given.cwd is None else self._directory(given.cwd),
                    timeout_ms=given.timeout_ms,
                )
                for stage, given in request.stages.items()
            },
            on_changed_stage=OnChangedStage(request.on_changed),
            rerun=request.rerun,
        )

    def options(self, request: Request, run_id: str) -> list[str]:
        """Return a request as an operator types it."""
        found = ["out", "--run-id", run_id, *(["--resume"] if request.is_resume else [])]
        if request.lifecycle is not None:
            found += ["--lifecycle", request.lifecycle]
        for gate, status in request.gates.items():
            found += [f"--{gate}-status", status]
        for stage, given in request.stages.items():
            env = [f"{key}={value}" for key, value in (given.env or {}).items()]
            several: dict[str, Iterable[Any]] = {
                "bin": [given.program],
                "arg": () if given.tag is None else self.arguments(stage, given.tag),
                "env": env,
                "expected-artifact": given.artifacts or (),
                "cwd": [None if given.cwd is None else self._directory(given.cwd)],
                "timeout-ms": [given.timeout_ms],
            }
            for name, values in several.items():
                for value in (value for value in values if value is not None):
                    found += [f"--{stage}-{name}", str(value)]
        if request.on_changed != "refuse":
            found += ["--on-changed-stage", request.on_changed]
        return [*found, *(part for stage in request.rerun for part in ("--rerun", stage))]

    def run_command(self, options: Iterable[str], *, is_killed: bool) -> int:
        """Run the command and return its exit code. A kill strikes while a stage waits."""
        hold = self.base / "hold"
        hold.unlink(missing_ok=True)
        os.mkfifo(hold)
        with start(*options, cwd=self.base) as process:
            if is_killed:
                self._kill_while_waiting(process, hold)
            _, said = process.communicate(timeout=PATIENCE_SECONDS)
        event(f"exit {process.returncode} of the command")
        assert process.returncode != 70, said
        return process.returncode

    def wait_until_gone(self) -> None:
        """Wait for the end of all that killed orchestrators left: they end it on their own."""
        deadline = time.monotonic() + PATIENCE_SECONDS
        while alive := [one for one in self.left if not is_gone(one)]:
            assert time.monotonic() < deadline, f"still there: {alive}"
            time.sleep(0.005)
        self.left.clear()

    def _kill_while_waiting(self, process: subprocess.Popen[str], hold: Path) -> None:
        deadline = time.monotonic() + PATIENCE_SECONDS
        while (writer := _writer_of(hold)) is None:
            assert process.poll() is None, process.communicate()
            assert time.monotonic() < deadline
            time.sleep(0.005)
        self._holds.append(writer)  # the stage reads until it is ended
        self.left += psutil.Process(process.pid).children(recursive=True)
        process.kill()

    def _directory(self, name: str) -> str:
        return "." if name == "base" else name


def _writer_of(fifo: Path) -> int | None:
    """Return the writing end of a FIFO, or None while nobody reads."""
    try:
        return os.open(fifo, os.O_WRONLY | os.O_NONBLOCK | os.O_CLOEXEC)
    except OSError as error:
        if error.errno != errno.ENXIO:
            raise
        return None


def is_gone(process: psutil.Process) -> bool:
    """Return whether a process has ended, reaped or not."""
    try:
        return not process.is_running() or process.status() == psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return True


# -- edited checkpoints --------------------------------------------------------------------------


def _claim_done(document: Document) -> None:
    document["current_state"] = "failed" if document["current_state"] == "done" else "done"


def _lose_completion(document: Document) -> None:
    done = document["completions"]
    document["completions"] = done[1:] if done else [{"stage": "manager"}]


def _forge_completion(document: Document) -> None:
    """Call an incomplete stage complete: one that failed, or one with the other's number."""
    done = document["completions"]
    walks = document["invocations"]
    complete = {one["stage"] for one in done}
    for one in (one for visit in walks for one in visit["stage_executions"] if one["attempt"]):
        if one["stage"] not in complete:
            again = {"cycle": 1, "attempt": one["attempt"], "invocation": len(walks)}
            settings = document["stages"][one["stage"]]
            done.append({"stage": one["stage"], **again, "settings": settings, "artifacts": []})
            return
    document["completions"] = [*done, *done] if done else [{}]


def _flip_verdicts(document: Document) -> None:
    decisions = [one for visit in document["invocations"] for one in visit["gate_decisions"]]
    for decision in decisions or document["gate_signals"]:
        decision["passed"] = not decision.get("passed")


def _flip_statuses(document: Document) -> None:
    walks = document["invocations"]
    ran = [one for visit in walks for one in visit["stage_executions"] if one["attempt"]]
    for one in ran:
        one["status"] = "failed" if one["status"] == "success" else "success"
    if not ran:
        document["run_id"] = ""


def _renumber_attempt(document: Document) -> None:
    walks = document["invocations"]
    ran = [one for visit in walks for one in visit["stage_executions"] if one["exit_code"]]
    if not ran:
        document["product"] = "another"
    for one in ran:
        one["attempt"] += 1


def _shorten_walk(document: Document) -> None:
    document["invocations"][0]["transitions"].pop()


EDITS: Final[Mapping[str, Callable[[Document], object]]] = {
    "another state": _claim_done,
    "completion lost": _lose_completion,
    "completion forged": _forge_completion,
    "verdicts flipped": _flip_verdicts,
    "signals swapped": lambda document: document["gate_signals"].reverse(),
    "statuses flipped": _flip_statuses,
    "attempt renumbered": _renumber_attempt,
    "walk shortened": _shorten_walk,
    "invocation lost": lambda document: document["invocations"].pop(0),
    "digest": lambda document: document.update(lifecycle_sha256="0" * 64),
    "newer version": lambda document: document.update(schema_version=2),
    "unknown key": lambda document: document.update(note="mine"),
    "gates not mandatory": lambda document: document["lifecycle"]["state"][1].update(gates=["ci"]),
    "emptied": lambda document: document.clear(),
}
