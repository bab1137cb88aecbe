"""The part of the log that is shown, and the output of stages in it."""

from __future__ import annotations

import os
import re
import shutil
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any, Final

import pytest

from fsm_orchestrator import RunConfig, run
from fsm_orchestrator.disk import files
from tests.cli.cli_cases import CONTROL, on_terminal
from tests.support.command import (
    EVENTS,
    ORCHESTRATOR_PID,
    PASSING,
    RUN_COMMAND_LINE,
    Ended,
    environment,
    events_of,
    orchestrate,
    report_of,
    shell,
    stages,
    start,
    tree_of,
)
from tests.support.patience import PATIENCE_SECONDS, wait_until

pytestmark = pytest.mark.one_in(2)

VALUE: Final = "open-sesame-4711"
FAILING: Final = (*PASSING, *stages("sleep 60 & sleep 0.2", "echo no >&2; exit 3"))
"""A run that logs at every level: it leaks, and fails."""
GRAVITY: Final = ("debug", "info", "warning", "error")


def output_of(out: Path) -> list[tuple[str, str]]:
    """Return stream and text of every line that stages printed, as the log has them."""
    lines = (one for one in events_of(out) if one["event"] == "stage.output")
    return [(line["stream"], line["text"]) for line in lines]


def names_of(out: Path) -> list[str]:
    """Return the events of the log, which are numbered without gaps."""
    lines = events_of(out)
    assert [line["seq"] for line in lines] == list(range(1, len(lines) + 1))
    return [line["event"] for line in lines]


# -- --log-level and --quiet -----------------------------------------------------------------


@pytest.mark.parametrize(
    ("options", "least"),
    [
        ((), "info"),
        (("--log-level", "debug"), "debug"),
        (("--log-level", "info"), "info"),
        (("--log-level", "warning"), "warning"),
        (("--log-level", "error"), "error"),
        (("--quiet",), "error"),
    ],
)
def test_level_says_what_is_shown(tmp_path: Path, options: tuple[str, ...], least: str) -> None:
    """Events of the level and graver ones are shown; the file has all of them."""
    ended = orchestrate("./out", *FAILING, *options, cwd=tmp_path)
    assert ended.code == 1
    lines = events_of(tmp_path / "out")
    assert {line["level"] for line in lines} == set(GRAVITY)
    shown = GRAVITY[GRAVITY.index(least) :]
    assert ended.events == [line for line in lines if line["level"] in shown]
    assert "no" in ended.stdout


def test_level_holds_for_text_too(tmp_path: Path) -> None:
    """The same level selects the lines for a person."""
    options = ("--log-format", "text", "--log-level", "warning")
    ended = orchestrate("./out", *FAILING, *options, cwd=tmp_path)
    assert "manager: started" not in ended.stderr
    assert "warning: stage 'manager' exited and left 1 process running" in ended.stderr
    assert "executor: failed" in ended.stderr


@pytest.mark.parametrize(
    ("in_file", "flags", "levels"),
    [
        ("error", (), {"error"}),
        ("error", ("--log-level", "warning"), {"warning", "error"}),
        ("debug", ("--quiet",), {"error"}),
    ],
)
def test_level_from_a_config_file(
    tmp_path: Path, in_file: str, flags: tuple[str, ...], levels: set[str]
) -> None:
    """`log_level` is a key of the config file, and a flag wins over it."""
    (tmp_path / "run.toml").write_text(f'log_level = "{in_file}"\n')
    ended = orchestrate("./out", *FAILING, "--config", "run.toml", *flags, cwd=tmp_path)
    assert {line["level"] for line in ended.events} == levels


def test_quiet_run_that_is_done_says_nothing(tmp_path: Path) -> None:
    """`--quiet` and exit code 0 leave both streams empty, and all events in the file."""
    ended = orchestrate("./out", *PASSING, *stages("exit 0"), "--quiet", cwd=tmp_path)
    assert ended == Ended(0, "", "")
    assert names_of(tmp_path / "out")[-1] == "run.ended"
    assert orchestrate("./out", "--resume", "--quiet", cwd=tmp_path) == Ended(0, "", "")


ARTIFACT: Final = ("--manager-expected-artifact", "plan.json")
NOT_DONE: Final[dict[str, tuple[tuple[str, ...], int]]] = {
    "blocked": (("--policy-status", "deny", *PASSING[2:], *stages()), 3),
    "failed": ((*PASSING, *stages("exit 3")), 1),
    "timeout": ((*PASSING, *stages("exec sleep 60"), "--timeout-ms", "50"), 124),
}


@pytest.mark.parametrize("outcome", NOT_DONE)
def test_quiet_run_that_is_not_done_says_what_happened(tmp_path: Path, outcome: str) -> None:
    """A run that needs a person prints its summary, quiet or not."""
    options, code = NOT_DONE[outcome]
    ended = orchestrate("./out", *options, "--quiet", cwd=tmp_path)
    assert ended.code == code
    assert f"{outcome}: run " in ended.stdout.splitlines()[0]
    assert "\n  resume   fsm-orchestrator " in ended.stdout
    assert {line["level"] for line in ended.events} == {"error"}


def test_quiet_run_that_may_not_close_says_so(tmp_path: Path) -> None:
    """A done run that lost an artifact exits 1, and reports it."""
    options = (*PASSING, *stages("echo 1 > plan.json"), *ARTIFACT)
    orchestrate("./out", *options, cwd=tmp_path)
    (tmp_path / "plan.json").unlink()
    ended = orchestrate("./out", "--resume", "--quiet", cwd=tmp_path)
    assert ended.code == 1
    assert "done, but not ready to close" in ended.stdout.splitlines()[0]
    assert [line["event"] for line in ended.events] == ["closure.refused", "run.ended"]


def test_quiet_leaves_the_report_alone(tmp_path: Path) -> None:
    """The report is the result with `--json`, and is printed."""
    ended = orchestrate("./out", *PASSING, *stages(), "--quiet", "--json", cwd=tmp_path)
    assert ended.stdout.encode() == (tmp_path / "out/orchestrator_run_report.json").read_bytes()
    assert ended.stderr == ""


def test_quiet_and_a_level_contradict_each_other(tmp_path: Path) -> None:
    """Both together are a usage error, and nothing is written."""
    options = ("--quiet", "--log-level", "debug")
    ended = orchestrate("./out", *PASSING, *stages(), *options, cwd=tmp_path)
    assert ended.code == 2
    assert "--quiet" in ended.stderr
    assert tree_of(tmp_path) == {}


def test_quiet_is_no_setting_of_a_file(tmp_path: Path) -> None:
    """Silence is requested only on the command line."""
    (tmp_path / "run.toml").write_text("quiet = true\n")
    ended = orchestrate("./out", *PASSING, "--config", "run.toml", cwd=tmp_path)
    assert ended.code == 2
    assert "unknown key 'quiet'" in ended.stderr


def test_level_is_not_taken_for_out(tmp_path: Path) -> None:
    """The first look at the options knows that the level takes a value, and finds OUT after it."""
    reviewed = (*stages(), *shell("reviewer", "exit 0"), "--lifecycle", "reviewed_run")
    assert orchestrate("./out", *reviewed, cwd=tmp_path).code == 3
    options = ("--log-level", "error", "./out", "--resume", "--reviewer-timeout-ms", "9000")
    ended = orchestrate(*options, *PASSING, cwd=tmp_path)
    assert (ended.code, ended.stderr) == (0, "")


# -- --log-output ----------------------------------------------------------------------------


def test_output_is_told_before_the_stage_has_ended(tmp_path: Path) -> None:
    """Each line of an attempt is an event between its start and its end, and none is missing."""
    script = "printf 'a\\nb\\n'; echo c >&2; printf end"
    options = (*PASSING, *stages(script), "--log-output")
    assert orchestrate("./out", *options, cwd=tmp_path).code == 0
    told = [("stdout", "a"), ("stdout", "b"), ("stdout", "end"), ("stderr", "c")]
    assert sorted(output_of(tmp_path / "out")) == sorted(told)
    names = names_of(tmp_path / "out")
    first, last = names.index("stage.started"), names.index("stage.ended")
    assert names[first + 1 : last] == ["stage.output"] * 4
    assert "stage.output" not in names[last:]
    (line, *_) = (one for one in events_of(tmp_path / "out") if one["event"] == "stage.output")
    assert (line["stage"], line["attempt"], line["level"]) == ("manager", 1, "info")
    assert (tmp_path / "out/logs/manager.1.stdout.log").read_text() == "a\nb\nend"


def test_output_is_told_while_the_stage_runs(tmp_path: Path) -> None:
    """A line is in the log long before the stage ends: the stage waits for its reader."""
    waiting = "echo ready; while ! test -e go; do sleep 0.02; done; echo gone"
    process = start("./out", *PASSING, *stages(waiting), "--log-output", cwd=tmp_path)
    wait_until(lambda: (tmp_path / "out" / EVENTS).exists() and output_of(tmp_path / "out"))
    assert output_of(tmp_path / "out") == [("stdout", "ready")]
    (tmp_path / "go").touch()
    process.communicate(timeout=PATIENCE_SECONDS)
    assert output_of(tmp_path / "out") == [("stdout", "ready"), ("stdout", "gone")]


def test_output_is_told_only_when_asked(tmp_path: Path) -> None:
    """Without the option no line is logged, even on a resume, and no module is loaded for it."""
    failing = "echo printed; test -e once || { touch once; exit 3; }"
    asked = (*PASSING, *stages("exit 0", failing), "--log-output")
    orchestrate("./out", *asked, cwd=tmp_path)
    assert len(output_of(tmp_path / "out")) == 1
    orchestrate("./out", "--resume", cwd=tmp_path)
    assert len(output_of(tmp_path / "out")) == 1
    script = (
        f"import sys; {RUN_COMMAND_LINE};"
        "code = run_command_line(sys.argv[1:]);"
        "sys.exit(code or 'fsm_orchestrator.stages.output_lines' in sys.modules)"
    )
    for options, code in (((), 0), (("--log-output",), 1)):
        loaded = subprocess.run(
            [sys.executable, "-c", script, "new", *PASSING, *stages("echo printed"), *options],
            cwd=tmp_path,
            env=environment(XDG_STATE_HOME=str(tmp_path / "state")),
            capture_output=True,
            check=False,
        )
        assert loaded.returncode == code, loaded.stderr


def test_output_from_a_config_file(tmp_path: Path) -> None:
    """`log_output` is a key of the config file, and `--print-config` writes it."""
    options = (*PASSING, *stages("echo printed"))
    printed = orchestrate("./out", *options, "--log-output", "--print-config", cwd=tmp_path)
    assert "log_output = true" in printed.stdout
    (tmp_path / "run.toml").write_text(printed.stdout)
    assert orchestrate("./out", "--config", "run.toml", cwd=tmp_path).code == 0
    assert output_of(tmp_path / "out") == [("stdout", "printed")]


def test_output_costs_no_sync(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A run syncs as often with it as without it: lines are not synced one by one."""
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))
    counts: list[int] = []
    perform = files.perform

    def counting(operation: files.SystemCall, *arguments: Any, **settings: Any) -> Any:
        counts[-1] += operation is files.SystemCall.FSYNC
        return perform(operation, *arguments, **settings)

    monkeypatch.setattr(files, "perform", counting)
    printing = {"bin": "/bin/sh", "args": ("-c", "seq 100")}
    for number, is_told in enumerate((False, False, True)):  # the first makes the private state
        counts.append(0)
        report = run(
            RunConfig.model_validate(
                {
                    "output_directory": str(tmp_path / f"out-{number}"),
                    "gates": {"policy": "allow", "ci": "success", "review": "approved"},
                    "stages": {"manager": printing},
                    "skip_stages": ["executor"],
                    "log_output": is_told,
                }
            )
        )
        assert report.closure_ready
    assert len(output_of(tmp_path / "out-2")) == 100
    assert counts[1] == counts[2] > 0


def test_output_of_equal_runs_is_equal(tmp_path: Path) -> None:
    """Two equal runs with a fixed clock leave equal logs, except OUT's identity and its proof."""
    options = (
        *(*PASSING, *stages("seq 20; seq 30 40 >&2", "echo x"), "--log-output"),
        *("--fixed-clock", "2026-01-31T09:00:00Z", "--run-id", "fixed"),
    )
    logs = set()
    for number in range(2):
        seed = {"PYTHONHASHSEED": str(number)}
        orchestrate("./out", *options, cwd=tmp_path, env=seed)
        found = os.stat(tmp_path / "out")
        identity = f"{found.st_dev}:{found.st_ino}"
        log = (tmp_path / "out" / EVENTS).read_text().replace(identity, "device:inode")
        log = log.replace(f'"inode":{found.st_ino}', '"inode":0')
        logs.add(re.sub('"(prev|mac)": "[^"]+"', r'"\1": ""', log))
        shutil.rmtree(tmp_path / "out")
    assert len(logs) == 1


def test_output_shows_no_secret(tmp_path: Path) -> None:
    """A value is masked in every line, even in a split line, on stderr as in the file."""
    script = "echo token $MODE; printf '%08187d%s\\n' 0 $MODE; printf '%s' $MODE >&2"
    options = (*PASSING, *stages(script), "--manager-env", f"MODE={VALUE}", "--log-output")
    ended = orchestrate("./out", *options, cwd=tmp_path)
    told = output_of(tmp_path / "out")
    assert ("stdout", "token ***") in told
    assert ("stderr", "***") in told
    assert ("stdout", "0" * 8187 + "***") in told
    for text in (ended.stderr, ended.stdout, (tmp_path / "out" / EVENTS).read_text()):
        assert VALUE[:8] not in text


def test_output_without_end_is_bounded(tmp_path: Path) -> None:
    """50 MB of output give 10,000 events and one warning that names the rest, in little memory."""
    flood = "head -c 50000000 /dev/zero | tr '\\0' y | fold -w 99"
    peak = f"grep VmHWM /proc/{ORCHESTRATOR_PID}/status > $ORCHESTRATOR_RUN_ID.peak"
    for run_id, manager in (("calm", "echo y"), ("flood", flood)):
        options = (*stages(manager, peak), "--run-id", run_id, "--log-output", "--quiet")
        process = start(f"./{run_id}", *PASSING, *options, cwd=tmp_path)
        assert process.communicate(timeout=PATIENCE_SECONDS) == ("", "")
    assert len(output_of(tmp_path / "flood")) == 10_000
    names_of(tmp_path / "flood")
    warning = (
        "stage 'manager' printed more than 10000 lines: the rest of attempt 1 is only in"
        " logs/manager.1.stdout.log and logs/manager.1.stderr.log"
    )
    assert report_of(tmp_path / "flood")["warnings"] == [warning]
    assert report_of(tmp_path / "calm")["warnings"] == []
    if sys.platform.startswith("linux"):
        kib = [
            int((tmp_path / f"{name}.peak").read_text().split()[1]) for name in ("calm", "flood")
        ]
        assert kib[1] - kib[0] < 16 * 1024


def test_output_is_told_after_an_interrupt(tmp_path: Path) -> None:
    """After Ctrl-C all output of the stage, to its last word, is logged before its end."""
    script = (
        "trap 'echo farewell; exit 1' TERM; echo ready;"
        f" kill -INT {ORCHESTRATOR_PID}; while :; do sleep 0.02; done"
    )
    options = (*PASSING, *stages(script), "--log-output")
    assert orchestrate("./out", *options, cwd=tmp_path).code == 128 + signal.SIGINT
    told = [text for stream, text in output_of(tmp_path / "out") if stream == "stdout"]
    assert told == ["ready", "farewell"]
    names = names_of(tmp_path / "out")
    assert names[-3:] == ["stage.ended", "transition", "run.ended"]


def test_log_that_cannot_be_written_fails_the_run(tmp_path: Path) -> None:
    """A log that is removed while lines are written ends the run as any lost log does."""
    script = f"cd $ORCHESTRATOR_OUTPUT_DIR; rm {EVENTS}; mkdir {EVENTS}; seq 1000"
    ended = orchestrate(
        "./out", *PASSING, *stages(script, "touch ran"), "--log-output", cwd=tmp_path
    )
    assert ended.code == 1
    assert not (tmp_path / "ran").exists()
    report = report_of(tmp_path / "out")
    assert report["terminal_state"] == "failed"
    assert report["stage_executions"][-1]["command"] == "events.persist"


def test_lines_on_a_terminal(tmp_path: Path) -> None:
    """A line names its stage and stream, and no control character takes effect."""
    script = r"printf '\033[31mred\007 \302\23331m\n'; sleep 0.3; echo oops >&2"
    options = (*PASSING, *shell("manager", script), "--log-output")
    code, seen = on_terminal("./out", *options, cwd=tmp_path)
    assert code == 0
    assert re.search(r"^manager \| red\\x07 $", seen, re.MULTILINE)
    assert re.search(r"^manager ! oops$", seen, re.MULTILINE)
    assert not CONTROL.search(seen)
    code, seen = on_terminal("./silent", *PASSING, *shell("manager", script), cwd=tmp_path)
    assert "oops" not in seen


def test_options_of_the_log_are_in_the_help(tmp_path: Path) -> None:
    """`run --help` and `plan --help` name them."""
    for command in ("run", "plan"):
        shown = orchestrate(command, "--help", cwd=tmp_path).stdout
        assert {"--log-level", "--quiet", "--log-output"} <= set(re.findall(r"--[a-z-]+", shown))
