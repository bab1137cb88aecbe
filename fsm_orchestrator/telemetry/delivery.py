"""The delivery of a run: which of its invocations are sent, and the results."""

from __future__ import annotations

import os
import signal
from typing import Final, NamedTuple

from fsm_orchestrator.constants import SCHEMA_VERSION
from fsm_orchestrator.disk.lock import holder_of
from fsm_orchestrator.inspection.inspected_run import InspectedRun
from fsm_orchestrator.preparation.tracing import NOT_INSTALLED, is_installed
from fsm_orchestrator.telemetry.invocation_spans import spans_of
from fsm_orchestrator.telemetry.lines import lines_of
from fsm_orchestrator.telemetry.measures import measures_of
from fsm_orchestrator.telemetry.note import Note, Noted, alone, now, read_notes, write_note
from fsm_orchestrator.telemetry.parcel import Parcel, Sent
from fsm_orchestrator.telemetry.reading import Told, invocations_in

PROTOCOL_VARIABLE: Final = "OTEL_EXPORTER_OTLP_PROTOCOL"
PROTOCOL: Final = "http/protobuf"
SECONDS_MAX: Final = 15.0
"""The seconds that sending one invocation may take; after them it counts as not taken."""


class Delivered(NamedTuple):
    """The result of a delivery.

    Attributes:
        notes: the result for each invocation that was sent, in order.
        taken_before: the numbers of the invocations that were taken before, and were not sent
            again.
        is_at_work: True if an invocation is at work, which is not sent before it has ended.
        has_no_times: True if there are invocations whose clock stood still, which are never sent.
    """

    notes: tuple[Note, ...]
    taken_before: tuple[int, ...]
    is_at_work: bool
    has_no_times: bool

    @property
    def problem(self) -> str | None:
        """The reason why something was not taken; None if all was."""
        return next((one.problem for one in self.notes if one.problem is not None), None)


class Due(NamedTuple):
    """The invocations to send, besides those that were to be sent and were not taken.

    Attributes:
        is_all: True if those that were taken are sent again.
        is_by_hand: True if a person asks: then all that were not taken are sent. Otherwise the last
            one is, and those before it that were killed, which nobody could send.
    """

    is_all: bool = False
    is_by_hand: bool = True

    def holds(self, told: Told, noted: Noted) -> bool:
        """Return whether an invocation is due."""
        if self.is_all or self.is_by_hand:
            return self.is_all or not noted.is_taken(told.number)
        is_owed = told.is_last or told.ended is None or told.number in noted.by_number
        return is_owed and not noted.is_taken(told.number)


def deliver(view: InspectedRun, due: Due, problem: str | None = None) -> Delivered:
    """Send the due invocations of a run, and note the results beside its logs.

    If something was not taken, now or before (`problem`), nothing more is tried.

    Raises:
        OSError: its events cannot be read.
    """
    with alone(view.directory, SECONDS_MAX):
        return _deliver(view, due, problem)


def _deliver(view: InspectedRun, due: Due, problem: str | None) -> Delivered:
    directory = view.directory
    noted = read_notes(directory, view.report.run_id)
    notes: list[Note] = []
    taken_before: list[int] = []
    is_at_work = has_no_times = False
    before: Told | None = None
    for told in invocations_in(directory, lambda one: due.holds(one, noted)):
        if not _is_over(told, view, due):
            is_at_work = True
        elif not told.has_times:
            has_no_times = True
        elif due.holds(told, noted):
            part = Sent(None) if due.is_all else noted.part_of(told.number)
            sent = _sent(told, before, view, part) if problem is None else Sent(problem)
            problem = sent.problem
            notes.append(_note_of(told, sent.with_part(part)))
            write_note(directory, notes[-1])
        elif noted.is_taken(told.number):
            taken_before.append(told.number)
        told.lines = []
        before = told
    return Delivered(tuple(notes), tuple(taken_before), is_at_work, has_no_times)


def _is_over(told: Told, view: InspectedRun, due: Due) -> bool:
    """Return whether an invocation has no more events to come.

    For the last one, without an end, this is checked after its events have been read: a process
    that writes them holds the directory from before then.
    """
    if told.ended is not None or not told.is_last:
        return True
    return due.is_by_hand and (view.is_archived or holder_of(view.directory) is None)


def _note_of(told: Told, sent: Sent) -> Note:
    return Note(
        schema_version=SCHEMA_VERSION,
        at=now(),
        run_id=told.started.run_id,
        invocation=told.number,
        trace_id=told.trace.trace_id,
        problem=sent.problem,
        spans=sent.spans,
        metrics=sent.measures,
        logs=sent.lines,
    )


def _sent(told: Told, before: Told | None, view: InspectedRun, part: Sent) -> Sent:
    """Send an invocation within the time limit, less the `part` that was taken before."""
    why_not = cannot_send()
    if why_not is not None:
        return Sent(why_not)
    from fsm_orchestrator.telemetry.otlp import send  # noqa: PLC0415 - loads the SDK

    lifecycle = None if view.checkpoint is None else view.checkpoint.lifecycle
    budget = view.report.budget if told.is_last else None
    parcel = Parcel(
        version=told.started.version,
        began=told.began,
        over=told.over,
        instance=f"{told.started.run_id}.{told.number}",
        spans=() if part.spans else spans_of(told, before, lifecycle),
        measures=() if part.measures else measures_of(told, budget),
        lines=lines_of(told),
    )
    handler = signal.signal(signal.SIGALRM, _give_up)
    signal.setitimer(signal.ITIMER_REAL, SECONDS_MAX)
    try:
        return send(parcel)
    except _TimeIsUp:
        return Sent(f"the collector had not taken it after {SECONDS_MAX:.0f} seconds")
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, handler)


def cannot_send() -> str | None:
    """Return why nothing can be sent from here, or None if it can."""
    if not is_installed():
        return NOT_INSTALLED
    protocol = os.environ.get(PROTOCOL_VARIABLE, "").strip() or PROTOCOL
    if protocol != PROTOCOL:
        return (
            f"{PROTOCOL_VARIABLE} asks for another protocol than {PROTOCOL}, the only one that is"
            " supported: unset it, and name the collector's port for HTTP (4318)"
        )
    return None


class _TimeIsUp(BaseException):
    """The end of the time: no code between here and the collector takes it for its own error."""


def _give_up(*_: object) -> None:
    raise _TimeIsUp
