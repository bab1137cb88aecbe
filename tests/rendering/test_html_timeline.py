"""The timeline of a page: an axis of round times, lanes with attempts, gates and waits."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from fsm_orchestrator.rendering.html.axis import TICKS_MAX, ticks_of
from tests.rendering.html_cases import page_at, part, run, words
from tests.support.command import orchestrate, stages
from tests.support.spans import SPAN

HOUR = 3_600_000


@pytest.mark.parametrize(
    ("longest_ms", "expected"),
    [
        (2, ["0", "1ms", "2ms"]),
        (1, ["0", "1ms"]),
        (835, ["0", "200ms", "400ms", "600ms", "800ms"]),
        (6_000, ["0", "1s", "2s", "3s", "4s", "5s", "6s"]),
        (100_000, ["0", "15s", "30s", "45s", "1m", "1m15s", "1m30s"]),
        (5 * HOUR, ["0", "1h", "2h", "3h", "4h", "5h"]),
        (72 * HOUR, ["0", "12h", "1 d", "1 d 12 h", "2 d", "2 d 12 h", "3 d"]),
        (0, []),
    ],
)
def test_axis_has_round_times(longest_ms: int, expected: list[str]) -> None:
    """From two milliseconds to three days the ticks are round, few, and in the right places."""
    ticks = ticks_of(longest_ms)
    assert [one.word for one in ticks] == expected
    assert not ticks or ticks[0].style == "left:0.00%"


def test_axis_is_short_whatever_the_time() -> None:
    """No span of time makes many ticks, and only an empty one makes fewer than two."""
    for power in range(1, 44):
        assert 2 <= len(ticks_of(2**power - 1)) <= TICKS_MAX


@pytest.mark.usefixtures("private_state")
def test_gates_attempts_and_waits_have_bars(tmp_path: Path) -> None:
    """A retried stage has its attempts and their wait in one lane, below the gates."""
    script = "test -e once && exit 0; touch once; exit 75"
    retry = ("--manager-max-attempts", "2", "--manager-retry-exit-code", "75")
    wait = ("--manager-backoff-ms", "120")
    page = page_at(run(tmp_path, *stages(script), *retry, *wait))
    timeline = part(page, "timeline")
    lanes = [one for one in timeline.all("div", "lane") if list(one.all("span", "track"))]
    assert [words(next(one.all("span", "lane-name"))) for one in lanes] == [
        *("gating", "manager", "executor"),
    ]
    kinds = [
        [bar.attributes["class"].split()[1:] for bar in one.all("span", "bar")] for one in lanes
    ]
    assert kinds == [
        [["judged", "good"]],
        [["closed", "bad"], ["wait", "plain"], ["closed", "good"]],
        [["closed", "good"]],
    ]
    tip = list(lanes[1].all("span", "bar"))[1].attributes["title"]
    took = re.fullmatch(r"manager: waited for the retry (\d+)ms, \d+ms after the start", tip)
    assert took is not None
    assert int(took[1]) >= 120
    end = words(next(lanes[1].all("span", "lane-end")))
    assert re.fullmatch(rf"success in attempt 2, {SPAN}, at {SPAN}", end)
    assert words(next(timeline.all("div", "axis"))).startswith("0")


@pytest.mark.usefixtures("private_state")
def test_rework_is_no_wait_for_a_retry(tmp_path: Path) -> None:
    """Between two attempts in different cycles no wait is drawn, because other stages ran."""
    reviewer = "test -e once && exit 0; touch once; sleep 0.05; exit 10"
    asked = ("--lifecycle", "reviewed_run", *stages(), "--reviewer-bin", "/bin/sh")
    page = page_at(run(tmp_path, *asked, "--reviewer-arg", "-c", "--reviewer-arg", reviewer))
    lanes = [
        one for one in part(page, "timeline").all("div", "lane") if list(one.all("span", "track"))
    ]
    kinds = [
        [bar.attributes["class"].split()[1] for bar in one.all("span", "bar")] for one in lanes
    ]
    assert kinds == [["judged"], ["closed"], ["closed", "closed"], ["closed", "closed"]]


@pytest.mark.usefixtures("private_state")
def test_each_invocation_has_its_start(tmp_path: Path) -> None:
    """The lanes of a resume are under its number and start; a refusal has its own bar."""
    assert orchestrate("out", "--policy-status", "allow", *stages(), cwd=tmp_path).code == 3
    rest = ("--ci-status", "success", "--review-status", "approved")
    assert orchestrate("out", "--resume", *rest, cwd=tmp_path).code == 0
    timeline = part(page_at(tmp_path / "out"), "timeline")
    heads = [words(one) for one in timeline.all("div", "lane-head")]
    assert [re.sub(r" 0 .*from ", " ", one).split(" ", 2)[:2] for one in heads] == [
        ["invocation", "1"],
        ["invocation", "2"],
    ]
    assert all(re.search(r"from \d{4}-\d\d-\d\d \d\d:\d\d:\d\d\.\d{3} UTC$", one) for one in heads)
    classes = [one.attributes["class"] for one in timeline.all("span", "bar")]
    assert classes[:2] == ["bar judged warn", "bar judged good"]
