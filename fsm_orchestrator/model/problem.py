"""A problem as a value, from which sentences are made where they are shown."""

from typing import Annotated, Any

from fsm_orchestrator.model.base import Many, StrictModel
from fsm_orchestrator.model.declared import Field
from fsm_orchestrator.text.phrases import with_details


class Problem(StrictModel):
    """A cause and its details."""

    cause: str = Field(description="The cause alone.")
    details: Annotated[tuple[str, ...], Many] = Field(
        description="What adds to the cause, in order."
    )

    @property
    def sentence(self) -> str:
        """The cause and the details on one line."""
        return with_details(self.cause, self.details)


def gone_wrong(problem: Problem | None) -> dict[str, Any]:
    """Return the fields of a stage execution that say what went wrong."""
    return {"error": None if problem is None else problem.sentence, "problem": problem}
