"""The simple style, and what keeps a picture legible: wide fonts, limits of code hosts."""

from __future__ import annotations

import re
from pathlib import Path
from xml.etree import ElementTree as ET

import pytest

from fsm_orchestrator import load_report
from fsm_orchestrator.lifecycle import reading
from fsm_orchestrator.rendering.diagram.dot import dot_text
from fsm_orchestrator.rendering.diagram.image import svg_text
from fsm_orchestrator.rendering.diagram.mermaid import ARROWS_MAX, CHARACTERS_MAX, mermaid_text
from fsm_orchestrator.rendering.diagram.picture import Picture, picture_of
from fsm_orchestrator.rendering.diagram.run_marks import marks_of_run
from fsm_orchestrator.rendering.diagram.simple import CAPTION, simple
from tests.support.command import PASSING, orchestrate, stages

SVG = "{http://www.w3.org/2000/svg}"
ARROW = re.compile(r'^    (\w+) [=.-]+>(?:\|"(.*)"\|)? (\w+)$', re.MULTILINE)
FORMATS = ("mermaid", "dot", "svg", "png")


@pytest.mark.parametrize("name", reading.shipped_names())
def test_simple_style_shows_states_and_outcomes_alone(name: str) -> None:
    """The simple picture has every state but no condition, resume, abort or detail, and says so."""
    declared = reading.shipped(name)
    text = mermaid_text(simple(picture_of(declared)))
    alone = [state for state in declared.states if state not in declared.group_of]
    assert all(f"    {state}" in text for state in alone)
    assert all(f"<br/>{stage}" in text for stage in declared.group_of)
    assert CAPTION in text
    for word in (
        'resume"',
        "run_aborted",
        "unless",
        "at most",
        "exit 10",
        "policy, ci",
        "EveryState",
    ):
        assert word not in text, word


def test_simple_style_says_what_happens_in_plain_words() -> None:
    """The simple picture has unlabeled arrows to done, and one-word arrows to other outcomes."""
    text = mermaid_text(simple(picture_of(reading.shipped("reviewed_run"))))
    assert [(one, label, dest) for one, label, dest in ARROW.findall(text)] == [
        ("Start", "", "pending"),
        ("pending", "", "gating"),
        ("gating", "passed", "manager"),
        ("manager", "", "executor"),
        ("executor", "", "reviewer"),
        ("reviewer", "", "done"),
        ("gating", "refused", "blocked"),
        ("reviewer", "rework", "executor"),
        ("reviewer", "too much rework", "failed"),
        ("EveryStage", "failed", "failed"),
        ("EveryStage", "timed out", "timeout"),
    ]


@pytest.mark.parametrize("form", FORMATS)
def test_every_format_has_the_simple_style(form: str, tmp_path: Path) -> None:
    """Every format takes `--style simple`, which draws less than the full picture."""
    pytest.importorskip("pygraphviz")
    sizes = []
    for style in ("full", "simple"):
        options = ("--format", form, "--style", style, "-o", f"{style}.out")
        assert orchestrate("diagram", "reviewed_run", *options, cwd=tmp_path).code == 0
        sizes.append((tmp_path / f"{style}.out").stat().st_size)
    assert sizes[1] < sizes[0]


def test_simple_picture_of_a_run_shows_where_it_went(tmp_path: Path) -> None:
    """The steps that the run took are shown, even conditions, and where it ended."""
    options = (*stages("touch left", "rm left"), "--manager-expected-artifact", "left")
    assert orchestrate("out", *PASSING, *options, cwd=tmp_path).code == 1
    text = orchestrate("diagram", "--run", "out", "--style", "simple", cwd=tmp_path).stdout
    assert "ended here" in text
    assert re.search(r"    executor ==>\|\"not artifacts_intact\"\| failed", text)


def test_difference_has_no_simple_style(tmp_path: Path) -> None:
    """A difference in the simple style is refused, since it may be about conditions."""
    pair = ("--diff", "governed_run", "reviewed_run")
    ended = orchestrate("diagram", *pair, "--style", "simple", cwd=tmp_path)
    assert ended.code == 2
    assert "--style simple leaves out conditions, which a difference may be about" in ended.stderr


@pytest.mark.parametrize("name", reading.shipped_names())
def test_words_stand_in_the_middle_whatever_the_font(name: str) -> None:
    """Each word of a state is anchored in the middle of its shape and has room."""
    pytest.importorskip("pygraphviz")
    declared = reading.shipped(name)
    root = drawn(picture_of(declared))
    assert len(nodes_of(root)) > len(declared.states) - len(declared.group_of)
    assert_words_are_centered(root)
    heading = list(root[0].iter(f"{SVG}text"))[:2]
    assert {one.get("text-anchor") for one in heading} == {"middle"}


def test_words_of_what_was_not_visited_stand_in_the_middle_too(tmp_path: Path) -> None:
    """The dashes of an unvisited state's border do not count as the place of its words."""
    pytest.importorskip("pygraphviz")
    assert orchestrate("./out", cwd=tmp_path).code == 3
    report = load_report(tmp_path / "out")
    lifecycle = reading.shipped("governed_run")
    root = drawn(picture_of(lifecycle, marks_of_run(lifecycle, report)))
    dashed = [one for one in root.iter() if one.get("stroke-dasharray")]
    assert len(dashed) > 4
    assert_words_are_centered(root)


def test_blocked_does_not_look_like_failed() -> None:
    """An end that waits for somebody has the color of the gates, in every format."""
    picture = picture_of(reading.shipped("governed_run"))
    dot = {
        line.split(" ")[2]: line for line in dot_text(picture).splitlines() if " [shape=" in line
    }
    assert 'fillcolor="#fff4d6"' in dot['"blocked"']
    assert 'fillcolor="#fdeaea"' in dot['"failed"']
    text = mermaid_text(picture)
    assert '    blocked[["blocked"]]:::blocked' in text
    assert '    failed[["failed"]]:::ended' in text


def drawn(picture: Picture) -> ET.Element:
    """Return the SVG of a picture."""
    return ET.fromstring(svg_text(dot_text(picture)))  # noqa: S314


def nodes_of(root: ET.Element) -> list[ET.Element]:
    """Return the nodes of a drawing."""
    return [one for one in root.iter(f"{SVG}g") if one.get("class") == "node"]


def assert_words_are_centered(root: ET.Element) -> None:
    """Assert that every word of a node is anchored in the middle of its shape and has room."""
    for node in nodes_of(root):
        shape = next(
            one for one in node.iter() if one.get("points") or one.get("d") or one.get("cx")
        )
        place = shape.get("points") or shape.get("d") or ""
        xs = [float(one) for one in re.findall(r"(-?[\d.]+),-?[\d.]+", place)]
        for text in node.iter(f"{SVG}text"):
            assert text.get("text-anchor") == "middle"
            middle = (min(xs) + max(xs)) / 2
            assert float(text.get("x", "")) == pytest.approx(middle, abs=0.01)
            room = max(xs) - min(xs)
            assert room >= 0.6 * float(text.get("font-size", "")) * len(text.text or "")


def large(count: int) -> str:
    """Return a lifecycle of that many stages, each with an end besides the common ones."""
    names = [f"stage_with_a_long_name_to_be_read_{number}" for number in range(count)]
    text = 'schema_version = 1\nname = "large"\ntitle = "Many"\ninitial = "pending"\n'
    text += 'gates_guard = "stages"\n[[state]]\nname = "pending"\nkind = "initial"\n'
    text += '[[state]]\nname = "gating"\nkind = "gate"\ngates = ["policy", "ci", "review"]\n'
    for name in names:
        text += f'[[state]]\nname = "{name}"\nkind = "stage"\nexit_codes = {{ 10 = "rework" }}\n'
    for end in ("done", "blocked", "failed", "timeout"):
        text += f'[[state]]\nname = "{end}"\nkind = "terminal"\noutcome = "{end}"\n'
    steps = [("start", "pending", "gating", ""), ("gates_passed", "gating", names[0], "")]
    steps += [("gates_refused", "gating", "blocked", "")]
    for one, after in zip(names, [*names[1:], "done"], strict=True):
        last = after == "done"
        steps += [("stage_succeeded", one, "failed", 'unless = "artifacts_intact"')] * last
        steps += [("stage_succeeded", one, "blocked", 'unless = "gates_hold"')] * last
        steps += [("stage_succeeded", one, after, "")]
        steps += [("rework_requested", one, names[0], "at_most = 2")]
        steps += [("rework_requested", one, "failed", "")]
        steps += [("stage_failed", one, "failed", ""), ("stage_timed_out", one, "timeout", "")]
    places = ["pending", "gating", *names]
    steps += [("run_aborted", one, "failed", "") for one in places]
    steps += [("resume", one, "gating", "") for one in (*places, "blocked", "failed", "timeout")]
    for trigger, source, dest, more in steps:
        text += f'[[transition]]\ntrigger = "{trigger}"\nsource = "{source}"\ndest = "{dest}"\n'
        text += f'why = "so it goes"\n{more}\n'
    return text


def test_what_code_hosts_do_not_draw_is_said(tmp_path: Path) -> None:
    """More than 50,000 characters are written with a warning that names the alternative."""
    assert (CHARACTERS_MAX, ARROWS_MAX) == (50_000, 500)
    (tmp_path / "large.toml").write_text(large(150))
    ended = orchestrate("diagram", "./large.toml", cwd=tmp_path)
    assert ended.code == 0
    assert len(ended.stdout) > CHARACTERS_MAX
    assert "code hosts draw Mermaid of up to 50,000 characters and 500 arrows" in ended.stderr
    assert "--format svg" in ended.stderr
    small = orchestrate("diagram", "reviewed_run", cwd=tmp_path)
    assert (small.code, small.stderr) == (0, "")
