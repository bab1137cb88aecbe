"""Drawings of a lifecycle have what is declared and what runs, in every format."""

from __future__ import annotations

import os
import pty
import re
import shutil
import subprocess
import tomllib
from collections import Counter
from collections.abc import Mapping
from itertools import pairwise
from pathlib import Path
from typing import Any, Final
from xml.etree import ElementTree as ET

import pytest

from fsm_orchestrator.cli.main import run_command_line
from fsm_orchestrator.engine.machine import build_machine
from fsm_orchestrator.lifecycle import reading
from fsm_orchestrator.lifecycle.diff import diff
from fsm_orchestrator.lifecycle.model import Lifecycle
from fsm_orchestrator.lifecycle.source import shipped_names, shipped_text
from fsm_orchestrator.rendering.diagram.change_marks import both_of, marks_of_change
from fsm_orchestrator.rendering.diagram.dot import dot_text
from fsm_orchestrator.rendering.diagram.mermaid import mermaid_text
from fsm_orchestrator.rendering.diagram.picture import Line, picture_of
from fsm_orchestrator.text.units import span_words
from tests.support.command import COMMAND, environment, orchestrate
from tests.support.other_python import other_python
from tests.tools import lifecycle_pictures

ROOT: Final = Path(__file__).parents[2]
LONG: Final = Path(__file__).parents[1] / "diagram_cases" / "long_delivery.toml"
TEXTS: Final[Mapping[str, str]] = {
    **{name: shipped_text(name).decode() for name in shipped_names()},
    "long_delivery": LONG.read_text(),
}
REVIEWED: Final = TEXTS["reviewed_run"]

Drawn = Counter[tuple[str, str, str, str]]
"""The count of each (source, trigger, condition, dest)."""


def needs_graphviz() -> None:
    """Skip a test that draws an image where that is impossible."""
    pytest.importorskip(
        "pygraphviz", reason="images need the extra: pip install 'fsm-orchestrator[diagrams]'"
    )


def parsed(text: str) -> Lifecycle:
    """Return a lifecycle that is not refused."""
    return reading.parse(text.encode(), "test.toml")


def declared(text: str) -> Drawn:
    """Return the edges that a file declares, read without the program."""
    edges: Drawn = Counter()
    for one in tomllib.loads(text)["transition"]:
        sources = one["source"] if isinstance(one["source"], list) else [one["source"]]
        edges.update((source, one["trigger"], condition(one), one["dest"]) for source in sources)
    return edges


def condition(transition: Mapping[str, Any]) -> str:
    """Return the condition of a transition as pictures write it."""
    words = [f"if {transition['guard']}"] if "guard" in transition else []
    words += [f"unless {transition['unless']}"] if "unless" in transition else []
    words += [f"at most {transition['at_most']} times"] if "at_most" in transition else []
    return " ".join(words)


def sources(key: str, text: str) -> list[str]:
    """Return the states that a node stands for: itself, or those of a group's words."""
    states = tomllib.loads(text)["state"]
    inside = {
        name for one in states for name in one.get("stages", ())
    }  # the group is drawn instead
    kinds = {one["name"]: one for one in states if one["name"] not in inside}
    groups = {
        "EveryStage": [name for name, one in kinds.items() if one["kind"] == "stage"],
        "EveryStateBeforeTheEnd": [n for n, one in kinds.items() if one["kind"] != "terminal"],
        "EveryStateButDone": [n for n, one in kinds.items() if one.get("outcome") != "done"],
    }
    return groups.get(key, [key])


def drawn(arrows: list[tuple[str, list[str], str]], text: str) -> Drawn:
    """Return the edges that arrows (source, labels, dest) stand for."""
    edges: Drawn = Counter()
    for source, labels, dest in arrows:
        for label in labels:
            trigger, _, words = label.removesuffix(" otherwise").partition(" ")
            edges.update((one, trigger, words, dest) for one in sources(source, text))
    return edges


def arrows_of_mermaid(text: str) -> list[tuple[str, list[str], str]]:
    """Return the labeled arrows of a flowchart."""
    found = re.findall(r'^    (\w+) [=.-]+>\|"(.*)"\| (\w+)$', text, re.MULTILINE)
    return [(source, label.split("<br/>"), dest) for source, label, dest in found]


def arrows_of_dot(text: str) -> list[tuple[str, list[str], str]]:
    """Return the labeled arrows of a digraph."""
    found = re.findall(r'^  "(\w+)" -> "(\w+)" \[.* label="(.*)"\]$', text, re.MULTILINE)
    arrows = []
    for source, dest, label in found:
        joined = label.replace("\\l\u00a0\u00a0\u00a0", " ").removesuffix("\\l")
        arrows.append((source, [line.strip("\u00a0") for line in joined.split("\\l")], dest))
    return arrows


def of_machine(declared: Lifecycle) -> Counter[tuple[str, str, str]]:
    """Return the (source, trigger, dest) of the machine that runs."""
    machine = build_machine(declared)
    return Counter(
        (str(one.source), trigger, str(one.dest))
        for trigger in machine.events
        for one in machine.get_transitions(trigger)
    )


@pytest.mark.parametrize("name", TEXTS)
def test_edges_drawn_are_those_declared_and_those_that_run(name: str) -> None:
    """Both texts draw each edge once, and the machine of a run has the same edges."""
    text = TEXTS[name]
    found = parsed(text)
    picture = picture_of(found)
    expected = declared(text)
    assert drawn(arrows_of_mermaid(mermaid_text(picture)), text) == expected
    assert drawn(arrows_of_dot(dot_text(picture)), text) == expected
    runs = of_machine(found)
    assert Counter((one.source, one.trigger.value, one.dest) for one in picture.edges) == runs
    assert Counter(one[:2] + one[3:] for one in expected.elements()) == runs


@pytest.mark.parametrize(
    ("name", "way"),
    [
        ("governed_run", "pending gating manager executor done"),
        ("closure_gated", "pending manager executor gating done"),
        ("reviewed_run", "pending gating manager executor reviewer done"),
    ],
)
def test_bold_is_the_way_to_done(name: str, way: str) -> None:
    """The bold arrows are exactly the walk on which everything succeeds."""
    text = mermaid_text(picture_of(reading.shipped(name)))
    states = way.split()
    bold = re.findall(r"^    (\w+) ==>\|.*\| (\w+)$", text, re.MULTILINE)
    assert bold == list(pairwise(states))
    dot = dot_text(picture_of(reading.shipped(name)))
    assert re.findall(r'"(\w+)" -> "(\w+)" \[penwidth=2.6 ', dot) == bold


def test_kinds_differ_in_shape() -> None:
    """Each kind of state has its own shape and each kind of arrow its own line in both texts."""
    picture = picture_of(parsed(TEXTS["long_delivery"]))
    text, dot = mermaid_text(picture), dot_text(picture)
    for mermaid in ('pending(["', 'gating{{"', 'research["', 'done((("', 'blocked[["', "Start(("):
        assert f"    {mermaid}" in text
    looks = {
        key: (
            *re.findall(
                r"shape=\w+|rounded|peripheries=2|penwidth=2|transparent", dot_line(dot, key)
            ),
        )
        for key in ("Start", "pending", "gating", "research", "done", "blocked", "EveryStage")
    }
    assert len(set(looks.values())) == len(looks)
    assert len({arrow.line for arrow in picture.arrows}) == len(Line)
    styles = {line: style_of(dot, line) for line in ("start", "run_aborted", "resume")}
    assert len(set(styles.values())) == 3


def dot_line(dot: str, key: str) -> str:
    """Return the line of a node."""
    return next(line for line in dot.splitlines() if re.match(rf'  "?{key}"? \[', line))


def style_of(dot: str, trigger: str) -> str:
    """Return the style of the first arrow for a trigger."""
    line = next(one for one in dot.splitlines() if "->" in one and f"{trigger}\\l" in one)
    return line.partition("[")[2].partition(" tooltip")[0]


def test_one_that_differs_is_drawn_alone() -> None:
    """A stage that fails elsewhere has its own arrow, and the label of the rest says `other`."""
    text = TEXTS["long_delivery"].replace('"implement", "unit_tests",', '"unit_tests",', 1)
    assert text != TEXTS["long_delivery"]
    text += (
        '\n[[state]]\nname = "given_up"\nkind = "terminal"\noutcome = "failed"\n'
        '\n[[transition]]\ntrigger = "stage_failed"\nsource = "implement"\ndest = "given_up"\n'
        'why = "for the test"\n\n[[transition]]\ntrigger = "resume"\nsource = "given_up"\n'
        'dest = "gating"\nwhy = "for the test"\n'
    )
    drawn_text = mermaid_text(picture_of(parsed(text)))
    assert 'implement -->|"stage_failed"| given_up' in drawn_text
    assert 'EveryOtherStageForStageFailed["every other stage"]' in drawn_text
    assert 'EveryOtherStageForStageFailed -->|"stage_failed"| failed' in drawn_text
    assert 'EveryStage -->|"stage_timed_out"| timeout' in drawn_text


def test_every_is_said_only_where_it_is_true(tmp_path: Path) -> None:
    """`every` is not used if a stage lacks the edge, as in a lifecycle that was not judged."""
    second = '[[state]]\nname = "late"\nkind = "terminal"\noutcome = "timeout"\n\n'
    text = TEXTS["long_delivery"].replace("[[state]]", f"{second}[[state]]", 1)
    before, trigger, after = text.partition('trigger = "stage_timed_out"')
    (tmp_path / "x.toml").write_text(before + trigger + after.replace('"research", ', "", 1))
    written = mermaid_text(picture_of(reading.read("./x.toml", tmp_path)))
    assert 'EveryStage -->|"stage_failed"|' in written
    assert 'EveryStage -->|"stage_timed_out"|' not in written
    assert written.count('|"stage_timed_out"| timeout') == 11


ODD_TITLE: Final = "a %%{init: {}}%% <b>x</b> & ] }} #quot; `y` ; -- \\\\ \u00e9"
ODD: Final = (
    re.sub(r'^title = ".*"$', lambda _: f'title = "{ODD_TITLE}"', REVIEWED, flags=re.MULTILINE)
    .replace('"executor"', '"end"')
    .replace('"manager"', '"default"')
    .replace('why = "a stage exited', 'why = "\\" <i> \\\\N & a stage exited', 1)
)


def test_any_text_is_only_text() -> None:
    """Titles, reasons and names that mean something to a format are drawn as text."""
    text = mermaid_text(picture_of(parsed(ODD)))
    assert "%%{" not in text
    assert "<b>" not in text
    assert 'END["end"]' in text
    assert 'DEFAULT ==>|"stage_succeeded"| END' in text
    assert not re.search(r"^    (end|default)\b", text, re.MULTILINE)


def test_svg_shows_any_text(tmp_path: Path) -> None:
    """The SVG is XML, with the title as text and each declared reason as a tooltip."""
    needs_graphviz()
    (tmp_path / "odd.toml").write_text(ODD)
    assert orchestrate("diagram", "./odd.toml", "-o", "odd.svg", cwd=tmp_path).code == 0
    root = ET.fromstring((tmp_path / "odd.svg").read_text())  # noqa: S314 - our own
    words = " ".join("".join(one.itertext()) for one in root.iter() if one.tag.endswith("}text"))
    assert tomllib.loads(ODD)["title"] in " ".join(words.split())
    tips = {one.get("{http://www.w3.org/1999/xlink}title") for one in root.iter()}
    for transition in tomllib.loads(ODD)["transition"]:
        assert any(tip and transition["why"] in tip for tip in tips), transition["why"]


def test_images_say_nothing_of_where_or_when(tmp_path: Path) -> None:
    """The same lifecycle gives the same bytes, without version, path or comment, silently."""
    needs_graphviz()
    images = []
    for place in ("one", "two"):
        folder = tmp_path / place
        folder.mkdir()
        for name in ("run.svg", "run.PNG"):
            ended = orchestrate("diagram", "-o", name, cwd=folder)
            assert (ended.code, ended.stdout, ended.stderr) == (0, "", "")
        images.append(((folder / "run.svg").read_bytes(), (folder / "run.PNG").read_bytes()))
    assert images[0] == images[1]
    svg, png = images[0]
    assert svg.startswith(b"<svg ")
    assert b"<!--" not in svg
    assert b"raphviz" not in svg
    assert str(tmp_path).encode() not in svg + png
    assert png.startswith(b"\x89PNG\r\n")


def test_png_goes_to_a_file_or_pipe_only(tmp_path: Path) -> None:
    """A PNG to a terminal is refused; to a pipe it is complete."""
    needs_graphviz()
    words = [*COMMAND, "diagram", "--format", "png"]
    ours, theirs = pty.openpty()
    try:
        refused = subprocess.run(
            words,
            cwd=tmp_path,
            env=environment(),
            stdout=theirs,
            timeout=60,
            stderr=subprocess.PIPE,
            check=False,
        )
    finally:
        os.close(theirs)
        os.close(ours)
    assert refused.returncode == 2
    assert b"cannot be shown on a terminal" in refused.stderr
    piped = subprocess.run(words, cwd=tmp_path, env=environment(), capture_output=True, check=True)
    assert piped.stdout.startswith(b"\x89PNG")
    assert piped.stdout.endswith(b"IEND\xaeB`\x82")


def test_without_the_extra_text_is_drawn(tmp_path: Path) -> None:
    """Without pygraphviz, text is drawn; an image is refused with what to install."""
    python = other_python(tmp_path / "without", pygraphviz="raise ImportError")
    assert orchestrate("diagram", "-o", "run.mmd", cwd=tmp_path, python=python).code == 0
    assert (tmp_path / "run.mmd").read_text().startswith("flowchart TB\n")
    for arguments in (["-o", "run.svg"], ["--format", "png"]):
        ended = orchestrate("diagram", *arguments, cwd=tmp_path, python=python)
        assert ended.code == 2
        assert "pip install 'fsm-orchestrator[diagrams]'" in ended.stderr
    assert not (tmp_path / "run.svg").exists()


def test_committed_files_are_current() -> None:
    """Every committed file in diagrams is current and names its generator."""
    needs_graphviz()
    stale = list(lifecycle_pictures.stale_files(ROOT / "diagrams"))
    assert stale == [], "run `make diagrams`"
    names = {path.name for path in (ROOT / "diagrams").iterdir()}
    assert names == {
        "README.md",
        *(f"{n}.{s}" for n in shipped_names() for s in ("mmd", "svg", "simple.svg")),
    }
    for path in (ROOT / "diagrams").iterdir():
        first = path.read_text().partition("\n")[0]
        assert "generated by `make diagrams`; do not edit" in first, path


def test_stale_files_are_named_and_written_again(tmp_path: Path) -> None:
    """A file that is drawn otherwise, missing or obsolete is named; moved coordinates are not."""
    needs_graphviz()
    copy = tmp_path / "mine"
    shutil.copytree(ROOT / "diagrams", copy)

    def stale() -> set[str]:
        return {path.name for path, _ in lifecycle_pictures.stale_files(copy)}

    svg = copy / "governed_run.svg"
    moved = re.sub(r' points="[^"]*"', ' points="0,0"', svg.read_text())
    assert moved != svg.read_text()
    svg.write_text(moved)
    assert stale() == set()
    edited = moved.replace("gates_refused</text>", "gates_passed</text>")
    assert edited != moved
    svg.write_text(edited)
    (copy / "reviewed_run.svg").write_text("<svg")
    (copy / "closure_gated.mmd").unlink()
    with (copy / "reviewed_run.mmd").open("a") as file:
        file.write("%% edited\n")
    (copy / "gone.mmd").write_text("flowchart TB\n")
    wrong = {"governed_run.svg", "reviewed_run.svg", "closure_gated.mmd", "reviewed_run.mmd"}
    assert stale() == {*wrong, "gone.mmd"}
    lifecycle_pictures.main(str(copy))
    assert stale() == set()
    assert not (copy / "gone.mmd").exists()


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["nothing"], "there is no built-in lifecycle 'nothing'"),
        (["-o", "picture.jpeg"], "does not say which format"),
        (["-o", "missing/run.mmd"], "cannot write missing/run.mmd"),
        (["--format", "markdown"], "is for --diff"),
        (["-o", "run.md"], "is for --diff"),
        (["--run", "x", "--diff", "a", "b"], "--run and --diff exclude each other"),
        (["governed_run", "--diff", "a", "b"], "--diff takes no LIFECYCLE"),
        (["--run", "nowhere"], "nowhere does not exist"),
    ],
)
def test_refused_requests_write_nothing(
    arguments: list[str],
    message: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capfd: pytest.CaptureFixture[str],
) -> None:
    """A meaningless request is refused with its reason, and no file is made."""
    monkeypatch.chdir(tmp_path)
    assert run_command_line(["diagram", *arguments]) == 2
    assert message in capfd.readouterr().err
    assert list(tmp_path.iterdir()) == []


def test_spans_are_in_words() -> None:
    """Times are short and exact enough for a picture."""
    spans = {0: "0ms", 999: "999ms", 1_000: "1s", 12_340: "12.3s", 60_000: "1m"}
    spans |= {59_949: "59.9s", 59_950: "1m", 100_000: "1m40s"}
    spans |= {245_000: "4m05s", 3_599_600: "1h00m", 7_800_000: "2h10m"}
    assert {one: span_words(one) for one in spans} == spans


LOOSER: Final = REVIEWED.replace("at_most = 2", "at_most = 3")


def test_diff_marks_what_changed() -> None:
    """Added is bold with +, removed dashed with a minus, changed has ~; the rest has no mark."""
    found = diff(reading.shipped("reviewed_run"), reading.shipped("governed_run"))
    picture = picture_of(both_of(found), marks_of_change(found))
    text, dot = mermaid_text(picture), dot_text(picture)
    assert 'reviewer["\u2212 reviewer<br/>' in text
    assert "    class reviewer removed\n" in text
    assert 'executor ==>|"+ stage_succeeded"| done' in text
    assert 'reviewer -.->|"\u2212 rework_requested at most 2 times"| executor' in text
    assert 'manager ==>|"stage_succeeded"| executor' in text
    assert 'shape=box style="filled,dashed"' in dot_line(dot, "reviewer")
    marked = [one for one in dot.splitlines() if '" -> "' in one and '"\u00a0\u2212 ' in one]
    assert len(marked) == 5
    assert all("style=dashed" in one for one in marked)
    tighter = diff(parsed(LOOSER), parsed(REVIEWED))
    changed = mermaid_text(picture_of(both_of(tighter), marks_of_change(tighter)))
    assert '|"~ rework_requested at most 2 times (was at most 3 times)"| executor' in changed


def test_diff_draws_every_edge_of_both() -> None:
    """The picture has each edge of the old and of the new lifecycle once."""
    old, new = reading.shipped("governed_run"), reading.shipped("reviewed_run")
    found = diff(old, new)
    picture = picture_of(both_of(found), marks_of_change(found))
    assert Counter(picture.edges) == Counter({*new.edges, *found.removed_edges})


@pytest.mark.parametrize("form", ["text", "mermaid", "dot", "markdown", "svg"])
def test_diff_exits_by_its_verdict(
    form: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    """In every format, a loosening exits 1 and its reverse 0."""
    if form == "svg":
        needs_graphviz()
    monkeypatch.chdir(tmp_path)
    Path("looser.toml").write_text(LOOSER)
    pair = ("reviewed_run", "./looser.toml")
    assert run_command_line(["diagram", "--diff", *pair, "--format", form]) == 1
    loosening = capfd.readouterr().out
    assert "loosens" in loosening
    assert run_command_line(["diagram", "--diff", *pair[::-1], "--format", form]) == 0
    assert "tightens" in capfd.readouterr().out
    if form == "markdown":
        assert re.search(r"\n```mermaid\nflowchart TB\n.*\n```\n\Z", loosening, re.DOTALL)
