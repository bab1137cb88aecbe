"""The README and the pages of docs/: their examples run as printed, and their links work.

Some pages also have a test of their own: `test_*_guide.py`.
"""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from tests.support.command import orchestrate
from tests.support.guide import BLOCK, follow

ROOT = Path(__file__).parents[2]
DOCS = ROOT / "docs"
FOLLOWED = [
    ROOT / "README.md",
    *(
        DOCS / f"{name}.md"
        for name in (
            *("agents", "ci", "fleet", "glossary", "notifications", "performance", "python"),
            *("serve", "verification"),
        )
    ),
]
PAGES = [
    ROOT / "README.md",
    ROOT / "CONTRIBUTING.md",
    *sorted(DOCS.glob("*.md")),
    *sorted((ROOT / "examples").rglob("*.md")),
    ROOT / "states" / "README.md",
    ROOT / "diagrams" / "README.md",
]
README_LINES_MAX = 150


def name_of(page: Path) -> str:
    """Return the path of a page, as it is in a test's id."""
    return str(page.relative_to(ROOT))


def anchors_of(page: Path) -> set[str]:
    """Return the anchors that the headings of a page make."""
    text = re.sub(r"^```.*?^```", "", page.read_text(), flags=re.DOTALL | re.MULTILINE)
    headings = re.findall(r"^#+ (.*)$", text, re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", head.lower()).replace(" ", "-") for head in headings}


@pytest.mark.parametrize("page", FOLLOWED, ids=name_of)
def test_examples_do_and_print_what_the_page_says(page: Path) -> None:
    """Every command, file and script of the page works, in its order, in one directory."""
    follow(page)


@pytest.mark.parametrize("page", PAGES, ids=name_of)
def test_links_lead_somewhere(page: Path) -> None:
    """Every relative link names an existing file and a heading in it."""
    text = re.sub(r"^```.*?^```", "", page.read_text(), flags=re.DOTALL | re.MULTILINE)
    broken = []
    for target, anchor in re.findall(r"\]\((?!http)([^)#\s]*)(?:#([^)\s]+))?\)", text):
        path = (page.parent / target).resolve() if target else page
        if not path.exists() or (anchor and anchor not in anchors_of(path)):
            broken.append(f"{target}#{anchor}")
    assert broken == []


def test_index_names_every_page() -> None:
    """docs/README.md links to every other page in its directory."""
    index = (DOCS / "README.md").read_text()
    pages = [path.name for path in DOCS.glob("*.md") if path.name != "README.md"]
    assert [name for name in pages if f"]({name})" not in index] == []


def test_readme_is_short() -> None:
    """The README is short: more belongs in docs/."""
    assert len((ROOT / "README.md").read_text().splitlines()) <= README_LINES_MAX


@pytest.mark.parametrize("page", PAGES, ids=name_of)
def test_settings_files_pass_the_check(page: Path, tmp_path: Path) -> None:
    """Each TOML block with settings of a run is a config file without a fault."""
    for found in BLOCK.finditer(page.read_text()):
        if found["kind"] == "toml" and "[stage." in found["text"]:
            (tmp_path / "run.toml").write_text(found["text"])
            checked = orchestrate("config", "check", "run.toml", cwd=tmp_path)
            assert checked.code == 0, checked.stderr


def test_every_job_types_what_the_page_has_tried() -> None:
    """Each script that the job of docs/ci.md starts is also started in the session of the page."""
    page = (DOCS / "ci.md").read_text()
    job = next(found["text"] for found in BLOCK.finditer(page) if found["kind"] == "yaml")
    run = re.findall(r"^ *(?:- )?run: (.*)$", job, re.MULTILINE)
    ours = [line for line in run if line.startswith("ci/")]
    assert ours
    assert [one for one in ours if not re.search(rf"^(\$ |  ){one}$", page, re.MULTILINE)] == []


def test_parts_of_files_are_theirs() -> None:
    """The parts of an example's file that docs/ci.md shows are in that file, unchanged."""
    blocks = BLOCK.finditer((DOCS / "ci.md").read_text())
    shown = [(one["note"], one["text"]) for one in blocks if one["note"]]
    parts = {note: text for note, text in shown if note.startswith("part of: ")}
    assert len(parts) >= 5
    for note, text in parts.items():
        file = ROOT / "examples" / "ci" / note.removeprefix("part of: ")
        assert text in file.read_text(), f"{file} has no longer what docs/ci.md shows of it"
