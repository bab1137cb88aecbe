"""Judges assertions about a document. A failure is named by its pointer; values are only compared.

All patterns are matched at once, in a separate process (matching.py), so the assertions are walked
twice, first to find out what has to be matched.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any, Final, NamedTuple, assert_never

from fsm_orchestrator.model.assertions import Assertion, AssertionTest, is_number
from fsm_orchestrator.stages.json_document import ABSENT, at_pointer, kind_words
from fsm_orchestrator.stages.matching import Match, Matcher

_SHOWN_CHARACTERS_MAX: Final = 1000


class Failure(NamedTuple):
    """An assertion that does not hold: its place, what was expected there, and what was found."""

    pointer: str
    expected: str
    found: str


Judge = Callable[[Match], str | None]
"""A function that returns what is wrong with a match, or None if it matches."""


def failures_of(
    document: Any, assertions: Sequence[Assertion], matcher: Matcher, ask: Callable[[], object]
) -> Iterator[Failure]:
    """Yield each test that does not hold, with the first item that fails each `every`.

    `ask` is called repeatedly; an exception from it ends the judging.
    """
    wanted: dict[Match, None] = {}

    def note(match: Match) -> None:
        wanted[match] = None

    walk = _Walk(note, ask)
    for _ in walk.failures(document, assertions, ""):
        pass
    answers = matcher.answers(tuple(wanted)) if wanted else {}
    yield from _Walk(answers.__getitem__, ask).failures(document, assertions, "")


class _Walk:
    """One walk over the assertions about a document."""

    def __init__(self, judge: Judge, ask: Callable[[], object]) -> None:
        self._judge = judge
        self._ask = ask

    def failures(
        self, document: Any, assertions: Iterable[Assertion], base: str
    ) -> Iterator[Failure]:
        for one in assertions:
            found, pointer = at_pointer(document, one.at), base + one.at
            if one.must_be_absent:
                if found is not ABSENT:
                    yield Failure(pointer, "nothing", _shown(found))
                continue
            if found is ABSENT:
                yield Failure(pointer, _asked(one), "nothing: the pointer leads nowhere")
                continue
            for test, operand in one.tests:
                yield from self._test(test, operand, found, pointer)

    def _test(
        self, test: AssertionTest, operand: Any, found: Any, pointer: str
    ) -> Iterator[Failure]:
        self._ask()
        match test:
            case AssertionTest.EVERY | AssertionTest.ANY:
                yield from self._items(test, operand, found, pointer)
            case AssertionTest.MATCHES:
                if not isinstance(found, str):
                    yield Failure(pointer, _words(test, operand), kind_words(found))
                else:
                    wrong = self._judge(Match(operand, found))
                    if wrong is not None:
                        shown = f"{_shown(found)}{wrong and f', {wrong}'}"
                        yield Failure(pointer, _words(test, operand), shown)
            case _:
                if not _holds(test, operand, found):
                    yield Failure(pointer, _words(test, operand), _found_words(test, found))

    def _items(
        self, test: AssertionTest, operand: Assertion, found: Any, pointer: str
    ) -> Iterator[Failure]:
        if not isinstance(found, list):
            yield Failure(pointer, f"an array with {test.value} item as asked", kind_words(found))
            return
        if not found:
            yield Failure(pointer, "an array of at least one item", "an empty array")
            return
        failed = [
            next(self.failures(item, (operand,), f"{pointer}/{number}"), None)
            for number, item in enumerate(found)
        ]
        first = next((one for one in failed if one is not None), None)
        if first is None:
            return
        if test is AssertionTest.EVERY:
            count = sum(one is not None for one in failed)
            more = f" (and {count - 1} more of {len(failed)} items fail)" if count > 1 else ""
            yield first._replace(found=f"{first.found}{more}")
        elif None not in failed:
            yield Failure(
                pointer, f"an item with {_expected(operand)}", f"none of {len(failed)} items"
            )


def _holds(test: AssertionTest, operand: Any, found: Any) -> bool:
    match test:
        case AssertionTest.EQUALS:
            return is_equal(found, operand)
        case AssertionTest.ONE_OF:
            return any(is_equal(found, one) for one in operand)
        case AssertionTest.AT_LEAST:
            return is_number(found) and bool(found >= operand)
        case AssertionTest.AT_MOST:
            return is_number(found) and bool(found <= operand)
        case AssertionTest.LENGTH_AT_LEAST:
            return isinstance(found, str | list | dict) and len(found) >= operand
        case AssertionTest.EXISTS:
            return True  # an absent value was reported before
        case AssertionTest.MATCHES | AssertionTest.EVERY | AssertionTest.ANY:
            raise AssertionError("is judged separately")
        case _:
            assert_never(test)


def is_equal(one: Any, other: Any) -> bool:
    """Return whether two JSON values are the same; true is not 1, but 1 is 1.0."""
    if isinstance(one, bool) or isinstance(other, bool):
        return one is other
    if is_number(one) and is_number(other):
        return bool(one == other)
    if isinstance(one, list) and isinstance(other, list):
        return len(one) == len(other) and all(map(is_equal, one, other))
    if isinstance(one, dict) and isinstance(other, dict):
        return one.keys() == other.keys() and all(
            is_equal(value, other[key]) for key, value in one.items()
        )
    return type(one) is type(other) and bool(one == other)


def _asked(assertion: Assertion) -> str:
    return ", ".join(_words(test, operand) for test, operand in assertion.tests)


def _expected(assertion: Assertion) -> str:
    said = _asked(assertion)
    return f"{said} at {assertion.at}" if assertion.at else said


def _words(test: AssertionTest, operand: Any) -> str:
    """Return the demand of a test as text."""
    match test:
        case AssertionTest.EQUALS:
            return _shown(operand)
        case AssertionTest.ONE_OF:
            return f"one of {', '.join(map(_shown, operand))}"
        case AssertionTest.MATCHES:
            return f"a string that matches {_shown(operand)}"
        case AssertionTest.AT_LEAST:
            return f"at least {_shown(operand)}"
        case AssertionTest.AT_MOST:
            return f"at most {_shown(operand)}"
        case AssertionTest.EXISTS:
            return "something"
        case AssertionTest.LENGTH_AT_LEAST:
            return f"a length of at least {operand}"
        case AssertionTest.EVERY | AssertionTest.ANY:
            return f"{test.value} item with {_expected(operand)}"
        case _:
            assert_never(test)


def _found_words(test: AssertionTest, found: Any) -> str:
    if test is AssertionTest.LENGTH_AT_LEAST and isinstance(found, str | list | dict):
        return f"a length of {len(found)}"
    return _shown(found)


def _shown(value: Any) -> str:
    """Return a value as JSON; a large one is only described, because it would be cut anyway."""
    if isinstance(value, list | dict) and len(value) > _SHOWN_CHARACTERS_MAX // 10:
        return kind_words(value)
    if isinstance(value, str):
        return json.dumps(value[:_SHOWN_CHARACTERS_MAX], ensure_ascii=False)
    try:
        return json.dumps(value, ensure_ascii=False)
    except (ValueError, RecursionError):
        return kind_words(value)
