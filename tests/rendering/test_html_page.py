"""The page of a run: sound HTML without script or link, whatever stages print."""

from __future__ import annotations

import itertools
import re
import shutil
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from html.parser import HTMLParser
from pathlib import Path
from typing import Final

import pytest

from fsm_orchestrator.clock import FixedClock
from fsm_orchestrator.errors import InternalError, UsageError
from fsm_orchestrator.inspection.inspected_run import InspectedRun, inspect_run
from fsm_orchestrator.lifecycle import reading
from fsm_orchestrator.rendering.html.environment import page_environment, shell_words, visible
from fsm_orchestrator.rendering.html.page import POLICY, page_of
from fsm_orchestrator.secrets.masking import Masker
from fsm_orchestrator.stages.output_files import StageLog
from fsm_orchestrator.stages.output_tail import TAIL_BYTES, TAIL_LINES, tail_of
from tests.support.command import (
    CHECKPOINT,
    ORCHESTRATOR_PID,
    PASSING,
    RUN_COMMAND_LINE,
    environment,
    orchestrate,
    shell,
    stages,
    start,
)

VOID: Final = {"meta"}
PACKAGE: Final = Path(__file__).parents[2] / "fsm_orchestrator"
TEMPLATES: Final = PACKAGE / "rendering" / "html" / "templates"
CSS: Final = (PACKAGE / "rendering" / "html" / "page.css").read_text()
CONTROL: Final = re.compile(
    "[\x00-\x08\x0b-\x1f\x7f-\x9f\u200b\u2028\u202a-\u202e\u2066-\u2069\ufeff]"
)


@dataclass
class Node:
    """An element as a parser sees it."""

    tag: str
    attributes: dict[str, str]
    inside: list[Node | str] = field(default_factory=list)

    @property
    def text(self) -> str:
        """All text in it."""
        return "".join(one if isinstance(one, str) else one.text for one in self.inside)

    def all(self, tag: str | None = None, class_: str | None = None) -> Iterator[Node]:
        """The elements in it, in order, by tag and by class."""
        for one in self.inside:
            if isinstance(one, Node):
                classes = one.attributes.get("class", "").split()
                if tag in {None, one.tag} and (class_ is None or class_ in classes):
                    yield one
                yield from one.all(tag, class_)


class Parser(HTMLParser):
    """Reads a page and refuses what is not well nested."""

    def __init__(self) -> None:
        super().__init__(convert_charrefs=True)
        self.root = Node("root", {})
        self._open = [self.root]

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        """An element begins."""
        names = [name for name, _ in attrs]
        assert len(names) == len(set(names))
        node = Node(tag, {name: value or "" for name, value in attrs})
        self._open[-1].inside.append(node)
        if tag not in VOID:
            self._open.append(node)

    def handle_endtag(self, tag: str) -> None:
        """An element ends: the one that began last."""
        assert self._open.pop().tag == tag

    def handle_data(self, data: str) -> None:
        """Text."""
        self._open[-1].inside.append(data)

    def handle_comment(self, data: str) -> None:
        """There is none."""
        raise AssertionError(data)

    def close(self) -> None:
        """The end."""
        super().close()
        assert len(self._open) == 1


def parsed(html: str) -> Node:
    """The page as a tree, once it is known to be sound."""
    parser = Parser()
    assert html.startswith("<!DOCTYPE html>\n")
    html.encode()
    parser.feed(html.partition("\n")[2])
    parser.close()
    page = parser.root
    assert_closed(page)
    assert_named(page)
    assert CONTROL.search(html) is None
    return page


def assert_closed(page: Node) -> None:
    """Nothing runs, nothing is loaded, nothing leads out of the page."""
    ids = [one.attributes["id"] for one in page.all() if "id" in one.attributes]
    assert len(ids) == len(set(ids))
    for one in page.all():
        assert one.tag not in {"script", "iframe", "img", "link", "object", "embed", "base", "form"}
        assert not [name for name in one.attributes if name.startswith(("on", "src", "xlink"))]
        if "href" in one.attributes:
            assert one.attributes["href"].removeprefix("#") in ids
        if one.tag == "style":
            assert "url(" not in one.text
            assert "@import" not in one.text
        assert "url" not in one.attributes.get("style", "")
    policies = [one.attributes for one in page.all("meta") if "http-equiv" in one.attributes]
    assert policies == [{"http-equiv": "Content-Security-Policy", "content": POLICY}]


def assert_named(page: Node) -> None:
    """Language, title, headings in order, captions and heads of tables, names of pictures."""
    assert [one.attributes["lang"] for one in page.all("html")] == ["en"]
    assert words(next(page.all("title")))
    levels = [int(one.tag[1]) for one in page.all() if re.fullmatch("h[1-6]", one.tag)]
    assert levels[0] == 1
    assert levels.count(1) == 1
    assert all(after <= before + 1 for before, after in itertools.pairwise(levels))
    for table in page.all("table"):
        assert next(table.all("caption")).text
        assert {one.attributes["scope"] for one in table.all("th")} <= {"col", "row"}
        widths = {sum(isinstance(one, Node) for one in row.inside) for row in table.all("tr")}
        assert len(widths) == 1
    for one in page.all():
        if one.attributes.get("role") in {"img", "region"}:
            assert one.attributes["aria-label"]
    for svg in page.all("svg"):
        assert svg.attributes.get("role") == "img" or svg.attributes["aria-hidden"] == "true"


def words(node: Node) -> str:
    """What a person reads, with single spaces."""
    return " ".join(node.text.split())


def part(page: Node, key: str) -> Node:
    """The section of that key."""
    return next(one for one in page.all("section") if one.attributes.get("id") == key)


@pytest.fixture(autouse=True)
def _private_state(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Pages are made where the runs are: the private files are those of the runs."""
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))


def run(tmp_path: Path, *options: str, code: int = 0) -> Path:
    """A run with passing gates in OUT."""
    assert orchestrate("out", *PASSING, *options, cwd=tmp_path).code == code
    return tmp_path / "out"


def page_at(out: Path, run_id: str | None = None) -> Node:
    """The page of the run in OUT."""
    return parsed(page_of(inspect_run(out, run_id), "out"))


def blocked(tmp_path: Path) -> Path:
    """A run that a gate refused."""
    options = ("--policy-status", "allow", "--manager-bin", "/bin/true")
    assert orchestrate("out", *options, cwd=tmp_path).code == 3
    return tmp_path / "out"


def killed(tmp_path: Path) -> Path:
    """A run whose orchestrator was killed at work."""
    return run(
        tmp_path, *stages("exit 0", f"kill -KILL {ORCHESTRATOR_PID}; exec sleep 60"), code=-9
    )


def not_closable(tmp_path: Path) -> Path:
    """A run that was done, and has lost an artifact since."""
    options = (*stages("echo 1 > left"), "--manager-expected-artifact", "left")
    out = run(tmp_path, *options)
    (tmp_path / "left").unlink()
    return out


def unusable(tmp_path: Path) -> Path:
    """A failed run whose checkpoint cannot be read any more."""
    out = run(tmp_path, *stages("exit 3"), code=1)
    (out / CHECKPOINT).write_text("{")
    return out


def refused(tmp_path: Path) -> Path:
    """The same, after a resume was refused."""
    out = unusable(tmp_path)
    assert orchestrate("out", "--resume", cwd=tmp_path).code == 1
    return out


def nothing_kept(tmp_path: Path) -> Path:
    """A run of which not even the first transition could be kept."""
    (tmp_path / "out" / CHECKPOINT).mkdir(parents=True)
    return run(tmp_path, *stages(), code=1)


RUNS: Final[dict[str, tuple[Callable[[Path], Path], str]]] = {
    "blocked": (blocked, "Blocked"),
    "failed": (lambda path: run(path, *stages("exit 3"), code=1), "Failed"),
    "timeout": (
        lambda path: run(path, *stages("echo asleep; sleep 60"), "--timeout-ms", "300", code=124),
        "Timeout",
    ),
    "done": (lambda path: run(path, *stages()), "Done"),
    "interrupted": (killed, "Interrupted"),
    "not_closable": (not_closable, "Done, but not ready to close"),
    "unusable": (unusable, "Failed"),
    "refused": (refused, "Failed"),
    "nothing_kept": (nothing_kept, "Failed"),
    "passed_over": (lambda path: run(path, "--manager-bin", "/bin/true"), "Done"),
}


@pytest.mark.parametrize("name", RUNS)
def test_every_standing_has_a_sound_page(name: str, tmp_path: Path) -> None:
    """Wherever a run stands, its page says so first, and all sections are there in order."""
    make, expected = RUNS[name]
    page = page_at(make(tmp_path))
    assert next(page.all("h1")).text == expected
    keys = [one.attributes["id"] for one in page.all("section") if "id" in one.attributes]
    assert keys == [
        *("next", "why", "path", "timeline", "gates", "stages", "history", "origin"),
    ]
    assert words(part(page, "why"))
    closure = {
        "Done": "true: a supervisor may close it",
        "Done, but not ready to close": "not any more",
    }
    assert closure.get(expected, "false: it must not be closed") in words(next(page.all("header")))


def test_working_run_is_shown_at_work(tmp_path: Path) -> None:
    """A run at work has an open bar, the stage's attempt, and the command that follows it."""
    process = start("out", *PASSING, *stages("echo up > up; exec sleep 60"), cwd=tmp_path)
    try:
        deadline = time.monotonic() + 60
        while not (tmp_path / "up").exists():
            assert process.poll() is None
            assert time.monotonic() < deadline
            time.sleep(0.01)
        page = page_at(tmp_path / "out")
        assert next(page.all("h1")).text == "Working"
        assert [words(one) for one in page.all("pre", "command")] == [
            "fsm-orchestrator logs out --follow"
        ]
        assert [one.attributes["class"] for one in page.all("span", "bar")] == ["bar open info"]
        assert "at work" in words(part(page, "stages"))
    finally:
        process.terminate()
        process.communicate(timeout=60)


def test_archived_run_has_its_own_page(tmp_path: Path) -> None:
    """The page of an archived run tells that run, and that it cannot be resumed."""
    run(tmp_path, "--run-id", "first", *stages("echo one >&2; exit 3"), code=1)
    out = run(tmp_path, "--run-id", "second", *stages())
    page = page_at(out, "first")
    assert next(page.all("title")).text == "failed: run first"
    assert not list(page.all("pre", "command"))
    assert "Archived: a later run has taken its place." in words(page)
    assert "one" in [words(one) for one in page.all("pre", "output")]


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


def test_hostile_output_is_text(tmp_path: Path) -> None:
    """Whatever a stage prints stands on the page as text, what was hidden in it spelled out."""
    lines = "\n".join(HOSTILE).encode() + b"\n\xed\xa0\x80 \xff\n"
    (tmp_path / "lines").write_bytes(lines)
    out = run(tmp_path, *stages("cat lines; cat lines >&2; exit 1"), code=1)
    page = page_at(out)
    quoted = list(page.all("pre", "output"))
    assert [one.attributes["aria-label"] for one in quoted] == [
        *("stderr of manager", "stdout of manager")
    ]
    expected = "\n" + "\n".join([*(visible(one) for one in HOSTILE), "\\xed\\xa0\\x80 \\xff"])
    assert [one.text for one in quoted] == [expected, expected]
    odd = {one.text for one in quoted[0].all("span", "odd")}
    assert {"\\x00", "\\x1b", "\\u202e", "\\u2066", "\\ufeff", "\\x9b"} <= odd


def test_long_line_is_cut(tmp_path: Path) -> None:
    """Of a line of ten million characters the last 4 KiB are shown, with a sign of the cut."""
    script = "head -c 10000000 /dev/zero | tr '\\0' A >&2; echo '<b>' >&2; exit 1"
    page = page_at(run(tmp_path, *stages(script), code=1))
    (quoted,) = page.all("pre", "output")
    assert len(quoted.text) == TAIL_BYTES + 1
    assert quoted.text.startswith("\n\u2026AAA")
    assert quoted.text.endswith("A<b>")
    assert "The end of stderr, 10,000,004 bytes in logs/manager.1.stderr.log" in words(page)


def test_only_the_last_lines_are_shown(tmp_path: Path) -> None:
    """Of many lines the last twenty are shown, whole ones alone."""
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
        assert " ".join(visible(one).split()) in text
    (command,) = page.all("pre", "command")
    assert "\\x1b" in command.text
    assert "\\xe2\\x80\\xae" in command.text


def test_secret_values_are_masked(tmp_path: Path) -> None:
    """A value given to a stage is masked where its output is quoted."""
    options = (*stages("echo $TOKEN; echo $TOKEN >&2; exit 1"), "--manager-env", "TOKEN=hunter2abc")
    html = page_of(inspect_run(run(tmp_path, *options, code=1)), "out")
    assert "hunter2abc" not in html
    assert [words(one) for one in parsed(html).all("pre", "output")] == ["***", "***"]


def test_output_is_not_quoted_when_values_are_gone(tmp_path: Path) -> None:
    """After done the values cannot be masked any more: the page says where the output is."""
    options = (*stages("echo $TOKEN; echo $TOKEN >&2"), "--manager-env", "TOKEN=hunter2abc")
    out = run(tmp_path, *options)
    html = page_of(inspect_run(out), "out")
    assert "hunter2abc" in (out / "logs" / "manager.1.stdout.log").read_text()
    assert "hunter2abc" not in html
    text = words(part(parsed(html), "stages"))
    assert "stdout is not quoted" in text
    assert "as the report quotes them" in text


def test_replaced_values_of_an_earlier_invocation_are_not_quoted(tmp_path: Path) -> None:
    """What an earlier invocation printed may hold a value that was replaced since."""
    options = (*stages("echo $TOKEN; exit 1"), "--manager-env", "TOKEN=hunter2abc")
    out = run(tmp_path, *options, code=1)
    again = ("out", "--resume", "--manager-env", "TOKEN=hunter3abc")
    assert orchestrate(*again, cwd=tmp_path).code == 1
    html = page_of(inspect_run(out), "out")
    assert "hunter" not in html
    text = words(part(parsed(html), "stages"))
    assert "stdout is not quoted" in text
    assert "All of stdout" in text


@pytest.mark.parametrize("letters", ["abcdefghijkl", "\u00e4\u20ac\U0001f600" * 4])
def test_no_piece_of_a_value_is_left_by_the_cut(letters: str, tmp_path: Path) -> None:
    """Wherever the cut falls in a value, and however long the letters are, no piece is shown."""
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


def test_page_without_graphviz_draws_the_path_itself(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Without pygraphviz the walk is there, and the page says how to get the picture."""
    monkeypatch.setitem(sys.modules, "pygraphviz", None)
    page = page_at(run(tmp_path, *stages("exit 3"), code=1))
    (walk,) = page.all("ol", "walk")
    assert [words(one) for one in walk.all("li")] == [
        "pending",
        *("#1 startgating", "#2 gates_passedmanager", "#3 stage_failedfailed"),
    ]
    assert "pip install 'fsm-orchestrator[diagrams]'" in words(part(page, "path"))
    assert not list(page.all("svg", "drawing"))


def test_picture_shows_the_lifecycle_with_the_path(tmp_path: Path) -> None:
    """The picture has every state, the numbers of the transitions taken, and a name."""
    pytest.importorskip("pygraphviz")
    page = page_at(
        run(tmp_path, "--lifecycle", "reviewed_run", *stages("exit 0", "exit 3"), code=1)
    )
    (drawing,) = page.all("svg", "drawing")
    texts = [one.text for one in drawing.all("text")]
    assert set(reading.shipped("reviewed_run").states) <= set(texts)
    assert {"#1", "#2", "#3", "#4"} <= set(re.findall(r"#\d", " ".join(texts)))
    assert "reviewed_run" in drawing.attributes["aria-label"]
    assert any("asked for" in one.text or "rework" in one.text for one in drawing.all("title"))
    for kind in ("fill", "stroke"):
        used = {one.attributes[kind] for one in drawing.all() if kind in one.attributes}
        turned = set(re.findall(rf'\[{kind}="([^"]+)"\]', CSS))
        assert used - turned <= {"none", "transparent"}


def test_lifecycle_that_ships_is_drawn_without_checkpoint(tmp_path: Path) -> None:
    """Where the checkpoint cannot be used and the lifecycle is one that ships, it is drawn."""
    pytest.importorskip("pygraphviz")
    page = page_at(unusable(tmp_path))
    assert len(list(page.all("svg", "drawing"))) == 1
    assert len(list(page.all("ol", "walk"))) == 1


def many(view: InspectedRun, count: int) -> InspectedRun:
    """The run as if its last invocation had taken so many transitions and attempts."""
    report = view.report
    return replace(
        view,
        report=report.model_copy(
            update={
                "transitions": tuple(
                    report.transitions[-1].model_copy(update={"seq": number + 1})
                    for number in range(count)
                ),
                "stage_executions": tuple(
                    report.stage_executions[0].model_copy(update={"attempt": number + 1})
                    for number in range(count)
                ),
                "warnings": ("again",) * count,
            }
        ),
    )


def test_long_history_is_bounded(tmp_path: Path) -> None:
    """Of thousands of transitions, attempts and warnings the latest are shown, the rest told."""
    view = many(inspect_run(run(tmp_path, *stages("exit 3"), code=1)), 5_000)
    html = page_of(view, "out")
    page = parsed(html)
    assert len(html) < 600_000
    assert len(list(page.all("details"))) <= 40
    assert "4980 earlier attempts of manager are in the report file." in words(page)
    assert "4800 earlier transitions are in the report file." in words(page)
    assert words(page).count("4900 earlier warnings") == 1


def test_fixed_clock_leaves_out_machine_and_hour(tmp_path: Path) -> None:
    """With a fixed clock two pages are equal, and none says where or when it was made."""
    view = inspect_run(run(tmp_path, *stages()))
    clock = FixedClock(datetime(2026, 1, 31, tzinfo=UTC))
    html = page_of(view, "out", clock)
    assert html == page_of(view, "out", clock)
    assert "this page" not in words(part(parsed(html), "origin"))
    made = words(part(parsed(page_of(view, "out")), "origin"))
    assert f" on {socket.gethostname()} (" in made


def test_run_with_a_fixed_clock_has_a_timeline(tmp_path: Path) -> None:
    """Where no time was measured the bars stand in a row, and the page says why."""
    page = page_at(run(tmp_path, *stages(), "--fixed-clock", "2026-01-31T00:00:00Z"))
    assert len(list(page.all("span", "bar"))) == 2
    assert "No time was measured" in words(part(page, "timeline"))


def test_attempts_are_told_with_artifacts(tmp_path: Path) -> None:
    """Each attempt has its fields; artifacts have their size and digest."""
    options = (*stages("printf 12 > left.txt"), "--manager-expected-artifact", "left.txt")
    page = page_at(run(tmp_path, *options))
    (table,) = page.all("table", "artifacts")
    digest = "6b51d431df5d7f141cbececcf79edf3dd861c3b4069f0b11661a3eefacbba918"
    assert [words(one) for one in table.all("td")] == ["2", digest]
    names = [one.text for one in next(page.all("details")).all("dt")]
    assert names == ["why", "command", "in", "exit code", "used"]


def test_invocations_are_told(tmp_path: Path) -> None:
    """Every start of the command is listed with its mode, its exit code and what it did."""
    out = run(tmp_path, *stages("exit 0", "test -e once || { touch once; exit 3; }"), code=1)
    assert orchestrate("out", "--resume", cwd=tmp_path).code == 0
    rows = [words(row) for row in next(part(page_at(out), "history").all("tbody")).all("tr")]
    assert [row.split()[0] for row in rows] == ["1", "2,"]
    assert "manager, attempt 1: success executor, attempt 1: failed came to failed" in rows[0]
    assert "skipped manager executor, attempt 2: success came to done" in rows[1]
    taken = [words(row) for row in list(part(page_at(out), "history").all("tbody"))[1].all("tr")]
    assert [row.split()[0] for row in taken] == [f"#{number}" for number in range(1, 9)]
    assert taken[3].endswith("attempt 1 of executor: exited with code 3")


def rendered(source: str, **values: object) -> str:
    """What the page's environment makes of a template."""
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
        )  # makes an element: no attribute has it
    assert "<" not in CSS


@pytest.mark.parametrize("value", [None, True, ("a",), Path("a"), b"a"], ids=repr)
def test_what_is_no_text_is_refused(value: object) -> None:
    """A value that was forgotten to be put into words does not get onto a page."""
    with pytest.raises(InternalError, match=type(value).__name__):
        rendered("{{ x }}", x=value)


def test_missing_value_is_refused() -> None:
    """A template that names what is not there makes no page."""
    from jinja2 import UndefinedError  # noqa: PLC0415 - beside its only use

    with pytest.raises(UndefinedError):
        rendered("{{ x.y }}", x="")


def test_page_without_jinja_names_the_extra(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Without Jinja2 there is no page, and the error says what to install."""
    view = inspect_run(run(tmp_path, *stages()))
    monkeypatch.setitem(sys.modules, "jinja2", None)
    with pytest.raises(UsageError) as raised:
        page_of(view, "out")
    assert raised.value.remedy == "pip install 'fsm-orchestrator[html]'"


def test_command_survives_hidden_characters() -> None:
    """What stands in the command box is, for bash, the words it was made of."""
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
    )
    parser = Parser()
    parser.feed(html)
    (box,) = parser.root.all("pre", "command")
    line = box.text.strip()
    done = subprocess.run(
        [bash, "-c", f"printf '%s\\0' {line}"], env=environment(), capture_output=True, check=True
    )
    assert done.stdout == b"".join(one.encode(errors="surrogateescape") + b"\0" for one in given)


def test_colours_have_contrast() -> None:
    """Every text colour stands out 4.5 to 1 from what is behind it, in light and dark."""
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
    """The contrast of two colours, as WCAG 2 counts it."""
    lights = sorted((luminance(one), luminance(other)))
    return (lights[1] + 0.05) / (lights[0] + 0.05)


def luminance(colour: str) -> float:
    """The relative luminance of a colour, as WCAG 2 counts it."""
    parts = [int(colour[at : at + 2], 16) / 255 for at in (1, 3, 5)]
    linear = [
        part / 12.92 if part <= 0.04045 else ((part + 0.055) / 1.055) ** 2.4 for part in parts
    ]
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]


def test_command_writes_a_private_file(tmp_path: Path) -> None:
    """`report OUT --html FILE` writes the page, for its owner alone; `-` prints it."""
    run(tmp_path, *stages())
    assert orchestrate("report", "out", "--html", "page.html", cwd=tmp_path).code == 0
    written = tmp_path / "page.html"
    assert written.stat().st_mode & 0o777 == 0o600
    parsed(written.read_text())
    printed = orchestrate("report", "out", "--html", "-", cwd=tmp_path)
    parsed(printed.stdout)


def test_page_is_imported_only_when_it_is_made(tmp_path: Path) -> None:
    """Neither a run nor the report as JSON loads what makes pages."""
    run(tmp_path, *stages())
    script = (
        f"import sys; {RUN_COMMAND_LINE}\n"
        "assert run_command_line(sys.argv[1:]) == 0\n"
        "pages = [name for name in sys.modules if '.html.' in name]\n"
        "assert bool(pages) == ('jinja2' in sys.modules)\n"
        "sys.exit(len(pages))"
    )
    page = ["report", "out", "--html", "page.html"]
    for words_, expected in ((["report", "out"], 0), (["explain", "out"], 0), (page, 11)):
        done = subprocess.run(
            [sys.executable, "-c", script, *words_],
            cwd=tmp_path,
            env=environment(),
            capture_output=True,
            check=False,
        )
        assert done.returncode == expected
