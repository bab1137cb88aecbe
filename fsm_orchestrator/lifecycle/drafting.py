"""Drafts the text of a lifecycle for stages in a row, to be read, kept and changed by a person."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence
from typing import Final

RESERVED: Final = frozenset({"pending", "gating", "done", "blocked", "failed", "timeout"})
"""The names of the states that a draft has beside its stages."""
_ENDS: Final = ("done", "blocked", "failed", "timeout")


def gate_before(stage: str) -> str:
    """Return the name of the gate state in which a stage is approved."""
    return f"approve_{stage}"


def draft(stages: Sequence[str], approved: Collection[str]) -> str:
    """Return a lifecycle that judges the gates, then runs the stages in their order.

    Before each stage among `approved`, the gate `review` is judged, by which it is approved; the
    stages before the first of them then run once `policy` and `ci` have passed.
    """
    later = [stage for stage in stages if stage in approved and stage != stages[0]]
    return "\n".join(_lines(stages, later))


def _lines(stages: Sequence[str], later: Sequence[str]) -> Iterator[str]:
    gates = [gate_before(stage) for stage in later]
    steps = [
        step for one in stages for step in ((gate_before(one), one) if one in later else (one,))
    ]
    guard = "closure" if later else "stages"
    first = '["policy", "ci"]' if later else '["policy", "ci", "review"]'
    yield "# The lifecycle of this run. `fsm-orchestrator verify` proves what it promises."
    if later:
        yield f"# {', '.join(later)}: only after the gate review has passed, judged there. What"
        yield "# comes before may run without it; nothing is done without all three gates. If it"
        yield '# only plans, say `effects = false` in its state and `gates_guard = "effects"` here:'
        yield "# `verify` then proves that nothing else runs before that gate."
    yield 'schema_version = 1\nname = "own_stages"'
    yield f'title = "{len(stages)} stages in a row"\ninitial = "pending"'
    yield f'gates_guard = "{guard}"\n'
    yield from _state("pending", "initial")
    yield from _state("gating", "gate", f"gates = {first}")
    for step in steps:
        if step in gates:
            yield from _state(step, "gate", 'gates = ["review"]')
        else:
            yield from _state(step, "stage")
    for end in _ENDS:
        yield from _state(end, "terminal", f'outcome = "{end}"')
    yield from _edge("start", "pending", "gating", "the gates are judged first")
    for step, following in zip(("gating", *steps), steps, strict=False):
        trigger = "gates_passed" if step in {"gating", *gates} else "stage_succeeded"
        yield from _edge(trigger, step, following, f"{step} is behind the run")
    last = stages[-1]
    why = "an artifact that was good is gone or broken"
    yield from _edge("stage_succeeded", last, "failed", why, 'unless = "artifacts_intact"')
    why = "a gate that passed no longer does"
    yield from _edge("stage_succeeded", last, "blocked", why, 'unless = "gates_hold"')
    yield from _edge("stage_succeeded", last, "done", "all stages succeeded and the gates hold")
    for gate in ("gating", *gates):
        yield from _edge("gates_refused", gate, "blocked", "a signal is missing or does not pass")
    yield from _edge("stage_failed", stages, "failed", "a stage failed")
    yield from _edge("stage_timed_out", stages, "timeout", "a stage outlived its time")
    alive = ("pending", "gating", *steps)
    yield from _edge("run_aborted", alive, "failed", "the run was ended, or could not be recorded")
    yield from _edge(
        "resume", (*alive, *_ENDS[1:]), "gating", "a resume answers to the gates again"
    )


def _state(name: str, kind: str, *more: str) -> Iterator[str]:
    yield "\n".join(("[[state]]", f'name = "{name}"', f'kind = "{kind}"', *more, ""))


def _edge(
    trigger: str, source: str | Sequence[str], dest: str, why: str, *more: str
) -> Iterator[str]:
    names = (source,) if isinstance(source, str) else source
    sources = ", ".join(f'"{name}"' for name in names)
    lines = ("[[transition]]", f'trigger = "{trigger}"', f"source = [{sources}]")
    yield "\n".join((*lines, f'dest = "{dest}"', *more, f'why = "{why}"', ""))
