"""The screens of a run of forty stages: stages that would not run are folded, all fits."""

from __future__ import annotations

import re
import shlex
import sys
from pathlib import Path

import pytest

from fsm_orchestrator.lifecycle.source import shipped_text
from tests.cli.cli_cases import on_terminal_of
from tests.support.command import PASSING, orchestrate, report_of, shell, spawned

pytestmark = pytest.mark.one_in(2)

STAGES = [f"step_{number:02}" for number in range(1, 41)]
SCREEN_LINES = 24
WORDS = "nothing reaches the host at the far end of a line that is as long as it can be " * 3


def arrange(folder: Path, *, fails: int) -> tuple[str, ...]:
    """Write a lifecycle of forty stages after the gates; return options that run it up to one."""
    text = shipped_text("governed_run").decode()
    old = 'source = "gating"\ndest = "manager"'
    assert text.count(old) == 1
    text = text.replace(old, f'source = "gating"\ndest = "{STAGES[0]}"')
    for stage, following in zip(STAGES, [*STAGES[1:], "manager"], strict=True):
        text += f'\n[[state]]\nname = "{stage}"\nkind = "stage"\n'
        for trigger, dest in (
            ("stage_succeeded", following),
            ("stage_failed", "failed"),
            ("stage_timed_out", "timeout"),
            ("run_aborted", "failed"),
            ("resume", "gating"),
        ):
            text += (
                f'\n[[transition]]\ntrigger = "{trigger}"\nsource = "{stage}"\n'
                f'dest = "{dest}"\nwhy = "that is what follows"\n'
            )
    (folder / "forty.toml").write_text(text)
    words = ["--lifecycle", "forty.toml"]
    for number, stage in enumerate(STAGES, start=1):
        script = f"echo {WORDS} >&2; exit 7" if number == fails else "exit 0"
        words += shell(stage.replace("_", "-"), script)
    return tuple(words)


def test_plan_folds_what_would_not_start(tmp_path: Path) -> None:
    """A blocked plan of forty stages fits one screen."""
    options = arrange(tmp_path, fails=38)
    lines = orchestrate("plan", "out", *options, cwd=tmp_path).stdout.splitlines()
    head = lines[: lines.index("  once the real checks pass:")]
    assert len(head) < SCREEN_LINES
    text = " ".join(" ".join(head).split())
    assert re.search(r"- 42 stages would not start: the gates would refuse: manager, ", text)
    assert re.search(r"(…|\.\.\.) \d+ more would end: blocked$", text)


def test_failed_run_of_forty_stages_has_room_on_every_screen(tmp_path: Path) -> None:
    """All fits on the plan of a resume and on both of `explain`, before and after that resume."""
    options = arrange(tmp_path, fails=38)
    assert orchestrate("out", *options, *PASSING, cwd=tmp_path).code == 1
    assert_resume_is_folded(tmp_path)
    commands = {command_on_narrow_screen(tmp_path, columns) for columns in (80, 120)}
    assert_neighbours_are_folded(tmp_path, "succeeded in the first attempt")
    (command,) = commands
    assert orchestrate(*shlex.split(command)[1:], cwd=tmp_path).code == 1
    assert spawned(report_of(tmp_path / "out")) == ["step_38"]
    assert_neighbours_are_folded(tmp_path, "skipped: completed by attempt")
    for stage in ("step_01", "step_40"):
        assert f'"stage": "{stage}"' in orchestrate("explain", "out", "--json", cwd=tmp_path).stdout


def assert_resume_is_folded(folder: Path) -> None:
    """Assert that a resume that would skip most stages fits a screen; in full it has them all."""
    resume = orchestrate("plan", "out", "--resume", cwd=folder).stdout.splitlines()
    assert len(resume) <= SCREEN_LINES
    text = " ".join(" ".join(resume).split())
    assert "- 37 stages would be skipped: completed by attempt 1: step_01, step_02, " in text
    in_full = orchestrate("plan", "out", "--resume", "--all", cwd=folder).stdout
    assert all(re.search(rf"^[-→>] +{stage} +would ", in_full, re.MULTILINE) for stage in STAGES)


def command_on_narrow_screen(folder: Path, columns: int) -> str:
    """Assert that the screen has few, fitting lines and no cut words; return the command on it."""
    code, seen = on_terminal_of(columns, "explain", "out", cwd=folder, NO_COLOR="1", TERM="xterm")
    lines = seen.splitlines()
    assert code == 0
    assert len(lines) <= 12
    assert max(map(len, lines)) <= columns
    assert max(map(len, lines)) > columns - 15
    assert set(re.findall(r"[a-z]{2,}", lines[3])) <= set(WORDS.split())
    (command,) = re.findall(r"^  next  (.*)$", seen, re.MULTILINE)
    return str(command)


def assert_neighbours_are_folded(folder: Path, said: str) -> None:
    """Assert that the failed stage of forty is shown in full, its neighbors in a line each."""
    seen = orchestrate("explain", "out", "--all", cwd=folder).stdout
    assert len(seen.splitlines()) <= 70
    text = " ".join(seen[seen.index("\nstages\n") :].split())
    assert f"37 stages {said}" in text
    assert "step_36, step_37 step_38: failed: exited with code 7 invocation 1" in text
    assert "2 stages not reached, because stage step_38 did not succeed: step_39" in text
    would = re.search(r"it would ([^\n]*(?:\n    [^\n]*)*)", seen)
    assert would is not None
    assert "skip 37 stages, step_01 to step_37 (completed by attempt 1);" in " ".join(
        would[1].split()
    )


@pytest.mark.skipif(sys.platform != "linux", reason="the width of a terminal is set as Linux does")
@pytest.mark.parametrize("columns", [60, 80, 120])
def test_status_of_many_runs_fits_the_terminal(tmp_path: Path, columns: int) -> None:
    """Each run is one fitting line; a long path keeps both ends, the last words are complete."""
    name = "runs/" + "a-long-name-for-a-run-that-somebody-made-" * 3 + "end"
    options = shell("manager", f"echo {WORDS} >&2; exit 7")
    assert orchestrate(name, *options, *PASSING, cwd=tmp_path).code == 1
    assert orchestrate("runs/blocked", *options, cwd=tmp_path).code == 3
    words = ("status", "runs")
    code, seen = on_terminal_of(columns, *words, cwd=tmp_path, NO_COLOR="1", TERM="xterm")
    _, _, failed, blocked = seen.splitlines()
    assert code == 0
    assert max(map(len, seen.splitlines())) <= columns
    assert re.match(r"[✗x]  ?a\S+end  failed ", failed)
    assert re.match(r"[!]  ?blocked +waiting ", blocked)
    assert failed.endswith((" …", " ..."))
    piped = orchestrate("status", "runs", cwd=tmp_path).stdout
    assert f"{Path(name).name}  failed" in piped
    assert WORDS.strip() in piped
