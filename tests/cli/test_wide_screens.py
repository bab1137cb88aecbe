"""Screens with characters of two cells, in eighty columns, and with ASCII symbols only."""

from __future__ import annotations

import re
import shlex
from pathlib import Path

import pytest

from fsm_orchestrator.cli.formatting import command_lines
from fsm_orchestrator.cli.screen import shortened
from fsm_orchestrator.lifecycle.source import shipped_text
from fsm_orchestrator.text.cells import cells
from tests.cli.test_live import WAITING, go
from tests.support.command import PASSING, shell, stages
from tests.support.screen import Terminal

WIDE = "実行結果/長い名前のディレクトリ/出力"


def seen(*words: str, cwd: Path, columns: int, **env: str) -> list[str]:
    """Return what a terminal of one size is sent, line by line, without colors."""
    with Terminal(*words, cwd=cwd, columns=columns, lines=60, env=env) as terminal:
        terminal.end()
        text = bytes(terminal.raw).decode()
    return re.sub(r"\x1b\[[0-9;]*m", "", text).splitlines()


@pytest.mark.one_in(2)
@pytest.mark.parametrize("columns", [80, 120])
@pytest.mark.parametrize("locale", ["C.UTF-8", "C"])
def test_blocked_run_in_a_wide_directory_fits(tmp_path: Path, columns: int, locale: str) -> None:
    """Every screen of it fits, and the printed command is the same and complete on each."""
    run = ("run", f"./{WIDE}", *PASSING[:2], *stages())
    with Terminal(*run, cwd=tmp_path, columns=columns, env={"LC_ALL": locale}) as terminal:
        assert terminal.end() == 3
        screens = [terminal.all_lines]
    for name in ("status", "explain"):
        words = (name, f"./{WIDE}")
        screens.append(seen(*words, cwd=tmp_path, columns=columns, LC_ALL=locale))
    commands: set[tuple[str, ...]] = set()
    for lines in screens:
        for line in lines:
            assert cells(line) <= columns or line.lstrip().startswith(("report", "in ./")), line
        joined = "\n".join(lines).replace("\\\n", " ")
        found = re.findall(r"^  (?:resume|next) +(.*)$", joined, re.MULTILINE)
        commands.update(tuple(shlex.split(one)) for one in found)
    (command,) = commands
    assert command[1:] == (
        *(f"./{WIDE}", "--resume", "--ci-status", "success"),
        *("--review-status", "approved"),
    )


def test_commands_are_broken_by_cells() -> None:
    """A wide character counts twice."""
    words = ("fsm-orchestrator", WIDE, "--resume", "--ci-status", "success")
    lines = command_lines(words, "  ", 60)
    assert all(cells(line) <= 60 for line in lines)
    assert shlex.split(" ".join(lines).replace(" \\ ", " ")) == [*words]


def test_text_without_spaces_is_not_lost(monkeypatch: pytest.MonkeyPatch) -> None:
    """A line in a language without spaces is cut at the edge, not after a word."""
    monkeypatch.setenv("LC_ALL", "C.UTF-8")
    monkeypatch.setenv("TERM", "xterm")
    line = "    | 見よ " + "日本語" * 30
    short = shortened(line, 60)
    assert 57 <= cells(short) <= 60
    assert short.endswith("…")
    assert shortened("one two three four", 14) == "one two …"
    assert shortened("e\u0301" * 30, 10) == "e\u0301" * 9 + "…"


@pytest.mark.parametrize("locale", ["C.UTF-8", "C"])
def test_names_stand_below_one_another(tmp_path: Path, locale: str) -> None:
    """They are aligned after any symbol: the stage at work, ended ones, later ones."""
    script = f"echo here; {WAITING}"
    options = (*PASSING, *shell("manager", "true"), *shell("executor", script))
    env = {"LC_ALL": locale, "NO_COLOR": "1"}
    with Terminal("out", *options, cwd=tmp_path, env=env) as terminal:
        terminal.until_shown("here")
        lines = terminal.shown
        go(tmp_path)
        assert terminal.end() == 0
    column = {
        line.index(name) for line in lines for name in ("manager", "executor") if name in line
    }
    assert len(column) == 1
    assert column == {next(line.index("gates") for line in lines if "gates" in line)}


def test_refused_lifecycle_breaks_between_words(tmp_path: Path) -> None:
    """The verdict with its counts is longer than eighty columns; no word is cut."""
    text = shipped_text("governed_run").decode().replace('dest = "manager"', 'dest = "manger"')
    (tmp_path / "a_rather_long_name_for_it.toml").write_text(text)
    lines = seen("verify", "./a_rather_long_name_for_it.toml", cwd=tmp_path, columns=80)
    assert max(map(cells, lines)) <= 80
    assert "2 stages, 3 gates" in " ".join(" ".join(lines).split())


def test_init_breaks_between_words(tmp_path: Path) -> None:
    """The written files and the commands to type are wrapped between words."""
    words = ("init", "./fresh", "--stages", "plan,apply", "--approve-before", "apply")
    lines = seen(*words, cwd=tmp_path, columns=80)
    assert max(map(cells, lines)) <= 80
    assert "  fsm-orchestrator run ./out --config run.toml \\" in lines
