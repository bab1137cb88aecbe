"""A forked command of the tests behaves like an executed one, as far as can be observed."""

from __future__ import annotations

import os
import re
import resource
import shlex
import shutil
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Final

import pytest

from tests.support import forked
from tests.support.command import (
    COMMAND,
    ORCHESTRATOR_PID,
    PASSING,
    Ended,
    command_of_shells,
    environment,
    orchestrate,
    stages,
    start,
)
from tests.support.fork_server import SENDERS
from tests.support.patience import PATIENCE_SECONDS, wait_until
from tests.support.spans import SPAN

pytestmark = pytest.mark.one_in(2)

SPANS = rf" +{SPAN}\b"
"""A duration in a column: it varies, and so does the number of spaces before it."""
FROM_KEEPER = "ls /proc/self/fd; grep -s -e ^Sig[BI] -e ^Uid -e ^Groups -e ^Cpus /proc/self/status"
SEEN = (
    f"{{ env | grep -v ^ORCHESTRATOR_ | sort; pwd; umask; ulimit -a; {FROM_KEEPER}; }} > ../seen;"
    " exit 3"
)


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
    """Skip the comparison where nothing is forked."""
    if not forked.IS_POSSIBLE:
        pytest.skip("commands are executed here")


@pytest.mark.parametrize(
    "arguments",
    [("--version",), ("run", "--help"), ("out", "--nonsense"), ("status", "nowhere"), ("out", "é")],
    ids=" ".join,
)
def test_output_and_exit_code_are_the_same(arguments: tuple[str, ...], tmp_path: Path) -> None:
    """Both streams, the exit code, and the program's name for itself are the same."""
    assert orchestrate(*arguments, cwd=tmp_path) == executed(*arguments, cwd=tmp_path)


def test_stage_and_records_see_no_difference(tmp_path: Path) -> None:
    """Environment, directory, umask, limits, the run's end, and both streams are the same."""
    seen = []
    before = os.umask(0o027)
    try:
        for number, command in enumerate[Callable[..., Ended]]((orchestrate, executed)):
            cwd = tmp_path / "here"
            cwd.mkdir()
            ended = command("out", *PASSING, *stages(SEEN), "--run-id", "one", cwd=cwd)
            assert ended.code == 1
            said = re.sub(SPANS, " SPAN", ended.stdout + ended.stderr)
            said = re.sub(r"(?<=(?:oken|prev|.mac)\": \")[0-9a-f]+|[0-9]+", "", said)
            seen.append(((tmp_path / "seen").read_text(), said))
            cwd.rename(tmp_path / str(number))
    finally:
        os.umask(before)
    assert seen[0] == seen[1]
    assert "0027" in seen[0][0]


def test_command_that_is_left_running_takes_signals(tmp_path: Path) -> None:
    """It differs from one that has ended, can be asked to end, and returns how it ended."""
    with start("out", *PASSING, *stages("touch up; exec sleep 600"), cwd=tmp_path) as process:
        wait_until((tmp_path / "up").exists)
        assert process.poll() is None
        assert f"process {process.pid} on" in orchestrate("status", "out", cwd=tmp_path).stdout
        process.send_signal(signal.SIGTERM)
        stdout, _ = process.communicate(timeout=PATIENCE_SECONDS)
    assert "received SIGTERM" in stdout
    assert (process.returncode, process.poll()) == (143, 143)


def test_command_that_takes_too_long_is_killed(tmp_path: Path) -> None:
    """It raises as `subprocess.run` does, and the next command still runs."""
    with pytest.raises(subprocess.TimeoutExpired):
        orchestrate("out", *PASSING, *stages("exec sleep 600"), cwd=tmp_path, timeout=0.1)
    assert orchestrate("--version", cwd=tmp_path).code == 0


def can_fork(cwd: Path, *arguments: str, **env: str) -> bool:
    """Return whether this command would be forked."""
    return forked.can_fork(arguments, cwd=cwd, env=environment(**env), base=environment())


@pytest.mark.parametrize(
    "name", ["PYTHONHASHSEED", "LC_CTYPE", "LANG", "LD_PRELOAD", "FORCE_COLOR"]
)
def test_environment_that_is_heeded_at_the_start_is_never_forked(
    tmp_path: Path, name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Such a variable comes too late for a forked process, even if it is set for all commands."""
    orchestrate("--version", cwd=tmp_path)
    assert can_fork(tmp_path, HOME="other")
    assert not can_fork(tmp_path, **{name: "other"})
    monkeypatch.setenv(name, "other")
    assert not can_fork(tmp_path)


def test_what_processes_inherit_is_never_forked(tmp_path: Path) -> None:
    """A current limit, ignored signal or blocked signal is not the server's."""
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


@pytest.mark.skipif(
    os.geteuid() != 0 or not shutil.which("setpriv"), reason="only root has what is taken away"
)
def test_what_a_process_may_do_is_never_forked(tmp_path: Path) -> None:
    """A shell's command without capabilities is not forked from a server that has them all."""
    run = ("out", *PASSING, *stages("grep ^CapBnd /proc/self/status > seen"))
    for bound in ((), ("setpriv", "--bounding-set=-all", "--inh-caps=-all", "--")):
        cwd = tmp_path / str(len(bound))
        cwd.mkdir()
        words = [*bound, *command_of_shells(environment()), *run]
        env = environment(XDG_STATE_HOME=str(tmp_path / "state"))
        subprocess.run(words, cwd=cwd, env=env, capture_output=True, check=True)
    assert int((tmp_path / "4/seen").read_text().split()[1], 16) == 0
    assert int((tmp_path / "0/seen").read_text().split()[1], 16) != 0


def test_what_the_system_refuses_is_refused(tmp_path: Path) -> None:
    """An overlong argument, one with a null, and a missing directory fail as when executed."""
    with pytest.raises(OSError, match="too long"):
        orchestrate("x" * 4_000_000, cwd=tmp_path)
    with pytest.raises(ValueError, match="null"):
        orchestrate("a\0b", cwd=tmp_path)
    with pytest.raises(FileNotFoundError):
        orchestrate("--version", cwd=tmp_path / "nowhere")


KILLED: Final = ("out", *PASSING, *stages(f"kill -KILL {ORCHESTRATOR_PID}; sleep 60"))
UP: Final = "until test -e up; do sleep 0.05; done"
WAITING: Final = ("out", *PASSING, *stages("touch up; exec sleep 60"))


@pytest.mark.parametrize(
    "line",
    [
        "{} out; echo $?",
        "{} status nowhere 2>&1; echo $?",
        "echo a line | {} --version; wc -c; ls -d /proc/$$/fd/[012]",
        'umask 077; {} out --manager-bin "$(command -v umask)"; stat -c %a out/*.json',
        "LC_ALL=C {} --version",
        "(ulimit -n 99; {} --version)",
        "{} --version <&-",
        f"{{}} {shlex.join(KILLED)}; echo $?",
        f"{{}} {shlex.join(WAITING)} & {UP}; kill $!; wait $!; echo $?",
    ],
)
def test_command_of_a_shell_is_the_same(line: str, tmp_path: Path) -> None:
    """It prints, exits, dies, finds and receives the same."""
    seen = []
    for words in (COMMAND, command_of_shells(environment())):
        cwd = tmp_path / "here"
        cwd.mkdir()
        done = subprocess.run(
            ["/bin/sh", "-c", line.format(shlex.join(words))],
            cwd=cwd,
            env=environment(XDG_STATE_HOME=str(tmp_path / "state")),
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=PATIENCE_SECONDS,
            check=False,
        )
        cwd.rename(tmp_path / words[-1].replace("/", "_"))
        shown = re.sub(SPANS, " SPAN", f"{done.returncode} {done.stdout}")
        seen.append(re.sub(r"[0-9T.]+Z-[0-9a-f]{8}|[0-9]{3,}", "", shown))
    assert seen[0] == seen[1]


WATCHED_LOAD = """
import os, sys
from tests.support import fork_server
ASKED = {"getcwd", "getpid", "getppid", "getuid", "geteuid", "isatty", "uname", "urandom"}
ASKED |= {"now", "time", "monotonic", "getsignal", "getrlimit"}
GO_BETWEENS = {"_collections_abc", "os", "pathlib", "platform", "secrets", "socket", "uuid"}
def watch(frame, event, given):
    if event == "c_call" and given.__name__ in ASKED:
        asked, caller = given.__name__, frame
    elif event == "call" and frame.f_locals.get("self") is os.environ:
        asked, caller = "the environment", frame.f_back
    else:
        return
    while caller.f_globals.get("__name__") in GO_BETWEENS:
        caller = caller.f_back
    where = caller.f_globals.get("__name__", "")
    if where.partition(".")[0] == "fsm_orchestrator":
        print(where, "asks for", asked)
def look_unwatched(look=fork_server.complete_first_looks):
    sys.setprofile(None)
    look()
    sys.setprofile(watch)
fork_server.complete_first_looks = look_unwatched
sys.setprofile(watch)
fork_server.load()
sys.setprofile(None)
assert {"pydantic.main", "click", "structlog"} <= sys.modules.keys()
print(len([name for name in sys.modules if name.startswith("fsm_orchestrator.")]))
"""


def test_loading_the_package_looks_at_nothing_that_differs_between_commands() -> None:
    """A command may find the package loaded, since environment, user, time and so on are unread.

    The only line is the number of modules: all modules except `__main__`, which each command runs
    again, and those that send telemetry. The commands that are run once do look; the tests below
    show that others find nothing of it.
    """
    root = Path(__file__).parents[2]
    found = subprocess.run(
        [sys.executable, "-c", WATCHED_LOAD],
        cwd=root,
        env=environment(),
        capture_output=True,
        text=True,
        check=True,
    )
    there = [*(root / "fsm_orchestrator").rglob("*.py")]
    left_out = ["__init__", "__main__", *SENDERS]
    assert found.stdout.splitlines() == [str(len(there) - len(left_out))]


STRAYS_IN_KNOWN_PLACES = """
import os, sys
from fsm_orchestrator.cli import isolation
look = isolation._strays_in
from tests.support import fork_server
fork_server.load()
import click
for folder in (os.path.dirname(os.path.dirname(click.__file__)), os.path.dirname(os.__file__), "/"):
    known, found = ([*how(folder, "fsm_orchestrator")] for how in (isolation._strays_in, look))
    assert known == found, folder
    print(bool(found))
"""


def test_places_that_a_server_knows_are_those_a_command_would_find() -> None:
    """The server looks for them once; a command in one of them excludes modules from there."""
    done = subprocess.run(
        [sys.executable, "-c", STRAYS_IN_KNOWN_PLACES],
        cwd=Path(__file__).parents[2],
        env=environment(),
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.split() == ["True", "True", "False"]


READ_WITHOUT_BUILDING = """
import sys
from tests.support import fork_server
fork_server.load()
from fsm_orchestrator.model import lazily, parsed
parsed._built = parsed._made = None
from fsm_orchestrator.cli.main import run_command_line
codes = {run_command_line([*words, "out"]) for words in (["explain", "--json"], ["status"])}
assert codes == {0}, codes
assert lazily._adapter_of.cache_info().currsize >= 4
"""


def test_no_forked_command_builds_what_reads_models(finished: Path) -> None:
    """The server has built it, since building takes longer than most commands."""
    done = subprocess.run(
        [sys.executable, "-c", READ_WITHOUT_BUILDING],
        cwd=finished,
        env=environment(PYTHONPATH=str(Path(__file__).parents[2])),
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr


NOW: Final = r" ago|this page|, for \d"
"""Text in a line that depends on when the command was run."""
READERS: Final = (
    *(("status", "out"), ("status", "out", "--json"), ("explain", "out"), ("logs", "out")),
    ("plan", "out", *PASSING, *stages(), "--run-id", "one"),
    *(("report", "out"), ("report", "out", "--html", "-"), ("diagram", "--run", "out")),
    *(("verify", "governed_run"), ("lifecycle", "governed_run"), ("schema", "report")),
    *(("config", "show"), ("completion", "bash"), ("stop", "out")),
)


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return the directory of `out`, a run that is done."""
    cwd = tmp_path_factory.mktemp("finished")
    assert orchestrate("out", *PASSING, *stages("echo hello"), cwd=cwd).code == 0
    return cwd


@pytest.mark.one_in(2)
@pytest.mark.parametrize("arguments", READERS, ids=lambda words: " ".join(words[:3]))
def test_commands_load_themselves_what_they_use(arguments: tuple[str, ...], finished: Path) -> None:
    """A module that a forked command finds loaded is also loaded when the command is executed."""
    outputs: list[list[int | str]] = []
    for command in (orchestrate, executed):
        ended = command(*arguments, cwd=finished)
        lines = (ended.stdout + ended.stderr).splitlines()
        outputs.append([ended.code, *(one for one in lines if not re.search(NOW, one))])
    assert outputs[0] == outputs[1]
