"""`--resume-or-start`: the command line of a nightly job."""

from __future__ import annotations

from pathlib import Path

from fsm_orchestrator import RunConfig, StageGiven, run
from tests.cli.cli_cases import everything
from tests.support.command import (
    CHECKPOINT,
    PASSING,
    Ended,
    orchestrate,
    report_of,
    shell,
    statuses,
)

JOB = ("./out", "--resume-or-start", *shell("manager", "echo planned"))
EXECUTOR = shell("executor", "test -e ready")


def nightly(folder: Path, *more: str) -> Ended:
    """Type the command line of the job."""
    return orchestrate(*JOB, *EXECUTOR, *(more or PASSING), cwd=folder)


def test_one_command_line_starts_resumes_and_starts_again(tmp_path: Path) -> None:
    """Without a run it starts; a failed run is resumed, and a done run archived for a new one."""
    assert nightly(tmp_path).code == 1
    first = report_of(tmp_path / "out")
    (tmp_path / "ready").touch()
    assert nightly(tmp_path).code == 0
    second = report_of(tmp_path / "out")
    assert second["run_id"] == first["run_id"]
    assert statuses(second)[-2:] == [("manager", "skipped"), ("executor", "success")]
    assert nightly(tmp_path).code == 0
    third = report_of(tmp_path / "out")
    assert third["run_id"] != first["run_id"]
    assert third["execution_mode"] == "run"
    assert (tmp_path / "out" / "archive" / first["run_id"] / CHECKPOINT).is_file()


def test_blocked_run_is_resumed(tmp_path: Path) -> None:
    """A run that waits for its gates continues when they pass."""
    assert nightly(tmp_path, "--policy-status", "allow").code == 3
    blocked = report_of(tmp_path / "out")["run_id"]
    (tmp_path / "ready").touch()
    assert nightly(tmp_path).code == 0
    assert report_of(tmp_path / "out")["run_id"] == blocked


def test_damaged_run_is_never_begun_anew(tmp_path: Path) -> None:
    """An unreadable or missing checkpoint is refused, as a resume refuses it."""
    assert nightly(tmp_path).code == 1
    checkpoint = tmp_path / "out" / CHECKPOINT
    for damage in (lambda: checkpoint.write_text("{"), checkpoint.unlink):
        damage()
        ended = nightly(tmp_path)
        assert ended.code == 1
        assert CHECKPOINT in ended.stderr
        started = list((tmp_path / "out").rglob("manager.*.stdout.log"))
        assert [one.name for one in started] == ["manager.1.stdout.log"]


def test_plan_says_what_is_due_and_two_wishes_are_refused(tmp_path: Path) -> None:
    """`plan` takes the same command line; an additional `--resume` is a contradiction."""
    ended = orchestrate("plan", *JOB, *EXECUTOR, *PASSING, cwd=tmp_path)
    assert ended.code == 0
    assert everything(tmp_path) == {}
    ended = orchestrate(*JOB, "--resume", cwd=tmp_path)
    assert ended.code == 2
    assert "--resume and --resume-or-start" in ended.stderr
    assert everything(tmp_path) == {}


def test_config_and_program_can_ask_for_it(tmp_path: Path) -> None:
    """The key of a config file and the field of a RunConfig mean the same."""
    (tmp_path / "job.toml").write_text('resume_or_start = true\n[stage.manager]\nbin = "false"\n')
    codes = [
        orchestrate("out", "--config", "job.toml", *PASSING, cwd=tmp_path).code for _ in range(2)
    ]
    assert codes == [1, 1]
    report = report_of(tmp_path / "out")
    assert report["execution_mode"] == "resume"
    config = RunConfig(
        output_directory=tmp_path / "out",
        resume_or_start=True,
        stages={"manager": StageGiven(bin="true")},
    )
    assert run(config).run_id == report["run_id"]
