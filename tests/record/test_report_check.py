"""A report that its checkpoint contradicts, and a checkpoint of another run."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from tests.support.command import (
    CHECKPOINT,
    PASSING,
    REPORT,
    accepting,
    orchestrate,
    read_json,
    report_of,
    shell,
    stages,
)

DENIED = ("--policy-status", "deny")


def edited(path: Path, edit: Callable[[dict[str, Any]], object]) -> None:
    """Change a document on disk."""
    document = read_json(path)
    edit(document)
    path.write_text(json.dumps(document, indent=2) + "\n")


def update(report: dict[str, Any], *, edit: dict[str, Any]) -> None:
    """Change fields of a report."""
    report |= edit


def claim_done(report: dict[str, Any]) -> None:
    """Make a report say that all is well."""
    report |= {"terminal_state": "done", "closure_ready": True, "exit_code": 0}
    report |= {"current_state": "done", "stage_executions": [], "blocked_reason_codes": []}


@pytest.mark.parametrize(
    "given", [DENIED, (*PASSING, *stages("exit 7"))], ids=["blocked", "failed"]
)
def test_report_that_claims_a_done_run_is_not_believed(
    given: tuple[str, ...], tmp_path: Path
) -> None:
    """The checkpoint decides the standing of a run, and each contradicting field is named."""
    code = orchestrate("out", *given, cwd=tmp_path).code
    standing = report_of(tmp_path / "out")["terminal_state"]
    edited(tmp_path / "out" / REPORT, claim_done)
    status = orchestrate("status", "out", "--json", cwd=tmp_path)
    assert status.code == 1
    said = json.loads(status.stdout)
    assert said["report"]["terminal_state"] == standing
    assert said["report"]["exit_code"] == code
    assert "terminal_state" in said["checkpoint_trouble"]
    assert "the checkpoint is believed" in orchestrate("status", "out", cwd=tmp_path).stdout
    explained = json.loads(orchestrate("explain", "out", "--json", cwd=tmp_path).stdout)
    assert explained["standing"] == standing
    assert "the checkpoint is believed" in explained["causes"][-1]["sentence"]


def test_report_diagram_and_list_do_not_believe_it(tmp_path: Path) -> None:
    """Commands that show the report, the diagram or a list of runs do not believe it."""
    assert orchestrate("runs/a", *PASSING, *stages("exit 7"), cwd=tmp_path).code == 1
    assert orchestrate("runs/b", *PASSING, *stages(), cwd=tmp_path).code == 0
    good = orchestrate("status", "runs", cwd=tmp_path)
    assert good.code == 0, good
    written = report_of(tmp_path / "runs" / "a")
    edited(tmp_path / "runs" / "a" / REPORT, claim_done)
    printed = orchestrate("report", "runs/a", cwd=tmp_path)
    assert (printed.code, json.loads(printed.stdout)) == (1, written)
    assert "terminal_state" in printed.stderr
    drawn = orchestrate("diagram", "--run", "runs/a", cwd=tmp_path)
    assert drawn.code == 0
    assert "ended failed" in drawn.stdout
    assert "the checkpoint is believed" in drawn.stderr
    listed = orchestrate("status", "runs", "--json", cwd=tmp_path)
    first, second = json.loads(listed.stdout)["runs"]
    assert (listed.code, first["standing"], second["standing"]) == (1, "failed", "done")
    assert "the checkpoint is believed" in first["trouble"]
    assert second["trouble"] is None


@pytest.mark.parametrize("harm", [Path.unlink, lambda path: path.write_text("{}")])
def test_done_report_beside_no_checkpoint_closes_nothing(
    harm: Callable[[Path], object], tmp_path: Path
) -> None:
    """A done report without a valid checkpoint closes nothing."""
    assert orchestrate("runs/a", *PASSING, *stages(), cwd=tmp_path).code == 0
    harm(tmp_path / "runs" / "a" / CHECKPOINT)
    printed = orchestrate("report", "runs/a", cwd=tmp_path)
    assert printed.code == 1
    assert json.loads(printed.stdout)["closure_ready"] is False
    assert CHECKPOINT in printed.stderr
    listed = json.loads(orchestrate("status", "runs", "--json", cwd=tmp_path).stdout)["runs"]
    assert listed[0]["standing"] == "not_closable"
    assert CHECKPOINT in listed[0]["trouble"]


@pytest.mark.parametrize(
    "edit",
    [
        {"terminal_state": "failed", "exit_code": 1},
        {"run_id": "another"},
        {"transitions": []},
        {"gate_decisions": []},
        {"warnings": ["nothing"]},
        {"started_at": "2020-01-01T00:00:00.000Z"},
    ],
    ids=" ".join,
)
def test_every_edited_field_of_a_done_report_is_told(edit: dict[str, Any], tmp_path: Path) -> None:
    """Each edited field of the report is named, and the checkpoint decides what the run is."""
    assert orchestrate("out", *PASSING, *stages(), cwd=tmp_path).code == 0
    edited(tmp_path / "out" / REPORT, partial(update, edit={**edit, "closure_ready": False}))
    status = orchestrate("status", "out", "--json", cwd=tmp_path)
    said = json.loads(status.stdout)
    assert (status.code, said["report"]["terminal_state"]) == (1, "done")
    assert said["report"]["closure_ready"] is True
    assert all(field in said["checkpoint_trouble"] for field in edit)


@pytest.mark.parametrize("is_first", [True, False], ids=["first", "later"])
def test_report_of_a_failure_to_write_is_believed(is_first: bool, tmp_path: Path) -> None:
    """The report of an invocation that could not write its checkpoint is believed."""
    if not is_first:
        assert orchestrate("out", *DENIED, cwd=tmp_path).code == 3
    block = f"until rm -f {CHECKPOINT} && mkdir {CHECKPOINT}; do :; done; touch {CHECKPOINT}/x"
    here = f"cd {tmp_path / 'out'} && touch tampered && cp {CHECKPOINT} kept && {block}"
    resume = () if is_first else ("--resume",)
    assert orchestrate("out", *resume, *PASSING, *shell("manager", here), cwd=tmp_path).code == 1
    checkpoint = tmp_path / "out" / CHECKPOINT
    shutil.rmtree(checkpoint, ignore_errors=True)  # the stage may end before it has made it
    (tmp_path / "out" / "kept").rename(checkpoint)
    status = json.loads(orchestrate("status", "out", "--json", cwd=tmp_path).stdout)
    assert status["report"]["terminal_state"] == "failed"
    own = {"control.verify", "checkpoint.persist"}  # before or after its pid is recorded
    assert any(one["command"] in own for one in status["report"]["stage_executions"])
    assert "not what" not in (status["checkpoint_trouble"] or "")


def test_checkpoint_of_another_run_replaces_no_report(tmp_path: Path) -> None:
    """A resume with another run's checkpoint archives this run's report, and says so."""
    assert orchestrate("out", *DENIED, "--run-id", "this", cwd=tmp_path).code == 3
    assert orchestrate("other", *DENIED, "--run-id", "that", cwd=tmp_path).code == 3
    report = (tmp_path / "out" / REPORT).read_bytes()
    shutil.copy(tmp_path / "other" / CHECKPOINT, tmp_path / "out" / CHECKPOINT)
    planned = orchestrate("plan", "out", "--resume", cwd=tmp_path)
    assert (planned.code, "is a copy of the run in" in planned.stderr) == (2, True), planned
    planned = orchestrate("plan", "out", "--resume", "--as-copy", cwd=tmp_path)
    assert (planned.code, f"{CHECKPOINT} is another run's" in planned.stderr) == (1, True)
    accept = (*accepting(tmp_path / "out"), "--as-copy", "--run-id", "new")
    assert "is of another run, this" in orchestrate("plan", "out", *accept, cwd=tmp_path).stdout
    orchestrate("out", *accept, cwd=tmp_path)
    assert (tmp_path / "out" / "archive" / "this.report" / REPORT).read_bytes() == report
    now = report_of(tmp_path / "out")
    assert now["run_id"] == "new"
    assert any("is of another run, this" in warning for warning in now["warnings"])


def test_what_differs_from_the_last_attempt_is_told(tmp_path: Path) -> None:
    """Plan and report name each setting of a stage that differs from its last attempt."""
    values = ("--executor-env", "A=one", "--executor-env", "B=both")
    assert (
        orchestrate("out", *PASSING, *stages("exit 0", "exit 7"), *values, cwd=tmp_path).code == 1
    )
    given = ("--executor-env", "A=two", "--executor-env", "C=three", "--executor-cwd", "/")
    assert_told(
        *given,
        cwd=tmp_path,
        said=(
            f"cwd: attempt 1 had {str(tmp_path)!r}, now '/'",
            "environment: A has another value than in attempt 1",
            "environment: attempt 1 had no C, which is set now",
        ),
    )


def test_edited_settings_of_a_stage_are_told(tmp_path: Path) -> None:
    """A checkpoint with edited arguments of the next attempt is noticed."""
    assert orchestrate("out", *PASSING, *stages("exit 0", "exit 7"), cwd=tmp_path).code == 1
    path = tmp_path / "out" / CHECKPOINT
    text = path.read_text()
    path.write_text(text.replace('"args":["-c","exit 7"]', '"args":["-c","exit 0"]', 1))
    accept = accepting(tmp_path / "out")[1:]
    assert_told(
        *accept, cwd=tmp_path, said=("args: attempt 1 had ['-c', 'exit 7'], now ['-c', 'exit 0']",)
    )


def assert_told(*given: str, cwd: Path, said: tuple[str, ...]) -> None:
    """Assert that plan and run of a resume report exactly these differences of the executor."""
    expected = [
        f"stage 'executor' runs with other settings than before: {sentence}" for sentence in said
    ]
    planned = orchestrate("plan", "out", "--resume", *given, "--json", cwd=cwd).stdout
    shown = orchestrate("plan", "--all", "out", "--resume", *given, cwd=cwd).stdout
    orchestrate("out", "--resume", *given, cwd=cwd)
    told = report_of(cwd / "out")["warnings"]
    warnings = [one for one in told if "runs with other settings than before" in one]
    assert set(warnings) <= set(json.loads(planned)["warnings"])
    assert [one[: len(wanted)] for one, wanted in zip(warnings, expected, strict=True)] == expected
    shown = " ".join(shown.split())
    assert all(" ".join(f"warning: {one}".split()) in shown for one in warnings), shown
