"""`gates`: asks every source as a run would, and shows what it says; starts no stage."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Final

from fsm_orchestrator.cli import console
from fsm_orchestrator.cli.formatting import columns, sentences
from fsm_orchestrator.cli.request import request_from
from fsm_orchestrator.cli.screen import Line, prose_width, shown
from fsm_orchestrator.cli.style import Mark
from fsm_orchestrator.config.run_config import RunConfig
from fsm_orchestrator.disk.where import current_directory
from fsm_orchestrator.errors import UsageError
from fsm_orchestrator.explanation.gate_table import GATE_COLUMNS, evidence_words, gate_row
from fsm_orchestrator.gates.sources.base import AskedToEndError
from fsm_orchestrator.inspection.asked_gates import AskedGate, ask_gates
from fsm_orchestrator.preparation.preparation import Preparation
from fsm_orchestrator.preparation.prepare import prepare
from fsm_orchestrator.processes.adoption import adopt_orphans
from fsm_orchestrator.processes.interrupts import Interrupts
from fsm_orchestrator.text.json_output import json_text
from fsm_orchestrator.text.phrases import printable
from fsm_orchestrator.text.terminal import last_lines
from fsm_orchestrator.vocabulary import ExitCode

LINES_MAX: Final = 5
"""The lines that are shown of what a command has printed."""


def gates_command(parameters: Mapping[str, Any]) -> int:
    """Ask and show; return 0 where every gate passes, 3 where one does not."""
    interrupts = Interrupts()
    with interrupts.installed():
        preparation = _prepared(parameters)
        adopt_orphans()
        try:
            found = ask_gates(preparation, interrupts)
        except AskedToEndError:
            return 128 + (interrupts.first or 0)
    out = console.stdout()
    has_passed = all(one.decision.passed for one in found)
    if parameters["as_json"]:
        document = {
            "run_id": preparation.checkpoint.run_id,
            "have_passed": has_passed,
            "gates": [
                {"asked": one.asked, **one.decision.model_dump(mode="json")} for one in found
            ],
        }
        out.write(json_text(document) + "\n")
    else:
        out.show(shown(_lines(preparation, found, prose_width(out))))
    return ExitCode.DONE if has_passed else ExitCode.BLOCKED


def _prepared(parameters: Mapping[str, Any]) -> Preparation:
    """Return what a run of the config file, or a resume of the run in OUT, would begin with."""
    output, file = parameters["output_directory"], parameters["config"]
    if (output is None) is (file is None):
        raise UsageError(
            "name either OUT, for the gates of its run, or --config FILE",
            remedy="see fsm-orchestrator gates --help",
        )
    if file is None:
        config = RunConfig(output_directory=output, directory=current_directory(), resume=True)
    else:
        config = request_from({"output_directory": "./out", "config": file}).config
    with config.hidden_in_errors():
        return prepare(config, may_lack_values=True)


def _lines(preparation: Preparation, found: Sequence[AskedGate], width: int) -> Iterator[Line]:
    subject = preparation.checkpoint.subject
    for about in () if subject is None else subject.lines:
        yield from map(Line, sentences(f"about {about}", width, indent=""))
    rows = [GATE_COLUMNS, *(gate_row(one.decision) for one in found)]
    head, *table = columns(rows)
    yield Line(head)
    for one, line in zip(found, table, strict=True):
        yield Line(line.strip(), Mark.GOOD if one.decision.passed else Mark.WAITING)
        said = evidence_words(one.decision)
        if said is not None:
            asked = "" if one.asked is None else f"{one.asked}: "
            yield from map(Line, sentences(f"{asked}{said}", width, indent="    "))
        output = "" if one.decision.passed else one.output
        for text in last_lines(output, LINES_MAX):
            yield Line(f"    | {printable(text)}", is_dim=True)
