"""The page of a run whose stages print markup, secrets or long lines: masked, bounded text."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Final

import pytest

from fsm_orchestrator.inspection.inspected_run import inspect_run
from fsm_orchestrator.rendering.html.page import page_of
from fsm_orchestrator.secrets.masking import Masker
from fsm_orchestrator.stages.output_files import StageLog
from fsm_orchestrator.stages.output_tail import TAIL_BYTES, TAIL_LINES, tail_of
from fsm_orchestrator.text.hidden import printable
from tests.rendering.html_cases import page_at, parsed, part, run, words
from tests.support.command import orchestrate, shell, stages

pytestmark = pytest.mark.usefixtures("private_state")

HOSTILE: Final = (
    "</pre><script>alert(1)</script>",
    "<img src=x onerror=alert(1)>",
    "&#x0; &amp; &lt;/pre&gt;",
    "]]>",
    "<!-- --!> -->",
    "</style></title></svg></details></table>",
    "\x00nul \x1b[31mred\x1b[0m \x07 \x9b31m",
    "\u202eevil\u202c \u2066isolated\u2069 \u200bhidden \ufeffmark",
    "\u2028lines\u2029",
    "{{7*7}} ${7*7} %s {0}",
)


def _shown(line: str) -> str:
    """Return a line without the colors of a terminal, which are drawn."""
    return line.replace("\x1b[31m", "").replace("\x1b[0m", "").replace("\x9b31m", "")


def test_hostile_output_is_text(tmp_path: Path) -> None:
    """Anything that a stage prints is text on the page, with hidden characters spelled out."""
    lines = "\n".join(HOSTILE).encode() + b"\n\xed\xa0\x80 \xff\n"
    (tmp_path / "lines").write_bytes(lines)
    out = run(tmp_path, *stages("cat lines; cat lines >&2; exit 1"), code=1)
    page = page_at(out)
    quoted = list(part(page, "stages").all("pre", "output"))
    assert [one.attributes["aria-label"] for one in quoted] == [
        *("stderr of manager", "stdout of manager")
    ]
    expected = "\n" + "\n".join(
        [*(printable(_shown(one)) for one in HOSTILE), "\\xed\\xa0\\x80 \\xff"]
    )
    assert [one.text for one in quoted] == [expected, expected]
    odd = {one.text for one in quoted[0].all("span", "odd")}
    assert {"\\x00", "\\x07", "\\u202e", "\\u2066", "\\ufeff"} <= odd


def test_long_line_is_cut(tmp_path: Path) -> None:
    """A line of ten million characters is cut to its last 4 KiB, with a sign of the cut."""
    script = "head -c 10000000 /dev/zero | tr '\\0' A >&2; echo '<b>' >&2; exit 1"
    page = page_at(run(tmp_path, *stages(script), code=1))
    (quoted,) = part(page, "stages").all("pre", "output")
    assert len(quoted.text) == TAIL_BYTES + 1
    assert quoted.text.startswith("\n\u2026AAA")
    assert quoted.text.endswith("A<b>")
    assert "The end of stderr, 10,000,004 bytes in logs/manager.1.stderr.log" in words(page)


def test_only_the_last_lines_are_shown(tmp_path: Path) -> None:
    """Of many lines the last twenty whole ones are shown."""
    page = page_at(run(tmp_path, *stages("seq 1 5000"), code=0))
    (quoted,) = page.all("pre", "output")
    assert quoted.text.split() == [str(number) for number in range(5001 - TAIL_LINES, 5001)]


def test_arguments_paths_and_warnings_are_text(tmp_path: Path) -> None:
    """Arguments, directories, artifacts, messages and warnings cannot become markup."""
    evil = "\"><script>alert(1)</script>\u202e'&"
    folder = tmp_path / "<b>&'\" folder"
    folder.mkdir()
    options = (
        *shell("manager", "exit 3"),
        *("--manager-arg", evil, "--manager-arg", "\x1b[2J"),
        *("--manager-cwd", str(folder), "--manager-expected-artifact", "<i>left.json"),
        *("--manager-env", "KEY=<u>"),
    )
    out = run(tmp_path, *options, code=1)
    view = inspect_run(out)
    marked = view.report.model_copy(update={"warnings": (evil, "\udc80 \x00", "\n<hr>\n")})
    page = parsed(page_of(replace(view, report=marked), f"{evil}\x1b"))
    text = words(page)
    for one in (evil, "\x1b[2J", str(folder), "<i>left.json", "\udc80 \x00", "<hr>"):
        assert " ".join(printable(one).split()) in text
    (command,) = page.all("pre", "command")
    assert "\\x1b" in command.text
    assert "\\xe2\\x80\\xae" in command.text


def test_secret_values_are_masked(tmp_path: Path) -> None:
    """A value given to a stage is masked wherever its output is quoted."""
    options = (*stages("echo $MODE; echo $MODE >&2; exit 1"), "--manager-env", "MODE=hunter2abc")
    html = page_of(inspect_run(run(tmp_path, *options, code=1)), "out")
    assert "hunter2abc" not in html
    assert [words(one) for one in parsed(html).all("pre", "output")] == ["***"] * 3


def test_output_is_not_quoted_when_values_are_gone(tmp_path: Path) -> None:
    """After done, values cannot be masked: output is not quoted, and the page says where it is."""
    options = (*stages("echo $MODE; echo $MODE >&2"), "--manager-env", "MODE=hunter2abc")
    out = run(tmp_path, *options)
    html = page_of(inspect_run(out), "out")
    assert "hunter2abc" in (out / "logs" / "manager.1.stdout.log").read_text()
    assert "hunter2abc" not in html
    text = words(part(parsed(html), "stages"))
    assert "stdout is not quoted" in text
    assert "as the report quotes them" in text


def test_replaced_values_of_an_earlier_invocation_are_not_quoted(tmp_path: Path) -> None:
    """Output of an earlier invocation is not quoted, as it may have a value replaced since."""
    options = (*stages("echo $MODE; exit 1"), "--manager-env", "MODE=hunter2abc")
    out = run(tmp_path, *options, code=1)
    again = ("out", "--resume", "--manager-env", "MODE=hunter3abc")
    assert orchestrate(*again, cwd=tmp_path).code == 1
    html = page_of(inspect_run(out), "out")
    assert "hunter" not in html
    text = words(part(parsed(html), "stages"))
    assert "stdout is not quoted" in text
    assert "All of stdout" in text


@pytest.mark.parametrize("letters", ["abcdefghijkl", "\u00e4\u20ac\U0001f600" * 4])
def test_no_piece_of_a_value_is_left_by_the_cut(letters: str, tmp_path: Path) -> None:
    """Wherever a cut falls in a value, and however long its letters are, no piece is shown."""
    path = tmp_path / "log"
    log = StageLog(1, "manager", is_stderr=False, path=path)
    secret = letters.encode()
    for after in range(TAIL_BYTES - len(secret) - 3, TAIL_BYTES + 60):
        path.write_bytes(
            b"x" * 9000 + secret + "\u00e9".encode() * (after // 2) + b"y" * (after % 2)
        )
        tail = tail_of(log, Masker([letters]), errors="backslashreplace")
        assert tail is not None
        assert set(tail.text) <= set("x*\u00e9y\\ca9"), after
