"""`plan`: what a run or resume would do, and why. Starts nothing, writes nothing."""

from __future__ import annotations

import shlex
import sys
from collections.abc import Mapping, Sequence
from typing import Any, Final

from fsm_orchestrator.cli import console
from fsm_orchestrator.cli.formatting import columns, command_lines, duration, stage_option
from fsm_orchestrator.cli.request import request_from
from fsm_orchestrator.disk.lock import holder_of
from fsm_orchestrator.errors import Holder
from fsm_orchestrator.gates.in_force import GateInForce
from fsm_orchestrator.gates.judging import source_in_words
from fsm_orchestrator.preparation.dispatch import prepare
from fsm_orchestrator.preparation.plan import Plan, PlannedStage, plan_of
from fsm_orchestrator.vocabulary import PRODUCT, ExitCode, GatesGuard, Outcome, PlannedAction

WIDTH: Final = 80
_VERBS: Final = {
    PlannedAction.RUN: "would run",
    PlannedAction.SKIP: "would be skipped",
    PlannedAction.PASS_OVER: "would be passed over",
    PlannedAction.NOT_REACHED: "would not start",
}


def plan_command(parameters: Mapping[str, Any]) -> int:
    """Print the plan. Refused requests are refused as `run` would."""
    request = request_from(parameters)
    config = request.config
    plan = plan_of(prepare(config))
    if request.as_json:
        console.stdout().write(plan.model_dump_json(indent=2) + "\n")
    else:
        argv = ["run", *sys.argv[2:]]
        console.stdout().write(text_of(plan, holder_of(config.output_path), argv))
    return ExitCode.DONE


def text_of(plan: Plan, holder: Holder | None, argv: Sequence[str]) -> str:
    """The plan for a person. `holder` works in the directory now, if anybody does.

    `argv` is the command line, without the program, that would carry it out.
    """
    what = "resume of run" if plan.execution_mode.value == "resume" else "new run"
    lines = [
        f"plan: {what} {plan.run_id} in {plan.output_directory}",
        f"  lifecycle {plan.lifecycle}; nothing is started or written by a plan",
    ]
    if holder is not None:
        lines.append(f"  now refused (exit 75): held by {holder}")
    if plan.archives_earlier_run:
        lines.append("  the earlier run in this directory would be moved to its archive")
    if plan.gates_guard is GatesGuard.CLOSURE:
        lines.append("  note: this lifecycle runs stages before its gates have passed")
    lines += ["", *_gate_lines(plan), ""]
    for stage in plan.stages:
        lines += _stage_lines(stage)
    end = {Outcome.DONE: "done, if every stage succeeds", Outcome.BLOCKED: "blocked"}
    lines += ["", f"  would end: {end.get(plan.outcome, plan.outcome.value)}"]
    lines += [f"  warning: {console.printable(warning)}" for warning in plan.warnings]
    lines += _next_lines(plan, argv)
    return "\n".join(lines) + "\n"


def _next_lines(plan: Plan, argv: Sequence[str]) -> list[str]:
    """What to type to have it so, and what to have it done; values of variables are not shown."""
    refused = [gate for gate in plan.gates if not gate.decision.passed]
    has_secrets = any(stage.env_keys for stage in plan.stages)
    if has_secrets and any(word.partition("=")[0].endswith(("-env", "-arg")) for word in argv):
        return ["", "  to have it so: the same command with `run` in the place of `plan`"]
    lines = ["", "  to have it so, type", *command_lines((PRODUCT, *argv), "    ", WIDTH)]
    if refused and plan.outcome is Outcome.BLOCKED:
        words = [PRODUCT, *_without_gates(argv, refused)]
        for gate in refused:
            words += [f"--{gate.decision.gate.value}-status", gate.passing]
        lines.append("  to have it pass, if the real checks say so, type")
        lines += command_lines(words, "    ", WIDTH)
    return lines


def _without_gates(argv: Sequence[str], gates: Sequence[GateInForce]) -> list[str]:
    """The command without the signals that refuse: each may be given once."""
    options = {f"--{gate.decision.gate.value}-status" for gate in gates}
    kept: list[str] = []
    words = iter(argv)
    for word in words:
        name, equals, _ = word.partition("=")
        if name not in options:
            kept.append(word)
        elif not equals:
            next(words, None)
    return kept


def _gate_lines(plan: Plan) -> list[str]:
    rows = []
    for gate in plan.gates:
        name = gate.decision.gate.value
        verdict = (
            "passes" if gate.decision.passed else f"refuses: needs --{name}-status {gate.passing}"
        )
        source = source_in_words(gate.decision.source)
        rows.append((f"gate {name}", gate.decision.status, source, verdict))
    return columns(rows)


def _stage_lines(stage: PlannedStage) -> list[str]:
    lines = [f"  stage {stage.stage}: {_VERBS[stage.action]}: {console.printable(stage.reason)}"]
    if stage.command is None:
        if stage.action is PlannedAction.PASS_OVER:
            lines.append(f"      give {stage_option(stage.stage, 'bin')} to have it run")
        return lines
    details = [
        ("command", shlex.join((stage.command, *stage.args))),
        ("in", stage.cwd or ""),
        ("timeout", duration(stage.timeout_ms or 0)),
    ]
    if stage.env_keys:
        details.append(("sets", ", ".join(stage.env_keys)))
    details += [("expects", path) for path in stage.expected_artifacts]
    if stage.unchanged:
        details.append(("as then", ", ".join(stage.unchanged)))
    details += [("left", f"{one.path}, sha256 {one.sha256[:12]}...") for one in stage.artifacts]
    return [*lines, *columns(details, indent="      ")]
