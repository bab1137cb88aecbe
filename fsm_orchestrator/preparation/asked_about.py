"""The subject of a run and the sources of its gates: settled at its start, kept by each resume.

Loaded only if there is a subject or a source.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path

from fsm_orchestrator.config.run_config import RunConfig
from fsm_orchestrator.constants import PRODUCT
from fsm_orchestrator.errors import UsageError
from fsm_orchestrator.gates.demands import about_another, with_demands
from fsm_orchestrator.gates.judging import GateSignal, judge
from fsm_orchestrator.gates.sources.approval import ApprovalSource
from fsm_orchestrator.gates.sources.base import SourceModel
from fsm_orchestrator.gates.subject import resolved_at_start
from fsm_orchestrator.lifecycle.model import State
from fsm_orchestrator.model.evidence import EvidenceRecord, Subject, nothing_from
from fsm_orchestrator.model.gate_rules import GateRule, GateRules
from fsm_orchestrator.model.invocation import GateDecision
from fsm_orchestrator.record.checkpoint import Checkpoint
from fsm_orchestrator.record.work import first_reached
from fsm_orchestrator.text.hidden import shell_line
from fsm_orchestrator.text.phrases import described, needs_approval, signal_option
from fsm_orchestrator.vocabulary import GateSource


def subject_of(config: RunConfig) -> Subject | None:
    """Return the subject that a new run begins with.

    Raises:
        UsageError: it cannot be looked at.
    """
    if config.subject is None:
        return None
    return resolved_at_start(config.subject, Path(config.output_path))


def kept_subject(config: RunConfig, kept: Subject | None) -> Subject | None:
    """Return the subject of a run that is resumed: the one that it began with.

    Raises:
        UsageError: a different one is given now.
    """
    if config.subject is None:
        return kept
    now = resolved_at_start(config.subject, Path(config.output_path))
    if kept == now:
        return kept
    was = "none" if kept is None else _words(kept)
    raise UsageError(
        f"the subject of the run is {was}, and what is given now is {_words(now)}",
        remedy="leave the subject out, or start a new run without --resume",
    )


def sources_in_force(
    config: RunConfig,
    kept: Mapping[str, SourceModel],
    rules: GateRules,
    signals: Iterable[GateSignal] = (),
) -> dict[str, SourceModel]:
    """Return the source of each gate: the one given now, else the kept one.

    `signals` are the kept ones. A signal that refuses a gate can be replaced by one that passes.

    Raises:
        UsageError: people are asked to approve, and the requester is not named, or only by a
            template, which is nobody's name: the requester could then approve. Or a signal is given
            now that is to pass such a gate.
    """
    found = {**kept, **config.sources}
    given = [one for one in signals if one.source is not GateSource.DEFAULT]
    refused = {one.gate for one in given if one.status != rules[one.gate].passing}
    for gate, known in found.items():
        if not isinstance(known, ApprovalSource):
            continue
        if gate not in refused:
            _refuse_signal(config, rules[gate])
        if config.requester is not None and "{" in config.requester:
            raise UsageError(
                f"the requester is {described(config.requester)}: `requester` has no templates",
                remedy=f"give --requester PRINCIPAL, or set `requester` in [gate.{gate}.approval],"
                " which has them",
            )
        source = known if config.requester is None else known.asked_by(config.requester)
        found[gate] = source
        if source.approval.lacks_requester:
            raise UsageError(
                f"the gate {gate} asks people for approval, and the requester may not approve:"
                " it was not said who that is",
                remedy="give --requester PRINCIPAL, as allowed_signers names who starts the"
                f" run, or set `not = []` in [gate.{gate}.approval]",
            )
    return found


def _refuse_signal(config: RunConfig, rule: GateRule) -> None:
    """Refuse a signal that is to pass a gate that people approve.

    One that a config file gives to every run is the looser of the two, and may stay.

    Raises:
        UsageError: one is given.
    """
    is_typed = config.gate_sources.get(rule.name) is not GateSource.CONFIG
    if is_typed and config.gates.get(rule.name) == rule.passing:
        raise UsageError(
            needs_approval(rule.name, rule.passing),
            remedy=f"leave {signal_option(rule.name)} out; once the run waits for it:"
            f" {shell_line((PRODUCT, 'approve', config.output_directory))}",
        )


def _words(subject: Subject) -> str:
    return "; ".join(subject.lines)


def expected(
    rules: GateRules, signals: Iterable[GateSignal], sources: Mapping[str, SourceModel]
) -> tuple[GateDecision, ...]:
    """Judge the gates as if every source passed, whatever a lifecycle demands of signals."""
    return judge(rules, signals, {gate: _hoped(one, None) for gate, one in sources.items()})


def expected_in(
    states: Iterable[State], checkpoint: Checkpoint, why_moved: str | None
) -> tuple[GateDecision, ...]:
    """Judge the gates as if every source passed, by what gate states demand: for plans.

    `why_moved` says how the subject of the run has changed: then no source passes.
    """
    signals, subject = checkpoint.gate_signals, checkpoint.subject
    found = {gate: _hoped(one, subject) for gate, one in checkpoint.sources.items()}
    for state in states:
        reached = first_reached(checkpoint, state.name)
        found = with_demands(found, signals, state, checkpoint.lifecycle, reached)
    if why_moved is not None:
        found = about_another(found, checkpoint.lifecycle.gates, why_moved)
    return judge(checkpoint.lifecycle.gates, signals, found)


def _hoped(source: SourceModel, subject: Subject | None) -> EvidenceRecord:
    bound = () if subject is None or not source.can_name_subject else subject.entries
    detail = f"{source.words} would be asked"
    return nothing_from(source.kind).model_copy(update={"detail": detail, "subject": bound})
