"""The record of a verification: a command that this program ran to check the work of a stage."""

from typing import TYPE_CHECKING

from fsm_orchestrator.model.base import Count, StrictModel, Timestamp
from fsm_orchestrator.model.declared import Field, left_out
from fsm_orchestrator.model.endings import SpawnFailure
from fsm_orchestrator.model.lazily import lazily
from fsm_orchestrator.model.problem import Problem
from fsm_orchestrator.vocabulary import Ending

if TYPE_CHECKING:
    from fsm_orchestrator.model.confinement import Confinement
else:
    Confinement = lazily("fsm_orchestrator.model.confinement", "Confinement")


class Verification(StrictModel):
    """One verification of the work of an attempt."""

    command: str = Field(
        description="The program that was run, an absolute path or a name looked up on PATH."
    )
    args: tuple[str, ...] = Field(
        description="Its arguments in order; known secret values are masked."
    )
    ending: Ending | None = Field(
        description="What kind of ending it had; null when nobody saw its end."
    )
    problem: Problem | None = Field(
        description="What went wrong, cause and details apart; null when nothing did."
    )
    start_problem: SpawnFailure | None = Field(
        description="What kept it from being started; null when nothing is known to."
    )
    started_at: Timestamp = Field(description="When it began, in UTC.")
    duration_ms: Count = Field(
        description="How long it took, in milliseconds; 0 when it was not measured."
    )
    exit_code: int | None = Field(
        description="Its exit code, 0 to 255; null when it did not exit on its own."
    )
    signal: str | None = Field(
        description=(
            "Name of the signal that ended it, such as SIGSEGV; null when there was none, or this"
            " program sent it."
        )
    )
    stdout_log: str = Field(
        description="File with what it wrote to stdout, relative to the output directory."
    )
    stderr_log: str = Field(
        description="File with what it wrote to stderr, relative to the output directory."
    )
    stdout_tail: str = Field(
        description="The last lines it wrote to stdout; known secret values are masked."
    )
    stderr_tail: str = Field(
        description="The last lines it wrote to stderr; known secret values are masked."
    )
    leaked_count: Count = Field(
        description="How many processes it left running; they were ended, and it failed for that."
    )
    confinement: Confinement | None = left_out(
        None, "What it was confined to; left out where it was confined to nothing."
    )

    @property
    def words(self) -> tuple[str, ...]:
        """The command as words, safe to show."""
        return (self.command, *self.args)

    @property
    def is_good(self) -> bool:
        """True if it verified the work: it exited with 0 and left nothing running."""
        return (
            self.ending is Ending.EXITED
            and self.exit_code == 0
            and self.problem is None
            and not self.leaked_count
        )


def without_end(
    words: tuple[str, ...],
    ending: Ending | None,
    problem: Problem,
    logs: tuple[str, str],
    *,
    at: str,
) -> Verification:
    """Return the record of a verification whose end was not seen, or that was not started."""
    return Verification(
        command=words[0],
        args=words[1:],
        ending=ending,
        problem=problem,
        start_problem=None,
        started_at=at,
        duration_ms=0,
        exit_code=None,
        signal=None,
        stdout_log=logs[0],
        stderr_log=logs[1],
        stdout_tail="",
        stderr_tail="",
        leaked_count=0,
    )
