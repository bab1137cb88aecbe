"""The files of which a stage's command consists, as records name them."""

from __future__ import annotations

from fsm_orchestrator.model.base import Count, Sha256, StrictModel
from fsm_orchestrator.model.declared import Field


class ProgramFile(StrictModel):
    """A file that an attempt ran, as it was when its process was started."""

    path: str = Field(
        description="Its absolute path, where a bare name was found; known secret values are"
        " masked."
    )
    sha256: Sha256 | None = Field(
        description="SHA-256 of its bytes, in hexadecimal; null where they could not be read, were"
        " too many, or changed in the meantime."
    )


class PinnedFile(StrictModel):
    """A file that must be identical whenever the stage is started."""

    argument: Count | None = Field(
        description="Which argument of the stage names it, from 0; null for its program."
    )
    sha256: Sha256 = Field(description="SHA-256 of its bytes, in hexadecimal.")


class Pins(StrictModel):
    """The pinned files of a stage."""

    files: tuple[PinnedFile, ...] = Field(
        description="Its program, and the files among its arguments, as they were when it was"
        " pinned."
    )
