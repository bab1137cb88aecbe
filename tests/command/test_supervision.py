"""`status` of many runs, `stop` and `logs`: real runs, seen and ended from outside."""

from __future__ import annotations

import json
import os
import re
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import psutil
import pytest

from fsm_orchestrator.record.report_reader import read_latest_invocation, read_report
from tests.cli.cli_cases import on_terminal
from tests.support.command import (
    COMMAND,
    PASSING,
    REPORT,
    environment,
    orchestrate,
    report_of,
    shell,
    stages,
    start,
    statuses,
    tree_of,
)
from tests.support.patience import PATIENCE_SECONDS, wait_until

LOOKS = (("logs", "out"), ("status", "out", "out"))
PEAK = """
import resource, subprocess, sys
subprocess.run(sys.argv[1:], check=True)
print(resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss, file=sys.stderr)
"""
"""Says the peak memory of a command in KiB: with one started from here the kernel counts ours."""
STUBBORN = "trap '' TERM INT; echo go; while :; do sleep 0.1; done"


@contextmanager
def working(cwd: Path, *options: str, stage: str = "manager") -> Iterator[subprocess.Popen[str]]:
    """A run at work in `out`, whose stage has printed something."""
    process = start("out", *PASSING, *options, cwd=cwd)
    log = cwd / "out" / "logs" / f"{stage}.1.stdout.log"
    try:
        wait_until(lambda: log.exists() and log.stat().st_size > 0, f"{log} is empty")
        yield process
    finally:
        if process.poll() is None:
            process.kill()
        process.communicate(timeout=PATIENCE_SECONDS)


# -- status ----------------------------------------------------------------------------------


def three_runs(cwd: Path) -> None:
    """A directory with a done, a blocked and a failed run, and something that is no run."""
    orchestrate("runs/a-done", *PASSING, *stages("echo all well"), cwd=cwd)
    orchestrate("runs/b-blocked", "--ci-status", "pending", *stages(), cwd=cwd)
    orchestrate("runs/c-failed", *PASSING, *stages("echo broken >&2; exit 1"), cwd=cwd)
    (cwd / "runs" / "notes").mkdir()
    (cwd / "runs" / "file").write_text("")


def test_status_of_a_directory_of_runs_is_a_line_a_run(tmp_path: Path) -> None:
    """Each run has one line: outcome, stage, attempt, codes or last line; nothing is changed."""
    three_runs(tmp_path)
    before = tree_of(tmp_path)
    ended = orchestrate("status", "runs", cwd=tmp_path)
    assert (ended.code, ended.stderr) == (0, "")
    assert tree_of(tmp_path) == before
    _, done, blocked, failed = ended.stdout.splitlines()
    assert re.fullmatch(r"✓ runs/a-done +done +\S+ +executor 1 +all well", done)
    assert re.match(r"! runs/b-blocked +blocked +\S+ +- +GATE_POLICY\S+, GATE_CI", blocked)
    assert re.fullmatch(r"✗ runs/c-failed +failed +\S+ +manager 1 +broken", failed)


def test_status_of_several_directories_keeps_their_order(tmp_path: Path) -> None:
    """Runs that are named one by one come in the order in which they were named."""
    three_runs(tmp_path)
    names = ["runs/c-failed", "runs/a-done"]
    ended = orchestrate("status", *names, cwd=tmp_path)
    assert [line.split()[1] for line in ended.stdout.splitlines()[1:]] == names


def test_status_of_many_as_json(tmp_path: Path) -> None:
    """For programs each run is an object with the same keys, and says what the report says."""
    three_runs(tmp_path)
    runs = json.loads(orchestrate("status", "runs", "--json", cwd=tmp_path).stdout)["runs"]
    assert [one["standing"] for one in runs] == ["done", "blocked", "failed"]
    for one in runs:
        report = report_of(tmp_path / one["output_directory"])
        assert one["run_id"] == report["run_id"]
        assert one["exit_code"] == report["exit_code"]
        assert one["blocked_reason_codes"] == report["blocked_reason_codes"]
        assert one["since"] == report["transitions"][-1]["at"]


def test_run_that_cannot_be_read_is_told_among_the_others(tmp_path: Path) -> None:
    """A spoilt report is a line that says so, and exit 1; the other runs are shown all the same."""
    three_runs(tmp_path)
    (tmp_path / "runs" / "a-done" / REPORT).write_text("{")
    ended = orchestrate("status", "runs", cwd=tmp_path)
    assert ended.code == 1
    _, spoilt, blocked, _ = ended.stdout.splitlines()
    assert re.match(r"✗ runs/a-done +unreadable ", spoilt)
    assert "cannot read" in spoilt
    assert " blocked " in blocked


def test_killed_and_working_runs_are_told_apart(tmp_path: Path) -> None:
    """Of two runs without an outcome the one that nobody works on is interrupted."""
    with working(tmp_path, *stages("echo go; exec sleep 60")) as process:
        unfinished = shutil.ignore_patterns(".*")  # a record that is being written
        shutil.copytree(tmp_path / "out", tmp_path / "copy", ignore=unfinished)
        ended = orchestrate("status", "out", "copy", cwd=tmp_path)
        process.send_signal(signal.SIGTERM)
        process.wait(PATIENCE_SECONDS)
    _, first, second = ended.stdout.splitlines()
    assert re.search(r"working: manager .* manager 1 +go$", first)
    assert " interrupted " in second


def test_every_screen_names_a_standing_alike(tmp_path: Path) -> None:
    """`status` of one and of several, `explain` and the page say the same words."""
    artifact = ("--manager-expected-artifact", "plan.json")
    orchestrate("out", *PASSING, *stages("echo 1 > plan.json"), *artifact, cwd=tmp_path)
    (tmp_path / "plan.json").unlink()
    orchestrate("out", "--resume", cwd=tmp_path)
    words = "done, but not ready to close"
    assert f"{words}: " in orchestrate("status", "out", cwd=tmp_path).stdout.splitlines()[0]
    assert orchestrate("explain", "out", cwd=tmp_path).stdout.startswith(f"! {words}: ")
    several = orchestrate("status", "out", "out", cwd=tmp_path).stdout.splitlines()[1:]
    assert [re.split("  +", line)[1] for line in several] == [words, words]
    page = orchestrate("report", "out", "--html", "-", cwd=tmp_path).stdout
    assert re.search(rf"<h1>.*{words.capitalize()}</h1>", page)


def test_glance_reads_no_earlier_invocations(tmp_path: Path) -> None:
    """What a report says of earlier invocations is not even parsed: its length costs nothing."""
    once = "test -e once || { touch once; exit 1; }"
    orchestrate("out", *PASSING, *stages(once), cwd=tmp_path)
    orchestrate("out", "--resume", cwd=tmp_path)
    file = tmp_path / "out" / REPORT
    whole = read_report(file)
    assert whole.earlier_invocations
    data = file.read_bytes()
    cut = data.index(b'\n  "earlier_invocations": [') + len(b'\n  "earlier_invocations": [')
    file.write_bytes(data[:cut] + b"\xff nothing that could be parsed " * 100_000)
    glanced = read_latest_invocation(file)
    assert glanced == whole.model_copy(update={"earlier_invocations": ()})


def test_hostile_last_line_stays_a_line(tmp_path: Path) -> None:
    """Control characters and secrets of what was printed last do not reach the screen."""
    script = "printf 'key hunter2-hunter2 \\033[2J\\r\\n'; exit 1"
    options = (*stages(script), "--manager-env", "KEY=hunter2-hunter2")
    orchestrate("out", *PASSING, *options, cwd=tmp_path)
    orchestrate("./second", cwd=tmp_path)
    ended = orchestrate("status", "out", "second", cwd=tmp_path)
    assert "hunter2" not in ended.stdout
    assert r"key *** \x1b[2J" in ended.stdout


def test_last_line_that_cannot_be_masked_any_more_is_not_shown(tmp_path: Path) -> None:
    """After a run with values is done those are forgotten: what it printed is not shown then."""
    options = (*stages("echo hunter2-hunter2"), "--manager-env", "KEY=hunter2-hunter2")
    orchestrate("out", *PASSING, *options, cwd=tmp_path)
    orchestrate("./second", cwd=tmp_path)
    ended = orchestrate("status", "out", "second", cwd=tmp_path)
    assert re.search(r"^✓ out +done ", ended.stdout, re.MULTILINE)
    assert "hunter2" not in ended.stdout


@pytest.mark.parametrize("words", [("nowhere",), ("out", "nowhere"), ("out", "--run-id", "x", ".")])
def test_status_of_what_is_no_directory_is_refused(words: tuple[str, ...], tmp_path: Path) -> None:
    """A directory that is not there is a usage error, whatever else was named."""
    orchestrate("out", *PASSING, cwd=tmp_path)
    ended = orchestrate("status", *words, cwd=tmp_path)
    assert ended.code == 2
    assert ended.stdout == ""


# -- stop ------------------------------------------------------------------------------------


def test_stop_ends_the_run_as_sigterm_would(tmp_path: Path) -> None:
    """The orchestrator exits with 143, its stage is gone, the run can go on, and stop says so."""
    with working(tmp_path, *stages("echo go; exec sleep 60")) as process:
        below = psutil.Process(process.pid).children(recursive=True)
        ended = orchestrate("stop", "out", cwd=tmp_path)
        assert process.wait(PATIENCE_SECONDS) == 143
    assert ended.code == 0
    assert f"stopped: process {process.pid} released out\n" in ended.stdout
    assert "fsm-orchestrator out --resume" in ended.stdout
    assert not [one for one in below if one.is_running() and one.status() != "zombie"]
    assert statuses(report_of(tmp_path / "out")) == [("manager", "interrupted")]


def test_stop_where_nobody_works_changes_nothing(tmp_path: Path) -> None:
    """A run that is over stays as it is, and that is no error."""
    orchestrate("out", *PASSING, *stages(), cwd=tmp_path)
    before = tree_of(tmp_path)
    ended = orchestrate("stop", "out", cwd=tmp_path)
    assert ended.code == 0
    assert "no run was at work in out" in ended.stdout
    assert tree_of(tmp_path) == before


def test_stop_waits_no_longer_than_it_is_told(tmp_path: Path) -> None:
    """A stage that ignores SIGTERM is told to be alive still; `--now` ends it at once."""
    options = (*stages(STUBBORN), "--kill-grace-ms", "60000", "--timeout-ms", "100000")
    with working(tmp_path, *options) as process:
        ended = orchestrate("stop", "out", "--wait-ms", "300", cwd=tmp_path)
        assert ended.code == 1
        assert "has not ended yet" in ended.stderr
        assert "stop --now" in ended.stderr
        assert process.poll() is None
        now = orchestrate("stop", "out", "--now", cwd=tmp_path)
        assert now.code == 0, now.stderr
        assert process.wait(PATIENCE_SECONDS) == 143


def test_stop_as_json_is_the_state_afterwards(tmp_path: Path) -> None:
    """For programs `stop` answers with what `status` would say after it."""
    with working(tmp_path, *stages("echo go; exec sleep 60")) as process:
        ended = orchestrate("stop", "out", "--json", cwd=tmp_path)
        process.wait(PATIENCE_SECONDS)
    document = json.loads(ended.stdout)
    assert document["is_running"] is False
    assert document["report"]["exit_code"] == 143


def test_lock_that_names_another_process_ends_nobody(tmp_path: Path) -> None:
    """A lock file that was tampered with while the lock is held gets no other process killed."""
    bystander = subprocess.Popen([shutil.which("sleep") or "sleep", "60"])
    try:
        with working(tmp_path, *stages("echo go; exec sleep 60")) as process:
            lock = tmp_path / "out" / "orchestrator.lock"
            said = json.loads(lock.read_text())
            lock.write_text(json.dumps({**said, "host": "elsewhere", "pid": bystander.pid}))
            ended = orchestrate("stop", "out", cwd=tmp_path)
            assert ended.code == 1
            assert "on the machine where the run works" in ended.stderr
            lock.write_text(json.dumps({**said, "pid": bystander.pid}))
            ended = orchestrate("stop", "out", "--wait-ms", "300", cwd=tmp_path)
            assert ended.code == 1
            assert bystander.poll() is None
            assert process.poll() is None
    finally:
        bystander.kill()
        bystander.wait()


@pytest.mark.parametrize(
    "words", [("stop", "nowhere"), ("stop",), ("logs", "nowhere"), ("status", "nowhere")]
)
def test_what_is_no_directory_is_refused(words: tuple[str, ...], tmp_path: Path) -> None:
    """A typing mistake is a usage error."""
    assert orchestrate(*words, cwd=tmp_path).code == 2


# -- logs ------------------------------------------------------------------------------------


def test_logs_are_prefixed_by_stage_in_the_order_of_work(tmp_path: Path) -> None:
    """Each line stands after its stage; what went to stderr is marked, attempts come in order."""
    once = "echo try; test -e once || { touch once; echo no >&2; exit 1; }"
    orchestrate("out", *PASSING, *stages("echo planned", once), cwd=tmp_path)
    orchestrate("out", "--resume", cwd=tmp_path)
    ended = orchestrate("logs", "out", cwd=tmp_path)
    assert ended.code == 0
    assert ended.stdout.splitlines() == [
        "manager    | planned",
        "executor   | try",
        "executor   ! no",
        "executor.2 | try",
    ]
    one = orchestrate("logs", "out", "executor", "--attempt", "2", cwd=tmp_path)
    assert one.stdout == "executor.2 | try\n"


def test_last_lines_of_each_log(tmp_path: Path) -> None:
    """`--lines` shows the end of each log; a last line without its end is shown as well."""
    script = "seq 1 1000; printf half; seq 1 3 >&2"
    orchestrate("out", *PASSING, *stages(script), cwd=tmp_path)
    ended = orchestrate("logs", "out", "--lines", "2", cwd=tmp_path)
    assert ended.stdout.splitlines() == [
        "manager  | 1000",
        "manager  | half",
        "manager  ! 2",
        "manager  ! 3",
    ]


def test_logs_that_are_followed_are_live_and_end_with_the_run(tmp_path: Path) -> None:
    """A line is shown while its stage still runs; with the run the command ends, exit 0."""
    gate = "echo one; until test -e go; do sleep 0.05; done; echo two; printf three"
    with working(tmp_path, *stages(gate, "echo four >&2")) as process:
        following = subprocess.Popen(
            [*COMMAND, "logs", "out", "--follow"],
            cwd=tmp_path,
            env=environment(XDG_STATE_HOME=str(tmp_path / "state")),
            stdout=subprocess.PIPE,
            text=True,
        )
        assert following.stdout is not None
        assert following.stdout.readline() == "manager | one\n"
        assert process.poll() is None
        (tmp_path / "go").touch()
        assert process.wait(PATIENCE_SECONDS) == 0
        rest, _ = following.communicate(timeout=PATIENCE_SECONDS)
        assert following.returncode == 0
        assert sorted(re.sub(r" +", " ", line) for line in rest.splitlines()) == [
            "executor ! four",
            "manager | three",
            "manager | two",
        ]


def test_follower_ends_when_nobody_reads_or_by_ctrl_c(tmp_path: Path) -> None:
    """`| head -1` ends it; SIGINT ends it with 130; the run goes on in both cases."""
    chatty = "while :; do echo line; sleep 0.05; done"
    with working(tmp_path, *stages(chatty), "--timeout-ms", "100000") as process:
        line = subprocess.run(
            ["/bin/sh", "-c", f"{' '.join(COMMAND)} logs out --follow | head -1"],
            cwd=tmp_path,
            env=environment(),
            capture_output=True,
            text=True,
            timeout=PATIENCE_SECONDS,
            check=True,
        )
        assert (line.stdout, line.stderr) == ("manager | line\n", "")
        following = subprocess.Popen(
            [*COMMAND, "logs", "out", "-f"],
            cwd=tmp_path,
            env=environment(),
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        assert following.stdout is not None
        following.stdout.readline()
        following.send_signal(signal.SIGINT)
        _, errors = following.communicate(timeout=PATIENCE_SECONDS)
        assert (following.returncode, errors.strip()) == (130, "")
        assert process.poll() is None


def test_logs_of_an_unknown_stage_are_refused_with_the_nearest(tmp_path: Path) -> None:
    """A mistyped stage is no empty log."""
    orchestrate("out", *PASSING, *stages(), cwd=tmp_path)
    ended = orchestrate("logs", "out", "managr", cwd=tmp_path)
    assert ended.code == 2
    assert "did you mean 'manager'" in ended.stderr


def test_logs_show_neither_secrets_nor_control_characters(tmp_path: Path) -> None:
    """Known values are masked; a terminal gets no control character, a pipe all other bytes."""
    script = "printf 'a hunter2-hunter2 \\033[31m \\377\\000 z\\n'; exit 1"
    options = (*stages(script), "--manager-env", "KEY=hunter2-hunter2")
    orchestrate("out", *PASSING, *options, cwd=tmp_path)
    code, seen = on_terminal("logs", "out", cwd=tmp_path)
    assert (code, seen) == (0, "manager | a ***  \\xff\\x00 z\n")
    piped = subprocess.run(
        [*COMMAND, "logs", "out"],
        cwd=tmp_path,
        env=environment(XDG_STATE_HOME=str(tmp_path / "state")),
        capture_output=True,
        check=True,
    )
    assert piped.stdout == b"manager | a ***  \xff\x00 z\n"


def test_value_stays_masked_when_the_run_becomes_done(tmp_path: Path) -> None:
    """The last look of a follower masks what the run has forgotten by then."""
    gate = "echo go; until test -e go; do sleep 0.05; done; echo x-$KEY"
    options = (*shell("manager", gate), "--manager-env", "KEY=hunter2-hunter2")
    with working(tmp_path, *options) as process:
        following = subprocess.Popen(
            [*COMMAND, "logs", "out", "--follow"],
            cwd=tmp_path,
            env=environment(XDG_STATE_HOME=str(tmp_path / "state")),
            stdout=subprocess.PIPE,
            text=True,
        )
        assert following.stdout is not None
        assert following.stdout.readline() == "manager | go\n"
        (tmp_path / "go").touch()
        assert process.wait(PATIENCE_SECONDS) == 0
        rest, _ = following.communicate(timeout=PATIENCE_SECONDS)
    assert rest == "manager | x-***\n"


@pytest.mark.parametrize(
    ("value", "script"),
    [
        ("first of two lines\nsecond of two lines", 'echo "$KEY" >&2'),
        ("hunter2-hunter2", "head -c 16374 /dev/zero | tr '\\000' a; printf %s $KEY; seq 60000"),
        ("hunter2-hunter2", "printf %s $KEY; head -c 4089 /dev/zero | tr '\\000' b"),
    ],
    ids=["several lines", "cut into pieces", "cut by the tail"],
)
def test_no_piece_of_a_value_is_shown(tmp_path: Path, value: str, script: str) -> None:
    """Neither logs nor status show a part of a value, wherever it stands."""
    options = (*stages(f"{script}; exit 3"), "--manager-env", f"KEY={value}")
    orchestrate("out", *PASSING, *options, cwd=tmp_path)
    shown = [orchestrate(*words, cwd=tmp_path).stdout for words in LOOKS]
    for path in (tmp_path / "state").rglob("*.json"):
        path.unlink()
    shown.append(orchestrate("status", "out", "out", cwd=tmp_path).stdout)
    for text in shown:
        assert not re.search("hunter2|r2-hun|of two lines", text)


def test_stop_and_follow_mean_one_run(tmp_path: Path) -> None:
    """A directory of runs is none to stop; an archived run is not followed; typos are told."""
    orchestrate("runs/out", *PASSING, *stages("echo one"), "--run-id", "one", cwd=tmp_path)
    assert orchestrate("stop", "runs", cwd=tmp_path).code == 2
    options = (*stages("echo go; exec sleep 60"), "--run-id", "two")
    orchestrate("out", *PASSING, *stages("echo one"), "--run-id", "one", cwd=tmp_path)
    process = start("out", *PASSING, *options, cwd=tmp_path)
    try:
        archived = tmp_path / "out" / "archive" / "one" / "logs" / "manager.1.stdout.log"
        log = tmp_path / "out" / "logs" / "manager.1.stdout.log"
        wait_until(lambda: archived.exists() and log.exists() and log.stat().st_size > 0, "no log")
        words = ("logs", "out", "--follow", "--run-id", "one")
        assert orchestrate(*words, cwd=tmp_path).stdout == "manager  | one\n"
        assert orchestrate("logs", "out", "mangr", "--follow", cwd=tmp_path).code == 2
    finally:
        process.send_signal(signal.SIGTERM)
        process.communicate(timeout=PATIENCE_SECONDS)


def test_log_that_is_a_link_or_a_pipe_is_not_read(tmp_path: Path) -> None:
    """What was put in a log's place is neither followed nor waited for."""
    orchestrate("out", *PASSING, *stages("echo mine"), cwd=tmp_path)
    logs = tmp_path / "out" / "logs"
    (tmp_path / "secret").write_text("not yours\n")
    (logs / "manager.2.stdout.log").symlink_to(tmp_path / "secret")
    os.mkfifo(logs / "manager.3.stdout.log")
    assert orchestrate("logs", "out", cwd=tmp_path).stdout == "manager  | mine\n"
    assert orchestrate("status", "out", "out", cwd=tmp_path).code == 0


def test_line_without_an_end_does_not_fill_memory(tmp_path: Path) -> None:
    """Twenty megabytes in one line are shown in pieces; the command stays small."""
    script = "head -c 20000000 /dev/zero | tr '\\000' x"
    orchestrate("out", *PASSING, *shell("manager", script), cwd=tmp_path)
    with (tmp_path / "shown").open("wb") as shown:
        done = subprocess.run(
            [sys.executable, "-c", PEAK, *COMMAND, "logs", "out"],
            cwd=tmp_path,
            env=environment(XDG_STATE_HOME=str(tmp_path / "state")),
            stdout=shown,
            stderr=subprocess.PIPE,
            text=True,
            check=True,
        )
    assert (tmp_path / "shown").stat().st_size > 20_000_000
    assert int(done.stderr) < 120_000


def test_earlier_runs_logs(tmp_path: Path) -> None:
    """The logs of an archived run are shown from its archive."""
    orchestrate("out", *PASSING, *stages("echo first"), "--run-id", "first", cwd=tmp_path)
    orchestrate("out", *PASSING, *stages("echo second"), "--run-id", "second", cwd=tmp_path)
    ended = orchestrate("logs", "out", "--run-id", "first", cwd=tmp_path)
    assert ended.stdout == "manager  | first\n"
