"""Masking: no piece of a value is left, and other text is unchanged."""

from __future__ import annotations

from hypothesis import given, settings
from hypothesis import strategies as st

from fsm_orchestrator.secrets.masking import MASK, PLAIN_WORDS, Masker

# -- the masker -----------------------------------------------------------------------------

LONG = st.text(st.characters(exclude_characters="*", exclude_categories=["Cs"]), min_size=6)
SHORT = st.from_regex(r"[a-z0-9]{3,5}", fullmatch=True).filter(lambda word: word not in PLAIN_WORDS)


@settings(deadline=None)
@given(values=st.lists(LONG, max_size=4), pieces=st.lists(st.text(max_size=8), max_size=5))
def test_no_long_value_is_left_in_masked_text(values: list[str], pieces: list[str]) -> None:
    """Values anywhere, next to, in or across each other, are masked whole."""
    text = "".join(pieces[:2]) + "".join(values) + "".join(pieces[2:]) + "".join(reversed(values))
    masked = Masker(values).mask(text)
    assert not [value for value in values if value in masked]


@settings(deadline=None)
@given(value=SHORT)
def test_a_short_value_is_masked_as_a_word_only(value: str) -> None:
    """Three to five characters are masked between non-letters, and left inside a word."""
    masker = Masker([value])
    for text in (value, f"--key={value}", f"({value})", f"{value} {value}"):
        assert value not in masker.mask(text)
    for text in (f"x{value}", f"{value}x", f"_{value}_"):
        assert masker.mask(text) == text


@settings(deadline=None)
@given(values=st.lists(LONG | SHORT), text=st.text())
def test_text_without_any_value_is_left_as_it_is(values: list[str], text: str) -> None:
    """Masking changes nothing but values."""
    if not any(value in text for value in values):
        assert Masker(values).mask(text) == text


@settings(deadline=None)
@given(values=st.lists(LONG | SHORT), pieces=st.lists(st.text(max_size=3)), data=st.data())
def test_the_order_of_values_does_not_matter(
    values: list[str], pieces: list[str], data: st.DataObject
) -> None:
    """The same values, in any order and any number of times, mask the same text the same way."""
    text = "".join(data.draw(st.permutations([*values, *pieces])))
    shuffled = data.draw(st.permutations([*values, *values]))
    assert Masker(shuffled).mask(text) == Masker(values).mask(text)
    assert Masker(values).mask_all([text, ""]) == (Masker(values).mask(text), "")


def test_what_is_too_common_to_be_secret_is_not_masked() -> None:
    """Plain words, single letters and empty values are left, in any spelling."""
    words = [*PLAIN_WORDS, *(word.upper() for word in PLAIN_WORDS), "1", "ab", ""]
    text = f"a {' '.join(words)} z"
    assert Masker(words).mask(text) == text


def test_a_longer_value_is_masked_before_one_that_it_contains() -> None:
    """No rest of a value is left where another value is a part of it."""
    assert Masker(["abcdef", "abcdefghij"]).mask("abcdefghij abcdef") == f"{MASK} {MASK}"
    assert Masker(["a.c+(e", "[xyz]"]).mask("a.c+(e aXccc(e [xyz]") == f"{MASK} aXccc(e {MASK}"
