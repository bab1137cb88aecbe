"""Runs and resumes in any order, checked against a small model of their promises.

The model is in run_model.py, the requests in run_requests.py, their execution in run_place.py.
`SOAK=1` looks further; a failure prints a blob that repeats it.
"""

from __future__ import annotations

import contextlib
import json
from collections.abc import Iterator, Mapping
from dataclasses import replace
from typing import Any, Final

import pytest
from hypothesis import HealthCheck, event, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    precondition,
    rule,
    run_state_machine_as_test,
)

from fsm_orchestrator import RunConfig, run
from fsm_orchestrator.errors import OrchestratorError
from fsm_orchestrator.vocabulary import SchemaName
from tests.support.command import CHECKPOINT, EVENTS, REPORT, checkpoint_of, report_of, tree_of
from tests.support.schema_checks import assert_output_valid, assert_valid
from tests.support.soak import SOAK
from tests.sweeps.run_model import (
    AMPLE_MS,
    CODES,
    KILLED,
    NAMES,
    PASSING,
    REFUSED,
    SHORT_MS,
    STAGES,
    Act,
    Expected,
    Given,
    Model,
    Request,
)
from tests.sweeps.run_place import CONTENTS, EDITS, Place, is_gone
from tests.sweeps.run_requests import (
    AGAIN,
    ALONE,
    ANEW,
    CHANGES,
    GATES_AGAIN,
    PLAYS,
    PLAYS_AT_FIRST,
    Play,
)

PARTS: Final = 4
"""The number of tests that the sequences are split into, which may run side by side."""
PLAYED: Final = settings(
    max_examples=1 + (300 if SOAK else 12) // PARTS,  # the simplest one comes first in each part
    stateful_step_count=60 if SOAK else 20,
    deadline=None,
    print_blob=True,
    suppress_health_check=[HealthCheck.too_slow],
)


def typed(request: Request) -> Request:
    """Return the request as it can be typed: no option makes a list empty."""
    stages = {
        stage: given if given.artifacts else replace(given, artifacts=None)
        for stage, given in request.stages.items()
    }
    return replace(request, stages=stages)


def _without_times(told: dict[str, Any]) -> dict[str, Any]:
    """Return what a repeated invocation reports as the one before it did."""
    apart = {"started_at", "finished_at", "earlier_invocations", "events_head"}
    lists = {"transitions": {"seq", "at"}, "stage_executions": {"started_at", "duration_ms"}}
    kept = {key: value for key, value in told.items() if key not in apart}
    return kept | {
        name: [{key: one[key] for key in one.keys() - without} for one in told[name]]
        for name, without in lists.items()
    }


class Machine(RuleBasedStateMachine):
    """One output directory, and everything that can be done in it and to it."""

    def __init__(self) -> None:
        super().__init__()
        self.place = Place()
        self.model = Model()
        self.told: list[dict[str, Any] | None] = []
        """The last report of each invocation of the run; None for one that was killed."""
        self.noted: list[str] = []
        self.archived: dict[str, bytes] = {}
        self.events: list[bytes] = []

    def teardown(self) -> None:
        """Check all files as a whole, those in the archive too; remove everything."""
        try:
            if SOAK:
                assert_output_valid(self.place.output)
        finally:
            self.place.close()

    # Actions

    @initialize(request=ANEW, play=PLAYS_AT_FIRST)
    def begin(self, request: Request, play: Play) -> None:
        """Start the first run."""
        self.invoke(replace(request, on_changed="refuse", rerun=()), play)

    @rule(request=ANEW, play=PLAYS_AT_FIRST)
    def run_anew(self, request: Request, play: Play) -> None:
        """Start another run; the existing one is archived."""
        self.invoke(request, play)

    @rule(gates=GATES_AGAIN, play=PLAYS)
    def resume(self, gates: Mapping[str, str], play: Play) -> None:
        """Resume without changing a stage."""
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

    # Actions on its files

    @rule(
        name=st.sampled_from(NAMES),
        content=st.sampled_from(["good", "other", "broken", None]),
    )
    def touch_artifact(self, name: str, content: str | None) -> None:
        """Write, change, break or remove an artifact."""
        if content == "broken" and not name.endswith(".json"):
            content = None
        path = self.place.base / name
        path.unlink(missing_ok=True)
        if content is not None:
            path.write_text(f"{CONTENTS[content]}\n")
        self.model.files[name] = content

    @rule(is_report=st.booleans())
    def lose_what_nothing_depends_on(self, is_report: bool) -> None:
        """Lose the report or the private files, but not the key that proves the record."""
        if is_report:
            (self.place.output / REPORT).unlink(missing_ok=True)
        else:
            for path in (self.place.base / "state").rglob("*.json"):
                path.unlink()
            self.model.losses += 1

    @rule(
        edits=st.lists(st.sampled_from(sorted(EDITS)), min_size=1, max_size=4, unique=True),
        request=AGAIN,
    )
    def edit_checkpoint(self, edits: list[str], request: Request) -> None:
        """Edit a checkpoint, which is refused and left; then put it back."""
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
        """Lose the checkpoint: nothing is resumed until it is found or a new run begins."""
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

    # Requests and checks of their results

    def invoke(self, request: Request, play: Play) -> None:
        """Do a request, and compare."""
        acts = play.acts()
        request = self._timed(request, acts)
        if play.by_command or Act.WAITS in acts.values():
            request = typed(request)
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
        """Check that report, checkpoint and events are as published, unless already checked."""
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
        """Return the request with a timeout for each stage with a program: short if it hangs."""
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
        """Assert that the report says what happened, now and before."""
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
            report["gate_decisions"] = []  # it had those that closed the run
        self.told.append(report)

    def _assert_nothing_lost(self, earlier: list[dict[str, Any]], was_running: str | None) -> None:
        """Assert that all records of earlier invocations still exist."""
        counts = [(one["repeats"] or {"count": 0})["count"] for one in earlier]
        starts = [1 + place + sum(counts[:place]) for place in range(len(earlier))]
        assert [one["number"] for one in earlier] == starts
        assert len(self.told) == len(earlier) + sum(counts)
        for one, start, count in zip(earlier, starts, counts, strict=True):
            for told in self.told[start : start + count]:
                assert told is not None, "an invocation that was killed is no repetition"
                assert _without_times(told) == _without_times(self.told[start - 1] or {})
            if count:
                last = self.told[start + count - 1] or {}
                assert one["repeats"]["last_started_at"] == last["started_at"]
        for found, told in zip(earlier, (self.told[one - 1] for one in starts), strict=True):
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
        """Assert that the archive loses nothing, and has a new run's predecessor whole."""
        now = tree_of(self.place.output / "archive")
        assert now.items() >= self.archived.items()
        if before_run is not None:
            new = {name: now[name] for name in now.keys() - self.archived.keys()}
            assert {name.partition("/")[2]: content for name, content in new.items()} == before_run
        self.archived = now

    # Invariants

    @invariant()
    def every_start_of_a_stage_was_meant(self) -> None:
        """Check that the stages that really ran are those of the model, with its settings."""
        notes = self.place.notes()
        assert [line for line in notes if line not in self.model.hung] == self.noted
        assert all(notes.count(line) <= 1 for line in self.model.hung)

    @invariant()
    def checkpoint_says_what_is_complete(self) -> None:
        """Check that a resume finds what the model knows."""
        if not self.model.has_checkpoint:
            return
        document = checkpoint_of(self.place.output)
        assert {one["stage"]: one["attempt"] for one in document["completions"]} == {
            stage: number for stage, (_, number) in self.model.complete.items()
        }
        running = [one["stage"] for one in document["open_attempts"]]
        assert running == ([self.model.running] if self.model.running else [])
        assert (document["current_state"] == "done") is self.model.is_done
        if self.model.is_done:
            assert all(passed for _, _, passed in self.model.decisions())

    @invariant()
    def nothing_temporary_is_left(self) -> None:
        """Check that no temporary file stays, unless its writer was just killed."""
        assert self.model.running or not list(self.place.output.glob(".*.tmp"))


@pytest.mark.timeout(14_400 if SOAK else 900)  # to shrink a finding: real runs are slow
@pytest.mark.parametrize("part", range(PARTS))
def test_any_order_keeps_what_is_promised(part: int) -> None:
    """Play one part of the sequences with its own machine, so that it draws unlike the others."""
    machine = type(f"{Machine.__name__}{part}", (Machine,), {})
    run_state_machine_as_test(machine, settings=PLAYED)
