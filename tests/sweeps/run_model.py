"""The promises about runs and resumes, as a small model.

It predicts for each command the exit code, which stages really start and with which settings, and
what is complete afterwards. It is written from the promises and shares no code with the package.
"""

from __future__ import annotations

import signal
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from enum import StrEnum
from typing import Any, Final, TypeAlias, TypeVar

STAGES: Final = ("manager", "executor")
ARTIFACTS: Final = {"manager": ("plan.json", "notes.txt"), "executor": ("result.json",)}
NAMES: Final = tuple(name for names in ARTIFACTS.values() for name in names)
GATES: Final[Mapping[str, tuple[str, ...]]] = {
    "policy": ("allow", "deny", "unknown"),
    "ci": ("success", "pending", "failure", "missing"),
    "review": ("approved", "changes_requested", "missing"),
}
"""The values that each gate accepts: first the passing one, last the one that counts by default."""
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
"""The value of each variable, and how many private files were lost before it was given."""


# -- the operator's actions ---------------------------------------------------------------------


@dataclass(frozen=True)
class Given:
    """The values given for a stage; None if not given. A tag stands for a list of arguments."""

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
    """The action of a stage when it runs, given to it by a file."""

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
"""The status and the outcome of an attempt that does not exit with 0."""


# -- the model ------------------------------------------------------------------------------


@dataclass(frozen=True)
class Settings:
    """The settings that a stage runs with."""

    program: str
    tag: str | None = None
    env: Env = field(default_factory=dict)
    artifacts: tuple[str, ...] = ()
    cwd: str = "base"
    timeout_ms: int | None = None

    def differs_from(self, other: Settings) -> bool:
        """Return whether a stage completed with one differs with the other; not in timeouts."""
        return replace(self, timeout_ms=None) != replace(other, timeout_ms=None)


@dataclass(frozen=True)
class Expected:
    """The required effects of one start of the command."""

    code: int
    outcome: str | None = None
    is_ready: bool = False
    is_judged: bool = False
    """True if the gates were asked."""
    executions: tuple[tuple[str, str, int], ...] = ()
    """Stage, status and attempt number of each."""
    notes: tuple[str, ...] = ()
    """The line that each really started stage leaves."""


@dataclass
class Ran:
    """The effects of an invocation on stages so far."""

    executions: list[tuple[str, str, int]] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)

    def expected(self, outcome: str, *, is_judged: bool) -> Expected:
        """Return the required result if the run ends now."""
        return Expected(
            code=EXIT_CODES[outcome],
            outcome=outcome,
            is_judged=is_judged,
            executions=tuple(self.executions),
            notes=tuple(self.notes),
        )


VALID: Final = ("good", "other")


@dataclass
class Model:
    """A run as far as its operator can know it, and the files that its stages leave."""

    files: dict[str, str | None] = field(default_factory=lambda: dict.fromkeys(NAMES))
    """By artifact: `good`, `other` (valid, and not what the stage left), `broken`, or None."""
    losses: int = 0
    """The number of times that the private files were lost."""
    gates: dict[str, str] = field(default_factory=dict)
    kept: dict[str, Settings] = field(default_factory=dict)
    complete: dict[str, tuple[Settings, int]] = field(default_factory=dict)
    attempts: Counter[str] = field(default_factory=Counter)
    running: str | None = None
    """The stage whose attempt has no observed end."""
    do_gates_guard_stages: bool = True
    """True if nothing starts before the gates have passed; otherwise they are asked at the end."""
    runs: int = 0
    hung: list[str] = field(default_factory=list)
    """The lines of stages that may have been ended before they wrote them."""
    is_done: bool = False
    has_checkpoint: bool = False

    def expect(self, request: Request, acts: Mapping[str, Act]) -> Expected:
        """Return the required result of a request; the model is afterwards what the run must be."""
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
        """Return settings with the given ones laid over the kept; None without a program."""
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
        """Return each gate, its value, and whether it passes, in judging order."""
        told = {gate: self.gates.get(gate, values[-1]) for gate, values in GATES.items()}
        return [(gate, told[gate], told[gate] == PASSING[gate]) for gate in GATES]

    def are_good(self, artifacts: Iterable[str]) -> bool:
        """Return whether all of the artifacts exist, as their stages left them."""
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
        """Handle a request for a done run: it may be looked at, not contradicted."""
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
        told = {**self.gates, **request.gates}
        do_pass = all(told.get(gate) == PASSING[gate] for gate in GATES)
        are_reached = do_pass or not self.do_gates_guard_stages  # otherwise no value is needed
        if are_reached and any(known < self.losses for _, known in values):
            return Expected(REFUSED)
        self.gates = told
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
        """Return the status of an attempt, and the run's end with it, or None if it continues."""
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
        """Close a run with all stages complete: done with intact or kept artifacts."""
        names = [name for before, _ in self.complete.values() for name in before.artifacts]
        is_ready, are_valid = self.are_good(names), all(self.files[one] in VALID for one in names)
        if not is_ready:
            ran.executions.append(("closure", "artifact_missing", 0))
        self.is_done |= are_valid
        expected = ran.expected("done" if is_ready else "failed", is_judged=True)
        can_close = is_ready and set(self.complete) == set(STAGES)  # no stage was passed over
        return replace(expected, outcome="done" if self.is_done else "failed", is_ready=can_close)


def _with_all_after(stages: Iterable[str]) -> tuple[str, ...]:
    first = min((STAGES.index(stage) for stage in stages), default=len(STAGES))
    return STAGES[first:]


def note(run_id: str, stage: str, attempt: int, settings: Settings) -> str:
    """Return the note of a stage when it is started."""
    values = (settings.env.get(key, ("", 0))[0] for key in ("MARK", "HINT"))
    return "|".join((run_id, stage, str(attempt), settings.tag or "", *values, settings.cwd))


def written_by(stage: str, act: Act) -> dict[str, str | None]:
    """Return an act's effect on the artifacts; those that it does not touch are left out."""
    own, others = ARTIFACTS[stage], (ARTIFACTS[name] for name in STAGES if name != stage)
    if act == Act.BROKEN:
        return {name: "broken" if name.endswith(".json") else "good" for name in own}
    good: dict[str, str | None] = dict.fromkeys(own, "good")
    if act == Act.SPOILS:
        return good | {name: None for names in others for name in names}
    return good if act in {Act.GOOD, Act.FAILS} else {}
