"""The colors of stage output on a page: readable, bounded, without any other effect."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Final

import pytest

from fsm_orchestrator.inspection.inspected_run import inspect_run
from fsm_orchestrator.rendering.html import colors
from fsm_orchestrator.rendering.html.colors import CONTRAST_MIN, Span, contrast, spans_of
from fsm_orchestrator.rendering.html.environment import marked
from fsm_orchestrator.rendering.html.page import page_of
from tests.rendering.html_cases import CSS, page_at, parsed, part, run
from tests.support.command import stages

LIGHT: Final = (238, 241, 244)
DARK: Final = (20, 26, 32)


def rgb(color: str) -> tuple[int, int, int]:
    """Return a color as three numbers."""
    red, green, blue = (int(color[at : at + 2], 16) for at in (1, 3, 5))
    return (red, green, blue)


@pytest.mark.parametrize(
    ("parameters", "classes"),
    [
        ("1", "bold"),
        ("2", "dim"),
        ("3", "italic"),
        ("4", "under"),
        ("7", "turned"),
        ("9", "struck"),
        ("1;4", "bold under"),
        ("31", "tinted"),
        ("91", "tinted"),
        ("38;5;208", "tinted"),
        ("38;2;255;136;0", "tinted"),
        ("38:5:208", "tinted"),
        ("41", ""),
        ("48;5;21", ""),
        ("107", ""),
        ("1;41", "bold"),
    ],
)
def test_each_kind_of_look_is_drawn(parameters: str, classes: str) -> None:
    """Bold, underlined, reversed, and 16, 256 and all colors are drawn, and the reset ends them."""
    before, inside, after = spans_of(f"a\x1b[{parameters}mb\x1b[0mc")
    assert (before, after) == (Span("a"), Span("c"))
    assert (inside.text, inside.classes) == ("b", classes)
    is_colored = "tinted" in classes or "41" in parameters or parameters in {"48;5;21", "107"}
    assert bool(inside.style) == is_colored


@pytest.mark.parametrize(
    "end", ["22;39;49", "", "0", "00"], ids=["one by one", "empty", "zero", "zeros"]
)
def test_what_ends_a_look_ends_it(end: str) -> None:
    """A style ends with zero, with nothing, or with the code that undoes each part."""
    assert spans_of(f"\x1b[1;31;42mx\x1b[{end}my")[1] == Span("y")


def test_look_goes_on_in_the_next_line() -> None:
    """A color that is still on at the end of a line continues in the next line."""
    (only,) = spans_of("\x1b[32mone\ntwo")
    assert (only.text, only.classes) == ("one\ntwo", "tinted")


def test_256_colors_are_those_of_terminals() -> None:
    """Colors of the cube and grays are drawn exactly, where they are readable."""
    back = {number: spans_of(f"\x1b[48;5;{number}mx")[0].style for number in (16, 196, 231, 244)}
    assert {number: re.findall("#[0-9a-f]{6}", style)[0] for number, style in back.items()} == {
        16: "#000000",
        196: "#ff0000",
        231: "#ffffff",
        244: "#808080",
    }


def test_every_color_can_be_read() -> None:
    """Any color has a contrast of 4.5 to 1, in light and dark, on the page or its background."""
    for number in range(256):
        style = spans_of(f"\x1b[38;5;{number}mx")[0].style
        light, dark = map(rgb, re.findall("#[0-9a-f]{6}", style))
        assert contrast(light, LIGHT) >= CONTRAST_MIN, number
        assert contrast(dark, DARK) >= CONTRAST_MIN, number
        style = spans_of(f"\x1b[48;5;{number};38;5;{255 - number}mx")[0].style
        back, text = map(rgb, re.findall("#[0-9a-f]{6}", style))
        assert contrast(text, back) >= CONTRAST_MIN, number


def test_ground_is_that_of_the_style_sheet() -> None:
    """The colors are made for the background that the style sheet gives to output."""
    assert [rgb(one) for one in re.findall(r"--sunk: (#[0-9a-f]{6})", CSS)] == [LIGHT, DARK]
    assert colors.contrast((0, 0, 0), (255, 255, 255)) == pytest.approx(21)


@pytest.mark.parametrize(
    "parameters",
    ["38;5;999", "38;2;1;2", "38", "9" * 5000, ";" * 5000, "38;2;300;0;0", "58;5;1", "1;;;;31;999"],
)
def test_odd_sequences_do_no_harm(parameters: str) -> None:
    """Sequences that no terminal understands change no style and are not shown."""
    spans = spans_of(f"\x1b[{parameters}mx")
    assert [one.text for one in spans] == ["x"]
    assert re.fullmatch(r"(--light:#[0-9a-f]{6};--dark:#[0-9a-f]{6})?", spans[0].style)


def test_other_sequences_are_left_out_or_spelled() -> None:
    """A sequence that moves the cursor is left out; one that clears the screen is spelled out."""
    (span,) = spans_of("a\x1b[2Kb\x1b[3Dc")
    assert span.text == "abc"
    assert marked(spans_of("\x1b[2Jx")[0].text) == '<span class="odd">\\x1b</span>[2Jx'


@pytest.mark.usefixtures("private_state")
def test_colors_of_a_stage_are_on_its_page(tmp_path: Path) -> None:
    """The page draws the stage's colors the same way at the top and with the stage."""
    script = "printf '\\033[1;31mERROR\\033[0m: <b>\\n' >&2; exit 3"
    page = page_at(run(tmp_path, *stages(script), code=1))
    for where in (next(page.all("header")), part(page, "stages")):
        (quoted,) = where.all("pre", "output")
        assert quoted.text == "\nERROR: <b>"
        (span,) = quoted.all("span")
        assert (span.text, span.attributes["class"]) == ("ERROR", "bold tinted")
        assert re.fullmatch("--light:#[0-9a-f]{6};--dark:#[0-9a-f]{6}", span.attributes["style"])


@pytest.mark.usefixtures("private_state")
def test_value_parted_by_colors_is_masked(tmp_path: Path) -> None:
    """A value that a stage printed half in red is masked like a whole one."""
    script = "printf '%s\\033[31m%s\\n' hunter2 abcdef >&2; exit 3"
    given = (*stages(script), "--manager-env", "MODE=hunter2abcdef")
    html = page_of(inspect_run(run(tmp_path, *given, code=1)), "out")
    shown = "".join(one.text for one in parsed(html).all("pre", "output"))
    assert "hunter2abcdef" not in shown
    assert "***" in shown
