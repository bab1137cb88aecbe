"""The gates that a run waits for, which people can still give. Loaded by runs that wait."""

from fsm_orchestrator.model.base import Count, GateName, Ordinal, StateName, StrictModel, Timestamp
from fsm_orchestrator.model.declared import Field


class WaitingFor(StrictModel):
    """A gate that is missing, unknown or pending, and that somebody can still give."""

    gate: GateName = Field(description="The gate.")
    state: StateName = Field(description="The gate state that asks for it.")
    request: str | None = Field(
        description=(
            "The request that people are asked to approve, a file in the output directory; null"
            " where the gate has another source, or none."
        )
    )
    approvers: tuple[str, ...] = Field(
        description=("Who may approve, as principals; empty where anybody may, or nobody is asked.")
    )
    given: Count = Field(description="How many have approved, in a way that counts.")
    needed: Ordinal = Field(description="How many must; 1 for a gate that is not approved.")
    expires_at: Timestamp | None = Field(
        description="Until when the request can be approved; null without one."
    )
