"""A result on stdout: written completely, after waiting for the reader, or reported as lost."""

from __future__ import annotations

import os
import signal
import subprocess
import time
from collections.abc import Sequence
from pathlib import Path

import pytest

from tests.cli.cli_cases import GOOD_RUN, through_shell
from tests.support.command import COMMAND, PASSING, environment, orchestrate, report_of, stages
from tests.support.patience import PATIENCE_SECONDS

pytestmark = pytest.mark.one_in(2)

LONG_LOG = "seq 20000; seq 20000 >&2"
"""Output that is far longer than a pipe holds."""
PRINTING: Sequence[Sequence[str]] = (
    ("report", "out"),
    ("report", "out", "--html", "-"),
    ("explain", "out", "--json"),
    ("status", "out"),
    ("logs", "out"),
    ("plan", "new", *GOOD_RUN),
    ("diagram",),
    ("verify",),
    ("lifecycle", "governed_run"),
    ("schema", "report"),
    ("config", "show", "out"),
    ("completion", "bash"),
    ("run", "new", *GOOD_RUN, "--print-config"),
    ("stop", "out"),
    ("--version",),
    ("--help",),
)
"""Commands whose product is their output."""


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a directory with the run `out`, whose logs and page are longer than a pipe."""
    place = tmp_path_factory.mktemp("place")
    long = ("--manager-arg", "x" * 80_000)
    assert orchestrate("out", *PASSING, *stages(LONG_LOG), *long, cwd=place).code == 0
    return place


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs /dev/full")
@pytest.mark.parametrize(
    ("arguments", "redirection", "why"),
    [(one, ">/dev/full", "no space left on device") for one in PRINTING]
    + [(one, ">&-", "bad file descriptor") for one in PRINTING[:2]],
    ids=lambda value: value if isinstance(value, str) else " ".join(value),
)
def test_result_that_is_not_written_is_an_error(
    place: Path, arguments: Sequence[str], redirection: str, why: str
) -> None:
    """The exit code is 1, and one message has the reason; no output claims success."""
    ended = through_shell(f'"$@" {redirection}', *arguments, cwd=place)
    assert ended.code == 1
    assert ended.stderr == (
        f"fsm-orchestrator: cannot write the result to standard output: {why}\n"
        "  send it to a place that can take all of it, and run the command again\n"
    )


@pytest.mark.parametrize("arguments", PRINTING[::5], ids=" ".join)
def test_reader_that_has_seen_enough_is_no_error(place: Path, arguments: Sequence[str]) -> None:
    """`| true` keeps the exit code, and no message is printed."""
    command = '{ "$@"; echo $? > code; } | true'
    ended = through_shell(command, *arguments, cwd=place)
    assert ((place / "code").read_text(), ended.stderr) == ("0\n", "")


def unread(arguments: Sequence[str], cwd: Path) -> subprocess.Popen[bytes]:
    """Start a command without a reader, and wait until it has filled its pipe and waits."""
    process = subprocess.Popen(
        [*COMMAND, *arguments],
        cwd=cwd,
        env=environment(XDG_STATE_HOME=str(cwd / "state")),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    )
    waits_for = Path(f"/proc/{process.pid}/wchan")
    deadline = time.monotonic() + PATIENCE_SECONDS
    while time.monotonic() < deadline and "poll" not in waits_for.read_text():
        assert process.poll() is None
        time.sleep(0.01)
    return process


LONG: Sequence[Sequence[str]] = (
    ("logs", "out"),
    ("report", "out"),
    ("explain", "out", "--json"),
)


@pytest.mark.parametrize("arguments", LONG, ids=" ".join)
def test_slow_reader_gets_all(place: Path, arguments: Sequence[str]) -> None:
    """A late reader reads the same as an immediate one."""
    at_once = through_shell('"$@"', *arguments, cwd=place)
    with unread(arguments, place) as process:
        time.sleep(0.5)
        assert process.poll() is None
        late, errors = process.communicate(timeout=PATIENCE_SECONDS)
    assert (process.returncode, errors) == (0, b"")
    assert late.decode() == at_once.stdout


@pytest.mark.parametrize("arguments", LONG[:2], ids=" ".join)
@pytest.mark.parametrize(("signum", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, -15)])
def test_wait_for_a_reader_can_be_ended(
    place: Path, arguments: Sequence[str], signum: int, code: int
) -> None:
    """Ctrl-C ends a command that waits for its reader."""
    with unread(arguments, place) as process:
        process.send_signal(signum)
        assert process.wait(timeout=PATIENCE_SECONDS) == code


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs /dev/full")
def test_run_keeps_its_exit_code_and_names_its_report(tmp_path: Path) -> None:
    """The product of a run is its report on disk; a message reports the lost summary."""
    ended = through_shell('"$@" >/dev/full', "out", *GOOD_RUN, cwd=tmp_path)
    report = tmp_path / "out" / "orchestrator_run_report.json"
    assert ended.code == 0
    assert ended.stderr.splitlines()[-2:] == [
        "fsm-orchestrator: cannot write the result to standard output: no space left on device",
        f"  the run is as its report says: {report}",
    ]


@pytest.mark.parametrize("signum", [signal.SIGINT, signal.SIGTERM])
def test_run_that_is_done_stays_done_when_its_summary_is_not_read(
    tmp_path: Path, signum: int
) -> None:
    """A request to end that comes while the summary waits for its reader ends only the wait."""
    reader, writer = os.pipe()
    try:
        os.set_blocking(writer, False)
        while True:
            os.write(writer, b"\0" * 65536)
    except BlockingIOError:
        os.set_blocking(writer, True)
    process = subprocess.Popen(
        [*COMMAND, "out", *GOOD_RUN],
        cwd=tmp_path,
        env=environment(XDG_STATE_HOME=str(tmp_path / "state")),
        stdout=writer,
        stderr=subprocess.PIPE,
    )
    report = tmp_path / "out" / "orchestrator_run_report.json"
    deadline = time.monotonic() + PATIENCE_SECONDS
    while time.monotonic() < deadline and b'"terminal_state": "done"' not in (
        report.read_bytes() if report.exists() else b""
    ):
        time.sleep(0.01)
    time.sleep(0.3)  # until it waits; an earlier signal makes no difference here
    process.send_signal(signum)
    _, errors = process.communicate(timeout=PATIENCE_SECONDS)
    os.close(reader)
    os.close(writer)
    assert process.returncode == 0
    assert b"asked to end before it was read" in errors
    assert report_of(tmp_path / "out")["terminal_state"] == "done"
