"""Several terms on one stage: each of them counts."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from fsm_orchestrator.processes import landlock, seccomp
from tests.command.budget_cases import spend, spent
from tests.command.contract_cases import DONE, GATES, broken, config, contract, executed, writes
from tests.command.test_finally import NOTE, TIDY, tidied
from tests.command.test_tampering import ONCE
from tests.support.command import (
    PASSING,
    REPORT,
    checkpoint_of,
    orchestrate,
    report_of,
    shell,
    statuses,
)

CONFINED = pytest.mark.skipif(
    landlock.version() < landlock.ABI_SCOPES or not seccomp.is_supported(),
    reason="this kernel's Landlock does not hold all that is promised",
)
CHECKED_RUN = Path(__file__).parents[2] / "states" / "checked_run.toml"
IS_DONE = '[{ at = "/final_state", equals = "Done" }]'


# -- Contracts of a confined stage -------------------------------------------------------------


@CONFINED
def test_places_of_contracts_are_all_that_a_confined_stage_may_write(tmp_path: Path) -> None:
    """They are a file's directory, a directory itself, and the fixed part of a glob's path."""
    terms = (
        contract("made/report.json", asserts=IS_DONE),
        contract("whole/"),
        contract("found/*/part-?.txt"),
        contract("out/executor/own.txt"),
    )
    script = (
        f"{writes(DONE, 'made/report.json')}mkdir -p whole/deep found/a\n"
        "echo x > whole/deep/x && echo x > found/a/part-1.txt && echo x > out/executor/own.txt"
        " && ! touch beside && ! touch out/beside"
    )
    config(tmp_path, "".join(terms), script, 'confine = { connect = "none" }')
    execution = executed(tmp_path, code=0)
    assert [one.get("files") for one in execution["artifacts"]] == [None, 1, 1, None]
    places = {str(tmp_path / one) for one in ("made", "whole", "found", "out/executor")}
    assert places <= {*execution["confinement"]["write"]}


@CONFINED
@pytest.mark.parametrize("path", ["out/x.json", "out/*.json", "out/*/x.json", "out/logs/", "./"])
def test_contract_that_would_open_the_record_is_refused(tmp_path: Path, path: str) -> None:
    """The contract is refused like such an expected artifact, and nothing is made."""
    config(tmp_path, contract(path), settings='confine = { connect = "none" }')
    ended = orchestrate("run", "./out", "--config", "run.toml", cwd=tmp_path)
    assert (ended.code, (tmp_path / "out").exists()) == (2, False)
    assert "the directory of its expected artifacts" in ended.stderr


# -- Contracts, verification and budget of a member of a group ---------------------------------


def _group(folder: Path, *, lint: str = "", state: str = "Done", scan: str = "0.4") -> int:
    """Run three stages at once that each have a term to meet; return the exit code."""
    gates = GATES.replace('skip_stages = ["manager"]\n', "")
    document = json.dumps({"final_state": state})
    scripts = {"lint": f"echo '{document}' > report.json", "scan": spend(scan)}
    for name, script in (*scripts.items(), ("unit_tests", spend("0.5"))):
        (folder / f"{name}.sh").write_text(f"{script}\n")
    terms = {
        "executor": "",
        "lint": f'artifact = [{{ path = "report.json", assert = {IS_DONE} }}]\n{lint}',
        "unit_tests": 'verify = [["test", "-e", "good"]]',
        "scan": 'on_unmetered = "fail"',
    }
    (folder / "executor.sh").write_text("exit 0\n")
    tables = (
        f'[stage.{name}]\nbin = "/bin/sh"\nargs = ["{name}.sh"]\n{more}\n'
        for name, more in terms.items()
    )
    (folder / "run.toml").write_text(f"{gates}[budget]\nusd = 1\n{''.join(tables)}")
    patient = CHECKED_RUN.read_text().replace('"group"\n', '"group"\nfail_fast = false\n')
    (folder / "patient.toml").write_text(patient)
    options = ("--config", "run.toml", "--lifecycle", "./patient.toml")
    return orchestrate("run", "./out", *options, cwd=folder).code


def _ended(folder: Path) -> dict[str, str | None]:
    executions = report_of(folder / "out")["stage_executions"]
    return {one["stage"]: one["ending"] for one in executions}


def test_members_of_a_group_that_meet_their_terms(tmp_path: Path) -> None:
    """The amounts that they spend at once are added up."""
    (tmp_path / "good").touch()
    assert _group(tmp_path) == 0
    assert report_of(tmp_path / "out")["closure_ready"]
    assert spent(tmp_path) == {"usd": ("0.9", "1", {"unit_tests": "0.5", "scan": "0.4"})}


@pytest.mark.parametrize(
    ("given", "stage", "ending"),
    [
        ({"state": "Blocked"}, "lint", "contract_violated"),
        ({"scan": "0.6"}, None, "budget_exhausted"),
        ({"scan": "-1"}, "scan", "budget_exhausted"),
        ({}, "unit_tests", "verification_failed"),
    ],
    ids=["contract", "budget", "meter", "verification"],
)
def test_member_of_a_group_that_does_not_ends_the_run(
    tmp_path: Path, given: dict[str, Any], stage: str | None, ending: str
) -> None:
    """The member exited with 0 and still fails the run; the other members are complete."""
    is_verified = ending != "verification_failed"
    if is_verified:
        (tmp_path / "good").touch()
    assert _group(tmp_path, **given) == 1
    report = report_of(tmp_path / "out")
    assert (report["terminal_state"], report["closure_ready"]) == ("failed", False)
    found = _ended(tmp_path)
    assert ending in (found.values() if stage is None else {found[stage]})
    assert {*found.values()} <= {"exited", ending}
    if not is_verified:
        (tmp_path / "good").touch()
        again = orchestrate("./out", "--resume", "--reverify", cwd=tmp_path)
        assert again.code == 0, again.stderr
        assert spent(tmp_path)["usd"][0] == "0.9"  # the amount of the first time, and no more


# -- Verified again under other contracts ------------------------------------------------------


def test_work_is_not_verified_again_under_other_contracts(tmp_path: Path) -> None:
    """The message names the earlier contracts of the work and the present ones, both in full."""
    settings = 'verify = [["test", "-e", "ok"]]'
    config(tmp_path, contract(asserts=IS_DONE), writes(DONE), settings)
    assert executed(tmp_path)["ending"] == "verification_failed"
    (tmp_path / "ok").touch()
    config(tmp_path, contract(asserts='[{ at = "/tests", at_least = 13 }]'), writes(DONE), settings)
    given = ("--resume", "--config", "run.toml")
    refused = orchestrate("./out", *given, "--reverify", cwd=tmp_path)
    assert (refused.code, "now " in refused.stderr) == (2, True)
    assert "/tests at_least 13" in refused.stderr
    # A stage that runs again is checked against the present contract.
    assert orchestrate("./out", *given, cwd=tmp_path).code == 1
    last = report_of(tmp_path / "out")["stage_executions"][-1]
    assert last["ending"] == "contract_violated"
    assert broken(last) == [("report.json", "/tests", "at least 13", "12")]


# -- The stage that always runs, after a failure of the run itself -----------------------------


@pytest.mark.parametrize(
    ("executor", "more", "code", "outcome", "cause"),
    [
        ("exec sleep 60", ("--run-timeout", "3s"), 124, "timeout", "attempt 1 of executor"),
        (spend("2"), ("--budget", "usd=1"), 1, "failed", "attempt 1 of executor: spent 2 usd"),
        (f"{ONCE}rm out/{REPORT}", (), 1, "failed", "report.json was removed or moved"),
    ],
    ids=["run timeout", "budget", "tampering"],
)
def test_cleanup_runs_after_an_end_of_the_run_itself(
    tmp_path: Path, executor: str, more: tuple[str, ...], code: int, outcome: str, cause: str
) -> None:
    """The cleanup gets the cause and its own time, and does not change the outcome."""
    (tmp_path / "tidy.toml").write_text(TIDY)
    told = (*shell("manager", "true"), *shell("executor", executor))
    given = ("./out", "--lifecycle", "./tidy.toml", *PASSING, *told, *more)
    ended = orchestrate(*given, *shell("cleanup", f"{NOTE} sleep 0.2"), cwd=tmp_path)
    report = report_of(tmp_path / "out")
    assert (ended.code, report["terminal_state"]) == (code, outcome), ended.stdout
    assert not report["closure_ready"]
    ((said, why),) = tidied(tmp_path)
    assert (said, cause in why) == (outcome, True), why
    assert statuses(report)[-1] == ("cleanup", "success")


def test_cleanup_that_changes_the_record_fails_a_run_that_had_failed_for_that(
    tmp_path: Path,
) -> None:
    """Each failure is named; the run has ended, and a resume continues from its record."""
    (tmp_path / "tidy.toml").write_text(TIDY)
    script = f"{ONCE}rm out/{REPORT}"
    told = (*shell("manager", "true"), *shell("executor", script), *shell("cleanup", script))
    given = ("./out", "--lifecycle", "./tidy.toml", *PASSING, *told)
    assert orchestrate(*given, cwd=tmp_path).code == 1
    report = report_of(tmp_path / "out")
    assert (report["terminal_state"], report["closure_ready"]) == ("failed", False)
    assert [one for one in statuses(report) if one[0] != "manager"] == [
        ("executor", "success"),
        ("control", "failed"),
        ("cleanup", "success"),
        ("control", "failed"),
    ]
    assert checkpoint_of(tmp_path / "out")["open_attempts"] == []
    resumed = orchestrate("./out", "--resume", cwd=tmp_path)
    assert resumed.code == 0, resumed.stderr
    assert report_of(tmp_path / "out")["closure_ready"]


# -- Times and verification --------------------------------------------------------------------


def test_time_of_the_whole_run_has_that_of_its_verifications_in_it(tmp_path: Path) -> None:
    """Time spent on verification counts; with none left, nothing is verified again."""
    config(tmp_path, "", "exit 0", 'verify = [["sh", "-c", "sleep 0.4; exit 1"]]')
    executed(tmp_path, "--total-timeout", "1h")
    worked_ms = report_of(tmp_path / "out")["budget"]["worked_ms"]
    assert worked_ms >= 400
    again = ("./out", "--resume", "--reverify", "--total-timeout")
    assert orchestrate(*again, f"{worked_ms}ms", cwd=tmp_path).code == 124
    last = report_of(tmp_path / "out")["stage_executions"][-1]
    assert last["command"] == "run.timeout"
    more = (*again, "1h", "--executor-verify", "true")
    ended = orchestrate(*more, cwd=tmp_path)
    assert ended.code == 0, ended.stderr
    used = [one["used"]["worked_ms"] for one in checkpoint_of(tmp_path / "out")["invocations"]]
    assert report_of(tmp_path / "out")["budget"]["worked_ms"] == sum(used)
