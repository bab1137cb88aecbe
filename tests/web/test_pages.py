"""The pages in a real browser: they update, fit, and show stages' output only as text."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

import pytest

from fsm_orchestrator.text.units import span_words
from tests.support.chromium import Chromium, Proxy, chromium
from tests.web.relay import Relay
from tests.web.runs import EVIL_SHOWN, at_work
from tests.web.served import Served, served

WIDTHS: Final = (360, 800, 1600)
ROW: Final = (
    "[...document.querySelectorAll('.run')]"
    ".find(one => one.querySelector('.name').textContent === '{}')"
)


@pytest.fixture(name="browser", scope="module")
def _browser(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Chromium]:
    """Yield one browser for all tests of this file; it cannot reach the network."""
    proxy = Proxy()
    with chromium(tmp_path_factory.mktemp("profile"), proxy) as browser:
        yield browser
    asked = [one for one in proxy.asked if b"127.0.0.1" in one or b"localhost" in one]
    proxy.close()
    assert asked == []


def _row(name: str, what: str) -> str:
    return f"{ROW.format(name)}?.{what}"


def _text(name: str, part: str) -> str:
    return _row(name, f"querySelector('.{part}').innerText")


def _show_list(browser: Chromium, server: Served, **how: Any) -> None:
    browser.show(server.url, **how)
    browser.wait("document.querySelectorAll('.run').length >= 3")


def _show_run(browser: Chromium, server: Served, name: str, **how: Any) -> None:
    _show_list(browser, server)
    browser.show(browser.value(_row(name, "querySelector('.name').href")), **how)
    browser.wait("document.querySelectorAll('.line').length > 0")


def _assert_quiet(browser: Chromium, server: Served) -> None:
    """Check that nothing was requested elsewhere, blocked by the policy, or logged as an error."""
    asked = [one["request"]["url"] for one in browser.seen("Network.requestWillBeSent")]
    assert asked
    assert all(one.startswith(server.url) for one in asked), asked
    for method in ("Log.entryAdded", "Runtime.consoleAPICalled", "Runtime.exceptionThrown"):
        assert browser.seen(method) == []
    assert browser.seen("Page.javascriptDialogOpening") == []


def test_list_shows_who_needs_a_person_first(browser: Chromium, server: Served) -> None:
    """Rows have groups, standing as text with its symbol, reason, next command; done is folded."""
    _show_list(browser, server)
    browser.wait("document.querySelectorAll('.next:not([hidden])').length >= 2")
    shown = "[...document.querySelectorAll('.group:not([hidden])')].map(one => one.dataset.group)"
    assert [one for one in browser.value(shown) if one != "working"] == ["person", "look", "done"]
    assert browser.value(_text("waiting", "look")) == "waiting"
    assert browser.value(_row("waiting", "querySelectorAll('.look svg path').length")) >= 1
    assert browser.value(_text("waiting", "why")) == "waits for ci and review"
    command = browser.value(_row("waiting", "querySelector('code').textContent"))
    assert command.endswith("/runs/waiting --resume --ci-status success --review-status approved")
    assert browser.value(_text("waiting", "age")).startswith("for ")
    assert browser.value(_text("failed", "age")).endswith(" ago")
    assert not browser.value("document.querySelector('[data-group=done]').open")
    title = browser.value("document.title")
    assert title.startswith("1 waiting, 1 failed, ")
    assert title.endswith(" \u2013 runs")
    assert browser.value("document.getElementById('connection').innerText") == "live"
    _assert_quiet(browser, server)


def test_hostile_words_stay_words(browser: Chromium, server: Served) -> None:
    """Both pages show markup as it was printed, with hidden characters spelled out."""
    _show_list(browser, server)
    assert browser.value(_row("failed", "querySelector('.why').textContent")) == (
        f"manager: exited with code 4: {EVIL_SHOWN}"
    )
    bad = (
        "document.querySelectorAll('body script, img, iframe, object, [onerror], [onload]').length"
    )
    assert browser.value(bad) == 0
    _assert_quiet(browser, server)
    _show_run(browser, server, "failed")
    lines = "[...document.querySelectorAll('.line')].map(one => one.textContent)"
    assert browser.value(lines) == [f"manager ! {EVIL_SHOWN}\n"]
    assert browser.value("document.querySelector('.line .tinted').textContent") == "red"
    assert browser.value(bad) == 0
    assert EVIL_SHOWN in browser.value("document.querySelector('.standing .output').textContent")
    _assert_quiet(browser, server)


def test_rows_change_where_they_are(browser: Chromium, server: Served, folder: Path) -> None:
    """A run appears, prints, ends and is folded in one and the same element, and nothing jumps."""
    _show_list(browser, server)
    above = _row("waiting", "getBoundingClientRect().top")
    before = browser.value(above)
    with at_work(folder) as words:
        browser.wait(f"{_text('working', 'work')}?.startsWith('manager ')")
        browser.wait(f"/^manager [0-9]+s of 10m$/.test({_text('working', 'work')})")
        browser.value(f"({ROW.format('working')}).mark = 'mine'")
        words.write_text("the first line\n")
        browser.wait(f"{_text('working', 'why')} === 'the first line'")
        top = browser.value(_row("working", "getBoundingClientRect().top"))
        with words.open("a") as file:
            file.write("the second, which is a good deal longer than the first\n")
        browser.wait(f"{_text('working', 'why')}.startsWith('the second')")
        assert browser.value(_row("working", "getBoundingClientRect().top")) == top
        assert browser.value(above) == before
        assert "1 working" in browser.value("document.title")
    browser.wait(_row("working", "closest('.group').dataset.group === 'done'"))
    assert browser.value(_row("working", "mark")) == "mine"
    assert browser.value(_row("working", "querySelector('.look').textContent.trim()")) == "done"
    _assert_quiet(browser, server)


def test_page_of_a_run_follows_it(browser: Chromium, server: Served, folder: Path) -> None:
    """Output is added as it is printed and the report is redrawn; the page is not reloaded."""
    with at_work(folder, "followed") as words:
        words.write_text("line 0\n")
        _show_list(browser, server)
        browser.wait(f"{_text('followed', 'why')} === 'line 0'")
        _show_run(browser, server, "followed")
        assert browser.value("document.querySelector('h1').innerText") == "Working"
        browser.value("window.mark = 'mine'")
        with words.open("a") as file:
            file.write(
                "".join(f"line {number} <b>\x1b[32mok\x1b[0m</b>\n" for number in range(1, 90))
            )
        browser.wait("document.querySelectorAll('.line').length === 90")
        box = "document.getElementById('lines')"
        assert browser.value(f"{box}.scrollTop + {box}.clientHeight >= {box}.scrollHeight - 1")
        browser.value(f"{box}.scrollTop = 0")
        browser.wait("!document.getElementById('follow').checked")
        with words.open("a") as file:
            file.write("the last line\n")
        browser.wait("document.querySelectorAll('.line').length === 91")
        assert browser.value(f"{box}.scrollTop") == 0
        browser.value(
            "document.querySelector('#stage-manager').closest('details').querySelector('summary').click()"
        )
    browser.wait("document.querySelector('h1').innerText === 'Done'")
    assert browser.value("window.mark") == "mine"
    assert browser.value("document.title") == "done: followed"
    assert browser.value("document.querySelectorAll('.line').length") == 91
    _assert_quiet(browser, server)


def test_filters_choose_and_are_kept(browser: Chromium, server: Served) -> None:
    """They choose by standing and name; the address keeps them, and one click shows all runs."""
    _show_list(browser, server)
    names = "[...document.querySelectorAll('.run .name')].map(one => one.textContent)"
    chip = "document.querySelector('.chip[data-look={}]')"
    browser.value(chip.format("failed") + ".click()")
    assert browser.value(names) == ["failed"]
    assert browser.value(chip.format("failed") + ".getAttribute('aria-pressed')") == "true"
    browser.value(chip.format("waiting") + ".click()")
    assert browser.value(names) == ["waiting", "failed"]
    browser.value(
        "{const find = document.getElementById('find'); find.value = 'WAIT';"
        " find.dispatchEvent(new Event('input'))}"
    )
    assert browser.value(names) == ["waiting"]
    browser.show("about:blank")
    browser.show(f"{server.url}#standing=failed%2Cwaiting&name=wait")
    browser.wait("document.querySelectorAll('.run').length === 1")
    assert browser.value(names) == ["waiting"]
    browser.value(chip.format("waiting") + ".click()")
    assert browser.value("document.getElementById('none').innerText").startswith("No run matches.")
    browser.value("document.getElementById('clear').click()")
    assert len(browser.value(names)) >= 3


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("page", ["list", "run"])
def test_pages_fit_and_can_be_read(
    browser: Chromium, server: Served, page: str, scheme: str
) -> None:
    """From 360 to 1600 pixels nothing overflows, and all text has a contrast of 4.5."""
    if page == "list":
        _show_list(browser, server, scheme=scheme)
        browser.value("document.querySelector('[data-group=done]').open = true")
    else:
        _show_run(browser, server, "failed", scheme=scheme)
    for width in WIDTHS:
        browser.resize(width)
        root = "document.documentElement"
        assert browser.value(f"{root}.scrollWidth - {root}.clientWidth") <= 0, width
        assert browser.value(TOO_WIDE) == [], width
        assert browser.value(PALE) == [], width
    color = browser.value("getComputedStyle(document.body).backgroundColor")
    levels = [int(one) for one in color.strip("rgb()").split(",")]
    assert (sum(levels) < 3 * 64) == (scheme == "dark")


TOO_WIDE: Final = """
[...document.querySelectorAll('body *')].filter(one => {
  for (let at = one; at; at = at.parentElement)
    if (/auto|scroll/.test(getComputedStyle(at).overflowX)) return false;
  return one.checkVisibility() && one.getBoundingClientRect().right > innerWidth + 1;
}).map(one => one.tagName + '.' + one.className)
"""
PALE: Final = """
(() => {
  const levels = (text) => (text.match(/[0-9.]+/g) ?? []).map(Number);
  const light = ([red, green, blue]) => [red, green, blue].map((part) => part / 255)
    .map((part) => part <= 0.04045 ? part / 12.92 : ((part + 0.055) / 1.055) ** 2.4)
    .reduce((sum, part, index) => sum + part * [0.2126, 0.7152, 0.0722][index], 0);
  const back = (one) => {
    for (let at = one; at; at = at.parentElement) {
      const found = levels(getComputedStyle(at).backgroundColor);
      if (found.length === 3 || found[3] > 0.5) return found;
    }
    return [255, 255, 255];
  };
  return [...document.querySelectorAll('body *')].filter((one) => {
    const own = [...one.childNodes].some((node) => node.nodeType === 3 && node.data.trim());
    if (!own || !one.checkVisibility() || one.closest('svg')) return false;
    const colors = [levels(getComputedStyle(one).color), back(one)];
    const [low, high] = colors.map(light).sort((a, b) => a - b);
    return (high + 0.05) / (low + 0.05) < 4.5;
  }).map((one) => one.className + ': ' + one.textContent.slice(0, 40));
})()
"""


@pytest.mark.parametrize("page", ["list", "run"])
def test_everything_has_a_name_and_little_is_announced(
    browser: Chromium, server: Served, page: str
) -> None:
    """Links, buttons, fields and regions have names; only connection and counts are announced."""
    if page == "list":
        _show_list(browser, server)
    else:
        _show_run(browser, server, "failed")
    roles: dict[str, list[str]] = {}
    for node in browser.call("Accessibility.getFullAXTree")["nodes"]:
        if not node.get("ignored"):
            roles.setdefault(node["role"]["value"], []).append(
                node.get("name", {}).get("value", "")
            )
    for role in ("link", "button", "searchbox", "region", "heading", "checkbox", "log"):
        assert all(roles.get(role, ())), role
    assert len(roles["main"]) == 1
    live = "[...document.querySelectorAll('[aria-live], [role=status]')].map(one => one.id)"
    assert set(browser.value(live)) <= {"connection", "said", "lines"}
    assert page == "list" or browser.value("document.getElementById('lines').ariaLive") == "off"


def test_command_is_copied_by_its_button(browser: Chromium, server: Served) -> None:
    """It goes to the clipboard, or is selected where there is none."""
    _show_list(browser, server)
    browser.wait(f"!{_row('waiting', 'querySelector(' + repr('.next') + ').hidden')}")
    browser.value(_row("waiting", "querySelector('.copy').click()"))
    browser.wait(f"/copied|selected/.test({_text('waiting', 'copy')})")


def test_lost_connection_is_said_and_mended(browser: Chromium, server: Served) -> None:
    """The page says that it is not live, tries again, and is live again."""
    relay = Relay(server.port)
    try:
        browser.show(server.url.replace(str(server.port), str(relay.port), 1))
        browser.wait("document.querySelectorAll('.run').length >= 3")
        said = "document.getElementById('connection').innerText"
        assert browser.value(said) == "live"
        relay.cut()
        browser.wait(f"{said} === 'connection lost, trying again'")
        assert browser.value("document.querySelectorAll('.run').length") >= 3
        relay.mend()
        browser.wait(f"{said} === 'live'")
        browser.wait("!document.body.classList.contains('stale')")
    finally:
        relay.close()
        browser.show("about:blank")


def test_page_of_a_server_that_is_gone_says_so(browser: Chromium, tmp_path: Path) -> None:
    """It tries again; if the port has a server with another secret, it asks for that address."""
    with served(".", cwd=tmp_path) as server:
        browser.show(server.url)
        browser.wait("!document.getElementById('empty').hidden")
        words = browser.value("document.getElementById('empty').innerText")
        port = server.port
    assert f"fsm-orchestrator run {tmp_path}/first --config run.toml" in words
    said = "document.getElementById('connection').innerText"
    browser.wait(f"{said} === 'connection lost, trying again'")
    with served(".", "--port", str(port), cwd=tmp_path):
        browser.wait(f"{said} === 'served again: open the new address'")
    browser.show("about:blank")


def test_times_are_those_of_the_program(browser: Chromium, server: Served) -> None:
    """The script continues to count the seconds, in the format of the program."""
    _show_list(browser, server)
    seconds = [*range(1, 200), 599, 600, 3599, 3600, 3661, 7325, 86399, 86400, 90061, 10**6, 10**7]
    script = f"import('./live.js').then(one => {json.dumps(seconds)}.map(one.words))"
    answer = browser.call(
        "Runtime.evaluate", expression=script, awaitPromise=True, returnByValue=True
    )
    assert answer["result"]["value"] == [span_words(one * 1000) for one in seconds]
