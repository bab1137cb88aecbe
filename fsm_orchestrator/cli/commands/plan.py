"""`plan`: shows what a run or resume would do, and why. Starts nothing, writes nothing."""

from __future__ import annotations

import itertools
import sys
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Final

from fsm_orchestrator.cli import console
from fsm_orchestrator.cli.formatting import columns, command_lines, sentences
from fsm_orchestrator.cli.parser.prescan import without_options
from fsm_orchestrator.cli.refusal import naming_next_command
from fsm_orchestrator.cli.request import looked_at, request_from
from fsm_orchestrator.cli.screen import Line, folded, prose_width, shown
from fsm_orchestrator.cli.style import Mark, lead_cells
from fsm_orchestrator.config.run_config import RunConfig
from fsm_orchestrator.constants import GATES_NAMED_MAX, PRODUCT
from fsm_orchestrator.disk.lock import holder_of
from fsm_orchestrator.errors import Holder
from fsm_orchestrator.explanation.gate_table import (
    GATE_COLUMNS,
    GateRow,
    gate_row,
    kept_signal_lines,
)
from fsm_orchestrator.gates.in_force import GateInForce
from fsm_orchestrator.lifecycle.model import GatesGuard
from fsm_orchestrator.preparation.plan import Plan, PlannedStage, plan_of, refuse_unwritable
from fsm_orchestrator.preparation.planned_action import PlannedAction
from fsm_orchestrator.preparation.prepare import prepare
from fsm_orchestrator.secrets.masking import Masker
from fsm_orchestrator.text.hidden import copyable, printable, shell_line
from fsm_orchestrator.text.json_output import escaped
from fsm_orchestrator.text.phrases import counted, first_of, listed, option_prefix, signal_option
from fsm_orchestrator.text.units import span_words
from fsm_orchestrator.vocabulary import ExecutionMode, ExitCode, GateSource, Outcome

_VERBS: Final = {
    PlannedAction.RUN: "would run",
    PlannedAction.FAIL: "would fail",
    PlannedAction.VERIFY: "would be verified again",
    PlannedAction.SKIP: "would be skipped",
    PlannedAction.PASS_OVER: "would be passed over",
    PlannedAction.NOT_REACHED: "would not start",
}


_GUARD_NOTES: Final = {
    GatesGuard.STAGES: "",
    GatesGuard.EFFECTS: (
        "this lifecycle runs stages before its gates have passed that claim to change nothing but"
        " their artifacts"
    ),
    GatesGuard.CLOSURE: "this lifecycle runs stages before its gates have passed",
}
_LABEL_CELLS: Final = 17
"""The cells before the longest detail of a stage: its indent and the label."""
_MARKS: Final = {
    PlannedAction.RUN: Mark.AHEAD,
    PlannedAction.FAIL: Mark.BAD,
    PlannedAction.VERIFY: Mark.AHEAD,
    PlannedAction.SKIP: Mark.LEFT_OUT,
    PlannedAction.PASS_OVER: Mark.LEFT_OUT,
    PlannedAction.NOT_REACHED: Mark.LEFT_OUT,
}
_FOLDED: Final = frozenset({PlannedAction.SKIP, PlannedAction.PASS_OVER, PlannedAction.NOT_REACHED})
STAGES_NAMED_MAX: Final = 5
FOLDED_MIN: Final = 4
"""The number of consecutive stages with nothing to do from which they share a line."""


def plan_command(parameters: Mapping[str, Any]) -> int:
    """Print the plan; refuse what `run` would refuse."""
    in_full = parameters["in_full"]
    request = request_from({**parameters, "in_full": False})
    config = looked_at(request.config)
    with naming_next_command(config), config.hidden_in_errors():
        preparation = prepare(config)
        refuse_unwritable(config.output_path)
        plan = plan_of(preparation)
    out = console.stdout()
    if request.as_json:
        out.write(escaped(plan.model_dump_json(indent=2)) + "\n")
        return ExitCode.DONE
    argv = ["run", *without_options(sys.argv[2:], {"--all"})]
    if _shows_secrets(config, argv, preparation.masker):
        argv = []
    view = _View(out.width, prose_width(out), in_full=in_full)
    out.show(shown(view.lines_of(plan, holder_of(config.output_path), argv)))
    return ExitCode.DONE


class _View:
    """The view of a plan: a line for each stage, or with `in_full` everything known of it."""

    def __init__(self, width: int, prose_width: int, *, in_full: bool) -> None:
        self._width, self._prose_width, self._in_full = width, prose_width, in_full

    def lines_of(self, plan: Plan, holder: Holder | None, argv: Sequence[str]) -> Iterator[Line]:
        """Yield the lines of a plan.

        Args:
            plan: the plan.
            holder: the process at work in the directory now, if there is one.
            argv: the command line, without the program, that would carry it out; empty if it must
                not be shown.
        """
        what = "resume of run" if plan.execution_mode is ExecutionMode.RESUME else "new run"
        yield from self._said(f"plan: {what} {plan.run_id} of {plan.lifecycle}", indent="")
        yield Line(f"  in {copyable(plan.output_directory)}")
        yield Line("  a plan starts and writes nothing")
        if holder is not None:
            yield from self._said(f"would be refused now (exit 75): held by {holder}")
        for about in () if plan.subject is None else plan.subject.lines:
            yield from self._said(f"about {about}")
        if plan.archives_earlier_run:
            yield from self._said("the earlier run in this directory would be moved to its archive")
        note = _GUARD_NOTES[plan.gates_guard]
        if note:
            yield from self._said(f"note: {note}")
        yield Line("")
        yield from self._gates(plan)
        yield Line("")
        yield from self._stages(plan)
        yield Line("")
        for warning in plan.warnings:
            yield from self._said(f"warning: {warning}")
        yield from self._said(f"would end: {_end_of(plan)}")
        yield from self._next(plan, argv)

    def _said(self, text: str, indent: str = "  ") -> Iterator[Line]:
        return map(Line, sentences(text, self._prose_width, indent=indent))

    def _gates(self, plan: Plan) -> Iterator[Line]:
        """Yield the gates: those that pass in one line, unless everything is shown."""
        decisions = [gate.decision for gate in plan.gates]
        if self._in_full:
            yield from map(Line, columns([GATE_COLUMNS, *map(_planned_row, plan.gates)]))
        else:
            passed = [
                f"{one.gate} {one.status}"
                for one in decisions
                if one.passed and one.source is not GateSource.EVIDENCE
            ]
            if passed:
                said = f"gates passed: {', '.join(first_of(passed, GATES_NAMED_MAX))}"
                yield from self._marked(said, Mark.GOOD)
            refused = [one for one in plan.gates if not one.decision.passed]
            for one in refused[:GATES_NAMED_MAX]:
                yield from self._refused(one)
            if len(refused) > GATES_NAMED_MAX:
                more = len(refused) - GATES_NAMED_MAX
                yield Line(f"{more} more refused: --all shows them", Mark.WAITING)
        for decision in decisions:
            if decision.evidence is not None:
                said = f"gate {decision.gate}: {decision.evidence.detail}"
                yield from self._said(said, indent="")
        for sentence in kept_signal_lines(decisions, plan.as_of):
            yield from self._said(sentence)

    def _refused(self, gate: GateInForce) -> Iterator[Line]:
        row = gate_row(gate.decision, gate.passing)
        said = f"refused: {row.signal} ({row.source}), and only {row.passes} passes"
        if gate.is_to_come:
            said = "is judged after a stage: its signal is to come"
        yield from self._marked(f"gate {row.gate} {said}", Mark.WAITING)

    def _marked(self, text: str, mark: Mark) -> Iterator[Line]:
        width = self._prose_width - lead_cells()
        first, *rest = sentences(text, width, indent="", hanging=" " * (2 + lead_cells()))
        yield Line(first, mark)
        yield from map(Line, rest)

    def _stages(self, plan: Plan) -> Iterator[Line]:
        width = max(len(stage.stage) for stage in plan.stages)
        for group in _groups(plan.stages, may_fold=not self._in_full):
            first = group[0]
            reason = first.reason_in_full if self._tells_all(first) else first.reason
            said = f"{_VERBS[first.action]}: {reason}"
            if first.action is PlannedAction.RUN and first.beside and len(group) == 1:
                said = f"{said}; side by side with {' and '.join(first.beside)}"
            if first.action is PlannedAction.RUN and first.task_queue is not None:
                said = f"{said}; on the task queue {copyable(first.task_queue)}"
            is_dim = first.action in _FOLDED
            if len(group) > 1:
                names = folded([one.stage for one in group], self._prose_width - 10)
                said, lead = f"{counted(len(group), 'stage')} {said}: {names}", "  "
            else:
                lead = f"{first.stage:<{width}}  "
            hanging = " " * (len(lead) if len(lead) < self._prose_width // 2 else 4)
            text, *rest = sentences(said, self._prose_width - 4, indent=lead, hanging=hanging)
            yield Line(text.lstrip() if len(group) > 1 else text, _MARKS[first.action], is_dim)
            yield from (Line(f"    {line}", is_dim=is_dim) for line in rest)
            yield from map(Line, self._details(first))

    def _tells_all(self, stage: PlannedStage) -> bool:
        return self._in_full or stage.action is PlannedAction.FAIL

    def _details(self, stage: PlannedStage) -> list[str]:
        """Return the details of a stage, in addition to what would be done with it."""
        lines = []
        if stage.action is PlannedAction.NOT_REACHED and stage.error is not None:
            note = f"note: as things are now it {stage.error}"
            lines += sentences(note, self._prose_width, indent="      ", hanging="        ")
        if not self._in_full:
            return lines
        if stage.command is None:
            if stage.action is PlannedAction.PASS_OVER:
                lines.append(f"      add {option_prefix(stage.stage)}-bin to run it")
            return lines
        details = [
            ("command", shell_line((stage.command, *stage.args))),
            ("in", copyable(stage.cwd or "")),
            ("timeout", span_words(stage.timeout_ms or 0)),
        ]
        if stage.task_queue is not None:
            details.append(("queue", copyable(stage.task_queue)))
        if stage.env_keys:
            details.append(("sets", ", ".join(stage.env_keys)))
        details += [("expects", copyable(path)) for path in stage.expected_artifacts]
        details += [("verifies by", shell_line(one)) for one in stage.verify]
        details += [("protects", copyable(path)) for path in stage.protect]
        if stage.unchanged:
            width = self._prose_width - _LABEL_CELLS
            listed_in = sentences(", ".join(stage.unchanged), width, indent="", hanging="")
            labels = itertools.chain(["unchanged"], itertools.repeat(""))
            details += zip(labels, listed_in, strict=False)
        details += [
            ("artifact", f"{copyable(one.path)}, sha256 {one.sha256[:12]}...")
            for one in stage.artifacts
        ]
        details += [("input", f"{copyable(one.path)}, {one.short_state}") for one in stage.inputs]
        return [*lines, *columns(details, indent="      ")]

    def _next(self, plan: Plan, argv: Sequence[str]) -> Iterator[Line]:
        """Yield the command that carries the plan out, with the signals that the gates need."""
        if not argv:
            yield from self._said("to run this: the same command with `run` in place of `plan`")
            return
        words, title = [*argv], "to run this:"
        refused = [gate for gate in plan.gates if not (gate.decision.passed or gate.is_to_come)]
        if refused and plan.outcome is Outcome.BLOCKED:
            words, title = _passing(argv, refused), "once the real checks pass:"
            in_file = [one for one in refused if one.decision.source is GateSource.CONFIG]
            if in_file:
                said = listed([f'{one.decision.gate} = "{one.passing}"' for one in in_file])
                title = f"once the real checks pass, and the config file says {said}:"
        yield from self._said(title)
        yield from map(Line, command_lines((PRODUCT, *words), "    ", self._width))


def _planned_row(gate: GateInForce) -> GateRow:
    """Return the row of a gate; the signal of a source that would be asked is unknown."""
    row, decision = gate_row(gate.decision, gate.passing), gate.decision
    is_asked = decision.source is GateSource.EVIDENCE and decision.passed
    return row._replace(signal="?", verdict="to be asked") if is_asked else row


def _groups(stages: Sequence[PlannedStage], *, may_fold: bool) -> Iterator[Sequence[PlannedStage]]:
    """Yield the stages singly, or as a group if nothing would happen to many in a row."""
    for (action, *_), group in itertools.groupby(
        stages, key=lambda one: (one.action, one.reason, one.error)
    ):
        found = list(group)
        if may_fold and action in _FOLDED and len(found) >= FOLDED_MIN:
            yield found
        else:
            yield from ([one] for one in found)


def _end_of(plan: Plan) -> str:
    if plan.closing_refused is not None:
        return f"done, but not ready to close (exit 1): {printable(plan.closing_refused)}"
    if plan.unrun_stages:
        named = listed(first_of(plan.unrun_stages, STAGES_NAMED_MAX))
        verb = "has" if len(plan.unrun_stages) == 1 else "have"
        return f"done, but not ready to close, as {named} {verb} no binary (--skip-stage allows it)"
    if plan.outcome is Outcome.DONE:
        return "done, if every stage succeeds"
    fails = any(stage.action is PlannedAction.FAIL for stage in plan.stages)
    return f"{plan.outcome.value}, as things are now" if fails else plan.outcome.value


def _shows_secrets(config: RunConfig, argv: Sequence[str], masker: Masker) -> bool:
    """Return whether a command line gives the value of a secret, or contains one."""
    gives = any(True for given in config.stages.values() for _ in given.secret_values())
    return gives or any(map(masker.hides, argv))


def _passing(argv: Sequence[str], refused: Sequence[GateInForce]) -> list[str]:
    """Return a command with passing signals for the gates that refuse, one for each.

    A signal of the config file stays: of two signals the stricter counts.
    """
    asked = {GateSource.CONFIG, GateSource.EVIDENCE}
    given = [one for one in refused if one.decision.source not in asked]
    options = {signal_option(one.decision.gate): one.passing for one in given}
    command, *rest = without_options(argv, options)
    signals = [word for pair in options.items() for word in pair]
    # Options can be anywhere but after `--`.
    return [command, *signals, *rest] if "--" in rest else [command, *rest, *signals]
