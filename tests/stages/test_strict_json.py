from __future__ import annotations

import codecs
import json
import tracemalloc

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fsm_orchestrator.stages.strict_json import _SLICE_BYTES, problem_of

MALFORMED = [
    (b" \n", "line 2 column 1: the file ends too early"),
    (b"[", "line 1 column 2: the file ends too early"),
    (b'{"a":1', "line 1 column 7: the file ends too early"),
    (b'["abc\\', "line 1 column 7: the file ends too early"),
    (b"[1,2,]", "line 1 column 6: trailing comma in array"),
    (b'{"a":1,}', "line 1 column 8: trailing comma in object"),
    (b"[1\n, \n]", "line 3 column 1: trailing comma in array"),
    ('["\u00e9\u00e9",]'.encode(), "line 1 column 7: trailing comma in array"),
    (b"[1],", "line 1 column 4: trailing characters"),
    (b"[1][2]", "line 1 column 4: trailing characters"),
    (b"[1] // end", "line 1 column 5: trailing characters"),
    (b'{"a":1}\n{"a":2}', "line 2 column 1: trailing characters"),
    (b"[1]\x00", "line 1 column 4: trailing characters"),
    ("[1]\u00e9".encode(), "line 1 column 4: trailing characters"),
    (b"[,1]", "line 1 column 2: invalid character"),
    (b"[1,,2]", "line 1 column 4: invalid character"),
    (b"['a']", "line 1 column 2: invalid character"),
    (b"[NaN]", "line 1 column 2: NaN and Infinity are not JSON"),
    (b'{"a":\n  Infinity}', "line 2 column 3: NaN and Infinity are not JSON"),
    (b"-Infinity", "line 1 column 2: NaN and Infinity are not JSON"),
    (b"[nan]", "line 1 column 3: invalid character"),
    (b"[True]", "line 1 column 2: invalid character"),
    (b"[+1]", "line 1 column 2: invalid character"),
    (b"[.5]", "line 1 column 2: invalid character"),
    ("[\u0661]".encode(), "line 1 column 2: invalid character"),
    ("[1,\u00a02]".encode(), "line 1 column 4: invalid character"),
    (b"# start\n[1]", "line 1 column 1: invalid character"),
    (b"\x00\x00\x00\x00", "line 1 column 1: invalid character"),
    (b'["a\tb"]', "line 1 column 4: invalid character"),
    (b'["a\x00b"]', "line 1 column 4: invalid character"),
    (b'{"a\x1f":1}', "line 1 column 4: invalid character"),
    (b"[01]", "line 1 column 3: invalid number"),
    (b"[-01]", "line 1 column 4: invalid number"),
    (b"[1.]", "line 1 column 4: invalid number"),
    (b"[1e]", "line 1 column 4: invalid number"),
    (b"[0x1F]", "line 1 column 3: expected ',' or ']'"),
    (b"[1 2]", "line 1 column 4: expected ',' or ']'"),
    (b"[1}", "line 1 column 3: expected ',' or ']'"),
    (b"[1\x0b]", "line 1 column 3: expected ',' or ']'"),
    (b'{"a":1 "b":2}', "line 1 column 8: expected ',' or '}'"),
    (b'{"a" 1}', "line 1 column 6: expected ':'"),
    (b"{a:1}", "line 1 column 2: expected '\"'"),
    (b"{1:1}", "line 1 column 2: expected '\"'"),
    (b'["\\x41"]', "line 1 column 4: invalid escaped character"),
    (b'["\\u12g4"]', "line 1 column 8: invalid character in unicode escape"),
    (b'["\\udfff"]', "line 1 column 9: invalid utf-16 surrogate pair"),
    (b'["\\ud800"]', "line 1 column 11: half a surrogate pair"),
]

_UTF_16 = "UTF-16 or UTF-32 by its first bytes, not UTF-8"
NOT_UTF_8 = [
    (b"", "empty file"),
    (codecs.BOM_UTF8 + b"{}", "starts with a byte order mark, which JSON may not"),
    ("{}".encode("utf-16"), _UTF_16),
    (codecs.BOM_UTF16_BE + "{}".encode("utf-16-be"), _UTF_16),
    ("{}".encode("utf-16-le"), _UTF_16),
    ("{}".encode("utf-16-be"), _UTF_16),
    ('"\u4e2d"'.encode("utf-16-le"), _UTF_16),
    ("1".encode("utf-16-le"), _UTF_16),
    ("{}".encode("utf-32"), _UTF_16),
    (codecs.BOM_UTF32_BE + "{}".encode("utf-32-be"), _UTF_16),
    ("1".encode("utf-32-be"), _UTF_16),
    (b'["\xff"]', "not UTF-8: invalid at byte offset 2"),
    (b'["\xc3"]', "not UTF-8: invalid at byte offset 2"),
    (b'["\xc0\xaf"]', "not UTF-8: invalid at byte offset 2"),
    (b'["\xed\xa0\x80"]', "not UTF-8: invalid at byte offset 2"),
]

FINE = [
    b"null",
    b" true ",
    b"\r\n\t false\n",
    b"0",
    b"-0.0e-0",
    b'""',
    b"[]",
    b" { } ",
    b'[{}, [ ], {"a": [[]]}]',
    b'{"a":1,"a":2}',
    b"9" * 5000,
    b"[" + b"1" * 100_000 + b"]",
    b"[1e999999, -1E+400, 0.1e-999999]",
    b'"\\u0000\\ud800\\uDFFF\\"\\\\\\/\\b\\f\\n\\r\\t"',
    '"\u007f\u0080\u2028\ufeff\uffff\U0001f600"'.encode(),
    b'{"":{"":""}}',
    b"[" + b"1," * 5000 + b"1]",
    b"{" + b'"a": {"b": [1, 2]},\n' * 5000 + b'"c": null}',
]


def is_accepted_by_the_standard_decoder(data: bytes) -> bool:
    """Return the verdict of the standard decoder, made strict; lone surrogates are refused."""

    def refuse(name: str) -> None:
        raise ValueError(name)

    try:
        value = json.loads(
            data.decode(),
            parse_int=str,
            parse_float=str,
            parse_constant=refuse,
            object_pairs_hook=list,  # a repeated name keeps both values
        )
        json.dumps(value, ensure_ascii=False).encode()
    except ValueError:
        return False
    return True


@pytest.mark.parametrize(("data", "problem"), MALFORMED + NOT_UTF_8)
def test_what_is_wrong_is_named_with_its_place(data: bytes, problem: str) -> None:
    """A malformed document is refused by one line that gives the problem and its place."""
    assert problem_of(data) == problem


@pytest.mark.parametrize("data", FINE)
def test_fine_documents_pass(data: bytes) -> None:
    """A document that RFC 8259 allows passes."""
    assert problem_of(data) is None


@pytest.mark.parametrize(
    "data",
    [
        b"hunter2",
        b'"hunter2',
        b'["a", hunter2]',
        b'{"password": "hunter2",}',
        b'{"password" "hunter2"}',
        b'{"password": "hunter2\\x"}',
        b'{"password": "hunter2\x01"}',
        b'{"password": "hunter2"} hunter2',
        b'{"password": "hunter2\xff"}',
        b"{'password': 'hunter2'}",
        b'{"password": NaN, "hunter2": 1}',
    ],
)
def test_content_is_not_repeated(data: bytes) -> None:
    """A message holds none of the content, which may be secret, and is one short line."""
    problem = problem_of(data)
    assert problem is not None
    assert "hunter2" not in problem
    assert "password" not in problem
    assert "\n" not in problem
    assert len(problem) < 100


@pytest.mark.parametrize("opening", [b"[", b'{"a":', b"[\n", b'[{"a":'])
@pytest.mark.parametrize("closing", [b"", b"]"])
@pytest.mark.timeout(20)
def test_absurd_nesting_is_refused(opening: bytes, closing: bytes) -> None:
    """A million levels, closed or not, give a message instead of a crash or a hang."""
    assert problem_of(opening * 1_000_000 + closing * 1_000_000) == "nested too deeply"


@pytest.mark.parametrize(("opening", "closing"), [(b"[", b"]"), (b'{"a":', b"}")])
def test_reasonable_nesting_passes(opening: bytes, closing: bytes) -> None:
    """Hundreds of levels are no problem."""
    assert problem_of(opening * 600 + b"1" + closing * 600) is None


@pytest.mark.parametrize("item", [b"[]", b"{}", b'"ab"', b"1.5", b"[[]]", b'{"a":[{}]}'])
def test_memory_stays_a_small_multiple_of_the_size(item: bytes) -> None:
    """No value is built: a file of many small ones costs little more than its text."""
    data = b"[" + (item + b",") * (300_000 // len(item)) + item + b"]"
    assert problem_of(data) is None  # what is loaded for the first one does not count
    tracemalloc.start()
    try:
        assert problem_of(data) is None
        _, peak_bytes = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert peak_bytes < 2 * len(data)


@pytest.mark.parametrize("character", ["\u00e9", "\u4e2d", "\U0001f600"])
@pytest.mark.parametrize("before", range(5))
def test_character_may_lie_on_the_edge_of_a_slice(character: str, before: int) -> None:
    """Decoding in slices gives the same verdict, at the same place, as decoding in one piece."""
    text = b'"' + b"x" * (_SLICE_BYTES - 1 - before) + character.encode() * 2
    assert problem_of(text + b'"') is None
    cut = text[: -len(character.encode())]
    assert problem_of(cut + b'\xff"') == f"not UTF-8: invalid at byte offset {len(cut)}"
    torn_at = len(text) - len(character.encode())
    assert problem_of(text[:-1] + b'"') == f"not UTF-8: invalid at byte offset {torn_at}"
    assert problem_of(text[:-1]) == f"not UTF-8: invalid at byte offset {torn_at}"


def test_memory_of_any_text_stays_a_small_multiple_of_its_size() -> None:
    """The text is not kept decoded, where each character would take four bytes."""
    data = b'["' + "\U0001f600".encode() + b"x" * 16 * 1024**2 + b'"]'
    assert problem_of(b"[]") is None
    tracemalloc.start()
    try:
        assert problem_of(data) is None
        _, peak_bytes = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert peak_bytes < len(data)


def test_judging_can_be_called_off_between_slices() -> None:
    """The caller is asked before each slice, and a no leaves the rest alone."""
    data = b'"' + b"x" * 8 * _SLICE_BYTES + b'"'
    asked: list[int] = []

    def called_off() -> None:
        asked.append(len(asked))
        if len(asked) == 3:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        problem_of(data, called_off)
    asked.clear()
    assert problem_of(data, lambda: asked.append(0)) is None
    assert len(asked) == 9


json_values = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(max_size=8),
    lambda inner: (
        st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=4), inner, max_size=4)
    ),
    max_leaves=20,
)


@given(json_values, st.booleans(), st.sampled_from([None, 0, 2, "\t"]))
def test_whatever_json_writes_passes(
    value: object, ascii_only: bool, indent: int | str | None
) -> None:
    """Every document that the standard encoder writes without NaN passes."""
    data = json.dumps(value, ensure_ascii=ascii_only, indent=indent, allow_nan=False).encode()
    assert problem_of(data) is None


@given(json_values, st.data())
def test_agrees_with_the_standard_decoder_on_damaged_json(
    value: object, data: st.DataObject
) -> None:
    """A document with one piece cut out or put in gets the strict standard decoder's verdict."""
    document = json.dumps(value).encode()
    start = data.draw(st.integers(0, len(document)))
    end = data.draw(st.integers(start, min(len(document), start + 3)))
    pieces = st.sampled_from(
        [b"", *(bytes([byte]) for byte in b"[]{}:,\"\\ \n\t\x00-+.0e1/#'\xff"), b"NaN", b"null"]
    )
    damaged = document[:start] + data.draw(pieces) + document[end:]
    assert (problem_of(damaged) is None) == is_accepted_by_the_standard_decoder(damaged)


@given(st.lists(st.sampled_from(list(b'[]{}:,"\\ 1-.eE0tn')), max_size=12).map(bytes))
def test_agrees_with_the_standard_decoder_on_noise(data: bytes) -> None:
    """Any short sequence of JSON's characters gets the strict standard decoder's verdict."""
    assert (problem_of(data) is None) == is_accepted_by_the_standard_decoder(data)


@given(st.lists(st.sampled_from(list(b"-+0019.eE")), min_size=1, max_size=9).map(bytes))
def test_agrees_with_the_standard_decoder_on_numbers(data: bytes) -> None:
    """A number, alone or in a list, gets the strict standard decoder's verdict."""
    for document in (data, b"[" + data + b"]", b'{"a":' + data + b',\n"a":-0}'):
        assert (problem_of(document) is None) == is_accepted_by_the_standard_decoder(document)


_ESCAPES = ["\\u", "\\", "d83d", "de00", "D8", "00", "41", "n", "x", '"', "\u00e9", "\t", "\x7f"]


@given(st.lists(st.sampled_from(_ESCAPES), max_size=9).map("".join))
def test_agrees_with_the_standard_decoder_on_escapes(text: str) -> None:
    """Escapes, surrogate halves and raw controls get the strict standard decoder's verdict."""
    string = f'"{text}"'.encode()
    for document in (string, b"{" + string + b":1}"):
        assert (problem_of(document) is None) == is_accepted_by_the_standard_decoder(document)


@given(st.binary(max_size=4), st.integers(0, 3))
def test_agrees_with_the_standard_decoder_on_bytes(noise: bytes, at: int) -> None:
    """Any bytes, in strings or outside, get the strict standard decoder's verdict."""
    for before, after in ((b'["', b'"]'), (b"[1", b"]"), (b"[] ", b" ")):
        document = before + noise[at:] + after + noise[:at]
        assert (problem_of(document) is None) == is_accepted_by_the_standard_decoder(document)
