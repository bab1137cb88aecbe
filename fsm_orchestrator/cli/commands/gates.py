"""`gates`: asks every source as a run would, and shows the answers; starts no stage."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from fsm_orchestrator.cli import console
from fsm_orchestrator.cli.gate_screen import INTERVAL_MS, gate_lines, screen_of, watch
from fsm_orchestrator.cli.request import looked_at, request_from
from fsm_orchestrator.cli.screen import prose_width, shown
from fsm_orchestrator.config.run_config import RunConfig
from fsm_orchestrator.constants import SIGNAL_BASE
from fsm_orchestrator.disk.where import current_directory
from fsm_orchestrator.errors import UsageError
from fsm_orchestrator.gates.sources.base import AskedToEndError
from fsm_orchestrator.inspection.asked_gates import GateAsking
from fsm_orchestrator.inspection.run_directories import directory_of_a_run
from fsm_orchestrator.preparation.preparation import Preparation
from fsm_orchestrator.preparation.prepare import prepare
from fsm_orchestrator.processes.adoption import adopt_orphans
from fsm_orchestrator.processes.interrupts import Interrupts
from fsm_orchestrator.text.json_output import json_text
from fsm_orchestrator.vocabulary import ExitCode


def gates_command(parameters: Mapping[str, Any]) -> int:
    """Ask and show; return 0 if every gate passes, 3 if one does not."""
    is_watched, as_json = parameters["watch"], parameters["as_json"]
    if parameters["interval"] is not None and not is_watched:
        raise UsageError(
            "--interval says how often --watch asks", remedy="add --watch, or leave it out"
        )
    interrupts = Interrupts()
    with interrupts.installed():
        preparation = _prepared(parameters)
        adopt_orphans()
        asking, out = GateAsking(preparation, interrupts), console.stdout()
        try:
            if is_watched:
                interval_ms = parameters["interval"] or INTERVAL_MS
                screen = None if as_json else screen_of(out, preparation)
                found = watch(asking, interrupts, interval_ms, screen)
            else:
                found = asking.ask()
        except AskedToEndError:
            return SIGNAL_BASE + (interrupts.first or 0)
    has_passed = all(one.decision.passed for one in found)
    if as_json:
        document = {
            "run_id": preparation.checkpoint.run_id,
            "have_passed": has_passed,
            "gates": [
                {"asked": one.asked, **one.decision.model_dump(mode="json")} for one in found
            ],
        }
        out.write(json_text(document) + "\n")
    elif not is_watched:
        out.show(shown(gate_lines(preparation, found, prose_width(out))))
    return ExitCode.DONE if has_passed else ExitCode.BLOCKED


def _prepared(parameters: Mapping[str, Any]) -> Preparation:
    """Return the preparation of a run of the config file, or of a resume of the run in OUT."""
    output, file = parameters["output_directory"], parameters["config"]
    if (output is None) is (file is None):
        raise UsageError(
            "name either OUT, for the gates of its run, or --config FILE",
            remedy="see fsm-orchestrator gates --help",
        )
    if file is None:
        directory_of_a_run(output)
        config = RunConfig(output_directory=output, directory=current_directory(), resume=True)
    else:
        config = request_from({"output_directory": "./out", "config": file}).config
    with config.hidden_in_errors():
        return prepare(looked_at(config), may_lack_values=True)
