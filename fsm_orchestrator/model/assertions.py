"""Assertions about a JSON document, which are data: read and refused here, judged by the stages.

`{ at = "/final_state", equals = "Done" }`: a pointer (RFC 6901), and what must hold there. If a
table has several tests, all of them must hold; `every` and `any` contain an assertion about items
of an array. Pure.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from enum import StrEnum
from typing import Annotated, Any, Final, NamedTuple

from fsm_orchestrator.model.declared import BeforeValidator, WithJsonSchema
from fsm_orchestrator.text.phrases import described, suggestion

NESTING_MAX: Final = 4
"""The deepest nesting of `every` and `any`."""
PATTERN_CHARACTERS_MAX: Final = 1000
_POINTER: Final = r"^(/([^~]|~[01])*)?$"


class AssertionTest(StrEnum):
    """A test of the value at an assertion's pointer."""

    EQUALS = "equals"
    ONE_OF = "one_of"
    MATCHES = "matches"
    AT_LEAST = "at_least"
    AT_MOST = "at_most"
    EXISTS = "exists"
    LENGTH_AT_LEAST = "length_at_least"
    EVERY = "every"
    ANY = "any"


class Assertion(NamedTuple):
    """An assertion that was read.

    Attributes:
        at: the pointer.
        tests: what must hold there, each test with its operand; that of `every` and `any` is an
            `Assertion`.
    """

    at: str
    tests: tuple[tuple[AssertionTest, Any], ...]

    @property
    def must_be_absent(self) -> bool:
        """True if nothing may be at the pointer."""
        return (AssertionTest.EXISTS, False) in self.tests

    @property
    def words(self) -> str:
        """The assertion on one line, for people: `/final_state equals "Done"`."""
        return " and ".join(
            f"{self.at or 'all of it'} {test.value} {_operand_words(operand)}"
            for test, operand in self.tests
        )


def _operand_words(operand: Any) -> str:
    is_inner = isinstance(operand, Assertion)
    return f"({operand.words})" if is_inner else json.dumps(operand, ensure_ascii=False)


def read_assertion(table: Any, depth: int = 0) -> Assertion:
    """Read an assertion from a table.

    Raises:
        ValueError: it is not an assertion; the message says why.
    """
    if not isinstance(table, Mapping):
        raise ValueError("an assertion is a table, such as { at = '/state', equals = 'done' }")  # noqa: TRY004 - pydantic's protocol
    at = table.get("at")
    if not isinstance(at, str):
        raise ValueError("an assertion needs `at`, a pointer such as '/state', or '' for all of it")  # noqa: TRY004
    if not re.fullmatch(_POINTER, at, re.DOTALL):
        raise ValueError(
            f"{described(at)} is not a JSON pointer (RFC 6901): begin it with a slash, write a"
            " tilde as ~0 and a slash in a name as ~1"
        )
    tests = []
    for key, value in table.items():
        if key == "at":
            continue
        try:
            test = AssertionTest(key)
        except ValueError:
            known = ("at", *(one.value for one in AssertionTest))
            raise ValueError(
                f"{described(str(key))} is not a test{suggestion(str(key), known)}"
                f"; the tests are {', '.join(known[1:])}"
            ) from None
        tests.append((test, _operand(test, value, depth)))
    if not tests:
        raise ValueError(f"the assertion at {described(at)} says nothing: give it a test")
    found = Assertion(at, tuple(tests))
    if found.must_be_absent and len(tests) > 1:
        raise ValueError("exists = false must be alone: nothing else holds for what is not there")
    return found


def _operand(test: AssertionTest, value: Any, depth: int) -> Any:
    """Return the operand of a test.

    Raises:
        ValueError: the test does not take such a value.
    """
    match test:
        case AssertionTest.EQUALS:
            return value
        case AssertionTest.ONE_OF:
            if not isinstance(value, list | tuple) or not value:
                raise ValueError("one_of takes a list of at least one value")
            return tuple(value)
        case AssertionTest.MATCHES:
            return _pattern(value)
        case AssertionTest.AT_LEAST | AssertionTest.AT_MOST:
            if not is_number(value):
                raise ValueError(f"{test.value} takes a number")
            return value
        case AssertionTest.EXISTS:
            if not isinstance(value, bool):
                raise ValueError("exists is true or false")  # noqa: TRY004 - pydantic's protocol
            return value
        case AssertionTest.LENGTH_AT_LEAST:
            if type(value) is not int or value < 0:
                raise ValueError("length_at_least takes a whole number")
            return value
        case AssertionTest.EVERY | AssertionTest.ANY:
            if depth >= NESTING_MAX:
                raise ValueError(f"every and any can be nested at most {NESTING_MAX} deep")
            return read_assertion(value, depth + 1)


def _pattern(value: Any) -> str:
    if not isinstance(value, str) or len(value) > PATTERN_CHARACTERS_MAX:
        raise ValueError(f"matches takes a pattern of at most {PATTERN_CHARACTERS_MAX} characters")
    try:
        re.compile(value)
    except (re.error, OverflowError, RecursionError) as error:
        raise ValueError(f"{described(value)} is not a regular expression: {error}") from None
    return value


def is_number(value: Any) -> bool:
    """Return whether a value is a number: true and false are not, whatever Python says."""
    return isinstance(value, int | float) and not isinstance(value, bool)


def _checked(table: Any) -> Any:
    """Check that a table is an assertion, and return it as plain data."""
    read_assertion(table)
    return _plain(table)


def _plain(value: Any) -> Any:
    """Return a value in JSON's own types."""
    if isinstance(value, Mapping):
        return {str(key): _plain(one) for key, one in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(one) for one in value]
    if value is None or isinstance(value, str | int | float):
        return value
    raise ValueError(f"{described(value)} is not a JSON value")


_SCHEMA_OF_INNERMOST: Final = {
    "type": "object",
    "required": ["at"],
    "propertyNames": {"type": "string", "enum": ["at", *(one.value for one in AssertionTest)]},
    "additionalProperties": {"description": "As in the assertion around it."},
}
"""The JSON Schema of an assertion inside an assertion inside an assertion."""


def _schema(*, is_item: bool = False) -> dict[str, Any]:
    """Return the JSON Schema of an assertion; it says little about items of items."""
    tests: dict[str, Any] = {
        "equals": {"description": "The value that has to be there, of the same kind."},
        "one_of": {
            "description": "Values of which one has to be there.",
            "type": "array",
            "minItems": 1,
        },
        "matches": {
            "description": "Pattern (Python's) that has to match the whole string there.",
            "type": "string",
            "maxLength": PATTERN_CHARACTERS_MAX,
        },
        "at_least": {"description": "Least number that may be there.", "type": "number"},
        "at_most": {"description": "Greatest number that may be there.", "type": "number"},
        "exists": {
            "description": "Whether there has to be something, or must not be.",
            "type": "boolean",
        },
        "length_at_least": {
            "description": "Least length of the string, array or object there.",
            "type": "integer",
            "minimum": 0,
        },
    }
    item = _SCHEMA_OF_INNERMOST if is_item else _schema(is_item=True)
    tests["every"] = {
        **item,
        "description": "Assertion that has to hold for every item of the array there, which has to"
        " have one.",
    }
    tests["any"] = {
        **item,
        "description": "Assertion that has to hold for an item of the array there.",
    }
    return {
        "type": "object",
        "additionalProperties": False,
        "required": ["at"],
        "minProperties": 2,
        "properties": {
            "at": {
                "description": "JSON pointer (RFC 6901) to what it is about; empty for all of it.",
                "type": "string",
                "pattern": _POINTER,
            },
            **tests,
        },
    }


AssertionTable = Annotated[
    dict[str, Any],
    BeforeValidator(_checked),
    WithJsonSchema(_schema()),
]
"""The type of an assertion as an operator wrote it."""
