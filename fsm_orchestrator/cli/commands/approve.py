"""`approve`: see `cli/answer.py`."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from fsm_orchestrator.cli.answer import answer_command
from fsm_orchestrator.model.approval import Said


def approve_command(parameters: Mapping[str, Any]) -> int:
    """Answer the request of a gate; return 0 once the answer is kept."""
    return answer_command(Said.APPROVE, parameters)
