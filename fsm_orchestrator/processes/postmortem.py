"""The black box of a stage that is about to be ended at a timeout: its format and its summary.

Looks at no process and writes nothing.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from fsm_orchestrator.model.base import (
    Ordinal,
    RunId,
    SchemaVersion,
    StateName,
    StrictModel,
    Timestamp,
)
from fsm_orchestrator.model.declared import Field
from fsm_orchestrator.processes.snapshots import ZOMBIE, ProcessSnapshot
from fsm_orchestrator.text.phrases import counted
from fsm_orchestrator.text.units import span_words

SUMMARY_CHARACTERS_MAX: Final = 300

_SHELLS: Final = {"sh", "ash", "bash", "busybox", "csh", "dash", "fish", "ksh", "tcsh", "zsh"}
_CHILD_WAIT: Final = "do_wait"
_ODD_STATES: Final = {"disk_sleep", "stopped", "tracing_stop"}
_NAME_MAX, _CHANNEL_MAX, _ADDRESS_MAX, _LINE_MAX = 32, 40, 60, 90  # characters in a summary


class Postmortem(StrictModel):
    """The state of a stage that is about to be ended, before the first signal."""

    schema_version: SchemaVersion = Field(description="Version of this format.")
    run_id: RunId = Field(description="Name of the run.")
    stage: StateName = Field(description="Name of the stage.")
    attempt: Ordinal = Field(
        description="Number of the attempt, from 1 over all invocations of the run."
    )
    at: Timestamp = Field(description="When it was recorded, in UTC.")
    why: str = Field(description="Why the attempt was ended, for people.")
    is_complete: bool = Field(
        description=(
            "Whether everything about the processes could be read: in time, within the limits and"
            " with the available rights."
        )
    )
    processes: tuple[ProcessSnapshot, ...] = Field(
        description="The attempt's processes, its first process first; those gone are left out."
    )
    silent_seconds: float | None = Field(
        description="How long nothing had been printed, in seconds; null when not known."
    )
    stdout_tail: str = Field(
        description="The last lines written to stdout; known secret values are masked."
    )
    stderr_tail: str = Field(
        description="The last lines written to stderr; known secret values are masked."
    )


def summary(postmortem: Postmortem) -> str:
    """Describe the leader and what else is of interest, in one line of at most 300 characters."""
    head = counted(len(postmortem.processes), "process")
    if not postmortem.is_complete:
        head += ", not everything could be read"
    last = []
    if postmortem.silent_seconds is not None:
        last.append(f"silent for {span_words(round(postmortem.silent_seconds * 1000))}")
    if line := _last_line(postmortem.stderr_tail) or _last_line(postmortem.stdout_tail):
        last.append(f"last line: '{_shown(line, _LINE_MAX)}'")
    phrases_kept: list[str] = []
    for process in _most_telling_first(postmortem.processes):
        for phrase in (_phrase(process) + _details(process), _phrase(process)):
            if len("; ".join([head, *phrases_kept, phrase, *last])) <= SUMMARY_CHARACTERS_MAX:
                phrases_kept.append(phrase)
                break
    return "; ".join([head, *phrases_kept, *last])


def _most_telling_first(processes: Sequence[ProcessSnapshot]) -> list[ProcessSnapshot]:
    """Sort the leader first, and shells, zombies and processes that wait for a child last."""

    def dullness(process: ProcessSnapshot) -> tuple[bool, ...]:
        return (
            process.wait_channel == _CHILD_WAIT,
            process.state == ZOMBIE,
            process.name in _SHELLS,
            process.state not in _ODD_STATES,
        )

    return [*processes[:1], *sorted(processes[1:], key=dullness)]


def _phrase(process: ProcessSnapshot) -> str:
    name = _shown(process.name, _NAME_MAX) or "a process"
    channel = process.wait_channel
    where = f" in {_shown(channel, _CHANNEL_MAX)}" if channel else ""
    return f"{name} (pid {process.pid}) {process.state.replace('_', ' ')}{where}"


def _details(process: ProcessSnapshot) -> str:
    """Describe what it works with; empty if it only waits for a child."""
    if process.wait_channel == _CHILD_WAIT:
        return ""
    details = ""
    if process.state == "running" and process.user_seconds is not None:
        used_seconds = process.user_seconds + (process.system_seconds or 0)
        details += f", {span_words(round(used_seconds * 1000))} of processor time"
    if process.open_files:
        details += f", {counted(len(process.open_files), 'open file')}"
    if process.sockets:
        one = min(process.sockets, key=lambda each: (not each.remote, not each.local))
        words = (one.kind, _shown(one.remote or one.local, _ADDRESS_MAX), one.state)
        more = f", {len(process.sockets) - 1} more" if len(process.sockets) > 1 else ""
        details += f", {counted(len(process.sockets), 'socket')}"
        details += f" ({' '.join(word for word in words if word)}{more})"
    return details


def _shown(text: str, length_max: int) -> str:
    """Make `text` fit on one line, without anything that a terminal would act on."""
    plain = "".join(letter if letter.isprintable() else "?" for letter in text)
    return plain if len(plain) <= length_max else plain[: length_max - 3] + "..."


def _last_line(tail: str) -> str:
    return next((line.strip() for line in reversed(tail.splitlines()) if line.strip()), "")
