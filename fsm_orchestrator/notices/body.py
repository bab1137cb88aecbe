"""The notice: what people and their programs learn about the end of an invocation.

It has only names, numbers and words of closed sets: no output of a stage, no argument of a command,
no value of a variable.
"""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Annotated, Final, Literal, assert_never

from fsm_orchestrator.constants import PRODUCT, __version__
from fsm_orchestrator.model.base import (
    Count,
    Many,
    Ordinal,
    RunId,
    SchemaVersion,
    StateName,
    StrictModel,
    Timestamp,
)
from fsm_orchestrator.model.declared import Field, left_out
from fsm_orchestrator.model.told_ends import NoticeFormat, ToldEnd
from fsm_orchestrator.model.waiting import WaitingFor
from fsm_orchestrator.text.digest import sha256_of
from fsm_orchestrator.text.hidden import shell_line
from fsm_orchestrator.text.json_output import escaped, json_value
from fsm_orchestrator.text.phrases import listed
from fsm_orchestrator.vocabulary import StageStatus, Standing

if TYPE_CHECKING:
    from pathlib import Path

    from fsm_orchestrator.record.report import Report

STAGES_MAX: Final = 100
TEXT_CHARACTERS_MAX: Final = 3000
"""The largest number of characters that Slack shows of a text in one piece."""
_CODE_CHARACTERS_MAX: Final = 1200
"""The room for two pieces of code, and the text around them."""
_CUT: Final = "..."
_FENCE: Final = "```"
_NO_BACKTICK: Final = "\N{MODIFIER LETTER GRAVE ACCENT}"
"""A character that looks like a backtick, and begins no code."""


class ToldStage(StrictModel):
    """The invocation's work on one stage."""

    stage: StateName = Field(description="The stage.")
    attempt: Count = Field(description="Number of the attempt; 0 where none was made.")
    status: StageStatus = Field(description="How that ended.")
    exit_code: int | None = Field(description="The exit code of its process; null without one.")
    duration_ms: Count = Field(description="How long it took, in milliseconds.")


class Notice(StrictModel):
    """The notice of the end of an invocation."""

    schema_version: SchemaVersion = Field(description="Version of this format.")
    product: Literal["fsm-orchestrator"] = Field(description="The program that sends it.")
    version: str = Field(description="Version of that program.")
    id: Annotated[str, Field(pattern=r"^[0-9a-f]{32}$")] = Field(
        description="Equal for all tries to deliver the notice, so that a receiver recognizes one"
        " that it already has."
    )
    event: ToldEnd = Field(description="How the invocation ended.")
    is_test: bool = left_out(
        False, "Whether nothing has ended: somebody tests the notices. Otherwise left out."
    )
    run_id: RunId = Field(description="Identifies the run, over all its invocations.")
    invocation: Ordinal = Field(description="Number of the invocation that has ended.")
    host: str = Field(description="Name of the machine.")
    output_directory: str = Field(description="Absolute path of the run's directory there.")
    lifecycle: StateName | None = Field(description="Name of the lifecycle; null if unknown.")
    current_state: StateName | None = Field(description="The state that the run is in.")
    closure_ready: bool = Field(description="Whether the run may be closed.")
    exit_code: int | None = Field(description="What the command exits with.")
    blocked_reason_codes: Annotated[tuple[str, ...], Many] = Field(
        description="Reason codes of the gates that refused; empty unless it is blocked."
    )
    waiting_for: Annotated[tuple[WaitingFor, ...], Many] = Field(
        description="The gates that somebody can still give; empty unless it is blocked."
    )
    stages: Annotated[tuple[ToldStage, ...], Many] = Field(
        description="What the invocation did about stages; of many the last hundred."
    )
    started_at: Timestamp = Field(description="When the invocation began, in UTC.")
    finished_at: Timestamp | None = Field(description="When it ended, in UTC.")
    look: tuple[str, ...] = Field(
        description="The command that explains it, word by word, to be typed on that machine."
    )


def notice_of(report: Report, end: ToldEnd, directory: Path) -> Notice:
    """Return the notice for the invocation of a report."""
    number = report.latest_number
    identity = f"{report.run_id} {number} {end.value} {directory}"
    return Notice(
        schema_version=1,
        product=PRODUCT,
        version=__version__,
        id=sha256_of(identity.encode())[:32],
        event=end,
        run_id=report.run_id,
        invocation=number,
        host=os.uname().nodename,
        output_directory=str(directory),
        lifecycle=None if report.lifecycle is None else report.lifecycle.name,
        current_state=report.current_state,
        closure_ready=report.closure_ready,
        exit_code=report.exit_code,
        blocked_reason_codes=report.blocked_reason_codes,
        waiting_for=report.waiting_for,
        stages=tuple(
            ToldStage(
                stage=one.stage,
                attempt=one.attempt,
                status=one.status,
                exit_code=one.exit_code,
                duration_ms=one.duration_ms,
            )
            for one in report.stage_executions[-STAGES_MAX:]
            if one.attempt > 0
        ),
        started_at=report.started_at,
        finished_at=report.finished_at,
        look=(PRODUCT, "explain", str(directory)),
    )


def bytes_of(notice: Notice, form: NoticeFormat) -> bytes:
    """Return the body to send."""
    match form:
        case NoticeFormat.JSON:
            return escaped(notice.model_dump_json()).encode() + b"\n"
        case NoticeFormat.SLACK:
            return escaped(json_value({"text": _slack_text(notice)})).encode() + b"\n"
        case _:
            assert_never(form)


def _slack_text(notice: Notice) -> str:
    """Return a message in Slack's markup: the end in bold, why, where, and what to type."""
    test = "test: " if notice.is_test else ""
    head = f"{test}*{Standing(notice.event.value).words}*: run {notice.run_id}"
    where = f"in {_code(notice.output_directory)} on {_plain(notice.host)}"
    look = f"\n{_code(shell_line(notice.look))}"
    lines = "\n".join([f"{head} {where}", *map(_plain, _reasons(notice))])
    return lines[: TEXT_CHARACTERS_MAX - len(look)] + look


def _reasons(notice: Notice) -> list[str]:
    """Return why it ended so, a line for each kind of reason."""
    lines = []
    if notice.blocked_reason_codes:
        lines.append(", ".join(notice.blocked_reason_codes))
    for one in notice.waiting_for:
        who = f" by {listed(one.approvers)}" if one.approvers else ""
        lines.append(f"waiting for {one.gate}: {one.given} of {one.needed} given{who}")
    for stage in notice.stages:
        if not stage.status.is_good:
            code = "" if stage.exit_code is None else f", exit code {stage.exit_code}"
            lines.append(f"{stage.stage}, attempt {stage.attempt}: {stage.status.value}{code}")
    return lines


def _code(text: str) -> str:
    """Return text that Slack shows unchanged, to be copied: it has no escape for a backtick.

    Cut before it is fenced, so that no fence is left open.
    """
    shown = _edgeless(_cut(text).replace(_FENCE, _NO_BACKTICK * 3))
    fence = _FENCE if "`" in shown else "`"
    return f"{fence}{_linkless(shown)}{fence}"


def _cut(text: str) -> str:
    """Return text that is short enough once escaped."""
    if len(_linkless(text)) <= _CODE_CHARACTERS_MAX:
        return text
    text = text[:_CODE_CHARACTERS_MAX]
    while len(_linkless(text)) > _CODE_CHARACTERS_MAX - len(_CUT):
        text = text[:-1]
    return text + _CUT


def _edgeless(text: str) -> str:
    """Return text that neither begins nor ends with what would lengthen the fence next to it."""
    inner = text.strip("`")
    start = text.index(inner)
    end = len(text) - start - len(inner)
    return _NO_BACKTICK * start + inner + _NO_BACKTICK * end


def _plain(text: str) -> str:
    """Return text in which Slack finds no markup for code, links and mentions."""
    return _linkless(text.replace("`", _NO_BACKTICK))


def _linkless(text: str) -> str:
    return text.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")
