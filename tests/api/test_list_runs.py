"""`list_runs`: the state of a directory's runs, as typed rows, while they work and after."""

from __future__ import annotations

import threading
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from fsm_orchestrator import (
    ReportError,
    RunConfig,
    RunOverview,
    StageGiven,
    Standing,
    list_runs,
    run,
)
from fsm_orchestrator.vocabulary import Gate
from tests.support.patience import PATIENCE_SECONDS


def config(out: Path, script: str, **gates: str) -> RunConfig:
    """Return a run of one stage."""
    passing = {Gate.POLICY: "allow", Gate.CI: "success", Gate.REVIEW: "approved"}
    return RunConfig(
        output_directory=out,
        gates={**passing, **{Gate(name): value for name, value in gates.items()}},
        stages={"manager": StageGiven(bin="/bin/sh", args=("-c", script))},
        skip_stages=("executor",),
    )


def test_rows_say_where_each_run_stands(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Rows exist for a directory of runs, a single run, no run, and a run that is at work."""
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))
    runs, seen = tmp_path / "runs", list[RunOverview]()
    runs.mkdir()
    assert list_runs(runs) == ()
    run(config(runs / "bad", "exit 3"))
    run(config(runs / "shut", "exit 0", policy="deny"))

    def look(event: Mapping[str, Any]) -> None:
        if event["event"] == "stage.started":
            looker = threading.Thread(target=lambda: seen.extend(list_runs(runs)))
            looker.start()
            looker.join(PATIENCE_SECONDS)

    run(config(runs / "good", "exit 0"), listener=look)
    assert [(one.name, one.standing) for one in seen] == [
        ("bad", Standing.FAILED),
        ("good", Standing.WORKING),
        ("shut", Standing.BLOCKED),
    ]
    assert (seen[0].stage, seen[0].exit_code, "3" in seen[0].reason) == ("manager", 1, True)
    assert seen[1].at_work[0].stage == "manager"
    assert seen[2].blocked_reason_codes == ("GATE_POLICY_DENIED_OR_UNKNOWN",)
    monkeypatch.chdir(runs)
    assert [one.output_directory for one in list_runs("good", "bad")] == ["good", "bad"]
    assert [one.standing for one in list_runs()] == ["failed", "done", "blocked"]
    (runs / "bad" / "orchestrator_run_report.json").write_text("{")
    assert list_runs("bad")[0].trouble is not None
    with pytest.raises(ReportError, match=r"cannot read .*nowhere: no such file"):
        list_runs("nowhere")
