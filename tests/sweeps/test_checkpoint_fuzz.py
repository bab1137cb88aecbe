"""Checkpoints damaged at random and by rule: refused with file, field and reason, or read as meant.

Each must cause no other exception than the refusal, no hang, no run. An accepted change is either
none (the same record, spelled differently) or in a field that nothing else in the file can
contradict. Lies about a whole history are in test_forged_histories.py. `SOAK=1` looks further.
"""

from __future__ import annotations

import json
import random
import re
from collections.abc import Mapping, Sequence
from typing import Any, TypeVar

import pytest
from hypothesis import event, given
from hypothesis import strategies as st

from fsm_orchestrator.lifecycle.reading import shipped, shipped_names
from fsm_orchestrator.record import checkpoint_reader
from tests.support.soak import SOAK
from tests.sweeps.checkpoint_cases import (
    ENDINGS,
    NAME,
    SWEPT,
    assert_refused_or_harmless,
    names,
    often,
    refusal,
)
from tests.sweeps.checkpoint_damage import (
    CHANGE,
    HUGE_NUMBERS,
    NO_NUMBERS,
    NUMBERS,
    SHAPES,
    at,
    changed,
    encoded,
    is_entry,
    other_words,
    own_places,
    places,
    siblings,
    swapped,
    with_value,
)

Drawn = TypeVar("Drawn")
pytestmark = pytest.mark.timeout(7_200 if SOAK else 600)


@often
@given(ending=st.sampled_from(ENDINGS), changes=st.lists(CHANGE, min_size=1, max_size=3))
def test_damaged_bytes_are_refused_or_mean_the_same(
    ending: str, changes: list[tuple[str, tuple[Any, ...]]], checkpoints: Mapping[str, bytes]
) -> None:
    """Flipped bits and cut, inserted, repeated or swapped ranges: refused, or read as they say."""
    data = checkpoints[ending]
    for kind, given_too in changes:
        data = changed(data, kind, given_too)
    said = assert_refused_or_harmless(data, checkpoints[ending])
    event("accepted" if said is None else re.sub(r"[\d\W]+", " ", said)[:40])


@often
@given(
    ending=st.sampled_from(ENDINGS),
    seed=st.integers(0, 2**32),
    layout=st.sampled_from([(None, None), (2, None), (None, (",", ":")), ("\t", (" ,\r\n", " :"))]),
    is_ascii=st.booleans(),
)
def test_same_record_in_another_spelling_is_accepted(
    ending: str,
    seed: int,
    layout: tuple[Any, Any],
    is_ascii: bool,
    checkpoints: Mapping[str, bytes],
) -> None:
    """White space, the order of keys and the encoding of characters change nothing."""
    randomness = random.Random(seed)  # noqa: S311 - no secret

    def shuffled(value: Any) -> Any:
        if isinstance(value, list):
            return [shuffled(one) for one in value]
        if isinstance(value, dict):
            keys = randomness.sample(list(value), len(value))
            return {key: shuffled(value[key]) for key in keys}
        return value

    original = checkpoints[ending]
    indent, separators = layout
    text = json.dumps(
        shuffled(json.loads(original)), indent=indent, separators=separators, ensure_ascii=is_ascii
    )
    if is_ascii:
        text = re.sub(r"(?<=[a-z_])m(?=[a-z_])", "\\\\u006d", text)
    assert refusal(text.encode()) is None
    read = checkpoint_reader.parse(text.encode(), NAME)
    assert read == checkpoint_reader.parse(original, NAME)


# -- fields ----------------------------------------------------------------------------------


@pytest.mark.one_in(2)
@pytest.mark.parametrize("ending", SWEPT)
def test_removed_or_renamed_field_is_named(ending: str, checkpoints: Mapping[str, bytes]) -> None:
    """A key that is missing or unknown is refused by its path."""
    document = json.loads(checkpoints[ending])
    for place in own_places(ending, document):
        holder, key = at(document, place[:-1]), place[-1]
        if not isinstance(key, str) or is_entry(place) or key in {"product", "schema_version"}:
            continue
        rest = {name: value for name, value in holder.items() if name != key}
        data = encoded(with_value(document, place[:-1], rest))
        said = assert_refused_or_harmless(data, checkpoints[ending])
        assert said is None or names(said, place), (place, said)
        renamed = {f"{key}x" if name == key else name: value for name, value in holder.items()}
        said = refusal(encoded(with_value(document, place[:-1], renamed)))
        assert said is not None, place
        assert names(said, place) or names(said, (*place[:-1], f"{key}x")), (place, said)


@pytest.mark.one_in(2)
@pytest.mark.parametrize("ending", SWEPT)
def test_doubled_key_is_named_wherever_it_stands(
    ending: str, checkpoints: Mapping[str, bytes]
) -> None:
    """Any key that occurs twice is refused by name, with the same value or with another."""
    document = json.loads(checkpoints[ending])
    for place in own_places(ending, document):
        key, value = place[-1], at(document, place)
        if isinstance(key, str):
            for second in (value, None):
                holder = {**at(document, place[:-1]), "@@": second}
                data = encoded(with_value(document, place[:-1], holder))
                said = refusal(data.replace(b'"@@"', encoded(key)))
                assert said == f"the key {key!r} is twice in one object"


@pytest.mark.one_in(2)
@pytest.mark.parametrize("ending", SWEPT)
def test_value_of_another_shape_is_named(ending: str, checkpoints: Mapping[str, bytes]) -> None:
    """A field of another type, or with a structure or a huge text, is refused by path."""
    document = json.loads(checkpoints[ending])
    for place in own_places(ending, document):
        for value in some(SHAPES, 2):
            if type(value) is type(at(document, place)) or place[-1] == "product":
                continue
            data = encoded(with_value(document, place, value))
            said = assert_refused_or_harmless(data, checkpoints[ending])
            assert said is None or names(said, place), (place, said)


@pytest.mark.one_in(2)
@pytest.mark.parametrize("ending", SWEPT)
def test_number_out_of_range_is_refused(ending: str, checkpoints: Mapping[str, bytes]) -> None:
    """Numbers beyond all bounds crash nothing, and never replace a number of the run."""
    document = json.loads(checkpoints[ending])
    for place in own_places(ending, document):
        if type(at(document, place)) not in {int, float}:
            continue
        for number in some(NUMBERS, 3):
            data = encoded(with_value(document, place, number))
            assert_refused_or_harmless(data, checkpoints[ending])
        marked = encoded(with_value(document, place, "@@"))
        for text in (*some(HUGE_NUMBERS, 1), *some(NO_NUMBERS, 2)):
            assert refusal(marked.replace(b'"@@"', text)), (place, text[:20])


@pytest.mark.one_in(2)
@pytest.mark.parametrize("ending", SWEPT)
def test_other_word_of_a_closed_set_is_refused(
    ending: str, checkpoints: Mapping[str, bytes]
) -> None:
    """A changed state, trigger, status, kind or gate is refused, unless nothing contradicts it."""
    document = json.loads(checkpoints[ending])
    for place in own_places(ending, document):
        for word in other_words(at(document, place)) if is_text(at(document, place)) else ():
            data = encoded(with_value(document, place, word))
            assert_refused_or_harmless(data, checkpoints[ending])


@pytest.mark.one_in(2)
@pytest.mark.parametrize("ending", SWEPT)
def test_values_of_siblings_may_not_be_swapped(
    ending: str, checkpoints: Mapping[str, bytes]
) -> None:
    """Two fields of one object, or two entries of one list, cannot replace each other."""
    document = json.loads(checkpoints[ending])
    for place in own_places(ending, document):
        for other in siblings(at(document, place[:-1]), place[-1]):
            data = encoded(swapped(document, place, other))
            assert_refused_or_harmless(data, checkpoints[ending])


@often
@given(ending=st.sampled_from(ENDINGS), data=st.data())
def test_fields_of_other_endings_are_refused_or_mean_the_same(
    ending: str, data: st.DataObject, checkpoints: Mapping[str, bytes]
) -> None:
    """A value from any real checkpoint, put anywhere into another, makes no lie true."""
    document = json.loads(checkpoints[ending])
    for _ in range(data.draw(st.integers(1, 3))):
        value: Any = json.loads(checkpoints[data.draw(st.sampled_from(ENDINGS))])
        place = data.draw(st.sampled_from(list(places(document))))
        value = at(value, data.draw(st.sampled_from(list(places(value)))))
        document = with_value(document, place, value)
    said = assert_refused_or_harmless(encoded(document), checkpoints[ending])
    event("accepted" if said is None else said.partition(":")[0][:30])


@pytest.mark.parametrize("version", [2, 3, 10**6, 2**64])
def test_newer_version_is_told_as_such(version: int, checkpoints: Mapping[str, bytes]) -> None:
    """The refusal names the version and what can read it, not the additions of a later program."""
    document = json.loads(checkpoints["done"])
    del document["gate_signals"]
    newer = {**document, "schema_version": version, "lifecycle": "by reference", "signed": [1]}
    said = refusal(encoded(newer))
    assert said is not None
    assert said.startswith("schema_version: this program reads version 1, the file says ")


@pytest.mark.one_in(4)
@pytest.mark.parametrize("ending", ENDINGS)
@pytest.mark.parametrize("name", shipped_names())
def test_other_lifecycle_with_its_digest_needs_a_history_that_walks_it(
    name: str, ending: str, checkpoints: Mapping[str, bytes]
) -> None:
    """A file with a transition that is no edge of the inserted lifecycle is refused."""
    other = shipped(name)
    document = json.loads(checkpoints[ending])
    document["lifecycle"] = other.model_dump(mode="json")
    document["lifecycle_sha256"] = other.sha256
    walk = [step for one in document["invocations"] for step in one["transitions"]]
    edges = {(edge.trigger.value, edge.source, edge.dest) for edge in other.edges}
    is_walk = {(one["trigger"], one["source"], one["dest"]) for one in walk} <= edges
    is_walk = is_walk and set(document["stages"]) <= set(other.stages)
    assert (refusal(encoded(document)) is None) is is_walk
    document["lifecycle_sha256"] = json.loads(checkpoints[ending])["lifecycle_sha256"]
    is_own = name == "governed_run"
    assert (refusal(encoded(document)) is None) is is_own


def some(values: Sequence[Drawn], count: int) -> Sequence[Drawn]:
    """Return some of the values for every place, varying by place; all with `SOAK=1`."""
    return values if SOAK else random.sample(values, count)  # pytest-randomly prints the seed


def is_text(value: Any) -> bool:
    """Return whether a value is a text."""
    return isinstance(value, str)
