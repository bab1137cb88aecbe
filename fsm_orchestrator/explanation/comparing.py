"""Compares two runs by their facts, for a person who says that it worked yesterday. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Final

from fsm_orchestrator.constants import PRODUCT, SCHEMA_VERSION
from fsm_orchestrator.explanation.compared_facts import Facts, Key, Looked, facts_of
from fsm_orchestrator.explanation.comparison import (
    Aspect,
    ComparedRun,
    Comparison,
    Difference,
    SameFact,
    Value,
)
from fsm_orchestrator.lifecycle.diff import DiffVerdict, diff

TIMES_LONGER: Final = 2
LONGER_MS: Final = 1_000
"""The smallest difference between durations that is listed: no two runs take equally long."""


def compare(a: Looked, b: Looked) -> Comparison:
    """Return the differences between two runs, the outcome first."""
    of_a, of_b = facts_of(a), facts_of(b)
    keys = sorted({**of_a, **of_b}, key=_Order((*of_a, *of_b)).rank)
    differences = tuple(_differences(keys, of_a, of_b))
    differing = {Key(one.aspect, one.part, one.what, one.name) for one in differences}
    return Comparison(
        schema_version=SCHEMA_VERSION,
        product=PRODUCT,
        a=_compared(a),
        b=_compared(b),
        is_same=not any(one.decides for one in differences),
        compared=len(keys),
        lifecycle_change=_lifecycle_change(a, b),
        differences=differences,
        same=tuple(
            SameFact(**key._asdict(), value=of_a[key]) for key in keys if key not in differing
        ),
    )


class _Order:
    """The order of facts: by aspect, then as in the records, the stages of A before those of B."""

    def __init__(self, keys: Iterable[Key]) -> None:
        self._parts: dict[str | None, int] = {}
        self._whats: dict[tuple[Aspect, str], int] = {}
        for key in keys:
            self._parts.setdefault(key.part, len(self._parts))
            self._whats.setdefault((key.aspect, key.what), len(self._whats))
        self._aspects = {aspect: rank for rank, aspect in enumerate(Aspect)}

    def rank(self, key: Key) -> tuple[int, int, int, str]:
        """Return the sort key of a fact."""
        part, what = self._parts[key.part], self._whats[key.aspect, key.what]
        return self._aspects[key.aspect], part, what, key.name or ""


def _differences(keys: Iterable[Key], of_a: Facts, of_b: Facts) -> Iterator[Difference]:
    for key in keys:
        a, b = of_a.get(key), of_b.get(key)
        if a == b or (key.aspect is Aspect.DURATIONS and not _is_notable(a, b)):
            continue
        yield Difference(**key._asdict(), decides=key.aspect.decides, a=a, b=b)


def _is_notable(a: Value | None, b: Value | None) -> bool:
    """Return whether two durations differ so much that a person should know."""
    if not (isinstance(a, int) and isinstance(b, int)):
        return False  # the stage did not run in one of them, which is reported elsewhere
    shorter, longer = sorted((a, b))
    return longer - shorter >= LONGER_MS and longer >= TIMES_LONGER * shorter


def _lifecycle_change(a: Looked, b: Looked) -> DiffVerdict | None:
    if a.checkpoint.lifecycle_sha256 == b.checkpoint.lifecycle_sha256:
        return None
    return diff(a.checkpoint.lifecycle, b.checkpoint.lifecycle).verdict


def _compared(run: Looked) -> ComparedRun:
    invocation = run.checkpoint.invocation
    return ComparedRun(
        source=run.source,
        run_id=run.checkpoint.run_id,
        standing=run.standing,
        started_at=invocation.started_at,
        finished_at=invocation.finished_at,
        trouble=run.trouble,
    )
