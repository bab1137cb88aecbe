"""A command that answers for a gate: run like a stage, and never left running."""

from __future__ import annotations

import json
import os
import shlex
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import Annotated, Final, Self

from fsm_orchestrator.constants import DEFAULT_KILL_GRACE_MS, DEFAULT_TIMEOUT_MS, TRACE_VARIABLES
from fsm_orchestrator.disk.where import place_variables
from fsm_orchestrator.gates.sources.base import (
    EVIDENCE_BYTES_MAX,
    Evidence,
    Size,
    Span,
    Tools,
    Word,
    answer,
)
from fsm_orchestrator.gates.sources.running import ToRun, problem_with, run_for_gate
from fsm_orchestrator.gates.sources.statement import (
    About,
    StatementTerms,
    judged_again,
    judged_if_signed,
)
from fsm_orchestrator.gates.subject import variables
from fsm_orchestrator.model.declared import Field, model_validator
from fsm_orchestrator.model.endings import Exited, ProcessEnd
from fsm_orchestrator.model.evidence import (
    EvidenceRecord,
    SourceKind,
    Subject,
    SubjectEntry,
    nothing_from,
)
from fsm_orchestrator.model.limits import Limits

_OURS: Final = "ORCHESTRATOR_"
OUTPUT_BYTES: Final = EVIDENCE_BYTES_MAX


class Reads(StrEnum):
    """The part of a command that counts."""

    EXIT_CODE = "exit_code"
    STATEMENT = "statement"


class CommandSource(StatementTerms):
    """`command = ["./check.sh"]`: a program of the operator's, run for the answer that it gives."""

    command: Annotated[tuple[Word, ...], Field(min_length=1)] = Field(
        description="The program and its arguments; no shell. A relative path, and its working"
        " directory, are relative to the file."
    )
    reads: Reads = Field(
        default=Reads.EXIT_CODE,
        description="What counts: its exit code, where 0 passes, or the statement on its stdout.",
    )
    recheck: bool = Field(
        default=False, description="Whether it is run once more before the run closes."
    )
    timeout: Span = Field(default=DEFAULT_TIMEOUT_MS, description="How long it may run.")
    output_limit: Size = Field(
        default=OUTPUT_BYTES, description="How much it may print to stdout and stderr together."
    )
    directory: Word | None = Field(
        default=None, description="The directory it runs in; the file's own unless given."
    )

    @model_validator(mode="after")
    def _terms_are_read(self) -> Self:
        if self.reads is Reads.EXIT_CODE and (
            self.signed_by or self.properties or self.accept_warned or self.max_age or self.wait
        ):
            raise ValueError('speaks of a statement, which needs reads = "statement"')
        if self.signed_by is not None and not self.signed_by.dsse_keys:
            raise ValueError("is of a command, whose output can be signed by DSSE only")
        return self

    def source(self, tools: Tools) -> _Command:
        """Return the command, ready to be run."""
        return _Command(self, tools)

    def based(self, directory: str) -> Self:
        """Return the settings with absolute paths; a bare name is looked up on PATH."""
        program, *arguments = self.command
        if os.sep in program:
            program = os.path.join(directory, program.removeprefix(f"{os.curdir}{os.sep}"))
        place = os.path.join(directory, self.directory or "")
        return self.model_copy(
            update={
                "command": (program, *arguments),
                "directory": os.path.normpath(place),
                "signed_by": None if self.signed_by is None else self.signed_by.based(directory),
            }
        )

    @property
    def authorities(self) -> tuple[str, ...]:
        """The files that say who may sign its answer."""
        return () if self.signed_by is None else self.signed_by.files

    @property
    def kind(self) -> SourceKind:
        """The kind of the source."""
        return SourceKind.COMMAND

    @property
    def words(self) -> str:
        """The command line."""
        return f"command {shlex.join(self.command)}"

    @property
    def asks_again(self) -> bool:
        """True if it runs again before the run closes, as `recheck` asks for."""
        return self.recheck

    def judged_again(self, evidence: Evidence, now: datetime, /) -> EvidenceRecord:
        """Return the current record of the statement that it printed."""
        record = evidence.record
        if self.reads is Reads.EXIT_CODE or record.problem is not None or evidence.raw is None:
            return record
        return judged_again(evidence.raw, self, record, now)


@dataclass(frozen=True)
class _Command:
    """One run of the command."""

    given: CommandSource
    tools: Tools

    def collect(self, subject: Subject | None, work: tuple[SubjectEntry, ...]) -> Evidence:
        """Run the command; its exit code counts, or the statement that it printed."""
        given = self.given
        limits = Limits(
            timeout_ms=given.timeout,
            kill_grace_ms=DEFAULT_KILL_GRACE_MS,
            output_limit_bytes=given.output_limit,
        )
        program, *arguments = given.command
        ran = run_for_gate(
            self.tools,
            ToRun(program, tuple(arguments), given.directory or os.curdir),
            self._environment(subject, work),
            limits,
        )
        record = nothing_from(SourceKind.COMMAND).model_copy(update={"log": ran.telling_log})
        problem, detail = problem_with(ran)
        if problem is not None or given.reads is Reads.EXIT_CODE:
            bound = () if subject is None else (*subject.entries, *work)
            raw = self._document(ran.end, detail)
            return Evidence(
                raw, answer(record, problem, detail, subject=bound), ran.said + ran.complained
            )
        about = About(self.tools.rule, subject, work, self.tools.now)
        return Evidence(ran.printed, judged_if_signed(ran.printed, None, given, about, record))

    def _document(self, end: ProcessEnd, detail: str) -> bytes:
        """Return the evidence for a command whose output does not count."""
        mask = self.tools.mask
        said = {
            "command": [mask(word) for word in self.given.command],
            "exit_code": end.code if isinstance(end, Exited) else None,
            "detail": mask(detail),
        }
        return (json.dumps(said, indent=2) + "\n").encode()

    def _environment(
        self, subject: Subject | None, work: tuple[SubjectEntry, ...]
    ) -> dict[str, str]:
        tools, directory = self.tools, self.given.directory or os.curdir
        inherited = {key: one for key, one in os.environ.items() if not key.startswith(_OURS)}
        if tools.environment:  # the trace of the run; inherited variables belong to another span
            inherited = {k: one for k, one in inherited.items() if k not in TRACE_VARIABLES}
        return {
            **inherited,
            **tools.environment,
            "PWD": directory,
            "ORCHESTRATOR_RUN_ID": tools.run_id,
            **place_variables(tools.output_directory),
            "ORCHESTRATOR_GATE": tools.rule.name,
            **variables(subject, work),
        }
