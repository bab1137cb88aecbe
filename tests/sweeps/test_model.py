"""Runs and resumes in any order against a small model of what is promised of them.

The model says of each command what it must exit with, which stages it must really start and with
which settings, and what is complete afterwards. It is written from the promises and shares no code
with the package. `SOAK=1` looks further; a failure prints a blob that repeats it.
"""

from __future__ import annotations

import contextlib
import errno
import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from enum import StrEnum
from pathlib import Path
from typing import Any, Final, TypeAlias, TypeVar

import psutil
import pytest
from hypothesis import HealthCheck, event, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    precondition,
    rule,
)

from fsm_orchestrator import RunConfig, StageGiven, run
from fsm_orchestrator.errors import OrchestratorError
from fsm_orchestrator.vocabulary import Gate, OnChangedStage, SchemaName
from tests.support.command import (
    CHECKPOINT,
    EVENTS,
    REPORT,
    checkpoint_of,
    report_of,
    start,
    tree_of,
)
from tests.support.patience import PATIENCE_SECONDS
from tests.support.schema_checks import assert_output_valid, assert_valid

SOAK: Final = bool(os.environ.get("SOAK"))
STAGES: Final = ("manager", "executor")
ARTIFACTS: Final = {"manager": ("plan.json", "notes.txt"), "executor": ("result.json",)}
NAMES: Final = tuple(name for names in ARTIFACTS.values() for name in names)
GATES: Final[Mapping[str, tuple[str, ...]]] = {
    "policy": ("allow", "deny", "unknown"),
    "ci": ("success", "pending", "failure", "missing"),
    "review": ("approved", "changes_requested", "missing"),
}
"""What each gate may be told: first what passes, last what counts when it is told nothing."""
CODES: Final = {
    "policy": "GATE_POLICY_DENIED_OR_UNKNOWN",
    "ci": "GATE_CI_NOT_SUCCESS",
    "review": "GATE_REVIEW_NOT_APPROVED",
}
PASSING: Final = {gate: values[0] for gate, values in GATES.items()}
EXIT_CODES: Final = {"done": 0, "failed": 1, "blocked": 3, "timeout": 124}
REFUSED: Final = 2
UNUSABLE: Final = 1
KILLED: Final = -signal.SIGKILL
AMPLE_MS, SHORT_MS = 60_000, 100

Value = TypeVar("Value")
Document: TypeAlias = dict[str, Any]
Env: TypeAlias = Mapping[str, tuple[str, int]]
"""Value of each variable, and the number of private files that were lost before it was given."""


# -- what an operator does ------------------------------------------------------------------


@dataclass(frozen=True)
class Given:
    """What is given for a stage; None where it is not. A tag stands for a list of arguments."""

    program: str | None = None
    tag: str | None = None
    env: Mapping[str, str] | None = None
    artifacts: tuple[str, ...] | None = None
    cwd: str | None = None
    timeout_ms: int | None = None


@dataclass(frozen=True)
class Request:
    """One start of the command."""

    is_resume: bool
    lifecycle: str | None = None
    gates: Mapping[str, str] = field(default_factory=dict)
    stages: Mapping[str, Given] = field(default_factory=dict)
    on_changed: str = "refuse"
    rerun: tuple[str, ...] = ()


class Act(StrEnum):
    """What a stage does when it runs, told to it by a file."""

    GOOD = "writes its artifacts and succeeds"
    IDLE = "succeeds and writes nothing"
    BROKEN = "succeeds and writes JSON that is none"
    SPOILS = "writes its artifacts, removes those of others and succeeds"
    FAILS = "writes its artifacts and exits with 7"
    DIES = "dies of a signal"
    HANGS = "takes longer than it may"
    WAITS = "waits until the orchestrator is killed"


ENDS: Final = {
    Act.FAILS: ("failed", "failed"),
    Act.DIES: ("failed", "failed"),
    Act.HANGS: ("timeout", "timeout"),
}
"""The status and the outcome that an attempt has which does not exit with 0."""


# -- the model ------------------------------------------------------------------------------


@dataclass(frozen=True)
class Settings:
    """What a stage runs with."""

    program: str
    tag: str | None = None
    env: Env = field(default_factory=dict)
    artifacts: tuple[str, ...] = ()
    cwd: str = "base"
    timeout_ms: int | None = None

    def differs_from(self, other: Settings) -> bool:
        """Whether a stage that completed with one is another with the other; time-outs aside."""
        return replace(self, timeout_ms=None) != replace(other, timeout_ms=None)


@dataclass(frozen=True)
class Expected:
    """What one start of the command must do."""

    code: int
    outcome: str | None = None
    is_ready: bool = False
    is_judged: bool = False
    """Whether the gates were asked."""
    executions: tuple[tuple[str, str, int], ...] = ()
    """Stage, status and attempt number of each."""
    notes: tuple[str, ...] = ()
    """The line that each stage leaves which is really started."""


@dataclass
class Ran:
    """What an invocation has done about stages so far."""

    executions: list[tuple[str, str, int]] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)

    def expected(self, outcome: str, *, is_judged: bool) -> Expected:
        """What must come of it if the run ends now."""
        return Expected(
            code=EXIT_CODES[outcome],
            outcome=outcome,
            is_judged=is_judged,
            executions=tuple(self.executions),
            notes=tuple(self.notes),
        )


@dataclass
class Model:
    """A run as far as its operator can know it, and the files that its stages leave."""

    files: dict[str, str | None] = field(default_factory=lambda: dict.fromkeys(NAMES))
    """By artifact: `good`, `broken`, or None when it is not there."""
    losses: int = 0
    """How many times the private files were lost."""
    gates: dict[str, str] = field(default_factory=dict)
    kept: dict[str, Settings] = field(default_factory=dict)
    complete: dict[str, tuple[Settings, int]] = field(default_factory=dict)
    attempts: Counter[str] = field(default_factory=Counter)
    running: str | None = None
    """The stage whose attempt nobody saw the end of."""
    do_gates_guard_stages: bool = True
    """Whether nothing is started before the gates have passed; else they are asked at the end."""
    runs: int = 0
    hung: list[str] = field(default_factory=list)
    """The lines of stages that may have been ended before they wrote them."""
    is_done: bool = False
    has_checkpoint: bool = False

    def expect(self, request: Request, acts: Mapping[str, Act]) -> Expected:
        """What must come of a request; the model is afterwards what the run must be."""
        if not request.is_resume:
            return self._begin(request, acts)
        if not self.has_checkpoint:
            return Expected(UNUSABLE)
        now = self._merged(request, self.kept)
        if now is None or not set(request.rerun) <= set(STAGES):
            return Expected(REFUSED)
        if self.is_done:
            return self._visit(request, now)
        return self._go_on(request, now, acts)

    @property
    def run_id(self) -> str:
        """The id that the run was given."""
        return f"run-{self.runs}"

    def merged_with(self, given: Given, kept: Settings | None) -> Settings | None:
        """Settings with what is given now laid over; None where there is no program for them."""
        if given.program is not None:
            kept = Settings(given.program)
        if kept is None:
            return None
        env = {key: (value, self.losses) for key, value in (given.env or {}).items()}
        return replace(
            kept,
            tag=kept.tag if given.tag is None else given.tag,
            env={**kept.env, **env},
            artifacts=kept.artifacts if given.artifacts is None else given.artifacts,
            cwd=kept.cwd if given.cwd is None else given.cwd,
            timeout_ms=kept.timeout_ms if given.timeout_ms is None else given.timeout_ms,
        )

    def decisions(self) -> list[tuple[str, str, bool]]:
        """Each gate, what it was told, and whether it passes, in judging order."""
        told = {gate: self.gates.get(gate, values[-1]) for gate, values in GATES.items()}
        return [(gate, told[gate], told[gate] == PASSING[gate]) for gate in GATES]

    def are_good(self, artifacts: Iterable[str]) -> bool:
        """Whether all of the artifacts are there and valid."""
        return all(self.files[name] == "good" for name in artifacts)

    def _merged(self, request: Request, kept: Mapping[str, Settings]) -> dict[str, Settings] | None:
        now = dict(kept)
        for stage, given in request.stages.items():
            if given != Given():
                merged = self.merged_with(given, kept.get(stage))
                if merged is None:
                    return None
                now[stage] = merged
        return now

    def _begin(self, request: Request, acts: Mapping[str, Act]) -> Expected:
        now = self._merged(request, {})
        if now is None or request.rerun or request.on_changed != "refuse":
            return Expected(REFUSED)
        self.runs += 1
        self.do_gates_guard_stages = request.lifecycle != "closure_gated"
        self.gates, self.kept, self.complete = dict(request.gates), now, {}
        self.attempts, self.running = Counter(), None
        self.is_done, self.has_checkpoint = False, True
        return self._walk(acts)

    def _visit(self, request: Request, now: Mapping[str, Settings]) -> Expected:
        """A done run: it may be looked at, not contradicted."""
        told = {gate: status for gate, status, _ in self.decisions()}
        contradicts = any(told[gate] != status for gate, status in request.gates.items())
        if request.on_changed != "keep":
            contradicts |= any(
                stage not in self.complete or now[stage].differs_from(self.complete[stage][0])
                for stage in now
            )
        if contradicts or request.rerun or request.on_changed == "rerun":
            return Expected(REFUSED)
        completed = (name for name in STAGES if name in self.complete)
        return self._closed(Ran([(name, "skipped", self.complete[name][1]) for name in completed]))

    def _go_on(
        self, request: Request, now: dict[str, Settings], acts: Mapping[str, Act]
    ) -> Expected:
        again = _with_all_after(request.rerun)
        changed = [
            stage
            for stage, (before, _) in self.complete.items()
            if stage not in again
            and (now[stage].differs_from(before) or not self.are_good(before.artifacts))
        ]
        if changed and request.on_changed == "refuse":
            return Expected(REFUSED)
        if request.on_changed == "rerun":
            again = _with_all_after((*request.rerun, *changed))
        complete = {name: one for name, one in self.complete.items() if name not in again}
        now |= {stage: before for stage, (before, _) in complete.items()}
        values = (
            pair for stage in now if stage not in complete for pair in now[stage].env.values()
        )
        if any(known < self.losses for _, known in values):
            return Expected(REFUSED)
        self.gates |= request.gates
        self.kept, self.complete, self.running = now, complete, None
        return self._walk(acts)

    def _walk(self, acts: Mapping[str, Act]) -> Expected:
        do_pass, gates_first = all(one[2] for one in self.decisions()), self.do_gates_guard_stages
        ran = Ran()
        if gates_first and not do_pass:
            return ran.expected("blocked", is_judged=True)
        for stage in STAGES:
            if stage in self.complete:
                ran.executions.append((stage, "skipped", self.complete[stage][1]))
            elif stage in self.kept:
                self.attempts[stage] += 1
                status, outcome = self._attempt(stage, acts[stage], ran.notes)
                if status == "killed":
                    self.running = stage
                    return Expected(KILLED, notes=tuple(ran.notes))
                ran.executions.append((stage, status, self.attempts[stage]))
                if outcome is not None:
                    return ran.expected(outcome, is_judged=gates_first)
                self.complete[stage] = self.kept[stage], self.attempts[stage]
        return self._closed(ran) if do_pass else ran.expected("blocked", is_judged=True)

    def _attempt(self, stage: str, act: Act, notes: list[str]) -> tuple[str, str | None]:
        """The status of an attempt, and how the run ends with it; None where it goes on."""
        settings = self.kept[stage]
        if settings.program == "./gone":
            return "spawn_failed", "failed"
        if settings.tag is None:
            act = Act.IDLE  # a shell without arguments has nothing to do
        else:
            line = note(self.run_id, stage, self.attempts[stage], settings)
            (self.hung if act == Act.HANGS else notes).append(line)
        if act == Act.WAITS:
            return "killed", None
        written = written_by(stage, act)
        self.files |= written
        if act in ENDS:
            return ENDS[act]
        is_fresh = all(name in written for name in settings.artifacts)
        if is_fresh and self.are_good(settings.artifacts):
            return "success", None
        return "artifact_missing", "failed"

    def _closed(self, ran: Ran) -> Expected:
        """All stages are complete: done, if their artifacts are all there still."""
        is_ready = all(self.are_good(before.artifacts) for before, _ in self.complete.values())
        if not is_ready:
            ran.executions.append(("closure", "artifact_missing", 0))
        self.is_done |= is_ready
        expected = ran.expected("done" if is_ready else "failed", is_judged=True)
        return replace(expected, outcome="done" if self.is_done else "failed", is_ready=is_ready)


def _with_all_after(stages: Iterable[str]) -> tuple[str, ...]:
    first = min((STAGES.index(stage) for stage in stages), default=len(STAGES))
    return STAGES[first:]


def note(run_id: str, stage: str, attempt: int, settings: Settings) -> str:
    """What a stage writes down when it is started."""
    values = (settings.env.get(key, ("", 0))[0] for key in ("MARK", "HINT"))
    return "|".join((run_id, stage, str(attempt), settings.tag or "", *values, settings.cwd))


def written_by(stage: str, act: Act) -> dict[str, str | None]:
    """What an act makes of the artifacts; those that it does not touch are not there."""
    own, others = ARTIFACTS[stage], (ARTIFACTS[name] for name in STAGES if name != stage)
    if act == Act.BROKEN:
        return {name: "broken" if name.endswith(".json") else "good" for name in own}
    good: dict[str, str | None] = dict.fromkeys(own, "good")
    if act == Act.SPOILS:
        return good | {name: None for names in others for name in names}
    return good if act in {Act.GOOD, Act.FAILS} else {}


# -- the real thing -------------------------------------------------------------------------

CONTENTS: Final = {"good": "{}", "broken": "[1,]"}
FATES: Final = {Act.FAILS: "exit 7", Act.DIES: "kill -SEGV $$", Act.HANGS: "exec sleep 60"}


class Place:
    """A directory with an output directory in it, and all that stages need and leave."""

    def __init__(self) -> None:
        self.base = Path(tempfile.mkdtemp(prefix="model-")) / "base"
        self.output = self.base / "out"
        self.ran = self.base / "ran"
        (self.base / "there").mkdir(parents=True)
        (self.base / "sh").symlink_to("/bin/sh")
        self.ran.touch()
        self._holds: list[int] = []
        self.left: list[psutil.Process] = []
        """What killed orchestrators left, and may not be gone yet."""
        self._patch = pytest.MonkeyPatch()
        self._patch.setenv("XDG_STATE_HOME", str(self.base / "state"))

    def close(self) -> None:
        """Nothing is left of it; whatever was killed is gone."""
        try:
            self.wait_until_gone()
        finally:
            for hold in self._holds:
                os.close(hold)
            self._patch.undo()
            shutil.rmtree(self.base.parent)

    def tell(self, acts: Mapping[str, Act]) -> None:
        """Tell the stages what to do when they are started."""
        for stage, act in acts.items():
            lines = [
                f"rm -f '{name}'" if content is None else f"echo '{CONTENTS[content]}' > '{name}'"
                for name, content in written_by(stage, act).items()
            ]
            last = f"exec cat '{self.base / 'hold'}'" if act == Act.WAITS else FATES.get(act, "")
            text = "\n".join((f"cd '{self.base}'", *lines, last))
            (self.base / f"{stage}.act").write_text(text + "\n")

    def notes(self) -> list[str]:
        """What the stages wrote down, a line for each start."""
        return self.ran.read_text().splitlines()

    def arguments(self, stage: str, tag: str) -> tuple[str, ...]:
        """The arguments that a tag stands for."""
        line = f"$ORCHESTRATOR_RUN_ID|{stage}|$ORCHESTRATOR_ATTEMPT|$1|$MARK|$HINT|${{PWD##*/}}"
        return ("-c", f"echo \"{line}\" >> '{self.ran}'; . '{self.base}/{stage}.act'", "sh", tag)

    def config(self, request: Request, run_id: str) -> RunConfig:
        """A request as a Python program makes it."""
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
        """A request as an operator types it."""
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
        """Run the command; its exit code. If it is to be killed, then while a stage waits."""
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
        """Wait for the end of all that came of killed orchestrators: they end it by themselves."""
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
        self._holds.append(writer)  # the stage reads, until it is ended
        self.left += psutil.Process(process.pid).children(recursive=True)
        process.kill()

    def _directory(self, name: str) -> str:
        return "." if name == "base" else name


def _writer_of(fifo: Path) -> int | None:
    """The writing end of a FIFO; None while nobody reads."""
    try:
        return os.open(fifo, os.O_WRONLY | os.O_NONBLOCK | os.O_CLOEXEC)
    except OSError as error:
        if error.errno != errno.ENXIO:
            raise
        return None


def is_gone(process: psutil.Process) -> bool:
    """Whether a process has ended, reaped or not."""
    try:
        return not process.is_running() or process.status() == psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return True


# -- checkpoints that somebody edited --------------------------------------------------------


def _claim_done(document: Document) -> None:
    document["current_state"] = "failed" if document["current_state"] == "done" else "done"


def _lose_completion(document: Document) -> None:
    done = document["completions"]
    document["completions"] = done[1:] if done else [{"stage": "manager"}]


def _forge_completion(document: Document) -> None:
    """Call a stage complete that is not: one that failed, or one of the other's number."""
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


# -- any sequence of all that ----------------------------------------------------------------


def mostly(*usual: Value, rarely: st.SearchStrategy[Value]) -> st.SearchStrategy[Value]:
    """One of the usual values, or once in a while another."""
    choices = [st.just(value) for value in usual]
    return st.sampled_from([*choices, *choices, rarely]).flatmap(lambda chosen: chosen)


SOME_GATES = st.fixed_dictionaries(
    {}, optional={gate: st.sampled_from(values) for gate, values in GATES.items()}
)
NO_GATES: Final[Mapping[str, str]] = {}
GATES_AT_FIRST = mostly(PASSING, PASSING, PASSING, NO_GATES, rarely=SOME_GATES)
GATES_AGAIN = mostly(PASSING, NO_GATES, rarely=SOME_GATES)
KILLS: Final = (Act.WAITS,) if sys.platform == "linux" else ()
"""Elsewhere nobody ends what a killed orchestrator leaves, before the next resume does."""
FAILING: Final = (Act.FAILS, Act.HANGS, Act.DIES, Act.IDLE, Act.BROKEN, *KILLS)
VALUES = {
    "MARK": st.sampled_from(["mark-4711", "mark-4712"]),
    "HINT": st.sampled_from(["hint-0815", "hint-0816"]),
}


@dataclass(frozen=True)
class Play:
    """How the stages act if they are started, and how the command is."""

    manager: Act = Act.GOOD
    executor: Act = Act.GOOD
    by_command: bool = False
    """Whether the command is typed although nobody will kill it."""
    is_awaited: bool = True
    """Whether nothing more is done until all that a kill left has ended."""

    def acts(self) -> Mapping[str, Act]:
        """What each stage does."""
        return {"manager": self.manager, "executor": self.executor}


def plays(*executor: Act) -> st.SearchStrategy[Play]:
    """Ways to act, in which the executor does one of some things."""
    return st.builds(
        Play,
        manager=st.sampled_from([*([Act.GOOD] * 14), Act.SPOILS, *FAILING]),
        executor=st.sampled_from([*executor, *FAILING]),
        by_command=st.sampled_from([*([False] * 24), True]),
        is_awaited=st.booleans(),
    )


PLAYS_AT_FIRST = plays(*([Act.GOOD] * 3), *([Act.SPOILS] * 4), Act.FAILS, *KILLS)
"""Most runs are to be resumed: with one stage complete, or with all and no way to close."""
PLAYS = plays(*([Act.GOOD] * 7), *([Act.SPOILS] * 2))


def some_of(stage: str) -> st.SearchStrategy[tuple[str, ...]]:
    """Some of the artifacts of a stage."""
    return st.lists(st.sampled_from(ARTIFACTS[stage]), unique=True).map(tuple)


def declared(stage: str) -> st.SearchStrategy[Given]:
    """A stage as it is first declared: mostly with all that it may have."""
    usual = Given("/bin/sh", "a", {"MARK": "mark-4711", "HINT": "hint-0815"}, ARTIFACTS[stage])
    unusual = st.builds(
        Given,
        program=st.sampled_from([*(["/bin/sh"] * 4), "./sh", "./gone"]),
        tag=st.sampled_from([*(["a"] * 4), "b", None]),
        env=st.none() | st.fixed_dictionaries({}, optional=VALUES),
        artifacts=some_of(stage),
        cwd=st.sampled_from([None, None, "there"]),
    )
    return mostly(usual, usual, Given("/bin/sh", "a"), rarely=unusual)


def changed(stage: str) -> st.SearchStrategy[Given]:
    """What a resume may give for a stage: one thing, or several."""
    program = st.sampled_from(["/bin/sh", "/bin/sh", "./sh", "./gone"])
    tag = st.sampled_from(["a", "b"])
    env = st.fixed_dictionaries({}, optional=VALUES)
    cwd = st.sampled_from(["base", "there"])
    return st.one_of(
        st.builds(Given, tag=tag),
        st.builds(Given, env=env),
        st.builds(Given, artifacts=some_of(stage)),
        st.builds(Given, cwd=cwd),
        st.builds(Given, program=program, tag=tag),
        st.builds(
            Given,
            program=st.none() | program,
            tag=st.none() | tag,
            env=st.none() | env,
            artifacts=st.none() | some_of(stage),
            cwd=st.none() | cwd,
        ),
    )


ANEW = st.builds(
    Request,
    is_resume=st.just(False),
    lifecycle=st.sampled_from([None, None, "closure_gated"]),
    gates=GATES_AT_FIRST,
    stages=st.fixed_dictionaries(
        {"manager": declared("manager")}, optional={"executor": declared("executor")}
    )
    | st.fixed_dictionaries({stage: declared(stage) for stage in STAGES}),
    on_changed=st.sampled_from([*(["refuse"] * 19), "keep"]),
    rerun=st.sampled_from([*([()] * 19), ("manager",)]),
)
AGAIN = st.builds(
    Request,
    is_resume=st.just(True),
    lifecycle=st.none(),
    gates=GATES_AGAIN,
    stages=st.fixed_dictionaries({}, optional={stage: changed(stage) for stage in STAGES}),
    on_changed=st.sampled_from(["refuse", "keep", "rerun"]),
    rerun=st.sampled_from([(), (), (), ("manager",), ("executor",), ("reviewer",)]),
)
CHANGES = st.fixed_dictionaries({stage: changed(stage) for stage in STAGES})
ALONE: Final = Request(is_resume=True)


class Machine(RuleBasedStateMachine):
    """One output directory, and whatever may be done in it and to it."""

    def __init__(self) -> None:
        super().__init__()
        self.place = Place()
        self.model = Model()
        self.told: list[dict[str, Any] | None] = []
        """The last report of each invocation of the run; None of one that was killed."""
        self.noted: list[str] = []
        self.archived: dict[str, bytes] = {}
        self.events: list[bytes] = []

    def teardown(self) -> None:
        """All files are valid whole, those in the archive too; nothing stays."""
        try:
            if SOAK:
                assert_output_valid(self.place.output)
        finally:
            self.place.close()

    # What is done

    @initialize(request=ANEW, play=PLAYS_AT_FIRST)
    def begin(self, request: Request, play: Play) -> None:
        """There is a run."""
        self.invoke(replace(request, on_changed="refuse", rerun=()), play)

    @rule(request=ANEW, play=PLAYS_AT_FIRST)
    def run_anew(self, request: Request, play: Play) -> None:
        """Start another run; the one that was there is archived."""
        self.invoke(request, play)

    @rule(gates=GATES_AGAIN, play=PLAYS)
    def resume(self, gates: Mapping[str, str], play: Play) -> None:
        """Resume and change no stage."""
        self.invoke(replace(ALONE, gates=gates), play)

    @rule(request=AGAIN, play=PLAYS)
    def resume_otherwise(self, request: Request, play: Play) -> None:
        """Resume with other settings, or ask for stages to be run again."""
        self.invoke(request, play)

    @precondition(lambda self: self.model.complete and not self.model.is_done)
    @rule(
        changes=CHANGES,
        on_changed=st.sampled_from(["keep", "rerun", "refuse"]),
        rerun=st.sampled_from([(), ("manager",)]),
        play=PLAYS,
    )
    def change_what_is_complete(
        self, changes: Mapping[str, Given], on_changed: str, rerun: tuple[str, ...], play: Play
    ) -> None:
        """Resume with other settings for the stages that are complete, or run them again."""
        complete = () if rerun else tuple(self.model.complete)
        stages = {stage: changes[stage] for stage in complete}
        self.invoke(replace(ALONE, stages=stages, on_changed=on_changed, rerun=rerun), play)

    @precondition(lambda self: not self.model.is_done)
    @rule(changes=CHANGES, play=PLAYS)
    def change_what_is_to_run(self, changes: Mapping[str, Given], play: Play) -> None:
        """Resume with other settings for the stages that are not complete."""
        to_run = self.model.kept.keys() - self.model.complete.keys()
        stages = {stage: changes[stage] for stage in sorted(to_run)}
        self.invoke(replace(ALONE, gates=PASSING, stages=stages), play)

    @rule(on_changed=st.sampled_from(["refuse", "rerun"]), play=PLAYS)
    def resume_with_the_same_words(self, on_changed: str, play: Play) -> None:
        """Type again all that the run has."""
        stages = {
            stage: Given(
                program=now.program,
                tag=now.tag,
                env={key: value for key, (value, _) in now.env.items()},
                artifacts=now.artifacts,
                cwd=now.cwd,
            )
            for stage, now in self.model.kept.items()
        }
        self.invoke(replace(ALONE, stages=stages, on_changed=on_changed), play)

    # What is done to it

    @rule(
        name=st.sampled_from(NAMES),
        content=st.sampled_from(["good", "broken", None]),
    )
    def touch_artifact(self, name: str, content: str | None) -> None:
        """Somebody writes, breaks or removes an artifact."""
        if content == "broken" and not name.endswith(".json"):
            content = None
        path = self.place.base / name
        path.unlink(missing_ok=True)
        if content is not None:
            path.write_text(CONTENTS[content])
        self.model.files[name] = content

    @rule(is_report=st.booleans())
    def lose_what_nothing_depends_on(self, is_report: bool) -> None:
        """The report gets lost, or the private files do."""
        if is_report:
            (self.place.output / REPORT).unlink(missing_ok=True)
        else:
            shutil.rmtree(self.place.base / "state", ignore_errors=True)
            self.model.losses += 1

    @rule(
        edits=st.lists(st.sampled_from(sorted(EDITS)), min_size=1, max_size=4, unique=True),
        request=AGAIN,
    )
    def edit_checkpoint(self, edits: list[str], request: Request) -> None:
        """A checkpoint that somebody edited is refused, and left; then it is put back."""
        path = self.place.output / CHECKPOINT
        good = path.read_bytes()
        for edit in edits:
            document = json.loads(good)
            EDITS[edit](document)
            edited = json.dumps(document).encode()
            path.write_bytes(edited)
            with self._without_checkpoint():
                self.invoke(request, Play())
            assert path.read_bytes() == edited
        path.write_bytes(good)

    @rule(is_found=st.booleans(), request=AGAIN, anew=ANEW)
    def lose_checkpoint(self, is_found: bool, request: Request, anew: Request) -> None:
        """Without a checkpoint nothing is resumed; it is found again, or a new run begins."""
        path = self.place.output / CHECKPOINT
        good = path.read_bytes()
        path.unlink()
        with self._without_checkpoint():
            self.invoke(request, Play())
            assert not path.exists()
            if not is_found:
                self.invoke(anew, Play())
        if not path.exists():
            path.write_bytes(good)

    @contextlib.contextmanager
    def _without_checkpoint(self) -> Iterator[None]:
        self.model.has_checkpoint = False
        yield
        self.model.has_checkpoint = True

    # Doing it, and looking at what came of it

    def invoke(self, request: Request, play: Play) -> None:
        """Do what is requested, and compare."""
        acts = play.acts()
        request = self._timed(request, acts)
        self.place.tell(acts)
        before, run_files = tree_of(self.place.base), self._run_files()
        was_running = self.model.running if request.is_resume else None
        left = list(self.place.left)
        run_id = f"run-{self.model.runs + (not request.is_resume)}"
        expected = self.model.expect(request, acts)
        if expected.code == KILLED or play.by_command:
            options = self.place.options(request, run_id)
            code = self.place.run_command(options, is_killed=expected.code == KILLED)
        else:
            code = self._run_here(self.place.config(request, run_id))
        if expected.outcome is not None or expected.code == KILLED:
            assert all(map(is_gone, left)), "what was left is ended before anything else"
        if play.is_awaited:
            self.place.wait_until_gone()
        self.noted += expected.notes
        event(f"exit {code}")
        assert code == expected.code, (request, expected)
        if code == REFUSED:
            assert tree_of(self.place.base) == before
            return
        self._assert_valid()
        if not request.is_resume:
            self.told.clear()
        self._assert_archived(before_run=None if request.is_resume else run_files)
        self._assert_told(expected, was_running)

    def _assert_valid(self) -> None:
        """Report, checkpoint and events are as published; what was looked at before is left out."""
        report = report_of(self.place.output)
        report["earlier_invocations"] = report["earlier_invocations"][-1:]
        assert_valid(SchemaName.REPORT, report, REPORT)
        if self.model.has_checkpoint:
            checkpoint = checkpoint_of(self.place.output)
            checkpoint["invocations"] = checkpoint["invocations"][-2:]
            assert_valid(SchemaName.CHECKPOINT, checkpoint, CHECKPOINT)
        events = (self.place.output / EVENTS).read_bytes().split(b"\n")[:-1]  # one may be torn
        if self.events != events[: len(self.events)]:
            self.events = []
        for line in events[len(self.events) :]:
            assert_valid(SchemaName.EVENT, json.loads(line), EVENTS)
        self.events = events

    def _timed(self, request: Request, acts: Mapping[str, Act]) -> Request:
        """The request with a time-out for each stage that has a program: short if it will hang."""
        stages = dict(request.stages)
        for stage in STAGES:
            given = stages.get(stage, Given())
            kept = self.model.kept.get(stage) if request.is_resume else None
            merged = self.model.merged_with(given, kept)
            if merged is None:
                continue
            does_hang = acts[stage] == Act.HANGS and merged.tag is not None
            timeout_ms = SHORT_MS if does_hang else AMPLE_MS
            if merged.timeout_ms != timeout_ms:
                stages[stage] = replace(given, timeout_ms=timeout_ms)
        return replace(request, stages=stages)

    def _run_here(self, config: RunConfig) -> int:
        try:
            report = run(config)
        except OrchestratorError as error:
            return int(error.exit_code)
        assert report.model_dump(mode="json") == report_of(self.place.output)
        assert report.exit_code is not None
        return report.exit_code

    def _assert_told(self, expected: Expected, was_running: str | None) -> None:
        """The report says what happened, now and before."""
        report = report_of(self.place.output)
        if expected.code == KILLED:
            assert (report["terminal_state"], report["closure_ready"]) == (None, False)
            self.told.append(None)
            return
        executions = [
            (one["stage"], one["status"], one["attempt"]) for one in report["stage_executions"]
        ]
        assert report["exit_code"] == expected.code
        if expected.outcome is None:
            assert executions == [("checkpoint", "failed", 0)]
            assert (report["terminal_state"], report["closure_ready"]) == ("failed", False)
            return
        assert tuple(executions) == expected.executions
        assert (report["terminal_state"], report["current_state"]) == (expected.outcome,) * 2
        assert report["closure_ready"] is expected.is_ready
        decisions = self.model.decisions() if expected.is_judged else []
        assert [
            (one["gate"], one["status"], one["passed"]) for one in report["gate_decisions"]
        ] == decisions
        refusals = [CODES[gate] for gate, _, passed in decisions if not passed]
        assert report["blocked_reason_codes"] == refusals
        assert bool(refusals) is (expected.outcome == "blocked")
        self._assert_nothing_lost(report["earlier_invocations"], was_running)
        if not report["transitions"]:
            report["gate_decisions"] = []  # it told those that had closed the run
        self.told.append(report)

    def _assert_nothing_lost(self, earlier: list[dict[str, Any]], was_running: str | None) -> None:
        """What earlier invocations told is all there still."""
        assert [one["number"] for one in earlier] == list(range(1, len(self.told) + 1))
        for found, told in zip(earlier, self.told, strict=True):
            if told is None:
                assert (found["exit_code"], found["finished_at"]) == (None, None)
                assert found["stage_executions"][-1]["status"] == "interrupted"
            else:
                shared = told.keys() & found.keys()
                assert {key: told[key] for key in shared} == {key: found[key] for key in shared}
        if was_running is not None:
            assert earlier[-1]["stage_executions"][-1]["stage"] == was_running

    def _run_files(self) -> dict[str, bytes]:
        found = tree_of(self.place.output)
        return {
            name: content
            for name, content in found.items()
            if not name.startswith(("archive/", ".")) and name != "orchestrator.lock"
        }

    def _assert_archived(self, before_run: dict[str, bytes] | None) -> None:
        """The archive loses nothing, and a new run's predecessor is in it whole."""
        now = tree_of(self.place.output / "archive")
        assert now.items() >= self.archived.items()
        if before_run is not None:
            new = {name: now[name] for name in now.keys() - self.archived.keys()}
            assert {name.partition("/")[2]: content for name, content in new.items()} == before_run
        self.archived = now

    # What holds always

    @invariant()
    def every_start_of_a_stage_was_meant(self) -> None:
        """The stages that really ran are those that the model says, with its settings."""
        notes = self.place.notes()
        assert [line for line in notes if line not in self.model.hung] == self.noted
        assert all(notes.count(line) <= 1 for line in self.model.hung)

    @invariant()
    def checkpoint_says_what_is_complete(self) -> None:
        """What a resume will find is what the model knows."""
        if not self.model.has_checkpoint:
            return
        document = checkpoint_of(self.place.output)
        assert {one["stage"]: one["attempt"] for one in document["completions"]} == {
            stage: number for stage, (_, number) in self.model.complete.items()
        }
        open_attempt = document["open_attempt"]
        assert (open_attempt and open_attempt["stage"]) == self.model.running
        assert (document["current_state"] == "done") is self.model.is_done
        if self.model.is_done:
            assert all(passed for _, _, passed in self.model.decisions())

    @invariant()
    def nothing_temporary_is_left(self) -> None:
        """No temporary file stays, unless its writer was just killed."""
        assert self.model.running or not list(self.place.output.glob(".*.tmp"))


Machine.TestCase.settings = settings(
    max_examples=300 if SOAK else 20,
    stateful_step_count=60 if SOAK else 30,
    deadline=None,
    print_blob=True,
    suppress_health_check=[HealthCheck.too_slow],
)
TestMachine = pytest.mark.timeout(14_400 if SOAK else 900)(Machine.TestCase)
"""The time is for shrinking what was found: real processes are slow to run again and again."""
