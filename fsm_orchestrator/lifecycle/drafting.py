"""Drafts the text of a lifecycle with stages in a row, for a person to read, keep and change."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence

from fsm_orchestrator.text.phrases import counted


def draft(stages: Sequence[str], approved: Collection[str]) -> str:
    """Return a lifecycle that judges the gates, then runs the stages in their order.

    Each stage in `approved` is preceded by the gate `review`, which approves it; the stages before
    the first of these then run once `policy` and `ci` have passed.
    """
    later = [stage for stage in stages if stage in approved and stage != stages[0]]
    return "\n".join((*_lines(stages, later), ""))


def _lines(stages: Sequence[str], later: Sequence[str]) -> Iterator[str]:
    yield "# The lifecycle of this run. `fsm-orchestrator verify` proves what it promises, and"
    yield "# `fsm-orchestrator lifecycle FILE --expand` writes out its states and edges."
    if later:
        yield f"# {', '.join(later)}: only after the gate review has passed, judged there. What"
        yield "# comes before may run without it; nothing is done without all three gates. If it"
        yield '# only plans, declare { name = "…", effects = false } and gates_guard = "effects":'
        yield "# `verify` then proves that nothing else runs before that gate."
    yield "schema_version = 1"
    yield 'name = "own_stages"'
    yield f'title = "{counted(len(stages), "stage")} in a row"'
    if later:
        yield 'gates_guard = "closure"'
    yield f"stages = [{', '.join(map(_quoted, stages))}]"
    if later:
        placed = [f'{{ name = "review", before = "{stage}" }}' for stage in later]
        yield f'gates = ["policy", "ci", {", ".join(placed)}]'
    else:
        yield 'gates = ["policy", "ci", "review"]'


def _quoted(name: str) -> str:
    return f'"{name}"'
