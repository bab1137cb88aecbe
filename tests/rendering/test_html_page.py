"""The page of a run: well formed for every standing, with picture, timeline and attempts."""

from __future__ import annotations

import os
import re
import socket
import sys
import time
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

import pytest

from fsm_orchestrator.clock import FixedClock
from fsm_orchestrator.inspection.inspected_run import InspectedRun, inspect_run
from fsm_orchestrator.lifecycle import reading
from fsm_orchestrator.rendering.html.page import page_of
from tests.rendering.html_cases import CSS, RUNS, page_at, parsed, part, run, unusable, words
from tests.support.command import PASSING, orchestrate, stages, start

pytestmark = [pytest.mark.one_in(2), pytest.mark.usefixtures("private_state")]


@pytest.mark.parametrize("name", RUNS)
def test_every_standing_has_a_sound_page(name: str, tmp_path: Path) -> None:
    """The page of each standing states it first, and has all sections in order."""
    make, expected = RUNS[name]
    page = page_at(make(tmp_path))
    assert next(page.all("h1")).text == expected
    keys = [one.attributes["id"] for one in page.all("section") if "id" in one.attributes]
    assert keys == [
        *("next", "why", "timeline", "gates", "stages", "path", "history", "origin"),
    ]
    assert words(part(page, "why"))
    closure = {
        "Done": "true: a supervisor may close it",
        "Done, but not ready to close": "but no longer",
    }
    said = closure.get(expected, "false: it must not be closed")
    if name == "passed_over":  # it was never started
        said = "false: it must not be closed"
    assert said in words(next(page.all("header")))


def test_working_run_is_shown_at_work(tmp_path: Path) -> None:
    """The page of a run at work has an open bar, the stage's attempt, and a follow command."""
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
        assert [one.attributes["class"] for one in page.all("span", "bar")] == [
            *("bar judged good", "bar open info"),
        ]
        assert "at work" in words(part(page, "stages"))
        assert "not yet" in words(part(page, "history"))
    finally:
        process.terminate()
        process.communicate(timeout=60)


def test_archived_run_has_its_own_page(tmp_path: Path) -> None:
    """The page of an archived run shows that run, and how to put it back."""
    run(tmp_path, "--run-id", "first", *stages("echo one >&2; exit 3"), code=1)
    out = run(tmp_path, "--run-id", "second", *stages())
    page = page_at(out, "first")
    assert next(page.all("title")).text == "failed: run first"
    assert words(next(page.all("pre", "command"))) == "fsm-orchestrator restore out first"
    assert "Archived: a later run has taken its place." in words(page)
    assert "one" in [words(one) for one in page.all("pre", "output")]


def test_page_without_graphviz_draws_the_path_itself(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Without pygraphviz the page has the walk, and says how to get the picture."""
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
    """A built-in lifecycle is drawn even if the checkpoint is unusable."""
    pytest.importorskip("pygraphviz")
    page = page_at(unusable(tmp_path))
    assert len(list(page.all("svg", "drawing"))) == 1
    assert len(list(page.all("ol", "walk"))) == 1


def many(view: InspectedRun, count: int) -> InspectedRun:
    """Return the run with that many transitions and attempts in its last invocation."""
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
    """Of thousands of transitions, attempts and warnings the latest are shown, the rest counted."""
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


def test_page_hides_a_secret_in_the_name_of_the_machine_it_is_made_on(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The page hides a secret in the name of its own machine, which may not be the run's."""
    monkeypatch.setenv("TOKEN", "blue-harbour")
    view = inspect_run(run(tmp_path, *stages(), "--manager-secret", "TOKEN"))
    named = os.uname_result(("Linux", "blue-harbour", "6", "1", "x86_64"))
    monkeypatch.setattr(os, "uname", lambda: named)
    made = words(part(parsed(page_of(view, "out")), "origin"))
    assert " on *** (Linux 6, x86_64)" in made
    assert "blue-harbour" not in page_of(view, "out")


def test_page_names_the_revision(tmp_path: Path) -> None:
    """The top, the history and the origin name the revision, and a hostile branch name is text."""
    (tmp_path / ".git" / "refs" / "heads").mkdir(parents=True)
    (tmp_path / ".git" / "HEAD").write_text("ref: refs/heads/<b>&\n")
    out = run(tmp_path, *stages())
    page = page_at(out)
    assert "git revision<b>&, which had no commit yet" in words(next(page.all("header")))
    (tmp_path / ".git" / "HEAD").write_text(f"{'c' * 40}\n")
    orchestrate("out", "--resume", cwd=tmp_path)
    page = page_at(out)
    top = words(next(page.all("header")))
    assert f"git revisioncommit {'c' * 12}; another for earlier invocations" in top
    assert f"commit {'c' * 40}, read from git's files" in words(part(page, "origin"))
    rows = [words(row) for row in next(part(page, "history").all("tbody")).all("tr")]
    assert [f"at commit {'c' * 12}" in row for row in rows] == [False, True]


def test_page_names_who_started_and_who_gave_the_gates(tmp_path: Path) -> None:
    """The top names who started the run and where; the table, who gave each signal and when."""
    out = run(tmp_path, *stages())
    page, now = page_at(out), inspect_run(out).report.gate_decisions[0].given
    assert now is not None
    assert now.host == socket.gethostname()
    who = f"{now.user} on {now.host}"
    assert f"started by{who}" in words(next(page.all("header")))
    rows = [words(row) for row in next(part(page, "gates").all("tbody")).all("tr")]
    assert len(rows) == 3
    when = f"{now.at[:10]} {now.at[11:23]} UTC"
    assert all(f"given by flag {who} {when}" in row for row in rows)


def test_run_with_a_fixed_clock_has_a_timeline(tmp_path: Path) -> None:
    """Without measured times the bars are in a row, and the page says why."""
    page = page_at(run(tmp_path, *stages(), "--fixed-clock", "2026-01-31T00:00:00Z"))
    assert len(list(page.all("span", "bar"))) == 3
    assert "No time was measured" in words(part(page, "timeline"))


def test_attempts_are_told_with_artifacts(tmp_path: Path) -> None:
    """Each attempt has its fields, and its artifacts have their size and digest."""
    options = (*stages("printf 12 > left.txt"), "--manager-expected-artifact", "left.txt")
    page = page_at(run(tmp_path, *options))
    (table,) = page.all("table", "artifacts")
    digest = "6b51d431df5d7f141cbececcf79edf3dd861c3b4069f0b11661a3eefacbba918"
    assert [words(one) for one in table.all("td")] == ["2", digest]
    names = [one.text for one in next(part(page, "stages").all("details")).all("dt")]
    assert names == ["why", "command", "in", "exit code", "used"]


def test_invocations_are_told(tmp_path: Path) -> None:
    """Every invocation is listed with its mode, its exit code and what it did."""
    out = run(tmp_path, *stages("exit 0", "test -e once || { touch once; exit 3; }"), code=1)
    assert orchestrate("out", "--resume", cwd=tmp_path).code == 0
    rows = [words(row) for row in next(part(page_at(out), "history").all("tbody")).all("tr")]
    assert [row.split()[0] for row in rows] == ["1", "2,"]
    assert "manager, attempt 1: success executor, attempt 1: failed came to failed" in rows[0]
    assert "skipped manager executor, attempt 2: success came to done" in rows[1]
    taken = [words(row) for row in list(part(page_at(out), "history").all("tbody"))[1].all("tr")]
    assert [row.split()[0] for row in taken] == [f"#{number}" for number in range(1, 9)]
    assert taken[3].endswith("attempt 1 of executor: exited with code 3")
