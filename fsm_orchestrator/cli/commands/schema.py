"""`schema`: prints the published JSON Schema of one of the formats that are written or read."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from fsm_orchestrator.cli import console
from fsm_orchestrator.cli.formatting import columns, command_line
from fsm_orchestrator.constants import (
    CHECKPOINT_FILE,
    EVENTS_FILE,
    INVOCATIONS_FILE,
    REPORT_FILE,
)
from fsm_orchestrator.vocabulary import ExitCode, SchemaName

_OF: Final[Mapping[SchemaName, str]] = {
    SchemaName.REPORT: f"{REPORT_FILE}: what a supervisor reads",
    SchemaName.CHECKPOINT: f"{CHECKPOINT_FILE}: what a resume reads",
    SchemaName.INVOCATION: f"{INVOCATIONS_FILE}: one a line, moved there",
    SchemaName.LIFECYCLE: "a lifecycle file, as for --lifecycle",
    SchemaName.CONFIG: "a config file, as for --config",
    SchemaName.EVENT: f"{EVENTS_FILE}: one a line",
    SchemaName.POSTMORTEM: "logs/STAGE.N.postmortem.json: a stage that had to be ended",
    SchemaName.APPROVAL_REQUEST: "approvals/GATE.N.request.json: what people approve",
    SchemaName.APPROVAL_DECISION: "what a person signs: approval, denial, withdrawal",
    SchemaName.GATE_SIGNAL: "a statement's predicate: a gate's signal, with grounds",
    SchemaName.VERIFICATION: "verify-bundle --json: the result of each link of a bundle",
    SchemaName.RUN_STATEMENT: "statement.json of a bundle: what a run was, and its members",
    SchemaName.COMPARISON: "compare --json: what differs between two runs",
    SchemaName.FLEET: "fleet.json: the result of each run of a fleet",
    SchemaName.NOTICE: "what a notice says of the end of a run",
    SchemaName.POLICY_INPUT: "evidence/GATE.N.json: what a policy judges",
}


def schema_command(parameters: Mapping[str, Any]) -> int:
    """Print the schema; without a name, list them."""
    name, out = parameters["name"], console.stdout()
    if name is not None:
        from fsm_orchestrator.schemas import schema_text

        out.write(schema_text(SchemaName(name)))
        return ExitCode.DONE
    lines = columns([(one.value, _OF[one]) for one in SchemaName], indent="")
    if out.is_terminal:
        lines += ["", *columns([("print", command_line("schema", SchemaName.REPORT.value))])]
    out.write("\n".join([*lines, ""]))
    return ExitCode.DONE
