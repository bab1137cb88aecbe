"""Masked text decides nothing: a value known only masked is neither looked for nor compared."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.secrets.secret_cases import OTHER, VALUE, places_of
from tests.support.command import PASSING, orchestrate, report_of, stages

NOW = {"TOKEN": VALUE}


def test_a_plan_looks_for_no_program_at_a_masked_path(tmp_path: Path) -> None:
    """While gates hold it back, a stage whose program is unknown here is not called missing."""
    tool = tmp_path / VALUE / "tool"
    tool.parent.mkdir()
    tool.write_text("#!/bin/sh\n")
    tool.chmod(0o755)
    options = ("--manager-bin", str(tool), "--manager-secret", "TOKEN")
    assert orchestrate("out", *PASSING[:-2], *options, cwd=tmp_path, env=NOW).code == 3
    planned = orchestrate("plan", "--all", "out", "--resume", cwd=tmp_path)
    assert (planned.code, "***/tool" in planned.stdout) == (0, True)
    assert "does not exist" not in planned.stdout
    assert orchestrate("out", "--resume", *PASSING[-2:], cwd=tmp_path, env=NOW).code == 0


def test_an_argument_that_is_not_known_is_not_compared_with_a_file(tmp_path: Path) -> None:
    """A config file that was corrected elsewhere is not reported to have other arguments."""
    config = tmp_path / "run.toml"
    text = (
        '[stage.executor]\nbin = "/bin/false"\ntimeout_ms = 5000\n'
        f'args = ["--key={VALUE}"]\nsecrets = ["TOKEN"]\n'
    )
    config.write_text(text)
    given = ("out", *PASSING, "--config", "run.toml")
    assert orchestrate(*given, cwd=tmp_path, env=NOW).code == 1
    config.write_text(text.replace("5000", "6000"))
    for env in ({}, NOW):
        explained = orchestrate("explain", "out", "--json", cwd=tmp_path, env=env)
        (change,) = json.loads(explained.stdout)["changed_files"]
        assert change["differences"] == ["stage.executor.timeout_ms was 5000, is 6000"]
    assert places_of(VALUE, tmp_path / "out", explained) == set()


@pytest.mark.parametrize("env", [{}, NOW, {"TOKEN": OTHER}], ids=["unset", "same", "other"])
def test_a_report_that_is_made_again_tells_what_is_there(
    tmp_path: Path, env: dict[str, str]
) -> None:
    """A done run without its report can be closed only if its artifact can be looked for."""
    makes = f"mkdir -p {VALUE}; echo [1] > {VALUE}/plan.json"
    options = ("--manager-expected-artifact", f"{VALUE}/plan.json", "--manager-secret", "TOKEN")
    assert orchestrate("out", *PASSING, *stages(makes), *options, cwd=tmp_path, env=NOW).code == 0
    (tmp_path / "out" / "orchestrator_run_report.json").unlink()
    explained = orchestrate("explain", "out", cwd=tmp_path, env=env)
    assert explained.code == 0
    assert ("and the expected artifacts are there" in explained.stdout) is (env == NOW)
    resumed = orchestrate("out", "--resume", cwd=tmp_path, env=env)
    assert resumed.code == {"": 2, VALUE: 0, OTHER: 1}[env.get("TOKEN", "")]


def told_of_executor(tmp_path: Path, *given: str, env: dict[str, str]) -> list[str]:
    """Return the message of a resume about the settings of an executor that has failed once."""
    orchestrate("./out", "--resume", *given, cwd=tmp_path, env=env)
    said = "stage 'executor' runs with other settings than before: "
    warnings = report_of(tmp_path / "out")["warnings"]
    return [one.removeprefix(said) for one in warnings if one.startswith(said)]


def test_attempts_are_compared_by_value_where_they_look_alike(tmp_path: Path) -> None:
    """Another secret in the same place is another argument, although both are shown masked."""
    env = {"TOKEN": VALUE, "OTHER_ONE": OTHER}
    declared = ("--executor-secret", "TOKEN", "--executor-secret", "OTHER_ONE")
    words = ("--executor-bin", "/bin/false", "--executor-arg")
    first = (*words, f"--key={VALUE}", *declared)
    assert orchestrate("./out", *PASSING, *first, cwd=tmp_path, env=env).code == 1
    assert told_of_executor(tmp_path, env=env) == []
    second = (*words, f"--key={OTHER}", *declared)
    assert told_of_executor(tmp_path, *second, env=env) == [
        "args: not what attempt 2 had, in a part that is not shown"
    ]
    assert told_of_executor(tmp_path, env=env) == []


def test_attempts_are_compared_by_value_where_they_look_different(tmp_path: Path) -> None:
    """An argument stays the same when its content becomes a secret, or becomes known."""
    words = ("--executor-bin", "/bin/false", "--executor-arg", f"--key={VALUE}")
    assert orchestrate("./out", *PASSING, *words, cwd=tmp_path).code == 1
    declared = ("--executor-secret", "TOKEN")
    assert told_of_executor(tmp_path, *declared, env=NOW) == [
        "environment: attempt 1 had no TOKEN, which is set now"
    ]
    assert told_of_executor(tmp_path, *words, env={}) == [
        "environment: attempt 2 had TOKEN, which is not set now"
    ]
    assert VALUE in (tmp_path / "out" / "orchestrator_checkpoint.json").read_text()
