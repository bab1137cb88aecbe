"""The common parts of all sources of evidence: their settings, tools and answers."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Final, NamedTuple, Protocol, Self

from fsm_orchestrator.constants import BYTES_MAX, MILLISECONDS_MAX
from fsm_orchestrator.disk import files
from fsm_orchestrator.disk.held import HeldDirectory
from fsm_orchestrator.model.base import StrictModel
from fsm_orchestrator.model.declared import BeforeValidator, Field, StringConstraints
from fsm_orchestrator.model.evidence import (
    EvidenceProblem,
    EvidenceRecord,
    SourceKind,
    Subject,
    SubjectEntry,
    nothing_from,
)
from fsm_orchestrator.model.gate_rules import GateRule
from fsm_orchestrator.processes.runner import ProcessRunner
from fsm_orchestrator.text.units import Measure, NotMeasuredError, measured

if TYPE_CHECKING:
    from fsm_orchestrator.gates.policy_input import PolicyInput, PolicyUsed

EVIDENCE_BYTES_MAX: Final = 16 * 1024**2
"""The most bytes of one piece of evidence; larger evidence is refused."""

Word = Annotated[str, StringConstraints(pattern=r"^[^\x00]*$")]
PathWord = Annotated[str, StringConstraints(pattern=r"^[^\x00]+$")]


def _measuring(measure: Measure) -> Callable[[Any], Any]:
    def read(value: Any) -> Any:
        if not isinstance(value, str):
            return value
        try:
            return measured(value, measure)
        except NotMeasuredError as error:
            raise ValueError(str(error)) from None

    return read


Span = Annotated[
    int,
    BeforeValidator(_measuring(Measure.MILLISECONDS), json_schema_input_type=int | str),
    Field(ge=1, le=MILLISECONDS_MAX),
]
"""A duration in milliseconds, written `90s`, `10m`, `24h`."""
Size = Annotated[
    int,
    BeforeValidator(_measuring(Measure.BYTES), json_schema_input_type=int | str),
    Field(ge=1, le=BYTES_MAX),
]
"""A number of bytes, written `64k`, `10MB`."""


class Evidence(NamedTuple):
    """The answer of a source.

    Attributes:
        raw: the evidence itself, to be kept byte for byte; None if there is none.
        record: its result, still without the place where it is kept.
        output: the last output of a command, if no log keeps it.
    """

    raw: bytes | None
    record: EvidenceRecord
    output: str = ""


class Source(Protocol):
    """A source of one gate, ready to be asked."""

    def collect(self, subject: Subject | None, work: tuple[SubjectEntry, ...], /) -> Evidence:
        """Ask, and judge the answer. Anything that goes wrong is a problem in the record.

        `work` is what the answer has to name besides the subject: empty before there is any.

        Raises:
            AskedToEndError: the run was asked to end while the source was being asked.
        """


def evidence_from(
    model: SourceModel, tools: Tools, subject: Subject | None, work: tuple[SubjectEntry, ...]
) -> Evidence:
    """Ask a source. A refusal by the operating system refuses the gate as well.

    Raises:
        AskedToEndError: the run was asked to end while the source was being asked.
    """
    try:
        return model.source(tools).collect(subject, work)
    except OSError as error:
        said = f"it cannot be asked here: {files.reason(error)}"
        record = answer(nothing_from(model.kind), EvidenceProblem.ENGINE_ERROR, said)
        return Evidence(None, record)


class AskedToEndError(Exception):
    """The run was asked to end while a source was being asked."""


@dataclass(frozen=True, kw_only=True)
class Tools:
    """The means with which sources work.

    Attributes:
        rule: the gate that asks.
        number: the number of the evidence, from 1 for each gate; it names files.
        home: the output directory, which is held; None if nothing may be written.
        mask: hides secrets in a text.
        document: builds the document that a policy judges, with the other gates.
        environment: additional variables for a command.
        desk: judges people's answers to a request; None if nobody is asked.
    """

    rule: GateRule
    number: int
    run_id: str
    output_directory: Path
    home: HeldDirectory | None
    runner: ProcessRunner
    now: datetime
    mask: Callable[[str], str]
    document: Callable[[PolicyUsed], PolicyInput]
    environment: Mapping[str, str] = field(default_factory=dict)
    desk: Callable[[Any], Evidence] | None = None

    @property
    def gate(self) -> str:
        """The name of the gate."""
        return self.rule.name


class SourceModel(StrictModel):
    """The settings of a source, as `[gate.NAME]` has them."""

    @property
    def kind(self) -> SourceKind:
        """The kind of the source."""
        raise NotImplementedError

    def source(self, tools: Tools) -> Source:
        """Return the source, ready to be asked."""
        raise NotImplementedError

    def written(self, value: str) -> str:
        """Return a value as it is written into a setting that has a template."""
        return value

    def based(self, directory: str) -> Self:
        """Return the settings with their relative paths made absolute."""
        raise NotImplementedError

    @property
    def words(self) -> str:
        """The question, for people: `command ./check.sh`."""
        raise NotImplementedError

    @property
    def can_name_subject(self) -> bool:
        """True if its answer can name a subject."""
        return True

    @property
    def files(self) -> tuple[str, ...]:
        """The patterns of the files that make its answer; none if no file shows that it changes."""
        return ()

    @property
    def authorities(self) -> tuple[str, ...]:
        """The operator's files and directories that say who may sign or what is allowed."""
        return ()

    @property
    def looks_at_others(self) -> bool:
        """True if it judges the decisions of other gates, and has to be asked after them."""
        return False

    @property
    def wait_ms(self) -> int:
        """The time for which a missing answer is asked for again, in milliseconds."""
        return getattr(self, "wait", None) or 0

    @property
    def asks_again(self) -> bool:
        """True if it is asked once more before the run closes."""
        return True

    def judged_again(self, evidence: Evidence, now: datetime, /) -> EvidenceRecord:
        """Return the current record of an answer that is not asked for again."""
        del now
        return evidence.record


class WaitingModel(SourceModel):
    """The settings of a source that may have to be asked more than once."""

    wait: Span | None = Field(
        default=None,
        description="How long to ask again while the answer is not there yet; not at all unless"
        " given.",
    )


def based_path(directory: str, path: str) -> str:
    """Return a path made absolute; `..` is kept, because after a link it means something else."""
    return os.path.join(directory, path)


def answer(
    given: EvidenceRecord, problem: EvidenceProblem | None, detail: str, **known: Any
) -> EvidenceRecord:
    """Return the record of an answer: `given`, with its result and the values in `known`."""
    return given.model_copy(update={"problem": problem, "detail": detail, **known})
