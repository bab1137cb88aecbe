"""Damage a checkpoint: its bytes, its values, its keys."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from enum import StrEnum
from typing import Any, Final

from hypothesis import strategies as st

from fsm_orchestrator import vocabulary
from tests.support.places import of_each_kind
from tests.sweeps.checkpoint_cases import SWEPT, Document, Place

# -- documents and changes to them -----------------------------------------------------------


def places(value: Any, place: Place = ()) -> Iterator[Place]:
    """Yield the path of everything inside of a value."""
    keys = range(len(value)) if isinstance(value, list) else value
    for key in keys if isinstance(value, dict | list) else ():
        yield (*place, key)
        yield from places(value[key], (*place, key))


def at(document: Any, place: Place) -> Any:
    """Return the value at a path."""
    for key in place:
        document = document[key]
    return document


def with_value(document: Any, place: Place, value: Any) -> Any:
    """Return the document with another value at a path; what is not on the path is shared."""
    if not place:
        return value
    key, *rest = place
    copy: Any = list(document) if isinstance(document, list) else dict(document)
    copy[key] = with_value(document[key], tuple(rest), value)
    return copy


def put(document: Any, place: Place, value: Any) -> Any:
    """Return the same, or the document unchanged if it no longer has such a path."""
    try:
        return with_value(document, place, value)
    except (LookupError, TypeError, ValueError):
        return document


def encoded(document: object) -> bytes:
    """Return a document as JSON."""
    return json.dumps(document).encode()


WORDS: Final = tuple(
    tuple(member.value for member in kind)
    for kind in vars(vocabulary).values()
    if isinstance(kind, type) and issubclass(kind, StrEnum) and kind is not StrEnum
)
"""The words of each closed set."""
NUMBERS: Final = (
    *(-1, 0, 1, 2**31, 2**53, 2**63, 2**64, -(2**63) - 1, 10**19, 10**400),
    *(0.5, -0.5, 1e308, -1e308, 5e-324),
)
SHAPES: Final[tuple[Any, ...]] = ({"x": 1}, [[]], 1.5, True, "\ud800", "x" * 2_000)
HUGE_NUMBERS: Final = (b"1" * 5_000, b"-" + b"9" * 100_000, b"1e400", b"-1e400", b"1E+999999999")
NO_NUMBERS: Final = (b"01", b"+1", b"0x10", b"1_000", b".5", b"5.", b"1e", b"--1", b"\xc2\xb2")


def other_words(value: Any) -> set[str]:
    """Return the other words of the closed sets that a word is in."""
    return {word for words in WORDS if value in words for word in words if word != value}


def siblings(holder: Any, key: str | int) -> Iterator[str | int]:
    """Yield the keys after one whose values are of the same type and different."""
    keys = list(range(len(holder))) if isinstance(holder, list) else list(holder)
    for other in keys[keys.index(key) + 1 :]:
        if type(holder[other]) is type(holder[key]) and holder[other] != holder[key]:
            yield other


def swapped(document: Document, place: Place, other: str | int) -> Document:
    """Return the document with the values of two siblings swapped."""
    holder, key = place[:-1], place[-1]
    values = at(document, holder)
    once = with_value(document, place, values[other])
    return dict(with_value(once, (*holder, other), values[key]))


def own_places(ending: str, document: Document) -> list[Place]:
    """Return the paths to change, of each kind; those in the shared lifecycle only once."""
    found = (one for one in places(document) if ending == SWEPT[0] or one[0] != "lifecycle")
    return of_each_kind(found)


def is_entry(place: Place) -> bool:
    """Return whether a place is an entry of a map with free keys, and no field."""
    return place[-2:-1] in {("stages",), ("env_digests",)}


# -- bytes -----------------------------------------------------------------------------------

POSITION = st.integers(0, 2**20)
LENGTH = st.integers(0, 40) | st.integers(0, 4_000)
FRAGMENTS = st.sampled_from(
    [
        *(b"null", b"true", b"[]", b"{}", b'"', b'""', b",", b":", b"[", b"{", b"]", b"}", b"\\"),
        *(b"\x00", b"\xff", b"\xc0\xaf", b"\xed\xa0\x80", b"\\ud800", b"\xef\xbb\xbf", b"/**/"),
        *(b" ", b"\n", b"\r", b"\t", b"\x0b", b"\xe2\x80\xa8", b"0", b"-", b"1e999", b"NaN", b"."),
    ]
)
INSERTED = FRAGMENTS | st.binary(max_size=12)
CHANGES: Final[Mapping[str, st.SearchStrategy[tuple[Any, ...]]]] = {
    "flip": st.tuples(POSITION, st.integers(0, 7)),
    "cut": st.tuples(POSITION, LENGTH),
    "insert": st.tuples(POSITION, INSERTED),
    "replace": st.tuples(POSITION, INSERTED),
    "repeat": st.tuples(POSITION, LENGTH),
    "swap": st.tuples(POSITION, POSITION, LENGTH),
    "end": st.tuples(POSITION),
}
CHANGE = st.one_of(*(st.tuples(st.just(kind), given) for kind, given in CHANGES.items()))


def changed(data: bytes, kind: str, given: tuple[Any, ...]) -> bytes:
    """Return the bytes after one change; positions wrap around."""
    begin = given[0] % (len(data) + 1)
    before, rest = data[:begin], data[begin:]
    match kind:
        case "flip":
            return before + bytes(byte ^ 1 << given[1] for byte in rest[:1]) + rest[1:]
        case "cut":
            return before + rest[given[1] :]
        case "insert":
            return before + bytes(given[1]) + rest
        case "replace":
            return before + bytes(given[1]) + rest[len(given[1]) :]
        case "repeat":
            return before + rest[: given[1]] + rest
        case "swap":
            return _with_ranges_swapped(data, begin, given[1] % (len(data) + 1), given[2])
        case _:
            return before


def _with_ranges_swapped(data: bytes, one: int, other: int, length: int) -> bytes:
    first, second = sorted((one, other))
    length = min(length, second - first)
    middle = data[first + length : second]
    ranges = data[first : first + length], data[second : second + length]
    return data[:first] + ranges[1] + middle + ranges[0] + data[second + length :]
