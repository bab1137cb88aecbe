"""The spending of a run, including invocations that were moved out of its record or folded."""

from __future__ import annotations

from pathlib import Path

import pytest

from fsm_orchestrator import Report, RunConfig, StageGiven, load_report, resume, run
from fsm_orchestrator.model.budget import BudgetReport, Used
from fsm_orchestrator.record import moving_out
from fsm_orchestrator.vocabulary import Gate
from tests.command.budget_cases import spend
from tests.support.command import INVOCATIONS, checkpoint_of

PASSED = {Gate.POLICY: "allow", Gate.CI: "success", Gate.REVIEW: "approved"}
FAILING = StageGiven(bin="/bin/sh", args=("-c", f"{spend('0.1')}; exit 1"))


def budget_of(report: Report) -> BudgetReport:
    """Return the budget of a run and what it has spent."""
    assert report.budget is not None
    return report.budget


def test_moved_invocations_stay_counted(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A long record is as exact as a short one: ten tenths are one."""
    monkeypatch.setattr(moving_out, "KEPT_MAX", 4)
    monkeypatch.setattr(moving_out, "KEPT_MIN", 2)
    first = RunConfig(
        output_directory=tmp_path / "out",
        gates=PASSED,
        stages={"manager": FAILING},
        budget={"usd": 1},
        total_timeout_ms=3_600_000,
    )
    reports = [run(first)]
    reports += [resume(RunConfig(output_directory=tmp_path / "out")) for _ in range(10)]
    spent = [budget_of(one).units[0].spent for one in reports]
    assert spent == [*(f"0.{tenths}" for tenths in range(1, 10)), "1", "1"]
    assert budget_of(reports[-1]).units[0].by_stage == {"manager": "1"}
    assert reports[-1].stage_executions[-1].command == "budget.verify"
    assert (tmp_path / "out" / INVOCATIONS).exists()
    worked = [budget_of(one).worked_ms or 0 for one in reports]
    assert worked == sorted(worked)
    assert load_report(tmp_path / "out").budget == reports[-1].budget
    used = checkpoint_of(tmp_path / "out")["earlier"]["totals"]["used"]
    assert used["metered"] == [{"stage": "manager", "unit": "usd", "amount": "0.9"}]


def test_folded_invocations_stay_counted(tmp_path: Path) -> None:
    """The times of invocations that ran nothing and were folded are added up."""
    gates = {**PASSED, Gate.CI: "pending"}
    run(RunConfig(output_directory=tmp_path / "out", gates=gates, total_timeout_ms=3_600_000))
    for _ in range(3):
        last = resume(RunConfig(output_directory=tmp_path / "out"))
    document = checkpoint_of(tmp_path / "out")["invocations"]
    assert [one["number"] for one in document] == [1, 2, 4]
    assert document[1]["repeats"]["count"] == 1
    assert budget_of(last).worked_ms == sum(one["used"]["worked_ms"] for one in document)
    first, second = (
        Used(worked_ms=ms, unseen_ms=unseen, unseen=()) for ms, unseen in ((3, 0), (None, 5))
    )
    assert first.with_more(second) == Used(worked_ms=3, unseen_ms=5, unseen=())


@pytest.mark.parametrize("amount", [0.5, "0.5.5", -1, 0, True])
def test_budget_of_a_program_is_no_float(tmp_path: Path, amount: object) -> None:
    """The budget in a report is a whole number, or an exact decimal as text, and never a float."""
    with pytest.raises(Exception, match="budget"):
        RunConfig.model_validate({"output_directory": tmp_path, "budget": {"usd": amount}})
