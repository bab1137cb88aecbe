"""`logs`: prints what the stages print, each line after its stage's name; live with `--follow`."""

from __future__ import annotations

import time
from collections.abc import Iterable, Mapping
from datetime import datetime
from pathlib import Path
from typing import Any, Final

from fsm_orchestrator.cli import console
from fsm_orchestrator.cli.style import Tone, paint
from fsm_orchestrator.constants import LOGS_DIRECTORY, REPORT_FILE
from fsm_orchestrator.disk.where import record_of, run_of
from fsm_orchestrator.errors import ReportError, UsageError
from fsm_orchestrator.inspection.holder import holder_now
from fsm_orchestrator.inspection.inspected_run import inspect_run
from fsm_orchestrator.inspection.logs import (
    in_order_of_work,
    last_lines,
    name_of,
    printed_since,
    secrets_to_mask,
)
from fsm_orchestrator.inspection.run_directories import output_directory_of, run_directory
from fsm_orchestrator.stages.output_files import StageLog, logs_of, verification_logs_of
from fsm_orchestrator.stages.output_lines import LogReader, Piece
from fsm_orchestrator.text.phrases import suggestion
from fsm_orchestrator.text.search import LineSearch, SearchError
from fsm_orchestrator.text.terminal import colored_line, shown_line, without_colors
from fsm_orchestrator.vocabulary import ExitCode

LOOK_SECONDS: Final = 0.1
EPOCH_SECONDS: Final = 5.0
"""The seconds between two checks for whether an engine has handed on the followed run."""
_TONES: Final = (Tone.CYAN, Tone.MAGENTA, Tone.BLUE, Tone.GREEN, Tone.YELLOW)
"""The colors of stages, in the order in which they are shown; red is reserved for failures."""


def logs_command(parameters: Mapping[str, Any]) -> int:
    """Print the logs; with `--follow` also new output, until the run ends."""
    output = output_directory_of(parameters["output_directory"])
    directory = run_directory(output, parameters["run_id"])
    shown = _ShownLogs(
        directory=directory,
        stage=parameters["stage"],
        attempt=parameters["attempt"],
        verification=parameters["verify"],
        lines=parameters["lines"],
        since=parameters["since"],
        search=_search(parameters["pattern"]),
    )
    if parameters["stage"] is not None or not parameters["follow"]:
        _refuse_unknown_stage(output, parameters["run_id"], parameters["stage"])
    if not (parameters["follow"] and directory == output and holder_now(output) is not None):
        shown.show(is_over=True)
        return ExitCode.DONE
    _follow(output, shown)
    return ExitCode.DONE


def _follow(output: Path, shown: _ShownLogs) -> None:
    """Show new output until the run has ended, from epoch to epoch if an engine has the run."""
    looked_at = time.monotonic()
    while not shown.is_unread:
        is_over = holder_now(output) is None
        if run_of(output) != output and (is_over or time.monotonic() > looked_at + EPOCH_SECONDS):
            looked_at, latest = time.monotonic(), record_of(run_of(output))
            if latest != output:
                output = latest
                shown.go_on_in(output)
                continue
            is_over = is_over and _has_ended(output)
        shown.show(is_over=is_over)
        if is_over:
            break
        time.sleep(LOOK_SECONDS)


def _refuse_unknown_stage(output: Path, run_id: str | None, stage: str | None) -> None:
    """Refuse a stage that the run does not have.

    Raises:
        UsageError: the run has no such stage.
        ReportError: there is no run.
    """
    checkpoint = inspect_run(output, run_id).checkpoint
    if stage is None or checkpoint is None or stage in checkpoint.lifecycle.stages:
        return
    known = checkpoint.lifecycle.stages
    raise UsageError(
        f"the run has no stage {stage!r}{suggestion(stage, known)}",
        remedy=f"its stages are {', '.join(known)}",
    )


def _search(pattern: str | None) -> LineSearch | None:
    """Return the search that was asked for.

    Raises:
        UsageError: the pattern is not a regular expression.
    """
    try:
        return None if pattern is None else LineSearch(pattern)
    except SearchError as error:
        raise _refused(error) from None


def _refused(error: SearchError) -> UsageError:
    return UsageError(
        f"cannot search the logs with --grep: {error}",
        remedy="for the text itself put \\ before each of . * + ? ( ) [ ] { } | ^ $ \\",
    )


def _has_ended(record: Path) -> bool:
    """Return whether a run under an engine continues only if somebody acts."""
    from fsm_orchestrator.record.report_reader import read_latest_invocation

    try:
        report = read_latest_invocation(record / REPORT_FILE)
    except ReportError:
        return False
    return report.finished_at is not None and report.exit_code != ExitCode.BUSY


def _logs_in(directory: Path) -> tuple[StageLog, ...]:
    return (*logs_of(directory), *verification_logs_of(directory))


class _ShownLogs:
    """The logs to show, and how much of each has been shown."""

    def __init__(
        self,
        directory: Path,
        *,
        stage: str | None,
        attempt: int | None,
        verification: int | None,
        lines: int | None,
        since: datetime | None,
        search: LineSearch | None,
    ) -> None:
        self._directory = directory
        self._stage, self._attempt, self._lines = stage, attempt, lines
        self._verification = verification
        self._since, self._search = since, search
        self._colors: dict[str, Tone] = {}
        self._begun: dict[Path, str] = {}
        """The start of a color sequence at the end of the last piece, by log."""
        self._readers: dict[Path, LogReader] = {}
        self._open: Path | None = None
        """The log whose line is unfinished at the end of the output."""
        self._console = console.stdout()
        self._known = secrets_to_mask(self._directory)

    @property
    def is_unread(self) -> bool:
        """True once the reader has gone away."""
        return self._console.is_broken

    def go_on_in(self, directory: Path) -> None:
        """Continue in the record of the next epoch, which contains everything shown so far."""
        self._directory = directory
        moved = {log.path.name: log for log in _logs_in(directory)}
        readers = {path: moved.get(path.name) for path in self._readers}
        for path, log in readers.items():
            if log is not None:
                reader = self._readers.pop(path)
                reader.go_on_with(log)
                self._readers[log.path] = reader
        if self._open is not None:
            self._open = directory / LOGS_DIRECTORY / self._open.name

    def show(self, *, is_over: bool) -> None:
        """Print what was added since the last call."""
        wanted = [log for log in _logs_in(self._directory) if self._is_wanted(log)]
        if self._since is not None:
            wanted = printed_since(wanted, self._since)
        if not wanted:
            return
        self._known = secrets_to_mask(self._directory).and_before(
            self._known
        )  # the run forgets them once it is done
        masker = self._known.masker
        width = max(len(name_of(log)) for log in wanted)
        for log in in_order_of_work(wanted):
            is_new = log.path not in self._readers
            reader = self._readers.setdefault(log.path, LogReader(log))
            mark = "!" if log.is_stderr else "|"
            begin = self._colored(f"{name_of(log):<{width}} {mark}", log.stage) + " "
            found = self._found(reader.new_pieces(masker, is_over=is_over))
            for piece in last_lines(found, self._lines if is_new else None):
                self._console.send(self._shown(log.path, begin, *piece))
                if self.is_unread:
                    return

    def _found(self, pieces: Iterable[Piece]) -> Iterable[Piece]:
        """Yield the pieces that contain the pattern, each as a whole line; all pieces without one.

        Raises:
            UsageError: the search takes too long.
        """
        if self._search is None:
            yield from pieces
            return
        try:
            for text, _ in pieces:
                if self._search.finds(shown_line(text)):
                    yield text, True
        except SearchError as error:
            raise _refused(error) from None

    def _colored(self, begin: str, stage: str) -> str:
        """Return the prefix of a stage's lines, in the stage's color if colors are shown."""
        if not self._console.has_color:
            return begin
        tone = self._colors.setdefault(stage, _TONES[len(self._colors) % len(_TONES)])
        return paint(begin, tone)

    def _shown(self, path: Path, begin: str, text: str, is_end: bool) -> bytes:
        """Return a line, or a piece of one, in the form that the reader gets.

        The reader of a pipe gets the bytes that the stage printed, without any colors that it does
        not want, after the stage's name. A terminal gets a line that cannot do anything to it, a
        long line piece by piece.
        """
        if self._console.is_terminal:
            as_line = colored_line if self._console.has_color else shown_line
            return f"{begin}{as_line(text)}\n".encode(errors="replace")
        if not self._console.has_color:
            text, rest = without_colors(self._begun.pop(path, "") + text)
            if is_end:
                text += rest
            elif rest:
                self._begun[path] = rest
        if self._open != path:
            begin = begin if self._open is None else f"\n{begin}"
            text = f"{begin}{text}"
        self._open = None if is_end else path
        return console.inert(f"{text}\n" if is_end else text).encode(errors="surrogateescape")

    def _is_wanted(self, log: StageLog) -> bool:
        return (
            self._stage in {None, log.stage}
            and self._attempt in {None, log.attempt}
            and self._verification in {None, log.verification}
        )
