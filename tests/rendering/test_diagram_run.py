"""A run drawn over its lifecycle: where it went, how often, how long, how it ended."""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Final

import pytest

from fsm_orchestrator.api import load_report
from fsm_orchestrator.lifecycle import reading
from fsm_orchestrator.record.report import Report
from fsm_orchestrator.rendering.diagram.dot import dot_text
from fsm_orchestrator.rendering.diagram.mermaid import mermaid_text
from fsm_orchestrator.rendering.diagram.picture import Mark, picture_of
from fsm_orchestrator.rendering.diagram.run_marks import marks_of_run, resume_entry
from tests.support.command import (
    CHECKPOINT,
    ORCHESTRATOR_PID,
    PASSING,
    REPORT,
    orchestrate,
    shell,
    stages,
)
from tests.support.spans import SPAN

REWORKED: Final = (
    *("--lifecycle", "reviewed_run", *PASSING),
    *stages("exit 0", "test -e once || { touch once; exit 3; }"),
    *shell("reviewer", "test -e twice && exit 7; touch twice; exit 10"),
)
"""A run that fails in the executor; resumed, it is sent back once and fails in the reviewer."""


@pytest.fixture(name="out", scope="module")
def reworked_run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return the directory of that run, resumed once."""
    folder = tmp_path_factory.mktemp("run")
    assert orchestrate("out", *REWORKED, cwd=folder).code == 1
    assert orchestrate("out", "--resume", cwd=folder).code == 1
    return folder / "out"


def drawn(out: Path) -> str:
    """Return what `diagram --run` prints for a directory."""
    ended = orchestrate("diagram", "--run", out, cwd=out.parent)
    assert (ended.code, ended.stderr) == (0, "")
    return ended.stdout.replace("#35;", "#").replace("#59;", ";")


def lines_of(text: str, state: str) -> list[str]:
    """Return the lines in the node of a state, with `TIME` in place of each time."""
    found = re.search(rf'^    {state}\W+"(.*?)"', text, re.MULTILINE)
    assert found is not None
    return re.sub(rf"{SPAN}\b", "TIME", found[1]).split("<br/>")


def test_states_tell_their_visits_and_attempts(out: Path) -> None:
    """Each state has the numbers of the transitions into it, its time and its attempts."""
    text = drawn(out)
    assert lines_of(text, "pending") == ["pending", "TIME"]
    assert lines_of(text, "manager") == [
        *("manager", "#2, #6, TIME", "attempt 1: success", "then skipped")
    ]
    assert lines_of(text, "executor")[1:] == [
        *("#3, #7, #9, TIME", "attempt 1: failed, exit 3"),
        *("attempt 2: success", "attempt 3: success"),
    ]
    assert lines_of(text, "reviewer")[2:] == [
        *("#8, #10, TIME", "attempt 1: asked for rework", "attempt 2: failed, exit 7")
    ]
    assert lines_of(text, "failed") == ["failed", "#4, #11", "ended here"]
    assert lines_of(text, "gating")[-1] == "a resume enters here"
    assert "ended failed: attempt 2 of reviewer: exited with code 7" in text


def test_arrows_taken_are_bold_and_numbered(out: Path) -> None:
    """Bold arrows are the report's transitions with their numbers; the others are dashed."""
    text = drawn(out)
    report = load_report(out)
    expected: dict[tuple[str, str, str], list[str]] = {}
    earlier = [record for one in report.earlier_invocations for record in one.transitions]
    for record in (*earlier, *report.transitions):
        key = (record.source, record.trigger.value, record.dest)
        expected.setdefault(key, []).append(f"#{record.seq}")
    bold = re.findall(r'^    (\w+) ==>\|"(\w+).*? (#[^"]*)"\| (\w+)$', text, re.MULTILINE)
    assert {(s, t, d): seqs.split(", ") for s, t, seqs, d in bold} == expected
    others = re.findall(r'^    \w+ (\S+)\|"[^#]*"\| \w+$', text, re.MULTILINE)
    assert others
    assert set(others) == {"-.->"}


def test_unvisited_is_dashed_not_only_grey(out: Path) -> None:
    """An unvisited state has a dashed border in both texts, and a visited one a solid border."""
    report = load_report(out)
    found = reading.shipped("reviewed_run")
    picture = picture_of(found, marks_of_run(found, report))
    marks = {node.key: node.mark for node in picture.nodes if node.key in found.states}
    visited = {name for name, mark in marks.items() if mark is Mark.TAKEN}
    assert visited == {"pending", "gating", "manager", "executor", "reviewer", "failed"}
    text, dot = mermaid_text(picture), dot_text(picture)
    assert "stroke-dasharray" in next(x for x in text.splitlines() if "classDef untaken" in x)
    for name in found.states:
        line = next(one for one in dot.splitlines() if one.startswith(f'  "{name}" ['))
        assert ("dashed" in line) == (name not in visited)
        assert (f"    class {name} untaken\n" in text) == (name not in visited)


def timed(report: Report, seconds: list[int]) -> Report:
    """Return the report with each transition that many seconds after the one before it."""
    at, moved = datetime.fromisoformat(report.started_at), []
    for record, span in zip(report.transitions, seconds[:-1], strict=True):
        at += timedelta(seconds=span)
        moved.append(record.model_copy(update={"at": stamp(at)}))
    end = stamp(at + timedelta(seconds=seconds[-1]))
    return report.model_copy(update={"transitions": tuple(moved), "finished_at": end})


def stamp(at: datetime) -> str:
    """Return a time as reports write it."""
    return at.astimezone(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


def test_time_is_what_was_spent_at_work(tmp_path: Path) -> None:
    """The time in a state runs from entering to leaving it; after the end no time passes."""
    assert orchestrate("out", *PASSING, *stages(), cwd=tmp_path).code == 0
    report = timed(load_report(tmp_path / "out"), [2, 3, 50, 70, 9])
    found = reading.shipped("governed_run")
    lines = marks_of_run(found, report).lines
    assert lines["pending"] == ("2s",)
    assert lines["gating"] == ("#1, 3s",)
    assert lines["manager"][0] == "#2, 50s"
    assert lines["executor"][0] == "#3, 1m10s"
    assert lines["done"] == ("#4", "ended here")
    assert resume_entry(found, report) is None
    assert "resume enters" not in drawn(tmp_path / "out")


def test_killed_run_is_drawn_where_it_was_last_seen(tmp_path: Path) -> None:
    """A killed run is drawn as not ended, with the place from which a resume continues."""
    killing = f"kill -KILL {ORCHESTRATOR_PID}; exec sleep 60"
    assert orchestrate("out", *PASSING, *stages("exit 0", killing), cwd=tmp_path).code < 0
    text = drawn(tmp_path / "out")
    assert "not ended, in executor" in text
    assert lines_of(text, "executor")[-1] == "not ended: last seen here"
    assert lines_of(text, "gating")[-1] == "a resume enters here"


def test_lifecycle_is_the_one_of_the_run(out: Path, tmp_path: Path) -> None:
    """Another lifecycle is refused; the run's own is found without checkpoint or by its file."""
    ended = orchestrate("diagram", "governed_run", "--run", out, cwd=tmp_path)
    assert ended.code == 2
    assert "does not follow the lifecycle 'governed_run'" in ended.stderr
    expected = drawn(out)
    copy = tmp_path / "copy"
    copy.mkdir()
    (copy / REPORT).write_bytes((out / REPORT).read_bytes())
    assert not (copy / CHECKPOINT).exists()
    assert drawn(copy) == expected
    report = (copy / REPORT).read_text()
    digest = reading.shipped("reviewed_run").sha256
    (copy / REPORT).write_text(report.replace(digest, digest[::-1]))
    ended = orchestrate("diagram", "--run", copy, cwd=tmp_path)
    assert ended.code == 2
    assert "'reviewed_run' of run" in ended.stderr
    assert "diagram LIFECYCLE --run OUT" in ended.stderr


def test_done_run_that_was_resumed_is_drawn(tmp_path: Path) -> None:
    """A resume of a done run adds no transition and no time to the drawing."""
    assert orchestrate("out", *PASSING, *stages(), cwd=tmp_path).code == 0
    before = drawn(tmp_path / "out")
    for _ in range(2):
        assert orchestrate("out", "--resume", cwd=tmp_path).code == 0
    assert re.findall(r"#\d+", drawn(tmp_path / "out")) == re.findall(r"#\d+", before) != []
    page = orchestrate("report", "out", "--html", "-", cwd=tmp_path)
    assert "could not be drawn" not in page.stdout
