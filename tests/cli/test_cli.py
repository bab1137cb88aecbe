"""The command line: what may be typed, what is refused, and what is said where."""

from __future__ import annotations

import errno
import json
import os
import pty
import re
import select
import shlex
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pytest

import fsm_orchestrator
from fsm_orchestrator.cli.console import Console
from tests.support.command import (
    CHECKPOINT,
    COMMAND,
    EVENTS,
    ORCHESTRATOR_PID,
    PASSING,
    REPORT,
    RUN_COMMAND_LINE,
    Ended,
    environment,
    events_of,
    orchestrate,
    read_json,
    report_of,
    shell,
    spawned,
    stages,
    statuses,
)

LOCK = "orchestrator.lock"
GOOD_RUN = (*PASSING, *stages("echo planned > planned", "echo applied > applied"))
ONCE_FAILING = 'test "$ORCHESTRATOR_ATTEMPT" -gt 1'
THIS = shlex.join(COMMAND)
CONTROL = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f]")


def everything(directory: Path) -> dict[str, tuple[int, bytes]]:
    """All below a directory, directories too, with times and content."""
    return {
        str(path.relative_to(directory)): (
            path.stat().st_mtime_ns,
            path.read_bytes() if path.is_file() else b"",
        )
        for path in sorted(directory.rglob("*"))
    }


def through_shell(command: str, *arguments: str, cwd: Path) -> Ended:
    """Run a shell command in which `"$@"` stands for ours with these arguments."""
    done = subprocess.run(
        ["/bin/sh", "-c", command, "sh", *COMMAND, *arguments],
        cwd=cwd,
        env=environment(XDG_STATE_HOME=str(cwd / "state")),
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    return Ended(done.returncode, done.stdout, done.stderr)


def on_terminal(*arguments: str, cwd: Path, **env: str) -> tuple[int, str]:
    """Run the command with stdout and stderr on a terminal; exit code and what a person saw."""
    master, slave = pty.openpty()
    process = subprocess.Popen(
        [*COMMAND, *arguments],
        cwd=cwd,
        env=environment(XDG_STATE_HOME=str(cwd / "state"), **env),
        stdin=subprocess.DEVNULL,
        stdout=slave,
        stderr=slave,
    )
    os.close(slave)
    seen = bytearray()
    try:
        while data := os.read(master, 65536):
            seen += data
    except OSError as error:  # Linux ends a terminal nobody holds open with EIO
        if error.errno != errno.EIO:
            raise
    finally:
        os.close(master)
        code = process.wait(timeout=60)
    return code, seen.decode().replace("\r\n", "\n")


def next_command(ended: Ended) -> list[str]:
    """The arguments of the command that a summary says to type next."""
    (line,) = re.findall(r"^ +next +(.*)$", ended.stdout, flags=re.MULTILINE)
    product, *arguments = shlex.split(line)
    assert product == "fsm-orchestrator"
    return arguments


# The forms of a command


def test_bare_form_is_run(tmp_path: Path) -> None:
    """`OUT ...` and `run OUT ...` do the same: their reports differ in nothing but the place."""
    fixed = ("--fixed-clock", "2026-01-31T09:00:00Z", "--run-id", "same")
    texts = []
    for name, words in (("bare", ()), ("word", ("run",))):
        cwd = tmp_path / name
        cwd.mkdir()
        assert orchestrate(*words, "./out", *GOOD_RUN, *fixed, cwd=cwd).code == 0
        texts.append((cwd / "out" / REPORT).read_text().replace(str(cwd), "HERE"))
    assert texts[0] == texts[1]


def test_options_stand_before_and_after_out(tmp_path: Path) -> None:
    """OUT may stand first, last or between options, with and without the word `run`."""
    for arguments in (
        ("./first", *GOOD_RUN),
        (*GOOD_RUN, "./last"),
        (*PASSING, "./between", *stages()),
        ("run", *GOOD_RUN, "./run-last"),
        (*GOOD_RUN, "--", "-dashed"),
    ):
        assert orchestrate(*arguments, cwd=tmp_path).code == 0, arguments
    made = {path.name for path in tmp_path.iterdir() if path.is_dir()}
    assert made == {"first", "last", "between", "run-last", "-dashed"}


def test_value_after_equals_sign(tmp_path: Path) -> None:
    """`--option=value` is `--option value`."""
    equals = ("--policy-status=allow", "--ci-status=success", "--review-status=approved")
    assert orchestrate("./out", *equals, *stages(), cwd=tmp_path).code == 0


def test_directory_named_like_a_command(tmp_path: Path) -> None:
    """A word near a command still names OUT when it is a directory, or is written as a path."""
    (tmp_path / "plans").mkdir()
    assert orchestrate("plans", *PASSING, cwd=tmp_path).code == 0
    assert orchestrate("./plna", *PASSING, cwd=tmp_path).code == 0
    assert orchestrate("run", "run", *PASSING, cwd=tmp_path).code == 0
    assert report_of(tmp_path / "run")["terminal_state"] == "done"


def test_stage_arguments_are_never_ours(tmp_path: Path) -> None:
    """Whatever follows `--<stage>-arg` reaches the stage untouched, our own options included."""
    values = (
        *("--resume", "-c", "--", "", "--help", "--lifecycle=nowhere", "--lifecycle", "a b"),
        *("--policy-status=deny", "-h", "--version", "$HOME", "'", "\u00e9", "--manager-arg", "\n"),
    )
    script = 'printf "%s\\0" "$@" > seen'
    given = [word for value in values for word in ("--manager-arg", value)]
    options = (*shell("manager", script), "--manager-arg", "sh", *given)
    assert orchestrate("./out", *PASSING, *options, cwd=tmp_path).code == 0
    assert (tmp_path / "seen").read_text().split("\0") == [*values, ""]
    report = report_of(tmp_path / "out")
    assert report["execution_mode"] == "run"
    assert report["stage_executions"][0]["args"] == ["-c", script, "sh", *values]


def test_last_environment_pair_of_a_key_wins(tmp_path: Path) -> None:
    """A pair is split at its first `=`; its value may be empty; of one key the last counts."""
    pairs = ("A=1", "A=2=3", "B=")
    given = [word for pair in pairs for word in ("--manager-env", pair)]
    script = 'printf "%s|%s" "$A" "${B-unset}" > seen'
    assert orchestrate("./out", *PASSING, *shell("manager", script), *given, cwd=tmp_path).code == 0
    assert (tmp_path / "seen").read_text() == "2=3|"


# Usage errors

USAGE_ERRORS: Mapping[str, tuple[Sequence[str], str]] = {
    "second positional": (("./out", "extra"), "extra"),
    "second positional after options": (("./out", *PASSING, "true"), "true"),
    "second positional of plan": (("plan", "./out", "extra"), "extra"),
    "second positional of explain": (("explain", "./out", "extra"), "extra"),
    "no OUT for run": (("run",), "OUT"),
    "no OUT for plan": (("plan",), "OUT"),
    "no OUT for status": (("status",), "OUT"),
    "only options": (PASSING, "OUT"),
    "empty OUT": (("",), "OUT"),
    "empty OUT for run": (("run", ""), "OUT"),
    "mistyped plan": (("plna", "./out"), "'plan'"),
    "mistyped status": (("staus", "./out"), "'status'"),
    "unknown option": (("./out", "--polcy-status", "allow"), "--policy-status"),
    "unknown option first": (("--polcy-status", "allow", "./out"), "--policy-status"),
    "unknown stage option": (("./out", "--manager-bni", "x"), "--manager-bin"),
    "unknown stage": (("./out", "--reviewer-bin", "x"), "--reviewer-bin"),
    "unknown short option": (("./out", "-x"), "-x"),
    "shortened option": (("./out", "--policy", "allow"), "--policy-status"),
    "option of run for status": (("status", "./out", "--resume"), "--resume"),
    "no value": (("./out", "--manager-bin"), "--manager-bin"),
    "value for a flag": (("./out", "--resume=yes"), "--resume"),
    "wrong policy": (("./out", "--policy-status", "maybe"), "'allow'"),
    "wrong ci": (("./out", "--ci-status", "passed"), "'success'"),
    "wrong review": (("./out", "--review-status", "ok"), "'approved'"),
    "wrong policy for plan": (("plan", "./out", "--policy-status", "maybe"), "'allow'"),
    "other case": (("./out", "--policy-status", "ALLOW"), "'allow'"),
    "empty gate": (("./out", "--policy-status", ""), "--policy-status"),
    "policy twice": (("./out", *PASSING, "--policy-status", "deny"), "--policy-status"),
    "policy twice alike": (("./out", *PASSING, "--policy-status", "allow"), "--policy-status"),
    "ci twice": (("./out", *PASSING, "--ci-status", "failure"), "--ci-status"),
    "review twice": (("./out", *PASSING, "--review-status", "missing"), "--review-status"),
    "binary twice": (("./out", *stages(), "--manager-bin", "true"), "--manager-bin"),
    "timeout twice": (("./out", "--timeout-ms", "1", "--timeout-ms", "1"), "--timeout-ms"),
    "timeout 0": (("./out", "--timeout-ms", "0"), "1 to 2147483647"),
    "timeout below 0": (("./out", "--timeout-ms", "-1"), "1 to 2147483647"),
    "timeout too long": (("./out", "--timeout-ms", "2147483648"), "1 to 2147483647"),
    "timeout of part": (("./out", "--timeout-ms", "1.5"), "whole number"),
    "timeout with unit": (("./out", "--manager-timeout-ms", "5s"), "whole number"),
    "empty timeout": (("./out", "--timeout-ms", ""), "--timeout-ms"),
    "grace below 0": (("./out", "--kill-grace-ms", "-1"), "0 to 2147483647"),
    "empty binary": (("./out", "--manager-bin", ""), "--manager-bin"),
    "empty artifact": (("./out", "--manager-expected-artifact", ""), "artifact"),
    "empty directory": (("./out", *stages(), "--manager-cwd", ""), "--manager-cwd"),
    "argument without binary": (("./out", "--manager-arg", "x"), "--manager-bin"),
    "environment without binary": (("./out", "--executor-env", "A=1"), "--executor-bin"),
    "artifact without binary": (("./out", "--manager-expected-artifact", "x"), "--manager-bin"),
    "timeout without binary": (("./out", "--manager-timeout-ms", "5"), "--manager-bin"),
    "directory without binary": (("./out", "--manager-cwd", "."), "--manager-bin"),
    "stale without binary": (("./out", "--manager-allow-stale"), "--manager-bin"),
    "pair without equals sign": (("./out", *stages(), "--manager-env", "hunter2"), "KEY=VALUE"),
    "pair without key": (("./out", *stages(), "--manager-env", "=hunter2"), "KEY=VALUE"),
    "empty pair": (("./out", *stages(), "--manager-env", ""), "KEY=VALUE"),
    "run id with a path": (("./out", "--run-id", "../up"), "run id"),
    "empty run id": (("./out", "--run-id", ""), "run id"),
    "run id too long": (("./out", "--run-id", "x" * 65), "run id"),
    "unknown lifecycle": (("./out", "--lifecycle", "nowhere"), "governed_run"),
    "lifecycle file that is not there": (("./out", "--lifecycle", "./no.toml"), "no.toml"),
    "empty lifecycle": (("./out", "--lifecycle", ""), "--lifecycle"),
    "no time": (("./out", "--fixed-clock", "yesterday"), "yesterday"),
    "wrong log format": (("./out", "--log-format", "xml"), "'json'"),
    "wrong change rule": (("./out", "--on-changed-stage", "maybe"), "'rerun'"),
    "change rule without resume": (("./out", "--on-changed-stage", "keep"), "--resume"),
    "rerun without resume": (("./out", "--rerun", "manager"), "--resume"),
    "status of nothing": (("status", "./out"), "not a directory"),
}


def assert_one_message(ended: Ended) -> None:
    """A usage error: exit 2, one short message on stderr, nothing on stdout."""
    assert ended.code == 2, ended
    assert ended.stdout == ""
    lines = ended.stderr.splitlines()
    assert len(lines) <= 4
    assert lines[0].startswith("fsm-orchestrator: ")
    assert all(line.startswith("  ") for line in lines[1:])
    assert "Traceback" not in ended.stderr
    assert "Usage:" not in ended.stderr
    assert not CONTROL.search(ended.stderr)


@pytest.mark.parametrize("name", list(USAGE_ERRORS))
def test_usage_error(tmp_path: Path, name: str) -> None:
    """A wrong command exits 2 with one message that names what is wrong, and writes nothing."""
    arguments, fragment = USAGE_ERRORS[name]
    ended = orchestrate(*arguments, cwd=tmp_path)
    assert_one_message(ended)
    assert fragment in ended.stderr
    assert "hunter2" not in ended.stderr
    assert everything(tmp_path) == {}


def test_refused_request_leaves_an_earlier_run_alone(tmp_path: Path) -> None:
    """A request refused for what the directory holds changes nothing there; plan refuses alike."""
    first = (*PASSING, *stages("exit 0", "exit 1"), "--run-id", "first")
    assert orchestrate("./out", *first, cwd=tmp_path).code == 1
    before = everything(tmp_path)
    for arguments in (
        (*PASSING, "--manager-arg", "x"),
        (*PASSING, "--run-id", "first"),
        (*PASSING, "--rerun", "manager"),
        (*PASSING, "--lifecycle", "nowhere"),
        ("--resume", "--run-id", "other"),
        ("--resume", "--rerun", "nobody"),
        ("--resume", *shell("manager", "something else")),
    ):
        ended = orchestrate("./out", *arguments, cwd=tmp_path)
        assert ended.code == 2, arguments
        assert ended.stdout == ""
        assert ended.stderr.startswith("fsm-orchestrator: ")
        assert "Traceback" not in ended.stderr
        assert orchestrate("plan", "./out", *arguments, cwd=tmp_path) == ended
    assert everything(tmp_path) == before


@pytest.mark.parametrize(
    "arguments",
    [
        [b"./a\xff"],
        [b"./out", b"--manager-bin", b"./tool\xff"],
        [b"./out", b"--manager-bin", b"/bin/sh", b"--manager-arg", b"\xff"],
        [b"./out", b"--manager-bin", b"/bin/sh", b"--manager-env", b"A=hunter2\xff"],
        [b"status", b"./a\xff"],
    ],
)
def test_argument_that_is_not_utf8(tmp_path: Path, arguments: list[bytes]) -> None:
    """Bytes that are not UTF-8 are refused wherever they stand, and are not echoed."""
    text = [os.fsdecode(argument) for argument in arguments]
    ended = orchestrate(*text, cwd=tmp_path)
    assert_one_message(ended)
    assert "UTF-8" in ended.stderr
    assert "hunter2" not in ended.stderr
    assert everything(tmp_path) == {}


def test_out_is_a_file(tmp_path: Path) -> None:
    """A file, or a link to nothing, in OUT's place is refused and left as it is."""
    (tmp_path / "out").write_text("mine")
    (tmp_path / "link").symlink_to("nowhere")
    for name in ("./out", "./link"):
        for words in ((), ("plan",)):
            ended = orchestrate(*words, name, *GOOD_RUN, cwd=tmp_path)
            assert_one_message(ended)
            assert str(tmp_path / name) in ended.stderr
    assert (tmp_path / "out").read_text() == "mine"
    assert sorted(path.name for path in tmp_path.iterdir()) == ["link", "out"]


@pytest.mark.parametrize("command", ["run", "plan"])
def test_out_that_cannot_be_made(tmp_path: Path, command: str) -> None:
    """An OUT below a file is refused with its path, by plan as by run."""
    (tmp_path / "file").touch()
    ended = orchestrate(command, "./file/out", *GOOD_RUN, cwd=tmp_path)
    assert_one_message(ended)
    assert str(tmp_path / "file/out") in ended.stderr
    assert [path.name for path in tmp_path.iterdir()] == ["file"]


def test_current_directory_is_gone(tmp_path: Path) -> None:
    """Started in a directory that was deleted, the command is refused and says so."""
    command = 'mkdir gone; cd gone; rmdir ../gone; exec "$@"'
    ended = through_shell(command, "./out", *GOOD_RUN, cwd=tmp_path)
    assert_one_message(ended)
    assert "current directory" in ended.stderr
    assert everything(tmp_path) == {}


# Help and version

RUN_OPTIONS = (
    *("--policy-status", "--ci-status", "--review-status", "--resume", "--lifecycle", "--run-id"),
    *("--timeout-ms", "--kill-grace-ms", "--on-changed-stage", "--rerun", "--fixed-clock"),
    *("--json", "--help"),
    *(
        f"--{stage}-{option}"
        for stage in ("manager", "executor")
        for option in ("bin", "arg", "env", "expected-artifact", "allow-stale", "timeout-ms", "cwd")
    ),
)
HELP_FOR = {
    ("--help",): ("run", "plan", "status", "--version", "--help"),
    ("-h",): ("run", "plan", "status", "--version", "--help"),
    ("run", "--help"): (*RUN_OPTIONS, "--log-format", "Example"),
    ("run", "-h"): (*RUN_OPTIONS, "--log-format", "Example"),
    ("./out", "--help"): (*RUN_OPTIONS, "--log-format", "Example"),
    ("plan", "--help"): RUN_OPTIONS,
    ("status", "--help"): ("OUT", "--json", "--help"),
}


@pytest.mark.parametrize("arguments", list(HELP_FOR), ids=" ".join)
def test_help_shows_everything(tmp_path: Path, arguments: tuple[str, ...]) -> None:
    """Help exits 0, stands on stdout, and names every command or option there is."""
    ended = orchestrate(*arguments, cwd=tmp_path)
    assert ended.code == 0
    assert ended.stderr == ""
    missing = [
        word
        for word in HELP_FOR[arguments]
        if not re.search(rf"(?<![\w-]){re.escape(word)}(?![\w-])", ended.stdout)
    ]
    assert missing == []
    assert everything(tmp_path) == {}


def test_short_help_is_help(tmp_path: Path) -> None:
    """`-h` and `--help` say the same, alone and after a command."""
    for words in ((), ("run",), ("plan",), ("status",)):
        short, long = (orchestrate(*words, option, cwd=tmp_path) for option in ("-h", "--help"))
        assert short == long, words


def test_example_in_help_works(tmp_path: Path) -> None:
    """The commands of the example in `run --help`, copied and typed, reach done."""
    text = orchestrate("run", "--help", cwd=tmp_path).stdout
    (example,) = re.findall(r"Example:\n(.*?)\n\n", text, flags=re.DOTALL)
    commands = [line.strip() for line in example.replace("\\\n", " ").splitlines()]
    assert len(commands) == 2
    for command in commands:
        product, *arguments = shlex.split(command)
        assert product == "fsm-orchestrator"
        assert orchestrate(*arguments, cwd=tmp_path).code == 0
    assert statuses(report_of(tmp_path / "out")) == [
        ("manager", "skipped"),
        ("executor", "skipped"),
    ]


def test_plan_takes_every_option_of_run(tmp_path: Path) -> None:
    """A `run` command becomes its own forecast by putting `plan` in the place of `run`."""
    ended = orchestrate("plan", "./out", *GOOD_RUN, "--log-format", "json", cwd=tmp_path)
    assert ended.code == 0, ended.stderr


def test_version(tmp_path: Path) -> None:
    """`--version` prints name and version on stdout."""
    ended = orchestrate("--version", cwd=tmp_path)
    assert ended == Ended(0, f"fsm-orchestrator {fsm_orchestrator.__version__}\n", "")


def test_no_arguments(tmp_path: Path) -> None:
    """The bare command is a usage error that shows what there is to type."""
    ended = orchestrate(cwd=tmp_path)
    assert ended.code == 2
    assert ended.stdout == ""
    assert "run OUT" in ended.stderr
    assert "Traceback" not in ended.stderr
    assert everything(tmp_path) == {}


@pytest.mark.parametrize(
    "arguments",
    [("--help",), ("-h",), ("--version",), ("run", "--help"), ("plan", "--help"), ()],
    ids=" ".join,
)
def test_help_and_version_load_no_core_package(arguments: tuple[str, ...]) -> None:
    """What only prints text does not pay for pydantic, transitions or structlog."""
    code = (
        f"import sys\n{RUN_COMMAND_LINE}\n"
        "run_command_line(sys.argv[1:])\n"
        "loaded = {'pydantic', 'transitions', 'structlog'} & set(sys.modules)\n"
        "sys.exit(f'loaded: {sorted(loaded)}' if loaded else 0)\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", code, *arguments],
        env=environment(),
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == 0, done.stderr


# Where the result and the log go


def test_result_on_stdout_and_log_on_stderr(tmp_path: Path) -> None:
    """The result alone is on stdout; on stderr, no terminal here, the events as JSON lines."""
    ended = orchestrate("./out", *GOOD_RUN, cwd=tmp_path)
    assert ended.stdout.startswith("done: ")
    assert str(tmp_path / "out" / REPORT) in ended.stdout
    assert [json.loads(line) for line in ended.stderr.splitlines()] == events_of(tmp_path / "out")


def test_log_as_text_when_asked_for(tmp_path: Path) -> None:
    """`--log-format text` gives readable lines and no JSON, whoever reads."""
    ended = orchestrate("./out", *GOOD_RUN, "--log-format", "text", cwd=tmp_path)
    assert ended.events == []
    assert "manager: started" in ended.stderr
    assert "gate policy: allow" in ended.stderr


@pytest.mark.parametrize(
    ("arguments", "code"),
    [
        (GOOD_RUN, 0),
        (stages(), 3),
        ((*PASSING, *stages("exit 5")), 1),
        ((*PASSING, *stages("sleep 60"), "--timeout-ms", "50"), 124),
        (("--resume",), 1),
    ],
    ids=["done", "blocked", "failed", "timeout", "refused for its checkpoint"],
)
def test_json_prints_exactly_the_report(
    tmp_path: Path, arguments: tuple[str, ...], code: int
) -> None:
    """With `--json` stdout is the report file, byte by byte, however the run ended."""
    (tmp_path / "out").mkdir()
    ended = orchestrate("./out", *arguments, "--json", cwd=tmp_path)
    assert ended.code == code
    assert ended.stdout == (tmp_path / "out" / REPORT).read_text()
    assert json.loads(ended.stdout)["exit_code"] == code


def test_terminal_gets_text_for_a_person(tmp_path: Path) -> None:
    """On a terminal log and result are lines for a person: no JSON, no control characters."""
    code, seen = on_terminal("./out", *GOOD_RUN, cwd=tmp_path)
    assert code == 0
    assert "manager: started" in seen
    assert "done: " in seen
    assert '{"' not in seen
    assert not CONTROL.search(seen)
    code, seen = on_terminal("./again", *GOOD_RUN, "--log-format", "json", cwd=tmp_path)
    assert code == 0
    assert '{"seq": 1,' in seen


@pytest.mark.parametrize(
    "options", [(), ("--log-format", "json"), ("--json",)], ids=["text", "json log", "json report"]
)
def test_stage_cannot_drive_the_terminal(tmp_path: Path, options: tuple[str, ...]) -> None:
    """Control characters that a stage prints never reach the terminal as they are."""
    script = r"printf '\033[31mred\007 \302\23331m \177 \b\r end\n' >&2; exit 1"
    code, seen = on_terminal("./out", *PASSING, *stages(script), *options, cwd=tmp_path)
    assert code == 1
    assert "red" in seen
    assert " end" in seen
    assert not CONTROL.search(seen)
    code, seen = on_terminal("status", "./out", cwd=tmp_path)
    assert code == 0
    assert not CONTROL.search(seen)


# Streams that are closed, full or not read

WATCHED_RUN = (
    *PASSING,
    *stages("cp out/orchestrator.lock holder; echo planned; echo note >&2", "echo applied"),
)


def assert_undisturbed(cwd: Path) -> None:
    """The run did what it does with streams in order, and no text went astray into its files."""
    out = cwd / "out"
    report = report_of(out)
    assert (report["terminal_state"], report["exit_code"]) == ("done", 0)
    assert report["warnings"] == []
    assert spawned(report) == ["manager", "executor"]
    assert [event["seq"] for event in events_of(out)] == [*range(1, len(events_of(out)) + 1)]
    assert read_json(out / CHECKPOINT)["current_state"] == "done"
    assert read_json(cwd / "holder")["run_id"] == report["run_id"]
    logs = {path.name: path.read_text() for path in (out / "logs").iterdir()}
    assert logs == {
        "manager.1.stdout.log": "planned\n",
        "manager.1.stderr.log": "note\n",
        "executor.1.stdout.log": "applied\n",
        "executor.1.stderr.log": "",
    }


@pytest.mark.parametrize(
    "redirection",
    [
        ">&-",
        "2>&-",
        ">&- 2>&-",
        "<&- >&- 2>&-",
        ">/dev/full",
        "2>/dev/full",
        ">/dev/full 2>&1",
        "2>&1 | head -1",
    ],
)
def test_broken_stream_changes_nothing(tmp_path: Path, redirection: str) -> None:
    """A stream that is closed or full changes neither the run nor its exit code."""
    if "/dev/full" in redirection and not Path("/dev/full").exists():
        pytest.skip("this platform has no /dev/full")
    command = f'{{ "$@"; echo $? > code; }} {redirection}'
    through_shell(command, "./out", *WATCHED_RUN, "--json", cwd=tmp_path)
    assert (tmp_path / "code").read_text() == "0\n"
    assert_undisturbed(tmp_path)


@pytest.mark.skipif(not Path("/proc/self/fd").is_dir(), reason="needs /proc to look at descriptors")
@pytest.mark.parametrize(
    ("redirection", "closed"), [(">&-", "1"), ("2>&-", "2"), ("<&- >&- 2>&-", "0 1 2")]
)
def test_closed_stream_is_never_another_file(tmp_path: Path, redirection: str, closed: str) -> None:
    """No file or pipe of the run takes the number of a closed stream, where text would be sent."""
    script = f"p={ORCHESTRATOR_PID}; for n in {closed}; do readlink /proc/$p/fd/$n; done > targets"
    command = f'"$@" {redirection}'
    assert through_shell(command, "./out", *PASSING, *stages(script), cwd=tmp_path).code == 0
    assert set((tmp_path / "targets").read_text().split()) <= {os.devnull}


def full_pipe() -> tuple[int, int]:
    """A pipe that takes no more bytes."""
    reader, writer = os.pipe()
    os.set_blocking(writer, False)
    try:
        while True:
            os.write(writer, b"\0" * 65536)
    except BlockingIOError:
        os.set_blocking(writer, True)
    return reader, writer


SHORT_PATIENCE = """\
import sys
from fsm_orchestrator.cli import console
from fsm_orchestrator.cli.main import run_command_line

console.RESULT_PATIENCE_SECONDS = console.LOG_PATIENCE_SECONDS
sys.exit(run_command_line(sys.argv[1:]))
"""


@pytest.mark.parametrize("stream", ["stdout", "stderr"])
def test_unread_pipe_changes_nothing(tmp_path: Path, stream: str) -> None:
    """With a stream on a full pipe that nobody reads, the run ends as always and does not hang."""
    reader, writer = full_pipe()
    pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, stream: writer}
    try:
        done = subprocess.run(
            [sys.executable, "-c", SHORT_PATIENCE, "./out", *WATCHED_RUN],
            cwd=tmp_path,
            env=environment(XDG_STATE_HOME=str(tmp_path / "state")),
            stdout=pipes["stdout"],
            stderr=pipes["stderr"],
            text=True,
            timeout=60,
            check=False,
        )
    finally:
        os.close(writer)
        os.close(reader)
    assert done.returncode == 0
    assert "done" in (done.stderr if stream == "stdout" else done.stdout)
    assert_undisturbed(tmp_path)


def test_console_gives_up_an_unread_pipe_for_good() -> None:
    """A reader that stands still is waited for once; later text is dropped, not waited for."""
    reader, writer = full_pipe()
    console = Console(writer, patience_seconds=0.01)
    console.write("lost")
    while select.select([reader], [], [], 0)[0]:
        assert set(os.read(reader, 65536)) == {0}
    console.write("also lost")
    os.close(writer)
    assert os.read(reader, 100) == b""
    os.close(reader)


# The end of a run names the next command


@pytest.mark.parametrize("out", ["./out", "./with space & quote's", "-dashed"])
def test_next_command_after_blocked_works(tmp_path: Path, out: str) -> None:
    """What a blocked run says to type, typed, reaches done, however OUT is spelt."""
    ended = orchestrate(*stages(), "--ci-status", "success", "--", out, cwd=tmp_path)
    assert ended.code == 3
    again = orchestrate(*next_command(ended), cwd=tmp_path)
    assert again.code == 0, again.stderr
    assert spawned(report_of(tmp_path / out)) == ["manager", "executor"]


@pytest.mark.parametrize(
    ("script", "code"),
    [
        (ONCE_FAILING, 1),
        (f"{ONCE_FAILING} || kill -KILL $$", 1),
        (f"{ONCE_FAILING} || exec sleep 60", 124),
        (f"{ONCE_FAILING} || {{ kill -TERM {ORCHESTRATOR_PID}; exec sleep 60; }}", 143),
        (f"{ONCE_FAILING} || {{ kill -INT {ORCHESTRATOR_PID}; exec sleep 60; }}", 130),
    ],
    ids=["failed", "killed", "timeout", "SIGTERM", "SIGINT"],
)
def test_next_command_after_a_failure_works(tmp_path: Path, script: str, code: int) -> None:
    """A run that did not reach done names report, logs and a command that, typed, reaches done."""
    limit = ("--timeout-ms", "200") if code == 124 else ()
    ended = orchestrate("./out", *PASSING, *stages(script), *limit, cwd=tmp_path)
    assert ended.code == code
    assert str(tmp_path / "out" / REPORT) in ended.stdout
    assert str(tmp_path / "out/logs/manager.1.stderr.log") in ended.stdout
    status = orchestrate("status", "./out", cwd=tmp_path)
    assert next_command(status) == next_command(ended)
    again = orchestrate(*next_command(ended), cwd=tmp_path)
    assert again.code == 0, again.stderr
    assert spawned(report_of(tmp_path / "out")) == ["manager", "executor"]


def test_following_the_next_commands_never_closes_an_empty_run(tmp_path: Path) -> None:
    """A run that could not be recorded is not closed, stages unseen, by typing what is said."""
    obstacle = tmp_path / "out" / CHECKPOINT
    obstacle.mkdir(parents=True)
    ended = orchestrate("./out", *GOOD_RUN, cwd=tmp_path)
    assert ended.code == 1
    obstacle.rmdir()
    for _ in range(2):
        if ended.code != 0 and re.search(r"^ +next ", ended.stdout, flags=re.MULTILINE):
            ended = orchestrate(*next_command(ended), cwd=tmp_path)
    assert ended.code != 0 or spawned(report_of(tmp_path / "out")) == ["manager", "executor"]


# plan


def planned(*arguments: str, cwd: Path) -> dict[str, Any]:
    """A plan as JSON; it must not change anything."""
    before = everything(cwd)
    ended = orchestrate("plan", *arguments, "--json", cwd=cwd)
    assert ended.code == 0, ended.stderr
    assert ended.stderr == ""
    assert everything(cwd) == before
    plan = json.loads(ended.stdout)
    assert isinstance(plan, dict)
    return plan


def actions(plan: Mapping[str, Any]) -> list[tuple[str, str]]:
    """(stage, action) of each stage of a plan."""
    return [(stage["stage"], stage["action"]) for stage in plan["stages"]]


def test_plan_starts_and_writes_nothing(tmp_path: Path) -> None:
    """A plan of a new run makes no directory, starts no stage, and says why for each of them."""
    ended = orchestrate("plan", "./out", *GOOD_RUN, cwd=tmp_path)
    assert ended.code == 0
    assert everything(tmp_path) == {}
    for gate, value in (("policy", "allow"), ("ci", "success"), ("review", "approved")):
        assert re.search(rf"{gate} +{value} +{value} +given by flag +passed", ended.stdout)
    assert re.search(r"stage manager: would run: .*not run yet", ended.stdout)
    assert re.search(r"stage executor: would run: .*not run yet", ended.stdout)
    assert "/bin/sh -c 'echo planned > planned'" in ended.stdout
    plan = planned("./out", *GOOD_RUN, cwd=tmp_path)
    assert actions(plan) == [("manager", "run"), ("executor", "run")]
    assert plan["outcome"] == "done"


def test_plan_says_what_a_gate_would_need(tmp_path: Path) -> None:
    """A plan that would be blocked names the missing signal and starts no stage."""
    arguments = ("./out", *stages(), "--ci-status", "pending", "--policy-status", "allow")
    ended = orchestrate("plan", *arguments, cwd=tmp_path)
    assert ended.code == 0
    assert re.search(r"ci +pending +success +given by flag +refused", ended.stdout)
    assert re.search(r"review +missing +approved +not given +refused", ended.stdout)
    assert "--ci-status success" in ended.stdout
    assert "stage manager: would not start" in ended.stdout
    plan = planned(*arguments, cwd=tmp_path)
    assert plan["outcome"] == "blocked"
    assert orchestrate(*arguments, cwd=tmp_path).code == 3
    report = report_of(tmp_path / "out")
    assert [gate["decision"] for gate in plan["gates"]] == report["gate_decisions"]


def test_plan_of_a_new_run_in_a_used_directory(tmp_path: Path) -> None:
    """A plan leaves an earlier run where it is, and says that a run would archive it."""
    assert orchestrate("./out", *GOOD_RUN, cwd=tmp_path).code == 0
    before = everything(tmp_path)
    ended = orchestrate("plan", "./out", *GOOD_RUN, cwd=tmp_path)
    assert ended.code == 0
    assert "archive" in ended.stdout
    assert everything(tmp_path) == before
    assert planned("./out", *GOOD_RUN, cwd=tmp_path)["archives_earlier_run"] is True


def test_plan_of_a_resume_foretells_it(tmp_path: Path) -> None:
    """A planned resume says what is skipped and what runs again, why, and so it comes."""
    options = (*PASSING, *stages("exit 0", ONCE_FAILING))
    assert orchestrate("./out", *options, cwd=tmp_path).code == 1
    ended = orchestrate("plan", "./out", "--resume", cwd=tmp_path)
    assert ended.code == 0
    assert re.search(r"stage manager: would be skipped: completed by attempt 1", ended.stdout)
    assert re.search(r"stage executor: would run: attempt 1 .*exited with code 1", ended.stdout)
    assert re.search(r"policy +allow +allow +kept from before +passed", ended.stdout)
    plan = planned("./out", "--resume", cwd=tmp_path)
    assert actions(plan) == [("manager", "skip"), ("executor", "run")]
    assert orchestrate("./out", "--resume", cwd=tmp_path).code == 0
    assert statuses(report_of(tmp_path / "out")) == [
        ("manager", "skipped"),
        ("executor", "success"),
    ]


@pytest.mark.parametrize("content", [None, b"", b"{", b"[]", b'{"product": "another"}'])
def test_plan_of_a_resume_with_a_bad_checkpoint(tmp_path: Path, content: bytes | None) -> None:
    """A resume that cannot be is foretold with exit 1; a plan leaves report and all as they are."""
    out = tmp_path / "out"
    out.mkdir()
    (out / REPORT).write_text('{"terminal_state": "done"}')
    if content is not None:
        (out / CHECKPOINT).write_bytes(content)
    before = everything(tmp_path)
    ended = orchestrate("plan", "./out", "--resume", cwd=tmp_path)
    assert ended.code == 1
    assert ended.stdout == ""
    assert str(out / CHECKPOINT) in ended.stderr
    assert everything(tmp_path) == before


# status


def status_of(out: str, *, cwd: Path) -> tuple[Ended, dict[str, Any]]:
    """The status for a person and for a program; neither may write."""
    before = everything(cwd)
    text = orchestrate("status", out, cwd=cwd)
    as_json = orchestrate("status", out, "--json", cwd=cwd)
    assert everything(cwd) == before
    assert as_json.code == text.code
    document = json.loads(as_json.stdout)
    assert isinstance(document, dict)
    return text, document


def test_status_of_a_done_run(tmp_path: Path) -> None:
    """A done run's status is its summary, exit 0, with the report inside the JSON."""
    ended = orchestrate("./out", *GOOD_RUN, cwd=tmp_path)
    text, document = status_of("./out", cwd=tmp_path)
    assert text.code == 0
    assert text.stdout == ended.stdout
    assert document["report"] == report_of(tmp_path / "out")
    assert document["is_running"] is False


def test_status_of_a_blocked_run(tmp_path: Path) -> None:
    """A blocked run's status names codes and next command."""
    ended = orchestrate("./out", *stages(), cwd=tmp_path)
    text, document = status_of("./out", cwd=tmp_path)
    assert text.code == 0
    assert "GATE_CI_NOT_SUCCESS" in text.stdout
    assert next_command(text) == next_command(ended)
    assert document["report"]["terminal_state"] == "blocked"


def test_status_of_a_working_run(tmp_path: Path) -> None:
    """While a stage runs, another process is told that it works, where, and who holds it."""
    script = f"{THIS} status ./out > text; {THIS} status ./out --json > json"
    assert orchestrate("./out", *PASSING, *stages(script), cwd=tmp_path).code == 0
    text = (tmp_path / "text").read_text()
    document = read_json(tmp_path / "json")
    assert text.startswith("working: ")
    assert "in state manager" in text
    assert re.search(r"process \d+ on ", text)
    assert document["is_running"] is True
    assert document["report"]["terminal_state"] is None
    assert document["report"]["current_state"] == "manager"


def test_status_after_sigkill(tmp_path: Path) -> None:
    """A run whose orchestrator was killed is told as interrupted, with a working next command."""
    options = (
        *PASSING,
        *stages(f"{ONCE_FAILING} || {{ kill -KILL {ORCHESTRATOR_PID}; exec sleep 60; }}"),
    )
    assert orchestrate("./out", *options, cwd=tmp_path).code == -9
    text, document = status_of("./out", cwd=tmp_path)
    assert text.code == 0
    assert text.stdout.startswith("interrupted: ")
    assert document["is_running"] is False
    assert document["report"]["terminal_state"] is None
    again = orchestrate(*next_command(text), cwd=tmp_path)
    assert again.code == 0, again.stderr
    (earlier,) = report_of(tmp_path / "out")["earlier_invocations"]
    assert statuses(earlier) == [("manager", "interrupted")]


@pytest.mark.parametrize("content", [None, b"{", b'{"terminal_state": "done"}'])
def test_status_without_a_report_of_ours(tmp_path: Path, content: bytes | None) -> None:
    """A directory without a report that can be read has no status: exit 1, path named."""
    out = tmp_path / "out"
    out.mkdir()
    if content is not None:
        (out / REPORT).write_bytes(content)
    before = everything(tmp_path)
    for options in ((), ("--json",)):
        ended = orchestrate("status", "./out", *options, cwd=tmp_path)
        assert ended.code == 1
        assert ended.stdout == ""
        assert str(out) in ended.stderr
        assert "Traceback" not in ended.stderr
    assert everything(tmp_path) == before


def test_status_tells_a_bad_checkpoint(tmp_path: Path) -> None:
    """A report without the checkpoint behind it is not taken for a run in order."""
    assert orchestrate("./out", *GOOD_RUN, cwd=tmp_path).code == 0
    (tmp_path / "out" / CHECKPOINT).write_text("{")
    text, document = status_of("./out", cwd=tmp_path)
    assert text.code == 1
    assert CHECKPOINT in text.stdout
    assert CHECKPOINT in document["checkpoint_trouble"]


def test_status_of_a_file(tmp_path: Path) -> None:
    """A file has no status."""
    (tmp_path / "out").touch()
    ended = orchestrate("status", "./out", cwd=tmp_path)
    assert_one_message(ended)
    assert "not a directory" in ended.stderr


# A bug of ours

BROKEN_GATES = """\
import sys
from fsm_orchestrator.gates import judging
from fsm_orchestrator.cli.main import run_command_line

def judge(signals):
    raise ZeroDivisionError("broken on purpose")

judging.judge = judge
sys.exit(run_command_line(sys.argv[1:]))
"""


def test_bug_is_told_as_a_bug(tmp_path: Path) -> None:
    """An unexpected exception exits 70, is called a bug, leaves traceback and failed report."""
    done = subprocess.run(
        [sys.executable, "-c", BROKEN_GATES, "./out", *GOOD_RUN],
        cwd=tmp_path,
        env=environment(XDG_STATE_HOME=str(tmp_path / "state")),
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == 70
    crashes = [event for event in events_of(tmp_path / "out") if event["event"] == "run.crashed"]
    assert "Traceback" in crashes[0]["traceback"]
    assert "ZeroDivisionError: broken on purpose" in crashes[0]["traceback"]
    report = report_of(tmp_path / "out")
    assert (report["terminal_state"], report["exit_code"]) == ("failed", 70)
    assert report["closure_ready"] is False
    assert spawned(report) == []
    assert not (tmp_path / "planned").exists()
    messages = [line for line in done.stderr.splitlines() if not line.startswith("{")]
    assert any("bug" in line for line in messages), messages
    assert any(str(tmp_path / "out" / EVENTS) in line for line in messages), messages
    again = orchestrate("./out", "--resume", cwd=tmp_path)
    assert again.code == 0, again.stderr
