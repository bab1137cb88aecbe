"""`status` of one run and of many: real runs, seen from outside."""

from __future__ import annotations

import json
import re
import shutil
import signal
from pathlib import Path

import pytest

from fsm_orchestrator.record.report_reader import read_latest_invocation, read_report
from tests.command.supervision_cases import working
from tests.support.command import (
    PASSING,
    REPORT,
    orchestrate,
    report_of,
    stages,
    tree_of,
)
from tests.support.patience import PATIENCE_SECONDS


def three_runs(cwd: Path) -> None:
    """Make a directory with a done, a blocked and a failed run, and something that is no run."""
    orchestrate("runs/a-done", *PASSING, *stages("echo all well"), cwd=cwd)
    orchestrate("runs/b-blocked", "--ci-status", "pending", *stages(), cwd=cwd)
    orchestrate("runs/c-failed", *PASSING, *stages("echo broken >&2; exit 1"), cwd=cwd)
    (cwd / "runs" / "notes").mkdir()
    (cwd / "runs" / "file").write_text("")


def test_status_of_a_directory_of_runs_is_a_line_a_run(tmp_path: Path) -> None:
    """Each run has one line under the counts, with the reason, and nothing is changed."""
    three_runs(tmp_path)
    before = tree_of(tmp_path)
    ended = orchestrate("status", "runs", cwd=tmp_path)
    assert (ended.code, ended.stderr) == (0, "")
    assert tree_of(tmp_path) == before
    counts, _, failed, blocked, done = ended.stdout.splitlines()
    assert counts == "3 runs in runs:  ✗ 1 failed  ! 1 waiting  ✓ 1 done"
    assert re.fullmatch(
        r"✗ c-failed +failed +\S+ +\S+ +manager: exited with code 1: broken", failed
    )
    assert re.fullmatch(r"! b-blocked +waiting +\S+ +\S+ +waits for policy, ci and review", blocked)
    assert re.fullmatch(r"✓ a-done +done +\S+ +\S+", done)


def test_several_directories_are_one_list(tmp_path: Path) -> None:
    """Runs that are named one by one are shown under those names, the worst first."""
    three_runs(tmp_path)
    names = ["runs/a-done", "runs/c-failed"]
    ended = orchestrate("status", *names, cwd=tmp_path)
    assert [line.split()[1] for line in ended.stdout.splitlines()[2:]] == names[::-1]
    told = json.loads(orchestrate("status", *names, "--json", cwd=tmp_path).stdout)
    assert [one["output_directory"] for one in told["runs"]] == names


def test_status_of_many_as_json(tmp_path: Path) -> None:
    """Each run is an object with the same keys, and agrees with the report."""
    three_runs(tmp_path)
    runs = json.loads(orchestrate("status", "runs", "--json", cwd=tmp_path).stdout)["runs"]
    assert [one["standing"] for one in runs] == ["done", "waiting", "failed"]
    for one in runs:
        report = report_of(tmp_path / one["output_directory"])
        assert one["run_id"] == report["run_id"]
        assert one["exit_code"] == report["exit_code"]
        assert one["blocked_reason_codes"] == report["blocked_reason_codes"]
        assert one["since"] == report["transitions"][-1]["at"]


def test_run_that_cannot_be_read_is_told_among_the_others(tmp_path: Path) -> None:
    """A damaged report gives a line that says so, and exit code 1; the other runs are shown."""
    three_runs(tmp_path)
    (tmp_path / "runs" / "a-done" / REPORT).write_text("{")
    ended = orchestrate("status", "runs", cwd=tmp_path)
    assert ended.code == 1
    _, _, spoilt, failed, _ = ended.stdout.splitlines()
    assert re.match(r"✗ a-done +unreadable ", spoilt)
    assert "cannot read" in spoilt
    assert " failed " in failed


def test_killed_and_working_runs_are_told_apart(tmp_path: Path) -> None:
    """Of two runs without an outcome, the one without a holder is interrupted."""
    with working(tmp_path, *stages("echo go; exec sleep 60")) as process:
        unfinished = shutil.ignore_patterns(".*")  # a record that is still being written
        shutil.copytree(tmp_path / "out", tmp_path / "copy", ignore=unfinished)
        ended = orchestrate("status", "out", "copy", cwd=tmp_path)
        process.send_signal(signal.SIGTERM)
        process.wait(PATIENCE_SECONDS)
    _, _, first, second = ended.stdout.splitlines()
    assert re.search(r"copy +interrupted .* which was elsewhere then: go$", first)
    assert re.search(r"out +working .* manager 1, \d+s of 30s: go$", second)


def test_every_screen_names_a_standing_alike(tmp_path: Path) -> None:
    """`status` of one and of several, `explain` and the page use the same words."""
    artifact = ("--manager-expected-artifact", "plan.json")
    orchestrate("out", *PASSING, *stages("echo 1 > plan.json"), *artifact, cwd=tmp_path)
    (tmp_path / "plan.json").unlink()
    orchestrate("out", "--resume", cwd=tmp_path)
    words = "done, but not ready to close"
    assert f"{words}: " in orchestrate("status", "out", cwd=tmp_path).stdout.splitlines()[0]
    assert orchestrate("explain", "out", cwd=tmp_path).stdout.startswith(f"! {words}: ")
    several = orchestrate("status", "out", "out", cwd=tmp_path).stdout.splitlines()[2:]
    assert [re.split("  +", line)[1] for line in several] == [words, words]
    page = orchestrate("report", "out", "--html", "-", cwd=tmp_path).stdout
    assert re.search(rf"<h1>.*{words.capitalize()}</h1>", page)


def test_glance_reads_no_earlier_invocations(tmp_path: Path) -> None:
    """The earlier invocations in a report are not even parsed: their number costs nothing."""
    once = "test -e once || { touch once; exit 1; }"
    orchestrate("out", *PASSING, *stages(once), cwd=tmp_path)
    orchestrate("out", "--resume", cwd=tmp_path)
    file = tmp_path / "out" / REPORT
    whole = read_report(file)
    assert whole.earlier_invocations
    data = file.read_bytes()
    cut = data.index(b'\n  "earlier_invocations": [') + len(b'\n  "earlier_invocations": [')
    file.write_bytes(data[:cut] + b"\xff nothing that could be parsed " * 100_000)
    glanced = read_latest_invocation(file)
    assert glanced == whole.model_copy(update={"earlier_invocations": ()})


def test_hostile_last_line_stays_a_line(tmp_path: Path) -> None:
    """Control characters and secrets in the last printed line do not reach the screen."""
    script = "printf 'key hunter2-hunter2 \\033[2J\\r\\n'; exit 1"
    options = (*stages(script), "--manager-env", "KEY=hunter2-hunter2")
    orchestrate("out", *PASSING, *options, cwd=tmp_path)
    orchestrate("./second", cwd=tmp_path)
    ended = orchestrate("status", "out", "second", cwd=tmp_path)
    assert "hunter2" not in ended.stdout
    assert r"key *** \x1b[2J" in ended.stdout


def test_last_line_that_cannot_be_masked_any_more_is_not_shown(tmp_path: Path) -> None:
    """The values of a done run are forgotten, so its output can no longer be shown."""
    options = (*stages("echo hunter2-hunter2"), "--manager-env", "KEY=hunter2-hunter2")
    orchestrate("out", *PASSING, *options, cwd=tmp_path)
    orchestrate("./second", cwd=tmp_path)
    ended = orchestrate("status", "out", "second", cwd=tmp_path)
    assert re.search(r"^✓ out +done ", ended.stdout, re.MULTILINE)
    assert "hunter2" not in ended.stdout


@pytest.mark.parametrize("words", [("nowhere",), ("out", "nowhere"), ("out", "--run-id", "x", ".")])
def test_status_of_what_is_no_directory_is_refused(words: tuple[str, ...], tmp_path: Path) -> None:
    """A missing directory is a usage error, whatever else was named."""
    orchestrate("out", *PASSING, cwd=tmp_path)
    ended = orchestrate("status", *words, cwd=tmp_path)
    assert ended.code == 2
    assert ended.stdout == ""
