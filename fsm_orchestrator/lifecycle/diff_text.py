"""A lifecycle's change in words: for a terminal, and as a comment for a pull request.

Decides nothing: verdict, walks and changes are lifecycle_diff.py's. Draws nothing either.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import Final

from fsm_orchestrator.lifecycle.diff import LifecycleDiff, Loosening
from fsm_orchestrator.lifecycle.labels import walk_lines
from fsm_orchestrator.lifecycle.model import Edge
from fsm_orchestrator.vocabulary import DiffVerdict

_VERDICTS: Final = {
    DiffVerdict.LOOSENS: "loosens: the old lifecycle guaranteed more",
    DiffVerdict.TIGHTENS: "tightens: the new lifecycle guarantees more",
    DiffVerdict.NEITHER: "neither: what is guaranteed stays as it was",
}
_MARKDOWN_SPECIAL: Final = "\\`*_{}[]<>#|~!&"

Row = tuple[str, str, str]
"""A change: what was done, to what, and in what it consists."""


def diff_text(diff: LifecycleDiff) -> str:
    """The change for a person at a terminal; ends with a line break."""
    lines = [f"{_heading(diff)}: {_verdict(diff)}"]
    for loosening in diff.loosenings:
        lines.append(f"  - {_labelled(loosening)}")
        lines += [f"      {line}" for line in walk_lines(loosening.walk or ())]
    lines += [f"  + {words}" for words in diff.tightenings]
    rows = list(_rows(diff))
    if rows:
        lines += ["", "changes:"]
        lines += [f"  {_line(row)}" for row in rows]
    return "\n".join(lines) + "\n"


def diff_markdown(diff: LifecycleDiff) -> str:
    """The change as a comment to paste into a pull request; ends with a line break."""
    verdict, _, meaning = _verdict(diff).partition(": ")
    lines = [f"### Lifecycle {_escaped(_heading(diff))}: **{verdict}**", ""]
    lines += [f"{_escaped(_sentence(meaning))}", ""] if meaning else []
    if diff.loosenings:
        lines += ["#### No longer guaranteed", ""]
    for loosening in diff.loosenings:
        lines += [f"- {_escaped(_labelled(loosening))}", ""]
        lines += _fenced(walk_lines(loosening.walk or ()))
    if diff.tightenings:
        lines += ["#### Guaranteed now", ""]
        lines += [*(f"- {_escaped(words)}" for words in diff.tightenings), ""]
    rows = list(_rows(diff))
    if rows:
        lines += ["#### Changes", "", "| change | part | what |", "|---|---|---|"]
        lines += [f"| {change} | `{part}` | {_escaped(what)} |" for change, part, what in rows]
    return "\n".join(lines).rstrip("\n") + "\n"


def _heading(diff: LifecycleDiff) -> str:
    if diff.old.name == diff.new.name:
        return diff.new.name
    return f"{diff.old.name} -> {diff.new.name}"


def _verdict(diff: LifecycleDiff) -> str:
    return "no change" if diff.is_empty else _VERDICTS[diff.verdict]


def _labelled(loosening: Loosening) -> str:
    return f"{loosening.target}: {loosening.reason}" if loosening.target else loosening.reason


def _rows(diff: LifecycleDiff) -> Iterator[Row]:
    for words in diff.changed_keys:
        key, _, what = words.partition(": ")
        yield "changed", key, what
    for name in diff.added_states:
        yield "added", f"state {name}", f"kind {diff.new.states[name].kind}"
    for name in diff.removed_states:
        yield "removed", f"state {name}", f"kind {diff.old.states[name].kind}"
    for old, new in diff.renamed_states:
        yield "renamed", f"state {old}", f"is {new} now"
    for change in diff.changed_states:
        yield "changed", f"state {change.name}", "; ".join(change.changes)
    for edge in diff.added_edges:
        yield "added", _edge(edge), _conditions(edge)
    for edge in diff.removed_edges:
        yield "removed", _edge(edge), _conditions(edge)
    for before, after in diff.changed_edges:
        yield "changed", _edge(after), f"was {_conditions(before)}, is {_conditions(after)}"
    for words in diff.reordered:
        yield "reordered", words, ""


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
    """Lines as they are, between fences longer than any run of backticks among them."""
    if not lines:
        return []
    fence = "```"
    while any(fence in line for line in lines):
        fence += "`"
    return [f"  {line}" for line in (f"{fence}text", *lines, fence)] + [""]


def _escaped(text: str) -> str:
    """Text that Markdown shows as it is: titles and reasons are whatever a file says."""
    return "".join(f"\\{one}" if one in _MARKDOWN_SPECIAL else one for one in text)


def _sentence(text: str) -> str:
    return f"{text[:1].upper()}{text[1:]}."
