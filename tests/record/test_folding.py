"""The record of a run that is resumed again and again grows only by what is new."""

from __future__ import annotations

import json
import os
import time
from pathlib import Path

import pytest

from fsm_orchestrator import RunConfig, StageGiven, resume, run
from fsm_orchestrator.errors import CheckpointError
from fsm_orchestrator.record import checkpoint_reader
from fsm_orchestrator.vocabulary import Gate
from tests.support.command import (
    CHECKPOINT,
    PASSING,
    REPORT,
    checkpoint_of,
    events_of,
    orchestrate,
    report_of,
    stages,
)

DENIED = {Gate.POLICY: "deny"}


def blocked(output: Path, times: int) -> None:
    """Begin a run that its gates block, and resume it several times."""
    true = StageGiven(bin="true")
    run(RunConfig(output_directory=output, gates=DENIED, stages={"manager": true}))
    for _ in range(times):
        resume(RunConfig(output_directory=output))


def test_equal_blocked_invocations_are_one_record(tmp_path: Path) -> None:
    """Repetitions are counted with first and last time; everything else is as without folding."""
    output = tmp_path / "out"
    blocked(output, 6)
    begun = [event["at"] for event in events_of(output) if event["event"] == "run.started"]
    report = report_of(output)
    first, repeated = report["earlier_invocations"]
    assert (first["number"], first["repeats"]) == (1, None)
    assert (repeated["number"], repeated["repeats"]["count"]) == (2, 4)
    assert repeated["started_at"] <= begun[1]
    assert begun[4] < repeated["repeats"]["last_started_at"] <= begun[5]
    assert repeated["repeats"]["last_finished_at"] <= begun[6]
    assert checkpoint_of(output)["invocations"][-1]["number"] == 7
    assert [one["seq"] for one in report["transitions"]] == [13, 14]
    explained = orchestrate("explain", "out", "--json", cwd=tmp_path)
    assert json.loads(explained.stdout)["invocations"] == 7
    page = orchestrate("report", "out", "--html", "-", cwd=tmp_path).stdout
    assert "repeated 4 times, up to 6 at" in page
    assert "in 7 invocations, 4 of which only repeated another" in page


def test_what_differs_is_not_folded(tmp_path: Path) -> None:
    """An invocation with another signal or an attempt has its own record; the run ends as done."""
    output = tmp_path / "out"
    blocked(output, 3)
    resume(RunConfig(output_directory=output, gates={Gate.CI: "pending"}))
    for _ in range(3):
        resume(RunConfig(output_directory=output))
    state = {"XDG_STATE_HOME": os.environ["XDG_STATE_HOME"]}
    given = ("out", "--resume", *PASSING, *stages())
    assert orchestrate(*given, cwd=tmp_path, env=state).code == 0
    for _ in range(3):
        assert orchestrate("out", "--resume", cwd=tmp_path, env=state).code == 0
    invocations = checkpoint_of(output)["invocations"]
    counts = [(one["number"], (one["repeats"] or {"count": 0})["count"]) for one in invocations]
    # 5 asks for CI by flag, 6 to 8 find it kept; 10 and 11 have the same result
    assert counts == [(1, 0), (2, 2), (5, 0), (6, 2), (9, 0), (10, 1), (12, 0)]
    assert report_of(output)["closure_ready"] is True


@pytest.fixture(autouse=True)
def state_beside(monkeypatch: pytest.MonkeyPatch, tmp_path_factory: pytest.TempPathFactory) -> None:
    """Keep the private state outside of the output directory, which is the whole test directory."""
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path_factory.mktemp("state")))


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"count": 0}, "repeats.count"),
        ({"count": 2}, "number: is 7, not 5"),
        ({"last_started_at": "yesterday"}, "repeats.last_started_at"),
    ],
)
def test_repetitions_that_do_not_fit_are_refused(
    change: dict[str, object], said: str, tmp_path: Path
) -> None:
    """A record is refused unless its numbers continue after all repetitions."""
    blocked(tmp_path, 6)
    document = checkpoint_of(tmp_path)
    document["invocations"][1]["repeats"] |= change
    with pytest.raises(CheckpointError, match=said):
        checkpoint_reader.parse(json.dumps(document).encode(), CHECKPOINT)


def test_work_cannot_be_called_a_repetition(tmp_path: Path) -> None:
    """An invocation in which a stage ran cannot be recorded as a repetition."""
    stage = StageGiven(bin="false")
    passing = {Gate.POLICY: "allow", Gate.CI: "success", Gate.REVIEW: "approved"}
    run(RunConfig(output_directory=tmp_path, gates=passing, stages={"manager": stage}))
    resume(RunConfig(output_directory=tmp_path, gates=DENIED))
    document = checkpoint_of(tmp_path)
    at = document["invocations"][0]["started_at"]
    repeats = {"count": 1, "last_started_at": at, "last_finished_at": at}
    document["invocations"][0]["repeats"] = repeats
    document["invocations"][1]["number"] = 3
    for one in document["invocations"][1]["transitions"]:
        one["seq"] += 3
    with pytest.raises(CheckpointError, match=r"repeats: what it did cannot be done again"):
        checkpoint_reader.parse(json.dumps(document).encode(), CHECKPOINT)


def test_late_resume_costs_what_an_early_one_does(tmp_path: Path) -> None:
    """After a hundred resumes, the size of the files and the time of a resume have not grown."""
    blocked(tmp_path, 5)
    used: list[float] = []
    sizes: list[int] = []
    for _ in range(100):
        before = time.process_time()
        resume(RunConfig(output_directory=tmp_path))
        used.append(time.process_time() - before)
        sizes.append(sum((tmp_path / name).stat().st_size for name in (CHECKPOINT, REPORT)))
    assert sizes[-1] - sizes[10] < 100
    assert sum(sorted(used[-20:])[:10]) < 2 * sum(sorted(used[:20])[:10])
