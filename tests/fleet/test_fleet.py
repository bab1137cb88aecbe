"""`fleet`: many runs of one file, some at a time, each as durable and contained as alone."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import tomli_w

from fsm_orchestrator.fleet.crew import _BOOT
from fsm_orchestrator.fleet.definition import read_fleet
from tests.support.command import checkpoint_of, orchestrate, report_of, start
from tests.support.patience import PATIENCE_SECONDS, wait_until

pytestmark = pytest.mark.one_in(2)

HEAD = """
[defaults]
gates = { policy = "allow", ci = "success", review = "approved" }
[defaults.stage.manager]
bin = "true"
[defaults.stage.executor]
bin = "true"
"""
REFUSED = 'gates = { policy = "deny" }\n'
BROKEN = 'stage.executor.bin = "false"\n'


def fleet_file(folder: Path, *runs: str, head: str = HEAD) -> Path:
    """Write the file of a fleet from each run's name and, after a line break, its keys."""
    tables = []
    for run in runs:
        name, _, more = run.partition("\n")
        tables.append(f'[[run]]\nname = "{name}"\n{more}')
    path = folder / "runs.toml"
    path.write_text(head + "\n".join(tables))
    return path


def fleet_report(folder: Path) -> dict[str, Any]:
    """Return the report of the fleet in a folder."""
    found: dict[str, Any] = json.loads((folder / "fleet" / "fleet.json").read_text())
    return found


def courses(folder: Path) -> dict[str, tuple[str, str | None, int | None]]:
    """Return course, standing and exit code of each run in the report."""
    runs = fleet_report(folder)["runs"]
    return {one["name"]: (one["course"], one["standing"], one["exit_code"]) for one in runs}


def slow_until(there: Path) -> str:
    """Return a stage that takes a minute unless a path exists."""
    script = f"test -e {there} || sleep 60"
    return f'stage.executor = {{ bin = "/bin/sh", args = ["-c", "{script}"] }}'


def test_records_of_a_fleet_are_proved_by_a_shared_key(tmp_path: Path) -> None:
    """Another machine with the key continues the runs, and notices changes in their records."""
    shared = ("--state-key-file", "key")
    fleet_file(tmp_path, f"one\n{BROKEN}", f"two\n{BROKEN}")
    ended = orchestrate("fleet", "runs.toml", *shared, cwd=tmp_path)
    assert (ended.code, "the state key file" in ended.stderr) == (2, True)
    assert not (tmp_path / "fleet").exists()
    (tmp_path / "key").write_bytes(os.urandom(32))
    (tmp_path / "key").chmod(0o600)
    ended = orchestrate("fleet", "runs.toml", *shared, cwd=tmp_path)
    assert (ended.code, "--state-key-file key --retry-failed" in ended.stdout) == (1, True), ended
    checkpoint = tmp_path / "fleet" / "two" / "orchestrator_checkpoint.json"
    checkpoint.write_bytes(checkpoint.read_bytes().replace(b'"false"', b'"fblse"'))
    env = {"XDG_STATE_HOME": str(tmp_path / "another")}
    again = ("fleet", "runs.toml", *shared, "--retry-failed")
    assert orchestrate(*again, cwd=tmp_path, env=env).code == 1
    assert report_of(tmp_path / "fleet" / "one")["warnings"] == []
    (problem,) = report_of(tmp_path / "fleet" / "two")["stage_executions"]
    assert (problem["command"], "was changed" in problem["error"]) == ("record.verify", True)


def code_of(working: subprocess.Popen[str]) -> int:
    """Wait for a started command, and return its exit code."""
    working.communicate(timeout=PATIENCE_SECONDS)
    return working.returncode


def test_each_run_ends_as_it_would_alone(tmp_path: Path) -> None:
    """Each run has its report in its own directory, and the fleet one of all and the worst code."""
    fleet_file(tmp_path, "good", f"broken\n{BROKEN}", f"refused\n{REFUSED}")
    ended = orchestrate("fleet", "runs.toml", "-j", "2", cwd=tmp_path)
    assert ended.code == 1
    assert courses(tmp_path) == {
        "good": ("ran", "done", 0),
        "broken": ("ran", "failed", 1),
        "refused": ("ran", "blocked", 3),
    }
    assert report_of(tmp_path / "fleet" / "good")["closure_ready"]
    assert "broken: failed: executor: exited with code 1" in ended.stdout
    assert "fsm-orchestrator fleet runs.toml --retry-failed" in ended.stdout
    report = fleet_report(tmp_path)
    assert report["exit_code"] == 1
    assert all(one["started_at"] <= one["finished_at"] for one in report["runs"])

    # Started again: done runs are skipped, and runs with another end are left unchanged.
    again = orchestrate("fleet", "runs.toml", cwd=tmp_path)
    assert again.code == 1
    assert courses(tmp_path) == {
        "good": ("skipped", "done", 0),
        "broken": ("left", "failed", 1),
        "refused": ("left", "blocked", 3),
    }

    # Their causes are gone: each is resumed on request.
    fleet_file(tmp_path, "good", "broken", "refused")
    assert orchestrate("fleet", "runs.toml", "--retry-failed", cwd=tmp_path).code == 3
    assert courses(tmp_path)["broken"] == ("resumed", "done", 0)
    assert orchestrate("fleet", "runs.toml", "--retry-blocked", cwd=tmp_path).code == 0
    assert courses(tmp_path)["refused"] == ("resumed", "done", 0)
    assert orchestrate("fleet", "runs.toml", "--quiet", cwd=tmp_path).stdout == ""


def test_definition_of_a_run_that_is_done_may_not_change(tmp_path: Path) -> None:
    """A changed definition of a done run is named, and nothing is started."""
    fleet_file(tmp_path, "a", "b")
    assert orchestrate("fleet", "runs.toml", cwd=tmp_path).code == 0
    before = (tmp_path / "fleet" / "fleet.json").read_bytes()
    fleet_file(tmp_path, f"a\n{BROKEN}", "b", "c")
    refused = orchestrate("fleet", "runs.toml", cwd=tmp_path)
    assert (refused.code, refused.stdout) == (2, "")
    assert "would have another definition now: a" in refused.stderr
    assert not (tmp_path / "fleet" / "c").exists()
    assert (tmp_path / "fleet" / "fleet.json").read_bytes() == before


def test_stage_of_an_interrupted_run_may_not_change(tmp_path: Path) -> None:
    """The run is refused as by hand, the others continue, and the report says why."""
    fleet_file(tmp_path, f"a\n{BROKEN}", "b")
    assert orchestrate("fleet", "runs.toml", cwd=tmp_path).code == 1
    fleet_file(tmp_path, 'a\nstage.manager.args = ["other"]', "b", "c")
    assert orchestrate("fleet", "runs.toml", "--retry-failed", cwd=tmp_path).code == 1
    assert courses(tmp_path)["a"] == ("refused", None, 2)
    assert courses(tmp_path)["c"] == ("ran", "done", 0)
    (reason,) = [one["reason"] for one in fleet_report(tmp_path)["runs"] if one["name"] == "a"]
    assert "manager" in reason


def test_lines_of_json_are_runs(tmp_path: Path) -> None:
    """A line's defaults are for the lines after it; a run has its differences, table by table."""
    told = [
        {"defaults": {"gates": {"policy": "allow", "ci": "success", "review": "approved"}}},
        {"name": "x", "stage": {"manager": {"bin": "true"}, "executor": {"bin": "true"}}},
    ]
    (tmp_path / "runs.jsonl").write_text("".join(f"{json.dumps(one)}\n" for one in told))
    ended = orchestrate("fleet", "runs.jsonl", "--dir", "many", "--json", cwd=tmp_path)
    assert ended.code == 0, ended.stderr
    assert json.loads(ended.stdout)["runs"][0]["standing"] == "done"
    assert report_of(tmp_path / "many" / "x")["terminal_state"] == "done"


def test_paths_are_relative_to_the_file(tmp_path: Path) -> None:
    """Paths are relative to the file, wherever the fleet is started and its runs are."""
    (tmp_path / "project").mkdir()
    (tmp_path / "project" / "work.sh").write_text("#!/bin/sh\npwd > here\n")
    (tmp_path / "project" / "work.sh").chmod(0o755)
    fleet_file(tmp_path / "project", 'a\nstage.executor = { bin = "./work.sh", cwd = "." }')
    ended = orchestrate("fleet", "project/runs.toml", cwd=tmp_path)
    assert ended.code == 0, ended.stdout
    assert (tmp_path / "project" / "here").read_text() == f"{tmp_path}/project\n"
    by_hand = ("run", "again", "--config", "fleet/.fleet/a.toml")
    assert orchestrate(*by_hand, cwd=tmp_path).code == 0


WRONG = {
    "no runs": ("", "there is no run in it"),
    "no TOML": ("[[run]\n", "runs.toml:"),
    "unknown key": ("[default]\n", "unknown key 'default'; did you mean 'defaults'?"),
    "no name": ("[[run]]\n", "run 1: key 'name' is missing"),
    "a path for a name": ('[[run]]\nname = "../x"\n', "key 'name' is '../x'"),
    "two of a name": ('[[run]]\nname = "a"\n[[run]]\nname = "A"\n', "two runs are called 'a'"),
    "unknown key of a run": ('[[run]]\nname = "a"\nbin = "x"\n', "(a): unknown key 'bin'"),
    "wrong setting": (
        '[[run]]\nname = "a"\nstage.x.timeout = "5x"\n',
        "(a): key 'stage.x.timeout': '5x' is no duration",
    ),
    "resume": ('[[run]]\nname = "a"\nresume = true\n', "(a): key 'resume': a fleet resumes"),
    "priority": ('[[run]]\nname = "a"\npriority = "high"\n', "(a): key 'priority' is 'high'"),
    "no budget": ('[[run]]\nname = "a"\nbudget = 1.5\n', "(a): key 'budget'"),
    "a budget that is none": (
        '[[run]]\nname = "a"\nbudget = { usd = nan }\n',
        "(a): key 'budget.usd'",
    ),
    "no JSON": ("{\n", "runs.toml:1: no JSON"),
}


@pytest.mark.parametrize(("text", "said"), WRONG.values(), ids=WRONG.keys())
def test_what_is_wrong_in_the_file_is_said(tmp_path: Path, text: str, said: str) -> None:
    """An error in the file is reported with its place, and nothing is made."""
    (tmp_path / "runs.toml").write_text(text)
    refused = orchestrate("fleet", "runs.toml", cwd=tmp_path)
    assert (refused.code, refused.stdout) == (2, "")
    assert said in refused.stderr
    assert not (tmp_path / "fleet").exists()


def test_only_what_is_asked_for(tmp_path: Path) -> None:
    """Other runs are in the report without counting, and an unknown name is refused."""
    fleet_file(tmp_path, "a", "b", f"c\n{BROKEN}")
    assert orchestrate("fleet", "runs.toml", "--only", "a", "--only", "b", cwd=tmp_path).code == 0
    assert courses(tmp_path)["c"] == ("not_started", None, None)
    refused = orchestrate("fleet", "runs.toml", "--only", "aa", cwd=tmp_path)
    assert refused.code == 2
    assert "did you mean 'a'?" in refused.stderr


@pytest.mark.parametrize(("option", "begun"), [(("--fail-fast",), 1), (("--max-failures", "2"), 2)])
def test_no_more_are_begun_after_failures(
    tmp_path: Path, option: tuple[str, ...], begun: int
) -> None:
    """Runs with more priority come first, and the report says why others did not begin."""
    runs = [f"r{number}\npriority = {number}\n{BROKEN}" for number in range(4)]
    fleet_file(tmp_path, *runs)
    assert orchestrate("fleet", "runs.toml", "-j", "1", *option, cwd=tmp_path).code == 1
    found = courses(tmp_path)
    ran = [name for name, one in found.items() if one[0] == "ran"]
    assert ran == [f"r{number}" for number in range(4 - begun, 4)]
    assert {one[0] for one in found.values()} == {"ran", "not_started"}


def test_runs_of_one_key_are_never_at_work_at_once(tmp_path: Path) -> None:
    """The stages prove it by a directory that only one of them can make."""
    script = tmp_path / "alone.sh"
    script.write_text("#!/bin/sh\nmkdir lock && sleep 0.1 && rmdir lock\n")
    script.chmod(0o755)
    stage = 'stage.executor = { bin = "./alone.sh", cwd = "." }\nconcurrency_key = "db"\n'
    fleet_file(tmp_path, *(f"r{number}\n{stage}" for number in range(4)), "other")
    ended = orchestrate("fleet", "runs.toml", "-j", "3", cwd=tmp_path)
    assert ended.code == 0, ended.stdout


def test_another_fleet_is_kept_away(tmp_path: Path) -> None:
    """A second fleet ends with 75, and changes nothing."""
    fleet_file(tmp_path, 'a\nstage.executor = { bin = "sleep", args = ["60"] }')
    working = start("fleet", "runs.toml", cwd=tmp_path)
    try:
        wait_until((tmp_path / "fleet" / "a" / "logs").exists)
        assert orchestrate("fleet", "runs.toml", cwd=tmp_path).code == 75
    finally:
        working.send_signal(signal.SIGINT)
        assert code_of(working) == 130
    assert courses(tmp_path)["a"] == ("ran", "failed", 130)
    assert report_of(tmp_path / "fleet" / "a")["exit_code"] == 130


def test_interrupted_fleet_goes_on(tmp_path: Path) -> None:
    """Ctrl-C ends the runs at work and begins no more; the next start resumes and finishes."""
    slow = slow_until(tmp_path / "go")
    fleet_file(tmp_path, f"a\n{slow}", "b")
    working = start("fleet", "runs.toml", "-j", "1", cwd=tmp_path)
    wait_until(lambda: list((tmp_path / "fleet" / "a").glob("logs/executor*")))
    working.send_signal(signal.SIGINT)
    assert code_of(working) == 130
    assert courses(tmp_path)["b"] == ("not_started", None, None)
    (tmp_path / "go").touch()
    assert orchestrate("fleet", "runs.toml", cwd=tmp_path).code == 0
    assert courses(tmp_path) == {"a": ("resumed", "done", 0), "b": ("ran", "done", 0)}


def workers_of(pid: int) -> Iterator[int]:
    """Yield the children of a process."""
    yield from map(int, Path(f"/proc/{pid}/task/{pid}/children").read_text().split())


def test_worker_loads_no_more_than_a_command_does() -> None:
    """A worker's process does not load screen libraries either."""
    idle = "from fsm_orchestrator.fleet import worker; worker.main = lambda: None"
    asked = f"{idle}; {_BOOT}; import structlog, sys; print(sys.modules['rich'])"
    words = [sys.executable, "-P", "-c", asked]
    done = subprocess.run(words, stdin=subprocess.DEVNULL, capture_output=True, check=True)
    assert done.stdout == b"None\n"


def test_worker_that_is_killed_touches_one_run(tmp_path: Path) -> None:
    """The run of a killed worker is resumed by another one, and other runs are not affected."""
    slow = slow_until(tmp_path / "go")
    fleet_file(tmp_path, f"a\n{slow}", "b", "c")
    working = start("fleet", "runs.toml", "-j", "1", cwd=tmp_path)
    wait_until(lambda: list((tmp_path / "fleet" / "a").glob("logs/executor*")))
    (tmp_path / "go").touch()
    (worker,) = workers_of(working.pid)
    os.kill(worker, signal.SIGKILL)
    assert code_of(working) == 0
    assert {one[1] for one in courses(tmp_path).values()} == {"done"}
    assert courses(tmp_path)["a"][0] == "resumed"


def test_run_that_is_stopped_is_one_run(tmp_path: Path) -> None:
    """The other runs of the fleet are done all the same, and the worker ends silently."""
    fleet_file(tmp_path, f"a\n{slow_until(tmp_path / 'go')}", "b", "c")
    working = start("fleet", "runs.toml", "-j", "1", cwd=tmp_path)
    wait_until(lambda: list((tmp_path / "fleet" / "a").glob("logs/executor*")))
    assert orchestrate("stop", "fleet/a", cwd=tmp_path).code == 0
    _, told = working.communicate(timeout=PATIENCE_SECONDS)
    assert working.returncode == 1
    stood = {name: one[1] for name, one in courses(tmp_path).items()}
    assert stood == {"a": "failed", "b": "done", "c": "done"}
    assert "Fatal Python error" not in told
    assert "Traceback" not in told


def completed_twice(output: Path) -> list[str]:
    """Return the stages that succeeded more than once in a run's record."""
    record = checkpoint_of(output)
    succeeded = [
        one["stage"]
        for visit in record["invocations"]
        for one in visit["stage_executions"]
        if one["status"] == "success"
    ]
    return [stage for stage in set(succeeded) if succeeded.count(stage) > 1]


def test_fleet_that_is_killed_thrice_does_each_run_once(tmp_path: Path) -> None:
    """A fleet is killed three times, once with its workers, and its last report is true."""
    count, jobs = (500, "2") if "SOAK" in os.environ else (16, "2")
    stages = "\n".join(
        f'stage.{name} = {{ bin = "/bin/sh", args = ["-c", "sleep 0.05"] }}'
        for name in ("manager", "executor")
    )
    fleet_file(tmp_path, *(f"r{number}\n{stages}" for number in range(count)))
    reports = tmp_path / "fleet"
    for kill in range(3):
        working = start("fleet", "runs.toml", "-j", jobs, cwd=tmp_path)
        due = count // 4 * (kill + 1)
        wait_until(lambda: len([*reports.glob("r*/orchestrator_run_report.json")]) >= due)  # noqa: B023
        workers = [*workers_of(working.pid)]
        working.kill()
        if kill == 1:  # once all together; else the workers notice on their own
            for worker in workers:
                os.kill(worker, signal.SIGKILL)
        code_of(working)
    ended = orchestrate("fleet", "runs.toml", "-j", jobs, cwd=tmp_path, timeout=600)
    assert ended.code == 0, ended.stdout + ended.stderr
    found = courses(tmp_path)
    assert len(found) == count
    assert {one[1:] for one in found.values()} == {("done", 0)}
    for number in range(count):
        output = tmp_path / "fleet" / f"r{number}"
        assert report_of(output)["closure_ready"]
        assert completed_twice(output) == []


def test_times_and_budgets_are_those_of_each_run(tmp_path: Path) -> None:
    """Each run has its own budget; one that has spent it is resumed when it gets more."""
    script = """echo '{"unit": "usd", "amount": 1}' >> $ORCHESTRATOR_METER"""
    (tmp_path / "spend.sh").write_text(f"#!/bin/sh\n{script}\n")
    (tmp_path / "spend.sh").chmod(0o755)
    spends = 'stage.executor = { bin = "./spend.sh" }\nbudget = { usd = AMOUNT }'
    little, enough = (spends.replace("AMOUNT", amount) for amount in ("0.5", "1"))
    slow = f'{slow_until(tmp_path / "go")}\nrun_timeout = "3s"'
    fleet_file(tmp_path, f"little\n{little}", f"enough\n{enough}", f"slow\n{slow}")
    assert orchestrate("fleet", "runs.toml", "-j", "3", cwd=tmp_path).code == 1
    assert courses(tmp_path) == {
        "little": ("ran", "failed", 1),
        "enough": ("ran", "done", 0),
        "slow": ("ran", "timeout", 124),
    }
    (tmp_path / "go").touch()
    more, slow = little.replace("0.5", "2"), slow.replace('"3s"', '"1h"')
    fleet_file(tmp_path, f"little\n{more}", f"enough\n{enough}", f"slow\n{slow}")
    again = orchestrate("fleet", "runs.toml", "--retry-failed", cwd=tmp_path)
    assert again.code == 0, again.stdout
    assert {one[0] for one in courses(tmp_path).values()} == {"resumed", "skipped"}
    spent = report_of(tmp_path / "fleet" / "little")["budget"]["units"]
    assert [one["spent"] for one in spent] == ["2"]


AMOUNT = "0.12345678901234567891"


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("runs.toml", f'[defaults.budget]\nusd = {AMOUNT}\n[[run]]\nname = "a"\n'),
        ("runs.toml", f'[[run]]\nname = "a"\nbudget = {{ usd = {AMOUNT} }}\n'),
        ("runs.jsonl", f'{{"name": "a", "budget": {{"usd": {AMOUNT}}}}}\n'),
        ("runs.jsonl", f'{{"defaults": {{"budget": {{"usd": {AMOUNT}}}}}}}\n{{"name": "a"}}\n'),
    ],
)
def test_budget_is_the_decimal_that_is_written(tmp_path: Path, name: str, text: str) -> None:
    """A decimal budget is kept exactly, also in the config file of the run."""
    (tmp_path / name).write_text(text)
    (run,) = read_fleet(str(tmp_path / name)).runs
    assert run.config.budget == {"usd": AMOUNT}
    assert f"usd = {AMOUNT}" in tomli_w.dumps(dict(run.table))
