"""docs/images: each picture shows what is seen now, loads nothing, and is shown by a page."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from tests.tools import terminal
from tests.tools.pictures import BYTES_MAX, expected_pictures, stale_pictures

pytestmark = pytest.mark.one_in(2)

ROOT = Path(__file__).parents[2]
IMAGES = ROOT / "docs" / "images"
PICTURES = sorted(IMAGES.iterdir())


def test_pictures_show_what_is_seen_now() -> None:
    """Each command gives the same words and colors when typed again; `make images` repairs."""
    assert list(stale_pictures(IMAGES, expected_pictures())) == []


@pytest.mark.parametrize("path", PICTURES, ids=[path.name for path in PICTURES])
def test_picture_is_small_and_complete_in_itself(path: Path) -> None:
    """It is smaller than 100 kB, and needs no font, style or picture from elsewhere."""
    text = path.read_text()
    assert len(text.encode()) < BYTES_MAX
    assert re.findall(r"url\((?!#)|@import|<image|<script|https?://(?!www\.w3\.org/)", text) == []


@pytest.mark.parametrize("path", PICTURES, ids=[path.name for path in PICTURES])
def test_picture_is_shown_by_a_page(path: Path) -> None:
    """A page shows it by its relative path, with a text for people who cannot see it."""
    pages = [ROOT / "README.md", *(ROOT / "docs").glob("*.md")]
    assert any(
        re.search(rf"!\[[^]]{{20,}}\]\((docs/)?images/{path.name}\)", page.read_text())
        for page in pages
    )


def test_comparison_sees_words_and_colors_and_no_times() -> None:
    """Another word or color makes a picture stale; another time does not."""
    text = (IMAGES / "run.svg").read_text()
    assert terminal.seen_in(text) == terminal.seen_in(re.sub(r"\d+&#160;ms", "7&#160;ms", text))
    assert terminal.seen_in(text) != terminal.seen_in(text.replace("executor", "executer"))
    color = re.findall(r"fill: (#\w+)", text)[-1]
    assert terminal.seen_in(text) != terminal.seen_in(text.replace(color, "#123456"))
