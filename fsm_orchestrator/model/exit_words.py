"""What a shell means by its own exit codes, in words."""

from __future__ import annotations

import signal
from collections.abc import Mapping
from typing import Final

from fsm_orchestrator.constants import SIGNAL_BASE
from fsm_orchestrator.model.option_kinds import RetrySignal

SIGNAL_OF_CODE: Final[Mapping[int, str]] = {
    SIGNAL_BASE + getattr(signal, one.value): one.value for one in RetrySignal
}
"""The signals of which shells tell, by the exit code by which they do."""
_WHEN: Final[Mapping[int, str]] = {
    126: "it finds a command and cannot execute it",
    127: "it does not find a command",
    **{code: f"{name} killed its last command" for code, name in SIGNAL_OF_CODE.items()},
}


def shell_words(code: int) -> tuple[str, ...]:
    """Return when a shell exits with a code by itself, as a sentence; nothing for most codes."""
    when = _WHEN.get(code)
    return () if when is None else (f"a shell exits so when {when}",)
