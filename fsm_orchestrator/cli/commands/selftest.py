"""`selftest`: checks whether the promises hold on this machine and file system."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from fsm_orchestrator.cli import console
from fsm_orchestrator.cli.formatting import sentences
from fsm_orchestrator.cli.screen import Line, prose_width, shown
from fsm_orchestrator.cli.style import Mark, shown_cells, symbol
from fsm_orchestrator.disk import files
from fsm_orchestrator.disk.where import absolute
from fsm_orchestrator.errors import UsageError
from fsm_orchestrator.selftest.checks import Check, Verdict, selftest
from fsm_orchestrator.text.hidden import copyable
from fsm_orchestrator.text.json_output import json_text
from fsm_orchestrator.text.phrases import listed
from fsm_orchestrator.vocabulary import ExitCode

NAME_WIDTH: Final = 18
_MARKS: Final = {
    Verdict.HOLDS: Mark.GOOD,
    Verdict.LIMITED: Mark.WAITING,
    Verdict.BROKEN: Mark.BAD,
}


def selftest_command(parameters: Mapping[str, Any]) -> int:
    """Run the checks and print each verdict as it comes; return 1 if something is broken."""
    output = absolute(parameters["output_directory"])
    kills = parameters["kills"] or 12
    out, found = console.stdout(), []
    try:
        output.mkdir(parents=True, exist_ok=True)  # a check finds out whether it is durable
        for check in selftest(output, kills=kills):
            found.append(check)
            if not parameters["as_json"]:
                out.show(_lines(check, prose_width(out)))
    except OSError as error:
        raise UsageError(
            f"cannot write in {copyable(output)}: {files.reason(error)}",
            remedy="name a directory that you may write to",
        ) from error
    is_broken = any(check.verdict is Verdict.BROKEN for check in found)
    if parameters["as_json"]:
        checks = [check.model_dump(mode="json") for check in found]
        document = {"output_directory": str(output), "holds": not is_broken, "checks": checks}
        out.write(json_text(document) + "\n")
    else:
        out.show(f"\n{shown([_conclusion(found)])}")
    return ExitCode.FAILED if is_broken else ExitCode.DONE


def _lines(check: Check, width: int) -> str:
    """Return a check with what was seen; a promise that holds without limits names no verdict."""
    said = check.detail if check.verdict is Verdict.HOLDS else f"{check.verdict}: {check.detail}"
    lead = f"{check.name:<{NAME_WIDTH}}  "
    first, *others = sentences(said, width - 3, indent=lead, hanging=" " * len(lead))
    # The width of the widest mark, which each line needs before the others exist.
    mark_width = max(shown_cells(symbol(mark)) for mark in _MARKS.values())
    padding = " " * (mark_width - shown_cells(symbol(_MARKS[check.verdict])))
    begun = shown([Line(f"{padding}{first}", _MARKS[check.verdict])])
    return begun + shown(Line(f"{'':<{mark_width}} {line}") for line in others)


def _conclusion(found: list[Check]) -> Line:
    broken = [check.name for check in found if check.verdict is Verdict.BROKEN]
    if broken:
        return Line(f"do not keep runs here: {listed(broken)} failed", Mark.BAD)
    limited = [check.name for check in found if check.verdict is Verdict.LIMITED]
    if limited:
        said = f"the promises hold here, within the limits listed under {listed(limited)}"
        return Line(said, Mark.WAITING)
    return Line(f"the promises hold here: all {len(found)} checks passed", Mark.GOOD)
