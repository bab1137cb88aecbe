"""What every source of evidence has: its settings, what it works with, and what it answers."""

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
"""What is kept of one piece of evidence; more than that is refused."""

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
    """What a source answered.

    Attributes:
        raw: the evidence itself, to be kept byte for byte; None where there is none.
        record: what it comes to; where it is kept is not in it yet.
        output: what a command has printed last, where that is kept in no log.
    """

    raw: bytes | None
    record: EvidenceRecord
    output: str = ""


class Source(Protocol):
    """One source of one gate, ready to be asked."""

    def collect(self, subject: Subject | None, work: tuple[SubjectEntry, ...], /) -> Evidence:
        """Ask, and judge the answer. Whatever goes wrong is a problem in the record.

        `work` is what the answer has to name beside the subject: empty before there is any.

        Raises:
            AskedToEndError: the run was asked to end meanwhile.
        """


def evidence_from(
    model: SourceModel, tools: Tools, subject: Subject | None, work: tuple[SubjectEntry, ...]
) -> Evidence:
    """Ask a source. What the system refuses it refuses its gate as well.

    Raises:
        AskedToEndError: the run was asked to end meanwhile.
    """
    try:
        return model.source(tools).collect(subject, work)
    except OSError as error:
        said = f"it cannot be asked here: {files.reason(error)}"
        record = answer(nothing_from(model.kind), EvidenceProblem.ENGINE_ERROR, said)
        return Evidence(None, record)


class AskedToEndError(Exception):
    """The run was asked to end while a source was asked."""


@dataclass(frozen=True, kw_only=True)
class Tools:
    """What sources work with.

    Attributes:
        rule: the gate that is asked for.
        number: of the evidence, from 1 for each gate; it names files.
        home: the output directory, which is held; None where nothing may be written.
        mask: hides secrets in what is said.
        document: makes what a policy judges: what is known of the run, with the other gates.
        environment: variables that a command is told beside.
        desk: judges what people have said to what is asked of them; None where nobody is asked.
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
        """Return how a value stands in a text of the settings that has a template."""
        return value

    def based(self, directory: str) -> Self:
        """Return the settings with their relative paths made absolute."""
        raise NotImplementedError

    @property
    def words(self) -> str:
        """What is asked, for people: `command ./check.sh`."""
        raise NotImplementedError

    @property
    def can_name_subject(self) -> bool:
        """Whether what it answers can say what it is about."""
        return True

    @property
    def files(self) -> tuple[str, ...]:
        """The files that make its answer, as patterns; none where no file tells that it changes."""
        return ()

    @property
    def authorities(self) -> tuple[str, ...]:
        """The operator's files, or directories of them, that say who may or what is allowed."""
        return ()

    @property
    def looks_at_others(self) -> bool:
        """Whether it judges what other gates say, and is to be asked after them."""
        return False

    @property
    def wait_ms(self) -> int:
        """How long it is asked again while its answer is not there yet, in milliseconds."""
        return getattr(self, "wait", None) or 0

    @property
    def asks_again(self) -> bool:
        """Whether it is asked once more before the run closes."""
        return True

    def judged_again(self, evidence: Evidence, now: datetime, /) -> EvidenceRecord:
        """Return what an answer that is not asked for again comes to by now."""
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
    """Return a path made absolute; `..` is kept, for behind a link it means something else."""
    return os.path.join(directory, path)


def answer(
    given: EvidenceRecord, problem: EvidenceProblem | None, detail: str, **known: Any
) -> EvidenceRecord:
    """Return what a source's evidence comes to; `given` is what is known of it without `known`."""
    return given.model_copy(update={"problem": problem, "detail": detail, **known})
