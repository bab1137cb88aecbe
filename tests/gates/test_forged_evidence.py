"""A decision that does not follow from its evidence is no record to resume from."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.gates.evidence_cases import assert_refused, run_with
from tests.support.command import CHECKPOINT, checkpoint_of, orchestrate

FORGERIES: dict[str, Callable[[dict[str, Any]], None]] = {
    "another status": lambda one: one.update(status="success", passed=True, reason_code=None),
    "no problem any more": lambda one: one["evidence"].update(problem=None),
    "no evidence at all": lambda one: one.update(evidence=None),
    "a typed signal": lambda one: one.update(source="flag"),
    "a problem that there is not": lambda one: one["evidence"].update(problem="bad_luck"),
}


@pytest.mark.parametrize("name", FORGERIES)
def test_forged_decision_is_refused(tmp_path: Path, name: str) -> None:
    """Status, verdict and evidence must agree; a contradiction is refused and left unchanged."""
    assert_refused(tmp_path, run_with(tmp_path, 'command = ["false"]'), "exit_code", "failure")
    document = checkpoint_of(tmp_path / "out")
    FORGERIES[name](document["invocations"][0]["gate_decisions"][1])
    path = tmp_path / "out" / CHECKPOINT
    path.write_text(json.dumps(document))
    ended = orchestrate("plan", "./out", "--resume", cwd=tmp_path)
    assert ended.code == 1
    assert "cannot resume" in ended.stderr
    assert "gate" in ended.stderr.partition(CHECKPOINT)[2]


def test_source_that_came_from_nowhere_is_refused(tmp_path: Path) -> None:
    """A source and a subject are settings: the record must name who gave them."""
    assert_refused(tmp_path, run_with(tmp_path, 'command = ["false"]'), "exit_code", "failure")
    document = checkpoint_of(tmp_path / "out")
    document["sources"] = {}
    path = tmp_path / "out" / CHECKPOINT
    path.write_text(json.dumps(document))
    ended = orchestrate("plan", "./out", "--resume", cwd=tmp_path)
    assert ended.code == 1
    assert "does not fit the source of ci" in ended.stderr
