"""Budgets of metered units: watched while a stage runs, and summed over everything that ran."""

from __future__ import annotations

import os
import re
import signal
from pathlib import Path

import pytest

from fsm_orchestrator.processes import landlock, seccomp
from tests.command.budget_cases import last_execution, spend, spent, stopped_by
from tests.command.stage_cases import executable, log_of, run
from tests.support.command import (
    CHECKPOINT,
    EVENTS,
    ORCHESTRATOR_PID,
    PASSING,
    checkpoint_of,
    events_of,
    orchestrate,
    report_of,
    shell,
    stages,
    start,
    statuses,
)
from tests.support.patience import PATIENCE_SECONDS, wait_until
from tests.support.screen import Terminal

pytestmark = pytest.mark.one_in(2)

FAILED, USAGE = 1, 2
LONG = "sleep 100 & wait"


def test_stage_that_exceeds_it_is_asked_to_end_and_then_killed(tmp_path: Path) -> None:
    """The stage gets SIGTERM, its grace and SIGKILL; what it spends in that time counts too."""
    late = (
        f"late() {{ {spend('0.25')}; : > asked; }}; trap late TERM; {spend('0.8')};"
        f" while :; do {LONG}; done"
    )
    options = ("--budget", "usd=1", "--budget", "tokens=5", "--executor-kill-grace", "300ms")
    assert run(tmp_path, *stages(spend("0.4"), late), *options).code == FAILED
    assert (tmp_path / "asked").exists()
    execution = last_execution(tmp_path)
    assert (execution["ending"], execution["status"]) == ("budget_exhausted", "failed")
    assert execution["exit_code"] is execution["signal"] is None
    assert stopped_by(tmp_path) == {"kind": "unit", "unit": "usd", "spent": "1.45", "allowed": "1"}
    said = "spent 1.45 usd, more than the budget of 1 usd"
    assert execution["error"] == said
    by_stage = {"manager": "0.4", "executor": "1.05"}
    assert spent(tmp_path) == {"usd": ("1.45", "1", by_stage), "tokens": ("0", "5", {})}
    report = report_of(tmp_path / "out")
    assert (report["terminal_state"], report["current_state"]) == ("failed", "failed")
    assert said in orchestrate("explain", "./out", cwd=tmp_path).stdout


def test_stage_that_has_ended_by_then_has_not_succeeded(tmp_path: Path) -> None:
    """The meter is read to its end first, with a last line that has no newline."""
    script = f'{spend("0.9")}; printf \'{{"unit": "usd", "amount": 0.2}}\' >> '
    assert run(tmp_path, *stages(f"{script}$ORCHESTRATOR_METER"), "--budget", "usd=1").code == 1
    execution = last_execution(tmp_path)
    assert (execution["ending"], execution["exit_code"]) == ("budget_exhausted", 0)
    assert stopped_by(tmp_path)["spent"] == "1.1"
    assert statuses(report_of(tmp_path / "out")) == [("manager", "failed")]


def test_all_of_it_may_be_spent_and_then_nothing_is_started(tmp_path: Path) -> None:
    """The next stage is refused without a process, also by a resume, until the budget is raised."""
    options = (*stages(spend("5.00"), "echo ran"), "--budget", "usd=5")
    assert run(tmp_path, *options).code == FAILED
    out, left = tmp_path / "out", "no budget is left: 5 of 5 usd are spent"
    for number in (1, 2):
        entry = last_execution(tmp_path)
        assert (entry["command"], entry["attempt"]) == ("budget.verify", 0)
        assert (entry["ending"], entry["status"]) == ("budget_exhausted", "failed")
        assert entry["error"] == left
        assert report_of(out)["transitions"][-1]["trigger"] == "run_aborted"
        assert report_of(out)["terminal_state"] == "failed"
        assert not (out / "logs" / "executor.1.stdout.log").exists()
        explained = orchestrate("explain", "./out", cwd=tmp_path).stdout
        assert left in explained
        assert "who   the person who sets the budget of the run" in explained
        assert "next  fsm-orchestrator ./out --resume --budget usd=10" in explained
        planned = orchestrate("plan", "./out", "--resume", cwd=tmp_path)
        assert left in planned.stdout
        if number == 1:
            assert orchestrate("out", "--resume", cwd=tmp_path).code == FAILED
    assert [one["event"] for one in events_of(out)].count("budget.spent") == 2
    assert orchestrate("out", "--resume", "--budget", "usd=5.5", cwd=tmp_path).code == 0
    assert log_of(tmp_path, "executor") == b"ran\n"
    assert spent(tmp_path) == {"usd": ("5", "5.5", {"manager": "5"})}
    assert "the budget of usd is 5.5 from now on, and was 5" in report_of(out)["warnings"]
    origin = checkpoint_of(out)["origins"]["by_setting"]["budget.usd"]
    assert origin == {"source": "flag", "invocation": 3}


def test_attempts_and_resumes_add_up(tmp_path: Path) -> None:
    """A second retry that has no budget left is not made."""
    retries = ("--manager-max-attempts", "5", "--manager-retry-exit-code", "75")
    script = f"{spend('2')}; exit 75"
    options = (*retries, "--manager-backoff-wait", "1ms", "--budget", "usd=4")
    assert run(tmp_path, *stages(script), *options).code == FAILED
    report = report_of(tmp_path / "out")
    assert statuses(report) == [("manager", "failed"), ("manager", "failed"), ("budget", "failed")]
    assert spent(tmp_path) == {"usd": ("4", "4", {"manager": "4"})}
    more = ("--resume", "--budget", "usd=4.5")
    assert orchestrate("out", *more, cwd=tmp_path).code == FAILED
    assert stopped_by(tmp_path)["spent"] == "6"
    assert last_execution(tmp_path)["attempt"] == 3


@pytest.mark.parametrize(
    ("script", "problem", "line"),
    [
        ("echo usd 1 >> $ORCHESTRATOR_METER", "not_json", 1),
        (f"{spend('1')}; {spend('-1')}", "negative", 2),
        ("rm $ORCHESTRATOR_METER", "replaced", None),
        (f"{spend('1')}; sleep 0.5; : > $ORCHESTRATOR_METER", "shrank", None),
    ],
)
def test_meter_that_cannot_be_relied_on_ends_the_stage(
    tmp_path: Path, script: str, problem: str, line: int | None
) -> None:
    """The stage is ended while it runs, whatever its result would have been."""
    assert run(tmp_path, *stages(f"{script}; {LONG}"), "--budget", "usd=100").code == FAILED
    stop = {"kind": "meter", "problem": problem, "line": line}
    assert (last_execution(tmp_path)["ending"], stopped_by(tmp_path)) == ("budget_exhausted", stop)
    explained = orchestrate("explain", "./out", cwd=tmp_path).stdout
    assert "its meter cannot be relied on" in explained
    assert "ORCHESTRATOR_METER" in explained


def test_stage_that_must_meter(tmp_path: Path) -> None:
    """A stage has a meter even in a run without a budget: its spending is shown, not limited."""
    demand = ("--manager-on-unmetered", "fail")
    assert run(tmp_path, *stages("exit 0"), *demand).code == FAILED
    assert stopped_by(tmp_path) == {"kind": "meter", "problem": "unmetered", "line": None}
    script = f"{spend('7', 'tokens')}; {spend('0.5')}"
    assert run(tmp_path, *stages(script, "test -z $ORCHESTRATOR_METER"), *demand).code == 0
    own = {"tokens": ("7", None, {"manager": "7"}), "usd": ("0.5", None, {"manager": "0.5"})}
    assert spent(tmp_path) == own
    assert "7 tokens, 0.5 usd" in orchestrate("explain", "./out", "--all", cwd=tmp_path).stdout


def test_what_was_metered_till_the_orchestrator_was_killed_counts(tmp_path: Path) -> None:
    """The next resume reads the file again; the attempt is interrupted like any other."""
    script = f"{spend('0.75')}; kill -9 {ORCHESTRATOR_PID}; {LONG}"
    options = (*stages(script), "--budget", "usd=1", "--total-timeout", "1h")
    assert run(tmp_path, *options).code == -signal.SIGKILL
    again = (*shell("manager", f"{spend('0.3')}; {LONG}"), "--budget", "usd=1")
    assert orchestrate("out", "--resume", *again, cwd=tmp_path).code == FAILED
    assert stopped_by(tmp_path) == {"kind": "unit", "unit": "usd", "spent": "1.05", "allowed": "1"}
    assert spent(tmp_path)["usd"] == ("1.05", "1", {"manager": "1.05"})
    used = checkpoint_of(tmp_path / "out")["invocations"][-1]["used"]
    assert used["unseen"] == [{"stage": "manager", "unit": "usd", "amount": "0.75"}]
    assert used["worked_ms"] > 0
    assert report_of(tmp_path / "out")["budget"]["worked_ms"] == (
        used["worked_ms"] + used["unseen_ms"]
    )


def test_torn_record_is_made_again_with_all_that_was_spent(tmp_path: Path) -> None:
    """The amounts come from the events: the same is spent, and the budget is the same."""
    options = (*stages(spend("0.5"), f"{spend('1')}; exit 1"), "--budget", "usd=9")
    assert run(tmp_path, *options).code == FAILED
    before, checkpoint = spent(tmp_path), tmp_path / "out" / CHECKPOINT
    checkpoint.write_bytes(checkpoint.read_bytes()[:2000])
    again = ("out", "--resume", *shell("executor", "exit 0"))
    refused = orchestrate(*again, cwd=tmp_path)
    (digest,) = set(re.findall(r"--accept-record ([0-9a-f]{64})", refused.stderr))
    assert orchestrate(*again, "--accept-record", digest, cwd=tmp_path).code == 0
    assert spent(tmp_path) == before == {"usd": ("1.5", "9", {"manager": "0.5", "executor": "1"})}
    assert "made again" in report_of(tmp_path / "out")["warnings"][0]


@pytest.mark.skipif(
    landlock.version() < landlock.ABI_SCOPES or not seccomp.is_supported(),
    reason="this kernel's Landlock does not hold all that is promised",
)
def test_confined_stage_may_write_its_meter_and_no_other_file_of_the_record(tmp_path: Path) -> None:
    """The stage may append to its meter and can put nothing else in its place."""
    script = (
        f"{spend('1')} && ! rm $ORCHESTRATOR_METER && ! echo x >> out/{EVENTS}"
        " && ! touch out/logs/executor.1.meter.jsonl"
    )
    options = ("--manager-connect", "none", "--budget", "usd=5")
    assert run(tmp_path, *stages(script), *options).code == 0
    assert spent(tmp_path)["usd"][0] == "1"
    meter = str(tmp_path / "out" / "logs" / "manager.1.meter.jsonl")
    report = report_of(tmp_path / "out")
    assert meter in report["stage_executions"][0]["confinement"]["write"]


def test_budget_in_a_config_file_is_exact_and_options_go_before_it(tmp_path: Path) -> None:
    """A TOML number is the decimal that it spells, and the printed config asks for the same."""
    (tmp_path / "run.toml").write_text(
        'total_timeout = "2h"\nrun_timeout = "1h"\n[gates]\npolicy = "allow"\nci = "success"\n'
        'review = "approved"\n[budget]\nusd = 0.12345678901234567891\ntokens = 2_000_000\n'
        "[stage.manager]\nbin = './spend.sh'\n"
    )
    executable(tmp_path / "spend.sh", f"#!/bin/sh\n{spend('0.1')}\n")
    given = ("--config", "run.toml", "--budget", "tokens=5")
    assert orchestrate("run", "./out", *given, cwd=tmp_path).code == 0
    budget = checkpoint_of(tmp_path / "out")["budget"]
    units = {"usd": "0.12345678901234567891", "tokens": "5"}
    assert budget == {"run_timeout_ms": 3600000, "total_timeout_ms": 7200000, "units": units}
    printed = orchestrate("run", "./out", *given, "--print-config", cwd=tmp_path).stdout
    (tmp_path / "again.toml").write_text(printed)
    again = orchestrate("run", "./two", "--config", "again.toml", cwd=tmp_path)
    assert again.code == 0, printed
    assert checkpoint_of(tmp_path / "two")["budget"] == budget
    shown = orchestrate("config", "show", "./out", cwd=tmp_path).stdout
    assert "0.12345678901234567891" in shown


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ("usd", "a budget is UNIT=AMOUNT"),
        ("usd=", "should be a decimal number"),
        ("usd=1e3", "should be a decimal number"),
        ("usd=-1", "should be a decimal number"),
        ("usd=0.00", "a budget is more than 0"),
        ("US=1", "a unit is a name"),
    ],
)
def test_budget_that_is_none_is_refused(tmp_path: Path, given: str, said: str) -> None:
    """The error names the given value, and nothing is written."""
    ended = run(tmp_path, *stages(), "--budget", given)
    assert (ended.code, (tmp_path / "out").exists()) == (USAGE, False)
    assert said in ended.stderr


def test_wrong_budgets_of_a_file_are_named_with_their_lines(tmp_path: Path) -> None:
    """All wrong budgets are reported at once; of two options for one unit neither counts."""
    (tmp_path / "run.toml").write_text(
        '[budget]\nusd = 0\ntokens = "many"\neur = 1.5\nrides = nan\nyes = true\n'
    )
    checked = orchestrate("config", "check", "run.toml", cwd=tmp_path)
    assert checked.code == USAGE
    for line, unit in ((2, "usd"), (3, "tokens"), (5, "rides"), (6, "yes")):
        assert f"run.toml:{line}: key 'budget.{unit}'" in checked.stderr
    assert "eur" not in checked.stderr
    twice = run(tmp_path, *stages(), "--budget", "usd=1", "--budget", "usd=2")
    assert "--budget is given twice for usd" in twice.stderr


def test_run_at_work_shows_what_it_has_spent_so_far(tmp_path: Path) -> None:
    """`status` reads the meter of the attempt that is at work."""
    script = f"{spend('0.5')}; echo ready; {LONG}"
    options = (*stages(spend("1"), script), "--budget", "usd=9")
    process = start("run", "./out", *PASSING, *options, cwd=tmp_path)
    try:
        log = tmp_path / "out" / "logs" / "executor.1.stdout.log"
        wait_until(lambda: log.exists() and log.stat().st_size)
        status = orchestrate("status", "./out", cwd=tmp_path).stdout
        assert "spent    1.5 of 9 usd" in status
        explained = orchestrate("explain", "./out", "--all", cwd=tmp_path).stdout
        assert "1.5 of 9 usd: manager 1, executor 0.5" in explained
    finally:
        os.kill(process.pid, signal.SIGTERM)
        process.communicate(timeout=PATIENCE_SECONDS)
    assert spent(tmp_path)["usd"][0] == "1.5"


def test_page_and_screens_show_what_was_spent(tmp_path: Path) -> None:
    """The page shows the spending with the ending; the screens show each stage's part as well."""
    assert run(tmp_path, *stages(spend("1"), spend("9")), "--budget", "usd=5").code == FAILED
    page = tmp_path / "page.html"
    assert orchestrate("report", "./out", "--html", "page.html", cwd=tmp_path).code == 0
    text = page.read_text()
    assert 'id="budget"' in text
    assert "spent 10 usd, more than the budget of 5 usd" in text
    assert "manager 1, executor 9" in text
    assert orchestrate("report", "./out", "--junit", "j.xml", cwd=tmp_path).code == 0
    junit = (tmp_path / "j.xml").read_text()
    assert '<property name="spent.usd" value="10"/><property name="budget.usd" value="5"/>' in junit
    assert orchestrate("report", "./out", "--markdown", "m.md", cwd=tmp_path).code == 0
    assert "spent 10 of 5 usd" in (tmp_path / "m.md").read_text()
    with Terminal("report", "./out", cwd=tmp_path) as terminal:
        terminal.end()
        assert "budget                10 of 5 usd: manager 1, executor 9" in terminal.all_lines
    assert "spent    10 of 5 usd" in orchestrate("status", "./out", cwd=tmp_path).stdout


def test_live_view_shows_what_is_spent_beside_the_time_of_the_stage(tmp_path: Path) -> None:
    """The amount changes while the stage works and includes what the run spent before."""
    script = f"{spend('0.5')}; while [ ! -e go ]; do sleep 0.02; done; {spend('1', 'tokens')}"
    options = (*PASSING, *stages(spend("1"), f"{script}; sleep 100"), "--budget", "usd=9")
    with Terminal("run", "./out", *options, cwd=tmp_path) as terminal:
        terminal.until_shown("1.5 of 9 usd")
        (tmp_path / "go").touch()
        terminal.until_shown("1.5 of 9 usd, 1 tokens")
        (line,) = [line for line in terminal.shown if "1 tokens" in line]
        assert " of 30s  1.5 of 9 usd" in line
        terminal.process.send_signal(signal.SIGTERM)
        terminal.end()
        assert any("spent    1.5 of 9 usd, 1 tokens" in line for line in terminal.all_lines)


def test_what_was_metered_counts_where_the_end_of_its_attempt_was_not_recorded(
    tmp_path: Path,
) -> None:
    """The run fails because its logs were removed, and the next resume reads the meter."""
    script = f"{spend('0.75')}; rm out/logs/manager.1.stdout.log; echo gone"
    assert run(tmp_path, *stages(script), "--budget", "usd=1").code == FAILED
    assert report_of(tmp_path / "out")["stage_executions"][0]["status"] == "interrupted"
    again = ("out", "--resume", *shell("manager", "exit 0"))
    assert orchestrate(*again, cwd=tmp_path).code == 0
    assert spent(tmp_path) == {"usd": ("0.75", "1", {"manager": "0.75"})}


def test_verification_has_no_meter_and_what_it_verifies_counts_once(tmp_path: Path) -> None:
    """Work that is verified again is not paid for a second time."""
    executable(tmp_path / "verify.sh", "#!/bin/sh\ntest -z $ORCHESTRATOR_METER && test -e good\n")
    (tmp_path / "run.toml").write_text(
        '[gates]\npolicy = "allow"\nci = "success"\nreview = "approved"\n[budget]\nusd = 1\n'
        "[stage.manager]\nbin = './spend.sh'\nverify = [['./verify.sh']]\n"
    )
    executable(tmp_path / "spend.sh", f"#!/bin/sh\n{spend('0.4')}\n")
    assert orchestrate("run", "./out", "--config", "run.toml", cwd=tmp_path).code == FAILED
    assert last_execution(tmp_path)["ending"] == "verification_failed"
    (tmp_path / "good").touch()
    assert orchestrate("out", "--resume", "--reverify", cwd=tmp_path).code == 0
    assert spent(tmp_path) == {"usd": ("0.4", "1", {"manager": "0.4"})}


def test_meter_of_a_run_around_it_is_not_the_stage_s(tmp_path: Path) -> None:
    """A stage has a meter only if its own run gives it one."""
    outer = {"ORCHESTRATOR_METER": "/elsewhere"}
    assert run(tmp_path, *stages("test -z $ORCHESTRATOR_METER"), env=outer).code == 0


def test_secret_in_a_meter_is_never_shown(tmp_path: Path) -> None:
    """The line is refused without naming a unit: nothing that a stage writes enters a record."""
    line = """printf '{"unit": "%s", "amount": 1}\\n' $TOKEN >> $ORCHESTRATOR_METER"""
    options = (*stages(f"{spend('1')}; {line}"), "--manager-secret", "TOKEN", "--budget", "usd=9")
    assert run(tmp_path, *options, env={"TOKEN": "open_sesame_4711"}).code == FAILED
    assert stopped_by(tmp_path) == {"kind": "meter", "problem": "secret", "line": 2}
    out = tmp_path / "out"
    for path in out.iterdir():
        assert not path.is_file() or b"open_sesame" not in path.read_bytes(), path


def test_verification_has_no_more_time_than_the_run_has_left(tmp_path: Path) -> None:
    """When the run's time ends a verification, the run has timed out and no work has failed."""
    (tmp_path / "run.toml").write_text(
        '[gates]\npolicy = "allow"\nci = "success"\nreview = "approved"\n'
        "[stage.manager]\nbin = 'true'\nverify = [['sleep', '100']]\n"
    )
    options = ("--config", "run.toml", "--run-timeout", "2s")
    assert orchestrate("run", "./out", *options, cwd=tmp_path).code == 124
    assert report_of(tmp_path / "out")["terminal_state"] == "timeout"
    assert last_execution(tmp_path)["command"] == "run.timeout"
