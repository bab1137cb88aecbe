"""Drafts the text of a lifecycle for stages in a row, to be read, kept and changed by a person."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence

from fsm_orchestrator.text.phrases import counted


def draft(stages: Sequence[str], approved: Collection[str]) -> str:
    """Return a lifecycle that judges the gates, then runs the stages in their order.

    Before each stage among `approved`, the gate `review` is judged, by which it is approved; the
    stages before the first of them then run once `policy` and `ci` have passed.
    """
    later = [stage for stage in stages if stage in approved and stage != stages[0]]
    return "\n".join((*_lines(stages, later), ""))


def _lines(stages: Sequence[str], later: Sequence[str]) -> Iterator[str]:
    yield "# The lifecycle of this run. `fsm-orchestrator verify` proves what it promises, and"
    yield "# `fsm-orchestrator lifecycle FILE --expand` writes out its states and edges."
    if later:
        yield f"# {', '.join(later)}: only after the gate review has passed, judged there. What"
        yield "# comes before may run without it; nothing is done without all three gates. If it"
        yield '# only plans, say so: { name = "…", effects = false }, and gates_guard = "effects":'
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
