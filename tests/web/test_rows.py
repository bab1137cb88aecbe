"""The rows of the page: every standing has a look and a group, and groups are contiguous."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from fsm_orchestrator.inspection.overview import RunOverview
from fsm_orchestrator.inspection.selecting import by_need
from fsm_orchestrator.model.listing import UNREADABLE
from fsm_orchestrator.vocabulary import Standing
from fsm_orchestrator.web import pages, rows
from fsm_orchestrator.web.rows import Group, Rows
from tests.support.command import PASSING, orchestrate, stages


def test_every_standing_has_a_look_and_its_group_in_order() -> None:
    """A page has a symbol for each standing; in the order of need no group begins twice."""
    assert pages._LOOKS.keys() == {*Standing, UNREADABLE}
    runs = [RunOverview(str(one), standing=one) for one in (*Standing, None)]
    groups = [[*Group].index(rows._group_of(one)) for one in by_need(runs)]
    assert groups == sorted(groups)
    assert {*groups} == {*range(len(Group))}


def test_rows_are_bounded_and_made_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Rows beyond the bound are counted; an unchanged run keeps the same row object."""
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))
    monkeypatch.setattr(rows, "ROWS_MAX", 2)
    for name in ("a", "b"):
        orchestrate(f"./runs/{name}", *PASSING, *stages(), cwd=tmp_path)
    orchestrate("./runs/c", "--policy-status", "deny", *stages(), cwd=tmp_path)
    with ThreadPoolExecutor(1) as pool:
        made = Rows(tmp_path / "runs")
        first = made.look(pool)
        pool.submit(int).result()  # the next command is found by then
        second = made.look(pool)
    assert [one["name"] for one in first.rows.values()] == ["c", "b"]
    assert first.about["counts"] == {"blocked": 1, "done": 2}
    assert first.about["left_out"] == 1
    blocked, done = second.rows.values()
    assert done is [*first.rows.values()][1]
    assert blocked["command"][1] == str(tmp_path / "runs/c")
    assert next(iter(first.rows.values()))["command"] == []
    assert made.directory_of(blocked["key"]) == tmp_path / "runs/c"
    assert made.directory_of("0" * 16) is None
