"""Values as JSON on one line, in the form of the standard library."""

from __future__ import annotations

import json
from typing import Any, Final, NamedTuple

import pytest

from fsm_orchestrator.text.json_output import json_value
from fsm_orchestrator.vocabulary import Gate


class _Pair(NamedTuple):
    name: str
    number: int


VALUES: Final = [
    *("", 'a "b" \\ \n\x1f é\u2028', 0, -1, 2**70, True, False, None, 0.5, 1e-07),
    *([], (), ["a", 1, None, True], ("a", ["b", ()], {"c": [1.5]}), {"a": ("b",)}),
    *(_Pair("a", 1), [_Pair("a", 1)], Gate.CI, [Gate.CI]),
]


@pytest.mark.parametrize("value", VALUES, ids=repr)
def test_value_is_written_as_the_standard_library_writes_it(value: Any) -> None:
    """Values of plain and derived types, alone and nested, are written alike."""
    assert json_value(value) == json.dumps(value, ensure_ascii=False)
