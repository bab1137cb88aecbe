"""Shell completion: what is offered where, and when nothing is offered."""

from __future__ import annotations

import io
import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple

import click
import pytest
from click.shell_completion import CompletionItem

from fsm_orchestrator.cli.commands.completion import _offered
from fsm_orchestrator.cli.main import run_command_line
from fsm_orchestrator.cli.parser.commands import build_command
from fsm_orchestrator.cli.parser.names import COMMANDS, COMPLETION_SHELLS, COMPLETION_VARIABLE
from fsm_orchestrator.lifecycle.source import Declared
from tests.cli.completion_cases import HOSTILE
from tests.support.command import (
    CHECKPOINT,
    COMMAND,
    PASSING,
    RUN_COMMAND_LINE,
    environment,
    orchestrate,
    stages,
)

REVIEWER_OPTION = "--reviewer-bin"


class Answer(NamedTuple):
    """The program's answer to a shell."""

    returncode: int
    stdout: bytes
    stderr: bytes


def asked(words: Sequence[str], incomplete: str, cwd: Path, **env: str) -> Answer:
    """Ask as bash's script does: the words as they would be typed, then `incomplete`.

    This runs in this process: tests with the real shells cover what a separate process adds.
    """
    typed = ("fsm-orchestrator", *words)
    variables = {
        "COMP_WORDS": "\n".join((*typed, incomplete)),
        "COMP_CWORD": str(len(typed)),
        COMPLETION_VARIABLE: "bash_complete",
        **env,
    }
    with pytest.MonkeyPatch.context() as patch, captured(1) as out, captured(2) as err:
        patch.chdir(cwd)
        for name, value in variables.items():
            patch.setenv(name, value)
        code = run_command_line([])
    return Answer(code, out.getvalue(), err.getvalue())


@contextmanager
def captured(descriptor: int) -> Iterator[io.BytesIO]:
    """Yield a buffer that holds what is written to a descriptor, once it is no longer captured."""
    written = io.BytesIO()
    kept = os.dup(descriptor)
    with tempfile.TemporaryFile() as file:
        os.dup2(file.fileno(), descriptor)
        try:
            yield written
        finally:
            os.dup2(kept, descriptor)
            os.close(kept)
            file.seek(0)
            written.write(file.read())


def offered(words: Sequence[str], incomplete: str, cwd: Path) -> list[str]:
    """Return the candidates; `<dir>` and `<file>` where the shell is to list them."""
    done = asked(words, incomplete, cwd)
    assert (done.returncode, done.stderr) == (0, b"")
    lines = [line.split(",", 1) for line in done.stdout.decode().splitlines()]
    return [value if kind == "plain" else f"<{kind}>" for kind, value in lines]


def reviewed_run(cwd: Path) -> None:
    """Leave a finished run of `reviewed_run` in `out`."""
    given = (*PASSING, *stages(), "--reviewer-bin", "/bin/true", "--run-id", "first")
    assert orchestrate("out", "--lifecycle", "reviewed_run", *given, cwd=cwd).code == 0


# What is offered


@pytest.mark.parametrize(
    ("words", "incomplete", "expected"),
    [
        ((), "", list(COMMANDS)),
        ((), "pl", ["plan", "<dir>"]),
        ((), "./o", ["<dir>"]),
        ((), "--pol", ["--policy-status"]),
        (("./out",), "--pol", ["--policy-status"]),
        (("./out", "--policy-status"), "", ["allow", "deny", "unknown"]),
        (("--ci-status",), "s", ["success"]),
        (("run", "out", "--review-status"), "a", ["approved"]),
        (("run", "out", "--log-format"), "", ["auto", "json", "text"]),
        (("run", "out", "--on-changed-stage"), "k", ["keep"]),
        (("run", "out", "--on-changed-stage", "="), "r", ["refuse", "rerun"]),
        (("run", "out"), "--on-changed-stage=k", ["keep"]),
        (("run", "out", "--manager-backoff", "="), "", ["fixed", "exponential"]),
        (("run", "out", "--rerun"), "", ["manager", "executor"]),
        (("run", "out", "--rerun", "manager", "--rerun"), "e", ["executor"]),
        (("run",), "", ["<dir>"]),
        (("run", "out"), "", []),
        (("run", "out", "--manager-cwd"), "", ["<dir>"]),
        (("run", "out", "--manager-bin"), "./", ["<file>"]),
        (("run", "out", "--manager-arg"), "", []),
        (("run", "out", "--executor-expected-artifact"), "", ["<file>"]),
        (("run", "out", "--config"), "", ["<file>"]),
        (("plan", "out", "--lifecycle"), "rev", ["<file>", "reviewed_run"]),
        (("plan", "out", "--lifecycle", "="), "cl", ["<file>", "closure_gated"]),
        (("verify",), "g", ["<file>", "governed_run"]),
        (("verify", "governed_run"), "r", ["<file>", "reviewed_run"]),
        (("diagram",), "r", ["<file>", "reviewed_run"]),
        (("diagram", "--diff", "governed_run"), "r", ["<file>", "reviewed_run"]),
        (("diagram", "--run"), "", ["<dir>"]),
        (("diagram", "-o"), "", ["<file>"]),
        (
            ("lifecycle",),
            "",
            [
                *("<file>", "checked_run", "closure_gated", "evidence_only", "governed_run"),
                *("plan_review_apply", "reviewed_run"),
            ],
        ),
        (("schema",), "re", ["report"]),
        (("config",), "", ["check", "show"]),
        (("config", "check"), "", ["<file>"]),
        (("config", "show"), "", ["<file>"]),
        (("status", "a", "b"), "", ["<dir>"]),
        (("logs", "out"), "m", ["manager"]),
        (("report", "out", "--html"), "", ["<file>"]),
        (("completion",), "", ["bash", "zsh", "fish"]),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, tuple) else None,
)
def test_candidates(
    words: tuple[str, ...], incomplete: str, expected: list[str], tmp_path: Path
) -> None:
    """The cursor's position decides what is offered, also with `run` left out and with `=`."""
    assert offered(words, incomplete, tmp_path) == expected


@pytest.mark.parametrize("name", [*COMMANDS, "config check", "config show"])
def test_every_option_of_every_command_is_offered(name: str, tmp_path: Path) -> None:
    """The options of a command and those that are offered for it are the same set."""
    first, *rest = name.split()
    command = build_command(first, Declared(("manager", "executor")))
    for word in rest:
        assert isinstance(command, click.Group)
        command = command.get_command(click.Context(command), word)
    assert command is not None
    declared = [
        option
        for one in command.params
        if isinstance(one, click.Option)
        for option in one.opts
        if option.startswith("--")
    ]
    assert offered(name.split(), "--", tmp_path) == [*declared, "--help"]


def test_option_that_may_be_given_once_is_not_offered_again(tmp_path: Path) -> None:
    """A given `--config` is no longer a candidate; a repeatable option remains one."""
    words = ("run", "out", "--config", "x.toml", "--rerun", "manager", "--json")
    left = offered(words, "--", tmp_path)
    assert "--config" not in left
    assert "--json" not in left
    assert "--rerun" in left
    assert "--lifecycle" in left


def lifecycle_by_path(cwd: Path) -> tuple[str, ...]:
    """Return options with a file of the user's own that has a reviewer."""
    text = orchestrate("lifecycle", "reviewed_run", cwd=cwd).stdout
    (cwd / "of ours.toml").write_text(text)
    return ("plan", "out", "--lifecycle", "'of ours.toml'")


def lifecycle_by_config(cwd: Path) -> tuple[str, ...]:
    """Return options with a config file that names the lifecycle."""
    (cwd / "run.toml").write_text('lifecycle = "reviewed_run"\n')
    return ("out", "--config=run.toml")


def lifecycle_by_checkpoint(cwd: Path) -> tuple[str, ...]:
    """Return options with a run to be resumed."""
    reviewed_run(cwd)
    return ("out", "--resume")


def lifecycle_below_home(cwd: Path) -> tuple[str, ...]:
    """Return options with a path as only a shell would expand it."""
    lifecycle_by_path(cwd)
    (cwd / "of ours.toml").rename(cwd / "ours.toml")
    return ("out", "--lifecycle", "~/ours.toml")


@pytest.mark.parametrize(
    "typed",
    [
        lambda _: ("out", "--lifecycle", "reviewed_run"),
        lambda _: ("run", "out", "--lifecycle", "=", "reviewed_run"),
        lifecycle_by_path,
        lifecycle_by_config,
        lifecycle_by_checkpoint,
        lifecycle_below_home,
    ],
    ids=["name", "equals", "path", "config", "resume", "home"],
)
def test_stage_options_are_those_of_the_lifecycle_that_is_typed(
    typed: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """`--rev` gives `--reviewer-bin` only where the chosen lifecycle has a reviewer."""
    monkeypatch.setenv("HOME", str(tmp_path))
    assert REVIEWER_OPTION in offered(typed(tmp_path), "--rev", tmp_path)
    own = ["--review-status", "--reverify"]
    assert offered(("other",), "--rev", tmp_path) == own
    is_argument = ("other", "--manager-arg", "--lifecycle=reviewed_run")
    assert offered(is_argument, "--rev", tmp_path) == own


def test_stages_and_run_ids_of_a_run(tmp_path: Path) -> None:
    """`logs` offers the stages of the checkpoint, `--run-id` the archived ids, and `run` no id."""
    reviewed_run(tmp_path)
    assert offered(("logs", "out"), "", tmp_path) == ["manager", "executor", "reviewer"]
    assert offered(("run", "out", "--resume", "--rerun"), "r", tmp_path) == ["reviewer"]
    assert offered(("status", "out", "--run-id"), "", tmp_path) == []
    assert orchestrate("out", *PASSING, *stages(), cwd=tmp_path).code == 0
    for command in ("status", "explain", "logs", "report"):
        assert offered((command, "out", "--run-id"), "", tmp_path) == ["first"]
        assert offered((command, "out", "--run-id"), "x", tmp_path) == []
        assert offered((command, "--run-id"), "", tmp_path) == []
    assert offered(("run", "out", "--run-id"), "", tmp_path) == []


# Silence


def is_silent(done: Answer) -> bool:
    """Return whether nothing was printed and the exit code is right."""
    return done == (0, b"", b"")


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"{",
        b"\xff",
        b"[]",
        b'{"lifecycle": 1}',
        b"[" * 100_000,
        b'{"lifecycle":{"state":[{}]}}',
    ],
    ids=["empty", "torn", "bytes", "list", "number", "deep", "keys"],
)
def test_broken_checkpoint_says_nothing(content: bytes, tmp_path: Path) -> None:
    """An unreadable checkpoint gives no candidates, or those of the default lifecycle."""
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / CHECKPOINT).write_bytes(content)
    assert is_silent(asked(("status", "out", "--run-id"), "", tmp_path))
    assert offered(("logs", "out"), "", tmp_path) == ["manager", "executor"]
    assert offered(("out", "--resume"), "--manager-b", tmp_path)[0] == "--manager-bin"


def test_what_is_no_directory_or_no_file_says_nothing(tmp_path: Path) -> None:
    """A file or a loop for OUT, a FIFO for a checkpoint, a directory for a file give no output."""
    (tmp_path / "file").write_text("x")
    (tmp_path / "out" / "archive").mkdir(parents=True)
    os.mkfifo(tmp_path / "out" / CHECKPOINT)
    (tmp_path / "loop").symlink_to("loop")
    for name in ("file", "out", "absent", "loop", "out/archive"):
        assert is_silent(asked(("status", name, "--run-id"), "", tmp_path))
        assert offered(("logs", name), "", tmp_path) == ["manager", "executor"]
        assert is_silent(asked(("run", name, "--lifecycle", name), "--reviewer", tmp_path))
        assert is_silent(asked(("run", name, "--config", name), "--reviewer", tmp_path))


@pytest.mark.unprivileged
def test_unreadable_directory_says_nothing(tmp_path: Path) -> None:
    """An archive that cannot be listed gives no candidates."""
    (tmp_path / "out" / "archive" / "first").mkdir(parents=True)
    (tmp_path / "out").chmod(0)
    try:
        assert is_silent(asked(("status", "out", "--run-id"), "", tmp_path))
    finally:
        (tmp_path / "out").chmod(0o700)


@pytest.mark.parametrize(
    ("words", "incomplete"),
    [
        (("statsu", "out"), ""),
        (("run", "out", "--no-such-option"), "x"),
        (("run", "'unclosed"), "x"),
        (("run", "out", "--manager-timeout-ms", "never"), "x"),
        (("run", "out", "--policy-status", "maybe"), "x"),
        (("run", "out", "--run-id", "not/an/id"), "x"),
    ],
    ids=str,
)
def test_mistyped_words_say_nothing(
    words: tuple[str, ...], incomplete: str, tmp_path: Path
) -> None:
    """A typo is reported when the command is run, not while it is typed."""
    done = asked(words, incomplete, tmp_path)
    assert (done.returncode, done.stderr) == (0, b"")
    assert b"plain," not in done.stdout


@pytest.mark.parametrize(
    "env",
    [
        {"COMP_CWORD": "x"},
        {"COMP_CWORD": ""},
        {"COMP_WORDS": ""},
        {"COMP_WORDS": os.fsdecode(b"fsm-orchestrator run \xff")},
        {COMPLETION_VARIABLE: "tcsh_complete"},
        {COMPLETION_VARIABLE: "1"},
    ],
    ids=str,
)
def test_what_no_script_of_ours_asks_says_nothing(env: Mapping[str, str], tmp_path: Path) -> None:
    """A wrong or missing variable is neither an error nor a reason for a traceback."""
    done = asked(("run",), "--nothing", tmp_path, **env)
    assert (done.returncode, done.stderr) == (0, b"")


def test_variable_beside_arguments_is_a_leftover(tmp_path: Path) -> None:
    """A run under an exported variable runs: its exit code 0 means that it is done."""
    ended = orchestrate(
        *("out", *PASSING, "--manager-bin", "/bin/false"),
        cwd=tmp_path,
        env={COMPLETION_VARIABLE: "bash_complete", "COMP_WORDS": "x", "COMP_CWORD": "1"},
    )
    assert ended.code == 1
    assert "failed: " in ended.stdout.splitlines()[0]


def test_broken_pipe_is_quiet(tmp_path: Path) -> None:
    """No error is written to the terminal for a shell that has gone."""
    reader, writer = os.pipe()
    os.close(reader)
    variables = {"COMP_WORDS": "x st", "COMP_CWORD": "1", COMPLETION_VARIABLE: "zsh_complete"}
    for command, env in ((COMMAND, variables), ((*COMMAND, "completion", "zsh"), {})):
        done = subprocess.run(
            command,
            cwd=tmp_path,
            env=environment(**env),
            stdout=writer,
            stderr=subprocess.PIPE,
            timeout=60,
            check=False,
        )
        assert (done.returncode, done.stderr) == (0, b"")
    os.close(writer)


def test_completion_loads_no_core_package(tmp_path: Path) -> None:
    """Completion never loads pydantic, transitions or structlog, whatever it looks up."""
    reviewed_run(tmp_path)
    code = (
        f"import os, sys\n{RUN_COMMAND_LINE}\n"
        "for words in sys.argv[1:]:\n"
        "    os.environ['COMP_WORDS'] = words + ' '\n"
        "    os.environ['COMP_CWORD'] = str(len(words.split()))\n"
        "    run_command_line([])\n"
        "loaded = {'pydantic', 'transitions', 'structlog', 'psutil'} & set(sys.modules)\n"
        "sys.exit(f'loaded: {sorted(loaded)}' if loaded else 0)\n"
    )
    lines = (
        "x",
        "x logs out",
        "x status out --run-id",
        "x out --lifecycle",
        "x schema",
        "x config",
    )
    done = subprocess.run(
        [sys.executable, "-c", code, *lines],
        cwd=tmp_path,
        env=environment(**{COMPLETION_VARIABLE: "bash_complete"}),
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert "plain,reviewer\n" in done.stdout


# Hostile names


def test_names_a_shell_would_take_for_more_are_not_offered(tmp_path: Path) -> None:
    """From an archive and a checkpoint full of hostile names, only the good ones are offered."""
    reviewed_run(tmp_path)
    for name in (*HOSTILE, "two\nlines", "x\nplain,evil", "-dash", "\x1b[31mred", "good"):
        (tmp_path / "out" / "archive" / name).mkdir(parents=True)
    (tmp_path / "out" / "archive" / "file").write_text("no run")
    assert offered(("status", "out", "--run-id"), "", tmp_path) == ["good"]
    path = tmp_path / "out" / CHECKPOINT
    document = json.loads(path.read_bytes())
    for hostile in (*HOSTILE, "x\nplain,evil"):
        for state in document["lifecycle"]["state"]:
            if state["kind"] == "stage":
                state["name"] = hostile
        path.write_text(json.dumps(document))
        assert offered(("logs", "out"), "", tmp_path) == ["manager", "executor"]
        assert all(one.startswith("--") for one in offered(("out", "--resume"), "--", tmp_path))


def test_whatever_is_found_only_plain_words_are_offered() -> None:
    """The last check: no mistaken look-up can give a shell more than a plain word."""
    hostile = [CompletionItem(word) for word in (*HOSTILE, "", "a\nplain,b", "x,y", "\x1b[31mred")]
    assert _offered(hostile) == []
    (kept,) = _offered([CompletionItem("--a.b_c-1", help="two\n lines")])
    assert (kept.value, kept.help) == ("--a.b_c-1", "two lines")


def test_forged_stage_name_is_refused_as_any_forgery(tmp_path: Path) -> None:
    """A resume from a checkpoint whose stages have no proper names is refused with a message."""
    reviewed_run(tmp_path)
    path = tmp_path / "out" / CHECKPOINT
    document = json.loads(path.read_bytes())
    for state in document["lifecycle"]["state"]:
        state["name"] += " $("
    path.write_text(json.dumps(document))
    ended = orchestrate("out", "--resume", cwd=tmp_path)
    assert ended.code == 1
    assert "internal error" not in ended.stderr


@pytest.mark.parametrize("shell", COMPLETION_SHELLS)
def test_typed_line_breaks_add_no_candidate(shell: str, tmp_path: Path) -> None:
    """A word with a line break in it cannot pretend to be another candidate."""
    evil = "'a\nplain,evil\nplain\nevil\n_'"
    words = f"fsm-orchestrator status {evil}"
    env = {"COMP_WORDS": words, "COMP_CWORD": evil if shell == "fish" else "2"}
    done = asked((), "", tmp_path, **env, **{COMPLETION_VARIABLE: f"{shell}_complete"})
    assert done.returncode == 0
    assert b"evil" not in done.stdout
