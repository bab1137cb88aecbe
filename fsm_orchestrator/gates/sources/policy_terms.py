"""The settings that the sources `rego` and `cedar` share."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final

from fsm_orchestrator.constants import DEFAULT_TIMEOUT_MS
from fsm_orchestrator.gates.sources.base import Size, SourceModel, Span
from fsm_orchestrator.model.declared import Field
from fsm_orchestrator.text.hidden import copyable
from fsm_orchestrator.text.phrases import listed

DEFAULT_MEMORY_BYTES: Final = 512 * 1024**2
DEFAULT_OUTPUT_BYTES: Final = 1024**2


class PolicyTerms(SourceModel):
    """The limits of the process that judges a policy."""

    timeout: Span = Field(default=DEFAULT_TIMEOUT_MS, description="How long the judging may take.")
    memory_limit: Size = Field(
        default=DEFAULT_MEMORY_BYTES, description="How much memory the engine may take."
    )
    output_limit: Size = Field(
        default=DEFAULT_OUTPUT_BYTES, description="How much the policy may print."
    )

    @property
    def looks_at_others(self) -> bool:
        """True: a policy is given the decisions of the other gates."""
        return True


def policy_words(language: str, paths: Iterable[str]) -> str:
    """Return the question, for people."""
    return f"{language} {listed([copyable(one) for one in paths])}"
