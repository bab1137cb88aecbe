"""A printed path exists; a printed command was tried and is not refused.

Runs are brought into every situation. Each screen about them is read as a person would read it:
every path on it is looked for, every command is typed.
"""

from __future__ import annotations

import os
import shutil
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from fsm_orchestrator.cli.main import run_command_line
from fsm_orchestrator.constants import PRODUCT
from tests.contracts.test_errors import GOLDEN
from tests.support.command import (
    CHECKPOINT,
    ORCHESTRATOR_PID,
    PASSING,
    REPORT,
    Ended,
    orchestrate,
    shell,
    stages,
    start,
)
from tests.support.patience import PATIENCE_SECONDS, wait_until
from tests.support.printed import commands_in, paths_in, texts_of

REFUSED = (2, 70)
READING = frozenset({"stop", "status", "explain", "logs", "report"})
OUTS = (
    *("./with space & quote's", "-dashed", "status", "plain/nested", "--resume"),
    *("sm\u00f8rrebr\u00f8d", "esc\x1b[31m", "line\nbreak", "turned\u202eevil", "$(id)", "it's"),
)
PLAN = ("--manager-expected-artifact", "plan.json", *shell("manager", "echo [] > plan.json"))

Run = Callable[..., Ended]
Situation = Callable[[Run, Path], Ended | None]


def blocked(run: Run, _out: Path) -> Ended:
    """Make a run that two gates refuse."""
    return run("--policy-status", "allow", *stages())


def nothing_given(run: Run, _out: Path) -> Ended:
    """Make a run without any option."""
    return run()


def failed(run: Run, _out: Path) -> Ended:
    """Make a run whose executor fails and says why."""
    return run(*PASSING, *PLAN, *shell("executor", "echo no way >&2; exit 7"))


def timed_out(run: Run, _out: Path) -> Ended:
    """Make a run whose executor takes too long."""
    limits = ("--executor-timeout-ms", "300", "--kill-grace-ms", "200")
    return run(*PASSING, *PLAN, *shell("executor", "echo busy; exec sleep 60"), *limits)


def went_quiet(run: Run, _out: Path) -> Ended:
    """Make a run whose executor prints nothing for too long."""
    options = ("--executor-idle-timeout-ms", "200", "--kill-grace-ms", "200")
    return run(*PASSING, *shell("executor", "exec sleep 60"), *options)


def printed_too_much(run: Run, _out: Path) -> Ended:
    """Make a run whose executor reaches its output limit."""
    return run(*PASSING, *shell("executor", "exec yes"), "--executor-output-limit", "4096")


def asked_to_end(run: Run, _out: Path) -> Ended:
    """Make a run that is asked to end."""
    return run(*PASSING, *shell("manager", f"kill -TERM {ORCHESTRATOR_PID}; exec sleep 60"))


def orchestrator_killed(run: Run, _out: Path) -> Ended:
    """Make a run whose orchestrator is killed."""
    return run(*PASSING, *shell("manager", f"kill -KILL {ORCHESTRATOR_PID}; exec sleep 60"))


def report_gone(run: Run, out: Path) -> None:
    """Make a run whose orchestrator is killed and whose report is gone."""
    orchestrator_killed(run, out)
    (out / REPORT).unlink()


def program_missing(run: Run, _out: Path) -> Ended:
    """Make a run whose program is missing."""
    return run(*PASSING, "--manager-bin", "./no-such-program")


def artifact_missing(run: Run, _out: Path) -> Ended:
    """Make a run whose executor does not write the expected artifact."""
    return run(*PASSING, *stages(), "--executor-expected-artifact", "result.json")


def artifact_gone(run: Run, out: Path) -> None:
    """Make a run whose executor fails and whose manager's artifact is gone."""
    failed(run, out)
    Path(out.parent, "plan.json").unlink()


def left_a_process(run: Run, _out: Path) -> Ended:
    """Make a run whose manager leaves a process, which counts."""
    return run(*PASSING, *stages("sleep 60 & exit 0"), "--on-leak", "fail")


def done(run: Run, _out: Path) -> Ended:
    """Make a run that is done."""
    return run(*PASSING, *PLAN, *shell("executor", "exit 0"))


def done_and_broken(run: Run, out: Path) -> None:
    """Make a run that was done, and remove the artifact of its manager."""
    done(run, out)
    Path(out.parent, "plan.json").unlink()


def done_and_resumed(run: Run, out: Path) -> Ended:
    """Make the same run, and resume it."""
    done_and_broken(run, out)
    return run("--resume")


def done_and_contradicted(run: Run, out: Path) -> Ended:
    """Make a run that is done, and that a resume contradicts."""
    done(run, out)
    return run("--resume", "--policy-status", "deny")


def changed(run: Run, out: Path) -> Ended:
    """Resume with other arguments for a completed stage."""
    failed(run, out)
    return run("--resume", "--manager-arg", "other")


def archived(run: Run, out: Path) -> Ended:
    """Make a run that a second one has replaced."""
    failed(run, out)
    return run(*PASSING, *stages(executor="exit 9"))


def moved(run: Run, out: Path) -> Ended:
    """Move the directory of a run away and back under its name, as a copy does."""
    ended = failed(run, out)
    shutil.move(out, f"{out}.moved")
    shutil.move(f"{out}.moved", out)
    return ended


def checkpoint_broken(run: Run, out: Path) -> Ended:
    """Truncate the checkpoint, and try a resume."""
    failed(run, out)
    whole = (out / CHECKPOINT).read_bytes()
    (out / CHECKPOINT).write_bytes(whole[: len(whole) // 2])
    return run("--resume")


def checkpoint_gone(run: Run, out: Path) -> Ended:
    """Remove the checkpoint, and try a resume."""
    failed(run, out)
    (out / CHECKPOINT).unlink()
    return run("--resume")


def directory_removed(run: Run, _out: Path) -> Ended:
    """Make a run whose stage removes the output directory."""
    removes = 'while test -e "$ORCHESTRATOR_OUTPUT_DIR"; do rm -rf "$ORCHESTRATOR_OUTPUT_DIR"; done'
    # The stage repeats it: the orchestrator may write there while it is being removed.
    return run(*PASSING, *stages(f"{removes}; exit 3"))


def reworked(run: Run, _out: Path) -> Ended:
    """Make a run whose reviewer sends the work back too often."""
    reviewer = shell("reviewer", "exit 10")
    return run(*PASSING, *stages(), *reviewer, "--lifecycle", "reviewed_run")


SITUATIONS = (
    *(blocked, nothing_given, failed, timed_out, went_quiet, printed_too_much, asked_to_end),
    *(orchestrator_killed, report_gone, program_missing, artifact_missing, artifact_gone),
    *(left_a_process, done, done_and_broken, done_and_resumed, done_and_contradicted, changed),
    *(archived, moved, checkpoint_broken, checkpoint_gone, directory_removed, reworked),
)
SCREENS = (
    ("status",),
    ("status", "--json"),
    ("explain",),
    ("explain", "--json"),
    ("plan", "--resume"),
)


class Desk:
    """The directory in which an operator types commands."""

    def __init__(self, cwd: Path, capfd: pytest.CaptureFixture[str]) -> None:
        self.cwd = cwd
        self.capfd = capfd

    def look(self, *arguments: str) -> Ended:
        """Type a command that changes nothing, in this process, which is faster."""
        sys.argv = [PRODUCT, *arguments]
        code = run_command_line(arguments)
        said = self.capfd.readouterr()
        return Ended(code, said.out, said.err)

    def tries(self, command: tuple[str, ...]) -> Iterator[Ended]:
        """Type a command: one that only reads as it is, another first planned, then done."""
        if command[0] in READING or command[-1] == "--help":
            yield self.look(*command)
            return
        yield self.look("plan", *(command[1:] if command[0] in {"run", "plan"} else command))
        if command[0] != "plan":
            yield orchestrate(*command, cwd=self.cwd)


@pytest.fixture
def desk(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> Desk:
    """Return an empty directory."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))
    monkeypatch.setattr(sys, "argv", [])
    return Desk(tmp_path, capfd)


class Reading:
    """The paths and commands read on the screens about one run."""

    def __init__(self, desk: Desk) -> None:
        self._desk = desk
        self.commands: set[tuple[str, ...]] = set()
        self.wrong: list[str] = []

    def read(self, ended: Ended, title: object) -> None:
        """Look for every path on a screen, and note every command."""
        for text in texts_of(ended):
            self.wrong += [
                f"{title}: there is no {path}: {line}"
                for path, line in paths_in(text)
                if not os.path.lexists(self._desk.cwd / path)
            ]
            self.commands |= set(commands_in(text))

    def try_all(self) -> None:
        """Type every command that was read, and read its output."""
        for command in sorted(self.commands):
            for ended in self._desk.tries(command):
                self.read(ended, command)
                if ended.code in REFUSED:
                    self.wrong.append(f"{command}: {ended.stderr}")


def read_and_try(out: str, ended: Ended | None, desk: Desk) -> None:
    """Read every screen about a run, and type every command found on it."""
    reading = Reading(desk)
    if ended is not None:
        reading.read(ended, "run")
    for name, *options in SCREENS:
        reading.read(desk.look(name, *options, "--", out), name)
    reading.try_all()
    assert not reading.wrong, "\n".join(reading.wrong)


@pytest.mark.one_in(2)
@pytest.mark.parametrize("situation", SITUATIONS, ids=lambda one: one.__name__)
def test_what_is_printed_is_true(situation: Situation, desk: Desk) -> None:
    """The printed paths exist in each situation, and the commands are accepted."""

    def run(*options: str) -> Ended:
        return orchestrate("out", *options, cwd=desk.cwd)

    read_and_try("out", situation(run, desk.cwd / "out"), desk)


@pytest.mark.one_in(3)
@pytest.mark.parametrize("out", OUTS, ids=ascii)
def test_what_is_printed_is_true_whatever_the_directory_is_called(out: str, desk: Desk) -> None:
    """The commands work in a shell, however OUT is spelled."""
    signals = ("--policy-status", "allow")
    read_and_try(out, orchestrate("run", *signals, *stages(), "--", out, cwd=desk.cwd), desk)


def test_commands_about_a_run_at_work_are_accepted(desk: Desk) -> None:
    """`status` names two commands while the run works: one shows its output, one ends it."""
    working = ("run", *PASSING, *stages("echo here; exec sleep 60"), "--", "-out")
    process = start(*working, cwd=desk.cwd)
    printed = desk.cwd / "-out" / "logs" / "manager.1.stdout.log"
    wait_until(lambda: printed.exists() and printed.stat().st_size > 0, "the stage prints")
    reading = Reading(desk)
    for screen in ("status", "explain"):
        reading.read(desk.look(screen, "--", "-out"), screen)
    follow, stop = sorted(one for one in reading.commands if one[0] != "explain")
    assert (follow[0], stop[0]) == ("logs", "stop")
    stopped = orchestrate(*stop, cwd=desk.cwd)
    followed = desk.look(*follow)
    process.communicate(timeout=PATIENCE_SECONDS)
    assert (stopped.code, followed.code, process.returncode) == (0, 0, 143)
    assert "manager | here" in followed.stdout
    assert not reading.wrong


def test_commands_typed_elsewhere_are_accepted_there(
    desk: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A command names OUT as the user did, so that it works in the same directory."""
    ended = orchestrate("out", *PASSING, *stages(executor="exit 3"), cwd=desk.cwd)
    assert ended.code == 1
    (desk.cwd / "elsewhere").mkdir()
    monkeypatch.chdir(desk.cwd / "elsewhere")
    there = Desk(desk.cwd / "elsewhere", desk.capfd)
    reading = Reading(there)
    for name, *options in SCREENS:
        reading.read(there.look(name, *options, "../out"), name)
    assert reading.commands
    reading.try_all()
    assert not reading.wrong, "\n".join(reading.wrong)


def test_commands_that_init_prints_are_accepted(desk: Desk) -> None:
    """Both commands work in the new directory, whatever its name."""
    printed = desk.look("init", "a new one")
    assert "cd 'a new one'" in printed.stdout
    plan, run = commands_in(printed.stdout)
    made = desk.cwd / "a new one"
    assert orchestrate(*plan, cwd=made).code == 0
    assert orchestrate(*run, cwd=made).code == 0


def test_commands_in_refusals_are_accepted(desk: Desk) -> None:
    """Every command that a reviewed message names is accepted."""
    refusals = GOLDEN.read_text().splitlines()
    said = "\n".join(line for line in refusals if not line.startswith("$ "))
    helps = {one for one in commands_in(said) if one[-1] == "--help"}
    assert len(helps) > 5
    for command in helps:
        assert desk.look(*command).code == 0, command
