"""The meanings of a shell's own exit codes, as text."""

from __future__ import annotations

import signal
from collections.abc import Mapping
from typing import Final

from fsm_orchestrator.constants import SIGNAL_BASE
from fsm_orchestrator.model.option_kinds import RetrySignal

SIGNAL_OF_CODE: Final[Mapping[int, str]] = {
    SIGNAL_BASE + getattr(signal, one.value): one.value for one in RetrySignal
}
"""The signals that a shell reports by an exit code, by that code."""
_WHEN: Final[Mapping[int, str]] = {
    126: "it finds a command and cannot execute it",
    127: "it does not find a command",
    **{code: f"{name} killed its last command" for code, name in SIGNAL_OF_CODE.items()},
}


def shell_words(code: int) -> tuple[str, ...]:
    """Return when a shell itself exits with a code, as a sentence; nothing for most codes."""
    when = _WHEN.get(code)
    return () if when is None else (f"a shell exits with this code when {when}",)
