"""The differences between two runs, as lines: the outcome first, equal aspects on one line."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Final, NamedTuple

from fsm_orchestrator.cli.console import has_unicode
from fsm_orchestrator.cli.formatting import age, columns, sentences
from fsm_orchestrator.cli.screen import Line
from fsm_orchestrator.cli.style import Mark, ellipsis, lead_cells
from fsm_orchestrator.explanation.comparison import (
    Aspect,
    ComparedRun,
    Comparison,
    Difference,
    Fact,
    Value,
)
from fsm_orchestrator.lifecycle.diff import DiffVerdict
from fsm_orchestrator.model.spelled_out import NAMES_OF
from fsm_orchestrator.model.stage_options import BOUNDS
from fsm_orchestrator.text.cells import cells, cut
from fsm_orchestrator.text.hidden import copyable, shell_words
from fsm_orchestrator.text.phrases import counted, span_ms
from fsm_orchestrator.text.units import as_typed, span_words
from fsm_orchestrator.vocabulary import Standing

SHOWN_MAX: Final = 10
"""The maximum number of differences shown of one group; --all shows every one."""
_DIGEST_CELLS: Final = 12
_LEFT_OF_FIRST: Final = 24
"""The characters of two long texts that are shown before their first difference."""
_LABEL_CELLS_MAX: Final = 40


class _Group(NamedTuple):
    title: str
    aspects: tuple[Aspect, ...]
    mark: Mark


_GROUPS: Final = (
    _Group("how they ended", (Aspect.OUTCOME, Aspect.WAY, Aspect.STAGES), Mark.BAD),
    _Group(
        "what they were given",
        (
            *(Aspect.LIFECYCLE, Aspect.SUBJECT, Aspect.GATES, Aspect.COMMANDS, Aspect.PROGRAMS),
            *(Aspect.SETTINGS, Aspect.ENVIRONMENT, Aspect.INPUTS),
        ),
        Mark.WAITING,
    ),
    _Group("what they left", (Aspect.ARTIFACTS,), Mark.WAITING),
    _Group(
        "where, and how long",
        (Aspect.VERSIONS, Aspect.HOST, Aspect.DURATIONS),
        Mark.LEFT_OUT,
    ),
)
_NAMES: Final = {**NAMES_OF, "duration_ms": "duration"}
_CHANGES: Final = {
    DiffVerdict.LOOSENS: "B's lifecycle guarantees less than A's",
    DiffVerdict.TIGHTENS: "B's lifecycle guarantees more than A's",
    DiffVerdict.NEITHER: "B's lifecycle guarantees what A's does",
}


def comparison_lines(
    found: Comparison, typed: Sequence[str], width: int, *, in_full: bool
) -> Iterator[Line]:
    """Yield the verdict, the two runs, the differences by group, and what is the same."""
    yield from _verdict(found, width)
    yield Line("")
    yield from _runs(found, typed, width)
    for group in _GROUPS:
        differing = [one for aspect in group.aspects for one in found.differences_in(aspect)]
        if differing:
            yield Line("")
            yield Line(group.title)
            yield from _group_lines(found, group, differing, width, in_full=in_full)
    yield Line("")
    if in_full:
        yield from _same_in_full(found, width)
    elif found.same_aspects:
        said = f"the same: {', '.join(one.value for one in found.same_aspects)}"
        yield from _dim(said, width)
    yield from _dim("values of variables, and masked text, are not compared", width)


def _dim(said: str, width: int) -> Iterator[Line]:
    for line in sentences(said, width, indent="", hanging="  "):
        yield Line(line, is_dim=True)


def _verdict(found: Comparison, width: int) -> Iterator[Line]:
    deciding = sum(one.decides for one in found.differences)
    if found.is_same:
        mark, said = Mark.GOOD, f"the same in all {counted(found.compared, 'thing')} compared"
        if found.differences:
            said += ", except for how long they took"
    else:
        has_failed = found.b.standing in {Standing.FAILED, Standing.TIMEOUT}
        is_worse = has_failed and found.a.standing is not found.b.standing
        mark = Mark.BAD if is_worse else Mark.WAITING
        said = f"they differ in {deciding} of {counted(found.compared, 'thing')}"
        if found.a.standing is not found.b.standing:
            said = f"A {found.a.standing.words}, B {found.b.standing.words}: {said}"
    first, *rest = sentences(said, width - lead_cells(), indent="", hanging="  ")
    yield Line(first, mark)
    yield from map(Line, rest)


def _runs(found: Comparison, typed: Sequence[str], width: int) -> Iterator[Line]:
    runs = list(zip("AB", (found.a, found.b), typed, strict=True))
    rows = [
        (name, copyable(path), run.run_id, run.standing.words, _when(run))
        for name, run, path in runs
    ]
    lines = [*columns(rows)]
    if any(cells(one) > width for one in lines):
        lines = [*columns(row for one in rows for row in _stacked(*one))]
    yield from map(Line, lines)
    for name, run, _ in runs:
        if run.trouble is not None:
            yield Line(f"{name}: {run.trouble}", Mark.WAITING)


def _stacked(
    name: str, path: str, run_id: str, standing: str, when: str
) -> Iterator[tuple[str, str]]:
    """Yield the facts about a run one below the other, for a narrow screen."""
    yield name, path
    yield "", run_id
    yield "", f"{standing}, {when}"


def _when(run: ComparedRun) -> str:
    began = f"{age(run.started_at)} ago"
    if run.finished_at is None:
        return began
    return f"{began}, took {span_words(span_ms(run.started_at, run.finished_at))}"


def _group_lines(
    found: Comparison, group: _Group, differing: Sequence[Difference], width: int, *, in_full: bool
) -> Iterator[Line]:
    if Aspect.LIFECYCLE in group.aspects and found.lifecycle_change is not None:
        is_looser = found.lifecycle_change is DiffVerdict.LOOSENS
        said = _CHANGES[found.lifecycle_change]
        yield Line(said, Mark.BAD if is_looser else Mark.WAITING)
    shown = differing if in_full else differing[:SHOWN_MAX]
    labels = [_label(one) for one in shown]
    label_cells = min(max(map(cells, labels)), _LABEL_CELLS_MAX)
    for label, one in zip(labels, shown, strict=True):
        yield from _difference_lines(label, one, group.mark, label_cells, width, in_full=in_full)
    if len(shown) < len(differing):
        said = f"{ellipsis()} {len(differing) - len(shown)} more: --all shows them"
        yield Line(f"{' ' * lead_cells()}{said}", is_dim=True)


def _label(fact: Fact) -> str:
    what = _NAMES.get(fact.what, fact.what).replace("_", " ")
    words = (fact.part, what, None if fact.name is None else copyable(fact.name))
    return " ".join(one for one in words if one is not None)


def _difference_lines(
    label: str, one: Difference, mark: Mark, label_cells: int, width: int, *, in_full: bool
) -> Iterator[Line]:
    """Yield one line if both values fit on it, else one for each of them."""
    room = width - lead_cells() - label_cells - 2
    padding = " " * max(label_cells - cells(label), 0)
    said = _in_one(one)
    if cells(label) <= label_cells and cells(said) <= room:
        yield Line(f"{label}{padding}  {said}", mark)
        return
    yield Line(label, mark)
    indent = " " * (lead_cells() + 2)
    if one.a is None or one.b is None:
        name, value = ("A", one.a) if one.b is None else ("B", one.b)
        yield from _value_lines(f"{indent}only {name}  ", _shown(one, value), width)
        return
    a, b = _shown(one, one.a), _shown(one, one.b)
    if not in_full:
        a, b = _parting(a, b, width - len(indent) - 3)
    yield from _value_lines(f"{indent}A  ", a, width)
    yield from _value_lines(f"{indent}B  ", b, width)


def _value_lines(indent: str, value: str, width: int) -> Iterator[Line]:
    yield from map(Line, sentences(value, width, indent=indent, hanging=" " * len(indent)))


def _in_one(one: Difference) -> str:
    if one.aspect is Aspect.ENVIRONMENT:
        return "only B" if one.a is None else "only A"
    if one.a is None:
        return f"only B: {_shown(one, one.b)}"
    if one.b is None:
        return f"only A: {_shown(one, one.a)}"
    arrow = "→" if has_unicode() else "->"
    return f"{_shown(one, one.a)} {arrow} {_shown(one, one.b)}"


_DIGESTS: Final = frozenset(
    {Aspect.PROGRAMS, Aspect.INPUTS, Aspect.ARTIFACTS, Aspect.SUBJECT, Aspect.LIFECYCLE}
)


def _shown(fact: Fact, value: Value | None) -> str:
    """Return a value as people read it: a duration as typed, the beginning of a digest."""
    match value:
        case None:
            return "nothing"
        case bool():
            return "yes" if value else "no"
        case int():
            if fact.aspect is Aspect.DURATIONS:
                return span_words(value)
            bounds = BOUNDS.get(fact.what)
            if bounds is None or bounds.measure is None:
                return str(value)
            return as_typed(value, bounds.measure)
        case tuple():
            return " ".join(shell_words(value))
        case _:
            is_digest = fact.aspect in _DIGESTS and fact.what != "lifecycle"
            return value[:_DIGEST_CELLS] if is_digest else value


def _parting(a: str, b: str, room: int) -> tuple[str, str]:
    """Return two texts cut to a line around the point where they begin to differ."""
    if max(cells(a), cells(b)) <= room:
        return a, b
    pairs = enumerate(zip(a, b, strict=False))
    same = next((index for index, (one, other) in pairs if one != other), min(len(a), len(b)))
    more = ellipsis()
    start = max(same - _LEFT_OF_FIRST, 0)
    head = more if start else ""
    return cut(head + a[start:], room, more), cut(head + b[start:], room, more)


def _same_in_full(found: Comparison, width: int) -> Iterator[Line]:
    if not found.same:
        return
    yield Line(f"the same: {counted(len(found.same), 'thing')}")
    labels = [_label(one) for one in found.same]
    label_cells = min(max(map(cells, labels)), _LABEL_CELLS_MAX)
    for label, one in zip(labels, found.same, strict=True):
        indent = f"  {label}{' ' * max(label_cells - cells(label), 0)}  "
        if one.aspect is Aspect.ENVIRONMENT:
            yield Line(indent.rstrip(), is_dim=True)
            continue
        value = _shown(one, one.value)
        for line in sentences(value, width, indent=indent, hanging=" " * (label_cells + 4)):
            yield Line(line, is_dim=True)
