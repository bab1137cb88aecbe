"""Protected paths of a verification: they must be as before the stage, also when repeated."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from tests.support.command import PASSING, orchestrate, report_of, shell

CHECK = "sh tests/check.sh"


def _project(place: Path, script: str = "exit 1") -> tuple[str, ...]:
    """Make a project with a failing test; return the options of a run that protects the test."""
    (place / "tests").mkdir()
    (place / "tests" / "check.sh").write_text(f"{script}\n")
    (place / "input.txt").write_text("1")
    options = ("--executor-protect", "tests/", "--executor-verify", CHECK)
    return (*PASSING, *shell("manager", "exit 0"), *options, "--executor-input", "input.txt")


def _last(place: Path) -> dict[str, Any]:
    execution = report_of(place / "out")["stage_executions"][-1]
    assert isinstance(execution, dict)
    return execution


def test_changed_test_verifies_nothing_again(tmp_path: Path) -> None:
    """A test that was edited to pass is named, and nothing is verified."""
    options = _project(tmp_path, "test -e ready")
    orchestrate("out", *options, *shell("executor", "echo ran >> runs"), cwd=tmp_path)
    assert _last(tmp_path)["ending"] == "verification_failed"
    test = tmp_path / "tests" / "check.sh"
    test.write_text("exit 0\n")
    assert orchestrate("out", "--resume", "--reverify", cwd=tmp_path).code == 1
    failed = _last(tmp_path)
    assert (failed["ending"], failed.get("verifications")) == ("protected_changed", None)
    assert [one["path"] for one in failed["protected_changes"]] == [str(test)]
    assert "--reverify" not in orchestrate("status", "out", cwd=tmp_path).stdout


def test_unchanged_test_verifies_again(tmp_path: Path) -> None:
    """The success has the protection and the inputs of the work that it verified."""
    options = _project(tmp_path, "test -e ready")
    orchestrate("out", *options, *shell("executor", "echo ran >> runs"), cwd=tmp_path)
    (tmp_path / "ready").touch()
    done = orchestrate("out", "--resume", "--reverify", cwd=tmp_path)
    assert done.code == 0, done.stderr
    executor = _last(tmp_path)
    assert (executor["protection"]["is_compared"], len(executor["inputs"])) == (True, 1)
    assert (tmp_path / "runs").read_text() == "ran\n"
    assert orchestrate("out", "--resume", cwd=tmp_path).code == 0


def test_other_input_is_other_work(tmp_path: Path) -> None:
    """The inputs of the stage are compared, too."""
    options = _project(tmp_path)
    orchestrate("out", *options, *shell("executor", "exit 0"), cwd=tmp_path)
    (tmp_path / "input.txt").write_text("2")
    refused = orchestrate("out", "--resume", "--reverify", cwd=tmp_path)
    assert (refused.code, "input.txt" in refused.stderr) == (2, True), refused.stderr


@pytest.mark.parametrize("number", [1, 2])
def test_verification_that_changes_a_test_is_none(tmp_path: Path, number: int) -> None:
    """The paths must be as before the stage between two verifications and after the last."""
    options = _project(tmp_path, "echo exit 0 > tests/new.sh")
    more = ("--executor-verify", "sh tests/new.sh") if number == 2 else ()
    ended = orchestrate("out", *options, *more, *shell("executor", "exit 0"), cwd=tmp_path)
    assert ended.code == 1
    failed = _last(tmp_path)
    assert (failed["status"], failed["ending"]) == ("failed", "protected_changed")
    assert len(failed["verifications"]) == 1
    assert [one["path"] for one in failed["protected_changes"]] == [
        str(tmp_path / "tests" / "new.sh")
    ]
