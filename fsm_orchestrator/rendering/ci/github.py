"""The output for GitHub Actions about a run: annotations, and the ends of logs in groups.

The runner acts on lines that begin with `::` and on `##[` anywhere. The output of stages is printed
between two lines that switch this off, by a token that nobody could know when it was printed.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path
from secrets import token_hex
from typing import Final

from fsm_orchestrator.inspection.inspected_run import InspectedRun
from fsm_orchestrator.model.execution import StageExecution
from fsm_orchestrator.rendering.ci.cases import Case, Suite, Verdict, cases_of
from fsm_orchestrator.text.hidden import printable

ANNOTATIONS_MAX: Final = 10
"""The most annotations of one kind that GitHub shows for a step; it drops the rest."""
MESSAGE_CHARACTERS_MAX: Final = 2000


def annotations_of(view: InspectedRun, workspace: Path | None) -> list[str]:
    """Return a command for each gate and stage that failed, gates first.

    Each names a file if one below `workspace` is to blame: an artifact that is wrong, else the
    program of the stage. The command of a stage names the verification that failed.
    """
    failed = [one for one in cases_of(view) if one.verdict is Verdict.FAILED]
    failed = [one for one in failed if one.suite is not Suite.VERIFICATION]
    told = [one for one in failed if one.suite is not Suite.RUN] or failed
    return [
        error_command(f"{one.suite.of_one} {one.name}", one.message, _file(one, workspace))
        for one in told[:ANNOTATIONS_MAX]
    ]


def error_command(title: str, message: str, file: str | None = None) -> str:
    """Return the command that shows an error on the page of a job."""
    properties = {"title": title} if file is None else {"file": file, "title": title}
    told = ",".join(f"{key}={_property(text)}" for key, text in properties.items())
    return f"::error {told}::{_data(message[:MESSAGE_CHARACTERS_MAX])}"


def groups_of(view: InspectedRun) -> Iterator[str]:
    """Yield a collapsible group of lines for each stage that printed something."""
    for case in cases_of(view):
        printed = [*case.stdout.splitlines(), *case.stderr.splitlines()]
        if printed:
            begin, end = inert_between()
            yield f"::group::{_data(_title(case))}"
            yield begin
            yield from map(printable, printed)
            yield end
            yield "::endgroup::"


def inert_between() -> tuple[str, str]:
    """Return two lines between which the runner acts on nothing."""
    token = token_hex(16)
    return f"::stop-commands::{token}", f"::{token}::"


def _title(case: Case) -> str:
    said = f": {case.message}" if case.message else ""
    return f"{case.suite.of_one} {case.name} {case.verdict.value}{said}"


def _file(case: Case, workspace: Path | None) -> str | None:
    """Return the file below `workspace` that is to blame, relative to it."""
    one = case.execution
    if one is None or workspace is None:
        return None
    wrong = (
        *one.malformed_artifacts,
        *one.missing_artifacts,
        *one.stale_artifacts,
        *(each.path for each in one.protected_changes),
        *(each.path for each in one.contract_violations),
    )
    below = [path for path in (*wrong, *_program(one)) if Path(path).is_relative_to(workspace)]
    return str(Path(below[0]).relative_to(workspace)) if below else None


def _program(execution: StageExecution) -> Iterator[str]:
    command = execution.command
    if execution.attempt > 0 and "/" in command:
        yield os.path.normpath(os.path.join(execution.cwd, command))


def _data(text: str) -> str:
    """Return a message as a command takes it: on one line, with its line breaks encoded."""
    for character, code in (("%", "%25"), ("\r", "%0D"), ("\n", "%0A")):
        text = text.replace(character, code)
    return printable(text).replace("##[", "##\\[")


def _property(text: str) -> str:
    return _data(text).replace(":", "%3A").replace(",", "%2C")
