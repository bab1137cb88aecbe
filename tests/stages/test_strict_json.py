from __future__ import annotations

import codecs
import json
import sys
import tracemalloc

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fsm_orchestrator.stages.strict_json import NESTING_MAX, problem_of

MALFORMED = [
    (b" \n", "line 2 column 1: the file ends where a value is due"),
    (b"[1,2,]", "line 1 column 5: trailing comma"),
    (b'{"a":1,}', "line 1 column 7: trailing comma"),
    (b"[1\n, \n]", "line 2 column 1: trailing comma"),
    (b"[1],", "line 1 column 4: the end of the file is due here"),
    (b"[,1]", "line 1 column 2: a value is due here"),
    (b"[1,,2]", "line 1 column 4: a value is due here"),
    (b"{,}", "line 1 column 2: a name in double quotes is due here"),
    (b"[1 2]", "line 1 column 4: ',' or ']' is due here"),
    (b'{"a":1 "b":2}', "line 1 column 8: ',' or '}' is due here"),
    (b'{"a" 1}', "line 1 column 6: ':' is due here"),
    (b'{"a"}', "line 1 column 5: ':' is due here"),
    (b"{a:1}", "line 1 column 2: a name in double quotes is due here"),
    (b"{1:1}", "line 1 column 2: a name in double quotes is due here"),
    (b"['a']", "line 1 column 2: single quotes (strings take double quotes)"),
    (b"{'a':1}", "line 1 column 2: single quotes (strings take double quotes)"),
    (b"[NaN]", "line 1 column 2: NaN and Infinity are not JSON"),
    (b'{"a":\n  Infinity}', "line 2 column 3: NaN and Infinity are not JSON"),
    (b"-Infinity", "line 1 column 1: NaN and Infinity are not JSON"),
    (b"[nan]", "line 1 column 2: a value is due here"),
    (b"[True]", "line 1 column 2: a value is due here"),
    (b"[nul]", "line 1 column 2: a value is due here"),
    (b"[01]", "line 1 column 3: a malformed number"),
    (b"[-01]", "line 1 column 4: a malformed number"),
    (b"[+1]", "line 1 column 2: a malformed number"),
    (b"[-]", "line 1 column 2: a malformed number"),
    (b"[.5]", "line 1 column 2: a malformed number"),
    (b"[1.]", "line 1 column 3: a malformed number"),
    (b"[1.e3]", "line 1 column 3: a malformed number"),
    (b"[1e]", "line 1 column 3: a malformed number"),
    (b"[0x1F]", "line 1 column 3: a malformed number"),
    (b"[1_000]", "line 1 column 3: a malformed number"),
    ("[\u0661]".encode(), "line 1 column 2: a value is due here"),
    (b"[1] // end", "line 1 column 5: a comment"),
    (b"[1, /* two */ 2]", "line 1 column 5: a comment"),
    (b"# start\n[1]", "line 1 column 1: a comment"),
    (b"[1][2]", "line 1 column 4: the end of the file is due here"),
    (b'{"a":1}\n{"a":2}', "line 2 column 1: the end of the file is due here"),
    (b"[1]\x00", "line 1 column 4: the end of the file is due here"),
    ("[1,\u00a02]".encode(), "line 1 column 4: a value is due here"),
    (b"[1\x0b]", "line 1 column 3: ',' or ']' is due here"),
    (b'["a\nb"]', "line 1 column 4: a control character in a string"),
    (b'["a\tb"]', "line 1 column 4: a control character in a string"),
    (b'["a\x00b"]', "line 1 column 4: a control character in a string"),
    (b'{"a\x1f":1}', "line 1 column 4: a control character in a string"),
    (b'["\\x41"]', "line 1 column 3: an invalid escape in a string"),
    (b'["\\u12g4"]', "line 1 column 4: an invalid escape in a string"),
    (b'["abc', "line 1 column 2: a string that is never closed"),
    (b'["abc\\', "line 1 column 2: a string that is never closed"),
    (b"[", "line 1 column 2: the file ends where a value is due"),
    (b"[1", "line 1 column 3: the file ends where ',' or ']' is due"),
    (b"[1,", "line 1 column 4: the file ends where a value is due"),
    (b"{", "line 1 column 2: the file ends where a name in double quotes is due"),
    (b'{"a"', "line 1 column 5: the file ends where ':' is due"),
    (b'{"a":', "line 1 column 6: the file ends where a value is due"),
    (b'{"a":1', "line 1 column 7: the file ends where ',' or '}' is due"),
    (b"[1}", "line 1 column 3: ',' or ']' is due here"),
    (b"[1,2}", "line 1 column 5: ',' or ']' is due here"),
    (b"{]", "line 1 column 2: a name in double quotes is due here"),
    (b"]", "line 1 column 1: a value is due here"),
    (b"[1]]", "line 1 column 4: the end of the file is due here"),
    ('["\u00e9\u00e9",]'.encode(), "line 1 column 6: trailing comma"),
    (b"\x00\x00\x00\x00", "line 1 column 1: a value is due here"),
]

NOT_UTF_8 = [
    (b"", "empty file"),
    (codecs.BOM_UTF8 + b"{}", "starts with a byte order mark, which JSON may not"),
    ("{}".encode("utf-16"), "UTF-16 by its first bytes, not UTF-8"),
    (codecs.BOM_UTF16_BE + "{}".encode("utf-16-be"), "UTF-16 by its first bytes, not UTF-8"),
    ("{}".encode("utf-16-le"), "UTF-16 by its first bytes, not UTF-8"),
    ("{}".encode("utf-16-be"), "UTF-16 by its first bytes, not UTF-8"),
    ('"\u4e2d"'.encode("utf-16-le"), "UTF-16 by its first bytes, not UTF-8"),
    ("1".encode("utf-16-le"), "UTF-16 by its first bytes, not UTF-8"),
    ("{}".encode("utf-32"), "UTF-32 by its first bytes, not UTF-8"),
    (codecs.BOM_UTF32_BE + "{}".encode("utf-32-be"), "UTF-32 by its first bytes, not UTF-8"),
    ("1".encode("utf-32-le"), "UTF-32 by its first bytes, not UTF-8"),
    ("1".encode("utf-32-be"), "UTF-32 by its first bytes, not UTF-8"),
    (b'["\xff"]', "not UTF-8: invalid at byte offset 2"),
    (b'["\xc3"]', "not UTF-8: invalid at byte offset 2"),
    (b'["\xc0\xaf"]', "not UTF-8: invalid at byte offset 2"),
    (b'["\xed\xa0\x80"]', "not UTF-8: invalid at byte offset 2"),
    ('["\u00e9"]'.encode("latin-1"), "not UTF-8: invalid at byte offset 2"),
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


def walked(data: bytes) -> bytes:
    """`data` as part of a document too large and deep to be handed to the standard scanner."""
    return b"[" * 8 + b" " * 1000 + data + b"]" * 8


def is_accepted_by_the_standard_decoder(data: bytes) -> bool:
    """The verdict of the whole standard decoder, made strict; for shallow documents only."""

    def refuse(name: str) -> None:
        raise ValueError(name)

    try:
        json.loads(data.decode(), parse_int=str, parse_float=str, parse_constant=refuse)
    except ValueError:
        return False
    return True


@pytest.mark.parametrize(("data", "problem"), MALFORMED + NOT_UTF_8)
def test_what_is_wrong_is_named_with_its_place(data: bytes, problem: str) -> None:
    """A malformed document is refused by one line that says what is wrong and where."""
    assert problem_of(data) == problem


@pytest.mark.parametrize("data", [data for data, _ in MALFORMED if data.strip()])
def test_malformed_inside_a_large_document_is_refused(data: bytes) -> None:
    """What is malformed alone is malformed deep inside a large document too."""
    assert problem_of(walked(data)) is not None


@pytest.mark.parametrize("data", FINE)
def test_fine_documents_pass(data: bytes) -> None:
    """What RFC 8259 allows passes, alone and deep inside a large document."""
    assert problem_of(data) is None
    assert problem_of(walked(data)) is None


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
    """A message holds nothing of the content, which may be secret, and is one short line."""
    problem = problem_of(data)
    assert problem is not None
    assert "hunter2" not in problem
    assert "password" not in problem
    assert "\n" not in problem
    assert len(problem) < 100


OPENINGS = [(b"[", b"]", b"1"), (b'{"a":', b"}", b"1"), (b" [ {} , [ ", b" ] ]", b"")]


@pytest.mark.parametrize(("opening", "closing", "core"), OPENINGS)
def test_nesting_up_to_the_limit_passes(opening: bytes, closing: bytes, core: bytes) -> None:
    """Documents of exactly NESTING_MAX levels pass, one level more is refused."""
    repeats = NESTING_MAX // max(1, opening.count(b"["))
    assert problem_of(opening * repeats + core + closing * repeats) is None
    deeper = problem_of(b"[" + opening * repeats + core + closing * repeats + b"]")
    assert deeper is not None
    assert "nested more than 1000 levels deep" in deeper


@pytest.mark.parametrize("opening", [b"[", b'{"a":', b"[\n", b'[{"a":'])
@pytest.mark.parametrize("closing", [b"", b"]"])
@pytest.mark.timeout(20)
def test_absurd_nesting_is_refused(opening: bytes, closing: bytes) -> None:
    """A million levels, closed or not, give a message instead of a crash or a hang."""
    problem = problem_of(opening * 1_000_000 + closing * 1_000_000)
    assert problem is not None
    assert "nested more than 1000 levels deep" in problem


def test_nesting_does_not_depend_on_the_stack_of_the_caller() -> None:
    """From the last frames that the recursion limit leaves, the verdicts are the same."""
    deepest = b"[" * NESTING_MAX + b"]" * NESTING_MAX
    small = b"[" * 400 + b"]" * 400

    def verdicts_at(frames: int) -> list[str | None]:
        if frames:
            return verdicts_at(frames - 1)
        return [problem_of(deepest), problem_of(small), problem_of(b"[" + deepest + b"]")]

    depth = 0
    frame = sys._getframe()
    while frame.f_back is not None:
        depth, frame = depth + 1, frame.f_back
    assert verdicts_at(sys.getrecursionlimit() - depth - 40) == [
        None,
        None,
        "line 1 column 1001: nested more than 1000 levels deep",
    ]


@pytest.mark.parametrize("item", [b"[]", b"{}", b'"ab"', b"1.5", b"[[]]", b'{"a":[{}]}'])
def test_memory_stays_a_small_multiple_of_the_size(item: bytes) -> None:
    """No value is kept: a file of many small ones costs little more than its text."""
    data = b"[" + (item + b",") * (300_000 // len(item)) + item + b"]"
    tracemalloc.start()
    try:
        assert problem_of(data) is None
        _, peak_bytes = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert peak_bytes < 2 * len(data)


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
    assert problem_of(walked(data)) is None


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
    for candidate in (damaged, walked(damaged)):
        assert (problem_of(candidate) is None) == is_accepted_by_the_standard_decoder(candidate)


@given(st.lists(st.sampled_from(list(b'[]{}:,"\\ 1-.eE0tn')), max_size=12).map(bytes))
def test_agrees_with_the_standard_decoder_on_noise(data: bytes) -> None:
    """Any short row of JSON's own characters gets the strict standard decoder's verdict."""
    for candidate in (data, walked(data)):
        assert (problem_of(candidate) is None) == is_accepted_by_the_standard_decoder(candidate)
