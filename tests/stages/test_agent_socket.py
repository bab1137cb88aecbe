"""The agent that holds the operator's keys is never known to a confined stage."""

from __future__ import annotations

from pathlib import Path

import pytest

from fsm_orchestrator.config.stage_settings import StageSettings
from fsm_orchestrator.model.confinement import Confine
from fsm_orchestrator.stages.environment import environment_of


@pytest.mark.parametrize("given", [{}, {"SSH_AUTH_SOCK": "/given"}], ids=["inherited", "given"])
def test_confined_stage_sees_no_agent(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, given: dict[str, str]
) -> None:
    """A confined stage has no agent, neither the operator's nor a given one; other stages do."""
    monkeypatch.setenv("SSH_AUTH_SOCK", "/agent")
    settings = StageSettings(command="true", args=(), cwd=str(tmp_path), env=given)
    confined = StageSettings(
        command="true", args=(), cwd=str(tmp_path), env=given, confine=Confine(write=())
    )
    expected = given.get("SSH_AUTH_SOCK", "/agent")
    assert environment_of(settings, {})["SSH_AUTH_SOCK"] == expected
    assert "SSH_AUTH_SOCK" not in environment_of(confined, {})
