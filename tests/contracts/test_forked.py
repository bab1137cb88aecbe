"""A command that the tests fork does, as far as can be seen, what it does when it is executed."""

from __future__ import annotations

import os
import re
import resource
import signal
import subprocess
import sys
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
    if not forked.IS_POSSIBLE:
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
    """Environment, directory, umask, limits, how the run ends, and what is on both streams."""
    seen = []
    before = os.umask(0o027)
    try:
        for number, command in enumerate[Callable[..., Ended]]((orchestrate, executed)):
            cwd = tmp_path / "here"
            cwd.mkdir()
            ended = command("out", *PASSING, *stages(SEEN), "--run-id", "one", cwd=cwd)
            assert ended.code == 1
            said = re.sub(r"[0-9]+|(?<=token\": \")[0-9a-f]+", "", ended.stdout + ended.stderr)
            seen.append(((tmp_path / "seen").read_text(), said))
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


def can_fork(cwd: Path, *arguments: str, **env: str) -> bool:
    """Return whether this command would be forked."""
    return forked.can_fork(arguments, cwd=cwd, env=environment(**env), base=environment())


@pytest.mark.parametrize("name", ["PYTHONHASHSEED", "LC_ALL", "LANG", "LD_PRELOAD", "FORCE_COLOR"])
def test_environment_that_is_heeded_at_the_start_is_never_forked(
    tmp_path: Path, name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It would come too late for a process that is forked, also if it is set for all commands."""
    orchestrate("--version", cwd=tmp_path)
    assert can_fork(tmp_path, HOME="other")
    assert not can_fork(tmp_path, **{name: "other"})
    monkeypatch.setenv(name, "other")
    assert not can_fork(tmp_path)


def test_what_processes_inherit_is_never_forked(tmp_path: Path) -> None:
    """A limit, an ignored or a blocked signal of this moment is not that of the server."""
    orchestrate("--version", cwd=tmp_path)
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (soft - 1, hard))
    try:
        assert not can_fork(tmp_path)
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
    before = signal.signal(signal.SIGUSR1, signal.SIG_IGN)
    try:
        assert not can_fork(tmp_path)
    finally:
        signal.signal(signal.SIGUSR1, before)
    signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGUSR1})
    try:
        assert not can_fork(tmp_path)
    finally:
        signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGUSR1})
    assert can_fork(tmp_path)


def test_what_the_system_refuses_is_refused(tmp_path: Path) -> None:
    """Too long an argument, one with a null, and no directory: as when it is executed."""
    with pytest.raises(OSError, match="too long"):
        orchestrate("x" * 4_000_000, cwd=tmp_path)
    with pytest.raises(ValueError, match="null"):
        orchestrate("a\0b", cwd=tmp_path)
    with pytest.raises(FileNotFoundError):
        orchestrate("--version", cwd=tmp_path / "nowhere")


def test_server_runs_nothing_of_the_package() -> None:
    """No module of it but the one that sets the scene leaves anything in the commands."""
    program = (
        "import sys\n"
        "seen = set()\n"
        "sys.addaudithook(lambda event, given: event == 'import' and seen.add(given[0]))\n"
        "from tests.support import fork_server\n"
        "fork_server.load_libraries()\n"
        "assert {'pydantic.main', 'click', 'structlog'} <= sys.modules.keys()\n"
        "print(*sorted(name for name in seen if name.startswith('fsm_orchestrator')))\n"
    )
    found = subprocess.run(
        [sys.executable, "-c", program],
        cwd=Path(__file__).parents[2],
        env=environment(),
        capture_output=True,
        text=True,
        check=True,
    )
    assert found.stdout.split() == ["fsm_orchestrator", "fsm_orchestrator.__main__"]
