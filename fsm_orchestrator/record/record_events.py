"""The log lines that exist for the record: from them a lost checkpoint is rebuilt."""

from __future__ import annotations

from typing import Literal

from pydantic import JsonValue

from fsm_orchestrator.model.base import Count, Sha256
from fsm_orchestrator.model.declared import Field
from fsm_orchestrator.model.invocation import InvocationRecord
from fsm_orchestrator.model.open_attempt import AttemptRecord
from fsm_orchestrator.record.chain import GapCause
from fsm_orchestrator.record.earlier import SideMark
from fsm_orchestrator.record.event_fields import RunEvent, StageEvent
from fsm_orchestrator.vocabulary import Containment, EventName


class RecordBegun(RunEvent):
    """The record of an invocation as it begins, with what changed since the one before it."""

    event: Literal[EventName.RECORD_BEGUN] = Field(description="Name of the event.")
    level: Literal["debug"] = Field(description="The level.")
    invocation: InvocationRecord = Field(description="The invocation, less its warnings.")
    settings: dict[str, JsonValue] = Field(
        description="The settings that differ in the checkpoint from then on, by its keys."
    )


class RecordKept(RunEvent):
    """The whole record of the run at this point: a resume can continue from the log alone."""

    event: Literal[EventName.RECORD_KEPT] = Field(description="Name of the event.")
    level: Literal["debug"] = Field(description="The level.")
    record: dict[str, JsonValue] = Field(
        description="The record, as orchestrator_checkpoint.json would have it."
    )


class ReportUnplaced(RunEvent):
    """The last report of a run that has lost its output directory, for readers of the log."""

    event: Literal[EventName.REPORT_UNPLACED] = Field(description="Name of the event.")
    level: Literal["error"] = Field(description="The level.")
    directory: str = Field(description="Path of the directory that was lost.")
    is_written: bool = Field(
        description="Whether the name was free, so that the report is in a new directory there."
    )
    report: dict[str, JsonValue] = Field(
        description="The report, as orchestrator_run_report.json would have it."
    )


class AttemptBegun(StageEvent):
    """An attempt of a stage is durable, with the transition before it where there is one."""

    event: Literal[EventName.ATTEMPT_BEGUN] = Field(description="Name of the event.")
    level: Literal["debug"] = Field(description="The level.")
    record: AttemptRecord = Field(description="The attempt, as the checkpoint has it.")
    containment: Containment = Field(
        description="How far the ending of processes reaches, as the record has it from then on."
    )


class InvocationsMoved(RunEvent):
    """The oldest invocations of a long record are durable in a separate file."""

    event: Literal[EventName.INVOCATIONS_MOVED] = Field(description="Name of the event.")
    level: Literal["debug"] = Field(description="The level.")
    file: SideMark = Field(description="The end of that file, as the checkpoint has it.")


class ChainGap(RunEvent):
    """The chain does not continue from the line that was written last, and why."""

    event: Literal[EventName.CHAIN_GAP] = Field(description="Name of the event.")
    level: Literal["warning"] = Field(description="The level.")
    cause: GapCause = Field(
        description=(
            "What came between: a kill in the middle of a line (torn), the machine that went down"
            " before lines were on disk (power_cut), lines that were lost (lost), or a record that"
            " somebody has accepted (accepted)."
        )
    )
    last_seq: Count = Field(description="Number of the event that had been written last.")
    last_sha256: Sha256 | None = Field(
        default=None, description="SHA-256 of its line; left out where that is not known."
    )
    cut_bytes: Count = Field(description="How much of a torn line was cut off, in bytes.")
    checkpoint_sha256: Sha256 | None = Field(
        default=None,
        description=(
            "SHA-256 of the checkpoint from which the run continues; left out where there is none."
        ),
    )
