"""The page of a run in a real browser: it fits, runs and loads nothing, and has names.

Chromium is driven through pipes; if none is on PATH, these tests are skipped.
"""

from __future__ import annotations

import base64
import itertools
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Final

import pytest

from tests.support.chromium import Chromium, Proxy, chromium
from tests.support.command import PASSING, orchestrate, shell, stages

ELSEWHERE: Final = "elsewhere.invalid"
HOSTILE: Final = (
    f"</pre><script src='http://{ELSEWHERE}/a.js'>alert(1)</script>\n"
    f"<img src='http://{ELSEWHERE}/b.png' onerror=alert(2)>\n"
    f"<style>@import 'http://{ELSEWHERE}/c.css'; * {{display:none}}</style>\n"
    "\x1b[2J\u202edesrever\u202c " + "long" * 3000 + "\n"
)


@pytest.fixture(name="proxy", scope="module")
def _proxy() -> Iterator[Proxy]:
    """Yield the only way out that the browser has."""
    proxy = Proxy()
    yield proxy
    proxy.close()


@pytest.fixture(name="browser", scope="module")
def _browser(tmp_path_factory: pytest.TempPathFactory, proxy: Proxy) -> Iterator[Chromium]:
    """Yield one browser for all tests of this file."""
    with chromium(tmp_path_factory.mktemp("profile"), proxy) as browser:
        yield browser


def _forty_stages(path: Path) -> tuple[str, ...]:
    """Write a lifecycle of forty stages in a row; return the options of its binaries."""
    names = [f"step_{number:02d}" for number in range(1, 41)]
    states = [("pending", "initial"), ("gating", "gate"), *((one, "stage") for one in names)]
    ends = ("done", "blocked", "failed", "timeout")
    steps = [("start", ["pending"], "gating", ""), ("gates_passed", ["gating"], names[0], "")]
    steps += [("stage_succeeded", [one], after, "") for one, after in itertools.pairwise(names)]
    last = [names[-1]]
    steps += [
        ("stage_succeeded", last, "failed", 'unless = "artifacts_intact"'),
        ("stage_succeeded", last, "blocked", 'unless = "gates_hold"'),
        ("stage_succeeded", last, "done", ""),
        ("gates_refused", ["gating"], "blocked", ""),
        ("stage_failed", names, "failed", ""),
        ("stage_timed_out", names, "timeout", ""),
        ("run_aborted", ["pending", "gating", *names], "failed", ""),
        ("resume", ["pending", "gating", *names, *ends[1:]], "gating", ""),
    ]
    lines = ["schema_version = 1", 'name = "long"', 'title = "Forty stages"']
    lines += ['initial = "pending"', 'gates_guard = "stages"']
    for name, kind in states:
        lines += ["[[state]]", f'name = "{name}"', f'kind = "{kind}"']
        lines += ['gates = ["policy", "ci", "review"]'] * (kind == "gate")
    for end in ends:
        lines += ["[[state]]", f'name = "{end}"', 'kind = "terminal"', f'outcome = "{end}"']
    for trigger, sources, dest, more in steps:
        lines += ["[[transition]]", f'trigger = "{trigger}"', f"source = {json.dumps(sources)}"]
        lines += [f'dest = "{dest}"', 'why = "so it goes"', more]
    path.write_text("\n".join(lines))
    return tuple(
        word
        for one in names
        for word in shell(one.replace("_", "-"), "exit 4" if one == "step_30" else "echo up")
    )


@pytest.fixture(name="pages", scope="module")
def _pages(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """Return pages of runs with different endings, one of them hostile."""
    folder = tmp_path_factory.mktemp("runs")
    (folder / "hostile").write_text(HOSTILE)
    deep = "a-directory-with-a-long-name/" * 4 + "out"
    (folder / deep).parent.mkdir(parents=True)
    evil = f"<script src=//{ELSEWHERE}/d.js></script>" + "unbroken" * 60
    runs = {
        "blocked": ("--policy-status", "allow", "--manager-bin", "/bin/true"),
        "timeout": (*PASSING, *stages("echo up; sleep 60 & sleep 60"), "--timeout-ms", "300"),
        "looped": (
            *("--lifecycle", "reviewed_run", *PASSING, *stages()),
            *shell("reviewer", "test -e twice && exit 0; touch twice; exit 10"),
        ),
        "colored": (
            *PASSING,
            *stages("exit 0", "seq 90 >&2; printf '\\033[31mno space\\033[0m left' >&2; exit 4"),
        ),
        "forty": ("--lifecycle", "./forty.toml", *PASSING, *_forty_stages(folder / "forty.toml")),
        deep: (
            *(*PASSING, *shell("manager", "cat hostile; cat hostile >&2; exit 3")),
            *("--manager-arg", evil, "--manager-expected-artifact", f"{evil[-200:]}.json"),
        ),
    }
    pages = {}
    for out, options in runs.items():
        orchestrate(out, *options, cwd=folder)
        name = "hostile" if out == deep else out
        page = folder / f"{name}.html"
        assert orchestrate("report", out, "--html", page, cwd=folder).code == 0
        pages[name] = page
    return pages


ALL: Final = ("blocked", "timeout", "looped", "colored", "hostile")


@pytest.mark.parametrize("name", ALL)
def test_page_fits_the_window(browser: Chromium, pages: dict[str, Path], name: str) -> None:
    """From 390 to 1600 pixels nothing is wider than the page, in light and in dark mode."""
    for width in (390, 800, 1280, 1600):
        for scheme, is_dark in (("light", False), ("dark", True)):
            browser.show(pages[name], width=width, scheme=scheme)
            for one in ("document.documentElement", "document.body"):
                assert (
                    browser.value(f"{one}.scrollWidth - document.documentElement.clientWidth") <= 0
                )
            assert browser.value(TOO_WIDE) == []
            color = browser.value("getComputedStyle(document.body).backgroundColor")
            levels = [int(one) for one in color.strip("rgb()").split(",")]
            assert (sum(levels) < 3 * 64) == is_dark
            picture = browser.call("Page.captureScreenshot", format="png")["data"]
            data = base64.b64decode(picture)
            assert data.startswith(b"\x89PNG")
            assert int.from_bytes(data[16:20], "big") == width
            assert len(data) > 4_000


TOO_WIDE: Final = """
[...document.querySelectorAll('body *')].filter(one => {
  for (let at = one; at; at = at.parentElement)
    if (/auto|scroll/.test(getComputedStyle(at).overflowX)) return false;
  return one.getBoundingClientRect().right > document.documentElement.clientWidth + 1;
}).map(one => one.tagName + '.' + one.className)
"""
"""A script that finds what sticks out of the window and is in no scrolling box."""


@pytest.mark.parametrize("name", ["blocked", "hostile"])
def test_no_table_scrolls_sideways_in_a_narrow_window(
    browser: Chromium, pages: dict[str, Path], name: str
) -> None:
    """In a narrow window each row is a list, with the label before each cell."""
    browser.show(pages[name], width=640)
    wide = "[...document.querySelectorAll('.scroll:has(.data)')].filter(one => one.scrollWidth >"
    assert browser.value(f"{wide} one.clientWidth).length") == 0
    cell = "getComputedStyle(document.querySelector('#gates tbody td'), '::before').content"
    assert browser.value(cell) == '"verdict"'
    browser.show(pages[name], width=1600)
    assert browser.value(cell) == "none"


@pytest.mark.parametrize("name", ALL)
def test_page_runs_and_loads_nothing(
    browser: Chromium, proxy: Proxy, pages: dict[str, Path], name: str
) -> None:
    """No script runs, no dialog opens, only the page is requested, and the console is empty."""
    browser.show(pages[name])
    asked = [one["request"]["url"] for one in browser.seen("Network.requestWillBeSent")]
    assert set(asked) <= {pages[name].as_uri()}
    for method in ("Log.entryAdded", "Runtime.consoleAPICalled", "Runtime.exceptionThrown"):
        assert browser.seen(method) == []
    assert browser.seen("Page.javascriptDialogOpening") == []
    assert browser.value("document.querySelectorAll('script,img,link,iframe').length") == 0
    assert browser.value("document.querySelectorAll('style').length") == 1
    assert browser.value("getComputedStyle(document.querySelector('h1')).display") == "block"
    assert [one for one in proxy.asked if ELSEWHERE.encode() in one] == []


def test_policy_forbids_what_gets_in_all_the_same(
    browser: Chromium, proxy: Proxy, pages: dict[str, Path]
) -> None:
    """The browser runs no script and loads no picture even if markup gets into the page."""
    browser.show(pages["hostile"])
    browser.value(
        "const script = document.createElement('script');"
        "script.textContent = 'window.ran = true';"
        "document.body.append(script);"
        "const image = document.createElement('img');"
        f"image.src = 'http://{ELSEWHERE}/late.png'; document.body.append(image);"
    )
    assert browser.value("window.ran === undefined")
    assert [one for one in proxy.asked if ELSEWHERE.encode() in one] == []
    texts = " ".join(one["entry"]["text"] for one in browser.seen("Log.entryAdded"))
    assert "Content Security Policy" in texts


@pytest.mark.parametrize("name", ALL)
def test_everything_has_a_name(browser: Chromium, pages: dict[str, Path], name: str) -> None:
    """Pictures, tables, regions and links have names for screen readers."""
    browser.show(pages[name])
    nodes = browser.call("Accessibility.getFullAXTree")["nodes"]
    named = {"image", "img", "region", "table", "link", "navigation", "heading", "cell"}
    roles: dict[str, list[str]] = {}
    for node in nodes:
        if not node.get("ignored"):
            role = node["role"]["value"]
            roles.setdefault(role, []).append(node.get("name", {}).get("value", ""))
    for role in named - {"cell"}:
        assert all(roles.get(role, ())), role
    assert len(roles["table"]) >= 2
    assert len(roles["navigation"]) == 1
    assert len(roles["main"]) == 1
    pictures = roles.get("image", []) + roles.get("img", [])
    assert any("lifecycle" in one for one in pictures) or "svg" not in pages[name].read_text()


def test_paper_hides_nothing(browser: Chromium, pages: dict[str, Path]) -> None:
    """On paper the page is light, and folded or scrolled content is all there."""
    browser.show(pages["hostile"], width=700, scheme="dark")
    browser.value("document.querySelectorAll('details').forEach(one => { one.open = false })")
    assert browser.value("document.querySelector('details pre').checkVisibility()") is False
    browser.media("print", "dark")
    assert browser.value("getComputedStyle(document.body).backgroundColor") == "rgb(255, 255, 255)"
    assert browser.value("getComputedStyle(document.body).color") == "rgb(27, 33, 40)"
    hidden = (
        "[...document.querySelectorAll('pre, .scroll')].filter("
        "one => !one.checkVisibility() || one.scrollHeight > one.clientHeight + 2).length"
    )
    assert browser.value(hidden) == 0
    assert browser.value("getComputedStyle(document.querySelector('nav')).display") == "none"


@pytest.mark.parametrize("size", [(1600, 900), (1280, 720), (390, 844)], ids=str)
def test_failure_is_on_the_first_screen(
    browser: Chromium, pages: dict[str, Path], size: tuple[int, int]
) -> None:
    """Cause, last output, remedy and command are visible without scrolling."""
    width, height = size
    browser.show(pages["colored"], width=width)
    at = "(one => { const box = document.querySelector(one).getBoundingClientRect();"
    at += " return [box.top, box.bottom] })"
    for one in ("h1", ".lead", ".standing .output", ".remedies", ".command"):
        top, bottom = browser.value(f"{at}({one!r})")
        assert 0 <= top < bottom <= height, one
    quoted = browser.value("document.querySelector('.standing .output').innerText")
    assert quoted.splitlines()[-1] == "no space left"
    last = "document.querySelector('.standing .output .tinted').getBoundingClientRect().bottom"
    assert browser.value(last) <= browser.value(f"{at}('.standing .output')")[1]


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_colors_are_drawn_under_the_policy(
    browser: Chromium, pages: dict[str, Path], scheme: str
) -> None:
    """The red of a stage is red on the page, in light and in dark mode, in spite of the policy."""
    browser.show(pages["colored"], scheme=scheme)
    color = browser.value("getComputedStyle(document.querySelector('.tinted')).color")
    red, green, blue = (int(one) for one in color.strip("rgb()").split(","))
    assert red > green + 60
    assert red > blue + 60
    assert browser.seen("Log.entryAdded") == []


def test_index_leads_to_a_stage_and_opens_it(browser: Chromium, pages: dict[str, Path]) -> None:
    """Succeeded stages are folded and failed ones open; a link in the index opens its target."""
    browser.show(pages["colored"])
    is_open = "[...document.querySelectorAll('.stage-card')].map(one => one.open)"
    assert browser.value(is_open) == [False, True]
    assert browser.value("document.querySelectorAll('.index a').length") == 2
    browser.value("document.querySelector('.index a').click()")
    assert browser.value(is_open) == [True, True]
    top = browser.value("document.querySelector('#stage-manager').getBoundingClientRect().top")
    assert 0 <= top < 900


def test_forty_stages_fit_six_screens(browser: Chromium, pages: dict[str, Path]) -> None:
    """A run of forty stages is at most six screens of 900 pixels."""
    browser.show(pages["forty"])
    assert browser.value("document.querySelectorAll('#stages [id^=stage-]').length") == 40
    assert browser.value("document.documentElement.scrollHeight") <= 6 * 900


def test_stages_that_were_not_reached_are_one(browser: Chromium, pages: dict[str, Path]) -> None:
    """Ten unreached stages take one line each in index and list, and their link opens them."""
    browser.show(pages["forty"])
    assert browser.value("document.querySelectorAll('.stage-card').length") == 31
    assert browser.value("document.querySelectorAll('.index a').length") == 31
    last = "[...document.querySelectorAll('.index a')].pop()"
    assert browser.value(f"{last}.innerText") == "10 not reached"
    browser.value(f"{last}.click()")
    assert browser.value("[...document.querySelectorAll('.stage-card')].pop().open")
    shown = browser.value("document.querySelector('#not-reached').innerText").splitlines()
    assert shown[0] == "step_31: stage step_30 did not succeed"
    assert len(shown) == 10


def test_one_click_selects_the_command(browser: Chromium, pages: dict[str, Path]) -> None:
    """A click selects exactly the next command."""
    browser.show(pages["timeout"])
    at = browser.value(
        "(() => { const one = document.querySelector('.command');"
        " one.scrollIntoView({block: 'center'}); const box = one.getBoundingClientRect();"
        " return [box.x + 40, box.y + box.height / 2] })()"
    )
    for kind in ("mousePressed", "mouseReleased"):
        where = {"x": at[0], "y": at[1], "button": "left", "clickCount": 1}
        browser.call("Input.dispatchMouseEvent", type=kind, **where)
    selected = browser.value("getSelection().toString().trim()")
    assert selected == "fsm-orchestrator timeout --resume --manager-timeout 600ms"
