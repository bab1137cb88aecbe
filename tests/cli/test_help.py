"""Help and version: their output, and the modules that they do not load."""

from __future__ import annotations

import re
import shlex
import subprocess
import sys
from pathlib import Path

import pytest

import fsm_orchestrator
from fsm_orchestrator.cli.parser.names import COMMANDS
from fsm_orchestrator.model.stage_options import STAGE_OPTIONS
from tests.cli.cli_cases import GOOD_RUN, everything
from tests.support.command import (
    RUN_COMMAND_LINE,
    Ended,
    environment,
    orchestrate,
    report_of,
    statuses,
)

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
    ("run", "--help-all"): (*RUN_OPTIONS, "--log-format", "Example"),
    ("./out", "--help-all"): (*RUN_OPTIONS, "--log-format", "Example"),
    ("plan", "--help-all"): RUN_OPTIONS,
    ("status", "--help"): ("OUT", "--json", "--help"),
}


@pytest.mark.parametrize("arguments", list(HELP_FOR), ids=" ".join)
def test_help_shows_everything(tmp_path: Path, arguments: tuple[str, ...]) -> None:
    """Help exits 0, prints to stdout, and names every command and option."""
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
    """`-h` and `--help` print the same, alone and after a command."""
    for words in ((), ("run",), ("plan",), ("status",)):
        short, long = (orchestrate(*words, option, cwd=tmp_path) for option in ("-h", "--help"))
        assert short == long, words


@pytest.mark.parametrize("command", ["run", "plan"])
def test_help_of_a_run_fits_a_screen(tmp_path: Path, command: str) -> None:
    """It fits 80 columns, with every option of a run, and each of a stage's once."""
    shown = orchestrate(command, "--help", cwd=tmp_path, env={"COLUMNS": "80"}).stdout
    lines = shown.splitlines()
    assert len(lines) <= 40
    assert max(map(len, lines)) <= 80
    words = shown.replace("/", " ").split()
    options = [
        one.removesuffix("-ms")
        for one in RUN_OPTIONS
        if not one.startswith(("--manager-", "--executor-"))
    ]
    assert [one for one in (*options, "--help-all") if one not in words] == []
    assert words.count("--<stage>-bin") == 1
    suffixes = [f"-{one.suffixes[0]}" for one in STAGE_OPTIONS[1:]]
    assert [one for one in suffixes if words.count(one) != 1] == []
    assert "--config run.toml" in shown
    assert "--help-all explains each option" in shown


@pytest.mark.parametrize("command", [*COMMANDS, "config check", "config show"])
def test_every_help_begins_with_what_it_does_and_has_an_example(
    tmp_path: Path, command: str
) -> None:
    """The example is a command; for `completion`, the line for a start file."""
    shown = orchestrate(*command.split(), "--help", cwd=tmp_path).stdout
    assert re.search(r"^  [A-Z].*", shown.split("\n\n")[1])
    if command != "completion":
        first = command.split(maxsplit=1)[0]
        assert re.search(rf"Examples?:\n(    .*\n)*?    fsm-orchestrator {first} ", shown)


def test_commands_stand_in_groups(tmp_path: Path) -> None:
    """Each command is listed once, under one of seven headings."""
    shown = orchestrate("--help", cwd=tmp_path).stdout
    headings = ("Run:", "Answer:", "Look:", "Keep:", "Prove:", "Design:", "Machine:")
    places = [shown.index(f"\n{one}") for one in headings]
    assert places == sorted(places)
    listed = re.findall(r"^  ([a-z-]+) ", shown[places[0] :], re.MULTILINE)
    assert sorted(listed) == sorted(COMMANDS)


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
    """A `run` command becomes its own forecast if `run` is replaced by `plan`."""
    ended = orchestrate("plan", "./out", *GOOD_RUN, "--log-format", "json", cwd=tmp_path)
    assert ended.code == 0, ended.stderr


def test_version(tmp_path: Path) -> None:
    """`--version` prints name and version on stdout."""
    ended = orchestrate("--version", cwd=tmp_path)
    assert ended == Ended(0, f"fsm-orchestrator {fsm_orchestrator.__version__}\n", "")


def test_no_arguments(tmp_path: Path) -> None:
    """The bare command is a usage error that lists the commands."""
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
    """A command that only prints text does not load pydantic, transitions or structlog."""
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
