"""Names in the Python interface: those of `--lifecycle` work, and the nearest is suggested."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from fsm_orchestrator import RunConfig, StageGiven, load_lifecycle, run
from fsm_orchestrator.errors import LifecycleError, OrchestratorError, UsageError


def test_builtin_lifecycle_is_named_as_on_the_command_line(tmp_path: Path) -> None:
    """A run and a lifecycle accept a name; a `Path` is always a file."""
    report = run(RunConfig(output_directory=tmp_path / "out", lifecycle="reviewed_run"))
    assert report.lifecycle is not None
    assert report.lifecycle.name == "reviewed_run"
    assert load_lifecycle("reviewed_run").name == "reviewed_run"
    with pytest.raises(LifecycleError):
        load_lifecycle(tmp_path / "reviewed_run")


MISTYPED: dict[str, tuple[dict[str, Any], str]] = {
    "keyword": ({"lifecyle": "x"}, "unknown keyword 'lifecyle'; did you mean 'lifecycle'?"),
    "keyword of a stage": (
        {"stages": {"manager": {"bin": "x", "timeot_ms": 5}}},
        "stages.manager.timeot_ms: unknown key; did you mean 'timeout_ms'?",
    ),
    "gate": ({"gates": {"polcy": "allow"}}, "no gate 'polcy'; did you mean 'policy'?"),
    "stage": ({"stages": {"manger": StageGiven(bin="x")}}, "did you mean 'manager'?"),
    "lifecycle": ({"lifecycle": "reviewd_run"}, "did you mean 'reviewed_run'?"),
}


@pytest.mark.parametrize("name", MISTYPED)
def test_nearest_name_is_named(tmp_path: Path, name: str) -> None:
    """Nothing is written for a name that does not exist."""
    settings, words = MISTYPED[name]
    with pytest.raises(OrchestratorError) as refusal:
        run(RunConfig(output_directory=tmp_path / "out", **settings))
    assert words in str(refusal.value)
    assert not (tmp_path / "out").exists()


def test_keyword_of_a_stage_alone_is_refused_alike() -> None:
    """The nearest name is suggested for the settings of a stage alone, too."""
    mistyped: Any = {"timeot_ms": 5}
    with pytest.raises(UsageError, match="did you mean 'timeout_ms'"):
        StageGiven(**mistyped)
