"""Attacks of a stage on its run as the same user: each case acts as the stage."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

import psutil
import pytest

from tests.approvals.approval_cases import begin, line, make_key, project
from tests.support.command import (
    COMMAND,
    EVENTS,
    PASSING,
    Ended,
    checkpoint_of,
    environment,
    orchestrate,
    report_of,
    stages,
)

ON_LINUX: Final = pytest.mark.skipif(sys.platform != "linux", reason="tries what Linux has")


def tampered(place: Path, ended: Ended, file: str) -> None:
    """Check that a run failed because of damage to a file, which it names."""
    assert ended.code == 1, ended.stderr
    report = report_of(place / "out")
    assert (report["terminal_state"], report["closure_ready"]) == ("failed", False)
    failure = report["stage_executions"][-1]
    assert (failure["status"], failure["ending"]) == ("failed", "control_tampered"), failure
    assert f"{place}/{file}" in failure["error"]


LOG: Final = "out/logs/manager.1.stdout.log"
ON_LOGS: Final[Mapping[str, str]] = {
    "cut": f"truncate -s 2 {LOG}",
    "emptied": f": > {LOG}",
    "edited": f"sed -i s/failed/passed/ {LOG}",
    "edited in place": f"printf x | dd of={LOG} conv=notrunc 2>/dev/null",
    "edited with its times put back": (
        f"touch -r {LOG} t; printf x | dd of={LOG} conv=notrunc 2>/dev/null; touch -r t {LOG}"
    ),
    "edited through a link": f"ln {LOG} l; printf x | dd of=l conv=notrunc 2>/dev/null; rm l",
    "added to": f"echo more >> {LOG}",
    "removed": f"rm {LOG}",
    "moved": f"mv {LOG} elsewhere",
    "linked over": f"cp {LOG} l; ln -sf $PWD/l {LOG}",
    "the error log": "echo more >> out/logs/manager.1.stderr.log",
}


@pytest.mark.parametrize("change", ON_LOGS)
def test_log_of_an_earlier_stage_is_noticed(change: str, tmp_path: Path) -> None:
    """Any change, also through another name, fails the run, which names the log."""
    ended = orchestrate(
        "./out", *PASSING, *stages("echo 3 tests failed", ON_LOGS[change]), cwd=tmp_path
    )
    log = "out/logs/manager.1.stderr.log" if change == "the error log" else LOG
    tampered(tmp_path, ended, log)
    assert orchestrate("./out", "--resume", cwd=tmp_path).code == 0


@pytest.mark.parametrize("size", [20, 3_000_000])
def test_log_that_is_only_looked_at_is_no_change(size: int, tmp_path: Path) -> None:
    """A backup by links and stricter permissions do not change what the log says."""
    script = f"cat {LOG} > /dev/null; cp -al out copy; chmod 400 {LOG}; ls -l out/logs"
    ended = orchestrate("./out", *PASSING, *stages(f"yes | head -c {size}", script), cwd=tmp_path)
    assert ended.code == 0, ended.stderr


def test_files_of_the_request_do_nothing_once_it_was_read(tmp_path: Path) -> None:
    """A run keeps its first config and lifecycle; a resume reports their changes."""
    built_in = orchestrate("lifecycle", "governed_run", cwd=tmp_path).stdout
    (tmp_path / "mine.toml").write_text(built_in)
    (tmp_path / "run.toml").write_text(
        'lifecycle = "mine.toml"\n[stage.manager]\nbin = "sh"\nargs = ["change.sh"]\n'
        '[stage.executor]\nbin = "true"\n'
    )
    (tmp_path / "change.sh").write_text(
        'sed -i \'s/"true"/"touch"\\nargs = ["ran"]/\' run.toml; echo \'# mine\' >> mine.toml\n'
        'test "$ORCHESTRATOR_ATTEMPT" -gt 1 || exit 3\n'
    )
    words = ("./out", "--config", "run.toml", *PASSING)
    assert orchestrate("run", *words, cwd=tmp_path).code == 1
    assert "touch" in (tmp_path / "run.toml").read_text()
    resumed = orchestrate("./out", "--resume", cwd=tmp_path)
    assert not (tmp_path / "ran").exists()
    assert checkpoint_of(tmp_path / "out")["stages"]["executor"]["command"] == "true"
    assert "run.toml" in resumed.stdout + resumed.stderr


@ON_LINUX
def test_what_escapes_a_killed_keeper_neither_lives_nor_approves(tmp_path: Path) -> None:
    """A process that left its session is ended with the run, which fails and is not approved."""
    (tmp_path / "escape.sh").write_text(
        "echo $$ > escaped\nkill -KILL $KEEPER\n"
        "while :; do fsm-orchestrator approve out --gate review; sleep 0.1; done 2> /dev/null\n"
    )
    plan = "echo the plan > plan.md; KEEPER=$PPID setsid -f sh escape.sh; exec sleep 600"
    project(tmp_path, plan=plan)
    (tmp_path / "signers").write_text(line(make_key(tmp_path, "ann"), "ann@example.org"))
    ended = begin(tmp_path)
    assert ended.code == 1, ended.stderr
    report = report_of(tmp_path / "out")
    assert [one["ending"] for one in report["stage_executions"]] == ["lost"]
    pid = int((tmp_path / "escaped").read_text())
    # Where nothing reaps orphans, a zombie of it is left.
    assert not psutil.pid_exists(pid) or psutil.Process(pid).status() == psutil.STATUS_ZOMBIE
    again = orchestrate("approve", "out", "--gate", "review", cwd=tmp_path)
    assert again.code != 0


def test_edits_of_the_event_log_by_another_name_are_noticed(tmp_path: Path) -> None:
    """A cut or a change through a hard link is found, for the link is the same file."""
    script = f"ln out/{EVENTS} l; sed 1s/run/nur/ l > x; cat x > l; rm l"
    command = (*COMMAND, "./out", *PASSING, *stages(executor=script))
    assert subprocess.run(command, cwd=tmp_path, env=environment(), check=False).returncode == 1
    report: Any = json.loads((tmp_path / "out/orchestrator_run_report.json").read_text())
    assert (report["terminal_state"], report["closure_ready"]) == ("failed", False)
    assert report["stage_executions"][-1]["command"] in {"control.verify", "events.persist"}


def test_artifact_of_a_completed_stage_is_noticed(tmp_path: Path) -> None:
    """A replaced artifact is noticed, even with its old times put back."""
    replace = "touch -r a.json t; echo '[2]' > x; touch -r t x; mv x a.json"
    options = (*stages("echo '[1]' > a.json", replace), "--manager-expected-artifact", "a.json")
    ended = orchestrate("./out", *PASSING, *options, cwd=tmp_path)
    assert ended.code == 1
    report = report_of(tmp_path / "out")
    assert (report["terminal_state"], report["closure_ready"]) == ("failed", False)
    assert "a.json" in str(report["stage_executions"][-1]["error"])
