"""The published JSON Schemas (2020-12), generated from the models that read and write the files.

What a schema says about a key is what the model says. Added here is only what the models leave to
the code around them: when a report says that its run may be closed, and how a person may write a
lifecycle. A run does not load this module.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Final

from fsm_orchestrator.approvals.request import ApprovalRequest
from fsm_orchestrator.approvals.said import DecisionStatement
from fsm_orchestrator.bundle.statement import RunStatement
from fsm_orchestrator.bundle.verified import Verification
from fsm_orchestrator.config.config_file import ConfigFile
from fsm_orchestrator.constants import PRODUCT, SCHEMA_VERSION
from fsm_orchestrator.explanation.comparison import Comparison
from fsm_orchestrator.fleet.report import FleetReport
from fsm_orchestrator.gates.policy_input import PolicyInput
from fsm_orchestrator.gates.sources.predicates import GATE_SIGNAL, GateSignalPredicate
from fsm_orchestrator.lifecycle.file_schema import allow_short_form
from fsm_orchestrator.lifecycle.model import Lifecycle
from fsm_orchestrator.model.gate_rules import MANDATORY_RULES, GateRule
from fsm_orchestrator.model.parsed import adapter_of
from fsm_orchestrator.model.schema_generators import Generator, Schema, WrittenGenerator
from fsm_orchestrator.model.spelled_out import MEASURED
from fsm_orchestrator.model.stage_options import MEASURED_KEYS
from fsm_orchestrator.notices.body import Notice
from fsm_orchestrator.processes.postmortem import Postmortem
from fsm_orchestrator.record.checkpoint import Checkpoint
from fsm_orchestrator.record.earlier import MovedInvocation
from fsm_orchestrator.record.events import EventLine
from fsm_orchestrator.record.report import Report
from fsm_orchestrator.record.settings_part import HISTORY
from fsm_orchestrator.text.units import PATTERNS
from fsm_orchestrator.vocabulary import Outcome, SchemaName

__all__ = ["SchemaName", "schema_text"]

DIALECT: Final = "https://json-schema.org/draft/2020-12/schema"


@dataclass(frozen=True, slots=True)
class _Shape:
    """The source of a schema. `complete` adds to the document what the model does not say."""

    model: Any
    title: str
    description: str
    is_written_whole: bool = False
    complete: Callable[[Schema], None] = lambda _: None


def schema_text(name: SchemaName) -> str:
    """Return the JSON Schema of a shape: indented, always identical, ending with a newline."""
    shape = _SHAPES[name]
    adapter = adapter_of(shape.model)
    if shape.is_written_whole:
        made = adapter.json_schema(mode="serialization", schema_generator=WrittenGenerator)
    else:
        made = adapter.json_schema(mode="validation", schema_generator=Generator)
    shape.complete(made)
    envelope = {
        "$schema": DIALECT,
        "$id": _id_of(name),
        "title": shape.title,
        "description": shape.description,
    }
    document = {**envelope, **_without_notes({**made, **envelope})}
    return json.dumps(document, indent=2, ensure_ascii=False) + "\n"


def _id_of(name: SchemaName) -> str:
    return f"urn:{PRODUCT}:schema:{name.value}:{SCHEMA_VERSION}"


def _embed_checkpoint(document: Schema) -> None:
    """Embed the schema of the checkpoint, and refer to it for the records in events."""
    name = SchemaName.CHECKPOINT
    checkpoint = json.loads(schema_text(name))
    defs = document["$defs"]
    defs["CheckpointFile"] = checkpoint
    _refer(defs["RecordKept"]["properties"]["record"], {"$ref": _id_of(name)})
    parts = {
        key: {"$ref": f"{_id_of(name)}#/properties/{key}", "description": one["description"]}
        for key, one in checkpoint["properties"].items()
        if key not in HISTORY
    }
    settings = {"type": "object", "properties": parts, "additionalProperties": False}
    _refer(defs["RecordBegun"]["properties"]["settings"], settings)


def _refer(key: Schema, meant: Schema) -> None:
    """Replace the schema of a key with `meant`, and keep the key's description."""
    description = key["description"]
    key.clear()
    key.update({**meant, "description": description})


def _without_notes(document: Any) -> Any:
    """Return the document with each description cut to its first paragraph, on one line.

    The rest of a model's docstring is for readers of the code.
    """
    if isinstance(document, list):
        return [_without_notes(one) for one in document]
    if not isinstance(document, dict):
        return document
    return {
        key: (
            " ".join(value.partition("\n\n")[0].split())
            if key == "description" and isinstance(value, str)
            else _without_notes(value)
        )
        for key, value in document.items()
    }


def _add_closure_rules(document: Schema) -> None:
    """Add the rules for closing a run, for readers that know only the schema."""
    document["$defs"]["ClosureReady"] = {
        "title": "ClosureReady",
        "description": "A report whose run may be closed: done, every gate passed.",
        "properties": {
            "closure_ready": {"const": True},
            "terminal_state": {"const": Outcome.DONE.value},
            "nothing_to_do": {"const": False},
            "blocked_reason_codes": {"maxItems": 0},
            "gate_decisions": {
                "prefixItems": [_passed(rule) for rule in MANDATORY_RULES.values()],
                "items": {
                    "properties": {
                        "passed": {"const": True},
                        "gate": {"not": {"enum": [*MANDATORY_RULES]}},
                    }
                },
                "minItems": len(MANDATORY_RULES),
            },
        },
        "required": ["closure_ready", "terminal_state", "blocked_reason_codes", "gate_decisions"],
    }
    document["allOf"] = [
        {
            "if": {"properties": {"closure_ready": {"const": True}}},
            "then": {"$ref": "#/$defs/ClosureReady"},
        },
        {
            "if": {"properties": {"terminal_state": {"const": Outcome.BLOCKED.value}}},
            "else": {
                "properties": {
                    "blocked_reason_codes": {"maxItems": 0},
                    "waiting_for": {"maxItems": 0},
                }
            },
        },
    ]


def _passed(rule: GateRule) -> Schema:
    """Return the schema of the decision of a gate that passed."""
    return {
        "properties": {
            "gate": {"const": rule.name},
            "status": {"const": rule.passing},
            "passed": {"const": True},
            "reason_code": {"const": None},
        }
    }


def _allow_units(document: Schema) -> None:
    """Allow durations and sizes with units, also under the key that does not name the unit."""
    for shape in (document, *document["$defs"].values()):
        properties = shape.get("properties", {})
        for name, key in MEASURED_KEYS.items():
            if key not in properties:
                continue
            described = properties[key]
            description = described.pop("description")
            text = {"type": "string", "pattern": PATTERNS[MEASURED[key].measure]}
            either = {"anyOf": [described, text], "description": description}
            properties.update({key: either, name: either})
            shape.setdefault("allOf", []).append({"not": {"required": [key, name]}})


def _complete_lifecycle(document: Schema) -> None:
    allow_short_form(document)
    _allow_units(document)


_SHAPES: Final[Mapping[SchemaName, _Shape]] = {
    SchemaName.REPORT: _Shape(
        Report,
        "Run report",
        "orchestrator_run_report.json: how a run stands or ended, for its supervisor.",
        is_written_whole=True,
        complete=_add_closure_rules,
    ),
    SchemaName.CHECKPOINT: _Shape(
        Checkpoint,
        "Checkpoint",
        "orchestrator_checkpoint.json: the whole record of a run, from which it is resumed.",
        is_written_whole=True,
    ),
    SchemaName.INVOCATION: _Shape(
        MovedInvocation,
        "Old invocation",
        "One line of orchestrator_invocations.jsonl: an invocation that left the checkpoint.",
        is_written_whole=True,
    ),
    SchemaName.LIFECYCLE: _Shape(
        Lifecycle,
        "Lifecycle",
        "A lifecycle file, in TOML: the states of a run and what leads from one to the next.",
        complete=_complete_lifecycle,
    ),
    SchemaName.EVENT: _Shape(
        EventLine,
        "Event",
        "One line of orchestrator_events.jsonl, the log of a run.",
        complete=_embed_checkpoint,
    ),
    SchemaName.CONFIG: _Shape(
        ConfigFile,
        "Config file",
        "The file that `--config` reads, in TOML: everything that the options of `run` can say.",
        complete=_allow_units,
    ),
    SchemaName.POSTMORTEM: _Shape(
        Postmortem,
        "Postmortem",
        "logs/<stage>.<attempt>.postmortem.json: what a stage's processes were doing when it was"
        " ended for taking too long.",
        is_written_whole=True,
    ),
    SchemaName.APPROVAL_REQUEST: _Shape(
        ApprovalRequest,
        "Request for approval",
        "approvals/<gate>.<n>.request.json: what people are asked to approve, an in-toto"
        " statement.",
        is_written_whole=True,
    ),
    SchemaName.APPROVAL_DECISION: _Shape(
        DecisionStatement,
        "Decision on a request for approval",
        "The statement in approvals/<gate>.<n>.<decision>.<id>.json: what a person has answered to"
        " a request, and has signed.",
        is_written_whole=True,
    ),
    SchemaName.GATE_SIGNAL: _Shape(
        GateSignalPredicate,
        "Gate signal",
        f"The predicate {GATE_SIGNAL} of an in-toto statement: a gate's signal with its grounds.",
    ),
    SchemaName.FLEET: _Shape(
        FleetReport,
        "Fleet report",
        "fleet.json: the result of each run of a fleet, and of all together.",
        is_written_whole=True,
    ),
    SchemaName.COMPARISON: _Shape(
        Comparison,
        "Comparison of two runs",
        "`compare A B --json`: what differs between two runs.",
        is_written_whole=True,
    ),
    SchemaName.VERIFICATION: _Shape(
        Verification,
        "Verification of a bundle",
        "`verify-bundle FILE --json`: the result for each link of a bundle, and for all of them.",
        is_written_whole=True,
    ),
    SchemaName.RUN_STATEMENT: _Shape(
        RunStatement,
        "Statement of a bundle",
        "statement.json in a bundle: what a run was, and every member of the archive, an in-toto"
        " statement.",
        is_written_whole=True,
    ),
    SchemaName.NOTICE: _Shape(
        Notice,
        "Notice",
        "What a command reads on stdin, and a webhook is sent, about the end of an invocation.",
        is_written_whole=True,
    ),
    SchemaName.POLICY_INPUT: _Shape(
        PolicyInput,
        "Policy input",
        "evidence/GATE.N.json: what a gate's policy was given, byte for byte; `input` in Rego, the"
        " context in Cedar, where null values are left out.",
        is_written_whole=True,
    ),
}
