"""A repeated verification respects contracts and protected paths, and completes its stage."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from tests.command.contract_cases import DONE, config, contract, writes
from tests.support.command import orchestrate, report_of

ASSERTS = '[{ at = "/final_state", equals = "Done" }]'


@pytest.fixture
def unverified(tmp_path: Path) -> Path:
    """Make a run whose stage did everything but pass its verification."""
    (tmp_path / "tests").mkdir()
    (tmp_path / "tests" / "a").write_text("1\n")
    config(
        tmp_path,
        contract(asserts=ASSERTS),
        writes(DONE),
        'protect = ["tests"]\ninputs = ["executor.sh"]\nverify = [["test", "-e", "ok"]]',
    )
    ended = orchestrate("run", "./out", "--config", "run.toml", cwd=tmp_path)
    assert ended.code == 1, ended.stderr
    (execution,) = report_of(tmp_path / "out")["stage_executions"]
    assert execution["ending"] == "verification_failed"
    assert execution["protection"]["is_compared"]
    assert len(execution["inputs"]) == 1  # inputs of the work, which may be verified again
    return tmp_path


def again(folder: Path, code: int) -> dict[str, Any]:
    """Verify again and return the record of it."""
    ended = orchestrate("./out", "--resume", "--reverify", cwd=folder)
    assert ended.code == code, ended.stderr
    found: dict[str, Any] = report_of(folder / "out")["stage_executions"][-1]
    return found


def test_verified_again_completes_with_its_inputs(unverified: Path) -> None:
    """The completed stage's inputs are digested, and a resume trusts the record."""
    (unverified / "ok").touch()
    execution = again(unverified, 0)
    assert [Path(one["path"]).name for one in execution["inputs"]] == ["executor.sh"]
    assert execution["protection"]["is_compared"]
    assert orchestrate("./out", "--resume", cwd=unverified).code == 0


def test_what_is_verified_is_what_was_there_before_the_stage(unverified: Path) -> None:
    """Verification reads protected paths: if they changed since, they verify nothing."""
    (unverified / "ok").touch()
    (unverified / "tests" / "a").write_text("2\n")
    execution = again(unverified, 1)
    assert execution["ending"] == "protected_changed"
    assert [one["change"] for one in execution["protected_changes"]] == ["changed"]
    assert "verifications" not in execution
