r"""Output of stages on every screen: progress bars, colors and characters that mislead."""

from __future__ import annotations

import re
import subprocess
from pathlib import Path

import pytest

from fsm_orchestrator.text.terminal import colored_line, last_lines, latest_state, shown_line
from tests.cli.cli_cases import CONTROL, on_terminal
from tests.support.command import COMMAND, PASSING, environment, events_of, orchestrate, stages

MISLEADING = re.compile(
    "[\u061c\u200b-\u200f\u2028-\u202e\u2060-\u206f\ufeff\U000e0000-\U000e007f]"
)
COLOR = re.compile(r"\x1b\[[0-9;:]*m")
SCRIPT = r"""
i=0; while [ $i -lt 200 ]; do i=$((i+1)); printf 'step %d of 200\r' $i; done; printf '\n'
printf '\033[32mgreen\033[0m and \033]52;c;aGk=\007\033]0;title\007 \302\23331m\n'
printf 'user\342\200\256gpj.exe \342\201\246iso\342\201\251 ad\342\200\215min\n'
printf 'spin |\b/\b-\bdone \377\n'
"""
"""A stage that prints a progress bar, colors, a window's title, the clipboard and directions."""


def assert_harmless(seen: str) -> None:
    """Assert that nothing on a screen could drive a terminal or reverse text."""
    assert not CONTROL.search(seen)
    assert not MISLEADING.search(seen)


def test_live_output_shows_the_latest_state(tmp_path: Path) -> None:
    """On a terminal a progress bar is a line, colors are left out, the rest is spelled out."""
    options = (*PASSING, *stages(SCRIPT), "--log-output")
    code, seen = on_terminal("./out", *options, cwd=tmp_path)
    assert code == 0
    assert_harmless(seen)
    lines = [line.removeprefix("manager | ") for line in seen.split("\n") if "manager | " in line]
    assert lines[0] == "step 200 of 200"
    assert lines[1].startswith(r"green and \x1b]52;c;aGk=\x07\x1b]0;title\x07")
    assert lines[2] == r"user\u202egpj.exe \u2066iso\u2069 ad\u200dmin"
    assert lines[3].startswith("spin done")
    assert len(lines) == 4
    texts = [one["text"] for one in events_of(tmp_path / "out") if one["event"] == "stage.output"]
    assert texts[0] == "step 200 of 200"


def test_failure_shows_the_end_of_a_progress_bar(tmp_path: Path) -> None:
    """The last lines of a failed stage are not the last states of one line."""
    options = (*PASSING, *stages(f"{{ echo first; {SCRIPT} }} >&2; exit 3"))
    code, seen = on_terminal("./out", *options, cwd=tmp_path)
    assert code == 1
    for screen in (
        seen,
        on_terminal("status", "out", cwd=tmp_path)[1],
        on_terminal("explain", "out", "--all", cwd=tmp_path)[1],
    ):
        assert_harmless(screen)
        tail = re.findall(r"\| (.*)$", screen, re.MULTILINE)
        at = tail.index("step 200 of 200")  # give or take a line before it, as room allows
        assert tail[:at] in ([], ["first"])


def test_logs_on_a_pipe_are_the_bytes_that_were_printed(tmp_path: Path) -> None:
    """A pipe gets the stage's exact output without colors, after the stage's name."""
    long = "yes 0123456789abcdef | head -n 2000 | tr '\\n' ' '; echo"
    orchestrate("out", *PASSING, *stages(f"{SCRIPT} {long}"), cwd=tmp_path)
    raw = (tmp_path / "out" / "logs" / "manager.1.stdout.log").read_bytes()
    assert b"\xff" in raw
    shown = subprocess.run(
        [*COMMAND, "logs", "out", "manager"],
        cwd=tmp_path,
        env=environment(XDG_STATE_HOME=str(tmp_path / "state")),
        capture_output=True,
        check=True,
    ).stdout
    told = re.sub(rb"\x1b\[[0-9;:]*m", b"", raw)
    assert len(told) < len(raw)
    assert shown == b"".join(b"manager | " + line + b"\n" for line in told.split(b"\n")[:-1])


@pytest.mark.parametrize("wants_color", [False, True])
def test_logs_on_a_terminal_are_harmless(tmp_path: Path, wants_color: bool) -> None:
    """A terminal may get colors, which end with their line, and nothing else raw."""
    orchestrate("out", *PASSING, *stages(SCRIPT + r"printf '\033[31mred\nnext\n'"), cwd=tmp_path)
    env = {"NO_COLOR": "" if wants_color else "1", "TERM": "xterm"}
    code, seen = on_terminal("logs", "out", cwd=tmp_path, **env)
    assert code == 0
    assert_harmless(COLOR.sub("", seen))
    begin = "\x1b[36mmanager  |\x1b[0m " if wants_color else "manager  | "
    assert (f"{begin}\x1b[31mred\x1b[0m\n" in seen) is wants_color
    assert ("manager  | red\n" in seen) is not wants_color
    assert f"{begin}next\n" in seen
    assert f"{begin}step 200 of 200\n" in seen


@pytest.mark.parametrize(
    ("printed", "state"),
    [
        ("plain", "plain"),
        ("", ""),
        ("10%\r50%\r100%", "100%"),
        ("10%\r50%\r100%\r", "100%"),
        ("10%\r100%\r\x1b[K", "100%"),
        ("one\x1b[2K\x1b[1Gtwo\x1b[0G\x1b[Kthree", "\x1b[Kthree"),
        ("windows\r", "windows"),
    ],
)
def test_latest_state_of_a_line(printed: str, state: str) -> None:
    """Overwritten text is gone, and an erased end is no state."""
    assert latest_state(printed) == state


def test_last_lines_are_lines() -> None:
    """Blank and overwritten lines are left out; a line that may still be visible is not."""
    assert last_lines("a\r\n\n1%\r2%\r3%\nlonger\rshort\n", 9) == ["a", "3%", "longer", "short"]
    assert last_lines("a\nb\nc", 2) == ["b", "c"]


@pytest.mark.parametrize(
    ("printed", "plain", "colored"),
    [
        ("\x1b[1;31mred\x1b[m", "red", "\x1b[1;31mred\x1b[m\x1b[0m"),
        ("\x1b[38:2:1:2:3mrgb", "rgb", "\x1b[38:2:1:2:3mrgb\x1b[0m"),
        ("\x1b[2Ktext\x1b[3A\x1b[?25l", "text", "text"),
        ("\x1b[2J\x1b[H", "\\x1b[2J\\x1b[H", "\\x1b[2J\\x1b[H"),
        ("\x1b]8;;http://x\x1b\\link\x1b]8;;\x1b\\", None, None),
        ("\x9b31mred", "red", "red"),
        ("\x1b]0;never ended", "\\x1b]0;never ended", "\\x1b]0;never ended"),
        ("\U0001f468\u200d\U0001f469", "\U0001f468\u200d\U0001f469", None),
        ("H\bHi", "Hi", "Hi"),
    ],
)
def test_shown_line(printed: str, plain: str | None, colored: str | None) -> None:
    """Colors, erasing and moving are removed; other terminal controls are spelled out."""
    assert not CONTROL.search(shown_line(printed))
    assert not CONTROL.search(COLOR.sub("", colored_line(printed)))
    assert plain is None or shown_line(printed) == plain
    assert colored is None or colored_line(printed) == colored


HOSTILE = "x\x1b]0;t\x07\u202egnp"
"""A name that would set a title, ring the bell and reverse the text after it."""


@pytest.mark.parametrize(
    "arguments",
    [
        ("init", HOSTILE),
        ("config", "check", f"{HOSTILE}.toml"),
        ("config", "show", f"{HOSTILE}.toml"),
        ("config", "check", f"no{HOSTILE}"),
        ("report", "out", "--html", f"{HOSTILE}.html"),
        ("run", "new", "--config", f"{HOSTILE}.toml", "--print-config"),
        ("plan", f"new{HOSTILE}", "--manager-bin", f"./{HOSTILE}"),
        (
            "run",
            f"new{HOSTILE}",
            *PASSING,
            "--manager-bin",
            f"./{HOSTILE}",
            "--executor-env",
            f"{HOSTILE}=1",
        ),
        ("status", HOSTILE),
        ("verify", HOSTILE),
        ("verify", f"./{HOSTILE}.lifecycle.toml"),
        ("explain", "out", "--run-id", HOSTILE),
        (HOSTILE, "--policy-status", HOSTILE),
        ("logs", "out", HOSTILE),
        ("stop", HOSTILE),
    ],
    ids=lambda words: " ".join(words[:2]).encode("ascii", "backslashreplace").decode(),
)
def test_names_from_outside_cannot_drive_a_terminal(
    arguments: tuple[str, ...], tmp_path: Path
) -> None:
    """Any argument, path, key or title is shown with its control characters spelled out."""
    (tmp_path / f"{HOSTILE}.toml").write_text('[stage.manager]\nbin = "./x\u202e"\n', "utf-8")
    title = 'name = "odd"\ntitle = "a\u202eb\\u001b[31m"\n'
    (tmp_path / f"{HOSTILE}.lifecycle.toml").write_text(f"schema_version = 1\n{title}", "utf-8")
    if "out" in arguments:
        orchestrate("out", *PASSING, cwd=tmp_path)
    _, seen = on_terminal(*arguments, cwd=tmp_path)
    assert seen
    assert_harmless(seen)
