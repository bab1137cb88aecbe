"""A mistyped word is answered with the mistake and the nearest right word."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

import pytest

from tests.cli.cli_cases import assert_one_message
from tests.support.command import PASSING, orchestrate, stages

WORDS: Mapping[str, tuple[Sequence[str], str]] = {
    "policy": (("./o", "--policy-status", "alow"), "'alow' is not one of allow, deny, unknown"),
    "ci": (("./o", "--ci-status", "sucess"), "'success'?"),
    "review": (("./o", "--review-status", "aproved"), "'approved'?"),
    "capitals": (("./o", "--ci-status", "SUCCESS"), "'success'?"),
    "log level": (("./o", "--log-level", "debg"), "'debug'?"),
    "log format": (("./o", "--log-format", "jsn"), "'json'?"),
    "on leak": (("./o", "--on-leak", "fial"), "'fail'?"),
    "on changed stage": (("./o", "--on-changed-stage", "kep"), "'keep'?"),
    "backoff": (("./o", "--manager-backoff", "exponental"), "'exponential'?"),
    "lifecycle": (("./o", "--lifecycle", "governed"), "'governed_run'?"),
    "lifecycle of verify": (("verify", "governed"), "'governed_run'?"),
    "lifecycle of diagram": (("diagram", "reviewd_run"), "'reviewed_run'?"),
    "lifecycle of lifecycle": (("lifecycle", "closure_gatd"), "'closure_gated'?"),
    "format": (("diagram", "--format", "mermad"), "'mermaid'?"),
    "style": (("diagram", "--style", "simpel"), "'simple'?"),
    "schema": (("schema", "chekpoint"), "'checkpoint'?"),
    "shell": (("completion", "bsh"), "'bash'?"),
    "command": (("explan", "o"), "'explain' or 'plan'?"),
    "command of help": (("help", "verfy"), "'verify'?"),
    "command of config": (("config", "chek", "f"), "'check'?"),
    "option": (("./o", "--policy-sttus", "allow"), "no option --policy-sttus; did you mean '--po"),
    "option of a stage": (("./o", "--manager-tmeout", "5s"), "'--manager-timeout'?"),
    "stage of an option": (("./o", "--mangr-timeout", "5s"), "`fsm-orchestrator init . --stages m"),
    "option of logs": (("logs", "done", "--follw"), "'--follow'?"),
    "stage of logs": (("logs", "done", "manger"), "'manager'?"),
    "directory": (("status", "doen"), "does not exist; did you mean 'done'?"),
    "directory of explain": (("explain", "don"), "'done'?"),
    "directory of report": (("report", "done2"), "'done'?"),
    "directory of stop": (("stop", "dnoe"), "'done'?"),
    "directory of diagram": (("diagram", "--run", "doe"), "'done'?"),
    "file for a directory": (("status", "run.toml"), "is not a directory"),
    "run": (("status", "done", "--run-id", "frist"), "'first'?"),
    "config file": (("./o", "--config", "rnu.toml"), "'run.toml'?"),
    "config file of show": (("config", "show", "run.tml"), "'run.toml'?"),
    "lifecycle file": (("verify", "./runn.toml"), "'run.toml'?"),
    "nothing for OUT": (("explain", ""), "is empty"),
    "no OUT": (("plan",), "such as ./out"),
}


@pytest.fixture(scope="module")
def desk(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a directory with a run that is done, and a config file."""
    folder = tmp_path_factory.mktemp("desk")
    ended = orchestrate("done", *PASSING, *stages(), "--run-id", "first", cwd=folder)
    assert ended.code == 0, ended.stderr
    (folder / "run.toml").write_text("")
    return folder


@pytest.mark.parametrize("name", WORDS)
def test_nearest_word_is_named(name: str, desk: Path) -> None:
    """One message names the word, with exit code 2, and nothing is written."""
    words, said = WORDS[name]
    before = sorted(one.name for one in desk.iterdir())
    ended = orchestrate(*words, cwd=desk)
    assert ended.code == 2, ended.stderr
    assert said in ended.stderr
    assert_one_message(ended)
    assert sorted(one.name for one in desk.iterdir()) == before


def test_words_of_a_config_file(tmp_path: Path) -> None:
    """Each value of a closed set is refused with its line and the nearest word."""
    wrong = {
        'log_format = "jsn"': "json",
        'log_level = "wrning"': "warning",
        'on_leak = "wrn"': "warn",
        'on_changed_stage = "kep"': "keep",
        'relative_to = "fil"': "file",
        'gates.policy = "alow"': "allow",
        'gates.review = "Approved"': "approved",
        'stage.manager = {bin = "x", retry = {backoff = "exponental"}}': "exponential",
    }
    (tmp_path / "run.toml").write_text("\n".join(wrong))
    lines = orchestrate("config", "check", "run.toml", cwd=tmp_path).stderr.splitlines()
    for number, meant in enumerate(wrong.values(), start=1):
        (line,) = [one for one in lines if f"run.toml:{number}:" in one]
        assert line.endswith(f"; did you mean {meant!r}?")


def test_nothing_near_is_not_guessed(desk: Path) -> None:
    """An unrecognizable word is answered with the list of words, and no guess."""
    for words in (("status", "xyz"), ("./o", "--policy-status", "42"), ("./o", "--zz9")):
        ended = orchestrate(*words, cwd=desk)
        assert ended.code == 2
        assert "did you mean" not in ended.stderr


def test_help_of_help(tmp_path: Path) -> None:
    """The word that asks for help may itself be asked about."""
    asked = orchestrate("help", "help", cwd=tmp_path)
    assert asked.code == 0
    assert asked.stdout == orchestrate("--help", cwd=tmp_path).stdout
