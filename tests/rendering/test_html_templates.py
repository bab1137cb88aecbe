"""The parts of a page: templates that escape, a readable style, a private file."""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Final

import pytest

from fsm_orchestrator.errors import InternalError, UsageError
from fsm_orchestrator.inspection.inspected_run import inspect_run
from fsm_orchestrator.rendering.html.environment import page_environment
from fsm_orchestrator.rendering.html.page import page_of
from fsm_orchestrator.text.hidden import shell_words
from tests.rendering.html_cases import CSS, PACKAGE, Parser, parsed, run
from tests.support.command import RUN_COMMAND_LINE, environment, orchestrate, stages

pytestmark = pytest.mark.usefixtures("private_state")

TEMPLATES: Final = PACKAGE / "rendering" / "html" / "templates"
FILES_OF_SERVE: Final = PACKAGE / "web" / "files"
ARIA: Final = {"aria-hidden", "aria-label", "aria-labelledby", "aria-live", "aria-pressed"}
"""The attributes of WAI-ARIA 1.2 that the pages use; a browser ignores any other name."""


def rendered(source: str, **values: object) -> str:
    """Return a template as the page's environment renders it."""
    return page_environment().from_string(source).render(**values)


def test_text_is_always_escaped() -> None:
    """Text is escaped between tags and in attributes, whether or not a filter marks it."""
    given = '<b>&\x00\u202e"'
    plain = "&lt;b&gt;&amp;\\x00\\u202e&#34;"
    assert rendered('<p class="{{ x }}">{{ x }}', x=given) == f'<p class="{plain}">{plain}'
    assert rendered("{{ x|marked }}", x="<b>\x00") == '&lt;b&gt;<span class="odd">\\x00</span>'


def test_only_the_picture_is_markup_as_it_is() -> None:
    """One template has one value that is not escaped, and one module makes markup of text."""
    for path in PACKAGE.rglob("*.py"):
        assert ("Markup(" in path.read_text()) == (
            path.parent.name == "html" and path.name == "environment.py"
        ), path
    for path in TEMPLATES.iterdir():
        text = path.read_text()
        assert text.count("safe") == (1 if path.name == "path.html" else 0), path
        assert "autoescape" not in text
        assert not re.search(r'="[^"<>]*marked', text), (
            path
        )  # makes an element, so no attribute may have it
    assert "<" not in CSS


@pytest.mark.parametrize(
    "path", [*TEMPLATES.iterdir(), *FILES_OF_SERVE.iterdir()], ids=lambda path: path.name
)
def test_names_for_screen_readers_are_standard(path: Path) -> None:
    """A misspelled attribute would leave a part of the page without a name."""
    assert set(re.findall(r"\baria-\w+", path.read_text(encoding="utf-8"))) <= ARIA


@pytest.mark.parametrize("value", [None, True, ("a",), Path("a"), b"a"], ids=repr)
def test_what_is_no_text_is_refused(value: object) -> None:
    """A value that is not text is refused."""
    with pytest.raises(InternalError, match=type(value).__name__):
        rendered("{{ x }}", x=value)


def test_missing_value_is_refused() -> None:
    """A template that uses a missing value makes no page."""
    from jinja2 import UndefinedError  # noqa: PLC0415 - beside its only use

    with pytest.raises(UndefinedError):
        rendered("{{ x.y }}", x="")


def test_page_without_jinja_names_the_extra(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Without Jinja2 the error names the extra to install."""
    view = inspect_run(run(tmp_path, *stages()))
    monkeypatch.setitem(sys.modules, "jinja2", None)
    page_environment.cache_clear()  # another test of this process may have made a page
    with pytest.raises(UsageError) as raised:
        page_of(view, "out")
    assert raised.value.remedy == "pip install 'fsm-orchestrator[html]'"


def test_command_survives_hidden_characters() -> None:
    """The text in the command box is, for bash, exactly the command's words."""
    bash = shutil.which("bash")
    if bash is None:
        pytest.skip("there is no bash to read the command")
    given = ["plain", "with space", "it's", "\x1b[2J\u202e\\'\n", "\udcff", "--x=<&>", "$(no)"]
    environment_ = page_environment()
    html = environment_.get_template("next.html").render(
        parts=environment_.get_template("parts.html").module,
        explanation={"next_step": {"remedies": (), "who": "you", "would": ()}},
        headline={"look": {"tone": "good"}},
        command=shell_words(given),
        reverify=(),
    )
    parser = Parser()
    parser.feed(html)
    (box,) = parser.root.all("pre", "command")
    line = box.text.strip()
    done = subprocess.run(
        [bash, "-c", f"printf '%s\\0' {line}"], env=environment(), capture_output=True, check=True
    )
    assert done.stdout == b"".join(one.encode(errors="surrogateescape") + b"\0" for one in given)


def test_colors_have_contrast() -> None:
    """Every text color has a contrast of 4.5 to 1 with its background, in light and dark."""
    schemes = [
        dict(re.findall(r"--([a-z-]+): (#[0-9a-f]{6})", block))
        for block in re.findall(r":root \{([^}]*)\}", CSS)
    ]
    assert len(schemes) == 2
    tones = ("good", "bad", "warn", "late", "info", "plain")
    pairs = [(text, back) for text in ("ink", "grey", "link") for back in ("page", "card", "sunk")]
    pairs += [("odd", "sunk"), ("odd", "card")]
    pairs += [(tone, back) for tone in tones for back in ("card", f"{tone}-soft")]
    pairs += [("ink", back) for back in ("gate", "stage", "done", "ended", "paper")]
    for scheme in schemes:
        for text, back in pairs:
            assert contrast(scheme[text], scheme[back]) >= 4.5, (text, back)


def contrast(one: str, other: str) -> float:
    """Return the contrast of two colors as WCAG 2 defines it."""
    lights = sorted((luminance(one), luminance(other)))
    return (lights[1] + 0.05) / (lights[0] + 0.05)


def luminance(color: str) -> float:
    """Return the relative luminance of a color as WCAG 2 defines it."""
    parts = [int(color[at : at + 2], 16) / 255 for at in (1, 3, 5)]
    linear = [
        part / 12.92 if part <= 0.04045 else ((part + 0.055) / 1.055) ** 2.4 for part in parts
    ]
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]


def test_command_writes_a_private_file(tmp_path: Path) -> None:
    """`report OUT --html FILE` writes the page for its owner alone; `-` prints it."""
    run(tmp_path, *stages())
    assert orchestrate("report", "out", "--html", "page.html", cwd=tmp_path).code == 0
    written = tmp_path / "page.html"
    assert written.stat().st_mode & 0o777 == 0o600
    parsed(written.read_text())
    printed = orchestrate("report", "out", "--html", "-", cwd=tmp_path)
    parsed(printed.stdout)


def test_page_is_imported_only_when_it_is_made(tmp_path: Path) -> None:
    """Neither a run nor the report as JSON loads the code for pages."""
    run(tmp_path, *stages())
    script = (
        f"import sys; {RUN_COMMAND_LINE}\n"
        "assert run_command_line(sys.argv[1:]) == 0\n"
        "pages = [name for name in sys.modules if '.html.' in name]\n"
        "assert bool(pages) == ('jinja2' in sys.modules)\n"
        "sys.exit(len(pages))"
    )
    page = ["report", "out", "--html", "page.html"]
    for words_, expected in ((["report", "out"], 0), (["explain", "out"], 0), (page, 15)):
        done = subprocess.run(
            [sys.executable, "-c", script, *words_],
            cwd=tmp_path,
            env=environment(),
            capture_output=True,
            check=False,
        )
        assert done.returncode == expected
