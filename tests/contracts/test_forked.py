"""A command that the tests fork does, as far as can be seen, what it does when it is executed."""

from __future__ import annotations

import os
import re
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.support import forked
from tests.support.command import COMMAND, PASSING, Ended, environment, orchestrate, stages

SEEN = "{ env | grep -v ^ORCHESTRATOR_ | sort; pwd; umask; ulimit -a; } > ../seen; exit 3"


def executed(*arguments: str, cwd: Path) -> Ended:
    """Run the command as a shell would."""
    done = subprocess.run(
        [*COMMAND, *arguments],
        cwd=cwd,
        env=environment(XDG_STATE_HOME=str(cwd / "state")),
        capture_output=True,
        text=True,
        check=False,
    )
    return Ended(done.returncode, done.stdout, done.stderr)


@pytest.fixture(autouse=True)
def forking() -> None:
    """Leave out the comparison where nothing is forked."""
    if not forked.can_fork(environment(), environment()):
        pytest.skip("commands are executed here")


@pytest.mark.parametrize(
    "arguments",
    [("--version",), ("run", "--help"), ("out", "--nonsense"), ("status", "nowhere"), ("out", "é")],
    ids=" ".join,
)
def test_output_and_exit_code_are_the_same(arguments: tuple[str, ...], tmp_path: Path) -> None:
    """Both streams, the exit code, and the name by which the program speaks of itself."""
    assert orchestrate(*arguments, cwd=tmp_path) == executed(*arguments, cwd=tmp_path)


def test_stage_and_records_see_no_difference(tmp_path: Path) -> None:
    """Environment, directory, umask, limits, and how the run ends."""
    seen = []
    before = os.umask(0o027)
    try:
        for number, command in enumerate[Callable[..., Ended]]((orchestrate, executed)):
            cwd = tmp_path / "here"
            cwd.mkdir()
            ended = command("out", *PASSING, *stages(SEEN), "--run-id", "one", cwd=cwd)
            assert ended.code == 1
            seen.append(((tmp_path / "seen").read_text(), re.sub(r"[0-9]", "", ended.stdout)))
            cwd.rename(tmp_path / str(number))
    finally:
        os.umask(before)
    assert seen[0] == seen[1]
    assert "0027" in seen[0][0]


def test_command_that_takes_too_long_is_killed(tmp_path: Path) -> None:
    """It raises as `subprocess.run` does, and the next command is run all the same."""
    with pytest.raises(subprocess.TimeoutExpired):
        orchestrate("out", *PASSING, *stages("exec sleep 600"), cwd=tmp_path, timeout=0.1)
    assert orchestrate("--version", cwd=tmp_path).code == 0


def test_environment_of_the_interpreter_is_never_forked() -> None:
    """What Python itself reads as it starts would come too late for a process that is forked."""
    for name in ("PYTHONHASHSEED", "LC_ALL", "LANG"):
        assert not forked.can_fork(environment(**{name: "other"}), environment())
