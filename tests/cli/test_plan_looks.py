"""`plan` checks what a run would start, and a run warns of later stages that cannot start."""

from __future__ import annotations

import json
import os
import re
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pytest

from fsm_orchestrator.disk.lock import OutputLock
from fsm_orchestrator.errors import RecordingError
from fsm_orchestrator.preparation.plan import refuse_unwritable
from fsm_orchestrator.vocabulary import HeldBy
from tests.command.stage_cases import executable
from tests.stages.artifact_cases import without_privileges
from tests.support.command import PASSING, orchestrate, report_of, shell


def planned(*arguments: str, cwd: Path) -> dict[str, Any]:
    """Return a plan as JSON."""
    ended = orchestrate("plan", *arguments, "--json", cwd=cwd)
    assert ended.code == 0, ended.stderr
    plan = json.loads(ended.stdout)
    assert isinstance(plan, dict)
    return plan


def test_task_queue_of_a_stage_is_shown(tmp_path: Path) -> None:
    """It is shown of a stage that would run, and with --all of each; JSON has it too."""
    words = ("out", "--manager-bin", "true", "--executor-bin", "true", *PASSING)
    asked = (*words, "--manager-task-queue", "gpu")
    short = orchestrate("plan", *asked, cwd=tmp_path).stdout
    assert "manager   would run: not run yet; on the task queue gpu\n" in short
    assert "executor  would run: not run yet\n" in short
    assert re.search(r"queue +gpu", orchestrate("plan", *asked, "--all", cwd=tmp_path).stdout)
    assert [one["task_queue"] for one in planned(*asked, cwd=tmp_path)["stages"]] == ["gpu", None]


def _missing(home: Path) -> Sequence[str]:
    return ("--manager-bin", str(home / "gone"))


def _not_on_path(home: Path) -> Sequence[str]:
    del home
    return ("--manager-bin", "no-such-program-anywhere")


def _without_run_bit(home: Path) -> Sequence[str]:
    executable(home / "tool", "#!/bin/sh\n").chmod(0o644)
    return ("--manager-bin", "./tool")


def _directory(home: Path) -> Sequence[str]:
    (home / "tool").mkdir()
    return ("--manager-bin", "./tool")


def _fifo(home: Path) -> Sequence[str]:
    os.mkfifo(home / "tool", 0o755)
    (home / "tool").chmod(0o755)
    return ("--manager-bin", "./tool")


def _script(first_line: str) -> Callable[[Path], Sequence[str]]:
    def made(home: Path) -> Sequence[str]:
        executable(home / "tool", f"{first_line}\nexit 0\n")
        return ("--manager-bin", "./tool")

    return made


def _env_of_a_path(home: Path) -> Sequence[str]:
    (home / "inner").mkdir()
    (home / "inner" / "shell").symlink_to("/bin/sh")
    return _script("#!/usr/bin/env inner/shell")(home)


def _script_of_a_script(home: Path) -> Sequence[str]:
    executable(home / "inner", "#!/no/such/interpreter\n")
    executable(home / "tool", f"#!{home / 'inner'}\n")
    return ("--manager-bin", "./tool")


def _interpreter_without_run_bit(home: Path) -> Sequence[str]:
    executable(home / "inner", "#!/bin/sh\n").chmod(0o644)
    executable(home / "tool", f"#!{home / 'inner'}\n")
    return ("--manager-bin", "./tool")


def _without_loader(home: Path) -> Sequence[str]:
    program = Path("/bin/true").read_bytes()
    loader = program.index(b"/ld-linux")
    executable(home / "tool", "").write_bytes(
        program[:loader] + b"/lx-linux" + program[loader + 9 :]
    )
    return ("--manager-bin", "./tool")


def _without_directory(home: Path) -> Sequence[str]:
    del home
    return ("--manager-bin", "true", "--manager-cwd", "gone")


def _file_for_directory(home: Path) -> Sequence[str]:
    (home / "file").touch()
    return ("--manager-bin", "true", "--manager-cwd", "file")


def _long_argument(home: Path) -> Sequence[str]:
    word = "x" * 140_000
    (home / "long.toml").write_text(f'[stage.manager]\nbin = "true"\nargs = ["{word}"]\n')
    return ("--config", "long.toml")


CANNOT_START: dict[str, Callable[[Path], Sequence[str]]] = {
    "missing": _missing,
    "not on PATH": _not_on_path,
    "no run bit": _without_run_bit,
    "directory": _directory,
    "FIFO": _fifo,
    "no interpreter": _script("#!/no/such/interpreter"),
    "CRLF": _script("#!/bin/sh\r"),
    "spaces and an argument": _script("#!  /no/such/interpreter  -x"),
    "empty first line": _script("#!"),
    "relative interpreter": _script("#!no-such-interpreter"),
    "directory as interpreter": _script("#!/usr"),
    "script of a script": _script_of_a_script,
    "interpreter without run bit": _interpreter_without_run_bit,
    "env in vain": _script("#!/usr/bin/env no-such-interpreter"),
    "env with a path in vain": _script("#!/usr/bin/env inner/shell"),
    "env -S in vain": _script("#!/usr/bin/env -S no-such-interpreter -u"),
    "no program": _script("echo no first line"),
    "empty": lambda home: ("--manager-bin", str(executable(home / "tool", ""))),
    "no loader": _without_loader,
    "no directory": _without_directory,
    "file for a directory": _file_for_directory,
    "long arguments": _long_argument,
}


@pytest.mark.one_in(2)
@pytest.mark.parametrize("case", CANNOT_START)
def test_plan_says_of_a_stage_that_cannot_start_what_the_run_says(
    tmp_path: Path, case: str
) -> None:
    """The plan has the ending, the status and the wording of the run's own record."""
    options = (*PASSING, *CANNOT_START[case](tmp_path))
    plan = planned("out", *options, cwd=tmp_path)
    stage = plan["stages"][0]
    assert orchestrate("run", "out", *options, cwd=tmp_path).code == 1
    (execution,) = report_of(tmp_path / "out")["stage_executions"]
    assert {key: stage[key] for key in ("ending", "status", "error")} == {
        key: execution[key] for key in ("ending", "status", "error")
    }
    problem = execution["problem"]
    assert (stage["action"], stage["reason"]) == ("fail", problem["cause"])
    assert stage["details"] == problem["details"]
    assert plan["outcome"] == "failed"
    again = planned("out", "--resume", cwd=tmp_path)
    kept = [one for one in problem["details"] if not one.startswith("it was given as ")]
    assert again["stages"][0]["error"] == "; ".join((problem["cause"], *kept))
    assert again["outcome"] == "failed"


CAN_START: dict[str, Callable[[Path], Sequence[str]]] = {
    "bare name": lambda _: ("--manager-bin", "true"),
    "script": _script("#!/bin/sh"),
    "spaces and an argument": _script("#! \t/bin/sh -e "),
    "env": _script("#!/usr/bin/env sh"),
    "env -S": _script("#!/usr/bin/env -S sh -e"),
    "env with a path": _env_of_a_path,
    "env with an assignment": _script("#!/usr/bin/env -S A=b sh"),
}


@pytest.mark.parametrize("case", CAN_START)
def test_plan_has_nothing_against_a_program_that_starts(tmp_path: Path, case: str) -> None:
    """A program that can be started is planned to run, and runs."""
    options = (*PASSING, *CAN_START[case](tmp_path))
    plan = planned("out", *options, cwd=tmp_path)
    assert (plan["stages"][0]["action"], plan["outcome"]) == ("run", "done")
    assert plan["stages"][0]["error"] is None
    assert orchestrate("run", "out", *options, cwd=tmp_path).code == 0


@pytest.mark.unprivileged
def test_plan_sees_a_directory_that_may_not_be_entered(tmp_path: Path) -> None:
    """A stage's directory without search permission is reported as unusable."""
    (tmp_path / "closed").mkdir(mode=0o600)
    options = (*PASSING, "--manager-bin", "true", "--manager-cwd", "closed")
    stage = planned("out", *options, cwd=tmp_path)["stages"][0]
    assert orchestrate("run", "out", *options, cwd=tmp_path).code == 1
    (execution,) = report_of(tmp_path / "out")["stage_executions"]
    assert stage["error"] == execution["error"]
    assert stage["status"] == execution["status"] == "spawn_failed"


@pytest.mark.unprivileged
def test_plan_refuses_a_directory_that_a_run_could_not_make(tmp_path: Path) -> None:
    """Plan and run are refused with the same message if the run could not make OUT."""
    (tmp_path / "closed").mkdir(mode=0o500)
    options = (*PASSING, "--manager-bin", "true")
    plan = orchestrate("plan", "closed/out", *options, cwd=tmp_path)
    ended = orchestrate("run", "closed/out", *options, cwd=tmp_path)
    assert (plan.code, ended.code) == (2, 2)
    assert plan.stderr == ended.stderr
    assert f"cannot be made: {tmp_path / 'closed'} may not be written to" in plan.stderr


def test_plan_that_is_blocked_tells_what_cannot_start_all_the_same(tmp_path: Path) -> None:
    """The gates refuse first, and the plan also names the missing program at once."""
    plan = planned("out", *_missing(tmp_path), cwd=tmp_path)
    stage = plan["stages"][0]
    assert (plan["outcome"], stage["action"]) == ("blocked", "not_reached")
    assert "does not exist" in stage["error"]
    assert "as things are now it could not be started" in orchestrate(
        "plan", "out", *_missing(tmp_path), cwd=tmp_path
    ).stdout.replace("\n", " ")


def test_stages_after_one_that_would_fail_are_not_reached(tmp_path: Path) -> None:
    """A plan follows the lifecycle, and names the stage that ends it."""
    options = (*PASSING, *_missing(tmp_path), "--executor-bin", "true")
    ended = orchestrate("plan", "out", *options, cwd=tmp_path)
    assert re.search("[✗x] +manager +would fail: could not be started: not found:", ended.stdout)
    assert "executor  would not start: stage manager would not succeed" in ended.stdout
    assert "would end: failed, as things are now" in ended.stdout


def test_run_warns_before_the_first_stage_of_a_later_one_that_cannot_start(tmp_path: Path) -> None:
    """The warning comes first, and is only a warning: an earlier stage may make the program."""
    make = "printf '#!/bin/sh\\n' >built && chmod +x built"
    options = (*PASSING, *shell("manager", make), "--executor-bin", "./built")
    plan = orchestrate("plan", "out", *options, cwd=tmp_path)
    assert "a stage before it may change that" in plan.stdout
    ended = orchestrate("run", "out", *options, "--log-format", "json", cwd=tmp_path)
    assert ended.code == 0, ended.stderr
    (warning,) = report_of(tmp_path / "out")["warnings"]
    assert warning.startswith("stage 'executor' would fail as things are now: could not be started")
    names = [(one["event"], one.get("message")) for one in ended.events]
    started = [index for index, (name, _) in enumerate(names) if name == "stage.started"]
    assert names.index(("run.warning", warning)) < started[0]


def test_explain_says_that_the_next_command_would_fail(tmp_path: Path) -> None:
    """`explain` says of its command what a plan of it says."""
    assert orchestrate("run", "out", *PASSING, *_missing(tmp_path), cwd=tmp_path).code == 1
    step = json.loads(orchestrate("explain", "out", "--json", cwd=tmp_path).stdout)["next_step"]
    assert step["would"][0].startswith("fail in manager (could not be started: not found")
    assert step["would"][-1] == "end failed"


@pytest.mark.parametrize(
    "harm",
    [Path.unlink, lambda path: path.write_text("no json"), lambda path: path.write_text("2")],
)
def test_plan_of_a_done_run_judges_its_artifacts(
    harm: Callable[[Path], object], tmp_path: Path
) -> None:
    """A missing, wrong or changed artifact is reported as a resume does, with its exit code."""
    script = "echo '[1]' > plan.json"
    expected = ("--manager-expected-artifact", "plan.json")
    options = (*shell("manager", script), *expected)
    assert orchestrate("out", *PASSING, *options, cwd=tmp_path).code == 0
    good = planned("out", "--resume", cwd=tmp_path)
    assert (good["closing_refused"], len(good["stages"][0]["artifacts"])) == (None, 1)
    harm(tmp_path / "plan.json")
    plan = planned("out", "--resume", cwd=tmp_path)
    assert plan["stages"][0]["artifacts"] == []
    told = orchestrate("plan", "out", "--resume", cwd=tmp_path).stdout
    assert f"would end: done, but not ready to close (exit 1): {plan['closing_refused']}" in (
        " ".join(told.split())
    )
    assert orchestrate("out", "--resume", cwd=tmp_path).code == 1
    (failure,) = [one for one in report_of(tmp_path / "out")["stage_executions"] if one["error"]]
    assert failure["error"] == plan["closing_refused"]


def test_plan_refuses_a_directory_that_may_not_be_written_to(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """An existing output directory is refused with the message that the run has for it."""
    tmp_path.chmod(0o755)
    (tmp_path / "out").mkdir(mode=0o755)
    monkeypatch.chdir(tmp_path)
    refuse_unwritable(Path("out"))
    refuse_unwritable(Path("not-there"))
    if os.geteuid() != 0:
        (tmp_path / "out").chmod(0o555)
    with without_privileges(), pytest.raises(RecordingError, match="permission denied") as planned:
        refuse_unwritable(Path("out"))
    with without_privileges():
        lock = OutputLock.acquire(Path("out"))
    with without_privileges(), pytest.raises(RecordingError) as ran:
        lock.write_holder(since="", run_id="", held_by=HeldBy.COMMAND)
    assert str(planned.value) == str(ran.value)
