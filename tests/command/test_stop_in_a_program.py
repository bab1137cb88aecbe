"""`stop` of a run inside another program, which continues with its other runs.

The program is this test's process, which runs in threads.
"""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
import shlex
import signal
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any, Final

import pytest

from fsm_orchestrator import Interrupts, Report, RunConfig, StageGiven, run
from fsm_orchestrator.disk import stop_request
from fsm_orchestrator.disk.held import HeldDirectory
from fsm_orchestrator.engine.stop_hearing import StopHearing
from fsm_orchestrator.errors import CommandError
from fsm_orchestrator.inspection.stopping import stop_run
from fsm_orchestrator.model.retry_policy import RetryPolicy
from fsm_orchestrator.vocabulary import Gate
from tests.support.command import COMMAND, events_of, orchestrate, read_json
from tests.support.patience import PATIENCE_SECONDS, wait_until

pytestmark = [
    pytest.mark.timeout(300),
    pytest.mark.skipif(sys.platform != "linux", reason="who asks is looked up in /proc/locks"),
]
LOCK: Final = "orchestrator.lock"
STOP: Final = "orchestrator.stop"
GATES: Final = {Gate.POLICY: "allow", Gate.CI: "success", Gate.REVIEW: "approved"}
STAYS: Final = "touch ready; exec sleep 600"
WAITS: Final = "touch ready; until test -e go; do sleep 0.02; done"
STUBBORN: Final = "trap '' TERM; touch ready; while :; do sleep 0.05; done"


@pytest.fixture(autouse=True)
def private_state(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Keep a run's private state below the test's directory."""
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))


def sh(place: Path, script: str, **settings: Any) -> StageGiven:
    """Return a stage that is a shell in a directory."""
    return StageGiven(bin="/bin/sh", args=("-c", script), cwd=str(place), **settings)


def config(place: Path, script: str, **settings: Any) -> RunConfig:
    """Return the request of a run of one stage, in a directory of its own."""
    return RunConfig(
        output_directory=place / "out",
        gates=GATES,
        stages={"manager": sh(place, script, **settings)},
        skip_stages=("executor",),
    )


class Working:
    """A run at work in a thread of this program."""

    def __init__(self, asked: RunConfig, interrupts: Interrupts | None = None) -> None:
        self.interrupts = Interrupts() if interrupts is None else interrupts
        self.report: Report | None = None
        self._asked = asked
        self._thread = threading.Thread(target=self._work)
        self._thread.start()

    def _work(self) -> None:
        self.report = run(self._asked, interrupts=self.interrupts)

    def ended(self) -> Report:
        """Wait for the run to end, and return its report."""
        self._thread.join(PATIENCE_SECONDS)
        assert self.report is not None
        return self.report


@contextlib.contextmanager
def working(
    place: Path, asked: RunConfig | None = None, *, script: str = STAYS
) -> Iterator[Working]:
    """Start a run whose stage is at work; end it at exit."""
    place.mkdir(exist_ok=True)
    one = Working(config(place, script) if asked is None else asked)
    try:
        wait_until((place / "ready").exists)
        yield one
    finally:
        one.interrupts.deliver(signal.SIGTERM)
        one.interrupts.deliver(signal.SIGTERM)
        one.ended()
        one.interrupts.close()


def test_run_that_is_asked_ends_and_the_others_go_on(tmp_path: Path) -> None:
    """This holds even if all runs share one `Interrupts`, which then ends the remaining runs."""
    (tmp_path / "one").mkdir()
    with working(tmp_path / "two", script=WAITS) as other:
        one = Working(config(tmp_path / "one", STAYS), other.interrupts)
        wait_until((tmp_path / "one" / "ready").exists)
        shown = orchestrate("status", "one/out", cwd=tmp_path)
        assert "fsm-orchestrator stop one/out" in shown.stdout
        ended = orchestrate("stop", "one/out", cwd=tmp_path)
        assert ended.code == 0, ended.stderr
        said = f"stopped: process {os.getpid()} released one/out, and continues with its other work"
        assert said in ended.stdout
        report = one.ended()
        assert (report.exit_code, report.terminal_state) == (143, "failed")
        assert report.stage_executions[0].status == "interrupted"
        assert report.transitions[-1].cause.endswith("the run was asked to end, as by SIGTERM")
        assert other.report is None
        assert other.interrupts.first is None
        (tmp_path / "two" / "go").touch()
        assert other.ended().exit_code == 0
    for name in ("one", "two"):
        assert not (tmp_path / name / "out" / STOP).exists()
    assert orchestrate("one/out", "--resume", "--manager-bin", "true", cwd=tmp_path).code == 0


def test_interrupts_of_several_runs_end_them_all(tmp_path: Path) -> None:
    """Each run also gets the requests that came before it began."""
    with working(tmp_path / "one") as one, working(tmp_path / "two") as two:
        assert one.report is two.report is None
        shared = Interrupts()
        (tmp_path / "three").mkdir()
        both = [Working(config(tmp_path / "three", STAYS), shared)]
        wait_until((tmp_path / "three" / "ready").exists)
        shared.deliver(signal.SIGHUP)
        (tmp_path / "four").mkdir()
        both.append(Working(config(tmp_path / "four", STAYS), shared))
        assert [each.ended().exit_code for each in both] == [129, 129]
        shared.close()
        shared.deliver(signal.SIGTERM)  # A late timer has no effect.
        assert one.report is two.report is None


def test_second_request_ends_at_once(tmp_path: Path) -> None:
    """It ends the grace that the first request began, as with signals."""
    with working(tmp_path, config(tmp_path, STUBBORN, kill_grace_ms=600_000)) as one:
        ended = orchestrate("stop", "out", "--wait-ms", "1500", cwd=tmp_path)
        assert ended.code == 1
        assert "stop --now" in ended.stderr
        assert one.report is None
        ended = orchestrate("stop", "out", "--now", cwd=tmp_path)
        assert ended.code == 0, ended.stderr
        assert one.ended().exit_code == 143


GROUP: Final = Path(__file__).parents[2] / "states" / "checked_run.toml"


@pytest.mark.parametrize("waits", ["for a retry", "for a group"])
def test_request_is_heard_wherever_a_run_waits(tmp_path: Path, waits: str) -> None:
    """A run that waits for something else looks for requests as well."""
    if waits == "for a retry":
        patient = RetryPolicy(
            max_attempts=2, exit_codes=(1,), backoff_ms=600_000, backoff_ms_max=600_000
        )
        asked = config(tmp_path, "touch ready; exit 1", retry=patient)
    else:
        asked = RunConfig(
            output_directory=tmp_path / "out",
            lifecycle=str(GROUP),
            gates=GATES,
            stages={"executor": sh(tmp_path, "exit 0"), "lint": sh(tmp_path, STAYS)},
            skip_stages=("unit_tests", "scan"),
        )
    with working(tmp_path, asked) as one:
        assert orchestrate("stop", "out", cwd=tmp_path).code == 0
        assert one.ended().exit_code == 143


def test_program_that_is_too_old_to_be_asked_is_left_alone(tmp_path: Path) -> None:
    """A holder whose lock file does not announce requests gets none, and is not signaled."""
    with working(tmp_path, script=WAITS) as one:
        lock = tmp_path / "out" / LOCK
        said = read_json(lock)
        assert len(said.pop("hears")) == 32
        with lock.open("r+") as file:
            json.dump(said, file)
            file.truncate()
        for options in ((), ("--now",)):
            ended = orchestrate("stop", "out", *options, cwd=tmp_path)
            assert ended.code == 1
            assert f"process {os.getpid()}, which uses the library, is too old" in ended.stderr
        lock.write_text(json.dumps({**said, "held_by": "engine"}))
        ended = orchestrate("stop", "out", cwd=tmp_path)
        assert f"process {os.getpid()}, a worker of an engine, is too old" in ended.stderr
        assert "fsm-orchestrator temporal signal " in ended.stderr
        assert "stop" not in orchestrate("status", "out", cwd=tmp_path).stdout
        (tmp_path / "go").touch()
        assert one.ended().exit_code == 0


# Accepted requests


@pytest.fixture(name="home")
def held(tmp_path: Path) -> Iterator[HeldDirectory]:
    """Yield an output directory as a run at work in it holds it."""
    (tmp_path / LOCK).touch()
    descriptor = os.open(tmp_path, os.O_RDONLY)
    yield HeldDirectory(tmp_path, descriptor)
    os.close(descriptor)


def test_only_a_request_for_this_invocation_is_heard(home: HeldDirectory) -> None:
    """It counts only while its sender is alive, and once, with the signals that it stands for."""
    out, file = home.path, home.path / STOP
    file.write_text("left by an earlier one")
    hearing = StopHearing(home)
    assert not file.exists()
    assert hearing.look() == ()
    with stop_request.asking(out, hearing.hears, times=1) as asked:
        assert hearing.look() == (signal.SIGTERM,)
        assert hearing.look() == ()
        file.unlink()
        asked.put_again_if_gone()
        assert hearing.look() == ()
        with stop_request.asking(out, hearing.hears, times=2):
            assert hearing.look() == (signal.SIGTERM, signal.SIGINT)
        assert not file.exists()
    with stop_request.asking(out, "0" * 32, times=1):
        assert hearing.look() == ()
    with stop_request.asking(out, hearing.hears, times=1):
        text = file.read_text()
    file.write_text(text)
    file.chmod(0o600)
    assert hearing.look() == ()  # no sender is alive
    assert hearing.doubt() is None


TAKES_AND_GOES: Final = "import fcntl, sys; fcntl.flock(int(sys.argv[1]), fcntl.LOCK_EX)"


def test_lock_of_a_process_that_is_gone_is_nobodys(home: HeldDirectory) -> None:
    """A stage could leave it to another process and so hide whose it is."""
    hearing, file = StopHearing(home), home.path / STOP
    with stop_request.asking(home.path, hearing.hears, times=1):
        text = file.read_bytes()
    private(file, text)
    with file.open("rb") as stream:
        number = stream.fileno()
        words = [sys.executable, "-c", TAKES_AND_GOES, str(number)]
        subprocess.run(words, pass_fds=(number,), check=True)
        with file.open("rb") as other, pytest.raises(BlockingIOError):
            fcntl.flock(other, fcntl.LOCK_EX | fcntl.LOCK_NB)
        assert hearing.look() == ()


def private(file: Path, text: bytes) -> None:
    """Write a private file."""
    file.write_bytes(text)
    file.chmod(0o600)


def open_to_others(file: Path, text: bytes) -> None:
    """Write a file that others may write too."""
    file.write_bytes(text)
    file.chmod(0o620)


def with_another_name(file: Path, text: bytes) -> None:
    """Write a file that has a second name."""
    private(file, text)
    os.link(file, file.with_name("other"))


def by_a_link(file: Path, text: bytes) -> None:
    """Write a file elsewhere and link to it."""
    private(file.with_name("elsewhere"), text)
    file.symlink_to(file.with_name("elsewhere"))


def saying(old: bytes, new: bytes) -> Callable[[Path, bytes], None]:
    """Return a writer of a good request with something replaced in it."""
    return lambda file, good: private(file, good.replace(old, new))


ONCE: Final = b'"times": 1'
KIND, WORDS = "not a regular file, or has another name", "it does not contain a request"
DOUBTED: Final[Mapping[str, tuple[Callable[[Path, bytes], None], str]]] = {
    "link": (by_a_link, KIND),
    "FIFO": (lambda file, _: os.mkfifo(file, 0o600), KIND),
    "directory": (lambda file, _: file.mkdir(), KIND),
    "hard link": (with_another_name, KIND),
    "open to others": (open_to_others, "users other than its owner may use it"),
    "nothing": (lambda file, _: private(file, b""), WORDS),
    "not UTF-8": (lambda file, _: private(file, b"\xff"), WORDS),
    "too much": (saying(b"}", b"}" + b" " * 4000), WORDS),
    "deep": (lambda file, _: private(file, b"[" * 1000), WORDS),
    "a list": (lambda file, _: private(file, b"[]"), WORDS),
    "three times": (saying(ONCE, b'"times": 3'), WORDS),
    "true times": (saying(ONCE, b'"times": true'), WORDS),
    "another program": (saying(b"fsm-orch", b"tsm-orch"), WORDS),
    "more": (saying(ONCE, ONCE + b', "more": 1'), WORDS),
}


@pytest.mark.parametrize("case", DOUBTED)
def test_what_is_not_believed_is_said(home: HeldDirectory, case: str) -> None:
    """A doubtful request is not waited for, not followed, and ends nothing."""
    make, words = DOUBTED[case]
    hearing = StopHearing(home)
    file = home.path / STOP
    with stop_request.asking(home.path, hearing.hears, times=1):
        good = file.read_bytes()
    make(file, good)
    assert hearing.look() == ()
    assert words in (hearing.doubt() or "")


def test_another_users_request_is_not_believed(
    home: HeldDirectory, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The effective user of this process is the user that runs it."""
    hearing = StopHearing(home)
    with stop_request.asking(home.path, hearing.hears, times=1):
        monkeypatch.setattr(os, "geteuid", lambda: 4711)
        assert hearing.look() == ()
    assert "another user's" in (hearing.doubt() or "")


@pytest.mark.skipif(os.geteuid() != 0, reason="gives a file away, as root alone may")
def test_root_asks_as_the_user_whose_run_it_is(home: HeldDirectory) -> None:
    """A run accepts requests of its own user alone; root's request for its own run stays root's."""
    hearing = StopHearing(home)
    os.chown(home.path / LOCK, 4711, 4712)
    with stop_request.asking(home.path, hearing.hears, times=1):
        status = (home.path / STOP).stat()
    assert (status.st_uid, status.st_gid, status.st_mode & 0o777) == (4711, 4712, 0o600)


def test_directory_that_takes_no_request_is_said(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The message says what to do, and the run continues."""

    def full(_: object) -> None:
        raise OSError(28, "No space left on device")

    with working(tmp_path, script=WAITS) as one:
        monkeypatch.setattr(stop_request.Asked, "put", full)
        with pytest.raises(CommandError, match=r"asked by a file there: no space left") as refusal:
            stop_run(tmp_path / "out", wait_ms=1000, at_once=False)
        assert "make that directory writable" in refusal.value.remedy
        (tmp_path / "go").touch()
        assert one.ended().exit_code == 0


FORGES: Final = """
import json, pathlib, time
from fsm_orchestrator.disk import stop_request
out = pathlib.Path("out")
hears = json.loads((out / "orchestrator.lock").read_text())["hears"]
with stop_request.asking(out, hears, times=1):
    time.sleep(1.5)
"""


def test_stage_that_asks_for_the_end_of_its_run_is_not_believed(tmp_path: Path) -> None:
    """A correct request held by a live process is refused too, and the run names who made it.

    The command typed by the stage gives the same message at once.
    """
    typed = f"{shlex.join(COMMAND)} stop out 2> said"
    script = f"cd {tmp_path}; {typed}; {shlex.join([sys.executable, '-c', FORGES])}"
    report = run(config(tmp_path, script))
    assert (report.exit_code, report.closure_ready) == (0, True)
    (told,) = [one for one in report.warnings if "believed" in one]
    assert told.startswith(f"{tmp_path / 'out' / STOP} was not believed to be a request")
    assert "a stage made it" in told
    events = [one for one in events_of(tmp_path / "out") if one["event"] == "run.warning"]
    assert told in [one["message"] for one in events]
    assert "typed below a stage of that program" in (tmp_path / "said").read_text()
