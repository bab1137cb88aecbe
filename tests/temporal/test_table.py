"""The list of runs fits the width, and storage is tested before runs are kept on it."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from fsm_orchestrator.cli.temporal_table import document_of, lines_of
from fsm_orchestrator.errors import CommandError
from fsm_orchestrator.inspection.reasons import REASON_CHARACTERS_MAX
from fsm_orchestrator.temporal.fleet_standing import overview_of
from fsm_orchestrator.temporal.listing import Listed, WorkflowCourse
from fsm_orchestrator.temporal.shapes import InvocationResult, Problem, Stand
from fsm_orchestrator.temporal.storage import probe
from fsm_orchestrator.text.cells import cells

SINCE = "2026-01-31T09:00:00.000Z"


def run(number: int, course: WorkflowCourse, outcome: str | None, **more: object) -> Listed:
    """Return a run as the server knows it."""
    result = InvocationResult(
        run_id=f"20260131T090000.00000{number}Z-1f2e3d4c",
        epoch="000001.000001",
        number=1,
        outcome=outcome,
        standing={"blocked": "waiting"}.get(outcome or "", outcome or "interrupted"),
        exit_code=0,
        state=outcome,
        closure_ready=outcome == "done",
        waiting_gates=("review",) if outcome == "blocked" else (),
        reason="" if outcome == "done" else "executor: exited with code 1, and said why at length",
    )
    given = {"result": result, "is_at_work": course is WorkflowCourse.WORKING, **more}
    stand = Stand(
        run_id=result.run_id,
        run_directory="/srv/runs/one",
        task_queue="a-queue-with-a-rather-long-name",
        number=2,
        since=SINCE,
        **given,  # type: ignore[arg-type]
    )
    return Listed(stand, course)


RUNS = (
    run(1, WorkflowCourse.ENDED, "done"),
    run(2, WorkflowCourse.WAITING, "blocked"),
    run(3, WorkflowCourse.WORKING, "failed"),
    run(
        4, WorkflowCourse.WAITING, "failed", problem=Problem(kind="UsageError", message="no TOKEN")
    ),
    run(5, WorkflowCourse.CANCELLED, "failed"),
)


@pytest.mark.parametrize("width", [40, 80, 120])
def test_table_fits(width: int) -> None:
    """No line is too long, and each run has one."""
    lines = list(lines_of(RUNS, width))
    assert len(lines) == 1 + len(RUNS)
    assert all(cells(one.text) <= width for one in lines)


def test_table_of_a_file_is_whole() -> None:
    """Without a terminal nothing is left out."""
    lines = [one.text.split("  ") for one in lines_of(RUNS, None)]
    standings = [line[1].strip() for line in lines[1:]]
    assert standings == ["done", "waiting", "working", "refused", "cancelled"]
    assert lines[4][-1] == "no TOKEN"


def test_what_is_at_work_has_no_state_of_before() -> None:
    """A run at work has no state from its last invocation, in the table and for a fleet."""
    failed, working = RUNS[-1], RUNS[2]
    table = [one.text.split("  ") for one in lines_of((failed, working), None)]
    assert [[one.strip() for one in row if one][2] for row in table[1:]] == ["failed", "-"]
    stands = [overview_of(one, Path("/srv/runs/one")) for one in (failed, working)]
    assert [one.current_state for one in stands] == ["failed", None]
    assert [bool(one.reason) for one in stands] == [True, False]


def test_reason_is_bounded_without_a_terminal() -> None:
    """A message of any length takes a line of the length that `status` gives it."""
    problem = Problem(kind="UsageError", message="no such thing: " + "x" * 5000)
    refused = run(1, WorkflowCourse.WAITING, "failed", problem=problem)
    before = len(list(lines_of(RUNS[:1], None))[1].text)
    assert len(list(lines_of((refused,), None))[1].text) < before + REASON_CHARACTERS_MAX + 20


def test_no_run_is_said() -> None:
    """An empty list says that it is empty."""
    assert [one.text for one in lines_of((), 80)] == ["the server knows no such run"]


def test_document_names_where_it_stands() -> None:
    """A run that could not be made has no standing in the document."""
    assert [document_of(one)["standing"] for one in RUNS] == [
        *("done", "waiting", "working"),
        *(None, "failed"),
    ]


def test_storage_that_keeps_runs_is_left_as_it_was(tmp_path: Path) -> None:
    """Testing good storage leaves nothing behind."""
    probe(tmp_path)
    assert list(tmp_path.iterdir()) == []


def test_storage_without_hard_links_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The missing feature is named, and nothing of the test stays."""

    def refused(*_paths: object) -> None:
        raise PermissionError(1, os.strerror(1))

    monkeypatch.setattr(os, "link", refused)
    with pytest.raises(CommandError, match=r"runs cannot be kept in .*: operation not permitted"):
        probe(tmp_path)
    assert list(tmp_path.iterdir()) == []
