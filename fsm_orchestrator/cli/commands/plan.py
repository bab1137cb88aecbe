"""`plan`: what a run or resume would do, and why. Starts nothing, writes nothing."""

from __future__ import annotations

import sys
from collections.abc import Mapping, Sequence
from typing import Any, Final

from fsm_orchestrator.cli import console
from fsm_orchestrator.cli.formatting import columns, command_lines
from fsm_orchestrator.cli.refusal import naming_next_command
from fsm_orchestrator.cli.request import request_from
from fsm_orchestrator.config.run_config import RunConfig
from fsm_orchestrator.constants import PRODUCT
from fsm_orchestrator.disk.lock import holder_of
from fsm_orchestrator.errors import Holder
from fsm_orchestrator.explanation.gate_table import GATE_COLUMNS, gate_row, kept_signal_lines
from fsm_orchestrator.gates.in_force import GateInForce
from fsm_orchestrator.preparation.plan import Plan, PlannedStage, plan_of, refuse_unwritable
from fsm_orchestrator.preparation.prepare import prepare
from fsm_orchestrator.secrets.masking import Masker
from fsm_orchestrator.text.hidden import copyable, shell_line
from fsm_orchestrator.text.phrases import option_prefix, printable, span_words
from fsm_orchestrator.vocabulary import ExitCode, GatesGuard, Outcome, PlannedAction

WIDTH: Final = 80
_VERBS: Final = {
    PlannedAction.RUN: "would run",
    PlannedAction.FAIL: "would fail",
    PlannedAction.SKIP: "would be skipped",
    PlannedAction.PASS_OVER: "would be passed over",
    PlannedAction.NOT_REACHED: "would not start",
}


def plan_command(parameters: Mapping[str, Any]) -> int:
    """Print the plan; what `run` would refuse is refused here."""
    request = request_from(parameters)
    config = request.config
    with naming_next_command(config), config.hidden_in_errors():
        preparation = prepare(config)
        refuse_unwritable(config.output_path)
        plan = plan_of(preparation)
    if request.as_json:
        console.stdout().write(plan.model_dump_json(indent=2) + "\n")
    else:
        argv = ["run", *sys.argv[2:]]
        if _shows_secrets(config, argv, preparation.masker):
            argv = []
        console.stdout().write(text_of(plan, holder_of(config.output_path), argv))
    return ExitCode.DONE


def text_of(plan: Plan, holder: Holder | None, argv: Sequence[str]) -> str:
    """Return the plan as text.

    Args:
        plan: the plan.
        holder: the process at work in the directory now, if there is one.
        argv: the command line, without the program, that would carry it out; empty where it
            may not be shown.
    """
    what = "resume of run" if plan.execution_mode.value == "resume" else "new run"
    lines = [
        f"plan: {what} {plan.run_id} in {copyable(plan.output_directory)}",
        f"  lifecycle {plan.lifecycle}; a plan starts and writes nothing",
    ]
    if holder is not None:
        lines.append(f"  would be refused now (exit 75): held by {holder}")
    if plan.archives_earlier_run:
        lines.append("  the earlier run in this directory would be moved to its archive")
    if plan.gates_guard is GatesGuard.CLOSURE:
        lines.append("  note: this lifecycle runs stages before its gates have passed")
    decisions = [gate.decision for gate in plan.gates]
    lines += ["", *columns([GATE_COLUMNS, *map(gate_row, decisions)])]
    lines += [*(f"  {one}" for one in kept_signal_lines(decisions, plan.as_of)), ""]
    for stage in plan.stages:
        lines += _stage_lines(stage)
    lines += ["", f"  would end: {_end_of(plan)}"]
    lines += [f"  warning: {printable(warning)}" for warning in plan.warnings]
    lines += _next_lines(plan, argv)
    return "\n".join(lines) + "\n"


def _end_of(plan: Plan) -> str:
    if plan.closing_refused is not None:
        return f"done, but not ready to close (exit 1): {printable(plan.closing_refused)}"
    if plan.outcome is Outcome.DONE:
        return "done, if every stage succeeds"
    fails = any(stage.action is PlannedAction.FAIL for stage in plan.stages)
    return f"{plan.outcome.value}, as things are now" if fails else plan.outcome.value


def _shows_secrets(config: RunConfig, argv: Sequence[str], masker: Masker) -> bool:
    """Return whether a command line gives the value of a secret, or holds one."""
    gives = any(True for given in config.stages.values() for _ in given.secret_values())
    return gives or any(map(masker.hides, argv))


def _next_lines(plan: Plan, argv: Sequence[str]) -> list[str]:
    """Show the command that carries the plan out, and the one that passes the gates."""
    refused = [gate for gate in plan.gates if not gate.decision.passed]
    if not argv:
        return ["", "  to run this: the same command with `run` in place of `plan`"]
    lines = ["", "  to run this:", *command_lines((PRODUCT, *argv), "    ", WIDTH)]
    if refused and plan.outcome is Outcome.BLOCKED:
        signals = [
            word
            for gate in refused
            for word in (f"--{gate.decision.gate.value}-status", gate.passing)
        ]
        command, *rest = _without_gates(argv, refused)
        # Options may stand anywhere but behind `--`.
        rest = [*signals, *rest] if "--" in rest else [*rest, *signals]
        words = [PRODUCT, command, *rest]
        lines.append("  once the real checks pass:")
        lines += command_lines(words, "    ", WIDTH)
    return lines


def _without_gates(argv: Sequence[str], gates: Sequence[GateInForce]) -> list[str]:
    """Return the command without the signals that were refused: each may be given once."""
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


def _stage_lines(stage: PlannedStage) -> list[str]:
    verb = _VERBS[stage.action]
    lines = [f"  stage {stage.stage}: {verb}: {printable(stage.reason_in_full)}"]
    if stage.action is PlannedAction.NOT_REACHED and stage.error is not None:
        lines.append(f"      note: as things are now it {printable(stage.error)}")
    if stage.command is None:
        if stage.action is PlannedAction.PASS_OVER:
            lines.append(f"      add {option_prefix(stage.stage)}-bin to run it")
        return lines
    details = [
        ("command", shell_line((stage.command, *stage.args))),
        ("in", stage.cwd or ""),
        ("timeout", span_words(stage.timeout_ms or 0)),
    ]
    if stage.env_keys:
        details.append(("sets", ", ".join(stage.env_keys)))
    details += [("expects", path) for path in stage.expected_artifacts]
    if stage.unchanged:
        details.append(("unchanged", ", ".join(stage.unchanged)))
    details += [("artifact", f"{one.path}, sha256 {one.sha256[:12]}...") for one in stage.artifacts]
    return [*lines, *columns(details, indent="      ")]
