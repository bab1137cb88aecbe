"""A bare word never starts a run by accident: it is refused with the nearest command."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.cli.cli_cases import assert_one_message, everything
from tests.support.command import PASSING, orchestrate, report_of, stages

MEANT = {
    "list": "fsm-orchestrator status",
    "ls": "fsm-orchestrator status",
    "stats": "fsm-orchestrator status",
    "doctor": "fsm-orchestrator selftest OUT",
    "resume": "fsm-orchestrator run OUT --resume",
    "reject": "fsm-orchestrator deny OUT",
    "statsu": "did you mean 'status'?",
    "Status": "did you mean 'status'?",
    "lgos": "did you mean 'logs'?",
    "runn": "did you mean 'run' or 'prune'?",
    "hlep": "did you mean 'help'?",
    "out": "no command 'out'",
    "zzz": "no command 'zzz'",
}


@pytest.mark.parametrize("is_there", [False, True], ids=["no directory", "a directory"])
@pytest.mark.parametrize("word", MEANT)
def test_bare_word_is_refused(tmp_path: Path, word: str, *, is_there: bool) -> None:
    """It exits with 2, and names the nearest command and how to mean a directory, always alike."""
    if is_there:
        (tmp_path / word).mkdir()
    before = everything(tmp_path)
    ended = orchestrate(word, cwd=tmp_path)
    assert_one_message(ended)
    assert ended.code == 2
    assert MEANT[word] in ended.stderr
    assert f"write ./{word}, or `run {word}`" in ended.stderr
    assert everything(tmp_path) == before


@pytest.mark.parametrize(
    "arguments",
    [
        ("out", "--json"),
        ("--json", "out"),
        ("out", "--run-id", "one"),
        ("statsu", "--help"),
        ("statsu", "./out"),
        ("lgos", "./out", "--follow"),
        ("lgos", "-f", "./out"),
        ("plna", "./out", *PASSING),
        (*PASSING, "status", "./out"),
        ("--", "out"),
        ("foo", "bar"),
        ("help", "plna"),
        ("help", "--resume"),
        ("version", "./out"),
    ],
    ids=" ".join,
)
def test_word_without_an_option_that_only_a_run_has_is_refused(
    tmp_path: Path, arguments: tuple[str, ...]
) -> None:
    """Options that other commands also have do not show that a run is meant."""
    ended = orchestrate(*arguments, cwd=tmp_path)
    assert_one_message(ended)
    assert ended.code == 2
    assert everything(tmp_path) == {}


@pytest.mark.parametrize("word", ["out", "statsu", "resume"])
def test_word_with_options_of_a_run_is_out(tmp_path: Path, word: str) -> None:
    """The runbook's form holds for every word that is no command, at any position."""
    done = (*PASSING, *stages("exit 0", "exit 0"))
    assert orchestrate(word, *done, cwd=tmp_path).code == 0
    assert report_of(tmp_path / word)["terminal_state"] == "done"
    assert orchestrate("--resume", word, cwd=tmp_path).code == 0


@pytest.mark.parametrize("arguments", [("./help",), ("run", "help"), ("run", "ls")], ids=" ".join)
def test_directory_can_be_meant(tmp_path: Path, arguments: tuple[str, ...]) -> None:
    """A path, or a word after `run`, is OUT: a run without signals is blocked there."""
    assert orchestrate(*arguments, cwd=tmp_path).code == 3
    name = arguments[-1].removeprefix("./")
    assert report_of(tmp_path / name)["terminal_state"] == "blocked"


@pytest.mark.parametrize(
    ("words", "same"),
    [
        (("help",), ("--help",)),
        (("help", "status"), ("status", "--help")),
        (("help", "run"), ("run", "--help")),
        (("help", "config", "check"), ("config", "check", "--help")),
        (("version",), ("--version",)),
    ],
    ids=" ".join,
)
def test_help_and_version_are_what_people_mean(
    tmp_path: Path, words: tuple[str, ...], same: tuple[str, ...]
) -> None:
    """The words `help` and `version` print what the options print."""
    said, expected = orchestrate(*words, cwd=tmp_path), orchestrate(*same, cwd=tmp_path)
    assert (said.code, said.stdout, said.stderr) == (0, expected.stdout, "")
    assert said.stdout
    assert everything(tmp_path) == {}


def test_command_that_is_printed_for_such_a_directory_works(tmp_path: Path) -> None:
    """A run in `./help` is resumed by the command that its summary names."""
    ended = orchestrate("./help", cwd=tmp_path)
    assert "fsm-orchestrator ./help " in ended.stdout
    as_word = orchestrate("run", "version", cwd=tmp_path)
    assert "fsm-orchestrator ./version " in as_word.stdout


@pytest.mark.parametrize(
    "arguments",
    [("approve",), ("deny", "--reason", "no"), ("withdraw",), ("approve", "."), ("gates", ".")],
    ids=" ".join,
)
def test_command_about_a_run_says_that_there_is_none(
    tmp_path: Path, arguments: tuple[str, ...]
) -> None:
    """The message does not suggest a resume, which nobody asked for."""
    ended = orchestrate(*arguments, cwd=tmp_path)
    assert_one_message(ended)
    assert (ended.code, ended.stderr) == (
        2,
        f"fsm-orchestrator: there is no run in {tmp_path}\n  name the output directory of a run\n",
    )
    assert everything(tmp_path) == {}
