"""Writes the change of a lifecycle as text: for a terminal, or as a comment on a pull request.

Decides nothing: verdict, walks and changes come from diff.py.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import Final, assert_never

from fsm_orchestrator.lifecycle.changes import BoundChange, Change, EdgeOrder, RetriedCodes
from fsm_orchestrator.lifecycle.diff import (
    DiffVerdict,
    EarlySignals,
    Effect,
    EffectsClaim,
    GainedFacts,
    GuardChange,
    LifecycleDiff,
    LostFacts,
    PassingValue,
)
from fsm_orchestrator.lifecycle.findings import Finding
from fsm_orchestrator.lifecycle.labels import walk_lines
from fsm_orchestrator.lifecycle.model import Edge, GatesGuard

_MEANINGS: Final = {
    DiffVerdict.LOOSENS: "the old lifecycle guaranteed more",
    DiffVerdict.TIGHTENS: "the new lifecycle guarantees more",
    DiffVerdict.NEITHER: "the guarantees stay the same",
}
GUARDS: Final = tuple(GatesGuard)
"""The things that gates can guard, from most to least."""
_NO_CHANGE: Final = "no change"
_MARKDOWN_SPECIAL: Final = "\\`*_{}[]<>#|~!&"

Row = tuple[str, str, str]
"""A change: the verb, the part, and the details."""


def diff_text(diff: LifecycleDiff) -> str:
    """Return the change as text for a terminal, ending with a line break."""
    verdict = _NO_CHANGE if diff.is_empty else f"{diff.verdict}: {_MEANINGS[diff.verdict]}"
    lines = [f"{_heading(diff)}: {verdict}"]
    for loosening in diff.loosenings:
        lines.append(f"  - {effect_text(loosening)}")
        lines += [f"      {line}" for line in walk_lines(loosening.walk or ())]
    lines += [f"  + {effect_text(tightening)}" for tightening in diff.tightenings]
    rows = list(_rows(diff))
    if rows:
        lines += ["", "changes:"]
        lines += [f"  {_line(row)}" for row in rows]
    return "\n".join(lines) + "\n"


def diff_markdown(diff: LifecycleDiff) -> str:
    """Return the change as a comment on a pull request, ending with a line break."""
    verdict = _NO_CHANGE if diff.is_empty else diff.verdict.value
    lines = [f"### Lifecycle {_escaped(_heading(diff))}: **{verdict}**", ""]
    lines += [] if diff.is_empty else [_escaped(_sentence(_MEANINGS[diff.verdict])), ""]
    if diff.loosenings:
        lines += ["#### No longer guaranteed", ""]
    for loosening in diff.loosenings:
        lines += [f"- {_escaped(effect_text(loosening))}", ""]
        lines += _fenced(walk_lines(loosening.walk or ()))
    if diff.tightenings:
        lines += ["#### Guaranteed now", ""]
        lines += [*(f"- {_escaped(effect_text(one))}" for one in diff.tightenings), ""]
    rows = list(_rows(diff))
    if rows:
        lines += ["#### Changes", "", "| change | part | what |", "|---|---|---|"]
        lines += [f"| {change} | `{part}` | {_escaped(what)} |" for change, part, what in rows]
    return "\n".join(lines).rstrip("\n") + "\n"


def _heading(diff: LifecycleDiff) -> str:
    if diff.old.name == diff.new.name:
        return diff.new.name
    return f"{diff.old.name} -> {diff.new.name}"


def effect_text(effect: Effect) -> str:
    """Return the name of the state, and the guarantee that it lost or gained."""
    reason = reason_text(effect)
    return f"{effect.target}: {reason}" if effect.target else reason


def reason_text(effect: Effect) -> str:
    """Return the lost or gained guarantee."""
    match effect.cause:
        case LostFacts(facts, is_done):
            verb = "reached" if is_done else "entered"
            return f"can be {verb} although this is not certain: {', '.join(map(str, facts))}"
        case GainedFacts(facts):
            return f"certain now and not before: {', '.join(map(str, facts))}"
        case BoundChange() as bound:
            return _bound(bound)
        case Finding() as finding:
            is_named = finding.state is not None or not finding.part
            return finding.reason if is_named else f"{finding.part}: {finding.reason}"
        case PassingValue(gate, was, now):
            return f"gate {gate}: {now} passes it, and {was} did"
        case GuardChange() as change:
            return _guard(change)
        case EffectsClaim.MADE:
            return "effects: it is claimed now, and not proved, that only its artifacts change"
        case EffectsClaim.TAKEN_BACK:
            return "effects: it counts as a stage that changes more than its artifacts"
        case EarlySignals.REFUSED:
            return "accepts_early_signals: a signal has to be given once there is a result"
        case EarlySignals.ACCEPTED:
            return "accepts_early_signals: a signal may be given before there is a result"
        case _:
            assert_never(effect.cause)


def _guard(change: GuardChange) -> str:
    is_looser = GUARDS.index(change.now) > GUARDS.index(change.was)
    stages = {
        (GatesGuard.STAGES, GatesGuard.EFFECTS): "stages that claim to have no effects",
        (GatesGuard.EFFECTS, GatesGuard.CLOSURE): "stages with effects",
    }.get((change.was, change.now) if is_looser else (change.now, change.was), "stages")
    promised = "no longer promised" if is_looser else "promised"
    return f"gates_guard: {stages} are {promised} to come after the gates"


def change_text(change: Change) -> str:
    """Return the key and both values."""
    return f"{change.key}: {_was_is(change)}"


def reordered_text(order: EdgeOrder) -> str:
    """Name the edges that are tried in another order."""
    return f"edges for {order.trigger} from {order.source} are tried in another order"


def _bound(bound: BoundChange) -> str:
    match bound.what:
        case RetriedCodes(codes):
            verb = "also" if bound.is_looser else "no longer"
            of_signals = all(isinstance(one, str) for one in codes)
            after = "" if of_signals else "exit "
            return f"is {verb} tried again after {after}{', '.join(map(str, codes))}"
        case Change() as change:
            of_edge = f" of {_edge(bound.edge)}" if bound.edge else ""
            return f"{change.key}{of_edge}: {_was_is(change)}"
        case _:
            assert_never(bound.what)


def _was_is(change: Change) -> str:
    return f"was {_value(change.was, change.default)}, is {_value(change.now, change.default)}"


def _value(value: object, default: int | None) -> str:
    match value:
        case None:
            return "not set" if default is None else f"not set ({default})"
        case ():
            return "none"
        case tuple():
            return ", ".join(map(str, value))
        case bool():
            return str(value).lower()
        case _:
            return str(value)


def _rows(diff: LifecycleDiff) -> Iterator[Row]:
    for change in diff.changed_keys:
        yield "changed", change.key, _was_is(change)
    for name in diff.added_gates:
        yield "added", f"gate {name}", f"passes: {diff.new.gates[name].passing}"
    for name in diff.removed_gates:
        yield "removed", f"gate {name}", f"passes: {diff.old.gates[name].passing}"
    for gate in diff.changed_gates:
        yield "changed", f"gate {gate.name}", "; ".join(map(change_text, gate.changes))
    for name in diff.added_states:
        yield "added", f"state {name}", f"kind {diff.new.states[name].kind}"
    for name in diff.removed_states:
        yield "removed", f"state {name}", f"kind {diff.old.states[name].kind}"
    for old, new in diff.renamed_states:
        yield "renamed", f"state {old}", f"is {new} now"
    for state in diff.changed_states:
        yield "changed", f"state {state.name}", "; ".join(map(change_text, state.changes))
    for edge in diff.added_edges:
        yield "added", _edge(edge), _conditions(edge)
    for edge in diff.removed_edges:
        yield "removed", _edge(edge), _conditions(edge)
    for before, after in diff.changed_edges:
        yield "changed", _edge(after), f"was {_conditions(before)}, is {_conditions(after)}"
    for order in diff.reordered:
        yield "reordered", reordered_text(order), ""


def _edge(edge: Edge) -> str:
    return f"{edge.source} --{edge.trigger}--> {edge.dest}"


def _conditions(edge: Edge) -> str:
    keys: Iterable[tuple[str, object]] = (
        ("guard", edge.guard),
        ("unless", edge.unless),
        ("at_most", edge.at_most),
    )
    said = " ".join(f"{key} {value}" for key, value in keys if value is not None)
    return f"{said} ({edge.why})" if said else f"always ({edge.why})"


def _line(row: Row) -> str:
    change, part, what = row
    return f"{change} {part}" + (f": {what}" if what else "")


def _fenced(lines: Sequence[str]) -> list[str]:
    """Put lines between fences that are longer than any run of backticks in them."""
    if not lines:
        return []
    fence = "```"
    while any(fence in line for line in lines):
        fence += "`"
    return [f"  {line}" for line in (f"{fence}text", *lines, fence)] + [""]


def _escaped(text: str) -> str:
    """Escape what Markdown would interpret: titles and reasons are free text."""
    return "".join(f"\\{one}" if one in _MARKDOWN_SPECIAL else one for one in text)


def _sentence(text: str) -> str:
    return f"{text[:1].upper()}{text[1:]}."
