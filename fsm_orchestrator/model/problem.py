"""A problem as a value, from which sentences are made where they are shown."""

from typing import Annotated

from fsm_orchestrator.model.base import Many, StrictModel
from fsm_orchestrator.model.declared import Field
from fsm_orchestrator.text.phrases import with_details


class Problem(StrictModel):
    """A cause, and what adds to it."""

    cause: str = Field(description="The cause alone.")
    details: Annotated[tuple[str, ...], Many] = Field(
        description="What adds to the cause, in order."
    )

    @property
    def sentence(self) -> str:
        """The cause and the details on one line."""
        return with_details(self.cause, self.details)
