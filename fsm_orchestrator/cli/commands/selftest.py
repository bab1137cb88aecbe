"""`selftest`: check whether the promises hold on this machine and file system."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any, Final

from fsm_orchestrator.cli import console
from fsm_orchestrator.disk import files
from fsm_orchestrator.disk.where import absolute
from fsm_orchestrator.errors import UsageError
from fsm_orchestrator.selftest.checks import Check, Verdict, selftest
from fsm_orchestrator.text.phrases import printable
from fsm_orchestrator.vocabulary import ExitCode

NAME_WIDTH: Final = 18


def selftest_command(parameters: Mapping[str, Any]) -> int:
    """Run the checks and print each verdict as it comes; return 1 when something is broken."""
    output = absolute(parameters["output_directory"])
    kills = parameters["kills"] or 12
    out, found = console.stdout(), []
    try:
        output.mkdir(parents=True, exist_ok=True)  # whether it is durable is a check
        for check in selftest(output, kills=kills):
            found.append(check)
            if not parameters["as_json"]:
                out.write(_line(check))
    except OSError as error:
        raise UsageError(
            f"cannot write in {output}: {files.reason(error)}",
            remedy="name a directory that you may write to",
        ) from error
    is_broken = any(check.verdict is Verdict.BROKEN for check in found)
    if parameters["as_json"]:
        checks = [check.model_dump(mode="json") for check in found]
        document = {"output_directory": str(output), "holds": not is_broken, "checks": checks}
        out.write(json.dumps(document, indent=2, ensure_ascii=False) + "\n")
    else:
        out.write(f"\n{_conclusion(found)}\n")
    return ExitCode.FAILED if is_broken else ExitCode.DONE


def _line(check: Check) -> str:
    return f"  {check.name:<{NAME_WIDTH}}  {check.verdict:<7}  {printable(check.detail)}\n"


def _conclusion(found: list[Check]) -> str:
    broken = [check.name for check in found if check.verdict is Verdict.BROKEN]
    if broken:
        return f"do not keep runs here: {', '.join(broken)} failed"
    limited = [check.name for check in found if check.verdict is Verdict.LIMITED]
    if limited:
        return f"the promises hold here, within the limits listed under {', '.join(limited)}"
    return "the promises hold here"
