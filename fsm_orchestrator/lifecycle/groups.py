"""The keys of a group: a state that runs several stages at once."""

from typing import Annotated

from fsm_orchestrator.constants import GROUP_STAGES_MAX
from fsm_orchestrator.model.base import StateName, StrictModel
from fsm_orchestrator.model.declared import Field


class GroupFields(StrictModel):
    """The keys of a group: stages that run side by side."""

    stages: (
        Annotated[tuple[StateName, ...], Field(min_length=2, max_length=GROUP_STAGES_MAX)] | None
    ) = Field(
        default=None,
        description=(
            "The stages that run at once, only for a group and required there: each a state of"
            " kind stage that no edge enters or leaves. All must succeed."
        ),
    )
    fail_fast: bool = Field(
        default=True,
        description=(
            "Whether the first stage that fails has the others ended, only for a group; by default"
            " it does."
        ),
    )
