"""Runs of every standing, and the parsing of their pages."""

from __future__ import annotations

import itertools
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from html.parser import HTMLParser
from pathlib import Path
from typing import Final

from fsm_orchestrator.inspection.inspected_run import inspect_run
from fsm_orchestrator.rendering.html.page import POLICY, page_of
from tests.support.command import CHECKPOINT, ORCHESTRATOR_PID, PASSING, orchestrate, stages

VOID: Final = {"meta"}
PACKAGE: Final = Path(__file__).parents[2] / "fsm_orchestrator"
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
        """All text in the element."""
        return "".join(one if isinstance(one, str) else one.text for one in self.inside)

    def all(self, tag: str | None = None, class_: str | None = None) -> Iterator[Node]:
        """Yield the elements in it, in order, by tag and by class."""
        for one in self.inside:
            if isinstance(one, Node):
                classes = one.attributes.get("class", "").split()
                if tag in {None, one.tag} and (class_ is None or class_ in classes):
                    yield one
                yield from one.all(tag, class_)


class Parser(HTMLParser):
    """A parser that refuses a page that is not well nested."""

    def __init__(self) -> None:
        super().__init__(convert_charrefs=True)
        self.root = Node("root", {})
        self._open = [self.root]

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        """Open an element."""
        names = [name for name, _ in attrs]
        assert len(names) == len(set(names))
        node = Node(tag, {name: value or "" for name, value in attrs})
        self._open[-1].inside.append(node)
        if tag not in VOID:
            self._open.append(node)

    def handle_endtag(self, tag: str) -> None:
        """Close the element that was opened last."""
        assert self._open.pop().tag == tag

    def handle_data(self, data: str) -> None:
        """Add text."""
        self._open[-1].inside.append(data)

    def handle_comment(self, data: str) -> None:
        """Refuse comments."""
        raise AssertionError(data)

    def close(self) -> None:
        """Assert that every element is closed."""
        super().close()
        assert len(self._open) == 1


def parsed(html: str) -> Node:
    """Return the page as a tree after checking that it is well formed."""
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
    """Assert that nothing in the page runs, loads or links elsewhere."""
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
    """Assert that language, title, headings, tables and pictures are there, named and in order."""
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
    ids = {one.attributes["id"] for one in page.all() if "id" in one.attributes}
    assert {one.attributes["aria-labelledby"] for one in page.all("section")} <= ids
    for svg in page.all("svg"):
        assert svg.attributes.get("role") == "img" or svg.attributes["aria-hidden"] == "true"


def words(node: Node) -> str:
    """Return the text that a person reads, with single spaces."""
    return " ".join(node.text.split())


def part(page: Node, key: str) -> Node:
    """Return the section of that key."""
    return next(one for one in page.all("section") if one.attributes.get("id") == key)


def run(tmp_path: Path, *options: str, code: int = 0) -> Path:
    """Make a run with passing gates in OUT."""
    assert orchestrate("out", *PASSING, *options, cwd=tmp_path).code == code
    return tmp_path / "out"


def page_at(out: Path, run_id: str | None = None) -> Node:
    """Return the page of the run in OUT."""
    return parsed(page_of(inspect_run(out, run_id), "out"))


def blocked(tmp_path: Path) -> Path:
    """Make a run that a gate refused."""
    options = ("--policy-status", "allow", "--manager-bin", "/bin/true")
    assert orchestrate("out", *options, cwd=tmp_path).code == 3
    return tmp_path / "out"


def killed(tmp_path: Path) -> Path:
    """Make a run whose orchestrator was killed at work."""
    return run(
        tmp_path, *stages("exit 0", f"kill -KILL {ORCHESTRATOR_PID}; exec sleep 60"), code=-9
    )


def not_closable(tmp_path: Path) -> Path:
    """Make a run that was done, and has lost an artifact since."""
    options = (*stages("echo 1 > left"), "--manager-expected-artifact", "left")
    out = run(tmp_path, *options)
    (tmp_path / "left").unlink()
    return out


def unusable(tmp_path: Path) -> Path:
    """Make a failed run whose checkpoint can no longer be read."""
    out = run(tmp_path, *stages("exit 3"), code=1)
    (out / CHECKPOINT).write_text("{")
    return out


def refused(tmp_path: Path) -> Path:
    """Make the same, after a resume was refused."""
    out = unusable(tmp_path)
    assert orchestrate("out", "--resume", cwd=tmp_path).code == 1
    return out


def nothing_kept(tmp_path: Path) -> Path:
    """Make a run of which not even the first transition could be recorded."""
    (tmp_path / "out" / CHECKPOINT).mkdir(parents=True)
    return run(tmp_path, *stages(), code=1)


RUNS: Final[dict[str, tuple[Callable[[Path], Path], str]]] = {
    "blocked": (blocked, "Waiting"),
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
    "passed_over": (
        lambda path: run(path, "--manager-bin", "/bin/true"),
        "Done, but not ready to close",
    ),
}
