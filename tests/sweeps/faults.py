"""What the sweeps share: runs to be disturbed, and what must be true of their files afterwards.

A sweep disturbs a run at one point after the other. Whatever the point, what lies on disk must be
true (`assert_truth`), and what an operator does next must end as the undisturbed run did (`mend`).
How it is disturbed is the sweeps' own.
"""

from __future__ import annotations

import contextlib
import json
import os
import shutil
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from types import MappingProxyType
from typing import Any, Final

from fsm_orchestrator import RunConfig, StageGiven, load_report
from fsm_orchestrator.disk.files import TEMPORARY_SUFFIX
from fsm_orchestrator.errors import OrchestratorError, UsageError
from fsm_orchestrator.model.execution import StageExecution
from fsm_orchestrator.model.invocation import InvocationRecord, TransitionRecord
from fsm_orchestrator.record.checkpoint import Checkpoint
from fsm_orchestrator.record.report import Report
from fsm_orchestrator.vocabulary import Gate, GatesGuard, GateSource, Outcome, StageStatus
from tests.support.command import CHECKPOINT, EVENTS, REPORT, events_of
from tests.sweeps.histories import checkpoint_in, history_of

SOAK: Final = bool(os.environ.get("SOAK"))
"""Whether every point is taken, however long it takes."""
SECRET: Final = "a-value-that-no-file-may-show"  # noqa: S105 - it opens nothing
EARLIER: Final = "earlier"
STAGES: Final = ("manager", "executor")

OUT: Final = "work/out"
"""The output directory on the disk; nothing else is made in the directory above it."""

Tree = tuple[tuple[str, bytes | None], ...]
"""Everything below a directory: path and content, which is None for a directory, sorted."""


@dataclass(frozen=True, slots=True)
class Desk:
    """Where runs of a sweep work: `disk` holds what is theirs, beside it lies what stages did."""

    root: Path

    @property
    def disk(self) -> Path:
        """Output directory and private state, nothing else."""
        return self.root / "disk"

    @property
    def out(self) -> Path:
        """The output directory."""
        return self.disk / OUT

    @property
    def state(self) -> Path:
        """The user's state directory, for XDG_STATE_HOME."""
        return self.disk / "state"

    @property
    def notes(self) -> Path:
        """Where each stage notes that it was started."""
        return self.root / "notes"

    @property
    def artifact(self) -> Path:
        """What the executor is expected to write; to make it durable would be its own duty."""
        return self.root / "artifact.json"

    def starts(self) -> Counter[str]:
        """Count how often each stage was started."""
        return Counter(self.notes.read_text().split() if self.notes.exists() else ())

    def clear(self) -> None:
        """Leave the desk as if nothing had ever run here."""
        self.put(Scene(((str(Path(OUT).parent), None),), b"", b""))

    def scene(self, tree: Tree | None = None) -> Scene:
        """Return all that is here now, or with `tree` in place of what is on the disk."""
        notes, artifact = (
            path.read_bytes() if path.exists() else b"" for path in (self.notes, self.artifact)
        )
        home = self.out.stat().st_ino if self.out.exists() else 0
        return Scene(read_tree(self.disk) if tree is None else tree, notes, artifact, home)

    def put(self, scene: Scene) -> None:
        """Make everything as it was; the output directory is the same one, and not a copy of it."""
        homes = self.root / "homes"
        homes.mkdir(exist_ok=True)
        if self.out.exists():
            write_tree(self.out, ())
            self.out.rename(homes / str(self.out.stat().st_ino))
        write_tree(self.disk, scene.tree, {OUT: homes / str(scene.home)})
        for path, content in ((self.notes, scene.notes), (self.artifact, scene.artifact)):
            path.unlink(missing_ok=True)
            if content:
                path.write_bytes(content)


@dataclass(frozen=True, slots=True)
class Scene:
    """The content of a desk."""

    tree: Tree
    notes: bytes
    artifact: bytes
    home: int = field(default=0, compare=False)
    """Inode of the output directory: a run in another one takes it for a copy."""


def read_tree(root: Path) -> Tree:
    """Return everything below a directory."""
    return tuple(
        (str(path.relative_to(root)), None if path.is_dir() else path.read_bytes())
        for path in sorted(root.rglob("*"))
    )


def write_tree(root: Path, tree: Tree, kept: Mapping[str, Path] = MappingProxyType({})) -> None:
    """Make a directory hold what `tree` says, and nothing else.

    `kept`: empty directories that are moved to their place, if they are there.
    """
    root.mkdir(exist_ok=True)
    for one in root.iterdir():
        if one.is_dir():
            shutil.rmtree(one)
        else:
            one.unlink()
    for name, content in tree:
        path = root / name
        if name in kept and kept[name].exists():
            kept[name].rename(path)
        elif content is None:
            path.mkdir()
        else:
            path.write_bytes(content)


# The runs


def whole(desk: Desk, *, executor: str = "true", manager: str = "true", **given: Any) -> RunConfig:
    """Return a run with all that has to be kept: two stages, a setting of each, an artifact."""
    scripts = {"manager": manager, "executor": f"{executor}; echo '[1]' >{desk.artifact}"}
    stages = {
        stage: StageGiven(
            bin="/bin/sh",
            args=("-c", f"echo {stage} >>{desk.notes}; {script}"),
            env={"MODE": f"{SECRET}-{stage}"},
            expected_artifacts=(str(desk.artifact),) if stage == "executor" else None,
        )
        for stage, script in scripts.items()
    }
    gates = {Gate.POLICY: "allow", Gate.CI: given.pop("ci", "success"), Gate.REVIEW: "approved"}
    return RunConfig(output_directory=desk.out, gates=gates, stages=stages, **given)


def going_on(desk: Desk) -> RunConfig:
    """`OUT --resume` alone."""
    return RunConfig(output_directory=desk.out, resume=True)


@dataclass(frozen=True, slots=True)
class Scenario:
    """An invocation to be disturbed, and what was run in the same directory before it.

    `resumes` is how often what was run before is resumed.
    """

    command: Callable[[Desk], RunConfig]
    before: Callable[[Desk], RunConfig] | None = None
    is_resume: bool = False
    resumes: int = 0

    def run_before(self, desk: Desk, act: Callable[[RunConfig], object]) -> None:
        """Do what comes before the invocation to be disturbed."""
        if self.before is not None:
            act(self.before(desk))
        for _ in range(self.resumes):
            act(going_on(desk))

    def step(self, desk: Desk) -> RunConfig:
        """Return the invocation to be disturbed."""
        return going_on(desk) if self.is_resume else self.command(desk)

    def next_step(self, desk: Desk) -> RunConfig:
        """Return what an operator does then: resume a run that was begun, else try again."""
        return self.step(desk) if begun_checkpoint(desk) is None else going_on(desk)

    def with_values(self, desk: Desk) -> RunConfig:
        """Return the resume with all that is still to run typed again, values included."""
        config, kept = self.command(desk), begun_checkpoint(desk)
        complete = set() if kept is None else {one.stage for one in kept.completions}
        stages = {name: one for name, one in config.stages.items() if name not in complete}
        return config.model_copy(update={"resume": True, "stages": stages})


def failing_once(desk: Desk) -> RunConfig:
    """Return a run whose executor fails at its first attempt."""
    return whole(desk, executor=failing(1))


def failing(times: int) -> str:
    """Return a script that fails at its first attempts."""
    return f'[ "$ORCHESTRATOR_ATTEMPT" -gt {times} ] || exit 3'


KEPT_MAX, KEPT_MIN = 3, 2
"""How many invocations a record keeps in these sweeps, and when the others were moved."""


SCENARIOS: Final[dict[str, Scenario]] = {
    "done": Scenario(whole),
    "resumed": Scenario(failing_once, before=failing_once, is_resume=True),
    "blocked": Scenario(lambda desk: whole(desk, ci="failure")),
    "failing": Scenario(lambda desk: whole(desk, executor="exit 3")),
    "archiving": Scenario(whole, before=lambda desk: whole(desk, run_id=EARLIER)),
    "done again": Scenario(whole, before=whole, is_resume=True),
    "moving old ones": Scenario(
        lambda desk: whole(desk, executor=failing(KEPT_MAX)),
        before=lambda desk: whole(desk, executor=failing(KEPT_MAX)),
        is_resume=True,
        resumes=KEPT_MAX - 1,
    ),
}


# What is on disk


def report_in(directory: Path) -> Report | None:
    """Return the report in a directory; None if there is none, or a power cut has torn it."""
    path = directory / REPORT
    try:
        json.loads(path.read_bytes())
    except (FileNotFoundError, ValueError):
        return None
    return load_report(directory)


def begun_checkpoint(desk: Desk) -> Checkpoint | None:
    """Return the checkpoint of the run that is to be resumed, None if it has none."""
    kept = checkpoint_in(desk.out)
    return None if kept is None or kept.run_id == EARLIER else kept


def are_values_lost(kept: Checkpoint | None) -> bool:
    """Return whether the run has warned that a resume will ask for environment values."""
    warnings = () if kept is None else kept.invocation.warnings
    return any("cannot be kept" in warning for warning in warnings)


def own_failures(report: Report) -> list[StageExecution]:
    """Return what the program reports that it failed to do itself."""
    return [one for one in report.stage_executions if one.attempt == 0]


def assert_truth(
    scenario: Scenario,
    desk: Desk,
    before: Scene,
    *,
    may_be_torn: bool = False,
    may_be_early: bool = False,
) -> None:
    """Assert that the files can be read, agree with each other and with what happened.

    `may_be_torn`: whether the power was cut, which alone leaves half of a file that is replaced.
    `may_be_early`: whether a report may have got to the disk before the events it is made from.
    """
    for name, content in read_tree(desk.out):
        assert SECRET.encode() not in (content or b""), name
    for name in (CHECKPOINT, REPORT):
        if not may_be_torn and (desk.out / name).exists():
            json.loads((desk.out / name).read_bytes())
    kept, told = checkpoint_in(desk.out), report_in(desk.out)
    is_early = may_be_early and told is not None and _is_early(told, kept, desk.out)
    # One without a state only says what was refused.
    if told is not None and told.current_state is not None and not is_early:
        _assert_told_is_kept(told, kept, desk.out)
    known = sum((_attempts(*one) for one in _checkpoints(desk.out)), Counter[str]())
    starts = desk.starts()
    assert all(starts[stage] <= known[stage] for stage in STAGES), (starts, known)
    if scenario.before is not None:
        assert_earlier_is_there(desk, before)
    if scenario is SCENARIOS["blocked"]:
        assert not starts


def _assert_told_is_kept(told: Report, kept: Checkpoint | None, directory: Path) -> None:
    if kept is None:
        assert told.terminal_state is Outcome.FAILED
        assert own_failures(told)
        assert not told.transitions
        return
    assert told.run_id == kept.run_id
    walked, history = _walked(told), _history(told, kept, directory)
    assert walked == history[: len(walked)]
    state = walked[-1].dest if walked else kept.lifecycle.initial
    assert told.current_state == state
    says_own_failure = told.terminal_state is Outcome.FAILED and bool(own_failures(told))
    if told.terminal_state is not None and not says_own_failure:
        assert told.terminal_state is kept.lifecycle.states[state].outcome
    if told.terminal_state is Outcome.DONE:
        assert kept.current_state == state
    if says_own_failure and walked:  # else there was no earlier checkpoint to be put back
        assert kept.current_state == state


def _is_early(told: Report, kept: Checkpoint | None, directory: Path) -> bool:
    """Say whether a report is ahead of its record by what is not waited for.

    That is the way to the gates alone: it has started nothing, ended nothing and judged nothing.
    """
    if told.terminal_state is not None or told.stage_executions or told.gate_decisions:
        return False
    if kept is None:
        ahead = told.transitions
        return not told.earlier_invocations and [one.dest for one in ahead] == ["gating"]
    number, history = kept.invocation.last_number, _history(told, kept, directory)
    return (
        told.run_id == kept.run_id
        and told.latest.number == number + 1
        and _walked(told)[: len(history)] == history
        and [one.dest for one in told.transitions] in (["gating"], [])
    )


def _walked(told: Report) -> list[TransitionRecord]:
    """Return the transitions that a report tells of."""
    earlier = [one for visit in told.earlier_invocations for one in visit.transitions]
    return [*earlier, *told.transitions]


def _history(told: Report, kept: Checkpoint, directory: Path) -> list[TransitionRecord]:
    """Return those that the record has of the invocations that a report tells of."""
    visits = history_of(kept, directory)[told.invocations_moved :]
    return [one for visit in visits for one in visit.transitions]


def _checkpoints(out: Path) -> Iterator[tuple[Checkpoint, Path]]:
    for directory in (out, *out.glob("archive/*")):
        kept = checkpoint_in(directory)
        if kept is not None:
            yield kept, directory


def _attempts(kept: Checkpoint, directory: Path) -> Counter[str]:
    """Count the attempts of each stage that a checkpoint knows of."""
    found = Counter(
        execution.stage
        for invocation in history_of(kept, directory)
        for execution in invocation.stage_executions
        if execution.attempt > 0 and execution.status is not StageStatus.SKIPPED
    )
    return found + Counter([kept.open_attempt.stage] if kept.open_attempt is not None else [])


def assert_earlier_is_there(desk: Desk, before: Scene, *, is_together: bool = False) -> None:
    """Assert that every file of an archived earlier run is in OUT or the archive, as it was.

    `is_together`: all in one directory of the archive, but for a report that a refusal had to set
    aside by itself. (A cut may let a move have happened in one directory and not in the other;
    what is there twice is then archived twice.)
    """
    out = desk.out.relative_to(desk.disk)
    earlier = {
        str(Path(name).relative_to(out)): content
        for name, content in before.tree
        if Path(name).is_relative_to(out) and content is not None and not name.endswith(".lock")
    }
    checkpoint = json.loads(earlier[CHECKPOINT] or b"")
    if checkpoint["run_id"] != EARLIER:
        return
    homes: dict[str, set[Path]] = {name: set() for name in earlier}
    for home in (desk.out, *desk.out.glob("archive/*")):
        for name, content in earlier.items():
            if (home / name).is_file() and _is_intact(name, (home / name).read_bytes(), content):
                homes[name].add(home)
    assert all(homes.values()), homes
    if is_together:
        del homes[REPORT]
        assert set.intersection(*homes.values()) - {desk.out}, homes


def _is_intact(name: str, now: bytes, earlier: bytes | None) -> bool:
    """Compare a file with what it was; a refusal may have added a line to the log."""
    return now.startswith(earlier or b"") if name == EVENTS else now == earlier


# What a run ends with

Act = Callable[[RunConfig], Report | OrchestratorError]
"""How an invocation is made: its report, or why there is none."""

PLAIN: Final = {
    "earlier_invocations",  # the disturbed one, or none where nothing of it was durable
    "invocations_moved",  # likewise: the disturbed one may have moved some
    "run_id",  # another where the command was typed again
    "execution_mode",  # likewise
    "started_at",
    "finished_at",
    "containment",  # null where nothing was left to be run
    "transitions",  # compared by `walk_of`
    "stage_executions",  # compared below
    "origin",  # the revision is not known where the fault struck the reading of it
}
OF_A_STAGE: Final = {
    # Not attempt, reason, idempotency_key and the names of its logs: they count attempts or hold
    # the run's id. Not times and resources. Not exit_code, ending and stderr_tail: a skip has none.
    *("stage", "command", "args", "env_keys", "cwd", "error", "signal", "artifacts"),
    *("missing_artifacts", "malformed_artifacts", "stale_artifacts", "leaked_processes"),
}


OF_THE_DISTURBANCE: Final = (
    *("had been written", "runs with other settings than before"),
    *("behind the events", "was torn"),
)
"""What only the warnings of a run that was disturbed say: events went down with the machine, values
that are gone were given again, and the record was made again from the events."""


def normalised(report: Report) -> dict[str, Any]:
    """Return what is the same for a run that was disturbed and resumed as for one that was not."""
    document = report.model_dump(mode="json", exclude=PLAIN)
    for decision in document["gate_decisions"]:
        del decision["source"]  # a resume has it from the checkpoint
        if decision["given"] is not None:  # by the same user, in an earlier invocation
            del decision["given"]["at"], decision["given"]["invocation"]
    document["warnings"] = [
        one for one in report.warnings if not any(words in one for words in OF_THE_DISTURBANCE)
    ]
    document["stages"] = [
        {
            **execution.model_dump(mode="json", include=OF_A_STAGE),
            "is_complete": execution.status in {StageStatus.SUCCESS, StageStatus.SKIPPED},
        }
        for execution in report.stage_executions
    ]
    return document


def walk_of(report: Report) -> list[str]:
    """Return the states that the invocation entered."""
    return [transition.dest for transition in report.transitions]


def mend(scenario: Scenario, desk: Desk, before: Scene, expected: Report, act: Act) -> None:
    """Do what an operator does next: it ends as if nothing had happened, and repeats nothing."""
    kept, starts = begun_checkpoint(desk), desk.starts()
    complete = set() if kept is None else {one.stage for one in kept.completions}
    is_over = kept is not None and kept.current_state == "done"
    mended = act(scenario.next_step(desk))
    if isinstance(mended, UsageError) and are_values_lost(kept):
        mended = act(scenario.with_values(desk))
    assert isinstance(mended, Report), mended
    assert normalised(mended) == normalised(expected)
    assert walk_of(mended) == ([] if is_over else walk_of(expected))
    assert complete.isdisjoint(desk.starts() - starts)
    assert mended == report_in(desk.out)
    assert_whole(desk, mended)
    assert_truth(scenario, desk, before)
    if scenario.before is not None:
        assert_earlier_is_there(desk, before, is_together=True)


def assert_whole(desk: Desk, mended: Report) -> None:
    """Assert that the run ended with its records in order, no stage or gate passed over."""
    kept = checkpoint_in(desk.out)
    assert kept is not None
    assert (kept.run_id, kept.current_state) == (mended.run_id, mended.current_state)
    for invocation in kept.invocations:
        _assert_gated(kept, invocation)
        assert not invocation.passed_over
    if mended.terminal_state is Outcome.DONE:
        assert set(desk.starts()) == set(STAGES)
        assert {one.stage for one in kept.completions} == set(STAGES)
    assert not [name for name, _ in read_tree(desk.out) if name.endswith(TEMPORARY_SUFFIX)]
    numbers = [event["seq"] for event in events_of(desk.out)]
    warnings = " ".join(one for visit in kept.invocations for one in visit.warnings)
    if "had been written" in warnings:  # they went down with the machine, and are missed
        assert numbers == sorted(set(numbers))
    else:
        assert numbers == list(range(1, len(numbers) + 1))


def _assert_gated(kept: Checkpoint, invocation: InvocationRecord) -> None:
    """Assert that all that ran in an invocation ran after its gates had passed."""
    assert kept.lifecycle.gates_guard is GatesGuard.STAGES
    for one in invocation.gate_decisions:  # a signal is kept from the invocation it was given to
        assert one.given is not None
        is_kept = one.given.invocation < invocation.number
        assert one.given.invocation <= invocation.number
        assert is_kept is (one.source is GateSource.CHECKPOINT)
    entered = [transition.dest for transition in invocation.transitions]
    if any(stage in entered for stage in STAGES):
        assert entered[0] == "gating"
        assert [one.passed for one in invocation.gate_decisions] == [True, True, True]


@contextlib.contextmanager
def at(where: str) -> Iterator[None]:
    """Say where in the sweep a failure was found."""
    try:
        yield
    except BaseException as error:
        error.add_note(where)
        raise
