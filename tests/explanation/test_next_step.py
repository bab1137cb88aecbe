"""The next command, wherever it is printed: it works, and is the same everywhere."""

from __future__ import annotations

import json
import re
import shlex
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from fsm_orchestrator.cli import main
from fsm_orchestrator.constants import CHECKPOINT_FILE
from fsm_orchestrator.disk import files
from fsm_orchestrator.secrets.state_directory import state_directory
from tests.support.command import (
    ORCHESTRATOR_PID,
    PASSING,
    Ended,
    orchestrate,
    shell,
    stages,
)

ONCE = "test -e once || { touch once; "
SECRET = ("--manager-env", "MODE=4711")
PLAN = ("--manager-expected-artifact", "plan.json", *shell("manager", "echo [] > plan.json"))
SESAME = {"TOKEN": "open-sesame"}
REFUSED = 2


def run(cwd: Path, *options: str, code: int) -> Ended:
    """Make a run in `out` that ends with `code`."""
    ended = orchestrate("out", *options, cwd=cwd)
    assert ended.code == code, ended.stderr
    return ended


def blocked(cwd: Path) -> Ended:
    """Make a run that two gates refused."""
    return run(cwd, "--policy-status", "allow", *stages(), code=3)


def failed(cwd: Path) -> Ended:
    """Make a run whose executor failed."""
    return run(cwd, *PASSING, *PLAN, *shell("executor", "exit 7"), code=1)


def timed_out(cwd: Path) -> Ended:
    """Make a run whose executor took too long."""
    options = (*shell("executor", "sleep 60"), "--executor-timeout-ms", "300")
    return run(cwd, *PASSING, *PLAN, *options, code=124)


def artifact_gone(cwd: Path) -> None:
    """Make a run whose executor failed, and remove the manager's artifact."""
    failed(cwd)
    (cwd / "plan.json").unlink()


def stage_changed(cwd: Path) -> Ended:
    """Make a run whose executor failed and broke the manager's artifact."""
    return run(cwd, *PASSING, *PLAN, *shell("executor", "echo { > plan.json; exit 7"), code=1)


def interrupted(cwd: Path) -> None:
    """Make a run whose orchestrator was killed while the executor worked."""
    script = f"{ONCE} kill -KILL {ORCHESTRATOR_PID}; exec sleep 60; }}"
    run(cwd, *PASSING, *PLAN, *shell("executor", script), code=-9)


def values_lost(cwd: Path) -> None:
    """Make a run whose executor failed, and lose the values of both stages."""
    options = (*SECRET, "--executor-env", "KEY=0815", *shell("executor", "exit 7"))
    run(cwd, *PASSING, *PLAN, *options, code=1)
    for path in (cwd / "state").rglob("*.json"):
        path.unlink()


def values_and_artifact_lost(cwd: Path) -> None:
    """Make the same, with the manager's artifact gone as well."""
    values_lost(cwd)
    (cwd / "plan.json").unlink()


def done_without_artifact(cwd: Path) -> None:
    """Make a done run, and remove the manager's artifact."""
    run(cwd, *PASSING, *PLAN, *shell("executor", "exit 0"), code=0)
    (cwd / "plan.json").unlink()


SITUATIONS: dict[str, Callable[[Path], Ended | None]] = {
    one.__name__: one
    for one in (
        *(blocked, failed, timed_out, artifact_gone, stage_changed, interrupted),
        *(values_lost, values_and_artifact_lost, done_without_artifact),
    )
}


def commands_in(ended: Ended) -> Iterator[tuple[str, ...]]:
    """Yield the commands to type on a screen: after `next`, or indented below their line."""
    assert ended.code in {0, 1, 3, 124}, ended.stderr
    joined = ended.stdout.replace("\\\n", " ")
    for line in re.findall(
        r"^ +(?:(?:next|resume|again) +)?(fsm-orchestrator .*)$", joined, re.MULTILINE
    ):
        yield tuple(shlex.split(line)[1:])


@pytest.mark.one_in(2)
@pytest.mark.parametrize("situation", SITUATIONS)
def test_every_command_that_is_offered_is_accepted(situation: str, tmp_path: Path) -> None:
    """Summary, status and explain offer the same command, and it works, like a plan's."""
    ended = SITUATIONS[situation](tmp_path)
    screens = {name: orchestrate(name, "out", cwd=tmp_path) for name in ("status", "explain")}
    offered = {name: list(commands_in(screen)) for name, screen in screens.items()}
    if ended is not None:
        offered["summary"] = list(commands_in(ended))
    assert all(len(commands) == 1 for commands in offered.values()), screens
    assert len({commands[0] for commands in offered.values()}) == 1, offered
    for command in {one for commands in offered.values() for one in commands}:
        planned = orchestrate("plan", *command, cwd=tmp_path)
        assert planned.code == 0, planned.stderr
        for other in [*commands_in(planned), command]:
            again = orchestrate(*other, cwd=tmp_path)
            assert again.code != REFUSED, (other, again.stderr)


def test_a_resume_that_no_form_makes_possible_is_not_offered(tmp_path: Path) -> None:
    """If settings are lost, the screens say why, line by line, and offer no command."""
    secret, encoded = {"TOKEN": "open-sesame"}, b"open-sesame".hex()
    options = (*shell("manager", "exit 7"), "--manager-secret", "TOKEN", "--manager-arg", encoded)
    assert orchestrate("out", *PASSING, *options, cwd=tmp_path, env=secret).code == 1
    for name in ("status", "explain"):
        screen = orchestrate(name, "out", cwd=tmp_path, env=secret)
        assert list(commands_in(screen)) == []
        text = re.sub(r"\s+", " ", screen.stdout)
        assert "a resume is refused: stage 'manager' must run" in text
        assert "--manager-bin" in text


def closed(cwd: Path, *options: str, env: dict[str, str] | None = None) -> None:
    """Make a done run in `out`, and remove the manager's artifact."""
    ended = orchestrate("out", *options, cwd=cwd, env=env)
    assert ended.code == 0, ended.stderr
    (cwd / "plan.json").unlink()


def test_done_run_that_cannot_be_closed_begins_again(tmp_path: Path) -> None:
    """Every screen says what is wrong now; the command does the same work and closes the run."""
    wait = ("--manager-timeout-ms", "90000", "--manager-output-limit", "1048577", "--on-leak")
    retry = ("--executor-max-attempts", "2", "--executor-retry-exit-code", "7")
    options = (*PLAN, *wait, "fail", *retry, "--executor-env", "KEY=0815")
    closed(tmp_path, *PASSING, *options, *shell("executor", "exit 0"))
    for name in ("status", "explain"):
        seen = orchestrate(name, "out", cwd=tmp_path).stdout
        assert seen.startswith(("! done, but not ready to close", "!  done, but not"))
        assert "expected artifacts are wrong now: missing" in seen
    (command,) = commands_in(orchestrate("status", "out", cwd=tmp_path))
    joined = " ".join(command)
    assert "--manager-timeout 1m30s --manager-output-limit 1048577 " in joined
    assert "--executor-env KEY=VALUE" in joined
    assert "0815" not in joined
    document = json.loads(orchestrate("status", "out", "--json", cwd=tmp_path).stdout)
    (wrong,) = document["now_wrong"]
    assert str(tmp_path / "plan.json") in wrong
    again = orchestrate(*command, cwd=tmp_path)
    assert again.code == 0, again.stderr
    assert (tmp_path / "plan.json").exists()
    assert orchestrate("status", "out", cwd=tmp_path).stdout.count("done, but") == 0


def test_artifact_that_is_good_again_is_closed_by_a_resume(tmp_path: Path) -> None:
    """A resume updates a report that is out of date, and begins nothing again."""
    closed(tmp_path, *PASSING, *PLAN, *shell("executor", "exit 0"))
    assert orchestrate("out", "--resume", cwd=tmp_path).code == 1
    (tmp_path / "plan.json").write_text("[1]")
    explained = orchestrate("explain", "out", cwd=tmp_path)
    assert "changed:" in explained.stdout
    (tmp_path / "plan.json").write_text("[]\n")
    explained = orchestrate("explain", "out", cwd=tmp_path)
    assert "  do    the artifacts are good now: resume" in explained.stdout
    (command,) = commands_in(explained)
    assert orchestrate(*command, cwd=tmp_path).code == 0
    assert "note:" not in orchestrate("status", "out", cwd=tmp_path).stdout


def test_run_of_a_config_file_begins_again_with_it(tmp_path: Path) -> None:
    """The command names the config file and the signals, and leaves out a file that has changed."""
    (tmp_path / "run.toml").write_text(
        "[stage.manager]\nbin = '/bin/sh'\nargs = ['-c', 'echo [] > plan.json']\n"
        "expected_artifacts = ['plan.json']\n"
    )
    closed(tmp_path, *PASSING, "--config", "run.toml")
    (command,) = commands_in(orchestrate("explain", "out", cwd=tmp_path))
    assert command == ("out", "--config", "run.toml", *PASSING)
    with (tmp_path / "run.toml").open("a") as file:
        file.write("# another\n")
    (command,) = commands_in(orchestrate("explain", "out", cwd=tmp_path))
    assert "--config" not in command
    assert orchestrate(*command, cwd=tmp_path).code == 0


def test_command_with_a_secret_in_it_is_not_printed(tmp_path: Path) -> None:
    """A new run is announced without its command, which would show the secret."""
    options = (*PLAN, "--manager-arg", "open-sesame", "--manager-secret", "TOKEN")
    closed(tmp_path, *PASSING, *options, env=SESAME)
    for env in (SESAME, {}):
        for name in ("status", "explain"):
            screen = orchestrate(name, "out", cwd=tmp_path, env=env)
            assert list(commands_in(screen)) == []
            assert "type the whole command of the run once more" in screen.stdout
            assert "sesame" not in screen.stdout


def test_secret_that_the_environment_lacks_is_named_first(tmp_path: Path) -> None:
    """The command declares the secret again, after a line that asks for its value."""
    closed(tmp_path, *PASSING, *PLAN, "--manager-secret", "TOKEN", env=SESAME)
    screen = orchestrate("status", "out", cwd=tmp_path)
    assert "  first    set TOKEN in the environment of the command\n" in screen.stdout
    (command,) = commands_in(screen)
    assert orchestrate(*command, cwd=tmp_path, env={"TOKEN": "other"}).code == 0


def test_a_refusal_that_is_quoted_keeps_its_lines(tmp_path: Path) -> None:
    """The differences are on separate lines, below their stage."""
    artifact_gone(tmp_path)
    lines = orchestrate("explain", "out", "--all", cwd=tmp_path).stdout.splitlines()
    at = lines.index("    manager (completed by attempt 1):")
    assert lines[at - 1].strip().endswith("has changed since it completed")
    assert lines[at + 1].startswith("      artifacts: ")


def counted(reader: Callable[..., Any], read: list[Path]) -> Callable[..., Any]:
    """Return a reader like `reader` that also records the files that it reads."""

    def read_it(path: Path, *args: Any, **how: Any) -> Any:
        read.append(path)
        return reader(path, *args, **how)

    return read_it


@pytest.mark.parametrize("command", [("explain",), ("report", "--html", "-"), ("status",)])
def test_checkpoint_and_private_file_are_read_once(
    command: tuple[str, ...], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A command that looks at one run uses one state of its files."""
    values = (*SECRET, *shell("executor", "exit 7"))
    run(tmp_path, *PASSING, *PLAN, *values, code=1)
    (tmp_path / "plan.json").unlink()
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))
    monkeypatch.chdir(tmp_path)
    read: list[Path] = []
    for how in ("open_regular", "read_bounded"):
        monkeypatch.setattr(files, how, counted(getattr(files, how), read))
    name, *options = command
    assert main.run_command_line([name, "out", *options]) == 0
    assert [path.name for path in read].count(CHECKPOINT_FILE) == 1
    private = [path.parent for path in read if path.suffix == ".json"]
    assert private.count(state_directory(tmp_path / "out")) == 1


@pytest.mark.parametrize("screen", ["summary", "status", "explain", "explain --all"])
def test_last_words_are_those_of_stdout_where_stderr_is_empty(screen: str, tmp_path: Path) -> None:
    """A program's last output is quoted, masked, from stdout if stderr is empty."""
    script = "seq 20; echo the host is gone, $TOKEN; exit 3"
    options = (*shell("manager", script), "--manager-secret", "TOKEN")
    ended = orchestrate("out", *PASSING, *options, cwd=tmp_path, env=SESAME)
    assert ended.code == 1
    if screen != "summary":
        name, *more = screen.split()
        ended = orchestrate(name, "out", *more, cwd=tmp_path, env=SESAME)
    assert "| 20\n" in ended.stdout
    assert "| the host is gone, ***\n" in ended.stdout
    assert "| 10\n" not in ended.stdout
    again = orchestrate("explain", "out", cwd=tmp_path)  # the value is not known here
    assert "host" not in again.stdout
    both = shell("manager", "echo out; echo err >&2; exit 3")
    assert orchestrate("both", *PASSING, *both, cwd=tmp_path).code == 1
    quoted = orchestrate("explain", "both", cwd=tmp_path).stdout
    assert "| err\n" in quoted
    assert "| out\n" not in quoted
