"""The ends of what stages printed, masked, or why they are not quoted.

A page is shown to others, so it quotes a log only where every value that must not be shown is
still known: after a run is done its private values are gone, and those of an earlier invocation
may have been replaced. Then what the report quotes is shown, for that was masked when it was
written.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from fsm_orchestrator.disk import files
from fsm_orchestrator.inspection.inspected_run import InspectedRun
from fsm_orchestrator.rendering.html.elements import Child, Markup, element
from fsm_orchestrator.secrets.masking import Masker
from fsm_orchestrator.secrets.of_run import NONE_KNOWN, KnownSecrets, secrets_in
from fsm_orchestrator.stages.output_files import StageLog, logs_of
from fsm_orchestrator.vocabulary import LOGS_DIRECTORY

TAIL_BYTES: Final = 4_096
TAIL_LINES: Final = 20


@dataclass(frozen=True, slots=True)
class Tail:
    """The end of a log: its last lines, and how large the whole is."""

    text: str
    is_cut: bool
    size_bytes: int


class Outputs:
    """What the stages of one run printed."""

    def __init__(self, view: InspectedRun) -> None:
        self._logs: Mapping[tuple[str, int, bool], StageLog] = {
            (log.stage, log.attempt, log.is_stderr): log for log in logs_of(view.directory)
        }
        secrets = NONE_KNOWN
        if view.saved is not None:
            is_expected = view.saved.checkpoint.private_ref is not None
            secrets = secrets_in(view.saved.private, is_expected=is_expected)
        self._masker = secrets.masker
        self._has_values = _has_values(view)
        self._are_values_known = _are_values_known(view, secrets)
        self._latest = len(view.invocations)

    def of(self, stage: str, attempt: int, invocation: int, kept_stderr: str) -> list[Markup]:
        """Both streams of an attempt, stderr first; `kept_stderr` is what the report quotes."""
        found: list[Markup] = []
        for is_stderr in (True, False):
            log = self._logs.get((stage, attempt, is_stderr))
            kept = kept_stderr if is_stderr else ""
            part = self._part(log, kept, stage, is_stderr=is_stderr, invocation=invocation)
            if part is not None:
                found.append(part)
        return found

    def _part(
        self, log: StageLog | None, kept: str, stage: str, *, is_stderr: bool, invocation: int
    ) -> Markup | None:
        name = "stderr" if is_stderr else "stdout"
        may_quote = not self._has_values or (self._are_values_known and invocation == self._latest)
        if log is not None and may_quote:
            tail = tail_of(log, self._masker)
            if tail is not None and tail.size_bytes:
                shown = f"The end of {name}" if tail.is_cut else f"All of {name}"
                return _quoted(
                    f"{shown}, {tail.size_bytes:,} bytes in", log, tail.text, name, stage
                )
        if kept:
            said = f"The last lines of {name}, as the report quotes them"
            return _quoted(said, log, kept, name, stage)
        if log is None or may_quote or not _size_bytes(log):
            return None
        why = (
            f"{name} is not quoted: environment values that it may hold are not known any more, so"
            " that they could not be masked. It is in "
        )
        return element("p", why, _path(log), class_="note")


def tail_of(log: StageLog, masker: Masker) -> Tail | None:
    """The end of a log, masked before it is cut; None where it cannot be read.

    More is read than is shown: of a value that began before what is read, nothing is left in what
    is shown.
    """
    try:
        descriptor = files.open_regular(log.path)
    except OSError:
        return None
    try:
        size_bytes = os.fstat(descriptor).st_size
        begin = max(0, size_bytes - TAIL_BYTES - masker.longest_bytes)
        data = os.pread(descriptor, size_bytes - begin, begin)
    except OSError:
        return None
    finally:
        os.close(descriptor)
    is_longer = size_bytes > TAIL_BYTES
    text = _text(data)
    spare = _text(data[:-TAIL_BYTES]) if is_longer else ""
    lines = masker.masked_tail(text, len(text) - len(spare)).removesuffix("\n").split("\n")
    is_one_line = len(lines) == 1
    whole = lines[1:] if is_longer and not is_one_line else lines  # else the first may be a piece
    shown = "\n".join(line.removesuffix("\r") for line in whole[-TAIL_LINES:])
    if is_longer and is_one_line:
        shown = f"\u2026{shown}"
    return Tail(shown, is_cut=is_longer or len(lines) > TAIL_LINES, size_bytes=size_bytes)


def _quoted(said: str, log: StageLog | None, text: str, name: str, stage: str) -> Markup:
    where: Child = None if log is None else [" ", _path(log)]
    return element(
        "figure",
        element("figcaption", said, where),
        element(
            "pre", text, class_="output", tabindex=0, role="region", aria_label=f"{name} of {stage}"
        ),
        class_="quote",
    )


def _path(log: StageLog) -> Markup:
    return element("code", f"{LOGS_DIRECTORY}/{log.path.name}")


def _text(data: bytes) -> str:
    return data.decode(errors="backslashreplace")


def _size_bytes(log: StageLog) -> int:
    try:
        return log.path.stat().st_size
    except OSError:
        return 0


def _has_values(view: InspectedRun) -> bool:
    """Whether any stage was, or may have been, given environment values in any invocation."""
    if view.checkpoint is None:
        return True
    ran = any(one.env_keys for visit in view.invocations for one in visit.stage_executions)
    return ran or any(one.env_digests for one in view.checkpoint.stages.values())


def _are_values_known(view: InspectedRun, secrets: KnownSecrets) -> bool:
    """Whether every environment value that a stage has now is kept still."""
    return view.checkpoint is not None and all(
        secrets.keys.get(stage, frozenset()).issuperset(record.env_digests)
        for stage, record in view.checkpoint.stages.items()
    )
